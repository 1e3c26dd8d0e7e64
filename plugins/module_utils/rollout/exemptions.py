# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our admission configuration holds of earlier runs: plugins, and namespaces exempt from Pod Security."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.controls import pod_security

Namespace = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Exemptions:
    """What was found.

    Attributes:
        namespaces: Their names, sorted, without kube-system.
        notes: Sentences for a person.
    """

    namespaces: tuple[str, ...]
    notes: tuple[str, ...]


def in_force(configuration: str | None) -> list[str] | None:
    """Return the namespaces that an admission configuration exempts, without kube-system.

    Args:
        configuration: The file's text, None where there is none.

    Returns:
        None where it enforces no level, so that nothing is known of what must be exempt.
    """
    for plugin in _plugins(configuration):
        if plugin.get("name") != "PodSecurity":
            continue
        own = _mapping(plugin.get("configuration"))
        if _mapping(own.get("defaults")).get("enforce", "privileged") == "privileged":
            return None
        names = _mapping(own.get("exemptions")).get("namespaces")
        return sorted(str(name) for name in _list(names) if name != pod_security.ALWAYS)
    return None


def configured(configuration: str | None) -> list[str]:
    """Return the names of the plugins that an admission configuration (its text) has."""
    return [str(plugin["name"]) for plugin in _plugins(configuration) if plugin.get("name")]


def _plugins(configuration: str | None) -> list[dict[str, t.Any]]:
    """Return the entries of a file that is ours: one that cannot be read is written anew."""
    try:
        document = yaml_data.load(configuration or "")
    except yaml_data.NoYamlError:
        return []
    entries = document.get("plugins") if isinstance(document, dict) else None
    return [entry for entry in _list(entries) if isinstance(entry, dict)]


def _mapping(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def find(
    namespaces: t.Sequence[Namespace],
    before: t.Collection[str],
    level: str,
    minor: int,
    ask: t.Callable[[Namespace, t.Mapping[str, str]], list[str] | None],
) -> Exemptions:
    """Return which namespaces must be exempt from a level.

    An exemption stays until its namespace is gone or has a level of its own: a job that runs at night has no pods by
    day. A namespace with a level of its own is never exempt, since its level would then count for nothing.

    Args:
        namespaces: Every namespace.
        before: Those that were exempt.
        level: The level that is going to be enforced where a namespace says nothing.
        minor: The API server's minor version.
        ask: Tells a namespace's warnings, was it labelled like this; None where it is gone by now.
    """
    refused: dict[str, str] = {}
    kept: list[str] = []
    for namespace in namespaces:
        name = str(namespace["metadata"]["name"])
        if name == pod_security.ALWAYS or pod_security.governed(namespace):
            continue
        if name in before:
            kept.append(name)
            continue
        warnings = ask(namespace, pod_security.trial_labels(level, minor)) or []
        why = pod_security.reason(warnings)
        if why:
            refused[name] = why
        elif pod_security.exempt(warnings):
            kept.append(name)
    return Exemptions(tuple(sorted([*refused, *kept])), tuple(_notes(level, refused, kept)))


def _notes(level: str, refused: t.Mapping[str, str], kept: t.Sequence[str]) -> t.Iterator[str]:
    for name in sorted(refused):
        yield (
            f"Namespace {name} becomes exempt from Pod Security, since level {level} refuses pods that are in it: "
            f"{refused[name].rstrip('.')}."
        )
    if kept:
        yield (
            f"Exempt from Pod Security since an earlier run: {', '.join(sorted(kept))}. A label {pod_security.ENFORCE} "
            "on such a namespace says its level, and the next run takes the exemption back."
        )
