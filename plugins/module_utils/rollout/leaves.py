# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates and kubeconfigs of one host as one batch: what is due, what must be asked for, one write.

Keys are made here and stay here. Where the authority's key is on the host, everything is issued at once; else requests
go to the host that has it, and the keys wait for the answer.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import NewFile
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority as authority_files,
    bundle,
    decide,
    issue,
    keys,
    kubeconfig,
    outside,
    pem,
    plan,
    profile as profiles,
    refuse,
    texts,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    KUBECONFIGS,
    KUBERNETES,
    LEAVES,
    HostAuthority,
    HostPki,
    Leaf,
    known_organizations,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import (
    Store,
    believed,
    file_change,
    load_authorities,
    request_path,
)

#: Only what is not there; what is there and due is told.
SCOPE_MISSING = "missing"
SCOPE_DUE = "due"

#: Components that read their kubeconfig once, by the kubeconfig's row. All other files are read anew by themselves.
RESTARTS = {"controller-manager": "kube-controller-manager", "scheduler": "kube-scheduler"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What a call is about.

    Attributes:
        policy: What the user decided.
        scope: SCOPE_MISSING or SCOPE_DUE.
        only: Names of leaves; empty for all.
        expected: Authorities that an earlier task would have made, which check mode takes for granted.
        restarts: Whether components are restarted that read their kubeconfig only once.
        leaves: Whether leaves with files of their own are looked at, rather than those of kubeconfigs alone.
        signer: Whether a host that has the authorities' keys takes part in the run.
        without_key: Names of authorities whose keys who signs does not have.
        brought: By name, authorities without keys that the user brings and this run lays.
        outside: Names of authorities whose keys are on no control plane: they sign what is brought to them.
        returned: By name of the leaf, what came back from them.
        at_hand: By name, authorities with keys that this process may sign with though this host has no key of them.
    """

    policy: Policy = dataclasses.field(default_factory=Policy)
    scope: str = SCOPE_MISSING
    only: tuple[str, ...] = ()
    expected: frozenset[str] = frozenset()
    restarts: bool = False
    leaves: bool = True
    signer: bool = True
    without_key: frozenset[str] = frozenset()
    brought: t.Mapping[str, Authority] = dataclasses.field(default_factory=dict)
    outside: frozenset[str] = frozenset()
    returned: t.Mapping[str, Returned] = dataclasses.field(default_factory=dict)
    at_hand: t.Mapping[str, Authority] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a host asks the authority's host for; nothing in it is secret."""

    leaf: str
    request: str
    # The certificate that is there, in PEM: an adopted one keeps what an authority of the cluster signed before.
    current: str = ""
    # Whether this collection issued that one, so that it follows the table.
    own: bool = False


@dataclasses.dataclass(frozen=True)
class Issued:
    """A certificate that was issued, for a table of new dates and the proof that it is served."""

    name: str
    path: str
    not_after: int
    serial: int


class Leaves:
    """Plans and applies the leaves and kubeconfigs of one host.

    Args:
        store: Where they lie.
        pki: The host's share of the table.
        files: What is there, by path.
        now: Seconds since 1970.
        options: What the call is about.
    """

    def __init__(self, store: Store, pki: HostPki, files: t.Mapping[str, bytes], now: float, options: Options) -> None:
        self._store = store
        self._options = options
        self._files = files
        self._now = now
        self._pki = _checked(pki, options)
        found = load_authorities(self._pki, files, now, options.brought)
        self._authorities = {name: self._with_key(name, one) for name, one in found.items()}
        authority_files.check_separate(believed(self._pki, files))
        self._lacking = self._lacking_authorities()
        signers = {**self._stand_ins(), **self._authorities}
        self._own = frozenset(name for name, fingerprints in store.issued().items() if self._has(name, fingerprints))
        self._signers = signers
        asked = frozenset(name for name, one in signers.items() if one.key is None) - options.outside
        planned = plan.plan(self._pki, files, signers, now, options.policy, self._own, asked)
        self._steps = {item.leaf.name: self._step(item) for item in planned.leaves if self._is_outside(item)}
        at_once = [item for item in planned.leaves if item.leaf.name not in self._steps]
        self._leaves = [item for item in at_once if item.reasons and self._selected(item)]
        self._leaves += [step.plan for step in self._of(outside.TAKE)]
        self._kubeconfigs = [item for item in planned.kubeconfigs if self._writes(item)]
        #: What a person should know, as sentences.
        self.notes = [*planned.warnings, *(_told(item) for item in planned.leaves if self._left(item))]
        self.notes += [
            f"The certificate '{step.plan.leaf.name}' came back; rotate_certificates.yml takes it in."
            for step in self._of(outside.WAIT)
            if step.plan.leaf.name in options.returned
        ]
        # Of an authority that is not here yet nobody knows who verifies it.
        self.notes += [
            _distrusts(item, self._authorities[KUBERNETES].facts)
            for item in planned.kubeconfigs
            if item.distrusts and item not in self._kubeconfigs and KUBERNETES in self._authorities
        ]
        #: What was left undone, as sentences.
        self.not_done = self._unsigned(planned)
        self.issued: list[Issued] = []
        self._asked: set[str] = set()

    def _lacking_authorities(self) -> list[HostAuthority]:
        """Authorities whose certificates this host needs and does not have."""
        needed = {leaf.authority for leaf in self._pki.leaves} | ({KUBERNETES} if self._pki.kubeconfigs else set())
        return [item for item in self._pki.authorities if item.name in needed - set(self._authorities)]

    def _stand_ins(self) -> dict[str, Authority]:
        """What is decided without an authority that is not here yet: all that it will sign is missing."""
        known = {**self._options.brought, **self._options.at_hand}
        return {
            item.name: known.get(item.name) or authority_files.create(item.profile, self._now) for item in self._lacking
        }

    def _with_key(self, name: str, one: Authority) -> Authority:
        """The authority as this process can use it: with the key that is at hand, if it is the same."""
        known = self._options.at_hand.get(name)
        same = known is not None and known.facts.fingerprint == one.facts.fingerprint
        return known if known is not None and same and one.key is None else one

    # Authorities outside

    def _is_outside(self, item: plan.LeafPlan) -> bool:
        here = self._authorities.get(item.leaf.authority)
        return item.leaf.authority in self._options.outside and (here is None or here.key is None)

    def _step(self, item: plan.LeafPlan) -> outside.Step:
        name = item.leaf.name
        return outside.decide_step(
            item,
            self._signers[item.leaf.authority],
            self._store.requests([name]).get(name),
            self._options.returned.get(name),
            self._now,
            self._selected(item),
        )

    def _of(self, what: str) -> list[outside.Step]:
        return [step for step in self._steps.values() if step.what == what]

    def unsigned(self) -> list[dict[str, str]]:
        """What an authority outside is to sign, each with name, request, subject, names and authority.

        The request is empty where check mode does not make it.
        """
        steps = [*self._of(outside.ASK), *self._of(outside.WAIT)]
        steps.sort(key=lambda step: step.plan.leaf.name)
        waiting = {step.plan.leaf.name for step in self._of(outside.WAIT)}
        known = self._store.requests(waiting | self._asked)
        return [
            {
                "name": step.plan.leaf.name,
                "request": known[step.plan.leaf.name].request.decode("ascii") if step.plan.leaf.name in known else "",
                "subject": str(step.plan.profile.subject),
                "names": str(step.plan.profile.names),
                "authority": str(self._signers[step.plan.leaf.authority].facts.profile.subject),
            }
            for step in steps
        ]

    def tidy(self) -> None:
        """Remove requests that are answered or of no use any more; called when what was laid is proven.

        Where nothing waits there may be half of what a run that died had begun to remove.
        """
        for step in (*self._of(outside.TAKE), *self._of(outside.DROP), *self._of(outside.KEEP)):
            self._store.drop_request(step.plan.leaf.name)

    def _has(self, name: str, fingerprints: t.Collection[str]) -> bool:
        for leaf in self._pki.leaves:
            if leaf.name == name:
                actual, _key = plan.stored_pair(leaf, self._files)
                return actual is not None and actual.fingerprint in fingerprints
        return False

    def _unsigned(self, planned: plan.HostPlan) -> list[str]:
        left = [item.leaf for item in planned.leaves if item.reasons and not self._can_sign(item.leaf.authority)]
        if self._options.signer:
            named = [leaf for leaf in left if leaf.name in (self._options.only or (leaf.name,))]
            authorities = dict.fromkeys(leaf.authority for leaf in named)
            return [_unsignable(one, [leaf.name for leaf in named if leaf.authority == one]) for one in authorities]
        names = [leaf.name for leaf in left] + [item.path.certificate for item in self._lacking]
        if not names:
            return []
        return [f"{', '.join(names)}: the control plane with the authorities' keys takes no part in this run."]

    def _can_sign(self, authority: str) -> bool:
        here = self._authorities.get(authority)
        return (
            (self._options.signer and authority not in self._options.without_key)
            or authority in self._options.outside
            or authority in self._options.expected
            or (here is not None and here.key is not None)
        )

    def _selected(self, item: plan.LeafPlan) -> bool:
        if not self._can_sign(item.leaf.authority):
            return False
        if self._options.scope == SCOPE_MISSING and item.before is not None:
            return False
        return not self._options.only or item.leaf.name in self._options.only

    def _left(self, item: plan.LeafPlan) -> bool:
        """Whether a leaf has a reason that this call does not act on."""
        is_later = self._options.scope == SCOPE_MISSING and item.before is not None
        return bool(item.reasons) and is_later and (self._can_sign(item.leaf.authority) or not self._options.signer)

    def _writes(self, item: plan.KubeconfigPlan) -> bool:
        name = item.kubeconfig.leaf
        # Who signs has the authority's certificate at least.
        if KUBERNETES not in self._authorities and not (self._options.signer or self._can_sign(KUBERNETES)):
            return False
        step = self._steps.get(name)
        if step is not None and step.what in (outside.ASK, outside.WAIT) and item.kubeconfig.client_files is None:
            return False
        if item.kubeconfig.client_files is None:
            return any(chosen.leaf.name == name for chosen in self._leaves)
        named = f"{item.kubeconfig.name}.conf"
        is_due = self._options.scope == SCOPE_DUE or item.kubeconfig.path not in self._files
        return bool(item.reasons) and is_due and named in (self._options.only or (named,))

    # What would change

    def changes(self) -> list[Change]:
        """Every file that is written: certificates, keys, kubeconfigs, and authorities that come from elsewhere."""
        found = [
            file_change(item.path.certificate, None, f"subject: {self._subject(item)}\nwhy: {decide.MISSING}\n")
            for item in self._lacking
            if item.name not in self._options.expected and self._options.signer
        ]
        for chosen in self._leaves:
            found += self._leaf_changes(chosen)
        for item in self._kubeconfigs:
            data = self._files.get(item.kubeconfig.path)
            shown = [str(reason) for reason in item.reasons if reason.name != plan.LEAF]
            for chosen in self._leaves:
                if chosen.leaf.name == item.kubeconfig.leaf and chosen.leaf.path is None:
                    shown += [f"its certificate, {reason}" for reason in chosen.reasons]
            server = item.kubeconfig.server
            before = None
            if data is not None:
                facts = kubeconfig.parse(data, item.kubeconfig.path)
                server = facts.server
                before = texts.kubeconfig(server, facts.user, ())
            after = texts.kubeconfig(server, item.kubeconfig.user, shown)
            found.append(file_change(item.kubeconfig.path, before, after, self._restarts_of(item)))
        # The directory in which requests wait is this collection's own, as the one of its backups is.
        asked = [self._request_change(step) for step in self._of(outside.ASK)]
        return [*self._directories(change.target for change in found), *found, *asked]

    def _subject(self, item: HostAuthority) -> str:
        brought = self._options.brought.get(item.name)
        return str(item.profile.subject if brought is None else brought.facts.profile.subject)

    def _directories(self, paths: t.Iterable[str]) -> list[Change]:
        """Directories that are missing, but those that the authorities of an earlier task bring."""
        brought = [item.path.certificate for item in self._lacking if item.name in self._options.expected]
        known = {change.target for change in self._store.missing_directories(brought)}
        return [change for change in self._store.missing_directories(paths) if change.target not in known]

    def _request_change(self, step: outside.Step) -> Change:
        item = step.plan
        issuer = str(self._signers[item.leaf.authority].facts.profile.subject)
        before = None if step.waiting is None else "request: for what was wanted before\n"
        told = texts.request(item.profile, issuer, item.reasons)
        return file_change(request_path(item.leaf.name), before, told)

    def _leaf_changes(self, item: plan.LeafPlan) -> list[Change]:
        if item.leaf.path is None:
            return []
        issuer = str(self._signers[item.leaf.authority].facts.profile.subject)
        end = min(item.lifetime, self._signers[item.leaf.authority].facts.not_after - self._now)
        # In whole days: an authority's end is nearer when the run comes later than the check.
        lifetime = item.lifetime if end >= item.lifetime else end // issue.DAY * issue.DAY
        told = texts.after(item.profile, issuer, lifetime, item.reasons)
        taken = self._taken(item)
        if taken is not None:
            told = texts.taken(taken, item.reasons)
        certificate = file_change(item.leaf.path.certificate, texts.before(item.before), told)
        if item.key is not None:
            return [certificate]
        there = item.leaf.path.key in self._files
        algorithm = str(item.profile.key_algorithm)
        before = texts.key(str(item.before.profile.key_algorithm), "before") if item.before and there else None
        return [certificate, file_change(item.leaf.path.key, before, texts.key(algorithm, "new, made here"))]

    def _taken(self, item: plan.LeafPlan) -> CertificateFacts | None:
        """The certificate that came back for a leaf; None for one that is issued in the cluster."""
        step = self._steps.get(item.leaf.name)
        return step.certificate if step is not None else None

    def _restarts_of(self, item: plan.KubeconfigPlan) -> tuple[str, ...]:
        component = RESTARTS.get(item.kubeconfig.name)
        return (component,) if component and self._options.restarts else ()

    @property
    def new_in(self) -> set[str]:
        """The files whose certificate is issued anew, or would be."""
        return {item.leaf.certificate_file for item in self._leaves}

    @property
    def replaces_ended(self) -> bool:
        """Whether one of the certificates that are replaced has ended, so that nothing need be well before."""
        return any(item.before is not None and item.before.not_after <= self._now for item in self._leaves)

    def replaces(self, name: str) -> bool:
        """Whether a leaf that is there is issued anew."""
        return any(item.leaf.name == name and item.before is not None for item in self._leaves)

    # What must be asked for

    @property
    def asks(self) -> bool:
        """Whether anything must come from the authority's host first."""
        lacking = self._options.signer and any(item.name not in self._options.expected for item in self._lacking)
        return lacking or any(self._signers[item.leaf.authority].key is None for item in self._of_the_cluster())

    def _of_the_cluster(self) -> list[plan.LeafPlan]:
        """What authorities issue whose keys are on a host."""
        return [item for item in self._leaves if item.leaf.name not in self._steps]

    def refuse_foreign(self) -> None:
        """Refuse what the authority's host will not sign: check mode foretells it, and nothing is asked for in vain."""
        for item in self._of_the_cluster():
            signer = self._signers[item.leaf.authority]
            if signer.key is None and item.before is not None:
                _believed(item.before, item.leaf, signer, self._pki, item.leaf.name in self._own, self._options.policy)

    def ask(self) -> list[Request]:
        """Make keys, let them wait, and return the requests."""
        waiting: dict[str, str] = {}
        asked = []
        for item in self._of_the_cluster():
            if item.leaf.authority in self._authorities and self._authorities[item.leaf.authority].key is not None:
                continue
            prepared = plan.prepare(item)
            waiting[item.leaf.name] = keys.private_pem(prepared.key).decode("ascii")
            current = issue.certificate_pem(item.before).decode("ascii") if item.before else ""
            own = item.leaf.name in self._own
            asked.append(Request(item.leaf.name, prepared.request.decode("ascii"), current, own))
        self._store.let_wait(waiting)
        return asked

    def wanted_bundles(self) -> list[str]:
        """Names of the authorities whose certificates must come from elsewhere."""
        return [item.name for item in self._lacking]

    # The write

    def apply(self, answers: t.Mapping[str, str], bundles: t.Mapping[str, str]) -> list[Saved]:
        """Issue, or take in what was issued elsewhere, and write everything together.

        Args:
            answers: Certificates with their chain in PEM, by name of the leaf.
            bundles: Authorities' certificates in PEM, by name.

        Returns:
            What was saved of the files before, for the way back.
        """
        files: dict[str, tuple[bytes, bool]] = {}
        for item in self._lacking if self._options.signer else ():
            data = bundles.get(item.name, "").encode("ascii")
            if not data:
                raise HardeningError(
                    "KH302",
                    f"The certificate of the authority '{item.name}' is neither on this host nor on the one that was "
                    "asked. Nothing was changed; bring it back, or let harden.yml make the authorities of a new "
                    "cluster, in a run in which every control plane takes part.",
                )
            bundle.parse(data, f"the authority '{item.name}' of the other host")
            files[item.path.certificate] = (data, False)
            given = authority_files.load(item.path, {item.path.certificate: data}, self._now, None, False)
            self._signers[item.name] = self._with_key(item.name, given)
        pairs = {item.leaf.name: (item, *self._pair(item, answers)) for item in self._leaves}
        for chosen, certificate, key in pairs.values():
            if chosen.leaf.path is not None:
                files[chosen.leaf.path.certificate] = (certificate, False)
                if chosen.key is None:
                    files[chosen.leaf.path.key] = (key, True)
        for entry in self._kubeconfigs:
            row = entry.kubeconfig
            found = pairs.get(row.leaf)
            trusted = files.get(row.authority.certificate, (self._files.get(row.authority.certificate, b""), False))[0]
            pair = found[1:] if found is not None else None
            signer = self._signers[KUBERNETES].facts
            files[row.path] = (plan.kubeconfig_bytes(entry, self._files.get(row.path), trusted, signer, pair), True)
        facts = {name: _first(certificate) for name, (_item, certificate, _key) in pairs.items()}
        # One that was adopted and keeps what the table does not have stays adopted.
        ours = [name for name, (chosen, *_pair) in pairs.items() if self._is_ours(chosen, facts[name])]
        self._store.note_issued(
            {name: [*self._fingerprint_of(pairs[name][0]), facts[name].fingerprint] for name in ours}
        )
        written: list[NewFile] = [self._store.new_file(path, data, secret) for path, (data, secret) in files.items()]
        saved = self._store.write(written) if written else []
        for step in self._of(outside.ASK):
            prepared = plan.prepare(step.plan)
            self._store.keep_request(step.plan.leaf.name, outside.Waiting(prepared.request, prepared.key))
            self._asked.add(step.plan.leaf.name)
        self._store.forget_waiting()
        for name, (chosen, _certificate, _key) in pairs.items():
            one = facts[name]
            self.issued.append(Issued(name, chosen.leaf.certificate_file, one.not_after, one.serial_number))
        return saved

    def _fingerprint_of(self, item: plan.LeafPlan) -> list[str]:
        """That of the certificate that is replaced, where it is ours."""
        before = item.before if item.leaf.name in self._own else None
        return [] if before is None else [before.fingerprint]

    def _is_ours(self, item: plan.LeafPlan, facts: CertificateFacts) -> bool:
        """Whether a leaf was issued as the table has it; one that was ours before may have kept names beside."""
        have, table = facts.profile, item.leaf.profile
        same = (have.subject, have.extended_usages) == (table.subject, table.extended_usages)
        kept = have.names - table.names if item.leaf.name not in self._own else NO_NAMES
        return same and not (have.other_names or kept or table.names - have.names)

    def _pair(self, item: plan.LeafPlan, answers: t.Mapping[str, str]) -> tuple[bytes, bytes]:
        signer = self._signers[item.leaf.authority]
        step = self._steps.get(item.leaf.name)
        if step is not None and step.waiting is not None and step.certificate is not None:
            prepared = plan.Prepared(item, step.waiting.request, step.waiting.key)
            # A node that only verifies does not have those above the authority; who brings it has.
            known = self._options.brought.get(item.leaf.authority, signer)
            return plan.complete(prepared, step.certificate, known.chain)
        if signer.key is not None:
            return plan.issue_here(item, signer, self._now)
        waiting = self._store.waiting().get(item.leaf.name, "")
        answer = answers.get(item.leaf.name, "")
        if not waiting or not answer:
            raise HardeningError(
                "KH305",
                f"The key of the authority '{item.leaf.authority}' is not on this host, and no certificate for "
                f"'{item.leaf.name}' came from one that has it. Nothing was changed; run without --limit, so that the "
                "control plane that has the key takes part.",
            )
        key = keys.load_private(waiting.encode("ascii"), "the key that waits")
        request = issue.signing_request(item.profile, key)
        chain = [profiles.from_der(block.der, "the answer") for block in pem.blocks(answer.encode(), "the answer")]
        refuse.wrong_answer(chain[0], issue.read_request(request, "the request"), f"the answer for '{item.leaf.name}'")
        if not issue.is_signed_by(chain[0], signer.facts):
            raise HardeningError(
                "KH308",
                f"The certificate that came for '{item.leaf.name}' is not signed by the cluster's authority "
                f"'{signer.facts.profile.subject}'. Nothing was changed; run again.",
            )
        return plan.complete(plan.Prepared(item, request, key), chain[0], chain[1:])


def _first(certificate: bytes) -> CertificateFacts:
    return profiles.from_pem(certificate, "the new certificate")


def _told(item: plan.LeafPlan) -> str:
    why = "; ".join(str(reason) for reason in item.reasons)
    return f"The certificate '{item.leaf.name}' is to be issued anew ({why}); rotate_certificates.yml does it."


def _unsignable(authority: str, names: t.Sequence[str]) -> str:
    return (
        f"{', '.join(names)}: not issued anew, since the key of the authority '{authority}' is neither on this host "
        "nor on the control plane that signs nor on the controller. Renew where that key is, lay it in "
        "kubeharden_pki_authorities_dir, or set kubeharden_pki_requests_dir to have requests laid there."
    )


def _distrusts(item: plan.KubeconfigPlan, authority: CertificateFacts) -> str:
    return (
        f"{item.kubeconfig.path} trusts {item.distrusts}, and by that nothing that the cluster's authority "
        f"'{authority.profile.subject}' issues. It was left as it is, since a load balancer may show a certificate of "
        "another authority; where none does, put the cluster's ca.crt there too."
    )


def _checked(pki: HostPki, options: Options) -> HostPki:
    """The share of the table that a call is about; HardeningError for a name that no cluster has."""
    known = [row.name for row in LEAVES] + [f"{row.name}.conf" for row in KUBECONFIGS]
    for name in options.only:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1, 0.0)
            raise HardeningError(
                "KH301",
                f"There is no certificate named '{name}'; the nearest is '{nearest[0]}'. Nothing was changed; "
                "correct the name.",
            )
    if not options.leaves:
        pki = dataclasses.replace(pki, leaves=tuple(leaf for leaf in pki.leaves if leaf.path is None))
    return pki


