# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with a past: what its owner made of it runs, is kept where it is as strict or stricter, the rest hardened.

All of ``test_directory_past`` at once on hosts that live, and more: SNI certificates that clients are shown, a sidecar
that serves, a kubelet on each host that is started in another way, an inventory that has other names than the nodes.
What conflicts with it is in ``test_harden_oidc``. The tests are one story and run in their order.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from lab.each_version import on_each_version
from lab.kubelab.harness import Cluster
from lab.kubelab.prepare import TEST_IMAGE
from lab.product import HardenRun, Product, announced, restarted, wait_until, without_random
from lab.story import POD, differences
from lab.test_directory_past import (
    ADMIN,
    CONFIGURATION,
    DEFAULTS,
    DROP_IN,
    POLICY,
    UNIT_DROP_IN,
    aged,
    holds_what_was_there,
    replaced,
)

pytestmark = on_each_version("1+1", name="past")

NAMES = {"cp1": "first", "w1": "second"}
"""By node, what the inventory calls it."""

MANIFESTS = "/etc/kubernetes/manifests"
#: Where the test keeps what the owner wrote, to be compared with what is there later.
KEPT = "/root/past"
INSTANCE = "/var/lib/kubelet/instance-config.yaml"
CIS: dict[str, Any] = {"profile": "cis", "kubeconfig": f"/{ADMIN}"}
#: By component, a line of the owner's in its manifest, and the word that its process then has.
LINES = {
    "etcd": ('    - "--heartbeat-interval=150"  # the disks are slow\n', "--heartbeat-interval=150"),
    "kube-controller-manager": ("    - '--terminated-pod-gc-threshold=500'\n", "--terminated-pod-gc-threshold=500"),
    "kube-scheduler": ("    # twice the default\n    - --kube-api-qps=100\n", "--kube-api-qps=100"),
}
KUBELET_FLAGS = {
    "cp1": "--config-dir=/etc/kubernetes/kubelet.conf.d --hostname-override=cp1",
    # The second and the third are stricter than what a run sets; the last is weaker, and would beat the configuration.
    "w1": "--max-pods=99 --pod-max-pids=1024 --tls-min-version=VersionTLS13 --event-qps=0",
}
OWN = {"cp1": (POLICY, DROP_IN, DEFAULTS, UNIT_DROP_IN, ADMIN), "w1": (UNIT_DROP_IN,)}
"""By node, files of the owner's in which a run has nothing to say."""

_FILES = f"""
set -eu
umask 077
mkdir -p {KEPT}
mkdir -m 755 /etc/kubernetes/audit
cat >/{POLICY} <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
END
for name in old new; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -subj /CN=$name.example \\
    -addext subjectAltName=DNS:$name.example \\
    -keyout /etc/kubernetes/pki/$name.key -out /etc/kubernetes/pki/$name.crt
done
mkdir -p /root/clusters
mv /etc/kubernetes/admin.conf /{ADMIN}
chmod 644 /{ADMIN}
"""

# The kubelet's configuration lies elsewhere, and a drop-in beats it.
_KUBELET = f"""
set -eu
mkdir -p /srv/kubelet /etc/kubernetes/kubelet.conf.d
{{ echo '# ours'; cat /var/lib/kubelet/config.yaml; echo 'podPidsLimit: 1024'; }} >/{CONFIGURATION}
rm /var/lib/kubelet/config.yaml
chmod 644 /{CONFIGURATION}
sed -i 's|/var/lib/kubelet/config.yaml|/{CONFIGURATION}|' /{UNIT_DROP_IN}
cat >/{DROP_IN} <<'END'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 60
tlsMinVersion: VersionTLS13
END
"""

# By component, the words that it was started with, one a line after a word that no component has.
_COMMANDS = """
for name in kube-apiserver kube-controller kube-scheduler etcd kubelet; do
  pid=$(pgrep -o "^$name") && echo "= $name" && tr '\\0' '\\n' </proc/$pid/cmdline
done
"""

