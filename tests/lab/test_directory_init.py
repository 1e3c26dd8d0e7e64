# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prepare_node.yml before there is a cluster, on directories: what `kubeadm init` is to find.

Needs neither a cluster nor root. What kubeadm says of it is seen in test_pki_init.py.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, kubeconfig, profile
from lab.test_directory_hosts import Hosts, refused
from tools.runs import Run

PKI = "etc/kubernetes/pki"
CONFIGURATION = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 192.0.2.11
certificateKey: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.1
controlPlaneEndpoint: api.example.org:6443
networking: {serviceSubnet: 10.11.0.0/16, dnsDomain: example.internal}
apiServer:
  certSANs: [kube.example.org]
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
"""
AUTHORITIES = {"kubernetes": "ca", "etcd": "etcd/ca", "front-proxy": "front-proxy-ca"}
LEAVES = (
    "apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client",
    "etcd/server", "etcd/peer", "etcd/healthcheck-client",
)  # fmt: skip
#: By control plane, the kubeconfigs that kubeadm looks for; it makes the kubelet's where it has the authority's key.
KUBECONFIGS = {
    "cp1": ("admin", "controller-manager", "scheduler", "super-admin"),
    "cp2": ("admin", "controller-manager", "scheduler"),
}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """Hosts on which there is nothing of Kubernetes yet."""
    made = Hosts(tmp_path)
    for number, name in enumerate(made.names, start=11):
        for path in ("etc/kubernetes", "var/lib/kubelet", "var/lib/etcd"):
            shutil.rmtree(made.root(name) / path, ignore_errors=True)
        (made.root(name) / "etc/kubernetes").mkdir(parents=True)
        text = made.inventory.read_text(encoding="utf-8")
        entry = f"        {name}:\n"
        made.inventory.write_text(text.replace(entry, f"{entry}          ansible_host: 192.0.2.{number}\n"), "utf-8")
    (tmp_path / "kubeadm.yaml").write_text(CONFIGURATION, encoding="utf-8")
    return made


def prepare(hosts: Hosts, *arguments: str, **variables: Any) -> Run:
    return hosts.play("prepare_node.yml", *arguments, pki_init=str(hosts.directory / "kubeadm.yaml"), **variables)


def laid(hosts: Hosts, host: str) -> set[str]:
    """The files of Kubernetes' on a host, as paths below /etc/kubernetes."""
    base = hosts.root(host) / "etc/kubernetes"
    return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}


def wanted(host: str, *more: str) -> set[str]:
    pairs = {f"pki/{name}{suffix}" for name in (*LEAVES, *AUTHORITIES.values()) for suffix in (".crt", ".key")}
    return {*pairs, "pki/sa.key", "pki/sa.pub", *(f"{name}.conf" for name in KUBECONFIGS[host]), *more}


def leaf(hosts: Hosts, host: str, name: str) -> profile.CertificateFacts:
    return bundle.parse((hosts.root(host) / PKI / f"{name}.crt").read_bytes(), name)[0]


