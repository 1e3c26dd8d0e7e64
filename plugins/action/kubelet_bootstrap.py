# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet needs to join by itself, with its changes written down."""

from __future__ import annotations

from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/kubelet_bootstrap.py."""

    MODULE = "kubelet_bootstrap"
