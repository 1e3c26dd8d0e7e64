# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The components' processes as the kernel shows them: exact arguments and start times.

This needs neither the API server nor the container runtime.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One process as it was when /proc was read.

    ``started`` is in seconds since the epoch (boot time + start ticks), good to a second and for people.
    ``start_ticks`` (clock ticks since boot) together with ``pid`` is the identity: it does not move when the clock is
    set. ``proc`` is the directory that it was read from.
    """

    pid: int
    arguments: list[str]
    started: float
    start_ticks: int
    parent: int
    proc: str = "/proc"

    @property
    def name(self) -> str:
        """The last part of the program's path as it was called."""
        return os.path.basename(self.arguments[0])


def find(component: str, proc: str = "/proc") -> list[Process]:
    """The living processes whose program is called ``component``, oldest first. Zombies and kernel threads are none.

    Anybody can call a program so; :mod:`belonging` says which are the cluster's.
    """
    return [process for process in all_processes(proc) if process.name == component]


def all_processes(proc: str = "/proc") -> list[Process]:
    """Every living process that has arguments, oldest first. One that ends while it is read is left out."""
    booted = _boot_time(proc)
    found = [_read(int(entry), booted, proc) for entry in os.listdir(proc) if entry.isdigit()]
    return sorted((p for p in found if p is not None), key=lambda p: (p.start_ticks, p.pid))


def arguments_of(pid: int, proc: str = "/proc") -> list[str]:
    """The argument vector of a process; empty where it is gone."""
    process = _read(pid, 0, proc)
    return process.arguments if process else []


def same(process: Process) -> bool:
    """Whether this pid is still this very process: alive, and not a later one that was given the same number."""
    stat = _stat(process.pid, process.proc)
    return stat is not None and stat[1] == process.start_ticks


def status(process: Process) -> dict[str, str]:
    """What proc_pid_status(5) says of a process; nothing where it is gone."""
    return _fields(os.path.join(process.proc, str(process.pid), "status"))


@dataclass(frozen=True)
class Rights:
    """What a process may do, by proc_pid_status(5).

    ``bounding`` are the capabilities that it or a program that it starts can have, a bit each; ``no_new`` whether a
    program that it starts can have no more rights than it has.
    """

    bounding: int
    no_new: bool


def rights(process: Process) -> Rights | None:
    """The rights of a process; None where it is gone."""
    fields = status(process)
    if not fields:
        return None
    return Rights(int(fields.get("CapBnd", "-1").strip(), 16), fields.get("NoNewPrivs", "").strip() == "1")


@dataclass(frozen=True)
class Memory:
    """Memory of the host that can be had without swapping, and what a process has of it, in MiB."""

    available: int
    resident: int


def memory(process: Process) -> Memory | None:
    """The memory beside a process; None where the kernel does not say it, or the process is gone."""
    try:
        host = _fields(os.path.join(process.proc, "meminfo"))
        own = _fields(os.path.join(process.proc, str(process.pid), "status"))
    except OSError:
        return None
    found = [
        int(words[0]) // 1024  # in kB, which is KiB
        for words in (host.get("MemAvailable", "").split(), own.get("VmRSS", "").split())
        if words and words[0].isdigit()
    ]
    return Memory(*found) if len(found) == 2 else None


def _fields(path: str) -> dict[str, str]:
    """The lines ``name: value`` of a file of the kernel's; none where it is gone."""
    return dict(line.partition(":")[::2] for line in text(path).splitlines())


def text(path: str) -> str:
    """What a file of the kernel's says; empty where it is gone."""
    return (_bytes(path) or b"").decode("utf-8", "replace")


def environment(process: Process, prefix: str) -> dict[str, str] | None:
    """The variables that a process was started with and whose names begin so; None where it is gone.

    :raises OSError: they may not be read
    """
    data = _bytes(os.path.join(process.proc, str(process.pid), "environ"))
    if data is None:
        return None
    pairs = (os.fsdecode(word).partition("=") for word in data.split(b"\0"))
    return {name: value for name, equals, value in pairs if equals and name.startswith(prefix)}


def _read(pid: int, booted: int, proc: str) -> Process | None:
    stat = _stat(pid, proc)
    command = _bytes(os.path.join(proc, str(pid), "cmdline"))
    if stat is None or not command:
        return None
    arguments = os.fsdecode(command[:-1] if command.endswith(b"\0") else command).split("\0")
    parent, ticks = stat
    return Process(pid, arguments, booted + ticks / os.sysconf("SC_CLK_TCK"), ticks, parent, proc)


def _stat(pid: int, proc: str) -> tuple[int, int] | None:
    """Parent and start ticks (fields 4 and 22 of proc_pid_stat(5)); None for what is gone or waits to be reaped."""
    text = _bytes(os.path.join(proc, str(pid), "stat"))
    # The name stands in parentheses and may itself hold spaces and parentheses: the fields begin after the last one.
    fields = text.rpartition(b")")[2].split() if text else []
    if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x"):
        return None
    return int(fields[1]), int(fields[19])


def _boot_time(proc: str) -> int:
    with open(os.path.join(proc, "stat"), "rb") as stream:
        for line in stream:
            if line.startswith(b"btime "):
                return int(line.split()[1])
    raise OSError("no btime line in " + os.path.join(proc, "stat"))


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, ProcessLookupError):  # it ended between the listing and the reading
        return None
