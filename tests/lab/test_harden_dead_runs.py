# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that die in the middle: the next one cleans up after them and ends well."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.kubelab.harness import Cluster
from lab.product import HardenRun, Product, kill_run, wait_until
from lab.story import differences

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="dead runs")]

MANIFESTS = "/etc/kubernetes/manifests"
TRIAL = f"{MANIFESTS}/kube-apiserver-kubeharden-trial.yaml"
AWAY = "/etc/kubernetes/kube-apiserver.yaml.taken-away-by-kubeharden"
JOURNAL = "/var/lib/kubeharden/journal.json"

# The module on the host outlives its controller; nothing else on a host of the lab is run by Python.
KILL_MODULE = "for pid in $(ps -C python3 -o pid=); do kill -9 $pid; done"


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def flags(timeout: str) -> dict[str, dict[str, str]]:
    return {"kube-apiserver": {"request-timeout": timeout}}


def converged(product: Product, run: HardenRun, timeout: str) -> None:
    """The run ended well, what it should set is in force, and nothing is left under way."""
    run.well()
    arguments = product.cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout
    assert arguments.count("--secure-port") == 1, arguments
    assert f"--request-timeout={timeout}" in arguments
    assert "--audit-policy-file=" in arguments
    assert not product.exists("cp1", TRIAL)
    assert not product.exists("cp1", JOURNAL)
    assert not product.exists("cp1", "/run/kubeharden/lock")
    assert product.harden(extra_flags=flags(timeout)).well().changed == {"cp1": 0, "w1": 0}


def started(product: Product, tmp_path: Path, timeout: str) -> subprocess.Popen[bytes]:
    return product.start(tmp_path / "log", extra_flags=flags(timeout))


def test_a_run_that_dies_during_its_trial(product: Product, tmp_path: Path) -> None:
    process = started(product, tmp_path, "61s")
    try:
        wait_until("the trial", 180, lambda: product.exists("cp1", TRIAL), 0.1)
    finally:
        kill_run(process)
    product.cluster.ssh("cp1", KILL_MODULE)
    assert product.exists("cp1", TRIAL)
    assert "trial" in json.loads(product.cluster.ssh("cp1", f"cat {JOURNAL}").stdout)
    foretold = product.harden("--check", extra_flags=flags("61s")).well()
    assert "A run that died left its trial" in foretold.output
    assert product.exists("cp1", TRIAL)
    run = product.harden(extra_flags=flags("61s"))
    assert f"The trial {TRIAL} of a run that died was taken away." in run.output
    converged(product, run, "61s")


def killed_after_the_write(product: Product, tmp_path: Path, timeout: str) -> str:
    """Let a run die when the new manifest has its name and nothing is proven; returns the run's name."""
    name = f"dead-{timeout}"
    process = product.start(tmp_path / "log", extra_flags=flags(timeout), run_id=name)
    changed = f"grep -q request-timeout={timeout} {MANIFESTS}/kube-apiserver.yaml"
    try:
        wait_until("the write", 300, lambda: product.cluster.ssh("cp1", changed, check=False).returncode == 0, 0.1)
    finally:
        kill_run(process)
    product.cluster.ssh("cp1", KILL_MODULE)
    assert "apply" in json.loads(product.cluster.ssh("cp1", f"cat {JOURNAL}").stdout)
    return name


def was_undone_or_proven(run: HardenRun, name: str) -> str:
    """The run says what became of the dead one's change: it went back, or is in force and proven."""
    # Beside the manifest the files that it names, where this was the first run.
    went_back = rf".*{MANIFESTS}/kube-apiserver\.yaml\b.* went back to what they were"
    proven = r"it is proven now \([^)]*\bkube-apiserver\b"
    found = re.search(
        rf"Run {name} died before its change was proven: (?:(?P<back>{went_back})|(?P<proven>{proven}))", run.output
    )
    assert found, str(run)
    return "back" if found["back"] else "proven"


def test_a_run_that_dies_after_the_manifest_was_renamed_in(product: Product, tmp_path: Path) -> None:
    """Where nothing but the proof was left it is proven first; else it goes back, and is made again with its proof."""
    name = killed_after_the_write(product, tmp_path, "62s")
    run = product.harden(extra_flags=flags("62s"))
    was_undone_or_proven(run, name)
    converged(product, run, "62s")


@pytest.mark.parametrize(("playbook", "timeout"), [("rollback.yml", "64s"), ("rotate_certificates.yml", "65s")])
def test_any_playbook_proves_or_undoes_first_what_a_dead_run_left(
    product: Product, tmp_path: Path, playbook: str, timeout: str
) -> None:
    """A rollback of that run then puts it back in any case; a rotation has nothing else to do."""
    before, maps = product.on_each(product.content), product.config_maps()
    name = killed_after_the_write(product, tmp_path, timeout)
    words: dict[str, Any] = {"run_id": name} if playbook == "rollback.yml" else {}
    run = product.play(playbook, **words).well()
    stays = was_undone_or_proven(run, name) == "proven" and playbook != "rollback.yml"
    arguments = product.cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout.split()
    assert arguments.count(f"--request-timeout={timeout}") == stays, arguments
    assert not product.exists("cp1", JOURNAL)
    assert product.locked() == []
    assert differences(maps, product.config_maps()) == []
    if not stays:
        assert differences(before, product.on_each(product.content)) == []


def test_a_controller_that_dies_while_the_module_on_the_host_works_on(product: Product, tmp_path: Path) -> None:
    """The next run does not work beside it."""
    process = started(product, tmp_path, "63s")
    try:
        wait_until("the trial", 180, lambda: product.exists("cp1", TRIAL), 0.1)
    finally:
        kill_run(process)
    converged(product, product.harden(extra_flags=flags("63s")), "63s")


def test_a_run_that_dies_while_the_api_server_is_away_for_etcd(product: Product, tmp_path: Path) -> None:
    """The next start brings it back first of all, and then does what the dead one was to do."""
    product.harden().well()
    extra = {"etcd": {"heartbeat-interval": "150"}}
    process = product.start(tmp_path / "log", extra_flags=extra)
    try:
        wait_until("the API server's absence", 180, lambda: product.exists("cp1", AWAY), 0.1)
    finally:
        kill_run(process)
    product.cluster.ssh("cp1", KILL_MODULE)
    assert product.exists("cp1", AWAY)
    assert not product.exists("cp1", f"{MANIFESTS}/kube-apiserver.yaml")
    assert "away" in json.loads(product.cluster.ssh("cp1", f"cat {JOURNAL}").stdout)["apply"]
    foretold = product.harden("--check", extra_flags=extra)
    assert f"its manifest is {AWAY}" in foretold.messages["cp1"]
    assert product.exists("cp1", AWAY)
    run = product.harden(extra_flags=extra).well()
    # And etcd's, where it had been written by then.
    went_back = rf"died before its change was proven: ({MANIFESTS}/etcd\.yaml, )?{MANIFESTS}/kube-apiserver\.yaml went"
    assert re.search(went_back, run.output), str(run)
    assert "--heartbeat-interval=150" in product.cluster.ssh("cp1", "ps -C etcd -o args=").stdout
    assert not product.exists("cp1", AWAY)
    assert not product.exists("cp1", JOURNAL)
    assert product.harden(extra_flags=extra).well().changed == {"cp1": 0, "w1": 0}
