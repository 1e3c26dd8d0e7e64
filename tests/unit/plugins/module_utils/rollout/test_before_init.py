# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control plane will be is what discovery finds on one that kubeadm made, as far as certificates go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import before_init
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery

SEEDS = Path(__file__).parents[5] / "inventories" / "demo" / "hosts.orig"
WANTED: dict[str, Any] = {
    "version": "1.37.1",
    "directory": "/etc/kubernetes/pki",
    "service_network": "10.96.0.0/12",
    "dns_domain": "cluster.local",
    "endpoint": "",
    "names": [],
    "etcd_names": [],
    "etcd": True,
    "serving": {},
    "node_name": "",
    "address": "",
    "port": 6443,
    "first": True,
    "host": "inventorys",
}


def uses(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Who uses which file for what, but for what is not in the table of certificates."""
    others = {"kubelet", "authentication-kubeconfig", "authorization-kubeconfig", "root-ca-file"}
    return {
        (one["component"], one["flag"], one["path"])
        for one in found["certificates"]
        if not {one["component"], one["flag"]} & others
    }


def test_it_is_what_kubeadm_writes(tmp_path: Path) -> None:
    made = Discovery(Host(str(SEEDS / "cp1")), True).run()
    told = before_init.look(Host(str(tmp_path)), WANTED)
    assert uses(told) <= uses(made)
    # What is left is about clients and signing, by files that are in the table for another flag.
    known = {path for _component, _flag, path in uses(told)} | {"/etc/kubernetes/pki/ca.key"}
    assert {path for _component, _flag, path in uses(made) - uses(told)} <= known
    assert set(told["components"]) == set(made["components"])
    assert set(made) - {"live", *told} == set()


def test_names_come_from_the_file_on_the_first_host_and_from_the_host_on_all_others(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    assert before_init.look(host, WANTED)["node_name"] == "inventorys"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("Own\n", encoding="utf-8")
    named = {**WANTED, "node_name": "files", "address": "192.0.2.1"}
    first, other = before_init.look(host, named), before_init.look(host, {**named, "first": False})
    assert (first["node_name"], other["node_name"]) == ("files", "own")
    addresses = [one["components"]["kube-apiserver"]["flags"].get("advertise-address") for one in (first, other)]
    assert addresses == ["192.0.2.1", None]
    assert "/etc/kubernetes/super-admin.conf" not in other["files"]["admin_kubeconfig"]


def test_an_etcd_elsewhere_has_no_certificates_here(tmp_path: Path) -> None:
    found = before_init.look(Host(str(tmp_path)), {**WANTED, "etcd": False})
    assert "etcd" not in found["components"]
    assert not [path for _component, _flag, path in uses(found) if "etcd" in path]


def test_what_is_there_is_seen(tmp_path: Path) -> None:
    for name in ("ca.crt", "ca.key", "etcd/ca.key", "other.key"):
        path = tmp_path / "srv/pki" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = before_init.look(Host(str(tmp_path)), {**WANTED, "directory": "/srv/pki"})["files"]
    assert found["pki_certificate"] == ["/srv/pki/ca.crt"]
    assert found["pki_key"] == ["/srv/pki/ca.key", "/srv/pki/etcd/ca.key"]


def test_a_host_with_a_cluster_is_refused() -> None:
    with pytest.raises(HardeningError, match="belongs to a cluster already") as refused:
        before_init.look(Host(str(SEEDS / "cp1")), WANTED)
    assert refused.value.number == "KH018"
