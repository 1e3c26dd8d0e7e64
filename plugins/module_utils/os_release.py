# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which family of distributions a host belongs to, read without any library, and what that calls the libraries."""

from __future__ import annotations

from collections.abc import Sequence

_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("debian", frozenset({"debian", "ubuntu"})),
    ("redhat", frozenset({"rhel", "fedora", "centos"})),
    ("suse", frozenset({"suse", "sles", "opensuse"})),
)

_PACKAGES = {
    "debian": {"yaml": "python3-yaml", "cryptography": "python3-cryptography"},
    "redhat": {"yaml": "python3-pyyaml", "cryptography": "python3-cryptography"},
    "suse": {"yaml": "python3-PyYAML", "cryptography": "python3-cryptography"},
}


def packages_for(missing: Sequence[str]) -> list[str]:
    """Return the distribution's names of the packages that bring the libraries; Debian's where it is not known."""
    names = _PACKAGES.get(family(), _PACKAGES["debian"])
    return [names[library] for library in missing]


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
