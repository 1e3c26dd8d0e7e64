# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arithmetic with absolute paths of a host or a container; nothing here looks at a disk."""

from __future__ import annotations

import posixpath


def normal(path: str) -> str:
    """Without doubled slashes, dots and a slash at the end."""
    result = posixpath.normpath(path)
    return result[1:] if result.startswith("//") else result


def holds(directory: str, path: str) -> bool:
    """Whether the path is the directory or lies below it."""
    directory, path = normal(directory), normal(path)
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def moved(path: str, old: str, new: str) -> str:
    """The path below ``new`` that lies where ``path``, which ``old`` holds, lies below ``old``."""
    return normal(new + "/" + normal(path)[len(normal(old)) :])
