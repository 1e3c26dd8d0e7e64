# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that a person reads at the end: one table, then what matters, each sentence once."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.plugin_utils.summary import Row, last_words, readiness, render


def change(host: str, restart: t.Sequence[str] = ()) -> dict[str, t.Any]:
    return {"host": host, "kind": "file", "target": "/a", "restart": list(restart)}


def test_the_row_of_a_run_has_what_was_restarted_and_how_long_it_took() -> None:
    results = [
        {"restarted": {"kube-apiserver": 44.6}, "notes": ["one"], "backup": "/var/lib/kubeharden/backups/r"},
        {"not_done": ["two"], "backup": ""},
        {"restarted": {"kube-scheduler": 20.0, "kube-apiserver": 18.2}},
        None,
    ]
    changes = [change("cp1", ["kube-apiserver"]), change("cp1"), change("cp2")]
    row = Row.from_results("cp1", results, changes, "run")
    restarted: dict[str, float | None] = {"kube-apiserver": 18.2, "kube-scheduler": 20.0}
    # Those of one task restart at once, the next task's come after them.
    assert row == Row("cp1", 2, restarted, ("one",), ("two",), "/var/lib/kubeharden/backups/r", seconds=64.6)


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


def test_what_a_host_said_is_no_word_to_the_terminal() -> None:
    rows = [Row("w1", 0, {}, ("a \x1b[2Jnote",), ("left \x07undone",), "")]
    text = "\n".join(render(rows, "run", "r", "/reports/r"))
    assert "w1: a \\x1b[2Jnote" in text
    assert "\x07" not in text


def test_the_account_of_a_run() -> None:
    rows = [
        Row("cp1", 3, {"kube-apiserver": 44.6, "kubelet": 13.2}, ("note",), ("left",), "/b", seconds=57.8),
        Row("worker-1", 1, {}, ("note", "note"), ("left",), "/b"),
    ]
    assert render(rows, "run", "r", "/reports/r") == [
        "",
        "host      changed  restarted                seconds",
        "cp1       3        kube-apiserver, kubelet  58",
        "worker-1  1        -                        -",
        "",
        "cp1, worker-1: note",
        "Not done on cp1, worker-1: left",
        "Old bytes, owners and modes: /b on each changed host; record.json there says how each goes back.",
        "To put them back: rollback.yml -e kubeharden_run_id=r",
        "Run r: /reports/r/changes.json",
    ]


def test_what_a_person_does_next_comes_last_and_once() -> None:
    results = [{"at_last": ["due by then", "due by then", "a \x1b[2Jword"], "notes": ["note"]}, {"at_last": []}, None]
    rows = [Row.from_results(host, results, [], "run") for host in ("cp1", "cp2")]
    lines = render(rows, "run", "r", "/reports/r")
    assert lines[-4:] == ["cp1, cp2: note", "Run r: /reports/r/changes.json", "due by then", "a \\x1b[2Jword"]
    assert last_words(results) == lines[-2:]


def test_check_mode_says_would() -> None:
    lines = render([Row("cp1", 1, {"kube-apiserver": None}, (), (), "")], "check", "r", "/reports/r")
    assert lines[1:3] == ["host  would change  would restart   seconds", "cp1   1             kube-apiserver  -"]
    assert not [line for line in lines if "Old bytes" in line]


def test_three_hundred_hosts_with_one_sentence_have_it_once() -> None:
    rows = [Row(f"w{number}", 0, {}, ("note",), ("left",), "") for number in range(300)]
    assert [line for line in render(rows, "run", "r", "/r") if "left" in line or "note" in line] == [
        "w0, w1, w2, w3, w4, w5 and 294 more: note",
        "Not done on w0, w1, w2, w3, w4, w5 and 294 more: left",
    ]


def certificate(name: str, end: str, new: bool = False) -> dict[str, t.Any]:
    return {"name": name, "path": f"/pki/{name or 'x'}.crt", "not_after": end, "new": new}


