# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on the controller that alone has the authorities' keys: no host gets one, and what they sign is signed
on the controller.

``kubernetes.crt`` and ``kubernetes.key``, and so on for ``etcd`` and ``front-proxy``. Who has them already lays them
there; what no control plane has is made there.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import remove_leftovers
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    explain,
    make_directory,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    brought,
    bundle,
    issue,
    keys,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import AUTHORITIES, PairPath
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import proof_of
from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    brought_authorities,
    per_host,
    pki_cluster,
    requests_directory,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.brought_authorities import Read

VARIABLE = "kubeharden_pki_authorities_dir"
PHRASE_FILE = "kubeharden_pki_authorities_passphrase_file"
MOVE = "kubeharden_pki_authorities_move"
_NAMES = [row.name for row in AUTHORITIES]
_DIRECTORY_MODE = 0o700
_KEY_MODE = 0o600
_CERTIFICATE_MODE = 0o644
#: With this begins what ansible-vault encrypted, which others may read.
_VAULT = b"$ANSIBLE_VAULT;"


def problems(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return a sentence for each thing in a host's variables that does not go with keys on the controller alone."""
    if not variables.get(VARIABLE):
        given = {PHRASE_FILE: variables.get(PHRASE_FILE), MOVE: per_host.yes(variables.get(MOVE))}
        return [f"{name} says nothing without {VARIABLE}." for name, value in given.items() if value]
    others = [name for name in (brought_authorities.VARIABLE, requests_directory.VARIABLE) if variables.get(name)]
    return [
        f"{VARIABLE} and {name} say two things of where the authorities' keys are: lay your own authority in the "
        "directory, or leave one of the variables away."
        for name in others
    ]


class AuthoritiesDirectory:
    """What the controller keeps for one cluster.

    Args:
        directory: What the user set.
        passphrase_file: The file with the passphrase of the keys, empty where they have none.
        read: Reads a file of the controller, decrypted where ansible-vault encrypted it.
        now: Seconds since 1970.
    """

    def __init__(self, directory: str, passphrase_file: str, read: Read, now: float) -> None:
        self.directory = os.path.abspath(os.path.expanduser(directory))
        self._passphrase_file = os.path.abspath(os.path.expanduser(passphrase_file)) if passphrase_file else ""
        self._read = read
        self._now = now

    def path(self, name: str, suffix: str) -> str:
        """Return where the certificate (``crt``) or the key (``key``) of an authority is."""
        return os.path.join(self.directory, f"{name}.{suffix}")

    @property
    def names(self) -> list[str]:
        """The authorities that are there."""
        return [name for name in _NAMES if os.path.lexists(self.path(name, "crt"))]

    @property
    def keyless(self) -> list[str]:
        """Those whose keys no host gets."""
        return self.names

    def certificates(self, names: t.Iterable[str]) -> dict[str, str]:
        """Return the certificates of the named ones, in PEM, each followed by those above it.

        Raises:
            HardeningError: One that cannot be read or could not sign.
        """
        found = {}
        for name in names:
            one = self._certificate(name)
            found[name] = bundle.join([one.facts, *one.above]).decode("ascii")
        return found

    def judge(self, _names: t.Iterable[str]) -> dict[str, Authority]:
        """Return what hosts are to get with its key: nothing, but all must be as it should be."""
        self.authorities()
        return {}

    def authorities(self) -> dict[str, Authority]:
        """Return the authorities with their keys, by name.

        Raises:
            HardeningError: What others may read, a key that is lost, damaged, another's, or not opened by the
                passphrase.
        """
        self._require_private()
        passphrase = self._passphrase()
        return {name: self._with_key(name, passphrase) for name in self.names}

    def notes(self) -> list[str]:
        """Return sentences about keys that lie open though there is a passphrase."""
        return [
            f"{self.path(name, 'key')} is not encrypted, though {PHRASE_FILE} is set; it is used as it is."
            for name in (self.names if self._passphrase_file else [])
            if b"ENCRYPTED" not in self._read(self.path(name, "key"))
        ]

    def require(self, found: t.Mapping[str, pki_cluster.Discovery], move: bool = False, awaited: bool = False) -> None:
        """Refuse hosts that keys on the controller alone do not fit, and a directory that others may read.

        Args:
            found: What was discovered, by host.
            move: Whether keys that control planes have are moved to the controller.
            awaited: Whether this run brings those that are not here yet.

        Raises:
            HardeningError: One sentence; nothing was written.
        """
        self.authorities()
        control_planes = {host: one for host, one in found.items() if pki_cluster.is_control_plane(one)}
        here = set(self.names)
        if awaited:
            here.update(name for one in control_planes.values() for name in _NAMES if pki_cluster.has_key(one, name))
        for host, discovery in control_planes.items():
            for name in _NAMES:
                if pki_cluster.has_key(discovery, name):
                    self._require_moving(host, name, move, name in here)
                elif name not in here and pki_cluster.is_issued_here(discovery, name):
                    raise HardeningError(
                        "KH302",
                        f"{host} has the certificate of the authority '{name}', whose key is neither on a control "
                        f"plane nor in {self.directory}. Nothing was changed; lay both there as {name}.crt and "
                        f"{name}.key.",
                    )

    def _require_moving(self, host: str, name: str, move: bool, is_here: bool) -> None:
        if not move:
            raise HardeningError(
                "KH305",
                f"{host} has the key of the authority '{name}', while {VARIABLE} says that only the controller has "
                f"keys. Nothing was changed; leave the variable away for this cluster, or set {MOVE} to move its keys.",
            )
        if not is_here:
            raise HardeningError(
                "KH305",
                f"{host} has the key of the authority '{name}', and it is not in {self.directory} yet. Nothing was "
                "changed; run harden.yml first, which brings it there.",
            )

    def bring(self, pairs: t.Mapping[str, tuple[bytes, bytes]], where: str) -> None:
        """Keep authorities that a control plane has, each proven to sign: first as they came, then as they lie here.

        Args:
            pairs: By name, the certificate (an intermediate with those above it) and the key, in PEM.
            where: The host that they come from.

        Raises:
            HardeningError: A key that is not the certificate's, another key that lies here, what could not be written.
        """
        phrase = self._begin()
        for name, (certificate, data) in pairs.items():
            paths = PairPath(f"{name}.crt of {where}", f"{name}.key of {where}")
            one = authority.load(paths, {paths.certificate: certificate, paths.key: data}, self._now)
            place = self.path(name, "key")
            if os.path.lexists(place):  # of a run that died before the certificate
                brought.with_key(one, self._read(place), place, paths.certificate, phrase)
            elif one.key is not None:
                write_atomic(place, keys.private_pem(one.key, phrase), _KEY_MODE)
            write_atomic(self.path(name, "crt"), bundle.join([one.facts, *one.above]), _CERTIFICATE_MODE)
        here = self.authorities()
        for name in pairs:
            self._prove(here[name], f"what was brought from {where}")

    def prove(self, names: t.Iterable[str], run_id: str, node: str) -> dict[str, str]:
        """Return, by name, what proves to a host in a run that the key is here.

        Raises:
            HardeningError: A key that does not sign.
        """
        found = self.authorities()
        proofs = {}
        for name in names:
            one = found[name]
            self._prove(one, self.directory)
            if one.key is not None:
                proofs[name] = proof_of(one.key, run_id, node, name)
        return proofs

    def _prove(self, one: Authority, where: str) -> None:
        message = os.urandom(32)
        if one.key is None or not keys.verifies(one.facts.public_key, message, keys.sign(one.key, message)):
            raise HardeningError(
                "KH304",
                f"The key of the authority '{one.facts.profile.subject}' from {where} makes no signature that its "
                "certificate verifies. Hosts keep what they have; bring the right key.",
            )

    def create(self, names: t.Collection[str], algorithm: str, lifetime: float) -> None:
        """Make authorities: the key first, without which a certificate would be worth nothing.

        Args:
            names: Which.
            algorithm: Of the keys.
            lifetime: In seconds.

        Raises:
            HardeningError: What could not be written.
        """
        passphrase = self._begin()
        for row in AUTHORITIES:
            if row.name not in names:
                continue
            place = self.path(row.name, "key")
            if os.path.lexists(place):  # of a run that died before the certificate
                key = keys.load_private(self._read(place), place, passphrase)
            else:
                key = keys.generate(algorithm)
                write_atomic(place, keys.private_pem(key, passphrase), _KEY_MODE)
            facts = issue.self_signed_authority(profile.wanted_authority(row.common_name), key, self._now, lifetime)
            write_atomic(self.path(row.name, "crt"), bundle.join([facts]), _CERTIFICATE_MODE)

    def _begin(self) -> bytes | None:
        """Have the directory, without what a run that died left half written: keys, maybe; return the passphrase."""
        make_directory(self.directory, _DIRECTORY_MODE)
        self._require_private()
        remove_leftovers(Host(), [self.path(name, "key") for name in _NAMES])
        return self._passphrase()

    def _certificate(self, name: str) -> Authority:
        place = self.path(name, "crt")
        return brought.read(self._read(place), place, self._now)

    def _with_key(self, name: str, passphrase: bytes | None) -> Authority:
        place = self.path(name, "key")
        if not os.path.lexists(place):
            raise HardeningError(
                "KH302",
                f"{place}, the key of the authority in {self.path(name, 'crt')}, is missing. Nothing was changed, "
                "because an authority is never replaced; bring the key back from a copy of the directory.",
            )
        return brought.with_key(self._certificate(name), self._read(place), place, self.path(name, "crt"), passphrase)

    def _passphrase(self) -> bytes | None:
        if not self._passphrase_file:
            return None
        return brought_authorities.passphrase(self._passphrase_file, self._read, f"the keys in {self.directory}")

    # Who may read

    def _require_private(self) -> None:
        if not os.path.lexists(self.directory):
            return
        status = _status(self.directory)
        if not stat.S_ISDIR(status.st_mode):
            raise HardeningError(
                "KH312", f"{self.directory}, which {VARIABLE} names, is no directory. Nothing was changed; correct it."
            )
        _refuse_open(self.directory, status, _DIRECTORY_MODE)
        for name in _NAMES:
            place = self.path(name, "key")
            if os.path.lexists(place):
                _refuse_open(place, _status(place), _KEY_MODE)
        if self._passphrase_file and os.path.lexists(self._passphrase_file) and not _is_guarded(self._passphrase_file):
            _refuse_open(self._passphrase_file, _status(self._passphrase_file), _KEY_MODE)


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise HardeningError(
            "KH312", f"{path} could not be looked at: {explain(error)}. Nothing was changed; mend that and run again."
        ) from error


def _refuse_open(path: str, status: os.stat_result, mode: int) -> None:
    """Refuse what somebody else than root and the user who runs Ansible could read."""
    if status.st_uid not in (0, os.geteuid()):
        raise HardeningError(
            "KH312",
            f"{path} belongs to the user with the number {status.st_uid} rather than to the one that Ansible runs as "
            "here, and that one could read keys of authorities. Nothing was changed; give it to the right one.",
        )
    present = stat.S_IMODE(status.st_mode)
    if present & 0o077:
        raise HardeningError(
            "KH312",
            f"{path} has mode {present:04o}, so that others could read keys of authorities. Nothing was changed; give "
            f"it mode {mode:04o}, and replace the keys where somebody may have read them.",
        )


def _is_guarded(path: str) -> bool:
    """Return whether ansible-vault encrypted a file, or it is a credential of systemd, which sees to its readers."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and os.path.dirname(path) == os.path.abspath(credentials):
        return True
    try:
        with open(path, "rb") as handle:
            return handle.read(len(_VAULT)) == _VAULT
    except OSError:
        return False  # reading it says why
