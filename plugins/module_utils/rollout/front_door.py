# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the API's front door sends clients to one API server, known by the certificate that this one shows.

An API server may be well and yet be none for a load balancer whose probe it does not answer any more: each proof on its
own host is good, and with the last one the API is gone.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import INTERVAL, PAUSE, Sight

#: New connections after which a server that no one of them came to is believed not to be behind it. Of three servers
#: that are chosen by chance one is missed by all of them once in three thousand times.
COUNT = 20


def why_unseen(sight: Sight, server: str) -> str:
    """Return why nobody could see there that a server is missing, empty where it is seen beside another one.

    A front door that shows a certificate of its own ends TLS itself; one that shows a single server's alone is an
    address that one of them has at a time, or knows a client again, and may have another one after a restart.

    Args:
        sight: How the host is seen.
        server: The address (https://host:port) of the API server itself.
    """
    where = sight.kubeconfig.server
    if where == server:
        return f"{where} is its own address"
    own = _certificate(server)
    seen: set[bytes] = set()
    for number in range(COUNT):
        if number:
            sight.sleep(PAUSE)
        shown = _certificate(where)
        seen |= {shown} if shown is not None else set()
        if own in seen and len(seen) > 1:
            return ""
    return f"{where} shows its certificate alone" if own in seen else f"{where} does not show its certificate"


def require_behind(sight: Sight, server: str, node: str, limit: float) -> None:
    """Wait until the front door sends somebody to a server that it sent clients to before.

    Args:
        sight: How the host is seen.
        server: As for why_unseen.
        node: The node's name, for the sentence.
        limit: Seconds that this may take: a load balancer's probe must be well a few times first.

    Raises:
        HardeningError: Nobody came there.
    """
    end = sight.clock() + limit
    while True:
        own = _certificate(server)
        if own is not None and own == _certificate(sight.kubeconfig.server):
            return
        if sight.clock() >= end:
            raise HardeningError(
                "KH222",
                f"The API's front door {sight.kubeconfig.server} sent no client to kube-apiserver of {node} within "
                f"{limit:.0f} s after the change, as it did before, though it is well there. Most likely the load "
                "balancer's probe does not take its answers any more; look what it asks for (/readyz answers "
                "everybody).",
            )
        sight.sleep(INTERVAL)


def _certificate(server: str) -> bytes | None:
    address = urlsplit(server)
    return tls_peer(address.hostname or "", address.port or 443).certificate
