# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops a run before anything is written, each with the sentence that the user reads.

Each function returns when all is well and raises HardeningError when not. Names that no certificate can carry are
refused in `names`, damaged keys and wrong passphrases in `keys`, bundles joined without a newline in `pem`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Union

from cryptography import x509

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import BACKDATE, RequestFacts
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    ANY,
    CLIENT,
    SERVER,
    CertificateFacts,
    Profile,
    iso_time,
    leaf_key_usages,
)

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# No cluster is older than this collection, and no certificate of one is made after 2099.
EARLIEST_TIME = 1767225600.0  # 2026-01-01T00:00:00Z
LATEST_TIME = 4070908800.0  # 2099-01-01T00:00:00Z

# Critical extensions that Go's verifier handles; any other makes it refuse the chain.
_HANDLED_EXTENSIONS = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.NameConstraints,
    x509.CertificatePolicies,
)


def unmatched_pair(facts: CertificateFacts, key: keys.PrivateKey, certificate_file: str, key_file: str) -> None:
    """The key beside a certificate must be the one that the certificate names."""
    if keys.public_bytes(key) != facts.public_key:
        raise HardeningError(
            "KH304",
            f"The key in {key_file} does not belong to the certificate in {certificate_file} "
            f"('{facts.profile.subject}'). "
            "Both were left as they were; bring back the file that was replaced, or remove both to have a new pair "
            "made.",
        )


def lost_key(certificate_file: str, key_file: str) -> None:
    """A certificate without its key: whether a new pair may take its place is for the user to say."""
    raise HardeningError(
        "KH302",
        f"{certificate_file} is there but its key {key_file} is not. Nothing was changed, because a lost key cannot "
        "be made "
        "again; bring the key back, or remove the certificate to have a new pair made.",
    )


def unusable_authority(facts: CertificateFacts, now: float, where: str) -> None:
    """An authority that one of Go, OpenSSL and Python would not accept as one."""
    problem = _authority_problem(facts, now)
    if problem:
        raise HardeningError(
            "KH305",
            f"The authority '{facts.profile.subject}' in {where} cannot sign: {problem}. Nothing was changed; "
            "put a valid authority there.",
        )


def _authority_problem(facts: CertificateFacts, now: float) -> str:
    profile = facts.profile
    if facts.defects:
        return facts.defects[0]
    if not profile.is_authority:
        return "its certificate is not one of an authority (basic constraints do not say CA)"
    if profile.key_usages and "keyCertSign" not in profile.key_usages:
        return "its key usage does not include keyCertSign"
    if now >= facts.not_after:
        return f"it ended on {iso_time(facts.not_after)}"
    if now < facts.not_before:
        return f"it begins only on {iso_time(facts.not_before)}, or the clock of this host is behind"
    weak = keys.weakness(profile.key_algorithm or "")
    if weak:
        return weak
    if not facts.is_self_issued and facts.signature_hash in ("md5", "sha1"):
        return f"it is signed with {facts.signature_hash}, which Go refuses"
    return ""


def forbidden_by_authority(chain: Sequence[CertificateFacts], wanted: Profile, where: str) -> None:
    """Path length, name constraints, extended usages and critical extensions of an authority and of those above it.

    `chain` begins with the authority that signs and goes up. Go applies all of these to a root in a bundle as well.
    """
    for depth, facts in enumerate(chain):
        problem = _restriction(facts, depth + (1 if wanted.is_authority else 0), wanted)
        if problem:
            raise HardeningError(
                "KH305",
                f"The authority '{facts.profile.subject}' in {where} does not allow the certificate "
                f"'{wanted.subject}': "
                f"{problem}. Nothing was changed; use an authority without that restriction.",
            )


def _restriction(facts: CertificateFacts, authorities_below: int, wanted: Profile) -> str:
    profile = facts.profile
    if profile.path_length is not None and authorities_below > profile.path_length:
        return f"its path length is {profile.path_length}, but {authorities_below} authorities would be below it"
    if profile.extended_usages and ANY not in profile.extended_usages:
        missing = sorted((wanted.extended_usages & {SERVER, CLIENT}) - profile.extended_usages)
        if missing:
            return f"its extended key usage lacks {' and '.join(missing)}, which then no certificate below it may have"
    for extension in facts.certificate.extensions:
        if extension.critical and not isinstance(extension.value, _HANDLED_EXTENSIONS):
            return f"it has the critical extension {extension.oid.dotted_string}, which Go does not handle"
        if isinstance(extension.value, x509.NameConstraints):
            problem = _constraint_problem(extension.value, extension.critical, wanted.names)
            if problem:
                return problem
    return ""


def _constraint_problem(constraints: x509.NameConstraints, critical: bool, names: Names) -> str:
    permitted = list(constraints.permitted_subtrees or ())
    excluded = list(constraints.excluded_subtrees or ())
    if critical and any(isinstance(item, x509.DirectoryName) for item in permitted + excluded):
        return "its name constraints speak of directory names, which Go does not handle"
    for name in sorted(names.dns):
        if _outside(permitted, excluded, name, None):
            return f"its name constraints do not permit the name '{name}'"
    for address in sorted(names.addresses):
        if _outside(permitted, excluded, "", address):
            return f"its name constraints do not permit the address {address}"
    return ""


def _outside(
    permitted: list[x509.GeneralName], excluded: list[x509.GeneralName], name: str, address: str | None
) -> bool:
    """As Go judges it (crypto/x509/constraints.go): permitted subtrees bind only names of their own type; excluded ones
    always win, over a wildcard too that stands for one of their names."""
    permitted_of_type = [item for item in permitted if _is_of_type(item, address)]
    if permitted_of_type and not any(_covers(item, name, address) for item in permitted_of_type):
        return True
    excluded_of_type = [item for item in excluded if _is_of_type(item, address)]
    return any(_covers(item, name, address) or _is_one_of(item, name) for item in excluded_of_type)


