# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that writes, killed at a random one of its system calls: no file is ever half, and the next run ends.

Directories stand for hosts. The calls are those of real runs of harden.yml, rollback.yml, prepare_node.yml,
rotate_certificates.yml, schedule.yml and a play of one's own with kubeconfigs, with the parameters that they had. A
kill has a number and is always the same one: `-k kill-17`; KUBEHARDEN_SEED asks for others.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, kubeconfig, pem, profile
from lab import kills
from tools.checkout import ROOT
from tools.lacking import lacking
from tools.runs import Run, ansible

SEEDS = ROOT / "inventories" / "demo" / "hosts.orig"
SEED = os.environ.get("KUBEHARDEN_SEED", "1")
#: In `make test`, and in `make test-all` with them.
FEW, ALL = 50, 450
#: Of so many kills one is followed by a whole run of the playbook; the others by the module's next call.
WHOLE = 25
FIRST, NEXT, LAST = "kill-0000", "kill-0001", "kill-0002"
HARDEN = {"profile": "cis", "run_id": FIRST}
ROTATE = {"pki_renew": "all"}
SCHEDULE: dict[str, Any] = {
    "schedule_verify_calendar": "Sun 05:00",
    "schedule_metrics_dir": "/var/lib/metrics",
    "schedule_on_failure": ["/bin/true"],
}
#: A play of the user's.
KUBECONFIGS = """\
- hosts: cp1
  gather_facts: false
  tasks:
    - kubeharden.core.kubeconfigs:
        root: "{{ kubeharden_root }}"
        run_id: kill-kubeconfigs
        node_name: cp1
        policy: {renew_all: true}
        cluster:
          control_planes: [{node_name: cp1, addresses: [192.0.2.11]}]
"""

INVENTORY = """\
all:
  children:
    kube_control_plane:
      hosts:
        cp1: {{}}
        {new}
    kube_node:
      hosts:
        w1: {{}}
    kubeharden_scheduler:
      hosts:
        bastion: {{}}
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{directory}/python-{{{{ inventory_hostname }}}}"
    kubeharden_root: "{directory}/roots/{{{{ inventory_hostname }}}}"
"""


