# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node runs in profile cis: kube-proxy, the kernel's settings, the kubelet's certificate and flags.

Through a control plane, and through a node where somebody else keeps that.

The tests are one story and run in their order.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.each_version import on_each_version
from lab.kubelab.harness import Cluster
from lab.product import HardenRun, Product, kill_run, wait_until, without_random

pytestmark = pytest.mark.slow

each_version = on_each_version("1+1", name="nodes")
newest = pytest.mark.on("1+1", name="nodes")

CONFIG_MAP = "ConfigMap kube-system/kube-proxy"
DAEMON_SET = "DaemonSet kube-system/kube-proxy"
PATCH = "/etc/kubernetes/kubeharden/patches/kubeproxydaemonset0+json.yaml"
SYSCTLS = "/etc/sysctl.d/90-kubeharden.conf"
CURRENT = "/var/lib/kubelet/pki/kubelet-server-current.pem"
SERVED = f"""
openssl s_client -connect 127.0.0.1:10250 </dev/null 2>/dev/null | openssl x509 -noout -serial
openssl x509 -noout -serial -in {CURRENT}
"""
JOURNAL = "/var/lib/kubeharden/journal.json"
KILL_MODULE = "for pid in $(ps -C python3 -o pid=); do kill -9 $pid; done"
# More connections than a kernel has room for in its table: kube-proxy ends over its sysctl, which here is read-only.
TOO_MANY = {"kube-proxy": {"conntrack-min": 5, "conntrack-max-per-core": 1000000}}


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def minor(product: Product) -> int:
    return int(product.cluster.lab.minor.split(".")[1])


def reaches_metrics(product: Product) -> bool:
    done = product.cluster.run("curl", "-s", "-o", "/dev/null", "http://10.213.0.51:10249/metrics", check=False)
    return done.returncode == 0


def daemon_set(product: Product) -> dict[str, Any]:
    return dict(product.cluster.objects("daemonset", "kube-proxy", "-n", "kube-system"))


def serves(product: Product) -> None:
    """A Service answers from every host, through rules that its kube-proxy says it has laid.

    It may take some seconds: an only API server, which has just been started anew, enters itself behind this Service
    after it is ready, and kube-proxy follows.
    """
    for host in product.cluster.hosts:
        ask = "curl -sSk --max-time 5 --retry 30 --retry-delay 1 --retry-all-errors -o /dev/null"
        product.cluster.ssh(host, f"{ask} https://10.96.0.1/version")
        livez = json.loads(product.cluster.ssh(host, "curl -s localhost:10256/livez").stdout)
        assert all(family["healthy"] for family in livez["status"].values()), livez
        assert livez["status"], host


def told(run: HardenRun, words: str) -> bool:
    return any(words in line for line in run.output.splitlines())


@each_version
def test_metrics_of_the_owners_stay_in_profile_baseline_and_are_told(product: Product) -> None:
    cluster = product.cluster
    found = cluster.objects("configmap", "kube-proxy", "-n", "kube-system")
    text = found["data"]["config.conf"]
    found["data"]["config.conf"] = text.replace('metricsBindAddress: ""', "metricsBindAddress: 0.0.0.0:10249")
    assert found["data"]["config.conf"] != text
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(found))
    cluster.kubectl("-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy")
    cluster.kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=120s")
    assert reaches_metrics(product)
    run = product.harden("--tags", "kube_proxy,kubelet").well()
    assert told(run, "kube-proxy shows its metrics at 0.0.0.0:10249")
    assert CONFIG_MAP not in {change["target"] for change in run.changes}
    assert not any(change["kind"] == "sysctl" or change["target"] == SYSCTLS for change in run.changes)


ADMINISTRATOR, READER = "/root/api.conf", "/root/reader.conf"
THROUGH_A_NODE = "through-a-node"


