# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are right only together, such as a certificate and its key.

All are laid beside their places and synced before the first is renamed, so that the renames follow each other at once:
etcd reads both files at every handshake. The journal says what is to be renamed; a run that dies in between is finished
by the next one, because everything that it needs is on the disk. Where somebody has mended it by then it is not: half
of one set and half of another fit nothing.
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
    read_bytes,
    remove_file,
    sha256,
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


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """What a run that died had begun to replace.

    Attributes:
        paths: All of it.
        changed: Those that somebody else has changed or put back since; where there is one, nothing more is renamed.
        left: Those whose new bytes still wait beside them.
    """

    paths: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def replace_together(host: Host, files: t.Sequence[NewFile]) -> None:
    """Replace or create all files in the order given, in directories that exist.

    Raises:
        HardeningError: What was refused and why; every file is then what it was.
    """
    staged: list[tuple[str, str]] = []
    digests: list[tuple[str | None, str | None]] = []
    try:
        for file in files:
            real = host.path(file.path)
            digests.append((sha256(read_bytes(real)), sha256(file.data)))
            staged.append((stage_file(real, file.data, file.mode, file.owner), real))
        for directory in sorted({os.path.dirname(real) for _temporary, real in staged}):
            fsync_directory(directory)
        shown = [(host.shown(temporary), host.shown(real)) for temporary, real in staged]
        Journal(host).note(**{STEP: [[*names, *known] for names, known in zip(shown, digests)]})
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


def unfinished(host: Host) -> Unfinished:
    """Look at what a run that died had begun to replace."""
    pending = Journal(host).read().get(STEP) or []
    changed, left = [], []
    for temporary, path, before, after in pending:
        waits = os.path.lexists(host.link_path(temporary))
        if waits:
            left.append(path)
        # One that was renamed and has its old bytes was put back, by whoever puts back those beside it too.
        if sha256(read_bytes(host.path(path))) not in ((before, after) if waits else (after,)):
            changed.append(path)
    return Unfinished(tuple(path for _temporary, path, *_digests in pending), tuple(changed), tuple(left))


def finish(host: Host) -> Unfinished:
    """Finish what a run that died had begun to rename, or, where somebody has changed some of it, remove the rest."""
    found = unfinished(host)
    if not found.paths:
        return found
    journal = Journal(host)
    staged = [(host.link_path(temporary), host.path(path)) for temporary, path, *_digests in journal.read()[STEP]]
    if found.changed:
        for temporary, _real in staged:
            remove_file(temporary)
    else:
        _rename(staged)
    journal.strike(STEP)
    return found


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
