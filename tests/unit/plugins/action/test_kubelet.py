# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubelet's own part of the configuration is decided by: what kubeadm's ConfigMap will say for all of them."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.kubelet import remembered, told

CONTROL = "kubelet-pod-pids"
ARGUMENTS: dict[str, t.Any] = {
    "settings": {
        "podPidsLimit": {"keep": 4096, "positive": True, "control": CONTROL},
        "protectKernelDefaults": {"exact": True, "needs": "sysctls", "control": "kubelet-kernel-defaults"},
    }
}


def found(*limits: int, text: str = "kind: KubeletConfiguration\npodPidsLimit: 4096\n") -> dict[str, dict[str, t.Any]]:
    hosts: dict[str, dict[str, t.Any]] = {
        f"w{place}": {"discovery": {"kubelet": {"configuration": {"podPidsLimit": limit}, "flags": {}}}}
        for place, limit in enumerate(limits)
    }
    if text:
        hosts["w0"]["discovery"]["config_maps"] = {"kubelet-config": {"kubelet": text}}
    return {**hosts, "etcd1": {}}


def test_what_all_kubelets_have_will_be_said() -> None:
    assert remembered(found(1024, 1024), ARGUMENTS) == {"podPidsLimit": 1024}
    assert remembered(found(1024, 4096), ARGUMENTS) == {"podPidsLimit": 4096}


def test_nothing_more_is_said_while_a_host_is_away_or_has_it_waived() -> None:
    assert remembered(found(1024), {**ARGUMENTS, "unseen": ["w9"]}) == {"podPidsLimit": 4096}
    assert remembered(found(1024), {**ARGUMENTS, "waived": {CONTROL: ["w9"]}}) == {"podPidsLimit": 4096}


def test_without_the_configmap_nobody_knows() -> None:
    assert remembered(found(1024, text=""), ARGUMENTS) == {}


def test_a_node_hears_it_from_the_control_plane_that_told_kubeadm() -> None:
    class Variables(dict[str, t.Any]):
        def raw_get(self, host: str) -> t.Any:
            return self[host]

    hosts = Variables(cp1={"__harden_kubeadm_done": {"remembered": {"podPidsLimit": 1024}}}, cp2={})
    groups = {"kubeharden_control_planes": ["cp2", "cp1"]}
    assert told({"groups": groups, "hostvars": hosts}) == {"podPidsLimit": 1024}
    assert told({"groups": {}, "hostvars": hosts}) == {}
