# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is collected of a directory that stands for a host, and what becomes of what cannot be read."""

from __future__ import annotations

import base64
import os
import typing as t
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Judged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, keys, kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes import processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import STARTS_AGAIN, Collector, keys_of
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import Files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import ETCD_FLAGS, View
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import client_profile, leaf
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import (
    OTHER,
    SERVICE,
    STATIC,
    MadeProc,
)

MANIFESTS = "etc/kubernetes/manifests"
CONFIGURATION = "var/lib/kubelet/config.yaml"
CLIENT = leaf(client_profile())
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.1
    command: [kube-apiserver, --profiling=false]
"""


def write(root: Path, path: str, text: str | bytes = "", mode: int = 0o600) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    target.chmod(mode)
    return target


def collect(root: Path, control_plane: bool = True, etcd: bool = False) -> dict[str, t.Any]:
    def run(command: list[str]) -> tuple[int, str, str]:
        raise AssertionError(command)

    view = View(Host(str(root)))
    return Collector(view, control_plane, None, run, 1_795_500_000.0, lambda: 0.0, etcd=etcd).collect()


@pytest.fixture(name="root")
def a_control_plane(tmp_path: Path) -> Path:
    write(tmp_path, f"{MANIFESTS}/kube-apiserver.yaml", POD)
    write(tmp_path, CONFIGURATION, "staticPodPath: /etc/kubernetes/manifests\nreadOnlyPort: 0\nreadOnlyport: 1\n")
    write(tmp_path, "etc/kubernetes/pki/ca.key", "no key", 0o640)
    write(tmp_path, "etc/hostname", "CP1\n")
    return tmp_path


def test_a_directory_has_files_and_no_processes(root: Path) -> None:
    seen = collect(root)
    assert not seen["live"]
    component = seen["components"]["kube-apiserver"]
    assert (component["running"], component["version"]) == (False, "1.37.1")
    assert component["problem"] == "no process belongs to a directory that stands for a host"
    assert component["manifest"] == f"/{MANIFESTS}/kube-apiserver.yaml"
    assert seen["node_name"] == "cp1"
    assert seen["probes"] == {}
    assert seen["manifests"]["pods"] == {"kube-apiserver.yaml": "kube-system/kube-apiserver"}
    assert seen["kubelet"]["documents"][0]["keys"] == ["staticPodPath", "readOnlyPort", "readOnlyport"]
    modes = {one["path"]: one["mode"] for one in seen["files"]["pki_key"]}
    assert modes == {"/etc/kubernetes/pki/ca.key": "0640"}
    # The inventory says that it is a control plane, so what has no manifest is missed all the same.
    assert not seen["components"]["kube-scheduler"]["running"]
    assert set(collect(root / "nothing", control_plane=False)["components"]) == set()


class Standing(View):
    """A directory's, with processes."""

    def see_processes(self) -> str:
        self.host.live = True
        try:
            return super().see_processes()
        finally:
            self.host.live = False


def test_how_a_running_kubelet_would_start_anew_is_read_of_its_unit(root: Path, tmp_path: Path) -> None:
    unit = "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet --config=/none $MORE\n"
    write(root, "etc/systemd/system/kubelet.service", unit)
    write(root, "etc/default/kubelet", "MORE=--read-only-port=10255\n")
    made = MadeProc(tmp_path / "made")
    made.start(7, "/usr/bin/kubelet", SERVICE, flags="--config=/none")

    def seen() -> dict[str, t.Any]:
        view = Standing(Host(str(root)), str(made.proc))
        collector = Collector(view, False, None, said, 1_795_500_000.0, lambda: 0.0)
        return t.cast("dict[str, t.Any]", collector.collect()["kubelet"])

    def said(_words: object) -> tuple[int, str, str]:
        return (0, "Kubernetes v1.37.1", "")

    assert seen()["next"] == ["/usr/bin/kubelet", "--config=/none", "--read-only-port=10255"]
    # Drop-ins come by their names: the package's last one beats that of /etc.
    write(root, "etc/systemd/system/kubelet.service.d/10-a.conf", "ExecStart=\nExecStart=/usr/bin/kubelet --a\n")
    write(root, "usr/lib/systemd/system/kubelet.service.d/20-b.conf", "ExecStart=\nExecStart=/usr/bin/kubelet $MORE\n")
    assert seen()["next"] == ["/usr/bin/kubelet", "--read-only-port=10255"]
    # One that cannot be read takes nothing else with it.
    (root / "etc/default/kubelet").unlink()
    (root / "etc/default/kubelet").mkdir()
    assert "next" not in seen()
    assert seen()["next_problem"]
    assert seen()["file"] == "/none"


