# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that one of the user's flags names is there and mounted, or the run is refused before its first write."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import flag_files

API = "kube-apiserver"
SOURCE = "/etc/kubernetes/manifests/kube-apiserver.yaml"
TEXT = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.1
    command: [kube-apiserver, --oidc-ca-file=/gone/ca.crt]
    volumeMounts:
    - {name: pki, mountPath: /etc/kubernetes/pki}
    - {name: mine, mountPath: /mine}
    - {name: room, mountPath: /room}
  volumes:
  - {name: pki, hostPath: {path: /etc/kubernetes/pki}}
  - {name: mine, hostPath: {path: /srv/mine}}
  - {name: room, emptyDir: {}}
"""
NOT_MOUNTED = f"which {SOURCE} does not mount"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for path in ("etc/kubernetes/pki/ca.crt", "srv/mine/sni.crt", "srv/mine/sni.key", "srv/own/policy.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x", encoding="utf-8")
    return Host(str(tmp_path))


@pytest.mark.parametrize(
    ("flag", "value", "problem"),
    [
        ("client-ca-file", "/etc/kubernetes/pki/ca.crt", ""),
        (
            "client_ca_file",
            "/etc/kubernetes/pki/no.crt",
            "but there is no file /etc/kubernetes/pki/no.crt on this host",
        ),
        ("etcd-cafile", "/etc/kubernetes/pki/no.crt", "but there is no file"),
        ("kubelet-certificate-authority", "/etc/kubernetes/pki", "but there is no file /etc/kubernetes/pki on this"),
        ("tracing-config-file", "/mine/tracing.yaml", "but there is no file /srv/mine/tracing.yaml on this host"),
        ("authorization-config", "/srv/own/policy.yaml", NOT_MOUNTED),
        ("authentication-kubeconfig", "/room/x.conf", NOT_MOUNTED),
        ("tls-sni-cert-key", "/mine/sni.crt,/mine/sni.key:a.example,b.example", ""),
        (
            "tls-sni-cert-key",
            "/mine/sni.crt,/mine/other.key",
            "names /mine/other.key, but there is no file /srv/mine/o",
        ),
        # Mounted, and if it is ours written, by the run.
        ("audit-policy-file", "/srv/own/policy.yaml", ""),
        ("audit-policy-file", "/srv/own/none.yaml", "but there is no file /srv/own/none.yaml on this host"),
        ("audit-policy-file", "/etc/kubernetes/kubeharden/audit-policy.yaml", ""),
        # The owner has it already.
        ("oidc-ca-file", "/gone/ca.crt", ""),
        # Written, so no file that must be there, but below a mount.
        ("audit-log-path", "/var/log/x.log", "to write to, " + NOT_MOUNTED),
        ("audit-log-path", "/mine/x.log", ""),
        ("audit-log-path", "-", ""),
        # No files that must be there.
        ("cert-dir", "/nowhere", ""),
        ("runtime-config", "api/all=true", ""),
        ("client-ca-file", "relative.crt", ""),
    ],
)
def test_a_file_is_there_and_mounted_or_said(host: Host, flag: str, value: str, problem: str) -> None:
    manifest = Manifest.parse(TEXT, SOURCE)
    found = flag_files.problems(host, API, manifest, {flag: value}, ["audit-policy-file"])
    if problem:
        assert len(found) == 1, found
        assert found[0].startswith(f"--{flag.replace('_', '-')} of kube-apiserver names /")
        assert problem in found[0]
        assert found[0].endswith(".")
    else:
        assert found == []


def test_each_file_of_a_list_is_looked_for(host: Host) -> None:
    given = ["/mine/sni.crt,/mine/sni.key", "/mine/sni.crt,/mine/other.key"]
    (found,) = flag_files.problems(host, API, Manifest.parse(TEXT, SOURCE), {"tls-sni-cert-key": given})
    assert "names /mine/other.key, but there is no file" in found


ETCD = (
    TEXT.replace("kube-apiserver", "etcd")
    .replace("etcd:v1.37.1", "etcd:3.7.0-0")
    .replace("--oidc-ca-file=/gone/ca.crt", "--data-dir=/var/lib/etcd")
)


@pytest.mark.parametrize(
    ("flag", "value", "problems"),
    [
        ("log-outputs", "stderr", []),
        ("log-outputs", "default,/dev/stdout,/mine/etcd.log", []),
        (
            "log_outputs",
            "stdout,/var/log/etcd.log,/mine/etcd.log,/room/etcd.log",
            ["/var/log/etcd.log", "/room/etcd.log"],
        ),
        ("wal-dir", "/mine/wal", []),
        ("wal-dir", "/wal", ["/wal"]),
        # The owner has it already: the look at the host says it.
        ("data-dir", "/var/lib/etcd", []),
        # What another component writes.
        ("audit-log-path", "/var/log/x.log", []),
    ],
)
def test_what_etcd_writes_is_below_a_mount_or_said(host: Host, flag: str, value: str, problems: list[str]) -> None:
    source = "/etc/kubernetes/manifests/etcd.yaml"
    found = flag_files.problems(host, "etcd", Manifest.parse(ETCD, source), {flag: value})
    words = (
        f"--{flag.replace('_', '-')} of etcd names {{}} to write to, which {source} does not mount, so that it would "
    )
    assert [one.partition("end with")[0] for one in found] == [words.format(path) for path in problems]


def test_each_file_has_its_sentence(host: Host) -> None:
    flags = {"tls-sni-cert-key": "/a.crt,/a.key", "tracing-config-file": "/mine/t.yaml"}
    assert len(flag_files.problems(host, API, Manifest.parse(TEXT, SOURCE), flags)) == 3


@pytest.mark.parametrize(
    ("flag", "value", "problem"),
    [
        ("client-ca-file", "/etc/kubernetes/pki/ca.crt", ""),
        ("tls_cert_file", "/srv/no.crt", "--tls-cert-file of kubelet names /srv/no.crt, but there is no file"),
        ("image-credential-provider-config", "/srv/no.yaml", "but there is no file /srv/no.yaml on this host"),
        ("resolv-conf", "/run/no.conf", "but there is no file /run/no.conf on this host"),
        ("resolv-conf", "", ""),
        ("image-credential-provider-bin-dir", "/srv/own", ""),
        ("image-credential-provider-bin-dir", "/srv/no", "but there is no directory /srv/no on this host"),
        ("config-dir", "/srv/own/policy.yaml", "but there is no directory /srv/own/policy.yaml on this host"),
        ("bootstrap-kubeconfig", "/etc/kubernetes/bootstrap-kubelet.conf", ""),
        ("kubeconfig", "/etc/kubernetes/there-already.conf", ""),
        ("node-ip", "10.0.0.7", ""),
    ],
)
def test_a_kubelet_in_no_container_reads_the_hosts_own(host: Host, flag: str, value: str, problem: str) -> None:
    found = flag_files.problems_of_kubelet(host, {"kubeconfig": "/etc/kubernetes/there-already.conf"}, {flag: value})
    assert len(found) == bool(problem), found
    assert problem in "".join(found)
