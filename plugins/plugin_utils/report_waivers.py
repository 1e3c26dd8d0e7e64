# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers in reports: a control that need not hold on some hosts for some time, and who answers for it."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Control
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest
from ansible_collections.kubeharden.core.plugins.plugin_utils.waivers import (
    KEYS,
    LISTED,
    REQUIRED,
    Matching,
    Waiver,
    day_of,
    patterns_of,
)


@dataclasses.dataclass(frozen=True)
class ReportWaiver(Waiver):
    """One waiver, of a control or of all that are a part of it, with the hosts that its patterns match.

    Attributes:
        hosts: Names of hosts; None for all, the cluster included.
    """

    hosts: frozenset[str] | None = None

    def covers(self, control: Control, host: str) -> bool:
        """Return whether it is about this control on this host."""
        return self.control in (control.id, control.part_of) and (self.hosts is None or host in self.hosts)

    def as_record(self) -> dict[str, t.Any]:
        """Return what the report says of it."""
        return {"reason": self.reason, "owner": self.owner, "expires": self.expires.isoformat()}


def expired(waivers: t.Sequence[ReportWaiver], now: float) -> list[str]:
    """Return a sentence for each waiver whose last day is over."""
    return [
        f"the waiver of {one.control} (owner: {one.owner}) ended with {one.expires}"
        for one in waivers
        if not one.holds(now)
    ]


def parse(
    raw: t.Any,
    controls: t.Sequence[Control],
    matching: Matching,
    cluster: str,
    enforced: t.Sequence[str] = (),
    among: t.Collection[str] | None = None,
) -> list[ReportWaiver]:
    """Return the waivers.

    Args:
        raw: kubeharden_waivers.
        controls: The catalogue.
        matching: How patterns of hosts are matched.
        cluster: The name under which the cluster stands among the hosts.
        enforced: Ids that harden.yml knows, some of which are not judged.
        among: The hosts whose variable this is, where others have another; None for all.

    Raises:
        HardeningError: Waivers that are none, or of a control that does not exist; all of them in one text.
    """
    known = sorted({name for control in controls for name in (control.id, control.part_of) if name} | set(enforced))
    problems: list[str] = []
    found = []
    if not isinstance(raw, list):
        raise HardeningError("KH004", "kubeharden_waivers must be a list of waivers.")
    for number, entry in enumerate(raw, 1):
        problem = _problem(entry, known)
        if problem:
            problems.append(f"kubeharden_waivers, waiver {number}: {problem}")
            continue
        patterns = patterns_of(entry)
        lost = [one for one in patterns if one != cluster and not matching([one])]
        if lost:
            problems.append(f"kubeharden_waivers, waiver {number}: no host and no group is called {', '.join(lost)}.")
        own = [one for one in patterns if one != cluster]
        hosts = set(matching(own)) if own else set()
        hosts = {*hosts.intersection(hosts if among is None else among), *set(patterns).intersection([cluster])}
        found.append(
            ReportWaiver(
                control=str(entry["control"]),
                hosts=frozenset(hosts) if patterns else None if among is None else frozenset(among),
                patterns=tuple(patterns),
                reason=str(entry["reason"]),
                owner=str(entry["owner"]),
                expires=t.cast(datetime.date, day_of(entry["expires"])),
            )
        )
    if problems:
        raise HardeningError("KH004", " ".join(problems))
    return found


def _problem(entry: t.Any, known: t.Sequence[str]) -> str:
    if not isinstance(entry, dict):
        return f"it must be a mapping with {', '.join(REQUIRED)}."
    missing = [key for key in REQUIRED if not str(entry.get(key) or "").strip()]
    wrong = sorted(str(key) for key in set(entry) - set(KEYS))
    if missing or wrong:
        return " ".join(
            [*(f"it lacks {key}." for key in missing), *(f"there is no key {key} in a waiver." for key in wrong)]
        )
    if entry["control"] not in known:
        return f"there is no control {entry['control']}; {nearest(entry['control'], known, LISTED)}."
    if day_of(entry["expires"]) is None:
        return f"{entry['expires']} is no day; write one such as 2027-01-31."
    if "hosts" in entry and not patterns_of(entry):
        return "its hosts must be a pattern or a list of them; leave the key out for all."
    return ""
