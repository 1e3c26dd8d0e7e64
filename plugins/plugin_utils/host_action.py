# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that work on a host share: run the module of the same name, and write down what it changed."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION
from ansible_collections.kubeharden.core.plugins.plugin_utils import changes_file
from ansible_collections.kubeharden.core.plugins.plugin_utils.connections import end_when_silent
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import locks_of

#: Only a control plane gives it back, and only the host that a run ends on is still spoken to.
STAYS = (
    "The lock of the cluster stays with this run: the next one from this controller takes it over, one from another "
    f"controller {DURATION // 60} minutes after its last renewal, or when you have deleted it (kubectl -n kube-system "
    "delete lease kubeharden)."
)


def reason(error: Exception) -> str:
    """Return what a connection plugin said as one sentence in one line; ssh ends lines in its own way."""
    return " ".join(str(error).split()).rstrip(".") + "."


class HostAction(ActionBase):
    """Runs a module with prepared arguments.

    A subclass names its module and may prepare the arguments.
    """

    MODULE = ""
    #: Whether a failure ends the run, so that this host's lock, and from a control plane the cluster's, go back.
    RELEASES = True

    def prepare(self, arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the module's arguments."""
        return arguments

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module and add its changes to changes.json."""
        super().run(tmp, task_vars)
        end_when_silent(self._connection)
        variables = task_vars or {}
        arguments = self.prepare(dict(self._task.args), variables)
        # A module that finds no lock must know whether there was one.
        locks = locks_of(variables, str(self._task.delegate_to or variables["inventory_hostname"]))
        if boolean(arguments.get("own_lock", False)):
            locks = []  # discovery took none
        if locks:
            arguments["locks"] = locks
        result = self.answer(arguments, variables)
        if arguments.get("report_dir") and not result.get("failed"):
            result = self._written_down(result, arguments, variables)
        if result.get("failed") and self.RELEASES:
            kubeconfig = (arguments.get("discovery") or {}).get("admin_kubeconfig")
            kept = self.release({**arguments, "kubeconfig": kubeconfig}, variables)
            if not kubeconfig and "cluster" in locks and not self._task.check_mode:
                kept.append(STAYS)
            if kept:
                result["msg"] = " ".join([str(result.get("msg") or ""), *kept]).strip()
        return result

    def _written_down(
        self, result: dict[str, t.Any], arguments: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]
    ) -> dict[str, t.Any]:
        """Return the result when its changes are in changes.json, and a failure where they cannot be written there."""
        mode = "check" if self._task.check_mode else "run"
        host = str(self._task.delegate_to or task_vars["inventory_hostname"])
        changes = result.get("changes", [])
        try:
            changes_file.add(arguments["report_dir"], arguments["run_id"], mode, host, changes)
        except HardeningError as error:
            record = f"{STATE_DIRECTORY}/backups/{arguments['run_id']}"
            kept = f"What this task changed stays; its record is on {host}, in {record}."
            left = kept if changes and mode == "run" else f"This task changed nothing on {host}."
            return {**result, "failed": True, "msg": numbered(error.number, f"{error} {left}")}
        return result

    def release(self, arguments: t.Mapping[str, t.Any], task_vars: dict[str, t.Any]) -> list[str]:
        """Give locks back where a run ends early; one that could not be given back is recognised as dead later.

        Returns:
            A sentence where they were kept, since the module goes on on the host though its connection was lost, and
            where the API did not take the cluster's, or nobody is there to give it back.
        """
        if self._task.check_mode or not arguments.get("run_id"):
            return []
        kept = {key: arguments[key] for key in ("root", "root_seed", "run_id", "kubeconfig") if arguments.get(key)}
        with contextlib.suppress(AnsibleConnectionFailure):
            given = self._execute_module("kubeharden.core.release_lock", module_args=kept, task_vars=task_vars)
            return list(given.get("notes") or [])
        return [STAYS] if arguments.get("kubeconfig") else []

    def answer(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the task's result; a subclass may have it without the module."""
        return self.execute(arguments, task_vars)

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module on the host.

        A connection that is lost while the host is worked on is a failure, not an unreachable host: those do not end
        the plays of the hosts that come after.
        """
        try:
            return dict(
                self._execute_module(f"kubeharden.core.{self.MODULE}", module_args=arguments, task_vars=task_vars)
            )
        except AnsibleConnectionFailure as error:
            return {
                "failed": True,
                "msg": numbered(
                    "KH102",
                    f"The connection to {self._task.delegate_to or task_vars['inventory_hostname']} was lost: "
                    f"{reason(error)} What was under way there may have been finished or not; run the playbook again, "
                    "which proves it or puts it back first.",
                ),
            }
