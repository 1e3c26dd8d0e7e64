# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import layout
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import HostFacts, Layout, PairPath, host_pki
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CLIENT, SERVER
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import CLUSTER

KUBEADM = Layout()
EVERYTHING = Layout(component_serving=True, kubelet_serving=True, kubelet_client=True, super_admin=True)
CONTROL_PLANE_FILES = {
    "apiserver": "/etc/kubernetes/pki/apiserver.crt",
    "apiserver-kubelet-client": "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
    "apiserver-etcd-client": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
    "front-proxy-client": "/etc/kubernetes/pki/front-proxy-client.crt",
    "etcd-server": "/etc/kubernetes/pki/etcd/server.crt",
    "etcd-peer": "/etc/kubernetes/pki/etcd/peer.crt",
    "etcd-healthcheck-client": "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "admin.conf": "/etc/kubernetes/admin.conf",
    "controller-manager.conf": "/etc/kubernetes/controller-manager.conf",
    "scheduler.conf": "/etc/kubernetes/scheduler.conf",
}


def test_a_control_plane_of_kubeadm() -> None:
    host = host_pki(KUBEADM, CLUSTER, "cp1")
    assert {leaf.name: leaf.certificate_file for leaf in host.leaves} == CONTROL_PLANE_FILES
    assert [(item.name, item.path.certificate, item.path.key, item.has_key) for item in host.authorities] == [
        ("kubernetes", "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key", True),
        ("etcd", "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/etcd/ca.key", True),
        ("front-proxy", "/etc/kubernetes/pki/front-proxy-ca.crt", "/etc/kubernetes/pki/front-proxy-ca.key", True),
    ]
    assert [str(item.profile.subject) for item in host.authorities] == [
        "CN=kubernetes",
        "CN=etcd-ca",
        "CN=front-proxy-ca",
    ]
    assert host.service_account == PairPath("/etc/kubernetes/pki/sa.pub", "/etc/kubernetes/pki/sa.key")


def test_a_worker_of_kubeadm_has_the_authority_and_one_kubeconfig() -> None:
    host = host_pki(KUBEADM, CLUSTER, "worker1")
    assert host.leaves == ()
    assert [(item.name, item.has_key) for item in host.authorities] == [("kubernetes", False)]
    (kubelet,) = host.kubeconfigs
    assert (kubelet.path, kubelet.server) == ("/etc/kubernetes/kubelet.conf", "https://lb.example.org:6443")
    assert kubelet.client_files == PairPath(*["/var/lib/kubelet/pki/kubelet-client-current.pem"] * 2)
    assert kubelet.leaf == ""
    assert host.service_account is None


def test_etcd_on_hosts_of_its_own() -> None:
    cluster = replace(CLUSTER, etcd=(HostFacts("etcd1", ("192.0.2.31",)),))
    host = host_pki(KUBEADM, cluster, "etcd1")
    assert [leaf.name for leaf in host.leaves] == ["etcd-server", "etcd-peer", "etcd-healthcheck-client"]
    assert [(item.name, item.has_key) for item in host.authorities] == [("etcd", False)]
    assert host.kubeconfigs == ()
    control_plane = [leaf.name for leaf in host_pki(KUBEADM, cluster, "cp1").leaves]
    assert "etcd-server" not in control_plane
    assert "apiserver-etcd-client" in control_plane


APISERVER_NAMES = (
    "api.example.org, cp1, kubernetes, kubernetes.default, kubernetes.default.svc, "
    "kubernetes.default.svc.cluster.local, lb.example.org, 10.96.0.1, 192.0.2.11, 198.51.100.7"
)


