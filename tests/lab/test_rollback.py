# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rollback.yml on real clusters: hosts and API as they were before, also where the API server does not run any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.kubelab.harness import Cluster, Served
from lab.product import HardenRun, Product, wait_until
from lab.story import differences, keep_served

pytestmark = pytest.mark.slow

ONE = pytest.mark.on("1+1", name="rollback")
SEVERAL = pytest.mark.on("3+2", name="rollback")
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
DEFAULTS, DROP_IN = "/etc/default/kubelet", "/srv/kubelet.conf.d/10-theirs.conf"
# What beats the kubelet's configuration and falls short of it, so that a run writes there.
BEATING = f"""
set -eu
mkdir -p {DROP_IN.rpartition("/")[0]}
cat >{DROP_IN} <<'END'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
makeIPTablesUtilChains: false
END
echo 'KUBELET_EXTRA_ARGS="--config-dir={DROP_IN.rpartition("/")[0]} --event-qps=0"' >{DEFAULTS}
systemctl restart kubelet
"""
USERS = "sha256sum /etc/passwd /etc/group /etc/shadow /etc/gshadow"


def look(product: Product) -> dict[str, Any]:
    """What a rollback gives back: files, units, kernel settings, users, and what the runs change in the API.

    A certificate that a kubelet was given stays beside its own, without being used.
    """
    cluster = product.cluster

    def host(name: str) -> list[str]:
        lines = [line for line in product.content(name) if "/kubelet-server-" not in line]
        return [*lines, *cluster.ssh(name, USERS).stdout.splitlines()]

    proxy = cluster.objects("daemonset", "kube-proxy", "-n", "kube-system")["spec"]["template"]
    return {**product.on_each(host), "ConfigMaps": product.config_maps(), "kube-proxy": [json.dumps(proxy)]}


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def put_back(product: Product, before: dict[str, Any], times: dict[str, list[str]]) -> HardenRun:
    """Put the last run back, as check mode says, to what was there before it; once more changes nothing."""
    foretold = product.rollback("--check", "--diff").well()
    run = product.rollback().well()
    assert run.changes == foretold.changes != []
    assert differences(before, look(product)) == [], str(run)
    assert differences(times, product.on_each(product.times)) == []
    again = product.rollback().well()
    assert set(again.changed.values()) == {0}, str(again)
    assert again.changes == []
    return run


@ONE
def test_put_back_a_cluster_is_what_it_was_and_can_be_hardened_again(product: Product) -> None:
    product.cluster.ssh("w1", BEATING)
    product.cluster.wait_quiet()
    before, times = look(product), product.on_each(product.times)
    changes = product.harden(profile="cis").well().changes
    assert {DEFAULTS, DROP_IN} <= {change["target"] for change in changes if change["host"] == "w1"}
    hardened = look(product)
    assert differences(before, hardened)
    assert [line for line in hardened["w1"] if DROP_IN in line] != [line for line in before["w1"] if DROP_IN in line]
    run = put_back(product, before, times)
    assert "stays: a signed certificate cannot be taken back" in run.output
    product.harden(profile="cis").well()
    assert differences(hardened, look(product)) == []


@ONE
def test_an_api_server_that_does_not_run_any_more_is_put_back(product: Product) -> None:
    """There is nothing to lose, so the old bytes go in without its consent; ConfigMaps follow when it answers."""
    product.harden().well()
    cluster = product.cluster
    cluster.ssh("cp1", f"echo 'kind: Nonsense' > {POLICY}; kill $(ps -C kube-apiserver -o pid=)")
    answers = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=2s get --raw /readyz"
    wait_until("its end", 60, lambda: cluster.ssh("cp1", answers, check=False).returncode != 0, 0.5)
    run = product.rollback()
    assert run.code == 0, str(run)
    assert f"{POLICY} has been changed by someone else since run" in run.output
    assert "wait until the API answers" in run.output
    assert "audit" not in cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout
    assert "audit" not in product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    cluster.ssh("cp1", f"rm {POLICY}; rmdir /etc/kubernetes/kubeharden")


def lost_nothing(name: str, served: Served, product: Product) -> None:
    """Hold that clients lost nothing on a new connection, K but printed, and keep the figures."""
    keep_served(product.cluster, name, served)
    assert not [failure for failure in served.failures if failure["what"] == "watch"], served.output
    assert served.failed == 0, served.output
    assert served.requests > 500


@SEVERAL
def test_several_control_planes_are_put_back_without_a_lost_request(product: Product) -> None:
    """Two runs go back in one, and then the cluster is hardened again."""
    before, times = look(product), product.on_each(product.times)
    with product.cluster.poller() as served:
        first = product.harden().well()
    lost_nothing("before-rollback", served, product)
    with product.cluster.poller() as served:
        product.harden(profile="cis").well()
    lost_nothing("before-rollback-cis", served, product)
    document = json.loads((first.report / "changes.json").read_text(encoding="utf-8"))
    with product.cluster.poller() as served:
        run = product.rollback(run_id=document["run_id"])
    run.well()
    lost_nothing("rollback", served, product)
    assert differences(before, look(product)) == []
    assert differences(times, product.on_each(product.times)) == []
    with product.cluster.poller() as served:
        product.harden(profile="cis").well()
    lost_nothing("after-rollback", served, product)
