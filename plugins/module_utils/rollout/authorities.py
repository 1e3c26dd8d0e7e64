# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities of one host and its service-account key: created once in a cluster, or brought from the controller.

They are carried sealed to where they are missing."""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    brought as brought_files,
    bundle,
    keys,
    pem,
    plan,
    sealed,
    texts,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import MISSING, Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import AUTHORITY_LIFETIME, Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    SERVICE_ACCOUNT,
    HostAuthority,
    HostPki,
    PairPath,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import one_time
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import (
    Store,
    authority_paths,
    believed,
    file_change,
    load_authorities,
)

#: What a brought authority's changes say of where it comes from.
_BROUGHT = "brought by the user"
#: Likewise of one that the controller makes in the same run, in its own directory.
_KEPT = "made on the controller, which keeps the key"
#: Why a key that was removed does not come back, for whoever puts the run back.
TAKEN_AWAY = "the controller alone keeps it now, in kubeharden_pki_authorities_dir; bring it back from there by hand."
#: Names of what is sealed of each pair.
CERTIFICATE, KEY = "certificate", "key"


@dataclasses.dataclass(frozen=True)
class Making:
    """How authorities are made: key algorithm, lifetime in seconds."""

    algorithm: str = keys.DEFAULT_ALGORITHM
    lifetime: float = AUTHORITY_LIFETIME


@dataclasses.dataclass(frozen=True)
class Brought:
    """What the user brings.

    Attributes:
        authorities: By name, without their keys.
        offered: Names of those that the controller gives to this host; of the others a control plane has the key.
        keyless: Names of those whose keys are kept elsewhere.
        made: Names of those that the controller makes in this run and keeps; before it has, they are not in
            `authorities`.
    """

    authorities: t.Mapping[str, Authority] = dataclasses.field(default_factory=dict)
    offered: t.Collection[str] = ()
    keyless: t.Collection[str] = ()
    made: t.Collection[str] = ()


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


_NOTHING = Brought()


class Authorities:
    """Plans and applies the authorities of one host.

    Args:
        store: Where they lie.
        pki: The host's share of the table.
        files: What is there, by path.
        now: Seconds since 1970.
        making: How new ones are made.
        brought: What the user brings.
    """

    def __init__(
        self,
        store: Store,
        pki: HostPki,
        files: t.Mapping[str, bytes],
        now: float,
        making: Making,
        brought: Brought = _NOTHING,
    ) -> None:
        self._store = store
        self._pki = pki
        self._files = files
        self._now = now
        self._making = making
        self._brought = brought.authorities
        self._offered = brought.offered
        self._keyless = brought.keyless
        self._made = brought.made
        # Refuses what no certificate could be issued below.
        load_authorities(pki, files, now, self._brought)
        self.missing = [item.name for item in pki.authorities if self._is_missing(item)]
        pair = pki.service_account
        if pair is not None and pair.key not in files and pair.certificate not in files:
            self.missing.append(SERVICE_ACCOUNT)
        self._has_lost_key = pair is not None and pair.key not in files and pair.certificate in files

    def _is_missing(self, item: HostAuthority) -> bool:
        if item.path.certificate in self._files:
            if item.name in self._brought:
                present = bundle.parse(self._files[item.path.certificate], item.path.certificate)
                brought_files.another(item.name, self._brought[item.name], present, item.path.certificate)
            return False
        if item.path.key in self._files:
            raise HardeningError(
                "KH302",
                f"{item.path.key} is there but the authority's certificate {item.path.certificate} is not. Nothing was "
                "changed, because an authority is never replaced; bring the certificate back.",
            )
        if item.name in self._made:
            self._refuse_orphans(item)
        elif item.name in self._brought:
            self._require_fit(item)
        return True

    def _require_fit(self, item: HostAuthority) -> None:
        """A brought authority is fit for what this host has and will have below it."""
        below = [leaf for leaf in self._pki.leaves if leaf.authority == item.name]
        leaves = [(leaf.profile, plan.stored_pair(leaf, self._files)[0]) for leaf in below]
        brought_files.unfit_for(self._brought[item.name], leaves, f"what is brought as '{item.name}'")

    def _require_separate(self) -> None:
        """What is there and what is brought is not one authority for the front proxy and for clients."""
        there = believed(self._pki, self._files)
        brought = {name: [one.facts] for name, one in self._brought.items()}
        authority.check_separate({name: [*brought.get(name, ()), *there[name]] for name in there})

    def changes(self, create: bool) -> list[Change]:
        """What would change: directories, missing authorities, the service-account pair."""
        found: list[Change] = []
        origin = "made here" if create else "from the control plane that has it"
        for item in self._pki.authorities:
            if item.name not in self.missing:
                continue
            if item.name in self._made:
                found += self._pair_changes(item, _KEPT)
                continue
            if item.name in self._offered:
                found += self._brought_changes(item)
                continue
            if create:
                self._refuse_orphans(item)
            found += self._pair_changes(item, origin)
        found += [self._chain_change(path, data) for path, data in self._chains().items()]
        pair = self._pki.service_account
        if pair is not None and SERVICE_ACCOUNT in self.missing:
            kind = self._making.algorithm if create else "that signs tokens of service accounts"
            found.append(file_change(pair.key, None, texts.key(kind, origin)))
            if not self._has_lost_key:
                found.append(file_change(pair.certificate, None, f"public key of {pair.key}\n"))
        elif pair is not None and self._service_account_public():
            before = f"without the public key of {pair.key}\n" if pair.certificate in self._files else None
            found.append(file_change(pair.certificate, before, f"public key of {pair.key}\n"))
        return self._store.missing_directories(change.target for change in found) + found

    def _pair_changes(self, item: HostAuthority, origin: str) -> list[Change]:
        why = [Reason(MISSING, "", origin)]
        profile = dataclasses.replace(item.profile, key_algorithm=self._making.algorithm)
        told = texts.after(profile, str(profile.subject), self._making.lifetime, why)
        if origin not in ("made here", _KEPT):
            told = f"subject: {profile.subject}\nwhy: {MISSING}: {origin}\n"
        found = [file_change(item.path.certificate, None, told)]
        if item.has_key and origin != _KEPT:
            found.append(file_change(item.path.key, None, texts.key(self._making.algorithm, origin)))
        return found

    def _brought_changes(self, item: HostAuthority) -> list[Change]:
        brought = self._brought[item.name]
        told = f"{texts.before(brought.facts)}why: {MISSING}: {_BROUGHT}\n"
        algorithm = str(brought.facts.profile.key_algorithm)
        found = [file_change(item.path.certificate, None, told)]
        if item.name not in self._keyless:
            found.append(file_change(item.path.key, None, texts.key(algorithm, _BROUGHT)))
        return found

    def _certificates(self) -> dict[str, bytes]:
        """The bytes, by path, of brought authorities that come without a key."""
        return {
            item.path.certificate: bundle.join([self._brought[item.name].facts])
            for item in self._pki.authorities
            if item.name in self.missing and item.name in self._offered and item.name in self._keyless
        }

    def _chains(self) -> dict[str, bytes]:
        """The bytes, by path, of the files with what is above brought authorities, where they are not right yet."""
        found = {}
        for item in self._pki.authorities:
            brought = self._brought.get(item.name)
            if brought is not None and brought.above:
                data = bundle.join([brought.facts, *brought.above])
                if self._files.get(item.chain_file) != data:
                    found[item.chain_file] = data
        return found

    def _chain_change(self, path: str, data: bytes) -> Change:
        before = self._files.get(path)
        texts_of = [None if one is None else texts.chain(bundle.parse(one, path)) for one in (before, data)]
        return file_change(path, texts_of[0], str(texts_of[1]))

    def _refuse_orphans(self, item: HostAuthority) -> None:
        """A new authority below which none of the certificates that are there would be valid is no help."""
        for leaf in self._pki.leaves:
            if leaf.authority == item.name and plan.stored_pair(leaf, self._files)[0] is not None:
                raise HardeningError(
                    "KH302",
                    f"The authority {item.path.certificate} is missing, but {leaf.certificate_file} was issued by one. "
                    "Nothing was changed, because an authority is never replaced; bring its certificate and key back, "
                    "or remove what is below it to begin anew.",
                )

    def settle(
        self,
        create: bool,
        source: bool,
        taken: t.Mapping[str, t.Mapping[str, str]] | None,
        node: str,
        repair: bool,
        check: bool,
        rootless: t.Collection[str] = (),
    ) -> Outcome:
        """Make or take what is missing, or ask for it; a call that asks writes nothing.

        Args:
            create: Whether missing ones are made here.
            source: Whether another host has them.
            taken: What that host sealed, None before it was asked.
            node: This host's name as a node.
            repair: Whether open keys are closed.
            check: Whether nothing is written.
            rootless: Keys that stay as they are, since static pods read them that do not run as root.
        """
        self._require_separate()
        if self._has_lost_key and source and not create and SERVICE_ACCOUNT not in self.missing:
            self.missing.append(SERVICE_ACCOUNT)
        elsewhere = [name for name in self.missing if name not in self._offered and name not in self._made]
        if elsewhere and not create and not source:
            names = ", ".join(elsewhere)
            return Outcome([], [], not_done=(f"{names}: no control plane that has them takes part in this run.",))
        repaired = [path for path in authority_paths(self._pki) if path not in rootless]
        opened = self._store.open_secrets(repaired) if repair else []
        changes = [*opened, *self.changes(create)]
        if check:
            return Outcome(changes, self.missing)
        if any(name in self._made and name not in self._brought for name in self.missing):
            return Outcome([], self.missing)
        known = [name for name in self.missing if name in self._offered and name in self._keyless]
        unknown = [name for name in self.missing if name not in known]
        awaited = [name for name in unknown if name in self._offered or not create]
        if awaited and taken is None:
            return Outcome([], self.missing, receiver=self.ask())
        contents = self.take(awaited, taken or {}, node) if awaited else {}
        self._store.close_secrets(opened)
        contents.update(self.create([name for name in unknown if name not in awaited]))
        self._write({**contents, **self._certificates(), **self._chains(), **self._service_account_public()})
        return Outcome(changes, self.missing)

    def create(self, names: t.Collection[str]) -> dict[str, bytes]:
        """Make what is missing; returns the bytes by path."""
        contents: dict[str, bytes] = {}
        for item in self._pki.authorities:
            if item.name in names:
                made = authority.create(item.profile, self._now, self._making.algorithm, self._making.lifetime)
                contents[item.path.certificate], contents[item.path.key] = authority.files(made)
        pair = self._pki.service_account
        if pair is not None and SERVICE_ACCOUNT in names:
            contents[pair.certificate], contents[pair.key] = authority.service_account_pair(self._making.algorithm)
        return contents

    def _service_account_public(self) -> dict[str, bytes]:
        """What can be told from what is there: the public half of the service-account key, where no file has it.

        Raises:
            HardeningError: The key is lost or damaged.
        """
        pair = self._pki.service_account
        if pair is None or SERVICE_ACCOUNT in self.missing:
            return {}
        beside = [self._files.get(path, b"") for path in self._pki.believed.get(SERVICE_ACCOUNT, ())]
        data = authority.missing_service_account_public(pair, self._files, beside)
        return {} if data is None else {pair.certificate: data}

    def _write(self, contents: t.Mapping[str, bytes]) -> None:
        if contents:
            self._store.write(
                [self._store.new_file(path, contents[path], _is_secret(contents[path])) for path in contents]
            )

    # From host to host

    def ask(self) -> str:
        """Make a one-time key pair, and return its public half, in base64, to which the others' secrets are sealed."""
        return one_time.ask(self._store)

    def give(
        self, names: t.Collection[str], receiver: str, node: str, chain: bool = False
    ) -> dict[str, dict[str, str]]:
        """Seal certificate and key of each name for another host; returns both, in base64, by name.

        Args:
            names: Which.
            receiver: The one-time key of who gets them.
            node: Its name.
            chain: Whether an intermediate comes with those above it.
        """
        given: dict[str, dict[str, str]] = {}
        chains = {item.name: item.chain_file for item in self._pki.authorities if chain}
        for name, path in self._pairs().items():
            if name not in names:
                continue
            for file in (path.certificate, path.key):
                if file not in self._files:
                    raise HardeningError(
                        "KH302",
                        f"{file} is not on this host, so it could not be given to {node}. Nothing was changed; bring "
                        "it to both hosts.",
                    )
            certificate = self._files.get(chains.get(name, ""), self._files[path.certificate])
            pair = certificate, self._files[path.key]
            given[name] = seal_pair(pair, receiver, self._store.run_id, node, name)
        return given

    # Keys that the controller has by now

    def take_away(self, proofs: t.Mapping[str, str], node: str, check: bool) -> list[Change]:
        """Remove keys of authorities that the controller has, as it proves; nothing where one proof does not hold.

        Args:
            proofs: By name, in base64, what the controller signed with that key (`proof_of`).
            node: This host's name as a node.
            check: Whether nothing is removed.

        Raises:
            HardeningError: A proof that does not hold.
        """
        changes, paths = [], []
        for item in self._pki.authorities:
            if item.name not in proofs or item.path.key not in self._files:
                continue
            own = authority.load(item.path, self._files, self._now)
            message = _proof_message(self._store.run_id, node, item.name)
            if not keys.verifies(own.facts.public_key, message, one_time.decoded(proofs[item.name])):
                raise HardeningError(
                    "KH305",
                    f"What the controller signed is not signed with {item.path.key} of this host, so no key was "
                    "removed. Lay the right key in kubeharden_pki_authorities_dir.",
                )
            told = texts.key(str(own.facts.profile.key_algorithm), "which the controller has as well")
            changes.append(Change("file", item.path.key, "remove", told, None))
            paths.append(item.path.key)
        if not check:
            self._store.remove_keys(paths, TAKEN_AWAY)
        return changes

    def take(self, names: t.Collection[str], given: t.Mapping[str, t.Mapping[str, str]], node: str) -> dict[str, bytes]:
        """Open what was sealed for this host and check it; returns the bytes by path."""
        receiver = one_time.receiver(self._store)

        def opened(name: str, half: str) -> bytes:
            secret = one_time.decoded(given.get(name, {}).get(half, ""))
            return receiver.open(secret, _context(self._store.run_id, node, name, half))

        contents: dict[str, bytes] = {}
        for name, path in self._pairs().items():
            if name in names:
                contents[path.certificate], contents[path.key] = opened(name, CERTIFICATE), opened(name, KEY)
        for item in self._pki.authorities:
            if item.name in names:
                found = authority.load(item.path, contents, self._now)
                if item.name in self._brought:
                    brought_files.another(item.name, self._brought[item.name], [found.facts], "what was sealed")
                if not item.has_key:
                    del contents[item.path.key]
        if SERVICE_ACCOUNT in names:
            pair = self._pairs()[SERVICE_ACCOUNT]
            keys.load_private(contents[pair.key], pair.key)
            if self._has_lost_key:
                self._require_lost_key(pair, contents)
                del contents[pair.certificate]
        self._store.forget_waiting()
        return contents

    def _require_lost_key(self, pair: PairPath, contents: t.Mapping[str, bytes]) -> None:
        """The key that another control plane has is the one that was lost here, and its public half is still there."""
        beside = [self._files.get(path, b"") for path in self._pki.believed.get(SERVICE_ACCOUNT, ())]
        there = {pair.key: contents[pair.key], pair.certificate: self._files[pair.certificate]}
        if authority.missing_service_account_public(pair, there, beside) is not None:
            raise HardeningError(
                "KH304",
                f"{pair.key} is missing here, and the one of the other control plane does not belong to "
                f"{pair.certificate} of this host. Nothing was changed; bring back the key that does, or remove "
                f"{pair.certificate} to have both from there.",
            )

    def _pairs(self) -> dict[str, PairPath]:
        pairs = {item.name: item.path for item in self._pki.authorities}
        if self._pki.service_account is not None:
            pairs[SERVICE_ACCOUNT] = self._pki.service_account
        return pairs


