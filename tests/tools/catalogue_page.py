# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of docs/controls.md for who judges: what verify judges, and how that stands beside CIS, check by check."""

from __future__ import annotations

import ast
import functools
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
JUDGES = ROOT / "plugins" / "module_utils" / "controls"

AREAS = {
    "apiserver": "the API server",
    "control_plane": "the controller-manager, the scheduler and etcd",
    "kubelet": "the kubelet and kube-proxy",
    "files": "owners and modes",
    "probes": "what answers on ports, and certificates",
    "cluster": "the cluster, by its API",
}
"""by file of the catalogue, what it is about"""

CONDITIONS = {
    "is": "is {}",
    "at_least": "is {} or more",
    "at_most": "is {} or less",
    "minimum": "is {} or newer",
    "has": "has {}",
    "has_not": "never has {}",
}
"""how conditions with a value are said, in this order"""

WORDS = {"set": "is set", "unset": "is not set", "loopback": "is on the loopback", "only": "has strong suites only"}

PARAMETERS = {
    "with": "with {}",
    "without": "without {}",
    "gate": "{}",
    "target": "of {}",
    "days": "{} days",
    "at_least": "{} or more",
    "at_most": "{} or less",
}
"""how what a check is given is said"""

MOMENTS = {"before": "before a run", "baseline": "after `baseline`", "cis": "after `cis`"}
"""when verify looked at the control plane of docs/seen.yml, and how the tables call it"""

NOT_COMPARED = "differ from cluster to cluster, so no verdicts are compared (-)"

STATUSES = ("not_applicable", "pass", "waived", "explained", "unknown", "fail")
"""from the best to the worst"""

Left = Mapping[str, Collection[tuple[str, str]]]
"""by profile, what kube-bench says on a control plane after a run, as result and check"""


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """By area, its controls as they stand in controls/*.yml."""
    return {
        area: yaml.safe_load((ROOT / "controls" / f"{area}.yml").read_text(encoding="utf-8"))["controls"]
        for area in AREAS
    }


def cis() -> dict[str, Any]:
    """What docs/cis.yml says: checks, what was seen of them, and which are not judged."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "cis.yml").read_text(encoding="utf-8"))
    return data


def kubescape() -> dict[str, list[dict[str, Any]]]:
    """What docs/kubescape.yml says: kubescape's controls that ours answer, and those that are left, with the reason."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "kubescape.yml").read_text(encoding="utf-8"))
    return data


