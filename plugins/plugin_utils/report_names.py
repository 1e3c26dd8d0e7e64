# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from hosts made fit to be read, on a page or a terminal: short lists of names, and nothing unseen."""

from __future__ import annotations

import json
import re
import typing as t

# Evidence longer than this is cut on the page; report.json has all of it.
EVIDENCE_LIMIT = 4000
# So much of its end stays: there it says by which list it was judged, or why nobody enforces it.
_EVIDENCE_END = 600
#: Hosts that are named where one sentence is about many.
_MOST_HOSTS = 6

# Controls but tab and line feed; what turns the direction of writing or has no width; halves of surrogate pairs, which
# stand for bytes that were no UTF-8 and which no file of UTF-8 can hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_DIGITS = re.compile(r"(\d+)")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def seen(value: t.Any) -> str:
    """Return a value as text in which every character can be seen: the others are written as \\x1b or \\u202e."""
    return _UNSEEN.sub(_escaped, "" if value is None else str(value).replace("\r\n", "\n"))


def evidence(value: t.Any) -> str:
    """Return evidence as lines of text: a list has one item a line, a mapping one key; what is
    more than EVIDENCE_LIMIT is left out before its end."""
    if isinstance(value, dict):
        lines = [f"{key}: {_compact(item)}" for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        lines = [_compact(item) for item in value]
    else:
        lines = [_compact(value)]
    text = seen("\n".join(lines))
    if len(text) <= EVIDENCE_LIMIT:
        return text
    more = f"({len(text) - EVIDENCE_LIMIT} more characters: see report.json)"
    return f"{text[: EVIDENCE_LIMIT - _EVIDENCE_END]}\n{more}\n{text[-_EVIDENCE_END:]}"


def _compact(value: t.Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts node-9 before node-10."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name) if part)


def ranges(numbers: t.Iterable[int]) -> str:
    """Return numbers as their runs, such as 0-3,7, for a script to read."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def host_list(names: t.Iterable[str]) -> str:
    """Return hosts' names in natural order; three or more in a row are written as an inventory does: w[001:120]."""
    parts: list[str] = []
    run: list[str] = []
    for name in [*sorted(set(names), key=natural), None]:
        if name is not None and run and _follows(run[-1], name):
            run.append(name)
            continue
        parts.extend(_run(run))
        run = [] if name is None else [name]
    return ", ".join(parts)


def few(names: t.Iterable[str]) -> str:
    """Return hosts' names, each once, of many only the first."""
    listed = list(dict.fromkeys(names))
    more = f" and {len(listed) - _MOST_HOSTS} more" if len(listed) > _MOST_HOSTS else ""
    return ", ".join(listed[:_MOST_HOSTS]) + more


def _counted(name: str) -> tuple[str, str, str] | None:
    """Return what stands before, in and after the last number in a name, or None."""
    match = re.search(r"(\d+)(\D*)$", name)
    return (name[: match.start()], match.group(1), match.group(2)) if match else None


def _follows(one: str, other: str) -> bool:
    first, second = _counted(one), _counted(other)
    if not first or not second or (first[0], first[2]) != (second[0], second[2]):
        return False
    padded = len(first[1]) == len(second[1]) or not second[1].startswith("0")
    return padded and int(second[1]) == int(first[1]) + 1


def _run(names: t.Sequence[str]) -> list[str]:
    first, last = (_counted(names[0]), _counted(names[-1])) if names else (None, None)
    if len(names) < 3 or not first or not last:
        return list(names)
    return [f"{first[0]}[{first[1]}:{last[1]}]{first[2]}"]
