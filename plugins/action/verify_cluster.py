# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's controls are judged by."""

from __future__ import annotations

from ansible_collections.kubeharden.core.plugins.plugin_utils.looking_action import LookingAction


class ActionModule(LookingAction):
    """Documented in plugins/modules/verify_cluster.py."""

    MODULE = "verify_cluster"
