# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the certificates of a cluster depend on, from what discovery says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, layout as table
from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster

PKI = "/etc/kubernetes/pki"


def used(component: str, **flags: str) -> list[dict[str, str]]:
    return [
        {"component": component, "flag": flag.replace("_", "-"), "path": f"{PKI}/{path}"}
        for flag, path in flags.items()
    ]


def control_plane(number: int, **changes: Any) -> dict[str, Any]:
    """What discovery returns for a control plane that kubeadm made."""
    certificates = used(
        "kube-apiserver",
        client_ca_file="ca.crt",
        tls_cert_file="apiserver.crt",
        tls_private_key_file="apiserver.key",
        etcd_cafile="etcd/ca.crt",
        etcd_certfile="apiserver-etcd-client.crt",
        etcd_keyfile="apiserver-etcd-client.key",
        kubelet_client_certificate="apiserver-kubelet-client.crt",
        kubelet_client_key="apiserver-kubelet-client.key",
        proxy_client_cert_file="front-proxy-client.crt",
        proxy_client_key_file="front-proxy-client.key",
        requestheader_client_ca_file="front-proxy-ca.crt",
        service_account_key_file="sa.pub",
        service_account_signing_key_file="sa.key",
    )
    certificates += used(
        "etcd",
        cert_file="etcd/server.crt",
        key_file="etcd/server.key",
        peer_cert_file="etcd/peer.crt",
        peer_key_file="etcd/peer.key",
    )
    certificates += used("kube-controller-manager", kubeconfig="../controller-manager.conf")
    certificates += used("kube-scheduler", kubeconfig="../scheduler.conf")
    address = f"192.0.2.1{number}"
    return {
        "node_name": f"cp{number}",
        "live": True,
        "certificates": certificates,
        "components": {
            "kube-apiserver": {
                "version": "1.37.1",
                "flags": {"advertise-address": address, "service-cluster-ip-range": "10.96.0.0/16"},
            },
            "etcd": {"flags": {"advertise-client-urls": f"https://{address}:2379"}},
        },
        "kubelet": {
            "flags": {"node-ip": f"2001:db8::{number}"},
            "kubeconfig": "/etc/kubernetes/kubelet.conf",
            "client_authority": f"{PKI}/ca.crt",
            "configuration": {"clusterDomain": "example.internal"},
        },
        "files": {"pki_key": [f"{PKI}/ca.key"], "admin_kubeconfig": ["/etc/kubernetes/admin.conf"]},
        **changes,
    }


def worker() -> dict[str, Any]:
    return {
        "node_name": "w1",
        "live": True,
        "certificates": [],
        "components": {},
        "kubelet": {
            "flags": {},
            "kubeconfig": "/etc/kubernetes/kubelet.conf",
            "client_authority": f"{PKI}/ca.crt",
            "configuration": {},
        },
        "files": {},
    }


FOUND = {"cp1": control_plane(1), "cp2": control_plane(2), "w1": worker()}


class Hostvars(dict[str, dict[str, Any]]):
    def raw_get(self, host: str) -> dict[str, Any]:
        return self[host]


@pytest.mark.parametrize("group", ["kubeharden_control_planes", "mine"])
def test_a_host_that_the_inventory_calls_no_control_plane_is_none_whatever_it_says(group: str) -> None:
    said = {"cp1": control_plane(1), "w1": {**control_plane(2), "node_name": "w1"}}
    variables = {
        "groups": {"kubeharden_candidates": ["w1", "cp1"], group: ["cp1"]},
        "hostvars": Hostvars({host: {"__discover_found": {"discovery": one}} for host, one in said.items()}),
        "kubeharden_control_plane_group": "mine",
    }
    found = pki_cluster.discoveries(variables)
    facts = data.cluster(pki_cluster.cluster(found, {}))
    assert [host.node_name for host in facts.control_planes] == ["cp1"]
    assert [leaf.name for leaf in rows(found, "w1").leaves] == []
    assert pki_cluster.authority_host(found) == "cp1"


