# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with real servers on this machine."""

from __future__ import annotations

import socket
import ssl
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes import api_client, listeners
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes import sockets
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.sockets import LIMIT, serving, tls

MODERN: dict[str, t.Any] = {"minimum_version": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(name="pair", scope="module")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    made = listeners.stranger(time.time())
    path = tmp_path_factory.mktemp("pair") / "server.pem"
    path.write_bytes(t.cast(bytes, made.certificate) + t.cast(bytes, made.key))
    return path


def test_a_server_of_today_refuses_old_versions_and_weak_suites(pair: Path) -> None:
    with serving(tls(pair, minimum_version=ssl.TLSVersion.TLSv1_3)) as port:
        for tried in (listeners.try_old("127.0.0.1", port, LIMIT), listeners.try_weak("127.0.0.1", port, LIMIT)):
            assert tried == listeners.Tried()


def test_every_weak_suite_of_a_server_is_found_and_no_strong_one(pair: Path) -> None:
    """What this OpenSSL calls weak, offered by numbers, is what it agrees to."""
    weak = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"]
    listed = ":".join([*weak, "ECDHE-ECDSA-AES128-GCM-SHA256"])
    with serving(tls(pair, listed, maximum_version=ssl.TLSVersion.TLSv1_2)) as port:
        tried = listeners.try_weak("127.0.0.1", port, LIMIT)
    assert set(tried.accepted.removeprefix("TLSv1.2 ").split(", ")) == {
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    }
    with serving(tls(pair, "ECDHE-ECDSA-AES128-GCM-SHA256", maximum_version=ssl.TLSVersion.TLSv1_2)) as port:
        assert listeners.try_weak("127.0.0.1", port, LIMIT) == listeners.Tried()


@pytest.mark.parametrize(
    ("ciphers", "settings", "agreed"),
    [
        (
            "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA",
            {},
            {
                "TLSv1.3": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
                "TLSv1.2": [
                    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                ],
            },
        ),
        (
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            {"maximum_version": ssl.TLSVersion.TLSv1_2},
            {"TLSv1.2": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
        ),
        (
            "",
            MODERN,
            {"TLSv1.3": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]},
        ),
        ("ECDHE-ECDSA-AES128-SHA", {"maximum_version": ssl.TLSVersion.TLSv1_2}, {}),
    ],
)
def test_what_a_port_agrees_to_is_named_by_version_and_suite(
    pair: Path, ciphers: str, settings: dict[str, t.Any], agreed: dict[str, list[str]]
) -> None:
    with serving(tls(pair, ciphers, **settings)) as port:
        found = listeners.try_strong("127.0.0.1", port, LIMIT)
    assert {version: sorted(suites) for version, suites in found.items()} == agreed


def test_what_a_port_agrees_to_takes_no_longer_than_it_may() -> None:
    begun = time.monotonic()
    with serving(sockets.dripping(b"\x16\x03\x01\x00\x30")) as port:
        assert listeners.try_strong("127.0.0.1", port, 0.5) == {}
    assert time.monotonic() - begun < 5


def test_an_old_version_is_found(pair: Path) -> None:
    old: dict[str, t.Any] = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    with serving(tls(pair, "ALL:@SECLEVEL=0", **old)) as port:
        tried = listeners.try_old("127.0.0.1", port, LIMIT)
    assert [one.split()[0] for one in tried.accepted.split(", ")] == ["TLSv1.1", "TLSv1.0"], tried


@pytest.mark.parametrize(
    ("number", "name"),
    [(0x0005, "TLS_RSA_WITH_RC4_128_SHA"), (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"), (0x0001, "suite 0x0001")],
)
@pytest.mark.parametrize("version", [0x0303, 0x0301])
def test_a_suite_that_this_hosts_library_could_not_offer_is_found_too(number: int, name: str, version: int) -> None:
    """Its alert to another offer was taken for a refusal of everything weak."""

    def handle(connection: socket.socket) -> None:
        hello = connection.recv(4096)
        asked = int.from_bytes(hello[9:11], "big")
        suites = hello[46 : 46 + int.from_bytes(hello[44:46], "big")]
        offered = {suites[at : at + 2] for at in range(0, len(suites), 2)}
        if asked < version or number.to_bytes(2, "big") not in offered:
            connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")
            return
        body = version.to_bytes(2, "big") + bytes(32) + b"\x04" + bytes(4) + number.to_bytes(2, "big") + b"\x00"
        message = b"\x02" + len(body).to_bytes(3, "big") + body
        connection.sendall(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message)

    with serving(handle) as port:
        weak, old = (attempt("127.0.0.1", port, LIMIT) for attempt in (listeners.try_weak, listeners.try_old))
    assert name in (weak if version == 0x0303 else old).accepted
    # Of one that lays no worth on versions, the old handshake tells what it chose.
    assert old.accepted == ("" if version == 0x0303 else f"TLSv1.0 {name}")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x28", ""),
        (b"\x15\x03\x01\x00\x02\x02\x46", ""),
        # It has troubles of its own, which is no refusal; so has a kubelet that still waits for its certificate.
        (b"\x15\x03\x01\x00\x02\x02\x50", "it answered with alert 80"),
        (b"\x15\x03", "what it speaks is not TLS"),
        (b"\x15\x03\x01\x00\x02\x02", "eof"),
        (b"\x16\x03\x01\x00\x30\x02" + bytes(20), "what it speaks is not TLS"),
        (b"SSH-2.0-x\r\n", "what it speaks is not TLS"),
        (b"", "eof"),
    ],
)
def test_only_a_word_of_the_server_is_a_refusal(answer: bytes, problem: str) -> None:
    with serving(sockets.saying(answer)) as port:
        for attempt in (listeners.try_old, listeners.try_weak):
            assert attempt("127.0.0.1", port, LIMIT) == listeners.Tried(problem=problem)
    begun = time.monotonic()
    with serving(sockets.dripping(b"\x16\x03\x01\x00\x30")) as port:
        assert listeners.try_weak("127.0.0.1", port, 0.5).problem
    assert time.monotonic() - begun < 5


def test_a_port_that_is_closed_or_silent_is_no_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listeners.try_weak("127.0.0.1", server.getsockname()[1], 0.3).problem == "timeout"
        assert listeners.plain_port("127.0.0.1", server.getsockname()[1], "/api", 0.3) == "silent"
        port = server.getsockname()[1]
    assert listeners.try_weak("127.0.0.1", port, LIMIT).problem == "refused"
    assert listeners.plain_port("127.0.0.1", port, "/api", LIMIT) == "closed"


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
            # Its alert is read, though the connection had ended before the request was sent.
            assert "alert" in str(said.reason), said


API = b'{\n  "kind": "APIVersions",\n  "versions": [\n    "v1"\n  ]\n}'
PODS = b'{"kind":"PodList","apiVersion":"v1"}'


@pytest.mark.parametrize(
    ("served", "body", "path", "said"),
    [
        ("/pods", PODS, "/pods", "kubernetes"),
        # An API server, or kubectl proxy before it, knows no /pods.
        ("/api", API, "/api", "kubernetes"),
        ("/api", API, "/pods", "other"),
        ("/api", b'{"kind":"Status","apiVersion":"v1","code":403}', "/api", "kubernetes"),
        ("/api", b'{"kind":"other"}', "/api", "other"),
        ("/api", b"", "/api", "other"),
    ],
)
def test_what_a_plain_port_says(served: str, body: bytes, path: str, said: str) -> None:
    def handle(connection: socket.socket) -> None:
        asked = connection.recv(4096).decode().split()[1]
        head = b"HTTP/1.0 200 OK\r\n\r\n" if asked == served else b"HTTP/1.0 404 Not Found\r\n\r\n404 page not found"
        connection.sendall(head + (body if asked == served else b""))

    with serving(handle) as port:
        assert listeners.plain_port("127.0.0.1", port, path, LIMIT) == said


def test_a_plain_port_of_another_service() -> None:
    with serving(sockets.saying(b"SSH-2.0-x\r\n")) as port:
        assert listeners.plain_port("127.0.0.1", port, "/api", LIMIT) == "other"


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (sockets.silent, "timeout"),
        (sockets.ending, "eof"),
        (sockets.resetting, "eof"),
        (sockets.saying(b"SSH-2.0-x\r\n"), "what it speaks is not TLS"),
        (sockets.saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "what it speaks is not TLS"),
        (sockets.saying(b"\x16"), "what it speaks is not TLS"),
        (sockets.dripping(b"."), "what it speaks is not TLS"),
        # An alert is a word of TLS: a handshake that is refused.
        (sockets.saying(b"\x15\x03\x03\x00\x02\x02\x28"), ""),
    ],
)
def test_whether_a_port_speaks_tls_is_seen_by_its_first_word(handle: sockets.Handle, said: str) -> None:
    with serving(handle) as port:
        begun = time.monotonic()
        assert listeners.no_tls("127.0.0.1", port, 0.5) == said
        assert time.monotonic() - begun < 5
    assert listeners.no_tls("127.0.0.1", port, 0.5) == "refused"


