# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that listen on a host, as its kernel lists them (proc_pid_net(5)); nobody is asked."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

#: The state of a socket that listens, TCP_LISTEN of linux/tcp_states.h.
_LISTEN = "0A"
_TABLES = ("tcp", "tcp6")


def ports(proc: str = "/proc") -> dict[int, list[str]]:
    """Return the addresses at which each TCP port listens, sorted.

    Raises:
        OSError: The kernel's tables cannot be read. A host without IPv6 has one table less, which is no error.
    """
    found: dict[int, set[str]] = {}
    for words in _entries(proc):
        address, _colon, port = words[1].partition(":")
        found.setdefault(int(port, 16), set()).add(_address(address))
    return {port: sorted(addresses) for port, addresses in found.items()}


def inodes(proc: str = "/proc") -> set[int]:
    """Return the numbers by which the links in /proc/PID/fd name the TCP sockets that listen.

    Args:
        proc: ``/proc``, or the directory of a process there for those of the network that it lives in.

    Raises:
        OSError: As for :func:`ports`.
    """
    return {int(words[9]) for words in _entries(proc) if len(words) > 9}


def _entries(proc: str) -> t.Iterator[list[str]]:
    """Give the words of each line that is about a socket which listens."""
    for name in _TABLES:
        try:
            with open(f"{proc}/net/{name}", encoding="ascii", errors="replace") as stream:
                lines = stream.read().splitlines()[1:]
        except FileNotFoundError:
            if name == _TABLES[0]:
                raise
            continue
        for line in lines:
            words = line.split()
            if len(words) > 3 and words[3] == _LISTEN:
                yield words


def _address(text: str) -> str:
    """Return an address: the kernel prints words of 32 bits in the order of its processor."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