def test_all_that_kubeadm_takes_is_foretold_laid_and_then_left(hosts: Hosts) -> None:
    before = hosts.state()
    foretold = prepare(hosts, "--check")
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == before
    expected = hosts.changes
    run = prepare(hosts, "-vvvv")
    assert run.code == 0, str(run)
    assert hosts.changes == expected
    assert "0123456789abcdef" not in run.output
    # cp2 took authorities and the key of service accounts from cp1; all other keys were made where they lie.
    shared = {f"{host}/{PKI}/{name}.key" for host in KUBECONFIGS for name in (*AUTHORITIES.values(), "sa")}
    assert shared <= hosts.keys().keys()
    assert hosts.keys_told(run) == []
    assert {host: laid(hosts, host) for host in hosts.names} == {
        "cp1": wanted("cp1"),
        "cp2": wanted("cp2"),
        "w1": set(),
    }
    for name in AUTHORITIES.values():
        assert len({(hosts.root(host) / PKI / f"{name}.key").read_bytes() for host in KUBECONFIGS}) == 1
    assert len({(hosts.root(host) / PKI / "sa.key").read_bytes() for host in KUBECONFIGS}) == 1
    for number, host in enumerate(KUBECONFIGS, start=11):
        served = leaf(hosts, host, "apiserver")
        assert {host, "kube.example.org", "api.example.org", "kubernetes.default.svc.example.internal"} <= set(
            served.profile.names.dns
        )
        assert {"10.11.0.1", f"192.0.2.{number}"} <= {str(one) for one in served.profile.names.addresses}
        admin = kubeconfig.parse((hosts.root(host) / "etc/kubernetes/admin.conf").read_bytes(), "admin.conf")
        manager = kubeconfig.parse((hosts.root(host) / "etc/kubernetes/scheduler.conf").read_bytes(), "scheduler.conf")
        assert (admin.server, manager.server) == ("https://api.example.org:6443", f"https://192.0.2.{number}:6443")
    state = hosts.state()
    again = prepare(hosts)
    assert again.code == 0, str(again)
    assert set(again.changed.values()) == {0}
    assert hosts.state() == state


def test_in_another_directory_all_of_it_is_there(hosts: Hosts) -> None:
    file = hosts.directory / "kubeadm.yaml"
    text = CONFIGURATION.replace("controlPlaneEndpoint:", "certificatesDir: /srv/pki\ncontrolPlaneEndpoint:")
    file.write_text(text, encoding="utf-8")
    run = prepare(hosts)
    assert run.code == 0, str(run)
    for host in KUBECONFIGS:
        base = hosts.root(host) / "srv"
        pairs = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
        assert pairs | laid(hosts, host) == wanted(host)
        assert not (hosts.root(host) / PKI).exists()


