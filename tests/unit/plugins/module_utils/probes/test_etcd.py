# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's client against real TLS servers that answer as etcd does."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient, Member, Stored

HEALTH = "/health"
MEMBERS = "/v3/cluster/member/list"
RANGE = "/v3/kv/range"
Answer = Any  # status and document, or what makes them of a question
Serve = Callable[[dict[str, Answer]], str]


@pytest.fixture
def files(tmp_path: Path, authority: Any) -> dict[str, Any]:
    """The paths of authority, certificate and key."""
    pair = authority.issue("etcd")
    content = {"ca": authority.certificate, "certificate": pair.certificate, "key": pair.key}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in content}


@pytest.fixture
def serve(files: dict[str, Any], asked: list[tuple[str, str, bytes]]) -> Iterator[Serve]:
    """Starts servers that want a client certificate and answer by path; returns the address."""
    with contextlib.ExitStack() as stack:

        def start(answers: dict[str, Answer]) -> str:
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self._answer()

                def do_POST(self) -> None:
                    self._answer()

                def _answer(self) -> None:
                    length = int(self.headers.get("Content-Length") or 0)
                    asked.append((self.command, self.path, self.rfile.read(length)))
                    answer = answers.get(self.path, (404, {}))
                    status, document = answer(json.loads(asked[-1][2])) if callable(answer) else answer
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(document if isinstance(document, bytes) else json.dumps(document).encode())

                def log_message(self, *_arguments: Any) -> None:
                    """Nothing."""

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files["certificate"], files["key"])
            context.load_verify_locations(files["ca"])
            context.verify_mode = ssl.CERT_REQUIRED
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return f"https://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def asked() -> list[tuple[str, str, bytes]]:
    """What the servers were asked: method, path and body."""
    return []


def test_an_etcd_that_reads_with_its_majority_is_well(
    serve: Serve, files: dict[str, Any], asked: list[tuple[str, str, bytes]]
) -> None:
    assert EtcdClient(serve({HEALTH: (200, {"health": "true"})}), **files).unwell() == ""
    assert asked == [("GET", HEALTH, b"")]


def test_what_is_wrong_is_said(serve: Serve, files: dict[str, Any]) -> None:
    assert EtcdClient(serve({HEALTH: (503, {})}), **files).unwell() == "/health answered 503"
    assert EtcdClient("https://127.0.0.1:1", **files).unwell() == "/health answered refused"
    gone = {**files, "certificate": "/proc/0/root/server.crt"}
    assert EtcdClient("https://127.0.0.1:1", **gone).unwell().startswith("its certificate could not be read: ")


def test_members_are_listed(serve: Serve, files: dict[str, Any], asked: list[tuple[str, str, bytes]]) -> None:
    listed = [
        {"ID": "1", "name": "cp1", "clientURLs": ["https://192.0.2.11:2379"]},
        {"ID": "2", "name": "cp2", "clientURLs": ["https://192.0.2.12:2379"], "isLearner": True},
        {"ID": "3", "peerURLs": ["https://192.0.2.13:2380"]},
    ]
    address = serve({MEMBERS: (200, {"members": listed})})
    assert EtcdClient(address, **files).members() == [
        Member("cp1", ("https://192.0.2.11:2379",), False),
        Member("cp2", ("https://192.0.2.12:2379",), True),
        Member("", (), False),
    ]
    assert asked == [("POST", MEMBERS, b"{}")]


ALARMS = "/v3/maintenance/alarm"


@pytest.mark.parametrize(
    ("answer", "alarms"),
    [
        ({}, []),
        ({"header": {}, "alarms": []}, []),
        ({"alarms": [{"memberID": "1", "alarm": "NOSPACE"}, {"memberID": "2", "alarm": "NOSPACE"}]}, ["NOSPACE"]),
        (
            {"alarms": [{"memberID": "1", "alarm": "NOSPACE"}, {"memberID": "1", "alarm": "CORRUPT"}]},
            ["CORRUPT", "NOSPACE"],
        ),
    ],
)
def test_alarms_are_listed(
    serve: Serve, files: dict[str, Any], asked: list[tuple[str, str, bytes]], answer: Any, alarms: list[str]
) -> None:
    assert EtcdClient(serve({ALARMS: (200, answer)}), **files).alarms() == alarms
    assert asked == [("POST", ALARMS, b'{"action": "GET"}')]


