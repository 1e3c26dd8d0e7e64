# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making certificates and signing requests: one builder for all of them.

What is made satisfies three verifiers at once. Go: the authority's subject as parsed, byte for byte. OpenSSL's strict
mode and Python from 3.13 on: key identifiers on both sides, critical basic constraints and key usage. The clocks of a
cluster's hosts differ and Go knows no leeway, so every certificate begins five minutes ago.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, pem, profile as profiles
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, Profile

BACKDATE = 300
DAY = 86400
AUTHORITY_LIFETIME = 3650 * DAY
LEAF_LIFETIME = 365 * DAY
# Shorter certificates could not be renewed in time, and the backdate would be a large part of their life.
MINIMUM_LIFETIME = 3600
_EPOCH = datetime(1970, 1, 1)
# Of the names that are neither DNS names nor addresses, those that an adopted certificate keeps when it is renewed.
_OTHER_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (x509.RFC822Name, x509.UniformResourceIdentifier)}
_EXTENDED_USAGE_OIDS = {name: x509.ObjectIdentifier(oid) for oid, name in profiles.EXTENDED_USAGES.items()}


@dataclass(frozen=True)
class Authority:
    """A certificate that signs. `above` are the certificates over it, up to the root where that is known."""

    facts: CertificateFacts
    # None where it can be verified with, but not signed: on every host that must not have the key.
    key: keys.PrivateKey | None = field(default=None, repr=False, compare=False)
    above: tuple[CertificateFacts, ...] = field(default=(), repr=False)

    @property
    def chain(self) -> tuple[CertificateFacts, ...]:
        """What a server or client sends after its own certificate: every certificate of an intermediate, no root."""
        return tuple(facts for facts in (self.facts, *self.above) if not facts.is_self_issued)


def certificate_pem(facts: CertificateFacts, chain: Sequence[CertificateFacts] = ()) -> bytes:
    """The certificate and what follows it in the file of a server or client, each block on lines of its own."""
    return b"".join(pem.encode("CERTIFICATE", one.der) for one in (facts, *chain))


def self_signed_authority(
    profile: Profile, key: keys.PrivateKey, now: float, lifetime: float = AUTHORITY_LIFETIME, serial: int | None = None
) -> CertificateFacts:
    """A root. `now` is in seconds since 1970, `lifetime` in seconds, `serial` is drawn at random when not given."""
    return _issue(
        profile, keys.public_bytes(key), profile.subject.parsed, key, None, (now, now + _checked(lifetime)), serial
    )


def issue(
    profile: Profile,
    public_key: bytes,
    authority: Authority,
    now: float,
    lifetime: float = LEAF_LIFETIME,
    serial: int | None = None,
) -> CertificateFacts:
    """A certificate for `public_key` (SubjectPublicKeyInfo): a leaf or, for a profile of an authority, an intermediate.

    It ends with its authority at the latest: from then on nothing below that authority is valid anyway.
    """
    if authority.key is None:
        raise HardeningError(
            "KH305",
            f"The key of the authority '{authority.facts.profile.subject}' is not on this host; nothing was signed. "
            "Sign where the key is.",
        )
    end = min(now + _checked(lifetime), authority.facts.not_after)
    facts = _issue(
        profile, public_key, authority.facts.certificate.subject, authority.key, authority.facts, (now, end), serial
    )
    if facts.profile.issuer != authority.facts.profile.subject.raw:
        raise HardeningError(
            "KH305",
            f"The subject of the authority '{authority.facts.profile.subject}' is encoded in a way that cannot be "
            "repeated byte "
            "for byte, so Go would not accept what it signs; nothing was changed. Have its certificate issued anew.",
        )
    return facts


def _checked(lifetime: float) -> float:
    if lifetime < MINIMUM_LIFETIME:
        raise HardeningError(
            "KH301",
            f"A lifetime of {int(lifetime)} seconds is too short to renew a certificate in time; nothing was changed. "
            f"Use at least {MINIMUM_LIFETIME} seconds.",
        )
    return lifetime


def _issue(
    profile: Profile,
    public_key: bytes,
    issuer: x509.Name,
    signing_key: keys.PrivateKey,
    authority: CertificateFacts | None,
    period: tuple[float, float],
    serial: int | None,
) -> CertificateFacts:
    public: Any = serialization.load_der_public_key(public_key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject.parsed)
        .issuer_name(issuer)
        .public_key(public)
        # 159 random bits: positive, and at most 20 octets.
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(_datetime(period[0] - BACKDATE))
        .not_valid_after(_datetime(period[1]))
    )
    for extension, critical in _profile_extensions(profile, keys.algorithm_name(public)):
        builder = builder.add_extension(extension, critical)
    own_id = x509.SubjectKeyIdentifier.from_public_key(public)
    builder = builder.add_extension(own_id, critical=False)
    builder = builder.add_extension(_authority_key_id(authority, own_id), critical=False)
    certificate = builder.sign(signing_key, keys.signature_hash(signing_key))
    return profiles.from_der(certificate.public_bytes(serialization.Encoding.DER), "the new certificate")


