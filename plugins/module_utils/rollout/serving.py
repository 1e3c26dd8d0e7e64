# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets that serve a certificate of the cluster's authority: requests judged and approved, the result proven."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer

CONTROL = "kubelet-serving-certificate"
#: Why an approval does not go back, for whoever puts the run back.
ONE_WAY = (
    "a signed certificate cannot be taken back. It runs out by itself; the kubelet does not use it when its own "
    "configuration is back."
)
INTERVAL = 1.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the cluster is seen and acted on; tests give their own.

    Attributes:
        requests: Every CertificateSigningRequest.
        nodes: Every Node.
        approve: Approves a request.
        peer: The certificate that a host and port show.
        authority: The cluster's authority, PEM.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
    """

    requests: t.Callable[[], list[dict[str, t.Any]]]
    nodes: t.Callable[[], list[dict[str, t.Any]]]
    approve: t.Callable[[dict[str, t.Any]], None]
    peer: t.Callable[[str, int], Peer]
    authority: bytes
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]


def unproven(cluster: Cluster) -> dict[str, str]:
    """Return, of every node of the cluster, those whose kubelet does not serve such a certificate, and what it does."""
    return {
        name: trouble
        for name, trouble in ((_name(node), _trouble(cluster, node)) for node in cluster.nodes())
        if trouble
    }


def _name(node: t.Mapping[str, t.Any]) -> str:
    return str(node["metadata"]["name"])


def _trouble(cluster: Cluster, node: t.Mapping[str, t.Any]) -> str:
    status = node.get("status") or {}
    addresses = [entry["address"] for entry in status.get("addresses") or [] if entry.get("type") == "InternalIP"]
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    if not addresses:
        return "its address is not known"
    peer = cluster.peer(str(addresses[0]), int(port))
    if peer.certificate is None:
        return f"its kubelet shows no certificate ({peer.reason})"
    return serving_request.served_by(peer.certificate, cluster.authority, _name(node))


def pending(cluster: Cluster, expected: t.Collection[str] = ()) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Return the requests that may be approved, and a sentence for each that may not.

    Args:
        cluster: The cluster.
        expected: Names of nodes whose requests alone are meant; empty for all.
    """
    nodes = {_name(node): node for node in cluster.nodes()}
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
    cluster: Cluster, expected: t.Collection[str], limit: float, backup: Backup
) -> tuple[list[Change], list[str]]:
    """Approve what waits, until every expected node serves its certificate; returns the changes and refusals.

    Where nodes are expected no other request is judged: the last task of a run judges what is left.

    Args:
        cluster: How the cluster is seen.
        expected: Nodes whose kubelets this run made ask.
        limit: Seconds for all of them.
        backup: Where it is recorded that an approval cannot go back.

    Raises:
        HardeningError: A node that does not within the limit (seconds): logs and exec of its pods are refused.
    """
    begun = cluster.clock()
    changes: dict[str, Change] = {}
    refused: list[str] = []
    while True:
        good, refused = pending(cluster, expected)
        for request in good:
            node = serving_request.node_of(request)
            if node not in changes:
                backup.note("one_way", f"The serving certificate of {node}'s kubelet", why=ONE_WAY)
            cluster.approve(request)
            changes[node] = change_for(node, node in expected)
        missing = {name: trouble for name, trouble in unproven(cluster).items() if name in expected} if expected else {}
        if not missing:
            return [changes[node] for node in sorted(changes)], refused
        if cluster.clock() - begun > limit:
            told = "; ".join(f"{name}: {trouble}" for name, trouble in sorted(missing.items()))
            raise HardeningError(
                f"Kubelets do not serve a certificate of the cluster's authority after {limit:.0f} s ({told}). "
                f"{' '.join(refused)} Until they do, logs and exec of their pods are refused; look at kubectl get csr, "
                "and run again."
            )
        cluster.sleep(INTERVAL)
