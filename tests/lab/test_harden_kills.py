# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a live cluster, killed at a random moment: the module, its connection, or the whole controller.

Meanwhile inotify watches the directories on every host, and the next run ends well. A kill has a number and is always
the same kind, while the same is changed, at the same part of the run; `-k kill-17`, KUBEHARDEN_SEED for others. Two
short ones are in CI, on a cluster that other tests have hardened.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import watcher
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
CURRENT = "/var/lib/kubelet/pki/kubelet-server-current.pem"
#: Of the watcher: its program, under a name by which no module is killed, what it runs, and what it found.
PROGRAM, SCRIPT, FOUND = "/run/watcher", "/run/watch.py", "/run/watched"
KINDS = ("module", "connection", "controller")
# Nothing else on a host of the lab is run by Python. Between two tasks there is no module: then the next one it is.
KILL_MODULE = """
for _ in $(seq 900); do
  killed=
  for pid in $(ps -C python3 -o pid=); do kill -9 $pid 2>/dev/null && killed="$killed $pid"; done
  if [ "$killed" ]; then echo $killed; exit; fi
  sleep 0.1
done
"""
#: By the cluster's directory and what is changed, the seconds for which a run that nothing happens to holds its locks.
SPANS: dict[tuple[str, str], float] = {}
#: A setting of the kubelet's that the kubelet does not look at before it is started again.
LAID = f"""
sed 's/^enableProfilingHandler: false$/enableProfilingHandler: true/' {KUBELET} >/root/laid &&
cp -p {KUBELET} /var/lib/kubelet/.laid && cat /root/laid >/var/lib/kubelet/.laid && mv /var/lib/kubelet/.laid {KUBELET}
"""


# ---- what is changed -------------------------------------------------------------------------------------------------

#: No registry has it; only who pulls afresh notices that.
OWN = "own.lab.invalid/own:1"
POD = f"""\
apiVersion: v1
kind: Pod
metadata: {{name: by-hand, namespace: default}}
spec:
  nodeName: w1
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: pause, image: "{OWN}", imagePullPolicy: Never}}
"""
PROBES = ("pods", "--all-namespaces", "-l", "kubeharden.core/probe")
WAIVED_PULLS = {"control": "apiserver-always-pull-images", "reason": "lab", "owner": "lab", "expires": "2099-01-01"}
SERVED = f"""
openssl s_client -connect 127.0.0.1:10250 </dev/null 2>/dev/null | openssl x509 -noout -serial
openssl x509 -noout -serial -in {CURRENT}
"""


@dataclasses.dataclass(frozen=True)
class Due:
    """What a run has to change.

    :param name: what it is called
    :param variables: those of a run, by the kill's number
    :param in_force: holds that it is, by the kill's number
    :param lay: makes it due, where variables alone do not
    :param hosts: on which a module is killed, one after the other
    """

    name: str
    variables: Callable[[int], dict[str, Any]]
    in_force: Callable[[Product, int], None]
    lay: Callable[[Product], None] = lambda _product: None
    hosts: tuple[str, ...] = (HOST,)


def of_flag(component: str, flag: str, first: int, unit: str = "", hosts: tuple[str, ...] = (HOST,)) -> Due:
    """A flag of a component's, which differs from number to number."""

    def variables(number: int) -> dict[str, Any]:
        return {"extra_flags": {component: {flag: f"{first + number}{unit}"}}}

    def in_force(product: Product, number: int) -> None:
        for host in hosts:
            arguments = product.cluster.ssh(host, f"ps -C {component} -o args=").stdout
            assert arguments.split().count(f"--{flag}={first + number}{unit}") == 1, arguments

    return Due(component, variables, in_force, hosts=hosts)


def of_kube_proxy() -> Due:
    """A field of kube-proxy's, which is written through the API."""

    def variables(number: int) -> dict[str, Any]:
        return {"extra_flags": {"kube-proxy": {"config-sync-period": f"{16 + number}m0s"}}}

    def in_force(product: Product, number: int) -> None:
        configuration = yaml.safe_load(product.config_maps()["kube-proxy"]["config.conf"])
        assert configuration["configSyncPeriod"] == f"{16 + number}m0s"
        product.cluster.kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=10s")

    return Due("kube-proxy", variables, in_force)


