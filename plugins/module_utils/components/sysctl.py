# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of sysctl.d: what systemd-sysctl would set at boot, and a file of ours among them."""

from __future__ import annotations

import fnmatch
import typing as t

#: Where systemd-sysctl looks, the strongest first: of two files of one name only the first counts.
DIRECTORIES: tuple[str, ...] = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
#: Read behind all of them by procps (and by systemd where a link in sysctl.d leads to it).
LAST = "/etc/sysctl.conf"
FILE = f"{DIRECTORIES[0]}/90-kubeharden.conf"
PROC = "/proc/sys"
#: What a kubelet with protectKernelDefaults compares at its start (pkg/kubelet/cm, setupKernelTunables).
KUBELET: dict[str, str] = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
}


def path_of(name: str) -> str:
    """Return where the kernel shows a setting (``vm.overcommit_memory``)."""
    return f"{PROC}/{name.replace('.', '/')}"


def assignments(text: str) -> list[tuple[str, str]]:
    """Return what a file sets, in order, names with dots; a name may be a pattern."""
    found = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, equals, value = stripped.lstrip("-").partition("=")
        if equals:
            found.append((name.strip().replace("/", "."), value.strip()))
    return found


def render(values: t.Mapping[str, str], controls: t.Sequence[str]) -> str:
    """Return the text of our file."""
    lines = [
        f"# Written by Kubeharden (control {', '.join(controls)}): with protectKernelDefaults the kubelet does not",
        "# start where one of these is different.",
        *(f"{name} = {value}" for name, value in values.items()),
    ]
    return "\n".join(lines) + "\n"


def overriding(files: t.Sequence[tuple[str, str]], wanted: t.Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return path, name and value of each last word at boot that is another than the wanted one.

    Args:
        files: Path and text of what is read behind our file, in the order in which it is read.
        wanted: By name, the value.
    """
    last = last_words(files, wanted)
    return [(path, name, value) for name, (path, value) in last.items() if value != wanted[name]]


def last_words(files: t.Sequence[tuple[str, str]], names: t.Collection[str]) -> dict[str, tuple[str, str]]:
    """Return by name the path and value of what is set last at boot; a name that nothing sets is left out."""
    last: dict[str, tuple[str, str]] = {}
    for path, text in files:
        for pattern, value in assignments(text):
            for name in names:
                if fnmatch.fnmatchcase(name, pattern):
                    last[name] = (path, value)
    return last
