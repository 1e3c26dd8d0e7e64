# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a kubelet is started and configured: unit, environment files, configuration, drop-ins, flags."""

from __future__ import annotations

import copy
import re
import shlex
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def environment(text: str) -> dict[str, str]:
    """Return the assignments of an environment file, quotes taken off as systemd does."""
    values = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match:
            values[match.group(1)] = _unquoted(match.group(2))
    return values


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _logical_lines(text: str) -> t.Iterator[str]:
    pending = ""
    for line in text.splitlines():
        if not pending and line.lstrip().startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        yield pending + line
        pending = ""
    if pending:
        yield pending


def command_line(units: t.Sequence[str], read: t.Callable[[str], str | None]) -> list[str]:
    """Return the argument vector that a unit and its drop-ins, in the order in which systemd reads them, would start.

    Args:
        units: The text of the unit, then of each drop-in in lexical order.
        read: Returns an environment file's text, None where it does not exist.
    """
    variables: dict[str, str] = {}
    command = ""
    for text in units:
        for line in _logical_lines(text):
            key, _dummy, value = line.partition("=")
            key, value = key.strip(), value.strip()
            if key == "Environment":
                for assignment in _split(value):
                    name, _dummy, content = assignment.partition("=")
                    variables[name] = content
            elif key == "EnvironmentFile":
                variables.update(environment(read(value.lstrip("-")) or ""))
            elif key == "ExecStart":
                command = value
    words: list[str] = []
    for word in _split(command.lstrip("-@+!:")):
        if _VARIABLE.fullmatch(word):
            words.extend(_split(variables.get(_VARIABLE.fullmatch(word).group(1), "")))  # type: ignore[union-attr]
        else:
            words.append(_VARIABLE.sub(lambda match: variables.get(match.group(1), ""), word))
    return words


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def load(text: str, where: str) -> dict[str, t.Any]:
    """Return a KubeletConfiguration as data."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise HardeningError(
            f"The kubelet's configuration {where} is no YAML. Nothing was changed; repair the file."
        ) from error
    if not isinstance(data, dict):
        raise HardeningError(
            f"The kubelet's configuration {where} is no mapping. Nothing was changed; repair the file."
        )
    return data


def merge(base: dict[str, t.Any], patch: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a JSON merge patch (RFC 7386) applied, as the kubelet applies each drop-in: lists are replaced whole."""
    result = copy.copy(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            result[key] = merge(current if isinstance(current, dict) else {}, value)
        else:
            result[key] = value
    return result
