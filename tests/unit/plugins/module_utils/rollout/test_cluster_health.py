# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as its own kubelet may ask for it. What the whole cluster shows is tested in test_control_plane.py."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import listed

NODE = "/api/v1/nodes/w1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/w1"
NINE = 1_767_258_000.0  # 2026-01-01 09:00 UTC


def answer(document: t.Any) -> Answer:
    return Answer(200, json.dumps(document).encode())


def lease(moment: str) -> Answer:
    return answer({"spec": {"renewTime": moment}})


RENEWED, OLD = lease("2026-01-01T09:00:00.500000Z"), lease("2026-01-01T08:59:59.900000Z")


@pytest.mark.parametrize(
    ("node", "lease", "ready"),
    [
        (answer(listed("w1", "")), RENEWED, True),
        (answer(listed("w1", "KubeletNotReady")), RENEWED, False),
        # The word of a kubelet that is gone.
        (answer(listed("w1", "")), OLD, False),
        (answer(listed("w1", "")), answer({}), False),
        (Answer(0, b"", "refused"), RENEWED, None),
        (answer(listed("w1", "")), Answer(403), None),
        (Answer(200, b"no JSON"), RENEWED, None),
        (answer({}), RENEWED, None),
    ],
)
def test_a_node_is_ready_by_the_word_of_the_kubelet_that_is_there_now(
    node: Answer, lease: Answer, ready: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def __init__(self, credentials: str) -> None:
            assert credentials == "of /etc/kubernetes/kubelet.conf"

        def get(self, path: str) -> Answer:
            return {NODE: node, LEASE: lease}[path]

    monkeypatch.setattr(kubeconfig, "load", lambda path: f"of {path}")
    monkeypatch.setattr(cluster_health, "ApiClient", Client)
    probe = cluster_health.node_probe("/etc/kubernetes/kubelet.conf", "w1")
    assert probe(NINE + 0.4) is ready


def test_without_credentials_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> None:
        raise HardeningError("KH118", "it cannot be read.")

    assert cluster_health.node_probe(None, "w1")(0.0) is None
    monkeypatch.setattr(kubeconfig, "load", refuse)
    assert cluster_health.node_probe("/etc/kubernetes/kubelet.conf", "w1")(0.0) is None