def sign(
    pki: HostPki,
    requests: t.Sequence[Request],
    signers: t.Mapping[str, Authority],
    now: float,
    policy: Policy,
) -> dict[str, str]:
    """The certificates for another host's requests, in PEM with their chain, by name of the leaf.

    What they hold comes from the table, and from what an authority of the cluster signed for that host and that use
    before; of the request only the key is taken.

    Raises:
        HardeningError: A request that may not be signed; then none was.
    """
    found = {}
    leaves = {leaf.name: leaf for leaf in pki.leaves}
    for asked in requests:
        if asked.leaf not in leaves:
            raise HardeningError(
                "KH308",
                f"{pki.node_name} asks for a certificate '{asked.leaf}' that the cluster's table does not have for it. "
                "Nothing was signed; look what that host is.",
            )
        leaf = leaves[asked.leaf]
        signer = signers.get(leaf.authority)
        if signer is None or signer.key is None:
            raise HardeningError(
                "KH302",
                f"The key of the authority '{leaf.authority}' is on no control plane that takes part; nothing was "
                f"signed for {pki.node_name}. Let the one that has it take part, lay it in "
                "kubeharden_pki_authorities_dir, or set kubeharden_pki_requests_dir to have requests laid there for "
                "whoever has it.",
            )
        current = None
        if asked.current:
            there = profiles.from_pem(asked.current.encode(), f"the certificate '{leaf.name}' that is there")
            current = _believed(there, leaf, signer, pki, asked.own, policy)
        where = f"{pki.node_name}, for '{leaf.name}'"
        content = issue.read_request(asked.request.encode(), where)
        wanted = plan.content(pki, leaf, current, policy, asked.own)
        algorithm = str(content.profile.key_algorithm)
        wanted = dataclasses.replace(wanted, key_algorithm=algorithm, key_usages=profiles.leaf_key_usages(algorithm))
        refuse.forbidden_by_authority([signer.facts, *signer.above], wanted, f"the authority '{leaf.authority}'")
        lifetime = decide.new_lifetime(current, signer.facts, policy, asked.own)
        facts = plan.sign(asked.request.encode(), wanted, signer, now, lifetime, where)
        found[leaf.name] = issue.certificate_pem(facts, signer.chain).decode("ascii")
    return found


