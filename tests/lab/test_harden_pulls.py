# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AlwaysPullImages in profile cis: only when every node has pulled what pods run, and else the images are named.

The tests are one story and run in their order. One image comes from a registry that wants a password, one was loaded
by hand and no registry has it.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.kubelab import state
from lab.kubelab.base import HERE
from lab.kubelab.harness import Cluster
from lab.kubelab.images import registry_configuration
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import HardenRun, Product, kill_run, restarted, wait_until, without_random
from tools.reference import left_by_kube_bench

pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", name="pulls")]

CONTROL = "apiserver-always-pull-images"
PLUGIN = "AlwaysPullImages"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
JOURNAL = "/var/lib/kubeharden/journal.json"
AFTER = "every node has pulled afresh each image that pods run"
SERVED = "every kubelet serves a certificate of the cluster's authority"
OWN = "own.lab.invalid/own:1"
PRIVATE = "private.lab.invalid/tools:1"
PORT = 5001
PROBES = ("pods", "--all-namespaces", "-l", "kubeharden.core/probe")

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: steady, namespace: {namespace}}}
spec:
  nodeName: w1
  terminationGracePeriodSeconds: 0
  imagePullSecrets: {secrets}
  containers:
  - {{name: probe, image: "{image}", imagePullPolicy: {policy}, args: {args}}}
