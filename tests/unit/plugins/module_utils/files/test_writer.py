# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer: a file is as it was or as it should be, never wider open, and nothing stays behind."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import writer
from tools.lacking import lacking

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(
    not ROOT, reason="takes root: a file system of its own is mounted, or a file given away"
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def mount_tmpfs(target: Path, options: str) -> bool:
    """Whether a file system of its own could be mounted: a container may forbid it to root too."""
    target.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    target = tmp_path / "small"
    if not mount_tmpfs(target, "size=64k"):
        lacking("no file system can be mounted here")
    yield target
    subprocess.run(["umount", str(target)], check=True)


# ---- what is written


@given(data=strategies.binary(max_size=4096))
def test_bytes_come_back_as_they_were_given(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file"
    writer.write_atomic(str(path), data, 0o600)
    assert path.read_bytes() == data
    assert writer.read_bytes(str(path)) == data


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o4755])
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path: Path, mode: int, umask: int) -> None:
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        writer.write_atomic(str(path), b"x", mode)
    finally:
        os.umask(before)
    assert mode_of(path) == mode


def test_the_temporary_file_is_private_hidden_and_complete_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, bytes]] = []
    opened: list[int] = []
    real_replace, real_fill = os.replace, writer._fill

    def fill(descriptor: int, *arguments: object) -> None:
        opened.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real_fill(descriptor, *arguments)  # type: ignore[arg-type]

    def replace(source: str, target: str) -> None:
        seen.append((os.path.basename(source), mode_of(Path(source)), Path(source).read_bytes()))
        real_replace(source, target)

    monkeypatch.setattr(writer, "_fill", fill)
    monkeypatch.setattr(os, "replace", replace)
    writer.write_atomic(str(tmp_path / "file"), b"all of it", 0o644)
    assert opened == [0o600]
    assert [(name.startswith(".kubeharden-"), mode, data) for name, mode, data in seen] == [(True, 0o644, b"all of it")]


