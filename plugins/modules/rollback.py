#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One part of putting runs back on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Put back, on one host, what runs changed there
version_added: 1.0.0
description:
  - Goes by the records in C(/var/lib/kubeharden/backups). Everything goes to what it was before the oldest of the runs,
    in one step; what somebody else has changed since is left as it is and named.
  - Static pods and the kubelet are proven as C(harden.yml) proves them; one that does not come up gets back what it
    had. Where a static pod was not well before, what was there before the runs stays.
  - Keys and certificates never come back. A kubelet keeps the settings by which it serves a certificate of the
    cluster's authority while an API server verifies it.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this host.
    type: dict
    required: true
  runs:
    description: >-
      The runs to put back, in any order; those that were put back already, or are not known here, are left out.
    type: list
    elements: str
    required: true
  part:
    description: >-
      V(cluster) is what the runs changed in the API through this host, V(static_pods) the control plane, V(kubelet) the
      kubelet with the kernel's settings, V(files) everything else, V(end) marks the runs as put back when nothing is
      left of them.
    type: str
    choices: [cluster, static_pods, kubelet, files, end]
    required: true
  missing:
    description: Control planes of the inventory that take no part; the API is left as it is where there is one.
    type: list
    elements: str
    default: []
  control_planes:
    description: >-
      All control planes of the inventory, for V(kubelet), V(files) and V(end); the action plugin makes O(api_servers)
      of them.
    type: list
    elements: str
    default: []
  api_servers:
    description: >-
      By control plane of the inventory, whether its API server verifies what kubelets serve
      (C(--kubelet-certificate-authority)), null where it takes no part; filled in by the action plugin. While one does,
      or may, the kubelet keeps its serving certificate.
    type: dict
    default: {}
  beside:
    description: >-
      For V(static_pods), by other control plane of the run, the address of its API server, where discovery found that
      well or this rollback has put it back; filled in by the action plugin. Before something that is well restarts here
      each must be well, for which it is given O(gate_timeout) seconds.
    type: dict
    default: {}
  front_door:
    description: >-
      For V(static_pods), how the API's clients were served when this rollback began, by the word of a host whose turn
      came before; filled in by the action plugin. Where requests were lost by then, nobody asks any more.
    type: str
    choices: ["", served, lost]
    default: ""
  waiting:
    description: For V(end), whether what the runs changed in the API still has to go back, where they did.
    type: bool
    default: false
  trial:
    description: Whether a static pod's old manifest is first started beside the running one.
    type: bool
    default: true
  gate_timeout:
    description: Seconds that a component may take to be well.
    type: int
    default: 300
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
- name: Put the control plane back
  kubeharden.core.rollback:
    run_id: 20261124T113000Z-77aa
    discovery: "{{ found.discovery }}"
    runs: [20261124T101500Z-3f2a]
    part: static_pods
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
restarted:
  description: Seconds until it was proven well, by component that was restarted.
  returned: success
  type: dict
waiting:
  description: Whether something of the API still has to go back.
  returned: success
  type: bool
verifies_kubelets:
  description: Whether this host's API server verifies what kubelets serve when its part is back.
  returned: for V(static_pods)
  type: bool
was_ready:
  description: Whether the API said that the node is Ready before this part went back, so that it must be so after.
  returned: for V(static_pods) and V(kubelet)
  type: bool
front_door:
  description: How the API's clients were served when this rollback began, as O(front_door) takes it.
  returned: for V(static_pods)
  type: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What does not go back and why, as sentences.
  returned: success
  type: list
  elements: str
backup:
  description: Where what was there until now is on this host, empty where nothing was written.
  returned: success
  type: str
"""

import os
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

#: Seconds until it was proven well, by component that was restarted, and what a person should know, as sentences.
Done = tuple[dict[str, float], list[str]]


def put_cluster_back(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any]) -> dict[str, t.Any]:
    """Put the API's objects back, or say why they wait."""
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kube_proxy_api
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_back import ClusterBack, names
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import Keeping, lease_of

    parameters = module.params
    objects = names(runs)
    if not objects:
        return result_of(module, [], waiting=False, not_done=[])
    listed = " and ".join(objects)
    if parameters["missing"]:
        note = f"{listed} were left as they are, since {', '.join(parameters['missing'])} took no part in this run."
        return result_of(module, [], waiting=True, not_done=[note])
    admin = parameters["discovery"]["admin_kubeconfig"]
    if not admin:
        return result_of(module, [], waiting=True, not_done=[unasked(objects)])
    kubectl = on_host(parameters["kubectl"], admin, runner(module))
    if kubectl.try_get("/readyz") is None:
        return result_of(module, [], waiting=True, not_done=[unanswered(listed, admin)])

    def kube_proxy() -> t.Any:
        # Many nodes are rolled one by one, for longer than the lock of the cluster lasts.
        sleep = Keeping(lease_of(admin), parameters["run_id"])
        return kube_proxy_api.build(runner(module), admin, parameters["kubectl"], sleep)

    planned = ClusterBack(runs, kubectl, kube_proxy)
    changes = planned.plan()
    restarted: dict[str, float] = {}
    if changes and not module.check_mode:
        restarted = planned.apply(host, begun(module, host, runs), float(parameters["gate_timeout"]))
    return result_of(
        module, changes, waiting=False, restarted=restarted, notes=planned.notes, not_done=planned.not_done
    )


