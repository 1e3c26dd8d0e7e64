# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane and a kubelet go back through the gate that a change goes through, also where nothing is well."""

from __future__ import annotations

import os
import stat
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Memory
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import recovery, watch, way_back
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import Options
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubelet import Kubelet
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import FILES, KUBELET, Seen, Step, Undo
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.way_back import (
    KubeletBack,
    StaticPodsBack,
    put_rest_back,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout import test_kubelet as kubelets
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_absence import TLS, Died, Stacked
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_control_plane import (
    API,
    DIRECTORY,
    POLICY,
    PROFILING,
    THREE,
    Place,
    always,
    without,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import World

BACK = "20260202T000000Z-0000"
ALONE: t.Mapping[str, str] = MappingProxyType({})
CP2 = "https://192.0.2.12:6443"
CP3 = "https://192.0.2.13:6443"
NOTHING = Seen(lambda _name: None, lambda _name: None, lambda _name: False)


def steps_of(host: Host, found: t.Mapping[str, t.Any]) -> list[Step]:
    return Undo(host, past_runs(host), found, NOTHING, foretell=False).plan()


class Back:
    """Puts the runs of a place back."""

    def __init__(self, place: Place, components: Sequence[str]) -> None:
        self.place = place
        self.manifests = {name: f"{DIRECTORY}/{name}.yaml" for name in components}
        self.found = {"components": {name: {"manifest": path} for name, path in self.manifests.items()}}

    def static_pods(
        self,
        trial: bool = True,
        limit: float = 300.0,
        live: bool = True,
        beside: t.Mapping[str, str] = ALONE,
        front_door: bool = True,
    ) -> dict[str, float]:
        sight = self.place.world.sight() if live else None
        options = Options(BACK, trial, limit, api_servers=beside, front_door=front_door)
        made = StaticPodsBack(self.place.host, options, sight, "cp1", self.manifests)
        seconds = made.put_back(steps_of(self.place.host, self.found))
        self.notes = made.notes
        return seconds

    def rest(self) -> None:
        steps = [step for step in steps_of(self.place.host, self.found) if step.part == FILES]
        put_rest_back(self.place.host, steps, Backup(self.place.host, BACK), lambda _words: (0, "", ""))

    def refused(self, **options: t.Any) -> str:
        with pytest.raises(HardeningError) as caught:
            self.static_pods(**options)
        return str(caught.value)


@pytest.fixture
def make(tmp_path: Path, world: World) -> Callable[..., Back]:
    def made(good: Callable[[Sequence[str]], bool] = always) -> Back:
        place = Place(tmp_path / "host", world, good)
        return Back(place, (API, "kube-controller-manager", "kube-scheduler"))

    return made


@pytest.fixture
def stacked(tmp_path: Path, world: World) -> Back:
    return Back(Stacked(tmp_path / "host", world), ("etcd", API, "kube-scheduler"))


# ---- well


@pytest.mark.parametrize("trial", [True, False])
def test_old_bytes_are_tried_written_and_proven_and_all_is_as_before(make: Callable[..., Back], trial: bool) -> None:
    back = make()
    back.place.apply(back.place.plan(), back.place.plan("kube-scheduler", PROFILING))
    back.place.kubelet.files.clear()
    assert list(back.static_pods(trial)) == [API, "kube-scheduler"]
    assert any("trial" in name for name in back.place.kubelet.files) == trial
    assert Path(back.place.host.path(POLICY)).exists()  # until the manifest that names it is proven gone
    back.rest()
    assert back.place.state() == back.place.before
    assert Journal(back.place.host).read() == {}
    assert back.static_pods() == {}


def test_what_was_not_tried_is_said(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.place.world.memory = Memory(600, 500)
    back.static_pods()
    assert [note.partition(":")[0] for note in back.notes] == ["kube-apiserver was not tried beside the running one"]


def test_only_manifests_and_the_trial_are_ever_seen_in_the_watched_directory(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.static_pods()
    assert {name for name in back.place.kubelet.files if "trial" not in name} == set(
        os.listdir(back.place.host.path(DIRECTORY))
    )


def test_a_file_alone_starts_its_component_again(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.place.run = "20260103T000000Z-abcd"
    back.place.apply(back.place.plan(text="kind: Policy\nrules: []\n"), trial=False)
    runs = [run for run in past_runs(back.place.host) if run.run_id == back.place.run]
    steps = Undo(back.place.host, runs, back.found, NOTHING, foretell=False).plan()
    made = StaticPodsBack(back.place.host, Options(BACK, False, 300.0), back.place.world.sight(), "cp1", back.manifests)
    assert made.put_back(steps)[API] < 10
    assert Path(back.place.host.path(POLICY)).read_text(encoding="utf-8") == "kind: Policy\n"


def test_etcd_goes_back_while_its_api_server_is_away(stacked: Back) -> None:
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS)))
    place.away.clear()
    assert list(stacked.static_pods()) == ["etcd", API]
    assert place.away == {True, False}
    assert place.state() == place.before


def test_without_a_process_the_old_bytes_are_written_all_the_same(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    assert back.static_pods(live=False) == {}
    back.rest()
    assert back.place.state() == back.place.before


def test_what_is_well_is_not_taken_away_while_an_api_server_that_was_well_is_not(make: Callable[..., Back]) -> None:
    """Such as that of the host before, which this rollback has put back and proven."""
    back = make()
    back.place.apply()
    hardened = back.place.state()
    back.place.world.others[CP2] = 500
    said = back.refused(limit=60.0, beside={"cp2": CP2})
    assert "kube-apiserver of cp2 is not well: /readyz answered 500, for 60 s" in said
    assert "broken, put that back first: rollback.yml --limit HOST." in said
    assert back.place.state() == hardened
    assert Journal(back.place.host).read() == {}
    # One that was not well before is not asked (plugin_utils.around), and a node never.
    back.place.world.nodes["w1"] = "KubeletNotReady"
    assert list(back.static_pods()) == [API]


def test_what_is_well_goes_back_though_clients_are_not_served_since_before_the_rollback(
    make: Callable[..., Back],
) -> None:
    """Such as behind a load balancer that takes the answer of a hardened API server for a dead one."""
    back = make()
    back.place.apply()
    world = back.place.world
    real = world.answer
    world.answer = lambda path, server=None: real(path, server) if server else Answer(503)  # type: ignore[method-assign]
    assert not watch.serves(world.sight())
    assert "10 of 10 requests to https://192.0.2.1:6443 failed" in back.refused()
    assert list(back.static_pods(front_door=False)) == [API]
    back.rest()
    assert back.place.state() == back.place.before


@pytest.mark.parametrize("end", [World.end_the_administrator, World.end_the_servers])
def test_what_is_well_goes_back_with_its_proof_though_a_certificate_has_ended(
    make: Callable[..., Back], end: Callable[[World], None]
) -> None:
    """Of putting back the administrator is no part: it is tried, written and proven by the health paths."""
    back = make()
    back.place.apply()
    back.place.kubelet.files.clear()
    world = back.place.world
    end(world)
    world.allow_expired = True
    world.others[CP2] = 200
    # Where it is the servers' the front door loses what is asked of it: then it need not serve (modules/rollback.py).
    served = watch.serves(world.sight())
    assert list(back.static_pods(beside={"cp2": CP2}, front_door=served)) == [API]
    assert any("trial" in name for name in back.place.kubelet.files)
    back.rest()
    assert back.place.state() == back.place.before


def test_old_bytes_that_do_not_come_up_are_seen_by_who_is_refused_too(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    hardened = back.place.state()
    back.place.kubelet._good = with_audit(trial_too=False)
    back.place.world.end_the_administrator()
    back.place.world.allow_expired = True
    assert "it did not come up" in back.refused()
    assert back.place.state() == hardened


def test_the_last_api_server_of_several_is_not_taken_away(make: Callable[..., Back]) -> None:
    """Those of the others are down, and were before; the front door sends clients to them all the same."""
    back = make()
    back.place.apply()
    hardened = back.place.state()
    world = back.place.world
    world.control_planes = THREE
    world.others = {CP2: 0, CP3: 500}
    real = world.answer
    world.answer = lambda path, server=None: real(path, server) if server else Answer(503)  # type: ignore[method-assign]
    starts = len(back.place.kubelet.starts)
    said = back.refused(limit=60.0, front_door=False)
    assert said.startswith("Of the kube-apiservers of cp1, cp2, cp3 only that of cp1 is well, for 60 s.")
    assert said.endswith("--limit HOST. Of one that is gone for good, remove the node (kubectl delete node).")
    assert (back.place.state(), len(back.place.kubelet.starts)) == (hardened, starts)
    # With another one there are clients who do not notice.
    world.others[CP3] = 200
    assert list(back.static_pods(front_door=False)) == [API]


def test_the_last_of_several_that_is_not_well_itself_has_nothing_to_lose(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.place.world.control_planes = THREE
    back.place.world.others = {CP2: 0, CP3: 500}
    ail(back.place, API)
    assert list(back.static_pods()) == [API]
    back.rest()
    assert back.place.state() == back.place.before


def test_where_one_file_has_no_room_none_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is removed needs none, and may be what makes it."""
    host = Host(str(tmp_path))
    for name in ("first", "full/second"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("hard", encoding="utf-8")

    def require(path: str, size: int) -> None:
        if path.endswith("/full"):
            raise HardeningError("KH202", f"The file system of {path} has {size - 1} bytes left.")

    monkeypatch.setattr(way_back, "require_room", require)
    removed = Step(Change("file", "/first", "remove", "hard"), FILES, saved=Saved("/first", "absent"))
    second = Step(
        Change("file", "/full/second", "update", "hard", "before"), FILES, saved=Saved("/full/second", "file")
    )
    with pytest.raises(HardeningError, match="full has 5 bytes left"):
        put_rest_back(host, [removed, second], Backup(host, BACK), lambda _words: (0, "", ""))
    assert (tmp_path / "first").exists()
    put_rest_back(host, [removed], Backup(host, BACK), lambda _words: (0, "", ""))
    assert not (tmp_path / "first").exists()


# ---- what does not come up


def with_audit(trial_too: bool) -> Callable[[Sequence[str]], bool]:
    """An API server that, as of now, needs what the run gave it."""

    def good(arguments: Sequence[str]) -> bool:
        audited = any(word.startswith("--audit-policy-file") for word in arguments)
        return audited or ("--endpoint-reconciler-type=none" in arguments and not trial_too)

    return good


def test_old_bytes_that_fail_their_trial_change_nothing(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    hardened = back.place.state()
    back.place.kubelet._good = with_audit(trial_too=True)
    said = back.refused()
    assert "its trial beside the running one failed" in said
    assert "--audit-policy-file" in said
    assert back.place.state() == hardened


def test_old_bytes_that_do_not_come_up_give_way_to_what_was_there(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    hardened = back.place.state()
    back.place.kubelet._good = with_audit(trial_too=False)
    assert "it did not come up" in back.refused()
    assert back.place.state() == hardened
    assert Journal(back.place.host).read() == {}


# ---- where there is nothing to lose


def test_a_component_that_is_not_well_gets_its_old_bytes_without_a_trial(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.place.kubelet._good = without("audit-policy-file")
    for life in back.place.world.lives:
        life.end = min(life.end, back.place.world.time)
    back.place.kubelet.files.clear()
    assert list(back.static_pods()) == [API]
    assert not any("trial" in name for name in back.place.kubelet.files)
    back.rest()
    assert back.place.state() == back.place.before
    assert Journal(back.place.host).read() == {}


def test_what_is_not_well_goes_back_whatever_the_others_are(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    ail(back.place, API)
    back.place.world.others[CP2] = 500
    assert list(back.static_pods(beside={"cp2": CP2})) == [API]
    back.rest()
    assert back.place.state() == back.place.before


def test_one_that_is_not_well_afterwards_either_keeps_them_and_says_so(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply()
    back.place.world.answers = {"/readyz": 500}
    said = back.refused(limit=60.0)
    assert "What was there before is back on cp1, but kube-apiserver was not well" in said
    assert "It had not been well before either" in said
    back.rest()
    assert back.place.state() == back.place.before


def ail(place: Place, component: str, until: float = 1e9) -> None:
    """From now on a component answers nothing, until so many seconds have passed."""
    (life,) = [one for one in place.world.lives if one.arguments[0] == component and one.end > place.world.time]
    life.well = place.world.time + until


def test_one_look_at_a_busy_host_makes_no_component_unwell(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply(back.place.plan(), back.place.plan("kube-scheduler", PROFILING))
    back.place.kubelet.files.clear()
    ail(back.place, API, 5.0)
    ail(back.place, "kube-scheduler", 20.0)
    assert list(back.static_pods()) == [API, "kube-scheduler"]
    assert {"kube-apiserver-kubeharden-trial.yaml", "kube-scheduler-kubeharden-trial.yaml"} <= back.place.kubelet.files


def test_only_the_one_that_is_not_well_is_forced_and_the_others_are_tried(make: Callable[..., Back]) -> None:
    back = make()
    back.place.apply(back.place.plan(), back.place.plan("kube-scheduler", PROFILING))
    back.place.kubelet.files.clear()
    ail(back.place, "kube-scheduler")
    assert list(back.static_pods()) == ["kube-scheduler", API]
    trials = {name for name in back.place.kubelet.files if "trial" in name}
    assert trials == {"kube-apiserver-kubeharden-trial.yaml"}
    back.rest()
    assert back.place.state() == back.place.before
    assert Journal(back.place.host).read() == {}


def test_an_etcd_that_is_well_stays_while_another_member_is_not(stacked: Back) -> None:
    """A scheduler that is not well must not cost the majority."""
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS), place.plan("kube-scheduler", PROFILING)))
    ail(place, "kube-scheduler")
    place.world.members["cp2"] = "/health answered 503"
    place.kubelet.starts.clear()
    said = stacked.refused()
    assert said.startswith("kube-scheduler of cp1, where something was not well, got back what was there before")
    assert "etcd has members that are not well: cp2: /health answered 503" in said
    assert "broken, put that back first: rollback.yml --limit HOST." in said
    assert [component for component, _arguments in place.kubelet.starts] == ["kube-scheduler"]
    assert Journal(place.host).read() == {}


def test_an_etcd_that_is_not_well_is_forced_whatever_the_others_are(stacked: Back) -> None:
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS)))
    ail(place, "etcd")
    place.world.members["cp2"] = "/health answered 503"
    place.away.clear()
    assert list(stacked.static_pods()) == ["etcd", API]
    assert place.away == {True, False}
    assert place.state() == place.before


@pytest.mark.parametrize("trouble", ["", "/health answered 503"])
def test_etcd_is_to_blame_where_its_api_server_has_nothing_left_to_go_back_to(stacked: Back, trouble: str) -> None:
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS)))
    hardened = place.state()
    ail(place, API)
    place.world.members["cp2"] = trouble
    if trouble:
        said = stacked.refused()
        assert "Its restart on this host could take the majority away. Nothing was changed" in said
        assert "broken, put that back first: rollback.yml --limit HOST." in said
        assert place.state() == hardened
    else:
        assert list(stacked.static_pods()) == ["etcd", API]
        assert place.state() == place.before


def test_an_api_server_that_goes_back_first_leaves_etcd_to_the_next_run_where_that_does_not_help(
    stacked: Back,
) -> None:
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS), place.plan(API, PROFILING, text="")))
    place.world.answers = {"/readyz": 500}
    place.kubelet.starts.clear()
    said = stacked.refused(limit=60.0)
    assert "What the runs changed of etcd is still there; run rollback.yml again." in said
    assert [component for component, _arguments in place.kubelet.starts] == [API]
    place.world.answers = {}
    ail(place, API)
    assert list(stacked.static_pods()) == ["etcd", API]
    assert place.state() == place.before


@pytest.mark.parametrize("step", range(4))
def test_a_death_on_this_way_is_finished_by_the_next_start(
    stacked: Back, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    place = t.cast(Stacked, stacked.place)
    place.apply(*place.plans(place.plan("etcd", TLS)))
    place.world.answers = {"/readyz": 500}
    real, calls = Backup.restore, [0]

    def restore(backup: Backup, saved: Saved, staging: str | None = None) -> None:
        if calls[0] == step:
            raise Died
        calls[0] += 1
        real(backup, saved, staging)

    with monkeypatch.context() as patch:
        patch.setattr(Backup, "restore", restore)
        died = False
        try:
            stacked.static_pods(limit=60.0)
        except Died:
            died = True
        except HardeningError:
            assert calls[0] <= step  # there were fewer steps than that
    place.world.answers = {}
    if died:
        assert recovery.recover(place.host, place.world.sight(), 300.0)
    stacked.rest()
    assert place.state() == place.before
    assert Journal(place.host).read() == {}


def test_a_death_on_the_usual_way_is_proven_where_nothing_but_the_proof_was_left(
    make: Callable[..., Back], monkeypatch: pytest.MonkeyPatch
) -> None:
    back = make()
    back.place.apply()
    hardened = back.place.state()

    def die(*_arguments: t.Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(way_back.ControlPlane, "_prove", die)
        with pytest.raises(Died):
            back.static_pods()
    assert back.place.state() != hardened
    (said,) = recovery.recover(back.place.host, back.place.world.sight(), 300.0)
    assert said.endswith("it is proven now (kube-apiserver).")
    assert back.static_pods() == {}
    back.rest()
    assert back.place.state() == back.place.before


# ---- the kubelet


@pytest.fixture
def node(tmp_path: Path) -> Host:
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    for path, text in kubelets.TEXTS.items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    host = Host(str(tmp_path))
    planned = kubelets.made(host, v="4")
    planned.plan()
    planned.apply(Backup(host, "run-1"), None, 60.0)
    return host


def kubelet_back(host: Host, service: t.Any) -> float | None:
    steps = steps_of(host, {"kubelet": kubelets.FOUND})
    made = KubeletBack(host, kubelets.FOUND, {}, "w1").put_back(steps)
    assert isinstance(made, Kubelet)
    backup = Backup(host, BACK)
    seconds = made.apply(backup, service, 60.0)
    rest = [step for step in steps if step.part == KUBELET and not step.change.restart]
    put_rest_back(host, [*rest, *(step for step in steps if step.part == FILES)], backup, lambda _words: (0, "", ""))
    return seconds


def test_a_kubelet_goes_back_with_all_that_it_needed(node: Host) -> None:
    assert kubelets.texts(node) != kubelets.TEXTS
    assert kubelet_back(node, kubelets.service("", "running")) is not None
    assert kubelets.texts(node) == kubelets.TEXTS
    assert not Path(node.path(kubelets.SYSCTLS)).exists()
    assert Journal(node).read() == {}
    assert kubelet_back(node, kubelets.service("running")) is None


def test_a_kubelet_that_does_not_come_up_with_its_old_files_keeps_what_it_has(node: Host) -> None:
    hardened = kubelets.texts(node)
    with pytest.raises(HardeningError, match="did not come up"):
        kubelet_back(node, kubelets.service("", "auto-restart", "running"))
    assert kubelets.texts(node) == hardened
    assert Path(node.path(kubelets.SYSCTLS)).exists()


# ---- everything else


def test_what_is_no_file_is_put_back_by_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    kernel: list[tuple[str, str]] = []
    monkeypatch.setattr(way_back.Sysctls, "write", lambda _self, name, value: kernel.append((name, value)))

    def run(words: list[str]) -> tuple[int, str, str]:
        calls.append(words)
        return 0, "", ""

    backup = Backup(Host(str(tmp_path)), BACK)
    steps = [
        Step(Change("sysctl", "kernel.panic", "set", "10\n", "0\n"), KUBELET, value="0"),
        Step(Change("override", "/a", "remove", "/a 0600 root root\n"), FILES),
        Step(Change("override", "/b", "set", None, "/b 0644 root sys\n"), FILES, value="/b 0644 root sys\n"),
        Step(Change("user", "etcd", "remove"), FILES),
    ]
    put_rest_back(backup.host, steps, backup, run)
    assert kernel == [("kernel.panic", "0")]
    assert calls == [
        ["dpkg-statoverride", "--remove", "/a"],
        ["dpkg-statoverride", "--force-statoverride-add", "--add", "root", "sys", "644", "/b"],
        ["userdel", "etcd"],
    ]
    assert [entry["kind"] for entry in backup.document()["entries"]] == ["sysctl", "override", "override"]


def test_a_user_that_is_in_use_stays_and_is_said(tmp_path: Path) -> None:
    backup = Backup(Host(str(tmp_path)), BACK)
    with pytest.raises(HardeningError, match="etcd could not be removed: userdel: user etcd is currently used"):
        put_rest_back(
            backup.host,
            [Step(Change("user", "etcd", "remove"), FILES)],
            backup,
            lambda _words: (8, "", "userdel: user etcd is currently used by process 7\n"),
        )


def test_a_directory_gets_its_mode_back_and_keeps_its_times(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "pki"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    host = Host(str(tmp_path))
    run = Backup(host, "run-1")
    status = folder.stat()
    run.save_step("/etc/pki", content=False, after=[0o700, status.st_uid, status.st_gid])
    folder.chmod(0o700)
    (folder / "new").touch()
    times = folder.stat().st_mtime_ns
    put_rest_back(host, steps_of(host, {}), Backup(host, BACK), lambda _words: (0, "", ""))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert folder.stat().st_mtime_ns == times
