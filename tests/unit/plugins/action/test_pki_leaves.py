# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be well before a control plane gets new certificates, from what the run knows of all hosts by then.

And what becomes of requests and answers that wait on the controller.
"""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.kubeconfigs import ActionModule as OfKubeconfigs
from ansible_collections.kubeharden.core.plugins.action.pki_leaves import ActionModule
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_action import PkiAction
from ansible_collections.kubeharden.core.plugins.plugin_utils.requests_directory import RequestsDirectory

NOW = 1_800_000_000.0
HOLDS, OVER = "2028-01-15T08:00:00Z", "2027-01-15T07:00:00Z"
SERVERS = {"api_servers": {"cp1": "https://192.0.2.1:6443", "cp2": "https://192.0.2.2:6443"}}


class Hostvars:
    """What is registered of each host."""

    def __init__(self, known: dict[str, dict[str, t.Any]]) -> None:
        self._known = known

    def raw_get(self, host: str) -> dict[str, t.Any]:
        return self._known[host]


def host(number: int, ends: float = NOW + 1, live: bool = True, **results: t.Any) -> dict[str, t.Any]:
    """A host as discovery left it; a worker from 9 on."""
    server = {"kube-apiserver": {"flags": {"advertise-address": f"192.0.2.{number}"}}}
    return {
        "__discover_found": {
            "discovery": {
                "node_name": f"n{number}",
                "live": live,
                "components": server if number < 9 else {},
                "certificates": [],
            },
            "evidence": {"now": NOW, "certificates": [{"ends": ends}]},
        },
        **results,
    }


def has(end: str, kind: str = "certificate") -> dict[str, t.Any]:
    return {"certificates": [{"kind": kind, "not_after": end}]}


def given(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, dict[str, t.Any]], scope: str, name: str
) -> dict[str, t.Any]:
    """What the module is given of the cluster around a host."""
    told: dict[str, t.Any] = {}

    def execute(_action: t.Any, arguments: dict[str, t.Any], _variables: t.Any) -> dict[str, t.Any]:
        told.update(arguments)
        return {}

    monkeypatch.setattr(PkiAction, "execute", execute)
    action = ActionModule.__new__(ActionModule)
    action._found = {one: known[one]["__discover_found"]["discovery"] for one in known}
    action._target, action._vars = name, {"hostvars": Hostvars(known)}
    action.execute({"scope": scope}, action._vars)
    return {key: told[key] for key in ("api_servers", "nodes") if key in told}


@pytest.mark.parametrize(
    ("first", "worker", "asked"),
    [
        (host(1), host(9), True),
        (host(1, NOW), host(9), False),
        (host(1), host(9, NOW), False),
        # The one before has had its turn; the answers of another host come last.
        (host(1, NOW, __pki_leaves=has(HOLDS)), host(9), True),
        (host(1, NOW, __pki_leaves=has(HOLDS), __pki_answered={"skipped": True}), host(9), True),
        (host(1, NOW, __pki_leaves=has(OVER), __pki_answered=has(HOLDS)), host(9), True),
        (host(1, NOW, __pki_leaves=has(OVER)), host(9), False),
        # Nobody here renews what is its owner's.
        (host(1, NOW, __pki_leaves=has(OVER, "owner")), host(9), True),
    ],
)
def test_every_api_server_must_be_well_and_no_node_but_while_a_certificate_has_ended(
    monkeypatch: pytest.MonkeyPatch, first: dict[str, t.Any], worker: dict[str, t.Any], asked: bool
) -> None:
    known = {"cp1": first, "cp2": host(2), "w1": worker}
    assert given(monkeypatch, known, "due", "cp2") == (SERVERS if asked else {})


@pytest.mark.parametrize(
    ("scope", "name", "live"), [("missing", "cp1", True), ("due", "w1", True), ("due", "cp1", False)]
)
def test_nobody_is_asked_where_nothing_runs_that_could_be_taken_away(
    monkeypatch: pytest.MonkeyPatch, scope: str, name: str, live: bool
) -> None:
    known = {"cp1": host(1, live=live), "cp2": host(2), "w1": host(9)}
    assert given(monkeypatch, known, scope, name) == {}


@pytest.mark.parametrize(
    ("action_of", "stays"),
    [(ActionModule, []), (OfKubeconfigs, ["apiserver.crt", "apiserver.csr"])],
    ids=["pki_leaves", "kubeconfigs"],
)
def test_requests_and_answers_go_only_where_the_host_was_asked_about_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action_of: type[ActionModule], stays: list[str]
) -> None:
    """A certificate that came back and is not taken in yet would have to be signed once more."""
    for name in ("apiserver", "admin.conf"):
        for suffix in ("csr", "crt"):
            (tmp_path / "cp1" / f"{name}.{suffix}").parent.mkdir(exist_ok=True)
            (tmp_path / "cp1" / f"{name}.{suffix}").write_text("outside", encoding="ascii")
    monkeypatch.setattr(PkiAction, "execute", lambda *_rest: {"changed": False, "unsigned": []})
    action = action_of.__new__(action_of)
    action._found, action._target, action._vars = {}, "cp1", {}
    action._task = SimpleNamespace(check_mode=False)
    action._requests = RequestsDirectory(str(tmp_path), "cp1")
    brought: t.Any = SimpleNamespace(certificates=lambda _names: {})
    action._brought = brought, []
    action.execute({"scope": "missing", "outside": ["kubernetes"]}, {})
    assert sorted(path.name for path in (tmp_path / "cp1").iterdir()) == stays
