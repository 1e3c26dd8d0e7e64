# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets' requests as the API has them: which the controller signs, which it refuses, and what it makes of them."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import typing as t
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.controls import kubelet_request
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kubelet_signing, serving

NOW = 1_800_000_000.0
DAY = 86400
SIGNER = authority.create(profile.wanted_authority("kubernetes"), NOW - DAY)
NODES = [
    {
        "metadata": {"name": "w1"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.21"},
                {"type": "InternalIP", "address": "2001:db8::21"},
                {"type": "Hostname", "address": "w1"},
            ]
        },
    },
    {"metadata": {"name": "w2"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.22"}]}},
]
APPROVED = {"type": "Approved", "status": "True"}
KUBELETS = {
    "serving": ("kubernetes.io/kubelet-serving", ["digital signature", "server auth"]),
    "client": ("kubernetes.io/kube-apiserver-client-kubelet", ["digital signature", "client auth"]),
}
KEY = ec.generate_private_key(ec.SECP256R1())


def asked(
    purpose: str = "serving",
    common_name: str = "system:node:w1",
    organizations: t.Sequence[str] = ("system:nodes",),
    names: t.Sequence[x509.GeneralName] | None = None,
    key: t.Any = KEY,
    **changes: t.Any,
) -> dict[str, t.Any]:
    """A CertificateSigningRequest as a kubelet makes it, approved, with what is given otherwise in its spec."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    attributes.append(_of_any_length(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names is None and purpose == "serving":
        names = [x509.DNSName("w1"), _address("192.0.2.21"), _address("2001:db8::21")]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    pem = builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)
    signer, usages = KUBELETS[purpose]
    spec = {
        "signerName": signer,
        "username": "system:node:w1",
        "groups": ["system:nodes", "system:authenticated"],
        "usages": usages,
        "request": base64.b64encode(pem).decode("ascii"),
        **changes,
    }
    metadata = {"name": "csr-1", "uid": "u-1", "creationTimestamp": "2026-11-24T10:00:00Z"}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": [APPROVED]}}


def _of_any_length(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute:
    """An attribute as Go writes it, which knows no longest one; new releases of cryptography do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return x509.NameAttribute(oid, value, _validate=False)
        except TypeError:
            return x509.NameAttribute(oid, value)


def _address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


def signed(request: dict[str, t.Any], signer: Authority = SIGNER) -> kubelet_signing.Signed:
    return kubelet_signing.sign_all([kubelet_signing.shown(request)], NODES, signer, NOW)


def certificates(found: kubelet_signing.Signed) -> list[profile.CertificateFacts]:
    assert found.refused == []
    (one,) = found.certificates.values()
    return bundle.parse(one["certificate"].encode("ascii"), "the answer")


@pytest.mark.parametrize(("purpose", "usage"), [("serving", profile.SERVER), ("client", profile.CLIENT)])
@pytest.mark.parametrize("key", [KEY, rsa.generate_private_key(65537, 2048)])
def test_a_kubelet_gets_what_it_asks_for(purpose: str, usage: str, key: t.Any) -> None:
    found = signed(asked(purpose, key=key))
    (leaf,) = certificates(found)
    assert leaf.public_key == keys.public_bytes(key)
    assert str(leaf.profile.subject) == str(profile.distinguished_name("system:node:w1", ["system:nodes"]))
    assert leaf.profile.extended_usages == {usage}
    assert ("keyEncipherment" in leaf.profile.key_usages) == isinstance(key, rsa.RSAPrivateKey)
    expected = {"192.0.2.21", "2001:db8::21"} if purpose == "serving" else set()
    assert {str(one) for one in leaf.profile.names.addresses} == expected
    assert leaf.profile.names.dns == ({"w1"} if purpose == "serving" else set())
    assert issue.is_signed_by(leaf, SIGNER.facts)
    assert leaf.not_after - NOW == 365 * DAY
    assert [change.target for change in found.changes] == [
        f"CertificateSigningRequest of w1 for its {purpose} certificate"
    ]


@pytest.mark.parametrize("length", [52, 53, 63, 64])
@pytest.mark.parametrize("purpose", ["serving", "client"])
def test_a_node_may_have_a_name_that_fills_the_subject(purpose: str, length: int) -> None:
    name = "w" * length
    user = f"system:node:{name}"
    node = {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.29"}]}}
    names = [_address("192.0.2.29")] if purpose == "serving" else None
    request = asked(purpose, user, names=names, username=user)
    found = kubelet_signing.sign_all([kubelet_signing.shown(request)], [node], SIGNER, NOW)
    (leaf,) = certificates(found)
    assert leaf.profile.subject.common_name == user
    assert leaf.profile.subject.organizations == ("system:nodes",)


@pytest.mark.parametrize(("seconds", "lifetime"), [(86400, 86400), (600, 3600), (10 * 365 * DAY, 365 * DAY)])
def test_a_life_may_be_shorter_but_not_longer(seconds: int, lifetime: int) -> None:
    (leaf,) = certificates(signed(asked(expirationSeconds=seconds)))
    assert leaf.not_after - NOW == lifetime


def test_what_is_below_an_intermediate_comes_with_it() -> None:
    middle = authority.create_below(profile.wanted_authority("middle"), SIGNER, NOW)
    leaf, above = certificates(signed(asked("client"), middle))
    assert issue.is_signed_by(leaf, middle.facts)
    assert above.fingerprint == middle.facts.fingerprint


JOINS: dict[str, t.Any] = {
    "username": "system:bootstrap:abcdef",
    "groups": ["system:bootstrappers", "system:authenticated"],
}


def test_who_joins_gets_a_certificate_of_a_node_that_there_is_not_yet() -> None:
    (leaf,) = certificates(signed(asked("client", "system:node:w9", **JOINS)))
    assert "system:node:w9" in str(leaf.profile.subject)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asked("client", **JOINS), "asks for the node w1, which has joined already"),
        (asked("client", "system:node:w2"), "it was made by system:node:w1, who is not the node w2"),
        (asked("client", "system:node:w9", username="system:node:w9"), "there is no node w9"),
        (asked("client", username="kubernetes-admin", groups=["system:masters"]), "who is not the node w1"),
        (asked("client", groups=["system:authenticated"]), "who is not the node w1"),
        (asked("client", "system:node:w9", **{**JOINS, "groups": []}), "who is not the node w9"),
        (asked("client", "kubernetes-admin"), "which is that of no node"),
        (asked("client", organizations=("system:masters",)), "which is that of no node"),
        (asked("client", organizations=("system:nodes", "system:masters")), "which is that of no node"),
        (asked("client", names=[x509.DNSName("w1")]), "it asks for names"),
        (asked("client", usages=["client auth"]), "its usages are client auth"),
        (asked("client", usages=["client auth", "digital signature", "server auth"]), "its usages are"),
        (asked("client", usages=["client auth", "digital signature", "cert sign"]), "its usages are"),
        (asked("client", request="bm9uZQ=="), "it holds no certificate request that can be read"),
        (asked("client", key=ec.generate_private_key(ec.SECP224R1())), "Go does not use the curve"),
        (asked("client", key=ed25519.Ed25519PrivateKey.generate()), "Kubernetes does not accept"),
        (asked("serving", "system:node:w2"), "not that of node w1"),
        (asked("serving", username="system:node:w3", common_name="system:node:w3"), "there is no node w3"),
        (asked("serving", names=[x509.DNSName("w2")]), "it asks for w2, which is no address of the node"),
        (asked("serving", names=[]), "it names no address"),
        (asked("serving", usages=["server auth", "digital signature", "client auth"]), "its usages are"),
        (asked("serving", request="!"), "it holds no certificate request that can be read"),
    ],
)
def test_what_is_not_signed(request_: dict[str, t.Any], why: str) -> None:
    found = signed(request_)
    assert (found.certificates, found.changes) == ({}, [])
    (sentence,) = found.refused
    assert sentence.startswith("CertificateSigningRequest csr-1 was not signed: ")
    assert why in sentence


