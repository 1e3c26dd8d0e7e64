# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods that a run which died left with its change unproven: the gate that it did not come to.

After a power cut the new manifest is live. Where its component is well nothing restarts: other hosts may have lost
their power in the same moment, and this one may be what the cluster stands on.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_health import require_another_server
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import Unproven, is_whole
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    INTERVAL,
    SETTLED,
    STEADY,
    Sight,
    etcd_client,
    matches,
    require_members_well,
    unwell_here,
)

#: New processes of which so many have ended are a crash loop.
_ENOUGH = 2


def identities(running: t.Iterable[Process]) -> list[str]:
    """Return what the journal names processes by, so that those which come after the write are known."""
    return [f"{process.pid} {process.start_ticks}" for process in running]


def stands(host: Host, sight: Sight, pending: t.Mapping[str, t.Any], limit: float) -> bool:
    """Return whether the whole change is there, and each of its components is proven to run with it.

    An older journal does not say which processes were there before, so that nothing is proven by it.

    Args:
        host: The host's file system.
        sight: How the host is seen.
        pending: The journal's step ``apply``.
        limit: Seconds that a component may take to be well.
    """
    if not pending["components"] or "running" not in pending or not is_whole(host, pending):
        return False
    before = pending["running"]
    gates = [
        _Gate(sight, component, _arguments(host, component, path), before.get(component, []))
        for component, path in pending["components"].items()
    ]
    end = sight.clock() + limit
    while True:
        proven = [gate.is_proven() for gate in gates]
        if all(proven):
            return True
        if sight.clock() >= end or any(gate.is_hopeless for gate in gates):
            return False
        sight.sleep(INTERVAL)


class _Gate:
    """Waits for one component's process that is newer than the change.

    Args:
        sight: How the host is seen.
        component: The component.
        wanted: The argument vector of the manifest that is there.
        before: Who ran before the change.
    """

    def __init__(self, sight: Sight, component: str, wanted: t.Sequence[str], before: t.Sequence[str]) -> None:
        self._sight = sight
        self._component = component
        self._wanted = wanted
        self._before = before
        #: New processes that were seen, and the one that was seen last with the time since which it is well.
        self._seen: set[str] = set()
        self._current = ""
        self._well_since: float | None = None
        #: Since when nothing comes up and nothing that was there before ends.
        self._idle_since: float | None = None

    def is_proven(self) -> bool:
        """Look once."""
        running = self._sight.find(self._component)
        new = [one for one in running if identities([one])[0] not in self._before and matches(one, self._wanted)]
        if not new:
            self._current, self._well_since = "", None
            ending = bool(running) and not _is_well(self._sight, running[-1])
            self._idle_since = None if ending else self._first(self._idle_since)
            return False
        self._idle_since = None
        process = new[-1]
        (this,) = identities([process])
        if this != self._current:
            self._current, self._well_since = this, None
            self._seen.add(this)
        if not _is_well(self._sight, process):
            self._well_since = None
            return False
        self._well_since = self._first(self._well_since)
        return self._sight.clock() - self._well_since >= STEADY

    def _first(self, since: float | None) -> float:
        return self._sight.clock() if since is None else since

    @property
    def is_hopeless(self) -> bool:
        """Whether it ends again and again, or nobody starts it."""
        if len(self._seen - {self._current}) >= _ENOUGH:
            return True
        return self._idle_since is not None and self._sight.clock() - self._idle_since >= SETTLED


def require_spare(host: Host, sight: Sight, pending: t.Mapping[str, t.Any], found: Unproven) -> None:
    """Refuse to put back what is well here while the cluster cannot spare it.

    Other hosts of the run have not been judged yet, and one may be away for good. What is not well has nothing to lose.

    Args:
        host: The host's file system.
        sight: How the host is seen.
        pending: The journal's step ``apply``.
        found: What of it goes back.

    Raises:
        HardeningError: Who is not well.
    """
    back = {entry.path for entry in found.back}
    left = (
        f"Run {found.run_id} died before its change of this host was proven; what it left here is well, and stays as "
        "it is until it can go back"
    )
    etcd = pending["components"].get("etcd")
    member = _well(host, sight, "etcd", etcd) if etcd in back else None
    if member is not None:
        require_members_well(sight, member, left)
    server = pending["components"].get(API_SERVER)
    process = _well(host, sight, API_SERVER, server) if server in back or (server and member is not None) else None
    if process is not None:
        require_another_server(sight, process, _several(sight), left)


def _well(host: Host, sight: Sight, component: str, path: str | None) -> Process | None:
    """Return the process of a manifest that is there, None where it is not well."""
    if path is None or not os.path.lexists(host.path(path)):
        return None
    try:
        wanted = _arguments(host, component, path)
    except HardeningError:
        return None  # what is there by now starts nothing
    process = next((one for one in reversed(sight.find(component)) if matches(one, wanted)), None)
    return process if process is not None and _is_well(sight, process) else None


def _is_well(sight: Sight, process: Process) -> bool:
    try:
        return not unwell_here(sight, process) and sight.same(process)
    except HardeningError:
        return False  # it cannot be asked


def _several(sight: Sight) -> bool:
    """Return whether the etcd beside the API server has other members, so that there are other API servers too."""
    with contextlib.suppress(HardeningError):  # one that cannot be asked says nothing
        return any(len(etcd_client(process).members()) > 1 for process in sight.find("etcd")[-1:])
    return False


def _arguments(host: Host, component: str, path: str) -> list[str]:
    return Manifest.parse(read_text(host.path(path)) or "", path).arguments(component)
