# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster made by the real kubeadm on the lab's hosts. Runs inside the lab's namespaces."""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil
import subprocess
from pathlib import Path

from lab.kubelab import hosts, images, state
from lab.kubelab.base import HERE, LabError, Stopwatch, run, wait_for
from lab.kubelab.prepare import make_keys

KUBEADM = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: {address}
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
controlPlaneEndpoint: "{endpoint}"
encryptionAlgorithm: {algorithm}
networking:
  serviceSubnet: 10.96.0.0/16
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# The machine's cgroups are of version 1, and its root has no CAP_SYS_RESOURCE.
failCgroupV1: false
cgroupDriver: cgroupfs
oomScoreAdj: 0
evictionHard:
  imagefs.available: "1%"
  memory.available: 50Mi
  nodefs.available: "1%"
# All hosts share the machine's disk: what else fills it must not take the images away.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
# The sysctls for these are the machine's, and read-only.
conntrack:
  maxPerCore: 0
  tcpCloseWaitTimeout: 0s
  tcpEstablishedTimeout: 0s
oomScoreAdj: 0
"""

HAPROXY = """\
global
  maxconn 4000
  log stdout format raw local0
  stats socket ipv4@{control} level admin
defaults
  mode tcp
  log global
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  option redispatch
  retries 3
frontend api
  bind {endpoint}
  # Nobody is, until a test adds addresses to the list.
  acl unlucky src -f {unlucky}
  stick-table type ip size 1k store conn_cnt
  tcp-request connection track-sc0 src if unlucky
  tcp-request connection reject if unlucky {{ sc0_conn_cnt,mod(3) eq 0 }}
  default_backend api
backend api
  option httpchk GET /readyz
  # A busy API server answers late: with checks limited to their interval, a quiet cluster lost half of its requests.
  timeout check 5s
  default-server check check-ssl verify none inter 1s fall 3 rise 2
"""


def up(directory: Path, without: list[str], bare: bool = False) -> None:
    """Make the cluster that the lab's directory describes.

    :param without: ``HOST:PACKAGE`` each: a Debian package that this host lacks.
    :param bare: whether the hosts are all, so that who asks for them makes the cluster.
    """
    lab = state.load(directory)
    watch = Stopwatch()
    (directory / "log").mkdir()
    make_keys(lab)
    _start_registry(lab)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: hosts.install(lab, host), lab.hosts))
        hosts.write_known_hosts(lab)
        list(pool.map(lambda host: hosts.start(lab, host), lab.hosts))
        list(pool.map(lambda host: _switch_on(lab, host), lab.hosts))
    for item in without:
        name, package = item.split(":", 1)
        hosts.ssh(lab, lab.host(name), ["dpkg", "--purge", "--force-depends", package])
    _write_inventory(lab)
    watch.lap(f"{len(lab.hosts)} hosts")
    if len(lab.control_planes) > 1:
        _start_load_balancer(lab)
    if bare:
        return
    first, *others = lab.control_planes
    join, certificate_key = _init(lab, first)
    watch.lap(f"kubeadm init {first.name}")
    for host in others:
        _join(lab, host, f"{join} --control-plane --certificate-key {certificate_key}")
        watch.lap(f"kubeadm join {host.name}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda host: _join(lab, host, join), lab.workers))
    if lab.workers:
        watch.lap("kubeadm join of the workers")
    wait_quiet(lab)
    watch.lap("nodes, CoreDNS and kube-proxy ready")


def _switch_on(lab: state.Lab, host: state.Host) -> None:
    hosts.ssh(lab, host, ["systemctl enable -q --now containerd && systemctl enable -q kubelet"])


def renew(lab: state.Lab, host: state.Host) -> None:
    """Put a new machine in a host's place: the same name and addresses, an empty disk, keys of its own."""
    hosts.power_off(lab, host)
    shutil.rmtree(hosts.disk(lab, host))
    hosts.install(lab, host)
    hosts.write_known_hosts(lab)
    hosts.start(lab, host)
    _switch_on(lab, host)


def _background(command: list[str], log: Path) -> None:
    """Start a server that lives as long as the lab."""
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
    # It outlives this command, and pid 1 of the lab will reap it.
    server.returncode = 0


def _start_registry(lab: state.Lab) -> None:
    """Serve the cache's images; what a test pushes goes into the lab's own directory."""
    home = lab.directory / "registry"
    for folder in ("upper", "work", "storage"):
        (home / folder).mkdir(parents=True)
    options = f"lowerdir={lab.node}/registry,upperdir={home}/upper,workdir={home}/work"
    run(["mount", "-t", "overlay", "lab-registry", "-o", options, home / "storage"])
    configuration = home / "config.yml"
    configuration.write_text(images.registry_configuration(home / "storage", state.REGISTRY), encoding="utf-8")
    _background(["docker-registry", "serve", str(configuration)], lab.directory / "log/registry.log")
    wait_for("docker-registry", 20, lambda: images.listens(state.GATEWAY, 5000))


