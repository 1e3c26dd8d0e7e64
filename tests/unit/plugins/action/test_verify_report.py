# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user said is checked before any host is looked at, and so is where the reports go."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.verify_report import ActionModule


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})

    def begun(
        variables: dict[str, t.Any] | None = None, run_tags: tuple[str, ...] = ("all",), **arguments: t.Any
    ) -> dict[str, t.Any]:
        action = ActionModule.__new__(ActionModule)
        given = {"only_check": True, "hosts": ["cp1"], "report_dir": str(tmp_path / "reports" / "run"), **arguments}
        action._task = types.SimpleNamespace(args=given, check_mode=False)
        action._loader = DataLoader()
        action._templar = types.SimpleNamespace(template=lambda value: value)
        known = {
            "ansible_play_hosts_all": ["cp1"],
            "hostvars": {"cp1": variables or {}},
            "groups": {"all": ["cp1"], "kube_control_plane": ["cp1"]},
            "ansible_run_tags": run_tags,
            "ansible_skip_tags": (),
        }
        return action.run(None, known)

    return begun


def test_what_a_person_does_after_the_run_is_the_last_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the table, which is longer than a screen."""
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    words = ["Kubelets ask for their next ...", "kubeadm upgrade keeps ..."]
    seen = {"problem": "it was not reached"}
    known: dict[str, dict[str, t.Any]] = {
        "w1": {"__verify_host_seen": seen, "proxy": {"skipped": True}},
        "cp1": {"__verify_host_seen": seen, "kubelets": {"at_last": words[:1]}, "proxy": {"at_last": words[1:]}},
    }

    class HostVars(dict[str, t.Any]):
        raw_get = dict.__getitem__

    def said(**arguments: t.Any) -> list[str]:
        lines: list[str] = []
        action = ActionModule.__new__(ActionModule)
        (tmp_path / "reports").mkdir(exist_ok=True)
        place = {"hosts": ["cp1", "w1"], "report_dir": str(tmp_path / "reports"), "run_id": "r"}
        given = {**place, "profile": "cis", "fail_on": "none", "after_run": True, **arguments}
        action._task = types.SimpleNamespace(args=given, check_mode=False)
        action._display = types.SimpleNamespace(display=lines.append)
        action._loader = DataLoader()
        groups = {"all": ["cp1", "w1"], "kube_control_plane": ["cp1"], "kube_node": ["w1"]}
        variables = {"ansible_play_hosts_all": ["w1", "cp1"], "hostvars": HostVars(known), "groups": groups}
        assert "failed" not in action.run(None, variables)
        return lines

    assert said(results=["kubelets", "proxy"])[-2:] == words
    assert not set(words).intersection(said())


def test_a_look_begins_with_a_name_and_a_directory(begin: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    result = begin()
    assert "failed" not in result
    assert result["run_id"]
    assert list((tmp_path / "reports" / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"variables": {"kubeharden_fail_on": "High"}}, "KH016: kubeharden_fail_on is High; it must be one of empty, "),
        ({"variables": {"kubeharden_waivers": "foo"}}, "KH016: kubeharden_waivers is none; it must be a list of map"),
        ({"run_tags": ("verfy",)}, "KH017: --tags: there is no tag verfy; the nearest is verify."),
        ({"report_dir": "/dev/null/reports"}, "KH201: The reports of the run cannot be written to /dev/null/reports"),
    ],
)
def test_what_would_fail_later_is_told_before_any_host_is_looked_at(
    begin: t.Callable[..., dict[str, t.Any]], given: dict[str, t.Any], words: str
) -> None:
    result = begin(**given)
    assert result["failed"]
    assert result["msg"].startswith(words)
    assert "Nothing was looked at" in result["msg"]
