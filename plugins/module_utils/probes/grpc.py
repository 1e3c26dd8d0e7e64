# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One unary gRPC call over a unix socket, by hand: HTTP/2 (RFC 9113) without TLS, one stream, then the connection ends.

It exists because a node need not have ``crictl``, and Python's distribution packages have no gRPC. Every read counts
against one deadline for the whole call, so that a runtime that hangs or drips costs no more than that.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Callable, NamedTuple
from urllib.parse import unquote

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.hpack import (
    MalformedHeadersError,
    decode_headers,
    encode_headers,
)

LARGEST_ANSWER = 16 * 1024 * 1024  # bytes; the kubelet's own limit for the runtime's answers

NOT_FOUND = 5  # grpc-status

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM = _ACK = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_STREAM = 1
_LARGEST_FRAME = 16384  # bytes; what a peer may send unless it was told otherwise
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4


class GrpcError(HardeningError):
    """A call that gave no answer. ``code`` is the grpc-status of the server's refusal, None where it did not come to
    one.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__("KH120", message)
        self.code = code


class _Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class _BrokenError(Exception):
    """What went wrong on the connection, as the end of a sentence."""


def call(path: str, method: str, request: bytes, timeout: float, clock: Callable[[], float] = time.monotonic) -> bytes:
    """Calls ``method`` ("/package.Service/Name") at the unix socket ``path``: request and result are protobuf messages.

    ``timeout`` in seconds bounds everything together. Raises GrpcError, with the socket and the method in the sentence.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            exchange = _Exchange(connection, clock() + timeout, clock)
            connection.settimeout(timeout)
            connection.connect(path)
            exchange.send_request(method, request, timeout)
            return exchange.read_answer(f"{path} refuses {method}")
    except (socket.timeout, TimeoutError):
        raise GrpcError(f"{path} gave no answer to {method} within {timeout:g} seconds.") from None
    except OSError as error:
        raise GrpcError(f"{path} cannot be asked for {method}: {error.strerror or error}.") from None
    except (_BrokenError, MalformedHeadersError) as error:
        raise GrpcError(f"{path} gave no usable answer to {method}: {error}.") from None


class _Exchange:
    def __init__(self, connection: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._deadline = deadline
        self._clock = clock
        self._body = bytearray()
        self._headers: dict[str, str] = {}

    def send_request(self, method: str, request: bytes, timeout: float) -> None:
        settings = [(_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, 2 * LARGEST_ANSWER)]
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", f"{max(1, int(timeout * 1000))}m"),
        ]
        self._send(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"".join(struct.pack(">HI", *setting) for setting in settings))
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 2 * LARGEST_ANSWER))
            + _frame(_HEADERS, _END_HEADERS, _STREAM, encode_headers(headers))
            + _frame(_DATA, _END_STREAM, _STREAM, struct.pack(">BI", 0, len(request)) + request)
        )

    def read_answer(self, refusal: str) -> bytes:
        """The message; ``refusal`` begins the sentence for a call that the server answered with an error."""
        while True:
            frame = self._read_frame()
            if frame.stream == 0:
                self._connection_frame(frame)
            elif frame.stream == _STREAM and self._stream_frame(frame):
                return self._message(refusal)

    def _connection_frame(self, frame: _Frame) -> None:
        if frame.kind == _SETTINGS and not frame.flags & _ACK:
            self._acknowledge(_frame(_SETTINGS, _ACK, 0, b""))
        elif frame.kind == _PING and not frame.flags & _ACK:
            self._acknowledge(_frame(_PING, _ACK, 0, frame.payload))
        elif frame.kind == _GOAWAY:
            last, code = _numbers(frame, 2)
            if last & 0x7FFFFFFF < _STREAM:
                raise _BrokenError(f"the server ends the connection with HTTP/2 error {code}")

    def _stream_frame(self, frame: _Frame) -> bool:
        """Takes the frame in; whether it is the stream's last."""
        if frame.kind == _RST_STREAM:
            raise _BrokenError(f"the server ends the call with HTTP/2 error {_numbers(frame, 1)[0]}")
        if frame.kind == _HEADERS:
            self._headers.update(decode_headers(self._header_block(frame)))
        elif frame.kind == _DATA:
            self._body += _without_padding(frame)
            if len(self._body) > LARGEST_ANSWER:
                raise _BrokenError(f"it is larger than {LARGEST_ANSWER} bytes")
        else:
            return False
        return bool(frame.flags & _END_STREAM)

    def _header_block(self, frame: _Frame) -> bytes:
        block = _without_padding(frame)
        flags = frame.flags
        while not flags & _END_HEADERS:
            more = self._read_frame()
            if more.kind != _CONTINUATION or len(block) > 4 * _LARGEST_FRAME:
                raise _BrokenError("the headers do not end")
            block += more.payload
            flags = more.flags
        return block

    def _message(self, refusal: str) -> bytes:
        status = self._headers.get("grpc-status")
        if status is None or not status.isdecimal():
            raise _BrokenError(f"no grpc-status, HTTP status {self._headers.get(':status', 'absent')}")
        if status != "0":
            message = unquote(self._headers.get("grpc-message", "")).rstrip(". ")
            raise GrpcError(f"{refusal}: {message or 'no reason given'} (grpc-status {status}).", int(status))
        if len(self._body) < 5:
            raise _BrokenError("no message in it")
        compressed, size = struct.unpack(">BI", self._body[:5])
        if compressed or size != len(self._body) - 5:
            raise _BrokenError("the message is compressed or not of the length it says")
        return bytes(self._body[5:])

    def _read_frame(self) -> _Frame:
        head = self._read(9)
        size = int.from_bytes(head[:3], "big")
        if size > _LARGEST_FRAME:
            raise _BrokenError("it is not HTTP/2")
        kind, flags = head[3], head[4]
        return _Frame(kind, flags, int.from_bytes(head[5:], "big") & 0x7FFFFFFF, self._read(size))

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            self._limit()
            try:
                part = self._connection.recv(size)
            except ConnectionResetError:  # it closed before it had read our acknowledgements
                part = b""
            if not part:
                raise _BrokenError("the server closed the connection")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _acknowledge(self, data: bytes) -> None:
        # A server that is done may have closed its end already; its whole answer can still be read.
        with contextlib.suppress(BrokenPipeError):
            self._send(data)

    def _send(self, data: bytes) -> None:
        self._limit()
        self._connection.sendall(data)

    def _limit(self) -> None:
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _numbers(frame: _Frame, count: int) -> list[int]:
    if len(frame.payload) < 4 * count:
        raise _BrokenError("a frame is too short")
    return list(struct.unpack_from(f">{count}I", frame.payload))


def _without_padding(frame: _Frame) -> bytes:
    payload, padding = frame.payload, 0
    if frame.flags & _PADDED:
        if not payload:
            raise _BrokenError("a frame is too short")
        padding, payload = payload[0], payload[1:]
    if frame.kind == _HEADERS and frame.flags & _PRIORITY:
        payload = payload[5:]
    if padding > len(payload):
        raise _BrokenError("a frame's padding is longer than the frame")
    return payload[: len(payload) - padding]
