#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet needs to join by itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_bootstrap
short_description: Lay on a new node what its kubelet needs to join by TLS bootstrap, without kubeadm join
version_added: 0.1.0
description:
  - A first call looks (without O(cluster)). It says whether the node has joined, and makes a one-time key to which its
    token is sealed (M(kubeharden.core.bootstrap_tokens)). It changes nothing else.
  - A second call lays the cluster's authority, the bootstrap kubeconfig with the token, the flags that name it, and the
    kubelet's configuration; what is there and right stays. When the node has joined it removes the bootstrap
    kubeconfig.
  - The kubelet is never started by it; RV(notes) say how that is done.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  cluster:
    description: C(cluster) as M(kubeharden.core.bootstrap_tokens) returned it; without it the call looks.
    type: dict
  given:
    description: What that module returned in C(given) for this node; it comes with O(cluster).
    type: dict
    suboptions:
      action:
        description: What becomes of the node's token.
        type: str
        choices: [keep, make, remove]
        required: true
      sealed:
        description: The new token, which only this node can open.
        type: str
        default: ""
      ends:
        description: When its token ends, be it new or kept.
        type: str
        default: ""
  rotates:
    description: The setting C(rotateCertificates) of the kubelet.
    type: dict
    default: {}
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: See whether a node has joined
  kubeharden.core.kubelet_bootstrap:
    run_id: 20261124T101500Z-3f2a
  register: looked
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
node:
  description: >-
    C(node_name), C(state) (C(new) or C(joined)), C(token_id) of the token in its bootstrap kubeconfig, C(spent),
    whether that is to be removed, C(authorities), the fingerprints in the file by which its kubelet knows who asks it,
    null where there is none, and C(receiver), its one-time public key, empty where it needs none.
  returned: when the call looks
  type: dict
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What is not in force though it is written, as sentences.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    result_of,
    run,
)


def node_side(module: AnsibleModule) -> tuple[t.Any, t.Any]:
    """Return the host's files, and what there is of a kubelet among them."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap import Bootstrap
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import Store

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    store = Store(host, parameters["run_id"])
    return store, Bootstrap(store, Discovery(host, control_plane=False).before_join(), time.time())


def look(module: AnsibleModule, store: t.Any, bootstrap: t.Any, told: list[str]) -> dict[str, t.Any]:
    """Return what a control plane must know, with a one-time key where a token is to come."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import one_time
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap import NEW

    node = bootstrap.look()
    wants = node["state"] == NEW and not module.check_mode and store.host.live
    return result_of(
        module,
        [],
        node={**node, "receiver": one_time.ask(store) if wants else ""},
        notes=told,
        not_done=[],
        backup="",
    )


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Look, or plan and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import bootstrap as rollout

    parameters, check = module.params, module.check_mode
    store, bootstrap = node_side(module)
    told: list[str] = []
    if parameters["cluster"] is None:
        if not check:
            told = bootstrap.recover()
            store, bootstrap = node_side(module)
        return look(module, store, bootstrap, told)
    given = parameters["given"]
    cluster = rollout.Cluster.from_data(parameters["cluster"]) if parameters["cluster"] else None
    token = rollout.opened(store, given["sealed"], bootstrap.node) if given["sealed"] else ""
    changes = bootstrap.plan(given["action"], cluster, token, parameters["rotates"])
    if not check:
        bootstrap.apply(Backup(store.host, parameters["run_id"]))
        store.forget_waiting()
    ends = [f"The token of {bootstrap.node} ends at {given['ends']}."] if given["ends"] else []
    return result_of(
        module,
        changes,
        notes=[*bootstrap.notes, *ends],
        not_done=bootstrap.not_done,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes and not check else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "cluster": {"type": "dict"},
            "given": {
                "type": "dict",
                "options": {
                    "action": {"type": "str", "choices": ["keep", "make", "remove"], "required": True},
                    "sealed": {"type": "str", "default": ""},
                    "ends": {"type": "str", "default": ""},
                },
            },
            "rotates": {"type": "dict", "default": {}},
            "report_dir": {"type": "path"},
        },
        required_together=[("cluster", "given")],
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
