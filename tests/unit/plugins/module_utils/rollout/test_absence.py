# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd restarts while its API server is away, forward, backward and after a death at any point."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import absence, control_plane, recovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.absence import Absence
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import (
    ComponentPlan,
    add_companions,
    plan_component,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import STEADY, THIS_STEP
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_control_plane import (
    DIRECTORY,
    PROFILING,
    Place,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Life, World

API = "kube-apiserver"
SCHEDULER = "kube-scheduler"
MANIFEST = f"{DIRECTORY}/{API}.yaml"
ETCD = f"{DIRECTORY}/etcd.yaml"
MOVED = f"/etc/kubernetes/{API}.yaml.taken-away-by-kubeharden"
TLS: dict[str, dict[str, t.Any]] = {"tls-min-version": {"ordered_minimum": "TLS1.2", "control": "tls"}}


class Died(BaseException):
    """The machine lost its power: nothing after this is done."""


class Stacked(Place):
    """A control plane with its own etcd."""

    def __init__(
        self,
        root: Path,
        world: World,
        good: Callable[[Sequence[str]], bool] = lambda _arguments: True,
        members: int = 3,
    ) -> None:
        super().__init__(root, world, good, ("etcd", API, SCHEDULER))
        world.members = {f"cp{number}": "" for number in range(1, members + 1)}
        world.usage = {"etcd": "  --data-dir 'default.etcd'\n  --tls-min-version ''\n    Minimum TLS version.\n"}
        #: Whether the API server's manifest was ever away.
        self.away: set[bool] = set()
        world.always.append(lambda: self.away.add(not self.there(MANIFEST)))

    def there(self, path: str) -> bool:
        return Path(self.host.path(path)).exists()

    def plans(self, *plans: ComponentPlan) -> list[ComponentPlan]:
        """What the module hands over: etcd's plan, others, and the API server's in any case."""
        return add_companions([self.plan("etcd", TLS), *plans], self.unchanged)

    def unchanged(self, component: str) -> ComponentPlan:
        return plan_component(self.host, component, f"{DIRECTORY}/{component}.yaml", {}, {})

    def lives(self, component: str) -> list[Life]:
        """The lives of a component but for trials, in their order."""
        return [
            life
            for life in self.world.lives
            if life.arguments[0] == component
            and "--endpoint-reconciler-type=none" not in life.arguments
            and life.start < life.end
        ]

    def clean(self) -> bool:
        """Nothing of ours is left but the backup."""
        return not self.there(MOVED) and Journal(self.host).read() == {} and self.there(MANIFEST)


def bad(component: str, word: str) -> Callable[[Sequence[str]], bool]:
    return lambda arguments: not (arguments[0] == component and any(one.startswith(word) for one in arguments))


# ---- forward


@pytest.mark.parametrize("changed", [False, True], ids=["etcd alone", "both"])
def test_etcd_restarts_between_the_end_and_the_begin_of_its_api_server(
    tmp_path: Path, world: World, changed: bool
) -> None:
    place = Stacked(tmp_path, world)
    plans = place.plans(*([place.plan(API, PROFILING, text="")] if changed else []))
    seconds = place.apply(*plans)
    assert list(seconds) == ["etcd", API]
    old_etcd, new_etcd = place.lives("etcd")
    old_server, new_server = place.lives(API)
    assert old_server.end <= old_etcd.unwell < old_etcd.end <= new_etcd.start
    assert new_etcd.well + 3 <= new_server.start
    assert "--tls-min-version=TLS1.2" in new_etcd.arguments
    assert ("--profiling=false" in new_server.arguments) is changed
    assert seconds[API] > seconds["etcd"] > 30  # both from the moment at which the API server was taken away
    assert place.clean()
    assert (place.state()[place.host.path(MANIFEST)] == place.before[place.host.path(MANIFEST)]) is not changed


def test_others_are_written_with_the_api_server(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    seconds = place.apply(*place.plans(place.plan(SCHEDULER, PROFILING)))
    assert list(seconds) == ["etcd", API, SCHEDULER]
    assert place.lives(SCHEDULER)[-1].start >= place.lives("etcd")[-1].well


def test_on_a_single_control_plane_all_manifests_are_written_in_one_moment(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world, members=1)
    seconds = place.apply(*place.plans(place.plan(API, PROFILING, text="")), trial=False)
    assert list(seconds) == ["etcd", API]
    assert place.away == {False}
    assert world.time < 50
    assert place.clean()


def test_a_single_control_plane_of_which_only_etcd_changes_does_not_wait_for_the_end(
    tmp_path: Path, world: World
) -> None:
    place = Stacked(tmp_path, world, members=1)
    place.apply(*place.plans())
    assert place.away == {True, False}
    assert place.lives("etcd")[0].unwell < place.lives(API)[0].end <= place.lives(API)[1].start
    assert world.time < 50
    assert place.clean()


def test_etcd_is_never_tried(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    place.apply(*place.plans())
    assert not [name for name in place.kubelet.files if "trial" in name]


def test_without_a_process_the_manifests_are_written_and_nothing_is_taken_away(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    options = control_plane.Options(place.run, True, 1.0)
    assert control_plane.ControlPlane(place.host, options, None, "cp1").apply(place.plans()) == {}
    assert "TLS1.2" in Path(place.host.path(f"{DIRECTORY}/etcd.yaml")).read_text(encoding="utf-8")
    assert place.clean()


# ---- before


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("it is still a learner", "cp2: it is still a learner"), ("/health answered 503", "cp2: /health answered 503")],
)
def test_no_member_restarts_while_another_is_not_well(tmp_path: Path, world: World, trouble: str, words: str) -> None:
    place = Stacked(tmp_path, world)
    world.members["cp2"] = trouble
    said = place.refused(*place.plans())
    assert words in said
    assert "Nothing was changed" in said
    assert place.state() == place.before
    assert True not in place.away


def test_a_flag_that_etcds_own_program_does_not_have_is_refused(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    world.usage["etcd"] = "  --data-dir 'default.etcd'\n  --tls-min-versions ''\n"
    said = place.refused(*place.plans())
    assert said.startswith("etcd on cp1 says itself (--help) that it has no --tls-min-version. Nothing was changed")
    assert place.state() == place.before
    assert True not in place.away


def test_an_etcd_that_says_nothing_of_its_flags_is_told_of(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    world.usage["etcd"] = ""
    plans = place.plans()
    assert "etcd" in place.apply(*plans)
    (etcd,) = [plan for plan in plans if plan.component == "etcd"]
    assert etcd.notes == ["etcd was not asked whether it knows its new flags: it prints no usage."]


def test_a_member_that_becomes_well_is_waited_for(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    world.members["cp2"] = "/health answered 503"
    world.events.append((10.0, lambda: world.members.update({"cp2": ""})))
    assert "etcd" in place.apply(*place.plans())


@pytest.mark.parametrize("away", [False, True], ids=["in the trial", "while the API server ends"])
def test_members_are_looked_at_again_right_before_etcd_is_written(tmp_path: Path, world: World, away: bool) -> None:
    place = Stacked(tmp_path, world)

    def fall() -> None:
        if "trial" in " ".join(place.kubelet.files) and (not away or True in place.away):
            world.members["cp2"] = "/health answered 503"

    world.always.append(fall)
    said = place.refused(*place.plans(place.plan(API, PROFILING, text="")))
    left = "etcd was not touched" if away else THIS_STEP
    assert said.startswith(
        "etcd has members that are not well: cp2: /health answered 503. Its restart on this host could take the "
        f"majority away. {left}; mend them first."
    )
    assert ("The old bytes, modes and owners are back and the old component is proven well" in said) is away
    assert (True in place.away) is away
    assert len(place.lives("etcd")) == 1
    assert place.state() == place.before
    assert place.clean()


def test_an_etcd_that_ended_in_the_trial_is_not_written(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)

    def end() -> None:
        if "trial" in " ".join(place.kubelet.files):
            place.lives("etcd")[0].end = 1.0

    world.always.append(end)
    said = place.refused(*place.plans(place.plan(API, PROFILING, text="")))
    assert said == f"etcd on cp1 does not run any more. {THIS_STEP}; get it running first."
    assert place.state() == place.before


def test_an_api_server_that_does_not_end_leaves_etcd_alone(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    place.kubelet.GONE = 200.0
    said = place.refused(*place.plans(), limit=60.0)
    assert said.startswith("kube-apiserver on cp1 did not end within 60 s")
    assert "so that etcd was not touched" in said
    assert len(place.lives("etcd")) == 1
    assert place.state() == place.before
    assert place.clean()


# ---- the way back


def test_an_etcd_that_does_not_come_up_goes_back_before_its_api_server_does(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world, bad("etcd", "--tls-min-version"))
    said = place.refused(*place.plans(place.plan(API, PROFILING, text="")), trial=False)
    assert said.startswith(
        "etcd on cp1: it did not come up: it ended with exit code 1. This run changed --tls-min-version"
    )
    assert "The old bytes, modes and owners are back and the old component is proven well" in said
    assert place.state() == place.before
    assert place.clean()
    # The API server saw nothing of it but its own end, and came back with its old arguments when etcd was well.
    assert len(place.lives(API)) == 2
    assert place.lives("etcd")[-1].well <= place.lives(API)[-1].start
    assert "--profiling=false" not in place.lives(API)[-1].arguments


def test_an_api_server_that_does_not_come_up_takes_etcd_back_while_it_is_away(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world, bad(API, "--profiling"))
    said = place.refused(*place.plans(place.plan(API, PROFILING, text="")), trial=False)
    assert said.startswith("kube-apiserver on cp1: it did not come up")
    assert place.state() == place.before
    assert place.clean()
    _old, hard, back = place.lives("etcd")
    assert "--tls-min-version=TLS1.2" in hard.arguments
    assert "--tls-min-version=TLS1.2" not in back.arguments
    assert back.well <= place.lives(API)[-1].start


def test_a_slow_etcd_takes_no_time_of_its_api_server_on_the_way_back(tmp_path: Path, world: World) -> None:
    """Each is looked at within a time of its own."""
    place = Stacked(tmp_path, world, bad("etcd", "--tls-min-version"))
    place.kubelet.WELL = place.kubelet.STARTED + 45.0
    said = place.refused(*place.plans(), trial=False, limit=60.0)
    assert "The old bytes, modes and owners are back and the old component is proven well" in said
    assert place.state() == place.before
    assert place.clean()


def test_an_etcd_that_does_not_come_up_with_its_old_bytes_keeps_no_file_from_going_back(
    tmp_path: Path, world: World
) -> None:
    comes_up = [True]
    place = Stacked(tmp_path, world, lambda arguments: arguments[0] != "etcd" or comes_up[0])
    comes_up[0] = False
    said = place.refused(*place.plans(), trial=False, limit=60.0)
    assert "but etcd is not well yet: it was not well within 60 s" in said
    assert place.state() == place.before
    assert place.clean()


def test_what_is_refused_on_the_way_back_is_told_and_the_journal_stays(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Stacked(tmp_path, world, bad("etcd", "--tls-min-version"))

    def refuse(_path: str) -> None:
        raise HardeningError("KH201", "x could not be removed: the file system is read-only.")

    monkeypatch.setattr(absence, "remove_file", refuse)
    said = place.refused(*place.plans(), trial=False)
    assert "x could not be removed" in said
    assert place.there(MANIFEST)
    assert "apply" in Journal(place.host).read()


# ---- death


def die(place: Stacked, when: Callable[[], bool]) -> None:
    """Let a run die as soon as something is so."""

    def look() -> None:
        if when():
            raise Died

    place.world.always.append(look)
    with pytest.raises(Died):
        place.apply(*place.plans(), trial=False)
    place.world.always.remove(look)


def die_half_way(place: Stacked) -> None:
    """Let a run die when the API server's manifest is written and the scheduler's is not, and the former come up."""
    real = control_plane.ControlPlane._lay_manifest

    def lay(self: control_plane.ControlPlane, plan: ComponentPlan, path: str) -> None:
        if plan.component == SCHEDULER:
            raise Died
        real(self, plan, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane.ControlPlane, "_lay_manifest", lay)
        with pytest.raises(Died):
            place.apply(place.plan(API, PROFILING, text=""), place.plan(SCHEDULER, PROFILING), trial=False)
    for _second in range(60):
        place.world.sleep(1.0)


@pytest.mark.parametrize(
    "when",
    [
        lambda place: not place.there(MANIFEST),
        lambda place: len(place.lives("etcd")) == 2,
    ],
    ids=["API server away", "etcd written"],
)
@pytest.mark.parametrize("members", [1, 3])
def test_a_run_that_died_is_undone_in_the_same_order(
    tmp_path: Path, world: World, members: int, when: Callable[[Stacked], bool]
) -> None:
    place = Stacked(tmp_path, world, members=members)
    die(place, lambda: when(place))
    away = not place.there(MANIFEST)
    journal = Journal(place.host)
    assert (MANIFEST if away else ETCD) in recovery.foretell(place.host)[0]
    if away:
        assert place.there(MOVED)
        with pytest.raises(HardeningError, match=r"died while kube-apiserver was away .* its manifest is .*taken-away"):
            recovery.require_presence(place.host, journal)
    else:
        recovery.require_presence(place.host, journal)
    (said,) = recovery.recover(place.host, world.sight(), 300.0)
    assert "died before its change was proven" in said
    assert place.state() == place.before
    assert place.clean()
    assert place.lives("etcd")[-1].well <= place.lives(API)[-1].well <= world.time
    assert recovery.recover(place.host, world.sight(), 300.0) == []


@pytest.mark.parametrize("members", [1, 3])
def test_a_change_that_was_whole_when_the_run_died_is_proven_and_nothing_restarts(
    tmp_path: Path, world: World, members: int
) -> None:
    """Whatever became of the others meanwhile: after a power cut of several hosts this one may be all that is left."""
    place = Stacked(tmp_path, world, members=members)
    die(place, lambda: place.there(MANIFEST) and len(place.lives("etcd")) == 2)
    if members > 1:
        world.members["cp2"] = "/health answered refused"
    written = place.state()
    assert "the next run proves it, or puts " in recovery.foretell(place.host)[0]
    (said,) = recovery.recover(place.host, world.sight(), 300.0)
    assert said == f"Run {place.run} died before its change was proven: it is proven now (etcd, kube-apiserver)."
    assert place.state() == written
    assert place.clean()
    assert (len(place.lives("etcd")), len(place.lives(API))) == (2, 2)
    assert world.time >= max(place.lives("etcd")[-1].well, place.lives(API)[-1].well) + STEADY
    assert recovery.recover(place.host, world.sight(), 300.0) == []


@pytest.mark.parametrize(("servers", "other"), [(["192.0.2.11"], 200), (["192.0.2.11", "192.0.2.12"], 500)])
def test_an_api_server_that_is_well_is_not_put_back_while_no_other_one_is(
    tmp_path: Path, world: World, servers: list[str], other: int
) -> None:
    """Its change is not whole, so that it cannot stay for good."""
    place = Stacked(tmp_path, world)
    die_half_way(place)
    world.servers = servers
    world.others["https://192.0.2.12:6443"] = other
    written, starts = place.state(), len(place.lives(API))
    with pytest.raises(HardeningError) as caught:
        recovery.recover(place.host, world.sight(), 300.0)
    assert caught.value.number == "KH131"
    said = str(caught.value)
    assert ("No other API server serves" if len(servers) == 1 else "192.0.2.12:6443 is not well: /readyz") in said
    assert f"Run {place.run} died before its change of this host was proven; what it left here is well" in said
    assert place.state() == written
    assert len(place.lives(API)) == starts
    # The journal stays, and the next run does it.
    world.servers, world.others = ["192.0.2.11", "192.0.2.12"], {"https://192.0.2.12:6443": 200}
    assert MANIFEST in recovery.recover(place.host, world.sight(), 300.0)[0]
    assert place.state() == place.before


def test_an_api_servers_only_control_plane_has_nobody_to_ask(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world, members=1)
    die_half_way(place)
    assert MANIFEST in recovery.recover(place.host, world.sight(), 300.0)[0]
    assert place.state() == place.before


@pytest.mark.parametrize("members", [1, 3])
def test_who_cannot_ask_which_others_there_are_takes_none_away_where_there_are_several(
    tmp_path: Path, world: World, members: int
) -> None:
    """The administrator's certificate has ended, and the run goes on, as a rollback does."""
    place = Stacked(tmp_path, world, members=members)
    die_half_way(place)
    world.end_the_administrator()
    world.allow_expired = True
    written = place.state()
    if members > 1:
        with pytest.raises(HardeningError, match=r"cannot be asked, since a certificate has ended\. .* is well, and"):
            recovery.recover(place.host, world.sight(), 300.0)
        assert place.state() == written
        return
    assert MANIFEST in recovery.recover(place.host, world.sight(), 300.0)[0]
    assert place.state() == place.before


def test_an_etcd_that_is_well_is_not_put_back_beside_one_that_is_not_and_its_api_server_returns(
    tmp_path: Path, world: World
) -> None:
    place = Stacked(tmp_path, world)
    die(place, lambda: len(place.lives("etcd")) == 2 and world.time >= place.lives("etcd")[-1].well)
    assert not place.there(MANIFEST)
    world.members["cp2"] = "/health answered refused"
    with pytest.raises(HardeningError, match=r"cp2: /health answered refused.* was away .* is there again") as caught:
        recovery.recover(place.host, world.sight(), 300.0)
    assert caught.value.number == "KH133"
    assert place.there(MANIFEST)
    assert len(place.lives("etcd")) == 2
    # All that was left is there now, so that the next run only proves it.
    (said,) = recovery.recover(place.host, world.sight(), 300.0)
    assert said.endswith("it is proven now (etcd, kube-apiserver).")
    assert place.clean()


def test_a_dead_runs_etcd_that_is_not_well_is_told_when_all_is_back(tmp_path: Path, world: World) -> None:
    comes_up = [True]
    place = Stacked(tmp_path, world, lambda arguments: arguments[0] != "etcd" or comes_up[0])
    die(place, lambda: len(place.lives("etcd")) == 2)
    comes_up[0] = False
    with pytest.raises(HardeningError, match=r"etcd was not well with its old manifest .* within 60 s"):
        recovery.recover(place.host, world.sight(), 60.0)
    assert place.state() == place.before
    assert place.clean()


def test_what_a_person_put_back_by_hand_is_no_trouble(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    die(place, lambda: not place.there(MANIFEST))
    Path(place.host.path(MOVED)).rename(place.host.path(MANIFEST))
    recovery.require_presence(place.host, Journal(place.host))
    assert recovery.recover(place.host, world.sight(), 300.0)
    assert place.state() == place.before
    assert place.clean()


def test_an_etcd_that_somebody_else_wrote_since_stays_and_the_api_server_comes_back(
    tmp_path: Path, world: World
) -> None:
    place = Stacked(tmp_path, world)
    die(place, lambda: len(place.lives("etcd")) == 2)
    assert not place.there(MANIFEST)
    etcd = Path(place.host.path(ETCD))
    etcd.write_text(etcd.read_text(encoding="utf-8") + "# upgraded\n", encoding="utf-8")
    upgraded = etcd.read_bytes()
    said = recovery.recover(place.host, world.sight(), 300.0)
    assert f"{MANIFEST} went back" in said[0]
    assert said[1].startswith(f"{ETCD} has been changed by someone else since run")
    assert etcd.read_bytes() == upgraded
    assert Path(place.host.path(MANIFEST)).read_bytes() == place.before[place.host.path(MANIFEST)][0]
    assert place.clean()


def test_an_api_server_that_somebody_laid_anew_stays_and_the_one_that_was_away_goes(
    tmp_path: Path, world: World
) -> None:
    place = Stacked(tmp_path, world)
    die(place, lambda: not place.there(MANIFEST))
    text = Path(place.host.path(MOVED)).read_text(encoding="utf-8") + "# upgraded\n"
    Path(place.host.path(MANIFEST)).write_text(text, encoding="utf-8")
    said = recovery.recover(place.host, world.sight(), 300.0)
    assert said[1].startswith(f"{MANIFEST} has been changed by someone else since run")
    assert Path(place.host.path(MANIFEST)).read_text(encoding="utf-8") == text
    assert place.clean()


def test_the_journal_names_the_absence_before_it_begins(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Stacked(tmp_path, world)
    real, seen = absence.move_file, []

    def move(source: str, target: str) -> None:
        seen.append(Journal(place.host).read()["apply"])
        real(source, target)

    monkeypatch.setattr(absence, "move_file", move)
    place.apply(*place.plans())
    assert len(seen) == 2
    for noted in seen:
        assert noted["away"] == {
            "manifest": MANIFEST,
            "moved_to": MOVED,
            "etcd": f"{DIRECTORY}/etcd.yaml",
            "apart": True,
        }
        assert {entry["path"] for entry in noted["saved"]} == {MANIFEST, f"{DIRECTORY}/etcd.yaml"}
        assert set(noted["components"]) == {"etcd", API}


def test_an_absence_without_processes_does_not_wait(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    one = Absence(place.host, None, MANIFEST, f"{DIRECTORY}/etcd.yaml", apart=True)
    seen = []
    for act in (one.begin, one.begin, one.end):
        act()
        seen.append(one.in_force)
    assert seen == [True, True, False]
    assert one.ended(0.0)
    assert place.state() == place.before


# ---- plans


def test_etcds_change_announces_both_restarts_and_other_changes_their_own(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    plans = {plan.component: plan for plan in place.plans(place.plan(SCHEDULER, PROFILING))}
    (change,) = plans["etcd"].changes()
    assert change.restart == ("etcd", API)
    assert plans[API].changes() == []
    assert plans[API].restarts
    assert plans[SCHEDULER].changes()[0].restart == (SCHEDULER,)


def test_an_etcd_that_stays_as_it_is_takes_nobody_along(tmp_path: Path, world: World) -> None:
    place = Stacked(tmp_path, world)
    plans = add_companions([place.unchanged("etcd")], place.unchanged)
    assert [plan.component for plan in plans] == ["etcd"]
    assert place.apply(*plans) == {}
    assert place.state() == place.before
