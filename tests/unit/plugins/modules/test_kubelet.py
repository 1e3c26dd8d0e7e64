# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of a control plane is not restarted beside another control plane that is not well."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import host as hosts
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, kubelet, sight, watch
from ansible_collections.kubeharden.core.plugins.modules import kubelet as module

SERVERS = {"cp2": "https://192.0.2.2:6443"}


@pytest.mark.parametrize(
    ("component", "well", "said"),
    [
        (
            "kube-apiserver",
            False,
            "KH131: ({'cp2': 'https://192.0.2.2:6443'}, ['cp1', 'w1'], 60.0), not heard of: cp1.",
        ),
        # Its API server was away in this run: what is not heard of the node is no word against it, and must end.
        ("kube-apiserver", True, "KH207: It was restarted, and must be Ready: True."),
        ("etcd", False, "KH207: It was restarted, and must be Ready: False."),
    ],
)
def test_the_cluster_is_proven_before_the_kubelet_of_a_control_plane(
    component: str,
    well: bool,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def require(*arguments: Any, unheard: str) -> None:
        if not well:
            raise HardeningError("KH131", f"{arguments[1:]}, not heard of: {unheard}.")

    def apply(_backup: Any, service: kubelet.Service, _limit: float) -> None:
        raise HardeningError("KH207", f"It was restarted, and must be Ready: {service.must_be_ready}.")

    planned = types.SimpleNamespace(plan=lambda: ["a change"], apply=apply)
    monkeypatch.setattr(hosts, "open_host", lambda *_: types.SimpleNamespace(live=True, path=lambda path: path))
    monkeypatch.setattr(kubelet, "Kubelet", lambda *_: planned)
    monkeypatch.setattr(cluster_health, "node_probe", lambda *_: None)
    monkeypatch.setattr(cluster_health, "require_cluster_well", require)
    monkeypatch.setattr(sight, "build", lambda *_: object())
    monkeypatch.setattr(watch, "require_well", lambda *_, **_left: None)
    found: dict[str, Any] = {
        "node_name": "cp1",
        "admin_kubeconfig": None,
        "components": {component: {}},
        "kubelet": {"kubeconfig": None, "configuration": {}},
    }
    given = {"root": str(tmp_path), "run_id": "first", "discovery": found, "settings": {}, "api_servers": SERVERS}
    with patch_module_args({**given, "nodes": ["cp1", "w1"], "gate_timeout": 60}), pytest.raises(SystemExit):
        module.main()
    assert json.loads(capsys.readouterr().out)["msg"] == said
