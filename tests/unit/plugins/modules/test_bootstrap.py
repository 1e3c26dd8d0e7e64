# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two modules by which nodes join: what each call returns to the play, and what it leaves alone."""

from __future__ import annotations

import base64
import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible_collections.kubeharden.core.plugins.action.bootstrap_tokens import ActionModule
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bootstrap, sealed
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubectl
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    bootstrap as rollout,
    bootstrap_tokens as tokens,
    one_time,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import Store
from ansible_collections.kubeharden.core.plugins.modules import bootstrap_tokens, kubelet_bootstrap
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_bootstrap import (
    BOOTSTRAP,
    DISCOVERY,
    KUBEADMS_DROP_IN,
    ROTATES,
    TOKEN,
    UNIT,
    Api,
    Machine,
    files_of_control_plane,
    said,
)

CA = files_of_control_plane("/etc/kubernetes/pki/ca.crt") or b""


def module(check: bool = False, **parameters: t.Any) -> t.Any:
    """What a module's work is given."""
    common: dict[str, t.Any] = {
        "root_seed": None,
        "run_id": "run",
        "cluster": None,
        "given": None,
        "rotates": ROTATES,
    }
    return types.SimpleNamespace(params={**common, **parameters}, check_mode=check, tmpdir="/none", _diff=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "w3", UNIT, KUBEADMS_DROP_IN)


def lay(machine: Machine, action: str, check: bool = False, **given: t.Any) -> dict[str, t.Any]:
    """The second call on the node."""
    told = {"action": action, "sealed": "", "ends": "", **given}
    cluster = {} if action == "remove" else said(CA).as_data()
    return kubelet_bootstrap.work(module(check, root=str(machine.root), cluster=cluster, given=told))


def test_a_look_says_what_the_node_is_and_changes_nothing(machine: Machine) -> None:
    before = machine.files()
    result = kubelet_bootstrap.work(module(root=str(machine.root)))
    assert result["node"] == {
        "node_name": "w3",
        "state": "new",
        "token_id": "",
        "spent": False,
        "authorities": None,
        "receiver": "",  # a directory gets no token
    }
    assert (result["changed"], machine.files()) == (False, before)


def test_what_was_sealed_is_opened_and_laid(machine: Machine) -> None:
    store = Store(Host(str(machine.root)), "run")
    public = base64.b64decode(one_time.ask(store))
    closed = base64.b64encode(sealed.seal(TOKEN, public, rollout.context("run", "w3"))).decode()
    result = lay(machine, "make", sealed=closed, ends="2027-01-15T09:00:00Z")
    assert result["changed"]
    assert result["backup"] == "/var/lib/kubeharden/backups/run"
    assert "The token of w3 ends at 2027-01-15T09:00:00Z." in result["notes"]
    assert TOKEN.decode() in machine.read(BOOTSTRAP[1:])
    assert TOKEN.decode() not in str(result)
    assert store.waiting() == {}
    assert not lay(machine, "keep")["changed"]


def test_check_mode_lays_nothing(machine: Machine) -> None:
    before = machine.files()
    result = lay(machine, "make", check=True)
    assert (result["changed"], result["backup"], machine.files()) == (True, "", before)


def test_what_is_spent_is_removed(machine: Machine) -> None:
    machine.lay(BOOTSTRAP[1:], bootstrap.kubeconfig_with("https://lb:6443", CA, TOKEN.decode()).decode())
    assert lay(machine, "remove", check=True)["changed"]
    assert [change["action"] for change in lay(machine, "remove")["changes"]] == ["remove"]
    assert not (machine.root / BOOTSTRAP[1:]).exists()


# Through the API


def asked(check: bool = True, root: str = "/", **node: t.Any) -> t.Any:
    found = {"node_name": "w3", "state": "new", "token_id": "", "spent": False, "authorities": None, **node}
    discovery = {**DISCOVERY, "admin_kubeconfig": "/etc/kubernetes/admin.conf"}
    more = {"discovery": discovery, "nodes": [found], "minutes": 30, "endpoint": "", "kubectl": None}
    return module(check, root=root, **more)


def test_a_directory_has_no_api() -> None:
    result = bootstrap_tokens.work(asked(root="/none"))
    assert (result["changed"], result["given"]) == (False, {})
    assert result["not_done"] == ["No bootstrap token was made, which takes a running cluster."]


@pytest.mark.parametrize(
    ("node", "action", "count"),
    [({}, "make", 4), ({"state": "joined", "token_id": "abcdef", "spent": True}, "remove", 0)],
)
def test_check_mode_asks_and_makes_nothing(
    monkeypatch: pytest.MonkeyPatch, node: dict[str, t.Any], action: str, count: int
) -> None:
    api = Api()
    before = dict(api.objects)
    cluster_of = tokens.cluster_of
    monkeypatch.setattr(kubectl, "on_host", lambda *_arguments: api.kubectl)
    monkeypatch.setattr(tokens, "cluster_of", lambda *given: cluster_of(given[0], given[1], "", files_of_control_plane))
    monkeypatch.setattr(bootstrap_tokens, "runner", lambda _module: api)
    result = bootstrap_tokens.work(asked(**node))
    assert result["given"] == {"w3": {"action": action, "sealed": "", "ends": ""}}
    assert len(result["changes"]) == count
    assert bool(result["cluster"]) is (action == "make")
    assert api.objects == before
    assert "ends: after 30 minutes" in str(result["changes"]) or action == "remove"


@pytest.mark.parametrize(("check", "word"), [(True, "would be"), (False, "was")])
def test_the_account_says_what_was_done_through_a_host_that_has_no_line_in_it(
    monkeypatch: pytest.MonkeyPatch, check: bool, word: str
) -> None:
    changes = [{"action": "create", "target": "a"}, {"action": "remove", "target": "b"}]
    monkeypatch.setattr(HostAction, "execute", lambda *_arguments: {"changes": changes, "notes": ["n"]})
    action = ActionModule.__new__(ActionModule)
    action._task = types.SimpleNamespace(delegate_to="cp1", check_mode=check)
    assert action.execute({}, {})["notes"] == [f"Through cp1 {word} done: create a, remove b.", "n"]
    changes.clear()
    assert action.execute({}, {})["notes"] == ["n"]
