# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new machine joins a real cluster by TLS bootstrap: nobody runs `kubeadm join` on it, and its unit is the bare one.

The tests are one story and run in their order.
"""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

import pytest

from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import HardenRun, Product, wait_until, without_random
from lab.story import POD, is_ready, leave

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="bootstrap")]

NODE = "w1"
BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeharden.conf"
ROTATION = "kubeadm:node-autoapprove-certificate-rotation"
TOKEN = f"Secret in kube-system with a bootstrap token of {NODE}"
# The public half of the token in the kubeconfig, and the secret one.
READ_TOKEN = f"sed -n 's/^ *token: //p' {BOOTSTRAP}"


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def prepare(product: Product, *arguments: str, **variables: Any) -> HardenRun:
    return product.play("prepare_node.yml", *arguments, "--limit", NODE, pki_bootstrap=True, **variables).well()


def told(run: HardenRun) -> set[tuple[str, str, str]]:
    kinds = [change for change in run.changes if change["kind"] != "directory"]
    return {(change["host"], change["action"], change["target"]) for change in kinds}


def our_tokens(cluster: Cluster) -> list[str]:
    """The ids of the tokens that were made for the node; the lab's own are kubeadm's."""
    secrets = cluster.objects("secrets", "-n", "kube-system", "--field-selector=type=bootstrap.kubernetes.io/token")
    found = [
        {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
        for secret in secrets["items"]
    ]
    return [one["token-id"] for one in found if one.get("description") == f"Kubeharden: {NODE} joins with it"]


def bindings(cluster: Cluster) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.objects("clusterrolebindings")["items"]}


def test_a_new_machine_has_the_kubelets_package_alone(product: Product) -> None:
    cluster = product.cluster
    leave(cluster, NODE)
    cluster.ssh(NODE, "systemctl disable -q --now kubelet; rm /usr/lib/systemd/system/kubelet.service.d/*.conf")
    # What kubeadm made for a cluster of its own may be missing where nobody runs it.
    cluster.kubectl("delete", "clusterrolebinding", ROTATION)


def test_check_mode_foretells_what_is_made_and_laid(product: Product) -> None:
    cluster = product.cluster
    before = product.attributes(NODE), product.attributes("cp1")
    foretold = prepare(product, "--check")
    assert (product.attributes(NODE), product.attributes("cp1")) == before
    assert (our_tokens(cluster), ROTATION in bindings(cluster)) == ([], False)
    run = prepare(product, "--diff", "-vvvv")
    assert without_random(foretold.changes) == without_random(run.changes)
    assert told(run) == {
        ("cp1", "create", f"ClusterRoleBinding {ROTATION}"),
        ("cp1", "create", TOKEN),
        (NODE, "create", "/etc/kubernetes/pki/ca.crt"),
        (NODE, "create", BOOTSTRAP),
        (NODE, "create", DROP_IN),
        (NODE, "create", "/var/lib/kubelet/instance-config.yaml"),
        (NODE, "create", "/var/lib/kubelet/config.yaml"),
    }
    assert f"{NODE} joins when its kubelet is started: `systemctl daemon-reload" in run.output
    assert f"Through cp1 was done: create ClusterRoleBinding {ROTATION}, create {TOKEN}." in run.output
    token = cluster.ssh(NODE, READ_TOKEN).stdout.strip()
    public, _dot, secret = token.partition(".")
    assert our_tokens(cluster) == [public]
    assert len(secret) == 16
    assert secret not in run.output
    assert cluster.ssh(NODE, f"stat -c %a {BOOTSTRAP}").stdout.strip() == "600"
    kept = cluster.ssh(NODE, f"grep -rlF {secret} /etc /var/lib/kubeharden /run /root /tmp", check=False).stdout
    assert kept.split() == [BOOTSTRAP]
    for place in ("/var/lib/kubeharden", "/root", "/tmp", "/var/log"):
        assert cluster.ssh("cp1", f"grep -rlF {secret} {place}", check=False).stdout == ""


def test_a_second_run_changes_nothing_and_makes_no_second_token(product: Product) -> None:
    before, made = product.attributes(NODE), our_tokens(product.cluster)
    assert prepare(product).changes == []
    assert product.attributes(NODE) == before
    assert our_tokens(product.cluster) == made


def test_verify_takes_no_offence_at_the_token(product: Product) -> None:
    run = product.verify("--limit", "cp1")
    assert run.code == 0, str(run)
    statuses = run.statuses("cluster")
    assert {statuses["bootstrap-tokens"], statuses["bootstrap-rights"]} == {"pass"}, str(run)


def test_the_node_joins_when_its_kubelet_is_started(product: Product) -> None:
    cluster = product.cluster
    cluster.ssh(NODE, "systemctl daemon-reload && systemctl enable -q --now kubelet")
    wait_until(f"node {NODE}", 180, functools.partial(is_ready, cluster, NODE), 1)
    cluster.wait_quiet()
    assert "kubelet-client-current.pem" in cluster.ssh(NODE, "cat /etc/kubernetes/kubelet.conf").stdout
    look = "openssl x509 -noout -subject -in /var/lib/kubelet/pki/kubelet-client-current.pem"
    assert f"system:node:{NODE}" in cluster.ssh(NODE, look).stdout
    answer = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/configz").stdout)
    assert answer["kubeletconfig"]["rotateCertificates"] is True
    cluster.kubectl("apply", "-f", "-", stdin=POD.format(name="on-new", node=NODE, image=TEST_IMAGE))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/on-new", "--timeout=120s")
    cluster.kubectl("exec", "on-new", "--", "/bin/sh", "-c", "true")


def test_the_next_run_removes_the_token_and_the_one_after_has_nothing_to_do(product: Product) -> None:
    cluster = product.cluster
    foretold = prepare(product, "--check")
    run = prepare(product)
    assert told(run) == {("cp1", "remove", TOKEN), (NODE, "remove", BOOTSTRAP)}
    assert without_random(foretold.changes) == without_random(run.changes)
    assert our_tokens(cluster) == []
    assert cluster.ssh(NODE, f"ls {BOOTSTRAP}", check=False).stdout == ""
    assert prepare(product).changes == []


def test_a_kubelet_without_the_bootstrap_file_starts_again(product: Product) -> None:
    cluster = product.cluster
    cluster.ssh(NODE, "systemctl restart kubelet && sleep 15 && systemctl is-active kubelet")
    assert is_ready(cluster, NODE)


def test_the_cluster_is_hardened_with_it_and_a_second_run_changes_nothing(product: Product) -> None:
    product.harden(profile="cis").well()
    run = product.harden(profile="cis").well()
    assert run.changes == []
    found = product.cluster.kube_bench(NODE)
    assert [line for line in found if line.startswith("FAIL")] == [], found


def test_a_rollback_leaves_the_node_in_the_cluster(product: Product) -> None:
    """What it joined with stays, and that is said."""
    cluster = product.cluster
    (first, *_others) = cluster.ssh(NODE, "ls -tr /var/lib/kubeharden/backups").stdout.split()
    run = product.rollback(run_id=first).well()
    assert f"/var/lib/kubelet/config.yaml of run {first} stays: a node that joined with it would be lost" in run.output
    assert "rotateCertificates: true" in cluster.ssh(NODE, "cat /var/lib/kubelet/config.yaml").stdout
    assert is_ready(cluster, NODE)
