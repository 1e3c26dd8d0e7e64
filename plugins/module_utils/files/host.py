# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's file system: the real one, or a directory that stands for it."""

from __future__ import annotations

import os
import shutil
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import explain

#: What a component reads of ours. A directory: a file that is mounted alone keeps its old inode when it is replaced.
CONFIGURATION_DIRECTORY = "/etc/kubernetes/kubeharden"
#: Patches that kubeadm upgrade applies to what it writes, when it is told to (--patches).
PATCHES_DIRECTORY = f"{CONFIGURATION_DIRECTORY}/patches"
#: Private: backups, record and journal.
STATE_DIRECTORY = "/var/lib/kubeharden"
#: May vanish with a reboot.
RUN_DIRECTORY = "/run/kubeharden"

_LINKS = 40
#: Bytes that Linux allows for a path and for each part of it.
_LONGEST, _LONGEST_NAME = 4095, 255


class Host:
    """Maps the paths that a component uses to those that this process can open.

    Args:
        root: "/" for the host itself, else the directory that stands for it (a demo, an image, a test).
    """

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.abspath(root)
        #: Whether processes, units and an API belong to these files.
        self.live = self.root == "/"
        #: Whether this process may give files to another user.
        self.can_own = os.geteuid() == 0

    def path(self, path: str) -> str:
        """Return where the host's path lies for this process; links are followed inside the host, never out of it."""
        return self._resolve(_possible(path), follow_last=True)

    def link_path(self, path: str) -> str:
        """The same, but a last component that is a link is not followed."""
        return self._resolve(_possible(path), follow_last=False)

    def _resolve(self, path: str, follow_last: bool) -> str:
        if self.live and follow_last:
            return os.path.realpath(path)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        resolved: list[str] = []
        links = 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                resolved = resolved[:-1]
                continue
            candidate = os.path.join(self.root, *resolved, part)
            if os.path.islink(candidate) and (parts or follow_last):
                links += 1
                if links > _LINKS:
                    raise HardeningError(
                        "KH117", f"{path} is a loop of symbolic links. Nothing was changed; remove the loop."
                    )
                target = os.readlink(candidate)
                parts = [piece for piece in target.split("/") if piece not in ("", ".")] + parts
                if target.startswith("/"):
                    resolved = []
                continue
            resolved.append(part)
        return os.path.join(self.root, *resolved)

    def files_below(self, directory: str | None, suffix: str) -> list[str]:
        """Return the host's names of the files below a directory, walked in lexical order; none where it is missing."""
        found = []
        for folder, below, names in os.walk(self.path(directory)) if directory else ():
            below.sort()
            found += [self.shown(os.path.join(folder, name)) for name in sorted(names) if name.endswith(suffix)]
        return found

    def shown(self, path: str) -> str:
        """Return the host's name of a path of this process."""
        if self.live:
            return path
        relative = os.path.relpath(path, self.root)
        return "/" + relative if not relative.startswith("..") else path


def _possible(path: str) -> str:
    """Return a path that a file or flag of the host named; what no file can be called is a sentence."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded or len(encoded) > _LONGEST or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME:
        shown = path if len(path) <= _LONGEST_NAME else f"{path[:_LONGEST_NAME]}..."
        raise HardeningError(
            "KH117",
            f"{shown!r} is named on this host, and no file can be called so. Nothing was changed; correct what "
            "names it.",
        )
    return path


def open_host(root: str, seed: str | None, check: bool, scratch: t.Callable[[], str]) -> Host:
    """Return the host; a directory that does not exist yet starts as a copy of its seed.

    In check mode the copy is made in Ansible's own temporary directory, so that the foretold changes are the real ones
    and nothing is left behind.

    Args:
        root: As for Host.
        seed: A directory with the files of a host; beside it ``<seed>.attributes.yml`` may say modes that a version
            control system does not keep, and files without content.
        check: Whether this is check mode.
        scratch: Gives the module's temporary directory, which Ansible makes when it is asked for.
    """
    root = os.path.abspath(root)
    if root == "/" or os.path.isdir(root):
        return Host(root)
    if os.path.lexists(root):
        raise HardeningError(
            "KH010",
            f"kubeharden_root {root} is no directory. Nothing was written; correct the path, or move away what is "
            "there.",
        )
    if not seed:
        raise HardeningError(
            "KH010",
            f"kubeharden_root {root} is no directory. Nothing was written; make it, or set kubeharden_root_seed.",
        )
    if not os.path.isdir(seed):
        raise HardeningError(
            "KH010", f"kubeharden_root_seed {seed} is no directory. Nothing was written; correct the path."
        )
    target = os.path.join(scratch(), "root") if check else root
    partial = target + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copytree(seed, partial, symlinks=True)
        _apply_attributes(partial, seed + ".attributes.yml")
        os.rename(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise HardeningError(
            "KH201",
            f"{target} could not be made as a copy of {seed}: {_why(error)}. Nothing of it was kept; mend that, or "
            "correct kubeharden_root or kubeharden_root_seed.",
        ) from error
    return Host(target)


def _why(error: OSError) -> str:
    """Say why a copy failed: of several files that could not be copied the first, which copytree tells as a list."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][2])
    return explain(error)


def _apply_attributes(root: str, listing: str) -> None:
    if not os.path.exists(listing):
        return
    with open(listing, encoding="utf-8") as handle:
        entries = yaml.safe_load(handle)
    # From the deepest path upwards, so that a directory without the right to write is closed last.
    for name in sorted(entries, key=lambda item: (-item.count("/"), item)):
        entry = entries[name]
        path = os.path.join(root, name.lstrip("/"))
        kind = entry.get("type", "file")
        os.makedirs(path if kind == "directory" else os.path.dirname(path), exist_ok=True)
        if kind == "link":
            if not os.path.lexists(path):
                os.symlink(entry["target"], path)
            continue
        if kind == "file" and not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(entry.get("content", ""))
        os.chmod(path, int(entry["mode"], 8))
