# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which API servers and nodes must be well before a control plane is changed, and which nobody waits for."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="what the controller's plugins share")

from ansible_collections.kubeharden.core.plugins.plugin_utils.around import around, has_ended, well_servers

API = "kube-apiserver"


def discovered(node: str, **flags: t.Any) -> dict[str, t.Any]:
    return {"discovery": {"node_name": node, "components": {API: {"flags": flags}} if flags else {}}}


def test_what_must_be_well_around_a_control_plane_is_what_takes_part() -> None:
    """A host that could not be reached, where that is allowed, is none of it."""
    found = {
        "w1": discovered("worker"),
        "cp1": discovered("one", **{"advertise-address": "192.0.2.1", "secure-port": "443"}),
        "cp2": discovered("two", **{"advertise-address": "2001:db8::2"}),
        "cp3": discovered("three", v="2"),
        "cp4": {"silent": True},
        "w2": {},
    }
    assert around(found) == {
        "api_servers": {"cp1": "https://192.0.2.1:443", "cp2": "https://[2001:db8::2]:6443"},
        "nodes": ["one", "two", "three", "worker"],
    }


def seen(address: str, unwell: str | None = "") -> dict[str, t.Any]:
    found = discovered("node", **{"advertise-address": address})
    return found if unwell is None else {**found, "evidence": {"api": {"unwell": unwell}}}


@pytest.mark.parametrize(
    ("back", "asked"),
    [([], ["cp1"]), (["cp2"], ["cp1", "cp2"]), (["cp1", "cp4"], ["cp1", "cp4"])],
)
def test_a_rollback_asks_no_api_server_that_was_not_well_before_it_is_put_back(
    back: list[str], asked: list[str]
) -> None:
    found = {
        "cp1": seen("192.0.2.1"),
        "cp2": seen("192.0.2.2", "it does not run"),
        "cp3": {"silent": True},
        "cp4": seen("192.0.2.4", None),
    }
    assert list(well_servers(found, back)) == asked


BEGUN = 1_800_000_000.0  # 2027-01-15 08:00 UTC
OVER, HOLDS = "2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z"


def evidence(*ends: float) -> dict[str, t.Any]:
    return {"evidence": {"now": BEGUN, "certificates": [{"ends": end} for end in ends]}}


@pytest.mark.parametrize(
    ("found", "renewed", "ended"),
    [
        (evidence(BEGUN + 1), {}, False),
        (evidence(BEGUN + 1, BEGUN), {}, True),
        (evidence(), {}, False),
        ({}, {}, False),
        # It has had its turn: what it has now counts.
        (evidence(BEGUN), {"certificates": [{"kind": "kubeconfig", "not_after": HOLDS}]}, False),
        (evidence(BEGUN + 1), {"certificates": [{"kind": "certificate", "not_after": OVER}]}, True),
        # A bundle may still have an authority in it that has ended.
        (evidence(BEGUN), {"certificates": [{"kind": "authority", "not_after": OVER}]}, False),
        # That of an etcd elsewhere is renewed by nobody here.
        (evidence(BEGUN), {"certificates": [{"kind": "served", "not_after": OVER}]}, False),
    ],
)
def test_a_certificate_has_ended_until_the_host_has_another(
    found: dict[str, t.Any], renewed: dict[str, t.Any], ended: bool
) -> None:
    assert has_ended(found, renewed) is ended
