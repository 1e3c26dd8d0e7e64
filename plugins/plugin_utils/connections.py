# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to hosts that fall silent: ssh, left to itself, waits for such a host for a quarter of an hour."""

from __future__ import annotations

import typing as t

#: Seconds between two questions to a silent host, and how many without an answer end the connection.
ALIVE = {"ServerAliveInterval": 15, "ServerAliveCountMax": 4}


def end_when_silent(connection: t.Any) -> None:
    """Let ssh end a connection whose host has said nothing for a minute.

    ssh takes the first value that it is given, and these come last: what Ansible's settings say stays. A connection
    that was there before the run keeps what it was opened with.
    """
    if getattr(connection, "transport", "") != "ssh":
        return
    words = " ".join(f"-o {name}={value}" for name, value in ALIVE.items())
    given = connection.get_option("ssh_extra_args") or ""
    if words not in given:
        connection.set_option("ssh_extra_args", f"{given} {words}".strip())