def waiting_requests(product: Product) -> int:
    return sum(not one["status"].get("conditions") for one in product.cluster.objects("csr")["items"])


def without_certificates(product: Product) -> None:
    """Every kubelet has lost the certificate that it serves, and asks for another one."""
    for host in product.cluster.hosts:
        product.cluster.ssh(host, f"rm {CURRENT}; systemctl restart kubelet")
    wait_until("the requests", 120, lambda: waiting_requests(product) >= len(product.cluster.hosts), 1)


def certificates_are_served(product: Product, _number: int) -> None:
    for host in product.cluster.hosts:
        served, stored = product.cluster.ssh(host, SERVED).stdout.split()
        assert served == stored, host
    assert waiting_requests(product) == 0


def with_an_image_of_nobody(product: Product) -> None:
    """A pod runs an image that cannot be pulled, so that every run lets nodes pull and switches nothing on."""
    # One that was there before the kubelet, as in test_harden_pulls.py.
    pause = product.cluster.ssh("w1", "ctr -n k8s.io images ls -q name~=pause").stdout.split()[0]
    product.cluster.ssh("w1", f"ctr -n k8s.io images tag {pause} {OWN}", check=False)  # it may have it
    product.cluster.kubectl("apply", "-f", "-", stdin=POD)
    product.cluster.kubectl("wait", "--for=condition=Ready", "pod/by-hand", "--timeout=60s")


def nobody_pulls(product: Product, _number: int) -> None:
    assert product.cluster.objects(*PROBES)["items"] == []


#: What changes follows from the kill's number: so many that each meets each kind of kill.
CHANGES = (
    of_flag("kube-scheduler", "kube-api-qps", 51),
    of_flag("kube-apiserver", "request-timeout", 61, "s"),
    of_flag("kubelet", "event-burst", 101, hosts=(HOST, "w1")),
    of_kube_proxy(),
    of_flag("etcd", "heartbeat-interval", 101),
    Due("serving certificates", lambda _number: {}, certificates_are_served, without_certificates),
    Due("image pulls", lambda _number: {"waivers": []}, nobody_pulls, with_an_image_of_nobody),
)


def words_of(due: Due, number: int) -> dict[str, Any]:
    """The variables of a run that changes it: in the profile in which all of it is done."""
    return {"profile": "cis", "waivers": [WAIVED_PULLS], **due.variables(number)}


# ---- hosts that are watched, and kills -------------------------------------------------------------------------------


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


@pytest.fixture(autouse=True)
def watched_hosts(request: pytest.FixtureRequest, cluster: Cluster, product: Product) -> Iterator[None]:
    """What was seen on the hosts is looked at when the next run has ended."""
    slow = request.node.get_closest_marker("slow")
    words: dict[str, Any] = {"profile": "cis", "waivers": [WAIVED_PULLS]} if slow else {}
    if not product.exists(HOST, SYSCTLS if slow else "/etc/kubernetes/kubeharden"):
        product.harden(**words).well()
    for host in cluster.hosts:
        program = f"cp $(readlink -f $(command -v python3)) {PROGRAM} && cat >{SCRIPT}"
        cluster.ssh(host, program, stdin=watcher.script())
        cluster.ssh(host, f"setsid {PROGRAM} {SCRIPT} >{FOUND} 2>&1 </dev/null & echo $! >{PROGRAM}.pid")
        await_line(cluster, host, watcher.BEGUN)
    yield
    end = f"/etc/kubernetes/{watcher.END}"
    seen: dict[str, list[str]] = {}
    for host in cluster.hosts:
        cluster.ssh(host, f"touch {end}")
        seen[host] = await_line(cluster, host, watcher.GOOD + end)
        cluster.ssh(host, f"kill $(cat {PROGRAM}.pid); rm {end}")
    good = (watcher.BEGUN, watcher.GOOD)
    wrong = {host: [line for line in lines if not line.startswith(good)] for host, lines in seen.items()}
    assert wrong == {host: [] for host in cluster.hosts}
    ours = f"{watcher.GOOD}{watcher.OURS}/"
    assert any(line.startswith(ours) for line in seen[HOST]), "nothing was seen, not even what the runs noted"


