# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: its clusters work, its poller tells the truth, and nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.kubelab import components
from lab.kubelab.base import HERE, wait_for
from lab.kubelab.harness import Cluster, Clusters
from lab.kubelab.prepare import TEST_IMAGE

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: probe
    image: {image}
    imagePullPolicy: Always
    args: [serve]
    readinessProbe:
      httpGet: {{path: /, port: 8080}}
      periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector: {{app: {name}}}
  ports:
  - port: 80
    targetPort: 8080
"""

OWN = pytest.mark.on("1+1", name="own", without=("w1:python3-yaml",))
"""A cluster that these tests may break."""


def test_every_part_of_the_cluster_has_the_version_asked_for(cluster: Cluster) -> None:
    version = components.version_of(cluster.lab.minor)
    assert json.loads(cluster.kubectl("version", "-o", "json").stdout)["serverVersion"]["gitVersion"] == version
    nodes = cluster.objects("nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(cluster.hosts)
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {version}


def test_a_pod_runs_from_the_registry_and_is_reached_by_name_logs_and_exec(cluster: Cluster) -> None:
    name, node = "lab-echo", cluster.workers[0]
    cluster.kubectl("apply", "-f", "-", stdin=POD.format(name=name, node=node, image=TEST_IMAGE))
    try:
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
        # Pulled, not found on the host: `Always` asks the registry each time.
        events = cluster.objects("events", "--field-selector", f"involvedObject.name={name},reason=Pulled")["items"]
        assert any("Successfully pulled" in event["message"] for event in events)
        get = ("exec", name, "--", "/bin/probe", "get", f"http://{name}.default.svc.cluster.local")
        # kube-proxy learns of a ready pod a moment after kubectl does.
        wait_for("the pod behind its Service", 30, lambda: cluster.kubectl(*get, check=False).stdout == f"{name}\n", 1)
        cluster.kubectl("exec", name, "--", "/bin/sh", "-c", "echo marker-of-the-test >/proc/1/fd/1")
        assert "marker-of-the-test" in cluster.kubectl("logs", name).stdout
    finally:
        cluster.kubectl("delete", "pod,service", name, "--now")


def test_containerd_pulls_a_component_image_from_the_registry(cluster: Cluster) -> None:
    images = cluster.ssh(cluster.workers[0], "ctr -n k8s.io images ls -q name~=kube-proxy").stdout.split()
    (image,) = [image for image in images if image.startswith("registry.k8s.io/kube-proxy:")]
    pull = f"ctr -n lab-test images pull --hosts-dir /etc/containerd/certs.d {image}"
    assert "done" in cluster.ssh(cluster.workers[0], f"{pull} && ctr -n lab-test images rm {image}").stdout


def test_ansible_reaches_every_host_from_outside_of_the_lab(cluster: Cluster, tmp_path: Path) -> None:
    playbook = tmp_path / "ping.yml"
    task = "ansible.builtin.command: hostname"
    playbook.write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{{{task}, changed_when: false}}]\n")
    done = cluster.playbook(playbook)
    assert "ok=1" in done.stdout
    outside = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", cluster.inventory, playbook],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent.parent,
    )
    assert outside.returncode == 0, outside.stdout + outside.stderr


@OWN
def test_a_host_that_lacks_a_library_installs_it_without_network(cluster: Cluster) -> None:
    assert cluster.ssh("cp1", "python3 -c 'import yaml'", check=False).returncode == 0
    assert cluster.ssh("w1", "python3 -c 'import yaml'", check=False).returncode == 1
    cluster.ssh("w1", "apt-get -qq update && apt-get -qq install --yes python3-yaml && python3 -c 'import yaml'")


@pytest.mark.slow
def test_an_untouched_cluster_loses_no_request_for_a_minute(cluster: Cluster) -> None:
    with cluster.poller() as served:
        time.sleep(60)
    assert (served.failed, served.kept) == (0, 0), served.output
    # 10 + 2 requests a second for F, 2 kept connections and the pod with nearly 10 each.
    assert served.requests > 60 * (12 + 3 * 5)
    assert 0 < served.longest < 5


@OWN
def test_the_poller_sees_a_killed_control_plane(cluster: Cluster) -> None:
    with cluster.poller() as served:
        time.sleep(2)
        cluster.power("off", "cp1")
        time.sleep(8)
    assert served.failed > 20, served.output
    assert served.kept > 2, served.output
    kinds = {failure["what"] for failure in served.failures}
    assert {"get", "write", "watch", "kept 0", "pod"} <= kinds
    assert served.longest <= 6
    summary = served.output.splitlines()[-1]
    assert summary.startswith(f"requests {served.requests} failed {served.failed} kept {served.kept} longest ")


@OWN
def test_a_host_comes_back_on_its_disk_after_a_power_cut(cluster: Cluster) -> None:
    cluster.power("on", "cp1")
    cluster.wait_quiet()
    cluster.ssh("cp1", "touch /etc/kubernetes/written && sync && date >/run/booted")
    cluster.power("cut", "cp1")
    assert cluster.ssh("cp1", "ls /etc/kubernetes/written; ls /run/booted", check=False).stdout == (
        "/etc/kubernetes/written\n"
    )
    cluster.wait_quiet()


@OWN
def test_nothing_of_a_lab_stays(cluster: Cluster, clusters: Clusters) -> None:
    identity = cluster.lab.identity
    assert _traces(cluster.directory, identity)
    clusters.end()
    assert _traces(cluster.directory, identity) == []
    assert not cluster.directory.exists()


def test_kube_bench_says_what_a_plain_cluster_lacks(cluster: Cluster, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    found = cluster.kube_bench(cluster.workers[0], keep=report)
    totals = json.loads(report.read_text())["Totals"]
    assert len(found) == totals["total_fail"] + totals["total_warn"] > 0
    assert {line.split()[0] for line in found} <= {"FAIL", "WARN"}


def _traces(directory: Path, identity: str) -> list[str]:
    """Cgroups, mounts and processes of a lab."""
    found = [
        os.path.join(folder, name)
        for folder, names, _dummy in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(identity)
    ]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(directory) in command:
            found.append(str(process))
    return found
