# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.serving_certificates import ActionModule


@pytest.mark.parametrize(("due", "last"), [("due by then", ["due by then"]), ("", [])])
def test_until_when_the_next_approval_is_due_is_for_the_end_of_the_run(
    monkeypatch: pytest.MonkeyPatch, due: str, last: list[str]
) -> None:
    found: dict[str, t.Any] = {"approval_due": due, "notes": ["refused"]}
    monkeypatch.setattr(ActionModule, "_execute_and_sign", lambda *_arguments: found)
    result = ActionModule.__new__(ActionModule).execute({}, {})
    assert (result["at_last"], result["notes"]) == (last, ["refused"])