def test_only_the_clusters_processes_are_judged_and_asked_for_their_version(root: Path, tmp_path: Path) -> None:
    write(root, f"{MANIFESTS}/kube-apiserver.yaml", POD.replace(":v1.37.1", "@sha256:0"))
    made = MadeProc(tmp_path / "made")
    made.start(4, "/usr/bin/kubelet", OTHER, inner="1", flags="--config=/none")
    made.start(5, "kube-apiserver", OTHER, inner="1", flags="--profiling=false")
    made.start(6, "kube-scheduler", OTHER)
    made.start(7, "/usr/bin/kubelet", SERVICE)
    made.start(8, "kube-apiserver", STATIC, inner="1", flags="--profiling=true")
    asked: list[str] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command[0])
        return 0, "Kubernetes v1.36.2", ""

    view = Standing(Host(str(root)), str(made.proc))
    view.host.can_own = True
    seen = Collector(view, True, None, run, 1_795_500_000.0, lambda: 0.0).collect()["components"]
    assert sorted(asked) == [f"{made.proc}/{pid}/exe" for pid in (7, 8)]
    assert seen["kube-apiserver"]["arguments"] == ["kube-apiserver", "--profiling=true"]
    assert (seen["kube-apiserver"]["version"], seen["kubelet"]["version"]) == ("1.36.2", "1.36.2")
    assert (seen["kube-scheduler"]["running"], seen["kube-scheduler"]["problem"]) == (
        False, "kube-scheduler has no process on this host; processes that are only called so: 1",
    )  # fmt: skip
    # An application's own is no component of the cluster.
    assert "etcd" not in seen


@pytest.mark.parametrize(
    ("comes", "waited", "words"), [(12, 12, ""), (999, STARTS_AGAIN - 20, "has no process on this host")]
)
def test_a_controller_that_ended_with_its_api_server_is_waited_for(
    root: Path, tmp_path: Path, comes: int, waited: int, words: str
) -> None:
    """Its kubelet takes its time to start it again."""
    write(root, f"{MANIFESTS}/kube-scheduler.yaml", POD.replace("kube-apiserver", "kube-scheduler"))
    made = MadeProc(tmp_path / "made")  # whose processes are of second 1,700,000,000
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == comes:
            made.start(9, "kube-scheduler", STATIC, inner="1", flags="--profiling=false")

    def seen(age: float) -> dict[str, t.Any]:
        view = Standing(Host(str(root)), str(made.proc))
        now = 1_700_000_000 + age
        collector = Collector(view, True, None, lambda _words: (1, "", ""), now, lambda: 0.0, sleep=sleep)
        return t.cast("dict[str, t.Any]", collector.collect()["components"]["kube-scheduler"])

    # Without a kubelet nobody starts it; beside an API server that is older it is down for another reason.
    made.start(8, "kube-apiserver", STATIC, inner="1", flags="--profiling=true")
    assert (seen(20)["running"], slept) == (False, [])
    made.start(7, "/usr/bin/kubelet", SERVICE)
    assert (seen(STARTS_AGAIN)["running"], slept) == (False, [])
    found = seen(20)
    assert (len(slept), found["running"]) == (waited, not words)
    assert words in found["problem"]


def test_what_is_mounted_is_not_known_where_the_manifest_was_not_read(root: Path, tmp_path: Path) -> None:
    made = MadeProc(tmp_path / "made")
    made.start(8, "kube-apiserver", STATIC, inner="1", flags="--audit-policy-file=/none/policy.yaml")

    def unmounted() -> list[str] | None:
        view = Standing(Host(str(root)), str(made.proc))
        seen = Collector(view, True, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0).collect()
        return t.cast("list[str] | None", seen["unmounted"])

    assert unmounted() == ["--audit-policy-file /none/policy.yaml"]
    (root / MANIFESTS / "kube-apiserver.yaml").unlink()
    assert unmounted() is None


@pytest.mark.parametrize(
    ("flag", "lost"),
    [
        ("--audit-log-path=audit.log", ["--audit-log-path audit.log"]),
        ("--audit-log-path=var/log/audit/audit.log", ["--audit-log-path var/log/audit/audit.log"]),
        ("--audit-policy-file=policy.yaml", ["--audit-policy-file policy.yaml"]),
        ("--audit-log-path=-", []),
        ("--audit-log-path=", []),
        ("--audit-log-path=/var/log/audit/audit.log", []),
    ],
)
def test_a_path_that_is_relative_lies_in_the_container_alone(
    root: Path, tmp_path: Path, flag: str, lost: list[str]
) -> None:
    mounted = """\
    volumeMounts: [{name: log, mountPath: /var/log/audit}]
  volumes: [{name: log, hostPath: {path: /var/log/audit}}]
"""
    write(root, f"{MANIFESTS}/kube-apiserver.yaml", POD + mounted)
    made = MadeProc(tmp_path / "made")
    made.start(8, "kube-apiserver", STATIC, inner="1", flags=flag)
    view = Standing(Host(str(root)), str(made.proc))
    seen = Collector(view, True, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0).collect()
    assert seen["unmounted"] == lost