def test_an_authority_that_forbids_it_signs_nothing() -> None:
    ended = Authority(SIGNER.facts, None)
    found = signed(asked("client"), ended)
    assert found.certificates == {}
    assert "is not on this host" in found.refused[0]


@pytest.mark.parametrize(
    ("conditions", "certificate", "waits"),
    [
        ([APPROVED], "", True),
        ([{"type": "Approved"}], "", True),
        ([], "", False),
        ([APPROVED], "LS0t", False),
        ([APPROVED, {"type": "Denied", "status": "True"}], "", False),
        ([APPROVED, {"type": "Failed", "status": "True"}], "", False),
        ([{"type": "Denied", "status": "True"}], "", False),
    ],
)
def test_which_await_a_certificate(conditions: list[dict[str, str]], certificate: str, waits: bool) -> None:
    request = asked()
    request["status"] = {"conditions": conditions, "certificate": certificate}
    assert kubelet_request.awaits_certificate(request) == waits


def test_those_of_other_signers_are_not_ours() -> None:
    request = asked(signerName="kubernetes.io/kube-apiserver-client")
    assert not kubelet_request.awaits_certificate(request)
    assert kubelet_request.problems(request, NODES[0]) == ["it is no kubelet's"]


def named(name: str, created: str, request: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**request, "metadata": {"name": name, "uid": f"u-{name}", "creationTimestamp": created}}


