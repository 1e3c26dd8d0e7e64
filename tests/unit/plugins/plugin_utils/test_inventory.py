# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns match as Ansible matches them."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display

from ansible_collections.kubeharden.core.plugins.plugin_utils import inventory

GROUPS = {"all": ["cp1", "w1", "w2"], "ungrouped": [], "workers": ["w1", "w2"]}


@pytest.mark.parametrize(
    ("patterns", "hosts"),
    [
        (["workers"], {"w1", "w2"}),
        (["w*", "cp1"], {"w1", "w2", "cp1"}),
        (["workers:!w2"], {"w1"}),
        (["~w[1-2]"], {"w1", "w2"}),
        (["nobody"], set()),
        (["~("], set()),
    ],
)
def test_patterns(patterns: list[str], hosts: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that matches nothing is the caller's to tell."""
    warned: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text, **_more: warned.append(text))
    assert set(inventory.matcher(DataLoader(), GROUPS)(patterns)) == hosts
    assert warned == []
    assert constants.HOST_PATTERN_MISMATCH == "warning"


def said(among: list[str] | None = None, **groups: list[str]) -> tuple[list[str], list[str]]:
    """Problems and notes of an inventory; the groups that count are the default ones."""
    every = list(dict.fromkeys(host for listed in groups.values() for host in listed))
    hosts = [host for name in inventory.GROUPS.values() for host in groups.get(name, [])]
    known = {"all": every, "ungrouped": [], **groups}
    return inventory.problems_with_groups({}, known, hosts), inventory.notes({}, known, hosts, among or every)


def test_a_misspelt_group_of_control_planes_is_refused() -> None:
    (problem,), _notes = said(kube_control_planes=["cp1", "cp2"], kube_node=["w1"])
    assert problem.startswith("The inventory has no group kube_control_plane, and cp1, cp2 in none of the groups ")


def test_hosts_in_no_group_of_the_cluster_are_named() -> None:
    problems, notes = said(kube_control_plane=["cp1"], kube_nodes=["w1", "w2"])
    assert problems == []
    assert notes == [
        "w1, w2 of the inventory: in none of the groups kube_control_plane, etcd, kube_node, and left alone."
    ]
    assert said(["cp1"], kube_control_plane=["cp1"], kube_nodes=["w1", "w2"])[1] == []
    (many,) = said(kube_control_plane=["cp1"], others=[f"h{number}" for number in range(12)])[1]
    assert "h9 and 2 more of the inventory" in many


@pytest.mark.parametrize(
    "groups",
    [
        {"kube_node": ["w1"]},
        {"kube_node": ["w1"], "kubeharden_scheduler": ["bastion"]},
        {"kube_node": ["w1"], "mine": ["localhost"]},
    ],
)
def test_a_control_plane_that_somebody_else_keeps_is_no_mistake(groups: dict[str, list[str]]) -> None:
    assert said(**groups) == ([], [])


def test_with_other_hosts_beside_it_an_empty_group_says_so() -> None:
    assert said(kube_node=["w1"], bastions=["b1"])[0] != []
    assert said(kube_node=["w1"], bastions=["b1"], kube_control_plane=[])[0] == []
