# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that only looks on all hosts at once, and the one that comes after it."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.plugin_utils import planned
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import PkiAction

FOUND = {"changed": False, "changes": [], "missing": []}


def test_what_is_asked_for_is_known_again() -> None:
    assert planned.digest({"a": [1], "b": None}) == planned.digest({"b": None, "a": [1]})
    assert planned.digest({"a": [1]}) != planned.digest({"a": [2]})


@pytest.mark.parametrize(
    ("earlier", "result"),
    [
        ({**FOUND, "asked": "digest", "due": False}, FOUND),
        ({**FOUND, "asked": "digest", "due": True}, None),
        ({**FOUND, "asked": "digest"}, None),
        ({**FOUND, "asked": "another", "due": False}, None),
        ({"changed": False, "problems": ["KH205: no"]}, None),
        ({"skipped": True, "changed": False}, None),
        ({}, None),
    ],
)
def test_a_host_of_which_nothing_is_due_is_not_asked_again(
    earlier: dict[str, t.Any], result: dict[str, t.Any] | None
) -> None:
    assert planned.unchanged(earlier, "digest") == result


def test_what_would_stop_a_change_fails_no_task_that_only_looks() -> None:
    assert planned.told({"failed": True, "msg": "KH304: a key"}, "x") == {
        "changed": False,
        "problems": ["KH304: a key"],
    }
    assert planned.told({"failed": True, "msg": "MODULE FAILURE"}, "x")["failed"] is True
    assert planned.told(FOUND, "x") == {**FOUND, "asked": "x"}


def test_what_would_change_is_told_by_the_task_that_changes_it() -> None:
    found = {"changed": True, "changes": [{"target": "/x"}], "diff": [{"before": "", "after": "x"}], "due": True}
    assert planned.told(found, "x") == {"changed": False, "changes": [], "due": True, "asked": "x"}


def action(answer: dict[str, t.Any]) -> tuple[PkiAction, list[dict[str, t.Any]]]:
    """An action of certificates whose module gives this answer, and the arguments of each start of it."""
    started: list[dict[str, t.Any]] = []
    found = PkiAction.__new__(PkiAction)

    def execute(arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        started.append(arguments)
        return dict(answer)

    return t.cast(PkiAction, types.SimpleNamespace(execute=execute, answer=found.answer)), started


ASKS = {"scope": "missing", "cluster": {"control_planes": ["cp1"]}}


@pytest.mark.parametrize(
    ("answer", "starts"),
    [
        (FOUND, 1),
        ({**FOUND, "changed": True}, 2),
        ({**FOUND, "missing": ["etcd"]}, 2),
        ({**FOUND, "requests": [{"leaf": "apiserver"}]}, 2),
        ({**FOUND, "kept": []}, 2),  # what the controller keeps is a matter of all hosts
    ],
)
def test_certificates_are_looked_at_once_where_nothing_is_due(answer: dict[str, t.Any], starts: int) -> None:
    found, started = action(answer)
    looked = PkiAction.answer(found, {**ASKS, "now": 1.0, "write": False}, {})
    done = PkiAction.answer(found, {**ASKS, "now": 2.0, "report_dir": "/r", "planned": looked}, {})
    assert len(started) == starts
    assert done == answer
    assert all("planned" not in arguments for arguments in started)


def test_what_is_asked_for_otherwise_is_looked_at_again() -> None:
    found, started = action(FOUND)
    looked = PkiAction.answer(found, {**ASKS, "write": False}, {})
    PkiAction.answer(found, {**ASKS, "answers": {}, "planned": looked}, {})
    assert len(started) == 2
