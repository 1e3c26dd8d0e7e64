# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on a host, also when two ask at the same moment."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import lock as lock_file
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder, Lock

FIRST = Holder("first", "controller boot", "100 5000 pid:[1]", 1.0)
SECOND = Holder("second", "controller boot", "200 6000 pid:[1]", 2.0)

# Waits at a gate until all are there, then asks.
RACER = """
import os, sys, time
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder, Lock
root, name, gate = sys.argv[1:]
lock = Lock(Host(root))
print("ready", flush=True)
while not os.path.exists(gate):
    time.sleep(0.001)
holder = lock.acquire(Holder(name, "c", name, 0.0))
print("taken" if holder is None else holder.run_id, flush=True)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(Host(str(tmp_path)))


def test_it_is_free_and_looking_makes_nothing(lock: Lock, tmp_path: Path) -> None:
    assert lock.holder() is None
    assert lock.blocking(FIRST) is None
    assert lock.release("first") is False
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"[]", b"\xff", b'{"run_id": 1}'])
def test_half_of_a_lock_is_nobodys_and_a_sentence(lock: Lock, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "run/kubeharden/lock"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with pytest.raises(HardeningError, match=r"lock is damaged: it is no lock of a run\. Nothing was changed"):
        lock.acquire(FIRST)
    assert path.read_bytes() == text


def test_a_second_run_is_told_who_has_it(lock: Lock, tmp_path: Path) -> None:
    assert lock.acquire(FIRST) is None
    assert Lock(Host(str(tmp_path))).acquire(SECOND) == FIRST
    assert lock.blocking(SECOND) == FIRST
    assert lock.holder() == FIRST
    assert stat.S_IMODE((tmp_path / "run/kubeharden").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "run/kubeharden/lock").stat().st_mode) == 0o600


def test_the_same_run_asks_as_often_as_it_likes_and_keeps_its_time(lock: Lock) -> None:
    assert lock.acquire(FIRST) is None
    assert lock.acquire(dataclasses.replace(FIRST, since=9.0)) is None
    assert lock.holder() == FIRST


@pytest.mark.parametrize(
    "other",
    [Holder("first", FIRST.controller, "300 7000 pid:[1]", 1.0), Holder("first", "elsewhere boot", FIRST.process, 1.0)],
)
def test_another_process_with_the_same_name_of_a_run_is_another_run(lock: Lock, other: Holder) -> None:
    assert lock.acquire(FIRST) is None
    assert lock.acquire(other) == FIRST


def test_the_lock_of_a_run_that_is_known_to_be_dead_is_taken_over(lock: Lock) -> None:
    assert lock.acquire(FIRST) is None
    assert lock.acquire(SECOND, dead="somebody else") == FIRST
    assert lock.blocking(SECOND, dead="first") is None
    assert lock.acquire(SECOND, dead="first") is None
    assert lock.holder() == SECOND


def test_a_dead_run_is_followed_by_one_of_the_same_name(lock: Lock) -> None:
    again = dataclasses.replace(FIRST, process="300 7000 pid:[1]")
    assert lock.acquire(FIRST) is None
    assert lock.acquire(again, dead="first") is None
    assert lock.holder() == again


def test_only_the_holder_gives_it_back(lock: Lock) -> None:
    lock.acquire(FIRST)
    assert lock.release("second") is False
    assert lock.holder() == FIRST
    assert lock.release("first") is True
    assert lock.release("first") is False
    assert lock.acquire(SECOND) is None


def test_of_many_that_ask_at_once_one_gets_it_and_the_others_know_who(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    root = tmp_path / "root"
    root.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    racers = {
        name: subprocess.Popen(
            [sys.executable, "-c", RACER, str(root), name, str(gate)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("a", "b", "c", "d", "e", "f")
    }
    for racer in racers.values():
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    gate.touch()
    said = {name: racer.communicate(timeout=60)[0].strip() for name, racer in racers.items()}
    winners = [name for name, word in said.items() if word == "taken"]
    assert len(winners) == 1
    assert {word for name, word in said.items() if name not in winners} == {winners[0]}


def test_the_lock_is_in_use_while_a_module_works_and_not_longer(lock: Lock, tmp_path: Path) -> None:
    """A module call goes on when its controller dies, so a dead run's lock is taken over only when it has ended."""
    other = Lock(Host(str(tmp_path)))
    assert lock.acquire(FIRST) is None
    assert not other.is_in_use()
    with lock.in_use("first"):
        assert other.is_in_use()
        with other.in_use("first"):
            assert other.is_in_use()
        assert other.is_in_use()
    assert not other.is_in_use()


def test_it_is_not_given_back_while_a_module_works(lock: Lock, tmp_path: Path) -> None:
    """Who lost the connection to a module gives the lock back over another one; the module goes on."""
    other = Lock(Host(str(tmp_path)))
    assert lock.acquire(FIRST) is None
    with lock.in_use("first"):
        assert other.is_used_by("first")
        assert not other.is_used_by("second")
        assert other.release("first") is False
        assert other.holder() == FIRST
    assert not other.is_used_by("first")
    assert other.release("first") is True


def test_without_a_lock_nothing_is_in_use(lock: Lock, tmp_path: Path) -> None:
    with lock.in_use("first", taken=False):
        assert not lock.is_in_use()
    assert os.listdir(tmp_path) == []


def test_a_run_that_took_no_lock_does_not_work_beside_one_that_did(lock: Lock) -> None:
    assert lock.acquire(SECOND) is None
    with pytest.raises(HardeningError, match="Run second from controller"), lock.in_use("first", taken=False):
        raise AssertionError("it worked")


