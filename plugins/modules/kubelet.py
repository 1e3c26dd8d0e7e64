#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet
short_description: Bring a kubelet's configuration to its hardened settings, or leave it as it was
version_added: 0.1.0
description:
  - Edits the configuration file line by line, restarts the kubelet once and proves it; its pods run on. If it does not
    come up, the old bytes are back and proven when the module returns.
  - A drop-in or a flag of the owner's that beats a setting stays and is named, with its file. What the kubelet makes of
    all of them decides what it is told of its serving certificate.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this host.
    type: dict
    required: true
  settings:
    description:
      - By concern, by the path of a field, the wanted setting; C(templates/kubelet/configuration.yaml.j2) renders it.
    type: dict
    required: true
  sysctls:
    description:
      - By concern, by its name, each setting of the kernel that the kubelet asks for;
        C(templates/kubelet/sysctls.yaml.j2) renders it. They are set and kept for the next boot
        before the kubelet is told to insist on them.
    type: dict
    default: {}
  extra_flags:
    description: By component, flags of the user's; those of the kubelet go to C(/var/lib/kubelet/kubeadm-flags.env).
    type: dict
    default: {}
  only:
    description:
      - Controls that the run is about. Where there are any, O(extra_flags) are not merged, since they belong to none.
    type: list
    elements: str
    default: []
  remembered:
    description:
      - By field, what ConfigMap C(kubelet-config) will say; filled in by the action plugin where it is known. What the
        owner has stricter on this node goes to C(/var/lib/kubelet/instance-config.yaml), which an upgrade keeps.
    type: dict
    default: {}
  waived:
    description: By control that is waived on some hosts, their names; the ConfigMap is left without those.
    type: dict
    default: {}
  unseen:
    description: Hosts of the cluster that take no part, whose kubelets nobody has asked what they have.
    type: list
    elements: str
    default: []
  gate_timeout:
    description: Seconds that the kubelet may take to be well.
    type: int
    default: 300
  api_servers:
    description:
      - On a control plane, by control plane of the run, the address of its API server; filled in by the action plugin.
        Before its kubelet restarts each must be well, for which it is given O(gate_timeout) seconds.
    type: dict
    default: {}
  nodes:
    description: There, names of the run's nodes, which must be Ready before; filled in by the action plugin.
    type: list
    elements: str
    default: []
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Harden the kubelet of this host
  kubeharden.core.kubelet:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    settings:
      kubelet:
        tlsMinVersion: {ordered_minimum: VersionTLS12, control: kubelet-tls-version}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
asks:
  description: The node's name, where the kubelet waits for a serving certificate that it is to ask for.
  returned: success
  type: list
  elements: str
restarted:
  description: Seconds until it was proven well, where the kubelet was restarted.
  returned: success
  type: dict
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description:
    - What was left undone because it takes a running host, and what the kubelet's unit, or a file that cannot be
      edited, keeps from being in force.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import dataclasses
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
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, kubelet, sight, sysctl
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import THIS_STEP, require_well

    parameters = module.params
    found = parameters["discovery"]
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    planned = kubelet.Kubelet(
        host,
        found["kubelet"],
        parameters["settings"],
        found["node_name"],
        sysctl.Sysctls(host, parameters["sysctls"]),
        parameters["extra_flags"],
        parameters["remembered"],
    )
    changes = planned.plan()
    restarted = {}
    if changes and not module.check_mode:
        service = None
        if host.live:
            name = found["node_name"]
            ready = cluster_health.node_probe(found["kubelet"]["kubeconfig"], name)
            service = kubelet.service(found["kubelet"]["configuration"], runner(module), ready)
            view = sight.build(host, found["admin_kubeconfig"], None, runner(module)) if found["components"] else None
            if view is not None and "kube-apiserver" in found["components"]:
                # A kubelet that starts while its own API server hangs starts no static pod for minutes.
                require_well(view, "kube-apiserver", left=THIS_STEP)
                servers, nodes, limit = parameters["api_servers"], parameters["nodes"], parameters["gate_timeout"]
                cluster_health.require_cluster_well(view, servers, nodes, float(limit), unheard=name)
                service = dataclasses.replace(service, must_be_ready=name in nodes)
        seconds = planned.apply(Backup(host, parameters["run_id"]), service, float(parameters["gate_timeout"]))
        restarted = {} if seconds is None else {"kubelet": seconds}
    not_done = ["The kubelet: no restart and proof, which take a running host."] if changes and not host.live else []
    return result_of(
        module,
        changes,
        asks=[found["node_name"]] if host.live and planned.asks else [],
        restarted=restarted,
        notes=planned.notes,
        not_done=[*planned.not_done, *not_done],
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes and not module.check_mode else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "settings": {"type": "dict", "required": True},
            "sysctls": {"type": "dict", "default": {}},
            "extra_flags": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str", "default": []},
            "remembered": {"type": "dict", "default": {}},
            "waived": {"type": "dict", "default": {}},
            "unseen": {"type": "list", "elements": "str", "default": []},
            "gate_timeout": {"type": "int", "default": 300},
            "api_servers": {"type": "dict", "default": {}},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