@pytest.mark.parametrize("answer", [(404, {}), (503, {}), (200, b"no JSON"), (200, []), (200, {"alarms": 1})])
def test_alarms_that_are_not_said_are_an_error(serve: Serve, files: dict[str, Any], answer: tuple[int, Any]) -> None:
    with pytest.raises(HardeningError, match="could not be asked for its alarms"):
        EtcdClient(serve({ALARMS: answer}), **files).alarms()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}), "answered 404. Nothing was changed; where it runs with --enable-grpc-gateway=false"),
        ((200, b"no JSON"), "could not be asked for its members"),
        ((200, {}), "could not be asked for its members"),
        ((200, {"members": {}}), "could not be asked for its members"),
    ],
)
def test_members_that_are_not_said_are_an_error(
    serve: Serve, files: dict[str, Any], answer: tuple[int, Any], words: str
) -> None:
    with pytest.raises(HardeningError, match=words):
        EtcdClient(serve({MEMBERS: answer}), **files).members()


def test_a_file_that_is_gone_is_an_error_in_one_sentence(files: dict[str, Any]) -> None:
    with pytest.raises(HardeningError, match="could not be asked for its members"):
        EtcdClient("https://127.0.0.1:1", **{**files, "ca": "/proc/0/root/ca.crt"}).members()


def test_a_pipe_in_place_of_a_certificate_does_not_hang(files: dict[str, Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in files:
        client = EtcdClient("https://127.0.0.1:1", **{**files, name: str(tmp_path / "pipe")})
        assert client.unwell() == "its certificate could not be read: it is no regular file"
        assert client.unwell_members([Member("cp1", ("https://127.0.0.1:1",), False)]) == [
            "cp1: its certificate could not be read: it is no regular file"
        ]
        with pytest.raises(HardeningError, match="no regular file"):
            client.stored("/k")


def test_each_member_is_asked_at_its_own_address(serve: Serve, files: dict[str, Any]) -> None:
    well, ill = serve({HEALTH: (200, {})}), serve({HEALTH: (503, {})})
    members = [
        Member("cp1", (well,), False),
        Member("cp2", ("http://127.0.0.1:1", ill), False),
        Member("cp3", (well,), True),
        Member("", (), False),
        Member("cp4", ("http://127.0.0.1:1",), False),
    ]
    assert EtcdClient(well, **files).unwell_members(members) == [
        "cp2: /health answered 503",
        "cp3: it is still a learner",
        "a member without a name: it has not started, or serves its clients without TLS",
        "cp4: it has not started, or serves its clients without TLS",
    ]
    assert EtcdClient(well, **files).unwell_members(members[:1]) == []


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"k8s:enc:aescbc:v1:key1:\x00\x01SECRET", Stored("/k", "aescbc", "key1")),
        (b"k8s:enc:secretbox:v1:2026-11:SECRET", Stored("/k", "secretbox", "2026-11")),
        (b"k8s:enc:kms:v2:vault:SECRET", Stored("/k", "kms v2", "vault")),
        (b"k8s\x00\x0a\x0cSECRET", Stored("/k")),
        (b'{"kind":"Secret","data":"SECRET"}', Stored("/k")),
        (b"", Stored("/k")),
    ],
)
def test_how_a_value_lies_in_etcd_and_nothing_of_it(
    serve: Serve, files: dict[str, Any], value: bytes, stored: Stored
) -> None:
    address = serve({RANGE: (200, {"kvs": [{"key": coded(b"/k"), "value": coded(value)}], "count": "1"})})
    client = EtcdClient(address, **files)
    assert client.stored("/k") == (stored, False)
    assert client.stored("/k", b"SECRET")[1] is (b"SECRET" in value)
    assert "SECRET" not in repr(client.stored("/k"))