def managed(product: Product, kubeconfig: str = ADMINISTRATOR) -> Product:
    """The product where somebody else keeps the control plane: the inventory has a node with a kubeconfig alone."""
    cluster = product.cluster
    inventory = yaml.safe_load((cluster.directory / "inventory.yml").read_text(encoding="utf-8"))
    nodes = inventory["all"]["children"]["kube_node"]
    nodes["vars"] = {"kubeharden_kubeconfig": kubeconfig}
    inventory["all"]["children"] = {"kube_control_plane": {"hosts": {}}, "kube_node": nodes}
    kept = Cluster(cluster.directory)
    kept.inventory = cluster.directory / "managed.yml"
    kept.inventory.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return Product(kept)


def lay_kubeconfigs(product: Product) -> None:
    """One of the administrator on the worker, and one of somebody who may read what everybody may see."""
    cluster = product.cluster
    text = cluster.ssh("cp1", "cat /etc/kubernetes/admin.conf").stdout
    cluster.kubectl("-n", "default", "create", "serviceaccount", "reader")
    cluster.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=view", "--serviceaccount=default:reader")
    document = yaml.safe_load(text)
    token = cluster.kubectl("-n", "default", "create", "token", "reader").stdout.strip()
    document["users"][0]["user"] = {"token": token}
    for path, content in ((ADMINISTRATOR, text), (READER, yaml.safe_dump(document))):
        cluster.ssh("w1", f"umask 77; cat >{path}", stdin=content)


def look(product: Product) -> dict[str, Any]:
    """What a run through a node changes, and what it has to leave."""
    proxy = daemon_set(product)["spec"]["template"]
    return {
        **product.on_each(product.content),
        "ConfigMaps": product.config_maps(),
        "kube-proxy": [json.dumps(proxy, sort_keys=True)],
    }


@each_version
def test_who_may_not_change_kube_proxy_leaves_it_in_one_sentence(product: Product) -> None:
    lay_kubeconfigs(product)
    before = product.config_maps()
    run = managed(product, READER).harden("--check", profile="cis").well()
    assert {(change["host"], change["kind"] == "api_object") for change in run.changes} == {("w1", False)}
    assert told(run, "were left as they are, since the user of /root/reader.conf may not ")
    for right in ("update daemonsets.apps kube-proxy in kube-system", "list nodes, list clusterrolebindings.rbac"):
        assert told(run, right), str(run)
    assert product.config_maps() == before


@each_version
def test_where_somebody_else_keeps_the_control_plane_a_node_speaks_with_the_api(product: Product) -> None:
    nodes = managed(product)
    before = look(product)
    foretold = nodes.harden("--check", profile="cis").well()
    assert look(product) == before
    run = nodes.harden(profile="cis", verified=True, run_id=THROUGH_A_NODE).well()
    assert without_random(foretold.changes) == without_random(run.changes)
    assert {change["host"] for change in run.changes} == {"w1"}
    assert {CONFIG_MAP, DAEMON_SET, SYSCTLS} <= {change["target"] for change in run.changes}
    assert told(run, "about kube-proxy through w1 (kubeharden_kubeconfig). kubeadm's ConfigMaps")
    assert told(run, "give its pods their rights back: run harden.yml after it") == (minor(product) >= 37)
    serves(product)
    assert not reaches_metrics(product)
    after = look(product)
    assert after["cp1"] == before["cp1"]
    assert {name for name in after["ConfigMaps"] if after["ConfigMaps"][name] != before["ConfigMaps"][name]} == {
        "kube-proxy"
    }
    assert product.locked() == []
    statuses = run.verified.statuses("w1")
    wanted = ["kube-proxy-metrics", "kube-proxy-profiling"]
    wanted += ["kube-proxy-privileges", "kube-proxy-files"] if minor(product) >= 37 else []
    assert {name: statuses[name] for name in wanted} == dict.fromkeys(wanted, "pass")
    assert run.verified.statuses("cluster")["rbac-secrets"] not in ("unknown", "not_applicable")
    assert nodes.harden(profile="cis").well().changes == []


