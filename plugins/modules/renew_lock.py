#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is at work on hosts without an API server says so, and sees that the cluster is well before it goes on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: renew_lock
short_description: Renew the lock of the cluster while a run is at work on hosts that have no API server
version_added: 0.1.0
description:
  - Each call on a control plane that is given what M(kubeharden.core.discover) returned renews the Lease
    C(kube-system/kubeharden) when it begins. This one does nothing else, but where O(changed_hosts) names some it
    sees that API servers and the nodes of these hosts are well before the next hosts are changed.
  - Fails where the run does not hold the lock any more, so that it does not go on beside another one.
  - Nothing of the host itself is touched, so the task is never changed.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this control plane.
    type: dict
    required: true
  changed_hosts:
    description:
      - Hosts of the inventory on which this run has restarted something; the action plugin makes O(nodes) of them.
    type: list
    elements: str
    default: []
  api_servers:
    description:
      - By control plane of the run, the address of its API server; filled in by the action plugin where
        O(changed_hosts) names some. Each must be well, for which it is given O(gate_timeout) seconds. Of a rollback
        they are those that were well when it began or that it has put back, and O(nodes) those that were Ready before.
    type: dict
    default: {}
  nodes:
    description: Names of the nodes that must be Ready; filled in by the action plugin.
    type: list
    elements: str
    default: []
  gate_timeout:
    description: Seconds that API servers and nodes may take to be well.
    type: int
    default: 300
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Renew the lock of the cluster
  kubeharden.core.renew_lock:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ hostvars['cp1'].found.discovery }}"
  delegate_to: cp1
  run_once: true
"""

RETURN = r"""#"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    run,
    runner,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """See that what was changed so far is well; what comes around every call renews the lock."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, sight

    parameters = module.params
    if parameters["api_servers"]:
        admin = parameters["discovery"]["admin_kubeconfig"]
        view = sight.build(Host(parameters["root"]), admin, None, runner(module))
        if view is not None:
            limit = float(parameters["gate_timeout"])
            cluster_health.require_cluster_well(view, parameters["api_servers"], parameters["nodes"], limit)
    return {"changed": False}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "changed_hosts": {"type": "list", "elements": "str", "default": []},
            "api_servers": {"type": "dict", "default": {}},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "gate_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
