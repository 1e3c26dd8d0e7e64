# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings a run is about: --tags and --skip-tags, and the user's own flags over ours."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.control_plane import (
    ActionModule,
    add_extra,
    select,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.plugin_utils import planned
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

API = "kube-apiserver"
FLAGS: dict[str, dict[str, dict[str, dict[str, t.Any]]]] = {
    API: {
        "audit": {
            "audit-log-maxage": {"at_least": 30, "control": "maxage"},
            "audit-log-path": {"keep": "/a", "mount": "w"},
        },
        "apiserver": {"profiling": {"exact": "false"}},
    },
    "kube-scheduler": {"scheduler": {"profiling": {"exact": "false"}}},
}


@pytest.mark.parametrize(
    ("run", "skip", "flags"),
    [
        (["all"], [], {API: ["audit-log-maxage", "audit-log-path", "profiling"], "kube-scheduler": ["profiling"]}),
        (["audit"], [], {API: ["audit-log-maxage", "audit-log-path"], "kube-scheduler": []}),
        (["apiserver"], [], {API: ["profiling"], "kube-scheduler": []}),
        (["audit", "scheduler"], [], {API: ["audit-log-maxage", "audit-log-path"], "kube-scheduler": ["profiling"]}),
        (["all"], ["audit"], {API: ["profiling"], "kube-scheduler": ["profiling"]}),
        (["audit"], ["audit"], {API: [], "kube-scheduler": []}),
        (["files"], [], {API: [], "kube-scheduler": []}),
        (["tagged"], [], {API: ["audit-log-maxage", "audit-log-path", "profiling"], "kube-scheduler": ["profiling"]}),
    ],
)
def test_tags_choose_concerns(run: list[str], skip: list[str], flags: dict[str, list[str]]) -> None:
    chosen = select(FLAGS, run, skip)
    assert {component: sorted(found) for component, found in chosen.items()} == flags


def test_notes_are_no_concern() -> None:
    flags = {API: {"notes": ["a sentence"], "audit": {"audit-log-maxage": {"at_least": 30}}}}
    assert select(t.cast(t.Any, flags), ["all"], []) == {API: {"audit-log-maxage": {"at_least": 30}}}


def extra(given: dict[str, dict[str, t.Any]], run: list[str], skip: t.Sequence[str] = ()) -> dict[str, t.Any]:
    chosen = select(FLAGS, run, skip)
    add_extra(chosen, given, run, skip)
    return chosen


@pytest.mark.parametrize(
    ("value", "text"), [("30s", "30s"), (90, "90"), (True, "true"), (False, "false"), (1.5, "1.5"), ("", "")]
)
def test_a_value_is_written_as_a_command_line_has_it(value: t.Any, text: str) -> None:
    assert extra({API: {"request-timeout": value}}, ["all"])[API]["request-timeout"] == {"exact": text}


def test_the_users_value_comes_last_and_keeps_control_and_mount() -> None:
    found = extra({API: {"audit_log_maxage": 7, "audit-log-path": "/b"}}, ["all"])[API]
    assert found["audit-log-maxage"] == {"exact": "7", "control": "maxage"}
    assert found["audit-log-path"] == {"exact": "/b", "mount": "w"}
    assert FLAGS[API]["audit"]["audit-log-maxage"] == {"at_least": 30, "control": "maxage"}


@pytest.mark.parametrize("run", [["apiserver"], ["all"]])
def test_a_flag_of_the_users_belongs_to_its_components_concern(run: list[str]) -> None:
    assert extra({API: {"request-timeout": "30s"}}, run)[API]["request-timeout"] == {"exact": "30s"}
    assert "request-timeout" not in extra({API: {"request-timeout": "30s"}}, ["audit"])[API]
    assert "request-timeout" not in extra({API: {"request-timeout": "30s"}}, ["all"], ["apiserver"])[API]


def test_a_flag_that_a_run_writes_anyway_has_the_users_value() -> None:
    """--tags audit must not put back what the user has over our audit settings."""
    found = extra({API: {"audit-log-path": "/b", "request-timeout": "30s"}}, ["audit"])[API]
    assert found["audit-log-path"] == {"exact": "/b", "mount": "w"}
    assert "request-timeout" not in found


def test_a_component_of_which_we_set_nothing_can_have_flags_of_the_users() -> None:
    assert extra({"kube-controller-manager": {"v": 2}}, ["all"])["kube-controller-manager"] == {"v": {"exact": "2"}}


# ---- all control planes tried at once, then changed one by one


def action(monkeypatch: pytest.MonkeyPatch, answer: dict[str, t.Any], problems: t.Sequence[str] = ()) -> ActionModule:
    """An action behind its preparations, whose module gives this answer."""
    monkeypatch.setattr(HostAction, "execute", lambda *_arguments: dict(answer))
    found = ActionModule.__new__(ActionModule)
    found._notes, found._not_done = ["a sentence"], []
    found._looked_up = versions.Findings(list(problems), [])
    found._asked, found._unchanged = "digest", None
    return found


VARIABLES = {"inventory_hostname": "cp1"}


def test_what_a_trial_is_stopped_by_ends_no_task_yet_so_that_every_host_gives_its_lock_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = {"failed": True, "refused": True, "msg": "KH205: its trial failed"}
    tried = action(monkeypatch, refused)
    assert tried.execute({"write": False}, VARIABLES) == {"changed": False, "problems": ["KH205: its trial failed"]}
    assert tried.execute({}, VARIABLES)["failed"] is True
    (problem,) = action(monkeypatch, {}, ["It has no flag --x."]).execute({"write": False}, VARIABLES)["problems"]
    assert problem.startswith("KH008: It has no flag --x. Nothing was changed on cp1;")
    crash = action(monkeypatch, {"failed": True, "msg": "MODULE FAILURE"}).execute({"write": False}, VARIABLES)
    assert crash["failed"] is True


def test_the_module_is_not_started_where_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = action(monkeypatch, {"due": False}).execute({"write": False}, VARIABLES)
    told = {"changed": False, "changes": [], "notes": ["a sentence"], "not_done": []}
    assert looked == {**told, "due": False, "asked": "digest"}
    later = action(monkeypatch, {"failed": True, "msg": "it was started"})
    later._unchanged = planned.unchanged(looked, "digest")
    assert later.execute({}, VARIABLES) == told


def test_a_list_of_the_users_is_one_of_occurrences() -> None:
    chosen: dict[str, t.Any] = {}
    add_extra(chosen, {"kube-apiserver": {"tls_sni_cert_key": ["/a", "/b"], "v": 2}}, ["all"], [])
    assert chosen["kube-apiserver"] == {"tls-sni-cert-key": {"exact": ["/a", "/b"]}, "v": {"exact": "2"}}
