# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the loopback for tests: those that shake hands, and those that do not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
import typing as t
import warnings
from pathlib import Path

#: Seconds that a server waits for its client.
LIMIT = 5.0
Handle = t.Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(handle: Handle, address: str = "127.0.0.1") -> t.Iterator[int]:
    """A port at which each connection is handled, one after the other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError):
                    connection, _address = server.accept()
                    with connection:
                        connection.settimeout(LIMIT)
                        handle(connection)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join()


def tls(
    pair: Path,
    ciphers: str = "",
    authority: Path | None = None,
    answer: bytes = b"",
    then: Handle | None = None,
    **settings: t.Any,
) -> Handle:
    """Shake hands, then give one answer, or do what another server would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    if ciphers:
        context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in settings.items():
            setattr(context, name, value)
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            if then:
                then(secure)
            if answer:
                secure.recv(4096)
                secure.sendall(answer)

    return handle


def silent(connection: socket.socket) -> None:
    """Take what comes and say nothing, until the client has enough."""
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def ending(connection: socket.socket) -> None:
    """Take what comes and end the connection without a word."""
    connection.recv(4096)


def resetting(connection: socket.socket) -> None:
    """End the connection the hard way."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(words: bytes) -> Handle:
    """Say something, whatever was asked."""

    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(words)

    return handle


def dripping(piece: bytes) -> Handle:
    """Say something, a piece at a time, and never come to an end."""

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(piece)
                time.sleep(0.05)

    return handle
