# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which controls a run is about: all of them, just those that the user names, and none that is waived."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from types import MappingProxyType

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import split_list
from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import COLLECTION
from ansible_collections.kubeharden.core.plugins.plugin_utils.per_host import alike
from ansible_collections.kubeharden.core.plugins.plugin_utils.waivers import WAIVERS, Matching, Waiver, read, unknown

#: What a control plane's components are set to, by component (ComponentPlan.state).
States = t.Mapping[str, t.Any]

ONLY = "kubeharden_only"
PROFILE = "kubeharden_profile"
#: The profile that has every control.
_WIDEST = "cis"
_CONTROL = re.compile(r"^\s*control: ([a-z][a-z0-9-]*)\b", re.MULTILINE)
#: What opens, changes and closes a part of a template that not every profile has, or names a control.
_PART_OR_CONTROL = re.compile(
    r"{%-?\s*(if|elif|else|endif)\b(.*?)%}|^\s*control: ([a-z][a-z0-9-]*)\b", re.MULTILINE | re.DOTALL
)
_WIDEST_ONLY = re.compile(r"\bcis\b")
#: A flag whose setting mounts a file that a component reads, and its control.
_MOUNTED = re.compile(
    r"^  ([a-z-]+):\n(?:    .*\n)*?    mount: read_(?:only|write)\n(?:    .*\n|{%.*\n)*?    control: ([a-z-]+)",
    re.MULTILINE,
)
#: What decides how large the audit log becomes.
_AUDIT_LOG = re.compile(
    r"^  audit-log-(path|maxsize|maxbackup):\n    \w+: (\S+)\n(?:    .*\n)*?    control: ([a-z-]+)", re.MULTILINE
)


@dataclasses.dataclass
class Selection:
    """What a run leaves out, and what is wrong with what the user said about it.

    Attributes:
        everywhere: Controls that no host is to fulfil.
        on_hosts: By control that is left out on some hosts, their names in the inventory.
        problems: Sentences that stop the run.
        warnings: Sentences about what does not hold any more.
        notes: Sentences about what is left out.
    """

    everywhere: list[str] = dataclasses.field(default_factory=list)
    on_hosts: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def left_out(self) -> dict[str, t.Any]:
        """Return what the roles need."""
        return {"everywhere": self.everywhere, "on_hosts": self.on_hosts}


def known_controls() -> list[str]:
    """Return the ids of all controls, from the one place where a value stands beside its control."""
    found: set[str] = set()
    for path in (COLLECTION / "templates").rglob("*.j2"):
        found.update(_CONTROL.findall(path.read_text(encoding="utf-8")))
    return sorted(found)


def of_widest_profile() -> list[str]:
    """Return the ids of the controls that profile cis alone has: each place where one stands is for it only."""
    narrow: set[str] = set()
    wide: set[str] = set()
    for path in (COLLECTION / "templates").rglob("*.j2"):
        conditions: list[str] = []
        for word, condition, control in _PART_OR_CONTROL.findall(path.read_text(encoding="utf-8")):
            if control:
                (wide if any(map(_WIDEST_ONLY.search, conditions)) else narrow).add(control)
            elif word == "if":
                conditions.append(condition)
            else:
                conditions[-1:] = [] if word == "endif" else [condition]
    return sorted(wide - narrow)


def mounted_flags(left_out: t.Container[str]) -> dict[str, list[str]]:
    """Return by component the flags whose file a run mounts, less those of the controls that are left out."""
    return {
        path.parent.name: [
            flag for flag, control in _MOUNTED.findall(path.read_text(encoding="utf-8")) if control not in left_out
        ]
        for path in sorted((COLLECTION / "templates").glob("*/flags.yaml.j2"))
    }


def audit_log(left_out: t.Container[str]) -> dict[str, str]:
    """Return path, maxsize (megabytes) and maxbackup that a run gives the audit log, less what is left out."""
    text = (COLLECTION / "templates" / "kube-apiserver" / "flags.yaml.j2").read_text(encoding="utf-8")
    values = {key: (value, control) for key, value, control in _AUDIT_LOG.findall(text)}
    return {key: value for key, (value, control) in values.items() if control not in left_out}


