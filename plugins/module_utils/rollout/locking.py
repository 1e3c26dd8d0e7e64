# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks with which a run begins: the Lease of the cluster, and that of each host."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import UnknownError, lease_of


@dataclasses.dataclass(frozen=True)
class Asking:
    """A run that asks for locks.

    Attributes:
        run: The run, as a lock names it.
        dead_run: A run whose process on this controller has ended, so that its locks are taken over.
        check_mode: Whether it is only seen who holds them.
    """

    run: Holder
    dead_run: str | None
    check_mode: bool


class LockedError(HardeningError):
    """Another run holds a lock; ``facts`` say which run, for the controller that may know it to be dead."""

    def __init__(self, holder: Holder, where: str, way_out: str, cluster_lock: str) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(holder.since))
        super().__init__(
            "KH105",
            f"Run {holder.run_id} from {holder.controller.split()[0]} has been at work {where} since {since}. "
            f"Nothing was changed; wait for it. If it is known to be dead, {way_out}.",
        )
        self.facts = {
            "cluster_lock": cluster_lock,
            "locked_by": {"run_id": holder.run_id, "controller": holder.controller, "process": holder.process},
        }


class ClusterLock:
    """The Lease of the cluster, taken as soon as the API answers: a run that died may have left it away.

    Args:
        asking: The run.
        kubeconfig: The administrator's on this host; None where this host is not the one to take it.
    """

    def __init__(self, asking: Asking, kubeconfig: str | None) -> None:
        self._asking = asking
        self._kubeconfig = kubeconfig
        #: As the module discover returns it.
        self.state = ""
        self.notes: list[str] = []

    @property
    def leads(self) -> bool:
        """Whether the run has it, or in check mode could have."""
        return self.state in ("held", "free")

    def take(self, last: bool = False) -> None:
        """Take it, or in check mode look who holds it.

        Args:
            last: Whether this is the last attempt, so that an API which does not answer is told.

        Raises:
            LockedError: Another run holds it.
        """
        if self._kubeconfig is None or self.leads:
            return
        try:
            lease = lease_of(self._kubeconfig)
            ask = lease.blocking if self._asking.check_mode else lease.acquire
            holder = ask(self._asking.run, self._asking.dead_run)
        except (UnknownError, HardeningError) as error:
            self.state = "unknown"
            if last:
                self.notes.append(f"The lock of the cluster could not be taken ({error}); hosts are locked one by one.")
            return
        if holder is not None:
            way_out = "delete the Lease: kubectl -n kube-system delete lease kubeharden"
            raise LockedError(holder, "on this cluster", way_out, "lost")
        self.state = "free" if self._asking.check_mode else "held"
        if lease.taken_over:
            self.notes.append(
                f"Run {lease.taken_over} ended early without giving the lock of the cluster back; it was taken over."
            )


def take(host: Host, asking: Asking, leads: bool, cluster_lock: str, limit: float) -> list[str]:
    """Take the lock of this host, or in check mode look who holds it; returns sentences about it.

    Args:
        host: The host.
        asking: The run.
        leads: Whether the run has the lock of the cluster, so that another run that asked for it too has ended.
        cluster_lock: The state of that lock, as the module discover returns it.
        limit: Seconds for the end of a module call whose controller died.

    Raises:
        LockedError: Another run holds it.
        HardeningError: That module call does not end, or there has been a run of this name.
    """
    lock = Lock(host)
    before, idle = lock.holder(), lock.idle()
    told: list[str] = []
    if before is not None and not before.is_same(asking.run):
        free = lock.blocking(asking.run, asking.dead_run, leads) is None
        if free:
            _await_end(lock, limit)
            if not asking.check_mode:
                words = (
                    "ended early without giving its lock back; it was taken over"
                    if before.has_ended(asking.dead_run, leads)
                    else f"has done nothing on this host for {idle / 60:.0f} minutes; its lock was taken over"
                )
                told = [f"Run {before.run_id} {words}."]
    holder = (lock.blocking if asking.check_mode else lock.acquire)(asking.run, asking.dead_run, leads)
    if holder is not None:
        raise LockedError(holder, "on this host", _way_out(holder, asking.run), cluster_lock)
    if before is None or not before.is_same(asking.run):
        _refuse_used_name(host, asking.run.run_id)
    return told


@contextlib.contextmanager
def borrowed(host: Host, asking: Asking, limit: float) -> t.Iterator[None]:
    """Hold the lock of this host for what one call of a run does that takes none, such as a trial of preflight.

    The directory of our state goes again where it was made for that.

    Args:
        host: The host.
        asking: The run.
        limit: As for take.

    Raises:
        LockedError: Another run holds it.
        HardeningError: There has been a run of this name.
    """
    state = host.path(STATE_DIRECTORY)
    there = os.path.isdir(state)
    take(host, asking, False, "", limit)
    lock = Lock(host)
    try:
        with lock.in_use(asking.run.run_id):
            try:
                yield
            finally:
                if not there:
                    with contextlib.suppress(OSError):  # nothing was made, or something is to stay
                        os.rmdir(state)
    finally:
        lock.release(asking.run.run_id)


def _way_out(holder: Holder, asking: Holder) -> str:
    """Return what to do about a dead run's lock on a host, half a sentence."""
    way_out = "remove /run/kubeharden/lock on the host"
    if not holder.cluster:
        return f"{way_out}, or wait until it has done nothing there for {DURATION // 60} minutes"
    if not asking.cluster:
        return f"{way_out}, or let a control plane take part once, so that its lock is taken over"
    return way_out


def _await_end(lock: Lock, limit: float) -> None:
    """Wait for the module call of a run whose controller died: it goes on to its end, the proof or the way back."""
    end = time.monotonic() + limit
    while lock.is_in_use():
        if time.monotonic() > end:
            raise HardeningError(
                "KH107",
                "The controller of the run that holds this host's lock died, but its module still works here after "
                f"{limit:.0f} s. Nothing was changed by this run; look what that process waits for, and run again.",
            )
        time.sleep(1)


def _refuse_used_name(host: Host, run_id: str) -> None:
    """Refuse the name of an earlier run: its backup, not the bytes of today, is what a failure would go back to."""
    if os.path.isdir(host.path(f"{STATE_DIRECTORY}/backups/{run_id}")):
        raise HardeningError(
            "KH005",
            f"There has been a run {run_id} on this host. Nothing was changed; leave kubeharden_run_id away, or give "
            "each run a name of its own.",
        )
