# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New connections are kept from a real process of this machine, and let through again."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes import doors, processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process

#: Programs of Go listen with it where the kernel has it.
MPTCP = 262
#: Answers each connection with what it is sent, at once on all of them.
SERVER = """
import selectors, socket, sys
family, address = (socket.AF_INET6, "::1") if sys.argv[1] == "6" else (socket.AF_INET, "127.0.0.1")
door = socket.socket(family, socket.SOCK_STREAM, int(sys.argv[2]))
door.bind((address, 0))
door.listen(8)
print(door.getsockname()[1], flush=True)
ready = selectors.DefaultSelector()
ready.register(door, selectors.EVENT_READ)
while True:
    for key, _mask in ready.select():
        if key.fileobj is door:
            ready.register(door.accept()[0], selectors.EVENT_READ)
        else:
            key.fileobj.sendall(key.fileobj.recv(100))
"""


class Server:
    def __init__(self, family: str, protocol: int) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", SERVER, family, str(protocol)], stdout=subprocess.PIPE, text=True
        )
        with t.cast(t.IO[str], self.child.stdout) as said:
            self.address = ("::1" if family == "6" else "127.0.0.1", int(said.readline()))

    @property
    def process(self) -> Process:
        return next(one for one in processes.all_processes() if one.pid == self.child.pid)

    def connect(self, seconds: float = 5) -> socket.socket:
        return socket.create_connection(self.address, seconds)

    def end(self) -> None:
        self.child.kill()
        self.child.wait()


def without(reason: str) -> None:
    """Skip where the kernel cannot do it; that of CI can."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(params=[("4", 0), ("6", 0), ("6", MPTCP)], ids=["IPv4", "IPv6", "MPTCP"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) < (5, 6):
        without("this kernel has no pidfd_getfd")
    family, protocol = request.param
    if protocol:
        try:
            socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol).close()
        except OSError as error:
            without(f"this kernel has no MPTCP: {error}")
    one = Server(family, protocol)
    try:
        yield one
    finally:
        one.end()


def echo(connection: socket.socket) -> bytes:
    connection.sendall(b"said")
    return connection.recv(4)


def test_a_closed_process_takes_nothing_new_and_goes_on_with_what_it_has(server: Server) -> None:
    with server.connect() as old:
        assert doors.close(server.process)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert echo(old) == b"said"
        assert doors.listens(server.process)


def test_reopened_it_takes_connections_as_before(server: Server) -> None:
    process = server.process
    assert doors.close(process)
    doors.reopen(process)
    with server.connect() as new:
        assert echo(new) == b"said"


def test_the_port_is_not_held_for_a_process_that_closed_it(server: Server) -> None:
    before = set(os.listdir("/proc/self/fd"))
    assert doors.close(server.process)
    assert set(os.listdir("/proc/self/fd")) == before
    server.end()
    with socket.socket(socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET) as next_one:
        next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        next_one.bind(server.address)
        next_one.listen(1)


def test_a_process_that_is_gone_or_listens_nowhere_is_no_error() -> None:
    own = next(one for one in processes.all_processes() if one.pid == os.getpid())
    gone = Process(2**22 + 1, ["kube-apiserver"], 0.0, 1, 1)
    other = Process(own.pid, own.arguments, own.started, own.start_ticks - 1, own.parent)
    for process in (gone, own, other):
        assert not doors.close(process)
        doors.reopen(process)
    assert not doors.listens(gone)


def test_a_kernel_that_does_not_permit_it_is_no_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: int) -> int:
        raise PermissionError("not permitted")

    monkeypatch.setattr(doors, "_call", refuse)
    assert not doors.close(server.process)
    doors.reopen(server.process)
    with server.connect() as new:
        assert echo(new) == b"said"
