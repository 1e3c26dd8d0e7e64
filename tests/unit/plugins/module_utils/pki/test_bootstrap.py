# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens as the API server and kubeadm have them, and which bindings do as well as kubeadm's."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bootstrap, kubeconfig

NOW = 1_800_000_000.0
TOKEN = bootstrap.Token("abcdef", "0123456789abcdef")
HOLDERS = "system:bootstrappers:kubeadm:default-node-token"


def texts(document: dict[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in document["data"].items()}


def test_a_token_has_the_form_that_the_api_server_wants_and_is_another_each_time() -> None:
    made = [bootstrap.new_token() for _one in range(50)]
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", one.text) for one in made)
    assert len({one.secret for one in made}) == len(made)


def test_no_secret_half_is_in_what_is_printed_of_a_token() -> None:
    assert TOKEN.secret not in repr(TOKEN)


@pytest.mark.parametrize(
    ("text", "public"),
    [("abcdef.0123456789abcdef", "abcdef"), ("", ""), ("abcdef", ""), ("ABCDEF.0123456789abcdef", ""), ("a.b", "")],
)
def test_the_half_that_may_be_shown(text: str, public: str) -> None:
    assert bootstrap.id_of(text) == public


def test_its_secret_lets_one_node_authenticate_until_it_ends_and_does_nothing_else() -> None:
    document = bootstrap.secret(TOKEN, "w3", NOW + 3600.9)
    assert document["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert document["type"] == "bootstrap.kubernetes.io/token"
    assert texts(document) == {
        "description": "Kubeharden: w3 joins with it",
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "expiration": "2027-01-15T09:00:00Z",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": HOLDERS,
    }


def test_what_is_known_of_a_secret_is_what_was_written_but_for_its_secret_half() -> None:
    document = bootstrap.secret(TOKEN, "w3", NOW)
    document["metadata"]["uid"] = "u1"
    found = bootstrap.known(document)
    assert found == bootstrap.KnownToken(
        "abcdef", "Kubeharden: w3 joins with it", True, NOW, "bootstrap-token-abcdef", "u1"
    )
    assert TOKEN.secret not in repr(found)


def with_data(**fields: Any) -> bootstrap.KnownToken:
    document = bootstrap.secret(TOKEN, "w3", NOW)
    for name, value in fields.items():
        document["data"][name.replace("_", "-")] = value if value is None else base64.b64encode(value).decode()
    return bootstrap.known(document)


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({"expiration": b"2027-01-15T08:00:01Z"}, True),
        ({"expiration": b"2027-01-15T08:00:00Z"}, False),
        ({"expiration": b"2027-01-15T10:00:01+02:00"}, True),
        ({"expiration": None}, True),  # kubeadm token create --ttl 0
        ({"expiration": b"tomorrow"}, False),
        ({"expiration": b"\xff"}, False),
        ({"expiration": b"2027-01-15T08:00:01Z", "usage_bootstrap_authentication": b"false"}, False),
        ({"expiration": b"2027-01-15T08:00:01Z", "usage_bootstrap_authentication": None}, False),
    ],
)
def test_a_kubelet_may_come_with_a_token_that_authenticates_and_has_not_ended(
    fields: dict[str, Any], valid: bool
) -> None:
    assert with_data(**fields).is_valid(NOW) is valid


@pytest.mark.parametrize("document", [{}, {"data": None}, {"data": {"token-id": "%"}}, {"data": [], "metadata": None}])
def test_what_is_no_token_is_one_that_nobody_can_come_with(document: dict[str, Any]) -> None:
    assert not bootstrap.known(document).is_valid(NOW)


# Bindings


def names(missing: list[bootstrap.Binding]) -> list[str]:
    return [one.name for one in missing]


def test_a_cluster_without_any_gets_kubeadms_three() -> None:
    assert names(bootstrap.missing_bindings([])) == [
        "kubeadm:kubelet-bootstrap",
        "kubeadm:node-autoapprove-bootstrap",
        "kubeadm:node-autoapprove-certificate-rotation",
    ]


def test_what_is_made_is_enough() -> None:
    made = [one.document() for one in bootstrap.BINDINGS]
    assert bootstrap.missing_bindings(made) == []
    roles = {one["roleRef"]["name"]: one["subjects"][0]["name"] for one in made}
    requests = "system:certificates.k8s.io:certificatesigningrequests"
    assert roles == {
        "system:node-bootstrapper": HOLDERS,
        f"{requests}:nodeclient": HOLDERS,
        f"{requests}:selfnodeclient": "system:nodes",
    }


def owners(**changes: Any) -> dict[str, Any]:
    """A binding of the owner's for the first of the three, as Kubernetes' documentation has it."""
    return {
        "metadata": {"name": "create-csrs-for-bootstrapping"},
        "roleRef": {"kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"kind": "User", "name": "x"}, {"kind": "Group", "name": "system:bootstrappers"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        ({}, True),
        ({"subjects": [{"kind": "Group", "name": HOLDERS}]}, True),
        ({"subjects": None}, False),
        ({"subjects": [{"kind": "User", "name": "system:bootstrappers"}]}, False),
        ({"subjects": [{"kind": "Group", "name": "system:bootstrappers:others"}]}, False),
        ({"roleRef": {"kind": "ClusterRole", "name": "view"}}, False),
        ({"roleRef": {"kind": "Role", "name": "system:node-bootstrapper"}}, False),
    ],
)
def test_a_binding_of_another_name_counts_when_it_gives_the_same(changes: dict[str, Any], enough: bool) -> None:
    missing = names(bootstrap.missing_bindings([owners(**changes)]))
    assert ("kubeadm:kubelet-bootstrap" not in missing) is enough


def test_one_of_kubeadms_name_that_gives_something_else_is_in_the_way() -> None:
    taken = owners(metadata={"name": "kubeadm:kubelet-bootstrap"}, subjects=[])
    with pytest.raises(HardeningError, match="kubeadm:kubelet-bootstrap does not give") as caught:
        bootstrap.missing_bindings([taken])
    assert caught.value.number == "KH313"
    # Another that does the same makes it no matter.
    assert "kubeadm:kubelet-bootstrap" not in names(bootstrap.missing_bindings([taken, owners()]))


# The kubeconfig


def test_the_kubeconfig_has_the_token_and_is_known_as_ours() -> None:
    data = bootstrap.kubeconfig_with("https://lb:6443", b"CA", TOKEN.text)
    facts = kubeconfig.parse(data, "here")
    assert (facts.server, facts.authority, facts.certificate) == ("https://lb:6443", b"CA", None)
    assert facts.other_credentials == ("token",)
    assert bootstrap.waiting(data, "here") == bootstrap.Waiting("abcdef", True)


def test_that_of_kubeadm_is_somebody_elses() -> None:
    data = kubeconfig.render_with_token("https://lb:6443", "tls-bootstrap-token-user", b"CA", TOKEN.text)
    assert bootstrap.waiting(data, "here") == bootstrap.Waiting("abcdef", False)


def test_one_with_a_certificate_has_no_token() -> None:
    data = kubeconfig.render("https://lb:6443", "x", b"CA", b"CERT", b"KEY")
    assert bootstrap.waiting(data, "here") == bootstrap.Waiting("", False)
