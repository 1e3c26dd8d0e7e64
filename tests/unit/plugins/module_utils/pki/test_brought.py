# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that the user brings: what is taken, and each thing for which one is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, brought, bundle, keys
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import wanted_authority
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    DAY,
    NOW,
    Odd,
    common_name,
    from_start,
    leaf,
    moment,
    root,
    server_profile,
)

WHERE = "/home/me/ca.crt"


def three() -> tuple[Authority, Authority, Authority]:
    """A root, an authority below it, and one below that."""
    middle = authority.create_below(wanted_authority("middle"), root(), NOW)
    return root(), middle, authority.create_below(wanted_authority("kubernetes below"), middle, NOW)


def test_a_root_and_its_key() -> None:
    found = brought.read(bundle.join([root().facts]), WHERE, NOW)
    assert (found.facts.fingerprint, found.above, found.chain) == (root().facts.fingerprint, (), ())
    whole = brought.with_key(found, authority.files(root())[1], "ca.key", WHERE, None)
    assert authority.files(whole) == authority.files(root())


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_an_intermediate_with_those_above_it_in_any_order(order: Sequence[int]) -> None:
    top, middle, own = three()
    above = [middle.facts, top.facts]
    found = brought.read(bundle.join([own.facts, *(above[number] for number in order)]), WHERE, NOW)
    assert [facts.fingerprint for facts in found.above] == [facts.fingerprint for facts in above]
    # A root is not sent: who verifies has it.
    assert found.chain == (own.facts, middle.facts)


def test_an_intermediate_alone_is_one_too() -> None:
    own = three()[2]
    assert brought.read(bundle.join([own.facts]), WHERE, NOW).chain == (own.facts,)


def test_a_passphrase_opens_its_key_and_the_key_is_laid_without() -> None:
    found = brought.read(bundle.join([root().facts]), WHERE, NOW)
    encrypted = authority.files(root(), b"open sesame")[1]
    whole = brought.with_key(found, encrypted, "ca.key", WHERE, b"open sesame")
    assert authority.files(whole)[1] == authority.files(root())[1]


def _no_room() -> bytes:
    narrow = authority.create(wanted_authority("narrow", path_length=0), NOW)
    # The builder refuses to make one, so one that somebody else made stands in for it.
    other = replace(narrow, facts=replace(narrow.facts, profile=replace(narrow.facts.profile, path_length=None)))
    below = authority.create_below(wanted_authority("below"), other, NOW)
    return bundle.join([below.facts, narrow.facts])


def _joined() -> bytes:
    return bundle.join([root().facts]).rstrip() + bundle.join([root(number=1).facts])


