# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each error has a number, and docs/errors.yml has the numbers of the code and says nothing else than the sentences.

docs/errors.md is made of both: tests/unit/test_reference.py holds it to them, to the letter.
"""

from __future__ import annotations

import ast
import re

import pytest

from tools import reference
from tools.checkout import ROOT
from tools.sentences import (
    DIFFERS,
    MESSAGE_OF_A_MODULE,
    NUMBER,
    NUMBERING,
    calls,
    failing_tasks,
    name_of,
    numbers_of,
    sentences,
    trees,
)

pytestmark = pytest.mark.frame

#: Exceptions of Ansible's whose text a user sees as it stands.
OF_ANSIBLE = re.compile(r"Ansible\w*(Error|Failure|Fail)")
#: Functions that end a task with sentences that other functions have numbered.
PASSED_ON = {("preflight.py", "run")}


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


def used() -> list[str]:
    """Every number that stands in the code, as often as it does."""
    in_code = [
        node.value
        for _path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBER.fullmatch(node.value)
    ]
    return in_code + [message[:5] for _path, message in failing_tasks() if message != MESSAGE_OF_A_MODULE]


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
        assert message == MESSAGE_OF_A_MODULE or re.match(rf"{NUMBER.pattern}: ", message), f"{path}: {message}"


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


#: What a sentence says of what was left: nothing was done, or what had been was taken back or stays.
NOTHING = re.compile(r"[Nn]othing (?:else )?was (?:changed|written|signed|sent|approved|laid)")
DONE = re.compile(r"\b(?:went back|is back|are back|stays?|(?<!not )put back)\b(?! first)")


def test_the_sentences_are_found() -> None:
    found = sentences()
    assert set(found) <= set(used())
    assert sum(map(bool, found.values())) > 80
    assert sum(map(len, found.values())) > 300
    # As a person reads it, with a constant's text, a local name's and another function's in their places.
    assert (
        f"{DIFFERS} could not be written: {DIFFERS}. It was left as it was; mend that and run again." in found["KH201"]
    )
    assert any("(Lease kube-system/kubeharden)" in words for words in found["KH106"])
    assert any(words.startswith("No Python on this host has ") for words in found["KH103"])
    assert f"{DIFFERS} of {DIFFERS} is on a read-only file system; mount it read-write." in found["KH135"]


def test_the_page_says_of_what_was_left_what_the_sentences_say() -> None:
    """Where each sentence of a number says that nothing was done so does the page, and no sentence says otherwise."""
    said = sentences()
    for area in reference.error_data()["areas"]:
        for number, error in area["errors"].items():
            left, found = error["left"], said.get(number, [])
            if found and all(NOTHING.search(one) for one in found):
                assert re.search("[Ee]very(?:thing| file)", left) or NOTHING.search(left), f"{number}: {left}"
            if re.fullmatch(r"Everything(?: on (?:this|every) host)?\.", left):
                assert [one for one in found if DONE.search(one)] == [], number
