# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's ports as another machine finds them: which are open to it, and what those agree to.

The same questions as on the host itself, asked over the network. Only what answers is told: a firewall is no finding.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import socket
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import api_client, listeners
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import shown_certificate
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_ports import WORDS

#: Who asked, as evidence names it.
FROM = "controller"
#: Seconds that a port of old may take: a packet that was lost is sent once more in them, and a firewall that drops all
#: of them does not cost each host the limit of those ports that should answer.
PLAIN_LIMIT = 1.5

Entry = dict[str, t.Any]


def look(address: str, seen: t.Mapping[str, t.Any], now: float, limit: float) -> Entry:
    """Ask from here for every port that a host itself has told of.

    Args:
        address: Where the host is reached.
        seen: What the host's own probes told, as evidence holds it.
        now: Seconds since 1970.
        limit: Seconds that one question may take. All ports are asked at once, and those of old (8080 and 10255), where
            most often nothing is, for no longer than ``PLAIN_LIMIT``.

    Returns:
        ``address``; ``ports``, each with ``component``, ``port``, ``local`` (meant for the host alone) and ``reason``
        (why it was not reached, empty where it was); ``plain``, what the ports of old said; ``tls`` and ``requests`` in
        the form of the host's own. Where what answers is another machine, ``address`` and ``problem`` alone.
    """
    doors = [(one, False) for one in seen.get("tls") or [] if one.get("certificate")]
    doors += [(one, True) for one in (seen.get("local") or {}).get("ports") or []]
    names = _one_each(doors)
    credentials = listeners.stranger(now)
    old = listeners.WITHOUT_CREDENTIALS
    found: Entry = {"address": address, "ports": [], "tls": [], "requests": []}
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(names) + len(old)) as pool:
        plain = pool.map(lambda port: _ask_plain(address, port, old[port], min(limit, PLAIN_LIMIT)), old)
        for told in pool.map(lambda door: _ask(address, door[0], door[1], credentials, now, limit), names):
            for key, entries in told.items():
                found[key] += entries
        found["plain"] = list(plain)
    if _is_another(found["tls"]):
        return {"address": address, "problem": f"what answers the controller at {address} is another machine"}
    return found


def _is_another(entries: t.Sequence[Entry]) -> bool:
    """Return whether certificates were shown, and none of them is one that the host shows to itself."""
    shown = [one for one in entries if one.get("certificate")]
    return bool(shown) and all(one["certificate"]["sha256"] != one["file_sha256"] for one in shown)


def _one_each(doors: t.Iterable[tuple[Entry, bool]]) -> list[tuple[Entry, bool]]:
    """Return each port once; one that speaks TLS and is meant for the host alone is both."""
    by_port: dict[int, tuple[Entry, bool]] = {}
    for one, local in doors:
        known = by_port.get(one["port"])
        by_port[one["port"]] = (known[0], known[1] or local) if known else (one, local)
    return list(by_port.values())


def _ask(
    address: str, inside: Entry, local: bool, credentials: Kubeconfig, now: float, limit: float
) -> dict[str, list[Entry]]:
    component, port = inside["component"], inside["port"]
    where = {"component": component, "address": address, "port": port, "from": FROM}
    reason = _not_reached(address, port, limit)
    told: dict[str, list[Entry]] = {"ports": [{**where, "local": local, "reason": reason}], "tls": [], "requests": []}
    if reason or not inside.get("certificate"):
        return told
    told["tls"].append({**where, **_handshakes(address, port, inside, now, limit)})
    path = listeners.GUARDED[component][0]
    for kind, shown in (("none", None), ("foreign", credentials)):
        answer = listeners.ask(address, port, path, limit, shown)
        told["requests"].append(
            {**where, "path": path, "credentials": kind, "status": answer.status, "reason": answer.reason or ""}
        )
    return told


def _ask_plain(address: str, port: int, path: str, limit: float) -> Entry:
    """Ask a port of old: what leads to a pod, say (``hostPort``), is no socket of the host, which cannot know of it."""
    said = "unreached" if _not_reached(address, port, limit) else listeners.plain_port(address, port, path, limit)
    return {"port": port, "address": address, "from": FROM, "said": said, "words": WORDS[said]}


def _not_reached(address: str, port: int, limit: float) -> str:
    """Return why a port takes no connection, empty where it does."""
    try:
        with socket.create_connection((address, port), limit):
            return ""
    except OSError as error:
        return api_client.reason_of(error)


def _handshakes(address: str, port: int, inside: Entry, now: float, limit: float) -> Entry:
    peer = api_client.tls_peer(address, port, limit)
    if peer.certificate is None:
        found: Entry = {"problem": peer.reason}
    else:
        try:
            found = {"certificate": shown_certificate(peer.certificate, f"{address}:{port}", now)}
        except HardeningError as error:
            found = {"problem": str(error)}
    # What the host serves to itself is what it should serve to others; whether that is what its file holds is judged
    # where the host was asked.
    found["file_sha256"] = inside["certificate"]["sha256"]
    found["old"] = dataclasses.asdict(listeners.try_old(address, port, limit))
    found["weak"] = dataclasses.asdict(listeners.try_weak(address, port, limit))
    return found
