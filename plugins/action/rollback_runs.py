# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs a host can put back; one whose records cannot be read ends the run with all others (rollback_choose)."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/rollback_runs.py."""

    MODULE = "rollback_runs"
    RELEASES = False  # the locks of all hosts are given back together

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module; what it says of a record is no failure yet."""
        result = super().execute(arguments, task_vars)
        if result.get("failed"):
            return {"changed": False, "runs": [], "problem": str(result.get("msg") or "")}
        return result
