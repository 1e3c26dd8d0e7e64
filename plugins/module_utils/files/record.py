# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run changes, and how each change goes back."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import stat
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.document import (
    ANYTHING,
    NUMBER,
    TEXT_OR_NOTHING,
    fits,
    read_object,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    explain,
    make_directory,
    read_bytes,
    remove_file,
    sha256,
    write_atomic,
)

#: Of record.json. Schema 1 did not say what a change made of its target, nor when the run began.
SCHEMA = 2
RECORD = "record.json"
#: By these a file has a private key in it: PEM, and what a kubeconfig embeds.
_KEY_BYTES = (b"PRIVATE KEY-----", b"client-key-data:")
#: Bytes of a record that is still read; entries of a whole cluster's objects are large.
RECORD_LIMIT = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Change:
    """One line of changes.json, the same whether it is foretold or done.

    Attributes:
        kind: file, directory, link, attributes, manifest, api_object, user, package, sysctl, override, unit or
            container.
        target: The path, the API object or the name.
        action: create, update, set, remove, install, start or restart.
        before: Text before, None where it did not exist or is no text that may be shown.
        after: Text after.
        before_sha256: Of the bytes before.
        after_sha256: Of the bytes after.
        controls: Identifiers of the controls that ask for it.
        restart: Components that this change restarts on this host.
        wait_for: The state that must come first, written as ``after`` in the file; empty for most.
        random: Names of fields that differ from run to run.
    """

    kind: str
    target: str
    action: str
    before: str | None = None
    after: str | None = None
    before_sha256: str | None = None
    after_sha256: str | None = None
    controls: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    wait_for: str = ""
    random: tuple[str, ...] = ()

    def unified(self) -> str:
        """Return the difference as a unified diff."""
        lines = difflib.unified_diff(
            (self.before or "").splitlines(), (self.after or "").splitlines(), "before", "after", lineterm="", n=2
        )
        return "\n".join(lines)

    def as_record(self) -> dict[str, t.Any]:
        """Return the change as changes.json has it, but for the host."""
        return {
            "kind": self.kind,
            "target": self.target,
            "action": self.action,
            "before_sha256": self.before_sha256,
            "after_sha256": self.after_sha256,
            "diff": self.unified(),
            "controls": list(self.controls),
            "restart": list(self.restart),
            "after": self.wait_for,
            "random": list(self.random),
        }

    @property
    def outcome(self) -> str | None:
        """What this makes of its target, as a record has it; None for no file."""
        return "directory" if self.kind == "directory" and self.action == "create" else self.after_sha256

    def as_diff(self) -> dict[str, str]:
        """Return the change as Ansible's --diff shows it."""
        header = f"{self.kind} {self.target}" + (f" (restarts {', '.join(self.restart)})" if self.restart else "")
        return {
            "before_header": header,
            "after_header": header,
            "before": _ended(self.before),
            "after": _ended(self.after),
        }


def _ended(text: str | None) -> str:
    return text + "\n" if text and not text.endswith("\n") else text or ""


def directory_change(host: Host, path: str, controls: t.Sequence[str] = (), mode: int = 0o700) -> Change:
    """Return the making of a directory, which is root's where this process is."""
    owner = " root root" if host.can_own else ""
    return Change("directory", path, "create", after=f"{path} {mode:04o}{owner}\n", controls=tuple(controls))


def file_change(
    kind: str, target: str, before: str | None, after: str, controls: t.Sequence[str], restart: t.Sequence[str] = ()
) -> Change:
    """Return the change of a text file's bytes."""
    return Change(
        kind=kind,
        target=target,
        action="create" if before is None else "update",
        before=before,
        after=after,
        before_sha256=None if before is None else sha256(before.encode()),
        after_sha256=sha256(after.encode()),
        controls=tuple(sorted(set(controls))),
        restart=tuple(restart),
    )


