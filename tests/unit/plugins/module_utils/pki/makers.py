# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this room are made of: a cluster, its authorities, and certificates that nobody should have."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, issue, keys, layout, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    CLIENT,
    SERVER,
    CertificateFacts,
    Profile,
    from_der,
    wanted,
    wanted_authority,
)

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DAY = 86400.0

CLUSTER = layout.ClusterFacts(
    control_planes=(
        layout.HostFacts("cp1", ("192.0.2.11",)),
        layout.HostFacts("cp2", ("192.0.2.12",)),
    ),
    nodes=(layout.HostFacts("worker1", ("192.0.2.21", "2001:db8::21")),),
    load_balancer="lb.example.org:6443",
    extra_names=("api.example.org", "198.51.100.7"),
)


def key(algorithm: str = "ECDSA-P256", number: int = 0) -> keys.PrivateKey:
    """The same key for the same arguments: making RSA keys takes long."""
    return _key(algorithm, number)


@cache
def _key(algorithm: str, number: int) -> keys.PrivateKey:  # noqa: ARG001
    return keys.generate(algorithm)


def root(name: str = "kubernetes", algorithm: str = "ECDSA-P256", number: int = 0) -> Authority:
    """An authority that was made a year before NOW and ends nine years after; the same for the same arguments."""
    return _root(name, algorithm, number)


@cache
def _root(name: str, algorithm: str, number: int) -> Authority:
    own = key(algorithm, 100 + number)
    return Authority(issue.self_signed_authority(wanted_authority(name), own, NOW - 365 * DAY), own)


def three_roots() -> dict[str, Authority]:
    return {
        layout.KUBERNETES: root("kubernetes"),
        layout.ETCD_AUTHORITY: root("etcd-ca", number=1),
        layout.FRONT_PROXY: root("front-proxy-ca", number=2),
    }


def from_start(host: str, its_key: keys.PrivateKey, now: float = NOW) -> CertificateFacts:
    """As client-go makes one for a component that starts and finds none."""
    signer = authority.create(wanted_authority(f"{host}-ca@{now:.0f}"), now)
    what = wanted(f"{host}@{now:.0f}", (), Names(frozenset({host})), (SERVER,))
    what = replace(what, key_usages=profile.leaf_key_usages(keys.algorithm_name(its_key)))
    return issue.issue(what, keys.public_bytes(its_key), signer, now, 365 * DAY)


def server_profile(names: Names = NO_NAMES) -> Profile:
    return wanted("server", (), names or Names(frozenset({"server.example.org"})), (SERVER,))


def client_profile() -> Profile:
    return wanted("client", ("group",), NO_NAMES, (CLIENT,))


def leaf(
    what: Profile,
    signer: Authority | None = None,
    age: float = 0,
    lifetime: float = 365 * DAY,
    algorithm: str = "ECDSA-P256",
) -> CertificateFacts:
    """A leaf issued `age` seconds before NOW."""
    usages = profile.leaf_key_usages(algorithm)
    return issue.issue(
        replace(what, key_usages=usages), keys.public_bytes(key(algorithm)), signer or root(), NOW - age, lifetime
    )


@dataclass
class Odd:
    """A certificate put together by hand, with every mistake that the builder of the product does not make."""

    subject: Any = "odd"
    issuer: Any = None
    extensions: Sequence[tuple[Any, bool]] = field(default_factory=list)
    start: float = NOW - 300
    end: float = NOW + 365 * DAY
    serial: int = 1234567890123456789
    algorithm: str = "ECDSA-P256"
    signer: Any = None
    digest: Any = None

    def facts(self) -> CertificateFacts:
        return from_der(self.der(), "the odd certificate")

    def der(self) -> bytes:
        own = key(self.algorithm)
        subject = self.subject if isinstance(self.subject, x509.Name) else common_name(self.subject)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.issuer or subject)
            .public_key(own.public_key())
            .serial_number(self.serial)
            .not_valid_before(moment(self.start))
            .not_valid_after(moment(self.end))
        )
        for extension, critical in self.extensions:
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(self.signer or own, self.digest or hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)


def common_name(value: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value)])


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(seconds))


def usage(*names: str) -> tuple[x509.KeyUsage, bool]:
    values = {attribute: name in names for name, attribute in profile.KEY_USAGE_ATTRIBUTES.items()}
    return x509.KeyUsage(encipher_only=False, decipher_only=False, **values), True


def alternative(*names: str) -> tuple[x509.SubjectAlternativeName, bool]:
    entries: list[x509.GeneralName] = []
    for name in names:
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            entries.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(entries), False


AUTHORITY_EXTENSIONS = [(x509.BasicConstraints(True, None), True), usage("keyCertSign", "cRLSign")]


def with_negative_serial(der: bytes) -> bytes:
    """The same certificate with the serial number's sign bit set; its signature no longer fits, which parsers do not
    see."""
    serial = (1234567890123456789).to_bytes(8, "big")
    assert der.count(serial) == 1
    return der.replace(serial, bytes([serial[0] | 0x80]) + serial[1:])


def stored(host: layout.HostPki, signing: dict[str, Authority]) -> dict[str, bytes]:
    """The files of a host's authorities."""
    found: dict[str, bytes] = {}
    for item in host.authorities:
        found[item.path.certificate], found[item.path.key] = authority.files(signing[item.name])
    return found


def bundles(signing: dict[str, Authority]) -> dict[str, bytes]:
    return {name: authority.files(one)[0] for name, one in signing.items()}
