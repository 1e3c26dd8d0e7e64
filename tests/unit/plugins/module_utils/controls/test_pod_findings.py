# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pods let their containers do: what the level restricted of Pod Security would take is no finding."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_findings

CHECKS = (
    "pods_privilege_escalation",
    "pods_root",
    "pods_net_raw",
    "pods_capabilities",
    "pods_seccomp",
    "pods_security_context",
)
#: What the level restricted takes.
RESTRICTED: dict[str, t.Any] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(own: dict[str, t.Any] | None, of_pod: dict[str, t.Any] | None = None, **more: t.Any) -> dict[str, t.Any]:
    container = {"name": "main", **({"securityContext": own} if own is not None else {})}
    spec = {"containers": [container], **({"securityContext": of_pod} if of_pod is not None else {})}
    spec.update(more.pop("spec", {}))
    metadata = {"name": "web-1", "namespace": "team", **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": spec, **more}


def failing(*pods: dict[str, t.Any]) -> set[str]:
    return {check for check in CHECKS if api_findings.find(check, {"pods": pods})}


def test_a_pod_of_the_level_restricted_has_no_finding() -> None:
    assert failing(pod(RESTRICTED)) == set()
    of_pod = {key: RESTRICTED[key] for key in ("runAsNonRoot", "seccompProfile")}
    own = {key: RESTRICTED[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    assert failing(pod(own, of_pod)) == set()
    ports = {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert failing(pod({**RESTRICTED, "capabilities": ports})) == set()


@pytest.mark.parametrize("own", [None, {}])
def test_a_pod_that_says_nothing_has_every_finding(own: dict[str, t.Any] | None) -> None:
    assert failing(pod(own)) == set(CHECKS)
    assert failing(pod(own, {})) == set(CHECKS)


CAPABILITIES = {"pods_net_raw", "pods_capabilities"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"allowPrivilegeEscalation": True}, {"pods_privilege_escalation"}),
        ({"allowPrivilegeEscalation": None}, {"pods_privilege_escalation"}),
        ({"privileged": True}, CAPABILITIES),
        ({"runAsNonRoot": False}, {"pods_root"}),
        ({"runAsNonRoot": None}, {"pods_root"}),
        ({"runAsNonRoot": None, "runAsUser": 1000}, set()),
        ({"runAsUser": 0}, {"pods_root"}),
        ({"capabilities": None}, CAPABILITIES),
        ({"capabilities": {"drop": ["NET_RAW"]}}, {"pods_capabilities"}),
        ({"capabilities": {"drop": ["all"], "add": ["NET_RAW"]}}, CAPABILITIES),
        ({"capabilities": {"drop": ["ALL"], "add": ["CAP_SYS_ADMIN"]}}, {"pods_capabilities"}),
        ({"capabilities": {"drop": ["ALL"], "add": ["ALL"]}}, CAPABILITIES),
        ({"capabilities": {"drop": ["SETUID"]}}, CAPABILITIES),
        ({"seccompProfile": {"type": "Unconfined"}}, {"pods_seccomp"}),
        ({"seccompProfile": None}, {"pods_seccomp"}),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}}, set()),
    ],
)
def test_what_a_container_may_do(change: dict[str, t.Any], found: set[str]) -> None:
    assert failing(pod({**RESTRICTED, **change})) == found


def test_a_containers_word_counts_before_its_pods() -> None:
    assert failing(pod({**RESTRICTED, "runAsUser": 1000}, {"runAsUser": 0})) == set()
    assert failing(pod({**RESTRICTED, "runAsNonRoot": False}, {"runAsNonRoot": True})) == {"pods_root"}
    unconfined = {**RESTRICTED, "seccompProfile": {"type": "Unconfined"}}
    assert failing(pod(unconfined, {"seccompProfile": {"type": "RuntimeDefault"}})) == {"pods_seccomp"}


@pytest.mark.parametrize("key", ["initContainers", "ephemeralContainers"])
def test_containers_of_every_kind_count(key: str) -> None:
    assert failing(pod(RESTRICTED, {}, spec={key: [{"name": "other"}]})) == set(CHECKS)


def test_what_is_passed_over() -> None:
    assert failing(pod(None, metadata={"namespace": "kube-system"})) == set()
    for phase in ("Succeeded", "Failed"):
        assert failing(pod(None, status={"phase": phase})) == set()
    assert failing(pod(None, status={"phase": "Running"})) == set(CHECKS)
    # Linux' ways to hold a process are none of Windows'.
    assert failing(pod(None, spec={"os": {"name": "windows"}})) == {"pods_security_context"}
    assert failing({"metadata": {"name": "odd", "namespace": "team"}}) == set()


def test_pods_of_one_template_are_one_finding() -> None:
    def made(kind: str, name: str, number: int) -> dict[str, t.Any]:
        owner = {"kind": kind, "name": name, "controller": True}
        return pod(None, metadata={"name": f"{name}-{number}", "ownerReferences": [owner]})

    pods = [made("ReplicaSet", "web-5d4f", number) for number in range(3)]
    pods += [made("Node", "cp1", 1), pod(None, spec={"containers": [{"name": "b"}, {"name": "a"}]})]
    assert api_findings.find("pods_root", {"pods": pods}) == [
        "ReplicaSet team/web-5d4f: main",
        "pod team/cp1-1: main",
        "pod team/web-1: b, a",
    ]