@newest
def test_a_run_through_a_node_that_died_is_undone_by_the_next(product: Product, tmp_path: Path) -> None:
    nodes = managed(product)
    before = product.config_maps()["kube-proxy"]
    process = nodes.start(tmp_path / "log", "--tags", "kube_proxy", profile="cis", extra_flags=TOO_MANY)
    wait_until("the rollout", 120, lambda: product.config_maps()["kube-proxy"] != before)
    held = product.lease()
    assert held
    # Beside it no other run begins, wherever that speaks from.
    assert f"Run {held} from" in str(product.harden("--check", "--tags", "kube_proxy", profile="cis").messages)
    kill_run(process)
    product.cluster.ssh("w1", KILL_MODULE)
    assert product.exists("w1", JOURNAL)
    run = nodes.harden("--tags", "kube_proxy", profile="cis").well("ended early without giving")
    assert told(run, f"Run {held} died before kube-proxy was proven: its ConfigMap and DaemonSet went back")
    assert product.config_maps()["kube-proxy"] == before
    assert not product.exists("w1", JOURNAL)
    assert product.locked() == []
    serves(product)


@each_version
def test_what_was_done_through_a_node_goes_back_through_it(product: Product) -> None:
    nodes = managed(product)
    hardened = look(product)
    foretold = nodes.rollback("--check", run_id=THROUGH_A_NODE).well()
    run = nodes.rollback(run_id=THROUGH_A_NODE).well()
    assert run.changes == foretold.changes != []
    assert {CONFIG_MAP, DAEMON_SET} <= {change["target"] for change in run.changes}
    assert reaches_metrics(product)
    assert look(product)["cp1"] == hardened["cp1"]
    assert product.locked() == []
    serves(product)
    assert nodes.rollback(run_id=THROUGH_A_NODE).well().changes == []


@each_version
def test_kernel_settings_that_a_later_file_takes_back_are_left_out_with_one_sentence(product: Product) -> None:
    cluster = product.cluster
    cluster.ssh("w1", "echo 0 >/proc/sys/kernel/panic; echo kernel.panic=60 >/etc/sysctl.d/99-theirs.conf")
    run = product.harden("--check", "--tags", "kubelet", profile="cis").well()
    of_w1 = [change for change in run.changes if change["host"] == "w1"]
    assert not any(change["kind"] == "sysctl" or "protectKernelDefaults" in change["diff"] for change in of_w1)
    assert told(run, "w1: The kubelet's protectKernelDefaults was left out: /etc/sysctl.d/99-theirs.conf would set")
    cluster.ssh("w1", "rm /etc/sysctl.d/99-theirs.conf")


@each_version
def test_check_mode_equals_the_run_and_the_second_run_is_empty(product: Product) -> None:
    foretold = product.harden("--check", profile="cis").well()
    done = product.harden(profile="cis").well()
    assert without_random(foretold.changes) == without_random(done.changes)
    targets = {(change["host"], change["target"]) for change in done.changes}
    assert {("cp1", CONFIG_MAP), ("cp1", DAEMON_SET), ("w1", "kernel.panic"), ("w1", SYSCTLS)} <= targets
    assert (("cp1", PATCH) in targets) == (minor(product) >= 37)
    serves(product)
    assert not reaches_metrics(product)
    again = product.harden(profile="cis").well()
    assert again.changes == []
    assert told(again, "kubeadm upgrade keeps all of this only with --patches") == (minor(product) >= 37)
    assert told(again, "before 1.37 kubeadm takes no patch for its DaemonSet") == (minor(product) < 37)