@pytest.mark.parametrize(
    ("leaf", "subject", "names", "usages"),
    [
        (
            "apiserver",
            "CN=kube-apiserver",
            APISERVER_NAMES,
            {SERVER},
        ),
        ("apiserver-kubelet-client", "CN=kube-apiserver-kubelet-client", "none", {CLIENT}),
        ("apiserver-etcd-client", "CN=kube-apiserver-etcd-client", "none", {CLIENT}),
        ("front-proxy-client", "CN=front-proxy-client", "none", {CLIENT}),
        ("etcd-server", "CN=cp1", "cp1, localhost, 127.0.0.1, 192.0.2.11, ::1", {SERVER, CLIENT}),
        ("etcd-peer", "CN=cp1", "cp1, localhost, 127.0.0.1, 192.0.2.11, ::1", {SERVER, CLIENT}),
        ("etcd-healthcheck-client", "CN=kube-etcd-healthcheck-client", "none", {CLIENT}),
        (
            "controller-manager-server",
            "CN=kube-controller-manager",
            "cp1, localhost, 127.0.0.1, 192.0.2.11, ::1",
            {SERVER},
        ),
        ("scheduler-server", "CN=kube-scheduler", "cp1, localhost, 127.0.0.1, 192.0.2.11, ::1", {SERVER}),
        ("kubelet-server", "O=system:nodes, CN=system:node:cp1", "cp1, 192.0.2.11", {SERVER}),
        ("kubelet-client", "O=system:nodes, CN=system:node:cp1", "none", {CLIENT}),
        ("admin.conf", "O=kubeadm:cluster-admins, CN=kubernetes-admin", "none", {CLIENT}),
        ("super-admin.conf", "O=system:masters, CN=kubernetes-super-admin", "none", {CLIENT}),
        ("controller-manager.conf", "CN=system:kube-controller-manager", "none", {CLIENT}),
        ("scheduler.conf", "CN=system:kube-scheduler", "none", {CLIENT}),
    ],
)
def test_every_leaf(leaf: str, subject: str, names: str, usages: set[str]) -> None:
    profile = host_pki(EVERYTHING, CLUSTER, "cp1").leaf(leaf).profile
    assert (str(profile.subject), str(profile.names)) == (subject, names)
    assert profile.extended_usages == frozenset(usages)
    assert not profile.is_authority


def test_every_row_is_in_the_table_above() -> None:
    assert len(host_pki(EVERYTHING, CLUSTER, "cp1").leaves) == 15
    assert [leaf.name for leaf in host_pki(EVERYTHING, CLUSTER, "worker1").leaves] == [
        "kubelet-server",
        "kubelet-client",
    ]


@pytest.mark.parametrize(
    ("host", "kubeconfig", "server"),
    [
        ("cp2", "admin", "https://lb.example.org:6443"),
        ("cp2", "controller-manager", "https://192.0.2.12:6443"),
        ("cp2", "scheduler", "https://192.0.2.12:6443"),
        ("cp2", "kubelet", "https://192.0.2.12:6443"),
        ("worker1", "kubelet", "https://lb.example.org:6443"),
    ],
)
def test_servers_of_kubeconfigs(host: str, kubeconfig: str, server: str) -> None:
    found = {item.name: item.server for item in host_pki(KUBEADM, CLUSTER, host).kubeconfigs}
    assert found[kubeconfig] == server


@pytest.mark.parametrize(
    ("balancer", "port", "endpoint"),
    [
        ("", 6443, "192.0.2.11:6443"),
        ("192.0.2.1", 8443, "192.0.2.1:8443"),
        ("[2001:db8::1]", 6443, "[2001:db8::1]:6443"),
        ("LB.example.org:443", 6443, "lb.example.org:443"),
    ],
)
def test_endpoints(balancer: str, port: int, endpoint: str) -> None:
    assert replace(CLUSTER, load_balancer=balancer, api_port=port).endpoint() == endpoint


