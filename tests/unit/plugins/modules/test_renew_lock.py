# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a batch of nodes what was changed by then is seen to be well, through a control plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, sight
from ansible_collections.kubeharden.core.plugins.modules import renew_lock

SERVERS = {"cp1": "https://192.0.2.1:6443"}


def renew(root: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    given = {"root": str(root), "run_id": "first", "discovery": {"admin_kubeconfig": "/etc/kubernetes/admin.conf"}}
    with patch_module_args({**given, **options}), pytest.raises(SystemExit):
        renew_lock.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []

    def require(*arguments: Any) -> None:
        seen.append(arguments)
        if "w2" in arguments[2]:
            raise HardeningError("KH134", "Node w2 is not Ready.")

    monkeypatch.setattr(sight, "build", lambda _host, admin, *_rest: f"by {admin}")
    monkeypatch.setattr(cluster_health, "require_cluster_well", require)
    return seen


def test_what_was_changed_must_be_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[Any, ...]]
) -> None:
    result = renew(tmp_path, capsys, api_servers=SERVERS, nodes=["w1"], gate_timeout=60)
    assert (result["changed"], asked) == (False, [("by /etc/kubernetes/admin.conf", SERVERS, ["w1"], 60.0)])
    result = renew(tmp_path, capsys, api_servers=SERVERS, nodes=["w1", "w2"])
    assert (result["failed"], result["msg"]) == (True, "KH134: Node w2 is not Ready.")


def test_where_nothing_was_changed_nothing_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[Any, ...]]
) -> None:
    assert renew(tmp_path, capsys)["changed"] is False
    assert asked == []
