# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No file of a host makes a traceback, a hang or a write: each reader gives data or one sentence."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import Unproven
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing import engine, parsers

#: In `make test` and, so that a failure can be had again, in `make test-all`; KUBEHARDEN_SEED asks for other inputs.
FEW, MANY = 300, 100_000
SEED = os.environ.get("KUBEHARDEN_SEED", "1")


@pytest.fixture(scope="module", name="table")
def all_parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, engine.Parser]:
    return {parser.name: parser for parser in parsers.parsers(tmp_path_factory.mktemp("host"))}


@pytest.fixture(autouse=True)
def a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A path of a file may be anything, a relative one too."""
    monkeypatch.chdir(tmp_path)
    yield
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", parsers.NAMES)
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_data_or_a_sentence(table: dict[str, engine.Parser], name: str, count: int) -> None:
    outcome = engine.fuzz(table[name], count, SEED)
    words = "\n\n".join(f"{problem}\n{again}" for problem, again in outcome.failures.items())
    assert not outcome.failures, f"with KUBEHARDEN_SEED={SEED} {name} made:\n{words}"
    assert outcome.given >= 20
    assert outcome.taken, "no input was good"


@pytest.mark.parametrize("name", parsers.NAMES)
def test_the_first_file_of_each_is_a_good_one(table: dict[str, engine.Parser], name: str) -> None:
    """Else what is made of it is refused at the door, and nothing behind that is ever reached."""
    parser = table[name]
    assert engine.fuzz(dataclasses.replace(parser, seeds=parser.seeds[:1], share=0.0), 1, SEED).taken == 1


def test_what_a_dead_run_left_is_looked_at_in_every_step(
    table: dict[str, engine.Parser], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def keep(_host: object, pending: dict[str, object]) -> Unproven:
        looked.append(str(pending["run_id"]))
        return Unproven("r1", [])

    monkeypatch.setattr(parsers.recovery, "sort", keep)
    monkeypatch.setattr(parsers.recovery.kubelet, "sort", keep)
    assert engine.attempt(table["journal"], table["journal"].seeds[0]) == ""
    assert looked == ["r1", "r1"]


def test_every_parser_is_tried(table: dict[str, engine.Parser]) -> None:
    assert tuple(table) == parsers.NAMES


# The engine itself: what it says to be seen is seen.


def given(parser: engine.Parser) -> dict[str, str]:
    return engine.fuzz(parser, 200, "1").failures


def never(_data: bytes) -> None:
    while True:
        pass


def writes(_data: bytes) -> None:
    with open(os.devnull, "w", encoding="utf-8"):
        pass


def long_sentence(data: bytes) -> None:
    raise HardeningError("KH117", f"This is no file: {data!r}" * 100)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (never, "no end"),
        (writes, "it did open"),
        (long_sentence, "a sentence of too many words: This is no file"),
        (lambda data: data.decode("ascii"), "UnicodeDecodeError from "),
        (lambda data: os.rename(data or b"a", b"b"), "it did os.rename"),
    ],
)
def test_what_is_seen(monkeypatch: pytest.MonkeyPatch, call: object, problem: str) -> None:
    monkeypatch.setattr(engine, "LIMIT", 0.05)
    monkeypatch.setattr(engine, "SMALLER", 0.2)
    failures = given(engine.Parser("bad", call, (b"seed", b"other")))  # type: ignore[arg-type]
    assert [key for key in failures if key.startswith(problem)], failures


def test_a_failure_is_made_small_and_can_be_had_again() -> None:
    def odd(data: bytes) -> None:
        if b"{" in data:
            raise KeyError("brace")

    failures = given(engine.Parser("odd", odd, (b"a long text without any", b"but {of another} one")))
    assert list(failures.values()) == ["attempt(PARSERS['odd'], b'{')"]


def test_the_same_seed_gives_the_same_inputs() -> None:
    seen: list[list[bytes]] = []
    for seed in ("1", "1", "2"):
        inputs: list[bytes] = []
        engine.fuzz(engine.Parser("any", inputs.append, (b"a: [b]\n",), ("{", "}"), ({"a": ["b"]},)), 50, seed)
        seen.append(inputs)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.skipif(not hasattr(__import__("sys"), "monitoring"), reason="Python says from 3.12 on what was reached")
def test_what_reaches_new_lines_is_built_upon() -> None:
    """Four words in a row, each behind the one before: by luck alone this takes millions of inputs."""
    words = ("alpha", "beta", "gamma", "delta")
    began = time.process_time()
    failures = engine.fuzz(engine.Parser("deep", parsers.behind_each_other, (b"seed",), words), 20_000, "1").failures
    assert [key for key in failures if "found" in key], f"not found in {time.process_time() - began:.1f} s"
