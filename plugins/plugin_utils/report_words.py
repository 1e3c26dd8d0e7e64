# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a report: statuses from worst to best, severities, frameworks."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Status:
    """A verdict.

    Attributes:
        word: As in report.json.
        label: For a reader.
        code: Its class in the style sheet, which gives it a sign besides its colour.
        rank: 0 is the worst.
        meaning: One line for the legend.
    """

    word: str
    label: str
    code: str
    rank: int
    meaning: str


# Of several verdicts the first in this order decides: one host that fails is enough.
STATUSES = {
    status.word: status
    for status in (
        Status("fail", "fail", "f", 0, "what was seen contradicts the control"),
        Status("unknown", "unknown", "u", 1, "could not be judged; counts as a failure unless waived"),
        Status("waived", "waived", "w", 2, "would count as a failure; somebody answers for it until a date"),
        Status("explained", "explained", "e", 3, "not enforced by the chosen profile, and why; never counted as pass"),
        Status("pass", "pass", "p", 4, "what was seen is what the control asks for"),
        Status("not_applicable", "not applicable", "n", 5, "the control's subject is not on this host"),
    )
}
# What somebody has to act on.
BAD = ("fail", "unknown")
SEVERITIES = ("high", "medium", "low")
FRAMEWORKS = {
    "cis": "CIS Kubernetes Benchmark 1.12",
    "nsa": "NSA/CISA Kubernetes Hardening Guide",
    "stig": "DISA STIG for Kubernetes",
    "bsi": "BSI IT-Grundschutz APP.4.4",
    "nis2": "NIS2 Directive, Article 21(2)",
}


def framework_name(key: str) -> str:
    """Return a framework's name; one of a user's own catalogue is called by its key."""
    return FRAMEWORKS.get(key, key)


def worst(words: t.Iterable[str]) -> Status:
    """Return the worst of some statuses."""
    return min((STATUSES[word] for word in words), key=lambda status: status.rank)
