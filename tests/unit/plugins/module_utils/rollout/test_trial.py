# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The future manifest runs once beside the live one, reads the future files, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import trial as module
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan, plan_component
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.trial import LIMIT, Attempt, Trial, TrialFailure
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import Failure
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Kubelet, World

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1" / "plain"
DIRECTORY = "/etc/kubernetes/manifests"
OURS = "/etc/kubernetes/kubeharden"
POLICY = f"{OURS}/audit-policy.yaml"
STATE = "/var/lib/kubeharden/trial"
NAME = "kube-apiserver-kubeharden-trial.yaml"
FLAGS: dict[str, dict[str, t.Any]] = {
    "audit-policy-file": {"keep": POLICY, "mount": "read_only"},
    "audit-log-path": {"keep": "/var/log/kubernetes/audit/audit.log", "mount": "read_write"},
}


def always(_arguments: Sequence[str]) -> bool:
    return True


def never_in_a_trial(arguments: Sequence[str]) -> bool:
    return "--endpoint-reconciler-type=none" not in arguments


class Place:
    """One host, what it must become, and what lay in the watched directory while the trial ran."""

    def __init__(self, root: Path, world: World, good: Callable[[Sequence[str]], bool]) -> None:
        self.root, self.world = root, world
        (root / DIRECTORY.lstrip("/")).mkdir(parents=True)
        shutil.copy(FIXTURES / "kube-apiserver.yaml", root / DIRECTORY.lstrip("/"))
        self.host = Host(str(root))
        self.journal = Journal(self.host)
        self.kubelet = Kubelet(world, self.host, good)
        world.sleep(1.0)
        self.seen: dict[str, t.Any] = {}
        world.always.append(self.look)

    def look(self) -> None:
        path = Path(self.host.path(f"{DIRECTORY}/{NAME}"))
        if path.exists() and not self.seen:
            manifest = Manifest.parse(path.read_text(encoding="utf-8"))
            volumes = {one["name"]: one["hostPath"]["path"] for one in manifest.pod["spec"]["volumes"]}
            self.seen = {
                "arguments": manifest.arguments("kube-apiserver"),
                "pod": manifest.pod,
                "volumes": volumes,
                "journal": self.journal.read(),
                "files": {
                    str(one.relative_to(self.root)): one.read_text(encoding="utf-8")
                    for one in (self.root / STATE.lstrip("/")).rglob("*")
                    if one.is_file()
                },
            }

    def plan(self, text: str = "kind: Policy\n") -> ComponentPlan:
        path = f"{DIRECTORY}/kube-apiserver.yaml"
        return plan_component(self.host, "kube-apiserver", path, FLAGS, {"audit-policy-file": text})

    def run(self) -> float:
        plan = self.plan()
        files = {change.target: str(change.after) for change in plan.files}
        created = [change.target for change in plan.directories]
        attempt = Attempt("kube-apiserver", plan.manifest, files, created, plan.log_file)
        begun = self.world.time
        Trial(self.host, self.journal, self.world.sight()).run([attempt], DIRECTORY)
        return self.world.time - begun

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def make(tmp_path: Path, world: World) -> Callable[..., Place]:
    return lambda good=always: Place(tmp_path / "host", world, good)


def test_it_runs_under_another_name_and_port_and_nothing_is_left(make: Callable[..., Place]) -> None:
    place = make()
    before = place.left()
    assert 6 < place.run() < 12
    assert place.left() == before
    assert place.journal.read() == {}
    assert not (place.root / STATE.lstrip("/")).exists()
    assert place.seen["pod"]["metadata"]["name"] == "kube-apiserver-kubeharden-trial"
    assert "--secure-port=6443" not in place.seen["arguments"]
    assert "--endpoint-reconciler-type=none" in place.seen["arguments"]
    assert place.seen["pod"]["spec"]["restartPolicy"] == "Never"


def test_the_kubelet_ends_it_by_itself_but_never_before_its_run_would(make: Callable[..., Place]) -> None:
    place = make()
    place.run()
    assert place.seen["pod"]["spec"]["activeDeadlineSeconds"] > LIMIT + module._END


