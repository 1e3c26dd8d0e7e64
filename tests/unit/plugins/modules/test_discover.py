# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that died left is undone before anything of this run's own is refused."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import host as hosts
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import sha256
from ansible_collections.kubeharden.core.plugins.module_utils.probes import belonging, kubectl, processes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    api_rights,
    locking,
    named_files,
    readiness,
    recovery,
    sight,
)
from ansible_collections.kubeharden.core.plugins.modules import discover
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes.made_proc import LivingDirectory
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import World, listed

SEEDS = Path(__file__).parents[4] / "inventories" / "demo" / "hosts.orig"
TRIAL = "/etc/kubernetes/manifests/kube-apiserver-kubeharden-trial.yaml"


def parameters(patch: pytest.MonkeyPatch, **options: t.Any) -> dict[str, t.Any]:
    """All of them, with their defaults."""
    made: list[dict[str, t.Any]] = []

    def keep(module: AnsibleModule, *_arguments: t.Any, **_options: t.Any) -> None:
        made.append(module.params)

    patch.setattr(discover, "run", keep)
    with patch_module_args(options):
        discover.main()
    return made[0]


def module_with(given: dict[str, t.Any], tmp_path: Path, check: bool = False) -> t.Any:
    return type("Module", (), {"params": given, "check_mode": check, "run_command": None, "tmpdir": str(tmp_path)})


def test_a_file_that_is_missing_is_told_when_what_a_dead_run_left_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    Journal(host).note(trial={"manifests": [TRIAL], "directory": "/var/lib/kubeharden/trial", "logs": []})
    Path(host.path(TRIAL)).write_text("kind: Pod\n", encoding="utf-8")
    named = {"/etc/kubernetes/theirs.yaml": "kubeharden_theirs"}
    given = parameters(monkeypatch, root=host.root, run_id="r", control_plane=True, named_files=named)
    found = discover.work(module_with(given, tmp_path))
    (problem,) = found["problems"]
    assert problem.startswith("KH011: kubeharden_theirs names /etc/kubernetes/theirs.yaml, which is not on this host.")
    assert not Path(host.path(TRIAL)).exists()
    assert found["notes"] == [f"The trial {TRIAL} of a run that died was taken away."]
    assert found["cluster_lock"] == ""


@pytest.mark.parametrize("check", [True, False])
def test_a_damaged_record_keeps_a_run_from_beginning_though_it_is_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    """It would be met at the end, when nobody can say any more that nothing was changed."""
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    for run_id, text in (("a", "{"), ("b", '{"schema": 2, "began": 1.0, "entries": []}')):
        record = Path(host.path(f"/var/lib/kubeharden/backups/{run_id}/record.json"))
        record.parent.mkdir(parents=True)
        record.write_text(text, encoding="utf-8")
    given = parameters(monkeypatch, root=host.root, run_id="r", control_plane=True)
    (problem,) = discover.work(module_with(given, tmp_path, check))["problems"]
    assert re.search(r"backups/a/record\.json is damaged: .* Nothing was changed;", problem)


@pytest.mark.parametrize(("allowed", "ended"), [(True, True), (True, False), (False, True)])
def test_the_api_is_done_without_where_a_certificate_that_has_ended_keeps_it_away(
    monkeypatch: pytest.MonkeyPatch, allowed: bool, ended: bool
) -> None:
    class Readiness:
        def __init__(self, *_given: object, allow_expired: bool) -> None:
            self._allowed = allow_expired

        def is_closed(self) -> bool:
            return self._allowed and ended

    def refused(*_given: object) -> t.Any:
        raise HardeningError("KH123", "ConfigMap kube-system/kubeadm-config could not be read: they have expired.")

    monkeypatch.setattr(discover, "ask_api", refused)
    monkeypatch.setattr(readiness, "Readiness", Readiness)
    module = t.cast(t.Any, type("Module", (), {"params": {"allow_expired": allowed, "asks_api": False}}))
    if not (allowed and ended):
        with pytest.raises(HardeningError, match="kubeadm-config could not be read"):
            discover.read_api(module, None, {}, None)
        return
    facts, (note,) = discover.read_api(module, None, {}, None)
    assert facts == {}
    assert note.startswith("What the API says of the cluster was not read: ConfigMap kube-system/kubeadm-config")