# Who the API server says that it is to who asks for each of these names, and whether it speaks TLS 1.2.
_SHOWN = """
for name in old.example new.example other.example; do
  openssl s_client -connect 127.0.0.1:6443 -servername $name </dev/null 2>/dev/null | openssl x509 -noout -subject
done
openssl s_client -connect 127.0.0.1:6443 -tls1_2 </dev/null >/dev/null 2>&1 && echo spoke || echo refused
"""


@pytest.fixture
def product(cluster: Cluster) -> Product:
    """The product with an inventory of the owner's, who calls the hosts otherwise than Kubernetes does."""
    inventory = yaml.safe_load(cluster.inventory.read_text(encoding="utf-8"))
    for group in inventory["all"]["children"].values():
        group["hosts"] = {NAMES[node]: data for node, data in group["hosts"].items()}
    cluster.inventory = cluster.directory / "owners.yml"
    cluster.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return Product(cluster)


# What the owner did, and what can be seen of it


def edit(cluster: Cluster) -> None:
    """Change the manifests, all in one moment, as on an only control plane; keep what was written."""
    for component in ("kube-apiserver", *LINES):
        text = cluster.ssh("cp1", f"cat {MANIFESTS}/{component}.yaml").stdout
        if component == "kube-apiserver":
            text = aged(text, TEST_IMAGE, ["serve"])
        else:
            command = f"    - {component}\n"
            text = "# ask the platform team\n" + replaced(text, command, command + LINES[component][0])
        cluster.ssh("cp1", f"umask 077; cat >{KEPT}/{component}.yaml", stdin=text)
    # On the same file system, so that each is there at once and as a whole.
    beside = "/etc/kubernetes/past"
    cluster.ssh("cp1", f"cp -a {KEPT} {beside} && mv {beside}/*.yaml {MANIFESTS}/ && rmdir {beside}")


def commands(cluster: Cluster, host: str) -> dict[str, list[str]]:
    """By component of a host, the words that it was started with."""
    found: dict[str, list[str]] = {}
    for line in cluster.ssh(host, _COMMANDS, check=False).stdout.splitlines():
        if line.startswith("= "):
            words = found.setdefault(line[2:].replace("kube-controller", "kube-controller-manager"), [])
        else:
            words.append(line)
    return found


def runs_as_owned(cluster: Cluster) -> bool:
    """Whether every component of the control plane has the owner's words and the API answers."""
    found = commands(cluster, "cp1")
    server = "--tls-min-version=VersionTLS13" in found.get("kube-apiserver", [])
    others = all(word in found.get(component, []) for component, (_line, word) in LINES.items())
    return server and others and cluster.kubectl("get", "--raw", "/readyz", check=False).stdout.strip() == "ok"


def restart_kubelet(cluster: Cluster, host: str) -> None:
    cluster.ssh(host, f"printf 'KUBELET_EXTRA_ARGS=\"%s\"\\n' '{KUBELET_FLAGS[host]}' >/{DEFAULTS}")
    cluster.ssh(host, "systemctl daemon-reload && systemctl restart kubelet")
    words = KUBELET_FLAGS[host].split()
    wait_until(f"the kubelet of {host}", 60, lambda: set(words) <= set(commands(cluster, host).get("kubelet", [])))


def text_of(cluster: Cluster, host: str, path: str) -> str:
    return cluster.ssh(host, f"cat {path}").stdout


def in_force(cluster: Cluster, host: str) -> dict[str, Any]:
    """What a kubelet says that it runs with."""
    answer = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{host}/proxy/configz").stdout)
    assert isinstance(answer["kubeletconfig"], dict)
    return answer["kubeletconfig"]


def serves(cluster: Cluster) -> None:
    """Logs and exec work, and the sidecar of the owner's answers."""
    cluster.kubectl("exec", "steady", "--", "/bin/sh", "-c", "echo said-after-it >/proc/1/fd/1")
    assert "said-after-it" in cluster.kubectl("logs", "steady").stdout
    assert cluster.ssh("cp1", "curl -sS --max-time 5 http://127.0.0.1:8080").stdout == "cp1\n"


