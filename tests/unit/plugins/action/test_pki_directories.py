# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call on the controller: what it takes, tells and refuses."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.pki_directories import OPTIONS, ActionModule
from tools.checkout import ROOT

CLUSTER = {"control_planes": [{"node_name": "cp1", "addresses": ["192.0.2.11"]}]}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})


def run(check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args=arguments, check_mode=check, diff=True, action="pki_directories")
    result: dict[str, t.Any] = action.run(None, {})
    return result


def test_check_run_and_again(tmp_path: Path) -> None:
    foretold = run(check=True, path=str(tmp_path), cluster=CLUSTER)
    assert foretold["changed"]
    assert not list(tmp_path.iterdir())
    done = run(path=str(tmp_path), cluster=CLUSTER)
    assert done["changes"] == foretold["changes"]
    assert done["diff"] == foretold["diff"]
    assert "PRIVATE KEY" not in json.dumps(done)
    assert (tmp_path / "cp1/etc/kubernetes/admin.conf").is_file()
    again = run(path=str(tmp_path), cluster=CLUSTER)
    assert (again["changed"], again["changes"], again["issued"]) == (False, [], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cluster": {}}, "KH301"),
        ({"cluster": CLUSTER, "run_id": "../x"}, "KH005"),
        ({"cluster": CLUSTER, "policy": {"key_algorithm": "DSA"}}, "KH301"),
        ({"cluster": CLUSTER, "path": "/nowhere/at/all"}, "KH010"),
    ],
)
def test_refusals_have_a_number(tmp_path: Path, arguments: dict[str, t.Any], said: str) -> None:
    result = run(**{"path": str(tmp_path), **arguments})
    assert result["failed"]
    assert said in result["msg"]
    assert not list(tmp_path.iterdir())


def test_an_option_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="clustr"):
        run(path=str(tmp_path), cluster=CLUSTER, clustr=CLUSTER)


def test_every_option_is_documented() -> None:
    text = (ROOT / "plugins/modules/pki_directories.py").read_text(encoding="utf-8")
    assert all(f"\n  {name}:\n" in text for name in OPTIONS)
