# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh is told of hosts that fall silent, and where the controller itself reaches a host."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="connections are the controller's")

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader

from ansible_collections.kubeharden.core.plugins.plugin_utils.connections import direct_address, end_when_silent

WORDS = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"


@pytest.mark.parametrize(("given", "told"), [(None, WORDS), ("-o User=x", f"-o User=x {WORDS}"), (WORDS, WORDS)])
def test_ssh_is_told_once_after_what_the_user_said(given: str | None, told: str) -> None:
    connection = connection_loader.get("ssh", PlayContext(), "/dev/null")
    connection.set_options(var_options={"ansible_ssh_extra_args": given} if given else {})
    for _time in range(2):
        end_when_silent(connection)
    assert connection.get_option("ssh_extra_args") == told


def test_other_connections_are_left_alone() -> None:
    connection = connection_loader.get("local", PlayContext(), "/dev/null")
    end_when_silent(connection)
    assert not connection.has_option("ssh_extra_args")


@pytest.mark.parametrize(
    ("variables", "address", "why"),
    [
        ({"ansible_host": "10.9.8.7"}, "10.9.8.7", ""),
        ({"ansible_host": "cp1.example"}, "cp1.example", ""),
        ({"ansible_host": "127.0.0.1"}, "", "the controller is this host, or reaches it by a port of its own"),
        ({"ansible_host": "localhost"}, "", "the controller is this host, or reaches it by a port of its own"),
        *(
            ({"ansible_host": "10.9.8.7", name: words}, "", "the controller reaches this host over another one")
            for name, words in (
                ("ansible_ssh_common_args", "-o ProxyJump=bastion"),
                ("ansible_ssh_extra_args", "-J bastion"),
                ("ansible_ssh_args", '-o proxycommand="ssh -W %h:%p bastion"'),
            )
        ),
    ],
)
def test_a_host_is_reached_directly_at_its_address_or_the_reason_is_said(
    variables: dict[str, str], address: str, why: str
) -> None:
    connection = connection_loader.get("ssh", PlayContext(), "/dev/null")
    connection.set_options(var_options={"inventory_hostname": "cp1", **variables})
    assert direct_address(connection) == (address, why)


def test_what_is_no_network_is_none() -> None:
    connection = connection_loader.get("local", PlayContext(), "/dev/null")
    assert direct_address(connection) == (
        "",
        "the controller reaches this host by no network, but by what runs commands on it",
    )
