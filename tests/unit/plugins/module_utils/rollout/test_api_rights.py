# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user of a kubeconfig may not do is seen before anything is tried."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import api_rights

CONF = "/root/api.conf"


class Client:
    """An API server: its version, and by what it is asked for whether that is allowed."""

    def __init__(self, version: t.Any, allows: t.Callable[[dict[str, str]], bool], status: int = 201) -> None:
        self._version, self._allows, self._status = version, allows, status
        self.asked: list[dict[str, str]] = []

    def get(self, path: str) -> Answer:
        assert path == "/version"
        return self._version if isinstance(self._version, Answer) else Answer(200, json.dumps(self._version).encode())

    def post(self, path: str, body: str) -> Answer:
        assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asked = json.loads(body)["spec"]["resourceAttributes"]
        self.asked.append(asked)
        return Answer(self._status, json.dumps({"status": {"allowed": self._allows(asked)}}).encode())


def look(client: Client) -> dict[str, t.Any]:
    return api_rights.look(t.cast(ApiClient, client), CONF)


@pytest.mark.parametrize(
    ("text", "version", "minor"),
    [("v1.37.1", "1.37.1", 37), ("v1.33.5-eks-113cf36", "1.33.5-eks-113cf36", 33), ("v1.36.0+rke2", "1.36.0+rke2", 36)],
)
def test_who_may_do_all_of_it_is_kept_by_nothing(text: str, version: str, minor: int) -> None:
    client = Client({"gitVersion": text, "minor": "33+"}, lambda _asked: True)
    assert look(client) == {"version": version, "minor": minor, "obstacle": ""}
    assert len(client.asked) == len(api_rights.RIGHTS)
    rolled = {"verb": "update", "group": "apps", "resource": "daemonsets", "subresource": "", "name": "kube-proxy"}
    assert {**rolled, "namespace": "kube-system"} in client.asked


def test_what_is_not_allowed_is_said_together() -> None:
    def allows(asked: dict[str, str]) -> bool:
        return asked["verb"] in ("get", "list") and asked["subresource"] != "proxy"

    assert look(Client({"gitVersion": "v1.37.1"}, allows))["obstacle"] == (
        "the user of /root/api.conf may not update configmaps kube-proxy in kube-system, update daemonsets.apps "
        "kube-proxy in kube-system, get pods/proxy in kube-system, create leases.coordination.k8s.io in kube-system, "
        "update leases.coordination.k8s.io kubeharden in kube-system, delete leases.coordination.k8s.io kubeharden in "
        "kube-system"
    )


@pytest.mark.parametrize(
    "version", [Answer(401), Answer(0, reason="timeout"), Answer(200, b"<html>"), {"gitVersion": "x"}, {}, []]
)
def test_a_version_that_is_not_told(version: t.Any) -> None:
    client = Client(version, lambda _asked: True)
    found = look(client)
    assert (found["version"], found["minor"], client.asked) == ("", 0, [])
    assert found["obstacle"].startswith("the API server did not tell its version to the user of /root/api.conf: it")


def test_rights_that_are_not_told() -> None:
    found = look(Client({"gitVersion": "v1.37.1"}, lambda _asked: True, status=403))
    assert found["version"] == "1.37.1"
    assert found["obstacle"] == "the API server did not say what the user of /root/api.conf may do: it answered 403"


def test_an_error_of_the_host_becomes_a_clause() -> None:
    sentence = "There is no kubectl on this host (looked for /a). Nothing was changed; install it, or set x."
    assert api_rights.clause(sentence) == "there is no kubectl on this host (looked for /a); install it, or set x"