def test_a_file_that_a_flag_of_the_kubelets_names_is_looked_for_on_a_worker_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = open_host(str(tmp_path / "w1"), str(SEEDS / "w1"), check=False, scratch=str)
    flags = {"kubelet": {"tls-cert-file": "/srv/no.crt"}}
    given = parameters(monkeypatch, root=host.root, run_id="r", extra_flags=flags)
    found = discover.work(module_with(given, tmp_path, True))
    assert found["flag_problems"] == [
        "--tls-cert-file of kubelet names /srv/no.crt, but there is no file /srv/no.crt on this host."
    ]


class Held:
    """The lock of the cluster, which this host has taken for the run."""

    state, leads, notes = "held", True, ()

    def __init__(self, *_arguments: t.Any) -> None:
        pass

    def take(self, last: bool = False) -> None:
        pass


def damage_manifest(host: Host, _patch: pytest.MonkeyPatch) -> None:
    Path(host.path("/etc/kubernetes/manifests/theirs.yaml")).write_text("{{ no: [yaml\n", encoding="utf-8")


def use_name(host: Host, _patch: pytest.MonkeyPatch) -> None:
    Path(host.path("/var/lib/kubeharden/backups/r")).mkdir(parents=True)


def refuse_kubeconfig(_host: Host, patch: pytest.MonkeyPatch) -> None:
    def build(*_arguments: t.Any) -> None:
        raise HardeningError("KH136", "The administrator's certificate has ended.")

    patch.setattr(sight, "build", build)


def refuse_the_api(host: Host, patch: pytest.MonkeyPatch) -> None:
    def read(*_arguments: t.Any) -> None:
        raise HardeningError("KH123", "ConfigMap kube-system/kubeadm-config cannot be read.")

    def require(*_arguments: t.Any) -> None:
        host.live = True  # from here on: what runs on this machine is none of its own

    patch.setattr(sight, "build", lambda *_arguments: "the host")
    patch.setattr(named_files, "require", require)
    patch.setattr(discover, "look_at_front_door", lambda *_arguments: {"served": ""})
    patch.setattr(discover, "look_at_readiness", lambda *_arguments: {})
    patch.setattr(discover, "read_api", read)


def with_fault(place: Path, patch: pytest.MonkeyPatch, fault: t.Callable[[Host, pytest.MonkeyPatch], None]) -> t.Any:
    """The module of a control plane with a fault, of a run that holds the lock of the cluster."""
    host = open_host(str(place / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    given = parameters(patch, root=host.root, run_id="r", control_plane=True, read_api=True)
    patch.setattr(hosts, "open_host", lambda *_arguments: host)
    patch.setattr(locking, "ClusterLock", Held)
    fault(host, patch)
    return module_with(given, place)


@pytest.mark.parametrize(
    ("fault", "number"),
    [(damage_manifest, "KH111"), (refuse_kubeconfig, "KH136"), (refuse_the_api, "KH123")],
)
def test_what_keeps_a_run_from_beginning_says_that_the_cluster_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: t.Callable[[Host, pytest.MonkeyPatch], None], number: str
) -> None:
    found = discover.work(with_fault(tmp_path, monkeypatch, fault))
    assert [problem[:5] for problem in found["problems"]] == [number]
    assert found["cluster_lock"] == "held"


@pytest.mark.parametrize(("fault", "number"), [(use_name, "KH005")])
def test_whatever_ends_it_says_that_the_cluster_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: t.Callable[[Host, pytest.MonkeyPatch], None], number: str
) -> None:
    """Else nobody gives that lock back, and other controllers wait for half an hour."""
    faulty = with_fault(tmp_path, monkeypatch, fault)
    with pytest.raises(HardeningError) as caught:
        discover.work(faulty)
    assert caught.value.number == number
    assert caught.value.facts["cluster_lock"] == "held"


@pytest.mark.parametrize(("served", "read"), [("", True), ("KH140: 4 of 10 requests failed.", False)])
def test_the_front_door_is_asked_before_anything_is_read_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: str, read: bool
) -> None:
    """Else the first request that is lost ends the run as an object that cannot be read."""
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    given = parameters(monkeypatch, root=host.root, run_id="r", control_plane=True, read_api=True)
    asked: list[str] = []

    def is_live(*_arguments: t.Any) -> None:
        host.live = True

    def see(*_arguments: t.Any) -> dict[str, t.Any]:
        asked.append("front door")
        return {"served": served}

    def ask(*_arguments: t.Any) -> tuple[dict[str, t.Any], list[str]]:
        asked.append("API")
        return {"oldest_kubelet": 36}, []

    monkeypatch.setattr(hosts, "open_host", lambda *_arguments: host)
    monkeypatch.setattr(locking, "ClusterLock", Held)
    monkeypatch.setattr(sight, "build", lambda *_arguments: "the host")
    monkeypatch.setattr(named_files, "require", is_live)
    monkeypatch.setattr(discover, "look_at_front_door", see)
    monkeypatch.setattr(discover, "read_api", ask)
    monkeypatch.setattr(discover, "look_at_readiness", lambda *arguments: dict(arguments[-1]))
    found = discover.work(module_with(given, tmp_path))
    assert asked == (["front door", "API"] if read else ["front door"])
    assert found["evidence"] == {"served": served}
    assert ("oldest_kubelet" in found["discovery"]) is read
    assert found["cluster_lock"] == "held"


