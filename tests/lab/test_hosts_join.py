# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane and a worker join a cluster that is hardened, while its clients lose no request.

It is the cluster of test_harden_several.py, after everything else. The lab makes its hosts with a cluster on them, so
two leave it first, and new machines take their places: the product has never seen them, and kubeadm neither. The tests
run in their order.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import pytest
import yaml

from lab.each_version import on_each_version
from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import ARTEFACTS, Product, announced, restarted, shape_of, wait_until, without_random
from lab.story import POD, differences, is_ready, keep_served, leave, lost, story_of

pytestmark = on_each_version("3+2", in_ci=1)

NEW = ("cp3", "w2")
OLD = ("cp1", "cp2", "w1")
#: Of each new host, one that joined before it: of the same kind, by the same command.
LIKE = {"cp3": "cp2", "w2": "w1"}
FILES = "/etc/kubernetes/kubeharden"
APPROVED = "CertificateSigningRequest of "

# The command lines of the static pods, one word a line.
_COMMANDS = """
for name in kube-apiserver kube-controller kube-scheduler etcd; do
  tr '\\0' '\\n' </proc/$(pgrep -o "^$name")/cmdline
done
"""

ETCDCTL = (
    "exec",
    "--namespace=kube-system",
    "etcd-cp1",
    "--",
    "etcdctl",
    "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
    "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key",
    "--write-out=json",
)