def _start_load_balancer(lab: state.Lab) -> None:
    servers = "".join(f"  server {host.name} {host.address}:6443\n" for host in lab.control_planes)
    configuration = lab.directory / "haproxy.cfg"
    unlucky = lab.directory / state.UNLUCKY
    unlucky.touch()
    text = HAPROXY.format(endpoint=lab.endpoint, control=state.BALANCER_CONTROL, unlucky=unlucky)
    configuration.write_text(text + servers, encoding="utf-8")
    _background(["haproxy", "-db", "-f", str(configuration)], lab.directory / "log/haproxy.log")


def _write_inventory(lab: state.Lab) -> None:
    """An inventory that works inside the lab and outside: ssh goes through ``lab connect``."""
    d = lab.directory
    arguments = (
        f"-o UserKnownHostsFile={d}/known_hosts -o StrictHostKeyChecking=yes -o LogLevel=ERROR "
        f"-o ProxyUseFdpass=yes -o 'ProxyCommand={HERE}/lab connect {d} %h %p'"
    )
    lines = [
        "all:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {d}/id",
        f'    ansible_ssh_common_args: "{arguments}"',
        "    ansible_python_interpreter: /usr/bin/python3",
        "  children:",
    ]
    for group, members in (
        ("kube_control_plane", lab.control_planes),
        ("etcd", lab.control_planes),
        ("kube_node", lab.workers),
    ):
        lines += [f"    {group}:", "      hosts:" if members else "      hosts: {}"]
        lines += [f"        {host.name}: {{ansible_host: {host.address}}}" for host in members]
    (d / "inventory.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _init(lab: state.Lab, host: state.Host) -> tuple[str, str]:
    """Make the first control plane; return the join command and the key of the uploaded certificates."""
    text = KUBEADM.format(address=host.address, version=lab.version, endpoint=lab.endpoint, algorithm=lab.algorithm)
    hosts.ssh(lab, host, ["cat >/root/kubeadm.yaml"], stdin=text)
    # kubeadm's preflight misses a kernel configuration file and kernel modules.
    output = _kubeadm(lab, host, "init --config /root/kubeadm.yaml --upload-certs --ignore-preflight-errors=all")
    key = re.search(r"--certificate-key ([0-9a-f]{64})", output)
    if key is None:
        raise LabError(f"kubeadm init named no certificate key; see {lab.directory}/log")
    admin = hosts.ssh(lab, host, ["cat", "/etc/kubernetes/admin.conf"]).stdout
    path = lab.directory / "admin.conf"
    path.touch(0o600)
    path.write_text(admin, encoding="utf-8")
    command = hosts.ssh(lab, host, ["kubeadm", "token", "create", "--print-join-command"]).stdout.strip()
    return command.removeprefix("kubeadm "), key.group(1)


def _join(lab: state.Lab, host: state.Host, arguments: str) -> None:
    _kubeadm(lab, host, f"{arguments} --ignore-preflight-errors=all")


def _kubeadm(lab: state.Lab, host: state.Host, arguments: str) -> str:
    done = hosts.ssh(lab, host, ["kubeadm", arguments], check=False)
    (lab.directory / "log" / f"kubeadm-{host.name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise LabError(f"{host.name}: kubeadm ended with {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def kubectl(
    lab: state.Lab, *arguments: str, stdin: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """The lab's own kubectl, as cluster administrator."""
    program = Path(lab.lower[0]) / "usr/bin/kubectl"
    return run([program, f"--kubeconfig={lab.directory}/admin.conf", *arguments], stdin=stdin, check=check)


def wait_quiet(lab: state.Lab, seconds: float = 300) -> None:
    """Wait until every node is Ready and every pod of kube-system is too."""

    def ready() -> bool:
        done = kubectl(
            lab, "get", "nodes,pods", "-n", "kube-system", "-o", "json", "--request-timeout=10s", check=False
        )
        if done.returncode != 0:
            return False
        items = json.loads(done.stdout)["items"]
        nodes = [item for item in items if item["kind"] == "Node"]
        # A control plane has four static pods, each node a kube-proxy; CoreDNS has two pods.
        expected = 5 * len(lab.control_planes) + len(lab.workers) + 2
        return len(nodes) == len(lab.hosts) and len(items) - len(nodes) >= expected and all(map(_is_ready, items))

    wait_for(f"{lab.directory}: nodes and system pods ready", seconds, ready, 0.5)


def _is_ready(item: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    conditions = item["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
