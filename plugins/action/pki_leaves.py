# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves and kubeconfigs of a host."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import AUTHORITIES, PkiAction


class ActionModule(PkiAction):
    """Documented in plugins/modules/pki_leaves.py."""

    MODULE = "pki_leaves"

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Say what is about to be there, and whether somebody can sign."""
        group = arguments.pop("control_planes", [])
        arguments = super().prepare(arguments, task_vars)
        if self._target not in self._found:
            return arguments
        missing = self.registered(self._target, AUTHORITIES).get("missing") or []
        arguments.setdefault("expected", missing)
        arguments.setdefault("signer", pki_cluster.can_sign(self._found, group))
        arguments.setdefault("repair", self.repairs())
        # On a running host what is there is renewed one host at a time and with proof, by another playbook.
        arguments.setdefault("scope", "missing" if self._found[self._target]["live"] else "due")
        return arguments

    def execute(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, and say which host is to be asked."""
        result = super().execute(arguments, task_vars)
        asks = [self._target] if result.get("requests") or result.get("bundles") else []
        return {**result, "source": pki_cluster.authority_host(self._found), "asks": asks}
