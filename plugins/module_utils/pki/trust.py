# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether who trusts some authorities believes what somebody shows, as Go decides it: any of them is an end."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts

#: Kinds of signatures that are verified here: RSA of PKCS #1 (1.5), but for PSS, and ECDSA.
_RSA, _PSS, _ECDSA = "1.2.840.113549.1.1.", "1.2.840.113549.1.1.10", "1.2.840.10045.4."


def is_believed(shown: Sequence[CertificateFacts], trusted: Sequence[CertificateFacts]) -> bool | None:
    """Whether the first of some certificates leads to an authority, by the others where it takes them.

    None where a signature on the way is of a kind that cannot be verified here. Whether any of them has ended, and what
    it may be used for, is another question.
    """
    way = collections.deque(shown[:1])
    seen = {shown[0].fingerprint}
    uncertain = False
    while way:
        current = way.popleft()
        if any(one.der == current.der for one in trusted):
            return True
        for authority in (*trusted, *shown[1:]):
            if authority.profile.subject.raw != current.profile.issuer:
                continue
            if not _is_verifiable(current):
                uncertain = True
            elif issue.is_signed_by(current, authority):
                if authority in trusted:
                    return True
                if authority.fingerprint not in seen:
                    seen.add(authority.fingerprint)
                    way.append(authority)
    return None if uncertain else False


def _is_verifiable(facts: CertificateFacts) -> bool:
    algorithm = facts.certificate.signature_algorithm_oid.dotted_string
    return algorithm.startswith((_RSA, _ECDSA)) and algorithm != _PSS
