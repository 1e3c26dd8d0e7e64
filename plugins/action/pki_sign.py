# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing: the requests of every host of the batch, gathered for one call."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import LEAVES, PkiAction


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_sign.py."""

    MODULE = "pki_sign"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Gather what the hosts of this batch ask for."""
        arguments = super().prepare(arguments, task_vars)
        if "hosts" in arguments:
            return arguments
        arguments["hosts"] = []
        for host in task_vars["ansible_play_batch"]:
            asked = self.registered(host, LEAVES)
            if asked.get("requests") or asked.get("bundles"):
                arguments["hosts"].append(
                    {
                        "node_name": self._found[host]["node_name"],
                        "layout": self.layout_of(host),
                        "requests": asked["requests"],
                        "bundles": asked["bundles"],
                    }
                )
        return arguments
