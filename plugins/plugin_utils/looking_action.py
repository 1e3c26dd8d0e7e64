# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host, where a host that cannot be looked at is a finding and ends nothing."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask
from ansible_collections.kubeharden.core.plugins.plugin_utils.connections import end_when_silent
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import reason


class LookingAction(ActionBase):
    """Runs a module that only looks; its failure becomes ``problem``."""

    MODULE = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module."""
        super().run(tmp, task_vars)
        end_when_silent(self._connection)
        name = f"kubeharden.core.{self.MODULE}"
        try:
            result = self._execute_module(
                module_name=name, module_args=dict(self._task.args), task_vars=task_vars or {}
            )
        except AnsibleError as error:  # a connection that fails, or rights that are not given
            return self._nothing(reason(error))
        if result.get("failed") or "problem" not in result:
            words = str(result.get("msg") or result.get("module_stderr") or "the module said nothing")
            return self._nothing(" ".join(words.split())[:500])
        return {**result, "changed": False}

    def _nothing(self, words: str) -> dict[str, t.Any]:
        return {"changed": False, "problem": mask(words)}
