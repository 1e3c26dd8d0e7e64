# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run, on the controller: one table, and where the way back is."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.plugin_utils import changes_file, estimate
from ansible_collections.kubeharden.core.plugins.plugin_utils.summary import Row, render


class ActionModule(ActionBase):
    """Documented in plugins/modules/end_run.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Print the account of the run."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = self._task.args
        mode = "check" if self._task.check_mode else "run"
        changes_file.add(arguments["report_dir"], arguments["run_id"], mode, "", [])
        changes = changes_file.read(arguments["report_dir"])["changes"]
        rows = []
        for host in sorted(variables["ansible_play_hosts_all"]):
            # Raw: what looks like a template in a host's file is text here too.
            results = variables["hostvars"].raw_get(host)
            rows.append(Row.from_results(host, [results.get(name) for name in arguments["results"]], changes, mode))
        notes = list(arguments.get("notes") or [])
        if mode == "check":
            control_planes = variables["groups"].get("kubeharden_control_planes", [])
            seconds = estimate.of_run(changes, control_planes)
            if arguments.get("ready"):
                notes.insert(0, f"Ready: nothing keeps a run from beginning on {len(rows)} hosts. Nothing was changed.")
            if seconds:
                notes.insert(
                    0,
                    f"The restarts would take about {seconds} s: control planes one after the other, then nodes at "
                    "once; hosts that are more than --forks take longer.",
                )
        for line in render(rows, mode, arguments["run_id"], arguments["report_dir"], notes):
            self._display.display(line)
        return {"changed": False}
