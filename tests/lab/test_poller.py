# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The poller's account, against a server that fails in ways that a real cluster can't be made to on purpose."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab.kubelab.poller import FAILED, KEPT, Api, Failure, Poller, Tally

pytestmark = pytest.mark.lab


class Server(ThreadingHTTPServer):
    """One ConfigMap, its writes as events; ``lost`` are the beats whose event is never sent.

    A watch ends after every third event, as that of an API server which is stopped. ``expired`` makes the server forget
    its past: to resume then is refused. ``slow`` is how many seconds a GET takes once something was written. ``idle``
    is after how many seconds without a request it closes a connection, and ``cut`` on which GET of one, unanswered.
    """

    daemon_threads = True

    def __init__(
        self,
        lost: frozenset[int] = frozenset(),
        expired: bool = False,
        slow: float = 0.0,
        idle: float | None = None,
        cut: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lost, self.expired, self.slow, self.idle, self.cut = lost, expired, slow, idle, cut
        self.beats = [0]
        self.written = threading.Condition()

    def configmap(self, version: int) -> dict[str, object]:
        return {"metadata": {"resourceVersion": str(version)}, "data": {"beat": str(self.beats[version])}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    gets = 0

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.idle)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        patch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.written:
            self.server.beats.append(int(patch["data"]["beat"]))
            self.server.written.notify_all()
        self.answer(200, {})

    def do_GET(self) -> None:
        if "watch=1" not in self.path:
            self.gets += 1
            if self.gets == self.server.cut:
                self.close_connection = True
                return
            time.sleep(self.server.slow if len(self.server.beats) > 1 else 0)
            self.answer(200, self.server.configmap(len(self.server.beats) - 1))
            return
        version = int(self.path.split("resourceVersion=")[1])
        if self.server.expired and version > 0:
            self.answer(410, {})
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for following in range(version + 1, version + 4):
            with self.server.written:
                while len(self.server.beats) <= following and self.server.written.wait(20):
                    pass
            if len(self.server.beats) > following and self.server.beats[following] not in self.server.lost:
                event = {"type": "MODIFIED", "object": self.server.configmap(following)}
                self.wfile.write(json.dumps(event).encode() + b"\n")
        self.close_connection = True


class PlainApi(Api):
    """Without TLS, which is not what is tested here."""

    def __init__(self, server: Server) -> None:
        self._address = server.server_address

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(str(self._address[0]), int(self._address[1]), timeout=5)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Servers to be closed at the end."""
    started: list[Server] = []
    yield started
    for server in started:
        server.shutdown()
        server.server_close()


def failures_of(server: Server, servers: list[Server], seconds: float) -> list[Failure]:
    servers.append(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tally = Tally()
    poller = Poller(PlainApi(server), "any", tally)
    poller.start()
    time.sleep(seconds)
    poller.stop()
    assert tally.requests > seconds * 10
    return tally.failures


def test_a_watch_that_ends_and_is_resumed_loses_nothing(servers: list[Server]) -> None:
    assert failures_of(Server(), servers, 4) == []


def test_a_lost_event_is_a_failure(servers: list[Server]) -> None:
    (failure,) = failures_of(Server(lost=frozenset({5})), servers, 4)
    assert (failure.counts, failure.what, failure.reason) == (FAILED, "watch", "event 5 was lost")


def test_a_watch_that_can_not_be_resumed_is_a_failure(servers: list[Server]) -> None:
    failures = failures_of(Server(expired=True), servers, 4)
    assert any(failure.reason.startswith("status 410, resuming at 3") for failure in failures)
    assert {failure.counts for failure in failures} == {FAILED}


def test_an_answer_that_takes_too_long_is_a_failure(servers: list[Server]) -> None:
    failures = failures_of(Server(slow=5.5), servers, 2)
    assert {failure.what for failure in failures} >= {"get", "kept 0"}
    assert {failure.counts for failure in failures} == {FAILED, KEPT}
    assert any("timed out" in failure.reason for failure in failures)


def test_a_connection_that_the_server_closed_between_requests_costs_none(servers: list[Server]) -> None:
    assert failures_of(Server(idle=0.03), servers, 2) == []


def test_a_kept_connection_that_is_closed_instead_of_an_answer_is_counted_apart(servers: list[Server]) -> None:
    failures = failures_of(Server(cut=3), servers, 2)
    assert {failure.what for failure in failures} == {"kept 0", "kept 1"}
    assert {failure.counts for failure in failures} == {KEPT}


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    tally.answered(FAILED, 0.25)
    tally.answered(KEPT, 3.0)
    tally.failed(FAILED, "get", "status 503\nretry", 0.5)
    tally.failed(KEPT, "pod", "EOF", 1.0)
    assert tally.summary() == "requests 2 failed 1 kept 1 longest 0.25 seconds"
    assert capsys.readouterr().out.splitlines()[0].endswith(".500 failed get: status 503 retry")
