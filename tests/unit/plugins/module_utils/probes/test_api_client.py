# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API client against real TLS servers that behave well and badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import api_client as http
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient, Peer, tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

Behave = Callable[[Any], None]
Serve = Callable[..., str]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def respond(data: bytes) -> Behave:
    def behave(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return behave


def tls_context(folder: Path, pair: Any, client_authority: bytes | None = None) -> ssl.SSLContext:
    chain = folder / "server.pem"
    chain.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    if client_authority is not None:
        context.load_verify_locations(cadata=client_authority.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def serve(tmp_path: Path, authority: Any) -> Iterator[Serve]:
    """Starts a server that runs a function on each connection, after a handshake unless ``plain``."""
    with contextlib.ExitStack() as stack:
        ended = threading.Event()

        def start(behave: Behave, pair: Any = None, plain: bool = False, client_authority: Any = None) -> str:
            context = tls_context(tmp_path, pair or authority.issue("server"), client_authority)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.settimeout(0.05)

            def one(connection: socket.socket) -> None:
                with connection, contextlib.suppress(OSError):  # clients leave early here, and some are refused
                    connection.settimeout(10)
                    if plain:
                        behave(connection)
                        return
                    with context.wrap_socket(connection, server_side=True) as secure:
                        behave(secure)

            def run() -> None:
                while not ended.is_set():
                    with contextlib.suppress(socket.timeout):
                        one(listener.accept()[0])

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(thread.join, 15)
            return f"https://127.0.0.1:{listener.getsockname()[1]}"

        yield start
        ended.set()


@pytest.fixture
def kubeconfig(authority: Any) -> Kubeconfig:
    return Kubeconfig("/kubeconfig", "context", "user", "https://127.0.0.1:1", ca=authority.certificate)


def with_client(kubeconfig: Kubeconfig, pair: Any) -> Kubeconfig:
    return Kubeconfig(
        kubeconfig.path,
        kubeconfig.context,
        kubeconfig.user,
        kubeconfig.server,
        kubeconfig.ca,
        certificate=pair.certificate,
        key=pair.key,
    )


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (OK, Answer(200, b"ok")),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\n[-]x", Answer(500, b"[-]x")),
        (
            b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n",
            Answer(403, b"no!"),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", Answer(200, b"to the end")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Answer(200, b"ok")),
        (b"", Answer(0, reason="eof")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Answer(0, reason="eof")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno\r\n", Answer(0, reason="eof")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Answer(0, reason="eof")),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Answer(0, reason="eof")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Answer(0, reason="malformed: BadStatusLine")),
        (b"HTTP/1.1 abc OK\r\n\r\n", Answer(0, reason="malformed: BadStatusLine")),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", Answer(0, reason="malformed: LineTooLong")),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", Answer(0, reason="malformed: HTTPException")),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (http.LARGEST_ANSWER + 1), Answer(0, reason="too large")),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % http.LARGEST_ANSWER + b"x" * http.LARGEST_ANSWER,
            Answer(200, b"x" * http.LARGEST_ANSWER),
        ),
    ],
    ids=range(17),
)
def test_answers(serve: Serve, kubeconfig: Kubeconfig, data: bytes, answer: Answer) -> None:
    assert ApiClient(kubeconfig, serve(respond(data)), timeout=10).get("/readyz") == answer


