# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's certificates, keys and kubeconfigs on its disk: reading them, writing them together, who may read keys."""

from __future__ import annotations

import json
import os
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import KUBELET_FLAGS
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.document import read_object
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import RUN_DIRECTORY, STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import (
    NewFile,
    remove_leftovers,
    replace_together,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_bytes,
    remove_file,
    require_room,
    sha256,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    issue,
    keys,
    kubeconfig,
    pem,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    KUBERNETES,
    HostAuthority,
    HostPki,
    Layout,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Waiting
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.recovery import finish_files

KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644
DIRECTORY_MODE = 0o755
CONTROL = "files-pki-key"
#: By name of the leaf, the fingerprints of what this collection issued, with a space between; all others are adopted.
ISSUED = f"{STATE_DIRECTORY}/certificates.json"
#: Keys that wait for their certificates, and one-time keys of a transfer: in memory, not on a disk, and soon removed.
WAITING = f"{RUN_DIRECTORY}/pki.json"
#: Requests and their keys that wait for an authority outside, which may take days and outlast a reboot.
REQUESTS = f"{STATE_DIRECTORY}/requests"


def authority_paths(pki: HostPki) -> list[str]:
    """The files with the keys of authorities and of service accounts."""
    found = [item.path.key for item in pki.authorities]
    return found + ([pki.service_account.key] if pki.service_account is not None else [])


def leaf_paths(pki: HostPki) -> list[str]:
    """The files with the keys of leaves: kubeconfigs are among them."""
    found = [leaf.path.key for leaf in pki.leaves if leaf.path is not None]
    return found + [item.path for item in pki.kubeconfigs]


def secret_paths(pki: HostPki) -> list[str]:
    """The files of the table that hold a private key."""
    return list(dict.fromkeys([*authority_paths(pki), *leaf_paths(pki)]))


def public_paths(pki: HostPki) -> list[str]:
    """The files of the table that everybody may read."""
    found = [path for item in pki.authorities for path in (item.path.certificate, item.chain_file)]
    found += [leaf.path.certificate for leaf in pki.leaves if leaf.path is not None]
    if pki.service_account is not None:
        found.append(pki.service_account.certificate)
    found += [path for paths in pki.believed.values() for path in paths]
    return [path for path in dict.fromkeys(found) if path not in secret_paths(pki)]


def read(host: Host, pki: HostPki) -> dict[str, bytes]:
    """The bytes of every file of the table that is there, and of those that its kubeconfigs name."""
    found = _read(host, [*public_paths(pki), *secret_paths(pki)])
    named: list[str] = []
    for leaf in pki.leaves:
        if leaf.path is None and leaf.kubeconfig in found:
            facts = kubeconfig.parse(found[leaf.kubeconfig], leaf.kubeconfig)
            named += [path for path in (facts.certificate_file, facts.key_file) if path.startswith("/")]
    return {**found, **_read(host, named)}


def read_kubelets(
    host: Host, pki: HostPki, files: t.Mapping[str, bytes], kubelet: t.Mapping[str, t.Any], directory: str
) -> dict[str, bytes]:
    """The bytes of the certificates in use that a kubelet replaces itself, by path.

    Args:
        host: The host's file system.
        pki: The host's share of the table.
        files: What `read` found.
        kubelet: Of discovery, empty where nothing was discovered.
        directory: Where a kubelet keeps its certificates that was told no other place.
    """
    directory = (kubelet.get("flags") or {}).get("cert-dir") or directory
    configured = (kubelet.get("configuration") or {}).get("tlsCertFile")
    # The one that the kubelet signed for itself stays there when it has got one of the authority's: nobody is shown it.
    serving = [configured] if configured else [f"{directory}/kubelet-server-current.pem", f"{directory}/kubelet.crt"]
    found = dict(list(_read(host, serving).items())[:1])
    for item in pki.kubeconfigs:
        if item.client_files is not None and item.path in files:
            named = kubeconfig.parse(files[item.path], item.path).certificate_file
            found.update(_read(host, [named] if named.startswith("/") else []))
    return found


def in_use(discovery: t.Mapping[str, t.Any]) -> list[str]:
    """The files of certificates that components name, those of the table among them.

    Args:
        discovery: Of the host, empty where nothing was discovered.
    """
    named = [one["path"] for one in discovery.get("certificates") or () if "key" not in one["flag"]]
    named += discovery.get("sni_certificates") or []
    return [path for path in dict.fromkeys(named) if path.startswith("/")]


def _read(host: Host, paths: t.Iterable[str]) -> dict[str, bytes]:
    contents = {path: read_bytes(host.path(path)) for path in paths}
    return {path: data for path, data in contents.items() if data is not None}


def load_authorities(
    pki: HostPki, files: t.Mapping[str, bytes], now: float, brought: t.Mapping[str, Authority] | None = None
) -> dict[str, Authority]:
    """The authorities that are on the host, fit to sign but for a key that may be elsewhere.

    Args:
        pki: The host's share of the table.
        files: What is there, by path.
        now: Seconds since 1970.
        brought: By name, authorities that the user brings.
    """
    found = {}
    for item in pki.authorities:
        if item.path.certificate in files:
            above = bundle.parse(files[item.chain_file], item.chain_file) if item.chain_file in files else []
            known = (brought or {}).get(item.name)
            signers = [item.path.signer] if known is None else [bundle.digest(known.facts.public_key)]
            if item.path.key not in files:
                signers += _likely_signers(pki, item, files, now)
            found[item.name] = authority.load(item.path, files, now, need_key=False, above=above, signers=signers)
    return found


def believed(pki: HostPki, files: t.Mapping[str, bytes]) -> dict[str, list[CertificateFacts]]:
    """By name of the authority, every certificate that is believed as it is, in whichever file.

    Raises:
        HardeningError: A file that makes a component start with less than what is there, or not at all.
    """
    found = {}
    for item in pki.authorities:
        certificates = []
        for path in dict.fromkeys([item.path.certificate, *pki.believed.get(item.name, ())]):
            plain = [block for block in pem.blocks(files.get(path, b""), path) if not block.has_headers]
            certificates += [profile.from_der(block.der, path) for block in plain if block.label == "CERTIFICATE"]
        found[item.name] = certificates
    return found


def _likely_signers(pki: HostPki, item: HostAuthority, files: t.Mapping[str, bytes], now: float) -> list[str]:
    """What tells an authority in a file of several where nobody says it and no key does, the likeliest first.

    It has signed what is here, or by it the host's clients know the API server: the file may hold one that was rotated
    out, and that of a kubelet's clients others' authorities. One that has ended signs nothing.
    """
    held = files[item.path.certificate]
    if held.count(b"-----BEGIN CERTIFICATE-----") < 2:
        return []
    valid = [one for one in bundle.parse(held, item.path.certificate) if one.not_before <= now < one.not_after]
    paths = [leaf.path.certificate for leaf in pki.leaves if leaf.path is not None and leaf.authority == item.name]
    below = [profile.from_pem(files[path], path) for path in paths if path in files]
    signed = [one for one in valid if any(issue.is_signed_by(facts, one) for facts in below)]
    trusted = _trusted(pki, files) if item.name == KUBERNETES else []
    keys_of_valid = {one.public_key for one in valid}
    likely = [*signed, *(one for one in trusted if one.public_key in keys_of_valid), *valid[:1]]
    return [bundle.digest(one.public_key) for one in likely]


def _trusted(pki: HostPki, files: t.Mapping[str, bytes]) -> list[CertificateFacts]:
    """By what the host's clients know the API server."""
    known = [(one.path, kubeconfig.parse(files[one.path], one.path)) for one in pki.kubeconfigs if one.path in files]
    return [one for path, facts in known if facts.authority is not None for one in bundle.parse(facts.authority, path)]


def refuse_references(host: Host, layout: Layout) -> None:
    """Refuse kubeconfigs that name files on a host of kubeadm's.

    Raises:
        HardeningError: They are asked for there.
    """
    if layout.file_references and os.path.isfile(host.path(KUBELET_FLAGS)):
        raise HardeningError(
            "KH314",
            f"{KUBELET_FLAGS} says that kubeadm made this host, and kubeadm certs renew, which kubeadm upgrade does "
            "too, refuses kubeconfigs that name files. Nothing was changed; leave file_references out here.",
        )


class Store:
    """Writes what belongs together, once.

    Args:
        host: The host's file system.
        run_id: The run, which names the backup.
    """

    def __init__(self, host: Host, run_id: str) -> None:
        self.host = host
        self.run_id = run_id
        self._backup = Backup(host, run_id)

    def recover(self, pki: HostPki) -> list[str]:
        """Finish what a run that died had begun, before anything else; returns it as sentences."""
        finished = finish_files(self.host)
        remove_leftovers(self.host, [*public_paths(pki), *secret_paths(pki), request_path("any")])
        return finished

    def missing_directories(self, paths: t.Iterable[str]) -> list[Change]:
        """The directories that the paths need, as changes."""
        missing: set[str] = set()
        for path in paths:
            directory = os.path.dirname(path)
            while directory not in missing and not os.path.isdir(self.host.path(directory)):
                missing.add(directory)
                directory = os.path.dirname(directory)
        return [Change("directory", path, "create", after=f"mode {DIRECTORY_MODE:04o}\n") for path in sorted(missing)]

    def new_file(self, path: str, data: bytes, secret: bool) -> NewFile:
        """A file with its bytes, the owner of the one before, and the mode of the one before where that is stricter."""
        mode = KEY_MODE if secret else CERTIFICATE_MODE
        owner = (0, 0) if self.host.can_own else None
        try:
            status = os.stat(self.host.path(path))
        except FileNotFoundError:
            return NewFile(path, data, mode, owner)
        kept = (status.st_uid, status.st_gid) if self.host.can_own else None
        return NewFile(path, data, stat.S_IMODE(status.st_mode) & mode | stat.S_IRUSR, kept)

    def write(self, files: t.Sequence[NewFile]) -> list[Saved]:
        """Save what is there, then replace everything together; returns what was saved, for the way back.

        Raises:
            HardeningError: What was refused; every file is then what it was.
        """
        for directory in {os.path.dirname(file.path) for file in files}:
            require_room(self.host.path(directory), sum(len(file.data) for file in files))
        for change in self.missing_directories(file.path for file in files):
            self._backup.save_step(change.target)
            make_directory(self.host.path(change.target), DIRECTORY_MODE, (0, 0) if self.host.can_own else None)
        saved = [self._backup.save_step(file.path) for file in files]
        replace_together(self.host, files)
        return saved

    def put_back(self, saved: t.Sequence[Saved]) -> None:
        """Bring back what `write` replaced, together again.

        Raises:
            HardeningError: A backup that is damaged, or what was refused.
        """
        files = []
        for entry in saved:
            if entry.kind != "file":
                continue
            data = read_bytes(os.path.join(self._backup.directory, str(entry.stored)))
            if data is None or sha256(data) != entry.sha256:
                raise HardeningError(
                    "KH404",
                    f"The backup of {entry.path} in {self._backup.directory} is damaged, so it was not put back. "
                    "Restore the file by hand.",
                )
            files.append(NewFile(entry.path, data, entry.mode, (entry.uid, entry.gid) if self.host.can_own else None))
        replace_together(self.host, files)
        for entry in saved:
            if entry.kind == "absent":
                remove_file(self.host.path(entry.path))

    def remove_keys(self, paths: t.Sequence[str], why: str) -> None:
        """Remove keys for good: no copy is kept on the host, and the record says why.

        Raises:
            HardeningError: One that could not be removed.
        """
        for path in paths:
            self._backup.note("one_way", path, why=why)
            remove_file(self.host.path(path))

    # Who may read keys

    def open_secrets(self, paths: t.Sequence[str]) -> list[Change]:
        """Those of some files with keys that others may read, as changes."""
        changes = []
        for path in paths:
            mode = self._mode(path)
            if mode is not None and mode & 0o077:
                texts = (f"{path} mode {mode:04o}\n", f"{path} mode {mode & KEY_MODE:04o}\n")
                changes.append(Change("attributes", path, "set", *texts, controls=(CONTROL,)))
        return changes

    def close_secrets(self, changes: t.Sequence[Change]) -> None:
        """Apply what `open_secrets` found."""
        for change in changes:
            self._backup.save(change.target, content=False)
            os.chmod(self.host.path(change.target), (self._mode(change.target) or 0) & KEY_MODE)

    def _mode(self, path: str) -> int | None:
        try:
            return stat.S_IMODE(os.stat(self.host.path(path)).st_mode)
        except FileNotFoundError:
            return None

    # What is known from run to run

    def issued(self) -> dict[str, list[str]]:
        """By name of the leaf, the fingerprints of what was issued here: of the last one and of the one before."""
        return {name: fingerprints.split() for name, fingerprints in self._document(ISSUED).items()}

    def note_issued(self, fingerprints: t.Mapping[str, t.Sequence[str]]) -> None:
        """Note what is going to be laid, and what it replaces where that is ours: it may come back.

        Before the files, since a fingerprint that nothing has does no harm.
        """
        if not fingerprints:
            return
        make_directory(self.host.path(STATE_DIRECTORY), 0o700)
        noted = {name: " ".join(some) for name, some in fingerprints.items()}
        self._write_document(ISSUED, {**self._document(ISSUED), **noted})

    def waiting(self) -> dict[str, str]:
        """What an earlier call of this run left to wait, by name; nothing of another run."""
        document = self._document(WAITING)
        return document if document.get("run_id") == self.run_id else {}

    def let_wait(self, secrets: t.Mapping[str, str]) -> None:
        """Keep keys for a later call of this run, beside what waits already."""
        make_directory(self.host.path(RUN_DIRECTORY), 0o700)
        self._write_document(WAITING, {**self.waiting(), **secrets, "run_id": self.run_id})

    def forget_waiting(self) -> None:
        """Remove what waited, of whatever run."""
        if os.path.isdir(self.host.path(RUN_DIRECTORY)):
            remove_file(self.host.path(WAITING))

    # What waits for an authority outside

    def requests(self, names: t.Iterable[str]) -> dict[str, Waiting]:
        """The requests that wait, by name of the leaf."""
        found = {}
        for name in names:
            request, key = (read_bytes(self.host.path(path)) for path in _request_paths(name))
            if request is not None and key is not None:
                found[name] = Waiting(request, keys.load_private(key, _request_paths(name)[1]))
        return found

    def keep_request(self, name: str, waiting: Waiting) -> None:
        """Keep a request until its certificate comes: the key first, without which the request is nothing."""
        make_directory(self.host.path(STATE_DIRECTORY), 0o700)
        make_directory(self.host.path(REQUESTS), 0o700)
        request, key = (self.host.path(path) for path in _request_paths(name))
        remove_file(request)
        write_atomic(key, keys.private_pem(waiting.key), KEY_MODE)
        write_atomic(request, waiting.request, KEY_MODE)

    def drop_request(self, name: str) -> None:
        """Remove what is of no use any more: the key first, which may be in use elsewhere by then."""
        request, key = _request_paths(name)
        for path in (key, request):
            remove_file(self.host.path(path))

    def _document(self, path: str) -> dict[str, str]:
        way_out = "remove the file, so that certificates count as somebody else's, and run again"
        what = "list of what Kubeharden issued"
        found: dict[str, str] | None = read_object(self.host.path(path), {"*": str}, what, way_out)
        return found or {}

    def _write_document(self, path: str, document: t.Mapping[str, str]) -> None:
        write_atomic(self.host.path(path), (json.dumps(document, indent=1) + "\n").encode(), 0o600)


def request_path(name: str) -> str:
    """Where the request for a leaf waits on the host."""
    return f"{REQUESTS}/{name}.csr"


def _request_paths(name: str) -> tuple[str, str]:
    return request_path(name), f"{REQUESTS}/{name}.key"


def file_change(path: str, before: str | None, after: str, restart: t.Sequence[str] = ()) -> Change:
    """The change of a file that is told by public facts, whose bytes differ from run to run."""
    return Change("file", path, "create" if before is None else "update", before, after, restart=tuple(restart))
