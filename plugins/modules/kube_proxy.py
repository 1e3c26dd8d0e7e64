#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy of the whole cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy
short_description: Bring kube-proxy's configuration and its pods to their hardened settings, or leave them as they were
version_added: 0.1.0
description:
  - Edits C(config.conf) in ConfigMap C(kube-system/kube-proxy) line by line and, where it is asked for, the pod
    template of the DaemonSet, through this host's kubectl.
  - Where something changed the pods are rolled as the DaemonSet says, and proven. Each must say at its health port that
    it has laid its rules since it was started, and a Service must answer; else the old objects go back.
  - Its kubeconfig and its rights are judged, and never changed.
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
      - By concern, by the path of a field, the wanted setting; C(templates/kube-proxy/configuration.yaml.j2) renders
        it.
    type: dict
    default: {}
  pod:
    description: By concern, what its pods must become; C(templates/kube-proxy/daemonset.yaml.j2) renders it.
    type: dict
    default: {}
  extra_flags:
    description: By component, flags of the user's; those of kube-proxy become fields of its configuration.
    type: dict
    default: {}
  only:
    description:
      - Controls that the run is about. Where there are any, of O(extra_flags) none is merged but those that stand in
        for a setting of these controls.
    type: list
    elements: str
    default: []
  waived:
    description: By control that is waived on some hosts, their names; what all nodes share is then left without it.
    type: dict
    default: {}
  nodes:
    description: All hosts of the inventory.
    type: list
    elements: str
    default: []
  missing:
    description: Control planes of the inventory that took no part in this run; while there is one, nothing is touched.
    type: list
    elements: str
    default: []
  kubectl:
    description: The kubectl on the host, where it is in none of the usual places.
    type: path
  gate_timeout:
    description:
      - Seconds without a step forward of the rollout after which the old objects go back; in any case they do after as
        many for each node, and for two at least.
    type: int
    default: 300
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Harden kube-proxy
  kubeharden.core.kube_proxy:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    settings:
      kube_proxy:
        metricsBindAddress: {loopback: "127.0.0.1:10249", default: "127.0.0.1:10249", control: kube-proxy-metrics}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
restarted:
  description: Seconds until every node's kube-proxy was proven, where they were rolled.
  returned: success
  type: dict
patch:
  description:
    - The same as a patch of kubeadm's own DaemonSet, as text; empty where nothing is asked of the pods, where
      kube-proxy is not run as kubeadm runs it, and where this host is no control plane, on which it would be laid.
  returned: success
  type: str
found:
  description: What its container is started with (C(flags)), and its C(configuration); absent where it is not seen.
  returned: where it is seen
  type: dict
patch_controls:
  description: Identifiers of the controls that the patch keeps.
  returned: success
  type: list
  elements: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
at_last:
  description: The same, of what a person does after the run; the run's last lines.
  returned: where anything was looked at
  type: list
  elements: str
not_done:
  description: What was left undone, as sentences.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old objects are on this host, empty where nothing was written.
  returned: success
  type: str
"""

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
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import (
        PATCHES_DIRECTORY,
        STATE_DIRECTORY,
        open_host,
    )
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kube_proxy_api
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kube_proxy import (
        CONFIG_MAP,
        DAEMON_SET,
        KubeProxy,
    )
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import Keeping, lease_of

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    left = {"restarted": {}, "patch": "", "patch_controls": [], "notes": [], "backup": ""}
    if not host.live:
        note = f"{CONFIG_MAP} and the DaemonSet were not touched, which takes a running cluster."
        return result_of(module, [], **{**left, "not_done": [note]})
    if parameters["missing"]:
        names = ", ".join(parameters["missing"])
        note = f"{CONFIG_MAP} and the DaemonSet were left as they are, since {names} took no part in this run."
        return result_of(module, [], **{**left, "not_done": [note]})
    obstacle = (parameters["discovery"].get("api") or {}).get("obstacle")
    if obstacle:
        note = f"{CONFIG_MAP} and the DaemonSet were left as they are, since {obstacle}. Mend that, and run again."
        return result_of(module, [], **{**left, "not_done": [note]})
    admin = parameters["discovery"]["admin_kubeconfig"]
    # Many nodes are rolled one by one, for longer than the lock of the cluster lasts.
    sleep = Keeping(lease_of(admin), parameters["run_id"])
    api = kube_proxy_api.build(runner(module), admin, parameters["kubectl"], sleep)
    planned = KubeProxy(api, parameters["settings"], parameters["pod"])
    changes = planned.plan()
    restarted = {}
    if changes and not module.check_mode:
        backup = Backup(host, parameters["run_id"])
        restarted = {"kube-proxy": planned.apply(host, backup, float(parameters["gate_timeout"]))}
    patch = planned.patch()
    notes = planned.notes
    at_last = []
    if patch and "kube-apiserver" not in parameters["discovery"]["components"]:
        patch = ""
        notes.append(
            f"An upgrade of the control plane may write {DAEMON_SET} anew, as kubeadm does, and give its pods their "
            "rights back: run harden.yml after it."
        )
    elif patch:
        # The command is what a person needs next: it comes last.
        at_last.append(
            f"kubeadm upgrade keeps all of this only with --patches {PATCHES_DIRECTORY} on control planes "
            f"(kubeadm upgrade apply VERSION --patches {PATCHES_DIRECTORY}, kubeadm upgrade node --patches "
            f"{PATCHES_DIRECTORY}); workers have no patches and take kubeadm upgrade node alone. Without it, run "
            "harden.yml again afterwards."
        )
    return result_of(
        module,
        changes,
        restarted=restarted,
        at_last=at_last,
        patch=patch,
        patch_controls=sorted(str(data["control"]) for data in parameters["pod"].values()),
        found=planned.found,
        notes=notes,
        not_done=planned.not_done,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if restarted else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "settings": {"type": "dict", "default": {}},
            "pod": {"type": "dict", "default": {}},
            "extra_flags": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str", "default": []},
            "waived": {"type": "dict", "default": {}},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "missing": {"type": "list", "elements": "str", "default": []},
            "kubectl": {"type": "path"},
            "gate_timeout": {"type": "int", "default": 300},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
