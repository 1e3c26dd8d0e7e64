# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster is ready for a change, judged from what its hosts show (rollout.readiness)."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import each_numbered, numbered

#: Seconds by which the clocks of two hosts may differ. Leases of Kubernetes end after 15 to 40 s, and a host that is
#: further behind takes a new certificate for one that does not hold yet.
CLOCKS = 30.0
#: Bytes that a run may write to one directory: manifests, configuration and their backups are some 100 KiB.
ROOM = 4 * 1024 * 1024
_MIB = 1024 * 1024
#: What is said of trouble that keeps a run from beginning, but not one that renews certificates.
_GOES_ON = "The rotation goes on all the same."
#: The flag whose directory a run may mount.
_AUDIT_LOG = "audit-log-path"

Evidence = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Host:
    """One host as the run sees it.

    Attributes:
        node: The node's name in the API.
        evidence: What it showed, empty where no process belongs to its files.
        asked: Seconds since the epoch on the controller when it had answered.
        mounts: Flags whose directory the run mounts there, where they need it.
        sets_kernel: Whether the run sets what a kubelet with protectKernelDefaults asks of the kernel.
        version: That of its kube-apiserver, empty where it has none.
        server: The address (https://host:port) of that, empty where it says none.
    """

    node: str
    evidence: Evidence
    asked: float
    mounts: t.Collection[str] = ()
    sets_kernel: bool = False
    version: str = ""
    server: str = ""


@dataclasses.dataclass
class Findings:
    """By host, sentences: what keeps the run from beginning, and what a person should know."""

    problems: dict[str, list[str]]
    notes: dict[str, list[str]]


def judge(hosts: t.Mapping[str, Host], allow_expired: bool = False, allow_unreachable: bool = False) -> Findings:
    """Return everything that keeps a run from beginning, of all hosts at once.

    A rotation restarts next to nothing, and certificates that are not renewed end: what is wrong with a node, or would
    be when something is restarted, must not keep those of all others from being renewed.

    Args:
        hosts: By name in the inventory.
        allow_expired: Whether the run renews certificates, so that those that have ended are its work.
        allow_unreachable: Whether the run goes on without what does not answer.
    """
    found = Findings({name: [] for name in hosts}, {name: [] for name in hosts})
    seen = {name: host for name, host in hosts.items() if host.evidence}
    etcd_ended = allow_expired and any(_have_ended("etcd", host.evidence) for host in seen.values())
    closed = any((host.evidence.get("api") or {}).get("closed") for host in seen.values())
    for name, host in seen.items():
        problems = found.problems[name]
        ends = not allow_expired or _is_control_plane(host)
        problems += each_numbered("KH131", _api(name, host.evidence))
        _tell(found, name, "KH135", _room(name, host.evidence, "written"), ends)
        _tell(found, name, "KH135", _room(name, host.evidence, "audit"), not allow_expired)
        found.notes[name] += _endless(name, host.evidence)
        problems += each_numbered("KH136", [] if allow_expired else _certificates(name, host))
        _tell(found, name, "KH137", _upgrade(name, host.evidence), ends)
        _tell(found, name, "KH138", _unmounted(name, host), not allow_expired)
        _tell(found, name, "KH139", _kernel(name, host), not allow_expired)
        _etcd(name, host.evidence, found, etcd_ended)
        _nodes(name, host.evidence, hosts.values(), found, not allow_expired)
        alone = _alone(host) if sum("api" in one.evidence for one in seen.values()) == 1 and not allow_expired else []
        problems += each_numbered("KH131", alone)
        if not alone:
            _others(name, host.evidence, seen.values(), found, not allow_expired, allow_unreachable)
        if host.evidence.get("served") and not closed:
            problems.append(str(host.evidence["served"]))
        if host.evidence.get("unlisted"):
            problems.append(str(host.evidence["unlisted"]))
        if (host.evidence.get("api") or {}).get("closed"):
            found.notes[name].append(
                f"A certificate between the administrator and the API of {name} has ended, so that nodes, and how the "
                "API's clients are served, were not looked at."
            )
    _versions(seen, found)
    _clocks(seen, found, allow_expired)
    return found


def _is_control_plane(host: Host) -> bool:
    return "api" in host.evidence


def _tell(found: Findings, name: str, number: str, sentences: t.Sequence[str], ends: bool) -> None:
    """Tell what is wrong with a host: as what ends the run, or as a note."""
    if ends:
        found.problems[name] += each_numbered(number, sentences)
    else:
        found.notes[name] += [f"{sentence} {_GOES_ON}" for sentence in sentences]


def _api(name: str, evidence: Evidence) -> list[str]:
    trouble = (evidence.get("api") or {}).get("unwell")
    if not trouble:
        return []
    return [f"kube-apiserver of {name} is not well: {trouble}; mend it first (its log: crictl logs, journalctl)."]


def the_last(node: str, away: t.Sequence[str]) -> str:
    """Return that of several API servers one is the last that is well, without what to do."""
    return f"Of the kube-apiservers of {', '.join([node, *away])} only that of {node} is well"


