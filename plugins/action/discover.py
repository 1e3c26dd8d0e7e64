# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery, with the lock of a run that died taken over by the controller that knows it."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    controller,
    kubeadm_file,
    selection,
    version_check,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction, reason
from ansible_collections.kubeharden.core.plugins.plugin_utils.turns import host_by_host

#: The flags of the audit log that say where it lies and how large it becomes.
AUDIT_LOG = ("path", "maxsize", "maxbackup")


def with_notes_of(first: t.Mapping[str, t.Any], second: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the second call's result with what the first one told as well.

    The first may have put back what a dead run left, before the API said who has the cluster's lock.
    """
    notes = [*(first.get("notes") or []), *(second.get("notes") or [])]
    return {**second, "notes": list(dict.fromkeys(notes))}


def with_own_audit_log(ours: t.Mapping[str, str], own: t.Mapping[str, t.Any], every: bool) -> dict[str, t.Any]:
    """Return what a run gives the audit log with the user's own values, and as ``own`` which they are.

    Args:
        ours: What the templates give it.
        own: The user's own flags of kube-apiserver, by name.
        every: Whether all of the user's are written, else only those in place of ours.
    """
    named = {flag.replace("_", "-"): value for flag, value in own.items()}
    given = {key: named[f"audit-log-{key}"] for key in AUDIT_LOG if f"audit-log-{key}" in named}
    values = {key: value for key, value in given.items() if every or key in ours}
    return {**ours, **values, "own": list(values)}


class ActionModule(HostAction):
    """Documented in plugins/modules/discover.py."""

    MODULE = "discover"
    RELEASES = False  # the locks are given back when all hosts have been judged

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say who asks for the lock, which files must be there, and how large the audit log may become."""
        name, process = controller.identity()
        # Where nothing of the user's is written, nothing of it is read: it may be wrong, or name what is gone by now.
        users = task_vars if boolean(arguments.get("checks_user", True)) else {}
        self._extra = self._templar.template(users.get("kubeharden_extra_flags") or {})
        self._plugins = self._templar.template(users.get("kubeharden_admission_plugins_extra") or [])
        self._problems = controller.problems_with_extra_flags(self._extra)
        left_out = arguments.get("left_out") or []
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        self._mounted = selection.mounted_flags(left_out)
        if wanted(*tags, "audit"):
            arguments["audit"] = selection.audit_log(left_out)
        if not self._problems:
            texts = version_check.texts_of(self._extra)
            arguments["extra_flags"] = texts
            arguments["mounted_flags"] = self._mounted
            every = wanted(*tags, "apiserver") and not self._templar.template(users.get("kubeharden_only") or [])
            own = texts.get("kube-apiserver", {})
            arguments["audit"] = with_own_audit_log(arguments.get("audit") or {}, own, every)
        return {**arguments, "controller": name, "process": process}

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, once more where the lock's holder is a dead run of this controller.

        What keeps this host from being changed is no failure yet: that of all hosts is told together.
        """
        try:
            arguments = {**arguments, "before_init": self._before_init(arguments, task_vars)}
        except HardeningError as error:
            return {"changed": False, "problems": [error.numbered]}
        result = self._discover({**arguments, "in_turn": True}, task_vars)
        holder = result.get("locked_by")
        if holder and controller.is_dead(holder, arguments["controller"]):
            arguments["dead_run"] = holder["run_id"]
            result = with_notes_of(result, self._discover({**arguments, "in_turn": True}, task_vars))
        if result.get("recovers"):
            with host_by_host():
                result = with_notes_of(result, self._discover(arguments, task_vars))
        if result.get("refused"):
            kept: dict[str, t.Any] = {
                key: result[key] for key in ("cluster_lock", "locked_by", "notes") if key in result
            }
            return {"changed": False, "problems": [result["msg"]], **kept}
        met = list(result.get("problems") or [])
        if met and "discovery" not in result:
            return {**result, "asked": time.time()}
        if "discovery" not in result:
            missing = result.get("libraries_missing") or []
            if missing and not boolean(arguments.get("install_packages", True)):
                sentence = (
                    f"No Python on {task_vars['inventory_hostname']} has {' and '.join(missing)}. Nothing was changed; "
                    f"install {' and '.join(result['packages'])}, or leave kubeharden_install_packages at true."
                )
                return {**result, "problems": [numbered("KH103", sentence)]}
            return result
        if arguments["before_init"] or boolean(arguments.get("before_join", False)):
            return result  # nothing that runs is changed, and no flag written
        # Here and not only where they are written: a host whose turn comes later stops the run before its first write.
        problems = self._problems or [
            *version_check.check_extra(version_check.with_kubelet(result["discovery"]), self._extra),
            *result["flag_problems"],
            *version_check.check_plugins(result["discovery"]["components"], self._plugins),
        ]
        host = task_vars["inventory_hostname"]
        refused = (
            [version_check.refusal("KH002" if self._problems else "KH008", problems, host)["msg"]] if problems else []
        )
        damaged = version_check.check_kubelet(result["discovery"])
        if damaged:
            refused.append(version_check.refusal("KH115", damaged, host)["msg"])
        notes = [*(result.get("notes") or []), *version_check.unknown_to_kubelet(result["discovery"])]
        known = {**result, "problems": [*met, *refused], "notes": notes, "asked": time.time()}
        return {**known, **self._intends(arguments, task_vars)}

    def _before_init(self, arguments: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return what kubeadm's configuration says of a cluster that is not there yet, empty where none is named."""
        given = arguments.get("before_init") or {}
        if not given:
            return {}
        path = os.path.abspath(os.path.expanduser(str(given["file"])))
        try:
            text = str(self._loader.get_text_file_contents(path))
        except AnsibleError as error:
            raise HardeningError(
                "KH018",
                f"{path}, which {kubeadm_file.VARIABLE} names, could not be read: {reason(error)} Nothing was changed; "
                "correct the path, or who may read it.",
            ) from None
        is_first = boolean(given.get("first", False))
        return {**kubeadm_file.read(text, path), "first": is_first, "host": str(task_vars["inventory_hostname"])}

    def _intends(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return what this run mends of what would otherwise keep it from beginning."""
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        profile = self._templar.template(task_vars.get("kubeharden_profile") or "baseline")
        return {
            "mounts": self._mounted.get("kube-apiserver", []) if wanted(*tags, "audit") else [],
            "sets_kernel": profile == "cis"
            and "kubelet-kernel-defaults" not in (arguments.get("left_out") or [])
            and wanted(*tags, "kubelet"),
        }

    def _discover(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            return dict(self._execute_module("kubeharden.core.discover", module_args=arguments, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            # Without the cause, which Ansible would say a second time after the sentence.
            host = self._task.delegate_to or task_vars["inventory_hostname"]
            words = f"{host} could not be reached: {reason(error)}"
            if boolean(arguments.get("allow_unreachable", False)):
                # No unreachable host to Ansible, which would end the run of all others with it.
                left = (
                    "It is left out of this run (kubeharden_allow_unreachable); run the playbook again when it answers."
                )
                return {"changed": False, "silent": True, "notes": [numbered("KH101", f"{words} {left}")]}
            sentence = numbered(
                "KH101",
                f"{words} Nothing was changed on any host. Mend the connection, leave the host out with --limit, or "
                "set kubeharden_allow_unreachable to true.",
            )
            return {"changed": False, "unreachable_since": sentence}
