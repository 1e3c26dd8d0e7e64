# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML of a host as data, in the one way in which no text of it can hang a run, fill the memory or end in a traceback.

PyYAML alone lets all three happen: ten lines of aliases or merge keys are a billion values, an anchor may hold itself,
a tag that its value does not fit (``!!bool x``) raises what is no YAMLError, and so does a date that does not exist.
"""

from __future__ import annotations

import re
import typing as t

import yaml

#: Levels of nesting and values, aliases expanded. A manifest has 10 and some hundred.
MAX_DEPTH = 60
MAX_VALUES = 100_000

# libyaml where the library has it: several times faster. A safe loader, either of the two.
_Loader: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
# What has a counterpart in JSON, into which Kubernetes turns every document; and what YAML makes of << and of =.
_TAGS = frozenset(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "value"))

#: What Go's parsers take for a number or a truth (goyaml, resolve.go) and PyYAML for a text, with what it begins with.
_NO_TEXTS_TO_GO = (
    ("float", r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
    ("int", r"[-+]?0[bBoOxX][0-9a-fA-F_]+\Z", "-+0"),
    ("bool", r"[yYnN]\Z", "yYnN"),
)


class NoYamlError(ValueError):
    """The text is no YAML that can be used.

    Attributes:
        line: The line in which that shows, counted from 1; 0 where it is not known.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def load(text: str) -> t.Any:
    """Return the one document of a text as data; dates are texts, as they are to Kubernetes.

    Raises:
        NoYamlError: The text is none. The message never quotes the text, which may hold a key.
    """
    loader, node = _composed(text)
    if node is None:
        return None
    try:
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _refused(error) from None
    except (ValueError, LookupError, RecursionError):
        # A value that does not fit its tag, or has more digits than Python reads.
        raise NoYamlError("a value in it cannot be read") from None


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of a text, None where it is empty; what an alias names is the same node again.

    Raises:
        NoYamlError: As above.
    """
    return _composed(text)[1]


def for_go(dumper: t.Any) -> t.Any:
    """Return a dumper of PyYAML that also quotes a text which a program in Go reads as a number or a truth: 0815, y."""
    made: t.Any = type(dumper.__name__, (dumper,), {})
    for name, pattern, first in _NO_TEXTS_TO_GO:
        made.add_implicit_resolver(f"{_TAG}{name}", re.compile(pattern), list(first))
    return made


def _composed(text: str) -> tuple[t.Any, yaml.Node | None]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _refused(error) from None
    except RecursionError:
        raise NoYamlError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except (yaml.YAMLError, ValueError, LookupError, OverflowError):
        # A character that YAML does not allow, or an escape or a version directive with an absurd number.
        raise NoYamlError("a character in it is not allowed") from None
    if node is not None:
        _measure(node, {}, 1)
    return loader, node


def _refused(error: yaml.MarkedYAMLError) -> NoYamlError:
    mark = error.problem_mark or error.context_mark
    return NoYamlError("it cannot be parsed", mark.line + 1 if mark else 0)


def _measure(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """Return how many values a node comes to, aliases and merge keys expanded, and make a text of each date."""
    if depth > MAX_DEPTH:
        raise NoYamlError(f"it is nested deeper than {MAX_DEPTH} levels", node.start_mark.line + 1)
    known = sizes.get(id(node))
    if known is not None:
        if known < 0:
            raise NoYamlError("an alias in it refers to what contains it", node.start_mark.line + 1)
        return known
    sizes[id(node)] = -1
    if node.tag == f"{_TAG}timestamp" and isinstance(node, yaml.ScalarNode):
        node.tag = f"{_TAG}str"
    if node.tag not in _TAGS:
        raise NoYamlError("it has a tag that Kubernetes does not use", node.start_mark.line + 1)
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_measure(item, sizes, depth + 1) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise NoYamlError("it has a key that is no single word", key.start_mark.line + 1)
            size += _measure(key, sizes, depth + 1) + _measure(value, sizes, depth + 1)
    if size > MAX_VALUES:
        raise NoYamlError(f"it expands to more than {MAX_VALUES} values", node.start_mark.line + 1)
    sizes[id(node)] = size
    return size
