# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units on a directory that stands for a host: foretold, laid, nothing left to do, and nothing left of them.

What systemd is told is tested on a host of the lab (tests/lab/test_schedule.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import schedule
from tools.checkout import ROOT
from tools.lacking import lacking

GIVEN: dict[str, Any] = {
    "state": "present",
    "calendars": {"rotate": "*-*-* 03:00:00"},
    "random_delay": "1h",
    "timeout": "6h",
    "user": "root",
    "directory": "/opt/kubeharden",
    "ansible_playbook": "/opt/kubeharden/.venv/bin/ansible-playbook",
    "inventory": ["inventories/mine"],
    "arguments": [],
    "credentials": {},
    "on_failure": [],
    "metrics_dir": "",
    "protect": True,
    "local_hosts": [],
    "checkout": "",
    "recorder": (ROOT / "roles/schedule/files/record-run.sh").read_text(encoding="utf-8"),
}
BOTH: dict[str, Any] = {"rotate": "daily", "verify": "weekly"}
EVERYTHING: dict[str, Any] = {"calendars": BOTH, "metrics_dir": "/var/lib/metrics", "on_failure": ["/bin/true"]}
UNITS = "etc/systemd/system"


def run(words: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def call(root: Path, check: bool = False, **given: Any) -> list[Change]:
    changes, facts = schedule.schedule_call({**GIVEN, "root": str(root), **given}, check, run)
    assert facts == {"notes": [], "not_done": [schedule.NOT_TOLD]}
    return changes


def there(root: Path) -> dict[str, tuple[int, str]]:
    """By path, inode and text of every file, target of every link, and every directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_text(encoding="utf-8")
        found[str(path.relative_to(root))] = (path.lstat().st_ino, text)
    return found


def told(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [change.as_record() for change in changes]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({}, EVERYTHING),
        (EVERYTHING, {}),
        (EVERYTHING, {**EVERYTHING, "metrics_dir": "/srv/metrics"}),
        (EVERYTHING, {"calendars": {"verify": "weekly"}}),
        ({}, {"state": "absent"}),
        (EVERYTHING, {"state": "absent"}),
        ({"state": "absent"}, {"state": "absent"}),
    ],
)
def test_check_run_check_run(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    call(tmp_path, **before)
    ran(tmp_path)
    was = there(tmp_path)
    foretold = call(tmp_path, check=True, **after)
    assert there(tmp_path) == was
    assert told(call(tmp_path, **after)) == told(foretold)
    assert bool(foretold) is (there(tmp_path) != was)
    now = there(tmp_path)
    assert call(tmp_path, check=True, **after) == []
    assert call(tmp_path, **after) == []
    assert there(tmp_path) == now


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("path", [f"{UNITS}/kubeharden-rotate.service", "usr/local/lib/kubeharden/record-run"])
def test_what_somebody_else_laid_is_neither_replaced_nor_removed(tmp_path: Path, path: str, state: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("theirs\n", encoding="utf-8")
    was = there(tmp_path)
    for check in (True, False):
        with pytest.raises(HardeningError, match=f"^/{path} was laid by somebody else, and nothing was changed"):
            call(tmp_path, check=check, state=state)
    assert there(tmp_path) == was


def ran(root: Path) -> None:
    """Leave what runs and timers leave on a host, where there are any."""
    for name in ("rotate", "verify"):
        service = root / UNITS / f"kubeharden-{name}.service"
        if not service.exists():
            continue
        stamps = root / "var/lib/systemd/timers"
        stamps.mkdir(parents=True, exist_ok=True)
        (stamps / f"stamp-kubeharden-{name}.timer").touch()
        if "/var/lib/metrics" in service.read_text(encoding="utf-8"):
            metrics = root / "var/lib/metrics"
            metrics.mkdir(exist_ok=True)
            (metrics / f"kubeharden-{name}-run.prom").touch()
            (metrics / "kubeharden-rotate.prom").touch()


def test_nothing_of_it_is_left_and_nothing_else_is_touched(tmp_path: Path) -> None:
    other = tmp_path / UNITS / "timers.target.wants"
    other.mkdir(parents=True)
    (other / "other.timer").symlink_to("/lib/systemd/system/other.timer")
    (tmp_path / "var/lib/metrics").mkdir(parents=True)
    (tmp_path / "var/lib/metrics/other.prom").touch()
    (tmp_path / "var/lib/systemd/timers").mkdir(parents=True)
    (tmp_path / "usr/local/lib").mkdir(parents=True)
    was = there(tmp_path)
    call(tmp_path, **EVERYTHING)
    ran(tmp_path)
    assert len(there(tmp_path)) == len(was) + 14
    # Not even where the variables say nothing of metrics any more.
    call(tmp_path, state="absent")
    assert there(tmp_path) == was


@pytest.mark.parametrize("after", [EVERYTHING, {"state": "absent"}])
def test_temporary_files_of_a_run_that_died_are_removed_by_the_next(tmp_path: Path, after: dict[str, Any]) -> None:
    """They are neither told nor in the way, whatever the next run is to do."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for root in (undisturbed, killed):
        call(root, **EVERYTHING)
    left = [killed / UNITS / ".kubeharden-a1", killed / "usr/local/lib/kubeharden/.kubeharden-b2"]
    for path in left:
        path.write_bytes(b"\xe2\x80")
    (killed / UNITS / ".theirs").touch()
    foretold = call(killed, check=True, **after)
    assert all(path.exists() for path in left)
    changes = call(killed, **after)
    assert told(changes) == told(foretold) == told(call(undisturbed, **after))
    assert set(there(killed)) == {*there(undisturbed), f"{UNITS}/.theirs"}


def test_directories_that_a_removal_which_died_has_emptied_are_removed_by_the_next(tmp_path: Path) -> None:
    call(tmp_path, **EVERYTHING)
    call(tmp_path, state="absent")
    was = there(tmp_path)
    emptied = ["etc/systemd/system/timers.target.wants", "usr/local/lib/kubeharden"]
    for path in emptied:
        (tmp_path / path).mkdir()
    foretold = call(tmp_path, check=True, state="absent")
    assert [change.target for change in foretold] == [f"/{path}" for path in emptied]
    assert told(call(tmp_path, state="absent")) == told(foretold)
    assert there(tmp_path) == was


def test_what_is_laid(tmp_path: Path) -> None:
    changes = call(tmp_path, **EVERYTHING)
    assert {change.target for change in changes if change.kind == "file"} == {
        "/etc/systemd/system/kubeharden-rotate.service",
        "/etc/systemd/system/kubeharden-rotate.timer",
        "/etc/systemd/system/kubeharden-verify.service",
        "/etc/systemd/system/kubeharden-verify.timer",
        "/etc/systemd/system/kubeharden-failed@.service",
        "/usr/local/lib/kubeharden/record-run",
    }
    for name in ("rotate", "verify"):
        link = tmp_path / UNITS / "timers.target.wants" / f"kubeharden-{name}.timer"
        assert os.readlink(link) == f"/etc/systemd/system/kubeharden-{name}.timer"
    assert (tmp_path / "usr/local/lib/kubeharden/record-run").stat().st_mode & 0o777 == 0o644


def test_the_playbook_of_a_checkout_else_the_collections(tmp_path: Path) -> None:
    assert schedule.playbook("rotate", str(tmp_path), "") == "kubeharden.core.rotate_certificates"
    (tmp_path / "rotate_certificates.yml").touch()
    assert schedule.playbook("rotate", "/elsewhere", str(tmp_path)) == f"{tmp_path}/rotate_certificates.yml"
    assert schedule.playbook("verify", "/elsewhere", str(tmp_path)) == "kubeharden.core.verify"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"directory": ""}, "kubeharden_schedule_directory is empty"),
        ({"ansible_playbook": "", "inventory": []}, "kubeharden_schedule_inventory is empty"),
        ({"directory": "opt"}, "kubeharden_schedule_directory: opt is no absolute path"),
        ({"on_failure": ["mail", "/x"]}, "kubeharden_schedule_on_failure: mail is no absolute path"),
        ({"credentials": {"a/b": "/x"}}, "kubeharden_schedule_credentials: a/b is no name"),
        ({"credentials": {"a": "x"}}, "kubeharden_schedule_credentials: x is no absolute path"),
        ({"calendars": {"rotate": "daily\nExecStart=/x"}}, "has a control character"),
        ({"calendars": {"rotat": "daily"}}, "rotat cannot be scheduled; only rotate and verify can"),
        ({"local_hosts": ["cp1"]}, "kubeharden_schedule_protect: this host is cp1 of the cluster itself"),
    ],
)
def test_what_would_not_work_is_said_and_nothing_is_laid(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(HardeningError) as refused:
        call(tmp_path, **given)
    assert words in str(refused.value)
    assert str(refused.value).endswith("Nothing was changed.")
    assert there(tmp_path) == {}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"calendars": {"rotate": "nightly"}}, "rotate_calendar"),
        ({"calendars": {"rotate": "daily", "verify": "--help"}}, "verify_calendar"),
        ({"random_delay": "1 fortnight"}, "random_delay"),
        ({"timeout": ""}, "timeout"),
    ],
)
def test_systemd_itself_judges_times(tmp_path: Path, given: dict[str, Any], name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        lacking("systemd-analyze was not found")
    with pytest.raises(HardeningError) as refused:
        call(tmp_path, **given)
    assert f"kubeharden_schedule_{name}: systemd does not take " in str(refused.value)
    assert str(refused.value).count("systemd does not take") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the units of systemd are root's")
def test_what_is_not_on_the_host_is_said_all_at_once(tmp_path: Path) -> None:
    given = {
        **GIVEN,
        "user": "nobody-of-that-name",
        "directory": str(tmp_path / "none"),
        "ansible_playbook": str(tmp_path),
        "inventory": ["mine", "host,"],
        "credentials": {"a": "/none/a"},
        "on_failure": ["/none/mail"],
        "metrics_dir": "/none/metrics",
    }
    jobs, settings = schedule._asked(given)
    found = schedule.problems(jobs, settings, Host("/"), run)
    assert [sentence.split(":")[0].removeprefix("kubeharden_schedule_") for sentence in found] == [
        "user",
        "directory",
        "metrics_dir",
        "ansible_playbook",
        "on_failure",
        "inventory",
        "credentials",
    ]


def secrets(path: Path, user: str = "root") -> list[str]:
    settings = schedule._asked({**GIVEN, "user": user, "credentials": {"authorities": str(path)}})[1]
    return [sentence for sentence in schedule._on_host(settings, run) if str(path) in sentence]


@pytest.mark.skipif(os.geteuid() != 0, reason="the units of systemd are root's")
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("secret\n", encoding="utf-8")
    for mode in (0o644, 0o640, 0o604):
        path.chmod(mode)
        assert f"has mode {mode:04o}" in secrets(path)[0]
    path.chmod(0o600)
    assert secrets(path) == []
    os.chown(path, 65534, 0)
    assert "belongs to the user with the number 65534; give it to root." in secrets(path)[0]
    assert secrets(path, "nobody") == []
    path.chmod(0o644)
    os.chown(path, 0, 0)
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n", encoding="utf-8")
    assert secrets(path) == []


def record(directory: Path, before: str = "true") -> subprocess.CompletedProcess[str]:
    """Let a run's end be recorded, by a process that was something else before: its number is known."""
    words = ["sh", "-c", f'{before}; exec sh "$@"', "sh", str(ROOT / "roles/schedule/files/record-run.sh"), "rotate"]
    environment = {**os.environ, "EXIT_CODE": "exited", "EXIT_STATUS": "4", "SERVICE_RESULT": "exit-code"}
    return subprocess.run([*words, str(directory)], env=environment, check=False, capture_output=True, text=True)


def test_how_a_run_ended_is_recorded_and_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs\n", encoding="utf-8")
    directory = tmp_path / "metrics"
    directory.mkdir()
    file = directory / "kubeharden-rotate-run.prom"
    file.symlink_to(victim)
    done = record(directory, f'ln -s "{victim}" "{directory}/.kubeharden-rotate-run.$$"')
    assert (done.returncode, done.stderr) == (0, "")
    assert victim.read_text(encoding="utf-8") == "theirs\n"
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o644
    assert "kubeharden_rotate_last_exit_code 4\n" in file.read_text(encoding="utf-8")
    assert record(directory).returncode == 0
    assert len([name for name in os.listdir(directory) if name.startswith(".")]) == 1
