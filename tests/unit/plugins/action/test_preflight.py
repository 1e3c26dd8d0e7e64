# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery returned reaches the judge."""

from __future__ import annotations

import types
import typing as t

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.action.preflight import (
    ActionModule,
    address_of,
    as_host,
    config_map_problems,
    names_refused,
    problems_in,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls import readiness


def test_a_control_plane_is_judged_with_its_version_and_a_worker_without() -> None:
    found = {"discovery": {"node_name": "cp1", "components": {"kube-apiserver": {"version": "1.37.1"}}}}
    assert (as_host("one", found).node, as_host("one", found).version) == ("cp1", "1.37.1")
    assert as_host("w1", {"discovery": {"node_name": "w1", "components": {}}}).version == ""
    assert (as_host("w1", {}).version, as_host("w1", {}).server) == ("", "")


@pytest.mark.parametrize(("evidence", "looked_at"), [({}, False), ({"livez": True}, True)])
def test_a_host_without_evidence_was_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, evidence: dict[str, t.Any], looked_at: bool
) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(readiness, "judge", lambda *_arguments: readiness.Findings({"w1": []}, {"w1": []}))
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(args={})
    hostvars = types.SimpleNamespace(
        raw_get=lambda _name: {"__discover_found": {"discovery": {}, "evidence": evidence}}
    )
    result = action.run(None, {"inventory_hostname": "w1", "hostvars": hostvars, "ansible_play_hosts_all": ["w1"]})
    assert result["looked_at"] is looked_at
    assert bool(result["not_done"]) is not looked_at


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, []),
        ({"planned": {"skipped": True}}, []),
        ({"planned": {"due": True}}, []),
        ({"planned": {"problems": ["KH205: a", "KH008: b", "KH205: a"]}}, ["KH205: a", "KH008: b"]),
    ],
)
def test_what_later_tasks_found_keeps_a_host_from_being_changed_too(
    variables: dict[str, t.Any], found: list[str]
) -> None:
    assert problems_in(variables, ["planned"]) == found


