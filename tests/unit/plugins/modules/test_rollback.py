# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet goes back when no API server verifies what it serves any more, by the parts' own words."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    approvals,
    cluster_health,
    sight,
    watch,
)
from ansible_collections.kubeharden.core.plugins.modules import rollback
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import World

API = "/etc/kubernetes/manifests/kube-apiserver.yaml"
KUBELET = "/var/lib/kubelet/config.yaml"
POD = """apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.1
    command:
    - kube-apiserver
    - --v=1
"""
BEFORE = {API: POD, KUBELET: "kind: KubeletConfiguration\n"}
AFTER = {
    API: f"{POD}    - --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt\n",
    KUBELET: "kind: KubeletConfiguration\nserverTLSBootstrap: true\n",
}
FOUND = {
    "node_name": "cp1",
    "admin_kubeconfig": None,
    "runtime_socket": None,
    "components": {"kube-apiserver": {"manifest": API}},
    "kubelet": {"configuration_file": KUBELET, "configuration": {}},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A directory that stands for a control plane which one run has changed."""
    made = Host(str(tmp_path))
    backup = Backup(made, "hard")
    for path, text in BEFORE.items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        backup.save_changes([file_change("file", path, text, AFTER[path], [])])
        file.write_text(AFTER[path], encoding="utf-8")
    return made


def put_back(
    host: Host, capsys: pytest.CaptureFixture[str], part: str, check: bool = False, **options: Any
) -> dict[str, Any]:
    given = {"root": host.path("/"), "run_id": "back", "discovery": FOUND, "runs": ["hard"], "part": part, **options}
    with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        rollback.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def text(host: Host, path: str) -> str:
    return Path(host.path(path)).read_text(encoding="utf-8")


@pytest.mark.parametrize("check", [True, False])
def test_static_pods_say_whether_kubelets_are_verified_when_they_are_back(
    host: Host, capsys: pytest.CaptureFixture[str], check: bool
) -> None:
    assert put_back(host, capsys, "static_pods", check)["verifies_kubelets"] is False
    assert (text(host, API) == POD) is not check


def test_a_manifest_that_is_somebody_elses_by_now_goes_on_verifying(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(host.path(API), "a", encoding="utf-8") as stream:
        stream.write("# by hand\n")
    assert put_back(host, capsys, "static_pods")["verifies_kubelets"] is True


@pytest.mark.parametrize("servers", [{}, {"cp1": True}, {"cp1": False, "cp2": None}])
def test_a_kubelet_stays_verified_and_so_its_run_is_not_put_back_yet(
    host: Host, capsys: pytest.CaptureFixture[str], servers: dict[str, bool | None]
) -> None:
    approvals.note(host, "hard")
    put_back(host, capsys, "static_pods")
    result = put_back(host, capsys, "kubelet", api_servers=servers)
    assert not result["changed"]
    assert [f"{KUBELET} stays as it is" in sentence for sentence in result["not_done"]] == [True]
    assert text(host, KUBELET) == AFTER[KUBELET]
    put_back(host, capsys, "end", api_servers=servers)
    (run,) = [one for one in past_runs(host) if one.run_id == "hard"]
    assert not run.undone_by
    assert approvals.are_ours(host)
    back = put_back(host, capsys, "kubelet", api_servers={"cp1": False})
    assert (back["changed"], back["not_done"]) == (True, [])
    assert text(host, KUBELET) == BEFORE[KUBELET]
    put_back(host, capsys, "end", api_servers={"cp1": False})
    (run,) = [one for one in past_runs(host) if one.run_id == "hard"]
    assert run.undone_by == "back"
    assert not approvals.are_ours(host)


def test_a_rollback_that_left_it_came_to_its_end_all_the_same(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The next one without a name puts back the last run, and not all that this one was asked for."""
    put_back(host, capsys, "static_pods")
    put_back(host, capsys, "kubelet", api_servers={"cp1": True})
    put_back(host, capsys, "end", api_servers={"cp1": True})
    (run,) = [one for one in past_runs(host) if one.undoes]
    assert run.finished
    assert os.path.exists(host.path("/var/lib/kubeharden/backups/hard"))


def test_the_next_one_finishes_a_rollback_that_died_in_its_last_step(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has nothing to change and no record of its own; else the host would keep what is put back for ever."""
    for part in ("static_pods", "kubelet"):
        put_back(host, capsys, part, api_servers={"cp1": False})
    put_back(host, capsys, "end", run_id="next")
    runs = {one.run_id: one for one in past_runs(host)}
    assert set(runs) == {"hard", "back"}
    assert (runs["hard"].undone_by, runs["back"].finished) == ("next", True)


def test_what_a_run_changed_in_the_api_waits_on_a_node_that_cannot_ask_it_any_more(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    Backup(host, "hard").note("api_object", "ConfigMap kube-system/kube-proxy", before="a", after="b")
    for part in ("static_pods", "kubelet"):
        put_back(host, capsys, part, api_servers={"cp1": False})
    for part in ("cluster", "end"):
        result = put_back(host, capsys, part, waiting=True)
        (sentence,) = result["not_done"]
        assert sentence.startswith("ConfigMap kube-system/kube-proxy wait, since kubeharden_kubeconfig names no")
    assert not next(one for one in past_runs(host) if one.run_id == "hard").undone_by
    # Where it is known who can be asked an earlier part has said why.
    asked = {**FOUND, "admin_kubeconfig": "/root/api.conf"}
    assert put_back(host, capsys, "end", waiting=True, discovery=asked)["not_done"] == []


@pytest.mark.parametrize(
    ("live", "ready", "said"), [(True, True, True), (True, False, False), (True, None, False), (False, True, False)]
)
def test_a_node_that_was_not_ready_need_not_be_so_after(
    monkeypatch: pytest.MonkeyPatch, live: bool, ready: bool | None, said: bool
) -> None:
    asked: list[Any] = []

    def probe(*given: Any) -> Any:
        asked.append(given)
        return lambda _since: ready

    monkeypatch.setattr(cluster_health, "node_probe", probe)
    found = {"node_name": "w1", "kubelet": {"kubeconfig": "/etc/kubernetes/kubelet.conf"}}
    module: Any = type("Module", (), {"params": {"discovery": found}})
    assert rollback.is_ready(module, type("Host", (), {"live": live})) is said
    assert asked == ([("/etc/kubernetes/kubelet.conf", "w1")] if live else [])


@pytest.mark.parametrize("part", ["static_pods", "kubelet"])
@pytest.mark.parametrize("check", [True, False])
def test_each_part_that_restarts_says_whether_the_node_was_ready_before(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, part: str, check: bool
) -> None:
    path = API if part == "static_pods" else KUBELET
    seen: list[bool] = []

    def ready(_module: Any, _host: Any) -> bool:
        seen.append(text(host, path) == AFTER[path])
        return True

    monkeypatch.setattr(rollback, "is_ready", ready)
    servers = {"cp1": False}
    assert put_back(host, capsys, part, check, api_servers=servers)["was_ready"] is not check
    assert seen == ([] if check else [True])
    assert put_back(host, capsys, part, api_servers=servers)["was_ready"] is check


@pytest.mark.parametrize(
    ("known", "live", "serves", "said"),
    [("", True, True, "served"), ("", True, False, "lost"), ("lost", True, True, "lost"), ("", False, True, "")],
)
def test_the_front_door_is_asked_once_before_anything_goes_back(
    monkeypatch: pytest.MonkeyPatch, known: str, live: bool, serves: bool, said: str
) -> None:
    monkeypatch.setattr(sight, "build", lambda *_arguments, allow_expired: "the host" if allow_expired else "refused")
    monkeypatch.setattr(watch, "serves", lambda view: serves if view == "the host" else None)
    params = {"front_door": known, "discovery": FOUND}
    module: Any = type("Module", (), {"params": params, "run_command": None})
    assert rollback.front_door(module, type("Host", (), {"live": live})) == said


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (True, "a and b wait until the API can be asked. The client certificate in {} ended 1961-01-01"),
        (False, "a and b wait until the API answers; run rollback.yml again then."),
    ],
)
def test_it_is_said_until_when_the_apis_objects_wait(tmp_path: Path, ended: bool, said: str) -> None:
    world, kubeconfig = World(), tmp_path / "admin.conf"
    if ended:
        world.end_the_administrator()
    data = base64.b64encode(world.admin.certificate or b"").decode("ascii")
    user = {"client-certificate-data": data, "client-key-data": data} if ended else {"token": "t"}
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}],
        "users": [{"name": "u", "user": user}],
    }
    kubeconfig.write_text(json.dumps(document), encoding="utf-8")
    assert rollback.unanswered("a and b", str(kubeconfig)).startswith(said.format(kubeconfig))