def unanswered(listed: str, admin: str) -> str:
    """Return until when the API's objects wait."""
    from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig

    ended = kubeconfig.load(admin).expired(time.time())
    if ended:
        return f"{listed} wait until the API can be asked. {ended}"
    return f"{listed} wait until the API answers; run rollback.yml again then."


def unasked(objects: t.Sequence[str]) -> str:
    """Return why the API's objects wait on a node without a kubeconfig by which the API could be asked."""
    return (
        f"{' and '.join(objects)} wait, since kubeharden_kubeconfig names no kubeconfig on this host that can be used. "
        "Name one, and run rollback.yml again."
    )


def begun(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any]) -> t.Any:
    """Return the backup of this rollback, which says what it puts back before it changes anything."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup

    backup = Backup(host, module.params["run_id"])
    backup.write(undoes=[past.run_id for past in reversed(runs)], finished=False)
    return backup


def planner(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any]) -> t.Any:
    """Return what plans the way back of this host."""
    from ansible_collections.kubeharden.core.plugins.module_utils.components.sysctl import path_of
    from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import attributes, undo

    def sysctl(name: str) -> str | None:
        path = path_of(name)
        return (read_text(path) or "").strip() if os.path.exists(path) else None

    seen = undo.Seen(sysctl, attributes.override_of, attributes.user_exists)
    verified = undo.still_verified(module.params["api_servers"])
    return undo.Undo(host, runs, module.params["discovery"], seen, module.check_mode, verified)


def put_static_pods_back(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any], steps: t.Sequence[t.Any]) -> Done:
    """Put the control plane's static pods back."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import sight
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import Options
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.way_back import StaticPodsBack

    parameters, found = module.params, module.params["discovery"]
    begun(module, host, runs)
    view = sight.build(host, found["admin_kubeconfig"], found["runtime_socket"], runner(module), allow_expired=True)
    options = Options(
        parameters["run_id"],
        parameters["trial"],
        float(parameters["gate_timeout"]),
        api_servers=parameters["beside"],  # nodes may be what this rollback has yet to heal
        front_door=parameters["front_door"] != "lost",
    )
    manifests = {name: str(one["manifest"]) for name, one in found["components"].items()}
    back = StaticPodsBack(host, options, view, found["node_name"], manifests)
    return back.put_back(steps), back.notes


def put_kubelet_back(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any], steps: t.Sequence[t.Any]) -> Done:
    """Put the kubelet back, then the kernel's settings that it may have insisted on."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, kubelet, sight
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import THIS_STEP, require_well
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.way_back import KubeletBack, put_rest_back

    parameters, found = module.params, module.params["discovery"]
    backup = begun(module, host, runs)
    service = None
    if host.live:
        ready = cluster_health.node_probe(found["kubelet"]["kubeconfig"], found["node_name"])
        service = kubelet.service(found["kubelet"]["configuration"], runner(module), ready)
    restarts = any(step.change.restart for step in steps)
    if service is not None and restarts and "kube-apiserver" in found["components"] and service.healthy():
        view = sight.build(host, found["admin_kubeconfig"], None, runner(module), allow_expired=True)
        # A kubelet that starts while its own API server hangs starts no static pod for minutes.
        require_well(view, "kube-apiserver", left=THIS_STEP)  # type: ignore[arg-type]
    back = KubeletBack(host, found["kubelet"], {}, found["node_name"]).put_back(steps)
    seconds = back.apply(backup, service, float(parameters["gate_timeout"]))
    put_rest_back(host, [step for step in steps if not step.change.restart], backup, runner(module))
    return ({} if seconds is None else {"kubelet": seconds}), []


def put_files_back(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any], steps: t.Sequence[t.Any]) -> Done:
    """Put back what restarts nothing."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.way_back import put_rest_back

    put_rest_back(host, steps, begun(module, host, runs), runner(module))
    return {}, []


