# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few bytes of a certificate that no library hands out as they are.

Go compares the issuer of a certificate with the subject of its authority byte for byte, so the bytes decide, not what a
library makes of them. Serial numbers are read here too, because libraries differ in whether they warn, fail or accept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_SEQUENCE = 0x30
_INTEGER = 0x02
_EXPLICIT_VERSION = 0xA0


class DerError(ValueError):
    """The bytes are no DER encoding of what was asked for."""


@dataclass(frozen=True)
class RawCertificate:
    """Parts of a TBSCertificate (RFC 5280, 4.1): names with tag and length, the serial number's content bytes."""

    serial: bytes
    issuer: bytes
    subject: bytes

    @property
    def serial_is_negative(self) -> bool:
        return self.serial[0] >= 0x80


def _element(data: bytes, offset: int) -> tuple[int, int, int]:
    """Tag, start of the content and end of the element at `offset`."""
    if offset + 2 > len(data):
        raise DerError("the data end inside an element")
    tag, length = data[offset], data[offset + 1]
    start = offset + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or start + octets > len(data):
            raise DerError("an element has no readable length")
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    if start + length > len(data):
        raise DerError("the data end inside an element")
    return tag, start, start + length


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, content and whole bytes of each element between `start` and `end`."""
    offset = start
    while offset < end:
        tag, content, stop = _element(data, offset)
        yield tag, data[content:stop], data[offset:stop]
        offset = stop


def raw_certificate(der: bytes) -> RawCertificate:
    """Raises DerError when `der` does not begin as a certificate does."""
    tag, start, end = _element(der, 0)
    if tag != _SEQUENCE or end != len(der):
        raise DerError("not one whole DER sequence")
    tag, start, end = _element(der, start)
    if tag != _SEQUENCE:
        raise DerError("no certificate inside")
    parts = list(_elements(der, start, end))
    if parts and parts[0][0] == _EXPLICIT_VERSION:
        parts = parts[1:]
    # serialNumber, signature, issuer, validity, subject
    if [part[0] for part in parts[:5]] != [_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE] or not parts[0][1]:
        raise DerError("the parts of a certificate are not in their places")
    return RawCertificate(serial=parts[0][1], issuer=parts[2][2], subject=parts[4][2])
