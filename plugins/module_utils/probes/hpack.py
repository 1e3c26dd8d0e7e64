# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HPACK (RFC 7541) for one short exchange: what is sent is never compressed, what is received may be Huffman coded.

The dynamic table is switched off by the settings that the client sends (size 0), so there is none to keep here.
"""

from __future__ import annotations

from collections.abc import Iterable

# Appendix B: the length in bits of the code of each octet. The code is canonical, so the lengths say it all.
# fmt: off
_CODE_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
)
# fmt: on

# Appendix A, as far as an answer's meaning goes: entries 8 to 14 are ":status" with a value.
_STATIC_NAMES = 61
_STATIC_STATUS = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}


class MalformedHeadersError(ValueError):
    """A header block that RFC 7541 does not allow, or that uses a dynamic table which was declined."""


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """A header block of literals without indexing and without Huffman code."""
    block = b""
    for name, value in headers:
        block += b"\x00" + _encode_string(name) + _encode_string(value)
    return block


def decode_headers(block: bytes) -> dict[str, str]:
    """The headers of a block. Names from the static table other than ``:status`` are given as ``static-N``."""
    headers: dict[str, str] = {}
    position = 0
    while position < len(block):
        first = block[position]
        if first & 0x80:
            index, position = _integer(block, position, 7)
            headers[_static_name(index)] = _STATIC_STATUS.get(index, "")
        elif first & 0xE0 == 0x20:
            position = _integer(block, position, 5)[1]  # the size of the table that is not used
        else:
            index, position = _integer(block, position, 6 if first & 0x40 else 4)
            name, position = (_static_name(index), position) if index else _string(block, position)
            headers[name], position = _string(block, position)
    return headers


def decode_huffman(data: bytes) -> bytes:
    """The octets of a Huffman coded string (RFC 7541, 5.2)."""
    result = bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            octet = _OCTETS.get((length, code))
            if octet is not None:
                result.append(octet)
                code = length = 0
    if (
        length > 7 or code != (1 << length) - 1
    ):  # what is left must be padding: the first bits of the end mark, all ones
        raise MalformedHeadersError("a Huffman coded string ends within a code")
    return bytes(result)


def _codes() -> dict[tuple[int, int], int]:
    octets: dict[tuple[int, int], int] = {}
    code = previous = 0
    for length, octet in sorted((length, octet) for octet, length in enumerate(_CODE_LENGTHS)):
        code <<= length - previous
        octets[length, code] = octet
        code, previous = code + 1, length
    return octets


_OCTETS = _codes()


def _static_name(index: int) -> str:
    if not 1 <= index <= _STATIC_NAMES:
        raise MalformedHeadersError(f"header index {index} is not in the static table")
    return ":status" if index in _STATIC_STATUS else f"static-{index}"


def _encode_string(text: str) -> bytes:
    data = text.encode("ascii")
    return _encode_integer(len(data), 7) + data


def _encode_integer(number: int, prefix: int) -> bytes:
    limit = (1 << prefix) - 1
    if number < limit:
        return bytes([number])
    result: list[int] = [limit]
    number -= limit
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    limit = (1 << prefix) - 1
    number = block[position] & limit
    position += 1
    if number < limit:
        return number, position
    for shift in range(0, 28, 7):
        if position >= len(block):
            break
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise MalformedHeadersError("a number in the header block does not end")


def _string(block: bytes, position: int) -> tuple[str, int]:
    if position >= len(block):
        raise MalformedHeadersError("the header block ends before a string")
    coded = block[position] & 0x80
    size, position = _integer(block, position, 7)
    data = block[position : position + size]
    if len(data) < size:
        raise MalformedHeadersError("the header block ends within a string")
    return (decode_huffman(data) if coded else data).decode("latin-1"), position + size
