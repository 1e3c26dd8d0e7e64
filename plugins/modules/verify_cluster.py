#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's controls are judged by."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_cluster
short_description: Collect what only the API knows
version_added: 0.1.0
description:
  - Reads roles, bindings, accounts, namespaces, pods, kubeadm's ConfigMaps and what each kubelet reports of itself, on
    one control plane, in one call. Changes nothing.
  - What the credentials may not read is said, with the API server's own words.
options:
  kubeconfig:
    description:
      - Credentials on the host; those of somebody who may only read will do. The server that they name is asked.
      - Without it C(/etc/kubernetes/admin.conf), with which the host's own API server is asked, where one runs there,
        since the one that is named may be another control plane's and be down.
    type: path
attributes:
  check_mode:
    description: Can run in check mode, which makes no difference.
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
- name: Look at the cluster
  kubeharden.core.verify_cluster:
  register: seen
"""

RETURN = r"""
evidence:
  description: What was read, without any secret; its form is this version's own.
  returned: when the API could be asked
  type: dict
problem:
  description: Why it could not, one sentence; empty when it could.
  returned: always
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import find_libraries, run


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Ask the API server."""
    from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import ADMIN_KUBECONFIG
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_evidence import (
        ClusterCollector,
        credentials,
        server_of,
    )

    given = module.params["kubeconfig"]
    server = "" if given else server_of(Host())
    collector = ClusterCollector.of(credentials(given or ADMIN_KUBECONFIG), time.time(), server)
    return {"changed": False, "evidence": collector.collect(), "problem": ""}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"kubeconfig": {"type": "path"}},
        supports_check_mode=True,
    )
    missing = find_libraries()
    if missing:
        words = f"No Python on this host has {' and '.join(missing)}, so the API could not be asked; install them."
        module.exit_json(changed=False, problem=words)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