def without_controls(data: t.Any, left_out: t.Container[str]) -> t.Any:
    """Return what a template says without the settings of the controls that are left out.

    A setting is a mapping with the key ``control``, however deep it lies.
    """
    if isinstance(data, dict):
        return {key: without_controls(item, left_out) for key, item in data.items() if not _is_out(item, left_out)}
    return data


def _is_out(item: t.Any, left_out: t.Container[str]) -> bool:
    return isinstance(item, dict) and item.get("control") in left_out


class Shared:
    """Settings that several hosts share, without those that one of them has waived.

    Args:
        name: What a sentence calls the place where they stand.
        waived: By control, the hosts that have it waived.
        hosts: All hosts that share the place.
    """

    def __init__(self, name: str, waived: t.Mapping[str, t.Sequence[str]], hosts: t.Sequence[str]) -> None:
        self._name = name
        among = {control: sorted(set(names).intersection(hosts)) for control, names in waived.items()}
        self._waived = {control: names for control, names in among.items() if names}
        self._everyone = sorted(hosts)
        self._kept_out: set[str] = set()

    def settings(self, settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return settings by name without the waived ones."""
        return {name: data for name, data in settings.items() if not self._is_out(data)}

    def states(self, states: t.Sequence[States]) -> list[dict[str, t.Any]]:
        """Return control planes' states (ComponentPlan.state) without waived settings and their mounts."""
        return without(states, self._waived, self._kept_out.add)

    def notes(self) -> list[str]:
        """Return a sentence for each control that only some hosts have waived."""
        return [
            f"{control} is waived on {', '.join(self._waived[control])}, so {self._name}, which all hosts share, was "
            "left without it: run harden.yml again after kubeadm upgrade."
            for control in sorted(self._kept_out)
            if self._waived[control] != self._everyone
        ]

    def _is_out(self, data: t.Mapping[str, t.Any]) -> bool:
        control = data.get("control")
        if control in self._waived:
            self._kept_out.add(str(control))
            return True
        return False


def without(
    states: t.Sequence[States], out: t.Container[str], told: t.Callable[[str], None] = lambda _control: None
) -> list[dict[str, t.Any]]:
    """Return control planes' states (ComponentPlan.state) without the settings of some controls, and their mounts.

    Two controls may have items in the list of one flag: those of the one are taken out of what the other has, too.

    Args:
        states: Of each control plane, by component: ``settings`` (flag, data, values) and ``mounts``.
        out: The controls.
        told: Is told each control of which there was a setting.
    """
    items: dict[tuple[str, str], set[str]] = {}
    for component, content in ((name, each) for state in states for name, each in state.items()):
        for setting in content["settings"]:
            control = str(setting["data"].get("control", ""))
            if control in out:
                told(control)
                items.setdefault((component, setting["flag"]), set()).update(setting["data"].get("contains") or [])
    return [
        {component: _less(component, content, out, items) for component, content in state.items()} for state in states
    ]


def _less(
    component: str,
    content: t.Mapping[str, t.Any],
    out: t.Container[str],
    items: t.Mapping[tuple[str, str], t.Container[str]],
) -> dict[str, t.Any]:
    settings = [setting for setting in content["settings"] if setting["data"].get("control", "") not in out]
    lost = {setting["flag"] for setting in content["settings"]} - {setting["flag"] for setting in settings}
    mounts = [mount for mount in content["mounts"] if mount["flag"] not in lost]
    kept = [_without_items(setting, items.get((component, setting["flag"]), ())) for setting in settings]
    return {**content, "settings": kept, "mounts": mounts}


def _without_items(setting: t.Mapping[str, t.Any], items: t.Container[str]) -> dict[str, t.Any]:
    if "contains" not in setting["data"]:
        return dict(setting)
    # Beside it the list of kubeadm's own would be lost.
    kubeadm = split_list(str(setting["data"].get("kubeadm", "")))
    values = [
        ",".join(item for item in split_list(value) if item in kubeadm or item not in items)
        for value in setting["values"]
    ]
    return {**setting, "values": values}


def select(
    only: t.Mapping[str, t.Any],
    waivers: t.Mapping[str, t.Any],
    known: t.Sequence[str],
    matching: Matching,
    now: float,
    judged: t.Mapping[str, str] = MappingProxyType({}),
    profiles: t.Collection[str] = (_WIDEST,),
    widest: t.Collection[str] = (),
) -> Selection:
    """Return what a run leaves out.

    Args:
        only: kubeharden_only as each host of the inventory has it.
        waivers: kubeharden_waivers as each host has it: one in a group's variables holds for that group.
        known: Ids of all controls.
        matching: How patterns are matched.
        now: Seconds since 1970.
        judged: Ids of controls that verify.yml judges, each with the control of harden.yml that it is a part of, empty
            for none; a waiver of one that nothing is written for leaves nothing out.
        profiles: The profiles that hosts of the inventory have.
        widest: Ids of controls that profile cis alone has.
    """
    chosen = Selection()
    wanted = _only(only, known, judged, chosen)
    if _WIDEST not in profiles:
        chosen.problems += _beyond(profiles, [control for control in wanted if control in widest])
    if wanted:
        chosen.everywhere = [control for control in known if control not in wanted]
        chosen.notes.append(f"Nothing but {', '.join(wanted)} was looked at ({ONLY}).")
    for raw, hosts in alike(waivers):
        for waiver in read(raw, [*known, *judged], chosen.problems):
            if waiver.control in known:
                _apply(waiver, hosts, matching, now, chosen)
    for control, hosts in chosen.on_hosts.items():
        if control in wanted:
            chosen.problems.append(f"{control} is in {ONLY} and waived ({WAIVERS}); take it out of one of them.")
        if set(hosts) == set(waivers) and control not in chosen.everywhere:
            chosen.everywhere.append(control)
    for said in (chosen.problems, chosen.warnings, chosen.notes):
        said[:] = dict.fromkeys(said)
    return chosen


def _apply(waiver: Waiver, hosts: t.Sequence[str], matching: Matching, now: float, chosen: Selection) -> None:
    """Leave a waiver's control out where it holds; one whose day is over is said."""
    lost = [pattern for pattern in waiver.patterns if not matching([pattern])]
    if lost:
        chosen.problems.append(
            f"{WAIVERS}: the waiver of {waiver.control} names {', '.join(lost)}, which no host and no group of the "
            "inventory is called."
        )
        return
    of_waiver = f"The waiver of {waiver.control} {waiver.scope} (owner: {waiver.owner}, reason: {waiver.reason})"
    if not waiver.holds(now):
        chosen.warnings.append(f"{of_waiver} ended with {waiver.expires}: it does not hold any more.")
        return
    matched = set(matching(waiver.patterns)) if waiver.patterns else set(hosts)
    covered = [host for host in hosts if host in matched]
    if covered:
        before = chosen.on_hosts.get(waiver.control, [])
        chosen.on_hosts[waiver.control] = sorted({*before, *covered})
        chosen.notes.append(f"{of_waiver} holds until the end of {waiver.expires}, UTC.")


def _only(
    only: t.Mapping[str, t.Any], known: t.Sequence[str], judged: t.Mapping[str, str], chosen: Selection
) -> list[str]:
    """Return the controls that the user names, the same for every host."""
    found = list(alike(only))
    if len(found) > 1:
        chosen.problems.append(f"{ONLY} must be the same for every host; set it with -e or for the group all.")
    wanted: list[str] = []
    for value, _hosts in found:
        if not isinstance(value, list):
            chosen.problems.append(f"{ONLY} must be a list of controls.")
            continue
        wanted += [str(control) for control in value]
        chosen.problems += [_not_written(str(control), known, judged) for control in value if control not in known]
    return list(dict.fromkeys(wanted))


def _not_written(control: str, known: t.Sequence[str], judged: t.Mapping[str, str]) -> str:
    """Return a sentence about a control that a run does not know."""
    if control not in judged:
        return unknown(ONLY, control, known)
    if judged[control] in known:
        return f"{ONLY}: {control} is a part of {judged[control]}, which is set as a whole; name that one."
    return f"{ONLY}: {control} is judged by verify.yml, and nothing is written for it; take it out."


def _beyond(profiles: t.Collection[str], controls: t.Sequence[str]) -> list[str]:
    """Return a sentence where the user names controls for which these profiles write nothing."""
    if not controls:
        return []
    verb, them = ("is a control", "it") if len(controls) == 1 else ("are controls", "them")
    words = (
        f"{', '.join(controls)} {verb} of profile {_WIDEST}, and with {PROFILE} {', '.join(sorted(profiles))} nothing"
    )
    return [f"{ONLY}: {words} would be done; set {PROFILE} to {_WIDEST} as well, or take {them} out."]