def test_the_cluster_comes_from_what_its_components_were_told() -> None:
    facts = data.cluster(pki_cluster.cluster(FOUND, {"w1": {"ansible_host": "192.0.2.21"}}))
    assert [(host.node_name, host.addresses) for host in facts.control_planes] == [
        ("cp1", ("192.0.2.11", "2001:db8::1")),
        ("cp2", ("192.0.2.12", "2001:db8::2")),
    ]
    assert [(host.node_name, host.addresses) for host in facts.nodes] == [("w1", ("192.0.2.21",))]
    assert (facts.service_network, facts.dns_domain, facts.version) == ("10.96.0.0/16", "example.internal", (1, 37, 1))


def test_the_address_of_the_connection_counts_only_where_no_component_was_told_one() -> None:
    reached = {"cp1": {"ansible_host": "198.51.100.11"}, "w1": {"ansible_host": "198.51.100.21"}}
    facts = data.cluster(pki_cluster.cluster(FOUND, reached))
    assert facts.control_planes[0].addresses == ("192.0.2.11", "2001:db8::1")
    assert facts.nodes[0].addresses == ("198.51.100.21",)
    assert data.cluster(pki_cluster.cluster(FOUND, {"w1": {"ansible_host": "bastion"}})).nodes[0].addresses == ()


def test_what_the_user_sets_wins() -> None:
    variables = {
        "cp1": {
            "kubeharden_pki_addresses": ["198.51.100.1"],
            "kubeharden_pki_endpoint": "api.example.org",
            "kubeharden_pki_extra_names": ["extra.example.org"],
            "kubeharden_pki_host_names": ["cp1.example.org"],
        }
    }
    facts = data.cluster(pki_cluster.cluster(FOUND, variables))
    first = facts.control_planes[0]
    assert (first.addresses, first.extra_names) == (("198.51.100.1",), ("cp1.example.org",))
    assert (facts.load_balancer, facts.extra_names) == ("api.example.org", ("extra.example.org",))
    assert facts.endpoint_asked


def with_config_map(text: str, **changes: Any) -> dict[str, Any]:
    maps = {"kubeadm-config": {"ClusterConfiguration": text}}
    return {**FOUND, "cp2": control_plane(2, config_maps=maps, **changes)}


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("kind: ClusterConfiguration\ncontrolPlaneEndpoint: lb.example.org:6443\n", "lb.example.org:6443"),
        ("kind: ClusterConfiguration\n", ""),
        ("", ""),
        ("{", ""),
        ("- a\n", ""),
    ],
)
def test_the_load_balancer_is_the_one_of_kubeadms_config_map(text: str, endpoint: str) -> None:
    said = pki_cluster.cluster(with_config_map(text), {})
    assert (said["load_balancer"], said["endpoint_asked"]) == (endpoint, False)
    user = {"cp1": {"kubeharden_pki_endpoint": "api.example.org"}}
    assert pki_cluster.cluster(with_config_map(text), user)["load_balancer"] == "api.example.org"


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("certificateValidityPeriod: 2160h0m0s\n", 90),
        ("certificateValidityPeriod: 17520h\n", 730),
        ("certificateValidityPeriod: a while\n", 0),
        ("certificateValidityPeriod: 0s\n", 0),
        ("kind: ClusterConfiguration\n", 0),
        ("{", 0),
    ],
)
def test_for_how_long_kubeadm_issues_certificates_its_config_map_says(text: str, days: float) -> None:
    assert pki_cluster.usual_days(with_config_map(text)) == days
    assert pki_cluster.usual_days(with_config_map(text, components={})) == 0


