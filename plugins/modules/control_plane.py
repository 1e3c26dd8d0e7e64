#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static pods of one control plane."""

from __future__ import annotations

DOCUMENTATION = r"""
module: control_plane
short_description: Bring the static pods of one control plane to their hardened settings, or leave them as they were
version_added: 0.1.0
description:
  - Edits the manifests line by line, so that what is not meant stays byte for byte, and writes each once.
  - Before that the kubelet starts the future manifest beside the running one (the trial); afterwards the new process
    must be proven well (the gate). etcd is never tried; it restarts while the API server of its host is away. If
    anything fails, the old bytes, modes and owners are back when the module returns.
  - The action plugin leaves out the concerns whose tags are not wanted and adds O(extra_flags).
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this host.
    type: dict
    required: true
  flags:
    description:
      - By component, by concern, by flag, the wanted setting, as C(templates/<component>/flags.yaml.j2) renders it.
    type: dict
    required: true
  base_flags:
    description:
      - In the form of O(flags), what an earlier task of the run has written, or would have in check mode,
        where it is taken for granted.
    type: dict
    default: {}
  later_flags:
    description:
      - In the form of O(flags), what a later task of the run may set. They are tried together with O(flags), so that
        each control plane has one trial. Beside that it is only said whether the manifests have them already.
    type: dict
    default: {}
  files:
    description: By component, by the flag that names it, the text of a configuration file of ours.
    type: dict
    default: {}
  extra_flags:
    description: By component, by flag, a value of the user's, merged last.
    type: dict
    default: {}
  only:
    description: Where this names controls, O(extra_flags) are merged over what is in O(flags) and nowhere else.
    type: list
    elements: str
    default: []
  trial:
    description:
      - Whether a changed manifest of kube-apiserver, kube-controller-manager or kube-scheduler is first started beside
        the running one.
    type: bool
    default: true
  tried:
    description: RV(tried) of an earlier task of the run; what was tried there is not tried again.
    type: dict
    default: {}
  write:
    description:
      - Whether what is planned is written. Otherwise it is only planned, and with O(trial) tried, which all control
        planes may do at once, and nothing of it stays; what it is stopped by is in RV(problems), so that the run can be
        ended on every host. Without O(trial), and in check mode, it is looked whether what changes is well and could
        start again.
    type: bool
    default: true
  own_lock:
    description:
      - With O(write=false), whether this call takes the host's lock for its trial and gives it back, for a run that has
        none, as preflight. Where a run that died has left something, nothing is tried, which RV(notes) say.
    type: bool
    default: false
  controller:
    description: Name and boot of the controller, with O(own_lock) filled in by the action plugin.
    type: str
    default: ""
  process:
    description: Process and start time on the controller, with O(own_lock) filled in by the action plugin.
    type: str
    default: ""
  planned:
    description:
      - What an earlier task of the run returned here with O(write=false). What was tried then is not tried again. Where
        nothing was to be changed and nothing else is asked for now, that is the result, and the module is not started.
    type: dict
    default: {}
  gate_timeout:
    description: Seconds that a changed component may take to be well.
    type: int
    default: 300
  api_servers:
    description:
      - By control plane of the run, the address of its API server; filled in by the action plugin. Before something
        restarts here each must be well, for which it is given O(gate_timeout) seconds. Where it names no other, one of
        those that the API knows must be, if the cluster has several.
    type: dict
    default: {}
  nodes:
    description: Names of the run's nodes, which must be Ready before; filled in by the action plugin.
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
- name: Try what every control plane becomes
  kubeharden.core.control_plane:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    flags: "{{ flags }}"
    write: false
  register: planned

- name: Harden the control plane of this host
  kubeharden.core.control_plane:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
    flags:
      kube-apiserver:
        audit:
          audit-log-maxage: {at_least: 30, control: apiserver-audit-log-maxage}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it; empty with O(write=false).
  returned: success
  type: list
  elements: dict
components:
  description: By component, the settings and mounts as they are now, or would be; kubeadm's ConfigMap must say it too.
  returned: success
  type: dict
later_due:
  description: Controls of which the manifests lack something that is in O(later_flags).
  returned: success
  type: list
  elements: str
later_components:
  description: In the form of RV(components), the settings of O(later_flags), but for those that are due.
  returned: success
  type: dict
restarted:
  description: Seconds from the first touch until it was proven well, by component that was restarted.
  returned: success
  type: dict
tried:
  description:
    - By component, a fingerprint of the manifest that was started beside the running one and was well, and of the files
      that its flags name.
  returned: success
  type: dict
due:
  description: Whether there is something to change.
  returned: with O(write=false)
  type: bool
tries:
  description: Whether what changes was to be tried, and not only looked at.
  returned: with O(write=false)
  type: bool
asked:
  description: A digest of what was asked for.
  returned: with O(write=false)
  type: str
problems:
  description: What the change would be stopped by, as sentences.
  returned: with O(write=false), where there is something
  type: list
  elements: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What was left undone because it takes root or a running process.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    PLANNED_OPTIONS,
    require_libraries,
    result_of,
    run,
    runner,
)

LEFT = (
    "What this control plane becomes was not tried beside what runs: a run that died left its lock, or something under "
    "way, on this host, and the next run sees to that first."
)


def tries(module: AnsibleModule) -> bool:
    """Return whether a call that only looks tries too."""
    return bool(module.params["trial"]) and not module.check_mode


def look(module: AnsibleModule, host: t.Any, control_plane: t.Any, plans: t.Sequence[t.Any]) -> list[str]:
    """Look, or try, what keeps the plans from being made; return what a person should know, as sentences."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import locking

    parameters = module.params
    own_lock = parameters["own_lock"]
    if (module.check_mode or own_lock) and (Journal(host).read() or (own_lock and Lock(host).holder())):
        return [LEFT] if tries(module) else []
    if not tries(module):
        control_plane.look(plans)
    elif own_lock and any(plan.differs for plan in plans):
        run = Holder(parameters["run_id"], parameters["controller"], parameters["process"], time.time())
        with locking.borrowed(host, locking.Asking(run, None, False), 0.0):
            control_plane.try_out(plans)
        return [note for plan in plans for note in awaited(host, plan)]
    else:
        control_plane.try_out(plans)
    return []