@functools.cache
def seen_data() -> dict[str, Any]:
    """What docs/seen.yml says: at each moment controls by status, and the beginnings of those that are not compared."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "seen.yml").read_text(encoding="utf-8"))
    return data


def seen_of(control: str, moment: str) -> str:
    """What verify says of a control on that control plane; empty for what differs from cluster to cluster."""
    data = seen_data()
    if control.startswith(tuple(data["not_compared"])):
        return ""
    return next((status for status, controls in data[moment].items() if control in controls), "pass")


def worst(statuses: Iterable[str]) -> str:
    """What several controls amount to, as verify says it of a check."""
    return max(statuses, key=STATUSES.index)


def row(controls: Iterable[str], moment: str) -> str:
    """What verify says of a row of a table; empty where something in it differs from cluster to cluster."""
    found = [seen_of(control, moment) for control in controls]
    return worst(found) if all(found) else ""


def rows() -> dict[str, list[str]]:
    """By row of the tables beside kubescape and the STIG, which of our controls answer it."""
    found = {", ".join(entry["ids"]): list(entry["ours"]) for entry in kubescape()["answered"]}
    for controls in catalogue().values():
        for one in controls:
            for rule in one["mappings"].get("stig", ()):
                found.setdefault(rule, []).append(one["id"])
    return found


def _cells(controls: Iterable[str]) -> str:
    return " | ".join(row(controls, moment) or "-" for moment in MOMENTS)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _checks() -> dict[str, str]:
    """By a check that is written in Python, the sentence that says what it asks for."""
    found = {}
    for path in sorted(JUDGES.glob("*_checks.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name] = (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".").replace("``", "`")
    return found


def _value(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(f"`{str(one).lower() if isinstance(one, bool) else one}`" for one in values)


def _conditions(judge: Mapping[str, Any]) -> str:
    words = [template.format(_value(judge[key])) for key, template in CONDITIONS.items() if key in judge]
    words += [text for key, text in WORDS.items() if key in judge]
    unlimited = f"; {_value(judge['unlimited'])} is no limit" if "unlimited" in judge else ""
    instead = f", or `--{judge['or_set']}` is" if "or_set" in judge else ""
    return " and ".join(words) + unlimited + instead


def _rule(control: Mapping[str, Any], checks: Mapping[str, str]) -> str:
    """How a control is judged, in words."""
    judge = control["judge"]
    if judge["kind"] == "flag":
        flags = judge["flag"] if isinstance(judge["flag"], list) else [judge["flag"]]
        each = "each of " if len(flags) > 1 else ""
        return f"{each}{', '.join(f'`--{flag}`' for flag in flags)} {_conditions(judge)}"
    if judge["kind"] == "field":
        return f"`{judge['field']}` {_conditions(judge)}"
    if judge["kind"] == "plugin":
        return f"the admission plugin `{judge['plugin']}` is {'on' if judge['enabled'] else 'off'}"
    if judge["kind"] == "files":
        mode = [f"mode `{judge['mode']}` at most"] if "mode" in judge else []
        owner = [f"owner `{judge['owner']}:{judge['group']}`"] if "owner" in judge else []
        return f"{_value(judge['files'])}: {', '.join([*mode, *owner])}"
    given = [template.format(_value(judge[key])) for key, template in PARAMETERS.items() if key in judge]
    text = checks.get(judge["check"]) or "nothing else is among the objects of the API"
    return f"{text} ({', '.join(given)})" if given else text


def judged() -> list[str]:
    """Every control of the catalogue, with how it is judged."""
    areas, checks = catalogue(), _checks()
    number = sum(map(len, areas.values()))
    lines = [
        "",
        "## What verify judges",
        "",
        f"{number} controls, by the ids that waivers and reports have, made from `controls/*.yml`. A",
        "flag or field is what is in force: that of the process or of the kubelet's own report, and where it is",
        "absent the default of that version. *Profile* is the one from which on `harden.yml` enforces it; `none`",
        "leaves it to the owner. [verify.md](verify.md) says how each is seen.",
    ]
    for area, controls in areas.items():
        lines += [
            "",
            f"### Verify: {AREAS[area]}",
            "",
            "| control | severity, level | what holds | how it is judged | profile | CIS 1.12 | STIG |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{one['id']}` | {one['severity']}, {one['level']} | {_plain(one['title'])} "
            f"| {_plain(_rule(one, checks))} | {one.get('profile', 'baseline')} "
            f"| {', '.join(one['mappings'].get('cis', ()))} | {', '.join(one['mappings'].get('stig', ()))} |"
            for one in controls
        ]
    return lines


def by_check() -> dict[str, list[str]]:
    """By check of CIS, the controls that answer it."""
    found: dict[str, list[str]] = {}
    for controls in catalogue().values():
        for one in controls:
            for check in one["mappings"].get("cis", ()):
                found.setdefault(check, []).append(one["id"])
    return found


def seen(data: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """By check of sections 1 to 4, what kube-bench and verify said of what kubeadm made."""
    found = {check: ("PASS", "pass") for check in data["checks"] if not check.startswith("5.")}
    found.update(dict.fromkeys(data["seen"]["both_fail"], ("FAIL", "fail")))
    for entry in data["seen"]["different"]:
        found.update(dict.fromkeys(entry["checks"], (entry["kube_bench"], entry["verify"])))
    return found


def seen_after(data: Mapping[str, Any], profile: str) -> dict[str, str]:
    """By check of sections 1 to 4, what verify says after a run in a profile."""
    return {check: "explained" if check in data["explained_after"][profile] else "pass" for check in seen(data)}


def _after(check: str, left: Collection[tuple[str, str]]) -> str:
    return next((result for result, other in left if other == check), "PASS")


def _ids(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def beside_cis(left: Left) -> list[str]:
    """Every check of CIS, the controls that answer it, and what kube-bench says beside verify."""
    data, ours = cis(), by_check()
    verdicts = seen(data)
    after = {profile: seen_after(data, profile) for profile in data["explained_after"]}
    both = [sum(pair == same for pair in verdicts.values()) for same in (("PASS", "pass"), ("FAIL", "fail"))]
    lines = [
        "",
        "## Beside CIS 1.12 and kube-bench",
        "",
        f"The benchmark has {len(data['checks'])} checks; the {len(verdicts)} of sections 1 to 4 are all judged.",
        "Seen with kube-bench 0.15.6 and verify in profile `baseline`, on one control plane of 1.37.1 as kubeadm",
        f"made it: both say the same of {sum(both)} ({both[0]} pass, {both[1]} fail). After a run verify fails none,",
        "in either profile: what does not hold then is explained, with the reason in the report and in the tables",
        "below. Each pair is kube-bench's word and ours. Made from `docs/cis.yml`.",
        "",
        "| check | about | ours | before a run | after `baseline` | after `cis` |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {check} | {data['checks'][check]} | {_ids(ours[check])} | {bench}, {verify} "
        f"| {_after(check, left['baseline'])}, {after['baseline'][check]} "
        f"| {_after(check, left['cis'])}, {after['cis'][check]} |"
        for check, (bench, verify) in verdicts.items()
    ]
    return [*lines, *_differences(data["seen"]["different"]), *_section_5(data, ours, left)]


def _differences(entries: list[dict[str, Any]]) -> list[str]:
    return [
        "",
        f"### Where the two differ: {sum(len(entry['checks']) for entry in entries)} checks before a run",
        "",
        "| checks | kube-bench | verify | what was seen |",
        "| --- | --- | --- | --- |",
        *(
            f"| {', '.join(entry['checks'])} | {entry['kube_bench']} | {entry['verify']} | {_plain(entry['why'])} |"
            for entry in entries
        ),
    ]


def _section_5(data: Mapping[str, Any], ours: Mapping[str, list[str]], left: Left) -> list[str]:
    why = {check: _plain(entry["why"]) for entry in data["left"] for check in entry["checks"]}
    checks = {check: about for check, about in data["checks"].items() if check.startswith("5.")}
    return [
        "",
        "### Section 5: policies",
        "",
        f"{len(checks)} checks, all left to a person by the benchmark; kube-bench says the same before and after a",
        f"run. Verify judges {len(checks) - len(why)} by the API, and names what it found. Whose roles, namespaces and",
        "pods these are differs from cluster to cluster, so no verdicts are compared here.",
        "",
        "| check | about | kube-bench | ours, or why there is none |",
        "| --- | --- | --- | --- |",
        *(
            f"| {check} | {about} | {_after(check, left['baseline'])} | {why.get(check) or _ids(ours[check])} |"
            for check, about in checks.items()
        ),
    ]


def beside_kubescape() -> list[str]:
    """Every published control of kubescape's, and which of ours answer it or why none does."""
    data = kubescape()
    number = {key: sum(len(entry["ids"]) for entry in entries) for key, entries in data.items()}
    lines = [
        "",
        "## Beside kubescape",
        "",
        f"kubescape's frameworks that are of no cloud provider have {sum(number.values())} controls, as published in",
        f"August 2026. What verify judges answers {number['answered']} of them. Our verdicts are those of one control",
        f"plane, as [above](#beside-cis-112-and-kube-bench); pods, namespaces and versions {NOT_COMPARED}.",
        "Made from `docs/kubescape.yml` and `docs/seen.yml`.",
        "",
        f"| kubescape | about | ours | {' | '.join(MOMENTS.values())} | where they differ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {', '.join(entry['ids'])} | {entry['about']} | {_ids(entry['ours'])} | {_cells(entry['ours'])} "
        f"| {_plain(entry.get('aside', ''))} |"
        for entry in data["answered"]
    ]
    lines += [
        "",
        f"The other {number['left']} are not judged:",
        "",
        "| kubescape | about | why not |",
        "| --- | --- | --- |",
    ]
    return lines + [
        f"| {', '.join(entry['ids'])} | {entry['about']} | {_plain(entry['why'])} |" for entry in data["left"]
    ]


