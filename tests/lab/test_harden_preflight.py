# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a run from beginning: each fault ends it with its own sentence, before the first write on any host."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kubelab.harness import Cluster
from lab.product import BAD_CIPHERS, LEASE, LOCK, HardenRun, Product, kill_run, wait_until
from lab.story import differences

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="preflight")]

KUBELET = "/var/lib/kubelet/config.yaml"
BACKUPS = "/var/lib/kubeharden/backups"
# What etcdctl has no command for: raising an alarm, as a member does whose quota is used up.
ALARM = """
import json, ssl, sys, urllib.request
pki = "/etc/kubernetes/pki/etcd"
context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
context.load_cert_chain(f"{pki}/server.crt", f"{pki}/server.key")
def ask(path, document):
    request = urllib.request.Request("https://127.0.0.1:2379" + path, json.dumps(document).encode(), method="POST")
    return json.load(urllib.request.urlopen(request, context=context))
member = ask("/v3/cluster/member/list", {})["members"][0]["ID"]
ask("/v3/maintenance/alarm", {"action": sys.argv[1], "memberID": member, "alarm": "NOSPACE"})
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


@contextlib.contextmanager
def refused(product: Product, host: str, *words: str, theirs: str = "") -> Iterator[list[HardenRun]]:
    """A run that is made within the block ends with code 2 and one message, and changes nothing and keeps no lock.

    :param theirs: another run that has the lock of the cluster, and keeps it
    """
    before = product.on_each(product.content)
    runs: list[HardenRun] = []
    yield runs
    (run,) = runs
    assert run.code == 2, str(run)
    assert set(run.messages) == {host}, str(run)
    for word in words:
        assert word in run.messages[host], run.messages[host]
    assert "Traceback" not in run.output
    assert run.changes == []
    assert differences(before, product.on_each(product.content)) == []
    assert product.lease() == theirs
    assert [name for name in product.cluster.hosts if product.exists(name, LOCK)] == []


def test_a_healthy_cluster_is_ready_and_nothing_changes(product: Product) -> None:
    before, processes = product.on_each(product.content), product.on_each(product.processes)
    run = product.play(
        "preflight.yml",
    ).well()
    assert "Ready: nothing keeps a run from beginning on 2 hosts. Nothing was changed. What changes of" in run.output
    assert "The restarts would take about " in run.output
    assert differences(before, product.on_each(product.content)) == []
    assert differences(processes, product.on_each(product.processes)) == []
    assert product.lease() == ""
    assert not [name for name in product.cluster.hosts if product.exists(name, LOCK)]
    assert not product.exists("cp1", "/var/lib/kubeharden")
    attributes = product.on_each(product.attributes)
    checked = product.play("preflight.yml", "--check").well()
    assert "No component was tried beside the running one; preflight.yml without --check does that" in checked.output
    assert differences(attributes, product.on_each(product.attributes)) == []
    foretold = product.harden("--check").well()
    assert run.changes == foretold.changes != []


def test_what_only_the_component_itself_refuses_is_met_by_preflight(product: Product) -> None:
    """By its trial, on the only control plane too."""
    before, processes = product.on_each(product.content), product.on_each(product.processes)
    run = product.play("preflight.yml", extra_flags={"kube-apiserver": {"audit-log-format": "xml"}})
    assert run.code == 2, str(run)
    assert "KH205: kube-apiserver on cp1: its trial beside the running one failed" in run.messages["cp1"]
    assert "xml" in run.messages["cp1"]
    assert differences(before, product.on_each(product.content)) == []
    assert differences(processes, product.on_each(product.processes)) == []
    assert not [name for name in product.cluster.hosts if product.exists(name, LOCK)]


def test_an_alarm_of_etcd(product: Product) -> None:
    product.cluster.ssh("cp1", "cat >/root/alarm.py", stdin=ALARM)
    product.cluster.ssh("cp1", "python3 /root/alarm.py ACTIVATE")
    try:
        with refused(
            product, "cp1", "etcd has raised the alarm NOSPACE", "etcdctl alarm disarm", "Nothing was"
        ) as runs:
            runs.append(product.harden())
    finally:
        product.cluster.ssh("cp1", "python3 /root/alarm.py DEACTIVATE; rm /root/alarm.py")


def test_a_node_that_is_not_ready_and_a_full_disk_are_told_at_once(product: Product) -> None:
    cluster = product.cluster
    cluster.ssh("w1", "systemctl stop kubelet")
    try:
        cluster.kubectl("wait", "--for=condition=Ready=Unknown", "node/w1", "--timeout=120s")
        cluster.ssh("cp1", "mkdir -p /var/lib/kubeharden && mount -t tmpfs -o size=1m tmpfs /var/lib/kubeharden")
        words = ("Node w1 is not Ready (NodeStatusUnknown)", "The file system of /var/lib/kubeharden on cp1 has")
        with refused(product, "cp1", *words) as runs:
            runs.append(product.harden())
        assert product.lease() == ""
    finally:
        cluster.ssh("cp1", "umount /var/lib/kubeharden", check=False)
        cluster.ssh("w1", "systemctl start kubelet")
        cluster.kubectl("wait", "--for=condition=Ready", "node/w1", "--timeout=120s")


def test_a_component_that_is_not_well_is_met_by_preflight(product: Product) -> None:
    """Which looks what a trial would begin with before it tries."""
    before = product.on_each(product.content)
    product.cluster.ssh("cp1", "pkill -STOP -x kube-scheduler")
    try:
        run = product.play("preflight.yml")
    finally:
        product.cluster.ssh("cp1", "pkill -CONT -x kube-scheduler")
    assert run.code == 2, str(run)
    assert "KH127: kube-scheduler on this host is not well before any change" in run.messages["cp1"]
    assert differences(before, product.on_each(product.content)) == []


def test_an_audit_directory_that_is_not_mounted(product: Product) -> None:
    """Where the run may mount it, it does; where it is told to leave audit alone it does not begin."""
    flags = {"kube-apiserver": {"audit-log-path": "/srv/audit/audit.log"}}
    waiver = {"control": "apiserver-audit-log-path", "reason": "lab", "owner": "lab", "expires": "2099-01-01"}
    words = ("--audit-log-path of kube-apiserver names /srv/audit/audit.log to write to", "does not mount")
    with refused(product, "cp1", *words) as runs:
        runs.append(product.harden(extra_flags=flags, waivers=[waiver]))


def test_an_upgrade_that_is_under_way(product: Product) -> None:
    unit = "systemd-run --quiet --unit=upgrade bash -c 'exec -a kubeadm tail upgrade -f /dev/null'"
    product.cluster.ssh("w1", unit)
    try:
        with refused(product, "w1", "`kubeadm upgrade` is at work on w1 (process ") as runs:
            runs.append(product.harden())
    finally:
        product.cluster.ssh("w1", "systemctl stop upgrade", check=False)


def test_a_lock_that_another_controller_holds(product: Product) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "kubeharden",
            "namespace": "kube-system",
            "annotations": {"kubeharden.core/controller": "elsewhere boot", "kubeharden.core/process": "1 1 pid"},
        },
        "spec": {"holderIdentity": "theirs", "leaseDurationSeconds": 1800, "acquireTime": now, "renewTime": now},
    }
    product.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    said = "Run theirs from elsewhere has been at work on this cluster since "
    try:
        ways_out = ("Nothing was changed; wait for it.", "delete lease kubeharden")
        with refused(product, "cp1", said, *ways_out, theirs="theirs") as runs:
            runs.append(product.harden("--check"))
        for play in (product.harden, product.rollback):
            with refused(product, "cp1", said, theirs="theirs") as runs:
                runs.append(play())
        document["spec"] = {**document["spec"], "renewTime": "2020-01-01T00:00:00.000000Z"}  # type: ignore[dict-item]
        product.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
        run = product.harden("--tags", "discover").well()
        assert "Run theirs ended early without giving the lock of the cluster back; it was taken over." in run.output
        assert product.lease() == ""
    finally:
        product.cluster.kubectl("delete", *LEASE, "--ignore-not-found")


# By the cluster's directory, what its hosts were when their owners and modes had been set.
SETTLED: dict[str, dict[str, list[str]]] = {}


@pytest.fixture(name="due")
def modes_that_are_due(product: Product) -> dict[str, list[str]]:
    """Every host has one file whose mode is to be changed; returns what the hosts are once it has been."""
    place = str(product.cluster.directory)
    if place not in SETTLED:
        product.harden("--tags", "files").well()
        SETTLED[place] = product.on_each(product.content)
    for host in product.cluster.hosts:
        product.cluster.ssh(host, f"chmod 644 {KUBELET}")
    assert differences(SETTLED[place], product.on_each(product.content))
    return SETTLED[place]


def seen_of(name: str, code: int, directory: Path) -> HardenRun:
    """A run that was started on a controller of this name and has ended; its report is beside its log."""
    text = (directory / f"{name}.log").read_text(encoding="utf-8")
    return HardenRun(name, code, text, directory / name, 0.0)


@pytest.mark.parametrize("number", range(20))
def test_two_controllers_at_once(product: Product, due: dict[str, list[str]], tmp_path: Path, number: int) -> None:
    """One works, the other says so and changes nothing; twenty times, with delays that a seed makes the same each time.

    Both have the same to do on every host: what was changed, and whose backup is there, tells who did it.
    """
    # At most 2 s, which is shorter than such a run holds its lock on a machine with time.
    pause = random.Random(number).uniform(0, 2)
    names = (f"first-{number}", f"second-{number}")
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            (tmp_path / name).mkdir()
            own = {"run_id": name, "report_dir": str(tmp_path / name)}
            started.append(product.start(tmp_path / f"{name}.log", "--tags", "files,discover", controller=name, **own))
            time.sleep(pause if len(started) == 1 else 0)
        codes = [process.wait(600) for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                kill_run(process)
    runs = [seen_of(name, code, tmp_path) for name, code in zip(names, codes)]
    assert sorted(codes) == [0, 2], "\n".join(str(run) for run in runs)
    winner, loser = sorted(runs, key=lambda run: run.code)
    hosts = product.cluster.hosts
    said = f"Run {winner.command} from {winner.command} has been at work on this cluster since"
    assert said in loser.messages["cp1"], str(loser)
    assert loser.changed == dict.fromkeys(hosts, 0), str(loser)
    assert loser.changes == []
    assert {(change["host"], change["target"]) for change in winner.changes} == {(host, KUBELET) for host in hosts}
    assert differences(due, product.on_each(product.content)) == []
    for host in hosts:
        assert product.exists(host, f"{BACKUPS}/{winner.command}")
        assert not product.exists(host, f"{BACKUPS}/{loser.command}")
    assert product.locked() == []


def test_a_run_whose_controller_is_gone(product: Product, tmp_path: Path) -> None:
    """No other controller can see that it is dead: it is told who has the lock, and how to go on."""
    process = product.start(tmp_path / "log", "--tags", "files,discover", controller="gone-controller")
    try:
        wait_until("the lock", 120, lambda: product.lease() != "", 0.1)
    finally:
        kill_run(process)
    run = product.harden("--tags", "discover")
    assert run.code == 2
    assert "from gone-controller has been at work on this cluster" in run.messages["cp1"]
    product.cluster.kubectl("delete", *LEASE)
    run = product.harden("--tags", "discover").well()
    assert "ended early without giving its lock back; it was taken over." in run.output
    assert product.locked() == []


def test_a_run_that_failed_keeps_nobody_waiting(product: Product, tmp_path: Path) -> None:
    """Its own host and the cluster are free at once; what it left on other hosts is seen to be a dead run's."""
    failed = product.harden(extra_flags={"kube-apiserver": {"tls-cipher-suites": BAD_CIPHERS}})
    assert failed.code == 2, str(failed)
    assert product.lease() == ""
    assert not product.exists("cp1", LOCK)
    assert product.exists("w1", LOCK)
    log = tmp_path / "log"
    assert product.start(log, "--tags", "discover", controller="other-controller").wait(300) == 0
    said = log.read_text(encoding="utf-8")
    assert re.search(
        r"^w1: Run \S+ ended early without giving its lock back; it was taken over\.$", said, re.MULTILINE
    ), said
    assert product.locked() == []
