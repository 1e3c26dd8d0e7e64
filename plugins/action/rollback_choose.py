# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs are put back, on the controller: hosts differ in what they have a record of."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.errors import numbered
from ansible_collections.kubeharden.core.plugins.plugin_utils.run_choice import choose


class ActionModule(ActionBase):
    """Documented in plugins/modules/rollback_choose.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Choose."""
        super().run(tmp, task_vars)
        choice = choose(self._task.args["seen"], self._task.args.get("asked") or "")
        if choice.problem:
            return {"failed": True, "msg": numbered("KH405", f"{choice.problem} Nothing was changed.")}
        return {"changed": False, "runs": list(choice.runs), "notes": list(choice.notes)}