def await_line(cluster: Cluster, host: str, line: str) -> list[str]:
    """Wait until the watcher of a host says a line; returns what it has said."""

    def said() -> list[str]:
        return cluster.ssh(host, f"cat {FOUND}").stdout.splitlines()

    wait_until(f"{line} of {host}'s watcher", 30, lambda: line in said(), 0.2)
    return said()


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


def await_lock(product: Product, process: subprocess.Popen[bytes]) -> None:
    """From here on the host is at work."""
    wait_until("the lock", 180, lambda: product.exists(HOST, LOCK) or ended(process), 0.1)


def seconds_under_lock(product: Product, tmp_path: Path, due: Due) -> float:
    """How long a run like those that are killed holds its locks; measured once for a cluster and what is changed."""
    place = (str(product.cluster.directory), due.name)
    if place not in SPANS:
        due.lay(product)
        process = product.start(tmp_path / "whole", "--skip-tags", "verify", **words_of(due, -1))
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


def is_idle(product: Product, host: str) -> bool:
    """Whether no module is at work on a host; nothing else there is run by Python under that name."""
    return not product.cluster.ssh(host, "ps -C python3 -o pid=", check=False).stdout.strip()


def kill(product: Product, process: subprocess.Popen[bytes], kind: str, pause: float, host: str = HOST) -> None:
    """Kill what is at work, this many seconds after the run has locked its hosts, and wait for the run's end.

    A module is killed on the one host that is named. A run whose connection is cut between two tasks makes another one
    and may end well. A module whose controller is gone ends by itself, and until then the next run would be told that
    this one is at work.
    """
    killed = 1
    try:
        await_lock(product, process)
        time.sleep(pause)
        assert not ended(process), f"the run had ended {pause:.1f} s after its lock"
        if kind == "module":
            killed = len(product.cluster.ssh(host, KILL_MODULE).stdout.split())
        elif kind == "connection":
            killed = cut_connections(product)
        if kind != "controller":
            process.wait(600)
    finally:
        if not ended(process):
            kill_run(process)
    for name in product.cluster.hosts:
        wait_until(f"{name}'s modules", 120, functools.partial(is_idle, product, name))
    assert killed, f"no {kind} was there to be killed"
    assert kind == "connection" or process.returncode, f"the run ended well without its {kind}"


def nothing_is_left(product: Product) -> None:
    """No journal, no lock and no temporary file of a run is on any host."""
    for host in product.cluster.hosts:
        assert not product.exists(host, JOURNAL), host
        assert not product.exists(host, LOCK), host
        find = "find /etc /var/lib/kubelet /var/lib/kubeharden /run -name '.kubeharden-*'"
        assert product.cluster.ssh(host, find).stdout == "", host


@pytest.mark.slow
@pytest.mark.on("1+1", name="kills")
@pytest.mark.parametrize("number", [pytest.param(number, id=f"kill-{number}") for number in range(KILLS)])
def test_killed_at_any_moment(product: Product, tmp_path: Path, number: int) -> None:
    due, kind = CHANGES[number % len(CHANGES)], KINDS[number % len(KINDS)]
    host = due.hosts[number // len(CHANGES) % len(due.hosts)]
    # The end of the span is left out: no two runs take the same time.
    part = random.Random(f"{SEED} {number}").uniform(0.0, 0.9)
    pause = part * seconds_under_lock(product, tmp_path, due)
    print(f"{kind} on {host} killed {pause:.1f} s after the lock, while {due.name} is changed")
    words = words_of(due, number)
    due.lay(product)
    process = product.start(tmp_path / "log", "--skip-tags", "verify", **words)
    kill(product, process, kind, pause, host)
    product.harden(**words).well()
    due.in_force(product, number)
    nothing_is_left(product)
    assert product.harden(**words).well().changed == {"cp1": 0, "w1": 0}


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