def signed_of(*given: dict[str, t.Any]) -> kubelet_signing.Signed:
    return kubelet_signing.sign_all([kubelet_signing.shown(one) for one in given], NODES, SIGNER, NOW)


@pytest.mark.parametrize("order", [1, -1])
def test_of_each_kubelet_and_purpose_the_newest_is_signed(order: int) -> None:
    given = [
        named("new", "2026-11-24T10:30:00Z", asked("client")),
        named("old", "2026-11-24T10:15:00Z", asked("client")),
        named("serving", "2026-11-24T09:00:00Z", asked("serving")),
        named("joins", "2026-11-24T09:00:00Z", asked("client", "system:node:w9", **JOINS)),
    ]
    found = signed_of(*given[::order])
    assert (list(found.certificates), found.refused) == (["new", "serving", "joins"], [])


def test_a_later_request_that_is_refused_hides_no_good_one() -> None:
    """Whoever has a bootstrap token gets a request in a node's name approved by kube-controller-manager."""
    stranger = {**JOINS, "username": "system:bootstrap:fedcba"}
    found = signed_of(
        named("own", "2026-11-24T10:00:00Z", asked("client")),
        named("others", "2026-11-24T10:30:00Z", asked("client", **stranger)),
        named("names", "2026-11-24T10:40:00Z", asked("client", names=[x509.DNSName("w1")])),
    )
    assert list(found.certificates) == ["own"]
    assert [sentence.split(":")[0] for sentence in found.refused] == [
        "CertificateSigningRequest names was not signed",
        "CertificateSigningRequest others was not signed",
    ]


def test_what_is_asked_again_and_again_in_vain_is_told_once() -> None:
    found = signed_of(
        *(named(f"csr-{hour}", f"2026-11-24T{hour}:00:00Z", asked("client", **JOINS)) for hour in (10, 12, 11))
    )
    (sentence,) = found.refused
    assert sentence.startswith("CertificateSigningRequest csr-12 was not signed (nor were 2 before it for the same): ")


# On the host that lays them