@each_version
def test_kube_proxy_has_less_rights_where_kubeadm_can_keep_it_so(product: Product) -> None:
    rights = product.cluster.ssh("w1", "grep CapEff /proc/$(pidof kube-proxy)/status").stdout.split()[1]
    pod = daemon_set(product)["spec"]["template"]["spec"]
    if minor(product) < 37:
        assert int(rights, 16) > 1 << 12
        assert "initContainers" not in pod
        return
    assert int(rights, 16) == 1 << 12  # CAP_NET_ADMIN
    assert [one["name"] for one in pod["initContainers"]] == ["kube-proxy-init"]
    modes = "find /var/lib/kubelet/pods/*/volumes/kubernetes.io~configmap/kube-proxy/ -type f -printf '%m\\n'"
    assert set(product.cluster.ssh("w1", modes).stdout.split()) == {"600"}


@each_version
def test_the_kubelet_insists_on_its_kernel_and_a_new_node_does_not(product: Product) -> None:
    cluster = product.cluster
    for host in cluster.hosts:
        files = "/var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml"
        assert cluster.ssh(host, f"grep -c 'protectKernelDefaults: true' {files}").stdout.count(":1") == 2, host
        assert cluster.ssh(host, "cat /proc/sys/kernel/panic").stdout.strip() == "10"
    assert "protectKernelDefaults" not in product.config_maps()["kubelet-config"]["kubelet"]
    cluster.ssh("w1", "kubeadm upgrade node phase kubelet-config && systemctl restart kubelet")
    assert product.harden(profile="cis").well().changes == []


@each_version
def test_the_kubelet_names_the_certificate_that_it_serves(product: Product) -> None:
    named = "tlsCertFile" in product.config_maps()["kubelet-config"]["kubelet"]
    assert named == (minor(product) >= 36)
    for host in product.cluster.hosts:
        served, stored = product.cluster.ssh(host, SERVED).stdout.split()
        assert served == stored
        failing = [line for line in product.cluster.kube_bench(host) if " 4.2.9 " in f" {line} "]
        assert bool(failing) != named, failing


@on_each_version("1+1", name="nodes", since=36)  # from which on its configuration names the file
def test_a_kubelet_starts_without_the_file_and_serves_the_renewed_certificate(product: Product) -> None:
    """The worker joins anew, as a new node does: its configuration names a file that does not exist yet."""
    cluster = product.cluster
    cluster.kubectl("delete", "node", "w1")
    cluster.ssh("w1", "kubeadm reset --force; sysctl -w kernel.panic=0 >/dev/null")
    join = cluster.ssh("cp1", "kubeadm token create --print-join-command").stdout.strip()
    cluster.ssh("w1", f"{join} --ignore-preflight-errors=all")
    assert not product.exists("w1", CURRENT)
    assert CURRENT in cluster.ssh("w1", "cat /var/lib/kubelet/config.yaml").stdout
    product.harden(profile="cis").well()
    first = cluster.ssh("w1", SERVED).stdout.split()
    assert first[0] == first[1]
    # Taken away: the kubelet asks for another one when it starts, and then whenever that one ages.
    cluster.ssh("cp1", _signing("3m"))
    cluster.ssh("w1", f"rm {CURRENT}; systemctl restart kubelet")
    _approve_until(product, lambda: product.exists("w1", CURRENT))
    process = cluster.ssh("w1", "pidof kubelet").stdout
    second = cluster.ssh("w1", SERVED).stdout.split()
    _approve_until(product, lambda: cluster.ssh("w1", SERVED).stdout.split()[1] != second[1])
    time.sleep(2)
    third = cluster.ssh("w1", SERVED).stdout.split()
    assert third[0] == third[1] != second[1]
    assert cluster.ssh("w1", "pidof kubelet").stdout == process
    cluster.ssh("cp1", _signing(""))


def _signing(duration: str) -> str:
    """Let the controller manager sign certificates of that life, empty for its own."""
    manifest = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
    add = f"/- kube-controller-manager$/a\\    - --cluster-signing-duration={duration}" if duration else ""
    edit = f"sed -e /cluster-signing-duration/d -e '{add}' {manifest} >/root/kcm.yaml"
    return f"{edit} && chmod 600 /root/kcm.yaml && mv /root/kcm.yaml {manifest}"


