# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What putting runs back would change on a host: the difference of what is there and what their records say was there.

Several runs are put back in one step: each target goes to what it was before the oldest of them, so that a component
restarts once. A target that says neither what a run made of it nor what was there before is somebody else's since, and
is left as it is.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files, kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments, parse_bool
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    KUBELET_FLAGS,
    KUBELET_OVERRIDES,
    TOGETHER,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.sysctl import FILE as SYSCTL_FILE
from ansible_collections.kubeharden.core.plugins.module_utils.files.history import PastRun
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import (
    Backup,
    Change,
    Saved,
    holds_key,
    saved_from,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, sha256
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import attributes

#: Parts of a host that go back one after the other.
STATIC_PODS, KUBELET, FILES = "static_pods", "kubelet", "files"
PARTS = (STATIC_PODS, KUBELET, FILES)
#: What a path is when it is no file.
ABSENT, DIRECTORY, OTHER = "absent", "directory", "other"
#: A record of schema 1 does not say what a run made of a target.
UNKNOWN = object()
_KEY_FILES = (".crt", ".csr", ".key", ".pem", ".pub")
#: Environment files that give a kubelet flags, and the variable that holds them.
_FLAG_FILES = {
    KUBELET_FLAGS: kubelet_files.KUBEADM_ARGUMENTS,
    **dict.fromkeys(KUBELET_OVERRIDES, kubelet_files.OWN_ARGUMENTS),
}
#: The field by which the kubelet insists on the kernel's settings.
_INSISTS = "protectKernelDefaults"
#: The flag by which an API server verifies what kubelets serve.
VERIFIES = "kubelet-certificate-authority"


@dataclasses.dataclass(frozen=True)
class Link:
    """One change of a target: what it was, what a run made of it, and the entry of the record."""

    run_id: str
    before: t.Any
    after: t.Any
    entry: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Unwound:
    """Where a chain of changes leads back to.

    Attributes:
        state: What the target is to be; what it is where nothing is to be done.
        link: The change whose ``before`` this is, None where nothing is to be done.
        stranger: The run after which somebody else changed the target, empty where nobody did.
    """

    state: t.Any
    link: Link | None = None
    stranger: str = ""


def unwind(current: t.Any, chain: t.Sequence[Link]) -> Unwound:
    """Go back along the changes of a target, the oldest of which comes first, as far as nobody else changed it.

    A run that died, or a rollback that did, may have left the target at any of the recorded states.
    """
    links = [
        dataclasses.replace(link, after=chain[index + 1].before)
        if link.after is UNKNOWN and index + 1 < len(chain)
        else link
        for index, link in enumerate(chain)
    ]
    position = _position(current, links)
    if position is None:
        return Unwound(current, None, links[-1].run_id)
    state, reached, stranger = current, None, ""
    for link in reversed(links[:position]):
        if link.after is UNKNOWN or link.after == state:
            state, reached = link.before, link
        elif link.before != state:  # a change that was put back at once, when its proof failed, is none
            stranger = link.run_id
            break
    return Unwound(state, reached if state != current else None, stranger)


def strangers(back: Unwound, what: str, place: str) -> list[str]:
    """Return a sentence where somebody else changed a target, so that it stays or goes back only in part.

    Args:
        back: How far it goes back.
        what: What a sentence calls the target.
        place: Where the target is kept as it was.
    """
    if not back.stranger:
        return []
    if back.link is not None:
        return [f"{what} was changed by someone else after run {back.stranger}, so it goes back to that change only."]
    changed = f"{what} has been changed by someone else since run {back.stranger}"
    return [f"{changed}, so it was left as it is; what it was before is in {place}."]


def _position(current: t.Any, links: t.Sequence[Link]) -> int | None:
    """Return how many of the changes are in force, None where the target is none of the recorded states."""
    for index in range(len(links) - 1, -1, -1):
        if links[index].after == current:
            return index + 1
        if links[index].before == current:
            return index
        if links[index].after is UNKNOWN:
            return index + 1
    return None


@dataclasses.dataclass(frozen=True)
class Step:
    """One change on the way back.

    Attributes:
        change: As it is told.
        part: The part of the host that it belongs to.
        component: Of a static pod, the component that starts again for it.
        saved: Of a path, what it goes back to; the bytes are in the backup of ``run_id``.
        run_id: The run whose change goes back.
        value: Of what is no path, what it goes back to; None to remove it.
    """

    change: Change
    part: str
    component: str = ""
    saved: Saved | None = None
    run_id: str = ""
    value: str | None = None


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a host is seen beside its files; tests give their own.

    Attributes:
        sysctl: The kernel's value of a setting, None where it has none.
        override: The line of dpkg-statoverride for a path, None where there is none.
        user: Whether there is a user of that name.
    """

    sysctl: t.Callable[[str], str | None]
    override: t.Callable[[str], str | None]
    user: t.Callable[[str], bool]


def still_verified(api_servers: t.Mapping[str, bool | None]) -> str:
    """Return why kubelets must go on serving certificates of the cluster's authority, empty where they need not.

    Args:
        api_servers: By control plane of the inventory, whether its API server verifies what kubelets serve; None where
            it takes no part, so that nobody knows.
    """
    verifying = [name for name, verifies in api_servers.items() if verifies]
    if verifying:
        return f"kube-apiserver on {', '.join(verifying)} verifies what kubelets serve (--{VERIFIES})"
    unknown = [name for name, verifies in api_servers.items() if verifies is None]
    if unknown or not api_servers:
        who = f"{', '.join(unknown)} took no part" if unknown else "no control plane took part"
        return f"{who} in this rollback, and kube-apiserver may verify there what kubelets serve (--{VERIFIES})"
    return ""


class Undo:
    """Plans the way back of one host.

    Args:
        host: The host's file system.
        runs: The runs to put back, the oldest first.
        found: What discovery says of the host.
        seen: How the host is seen.
        foretell: Whether the parts that come first count as done, which in a run they are.
        verified: Why the kubelet must keep its serving certificate (still_verified), empty where it need not.
    """

    def __init__(
        self,
        host: Host,
        runs: t.Sequence[PastRun],
        found: t.Mapping[str, t.Any],
        seen: Seen,
        foretell: bool,
        verified: str = "",
    ) -> None:
        self._host = host
        self._runs = runs
        self._seen = seen
        self._foretell = foretell
        self._verified = verified
        self._manifests = {str(one["manifest"]): name for name, one in (found.get("components") or {}).items()}
        kubelet = found.get("kubelet") or {}
        self._kubelet = str(kubelet.get("configuration_file") or "")
        self._drop_ins = str((kubelet.get("flags") or {}).get("config-dir") or "")
        #: Files with keys and certificates that a run changed.
        self._keys: list[str] = []
        #: What a person should know, as sentences.
        self.notes: list[str] = []
        #: What does not go back and why, as sentences.
        self.not_done: list[str] = []
        #: What of the kubelet stays until no API server verifies what it serves, as sentences.
        self.withheld: list[str] = []

    def plan(self) -> list[Step]:
        """Return the steps in the order in which they are to be made, without making them."""
        self.notes, self.not_done, self.withheld, self._keys = [], [], [], []
        chains: dict[tuple[str, str], list[Link]] = {}
        for run in self._runs:
            for entry in run.entries:
                self._collect(run.run_id, entry, chains)
        steps: list[Step] = []
        for (kind, target), chain in chains.items():
            step = self._step(kind, target, chain, chains)
            if step is not None:
                steps.append(step)
        if self._keys:
            self.not_done.append(
                f"Keys and certificates never come back: {', '.join(self._keys)} stay as they are, and are renewed "
                "when they are due."
            )
        steps = self._without_needed(self._without_verified(steps))
        steps.reverse()  # what was made last goes first: files before their directories
        return self._without_filled(steps)

    # What is there, and what was

    def _collect(self, run_id: str, entry: t.Mapping[str, t.Any], chains: dict[tuple[str, str], list[Link]]) -> None:
        kind, target, after = entry["kind"], str(entry["target"]), entry.get("after", UNKNOWN)
        if kind in ("file", "absent"):
            before = entry["sha256"] if kind == "file" else ABSENT
            chains.setdefault(("path", target), []).append(Link(run_id, before, after, entry))
        if kind in ("file", "attributes", "directory"):
            mode = [entry["mode"], entry["uid"], entry["gid"]]
            after = after if kind != "file" else mode  # who replaces bytes keeps mode and owner
            chains.setdefault(("attributes", target), []).append(Link(run_id, mode, after, entry))
        if kind in ("sysctl", "override"):
            chains.setdefault((kind, target), []).append(Link(run_id, entry.get("before"), after, entry))
        if kind == "user":
            chains.setdefault((kind, target), []).append(Link(run_id, False, True, entry))
        if kind == "package":
            self.notes.append(f"The package {target}, which run {run_id} installed, stays; remove it by hand.")
        if kind == "one_way":
            self.not_done.append(f"{target} of run {run_id} stays: {entry['why']}")

    def _step(
        self, kind: str, target: str, chain: t.Sequence[Link], chains: t.Mapping[tuple[str, str], t.Sequence[Link]]
    ) -> Step | None:
        if kind == "path":
            return self._path(target, chain, chains.get(("attributes", target), []))
        if kind == "attributes":
            whole = chains.get(("path", target), [])
            if whole and unwind(self._content(target), whole) != Unwound(self._content(target)):
                return None  # with its bytes, or somebody else's by now
            return self._attributes(target, chain)
        look: t.Callable[[str], t.Any] = getattr(self._seen, kind)
        current = look(target)
        back = self._unwound(f"{kind} {target}", current, chain)
        if back.link is None:
            return None
        if kind == "user":
            words = f"system user {target}, no home, no shell\n"
            return Step(Change("user", target, "remove", before=words), FILES, run_id=back.link.run_id)
        if kind == "sysctl":
            change = Change("sysctl", target, "set", f"{current}\n", f"{back.state}\n")
            return Step(change, KUBELET, run_id=back.link.run_id, value=str(back.state))
        change = Change("override", target, "remove" if back.state is None else "set", current, back.state)
        return Step(change, FILES, run_id=back.link.run_id, value=back.state)

    def _unwound(self, what: str, current: t.Any, chain: t.Sequence[Link]) -> Unwound:
        back = unwind(current, chain)
        self.not_done += strangers(back, what, f"{STATE_DIRECTORY}/backups/{back.stranger} on this host")
        return back

    def _content(self, path: str) -> str:
        real = self._host.path(path)
        try:
            status = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        if stat.S_ISDIR(status.st_mode):
            return DIRECTORY
        return str(sha256(read_bytes(real))) if stat.S_ISREG(status.st_mode) else OTHER

    def _mode(self, path: str) -> list[int] | None:
        try:
            status = os.stat(self._host.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid]

    # Paths

    def _attributes(self, path: str, chain: t.Sequence[Link]) -> Step | None:
        current = self._mode(path)
        if current is None:
            return None  # what is gone has no mode
        back = self._unwound(f"Owner and mode of {path}", current, chain)
        if back.link is None:
            return None
        saved = dataclasses.replace(saved_from(back.link.entry), kind="attributes", sha256=None, stored=None)
        change = Change("attributes", path, "set", attributes.described(path, *current), _described(saved))
        return Step(change, FILES, saved=saved, run_id=back.link.run_id)

    def _path(self, path: str, chain: t.Sequence[Link], modes: t.Sequence[Link]) -> Step | None:
        current = self._content(path)
        back = unwind(current, chain)
        if (back.link is not None or back.stranger) and self._is_key_material(path, back):
            self._keys.append(path)
            return None
        back = self._unwound(path, current, chain)
        if back.link is None:
            return None
        saved = saved_from(back.link.entry)
        mode = self._mode(path)
        if saved.kind == "file" and modes and mode is not None:
            goal = unwind(mode, modes).state
            saved = dataclasses.replace(saved, mode=goal[0], uid=goal[1], gid=goal[2])
        return self._step_of(path, current, saved, back.link.run_id)

    def _is_key_material(self, path: str, back: Unwound) -> bool:
        entry = back.link.entry if back.link is not None else {}
        # Of a file without bytes they were a key's, and have been removed since.
        if path.endswith(_KEY_FILES) or (entry.get("kind") == "file" and entry["stored"] is None):
            return True
        texts = []
        if self._content(path) not in (ABSENT, DIRECTORY, OTHER):
            texts.append(read_bytes(self._host.path(path)) or b"")
        if back.link is not None and entry.get("stored"):
            texts.append(Backup(self._host, back.link.run_id).bytes_of(saved_from(entry)))
        return any(holds_key(text) for text in texts)

    def _step_of(self, path: str, current: str, saved: Saved, run_id: str) -> Step:
        if current == DIRECTORY:
            return Step(Change("directory", path, "remove", before=f"{path}\n"), FILES, saved=saved, run_id=run_id)
        before = None if current == ABSENT else _text(read_bytes(self._host.path(path)))
        after = None if saved.kind == ABSENT else _text(Backup(self._host, run_id).bytes_of(saved))
        part, component = self._part(path, saved)
        restart = [component, *TOGETHER.get(component, ())] if path in self._manifests else [component]
        change = Change(
            kind="manifest" if path in self._manifests else "file",
            target=path,
            action="remove" if saved.kind == ABSENT else "create" if current == ABSENT else "update",
            before=before,
            after=after,
            before_sha256=None if current == ABSENT else current,
            after_sha256=saved.sha256,
            restart=tuple(restart) if component else (),
        )
        return Step(change, part, component if part == STATIC_PODS else "", saved, run_id)

    def _part(self, path: str, saved: Saved) -> tuple[str, str]:
        """Return the part that a file belongs to and the component that starts again for it, empty for none."""
        if path in self._manifests:
            return STATIC_PODS, self._manifests[path]
        if path == self._kubelet or path in _FLAG_FILES or self._is_drop_in(path):
            return KUBELET, "kubelet"
        if path == SYSCTL_FILE:
            return KUBELET, ""
        if saved.kind != ABSENT:
            for manifest, component in self._manifests.items():
                if path in self._current(manifest):
                    return STATIC_PODS, component
        return FILES, ""

    def _is_drop_in(self, path: str) -> bool:
        """Return whether a file is one of those that the kubelet lays over its configuration."""
        inside = bool(self._drop_ins) and path.startswith(self._drop_ins.rstrip("/") + "/")
        return inside and path.endswith(kubelet_files.DROP_INS)

    def _current(self, path: str) -> str:
        return _text(read_bytes(self._host.path(path))) or ""

    # What must stay

    def _future(self, steps: t.Sequence[Step], path: str) -> str:
        """Return a file's text as it will be when the parts before are done."""
        if self._foretell:
            for step in steps:
                if step.change.target == path and step.change.kind in ("manifest", "file"):
                    return step.change.after or ""
        return self._current(path)

    def _without_verified(self, steps: t.Sequence[Step]) -> list[Step]:
        """Leave out what takes the kubelet's serving certificate away while an API server may verify it."""
        kept = []
        for step in steps:
            change = step.change
            if self._verified and step.part == KUBELET and self._unserves(change):
                self.withheld.append(
                    f"{change.target} stays as it is, since {self._verified}: of a kubelet that signs its certificate "
                    "itself it would refuse logs and exec. Run rollback.yml again with all control planes and without "
                    "--tags; where a manifest is somebody else's by now, take the flag out of it before."
                )
            else:
                kept.append(step)
        return kept

    def _unserves(self, change: Change) -> bool:
        """Return whether a kubelet would no longer serve the certificate that it serves now."""
        (asked, had), (asks, has) = (self._serving(change.target, text or "") for text in (change.before, change.after))
        if change.target != self._kubelet and asks is False and asked is not False:
            return True  # what beats the kubelet's own file
        return not asks and (bool(asked) or had not in ("", has))

    def _serving(self, path: str, text: str) -> tuple[bool | None, str]:
        """Return whether a kubelet's file lets it ask for a serving certificate, and which one it names.

        None where it says nothing of it.
        """
        if path in _FLAG_FILES:
            words = parse_arguments(kubelet_files.arguments_in(text, _FLAG_FILES[path]))
            flags = {one.name: one.effective for one in words}
            said = flags.get("rotate-server-certificates")
            return None if said is None else parse_bool(said) is True, flags.get("tls-cert-file", "")
        fields = kubeletconfig.fields(text, path) if path == self._kubelet or self._is_drop_in(path) else {}
        asks = fields.get("serverTLSBootstrap")
        return None if asks is None else asks is True, str(fields.get("tlsCertFile") or "")

    def _without_needed(self, steps: t.Sequence[Step]) -> list[Step]:
        """Leave out what something needs that stays: a file that a manifest names, settings that the kubelet checks."""
        texts = {path: self._future(steps, path) for path in self._manifests}
        kept = []
        insists = self._insists(steps)
        for step in steps:
            target, removes = step.change.target, step.change.action == "remove"
            naming = [path for path, text in texts.items() if removes and step.saved and target in text]
            if naming:
                self.not_done.append(f"{target} stays, since {naming[0]} names it.")
            elif insists and (step.change.kind == "sysctl" or target == SYSCTL_FILE):
                self.not_done.append(f"{step.change.kind} {target} stays, since {self._kubelet} has {_INSISTS}.")
            else:
                kept.append(step)
        return kept

    def _insists(self, steps: t.Sequence[Step]) -> bool:
        """Return whether the kubelet checks the kernel's settings when its configuration, which goes first, is back."""
        if not self._kubelet:
            return False
        back = [one.change.after or "" for one in steps if one.part == KUBELET and one.change.target == self._kubelet]
        text = back[0] if back else self._current(self._kubelet)
        return kubeletconfig.fields(text, self._kubelet).get(_INSISTS) is True

    def _without_filled(self, steps: t.Sequence[Step]) -> list[Step]:
        """Leave out directories in which something stays; steps are in the order in which they are made."""
        kept = []
        gone: set[str] = set()
        for step in steps:
            target = step.change.target
            if step.change.kind == "directory":
                names = os.listdir(self._host.path(target))
                left = [name for name in names if os.path.join(target, name) not in gone]
                if left:
                    self.notes.append(f"{target} stays, since there is {len(left)} more in it than was put there.")
                    continue
            if step.change.action == "remove" and step.saved is not None:
                gone.add(target)
            kept.append(step)
        return kept


def _described(saved: Saved) -> str:
    return attributes.described(saved.path, saved.mode, saved.uid, saved.gid)


def _text(data: bytes | None) -> str | None:
    """Return a file's text, None for no file and for what is no text."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None  # its digests tell that it changes
