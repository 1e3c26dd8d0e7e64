# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML text of new values: quoted whenever any YAML parser in use could take it for something other than a string."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import (
    FALSE,
    NULL,
    TRUE,
    Scalar,
    read_scalar,
)

# What some parser takes for a number, a date or a time: quoted when written, whatever we would read ourselves.
_LOOKS_NUMERIC = re.compile(r"[-+.]?[0-9][0-9_,:.xobXOBeE+\-a-fA-F]*(?:[TtZ ][0-9:.TtZ+\- ]*)?\Z")
_VERSION_OR_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){2,}\Z")
_PLAIN_FIRST = re.compile(r"[A-Za-z0-9_/.$(+^\\]|[-?:](?=[^\s,\[\]{}:])")
_PLAIN_IN_FLOW_FORBIDDEN = re.compile(r"[,\[\]{}:?#]")
_SINGLE_LINE = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*\\Z")


def can_be_plain(text: str, flow: bool = False) -> bool:
    """Whether every YAML parser in use reads the bare word as this very string.

    On the careful side: what is quoted without need is still right.
    """
    if not text or text in TRUE or text in FALSE or text in NULL or text in ("=", "<<"):
        return False
    if not _PLAIN_FIRST.match(text) or not _SINGLE_LINE.match(text) or text != text.strip():
        return False
    if (_LOOKS_NUMERIC.match(text) and not _VERSION_OR_ADDRESS.match(text)) or read_scalar(text) is not text:
        return False
    if text[:3] in ("---", "...") and text[3:4] in ("", " "):
        return False
    if ": " in text or " #" in text or text.endswith(":") or "\xa0" in text:
        return False
    return not (flow and (_PLAIN_IN_FLOW_FORBIDDEN.search(text) or text == "-"))


def write_scalar(value: Scalar, style: str | None = None, flow: bool = False) -> str:
    """The text of a scalar; a string in the wanted style (None for plain, ``'`` or ``"``) where it can be so."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _write_number(value)
    if style is None and can_be_plain(value, flow):
        return value
    if style == "'" and _SINGLE_LINE.match(value):
        return "'" + value.replace("'", "''") + "'"
    return _double_quoted(value)


def _write_number(value: int | float) -> str:
    text = repr(value)
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)


def _double_quoted(value: str) -> str:
    # JSON's escapes are YAML's, but for the characters beyond ASCII that YAML may not hold or reads as a line break.
    text = json.dumps(value, ensure_ascii=False)
    return '"' + "".join(c if _SINGLE_LINE.match(c) else f"\\u{ord(c):04x}" for c in text[1:-1]) + '"'


@dataclass(frozen=True)
class Layout:
    """How new lines are to look, taken from the lines around them.

    :param step: columns by which a mapping below a key is indented
    :param sequence_step: columns by which a sequence below a key is indented; 0 as kubeadm writes it
    :param dash: columns from a dash to what follows it
    :param quote: style of strings that need no quotes
    """

    step: int = 2
    sequence_step: int = 0
    dash: int = 2
    quote: str | None = None


def write_block(value: Any, column: int, layout: Layout) -> list[str]:
    """The lines of a mapping or sequence at a column; the first line comes without its indentation."""
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            lines.extend(_block_entry(key, item, layout))
    else:
        for item in value:
            lines.extend(_block_item(item, layout))
    return [line if number == 0 else " " * column + line for number, line in enumerate(lines)]


def _block_entry(key: Scalar, value: Any, layout: Layout) -> list[str]:
    """Lines relative to the column: the first is the key's, the others carry what indentation they have beyond it."""
    name = write_scalar(key)
    if not isinstance(value, (dict, list)):
        return [f"{name}: {write_scalar(value, layout.quote)}"]
    if not value:
        return [f"{name}: {'{}' if isinstance(value, dict) else '[]'}"]
    inner = layout.step if isinstance(value, dict) else layout.sequence_step
    lines = write_block(value, 0, layout)
    return [f"{name}:"] + [" " * inner + line for line in lines]


def _block_item(value: Any, layout: Layout) -> list[str]:
    dash = "-" + " " * (layout.dash - 1)
    if not isinstance(value, (dict, list)):
        return [dash + write_scalar(value, layout.quote)]
    if not value:
        return [dash + ("{}" if isinstance(value, dict) else "[]")]
    lines = write_block(value, 0, layout)
    return [dash + lines[0]] + [" " * layout.dash + line for line in lines[1:]]


def write_flow(value: Any, quote: str | None = None, key_quote: str | None = None) -> str:
    """One line of flow YAML, with strings and keys in the wanted quotes; with both ``"`` it is JSON."""
    if isinstance(value, dict):
        written = {write_scalar(key, key_quote, flow=True): write_flow(value[key], quote, key_quote) for key in value}
        return "{" + ", ".join(f"{key}: {item}" for key, item in written.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(write_flow(item, quote, key_quote) for item in value) + "]"
    return write_scalar(value, quote, flow=True)


def dump(value: Any) -> str:
    """A new YAML text, written as kubeadm writes its own: two columns, sequences not indented, quotes where needed."""
    if isinstance(value, (dict, list)) and value:
        return "\n".join(write_block(value, 0, Layout())) + "\n"
    return write_flow(value) + "\n"
