# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates depend on, from the file of kubeadm init; what else it holds stays on the controller."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="read on the controller")

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import kubeadm_file

LEAST = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n"
INIT = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: abcdef.0123456789abcdef}]
certificateKey: "00112233"
nodeRegistration: {name: first}
localAPIEndpoint: {advertiseAddress: 192.0.2.1, bindPort: 7443}
"""
MOST = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: 1.37.0-rc.1
certificatesDir: /srv/pki
controlPlaneEndpoint: api.example.org
networking: {serviceSubnet: "10.1.0.0/16,fd00::/112", dnsDomain: example.internal}
apiServer: {certSANs: [a.example.org, 192.0.2.9]}
controllerManager:
  extraArgs:
  - {name: tls-cert-file, value: /srv/pki/manager.crt}
  - {name: tls-private-key-file, value: /srv/pki/manager.key}
etcd:
  local: {serverCertSANs: [s.example.org], peerCertSANs: [p.example.org]}
"""


def test_what_it_does_not_say_is_as_kubeadm_has_it() -> None:
    assert kubeadm_file.read(LEAST, "f") == {
        "version": "1.36.2",
        "directory": "/etc/kubernetes/pki",
        "service_network": "10.96.0.0/12",
        "dns_domain": "cluster.local",
        "endpoint": "",
        "names": [],
        "etcd_names": [],
        "etcd": True,
        "serving": {"kube-controller-manager": {}, "kube-scheduler": {}},
        "node_name": "",
        "address": "",
        "port": 6443,
    }


@pytest.mark.parametrize(
    "text", [f"{INIT}---\n{MOST}", f"---\n{MOST}--- # and\n{INIT}---\nkind: KubeletConfiguration\n"]
)
def test_what_it_says_is_taken_and_no_secret(text: str) -> None:
    found = kubeadm_file.read(text, "f")
    assert found == {
        "version": "1.37.0",
        "directory": "/srv/pki",
        "service_network": "10.1.0.0/16,fd00::/112",
        "dns_domain": "example.internal",
        "endpoint": "api.example.org",
        "names": ["a.example.org", "192.0.2.9"],
        "etcd_names": ["s.example.org", "p.example.org"],
        "etcd": True,
        "serving": {
            "kube-controller-manager": {
                "tls-cert-file": "/srv/pki/manager.crt",
                "tls-private-key-file": "/srv/pki/manager.key",
            },
            "kube-scheduler": {},
        },
        "node_name": "first",
        "address": "192.0.2.1",
        "port": 7443,
    }
    assert "abcdef" not in str(found)
    assert "00112233" not in str(found)


def test_lines_may_end_as_windows_ends_them() -> None:
    text = f"{INIT}---\n{MOST}"
    assert kubeadm_file.read(text.replace("\n", "\r\n"), "f") == kubeadm_file.read(text, "f")


def test_a_directory_is_called_as_kubeadm_calls_it_in_manifests() -> None:
    assert kubeadm_file.read(f"{LEAST}certificatesDir: /srv//pki/\n", "f")["directory"] == "/srv/pki"


def test_a_port_that_is_empty_is_kubeadms_own() -> None:
    for port in ("null", "0"):
        assert kubeadm_file.read(f"{LEAST}---\n{INIT.replace('7443', port)}", "f")["port"] == 6443


def test_an_etcd_elsewhere_is_none_of_kubeadms() -> None:
    text = LEAST + "etcd: {external: {endpoints: [https://192.0.2.7:2379]}}\n"
    assert kubeadm_file.read(text, "f")["etcd"] is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no ClusterConfiguration"),
        ("a: [", "it is no YAML"),
        (INIT, "it has no ClusterConfiguration"),
        (f"{LEAST}---\n{LEAST}", "it has more than one ClusterConfiguration"),
        (LEAST.replace("v1.36.2", "stable"), "is no version such as v1.37.1"),
        (LEAST.replace("kubernetesVersion: v1.36.2", "{}"), "it is no YAML"),
        (f"{LEAST}---\n{INIT.replace('7443', 'https')}", "bindPort is no port"),
        (f"{LEAST}---\n{INIT.replace('7443', 'true')}", "bindPort is no port"),
        (f"{LEAST}---\n{INIT.replace('7443', '65536')}", "bindPort is no port"),
        (f"{LEAST}certificatesDir: pki\n", "certificatesDir is no absolute path"),
        (f"{LEAST}certificatesDir: [/srv/pki]\n", "certificatesDir is no absolute path"),
        (LEAST.replace("v1beta4", "v1beta9"), "v1beta9"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, words: str) -> None:
    with pytest.raises(HardeningError, match=words):
        kubeadm_file.read(text, "f")
