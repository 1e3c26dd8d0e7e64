# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM as Go reads it, and stricter: what Go would skip in silence is an error here.

Go's ``encoding/pem`` finds a block only when ``-----BEGIN`` starts a line and the closing line stands alone. Two files
joined without a newline between them become, to Go, a file without any certificate; OpenSSL and cryptography read the
same bytes without a complaint. An authority's bundle like that stops the next component that starts.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_BEGIN = re.compile(r"^-----BEGIN ([A-Z0-9 ]+)-----\s*$")
_END = re.compile(r"^-----END ([A-Z0-9 ]+)-----\s*$")
_HEADER = re.compile(r"^[A-Za-z0-9-]+:\s")


@dataclass(frozen=True)
class Block:
    """One PEM block; `text` is what stands in the file, `der` what is encoded (of an encrypted key, the ciphertext)."""

    label: str
    has_headers: bool
    der: bytes = field(repr=False)
    text: bytes = field(repr=False)


def blocks(data: bytes, where: str) -> list[Block]:
    """Every block of `data`, in order; text between blocks is allowed, as Go allows it.

    `where` names the file in the sentence of the HardeningError that a malformed block raises.
    """
    lines = data.decode("latin-1").splitlines()
    found: list[Block] = []
    index = 0
    while index < len(lines):
        if _BEGIN.match(lines[index]):
            block, index = _block(lines, index, where)
            found.append(block)
            continue
        if "-----BEGIN " in lines[index] or "-----END " in lines[index]:
            raise HardeningError("KH303", _stray_marker(lines[index], index + 1, where))
        index += 1
    return found


def _stray_marker(line: str, number: int, where: str) -> str:
    if "-----END " in line and "-----BEGIN " in line:
        problem = "joins two PEM blocks without a newline between them"
    elif line.strip() != line.rstrip():
        problem = "holds an indented PEM marker"
    else:
        problem = "holds a PEM marker that does not stand alone or belongs to no block"
    return (
        f"Line {number} of {where} {problem}; Kubernetes and etcd would read nothing there, though openssl does. "
        "The file was left as it was; write each block's BEGIN and END on lines of their own."
    )


def _block(lines: list[str], start: int, where: str) -> tuple[Block, int]:
    opening = _BEGIN.match(lines[start])
    label = opening.group(1) if opening else ""
    body: list[str] = []
    headers = 0
    for index in range(start + 1, len(lines)):
        line = lines[index]
        closing = _END.match(line)
        if closing and closing.group(1) == label:
            text = "\n".join(item.rstrip() for item in lines[start : index + 1]) + "\n"
            return Block(label, bool(headers), _decoded(body, start + 1, where), text.encode("latin-1")), index + 1
        if "-----BEGIN " in line or "-----END " in line:
            raise HardeningError("KH303", _stray_marker(line, index + 1, where))
        if _HEADER.match(line):
            headers += 1
        else:
            body.append(line.strip())
    raise HardeningError(
        "KH303",
        f"The {label} that begins in line {start + 1} of {where} has no end: the file is truncated. It was left as "
        "it was; "
        "bring it back from a backup, or decide that it may be replaced.",
    )


def _decoded(body: list[str], line: int, where: str) -> bytes:
    try:
        return base64.b64decode("".join(body), validate=True)
    except (binascii.Error, ValueError):
        raise HardeningError(
            "KH303",
            f"The PEM block that begins in line {line} of {where} is not valid base64: the file is damaged or "
            "truncated. "
            "It was left as it was; bring it back from a backup.",
        ) from None


def encode(label: str, der: bytes) -> bytes:
    """`der` as one PEM block that ends with a newline."""
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode("ascii")
