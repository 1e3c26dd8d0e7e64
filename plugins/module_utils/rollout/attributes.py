# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners and modes: what each named file may be at most, and the exception that a package upgrade respects."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, Saved, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import explain, read_text, write_atomic

#: Users that may be made for a file's sake, with the words of their account.
_SYSTEM_USERS = {"etcd": "etcd data directory"}
_STATOVERRIDE = "/var/lib/dpkg/statoverride"
_PACKAGED = ("/usr/lib/", "/lib/")
_TMPFILES = "/etc/tmpfiles.d/kubeharden.conf"
_TMPFILES_HEADER = (
    "# Kubeharden: modes that a package upgrade would put back. SPDX-License-Identifier: GPL-3.0-or-later\n"
)

Run = t.Callable[[list[str]], tuple[int, str, str]]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a file may be.

    Attributes:
        path: The file on the host.
        mode: Permission bits at most.
        owner: User, None to leave it.
        group: Group, None to leave it.
        persist: Whether a package would put its own mode back.
        control: The control that asks for it.
    """

    path: str
    mode: int
    owner: str | None
    group: str | None
    persist: bool
    control: str


@dataclasses.dataclass(frozen=True)
class Step:
    """One change of one file's attributes."""

    change: Change
    path: str
    mode: int | None
    uid: int = -1
    gid: int = -1


