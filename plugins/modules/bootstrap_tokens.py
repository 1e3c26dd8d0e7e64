#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens with which nodes join."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bootstrap_tokens
short_description: Make and remove the tokens with which kubelets ask for their first certificate
version_added: 0.1.0
description:
  - Runs on a control plane that is there, with its administrator's kubeconfig, for nodes that join by TLS bootstrap
    instead of C(kubeadm join).
  - Each node that is to join gets a token of its own that ends. It is sealed to a one-time key of that node, so that
    controller, results and logs see ciphertext only. One with which the node can still come for five minutes is kept.
  - A token that was made for a node which has joined is removed.
  - The three ClusterRoleBindings that kubeadm has for it are made where no other does the same.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this control plane.
    type: dict
    required: true
  nodes:
    description: What M(kubeharden.core.kubelet_bootstrap) returned of each node that is to join, or has.
    type: list
    elements: dict
    required: true
  minutes:
    description: For how long a token is valid.
    type: int
    default: 60
  endpoint:
    description:
      - Where the nodes find the API servers, a host or host:port. Empty, it is C(controlPlaneEndpoint) of kubeadm's
        ConfigMap, else what the administrator's kubeconfig says.
    type: str
    default: ""
  kubectl:
    description: The kubectl on the host, where it is in none of the usual places.
    type: path
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Make the token of a node
  kubeharden.core.bootstrap_tokens:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    nodes: ["{{ looked.node }}"]
  delegate_to: cp1
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
given:
  description:
    - By node, C(action), what becomes of its token (C(keep), C(make), C(remove)), a new one (C(sealed)) and when it
      ends (C(ends)). Both are empty where none is kept or made, and of a new one in check mode.
  returned: success
  type: dict
cluster:
  description:
    - What a node must know of the cluster, C(server), and in base64 C(authority), by which it knows the API servers,
      C(clients), by which it knows who asks it, and C(configuration), that of kubelets; empty where none is to join.
  returned: success
  type: dict
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What was left undone because it takes a running cluster.
  returned: success
  type: list
  elements: str
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    result_of,
    run,
    runner,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import bootstrap_tokens
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap import NEW

    parameters = module.params
    host, found, minutes = Host(parameters["root"]), parameters["discovery"], parameters["minutes"]
    if not host.live:
        note = "No bootstrap token was made, which takes a running cluster."
        return result_of(module, [], given={}, cluster={}, notes=[], not_done=[note])
    nodes = [bootstrap_tokens.Node.from_data(node) for node in parameters["nodes"]]
    joining = any(node.state == NEW for node in nodes)
    kubectl = on_host(parameters["kubectl"], found["admin_kubeconfig"], runner(module))
    # All that may be refused comes before the first object is made.
    cluster: dict[str, str] = {}
    bindings: list[dict[str, t.Any]] = []
    if joining:
        bootstrap_tokens.require_acceptance(found)
        said = bootstrap_tokens.cluster_of(kubectl, found, parameters["endpoint"])
        bootstrap_tokens.require_fit(nodes, said)
        cluster, bindings = said.as_data(), bootstrap_tokens.cluster_bindings(kubectl)
    wanted = bootstrap_tokens.plan(nodes, bootstrap_tokens.known_tokens(kubectl), bindings, time.time())
    given = wanted.given
    if not module.check_mode:
        backup = Backup(host, parameters["run_id"])
        given = bootstrap_tokens.apply(kubectl, wanted, nodes, minutes, backup, time.time())
    return result_of(
        module,
        bootstrap_tokens.changes(wanted, minutes),
        given={name: dataclasses.asdict(one) for name, one in given.items()},
        cluster=cluster,
        notes=bootstrap_tokens.notes(found) if joining else [],
        not_done=[],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "minutes": {"type": "int", "default": 60},
            "endpoint": {"type": "str", "default": ""},
            "kubectl": {"type": "path"},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
