# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of modules as a run of Ansible made them, made once more: killed at one of their system calls, and seen.

A run is recorded by the interpreter that it is given for its hosts: it keeps, for each call of a module, the file that
Ansible laid (with its parameters), and the host's directory before and after. What a call does to files is read from
strace, in its order: so it is known what every file was at every moment, and not only at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

STRACE = shutil.which("strace")
TEMPORARY = ".kubeharden-"
#: What is Kubeharden's own, and comes and goes.
OURS = ("/var/lib/kubeharden", "/run/kubeharden")
#: What nobody but root may read, at any moment.
_SECRET = re.compile(r"/var/lib/kubeharden/.*|/run/kubeharden/.*|.*\.key|/etc/kubernetes/[^/]*\.conf|.*\.pem")
_OTHERS = 0o077

_WRITES = (
    *("creat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("write", "pwrite64", "writev", "truncate", "ftruncate", "fsync", "fdatasync", "utimensat", "setxattr"),
    *("fsetxattr", "openat", "open"),
)

# The interpreter of a host: keeps what was before and after each call of a module.
_RECORDER = """\
#!{python}
import os, shutil, subprocess, sys
root, calls, host = {root!r}, {calls!r}, {host!r}
if len(sys.argv) != 2 or "AnsiballZ_" not in sys.argv[1]:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
while True:
    place = os.path.join(calls, "%04d" % len(os.listdir(calls)))
    try:
        os.mkdir(place)
        break
    except FileExistsError:
        continue
shutil.copy(sys.argv[1], place)
if os.path.isdir(root):
    shutil.copytree(root, os.path.join(place, "before"), symlinks=True)
code = subprocess.call([sys.executable, sys.argv[1]])
if os.path.isdir(root):
    shutil.copytree(root, os.path.join(place, "after"), symlinks=True)
with open(os.path.join(place, "host"), "w", encoding="ascii") as stream:
    stream.write(host)
sys.exit(code)
"""


def recorder(path: Path, host: str, root: Path, calls: Path) -> Path:
    """Write the interpreter of one host."""
    calls.mkdir(exist_ok=True)
    text = _RECORDER.format(python=sys.executable, root=str(root), calls=str(calls), host=host)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a module.

    :param number: its place in the recorded runs
    :param host: the host
    :param module: the module's name
    :param place: where the file that Ansible laid and the directories before and after are
    """

    number: int
    host: str
    module: str
    place: Path

    @property
    def before(self) -> Path:
        return self.place / "before"

    @property
    def after(self) -> Path:
        return self.place / "after"

    @property
    def file(self) -> Path:
        return self.place / f"AnsiballZ_{self.module}.py"

    @property
    def run_id(self) -> str:
        """The run that it was a part of."""
        return self._parameter("run_id")

    @property
    def root(self) -> str:
        """The directory that stood for the host."""
        return self._parameter("root")

    def _parameter(self, name: str) -> str:
        match = re.search(rf'"{name}": "([^"]+)"', self.file.read_text(encoding="utf-8"))
        return match.group(1) if match else ""

    def __str__(self) -> str:
        return f"{self.number:02d} {self.module} on {self.host}"


def recorded(calls: Path) -> list[Call]:
    """The calls of the runs, in their order."""
    found = []
    for place in sorted(calls.iterdir()):
        (file,) = place.glob("AnsiballZ_*.py")
        host = (place / "host").read_text(encoding="ascii")
        found.append(Call(int(place.name), host, file.stem.partition("_")[2], place))
    return found


def laid(directory: Path, root: Path) -> None:
    """Make the host's directory what it was; times and owners as well."""
    shutil.rmtree(root, ignore_errors=True)
    if directory.exists():
        shutil.copytree(directory, root, symlinks=True)


# ---- a call once more ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Event:
    """One system call that changes a file, or could.

    :param name: of the system call
    :param ordinal: the how many-th of this name it is in its process, which is how strace counts
    :param arguments: as strace shows them
    :param done: whether it came to its end without an error
    """

    name: str
    ordinal: int
    arguments: str
    done: bool
    result: str

    @property
    def paths(self) -> list[str]:
        """Paths in quotes, then that of the descriptor."""
        quoted = [one for one in re.findall(r'"((?:[^"\\]|\\.)*)"', self.arguments) if one.startswith("/")]
        descriptor = re.match(r"\d+<([^>]*)>", self.arguments)
        return [*([descriptor.group(1)] if descriptor else []), *quoted]

    @property
    def is_sign_of_life(self) -> bool:
        """Each call of a run gives its lock a new time, and changes nothing by it."""
        return self.name == "utimensat" and any(one.endswith(f"{OURS[1]}/lock") for one in self.paths)

    @property
    def opens_for_writing(self) -> bool:
        return bool(re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", self.arguments))


@dataclasses.dataclass(frozen=True)
class Seen:
    """What became of a call: its end, what it said, and its system calls below the host's directory, in order."""

    code: int
    output: str
    events: tuple[Event, ...]


_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


def _events(log: Path, root: Path) -> tuple[Event, ...]:
    found: list[Event] = []
    counts: dict[tuple[str, str], int] = {}
    first = ""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        process, name, rest = match.groups()
        first = first or process
        counts[process, name] = counts.get((process, name), 0) + 1
        arguments, _equals, result = rest.rpartition(") = ")
        done = bool(_equals) and not result.startswith(("-1", "?"))
        arguments = arguments or rest.partition(" <unfinished")[0]
        event = Event(name, counts[process, name], arguments, done, result)
        opened = name not in ("openat", "open") or event.opens_for_writing
        if opened and any(one.startswith(f"{root}/") for one in event.paths) and not event.is_sign_of_life:
            assert process == first, f"not the module's own process: {line}"
            found.append(event)
    return tuple(found)


def run(call: Call, root: Path, log: Path, kill: Event | None = None, after: str = "", name: str = "") -> Seen:
    """Make a call once more, under strace.

    :param log: where strace writes
    :param kill: the system call at which it is killed, None to let it come to its end
    :param after: the run that died before this one, which its controller knows to be dead; empty for none
    :param name: what the run is called, by default as it was recorded
    """
    text = call.file.read_text(encoding="utf-8")
    recorded_as = f'"run_id": "{call.run_id}"'
    assert text.count(recorded_as) == 1
    dead = f', "dead_run": "{after}"' if after and call.module in ("discover", "preflight") else ""
    file = log.with_suffix(".py")
    text = text.replace(recorded_as, f'"run_id": "{name or call.run_id}"{dead}')
    # The controller says what time it is.
    file.write_text(re.sub(r'"now": [0-9.]+', f'"now": {time.time()}', text), encoding="utf-8")
    traced = ",".join(f"?{call}" for call in _WRITES)  # those that this machine does not have are none
    words = [str(STRACE), "-f", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={traced}"]
    if kill is not None:
        words += ["-e", f"inject={kill.name}:signal=SIGKILL:when={kill.ordinal}"]
    done = subprocess.run(
        [*words, sys.executable, "-B", str(file)],
        env={
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(log.parent),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Seen(done.returncode, done.stdout + done.stderr, _events(log, root))


# ---- every moment ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _File:
    mode: int
    synced: bool = True
    size: int = -1  # not known of what was there before


class Moments:
    """What every file below a directory was, at every moment of a call, and what was wrong with it then.

    :param root: the host's directory
    :param goes: paths that may go, since they are not there any more when the call has come to its end
    :param links: links that may be made, since they are there then; one is whole from its first moment
    """

    def __init__(self, root: Path, before: Path, goes: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        self._root = str(root)
        self._goes = set(goes)
        self._links = set(links)
        self._files: dict[str, _File] = {}
        self.problems: list[str] = []
        self.looked_at = 0
        for path, status in _walk(before):
            if stat.S_ISREG(status.st_mode):
                self._files[path] = _File(stat.S_IMODE(status.st_mode))

    def see(self, events: Sequence[Event]) -> list[str]:
        """Go through what a call did; returns the problems."""
        for event in events:
            if not event.done:
                continue
            self.looked_at += 1
            paths = [one[len(self._root) :] for one in event.paths if one.startswith(self._root + "/")]
            if paths and event.name in _HANDLERS:
                _HANDLERS[event.name](self, event, paths)
        return self.problems

    def check_disk(self) -> None:
        """What was followed is what is there: else this did not see everything."""
        there = {path: status for path, status in _walk(Path(self._root)) if stat.S_ISREG(status.st_mode)}
        for path in sorted({*there, *self._files}):
            followed, status = self._files.get(path), there.get(path)
            if followed is None or status is None or followed.mode != stat.S_IMODE(status.st_mode):
                shown = "nothing" if status is None else f"mode {stat.S_IMODE(status.st_mode):04o}"
                self.problems.append(f"{path} is {shown} and was followed to be {followed}")

    def _wrong(self, event: Event, words: str) -> None:
        self.problems.append(f"{words}: {event.name}({event.arguments[:300]}) = {event.result}")

    def _opened(self, event: Event, paths: list[str]) -> None:
        path = paths[-1]
        if not event.opens_for_writing:
            return
        if not os.path.basename(path).startswith(TEMPORARY):
            self._wrong(event, f"{path} is written where it stands, so that a part of it can be seen")
            return
        mode = re.search(r", (0\d+)$", event.arguments)
        made = int(mode.group(1), 8) if mode else 0o666
        if made & _OTHERS:
            self._wrong(event, f"{path} can be read by others before it is filled")
        self._files[path] = _File(made, synced=False, size=0)

    def _filled(self, event: Event, paths: list[str]) -> None:
        file = self._files.get(paths[0])
        if file is None or not os.path.basename(paths[0]).startswith(TEMPORARY):
            self._wrong(event, f"{paths[0]} is filled where it stands")
            return
        file.size += int(event.result.split()[0])
        file.synced = False

    def _synced(self, _event: Event, paths: list[str]) -> None:
        if paths[0] in self._files:
            self._files[paths[0]].synced = True

    def _mode(self, event: Event, paths: list[str]) -> None:
        path = paths[0]
        mode = int(re.findall(r", (0\d*)", event.arguments)[-1], 8)
        file = self._files.get(path)
        if file is None:
            return  # a directory
        name = path if not os.path.basename(path).startswith(TEMPORARY) else ""
        if name and _SECRET.fullmatch(name) and mode & _OTHERS & ~file.mode:
            self._wrong(event, f"{path} can be read by others from now on")
        file.mode, file.synced = mode, file.synced and not os.path.basename(path).startswith(TEMPORARY)

    def _renamed(self, event: Event, paths: list[str]) -> None:
        source, target = paths[0], paths[-1]
        file = self._files.pop(source, None)
        if file is None:
            self._moved_directory(source, target)
            return
        if not os.path.basename(source).startswith(TEMPORARY):
            self._wrong(event, f"{source} is missing from now on")
        if not file.synced:
            self._wrong(event, f"{target} is not on the disk when it gets its name")
        if file.size == 0:
            self._wrong(event, f"{target} is empty")
        if _SECRET.fullmatch(target) and file.mode & _OTHERS:
            self._wrong(event, f"{target} can be read by others")
        self._files[target] = file

    def _moved_directory(self, source: str, target: str) -> None:
        for path in [one for one in self._files if one.startswith(source + "/")]:
            self._files[target + path[len(source) :]] = self._files.pop(path)

    def _removed(self, event: Event, paths: list[str]) -> None:
        path = paths[-1]
        self._files.pop(path, None)
        ours = path.startswith(OURS) or os.path.basename(path).startswith(TEMPORARY)
        if not ours and path not in self._goes:
            self._wrong(event, f"{path} is missing from now on")

    def _linked(self, event: Event, paths: list[str]) -> None:
        if event.name not in ("symlink", "symlinkat") or paths[-1] not in self._links:
            self._wrong(event, "a link is made, and nobody follows what is seen through it")

    def _truncated(self, event: Event, paths: list[str]) -> None:
        self._wrong(event, f"{paths[0]} is cut")


_HANDLERS = {
    **dict.fromkeys(("openat", "open", "creat"), Moments._opened),
    **dict.fromkeys(("write", "pwrite64", "writev"), Moments._filled),
    **dict.fromkeys(("fsync", "fdatasync"), Moments._synced),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "fchmodat2"), Moments._mode),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Moments._renamed),
    **dict.fromkeys(("unlink", "unlinkat"), Moments._removed),
    **dict.fromkeys(("link", "linkat", "symlink", "symlinkat"), Moments._linked),
    **dict.fromkeys(("truncate", "ftruncate"), Moments._truncated),
}


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            yield path[len(str(root)) :], os.lstat(path)


def tree(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, owner, group and content of everything on a host but what is Kubeharden's own."""
    found = {}
    for path, status in _walk(root):
        if path.startswith(OURS) or path in ("/run", "/var/lib/kubeharden"):
            continue
        full = f"{root}{path}"
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(Path(full).read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(full)
        found[path] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def gone(call: Call) -> list[str]:
    """Paths that were there before a call and are not after it."""
    after = {path for path, _status in _walk(call.after)}
    return [path for path, _status in _walk(call.before) if path not in after]


def links(directory: Path) -> list[str]:
    """Paths of a host that are links."""
    return [path for path, status in _walk(directory) if stat.S_ISLNK(status.st_mode)]


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Paths in which two hosts differ."""
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))
