# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The begin of a run, on the controller: its name, its report directory, and variables that make sense."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.plugin_utils import controller


class ActionModule(ActionBase):
    """Documented in plugins/modules/begin_run.py."""

    _requires_connection = False
    BYPASS_HOST_LOOP = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Check what the user set and return the run's name."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        names: set[str] = set()
        for host in variables["ansible_play_hosts_all"]:
            names.update(variables["hostvars"][host])
        problems = controller.problems_with_names(names, controller.known_variables())
        problems += controller.problems_with_extra_flags(self._task.args.get("extra_flags") or {})
        if problems:
            return {
                "failed": True,
                "msg": " ".join(problems) + " Nothing was changed; correct the inventory or the command line.",
            }
        run_id = self._task.args.get("run_id") or controller.new_run_id(time.time())
        report_dir = self._task.args.get("report_dir") or os.path.join(os.getcwd(), "reports", run_id)
        return {"changed": False, "run_id": run_id, "report_dir": os.path.abspath(report_dir)}
