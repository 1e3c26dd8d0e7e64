# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every control that is enforced is broken on a directory that stands for a control plane, named by verify, and mended.

Needs neither a cluster nor root. What only a live host shows is in test_verify_mutations.py.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import Field
from ansible_collections.kubeharden.core.plugins.module_utils.controls import cluster_checks, in_force, judge
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, selection
from lab import mutations
from lab.breaker import break_all
from lab.mutations import MUTATIONS, Mutation
from lab.standing import verified
from lab.test_directory_hosts import Hosts
from tools import catalogue_page
from tools.checkout import ROOT

HOST = "cp1"
ON_DIRECTORIES = [one for one in MUTATIONS if "directories" in one.where]
#: Settings that keep a cluster working rather than hard, or that only the owner's own word brings: nothing judges them.
NOT_JUDGED = {
    "apiserver-graceful-stop",
    "apiserver-tls-curves",
    "apiserver-token-webhook",
    "controller-manager-serving",
    "controller-manager-signing",
    "scheduler-serving",
}
#: What is enforced beside the settings that carry its name: a mount comes with the flag that needs it, and a kubelet
#: whose file is right is one that was started with it.
BESIDE = {"apiserver-paths-mounted", "kubelet-restart"}


def test_every_enforced_control_has_its_mutation_and_every_mutation_names_controls_that_exist() -> None:
    settings = set(selection.known_controls())
    controls = {one.id: one for one in catalogue_files.load()}
    judged = {name: one for name, one in controls.items() if one.profile != "none"}
    enforced = {name for name, one in judged.items() if name in settings or one.part_of in settings}
    # Each setting that is judged is judged by something of this list.
    assert settings - {name for one in controls.values() for name in (one.id, one.part_of)} == NOT_JUDGED
    assert {one.control for one in MUTATIONS} == enforced | BESIDE
    for one in MUTATIONS:
        assert one.fails_live <= set(controls), one.control
        assert set(one.where) <= {"directories", "live"}, one.control
        assert one.where, one.control
        assert one.component in mutations.SETS, one.control
        # What is refused is shown on directories, or nowhere.
        assert not one.refused or "directories" in one.where, one.control
        # What is not broken on a live host has a reason: the component's own word, or ours.
        live = "live" in one.where and not one.refused
        assert [live, bool(one.refused), bool(one.spared)].count(True) == 1, one.control


def test_what_is_broken_on_directories_alone_is_told_in_the_page_with_the_words_of_who_refuses() -> None:
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    rows = {line.split("|")[2].strip().strip("`") for line in text.splitlines() if line.startswith("| ")}
    refused = {one.refused.replace("`", "") for one in MUTATIONS if one.refused}
    assert refused <= rows
    spared = [one.control for one in MUTATIONS if one.spared]
    assert f"{('None', 'One', 'Two', 'Three', 'Four', 'Five')[len(spared)]} more are broken on directories only" in text


#: What a run does not change on a directory: it takes a live host.
LIVE_ALONE = {"apiserver-always-pull-images", "apiserver-kubelet-authority"}


@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_what_the_page_says_of_controls_is_what_a_directory_shows(tmp_path: Path, profile: str) -> None:
    """Before a run and after one. What takes a process, an owner or the API is held on a live host."""
    hosts = Hosts(tmp_path)
    told = {control for ours in catalogue_page.rows().values() for control in ours}

    def differs(moment: str) -> dict[str, tuple[str, str]]:
        found = verified(hosts.root(HOST), tmp_path / f"proc-{moment}", "baseline" if moment == "before" else moment)
        shown = {name: found[name] for name in told & set(found) if found[name][0] not in ("unknown", "not_applicable")}
        assert len(shown) > 60
        return {name: one for name, one in shown.items() if one[0] != catalogue_page.seen_of(name, moment)}

    assert differs("before") == {}
    assert hosts.harden("--limit", HOST, profile=profile).code == 0
    left = differs(profile)
    assert set(left) <= (LIVE_ALONE if profile == "cis" else set()), left