def _weak() -> bytes:
    own = rsa.generate_private_key(65537, 1024)  # noqa: S505  (a weak key is the case)
    builder = x509.CertificateBuilder().subject_name(common_name("weak")).issuer_name(common_name("weak"))
    builder = builder.public_key(own.public_key()).serial_number(1 << 64)
    builder = builder.not_valid_before(moment(NOW - DAY)).not_valid_after(moment(NOW + 90 * DAY))
    for extension, critical in AUTHORITY_EXTENSIONS:
        builder = builder.add_extension(extension, critical)
    return builder.sign(own, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _odd(**changes: object) -> Callable[[], bytes]:
    return lambda: bundle.join([Odd(**changes).facts()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(lambda: b"", "holds no certificate", id="empty"),
        pytest.param(lambda: bundle.join([root().facts])[:200], "has no end", id="truncated"),
        pytest.param(_joined, "without a newline", id="joined without a newline"),
        pytest.param(lambda: authority.files(root())[1], "holds a 'EC PRIVATE KEY'", id="a key"),
        pytest.param(lambda: bundle.join([leaf(server_profile())]), "not one of an authority", id="a leaf"),
        pytest.param(
            _odd(extensions=AUTHORITY_EXTENSIONS, start=NOW - 9 * DAY, end=NOW - DAY), "it ended on", id="ended"
        ),
        pytest.param(_odd(extensions=AUTHORITY_EXTENSIONS, start=NOW + DAY), "it begins only on", id="not begun"),
        pytest.param(_weak, "1024 bits is weak", id="weak"),
        pytest.param(
            lambda: bundle.join([root().facts, root("other", number=3).facts]), "is not above the authority", id="other"
        ),
        pytest.param(_no_room, "its path length is 0, but 1 authorities would be below it", id="path length"),
    ],
)
def test_what_is_refused(data: Callable[[], bytes], sentence: str) -> None:
    with pytest.raises(HardeningError) as refusal:
        brought.read(data(), WHERE, NOW)
    assert sentence in str(refusal.value)
    assert WHERE in str(refusal.value)


def test_one_above_that_has_ended_is_refused() -> None:
    above = authority.create(wanted_authority("old"), NOW - 20 * DAY, lifetime=10 * DAY)
    own = authority.create_below(wanted_authority("below"), above, NOW - 15 * DAY, lifetime=5 * DAY)
    longer = Odd("below", issuer=above.facts.certificate.subject, extensions=AUTHORITY_EXTENSIONS, signer=above.key)
    assert own.facts.not_after < NOW
    with pytest.raises(HardeningError, match=r"'CN=old' in /home/me/ca.crt cannot sign: it ended on"):
        brought.read(bundle.join([longer.facts(), above.facts]), WHERE, NOW)


@pytest.mark.parametrize(
    ("key", "passphrase", "sentence"),
    [
        pytest.param(lambda: authority.files(root(), b"right")[1], None, "no passphrase was given", id="none given"),
        pytest.param(lambda: authority.files(root(), b"right")[1], b"wrong", "does not open the key", id="a wrong one"),
        pytest.param(lambda: keys.private_pem(keys.generate("ECDSA-P256")), None, "does not belong", id="another key"),
        pytest.param(lambda: authority.files(root())[1][:100], None, "truncated", id="truncated"),
        pytest.param(lambda: b"nothing", None, "no private key", id="no key"),
    ],
)
def test_keys_that_are_refused(key: Callable[[], bytes], passphrase: bytes | None, sentence: str) -> None:
    found = brought.read(bundle.join([root().facts]), WHERE, NOW)
    with pytest.raises(HardeningError) as refusal:
        brought.with_key(found, key(), "/home/me/ca.key", WHERE, passphrase)
    assert sentence in str(refusal.value)
    assert "/home/me/ca.key" in str(refusal.value)


def test_another_than_what_is_there_is_refused() -> None:
    found = brought.read(bundle.join([root().facts]), WHERE, NOW)
    brought.another("kubernetes", found, [root(number=5).facts, root().facts], "ca.crt")
    with pytest.raises(HardeningError, match="never replaced"):
        brought.another("kubernetes", found, [root(number=5).facts], "ca.crt")


def test_what_is_below_it_must_be_its_own_and_allowed() -> None:
    found = brought.read(bundle.join([root().facts]), WHERE, NOW)
    itself = authority.create(wanted_authority("kubelet@1"), NOW).facts
    kubelets = from_start("cp1", keys.generate("ECDSA-P256"))
    for present in (leaf(server_profile()), itself, kubelets):
        brought.unfit_for(found, [(server_profile(), present)], WHERE)
    with pytest.raises(HardeningError, match="was not issued by"):
        brought.unfit_for(found, [(server_profile(), leaf(server_profile(), root(number=5)))], WHERE)
    only = x509.NameConstraints([x509.DNSName("example.net")], None), True
    narrow = Odd(extensions=[*AUTHORITY_EXTENSIONS, only]).facts()
    with pytest.raises(HardeningError, match="do not permit the name"):
        brought.unfit_for(replace(found, facts=narrow), [(server_profile(), None)], WHERE)
    with pytest.raises(HardeningError, match="do not permit the name"):
        brought.unfit_for(replace(found, above=(narrow,)), [(server_profile(), None)], WHERE)
