# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on three control planes: each ends the run with its own sentence, no client notices, and the hosts stay.

Most are met before the first write, by preflight, the version table or the trial, so one cluster serves for all of
them. The last two begin to change it. The figures of each are kept below build/artefacts; docs/reliability.md has a
table of them by the names under which they are kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.kubelab.harness import CHECKOUT, Cluster, Served
from lab.product import BAD_CIPHERS, LOCK, HardenRun, Product, keep_figures, messages_of, wait_until
from lab.story import differences, keep_served
from tools.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.on("3+2", name="faults")]

MANIFESTS = "/etc/kubernetes/manifests"
PKI = "/etc/kubernetes/pki"
KUBELET = "/var/lib/kubelet/config.yaml"
TRIAL_MANIFEST = f"{MANIFESTS}/kube-apiserver-kubeharden-trial.yaml"
# From the moment at which a file is there until long after ssh gives up, which is a minute. The host itself ends it,
# since nobody reaches it.
SILENCE = """
until test -e {begins}; do sleep 0.02; done
for action in -I -D; do
  iptables -w $action INPUT -p tcp --dport 22 -j DROP
  iptables -w $action OUTPUT -p tcp --sport 22 -j DROP
  test $action = -D || sleep 130
done
"""
GATE = 300
"""The default of kubeharden_gate_timeout, in seconds."""

IN_FLIGHT = 2
"""Requests of the poller's that a host may have taken when its power is cut."""

# There is room for the run when it begins; from its trial on somebody else takes what is free, again and again.
FILLING = f"""
mkdir -p -m 700 /var/lib/kubeharden && mount -t tmpfs -o size=16m,mode=700 tmpfs /var/lib/kubeharden &&
systemd-run --quiet --collect --unit=filling bash -c 'until test -e {TRIAL_MANIFEST}; do sleep 0.02; done
while :; do cat /dev/zero >>/var/lib/kubeharden/filler 2>/dev/null; sleep 0.1; done'
"""
APISERVER_IMAGE = "$(sed -n 's/^ *image: //p' /etc/kubernetes/manifests/kube-apiserver.yaml)"
IMAGES = "ctr -n k8s.io images"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system"


