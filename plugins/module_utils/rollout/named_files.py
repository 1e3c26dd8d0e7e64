# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the user's that a flag names: without one of them its component would not start."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host


def require(host: Host, named: t.Mapping[str, str]) -> None:
    """Refuse files that are not on the host, all of them in one sentence.

    Args:
        host: The host's file system.
        named: By path, the variable or flag that names it; an empty path names none.

    Raises:
        HardeningError: One is missing.
    """
    missing = [f"{name} names {path}" for path, name in named.items() if path and not _is_file(host, path)]
    if missing:
        raise HardeningError(
            "KH011",
            f"{' and '.join(missing)}, which is not on this host. Nothing was changed; lay it on every control plane, "
            "or correct what names it.",
        )


def _is_file(host: Host, path: str) -> bool:
    return os.path.isfile(host.path(path))
