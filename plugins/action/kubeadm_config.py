# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's ConfigMap, with its changes written down."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.concerns import wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/kubeadm_config.py."""

    MODULE = "kubeadm_config"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Choose the kubelet's settings that this run is about."""
        tags = (task_vars["ansible_run_tags"], task_vars["ansible_skip_tags"])
        concerns = arguments.get("kubelet_settings") or {}
        arguments["kubelet_settings"] = {
            field: data
            for name, settings in concerns.items()
            if wanted(*tags, name)
            for field, data in settings.items()
        }
        return arguments
