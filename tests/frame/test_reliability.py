# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test that docs/reliability.md names as the one that holds a promise is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools.checkout import ROOT

pytestmark = pytest.mark.frame

PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| .* \| (?P<held>.*) \|$")
NAMED = re.compile(r"`(?P<file>(?:[\w/]+\.py|…))(?:::(?P<test>test_\w+))?`|`(?P<directory>tests/[\w/]+)`")


def named() -> list[tuple[str, str, str]]:
    """File or directory, and test or nothing, of each name in the last column; a file's name is said once in a row."""
    found, before = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        for match in NAMED.finditer(row["held"]) if row else ():
            before = before if match["file"] == "…" else match["file"] or match["directory"]
            found.append((line, before, match["test"] or ""))
    return found


def place_of(name: str) -> Path:
    """A file without a directory lies in tests/lab, as the page says, or was named with its directory before."""
    if "/" in name:
        return ROOT / name
    near = ROOT / "tests" / "lab" / name
    return near if near.exists() else next((ROOT / "tests" / "unit").rglob(name), near)


def test_what_holds_a_promise_is_there() -> None:
    assert len(named()) > 50
    for line, name, test in named():
        place = place_of(name)
        assert place.exists(), line
        assert not test or f"def {test}(" in place.read_text(encoding="utf-8"), line


def test_every_promise_is_held_by_something() -> None:
    """Rows of the tables of promises; that of the faults has figures in its last column."""
    page = PAGE.read_text(encoding="utf-8")
    for table in re.findall(r"^\| promise \| held by \|\n\| --- \| --- \|\n((?:\|.*\n)+)", page, re.MULTILINE):
        for line in table.splitlines():
            held = ROW.match(line)
            assert held, line
            assert "`" in held["held"] or held["held"].startswith("the same"), line


#: A row of the table of faults: which numbers tell of it, under which name its figures are kept, and the figures.
FAULT = re.compile(
    r"^\| .+ \| (?P<told>.+) \| `(?P<name>[\w-]+)` \| (?:\d+|\*not yet\*) \| (?:[\d,]+|\*not yet\*) \|$", re.MULTILINE
)


def kept_names(tree: ast.Module) -> list[str]:
    """Under which names the tests of faults keep figures, as patterns."""
    names = [
        call.args[1]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "keep"
    ]
    parts = [name.values if isinstance(name, ast.JoinedStr) else [name] for name in names]
    return [
        "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w[\w-]*" for part in those)
        for those in parts
    ]


def test_every_fault_has_its_row_with_the_number_that_its_test_wants() -> None:
    tree = ast.parse((ROOT / "tests" / "lab" / "test_harden_faults.py").read_text(encoding="utf-8"))
    laid = {
        ast.literal_eval(call.args[0]): ast.literal_eval(call.args[1])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Fault"
    }
    rows = {match["name"]: match["told"] for match in FAULT.finditer(PAGE.read_text(encoding="utf-8"))}
    assert len(laid) > 10
    assert {name: number for name, number in laid.items() if number not in rows.get(name, "")} == {}
    patterns = [name for name in kept_names(tree) if name != r"\w[\w-]*"]  # that of the faults above
    others = [name for name in rows if name not in laid]
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in others)] == []
    assert [name for name in others if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
