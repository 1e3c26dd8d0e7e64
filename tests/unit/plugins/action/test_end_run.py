# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the account of a run says of hosts that nobody has looked at, and of the way back."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.end_run import KUBE_PROXY, TRIED, ActionModule

#: What a variable of each kind of host holds.
SEEN: dict[str, t.Any] = {"looked_at": True}
DIRECTORY: dict[str, t.Any] = {"looked_at": False}
SILENT: dict[str, t.Any] = {"silent": True}
NO_GROUPS: t.Mapping[str, t.Any] = types.MappingProxyType({})


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., str]:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})

    def end(
        check_mode: bool, results: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any] = NO_GROUPS, **arguments: t.Any
    ) -> str:
        lines: list[str] = []
        action = ActionModule.__new__(ActionModule)
        given = {"report_dir": str(tmp_path / "report"), "run_id": "r", "results": ["found"], **arguments}
        action._task = types.SimpleNamespace(args=given, check_mode=check_mode)
        action._display = types.SimpleNamespace(display=lines.append)
        proxy, trial = results.get("proxy"), results.get("trial")
        hostvars = types.SimpleNamespace(raw_get=lambda name: {"found": results[name], KUBE_PROXY: proxy, TRIED: trial})
        hosts = [name for name in results if name not in ("proxy", "trial")]
        action.run(None, {"ansible_play_hosts_all": hosts, "hostvars": hostvars, "groups": groups})
        return "\n".join(lines)

    return end


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"cp1": SEEN, "w1": SEEN}, "Ready: nothing keeps a run from beginning on 2 hosts. Nothing"),
        ({"cp1": SEEN, "w1": SILENT}, "Ready: nothing keeps a run from beginning on 1 hosts. Nothing"),
        ({"cp1": SEEN, "w1": DIRECTORY}, "beginning on 1 hosts; hosts that were not looked at: 1. Nothing"),
        ({"cp1": DIRECTORY, "w1": None}, "Whether a run can begin was not looked at on any host. Nothing"),
    ],
)
def test_preflight_calls_ready_what_was_seen(told: t.Callable[..., str], results: dict[str, t.Any], words: str) -> None:
    assert words in told(True, results, ready=True)


@pytest.mark.parametrize(
    ("trial", "ready", "words"),
    [
        ({"tries": True, "notes": ["It was not."]}, True, "What changes of control planes was tried beside what runs"),
        ({"tries": False}, True, "No component was tried beside the running one; preflight.yml without --check does"),
        (None, True, "No component was tried beside the running one"),
        # A run says of it what it says when the host has had its turn.
        ({"tries": True, "notes": ["It was not."]}, False, ""),
    ],
)
def test_preflight_says_whether_it_tried(
    told: t.Callable[..., str], trial: dict[str, t.Any] | None, ready: bool, words: str
) -> None:
    said = told(True, {"cp1": SEEN, "trial": trial}, ready=ready)
    assert words in said
    assert ("cp1: It was not." in said) == (ready and bool((trial or {}).get("notes")))


def test_neither_a_rollback_nor_a_rotation_is_sent_back(told: t.Callable[..., str]) -> None:
    wrote = {"cp1": {"backup": "/var/lib/kubeharden/backups/r"}}
    assert "To put them back: rollback.yml -e kubeharden_run_id=r" in told(False, wrote)
    assert "rollback.yml" not in told(False, wrote, way_back="False")
    assert "rollback.yml" not in told(False, wrote, certificates=True)


NODES_ALONE = "has no host in kube_control_plane, so that this run was about nodes alone. What is in the API was not"
THROUGH_W1 = "so that this run was about nodes, and about kube-proxy through w1 (kubeharden_kubeconfig). kubeadm's"
NO_PART = "w1, through which harden.yml hardens kube-proxy (kubeharden_kubeconfig), took no part."
ASKED: dict[str, t.Any] = {"asking_nodes": ["w1", "w2"]}


@pytest.mark.parametrize(
    ("workers", "proxy", "arguments", "words", "others"),
    [
        (["w1", "w2"], None, {}, [NODES_ALONE, "With a kubeconfig on a node"], [NO_PART, THROUGH_W1]),
        (["w1", "w2"], {"changes": []}, ASKED, [THROUGH_W1, "run harden.yml after it"], [NODES_ALONE]),
        # By a tag, by a playbook that has nothing to do with it, by --limit.
        (["w1", "w2"], {"skipped": True}, ASKED, [NODES_ALONE], [NO_PART, THROUGH_W1, "With a kubeconfig"]),
        (["w1", "w2"], None, ASKED, [NODES_ALONE], [NO_PART, THROUGH_W1, "With a kubeconfig"]),
        (["w2"], None, ASKED, [NODES_ALONE, NO_PART], [THROUGH_W1]),
        (["w1", "w2"], None, {"way_back": False}, [], [NODES_ALONE]),
    ],
)
def test_what_is_left_where_somebody_else_keeps_the_control_plane_is_told(
    told: t.Callable[..., str],
    workers: list[str],
    proxy: dict[str, t.Any] | None,
    arguments: dict[str, t.Any],
    words: list[str],
    others: list[str],
) -> None:
    results = {"w1": SEEN, "w2": SEEN, "proxy": proxy}
    account = told(False, results, {"kubeharden_workers": workers}, hosts=["w1", "w2"], **arguments)
    assert [text for text in (*words, *others) if text in " ".join(account.split())] == words
    planes = {"kube_control_plane": ["cp1"], "kubeharden_workers": workers}
    assert NODES_ALONE not in told(False, results, planes, hosts=["w1", "w2"])
