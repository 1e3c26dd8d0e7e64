# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests for a serving certificate are approved: those of a node for itself, and no others."""

from __future__ import annotations

import base64
import datetime
import functools
import ipaddress
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.controls.serving_request import (
    UNREADABLE,
    is_pending,
    names_of,
    node_of,
    problems,
    refused_names,
    shown_node,
    with_foreign,
)

NODE = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.11"}, {"address": "W1.example"}]}}
OWN_NAMES: tuple[x509.GeneralName, ...] = (
    x509.IPAddress(ipaddress.ip_address("192.0.2.11")),
    x509.DNSName("w1.EXAMPLE"),
)


@functools.lru_cache(None)
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate_request(
    common: str = "system:node:w1",
    group: str = "system:nodes",
    names: t.Sequence[x509.GeneralName] | None = OWN_NAMES,
    extra: x509.ExtensionType | None = None,
) -> bytes:
    """A request in DER."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if extra is not None:
        builder = builder.add_extension(extra, critical=False)
    return builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def request(der: bytes, **spec: t.Any) -> dict[str, t.Any]:
    """A CertificateSigningRequest of node w1."""
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE REQUEST-----\n"
    return {
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:w1",
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": base64.b64encode(pem).decode(),
            **spec,
        }
    }


def twice() -> bytes:
    """A request with one extension twice, which no builder makes."""
    number = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x30\x00")
    return certificate_request(extra=number).replace(b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x11")


def test_a_nodes_own_request_is_approved() -> None:
    assert problems(request(certificate_request()), NODE) == []
    with_rsa = ["digital signature", "key encipherment", "server auth"]
    assert problems(request(certificate_request(), usages=with_rsa), NODE) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request(certificate_request(), username="system:node:w2"), "its subject is"),
        (request(certificate_request(), username="admin"), "it was made by admin, who is no node"),
        (request(certificate_request(), groups=["system:authenticated"]), "who is no node"),
        (request(certificate_request(), usages=["digital signature", "client auth"]), "its usages are client auth"),
        (request(certificate_request(), usages=["server auth"]), "its usages are server auth"),
        (request(certificate_request(common="system:node:w2")), "not that of node w1"),
        (request(certificate_request(group="system:masters")), "not that of node w1"),
        (
            request(certificate_request(names=[*OWN_NAMES, x509.DNSName("kubernetes.default")])),
            "it asks for kubernetes.default, which is the name of a service of the cluster",
        ),
        (
            request(certificate_request(names=[x509.IPAddress(ipaddress.ip_address("192.0.2.12"))])),
            "it asks for 192.0.2.12, which is no address of the node",
        ),
        (
            request(certificate_request(names=[x509.UniformResourceIdentifier("spiffe://w1")])),
            "a name of the kind UniformResourceIdentifier",
        ),
        (request(certificate_request(names=None)), "it names no address"),
        (request(certificate_request()[:-4] + b"\0\0\0\0"), "it is not signed with its own key"),
        (request(b"\x30\x00"), "no certificate request that can be read"),
        (request(twice()), "no certificate request that can be read"),
        (request(b"", request="%%%"), "no certificate request that can be read"),
    ],
)
def test_every_other_is_left(asked: dict[str, t.Any], words: str) -> None:
    found = problems(asked, NODE)
    assert [sentence for sentence in found if words in sentence], found


def test_a_node_that_does_not_exist_is_given_nothing() -> None:
    assert problems(request(certificate_request()), None) == ["there is no node w1"]


@pytest.mark.parametrize(
    ("asked", "pending"),
    [
        (request(b""), True),
        (request(b"", signerName="kubernetes.io/kube-apiserver-client-kubelet"), False),
        ({**request(b""), "status": {"conditions": [{"type": "Denied"}]}}, False),
        ({}, False),
    ],
)
def test_what_waits(asked: dict[str, t.Any], pending: bool) -> None:
    assert is_pending(asked) is pending


def test_who_asks() -> None:
    assert (node_of(request(b"")), node_of(request(b"", username="admin")), node_of({})) == ("w1", "", "")


def node(name: str, *addresses: str, control_plane: bool = False) -> dict[str, t.Any]:
    labels = {"node-role.kubernetes.io/control-plane": ""} if control_plane else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def asked_for(*names: str) -> dict[str, t.Any]:
    entries: list[x509.GeneralName] = []
    for name in names:
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            entries.append(x509.DNSName(name))
    return request(certificate_request(names=entries))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kubernetes", "which is the name of a service of the cluster"),
        ("Kubernetes.default.SVC.", "which is the name of a service of the cluster"),
        ("kubernetes.default", "which is the name of a service of the cluster"),
        ("metrics.kube-system.svc", "which is the name of a service of the cluster"),
        ("metrics.kube-system.svc.example.org", "which is the name of a service of the cluster"),
        ("localhost", "which is a name of every host"),
        ("localhost.localdomain", "which is a name of every host"),
        ("w1.localhost", "which is a name of every host"),
        ("127.0.0.1", "which is an address of every host"),
        ("::ffff:127.0.0.9", "which is an address of every host"),
        ("::1", "which is an address of every host"),
        ("::", "which is an address of every host"),
        ("*", "which stands for many names"),
        ("*.example.com", "which stands for many names"),
    ],
)
def test_what_a_kubelet_wrote_into_its_node_makes_no_other_name_its_own(name: str, words: str) -> None:
    (problem,) = problems(asked_for(name), node("w1", name))
    assert problem.endswith(f", {words}")


SERVER_NAMES = ("kubernetes", "cp1", "api.example.com", "192.0.2.1", "192.0.2.11", "192.0.2.12")


@pytest.mark.parametrize(
    ("nodes", "reached", "name", "words"),
    [
        ([node("w1", "192.0.2.21")], {}, "192.0.2.21", ""),
        ([node("w1", "192.0.2.1")], {}, "192.0.2.1", "which is a name of the API server"),
        ([node("w1", "API.example.com")], {}, "api.example.com", "which is a name of the API server"),
        ([node("w1", "192.0.2.22"), node("w2", "192.0.2.22")], {}, "192.0.2.22", "which is an address of node w2"),
        ([node("w1", "::ffff:192.0.2.22"), node("w2", "192.0.2.22")], {}, "192.0.2.22", "an address of node w2"),
        # Where the controller reaches it, no kubelet can write.
        ([node("w1", "192.0.2.22"), node("w2", "192.0.2.22")], {"w1": ["192.0.2.22"]}, "192.0.2.22", ""),
        ([node("w1", "192.0.2.22")], {"w2": ["192.0.2.22"]}, "192.0.2.22", "which is an address of node w2"),
        ([node("w1", "192.0.2.12")], {"w1": ["192.0.2.12"]}, "192.0.2.12", ""),
        ([node("cp1", "192.0.2.11")], {}, "192.0.2.11", ""),
        # A certificate often names all control planes, which could serve any of its names anyway.
        ([node("w1", "192.0.2.11", "192.0.2.12", control_plane=True)], {}, "192.0.2.12", ""),
        ([node("w1", "192.0.2.12", control_plane=True), node("cp2", "192.0.2.12")], {}, "192.0.2.12", "of node cp2"),
    ],
)
def test_what_is_not_a_nodes_alone(
    nodes: list[dict[str, t.Any]], reached: dict[str, list[str]], name: str, words: str
) -> None:
    judged = with_foreign(nodes, "cp1", SERVER_NAMES, reached)[0]
    found = problems(asked_for(name), judged)
    assert len(found) == bool(words), found
    assert words in "".join(found)
    assert [set(one) - {"foreign"} for one in judged["status"]["addresses"]] == [
        set(one) for one in nodes[0]["status"]["addresses"]
    ]


@pytest.mark.parametrize(
    ("nodes", "reached", "told"),
    [
        ([node("w1", "192.0.2.21", "w1")], {}, []),
        # Behind one address of a NAT, as a Node object that was left behind.
        (
            [node("w1", "192.0.2.21", "203.0.113.1"), node("w2", "203.0.113.1")],
            {},
            ["203.0.113.1, which is an address of"],
        ),
        ([node("w1", "192.0.2.21"), node("w2", "192.0.2.21")], {"w1": ["192.0.2.21"]}, []),
        ([node("w1", "192.0.2.21")], {"w2": ["192.0.2.21"]}, ["192.0.2.21, which is an address of node w2"]),
        ([node("w1", "192.0.2.1")], {}, ["192.0.2.1, which is a name of the API server"]),
        ([node("w1", "w1.svc.corp", "192.0.2.21")], {}, ["w1.svc.corp, which is the name of a service"]),
        ([node("w1", "kubernetes"), node("w2", "x")], {}, ["kubernetes, which is the name of a service"]),
        ([node("w1", "x\n*"), node("w2", "y")], {}, ["it would ask for 'x\\n*', which stands for many names"]),
        ([node("w1")], {}, ["its Node has no address"]),
        ([node("w2", "kubernetes")], {}, []),
    ],
)
def test_what_would_be_refused_is_known_before_a_kubelet_asks(
    nodes: list[dict[str, t.Any]], reached: dict[str, list[str]], told: list[str]
) -> None:
    """Once it has restarted to ask, logs and exec of its pods are refused until it gets what it asks for."""
    found = refused_names("w1", [shown_node(one) for one in nodes], "cp1", SERVER_NAMES, reached)
    assert len(found) == len(told), found
    assert all(words in sentence for words, sentence in zip(told, found))
    # The same is said when it has asked.
    mine = nodes[0]["status"]["addresses"] if nodes[0]["metadata"]["name"] == "w1" else []
    names = [entry["address"] for entry in mine if entry["address"].isprintable()]
    if names:
        judged = with_foreign(nodes, "cp1", SERVER_NAMES, reached)[0]
        assert len(problems(asked_for(*names), judged)) == len(told)


def test_what_is_judged_of_a_control_plane_travels_with_it() -> None:
    nodes = [shown_node(node("cp2", "192.0.2.12", control_plane=True)), shown_node(node("w1", "192.0.2.11"))]
    assert refused_names("cp2", nodes, "cp1", SERVER_NAMES, {}) == []
    assert len(refused_names("w1", nodes, "cp1", SERVER_NAMES, {})) == 1


def test_names_of_a_certificate() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    begin = datetime.datetime(2026, 11, 1)
    builder = x509.CertificateBuilder(name, name, key().public_key(), 7, begin, begin + datetime.timedelta(days=1))

    def pem(one: x509.CertificateBuilder) -> bytes:
        return one.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    assert names_of(pem(builder)) == []
    assert names_of(pem(builder.add_extension(x509.SubjectAlternativeName(OWN_NAMES), critical=False))) == [
        "192.0.2.11",
        "w1.EXAMPLE",
    ]
    with pytest.raises(UNREADABLE):
        names_of(b"none")
