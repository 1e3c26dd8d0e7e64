# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes: read from a made /proc, and from the machine's own with real child processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import (
    Memory,
    Process,
    Rights,
    all_processes,
    find,
    memory,
    rights,
    same,
)

TICKS = os.sysconf("SC_CLK_TCK")


def stat_line(pid: int, name: str = "x", state: str = "S", parent: int = 1, ticks: int = 0) -> str:
    return f"{pid} ({name}) {state} {parent} " + "0 " * 17 + f"{ticks} 0 0\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1700000000\nprocesses 5\n")
    (tmp_path / "self").mkdir()
    return tmp_path


def add(proc: Path, pid: int, command: bytes, stat: str | None = None, ticks: int = 0) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes(command)
    (proc / str(pid) / "stat").write_text(stat if stat is not None else stat_line(pid, ticks=ticks))


def test_arguments_start_and_parent(proc: Path) -> None:
    add(proc, 42, b"/usr/local/bin/kube-apiserver\0--a=b c\0\0--d\0", ticks=5 * TICKS)
    assert find("kube-apiserver", str(proc)) == [
        Process(42, ["/usr/local/bin/kube-apiserver", "--a=b c", "", "--d"], 1700000005.0, 5 * TICKS, 1, str(proc))
    ]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (b"etcd\0", True),
        (b"/bin/etcd\0--name=x\0", True),
        (b"etcd", True),
        (b"/bin/etcdctl\0", False),
        (b"/bin/sh\0-c\0etcd\0", False),
        (b"/etcd/tool\0", False),
        (b"", False),
        (b"\0", False),
    ],
)
def test_matches_the_programs_own_name(proc: Path, command: bytes, found: bool) -> None:
    add(proc, 7, command)
    assert bool(find("etcd", str(proc))) is found


@pytest.mark.parametrize("name", ["a) S 1 (b", "kube apiserver", "((", "))"])
def test_a_name_with_parentheses_and_spaces(proc: Path, name: str) -> None:
    add(proc, 7, b"etcd\0", stat_line(7, name, parent=3, ticks=9))
    assert [(p.parent, p.start_ticks) for p in find("etcd", str(proc))] == [(3, 9)]


@pytest.mark.parametrize("stat", [stat_line(7, state="Z"), stat_line(7, state="X"), "", "7 (etcd) S 1", "nonsense"])
def test_what_is_dead_or_vanishing_is_left_out(proc: Path, stat: str) -> None:
    add(proc, 7, b"etcd\0", stat)
    assert find("etcd", str(proc)) == []


def test_oldest_first_and_what_vanished_between_listing_and_reading(proc: Path) -> None:
    add(proc, 9, b"etcd\0", ticks=100)
    add(proc, 11, b"etcd\0", ticks=50)
    (proc / "10").mkdir()
    assert [p.pid for p in all_processes(str(proc))] == [11, 9]


def test_same_is_pid_and_start(proc: Path) -> None:
    add(proc, 9, b"etcd\0", ticks=100)
    process = find("etcd", str(proc))[0]
    assert same(process)
    (proc / "9" / "stat").write_text(stat_line(9, ticks=101))
    assert not same(process)
    (proc / "9" / "stat").unlink()
    assert not same(process)


def test_no_boot_time(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1\n")
    with pytest.raises(OSError, match="no btime line"):
        all_processes(str(tmp_path))


def test_a_real_child_its_end_and_its_zombie() -> None:
    name = f"kube-test-{os.getpid()}"
    before = time.time()
    with subprocess.Popen([f"/made/up/{name}", "60"], executable="/bin/sleep") as child:
        try:
            deadline = time.monotonic() + 5
            while not (found := find(name)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [(p.pid, p.arguments, p.parent) for p in found] == [
                (child.pid, [f"/made/up/{name}", "60"], os.getpid())
            ]
            assert found[0].name == name
            assert abs(found[0].started - before) < 5
            assert same(found[0])
        finally:
            child.kill()
        while same(found[0]):  # killed, but a zombie until it is waited for
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (Path("/proc") / str(child.pid)).exists()
        assert find(name) == []
    assert not same(found[0])


def test_what_a_process_may_do(proc: Path) -> None:
    add(proc, 42, b"kube-proxy\0")
    (proc / "42" / "status").write_text("Name:\tkube-proxy\nCapBnd:\t0000000000001000\nNoNewPrivs:\t1\n")
    (process,) = find("kube-proxy", str(proc))
    assert rights(process) == Rights(1 << 12, True)
    (proc / "42" / "status").write_text("Name:\tkube-proxy\n")
    assert rights(process) == Rights(-1, False)
    (proc / "42" / "status").unlink()
    assert rights(process) is None


def test_the_memory_beside_a_process(proc: Path) -> None:
    add(proc, 42, b"kube-apiserver\0")
    (process,) = find("kube-apiserver", str(proc))
    assert memory(process) is None
    (proc / "42" / "status").write_text("Name:\tkube-apiserver\nVmRSS:\t  512000 kB\n")
    assert memory(process) is None
    (proc / "meminfo").write_text("MemTotal:  4000000 kB\nMemAvailable:   1024000 kB\n")
    assert memory(process) == Memory(1000, 500)
    (proc / "42" / "status").unlink()
    assert memory(process) is None
