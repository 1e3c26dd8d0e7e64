# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is told of a lock on a host that another one has, or had."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import locking


def holder(name: str, cluster: bool = False) -> Holder:
    return Holder(name, f"{name}-controller boot", "100 5000 pid:[1]", 1.0, cluster)


def taken(
    root: Path, first: Holder, second: Holder, dead: str | None = None, leads: bool = False, check: bool = False
) -> list[str]:
    """What the second run is told that asks for the lock of the first."""
    host = Host(str(root))
    assert Lock(host).acquire(first) is None
    then = time.time() - DURATION - 90
    os.utime(root / "run/kubeharden/lock", (then, then))
    return locking.take(host, locking.Asking(second, dead, check), leads, "", 1.0)


@pytest.mark.parametrize(
    ("cluster", "dead", "leads", "words"),
    [
        (False, None, False, "has done nothing on this host for 3[12] minutes; its lock was taken over"),
        (False, None, True, "has done nothing on this host for 3[12] minutes; its lock was taken over"),
        (False, "first", False, "ended early without giving its lock back; it was taken over"),
        (True, None, True, "ended early without giving its lock back; it was taken over"),
    ],
)
def test_a_lock_that_is_taken_over_is_told_with_the_reason(
    tmp_path: Path, cluster: bool, dead: str | None, leads: bool, words: str
) -> None:
    told = taken(tmp_path, holder("first", cluster), holder("second"), dead, leads)
    assert len(told) == 1
    assert re.fullmatch(f"Run first {words}\\.", told[0])


def test_check_mode_takes_nothing_over(tmp_path: Path) -> None:
    assert taken(tmp_path, holder("first"), holder("second"), check=True) == []
    assert Lock(Host(str(tmp_path))).holder() == holder("first")


@pytest.mark.parametrize(
    ("first", "second", "way_out"),
    [
        (False, False, ", or wait until it has done nothing there for 30 minutes."),
        (True, False, ", or let a control plane take part once, so that its lock is taken over."),
        (True, True, "remove /run/kubeharden/lock on the host."),
    ],
)
def test_who_must_wait_is_told_how_long_or_what_to_do(tmp_path: Path, first: bool, second: bool, way_out: str) -> None:
    host = Host(str(tmp_path))
    assert Lock(host).acquire(holder("first", first)) is None
    with pytest.raises(locking.LockedError) as caught:
        locking.take(host, locking.Asking(holder("second", second), None, False), False, "", 1.0)
    said = str(caught.value)
    assert said.startswith("Run first from first-controller has been at work on this host since ")
    assert "remove /run/kubeharden/lock on the host" in said
    assert said.endswith(way_out)