def test_the_journal_names_it_before_it_is_laid_down(make: Callable[..., Place]) -> None:
    place = make()
    place.run()
    left = place.seen["journal"]["trial"]
    assert (left["manifests"], left["directory"]) == ([f"{DIRECTORY}/{NAME}"], STATE)


def test_it_reads_the_future_files_beside_the_live_ones_and_writes_another_log(make: Callable[..., Place]) -> None:
    place = make()
    ours = Path(place.host.path(OURS))
    ours.mkdir()
    (ours / "audit-policy.yaml").write_text("live", encoding="utf-8")
    (ours / "other.yaml").write_text("other", encoding="utf-8")
    place.run()
    copy = f"{STATE}/kube-apiserver/etc-kubernetes-kubeharden"
    assert place.seen["volumes"]["etc-kubernetes-kubeharden"] == copy
    assert place.seen["files"] == {
        f"{copy}/audit-policy.yaml".lstrip("/"): "kind: Policy\n",
        f"{copy}/other.yaml".lstrip("/"): "other",
    }
    assert (ours / "audit-policy.yaml").read_text(encoding="utf-8") == "live"
    assert f"--audit-policy-file={POLICY}" in place.seen["arguments"]
    log = "--audit-log-path=/var/log/kubernetes/audit/kube-apiserver-kubeharden-trial.log"
    assert log in place.seen["arguments"]


def test_the_log_of_a_trial_goes_from_a_directory_that_was_there(make: Callable[..., Place]) -> None:
    place = make()
    folder = Path(place.host.path("/var/log/kubernetes/audit"))
    folder.mkdir(parents=True)
    (folder / "audit.log").write_text("live", encoding="utf-8")
    (folder / "kube-apiserver-kubeharden-trial.log").write_text("trial", encoding="utf-8")
    place.run()
    assert os.listdir(folder) == ["audit.log"]


def test_a_component_that_ends_says_why_and_nothing_is_left(make: Callable[..., Place]) -> None:
    place = make(never_in_a_trial)
    before = place.left()
    with pytest.raises(TrialFailure) as caught:
        place.run()
    assert caught.value.component == "kube-apiserver"
    assert caught.value.last_word == "Error: unknown flag: --no-such-flag"
    assert place.left() == before
    assert place.journal.read() == {}
    assert place.world.time < 10


def test_one_that_never_gets_well_ends_at_the_limit(make: Callable[..., Place]) -> None:
    place = make()

    def ail() -> None:
        for one in place.world.lives:
            if one.port != "6443":
                one.unwell = 0.0

    place.world.always.append(ail)
    with pytest.raises(Failure, match=f"not well within {LIMIT:.0f} s"):
        place.run()
    assert place.journal.read() == {}


def test_the_live_component_is_left_alone(make: Callable[..., Place]) -> None:
    place = make()
    live = place.world.lives[0]
    place.run()
    assert live.end > 1e8


def test_it_is_over_only_when_its_process_is_gone(make: Callable[..., Place]) -> None:
    place = make()
    place.run()
    trials = [life for life in place.world.lives if life.port != "6443"]
    assert len(trials) == 1
    assert trials[0].end <= place.world.time


def test_a_process_that_does_not_end_is_a_failure_and_stays_in_the_journal(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    monkeypatch.setattr(Kubelet, "_end", lambda *_arguments: None)
    with pytest.raises(Failure, match="did not end within 90 s, so the kubelet seems to hang"):
        place.run()
    assert "trial" in place.journal.read()


def test_a_full_disk_while_it_is_laid_down_leaves_nothing(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    before = place.left()

    def write(path: str, *_arguments: t.Any, **_options: t.Any) -> None:
        raise HardeningError("KH201", f"{path} could not be written: no space is left on the file system.")

    monkeypatch.setattr(module, "write_atomic", write)
    with pytest.raises(HardeningError, match="no space is left"):
        place.run()
    assert place.left() == before
    assert place.journal.read() == {}
