# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module does around its work: libraries, sentence, a result without secrets."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="modules bring their own part of Ansible to a host")

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils import entry
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import file_change
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import lease


class Ended(Exception):
    """A module ended with these words."""


class Module:
    """The part of an AnsibleModule that is used."""

    def __init__(self, diff: bool = False) -> None:
        self._diff = diff
        self.check_mode = True
        self.params: dict[str, t.Any] = {"root": "/"}

    def fail_json(self, **result: t.Any) -> None:
        raise Ended(result)

    def exit_json(self, **result: t.Any) -> None:
        raise Ended(result)


def ended(module: Module, work: t.Callable[[t.Any], dict[str, t.Any]]) -> dict[str, t.Any]:
    with pytest.raises(Ended) as caught:
        entry.run(t.cast(t.Any, module), work)
    return dict(caught.value.args[0])


MANIFEST = """\
spec:
  containers:
  - env:
    - name: HTTPS_PROXY
      value: http://user:hidden1@proxy.example.net:3128
    - name: DB_PASSWORD
      value: hidden2 hidden2
      # x
      # y
    - name: BOOTSTRAP
      value: abcdef.hidden3hidden3ab
"""


@pytest.mark.parametrize("diff", [False, True])
def test_no_secret_of_the_owners_is_in_a_result(diff: bool) -> None:
    change = file_change("manifest", "/a", MANIFEST, MANIFEST.replace("# y", "# z").replace("env:", "env: #"), ["one"])
    result = entry.result_of(t.cast(t.Any, Module(diff)), [change], notes=[])
    assert "hidden" not in str(result)
    assert "proxy.example.net:3128" in str(result) or not diff
    assert result["changed"] is True
    assert result["notes"] == []
    assert ("diff" in result) is diff
    assert result["changes"][0]["before_sha256"] == change.before_sha256


def test_changed_is_derived_from_the_changes() -> None:
    assert entry.result_of(t.cast(t.Any, Module(True)), []) == {"changed": False, "changes": [], "diff": []}


def test_a_sentence_for_a_person_is_the_message() -> None:
    def work(_module: t.Any) -> dict[str, t.Any]:
        raise HardeningError("KH201", "What, where, what now.")

    assert ended(Module(), work) == {"msg": "KH201: What, where, what now.", "refused": True}


def test_a_result_is_the_result() -> None:
    assert ended(Module(), lambda _module: {"changed": False}) == {"changed": False}


def at_work(root: str, locks: list[str], **options: bool) -> dict[str, t.Any]:
    """A run that changes something makes a call, and has taken these locks."""
    module = Module()
    module.check_mode = False
    module.params = {"root": root, "run_id": "first", "discovery": {"admin_kubeconfig": "a"}, "locks": locks}
    with pytest.raises(Ended) as caught:
        entry.run(t.cast(t.Any, module), lambda _module: {"changed": False}, **options)
    return dict(caught.value.args[0])


def test_a_call_of_a_run_that_lost_its_lock_does_nothing(tmp_path: Path) -> None:
    """The other one may have ended by now, so that there is none at all."""
    root, taken = str(tmp_path), ["host", "cluster"]
    assert at_work(root, taken)["msg"].startswith("KH106: Run first has no lock on this host any more")
    assert at_work(root, taken, under_lock=False) == {"changed": False}
    assert at_work(root, []) == {"changed": False}
    holder = Holder("first", "controller boot", "100 5000 pid:[1]", 1.0)
    assert Lock(Host(root)).acquire(holder) is None
    assert at_work(root, taken) == {"changed": False}


