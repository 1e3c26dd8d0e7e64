# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are right only together, such as a certificate and its key.

All are laid beside their places and synced before the first is renamed, so that the renames follow each other at once:
etcd reads both files at every handshake. The journal says what is to be renamed; a run that dies in between is finished
by the next one, because everything that it needs is on the disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    TEMPORARY_PREFIX,
    explain,
    fsync_directory,
    stage_file,
)

#: The name of the step in the journal.
STEP = "together"


@dataclasses.dataclass(frozen=True)
class NewFile:
    """A file's new bytes, with its permission bits and, None to keep the process's own, user and group."""

    path: str
    data: bytes = dataclasses.field(repr=False)
    mode: int
    owner: tuple[int, int] | None = None


def replace_together(host: Host, files: t.Sequence[NewFile]) -> None:
    """Replace or create all files in the order given, in directories that exist.

    Raises:
        HardeningError: What was refused and why; every file is then what it was.
    """
    staged: list[tuple[str, str]] = []
    try:
        for file in files:
            real = host.path(file.path)
            staged.append((stage_file(real, file.data, file.mode, file.owner), real))
        for directory in sorted({os.path.dirname(real) for _temporary, real in staged}):
            fsync_directory(directory)
        Journal(host).note(**{STEP: [[host.shown(one), host.shown(other)] for one, other in staged]})
    except (OSError, HardeningError):
        for temporary, _real in staged:
            os.unlink(temporary)
        raise
    _rename(staged)
    Journal(host).strike(STEP)


def _rename(staged: t.Sequence[tuple[str, str]]) -> None:
    for temporary, real in staged:
        try:
            with contextlib.suppress(FileNotFoundError):  # renamed before the run died
                os.replace(temporary, real)
        except OSError as error:
            raise HardeningError(
                "KH203",
                f"{real} could not be replaced: {explain(error)}. Files that belong together may not fit each other "
                "until the next run, which finishes this; mend that and run again at once.",
            ) from error
    for directory in sorted({os.path.dirname(real) for _temporary, real in staged}):
        fsync_directory(directory)


def unfinished(journal: Journal) -> list[str]:
    """Return the paths that a run which died had begun to replace."""
    return [path for _temporary, path in journal.read().get(STEP) or []]


def finish(host: Host) -> list[str]:
    """Finish what a run that died had begun to rename; return the paths."""
    journal = Journal(host)
    pending = journal.read().get(STEP)
    if not pending:
        return []
    _rename([(host.link_path(temporary), host.path(path)) for temporary, path in pending])
    journal.strike(STEP)
    return [path for _temporary, path in pending]


def remove_leftovers(host: Host, paths: t.Iterable[str]) -> None:
    """Remove temporary files that a run which died before its first rename left beside some files: a key may be there.

    Args:
        host: The host's file system.
        paths: The files, in whatever directories; links are followed.
    """
    for directory in sorted({os.path.dirname(host.path(path)) for path in paths}):
        if not os.path.isdir(directory):
            continue
        for name in os.listdir(directory):
            if name.startswith(TEMPORARY_PREFIX):
                os.unlink(os.path.join(directory, name))
