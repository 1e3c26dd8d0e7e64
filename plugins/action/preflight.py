# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of preflight, on the controller: what keeps the run from its first write, of all hosts at once."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.kubeharden.core.plugins.module_utils.controls import readiness, serving_request
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import api_servers
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import RESULTS, found_of
from ansible_collections.kubeharden.core.plugins.plugin_utils.ending_action import EndingAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

NOT_LOOKED_AT = (
    "Whether the host is ready (API, etcd, nodes, room, certificates, kernel, clock) was not looked at, and no lock of "
    "the cluster taken, which takes a running host."
)
#: The tag of the task that writes kubeadm's ConfigMaps: where it is skipped, so is the task, whatever else is wanted.
KUBEADM = "kubeadm"
#: The concerns of which they say something. One that is skipped leaves the task for the others.
SAID = (KUBEADM, "audit", "apiserver", "controller_manager", "scheduler", "etcd", "kubelet")


def as_host(name: str, found: t.Mapping[str, t.Any]) -> readiness.Host:
    """Return a host as it is judged, from what discovery returned."""
    discovery = found.get("discovery") or {}
    server = (discovery.get("components") or {}).get("kube-apiserver") or {}
    return readiness.Host(
        node=str(discovery.get("node_name", "")),
        evidence=found.get("evidence") or {},
        asked=float(found.get("asked") or 0.0),
        mounts=found.get("mounts") or (),
        sets_kernel=bool(found.get("sets_kernel")),
        version=str(server.get("version", "")),
        server=api_servers({name: found}).get(name, ""),
    )


def problems_in(variables: t.Mapping[str, t.Any], names: t.Sequence[str]) -> list[str]:
    """Return what keeps a host from being changed by the word of later tasks than discovery."""
    results = [variables.get(name) for name in names]
    found = [one for result in results if isinstance(result, dict) for one in result.get("problems", [])]
    return list(dict.fromkeys(found))  # two tasks may meet the same


def config_map_problems(
    control_planes: t.Sequence[str],
    found: t.Mapping[str, t.Mapping[str, t.Any]],
    run_tags: t.Sequence[str],
    skip_tags: t.Sequence[str],
) -> dict[str, list[str]]:
    """Return by host what would keep the run from writing kubeadm's ConfigMaps after the control planes.

    Args:
        control_planes: Every one of the inventory; nothing where the run does not write them.
        found: By host of the run, what discovery returned.
        run_tags: What ``--tags`` says.
        skip_tags: What ``--skip-tags`` says.
    """
    present = all("discovery" in found.get(name, {}) for name in control_planes)
    written = KUBEADM not in skip_tags and any(wanted(run_tags, skip_tags, tag) for tag in SAID)
    if not control_planes or not present or not written:
        return {}
    return {name: list(result.get("config_map_problems") or []) for name, result in found.items()}


def address_of(hostvars: t.Any, host: str) -> str:
    """Return at which name or address the controller reaches a host."""
    address = hostvars.raw_get(host).get("ansible_host") or host
    # What every other host of the run has is asked for by each: a template is the exception, and costs more.
    return str(hostvars[host].get("ansible_host") if "{{" in str(address) else address)


def names_refused(host: str, found: t.Mapping[str, t.Mapping[str, t.Any]], address: t.Callable[[str], str]) -> str:
    """Return why the request of a host's kubelet for a serving certificate would be refused, as a clause.

    Args:
        host: The host.
        found: By host of the run, what discovery returned.
        address: At which name or address the controller reaches a host.
    """
    known = next((one["serving_names"] for one in found.values() if one.get("serving_names")), None)
    nodes = {name: str((one.get("discovery") or {}).get("node_name", "")) for name, one in found.items()}
    if known is None or not nodes[host]:
        return ""
    reached: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if node:
            reached.setdefault(node, []).append(address(name))
    told = serving_request.refused_names(nodes[host], known["nodes"], known["server"], known["names"], reached)
    return "; ".join(told)


class ActionModule(EndingAction):
    """Documented in plugins/modules/preflight.py."""

    MODULE = "preflight"

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Judge what discovery saw; where a host is not ready every host gives its lock back, and the run ends."""
        super(HostAction, self).run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        host = variables["inventory_hostname"]
        names = arguments.get("results") or RESULTS
        # Raw: what looks like a template in a host's file is text here too.
        found = {
            name: found_of(variables["hostvars"].raw_get(name), names) for name in variables["ansible_play_hosts_all"]
        }
        later = arguments.get("later_results") or []
        asked = boolean(arguments.get("readiness", True))
        judged = readiness.judge(
            {name: as_host(name, result if asked else {}) for name, result in found.items()},
            boolean(arguments.get("allow_expired", False)),
            boolean(arguments.get("allow_unreachable", False)),
        )
        if not asked:
            for name, result in found.items():
                judged.problems[name] += readiness.room_to_write(name, result.get("evidence") or {})
        told = config_map_problems(
            arguments.get("control_planes") or [],
            found,
            variables.get("ansible_run_tags", ["all"]),
            variables.get("ansible_skip_tags", []),
        )
        problems = {
            name: list(
                dict.fromkeys(
                    [
                        *result.get("problems", []),
                        *told.get(name, []),
                        *judged.problems[name],
                        *problems_in(variables["hostvars"].raw_get(name), later),
                    ]
                )
            )
            for name, result in found.items()
        }
        unreachable = {name for name, result in found.items() if result.get("unreachable_since")}
        ends = any(problems.values()) or unreachable
        kept = self.give_back(arguments, found[host], variables) if ends else []
        if host in unreachable:
            raise AnsibleConnectionFailure(str(found[host]["unreachable_since"]))
        if problems[host]:
            words = " ".join(problems[host]) + _left(found[host], judged.problems[host])
            return {"failed": True, "msg": " ".join([words, *kept])}
        # A directory that stands for a host shows nothing; what could not be discovered at all is said elsewhere.
        blind = asked and "discovery" in found[host] and not found[host].get("evidence")
        not_done = [NOT_LOOKED_AT] if blind else []
        looked_at = bool(asked and found[host].get("evidence"))
        refused = names_refused(host, found, lambda name: address_of(variables["hostvars"], name))
        told = {"notes": judged.notes[host], "not_done": not_done}
        return {"changed": False, "looked_at": looked_at, "names_refused": refused, **told}


def _left(found: t.Mapping[str, t.Any], judged: t.Sequence[str]) -> str:
    """Return what a sentence of the judge does not say: what was left as it was."""
    undone = " but for what a run that died had left under way" if found.get("notes") else ""
    return f" Nothing was changed on any host by this run{undone}." if judged else ""
