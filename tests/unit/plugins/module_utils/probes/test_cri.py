# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime's client against a server that misbehaves, and its tables against answers encoded by hand.

That a real runtime understands it is shown in the lab (tests/lab/test_probes.py); this is about malformed answers.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri, grpc
from ansible_collections.kubeharden.core.plugins.module_utils.probes.hpack import encode_headers

Serve = Callable[..., str]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


OPEN = frame(SETTINGS) + frame(
    HEADERS, encode_headers([(":status", "200"), ("content-type", "application/grpc")]), 4, 1
)


def trailers(status: str = "0", text: str = "") -> bytes:
    return frame(HEADERS, encode_headers([("grpc-status", status), ("grpc-message", text)]), 5, 1)


def answer(data: bytes) -> bytes:
    return OPEN + frame(DATA, message(data), 0, 1) + trailers()


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the client left")
        data += part
    return data


def read_frame(connection: socket.socket) -> tuple[int, int, int, bytes]:
    head = read_exactly(connection, 9)
    payload = read_exactly(connection, int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big"), payload


def read_request(connection: socket.socket) -> bytes:
    """Preface and frames up to the end of the call; its protobuf message."""
    read_exactly(connection, len(PREFACE))
    while True:
        kind, flags, _stream, payload = read_frame(connection)
        if kind == DATA and flags & 1:
            return payload[5:]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on a unix socket of its own that runs a function on the first connections."""
    with contextlib.ExitStack() as stack:

        def start(behave: Callable[[socket.socket], None], connections: int = 1) -> str:
            path = str(tmp_path / "cri.sock")
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen(1)

            def run() -> None:
                for _connection in range(connections):
                    with contextlib.suppress(OSError):  # the client may leave first: some tests are about that
                        connection = listener.accept()[0]
                        with connection:
                            behave(connection)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            return path

        yield start


def after_request(data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return behave


def name(value: object) -> str:
    """A test's name without the bytes in it."""
    return "bytes" if isinstance(value, bytes) else str(value)


VERSION = bytes.fromhex("0a05302e312e301204") + b"fake" + bytes.fromhex("1a013922027631")


@pytest.mark.parametrize(
    "data",
    [
        answer(VERSION),
        OPEN + frame(DATA, message(VERSION)[:3], 0, 1) + frame(DATA, message(VERSION)[3:], 0, 1) + trailers(),
        OPEN + frame(DATA, b"\x02" + message(VERSION) + b"\0\0", 8, 1) + trailers(),
        frame(WINDOW_UPDATE, b"\0\0\0\1") + frame(99, b"?") + frame(2, b"\0" * 5, 0, 1) + answer(VERSION),
        frame(GOAWAY, struct.pack(">II", 1, 0)) + answer(VERSION),
        frame(SETTINGS, b"", 1) + frame(PING, b"\0" * 8, 1) + answer(VERSION),
        OPEN
        + frame(DATA, message(VERSION), 0, 1)
        + frame(HEADERS, b"\0\x0bgrpc", 1, 1)
        + frame(CONTINUATION, b"-status\x010", 4, 1),
        OPEN + frame(HEADERS, b"", 4, 3) + frame(DATA, message(VERSION), 0, 1) + trailers(),
        frame(HEADERS, b"\0\0\0\0\0" + encode_headers([(":status", "200")]), 0x24, 1)
        + frame(DATA, message(VERSION), 0, 1)
        + trailers(),
    ],
    ids=name,
)
def test_legal_shapes_of_an_answer(serve: Serve, data: bytes) -> None:
    runtime = cri.Runtime("unix://" + serve(after_request(data)), timeout=5)
    assert runtime.version() == cri.Version("fake", "9", "v1")


def test_a_ping_and_the_settings_are_acknowledged(serve: Serve) -> None:
    seen: list[tuple[int, int, bytes]] = []

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(frame(SETTINGS, struct.pack(">HI", 3, 100)) + frame(PING, b"12345678"))
        for _round in range(2):
            kind, flags, _stream, payload = read_frame(connection)
            seen.append((kind, flags, payload))
        connection.sendall(answer(VERSION))

    cri.Runtime(serve(behave), timeout=5).version()
    assert seen == [(SETTINGS, 1, b""), (PING, 1, b"12345678")]


def hang(connection: socket.socket) -> None:
    connection.recv(1 << 20)
    connection.recv(1)  # until the client leaves


def drip(connection: socket.socket) -> None:
    read_request(connection)
    for byte in frame(SETTINGS) * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def settings_for_ever(connection: socket.socket) -> None:
    read_request(connection)
    while True:
        connection.sendall(frame(WINDOW_UPDATE, b"\0\0\0\1"))
        time.sleep(0.001)


@pytest.mark.parametrize("behave", [hang, drip, settings_for_ever])
def test_a_server_that_takes_its_time_costs_no_more_than_the_limit(
    serve: Serve, behave: Callable[[socket.socket], None]
) -> None:
    begun = time.monotonic()
    with pytest.raises(HardeningError, match=r"cri.sock gave no answer to .*Version within 0.4 seconds"):
        cri.Runtime(serve(behave), timeout=0.4).version()
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "closed the connection"),
        (answer(VERSION)[:-1], "closed the connection"),
        (OPEN[:5], "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not HTTP/2"),
        (bytes(range(256)), "closed the connection|not HTTP/2"),
        (OPEN + frame(DATA, message(VERSION), 1, 1), "no grpc-status, HTTP status 200"),
        (frame(HEADERS, encode_headers([(":status", "503")]), 5, 1), "no grpc-status, HTTP status 503"),
        (frame(HEADERS, encode_headers([("grpc-status", "no")]), 5, 1), "no grpc-status"),
        (OPEN + trailers(), "no message"),
        (OPEN + frame(DATA, b"\1" + message(VERSION)[1:], 0, 1) + trailers(), "compressed"),
        (OPEN + frame(DATA, message(VERSION) + b"x", 0, 1) + trailers(), "not of the length"),
        (OPEN + frame(DATA, message(VERSION)[:-1], 0, 1) + trailers(), "not of the length"),
        (OPEN + frame(DATA, message(b"\x0a\xff"), 0, 1) + trailers(), "unfinished|ends within"),
        (OPEN + frame(RST_STREAM, struct.pack(">I", 2), 0, 1), "ends the call with HTTP/2 error 2"),
        (OPEN + frame(RST_STREAM, b"", 0, 1), "too short"),
        (frame(GOAWAY, struct.pack(">II", 0, 11)), "ends the connection with HTTP/2 error 11"),
        (frame(GOAWAY, b"12"), "too short"),
        (frame(HEADERS, b"\xff\xff", 4, 1), "header"),
        (frame(HEADERS, b"\x88", 0, 1) + frame(PING, b"\0" * 8), "headers do not end"),
        (frame(HEADERS, b"\0", 0, 1) + frame(CONTINUATION, b"\0" * 16384, 0, 1) * 6, "headers do not end"),
        (OPEN + frame(DATA, b"\x09ab", 8, 1), "padding"),
        (OPEN + frame(DATA, b"", 8, 1), "too short"),
    ],
    ids=name,
)
def test_answers_that_are_none(serve: Serve, data: bytes, words: str) -> None:
    with pytest.raises(HardeningError, match=r"cri.sock gave no usable answer to .*Version") as caught:
        cri.Runtime(serve(after_request(data)), timeout=5).version()
    assert any(word in str(caught.value) for word in words.split("|"))


