# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a live cluster, killed at a random moment: the module, its connection, or the whole controller.

Meanwhile inotify watches the directories on the host, and the next run ends well. A kill has a number and is always
the same kind at the same part of the run; `-k kill-17`, KUBEHARDEN_SEED for others. Two short ones are in CI, on a
cluster that other tests have hardened.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kubelab.harness import Cluster
from lab.product import Product, kill_run, wait_until
from lab.story import differences

KILLS = 50
SEED = os.environ.get("KUBEHARDEN_SEED", "1")
HOST = "cp1"
JOURNAL = "/var/lib/kubeharden/journal.json"
LOCK = "/run/kubeharden/lock"
KUBELET = "/var/lib/kubelet/config.yaml"
SYSCTLS = "/etc/sysctl.d/90-kubeharden.conf"
"""Of profile cis alone."""
#: Of the watcher: its program, under a name by which no module is killed, what it runs, and what it found.
PROGRAM, SCRIPT, FOUND = "/run/watcher", "/run/watch.py", "/run/watched"
KINDS = ("module", "connection", "controller")
# Nothing else on a host of the lab is run by Python. Between two tasks there is no module: then the next one it is.
KILL_MODULE = """
for _ in $(seq 300); do
  killed=
  for pid in $(ps -C python3 -o pid=); do kill -9 $pid 2>/dev/null && killed="$killed $pid"; done
  if [ "$killed" ]; then echo $killed; exit; fi
  sleep 0.1
done
"""
#: By the cluster's directory, the seconds for which a run that nothing happens to holds the host's lock.
SPANS: dict[str, float] = {}
#: A setting of the kubelet's that the kubelet does not look at before it is started again.
LAID = f"""
sed 's/^enableProfilingHandler: false$/enableProfilingHandler: true/' {KUBELET} >/root/laid &&
cp -p {KUBELET} /var/lib/kubelet/.laid && cat /root/laid >/var/lib/kubelet/.laid && mv /var/lib/kubelet/.laid {KUBELET}
"""

WATCH = r"""
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 2, 4, 64, 128, 256, 512
OVERFLOW = 0x4000
DIRECTORIES = ("/etc/kubernetes", "/etc/kubernetes/manifests", "/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd",
               "/etc/kubernetes/kubeharden", "/var/lib/kubelet")
# What the kubelet itself writes there is none of ours.
OF_THE_KUBELET = ("config.yaml", "instance-config.yaml", "kubeadm-flags.env")
# What is meant to come and go: the trial, and the API server's manifest during a restart of etcd.
COMES_AND_GOES = ("-kubeharden-trial.yaml", ".taken-away-by-kubeharden")
descriptor = libc.inotify_init()
names = {}
for directory in DIRECTORIES:
    mask = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE
    names[libc.inotify_add_watch(descriptor, directory.encode(), mask)] = directory
print("watching", flush=True)
while True:
    data = os.read(descriptor, 1 << 16)
    while data:
        watch, mask, _cookie, length = struct.unpack_from("iIII", data)
        name = data[16 : 16 + length].rstrip(b"\0").decode()
        data = data[16 + length :]
        if mask & OVERFLOW:
            print("events were lost", flush=True)
            continue
        path = os.path.join(names[watch], name)
        if not name or name.startswith(".") or name.endswith(COMES_AND_GOES) or os.path.isdir(path):
            continue
        if names[watch] == "/var/lib/kubelet" and name not in OF_THE_KUBELET:
            continue
        words = ""
        if mask & (MODIFY | CREATE):
            words = "is written where it stands"
        elif mask & (MOVED_FROM | DELETE):
            words = "is missing"
        elif mask & (ATTRIB | MOVED_TO):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            if not status.st_size:
                words = "is empty"
            elif status.st_mode & 0o077 and path.endswith((".key", ".conf")):
                words = "can be read by others"
        print("event" if not words else path + " " + words, flush=True)
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


@pytest.fixture(name="watched", autouse=True)
def a_watched_host(cluster: Cluster, product: Product) -> Iterator[None]:
    """What was seen on the host is looked at when the next run has ended."""
    if not product.exists(HOST, "/etc/kubernetes/kubeharden"):
        product.harden().well()
    cluster.ssh(HOST, f"cp $(readlink -f $(command -v python3)) {PROGRAM} && cat >{SCRIPT}", stdin=WATCH)
    cluster.ssh(HOST, f"setsid {PROGRAM} {SCRIPT} >{FOUND} 2>&1 </dev/null & echo $! >{PROGRAM}.pid")
    wait_until("the watcher", 30, lambda: "watching" in cluster.ssh(HOST, f"cat {FOUND}").stdout, 0.2)
    yield
    cluster.ssh(HOST, f"kill $(cat {PROGRAM}.pid)")
    seen = cluster.ssh(HOST, f"cat {FOUND}").stdout.splitlines()[1:]
    assert "event" in seen, "nothing was seen, not even what was changed"
    assert [line for line in seen if line != "event"] == []


def cut_connections(product: Product) -> int:
    """Kill ssh's processes of a run, which are known by the directory of its sockets."""
    killed = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if command.startswith(b"ssh") and str(product.sockets).encode() in command:
            os.kill(int(entry.name), signal.SIGKILL)
            killed += 1
    return killed


def ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def settings(number: int) -> dict[str, dict[str, str]]:
    """Flags of which one differs from number to number."""
    return {"kube-scheduler": {"kube-api-qps": str(51 + number)}, "kube-apiserver": {"request-timeout": "61s"}}


def await_lock(product: Product, process: subprocess.Popen[bytes]) -> None:
    """From here on the host is at work."""
    wait_until("the lock", 180, lambda: product.exists(HOST, LOCK) or ended(process), 0.1)


@pytest.fixture(name="span")
def seconds_under_lock(product: Product, tmp_path: Path) -> float:
    """How long a run like those that are killed holds the host's lock; measured once for a cluster."""
    place = str(product.cluster.directory)
    if place not in SPANS:
        product.harden(extra_flags=settings(-2)).well()
        process = product.start(tmp_path / "whole", "--skip-tags", "verify", extra_flags=settings(-1))
        try:
            await_lock(product, process)
            begun = time.monotonic()
            wait_until("its end", 600, lambda: not product.exists(HOST, LOCK), 0.2)
            SPANS[place] = time.monotonic() - begun
            assert process.wait(600) == 0, (tmp_path / "whole").read_text(encoding="utf-8")
        finally:
            if not ended(process):
                kill_run(process)
    return SPANS[place]


def kill(product: Product, process: subprocess.Popen[bytes], kind: str, pause: float) -> None:
    """Kill what is at work, this many seconds after the run has locked the host, and wait for the run's end.

    A run whose connection is cut between two tasks makes another one and may end well.
    """
    killed = 1
    try:
        await_lock(product, process)
        time.sleep(pause)
        assert not ended(process), f"the run had ended {pause:.1f} s after its lock"
        if kind == "module":
            killed = len(product.cluster.ssh(HOST, KILL_MODULE).stdout.split())
        elif kind == "connection":
            killed = cut_connections(product)
        if kind != "controller":
            process.wait(600)
    finally:
        if not ended(process):
            kill_run(process)
    assert killed, f"no {kind} was there to be killed"
    assert kind == "connection" or process.returncode, f"the run ended well without its {kind}"


def nothing_is_left(product: Product) -> None:
    """No journal, no lock and no temporary file of a run is on the host."""
    assert not product.exists(HOST, JOURNAL)
    assert not product.exists(HOST, LOCK)
    left = product.cluster.ssh(HOST, "find /etc /var/lib/kubelet /var/lib/kubeharden /run -name '.kubeharden-*'").stdout
    assert left == ""


@pytest.mark.slow
@pytest.mark.on("1+1", name="kills")
@pytest.mark.parametrize("number", [pytest.param(number, id=f"kill-{number}") for number in range(KILLS)])
def test_killed_at_any_moment(product: Product, span: float, tmp_path: Path, number: int) -> None:
    rng = random.Random(f"{SEED} {number}")
    # The end of the span is left out: no two runs take the same time.
    kind, pause = KINDS[number % len(KINDS)], rng.uniform(0.0, 0.9) * span
    extra = settings(number)
    process = product.start(tmp_path / "log", "--skip-tags", "verify", extra_flags=extra)
    kill(product, process, kind, pause)
    run = product.harden(extra_flags=extra).well()
    arguments = product.cluster.ssh(HOST, "ps -C kube-scheduler -o args=").stdout
    assert arguments.count(f"--kube-api-qps={51 + number}") == 1, f"{kind} after {pause:.1f} s: {run}"
    nothing_is_left(product)
    assert product.harden(extra_flags=extra).well().changed == {"cp1": 0, "w1": 0}


@pytest.mark.on("1+1")
def test_a_module_and_then_a_controller_killed_while_the_kubelet_is_changed(product: Product, tmp_path: Path) -> None:
    """The run after them leaves the host as it was before; the change is one that a run makes within seconds."""
    profile = "cis" if product.exists(HOST, SYSCTLS) else "baseline"
    words = ("--tags", "kubelet", "--limit", HOST)
    before = product.content(HOST)
    product.cluster.ssh(HOST, LAID)
    assert "enableProfilingHandler: true" in product.cluster.ssh(HOST, f"cat {KUBELET}").stdout
    rng = random.Random(SEED)
    for kind in ("module", "controller"):
        process = product.start(tmp_path / kind, "--skip-tags", "verify", *words, profile=profile)
        kill(product, process, kind, rng.uniform(0.0, 5.0))
    product.harden(*words, profile=profile).well()
    assert differences(before, product.content(HOST)) == []
    nothing_is_left(product)
