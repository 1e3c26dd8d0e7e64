# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server warns of when a namespace gets a level, in the words of 1.37.1."""

from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import pod_security

VIOLATED = 'existing pods in namespace "hot" violate the new PodSecurity enforce level "baseline:v1.37"'
PODS = ["etcd-cp1 (and 3 other pods): host namespaces, hostPath volumes", "kube-proxy-bt7wm: privileged"]
PARTIAL = "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods"
UNLISTED = "failed to list pods while checking new PodSecurity enforce level"
EXEMPT = 'namespace "hot" is exempt from Pod Security, and the policy (enforce=baseline:v1.37) will be ignored'


@pytest.mark.parametrize(
    ("warnings", "reason"),
    [
        ([], ""),
        (["spec.externalIPs is deprecated"], ""),
        ([VIOLATED, *PODS], "; ".join(PODS)),
        ([VIOLATED], VIOLATED),
        ([PARTIAL, VIOLATED, PODS[0]], PODS[0]),
        ([PARTIAL], PARTIAL),
        ([UNLISTED], UNLISTED),
        ([EXEMPT], ""),
    ],
)
def test_a_namespace_is_refused_for_pods_that_violate_or_were_not_looked_at(warnings: list[str], reason: str) -> None:
    assert pod_security.reason(warnings) == reason


def test_a_server_that_exempts_a_namespace_says_so() -> None:
    assert pod_security.exempt([EXEMPT])
    assert not pod_security.exempt([VIOLATED, *PODS])


@pytest.mark.parametrize(
    ("labels", "own"),
    [(None, False), ({}, False), ({"pod-security.kubernetes.io/warn": "baseline"}, False)]
    + [({"pod-security.kubernetes.io/enforce": level}, True) for level in ("privileged", "restricted", "")],
)
def test_a_label_of_its_own_governs_a_namespace(labels: dict[str, str] | None, own: bool) -> None:
    assert pod_security.governed({"metadata": {"name": "hot", "labels": labels}}) == own
