# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory with etcd on a host of its own, as kubespray makes them: that host is left alone, told, and judged.

On directories that stand for hosts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.product import messages_of
from lab.test_directory_hosts import Hosts

HOST = "e1"
UNIT = "etc/systemd/system/etcd.service"
TOLD = "etcd on a host of its own, without a kubelet: left alone"


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    made = Hosts(tmp_path)
    text = made.inventory.read_text(encoding="utf-8")
    group = f"    etcd:\n      hosts:\n        cp1:\n        cp2:\n        {HOST}:\n"
    made.inventory.write_text(text.replace("    kube_node:\n", f"{group}    kube_node:\n"), encoding="utf-8")
    (made.root(HOST) / UNIT).parent.mkdir(parents=True)
    (made.root(HOST) / UNIT).write_text("[Service]\nExecStart=/usr/local/bin/etcd\n", encoding="utf-8")
    return made


def untouched(hosts: Hosts) -> bool:
    """Nothing is on the host but its unit, not even a lock."""
    return [path for path in hosts.root(HOST).rglob("*") if not path.is_dir()] == [hosts.root(HOST) / UNIT]


def test_a_host_of_etcd_alone_is_left_alone_and_told(hosts: Hosts) -> None:
    run = hosts.harden(verified=True)
    assert run.code == 0, str(run)
    assert {change["host"] for change in hosts.changes} == {"cp1", "cp2", "w1"}
    assert run.output.count(TOLD) == 1, str(run)
    assert hosts.verdicts is not None
    # Nothing runs on a directory.
    said = {control: hosts.verdicts[HOST][control] for control in ("etcd-client-cert-auth", "kubelet-anonymous")}
    assert said == {"etcd-client-cert-auth": "unknown", "kubelet-anonymous": "not_applicable"}
    assert untouched(hosts)
    back = hosts.play("rollback.yml")
    assert back.code == 0, str(back)
    assert TOLD in back.output
    assert untouched(hosts)


def test_one_that_was_to_be_a_node_is_asked_for(hosts: Hosts) -> None:
    """What says that it is one is there, and what a node needs is not."""
    kubeconfig = hosts.root(HOST) / "etc/kubernetes/kubelet.conf"
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.write_text("kind: Config\n", encoding="utf-8")
    run = hosts.harden()
    assert run.code == 2, str(run)
    assert "KH109" in messages_of(run)[HOST]
    # In a group of nodes it needs no file to be one.
    kubeconfig.unlink()
    hosts.inventory.write_text(
        hosts.inventory.read_text(encoding="utf-8").replace("        w1:\n", f"        w1:\n        {HOST}:\n"),
        encoding="utf-8",
    )
    run = hosts.harden()
    assert run.code == 2, str(run)
    assert "KH109" in messages_of(run)[HOST]


def test_what_the_authority_of_an_etcd_elsewhere_signed_stays_and_the_rest_is_renewed(hosts: Hosts) -> None:
    """Control planes have that authority's certificate, and a certificate of it, but nobody has its key."""
    assert hosts.harden().code == 0
    for name in ("cp1", "cp2"):
        (hosts.root(name) / "etc/kubernetes/pki/etcd/ca.key").unlink()
    foretold = hosts.play("rotate_certificates.yml", "--check", pki_renew="all")
    assert foretold.code == 0, str(foretold)
    listed = [(change["host"], change["target"]) for change in hosts.changes]
    run = hosts.play("rotate_certificates.yml", pki_renew="all")
    assert run.code == 0, str(run)
    assert [(change["host"], change["target"]) for change in hosts.changes] == listed
    pki = "/etc/kubernetes/pki"
    assert {("cp2", f"{pki}/apiserver.crt"), ("cp2", f"{pki}/front-proxy-client.crt")} <= set(listed)
    assert not [target for _host, target in listed if "etcd" in target]
    for told in (foretold, run):
        words = " ".join(told.output.split())
        assert "apiserver-etcd-client, etcd-server, etcd-peer, etcd-healthcheck-client: not issued anew" in words
    again = hosts.play("rotate_certificates.yml")
    assert (again.code, hosts.changes) == (0, []), str(again)
