# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets' requests signed where the authority's key is: on the controller, which judges each before it signs.

What is signed is made from what was judged, and of the request only the key is taken besides.
"""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import kubelet_request
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, keys, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES

CONTROL = "kubelet-serving-certificate"


@dataclasses.dataclass(frozen=True)
class Signed:
    """What came of requests.

    Attributes:
        certificates: By name of the request, its ``uid`` and the ``certificate`` with its chain, in PEM.
        changes: What laying them changes.
        refused: A sentence for each that was not signed.
    """

    certificates: dict[str, dict[str, str]]
    changes: list[Change]
    refused: list[str]


def shown(request: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return of a CertificateSigningRequest what is needed to judge it."""
    metadata, status = request["metadata"], request.get("status") or {}
    return {
        "metadata": {name: metadata.get(name, "") for name in ("name", "uid", "creationTimestamp")},
        "spec": request.get("spec") or {},
        "status": {"conditions": status.get("conditions") or []},
    }


def shown_node(node: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return of a Node what is needed to judge its kubelet's requests."""
    addresses = (node.get("status") or {}).get("addresses") or []
    return {"metadata": {"name": node["metadata"]["name"]}, "status": {"addresses": addresses}}


def _place(request: t.Mapping[str, t.Any]) -> tuple[str, str]:
    return kubelet_request.node_of(request), kubelet_request.purpose(request)


def _age(request: t.Mapping[str, t.Any]) -> tuple[str, str]:
    metadata = request["metadata"]
    return str(metadata.get("creationTimestamp", "")), str(metadata["name"])


def change_for(node: str, purpose: str) -> Change:
    """Return the change of a node whose request is signed: by the node's name, since the request's is random."""
    return Change(
        "api_object",
        f"CertificateSigningRequest of {node} for its {purpose} certificate",
        "sign",
        after=f"certificate of {node}'s kubelet ({purpose}), signed on the controller\n",
        controls=(CONTROL,) if purpose == "serving" else (),
    )


def sign_all(
    requests: t.Sequence[dict[str, t.Any]], nodes: t.Sequence[t.Mapping[str, t.Any]], signer: Authority, now: float
) -> Signed:
    """Judge requests that await a certificate, and of each kubelet and purpose sign the newest that is what it claims.

    A kubelet waits a quarter of an hour for an answer, then asks anew, with a new key: what it asked before is of no
    use to it any more. But what is refused stands in for none: else whoever may ask could keep a node from its
    certificate by a later request in its name.

    Args:
        requests: Those that await a certificate.
        nodes: Every Node.
        signer: The cluster's authority, with its key.
        now: Seconds since 1970.
    """
    known = {str(node["metadata"]["name"]): node for node in nodes}
    certificates: dict[tuple[str, str], tuple[dict[str, t.Any], str]] = {}
    refused: dict[tuple[tuple[str, str], str], list[dict[str, t.Any]]] = {}
    for request in sorted(requests, key=_age, reverse=True):
        place = node, _purpose = _place(request)
        found = kubelet_request.problems(request, known.get(node))
        if not found and place not in certificates:
            try:
                certificates[place] = request, _sign(request, node, signer, now)
            except HardeningError as error:
                found = [str(error).rstrip(".")]
        if found:
            refused.setdefault((place, "; ".join(found)), []).append(request)
    signed = Signed({}, [], [_refusal(refused[key], key[1]) for key in sorted(refused)])
    for place, (request, certificate) in sorted(certificates.items(), key=lambda one: one[0]):
        metadata = request["metadata"]
        signed.certificates[metadata["name"]] = {"uid": str(metadata.get("uid", "")), "certificate": certificate}
        signed.changes.append(change_for(*place))
    return signed


def _refusal(requests: t.Sequence[dict[str, t.Any]], why: str) -> str:
    """Say once of what is refused for the same reason, newest first: who gets no answer asks again and again."""
    others = f" (nor were {len(requests) - 1} before it for the same)" if len(requests) > 1 else ""
    return f"CertificateSigningRequest {requests[0]['metadata']['name']} was not signed{others}: {why}."


def _sign(request: t.Mapping[str, t.Any], node: str, signer: Authority, now: float) -> str:
    spec = request["spec"]
    serving = kubelet_request.purpose(request) == "serving"
    content = issue.read_request(base64.b64decode(spec["request"]), f"the request of {node}")
    algorithm = str(content.profile.key_algorithm)
    wanted = profile.Profile(
        # As it was parsed: with a node's name that fills a label it is longer than X.509 allows and Go minds.
        subject=content.profile.subject,
        names=content.profile.names if serving else NO_NAMES,
        extended_usages=frozenset({profile.SERVER if serving else profile.CLIENT}),
        key_algorithm=algorithm,
        key_usages=profile.leaf_key_usages(algorithm),
    )
    weak = keys.weakness(algorithm)
    if weak:
        raise HardeningError("KH308", f"{weak}; nothing was signed. Let the kubelet make another.")
    refuse.forbidden_by_authority([signer.facts, *signer.above], wanted, "the cluster's authority")
    facts = issue.issue(wanted, content.public_key, signer, now, _lifetime(spec))
    return issue.certificate_pem(facts, signer.chain).decode("ascii")


def _lifetime(spec: t.Mapping[str, t.Any]) -> float:
    """Return how long the certificate lives, in seconds: as others, or as short as was asked for."""
    asked = spec.get("expirationSeconds")
    if not isinstance(asked, int):
        return issue.LEAF_LIFETIME
    return float(max(issue.MINIMUM_LIFETIME, min(asked, issue.LEAF_LIFETIME)))
