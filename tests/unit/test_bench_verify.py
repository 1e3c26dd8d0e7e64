# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` times verify.yml on three control planes and two workers, and refuses a call more than there may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import bench.__main__ as measures

PLANES, WORKERS = ["cp1", "cp2", "cp3"], ["w1", "w2"]
ONE_CALL = "Invoked with root=/\n"
RECAP = "".join(f"{host} : ok=1 changed=0 unreachable=0 failed=0\n" for host in (*PLANES, *WORKERS))


def answers(starts: dict[str, int]) -> tuple[object, list[list[str]]]:
    """Stand in for the commands of a cluster: each journal has as many new lines as modules were started."""
    asked: list[list[str]] = []

    def run(command: Sequence[object]) -> str:
        words = [str(word) for word in command]
        asked.append(words)
        if "--show-cursor" in words:
            return "-- cursor: s=1;i=2\n"
        if any(word.startswith("--after-cursor") for word in words):
            return ONE_CALL * starts[words[3]] + "something else\n"
        return f"PLAY RECAP ***\n{RECAP}" if words[0] == "ansible-playbook" else ""

    return run, asked


def test_verify_is_timed_on_all_hosts_and_its_calls_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*PLANES, *WORKERS]
    run, asked = answers({**dict.fromkeys(names, 1), "cp1": 2})
    monkeypatch.setattr(measures, "run", run)
    wall, calls = measures.whole_verify(Path("/lab"), Path("/lab/inventory.yml"), names, 3)
    assert (wall["name"], wall["unit"]) == ("verify_wall_3_2", "s")
    assert calls == {"name": "verify_module_starts_3_2", "value": 6, "unit": "starts"}
    plays = [words for words in asked if words[0] == "ansible-playbook"]
    assert len(plays) == 2 + 3
    assert all(words[3].endswith("/verify.yml") and "--limit" not in words for words in plays)


@pytest.mark.parametrize("wrong", [{"cp1": 3}, {"w1": 2}, {"cp1": 1}])
def test_a_call_more_or_less_is_an_error(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, int]) -> None:
    names = [*PLANES, *WORKERS]
    run, _asked = answers({**dict.fromkeys(names, 1), "cp1": 2, **wrong})
    monkeypatch.setattr(measures, "run", run)
    with pytest.raises(measures.BenchError, match=json.dumps(list(wrong))[2:-2]):
        measures.whole_verify(Path("/lab"), Path("/lab/inventory.yml"), names, 1)
