# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run on a host, also on one that lacks what the module needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils import entry
from ansible_collections.kubeharden.core.plugins.modules import release_lock


def released(root: Path, capsys: pytest.CaptureFixture[str], check: bool) -> dict[str, Any]:
    given = {"root": str(root), "run_id": "run", "_ansible_check_mode": check}
    with patch_module_args(given), pytest.raises(SystemExit):
        release_lock.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("check", [True, False])
def test_only_what_took_a_lock_asks_for_the_libraries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    monkeypatch.setattr(entry, "find_libraries", lambda: ["yaml"])
    result = released(tmp_path, capsys, check)
    assert result.get("failed", False) is not check
    if check:
        assert (result["changed"], result["released"], result["notes"]) == (False, False, [])
    else:
        assert result["msg"].startswith("KH103")
    assert os.listdir(tmp_path) == []


def test_a_lock_that_nobody_holds_is_not_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    assert released(tmp_path, capsys, False)["released"] is False
