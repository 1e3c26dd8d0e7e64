# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains: what leads to an authority that is trusted, and what only looks like it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, keys, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts
from ansible_collections.kubeharden.core.plugins.module_utils.pki.trust import is_believed
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    NOW,
    Odd,
    client_profile,
    common_name,
    key,
    leaf,
    moment,
    root,
)


def below(above: Authority, name: str) -> Authority:
    own = key(number=500)
    facts = issue.issue(profile.wanted_authority(name), keys.public_bytes(own), above, NOW)
    return Authority(facts, own)


OWN = root()
SAME_NAME = root(number=7)
OTHER = root("other", number=8)
BELOW = below(OWN, "below")
RSA = root("rsa", "RSA-2048", number=9)


@pytest.mark.parametrize(
    ("shown", "trusted", "believed"),
    [
        ([leaf(client_profile())], [OWN], True),
        ([leaf(client_profile(), RSA)], [OTHER, RSA], True),
        ([leaf(client_profile())], [OTHER, OWN], True),
        ([leaf(client_profile())], [OTHER], False),
        # The name alone is nothing.
        ([leaf(client_profile())], [SAME_NAME], False),
        ([leaf(client_profile())], [SAME_NAME, OWN], True),
        ([leaf(client_profile())], [], False),
        # By an authority between, which is shown or is trusted itself.
        ([leaf(client_profile(), BELOW)], [OWN], False),
        ([leaf(client_profile(), BELOW), BELOW.facts], [OWN], True),
        ([leaf(client_profile(), BELOW), OTHER.facts, BELOW.facts], [OWN], True),
        ([leaf(client_profile(), BELOW)], [BELOW], True),
        # What is shown beside it does not make it trusted.
        ([leaf(client_profile()), OWN.facts], [OTHER], False),
        # A certificate that is trusted for itself.
        ([OWN.facts], [OWN], True),
    ],
)
def test_what_leads_to_an_authority(shown: list[CertificateFacts], trusted: list[Authority], believed: bool) -> None:
    assert is_believed(shown, [one.facts for one in trusted]) is believed


def test_a_signature_of_another_kind_is_not_told_of() -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name("a"))
        .issuer_name(common_name("kubernetes"))
        .public_key(key().public_key())
        .serial_number(1)
        .not_valid_before(moment(NOW))
        .not_valid_after(moment(NOW + 60))
    )
    signed = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    shown = profile.from_der(signed.public_bytes(serialization.Encoding.DER), "a")
    assert is_believed([shown], [Odd(subject="kubernetes").facts()]) is None
    assert is_believed([shown], [OTHER.facts]) is False
