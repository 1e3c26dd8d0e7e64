# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a difference shows of certificates, keys and kubeconfigs: public facts, never a byte of a key.

What is new is told without its serial number, its dates and its fingerprint, which nobody knows before it is issued:
check mode says exactly what the run says.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import DAY
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts, Profile, iso_time


def before(facts: CertificateFacts | None) -> str | None:
    """A certificate that is there; None without one."""
    if facts is None:
        return None
    return _content(facts.profile, str(facts.issuer)) + (
        f"valid: from {iso_time(facts.not_before)} until {iso_time(facts.not_after)}\n"
        f"fingerprint: {facts.fingerprint}\n"
    )


def after(profile: Profile, issuer: str, lifetime: float, reasons: Sequence[Reason]) -> str:
    """A certificate that is going to be issued, and why."""
    told = "".join(f"why: {reason}\n" for reason in reasons)
    return f"{_content(profile, issuer)}valid: {lifetime / DAY:g} days\nfingerprint: new\n{told}"


def taken(facts: CertificateFacts, reasons: Sequence[Reason]) -> str:
    """A certificate that came from outside, and why it is laid."""
    return f"{before(facts)}" + "".join(f"why: {reason}\n" for reason in reasons)


def request(profile: Profile, issuer: str, reasons: Sequence[Reason]) -> str:
    """A request that an authority outside is asked to sign, and why."""
    told = "".join(f"why: {reason}\n" for reason in reasons)
    return f"{_content(profile, issuer)}request: new, to be signed outside\n{told}"


def _content(profile: Profile, issuer: str) -> str:
    usages = sorted(profile.extended_usages) or (["certificate authority"] if profile.is_authority else ["any"])
    return (
        f"subject: {profile.subject}\n"
        f"issuer: {issuer}\n"
        f"names: {profile.names}\n"
        f"usages: {', '.join(usages)}\n"
        f"key: {profile.key_algorithm}\n"
    )


def chain(certificates: Sequence[CertificateFacts]) -> str:
    """A file with certificates, each below the next."""
    return "".join(f"subject: {facts.profile.subject}\nfingerprint: {facts.fingerprint}\n" for facts in certificates)


def key(algorithm: str, origin: str) -> str:
    """A private key, of which nothing is shown but its kind and where it comes from."""
    return f"private key: {algorithm}, {origin}\n"


def kubeconfig(server: str, user: str, reasons: Sequence[str]) -> str:
    """A kubeconfig, with the reasons for which it is written."""
    return f"server: {server}\nuser: {user}\n" + "".join(f"why: {reason}\n" for reason in reasons)
