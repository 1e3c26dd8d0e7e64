# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of which a host still has the record, and which of the records are kept."""

from __future__ import annotations

import dataclasses
import os
import shutil
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import RUN_DIRECTORY, STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import (
    RECORD,
    Backup,
    holds_key,
    read_record,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    TEMPORARY_PREFIX,
    explain,
    fsync_directory,
    read_bytes,
    remove_file,
)

_DAY = 86400.0
#: Being removed: no run has a name that begins with a dot, so that what a death leaves is no record any more.
_DOOMED = ".pruned-"


@dataclasses.dataclass(frozen=True)
class PastRun:
    """What a host knows of a run.

    Attributes:
        run_id: The run.
        began: Seconds since the epoch, by this host's clock.
        entries: What it changed, in that order; empty for a directory whose record was never begun.
        undone_by: The run that put it back, empty where none did.
        undoes: The runs that this one puts back, newest first; empty unless it is a rollback.
        finished: Whether a rollback came to its end here.
    """

    run_id: str
    began: float
    entries: tuple[t.Mapping[str, t.Any], ...]
    undone_by: str
    undoes: tuple[str, ...]
    finished: bool

    def summary(self) -> dict[str, t.Any]:
        """Return the run without what it changed."""
        return {**dataclasses.asdict(dataclasses.replace(self, entries=())), "count": len(self.entries)}


def _backups(host: Host) -> str:
    return host.path(f"{STATE_DIRECTORY}/backups")


def _names(host: Host) -> list[str]:
    directory = _backups(host)
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def past_runs(host: Host) -> list[PastRun]:
    """Return the runs of which there is a record, the oldest first.

    Raises:
        HardeningError: A record cannot be read, or is of a newer Kubeharden.
    """
    found = [_read(host, name) for name in _names(host) if not name.startswith(".")]
    return sorted(found, key=_age)


def _age(run: PastRun) -> tuple[float, str]:
    return run.began, run.run_id


def _read(host: Host, run_id: str) -> PastRun:
    path = os.path.join(_backups(host), run_id, RECORD)
    document = read_record(path) or {"entries": []}
    return PastRun(
        run_id,
        # Schema 1 did not say when.
        float(document.get("began") or os.stat(os.path.dirname(path)).st_mtime),
        tuple(document["entries"]),
        str(document.get("undone_by") or ""),
        tuple(document.get("undoes") or ()),
        bool(document.get("finished")),
    )


def remove_leftovers(host: Host) -> None:
    """Remove temporary files that a run which died left, of which nothing needs any: a secret may be in one.

    They lie in our own directories, and beside what the newest run had under way. What is to be renamed yet must be
    finished before (files.together).

    Raises:
        HardeningError: The newest record is damaged, or a file cannot be removed.
    """
    directories = {
        folder for own in (STATE_DIRECTORY, RUN_DIRECTORY) for folder, _below, _files in os.walk(host.path(own))
    }
    backups = [os.path.join(_backups(host), name) for name in _names(host) if not name.startswith(".")]
    if backups:
        record = read_record(os.path.join(max(backups, key=lambda path: os.stat(path).st_mtime_ns), RECORD))
        for entry in (record or {"entries": []})["entries"]:
            # A file of a directory that something watches is laid above it.
            above = os.path.dirname(str(entry.get("path") or "/"))
            directories.update(host.path(directory) for directory in (above, os.path.dirname(above)))
    for directory in sorted(directories):
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.startswith(TEMPORARY_PREFIX):
                remove_file(os.path.join(directory, name))


def mark_undone(host: Host, run_ids: t.Iterable[str], by: str) -> None:
    """Write into the records of runs by which run they were put back."""
    known = {run.run_id: run for run in past_runs(host)}
    for run_id in run_ids:
        if run_id in known and not known[run_id].undone_by:
            Backup(host, run_id).write(undone_by=by)


def finish_rollbacks(host: Host, run_id: str) -> None:
    """Write that a rollback came to its end, and with it those that died before it and have nothing left to put back.

    Args:
        host: The host's file system.
        run_id: The rollback that is at its end, of which there may be no record.
    """
    runs = past_runs(host)
    for run in runs:
        if run.undoes and not run.finished and (run.run_id == run_id or not _left(run, runs)):
            Backup(host, run.run_id).write(finished=True)


