# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with real servers on this machine."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import typing as t
import warnings
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes import listeners

LIMIT = 5.0


@pytest.fixture(name="pair", scope="module")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    made = listeners.stranger(time.time())
    path = tmp_path_factory.mktemp("pair") / "server.pem"
    path.write_bytes(t.cast(bytes, made.certificate) + t.cast(bytes, made.key))
    return path


@contextlib.contextmanager
def serving(handle: t.Callable[[socket.socket], None]) -> t.Iterator[int]:
    """A port at which each connection is handled, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
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


def tls(pair: Path, authority: Path | None = None, answer: bytes = b"", **settings: t.Any) -> t.Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in settings.items():
            setattr(context, name, value)
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            if answer:
                secure.recv(4096)
                secure.sendall(answer)

    return handle


def test_a_server_of_today_refuses_old_versions_and_weak_suites(pair: Path) -> None:
    with serving(tls(pair, minimum_version=ssl.TLSVersion.TLSv1_3)) as port:
        for tried in (listeners.try_old("127.0.0.1", port, LIMIT), listeners.try_weak("127.0.0.1", port, LIMIT)):
            assert tried.accepted == ""
            assert tried.problem == "" or "OpenSSL" in tried.problem


def test_a_server_with_a_weak_suite_is_found(pair: Path) -> None:
    context = tls(pair, maximum_version=ssl.TLSVersion.TLSv1_2)
    with serving(context) as port:
        tried = listeners.try_weak("127.0.0.1", port, LIMIT)
    assert tried.accepted.startswith("TLSv1.2 ") or "OpenSSL" in tried.problem


def test_a_port_that_is_closed_or_silent_is_no_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listeners.try_weak("127.0.0.1", server.getsockname()[1], 0.3).problem == "timeout"
        assert listeners.plain_port("127.0.0.1", server.getsockname()[1], 0.3) == "other"
        port = server.getsockname()[1]
    assert listeners.try_weak("127.0.0.1", port, LIMIT).problem == "refused"
    assert listeners.plain_port("127.0.0.1", port, LIMIT) == "closed"


def test_strangers_are_asked_with_and_without_a_certificate(pair: Path) -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    stranger = listeners.stranger(time.time())
    with serving(tls(pair, answer=answer)) as port:
        assert listeners.ask("127.0.0.1", port, "/", LIMIT).status == 401
        assert listeners.ask("127.0.0.1", port, "/", LIMIT, stranger).status == 401
    # One that knows no authority of ours ends the handshake.
    with serving(tls(pair, authority=pair)) as port:
        for credentials in (None, stranger):
            said = listeners.ask("127.0.0.1", port, "/", LIMIT, credentials)
            assert said.status == 0
            assert said.reason == "eof" or str(said.reason).startswith("tls")


@pytest.mark.parametrize(
    ("body", "said"),
    [(b'HTTP/1.0 200 OK\r\n\r\n{"kind":"PodList","apiVersion":"v1"}', "kubernetes"), (b"SSH-2.0-x\r\n", "other")],
)
def test_what_a_plain_port_says(body: bytes, said: str) -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(body)

    with serving(handle) as port:
        assert listeners.plain_port("127.0.0.1", port, LIMIT) == said


def test_a_key_is_compared_with_its_certificate() -> None:
    one, other = listeners.stranger(time.time()), listeners.stranger(time.time())
    certificate, key = t.cast(bytes, one.certificate), t.cast(bytes, one.key)
    assert listeners.key_problem(certificate, key) == ""
    assert listeners.key_problem(certificate, t.cast(bytes, other.key)) == "the key beside it is another certificate's"
    assert listeners.key_problem(certificate, b"no key") == "the key beside it cannot be read"
