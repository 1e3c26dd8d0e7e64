#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's controls are judged by."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_host
short_description: Collect what the controls of a host are judged by
version_added: 0.1.0
description:
  - Reads processes, files' owners and modes, configuration, certificates and what ports answer, in one call. Changes
    nothing but for O(probe_writes), takes no lock, needs no harden.yml before it, and judges nothing.
    M(kubeharden.core.verify_report) does.
  - On a control plane also what its API server records and how Secrets lie in etcd, of which only the first bytes are
    looked at.
  - What cannot be seen is said in its place. A host that cannot be reached is no failure either; RV(problem) then says
    why.
options:
  root:
    description: A directory that stands for the host's C(/).
    type: path
    default: /
  root_seed:
    description: A directory that O(root) begins as a copy of; where O(root) does not exist yet a copy is looked at.
    type: path
  control_plane:
    description: Whether the inventory says that this host is a control plane.
    type: bool
    default: false
  etcd:
    description:
      - Whether the inventory says that this host is a member of etcd; it is missed then where it is not found, as it is
        where kube-apiserver asks an etcd of its own host.
    type: bool
    default: false
  etcd_alone:
    description:
      - Whether the inventory says that this host is a member of etcd and neither a control plane nor a node. Where it
        has nothing of Kubernetes it is judged by its etcd alone.
    type: bool
    default: false
  kubeconfig:
    description: The administrator's kubeconfig on the host, where it is not the one that kubeadm wrote.
    type: path
  probe_writes:
    description:
      - Whether the API server of this host may be given a marker, a Secret in a namespace of its own, which is removed
        at once. Nothing is written in check mode.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode, where O(probe_writes) has no effect.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: N/A
  platform:
    description: Hosts that run Linux.
    platforms: linux
    support: full
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Look at a host
  kubeharden.core.verify_host:
    control_plane: true
  register: seen
"""

RETURN = r"""
evidence:
  description: What was seen, without any secret; its form is this version's own.
  returned: when the host could be looked at
  type: dict
problem:
  description: Why it could not, one sentence; empty when it could.
  returned: always
  type: str
etcd_alone:
  description: That the host is one of O(etcd_alone) and has no kubelet.
  returned: when it could be looked at
  type: bool
profile:
  description: The profile of this host (C(kubeharden_profile)), by the action plugin; empty where it has none.
  returned: always
  type: str
"""

import secrets
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import is_of_kubernetes
from ansible_collections.kubeharden.core.plugins.module_utils.entry import find_libraries, run, runner


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Look at the host."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import Collector
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View

    parameters = module.params
    collector = Collector(
        View(open_host(parameters["root"], parameters["root_seed"], True, lambda: str(module.tmpdir))),
        parameters["control_plane"],
        parameters["kubeconfig"],
        runner(module),
        time.time(),
        time.monotonic,
        nonce=secrets.token_hex(8),
        sleep=time.sleep,
        writes=parameters["probe_writes"] and not module.check_mode,
        etcd=parameters["etcd"],
    )
    alone = parameters["etcd_alone"] and not is_of_kubernetes(parameters["root"])
    return {"changed": False, "evidence": collector.collect(), "problem": "", "etcd_alone": alone}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "root_seed": {"type": "path"},
            "control_plane": {"type": "bool", "default": False},
            "etcd": {"type": "bool", "default": False},
            "etcd_alone": {"type": "bool", "default": False},
            "kubeconfig": {"type": "path"},
            "probe_writes": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    missing = find_libraries()
    if missing:
        words = f"No Python on this host has {' and '.join(missing)}, so nothing could be read; install them."
        module.exit_json(changed=False, problem=words)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
