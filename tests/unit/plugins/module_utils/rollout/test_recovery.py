# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that died at any point is undone by the next one, which first says so."""

from __future__ import annotations

import shutil
import typing as t
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import control_plane
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import ControlPlane, Options
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import plan_component
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.recovery import foretell, recover
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.trial import Trial
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Kubelet, World

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1" / "plain"
DIRECTORY = "/etc/kubernetes/manifests"
MANIFEST = f"{DIRECTORY}/kube-apiserver.yaml"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
RUN = "20260101T000000Z-abcd"
FLAGS: dict[str, dict[str, t.Any]] = {
    "audit-policy-file": {"keep": POLICY, "mount": "read_only"},
    "audit-log-path": {"keep": "/var/log/kubernetes/audit/audit.log", "mount": "read_write"},
}


class Died(BaseException):
    """The machine lost its power, or the process its life: nothing after this is done."""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    folder = tmp_path / DIRECTORY.lstrip("/")
    folder.mkdir(parents=True)
    shutil.copy(FIXTURES / "kube-apiserver.yaml", folder)
    return Host(str(tmp_path))


def always(_arguments: Sequence[str]) -> bool:
    return True


def unaudited(arguments: Sequence[str]) -> bool:
    """A component that does not come up with what the run that died wrote."""
    return not any(word.startswith("--audit-policy-file") for word in arguments)


def die(host: Host, world: World, patch: pytest.MonkeyPatch, when: str) -> None:
    """Let a run die at a point: before the first write, between two, or while it waits for the proof."""
    plan = plan_component(host, "kube-apiserver", MANIFEST, FLAGS, {"audit-policy-file": "kind: Policy\n"})
    real = control_plane.write_atomic

    def write(path: str, *arguments: t.Any, **options: t.Any) -> None:
        if path.endswith({"policy": "audit-policy.yaml", "manifest": ".yaml.new", "proof": "none"}[when]):
            raise Died
        if when == "manifest" and path.endswith("kube-apiserver.yaml"):
            raise Died
        real(path, *arguments, **options)

    patch.setattr(control_plane, "write_atomic", write)
    world.events.append((world.time + 20.0, death))
    with pytest.raises(Died):
        ControlPlane(host, Options(RUN, False, 300.0), world.sight(), "cp1").apply([plan])
    patch.setattr(control_plane, "write_atomic", real)


def die_at_work(
    host: Host,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    when: str = "proof",
    accepts: t.Callable[[t.Sequence[str]], bool] = always,
) -> Kubelet:
    """A kubelet that accepts some arguments runs what is there, and a run dies as it changes it."""
    world.runtime = None
    kubelet = Kubelet(world, host, accepts)
    world.sleep(1.0)
    die(host, world, monkeypatch, when)
    return kubelet


def death() -> None:
    raise Died


