# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the cluster around a host is well: each API server, and whether nodes are Ready."""

from __future__ import annotations

import json
import typing as t
from urllib.parse import quote

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.moments import seconds_of
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import THIS_STEP, Sight

#: Seconds between two looks at all of it.
PAUSE = 2.0
#: Nodes that one answer has: each is some 10 KB, most of it the names of its images.
_PAGE = 30


def state_of(node: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a node's name, why it is not Ready (empty where it is), and since when that is so."""
    status = node.get("status") or {}
    ready: dict[str, t.Any] = next((one for one in status.get("conditions") or [] if one.get("type") == "Ready"), {})
    trouble = "" if ready.get("status") == "True" else str(ready.get("reason") or "it says nothing of itself")
    return {"name": node["metadata"]["name"], "trouble": trouble, "since": seconds_of(ready.get("lastTransitionTime"))}


def require_cluster_well(
    sight: Sight, api_servers: t.Mapping[str, str], nodes: t.Collection[str], limit: float
) -> None:
    """Refuse to take a control plane away from a cluster in which another one, or a node, is not well.

    They are given a while: a node is not Ready for some seconds after the only API server was away. A member of etcd
    that is not well shows in the health of its API server.

    Args:
        sight: How the host is seen.
        api_servers: By host, the address (https://host:port) of its API server.
        nodes: Names of nodes that must be Ready; one that the API does not know is none of them.
        limit: Seconds that they are given.

    Raises:
        HardeningError: Who is not well.
    """
    end = sight.clock() + limit
    while True:
        number, trouble = _trouble(sight, api_servers, nodes)
        if not trouble:
            return
        if sight.clock() >= end:
            raise HardeningError(
                number,
                f"{trouble}, for {limit:.0f} s. {THIS_STEP}; hosts that come after were not touched. Mend that first.",
            )
        sight.sleep(PAUSE)


def _trouble(sight: Sight, api_servers: t.Mapping[str, str], nodes: t.Collection[str]) -> tuple[str, str]:
    for host, server in api_servers.items():
        answer = ApiClient(sight.kubeconfig, server=server, verify_hostname="kubernetes").get("/readyz")
        if answer.status != 200:
            return "KH131", f"kube-apiserver of {host} is not well: /readyz answered {answer.status or answer.reason}"
    if nodes:
        found = _nodes(ApiClient(sight.kubeconfig))
        if isinstance(found, str):
            return "KH131", f"the API does not list its nodes: it answered {found}"
        for node in found:
            if node["name"] in nodes and node["trouble"]:
                return "KH134", f"Node {node['name']} is not Ready ({node['trouble']})"
    return "", ""


def _nodes(client: ApiClient) -> list[dict[str, t.Any]] | str:
    """Return the states of all nodes, or what was answered instead."""
    found: list[dict[str, t.Any]] = []
    path = more = f"/api/v1/nodes?limit={_PAGE}"
    while more:
        answer = client.get(more)
        if answer.status != 200:
            return str(answer.status or answer.reason)
        document = json.loads(answer.body)
        found += [state_of(node) for node in document["items"]]
        token = (document.get("metadata") or {}).get("continue")
        more = f"{path}&continue={quote(str(token), safe='')}" if token else ""
    return found


def node_probe(path: str | None, node: str) -> t.Callable[[float], bool | None]:
    """Return a probe of a kubelet's own node, as the kubelet may ask itself: with its kubeconfig.

    The probe is given a moment (seconds since the epoch, by this host's clock) and returns whether the node is Ready by
    the word of a kubelet that has renewed its lease since then; None where the API does not say. What the API shows of
    a kubelet that says nothing any more is its old word for most of a minute.
    """

    def ready(since: float) -> bool | None:
        if path is None:
            return None
        try:
            client = ApiClient(kubeconfig.load(path))
            answers = [
                client.get(f"/api/v1/nodes/{node}"),
                client.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}"),
            ]
            if any(answer.status != 200 for answer in answers):
                return None
            found, lease = (json.loads(answer.body) for answer in answers)
            renewed = seconds_of((lease.get("spec") or {}).get("renewTime"))
            return not state_of(found)["trouble"] and renewed >= int(since)
        except (HardeningError, ValueError, KeyError, OSError):
            return None  # nobody knows

    return ready