class Attributes:
    """Plans and applies the attributes of one host's files.

    Args:
        host: The host's file system.
        wanted: What the files may be.
        run: Runs a command of the host.
        rootless: Files that a static pod reads which does not run as root: they are its user's, and stay.
    """

    def __init__(self, host: Host, wanted: t.Sequence[Wanted], run: Run, rootless: t.Collection[str] = ()) -> None:
        self._host = host
        self._wanted = wanted
        self._rootless = rootless
        self._run = run
        #: What was left undone, as sentences.
        self.not_done: list[str] = []
        self._owners_left = False
        self._users: list[Change] = []
        self._steps: list[Step] = []
        self._overrides: list[tuple[Change, str]] = []
        self._tmpfiles: Change | None = None

    def plan(self) -> list[Change]:
        """Return what would change, without changing it."""
        lines: dict[str, Wanted] = {}
        theirs = []
        for wanted in self._wanted:
            step = self._step(wanted) if wanted.path not in self._rootless else None
            if wanted.path in self._rootless and self._is_otherwise(wanted):
                theirs.append(wanted.path)
            if step is not None:
                self._steps.append(step)
            if wanted.persist and wanted.path.startswith(_PACKAGED):
                lines[wanted.path] = wanted
        self._plan_persistence(lines)
        if theirs:
            self.not_done.append(
                f"Owner and mode of {', '.join(sorted(theirs))} stayed: static pods read them that do not run as root "
                "(runAsUser in their manifests), and would not start again."
            )
        if self._owners_left:
            self.not_done.append("Owners were not set, which takes root.")
        extra = [self._tmpfiles] if self._tmpfiles else []
        overrides = [change for change, path in self._overrides]
        return [*self._users, *(step.change for step in self._steps), *overrides, *extra]

    def _step(self, wanted: Wanted) -> Step | None:
        try:
            status = os.stat(self._host.path(wanted.path))
        except FileNotFoundError:
            return None
        mode = stat.S_IMODE(status.st_mode)
        new_mode = mode & wanted.mode
        uid, gid = self._owner(wanted, status)
        if new_mode == mode and uid == -1 and gid == -1:
            return None
        before = _line(wanted.path, mode, _user_name(status.st_uid), _group_name(status.st_gid))
        after = _line(
            wanted.path,
            new_mode,
            str(wanted.owner) if uid != -1 or self._is_new(wanted.owner) else _user_name(status.st_uid),
            str(wanted.group) if gid != -1 or self._is_new(wanted.group) else _group_name(status.st_gid),
        )
        change = Change("attributes", wanted.path, "set", before, after, controls=(wanted.control,))
        return Step(change, wanted.path, new_mode if new_mode != mode else None, uid, gid)

    def _is_otherwise(self, wanted: Wanted) -> bool:
        """Return whether a file is of others, or open to more, than is wanted."""
        try:
            status = os.stat(self._host.path(wanted.path))
        except FileNotFoundError:
            return False
        is_roots = (status.st_uid, status.st_gid) == (0, 0) or not self._host.can_own
        return bool(stat.S_IMODE(status.st_mode) & ~wanted.mode) or not is_roots

    def _is_new(self, name: str | None) -> bool:
        return any(change.target == name for change in self._users)

    def _owner(self, wanted: Wanted, status: os.stat_result) -> tuple[int, int]:
        """Return user and group to set, -1 for what is right or stays; -2 for a user that this run makes first."""
        uid = self._identifier(wanted.owner, status.st_uid, _uid_of)
        gid = self._identifier(wanted.group, status.st_gid, _gid_of)
        if (uid, gid) != (-1, -1) and not self._host.can_own:
            self._owners_left = True
            return -1, -1
        return uid, gid

    def _identifier(self, name: str | None, current: int, look_up: t.Callable[[str], int | None]) -> int:
        if name is None:
            return -1
        number = 0 if name == "root" else look_up(name)
        if number is None:
            self._plan_user(name)
            return -2 if self._is_new(name) else -1
        return -1 if number == current else number

    def _plan_user(self, name: str) -> None:
        if name not in _SYSTEM_USERS:
            raise HardeningError(
                "KH213",
                f"There is no user or group {name} on this host. Nothing was changed; "
                "make it or correct templates/files.",
            )
        if self._is_new(name):
            return
        if not self._host.live:
            self.not_done.append(
                f"The system user {name} was not made: {self._host.root} stands for a host, but is none."
            )
            return
        words = f"system user {name}, no home, no shell\n"
        self._users.append(Change("user", name, "create", after=words, controls=("files-etcd-data-directory",)))

    # Persistence

    def _plan_persistence(self, wanted: t.Mapping[str, Wanted]) -> None:
        if not wanted:
            return
        if not self._host.live:
            names = ", ".join(sorted(wanted))
            self.not_done.append(
                f"The package manager was not told to keep the modes of {names}, which takes a running host."
            )
            return
        if os.path.exists("/usr/bin/dpkg-statoverride"):
            for path, entry in wanted.items():
                self._plan_override(path, entry)
            return
        text = _TMPFILES_HEADER + "".join(
            f"z {path} {entry.mode:04o} {entry.owner} {entry.group} -\n" for path, entry in sorted(wanted.items())
        )
        before = read_text(_TMPFILES)
        if before != text:
            self._tmpfiles = file_change("file", _TMPFILES, before, text, [entry.control for entry in wanted.values()])

    def _plan_override(self, path: str, wanted: Wanted) -> None:
        overrides = _overrides(read_text(_STATOVERRIDE) or "")
        aliases = [path, path[len("/usr") :] if path.startswith("/usr/lib/") else "/usr" + path]
        for alias in aliases:
            entry = overrides.get(alias)
            if entry and entry[:2] == ("root", "root") and not entry[2] & ~wanted.mode:
                return
        target = self._name_in_package(aliases)
        current = overrides.get(target)
        before = None if current is None else _line(target, current[2], current[0], current[1])
        after = _line(target, wanted.mode, "root", "root")
        self._overrides.append((Change("override", target, "set", before, after, controls=(wanted.control,)), target))

    def _name_in_package(self, aliases: t.Sequence[str]) -> str:
        """Return the path as the package has it: /lib and /usr/lib are one directory, but two names for dpkg."""
        for alias in aliases:
            if self._run(["dpkg-query", "--search", alias])[0] == 0:
                return alias
        return aliases[0]

    # Apply

    def apply(self, backup: Backup) -> None:
        """Make the planned changes; if one fails, those before it go back.

        Raises:
            HardeningError: What was refused, and what could not go back.
        """
        saved: list[Saved] = []
        overridden: list[Change] = []
        made: list[str] = []
        try:
            for change in self._users:
                backup.note("user", change.target)
                self._make_user(change.target)
                made.append(change.target)
            for step in self._steps:
                saved.append(backup.save_step(step.path, content=False, after=self._outcome(step)))
                self._set(step)
            for change, target in self._overrides:
                backup.note("override", target, before=change.before, after=change.after)
                set_override(self._run, target, str(change.after))
                overridden.append(change)
            if self._tmpfiles is not None:
                saved += backup.save_changes([self._tmpfiles])
                write_atomic(_TMPFILES, (self._tmpfiles.after or "").encode(), 0o644, (0, 0))
        except HardeningError as error:
            problems = [*self._take_back(overridden), *backup.put_back(saved), *self._remove(made)]
            raise HardeningError(error.number, " ".join([str(error), *problems])) from error

    def _take_back(self, overridden: t.Sequence[Change]) -> list[str]:
        """Take exceptions of the package manager back, and return a sentence for each that stayed."""
        problems = []
        for change in reversed(overridden):
            try:
                set_override(self._run, change.target, change.before)
            except HardeningError as error:
                problems.append(str(error))
        return problems

    def _remove(self, users: t.Sequence[str]) -> list[str]:
        """Remove users that were just made, and return a sentence for each that stayed."""
        problems = []
        for name in reversed(users):
            theirs = [step.path for step in self._steps if self._is_of(step.path, name)]
            if theirs:  # those would be of a number that the next user gets
                problems.append(f"The system user {name} stays, since {', '.join(theirs)} did not go back.")
                continue
            try:
                remove_user(self._run, name)
            except HardeningError as error:
                problems.append(str(error))
        return problems

    def _is_of(self, path: str, name: str) -> bool:
        status = os.stat(self._host.path(path))
        return status.st_uid == _uid_of(name) or status.st_gid == _gid_of(name)

    def _owner_of(self, step: Step) -> tuple[int | None, int | None]:
        """Return user and group that a step sets, -1 for what stays, None for one that does not exist."""
        wanted = next(entry for entry in self._wanted if entry.path == step.path)
        uid = _uid_of(str(wanted.owner)) if step.uid == -2 else step.uid
        gid = _gid_of(str(wanted.group)) if step.gid == -2 else step.gid
        return uid, gid

    def _outcome(self, step: Step) -> list[int | None]:
        """Return mode, user and group of a file after its step."""
        status = os.stat(self._host.path(step.path))
        uid, gid = self._owner_of(step)
        mode = stat.S_IMODE(status.st_mode) if step.mode is None else step.mode
        return [mode, status.st_uid if uid == -1 else uid, status.st_gid if gid == -1 else gid]

    def _set(self, step: Step) -> None:
        wanted = next(entry for entry in self._wanted if entry.path == step.path)
        real = self._host.path(step.path)
        uid, gid = self._owner_of(step)
        if uid is None or gid is None:
            raise HardeningError(
                "KH212",
                f"There is no {wanted.owner}:{wanted.group} for {step.path}, though it was just made. "
                "What this task had changed on this host went back; look why and run again.",
            )
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if (uid, gid) != (-1, -1):
                    os.fchown(descriptor, uid, gid)
                if step.mode is not None:
                    os.fchmod(descriptor, step.mode)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HardeningError(
                "KH212",
                f"Owner and mode of {step.path} could not be set: {explain(error)}. What this task had changed on this "
                "host went back; mend that and run again.",
            ) from error

    def _make_user(self, name: str) -> None:
        options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--comment", _SYSTEM_USERS[name]]
        code, _out, error = self._run(["useradd", *options, name])
        if code != 0:
            raise HardeningError(
                "KH213",
                f"The system user {name} could not be made: {error.strip()}. No file was changed; make it by hand, "
                "and run again.",
            )


