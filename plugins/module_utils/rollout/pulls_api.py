# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ways to let nodes pull images: lists through kubectl, which may be long; pods by a request each."""

from __future__ import annotations

import concurrent.futures
import json
import time
import typing as t
from urllib.parse import quote

from ansible_collections.kubeharden.core.plugins.module_utils.controls.pulls import PROBE
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import load
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import Run, on_host
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pulls import Cluster

#: Statuses of an API that may say something else in a moment; 0 is no answer.
_AGAIN = (0, 409, 429, 500, 502, 503, 504)
_MOST_WORDS = 200
#: Requests at a time: each is a connection of its own, most of which is spent waiting.
_AT_ONCE = 8
_T = t.TypeVar("_T")
_R = t.TypeVar("_R")


def build(
    run: Run, admin_kubeconfig: str, program: str | None, sleep: t.Callable[[float], None] = time.sleep
) -> Cluster:
    """Return how the cluster is seen and asked.

    Args:
        run: Runs a command of the host.
        admin_kubeconfig: The administrator's kubeconfig on the host.
        program: The kubectl, None for the usual places.
        sleep: Waits that many seconds.
    """
    kubectl = on_host(program, admin_kubeconfig, run)
    client = ApiClient(load(admin_kubeconfig), timeout=10.0)

    def create(document: dict[str, t.Any]) -> str | None:
        return of_creation(client.post(_pods(document["metadata"]["namespace"]), json.dumps(document)))

    def remove(namespace: str, name: str) -> str:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        return of_removal(client.delete(f"{_pods(namespace)}/{quote(name, safe='')}", json.dumps(options)))

    return Cluster(
        pods=lambda: kubectl.list_objects("/api/v1/pods"),
        nodes=lambda: kubectl.list_objects("/api/v1/nodes"),
        probes=lambda: kubectl.list_objects(f"/api/v1/pods?labelSelector={quote(PROBE, safe='')}"),
        create=create,
        remove=remove,
        clock=time.monotonic,
        sleep=sleep,
        at_once=several,
    )


def several(ask: t.Callable[[_T], _R], items: t.Sequence[_T]) -> list[_R]:
    """Ask the API for several things at a time, and return the answers in their order."""
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, items))


def of_creation(answer: Answer) -> str | None:
    """Return empty where a pod is there, None where the API is to be asked again, else why it refused."""
    # One that is there already was made by a request whose answer was lost.
    if answer.status == 201 or _said(answer, "reason") == "AlreadyExists":
        return ""
    return None if answer.status in _AGAIN else f"the API refuses a pod for it: {_words(answer)}"


def of_removal(answer: Answer) -> str:
    """Return empty where a pod is gone, else why it is not."""
    return "" if answer.status in (200, 404) else _words(answer)


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"


def _words(answer: Answer) -> str:
    """Return what the API says of a request that it did not fulfil."""
    words = mask(" ".join(_said(answer, "message").split())[:_MOST_WORDS]).rstrip(".")
    return words or f"it answered {answer.status or answer.reason}"


def _said(answer: Answer, field: str) -> str:
    """Return a field of the Status that the API answers with, empty where there is none."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return ""
    return str(document.get(field) or "") if isinstance(document, dict) else ""