_ADMISSION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  path: levels.yaml
"""


def test_what_was_written_after_its_reader_started_is_told(root: Path, tmp_path: Path) -> None:
    """By its content: owners and modes change without it."""
    started = 1_700_000_000
    (root / MANIFESTS / "kube-apiserver.yaml").unlink()
    admission = write(root, "etc/admission.yaml", _ADMISSION)
    levels = write(root, "etc/levels.yaml", "defaults: {enforce: baseline}\n")
    policy = write(root, "etc/policy.yaml", "kind: Policy\n")
    made = MadeProc(tmp_path / "made")  # whose processes are of second 1,700,000,000
    flags = "--audit-policy-file=/etc/policy.yaml\0--admission-control-config-file=/etc/admission.yaml"
    made.start(8, "kube-apiserver", STATIC, inner="1", flags=flags)

    def since() -> dict[str, list[str]]:
        view = Standing(Host(str(root)), str(made.proc))
        seen = Collector(view, True, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0).collect()
        return {name: one["written_since"] for name, one in seen["documents"].items()}

    for place in (admission, levels, policy):
        os.utime(place, (started, started))
        place.chmod(0o644)
    assert since() == {"admission": [], "audit_policy": []}
    os.utime(levels, (started, started + 60))
    os.utime(policy, (started, started + 1))  # within what the kernel's own second leaves open
    assert since() == {"admission": ["/etc/levels.yaml"], "audit_policy": []}


def test_who_uses_a_file_is_told_as_the_host_has_it(root: Path, tmp_path: Path) -> None:
    mounted = (
        POD
        + """\
    volumeMounts: [{name: pki, mountPath: /certs}]
  volumes: [{name: pki, hostPath: {path: /etc/kubernetes/pki}}]
"""
    )
    write(root, f"{MANIFESTS}/kube-apiserver.yaml", mounted)
    made = MadeProc(tmp_path / "made")
    made.start(8, "kube-apiserver", STATIC, inner="1", flags="--client-ca-file=/certs/ca.crt")
    view = Standing(Host(str(root)), str(made.proc))
    users = Collector(view, True, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0).users_of_files()
    assert users["/etc/kubernetes/pki/ca.crt"] == ["kube-apiserver --client-ca-file"]
    assert users["/var/lib/kubelet/pki/kubelet-client-current.pem"] == ["kubelet --kubeconfig"]


ETCD = """\
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.5-0
    command: [etcd, --cert-file=/a.crt]
    env:
    - {name: ETCD_AUTO_TLS, value: "true"}
    - {name: ETCD_DATA_DIR, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: ETCD_CERT_FILE, value: $(WHERE)/a.crt}
    - {name: OTHER, value: hidden}
