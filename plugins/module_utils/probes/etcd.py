# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an etcd says of itself and of the other members of its cluster, asked over HTTPS with a client certificate."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import small_files
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

#: Answers 200 only after a read that a majority of the members has agreed on, and while there is no alarm.
_HEALTH = "/health"
_MEMBERS = "/v3/cluster/member/list"
_ALARMS = "/v3/maintenance/alarm"
_RANGE = "/v3/kv/range"
_STRANGE = "etcd could not be asked: its answer is not what it should be"
#: What the API server puts before a value that it encrypted: the provider, its version and the key's name.
_ENCRYPTED = re.compile(rb"k8s:enc:([a-z]{1,16}):(v\d):([^:]{1,100}):")


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

    def keys(self, beginning: str, most: int) -> tuple[list[str], int]:
        """The first keys with a beginning, and how many there are. No value is asked for.

        :raises HardeningError: it does not say
        """
        end = beginning[:-1] + chr(ord(beginning[-1]) + 1)
        question = {"key": _coded(beginning), "range_end": _coded(end), "limit": str(most), "keys_only": True}
        answer = self._range(question)
        return [_decoded(entry.get("key")).decode("utf-8", "replace") for entry in answer[0]], answer[1]

    def stored(self, key: str, marker: bytes = b"") -> tuple[Stored | None, bool]:
        """How a value is stored, None where there is none, and whether a marker stands in it.

        The value itself never leaves this function.

        :raises HardeningError: it does not say
        """
        found, _count = self._range({"key": _coded(key)})
        if not found:
            return None, False
        value = _decoded(found[0].get("value") or "")
        match = _ENCRYPTED.match(value)
        if match is None:
            return Stored(key), bool(marker) and marker in value
        provider, version, name = (piece.decode("utf-8", "replace") for piece in match.groups())
        shown = f"{provider} {version}" if provider == "kms" else provider
        return Stored(key, shown, name), bool(marker) and marker in value

    def _range(self, question: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        try:
            answer = self._client(self._address).post(_RANGE, json.dumps(question))
            document = json.loads(answer.body) if answer.status == 200 else None
        except (OSError, ValueError) as error:
            raise HardeningError(
                "KH502", f"etcd could not be asked: {getattr(error, 'strerror', None) or error}"
            ) from None
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


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise HardeningError("KH502", _STRANGE) from None


def _member(entry: dict[str, Any]) -> Member:
    urls = tuple(str(url) for url in entry.get("clientURLs") or [])
    return Member(str(entry.get("name") or ""), urls, entry.get("isLearner") is True)
