# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of module_utils import downwards only, and know nothing of Ansible (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.checkout import ROOT

pytestmark = pytest.mark.frame

UTILS = ROOT / "plugins" / "module_utils"
PREFIX = "ansible_collections.kubeharden.core.plugins.module_utils."

# What each room may import, beside itself, the errors that all of them raise and the one reader of YAML.
ALLOWED: dict[str, set[str]] = {
    "files": set(),
    "pki": set(),
    "components": set(),
    "probes": set(),
    "controls": {"components"},
    "rollout": {"files", "pki", "components", "probes", "controls"},
}


def imported(path: Path) -> Iterator[str]:
    """Names of modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize("room", sorted(path.name for path in UTILS.iterdir() if path.is_dir() and path.name[0] != "_"))
def test_a_room_imports_what_is_below_it(room: str) -> None:
    """Every room that exists has its line above, and keeps to it."""
    files = sorted((UTILS / room).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            assert name.split(".")[0] != "ansible", f"{path} knows Ansible: {name}"
            if name.startswith(PREFIX):
                other = name.removeprefix(PREFIX).split(".")[0]
                assert other in ALLOWED[room] | {room, "errors", "yaml_data"}, f"{path} imports {name}"


def test_plugins_are_imported_by_their_full_names() -> None:
    """A package marker would shadow Ansible's own loader."""
    assert not list((ROOT / "plugins").rglob("__init__.py"))
