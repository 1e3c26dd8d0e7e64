# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate should be and what one is, as values of the same type.

`Profile` is that type. `wanted()` makes one from what the cluster needs, `CertificateFacts.profile` holds one read from
a certificate; whether the certificate will do is decided by comparing the two.
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import ipaddress
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import der as der_reader, keys, pem
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, Names

# RFC 5280, 4.2.1.3: the name in the standard and the attribute of x509.KeyUsage.
KEY_USAGE_ATTRIBUTES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}
SERVER = "serverAuth"
CLIENT = "clientAuth"
ANY = "anyExtendedKeyUsage"
EXTENDED_USAGES = {"1.3.6.1.5.5.7.3.1": SERVER, "1.3.6.1.5.5.7.3.2": CLIENT, "2.5.29.37.0": ANY}
AUTHORITY_USAGES = frozenset({"digitalSignature", "keyCertSign", "cRLSign"})

_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
_KEY_IDENTIFIERS = (x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)
_COMMON_NAME = NameOID.COMMON_NAME.dotted_string
_ORGANIZATION = NameOID.ORGANIZATION_NAME.dotted_string
# RFC 5280, ub-common-name and ub-organization-name; new releases of cryptography refuse to build longer ones.
_MAXIMUM_NAME_LENGTH = 64
# What client-go (cert.GenerateSelfSignedCertKey) calls a certificate that a component makes for itself, and the
# authority that signs it and is kept nowhere.
_MADE_FOR_ITSELF = re.compile(r"CN=(.+)@\d+")
_MADE_TO_SIGN_IT = re.compile(r"CN=(.+)-ca@\d+")


@dataclass(frozen=True, eq=False)
class DistinguishedName:
    """A subject or issuer: `attributes` to read (dotted OID, value), `raw` the DER bytes that Go compares.

    Two are equal when they hold the same attributes, whatever their order and string types: for Kubernetes the common
    name is the user and each organization a group. Whether an issuer *is* an authority's subject is asked of `raw`
    instead.
    """

    attributes: tuple[tuple[str, str], ...]
    raw: bytes = field(repr=False)
    # As parsed, so that a certificate built with it repeats its string types (PrintableString of Go, UTF8String of
    # others).
    parsed: x509.Name = field(repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DistinguishedName):
            return NotImplemented
        return frozenset(self.attributes) == frozenset(other.attributes)

    def __hash__(self) -> int:
        return hash(frozenset(self.attributes))

    def __str__(self) -> str:
        return ", ".join(f"{_SHORT_NAMES.get(oid, oid)}={value}" for oid, value in self.attributes) or "empty"

    def _values(self, oid: str) -> list[str]:
        return [value for name, value in self.attributes if name == oid]

    @property
    def common_name(self) -> str:
        """The last common name, as Go takes it; empty when there is none."""
        return (self._values(_COMMON_NAME) or [""])[-1]

    @property
    def organizations(self) -> tuple[str, ...]:
        return tuple(self._values(_ORGANIZATION))


def distinguished_name(common_name: str, organizations: Sequence[str] = ()) -> DistinguishedName:
    """A new name, organizations first as Go orders them. HardeningError when a part is empty or too long for X.509."""
    for value in (common_name, *organizations):
        if not 1 <= len(value) <= _MAXIMUM_NAME_LENGTH:
            raise HardeningError(
                "KH301",
                f"'{value}' cannot stand in the subject of a certificate: X.509 allows 1 to {_MAXIMUM_NAME_LENGTH} "
                "characters. Nothing was changed; give the node or the group a shorter name.",
            )
    relative = [x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])]
    if organizations:
        # Go puts several organizations into one multi-valued part.
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in sorted(set(organizations))]
        relative.insert(0, x509.RelativeDistinguishedName(attributes))
    return _from_name(x509.Name(relative))


def _from_name(name: x509.Name, raw: bytes | None = None) -> DistinguishedName:
    attributes = tuple((attribute.oid.dotted_string, str(attribute.value)) for attribute in name)
    return DistinguishedName(attributes, name.public_bytes() if raw is None else raw, name)


def is_from_start(subject: x509.Name, issuer: x509.Name) -> bool:
    """Whether a component made a certificate for itself when it started and found none, as client-go has it."""
    own = _MADE_FOR_ITSELF.fullmatch(subject.rfc4514_string())
    signer = _MADE_TO_SIGN_IT.fullmatch(issuer.rfc4514_string())
    return own is not None and signer is not None and own[1] == signer[1]