def set_override(run: Run, target: str, line: str | None) -> None:
    """Give the package manager an exception in place of the one that it has, or take it away (None)."""
    options = ["--remove", target]
    if line is not None:
        _path, mode, owner, group = line.rsplit(None, 3)
        options = ["--force-statoverride-add", "--add", owner, group, f"{int(mode, 8):o}", target]
    code, _out, error = run(["dpkg-statoverride", *options])
    if code != 0:
        raise HardeningError(
            "KH212",
            f"dpkg-statoverride refused {target}: {error.strip()}. What this task had changed on this host went "
            "back; mend that and run again.",
        )


def override_of(target: str) -> str | None:
    """Return the package manager's exception for a path as it is told, None where there is none."""
    entry = _overrides(read_text(_STATOVERRIDE) or "").get(target)
    return None if entry is None else _line(target, entry[2], entry[0], entry[1])


def user_exists(name: str) -> bool:
    """Return whether there is such a user, and it is the one that this collection makes."""
    try:
        return pwd.getpwnam(name).pw_gecos == _SYSTEM_USERS.get(name)
    except KeyError:
        return False


def remove_user(run: Run, name: str) -> None:
    """Remove a system user that was made for a file's sake.

    Raises:
        HardeningError: It is in use.
    """
    code, _out, error = run(["userdel", name])
    if code != 0:
        raise HardeningError(
            "KH213",
            f"The system user {name} could not be removed: {error.strip()}. It was left as it is; end what runs as it, "
            "and run again.",
        )


def _line(path: str, mode: int, owner: str, group: str) -> str:
    return f"{path} {mode:04o} {owner} {group}\n"


def described(path: str, mode: int, uid: int, gid: int) -> str:
    """Return a file's mode and owner as they are told."""
    return _line(path, mode, _user_name(uid), _group_name(gid))


def _overrides(text: str) -> dict[str, tuple[str, str, int]]:
    entries = {}
    for line in text.splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[2].isdigit():
            entries[parts[3]] = (parts[0], parts[1], int(parts[2], 8))
    return entries


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _gid_of(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def wanted_from_data(
    paths: t.Mapping[str, t.Sequence[str]], attributes: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[Wanted]:
    """Return what each discovered file may be.

    Args:
        paths: By what a file is, its paths on this host.
        attributes: By what a file is, ``mode``, ``owner``, ``group``, ``persist`` and ``control``.
    """
    wanted: dict[str, Wanted] = {}
    for role, data in attributes.items():
        for path in paths.get(role, []):
            entry = Wanted(
                path=path,
                mode=int(str(data["mode"]), 8),
                owner=data.get("owner"),
                group=data.get("group"),
                persist=bool(data.get("persist", False)),
                control=str(data["control"]),
            )
            # One file may be several things, such as the kubelet's client authority; the strictest mode holds.
            if path not in wanted or entry.mode < wanted[path].mode:
                wanted[path] = entry
    return list(wanted.values())
