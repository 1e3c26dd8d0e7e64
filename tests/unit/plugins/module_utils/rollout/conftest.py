# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the rollout's tests."""

from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A host in which nothing is but time."""
    made = World()
    made.stand_in(monkeypatch)
    return made
