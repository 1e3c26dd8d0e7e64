# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control planes whose components listened beyond the host: their probes go where they listen afterwards.

On directories that stand for hosts, with manifests as kubeadm renders them of such flags.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab.standing import verified
from lab.test_directory_hosts import MANIFESTS, Hosts, refused

WIDE = "0.0.0.0"  # noqa: S104  (a manifest has it)
FLAGS = {
    "kube-controller-manager": ("--bind-address=127.0.0.1", f"--bind-address={WIDE}", ""),
    "kube-scheduler": ("--bind-address=127.0.0.1", "--bind-address=192.0.2.11", "192.0.2.11"),
    "etcd": (
        "--listen-metrics-urls=http://127.0.0.1:2381",
        "--listen-metrics-urls=http://192.0.2.11:2381",
        "192.0.2.11",
    ),
}
HOST_LINE = "        host: 127.0.0.1\n"


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def manifest(hosts: Hosts, component: str) -> Path:
    return hosts.root("cp1") / MANIFESTS / f"{component}.yaml"


def widen(hosts: Hosts) -> None:
    """As kubeadm renders the manifests of components that listen beyond the host."""
    for component, (old, new, host) in FLAGS.items():
        path = manifest(hosts, component)
        text = path.read_text(encoding="utf-8")
        assert old in text
        assert HOST_LINE in text
        text = text.replace(old, new).replace(HOST_LINE, f"        host: {host}\n" if host else "")
        path.write_text(text, encoding="utf-8")


def probed(hosts: Hosts, component: str) -> set[str]:
    """The hosts that a component's probes ask."""
    pod = yaml.safe_load(manifest(hosts, component).read_text(encoding="utf-8"))
    container = pod["spec"]["containers"][0]
    return {probe["httpGet"].get("host", "") for name, probe in container.items() if name.endswith("Probe")}


@pytest.mark.slow
def test_probes_follow_their_component_to_the_loopback(hosts: Hosts, tmp_path: Path) -> None:
    widen(hosts)
    foretold = hosts.harden("--limit", "cp1", "--check", profile="cis")
    assert foretold.code == 0, str(foretold)
    expected = hosts.changes
    run = hosts.harden("--limit", "cp1", profile="cis")
    assert run.code == 0, str(run)
    assert hosts.changes == expected
    for component, (old, new, host) in FLAGS.items():
        assert f"- {old}\n" in manifest(hosts, component).read_text(encoding="utf-8")
        assert probed(hosts, component) == {"127.0.0.1"}
        (change,) = (one for one in expected if one["target"].endswith(f"/{component}.yaml") and one["diff"])
        assert f"-    - {new}" in change["diff"]
        assert "+        host: 127.0.0.1" in change["diff"]
        assert not host or f"-        host: {host}" in change["diff"]
    again = hosts.harden("--limit", "cp1", profile="cis")
    assert (again.code, hosts.changes) == (0, []), str(again)
    assert verified(hosts.root("cp1"), tmp_path / "proc", "cis")["static-pod-probes"][0] == "pass"


def test_a_probe_of_the_owners_that_asks_elsewhere_ends_the_run_and_is_named(hosts: Hosts, tmp_path: Path) -> None:
    widen(hosts)
    path = manifest(hosts, "kube-controller-manager")
    asking = path.read_text(encoding="utf-8").replace("      httpGet:\n", "      httpGet:\n        host: 192.0.2.77\n")
    path.write_text(asking, encoding="utf-8")
    before = hosts.state()
    run = hosts.harden("--limit", "cp1", "--tags", "controller_manager", profile="cis")
    refused(run, "cp1", "KH142", "192.0.2.77:10257", "--bind-address", "127.0.0.1:10257")
    assert hosts.state() == before
    # Of one that nobody answers verify speaks.
    path.write_text(asking.replace(f"={WIDE}", "=127.0.0.1"), encoding="utf-8")
    status, evidence = verified(hosts.root("cp1"), tmp_path / "proc", "cis")["static-pod-probes"]
    assert (status, evidence.count("192.0.2.77:10257")) == ("fail", 2)
