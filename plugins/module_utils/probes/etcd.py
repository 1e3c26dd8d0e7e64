# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an etcd says of itself and of the other members of its cluster, asked over HTTPS with a client certificate."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import small_files
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import TOO_LARGE, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

#: Answers 200 only after a read that a majority of the members has agreed on, and while there is no alarm.
_HEALTH = "/health"
_MEMBERS = "/v3/cluster/member/list"
_ALARMS = "/v3/maintenance/alarm"
_RANGE = "/v3/kv/range"
_STRANGE = "etcd could not be asked: its answer is not what it should be"
#: What the API server puts before a value that it encrypted: the provider, its version and the key's name.
_ENCRYPTED = re.compile(rb"k8s:enc:([a-z]{1,16}):(v\d):([^:]{1,100}):")
#: Letters of a value, as etcd codes it, that hold what stands before it.
_HEAD = 256
#: Values that are asked for at once: at first, and at most.
_PAGE, _LARGEST_PAGE = 32, 512
#: Keys that are named.
_MOST = 4


@dataclass(frozen=True)
class Member:
    """A member of the cluster. One that has not started yet has neither a name nor addresses."""

    name: str
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True)
class Stored:
    """How a value lies in etcd: what encrypted it, by which key; both are empty for plain text."""

    key: str
    provider: str = ""
    key_name: str = ""


@dataclass
class Heads:
    """How all values below a beginning lie in etcd, by their first bytes.

    ``count`` is how many there are, ``seen`` of how many the first bytes were read; ``plain`` how many of those nothing
    encrypts, ``named`` the first few of them; ``encrypted`` by provider and key how many those are.
    """

    count: int = 0
    seen: int = 0
    plain: int = 0
    named: list[str] = field(default_factory=list)
    encrypted: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, value: bytes) -> None:
        """Count one more."""
        self.seen += 1
        stored = _stored(key, value)
        if stored.provider:
            words = f"{stored.provider} with key {stored.key_name}"
            self.encrypted[words] = self.encrypted.get(words, 0) + 1
        else:
            self.plain += 1
            self.named = [*self.named, key][:_MOST]


