# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says: which hosts a pattern is about, and a variable as each host has it."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager

from ansible_collections.kubeharden.core.plugins.plugin_utils.waivers import Matching


def matcher(loader: t.Any, groups: t.Mapping[str, t.Sequence[str]]) -> Matching:
    """Return what matches patterns as Ansible does, among all hosts of the inventory, whatever --limit says.

    Args:
        loader: The action's own, which Ansible's manager asks for.
        groups: The variable of this name.
    """
    manager = InventoryManager(loader, parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(host, group=group)

    def matching(patterns: t.Sequence[str]) -> list[str]:
        try:
            return [host.name for host in manager.get_hosts(pattern=list(patterns))]
        except AnsibleError:
            return []  # no pattern at all, which the caller says

    return matching


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


def alike(values: t.Mapping[str, t.Any]) -> t.Iterator[tuple[t.Any, list[str]]]:
    """Yield each different value with the hosts that have it; usually there is one."""
    hosts: dict[str, list[str]] = {}
    first: dict[str, t.Any] = {}
    for host, value in values.items():
        hosts.setdefault(repr(value), []).append(host)
        first.setdefault(repr(value), value)
    for key, names in hosts.items():
        yield first[key], names