"""


@pytest.fixture(name="etcd")
def an_etcd(root: Path, tmp_path: Path) -> tuple[Standing, Path]:
    write(root, f"{MANIFESTS}/etcd.yaml", ETCD)
    made = MadeProc(tmp_path / "made")
    process = made.start(8, "etcd", STATIC, inner="1", flags="--cert-file=/a.crt")
    variables = {
        "PATH": "/bin", "ETCD_ENABLE_PPROF": "true", "ETCD_INITIAL_CLUSTER_TOKEN": "hidden", "ETCD_KEY_FILE": "",
        "ETCD_LISTEN_CLIENT_URLS": "https://127.0.0.1:1", "ETCD_CERT_FILE": "/b.crt",
    }  # fmt: skip
    (process / "environ").write_bytes(b"".join(f"{name}={value}\0".encode() for name, value in variables.items()))
    return Standing(Host(str(root)), str(made.proc)), process


def of_etcd(view: View) -> dict[str, t.Any]:
    seen = Collector(view, True, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0).collect()
    assert "hidden" not in str(seen)
    return dict(seen["components"]["etcd"]["environment"])


def test_what_etcd_takes_from_its_environment_is_seen_and_no_secret_of_it(etcd: tuple[Standing, Path]) -> None:
    view, process = etcd
    assert of_etcd(view) == {
        "flags": {"enable-pprof": "true", "listen-client-urls": "https://127.0.0.1:1", "cert-file": "/b.crt"},
        "others": ["initial-cluster-token"],
        "problem": "",
    }
    assert view.value("etcd", "listen-client-urls") == "https://127.0.0.1:1"
    # The flag counts, where there is one.
    assert view.value("etcd", "cert-file") == "/a.crt"
    (process / "environ").write_bytes(b"ETCD_CONFIG_FILE=/etcd.yaml\0")
    assert of_etcd(view)["flags"] == {"config-file": "/etcd.yaml"}
    assert (view.value("etcd", "config-file"), view.value("etcd", "cert-file")) == ("/etcd.yaml", "")


def test_what_etcd_may_take_from_an_environment_that_may_not_be_read(
    etcd: tuple[Standing, Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, _process = etcd

    def refuse(_process: Process, _prefix: str) -> t.NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(processes, "environment", refuse)
    # The manifest says it, but for what only the kubelet knows.
    assert of_etcd(view) == {"flags": {"auto-tls": "true"}, "others": ["cert-file", "data-dir"], "problem": ""}
    # That of another user may be unreadable too.
    (root / MANIFESTS / "etcd.yaml").unlink()
    view.pods.clear()
    view.privilege = "the user engineer may not; run with become: true"
    assert of_etcd(view)["problem"] == (
        "the environment of etcd's process could not be read: Permission denied "
        "(the user engineer may not; run with become: true)"
    )


def test_the_variables_of_every_flag_of_etcd_that_is_judged_are_read() -> None:
    controls = [one.judge for one in catalogue_files.load() if one.component == "etcd" and one.judge["kind"] == "flag"]
    assert len(controls) > 10
    assert {one["flag"] for one in controls} < ETCD_FLAGS


def test_an_etcd_is_missed_where_the_inventory_or_the_api_server_says_that_it_is_here(root: Path) -> None:
    assert "etcd" not in collect(root)["components"]
    missed = collect(root, etcd=True)["components"]["etcd"]
    assert (missed["running"], missed["manifest"]) == (False, "")
    write(root, f"{MANIFESTS}/kube-apiserver.yaml", POD.replace("]", ", --etcd-servers=https://127.0.0.1:2379]"))
    assert "etcd" in collect(root)["components"]
    write(root, f"{MANIFESTS}/kube-apiserver.yaml", POD.replace("]", ", --etcd-servers=https://192.0.2.9:2379]"))
    assert "etcd" not in collect(root)["components"]


def test_an_etcd_that_systemd_runs_is_seen_on_a_host_without_a_kubelet(tmp_path: Path) -> None:
    made = MadeProc(tmp_path / "made")
    process = made.start(8, "/usr/local/bin/etcd", SERVICE.replace("kubelet", "etcd"), uid="997", flags="--name=e1")
    (process / "environ").write_bytes(b"ETCD_CLIENT_CERT_AUTH=false\0ETCD_DATA_DIR=/srv/etcd\0")
    write(tmp_path / "root", "srv/etcd/member", mode=0o644)
    view = Standing(Host(str(tmp_path / "root")), str(made.proc))
    found = Collector(view, False, None, lambda _words: (1, "", ""), 1_795_500_000.0, lambda: 0.0, etcd=True).collect()
    assert set(found["components"]) == {"etcd"}
    seen = Judged("e1", found)
    by_id = {control.id: control for control in catalogue_files.load()}
    said = {name: judge_host(seen, by_id[name]).status for name in ("etcd-client-cert-auth", "kubelet-anonymous")}
    assert said == {"etcd-client-cert-auth": "fail", "kubelet-anonymous": "not_applicable"}
    assert [one["path"] for one in found["files"]["etcd_data_directory"]] == ["/srv/etcd"]


def test_what_lies_among_manifests_and_is_no_pod_is_said(root: Path) -> None:
    write(root, f"{MANIFESTS}/kube-apiserver.yaml.bak", POD)
    write(root, f"{MANIFESTS}/notes.txt", "kind: List")
    write(root, f"{MANIFESTS}/broken.yaml", "a: [")
    write(root, f"{MANIFESTS}/latin.yaml", b"caf\xe9")
    write(root, f"{MANIFESTS}/.hidden", "a: [")
    os.mkfifo(root / MANIFESTS / "pipe")
    os.symlink("loop", root / MANIFESTS / "loop")
    (root / MANIFESTS / "below").mkdir()
    found = collect(root)["manifests"]
    assert found["pods"]["kube-apiserver.yaml.bak"] == "kube-system/kube-apiserver"
    assert sorted(found["wrong"]) == ["broken.yaml", "latin.yaml", "loop", "notes.txt", "pipe"]
    assert found["wrong"]["notes.txt"] == "is no Pod"
    assert "no regular file" in found["wrong"]["pipe"]


def test_what_headers_the_kubelet_sends_for_static_pods_is_no_evidence(root: Path) -> None:
    write(root, CONFIGURATION, "kind: KubeletConfiguration\nmaxPods: 5\nstaticPodURLHeader: {X-Key: [hidden]}\n")
    found = collect(root)
    assert found["kubelet"]["fields"]["maxPods"] == 5
    assert "hidden" not in str(found)


def test_flags_whose_values_are_secrets_are_no_evidence(root: Path) -> None:
    view = View(Host(str(root)))
    view.processes["kubelet"] = Process(0, ["kubelet", "--manifest-url-header=X-Key:hidden", "--v=2"], 0.0, 0, 1)
    view.processes["etcd"] = Process(0, ["etcd", "--discovery-password", "hidden"], 0.0, 0, 1)
    found = Collector(view, True, None, lambda _words: (0, "", ""), 1_795_500_000.0, lambda: 0.0).collect()
    assert found["components"]["kubelet"]["arguments"] == ["kubelet", "--manifest-url-header=[masked]", "--v=2"]
    assert found["components"]["etcd"]["arguments"][1] == "--discovery-password"
    assert "hidden" not in str(found)


@pytest.mark.parametrize("text", [b"a: [", b"caf\xe9", b"just text"])
def test_a_kubelets_configuration_that_cannot_be_read_is_a_problem_or_empty(root: Path, text: bytes) -> None:
    write(root, CONFIGURATION, text)
    found = collect(root)["kubelet"]
    assert found["problem"] or found["fields"] == {}


def test_a_file_of_two_gigabytes_is_not_read(root: Path) -> None:
    with open(write(root, "etc/kubernetes/pki/large.crt"), "r+b") as handle:
        handle.truncate(2 << 30)
    with open(write(root, CONFIGURATION), "r+b") as handle:
        handle.truncate(2 << 30)
    seen = collect(root)
    assert "larger than" in seen["certificates_problem"]
    assert "larger than" in seen["kubelet"]["problem"]


def test_a_pipe_in_place_of_a_file_does_not_hang(root: Path) -> None:
    (root / CONFIGURATION).unlink()
    os.mkfifo(root / CONFIGURATION)
    os.mkfifo(root / "etc/kubernetes/pki/pipe.crt")
    seen = collect(root)
    assert "no regular file" in seen["kubelet"]["problem"]
    assert "no regular file" in seen["certificates_problem"]


def test_a_certificate_that_is_none_is_named(root: Path) -> None:
    write(root, "etc/kubernetes/pki/bad.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    write(root, "etc/kubernetes/pki/empty.crt", "")
    write(root, "etc/kubernetes/pki/text.crt", "text")
    write(root, "etc/kubernetes/pki/sa.pub", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    write(root, "etc/kubernetes/scheduler.conf", "text")
    found = {one["path"]: one["problem"] for one in collect(root)["certificates"]}
    # A directory may have files without content in the place of secrets; on a host an empty one is none.
    assert found == {
        "/etc/kubernetes/pki/bad.crt": found["/etc/kubernetes/pki/bad.crt"],
        "/etc/kubernetes/pki/ca.key": "it holds no private key",
        "/etc/kubernetes/pki/sa.pub": "/etc/kubernetes/pki/sa.pub holds a public key that cannot be read",
        "/etc/kubernetes/pki/text.crt": "it holds no certificate",
        "/etc/kubernetes/scheduler.conf": found["/etc/kubernetes/scheduler.conf"],
    }
    assert "cannot be read" in found["/etc/kubernetes/pki/bad.crt"]
    assert "is not a kubeconfig" in found["/etc/kubernetes/scheduler.conf"]


def test_of_what_the_kubelet_renewed_only_the_newest_counts(root: Path) -> None:
    """It leaves the earlier ones where they are, and they end one after the other."""
    for day in ("2025-01-15", "2026-01-15"):
        write(root, f"var/lib/kubelet/pki/kubelet-client-{day}-08-00-00.pem", issue.certificate_pem(CLIENT))
    os.symlink("kubelet-client-2026-01-15-08-00-00.pem", root / "var/lib/kubelet/pki/kubelet-client-current.pem")
    (found,) = (one for one in collect(root)["certificates"] if one["path"].endswith(".pem"))
    assert found["path"] == "/var/lib/kubelet/pki/kubelet-client-current.pem"
    assert (found["used_by"], found["used_as"]) == (["kubelet"], ["kubelet --kubeconfig"])
    assert (found["extended_usages"], found["authority"]) == (["clientAuth"], False)
    # Who may read the others is judged all the same.
    assert len(collect(root)["files"]["kubelet_client_key"]) == 2


@pytest.mark.parametrize(
    ("configuration", "shown"),
    [
        ("", "/var/lib/kubelet/pki/kubelet.crt"),
        (
            "serverTLSBootstrap: true\ntlsCertFile: /etc/kubelet.cert\n",
            "/var/lib/kubelet/pki/kubelet-server-current.pem",
        ),
        ("tlsCertFile: /etc/kubelet.cert\n", "/etc/kubelet.cert"),
        ("a: [", "/var/lib/kubelet/pki/kubelet-server-current.pem"),
    ],
)
def test_the_certificate_that_a_kubelet_serves_is_looked_at(root: Path, configuration: str, shown: str) -> None:
    write(root, CONFIGURATION, configuration)
    for path in ("var/lib/kubelet/pki/kubelet.crt", "etc/kubelet.cert"):
        write(root, path, issue.certificate_pem(CLIENT))
    write(root, "var/lib/kubelet/pki/kubelet-server-2026-01-15-08-00-00.pem", issue.certificate_pem(CLIENT))
    os.symlink("kubelet-server-2026-01-15-08-00-00.pem", root / "var/lib/kubelet/pki/kubelet-server-current.pem")
    (found,) = (one for one in collect(root)["certificates"] if "kubelet --tls-cert-file" in one.get("used_as", ()))
    assert found["path"] == shown
    assert (found["seconds_valid"] // 86400, found["seconds_left"] // 86400) == (365, found["days_left"])


def test_the_certificate_that_a_scheduler_serves_is_looked_at_and_who_reads_its_key(tmp_path: Path) -> None:
    base = "etc/kubernetes/pki/scheduler/server"
    write(tmp_path, f"{base}.crt", issue.certificate_pem(CLIENT))
    write(tmp_path, f"{base}.key", "-----BEGIN PRIVATE KEY-----\n", 0o644)
    view = View(Host(str(tmp_path)))
    words = ["kube-scheduler", f"--tls-cert-file=/{base}.crt", f"--tls-private-key-file=/{base}.key"]
    view.processes["kube-scheduler"] = Process(7, words, 0.0, 0, 1)
    files = Files(view, None, 1_795_500_000.0)
    seen = files.attributes({}, {"documents": []}, "")
    assert [(one["path"], one["mode"]) for one in seen["pki_key"]] == [(f"/{base}.key", "0644")]
    (found,) = files.certificates(seen, {})["certificates"]
    assert (found["path"], found["used_as"]) == (f"/{base}.crt", ["kube-scheduler --tls-cert-file"])


def test_certificates_for_some_names_of_the_api_server_are_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "etc/front/api.cert", issue.certificate_pem(CLIENT))
    write(tmp_path, "etc/front/api-key.pem", "-----BEGIN PRIVATE KEY-----\n", 0o644)
    view = View(Host(str(tmp_path)))
    flags = ["--tls-sni-cert-key=/etc/front/api.cert,/etc/front/api-key.pem:api.example.com", "--tls-sni-cert-key=odd"]
    view.processes["kube-apiserver"] = Process(7, ["kube-apiserver", *flags], 0.0, 0, 1)
    files = Files(view, None, 1_795_500_000.0)
    seen = files.attributes({}, {"documents": []}, "")
    assert [one["path"] for one in seen["pki_certificate"]] == ["/etc/front/api.cert"]
    assert [one["mode"] for one in seen["pki_key"]] == ["0644"]
    (found,) = files.certificates(seen, {})["certificates"]
    assert (found["path"], found["used_as"]) == ("/etc/front/api.cert", ["kube-apiserver --tls-sni-cert-key"])


def test_the_directory_of_static_pods_is_judged_wherever_it_is(root: Path) -> None:
    write(root, CONFIGURATION, "staticPodPath: /srv/pods\n")
    (root / "srv/pods").mkdir(parents=True)
    (root / "srv/pods").chmod(0o777)
    found = {one["path"]: one["mode"] for one in collect(root)["files"]["manifests_directory"]}
    assert found["/srv/pods"] == "0777"
    assert f"/{MANIFESTS}" in found


def test_directories_beside_the_networks_configuration_are_no_files(root: Path) -> None:
    write(root, "etc/cni/net.d/10-net.conflist", "{}", 0o644)
    (root / "etc/cni/net.d/multus.d").mkdir(mode=0o700)
    os.symlink("10-net.conflist", root / "etc/cni/net.d/link.conflist")
    os.symlink("loop", root / "etc/cni/net.d/loop")
    found = {one["path"]: one.get("mode") for one in collect(root)["files"]["cni_configuration"]}
    assert found == {
        "/etc/cni/net.d/10-net.conflist": "0644",
        "/etc/cni/net.d/link.conflist": "0644",
        "/etc/cni/net.d/loop": None,
    }


def held(*users: dict[str, t.Any]) -> str:
    listed = [{"name": f"u{number}", "user": user} for number, user in enumerate(users)]
    return yaml.safe_dump({"kind": "Config", "current-context": "", "users": listed})


def within(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_kubeconfigs_of_people_are_seen_with_the_groups_of_their_certificates(root: Path) -> None:
    rendered = kubeconfig.render("https://10.0.0.1:6443", "a", b"", issue.certificate_pem(CLIENT), b"key")
    write(root, "etc/kubernetes/admin.conf", rendered)
    write(root, "etc/kubernetes/super-admin.conf", "word")
    write(root, "home/a/.kube/config", rendered, 0o644)
    write(root, "home/a/.kube/prod.yaml", rendered, 0o640)
    write(root, "home/a/.kube/broken.yaml", rendered[:-9] + b"\t{")
    write(root, "home/b/.kube/config", "word")
    write(root, "home/c/notes")
    os.symlink("d", root / "home/d")
    write(root, "home/e/.kube/config", held({"token": "t"}, {}))
    write(root, "home/f/.kube/config")
    found = {one["path"]: one for one in collect(root)["credentials"]}
    assert found["/etc/kubernetes/admin.conf"]["organizations"] == ["group"]
    assert "is not a kubeconfig" in found["/etc/kubernetes/super-admin.conf"]["problem"]
    assert found["/home/a/.kube/config"]["organizations"] == ["group"]
    assert found["/home/a/.kube/config"]["mode"] == "0644"
    prod = found["/home/a/.kube/prod.yaml"]
    assert (prod["organizations"], prod["mode"]) == (["group"], "0640")
    assert "is not valid YAML" in found["/home/a/.kube/broken.yaml"]["problem"]
    assert "is not a kubeconfig" in found["/home/b/.kube/config"]["problem"]
    assert "loop" in found["/home/d/.kube/config"]["problem"]
    for path in ("/home/e/.kube/config", "/home/f/.kube/config"):
        assert (found[path]["organizations"], found[path].get("problem")) == ([], None)
    assert len(found) == 9


def test_certificates_of_kubeconfigs_in_homes_have_their_days(root: Path) -> None:
    certificate = within(issue.certificate_pem(CLIENT))
    write(root, "root/.kube/config", held({}, {"client-certificate-data": certificate, "client-key-data": "a2V5"}))
    write(root, "home/a/.kube/a.crt", issue.certificate_pem(CLIENT))
    write(root, "home/a/.kube/config", held({"client-certificate": "a.crt"}, {"client-certificate": "/gone"}))
    write(root, "home/b/.kube/config", "word")
    write(root, "var/lib/kube-proxy/kubeconfig.conf", kubeconfig.render(
        "https://10.0.0.1:6443", "a", b"", issue.certificate_pem(CLIENT), b"key"))  # fmt: skip
    found = {one["path"]: one for one in collect(root)["certificates"] if one.get("days_left")}
    assert set(found) == {"/root/.kube/config", "/home/a/.kube/a.crt", "/var/lib/kube-proxy/kubeconfig.conf"}
    assert len({one["subject"] for one in found.values()}) == 1


def test_keys_that_sign_tokens_say_how_strong_they_are(tmp_path: Path) -> None:
    root = tmp_path
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  (a weak one)
    write(root, "etc/kubernetes/pki/sa.pub", keys.public_pem(weak))
    write(root, "etc/kubernetes/pki/sa.key", keys.private_pem(weak))
    write(root, "etc/kubernetes/pki/own.key", keys.private_pem(weak))
    view = View(Host(str(root)))
    flags = ["--service-account-key-file=/etc/kubernetes/pki/sa.pub",
             "--service-account-signing-key-file=/etc/kubernetes/pki/own.key"]  # fmt: skip
    view.processes["kube-apiserver"] = Process(7, ["kube-apiserver", *flags], 0.0, 0, 1)
    files = Files(view, None, 1_795_500_000.0)
    shown = files.certificates(files.attributes({}, {"documents": []}, ""), {})["certificates"]
    found = {one["path"]: (one.get("key_algorithm"), one["problem"]) for one in shown}
    assert found == dict.fromkeys(
        ("/etc/kubernetes/pki/sa.pub", "/etc/kubernetes/pki/own.key"), ("RSA-1024", "")
    )  # fmt: skip
    write(root, "etc/kubernetes/pki/sa.pub", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    shown = files.certificates(files.attributes({}, {"documents": []}, ""), {})["certificates"]
    assert {one["path"]: one["problem"] for one in shown}["/etc/kubernetes/pki/sa.pub"]


def test_the_key_that_a_kubelet_was_given_is_one_of_its_own(root: Path) -> None:
    write(root, "srv/kubelet.pem", "key", 0o666)
    write(root, "var/lib/kubelet/config.yaml", "tlsPrivateKeyFile: /srv/kubelet.pem\n")
    listed = {one["path"]: one.get("mode") for one in collect(root)["files"]["kubelet_client_key"]}
    assert listed["/srv/kubelet.pem"] == "0666"


def test_every_user_of_a_kubeconfig_counts_not_the_current_one_alone(root: Path) -> None:
    certificate = within(issue.certificate_pem(CLIENT))
    write(root, "home/a/.kube/config", held({}, {"client-certificate-data": certificate, "client-key-data": "a2V5"}))
    write(root, "home/b/.kube/config", held({"client-certificate-data": "?"}, {"client-certificate-data": certificate}))
    found = {one["path"]: one for one in collect(root)["credentials"]}
    assert found["/home/a/.kube/config"]["organizations"] == ["group"]
    assert found["/home/b/.kube/config"]["organizations"] == ["group"]
    assert "is not valid base64" in found["/home/b/.kube/config"]["problem"]


def test_a_certificate_that_a_kubeconfig_names_is_read_and_its_key_is_looked_at(root: Path) -> None:
    write(root, "home/a/.kube/a.crt", issue.certificate_pem(CLIENT))
    write(root, "home/a/.kube/own/a.key", "key", 0o640)
    named = {"client-certificate": "a.crt", "client-key": "own/a.key"}
    write(root, "home/a/.kube/config", held(named, {"client-certificate": "/gone.crt"}))
    write(root, "home/b/.kube/config", held({**named, "client-certificate": "/home/a/.kube/own/a.key"}))
    write(root, "home/c/.kube/config", held({"client-certificate": "/home/a/.kube/a.crt", "client-key-data": "a2V5"}))
    found = {one["path"]: one for one in collect(root)["credentials"]}
    assert found["/home/a/.kube/config"]["organizations"] == []
    assert found["/home/a/.kube/own/a.key"]["organizations"] == ["group"]
    assert found["/home/a/.kube/own/a.key"]["mode"] == "0640"
    assert "/home/a/.kube/own/a.key" in found["/home/b/.kube/config"]["problem"]
    assert found["/home/c/.kube/config"]["organizations"] == ["group"]
    assert "problem" not in found["/home/a/.kube/config"]


def test_homes_of_programs_are_those_of_their_accounts(root: Path) -> None:
    rendered = kubeconfig.render("https://10.0.0.1:6443", "a", b"", issue.certificate_pem(CLIENT), b"key")
    for home in ("var/lib/jenkins", "srv/ci", "home/a", "root"):
        write(root, f"{home}/.kube/config", rendered, 0o644)
    accounts = (
        "root:x:0:0:root:/root:/bin/bash",
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
        "a:x:1000:1000::/home/a:/bin/sh",
        "jenkins:x:998:998::/var/lib/jenkins/:/bin/false",
        "nobody:x:65534:65534::/nonexistent:",
        "odd:x:1:1",
    )
    write(root, "etc/passwd", "\n".join(accounts))
    found = {one["path"]: one for one in collect(root)["credentials"]}
    assert set(found) == {"/root/.kube/config", "/home/a/.kube/config", "/var/lib/jenkins/.kube/config"}
    assert found["/var/lib/jenkins/.kube/config"]["organizations"] == ["group"]
    assert "/var/lib/jenkins/.kube/config" in {one["path"] for one in collect(root)["certificates"]}
    (root / "etc/passwd").write_bytes(b"ci:x:7:7:M\xfcller:/srv/ci:\n")
    assert "/srv/ci/.kube/config" in {one["path"] for one in collect(root)["credentials"]}
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")
    found = {one["path"]: one for one in collect(root)["credentials"]}
    assert found["/etc/passwd"]["problem"]
    assert "/home/a/.kube/config" in found


@pytest.mark.parametrize("spoil", ["pipe", "loop", "large"])
def test_a_key_that_cannot_be_read_is_said_and_hides_no_certificate(root: Path, spoil: str) -> None:
    write(root, "etc/kubernetes/pki/apiserver.crt", issue.certificate_pem(CLIENT))
    path = root / "etc/kubernetes/pki/apiserver.key"
    if spoil == "pipe":
        os.mkfifo(path)
    elif spoil == "loop":
        path.symlink_to("apiserver.key")
    else:
        with path.open("wb") as handle:
            handle.truncate(2 << 30)
    seen = collect(root)
    assert "/apiserver.key" in seen["keys_problem"]
    assert seen["certificates_problem"] == ""
    assert "/etc/kubernetes/pki/apiserver.crt" in {one["path"] for one in seen["certificates"]}


@pytest.mark.parametrize(
    ("text", "keys", "twice"),
    [
        ("a: {b: 1, c: {d: 2}}", ["a", "a.b", "a.c", "a.c.d"], []),
        ("a: 1\nb: 2\na: 3\n", ["a", "b"], ["a"]),
        ("a: {b: 1, b: 2}", ["a", "a.b"], ["a.b"]),
        ("a: {b: 1, b: 2, b: 3}", ["a", "a.b"], ["a.b"]),
        # Each item of a list has keys of its own.
        ("a: [{b: 1}, {b: 2, c: {d: 3}}, 4]", ["a", "a[].b", "a[].c", "a[].c.d"], []),
        ("a: [{b: 1, b: 2}, {b: 3}]", ["a", "a[].b"], ["a[].b"]),
        ("a: [[{b: 1}]]", ["a", "a[][].b"], []),
        ("- a", [], []),
        ("a: [", [], []),
        ("", [], []),
    ],
)
def test_the_keys_of_a_file(text: str, keys: list[str], twice: list[str]) -> None:
    assert keys_of(text) == {"keys": keys, "twice": twice}
