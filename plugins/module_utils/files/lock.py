# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on a host."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.document import NUMBER, read_object
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import RUN_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    write_atomic,
)

#: Seconds after its last sign of life from which on a run counts as dead for every controller: the renewal of the lock
#: of the cluster (rollout.lease), or for a run that asks for none, the begin of its last module call on a host. A long
#: phase of other hosts lies between two of them.
DURATION = 1800


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds the lock.

    Attributes:
        run_id: The run.
        controller: Name and boot of the controller, by which that controller knows its own dead runs.
        process: Process id and start time on the controller.
        since: When it was taken, seconds since the epoch.
        cluster: Whether the run also asks for the lock of the cluster (rollout.lease), as one does that a control
            plane takes part in. Not where it went on without, since the API was away: nobody who has that lock by now
            knows that this run has ended.
    """

    run_id: str
    controller: str
    process: str
    since: float
    cluster: bool = False

    def is_same(self, other: Holder) -> bool:
        """Return whether this is the same run of the same process: a name that a user gives may be used twice."""
        mine, theirs = (self.run_id, self.controller, self.process), (other.run_id, other.controller, other.process)
        return mine == theirs

    def has_ended(self, dead: str | None, leads: bool) -> bool:
        """Return whether who asks for the lock knows that this run has ended; arguments as for Lock.acquire."""
        return self.run_id == dead or (leads and self.cluster)


_HOLDER = {"run_id": str, "controller": str, "process": str, "since": NUMBER, "cluster?": bool}


class Lock:
    """/run/kubeharden/lock: held from discovery to the end of the run, by whatever number of module calls."""

    def __init__(self, host: Host) -> None:
        self._directory = host.path(RUN_DIRECTORY)
        self._path = os.path.join(self._directory, "lock")

    @contextlib.contextmanager
    def _exclusive(self) -> t.Iterator[None]:
        """Two module calls that look and take at the same moment must not both find it free."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> Holder | None:
        """Return who holds it, None where nobody does."""
        found = read_object(
            self._path,
            _HOLDER,
            "lock of a run",
            "see that no run is at work on this host, remove the file, and run again",
        )
        return None if found is None else Holder(**found)

    def acquire(self, wanted: Holder, dead: str | None = None, leads: bool = False) -> Holder | None:
        """Take the lock for a run and return None, or return the holder that keeps it.

        One that asks for no lock of the cluster counts as dead when it has done nothing here for DURATION.

        Args:
            wanted: The run that asks; a run that holds the lock already keeps it.
            dead: A run whose controller process is known to have ended: its lock is taken over.
            leads: Whether the run that asks holds the lock of the cluster. Another that asked for that one too has
                ended, or is about to, since it did not get it or has given it back: its lock is taken over.
        """
        make_directory(self._directory, 0o700)
        with self._exclusive(), self._kept_unused() as unused:
            current = self.holder()
            if current is not None and current.is_same(wanted):
                return None
            if current is not None and not (unused and self._yields(current, dead, leads, unused)):
                return current
            write_atomic(self._path, (json.dumps(dataclasses.asdict(wanted)) + "\n").encode(), 0o600)
        return None

    def blocking(self, wanted: Holder, dead: str | None = None, leads: bool = False) -> Holder | None:
        """Return the holder that would keep the lock from a run, without taking it; arguments as for acquire.

        A process of a run that is known to have ended may still work on the host: its end is to be waited for.
        """
        current = self.holder()
        if current is None or current.is_same(wanted) or self._yields(current, dead, leads, not self.is_in_use()):
            return None
        return current

    def _yields(self, current: Holder, dead: str | None, leads: bool, unused: bool) -> bool:
        """Return whether the holder has ended, or counts as dead: the Lease says that of those that ask for it."""
        return current.has_ended(dead, leads) or (not current.cluster and unused and self.idle() > DURATION)

    def idle(self) -> float:
        """Return the seconds since the holder's last module call on this host began; 0 where nobody holds it."""
        try:
            return max(0.0, time.time() - os.stat(self._path).st_mtime)
        except FileNotFoundError:
            return 0.0

    def release(self, run_id: str) -> bool:
        """Give the lock back, and return whether it was: another run's is left alone, and so is one that is in use.

        A module call goes on when its connection is lost, and the next run must not work beside it.
        """
        if not os.path.isdir(self._directory):
            return False
        with self._exclusive():
            current = self.holder()
            if current is None or current.run_id != run_id or self.is_in_use():
                return False
            os.unlink(self._path)
        return True

    @contextlib.contextmanager
    def in_use(self, run_id: str, taken: bool = True) -> t.Iterator[None]:
        """Let the kernel know that this process works on the host under the lock, even if its controller dies.

        Args:
            run_id: The run that works.
            taken: Whether the run took the lock. One that did not works all the same, but not beside another one.

        Raises:
            HardeningError: The lock is not this run's, or not any more: it was taken for dead.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            self._require_holder(None, run_id, taken)
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # Only now: who takes it over keeps it unused while it does.
            current = self.holder()
            self._require_holder(current, run_id, taken)
            if current is not None:
                os.utime(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _require_holder(self, current: Holder | None, run_id: str, taken: bool) -> None:
        if current is not None and current.run_id != run_id:
            raise HardeningError(
                "KH106",
                f"Run {current.run_id} from {current.controller.split()[0]} has taken this host's lock over from "
                f"{run_id}. What this task was to do was left undone; wait for that run, and run again.",
            )
        if current is None and taken:
            raise HardeningError(
                "KH106",
                f"Run {run_id} has no lock on this host any more: another one took it for dead and has ended since, or "
                "the host was started anew. What this task was to do was left undone; run again.",
            )

    def note_alone(self, run_id: str) -> None:
        """Note that a run which asked for the lock of the cluster works without, since the API is away.

        Not while a process works here, since others know that by the file: the run's next call does it.
        """
        if not os.path.isdir(self._directory):
            return
        with self._exclusive(), self._kept_unused() as unused:
            current = self.holder()
            if unused and current is not None and current.run_id == run_id and current.cluster:
                alone = dataclasses.replace(current, cluster=False)
                write_atomic(self._path, (json.dumps(dataclasses.asdict(alone)) + "\n").encode(), 0o600)

    def is_used_by(self, run_id: str) -> bool:
        """Return whether a run holds it and a process of that run works on this host at this moment."""
        current = self.holder()
        return current is not None and current.run_id == run_id and self.is_in_use()

    def is_in_use(self) -> bool:
        """Return whether a process of the holder works on this host at this moment."""
        with self._kept_unused() as unused:
            return not unused

    @contextlib.contextmanager
    def _kept_unused(self) -> t.Iterator[bool]:
        """Say whether no process of the holder works on this host; then none begins within the block."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            yield True
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                unused = False
            else:
                unused = True
            yield unused
        finally:
            os.close(descriptor)
