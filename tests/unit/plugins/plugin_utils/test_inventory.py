# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns match as Ansible matches them, and a variable is each host's own."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader

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
def test_patterns(patterns: list[str], hosts: set[str]) -> None:
    assert set(inventory.matcher(DataLoader(), GROUPS)(patterns)) == hosts


def test_a_variable_is_each_hosts_own_or_the_playbooks() -> None:
    known = {"cp1": {}, "w1": {"kubeharden_waivers": [1]}, "w2": {"kubeharden_waivers": [1]}}
    each = inventory.of_each(known, "kubeharden_waivers", [2])
    assert each == {"cp1": [], "w1": [1], "w2": [1]}
    assert list(inventory.alike(each)) == [([], ["cp1"]), ([1], ["w1", "w2"])]
    assert inventory.of_each({"cp1": {}, "w1": {}}, "kubeharden_waivers", [2]) == {"cp1": [2], "w1": [2]}
