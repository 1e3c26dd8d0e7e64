# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kubelet's request for a serving certificate is what it claims to be. Nobody else approves them."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import typing as t
import warnings

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

#: The signer; kube-controller-manager signs for it what somebody approved, and approves nothing itself.
SIGNER = "kubernetes.io/kubelet-serving"
#: Usages that the signer admits, and those that must be there.
_USAGES = {"digital signature", "key encipherment", "server auth"}
_REQUIRED = {"digital signature", "server auth"}
#: What cryptography raises for content that makes no sense.
UNREADABLE = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
_GROUP = "system:nodes"
_PREFIX = "system:node:"
#: Of a Node object, which nobody but the cluster's own controllers and administrators may give it (NodeRestriction).
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


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


def subject_of(what: x509.CertificateSigningRequest | x509.Certificate) -> x509.Name:
    """Return the subject, as long as it may be: with the node's name it may be longer than X.509 has it, and serves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return what.subject


def _subject_problems(wanted: x509.CertificateSigningRequest, name: str) -> list[str]:
    subject = subject_of(wanted)
    common = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if common != [_PREFIX + name] or groups != [_GROUP] or len(list(subject)) != 2:
        return [f"its subject is {subject.rfc4514_string()}, not that of node {name}"]
    return []


def names_of(certificate: bytes) -> list[str]:
    """Return the names and addresses of a certificate, PEM; of several the first one's.

    Raises:
        ValueError: It is none.
        cryptography.x509.DuplicateExtension, cryptography.x509.UnsupportedGeneralNameType: It makes no sense.
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(entry.value) for entry in names if isinstance(entry, (x509.DNSName, x509.IPAddress))]


def with_foreign(
    nodes: t.Sequence[t.Mapping[str, t.Any]],
    server: str,
    server_names: t.Collection[str],
    reached: t.Mapping[str, t.Collection[str]],
) -> list[dict[str, t.Any]]:
    """Return the nodes with their addresses, each that another has too with ``foreign``: whose it is, as a clause.

    A kubelet writes the addresses of its node itself, so that they alone would let it ask for any name. An API server's
    own are no secret among control planes, whose certificates often name each other's.

    Args:
        nodes: Every Node.
        server: The node of an API server.
        server_names: Names and addresses in its certificate.
        reached: By node, the names and addresses at which the controller reaches it; of hosts that take part.
    """
    claims = _Claims(nodes, server, server_names, reached)
    return [claims.judged(node) for node in nodes]


def refused_names(
    name: str,
    nodes: t.Sequence[t.Mapping[str, t.Any]],
    server: str,
    server_names: t.Collection[str],
    reached: t.Mapping[str, t.Collection[str]],
) -> list[str]:
    """Return why a node's request would be refused before its kubelet makes one, one clause each: it asks for them all.

    Args:
        name: The node's.
        nodes: Every Node.
        server: The node of an API server.
        server_names: Names and addresses in its certificate.
        reached: By node, the names and addresses at which the controller reaches it; of hosts that take part.
    """
    claims = _Claims(nodes, server, server_names, reached)
    found = []
    for node in nodes:
        if node["metadata"]["name"] != name:
            continue
        addresses = _addresses(claims.judged(node))
        found += [] if addresses else ["its Node has no address"]
        for entry in addresses:
            words = _of_no_node(_normal(str(entry["address"]))) or entry["foreign"]
            found += [f"it would ask for {_shown(str(entry['address']))}, {words}"] if words else []
    return list(dict.fromkeys(found))


def _shown(address: str) -> str:
    """Return an address as a sentence has it: its kubelet may write anything there, lines too."""
    return address if address.isprintable() else ascii(address)


