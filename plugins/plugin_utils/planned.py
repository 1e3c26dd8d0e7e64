# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that only looks, on all hosts at once, and a later one that is not started where it found nothing to do."""

from __future__ import annotations

import hashlib
import json
import typing as t


def digest(asked: object) -> str:
    """Return a digest of what a task asks for, by which another that asks for the same is known."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def told(result: t.Mapping[str, t.Any], asked: str) -> dict[str, t.Any]:
    """Return the result of a task that only looks.

    What the change would be stopped by fails no task yet, so that the run can be ended on every host. Anything else
    that fails is no word of ours, and ends it as it is. What would change is told by the task that changes it.
    """
    if result.get("failed") and str(result.get("msg")).startswith("KH"):
        return {"changed": False, "problems": [result["msg"]]}
    if result.get("failed"):
        return dict(result)
    looked = {name: value for name, value in result.items() if name != "diff"}
    return {**looked, "changed": False, "changes": [], "asked": asked}


def unchanged(planned: t.Mapping[str, t.Any], asked: str) -> dict[str, t.Any] | None:
    """Return the result of a task for which an earlier one found nothing to do; None where there is, or may be.

    Args:
        planned: What the earlier task returned, empty where there was none.
        asked: The digest of what is asked for now.
    """
    if planned.get("asked") != asked or planned.get("due", True):
        return None
    return {name: value for name, value in planned.items() if name not in ("asked", "due")}