def held(cluster: Cluster) -> None:
    """What the owner set is in force, whoever set what beside it."""
    assert runs_as_owned(cluster)
    shown = cluster.ssh("cp1", _SHOWN).stdout.replace(" = ", "=").splitlines()
    assert shown[:2] == ["subject=CN=old.example", "subject=CN=new.example"]
    assert "kube-apiserver" in shown[2]
    assert shown[3] == "refused"
    of_cp1, of_w1 = in_force(cluster, "cp1"), in_force(cluster, "w1")
    assert (of_cp1["maxPods"], of_cp1["podPidsLimit"], of_cp1["tlsMinVersion"]) == (60, 1024, "VersionTLS13")
    assert (of_w1["maxPods"], of_w1["podPidsLimit"], of_w1["tlsMinVersion"]) == (99, 1024, "VersionTLS13")
    serves(cluster)


@pytest.fixture(scope="module")
def runs() -> dict[str, HardenRun]:
    """By version, the run that hardens, for the tests that follow it."""
    return {}


# The story


def test_the_cluster_runs_with_what_its_owner_made_of_it(product: Product) -> None:
    """Else nothing that follows would prove anything."""
    cluster = product.cluster
    cluster.kubectl("apply", "-f", "-", stdin=POD.format(name="steady", node="w1", image=TEST_IMAGE))
    cluster.ssh("cp1", _FILES)
    edit(cluster)
    wait_until("the owner's control plane", 240, lambda: runs_as_owned(cluster), 2)
    cluster.wait_quiet()
    cluster.ssh("cp1", _KUBELET)
    for host in cluster.hosts:
        restart_kubelet(cluster, host)
    cluster.wait_quiet()
    cluster.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=120s")
    for host, paths in OWN.items():
        cluster.ssh(host, f"mkdir -p {KEPT}; cd / && cp -a --parents {' '.join(paths)} {KEPT}")
    held(cluster)


def test_check_mode_foretells_the_run(product: Product, runs: dict[str, HardenRun]) -> None:
    cluster = product.cluster
    before = product.on_each(product.processes)
    foretold = product.harden("--check", "--diff", **CIS).well()
    assert product.on_each(product.processes) == before
    run = product.harden("--diff", **CIS).well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert {change["host"] for change in run.changes} == set(NAMES.values())
    cluster.wait_quiet()
    after = product.on_each(product.processes)
    for node, name in NAMES.items():
        seen, said = restarted(before[node], after[node]), announced(run.changes, name)
        assert said <= seen, node
        assert seen - said <= {"kube-controller-manager", "kube-scheduler", "kube-proxy"}, node
    runs[cluster.lab.minor] = run


def test_nothing_that_the_owner_set_is_lost(product: Product) -> None:
    cluster = product.cluster
    held(cluster)
    old, new = (text_of(cluster, "cp1", f"{place}/kube-apiserver.yaml") for place in (KEPT, MANIFESTS))
    holds_what_was_there(old, new)
    for component in LINES:
        old, new = (text_of(cluster, "cp1", f"{place}/{component}.yaml") for place in (KEPT, MANIFESTS))
        lines = iter(new.splitlines())
        assert [line for line in old.splitlines() if line not in lines] == [], component
    for host, paths in OWN.items():
        for path in paths:
            kept, there = (text_of(cluster, host, place) for place in (f"{KEPT}/{path}", f"/{path}"))
            assert kept == there, path
    configuration = text_of(cluster, "cp1", f"/{CONFIGURATION}")
    assert configuration.startswith("# ours\n")
    assert "podPidsLimit: 1024" in configuration.splitlines()
    # Nobody laid anew what the owner has elsewhere.
    for path in ("/var/lib/kubelet/config.yaml", "/etc/kubernetes/admin.conf"):
        assert not product.exists("cp1", path), path


