# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's PKI as a batch: what is there, what should be, and the difference.

`plan` decides without writing. Then each leaf takes three steps, which may happen on two hosts: `prepare` makes key and
request where the key will live, `sign` makes the certificate where the authority is, `complete` gives the bytes of the
files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority as authority_files,
    bundle,
    decide,
    issue,
    keys,
    kubeconfig,
    profile,
    refuse,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy, Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    KUBERNETES,
    HostKubeconfig,
    HostPki,
    Leaf,
    kept_organizations,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, Profile

#: The name of a kubeconfig's reason where its certificate is issued anew.
LEAF = "leaf"
#: And where it holds its data, though it is to name files: what is renewed there would never reach it.
REFERENCES = "references"


@dataclass(frozen=True)
class LeafPlan:
    """One leaf: with reasons it is issued anew, without it stays. `key` is the key that is there and will be used
    again."""

    leaf: Leaf
    profile: Profile
    reasons: tuple[Reason, ...]
    lifetime: float
    before: CertificateFacts | None
    key: keys.PrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True)
class KubeconfigPlan:
    """One kubeconfig: with reasons it is written, for a reason of its own or because its leaf is issued."""

    kubeconfig: HostKubeconfig
    reasons: tuple[Reason, ...]
    # Whom one that is there trusts, where that verifies no API server of the cluster's authority; else empty.
    distrusts: str = ""


@dataclass(frozen=True)
class HostPlan:
    leaves: tuple[LeafPlan, ...]
    kubeconfigs: tuple[KubeconfigPlan, ...]
    # Sentences for a person; they change nothing.
    warnings: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return any(item.reasons for item in self.leaves) or any(item.reasons for item in self.kubeconfigs)


def plan(
    host: HostPki,
    files: Mapping[str, bytes],
    authorities: Mapping[str, Authority],
    now: float,
    policy: Policy,
    own: frozenset[str] = frozenset(),
    asked: frozenset[str] = frozenset(),
) -> HostPlan:
    """What must be done on one host.

    `files` are the bytes that the host has, by path; `authorities` those that sign, by the name of their row, with or
    without keys; `own` the names of leaves that this collection issued, which follow the table, while all others are
    adopted and keep what they have. Of the rows in `asked` the keys are on another host of the cluster, which believes
    of a certificate that is here only what its authority signed. HardeningError when something is there that must not
    be built upon.
    """
    warnings = _check_authorities(host, authorities, now, policy)
    leaves = []
    for leaf in host.leaves:
        other = _other_credentials(leaf, files)
        if other:
            warnings.append(
                f"{leaf.kubeconfig} identifies its user by {other}, not by a certificate; it stays as it is."
            )
        else:
            is_own, is_asked = leaf.name in own, leaf.authority in asked
            leaves.append(_leaf_plan(host, leaf, files, authorities[leaf.authority], now, policy, is_own, is_asked))
    issued = frozenset(item.leaf.name for item in leaves if item.reasons)
    warnings += _long_lives(leaves, authorities, now, policy) if leaves else []
    kubeconfigs = [_kubeconfig_plan(item, files, authorities[KUBERNETES], issued, now) for item in host.kubeconfigs]
    return HostPlan(tuple(leaves), tuple(kubeconfigs), tuple(warnings))


def _long_lives(
    leaves: Sequence[LeafPlan], authorities: Mapping[str, Authority], now: float, policy: Policy
) -> list[str]:
    """What a person should know of lives that are issued, or will be, and of those that were found."""
    longest = max([policy.lifetime or 0.0, *(item.lifetime for item in leaves if item.reasons)])
    lives = {
        item.leaf.name: decide.exposure(item.before, authorities[item.leaf.authority].facts, now, policy)
        for item in leaves
        if item.before is not None and not item.reasons
    }
    told = [decide.lifetime_warning(longest), decide.found_warning(lives, longest)]
    return [sentence for sentence in told if sentence]


