# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of YAML text that leave every character outside the edit as it was.

A file that is parsed and dumped again loses its comments, its order and its quoting: everything that its owner put
there for a reason. So nothing is dumped here. The text is parsed once for the *positions* of its nodes, an edit is a
few replaced character ranges, and the new text counts only if it parses to exactly the value that the edit meant.
Where this proof fails, :class:`HardeningError` is raised and the text stays as it was, so that a mistake in this file
or an unforeseen spelling can cost an edit, never a manifest.

Values are read as Kubernetes reads them (go-yaml by way of JSON), not as YAML 1.1 in full: dates and base-60 numbers
are strings. What is written is quoted whenever any YAML parser in use could take it for something other than a string.

Not edited, with a sentence that says so: several documents in one text, duplicate keys, keys that are no scalars, tags
other than ``!!str``, and whatever is reached through an anchor, alias or merge key.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

Scalar = Union[str, int, float, bool, None]
Path = Sequence[Union[str, int]]
# One replaced range of the text: start, end (exclusive), replacement.
Change = tuple[int, int, str]

# A ConfigMap cannot be larger; a static pod manifest has a hundredth of it.
MAX_CHARACTERS = 1024 * 1024
MAX_DEPTH = 60
# What aliases may expand to. Without a limit ten lines of aliases are a billion nodes.
MAX_NODES = 100_000

_KEEP = "Nothing was changed."
_NO_PROOF = (
    "is written in a way in which an edit could change more than is meant; write it plainly, one key or item a line"
)
_MISSING = object()

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_OCTAL = re.compile(r"[-+]?0o?[0-7][0-7_]*\Z")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F][0-9a-fA-F_]*\Z")
_BINARY = re.compile(r"[-+]?0b[01][01_]*\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")

# What some parser takes for a number, a date or a time: quoted when written, whatever we would read ourselves.
_LOOKS_NUMERIC = re.compile(r"[-+.]?[0-9][0-9_,:.xobXOBeE+\-a-fA-F]*(?:[TtZ ][0-9:.TtZ+\- ]*)?\Z")
_VERSION_OR_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){2,}\Z")
_PLAIN_FIRST = re.compile(r"[A-Za-z0-9_/.$(+^\\]|[-?:](?=[^\s,\[\]{}:])")
_PLAIN_IN_FLOW_FORBIDDEN = re.compile(r"[,\[\]{}:?#]")
_SINGLE_LINE = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*\\Z")
_BLANKS = re.compile(r" *")
_COMMA = re.compile(r"[ \t\r\n]*,")
_BLANK_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]|(?<![^ \t\r\n,\[\]{}])#[^\r\n]*)*")


@dataclass
class Node:
    """One value of the text, with where it stands.

    ``start`` and ``end`` are character offsets; ``end`` is where the content ends, without trailing comments and blank
    lines, for block collections too.
    """

    kind: str  # "scalar", "sequence", "mapping" or "alias"
    start: int
    end: int
    style: str | None = None  # scalars: None (plain), "'", '"', "|" or ">"
    flow: bool = False
    anchored: bool = False
    shared: bool = False  # an alias somewhere refers to this node
    value: Scalar = None
    entries: list[Entry] = field(default_factory=list)
    target: Node | None = None  # of an alias
    size: int = 1


@dataclass
class Entry:
    """An item of a sequence, or a key with its value. ``start`` is that of the dash, the key or the flow item."""

    start: int
    node: Node
    key: Node | None = None
    value_start: int = 0  # just behind the dash, or behind the colon of the key


def read_scalar(text: str) -> Scalar:
    """The value of a plain scalar, as Kubernetes' own parser reads it."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return _read_number(text)


def _read_number(text: str) -> str | int | float:
    digits = text.replace("_", "")
    try:
        if _DECIMAL.match(text):
            return int(digits)
        if _OCTAL.match(text):
            return int(digits.replace("o", ""), 8)
        if _HEXADECIMAL.match(text):
            return int(digits, 16)
        if _BINARY.match(text):
            return int(digits, 2)
    except ValueError:
        # Python refuses integers of more than some thousand digits.
        return text
    if _FLOAT.match(text):
        return float(text)
    if _SPECIAL_FLOAT.match(text):
        return float(text.replace(".", "", 1))
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's, but with tabs before a comment allowed, as libyaml and go-yaml (and so the kubelet) allow them."""

    def scan_to_next_token(self) -> None:
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            while self.peek() == " " or (self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)):
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0\r\n\x85\u2028\u2029":
                    self.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True


