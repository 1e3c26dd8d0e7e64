# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of the inventory a pattern is about."""

from __future__ import annotations

import contextlib
import typing as t

from ansible import constants
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
            with _without_warning():
                return [host.name for host in manager.get_hosts(pattern=list(patterns))]
        except AnsibleError:
            return []  # no pattern at all, which the caller says

    return matching


@contextlib.contextmanager
def _without_warning() -> t.Iterator[None]:
    """Keep Ansible from warning of a pattern that matches nothing: the caller says it, with a number."""
    kept = constants.HOST_PATTERN_MISMATCH
    constants.HOST_PATTERN_MISMATCH = "ignore"
    try:
        yield
    finally:
        constants.HOST_PATTERN_MISMATCH = kept


#: The variables that name groups of hosts, with their defaults.
GROUPS = {
    "kubeharden_control_plane_group": "kube_control_plane",
    "kubeharden_etcd_group": "etcd",
    "kubeharden_node_group": "kube_node",
}
#: Has the hosts that only run playbooks, which belong to no cluster.
_SCHEDULER = "kubeharden_scheduler"
_MOST_NAMES = 10
#: Names the administrator's kubeconfig on a host.
KUBECONFIG = "kubeharden_kubeconfig"


def _named(variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {name: str(variables.get(name) or default) for name, default in GROUPS.items()}


def _outside(groups: t.Mapping[str, t.Sequence[str]], hosts: t.Collection[str], among: t.Iterable[str]) -> list[str]:
    ours = {*hosts, *groups.get(_SCHEDULER, ()), *constants.LOCALHOST}
    return [host for host in among if host not in ours]


def _listed(hosts: t.Sequence[str]) -> str:
    more = f" and {len(hosts) - _MOST_NAMES} more" if hosts[_MOST_NAMES:] else ""
    return ", ".join(hosts[:_MOST_NAMES]) + more


def notes(
    variables: t.Mapping[str, t.Any],
    groups: t.Mapping[str, t.Sequence[str]],
    hosts: t.Sequence[str],
    among: t.Iterable[str],
) -> list[str]:
    """Return a sentence about hosts that are in no group of the cluster: a group's name may be misspelt.

    Args:
        variables: Of the run.
        groups: The inventory's.
        hosts: Those of the cluster.
        among: Those of the run.
    """
    left = _outside(groups, hosts, among)
    if not left:
        return []
    names = ", ".join(_named(variables).values())
    return [f"{_listed(left)} of the inventory: in none of the groups {names}, and left alone."]


def nodes_alone(variables: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Sequence[str]]) -> bool:
    """Return whether the inventory has no control plane, as where somebody else keeps it."""
    return not groups.get(_named(variables)["kubeharden_control_plane_group"])


def asking_nodes(
    variables: t.Mapping[str, t.Any],
    groups: t.Mapping[str, t.Sequence[str]],
    known: t.Mapping[str, t.Mapping[str, t.Any]],
) -> list[str]:
    """Return the nodes by whose kubeconfig the API is asked where the inventory has no control plane, in their order.

    The first of them speaks for all of a run.

    Args:
        variables: Of the run.
        groups: The inventory's.
        known: By host, its variables.
    """
    if not nodes_alone(variables, groups):
        return []
    nodes = groups.get(_named(variables)["kubeharden_node_group"]) or []
    return sorted({node for node in nodes if known[node].get(KUBECONFIG)})


def note_of_nodes_alone(
    variables: t.Mapping[str, t.Any],
    groups: t.Mapping[str, t.Sequence[str]],
    hosts: t.Sequence[str],
    speaker: str = "",
    missing: bool = False,
    hardened: bool = False,
) -> list[str]:
    """Return sentences about what a run has left where the inventory has no control plane.

    Args:
        variables: Of the run.
        groups: The inventory's.
        hosts: Those of the cluster.
        speaker: The first of asking_nodes, empty where there is none.
        missing: Whether it took no part in the run.
        hardened: Whether the run was about kube-proxy, through that node.
    """
    if not hosts or not nodes_alone(variables, groups):
        return []
    group = _named(variables)["kubeharden_control_plane_group"]
    if hardened:
        sentence = (
            f"The inventory has no host in {group}, so that this run was about nodes, and about kube-proxy through "
            f"{speaker} ({KUBECONFIG}). kubeadm's ConfigMaps belong to who keeps the control plane and were not "
            "touched: kubeadm upgrade node writes a kubelet's configuration anew by them, so run harden.yml after it."
        )
        return [sentence]
    sentence = (
        f"The inventory has no host in {group}, so that this run was about nodes alone. What is in the API was not "
        "touched: kube-proxy, and kubeadm's ConfigMaps."
    )
    if speaker and missing:
        return [f"{sentence} {speaker}, through which harden.yml hardens kube-proxy ({KUBECONFIG}), took no part."]
    if speaker:
        return [sentence]
    offer = f"With a kubeconfig on a node, which {KUBECONFIG} names, harden.yml hardens kube-proxy"
    return [f"{sentence} {offer}, and verify.yml judges what the API says."]


def problems_with_groups(
    variables: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Sequence[str]], hosts: t.Sequence[str]
) -> list[str]:
    """Return a sentence where a run would be about no host, or not about those that its user means.

    Args:
        variables: Of the run.
        groups: The inventory's.
        hosts: Those of the cluster.
    """
    named = _named(variables)
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
    group = named["kubeharden_control_plane_group"]
    left = _outside(groups, hosts, groups["all"])
    # Of a control plane that somebody else keeps there are no hosts; then no host is left over either.
    if hosts and left and group not in groups and not problems:
        problems.append(
            f"The inventory has no group {group}, and {_listed(left)} in none of the groups "
            f"{', '.join(named.values())}. Name the group of the control planes by kubeharden_control_plane_group; "
            f"where none are in the inventory, give it an empty group {group}."
        )
    return problems
