# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery returned reaches the judge."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.preflight import ActionModule, as_host
from ansible_collections.kubeharden.core.plugins.module_utils.controls import readiness


def test_a_control_plane_is_judged_with_its_version_and_a_worker_without() -> None:
    found = {"discovery": {"node_name": "cp1", "components": {"kube-apiserver": {"version": "1.37.1"}}}}
    assert (as_host(found).node, as_host(found).version) == ("cp1", "1.37.1")
    assert as_host({"discovery": {"node_name": "w1", "components": {}}}).version == ""
    assert as_host({}).version == ""


@pytest.mark.parametrize(("evidence", "looked_at"), [({}, False), ({"livez": True}, True)])
def test_a_host_without_evidence_was_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, evidence: dict[str, t.Any], looked_at: bool
) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(readiness, "judge", lambda *_arguments: readiness.Findings({"w1": []}, {"w1": []}))
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(args={})
    hostvars = types.SimpleNamespace(
        raw_get=lambda _name: {"__discover_found": {"discovery": {}, "evidence": evidence}}
    )
    result = action.run(None, {"inventory_hostname": "w1", "hostvars": hostvars, "ansible_play_hosts_all": ["w1"]})
    assert result["looked_at"] is looked_at
    assert bool(result["not_done"]) is not looked_at
