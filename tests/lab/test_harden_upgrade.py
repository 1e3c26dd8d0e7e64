# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubeadm's upgrades leave of a hardened cluster: to the next minor version, and once more to the same.

After each of them rotate_certificates.yml finds nothing to renew, whether kubeadm renewed certificates or not.

The tests are one story for each cluster and run in their order. Of several control planes all but the first take
`kubeadm upgrade node`, which writes their static pods from what kubeadm's ConfigMap says.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import yaml

from lab.kubelab import bring, components
from lab.kubelab.harness import Cluster
from lab.product import Product, restarted, without_random
from lab.story import differences

FIRST = "1.36"
NEXT = "1.37"
OLDEST = components.minors()[-1]
pytestmark = [pytest.mark.slow, pytest.mark.on("1+1", version=FIRST, name="upgrade")]
# Three, since the etcd of two is gone while one of them restarts.
several = pytest.mark.on("3+1", version=FIRST, name="upgrade-several")

PATCHES = "/etc/kubernetes/kubeharden/patches"
#: The lab's hosts have cgroups of version 1, which are an error since 1.35.
IGNORED = "--ignore-preflight-errors=SystemVerification"
# kubeadm's health check is a job, `pause -v` on any node. A real pause says its version and ends; the lab's is ended.
_END_HEALTH_CHECKS = "systemd-run --quiet sh -c 'while sleep 1; do pkill -f \"^/pause -v\"; done'"
# Each component's own command line, owners and modes, and kube-proxy's rights. By what members an etcd began counts no
# more: who joined one was told all of them, and `kubeadm upgrade node` writes its own alone.
_IN_FORCE = """
for name in kube-apiserver kube-controller kube-scheduler etcd kube-proxy kubelet; do
  pid=$(pgrep -o "^$name") && echo "$name" && tr '\\0' '\\n' </proc/$pid/cmdline | grep -v '^--initial-cluster' | sort
done
find /etc/kubernetes /var/lib/etcd -path /etc/kubernetes/tmp -prune -o -path '/var/lib/etcd/*' -prune \\
  -o -printf '%p %m %u %g\\n' | sort
find /var/lib/kubelet -maxdepth 1 -name '*.yaml' -printf '%p %m %u %g\\n' | sort
grep CapEff /proc/$(pgrep -o '^kube-proxy')/status
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def in_force(product: Product) -> dict[str, Any]:
    """By host: flags of what runs, owners and modes, and of the kubelet's file what it reports to be in force."""
    cluster = product.cluster
    found: dict[str, Any] = {}
    for host in cluster.hosts:
        found[host] = cluster.ssh(host, _IN_FORCE).stdout.splitlines()
        said = yaml.safe_load(cluster.ssh(host, "cat /var/lib/kubelet/config.yaml").stdout)
        answer = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{host}/proxy/configz").stdout
        effective = json.loads(answer)["kubeletconfig"]
        found[f"{host} kubelet"] = {name: effective.get(name) for name in said}
    return found


def upgrade(product: Product, host: str, version: str, programs: str, *options: str) -> None:
    """One host's way to a version, as Kubernetes' documentation has it: kubeadm first, then the kubelet.

    :param programs: the directory on the host that has them.
    """
    cluster = product.cluster
    first = host == cluster.control_planes[0]
    command = f"apply {version} --yes" if first else "node"
    cluster.ssh(host, f"install -m 755 {programs}/kubeadm /usr/bin/kubeadm")
    cluster.ssh(host, " ".join(["kubeadm upgrade", command, IGNORED, *options]))
    cluster.ssh(host, f"install -m 755 {programs}/kubelet {programs}/kubectl /usr/bin/ && systemctl restart kubelet")
    # A kubelet of another minor version starts static pods anew, some seconds after it has called itself ready.
    looks: list[dict[str, str]] = [{}, product.processes(host)]
    while looks[-1] != looks[-2]:
        time.sleep(20)
        looks.append(product.processes(host))
    cluster.wait_quiet()


def versions(product: Product) -> dict[str, set[str]]:
    """Of which version each node's kubelet and kube-system's images are."""
    nodes = product.cluster.objects("nodes")["items"]
    pods = product.cluster.objects("pods", "-n", "kube-system")["items"]
    images = {one["image"] for pod in pods for one in pod["spec"]["containers"]}
    tags = {image.rpartition(":")[2] for image in images if "/kube-" in image}
    return {"kubelets": {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes}, "images": tags}


def nothing_is_renewed(product: Product) -> None:
    """Hold that an upgrade alone is no reason to issue a certificate anew, whoever made what is there now."""
    before, running = product.on_each(product.content), product.on_each(product.processes)
    run = product.rotate(profile="cis").well()
    assert run.changed == dict.fromkeys(product.cluster.hosts, 0), str(run)
    assert run.changes == []
    assert differences(before, product.on_each(product.content)) == []
    assert product.on_each(product.processes) == running


def served(product: Product) -> list[str]:
    """On each control plane, what tells the certificate that its API server has."""
    cluster = product.cluster
    return [cluster.ssh(host, "sha256sum /etc/kubernetes/pki/apiserver.crt").stdout for host in cluster.control_planes]


