# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host says by which profile it is judged, looked at or not."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.verify_host import ActionModule
from ansible_collections.kubeharden.core.plugins.plugin_utils.looking_action import LookingAction


@pytest.mark.parametrize("seen", [{"evidence": {}, "problem": ""}, {"problem": "it could not be reached"}])
@pytest.mark.parametrize(
    ("variables", "profile"), [({"kubeharden_profile": "cis"}, "cis"), ({"kubeharden_profile": "baseline"}, "baseline")]
)
def test_a_host_says_its_own_profile(
    monkeypatch: pytest.MonkeyPatch, seen: dict[str, t.Any], variables: dict[str, t.Any], profile: str
) -> None:
    monkeypatch.setattr(LookingAction, "run", lambda *_arguments: {"changed": False, **seen})
    action = ActionModule.__new__(ActionModule)
    action._templar = types.SimpleNamespace(template=lambda text: text)
    result = action.run(None, {"inventory_hostname": "cp1", **variables})
    assert (result["host"], result["profile"], result["problem"]) == ("cp1", profile, seen["problem"])