def put_part_back(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any]) -> dict[str, t.Any]:
    """Plan one part of the host, and outside check mode put it back."""
    act = {"static_pods": put_static_pods_back, "kubelet": put_kubelet_back, "files": put_files_back}
    plan = planner(module, host, runs)
    part = module.params["part"]
    steps = [step for step in plan.plan() if step.part == part]
    if part == "static_pods" and steps and not module.check_mode:
        module.params["front_door"] = front_door(module, host)
    acts = bool(steps) and not module.check_mode
    was_ready = acts and part != "files" and is_ready(module, host)
    restarted, notes = act[part](module, host, runs, steps) if acts else ({}, [])
    told: dict[str, t.Any] = {"notes": notes, "not_done": plan.withheld if part == "kubelet" else []}
    if part == "files":  # told once, with the part that comes last
        told = {"notes": plan.notes, "not_done": plan.not_done}
    else:
        told["was_ready"] = was_ready
    if part == "static_pods":
        told["verifies_kubelets"] = verifies_kubelets(module, host, steps)
        told["front_door"] = module.params["front_door"]
    return result_of(module, [step.change for step in steps], restarted=restarted, waiting=False, **told)


def is_ready(module: AnsibleModule, host: t.Any) -> bool:
    """Return whether the API says that this node is Ready; where nobody knows it need not be so after either."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health

    found = module.params["discovery"]
    return bool(host.live and cluster_health.node_probe(found["kubelet"]["kubeconfig"], found["node_name"])(0.0))


def front_door(module: AnsibleModule, host: t.Any) -> str:
    """Return how the API's clients were served when this rollback began: no static pod has gone back before this one's.

    What a run broke behind a load balancer may be well on every host, and goes back all the same.
    """
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import sight
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import serves

    known = str(module.params["front_door"])
    if known or not host.live:
        return known
    admin = module.params["discovery"]["admin_kubeconfig"]
    view = sight.build(host, admin, None, runner(module), allow_expired=True)
    return "served" if serves(view) else "lost"  # type: ignore[arg-type]


def verifies_kubelets(module: AnsibleModule, host: t.Any, steps: t.Sequence[t.Any]) -> bool:
    """Return whether the API server's manifest, as it is now or in check mode is going to be, has the flag."""
    from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
    from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import VERIFIES

    path = str(module.params["discovery"]["components"]["kube-apiserver"]["manifest"])
    after = [step.change.after or "" for step in steps if step.change.target == path]
    text = after[0] if after else read_text(host.path(path)) or ""
    return bool(Manifest.parse(text, path).flag_values("kube-apiserver", VERIFIES))


def end(module: AnsibleModule, host: t.Any, runs: t.Sequence[t.Any]) -> dict[str, t.Any]:
    """Mark the runs as put back when nothing is left of them."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import finish_rollbacks, mark_undone
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import approvals
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_back import names

    run_id = module.params["run_id"]
    objects = names(runs)
    waiting = module.params["waiting"] and objects
    # Where the API can be asked an earlier part has said why they wait.
    not_done = [unasked(objects)] if waiting and not module.params["discovery"]["admin_kubeconfig"] else []
    plan = planner(module, host, runs)
    if not module.check_mode and not waiting and not plan.plan():
        if not plan.withheld:
            approvals.strike(host, [past.run_id for past in runs])
            mark_undone(host, [past.run_id for past in runs], run_id)
        finish_rollbacks(host, run_id)
    return result_of(module, [], not_done=not_done)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode put back."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    runs = [past for past in past_runs(host) if past.run_id in parameters["runs"] and not past.undone_by]
    act = {"cluster": put_cluster_back, "end": end}.get(parameters["part"], put_part_back)
    result = act(module, host, runs)
    written = result["changed"] and not module.check_mode
    return {**result, "backup": f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if written else ""}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "runs": {"type": "list", "elements": "str", "required": True},
            "part": {
                "type": "str",
                "choices": ["cluster", "static_pods", "kubelet", "files", "end"],
                "required": True,
            },
            "missing": {"type": "list", "elements": "str", "default": []},
            "control_planes": {"type": "list", "elements": "str", "default": []},
            "api_servers": {"type": "dict", "default": {}},
            "beside": {"type": "dict", "default": {}},
            "front_door": {"type": "str", "choices": ["", "served", "lost"], "default": ""},
            "waiting": {"type": "bool", "default": False},
            "trial": {"type": "bool", "default": True},
            "gate_timeout": {"type": "int", "default": 300},
            "kubectl": {"type": "path"},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