class World:
    """What the API has: tests read and change it."""

    def __init__(self, *requests: dict[str, t.Any]) -> None:
        self.requests = {request["metadata"]["name"]: request for request in requests}
        self.taken = True
        #: How many approvals come too late, and whether because somebody else approves.
        self.conflicts = 0
        self.other_approver = False

    def approve(self, request: dict[str, t.Any]) -> bool:
        if self.other_approver:
            request["status"]["conditions"] = [APPROVED]
        if self.conflicts:
            self.conflicts -= 1
            return False
        request["status"]["conditions"] = [APPROVED]
        return True

    def certify(self, request: dict[str, t.Any], certificate: str) -> bool:
        if self.taken:
            self.requests[request["metadata"]["name"]]["status"]["certificate"] = certificate
        return self.taken

    def peer(self, _host: str, _port: int) -> Peer:
        """A kubelet serves its newest certificate at once."""
        for request in self.requests.values():
            text = request["status"].get("certificate")
            if text and kubelet_request.purpose(request) == "serving":
                return Peer(bundle.parse(text.encode("ascii"), "it")[0].der, "")
        return Peer(None, "refused")

    def cluster(self, signer: Authority = SIGNER) -> serving.Cluster:
        seconds = iter(range(1000))
        return serving.Cluster(
            requests=lambda: list(self.requests.values()),
            nodes=lambda: [NODES[0]],
            approve=self.approve,
            certify=self.certify,
            peer=self.peer,
            authority=bundle.join([signer.facts]),
            now=lambda: NOW,
            clock=lambda: float(next(seconds)),
            sleep=lambda _seconds: None,
        )


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    return Backup(Host(str(tmp_path)), "run-1")


def pending(purpose: str = "serving") -> dict[str, t.Any]:
    request = asked(purpose)
    request["status"] = {}
    return request


def test_a_kubelet_that_was_made_to_ask_is_approved_signed_and_proven(backup: Backup) -> None:
    world = World(pending(), named("csr-2", "2026-11-24T09:00:00Z", asked("client")))
    changes, refused = serving.approve(world.cluster(), ["w1"], 10.0, backup, signed_elsewhere=True)
    assert ([change.action for change in changes], refused) == (["approve"], [])
    waiting = serving.unsigned(world.cluster(), ["w1"])
    # A request of another purpose is left to the end, when nobody is expected.
    assert [one["metadata"]["name"] for one in waiting] == ["csr-1"]
    assert len(serving.unsigned(world.cluster())) == 2
    found = kubelet_signing.sign_all([kubelet_signing.shown(one) for one in waiting], NODES, SIGNER, NOW)
    laid, refused = serving.certify(world.cluster(), found.certificates, backup)
    assert ([change.action for change in laid], refused) == (["sign"], [])
    assert serving.approve(world.cluster(), ["w1"], 10.0, backup) == ([], [])
    assert serving.unproven(world.cluster()) == {}
    assert serving.unsigned(world.cluster(), ["w1"]) == []


def test_a_kubelet_that_asks_anew_while_it_is_signed_is_signed_again(backup: Backup) -> None:
    """What it asked before its restart was approved and never signed."""
    world = World(named("old", "2026-11-24T09:00:00Z", asked(key=ec.generate_private_key(ec.SECP256R1()))))
    for name in ("old", "new"):
        serving.approve(world.cluster(), ["w1"], 10.0, backup, signed_elsewhere=True)
        waiting = [kubelet_signing.shown(one) for one in serving.unsigned(world.cluster(), ["w1"])]
        assert [one["metadata"]["name"] for one in waiting] == [name]
        found = kubelet_signing.sign_all(waiting, NODES, SIGNER, NOW)
        if name == "old":
            world.requests["new"] = named("new", "2026-11-24T10:00:00Z", pending())
        serving.certify(world.cluster(), found.certificates, backup)
        world.requests.pop("old", None)  # a kubelet does not serve what it gave up
    assert serving.unproven(world.cluster()) == {}