def _alone(host: Host) -> list[str]:
    """Return the sentence that a run on one control plane would take the last API server away."""
    away = host.evidence.get("others_away")
    if not away:
        return []
    do = "mend another one first, or remove the nodes of those that are gone (kubectl delete node)"
    return [f"{the_last(host.node, away)}; {do}."]


def _others(
    name: str, evidence: Evidence, ours: t.Collection[Host], found: Findings, ends: bool, allow_unreachable: bool
) -> None:
    """Tell of API servers that take no part in the run: each one that goes leaves the API on fewer, and they may be it.

    Those of the run are judged by what their own hosts show.
    """
    known = {word for one in ours if _is_control_plane(one) for word in (one.node, one.server) if word}
    for one in evidence.get("others_unwell") or []:
        if one["node"] in known or one["server"] in known:
            continue
        who = f"kube-apiserver of {one['node']}" if one["node"] else f"The API server {one['server']}"
        trouble = f"{who}, which takes no part in this run, is not well: {one['trouble']}"
        if not ends:
            found.notes[name].append(f"{trouble}. {_GOES_ON}")
        elif one["silent"] and allow_unreachable:
            found.notes[name].append(f"{trouble}. The run goes on without it (kubeharden_allow_unreachable).")
        else:
            found.problems[name].append(numbered("KH131", f"{trouble}; {_out_of(one)}."))


def _out_of(one: t.Mapping[str, t.Any]) -> str:
    """Return what to do about an API server that takes no part, a clause in the imperative."""
    if not one["silent"]:
        return "mend it first"
    gone = f", remove its node where it is gone (kubectl delete node {one['node']})" if one["node"] else ""
    return f"mend it first{gone}, or go on without it (kubeharden_allow_unreachable)"


def _have_ended(user: str, evidence: Evidence) -> bool:
    return any(one["user"] == user and one["ends"] <= evidence["now"] for one in evidence.get("certificates") or [])


def _etcd(name: str, evidence: Evidence, found: Findings, ended: bool) -> None:
    etcd = evidence.get("etcd") or {}
    for alarm in etcd.get("alarms", []):
        found.problems[name].append(
            numbered(
                "KH132",
                f"etcd has raised the alarm {alarm}, seen on {name}, so that it may take no more writes; mend what it "
                "is about (for NOSPACE: compact and defragment it, or raise --quota-backend-bytes), then "
                "etcdctl alarm disarm.",
            )
        )
    if etcd.get("unwell") and ended:
        members = "; ".join(etcd["unwell"])
        found.notes[name].append(
            f"etcd has members that are not well, seen on {name}: {members}; certificates of etcd have ended."
        )
    elif etcd.get("unwell"):
        found.problems[name].append(
            numbered(
                "KH133",
                f"etcd has members that are not well, seen on {name}: {'; '.join(etcd['unwell'])}; mend them first, "
                "since a restart could take the majority away.",
            )
        )
    if etcd.get("unseen"):
        found.notes[name].append(f"etcd's members and alarms were not looked at: {str(etcd['unseen']).rstrip('.')}.")


def _nodes(name: str, evidence: Evidence, hosts: t.Collection[Host], found: Findings, ends: bool) -> None:
    ours = [host.node for host in hosts]
    # Of a host of which nothing could be read nobody knows which node is its own.
    takes = "may take" if any(host.evidence and not host.node for host in hosts) else "takes"
    for node in evidence.get("nodes") or []:
        if not node["trouble"]:
            continue
        if node["name"] in ours:
            trouble = f"Node {node['name']} is not Ready ({node['trouble']})"
            if ends:
                sentence = f"{trouble}; get it Ready first, or leave it out with --limit."
                found.problems[name].append(numbered("KH134", sentence))
            else:
                found.notes[name].append(f"{trouble}. {_GOES_ON}")
        else:
            found.notes[name].append(f"Node {node['name']}, which {takes} no part in this run, is not Ready.")


def _room(name: str, evidence: Evidence, whose: str) -> list[str]:
    """Return where room is short: where the run writes (``written``), or kube-apiserver alone does (``audit``)."""
    problems = []
    for place in evidence.get("room") or []:
        if place["audit"] != (whose == "audit"):
            continue
        needed, path = ROOM + place.get("budget", 0), place["path"]
        if place["read_only"]:
            problems.append(f"{path} of {name} is on a read-only file system; mount it read-write.")
        elif not place["inodes"]:
            problems.append(f"The file system of {path} on {name} has no inode left; remove files there.")
        elif place["free"] < needed:
            what = "the audit log's rotation may still take" if place["audit"] else "a run may write"
            bounded = place["audit"] and not place["endless"]
            problems.append(
                f"The file system of {path} on {name} has {place['free'] // _MIB} MiB left, and {what} "
                f"{needed // _MIB} MiB there; make room"
                + (", or lower audit-log-maxsize or audit-log-maxbackup." if bounded else ".")
            )
    return problems


