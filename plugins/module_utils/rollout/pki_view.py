# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of certificates do alike before their own work."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, kubeconfig, layout as table, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import ClusterFacts, HostPki, Layout
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import pki_files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.leaves import Request, sign


@dataclasses.dataclass
class View:
    """One host as a call sees it: its share of the table, where things are written, and what is there."""

    pki: HostPki
    store: pki_files.Store
    files: dict[str, bytes]
    notes: list[str]
    endpoint: str


def view(host: Host, parameters: t.Mapping[str, t.Any], now: float, check: bool, judge_clock: bool = True) -> View:
    """Finish what a dead run left (but in check mode), and read what is there.

    Args:
        host: The host's file system.
        parameters: Of the module.
        now: The host's clock.
        check: Whether this is check mode.
        judge_clock: Whether a clock that is far off is refused; else the caller does it where it issues something.

    Raises:
        HardeningError: A clock that is far off, a file that cannot be read as what it should be.
    """
    node = str(parameters["node_name"])
    if judge_clock:
        refuse.clock(now, parameters.get("now"), node)
    layout = data.layout(parameters["layout"])
    pki_files.refuse_references(host, layout)
    cluster = with_endpoint(host, layout, data.cluster(parameters["cluster"]), node)
    pki = table.host_pki(layout, cluster, node)
    store = pki_files.Store(host, parameters["run_id"])
    notes = [] if check else store.recover(pki)
    return View(pki, store, pki_files.read(host, pki), notes, cluster.load_balancer)


def with_endpoint(host: Host, layout: Layout, cluster: ClusterFacts, node: str) -> ClusterFacts:
    """The cluster with the address at which its clients find it, as the host's own kubeconfigs say where none is known.

    An administrator's names the load balancer. The kubelet's of a control plane may name the API server beside it, as
    kubeadm has it from 1.33 on, and is not asked.
    """
    if cluster.load_balancer:
        return cluster
    asked = [("admin", "/etc/kubernetes/admin.conf")]
    if table.CONTROL_PLANE not in cluster.roles(node):
        asked.append(("kubelet", "/etc/kubernetes/kubelet.conf"))
    for name, path in asked:
        data_there = read_bytes(host.path(layout.kubeconfigs.get(name) or path))
        if data_there is not None:
            server = kubeconfig.parse(data_there, path).server
            return dataclasses.replace(cluster, load_balancer=server.partition("://")[2].partition("/")[0])
    return cluster


def sign_all(host: Host, parameters: t.Mapping[str, t.Any], now: float) -> dict[str, t.Any]:
    """The answers to what other hosts ask for, and the authorities' certificates that they lack, by node.

    Raises:
        HardeningError: A request that may not be signed; then nothing was.
    """
    seen = view(host, parameters, now, check=True)
    signers = pki_files.load_authorities(seen.pki, seen.files, now)
    bundles = {item.name: seen.files[item.path.certificate] for item in seen.pki.authorities if item.name in signers}
    cluster = data.cluster(parameters["cluster"])
    cluster = with_endpoint(host, data.layout(parameters["layout"]), cluster, str(parameters["node_name"]))
    return answer_all([(entry, cluster) for entry in parameters["hosts"]], signers, bundles, now, parameters["policy"])


def _require_one(cluster: ClusterFacts, node: str) -> None:
    """Refuse to sign for a node that two hosts say they are: one of them would get what the other has.

    A directory that stands for a host may not know its name, which is no claim.
    """
    if node and sum(host.node_name == node for host in cluster.control_planes + cluster.nodes) > 1:
        raise HardeningError(
            "KH308",
            f"More than one host of the inventory says that it is the node '{node}'. Nothing was signed; look which of "
            "them it is, and leave the other out with --limit.",
        )


def answer_all(
    asking: t.Iterable[tuple[t.Mapping[str, t.Any], ClusterFacts]],
    signers: t.Mapping[str, Authority],
    bundles: t.Mapping[str, bytes],
    now: float,
    policy: t.Mapping[str, t.Any],
) -> dict[str, t.Any]:
    """The answers to what hosts ask for, and the authorities' certificates that they lack, by node.

    Args:
        asking: What each host asks for (``node_name``, ``layout``, ``requests``, ``bundles``), and the cluster by which
            it is judged.
        signers: The authorities with their keys, by name.
        bundles: What hosts trust, in PEM, by the name of the authority.
        now: Seconds since 1970.
        policy: The data of pki.data.policy.

    Raises:
        HardeningError: A request that may not be signed; then nothing was.
    """
    answers: dict[str, dict[str, str]] = {}
    given: dict[str, dict[str, str]] = {}
    for entry, cluster in asking:
        node = str(entry["node_name"])
        _require_one(cluster, node)
        pki = table.host_pki(data.layout(entry.get("layout") or {}), cluster, node)
        requests = [Request(**request) for request in entry["requests"]]
        answers[node] = sign(pki, requests, signers, now, data.policy(policy))
        given[node] = {name: bundles[name].decode("ascii") for name in entry["bundles"] if name in bundles}
    return {"answers": answers, "bundles": given}
