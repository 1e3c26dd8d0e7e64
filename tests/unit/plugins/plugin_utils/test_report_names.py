# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in short, and text of which every character can be seen."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.plugin_utils import report_names as names


@pytest.mark.parametrize(
    ("given_names", "short"),
    [
        ([], ""),
        (["cp1"], "cp1"),
        (["w2", "w1"], "w1, w2"),
        (["w1", "w2", "w3"], "w[1:3]"),
        (["w9", "w10", "w11"], "w[9:11]"),
        (["w09", "w10", "w11"], "w[09:11]"),
        (["w9", "w010", "w011"], "w9, w010, w011"),
        (["a1.example", "a2.example", "a3.example", "b"], "a[1:3].example, b"),
        (["a1.x", "a2.y", "a3.x"], "a1.x, a2.y, a3.x"),
        (["w1", "w2", "w3", "w5", "w7", "w8"], "w[1:3], w5, w7, w8"),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], "10.0.0.[1:3]"),
        (["w1", "w1", "w2", "w3"], "w[1:3]"),
    ],
)
def test_hosts_in_a_row_are_told_as_an_inventory_does(given_names: list[str], short: str) -> None:
    assert names.host_list(given_names) == short


@given(st.sets(st.integers(0, 400)))
def test_ranges_say_the_same_numbers(numbers: set[int]) -> None:
    """The script of the page reads them back."""
    back: set[int] = set()
    for run in filter(None, names.ranges(numbers).split(",")):
        first, _dash, last = run.partition("-")
        back |= set(range(int(first), int(last or first) + 1))
    assert back == numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9\u4e2d\n\tline", "plain \u00e9\u4e2d\n\tline"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("nul\x00", "nul\\x00"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\udcff\\udcfe"),
        (None, ""),
        (3, "3"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: t.Any, shown: str) -> None:
    assert names.seen(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_fits_into_a_file(text: str) -> None:
    assert names.seen(names.seen(text)) == names.seen(text)
    names.seen(text).encode("utf-8")


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("--profiling absent", "--profiling absent"),
        (["one", "two"], "one\ntwo"),
        ({"argv": ["a", "b"], "port": 8080}, 'argv: ["a", "b"]\nport: 8080'),
        ([], ""),
        (None, ""),
    ],
)
def test_evidence_is_lines(value: t.Any, lines: str) -> None:
    assert names.evidence(value) == lines


def test_long_evidence_is_cut_and_says_so() -> None:
    text = names.evidence("x" * names.EVIDENCE_LIMIT + "yyyyyend")
    assert text.startswith("xxx")
    assert "x\n(8 more characters: see report.json)\nx" in text
    assert text.endswith("xyyyyyend")  # why it is explained, say, stands at its end
    assert text.count("x") == names.EVIDENCE_LIMIT - len("yyyyyend")
    assert names.evidence("x" * names.EVIDENCE_LIMIT) == "x" * names.EVIDENCE_LIMIT


def test_names_are_sorted_as_people_do() -> None:
    assert sorted(["w10", "w9", "cp2", "1.10.1", "1.9.1"], key=names.natural) == ["1.9.1", "1.10.1", "cp2", "w9", "w10"]