@pytest.mark.parametrize(
    ("rule", "version", "groups"),
    [
        ("none", (1, 37, 0), ()),
        ("nodes", (1, 20, 0), ("system:nodes",)),
        ("masters", (1, 37, 0), ("system:masters",)),
        ("admin", (1, 28, 9), ("system:masters",)),
        ("admin", (1, 29, 0), ("kubeadm:cluster-admins",)),
        ("etcd-client", (1, 28, 9), ("system:masters",)),
        ("etcd-client", (1, 29, 0), ()),
        ("kubelet-client", (1, 28, 9), ("system:masters",)),
        ("kubelet-client", (1, 36, 0), ("kubeadm:cluster-admins",)),
        ("kubelet-client", (1, 36, 1), ()),
        ("kubelet-client", (1, 37, 0), ()),
        ("kubelet-client", (1, 35, 4), ("kubeadm:cluster-admins",)),
        ("kubelet-client", (1, 35, 5), ()),
        ("kubelet-client", (1, 34, 7), ("kubeadm:cluster-admins",)),
        ("kubelet-client", (1, 34, 8), ()),
        ("kubelet-client", (1, 33, 11), ("kubeadm:cluster-admins",)),
        ("kubelet-client", (1, 33, 12), ()),
        ("kubelet-client", (1, 32, 99), ("kubeadm:cluster-admins",)),
    ],
)
def test_groups_by_version(rule: str, version: tuple[int, int, int], groups: tuple[str, ...]) -> None:
    assert layout.organizations(rule, version) == groups


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("apiserver-etcd-client", {(), ("system:masters",)}),
        ("etcd-healthcheck-client", {(), ("system:masters",)}),
        ("front-proxy-client", {()}),
        ("kubelet-server", {("system:nodes",)}),
    ],
)
def test_groups_that_a_leaf_of_whatever_version_may_have(name: str, known: set[tuple[str, ...]]) -> None:
    assert layout.known_organizations(name) == {frozenset(groups) for groups in known}


def test_of_other_versions_groups_components_keep_theirs_and_persons_do_not() -> None:
    kept = {(), ("system:masters",), ("kubeadm:cluster-admins",)}
    assert layout.kept_organizations("apiserver-kubelet-client") == {frozenset(groups) for groups in kept}
    assert layout.kept_organizations("admin.conf") == frozenset()


def test_names_that_the_user_asked_for_are_known_as_such() -> None:
    cluster = replace(CLUSTER, control_planes=(HostFacts("cp1", ("192.0.2.11",), ("nat.example.org",)),))
    host = host_pki(EVERYTHING, cluster, "cp1")
    asked = Names(frozenset({"api.example.org", "nat.example.org"}), frozenset({"198.51.100.7"}))
    assert host.leaf("apiserver").asked_names == asked
    assert host.leaf("etcd-peer").asked_names == Names(frozenset({"nat.example.org"}))
    assert host.leaf("admin.conf").asked_names == Names()
    for leaf in host.leaves:
        assert not leaf.asked_names - leaf.profile.names


@pytest.mark.parametrize("asked", [True, False])
def test_the_load_balancer_is_asked_for_where_the_user_said_it(asked: bool) -> None:
    host = host_pki(Layout(), replace(CLUSTER, endpoint_asked=asked), "cp1")
    assert ("lb.example.org" in host.leaf("apiserver").asked_names.dns) is asked
    assert "lb.example.org" in host.leaf("apiserver").profile.names.dns
    assert host.leaf("etcd-server").asked_names == Names()
    without = replace(CLUSTER, load_balancer="", extra_names=(), endpoint_asked=asked)
    assert host_pki(Layout(), without, "cp1").leaf("apiserver").asked_names == Names()


@pytest.mark.parametrize("node", ["cp1", "cp2"])
def test_super_admin_is_where_it_is_and_not_on_the_first_host_by_name(node: str) -> None:
    own = Layout(super_admin=True)
    assert "super-admin.conf" in [leaf.name for leaf in host_pki(own, CLUSTER, node).leaves]
    assert "super-admin" not in [item.name for item in host_pki(Layout(), CLUSTER, node).kubeconfigs]
    assert "super-admin" not in [item.name for item in host_pki(own, CLUSTER, "worker1").kubeconfigs]
    old = replace(CLUSTER, version=(1, 28, 0))
    assert "super-admin" not in [item.name for item in host_pki(own, old, node).kubeconfigs]