KUBECONFIG = """\
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.fixture
def w1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A worker that seems to live; this machine's processes are not looked at."""
    host = LivingDirectory(open_host(str(tmp_path / "w1"), str(SEEDS / "w1"), check=False, scratch=str).root)
    host.live = True
    assert host.path("/run/kubeharden/lock").startswith(str(tmp_path))
    monkeypatch.setattr(hosts, "open_host", lambda *_arguments: host)
    monkeypatch.setattr(locking, "ClusterLock", Held)
    monkeypatch.setattr(discover, "look_at_readiness", lambda *arguments: dict(arguments[-1]))
    monkeypatch.setattr(processes, "find", lambda *_arguments: [])
    monkeypatch.setattr(belonging, "find", lambda *_arguments: [])
    (tmp_path / "kubectl").write_text("", encoding="utf-8")
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "api.conf").write_text(KUBECONFIG, encoding="utf-8")
    return host


def asking(host: Host, tmp_path: Path, patch: pytest.MonkeyPatch, **options: t.Any) -> dict[str, t.Any]:
    given = {"root": host.root, "run_id": "r", "kubeconfig": str(tmp_path / "api.conf"), "asks_api": True, **options}
    return discover.work(module_with(parameters(patch, **given), tmp_path))


@pytest.mark.parametrize(
    ("program", "obstacle"),
    [("kubectl", ""), ("none", "there is no kubectl on this host (looked for {}/none); install it, or set")],
)
def test_a_node_that_speaks_says_which_version_it_speaks_with_and_what_keeps_kube_proxy_from_a_change(
    w1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, obstacle: str
) -> None:
    seen = {"version": "1.37.1", "minor": 37, "obstacle": ""}
    monkeypatch.setattr(discover, "look_at_front_door", lambda *_arguments: {"served": ""})
    monkeypatch.setattr(api_rights, "look", lambda *_arguments: seen)
    found = asking(w1, tmp_path, monkeypatch, read_api=True, kubectl=str(tmp_path / program))["discovery"]
    assert found["admin_kubeconfig"] == str(tmp_path / "api.conf")
    assert found["api"]["obstacle"].startswith(obstacle.format(tmp_path))
    assert (found["api"] == seen) is not obstacle


@pytest.mark.parametrize("text", ["", KUBECONFIG.replace("token: t", "exec: {command: aws}")])
def test_a_kubeconfig_that_cannot_be_used_ends_the_run_where_that_node_speaks_and_not_elsewhere(
    w1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "api.conf").write_text(text, encoding="utf-8")
    (problem,) = asking(w1, tmp_path, monkeypatch, read_api=True)["problems"]
    assert re.search(r"^KH118: .*api\.conf.* Nothing was changed; .*kubeharden_kubeconfig", problem)
    (tmp_path / "w1/run/kubeharden/lock").unlink()
    assert asking(w1, tmp_path, monkeypatch)["discovery"]["admin_kubeconfig"] is None


# ---- what a host shows all the same


