# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the restarts of a run take, foretold from its changes."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import BATCH, batch_sizes

#: Seconds from the write until a component is proven, on a machine with time (docs/measured.md). kube-apiserver under
#: kubeadm's own flags: 30 s until the kubelet ends it, since watches are open, and about 12 s until it looks at the
#: manifest again and the new one is ready. kube-controller-manager and kube-scheduler end at once. etcd while its API
#: server is away. The kubelet must outlive one of its own restarts, which come every 10 s.
SECONDS = {
    "kube-apiserver": 42,
    "kube-controller-manager": 16,
    "kube-scheduler": 16,
    "etcd": 20,
    "kubelet": 14,
    "kube-proxy": 12,
}
#: Seconds that the trial of a host's changed manifests takes, all at once beside the running components, and on all
#: control planes at once. What is written later in the run is tried with them.
TRIAL = 8
_TRIED = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

Change = t.Mapping[str, t.Any]


def of_host(changes: t.Iterable[Change]) -> int:
    """Return about how many seconds the restarts of one host take: static pods at once, etcd before them, the kubelet.

    Args:
        changes: The host's, as changes.json has them. A manifest that is written twice restarts its component twice.
    """
    own = [change for change in changes if change["restart"]]
    restarts = {component: 1 for change in own for component in change["restart"]}
    manifests = _manifests(own)
    restarts.update({component: manifests.count(component) for component in manifests})
    together = max((SECONDS[name] * restarts[name] for name in _TRIED if name in restarts), default=0)
    alone = sum(SECONDS[name] for name in ("etcd", "kubelet", "kube-proxy") if name in restarts)
    return together + alone + (TRIAL if _is_tried(own) else 0)


def _manifests(changes: t.Iterable[Change]) -> list[str]:
    return [change["restart"][0] for change in changes if change["kind"] == "manifest" and change["restart"]]


def _is_tried(changes: t.Iterable[Change]) -> bool:
    manifests = _manifests(changes)
    return any(component in manifests for component in _TRIED)


def of_run(
    changes: t.Sequence[Change],
    control_planes: t.Collection[str],
    nodes: t.Collection[str] = (),
    batch: t.Sequence[str] = BATCH,
    at_once: bool = True,
) -> int:
    """Return about how many seconds a run's restarts take: control planes one after the other, then nodes in batches.

    Args:
        changes: The run's, as changes.json has them.
        control_planes: Those that take part.
        nodes: The other hosts that take part.
        batch: How many of these are changed at a time (kubeharden_batch).
        at_once: Whether control planes are tried all at once, before the first is changed.
    """
    by_host: dict[str, list[Change]] = {}
    for change in changes:
        by_host.setdefault(change["host"], []).append(change)
    seconds = {host: of_host(own) for host, own in by_host.items()}
    total = sum(value for host, value in seconds.items() if host in control_planes or not host)
    tried = sum(1 for host, own in by_host.items() if host in control_planes and _is_tried(own))
    if at_once and tried:
        total -= (tried - 1) * TRIAL
    left = sorted(nodes)
    for size in batch_sizes(batch, len(left)):
        total += max(seconds.get(host, 0) for host in left[:size])
        del left[:size]
    return total
