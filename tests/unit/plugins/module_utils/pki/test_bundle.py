# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bundle, der, keys, pem, profile
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    Odd,
    alternative,
    key,
    root,
    with_negative_serial,
)

ONE = pem.encode("CERTIFICATE", root().facts.der)
TWO = pem.encode("CERTIFICATE", root("other", number=5).facts.der)
CRITICAL_KEY_ID = (x509.SubjectKeyIdentifier(b"12345678901234567890"), True)
MAPPED = "::ffff:192.0.2.10"


@pytest.mark.parametrize(
    ("data", "count"),
    [
        pytest.param(ONE, 1, id="one"),
        pytest.param(ONE + TWO, 2, id="two"),
        pytest.param(ONE + b"\n\n" + TWO, 2, id="empty lines between"),
        pytest.param(b"# the authority\nIssuer: somebody\n" + ONE, 1, id="text before"),
        pytest.param(ONE.replace(b"\n", b"\r\n"), 1, id="CRLF"),
        pytest.param(ONE[:-1], 1, id="no newline at the end"),
        pytest.param(ONE.replace(b"-----\n", b"-----  \n"), 1, id="spaces after the markers"),
    ],
)
def test_what_go_reads_is_read(data: bytes, count: int) -> None:
    assert len(bundle.parse(data, "ca.crt")) == count


def test_an_authority_without_its_key_is_told_by_its_public_key() -> None:
    one, two = root(), root("other", number=5)
    renewed = replace(two.facts, not_after=two.facts.not_after + 1)
    found = [one.facts, two.facts, renewed]
    first, second = (bundle.digest(authority.facts.public_key) for authority in (one, two))
    assert bundle.of_signer(found, []) == one.facts
    assert bundle.of_signer(found, ["", "unknown"]) == one.facts
    # A renewed authority has the key of the one before.
    assert bundle.of_signer(found, ["", second]) == renewed
    assert bundle.of_signer(found[1:], []) == renewed
    assert bundle.of_signer(found, [first, second]) == one.facts


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(ONE[:-1] + TWO, "joins two PEM blocks without a newline", id="joined without a newline"),
        pytest.param(b"  " + ONE.replace(b"\n", b"\n  "), "holds an indented PEM marker", id="indented"),
        pytest.param(b"text " + ONE, "does not stand alone", id="text before on the line"),
        pytest.param(
            ONE.replace(b"END CERTIFICATE-----", b"END CERTIFICATE----- x"), "does not stand alone", id="after"
        ),
        pytest.param(ONE.replace(b"CERTIFICATE-", b"TRUSTED CERTIFICATE-"), "'TRUSTED CERTIFICATE'", id="trusted"),
        pytest.param(ONE.replace(b"BEGIN CERTIFICATE-----", b"BEGIN CERTIFICATE-----\nA: b"), "headers", id="headers"),
        pytest.param(ONE[:300], "has no end: the file is truncated", id="truncated"),
        pytest.param(ONE.splitlines(keepends=True)[-1] + ONE, "belongs to no block", id="an end without a beginning"),
        pytest.param(ONE[:300] + b"?" + ONE[300:], "not valid base64", id="damaged"),
        pytest.param(pem.encode("CERTIFICATE", b"0\x03\x02\x01\x01"), "cannot be read", id="no certificate inside"),
        pytest.param(ONE.replace(b"END CERTIFICATE", b"END PUBLIC KEY"), "belongs to no block", id="another end"),
        pytest.param(b"", "holds no certificate", id="empty"),
        pytest.param(b"nothing\n", "holds no certificate", id="text only"),
        pytest.param(ONE + keys.public_pem(key()), "holds a 'PUBLIC KEY'", id="something else as well"),
        pytest.param(
            ONE + pem.encode("CERTIFICATE", with_negative_serial(Odd(extensions=AUTHORITY_EXTENSIONS).der())),
            "its serial number is negative",
            id="negative serial number",
        ),
        pytest.param(
            ONE + pem.encode("CERTIFICATE", Odd(extensions=[*AUTHORITY_EXTENSIONS, CRITICAL_KEY_ID]).der()),
            "its key identifier is marked critical",
            id="critical key identifier",
        ),
        pytest.param(
            ONE + pem.encode("CERTIFICATE", Odd(extensions=[alternative(MAPPED)]).der()),
            "it names the IPv4 address 192.0.2.10 as an IPv6 address",
            id="mapped address",
        ),
    ],
)
def test_what_go_would_not_read_whole_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(HardeningError, match="left as it was") as refusal:
        bundle.parse(data, "/pki/ca.crt")
    assert sentence in str(refusal.value)
    assert "/pki/ca.crt" in str(refusal.value)


def test_joining_keeps_order_and_drops_doubles() -> None:
    one, two = root().facts, root("other", number=5).facts
    joined = bundle.join([two, one, two])
    assert [facts.fingerprint for facts in bundle.parse(joined, "here")] == [two.fingerprint, one.fingerprint]
    assert joined == TWO + ONE


def test_the_certificate_of_the_key_comes_first() -> None:
    one, two = root().facts, root("other", number=5).facts
    assert bundle.signer_first([one, two], two.public_key) == [two, one]
    assert bundle.signer_first([one, two], one.public_key) == [one, two]
    assert bundle.signing_certificate([one, two], two.public_key, "ca.crt") == two
    with pytest.raises(HardeningError, match=r"No certificate in ca\.crt belongs to the authority's key"):
        bundle.signing_certificate([one], two.public_key, "ca.crt")


@given(st.binary(max_size=400), st.sampled_from(["CERTIFICATE", "EC PRIVATE KEY"]))
def test_what_is_encoded_reads_back(data: bytes, label: str) -> None:
    (block,) = pem.blocks(pem.encode(label, data), "here")
    assert (block.label, block.der, block.has_headers) == (label, data, False)
    assert block.text == pem.encode(label, data)


@settings(max_examples=200)
@given(st.integers(0, len(root().facts.der) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_with_a_sentence(position: int, value: int) -> None:
    changed = bytearray(root().facts.der)
    changed[position] = value
    # Anything else that is raised fails the test.
    with contextlib.suppress(HardeningError):
        profile.from_der(bytes(changed), "here")


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    with pytest.raises(der.DerError):
        der.raw_certificate(data)