class Store:
    """Answers ranges as etcd does: keys in order, up to a limit, and how many there are in all of the range."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = {key.encode(): value for key, value in values.items()}

    def __call__(self, question: dict[str, Any]) -> tuple[int, Any]:
        first, end = (base64.b64decode(question[name]) for name in ("key", "range_end"))
        keys = sorted(key for key in self.values if first <= key < end)
        taken = [
            {"key": coded(key), **({} if question.get("keys_only") else {"value": coded(self.values[key])})}
            for key in keys[: int(question["limit"])]
        ]
        return 200, {"kvs": taken, "count": str(len(keys))} if taken else {"header": {}}


def test_the_first_bytes_of_all_values_are_read_page_by_page(serve: Serve, files: dict[str, Any]) -> None:
    values = {f"/registry/secrets/a/{number:03}": b"k8s:enc:aescbc:v1:k1:" + b"x" * 3000 for number in range(300)}
    values |= {f"/registry/secrets/b/{number}": b"k8s\x00plain" for number in range(9)}
    values |= {"/registry/secrets/c": b"k8s:enc:kms:v2:vault:", "/registry/services/d": b"plain"}
    seen = EtcdClient(serve({RANGE: Store(values)}), **files).heads("/registry/secrets/", 5.0, lambda: 0.0)
    assert (seen.count, seen.seen, seen.plain) == (310, 310, 9)
    assert seen.named == [f"/registry/secrets/b/{number}" for number in range(4)]
    assert seen.encrypted == {"aescbc with key k1": 300, "kms v2 with key vault": 1}
    none = EtcdClient(serve({RANGE: Store({})}), **files).heads("/registry/secrets/", 5.0, lambda: 0.0)
    assert (none.count, none.seen) == (0, 0)


def test_what_is_too_large_to_be_read_stays_unseen_and_the_rest_is_read(serve: Serve, files: dict[str, Any]) -> None:
    values = {f"/registry/secrets/{name}": b"k8s:enc:secretbox:v1:k2:" + b"x" * (400 << 10) for name in "abcdef"}
    values["/registry/secrets/c"] += b"x" * (1 << 20)
    seen = EtcdClient(serve({RANGE: Store(values)}), **files).heads("/registry/secrets/", 5.0, lambda: 0.0)
    assert (seen.count, seen.seen, seen.encrypted) == (6, 5, {"secretbox with key k2": 5})


def test_no_page_is_asked_for_when_the_time_is_over(
    serve: Serve, files: dict[str, Any], asked: list[tuple[str, str, bytes]]
) -> None:
    values = {f"/registry/secrets/{number:03}": b"k8s:enc:aescbc:v1:k1:" for number in range(100)}
    ticks = iter((0.0, 1.0, 9.0))
    seen = EtcdClient(serve({RANGE: Store(values)}), **files).heads("/registry/secrets/", 5.0, lambda: next(ticks))
    assert (seen.count, len(asked)) == (100, 2)
    assert 0 < seen.seen < 100


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {}), "answered 403"),
        ((200, []), "answered 200"),
        ((200, {"kvs": [{"value": "%"}]}), "not what it should"),
        ((200, {"kvs": [{"value": 1, "key": 1}]}), "not what it should"),
        ((200, {"kvs": "none"}), "not what it should"),
        ((200, {"kvs": ["none"]}), "not what it should"),
        ((200, {"kvs": [{"value": "%"}], "count": "many"}), "not what it should"),
        ((200, b"SSH-2.0-x"), "could not be asked"),
    ],
)
def test_an_etcd_that_does_not_tell(serve: Serve, files: dict[str, Any], answer: tuple[int, Any], words: str) -> None:
    client = EtcdClient(serve({RANGE: answer}), **files)
    with pytest.raises(HardeningError, match=words):
        client.stored("/k")
    if answer != (200, {"kvs": [{"value": "%"}]}):
        with pytest.raises(HardeningError, match=words):
            client.heads("/k", 5.0, lambda: 0.0)
    assert EtcdClient(serve({RANGE: (200, {})}), **files).stored("/k") == (None, False)
