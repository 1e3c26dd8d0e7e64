# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery, with the lock of a run that died taken over by the controller that knows it."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.kubeharden.core.plugins.plugin_utils import controller, selection, version_check
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction, reason


class ActionModule(HostAction):
    """Documented in plugins/modules/discover.py."""

    MODULE = "discover"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say who asks for the lock, and which files must be there."""
        name, process = controller.identity()
        self._extra = self._templar.template(task_vars.get("kubeharden_extra_flags") or {})
        self._plugins = self._templar.template(task_vars.get("kubeharden_admission_plugins_extra") or [])
        self._problems = controller.problems_with_extra_flags(self._extra)
        if not self._problems:
            arguments["extra_flags"] = version_check.texts_of(self._extra)
            arguments["mounted_flags"] = selection.mounted_flags(arguments.get("left_out") or [])
        return {**arguments, "controller": name, "process": process}

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, once more where the lock's holder is a dead run of this controller."""
        result = self._discover(arguments, task_vars)
        holder = result.get("locked_by")
        if holder and controller.is_dead(holder, arguments["controller"]):
            result = self._discover({**arguments, "dead_run": holder["run_id"]}, task_vars)
            result.setdefault("notes", []).append(
                f"Run {holder['run_id']} ended early without giving its lock back; it was taken over."
            )
        if "discovery" not in result:
            return result
        # Here and not only where they are written: a host whose turn comes later stops the run before its first write.
        problems = self._problems or [
            *version_check.check_extra(version_check.with_kubelet(result["discovery"]), self._extra),
            *result["flag_problems"],
            *version_check.check_plugins(result["discovery"]["components"], self._plugins),
        ]
        return version_check.refusal(problems, task_vars["inventory_hostname"]) if problems else result

    def _discover(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            return dict(self._execute_module("kubeharden.core.discover", module_args=arguments, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            # Without the cause, which Ansible would say a second time after the sentence.
            raise AnsibleConnectionFailure(
                f"{task_vars['inventory_hostname']} could not be reached: {reason(error)} Nothing was changed on any "
                "host. Mend the connection, leave the host out with --limit, or set kubeharden_allow_unreachable to "
                "true."
            ) from None