@dataclass(frozen=True)
class Profile:
    """The content of a certificate that decides whether it will do; equality is the decision.

    `key_algorithm`, `issuer` and `authority_key_id` are None in a wanted profile for as long as nobody has said which.
    """

    subject: DistinguishedName
    names: Names = NO_NAMES
    key_usages: frozenset[str] = frozenset()
    extended_usages: frozenset[str] = frozenset()
    is_authority: bool = False
    path_length: int | None = None
    key_algorithm: str | None = None
    # The raw bytes of the authority's subject, and its subject key identifier.
    issuer: bytes | None = field(default=None, repr=False)
    authority_key_id: bytes | None = field(default=None, repr=False)
    # Names of other kinds, each ``kind:value`` with the kind's name in x509 (RFC822Name, UniformResourceIdentifier).
    # No certificate of a cluster needs one; an adopted certificate may have some.
    other_names: frozenset[str] = frozenset()


def leaf_key_usages(algorithm: str) -> frozenset[str]:
    """digitalSignature, and keyEncipherment for RSA only: RFC 5480 forbids it for elliptic curves."""
    usages = {"digitalSignature"}
    return frozenset(usages | {"keyEncipherment"} if algorithm.startswith("RSA") else usages)


def wanted(
    common_name: str,
    organizations: Sequence[str] = (),
    names: Names = NO_NAMES,
    usages: Sequence[str] = (),
) -> Profile:
    """The profile of a leaf, its key algorithm left open; `usages` are SERVER, CLIENT or both."""
    return Profile(
        subject=distinguished_name(common_name, organizations),
        names=names,
        key_usages=leaf_key_usages(keys.DEFAULT_ALGORITHM),
        extended_usages=frozenset(usages),
    )


def wanted_authority(common_name: str, organizations: Sequence[str] = (), path_length: int | None = None) -> Profile:
    """The profile of an authority: no extended usage, which would restrict every leaf; no path length unless asked for,
    because 0 makes it impossible to cross-sign the next authority."""
    return Profile(
        subject=distinguished_name(common_name, organizations),
        key_usages=AUTHORITY_USAGES,
        is_authority=True,
        path_length=path_length,
    )


@dataclass(frozen=True)
class CertificateFacts:
    """One certificate: its profile and what is its alone. Times are seconds since 1970; nothing in here is secret."""

    profile: Profile
    issuer: DistinguishedName
    serial_number: int
    not_before: int
    not_after: int
    public_key: bytes = field(repr=False)
    subject_key_id: bytes | None = field(repr=False)
    signature_hash: str
    version: int
    # Why Go cannot read this certificate, nor a bundle with it; empty when it can.
    defects: tuple[str, ...]
    der: bytes = field(repr=False)
    certificate: x509.Certificate = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the whole certificate in hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def is_self_issued(self) -> bool:
        return self.profile.issuer == self.profile.subject.raw

    @property
    def is_self_made(self) -> bool:
        """Whether no authority that anybody keeps has signed it, so that it says nothing that a cluster agreed to."""
        return self.is_self_issued or is_from_start(self.profile.subject.parsed, self.issuer.parsed)

    def public_facts(self) -> Any:
        """What a diff or a report shows."""
        profile = self.profile
        return {
            "subject": str(profile.subject),
            "issuer": str(self.issuer),
            "names": sorted(profile.names.dns) + sorted(profile.names.addresses),
            "key_usages": sorted(profile.key_usages),
            "extended_usages": sorted(profile.extended_usages),
            "authority": profile.is_authority,
            "key_algorithm": profile.key_algorithm,
            "serial_number": f"{self.serial_number:x}",
            "not_before": iso_time(self.not_before),
            "not_after": iso_time(self.not_after),
            "fingerprint_sha256": self.fingerprint,
        }


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as in 2027-11-24T10:09:57Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def from_pem(data: bytes, where: str) -> CertificateFacts:
    """The first certificate in `data`, which is the one a server presents. HardeningError when there is none."""
    for block in pem.blocks(data, where):
        if block.label == "CERTIFICATE" and not block.has_headers:
            return from_der(block.der, where)
    raise HardeningError(
        "KH303", f"{where} holds no certificate; it was left as it was. Put the certificate there or remove the file."
    )


