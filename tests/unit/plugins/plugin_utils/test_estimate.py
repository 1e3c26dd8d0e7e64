# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds that restarts take, from what a run foretells."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils import estimate
from ansible_collections.kubeharden.core.plugins.plugin_utils.estimate import SECONDS, TRIAL

API = SECONDS["kube-apiserver"]


def change(*restart: str, kind: str = "manifest", host: str = "cp1") -> dict[str, t.Any]:
    return {"host": host, "kind": kind, "restart": list(restart)}


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ([], 0),
        ([change(kind="attributes")], 0),
        ([change("kube-apiserver"), change("kube-apiserver", kind="file")], API + TRIAL),
        # Static pods are tried at once, and restart at once.
        ([change("kube-apiserver"), change("kube-scheduler"), change("kube-controller-manager")], API + TRIAL),
        ([change("etcd", "kube-apiserver")], SECONDS["etcd"] + API),
        ([change("etcd", "kube-apiserver"), change("kube-apiserver")], SECONDS["etcd"] + API + TRIAL),
        ([change("kubelet", kind="file"), change("kubelet", kind="file")], SECONDS["kubelet"]),
        # The flag that verifies kubelets comes with a second write.
        ([change("kube-apiserver"), change("kube-apiserver")], 2 * API + TRIAL),
        ([change("kube-apiserver", kind="file")], API),
    ],
)
def test_a_host(changes: list[dict[str, t.Any]], seconds: int) -> None:
    assert estimate.of_host(changes) == seconds


@pytest.mark.parametrize(
    ("batch", "times"), [(("1", "25%"), 3), (("100%",), 1), (("2",), 2), (("1",), 3), (("1", "9"), 2)]
)
def test_control_planes_come_one_by_one_and_nodes_in_batches(batch: tuple[str, ...], times: int) -> None:
    nodes = ["w1", "w2", "w3"]
    kubelets = [change("kubelet", kind="file", host=host) for host in ("cp1", "cp2", *nodes)]
    assert estimate.of_run(kubelets, ["cp1", "cp2"], nodes, batch) == (2 + times) * SECONDS["kubelet"]


@pytest.mark.parametrize(("at_once", "trials"), [(True, 1), (False, 2)])
def test_control_planes_are_tried_all_at_once_but_on_the_way_back(at_once: bool, trials: int) -> None:
    manifests = [change("kube-apiserver", host="cp1"), change("kube-apiserver", host="cp2")]
    others = [change("kubelet", kind="file", host="cp3")]
    found = estimate.of_run([*manifests, *others], ["cp1", "cp2", "cp3"], at_once=at_once)
    assert found == 2 * API + SECONDS["kubelet"] + trials * TRIAL


def test_a_batch_without_a_restart_takes_no_time() -> None:
    changes = [change("kubelet", kind="file", host="w2"), change(kind="attributes", host="w1")]
    assert estimate.of_run(changes, [], ["w1", "w2"]) == SECONDS["kubelet"]


def test_what_belongs_to_no_host() -> None:
    assert estimate.of_run([change("kube-proxy", kind="api_object", host="")], []) == SECONDS["kube-proxy"]
    assert estimate.of_run([], []) == 0
