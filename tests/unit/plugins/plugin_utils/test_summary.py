# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that a person reads at the end: one table, then what matters, each sentence once."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.summary import Row, render


def change(host: str, restart: t.Sequence[str] = ()) -> dict[str, t.Any]:
    return {"host": host, "kind": "file", "target": "/a", "restart": list(restart)}


def test_the_row_of_a_run_has_what_was_restarted_and_how_long_it_took() -> None:
    results = [
        {"restarted": {"kube-apiserver": 44.6}, "notes": ["one"], "backup": "/var/lib/kubeharden/backups/r"},
        {"not_done": ["two"], "backup": ""},
        None,
    ]
    changes = [change("cp1", ["kube-apiserver"]), change("cp1"), change("cp2")]
    row = Row.from_results("cp1", results, changes, "run")
    assert row == Row("cp1", 2, {"kube-apiserver": 44.6}, ("one",), ("two",), "/var/lib/kubeharden/backups/r")


def test_the_row_of_check_mode_foretells_the_restarts() -> None:
    row = Row.from_results("cp1", [{}], [change("cp1", ["kube-apiserver"]), change("cp1", ["kubelet"])], "check")
    assert row.restarted == {"kube-apiserver": None, "kubelet": None}


def test_a_host_that_did_nothing_has_a_row_too() -> None:
    row = Row.from_results("w1", [None, None], [], "run")
    assert row == Row("w1", 0, {}, (), (), "")
    assert render([row], "run", "r", "/reports/r")[1:3] == [
        "host  changed  restarted  seconds",
        "w1    0        -          -",
    ]


def test_the_account_of_a_run() -> None:
    rows = [
        Row("cp1", 3, {"kube-apiserver": 44.6, "kubelet": 13.2}, ("note",), ("left",), "/b"),
        Row("worker-1", 1, {}, ("note", "note"), ("left",), "/b"),
    ]
    assert render(rows, "run", "r", "/reports/r") == [
        "",
        "host      changed  restarted                seconds",
        "cp1       3        kube-apiserver, kubelet  45",
        "worker-1  1        -                        -",
        "",
        "cp1: note",
        "worker-1: note",
        "Not done on cp1, worker-1: left",
        "Old bytes, owners and modes: /b on each changed host; record.json there says how each goes back.",
        "Run r: /reports/r/changes.json",
    ]


def test_check_mode_says_would() -> None:
    lines = render([Row("cp1", 1, {"kube-apiserver": None}, (), (), "")], "check", "r", "/reports/r")
    assert lines[1:3] == ["host  would change  would restart   seconds", "cp1   1             kube-apiserver  -"]
    assert not [line for line in lines if "Old bytes" in line]


def test_three_hundred_hosts_with_one_sentence_have_it_once() -> None:
    rows = [Row(f"w{number}", 0, {}, (), ("left",), "") for number in range(300)]
    assert len([line for line in render(rows, "run", "r", "/r") if "left" in line]) == 1
