# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of the inventory a pattern is about."""

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


#: The variables that name groups of hosts, with their defaults.
GROUPS = {
    "kubeharden_control_plane_group": "kube_control_plane",
    "kubeharden_etcd_group": "etcd",
    "kubeharden_node_group": "kube_node",
}


def problems_with_groups(
    variables: t.Mapping[str, t.Any], groups: t.Collection[str], hosts: t.Sequence[str]
) -> list[str]:
    """Return a sentence where a run would be about no host, or not about those that its user means.

    Args:
        variables: Of the run.
        groups: The inventory's.
        hosts: Those of the cluster.
    """
    named = {name: str(variables.get(name) or default) for name, default in GROUPS.items()}
    problems = [
        f"{name}: the inventory has no group {group}."
        for name, group in named.items()
        if group != GROUPS[name] and group not in groups
    ]
    if not hosts and not problems:
        problems.append(
            f"No host is in one of the inventory's groups {', '.join(named.values())}; name the groups that it has by "
            f"{', '.join(GROUPS)}."
        )
    return problems
