# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs are put back: the last, or all back to the one that is asked for, as all hosts together know them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils.run_choice import choose


def run(name: str, began: float, undone_by: str = "", undoes: t.Sequence[str] = (), finished: bool = False) -> t.Any:
    return {"run_id": name, "began": began, "undone_by": undone_by, "undoes": list(undoes), "finished": finished}


A, B, C = run("a", 1.0), run("b", 2.0), run("c", 3.0)


@pytest.mark.parametrize(
    ("by_host", "asked", "expected"),
    [
        ({"h": [A, B, C]}, "", ("c",)),
        ({"h": [A, B, C]}, "b", ("c", "b")),
        ({"h": [A, B, C]}, "a", ("c", "b", "a")),
        # What one host has no record of came before or after all the same.
        ({"h": [B], "i": [A, C]}, "b", ("c", "b")),
        ({"h": [A], "i": [B]}, "", ("b",)),
        # One that is put back on one host only is put back on the other.
        ({"h": [run("a", 1.0, "r")], "i": [A]}, "", ("a",)),
        # The clock of one host is late.
        ({"h": [run("a", 1.0), run("b", 9.0)], "i": [run("b", 2.0), C]}, "", ("c",)),
        # A rollback that was finished is no run to put back.
        ({"h": [A, run("b", 2.0, "r"), run("r", 3.0, undoes=["b"], finished=True)]}, "a", ("b", "a")),
    ],
)
def test_runs_are_chosen_by_when_they_began(by_host: t.Any, asked: str, expected: tuple[str, ...]) -> None:
    choice = choose(by_host, asked)
    assert choice.runs == expected
    assert choice.problem == ""


def test_what_is_put_back_is_told_without_what_was_already() -> None:
    runs = [A, run("b", 2.0, "r"), C]
    assert choose({"h": runs}, "a").notes == ("Put back, the newest first: c, a.",)


def test_a_rollback_that_died_is_gone_on_with() -> None:
    died = run("r", 4.0, undoes=["c", "b"])
    choice = choose({"h": [A, B, C, died], "i": [A, B, C]}, "")
    assert choice.runs == ("c", "b")
    assert choice.notes[0] == "Rollback r did not come to its end; it is gone on with, back to before b."


def test_a_rollback_that_died_is_gone_on_with_as_far_as_the_records_go() -> None:
    died = run("r", 4.0, undoes=["c", "b", "a"])
    assert choose({"h": [B, C, died]}, "").runs == ("c", "b")


def test_a_run_after_a_rollback_that_died_is_the_last_one() -> None:
    died = run("r", 4.0, undoes=["c", "b"])
    assert choose({"h": [B, C, died, run("d", 5.0)]}, "").runs == ("d",)


@pytest.mark.parametrize("asked", ["", "b"])
def test_a_run_that_was_put_back_is_nothing_to_do(asked: str) -> None:
    undone = [A, run("b", 2.0, "r"), run("r", 3.0, undoes=["b"], finished=True)]
    choice = choose({"h": undone}, asked)
    assert choice.runs == ()
    assert choice.notes == (
        "Run b was put back by r already; there is nothing to do. Runs before it: a (kubeharden_run_id).",
    )


def test_hosts_without_a_record_have_nothing_to_do() -> None:
    choice = choose({"h": []}, "")
    assert choice.runs == ()
    assert "nothing to put back" in choice.notes[0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [("x", "no host of this run has the record of x; there are a"), ("r", "r put b back; harden.yml hardens again")],
)
def test_a_run_that_cannot_be_put_back_is_refused(asked: str, words: str) -> None:
    choice = choose({"h": [A, run("r", 3.0, undoes=["b"], finished=True)]}, asked)
    assert words in choice.problem
    assert choice.runs == ()
