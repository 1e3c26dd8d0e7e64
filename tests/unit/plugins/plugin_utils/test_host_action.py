# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that ends early gives its locks back; where the module goes on all the same, the failure says so."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.kubeharden.core.plugins.plugin_utils import host_action
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

STILL = "A module of run r still works on this host."


class Action(HostAction):
    """Loses the connection to its module, and then reaches the host again."""

    MODULE = "kubelet"

    def __init__(self, released: dict[str, t.Any]) -> None:
        self._task = t.cast(t.Any, types.SimpleNamespace(args={"run_id": "r"}, check_mode=False, delegate_to=None))
        self._connection = None
        self._released = released

    def _execute_module(self, name: str, **_arguments: t.Any) -> dict[str, t.Any]:
        if name.endswith("release_lock"):
            return self._released
        raise AnsibleConnectionFailure("Broken pipe")


@pytest.mark.parametrize("in_use", [False, True])
def test_a_lost_module_that_works_on_is_told(monkeypatch: pytest.MonkeyPatch, in_use: bool) -> None:
    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    monkeypatch.setattr(host_action.ActionBase, "run", lambda *_arguments: {})
    result = Action({"in_use": in_use, "notes": [STILL]}).run(None, {"inventory_hostname": "cp1"})
    assert result["msg"].startswith("KH102: The connection to cp1 was lost: Broken pipe.")
    assert result["msg"].endswith(STILL) is in_use