def _check_authorities(host: HostPki, authorities: Mapping[str, Authority], now: float, policy: Policy) -> list[str]:
    """Warnings about the authorities that the host needs; HardeningError for one that is missing or unfit."""
    warnings: list[str] = []
    needed = {leaf.authority for leaf in host.leaves} | ({KUBERNETES} if host.kubeconfigs else set())
    for name in sorted(needed):
        if name not in authorities:
            raise HardeningError(
                "KH302", f"The authority '{name}' is missing; nothing was changed. Create it or bring it."
            )
        facts = authorities[name].facts
        refuse.unusable_authority(facts, now, f"the authority '{name}'")
        warnings += decide.authority_findings(facts, now, policy)
    trusted = {name: [authorities[name].facts] for name in needed}
    authority_files.check_separate(trusted)
    return warnings + authority_files.shared_findings(trusted)


def _other_credentials(leaf: Leaf, files: Mapping[str, bytes]) -> str:
    """What a kubeconfig has instead of a certificate, such as ``exec``; empty for every other leaf."""
    if leaf.path is not None or leaf.kubeconfig not in files:
        return ""
    facts = kubeconfig.parse(files[leaf.kubeconfig], leaf.kubeconfig)
    return "" if facts.certificate or facts.certificate_file else ", ".join(facts.other_credentials)


def content(host: HostPki, leaf: Leaf, actual: CertificateFacts | None, policy: Policy, is_own: bool) -> Profile:
    """What a leaf should hold, given what is there: the host that asks for it and the one that signs it say the same.

    A worker's own leaf has the names of the table and no others: who signs believes a worker no other name.
    """
    # One of nobody's but the component's own, as a kubelet's first one, says nothing that the cluster ever agreed to.
    if actual is None or actual.is_self_made:
        return leaf.profile
    if not is_own:
        return decide.adopt(leaf.profile, actual, leaf.asked_names, policy)
    return leaf.profile if host.is_worker else decide.follow(leaf.profile, actual, policy)


def _leaf_plan(
    host: HostPki,
    leaf: Leaf,
    files: Mapping[str, bytes],
    authority: Authority,
    now: float,
    policy: Policy,
    is_own: bool,
    is_asked: bool,
) -> LeafPlan:
    actual, key = stored_pair(leaf, files)
    is_believed = actual is None or not is_asked or issue.is_signed_by(actual, authority.facts)
    believed = actual if is_believed else None
    wanted = decide.settled(content(host, leaf, believed, policy, is_own), actual, policy)
    if actual is None and key is not None and policy.key_algorithm is None:
        # A key that waits for its certificate is what somebody chose.
        wanted = decide.for_key(wanted, key)
    judged = decide.judged(wanted, actual, kept_organizations(leaf.name))
    found = tuple(decide.reasons(actual, judged, authority.facts, now, policy))
    if found:
        refuse.forbidden_by_authority([authority.facts, *authority.above], wanted, f"the authority '{leaf.authority}'")
    # A key without a certificate waits for one; a renewal keeps its key only when asked to, and only a good one.
    reused = key if actual is None or policy.keep_key else None
    if reused is not None and keys.algorithm_name(reused) != wanted.key_algorithm:
        reused = None
    lifetime = decide.new_lifetime(believed, authority.facts, policy, is_own)
    return LeafPlan(leaf, wanted, found, lifetime, actual, reused)


def stored_pair(leaf: Leaf, files: Mapping[str, bytes]) -> tuple[CertificateFacts | None, keys.PrivateKey | None]:
    """Certificate and key of a leaf as they are, from its files or its kubeconfig; HardeningError when they are no
    pair."""
    if leaf.path is not None:
        certificate_file, key_file = leaf.path.certificate, leaf.path.key
        certificate_data, key_data = files.get(certificate_file), files.get(key_file)
    else:
        certificate_file = key_file = leaf.kubeconfig
        certificate_data = key_data = None
        if leaf.kubeconfig in files:
            facts = kubeconfig.parse(files[leaf.kubeconfig], leaf.kubeconfig)
            certificate_data, key_data = _embedded(facts, files)
    if certificate_data is None:
        return None, (keys.load_private(key_data, key_file) if key_data is not None else None)
    actual = profile.from_pem(certificate_data, certificate_file)
    if key_data is None:
        refuse.lost_key(certificate_file, key_file)
        return actual, None
    key = keys.load_private(key_data, key_file, validate=False)
    refuse.unmatched_pair(actual, key, certificate_file, key_file)
    return actual, key


