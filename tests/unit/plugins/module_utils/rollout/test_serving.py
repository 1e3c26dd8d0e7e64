# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for serving certificates: those of one batch of hosts first, whatever else waits once at the end."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import serving

NODES = ("cp1", "w1", "w2")


def node(name: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name}, "status": {"addresses": []}}


def request(name: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": f"csr-{name}"},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": f"system:node:{name}",
            "request": "bm9uZQ==",
        },
        "status": {},
    }


@pytest.fixture
def cluster() -> serving.Cluster:
    def refuse(_request: dict[str, t.Any]) -> None:
        raise AssertionError("what cannot be read is not approved")

    return serving.Cluster(
        requests=lambda: [request(name) for name in NODES],
        nodes=lambda: [node(name) for name in NODES],
        approve=refuse,
        certify=lambda _request, _certificate: False,
        peer=lambda _host, _port: Peer(None, "nobody is asked"),
        authority=b"",
        clock=lambda: 0.0,
        sleep=lambda _seconds: None,
    )


def named(sentences: list[str]) -> list[str]:
    return [sentence.split()[1] for sentence in sentences]


@pytest.mark.parametrize(
    ("expected", "judged"),
    [((), ["csr-cp1", "csr-w1", "csr-w2"]), (("w2",), ["csr-w2"]), (("w1", "cp1"), ["csr-cp1", "csr-w1"])],
)
def test_requests_of_other_nodes_than_the_expected_are_left_to_the_end(
    cluster: serving.Cluster, expected: tuple[str, ...], judged: list[str]
) -> None:
    good, refused = serving.pending(cluster, expected)
    assert good == []
    assert named(refused) == judged


def test_where_nobody_is_expected_everything_that_waits_is_judged_once(
    cluster: serving.Cluster, tmp_path: Path
) -> None:
    backup = Backup(Host(str(tmp_path)), "run-1")
    changes, refused = serving.approve(cluster, [], 10.0, backup)
    assert changes == []
    assert not os.path.exists(backup.directory)  # what is not approved is no change
    assert named(refused) == ["csr-cp1", "csr-w1", "csr-w2"]
