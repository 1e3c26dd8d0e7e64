# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs rollback.yml puts back: the last one, or all from the newest to the one that is asked for."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is put back.

    Attributes:
        runs: The runs, the newest first.
        notes: What a person should know, as sentences.
        problem: Why nothing can be done, as one sentence; empty where something can.
    """

    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclasses.dataclass
class _Run:
    """A run as all hosts know it."""

    name: str
    began: float
    undoes: tuple[str, ...]
    unfinished: bool = False
    undone_by: set[str] = dataclasses.field(default_factory=set)
    left_on: int = 0


def choose(by_host: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]], asked: str) -> Choice:
    """Return what is put back.

    Args:
        by_host: Of each host, the runs of which it has the record, as modules/rollback_runs.py gives them.
        asked: The run that is asked for, empty for the last.
    """
    runs = _merged(by_host)
    done = [run for run in runs if not run.undoes]
    notes: list[str] = []
    if asked:
        problem = _problem_with(asked, runs)
        if problem:
            return Choice(problem=problem)
    elif not done:
        return Choice(notes=("No host of this run has the record of a run, so there is nothing to put back.",))
    elif runs[-1].undoes and runs[-1].unfinished:
        # Its oldest run may have been pruned on all of them; what is left is what can be done.
        known = {run.name for run in done}
        asked = next((name for name in reversed(runs[-1].undoes) if name in known), done[-1].name)
        notes.append(f"Rollback {runs[-1].name} did not come to its end; it is gone on with, back to before {asked}.")
    else:
        asked = done[-1].name
    first = next(run.began for run in done if run.name == asked)
    chosen = [run for run in reversed(done) if run.began >= first]
    if not any(run.left_on for run in chosen):
        by = ", ".join(sorted({name for run in chosen for name in run.undone_by}))
        return Choice(
            notes=(f"Run {asked} was put back by {by} already; there is nothing to do.{_earlier(done, asked)}",)
        )
    listed = ", ".join(run.name for run in chosen if run.left_on)
    return Choice(tuple(run.name for run in chosen), (*notes, f"Put back, the newest first: {listed}."))


def _merged(by_host: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]) -> list[_Run]:
    found: dict[str, _Run] = {}
    for runs in by_host.values():
        for run in runs:
            name, began = str(run["run_id"]), float(run["began"])
            known = found.setdefault(name, _Run(name, began, ()))
            known.began = min(known.began, began)
            known.undoes = known.undoes or tuple(run["undoes"])
            known.unfinished |= bool(run["undoes"]) and not run["finished"]
            if run["undone_by"]:
                known.undone_by.add(str(run["undone_by"]))
            else:
                known.left_on += 1
    return sorted(found.values(), key=lambda run: (run.began, run.name))


def _problem_with(asked: str, runs: t.Sequence[_Run]) -> str:
    known = {run.name: run for run in runs}
    if asked not in known:
        names = ", ".join(run.name for run in runs if not run.undoes) or "none"
        return f"kubeharden_run_id: no host of this run has the record of {asked}; there are {names}."
    if known[asked].undoes:
        return f"kubeharden_run_id: {asked} put {', '.join(known[asked].undoes)} back; harden.yml hardens again."
    return ""


def _earlier(done: t.Sequence[_Run], asked: str) -> str:
    names = [run.name for run in done if run.left_on and run.name != asked]
    return f" Runs before it: {', '.join(names)} (kubeharden_run_id)." if names else ""
