# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many new files reach the disk, by one call or by one each, and what could not be written is told."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files import sync


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were synced one by one."""
    inodes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def _tree(root: Path) -> list[int]:
    (root / "pki/etcd").mkdir(parents=True)
    for name in ("admin.conf", "pki/ca.crt", "pki/etcd/ca.key"):
        (root / name).write_text(name)
    return sorted(path.stat().st_ino for path in (root, *root.rglob("*")))


def _run(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync.sync_trees(descriptor, [str(root / "one"), str(root / "two")])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("release", ["5.8.0", "6.1.0-18-amd64", "10.0"])
def test_a_kernel_that_tells_what_was_lost_is_asked_once(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    _tree(tmp_path / "one")
    _run(tmp_path)
    assert synced == []


@pytest.mark.parametrize("release", ["4.18.0-553.el8.x86_64", "5.7.19", "unknown"])
def test_elsewhere_every_file_and_directory_is_synced_once(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    inodes = sorted([*_tree(tmp_path / "one"), *_tree(tmp_path / "two")])
    _run(tmp_path)
    assert sorted(synced) == inodes


def test_what_the_call_could_not_do_is_an_error(tmp_path: Path) -> None:
    _tree(tmp_path / "one")
    with pytest.raises(OSError, match="file descriptor") as told:
        sync.sync_trees(-1, [str(tmp_path / "one")])
    assert told.value.errno == errno.EBADF
