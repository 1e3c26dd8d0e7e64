# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of report.json: verdicts on every control of every host, with what the profile and waivers make of them.

docs/report.schema.json says its form.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    EXPLAINED,
    FAIL,
    NOT_APPLICABLE,
    SEVERITIES,
    STATUSES,
    UNKNOWN,
    WAIVED,
    Control,
    Verdict,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.cluster_checks import NODES_ALONE, Cluster
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host, NotJudged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_cluster, judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask
from ansible_collections.kubeharden.core.plugins.plugin_utils.catalogue_files import flags_of
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_waivers import ReportWaiver, expired

SCHEMA = 1
#: The name under which what belongs to no host stands among them.
CLUSTER = "cluster"
_ADDRESS_TYPES = "kubelet-preferred-address-types"


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the tasks of a run returned.

    Attributes:
        hosts: By the inventory's name, what verify_host returned.
        cluster: What verify_cluster returned, None where nobody was asked.
        control_planes: Names of the hosts that the inventory calls control planes.
        nodes_alone: Whether the inventory has none at all.
    """

    hosts: t.Mapping[str, t.Mapping[str, t.Any]]
    cluster: t.Mapping[str, t.Any] | None
    control_planes: t.Sequence[str]
    nodes_alone: bool = False

    def role(self, host: str) -> str:
        """Return what a host is: a control plane, a member of etcd that is no node, or a worker."""
        if host in self.control_planes:
            return "control_plane"
        return "etcd" if (self.hosts.get(host) or {}).get("etcd_alone") else "worker"

    def profile(self, host: str, default: str) -> str:
        """Return a host's own profile; that of what all share is the first control plane's, as in harden.yml."""
        name = (self.control_planes or [""])[0] if host == CLUSTER else host
        return str((self.hosts.get(name) or {}).get("profile") or default)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides beside the evidence."""

    run_id: str
    profile: str
    version: str
    now: float
    waivers: t.Sequence[ReportWaiver] = ()
    newest: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    rotation_grace: int = 30


def build(seen: Seen, controls: t.Sequence[Control], settings: Settings) -> dict[str, t.Any]:
    """Return the document."""
    preferred = _address_types(seen.hosts)
    hosts = [_host(name, result, seen, preferred) for name, result in sorted(seen.hosts.items())]
    answer = seen.cluster or {}
    nobody = NODES_ALONE if seen.nodes_alone else "no API server of the control planes in this run answered"
    problem = str(answer.get("problem") or nobody)
    over = expired(settings.waivers, settings.now)
    in_part = flags_of(_waived_in_part(settings, seen.control_planes))
    grace = settings.rotation_grace
    cluster = Cluster(
        answer.get("evidence"), problem, hosts, over, settings.newest, grace, in_part, nodes_alone=seen.nodes_alone
    )
    names = [CLUSTER, *(host.name for host in hosts)]
    by_host = {name: dataclasses.replace(settings, profile=seen.profile(name, settings.profile)) for name in names}
    profile = by_host[CLUSTER].profile
    results = []
    for control in controls:
        if control.for_cluster:
            said = _with_rights(judge_cluster(cluster, control), hosts)
            results.append(_result(control, CLUSTER, said, by_host[CLUSTER]))
        else:
            results += [
                _result(control, one.name, _with_rights(judge_host(one, control), [one]), by_host[one.name])
                for one in hosts
            ]
    summary = dict.fromkeys(STATUSES, 0)
    for result in results:
        summary[result["status"]] += 1
    return {
        "schema": SCHEMA,
        "run_id": settings.run_id,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(settings.now)),
        "mode": "verify",
        "profile": profile,
        "version": settings.version,
        "hosts": [
            _host_record(host, seen, "" if by_host[host.name].profile == profile else by_host[host.name].profile)
            for host in hosts
        ],
        "controls": [control.as_record() for control in controls],
        "results": results,
        "certificates": [one for host in hosts for one in _certificates(host)],
        "summary": summary,
    }


def _waived_in_part(settings: Settings, control_planes: t.Collection[str]) -> set[str]:
    """Return the controls that are waived on some control planes and not on all."""
    found: dict[str, set[str]] = {}
    for one in settings.waivers:
        if one.holds(settings.now):
            found.setdefault(one.control, set()).update(control_planes if one.hosts is None else one.hosts)
    everywhere = set(control_planes)
    return {control for control, hosts in found.items() if hosts & everywhere and not hosts >= everywhere}


