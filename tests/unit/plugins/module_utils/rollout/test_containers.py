# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container is restarted, also one that somebody else has just ended."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.containers import (
    GRACE,
    PATIENCE,
    restart_container,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Box, Runtime, World


def stopped(world: World) -> list[tuple[str, int]]:
    return t.cast(Runtime, world.runtime).stopped


def test_the_one_that_runs_is_stopped_with_the_pods_grace() -> None:
    world = World()
    world.boxes = [Box("old", start=-9.0, exited=-3.0), Box("new", start=-2.0), Box("x", start=0.0, component="etcd")]
    restart_container(world.sight(), "kube-apiserver")
    assert (stopped(world), world.time) == ([("new", GRACE)], 0.0)


def test_one_that_the_kubelet_is_about_to_start_is_waited_for() -> None:
    world = World()
    world.boxes = [Box("old", start=-9.0, exited=-1.0), Box("new", start=8.0)]
    restart_container(world.sight(), "kube-apiserver")
    assert stopped(world) == [("new", GRACE)]


def test_where_there_is_none_one_sentence_says_so() -> None:
    world = World()
    with pytest.raises(HardeningError, match="The container of kube-apiserver was not found"):
        restart_container(world.sight(), "kube-apiserver")
    assert world.time == PATIENCE
    assert stopped(world) == []