def _embedded(facts: kubeconfig.KubeconfigFacts, files: Mapping[str, bytes]) -> tuple[bytes | None, bytes | None]:
    """The credentials of a kubeconfig, by content or from the files that it names."""
    certificate = facts.certificate if facts.certificate is not None else files.get(facts.certificate_file)
    key = facts.key if facts.key is not None else files.get(facts.key_file)
    return certificate, key


def _kubeconfig_plan(
    item: HostKubeconfig, files: Mapping[str, bytes], authority: Authority, issued: frozenset[str], now: float
) -> KubeconfigPlan:
    data = files.get(item.path)
    if data is None:
        return KubeconfigPlan(item, (Reason(decide.MISSING, "", item.server),))
    facts = kubeconfig.parse(data, item.path)
    trusted = [] if facts.authority is None else bundle.parse(facts.authority, item.path)
    distrusts = ""
    if trusted and not _verifies(trusted, authority, now):
        distrusts = ", ".join(f"'{one.profile.subject}'" for one in trusted)
    found = []
    if item.leaf in issued and item.client_files is None:
        found.append(Reason(LEAF, "", f"the certificate '{item.leaf}' is issued anew"))
        if distrusts:
            found.append(Reason(decide.AUTHORITY, f"trusts {distrusts}", f"'{authority.facts.profile.subject}' too"))
    # The kubelet's names what the kubelet replaces itself, or holds what is its own business.
    names_own = item.client_files is not None and item.leaf == f"{item.name}.conf"
    if names_own and (facts.certificate is not None or facts.key is not None):
        found.append(Reason(REFERENCES, "holds certificate and key", "names their files"))
    return KubeconfigPlan(item, tuple(found), distrusts)


def _verifies(trusted: Sequence[CertificateFacts], authority: Authority, now: float) -> bool:
    """Whether who trusts these accepts what the authority issues: one of them is it, or above it."""
    valid = [one for one in trusted if one.not_before <= now < one.not_after]
    chain = (authority.facts, *authority.above)
    known = {one.public_key for one in chain}
    return any(one.public_key in known for one in valid) or any(authority_files.above_in(one, valid) for one in chain)


@dataclass(frozen=True)
class Prepared:
    """A leaf on the host where its key lives, waiting for its certificate. Only `request` may leave the host."""

    plan: LeafPlan
    request: bytes
    key: keys.PrivateKey = field(repr=False)


def prepare(item: LeafPlan) -> Prepared:
    """The key (new, or the one that stays) and a request for exactly what is planned."""
    key = item.key or keys.generate(item.profile.key_algorithm or keys.DEFAULT_ALGORITHM)
    return Prepared(item, issue.signing_request(item.profile, key), key)


def sign(
    request: bytes, wanted: Profile, authority: Authority, now: float, lifetime: float, where: str
) -> CertificateFacts:
    """The certificate for a request, made from `wanted` and from nothing in the request but the key."""
    facts = issue.read_request(request, where)
    refuse.excessive_request(facts, wanted, where)
    return issue.issue(wanted, facts.public_key, authority, now, lifetime)


def issue_here(item: LeafPlan, authority: Authority, now: float) -> tuple[bytes, bytes]:
    """PEM of certificate and key where the authority's key is at hand: there is nobody to ask with a request."""
    key = item.key or keys.generate(item.profile.key_algorithm or keys.DEFAULT_ALGORITHM)
    facts = issue.issue(item.profile, keys.public_bytes(key), authority, now, item.lifetime)
    return complete(Prepared(item, b"", key), facts, authority.chain)