def test_a_run_whose_lock_was_taken_over_does_nothing_more_when_the_other_has_ended(lock: Lock) -> None:
    assert lock.acquire(FIRST) is None
    assert lock.acquire(SECOND, dead="first") is None
    assert lock.release("second") is True
    with pytest.raises(HardeningError, match="Run first has no lock on this host any more"), lock.in_use("first"):
        raise AssertionError("it worked")


def test_a_run_whose_lock_vanishes_at_the_moment_when_it_begins_does_nothing(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has opened the file by then; the other takes it over and ends before it is looked at."""
    assert lock.acquire(FIRST) is None

    def overtaken(_descriptor: int, _how: int) -> None:
        monkeypatch.undo()
        assert lock.acquire(SECOND, dead="first") is None
        assert lock.release("second") is True

    monkeypatch.setattr(fcntl, "flock", overtaken)
    with pytest.raises(HardeningError, match="Run first has no lock on this host any more"), lock.in_use("first"):
        raise AssertionError("it worked")


def ago(tmp_path: Path, seconds: float) -> None:
    """The holder's last call on the host began so long ago."""
    then = time.time() - seconds
    os.utime(tmp_path / "run/kubeharden/lock", (then, then))


def test_a_run_of_workers_alone_counts_as_dead_when_it_has_done_nothing_for_long(lock: Lock, tmp_path: Path) -> None:
    assert lock.acquire(FIRST) is None
    ago(tmp_path, DURATION - 60)
    assert lock.acquire(SECOND) == FIRST
    ago(tmp_path, DURATION + 60)
    assert lock.idle() == pytest.approx(DURATION + 60, abs=30)
    assert lock.blocking(SECOND) is None
    assert lock.acquire(SECOND) is None
    assert lock.holder() == SECOND
    assert lock.idle() < 60


def test_each_call_of_a_run_is_a_sign_of_life(lock: Lock, tmp_path: Path) -> None:
    assert lock.acquire(FIRST) is None
    ago(tmp_path, DURATION + 60)
    with lock.in_use("first"):
        pass
    assert lock.acquire(SECOND) == FIRST


def test_a_call_that_lasts_is_no_dead_run(lock: Lock, tmp_path: Path) -> None:
    assert lock.acquire(FIRST) is None
    with lock.in_use("first"):
        ago(tmp_path, DURATION + 60)
        assert lock.blocking(SECOND) == FIRST
        assert lock.acquire(SECOND) == FIRST


def test_of_a_run_that_asked_for_the_cluster_too_its_lease_says_whether_it_is_dead(lock: Lock, tmp_path: Path) -> None:
    first = dataclasses.replace(FIRST, cluster=True)
    assert lock.acquire(first) is None
    ago(tmp_path, DURATION + 60)
    assert lock.acquire(SECOND) == first


def test_nobody_begins_to_work_while_the_lock_is_taken_over(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else both would: one has seen that it is its own, the other that nobody works."""
    assert lock.acquire(FIRST) is None
    write, tried = lock_file.write_atomic, []

    def written(path: str, data: bytes, mode: int) -> None:
        with open(path, encoding="utf-8") as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        tried.append(path)
        write(path, data, mode)

    monkeypatch.setattr(lock_file, "write_atomic", written)
    assert lock.acquire(SECOND, dead="first") is None
    assert len(tried) == 1


def test_of_a_dead_run_whose_module_works_it_is_not_taken_over(lock: Lock) -> None:
    assert lock.acquire(FIRST) is None
    with lock.in_use("first"):
        assert lock.blocking(SECOND, dead="first") is None  # its end is waited for
        assert lock.acquire(SECOND, dead="first") == FIRST


def test_a_run_that_lost_its_lock_works_on_no_host(lock: Lock) -> None:
    assert lock.acquire(SECOND) is None
    words = "Run second from controller has taken this host's lock over from first"
    with pytest.raises(HardeningError, match=words), lock.in_use("first"):
        raise AssertionError("it worked")
    assert not lock.is_in_use()


@pytest.mark.parametrize(
    ("cluster", "leads", "kept"), [(True, True, False), (True, False, True), (False, True, True), (False, False, True)]
)
def test_who_holds_the_cluster_takes_over_from_one_that_asked_for_it_too(
    lock: Lock, cluster: bool, leads: bool, kept: bool
) -> None:
    """A run of workers alone asks for no lock of the cluster, so nothing says that it is dead."""
    first = dataclasses.replace(FIRST, cluster=cluster)
    assert lock.acquire(first) is None
    assert lock.blocking(SECOND, leads=leads) == (first if kept else None)
    assert lock.acquire(SECOND, leads=leads) == (first if kept else None)
    assert lock.holder() == (first if kept else SECOND)


def test_a_run_that_works_without_the_lock_of_the_cluster_is_dead_to_nobody_who_has_it(lock: Lock) -> None:
    """As a rollback that began while the API was away: who gets the Lease when it answers knows nothing of it."""
    first = dataclasses.replace(FIRST, cluster=True)
    assert lock.acquire(first) is None
    lock.note_alone("another")
    assert lock.holder() == first
    with lock.in_use("first"):
        lock.note_alone("first")
        assert lock.is_used_by("first")
    assert lock.holder() == first  # the next call does it
    lock.note_alone("first")
    assert lock.holder() == FIRST
    assert lock.acquire(SECOND, leads=True) == FIRST
    assert lock.acquire(first) is None  # it is still the same run


def test_where_there_is_no_lock_nothing_is_noted(lock: Lock, tmp_path: Path) -> None:
    lock.note_alone("first")
    assert os.listdir(tmp_path) == []
