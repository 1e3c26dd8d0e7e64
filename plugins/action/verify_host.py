# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's controls are judged by, and whether its API server answers."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.looking_action import LookingAction


class ActionModule(LookingAction):
    """Documented in plugins/modules/verify_host.py."""

    MODULE = "verify_host"

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, and say whether the host can be asked about the cluster."""
        result = super().run(tmp, task_vars)
        probes = (result.get("evidence") or {}).get("probes") or {}
        answers = any(one["component"] == "kube-apiserver" and one["status"] for one in probes.get("requests") or [])
        return {**result, "api_answers": answers, "host": (task_vars or {}).get("inventory_hostname")}
