# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many new files onto the disk at once."""

from __future__ import annotations

import ctypes
import os
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import fsync_directory

#: From which kernel on syncfs fails where something could not be written: syncfs(2).
_SYNCFS_TELLS = (5, 8)


def sync_trees(descriptor: int, roots: t.Iterable[str]) -> None:
    """Make all that lies in some directories survive a power cut.

    By one call where there is one which says what it could not write: an fsync of each file costs a flush of the disk
    each, most of what hundreds of small files take.

    Args:
        descriptor: Of a directory on the same file system, open since before the first of the files was written.
        roots: The directories.
    """
    sync_file_system = _syncfs()
    if sync_file_system is not None:
        if sync_file_system(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return
    for root in roots:
        for folder, _folders, names in os.walk(root):
            for name in names:
                file = os.open(os.path.join(folder, name), os.O_RDONLY)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
            fsync_directory(folder)


def _syncfs() -> t.Callable[[int], int] | None:
    """Return the call of the C library; None where it is not, or tells nothing of what was lost (Linux below 5.8)."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if release is None or tuple(map(int, release.groups())) < _SYNCFS_TELLS:
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