class _Claims:
    """Whose each address is that Nodes have, but for who claims it; arguments as of with_foreign."""

    def __init__(
        self,
        nodes: t.Sequence[t.Mapping[str, t.Any]],
        server: str,
        server_names: t.Collection[str],
        reached: t.Mapping[str, t.Collection[str]],
    ) -> None:
        self._owners: dict[str, set[str]] = {}
        for node in nodes:
            for entry in _addresses(node):
                self._owners.setdefault(_normal(str(entry["address"])), set()).add(str(node["metadata"]["name"]))
        self._reachable = {name: {_normal(one) for one in known} for name, known in reached.items()}
        self._server = server
        self._serving = {_normal(name) for name in server_names}

    def judged(self, node: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return a Node, each of its addresses with ``foreign``."""
        metadata = node["metadata"]
        is_control_plane = metadata["name"] == self._server or _CONTROL_PLANE in (metadata.get("labels") or {})
        addresses = [
            {**entry, "foreign": self._whose(_normal(str(entry["address"])), str(metadata["name"]), is_control_plane)}
            for entry in _addresses(node)
        ]
        return {**node, "status": {**(node.get("status") or {}), "addresses": addresses}}

    def _whose(self, address: str, name: str, is_control_plane: bool) -> str:
        if address in self._reachable.get(name, ()):
            return ""
        others = sorted(self._owners[address] - {name})
        others += [other for other, known in sorted(self._reachable.items()) if other != name and address in known]
        if others:
            return f"which is an address of node {others[0]}"
        if address in self._serving and not is_control_plane:
            return "which is a name of the API server"
        return ""


def shown_node(node: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return of a Node what tells whose its addresses are."""
    metadata = node["metadata"]
    labels = {name: "" for name in (metadata.get("labels") or {}) if name == _CONTROL_PLANE}
    return {"metadata": {"name": metadata["name"], "labels": labels}, "status": {"addresses": _addresses(node)}}


def _addresses(node: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    return [entry for entry in (node.get("status") or {}).get("addresses") or [] if entry.get("address")]


def _name_problems(extensions: x509.Extensions, node: t.Mapping[str, t.Any]) -> list[str]:
    """Every name that the certificate is to have must be an address of the node, and of nobody else."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["it names no address"]
    known = {_normal(str(entry["address"])): str(entry.get("foreign") or "") for entry in _addresses(node)}
    found = []
    for entry in names:
        if not isinstance(entry, (x509.DNSName, x509.IPAddress)):
            found.append(f"it asks for a name of the kind {type(entry).__name__}")
            continue
        name = _normal(str(entry.value))
        words = _of_no_node(name) or known.get(name, "which is no address of the node")
        if words:
            found.append(f"it asks for {entry.value}, {words}")
    return found if list(names) else ["it names no address"]


def _of_no_node(name: str) -> str:
    """Return why no node is called so, whatever its addresses say, as a clause; empty for any other name."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        if "*" in name:
            return "which stands for many names"
        if labels[0] == "kubernetes" or "svc" in labels[1:]:
            return "which is the name of a service of the cluster"
        local = labels[0] in ("localhost", "localhost4", "localhost6") or labels[-1] == "localhost"
        return "which is a name of every host" if local else ""
    return "which is an address of every host" if address.is_loopback or address.is_unspecified else ""


def _normal(name: str) -> str:
    """Return a name as it is compared: of those spellings that a client takes for the same, one."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower().rstrip(".")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def served_by(certificate: bytes, authority: bytes, node: str, address: str, now: float) -> str:
    """Return what is wrong with a kubelet's certificate, empty where an API server that verifies it accepts it.

    Args:
        certificate: The leaf, DER.
        authority: What API servers verify kubelets by, PEM: the cluster's authority, among others or alone.
        node: The node's name; empty where API servers go by an authority of the owner's, who names as he likes.
        address: The IP address or the name by which API servers reach the kubelet.
        now: Seconds since 1970.
    """
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        addresses, names = _alternative_names(leaf.extensions)
    except UNREADABLE:
        return "its certificate cannot be read"
    subject = subject_of(leaf)
    common = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if node and common != [_PREFIX + node]:
        return f"its certificate is that of {subject.rfc4514_string()}"
    if not is_signed_by(certificate, authority):
        whose = "the cluster's authority" if node else "the authority that kube-apiserver verifies kubelets by"
        return f"its certificate was signed by {leaf.issuer.rfc4514_string()}, not by {whose}"
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


def life_of(certificate: bytes) -> tuple[float, float]:
    """Return when a certificate (DER) that was read before begins and ends, in seconds since 1970."""
    leaf = x509.load_der_x509_certificate(certificate)
    return _moment(leaf, "not_valid_before").timestamp(), _moment(leaf, "not_valid_after").timestamp()


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
    """Return whether one of an authority's certificates (PEM) signed a certificate (DER).

    One that cannot be read signed nothing: a file may hold others' authorities beside the cluster's.
    """
    leaf = x509.load_der_x509_certificate(certificate)
    for block in authority.split(b"-----END CERTIFICATE-----")[:-1]:
        try:
            issuer = x509.load_pem_x509_certificate(block + b"-----END CERTIFICATE-----\n")
            signed = leaf.issuer == issuer.subject and _signed(leaf, issuer)
        except (*UNREADABLE, UnsupportedAlgorithm):
            continue
        if signed:
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