class _Composer:
    """Builds the tree of nodes from PyYAML's events: its own nodes say neither where a dash stands nor what an alias
    is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.loader = _Loader(text)
        self.anchors: dict[str, Node | None] = {}

    def document(self) -> Node:
        self._next(yaml.StreamStartEvent)
        if isinstance(self.loader.peek_event(), yaml.StreamEndEvent):
            raise HardeningError("is empty")
        self._next(yaml.DocumentStartEvent)
        root = self._node(self.loader.get_event(), 0)
        self._next(yaml.DocumentEndEvent)
        if not isinstance(self.loader.peek_event(), yaml.StreamEndEvent):
            raise HardeningError("holds several YAML documents, of which only one can be meant; split it")
        return root

    def _next(self, kind: type) -> Any:
        event = self.loader.get_event()
        if not isinstance(event, kind):
            raise HardeningError(f"is no YAML document that can be edited (a {type(event).__name__} was not expected)")
        return event

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise HardeningError(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor: str | None = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        node.anchored = anchor is not None or event.tag is not None
        if node.size > MAX_NODES:
            raise HardeningError(f"expands to more than {MAX_NODES} values by its aliases")
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        line = event.start_mark.line + 1
        if event.anchor not in self.anchors:
            raise HardeningError(f"is no YAML: line {line} refers to an anchor that does not exist")
        target = self.anchors[event.anchor]
        if target is None:
            raise HardeningError(f"is no YAML that can be used: the alias in line {line} refers to what contains it")
        target.shared = True
        return Node("alias", event.start_mark.index, event.end_mark.index, target=target, size=target.size)

    def _scalar(self, event: Any) -> Node:
        start, end, style = event.start_mark.index, event.end_mark.index, event.style or None
        _refuse_tag(event, ("!", "tag:yaml.org,2002:str"))
        if style is None and event.tag is None:
            value: Scalar = read_scalar(event.value)
        else:
            value = event.value
        if style in ("|", ">"):
            end = self._end_of_block_scalar(start, end)
        return Node("scalar", start, end, style=style, value=value)

    def _end_of_block_scalar(self, start: int, end: int) -> int:
        """Without the last line break, and without blank lines unless the scalar keeps them (``|+``)."""
        header = self.text[start : self.text.find("\n", start)]
        keeps = "+" in header.split("#")[0]
        body = self.text[start:end]
        return start + len(body[: -1 - body.endswith("\r\n")] if keeps and body.endswith("\n") else body.rstrip())

    def _sequence(self, event: Any, depth: int) -> Node:
        _refuse_tag(event, ("tag:yaml.org,2002:seq",))
        node = Node("sequence", event.start_mark.index, event.end_mark.index, flow=bool(event.flow_style))
        # The start of a block sequence is its first dash; an anchor before it moves the start, and is refused on edit.
        position = node.start
        while not self.loader.check_event(yaml.SequenceEndEvent):
            event = self.loader.get_event()
            if node.flow:
                item = self._node(event, depth + 1)
                node.entries.append(Entry(item.start, item, value_start=item.start))
            else:
                dash = self._dash(position, event.start_mark.index)
                item = self._node(event, depth + 1)
                node.entries.append(Entry(dash, item, value_start=dash + 1))
            node.size += item.size
            position = item.end
        last = self.loader.get_event()
        node.end = last.end_mark.index if node.flow else position
        return node

    def _starts_line(self, position: int) -> bool:
        return not self.text[self.text.rfind("\n", 0, position) + 1 : position].strip(" \ufeff")

    def _dash(self, after: int, before: int) -> int:
        """Only blanks and comments stand between the end of an item and the next dash."""
        match = _BLANK_AND_COMMENTS.match(self.text, after, before)
        return match.end() if match else after

    def _mapping(self, event: Any, depth: int) -> Node:
        _refuse_tag(event, ("tag:yaml.org,2002:map",))
        node = Node("mapping", event.start_mark.index, event.end_mark.index, flow=bool(event.flow_style))
        known = set()
        position = node.start
        while not self.loader.check_event(yaml.MappingEndEvent):
            event = self.loader.get_event()
            line = event.start_mark.line + 1
            key = self._node(event, depth + 1)
            if not node.flow and key.start != node.start and not self._starts_line(key.start):
                raise HardeningError(f"has a key in line {line} that does not begin its line; write it as 'key: value'")
            if key.kind != "scalar":
                raise HardeningError(f"has a key in line {line} that is no plain word, which cannot be edited")
            if key.value in known:
                raise HardeningError(
                    f"has the key {_shown(key.value)} twice (again in line {line}), and it is not clear which counts"
                )
            known.add(key.value)
            value = self._node(self.loader.get_event(), depth + 1)
            colon = self.text.find(":", key.end, value.start)
            node.entries.append(Entry(key.start, value, key, colon + 1 if colon >= 0 else key.end))
            node.size += 1 + value.size
            position = max(value.end, key.end)
        last = self.loader.get_event()
        node.end = last.end_mark.index if node.flow else position
        return node


def _refuse_tag(event: Any, allowed: Sequence[str]) -> None:
    if event.tag is not None and event.tag not in allowed:
        line = event.start_mark.line + 1
        raise HardeningError(f"uses a YAML tag in line {line}, which Kubernetes does not, and which cannot be edited")


def _shown(value: Scalar) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _value_of(node: Node) -> Any:
    """The value as Python data; what is aliased is expanded, merge keys are merged."""
    if node.target is not None:
        return _value_of(node.target)
    if node.kind == "scalar":
        return node.value
    if node.kind == "sequence":
        return [_value_of(entry.node) for entry in node.entries]
    result = {}
    merged: list[Any] = []
    for entry in node.entries:
        value = _value_of(entry.node)
        if entry.key is not None and not _is_merge(entry.key):
            result[entry.key.value] = value
        else:
            merged.extend(value if isinstance(value, list) else [value])
    for other in merged:
        if not isinstance(other, dict):
            raise HardeningError("has a merge key (<<) that does not name a mapping")
        for key, value in other.items():
            result.setdefault(key, value)
    return result


def _is_merge(key: Node) -> bool:
    return key.value == "<<" and key.style is None


def same_value(left: Any, right: Any) -> bool:
    """Equality that tells ``1`` from ``True`` and ``1.0`` and heeds the order of keys."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same_value(a, b) and same_value(left[a], right[b]) for a, b in zip(left, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(same_value(a, b) for a, b in zip(left, right))
    if isinstance(left, float):
        return repr(left) == repr(right)
    return bool(left == right)


