# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs of a host."""

from __future__ import annotations

from ansible_collections.kubeharden.core.plugins.action.pki_leaves import ActionModule as LeavesAction
from ansible_collections.kubeharden.core.plugins.plugin_utils import requests_directory


class ActionModule(LeavesAction):
    """Documented in plugins/modules/kubeconfigs.py."""

    MODULE = "kubeconfigs"
    ABOUT = requests_directory.OF_KUBECONFIGS