# cryptography 36 and others raise KeyError for a string type that they do not know.
_UNREADABLE = (ValueError, KeyError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


# A plan, its proof and its diff read the same certificate; an authority's is on every host.
@functools.lru_cache(maxsize=256)
def from_der(data: bytes, where: str) -> CertificateFacts:
    """HardeningError when `data` is no certificate. Whether Go could read it stands in `defects`."""
    try:
        raw = der_reader.raw_certificate(data)
        with warnings.catch_warnings():
            # Deprecation warnings of the library about a serial number or a name's length: these are judged here.
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(data)
            return _facts(certificate, raw, data)
    except _UNREADABLE as error:
        raise HardeningError(
            "KH303",
            f"A certificate in {where} cannot be read ({error}). The file was left as it was; replace that "
            "certificate.",
        ) from None


def _facts(certificate: x509.Certificate, raw: der_reader.RawCertificate, data: bytes) -> CertificateFacts:
    extensions = certificate.extensions
    authority_key = _extension(extensions, x509.AuthorityKeyIdentifier)
    subject_key = _extension(extensions, x509.SubjectKeyIdentifier)
    public_key = certificate.public_key()
    algorithm = certificate.signature_hash_algorithm
    profile = replace(
        _content(_from_name(certificate.subject, raw.subject), extensions, public_key),
        issuer=raw.issuer,
        authority_key_id=authority_key.key_identifier if authority_key else None,
    )
    return CertificateFacts(
        profile=profile,
        issuer=_from_name(certificate.issuer, raw.issuer),
        serial_number=int.from_bytes(raw.serial, "big", signed=True),
        not_before=_time(certificate, "not_valid_before"),
        not_after=_time(certificate, "not_valid_after"),
        public_key=keys.public_bytes(public_key),
        subject_key_id=subject_key.digest if subject_key else None,
        signature_hash=algorithm.name if algorithm else "",
        version=certificate.version.value + 1,
        defects=tuple(_defects(extensions, raw, profile.names)),
        der=data,
        certificate=certificate,
    )


def _content(subject: DistinguishedName, extensions: x509.Extensions, public_key: Any) -> Profile:
    """What a certificate and a request for one have in common."""
    names, other_names = _alternative_names(extensions)
    constraints = _extension(extensions, x509.BasicConstraints)
    return Profile(
        subject=subject,
        names=names,
        key_usages=_key_usages(extensions),
        extended_usages=_extended_usages(extensions),
        is_authority=bool(constraints and constraints.ca),
        path_length=constraints.path_length if constraints else None,
        key_algorithm=keys.algorithm_name(public_key),
        other_names=other_names,
    )


def request_profile(request: x509.CertificateSigningRequest) -> Profile:
    """What a signing request asks for."""
    return _content(_from_name(request.subject), request.extensions, request.public_key())


def _time(certificate: x509.Certificate, name: str) -> int:
    # cryptography 42 brought times with a zone and deprecated those without.
    value = getattr(certificate, name + "_utc", None)
    if value is None:
        value = getattr(certificate, name)
    return calendar.timegm(value.utctimetuple())


def _extension(extensions: x509.Extensions, kind: Any) -> Any:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_usages(extensions: x509.Extensions) -> frozenset[str]:
    usage = _extension(extensions, x509.KeyUsage)
    if usage is None:
        return frozenset()
    return frozenset(name for name, attribute in KEY_USAGE_ATTRIBUTES.items() if getattr(usage, attribute))


def _extended_usages(extensions: x509.Extensions) -> frozenset[str]:
    usage = _extension(extensions, x509.ExtendedKeyUsage)
    if usage is None:
        return frozenset()
    return frozenset(EXTENDED_USAGES.get(item.dotted_string, item.dotted_string) for item in usage)


def _alternative_names(extensions: x509.Extensions) -> tuple[Names, frozenset[str]]:
    alternative = _extension(extensions, x509.SubjectAlternativeName)
    dns = set()
    addresses = set()
    others = set()
    for name in alternative or ():
        if isinstance(name, x509.DNSName):
            # Not normalised but for the case: what is in a certificate is reported as it is.
            dns.add(name.value.lower())
        elif isinstance(name, x509.IPAddress):
            addresses.add(str(name.value))
        else:
            others.add(f"{type(name).__name__}:{name.value}")
    return Names(frozenset(dns), frozenset(addresses)), frozenset(others)


def _defects(extensions: x509.Extensions, raw: der_reader.RawCertificate, names: Names) -> list[str]:
    """Go's parser (crypto/x509/parser.go): each of these makes the whole bundle unreadable."""
    found = []
    if raw.serial_is_negative:
        found.append("its serial number is negative, which Go refuses since 1.23")
    if any(extension.critical and isinstance(extension.value, _KEY_IDENTIFIERS) for extension in extensions):
        found.append("its key identifier is marked critical, which Go refuses since 1.24")
    for address in sorted(names.addresses):
        mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
        if mapped is not None:
            found.append(f"it names the IPv4 address {mapped} as an IPv6 address, which Go refuses since 1.27")
    return found