def _is_of_type(item: x509.GeneralName, address: str | None) -> bool:
    return isinstance(item, x509.DNSName if address is None else x509.IPAddress)


def _covers(item: x509.GeneralName, name: str, address: str | None) -> bool:
    if address is None:
        suffix = item.value.lower()
        # With a dot before it, it means the names below and not the name itself.
        return not suffix or name == suffix or name.endswith(suffix if suffix.startswith(".") else f".{suffix}")
    network: Network = item.value
    # Never true for an address of the other family.
    return ipaddress.ip_address(address) in network


def _is_one_of(item: x509.GeneralName, name: str) -> bool:
    """Whether the name of a subtree is among those for which a wildcard stands."""
    return name.startswith("*.") and str(item.value).lower().partition(".")[2] == name[2:]


def shared_authority(front_proxy: Iterable[CertificateFacts], client: Iterable[CertificateFacts], where: str) -> None:
    """No key may be trusted both for front proxies and for clients: every client could then assert any user's name."""
    shared = {facts.public_key: facts for facts in front_proxy}
    for facts in client:
        if facts.public_key in shared:
            raise HardeningError(
                "KH306",
                f"The front-proxy authority '{shared[facts.public_key].profile.subject}' in {where} is also trusted "
                "for clients, "
                "so any client certificate could speak for any user. Nothing was changed; give the front proxy an "
                "authority "
                "of its own.",
            )


def clock(now: float, reference: float | None, where: str, tolerance: float = BACKDATE) -> None:
    """A host's clock: plausible at all, and within `tolerance` seconds of `reference` (the controller's) when given.

    The tolerance is the backdate: a host further behind would not accept what is issued now.
    """
    if not EARLIEST_TIME <= now <= LATEST_TIME:
        raise HardeningError(
            "KH307",
            f"The clock of {where} says {iso_time(now)}, which cannot be right; nothing was changed. Set the clock.",
        )
    if reference is not None and abs(now - reference) > tolerance:
        raise HardeningError(
            "KH307",
            f"The clock of {where} is {int(abs(now - reference))} seconds "
            f"{'ahead of' if now > reference else 'behind'} the "
            "controller's, so certificates would be refused or end too early; nothing was changed. Synchronise the "
            "clocks.",
        )


def wrong_answer(certificate: CertificateFacts, request: RequestFacts, where: str) -> None:
    """A certificate that came back from an outside authority must be the one that was asked for."""
    problem = _answer_problem(certificate, request)
    if problem:
        raise HardeningError(
            "KH308",
            f"The certificate '{certificate.profile.subject}' in {where} does not answer its request: {problem}. It "
            "was not "
            "installed; have the request signed again as it is.",
        )


def _answer_problem(certificate: CertificateFacts, request: RequestFacts) -> str:
    given, asked = certificate.profile, request.profile
    if certificate.public_key != request.public_key:
        return "it is for another key"
    if certificate.defects:
        return certificate.defects[0]
    if given.subject != asked.subject:
        return f"the subject asked for is '{asked.subject}'"
    if given.is_authority != asked.is_authority:
        return "it is one of an authority" if given.is_authority else "it is not one of an authority"
    if given.is_authority and given.key_usages and "keyCertSign" not in given.key_usages:
        return "its key usage does not include keyCertSign"
    if given.is_authority and given.path_length is not None and given.path_length < (asked.path_length or 0):
        return f"its path length is {given.path_length}"
    missing = asked.names - given.names
    if missing:
        return f"it lacks the names {missing}"
    if asked.extended_usages - given.extended_usages and (given.extended_usages or not asked.is_authority):
        return f"it lacks the usages {', '.join(sorted(asked.extended_usages - given.extended_usages))}"
    return "" if asked.is_authority else _surplus(given, asked)


def _surplus(given: Profile, asked: Profile) -> str:
    """What a leaf has that nobody asked for: a name is a right. Being a client beside a server, as step-ca has it by
    default, is none here."""
    surplus = given.names - asked.names
    others = given.other_names - asked.other_names
    if surplus or others:
        return (
            f"it has names beyond those asked for: {', '.join([*([str(surplus)] if surplus else []), *sorted(others)])}"
        )
    usages = given.extended_usages - asked.extended_usages - {SERVER, CLIENT}
    if usages:
        return f"it has usages beyond those asked for: {', '.join(sorted(usages))}"
    needed = leaf_key_usages(given.key_algorithm or "")
    if given.key_usages and not given.key_usages >= needed:
        return f"its key usage lacks {', '.join(sorted(needed - given.key_usages))}"
    return ""


def excessive_request(request: RequestFacts, wanted: Profile, where: str) -> None:
    """A request from a host is signed only when it asks for exactly what the table has for that host."""
    asked = request.profile
    differing = [
        what
        for what, one, other in (
            ("subject", asked.subject, wanted.subject),
            ("names", asked.names, wanted.names),
            ("extended key usages", asked.extended_usages, wanted.extended_usages),
            ("authority flag", asked.is_authority, wanted.is_authority),
            ("other names", asked.other_names, wanted.other_names),
        )
        if one != other
    ]
    weak = keys.weakness(asked.key_algorithm or "")
    if differing or weak:
        problem = f"its {' and '.join(differing)} are not those of the cluster's table" if differing else weak
        raise HardeningError(
            "KH308",
            f"The signing request '{asked.subject}' from {where} was not signed: {problem}. Make it anew there.",
        )