class Outside:
    """Three authorities that are nobody's but openssl's."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.requests = directory / "requests"
        for name in AUTHORITIES:
            certificate, key = authority.files(
                authority.create(profile.wanted_authority(f"Outside {name}"), time.time())
            )
            (directory / f"{name}.crt").write_bytes(certificate)
            (directory / f"{name}.key").write_bytes(key)
        self.variables: dict[str, Any] = {
            "pki_authorities": {name: {"certificate": str(directory / f"{name}.crt")} for name in AUTHORITIES},
            "pki_requests_dir": str(self.requests),
        }

    def sign(self) -> None:
        """Every request, by the authority that its name says."""
        for request in self.requests.rglob("*.csr"):
            name = request.stem
            by = "etcd" if "etcd" in name else "front-proxy" if name.startswith("front-proxy") else "kubernetes"
            words = ["openssl", "x509", "-req", "-in", str(request), "-out", str(request.with_suffix(".crt"))]
            words += ["-CA", str(self.directory / f"{by}.crt"), "-CAkey", str(self.directory / f"{by}.key")]
            subprocess.run(
                [*words, "-days", "30", "-copy_extensions", "copyall"], check=True, stderr=subprocess.DEVNULL
            )


def test_authorities_outside_sign_all_of_it_and_no_host_has_a_key_of_them(hosts: Hosts, tmp_path: Path) -> None:
    outside = Outside(tmp_path / "outside")
    foretold = prepare(hosts, "--check", **outside.variables)
    assert foretold.code == 0, str(foretold)
    expected = hosts.changes
    first = prepare(hosts, **outside.variables)
    assert first.code == 0, str(first)
    assert hosts.changes == expected
    names = {name.replace("/", "-") for name in LEAVES}
    asked = {
        **{f"cp1/{name}.csr": 1 for name in (*names, *(f"{one}.conf" for one in (*KUBECONFIGS["cp1"], "kubelet")))},
        **{f"cp2/{name}.csr": 1 for name in (*names, *(f"{one}.conf" for one in KUBECONFIGS["cp2"]))},
    }
    assert {str(path.relative_to(outside.requests)) for path in outside.requests.rglob("*.csr")} == set(asked)
    outside.sign()
    second = prepare(hosts, **outside.variables)
    assert second.code == 0, str(second)
    assert not list(outside.requests.rglob("*.c*"))
    keys = {f"pki/{name}.key" for name in AUTHORITIES.values()}
    assert laid(hosts, "cp1") == wanted("cp1", "kubelet.conf") - keys
    assert laid(hosts, "cp2") == wanted("cp2") - keys
    for host in KUBECONFIGS:
        for name in LEAVES:
            row = "etcd" if "etcd" in name else "front-proxy" if name.startswith("front-proxy") else "kubernetes"
            own = bundle.parse((outside.directory / f"{row}.crt").read_bytes(), row)[0]
            assert issue.is_signed_by(leaf(hosts, host, name), own), (host, name)
    kubelet = kubeconfig.parse((hosts.root("cp1") / "etc/kubernetes/kubelet.conf").read_bytes(), "kubelet.conf")
    assert kubelet.server == "https://192.0.2.11:6443"
    own = bundle.parse(kubelet.certificate or b"", "kubelet.conf")[0]
    assert str(own.profile.subject) == "O=system:nodes, CN=system:node:cp1"
    last = prepare(hosts, **outside.variables)
    assert set(last.changed.values()) == {0}, str(last)


@pytest.mark.slow
def test_keys_on_the_controller_alone_sign_the_kubelets_first_certificate_too(hosts: Hosts, tmp_path: Path) -> None:
    kept = tmp_path / "authorities"
    kept.mkdir(mode=0o700)
    run = prepare(hosts, pki_authorities_dir=str(kept))
    assert run.code == 0, str(run)
    keys = {f"pki/{name}.key" for name in AUTHORITIES.values()}
    assert laid(hosts, "cp1") == wanted("cp1", "kubelet.conf") - keys
    assert laid(hosts, "cp2") == wanted("cp2") - keys
    assert {path.name for path in kept.glob("*.key")} == {f"{name}.key" for name in AUTHORITIES}
    again = prepare(hosts, pki_authorities_dir=str(kept))
    assert set(again.changed.values()) == {0}, str(again)


@pytest.mark.slow
def test_what_the_file_says_anew_is_made_anew_while_nothing_runs(hosts: Hosts) -> None:
    assert prepare(hosts).code == 0
    file = hosts.directory / "kubeadm.yaml"
    file.write_text(CONFIGURATION.replace("kube.example.org", "other.example.org"), encoding="utf-8")
    run = prepare(hosts)
    assert run.code == 0, str(run)
    targets = {f"/{PKI}/apiserver.crt", f"/{PKI}/apiserver.key"}
    assert {(one["host"], one["target"]) for one in hosts.changes} == {(h, t) for h in KUBECONFIGS for t in targets}
    assert "other.example.org" in leaf(hosts, "cp2", "apiserver").profile.names.dns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [\n", "it is no YAML"),
        ("kind: Pod\n", "it has no ClusterConfiguration"),
        (CONFIGURATION.replace("v1.37.1", "stable-1"), "its kubernetesVersion is no version"),
        (CONFIGURATION + "---\n" + CONFIGURATION, "it has more than one InitConfiguration"),
        (None, "could not be read"),
    ],
)
@pytest.mark.slow
def test_a_file_that_is_no_configuration_is_refused(hosts: Hosts, text: str | None, words: str) -> None:
    file = hosts.directory / "kubeadm.yaml"
    file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    before = hosts.state()
    run = prepare(hosts, "--limit", "cp1")
    refused(run, "cp1", "KH018", words)
    assert hosts.state() == before


@pytest.mark.slow
def test_a_host_that_is_in_a_cluster_is_refused(hosts: Hosts) -> None:
    manifests = hosts.root("cp1") / "etc/kubernetes/manifests"
    manifests.mkdir()
    (manifests / "kube-apiserver.yaml").write_text("kind: Pod\n", encoding="utf-8")
    before = hosts.state()
    run = prepare(hosts)
    refused(run, "cp1", "KH018", "belongs to a cluster already")
    assert hosts.state() == before