class Directory:
    """A directory that was hardened, copies of it, and what verify says of them."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self._numbers = itertools.count()
        self._hardened = hosts.directory / "hardened"
        break_all(str(self.root), list(mutations.SET_UP))
        run = hosts.harden(profile="cis")
        assert run.code == 0, str(run)
        shutil.copytree(self.root, self._hardened, symlinks=True)
        self.before = self.verified(self.root)

    @property
    def root(self) -> Path:
        """The directory that runs are about."""
        return self.hosts.root(HOST)

    def reset(self) -> None:
        """Begin again with what is hardened."""
        shutil.rmtree(self.root)
        shutil.copytree(self._hardened, self.root, symlinks=True)

    def verified(self, root: Path) -> dict[str, tuple[str, str]]:
        """By control, status and evidence."""
        return verified(root, self.hosts.directory / f"proc{next(self._numbers)}", "cis")

    def broken(self, broken: Iterable[Mutation]) -> dict[str, str]:
        """Break something; return the evidence of what verify names and did not name before, by control."""
        break_all(str(self.root), [change for one in broken for change in one.changes])
        return self.worse()

    def worse(self) -> dict[str, str]:
        """What verify says now of controls that fail or can't be judged, and did not before."""
        now = self.verified(self.root)
        return {
            control: f"{status}: {evidence}"
            for control, (status, evidence) in now.items()
            if status in ("fail", "unknown") and self.before[control][0] != status
        }

    def mended(self, broken: Iterable[Mutation]) -> None:
        """A run changes what was broken and nothing else, and verify judges as before."""
        run = self.hosts.harden("--limit", HOST, profile="cis")
        assert run.code == 0, str(run)
        named = {change["target"] for change in self.hosts.changes if change["host"] == HOST}
        wanted = {path for one in broken for path in self._paths(one)}
        assert named == wanted
        now = self.verified(self.root)
        statuses = [{control: status for control, (status, _evidence) in seen.items()} for seen in (now, self.before)]
        assert statuses[0] == statuses[1]

    def _paths(self, one: Mutation) -> set[str]:
        """What a run has to change: an added file that nothing reads any more stays."""
        paths = {change["path"] for change in one.changes}
        found = {path for pattern in paths for path in self._matching(pattern)}
        return {path for path in found if not path.endswith("tokens.csv")}

    def _matching(self, pattern: str) -> list[str]:
        return ["/" + str(path.relative_to(self.root)) for path in self.root.glob(pattern.lstrip("/"))]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    return Directory(Hosts(tmp_path_factory.mktemp("mutations")))


@pytest.mark.parametrize("mutation", ON_DIRECTORIES, ids=lambda one: one.control)
def test_each_mutation_alone_is_named_and_nothing_else(directory: Directory, mutation: Mutation) -> None:
    directory.reset()
    found = directory.broken([mutation])
    assert set(found) == mutation.fails, found


def as_a_kubelet_says(fields: Any, known: Mapping[str, Field]) -> Any:
    """A configuration as /configz has it: defaults for what is absent, and no zeros but of what has a default."""
    names = {name for name, one in known.items() if one.type != "object" and one.default is not None}
    found = dict(fields)
    for name in names:
        *parents, key = name.split(".")
        place = found
        for parent in parents:
            place[parent] = dict(place.get(parent) or {})
            place = place[parent]
        value = place.get(key)
        if value is None or (known[name].type == "duration" and value in ("0s", 0)):
            place[key] = known[name].default
    return {key: value for key, value in found.items() if key in names or value not in (0, "", [], {})}


@pytest.mark.parametrize(
    "mutation",
    [one for one in mutations.NODE if "kubelet-drift" in one.live and "directories" in one.where],
    ids=lambda one: one.control,
)
def test_each_setting_of_a_kubelet_alone_differs_from_what_kubeadm_remembers(
    directory: Directory, mutation: Mutation
) -> None:
    """On live hosts each is broken beside those before it, and the first one's drift would hide that of the others."""
    directory.reset()
    known = in_force.table_for("kubelet", "").fields(*in_force.FILES_OF_FIELDS["kubelet"])
    assert known
    path = directory.root / mutations.KUBELET_CONFIGURATION.lstrip("/")
    text = path.read_text(encoding="utf-8")

    def drift() -> tuple[str, str]:
        fields = as_a_kubelet_says(yaml.safe_load(path.read_text(encoding="utf-8")), known)
        evidence = {"kubelet_config": text, "configz": {HOST: {"configuration": fields}}}
        (control,) = (one for one in catalogue_files.load() if one.id == "kubelet-drift")
        said = judge.judge_cluster(cluster_checks.Cluster(evidence, "", []), control)
        return said.status, said.evidence

    assert drift()[0] == "pass", drift()
    break_all(str(directory.root), list(mutation.changes))
    names = {str(change["field"]) for change in mutation.changes}
    status, words = drift()
    assert status == "fail"
    assert set(words.partition(": ")[2].split(", ")) <= names, words


def test_all_that_is_broken_together_is_named_and_mended_by_one_run(directory: Directory) -> None:
    """A component at a time; a run mends them all, since it is the run that takes the time."""
    directory.reset()
    together = [one for one in ON_DIRECTORIES if not one.apart]
    expected: set[str] = set()
    for component in mutations.SETS:
        mine = [one for one in together if one.component == component]
        expected |= {control for one in mine for control in one.fails}
        found = directory.broken(mine)
        assert set(found) == expected, (component, found)
    directory.mended(together)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", ON_DIRECTORIES, ids=lambda one: one.control)
def test_each_mutation_alone_is_mended_and_nothing_else_is_touched(directory: Directory, mutation: Mutation) -> None:
    directory.reset()
    directory.broken([mutation])
    directory.mended([mutation])