def awaited(host: t.Any, plan: t.Any) -> list[str]:
    """Return that a component was not tried, since the run makes a file first that it is going to read."""
    from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import TRIABLE
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.tried import awaits_a_file

    if plan.component not in TRIABLE or not plan.differs or not awaits_a_file(host, plan):
        return []
    return [
        (
            f"{plan.component} was not tried beside the running one: its flags name a file that a run makes first, and "
            "tries it then."
        )
    ]


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import sight
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import ControlPlane, Options
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import (
        add_companions,
        plan_component,
    )

    parameters = module.params
    found = parameters["discovery"]
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    view = sight.build(host, found["admin_kubeconfig"], found["runtime_socket"], runner(module))
    options = Options(
        parameters["run_id"],
        parameters["trial"],
        float(parameters["gate_timeout"]),
        parameters["tried"],
        parameters["api_servers"],
        parameters["nodes"],
    )
    control_plane = ControlPlane(host, options, view, found["node_name"])
    plans = [
        plan_component(
            host,
            component,
            found["components"][component]["manifest"],
            flags,
            parameters["files"].get(component, {}),
            parameters["base_flags"].get(component, {}) if module.check_mode else {},
        )
        for component, flags in parameters["flags"].items()
    ]
    later = [
        plan_component(
            host,
            component,
            found["components"][component]["manifest"],
            flags,
            {},
            parameters["flags"].get(component, {}),  # as if it were written already, which it is when they are
        )
        for component, flags in parameters["later_flags"].items()
    ]
    ahead = {plan.component: dataclasses.replace(plan) for plan in later if plan.manifest_changed}
    for plan in plans:
        plan.ahead = ahead.get(plan.component)
    later_due = sorted({str(one.data["control"]) for plan in later for one in plan.settings if one.changed})
    for plan in later:
        plan.settings = [one for one in plan.settings if one.data["control"] not in later_due]
    plans = add_companions(
        plans, lambda name: plan_component(host, name, found["components"][name]["manifest"], {}, {})
    )
    changes = [change for plan in plans for change in plan.changes()]
    due = bool(changes)
    seconds: dict[str, float] = {}
    told: list[str] = []
    if not parameters["write"]:
        changes = []
        told = look(module, host, control_plane, plans)
    elif not module.check_mode:
        seconds = control_plane.apply(plans)
    return result_of(
        module,
        changes,
        components={plan.component: plan.state() for plan in plans},
        later_due=later_due,
        later_components={plan.component: plan.state() for plan in later},
        restarted=seconds,
        tried=control_plane.tried,
        **({} if parameters["write"] else {"due": due, "tries": tries(module)}),
        notes=[*told, *(note for plan in plans for note in plan.notes)],
        not_done=[]
        if host.live
        else [
            f"{plan.component}: no trial, restart and proof, which take a running host."
            for plan in plans
            if plan.restarts
        ],
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes and not module.check_mode else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "flags": {"type": "dict", "required": True},
            "base_flags": {"type": "dict", "default": {}},
            "later_flags": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "extra_flags": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str", "default": []},
            "trial": {"type": "bool", "default": True},
            "tried": {"type": "dict", "default": {}},
            "own_lock": {"type": "bool", "default": False},
            "controller": {"type": "str", "default": ""},
            "process": {"type": "str", "default": ""},
            **PLANNED_OPTIONS,
            "api_servers": {"type": "dict", "default": {}},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "gate_timeout": {"type": "int", "default": 300},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work, under_lock=not module.params["own_lock"])


if __name__ == "__main__":
    main()
