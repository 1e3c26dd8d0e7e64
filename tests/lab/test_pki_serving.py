# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-controller-manager and kube-scheduler of a real cluster serve: certificates of its authority, renewed live.

The tests are one story and run in their order.
"""

from __future__ import annotations

import functools
import re

import pytest
import yaml

from lab.kubelab.harness import Cluster
from lab.product import Product, restarted, wait_until, without_random
from lab.test_hosts_join import is_ready, leave, token_join

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="serving")]

PKI = "/etc/kubernetes/pki"
#: By component, where it listens.
PORTS = {"controller-manager": 10257, "scheduler": 10259}
BOTH = {f"kube-{name}" for name in PORTS}
#: As root of the host: what a component answers to who verifies it by the cluster's authority.
_ASK = "curl -sS --max-time 10 --cacert {pki}/ca.crt https://localhost:{port}/healthz"
_SERIAL = "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def answer(product: Product, name: str, host: str = "cp1") -> str:
    return product.cluster.ssh(host, _ASK.format(pki=PKI, port=PORTS[name]), check=False).stdout


def serials(product: Product) -> dict[str, str]:
    """By component, the serial number of what it shows."""
    return {name: product.cluster.ssh("cp1", _SERIAL.format(port=port)).stdout.strip() for name, port in PORTS.items()}


def laid_serials(product: Product) -> dict[str, str]:
    """By component, the serial number of what lies on the host."""
    look = "openssl x509 -noout -serial -in {}/{}/server.crt"
    return {name: product.cluster.ssh("cp1", look.format(PKI, name)).stdout.strip() for name in PORTS}


def seen_by_scheduler(product: Product) -> set[str]:
    """The files of kubeadm's directory that are in the scheduler's container."""
    listing = f"find /proc/$(pgrep -o -x kube-scheduler)/root{PKI} -type f -printf '%P\\n'"
    return set(product.cluster.ssh("cp1", listing).stdout.split())


def test_by_themselves_nobody_can_verify_them(product: Product) -> None:
    product.harden().well()
    assert {answer(product, name) for name in PORTS} == {""}


def test_both_serve_what_is_foretold_and_a_second_run_changes_nothing(product: Product) -> None:
    foretold = product.harden("--check", pki_component_serving=True).well()
    before = product.on_each(product.processes)
    run = product.harden(pki_component_serving=True).well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert restarted(before["cp1"], product.on_each(product.processes)["cp1"]) == BOTH
    assert {answer(product, name) for name in PORTS} == {"ok"}
    assert serials(product) == laid_serials(product)
    assert seen_by_scheduler(product) == {"scheduler/server.crt", "scheduler/server.key"}
    second = product.harden(pki_component_serving=True).well()
    assert second.changes == []
    assert second.changed == {"cp1": 0, "w1": 0}


def manifest(text: str) -> tuple[list[str], list[tuple[str, bool]]]:
    """The words with which a static pod is started, and what it sees of kubeadm's directory, read-only or not."""
    spec = yaml.safe_load(text)["spec"]
    paths = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"]}
    mounted = [(paths[one["name"]], one.get("readOnly", False)) for one in spec["containers"][0]["volumeMounts"]]
    return sorted(spec["containers"][0]["command"]), sorted(one for one in mounted if one[0].startswith(PKI))


def test_kubeadm_would_write_the_same(product: Product) -> None:
    """As its upgrade does, from what its ConfigMap says."""
    text = product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    product.cluster.ssh("cp1", "mkdir -p /root/made; cat >/root/kubeadm.yaml", stdin=text)
    make = (
        "KUBEADM_INIT_DRYRUN_DIR=/root/made kubeadm init phase control-plane all --config /root/kubeadm.yaml --dry-run"
    )
    product.cluster.ssh("cp1", make)
    for name in sorted(BOTH):
        live, made = (
            manifest(product.cluster.ssh("cp1", f"cat {folder}/{name}.yaml").stdout)
            for folder in ("/etc/kubernetes/manifests", "/root/made")
        )
        assert made == live
        assert f"--tls-cert-file={PKI}/{name.partition('-')[2]}/server.crt" in made[0]
        assert made[1] == ([(f"{PKI}/scheduler", True)] if name == "kube-scheduler" else [(PKI, True)])


