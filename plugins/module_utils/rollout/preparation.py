# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before `kubeadm join`: the files and directories that the flags in kubeadm's ConfigMap name."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_text,
    require_room,
    write_atomic,
)


def plan(host: Host, files: t.Mapping[str, str], directories: t.Sequence[str]) -> list[Change]:
    """Return the directories to make and the files to write, without doing it."""
    wanted = sorted({*directories, *(os.path.dirname(path) for path in files)})
    changes = [
        Change("directory", path, "create", after=f"{path} 0700 root root\n")
        for path in wanted
        if not os.path.isdir(host.path(path))
    ]
    for path, text in sorted(files.items()):
        before = read_text(host.path(path))
        if before != text:
            changes.append(file_change("file", path, before, text, []))
    return changes


def apply(host: Host, changes: t.Sequence[Change], backup: Backup) -> None:
    """Make the planned changes; if one fails, those before it go back."""
    owner = (0, 0) if host.can_own else None
    for change in changes:
        require_room(host.path(os.path.dirname(change.target)), len((change.after or "").encode()))
    saved = []
    try:
        for change in changes:
            saved += backup.save_changes([change])
            if change.kind == "directory":
                make_directory(host.path(change.target), 0o700, owner)
            else:
                write_atomic(host.path(change.target), (change.after or "").encode(), 0o600, owner)
    except HardeningError as error:
        raise HardeningError(error.number, " ".join([str(error), *backup.put_back(saved)])) from error
