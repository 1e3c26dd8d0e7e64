# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What actions share that end a run before its first write: all hosts give back what the run took, one by one."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import ADMIN_KUBECONFIG
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class EndingAction(HostAction):
    """Judges on the controller what hosts returned; every host of the play runs it, whether it is to blame or not."""

    _requires_connection = False  # but where locks are given back

    def give_back(
        self, arguments: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any], task_vars: dict[str, t.Any]
    ) -> list[str]:
        """Give back what discovery took; a host that it could not read has taken its lock all the same.

        Args:
            arguments: Of the task; by ``root``, ``root_seed``, ``run_id`` and ``kubeconfig`` the host is reached.
            found: What discovery returned.
            task_vars: Of the task.

        Returns:
            Sentences where something was not given back.
        """
        if not found or found.get("silent") or found.get("unreachable_since"):
            return []
        kept = dict(arguments)
        if found.get("cluster_lock") == "held":
            kept = {"kubeconfig": ADMIN_KUBECONFIG, **kept}
        else:
            kept.pop("kubeconfig", None)
        return self.release(kept, task_vars)