def _approve_until(product: Product, ready: Any) -> None:
    def approved() -> bool:
        requests = product.cluster.objects("csr")["items"]
        for request in requests:
            if not request["status"].get("conditions"):
                product.cluster.kubectl("certificate", "approve", request["metadata"]["name"])
        return bool(ready())

    wait_until("a renewed certificate", 240, approved, 3)


@each_version
def test_a_kube_proxy_that_does_not_come_up_goes_back(product: Product) -> None:
    before = daemon_set(product)["spec"], product.config_maps()["kube-proxy"]
    run = product.harden("--tags", "kube_proxy", profile="cis", extra_flags=TOO_MANY, gate_timeout=30)
    assert run.code == 2, str(run)
    assert "kube-proxy did not come up with what was changed" in run.messages["cp1"]
    assert "its pods are proven well" in run.messages["cp1"]
    assert (daemon_set(product)["spec"], product.config_maps()["kube-proxy"]) == before
    serves(product)


@newest
def test_a_run_that_died_in_the_rollout_is_undone_by_the_next(product: Product, tmp_path: Path) -> None:
    before = product.config_maps()["kube-proxy"]
    process: subprocess.Popen[bytes] = product.start(
        tmp_path / "log", "--tags", "kube_proxy", profile="cis", extra_flags=TOO_MANY
    )
    wait_until("the rollout", 120, lambda: product.config_maps()["kube-proxy"] != before)
    kill_run(process)
    product.cluster.ssh("cp1", KILL_MODULE)
    assert product.exists("cp1", JOURNAL)
    run = product.harden("--tags", "kube_proxy", profile="cis").well("ended early without giving its lock back")
    assert told(run, "died before kube-proxy was proven: its ConfigMap and DaemonSet went back")
    assert product.config_maps()["kube-proxy"] == before
    assert not product.exists("cp1", JOURNAL)
    serves(product)


@each_version
def test_the_users_own_flags_reach_both(product: Product) -> None:
    cluster = product.cluster
    flags = {"kubelet": {"v": 3}, "kube-proxy": {"v": 3}}
    run = product.harden("--tags", "kubelet,kube_proxy", profile="cis", extra_flags=flags).well()
    assert "kube-proxy" in {component for change in run.changes for component in change["restart"]}
    for host in cluster.hosts:
        assert "--v=3" in cluster.ssh(host, "ps -C kubelet -o args=").stdout, host
    assert "verbosity: 3" in product.config_maps()["kube-proxy"]["config.conf"]
    assert product.harden("--tags", "kubelet,kube_proxy", profile="cis", extra_flags=flags).well().changes == []
    refused = product.harden(profile="cis", extra_flags={"kubelet": {"vv": 3}, "kube-proxy": {"conntrack-min": "x"}})
    assert refused.code == 2, str(refused)
    assert "vv" in str(refused.messages)
    assert "conntrack-min" in str(refused.messages)


@newest
def test_kubeadms_upgrade_keeps_the_pods_with_its_patches_and_not_without(product: Product) -> None:
    phase = f"kubeadm upgrade apply phase addon kube-proxy v{_release(product)}"
    rolled = ("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=120s")
    product.cluster.ssh("cp1", f"{phase} --patches {Path(PATCH).parent}")
    product.cluster.kubectl(*rolled)
    flags = {"kubelet": {"v": 3}, "kube-proxy": {"v": 3}}
    assert product.harden("--tags", "kube_proxy", profile="cis", extra_flags=flags).well().changes == []
    product.cluster.ssh("cp1", phase)
    product.cluster.kubectl(*rolled)
    run = product.harden("--tags", "kube_proxy", profile="cis", extra_flags=flags).well()
    assert [change["target"] for change in run.changes] == [DAEMON_SET]


def _release(product: Product) -> str:
    return product.cluster.kubectl("version", "-o", "json").stdout.split('"gitVersion": "v')[-1].split('"')[0]
