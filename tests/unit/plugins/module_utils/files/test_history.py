# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that a host has: read whatever their age, marked, and removed when they are too many or too old."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import history
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import (
    Pruned,
    finish_rollbacks,
    mark_undone,
    past_runs,
    prune,
    remove_leftovers,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup

DAY = 86400.0
BACKUPS = "var/lib/kubeharden/backups"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(str(tmp_path))


def made(host: Host, run_id: str, days: float) -> Backup:
    """The record of a run that began on a day."""
    backup = Backup(host, run_id, now=lambda: days * DAY)
    backup.note("user", "etcd")
    return backup


def names(host: Host) -> list[str]:
    return sorted(os.listdir(host.path(f"/{BACKUPS}")))


def test_a_host_without_records_has_no_runs(host: Host) -> None:
    assert past_runs(host) == []
    assert prune(host, 1, 1, 0.0, "z") == Pruned((), ())


def test_runs_come_by_when_they_began_and_not_by_their_names(host: Host) -> None:
    for run_id, days in (("mine", 3), ("b", 1), ("a", 2)):
        made(host, run_id, days)
    assert [run.run_id for run in past_runs(host)] == ["b", "a", "mine"]
    assert past_runs(host)[0].entries == ({"kind": "user", "target": "etcd"},)
    assert past_runs(host)[0].summary()["count"] == 1


def test_a_record_of_schema_1_is_read(host: Host, tmp_path: Path) -> None:
    directory = tmp_path / BACKUPS / "old"
    directory.mkdir(parents=True)
    (directory / "record.json").write_text('{"schema": 1, "entries": []}\n', encoding="utf-8")
    os.utime(directory, (7.0, 7.0))
    (old,) = past_runs(host)
    assert (old.run_id, old.began, old.entries, old.undone_by, old.undoes) == ("old", 7.0, (), "", ())


def test_a_run_that_died_before_its_record_was_begun_changed_nothing(host: Host, tmp_path: Path) -> None:
    (tmp_path / BACKUPS / "young").mkdir(parents=True)
    assert past_runs(host)[0].entries == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no record of a run"),
        ("[]", "is no record of a run"),
        ('{"schema": 1}', "is no record of a run"),
        ('{"schema": "2", "entries": []}', "is no record of a run"),
        ('{"schema": 2, "entries": [{"kind": "file", "target": "/a"}]}', "is no record of a run"),
        ('{"schema": 2, "entries": [{"kind": "one_way", "target": "/a"}]}', "is no record of a run"),
        ('{"schema": 2, "began": "x", "entries": []}', "is no record of a run"),
        ('{"schema": 3, "entries": []}', "newer Kubeharden"),
    ],
)
def test_a_record_that_is_none_is_refused(host: Host, tmp_path: Path, text: str, words: str) -> None:
    directory = tmp_path / BACKUPS / "run"
    directory.mkdir(parents=True)
    (directory / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(HardeningError, match=words):
        past_runs(host)


def test_a_run_is_marked_once_and_unknown_ones_are_passed_over(host: Host) -> None:
    made(host, "a", 1)
    mark_undone(host, ["a", "unknown"], "first")
    mark_undone(host, ["a"], "second")
    assert past_runs(host)[0].undone_by == "first"
    assert past_runs(host)[0].began == DAY
    assert names(host) == ["a"]


@pytest.mark.parametrize(
    ("count", "days", "pruned"),
    [(0, 0, []), (3, 0, []), (2, 0, ["a"]), (1, 0, ["a", "b"]), (0, 9, ["a"]), (0, 1, ["a", "b"]), (3, 9, ["a"])],
)
def test_the_oldest_are_removed_by_count_and_by_age(host: Host, count: int, days: int, pruned: list[str]) -> None:
    for run_id, began in (("a", 1), ("b", 5), ("c", 8)):
        made(host, run_id, began)
    assert prune(host, count, days, 11 * DAY, "c") == Pruned(tuple(pruned), ())
    assert names(host) == [name for name in ("a", "b", "c") if name not in pruned]


def test_the_newest_stays_however_old_it_is(host: Host) -> None:
    made(host, "a", 1)
    assert prune(host, 1, 1, 1000 * DAY, "z").removed == ()


@pytest.mark.parametrize("needed", ["a", "b"])
def test_what_the_journal_goes_back_to_stays_with_all_after_it(host: Host, needed: str) -> None:
    for run_id, began in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        made(host, run_id, began)
    Journal(host).note(apply={"run_id": needed, "saved": [], "manifests": "/m", "components": {}})
    assert prune(host, 1, 1, 100 * DAY, "d").removed == (() if needed == "a" else ("a",))


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_rollback_under_way_puts_back_stays(host: Host, finished: bool) -> None:
    for run_id, began in (("a", 1), ("b", 2)):
        made(host, run_id, began)
    made(host, "r", 3).write(undoes=["b", "a"], finished=finished)
    assert prune(host, 1, 0, 100 * DAY, "z").removed == (("a", "b") if finished else ())


def test_a_rollback_that_died_keeps_nothing_when_another_run_came_after_it(host: Host) -> None:
    """Nobody goes on with it any more, and a host must not collect records for ever."""
    for run_id, began in (("a", 1), ("b", 2)):
        made(host, run_id, began)
    made(host, "r", 3).write(undoes=["b", "a"], finished=False)
    made(host, "d", 4)
    assert prune(host, 1, 0, 100 * DAY, "d").removed == ("a", "b", "r")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_rollback_at_its_end_finishes_those_that_died_and_have_nothing_left(host: Host, recorded: bool) -> None:
    """Also where it had nothing to change, and so has no record, since the one before it died in its last step."""
    for run_id, began in (("a", 1), ("b", 2), ("c", 3)):
        made(host, run_id, began)
    made(host, "other", 4).write(undoes=["c"], finished=False)
    made(host, "died", 5).write(undoes=["b", "a", "pruned"], finished=False)
    if recorded:
        made(host, "ends", 6).write(undoes=["b", "a"], finished=False)
    mark_undone(host, ["a", "b"], "ends")
    finish_rollbacks(host, "ends")
    finished = {run.run_id: run.finished for run in past_runs(host) if run.undoes}
    assert finished == {"other": False, "died": True, **({"ends": True} if recorded else {})}


KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
SECRETS = {
    "/etc/kubernetes/pki/apiserver.key": KEY,
    "/etc/kubernetes/admin.conf": b"users:\n- user:\n    client-key-data: QUFBQQ==\n",
}


@pytest.mark.parametrize(("days", "stays"), [(0, True), (11, True), (9, False)])
def test_keys_are_kept_no_longer_than_allowed_though_their_record_stays(
    host: Host, tmp_path: Path, days: int, stays: bool
) -> None:
    """Keys never go back, so their bytes are of no use to the newest record either."""
    backup = Backup(host, "a", now=lambda: DAY)
    for path, data in {**SECRETS, "/etc/other": b"text"}.items():
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        backup.save(path)
    backup.adopt(backup.save("/etc/kubernetes/admin.conf"), backup)
    kept = tmp_path / BACKUPS / "a"
    for _again in range(2):
        assert prune(host, 20, days, 11 * DAY, "z").removed == ()
        bytes_kept = [path.read_bytes() for path in kept.iterdir()]
        assert [any(data in one for one in bytes_kept) for data in SECRETS.values()] == [stays, stays]
        (run,) = past_runs(host)
        assert run.began == DAY
        assert [bool(entry["stored"]) for entry in run.entries] == [stays, stays, True]
    (other,) = (path for path in kept.iterdir() if path.read_bytes() == b"text")
    assert other.stat().st_mode & 0o777 == 0o600


def test_a_key_that_the_journal_goes_back_to_stays(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_bytes(KEY)
    Backup(host, "a", now=lambda: DAY).save("/a.key")
    Journal(host).note(apply={"run_id": "a", "saved": [], "manifests": "/m", "components": {}})
    prune(host, 1, 1, 100 * DAY, "z")
    assert past_runs(host)[0].entries[0]["stored"]


def test_a_damaged_record_is_named_and_keeps_no_other_from_going(host: Host, tmp_path: Path) -> None:
    for run_id, began in (("a", 1), ("b", 2), ("c", 3)):
        made(host, run_id, began)
    record = tmp_path / BACKUPS / "b" / "record.json"
    record.write_text("{", encoding="utf-8")
    assert prune(host, 1, 0, 0.0, "c") == Pruned(("a",), ("b",))
    assert record.read_text(encoding="utf-8") == "{"


def test_what_a_death_left_half_removed_is_no_record_and_goes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id, began in (("a", 1), ("b", 2)):
        made(host, run_id, began)

    def die(_path: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(history.shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            prune(host, 1, 0, 0.0, "b")
    assert [run.run_id for run in past_runs(host)] == ["b"]
    assert len(names(host)) == 2
    assert prune(host, 1, 0, 0.0, "b").removed == ()
    assert names(host) == ["b"]


def test_a_backup_that_cannot_be_removed_is_a_sentence(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id, began in (("a", 1), ("b", 2)):
        made(host, run_id, began)

    def refuse(*_arguments: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(history.os, "rename", refuse)
    with pytest.raises(HardeningError, match=r"backups/a could not be removed: the file system is read-only"):
        prune(host, 1, 0, 0.0, "b")
    assert json.loads(Path(host.path(f"/{BACKUPS}/a/record.json")).read_text(encoding="utf-8"))["schema"] == 2


def test_temporary_files_of_a_run_that_died_go(host: Host, tmp_path: Path) -> None:
    """In our own directories, beside what the newest run had under way, and above what something watches."""
    manifests = tmp_path / "etc/kubernetes/manifests"
    for directory in (manifests, tmp_path / "run/kubeharden", tmp_path / "etc/other"):
        directory.mkdir(parents=True)
    (manifests / "a.yaml").write_text("a", encoding="utf-8")
    Backup(host, "a").save("/etc/kubernetes/manifests/a.yaml")
    left = [
        manifests.parent / ".kubeharden-1",
        tmp_path / BACKUPS / "a" / ".kubeharden-2",
        tmp_path / "var/lib/kubeharden/.kubeharden-3",
        tmp_path / "run/kubeharden/.kubeharden-4",
    ]
    stays = [manifests / "a.yaml", tmp_path / "etc/other/.kubeharden-5", tmp_path / BACKUPS / "a" / "record.json"]
    for path in (*left, stays[1]):
        path.write_text("half", encoding="utf-8")
    remove_leftovers(host)
    assert [path.exists() for path in left] == [False] * 4
    assert [path.exists() for path in stays] == [True] * 3


def test_where_no_run_was_nothing_is_left_and_nothing_is_made(host: Host, tmp_path: Path) -> None:
    remove_leftovers(host)
    assert os.listdir(tmp_path) == []
