# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns match as Ansible matches them."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

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
