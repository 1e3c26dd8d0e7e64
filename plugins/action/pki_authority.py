# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities: which host makes them, and which is asked for them."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import PkiAction


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_authority.py."""

    MODULE = "pki_authority"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Make them on the first control plane, only when every control plane was asked and none has any."""
        arguments = super().prepare(arguments, task_vars)
        group = arguments.pop("control_planes", [])
        source = pki_cluster.authority_host(self._found)
        self._source = source
        arguments.setdefault("create", source == self._target and pki_cluster.are_made(self._found, group))
        arguments.setdefault("source", source != self._target and pki_cluster.can_sign(self._found, group))
        arguments.setdefault("repair", self.repairs())
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say which host is to be asked."""
        return {**super().execute(arguments, task_vars), "source": self._source}
