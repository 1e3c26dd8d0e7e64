# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeharden_waivers as the user wrote them: harden.yml leaves their controls out, verify.yml counts them apart."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest

WAIVERS = "kubeharden_waivers"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Where controls are listed, for sentences.
LISTED = "docs/controls.md lists them"
#: What a waiver must say.
REQUIRED = ("control", "reason", "owner", "expires")
#: What it may say.
KEYS = (*REQUIRED, "hosts")

#: Returns the inventory's hosts that patterns match, as Ansible matches them.
Matching = t.Callable[[t.Sequence[str]], t.Collection[str]]


@dataclasses.dataclass(frozen=True)
class Waiver:
    """A control that need not hold on some hosts for some time, and who answers for it.

    Attributes:
        control: Its id.
        patterns: Patterns of the inventory's hosts; empty for every host.
        reason: Why, in the owner's words.
        owner: Who answers for it.
        expires: The last day on which it holds, in UTC.
    """

    control: str
    patterns: tuple[str, ...]
    reason: str
    owner: str
    expires: datetime.date

    def holds(self, now: float) -> bool:
        """Return whether the last day is not over yet; now is in seconds since 1970."""
        return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).date() <= self.expires

    @property
    def scope(self) -> str:
        """Where it holds, in words."""
        return f"on {', '.join(self.patterns)}" if self.patterns else "everywhere"


def unknown(variable: str, control: str, known: t.Sequence[str]) -> str:
    """Return a sentence about a control that does not exist."""
    return f"{variable}: there is no control {control}; {nearest(control, known, LISTED)}."


def read(raw: t.Any, known: t.Sequence[str], problems: list[str]) -> list[Waiver]:
    """Return the waivers that make sense, and add a sentence to the problems for each thing that does not."""
    if not isinstance(raw, list):
        problems.append(f"{WAIVERS} must be a list of waivers.")
        return []
    found = []
    for number, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict):
            problems.append(f"{WAIVERS}: waiver {number} must be a mapping with {', '.join(REQUIRED)}.")
            continue
        control = str(entry.get("control") or "")
        name = f"the waiver of {control}" if control else f"waiver {number}"
        wrong = _problems(name, entry, known)
        problems += wrong
        if not wrong:
            found.append(
                Waiver(
                    control,
                    tuple(patterns_of(entry)),
                    str(entry["reason"]),
                    str(entry["owner"]),
                    t.cast(datetime.date, day_of(entry["expires"])),
                )
            )
    return found


def _problems(name: str, entry: t.Mapping[str, t.Any], known: t.Sequence[str]) -> list[str]:
    """Return a sentence for each thing that is wrong with one waiver."""
    wrong = []
    missing = [key for key in REQUIRED if not str(entry.get(key) or "").strip()]
    if missing:
        wrong.append(f"{WAIVERS}: {name} lacks {', '.join(missing)}.")
    wrong += [
        f"{WAIVERS}: {name} has no key {key}; {nearest(key, KEYS)}."
        for key in sorted(str(key) for key in entry if key not in KEYS)
    ]
    if entry.get("control") and entry["control"] not in known:
        wrong.append(unknown(WAIVERS, str(entry["control"]), known))
    if entry.get("expires") and day_of(entry["expires"]) is None:
        wrong.append(f"{WAIVERS}: {name} expires on {entry['expires']}, which is no day; write one such as 2027-01-31.")
    if "hosts" in entry and not patterns_of(entry):
        wrong.append(f"{WAIVERS}: the hosts of {name} must be a pattern or a list of them; leave the key out for all.")
    return wrong


def patterns_of(entry: t.Mapping[str, t.Any]) -> list[str]:
    """Return a waiver's patterns of hosts, none where they are no texts."""
    hosts = entry.get("hosts")
    listed = [hosts] if isinstance(hosts, str) else hosts
    if not isinstance(listed, list) or not all(isinstance(one, str) and one.strip() for one in listed):
        return []
    return [str(one) for one in listed]


def day_of(value: t.Any) -> datetime.date | None:
    """Return a day as YAML or a text says it, None where it is none."""
    if isinstance(value, datetime.datetime):
        return None
    if isinstance(value, datetime.date):
        return datetime.date(value.year, value.month, value.day)
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        return None
