# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's processes, made in a directory."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host

#: The uid of a static pod, that of another one, and a container's id.
HASH = "670fb48f2b9d45a181c2e8715577e789"
UUID = "59aad7ff-f6f2-4efb-a523-ec9afd0b3cc4"
CONTAINER = "a9046d7ba5f7d65c642d5a8e89d466e866c37563e68e91de75073041dc68390b"
STATIC = f"0::/kubepods/burstable/pod{HASH}/{CONTAINER}\n"
OTHER = f"0::/kubepods/burstable/pod{UUID}/{CONTAINER}\n"
SERVICE = "0::/system.slice/kubelet.service\n"


class MadeProc:
    """A /proc and a /var/log in a directory."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.logs = directory / "proc", directory / "log"
        self.root = directory / "root"
        for path in (self.proc, self.root, self.logs / "pods", self.logs / "containers"):
            path.mkdir(parents=True)
        (self.proc / "stat").write_text("btime 1700000000\n")
        self.start(1, "systemd", "0::/init.scope\n")

    def start(self, pid: int, name: str, cgroup: str, *, uid: str = "0", inner: str = "", flags: str = "--a=b") -> Path:
        """Start a process, in a pod with the number that it has there; return its directory."""
        folder = self.proc / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_bytes(f"{name}\0{flags}\0".encode())
        (folder / "stat").write_text(f"{pid} ({name}) S 1 " + "0 " * 17 + f"{pid} 0 0\n")
        numbers = "\t".join([str(pid), *inner.split()])
        (folder / "status").write_text(f"Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{numbers}\n")
        (folder / "cgroup").write_text(cgroup)
        (folder / "root").symlink_to(self.root)
        (folder / "environ").write_bytes(b"PATH=/bin\0")
        (folder / "exe").touch()
        return folder


class LivingDirectory(Host):
    """A directory that says of itself that its processes run, and yet never leads out of itself to this machine."""

    def _resolve(self, path: str, follow_last: bool) -> str:
        self.live = False
        try:
            return super()._resolve(path, follow_last)
        finally:
            self.live = True