def test_other_places() -> None:
    own = Layout(
        pki="/etc/ssl/kube",
        configuration="/etc/kube",
        kubelet="/var/lib/kubelet/tls",
        pairs={"apiserver": PairPath("/a.pem", "/a-key.pem"), "kubernetes": PairPath("/ca.pem", "/ca-key.pem")},
        kubeconfigs={"admin": "/root/.kube/config"},
        kubelet_client=True,
        authority_keys_on_hosts=False,
    )
    host = host_pki(own, CLUSTER, "cp1")
    assert host.leaf("apiserver").path == PairPath("/a.pem", "/a-key.pem")
    assert host.leaf("etcd-peer").path == PairPath("/etc/ssl/kube/etcd/peer.crt", "/etc/ssl/kube/etcd/peer.key")
    assert host.leaf("admin.conf").kubeconfig == "/root/.kube/config"
    assert host.authorities[0].path.certificate == "/ca.pem"
    assert not any(item.has_key for item in host.authorities)
    kubelet = next(item for item in host.kubeconfigs if item.name == "kubelet")
    assert kubelet.leaf == "kubelet-client"
    assert kubelet.client_files == host.leaf("kubelet-client").path
    assert kubelet.authority == PairPath("/ca.pem", "/ca-key.pem")


def test_kubeconfigs_that_name_files() -> None:
    host = host_pki(Layout(file_references=True), CLUSTER, "cp1")
    admin = next(item for item in host.kubeconfigs if item.name == "admin")
    assert admin.authority_by_file
    assert admin.client_files == host.leaf("admin.conf").path
    assert host.leaf("admin.conf").path == PairPath(
        "/etc/kubernetes/pki/admin-client.crt", "/etc/kubernetes/pki/admin-client.key"
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (Layout(pairs={"api-server": PairPath("", "")}), "did you mean 'apiserver'?"),
        (Layout(kubeconfigs={"zzz": ""}), "known are admin, super-admin"),
    ],
)
def test_paths_for_things_that_do_not_exist(changed: Layout, sentence: str) -> None:
    with pytest.raises(HardeningError, match="Nothing was changed") as refusal:
        host_pki(changed, CLUSTER, "cp1")
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("cluster", "sentence"),
    [
        (replace(CLUSTER, control_planes=(HostFacts("cp1", ()),)), "The host 'cp1' has no address"),
        (replace(CLUSTER, service_network="10.96.0.1/32"), "room for Services"),
        (replace(CLUSTER, load_balancer="https://lb"), "not a DNS name"),
        (replace(CLUSTER, extra_names=("*",)), "a wildcard needs"),
        (replace(CLUSTER, control_planes=(HostFacts("cp1", ("cp1.example.org",)),)), "is not an IP address"),
    ],
)
def test_facts_that_make_no_certificate(cluster: layout.ClusterFacts, sentence: str) -> None:
    with pytest.raises(HardeningError) as refusal:
        host_pki(KUBEADM, cluster, "cp1")
    assert sentence in str(refusal.value)


def test_hosts_that_are_not_there() -> None:
    with pytest.raises(HardeningError, match="no host 'cp9'"):
        host_pki(KUBEADM, CLUSTER, "cp9")
    with pytest.raises(HardeningError, match="no control plane"):
        replace(CLUSTER, control_planes=(), load_balancer="").endpoint()
    long = replace(CLUSTER, nodes=(HostFacts("n" * 60, ("192.0.2.1",)),))
    with pytest.raises(HardeningError, match="1 to 64 characters"):
        host_pki(Layout(kubelet_client=True), long, "n" * 60)
