# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether kube-proxy may be changed by a kubeconfig that is no administrator's of kubeadm's: asked, never tried."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SYSTEM = "kube-system"
_RBAC, _LEASES = "rbac.authorization.k8s.io", "coordination.k8s.io"

#: What is known of an API server that was not asked.
UNSEEN: t.Mapping[str, t.Any] = {"version": "", "minor": 0, "obstacle": ""}


class Right(t.NamedTuple):
    """What somebody may do; an empty name or namespace stands for all of them."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""
    namespace: str = _SYSTEM

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        place = f" in {self.namespace}" if self.namespace else ""
        return " ".join(word for word in (self.verb, kind, self.name) if word) + place


#: What a run asks of the API to change kube-proxy, prove it and put it back, under the lock of the cluster.
RIGHTS = (
    *(Right(verb, "configmaps", name="kube-proxy") for verb in ("get", "update")),
    *(Right(verb, "daemonsets", "apps", "kube-proxy") for verb in ("get", "update")),
    Right("list", "pods"),
    Right("get", "pods/proxy"),
    Right("get", "services", name="kubernetes", namespace="default"),
    Right("list", "nodes", namespace=""),
    Right("list", "clusterrolebindings", _RBAC, namespace=""),
    Right("list", "rolebindings", _RBAC, namespace=""),
    Right("create", "leases", _LEASES),
    *(Right(verb, "leases", _LEASES, "kubeharden") for verb in ("get", "update", "delete")),
)


def look(client: ApiClient, kubeconfig: str) -> dict[str, t.Any]:
    """Return the API server's version, and what keeps a run from changing kube-proxy, in a clause; empty for nothing.

    Args:
        client: With the kubeconfig's credentials.
        kubeconfig: Its path, for the sentence.
    """
    answer = client.get("/version")
    found = {**UNSEEN, **_version(answer)}
    if not found["version"]:
        words = f"the API server did not tell its version to the user of {kubeconfig}: {_words(answer)}"
        return {**found, "obstacle": words}
    refused: list[str] = []
    for right in RIGHTS:
        answer = client.post(_REVIEWS, json.dumps(_review(right)))
        allowed = _allowed(answer)
        if allowed is None:
            words = f"the API server did not say what the user of {kubeconfig} may do: {_words(answer)}"
            return {**found, "obstacle": words}
        if not allowed:
            refused.append(str(right))
    if refused:
        found["obstacle"] = f"the user of {kubeconfig} may not {', '.join(refused)}"
    return found


def clause(sentence: str) -> str:
    """Return the words of an error of this host as a clause, without what it says of a run."""
    words = sentence.replace(". Nothing was changed;", ";", 1).rstrip(".")
    return words[:1].lower() + words[1:]


def _version(answer: Answer) -> dict[str, t.Any]:
    text = str(_document(answer, 200).get("gitVersion"))
    try:
        minor = versions.version_of(text)[1]
    except HardeningError:
        return {}
    return {"version": text.lstrip("v"), "minor": minor}


def _review(right: Right) -> dict[str, t.Any]:
    resource, _slash, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "name": right.name,
        "namespace": right.namespace,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def _allowed(answer: Answer) -> bool | None:
    """Return what a review says, None where there is none."""
    status = _document(answer, 201).get("status")
    return bool(status.get("allowed")) if isinstance(status, dict) else None


def _document(answer: Answer, status: int) -> dict[str, t.Any]:
    try:
        document = json.loads(answer.body) if answer.status == status else None
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _words(answer: Answer) -> str:
    if answer.status in (200, 201):
        return "its answer is not what it should be"
    return f"it answered {answer.status or answer.reason}"
