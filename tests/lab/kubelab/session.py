# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces of a lab: made, entered, and ended with everything in them.

Three processes stand behind a lab. The *guard* outlives the command that started the lab; it starts ``unshare`` and,
when that ends for whatever reason, removes what no namespace takes along: cgroups and the lab's directory. The
*holder* is pid 1 of the lab's pid namespace: when it dies, the kernel kills every process of the lab, and with the
last process of a namespace its mounts and interfaces vanish.
"""

from __future__ import annotations

import fcntl
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.kubelab import state
from lab.kubelab.base import HERE, LabError, run, say, wait_for

CGROUPS = Path("/sys/fs/cgroup")


def start(directory: Path) -> None:
    """Start guard and holder of the lab that ``directory`` describes, and wait until its network is there."""
    with (directory / "guard.log").open("ab") as log:
        subprocess.Popen(
            [HERE / "lab", "guard", directory],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    wait_for(f"{directory}: the lab's namespaces", 20, (directory / "ready").exists, 0.05)


def guard(directory: Path) -> int:
    """Hold the lab's namespaces until its pid 1 ends, then remove what is left."""
    lab = state.load(directory)
    # Kept open: `prepare` removes no entry of the cache that a lab uses.
    lock = (Path(lab.node) / "lock").open("rb")
    fcntl.flock(lock, fcntl.LOCK_SH)
    (directory / "guard.pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    command += ["--propagation", "private", str(HERE / "lab"), "hold", str(directory)]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    (directory / "unshare.pid").write_text(f"{holder.pid}\n", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_dummy: holder.kill())
    holder.wait()
    clean(lab)
    return 0


def hold(directory: Path) -> NoReturn:
    """Pid 1 of the lab: make the bridge, then reap whatever ends until killed."""
    for command in (
        "link set lo up",
        "link add lab0 type bridge",
        f"address add {state.GATEWAY}/24 dev lab0",
        "link set lab0 up",
        "route add unreachable default",
    ):
        run(["ip", *command.split()])
    # Whoever asks for an address outside of the lab is told at once. CoreDNS starts before kube-proxy has laid the
    # Services' addresses; with lost packets instead of this answer it waits for 30 s.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="utf-8")
    unshare = wait_text(directory / "unshare.pid")
    (directory / "holder").write_text(f"{unshare} {os.readlink('/proc/self/ns/net')}\n", encoding="utf-8")
    (directory / "ready").touch()
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.2)


def wait_text(path: Path) -> str:
    """The first word of a file that another process is about to write."""
    wait_for(str(path), 10, lambda: path.exists() and bool(path.read_text(encoding="utf-8").strip()), 0.02)
    return path.read_text(encoding="utf-8").split()[0]


def enter(directory: Path, command: Sequence[str], *, everything: bool = False) -> NoReturn:
    """Become ``command`` inside the lab.

    Its network is enough for whoever talks to hosts, and the command keeps its pid, so that signals reach it.

    :param everything: also the mounts and processes, for what must end with the lab.
    """
    environment = {
        **os.environ,
        "KUBECONFIG": str(directory / "admin.conf"),
        "KUBEHARDEN_LAB_DIR": str(directory),
    }
    vector = list(command)
    if everything or not state.inside(directory):
        pid = state.holder_pid(directory)
        if pid is None:
            raise LabError(f"{directory}: the lab is not running")
        namespaces = ["--mount", "--pid", "--ipc", f"--wdns={os.getcwd()}"] if everything else []
        vector = ["nsenter", "-t", str(pid), "--net", *namespaces, *command]
    sys.stdout.flush()
    try:
        os.execvpe(vector[0], vector, environment)
    except OSError as error:
        raise LabError(f"{vector[0]}: {error.strerror}") from error


def stop(directory: Path) -> None:
    """End the lab: its hosts, its namespaces, its cgroups and its directory. Nothing to do is fine."""
    if not directory.exists():
        return
    lab = state.load(directory)
    pid = state.holder_pid(directory)
    if pid is not None:
        # The hosts first, while the network still is there: then whoever has a connection to them sees it end.
        for host in lab.hosts:
            kill_host(directory, host.name, pid)
        time.sleep(0.2)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            say(f"lab: {directory}: ended meanwhile")
    guard_file = directory / "guard.pid"
    if guard_file.exists():
        guard_pid = int(guard_file.read_text(encoding="utf-8"))
        wait_for(f"{directory}: the end of the lab", 60, lambda: not _runs(guard_pid, directory), 0.05)
    if directory.exists():
        clean(lab)


def kill_host(directory: Path, name: str, holder: int) -> None:
    """Kill a host's first process from outside the lab."""
    pidfile = directory / "hosts" / name / "pid"
    if pidfile.exists():
        inner = pidfile.read_text(encoding="utf-8").split()[0]
        run(["nsenter", "-t", str(holder), "-p", "-m", "kill", "-9", inner], check=False)


def _runs(pid: int, directory: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(directory) in command


def clean(lab: state.Lab) -> None:
    """Remove the cgroups of the lab's hosts and its directory, once no process of it is left."""
    wait_for(f"{lab.directory}: the end of its cgroups", 30, lambda: not remove_cgroups(f"{lab.identity}-*"), 0.05)
    shutil.rmtree(lab.directory)


def remove_cgroups(pattern: str) -> list[str]:
    """Try to remove the groups whose name matches, with all below; return what stays because a process is in it."""
    groups = [
        os.path.join(folder, name)
        for folder, names, _dummy in os.walk(CGROUPS)
        for name in fnmatch.filter(names, pattern)
    ]
    left: list[str] = []
    for group in groups:
        for folder, _dummy, _dummy in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                left.append(folder)
    return left
