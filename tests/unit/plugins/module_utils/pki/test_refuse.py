# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import RequestFacts
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, Names, names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    CLIENT,
    SERVER,
    Profile,
    wanted,
    wanted_authority,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    DAY,
    NOW,
    Odd,
    alternative,
    client_profile,
    key,
    leaf,
    root,
    server_profile,
    usage,
)

BASIC = (x509.BasicConstraints(True, None), True)
WHERE = "/etc/kubernetes/pki/ca.crt"


def test_a_pair_is_a_pair() -> None:
    facts = leaf(server_profile())
    refuse.unmatched_pair(facts, key(), "/a.crt", "/a.key")
    with pytest.raises(HardeningError, match=r"The key in /a\.key does not belong to the certificate in /a\.crt"):
        refuse.unmatched_pair(facts, key(number=1), "/a.crt", "/a.key")


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        pytest.param(Odd(), "it is not", id="no basic constraints"),
        pytest.param(Odd(extensions=[(x509.BasicConstraints(False, None), True)]), "do not say CA", id="CA:FALSE"),
        pytest.param(Odd(extensions=[BASIC, usage("digitalSignature")]), "keyCertSign", id="key usage"),
        pytest.param(Odd(extensions=AUTHORITY_EXTENSIONS, end=NOW), "it ended on 2027-01-15T08:00:00Z", id="expired"),
        pytest.param(Odd(extensions=AUTHORITY_EXTENSIONS, start=NOW + 1), "begins only on", id="not begun"),
        pytest.param(
            Odd(extensions=[*AUTHORITY_EXTENSIONS, alternative("::ffff:1.2.3.4")]), "IPv6", id="unreadable to Go"
        ),
    ],
)
def test_authorities_that_cannot_sign(odd: Odd, sentence: str) -> None:
    with pytest.raises(HardeningError, match=f"in {WHERE} cannot sign: ") as refusal:
        refuse.unusable_authority(odd.facts(), NOW, WHERE)
    assert sentence.removeprefix("it is not") in str(refusal.value)
    assert "Nothing was changed" in str(refusal.value)


@pytest.mark.parametrize(
    ("algorithm", "sentence"), [("RSA-1024", "1024 bits is weak"), ("Ed25519", "does not accept Ed25519 keys")]
)
def test_authorities_with_keys_that_cannot_be_relied_on(algorithm: str, sentence: str) -> None:
    facts = root().facts
    facts = replace(facts, profile=replace(facts.profile, key_algorithm=algorithm))
    with pytest.raises(HardeningError, match=sentence):
        refuse.unusable_authority(facts, NOW, WHERE)


def test_a_signature_with_sha1_is_refused_but_for_a_root() -> None:
    # Some libraries refuse to sign with SHA-1, so the digest is put in afterwards.
    below = leaf(wanted_authority("below"), root())
    below = replace(below, signature_hash="sha1", profile=replace(below.profile, key_usages=frozenset()))
    with pytest.raises(HardeningError, match="signed with sha1"):
        refuse.unusable_authority(below, NOW, WHERE)
    refuse.unusable_authority(replace(root().facts, signature_hash="sha1"), NOW, WHERE)


def test_authorities_that_can() -> None:
    refuse.unusable_authority(root().facts, NOW, WHERE)
    refuse.unusable_authority(root("rsa", "RSA-2048").facts, NOW, WHERE)
    refuse.unusable_authority(Odd(extensions=[BASIC]).facts(), NOW, WHERE)


def constraints(permitted: Sequence[Any] | None = None, excluded: Sequence[Any] | None = None) -> Any:
    return x509.NameConstraints(permitted, excluded), True


DNS = x509.DNSName
LAB, ALL_OF_LAB = (wanted("a", (), names([name]), (SERVER,)) for name in ("lab.example", "*.lab.example"))
APISERVER = wanted("a", (), names(["kubernetes", "kubernetes.default", "x.cluster.local", "10.96.0.1"]), (SERVER,))


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text))


