# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nothing can be chosen every host gives its lock back, and who took the cluster's that one too."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action import rollback_choose, rollback_runs
from ansible_collections.kubeharden.core.plugins.plugin_utils import host_action

RUN = {"run_id": "a", "began": 1.0, "undone_by": "", "undoes": [], "finished": False, "count": 3}
DAMAGED = "KH402: The record of a run is damaged."


class Hostvars:
    """What is registered of each host."""

    def __init__(self, known: dict[str, dict[str, t.Any]]) -> None:
        self._known = known

    def raw_get(self, host: str) -> dict[str, t.Any]:
        return self._known[host]


def task(**arguments: t.Any) -> t.Any:
    return types.SimpleNamespace(args={"root": "/", "run_id": "r", **arguments}, check_mode=False, delegate_to=None)


class Choosing(rollback_choose.ActionModule):
    """Keeps what is given back."""

    def __init__(self, released: list[dict[str, t.Any]], **arguments: t.Any) -> None:
        self._task = task(**arguments)
        self._released = released

    def _execute_module(self, name: str, **arguments: t.Any) -> dict[str, t.Any]:
        assert name == "kubeharden.core.release_lock"
        self._released.append(arguments["module_args"])
        return {"notes": []}


def chosen(
    patch: pytest.MonkeyPatch, seen: dict[str, dict[str, t.Any]], **arguments: t.Any
) -> tuple[dict[str, dict[str, t.Any]], dict[str, list[dict[str, t.Any]]]]:
    """By host, what the action returns, and what it gives back."""
    patch.setattr(ActionBase, "run", lambda *_arguments: {})
    found: dict[str, dict[str, t.Any]] = {
        "cp1": {"cluster_lock": "held"},
        "w1": {"cluster_lock": ""},
        "w2": {"silent": True},
    }
    known = {host: {"__discover_found": one, "__rollback_seen": seen.get(host, {})} for host, one in found.items()}
    results, released = {}, {}
    for host in found:
        released[host] = list[dict[str, t.Any]]()
        variables = {"inventory_hostname": host, "ansible_play_hosts": list(found), "hostvars": Hostvars(known)}
        results[host] = Choosing(released[host], **arguments).run(None, variables)
    return results, released


OWN = {"root": "/", "run_id": "r"}
CLUSTER = {**OWN, "kubeconfig": "/etc/kubernetes/admin.conf"}


def test_a_choice_is_the_same_on_every_host_and_keeps_the_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    results, released = chosen(monkeypatch, {"w1": {"runs": [RUN]}})
    assert [result["runs"] for result in results.values()] == [["a"]] * 3
    assert released == {"cp1": [], "w1": [], "w2": []}


def test_a_run_that_nobody_knows_is_told_once_and_every_lock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    results, released = chosen(monkeypatch, {"w1": {"runs": [RUN]}}, asked="b")
    assert [host for host, result in results.items() if result.get("failed")] == ["cp1"]
    assert results["cp1"]["msg"].startswith("KH405: ")
    assert released == {"cp1": [CLUSTER], "w1": [OWN], "w2": []}


def test_a_record_that_cannot_be_read_is_told_by_its_host_and_every_lock_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, dict[str, t.Any]] = {"cp1": {"runs": [RUN]}, "w1": {"runs": [], "problem": DAMAGED}}
    results, released = chosen(monkeypatch, seen, kubeconfig="/root/config")
    assert {host: result.get("msg") for host, result in results.items()} == {"cp1": None, "w1": DAMAGED, "w2": None}
    assert released == {"cp1": [{**OWN, "kubeconfig": "/root/config"}], "w1": [OWN], "w2": []}


def test_what_a_record_lacks_is_no_failure_of_its_own_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seeing(rollback_runs.ActionModule):
        def __init__(self) -> None:
            self._task = task()
            self._connection = None

        def _execute_module(self, name: str, **_arguments: t.Any) -> dict[str, t.Any]:
            assert name == "kubeharden.core.rollback_runs"
            return {"failed": True, "msg": DAMAGED, "refused": True}

    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    variables = {"inventory_hostname": "w1", "hostvars": Hostvars({"w1": {}})}
    assert Seeing().run(None, variables) == {"changed": False, "runs": [], "problem": DAMAGED}
