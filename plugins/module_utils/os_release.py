# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which family of distributions a host belongs to, read without any library."""

from __future__ import annotations

_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("debian", frozenset({"debian", "ubuntu"})),
    ("redhat", frozenset({"rhel", "fedora", "centos"})),
    ("suse", frozenset({"suse", "sles", "opensuse"})),
)


def family(path: str = "/etc/os-release") -> str:
    """Return debian, redhat, suse, or the distribution's own identifier; empty where the file is missing."""
    values: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            for line in handle:
                key, _dummy, value = line.strip().partition("=")
                values[key] = value.strip("\"'")
    except FileNotFoundError:
        return ""
    names = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    for name, members in _FAMILIES:
        if members.intersection(names):
            return name
    return names[0]