def test_what_falls_short_is_told_and_nothing_else_does(product: Product, runs: dict[str, HardenRun]) -> None:
    run = runs[product.cluster.lab.minor]
    assert f"The audit policy /{POLICY} is the owner's and was kept" in run.output
    assert " beats " not in run.output
    left_flags = KUBELET_FLAGS["w1"].removesuffix(" --event-qps=0")
    assert left_flags in text_of(product.cluster, "w1", f"/{DEFAULTS}")
    assert "--event-qps" not in text_of(product.cluster, "w1", f"/{DEFAULTS}")
    verified = product.verify(**CIS)
    # The owner's own: his policy, a node not called as its host is. His certificates for a month are young.
    left: dict[str, set[str]] = {"first": {"apiserver-audit-policy-content", "kubelet-hostname"}, "second": set()}
    for host, known in left.items():
        failed = {control for control, status in verified.statuses(host).items() if status in ("fail", "unknown")}
        assert failed == known, {control: verified.evidence(host, control) for control in failed ^ known}


def test_the_rest_is_hardened(product: Product) -> None:
    cluster = product.cluster
    found = commands(cluster, "cp1")
    for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert "--profiling=false" in found[component], component
    assert "--tls-min-version=TLS1.2" in found["etcd"]
    assert any(word.startswith("--kubelet-certificate-authority=") for word in found["kube-apiserver"])
    assert "--authentication-config=/etc/kubernetes/kubeharden/authentication.yaml" in found["kube-apiserver"]
    for host in cluster.hosts:
        configuration = in_force(cluster, host)
        for field in ("seccompDefault", "protectKernelDefaults", "serverTLSBootstrap"):
            assert configuration[field] is True, (host, field)
    modes = cluster.ssh("cp1", f"stat -c %a /{ADMIN} /{CONFIGURATION} /{UNIT_DROP_IN}").stdout.split()
    assert modes == ["600", "600", "600"]


def test_kubeadm_remembers_what_is_stricter(product: Product) -> None:
    """So that neither an upgrade nor a host that joins has less."""
    remembered = yaml.safe_load(product.config_maps()["kubeadm-config"]["ClusterConfiguration"])["apiServer"]
    arguments = {one["name"]: one["value"] for one in remembered["extraArgs"]}
    expected = {
        "audit-log-maxage": "90",
        "audit-log-maxbackup": "20",
        "audit-policy-file": f"/{POLICY}",
        "max-requests-inflight": "200",
        "tls-min-version": "VersionTLS13",
    }
    assert differences(expected, {name: arguments.get(name) for name in expected}) == []
    assert "AlwaysPullImages" in arguments["enable-admission-plugins"].split(",")
    assert "/etc/kubernetes/audit" in {one["mountPath"] for one in remembered["extraVolumes"]}
    # Both kubelets have these, each in another way: by its file, a drop-in or flags.
    of_kubelets = yaml.safe_load(product.config_maps()["kubelet-config"]["kubelet"])
    assert (of_kubelets["podPidsLimit"], of_kubelets["tlsMinVersion"]) == (1024, "VersionTLS13")
    # What the owner has on one node alone, in the file that kubeadm writes, is that node's after an upgrade too.
    edited = "s/^eventRecordQPS:.*//; $a eventRecordQPS: 5"
    product.cluster.ssh("w1", f"sed -i '{edited}' /var/lib/kubelet/config.yaml && systemctl restart kubelet")
    run = product.harden(**CIS).well()
    assert [(one["host"], one["target"]) for one in run.changes] == [("second", INSTANCE)]
    product.cluster.ssh("w1", "kubeadm upgrade node phase kubelet-config && systemctl restart kubelet")
    product.cluster.wait_quiet()
    assert in_force(product.cluster, "w1")["eventRecordQPS"] == 5
    held(product.cluster)


def test_a_second_run_changes_nothing(product: Product) -> None:
    run = product.harden(**CIS).well()
    assert run.changed == dict.fromkeys(NAMES.values(), 0), str(run)
    assert run.changes == []
    serves(product.cluster)
