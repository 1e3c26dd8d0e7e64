# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an API server does, seen on its own host: what it records, what it tells browsers, how it stores Secrets.

Each look only reads, but for the marker, which is a Secret in a namespace of its own, made and removed when the user
asks for it. No Secret's content is in what they return.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.audit_log import AuditLog, Position
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

#: Seconds that a record may take to be in the log, and that the marker's namespace may take to go: a controller removes
#: it, which waits for its election anew where the API server was away just before.
RECORD_LIMIT = 5.0
REMOVAL_LIMIT = 60.0
NO_TIME = "there was no time left to ask"
_STEP = 0.2
#: Seconds for which an audit log with its rotated files is read, and for which Secrets are read from etcd.
BODIES_LIMIT = 2.0
STORED_LIMIT = 5.0


@dataclasses.dataclass(frozen=True)
class Server:
    """An API server on this host.

    Attributes:
        url: Where it is asked.
        credentials: An administrator's; None where there are none, and the request is then refused and recorded.
        audit_log: Where this process can open its log; empty where it writes none to a file.
        batches: Whether it writes records in batches, so that they come late.
        etcd: Its own client of etcd; None where it has none that can be used.
        prefix: What its keys in etcd begin with.
    """

    url: str
    credentials: Kubeconfig | None
    audit_log: str
    batches: bool
    etcd: EtcdClient | None
    prefix: str = "/registry"


class ServerProbes:
    """Looks at one API server.

    Args:
        server: The server.
        limit: Seconds that one request may take.
        end: When on the clock no further look is begun.
        nonce: Random letters and digits, by which the probe's requests and objects are known.
        clock: Seconds that only go forward.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        server: Server,
        limit: float,
        end: float,
        nonce: str,
        clock: t.Callable[[], float],
        sleep: t.Callable[[float], None],
    ) -> None:
        self._server = server
        self._limit = limit
        self._end = end
        self._nonce = nonce
        self._clock = clock
        self._sleep = sleep

    def look(self) -> dict[str, dict[str, t.Any]]:
        """Return what each look saw, or why it saw nothing."""
        return {
            name: self._of(look)
            for name, look in (
                ("audit_record", self._record),
                ("audit_bodies", self._bodies),
                ("hsts", self._hsts),
                ("stored", self._stored),
            )
        }

    def mark(self) -> dict[str, t.Any]:
        """Make a Secret in a namespace of its own, see how it is stored and recorded, and remove both."""
        return self._of(self._mark)

    def _of(self, look: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
        if self._clock() >= self._end:
            return {"problem": NO_TIME}
        try:
            return look()
        except HardeningError as error:
            return {"problem": str(error).rstrip(".")}

    def _client(self) -> ApiClient:
        known = self._server.credentials
        agent = f"kubeharden-probe/{self._nonce}"
        if known is None:
            return ApiClient(None, self._server.url, self._limit, user_agent=agent)
        return ApiClient(known, self._server.url, self._limit, verify_hostname="kubernetes", user_agent=agent)

    def _log(self) -> AuditLog:
        return AuditLog(self._server.audit_log)

    # What it records

    def _record(self) -> dict[str, t.Any]:
        """Read a Secret that does not exist, and wait for its record."""
        log = self._log()
        position = log.position()
        begin = self._clock()
        answer = self._client().get(f"/api/v1/namespaces/kube-system/secrets/kubeharden-probe-{self._nonce}")
        _require(answer, "the API server could not be asked")
        mark = f"kubeharden-probe/{self._nonce}".encode()
        while True:
            for line in log.since(position):
                if mark in line:
                    return {"found": True, "level": _level(line), "status": answer.status}
            if self._clock() - begin >= RECORD_LIMIT:
                return {"found": False, "batches": self._server.batches, "status": answer.status}
            self._sleep(_STEP)

    def _bodies(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self._log().bodies(BODIES_LIMIT, self._clock))

    # What it tells browsers

    def _hsts(self) -> dict[str, t.Any]:
        answer = ApiClient(None, self._server.url, self._limit).get("/livez")
        _require(answer, "the API server could not be asked")
        return {"header": answer.headers.get("strict-transport-security", "")}

    # How it stores

    def _etcd(self) -> EtcdClient:
        if self._server.etcd is None:
            raise HardeningError("KH502", "the API server has no client certificate for etcd")
        return self._server.etcd

    def _stored(self) -> dict[str, t.Any]:
        beginning = f"{self._server.prefix}/secrets/"
        found = dataclasses.asdict(self._etcd().heads(beginning, STORED_LIMIT, self._clock))
        return {**found, "named": [key[len(beginning) :] for key in found["named"]]}

    # The marker

    def _mark(self) -> dict[str, t.Any]:
        client, name = self._client(), f"kubeharden-probe-{self._nonce}"
        log = self._log() if self._server.audit_log else None
        position = log.position() if log else None
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        place = f"/api/v1/namespaces/{name}"
        found: dict[str, t.Any] = {}
        problem, removed = "", False
        try:
            answer = client.post("/api/v1/namespaces", json.dumps(namespace))
            removed = 400 <= answer.status < 500  # it was refused, so that there is nothing
            if not answer.status:
                self._sleep(self._limit)  # the server may be making it yet
            _require(answer, f"namespace {name} could not be made", 201)
            found = self._marked(client, place, log, position)
        except HardeningError as error:
            problem = str(error).rstrip(".")
        finally:
            removed = removed or self._remove(client, place)
        if problem:
            more = "" if removed else f"; namespace {name} may be there, remove it"
            raise HardeningError("KH502", problem + more)
        return {**found, "removed": removed, "namespace": name}

    def _marked(
        self, client: ApiClient, place: str, log: AuditLog | None, position: Position | None
    ) -> dict[str, t.Any]:
        """Make the Secret in its namespace, and return how it is stored and whether its content is recorded."""
        marker, name = f"marker-{self._nonce}", place.rpartition("/")[2]
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "marker", "namespace": name},
            "stringData": {"marker": marker},
        }
        _require(client.post(f"{place}/secrets", json.dumps(secret)), f"Secret {name}/marker could not be made", 201)
        stored, plain = self._etcd().stored(f"{self._server.prefix}/secrets/{name}/marker", marker.encode())
        found: dict[str, t.Any] = {
            "provider": stored.provider if stored else "",
            "key": stored.key_name if stored else "",
            "plain": plain,
        }
        if log and position:
            self._sleep(_STEP)
            found["in_log"] = any(marker.encode() in line or _base64(marker) in line for line in log.since(position))
        return found

    def _remove(self, client: ApiClient, place: str) -> bool:
        """Remove the Secret and its namespace; return whether they are gone."""
        client.delete(f"{place}/secrets/marker")
        client.delete(place)
        begin = self._clock()
        while self._clock() - begin < REMOVAL_LIMIT:
            if client.get(place).status == 404:
                return True
            self._sleep(_STEP)
        return False


def _require(answer: Answer, words: str, status: int = 0) -> None:
    if answer.status == 0 or (status and answer.status != status):
        raise HardeningError("KH502", f"{words}: {answer.reason or f'HTTP {answer.status}'}")


def _level(line: bytes) -> str:
    try:
        return str(json.loads(line).get("level"))
    except (ValueError, AttributeError):
        return "no level"


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode())
