# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of API servers: by what the rollback has done to them, else by discovery."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.rollback import ActionModule, front_door, verifies_kubelets

FLAG = "kubelet-certificate-authority"


def found(flags: t.Mapping[str, str], *arguments: str) -> dict[str, t.Any]:
    return {"discovery": {"components": {"kube-apiserver": {"flags": flags, "arguments": arguments}}}}


@pytest.mark.parametrize(
    ("known", "verifies"),
    [
        ({}, None),
        ({"__discover_found": {"silent": True}}, None),
        ({"__discover_found": found({})}, False),
        ({"__discover_found": found({FLAG: "/ca.crt"})}, True),
        # The manifest has changed, and the process has not started again yet.
        ({"__discover_found": found({}, "kube-apiserver", f"--{FLAG}=/ca.crt")}, True),
        ({"__discover_found": {"locked_by": {}}, "__discover_again": found({FLAG: "/ca.crt"})}, True),
        ({"__discover_found": found({FLAG: "/ca.crt"}), "__discover_again": {"skipped": True}}, True),
        # --tags kubelet, and no run to put back.
        ({"__discover_found": found({FLAG: "/ca.crt"}), "__rollback_static_pods": {"skipped": True}}, True),
        ({"__discover_found": found({FLAG: "/ca.crt"}), "__rollback_static_pods": {"verifies_kubelets": False}}, False),
        ({"__discover_found": found({}), "__rollback_static_pods": {"verifies_kubelets": True}}, True),
    ],
)
def test_what_is_known_of_an_api_server(known: dict[str, t.Any], verifies: bool | None) -> None:
    assert verifies_kubelets(known) is verifies


class Hostvars:
    """What is registered of each host."""

    def __init__(self, known: dict[str, dict[str, t.Any]]) -> None:
        self._known = known

    def raw_get(self, host: str) -> dict[str, t.Any]:
        return self._known[host]


def registered(number: int, unwell: str = "", **done: t.Any) -> dict[str, t.Any]:
    flags = {"advertise-address": f"192.0.2.{number}"}
    return {
        "__discover_found": {
            "discovery": {"node_name": f"n{number}", "components": {"kube-apiserver": {"flags": flags}}},
            "evidence": {"api": {"unwell": unwell}},
        },
        "__rollback_static_pods": done,
    }


@pytest.mark.parametrize(
    ("third", "asked"),
    [
        (registered(3), ["cp2", "cp3"]),
        (registered(3, "it does not run"), ["cp2"]),
        # Its turn came first, and it was proven.
        (registered(3, "it does not run", restarted={"kube-apiserver": 40.0}), ["cp2", "cp3"]),
        # It had nothing to put back, or its API server had not: that is somebody else's matter.
        (registered(3, "it does not run", skipped=True), ["cp2"]),
        (registered(3, "it does not run", restarted={"kube-scheduler": 4.0}), ["cp2"]),
    ],
)
def test_a_control_plane_goes_back_beside_those_that_were_well_or_are_back(
    third: dict[str, t.Any], asked: list[str]
) -> None:
    known = {"cp1": registered(1), "cp2": registered(2), "cp3": third}
    action = ActionModule.__new__(ActionModule)
    variables = {
        "inventory_hostname": "cp1",
        "groups": {"kubeharden_control_planes": list(known)},
        "hostvars": Hostvars(known),
    }
    arguments = action.prepare({"part": "static_pods"}, variables)
    assert arguments["beside"] == {host: f"https://192.0.2.{host[-1]}:6443" for host in asked}
    assert "beside" not in action.prepare({"part": "kubelet"}, variables)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ([{}, {}], ""),
        ([{"skipped": True}, {"front_door": ""}], ""),
        ([{}, {"front_door": "lost"}], "lost"),
        ([{"front_door": ""}, {"front_door": "served"}], "served"),
    ],
)
def test_the_first_host_with_something_to_put_back_says_how_clients_were_served(
    done: list[dict[str, t.Any]], said: str
) -> None:
    assert front_door(done) == said
    known = {f"cp{number}": {**registered(number), "__rollback_static_pods": one} for number, one in enumerate(done)}
    action = ActionModule.__new__(ActionModule)
    variables = {
        "inventory_hostname": "cp0",
        "groups": {"kubeharden_control_planes": list(known)},
        "hostvars": Hostvars(known),
    }
    assert action.prepare({"part": "static_pods"}, variables)["front_door"] == said