@pytest.mark.parametrize("when", ["policy", "manifest", "proof"])
def test_a_change_that_was_never_proven_goes_back(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    before = Path(host.path(MANIFEST)).read_bytes()
    die_at_work(host, world, monkeypatch, when, unaudited)
    told = foretell(host)
    assert len(told) == 1
    begin = "the next run proves it, or puts " if when == "proof" else "the next run puts "
    assert told[0].startswith(f"Run {RUN} died before its change was proven; {begin}")
    assert (MANIFEST in told[0]) is (when == "proof")  # what is as it was need not go back
    said = recover(host, world.sight(), 300.0)
    assert [sentence.partition(":")[0] for sentence in said] == [f"Run {RUN} died before its change was proven"]
    assert Path(host.path(MANIFEST)).read_bytes() == before
    assert not Path(host.path(POLICY)).exists()
    assert not Path(host.path("/etc/kubernetes/kubeharden")).exists()
    assert Journal(host).read() == {}
    assert foretell(host) == []
    assert recover(host, world.sight(), 300.0) == []


def test_a_change_of_which_only_the_proof_is_left_is_proven(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its component restarts no second time."""
    kubelet = die_at_work(host, world, monkeypatch)
    written = Path(host.path(MANIFEST)).read_bytes()
    said = recover(host, world.sight(), 300.0)
    assert said == [f"Run {RUN} died before its change was proven: it is proven now (kube-apiserver)."]
    assert Path(host.path(MANIFEST)).read_bytes() == written
    assert Path(host.path(POLICY)).exists()
    assert len(kubelet.starts) == 1
    assert Journal(host).read() == {}


def test_a_process_that_was_there_before_proves_nothing(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the manifest's arguments and has read another file."""
    world.runtime = None
    Kubelet(world, host, always)
    world.sleep(1.0)
    plan = plan_component(host, "kube-apiserver", MANIFEST, FLAGS, {"audit-policy-file": "kind: Policy\n"})
    ControlPlane(host, Options("20251231T000000Z-abcd", False, 300.0), world.sight(), "cp1").apply([plan])
    plan = plan_component(host, "kube-apiserver", MANIFEST, FLAGS, {"audit-policy-file": "kind: Policy\nrules: []\n"})

    def end(*_arguments: t.Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(control_plane, "restart_container", end)
        with pytest.raises(Died):
            ControlPlane(host, Options(RUN, False, 300.0), world.sight(), "cp1").apply([plan])
    (said,) = recover(host, world.sight(), 300.0)
    assert f"{POLICY} went back to what they were" in said
    assert Path(host.path(POLICY)).read_text(encoding="utf-8") == "kind: Policy\n"


def test_a_journal_that_does_not_say_who_ran_before_proves_nothing(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(host.path(MANIFEST)).read_bytes()
    die_at_work(host, world, monkeypatch)
    older = Journal(host).read()["apply"]
    del older["running"]
    Journal(host).note(apply=older)
    assert "; the next run puts " in foretell(host)[0]
    recover(host, world.sight(), 300.0)
    assert Path(host.path(MANIFEST)).read_bytes() == before


def test_an_api_server_that_takes_no_new_connections_since_the_run_died_is_opened(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_at_work(host, world, monkeypatch, "manifest")
    (process,) = world.find("kube-apiserver")
    world.close(process)
    recover(host, world.sight(), 300.0)
    assert not world.closed


UPGRADED = "kind: Pod\n# as kubeadm upgrade wrote it\n"


def test_a_manifest_that_somebody_else_wrote_since_stays_with_what_it_may_name(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weeks may lie between: what came with a new version is not to go back to the bytes of the old one."""
    die_at_work(host, world, monkeypatch)
    Path(host.path(MANIFEST)).write_text(UPGRADED, encoding="utf-8")
    foretold = foretell(host)
    assert foretold[0] == f"Run {RUN} died before its change was proven; nothing of it is left to put back."
    said = recover(host, world.sight(), 300.0)
    assert said[0] == f"Run {RUN} died before its change was proven: there was nothing to put back."
    assert said[1:] == foretold[1:]
    assert said[1] == (
        f"{MANIFEST} has been changed by someone else since run {RUN} died there, so nothing of it was put back; "
        f"what it was before is in /var/lib/kubeharden/backups/{RUN} on this host."
    )
    assert f"{POLICY} stays with it" in said[2]
    assert Path(host.path(MANIFEST)).read_text(encoding="utf-8") == UPGRADED
    assert Path(host.path(POLICY)).exists()
    assert Journal(host).read() == {}
    assert recover(host, world.sight(), 300.0) == []


def test_a_file_that_somebody_else_changed_since_stays_and_the_manifest_goes_back(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(host.path(MANIFEST)).read_bytes()
    die_at_work(host, world, monkeypatch)
    Path(host.path(POLICY)).write_text("kind: Policy # mine\n", encoding="utf-8")
    said = recover(host, world.sight(), 300.0)
    assert f"{MANIFEST} went back to what they were" in said[0]
    assert len(said) == 2
    assert said[1].startswith(f"{POLICY} has been changed by someone else")
    assert Path(host.path(MANIFEST)).read_bytes() == before
    assert Path(host.path(POLICY)).read_text(encoding="utf-8") == "kind: Policy # mine\n"


def test_a_manifest_that_was_put_back_by_hand_is_not_written(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(host.path(MANIFEST)).read_bytes()
    die_at_work(host, world, monkeypatch)
    Path(host.path(MANIFEST)).write_bytes(before)
    by_hand = Path(host.path(MANIFEST)).stat()
    (said,) = recover(host, world.sight(), 300.0)
    assert MANIFEST not in said
    now = Path(host.path(MANIFEST)).stat()
    assert (now.st_ino, now.st_mtime_ns) == (by_hand.st_ino, by_hand.st_mtime_ns)


def test_a_journal_that_does_not_say_what_the_run_wrote_goes_back_whole(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(host.path(MANIFEST)).read_bytes()
    die_at_work(host, world, monkeypatch)
    older = Journal(host).read()["apply"]
    del older["after"]
    Journal(host).note(apply=older)
    Path(host.path(MANIFEST)).write_text(UPGRADED, encoding="utf-8")
    (said,) = recover(host, world.sight(), 300.0)
    assert MANIFEST in said
    assert Path(host.path(MANIFEST)).read_bytes() == before
    assert not Path(host.path(POLICY)).exists()


def test_an_old_component_that_is_not_well_is_said_and_what_is_mended_by_hand_stays(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_up: list[bool] = [True]
    die_at_work(host, world, monkeypatch, "proof", lambda arguments: comes_up[0] and unaudited(arguments))
    comes_up[0] = False
    with pytest.raises(HardeningError, match=r"was not well with its old manifest .* within 60 s"):
        recover(host, world.sight(), 60.0)
    Path(host.path(MANIFEST)).write_text("mended by hand", encoding="utf-8")
    assert recover(host, None, 60.0) == []
    assert Path(host.path(MANIFEST)).read_text(encoding="utf-8") == "mended by hand"


def test_a_file_that_cannot_go_back_is_tried_again_by_the_next_run(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_at_work(host, world, monkeypatch, "proof", unaudited)
    stored = Path(host.path(f"/var/lib/kubeharden/backups/{RUN}"))
    for path in stored.glob("0*"):
        path.rename(path.with_suffix(".away"))
    with pytest.raises(HardeningError, match=f"{MANIFEST} did not go back"):
        recover(host, world.sight(), 300.0)
    for path in stored.glob("*.away"):
        path.rename(path.with_suffix(""))
    assert recover(host, world.sight(), 300.0) != []


def test_a_trial_that_a_dead_run_left_is_taken_away(host: Host) -> None:
    manifest = f"{DIRECTORY}/kube-apiserver-kubeharden-trial.yaml"
    directory = "/var/lib/kubeharden/trial"
    Journal(host).note(trial={"manifests": [manifest], "directory": directory, "logs": []})
    Path(host.path(manifest)).write_text("kind: Pod\n", encoding="utf-8")
    Path(host.path(f"{directory}/kube-apiserver")).mkdir(parents=True)
    assert foretell(host) == [f"A run that died left its trial {manifest}; the next run takes it away first."]
    assert recover(host, None, 1.0) == [f"The trial {manifest} of a run that died was taken away."]
    assert not Path(host.path(manifest)).exists()
    assert not Path(host.path(directory)).exists()
    assert Journal(host).read() == {}


def test_a_trial_that_was_noted_and_never_laid_down_is_no_trouble(host: Host) -> None:
    """The journal names it before it is there."""
    Journal(host).note(
        trial={"manifests": [f"{DIRECTORY}/x.yaml"], "directory": "/var/lib/kubeharden/trial", "logs": []}
    )
    assert Trial(host, Journal(host)).clean() == [f"{DIRECTORY}/x.yaml"]
    assert Trial(host, Journal(host)).clean() == []


def test_on_a_host_without_a_journal_nothing_is_made(host: Host, tmp_path: Path) -> None:
    assert recover(host, None, 1.0) == []
    assert not (tmp_path / "var").exists()
