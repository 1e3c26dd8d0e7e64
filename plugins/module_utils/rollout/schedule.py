# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units that run playbooks on a schedule: what is there, what should be, and systemd told of the difference."""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import shutil
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import units
from ansible_collections.kubeharden.core.plugins.module_utils.components.units import Job, Settings
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    TEMPORARY_PREFIX,
    explain,
    fsync_directory,
    make_directory,
    read_text,
    remove_file,
    sha256,
    write_atomic,
)

#: Runs a command; gives its exit code, output and complaints.
Run = t.Callable[[t.Sequence[str]], tuple[int, str, str]]

UNITS = "/etc/systemd/system"
WANTS = f"{UNITS}/timers.target.wants"
#: When a timer with Persistent=true last fired.
STAMPS = "/var/lib/systemd/timers"
#: By name of the job, the playbook.
PLAYBOOKS = {"rotate": "rotate_certificates", "verify": "verify"}
MODE = 0o644

NOT_TOLD = "systemd was not told of the units, and users and files were not looked at, which takes a running host."
_VAULT = b"$ANSIBLE_VAULT;"
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.-]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What should be there: texts by path, and the timers that are switched on."""

    files: t.Mapping[str, str]
    timers: tuple[str, ...]


def wanted(jobs: t.Sequence[Job], settings: Settings, recorder: str) -> Wanted:
    """Return what should be there.

    Args:
        jobs: What runs; none where everything is removed.
        settings: What they have in common.
        recorder: The text of the program that says how a run ended.
    """
    files: dict[str, str] = {}
    for job in jobs:
        files[f"{UNITS}/{job.service}"] = units.service(job, settings)
        files[f"{UNITS}/{job.timer}"] = units.timer(job, settings)
    if jobs and settings.on_failure:
        files[f"{UNITS}/{units.FAILED}"] = units.failed(settings)
    if jobs and settings.metrics_dir:
        files[units.RECORDER] = recorder
    return Wanted(files, tuple(job.timer for job in jobs))


def playbook(name: str, directory: str, checkout: str) -> str:
    """Return a job's playbook as ansible-playbook takes it: a file of a checkout, else that of the collection."""
    file = f"{PLAYBOOKS[name]}.yml"
    for folder in (directory, checkout):
        if folder and os.path.isfile(os.path.join(folder, file)):
            return os.path.join(folder, file)
    return f"kubeharden.core.{PLAYBOOKS[name]}"


# What the user asked for, judged


def problems(jobs: t.Sequence[Job], settings: Settings, host: Host, run: Run) -> list[str]:
    """Return a sentence for each thing that would keep a unit from working."""
    found = [*_texts(jobs, settings), *_times(jobs, settings, run)]
    return found if found or not host.live else _on_host(settings, run)


def _texts(jobs: t.Sequence[Job], settings: Settings) -> list[str]:
    needed = {
        "directory": settings.directory,
        "ansible_playbook": settings.program,
        "inventory": " ".join(settings.inventory),
    }
    found = [
        f"kubeharden_schedule_{name} is empty, and only on the controller is it known without: say where that is on "
        "this host."
        for name, value in needed.items()
        if not value
    ]
    paths = [("directory", settings.directory), ("ansible_playbook", settings.program)]
    paths += [("metrics_dir", settings.metrics_dir), ("on_failure", "".join(settings.on_failure[:1]))]
    paths += [("credentials", path) for path in settings.credentials.values()]
    found += [
        f"kubeharden_schedule_{name}: {path} is no absolute path."
        for name, path in paths
        if path and not path.startswith("/")
    ]
    found += [
        f"kubeharden_schedule_credentials: {name} is no name; take letters, digits, dots, dashes and underscores."
        for name in settings.credentials
        if not _CREDENTIAL.fullmatch(name)
    ]
    lines = [*(job.calendar for job in jobs), settings.random_delay, settings.timeout, settings.user]
    lines += [path for _name, path in paths]
    found += [
        f"kubeharden_schedule_*: {line!r} has a control character, which no unit of systemd takes."
        for line in lines
        if _CONTROL_CHARACTER.search(line)
    ]
    return found