@pytest.fixture
def cp1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A control plane that seems to live, where the API lists a node that is not Ready, and nothing else runs."""
    host = LivingDirectory(open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str).root)
    host.live = True
    world = World()
    world.stand_in(monkeypatch)
    monkeypatch.setattr(hosts, "open_host", lambda *_arguments: host)
    monkeypatch.setattr(locking, "ClusterLock", Held)
    monkeypatch.setattr(processes, "find", lambda *_arguments: [])
    monkeypatch.setattr(belonging, "find", lambda *_arguments: [])
    monkeypatch.setattr(sight, "build", lambda *_arguments: world.sight())
    monkeypatch.setattr(discover, "look_at_front_door", lambda *_arguments: {"served": "", "apart": 0.0})
    monkeypatch.setattr(discover, "read_api", lambda *_arguments: ({"oldest_kubelet": 36}, []))
    monkeypatch.setattr(kubectl, "on_host", lambda *_arguments: Api())
    return host


class Api:
    """What kubectl is answered."""

    def list_objects(self, _path: str) -> list[dict[str, t.Any]]:
        return [listed("w1", "KubeletNotReady")]


def shown(host: Host, tmp_path: Path, patch: pytest.MonkeyPatch, **options: t.Any) -> dict[str, t.Any]:
    given = {"root": host.root, "run_id": "r", "control_plane": True, "read_api": True, **options}
    found = discover.work(module_with(parameters(patch, **given), tmp_path))
    assert [place["path"] for place in found["evidence"]["room"]][:1] == ["/etc/kubernetes"]
    assert found["evidence"]["now"] > 0
    return found


NOT_READY = [{"name": "w1", "trouble": "KubeletNotReady"}]


def test_a_file_that_is_missing_hides_nothing(cp1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(cp1, tmp_path, monkeypatch, named_files={"/srv/no.yaml": "kubeharden_theirs"})
    assert [problem[:5] for problem in found["problems"]] == ["KH011"]
    assert found["discovery"]["oldest_kubelet"] == 36
    evidence = found["evidence"]
    assert (evidence["nodes"], evidence["served"]) == (NOT_READY, "")
    assert evidence["api"] == {"unwell": "it does not run"}
    assert evidence["etcd"]["unwell"] == ["it does not run on this host"]


def test_of_a_host_that_cannot_be_read_it_is_told_what_it_shows_all_the_same(
    cp1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_manifest(cp1, monkeypatch)
    monkeypatch.setattr(discover, "read_api", lambda *_arguments: pytest.fail("of what was found more is asked for"))
    found = shown(cp1, tmp_path, monkeypatch, named_files={"/srv/no.yaml": "kubeharden_theirs"})
    assert [problem[:5] for problem in found["problems"]] == ["KH111", "KH011"]
    assert "discovery" not in found
    assert (found["evidence"]["nodes"], found["evidence"]["served"]) == (NOT_READY, "")
    assert "api" not in found["evidence"]


def test_an_api_that_tells_one_thing_may_tell_another(
    cp1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: t.Any) -> t.Any:
        raise HardeningError("KH123", "It could not be read.")

    monkeypatch.setattr(discover, "read_api", refused)
    found = shown(cp1, tmp_path, monkeypatch)
    assert (found["problems"], found["evidence"]["nodes"]) == (["KH123: It could not be read."], NOT_READY)
    monkeypatch.setattr(kubectl, "on_host", refused)
    evidence = shown(cp1, tmp_path, monkeypatch)["evidence"]
    assert (evidence["nodes"], evidence["unlisted"]) == ([], "KH123: It could not be read.")
    assert evidence["etcd"]["unwell"] == ["it does not run on this host"]


def test_without_a_kubeconfig_that_can_be_used_nothing_that_is_under_way_is_touched(
    cp1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be proven; what the host shows without the API is told."""
    refuse_kubeconfig(cp1, monkeypatch)
    monkeypatch.setattr(recovery, "recover", lambda *_arguments: pytest.fail("something went back"))
    found = shown(cp1, tmp_path, monkeypatch)
    assert found["problems"] == ["KH136: The administrator's certificate has ended."]
    assert found["discovery"]["node_name"] == "cp1"
    assert "nodes" not in found["evidence"]


@pytest.mark.parametrize("asks", [True, False])
def test_what_a_dead_run_left_of_kube_proxy_is_put_back_through_the_node_that_spoke(
    w1: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    """Without a kubeconfig it waits, and that is said."""
    Journal(w1).note(kube_proxy={"run_id": "dead", "configuration": "", "template": {}, "unheard": []})
    monkeypatch.setattr(recovery, "recover_cluster", lambda *_arguments: ["It went back."])
    notes = asking(w1, tmp_path, monkeypatch, asks_api=asks)["notes"]
    waits = "What run dead left under way in the API when it died waits for harden.yml or rollback.yml with"
    (note,) = notes
    assert note.startswith("It went back." if asks else waits)


LEFT = {"run_id": "x", "saved": [], "after": {}, "manifests": "/etc/kubernetes/manifests", "components": {}}


@pytest.mark.parametrize("in_turn", [True, False])
def test_a_control_plane_recovers_when_its_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_turn: bool
) -> None:
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    Journal(host).note(apply=LEFT)
    given = parameters(monkeypatch, root=host.root, run_id="r", control_plane=True, in_turn=in_turn)
    monkeypatch.setattr(locking, "ClusterLock", Held)
    found = discover.work(module_with(given, tmp_path))
    assert found.get("recovers", False) is in_turn
    assert ("discovery" in found) is not in_turn
    assert found["cluster_lock"] == "held"
    assert ("apply" in Journal(host).read()) is in_turn