def on(component: str, **flags: str) -> dict[str, dict[str, str]]:
    """kubeharden_extra_flags of one component; underscores stand for dashes."""
    return {component: {flag.replace("_", "-"): value for flag, value in flags.items()}}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong, and what the run says of it.

    ``lay`` and ``take`` are commands by host that make the fault and end it; ``all`` stands for every control plane.
    """

    name: str
    number: str
    words: tuple[str, ...]
    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lay: Mapping[str, str] = dataclasses.field(default_factory=dict)
    take: Mapping[str, str] = dataclasses.field(default_factory=dict)


TRIAL = "its trial beside the running one failed"
KEPT = "Nothing was changed"
WAIVED_AUDIT = {"control": "apiserver-audit-log-path", "reason": "lab", "owner": "lab", "expires": "2099-01-01"}

FAULTS = [
    Fault(
        "illegal-value",
        "KH205",
        ("kube-apiserver on cp1", TRIAL, "most likely --audit-log-format is to blame", KEPT),
        {"extra_flags": on("kube-apiserver", audit_log_format="xml")},
    ),
    Fault(
        "unknown-flag",
        "KH008",
        ("has no flag --no-such-flag", KEPT),
        {"extra_flags": on("kube-apiserver", no_such_flag="1")},
    ),
    Fault(
        "admission-plugin-without-its-configuration",
        "KH011",
        (f"kubeharden_admission_plugins_extra names {PKI}/no-such.yaml, which is not on this host", KEPT),
        {"admission_plugins_extra": [{"name": "ImagePolicyWebhook", "path": f"{PKI}/no-such.yaml"}]},
    ),
    Fault(
        "audit-directory-not-mounted",
        "KH008",
        ("--audit-log-path of kube-apiserver", "/srv/audit/audit.log", "does not mount", KEPT),
        {
            "extra_flags": on("kube-apiserver", audit_log_path="/srv/audit/audit.log"),
            "waivers": [WAIVED_AUDIT],
        },
    ),
    Fault(
        "cipher-list-refused",
        "KH205",
        (TRIAL, "most likely --tls-cipher-suites is to blame", "missing an HTTP/2-required AES_128_GCM_SHA256", KEPT),
        {"extra_flags": on("kube-apiserver", tls_cipher_suites=BAD_CIPHERS)},
    ),
    Fault(
        "syntax-error-in-a-file-that-a-flag-names",
        "KH205",
        ("kube-apiserver on cp1", TRIAL, "tracing", KEPT),
        {"extra_flags": on("kube-apiserver", tracing_config_file=f"{PKI}/tracing.yaml")},
        {"all": f"printf 'kind: [\\n' >{PKI}/tracing.yaml"},
        {"all": f"rm {PKI}/tracing.yaml"},
    ),
    Fault(
        "etcd-flag-that-does-not-exist",
        "KH008",
        ("etcd", "has no flag --no-such-flag", KEPT),
        {"extra_flags": on("etcd", no_such_flag="1")},
    ),
    Fault(
        "kubelet-field-of-the-wrong-type",
        "KH115",
        ("maxPods must be a whole number", KUBELET, KEPT),
        lay={"w1": f"cp -p {KUBELET} /root/kept; echo 'maxPods: many' >>{KUBELET}"},
        take={"w1": f"mv /root/kept {KUBELET}"},
    ),
    Fault(
        "certificate-that-does-not-match-its-key",
        "KH304",
        (f"{PKI}/apiserver.key", "does not belong to the certificate", "Both were left as they were"),
        lay={"cp1": f"mv {PKI}/apiserver.key /root/kept; cp -p {PKI}/front-proxy-client.key {PKI}/apiserver.key"},
        take={"cp1": f"mv /root/kept {PKI}/apiserver.key"},
    ),
    Fault(
        "image-that-cannot-start",
        "KH205",
        ("kube-apiserver on cp1", TRIAL, KEPT),
        lay={
            "cp1": f"reference={APISERVER_IMAGE}; {IMAGES} tag $reference kept.invalid/kube-apiserver:1 && "
            f"{IMAGES} tag --force $({IMAGES} ls -q | grep '/pause:' | head -n 1) $reference"
        },
        take={
            "cp1": f"{IMAGES} tag --force kept.invalid/kube-apiserver:1 {APISERVER_IMAGE} && "
            f"{IMAGES} rm kept.invalid/kube-apiserver:1"
        },
    ),
    Fault(
        "full-disk",
        "KH135",
        ("The file system of /var/lib/kubeharden on cp2 has", "make room", KEPT),
        lay={"cp2": "mkdir -p /var/lib/kubeharden && mount -t tmpfs -o size=1m tmpfs /var/lib/kubeharden"},
        take={"cp2": "umount /var/lib/kubeharden"},
    ),
    Fault(
        "disk-that-fills-up-during-the-trial",
        "KH201",
        ("no space is left on the file system", "mend that and run again"),
        lay={"cp1": FILLING},
        take={"cp1": "systemctl stop filling; umount /var/lib/kubeharden"},
    ),
    Fault(
        "read-only-etc",
        "KH135",
        ("of cp3 is on a read-only file system", KEPT),
        lay={"cp3": "mount --bind /etc /etc && mount -o remount,ro,bind /etc"},
        take={"cp3": "umount /etc"},
    ),
    Fault(
        "manifest-of-somebody-else-that-is-none",
        "KH111",
        (f"{MANIFESTS}/theirs.yaml is no YAML", KEPT),
        lay={"cp2": f"printf '{{{{ no: [yaml\\n' >{MANIFESTS}/theirs.yaml"},
        take={"cp2": f"rm {MANIFESTS}/theirs.yaml"},
    ),
    Fault(
        "kubeadms-configmap-of-an-unknown-version",
        "KH116",
        ("ConfigMap kube-system/kubeadm-config is written in kubeadm.k8s.io/v1beta9, and only", KEPT),
        lay={
            "cp1": f"{KUBECTL} get configmap kubeadm-config -o yaml | sed s,k8s.io/v1beta4,k8s.io/v1beta9, | "
            f"{KUBECTL} replace -f -"
        },
        take={
            "cp1": f"{KUBECTL} get configmap kubeadm-config -o yaml | sed s,k8s.io/v1beta9,k8s.io/v1beta4, | "
            f"{KUBECTL} replace -f -"
        },
    ),
]


@pytest.fixture
def product(cluster: Cluster) -> Product:
    return Product(cluster)


def everywhere(product: Product, commands: Mapping[str, str]) -> None:
    """Run a fault's commands on the hosts that they are for."""
    for name, command in commands.items():
        for host in product.cluster.control_planes if name == "all" else [name]:
            product.cluster.ssh(host, command)


def look(product: Product) -> dict[str, Any]:
    """What every fault must leave as it was: what is on the hosts, what runs there, and kubeadm's ConfigMaps."""
    hosts = {"content": product.on_each(product.content), "processes": product.on_each(product.processes)}
    return {**hosts, "ConfigMaps": product.config_maps()}


