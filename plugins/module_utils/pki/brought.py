# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that the user brings: judged as a whole before anything of them is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority as authority_files,
    bundle,
    decide,
    keys,
    refuse,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, Profile


def read(data: bytes, where: str, now: float) -> Authority:
    """The authority in a file, without its key: its own certificate comes first, then those above it, in any order.

    HardeningError for one that could not sign, for one above it that is unfit or forbids it, and for a certificate that
    is not above it.
    """
    own, *others = bundle.parse(data, where)
    refuse.unusable_authority(own, now, where)
    above = authority_files.above_in(own, others)
    for facts in others:
        if facts not in above and facts != own:
            raise HardeningError(
                "KH303",
                f"The certificate '{facts.profile.subject}' in {where} is not above the authority "
                f"'{own.profile.subject}', which stands first there. Nothing was changed; leave it out, or put the "
                "certificates in order.",
            )
    for facts in above:
        refuse.unusable_authority(facts, now, where)
    refuse.forbidden_by_authority(above, own.profile, where)
    return Authority(own, None, tuple(above))


def read_all(texts: Mapping[str, str], now: float) -> dict[str, Authority]:
    """Authorities by name, from what the controller read and judged."""
    return {name: read(text.encode("ascii"), f"what is brought as '{name}'", now) for name, text in texts.items()}


def with_key(brought: Authority, data: bytes, where: str, certificate_file: str, passphrase: bytes | None) -> Authority:
    """The same authority with its key. HardeningError for a damaged key, a wrong passphrase, another's key."""
    key = keys.load_private(data, where, passphrase)
    refuse.unmatched_pair(brought.facts, key, certificate_file, where)
    return replace(brought, key=key)


def another(name: str, brought: Authority, present: Iterable[CertificateFacts], where: str) -> None:
    """What is there must be the authority that is brought: one is never replaced by bringing another."""
    if all(facts.public_key != brought.facts.public_key for facts in present):
        raise HardeningError(
            "KH305",
            f"The authority '{name}' in {where} is another than '{brought.facts.profile.subject}', which the "
            "controller brings. Nothing was changed, because an authority is never replaced; take it out of "
            "kubeharden_pki_authorities or kubeharden_pki_authorities_dir, or rotate the authority.",
        )


def unfit_for(brought: Authority, leaves: Iterable[tuple[Profile, CertificateFacts | None]], where: str) -> None:
    """Every leaf below it is one that it allows, and those that are there were issued by it."""
    for wanted, actual in leaves:
        refuse.forbidden_by_authority([brought.facts, *brought.above], wanted, where)
        # One that a component made itself, as a kubelet's first one, was never any authority's.
        if actual is not None and not actual.is_self_made and decide.authority_reasons(actual, brought.facts):
            raise HardeningError(
                "KH305",
                f"The certificate '{actual.profile.subject}' on this host was not issued by "
                f"'{brought.facts.profile.subject}', which the controller brings. Nothing was changed; "
                "bring the authority that issued it, or remove what is below another to begin anew.",
            )
