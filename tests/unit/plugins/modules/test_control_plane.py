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
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import locking
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


SEEDS = Path(__file__).parents[4] / "inventories" / "demo" / "hosts.orig"
MANIFEST = "/etc/kubernetes/manifests/kube-scheduler.yaml"
LOCK, STATE = "/run/kubeharden/lock", "/var/lib/kubeharden"


class Alone:
    """Calls of a run that has no lock, as preflight."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.host = open_host(str(root), str(SEEDS / "cp1"), check=False, scratch=str)
        self._capsys = capsys

    def tries(self, flags: dict[str, Any] | None = None, trial: bool = True) -> dict[str, Any]:
        setting = {"profiling": {"exact": "false", "control": "scheduler-profiling"}}
        given = {
            "root": self.host.root,
            "run_id": "preflight",
            "discovery": {**FOUND, "components": {"kube-scheduler": {"manifest": MANIFEST}}},
            "flags": {"kube-scheduler": setting} if flags is None else flags,
            "write": False,
            "trial": trial,
            "own_lock": True,
            "controller": "here boot",
            "process": "1 2",
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            control_plane.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return result

    def there(self, path: str) -> bool:
        return Path(self.host.path(path)).exists()


@pytest.fixture
def alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Alone:
    return Alone(tmp_path / "cp1", capsys)


@pytest.mark.parametrize("refused", [False, True])
def test_a_trial_of_a_run_without_a_lock_is_made_under_one_and_leaves_nothing(
    alone: Alone, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """Else a run that begins meanwhile takes it for a dead one's."""
    held: list[Any] = []

    def try_out(_self: Any, plans: Any) -> None:
        lock = Lock(alone.host)
        held.append((lock.holder(), lock.is_in_use(), [plan.component for plan in plans]))
        Journal(alone.host).note(trial={"manifests": [], "directory": f"{STATE}/trial", "logs": []})
        Journal(alone.host).strike("trial")
        if refused:
            raise HardeningError("KH205", "Its own words.")

    monkeypatch.setattr(ControlPlane, "try_out", try_out)
    result = alone.tries()
    ((holder, in_use, components),) = held
    # Not taken for dead by who has the cluster's lock: preflight asks for none.
    assert (holder.run_id, holder.controller, holder.process) == ("preflight", "here boot", "1 2")
    assert holder.cluster is False
    assert (in_use, components) == (True, ["kube-scheduler"])
    assert not alone.there(LOCK)
    assert not alone.there(STATE)
    assert result.get("msg", "") == ("KH205: Its own words." if refused else "")
    if not refused:
        assert (result["tries"], result["due"], result["changed"], result["changes"]) == (True, True, False, [])


@pytest.mark.parametrize("left", ["lock", "journal"])
def test_beside_what_a_dead_run_left_nothing_is_tried_and_that_is_said(
    alone: Alone, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    monkeypatch.setattr(ControlPlane, "try_out", lambda *_given: pytest.fail("it was tried"))
    if left == "lock":
        Lock(alone.host).acquire(Holder("dead", "there boot", "1 1", 0.0))
    else:
        Journal(alone.host).note(trial={"manifests": [], "directory": f"{STATE}/trial", "logs": []})
    assert alone.tries()["notes"] == [control_plane.LEFT]
    assert alone.there(LOCK) == (left == "lock")
    assert bool(Journal(alone.host).read()) == (left == "journal")
    assert alone.tries(trial=False)["notes"] == []


def test_where_nothing_changes_no_lock_is_taken(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ControlPlane, "try_out", lambda *_given: None)
    monkeypatch.setattr(locking, "borrowed", lambda *_given: pytest.fail("it was taken"))
    assert alone.tries({})["tries"] is True


def test_what_a_run_makes_a_file_for_first_is_told_as_untried(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ControlPlane, "try_out", lambda *_given: None)
    flag = {"tls-cert-file": {"exact": "/etc/kubernetes/pki/scheduler.crt", "control": "x", "mount": "read_only"}}
    (said,) = alone.tries({"kube-scheduler": flag})["notes"]
    assert said.startswith(
        "kube-scheduler was not tried beside the running one: its flags name a file that a run makes"
    )
