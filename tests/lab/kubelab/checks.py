# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab needs of the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.kubelab import components
from lab.kubelab.base import Missing, cache_dir
from lab.kubelab.cache import GIB
from lab.kubelab.session import CGROUPS

SPACE = 6 * GIB
"""For a root file system, a version's images, and the hosts of a lab."""

PROGRAMS = {
    "docker-registry": "docker-registry",
    "dpkg-deb": "dpkg",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
"""program -> Debian package"""

INOTIFY = {"max_user_instances": 2048, "max_user_watches": 524288}
"""With the usual 128 instances the fourth node's kubelet ends with `inotify_init: too many open files`."""


def lacking() -> list[str]:
    """One sentence for each thing that the machine lacks."""
    found = []
    if os.geteuid() != 0:
        found.append("not root: namespaces, mounts and cgroups need it")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages = sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None})
    if packages:
        found.append(f"Debian packages missing: {' '.join(packages)}; .ci/setup installs them")
    if not all((CGROUPS / name).is_dir() for name in ("unified", "cpu", "memory", "pids")):
        found.append("cgroups: the version 1 controllers with cgroup2 at /sys/fs/cgroup/unified are needed")
    if os.uname().machine != "x86_64":
        found.append(f"machine {os.uname().machine}: only x86_64 is supported")
    return found + _to_make_with()


def _to_make_with() -> list[str]:
    """What is missing to make what the cache doesn't hold yet."""
    compiled = components.cached("tools") and any(components.cached(minor) for minor in components.minors())
    found = []
    if not compiled and shutil.which("go") is None:
        found.append("go is not on PATH: the lab compiles its programs once")
    place = cache_dir()
    while not place.exists():
        place = place.parent
    needed = SPACE if compiled else components.BUILD_SPACE
    free = shutil.disk_usage(place).free
    if free < needed:
        found.append(f"disk: {free / GIB:.1f} GiB free for {cache_dir()}, {needed / GIB:.0f} GiB needed")
    return found


def require() -> None:
    """Make the machine ready, or say why that can't be.

    :raises Missing: something is missing.
    """
    found = lacking()
    if found:
        raise Missing("; ".join(found))
    for name, value in INOTIFY.items():
        file = Path("/proc/sys/fs/inotify") / name
        if int(file.read_text(encoding="utf-8")) < value:
            file.write_text(str(value), encoding="utf-8")
