# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to hosts that fall silent: ssh, left to itself, waits for such a host for a quarter of an hour."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import is_loopback

#: Seconds between two questions to a silent host, and how many without an answer end the connection.
ALIVE = {"ServerAliveInterval": 15, "ServerAliveCountMax": 4}


#: What of ssh's options says that the way to a host leads over another one.
_BY_ANOTHER = ("proxyjump", "proxycommand", "-j ")


def direct_address(connection: t.Any) -> tuple[str, str]:
    """Return where the controller itself reaches a host over the network; else an empty text, and why.

    What a user's own ssh configuration says is not read: an address that leads nowhere then says so itself.
    """
    if getattr(connection, "transport", "") != "ssh":
        return "", "the controller reaches this host by no network, but by what runs commands on it"
    options = " ".join(
        str(connection.get_option(name) or "") for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")
    )
    if any(words in f"{options.lower()} " for words in _BY_ANOTHER):
        return "", "the controller reaches this host over another one"
    address = str(connection.get_option("host") or "")
    if is_loopback(address):
        return "", "the controller is this host, or reaches it by a port of its own"
    return address, ""


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
