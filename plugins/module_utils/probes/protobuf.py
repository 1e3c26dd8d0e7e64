# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protobuf wire format, as far as the container runtime interface needs it: messages as dictionaries.

Rules: https://protobuf.dev/programming-guides/encoding/. A message type is a table from field number to ``Field``.
What the table does not name is skipped, what the bytes do not hold has proto3's default, so newer and older runtimes
both can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

INTEGER, BOOLEAN, STRING, TEXTS, MESSAGE = "integer", "boolean", "string", "map<string, string>", "message"

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_DEFAULTS: dict[str, Any] = {INTEGER: 0, BOOLEAN: False, STRING: "", TEXTS: {}, MESSAGE: None}


class Field(NamedTuple):
    """One field: its name, one of the kinds above, for MESSAGE the table of its type, and whether it is a list."""

    name: str
    kind: str
    schema: dict[int, Any] | None = None
    repeated: bool = False


Schema = dict[int, Field]

_ENTRY: Schema = {1: Field("key", STRING), 2: Field("value", STRING)}


class MalformedMessageError(ValueError):
    """Bytes that are no message of the expected type."""


def encode(schema: Schema, values: Mapping[str, Any]) -> bytes:
    """The bytes of a message; fields without a value, or with the default one, are left out as in proto3."""
    unknown = set(values) - {field.name for field in schema.values()}
    if unknown:
        raise KeyError("no such field: " + ", ".join(sorted(unknown)))
    result = b""
    for number, field in schema.items():
        value = values.get(field.name)
        if value is None:
            continue
        for item in value if field.repeated else [value]:
            result += _encode_field(number, field, item)
    return result


def decode(schema: Schema, data: bytes) -> dict[str, Any]:
    """The values of a message, each field of the table present; raises MalformedMessageError."""
    values: dict[str, Any] = {f.name: [] if f.repeated else _fresh(f.kind) for f in schema.values()}
    for number, raw in _fields(data):
        field = schema.get(number)
        if field is None:
            continue
        value = _decode_value(field, raw)
        if field.repeated:
            values[field.name].append(value)
        elif field.kind == TEXTS:
            values[field.name].update(value)
        else:
            values[field.name] = value
    return values


def encode_varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; a negative number as its 64 bit two's complement."""
    number &= (1 << 64) - 1
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _fresh(kind: str) -> Any:
    return {} if kind == TEXTS else _DEFAULTS[kind]


def _encode_field(number: int, field: Field, value: Any) -> bytes:
    if field.kind in (INTEGER, BOOLEAN):
        return encode_varint(number << 3 | _VARINT) + encode_varint(int(value)) if value else b""
    if field.kind == TEXTS:
        entries = [encode(_ENTRY, {"key": key, "value": text}) for key, text in sorted(value.items())]
        return b"".join(_length_delimited(number, entry) for entry in entries)
    if field.kind == STRING:
        return _length_delimited(number, value.encode("utf-8")) if value or field.repeated else b""
    return _length_delimited(number, encode(field.schema or {}, value))


def _length_delimited(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | _LENGTH) + encode_varint(len(data)) + data


def _decode_value(field: Field, raw: int | bytes) -> Any:
    if field.kind in (INTEGER, BOOLEAN):
        if not isinstance(raw, int):
            raise MalformedMessageError(f"field {field.name} is not a number")
        return bool(raw) if field.kind == BOOLEAN else raw - (1 << 64) if raw >> 63 else raw
    if not isinstance(raw, bytes):
        raise MalformedMessageError(f"field {field.name} is a number")
    if field.kind == STRING:
        return raw.decode("utf-8", "replace")
    if field.kind == TEXTS:
        entry = decode(_ENTRY, raw)
        return {entry["key"]: entry["value"]}
    return decode(field.schema or {}, raw)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their raw values: numbers as int, everything else as bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            number, position = _varint(data, position)
            yield tag >> 3, number
            continue
        if wire == _LENGTH:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise MalformedMessageError(f"wire type {wire} at byte {position}")
        if size > len(data) - position:
            raise MalformedMessageError(f"the message ends within field {tag >> 3}")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number, bits = 0, 0
    while position < len(data) and bits < 70:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << bits
        if byte < 0x80:
            return number & (1 << 64) - 1, position
        bits += 7
    raise MalformedMessageError(f"unfinished number at byte {position}")
