# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs for parsers: real files that are damaged, and the same documents with other values in them."""

from __future__ import annotations

import json
import random
import typing as t

import yaml

from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles

# No file of a host that is read as configuration is larger; a repeated piece grows to this at most.
_LARGEST = 20_000
_BYTES = (b"\0", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n", b"\t", b"\x85", b"\xe2\x80\xa8")
#: What makes YAML of another sort: quotes, anchors, tags, merge keys, and words that have a meaning.
YAML_WORDS = (
    *"-:?,[]{}#&*!|>'\"%@`~=",
    *("---\n", "...\n", "- ", ": ", "{}", "[]", "null", "true", "0x", "1e9", "1:30", ".inf", ".nan", "2026-99-99"),
    *("&a ", "*a", "&a [*a]", "<<: *a", "<<: ", "!!str ", "!!int ", "!!bool ", "!!float ", "!!null ", "!!set ", "? "),
    *("!!timestamp ", "!!binary ", "!!omap ", "!!python/object:a.b ", "%YAML 9.9\n---\n", "|+\n", ">-\n", "'", '"\\u'),
    *("9" * 5000, "[" * 3000, "{a: " * 500, "- " * 2000),
)
#: What a field is when it is not what it should be.
ODD: tuple[t.Any, ...] = (
    *(None, True, False, 0, -1, 10**30, 1.5, float("inf"), "", "x", "0", "-", "a=b", "2026-99-99", "$(A)", "/", "::1"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"name": None}, {"name": ["x"]}, ["x", 1, None], "\u2028", "a\nb"),
)
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)
_MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 10)}]}}\n" for before, name in zip("abcdefgh", "bcdefghi")
)
#: Texts that hang PyYAML, fill the memory or raise what is no YAMLError; put before a document, and in a value of it.
EVIL = (_BOMB, _MERGES, "a: &a {b: *a}\n", "a: !!timestamp x\n", "a: !!bool x\n", "a: !!int ''\n", "? {a: 1}\n: 2\n")


class Mutator:
    """Makes inputs of a corpus, the same ones for the same seed.

    Args:
        seed: Of the random numbers.
        words: Pieces that mean something to the parser.
        documents: Values of structured files, whose fields are exchanged; a part of the inputs is made of these.
    """

    def __init__(self, seed: str, words: t.Sequence[str] = (), documents: t.Sequence[t.Any] = ()) -> None:
        self._random = random.Random(seed)
        self._words = [word.encode() for word in words] + list(_BYTES)
        self._documents = documents

    def choose(self, corpus: t.Sequence[bytes]) -> bytes:
        """One more input."""
        if self._documents and self._random.random() < 0.5:
            return self._written()
        # What was found last leads on.
        data = self._random.choice(corpus[-8:] if self._random.random() < 0.3 else corpus)
        for _time in range(self._random.choice((1, 1, 2, 3, 6))):
            data = self._random.choice(_MUTATIONS)(self, data, corpus)
        return data[:_LARGEST]

    # Of bytes

    def _place(self, data: bytes) -> int:
        return self._random.randint(0, len(data))

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._random.choice((1, 2, 4, 16, 64, 256)))

    def _insert(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        place = self._place(data)
        return data[:place] + self._random.choice(self._words) + data[place:]

    def _flip(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        place = self._place(data)
        return data[:place] + bytes([self._random.randrange(256)]) + data[place + 1 :]

    def _delete(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _replace(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._random.choice(self._words) + data[end:]

    def _repeat(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        start, end = self._slice(data)
        return data[:end] + data[start:end] * self._random.choice((1, 2, 10, 100)) + data[end:]

    def _truncate(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        return data[: self._place(data)]

    def _splice(self, data: bytes, corpus: t.Sequence[bytes]) -> bytes:
        other = self._random.choice(corpus)
        start, end = self._slice(other)
        place = self._place(data)
        return data[:place] + self._random.choice((other[start:end], other[start:])) + data[place:]

    def _move_lines(self, data: bytes, _corpus: t.Sequence[bytes]) -> bytes:
        lines = data.splitlines(keepends=True)
        if len(lines) < 2:
            return data + data
        line = lines.pop(self._random.randrange(len(lines)))
        lines.insert(self._random.randint(0, len(lines)), self._random.choice((line, b" " + line, line.strip())))
        return b"".join(lines)

    # Of values

    def _written(self) -> bytes:
        value = self._random.choice(self._documents)
        for _time in range(self._random.choice((1, 1, 1, 2, 4))):
            value = self._exchanged(value)
        kind = self._random.random()
        if kind < 0.4:
            text = json.dumps(value, ensure_ascii=kind < 0.2)
        elif kind < 0.9 and isinstance(value, (dict, list)):
            text = styles.write(value, self._random)
        else:
            text = str(yaml.safe_dump(value))
        if self._random.random() < 0.02:
            text = self._random.choice(EVIL) + text
        return text.encode("utf-8", "surrogatepass")

    def _exchanged(self, value: t.Any) -> t.Any:
        """The value with one thing in it exchanged, left out, added or doubled."""
        if isinstance(value, dict) and value and self._random.random() < 0.75:
            key = self._random.choice(list(value))
            kind = self._random.random()
            if kind < 0.1:
                return {name: item for name, item in value.items() if name != key}
            if kind < 0.15:
                return {**value, self._word(): self._odd()}
            return {**value, key: self._exchanged(value[key])}
        if isinstance(value, list) and value and self._random.random() < 0.75:
            place = self._random.randrange(len(value))
            kind = self._random.random()
            if kind < 0.1:
                return value[:place] + value[place + 1 :]
            if kind < 0.25:
                return [*value[:place], self._random.choice((self._odd(), value[place])), *value[place:]]
            return [*value[:place], self._exchanged(value[place]), *value[place + 1 :]]
        return self._odd()

    def _odd(self) -> t.Any:
        return self._random.choice((self._random.choice(ODD), self._random.choice(ODD), self._word()))

    def _word(self) -> str:
        return self._random.choice(self._words).decode("utf-8", "replace")


_MUTATIONS: tuple[t.Callable[[Mutator, bytes, t.Sequence[bytes]], bytes], ...] = (
    Mutator._insert,
    Mutator._insert,
    Mutator._flip,
    Mutator._delete,
    Mutator._replace,
    Mutator._repeat,
    Mutator._truncate,
    Mutator._splice,
    Mutator._move_lines,
)
