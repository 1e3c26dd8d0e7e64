# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run changes goes back as it was: bytes, mode, owner and times; what did not exist goes."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import (
    Backup,
    Change,
    Saved,
    file_change,
    staging_for,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import sha256

RUN = "20260101T000000Z-abcd"
TIMES = (1_600_000_000_111_111_111, 1_500_000_000_222_222_222)


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    (tmp_path / "etc").mkdir()
    return Backup(Host(str(tmp_path)), RUN)


def make(path: Path, data: bytes, mode: int = 0o640) -> None:
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=TIMES)


def state(path: Path) -> tuple[int, tuple[int, int], tuple[int, int]]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), (status.st_atime_ns, status.st_mtime_ns)


# ---- one file


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 100])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_file_goes_back_with_bytes_mode_owner_and_times(
    backup: Backup, tmp_path: Path, data: bytes, mode: int
) -> None:
    path = tmp_path / "etc" / "file"
    make(path, data, mode)
    before = state(path)
    saved = backup.save("/etc/file")
    path.unlink()
    path.write_bytes(b"other")
    backup.restore(saved)
    assert state(path) == before  # before it is read, which may move its access time
    assert path.read_bytes() == data


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root: the file is given away")
def test_a_file_goes_back_to_its_owner(backup: Backup, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "file"
    make(path, b"x", 0o4750)
    os.chown(path, 1234, 4321)
    path.chmod(0o4750)
    for content in (True, False):
        saved = Backup(backup.host, f"{RUN}{content}").save("/etc/file", content=content)
        os.chown(path, 0, 0)
        path.chmod(0o600)
        Backup(backup.host, f"{RUN}{content}").restore(saved)
        assert state(path)[:2] == (0o4750, (1234, 4321))


def test_a_file_that_did_not_exist_goes(backup: Backup, tmp_path: Path) -> None:
    saved = backup.save("/etc/new")
    assert saved.kind == "absent"
    (tmp_path / "etc" / "new").write_bytes(b"x")
    backup.restore(saved)
    backup.restore(saved)  # well also where it is gone already
    assert os.listdir(tmp_path / "etc") == []


def test_a_directory_that_did_not_exist_goes_unless_somebody_wrote_into_it(backup: Backup, tmp_path: Path) -> None:
    saved = backup.save("/var/log/audit")
    directory = tmp_path / "var" / "log" / "audit"
    directory.mkdir(parents=True)
    (directory / "audit.log").write_bytes(b"evidence")
    backup.restore(saved)
    assert (directory / "audit.log").read_bytes() == b"evidence"
    (directory / "audit.log").unlink()
    backup.restore(saved)
    assert not directory.exists()


@pytest.mark.parametrize(("name", "kind"), [("directory", "directory"), ("file", "attributes")])
def test_attributes_go_back_without_any_bytes_being_kept(backup: Backup, tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "etc" / name
    if kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"a key that nobody copies")
    path.chmod(0o750)
    os.utime(path, ns=TIMES)
    before = state(path)
    saved = backup.save(f"/etc/{name}", content=False)
    assert saved.kind == kind
    path.chmod(0o700)
    os.utime(path)
    backup.restore(saved)
    assert state(path) == before
    kept = [entry for entry in os.listdir(backup.directory) if entry != "record.json"]
    assert kept == []


def test_a_link_stays_a_link_and_its_target_goes_back(backup: Backup, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    target, link = tmp_path / "var" / "file", tmp_path / "etc" / "file"
    make(target, b"old")
    link.symlink_to("/var/file")
    saved = backup.save("/etc/file")
    target.write_bytes(b"new")
    backup.restore(saved)
    assert link.is_symlink()
    assert target.read_bytes() == b"old"


# ---- one run


def test_what_was_saved_first_is_what_the_run_goes_back_to(backup: Backup, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "file"
    make(path, b"first")
    first = backup.save("/etc/file")
    path.write_bytes(b"second")
    assert Backup(backup.host, RUN).save("/etc/file") == first  # another module call of the same run
    backup.restore(first)
    assert path.read_bytes() == b"first"


def test_bytes_are_kept_where_only_attributes_were_before(backup: Backup, tmp_path: Path) -> None:
    make(tmp_path / "etc" / "file", b"bytes")
    assert backup.save("/etc/file", content=False).kind == "attributes"
    assert backup.save("/etc/file", content=True).kind == "file"
    assert backup.save("/etc/file", content=False).kind == "attributes"


def test_the_backup_is_private_and_says_how_each_goes_back(backup: Backup, tmp_path: Path) -> None:
    make(tmp_path / "etc" / "file", b"bytes", 0o644)
    saved = backup.save("/etc/file")
    backup.note("user", "etcd")
    for directory in (tmp_path / "var/lib/kubeharden", Path(backup.directory)):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in os.listdir(backup.directory):
        assert stat.S_IMODE((Path(backup.directory) / name).stat().st_mode) == 0o600
    record = json.loads((Path(backup.directory) / "record.json").read_text(encoding="utf-8"))
    assert record["schema"] == 2
    assert [(entry["kind"], entry["target"]) for entry in record["entries"]] == [
        ("file", "/etc/file"),
        ("user", "etcd"),
    ]
    assert record["entries"][0]["sha256"] == sha256(b"bytes")
    assert (Path(backup.directory) / str(saved.stored)).read_bytes() == b"bytes"


def test_the_record_says_what_the_run_makes_of_each_target(backup: Backup, tmp_path: Path) -> None:
    make(tmp_path / "etc" / "file", b"bytes")
    make(tmp_path / "etc" / "moved", b"moved")
    changes = [
        file_change("file", "/etc/file", "bytes", "more", []),
        Change("directory", "/etc/new", "create"),
        file_change("file", "/etc/file", "bytes", "most", []),  # what came last counts
    ]
    backup.save_changes(changes, ["/etc/moved", "/etc/file"])
    backup.save_step("/etc/file", content=False, after=[0o600, 0, 0])
    backup.save_step("/etc/moved")
    found = [(entry["target"], entry["kind"], entry.get("after")) for entry in backup.document()["entries"]]
    assert found == [
        ("/etc/file", "file", sha256(b"most")),
        ("/etc/new", "absent", "directory"),
        ("/etc/moved", "file", sha256(b"moved")),
        ("/etc/file", "attributes", [0o600, 0, 0]),
        ("/etc/moved", "file", None),
    ]


def test_directories_that_are_missing_above_a_file_are_recorded_once_and_before_it(backup: Backup) -> None:
    backup.save("/etc/a/b/one")
    backup.save_step("/etc/a/two", after="x")
    found = [(entry["target"], entry.get("after")) for entry in backup.document()["entries"]]
    assert found == [("/etc/a", "directory"), ("/etc/a/b", "directory"), ("/etc/a/b/one", None), ("/etc/a/two", "x")]


def test_an_outcome_that_is_known_late_is_that_of_the_newest_change(backup: Backup) -> None:
    for text in ("first", "second"):
        backup.note("api_object", "it", before=text, after=text)
    backup.note("user", "it")
    backup.note_outcome("api_object", "it", "as the API has it")
    backup.note_outcome("api_object", "other", "nothing")
    again = Backup(backup.host, RUN).document()["entries"]
    assert [entry.get("after") for entry in again] == ["first", "as the API has it", None]


def test_a_record_says_when_its_run_began_and_keeps_that(backup: Backup) -> None:
    for now in (5.0, 9.0):
        Backup(backup.host, RUN, now=lambda now=now: now).note("user", "etcd")  # type: ignore[misc]
    assert backup.document()["began"] == 5.0
    backup.write(undone_by="later")
    assert Backup(backup.host, RUN).document()["undone_by"] == "later"


def test_bytes_of_another_run_are_adopted_without_a_change_of_its_record(backup: Backup, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "file"
    make(path, b"old")
    before = state(path)
    saved = backup.save("/etc/file")
    mine = Backup(backup.host, "mine")
    adopted = mine.adopt(saved, backup)
    assert mine.document()["entries"] == []
    Path(backup.directory, str(saved.stored)).unlink()
    path.write_bytes(b"new")
    mine.restore(adopted)
    assert state(path) == before
    assert path.read_bytes() == b"old"
    gone = Saved("/etc/none", "absent")
    assert mine.adopt(gone, backup) == gone


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_backup_is_not_put_back(backup: Backup, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "etc" / "file"
    make(path, b"bytes")
    saved = backup.save("/etc/file")
    stored = Path(backup.directory) / str(saved.stored)
    if damage == "cut":
        stored.write_bytes(b"byt")
    else:
        stored.unlink()
    path.write_bytes(b"new")
    with pytest.raises(HardeningError, match="is damaged, so it was not put back"):
        backup.restore(saved)
    assert path.read_bytes() == b"new"


# ---- several files


def test_one_that_cannot_go_back_does_not_keep_the_others(backup: Backup, tmp_path: Path) -> None:
    paths = [tmp_path / "etc" / name for name in ("a", "b", "c")]
    for path in paths:
        make(path, b"old")
    saved = [backup.save(f"/etc/{path.name}") for path in paths]
    for path in paths:
        path.write_bytes(b"new")
    (Path(backup.directory) / str(saved[1].stored)).unlink()
    problems = backup.put_back(saved)
    assert [path.read_bytes() for path in paths] == [b"old", b"new", b"old"]
    assert len(problems) == 1
    assert problems[0].startswith("/etc/b did not go back:")


def test_attributes_of_what_is_gone_are_a_sentence(backup: Backup, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "file"
    make(path, b"x")
    saved = backup.save("/etc/file", content=False)
    path.unlink()
    assert "could not be put back" in backup.put_back([saved])[0]


def test_a_file_is_made_in_its_directory_and_a_manifest_beside_the_watched_one(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    watched = "/etc/kubernetes/manifests"
    assert staging_for(host, "/etc/kubernetes/manifests/a.yaml", watched) == str(tmp_path / "etc/kubernetes")
    assert staging_for(host, "/etc/kubernetes/manifests/sub/a.yaml", watched) is None
    assert staging_for(host, "/etc/kubernetes/x", watched) is None
    assert staging_for(host, "/etc/kubernetes/manifests/a.yaml", None) is None


def test_saved_survives_a_journey_through_json(backup: Backup, tmp_path: Path) -> None:
    make(tmp_path / "etc" / "file", b"x")
    saved = backup.save("/etc/file")
    assert Saved(**json.loads(json.dumps(dataclasses.asdict(saved)))) == saved


# ---- the account


def test_a_change_of_bytes_says_what_and_why() -> None:
    change = file_change("file", "/etc/x", "a\nb\n", "a\nc\n", ["two", "one", "two"], ["kube-apiserver"])
    record = change.as_record()
    assert (record["action"], record["controls"], record["restart"]) == ("update", ["one", "two"], ["kube-apiserver"])
    assert (record["before_sha256"], record["after_sha256"]) == (sha256(b"a\nb\n"), sha256(b"a\nc\n"))
    assert record["diff"] == "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a\n-b\n+c"
    assert json.loads(json.dumps(record)) == record


def test_a_new_file_has_no_hash_before() -> None:
    change = file_change("file", "/etc/x", None, "a\n", [])
    assert (change.action, change.before_sha256) == ("create", None)
    assert change.as_diff()["before"] == ""


def test_the_diff_ends_its_lines_so_that_ansible_says_nothing_of_a_missing_newline() -> None:
    shown = Change("file", "/etc/x", "update", before="a", after="b", restart=("kubelet",)).as_diff()
    assert (shown["before"], shown["after"]) == ("a\n", "b\n")
    assert shown["after_header"] == "file /etc/x (restarts kubelet)"
