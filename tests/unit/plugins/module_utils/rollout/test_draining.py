# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server that is about to end takes nothing new first, where that helps, and is never left closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import control_plane
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.draining import LAST, LATEST, drained
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_absence import Stacked
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_control_plane import (
    PROFILING,
    Place,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Life, World

API = "kube-apiserver"


@pytest.fixture
def place(tmp_path: Path, world: World) -> Place:
    return Place(tmp_path / "host", world, lambda _arguments: True)


def serve(world: World, *flags: str, told: float) -> list[str]:
    """Let an API server run that is told to end at a time; return its arguments."""
    arguments = [API, "--secure-port=6443", *flags]
    world.lives = [Life(7, arguments, 0.0, told + 30, unwell=told)]
    return arguments


def test_its_last_connections_are_answered_before_its_manifest_changes(place: Place) -> None:
    written: list[tuple[float, bool]] = []
    real = control_plane.write_atomic

    def write(path: str, *arguments: object, **options: object) -> None:
        if path.endswith(f"{API}.yaml"):
            written.append((place.world.time, bool(place.world.closed)))
        real(path, *arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane, "write_atomic", write)
        place.apply(trial=False)
    [(closed, _pid)] = place.world.closings
    [(when, was_closed)] = written
    assert when == pytest.approx(closed + LAST)
    assert was_closed
    assert not place.world.closed


def test_it_is_open_again_when_the_kubelet_takes_its_time(world: World) -> None:
    arguments = serve(world, told=60.0)
    with drained(world.sight(), arguments):
        assert world.closed == {7}
    assert not world.closed
    assert world.time == pytest.approx(LAST + LATEST, abs=0.2)


def test_nothing_is_waited_for_once_it_has_closed_its_port(world: World) -> None:
    arguments = serve(world, told=LAST + 0.2)
    with drained(world.sight(), arguments):
        pass
    assert world.time < LAST + 0.5


def test_it_is_open_again_when_nothing_could_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_arguments: object, **_options: object) -> None:
        assert place.world.closed
        raise HardeningError("KH201", f"{path} could not be written: no space is left on the file system.")

    monkeypatch.setattr(control_plane.ControlPlane, "_lay_files", lambda *_arguments: None)
    monkeypatch.setattr(control_plane, "write_atomic", refuse)
    assert "no space is left" in place.refused(trial=False)
    assert not place.world.closed


@pytest.mark.parametrize(
    ("flags", "closed"),
    [
        (["--shutdown-delay-duration=10s"], False),
        (["--shutdown-delay-duration=10s", "--shutdown-delay-duration=0s"], True),
        (["--shutdown-delay-duration=0"], True),
        ([], True),
    ],
)
def test_one_that_delays_its_end_is_left_alone(world: World, flags: list[str], closed: bool) -> None:
    arguments = serve(world, *flags, told=60.0)
    with drained(world.sight(), arguments):
        assert bool(world.closed) is closed
    assert (world.time > 0) is closed


def test_flags_count_where_args_alone_give_them(world: World) -> None:
    """The image starts its own program then, so that the first word of the manifest is a flag."""
    flags = ["--shutdown-delay-duration=10s", "--secure-port=6443"]
    world.lives = [Life(7, [API, *flags], 0.0, 90.0)]
    with drained(world.sight(), flags):
        assert not world.closed


def test_a_kernel_that_cannot_close_it_costs_no_time(world: World) -> None:
    world.can_close = False
    with drained(world.sight(), serve(world, told=60.0)):
        pass
    assert world.time == 0


def test_on_directories_and_beside_another_api_server_nothing_is_closed(world: World) -> None:
    serve(world, told=60.0)
    with drained(None, [API]), drained(world.sight(), [API, "--secure-port=7443"]):
        assert not world.closed


def test_other_components_end_without_it(place: Place) -> None:
    place.apply(place.plan("kube-scheduler", PROFILING), trial=False)
    assert not place.world.closings


@pytest.mark.parametrize(("members", "closings"), [(3, 1), (1, 0)])
def test_before_etcd_it_is_drained_where_others_take_its_requests(
    tmp_path: Path, world: World, members: int, closings: int
) -> None:
    stacked = Stacked(tmp_path / "host", world, members=members)
    stacked.apply(*stacked.plans(stacked.plan()), trial=False)
    assert len(world.closings) == closings
    assert not world.closed
