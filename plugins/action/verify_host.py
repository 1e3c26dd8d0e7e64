# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's controls are judged by, its profile among it; what the controller finds at its ports, and whether its
API server answers."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.rollout import outside
from ansible_collections.kubeharden.core.plugins.plugin_utils.connections import direct_address
from ansible_collections.kubeharden.core.plugins.plugin_utils.looking_action import LookingAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.selection import PROFILE

#: Seconds that one question of the controller to a port may take.
LIMIT = 3.0


class ActionModule(LookingAction):
    """Documented in plugins/modules/verify_host.py."""

    MODULE = "verify_host"

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, ask the host's ports from here, and say whether the host can be asked about the cluster."""
        result = super().run(tmp, task_vars)
        probes = (result.get("evidence") or {}).get("probes") or {}
        answers = any(one["component"] == "kube-apiserver" and one["status"] for one in probes.get("requests") or [])
        if probes:
            self._look_from_here(probes)
        variables = task_vars or {}
        # Here, where a host's own variables and the role's defaults are both known.
        profile = self._templar.template(variables.get(PROFILE) or "")
        return {**result, "api_answers": answers, "host": variables.get("inventory_hostname"), "profile": profile}

    def _look_from_here(self, probes: dict[str, t.Any]) -> None:
        """Add what the controller finds; what answered it is judged like what answered the host."""
        address, problem = direct_address(self._connection)
        found = outside.look(address, probes, time.time(), LIMIT) if address else {"problem": problem}
        probes["tls"] += found.pop("tls", [])
        probes["requests"] += found.pop("requests", [])
        probes["outside"] = found
