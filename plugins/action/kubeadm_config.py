# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's ConfigMap, with its changes written down."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import selection
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import found_around
from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import NOTES, select
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.kubelet_memory import kubelet_memory
from ansible_collections.kubeharden.core.plugins.plugin_utils.selection import Shared


class ActionModule(HostAction):
    """Documented in plugins/modules/kubeadm_config.py."""

    MODULE = "kubeadm_config"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Choose the kubelet's settings that this run is about."""
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        written = (arguments.get("kubelet_settings") or {}).get(NOTES) or []
        settings = select(arguments.get("kubelet_settings") or {}, *tags)
        # What needs something of the node would keep a new node's kubelet from starting.
        arguments["kubelet_settings"] = {field: data for field, data in settings.items() if "needs" not in data}
        waived = arguments.get("waived") or {}
        static_pods = Shared("ConfigMap kube-system/kubeadm-config", waived, arguments.get("control_planes") or [])
        kubelets = Shared("ConfigMap kube-system/kubelet-config", waived, arguments.get("nodes") or [])
        first = "base_states" if arguments.get("base_states") else "states"
        arguments[first] = selection.without(arguments.get(first) or [], arguments.get("waiting") or [])
        base = arguments.get("base_states") or []
        both = static_pods.states([*base, *(arguments.get("states") or [])])
        arguments["base_states"], arguments["states"] = both[: len(base)], both[len(base) :]
        shared = kubelets.settings(arguments["kubelet_settings"])
        found = found_around(task_vars) if shared else {}
        memory = kubelet_memory(found, settings, shared, arguments.get("unseen") or [])
        arguments["kubelet_settings"], self._remembered = memory.asked, memory.said
        self._notes = [*written, *static_pods.notes(), *kubelets.notes()]
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module and say what one host's waiver keeps out of what all of them share."""
        result = super().execute(arguments, task_vars)
        notes = [*self._notes, *result.get("notes", [])]
        return {**result, "notes": notes, "remembered": self._remembered}
