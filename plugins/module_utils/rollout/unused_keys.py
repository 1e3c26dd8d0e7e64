# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of authorities that no component of this host was started with: only such may be taken away."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import HostPki
from ansible_collections.kubeharden.core.plugins.module_utils.probes import processes


def require(host: Host, pki: HostPki, names: t.Container[str], proc: str = "/proc") -> None:
    """Refuse where a process of this host names a key that is to be taken away.

    Args:
        host: The host's file system; nothing runs in a directory.
        pki: The host's share of the table.
        names: The authorities whose keys are meant.
        proc: Where processes are seen.

    Raises:
        HardeningError: One that names it.
    """
    if not host.live:
        return
    paths = [item.path.key for item in pki.authorities if item.name in names]
    for process in processes.all_processes(proc):
        for path in paths:
            if any(word == path or word.endswith(f"={path}") for word in process.arguments):
                raise HardeningError(
                    "KH305",
                    f"{process.name} (process {process.pid}) was started with {path}, so the key was not removed. "
                    "Start it without the key, and run again.",
                )
