# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh is told of hosts that fall silent."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="connections are the controller's")

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader

from ansible_collections.kubeharden.core.plugins.plugin_utils.connections import end_when_silent

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
