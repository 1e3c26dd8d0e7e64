# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    NOW,
    Odd,
    alternative,
    client_profile,
    common_name,
    leaf,
    root,
    server_profile,
    usage,
)


def test_a_certificate_reads_back_as_the_profile_that_it_was_made_of() -> None:
    for wanted in (server_profile(), client_profile()):
        actual = leaf(wanted).profile
        assert replace(actual, issuer=None, authority_key_id=None, key_algorithm=None) == wanted
        assert actual.issuer == root().facts.profile.subject.raw
        assert actual.authority_key_id == root().facts.subject_key_id
        assert actual.key_algorithm == "ECDSA-P256"


@pytest.mark.parametrize(
    "change",
    [
        {"names": Names(frozenset({"other"}))},
        {"extended_usages": frozenset({profile.CLIENT})},
        {"key_usages": frozenset()},
        {"is_authority": True},
        {"path_length": 0},
        {"key_algorithm": "RSA-2048"},
        {"issuer": b"x"},
        {"authority_key_id": b"x"},
        {"other_names": frozenset({"RFC822Name:a@b"})},
        {"subject": profile.distinguished_name("other")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_decides(change: dict[str, object]) -> None:
    actual = leaf(server_profile()).profile
    assert replace(actual, **change) != actual  # type: ignore[arg-type]
    assert replace(actual) == actual


def test_subjects_are_equal_by_what_they_say_and_not_by_their_encoding() -> None:
    printable = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "admin", _type=x509.name._ASN1Type.PrintableString),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "group", _type=x509.name._ASN1Type.PrintableString),
        ]
    )
    one = Odd(subject=printable).facts().profile.subject
    other = profile.distinguished_name("admin", ["group"])
    assert one == other
    assert hash(one) == hash(other)
    assert one.raw != other.raw
    assert (one.common_name, one.organizations) == ("admin", ("group",))
    assert str(other) == "O=group, CN=admin"
    assert one != profile.distinguished_name("admin")
    assert one != "admin"


def test_the_raw_bytes_of_a_subject_survive_reading_and_issuing() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes", _type=x509.name._ASN1Type.PrintableString)])
    subject = Odd(subject=name).facts().profile.subject
    assert b"\x13\nkubernetes" in subject.raw
    assert leaf(replace(client_profile(), subject=subject)).profile.subject.raw == subject.raw


@pytest.mark.parametrize("value", ["", "x" * 65])
def test_names_that_x509_does_not_allow(value: str) -> None:
    with pytest.raises(HardeningError, match="1 to 64 characters"):
        profile.distinguished_name(value)
    with pytest.raises(HardeningError, match="1 to 64 characters"):
        profile.distinguished_name("fine", [value])


def test_what_a_certificate_lacks_reads_as_nothing() -> None:
    facts = Odd().facts()
    assert facts.profile.key_usages == facts.profile.extended_usages == frozenset()
    assert not facts.profile.names
    assert not facts.profile.is_authority
    assert facts.profile.path_length is None
    assert facts.profile.authority_key_id is None
    assert facts.subject_key_id is None
    assert facts.is_self_issued
    assert facts.defects == ()


@pytest.mark.parametrize(
    ("subject", "issuer", "expected"),
    [
        ("cp1@1800000000", "cp1-ca@1800000000", True),
        # The key of the leaf is made between the two names.
        ("cp1@1800000001", "cp1-ca@1800000000", True),
        # An authority of somebody's may be called so too.
        ("system:node:cp1", "prod-ca@2024", False),
        ("cp1@1800000000", "cp2-ca@1800000000", False),
        ("cp1@1800000000", "kubernetes", False),
    ],
)
def test_what_a_component_made_for_itself_is_known_by_both_names(subject: str, issuer: str, expected: bool) -> None:
    facts = Odd(subject=subject, issuer=common_name(issuer)).facts()
    assert not facts.is_self_issued
    assert facts.is_self_made is expected
    assert Odd(subject=subject).facts().is_self_made


def test_other_kinds_of_names_and_usages_are_seen() -> None:
    names = x509.SubjectAlternativeName([x509.RFC822Name("a@example.org"), x509.DNSName("A.example.org")])
    usages = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.3"), x509.ObjectIdentifier("2.5.29.37.0")])
    facts = Odd(extensions=[(names, False), (usages, False), usage("digitalSignature")]).facts()
    assert facts.profile.other_names == {"RFC822Name:a@example.org"}
    assert facts.profile.names == Names(frozenset({"a.example.org"}))
    assert facts.profile.extended_usages == {"1.3.6.1.5.5.7.3.3", profile.ANY}
    assert facts.profile.key_usages == {"digitalSignature"}


def test_an_address_is_reported_as_it_stands() -> None:
    facts = Odd(extensions=[alternative("::ffff:192.0.2.1")]).facts()
    assert len(facts.profile.names.addresses) == 1
    assert facts.profile.names != Names(addresses=frozenset({"192.0.2.1"}))


def test_the_first_certificate_of_a_file_counts() -> None:
    first = leaf(server_profile())
    data = b"text\n" + issue.certificate_pem(first, [root().facts])
    assert profile.from_pem(data, "here") == first
    with pytest.raises(HardeningError, match="here holds no certificate"):
        profile.from_pem(pem.encode("PUBLIC KEY", b"x"), "here")


def test_public_facts_hold_nothing_but_text() -> None:
    shown = leaf(server_profile()).public_facts()
    assert shown["subject"] == "CN=server"
    assert shown["issuer"] == "CN=kubernetes"
    assert shown["names"] == ["server.example.org"]
    assert shown["not_before"] == profile.iso_time(NOW - 300) == "2027-01-15T07:55:00Z"
    assert len(shown["fingerprint_sha256"]) == 64
    assert not any(isinstance(value, bytes) for value in shown.values())


def test_times_beyond_2050_and_long_before() -> None:
    facts = Odd(start=0, end=4_102_444_800 + 86400).facts()
    assert (facts.not_before, facts.not_after) == (0, 4_102_531_200)
