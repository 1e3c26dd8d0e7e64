# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that ends early gives its locks back; where the module goes on all the same, the failure says so."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.kubeharden.core.plugins.plugin_utils import host_action
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction

STILL = "A module of run r still works on this host."


class Hostvars:
    """What is registered of each host."""

    def __init__(self, known: dict[str, dict[str, t.Any]]) -> None:
        self._known = known

    def raw_get(self, host: str) -> dict[str, t.Any]:
        return self._known.get(host, {})


def variables(known: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    """The variables of a task on cp2."""
    return {
        "inventory_hostname": "cp2",
        "groups": {"kubeharden_control_planes": list(known)},
        "hostvars": Hostvars(known),
    }


class Action(HostAction):
    """Loses the connection to its module, and then reaches the host again."""

    MODULE = "kubelet"

    def __init__(self, released: dict[str, t.Any]) -> None:
        self._task = t.cast(t.Any, types.SimpleNamespace(args={"run_id": "r"}, check_mode=False, delegate_to=None))
        self._connection = None
        self._released = released

    def _execute_module(self, name: str, **_arguments: t.Any) -> dict[str, t.Any]:
        if name.endswith("release_lock"):
            return self._released
        raise AnsibleConnectionFailure("Broken pipe")


@pytest.mark.parametrize("notes", [[], [STILL]])
def test_a_lost_module_that_works_on_is_told(monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    monkeypatch.setattr(host_action.ActionBase, "run", lambda *_arguments: {})
    result = Action({"notes": notes}).run(None, variables({}))
    assert result["msg"].startswith("KH102: The connection to cp2 was lost: Broken pipe.")
    assert result["msg"].endswith(STILL) is bool(notes)


@pytest.mark.parametrize(
    ("discovery", "state", "lost", "told"),
    [
        (None, "held", False, True),  # a worker
        (None, "unknown", False, False),
        ({"admin_kubeconfig": "/admin.conf"}, "held", False, False),
        ({"admin_kubeconfig": "/admin.conf"}, "held", True, True),
    ],
)
def test_who_has_the_lock_of_the_cluster_from_now_on_is_told_where_nobody_gives_it_back(
    monkeypatch: pytest.MonkeyPatch, discovery: dict[str, str] | None, state: str, lost: bool, told: bool
) -> None:
    """Another controller has to wait, and a run in a container is from another one each time."""

    class Failing(Action):
        def _execute_module(self, name: str, **_arguments: t.Any) -> dict[str, t.Any]:
            if name.endswith("release_lock") and lost:
                raise AnsibleConnectionFailure("Broken pipe")
            return {} if name.endswith("release_lock") else {"failed": True, "msg": "KH207: it did not come up."}

    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    monkeypatch.setattr(host_action.ActionBase, "run", lambda *_arguments: {})
    action = Failing({})
    action._task.args.update({"discovery": discovery} if discovery else {})
    found = {"__discover_found": {"cluster_lock": state}}
    result = action.run(None, variables({"cp1": found, "cp2": {"__discover_found": {"discovery": {}}}}))
    assert result["msg"].startswith("KH207: it did not come up.")
    assert ("delete lease kubeharden)." in result["msg"]) is told


@pytest.mark.parametrize("changes", [[], [{"kind": "file", "target": "/a"}]])
@pytest.mark.parametrize("check_mode", [False, True])
def test_what_was_done_is_told_and_the_lock_given_back_where_it_cannot_be_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: list[dict[str, str]], check_mode: bool
) -> None:
    """The report directory took the begin of the run, and takes nothing any more."""
    asked: list[str] = []

    class Working(Action):
        def _execute_module(self, name: str, **_arguments: t.Any) -> dict[str, t.Any]:
            asked.append(name.rpartition(".")[2])
            return {"changed": bool(changes), "changes": changes}

    (tmp_path / "report").touch()
    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    monkeypatch.setattr(host_action.ActionBase, "run", lambda *_arguments: {})
    action = Working({})
    action._task.args["report_dir"] = str(tmp_path / "report")
    action._task.check_mode = check_mode
    result = action.run(None, variables({}))
    assert result["failed"]
    assert result["msg"].startswith("KH201: The reports of the run cannot be written to ")
    done = changes and not check_mode
    kept = "What this task changed stays; its record is on cp2, in /var/lib/kubeharden/backups/r."
    assert result["msg"].endswith(kept if done else "This task changed nothing on cp2.")
    assert asked == ["kubelet"] + ([] if check_mode else ["release_lock"])


@pytest.mark.parametrize(
    ("speaker", "mine", "locks"),
    [
        ({"__discover_found": {"cluster_lock": "held"}}, {"discovery": {}}, ["host", "cluster"]),
        (
            {"__discover_found": {"cluster_lock": "unknown"}, "__discover_again": {"cluster_lock": "held"}},
            {"discovery": {}},
            ["host", "cluster"],
        ),
        (
            {"__discover_found": {"cluster_lock": "held"}, "__discover_again": {"skipped": True}},
            {"discovery": {}},
            ["host", "cluster"],
        ),
        ({"__discover_found": {"cluster_lock": "unknown"}}, {"discovery": {}}, ["host", "alone"]),
        ({"__discover_found": {"cluster_lock": ""}}, {"discovery": {}}, ["host"]),
        ({}, {"discovery": {}}, ["host"]),
        # As a host that joins later, or in a play of the user's own.
        ({"__discover_found": {"cluster_lock": "held"}}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_module_knows_which_locks_the_run_took(
    monkeypatch: pytest.MonkeyPatch, speaker: dict[str, t.Any], mine: dict[str, t.Any], locks: list[str] | None
) -> None:
    """One control plane took that of the cluster for all; a module that finds none by then must not work on."""
    given: list[dict[str, t.Any]] = []

    class Working(Action):
        def _execute_module(self, name: str, **arguments: t.Any) -> dict[str, t.Any]:
            given.append({"name": name, **arguments["module_args"]})
            return {"changed": False}

    monkeypatch.setattr(host_action, "end_when_silent", lambda _connection: None)
    monkeypatch.setattr(host_action.ActionBase, "run", lambda *_arguments: {})
    known = variables({"cp1": speaker, "cp2": {"__discover_found": mine}})
    Working({}).run(None, known)
    # Before the run has a group of its own, as in the first task after discovery; and where a node speaks.
    own = known["groups"]["kubeharden_control_planes"]
    Working({}).run(None, {**known, "groups": {"theirs": own}, "kubeharden_control_plane_group": "theirs"})
    Working({}).run(None, {**known, "groups": {"kubeharden_speaking_nodes": ["cp1"]}})
    assert [one.get("locks") for one in given] == [locks, locks, locks]