class EtcdClient:
    """Asks the etcd at ``address`` (``https://host:port``), and the members that it names.

    ``ca``, ``certificate`` and ``key`` are paths of PEM files, ``timeout`` the seconds that one request may take.
    """

    def __init__(self, address: str, ca: str, certificate: str, key: str, timeout: float = 5.0) -> None:
        self._address = address
        self._timeout = timeout
        self._ca, self._certificate, self._key = ca, certificate, key

    def unwell(self) -> str:
        """What is wrong with this etcd, empty where nothing is: it reads what a majority has agreed on."""
        return self._trouble_at(self._address)

    def _trouble_at(self, address: str) -> str:
        try:
            return self._unwell_at(address)
        except OSError as error:  # among others, the one whose certificate this is ended while it was looked at
            return f"its certificate could not be read: {error.strerror}"

    def members(self) -> list[Member]:
        """The members of the cluster, as a majority of them sees it.

        :raises HardeningError: it does not say
        """
        try:
            answer = self._client(self._address).post(_MEMBERS, "{}")
            listed = json.loads(answer.body)["members"] if answer.status == 200 else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HardeningError(
                "KH128",
                f"etcd could not be asked for its members: {error}. Nothing was changed; look at its certificates.",
            ) from None
        if not isinstance(listed, list):
            raise HardeningError(
                "KH128",
                f"etcd could not be asked for its members: {_MEMBERS} answered {answer.status or answer.reason}. "
                "Nothing was changed; where it runs with --enable-grpc-gateway=false leave it out: --skip-tags etcd.",
            )
        return [_member(entry) for entry in listed]

    def alarms(self) -> list[str]:
        """The alarms that any member has raised (``NOSPACE``, ``CORRUPT``), each once.

        :raises HardeningError: it does not say
        """
        try:
            answer = self._client(self._address).post(_ALARMS, '{"action": "GET"}')
            listed = json.loads(answer.body).get("alarms", []) if answer.status == 200 else None
        except (OSError, ValueError, AttributeError) as error:
            raise HardeningError("KH128", f"etcd could not be asked for its alarms: {error}.") from None
        if not isinstance(listed, list):
            raise HardeningError(
                "KH128", f"etcd could not be asked for its alarms: {_ALARMS} answered {answer.status or answer.reason}."
            )
        return sorted({str(entry.get("alarm")) for entry in listed})

    def unwell_members(self, members: Sequence[Member]) -> list[str]:
        """What is wrong with each of these members of the cluster, empty where nothing is."""
        found = []
        for member in members:
            address = next((url for url in member.client_urls if url.startswith("https://")), "")
            if member.learner:
                trouble = "it is still a learner"
            elif not address:
                trouble = "it has not started, or serves its clients without TLS"
            else:
                trouble = self._trouble_at(address)
            if trouble:
                found.append(f"{member.name or 'a member without a name'}: {trouble}")
        return found

    def heads(self, beginning: str, seconds: float, clock: Callable[[], float]) -> Heads:
        """How the values of all keys with a beginning lie in etcd, page by page; no value leaves this function.

        :param seconds: after which no further page is asked for
        :raises HardeningError: it does not say
        """
        end, over = beginning[:-1] + chr(ord(beginning[-1]) + 1), clock() + seconds
        found, first, limit = Heads(), beginning.encode(), _PAGE
        client = self._reading_client()
        while True:
            question = {"key": _coded(first), "range_end": _coded(end.encode()), "limit": str(limit)}
            page, count = self._range(question, client)
            if page is None and limit > 1:
                limit //= 2
                continue
            if page is None:  # one that is too large to be read: it stays unseen
                page, count = self._range({**question, "keys_only": True}, client)
            elif page:
                for entry in page:
                    key = _decoded(entry.get("key")).decode("utf-8", "replace")
                    found.add(key, _decoded(str(entry.get("value") or "")[:_HEAD]))
                limit = min(2 * limit, _LARGEST_PAGE)
            found.count = found.count or count
            if not page or len(page) >= count or clock() >= over:
                return found
            first = _decoded(page[-1].get("key")) + b"\0"

    def stored(self, key: str, marker: bytes = b"") -> tuple[Stored | None, bool]:
        """How a value is stored, None where there is none, and whether a marker stands in it.

        The value itself never leaves this function.

        :raises HardeningError: it does not say
        """
        found, _count = self._range({"key": _coded(key.encode())}, self._reading_client())
        if not found:
            return None, False
        value = _decoded(found[0].get("value") or "")
        return _stored(key, value), bool(marker) and marker in value

    def _reading_client(self) -> ApiClient:
        try:
            return self._client(self._address)
        except (OSError, ValueError) as error:
            raise HardeningError(
                "KH502", f"etcd could not be asked: {getattr(error, 'strerror', None) or error}"
            ) from None

    def _range(self, question: dict[str, Any], client: ApiClient) -> tuple[list[dict[str, Any]] | None, int]:
        """What a range has, None where that is more than is read, and how many there are in it without a limit."""
        answer = client.post(_RANGE, json.dumps(question))
        if answer.reason == TOO_LARGE:
            return None, 0
        try:
            document = json.loads(answer.body) if answer.status == 200 else None
        except ValueError as error:
            raise HardeningError("KH502", f"etcd could not be asked: {error}") from None
        if not isinstance(document, dict):
            raise HardeningError(
                "KH502", f"etcd could not be asked: {_RANGE} answered {answer.status or answer.reason}"
            )
        found, count = document.get("kvs") or [], str(document.get("count") or 0)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found) or not count.isdecimal():
            raise HardeningError("KH502", _STRANGE)
        return found, int(count)

    def _unwell_at(self, address: str) -> str:
        answer = self._client(address).get(_HEALTH)
        return "" if answer.status == 200 else f"{_HEALTH} answered {answer.status or answer.reason}"

    def _client(self, address: str) -> ApiClient:
        credentials = Kubeconfig(
            path=self._certificate,
            context="",
            user="etcd",
            server=address,
            ca=small_files.read(self._ca),
            certificate=small_files.read(self._certificate),
            key=small_files.read(self._key),
        )
        return ApiClient(credentials, timeout=self._timeout)


def _stored(key: str, value: bytes) -> Stored:
    match = _ENCRYPTED.match(value)
    if match is None:
        return Stored(key)
    provider, version, name = (piece.decode("utf-8", "replace") for piece in match.groups())
    return Stored(key, f"{provider} {version}" if provider == "kms" else provider, name)


def _coded(text: bytes) -> str:
    return base64.b64encode(text).decode("ascii")


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise HardeningError("KH502", _STRANGE) from None


def _member(entry: dict[str, Any]) -> Member:
    urls = tuple(str(url) for url in entry.get("clientURLs") or [])
    return Member(str(entry.get("name") or ""), urls, entry.get("isLearner") is True)
