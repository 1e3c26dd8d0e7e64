# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: directories named after what made them, made once, never changed, removed when nothing wants them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable

from lab.kubelab.base import HERE, LabError, cache_dir, say

GIB = 1024**3


def key_of(*parts: object) -> str:
    """Twelve hex digits over texts and the contents of files and directories."""
    digest = hashlib.sha256()
    for part in parts:
        files: Iterable[Path] = ()
        if isinstance(part, Path):
            files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else (part,)
        for file in files:
            digest.update(f"\0{file.relative_to(HERE)}\0".encode() + file.read_bytes())
        if not isinstance(part, Path):
            digest.update(f"\0{part}\0".encode())
    return digest.hexdigest()[:12]


def entry(kind: str, name: str, key: str, free: int, make: Callable[[Path], None]) -> Path:
    """The cache's directory ``<kind>/<name>-<key>``, made by ``make`` in a place of its own when it is not there yet.

    Other directories of the same kind and name are removed then, unless a lab uses them.

    :param free: bytes of free disk that making it needs.
    :raises LabError: the disk is too full, or ``make`` failed; nothing half made stays.
    """
    folder = cache_dir() / kind
    target = folder / f"{name}-{key}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / f".{name}.lock"):
        if target.is_dir():
            return target
        require_free(folder, free)
        _remove_unused(folder, name)
        say(f"lab: making {target}")
        scratch = folder / f".making-{name}-{key}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            make(scratch)
            (scratch / "lock").touch()
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def require_free(folder: Path, needed: int) -> None:
    """:raises LabError: fewer than ``needed`` bytes are free where ``folder`` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LabError(
            f"{folder}: {free / GIB:.1f} GiB free, {needed / GIB:.0f} GiB needed; "
            "make room or let KUBEHARDEN_CACHE name another place"
        )


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(folder: Path, name: str) -> None:
    for old in folder.glob(f"{name}-*"):
        with (old / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say(f"lab: {old} is in use and stays")
                continue
            say(f"lab: removing {old}")
            shutil.rmtree(old)
