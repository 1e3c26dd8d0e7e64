# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control is, and what a judge says of it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import catalogue_judges
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

PASS = "pass"  # noqa: S105  (a verdict)
FAIL = "fail"
NOT_APPLICABLE = "not_applicable"
WAIVED = "waived"
EXPLAINED = "explained"
UNKNOWN = "unknown"
STATUSES = (FAIL, UNKNOWN, EXPLAINED, WAIVED, PASS, NOT_APPLICABLE)

SEVERITIES = ("low", "medium", "high")
#: From which profile on harden.yml enforces a control; ``none`` for those that it leaves to the owner, ``baseline``
#: also for those that only a person can mend.
PROFILES = ("baseline", "cis", "none")
FRAMEWORKS = ("cis", "nsa", "stig", "bsi", "nis2")
COMPONENTS = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet", "kube-proxy", "node", "cluster",
)  # fmt: skip

#: What stands between the findings of one verdict.
LISTED = "; "

_TEXTS = ("id", "title", "severity", "component", "why", "remedy")
_OPTIONAL = ("profile", "explanation", "part_of")
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a judge says, and what it saw."""

    status: str
    evidence: str


def listed(items: t.Sequence[str]) -> str:
    """Return findings as one text, all of them: who reads them on a console or a page shortens it there."""
    return LISTED.join(items)


@dataclasses.dataclass(frozen=True)
class Control:
    """One control of the catalogue.

    Attributes:
        id: Its name, which waivers use.
        title: What holds where it passes, one sentence.
        severity: low, medium or high.
        level: 1, or 2 for what costs something.
        component: Whose it is; ``node`` for a host as a whole, ``cluster`` for what only the API knows.
        why: Why it matters.
        remedy: The variable and tag that mend it, or why only a person can.
        judge: ``kind`` and what that kind needs.
        mappings: By framework, the identifiers of those who ask for it.
        profile: From which profile on harden.yml enforces it.
        explanation: Why it is not enforced before that.
        part_of: The control of harden.yml that it is a part of; a waiver of that one holds here too.
    """

    id: str
    title: str
    severity: str
    level: int
    component: str
    why: str
    remedy: str
    judge: t.Mapping[str, t.Any]
    mappings: t.Mapping[str, tuple[str, ...]]
    profile: str = "baseline"
    explanation: str = ""
    part_of: str = ""

    @property
    def for_cluster(self) -> bool:
        """Whether it is judged once, not on each host."""
        return self.component == "cluster"

    def is_enforced_by(self, profile: str) -> bool:
        """Whether harden.yml with this profile brings it about."""
        return self.profile in ("baseline", profile)

    def as_record(self) -> dict[str, t.Any]:
        """Return what the report says of it."""
        return {
            "id": self.id, "title": self.title, "severity": self.severity, "level": self.level,
            "component": self.component, "why": self.why, "remedy": self.remedy, "mappings": self.shown_mappings(),
        }  # fmt: skip

    def shown_mappings(self) -> dict[str, list[str]]:
        """Return the identifiers of every framework, empty lists included."""
        return {name: list(self.mappings.get(name, ())) for name in FRAMEWORKS}


def controls_from(documents: t.Mapping[str, t.Any], checks: t.Mapping[str, bool]) -> list[Control]:
    """Return the controls of a catalogue.

    Args:
        documents: By the file's name, its content.
        checks: By the name that a judge of the kind ``check`` may have, whether it is one of the cluster.

    Raises:
        HardeningError: Something in it that is no control, with file and place.
    """
    found: dict[str, Control] = {}
    for source, document in documents.items():
        entries = document.get("controls") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise HardeningError("KH007", f"{source} is no catalogue: it has no list `controls`. Correct the file.")
        for number, entry in enumerate(entries, 1):
            control = _control(entry, f"{source}, control {number}", checks)
            if control.id in found:
                raise HardeningError(
                    "KH007", f"{source}: there are two controls {control.id}. Give one of them another id."
                )
            found[control.id] = control
    return list(found.values())


def _control(entry: t.Any, where: str, checks: t.Mapping[str, bool]) -> Control:
    if not isinstance(entry, dict):
        raise HardeningError("KH007", f"{where} is no mapping. Correct the file.")
    names = {field.name for field in dataclasses.fields(Control)}
    required = names - set(_OPTIONAL)
    wrong_keys = sorted(str(key) for key in set(entry) - names) + sorted(required - set(entry))
    if wrong_keys:
        raise HardeningError(
            "KH007", f"{where} has unknown or missing keys: {', '.join(wrong_keys)}. Correct the file."
        )
    optional = [key for key in _OPTIONAL if key in entry]
    no_text = [key for key in _TEXTS if not isinstance(entry[key], str) or not entry[key].strip()]
    no_text += [key for key in optional if not isinstance(entry[key], str)]
    if no_text:
        raise HardeningError("KH007", f"{where}: its {no_text[0]} must be text. Correct the file.")
    wrong = _problem_of_mappings(entry["mappings"])
    if wrong:
        raise HardeningError("KH007", f"{where}: {wrong} Correct the file.")
    control = Control(
        level=entry["level"] if isinstance(entry["level"], int) else 0,
        judge=entry["judge"] if isinstance(entry["judge"], dict) else {},
        mappings={name: tuple(str(one) for one in values or ()) for name, values in entry["mappings"].items()},
        **{key: entry[key].strip() for key in (*_TEXTS, *optional)},
    )
    problem = _problem(control, checks)
    if problem:
        raise HardeningError("KH007", f"{where} ({control.id}): {problem} Correct the file.")
    return control


def _problem_of_mappings(mappings: t.Any) -> str:
    if not isinstance(mappings, dict):
        return "its mappings must be lists by framework."
    unknown = sorted(str(name) for name in mappings if name not in FRAMEWORKS)
    if unknown:
        return f"there is no framework {unknown[0]}; there are {', '.join(FRAMEWORKS)}."
    no_list = [name for name, values in mappings.items() if values is not None and not isinstance(values, list)]
    return f"its mapping to {no_list[0]} must be a list." if no_list else ""


def _problem(control: Control, checks: t.Mapping[str, bool]) -> str:
    if not _ID.fullmatch(control.id):
        return "its id must be small letters, digits and dashes."
    for name, allowed in (("severity", SEVERITIES), ("component", COMPONENTS), ("profile", PROFILES)):
        if getattr(control, name) not in allowed:
            return f"its {name} must be one of {', '.join(allowed)}."
    if control.level not in (1, 2) or isinstance(control.level, bool):
        return "its level must be 1 or 2."
    if control.profile != "baseline" and not control.explanation:
        return "it needs an explanation, since not every profile enforces it."
    return catalogue_judges.problem_of(control.judge, control.component, checks)
