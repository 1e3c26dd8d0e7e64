# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy through a control plane, or through a node where somebody else keeps that."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible_collections.kubeharden.core.plugins.action import kube_proxy as action
from ansible_collections.kubeharden.core.plugins.module_utils.files import host as hosts
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    kube_proxy as rollout,
    kube_proxy_api,
    lease,
)
from ansible_collections.kubeharden.core.plugins.modules import kube_proxy

API = {"version": "1.37.1", "minor": 37, "obstacle": ""}
NODE = {"admin_kubeconfig": "/root/api.conf", "components": {}, "api": API}
PLANE = {"admin_kubeconfig": "/a.conf", "components": {"kube-apiserver": {"version": "1.37.1", "minor": 37}}}
REFUSED = {**NODE, "api": {**API, "obstacle": "the user of /root/api.conf may not list pods in kube-system"}}


class Planned:
    """A plan without changes, with pods that are right."""

    def __init__(self, *_arguments: t.Any) -> None:
        self.notes: list[str] = []
        self.not_done: list[str] = []
        self.found: dict[str, t.Any] = {}

    def plan(self) -> list[t.Any]:
        return []

    def patch(self) -> str:
        return "- op: add\n"


def work(discovery: dict[str, t.Any], tmp_path: Path, patch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    host = Host(str(tmp_path))
    host.live = True  # nothing is written: the plan is without changes
    patch.setattr(hosts, "open_host", lambda *_arguments: host)
    patch.setattr(rollout, "KubeProxy", Planned)
    patch.setattr(lease, "lease_of", lambda _path: None)
    patch.setattr(kube_proxy_api, "build", lambda *_arguments: None)
    given: dict[str, t.Any] = {"root": "/", "root_seed": None, "run_id": "r", "discovery": discovery, "missing": []}
    given = {**given, "settings": {}, "pod": {}, "kubectl": None, "gate_timeout": 1}
    made = type("Module", (), {"params": given, "check_mode": False, "_diff": False, "run_command": None, "tmpdir": ""})
    return kube_proxy.work(t.cast(t.Any, made))


def test_a_patch_is_given_to_control_planes_and_on_a_node_it_is_said_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_plane, on_node = (work(found, tmp_path, monkeypatch) for found in (PLANE, NODE))
    assert (on_plane["patch"], on_node["patch"]) == ("- op: add\n", "")
    assert (len(on_plane["at_last"]), on_node["at_last"]) == (1, [])
    assert "only with --patches" in on_plane["at_last"][0]
    (note,) = on_node["notes"]
    assert note.endswith("as kubeadm does, and give its pods their rights back: run harden.yml after it.")


def test_what_keeps_it_from_being_changed_is_told_and_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = work(REFUSED, tmp_path, monkeypatch)
    (sentence,) = result["not_done"]
    assert sentence == (
        "ConfigMap kube-system/kube-proxy and the DaemonSet were left as they are, since the user of /root/api.conf "
        "may not list pods in kube-system. Mend that, and run again."
    )
    assert (result["changed"], result["patch"], result["notes"]) == (False, "", [])


@pytest.mark.parametrize("discovery", [NODE, PLANE, REFUSED])
def test_flags_of_the_users_become_fields_by_the_version_of_the_api_server(discovery: dict[str, t.Any]) -> None:
    made = action.ActionModule.__new__(action.ActionModule)
    arguments = {
        "discovery": discovery,
        "settings": {},
        "pod": {"notes": ["what the template left"]},
        "extra_flags": {"kube-proxy": {"v": 3}},
    }
    given = made.prepare(arguments, {"ansible_run_tags": ["all"], "ansible_skip_tags": []})
    refused = discovery is REFUSED
    assert [field for field in given["settings"] if "verbosity" in field] == ([] if refused else ["logging.verbosity"])
    assert made._notes == ([] if refused else ["what the template left"])