def _times(jobs: t.Sequence[Job], settings: Settings, run: Run) -> list[str]:
    """Ask systemd itself; where it is not, as on a machine that a directory is made on, nothing can be said."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return []
    asked = [("calendar", f"{job.name}_calendar", job.calendar) for job in jobs]
    asked += [("timespan", "random_delay", settings.random_delay), ("timespan", "timeout", settings.timeout)]
    found = []
    for verb, name, text in asked:
        code, _output, complaint = run([program, verb, "--", text])
        if code != 0:
            said = " ".join(complaint.split()) or f"code {code}"
            found.append(f"kubeharden_schedule_{name}: systemd does not take {text!r}: {said}.")
    return found


def _on_host(settings: Settings, run: Run) -> list[str]:
    if os.geteuid() != 0:
        return ["The units of systemd are root's: run with --become."]
    found = []
    try:
        pwd.getpwnam(settings.user)
    except KeyError:
        found.append(f"kubeharden_schedule_user: there is no user {settings.user} on this host.")
    for name, directory in (("directory", settings.directory), ("metrics_dir", settings.metrics_dir)):
        if directory and not os.path.isdir(directory):
            found.append(f"kubeharden_schedule_{name}: there is no directory {directory} on this host.")
    programs = [("ansible_playbook", settings.program), *(("on_failure", one) for one in settings.on_failure[:1])]
    for name, program in programs:
        if not os.access(program, os.X_OK) or os.path.isdir(program):
            found.append(f"kubeharden_schedule_{name}: there is no program {program} on this host.")
    files = [("inventory", source) for source in settings.inventory if "," not in source]
    files += [("credentials", path) for path in settings.credentials.values()]
    for name, path in files:
        if not os.path.exists(os.path.join(settings.directory, path)):
            found.append(f"kubeharden_schedule_{name}: there is no {path} on this host.")
    found += [sentence for path in settings.credentials.values() for sentence in _open_secret(path, settings.user)]
    if found or not settings.metrics_dir or settings.user == "root":
        return found
    code, _output, _complaint = run(["runuser", "-u", settings.user, "--", "test", "-w", settings.metrics_dir])
    sentence = f"kubeharden_schedule_metrics_dir: {settings.user} may not write {settings.metrics_dir}."
    return [] if code == 0 else [sentence]


def _open_secret(path: str, user: str) -> list[str]:
    """Refuse a secret that others than root and the user of the runs could read, as a run by hand does.

    A socket or directory is systemd's own way to get credentials. What ansible-vault encrypted is nobody's secret.
    """
    try:
        status = os.stat(path)
        owner = pwd.getpwnam(user).pw_uid
        if not stat.S_ISREG(status.st_mode) or _starts_with(path, _VAULT):
            return []
    except (OSError, KeyError):
        return []  # what is not there was said
    where = f"kubeharden_schedule_credentials: {path}"
    found = []
    if status.st_uid not in (0, owner):
        found.append(f"{where} belongs to the user with the number {status.st_uid}; give it to {user}.")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        found.append(f"{where} has mode {mode:04o}, so that others can read the secret; give it mode 0600.")
    return found


def _starts_with(path: str, beginning: bytes) -> bool:
    with open(path, "rb") as handle:
        return handle.read(len(beginning)) == beginning


# The difference


class Schedule:
    """Plans and applies the units of one host.

    Args:
        host: The host's file system.
        target: What should be there.
        run: Runs a command of the host.
    """

    def __init__(self, host: Host, target: Wanted, run: Run) -> None:
        self._host = host
        self._target = target
        self._run = run
        self._jobs = [Job(name, "", "") for name in PLAYBOOKS]
        self._before = {path: read_text(host.path(path)) for path in self._known()}
        self._removed_jobs = [
            job
            for job in self._jobs
            if job.timer not in target.timers
            and any(self._before[f"{UNITS}/{unit}"] is not None for unit in (job.service, job.timer))
        ]

    def _known(self) -> list[str]:
        """Everything that this lays anywhere."""
        found = [f"{UNITS}/{unit}" for job in self._jobs for unit in (job.service, job.timer)]
        return [*found, f"{UNITS}/{units.FAILED}", units.RECORDER]

    def obstacle(self) -> str:
        """Return why nothing may be written or removed now, empty where it may."""
        foreign = [path for path, text in self._before.items() if text is not None and units.MARK not in text]
        if foreign:
            return (
                f"{' and '.join(foreign)} was laid by somebody else, and nothing was changed. Move it away, or put it "
                "under another name, and run again."
            )
        if not self._host.live:
            return ""
        for job in self._removed_jobs:
            if self._says("is-active", job.service) in ("activating", "deactivating"):
                return (
                    f"{job.service} is at work, so it was not removed and nothing was changed. Wait for its end "
                    f"(systemctl status {job.service}) and run again."
                )
        return ""

    def remove_leftovers(self) -> None:
        """Remove temporary files that a run which died left: no record of a run names them.

        Raises:
            HardeningError: What was refused and why.
        """
        for directory in {os.path.dirname(path) for path in self._known()}:
            for name in self._names_in(directory):
                if name.startswith(TEMPORARY_PREFIX):
                    remove_file(os.path.join(self._host.path(directory), name))

    def _names_in(self, directory: str) -> list[str]:
        path = self._host.path(directory)
        return os.listdir(path) if os.path.isdir(path) else []

    def changes(self) -> list[Change]:
        """Return every difference."""
        found = self._directories()
        for path, before in self._before.items():
            after = self._target.files.get(path)
            if after is not None and after != before:
                found.append(file_change("file", path, before, after, ()))
            elif after is None and before is not None:
                found.append(_removal(path, before))
        for job in self._jobs:
            link, there = f"{WANTS}/{job.timer}", os.path.lexists(self._host.link_path(f"{WANTS}/{job.timer}"))
            if job.timer in self._target.timers and not there:
                found.append(Change("link", link, "create", None, f"to {UNITS}/{job.timer}\n"))
            elif job.timer not in self._target.timers and there:
                found.append(Change("link", link, "remove", f"to {UNITS}/{job.timer}\n"))
        found += [_removal(path, read_text(self._host.path(path)) or "") for path in self._left_behind()]
        found += self._emptied(found)
        if self._host.live:
            found += [
                Change("unit", timer, "start", "not active\n", "active\n")
                for timer in self._target.timers
                if self._says("is-active", timer) != "active"
            ]
        return found

    def _needed(self) -> set[str]:
        """Return the directories of what should be there."""
        return {*(os.path.dirname(path) for path in self._target.files), *([WANTS] if self._target.timers else [])}

    def _directories(self) -> list[Change]:
        missing: set[str] = set()
        for path in self._needed():
            directory = path
            while directory != "/" and directory not in missing and not os.path.isdir(self._host.path(directory)):
                missing.add(directory)
                directory = os.path.dirname(directory)
        return [Change("directory", path, "create", after="mode 0755\n") for path in sorted(missing)]

    def _left_behind(self) -> list[str]:
        """What runs and timers of jobs that go away have left: stamps, and metrics that nobody would bring up to date.

        Where metrics go elsewhere now, the old ones are left behind as well.
        """
        found = []
        for job in self._jobs:
            before = self._before[f"{UNITS}/{job.service}"] or ""
            after = self._target.files.get(f"{UNITS}/{job.service}", "")
            directory = units.metrics_of(before)
            if directory and directory != units.metrics_of(after):
                found.append(f"{directory}/kubeharden-{job.name}-run.prom")
                found += [f"{directory}/kubeharden-rotate.prom"] if job.name == "rotate" else []
            if job in self._removed_jobs:
                found.append(f"{STAMPS}/stamp-{job.timer}")
        return [path for path in found if os.path.exists(self._host.path(path))]

    def _emptied(self, found: t.Sequence[Change]) -> list[Change]:
        """Directories of which nothing is left, or was when a run died; systemctl removes empty ones too."""
        gone = {change.target for change in found if change.action == "remove"}
        needed = self._needed()
        empty = []
        for directory in (WANTS, os.path.dirname(units.RECORDER)):
            names = [name for name in self._names_in(directory) if not name.startswith(TEMPORARY_PREFIX)]
            there = {f"{directory}/{name}" for name in names}
            if directory not in needed and os.path.isdir(self._host.path(directory)) and there <= gone:
                empty.append(Change("directory", directory, "remove", "mode 0755\n"))
        return empty

    # The write

    def apply(self, changes: t.Sequence[Change]) -> None:
        """Write, and tell systemd.

        Raises:
            HardeningError: What was refused and why.
        """
        if self._host.live:
            for job in self._removed_jobs:
                if self._before[f"{UNITS}/{job.timer}"] is not None:
                    self._tell("stop", job.timer)
        for change in changes:
            self._apply_one(change)
        if self._host.live:
            self._tell_all(changes)

    def _apply_one(self, change: Change) -> None:
        path = self._host.link_path(change.target)
        owner = (0, 0) if self._host.can_own else None
        if change.kind == "directory" and change.action == "remove":
            _remove_directory(path)
        elif change.kind == "directory":
            make_directory(path, 0o755, owner)
        elif change.kind == "link" and change.action == "create":
            _link(f"{UNITS}/{os.path.basename(path)}", path)
        elif change.kind in ("file", "link") and change.action == "remove":
            remove_file(path)
        elif change.kind == "file":
            write_atomic(path, self._target.files[change.target].encode(), MODE, owner)

    def _tell_all(self, changes: t.Sequence[Change]) -> None:
        written = {change.target for change in changes if change.kind in ("file", "link")}
        if any(target.startswith(UNITS) for target in written):
            self._tell("daemon-reload")
        for job in self._removed_jobs:
            # One that failed would stay in the list of failed units; that it never did is no error.
            self._run(["systemctl", "reset-failed", job.service, job.timer])
        for timer in self._target.timers:
            if f"{UNITS}/{timer}" in written or self._says("is-active", timer) != "active":
                self._tell("restart", timer)
            if self._says("is-active", timer) != "active":
                raise HardeningError(
                    "KH219",
                    f"{timer} was laid and started, and systemd says that it is not active. Look at systemctl status "
                    f"{timer}, and run again.",
                )

    def _tell(self, *words: str) -> None:
        code, _output, complaint = self._run(["systemctl", *words])
        if code != 0:
            said = " ".join(complaint.split()) or f"code {code}"
            raise HardeningError(
                "KH219",
                f"systemctl {' '.join(words)} was refused: {said.rstrip('.')}. What is laid was left; mend that and "
                "run again.",
            )

    def _says(self, *words: str) -> str:
        return self._run(["systemctl", *words])[1].strip()


def _removal(path: str, before: str) -> Change:
    return Change("file", path, "remove", before, None, before_sha256=sha256(before.encode()))


def _link(target: str, path: str) -> None:
    try:
        os.symlink(target, path)
        fsync_directory(os.path.dirname(path))
    except OSError as error:
        raise HardeningError(
            "KH201", f"{path} could not be made: {explain(error)}. Mend that and run again."
        ) from error


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as error:
        raise HardeningError(
            "KH201",
            f"{path} could not be removed: {explain(error)}. What was laid in it is gone; look what else is there.",
        ) from error


def schedule_call(parameters: t.Mapping[str, t.Any], check: bool, run: Run) -> tuple[list[Change], dict[str, t.Any]]:
    """Judge, plan and outside check mode apply; return the changes and the other facts of the result.

    Args:
        parameters: Of the module.
        check: Whether this is check mode.
        run: Runs a command of the host.

    Raises:
        HardeningError: What stopped it.
    """
    host = Host(parameters["root"])
    target = Wanted({}, ())
    if parameters["state"] == "present":
        jobs, settings = _asked(parameters)
        found = [*problems(jobs, settings, host, run), *_unprotected(parameters)]
        if found:
            raise HardeningError("KH012", f"{' '.join(found)} Nothing was changed.")
        target = wanted(jobs, settings, parameters["recorder"])
    plan = Schedule(host, target, run)
    obstacle = plan.obstacle()
    if obstacle:
        raise HardeningError("KH220", obstacle)
    if not check:
        plan.remove_leftovers()
    changes = plan.changes()
    if changes and not check:
        plan.apply(changes)
    return changes, {"notes": [], "not_done": [] if host.live else [NOT_TOLD]}


def _asked(parameters: t.Mapping[str, t.Any]) -> tuple[list[Job], Settings]:
    unknown = sorted(set(parameters["calendars"]) - set(PLAYBOOKS))
    if unknown:
        raise HardeningError(
            "KH012",
            f"{', '.join(unknown)} cannot be scheduled; only {' and '.join(PLAYBOOKS)} can. Nothing was changed.",
        )
    directory, checkout = parameters["directory"], parameters["checkout"]
    jobs = [
        Job(name, playbook(name, directory, checkout), str(parameters["calendars"][name]))
        for name in PLAYBOOKS
        if name in parameters["calendars"]
    ]
    return jobs, Settings(
        user=parameters["user"],
        directory=directory,
        program=parameters["ansible_playbook"],
        inventory=tuple(parameters["inventory"]),
        arguments=tuple(parameters["arguments"]),
        credentials={str(name): str(path) for name, path in parameters["credentials"].items()},
        random_delay=parameters["random_delay"],
        timeout=parameters["timeout"],
        on_failure=tuple(parameters["on_failure"]),
        metrics_dir=parameters["metrics_dir"],
        protect=parameters["protect"],
    )


def _unprotected(parameters: t.Mapping[str, t.Any]) -> list[str]:
    if not parameters["protect"] or not parameters["local_hosts"]:
        return []
    names = ", ".join(parameters["local_hosts"])
    sentence = (
        f"kubeharden_schedule_protect: this host is {names} of the cluster itself (ansible_connection: local), and a "
        "protected run may not write its /etc; set it to false."
    )
    return [sentence]