@pytest.mark.parametrize(("delay", "lists"), [(0.0, 2), (2.0, 2), (serving.SIGNED + 0.5, 4)])
def test_what_was_just_approved_is_looked_at_without_a_list_of_anything(
    backup: Backup, delay: float, lists: int
) -> None:
    """A list through kubectl takes longer than kube-controller-manager and the kubelet do."""
    world, clock, listed = World(pending()), [0.0], [0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        signed = kubelet_signing.sign_all([kubelet_signing.shown(request)], NODES, SIGNER, NOW)
        if clock[0] >= delay:
            request["status"]["certificate"] = signed.certificates["csr-1"]["certificate"]

    def counted(found: t.Callable[[], list[dict[str, t.Any]]]) -> t.Callable[[], list[dict[str, t.Any]]]:
        def count() -> list[dict[str, t.Any]]:
            listed[0] += 1
            return found()

        return count

    (request,) = world.requests.values()
    seen = world.cluster()
    seen = dataclasses.replace(
        seen, nodes=counted(seen.nodes), requests=counted(seen.requests), clock=lambda: clock[0], sleep=sleep
    )
    changes, refused = serving.approve(seen, ["w1"], 120.0, backup)
    assert ([change.action for change in changes], refused) == (["approve"], [])
    assert clock[0] <= delay + serving.INTERVAL
    assert listed == [lists]


def test_a_kubelet_that_does_not_ask_is_waited_for(backup: Backup) -> None:
    with pytest.raises(HardeningError, match="after 10 s"):
        serving.approve(World().cluster(), ["w1"], 10.0, backup, signed_elsewhere=True)


@pytest.mark.parametrize("expected", [["w1"], []])
def test_a_request_that_changed_before_it_was_approved_is_judged_anew(backup: Backup, expected: list[str]) -> None:
    world = World(pending())
    world.conflicts = 2
    changes, refused = serving.approve(world.cluster(), expected, 10.0, backup, signed_elsewhere=True)
    assert ([change.action for change in changes], refused) == (["approve"], [])
    assert world.requests["csr-1"]["status"]["conditions"] == [APPROVED]


def test_another_approver_that_was_faster_ends_no_run(backup: Backup) -> None:
    world = World(pending())
    world.conflicts, world.other_approver = 1, True
    assert serving.approve(world.cluster(), ["w1"], 10.0, backup, signed_elsewhere=True) == ([], [])


def test_a_request_that_never_stands_still_is_told(backup: Backup) -> None:
    world = World(pending())
    world.conflicts = 999
    changes, refused = serving.approve(world.cluster(), [], 10.0, backup)
    assert changes == []
    assert "csr-1 was changed by somebody else each time and not approved" in refused[0]
    assert len(backup.document()["entries"]) == 1


def _gone(world: World) -> None:
    world.requests.clear()


def _made_anew(world: World) -> None:
    world.requests["csr-1"]["metadata"]["uid"] = "another"


def _denied(world: World) -> None:
    world.requests["csr-1"]["status"]["conditions"] = [{"type": "Denied", "status": "True"}]


def _written_by_another(world: World) -> None:
    world.taken = False


@pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (_gone, "is not there any more"),
        (_made_anew, "is not there any more"),
        (_denied, "is not there any more"),
        (_written_by_another, "was changed by somebody else"),
    ],
)
def test_what_became_another_meanwhile_is_left(backup: Backup, happens: Callable[[World], None], sentence: str) -> None:
    world = World(asked())
    found = signed(world.requests["csr-1"])
    happens(world)
    changes, refused = serving.certify(world.cluster(), found.certificates, backup)
    assert changes == []
    assert sentence in refused[0]
    assert not any(one["status"].get("certificate") for one in world.requests.values())


def test_a_certificate_of_another_authority_is_not_laid(backup: Backup) -> None:
    world = World(asked())
    other = authority.create(profile.wanted_authority("kubernetes"), NOW - DAY)
    found = signed(world.requests["csr-1"], other)
    with pytest.raises(HardeningError, match="is not of the cluster's authority"):
        serving.certify(world.cluster(), found.certificates, backup)
    assert not world.requests["csr-1"]["status"].get("certificate")
