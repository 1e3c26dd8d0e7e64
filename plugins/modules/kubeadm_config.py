#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's ConfigMap."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_config
short_description: Let kubeadm's ConfigMaps say the same as the hosts, so that no upgrade undoes the hardening
version_added: 0.1.0
description:
  - Edits the ClusterConfiguration in ConfigMap C(kube-system/kubeadm-config) line by line, through this host's kubectl.
  - It never goes ahead of a control plane, since C(kubeadm upgrade) would write its settings to that host, where the
    files that they name are missing.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this host.
    type: dict
    required: true
  states:
    description:
      - Of each control plane, what M(kubeharden.core.control_plane) returned as
        RV(kubeharden.core.control_plane#module:components).
    type: list
    elements: dict
    default: []
  base_states:
    description: In the form of O(states), what an earlier task of the run has written, or would have in check mode.
    type: list
    elements: dict
    default: []
  waiting:
    description:
      - Controls that only a later task of the run brings to every control plane. What the first task writes, O(states)
        or in that later task O(base_states), is taken without them.
    type: list
    elements: str
    default: []
  kubelet_settings:
    description:
      - What M(kubeharden.core.kubelet) takes as settings, by field, of the concerns that are wanted. Where all kubelets
        have a stricter value, the action plugin asks for the strictest that each of them has.
    type: dict
    default: {}
  unseen:
    description: Hosts of the cluster that take no part; while there is one, nothing stricter is asked for.
    type: list
    elements: str
    default: []
  missing:
    description: Control planes of the inventory that took no part in this run; while there is one, nothing is touched.
    type: list
    elements: str
    default: []
  waived:
    description:
      - By control that is waived on some hosts, their names. Where one of them is a host that a ConfigMap is for, that
        setting is left there as it is, since C(kubeadm upgrade) would bring it to the host.
    type: dict
    default: {}
  control_planes:
    description: All control planes of the inventory, whose settings C(kubeadm-config) has.
    type: list
    elements: str
    default: []
  nodes:
    description: All hosts of the inventory, whose settings C(kubelet-config) has.
    type: list
    elements: str
    default: []
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
- name: Tell kubeadm
  kubeharden.core.kubeadm_config:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    states: ["{{ hardened.components }}"]
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
notes:
  description:
    - What a person should know, as sentences, such as flags that one configuration cannot say for all control planes;
      the action plugin adds what the template left as it was.
  returned: success
  type: list
  elements: str
remembered:
  description:
    - By field of which a value can be stricter than the template's, what C(kubelet-config) says then; added by the
      action plugin where discovery read it.
  returned: success
  type: dict
not_done:
  description: What was left undone because it takes a running cluster.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old document is on this host, empty where nothing was written.
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
    from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, file_change
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kubeadm

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    both = f"ConfigMaps kube-system/{kubeadm.KUBEADM[0]} and {kubeadm.KUBELET[0]}"
    if not host.live:
        return result_of(module, [], not_done=[f"{both} were not touched, which takes a running cluster."], backup="")
    if parameters["missing"]:
        note = f"{both} were left as they are, since {', '.join(parameters['missing'])} took no part in this run."
        return result_of(module, [], not_done=[note], backup="")
    kubectl = on_host(parameters["kubectl"], parameters["discovery"]["admin_kubeconfig"], runner(module))

    def planned_kubeadm(text: str) -> tuple[str, list[str]]:
        return kubeadm.plan_cluster_configuration(text, parameters["states"], parameters["base_states"])

    def planned_kubelet(text: str) -> tuple[str, list[str]]:
        return kubeletconfig.apply(text, parameters["kubelet_settings"], kubeadm.address(kubeadm.KUBELET[0]))

    changes = []
    writes = []
    notes: list[str] = []
    for (name, key), planned in ((kubeadm.KUBEADM, planned_kubeadm), (kubeadm.KUBELET, planned_kubelet)):
        config_map = kubectl.get_config_map("kube-system", name)
        if config_map is None or key not in config_map.data:
            raise kubeadm.missing(name, "The control planes are hardened, and kubeadm upgrade would undo it")
        before = config_map.data[key]
        if module.check_mode and name == kubeadm.KUBEADM[0]:
            before = kubeadm.plan_cluster_configuration(before, parameters["base_states"], parameters["states"])[0]
        if name == kubeadm.KUBEADM[0]:
            notes = kubeadm.unsaid(before, parameters["states"], parameters["base_states"])
        after, controls = planned(before)
        if after != before:
            change = file_change("api_object", kubeadm.address(name), before, after, controls)
            waits = kubeadm.waits(parameters["states"], controls) if name == kubeadm.KUBEADM[0] else ""
            changes.append(dataclasses.replace(change, wait_for=waits))
            writes.append((name, key, before, dataclasses.replace(config_map, data={**config_map.data, key: after})))
    backup = ""
    if writes and not module.check_mode:
        record = Backup(host, parameters["run_id"])
        for name, key, before, config_map in writes:
            record.note("api_object", kubeadm.address(name), before=before, after=config_map.data[key])
            kubectl.replace_config_map(config_map)
        backup = f"{STATE_DIRECTORY}/backups/{parameters['run_id']}"
    return result_of(module, changes, notes=notes, not_done=[], backup=backup)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "states": {"type": "list", "elements": "dict", "default": []},
            "base_states": {"type": "list", "elements": "dict", "default": []},
            "waiting": {"type": "list", "elements": "str", "default": []},
            "kubelet_settings": {"type": "dict", "default": {}},
            "unseen": {"type": "list", "elements": "str", "default": []},
            "missing": {"type": "list", "elements": "str", "default": []},
            "waived": {"type": "dict", "default": {}},
            "control_planes": {"type": "list", "elements": "str", "default": []},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "kubectl": {"type": "path"},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