def test_an_answer_without_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "LARGEST_ANSWER", 50000)
    data = OPEN + frame(DATA, b"\0" * 16384, 0, 1) * 4
    with pytest.raises(HardeningError, match="larger than 50000 bytes"):
        cri.Runtime(serve(after_request(data)), timeout=5).version()


def test_a_refusal_has_code_and_words(serve: Serve) -> None:
    data = frame(SETTINGS) + trailers("12", "unknown service runtime.v1.RuntimeService%2E")
    with pytest.raises(grpc.GrpcError) as caught:
        cri.Runtime(serve(after_request(data)), timeout=5).version()
    assert caught.value.code == 12
    assert "unknown service runtime.v1.RuntimeService (grpc-status 12)" in str(caught.value)


def test_any_damage_is_a_sentence(serve: Serve) -> None:
    """Bytes of a good answer are changed by chance: the outcome is an answer or a sentence, and never takes long."""
    chance = random.Random(1)

    def behave(connection: socket.socket) -> None:
        data = bytearray(answer(VERSION))
        for _change in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        after_request(bytes(data))(connection)

    runtime = cri.Runtime(serve(behave, 300), timeout=1)
    outcomes: set[type] = set()
    for _round in range(300):
        try:
            outcomes.add(type(runtime.version()))
        except HardeningError as error:
            outcomes.add(type(error))
    assert {cri.Version, grpc.GrpcError} <= outcomes


def test_a_container_that_is_gone(serve: Serve) -> None:
    assert (
        cri.Runtime(serve(after_request(frame(SETTINGS) + trailers("5", "not found"))), timeout=5).container("x")
        is None
    )


@pytest.mark.parametrize("kind", ["absent", "file", "long"])
def test_no_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x" * 200 if kind == "long" else "cri.sock")
    if kind == "file":
        path.touch()
    with pytest.raises(HardeningError, match="cannot be asked for"):
        cri.Runtime(str(path)).version()


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1:1", "npipe:////./pipe/x", "run/x.sock"])
def test_an_address_that_is_no_unix_socket(address: str) -> None:
    with pytest.raises(HardeningError, match="no unix socket"):
        cri.Runtime(address)


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def entry(number: int, key: str, value: str) -> bytes:
    return field(number, field(1, key.encode()) + field(2, value.encode()))


