# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reaches kubeadm's ConfigMaps: the concerns that are wanted, without what one of their hosts has waived."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.kubeadm_config import ActionModule


class Variables(dict[str, t.Any]):
    """Variables of hosts as Ansible has them."""

    def raw_get(self, host: str) -> t.Any:
        return self[host]


TAGS = {"ansible_run_tags": ["all"], "ansible_skip_tags": [], "groups": {}, "hostvars": Variables()}
KUBELET = {
    "kubelet": {
        "tlsMinVersion": {"ordered_minimum": "VersionTLS12", "control": "kubelet-tls-version"},
        "podPidsLimit": {"keep": 4096, "control": "kubelet-pod-pids"},
    }
}


def state(*controls: str) -> dict[str, t.Any]:
    settings = [{"flag": control, "data": {"exact": "1", "control": control}, "values": ["1"]} for control in controls]
    return {"kube-apiserver": {"settings": settings, "mounts": []}}


def prepared(task_vars: dict[str, t.Any] | None = None, **arguments: t.Any) -> dict[str, t.Any]:
    action = ActionModule.__new__(ActionModule)
    given = {"kubelet_settings": KUBELET, "control_planes": ["cp1", "cp2"], "nodes": ["cp1", "cp2", "w1"], **arguments}
    found: dict[str, t.Any] = action.prepare(given, task_vars or TAGS)
    return found


def flags(states: list[dict[str, t.Any]]) -> list[list[str]]:
    return [[setting["flag"] for setting in one["kube-apiserver"]["settings"]] for one in states]


def test_without_waivers_everything_reaches_them() -> None:
    arguments = prepared(states=[state("a", "b"), state("a", "b")])
    assert flags(arguments["states"]) == [["a", "b"], ["a", "b"]]
    assert arguments["base_states"] == []
    assert sorted(arguments["kubelet_settings"]) == ["podPidsLimit", "tlsMinVersion"]


def test_what_one_host_has_waived_reaches_none_of_them() -> None:
    """cp2 has waived b: its own state is without it, and that of cp1 would bring it back to cp2."""
    waived = {"b": ["cp2"], "kubelet-pod-pids": ["w1"], "a": ["w1"]}
    arguments = prepared(states=[state("a", "b"), state("a")], base_states=[state("b")], waived=waived)
    assert flags(arguments["states"]) == [["a"], ["a"]]
    assert flags(arguments["base_states"]) == [[]]
    assert sorted(arguments["kubelet_settings"]) == ["tlsMinVersion"]


def test_a_task_without_kubelet_settings_has_none() -> None:
    arguments = prepared(kubelet_settings=None, waived={"b": ["cp1"]})
    assert arguments["kubelet_settings"] == {}
    assert arguments["states"] == []


def test_what_every_kubelet_has_stricter_is_asked_for() -> None:
    configuration = {"tlsMinVersion": "VersionTLS13", "podPidsLimit": 1024}
    known = {"__discover_found": {"discovery": {"kubelet": {"configuration": configuration, "flags": {}}}}}
    hosts = {"cp1": known, "w1": known, "etcd1": {"__discover_found": {}}}
    task_vars = {**TAGS, "groups": {"kubeharden_candidates": list(hosts)}, "hostvars": Variables(hosts)}
    asked = prepared(task_vars)["kubelet_settings"]
    assert asked["tlsMinVersion"] == {"ordered_minimum": "VersionTLS13", "control": "kubelet-tls-version"}
    assert prepared(task_vars, unseen=["w9"])["kubelet_settings"] == KUBELET["kubelet"]
