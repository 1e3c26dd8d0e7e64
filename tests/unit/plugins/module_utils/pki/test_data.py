# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of modules become values, and what cannot be one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    ClusterFacts,
    HostFacts,
    Layout,
    PairPath,
)


def test_what_is_not_given_is_kubeadms() -> None:
    assert data.layout({}) == Layout()
    assert data.cluster({}) == ClusterFacts(())
    assert data.policy({}) == Policy()


def test_everything_that_can_be_given() -> None:
    layout = data.layout(
        {
            "pki": "/srv/pki",
            "pairs": {"apiserver": {"certificate": "/a.crt", "key": "/a.key"}},
            "kubeconfigs": {"admin": "/admin"},
            "absent": ["etcd-peer"],
            "super_admin": True,
        }
    )
    assert layout.pairs == {"apiserver": PairPath("/a.crt", "/a.key")}
    assert (layout.pki, layout.absent, layout.super_admin) == ("/srv/pki", frozenset({"etcd-peer"}), True)
    cluster = data.cluster(
        {
            "control_planes": [{"node_name": "cp1", "addresses": ["192.0.2.11"], "extra_names": ["x"]}],
            "version": "v1.36.1",
        }
    )
    assert cluster.control_planes == (HostFacts("cp1", ("192.0.2.11",), ("x",)),)
    assert cluster.version == (1, 36, 1)
    assert data.policy({"lifetime_days": 2, "renew_all": True}) == Policy(lifetime=172800.0, renew_all=True)
    assert data.policy({"usual_days": 90.5}) == Policy(usual=90.5 * 86400)
    assert data.policy({"names": "table"}) == Policy(user_set=frozenset({"names"}))
    assert data.policy({"names": "keep"}) == Policy()


@pytest.mark.parametrize("version", ["1.37", "latest", "1.37.x"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(HardeningError, match="is no version of Kubernetes"):
        data.cluster({"version": version})


def test_an_algorithm_that_kubernetes_cannot_use_is_refused() -> None:
    given: dict[str, Any] = {"key_algorithm": "Ed25519"}
    with pytest.raises(HardeningError, match="ECDSA-P256"):
        data.policy(given)
