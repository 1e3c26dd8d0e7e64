# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which API servers and nodes must be well before kubelets are restarted, from what the run has done by then."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action import kubelet, renew_lock

KUBELET: dict[str, t.Any] = {"configuration": {}, "flags": {}, "version": "1.37.1"}
SERVERS = {"cp1": "https://192.0.2.1:6443", "cp2": "https://192.0.2.2:6443"}


class Hostvars:
    """What discovery returned of two control planes and two workers."""

    def raw_get(self, host: str) -> dict[str, t.Any]:
        number = host[-1]
        server = {"kube-apiserver": {"flags": {"advertise-address": f"192.0.2.{number}"}}}
        components = server if host.startswith("cp") else {}
        found = {"node_name": f"n-{host}", "components": components, "kubelet": dict(KUBELET)}
        return {"__discover_found": {"discovery": found}}


VARIABLES: dict[str, t.Any] = {
    "hostvars": Hostvars(),
    "groups": {"kubeharden_candidates": ["cp1", "cp2", "w1", "w2"]},
    "ansible_run_tags": ["all"],
    "ansible_skip_tags": [],
}


def test_before_a_batch_every_api_server_and_the_nodes_that_were_changed() -> None:
    action = renew_lock.ActionModule.__new__(renew_lock.ActionModule)
    given = action.prepare({"run_id": "first", "changed_hosts": ["w1", "cp2"]}, VARIABLES)
    assert given == {"run_id": "first", "api_servers": SERVERS, "nodes": ["n-cp2", "n-w1"]}


def test_where_nothing_was_changed_nothing_is_asked() -> None:
    action = renew_lock.ActionModule.__new__(renew_lock.ActionModule)
    assert action.prepare({"run_id": "first", "changed_hosts": []}, VARIABLES) == {"run_id": "first"}


class PutBack(Hostvars):
    """What a rollback has restarted by now; two API servers of three were not well when it began."""

    PARTS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "cp1": {"__rollback_kubelet": {"skipped": True}},
        "cp2": {
            "__rollback_static_pods": {"restarted": {"kube-apiserver": 40.0}, "was_ready": False},
            "__rollback_kubelet": {"restarted": {"kubelet": 14.0}, "was_ready": True},
        },
        "cp3": {"__rollback_static_pods": {"restarted": {"kube-scheduler": 4.0}, "was_ready": False}},
        "w1": {"__rollback_kubelet": {"restarted": {"kubelet": 14.0}, "was_ready": True}},
        "w2": {"__rollback_kubelet": {"restarted": {"kubelet": 14.0}, "was_ready": False}},
        "w3": {"__rollback_kubelet": {"restarted": {}, "was_ready": True}},
    }

    def raw_get(self, host: str) -> dict[str, t.Any]:
        found = super().raw_get(host)
        evidence = {"api": {"unwell": "" if host == "cp1" else "it does not run"}}
        found["__discover_found"]["evidence"] = evidence
        return {**found, **self.PARTS[host]}


def test_of_a_rollback_what_was_well_before_or_was_proven_since() -> None:
    """What it does not heal keeps nothing from going back."""
    action = renew_lock.ActionModule.__new__(renew_lock.ActionModule)
    variables = {**VARIABLES, "hostvars": PutBack(), "groups": {"kubeharden_candidates": list(PutBack.PARTS)}}
    given = action.prepare({"run_id": "back", "changed_hosts": ["cp2", "cp3", "w1", "w2"]}, variables)
    assert given == {"run_id": "back", "api_servers": SERVERS, "nodes": ["n-cp2", "n-w1"]}


@pytest.mark.parametrize("host", ["cp1", "w1"])
def test_before_the_kubelet_of_a_control_plane_all_of_them(host: str) -> None:
    """Of a worker a control plane was asked before its batch."""
    action = kubelet.ActionModule.__new__(kubelet.ActionModule)
    discovery = Hostvars().raw_get(host)["__discover_found"]["discovery"]
    given = action.prepare({"discovery": discovery}, VARIABLES)
    around = {name: given[name] for name in ("api_servers", "nodes") if name in given}
    everybody = {"api_servers": SERVERS, "nodes": ["n-cp1", "n-cp2", "n-w1", "n-w2"]}
    assert around == (everybody if host == "cp1" else {})
