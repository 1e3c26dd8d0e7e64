# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the cluster around a host is well: each API server, and whether nodes are Ready."""

from __future__ import annotations

import json
import typing as t
from urllib.parse import quote, urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import occurrences, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.controls.readiness import the_last
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.moments import seconds_of
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    SETTLED,
    THIS_STEP,
    Sight,
    is_closed,
    local_client,
    local_server,
    readyz,
    unready,
)

#: Seconds between two looks at all of it.
PAUSE = 2.0
#: Nodes that one answer has: each is some 10 KB, most of it the names of its images.
_PAGE = 30
#: What kubeadm gives the node of each control plane.
_ROLE = "node-role.kubernetes.io/control-plane"
_CONTROL_PLANES = f"/api/v1/nodes?labelSelector={quote(_ROLE, safe='')}&limit={_PAGE}"
#: Why a node is not Ready of which Kubernetes has not heard (pkg/controller/nodelifecycle).
_UNHEARD = "NodeStatusUnknown"
#: Where the API servers write down which of them are there.
_SERVERS = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"


def state_of(node: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a node's name, why it is not Ready (empty where it is), and since when that is so."""
    status = node.get("status") or {}
    ready: dict[str, t.Any] = next((one for one in status.get("conditions") or [] if one.get("type") == "Ready"), {})
    trouble = "" if ready.get("status") == "True" else str(ready.get("reason") or "it says nothing of itself")
    return {"name": node["metadata"]["name"], "trouble": trouble, "since": seconds_of(ready.get("lastTransitionTime"))}


def others_away(sight: Sight, node: str, nodes: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the nodes of the other control planes where no other API server is well; empty where one is.

    Also where there is no other one. Hosts of the cluster that take no part in a run are among them: who takes the last
    API server away takes all of it.

    Args:
        sight: How this host is seen.
        node: Its node.
        nodes: The cluster's nodes as the API lists them, those of control planes at least.
    """
    others, listed, at_nodes = _others(sight, node, nodes)
    if not others or any(readyz(sight, server).status == 200 for server in dict.fromkeys([*listed, *at_nodes])):
        return []
    return others


def others_unwell(sight: Sight, node: str, nodes: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the API servers of other hosts that are not well, those that take no part in a run among them.

    Of each ``node``, its node, empty where that is not known, its address ``server``, what is wrong with it,
    ``trouble``, and whether it does not answer at all, ``silent``. Arguments as for others_away.
    """
    others, listed, at_nodes = _others(sight, node, nodes)
    asked = {server: at_nodes.get(server, "") for server in listed}
    if len(listed) < len(others):
        # One that is gone is struck off the list; of one that is on it under another address its node says nothing.
        asked.update(at_nodes)
    found = [(name, server, readyz(sight, server)) for server, name in asked.items()]
    well = {name for name, _server, answer in found if name and answer.status == 200}
    return [
        {"node": name, "server": server, "trouble": unready(answer), "silent": not answer.status}
        for name, server, answer in found
        if answer.status != 200 and name not in well
    ]


def _others(
    sight: Sight, node: str, nodes: t.Sequence[t.Mapping[str, t.Any]]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the nodes of other control planes, the other API servers that are listed, and by server, whose it may be.

    The latter are at the addresses of nodes. Nothing where this host's own API server does not run.
    """
    running = sight.find(API_SERVER)
    if not running:
        return [], [], {}
    flags = parse_arguments(running[-1].arguments)
    own = occurrences(flags, "advertise-address")[-1:]
    port = (occurrences(flags, "secure-port") or ["6443"])[-1]
    others = [one for one in nodes if _ROLE in (one["metadata"].get("labels") or {}) and _name(one) != node]
    servers = _listed(local_client(sight, API_SERVER, running[-1].arguments).get(_SERVERS))
    listed = [one for one in servers if [urlsplit(one).hostname] != own]
    at_nodes = {_server(address, port): _name(one) for one in others for address in _addresses(one)}
    return [_name(one) for one in others], listed, at_nodes


def _name(node: t.Mapping[str, t.Any]) -> str:
    return str(node["metadata"]["name"])


def _addresses(node: t.Mapping[str, t.Any]) -> list[str]:
    found = (node.get("status") or {}).get("addresses") or []
    return [str(one["address"]) for one in found if one.get("type") == "InternalIP"]


def _listed(answer: Answer) -> list[str]:
    """Return the API servers that an EndpointSlice lists, nothing where there was none to read."""
    if answer.status != 200:
        return []
    found = json.loads(answer.body)
    port = next((one["port"] for one in found.get("ports") or [] if one.get("port")), 443)
    addresses = [address for one in found.get("endpoints") or [] for address in one.get("addresses") or []]
    return [_server(str(address), str(port)) for address in addresses]


def _server(address: str, port: str) -> str:
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


def require_cluster_well(
    sight: Sight,
    api_servers: t.Mapping[str, str],
    nodes: t.Collection[str],
    limit: float,
    ends: str = "",
    unheard: str = "",
) -> None:
    """Refuse to take a control plane away from a cluster in which another one, or a node, is not well.

    They are given a while: a node is not Ready for some seconds after the only API server was away. A member of etcd
    that is not well shows in the health of its API server.

    Args:
        sight: How the host is seen.
        api_servers: By host, the address (https://host:port) of its API server.
        nodes: Names of nodes that must be Ready; one that the API does not know is none of them.
        limit: Seconds that they are given.
        ends: This host's node, where its API server is going to end and may not be the last that is well of several;
            empty where that is not asked.
        unheard: This host's node, where its kubelet is going to restart: it is not waited for where all that is wrong
            with it is that nothing was heard of it. A kubelet that asks its own API server, as kubeadm's do, says
            nothing while that is away, and for up to a minute more; its restart ends that.

    Raises:
        HardeningError: Who is not well.
    """
    end = sight.clock() + limit
    while True:
        number, trouble = _trouble(sight, api_servers, nodes, unheard)
        if not trouble and ends:
            number, trouble = _alone(sight, api_servers, ends)
        if not trouble:
            return
        if sight.clock() >= end:
            raise HardeningError(
                number,
                f"{trouble}, for {limit:.0f} s. {THIS_STEP}; hosts that come after were not touched. Mend that first.",
            )
        sight.sleep(PAUSE)


def _trouble(sight: Sight, api_servers: t.Mapping[str, str], nodes: t.Collection[str], unheard: str) -> tuple[str, str]:
    for host, server in api_servers.items():
        trouble = unready(readyz(sight, server))
        if trouble:
            return "KH131", f"kube-apiserver of {host} is not well: {trouble}"
    if nodes:
        # Of one that has just said that it is well: what a rollback is to heal may be the front door.
        asked = next(iter(api_servers.values()), None)
        name = "kubernetes" if asked else None
        found = _nodes(ApiClient(sight.kubeconfig, server=asked, verify_hostname=name))
        if isinstance(found, str):
            return "KH131", f"the API does not list its nodes: it answered {found}"
        for node in found:
            silent = node["name"] == unheard and node["trouble"] == _UNHEARD
            if node["name"] in nodes and node["trouble"] and not silent:
                return "KH134", f"Node {node['name']} is not Ready ({node['trouble']})"
    return "", ""


def _alone(sight: Sight, api_servers: t.Mapping[str, str], node: str) -> tuple[str, str]:
    """Look for another API server that is well; those of the run are, when they were asked just now."""
    running = sight.find(API_SERVER)
    own = [occurrences(parse_arguments(one.arguments), "advertise-address")[-1:] for one in running]
    if not running or any([urlsplit(server).hostname] not in own for server in api_servers.values()):
        return "", ""
    # Its own word: a front door that still sends clients to the others loses just this question.
    answer = local_client(sight, API_SERVER, running[-1].arguments).get(_CONTROL_PLANES)
    away = others_away(sight, node, json.loads(answer.body)["items"]) if answer.status == 200 else []
    return ("KH131", the_last(node, away)) if away else ("", "")


def require_another_server(sight: Sight, process: Process, several: bool, left: str) -> None:
    """Refuse to take this host's API server away while the others that the API knows are not well.

    Nothing else may be known of the cluster yet. An API server that is gone is struck off its list within seconds.

    Args:
        sight: How the host is seen.
        process: This host's API server, which is well.
        several: Whether the cluster has other control planes, so that one must be on the list.
        left: What was left as it was, for the sentence.

    Raises:
        HardeningError: Who is not well, or that there is no other one.
    """
    end = sight.clock() + SETTLED
    while True:
        trouble = _trouble_with_servers(sight, process, several)
        if not trouble:
            return
        if sight.clock() >= end:
            raise HardeningError("KH131", f"{trouble}. {left}. Mend that first, and run again.")
        sight.sleep(PAUSE)


def _trouble_with_servers(sight: Sight, process: Process, several: bool) -> str:
    answer = local_client(sight, process.name, process.arguments).get(_SERVERS)
    if answer.status == 404:
        return ""  # its API servers are told to keep no list (--endpoint-reconciler-type=none)
    if answer.status != 200 and is_closed(sight, local_server(process.name, process.arguments)):
        unseen = "Which other API servers serve this cluster cannot be asked, since a certificate has ended"
        return unseen if several else ""
    if answer.status != 200:
        return f"kube-apiserver of this host does not list the others: it answered {answer.status or answer.reason}"
    servers = _listed(answer)
    if several and len(servers) < 2:
        return "No other API server serves this cluster, which has several control planes"
    for server in servers:
        trouble = unready(readyz(sight, server))
        if trouble:
            return f"The API server {server} is not well: {trouble}"
    return ""


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
