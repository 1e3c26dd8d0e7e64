# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before its turn a control plane is tried, or where it is not to be, as in check mode, at least looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import ControlPlane
from ansible_collections.kubeharden.core.plugins.modules import control_plane

FOUND: dict[str, Any] = {"node_name": "cp1", "admin_kubeconfig": None, "runtime_socket": None, "components": {}}


@pytest.mark.parametrize(
    ("check", "trial", "dead", "done"),
    [
        (False, True, False, "KH205: tried"),
        (False, False, False, "KH127: looked"),
        (True, True, False, "KH127: looked"),
        (True, False, False, "KH127: looked"),
        # The run puts back first what check mode sees there.
        (True, True, True, ""),
    ],
)
def test_what_is_done_before_a_control_planes_turn(
    check: bool,
    trial: bool,
    dead: bool,
    done: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(_self: Any, _plans: Any) -> None:
        raise HardeningError("KH127", "looked")

    def try_out(_self: Any, _plans: Any) -> None:
        raise HardeningError("KH205", "tried")

    monkeypatch.setattr(ControlPlane, "look", look)
    monkeypatch.setattr(ControlPlane, "try_out", try_out)
    if dead:
        Journal(Host(str(tmp_path))).note(trial={"manifests": [], "directory": "/var/lib/kubeharden/trial", "logs": []})
    given = {"root": str(tmp_path), "run_id": "first", "discovery": FOUND, "flags": {}, "write": False, "trial": trial}
    with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        control_plane.main()
    assert json.loads(capsys.readouterr().out).get("msg", "") == done