def _endless(name: str, evidence: Evidence) -> list[str]:
    return [
        f"The audit log in {place['path']} of {name} may become of any size ({place['endless']} is 0), so that nobody "
        "can say whether there is room for it; see that its files are moved away in time."
        for place in evidence.get("room") or []
        if place.get("endless")
    ]


def room_to_write(name: str, evidence: Evidence) -> list[str]:
    """Return what keeps a host from being written to, where nothing else is asked for, as when runs are put back.

    The audit log takes no more than it did before.
    """
    return each_numbered("KH135", _room(name, evidence, "written"))


def _certificates(name: str, host: Host) -> list[str]:
    problems = []
    now = host.evidence["now"]
    for one in host.evidence.get("certificates") or []:
        if one["ends"] <= now:
            problems.append(
                f"{one['path']} of {one['user']} on {name} ended {_utc(one['ends'])}; renew it first (kubeadm certs "
                "renew)."
            )
        elif one["begins"] > now:
            problems.append(
                f"{one['path']} of {one['user']} on {name} holds from {_utc(one['begins'])} on only; look at the "
                "host's clock."
            )
    return problems


def _upgrade(name: str, evidence: Evidence) -> list[str]:
    words = "`{words}` is at work on {host} (process {pid}); wait until it has ended."
    return [words.format(host=name, **one) for one in evidence.get("upgrade") or []]


def _versions(hosts: t.Mapping[str, Host], found: Findings) -> None:
    """Between `upgrade apply` on one control plane and `upgrade node` on the next no process of kubeadm is there."""
    versions = {name: host.version for name, host in hosts.items() if host.version}
    newest = max(versions.values(), key=_parts, default="")
    for name, version in versions.items():
        if version != newest:
            upgraded = ", ".join(other for other, one in versions.items() if one == newest)
            found.problems[name].append(
                numbered(
                    "KH137",
                    f"kube-apiserver of {name} is {version} and that of {upgraded} {newest}, so an upgrade is half "
                    f"done; end it on {name} first (kubeadm upgrade node), or leave {name} out with --limit.",
                )
            )


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _unmounted(name: str, host: Host) -> list[str]:
    words = (
        "--{flag} of {component} on {host} names {path}, which {manifest} does not mount, so that it is written into "
        "the container and ends with it; mount its directory{instead}."
    )
    instead = {_AUDIT_LOG: ", or let the run do it (its control is left out, or its tag)"}
    return [
        words.format(host=name, instead=instead.get(one["flag"], ""), **one)
        for one in host.evidence.get("unmounted") or []
        if one["flag"] not in host.mounts
    ]


def _kernel(name: str, host: Host) -> list[str]:
    differing, reason = host.evidence.get("kernel") or [], host.evidence.get("kernel_stays")
    if not differing or (host.sets_kernel and not reason):
        return []
    do = "set them in /etc/sysctl.d and with sysctl --system"
    if host.sets_kernel:
        do = f"this run cannot set them, since {reason}; correct that"
    sentence = (
        f"The kubelet of {name} insists on its kernel's settings (protectKernelDefaults) and would not start again: "
        f"{'; '.join(differing)}; {do}."
    )
    return [sentence]


def _clocks(hosts: t.Mapping[str, Host], found: Findings, allow_expired: bool) -> None:
    """Judge clocks against one another, and against those of the API servers that answered at the front door.

    Where all agree it is the controller that is off, which changes nothing. Of an even number of hosts its clock
    decides, so that of two that differ the right one is not blamed; where no two clocks agree each is.
    """
    ahead = {name: host.evidence["now"] - host.asked for name, host in hosts.items()}
    if not ahead:
        return
    votes = sorted([*ahead.values(), *([] if len(ahead) % 2 else [0.0])])
    middle = votes[len(votes) // 2]
    alone = len(votes) > 1 and sum(abs(vote - middle) <= CLOCKS for vote in votes) == 1
    for name, offset in ahead.items():
        apart = hosts[name].evidence.get("apart") or 0.0
        if alone:
            sentence = (
                f"The clock of {name} agrees with no other that was seen: it is {_differs(offset)} that of the "
                "controller; set them all (NTP)."
            )
        elif abs(offset - middle) > CLOCKS:
            sentence = f"The clock of {name} is {_differs(offset - middle)} that of the others; set it (NTP)."
        elif abs(apart) > CLOCKS:
            sentence = (
                f"The clock of an API server that answers at the front door is {_differs(apart)} that of {name}; set "
                "both (NTP)."
            )
        else:
            continue
        _tell(found, name, "KH141", [sentence], not allow_expired or _is_control_plane(hosts[name]))
    if abs(middle) > CLOCKS and not alone:
        name = next(iter(ahead))
        note = f"The clock of this controller differs from the cluster's by {abs(middle):.0f} s."
        if len(ahead) == 1:
            note = (
                f"The clocks of this controller and of {name} differ by {abs(middle):.0f} s; set the one that is wrong."
            )
        found.notes[name].append(note)


def _differs(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