def stig_data() -> dict[str, Any]:
    """What docs/stig.yml says: what each rule is about, and which are not judged, with the reason."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "stig.yml").read_text(encoding="utf-8"))
    return data


def beside_stig() -> list[str]:
    """Every rule of the STIG, and which controls answer it or why none does."""
    data = stig_data()
    ours = {name: controls for name, controls in rows().items() if name.startswith("V-")}
    about = {**data["rules"], **data["later"]}
    profile = {one["id"]: one.get("profile", "baseline") for controls in catalogue().values() for one in controls}
    left = [rule for entry in data["left"] for rule in entry["rules"]]
    lines = [
        "",
        "## Beside the STIG",
        "",
        f"The STIG for Kubernetes of June 2024 has {len(data['rules'])} rules; what verify judges answers",
        f"{len(data['rules']) - len(left)} of them, and {len(data['later'])} later ones. *Profile* is the one",
        "from which on all of a rule's settings are enforced, `none` where a part is left to the owner. Our verdicts",
        "are those of one control plane, as [above](#beside-cis-112-and-kube-bench); pods, namespaces and versions",
        f"{NOT_COMPARED}. Made from `controls/*.yml`, `docs/stig.yml` and `docs/seen.yml`.",
        "",
        f"| rule | about | ours | profile | {' | '.join(MOMENTS.values())} |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    order = ("baseline", "cis", "none")
    lines += [
        f"| {rule} | {about[rule]} | {_ids(ours[rule])} "
        f"| {max((profile[control] for control in ours[rule]), key=order.index)} | {_cells(ours[rule])} |"
        for rule in sorted(ours)
    ]
    return [
        *lines,
        "",
        f"The other {len(left)} are not judged:",
        "",
        "| rule | about | why not |",
        "| --- | --- | --- |",
        *(f"| {rule} | {about[rule]} | {_plain(entry['why'])} |" for entry in data["left"] for rule in entry["rules"]),
    ]