def test_where_names_may_go_those_of_kubeadms_config_map_are_of_the_table() -> None:
    found = with_config_map("apiServer:\n  certSANs: [san.example.org]\n")
    for variables, extra in (({}, []), ({"kubeharden_pki_names": "table"}, ["san.example.org"])):
        assert pki_cluster.cluster(found, {"cp1": variables})["extra_names"] == extra
    assert pki_cluster.is_table_known(FOUND["cp1"], found)
    # Nobody knows them where it was not read; a directory has none.
    assert not pki_cluster.is_table_known(FOUND["cp1"], FOUND)
    assert pki_cluster.is_table_known(control_plane(1, live=False), FOUND)
    for text in ("apiServer: []\n", "apiServer: {certSANs: null}\n", "kind: ClusterConfiguration\n"):
        assert (
            pki_cluster.cluster(with_config_map(text), {"cp1": {"kubeharden_pki_names": "table"}})["extra_names"] == []
        )


def test_a_worker_says_nothing_of_the_load_balancer() -> None:
    said = with_config_map("controlPlaneEndpoint: evil.example.org\n", components={})
    assert pki_cluster.cluster(said, {})["load_balancer"] == ""


def test_whose_key_nobody_has_who_signs() -> None:
    """That of an etcd elsewhere: its authority's certificate is named by a flag, its key is on none of these hosts."""
    found = {"cp1": control_plane(1, authority_keys=[f"{PKI}/front-proxy-ca.key"]), "cp2": FOUND["cp2"], "w1": worker()}
    assert pki_cluster.without_key(found, ["cp1"], ()) == ["etcd"]
    assert pki_cluster.without_key(found, ["cp2"], ["etcd"]) == ["front-proxy"]
    assert pki_cluster.without_key(found, ["w1", ""], ()) == ["kubernetes", "etcd", "front-proxy"]


def rows(found: dict[str, Any], host: str, fresh: bool = False, **variables: Any) -> table.HostPki:
    layout = data.layout(pki_cluster.layout(found[host], variables, fresh))
    cluster = data.cluster(pki_cluster.cluster(found, {}))
    return table.host_pki(layout, cluster, str(found[host]["node_name"]))


def test_a_control_plane_of_kubeadms_has_kubeadms_rows() -> None:
    pki = rows(FOUND, "cp1")
    assert [leaf.name for leaf in pki.leaves] == [
        "apiserver",
        "apiserver-kubelet-client",
        "apiserver-etcd-client",
        "front-proxy-client",
        "etcd-server",
        "etcd-peer",
        "etcd-healthcheck-client",
        "admin.conf",
        "controller-manager.conf",
        "scheduler.conf",
    ]
    assert {item.name for item in pki.authorities} == {"kubernetes", "etcd", "front-proxy"}
    assert pki.service_account == table.PairPath(f"{PKI}/sa.pub", f"{PKI}/sa.key")


