# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets that serve a certificate of the cluster's authority: requests judged and approved, the result proven."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import kubelet_request, serving_request
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import pem
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import approvals, kubelet_signing

CONTROL = "kubelet-serving-certificate"
#: Why an approval does not go back, for whoever puts the run back.
ONE_WAY = (
    "a signed certificate cannot be taken back. It runs out by itself; the kubelet does not use it when its own "
    "configuration is back."
)
INTERVAL = 1.0
#: Seconds between two looks at a kubelet whose request was just approved, and for how many of them nothing else is
#: looked at: it is signed and taken up within one or two.
MOMENT = 0.25
SIGNED = 5.0
#: Of a certificate's life: when a kubelet begins to ask for the next one, at the earliest.
RENEWS_AFTER = 0.7
_LISTED = 10
#: By which of a node's addresses an API server reaches its kubelet, the first that the node has: as kubeadm sets
#: --kubelet-preferred-address-types, and what an API server does by itself.
KUBEADM_ADDRESSES = ("InternalIP", "ExternalIP", "Hostname")
OWN_ADDRESSES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the cluster is seen and acted on; tests give their own.

    Attributes:
        requests: Every CertificateSigningRequest.
        nodes: Every Node.
        approve: Approves a request; says whether it did, or somebody else changed or removed the request meanwhile.
        certify: Lays a certificate, in PEM with its chain, in a request; says whether it did, or somebody else changed
            the request meanwhile.
        peer: The certificate that a host and port show.
        authority: The cluster's authority, PEM.
        verifier: What --kubelet-certificate-authority names, PEM; None where API servers verify no kubelet yet.
        foreign: Whether that is an authority of the owner's, and the cluster's is not in it.
        now: Seconds since 1970.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
        addresses: Types of addresses by which API servers reach kubelets, the preferred first.
    """

    requests: t.Callable[[], list[dict[str, t.Any]]]
    nodes: t.Callable[[], list[dict[str, t.Any]]]
    approve: t.Callable[[dict[str, t.Any]], bool]
    certify: t.Callable[[dict[str, t.Any], str], bool]
    peer: t.Callable[[str, int], Peer]
    authority: bytes
    now: t.Callable[[], float]
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]
    addresses: tuple[str, ...] = KUBEADM_ADDRESSES
    verifier: bytes | None = None
    foreign: bool = False


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a node's kubelet was seen to serve.

    Attributes:
        trouble: Why an API server would not accept it, as a clause; empty where it does.
        certificate: In DER, where the kubelet asked the cluster's authority for it.
    """

    trouble: str
    certificate: bytes | None = None


def look(cluster: Cluster, asked: t.Collection[str] = ()) -> dict[str, Seen]:
    """Return what the kubelet of each node serves.

    Args:
        cluster: The cluster.
        asked: Names of the nodes that are meant; empty for every node of the cluster. One that is silent takes seconds.
    """
    return _look_at(cluster, cluster.nodes(), asked)


def _look_at(
    cluster: Cluster, nodes: t.Iterable[t.Mapping[str, t.Any]], asked: t.Collection[str] = ()
) -> dict[str, Seen]:
    return {_name(node): _seen(cluster, node) for node in nodes if not asked or _name(node) in asked}


def unproven(cluster: Cluster, asked: t.Collection[str] = ()) -> dict[str, str]:
    """Return the nodes whose kubelet does not serve such a certificate, and what it does.

    Args:
        cluster: The cluster.
        asked: Names of the nodes that are meant; empty for every node of the cluster. One that is silent takes seconds.
    """
    return troubles(look(cluster, asked))


def troubles(seen: t.Mapping[str, Seen]) -> dict[str, str]:
    """Return of what was seen the nodes whose kubelet an API server would not accept, and why."""
    return {name: one.trouble for name, one in seen.items() if one.trouble}


def look_when_renewed(cluster: Cluster, limit: float) -> dict[str, Seen]:
    """Return what every kubelet serves, once those that are about to renew serve what was just approved, or later."""
    begun = cluster.clock()
    while True:
        seen = look(cluster)
        renewing = [one for one in _lives(seen).values() if _asks_at(*one) <= cluster.now()]
        if not renewing or cluster.clock() - begun > limit:
            return seen
        cluster.sleep(INTERVAL)


def next_approval(seen: t.Mapping[str, Seen]) -> str:
    """Say from when on kubelets ask for their next certificates, and when the first ends; empty where none is known.

    Nobody else approves these, so that a run has to come in between.
    """
    lives = _lives(seen)
    if not lives:
        return ""
    first = min(lives, key=lambda name: (lives[name][1], name))
    asks = _shown(min(_asks_at(*life) for life in lives.values()))
    return (
        f"Kubelets ask for their next serving certificates from {asks} on. The next approval is due by "
        f"{_shown(lives[first][1])}, when that of {first} ends: run harden.yml or rotate_certificates.yml in between."
    )


def _lives(seen: t.Mapping[str, Seen]) -> dict[str, tuple[float, float]]:
    certificates = {name: one.certificate for name, one in seen.items()}
    return {name: serving_request.life_of(one) for name, one in certificates.items() if one is not None}


