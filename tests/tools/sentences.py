# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentences that follow the number of an error, as they stand in the code: what differs in them is an ellipsis."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.checkout import ROOT

NUMBER = re.compile(r"KH\d{3}")
SOURCES = sorted((ROOT / "plugins").rglob("*.py"))
#: What puts a number before a sentence.
NUMBERING = {"numbered", "each_numbered", "refusal"}
#: A failure that other tasks come before passes on the module's own message.
MESSAGE_OF_A_MODULE = "{{ __harden_kubelet_done.msg }}"
#: By name, what it stands for, and functions of a module.
Texts = dict[str, ast.expr]
Functions = dict[str, ast.FunctionDef]
DIFFERS = "…"
_DIFFER = re.compile(rf"{DIFFERS}(?:\s*{DIFFERS})+")
#: Of fewer letters in a row nobody could tell what a sentence says.
_WORDS = re.compile(r"[a-z]{3}")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Each source of the plugins."""
    for path in SOURCES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def name_of(node: ast.expr) -> str:
    """The last word of a name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call in a tree."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def numbers_of(node: ast.expr) -> list[str] | None:
    """The numbers that an argument may be; none where an error's own is passed on, None where it is no number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBER.fullmatch(node.value):
        return [node.value]
    if isinstance(node, ast.IfExp):
        either = [numbers_of(node.body), numbers_of(node.orelse)]
        return None if None in either else [number for one in either for number in one or []]
    return [] if name_of(node) == "number" else None


def tasks(data: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a YAML file, so every task of it, however deep in blocks."""
    if isinstance(data, dict):
        yield data
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else []:
        yield from tasks(item)


def failing_tasks() -> list[tuple[Path, str]]:
    """What each task says that does nothing but to end a run."""
    found = []
    for path in sorted([*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]):
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for module, key in (("fail", "msg"), ("assert", "fail_msg")):
                names = {module, f"ansible.builtin.{module}"} & set(task)
                found += [(path, str((task[name] or {}).get(key, ""))) for name in names]
    return found


def sentences() -> dict[str, list[str]]:
    """By number, the sentences; one that is put together of what was found has no words of its own, and is left out."""
    found: dict[str, set[str]] = {}
    for _path, tree in trees():
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for number, sentence in _within(tree, _texts(tree), functions):
            found.setdefault(number, set()).add(sentence)
    for _path, message in failing_tasks():
        if message != MESSAGE_OF_A_MODULE:
            said = re.sub(r"\{[{%].*?[%}]\}", DIFFERS, message, flags=re.DOTALL)
            found.setdefault(message[:5], set()).add(_tidy(said.partition(": ")[2]))
    return {number: sorted(one for one in found[number] if _WORDS.search(one)) for number in sorted(found)}


def _within(node: ast.AST, texts: Texts, functions: Functions) -> Iterator[tuple[str, str]]:
    """Each number in a part of a source with what comes after it; the innermost function knows its own names best."""
    if isinstance(node, ast.FunctionDef):
        texts = {**texts, **_texts(node)}
    if isinstance(node, ast.Call):
        for first, second in itertools.pairwise(node.args):
            for number in numbers_of(first) or []:
                yield from ((number, said) for said in _said(second, texts, functions))
    for child in ast.iter_child_nodes(node):
        yield from _within(child, texts, functions)


def _said(node: ast.expr, texts: Texts, functions: Functions) -> Iterator[str]:
    """What an argument says: one sentence, either of two, some in a list, or those of a function of the same module."""
    if isinstance(node, ast.IfExp):
        yield from _said(node.body, texts, functions)
        yield from _said(node.orelse, texts, functions)
    elif isinstance(node, ast.List):
        for one in node.elts:
            yield from _said(one, texts, functions)
    elif isinstance(node, ast.Call) and name_of(node.func) in functions:
        function = functions[name_of(node.func)]
        yield from _of_function(function, {**texts, **_texts(function)})
    else:
        yield _tidy(_text(node, texts))


def _of_function(node: ast.AST, texts: Texts) -> Iterator[str]:
    """Whole sentences that a function finds; parts of one, and what it is documented by, are none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr):
            said = _tidy(_text(child, texts))
            if said.endswith("."):
                yield said
        else:
            yield from _of_function(child, texts)


def _texts(scope: ast.AST) -> Texts:
    """By name, what is assigned to it once: on the level of a module, or anywhere in a function."""
    body = scope.body if isinstance(scope, ast.Module) else list(ast.walk(scope))
    found: dict[str, list[ast.expr]] = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _text(node: ast.expr, texts: Texts) -> str:
    """What an expression says, as far as it stands there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, texts) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, texts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, texts) + _text(node.right, texts)
    if isinstance(node, ast.Name) and node.id in texts:
        others = {name: value for name, value in texts.items() if name != node.id}
        return _text(texts[node.id], others)
    return DIFFERS


def _tidy(text: str) -> str:
    return _DIFFER.sub(DIFFERS, " ".join(text.split()))
