# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's list of sockets, the real one and ones that a test wrote."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes import listening

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def table(*entries: tuple[str, str]) -> str:
    """A table of the kernel: addresses and ports as they stand there, and states."""
    lines = [
        f"   {number}: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
        for number, (local, state) in enumerate(entries)
    ]
    return HEAD + "".join(lines)


def test_what_listens_here_is_found_with_its_address_until_it_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listening.ports()[port] == ["127.0.0.1"]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.getsockname()[1] not in listening.ports()  # connected, not listening
    assert port not in listening.ports()


@pytest.mark.skipif(sys.byteorder != "little", reason="the texts of this test are those of such a processor")
def test_addresses_of_both_families_are_read(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(
        table(("0100007F:2811", "0A"), ("0B00A8C0:192B", "0A"), ("00000000:1F90", "01")), encoding="ascii"
    )
    (tmp_path / "net/tcp6").write_text(
        table(
            ("00000000000000000000000000000000:2811", "0A"),
            ("00000000000000000000000001000000:280A", "0A"),
            ("0000000000000000FFFF00000100007F:280B", "0A"),
        ),
        encoding="ascii",
    )
    assert listening.ports(str(tmp_path)) == {
        0x2811: ["127.0.0.1", "::"],
        0x192B: ["192.168.0.11"],
        0x280A: ["::1"],
        0x280B: ["127.0.0.1"],
    }


def test_a_host_without_ipv6_has_one_table_and_a_host_without_any_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with pytest.raises(FileNotFoundError):
        listening.ports(str(tmp_path))
    (tmp_path / "net/tcp").write_text(table(), encoding="ascii")
    assert listening.ports(str(tmp_path)) == {}