def _asks_at(begin: float, end: float) -> float:
    return begin + RENEWS_AFTER * (end - begin)


def _shown(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def not_verified(left: t.Mapping[str, str], verifier: str) -> str:
    """Say which kubelets an API server does not accept, and why.

    Args:
        left: By node, what its kubelet serves instead.
        verifier: The file by which it verifies kubelets, empty where it was not told to.
    """
    names = sorted(left)
    listed = "; ".join(f"{name}: {left[name]}" for name in names[:_LISTED])
    listed += f"; and {len(names) - _LISTED} more" if names[_LISTED:] else ""
    if verifier:
        return f"kube-apiserver, which verifies kubelets by {verifier}, refuses logs and exec of {listed}."
    return (
        "kube-apiserver was not told to verify kubelets, since not all of them serve a certificate of the cluster's "
        f"authority ({listed}). Mend that and run again."
    )


def _name(node: t.Mapping[str, t.Any]) -> str:
    return str(node["metadata"]["name"])


def _seen(cluster: Cluster, node: t.Mapping[str, t.Any]) -> Seen:
    status = node.get("status") or {}
    address = _address(status.get("addresses") or [], cluster.addresses)
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    if not address:
        return Seen("its address is not known")
    peer = cluster.peer(address, int(port))
    if peer.certificate is None:
        return Seen(f"its kubelet shows no certificate ({peer.reason})")
    trouble = serving_request.served_by(
        peer.certificate,
        cluster.authority if cluster.verifier is None else cluster.verifier,
        "" if cluster.foreign else _name(node),
        address,
        cluster.now(),
    )
    return Seen(trouble, None if trouble or cluster.foreign else peer.certificate)


def _address(addresses: t.Iterable[t.Mapping[str, str]], types: t.Sequence[str]) -> str:
    """Return the address by which API servers reach a node's kubelet, empty for none."""
    first: dict[str, str] = {}
    for entry in addresses:
        first.setdefault(entry.get("type", ""), entry.get("address", ""))
    return next((first[kind] for kind in types if first.get(kind)), "")


def api_server_names(discovery: t.Mapping[str, t.Any]) -> list[str]:
    """Return the names and addresses in the certificates of this host's API server.

    Raises:
        HardeningError: One that is no certificate.
    """
    names = []
    for used in discovery["certificates"]:
        if (used["component"], used["flag"]) != ("kube-apiserver", "tls-cert-file"):
            continue
        try:
            names += serving_request.names_of(read_bytes(used["path"]) or b"")
        except serving_request.UNREADABLE:
            raise HardeningError(
                "KH303",
                f"{used['path']}, the certificate of this host's API server, could not be read as one, so that no "
                "request of a kubelet could be judged by it. Nothing was approved; put a right one there.",
            ) from None
    return names


def pending(cluster: Cluster, expected: t.Collection[str] = ()) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Return the requests that may be approved, and a sentence for each that may not.

    Args:
        cluster: The cluster.
        expected: Names of nodes whose requests alone are meant; empty for all.
    """
    return _pending_of(cluster, cluster.nodes(), expected)


def _pending_of(
    cluster: Cluster, known: t.Iterable[dict[str, t.Any]], expected: t.Collection[str]
) -> tuple[list[dict[str, t.Any]], list[str]]:
    nodes = {_name(node): node for node in known}
    good, refused = [], []
    for request in cluster.requests():
        if not serving_request.is_pending(request):
            continue
        if expected and serving_request.node_of(request) not in expected:
            continue
        found = serving_request.problems(request, nodes.get(serving_request.node_of(request)))
        if found:
            name = request["metadata"]["name"]
            refused.append(f"CertificateSigningRequest {name} was not approved: {'; '.join(found)}.")
        else:
            good.append(request)
    return good, refused


def change_for(node: str, waits: bool) -> Change:
    """Return the change of a node whose request is approved: by the node's name, since the request's is random.

    Args:
        node: The node.
        waits: Whether the request is made only by the kubelet that this run restarts.
    """
    return Change(
        "api_object",
        f"CertificateSigningRequest of {node} for its serving certificate",
        "approve",
        after=f"signer {serving_request.SIGNER}, requester system:node:{node}\n",
        controls=(CONTROL,),
        wait_for="the kubelet restarted with serverTLSBootstrap" if waits else "",
    )


def approve(
    cluster: Cluster, expected: t.Collection[str], limit: float, backup: Backup, signed_elsewhere: bool = False
) -> tuple[list[Change], list[str]]:
    """Approve what waits, until every expected node serves its certificate; returns the changes and refusals.

    Where nodes are expected no other request is judged: the last task of a run judges what is left.

    Args:
        cluster: How the cluster is seen.
        expected: Nodes whose kubelets this run made ask.
        limit: Seconds for all of them.
        backup: Where it is recorded that an approval cannot go back.
        signed_elsewhere: Whether the controller signs: who was approved is then not waited for, and that it cannot go
            back is recorded when it is signed.

    Raises:
        HardeningError: A node that does not within the limit (seconds): logs and exec of its pods are refused.
    """
    begun = cluster.clock()
    changes: dict[str, Change] = {}
    noted: set[str] = set()
    refused: list[str] = []
    while True:
        nodes = cluster.nodes()
        good, refused = _pending_of(cluster, nodes, expected)
        lost = []
        for request in good:
            node = serving_request.node_of(request)
            if node not in noted and not signed_elsewhere:
                _note(backup, "serving", node)
            noted.add(node)
            if cluster.approve(request):
                changes[node] = change_for(node, node in expected)
            else:
                lost.append(str(request["metadata"]["name"]))
        missing = troubles(_look_at(cluster, nodes, expected)) if expected else {}
        if len(lost) < len(good) and not signed_elsewhere:
            missing = _await_signed(cluster, nodes, missing)
        if signed_elsewhere:
            asking = {serving_request.node_of(request) for request in unsigned(cluster, expected)}
            missing = {name: trouble for name, trouble in missing.items() if name not in asking}
        late = cluster.clock() - begun > limit
        if not missing and (late or not lost):
            refused += [
                f"CertificateSigningRequest {name} was changed by somebody else each time and not approved; run again."
                for name in lost
            ]
            return [changes[node] for node in sorted(changes)], refused
        if late:
            told = "; ".join(f"{name}: {trouble}" for name, trouble in sorted(missing.items()))
            raise HardeningError(
                "KH216",
                f"Kubelets do not serve a certificate of the cluster's authority after {limit:.0f} s ({told}). "
                f"{' '.join(refused)} Until they do, logs and exec of their pods are refused; look at kubectl get csr, "
                "and run again.",
            )
        cluster.sleep(INTERVAL)


def _await_signed(
    cluster: Cluster, nodes: t.Sequence[t.Mapping[str, t.Any]], missing: dict[str, str]
) -> dict[str, str]:
    """Look at kubelets whose requests were just approved, for a moment, and return which do not serve them yet.

    No list is asked for meanwhile, which takes longer than that.
    """
    begun = cluster.clock()
    while missing and cluster.clock() - begun < SIGNED:
        cluster.sleep(MOMENT)
        missing = troubles(_look_at(cluster, nodes, missing))
    return missing


def _note(backup: Backup, purpose: str, node: str) -> None:
    """Record that a kubelet's certificate cannot go back, and that requests for such ones are ours to approve."""
    backup.note("one_way", f"The {purpose} certificate of {node}'s kubelet", why=ONE_WAY)
    if purpose == "serving":
        approvals.note(backup.host, backup.run_id)


# Where the controller signs


def unsigned(cluster: Cluster, expected: t.Collection[str] = ()) -> list[dict[str, t.Any]]:
    """Return kubelets' requests that were approved and that nobody has signed, good or not: who signs judges them.

    Args:
        cluster: The cluster.
        expected: Names of nodes whose requests for serving certificates alone are meant; empty for all.
    """
    found = [request for request in cluster.requests() if kubelet_request.awaits_certificate(request)]
    if not expected:
        return found
    return [request for request in found if serving_request.node_of(request) in expected and _is_serving(request)]


def _is_serving(request: t.Mapping[str, t.Any]) -> bool:
    return kubelet_request.purpose(request) == "serving"


def certify(
    cluster: Cluster, certificates: t.Mapping[str, t.Mapping[str, str]], backup: Backup
) -> tuple[list[Change], list[str]]:
    """Lay what the controller signed in the requests; returns the changes, and a sentence for each that was not laid.

    Args:
        cluster: How the cluster is seen.
        certificates: By name of the request, its ``uid`` and the ``certificate`` with its chain, in PEM.
        backup: Where it is recorded that a certificate cannot go back.

    Raises:
        HardeningError: A certificate that the cluster's authority did not sign; then none was laid.
    """
    for name, one in certificates.items():
        der = pem.blocks(one["certificate"].encode("ascii"), f"the certificate for {name}")[0].der
        if not serving_request.is_signed_by(der, cluster.authority):
            raise HardeningError(
                "KH305",
                f"The certificate that the controller signed for CertificateSigningRequest {name} is not of the "
                "cluster's authority. Nothing was laid; see that kubeharden_pki_authorities_dir is this cluster's.",
            )
    waiting = {str(request["metadata"]["name"]): request for request in cluster.requests()}
    changes, refused = [], []
    for name, one in certificates.items():
        request = waiting.get(name)
        if (
            request is None
            or str(request["metadata"].get("uid", "")) != one["uid"]
            or not kubelet_request.awaits_certificate(request)
        ):
            refused.append(f"CertificateSigningRequest {name} is not there any more or was signed by somebody else.")
            continue
        node, purpose = kubelet_request.node_of(request), kubelet_request.purpose(request)
        _note(backup, purpose, node)
        if cluster.certify(request, one["certificate"]):
            changes.append(kubelet_signing.change_for(node, purpose))
        else:
            refused.append(f"CertificateSigningRequest {name} was changed by somebody else and not signed; run again.")
    return changes, refused
