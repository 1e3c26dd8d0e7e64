# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kubelet's request for a serving certificate is what it claims to be. Nobody else approves them."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import typing as t

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

#: The signer; kube-controller-manager signs for it what somebody approved, and approves nothing itself.
SIGNER = "kubernetes.io/kubelet-serving"
#: Usages that the signer admits, and those that must be there.
_USAGES = {"digital signature", "key encipherment", "server auth"}
_REQUIRED = {"digital signature", "server auth"}
#: What cryptography raises for content that makes no sense.
UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_GROUP = "system:nodes"
_PREFIX = "system:node:"


def node_of(request: t.Mapping[str, t.Any]) -> str:
    """Return the node that asks, empty where the requester is no node."""
    name = str((request.get("spec") or {}).get("username", ""))
    return name[len(_PREFIX) :] if name.startswith(_PREFIX) else ""


def is_pending(request: t.Mapping[str, t.Any]) -> bool:
    """Return whether a request for a serving certificate waits for approval."""
    conditions = (request.get("status") or {}).get("conditions") or []
    return (request.get("spec") or {}).get("signerName") == SIGNER and not conditions


def problems(request: t.Mapping[str, t.Any], node: t.Mapping[str, t.Any] | None) -> list[str]:
    """Return why a request must not be approved, one clause each; empty where it may.

    Args:
        request: A CertificateSigningRequest.
        node: The Node object of the requester, None where there is none.
    """
    spec = request.get("spec") or {}
    name = node_of(request)
    if not name or _GROUP not in (spec.get("groups") or []):
        return [f"it was made by {spec.get('username')}, who is no node"]
    if node is None:
        return [f"there is no node {name}"]
    usages = set(spec.get("usages") or [])
    found = []
    if not _REQUIRED <= usages <= _USAGES:
        found.append(f"its usages are {', '.join(sorted(usages))}")
    try:
        wanted = x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request", "")), validate=True))
        extensions = wanted.extensions
    except UNREADABLE:
        return [*found, "it holds no certificate request that can be read"]
    if not wanted.is_signature_valid:
        found.append("it is not signed with its own key")
    return found + _subject_problems(wanted, name) + _name_problems(extensions, node)


def _subject_problems(wanted: x509.CertificateSigningRequest, name: str) -> list[str]:
    common = [str(entry.value) for entry in wanted.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(entry.value) for entry in wanted.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if common != [_PREFIX + name] or groups != [_GROUP] or len(list(wanted.subject)) != 2:
        return [f"its subject is {wanted.subject.rfc4514_string()}, not that of node {name}"]
    return []


def _name_problems(extensions: x509.Extensions, node: t.Mapping[str, t.Any]) -> list[str]:
    """Every name that the certificate is to have must be an address of the node."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["it names no address"]
    addresses = (node.get("status") or {}).get("addresses") or []
    known = {_normal(str(entry.get("address", ""))) for entry in addresses}
    found = []
    for entry in names:
        if not isinstance(entry, (x509.DNSName, x509.IPAddress)):
            found.append(f"it asks for a name of the kind {type(entry).__name__}")
        elif _normal(str(entry.value)) not in known:
            found.append(f"it asks for {entry.value}, which is no address of the node")
    return found if list(names) else ["it names no address"]


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def served_by(certificate: bytes, authority: bytes, node: str, address: str, now: float) -> str:
    """Return what is wrong with a kubelet's certificate, empty where an API server that verifies it accepts it.

    Args:
        certificate: The leaf, DER.
        authority: The cluster's authority, PEM; the first certificate of a bundle counts, and those after it.
        node: The node's name.
        address: The IP address or the name by which API servers reach the kubelet.
        now: Seconds since 1970.
    """
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        addresses, names = _alternative_names(leaf.extensions)
    except UNREADABLE:
        return "its certificate cannot be read"
    common = [str(entry.value) for entry in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common != [_PREFIX + node]:
        return f"its certificate is that of {leaf.subject.rfc4514_string()}"
    if not is_signed_by(certificate, authority):
        return f"its certificate was signed by {leaf.issuer.rfc4514_string()}, not by the cluster's authority"
    begin, end = _moment(leaf, "not_valid_before"), _moment(leaf, "not_valid_after")
    if now < begin.timestamp():
        return f"its certificate holds from {begin:%Y-%m-%dT%H:%M:%SZ} on only"
    if now > end.timestamp():
        return f"its certificate ended on {end:%Y-%m-%dT%H:%M:%SZ}"
    wanted = _normal(address)
    if wanted not in (addresses if _is_address(wanted) else names):
        listed = ", ".join([*addresses, *names]) or "no name"
        return f"its certificate is not for {address}, by which API servers reach it, but for {listed}"
    return ""


def _alternative_names(extensions: x509.Extensions) -> tuple[list[str], list[str]]:
    """Return the IP addresses and the DNS names of a certificate, as they are compared."""
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    addresses, names = (found.get_values_for_type(kind) for kind in (x509.IPAddress, x509.DNSName))
    return [_normal(str(one)) for one in addresses], [_normal(str(one)) for one in names]


def _moment(certificate: x509.Certificate, name: str) -> datetime.datetime:
    # cryptography 42 brought times with a zone and deprecated those without.
    value = getattr(certificate, f"{name}_utc", None) or getattr(certificate, name)
    return t.cast(datetime.datetime, value).replace(tzinfo=datetime.timezone.utc)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_signed_by(certificate: bytes, authority: bytes) -> bool:
    """Return whether one of an authority's certificates (PEM) signed a certificate (DER)."""
    leaf = x509.load_der_x509_certificate(certificate)
    for block in authority.split(b"-----END CERTIFICATE-----")[:-1]:
        issuer = x509.load_pem_x509_certificate(block + b"-----END CERTIFICATE-----\n")
        if leaf.issuer == issuer.subject and _signed(leaf, issuer):
            return True
    return False


def _signed(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    algorithm = leaf.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
