# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values written as YAML in every style in which people write it, for the tests of the editor."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

# Words that may stand without quotes, in flow context too.
PLAIN = (
    "kube-apiserver",
    "--profiling=false",
    "/etc/kubernetes/pki",
    "a",
    "x.y_z",
    "--v=2",
    "RuntimeDefault",
    "v1.37.1",
)
# Words that may stand without quotes in block context only.
PLAIN_IN_BLOCK = ("a b", "https://192.0.2.1:2379", "A=true,B=false", "it's", 'say "no"', "a#b", "-x", "::1", "1.37.1")
# Words that need quotes.
QUOTED = (
    "",
    "true",
    "90",
    "0x1f",
    "1e3",
    "null",
    "~",
    "y",
    "no",
    "a: b",
    "a #b",
    " a",
    "*",
    "&a",
    "- a",
    "{",
    "# c",
    "1:30",
)
_LITERAL = "two\nlines\n"
STRANGE = ("\u00fc\u4e16", "\U0001f600", "tab\there", _LITERAL, "\x07", "back\\slash", "\u2028", "'\"", "\x85")

strings = st.sampled_from([*PLAIN, *PLAIN_IN_BLOCK, *QUOTED, *STRANGE])
scalars = st.one_of(strings, st.sampled_from(PLAIN), st.integers(-1000, 1000), st.booleans(), st.none())
keys = st.sampled_from(["a", "b", "name", "command", "args", "hostPath", "volumes", "a/b.c", "true", "1", "with space"])


def _collections(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(keys, children, max_size=4),
        st.lists(st.sampled_from(PLAIN), min_size=1, max_size=6),
    )


values = st.recursive(scalars, _collections, max_leaves=14)
documents = _collections(values)


@dataclass
class Style:
    """How one document is written; what is not fixed here is drawn anew for each node."""

    step: int
    sequence_step: int
    dash: int
    newline: str
    final_newline: bool
    header: str
    comments: float
    flow: float
    blanks: float


def any_style(rng: random.Random, flow: float | None = None) -> Style:
    return Style(
        step=rng.choice((2, 2, 4, 1)),
        sequence_step=rng.choice((0, 0, 2, 4)),
        dash=rng.choice((2, 2, 2, 4)),
        newline=rng.choice(("\n", "\n", "\r\n")),
        final_newline=rng.random() < 0.8,
        header=rng.choice(("", "", "---\n", "# a comment\n", "%YAML 1.1\n---\n", "\ufeff", "\n\n")),
        comments=rng.choice((0, 0, 0.3)),
        flow=rng.choice((0, 0, 0.3)) if flow is None else flow,
        blanks=rng.choice((0, 0, 0.2)),
    )


def write(value: Any, rng: random.Random, style: Style | None = None) -> str:
    """The value as a YAML document in a style, at random where none is given."""
    style = style or any_style(rng)
    lines = _block(value, rng, style)
    text = style.header + "\n".join(lines)
    # Without it, a literal scalar at the end would have another value: its last line break is the text's.
    if style.final_newline or lines[-1].strip() == "" or _ends_literal(lines[-1]):
        text += "\n"
    return text.replace("\n", style.newline)


def _block(value: Any, rng: random.Random, style: Style) -> list[str]:
    lines: list[str] = []
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        lines.extend(_noise(rng, style, lines[-1]) if lines else [])
        lines.extend(_entry(key, item, rng, style))
    return lines or [_flow(value, rng)]


def _ends_literal(line: str) -> bool:
    return line.strip() == _LITERAL.splitlines()[-1]


def _noise(rng: random.Random, style: Style, above: str) -> list[str]:
    lines = []
    if rng.random() < style.blanks:
        lines.append(rng.choice(("", "  ")))
    if rng.random() < style.comments:
        # Below a literal scalar, what is indented as deep belongs to it.
        indents = ("",) if _ends_literal(above) else ("", " ", "    ")
        lines.append(rng.choice(indents) + rng.choice(("# - a: b", "#x: [", "# it's")))
    return lines


def _comment(rng: random.Random, style: Style) -> str:
    return rng.choice((" # note", "  #- x", " \t# y: z")) if rng.random() < style.comments else ""


def _entry(key: str | None, value: Any, rng: random.Random, style: Style) -> list[str]:
    head = "-" if key is None else _key(key, rng) + ":"
    if isinstance(value, (dict, list)) and value and rng.random() >= style.flow:
        inner = _block(value, rng, style)
        if key is None and rng.random() < 0.9:
            indent = " " * style.dash
            return [head + indent[1:] + inner[0], *(indent + line if line.strip() else line for line in inner[1:])]
        if key is None:
            indent = " " * style.dash
        else:
            indent = " " * (style.step if isinstance(value, dict) else style.sequence_step)
        comment = _comment(rng, style)
        # Behind a bare dash a tab is no blank for any parser.
        head += comment.replace("\t", " ") if key is None else comment
        return [head, *(indent + line if line.strip() else line for line in inner)]
    if isinstance(value, (dict, list)):
        return [f"{head} {_flow(value, rng)}{_comment(rng, style)}"]
    if isinstance(value, str) and "\n" in value and rng.random() < 0.7 and value == _LITERAL:
        return [f"{head} |", *(" " * max(style.step, 2) + line for line in value.splitlines())]
    written = _scalar(value, rng, flow=False)
    if not written:
        return [head + _comment(rng, style).replace("\t", " ")]
    return [f"{head} {written}{_comment(rng, style)}"]


def _key(key: str, rng: random.Random) -> str:
    if key in ("true", "1"):
        return rng.choice((f'"{key}"', f"'{key}'"))
    return rng.choice((key, key, key, f'"{key}"', f"'{key}'"))


def _scalar(value: Any, rng: random.Random, flow: bool) -> str:
    if value is None:
        return rng.choice(("null", "~") if flow else ("null", "~", ""))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    choices = [json.dumps(value, ensure_ascii=value in ("\u2028", "\x85"))]
    if value in STRANGE[:2]:
        choices.append("'" + value + "'")
    if value not in STRANGE:
        choices.append("'" + value.replace("'", "''") + "'")
    if value in PLAIN or (value in PLAIN_IN_BLOCK and not flow):
        choices += [value] * 4
    return rng.choice(choices)


def _flow(value: Any, rng: random.Random) -> str:
    spread = rng.choice((", ", ", ", ",", ",  "))
    if isinstance(value, dict):
        inner = spread.join(f"{_key(key, rng)}: {_flow(item, rng)}" for key, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + spread.join(_flow(item, rng) for item in value) + "]"
    return _scalar(value, rng, flow=True)