def seal_pair(pair: tuple[bytes, bytes], receiver: str, run_id: str, node: str, name: str) -> dict[str, str]:
    """Seal certificate and key of one name for a host that asked; returns the base64 of each."""
    public = one_time.decoded(receiver)
    return {
        half: base64.b64encode(sealed.seal(data, public, _context(run_id, node, name, half))).decode("ascii")
        for half, data in zip((CERTIFICATE, KEY), pair)
    }


def open_pair(
    given: t.Mapping[str, str], receiver: sealed.Receiver, run_id: str, node: str, name: str
) -> tuple[bytes, bytes]:
    """Open what `seal_pair` sealed for the holder of a one-time key; returns certificate and key."""
    halves = [
        receiver.open(one_time.decoded(given.get(half, "")), _context(run_id, node, name, half))
        for half in (CERTIFICATE, KEY)
    ]
    return halves[0], halves[1]


def proof_of(key: keys.PrivateKey, run_id: str, node: str, name: str) -> str:
    """What proves to a host in a run that its authority's key is here, in base64."""
    return base64.b64encode(keys.sign(key, _proof_message(run_id, node, name))).decode("ascii")


def _proof_message(run_id: str, node: str, name: str) -> bytes:
    return b"kubeharden: this key is on the controller\n" + _context(run_id, node, name, KEY)


def _is_secret(data: bytes) -> bool:
    return any(block.label.endswith("PRIVATE KEY") for block in pem.blocks(data, "a new file"))


def _context(run_id: str, node: str, name: str, half: str) -> bytes:
    return "\n".join((run_id, node, name, half)).encode("utf-8")
