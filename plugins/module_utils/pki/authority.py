# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities as files: creating, loading with every check, and the service-account pair beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    bundle,
    issue,
    keys,
    pem,
    profile as profile_files,
    refuse,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    ETCD_AUTHORITY,
    FRONT_PROXY,
    KUBERNETES,
    PairPath,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, Profile


def create(
    profile: Profile, now: float, algorithm: str = keys.DEFAULT_ALGORITHM, lifetime: float = issue.AUTHORITY_LIFETIME
) -> Authority:
    """A new self-signed authority."""
    key = keys.generate(algorithm)
    return Authority(issue.self_signed_authority(profile, key, now, lifetime), key)


def create_below(
    profile: Profile,
    parent: Authority,
    now: float,
    algorithm: str = keys.DEFAULT_ALGORITHM,
    lifetime: float = issue.AUTHORITY_LIFETIME,
) -> Authority:
    """A new intermediate. HardeningError when the parent does not allow one."""
    refuse.forbidden_by_authority([parent.facts, *parent.above], profile, "the parent")
    key = keys.generate(algorithm)
    facts = issue.issue(profile, keys.public_bytes(key), parent, now, lifetime)
    return Authority(facts, key, (parent.facts, *parent.above))


def files(authority: Authority, passphrase: bytes | None = None) -> tuple[bytes, bytes]:
    """Bytes of certificate file and key file.

    The certificate file holds the authority's own certificate and none above it: who trusts a root also trusts every
    other intermediate below it, so that clients of the API server could open etcd. Servers and clients send the chain.
    """
    if authority.key is None:
        raise HardeningError(
            "KH305",
            f"The key of the authority '{authority.facts.profile.subject}' is not here; nothing was written. Bring "
            "it to this host.",
        )
    return bundle.join([authority.facts]), keys.private_pem(authority.key, passphrase)


def load(
    path: PairPath,
    contents: Mapping[str, bytes],
    now: float,
    passphrase: bytes | None = None,
    need_key: bool = True,
    above: Sequence[CertificateFacts] = (),
    signers: Sequence[str] = (),
) -> Authority:
    """The authority in a pair of files, fit to sign.

    `contents` are bytes by path. With a key, the certificate is the one of the bundle that belongs to it; without, the
    one that `signers` tell, digests of public keys of which the first that is there counts, else the first.
    HardeningError for everything that makes it unfit: see `refuse.unusable_authority`.
    """
    if path.certificate not in contents:
        raise HardeningError(
            "KH302", f"{path.certificate} is missing; nothing was changed. Create the authority or bring it."
        )
    certificates = bundle.parse(contents[path.certificate], path.certificate)
    key: keys.PrivateKey | None = None
    if path.key in contents:
        key = keys.load_private(contents[path.key], path.key, passphrase, validate=False)
        if all(facts.public_key != keys.public_bytes(key) for facts in certificates):
            refuse.unmatched_pair(certificates[0], key, path.certificate, path.key)
        facts = bundle.signing_certificate(certificates, keys.public_bytes(key), path.certificate)
    elif need_key:
        raise HardeningError(
            "KH302",
            f"{path.key}, the key of the authority in {path.certificate}, is missing; nothing was changed. Bring the "
            "key, or "
            "say that the authority's keys are kept elsewhere.",
        )
    else:
        facts = bundle.of_signer(certificates, signers)
    refuse.unusable_authority(facts, now, path.certificate)
    return Authority(facts, key, tuple(above_in(facts, [*above, *certificates])))


def above_in(facts: CertificateFacts, certificates: Sequence[CertificateFacts]) -> list[CertificateFacts]:
    """The issuer of `facts`, its issuer and so on, as far as `certificates` have them."""
    found: list[CertificateFacts] = []
    current = facts
    while not current.is_self_issued:
        parents = [one for one in certificates if _is_parent(one, current) and one not in found]
        if not parents:
            break
        current = parents[0]
        found.append(current)
    return found


def _is_parent(candidate: CertificateFacts, child: CertificateFacts) -> bool:
    return candidate.profile.subject.raw == child.profile.issuer and issue.is_signed_by(child, candidate)


def check_separate(bundles: Mapping[str, Sequence[CertificateFacts]]) -> None:
    """The front proxy's bundle and the clients' share no key; `bundles` by the name of the authority's row."""
    refuse.shared_authority(bundles.get(FRONT_PROXY, ()), bundles.get(KUBERNETES, ()), "the front proxy's bundle")


def shared_findings(bundles: Mapping[str, Sequence[CertificateFacts]]) -> list[str]:
    """A sentence when etcd trusts the authority of the API server's clients: each of them could open etcd."""
    clients = {facts.public_key for facts in bundles.get(KUBERNETES, ())}
    return [
        f"The authority '{facts.profile.subject}' is trusted by etcd and by the API server alike, so every client "
        "certificate of the cluster opens etcd. Give etcd an authority of its own."
        for facts in bundles.get(ETCD_AUTHORITY, ())
        if facts.public_key in clients
    ]


def service_account_pair(algorithm: str = keys.DEFAULT_ALGORITHM) -> tuple[bytes, bytes]:
    """PEM of a new public and private key for service-account tokens."""
    key = keys.generate(algorithm)
    return keys.public_pem(key), keys.private_pem(key)


def missing_service_account_public(
    path: PairPath, contents: Mapping[str, bytes], beside: Sequence[bytes] = ()
) -> bytes | None:
    """The bytes that the public file needs: None when it is right, else the signing key's public half in front of what
    is there, because tokens of earlier keys stay valid for up to a year.

    `beside` are the contents of further files with public keys. HardeningError when the private key is missing or
    damaged.
    """
    if path.key not in contents:
        raise HardeningError(
            "KH302",
            f"The service-account key {path.key} is missing; nothing was changed. Bring it from another control "
            "plane, or let one that has it take part: a new "
            "one makes every token of the cluster invalid.",
        )
    key = keys.load_private(contents[path.key], path.key, validate=False)
    present = contents.get(path.certificate, b"")
    is_known = any(keys.public_bytes(key) in _public_keys(data, path.certificate) for data in (present, *beside))
    if is_known and path.certificate in contents:
        return None
    return keys.public_pem(key) + present


def _public_keys(data: bytes, where: str) -> list[bytes]:
    """Those by which kube-apiserver knows tokens: it takes public keys, certificates and private keys."""
    found = []
    for block in pem.blocks(data, where):
        if block.label == "CERTIFICATE":
            found.append(profile_files.from_der(block.der, where).public_key)
        elif block.label.endswith("PRIVATE KEY"):
            found.append(keys.public_bytes(keys.load_private(block.text, where, validate=False)))
        else:
            found.append(block.der)
    return found