@pytest.mark.parametrize(
    ("extension", "what", "sentence"),
    [
        (constraints([DNS("cluster.local")]), APISERVER, "do not permit the name 'kubernetes'"),
        (constraints([DNS("kubernetes"), DNS("default"), DNS(".cluster.local")]), APISERVER, ""),
        (constraints([DNS("")]), APISERVER, ""),
        (constraints(None, [DNS("local")]), APISERVER, "do not permit the name 'x.cluster.local'"),
        (constraints(None, [DNS("cluster")]), APISERVER, ""),
        (constraints(None, [DNS("cal")]), APISERVER, ""),
        (constraints([DNS(".lab.example")]), LAB, "do not permit the name 'lab.example'"),
        (constraints([DNS(".lab.example")]), ALL_OF_LAB, ""),
        (constraints(None, [DNS(".Lab.example")]), LAB, ""),
        (constraints(None, [DNS("Secret.lab.example")]), ALL_OF_LAB, "do not permit the name '*.lab.example'"),
        (constraints(None, [DNS("a.secret.lab.example")]), ALL_OF_LAB, ""),
        (constraints([network("10.0.0.0/8")]), APISERVER, ""),
        (constraints([network("192.0.2.0/24")]), APISERVER, "do not permit the address 10.96.0.1"),
        (constraints([network("fd00::/8")]), APISERVER, "do not permit the address 10.96.0.1"),
        (constraints(None, [network("0.0.0.0/0")]), APISERVER, "do not permit the address 10.96.0.1"),
        (constraints(None, [network("::/0")]), APISERVER, ""),
        (constraints([DNS("cluster.local")]), client_profile(), ""),
        (constraints([x509.DirectoryName(x509.Name([]))]), client_profile(), "speak of directory names"),
        ((x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False), APISERVER, ""),
        (
            (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False),
            wanted("peer", (), NO_NAMES, (SERVER, CLIENT)),
            "lacks clientAuth",
        ),
        ((x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")]), False), client_profile(), ""),
        ((x509.InhibitAnyPolicy(0), True), client_profile(), "critical extension 2.5.29.54"),
        ((x509.InhibitAnyPolicy(0), False), client_profile(), ""),
    ],
)
def test_what_an_authority_forbids(extension: Any, what: Profile, sentence: str) -> None:
    facts = Odd(extensions=[*AUTHORITY_EXTENSIONS, extension]).facts()
    if not sentence:
        refuse.forbidden_by_authority([facts], what, WHERE)
        refuse.forbidden_by_authority([root().facts, facts], what, WHERE)
        return
    for chain in ([facts], [root().facts, facts]):
        with pytest.raises(HardeningError, match="use an authority without that restriction") as refusal:
            refuse.forbidden_by_authority(chain, what, WHERE)
        assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("path_length", "above", "what", "allowed"),
    [
        (0, 0, client_profile(), True),
        (0, 0, wanted_authority("below"), False),
        (1, 0, wanted_authority("below"), True),
        (0, 1, client_profile(), False),
        (1, 1, client_profile(), True),
        (1, 1, wanted_authority("below"), False),
        (None, 1, wanted_authority("below"), True),
    ],
)
def test_path_lengths(path_length: int | None, above: int, what: Profile, allowed: bool) -> None:
    facts = Odd(extensions=[(x509.BasicConstraints(True, path_length), True)]).facts()
    chain = [*[root().facts] * above, facts]
    if allowed:
        refuse.forbidden_by_authority(chain, what, WHERE)
    else:
        with pytest.raises(HardeningError, match="its path length is"):
            refuse.forbidden_by_authority(chain, what, WHERE)


def test_one_authority_for_clients_and_front_proxy() -> None:
    one, two = root().facts, root("front-proxy-ca", number=2).facts
    refuse.shared_authority([two], [one], WHERE)
    with pytest.raises(HardeningError, match="any client certificate could speak for any user"):
        refuse.shared_authority([two, one], [one], WHERE)
    # The same key under another name is the same authority.
    renamed = issue.self_signed_authority(wanted_authority("other"), key("ECDSA-P256", 100), NOW)
    with pytest.raises(HardeningError):
        refuse.shared_authority([renamed], [one], WHERE)


@pytest.mark.parametrize(
    ("now", "reference", "sentence"),
    [
        (NOW, None, ""),
        (NOW, NOW, ""),
        (NOW, NOW + 300, ""),
        (NOW, NOW + 301, "is 301 seconds behind the controller's"),
        (NOW, NOW - 301, "is 301 seconds ahead of the controller's"),
        (0.0, None, "says 1970-01-01T00:00:00Z, which cannot be right"),
        (5e9, None, "says 2128-06-11T08:53:20Z, which cannot be right"),
    ],
)
def test_clocks(now: float, reference: float | None, sentence: str) -> None:
    if not sentence:
        refuse.clock(now, reference, "cp1")
        return
    with pytest.raises(HardeningError, match="nothing was changed") as refusal:
        refuse.clock(now, reference, "cp1")
    assert sentence in str(refusal.value)


ASKED = replace(server_profile(), key_algorithm="ECDSA-P256")
REQUEST = issue.read_request(issue.signing_request(ASKED, key()), "here")
AUTHORITY_REQUEST = issue.read_request(issue.signing_request(wanted_authority("kubernetes"), key()), "here")


@pytest.mark.parametrize(
    ("request_facts", "given_profile", "sentence"),
    [
        (REQUEST, ASKED, ""),
        (REQUEST, replace(ASKED, names=ASKED.names | Names(frozenset({"more"}))), "beyond those asked for: more"),
        (REQUEST, replace(ASKED, names=NO_NAMES), "it lacks the names server.example.org"),
        (REQUEST, replace(ASKED, extended_usages=frozenset({CLIENT})), "it lacks the usages serverAuth"),
        (REQUEST, replace(ASKED, extended_usages=frozenset()), "it lacks the usages serverAuth"),
        (REQUEST, replace(ASKED, subject=profile.distinguished_name("x")), "the subject asked for is 'CN=server'"),
        (REQUEST, replace(ASKED, is_authority=True), "it is one of an authority"),
        (AUTHORITY_REQUEST, wanted_authority("kubernetes"), ""),
        (AUTHORITY_REQUEST, wanted_authority("kubernetes", path_length=0), ""),
        (AUTHORITY_REQUEST, wanted("kubernetes", usages=(SERVER,)), "it is not one of an authority"),
        (
            AUTHORITY_REQUEST,
            replace(wanted_authority("kubernetes"), key_usages=frozenset({"digitalSignature"})),
            "does not include keyCertSign",
        ),
    ],
)
def test_answers_to_requests(request_facts: RequestFacts, given_profile: Profile, sentence: str) -> None:
    certificate = issue.issue(given_profile, request_facts.public_key, root(), NOW)
    if not sentence:
        refuse.wrong_answer(certificate, request_facts, WHERE)
        return
    with pytest.raises(HardeningError, match="have the request signed again as it is") as refusal:
        refuse.wrong_answer(certificate, request_facts, WHERE)
    assert sentence in str(refusal.value)


def test_an_answer_for_another_key() -> None:
    certificate = issue.issue(ASKED, issue.keys.public_bytes(key(number=1)), root(), NOW)
    with pytest.raises(HardeningError, match="it is for another key"):
        refuse.wrong_answer(certificate, REQUEST, WHERE)


def test_an_intermediate_that_needs_room_below() -> None:
    asked = issue.read_request(issue.signing_request(wanted_authority("ca", path_length=1), key()), "here")
    certificate = issue.issue(wanted_authority("ca", path_length=0), asked.public_key, root(), NOW)
    with pytest.raises(HardeningError, match="its path length is 0"):
        refuse.wrong_answer(certificate, asked, WHERE)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (ASKED, ""),
        (replace(ASKED, names=names(["kubernetes"])), "its names are not those"),
        (replace(ASKED, subject=profile.distinguished_name("kubernetes-admin", ["system:masters"])), "its subject"),
        (replace(ASKED, extended_usages=frozenset({CLIENT, SERVER})), "its extended key usages"),
        (replace(ASKED, is_authority=True), "its authority flag"),
        (replace(ASKED, other_names=frozenset({"RFC822Name:a@b.example"})), "its other names"),
        (replace(ASKED, names=NO_NAMES, is_authority=True), "names and authority flag"),
    ],
)
def test_requests_for_more_than_the_table_has(asked: Profile, sentence: str) -> None:
    request = issue.read_request(issue.signing_request(asked, key()), "here")
    if not sentence:
        refuse.excessive_request(request, ASKED, "worker1")
        return
    with pytest.raises(HardeningError, match="from worker1 was not signed") as refusal:
        refuse.excessive_request(request, ASKED, "worker1")
    assert sentence in str(refusal.value)


def test_a_request_with_a_weak_key() -> None:
    weak = replace(REQUEST, profile=replace(REQUEST.profile, key_algorithm="RSA-1024"))
    with pytest.raises(HardeningError, match="1024 bits is weak"):
        refuse.excessive_request(weak, ASKED, "worker1")


def test_a_lost_key_is_for_the_user_to_decide() -> None:
    with pytest.raises(HardeningError, match=r"/a\.crt is there but its key /a\.key is not"):
        refuse.lost_key("/a.crt", "/a.key")


def test_old_digests() -> None:
    # What cannot be made with every library is at least read by name.
    assert Odd(digest=hashes.SHA512()).facts().signature_hash == "sha512"
    assert DAY == 86400
