# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire format, against bytes written out by hand and against itself."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.probes.protobuf import (
    BOOLEAN,
    INTEGER,
    MESSAGE,
    STRING,
    TEXTS,
    Field,
    MalformedMessageError,
    Schema,
    decode,
    encode,
    encode_varint,
)

INNER: Schema = {1: Field("number", INTEGER), 2: Field("flag", BOOLEAN)}
OUTER: Schema = {
    1: Field("text", STRING),
    2: Field("inner", MESSAGE, INNER),
    3: Field("labels", TEXTS),
    4: Field("words", STRING, repeated=True),
    5: Field("inners", MESSAGE, INNER, repeated=True),
    150: Field("far", INTEGER),
}
EMPTY: dict[str, Any] = {"text": "", "inner": None, "labels": {}, "words": [], "inners": [], "far": 0}


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (150, "9601"),
        (300, "ac02"),
        (2**63 - 1, "ffffffffffffffff7f"),
        (-1, "ffffffffffffffffff01"),
    ],
)
def test_varint(number: int, data: str) -> None:
    assert encode_varint(number).hex() == data


@pytest.mark.parametrize(
    ("values", "data"),
    [
        ({}, ""),
        ({"text": ""}, ""),
        ({"text": None}, ""),
        ({"text": "testing"}, "0a0774657374696e67"),
        ({"inner": {"number": 150}}, "1203089601"),
        ({"inner": {}}, "1200"),
        ({"inner": {"number": -1}}, "120b08ffffffffffffffffff01"),
        ({"inner": {"flag": True, "number": 0}}, "12021001"),
        ({"labels": {"b": "2", "a": ""}}, "1a030a0161" + "1a060a0162120132"),
        ({"words": ["a", "", "b"]}, "220161" + "2200" + "220162"),
        ({"inners": [{"number": 1}, {}]}, "2a020801" + "2a00"),
        ({"far": 1}, "b00901"),
    ],
)
def test_bytes_by_hand(values: dict[str, Any], data: str) -> None:
    assert encode(OUTER, values).hex() == data
    given_values = {name: value for name, value in values.items() if value is not None}
    decoded = decode(OUTER, bytes.fromhex(data))
    for name, default in EMPTY.items():
        if name in ("inner", "inners"):
            continue
        assert decoded[name] == given_values.get(name, default)


def test_fields_that_the_table_does_not_name_are_skipped() -> None:
    unknown = "48 01" + "51 0102030405060708" + "5a 03 616263" + "65 01020304" + "0a 01 78"
    assert decode(OUTER, bytes.fromhex(unknown)) == {**EMPTY, "text": "x"}


def test_the_last_value_counts_and_bad_utf8_is_shown() -> None:
    assert decode(OUTER, bytes.fromhex("0a0161 0a02ff62"))["text"] == "\ufffdb"


def test_a_field_that_is_not_in_the_table_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError, match="no such field: nope"):
        encode(OUTER, {"nope": 1})


@pytest.mark.parametrize(
    "data",
    [
        "0a",
        "0a05616263",
        "0aff",
        "0affffffffffffffffff01",
        "0801",
        "0b",
        "0c",
        "0f",
        "12020a00",
        "80",
        "ff" * 11,
        "65010203",
        "51",
        "1a020801",
    ],
)
def test_malformed(data: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode(OUTER, bytes.fromhex(data))


INTEGERS = st.integers(-(2**63), 2**63 - 1)
INNERS = st.fixed_dictionaries({"number": INTEGERS, "flag": st.booleans()})
OUTERS = st.fixed_dictionaries(
    {
        "text": st.text(),
        "inner": st.none() | INNERS,
        "labels": st.dictionaries(st.text(), st.text(), max_size=4),
        "words": st.lists(st.text(), max_size=4),
        "inners": st.lists(INNERS, max_size=4),
        "far": INTEGERS,
    }
)


@given(OUTERS)
def test_back_and_forth(values: dict[str, Any]) -> None:
    assert decode(OUTER, encode(OUTER, values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedMessageError):
        decode(OUTER, data)