class Recorded:
    """The runs, made once, and their calls."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.roots = directory / "roots"
        self._events: dict[int, tuple[kills.Event, ...]] = {}
        (directory / "home").mkdir()
        for host in ("cp1", "w1", "new", "bastion"):
            if host in ("cp1", "w1"):
                open_host(str(self.root(host)), str(SEEDS / host), False, lambda: str(directory))
            (self.root(host) / "run").mkdir(parents=True, exist_ok=True)
            kills.recorder(directory / f"python-{host}", host, self.root(host), directory / "calls")
        for host in ("new", "bastion"):
            (self.root(host) / "etc").mkdir()
        self.hardened = self._count(lambda: self.play("harden.yml", **HARDEN))
        self.prepared = self._count(lambda: self.play("prepare_node.yml", "--limit", "new", new="new: {}"))
        self.put_back = self._count(lambda: self.play("rollback.yml"))
        self.rotated = self._count(lambda: self.play("rotate_certificates.yml", **ROTATE))
        (directory / "kubeconfigs.yml").write_text(KUBECONFIGS, encoding="utf-8")
        self._count(lambda: self.play(str(directory / "kubeconfigs.yml")))
        self._count(lambda: self.play("schedule.yml", skipped="", **SCHEDULE))
        self._count(lambda: self.play("schedule.yml", skipped="", schedule_state="absent"))
        # A task that is delegated is run by the interpreter of the host that delegates it.
        self.calls = [call for call in kills.recorded(directory / "calls") if call.root == str(self.root(call.host))]

    def _count(self, play: Any) -> int:
        run = play()
        assert run.code == 0, str(run)
        return len(os.listdir(self.directory / "calls"))

    def root(self, host: str) -> Path:
        return self.roots / host

    def play(
        self,
        playbook: str,
        *arguments: str,
        new: str = "",
        python: str = "",
        skipped: str = "verify",
        **variables: object,
    ) -> Run:
        """Run a playbook; its calls are recorded but where it is given another interpreter.

        :param new: a control plane that is about to join, as a line of the inventory
        :param skipped: a tag, by default of what takes some seconds and writes nothing
        """
        inventory = self.directory / "inventory.yml"
        text = INVENTORY.format(new=new, directory=self.directory)
        inventory.write_text(text, encoding="utf-8")
        report = self.directory / "report"
        shutil.rmtree(report, ignore_errors=True)
        named = {"kubeharden_report_dir": str(report), **{f"kubeharden_{key}": one for key, one in variables.items()}}
        if python:
            named["ansible_python_interpreter"] = python
        words = ["ansible-playbook", "-i", inventory, ROOT / playbook, "-e", json.dumps(named), *arguments]
        return ansible(
            Path(sys.executable).parent,
            [*words, *(["--skip-tags", skipped] if skipped else [])],
            directory=self.directory,
            home=self.directory / "home",
            environment={
                "ANSIBLE_KEEP_REMOTE_FILES": "1",
                "ANSIBLE_REMOTE_TMP": str(self.directory / "tmp"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            },
        )

    def events(self, call: kills.Call) -> tuple[kills.Event, ...]:
        """What a call does to its host when nothing happens to it."""
        if call.number not in self._events:
            kills.laid(call.before, self.root(call.host))
            seen = kills.run(call, self.root(call.host), self.directory / "undisturbed")
            assert seen.code == 0, seen.output
            self._events[call.number] = seen.events
        return self._events[call.number]

    @cached_property
    def writing(self) -> list[kills.Call]:
        """The calls that change something."""
        return [call for call in self.calls if self.events(call)]

    def first_call(self, call: kills.Call) -> kills.Call:
        """That with which a run of this kind begins on the host: it takes the lock and looks what a dead run left."""
        begin = self._begin_of(call)
        mine = [one for one in self.calls if one.host == call.host and one.number >= begin]
        return next((one for one in mine if one.module == "discover"), call)

    def _begin_of(self, call: kills.Call) -> int:
        # A play of one's own has no discovery: what it left is for the next playbook, such as a rotation.
        begins = (0, self.hardened, self.prepared, self.put_back)
        return max(begin for begin in begins if begin <= call.number)

    def is_of_hardening(self, call: kills.Call) -> bool:
        return call.number < self.hardened

    def is_of_rotation(self, call: kills.Call) -> bool:
        return self.put_back <= call.number < self.rotated

    def lay_other(self, call: kills.Call) -> None:
        """Make the other host what it was when this call was made."""
        other = {"cp1": "w1", "w1": "cp1"}[call.host]
        calls = [one for one in self.calls if one.host == other]
        earlier = [one for one in calls if one.number < call.number]
        kills.laid(earlier[-1].after if earlier else calls[0].before, self.root(other))

    def last(self, host: str, before: int) -> kills.Call:
        """The last call on a host before a number."""
        return [one for one in self.calls if one.host == host and one.number < before][-1]


@pytest.fixture(scope="module", name="runs")
def recorded_runs(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    if kills.STRACE is None:
        lacking("strace is not installed, so no module is killed at its system calls")
    return Recorded(tmp_path_factory.mktemp("kills"))


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill: which call, and at which of its system calls."""

    call: kills.Call
    event: kills.Event

    def __str__(self) -> str:
        return f"{self.call}, killed at {self.event.name} number {self.event.ordinal}: {self.event.arguments[:200]}"


def chosen(runs: Recorded, number: int) -> Kill:
    """The kill of a number: the first ones are spread over all modules, the others over all calls."""
    rng = random.Random(f"{SEED} {number}")
    modules = sorted({call.module for call in runs.writing})
    module = modules[number] if number < len(modules) else ""
    call = rng.choice([one for one in runs.writing if module in ("", one.module)])
    return Kill(call, rng.choice(runs.events(call)))


def watched(runs: Recorded, call: kills.Call, before: Path, seen: kills.Seen, goes: Sequence[str]) -> None:
    """No file was open, cut, empty or missing at any moment of a call, and nothing was overlooked."""
    root = runs.root(call.host)
    moments = kills.Moments(root, before, goes, kills.links(call.after))
    moments.see(seen.events)
    moments.check_disk()
    assert moments.problems == []


def snapshot(runs: Recorded, host: str) -> Path:
    """What a host is now, for the call that comes next."""
    place = runs.directory / "now"
    kills.laid(runs.root(host), place)
    return place


def assert_one_or_the_other(runs: Recorded, call: kills.Call) -> None:
    """Each file is what it was before the call or what it is after it; a key, which is another each time, is whole."""
    found, before, after = (kills.tree(one) for one in (runs.root(call.host), call.before, call.after))
    for path, (mode, uid, gid, content) in found.items():
        if os.path.basename(path).startswith(kills.TEMPORARY):
            assert not mode & 0o077 or b"PRIVATE KEY" not in (runs.root(call.host) / path[1:]).read_bytes(), path
            continue
        known = [one[path] for one in (before, after) if path in one]
        assert known, f"{path} belongs to neither"
        assert (mode, uid, gid) in [one[:3] for one in known], path
        if content not in [one[3] for one in known]:
            assert_whole(runs.root(call.host) / path[1:])
    assert not set(before) - set(found) - set(kills.gone(call))