def test_what_is_sent_and_a_new_connection_each_time(serve: Serve, kubeconfig: Kubeconfig) -> None:
    requests: list[bytes] = []

    def behave(connection: ssl.SSLSocket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(OK)

    address = serve(behave)
    client = ApiClient(Kubeconfig("/k", "c", "u", address + "/prefix/", ca=kubeconfig.ca, token="s3cret"), timeout=10)
    assert [client.get("/a?b=c"), client.get("/d")] == [Answer(200, b"ok")] * 2
    assert [request.split(b"\r\n")[0] for request in requests] == [
        b"GET /prefix/a?b=c HTTP/1.1",
        b"GET /prefix/d HTTP/1.1",
    ]
    headers = requests[0].split(b"\r\n")[1:]
    assert b"Host: " + address[8:].encode() in headers
    assert b"Authorization: Bearer s3cret" in headers
    assert b"Connection: close" in headers
    assert requests[0].endswith(b"\r\n\r\n")


def test_a_proxy_is_asked_for_an_upgrade_where_it_is_to_connect_anew(serve: Serve, kubeconfig: Kubeconfig) -> None:
    requests: list[bytes] = []

    def behave(connection: ssl.SSLSocket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(OK)

    assert ApiClient(kubeconfig, serve(behave), timeout=10).get_anew("/a") == Answer(200, b"ok")
    headers = requests[0].split(b"\r\n")
    assert headers[0] == b"GET /a HTTP/1.1"
    assert {b"Connection: Upgrade", b"Upgrade: SPDY/3.1"} <= set(headers)
    assert b"Connection: close" not in headers


def test_the_client_certificate_is_shown_and_no_file_holds_it(
    serve: Serve, kubeconfig: Kubeconfig, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    seen: list[bytes | None] = []

    def behave(connection: ssl.SSLSocket) -> None:
        seen.append(connection.getpeercert(binary_form=True))
        respond(OK)(connection)

    address = serve(behave, client_authority=authority.certificate)
    pair = authority.issue("admin")
    client = ApiClient(with_client(kubeconfig, pair), address, timeout=10)
    assert client.get("/") == Answer(200, b"ok")
    assert seen == [pair.der]


@pytest.mark.parametrize("kind", ["none", "strange", "expired"])
def test_a_client_certificate_that_the_server_refuses(
    serve: Serve, kubeconfig: Kubeconfig, authority: Any, stranger: Any, kind: str
) -> None:
    address = serve(respond(OK), client_authority=authority.certificate)
    pair = stranger.issue("x") if kind == "strange" else authority.issue("x", days=-1)
    client = ApiClient(kubeconfig if kind == "none" else with_client(kubeconfig, pair), address, timeout=10)
    answer = client.get("/")
    assert answer.status == 0
    # The alert may be overtaken by the end of the connection.
    assert answer.reason == "eof" or str(answer.reason).startswith("tls: ")


def test_reasons_of_tls(serve: Serve, kubeconfig: Kubeconfig, authority: Any, stranger: Any) -> None:
    expired = serve(respond(OK), authority.issue("server", days=-1))
    assert ApiClient(kubeconfig, expired).get("/").reason == "tls: certificate has expired"
    unknown = serve(respond(OK), stranger.issue("server"))
    assert "issuer certificate" in str(ApiClient(kubeconfig, unknown).get("/").reason)
    good = serve(respond(OK))
    assert ApiClient(kubeconfig, good, verify_hostname="kubernetes").get("/").status == 200
    assert "'other'" in str(ApiClient(kubeconfig, good, verify_hostname="other").get("/").reason)
    named = Kubeconfig("/k", "c", "u", good, ca=kubeconfig.ca, tls_server_name="other")
    assert "'other'" in str(ApiClient(named).get("/").reason)
    assert ApiClient(named, verify_hostname="127.0.0.1").get("/").status == 200


def test_without_a_kubeconfig_any_certificate_is_taken(serve: Serve, stranger: Any) -> None:
    assert ApiClient(None, serve(respond(OK), stranger.issue("server"))).get("/healthz") == Answer(200, b"ok")


def hang(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.recv(65536)


def drip_body(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    drip_bytes(connection)


def drip_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    drip_bytes(connection)


def drip_bytes(connection: socket.socket) -> None:
    for _round in range(1000):
        connection.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize(("behave", "plain"), [(hang, False), (hang, True), (drip_body, False), (drip_headers, False)])
def test_a_server_that_takes_its_time_costs_no_more_than_the_limit(
    serve: Serve, kubeconfig: Kubeconfig, behave: Behave, plain: bool
) -> None:
    address = serve(behave, plain=plain)
    begun = time.monotonic()
    assert ApiClient(kubeconfig, address, timeout=0.5).get("/") == Answer(0, reason="timeout")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_connection_that_is_closed_before_the_handshake(serve: Serve, kubeconfig: Kubeconfig, data: bytes) -> None:
    address = serve(respond(data), plain=True)
    assert ApiClient(kubeconfig, address).get("/").reason in ("eof", "tls: unexpected eof while reading")


def test_a_server_without_tls(serve: Serve, kubeconfig: Kubeconfig) -> None:
    address = serve(respond(OK), plain=True)
    assert ApiClient(kubeconfig, address).get("/").reason in ("tls: wrong version number", "tls: http request")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nobody_there(kubeconfig: Kubeconfig) -> None:
    port = free_port()
    assert ApiClient(kubeconfig, f"https://127.0.0.1:{port}").get("/") == Answer(0, reason="refused")
    assert tls_peer("127.0.0.1", port) == Peer(None, "refused")


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_name_that_cannot_be_one(kubeconfig: Kubeconfig, host: str) -> None:
    answer = ApiClient(kubeconfig, f"https://{host}:6443").get("/")
    assert (answer.status, bool(answer.reason)) == (0, True)
    assert tls_peer(host, 6443).certificate is None


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:6443", "127.0.0.1:6443", "https://", "https://h:99999", "https://[::1", "https://h:x"]
)
def test_an_address_that_is_none(kubeconfig: Kubeconfig, server: str) -> None:
    with pytest.raises(HardeningError, match="is no https:// address"):
        ApiClient(kubeconfig, server)


def test_no_address_at_all() -> None:
    with pytest.raises(HardeningError, match="is no https:// address"):
        ApiClient(None)


def test_tls_peer_shows_the_leaf_whoever_signed_it(serve: Serve, authority: Any, stranger: Any) -> None:
    for pair in (stranger.issue("server"), authority.issue("server", days=-1)):
        address = serve(respond(OK), pair)
        assert tls_peer("127.0.0.1", int(address.rsplit(":", 1)[1])) == Peer(pair.der)


def test_tls_peer_of_a_silent_server(serve: Serve) -> None:
    port = int(serve(hang, plain=True).rsplit(":", 1)[1])
    begun = time.monotonic()
    assert tls_peer("127.0.0.1", port, timeout=0.3) == Peer(None, "timeout")
    assert time.monotonic() - begun < 3


def encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize("kind", ["other key", "no key", "no certificate", "passphrase"])
def test_credentials_that_cannot_be_used(kubeconfig: Kubeconfig, authority: Any, kind: str) -> None:
    pair = authority.issue("admin")
    certificate = b"garbage" if kind == "no certificate" else pair.certificate
    key = {"other key": authority.issue("admin").key, "no key": b"garbage", "passphrase": encrypted(pair.key)}.get(kind)
    broken = Kubeconfig("/k", "c", "u", "https://127.0.0.1:1", kubeconfig.ca, certificate, key or pair.key)
    with pytest.raises(HardeningError, match=r"/k: the client certificate and key of user u cannot be used"):
        ApiClient(broken)


@pytest.mark.parametrize(
    "ca", [b"garbage", b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_an_authority_that_is_none(ca: bytes) -> None:
    with pytest.raises(HardeningError, match="/k: the certificate-authority is not PEM"):
        ApiClient(Kubeconfig("/k", "c", "u", "https://127.0.0.1:1", ca))


def test_without_files_in_memory(kubeconfig: Kubeconfig, authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(38, "Function not implemented", name, flags)

    monkeypatch.setattr("os.memfd_create", refuse)
    with pytest.raises(HardeningError, match="without writing it to a disk"):
        ApiClient(with_client(kubeconfig, authority.issue("admin")))


def test_no_secret_in_what_is_printed(kubeconfig: Kubeconfig, authority: Any) -> None:
    pair = authority.issue("admin")
    text = repr(Kubeconfig("/k", "c", "u", "https://h", kubeconfig.ca, pair.certificate, pair.key, "t0ken"))
    assert text == "Kubeconfig(path='/k', context='c', user='u', server='https://h', tls_server_name=None)"