@pytest.mark.parametrize(("state", "cluster"), [("held", True), ("unknown", False)])
def test_a_host_of_a_run_without_the_lock_of_the_cluster_is_locked_for_that_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, cluster: bool
) -> None:
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    given = parameters(monkeypatch, root=host.root, run_id="r", control_plane=True, cluster_lock=True, controller="c d")
    monkeypatch.setattr(locking, "ClusterLock", type("Asked", (Held,), {"state": state, "leads": state == "held"}))
    discover.work(module_with(given, tmp_path))
    holder = Lock(host).holder()
    assert holder is not None
    assert holder.cluster is cluster


def joining(host: Host, place: Path, patch: pytest.MonkeyPatch, run_id: str, check: bool = False) -> dict[str, t.Any]:
    made = {"root": host.root, "run_id": run_id, "controller": "c d", "process": run_id, "before_join": True}
    return discover.work(module_with(parameters(patch, **made, in_turn=True), place, check))


def test_a_host_that_is_to_join_is_locked_and_nothing_else_is_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no API, no kubelet and no static pod yet; what a run left to prove there waits for one that can."""
    host = Host(str(tmp_path / "new"))
    (tmp_path / "new/run").mkdir(parents=True)
    Journal(host).note(apply=LEFT)
    assert joining(host, tmp_path, monkeypatch, "one")["discovery"] == {}
    assert "apply" in Journal(host).read()
    holder = Lock(host).holder()
    assert holder is not None
    # No run that has the cluster's lock takes this one for dead: who joins asks for none.
    assert (holder.run_id, holder.cluster) == ("one", False)


@pytest.mark.parametrize("check", [True, False])
def test_of_two_runs_that_prepare_a_host_the_second_removes_nothing_of_the_firsts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    host = Host(str(tmp_path / "new"))
    (tmp_path / "new/run").mkdir(parents=True)
    joining(host, tmp_path, monkeypatch, "one")
    waiting = tmp_path / "new/.kubeharden-key"
    waiting.write_bytes(b"new")
    (tmp_path / "new/key").write_bytes(b"old")
    Journal(host).note(together=[["/.kubeharden-key", "/key", sha256(b"old"), sha256(b"new")]])
    with pytest.raises(HardeningError, match=r"^Run one from c has been at work on this host since") as caught:
        joining(host, tmp_path, monkeypatch, "two", check)
    assert caught.value.number == "KH105"
    assert waiting.read_bytes() == b"new"
    assert "together" in Journal(host).read()


@pytest.mark.parametrize(("without_api", "told"), [(True, [discover.CLOSED]), (False, [])])
def test_a_rollback_says_what_it_does_without_an_administrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_api: bool, told: list[str]
) -> None:
    """Whom the API refuses; a rotation, which renews his certificate, is judged for it elsewhere."""
    host = open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=str)
    given = parameters(
        monkeypatch, root=host.root, run_id="r", control_plane=True, allow_expired=True, without_api=without_api
    )
    asked: list[bool] = []
    monkeypatch.setattr(sight, "build", lambda *arguments: asked.append(arguments[-1]))
    evidence = {"api": {"unwell": "", "closed": True}}
    monkeypatch.setattr(discover, "look_at_readiness", lambda *_arguments: evidence)
    found = discover.work(module_with(given, tmp_path))
    assert (found["notes"], found["evidence"], asked) == (told, evidence, [True])


def test_by_what_names_of_kubelets_are_judged_is_told_without_a_certificate_too(tmp_path: Path) -> None:
    """What cannot be read ends the run where something is approved, and not here."""
    path = tmp_path / "apiserver.crt"
    path.write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    used = [{"component": "kube-apiserver", "flag": "tls-cert-file", "path": str(path)}]
    labels = {"node-role.kubernetes.io/control-plane": "", "zone": "a"}
    node = {"metadata": {"name": "cp1", "labels": labels}, "spec": {}, "status": {"addresses": [{"address": "x"}]}}
    found = discover.serving_names({"node_name": "cp1", "certificates": used}, [node, {"metadata": {"name": "w1"}}])
    kept = {"metadata": {"name": "cp1", "labels": {"node-role.kubernetes.io/control-plane": ""}}}
    assert found == {
        "server": "cp1",
        "names": [],
        "nodes": [
            {**kept, "status": {"addresses": [{"address": "x"}]}},
            {"metadata": {"name": "w1", "labels": {}}, "status": {"addresses": []}},
        ],
    }