"""


def pod(
    cluster: Cluster,
    namespace: str,
    image: str,
    policy: str = "IfNotPresent",
    secrets: str = "[]",
    args: str = "[serve]",
) -> None:
    """Make a pod on w1 and wait until it runs."""
    text = POD.format(namespace=namespace, image=image, policy=policy, secrets=secrets, args=args)
    cluster.kubectl("apply", "-f", "-", stdin=text)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What the tests of this file have started beside the lab."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        kill_run(process)


def make_private_registry(cluster: Cluster, servers: list[subprocess.Popen[bytes]]) -> str:
    """Serve the lab's images once more, for whoever has a password; returns it."""
    password = secrets.token_hex(8)
    home = cluster.directory / "registry"
    # Debian's libcrypt knows bcrypt, which is all that docker-registry reads.
    salt = f"$2y$05${secrets.token_hex(11)}"
    hashed = cluster.run("perl", "-e", "print crypt(<STDIN>, $ARGV[0])", salt, stdin=password).stdout
    (home / "htpasswd").write_text(f"puller:{hashed}\n", encoding="utf-8")
    # What the cache has, which nobody may change.
    guarded = registry_configuration(Path(cluster.lab.node) / "registry", f"{state.GATEWAY}:{PORT}")
    guarded = guarded.replace("storage:\n", "storage:\n  maintenance: {readonly: {enabled: true}}\n")
    guarded += f"auth:\n  htpasswd:\n    realm: lab\n    path: {home}/htpasswd\n"
    (home / "private.yml").write_text(guarded, encoding="utf-8")
    with (home / "private.log").open("wb") as log:
        servers.append(
            subprocess.Popen(
                [HERE / "lab", "in", cluster.directory, "docker-registry", "serve", home / "private.yml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )
    hosts = f'[host."http://{state.GATEWAY}:{PORT}"]\n  capabilities = ["pull", "resolve"]\n'
    for host in cluster.hosts:
        folder = "/etc/containerd/certs.d/private.lab.invalid"
        cluster.ssh(host, f"mkdir -p {folder} && cat >{folder}/hosts.toml", stdin=hosts)
    return password


def make_secret(cluster: Cluster, namespace: str, password: str) -> None:
    auth = base64.b64encode(f"puller:{password}".encode()).decode()
    text = json.dumps({"auths": {"private.lab.invalid": {"auth": auth}}})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": text},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(secret))


def plugins(product: Product) -> str:
    """What the running API server was started with."""
    words = product.cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout.split()
    return next(word for word in words if word.startswith("--enable-admission-plugins="))


def waiting(changes: list[dict[str, Any]], state: str) -> set[tuple[str, str]]:
    """What of a run waits for a state, maybe beside another one."""
    return {(change["host"], change["target"]) for change in changes if state in change["after"].split("; ")}


def pulled(run: HardenRun) -> bool:
    """Whether the task that lets nodes pull was more than skipped."""
    _before, found, task = run.output.partition("Let every node pull afresh what pods run")
    assert found, run.output
    return "\nskipping: [cp1]" not in task.partition("\nTASK ")[0]


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def test_an_image_that_no_registry_has_keeps_the_plugin_off_and_is_named(
    product: Product, servers: list[subprocess.Popen[bytes]]
) -> None:
    cluster = product.cluster
    password = make_private_registry(cluster, servers)
    for namespace in ("hand", "shop", "bank"):
        cluster.kubectl("create", "namespace", namespace)
    make_secret(cluster, "bank", password)
    pod(cluster, "shop", TEST_IMAGE)
    pod(cluster, "bank", PRIVATE, secrets="[{name: pull}]")
    # One that was there before the kubelet: it lets no pod have what it pulled for another one under another name.
    pause = cluster.ssh("w1", "ctr -n k8s.io images ls -q name~=pause").stdout.split()[0]
    cluster.ssh("w1", f"ctr -n k8s.io images tag {pause} {OWN}")
    pod(cluster, "hand", OWN, policy="Never", args="[]")

    foretold = product.harden("--check", profile="cis").well()
    later = {("cp1", MANIFEST), ("cp1", "ConfigMap kube-system/kubeadm-config")}
    assert later == waiting(foretold.changes, AFTER) == waiting(foretold.changes, SERVED)
    assert cluster.objects(*PROBES)["items"] == []
    run = product.harden(profile="cis", verified=True).well()
    named = [line for line in run.output.splitlines() if f"{PLUGIN} was not switched on" in line]
    assert len(named) == 1, run.output
    assert f"{OWN} of namespace hand on w1 (the registry cannot be reached)" in named[0]
    assert PRIVATE not in named[0]
    assert TEST_IMAGE not in named[0]
    assert password not in run.output
    assert PLUGIN not in plugins(product)
    assert "--kubelet-certificate-authority" in cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout
    assert PLUGIN not in str(product.config_maps()["kubeadm-config"])
    assert cluster.objects(*PROBES)["items"] == []
    assert not product.exists("cp1", JOURNAL)
    assert later == waiting(run.changes, SERVED)
    assert waiting(run.changes, AFTER) == set()
    # Nothing else differs from what check mode said.
    first = [change for change in without_random(foretold.changes) if AFTER not in change["after"].split("; ")]
    second = [change for change in without_random(run.changes) if change["controls"] != ["apiserver-kubelet-authority"]]
    assert first == second
    assert run.verified.statuses("cp1")[CONTROL] == "explained"
    # What a person does next is below the table of the verification.
    shown = run.output.partition("\nPLAY RECAP")[0].splitlines()
    last = [line for line in shown if line.strip() and not line.startswith(("ok: ", "skipping: ", "changed: "))]
    assert "The next approval is due by" in last[-2], run.output
    assert "keeps all of this only with --patches" in last[-1], run.output
    assert not any(change["controls"] == [CONTROL] for change in run.changes)


def test_a_second_run_tries_again_and_changes_nothing(product: Product) -> None:
    before = product.processes("cp1")
    again = product.harden(profile="cis").well()
    assert again.changes == []
    assert f"{OWN} of namespace hand on w1" in again.output
    assert pulled(again)
    assert restarted(before, product.processes("cp1")) == set()


def test_what_a_dead_run_left_is_removed_by_the_next(product: Product, tmp_path: Path) -> None:
    cluster = product.cluster
    process = product.start(tmp_path / "log", "--skip-tags", "verify", profile="cis")
    wait_until("the pods that pull", 300, lambda: bool(cluster.objects(*PROBES)["items"]))
    kill_run(process)
    cluster.ssh("cp1", "for pid in $(ps -C python3 -o pid=); do kill -9 $pid; done")
    assert product.exists("cp1", JOURNAL)
    left = [item["metadata"]["name"] for item in cluster.objects(*PROBES)["items"]]
    assert left
    run = product.harden("--tags", "files").well("ended early without giving its lock back")
    assert "died while nodes pulled images:" in run.output
    assert all(name in run.output for name in left)
    assert cluster.objects(*PROBES)["items"] == []
    assert not product.exists("cp1", JOURNAL)


def test_when_every_image_comes_it_is_on_and_pods_come_back(product: Product) -> None:
    cluster = product.cluster
    cluster.kubectl("-n", "hand", "delete", "pod", "steady")
    foretold = product.harden("--check", profile="cis").well()
    run = product.harden(profile="cis", verified=True).well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert {("cp1", MANIFEST), ("cp1", "ConfigMap kube-system/kubeadm-config")} == waiting(run.changes, AFTER)
    assert waiting(run.changes, SERVED) == set()
    assert len(run.changes) == 2
    assert PLUGIN in plugins(product)
    assert PLUGIN in product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    assert run.verified.statuses("cp1")[CONTROL] == "pass"
    assert cluster.objects(*PROBES)["items"] == []

    # With the password it comes again, without it not, though the node has the image.
    cluster.kubectl("-n", "bank", "delete", "pod", "steady")
    pod(cluster, "bank", PRIVATE, secrets="[{name: pull}]")
    found = cluster.objects("pod", "steady", "-n", "bank")["spec"]["containers"][0]["imagePullPolicy"]
    assert found == "Always"
    stranger = POD.format(namespace="shop", image=PRIVATE, policy="IfNotPresent", secrets="[]", args="[serve]")
    stranger = stranger.replace("steady", "st")
    cluster.kubectl("apply", "-f", "-", stdin=stranger)

    def refused() -> bool:
        statuses = cluster.objects("pod", "st", "-n", "shop")["status"].get("containerStatuses") or [{}]
        waiting = (statuses[0].get("state") or {}).get("waiting") or {}
        return waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff")

    wait_until("the pod without the password is refused", 60, refused)
    cluster.kubectl("-n", "shop", "delete", "pod", "st")
    cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns", "daemonset/kube-proxy")
    for workload in ("deployment/coredns", "daemonset/kube-proxy"):
        cluster.kubectl("-n", "kube-system", "rollout", "status", workload, "--timeout=120s")


def test_where_it_is_on_nobody_pulls_and_kube_bench_is_content(product: Product) -> None:
    again = product.harden(profile="cis").well()
    assert again.changes == []
    assert not pulled(again)
    assert product.bench("pulls")["cp1"] == set()
    assert ("WARN", "1.2.11") not in product.left_by_bench("pulls")["cp1"]
    assert ("WARN", "1.2.11") not in left_by_kube_bench("cis", "control_plane")


def test_rollback_takes_it_away_again(product: Product) -> None:
    product.rollback().well()
    assert PLUGIN not in plugins(product)
    assert PLUGIN not in product.config_maps()["kubeadm-config"]["ClusterConfiguration"]
    assert "--kubelet-certificate-authority" in product.cluster.ssh("cp1", "ps -C kube-apiserver -o args=").stdout