ROLLED = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: rolled
spec:
  replicas: 4
  selector: {{matchLabels: {{app: rolled}}}}
  template:
    metadata:
      labels: {{app: rolled}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: probe
        image: {image}
        args: [serve]
        readinessProbe:
          httpGet: {{path: /, port: 8080}}
          periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: rolled
spec:
  selector: {{app: rolled}}
  ports:
  - port: 80
    targetPort: 8080
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


# Steps


def token_join(cluster: Cluster) -> str:
    """The command with which a worker joins."""
    return cluster.ssh("cp1", "kubeadm token create --print-join-command").stdout.strip()


def join(cluster: Cluster, host: str, command: str) -> None:
    """Join, as the lab's own clusters do: there is no kernel configuration for kubeadm's preflight to look at."""
    cluster.ssh(host, f"{command} --ignore-preflight-errors=all")
    # The kubelet registers its node some moments later.
    wait_until(f"node {host}", 180, functools.partial(is_ready, cluster, host), 1)


def without_new_hosts(cluster: Cluster) -> Cluster:
    """The cluster with an inventory in which nobody has written the new hosts yet."""
    inventory = yaml.safe_load(cluster.inventory.read_text(encoding="utf-8"))
    for group in inventory["all"]["children"].values():
        group["hosts"] = {name: data for name, data in group["hosts"].items() if name not in NEW}
    earlier = Cluster(cluster.directory)
    earlier.inventory = cluster.directory / "earlier.yml"
    earlier.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return earlier


# Looks


def commands(cluster: Cluster, host: str) -> list[str]:
    """The words that a control plane's static pods were started with, without what is each host's own."""
    own = {cluster.lab.host(host).address: "ADDRESS", host: "NAME"}
    words = cluster.ssh(host, _COMMANDS).stdout.splitlines()
    # Who was there first is known to etcd by these, and to nobody else.
    words = [word for word in words if not word.startswith("--initial-cluster")]
    return sorted(re.sub("|".join(map(re.escape, own)), lambda match: own[match[0]], word) for word in words)


def configuration(cluster: Cluster, host: str) -> dict[str, Any]:
    """What a kubelet says that it runs with."""
    answer = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{host}/proxy/configz").stdout)
    assert isinstance(answer["kubeletconfig"], dict)
    return answer["kubeletconfig"]


def laid(cluster: Cluster, host: str) -> list[str]:
    """Names, bytes, modes and owners of the files that the static pods' flags name."""
    look = f"sha256sum {FILES}/*.yaml; stat -c '%n %a %U %G' {FILES} {FILES}/*.yaml /var/log/kubernetes/audit"
    return cluster.ssh(host, look).stdout.splitlines()


def answers(cluster: Cluster, pod: str) -> bool:
    """Whether a pod reaches the Service of the Deployment by its name."""
    get = ("exec", pod, "--", "/bin/probe", "get", "http://rolled.default.svc.cluster.local")
    return cluster.kubectl(*get, check=False).stdout.startswith("rolled-")


# The story


def test_a_control_plane_and_a_worker_leave_and_the_rest_is_right(product: Product) -> None:
    cluster = product.cluster
    story_of(cluster, "cis").bench_after  # noqa: B018
    for host in NEW:
        leave(cluster, host)
    cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
    cluster.kubectl("wait", "--for=condition=Ready", "pods", "--all", "-n", "kube-system", "--timeout=180s")
    assert {node["metadata"]["name"] for node in cluster.objects("nodes")["items"]} == set(OLD)
    run = Product(without_new_hosts(cluster)).harden("--check", profile="cis").well()
    assert run.changes == []


def test_a_new_control_plane_is_given_what_its_flags_will_name_and_nobody_else_is_touched(product: Product) -> None:
    cluster = product.cluster
    before = {host: product.attributes(host) for host in (*OLD, "w2")}
    foretold = product.play("prepare_node.yml", "--check", "--limit", "cp3", profile="cis").well()
    assert not product.exists("cp3", FILES)
    run = product.play("prepare_node.yml", "--limit", "cp3", profile="cis").well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert {(change["host"], tuple(change["restart"])) for change in run.changes} == {("cp3", ())}
    assert laid(cluster, "cp3") == laid(cluster, "cp1")
    for host, look in before.items():
        assert differences(look, product.attributes(host)) == [], host
    again = product.play("prepare_node.yml", "--limit", "cp3", profile="cis").well()
    assert again.changes == []


def test_clients_lose_no_request_while_both_join_and_are_hardened(product: Product) -> None:
    cluster = product.cluster
    with cluster.poller() as served:
        join(cluster, "w2", token_join(cluster))
        uploaded = cluster.ssh("cp1", "kubeadm init phase upload-certs --upload-certs").stdout
        (key,) = re.findall(r"^([0-9a-f]{64})$", uploaded, re.MULTILINE)
        join(cluster, "cp3", f"{token_join(cluster)} --control-plane --certificate-key {key}")
        cluster.wait_quiet()
        old, joined = product.on_each(product.processes), commands(cluster, "cp3")
        foretold = product.harden("--check", profile="cis")
        run = product.harden(profile="cis")
    keep_served(cluster, "joins", served)
    assert lost(served, run) == [], served.output
    assert served.requests > 500

    # kubeadm wrote what its ConfigMap says: every flag of the hosts that are there.
    assert differences(commands(cluster, "cp2"), joined) == []
    assert any(word.startswith("--kubelet-certificate-authority=") for word in joined)

    # So the run has nothing to add to them. It makes the rest right, and of the old hosts it wants nothing.
    changes = run.well().changes
    assert without_random(foretold.well().changes) == without_random(changes)
    assert [change for change in changes if change["kind"] == "manifest"] == []
    of_old = [change["target"] for change in changes if change["host"] not in NEW]
    assert sorted(of_old) == [f"{APPROVED}{host} for its serving certificate" for host in NEW]
    assert {change["host"] for change in changes} >= set(NEW)
    new = product.on_each(product.processes)
    for host in cluster.hosts:
        # These two end by themselves where a busy machine lets their lease run out.
        seen = restarted(old[host], new[host]) - {"kube-controller-manager", "kube-scheduler"}
        assert seen == (announced(changes, host) if host in NEW else set()), host
        assert not seen & {"kube-apiserver", "etcd"}, host


def test_the_new_kubelets_run_with_what_the_old_ones_run_with(product: Product) -> None:
    for new, old in LIKE.items():
        assert differences(configuration(product.cluster, old), configuration(product.cluster, new)) == [], new
        assert configuration(product.cluster, new)["protectKernelDefaults"] is True, new


def test_a_second_run_changes_nothing(product: Product) -> None:
    run = product.harden(profile="cis").well()
    assert run.changed == dict.fromkeys(product.cluster.hosts, 0), str(run)
    assert run.changes == []


def test_etcd_has_one_more_member_and_every_one_is_well(product: Product) -> None:
    members = json.loads(product.cluster.kubectl(*ETCDCTL, "member", "list").stdout)["members"]
    assert sorted(member["name"] for member in members) == product.cluster.control_planes
    assert not [member for member in members if member.get("isLearner")]
    health = json.loads(product.cluster.kubectl(*ETCDCTL, "endpoint", "health", "--cluster").stdout)
    assert [member["health"] for member in health] == [True] * len(product.cluster.control_planes), health


def test_logs_and_exec_names_and_services_work_on_the_new_hosts(product: Product) -> None:
    cluster = product.cluster
    for host in NEW:
        cluster.kubectl("apply", "-f", "-", stdin=POD.format(name=f"on-{host}", node=host, image=TEST_IMAGE))
    cluster.kubectl("apply", "-f", "-", stdin=ROLLED.format(image=TEST_IMAGE))
    rolled = ("rollout", "status", "deployment/rolled", "--timeout=180s")
    cluster.kubectl(*rolled)
    cluster.kubectl("rollout", "restart", "deployment/rolled")
    cluster.kubectl(*rolled)
    nodes = {pod["spec"]["nodeName"] for pod in cluster.objects("pods", "-l", "app=rolled")["items"]}
    assert "w2" in nodes, nodes
    address = cluster.objects("service", "rolled")["spec"]["clusterIP"]
    for host in NEW:
        pod = f"on-{host}"
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=120s")
        cluster.kubectl("exec", pod, "--", "/bin/sh", "-c", "echo said-by-a-new-host >/proc/1/fd/1")
        assert "said-by-a-new-host" in cluster.kubectl("logs", pod).stdout
        # kube-proxy learns of a ready pod a moment after kubectl does.
        wait_until(f"the Service from {pod}", 30, functools.partial(answers, cluster, pod), 1)
        assert cluster.ssh(host, f"curl -sS --max-time 5 http://{address}").stdout.startswith("rolled-"), host


def test_kube_bench_finds_nothing_on_the_new_hosts(product: Product) -> None:
    folder = ARTEFACTS / "kube-bench" / shape_of(product.cluster)
    folder.mkdir(parents=True, exist_ok=True)
    for host in NEW:
        found = product.cluster.kube_bench(host, keep=folder / f"joined-{host}.json")
        assert [line for line in found if line.startswith("FAIL")] == [], host
