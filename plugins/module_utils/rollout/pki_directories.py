# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PKI of a whole cluster in one process, in directories that stand for its hosts.

It is what the calls on each host do in turn, without what lies between them: a module is started once, the cluster is
read once. A directory that is not there yet is made beside its place and renamed when all of it is on the disk, so that
there is nothing to save and nothing to finish; what is there is changed as on a host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.sync import sync_trees
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import NewFile
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    TEMPORARY_PREFIX,
    explain,
    fsync_directory,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, layout as table
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import ClusterFacts, HostPki, Layout
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import iso_time
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import Authorities, Making, Outcome
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.leaves import Leaves

#: Of a directory that stands for a host: keys are below it.
DIRECTORY_MODE = 0o700


class _NewStore(pki_files.Store):
    """Writes into a directory that nobody knows of yet: nothing was there before, and it is synced as a whole."""

    def __init__(self, host: Host, run_id: str) -> None:
        super().__init__(host, run_id)
        self._waiting: dict[str, str] = {}
        self._fingerprints: dict[str, str] = {}

    def new_file(self, path: str, data: bytes, secret: bool) -> NewFile:
        return NewFile(path, data, pki_files.KEY_MODE if secret else pki_files.CERTIFICATE_MODE, None)

    def write(self, files: t.Sequence[NewFile]) -> list[Saved]:
        for file in files:
            path = os.path.join(self.host.root, file.path.lstrip("/"))
            _make_parents(self.host.root, os.path.dirname(file.path), pki_files.DIRECTORY_MODE)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "wb") as handle:
                os.fchmod(handle.fileno(), file.mode)
                handle.write(file.data)
        return []

    def open_secrets(self, _paths: t.Sequence[str]) -> list[Change]:
        return []

    def issued(self) -> dict[str, list[str]]:
        return {}

    def note_issued(self, fingerprints: t.Mapping[str, t.Sequence[str]]) -> None:
        self._fingerprints.update({name: " ".join(some) for name, some in fingerprints.items()})

    def waiting(self) -> dict[str, str]:
        return self._waiting

    def let_wait(self, secrets: t.Mapping[str, str]) -> None:
        self._waiting.update(secrets)

    def forget_waiting(self) -> None:
        self._waiting = {}

    def note_all(self) -> None:
        """Write what is known of the certificates."""
        _make_parents(self.host.root, os.path.dirname(pki_files.ISSUED), DIRECTORY_MODE)
        known = (json.dumps(self._fingerprints, indent=1) + "\n").encode()
        self.write([NewFile(pki_files.ISSUED, known, pki_files.KEY_MODE, None)])


def _make_parents(root: str, path: str, mode: int) -> None:
    """Make the directories of a path below a root that are missing."""
    made = os.path.join(root, path.lstrip("/"))
    if not os.path.isdir(made):
        _make_parents(root, os.path.dirname(path), pki_files.DIRECTORY_MODE)
        os.mkdir(made, mode)
        os.chmod(made, mode)


@dataclasses.dataclass
class _Directory:
    """A host's directory, its share of the table, and what the call does there."""

    node: str
    root: str
    host: Host
    pki: HostPki
    store: pki_files.Store
    files: dict[str, bytes]
    changes: list[Change]
    missing: t.Sequence[str] = ()

    def add(self, changes: t.Iterable[Change]) -> None:
        """Add changes; those of directories below a new one go without saying."""
        is_new = any(change.target == "/" for change in self.changes)
        self.changes += [change for change in changes if not (is_new and change.kind == "directory")]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the directories are to have.

    Attributes:
        cluster: The hosts.
        layout: Where things lie, and which there are.
        making: How authorities are made.
        policy: What the user decided of leaves.
    """

    cluster: ClusterFacts
    layout: Layout
    making: Making = dataclasses.field(default_factory=Making)
    policy: Policy = dataclasses.field(default_factory=Policy)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call did, or would do: changes with the paths of this machine, what was issued, and sentences."""

    changes: list[Change]
    issued: list[dict[str, str]]
    notes: list[str]