@pytest.mark.parametrize("held", [True, False])
def test_a_call_on_a_control_plane_renews_the_lock_of_the_cluster_that_the_run_took(
    monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    renewed: list[tuple[str, str, bool]] = []

    class Lease:
        def __init__(self, kubeconfig: str) -> None:
            self.kubeconfig = kubeconfig

        def renew(self, run_id: str, taken: bool) -> None:
            renewed.append((self.kubeconfig, run_id, taken))

    monkeypatch.setattr(lease, "lease_of", Lease)
    monkeypatch.setattr(Lock, "in_use", lambda *_arguments: contextlib.nullcontext())
    module = Module()
    module.check_mode = False
    locks = ["host", "cluster"] if held else ["host"]
    module.params = {
        "root": "/",
        "run_id": "first",
        "discovery": {"admin_kubeconfig": "/admin.conf"},
        "locks": locks,
    }
    assert ended(module, lambda _module: {"changed": False}) == {"changed": False}
    assert renewed == [("/admin.conf", "first", held)]


def test_a_call_of_a_run_that_began_without_the_api_joins_under_its_hosts_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[Holder] = []

    class Lease:
        def join(self, wanted: Holder) -> None:
            joined.append(wanted)

    host = Host(str(tmp_path))
    lock = Lock(host)
    assert lock.acquire(Holder("first", "controller boot", "100 5000 pid:[1]", 1.0, cluster=True)) is None
    monkeypatch.setattr(lease, "lease_of", lambda _kubeconfig: Lease())
    monkeypatch.setattr(Host, "path", lambda _self, path: str(tmp_path) + path)
    assert at_work("/", ["host", "alone"]) == {"changed": False}
    assert joined == [Holder("first", "controller boot", "100 5000 pid:[1]", 1.0)]
    assert lock.holder() == joined[0]


def test_a_defect_is_not_made_a_sentence() -> None:
    def work(_module: t.Any) -> dict[str, t.Any]:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        entry.run(t.cast(t.Any, Module()), work)


def run_program(words: list[str], data: str | None = None) -> tuple[int, str, str]:
    """What a real module gives for a real command."""
    with patch_module_args({}):
        module = AnsibleModule(argument_spec={})
    return entry.runner(module)(words, data=data)


def test_a_command_is_run_with_its_input() -> None:
    assert run_program(["/bin/sh", "-c", "cat; echo no >&2; exit 3"], data="yes") == (3, "yes\n", "no\n")


def test_a_program_that_cannot_be_started_is_a_command_that_failed(tmp_path: Path) -> None:
    """And no end of the module: what is under way has its way back to go."""
    assert run_program(["/no/such/program"]) == (127, "", "/no/such/program: No such file or directory")
    assert run_program([str(tmp_path)]) == (127, "", f"{tmp_path}: Permission denied")


def test_no_module_gives_the_rooms_what_ends_it() -> None:
    modules = sorted(Path(entry.__file__).parents[1].glob("modules/*.py"))
    assert modules
    assert [path.name for path in modules if ".run_command" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        ({"/usr/bin/python3": {"yaml", "cryptography"}}, ["/usr/bin/python3"]),
        # One library each: neither will do, however often the module starts again.
        ({"/usr/bin/python3": {"yaml"}, "/usr/bin/python3.9": {"cryptography"}}, []),
        (
            {"/usr/libexec/platform-python": {"yaml"}, "/usr/bin/python3.11": {"yaml", "cryptography"}},
            ["/usr/bin/python3.11"],
        ),
        ({}, []),
    ],
)
def test_a_module_starts_again_where_every_library_is(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, set[str]], chosen: list[str]
) -> None:
    started: list[str] = []

    def probe(paths: list[str], name: str) -> str | None:
        return next((path for path in paths if name in has.get(path, set())), None)

    monkeypatch.setattr(entry, "missing_libraries", lambda: ["yaml"])
    monkeypatch.setattr(entry, "has_respawned", lambda: False)
    monkeypatch.setattr(entry, "probe_interpreters_for_module", probe)
    monkeypatch.setattr(entry, "respawn_module", started.append)
    assert entry.find_libraries() == ["yaml"]
    assert started == chosen


def test_a_module_starts_again_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "missing_libraries", lambda: ["yaml"])
    monkeypatch.setattr(entry, "has_respawned", lambda: True)
    with pytest.raises(Ended, match="No Python on this host has yaml"):
        entry.require_libraries(t.cast(t.Any, Module()))


def test_this_interpreter_has_them() -> None:
    assert entry.missing_libraries() == []
    entry.require_libraries(t.cast(t.Any, Module()))