def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that give back their locks, when they have."""
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    given: list[str] = []

    def release(_self: ActionModule, _arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> list[str]:
        given.append(variables["inventory_hostname"])
        return []

    monkeypatch.setattr(ActionModule, "release", release)
    return given


def test_where_a_trial_failed_every_host_gives_back_its_lock_and_the_one_that_failed_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = given_back(monkeypatch)
    known: dict[str, dict[str, t.Any]] = {
        host: {
            "__discover_found": {"discovery": {}, "cluster_lock": "held" if host == "cp1" else ""},
            "planned": {"problems": ["KH205: no"]} if host == "cp2" else {"due": True},
        }
        for host in ("cp1", "cp2", "w1")
    }
    hostvars = types.SimpleNamespace(raw_get=known.__getitem__)
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(args={"later_results": ["planned"], "readiness": False})
    results = {
        host: action.run(
            None, {"inventory_hostname": host, "hostvars": hostvars, "ansible_play_hosts_all": list(known)}
        )
        for host in known
    }
    assert given == ["cp1", "cp2", "w1"]
    assert {host: result.get("msg") for host, result in results.items()} == {
        "cp1": None,
        "cp2": "KH205: no",
        "w1": None,
    }


FOUND: dict[str, dict[str, t.Any]] = {
    "cp1": {"discovery": {}, "config_map_problems": ["KH126: missing"]},
    "cp2": {"discovery": {}},
}


@pytest.mark.parametrize(
    ("control_planes", "found", "tags", "skipped", "told"),
    [
        (["cp1", "cp2"], FOUND, ["all"], [], True),
        (["cp1", "cp2"], FOUND, ["audit"], [], True),
        (["cp1", "cp2"], FOUND, ["files", "pki"], [], False),
        (["cp1", "cp2"], FOUND, ["kubelet"], ["kubelet"], False),
        (["cp1", "cp2"], FOUND, ["all"], ["kubeadm"], False),
        (["cp1", "cp2"], FOUND, ["audit"], ["kubeadm", "verify"], False),
        # A task for several concerns is not skipped for one of them.
        (["cp1", "cp2"], FOUND, ["all"], ["etcd"], True),
        # Then they are left as they are.
        (["cp1", "cp2", "cp3"], FOUND, ["all"], [], False),
        (["cp1", "cp2"], {**FOUND, "cp2": {"silent": True}}, ["all"], [], False),
        # Certificates are renewed without a word to kubeadm.
        ([], FOUND, ["all"], [], False),
    ],
)
def test_config_maps_of_kubeadms_count_where_the_run_writes_them(
    control_planes: list[str], found: dict[str, dict[str, t.Any]], tags: list[str], skipped: list[str], told: bool
) -> None:
    said = config_map_problems(control_planes, found, tags, skipped)
    assert said.get("cp1", []) == (["KH126: missing"] if told else [])


def place(path: str, **seen: t.Any) -> dict[str, t.Any]:
    return {"path": path, "free": 1 << 30, "inodes": True, "read_only": False, "audit": False, **seen}


@pytest.mark.parametrize("budget", [1 << 29, 0])
def test_a_rollback_does_not_begin_where_nothing_can_be_written_and_asks_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    given = given_back(monkeypatch)
    rooms = {
        "cp1": [place("/etc/kubernetes"), place("/var/log/audit", free=0, audit=True, budget=budget, endless="")],
        "cp2": [place("/var/lib/kubeharden", free=0)],
        "w1": [place("/etc/kubernetes", read_only=True)],
    }
    known: dict[str, dict[str, t.Any]] = {
        host: {
            "__discover_found": {
                "discovery": {},
                "asked": 1.0,
                "evidence": {"room": room, "now": 1e9, "api": {"unwell": "it does not run"}},
            }
        }
        for host, room in rooms.items()
    }
    hostvars = types.SimpleNamespace(raw_get=known.__getitem__)
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(args={"readiness": False})
    results = {
        host: action.run(
            None, {"inventory_hostname": host, "hostvars": hostvars, "ansible_play_hosts_all": list(known)}
        )
        for host in known
    }
    assert given == ["cp1", "cp2", "w1"]
    assert "msg" not in results["cp1"]
    assert results["cp2"]["msg"].startswith("KH135: The file system of /var/lib/kubeharden on cp2 has 0 MiB left")
    assert results["w1"]["msg"] == (
        "KH135: /etc/kubernetes of w1 is on a read-only file system; mount it read-write. Nothing was changed on any "
        "host by this run."
    )


def named(node: str, **more: t.Any) -> dict[str, t.Any]:
    return {"discovery": {"node_name": node}, **more}


def seen(name: str, *addresses: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name}, "status": {"addresses": [{"address": one} for one in addresses]}}


def test_names_that_would_be_refused_are_told_of_the_host_that_has_them() -> None:
    nodes = [seen("n1", "192.0.2.21", "203.0.113.1"), seen("n2", "192.0.2.22", "203.0.113.1"), seen("n3", "192.0.2.23")]
    known = {"server": "n0", "names": ["api.example.com"], "nodes": nodes}
    found = {"cp1": named("n0", serving_names=known), "w1": named("n1"), "w2": named("n2"), "w3": named("n3")}
    found["w4"] = {"silent": True}
    reached = {"w1": "192.0.2.21", "w2": "192.0.2.22", "w3": "192.0.2.23"}
    told = {host: names_refused(host, found, lambda name: reached.get(name, name)) for host in found}
    shared = "it would ask for 203.0.113.1, which is an address of node "
    assert told == {"cp1": "", "w1": f"{shared}n2", "w2": f"{shared}n1", "w3": "", "w4": ""}
    # Whom the inventory reaches there is itself, whatever others claim.
    reached["w1"] = "203.0.113.1"
    told = {host: names_refused(host, found, lambda name: reached.get(name, name)) for host in ("w1", "w2")}
    assert told == {"w1": "", "w2": f"{shared}n1"}


def test_where_no_node_was_seen_nothing_speaks_against_a_name() -> None:
    assert names_refused("w1", {"w1": named("w1"), "w2": named("w2", serving_names={})}, str) == ""


def test_where_a_host_is_reached_may_be_a_template() -> None:
    class Variables(dict[str, t.Any]):
        def raw_get(self, name: str) -> dict[str, t.Any]:
            return {"a": {"ansible_host": "192.0.2.1"}, "b": {}, "c": {"ansible_host": "{{ address }}"}}[name]

    hostvars = Variables(c={"ansible_host": "192.0.2.3"})
    assert [address_of(hostvars, name) for name in "abc"] == ["192.0.2.1", "b", "192.0.2.3"]