def test_a_renewed_one_is_served_without_a_restart(product: Product) -> None:
    before, processes = serials(product), product.on_each(product.processes)
    only = ["controller-manager-server", "scheduler-server"]
    run = product.rotate(pki_renew="all", pki_only=only, pki_component_serving=True).well()
    assert {change["target"] for change in run.changes} == {
        f"{PKI}/{name}/server.{suffix}" for name in PORTS for suffix in ("crt", "key")
    }
    now = serials(product)
    assert all(now[name] != before[name] for name in PORTS)
    assert now == laid_serials(product)
    assert product.on_each(product.processes) == processes
    assert {answer(product, name) for name in PORTS} == {"ok"}


def test_with_all_others_too_and_when_nobody_asks_for_them_any_more(product: Product) -> None:
    before = serials(product)
    product.rotate(pki_renew="all").well()
    now = serials(product)
    assert all(now[name] != before[name] for name in PORTS)
    assert now == laid_serials(product)
    for name in PORTS:
        wait_until(f"kube-{name}", 60, functools.partial(lambda one: answer(product, one) == "ok", name), 1)
    assert product.rotate().well().changes == []
    assert product.harden().well().changes == []


def with_another_control_plane(cluster: Cluster, host: str) -> Cluster:
    """The cluster with an inventory that calls a worker a control plane."""
    inventory = yaml.safe_load(cluster.inventory.read_text(encoding="utf-8"))
    groups = inventory["all"]["children"]
    data = groups["kube_node"]["hosts"].pop(host)
    for name in ("kube_control_plane", "etcd"):
        groups[name]["hosts"][host] = data
    grown = Cluster(cluster.directory)
    grown.inventory = cluster.directory / "grown.yml"
    grown.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return grown


def test_a_new_control_plane_serves_its_own_from_its_first_start(product: Product) -> None:
    """The worker leaves, and a new machine in its place joins as a control plane: kubeadm writes the flags."""
    cluster = product.cluster
    leave(cluster, "w1")
    grown = Product(with_another_control_plane(cluster, "w1"))
    foretold = grown.play("prepare_node.yml", "--check", "--limit", "w1").well()
    run = grown.play("prepare_node.yml", "--limit", "w1").well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert {change["host"] for change in run.changes} == {"w1"}
    uploaded = cluster.ssh("cp1", "kubeadm init phase upload-certs --upload-certs").stdout
    (key,) = re.findall(r"^([0-9a-f]{64})$", uploaded, re.MULTILINE)
    command = f"{token_join(cluster)} --control-plane --certificate-key {key} --ignore-preflight-errors=all"
    joined = cluster.ssh("w1", command)
    # What kubeadm's preflight minds is a warning here: that something lies there already is none of it.
    assert "FileAvailable" not in joined.stdout + joined.stderr
    wait_until("node w1", 180, functools.partial(is_ready, cluster, "w1"), 1)
    for name in PORTS:
        is_verified = functools.partial(lambda one: answer(product, one, "w1") == "ok", name)
        wait_until(f"kube-{name} of w1", 60, is_verified, 1)
    # What an API server is set to depends on how many there are; to these two nothing is added.
    changes = grown.harden().well().changes
    manifests = {change["target"].rsplit("/", 1)[1] for change in changes if change["kind"] == "manifest"}
    assert manifests <= {"kube-apiserver.yaml"}
    assert [change for change in changes if change["kind"] == "file" and "/pki/" in change["target"]] == []
    assert grown.rotate().well().changes == []
