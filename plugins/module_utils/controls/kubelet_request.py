# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kubelet's request that was approved may be signed where kube-controller-manager has no key to do it.

Requests for serving certificates are judged as before their approval (serving_request.py). Those for client
certificates are approved by kube-controller-manager itself, by the rights of who asks; here they are judged by what the
signer demands, and by who may ask for which node.
"""

from __future__ import annotations

import base64
import typing as t

from cryptography import x509
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request

#: The signer of kubelets' certificates for the API server.
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SIGNERS = {serving_request.SIGNER: "serving", CLIENT_SIGNER: "client"}
_REQUIRED = {"digital signature", "client auth"}
_USAGES = _REQUIRED | {"key encipherment"}
_NODES = "system:nodes"
_NODE = "system:node:"
#: Who joins has no certificate yet, but a bootstrap token.
_JOINING = "system:bootstrappers"
_JOINING_USER = "system:bootstrap:"


def purpose(request: t.Mapping[str, t.Any]) -> str:
    """Return what a kubelet's certificate is for, ``serving`` or ``client``; empty for every other request."""
    return SIGNERS.get(str((request.get("spec") or {}).get("signerName")), "")


def awaits_certificate(request: t.Mapping[str, t.Any]) -> bool:
    """Return whether a kubelet's request was approved, and nobody has signed or refused it."""
    status = request.get("status") or {}
    conditions = status.get("conditions") or []
    kinds = {str(one.get("type")) for one in conditions if str(one.get("status", "True")) == "True"}
    return bool(purpose(request)) and kinds == {"Approved"} and not status.get("certificate")


def node_of(request: t.Mapping[str, t.Any]) -> str:
    """Return the node that the certificate would be of; empty where the request names none."""
    if purpose(request) != "client":
        return serving_request.node_of(request)
    try:
        names = serving_request.subject_of(_read(request)).get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    name = str(names[0].value) if len(names) == 1 else ""
    return name[len(_NODE) :] if name.startswith(_NODE) else ""


def problems(request: t.Mapping[str, t.Any], node: t.Mapping[str, t.Any] | None) -> list[str]:
    """Return why a request must not be signed, one clause each; empty where it may.

    Args:
        request: A CertificateSigningRequest.
        node: The Node object of the node that it names, None where there is none.
    """
    judges = {"serving": serving_request.problems, "client": _client_problems}
    judge = judges.get(purpose(request))
    if judge is None:
        return ["it is no kubelet's"]
    try:
        return judge(request, node)
    except serving_request.UNREADABLE:
        return ["it holds no certificate request that can be read"]


def _client_problems(request: t.Mapping[str, t.Any], node: t.Mapping[str, t.Any] | None) -> list[str]:
    spec = request.get("spec") or {}
    wanted = _read(request)
    subject, name = serving_request.subject_of(wanted), node_of(request)
    groups = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    found = []
    if not name or groups != [_NODES] or len(list(subject)) != 2:
        found.append(f"its subject is {subject.rfc4514_string()}, which is that of no node")
    if not wanted.is_signature_valid:
        found.append("it is not signed with its own key")
    usages = set(spec.get("usages") or [])
    if not _REQUIRED <= usages <= _USAGES:
        found.append(f"its usages are {', '.join(sorted(usages))}")
    if any(isinstance(one.value, x509.SubjectAlternativeName) for one in wanted.extensions):
        found.append("it asks for names, which a client has none of")
    return found or _requester_problems(spec, name, node)


def _requester_problems(spec: t.Mapping[str, t.Any], name: str, node: t.Mapping[str, t.Any] | None) -> list[str]:
    """A node asks for itself; who joins asks for a node that there is not yet, else it could become another."""
    user, groups = str(spec.get("username", "")), spec.get("groups") or []
    if user == _NODE + name and _NODES in groups:
        return [] if node is not None else [f"there is no node {name}"]
    if user.startswith(_JOINING_USER) and _JOINING in groups:
        return [] if node is None else [f"{user} asks for the node {name}, which has joined already"]
    return [f"it was made by {user}, who is not the node {name}"]


def _read(request: t.Mapping[str, t.Any]) -> x509.CertificateSigningRequest:
    text = str((request.get("spec") or {}).get("request", ""))
    return x509.load_pem_x509_csr(base64.b64decode(text, validate=True))
