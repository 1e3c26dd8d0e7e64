# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an API server verifies what kubelets serve: by what the rollback has done to it, else by discovery."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.rollback import verifies_kubelets

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