def elsewhere(directory: str, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same with certificates in another directory, all of them or those of some components."""
    one = control_plane(1)
    moved = [
        {**entry, "path": entry["path"].replace(PKI, directory)} if not only or entry["component"] in only else entry
        for entry in one["certificates"]
    ]
    return {**one, "certificates": moved}


def test_in_another_directory_of_kubeadms_no_certificate_is_laid_in_the_usual_one() -> None:
    """Nor the one that no flag names."""
    leaves = {leaf.name: leaf.path for leaf in rows({"cp1": elsewhere("/srv/pki")}, "cp1").leaves if leaf.path}
    assert leaves["etcd-healthcheck-client"] == table.PairPath(
        "/srv/pki/etcd/healthcheck-client.crt", "/srv/pki/etcd/healthcheck-client.key"
    )
    assert [name for name, path in leaves.items() if not path.certificate.startswith("/srv/pki/")] == []


def test_where_an_owner_lets_etcd_serve_another_kubeadms_own_stays_where_it_is() -> None:
    path = f"{PKI}/etcd/healthcheck-client"
    one = {**elsewhere("/srv/etcd", only=("etcd",)), "files": {"pki_certificate": [f"{path}.crt"]}}
    (found,) = [leaf.path for leaf in rows({"cp1": one}, "cp1").leaves if leaf.name == "etcd-healthcheck-client"]
    assert found == table.PairPath(f"{path}.crt", f"{path}.key")


def test_an_administrators_kubeconfig_that_was_removed_stays_away_but_on_a_new_cluster() -> None:
    found = {**FOUND, "cp1": control_plane(1, files={"pki_key": [], "admin_kubeconfig": []})}
    assert "admin.conf" not in [leaf.name for leaf in rows(found, "cp1").leaves]
    assert "admin.conf" in [leaf.name for leaf in rows(found, "cp1", fresh=True).leaves]


def test_what_no_component_reads_is_not_in_the_table() -> None:
    certificates = [
        entry
        for entry in control_plane(1)["certificates"]
        if entry["component"] != "etcd" and not entry["flag"].startswith(("requestheader", "etcd-ca"))
    ]
    pki = rows({"cp1": control_plane(1, certificates=certificates)}, "cp1")
    assert [leaf.name for leaf in pki.leaves if leaf.path] == ["apiserver", "apiserver-kubelet-client"]
    assert [item.name for item in pki.authorities] == ["kubernetes"]


def test_a_worker_has_the_authority_and_what_is_asked_for() -> None:
    pki = rows(FOUND, "w1")
    assert ([leaf.name for leaf in pki.leaves], [item.name for item in pki.kubeconfigs]) == ([], ["kubelet"])
    found = {**FOUND, "w1": {**worker(), "kubelet": {**worker()["kubelet"], "flags": {"node-ip": "192.0.2.21"}}}}
    serving = rows(found, "w1", kubeharden_pki_kubelet_serving=True)
    assert [leaf.name for leaf in serving.leaves] == ["kubelet-server"]


def serving(component: str, certificate: str, key: str) -> list[dict[str, str]]:
    return used(f"kube-{component}", tls_cert_file=certificate, tls_private_key_file=key)


@pytest.mark.parametrize(
    ("named", "variables", "rows_of"),
    [
        ([], {}, set()),
        ([], {"kubeharden_pki_component_serving": True}, {"controller-manager-server", "scheduler-server"}),
        (serving("scheduler", "scheduler/server.crt", "scheduler/server.key"), {}, {"scheduler-server"}),
        (
            serving("scheduler", "own.crt", "own.key"),
            {"kubeharden_pki_component_serving": True},
            {"controller-manager-server"},
        ),
        (
            [],
            {
                "kubeharden_pki_component_serving": True,
                "kubeharden_extra_flags": {"kube-controller-manager": {"tls_cert_file": "/own.crt"}},
            },
            {"scheduler-server"},
        ),
    ],
)
def test_what_controller_manager_and_scheduler_serve_is_in_the_table_where_it_is_asked_for_or_ours(
    named: list[dict[str, str]], variables: dict[str, Any], rows_of: set[str]
) -> None:
    found = {**FOUND, "cp1": control_plane(1, certificates=[*control_plane(1)["certificates"], *named])}
    leaves = {leaf.name: leaf for leaf in rows(found, "cp1", **variables).leaves}
    assert {name for name in leaves if name in pki_cluster.SERVING_FLAGS} == rows_of
    for name in rows_of:
        assert leaves[name].path == pki_cluster.default_pair(name)
    assert not set(pki_cluster.SERVING_FLAGS) & {leaf.name for leaf in rows(found, "w1", **variables).leaves}


def test_every_host_is_told_which_authority_signs() -> None:
    assert pki_cluster.signer(FOUND) == pki_cluster.signer({"w1": worker()}) == ""
    signing = {"certificate": f"{PKI}/ca.crt", "key": f"{PKI}/ca.key", "signer": "c0ffee"}
    found = {**FOUND, "cp1": control_plane(1, signing_authority=signing)}
    assert pki_cluster.signer(found) == "c0ffee"
    for discovery in found.values():
        layout = data.layout(pki_cluster.layout(discovery, {}, False, pki_cluster.signer(found)))
        assert {name: pair.signer for name, pair in layout.pairs.items() if pair.signer} == {"kubernetes": "c0ffee"}


def test_below_a_bundle_of_clients_authorities_it_is_the_one_that_signs() -> None:
    certificates = [
        {**entry, "path": f"{PKI}/clients.crt"} if entry["flag"] == "client-ca-file" else entry
        for entry in control_plane(1)["certificates"]
    ]
    signing = {"certificate": f"{PKI}/ca.crt", "key": f"{PKI}/ca.key"}
    bundled = control_plane(1, certificates=certificates, signing_authority=signing)
    (kubernetes,) = [item for item in rows({"cp1": bundled}, "cp1").authorities if item.name == "kubernetes"]
    assert kubernetes.path == table.PairPath(f"{PKI}/ca.crt", f"{PKI}/ca.key")
    assert pki_cluster.has_authority(bundled)
    assert rows({"cp1": bundled}, "cp1").believed == {"kubernetes": (f"{PKI}/clients.crt",)}
    assert rows(FOUND, "cp1").believed == {}
    # A key that lies beside the bundle is the authority's, as ever; so it is where nothing is known of who signs.
    beside = {**bundled, "files": {"pki_key": [f"{PKI}/clients.key", f"{PKI}/ca.key"]}}
    for one in (beside, {**bundled, "signing_authority": None}):
        (kubernetes,) = [item for item in rows({"cp1": one}, "cp1").authorities if item.name == "kubernetes"]
        assert kubernetes.path == table.PairPath(f"{PKI}/clients.crt", f"{PKI}/clients.key")
    assert not pki_cluster.has_authority({**bundled, "signing_authority": None})


@pytest.mark.parametrize(
    ("found", "host"),
    [
        (FOUND, "cp1"),
        ({"w1": worker()}, ""),
        ({"cp1": control_plane(1, files={"pki_key": []}), "cp2": control_plane(2)}, "cp2"),
        ({"cp1": control_plane(1, files={}), "cp2": control_plane(2, files={})}, "cp1"),
    ],
)
def test_the_first_control_plane_that_has_the_key_signs(found: dict[str, Any], host: str) -> None:
    assert pki_cluster.authority_host(found) == host


def test_who_lacks_the_key_of_service_accounts_alone_asks_who_has_it() -> None:
    certificates = [f"{PKI}/ca.crt"]
    whole = {"pki_key": [f"{PKI}/ca.key", f"{PKI}/sa.key"], "pki_certificate": certificates}
    lost = {"pki_key": [f"{PKI}/ca.key"], "pki_certificate": certificates}
    for first, second, sources in (
        (lost, whole, ("cp2", "cp1")),
        (whole, lost, ("cp1", "cp1")),
        (lost, lost, ("cp1", "cp2")),
        (whole, {}, ("cp1", "cp1")),
    ):
        found = {"cp1": control_plane(1, files=first), "cp2": control_plane(2, files=second), "w1": worker()}
        assert tuple(pki_cluster.source_host(found, host) for host in ("cp1", "cp2")) == sources
        assert pki_cluster.source_host(found, "w1") == "cp1"


def test_every_file_by_which_tokens_are_known_is_read() -> None:
    one = control_plane(1)
    more = used("kube-apiserver", service_account_key_file="sa-old.pub")
    assert rows({"cp1": {**one, "certificates": one["certificates"] + more}}, "cp1").believed == {
        "service-account": (f"{PKI}/sa.pub",)
    }


@pytest.mark.parametrize(
    ("found", "group", "made", "signed"),
    [
        (FOUND, ["cp1", "cp2"], False, True),
        (FOUND, ["cp1", "cp2", "cp3"], False, True),
        ({"cp1": control_plane(1, files={})}, ["cp1"], True, True),
        ({"cp1": control_plane(1, files={})}, ["cp1", "cp2"], False, False),
        ({"w1": worker()}, ["cp1"], False, False),
        ({"w1": worker()}, [], False, False),
    ],
)
def test_authorities_are_made_only_where_nobody_can_have_any(
    found: dict[str, Any], group: list[str], made: bool, signed: bool
) -> None:
    assert pki_cluster.are_made(found, group) == made
    assert pki_cluster.can_sign(found, group) == signed