# ---- writing scalars -------------------------------------------------------------------------------------------------


def can_be_plain(text: str, flow: bool = False) -> bool:
    """Whether every YAML parser in use reads the bare word as this very string.

    On the careful side: what is quoted without need is still right.
    """
    if not text or text in _TRUE or text in _FALSE or text in _NULL or text in ("=", "<<"):
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


# ---- the document ----------------------------------------------------------------------------------------------------


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
        self._root, self._value = self._parse(text)

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
            raise self._refusal(path, f"has the key {_shown(key)} already")
        if not 0 <= index <= len(node.entries):
            raise self._refusal(path, f"has {len(node.entries)} keys, so that there is no place {index}")
        if any(entry.key and _is_merge(entry.key) for entry in node.entries):
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
            raise self._refusal(path, f"has no key {_shown(key)}")
        expected = self.value
        del _container(expected, path)[key]
        self._apply(self._remove(chain, path, keys.index(key)), expected, path)

    # -- parsing and proof

    def _parse(self, text: str) -> tuple[Node, Any]:
        if len(text) > MAX_CHARACTERS:
            raise HardeningError(f"{self.source} has more than {MAX_CHARACTERS} characters. {_KEEP}")
        try:
            root = _Composer(text).document()
            return root, _value_of(root)
        except yaml.MarkedYAMLError as error:
            where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise HardeningError(f"{self.source} is no YAML: {where}{error.problem}. {_KEEP}") from error
        except yaml.YAMLError as error:
            raise HardeningError(f"{self.source} has a character that YAML does not allow. {_KEEP}") from error
        except (ValueError, OverflowError) as error:
            # PyYAML lets Python's own complaint through where an escape or a version directive has an absurd number.
            raise HardeningError(f"{self.source} is no YAML: a number in it cannot be read. {_KEEP}") from error
        except HardeningError as error:
            raise HardeningError(f"{self.source} {error}. {_KEEP}") from error

    def _apply(self, changes: Sequence[Change], expected: Any, path: Path) -> None:
        text = self._text
        for start, end, replacement in sorted(changes, reverse=True):
            text = text[:start] + replacement + text[end:]
        try:
            root, value = self._parse(text)
        except HardeningError as error:
            raise self._refusal(path, _NO_PROOF) from error
        if not same_value(value, expected):
            raise self._refusal(path, _NO_PROOF)
        self._text, self._root, self._value = text, root, value

    def _refusal(self, path: Path, reason: str) -> HardeningError:
        name = ".".join(str(step) for step in path) or "the document"
        return HardeningError(f"{self.source}: {name} {reason}. {_KEEP}")

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
                merged = node.kind == "mapping" and any(e.key and _is_merge(e.key) for e in node.entries)
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
        return next((e for e in node.entries if e.key and e.key.value == step and not _is_merge(e.key)), None)

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
