# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of YAML text that leave every character outside the edit as it was.

A file that is parsed and dumped again loses its comments, its order and its quoting: everything that its owner put
there for a reason. So nothing is dumped here. The text is parsed once for the *positions* of its nodes, an edit is a
few replaced character ranges, and the new text counts only if it parses to exactly the value that the edit meant.
Where this proof fails, :class:`HardeningError` is raised and the text stays as it was, so that a mistake in this file
or an unforeseen spelling can cost an edit, never a manifest.

How values are read stands in :mod:`.yamlread`, how they are written in :mod:`.yamlwrite`. Not edited, with a sentence
that says so: what the first refuses, and whatever is reached through an anchor, alias or merge key.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any, Union

from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import (
    KEEP,
    Entry,
    Node,
    Scalar,
    is_merge,
    parse,
    same_value,
    shown,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlwrite import (
    Layout,
    can_be_plain,
    write_block,
    write_flow,
    write_scalar,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

Path = Sequence[Union[str, int]]
# One replaced range of the text: start, end (exclusive), replacement.
Change = tuple[int, int, str]

_NO_PROOF = (
    "is written in a way in which an edit could change more than is meant; write it plainly, one key or item a line"
)
_MISSING = object()
_BLANKS = re.compile(r" *")
_COMMA = re.compile(r"[ \t\r\n]*,")


class Document:
    """A YAML (or JSON) text with its value, changed by edits each of which is proven before it counts.

    :param text: the whole text; line ends and a byte order mark are kept as they are, so read files without newline
        translation
    :param source: what a sentence for the user calls the text, for example the path of the file
    :raises HardeningError: for what is no single YAML document that can be edited
    """

    def __init__(self, text: str, source: str = "the YAML text") -> None:
        self.source = source
        self._text = text
        self._root, self._value = parse(text, self.source)

    @property
    def text(self) -> str:
        return self._text

    @property
    def value(self) -> Any:
        """The document as Python data: a copy, with aliases expanded."""
        return copy.deepcopy(self._value)

    def get(self, path: Path, default: Any = None) -> Any:
        """A copy of the value at a path of keys and indices, or the default where there is none."""
        return copy.deepcopy(self._peek(path, default))

    def has(self, path: Path) -> bool:
        return self._peek(path, _MISSING) is not _MISSING

    def _peek(self, path: Path, default: Any) -> Any:
        value = self._value
        for step in path:
            inside = 0 <= step < len(value) if isinstance(value, list) and isinstance(step, int) else False
            if not inside and not (isinstance(value, dict) and step in value):
                return default
            value = value[step]
        return value

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Edits that belong together: where one of them cannot be made, none is."""
        before = self._text, self._root, self._value
        try:
            yield
        except BaseException:
            self._text, self._root, self._value = before
            raise

    # -- edits

    def replace(self, path: Path, value: Scalar) -> None:
        """Gives a scalar another value; quoting (where the new value can be written in it) and comments stay."""
        chain = self._find(path)
        node = chain[-1]
        if node.kind != "scalar":
            raise self._refusal(path, "is a list or a mapping, not a single value")
        if same_value(node.value, value):
            return
        self._refuse_anchored(node, path)
        expected = self._with(path, value)
        flow = any(one.flow for one in chain[:-1])
        style = node.style if node.style in ("'", '"') else None
        self._apply([self._exchange(node, write_scalar(value, style, flow))], expected, path)

    def insert_item(self, path: Path, index: int, value: Any) -> None:
        """Puts an item before the one at the index, or at the end where the index is the length of the list.

        An empty (``[]``) or missing value (``key:``) becomes a list. The item looks as its neighbours do.
        """
        chain = self._find(path)
        node = chain[-1]
        empty = node.kind == "scalar" and node.value is None
        if node.kind != "sequence" and not empty:
            raise self._refusal(path, "is not a list")
        if not 0 <= index <= len(node.entries):
            raise self._refusal(path, f"has {len(node.entries)} items, so that there is no place {index}")
        expected = self._with(path, []) if empty else self.value
        _container(expected, path).insert(index, value)
        self._refuse_anchored(node, path)
        if not node.entries:
            changes = self._fill(chain, path, [value])
        elif node.flow:
            changes = self._insert_in_flow(node.entries, index, self._flow_text(chain, value))
        else:
            layout = self._layout(chain)
            column = self._column(node.entries[0].start)
            changes = self._insert_lines(node, index, write_block([value], column, layout))
        self._apply(changes, expected, path)

    def append_item(self, path: Path, value: Any) -> None:
        """Puts an item at the end of a list."""
        node = self._find(path)[-1]
        self.insert_item(path, len(node.entries) if node.kind == "sequence" else 0, value)

    def remove_item(self, path: Path, index: int) -> None:
        """Takes an item away; comments on lines of their own stay. The last item leaves ``[]``."""
        chain = self._find(path)
        node = chain[-1]
        if node.kind != "sequence" or not 0 <= index < len(node.entries):
            raise self._refusal(path, f"has no item {index}")
        expected = self.value
        del _container(expected, path)[index]
        self._apply(self._remove(chain, path, index), expected, path)

    def insert_entry(self, path: Path, index: int, key: str, value: Any) -> None:
        """Puts a key with its value before the entry at the index; as :meth:`insert_item` does for lists."""
        chain = self._find(path)
        node = chain[-1]
        empty = node.kind == "scalar" and node.value is None
        if node.kind != "mapping" and not empty:
            raise self._refusal(path, "is not a mapping")
        if key in [entry.key.value for entry in node.entries if entry.key]:
            raise self._refusal(path, f"has the key {shown(key)} already")
        if not 0 <= index <= len(node.entries):
            raise self._refusal(path, f"has {len(node.entries)} keys, so that there is no place {index}")
        if any(entry.key and is_merge(entry.key) for entry in node.entries):
            raise self._refusal(path, "takes keys from another mapping by a merge key (<<)")
        expected = self._with(path, {}) if empty else self.value
        mapping = _container(expected, path)
        entries = list(mapping.items())
        mapping.clear()
        mapping.update([*entries[:index], (key, value), *entries[index:]])
        self._refuse_anchored(node, path)
        if not node.entries:
            changes = self._fill(chain, path, {key: value})
        elif node.flow:
            changes = self._insert_in_flow(node.entries, index, self._flow_text(chain, {key: value})[1:-1])
        else:
            layout = self._layout(chain)
            column = self._column(node.entries[0].start)
            changes = self._insert_lines(node, index, write_block({key: value}, column, layout))
        self._apply(changes, expected, path)

    def append_entry(self, path: Path, key: str, value: Any) -> None:
        """Puts a key with its value at the end of a mapping."""
        node = self._find(path)[-1]
        self.insert_entry(path, len(node.entries) if node.kind == "mapping" else 0, key, value)

    def add_entry(self, path: Path, key: str, value: Any) -> None:
        """Puts a key with its value in its place where the keys are sorted, as Kubernetes writes them, else at the
        end."""
        keys = [str(one.key.value) for one in self._find(path)[-1].entries if one.key]
        index = len(keys)
        if len(keys) > 1 and keys == sorted(keys):
            index = next((place for place, one in enumerate(keys) if one > key), index)
        self.insert_entry(path, index, key, value)

    def remove_entry(self, path: Path, key: str) -> None:
        """Takes a key with its value away; comments on lines of their own stay. The last one leaves ``{}``."""
        chain = self._find(path)
        node = chain[-1]
        keys = [entry.key.value for entry in node.entries if entry.key]
        if node.kind != "mapping" or key not in keys:
            raise self._refusal(path, f"has no key {shown(key)}")
        expected = self.value
        del _container(expected, path)[key]
        self._apply(self._remove(chain, path, keys.index(key)), expected, path)

    # -- parsing and proof

    def _apply(self, changes: Sequence[Change], expected: Any, path: Path) -> None:
        text = self._text
        for start, end, replacement in sorted(changes, reverse=True):
            text = text[:start] + replacement + text[end:]
        try:
            root, value = parse(text, self.source)
        except HardeningError as error:
            raise self._refusal(path, _NO_PROOF) from error
        if not same_value(value, expected):
            raise self._refusal(path, _NO_PROOF)
        self._text, self._root, self._value = text, root, value

    def _refusal(self, path: Path, reason: str) -> HardeningError:
        name = ".".join(str(step) for step in path) or "the document"
        return HardeningError("KH113", f"{self.source}: {name} {reason}. {KEEP}")

    def _refuse_anchored(self, node: Node, path: Path) -> None:
        if node.anchored:
            raise self._refusal(path, "carries a YAML anchor or tag, which cannot be edited; write it out")

    def _find(self, path: Path) -> list[Node]:
        """The nodes from the root to the path, none of which may be shared with another place of the document."""
        chain = [self._root]
        for number, step in enumerate(path):
            node = chain[-1]
            entry = self._entry(node, step)
            if entry is None:
                merged = node.kind == "mapping" and any(e.key and is_merge(e.key) for e in node.entries)
                if merged and self.has(path[: number + 1]):
                    raise self._refusal(path[: number + 1], "comes from another mapping by a merge key (<<)")
                raise self._refusal(path[: number + 1], "does not exist")
            chain.append(entry.node)
        for number, node in enumerate(chain):
            if node.kind == "alias" or node.shared:
                raise self._refusal(
                    path[:number], "is shared by a YAML anchor and alias, so that an edit would change two places"
                )
        return chain

    @staticmethod
    def _entry(node: Node, step: str | int) -> Entry | None:
        if isinstance(step, int):
            return node.entries[step] if node.kind == "sequence" and 0 <= step < len(node.entries) else None
        return next((e for e in node.entries if e.key and e.key.value == step and not is_merge(e.key)), None)

    def _with(self, path: Path, value: Any) -> Any:
        if not path:
            return value
        result = self.value
        _container(result, path[:-1])[path[-1]] = value
        return result

    # -- positions

    @property
    def _newline(self) -> str:
        first = self._text.find("\n")
        return "\r\n" if first > 0 and self._text[first - 1] == "\r" else "\n"

    def _line_start(self, position: int) -> int:
        start = self._text.rfind("\n", 0, position) + 1
        # A byte order mark has no column.
        return 1 if start == 0 and self._text.startswith("\ufeff") else start

    def _line_end(self, position: int) -> int:
        """Where the line break of this line stands, or the end of the text."""
        end = self._text.find("\n", position)
        if end < 0:
            return len(self._text)
        return end - 1 if end > position and self._text[end - 1] == "\r" else end

    def _after_line(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end + 1

    def _column(self, position: int) -> int:
        return position - self._line_start(position)

    def _starts_line(self, position: int) -> bool:
        return not self._text[self._line_start(position) : position].strip(" ")

    # -- how the surroundings look

    def _layout(self, chain: Sequence[Node]) -> Layout:
        """From the nearest examples: the collection itself, then its parents with all they hold."""
        default = Layout()
        step: int | None = None
        sequence_step: int | None = None
        dash: int | None = None
        for node in reversed(chain):
            for kind, columns in self._examples(node):
                if kind == "mapping" and step is None:
                    step = columns
                elif kind == "sequence" and sequence_step is None:
                    sequence_step = columns
                elif kind == "dash" and dash is None:
                    dash = columns
            if None not in (step, sequence_step, dash):
                break
        return Layout(
            default.step if step is None else step,
            default.sequence_step if sequence_step is None else sequence_step,
            default.dash if dash is None else dash,
            self._quote(chain[-1]),
        )

    def _examples(self, node: Node) -> Iterator[tuple[str, int]]:
        if node.flow or node.kind not in ("sequence", "mapping"):
            return
        for entry in node.entries:
            inner = entry.node
            if not inner.flow and inner.entries and not inner.anchored:
                first = inner.entries[0].start
                if entry.key is None:
                    if not self._starts_line(first):
                        yield "dash", first - entry.start
                elif self._starts_line(first):
                    yield inner.kind, self._column(first) - self._column(entry.start)
            elif entry.key is None and inner.kind == "scalar" and inner.start > entry.start + 1:
                yield "dash", inner.start - entry.start
        for entry in node.entries:
            yield from self._examples(entry.node)

    def _quote(self, node: Node) -> str | None:
        """The quotes of the last string in this collection that could do without."""
        for entry in reversed(node.entries):
            one = entry.node
            if one.kind == "scalar" and isinstance(one.value, str) and can_be_plain(one.value, node.flow):
                return one.style if one.style in ("'", '"') else None
        return None

    @staticmethod
    def _json_style(chain: Sequence[Node]) -> bool:
        """Whether flow text around here is JSON: the keys nearest to it are in double quotes."""
        keys = (entry.key for node in reversed(chain) if node.flow for entry in node.entries if entry.key)
        return next((key.style == '"' for key in keys), False)

    # -- edits as changes of the text

    def _insert_lines(self, node: Node, index: int, lines: list[str]) -> list[Change]:
        newline = self._newline
        column = self._column(node.entries[0].start)
        if index == 0:
            start = node.entries[0].start
            return [(start, start, newline.join([*lines, " " * column]))]
        position = self._line_end(node.entries[index - 1].node.end)
        position = max(position, self._line_end(node.entries[index - 1].value_start))
        return [(position, position, newline + newline.join([" " * column + lines[0], *lines[1:]]))]

    def _exchange(self, node: Node, written: str) -> Change:
        """Another text for a scalar; where nothing stands so far, a blank before it, and before a comment behind it."""
        if node.start < node.end:
            return (node.start, node.end, written)
        behind = _BLANKS.match(self._text, node.start)
        end = behind.end() if behind else node.start
        if end > node.start and self._text[end : end + 1] != "#":
            return (node.start + 1, node.start + 1, written)
        return (node.start, node.start, " " + written)

    def _fill(self, chain: Sequence[Node], path: Path, content: Any) -> list[Change]:
        """Content for a collection that is empty so far: ``[]``, ``{}`` or nothing at all."""
        node = chain[-1]
        if any(one.flow for one in chain[:-1]):
            written = self._flow_text(chain, content)
            if node.kind == "scalar":
                return [self._exchange(node, written)]
            return [(node.start + 1, node.start + 1, written[1:-1])]
        newline = self._newline
        layout = self._layout(chain)
        if not path:
            return [(node.start, node.end, newline.join(write_block(content, self._column(node.start), layout)))]
        entry = _entry_of(chain)
        if entry.key is None:
            blanks = " " * (layout.dash - 1)
            column = self._column(entry.start) + layout.dash
            written = blanks + newline.join(write_block(content, column, layout))
            return [(entry.value_start, max(node.end, entry.value_start), written)]
        step = layout.step if isinstance(content, dict) else layout.sequence_step
        column = self._column(entry.start) + step
        lines = write_block(content, column, layout)
        end = self._line_end(node.end)
        written = newline + newline.join([" " * column + lines[0], *lines[1:]])
        return [(entry.value_start, node.end, ""), (end, end, written)]

    def _flow_text(self, chain: Sequence[Node], value: Any) -> str:
        if self._json_style(chain):
            return write_flow(value, '"', '"')
        return write_flow(value, self._quote(chain[-1]))

    def _insert_in_flow(self, entries: Sequence[Entry], index: int, written: str) -> list[Change]:
        separator = self._separator(entries)
        if index < len(entries):
            start = entries[index].start
            return [(start, start, written + separator)]
        end = max(entries[-1].node.end, entries[-1].value_start)
        return [(end, end, separator + written)]

    def _separator(self, entries: Sequence[Entry]) -> str:
        """What stands between two entries of a flow collection."""
        if len(entries) > 1:
            between = self._text[entries[0].node.end : entries[1].start]
            if re.match(r",[ \t\r\n]*\Z", between):
                return between
        start = entries[0].start
        if self._starts_line(start) and self._line_start(start) > 0:
            return "," + self._newline + " " * self._column(start)
        return ", "

    def _remove(self, chain: Sequence[Node], path: Path, index: int) -> list[Change]:
        node = chain[-1]
        entry = node.entries[index]
        self._refuse_anchored(node, path)
        if node.flow:
            return [self._remove_from_flow(node, index, path)]
        end = max(entry.node.end, entry.value_start)
        if len(node.entries) == 1:
            return self._empty(chain, path, entry.start, end)
        if self._starts_line(entry.start):
            return [self._remove_lines(entry.start, end)]
        # The first entry stands behind a dash: the second one takes its place, unless comments stand between.
        following = node.entries[index + 1].start
        if not self._text[self._line_end(end) : following].strip():
            return [(entry.start, following, "")]
        start = len(self._text[: entry.start].rstrip(" "))
        return [(start, self._line_end(end), "")]

    def _remove_lines(self, start: int, end: int) -> Change:
        """Whole lines; at the end of a text without a final line break, the break before them goes."""
        first, after = self._line_start(start), self._after_line(end)
        if after == len(self._text) and not self._text.endswith("\n") and first > 0:
            previous = first - 1
            return (previous - (self._text[previous - 1 : previous] == "\r"), after, "")
        return (first, after, "")

    def _empty(self, chain: Sequence[Node], path: Path, start: int, end: int) -> list[Change]:
        """The last entry of a block collection goes: the collection is ``[]`` or ``{}`` from then on."""
        written = "{}" if chain[-1].kind == "mapping" else "[]"
        if not path or not self._starts_line(start):
            return [(start, end, written)]
        parent = _entry_of(chain)
        return [(parent.value_start, parent.value_start, " " + written), self._remove_lines(start, end)]

    def _remove_from_flow(self, node: Node, index: int, path: Path) -> Change:
        entries = node.entries
        end = max(entries[index].node.end, entries[index].value_start)
        if index + 1 < len(entries):
            start, end, gap = entries[index].start, entries[index + 1].start, (end, entries[index + 1].start)
        elif index > 0:
            start = max(entries[index - 1].node.end, entries[index - 1].value_start)
            gap = (start, entries[index].start)
        else:
            comma = _COMMA.match(self._text, end)
            start, end, gap = entries[index].start, comma.end() if comma else end, (end, end)
        if "#" in self._text[slice(*gap)]:
            raise self._refusal(path, "has a comment between its items that would be lost")
        return (start, end, "")


def _entry_of(chain: Sequence[Node]) -> Entry:
    """The entry of its parent that holds the last node of a chain."""
    return next(entry for entry in chain[-2].entries if entry.node is chain[-1])


def _container(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value
