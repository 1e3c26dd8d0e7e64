# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told where a host is asked twice, since the first answer was that a dead run has the cluster's lock."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.discover import (
    ActionModule,
    with_notes_of,
    with_own_audit_log,
)


@pytest.mark.parametrize(
    ("first", "second", "notes"),
    [
        ({"notes": ["went back"]}, {"notes": ["taken over"]}, ["went back", "taken over"]),
        ({}, {"notes": ["taken over"]}, ["taken over"]),
        ({"notes": ["went back"]}, {"refused": True, "msg": "another"}, ["went back"]),
        ({"notes": ["same"]}, {"notes": ["same"]}, ["same"]),
    ],
)
def test_what_was_put_back_is_told(first: dict[str, t.Any], second: dict[str, t.Any], notes: list[str]) -> None:
    found = with_notes_of(first, second)
    assert found == {**second, "notes": notes}


class Lacking(ActionModule):
    """A host of which no Python has the libraries."""

    def __init__(self) -> None:
        pass

    def _discover(self, _arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"changed": False, "libraries_missing": ["yaml"], "packages": ["python3-yaml"]}


@pytest.mark.parametrize(("install", "told"), [(True, False), (False, True), ("no", True)])
def test_a_library_that_may_not_be_installed_is_a_problem_that_is_told_with_all_others(
    install: t.Any, told: bool
) -> None:
    """And no failure of its own: the other hosts give back what they have taken by then."""
    found = Lacking().execute({"install_packages": install}, {"inventory_hostname": "w1"})
    assert "failed" not in found
    sentence = (
        "KH103: No Python on w1 has yaml. Nothing was changed; install python3-yaml, or leave "
        "kubeharden_install_packages at true."
    )
    assert found.get("problems") == ([sentence] if told else None)


class Recovering(ActionModule):
    """A control plane on which a run that died left something."""

    def __init__(self, name: str, log: Path) -> None:
        self._name, self._log = name, log

    def _discover(self, arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if arguments.get("in_turn"):
            return {"changed": False, "recovers": True, "notes": ["taken over"]}
        for word in ("begins", "ends"):
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{self._name} {word}\n")
            time.sleep(0.2)
        return {"changed": False, "libraries_missing": [], "notes": ["proven"]}


def test_control_planes_recover_one_after_the_other(tmp_path: Path) -> None:
    """Each in a process of its own, as Ansible has them: two members of etcd that restart at once are no majority."""
    log = tmp_path / "log"
    children = []
    for name in ("cp1", "cp2", "cp3"):
        child = os.fork()
        if child == 0:
            found = Recovering(name, log).execute({"controller": "c"}, {"inventory_hostname": name})
            os._exit(0 if found["notes"] == ["taken over", "proven"] else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    assert [word for _name, word in lines] == ["begins", "ends"] * 3
    assert all(first[0] == second[0] for first, second in zip(lines[::2], lines[1::2]))


class _Templar:
    """Templates nothing, and refuses what the user has wrong."""

    def template(self, value: t.Any) -> t.Any:
        assert value != "{{ wrong }}"
        return value


@pytest.mark.parametrize("value", [False, "no"])
def test_where_nothing_of_the_users_is_written_it_is_not_even_read(value: t.Any) -> None:
    action = ActionModule.__new__(ActionModule)
    action._templar = t.cast(t.Any, _Templar())
    known = {
        "kubeharden_extra_flags": "{{ wrong }}",
        "kubeharden_admission_plugins_extra": "{{ wrong }}",
        "ansible_run_tags": ["all"],
        "ansible_skip_tags": [],
    }
    arguments = action.prepare({"checks_user": value}, known)
    assert arguments["extra_flags"] == {}
    assert (action._extra, action._plugins, action._problems) == ({}, [], [])
    with pytest.raises(AssertionError):
        action.prepare({}, known)


OURS = {"path": "/ours", "maxsize": "100", "maxbackup": "10"}


@pytest.mark.parametrize(
    ("ours", "every", "expected"),
    [
        (OURS, True, {**OURS, "path": "/own", "maxbackup": "0", "own": ["path", "maxbackup"]}),
        (OURS, False, {**OURS, "path": "/own", "maxbackup": "0", "own": ["path", "maxbackup"]}),
        # With --tags apiserver they are written, and ours are not.
        ({}, True, {"path": "/own", "maxbackup": "0", "own": ["path", "maxbackup"]}),
        # Its control is left out, and those of the others are all that is asked for.
        ({"maxbackup": "10"}, False, {"maxbackup": "0", "own": ["maxbackup"]}),
    ],
)
def test_the_users_own_flags_of_the_audit_log_count_where_they_are_written(
    ours: dict[str, str], every: bool, expected: dict[str, t.Any]
) -> None:
    own = {"audit_log_path": "/own", "audit-log-maxbackup": "0", "audit-log-format": "json", "v": "2"}
    assert with_own_audit_log(ours, own, every) == expected


class Found(ActionModule):
    """A host of which the kubelet's configuration has a field that there is not."""

    def __init__(self) -> None:
        self._extra, self._plugins, self._problems, self._mounted = {}, [], [], {}
        self._templar = t.cast(t.Any, _Templar())

    def _discover(self, _arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "protectKernelDefault": True,
        }
        kubelet = {"version": "1.37.1", "configuration": configuration, "configuration_file": "/c.yaml"}
        return {"discovery": {"kubelet": kubelet, "components": {}}, "flag_problems": [], "notes": ["went back"]}


class Refused(Found):
    """A host of which something could not be read, or which could not be told at all."""

    def __init__(self, discovered: bool) -> None:
        super().__init__()
        self._discovered = discovered
        self._problems = ["kubeharden_extra_flags: there is no component kube-api; ..."]

    def _discover(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        found = super()._discover(arguments, task_vars)
        shown = {**found, "problems": ["KH011: a file is missing."], "evidence": {"now": 1.0}, "packages": []}
        return shown if self._discovered else {key: value for key, value in shown.items() if key != "discovery"}


@pytest.mark.parametrize("discovered", [True, False])
def test_what_could_not_be_read_is_told_with_what_the_host_shows_all_the_same(discovered: bool) -> None:
    known = {"inventory_hostname": "w1", "ansible_run_tags": ["all"], "ansible_skip_tags": []}
    found = Refused(discovered).execute({}, known)
    assert [problem[:5] for problem in found["problems"]] == (["KH011", "KH002"] if discovered else ["KH011"])
    assert found["evidence"] == {"now": 1.0}
    assert time.time() - found["asked"] < 60


def test_a_field_that_the_kubelet_passes_over_is_told_and_no_problem() -> None:
    found = Found().execute({}, {"inventory_hostname": "w1", "ansible_run_tags": ["all"], "ansible_skip_tags": []})
    assert found["problems"] == []
    assert found["notes"][0] == "went back"
    (told,) = found["notes"][1:]
    assert "has no field protectKernelDefault; the nearest that it has is protectKernelDefaults." in told