def test_one_that_wants_a_certificate_speaks_tls(pair: Path) -> None:
    with serving(tls(pair, authority=pair, maximum_version=ssl.TLSVersion.TLSv1_2)) as port:
        assert listeners.no_tls("127.0.0.1", port, LIMIT) == ""


def test_a_key_is_compared_with_its_certificate() -> None:
    one, other = listeners.stranger(time.time()), listeners.stranger(time.time())
    certificate, key = t.cast(bytes, one.certificate), t.cast(bytes, one.key)
    assert listeners.key_problem(certificate, key) == ""
    assert listeners.key_problem(certificate, t.cast(bytes, other.key)) == "the key beside it is another certificate's"
    assert listeners.key_problem(certificate, b"no key") == "the key beside it cannot be read"


def test_who_is_not_believed_is_told_and_why(pair: Path) -> None:
    own = pair.read_bytes().partition(b"-----BEGIN PRIVATE")[0]
    stranger = t.cast(bytes, listeners.stranger(time.time()).certificate)
    with serving(tls(pair)) as port:
        assert api_client.untrusted("127.0.0.1", port, own, LIMIT) == ""
        assert "self" in api_client.untrusted("127.0.0.1", port, stranger, LIMIT)
    # One that asks for a certificate has shown its own by then.
    with serving(tls(pair, authority=pair)) as port:
        assert api_client.untrusted("127.0.0.1", port, own, LIMIT) == ""
        assert api_client.untrusted("127.0.0.1", port, stranger, LIMIT)


def test_what_was_not_shown_or_has_ended_is_another_question(tmp_path: Path) -> None:
    ended = listeners.stranger(time.time() - 86400)
    own = t.cast(bytes, ended.certificate)
    (tmp_path / "ended.pem").write_bytes(own + t.cast(bytes, ended.key))
    with serving(tls(tmp_path / "ended.pem")) as port:
        assert api_client.untrusted("127.0.0.1", port, own, LIMIT) == ""
    for handle in (sockets.silent, sockets.ending, sockets.saying(b"SSH-2.0-OpenSSH_9.2\r\n")):
        with serving(handle) as port:
            assert api_client.untrusted("127.0.0.1", port, own, 0.5) == ""
    assert api_client.untrusted("127.0.0.1", 1, b"no PEM", 0.5) == ""
