# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens, with their changes written down."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/bootstrap_tokens.py."""

    MODULE = "bootstrap_tokens"

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say what it did: the table at the end has no line for a host that takes no part."""
        result = super().execute(arguments, task_vars)
        targets = [f"{change['action']} {change['target']}" for change in result.get("changes") or []]
        if not targets:
            return result
        would = "would be" if self._task.check_mode else "was"
        note = f"Through {self._task.delegate_to} {would} done: {', '.join(targets)}."
        return {**result, "notes": [note, *result["notes"]]}
