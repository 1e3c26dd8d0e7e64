# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as data: what Kubernetes reads, and one clause for what would hang PyYAML or make it raise anything else."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing.inputs import EVIL

BOMB, MERGES = EVIL[:2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 1\nb: [true, ~, x]\n", {"a": 1, "b": [True, None, "x"]}),
        ("a: 2026-11-28\nb: 2026-99-99\n", {"a": "2026-11-28", "b": "2026-99-99"}),
        ("2026-11-28: a\n", {"2026-11-28": "a"}),
        ("a: &a [1]\nb: *a\n", {"a": [1], "b": [1]}),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}\n", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("a: !!str 1\n", {"a": "1"}),
        ("[" * 50 + "]" * 50, t.Any),
    ],
)
def test_what_is_read(text: str, value: t.Any) -> None:
    found = yaml_data.load(text)
    assert value is t.Any or found == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "it expands to more than 100000 values"),
        (MERGES, "it expands to more than 100000 values"),
        ("a: &a [*a]", "an alias in it refers to what contains it"),
        ("a: &a {<<: *a}", "an alias in it refers to what contains it"),
        ("[" * 61 + "]" * 61, "it is nested deeper than 60 levels"),
        ("? [a]\n: b", "it has a key that is no single word"),
        ("a: !!binary aGk=", "it has a tag that Kubernetes does not use"),
        ("a: !!set {b}", "it has a tag that Kubernetes does not use"),
        ("a: !!python/name:os.system x", "it has a tag that Kubernetes does not use"),
        ("a: !!bool x", "a value in it cannot be read"),
        ("a: !!int ''", "a value in it cannot be read"),
        ("a: !!float ''", "a value in it cannot be read"),
        (f"a: {'9' * 5000}", "a value in it cannot be read"),
        ("a: \x01", "a character in it is not allowed"),
        ("a: b: c", "it cannot be parsed"),
        ("a: 1\n---\nb: 2\n", "it cannot be parsed"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(yaml_data.NoYamlError) as caught:
        yaml_data.load(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["[" * 20_000, "- " * 20_000, "{a: " * 20_000, "? " * 20_000])
def test_no_depth_ends_the_process(text: str) -> None:
    with pytest.raises(yaml_data.NoYamlError):
        yaml_data.load(text)


def test_the_text_is_never_quoted_and_the_line_is_said() -> None:
    with pytest.raises(yaml_data.NoYamlError) as caught:
        yaml_data.load("a: 1\ntoken: s3cret: x\n")
    assert "s3cret" not in str(caught.value)
    assert caught.value.line == 2
