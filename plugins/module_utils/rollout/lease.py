# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time in a cluster, whatever controller it comes from: the Lease kube-system/kubeharden.

The API decides who holds it, since it takes a write only by who saw the object as it is. Its own clock counts, by the
date of its answers, so that the clocks of controllers and hosts do not matter.
"""

from __future__ import annotations

import contextlib
import json
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import load
from ansible_collections.kubeharden.core.plugins.module_utils.probes.moments import micro_time, seconds_of

NAME = "kube-system/kubeharden"
#: Seconds within which it is not renewed again. Each call of a module on a control plane renews it, and a run with
#: nothing to do has many.
RENEW_AFTER = 60
#: Seconds after which it is renewed within a call that goes on, so that several renewals may fail before it ends.
RENEW_WITHIN = 300.0
#: Seconds that a run which began without the API waits for one that holds the lock when it answers: such a run is
#: refused by a host's lock, and gives it back within its discovery. And seconds between two attempts.
JOIN_WITHIN, JOIN_AGAIN = 60.0, 3.0
_FOLDER = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_OBJECT = f"{_FOLDER}/kubeharden"
_CONTROLLER = "kubeharden.core/controller"
_PROCESS = "kubeharden.core/process"
#: Somebody else may write it between the look and the write.
_ATTEMPTS = 5


class UnknownError(Exception):
    """The API did not say who holds it; the message is why, half a sentence."""


class Lease:
    """The lock of the cluster.

    Args:
        client: With the administrator's credentials.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        #: The run whose lock was taken over, since it was dead.
        self.taken_over = ""

    def acquire(self, wanted: Holder, dead: str | None = None) -> Holder | None:
        """Take it for a run, or renew it, and return None; or return the holder that keeps it.

        Args:
            wanted: The run that asks.
            dead: A run whose controller process is known to have ended.

        Raises:
            UnknownError: The API did not answer.
        """
        for _attempt in range(_ATTEMPTS):
            found, now = self._look()
            if found is None:
                answer = self._client.post(_FOLDER, json.dumps(_document(wanted, now)))
                written = 201
            else:
                blocking = _blocking(found, wanted, now, dead)
                if blocking is not None:
                    return blocking
                if _holder(found) == wanted.run_id and now - _renewed(found) < RENEW_AFTER:
                    return None
                answer = self._client.put(_OBJECT, json.dumps(_document(wanted, now, found)))
                written = 200
            if answer.status == written:
                if found is not None and _holder(found) not in ("", wanted.run_id):
                    self.taken_over = _holder(found)
                return None
            if answer.status != 409:
                raise UnknownError(_words(answer))
        raise UnknownError("others write it all the time")

    def blocking(self, wanted: Holder, dead: str | None = None) -> Holder | None:
        """Return the holder that would keep it from a run, without writing anything; arguments as for acquire."""
        found, now = self._look()
        return None if found is None else _blocking(found, wanted, now, dead)

    def renew(self, run_id: str, taken: bool = True) -> None:
        """Say that a run is still at work; an API that does not answer is no matter, since it may be restarting.

        Args:
            run_id: The run.
            taken: Whether the run has taken it; it did not where the API was away when it began.

        Raises:
            HardeningError: The run does not hold it any more.
        """
        try:
            found, now = self._look()
            holder = None if found is None or _holder(found) == "" else _as_holder(found)
            if found is not None and holder is not None and holder.run_id == run_id:
                if now - _renewed(found) >= RENEW_AFTER:
                    self._client.put(_OBJECT, json.dumps(_document(holder, now, found)))
                return
        except UnknownError:
            return
        if holder is not None:
            raise _taken_over(holder, run_id)
        if taken:
            raise HardeningError(
                "KH106",
                f"Run {run_id} does not have the lock of the cluster (Lease {NAME}) any more: another one took it for "
                "dead and has ended since, or it was given back when a task failed on another host. What this task was "
                "to do was left undone; run again.",
            )

    def join(
        self,
        wanted: Holder,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        """Take it for a run that began while the API was away; while it still is there are the hosts' locks alone.

        Args:
            wanted: The run.
            clock: Seconds, monotonic.
            sleep: Waits that many seconds.

        Raises:
            HardeningError: Another run has it, and keeps it.
        """
        end = clock() + JOIN_WITHIN
        while True:
            try:
                holder = self.acquire(wanted)
            except UnknownError:
                return
            if holder is None:
                return
            if clock() >= end:
                raise _taken_over(holder, wanted.run_id)
            sleep(JOIN_AGAIN)

    def release(self, run_id: str) -> bool:
        """Give it back; another run's is left alone. Returns whether this run held it.

        Raises:
            UnknownError: The API did not answer.
        """
        found, _now = self._look()
        if found is None or _holder(found) != run_id:
            return False
        metadata = found["metadata"]
        conditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        answer = self._client.delete(_OBJECT, json.dumps(options))
        if answer.status not in (200, 404, 409):
            raise UnknownError(_words(answer))
        return answer.status == 200

    def _look(self) -> tuple[dict[str, t.Any] | None, float]:
        """Return the object, None where there is none, and what time it is there."""
        answer = self._client.get(_OBJECT)
        if answer.date is None or answer.status not in (200, 404):
            raise UnknownError(_words(answer))
        if answer.status == 404:
            return None, answer.date
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UnknownError(f"{_OBJECT} gave something that is no Lease")
        return document, answer.date


def lease_of(kubeconfig: str) -> Lease:
    """Return the lock of the cluster that a kubeconfig names.

    Raises:
        HardeningError: The kubeconfig cannot be used.
    """
    return Lease(ApiClient(load(kubeconfig)))


class Keeping:
    """Waits, in the place of time.sleep, in a call that may take longer than the lock lasts, and renews it meanwhile.

    A call whose lock was taken over all the same goes on to its proof or its way back; the run's next call refuses.

    Args:
        lease: The lock.
        run_id: The run.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        lease: Lease,
        run_id: str,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._lease = lease
        self._run_id = run_id
        self._clock = clock
        self._sleep = sleep
        self._since = clock()  # each call renews it when it begins

    def __call__(self, seconds: float) -> None:
        """Wait that many seconds."""
        self._sleep(seconds)
        if self._clock() - self._since >= RENEW_WITHIN:
            self._since = self._clock()
            # The API may be away while it is waited for, and what was begun is ended: the next call says what is wrong.
            with contextlib.suppress(HardeningError):
                self._lease.renew(self._run_id, taken=False)


def _taken_over(holder: Holder, run_id: str) -> HardeningError:
    return HardeningError(
        "KH106",
        f"Run {holder.run_id} from {holder.controller.split()[0]} has taken the lock of the cluster (Lease {NAME}) "
        f"over from {run_id}. What this task was to do was left undone; wait for that run, and run again.",
    )


def _blocking(found: t.Mapping[str, t.Any], wanted: Holder, now: float, dead: str | None) -> Holder | None:
    holder = _as_holder(found)
    if holder.run_id in ("", dead) or holder.is_same(wanted) or now - _renewed(found) > _duration(found):
        return None
    return holder


def _document(holder: Holder, now: float, found: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
    """Return the object to write: new, or with its version, and its begin where the holder stays."""
    metadata = dict((found or {}).get("metadata") or {"name": "kubeharden", "namespace": "kube-system"})
    marks = {_CONTROLLER: holder.controller, _PROCESS: holder.process}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    spec = dict((found or {}).get("spec") or {})
    if spec.get("holderIdentity") != holder.run_id:
        spec["acquireTime"] = micro_time(now)
    spec.update(holderIdentity=holder.run_id, leaseDurationSeconds=DURATION, renewTime=micro_time(now))
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _as_holder(found: t.Mapping[str, t.Any]) -> Holder:
    marks = (found.get("metadata") or {}).get("annotations") or {}
    controller = str(marks.get(_CONTROLLER) or "another controller")
    return Holder(_holder(found), controller, str(marks.get(_PROCESS) or ""), _stamp(found, "acquireTime"), True)


def _holder(found: t.Mapping[str, t.Any]) -> str:
    return str((found.get("spec") or {}).get("holderIdentity") or "")


def _renewed(found: t.Mapping[str, t.Any]) -> float:
    return _stamp(found, "renewTime")


def _duration(found: t.Mapping[str, t.Any]) -> float:
    return float((found.get("spec") or {}).get("leaseDurationSeconds") or DURATION)


def _stamp(found: t.Mapping[str, t.Any], field: str) -> float:
    return seconds_of((found.get("spec") or {}).get(field))


def _words(answer: Answer) -> str:
    return f"it answered {answer.status or answer.reason}"