def _datetime(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=int(seconds))


def _authority_key_id(
    authority: CertificateFacts | None, own_id: x509.SubjectKeyIdentifier
) -> x509.AuthorityKeyIdentifier:
    """The authority's subject key identifier, copied: Go since 1.25 computes it by another rule than cryptography, and
    OpenSSL and Python refuse a chain whose two identifiers differ."""
    if authority is None:
        key_id = own_id.digest
    elif authority.subject_key_id is not None:
        key_id = authority.subject_key_id
    else:
        key_id = x509.SubjectKeyIdentifier.from_public_key(authority.certificate.public_key()).digest
    return x509.AuthorityKeyIdentifier(key_id, None, None)


def _profile_extensions(profile: Profile, algorithm: str) -> list[tuple[x509.ExtensionType, bool]]:
    """The extensions that stand in a certificate as in the request for it, each with whether it is critical."""
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.is_authority, path_length=profile.path_length), True),
        (_key_usage(profile.key_usages or profiles.leaf_key_usages(algorithm)), True),
    ]
    if profile.extended_usages:
        usages = [
            _EXTENDED_USAGE_OIDS.get(name) or x509.ObjectIdentifier(name) for name in sorted(profile.extended_usages)
        ]
        found.append((x509.ExtendedKeyUsage(usages), False))
    if profile.names or writable(profile.other_names):
        found.append((_alternative_names(profile), False))
    return found


def _key_usage(usages: frozenset[str]) -> x509.KeyUsage:
    values = {attribute: name in usages for name, attribute in profiles.KEY_USAGE_ATTRIBUTES.items()}
    return x509.KeyUsage(encipher_only=False, decipher_only=False, **values)


def writable(other_names: Iterable[str]) -> frozenset[str]:
    """Those of a certificate's names of other kinds that a new one can have too."""
    return frozenset(name for name in other_names if name.partition(":")[0] in _OTHER_KINDS)


def _alternative_names(profile: Profile) -> x509.SubjectAlternativeName:
    entries: list[x509.GeneralName] = [x509.DNSName(name) for name in sorted(profile.names.dns)]
    entries.extend(x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(profile.names.addresses))
    for name in sorted(writable(profile.other_names)):
        kind, _dummy, value = name.partition(":")
        entries.append(_OTHER_KINDS[kind](value))
    return x509.SubjectAlternativeName(entries)


@dataclass(frozen=True)
class RequestFacts:
    """What a signing request asks for; its own signature has been verified, so the requester has the private key."""

    profile: Profile
    public_key: bytes = field(repr=False)


def signing_request(profile: Profile, key: keys.PrivateKey) -> bytes:
    """A PKCS#10 request in PEM for a certificate with this profile."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(profile.subject.parsed)
    for extension, critical in _profile_extensions(profile, keys.algorithm_name(key)):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, keys.signature_hash(key)).public_bytes(serialization.Encoding.PEM)


def read_request(data: bytes, where: str) -> RequestFacts:
    """HardeningError when `data` is no single request or its signature does not fit its key."""
    found = [
        block for block in pem.blocks(data, where) if block.label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
    ]
    if len(found) != 1:
        raise HardeningError(
            "KH308", f"{where} holds {len(found)} signing requests instead of one; nothing was signed. Make it anew."
        )
    try:
        request = x509.load_der_x509_csr(found[0].der)
        is_valid = request.is_signature_valid
        with warnings.catch_warnings():
            # Of the library about the length of a name, which Go does not mind.
            warnings.simplefilter("ignore")
            content = profiles.request_profile(request)
    except (ValueError, x509.DuplicateExtension) as error:
        raise HardeningError(
            "KH308", f"The signing request in {where} cannot be read ({error}); nothing was signed. Make it anew."
        ) from None
    if not is_valid:
        raise HardeningError(
            "KH308",
            f"The signing request in {where} is not signed by the key that it names; nothing was signed. Make it anew.",
        )
    return RequestFacts(content, keys.public_bytes(request.public_key()))


def is_signed_by(facts: CertificateFacts, authority: CertificateFacts) -> bool:
    """Whether the signature of `facts` was made by the key of `authority`."""
    public: Any = authority.certificate.public_key()
    digest: hashes.HashAlgorithm | None = facts.certificate.signature_hash_algorithm
    signature, content = facts.certificate.signature, facts.certificate.tbs_certificate_bytes
    if digest is None:
        return False
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, content, padding.PKCS1v15(), digest)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, content, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True
