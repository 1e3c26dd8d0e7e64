# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HPACK against the examples of RFC 7541, appendix C, and malformed blocks."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.probes.hpack import (
    MalformedHeadersError,
    decode_headers,
    decode_huffman,
    encode_headers,
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("25a849e95bb8e8b4bf", "custom-value"),
        ("6402", "302"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("", ""),
    ],
)
def test_huffman(data: str, text: str) -> None:
    assert decode_huffman(bytes.fromhex(data)).decode() == text


@pytest.mark.parametrize("data", ["ff", "ffff", "f1e3c2e5f23a6ba0ab90f400", "00", "fffffffc"])
def test_huffman_that_ends_within_a_code(data: str) -> None:
    with pytest.raises(MalformedHeadersError):
        decode_huffman(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        ("88", {":status": "200"}),
        ("8c", {":status": "400"}),
        ("5f 10 6170706c69636174696f6e2f67727063", {"static-31": "application/grpc"}),
        ("40 0a 637573746f6d2d6b6579 0d 637573746f6d2d686561646572", {"custom-key": "custom-header"}),
        ("00 88 25a849e95ba97d7f 89 25a849e95bb8e8b4bf", {"custom-key": "custom-value"}),
        ("10 01 61 01 62", {"a": "b"}),
        ("20 88", {":status": "200"}),
        ("08 03 353033", {":status": "503"}),
        ("0f 2e 03 666f6f", {"static-61": "foo"}),
        ("", {}),
    ],
)
def test_blocks(block: str, headers: dict[str, str]) -> None:
    assert decode_headers(bytes.fromhex(block)) == headers


@pytest.mark.parametrize(
    "block", ["80", "be", "ff", "ff8080808001", "00", "0005616263", "000161", "0001610562", "7e", "3f", "0001618100"]
)
def test_malformed(block: str) -> None:
    with pytest.raises(MalformedHeadersError):
        decode_headers(bytes.fromhex(block))


@given(st.dictionaries(st.from_regex(r"[a-z:-]{1,20}", fullmatch=True), st.from_regex(r"[ -~]{0,400}", fullmatch=True)))
def test_back_and_forth(headers: dict[str, str]) -> None:
    assert decode_headers(encode_headers(headers.items())) == headers


@given(st.binary(max_size=100))
def test_any_bytes_are_headers_or_malformed(block: bytes) -> None:
    with contextlib.suppress(MalformedHeadersError):
        decode_headers(block)