def _believed(
    facts: CertificateFacts, leaf: Leaf, signer: Authority, pki: HostPki, is_own: bool, policy: Policy
) -> CertificateFacts | None:
    """The certificate that is there, believed only where the authority signed it, for this host and this use.

    Raises:
        HardeningError: It is another's. Whoever dials a server has its certificate, and could ask for the like of it
            with a key of his own.
    """
    if not issue.is_signed_by(facts, signer.facts):
        return None
    # To one of ours a worker's names do not matter, nor to any where the user says so: it follows the table.
    follows = is_own or decide.NAMES in policy.user_set
    problem = _foreign(facts, leaf, names_count=pki.is_worker and not follows)
    if problem:
        raise HardeningError(
            "KH308",
            f"{pki.node_name} has the certificate '{facts.profile.subject}' for '{leaf.name}' and asks for one like "
            f"it, but {problem}. Nothing was signed; look how it came there, and move it away with its key to have one "
            "made as the cluster's table has it.",
        )
    return facts


def _foreign(facts: CertificateFacts, leaf: Leaf, names_count: bool) -> str:
    """Why a certificate of the authority is not one of this leaf; empty where it is."""
    have, table = facts.profile, leaf.profile
    if have.subject.common_name != table.subject.common_name:
        return f"its common name is not '{table.subject.common_name}'"
    if frozenset(have.subject.organizations) not in known_organizations(leaf.name):
        return f"its organizations are none that '{leaf.name}' ever has"
    surplus = have.names - table.names
    if names_count and (surplus or have.other_names):
        names = ", ".join([*([str(surplus)] if surplus else []), *sorted(have.other_names)])
        return f"a node is given no other names than its own, and {names} is not among them (kubeharden_pki_host_names)"
    return ""
