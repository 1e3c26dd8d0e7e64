# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What report.html shows, computed from the document of report.json: pure, in an order that does not change.

Results that say the same of several hosts are told once, and hosts whose verdicts all agree share a column, so that a
report of 300 hosts reads like one of five.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import report_pages
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_names import (
    evidence,
    host_list,
    natural,
    ranges,
    seen,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_words import (
    BAD,
    FRAMEWORKS,
    SEVERITIES,
    STATUSES,
    Status,
    framework_name,
    worst,
)

SCHEMA = 1
# Up to so many hosts each has a column of its own.
OWN_COLUMNS = 12
# Neither a printed page nor the measure of the text has room for more columns than these.
NARROW_COLUMNS = 16
# What the summary names; the rest is in the list below it.
FIRST = 5
# Certificates that are shown without being asked for.
SOONEST = 12
# Days left, up to and without the next: the rows of the table of certificates.
BANDS = ((None, 0, "expired"), (0, 8, "within a week"), (8, 31, "8 to 30 days"), (31, 91, "31 to 90 days"))
LATER = "more than 90 days"

CLUSTER = "cluster"


@dataclasses.dataclass(frozen=True)
class Host:
    """A host, or the cluster itself for what only the API knows.

    Attributes:
        index: Its place in the page's list.
        name: The inventory's name.
        roles: control_plane, etcd, worker; empty for the cluster.
        versions: By component.
        reachable: Whether it could be asked.
        note: A sentence, often empty.
    """

    index: int
    name: str
    roles: tuple[str, ...]
    versions: dict[str, str]
    reachable: bool
    note: str

    @property
    def is_cluster(self) -> bool:
        """Whether this stands for the cluster."""
        return self.name == CLUSTER and not self.roles


@dataclasses.dataclass(frozen=True)
class Group:
    """Hosts of which a control says the same, with the same evidence."""

    status: Status
    hosts: str
    count: int
    on: str
    evidence: str
    remedy: str
    waiver: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Control:
    """A control with what was found.

    Attributes:
        index: Its place in the catalogue.
        anchor: Its place on the page.
        cells: Status word by host's index: the worst where there are several.
        groups: What was found, worst first.
        worst: The worst status of any host; None when it was judged nowhere.
    """

    index: int
    id: str
    anchor: str
    title: str
    severity: str
    level: str
    component: str
    why: str
    remedy: str
    mappings: dict[str, tuple[str, ...]]
    cells: dict[int, str]
    groups: tuple[Group, ...]
    worst: Status | None

    def hosts_with(self, *words: str) -> list[int]:
        """Return the indexes of the hosts whose verdict is one of these."""
        return [index for index, word in self.cells.items() if word in words]

    @property
    def tally(self) -> tuple[tuple[Status, int], ...]:
        """How many hosts have which verdict, worst first."""
        words = list(self.cells.values())
        return tuple((status, words.count(status.word)) for status in STATUSES.values() if status.word in words)

    @property
    def rank(self) -> tuple[int, int, int]:
        """The order of the list of evidence: verdict, severity, catalogue."""
        verdict = self.worst.rank if self.worst else len(STATUSES)
        return (verdict, SEVERITIES.index(self.severity), self.index)


def _words(values: t.Any) -> tuple[str, ...]:
    return tuple(seen(value) for value in ([values] if isinstance(values, str) else values or ()))


def _mappings(data: t.Mapping[str, t.Any] | None) -> dict[str, tuple[str, ...]]:
    found = {seen(key): _words(values) for key, values in (data or {}).items()}
    known = [key for key in FRAMEWORKS if key in found]
    return {key: found[key] for key in [*known, *sorted(set(found) - set(known))] if found[key]}


def _severity(word: t.Any) -> str:
    return word if word in SEVERITIES else SEVERITIES[0]


def hosts_of(report: t.Mapping[str, t.Any]) -> list[Host]:
    """Return the hosts in the order of their roles and names, then names that only results know, as the cluster."""
    known = [
        (seen(data["name"]), _words(data.get("roles")), data) for data in t.cast("list[t.Any]", report.get("hosts", []))
    ]
    known.sort(key=lambda host: ("control_plane" not in host[1], natural(host[0])))
    names = {name for name, _roles, _data in known}
    others = {_host_name(result) for result in report.get("results", [])} - names
    known.extend((name, (), {}) for name in sorted(others, key=natural))
    return [
        Host(
            index=index,
            name=name,
            roles=roles,
            versions={seen(key): seen(value) for key, value in sorted((data.get("versions") or {}).items())},
            reachable=bool(data.get("reachable", True)),
            note=seen(data.get("note")),
        )
        for index, (name, roles, data) in enumerate(known)
    ]


def _real(hosts: t.Sequence[Host]) -> list[Host]:
    return [host for host in hosts if not host.is_cluster]


def _host_name(result: t.Mapping[str, t.Any]) -> str:
    return seen(result.get("host")) or CLUSTER


def _waiver(result: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {seen(key): seen(value) for key, value in (result.get("waiver") or {}).items() if value not in (None, "")}


def _groups(results: t.Sequence[t.Mapping[str, t.Any]], hosts: t.Mapping[str, Host], remedy: str) -> tuple[Group, ...]:
    found: dict[tuple[t.Any, ...], set[int]] = {}
    for result in results:
        own_remedy = seen(result.get("remedy"))
        key = (
            result["status"],
            evidence(result.get("evidence")),
            "" if own_remedy == remedy else own_remedy,
            tuple(_waiver(result).items()),
        )
        found.setdefault(key, set()).add(hosts[_host_name(result)].index)
    names = {host.index: host.name for host in hosts.values()}
    groups = [
        Group(
            status=STATUSES[key[0]],
            hosts=host_list(names[index] for index in indexes),
            count=len(indexes),
            on=ranges(indexes),
            evidence=key[1],
            remedy=key[2],
            waiver=dict(key[3]),
        )
        for key, indexes in found.items()
    ]
    first = {id(group): min(indexes) for group, indexes in zip(groups, found.values())}
    return tuple(sorted(groups, key=lambda group: (group.status.rank, first[id(group)], group.evidence)))


def controls_of(report: t.Mapping[str, t.Any], hosts: t.Sequence[Host]) -> list[Control]:
    """Return the controls of the catalogue, and those that only results know, with what was found."""
    by_name = {host.name: host for host in hosts}
    results: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for result in report.get("results", []):
        results.setdefault(seen(result["control"]), []).append(result)
    catalogue = {seen(data["id"]): data for data in report.get("controls", [])}
    for name in results:
        catalogue.setdefault(name, {"title": name})
    return [
        _control(index, name, data, results.get(name, []), by_name)
        for index, (name, data) in enumerate(catalogue.items())
    ]


def _control(
    index: int,
    name: str,
    data: t.Mapping[str, t.Any],
    results: t.Sequence[t.Mapping[str, t.Any]],
    hosts: t.Mapping[str, Host],
) -> Control:
    first = results[0] if results else {}
    cells: dict[int, str] = {}
    for result in results:
        place = hosts[_host_name(result)].index
        cells[place] = worst(word for word in (cells.get(place), result["status"]) if word).word
    remedy = seen(data.get("remedy"))
    return Control(
        index=index,
        id=name,
        anchor=f"control-{index + 1}",
        title=seen(data.get("title")) or name,
        severity=_severity(data.get("severity", first.get("severity"))),
        level=seen(data.get("level")),
        component=seen(data.get("component")) or "other",
        why=seen(data.get("why")),
        remedy=remedy,
        mappings=_mappings(data.get("mappings", first.get("mappings"))),
        cells=dict(sorted(cells.items())),
        groups=_groups(results, hosts, remedy),
        worst=worst(cells.values()) if cells else None,
    )


# ---- the matrix


@dataclasses.dataclass(frozen=True)
class Column:
    """One host of the matrix, or several whose verdicts all agree."""

    label: str
    more: int
    hosts: str
    on: str
    roles: str
    first: int


def columns(hosts: t.Sequence[Host], controls: t.Sequence[Control]) -> list[Column]:
    """Return the matrix's columns, by role: where they are shared the one of most hosts first, then the worst first."""
    same: dict[tuple[t.Any, ...], list[Host]] = {}
    shared = len(hosts) > OWN_COLUMNS
    for host in hosts:
        verdicts = tuple(control.cells.get(host.index) for control in controls)
        same.setdefault((host.roles, host.reachable, verdicts, None if shared else host.index), []).append(host)

    most: dict[t.Any, tuple[t.Any, ...]] = {}
    for key in same:
        most[key[0]] = max(most.get(key[0], key), key, key=lambda other: len(same[other]))

    def badness(key: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
        if not shared:
            return ()
        usual = key is most[key[0]] and len(same[key]) > 1
        bad = sum(1 for word in key[2] if word in BAD)
        return (not key[0], "control_plane" not in key[0], key[0], not usual, -bad, -len(same[key]))

    ordered = sorted(same, key=lambda key: (badness(key), same[key][0].index))
    return [_column(same[key]) for key in ordered]


def _column(members: t.Sequence[Host]) -> Column:
    return Column(
        label=members[0].name,
        more=len(members) - 1,
        hosts=host_list(host.name for host in members),
        on=ranges(host.index for host in members),
        roles=", ".join(role.replace("_", " ") for role in members[0].roles),
        first=members[0].index,
    )


def _matrix(hosts: t.Sequence[Host], controls: t.Sequence[Control]) -> dict[str, t.Any]:
    found = columns(hosts, controls)
    sections: dict[str, list[dict[str, t.Any]]] = {}
    for control in controls:
        cells = [STATUSES.get(control.cells.get(column.first, "")) for column in found]
        sections.setdefault(control.component, []).append({"control": control, "cells": cells})
    return {
        "columns": found,
        "sections": sections,
        "shared": any(column.more for column in found),
        "wide": len(found) > NARROW_COLUMNS,
    }


# ---- certificates


def _certificates(report: t.Mapping[str, t.Any], places: t.Mapping[str, int]) -> dict[str, t.Any]:
    rows: list[dict[str, t.Any]] = [
        {
            "host": seen(data.get("host")),
            "on": str(places.get(seen(data.get("host")), "")),
            "path": seen(data.get("path")),
            "subject": seen(data.get("subject")),
            "issuer": seen(data.get("issuer")),
            "names": ", ".join(_words(data.get("names"))),
            "not_after": seen(data.get("not_after"))[:10],
            "days": data.get("days_left"),
            "used_by": ", ".join(_words(data.get("used_by"))),
        }
        for data in report.get("certificates", [])
    ]
    rows.sort(key=lambda row: (_days(row), natural(row["host"]), row["path"], row["subject"]))
    bands: list[dict[str, t.Any]] = [
        {"label": label, "count": sum(1 for row in rows if _within(row["days"], low, high))}
        for low, high, label in BANDS
    ]
    unknown = sum(1 for row in rows if row["days"] is None)
    bands.append({"label": LATER, "count": len(rows) - unknown - sum(band["count"] for band in bands)})
    if unknown:
        bands.append({"label": "could not be read", "count": unknown})
    due = sum(1 for row in rows if row["days"] is None or row["days"] <= 90)
    shown = len(rows) if len(rows) <= 2 * SOONEST else min(max(SOONEST, due), 4 * SOONEST)
    return {"bands": bands, "soonest": rows[:shown], "later": rows[shown:], "count": len(rows)}


def _days(row: t.Mapping[str, t.Any]) -> float:
    """What could not be read comes first: it may be the worst."""
    return float("-inf") if row["days"] is None else float(row["days"])


def _within(days: t.Any, low: int | None, high: int) -> bool:
    return days is not None and (low is None or days >= low) and days < high


# ---- what changed


def changes(
    before: tuple[t.Sequence[Host], t.Sequence[Control]], after: tuple[t.Sequence[Host], t.Sequence[Control]]
) -> dict[str, t.Any]:
    """Return what differs between two reports: verdicts by control, hosts and controls that came and went, versions."""
    old_hosts, new_hosts = ({host.name: host for host in side[0]} for side in (before, after))
    old_controls, new_controls = ({control.id: control for control in side[1]} for side in (before, after))
    rows = [
        row
        for name in new_controls
        if name in old_controls
        for row in _turns(old_controls[name], old_hosts, new_controls[name], new_hosts)
    ]
    rows.sort(key=lambda row: (row["kind"], row["control"].rank, row["before"].rank, row["after"].rank))
    versions: dict[tuple[str, str, str], list[str]] = {}
    for name in old_hosts.keys() & new_hosts.keys():
        for component, version in new_hosts[name].versions.items():
            earlier = old_hosts[name].versions.get(component, version)
            if earlier != version:
                versions.setdefault((component, earlier, version), []).append(name)
    return {
        "rows": rows,
        "worse": sum(row["count"] for row in rows if row["kind"] == WORSE),
        "solved": sum(row["count"] for row in rows if row["kind"] == SOLVED),
        "other": sum(row["count"] for row in rows if row["kind"] == OTHER),
        "hosts_new": host_list(new_hosts.keys() - old_hosts.keys()),
        "hosts_gone": host_list(old_hosts.keys() - new_hosts.keys()),
        "controls_new": [new_controls[name] for name in new_controls if name not in old_controls],
        "controls_gone": [name for name in old_controls if name not in new_controls],
        "versions": [
            {"component": key[0], "before": key[1], "after": key[2], "hosts": host_list(names), "count": len(names)}
            for key, names in sorted(versions.items())
        ],
    }


WORSE, SOLVED, OTHER = range(3)


def _turns(
    old: Control, old_hosts: t.Mapping[str, Host], new: Control, new_hosts: t.Mapping[str, Host]
) -> t.Iterator[dict[str, t.Any]]:
    turned: dict[tuple[str, str], list[str]] = {}
    for name, host in new_hosts.items():
        now = new.cells.get(host.index)
        then = old.cells.get(old_hosts[name].index) if name in old_hosts else None
        if now and then and now != then:
            turned.setdefault((then, now), []).append(name)
    for (then, now), names in turned.items():
        kind = WORSE if now in BAD and then not in BAD else SOLVED if then in BAD and now not in BAD else OTHER
        yield {
            "kind": kind,
            "control": new,
            "before": STATUSES[then],
            "after": STATUSES[now],
            "hosts": host_list(names),
            "count": len(names),
        }


# ---- the summary


def _bar(counts: t.Sequence[tuple[Status, int]]) -> list[dict[str, t.Any]]:
    """Return the shares of the bar in per cent; what is there at all has at least half of one."""
    shares = [max(count, sum(number for _status, number in counts) / 200) for _status, count in counts if count]
    parts, offset = [], 0.0
    for (status, _count), share in zip([item for item in counts if item[1]], shares):
        width = 100 * share / sum(shares)
        parts.append({"status": status, "offset": f"{offset:.2f}%", "width": f"{width:.2f}%"})
        offset += width
    return parts


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _headline(hosts: t.Sequence[Host], controls: t.Sequence[Control]) -> tuple[str, str]:
    failing = [control for control in controls if control.hosts_with("fail")]
    unknown = [control for control in controls if control.hosts_with("unknown")]
    real = _real(hosts)
    touched = {index for control in failing for index in control.hosts_with("fail")}
    where = len([host for host in real if host.index in touched])
    if failing:
        scope = f" on {where} of {counted(len(real), 'host')}" if where else ""
        headline = f"{counted(len(failing), 'control')} {'fails' if len(failing) == 1 else 'fail'}{scope}"
    elif unknown:
        headline = "No control fails, but not all could be judged"
    elif any(control.cells for control in controls):
        headline = "No control fails"
    else:
        headline = "Nothing was judged"
    sentences = []
    if failing:
        severities = [control.severity for control in failing]
        parts = [f"{severities.count(word)} {word}" for word in SEVERITIES if word in severities]
        sentences.append(f"Of these, by severity: {', '.join(parts)}.")
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        sentences.append(f"{counted(len(unknown), 'control')} {verb} unknown somewhere, which counts as a failure.")
    away = [host.name for host in real if not host.reachable]
    if away:
        sentences.append(f"Not reached: {host_list(away)}.")
    return headline, " ".join(sentences)


def _first(controls: t.Sequence[Control], hosts: t.Sequence[Host]) -> list[dict[str, t.Any]]:
    failing = sorted(
        (control for control in controls if control.hosts_with("fail")),
        key=lambda control: (SEVERITIES.index(control.severity), -len(control.hosts_with("fail")), control.index),
    )
    names = [host.name for host in hosts]
    return [
        {"control": control, "hosts": host_list(names[index] for index in control.hosts_with("fail"))}
        for control in failing[:FIRST]
    ]


def view(report: t.Mapping[str, t.Any], earlier: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return what the template shows. Each value is text of which every character can be seen, a number or a list."""
    hosts = hosts_of(report)
    controls = controls_of(report, hosts)
    counts = [
        (status, sum(1 for result in report.get("results", []) if result["status"] == status.word))
        for status in STATUSES.values()
    ]
    headline, lead = _headline(hosts, controls)
    compared = None
    if earlier and earlier.get("schema") == SCHEMA:
        old_hosts = hosts_of(earlier)
        compared = changes((old_hosts, controls_of(earlier, old_hosts)), (hosts, controls))
        compared["made_at"] = _moment(earlier.get("made_at"))
        compared["run_id"] = seen(earlier.get("run_id"))
    keys = [key for key in FRAMEWORKS if any(key in control.mappings for control in controls)]
    keys += sorted({key for control in controls for key in control.mappings} - set(keys))
    names = [host.name for host in hosts]
    return {
        "run_id": seen(report.get("run_id")),
        "made_at": _moment(report.get("made_at")),
        "mode": seen(report.get("mode")),
        "profile": seen(report.get("profile")),
        "version": seen(report.get("version")),
        "headline": headline,
        "lead": lead,
        "counts": counts,
        "bar": _bar(counts),
        "statuses": list(STATUSES.values()),
        "severities": SEVERITIES,
        "first": _first(controls, hosts),
        "hosts": hosts,
        "host_count": counted(len(_real(hosts)), "host"),
        "components": sorted({component for host in hosts for component in host.versions}),
        "controls": controls,
        "evidence": _by_verdict(controls),
        "matrix": _matrix(hosts, controls),
        "certificates": _certificates(report, {host.name: host.index for host in hosts}),
        "compared": compared,
        "earlier_schema": seen(earlier.get("schema")) if earlier and not compared else "",
        "frameworks": [(key, framework_name(key)) for key in keys],
        "pages": [report_pages.page(key, controls, names) for key in keys],
        "counted": counted,
        "short": functools.partial(report_pages.short, limit=64),
    }


def _by_verdict(controls: t.Sequence[Control]) -> list[tuple[Status | None, list[Control]]]:
    found: dict[str, tuple[Status | None, list[Control]]] = {}
    for control in sorted(controls, key=lambda control: control.rank):
        key = control.worst.word if control.worst else ""
        found.setdefault(key, (control.worst, []))[1].append(control)
    return list(found.values())


def _moment(value: t.Any) -> str:
    """Return 2026-11-24T13:40:05Z as 2026-11-24 13:40 UTC, anything else as it is."""
    text = seen(value)
    if len(text) >= 19 and text[10] == "T" and text.endswith(("Z", "+00:00")):
        return f"{text[:10]} {text[11:16]} UTC"
    return text
