# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer: whatever it writes, every parser in use reads again as it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components import yamlwrite
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamledit import Document
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import same_value
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles


@settings(deadline=None)
@given(st.text(), st.sampled_from([None, "'", '"']), st.booleans())
def test_any_string_is_written_so_that_it_is_read_again(text: str, style: str | None, flow: bool) -> None:
    assume(not any("\ud800" <= character <= "\udfff" for character in text))
    written = yamlwrite.write_scalar(text, style, flow)
    wrapped = f"[{written}]" if flow else f"- {written}\n"
    assert Document(wrapped).value == [text]
    assert yaml.safe_load(wrapped) == [text]
    assert Document(f"{{{yamlwrite.write_scalar(text, style, True)}: 1}}").value == {text: 1}


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "N",
        "yes",
        "on",
        "off",
        "true",
        "null",
        "~",
        "",
        "1",
        "1_0",
        "0x1",
        "0o7",
        "1e3",
        ".5",
        "1.",
        "-.inf",
        ".NaN",
        "1:30",
        "12:30:45",
        "2026-11-24",
        "2026-11-24T10:00:00Z",
        "=",
        "<<",
        "-",
        "---",
        "a:",
        "a: b",
        "a #b",
        "#a",
        "- a",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "'a",
        '"a',
        ", a",
        "? a",
        " a",
        "a ",
        "a\tb",
        "0b1",
        "+1",
        "0644",
        "08",
    ],
)
def test_what_some_parser_misreads_is_quoted(text: str) -> None:
    assert not yamlwrite.can_be_plain(text)
    assert yamlwrite.write_scalar(text).startswith('"')


@pytest.mark.parametrize(
    "text",
    [
        "--profiling=false",
        "/etc/kubernetes/pki",
        "192.0.2.11",
        "10.96.0.0/12",
        "5m0s",
        "https://192.0.2.11:2379",
        "a=b,c=d",
        "v1.37.1",
        "NodeRestriction",
        "a b",
        "$(NAME)",
        "-v",
        "1.37.1",
    ],
)
def test_what_needs_no_quotes_gets_none(text: str) -> None:
    assert yamlwrite.write_scalar(text) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (-3, "-3"),
        (1.5, "1.5"),
        (float("inf"), ".inf"),
        (float("-inf"), "-.inf"),
    ],
)
def test_other_scalars(value: Any, written: str) -> None:
    assert yamlwrite.write_scalar(value) == written


@settings(deadline=None)
@given(styles.documents)
def test_dump_is_read_again(value: Any) -> None:
    text = yamlwrite.dump(value)
    assert same_value(Document(text).value, value)
    assert yaml.safe_load(text) == value