class Directories:
    """All hosts of a cluster, each a directory with the node's name below one parent.

    Args:
        parent: Where the directories are.
        run_id: Names the backups.
        wanted: What they are to have.
        now: Seconds since 1970.
        check: Whether nothing is written.
    """

    def __init__(self, parent: str, run_id: str, wanted: Wanted, now: float, check: bool) -> None:
        self._parent = parent
        self._run_id = run_id
        self._wanted = wanted
        self._now = now
        self._check = check
        self._notes: list[str] = []
        self._issued: list[dict[str, str]] = []
        # By name, what signs, or what stands in for it in check mode.
        self._signers: dict[str, Authority] = {}

    def settle(self) -> Result:
        """See to every host.

        Raises:
            HardeningError: What was refused. All hosts are judged before the first is written to, but for what only the
                writing shows.
        """
        names = self._names()
        with contextlib.ExitStack() as locks:
            parent = self._take_parent(locks)
            directories = [self._open(name) for name in names]
            try:
                signing = self._authorities(directories)
                planned = [(one, self._plan(one)) for one in directories]
                if not self._check:
                    self._write(planned, signing)
                    self._appear(parent, directories)
            except OSError as error:
                raise HardeningError(
                    "KH201",
                    f"{error.filename or self._parent} could not be written: {explain(error)}. Directories of hosts "
                    "are there as a whole or not at all; mend that and run again.",
                ) from error
            finally:
                for one in directories:
                    if one.host.root != one.root and not self._check:
                        shutil.rmtree(one.host.root, ignore_errors=True)
        changes = [_shown(one, change) for one in directories for change in one.changes]
        return Result(changes, self._issued, list(dict.fromkeys(self._notes)))

    def _take_parent(self, locks: contextlib.ExitStack) -> int:
        """One call at a time; the kernel gives the lock back to the next when this process ends."""
        try:
            descriptor = os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise HardeningError(
                "KH010", f"{self._parent} cannot be used: {explain(error)}. Nothing was written; make that directory."
            ) from error
        locks.callback(os.close, descriptor)
        if not self._check:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def _names(self) -> list[str]:
        cluster = self._wanted.cluster
        names = [host.node_name for host in (*cluster.control_planes, *cluster.nodes, *cluster.etcd)]
        if not cluster.control_planes or len(set(names)) < len(names):
            raise HardeningError(
                "KH301",
                "A cluster needs a control plane, and each of its hosts a name of its own. Nothing was changed; "
                "correct 'cluster'.",
            )
        for name in names:
            if not name or name in (".", "..") or "/" in name:
                raise HardeningError(
                    "KH301", f"'{name}' cannot be the name of a node. Nothing was changed; correct 'cluster'."
                )
        return names

    def _open(self, name: str) -> _Directory:
        root = os.path.join(self._parent, name)
        pki = table.host_pki(self._wanted.layout, self._wanted.cluster, name)
        if not os.path.isdir(root):
            host = Host(root if self._check else os.path.join(self._parent, TEMPORARY_PREFIX + name))
            if not self._check:
                # What a run that died left is begun anew.
                shutil.rmtree(host.root, ignore_errors=True)
                os.mkdir(host.root, DIRECTORY_MODE)
            change = Change("directory", "/", "create", after=f"mode {DIRECTORY_MODE:04o}\n")
            return _Directory(name, root, host, pki, _NewStore(host, self._run_id), {}, [change])
        host = Host(root)
        pki_files.refuse_references(host, self._wanted.layout)
        store = pki_files.Store(host, self._run_id)
        if not self._check:
            holder = Lock(host).holder()
            if holder is not None and holder.run_id != self._run_id:
                raise HardeningError(
                    "KH105",
                    f"Run {holder.run_id} from {holder.controller.split()[0]} holds the lock of {root}. Nothing was "
                    "written; wait for that run, and run again.",
                )
            self._notes += store.recover(pki)
        return _Directory(name, root, host, pki, store, pki_files.read(host, pki), [])

    # Authorities

    def _authorities(self, directories: list[_Directory]) -> _Directory:
        """See to the authorities of all control planes; returns the directory that signs."""
        planes = directories[: len(self._wanted.cluster.control_planes)]
        signing = next((one for one in planes if _signs(one)), planes[0])
        others = [one for one in planes if one is not signing]
        # Each is judged before the first is written to.
        seen = {one.node: Authorities(one.store, one.pki, one.files, self._now, self._wanted.making) for one in planes}
        for one in (signing, *others):
            outcome = self._settle(seen[one.node], one, one is signing)
            if outcome.receiver:
                source = Authorities(signing.store, signing.pki, signing.files, self._now, self._wanted.making)
                given = source.give(outcome.missing, outcome.receiver, one.node)
                outcome = self._settle(seen[one.node], one, False, given)
            one.add(outcome.changes)
            one.missing = outcome.missing
            self._notes += outcome.not_done
            if outcome.changes and not self._check:
                one.files = pki_files.read(one.host, one.pki)
        found = pki_files.load_authorities(signing.pki, signing.files, self._now)
        made = [item for item in signing.pki.authorities if item.name not in found]
        self._signers = {**{item.name: authority.create(item.profile, self._now) for item in made}, **found}
        return signing

    def _settle(
        self,
        authorities: Authorities,
        one: _Directory,
        create: bool,
        taken: t.Mapping[str, t.Mapping[str, str]] | None = None,
    ) -> Outcome:
        return authorities.settle(
            create=create, source=not create, taken=taken, node=one.node, repair=True, check=self._check
        )

    # Leaves

    def _plan(self, one: _Directory) -> Leaves:
        options = leaves.Options(
            policy=self._wanted.policy,
            scope=leaves.SCOPE_DUE,
            expected=frozenset(one.missing) if self._check else frozenset(),
            at_hand=self._signers,
        )
        planned = Leaves(one.store, one.pki, one.files, self._now, options)
        planned.refuse_foreign()
        opened = one.store.open_secrets(pki_files.leaf_paths(one.pki))
        one.add([*opened, *planned.changes()])
        self._notes += [f"{one.node}: {note}" for note in (*planned.notes, *planned.not_done)]
        return planned

    def _write(self, planned: t.Sequence[tuple[_Directory, Leaves]], signing: _Directory) -> None:
        for one, leaf_plan in planned:
            if not one.changes:
                continue
            one.store.close_secrets(one.store.open_secrets(pki_files.leaf_paths(one.pki)))
            if leaf_plan.changes():
                paths = {item.name: item.path.certificate for item in signing.pki.authorities}
                wanted = leaf_plan.wanted_bundles()
                leaf_plan.apply({}, {name: signing.files[paths[name]].decode("ascii") for name in wanted})
            leaf_plan.tidy()
            if isinstance(one.store, _NewStore):
                one.store.note_all()
            self._issued += [
                {
                    "node_name": one.node,
                    "name": issued.name,
                    "path": _path(one, issued.path),
                    "not_after": iso_time(issued.not_after),
                    "serial": f"{issued.serial:x}",
                }
                for issued in leaf_plan.issued
            ]

    def _appear(self, parent: int, directories: t.Sequence[_Directory]) -> None:
        """Rename the new directories to their places, once all of them are on the disk."""
        new = [one for one in directories if one.host.root != one.root]
        if new:
            sync_trees(parent, [one.host.root for one in new])
            for one in new:
                os.rename(one.host.root, one.root)
            fsync_directory(self._parent)


def _path(one: _Directory, path: str) -> str:
    """A path of the host as this machine has it."""
    return os.path.join(one.root, path.lstrip("/")).rstrip("/")


def _shown(one: _Directory, change: Change) -> Change:
    return dataclasses.replace(change, target=_path(one, change.target))


def _signs(one: _Directory) -> bool:
    """Whether a control plane has authorities, or is the only one with the service-account key."""
    paths = [item.path.certificate for item in one.pki.authorities]
    paths += [one.pki.service_account.key] if one.pki.service_account is not None else []
    return any(path in one.files for path in paths)
