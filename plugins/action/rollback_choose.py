# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs are put back, on the controller: hosts differ in what they have a record of."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import numbered
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import found_of
from ansible_collections.kubeharden.core.plugins.plugin_utils.ending_action import EndingAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.run_choice import choose


class ActionModule(EndingAction):
    """Documented in plugins/modules/rollback_choose.py."""

    MODULE = "rollback_choose"

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Choose; where that is not possible every host gives its lock back, and the run ends."""
        super(HostAction, self).run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        host, hosts = variables["inventory_hostname"], list(variables["ansible_play_hosts"])
        # Raw: what looks like a template in a host's file is text here too.
        known = {name: variables["hostvars"].raw_get(name) for name in hosts}
        seen = {name: known[name].get(arguments.get("seen") or "__rollback_seen") or {} for name in hosts}
        problems = {name: str(one["problem"]) for name, one in seen.items() if one.get("problem")}
        choice = choose({name: one.get("runs") or [] for name, one in seen.items()}, arguments.get("asked") or "")
        if choice.problem and not problems:
            problems = {hosts[0]: numbered("KH405", f"{choice.problem} Nothing was changed.")}
        kept = self.give_back(arguments, found_of(known[host]), variables) if problems else []
        if host in problems:
            return {"failed": True, "msg": " ".join([problems[host], *kept])}
        return {"changed": False, "runs": list(choice.runs), "notes": list(choice.notes)}
