# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of one host, with its changes written down."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import flag_name
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONCERN
from ansible_collections.kubeharden.core.plugins.plugin_utils import version_check
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import Found, around, found_around
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import NOT_DONE, select, wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.discovered import SPEAKING
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.kubelet_memory import kubelet_memory


def remembered(found: Found, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return by field what kubeadm's ConfigMap will say, as it is told after the control planes."""
    waived = arguments.get("waived") or {}
    settings = {field: data for field, data in arguments["settings"].items() if "needs" not in data}
    # It is left as it is for what some host has waived.
    shared = {field: data for field, data in settings.items() if not waived.get(data.get("control"))}
    return kubelet_memory(found, settings, shared, arguments.get("unseen") or []).said


def told(task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return by field what the ConfigMap says, as the run told it before its nodes; empty where it told nothing.

    To look at every host's discovery for each node would take long where there are many.
    """
    for host in sorted(task_vars["groups"].get(SPEAKING[0], []))[:1]:
        done = task_vars["hostvars"].raw_get(host).get("__harden_kubeadm_done") or {}
        return dict(done.get("remembered") or {})
    return {}


class ActionModule(HostAction):
    """Documented in plugins/modules/kubelet.py."""

    MODULE = "kubelet"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Choose the settings that this run is about."""
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        said = (arguments.get("settings") or {}).get(NOT_DONE) or []
        self._not_done = said if wanted(*tags, CONCERN["kubelet"]) else []
        for name in ("settings", "sysctls"):
            arguments[name] = select(arguments.get(name) or {}, *tags)
        extra = (arguments.get("extra_flags") or {}).get("kubelet") or {}
        # They belong to no control, so a run that is about some controls alone leaves them as they are.
        chosen = extra if wanted(*tags, CONCERN["kubelet"]) and not arguments.get("only") else {}
        arguments["extra_flags"] = {flag_name(flag): version_check.text_of(value) for flag, value in chosen.items()}
        kubelet = arguments["discovery"]["kubelet"]
        about = wanted(*tags, CONCERN["kubelet"])
        self._warnings = version_check.warnings_of_kubelet(kubelet, arguments["extra_flags"]) if about else []
        if "kube-apiserver" in arguments["discovery"]["components"]:
            # Before a batch of nodes a control plane is asked; this host is one itself.
            found = found_around(task_vars)
            arguments.update(around(found), remembered=remembered(found, arguments))
        else:
            arguments["remembered"] = told(task_vars)
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say what the template left as it was, and what the next version does not take."""
        result = super().execute(arguments, task_vars)
        notes = [*self._warnings, *result.get("notes", [])]
        return {**result, "notes": notes, "not_done": [*self._not_done, *result.get("not_done", [])]}