def upgraded_to_the_next(product: Product, is_renewed: bool = True) -> None:
    """Hold that nothing of what is in force is lost on the way to the next minor version, of any host.

    :param is_renewed: whether kubeadm issues anew the certificates of what it upgrades, as it does unless it is told
        not to.
    """
    product.rotate(profile="cis", pki_renew="all").well()  # so that it meets certificates of ours
    programs = product.cluster.bring(NEXT)
    before, running, certificates = in_force(product), product.on_each(product.processes), served(product)
    version = components.version_of(NEXT)
    options = () if is_renewed else ("--certificate-renewal=false",)
    for host in product.cluster.hosts:
        upgrade(product, host, version, programs, *options)
    assert versions(product) == {"kubelets": {version}, "images": {version}}
    assert [old != new for old, new in zip(certificates, served(product))] == [is_renewed] * len(certificates)
    nothing_is_renewed(product)
    after, now = in_force(product), product.on_each(product.processes)
    lost = [line for line in differences(before, after) if ": - " in line]
    assert lost == []
    # Everything is another process, so what is in force was read anew.
    for host in product.cluster.hosts:
        assert restarted(running[host], now[host]) == set(running[host]) - {"containerd"}, host


def test_a_hardened_cluster_comes_to_the_next_minor_version_with_all_its_settings(product: Product) -> None:
    hardened = product.harden(profile="cis").well()
    assert "before 1.37 kubeadm takes no patch for its DaemonSet" in hardened.output
    for host in product.cluster.hosts:
        product.cluster.ssh(host, _END_HEALTH_CHECKS)
    upgraded_to_the_next(product)


def test_kube_bench_finds_nothing_after_the_upgrade(product: Product) -> None:
    assert product.bench("upgraded") == {"cp1": set(), "w1": set()}


def test_the_next_run_adds_what_the_new_minor_version_lets_it_keep_and_nothing_else(product: Product) -> None:
    foretold = product.harden("--check", profile="cis").well()
    run = product.harden(profile="cis").well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert [(change["kind"], change["target"]) for change in run.changes] == [
        ("api_object", "DaemonSet kube-system/kube-proxy"),
        ("file", f"{PATCHES}/kubeproxydaemonset0+json.yaml"),
    ]


def upgraded_to_the_same(product: Product, minor: str, programs: str, *options: str) -> None:
    """Hold that kubeadm's upgrade of every host to the version that it has changes nothing, nor does the next run.

    :param options: of control planes; kubeadm refuses a directory of patches that is not there, as on a worker.
    """
    before = in_force(product)
    for host in product.cluster.hosts:
        own = options if host in product.cluster.control_planes else ()
        upgrade(product, host, components.version_of(minor), programs, *own)
    assert differences(before, in_force(product)) == []
    again = product.harden(profile="cis").well()
    assert again.changed == dict.fromkeys(product.cluster.hosts, 0), str(again)
    assert again.changes == []
    nothing_is_renewed(product)


def test_an_upgrade_to_the_same_version_with_the_command_that_was_printed_changes_nothing(product: Product) -> None:
    told = product.harden(profile="cis").well()
    assert told.changes == []
    options = re.search(r"\(kubeadm upgrade apply VERSION (.+?), kubeadm upgrade node (.+?)\)", told.output)
    assert options, told.output
    assert options[1] == options[2] == f"--patches {PATCHES}"
    upgraded_to_the_same(product, NEXT, bring.place(NEXT), options[1])


@pytest.mark.on("1+1", version=OLDEST, name="upgrade")
def test_an_upgrade_of_the_oldest_version_to_the_same_changes_nothing(product: Product) -> None:
    """There kubeadm keeps all that was set without patches, so that no command is printed."""
    hardened = product.harden(profile="cis").well()
    assert "kubeadm upgrade apply" not in hardened.output
    for host in product.cluster.hosts:
        product.cluster.ssh(host, _END_HEALTH_CHECKS)
    upgraded_to_the_same(product, OLDEST, product.cluster.bring(OLDEST))


@several
def test_several_control_planes_keep_all_settings_through_an_upgrade_to_the_same_version(product: Product) -> None:
    product.harden(profile="cis").well()
    for host in product.cluster.hosts:
        product.cluster.ssh(host, _END_HEALTH_CHECKS)
    upgraded_to_the_same(product, FIRST, product.cluster.bring(FIRST))


@several
def test_several_control_planes_come_to_the_next_minor_version_with_all_their_settings(product: Product) -> None:
    upgraded_to_the_next(product, is_renewed=False)
    cluster = product.cluster
    assert product.bench("upgraded") == {host: set() for host in cluster.hosts}
    run = product.harden(profile="cis").well()
    assert sorted((change["host"], change["target"]) for change in run.changes if change["kind"] == "file") == [
        (host, f"{PATCHES}/kubeproxydaemonset0+json.yaml") for host in cluster.control_planes
    ]
    assert [change["target"] for change in run.changes if change["kind"] != "file"] == [
        "DaemonSet kube-system/kube-proxy"
    ]


@several
def test_another_control_plane_is_upgraded_with_the_command_that_was_printed(product: Product) -> None:
    """What no ConfigMap says is a patch, which has to lie on this one too."""
    before = in_force(product)
    options = re.search(r"kubeadm upgrade node (--patches .+?)\)", product.harden(profile="cis").well().output)
    assert options
    other = product.cluster.control_planes[1]
    upgrade(product, other, components.version_of(NEXT), bring.place(NEXT), options[1])
    assert differences(before, in_force(product)) == []
    assert product.harden(profile="cis").well().changes == []
    nothing_is_renewed(product)