@contextlib.contextmanager
def laid(product: Product, fault: Fault) -> Iterator[None]:
    """The fault is there within the block."""
    everywhere(product, fault.lay)
    try:
        yield
    finally:
        everywhere(product, fault.take)


def keep(product: Product, name: str, run_seconds: float, served: Served) -> None:
    """Keep what one fault cost; docs/reliability.md has a row of that name, with the seconds and the requests."""
    keep_served(product.cluster, f"fault-{name}", served)
    figures = {"seconds": round(run_seconds), "requests": served.requests, "F": served.failed, "K": served.kept}
    known = {"load": round(os.getloadavg()[0], 1), "day": time.strftime("%Y-%m-%d", time.gmtime())}
    keep_figures("faults", product.cluster, name, {**figures, **known})
    print(f"fault {name}: {figures}")


def ended(run: HardenRun, number: str, *words: str) -> None:
    """The run ended with code 2 and, on each host that says anything, the sentence that is expected."""
    assert run.code == 2, str(run)
    assert "Traceback" not in run.output, str(run)
    said = run.messages
    assert said, str(run)
    for host, message in said.items():
        assert f"{number}: " in message, f"{host}: {message}"
    for word in words:
        assert word in "\n".join(said.values()), said


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_the_run_with_its_own_sentence_and_nothing_changes(product: Product, fault: Fault) -> None:
    with laid(product, fault):
        before = look(product)
        with product.cluster.poller() as served:
            run = product.harden(**fault.variables)
        keep(product, fault.name, run.seconds, served)
        ended(run, fault.number, *fault.words)
        assert run.changes == []
        assert differences(before, look(product)) == []
    # Where it was met before the first write nobody has a lock; else the host that failed, and the cluster, have none.
    assert product.lease() == ""
    assert (served.failed, served.kept) == (0, 0), served.output
    assert run.seconds < GATE


def test_a_load_balancer_that_loses_requests_before_the_run(product: Product) -> None:
    """Then the run does not begin; of all faults this is the one that clients notice, without any run."""
    before = look(product)
    with product.cluster.poller() as served:
        time.sleep(3)  # its kept connections and its watch are there
        with product.cluster.losing():
            run = product.harden()
    keep(product, "load-balancer-that-loses-requests", run.seconds, served)
    ended(run, "KH140", "of 10 requests to https://", "failed without any change", KEPT)
    assert set(run.messages) == {"cp1"}
    assert run.changes == []
    assert product.locked() == []
    assert differences(before, look(product)) == []
    assert served.failed > 0, served.output
    assert run.seconds < GATE


