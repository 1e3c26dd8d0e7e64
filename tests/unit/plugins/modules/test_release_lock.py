# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No lock is given back while a module of the run works on the host, the cluster's neither."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible_collections.kubeharden.core.plugins.module_utils.files import host as hosts
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import lease
from ansible_collections.kubeharden.core.plugins.modules import release_lock


class Module:
    """The part of an AnsibleModule that is used."""

    check_mode = False
    params: t.ClassVar[dict[str, t.Any]] = {
        "root": "/",
        "root_seed": None,
        "run_id": "first",
        "kubeconfig": "/etc/kubernetes/admin.conf",
        "joined": False,
        "backup_count": 0,
        "backup_days": 0,
    }


def released(tmp_path: Path, patch: pytest.MonkeyPatch) -> tuple[dict[str, t.Any], list[str]]:
    """What the module returns on a live host, and whose lock of the cluster it gave back."""
    given: list[str] = []

    def give(_kubeconfig: str, run_id: str) -> list[str]:
        given.append(run_id)
        return []

    host = Host(str(tmp_path))
    host.live = True
    patch.setattr(hosts, "open_host", lambda *_arguments: host)
    patch.setattr(host, "path", lambda path: str(tmp_path) + path)
    patch.setattr(release_lock, "release_cluster", give)
    return release_lock.work(t.cast(t.Any, Module())), given


def test_it_is_kept_while_a_module_works_and_given_back_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(Host(str(tmp_path)))
    assert lock.acquire(Holder("first", "controller boot", "100 5000 pid:[1]", 1.0, cluster=True)) is None
    with lock.in_use("first"):
        result, given = released(tmp_path, monkeypatch)
    assert (result["released"], result["in_use"], given) == (False, True, [])
    assert "A module of run first still works on this host" in result["notes"][0]
    assert lock.holder() is not None
    result, given = released(tmp_path, monkeypatch)
    assert (result["released"], result["in_use"], given) == (True, False, ["first"])
    assert result["notes"] == []
    assert lock.holder() is None


def test_the_clusters_lock_goes_back_from_a_host_that_another_run_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(Host(str(tmp_path)))
    assert lock.acquire(Holder("second", "controller boot", "200 6000 pid:[1]", 2.0)) is None
    with lock.in_use("second"):
        result, given = released(tmp_path, monkeypatch)
    assert (result["released"], result["in_use"], given) == (False, False, ["first"])


def test_a_damaged_record_is_told_at_the_end_of_a_run_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = tmp_path / "var/lib/kubeharden/backups"
    for run_id, text in (("a", "{"), ("b", '{"schema": 2, "began": 1.0, "entries": []}')):
        (backups / run_id).mkdir(parents=True)
        (backups / run_id / "record.json").write_text(text, encoding="utf-8")
    monkeypatch.setitem(Module.params, "backup_days", 1)
    result, _given = released(tmp_path, monkeypatch)
    (note,) = result["notes"]
    assert "/var/lib/kubeharden/backups/a is damaged" in note
    assert (backups / "b").exists()


@pytest.mark.parametrize(("lost", "told"), [(0, 0), (4, 0), (5, 1)])
def test_a_request_that_is_lost_keeps_no_lock_of_the_cluster(
    monkeypatch: pytest.MonkeyPatch, lost: int, told: int
) -> None:
    """A load balancer that loses requests may be what ends the run."""
    answers = [lease.UnknownError("it answered refused")] * lost
    paused: list[float] = []

    class Lease:
        def release(self, run_id: str) -> bool:
            assert run_id == "first"
            if answers:
                raise answers.pop()
            return True

    monkeypatch.setattr(lease, "lease_of", lambda _kubeconfig: Lease())
    monkeypatch.setattr(time, "sleep", paused.append)
    notes = release_lock.release_cluster("/etc/kubernetes/admin.conf", "first")
    assert len(notes) == told
    assert all("was not given back (it answered refused); it ends by itself 30 minutes" in note for note in notes)
    assert len(paused) == min(lost, 4)


@pytest.mark.parametrize("joined", [False, True])
def test_an_api_that_was_away_all_the_time_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    monkeypatch.setitem(Module.params, "joined", joined)
    host = Host(str(tmp_path))
    host.live = True
    monkeypatch.setattr(host, "path", lambda path: str(tmp_path) + path)
    monkeypatch.setattr(hosts, "open_host", lambda *_arguments: host)
    monkeypatch.setattr(release_lock, "release_cluster", lambda *_arguments: ["It was not given back."])
    result = release_lock.work(t.cast(t.Any, Module()))
    assert result["notes"] == ([] if joined else ["It was not given back."])