def test_a_run_that_is_about_certificates_lists_all_of_them_those_that_end_first_before_the_others() -> None:
    asked = {"certificates": [certificate("apiserver", "2026-12-01T00:00:00Z", True)], "issued": []}
    answered = {"certificates": [certificate("apiserver", "2027-12-01T00:00:00Z", True), certificate("", "2027-01-01")]}
    rows = [
        Row.from_results("cp1", [asked, answered, None], [], "run"),
        Row.from_results("w1", [{"certificates": []}], [], "run"),
    ]
    lines = render(rows, "run", "r", "/reports/r", every_end=True)
    assert lines[5:9] == [
        "host  certificate  in                  ends on               issued now",
        "cp1   -            /pki/x.crt          2027-01-01",
        "cp1   apiserver    /pki/apiserver.crt  2027-12-01T00:00:00Z  yes",
        "",
    ]
    assert "would be issued" in render(rows, "check", "r", "/reports/r", every_end=True)[5]
    assert not [line for line in render(rows, "run", "r", "/reports/r") if "apiserver" in line]


def test_what_is_to_be_signed_outside_stands_in_a_table_of_its_own() -> None:
    one = {"path": "/r/cp1/apiserver.csr", "authority": "CN=ours", "subject": "CN=kube-apiserver", "names": "cp1"}
    row = Row.from_results("cp1", [{"unsigned": None}, {"unsigned": [one]}], [], "run")
    assert render([row], "run", "r", "/reports/r")[4:8] == [
        "to be signed          by       subject            names",
        "/r/cp1/apiserver.csr  CN=ours  CN=kube-apiserver  cp1",
        "",
        "Lay each certificate beside its request, as .crt instead of .csr, and run again.",
    ]


@pytest.mark.parametrize("name", ["issued", "unsigned"])
def test_who_returns_what_stands_in_a_table_returns_what_the_table_shows(name: str) -> None:
    """A kubelet's request that the controller is to sign has no path, and stood for a certificate once."""
    described = []
    for path in sorted((Path(__file__).parents[4] / "plugins" / "modules").glob("*.py")):
        returned = re.search(r'^RETURN = r"""\n(.*?)^"""', path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        documented = yaml.safe_load(returned.group(1)) if returned else {}
        described += [str(documented[name]["description"])] if name in documented else []
    assert described
    assert [text for text in described if "C(name)" not in text or "C(path)" not in text] == []


def test_preflight_calls_ready_only_what_it_looked_at() -> None:
    assert readiness(2, 0, False) == (
        "Ready: nothing keeps a run from beginning on 2 hosts. Nothing was changed. No component was tried beside the "
        "running one; preflight.yml without --check does that, and a run does it first (kubeharden_trial)."
    )
    assert readiness(2, 0, True) == (
        "Ready: nothing keeps a run from beginning on 2 hosts. Nothing was changed. What changes of control planes was "
        "tried beside what runs; etcd is only looked at."
    )
    assert readiness(0, 5, False) == "Whether a run can begin was not looked at on any host. Nothing was changed."
    assert readiness(2, 1, True).startswith(
        "Ready: nothing keeps a run from beginning on 2 hosts; hosts that were not looked at: 1."
    )


def test_the_way_back_is_named_where_there_is_one_and_paths_are_those_of_a_directory_that_stands_for_a_host() -> None:
    rows = [Row("cp1", 1, {}, (), (), "/var/lib/kubeharden/backups/r")]
    text = "\n".join(render(rows, "run", "r", "/r", root="/demo/cp1", way_back=False))
    assert "/var/lib/kubeharden/backups/r below kubeharden_root of each changed host; record.json" in text
    assert "rollback.yml" not in text
    assert "rollback.yml" not in "\n".join(render([Row("cp1", 0, {}, (), (), "")], "run", "r", "/r"))
