# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each error has a number, and docs/errors.yml, of which docs/errors.md is made, has the numbers of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import reference
from tools.checkout import ROOT

pytestmark = pytest.mark.frame

NUMBER = re.compile(r"KH\d{3}")
SOURCES = sorted((ROOT / "plugins").rglob("*.py"))
#: What puts a number before a sentence.
NUMBERING = {"numbered", "each_numbered", "refusal"}
#: Exceptions of Ansible's whose text a user sees as it stands.
OF_ANSIBLE = re.compile(r"Ansible\w*(Error|Failure|Fail)")
#: Functions that end a task with sentences that other functions have numbered.
PASSED_ON = {("preflight.py", "run")}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def name_of(node: ast.expr) -> str:
    """The last word of a name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def numbers_of(node: ast.expr) -> list[str] | None:
    """The numbers that an argument may be; none where an error's own is passed on, None where it is no number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBER.fullmatch(node.value):
        return [node.value]
    if isinstance(node, ast.IfExp):
        either = [numbers_of(node.body), numbers_of(node.orelse)]
        return None if None in either else [number for one in either for number in one or []]
    return [] if name_of(node) == "number" else None


def subclasses() -> set[str]:
    """Names of exceptions that are HardeningErrors and give themselves their number."""
    return {
        node.name
        for _path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(name_of(base) == "HardeningError" for base in node.bases)
    }


def known() -> list[str]:
    return [number for area in reference.error_data()["areas"] for number in area["errors"]]


def tasks(data: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a YAML file, so every task of it, however deep in blocks."""
    if isinstance(data, dict):
        yield data
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else []:
        yield from tasks(item)


#: A failure that other tasks come before passes on the module's own message.
_MESSAGE_OF_A_MODULE = "{{ __harden_kubelet_done.msg }}"


def failing_tasks() -> list[tuple[Path, str]]:
    """What each task says that does nothing but to end a run."""
    found = []
    for path in sorted([*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]):
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for module, key in (("fail", "msg"), ("assert", "fail_msg")):
                names = {module, f"ansible.builtin.{module}"} & set(task)
                found += [(path, str((task[name] or {}).get(key, ""))) for name in names]
    return found


def used() -> list[str]:
    """Every number that stands in the code, as often as it does."""
    in_code = [
        node.value
        for _path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBER.fullmatch(node.value)
    ]
    return in_code + [message[:5] for _path, message in failing_tasks() if message != _MESSAGE_OF_A_MODULE]


def test_every_error_is_made_with_a_number() -> None:
    wrong, seen = [], 0
    for path, tree in trees():
        for call in calls(tree):
            if name_of(call.func) in {"HardeningError", *NUMBERING}:
                seen += 1
                if not call.args or numbers_of(call.args[0]) is None:
                    wrong.append(
                        f"{path.relative_to(ROOT)}:{call.lineno}: the first argument is no number such as KH012"
                    )
    assert not wrong, "\n".join(wrong)
    assert seen > 200


def test_an_error_of_a_class_of_its_own_has_a_number() -> None:
    names = subclasses()
    assert names
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in names:
                own = [call for call in calls(node) if ast.unparse(call.func) == "super().__init__"]
                assert [numbers_of(call.args[0]) for call in own] not in ([], [None]), f"{path}: {node.name}"


def ends(node: ast.AST) -> bool:
    """Whether a node ends a task with a text: fail_json, a result that failed, an exception of Ansible's."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values)
        return any(
            isinstance(key, ast.Constant) and key.value == "failed" and ast.unparse(value) == "True"
            for key, value in pairs
        )
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return OF_ANSIBLE.fullmatch(name_of(node.exc.func)) is not None
    return isinstance(node, ast.Call) and name_of(node.func) == "fail_json"


def test_what_ends_a_task_has_a_number() -> None:
    """By function: one that ends a task numbers what it says, but for those that pass on what is numbered."""
    without, seen = set(), 0
    for path, tree in trees():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            if not any(ends(node) for node in ast.walk(function)):
                continue
            seen += 1
            words = {name_of(node) for node in ast.walk(function) if isinstance(node, (ast.Attribute, ast.Name))}
            if not words & NUMBERING:
                without.add((path.name, function.name))
    assert without == PASSED_ON
    assert seen > 8


def test_a_task_that_only_fails_has_a_number() -> None:
    found = failing_tasks()
    assert found
    for path, message in found:
        assert message == _MESSAGE_OF_A_MODULE or re.match(rf"{NUMBER.pattern}: ", message), f"{path}: {message}"


def test_the_page_has_the_numbers_of_the_code() -> None:
    assert set(used()) == set(known())


def test_a_number_is_given_once_and_never_again() -> None:
    text = (ROOT / "docs" / "errors.yml").read_text(encoding="utf-8")
    given = re.findall(r"^ +(KH\w+):", text, re.MULTILINE)  # a key that stands twice is one to a YAML parser
    assert given == known() == sorted(set(given))
    assert all(NUMBER.fullmatch(number) for number in given)
    assert not set(given) & set(reference.error_data()["retired"])


def test_numbers_of_an_area_have_its_hundred() -> None:
    for hundred, area in enumerate(reference.error_data()["areas"]):
        assert {number[2] for number in area["errors"]} == {str(hundred)}, area["name"]


def test_each_number_says_what_what_was_left_and_what_to_do() -> None:
    for area in reference.error_data()["areas"]:
        for number, error in area["errors"].items():
            assert list(error) == ["what", "left", "do"], number
            assert all(re.fullmatch(r"\S.*\.", text) for text in error.values()), number
