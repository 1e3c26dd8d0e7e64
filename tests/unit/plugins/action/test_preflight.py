# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery returned reaches the judge."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible_collections.kubeharden.core.plugins.action.preflight import as_host


def test_a_control_plane_is_judged_with_its_version_and_a_worker_without() -> None:
    found = {"discovery": {"node_name": "cp1", "components": {"kube-apiserver": {"version": "1.37.1"}}}}
    assert (as_host(found).node, as_host(found).version) == ("cp1", "1.37.1")
    assert as_host({"discovery": {"node_name": "w1", "components": {}}}).version == ""
    assert as_host({}).version == ""