def complete(
    prepared: Prepared, facts: CertificateFacts, chain: Sequence[CertificateFacts] = ()
) -> tuple[bytes, bytes]:
    """PEM of certificate and key, checked against each other once more before they may be written."""
    leaf = prepared.plan.leaf
    refuse.unmatched_pair(facts, prepared.key, leaf.certificate_file, leaf.certificate_file)
    return issue.certificate_pem(facts, chain), keys.private_pem(prepared.key)


def kubeconfig_bytes(
    entry: KubeconfigPlan,
    before: bytes | None,
    authority: bytes,
    signer: CertificateFacts,
    pair: tuple[bytes, bytes] | None,
) -> bytes:
    """The file's new bytes: `authority` (ca.crt, with `signer` in it) and `pair` are PEM, the pair None when the
    kubeconfig names files or keeps its own.

    An existing file keeps its server and everything else: on control planes kubeadm points clients at the API server
    beside them.
    """
    item = entry.kubeconfig
    certificate: kubeconfig.Material | None = None
    key: kubeconfig.Material | None = None
    if item.client_files is not None:
        certificate, key = item.client_files.certificate, item.client_files.key
    elif pair is not None:
        certificate, key = pair
    if before is not None:
        return kubeconfig.update(before, item.path, _new_trust(entry, before, authority, signer), certificate, key)
    if certificate is None or key is None:
        raise HardeningError(
            "KH302",
            f"The kubeconfig {item.path} has no certificate to hold; nothing was changed. Issue its leaf first.",
        )
    trusted: kubeconfig.Material = item.authority.certificate if item.authority_by_file else authority
    return kubeconfig.render(item.server, item.user, trusted, certificate, key)


def _new_trust(
    entry: KubeconfigPlan, before: bytes, authority: bytes, signer: CertificateFacts
) -> kubeconfig.Material | None:
    """What an existing kubeconfig is to trust instead of what it does; None where that stays.

    It may trust a root above the cluster's authority, or that of a load balancer which ends TLS: nothing is taken away,
    and of ca.crt, which may hold clients' authorities too, no more added than is needed.
    """
    item = entry.kubeconfig
    facts = kubeconfig.parse(before, item.path)
    if facts.authority is None:
        # The system's own authorities, or a file, which is somebody's unless it is ours: kubeadm refuses any.
        is_ours = facts.authority_file == item.authority.certificate and not item.authority_by_file
        return authority if is_ours else None
    if not entry.distrusts:
        same = item.authority_by_file and bundle.parse(facts.authority, item.path) == bundle.parse(authority, "ca.crt")
        return item.authority.certificate if same else None
    return bundle.join([*bundle.parse(facts.authority, item.path), signer])


def new_files(
    planned: HostPlan,
    files: Mapping[str, bytes],
    authorities: Mapping[str, Authority],
    bundles: Mapping[str, bytes],
    now: float,
) -> dict[str, bytes]:
    """Every file that the plan changes, for a host that has its authorities' keys; `bundles` are ca.crt's bytes by
    row."""
    changed: dict[str, bytes] = {}
    pairs: dict[str, tuple[bytes, bytes]] = {}
    for item in planned.leaves:
        if not item.reasons:
            continue
        authority = authorities[item.leaf.authority]
        prepared = prepare(item)
        facts = sign(prepared.request, item.profile, authority, now, item.lifetime, item.leaf.name)
        pair = complete(prepared, facts, authority.chain)
        pairs[item.leaf.name] = pair
        if item.leaf.path is not None:
            changed[item.leaf.path.certificate], changed[item.leaf.path.key] = pair
    for entry in planned.kubeconfigs:
        if entry.reasons:
            before = files.get(entry.kubeconfig.path)
            pair_or_none = pairs.get(entry.kubeconfig.leaf)
            signer = authorities[KUBERNETES].facts
            changed[entry.kubeconfig.path] = kubeconfig_bytes(entry, before, bundles[KUBERNETES], signer, pair_or_none)
    return changed
