# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bundle, issue, keys, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, wanted_authority
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    DAY,
    NOW,
    Odd,
    client_profile,
    key,
    leaf,
    root,
    server_profile,
)


def extension(facts: CertificateFacts, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return facts.certificate.extensions.get_extension_for_class(kind)


def assert_is_authority(facts: CertificateFacts) -> None:
    """What OpenSSL's strict mode demands of every authority, and Go of each that signs."""
    assert facts.version == 3
    assert facts.profile.is_authority
    assert extension(facts, x509.BasicConstraints).critical
    assert facts.profile.key_usages == {"digitalSignature", "keyCertSign", "cRLSign"}
    assert extension(facts, x509.KeyUsage).critical
    assert facts.profile.extended_usages == frozenset()
    assert facts.subject_key_id is not None
    assert facts.defects == ()


def assert_is_leaf(facts: CertificateFacts, authority: CertificateFacts) -> None:
    assert facts.version == 3
    assert not facts.profile.is_authority
    assert extension(facts, x509.BasicConstraints).critical
    assert not facts.profile.key_usages & {"keyCertSign", "cRLSign"}
    assert facts.profile.extended_usages
    assert facts.profile.issuer == authority.profile.subject.raw
    assert not extension(facts, x509.AuthorityKeyIdentifier).critical
    assert not extension(facts, x509.SubjectKeyIdentifier).critical
    assert issue.is_signed_by(facts, authority)
    assert facts.defects == ()


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048"])
@pytest.mark.parametrize("signer_algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048"])
def test_leaves_of_every_kind_below_authorities_of_every_kind(algorithm: str, signer_algorithm: str) -> None:
    signer = root("mixed", signer_algorithm)
    facts = leaf(server_profile(), signer, algorithm=algorithm)
    assert_is_authority(signer.facts)
    assert_is_leaf(facts, signer.facts)
    assert facts.profile.authority_key_id == signer.facts.subject_key_id
    assert facts.profile.key_algorithm == algorithm
    assert facts.signature_hash == ("sha384" if signer_algorithm == "ECDSA-P384" else "sha256")
    expected = {"digitalSignature", "keyEncipherment"} if algorithm.startswith("RSA") else {"digitalSignature"}
    assert facts.profile.key_usages == expected


def test_it_began_five_minutes_ago_and_ends_after_its_lifetime() -> None:
    facts = leaf(server_profile(), lifetime=90 * DAY)
    assert (facts.not_before, facts.not_after) == (NOW - 300, NOW + 90 * DAY)


def test_it_never_outlives_its_authority() -> None:
    facts = leaf(server_profile(), lifetime=100 * 365 * DAY)
    assert facts.not_after == root().facts.not_after


@pytest.mark.parametrize("lifetime", [-1, 0, 3599])
def test_lifetimes_that_nobody_can_renew_in_time(lifetime: float) -> None:
    with pytest.raises(HardeningError, match="Use at least 3600 seconds"):
        leaf(server_profile(), lifetime=lifetime)
    with pytest.raises(HardeningError, match="Use at least 3600 seconds"):
        issue.self_signed_authority(wanted_authority("short"), key(), NOW, lifetime)


def test_serial_numbers_are_long_positive_and_never_the_same() -> None:
    serials = [leaf(server_profile()).serial_number for _turn in range(50)]
    assert len(set(serials)) == 50
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert sum(serial.bit_length() >= 128 for serial in serials) == 50


def test_the_authoritys_subject_is_repeated_byte_for_byte() -> None:
    # As Go writes it; cryptography would write a new name as UTF8String, and Go would refuse the chain.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes", _type=x509.name._ASN1Type.PrintableString)])
    key_id = x509.SubjectKeyIdentifier(b"a key id of 20 bytes")
    signer = Authority(Odd(subject=name, extensions=[*AUTHORITY_EXTENSIONS, (key_id, False)]).facts(), key())
    facts = leaf(client_profile(), signer)
    assert facts.profile.issuer == signer.facts.profile.subject.raw
    assert b"\x13\nkubernetes" in facts.profile.issuer
    # And its key identifier is copied: Go since 1.25 and cryptography compute different ones.
    assert facts.profile.authority_key_id == b"a key id of 20 bytes"


def test_an_authority_without_a_key_identifier_still_signs() -> None:
    signer = Authority(Odd(subject="old", extensions=AUTHORITY_EXTENSIONS).facts(), key())
    facts = leaf(client_profile(), signer)
    assert facts.profile.authority_key_id == x509.SubjectKeyIdentifier.from_public_key(key().public_key()).digest


def test_signing_needs_the_key() -> None:
    with pytest.raises(HardeningError, match="is not on this host; nothing was signed"):
        leaf(client_profile(), replace(root(), key=None))


def test_intermediates_and_the_chain_that_servers_send() -> None:
    own = key(number=7)
    below = issue.issue(wanted_authority("kubernetes", path_length=0), keys.public_bytes(own), root("top"), NOW)
    assert_is_authority(below)
    assert below.profile.path_length == 0
    assert below.profile.authority_key_id == root("top").facts.subject_key_id
    authority = Authority(below, own, (root("top").facts,))
    assert authority.chain == (below,)
    assert root().chain == ()
    sent = issue.certificate_pem(leaf(server_profile(), authority), authority.chain)
    assert [facts.profile.is_authority for facts in bundle.parse(sent, "here")] == [False, True]


def test_names_of_other_kinds_are_kept_when_they_can_be() -> None:
    others = frozenset({"UniformResourceIdentifier:spiffe://cluster/x", "DirectoryName:CN=a"})
    facts = leaf(replace(server_profile(), other_names=others))
    assert facts.profile.other_names == {"UniformResourceIdentifier:spiffe://cluster/x"}


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048"])
@pytest.mark.parametrize(
    "what", [server_profile(), client_profile(), wanted_authority("ca")], ids=["server", "client", "ca"]
)
def test_a_request_asks_for_what_it_was_made_of(algorithm: str, what: profile.Profile) -> None:
    what = replace(what, key_algorithm=algorithm)
    facts = issue.read_request(issue.signing_request(what, key(algorithm)), "here")
    assert facts.profile == what
    assert facts.public_key == keys.public_bytes(key(algorithm))


def forged_request() -> bytes:
    request = issue.signing_request(client_profile(), key())
    der = pem.blocks(request, "here")[0].der
    return pem.encode("CERTIFICATE REQUEST", der.replace(b"client", b"master"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "holds 0 signing requests", id="empty"),
        pytest.param(issue.signing_request(client_profile(), key()) * 2, "holds 2 signing requests", id="two"),
        pytest.param(forged_request(), "not signed by the key that it names", id="changed after signing"),
        pytest.param(pem.encode("CERTIFICATE REQUEST", b"x"), "cannot be read", id="no request inside"),
    ],
)
def test_requests_that_are_not_signed(data: bytes, sentence: str) -> None:
    with pytest.raises(HardeningError, match=sentence):
        issue.read_request(data, "here")


def test_signatures() -> None:
    facts = leaf(server_profile())
    assert issue.is_signed_by(facts, root().facts)
    assert not issue.is_signed_by(facts, root("other", number=5).facts)
    assert not issue.is_signed_by(facts, root("rsa", "RSA-2048").facts)
    assert issue.is_signed_by(root().facts, root().facts)


def test_what_is_written_is_pem_with_an_end_of_line() -> None:
    facts = leaf(server_profile())
    assert issue.certificate_pem(facts) == facts.certificate.public_bytes(serialization.Encoding.PEM)