def _left(rollback: PastRun, runs: t.Iterable[PastRun]) -> set[str]:
    """Return the runs that a rollback was to put back and that are not, as far as there is a record of them."""
    return {run.run_id for run in runs if run.run_id in rollback.undoes and not run.undone_by}


def _needed(noted: t.Collection[str], runs: t.Sequence[PastRun]) -> set[str]:
    """Return the runs that something unfinished goes back to: what the journal names, and a rollback that died.

    The latter is gone on with as long as no other run came after it.
    """
    last = runs[-1:]
    return set(noted).union(*(run.undoes for run in last if not run.finished and _left(run, runs)))


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What became of the records that are too many or too old, by the names of their runs.

    Attributes:
        removed: The oldest first.
        damaged: Those that cannot be read, so that nobody knows how old they are; they were left as they are.
    """

    removed: tuple[str, ...]
    damaged: tuple[str, ...]


def prune(host: Host, count: int, days: int, now: float, current: str) -> Pruned:
    """Remove the records that are too many or too old.

    Only whole runs go, and always the oldest: what is left can still be put back one after the other. The newest record
    stays however old it is, so that the last run can always be put back; but keys never go back, and their bytes are
    removed from every record that is too old.

    Args:
        host: The host's file system.
        count: How many stay at most; 0 for any number.
        days: How old one may be; 0 for any age.
        now: Seconds since the epoch.
        current: The run that is at its end, which stays.
    """
    for name in _names(host):
        if name.startswith(_DOOMED):
            _remove(os.path.join(_backups(host), name))
    runs, damaged = _readable_runs(host)
    noted = {
        str(step["run_id"]) for step in Journal(host).read().values() if isinstance(step, dict) and "run_id" in step
    }
    kept = {*_needed(noted, runs), current, *(run.run_id for run in runs[-1:])}
    pruned: list[str] = []
    for index, run in enumerate(runs):
        too_many = bool(count) and len(runs) - index > count
        if run.run_id in kept or not (too_many or _too_old(run, days, now)):
            break  # a newer one without those before it is of no use, but an older one without this is
        _prune(host, run.run_id)
        pruned.append(run.run_id)
    for run in runs[len(pruned) :]:
        if _too_old(run, days, now) and run.run_id not in noted:
            _forget_keys(host, run)
    return Pruned(tuple(pruned), tuple(damaged))


def _readable_runs(host: Host) -> tuple[list[PastRun], list[str]]:
    """Return the runs whose records can be read, the oldest first, and the names of the others."""
    runs, damaged = [], []
    for name in _names(host):
        if not name.startswith("."):
            try:
                runs.append(_read(host, name))
            except HardeningError:
                damaged.append(name)
    return sorted(runs, key=_age), damaged


def _too_old(run: PastRun, days: int, now: float) -> bool:
    return bool(days) and now - run.began > days * _DAY


def _forget_keys(host: Host, run: PastRun) -> None:
    """Remove the bytes of keys that a run kept; its record says from then on that there are none.

    The record first: bytes of which it says nothing are found again by the next one.
    """
    backup = Backup(host, run.run_id)
    with_keys = [
        name
        for name in sorted(os.listdir(backup.directory))
        if name != RECORD and holds_key(read_bytes(os.path.join(backup.directory, name)) or b"")
    ]
    if any(entry.get("stored") in with_keys for entry in run.entries):
        # Schema 1 did not say when the run began, and the directory's time changes with this.
        entries = [{**entry, "stored": None} if entry.get("stored") in with_keys else entry for entry in run.entries]
        backup.write(began=run.began, entries=entries)
    for name in with_keys:
        remove_file(os.path.join(backup.directory, name))


def _prune(host: Host, run_id: str) -> None:
    directory = os.path.join(_backups(host), run_id)
    doomed = os.path.join(_backups(host), _DOOMED + run_id)
    try:
        os.rename(directory, doomed)
        fsync_directory(_backups(host))
    except OSError as error:
        raise HardeningError(
            "KH403",
            f"The old backup {directory} could not be removed: {explain(error)}. It was left as it was, and what the "
            "run did is done; mend that and run again.",
        ) from error
    _remove(doomed)


def _remove(directory: str) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise HardeningError(
            "KH403",
            f"The old backup {directory} could not be removed whole: {explain(error)}. What the run did is done; mend "
            "that and run again.",
        ) from error