def capture(requests: list[bytes], data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(answer(data))

    return behave


def test_containers(serve: Serve) -> None:
    second = b"\xb0\x09"  # 1200 nanoseconds
    data = field(
        1,
        field(1, b"c1")
        + field(2, b"s1")
        + field(3, field(1, b"etcd") + b"\x10\x02")
        + field(4, field(1, b"sha256:1"))
        + b"\x30\x02"
        + b"\x38"
        + second
        + entry(8, cri.LABEL_POD_UID, "u1")
        + entry(9, "a", "b"),
    ) + field(1, field(1, b"c0") + b"\x30\x63")
    requests: list[bytes] = []
    found = cri.Runtime(serve(capture(requests, data))).containers(cri.RUNNING, {"k": "v"}, "s1")
    assert requests == [field(1, field(2, b"\x08\x01") + field(3, b"s1") + entry(4, "k", "v"))]
    assert found == [
        cri.Container("c0", "", "", 0, "", cri.UNKNOWN, None, {}, {}),
        cri.Container("c1", "s1", "etcd", 2, "sha256:1", cri.EXITED, 1.2e-6, {cri.LABEL_POD_UID: "u1"}, {"a": "b"}),
    ]
    assert [c.pod_uid for c in found] == ["", "u1"]


def test_container_status(serve: Serve) -> None:
    data = field(
        1,
        field(1, b"c1")
        + field(2, field(1, b"etcd"))
        + b"\x18\x02\x20\x01\x28\x02\x30\x03"
        + b"\x38\x89\x01"
        + field(8, field(1, b"img"))
        + field(9, b"sha256:1")
        + field(10, b"Error")
        + field(11, b"words")
        + entry(12, "a", "b")
        + field(15, b"/log"),
    )
    requests: list[bytes] = []
    status = cri.Runtime(serve(capture(requests, data))).container("c1")
    assert requests == [field(1, b"c1")]
    assert status == cri.ContainerStatus(
        "c1", "etcd", 0, cri.EXITED, 1e-9, 2e-9, 3e-9, 137, "img", "sha256:1", "Error", "words", "/log", {"a": "b"}
    )


def test_sandboxes(serve: Serve) -> None:
    data = field(
        1,
        field(1, b"s1")
        + field(2, field(1, b"pod") + field(2, b"u1") + field(3, b"ns") + b"\x20\x01")
        + b"\x18\x01\x20\x01"
        + entry(5, "a", "b"),
    )
    requests: list[bytes] = []
    found = cri.Runtime(serve(capture(requests, data))).sandboxes(state=cri.READY, labels={"a": "b"})
    assert requests == [field(1, field(2, b"") + entry(3, "a", "b"))]
    assert found == [cri.Sandbox("s1", "pod", "ns", "u1", 1, cri.NOT_READY, 1e-9, {"a": "b"})]


def test_images(serve: Serve) -> None:
    image = field(1, b"id") + field(2, b"t1") + field(2, b"t2") + field(3, b"d1") + b"\x20\x05\x40\x01"
    assert cri.Runtime(serve(after_request(answer(field(1, image))))).images() == [
        cri.Image("id", ["t1", "t2"], ["d1"], 5, pinned=True)
    ]


@pytest.mark.parametrize(("data", "present"), [(b"", False), (field(1, field(1, b"id")), True)], ids=name)
def test_image(serve: Serve, data: bytes, present: bool) -> None:
    requests: list[bytes] = []
    assert (cri.Runtime(serve(capture(requests, data))).image("pause:3") is not None) is present
    assert requests == [field(1, field(1, b"pause:3"))]


def test_stop_waits_for_the_grace(serve: Serve) -> None:
    requests: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        time.sleep(0.5)
        connection.sendall(answer(b""))

    cri.Runtime(serve(behave), timeout=0.3).stop_container("c1", 2)
    assert requests == [field(1, b"c1") + b"\x10\x02"]


def test_stop_of_what_was_removed_meanwhile_is_well(serve: Serve) -> None:
    said = trailers("5", 'an error occurred when try to find container "c1": not found')
    cri.Runtime(serve(after_request(OPEN + said))).stop_container("c1", 2)


def test_stop_that_is_refused(serve: Serve) -> None:
    with pytest.raises(HardeningError, match=r"StopContainer: no room \(grpc-status 13\)"):
        cri.Runtime(serve(after_request(OPEN + trailers("13", "no room")))).stop_container("c1", 2)


def test_stop_that_does_not_come_back(serve: Serve) -> None:
    with pytest.raises(HardeningError, match=r"StopContainer within 0.3 seconds"):
        cri.Runtime(serve(hang), timeout=0.3).stop_container("c1", 0)
