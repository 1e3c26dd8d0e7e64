# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the auditor of one framework asks for, on one sheet: requirement, verdict, where, and what was seen.

A sheet of A4 has room for so many lines and no more. What is open is told first, the worst before the rest; the
requirements for which there is no room, and those that are met, are named by their numbers, so that none is left out.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.report_names import host_list, natural
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_words import (
    STATUSES,
    Status,
    framework_name,
    worst,
)

if t.TYPE_CHECKING:
    from ansible_collections.kubeharden.core.plugins.plugin_utils.report_view import Control

# Lines of 8 point on a sheet of A4 with its margins, less the heading; and how many characters stand in one, with the
# widest of the fonts that the style sheet names.
LINES = 62
LINE_WIDTH = 96
REQUIREMENT_WIDTH = 18
CONTROL_WIDTH = 56
EVIDENCE_WIDTH = 120
HOSTS_WIDTH = 20
# Verdicts that an auditor asks about one by one.
TOLD = ("fail", "unknown", "waived", "explained")


def short(text: str, limit: int) -> str:
    """Return the first line of a text, cut at a limit."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= limit and line == text.strip() else f"{line[: limit - 1].rstrip()}\u2026"


def _where(control: Control, status: Status, names: t.Sequence[str]) -> str:
    indexes = control.hosts_with(status.word)
    listed = host_list(names[index] for index in indexes)
    return listed if len(listed) <= HOSTS_WIDTH else f"{len(indexes)} of {len(control.cells)}"


def _row(control: Control, requirements: t.Sequence[str], names: t.Sequence[str]) -> dict[str, t.Any]:
    """Return a control that is to be spoken about, with the requirements that it has a part in."""
    status = worst(control.cells.values())
    group = control.groups[0]
    waiver = group.waiver if status.word == "waived" else {}
    return {
        "requirements": requirements,
        "status": status,
        "control": control,
        "where": _where(control, status, names),
        "evidence": short(_answers(waiver) or group.evidence, EVIDENCE_WIDTH),
    }


def _answers(waiver: t.Mapping[str, str]) -> str:
    """Return who answers for a waiver, until when and why."""
    parts = [waiver.get("owner"), waiver.get("expires") and f"until {waiver['expires']}", waiver.get("reason")]
    return "; ".join(part for part in parts if part)


def _lines(row: t.Mapping[str, t.Any]) -> int:
    """Return the lines that a row takes: its first column may need more than what was seen."""
    first = math.ceil(sum(len(word) + 2 for word in row["requirements"]) / REQUIREMENT_WIDTH)
    return max(first, math.ceil(len(row["control"].title) / CONTROL_WIDTH) + (1 if row["evidence"] else 0))


def page(key: str, controls: t.Sequence[Control], names: t.Sequence[str]) -> dict[str, t.Any]:
    """Return one framework's sheet.

    Args:
        key: The framework, as in mappings.
        controls: All controls; those that have no part in it are left out.
        names: The hosts' names by index.
    """
    asked: dict[str, list[Control]] = {}
    for control in controls:
        for requirement in dict.fromkeys(control.mappings.get(key, ())):
            asked.setdefault(requirement, []).append(control)
    numbers = sorted(asked, key=natural)
    verdicts = {number: _verdict(asked[number]) for number in numbers}
    listed = {status: [number for number in numbers if verdicts[number] is status] for status in STATUSES.values()}
    rows = [
        _row(control, sorted(dict.fromkeys(control.mappings[key]), key=natural), names)
        for control in controls
        if key in control.mappings and control.worst and control.worst.word in TOLD
    ]
    rows.sort(key=lambda row: (row["status"].rank, [natural(number) for number in row["requirements"]]))
    # All numbers may have to be named; that room is never given away.
    room = LINES - sum(math.ceil(sum(len(word) + 2 for word in words) / LINE_WIDTH) for words in listed.values())
    told = []
    for row in rows:
        room -= _lines(row)
        if room < 0:
            break
        told.append(row)
    spoken = {(number, row["status"]) for row in told for number in row["requirements"]}
    return {
        "key": key,
        "name": framework_name(key),
        "total": len(numbers),
        "counts": [(status, len(words)) for status, words in listed.items()],
        "told": told,
        "left": len(rows) - len(told),
        "named": [
            (status, named)
            for status, words in listed.items()
            for named in [[number for number in words if (number, status) not in spoken]]
            if named
        ],
        "unjudged": [number for number in numbers if not verdicts[number]],
    }


def _verdict(controls: t.Sequence[Control]) -> Status | None:
    words = [control.worst.word for control in controls if control.worst]
    return worst(words) if words else None
