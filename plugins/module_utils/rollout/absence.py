# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server that is away while its etcd restarts.

On a stacked control plane the API server uses only the etcd of its own host. Under an API server that runs, a restart
of etcd costs requests, since it hangs instead of refusing them, and the kubelet loses half a minute at it. So its
manifest is moved out of the kubelet's sight first, and comes back when etcd is proven. Its requests go to the other
control planes meanwhile.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import move_file, read_text, remove_file
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.draining import drained
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import INTERVAL, Sight, matches

_SUFFIX = ".taken-away-by-kubeharden"


class Absence:
    """Takes the API server of a host away and brings it back.

    Args:
        host: The host's file system.
        sight: How the host is seen; None where no process belongs to the files.
        manifest: The API server's manifest.
        etcd: etcd's manifest.
        apart: Whether etcd waits until the API server has ended. On a single control plane both stop in one moment,
            since nobody else could take the requests.
    """

    def __init__(self, host: Host, sight: Sight | None, manifest: str, etcd: str, apart: bool) -> None:
        self._host = host
        self._sight = sight
        self.manifest = manifest
        self.etcd = etcd
        self.apart = apart
        #: Beside the manifests directory: the same file system, and the kubelet does not watch it.
        self.moved_to = os.path.join(os.path.dirname(os.path.dirname(manifest)), os.path.basename(manifest) + _SUFFIX)
        self._arguments: list[str] = []

    @classmethod
    def from_record(cls, host: Host, sight: Sight | None, record: t.Mapping[str, t.Any]) -> Absence:
        """Return the absence that a journal names."""
        return cls(host, sight, record["manifest"], record["etcd"], record["apart"])

    def as_record(self) -> dict[str, t.Any]:
        """Return what the journal must know before it begins."""
        return {"manifest": self.manifest, "moved_to": self.moved_to, "etcd": self.etcd, "apart": self.apart}

    @property
    def is_left(self) -> bool:
        """Whether the manifest lies where it was moved to, with or without another in its place."""
        return os.path.lexists(self._host.path(self.moved_to))

    @property
    def in_force(self) -> bool:
        """Whether the manifest is away."""
        return self.is_left and not os.path.lexists(self._host.path(self.manifest))

    def begin(self) -> None:
        """Move the manifest away; nothing is done where it is away already."""
        text = read_text(self._host.path(self.manifest))
        if text is None:
            return
        self._arguments = Manifest.parse(text, self.manifest).arguments(API_SERVER)
        # Where nobody else could take them, requests are not kept from it.
        with drained(self._sight if self.apart else None, self._arguments):
            move_file(self._host.path(self.manifest), self._host.path(self.moved_to))

    def ended(self, limit: float) -> bool:
        """Wait until the API server has ended, at most so many seconds, and return whether it has."""
        if self._sight is None or not self._arguments:
            return True
        end = self._sight.clock() + limit
        while any(matches(process, self._arguments) for process in self._sight.find(API_SERVER)):
            if self._sight.clock() >= end:
                return False
            self._sight.sleep(INTERVAL)
        return True

    def end(self) -> None:
        """Move the manifest back, unless one has been laid in its place."""
        if os.path.lexists(self._host.path(self.manifest)):
            remove_file(self._host.path(self.moved_to))
        else:
            move_file(self._host.path(self.moved_to), self._host.path(self.manifest))


def refusal_of(act: t.Callable[[], None]) -> list[str]:
    """Do something that nothing else may be kept from, and return the sentence with which it was refused, if it was."""
    try:
        act()
    except HardeningError as error:
        return [str(error)]
    return []


def put_back_in_order(
    backup: Backup,
    saved: t.Sequence[Saved],
    absence: Absence,
    limit: float,
    trouble_with_etcd: t.Callable[[], str],
) -> tuple[list[str], str]:
    """Put files back as they were changed: etcd's while the API server is away, then all others.

    Args:
        backup: Where the bytes are.
        saved: What was saved, in the order in which it was changed; both manifests are among it.
        absence: The API server's.
        limit: Seconds that the API server may take to end; after that the bytes go back all the same.
        trouble_with_etcd: Waits for etcd with its old bytes and returns what is wrong with it, empty where it is well.

    Returns:
        A sentence for each file that did not go back, and what is wrong with etcd.
    """
    watched = os.path.dirname(absence.manifest)
    refused = refusal_of(absence.begin)
    if absence.apart:
        absence.ended(limit)
    problems = backup.put_back([entry for entry in saved if entry.path == absence.etcd], watched)
    trouble = "" if problems else trouble_with_etcd()
    problems += backup.put_back([entry for entry in saved if entry.path != absence.etcd], watched)
    return [*refused, *problems, *refusal_of(absence.end)], trouble
