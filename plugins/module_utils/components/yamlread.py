# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions and values of YAML text, for the editor: every node with where it stands.

Values are read as Kubernetes reads them (go-yaml by way of JSON), not as YAML 1.1 in full: dates and base-60 numbers
are strings.

Refused, with a sentence that says so: several documents in one text, duplicate keys, keys that are no scalars, and tags
other than ``!!str``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

Scalar = Union[str, int, float, bool, None]

# A ConfigMap cannot be larger; a static pod manifest has a hundredth of it.
MAX_CHARACTERS = 1024 * 1024
MAX_DEPTH = 60
# What aliases may expand to. Without a limit ten lines of aliases are a billion nodes.
MAX_NODES = 100_000

KEEP = "Nothing was changed; correct it, and run again."

TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
NULL = {"", "~", "null", "Null", "NULL"}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_OCTAL = re.compile(r"[-+]?0o?[0-7][0-7_]*\Z")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F][0-9a-fA-F_]*\Z")
_BINARY = re.compile(r"[-+]?0b[01][01_]*\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
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
    if text in NULL:
        return None
    if text in TRUE:
        return True
    if text in FALSE:
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
            raise HardeningError("KH113", "is empty")
        self._next(yaml.DocumentStartEvent)
        root = self._node(self.loader.get_event(), 0)
        self._next(yaml.DocumentEndEvent)
        if not isinstance(self.loader.peek_event(), yaml.StreamEndEvent):
            raise HardeningError("KH113", "holds several YAML documents, of which only one can be meant; split it")
        return root

    def _next(self, kind: type) -> Any:
        event = self.loader.get_event()
        if not isinstance(event, kind):
            raise HardeningError(
                "KH113", f"is no YAML document that can be edited (a {type(event).__name__} was not expected)"
            )
        return event

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise HardeningError("KH113", f"is nested deeper than {MAX_DEPTH} levels")
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
            raise HardeningError("KH113", f"expands to more than {MAX_NODES} values by its aliases")
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        line = event.start_mark.line + 1
        if event.anchor not in self.anchors:
            raise HardeningError("KH113", f"is no YAML: line {line} refers to an anchor that does not exist")
        target = self.anchors[event.anchor]
        if target is None:
            raise HardeningError(
                "KH113", f"is no YAML that can be used: the alias in line {line} refers to what contains it"
            )
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
                raise HardeningError(
                    "KH113", f"has a key in line {line} that does not begin its line; write it as 'key: value'"
                )
            if key.kind != "scalar":
                raise HardeningError("KH113", f"has a key in line {line} that is no plain word, which cannot be edited")
            if key.value in known:
                raise HardeningError(
                    "KH113",
                    f"has the key {shown(key.value)} twice (again in line {line}), and it is not clear which counts",
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
        raise HardeningError(
            "KH113", f"uses a YAML tag in line {line}, which Kubernetes does not, and which cannot be edited"
        )


def shown(value: Any, limit: int = 60) -> str:
    """A value for a sentence, cut where it is long."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def value_of(node: Node) -> Any:
    """The value as Python data; what is aliased is expanded, merge keys are merged."""
    if node.target is not None:
        return value_of(node.target)
    if node.kind == "scalar":
        return node.value
    if node.kind == "sequence":
        return [value_of(entry.node) for entry in node.entries]
    result = {}
    merged: list[Any] = []
    for entry in node.entries:
        value = value_of(entry.node)
        if entry.key is not None and not is_merge(entry.key):
            result[entry.key.value] = value
        else:
            merged.extend(value if isinstance(value, list) else [value])
    for other in merged:
        if not isinstance(other, dict):
            raise HardeningError("KH113", "has a merge key (<<) that does not name a mapping")
        for key, value in other.items():
            result.setdefault(key, value)
    return result


def is_merge(key: Node) -> bool:
    """Whether a key is YAML's merge key."""
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


def parse(text: str, source: str) -> tuple[Node, Any]:
    """The nodes and the value of a text.

    :param source: what a sentence for the user calls the text
    :raises HardeningError: for what is no single YAML document that can be edited
    """
    if len(text) > MAX_CHARACTERS:
        raise HardeningError("KH113", f"{source} has more than {MAX_CHARACTERS} characters. {KEEP}")
    try:
        root = _Composer(text).document()
        return root, value_of(root)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise HardeningError("KH113", f"{source} is no YAML: {where}{shown(error.problem, 160)}. {KEEP}") from error
    except yaml.YAMLError as error:
        raise HardeningError("KH113", f"{source} has a character that YAML does not allow. {KEEP}") from error
    except (ValueError, OverflowError) as error:
        # PyYAML lets Python's own complaint through where an escape or a version directive has an absurd number.
        raise HardeningError("KH113", f"{source} is no YAML: a number in it cannot be read. {KEEP}") from error
    except HardeningError as error:
        raise HardeningError("KH113", f"{source} {error}. {KEEP}") from error
