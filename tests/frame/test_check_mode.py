# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed list of docs/check_mode.md is what the code has: what waits for a state that the run creates."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools.checkout import ROOT

pytestmark = pytest.mark.frame

PAGE = ROOT / "docs" / "check_mode.md"
AFTER = re.compile(r"^ +after: (?P<state>.+)$", re.MULTILINE)


def listed() -> dict[str, str]:
    """What waits, by the state that it waits for."""
    table = re.search(
        r"^\| change \| waits for \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert table
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]
    return {state.replace("`", ""): change for change, state in rows}


def of_templates() -> dict[str, set[str]]:
    """By state, the names of which a setting that waits for it must be told by one: its flag, or what its list gets."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "templates").rglob("*.j2")):
        text = path.read_text("utf-8")
        for match in AFTER.finditer(text):
            above = text[: match.start()]
            flag = re.findall(r"^  ([a-z-]+):$", above, re.MULTILINE)[-1]
            plugins = re.findall(r"(?:contains|without): \[(\w+)\]", above[above.rindex(f"  {flag}:") :])
            found.setdefault(match["state"], set()).update(plugins or [flag])
    return found


def of_code() -> set[str]:
    """States that modules write beside a change themselves."""
    found = set()
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(Path(path).read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "wait_for":
                found |= {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant) and one.value}
    return {str(state) for state in found}


def test_the_list_of_what_waits_is_that_of_the_code() -> None:
    templates, code = of_templates(), of_code()
    assert templates
    assert code
    assert set(listed()) == {*templates, *code}
    for state, names in templates.items():
        for name in names:
            assert f"`{name}`" in listed()[state]


def test_what_is_set_only_when_it_is_proven_says_what_it_waits_for() -> None:
    for name in ("trust", "pulls"):
        text = (ROOT / "templates" / "kube-apiserver" / f"{name}.yaml.j2").read_text("utf-8")
        assert text.count("    control: ") == text.count("    after: ") > 0, name