def _host(name: str, result: t.Mapping[str, t.Any], seen: Seen, preferred: t.Sequence[tuple[str, ...]] = ()) -> Host:
    evidence = result.get("evidence")
    configz: t.Mapping[str, t.Any] = {}
    problem = ""
    answer = (seen.cluster or {}).get("evidence") or {}
    if evidence:
        node = str(evidence.get("node_name") or name)
        configz = (answer.get("configz") or {}).get(node) or {}
        problem = str(configz.get("problem") or (answer.get("problems") or {}).get("nodes") or "")
        problem = problem or ("" if configz else _why_not_asked(seen.cluster, node))
    return Host(
        name,
        evidence,
        str(result.get("problem") or ""),
        configz.get("configuration"),
        problem,
        answer.get("kubeadm_config"),
        _reached_at(str((evidence or {}).get("node_name") or name), answer, preferred),
    )


def _address_types(results: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[tuple[str, ...]]:
    """Return in which order each API server takes a node's addresses to reach its kubelet."""
    found = []
    for name, result in results.items():
        try:
            found.append(Host(name, result.get("evidence")).flag("kube-apiserver", _ADDRESS_TYPES).items)
        except NotJudged:
            continue  # there is none, or it was not seen
    return list(dict.fromkeys(found))


def _reached_at(node: str, answer: t.Mapping[str, t.Any], preferred: t.Sequence[tuple[str, ...]]) -> list[str]:
    """Return at which of a node's addresses API servers reach its kubelet: the first of the first kind that it has."""
    known = (answer.get("addresses") or {}).get(node) or []
    ordered = [[one["address"] for kind in kinds for one in known if one["type"] == kind] for kinds in preferred]
    return list(dict.fromkeys(addresses[0] for addresses in ordered if addresses))


def _why_not_asked(cluster: t.Mapping[str, t.Any] | None, node: str) -> str:
    """Return why there is no word of a node's kubelet. No credentials of a worker would get one from its own port."""
    if cluster and cluster.get("evidence"):
        return f"the API server knows no node {node}"
    if cluster and cluster.get("problem"):
        return str(cluster["problem"])
    return "no API server of the control planes in this run answered; where --limit leaves them out, name one too"


def _host_record(host: Host, seen: Seen, own_profile: str) -> dict[str, t.Any]:
    alone = "etcd on a host of its own, without a kubelet" if seen.role(host.name) == "etcd" else ""
    notes = [host.problem or _note(host), alone, f"judged by its own profile {own_profile}" if own_profile else ""]
    return {
        "name": host.name,
        "roles": [seen.role(host.name)],
        "versions": host.known_versions(),
        "reachable": not host.problem,
        "note": mask("; ".join(note for note in notes if note)),
    }


def _note(host: Host) -> str:
    if not host.live:
        return "a directory that stands for a host; what needs a process is unknown"
    if not host.evidence.get("privileged"):
        return "looked at by a user without root's rights; what needs more is unknown"
    return ""


def _with_rights(verdict: Verdict, hosts: t.Sequence[Host]) -> Verdict:
    """Return a verdict that names the missing right, where something was not seen by somebody who is not root."""
    unprivileged = any(host.live and not host.evidence.get("privileged") for host in hosts)
    if verdict.status != UNKNOWN or not unprivileged or "become" in verdict.evidence:
        return verdict
    return Verdict(UNKNOWN, f"{verdict.evidence} (seen without root's rights; more is seen with become: true)")


def _certificates(host: Host) -> t.Iterator[dict[str, t.Any]]:
    for one in host.evidence.get("certificates") or []:
        if "days_left" in one:
            kept = ("path", "subject", "issuer", "names", "not_after", "days_left", "used_by")
            yield {"host": host.name, **{key: one.get(key) for key in kept}}


def _result(control: Control, host: str, verdict: Verdict, settings: Settings) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {
        "control": control.id,
        "host": host,
        "status": verdict.status,
        "severity": control.severity,
        "evidence": mask(verdict.evidence),
        "remedy": control.remedy,
        "mappings": control.shown_mappings(),
    }
    if verdict.status not in (FAIL, UNKNOWN):
        return result
    waiver = next((one for one in settings.waivers if one.holds(settings.now) and one.covers(control, host)), None)
    if waiver is not None:
        return {**result, "status": WAIVED, "waiver": waiver.as_record()}
    if verdict.status == FAIL and not control.is_enforced_by(settings.profile):
        return {**result, "status": EXPLAINED, "evidence": f"{result['evidence']}. {control.explanation}"}
    return result


def failures(report: t.Mapping[str, t.Any], fail_on: str) -> list[t.Mapping[str, t.Any]]:
    """Return the results that end a play: failed or not judged, of this severity or above."""
    if fail_on == "none":
        return []
    counted = SEVERITIES[SEVERITIES.index(fail_on) :]
    return [one for one in report["results"] if one["status"] in (FAIL, UNKNOWN) and one["severity"] in counted]


def worth_telling(report: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """Return what is neither passed nor without meaning on its host."""
    return [one for one in report["results"] if one["status"] not in ("pass", NOT_APPLICABLE)]