@pytest.mark.parametrize(
    ("component", "number", "words"),
    [
        ("kube-apiserver", "KH205", (TRIAL, "most likely --no-such-flag is to blame", "unknown flag", KEPT)),
        ("etcd", "KH008", ("etcd on cp1 says itself (--help) that it has no --no-such-flag", KEPT)),
    ],
)
def test_an_unknown_flag_that_the_table_takes_for_known(
    product: Product, tmp_path: Path, component: str, number: str, words: tuple[str, ...]
) -> None:
    """The table lies: then the trial meets it, and for etcd, of which there is none, its own program."""
    checkout = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".*", "build", "tests")
    shutil.copytree(CHECKOUT, checkout, symlinks=True, ignore=left_out)
    product_name = "etcd" if component == "etcd" else "kubernetes"
    for path in (checkout / "plugins/module_utils/components/tables").glob(f"{product_name}-*.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        table["flags"][component]["no-such-flag"] = {"default": "", "type": "string"}
        path.write_text(json.dumps(table), encoding="utf-8")
    before = look(product)
    with product.cluster.poller() as served:
        run = product.play(
            str(checkout / "harden.yml"), "--skip-tags", "verify", extra_flags=on(component, no_such_flag="yes")
        )
    keep(product, f"unknown-flag-of-{component}-in-a-table-that-lies", run.seconds, served)
    ended(run, number, *words)
    assert run.changes == []
    assert product.lease() == ""
    assert differences(before, look(product)) == []
    assert (served.failed, served.kept) == (0, 0), served.output
    assert run.seconds < GATE


@pytest.mark.parametrize(
    ("silent", "begins", "said"),
    [
        # Where its answer had already come, it is the next task that finds nobody there.
        ("w2", LOCK, {4: "KH101: w2 could not be reached", 2: "KH102: The connection to w2 was lost"}),
        ("cp2", TRIAL_MANIFEST, {2: "KH102: The connection to cp2 was lost"}),
    ],
    ids=["a worker in discovery", "a control plane in its trial"],
)
def test_a_host_that_falls_silent(product: Product, silent: str, begins: str, said: Mapping[int, str]) -> None:
    """Its packets are lost from a moment on, while its module is at work: the run ends within minutes and says so.

    What is under way there comes to its end, and changes nothing; the next run takes over what is left locked.
    """
    cluster = product.cluster
    before = look(product)
    silence = shlex.quote(SILENCE.format(begins=begins))
    cluster.ssh(silent, f"systemd-run --quiet --collect --unit=silence bash -c {silence}")
    with cluster.poller() as served:
        run = product.harden()
    keep(product, f"ssh-connection-of-{silent}-that-hangs", run.seconds, served)
    # The host itself must be well again before anything else is asked.
    over = "systemctl is-active silence | grep -q inactive"
    wait_until(silent, 300, lambda: cluster.ssh(silent, over, check=False).returncode == 0, 5)
    (message,) = run.messages.values()
    assert said[run.code] in message, str(run)
    assert run.changes == []
    assert differences(before, look(product)) == []
    assert (served.failed, served.kept) == (0, 0), served.output
    assert run.seconds < GATE
    assert silent in product.locked()
    again = product.harden("--tags", "discover").well()
    assert "ended early without giving its lock back; it was taken over." in again.output
    assert product.locked() == []


def await_write(cluster: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a run that is at work has written the flag in the API server's manifest of the first control plane."""
    changed = f"grep -q request-timeout=61s {MANIFESTS}/kube-apiserver.yaml"

    def written() -> bool:
        return cluster.ssh("cp1", changed, check=False).returncode == 0

    wait_until("the write", 600, lambda: written() or process.poll() is not None, 0.1)
    assert process.poll() is None, log.read_text(encoding="utf-8")


def test_a_load_balancer_that_does_not_take_a_changed_api_server(product: Product, tmp_path: Path) -> None:
    """The first control plane goes back, though it is well itself, and no other one is touched."""
    cluster = product.cluster
    content, maps = product.on_each(product.content), product.config_maps()
    flags = on("kube-apiserver", request_timeout="61s")
    begun = time.monotonic()
    with cluster.poller() as served:
        process = product.start(tmp_path / "log", "--skip-tags", "verify", extra_flags=flags, gate_timeout=120)
        await_write(cluster, process, tmp_path / "log")
        with cluster.passed_over("cp1"):
            code = process.wait(1200)
    seconds = time.monotonic() - begun
    keep(product, "load-balancer-that-does-not-take-a-changed-api-server", seconds, served)
    output = (tmp_path / "log").read_text(encoding="utf-8")
    (message,) = messages_of(Run("", code, output)).values()
    assert code == 2, output
    assert "KH222: The API's front door" in message, message
    assert "The old bytes, modes and owners are back and the old component is proven well" in message, message
    assert product.lease() == ""
    assert differences(content, product.on_each(product.content)) == []
    assert differences(maps, product.config_maps()) == []
    assert served.failed == 0, served.output
    cluster.wait_quiet()


def test_a_control_plane_that_loses_power_in_the_middle(product: Product, tmp_path: Path) -> None:
    """Only requests in flight there may fail; the next start puts back or proves what lies there, and ends well."""
    cluster = product.cluster
    cluster.wait_quiet()
    flags = on("kube-apiserver", request_timeout="61s")
    begun = time.monotonic()
    with cluster.poller() as served:
        process = product.start(tmp_path / "log", "--skip-tags", "verify", extra_flags=flags)
        await_write(cluster, process, tmp_path / "log")
        cut = time.time()
        cluster.power("cut", "cp1")
        code = process.wait(1200)
        cluster.wait_quiet()
    seconds = time.monotonic() - begun
    keep(product, "power-cut", seconds, served)
    output = (tmp_path / "log").read_text(encoding="utf-8")
    assert code == 2, output
    assert "KH102: The connection to cp1 was lost" in output
    # A request takes 5 s at most, and the load balancer finds out within three looks. Ten are begun a second, and each
    # is answered within a tenth of one, so that few are in flight on one host; others go to the next one.
    counted = [one for one in served.failures if one["counts"] == "failed"]
    assert [one for one in counted if not cut - 5 <= one["time"] <= cut + 10] == [], served.output
    assert served.failed <= IN_FLIGHT, served.output

    with cluster.poller() as served:
        run = product.harden(extra_flags=flags).well()
    keep(product, "power-cut-next-run", run.seconds, served)
    assert "died before its change was proven" in run.output, str(run)
    assert served.failed == 0, served.output
    for host in cluster.control_planes:
        arguments = cluster.ssh(host, "ps -C kube-apiserver -o args=").stdout
        assert "--request-timeout=61s" in arguments, host
    assert product.harden(extra_flags=flags).well().changes == []
