# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report is compared with the newest earlier one of its own cluster."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils.report_earlier import newest


def report(made_at: str, *hosts: str) -> dict[str, t.Any]:
    return {"schema": 1, "made_at": made_at, "hosts": [{"name": name} for name in hosts], "results": []}


NEW = report("2026-11-24T12:00:00Z", "cp1", "w1")


@pytest.fixture
def put(tmp_path: Path) -> t.Callable[[str, t.Any], Path]:
    """Write what stands for a report of a run; each is younger than the one before."""
    clock = iter(range(1, 100))

    def write(run: str, content: t.Any) -> Path:
        path = tmp_path / run / "report.json"
        path.parent.mkdir()
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        second = next(clock)
        os.utime(path, (second, second))
        return path

    return write


Put = t.Callable[[str, t.Any], Path]


def test_the_newest_earlier_one_of_the_same_hosts(put: Put, tmp_path: Path) -> None:
    put("a", report("2026-11-20T12:00:00Z", "cp1"))
    put("b", report("2026-11-22T12:00:00Z", "w1", "w2"))
    put("of another cluster", report("2026-11-23T12:00:00Z", "cp9"))
    put("later", report("2026-11-25T12:00:00Z", "cp1"))
    put("own", NEW)
    (tmp_path / "without one").mkdir()
    (tmp_path / "no directory").touch()
    assert newest(str(tmp_path / "own"), NEW) == (report("2026-11-22T12:00:00Z", "w1", "w2"), [])
    assert newest(f"{tmp_path}/own/", NEW)[0] == report("2026-11-22T12:00:00Z", "w1", "w2")


def test_the_first_report_has_none_before_it(put: Put, tmp_path: Path) -> None:
    put("own", NEW)
    assert newest(str(tmp_path / "own"), NEW) == (None, [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no report"),
        (b"\xff\xfe", "is no report"),
        (b"[]", "lacks made_at"),
        (b'{"made_at": "2026", "results": [], "hosts": ["cp1"]}', "lacks made_at"),
    ],
)
def test_what_is_no_report_is_named_and_passed_over(put: Put, tmp_path: Path, content: bytes, why: str) -> None:
    put("a", report("2026-11-20T12:00:00Z", "cp1"))
    path = put("b", content)
    put("own", NEW)
    found, problems = newest(str(tmp_path / "own"), NEW)
    assert found == report("2026-11-20T12:00:00Z", "cp1")
    assert len(problems) == 1
    assert problems[0].startswith(f"{path} ")
    assert why in problems[0]


def test_a_fifo_does_not_hang_the_run(put: Put, tmp_path: Path) -> None:
    put("own", NEW)
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "report.json")
    found, problems = newest(str(tmp_path / "own"), NEW)
    assert found is None
    assert "no regular file" in problems[0]
