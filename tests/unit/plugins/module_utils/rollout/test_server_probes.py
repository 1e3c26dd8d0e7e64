# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an API server: what a log, an etcd and a server that answer in this way amount to."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import Heads, Stored
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import server_probes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.server_probes import Server, ServerProbes

END = 45.0


class World:
    """An API server with a log and an etcd, and a clock that goes on when somebody waits."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "audit.log"
        self.log.write_text("", encoding="utf-8")
        self.seconds = 0.0
        self.records = True
        self.says_body = False
        self.objects: set[str] = set()
        self.refused: set[str] = set()
        self.lost: set[str] = set()
        self.late: set[str] = set()
        self.lingers = False
        self.provider = "aescbc"
        self.asked: list[tuple[str, str]] = []

    def client(self, agent: str) -> Client:
        return Client(self, agent)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.objects |= self.late
        self.late = set()

    # etcd

    def heads(self, beginning: str, seconds: float, _clock: t.Callable[[], float]) -> Heads:
        assert seconds == server_probes.STORED_LIMIT
        found = Heads(count=2)
        for key, value in (("a/b", b"k8s:enc:aescbc:v1:k1:"), ("a/c", b"plain")):
            found.add(f"{beginning}{key}", value)
        return found

    def stored(self, key: str, marker: bytes = b"") -> tuple[Stored | None, bool]:
        return Stored(key, self.provider, "k1" if self.provider else ""), not self.provider and bool(marker)


class Client:
    def __init__(self, world: World, agent: str) -> None:
        self.world, self.agent = world, agent

    def _done(self, verb: str, path: str, body: str = "") -> Answer:
        world = self.world
        world.asked.append((verb, path))
        if world.records:
            record: dict[str, t.Any] = {"level": "Metadata", "userAgent": self.agent, "verb": verb}
            if world.says_body and body:
                record["requestObject"] = json.loads(body)
            with world.log.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        if path in world.refused:
            return Answer(403, b"{}")
        if verb == "POST":
            made = json.loads(body)["metadata"]["name"]
            if path in world.lost:
                world.late.add(f"{path}/{made}")
                return Answer(0, reason="timeout")
            world.objects.add(f"{path}/{made}")
            return Answer(201)
        if verb == "DELETE" and not world.lingers:
            world.objects.discard(path)
        return Answer(200 if path in world.objects else 404, headers={"strict-transport-security": "max-age=1"})

    def get(self, path: str) -> Answer:
        return self._done("GET", path)

    def post(self, path: str, body: str) -> Answer:
        return self._done("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self._done("DELETE", path)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(
        server_probes, "ApiClient", lambda *_arguments, user_agent="kubeharden", **_more: made.client(user_agent)
    )
    return made


def probes(world: World, **change: t.Any) -> ServerProbes:
    server = {"url": "https://127.0.0.1:6443", "credentials": None, "audit_log": str(world.log), "batches": False}
    return ServerProbes(
        Server(**{**server, "etcd": world, **change}), 3.0, END, "abc", lambda: world.seconds, world.sleep
    )  # fmt: skip


def test_a_read_is_found_by_its_name(world: World) -> None:
    seen = probes(world).look()
    assert seen["audit_record"] == {"found": True, "level": "Metadata", "status": 404}
    assert seen["audit_bodies"]["count"] == 0
    assert seen["hsts"] == {"header": "max-age=1"}
    assert seen["stored"] == {
        "count": 2, "seen": 2, "plain": 1, "named": ["a/c"], "encrypted": {"aescbc with key k1": 1},
    }  # fmt: skip
    assert {verb for verb, _path in world.asked} == {"GET"}


def test_a_read_that_is_not_recorded_is_waited_for_and_no_longer(world: World) -> None:
    world.records = False
    assert probes(world, batches=True).look()["audit_record"] == {"found": False, "batches": True, "status": 404}
    assert server_probes.RECORD_LIMIT <= world.seconds < server_probes.RECORD_LIMIT + 1


def test_an_api_server_without_a_client_of_etcd(world: World) -> None:
    assert probes(world, etcd=None).look()["stored"] == {
        "problem": "the API server has no client certificate for etcd"
    }  # fmt: skip


def test_the_marker_is_made_seen_and_removed(world: World) -> None:
    seen = probes(world).mark()
    assert seen == {
        "provider": "aescbc", "key": "k1", "plain": False, "in_log": False, "removed": True,
        "namespace": "kubeharden-probe-abc",
    }  # fmt: skip
    assert world.objects == set()


@pytest.mark.parametrize("says_body", [True, False])
def test_the_markers_content_is_looked_for_in_the_log(world: World, says_body: bool) -> None:
    world.says_body, world.provider = says_body, ""
    seen = probes(world).mark()
    assert (seen["in_log"], seen["plain"]) == (says_body, True)


def test_a_marker_that_is_refused_leaves_nothing(world: World) -> None:
    world.refused = {"/api/v1/namespaces/kubeharden-probe-abc/secrets"}
    assert probes(world).mark() == {"problem": "Secret kubeharden-probe-abc/marker could not be made: HTTP 403"}
    assert world.objects == set()


def test_a_namespace_that_was_made_though_its_answer_was_lost_is_removed(world: World) -> None:
    world.lost = {"/api/v1/namespaces"}
    assert probes(world).mark() == {"problem": "namespace kubeharden-probe-abc could not be made: timeout"}
    assert world.objects == world.late == set()
    world.lost, world.lingers = {"/api/v1/namespaces"}, True
    name = "namespace kubeharden-probe-abc"
    assert probes(world).mark() == {"problem": f"{name} could not be made: timeout; {name} may be there, remove it"}


def test_a_namespace_that_was_refused_is_not_removed_and_not_waited_for(world: World) -> None:
    world.refused = {"/api/v1/namespaces"}
    assert probes(world).mark() == {"problem": "namespace kubeharden-probe-abc could not be made: HTTP 403"}
    assert [verb for verb, _path in world.asked] == ["POST"]


def test_whatever_ends_the_probe_the_marker_is_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def stored(_key: str, _marker: bytes = b"") -> t.Any:
        raise Ended

    monkeypatch.setattr(world, "stored", stored)
    with pytest.raises(Ended):
        probes(world).mark()
    assert world.objects == set()


def test_a_namespace_that_does_not_go_is_said(world: World) -> None:
    world.lingers = True
    assert probes(world).mark()["removed"] is False
    assert world.seconds < server_probes.REMOVAL_LIMIT + 2


def test_what_is_not_done_when_the_time_is_over_is_said(world: World) -> None:
    world.seconds = END
    assert [one["problem"] for one in probes(world).look().values()] == [server_probes.NO_TIME] * 4
    assert world.asked == []
