# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees with inotify what becomes of a host's files at every moment, and says what was wrong at one.

Nothing of the product is in it. Its text is also what a host's own Python is given (``script``), so it needs nothing
beside that.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 2, 4, 64, 128, 256, 512
OVERFLOW, IGNORED, DIRECTORY = 0x4000, 0x8000, 0x40000000
#: Watched with all that is below them, and the kubelet's own directory without.
KUBERNETES, OURS, KUBELET = "/etc/kubernetes", "/var/lib/kubeharden", "/var/lib/kubelet"
#: Copies of whole directories, with their modes, which nobody reaches who may not enter this one.
TRIAL = f"{OURS}/trial"
#: What the kubelet itself writes in its directory is none of ours.
OF_THE_KUBELET = ("config.yaml", "instance-config.yaml", "kubeadm-flags.env")
#: What is meant to come and go: the trial, and the API server's manifest during a restart of etcd.
COMES_AND_GOES = ("-kubeharden-trial.yaml", ".taken-away-by-kubeharden")
TEMPORARY = ".kubeharden-"
SECRETS = (b"PRIVATE KEY", b"client-key-data:", b"token:")
BEGUN = "watching"
#: Whoever makes a file of this name there learns when all that came before it has been seen.
END = ".end-of-the-watch"
#: How a line begins that says nothing but that something was seen.
GOOD = "event "


class Watcher:
    """What is watched, and what was seen of it.

    :param root: ``/``, or the directory that stands for the host
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init()
        self._folders: dict[int, str] = {}
        #: By the number that both events of a move have, what is wrong unless it came to where such files go.
        self._moved: dict[int, str] = {}

    def begin(self) -> None:
        """Watch all of it. What is wrong before anything has happened is nobody's who is watched."""
        self._watch(KUBELET)
        for top in (KUBERNETES, OURS):
            self._watch_below(top)

    def see(self) -> Iterator[str]:
        """Wait until something happens, and return a line for each thing."""
        data = os.read(self._descriptor, 1 << 16)
        while data:
            number, mask, cookie, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0").decode()
            data = data[16 + length :]
            if mask & OVERFLOW:
                yield "events were lost"
            elif mask & IGNORED:
                self._folders.pop(number, None)
            elif number in self._folders:
                yield from self._event(self._folders[number], name, mask, cookie)

    def _watch(self, folder: str) -> None:
        mask = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE
        number = self._libc.inotify_add_watch(self._descriptor, (self._root + folder).encode(), mask)
        if number >= 0:  # it may be gone by now
            self._folders[number] = folder

    def _watch_below(self, top: str) -> list[str]:
        """Watch a directory and those below it; returns what is wrong with what was made before it was watched."""
        found = []
        for place, _folders, names in os.walk(self._root + top):
            folder = place[len(self._root) :]
            self._watch(folder)
            found += [self._open_secret(path) for path in (folder, *(f"{folder}/{name}" for name in names))]
        return [words for words in found if words]

    def _event(self, folder: str, name: str, mask: int, cookie: int) -> Iterator[str]:
        path = f"{folder}/{name}" if name else folder
        if name == END:
            yield from self._moved.values()
        if mask & MOVED_TO and name.endswith(COMES_AND_GOES):
            self._moved.pop(cookie, None)
        if mask & DIRECTORY and mask & (CREATE | MOVED_TO):
            yield from self._watch_below(path)
        words = self._open_secret(path) or self._wrong(folder, name, mask)
        if words and mask & MOVED_FROM:
            self._moved[cookie] = words
        else:
            yield words or GOOD + path

    def _open_secret(self, path: str) -> str:
        """Say that others than root can read what they must not; empty where that is not so."""
        try:
            status = os.lstat(self._root + path)
            closed = not status.st_mode & 0o077 or stat.S_ISLNK(status.st_mode) or not self._is_secret(path)
        except FileNotFoundError:
            return ""  # it has another name by now, and with that an event of its own
        return "" if closed else f"{path} can be read by others"

    def _is_secret(self, path: str) -> bool:
        real = self._root + path
        if path.startswith(f"{TRIAL}/"):
            return bool(os.stat(self._root + TRIAL).st_mode & 0o077)
        if path == OURS or path.startswith(f"{OURS}/"):
            return True
        if os.path.basename(path).startswith(TEMPORARY) and os.path.isfile(real):
            data = Path(real).read_bytes()
            return any(words in data for words in SECRETS)
        return path.startswith(f"{KUBERNETES}/") and path.endswith((".key", ".conf"))

    def _wrong(self, folder: str, name: str, mask: int) -> str:
        """Say what is wrong with a file of the host's at this moment."""
        path = f"{folder}/{name}"
        if mask & DIRECTORY or not name or name.startswith(".") or name.endswith(COMES_AND_GOES):
            return ""
        if path.startswith(f"{OURS}/") or (folder == KUBELET and name not in OF_THE_KUBELET):
            return ""
        if mask & (MODIFY | CREATE):
            return f"{path} is written where it stands"
        if mask & (MOVED_FROM | DELETE):
            return f"{path} is missing"
        try:
            return "" if os.stat(self._root + path).st_size else f"{path} is empty"
        except FileNotFoundError:
            return ""  # and so an event of its own


def watch(root: str) -> None:
    """Print what is seen, line by line, until somebody ends this."""
    watcher = Watcher(root)
    watcher.begin()
    print(BEGUN, flush=True)
    while True:
        for line in watcher.see():
            print(line, flush=True)


def script(root: str = "/") -> str:
    """A program for a host's Python that watches it."""
    return f"{Path(__file__).read_text(encoding='utf-8')}\nwatch({root!r})\n"
