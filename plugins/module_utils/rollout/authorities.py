# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities of one host and its service-account key: created once in a cluster, carried sealed to the others."""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, keys, pem, plan, sealed, texts
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import MISSING, Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import AUTHORITY_LIFETIME
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    SERVICE_ACCOUNT,
    HostAuthority,
    HostPki,
    PairPath,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import (
    Store,
    authority_paths,
    file_change,
)

#: The name under which the one-time key of a transfer waits.
_ONE_TIME = "one-time key"


@dataclasses.dataclass(frozen=True)
class Making:
    """How authorities are made: key algorithm, lifetime in seconds."""

    algorithm: str = keys.DEFAULT_ALGORITHM
    lifetime: float = AUTHORITY_LIFETIME


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call did, or would do.

    Attributes:
        changes: What changed.
        missing: Names of what this run makes or takes.
        receiver: To what another host seals them; empty where nothing is to come.
        not_done: What was left undone, as sentences.
    """

    changes: list[Change]
    missing: list[str]
    receiver: str = ""
    not_done: tuple[str, ...] = ()


class Authorities:
    """Plans and applies the authorities of one host.

    Args:
        store: Where they lie.
        pki: The host's share of the table.
        files: What is there, by path.
        now: Seconds since 1970.
        making: How new ones are made.
    """

    def __init__(self, store: Store, pki: HostPki, files: t.Mapping[str, bytes], now: float, making: Making) -> None:
        self._store = store
        self._pki = pki
        self._files = files
        self._now = now
        self._making = making
        self.missing = [item.name for item in pki.authorities if self._is_missing(item)]
        pair = pki.service_account
        if pair is not None and pair.key not in files and pair.certificate not in files:
            self.missing.append(SERVICE_ACCOUNT)

    def _is_missing(self, item: HostAuthority) -> bool:
        if item.path.certificate in self._files:
            # Refuses what no certificate could be issued below.
            authority.load(item.path, self._files, self._now, need_key=False)
            return False
        if item.path.key in self._files:
            raise HardeningError(
                f"{item.path.key} is there but the authority's certificate {item.path.certificate} is not. Nothing was "
                "changed, because an authority is never replaced; bring the certificate back."
            )
        return True

    def changes(self, create: bool) -> list[Change]:
        """What would change: directories, missing authorities, the service-account pair."""
        found: list[Change] = []
        origin = "made here" if create else "from the control plane that has it"
        for item in self._pki.authorities:
            if item.name in self.missing:
                if create:
                    self._refuse_orphans(item)
                found += self._pair_changes(item, origin)
        pair = self._pki.service_account
        if pair is not None and SERVICE_ACCOUNT in self.missing:
            found.append(file_change(pair.key, None, texts.key(self._making.algorithm if create else "any", origin)))
            found.append(file_change(pair.certificate, None, f"public key of {pair.key}\n"))
        elif pair is not None and pair.certificate not in self._files:
            found.append(file_change(pair.certificate, None, f"public key of {pair.key}\n"))
        return self._store.missing_directories(change.target for change in found) + found

    def _pair_changes(self, item: HostAuthority, origin: str) -> list[Change]:
        why = [Reason(MISSING, "", origin)]
        profile = dataclasses.replace(item.profile, key_algorithm=self._making.algorithm)
        told = texts.after(profile, str(profile.subject), self._making.lifetime, why)
        if origin != "made here":
            told = f"subject: {profile.subject}\nwhy: {MISSING}: {origin}\n"
        found = [file_change(item.path.certificate, None, told)]
        if item.has_key:
            found.append(file_change(item.path.key, None, texts.key(self._making.algorithm, origin)))
        return found

    def _refuse_orphans(self, item: HostAuthority) -> None:
        """A new authority below which none of the certificates that are there would be valid is no help."""
        for leaf in self._pki.leaves:
            if leaf.authority == item.name and plan.stored_pair(leaf, self._files)[0] is not None:
                raise HardeningError(
                    f"The authority {item.path.certificate} is missing, but {leaf.certificate_file} was issued by one. "
                    "Nothing was changed, because an authority is never replaced; bring its certificate and key back, "
                    "or remove what is below it to begin anew."
                )

    def settle(
        self,
        create: bool,
        source: bool,
        taken: t.Mapping[str, t.Mapping[str, str]] | None,
        node: str,
        repair: bool,
        check: bool,
    ) -> Outcome:
        """Make or take what is missing, or ask for it; a call that asks writes nothing.

        Args:
            create: Whether missing ones are made here.
            source: Whether another host has them.
            taken: What that host sealed, None before it was asked.
            node: This host's name as a node.
            repair: Whether open keys are closed.
            check: Whether nothing is written.
        """
        if self.missing and not create and not source:
            names = ", ".join(self.missing)
            return Outcome([], [], not_done=(f"{names}: no control plane that has them takes part in this run.",))
        opened = self._store.open_secrets(authority_paths(self._pki)) if repair else []
        changes = [*opened, *self.changes(create)]
        if check:
            return Outcome(changes, self.missing)
        if self.missing and not create and taken is None:
            return Outcome([], self.missing, receiver=self.ask())
        self._store.close_secrets(opened)
        if self.missing and not create:
            self.take(taken or {}, node)
        elif self.missing:
            self.create()
        else:
            self.complete()
        return Outcome(changes, self.missing)

    def create(self) -> None:
        """Make what is missing and write it."""
        contents: dict[str, bytes] = {}
        for item in self._pki.authorities:
            if item.name in self.missing:
                made = authority.create(item.profile, self._now, self._making.algorithm, self._making.lifetime)
                contents[item.path.certificate], contents[item.path.key] = authority.files(made)
        pair = self._pki.service_account
        if pair is not None and SERVICE_ACCOUNT in self.missing:
            contents[pair.certificate], contents[pair.key] = authority.service_account_pair(self._making.algorithm)
        self._write({**contents, **self._service_account_public()})

    def complete(self) -> None:
        """Write what can be told from what is there: the public half of the service-account key."""
        self._write(self._service_account_public())

    def _service_account_public(self) -> dict[str, bytes]:
        pair = self._pki.service_account
        if pair is None or SERVICE_ACCOUNT in self.missing or pair.certificate in self._files:
            return {}
        data = authority.missing_service_account_public(pair, self._files)
        return {} if data is None else {pair.certificate: data}

    def _write(self, contents: t.Mapping[str, bytes]) -> None:
        if contents:
            self._store.write(
                [self._store.new_file(path, contents[path], _is_secret(contents[path])) for path in contents]
            )

    # From host to host

    def ask(self) -> str:
        """Make a one-time key pair, and return its public half, in base64, to which the others' secrets are sealed."""
        receiver = sealed.new_receiver()
        private = receiver.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._store.let_wait({_ONE_TIME: private.decode("ascii")})
        return base64.b64encode(receiver.public).decode("ascii")

    def give(self, names: t.Collection[str], receiver: str, node: str) -> dict[str, dict[str, str]]:
        """Seal certificate and key of each name for another host; returns both, in base64, by name."""
        public = _decoded(receiver)
        given: dict[str, dict[str, str]] = {}
        for name, path in self._pairs().items():
            if name not in names:
                continue
            given[name] = {}
            for half, file in (("certificate", path.certificate), ("key", path.key)):
                if file not in self._files:
                    raise HardeningError(
                        f"{file} is not on this host, so it could not be given to {node}. Nothing was changed; bring "
                        "it to both hosts."
                    )
                secret = sealed.seal(self._files[file], public, _context(self._store.run_id, node, name, half))
                given[name][half] = base64.b64encode(secret).decode("ascii")
        return given

    def take(self, given: t.Mapping[str, t.Mapping[str, str]], node: str) -> None:
        """Open what was sealed for this host, check it and write it."""
        text = self._store.waiting().get(_ONE_TIME, "")
        if not text:
            raise HardeningError("No one-time key waits on this host; nothing was written. Start the run again.")
        private = serialization.load_pem_private_key(text.encode("ascii"), None)
        receiver = sealed.Receiver(t.cast(ec.EllipticCurvePrivateKey, private))
        contents: dict[str, bytes] = {}
        paths = self._pairs()
        for name in self.missing:
            for half, file in (("certificate", paths[name].certificate), ("key", paths[name].key)):
                secret = _decoded(given.get(name, {}).get(half, ""))
                contents[file] = receiver.open(secret, _context(self._store.run_id, node, name, half))
        for item in self._pki.authorities:
            if item.name in self.missing:
                authority.load(item.path, contents, self._now)
                if not item.has_key:
                    del contents[item.path.key]
        if SERVICE_ACCOUNT in self.missing:
            keys.load_private(contents[paths[SERVICE_ACCOUNT].key], paths[SERVICE_ACCOUNT].key)
        self._store.forget_waiting()
        self._write(contents)

    def _pairs(self) -> dict[str, PairPath]:
        pairs = {item.name: item.path for item in self._pki.authorities}
        if self._pki.service_account is not None:
            pairs[SERVICE_ACCOUNT] = self._pki.service_account
        return pairs


def _is_secret(data: bytes) -> bool:
    return any(block.label.endswith("PRIVATE KEY") for block in pem.blocks(data, "a new file"))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise HardeningError("What another host sent is damaged; nothing was written. Start the run again.") from None


def _context(run_id: str, node: str, name: str, half: str) -> bytes:
    return "\n".join((run_id, node, name, half)).encode("utf-8")