def test_file_and_directory_are_synced_in_that_order_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_replace, real_fsync = os.replace, os.fsync

    def fsync(descriptor: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(source: str, target: str) -> None:
        order.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    writer.write_atomic(str(tmp_path / "file"), b"x", 0o600)
    assert order == ["file", "rename", "directory"]


def test_a_reader_that_holds_the_old_file_open_reads_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as handle:
        writer.write_atomic(str(path), b"new and longer", 0o600)
        assert handle.read() == b"old"
    assert path.read_bytes() == b"new and longer"


def test_the_temporary_file_lies_in_the_staging_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, staging = tmp_path / "manifests", tmp_path / "staging"
    watched.mkdir()
    staging.mkdir()
    during: list[list[str]] = []
    real_replace = os.replace

    def replace(source: str, target: str) -> None:
        during.append(sorted(os.listdir(watched)))
        assert os.path.dirname(source) == str(staging)
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    writer.write_atomic(str(watched / "pod.yaml"), b"x", 0o600, staging=str(staging))
    assert during == [[]]
    assert os.listdir(staging) == []


def test_times_are_put_back_to_the_nanosecond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    times = (1_600_000_000_123_456_789, 1_500_000_000_987_654_321)
    writer.write_atomic(str(path), b"x", 0o600, times=times)
    status = path.stat()
    assert (status.st_atime_ns, status.st_mtime_ns) == times


@needs_root
def test_the_owner_is_set_before_anybody_sees_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer.write_atomic(str(path), b"x", 0o640, owner=(12345, 54321))
    status = path.stat()
    assert (status.st_uid, status.st_gid, mode_of(path)) == (12345, 54321, 0o640)


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    """Who wants the link's target resolves it first, as Host.path does."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    writer.write_atomic(str(link), b"ours", 0o600)
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"theirs", b"ours", False)


# ---- what is refused


def refuse(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EXDEV, "lies on another file system"),
        (errno.EBUSY, "is a mount point"),
        (errno.EPERM, "not permitted"),
        (errno.EIO, "input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_whatever_is_refused_the_file_stays_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)

    def fail(*_arguments: object) -> None:
        raise refuse(number)

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(HardeningError) as caught:
        writer.write_atomic(str(path), b"new", 0o600)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert (path.read_bytes(), mode_of(path), os.listdir(tmp_path)) == (b"old", 0o640, ["file"])


@needs_root
def test_a_full_file_system_leaves_every_byte(small: Path) -> None:
    path = small / "file"
    path.write_bytes(b"o" * 20_000)
    with pytest.raises(HardeningError, match="no space is left"):
        writer.write_atomic(str(path), b"n" * 100_000, 0o600)
    assert (path.read_bytes(), os.listdir(small)) == (b"o" * 20_000, ["file"])


@needs_root
def test_a_staging_directory_on_another_file_system_is_named(small: Path, tmp_path: Path) -> None:
    path = small / "file"
    path.write_bytes(b"old")
    with pytest.raises(HardeningError, match="lies on another file system"):
        writer.write_atomic(str(path), b"new", 0o600, staging=str(tmp_path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["small"]


@pytest.mark.parametrize("path", ["missing/file", "file/below"])
def test_a_path_that_cannot_be_is_a_sentence(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HardeningError, match="could not be written"):
        writer.write_atomic(str(tmp_path / path), b"x", 0o600)


# ---- directories


def test_a_directory_and_the_parents_it_lacks_are_made_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = writer.make_directory(str(tmp_path / "a" / "b"), 0o700)
    finally:
        os.umask(before)
    assert made == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert [mode_of(Path(path)) for path in made] == [0o700, 0o700]
    assert writer.make_directory(str(tmp_path / "a" / "b"), 0o755) == []
    assert mode_of(tmp_path / "a" / "b") == 0o700


def test_what_was_made_goes_when_the_rest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def mkdir(path: str, mode: int = 0o777) -> None:
        if path.endswith("b"):
            raise refuse(errno.EROFS)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(HardeningError, match=r"a/b could not be made: the file system is read-only"):
        writer.make_directory(str(tmp_path / "a" / "b"), 0o700)
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_of_a_directory_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(HardeningError, match="a file of that name is in the way"):
        writer.make_directory(str(tmp_path / "a"), 0o700)


# ---- removing


def test_removing_is_synced_and_well_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    synced: list[str] = []
    monkeypatch.setattr(writer, "fsync_directory", synced.append)
    writer.remove_file(str(path))
    writer.remove_file(str(path))
    assert synced == [str(tmp_path)]
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_removed_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(HardeningError, match="could not be removed"):
        writer.remove_file(str(tmp_path / "directory"))


# ---- room


def test_room_is_looked_for_at_the_nearest_parent_that_exists(tmp_path: Path) -> None:
    writer.require_room(str(tmp_path / "a" / "b"), 1)


@needs_root
def test_too_little_room_is_refused_before_anything_is_written(small: Path) -> None:
    with pytest.raises(HardeningError, match=r"bytes left and .* are needed.*make room"):
        writer.require_room(str(small / "sub"), 1)


@needs_root
@pytest.mark.parametrize(
    ("options", "words"), [("ro", "read-only file system"), ("size=4m,nr_inodes=1", "has no inode left")]
)
def test_a_file_system_that_takes_nothing_is_refused(tmp_path: Path, options: str, words: str) -> None:
    target = tmp_path / "fs"
    if not mount_tmpfs(target, options):
        lacking("no file system can be mounted here")
    try:
        with pytest.raises(HardeningError, match=words):
            writer.require_room(str(target), 1)
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    with pytest.raises(HardeningError, match="become: true"):
        writer.require_room(str(tmp_path), 1)


# ---- reading


def test_no_file_is_none(tmp_path: Path) -> None:
    assert writer.read_bytes(str(tmp_path / "missing")) is None
    assert writer.read_text(str(tmp_path / "missing")) is None
    assert writer.sha256(None) is None


def test_a_fifo_does_not_hang_the_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HardeningError, match="is no regular file"):
        writer.read_bytes(str(tmp_path / "fifo"))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(HardeningError, match="is no regular file"):
        writer.read_bytes(str(tmp_path))


def test_a_setting_of_the_kernel_is_a_file() -> None:
    """The kernel refuses who asks for as much at once as a file of a host may have."""
    assert (writer.read_text("/proc/sys/kernel/panic") or "").strip().isdecimal()


@pytest.mark.parametrize(("size", "well"), [(10, True), (11, False), (70_000, False)])
def test_what_is_too_large_is_refused(tmp_path: Path, size: int, well: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    if well:
        assert writer.read_bytes(str(path), limit=10) == b"x" * size
    else:
        with pytest.raises(HardeningError, match="larger than 10 bytes"):
            writer.read_bytes(str(path), limit=10)


def test_bytes_that_are_no_text_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ab\xff")
    with pytest.raises(HardeningError, match=r"is no UTF-8 text \(byte 2\)"):
        writer.read_text(str(path))


# ---- moving


def test_a_file_is_moved_with_all_that_it_is_and_takes_the_place_of_another(tmp_path: Path) -> None:
    source, target = tmp_path / "a" / "file", tmp_path / "b" / "file"
    for path in (source, target):
        path.parent.mkdir()
        path.write_text(path.parent.name, encoding="utf-8")
    source.chmod(0o640)
    inode = source.stat().st_ino
    writer.move_file(str(source), str(target))
    assert not source.exists()
    assert (target.read_text(encoding="utf-8"), target.stat().st_ino, mode_of(target)) == ("a", inode, 0o640)


def test_a_move_that_is_refused_leaves_the_file_where_it_was(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"x")
    with pytest.raises(HardeningError, match=r"could not be moved to .*: the directory does not exist"):
        writer.move_file(str(source), str(tmp_path / "none" / "file"))
    assert source.read_bytes() == b"x"
