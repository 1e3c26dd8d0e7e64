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

pytest.importorskip("jinja2", reason="reports are made on the controller")

from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.plugin_utils import report_earlier, report_html
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_earlier import newest


def report(made_at: str, *hosts: str) -> dict[str, t.Any]:
    """A report as far as it is compared."""
    return {
        "schema": 1,
        "run_id": "run-1",
        "made_at": made_at,
        "hosts": [{"name": name, "versions": {}} for name in hosts],
        "controls": [],
        "results": [],
    }


NEW = report("2026-11-24T12:00:00Z", "cp1", "w1")
#: What is shown beside it.
SHOWN = {**NEW, "results": [{"control": "a", "host": "cp1", "status": "pass", "severity": "low", "evidence": "e"}]}

#: What a report may have that can be compared with nothing.
WRONG: tuple[dict[str, t.Any], ...] = (
    {"results": [{}]},
    {"results": ["a"]},
    {"results": [{"control": "a", "host": "cp1", "status": "well"}]},
    {"results": [{"control": "a", "host": "cp1", "status": []}]},
    {"results": [{"control": "a", "host": {}, "status": "pass"}]},
    {"hosts": [{"name": "cp1", "versions": ["1.37.1"]}]},
    {"controls": [{}]},
    {"controls": {"id": "a"}},
)


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


def test_a_report_that_was_put_back_late_is_no_newer_for_it(put: Put, tmp_path: Path) -> None:
    put("b", report("2026-11-22T12:00:00Z", "cp1"))
    put("put back", report("2026-11-20T12:00:00Z", "cp1"))
    # As a person, or another program, may have written it.
    other = json.dumps(report("2026-11-21T12:00:00Z", "cp1"), sort_keys=True, separators=(",", ":"))
    put("sorted", other.encode())
    put("own", NEW)
    assert newest(str(tmp_path / "own"), NEW) == (report("2026-11-22T12:00:00Z", "cp1"), [])
    put("sorted later", other.replace("-21T", "-23T").encode())
    assert newest(str(tmp_path / "own"), NEW) == (report("2026-11-23T12:00:00Z", "cp1"), [])


def test_few_of_many_reports_are_read_to_their_end(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(10, 20):
        put(f"{day}", report(f"2026-11-{day}T12:00:00Z", "cp1"))
    put("own", NEW)
    read: list[str] = []

    def reading(path: str, limit: int) -> bytes | None:
        read.append(path)
        return read_bytes(path, limit)

    monkeypatch.setattr(report_earlier, "read_bytes", reading)
    found, _problems = newest(str(tmp_path / "own"), NEW)
    assert found == report("2026-11-19T12:00:00Z", "cp1")
    assert read == [str(tmp_path / "19" / "report.json")]


def test_what_is_not_compared_is_not_in_the_way(put: Put, tmp_path: Path) -> None:
    full = report("2026-11-20T12:00:00Z", "cp1")
    full["hosts"][0] |= {"roles": 3, "note": [], "versions": None}
    full["controls"] = [{"id": "a", "mappings": 3}]
    full["results"] = [{"control": "a", "host": "cp1", "status": "fail", "waiver": 3, "mappings": [], "evidence": None}]
    put("a", full)
    put("own", NEW)
    found, problems = newest(str(tmp_path / "own"), NEW)
    assert problems == []
    assert found is not None
    assert found["results"] == [{"control": "a", "host": "cp1", "status": "fail"}]
    assert "changed" in report_html.render(SHOWN, found).casefold()


def test_of_another_schema_it_is_said_that_it_is_not_compared(put: Put, tmp_path: Path) -> None:
    put("a", {**report("2026-11-20T12:00:00Z", "cp1"), "schema": 2, "results": ["of another form"]})
    put("own", NEW)
    found, problems = newest(str(tmp_path / "own"), NEW)
    assert problems == []
    assert "is of schema 2" in report_html.render(SHOWN, found)


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
        (b'{"made_at": "2026", "results": [], "hosts": [{"name": []}]}', "lacks made_at"),
        (b'{"a": ' + b"[" * 100_000, "is no report"),
        *((json.dumps({**report("2026-11-22T12:00:00Z", "cp1"), **one}).encode(), "lacks its name") for one in WRONG),
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