@dataclasses.dataclass(frozen=True)
class Saved:
    """A file or directory as it was before the run, enough to put it back."""

    path: str
    kind: str  # file, directory, attributes (no bytes kept) or absent
    mode: int = 0
    uid: int = 0
    gid: int = 0
    atime_ns: int = 0
    mtime_ns: int = 0
    sha256: str | None = None
    stored: str | None = None


#: The same in a file.
SAVED_FORM = {
    "path": str,
    "kind": str,
    **dict.fromkeys(("mode", "uid", "gid", "atime_ns", "mtime_ns"), int),
    **dict.fromkeys(("sha256", "stored"), TEXT_OR_NOTHING),
}
_RECORD_FORM = {
    "schema": int,
    "began?": NUMBER,
    "entries": [{"kind": str, "target": str, "*": ANYTHING}],
    "undone_by?": str,
    "undoes?": [str],
    "finished?": bool,
    "*": ANYTHING,
}
_ENTRY_FORMS = {
    **{kind: {**SAVED_FORM, "*": ANYTHING} for kind in ("file", "absent", "attributes", "directory")},
    "one_way": {"why": str, "*": ANYTHING},
}


def is_record(document: t.Any) -> bool:
    """Return whether what a file holds is a record in every part."""
    return fits(document, _RECORD_FORM) and all(
        fits(entry, _ENTRY_FORMS.get(entry["kind"], ANYTHING)) for entry in document["entries"]
    )


def saved_from(entry: t.Mapping[str, t.Any]) -> Saved:
    """Return what an entry of a record saved."""
    return Saved(**{field.name: entry[field.name] for field in dataclasses.fields(Saved)})


def read_record(path: str) -> dict[str, t.Any] | None:
    """Return the record of a run, None where none was begun.

    Raises:
        HardeningError: It is damaged, or of a newer Kubeharden.
    """
    way_out = f"restore the file, or move {os.path.dirname(path)} away and put that run back by hand"
    document: dict[str, t.Any] | None = read_object(path, is_record, "record of a run", way_out, RECORD_LIMIT)
    if document is not None and document["schema"] > SCHEMA:
        raise HardeningError(
            "KH402",
            f"{path} was written by a newer Kubeharden (schema {document['schema']}, {SCHEMA} is known here). Nothing "
            "was changed; use that version.",
        )
    return document


def holds_key(data: bytes) -> bool:
    """Return whether a file's bytes hold a private key, which never goes back."""
    return any(words in data for words in _KEY_BYTES)


def staging_for(host: Host, path: str, watched: str | None) -> str | None:
    """Return the directory for a temporary file: the parent of a watched one, else the file's own (None)."""
    if watched and os.path.dirname(path) == watched:
        return host.path(os.path.dirname(watched))
    return None


