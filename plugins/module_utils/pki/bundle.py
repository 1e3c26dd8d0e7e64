# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with several certificates: the authorities that a component trusts.

client-go reads a bundle whole or not at all: one certificate that Go cannot parse makes the others unreadable too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts


def parse(data: bytes, where: str) -> list[CertificateFacts]:
    """Every certificate of a bundle, in order. HardeningError for whatever would make Go read less than what is
    there."""
    found = []
    for block in pem.blocks(data, where):
        if block.label != "CERTIFICATE" or block.has_headers:
            kind = "a certificate with headers" if block.label == "CERTIFICATE" else f"a '{block.label}'"
            raise HardeningError(
                "KH303",
                f"{where} holds {kind}, which Kubernetes passes over; it was left as it was. "
                "Put plain certificates there and nothing else.",
            )
        facts = profile.from_der(block.der, where)
        if facts.defects:
            raise HardeningError(
                "KH303",
                f"The certificate '{facts.profile.subject}' in {where} makes the whole file unreadable to Kubernetes: "
                f"{facts.defects[0]}. The file was left as it was; replace that certificate.",
            )
        found.append(facts)
    if not found:
        raise HardeningError(
            "KH303", f"{where} holds no certificate; it was left as it was. Put an authority's certificate there."
        )
    return found


def join(certificates: Iterable[CertificateFacts]) -> bytes:
    """A bundle: each certificate once, in the order given, each block closed by a newline."""
    seen = set()
    parts = []
    for facts in certificates:
        if facts.der not in seen:
            seen.add(facts.der)
            parts.append(pem.encode("CERTIFICATE", facts.der))
    return b"".join(parts)


def signer_first(certificates: Sequence[CertificateFacts], public_key: bytes) -> list[CertificateFacts]:
    """The same certificates, those of this key first: kubeadm renews with the first certificate of ca.crt and
    ca.key."""
    return sorted(certificates, key=lambda facts: facts.public_key != public_key)


def digest(public_key: bytes) -> str:
    """What a public key (SubjectPublicKeyInfo) is called where no more is to be told."""
    return hashlib.sha256(public_key).hexdigest()


def of_signer(certificates: Sequence[CertificateFacts], signers: Iterable[str]) -> CertificateFacts:
    """The authority's own certificate where its key is not there: that of the first of these digests that has one, else
    the first. Of several with that key the one that ends last: a renewed authority keeps its key."""
    keys = {digest(facts.public_key): facts.public_key for facts in certificates}
    public_key = next((keys[signer] for signer in signers if signer in keys), certificates[0].public_key)
    return max((facts for facts in certificates if facts.public_key == public_key), key=lambda facts: facts.not_after)


def signing_certificate(certificates: Sequence[CertificateFacts], public_key: bytes, where: str) -> CertificateFacts:
    """The certificate of a bundle that belongs to the key: ``--cluster-signing-cert-file`` takes exactly one.

    Of several with that key the one that ends last: a renewed authority keeps its key.
    """
    matching = [facts for facts in certificates if facts.public_key == public_key]
    if not matching:
        raise HardeningError(
            "KH304",
            f"No certificate in {where} belongs to the authority's key; nothing was signed. Bring certificate and key "
            "of the same authority together.",
        )
    return max(matching, key=lambda facts: facts.not_after)
