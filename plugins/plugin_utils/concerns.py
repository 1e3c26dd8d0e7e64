# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which concerns --tags and --skip-tags leave in."""

from __future__ import annotations

import typing as t


def wanted(run_tags: t.Sequence[str], skip_tags: t.Sequence[str], concern: str) -> bool:
    """Return whether a run is about a concern; its tag has the concern's name."""
    return concern not in skip_tags and any(tag in run_tags for tag in ("all", "tagged", concern))


#: Beside the concerns a template may say what it left as it is, and why.
NOTES = "notes"


def select(concerns: t.Mapping[str, t.Any], run_tags: t.Sequence[str], skip_tags: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the settings of those concerns that a run is about."""
    return {
        field: data
        for name, settings in concerns.items()
        if name != NOTES and wanted(run_tags, skip_tags, name)
        for field, data in (settings or {}).items()
    }
