# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable as each host of the inventory has it."""

from __future__ import annotations

import typing as t


def of_each(known: t.Mapping[str, t.Mapping[str, t.Any]], name: str, default: t.Any) -> dict[str, t.Any]:
    """Return a variable as each host has it; one that no host has stands in the playbook, for all of them.

    Args:
        known: Variables by host.
        name: The variable's.
        default: What the playbook says.
    """
    if any(name in found for found in known.values()):
        return {host: found.get(name, []) for host, found in known.items()}
    return dict.fromkeys(known, default)


def words(value: t.Any) -> list[t.Any]:
    """Return a list as a user may write it: on the command line and in an INI file it is text, with commas between.

    Ansible's specification of arguments takes that too, and hands on what was written.
    """
    if isinstance(value, str):
        return [word for word in (one.strip() for one in value.split(",")) if word]
    return list(value or [])


def yes(value: t.Any) -> bool:
    """Return whether a user means yes: on the command line and in an INI file it is text, and so is no."""
    return str(value).strip().lower() in ("true", "yes", "on", "y", "t", "1")


def alike(values: t.Mapping[str, t.Any]) -> t.Iterator[tuple[t.Any, list[str]]]:
    """Yield each different value with the hosts that have it; usually there is one."""
    hosts: dict[str, list[str]] = {}
    first: dict[str, t.Any] = {}
    for host, value in values.items():
        hosts.setdefault(repr(value), []).append(host)
        first.setdefault(repr(value), value)
    for key, names in hosts.items():
        yield first[key], names