class Backup:
    """The private directory of one run on one host: the bytes before, and the record of what was done.

    It lies below /var/lib/kubeharden (mode 0700), outside every directory that a component watches. ``record.json`` has
    ``schema``, ``began`` (seconds since the epoch) and ``entries`` in the order in which they were changed; of a
    rollback also ``undoes`` (runs, the newest first) and ``finished``; of a run put back ``undone_by``. An entry has
    ``kind`` and ``target``, what was there before, and in ``after`` what the run made of it:

    ========== =========================================================================================
    file       its bytes are in ``stored``, beside mode, owner and times; None where it held a key that is too old to
               be kept
    absent     there was none; also for each directory that was missing above it
    attributes only mode and owner change, so no bytes are kept; ``directory`` is the same for one
    sysctl     ``before`` is the kernel's value
    override   ``before`` is dpkg-statoverride's line
    user       it did not exist
    api_object ``before`` is the document, as text
    package    it was installed, and stays
    one_way    it cannot go back; ``why`` is a sentence, and ``stored`` names the bytes before where they were kept
    ========== =========================================================================================

    Args:
        host: The host's file system.
        run_id: The run.
        now: Seconds since the epoch.
    """

    def __init__(self, host: Host, run_id: str, now: t.Callable[[], float] = time.time) -> None:
        self.host = host
        self.run_id = run_id
        self.directory = host.path(f"{STATE_DIRECTORY}/backups/{run_id}")
        self._record = os.path.join(self.directory, RECORD)
        self._now = now
        self._document: dict[str, t.Any] | None = None

    def document(self) -> dict[str, t.Any]:
        """Return the record, empty but for its begin where nothing has been written yet."""
        if self._document is None:
            found = read_record(self._record)
            self._document = found or {"schema": SCHEMA, "began": self._now(), "entries": []}
        return self._document

    def _load(self) -> list[dict[str, t.Any]]:
        return t.cast("list[dict[str, t.Any]]", self.document()["entries"])

    def write(self, **fields: t.Any) -> None:
        """Write the record, with fields of the run as a whole."""
        self.prepare()
        self.document().update(fields)
        write_atomic(self._record, (json.dumps(self.document(), indent=1) + "\n").encode(), 0o600)

    def _append(self, entry: dict[str, t.Any]) -> None:
        self._load().append(entry)
        self.write()

    def note(self, kind: str, target: str, **details: t.Any) -> None:
        """Record a change that is no file (a user, a package override), before it is made."""
        self._append({"kind": kind, "target": target, **details})

    def keep(self, path: str, why: str) -> None:
        """Record that the change of a file does not go back, before it is made; its bytes are kept for a person.

        Args:
            path: The file on the host, which may not exist yet.
            why: Why it does not go back, as a sentence.
        """
        self.prepare()
        stored = self._capture(path, len(self._load()), content=True).stored
        self._append({"kind": "one_way", "target": path, "why": why, **({"stored": stored} if stored else {})})

    def note_outcome(self, kind: str, target: str, after: t.Any) -> None:
        """Record what the newest change of a target came to, where that is known only when it was made."""
        for entry in reversed(self._load()):
            if (entry["kind"], entry["target"]) == (kind, target):
                entry["after"] = after
                self.write()
                return

    def prepare(self) -> None:
        """Make the private directory."""
        make_directory(self.host.path(STATE_DIRECTORY), 0o700)
        make_directory(self.directory, 0o700)

    def save(self, path: str, content: bool = True, after: t.Any = None) -> Saved:
        """Keep a file's bytes, mode, owner and times, or that it did not exist, before it is changed.

        What was saved first in a run is what the run goes back to: a second call for the same path keeps that.

        Args:
            path: The file or directory on the host.
            content: Whether the bytes are kept; not where only owner and mode change, so that no key is copied.
            after: What the run makes of it: a file's SHA-256, ``directory``, or mode, user and group; None where that
                is not known.
        """
        self.prepare()
        for entry in self._load():
            if entry.get("path") == path and (entry["kind"] != "attributes" or not content):
                return saved_from(entry)
        return self.save_step(path, content, after)

    def save_step(self, path: str, content: bool = True, after: t.Any = None) -> Saved:
        """Keep what is there now, for a step that fails after earlier ones of the same run were proven.

        The first entry of a path stays what the run as a whole goes back to; arguments as for save.
        """
        self.prepare()
        saved = self._capture(path, len(self._load()), content)
        if saved.kind == "absent":
            self._save_parents(path)
        known = {} if after is None else {"after": after}
        self._append({"kind": saved.kind, "target": path, **dataclasses.asdict(saved), **known})
        return saved

    def _save_parents(self, path: str) -> None:
        """Keep that the directories above a path do not exist: whoever writes the file makes them too."""
        missing = []
        directory = os.path.dirname(path)
        while not os.path.isdir(self.host.path(directory)):
            missing.append(directory)
            directory = os.path.dirname(directory)
        known = {entry["path"] for entry in self._load() if entry["kind"] == "absent"}
        for directory in reversed([one for one in missing if one not in known]):
            saved = dataclasses.asdict(Saved(directory, "absent"))
            self._append({"kind": "absent", "target": directory, **saved, "after": "directory"})

    def save_changes(self, changes: t.Iterable[Change], besides: t.Iterable[str] = ()) -> list[Saved]:
        """Keep what is there now of everything that changes are about to change, each path once.

        Args:
            changes: Of files and directories.
            besides: Paths of files that are moved and come back as they are.
        """
        outcomes: dict[str, t.Any] = {change.target: change.outcome for change in changes}
        for path in besides:
            outcomes.setdefault(path, sha256(read_bytes(self.host.path(path))))
        return [self.save_step(path, after=after) for path, after in outcomes.items()]

    def adopt(self, saved: Saved, source: Backup) -> Saved:
        """Keep the bytes that another run saved, and return them as this one's; the record does not change."""
        if saved.stored is None:
            return saved
        self.prepare()
        stored = f"from-{source.run_id}-{saved.stored}"
        write_atomic(os.path.join(self.directory, stored), source.bytes_of(saved), 0o600)
        return dataclasses.replace(saved, stored=stored)

    def bytes_of(self, saved: Saved) -> bytes:
        """Return the bytes that were saved.

        Raises:
            HardeningError: They are not what was saved.
        """
        data = read_bytes(os.path.join(self.directory, t.cast(str, saved.stored)))
        if data is None or sha256(data) != saved.sha256:
            raise HardeningError(
                "KH404",
                f"The backup of {saved.path} in {self.directory} is damaged, so it was not put back. "
                "Restore the file by hand.",
            )
        return data

    def _capture(self, path: str, number: int, content: bool) -> Saved:
        real = self.host.path(path)
        try:
            status = os.lstat(real)
        except FileNotFoundError:
            return Saved(path, "absent")
        kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if content else "attributes"
        saved = Saved(
            path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_atime_ns,
            status.st_mtime_ns,
        )
        if kind != "file":
            return saved
        data = read_bytes(real)
        if data is None:
            raise HardeningError("KH117", f"{path} vanished while it was read. Nothing was changed; run again.")
        stored = f"{number:04d}"
        write_atomic(os.path.join(self.directory, stored), data, 0o600)
        return dataclasses.replace(saved, sha256=sha256(data), stored=stored)

    def put_back(self, saved: t.Sequence[Saved], watched: str | None = None) -> list[str]:
        """Put files back, the last one first, and return a sentence for each that could not be.

        One that fails does not keep the others from going back.

        Args:
            saved: What was saved, in the order in which it was changed.
            watched: The directory that the kubelet watches; its files are staged in its parent.
        """
        problems = []
        for entry in reversed(saved):
            try:
                self.restore(entry, staging_for(self.host, entry.path, watched))
            except HardeningError as error:
                problems.append(f"{entry.path} did not go back: {error}")
        return problems

    def restore(self, saved: Saved, staging: str | None = None) -> None:
        """Put a file back: bytes, mode, owner and times; remove what did not exist.

        Raises:
            HardeningError: What was refused and why.
        """
        try:
            self._restore(saved, staging)
        except OSError as error:
            raise HardeningError(
                "KH404",
                f"{saved.path} could not be put back from {self.directory}: {explain(error)}. The backup "
                "was kept; put it back by hand.",
            ) from error

    def _restore(self, saved: Saved, staging: str | None) -> None:
        real = self.host.path(saved.path)
        owner = (saved.uid, saved.gid) if self.host.can_own else None
        if saved.kind == "absent":
            if os.path.isdir(real) and not os.path.islink(real):
                if not os.listdir(real):  # records that were written meanwhile are nobody's to delete
                    os.rmdir(real)
            else:
                remove_file(real)
            return
        if saved.kind in ("directory", "attributes"):
            now = os.stat(real)
            there = (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode), now.st_mtime_ns)
            if there == (saved.uid, saved.gid, saved.mode, saved.mtime_ns):
                return  # what lets nobody change it need not be put back
            if owner:
                os.chown(real, *owner)
            os.chmod(real, saved.mode)  # after the owner, which takes the set-id bits away
            os.utime(real, ns=(saved.atime_ns, saved.mtime_ns))
            return
        write_atomic(real, self.bytes_of(saved), saved.mode, owner, staging, (saved.atime_ns, saved.mtime_ns))