def assert_whole(path: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".conf":
        assert kubeconfig.parse(data, str(path)).key
    elif path.suffix == ".key":
        keys.load_private(data, str(path), validate=False)
    else:
        assert path.suffix in (".crt", ".pub"), f"{path} is another than before, after and each time"
        assert len(pem.blocks(data, str(path))) == 1


def assert_pairs_fit(root: Path) -> None:
    for path in root.glob("etc/kubernetes/pki/**/*.crt"):
        facts = profile.from_pem(path.read_bytes(), str(path))
        key = path.with_suffix(".key")
        if key.exists():
            assert keys.public_bytes(keys.load_private(key.read_bytes(), str(key), validate=False)) == facts.public_key


def assert_ended_like(root: Path, wanted: Path) -> None:
    """A host is what it is after a run that nothing happened to, but for keys and certificates, which fit."""
    found, expected = kills.tree(root), kills.tree(wanted)
    different = kills.differing(found, expected)
    random_names = (".crt", ".key", ".pub", ".conf")
    assert [path for path in different if not path.endswith(random_names)] == []
    assert set(found) == set(expected)
    assert all(found[path][:3] == expected[path][:3] for path in different)
    assert_pairs_fit(root)
    assert not (root / "var/lib/kubeharden/journal.json").exists()
    assert not list(root.rglob(f"{kills.TEMPORARY}*"))


def needs_its_run(call: kills.Call) -> bool:
    """A certificate that was asked for by a run is not what the next one asks for: only a whole run goes on."""
    return call.module == "pki_leaves" and '"answers": {' in call.file.read_text(encoding="utf-8")


def next_call(runs: Recorded, kill: Kill) -> None:
    """What the next run does on this host: what the dead one left is undone or finished, then the module's work."""
    call, root = kill.call, runs.root(kill.call.host)
    first = runs.first_call(call)
    if first != call:
        before = snapshot(runs, call.host)
        seen = kills.run(first, root, runs.directory / "trace", after=call.run_id, name=NEXT)
        assert seen.code == 0, seen.output
        watched(runs, first, before, seen, kills.gone(call) + made(call))
    before = snapshot(runs, call.host)
    seen = kills.run(call, root, runs.directory / "trace", after=call.run_id, name=NEXT)
    assert seen.code == 0, seen.output
    watched(runs, call, before, seen, kills.gone(call))


def made(call: kills.Call) -> list[str]:
    """What a call makes may go again, when a run that died is undone."""
    before = kills.tree(call.before)
    return [path for path in kills.tree(call.after) if path not in before]


def next_run(runs: Recorded, kill: Kill) -> None:
    """The next run of the whole playbook."""
    runs.lay_other(kill.call)
    rotation = runs.is_of_rotation(kill.call)
    if rotation:
        run = runs.play("rotate_certificates.yml", python=sys.executable, run_id=NEXT, **ROTATE)
    else:
        run = runs.play("harden.yml", python=sys.executable, profile="cis", run_id=NEXT)
    assert run.code == 0, str(run)
    for host in ("cp1", "w1"):
        assert_ended_like(runs.root(host), runs.last(host, runs.rotated if rotation else runs.hardened).after)


@pytest.mark.parametrize(
    "number",
    [
        *(pytest.param(number, id=f"kill-{number}") for number in range(FEW)),
        *(pytest.param(number, id=f"kill-{number}", marks=pytest.mark.slow) for number in range(FEW, ALL)),
    ],
)
def test_killed_at_a_system_call(runs: Recorded, number: int) -> None:
    kill = chosen(runs, number)
    call, root = kill.call, runs.root(kill.call.host)
    print(kill)
    kills.laid(call.before, root)
    seen = kills.run(call, root, runs.directory / "trace", kill.event)
    assert seen.code in (-9, 137), f"it was not killed: {seen.output}"
    watched(runs, call, call.before, seen, kills.gone(call))
    assert_one_or_the_other(runs, call)
    if (runs.is_of_hardening(call) or runs.is_of_rotation(call)) and (needs_its_run(call) or number % WHOLE == 0):
        next_run(runs, kill)
    else:
        next_call(runs, kill)
        assert_ended_like(root, call.after)
