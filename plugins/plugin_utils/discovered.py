# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery returned of a host, for actions that look at others than their own."""

from __future__ import annotations

import typing as t

#: What discovery returned, the later first.
RESULTS = ("__discover_again", "__discover_found")


def found_of(variables: t.Mapping[str, t.Any], names: t.Sequence[str] = RESULTS) -> dict[str, t.Any]:
    """Return what the last discovery of a host returned, empty where there was none."""
    for name in names:
        result = variables.get(name)
        if isinstance(result, dict) and not result.get("skipped"):
            return result
    return {}
