# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the cluster, with the word of which locks the run has taken, and what it has changed by now."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.around import (
    around,
    around_put_back,
    found_around,
    parts_put_back,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/renew_lock.py."""

    MODULE = "renew_lock"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say which API servers and nodes must be well where something was restarted."""
        changed = set(arguments.pop("changed_hosts", None) or [])
        if not changed:
            return arguments
        found = found_around(task_vars)
        known = task_vars["hostvars"].raw_get
        parts = {host: parts_put_back(known(host)) for host in found}
        if any(parts.values()):
            return {**arguments, **around_put_back(found, parts)}
        nodes = around({host: one for host, one in found.items() if host in changed})["nodes"]
        return {**arguments, "api_servers": around(found)["api_servers"], "nodes": nodes}
