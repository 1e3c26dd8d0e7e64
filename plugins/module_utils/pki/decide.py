# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a certificate stays or is issued anew. Content decides, and each reason has a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, names as name_rules
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import (
    BACKDATE,
    DAY,
    LEAF_LIFETIME,
    MINIMUM_LIFETIME,
    is_signed_by,
    writable,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    ANY,
    CertificateFacts,
    DistinguishedName,
    Profile,
    iso_time,
    leaf_key_usages,
)

# Names of reasons, in the order in which they are given.
MISSING = "missing"
UNREADABLE = "unreadable"
SUBJECT = "subject"
NAMES = "names"
USAGES = "usages"
AUTHORITY = "authority"
KEY = "key"
ALGORITHM = "algorithm"
LIFETIME = "lifetime"
ASKED = "asked"

LONGEST_QUIET_LIFETIME = 366 * DAY


@dataclass(frozen=True)
class Reason:
    """Why a certificate is issued: one of the names above, and what stood there and what will, to read."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}" if self.before else f"{self.name}: {self.after}"


@dataclass(frozen=True)
class Policy:
    """What the user decided. None and empty mean: not set, so an adopted certificate keeps what it has.

    `user_set` holds the names of reasons (SUBJECT, NAMES, USAGES) for which the table overrules an adopted certificate.
    """

    # Seconds.
    lifetime: float | None = None
    key_algorithm: str | None = None
    user_set: frozenset[str] = frozenset()
    # A renewal keeps the key instead of making a new one.
    keep_key: bool = False
    # Issue everything anew, due or not.
    renew_all: bool = False
    # Seconds of life left below which a certificate is due; None: a third of its life, at least 30 days.
    renew_before: float | None = None
    # Seconds for which kubeadm issues certificates in this cluster, as its ConfigMap says; None: it says nothing.
    usual: float | None = None


def life(actual: CertificateFacts, authority: CertificateFacts, policy: Policy) -> float:
    """Seconds for which a leaf was issued, the backdate not counted.

    kubeadm dates the first certificates of a host back to the beginning of their authority, which may lie years ago
    when a host joins. When both begin at once, the true day is unknown and the life is at most what one is issued for
    today: what the user set, or kubeadm's ConfigMap, or a year. So it is when the leaf begins before its authority,
    which was then issued anew with the same key.
    """
    total = float(actual.not_after - actual.not_before - BACKDATE)
    if actual.not_before <= authority.not_before:
        return min(total, policy.lifetime or policy.usual or LEAF_LIFETIME)
    return total


def renewal_time(actual: CertificateFacts, authority: CertificateFacts, policy: Policy) -> float:
    """From when on a leaf is due, in seconds since 1970: max(life/3, 30 days) before its end, at most 2/3 of its
    life."""
    whole = life(actual, authority, policy)
    before = max(whole / 3, 30 * DAY) if policy.renew_before is None else policy.renew_before
    return actual.not_after - min(before, whole * 2 / 3)


def is_due(actual: CertificateFacts, authority: CertificateFacts, now: float, policy: Policy) -> bool:
    """A leaf that ends with its authority is not: a new one would end at the same time. The authority is the
    finding."""
    if actual.not_after >= authority.not_after:
        return False
    return now >= renewal_time(actual, authority, policy)


def adopt(wanted: Profile, actual: CertificateFacts, asked_names: Names, policy: Policy) -> Profile:
    """What an adopted leaf should be: what it is, where that serves, and what the user asked for.

    Not kept: being an authority, extended usages that lack what the leaf is for, names in a form that a verifier
    refuses, and names of kinds that are not written here.
    """
    kept = actual.profile
    result = wanted
    if SUBJECT not in policy.user_set and kept.subject.common_name:
        result = replace(result, subject=kept.subject)
    if NAMES not in policy.user_set:
        result = replace(result, names=_kept_names(kept.names) | asked_names, other_names=writable(kept.other_names))
    if USAGES not in policy.user_set:
        result = replace(result, extended_usages=_kept_usages(kept.extended_usages, wanted.extended_usages))
    return result


def follow(wanted: Profile, actual: CertificateFacts, policy: Policy) -> Profile:
    """What a leaf that was issued here should be: what the table has, and the names that it has beside.

    Where the load balancer's name comes from may be gone or point elsewhere, while nodes still dial that name: nothing
    but a person can tell that no client needs one any more.
    """
    if NAMES in policy.user_set:
        return wanted
    return replace(wanted, names=wanted.names | _kept_names(actual.profile.names))


def judged(wanted: Profile, actual: CertificateFacts | None, kept: frozenset[frozenset[str]]) -> Profile:
    """What a leaf is judged by: `wanted`, with the groups that it has where they are among `kept`.

    They are those of the table of another version. An upgrade alone is no reason to issue it anew; the next renewal
    takes the groups of the version of then.
    """
    if actual is None or actual.profile.subject.common_name != wanted.subject.common_name:
        return wanted
    have = actual.profile.subject
    return replace(wanted, subject=have) if frozenset(have.organizations) in kept else wanted


def _kept_names(names: Names) -> Names:
    """Names as a certificate has them, mapped addresses as IPv4 and trailing dots off: those must change."""
    addresses = {str(name_rules.address_or_none(address) or address) for address in names.addresses}
    return Names(frozenset(name.rstrip(".") for name in names.dns) - {""}, frozenset(addresses))


def _kept_usages(actual: frozenset[str], wanted: frozenset[str]) -> frozenset[str]:
    return actual if actual >= wanted and ANY not in actual else wanted


def settled(wanted: Profile, actual: CertificateFacts | None, policy: Policy) -> Profile:
    """`wanted` for a leaf with nothing left open.

    The algorithm is the one that the user set, else the certificate's own, else the default. Key usages beyond the
    needed ones stay: `kubeadm certs renew` writes keyEncipherment for elliptic curves too, and a leaf without the
    extension may be used for everything.
    """
    algorithm = policy.key_algorithm or keys.DEFAULT_ALGORITHM
    have: frozenset[str] = frozenset()
    if actual is not None:
        own = actual.profile.key_algorithm or ""
        algorithm = algorithm if policy.key_algorithm or keys.weakness(own) else own
        have = actual.profile.key_usages
    needed = leaf_key_usages(algorithm)
    serves = actual is not None and (not have or (have >= needed and not have & {"keyCertSign", "cRLSign"}))
    return replace(wanted, key_algorithm=algorithm, key_usages=have if serves else needed)


def for_key(wanted: Profile, key: keys.PrivateKey) -> Profile:
    """`wanted` with the algorithm of a key that is there, unless that is weak."""
    algorithm = keys.algorithm_name(key)
    if keys.weakness(algorithm):
        return wanted
    return replace(wanted, key_algorithm=algorithm, key_usages=leaf_key_usages(algorithm))


def reasons(
    actual: CertificateFacts | None,
    wanted: Profile,
    authority: CertificateFacts,
    now: float,
    policy: Policy,
    public_key: bytes | None = None,
) -> list[Reason]:
    """Every reason to issue the leaf anew, in order; empty when it stays.

    `wanted` is settled. `public_key` is the key that the certificate must be for, when that is given.
    """
    if actual is None:
        return [Reason(MISSING, "", f"{wanted.subject}")]
    have = actual.profile
    found = [Reason(UNREADABLE, defect, "a certificate that Go can read") for defect in actual.defects]
    found += _content_reasons(have, wanted)
    found += authority_reasons(actual, authority)
    if public_key is not None and public_key != actual.public_key:
        found.append(Reason(KEY, "for another key", "for the key that is there"))
    found += _algorithm_reasons(have, wanted)
    found += _time_reasons(actual, authority, now, policy)
    if policy.renew_all:
        found.append(Reason(ASKED, "", "renewal of all certificates was asked for"))
    return found


def _content_reasons(have: Profile, wanted: Profile) -> list[Reason]:
    found = []
    if have.subject != wanted.subject:
        found.append(Reason(SUBJECT, str(have.subject), str(wanted.subject)))
    # A name that could not be written again is no reason: the certificate serves, and without it may not.
    if (have.names, writable(have.other_names)) != (wanted.names, wanted.other_names):
        before, after = _name_difference(have, wanted)
        found.append(Reason(NAMES, before, after))
    if _usages(have) != _usages(wanted):
        found.append(Reason(USAGES, _usage_text(have), _usage_text(wanted)))
    return found


def _usages(profile: Profile) -> tuple[frozenset[str], frozenset[str], bool, int | None]:
    return profile.extended_usages, profile.key_usages, profile.is_authority, profile.path_length


def _usage_text(profile: Profile) -> str:
    parts = (
        sorted(profile.extended_usages) + sorted(profile.key_usages) + (["authority"] if profile.is_authority else [])
    )
    if profile.path_length is not None:
        parts.append(f"path length {profile.path_length}")
    return ", ".join(parts) or "none"


def _name_difference(have: Profile, wanted: Profile) -> tuple[str, str]:
    removed, added = have.names - wanted.names, wanted.names - have.names
    others = ", ".join(sorted(have.other_names - wanted.other_names))
    before = f"without {added}" if added else "all wanted names"
    surplus = ", ".join(part for part in (str(removed) if removed else "", others) if part)
    return (f"{before}, with {surplus}" if surplus else before), str(wanted.names)


def authority_reasons(actual: CertificateFacts, authority: CertificateFacts) -> list[Reason]:
    """Why a certificate is not one that the authority issued; empty when it is."""
    subject: DistinguishedName = authority.profile.subject
    if actual.profile.issuer != subject.raw:
        encoded = " in another encoding, which Go refuses" if actual.issuer == subject else ""
        return [Reason(AUTHORITY, f"issued by '{actual.issuer}'{encoded}", f"'{subject}'")]
    key_id = actual.profile.authority_key_id
    if key_id is not None and authority.subject_key_id is not None and key_id != authority.subject_key_id:
        return [Reason(AUTHORITY, "names another key identifier than its authority's", f"'{subject}'")]
    if not is_signed_by(actual, authority):
        return [Reason(AUTHORITY, f"signed by another key of the name '{subject}'", f"'{subject}'")]
    if actual.signature_hash in ("md5", "sha1"):
        return [Reason(AUTHORITY, f"signed with {actual.signature_hash}, which Go refuses", f"'{subject}'")]
    return []


def _algorithm_reasons(have: Profile, wanted: Profile) -> list[Reason]:
    weak = keys.weakness(have.key_algorithm or "")
    if weak:
        return [Reason(KEY, weak, str(wanted.key_algorithm))]
    if wanted.key_algorithm is not None and have.key_algorithm != wanted.key_algorithm:
        return [Reason(ALGORITHM, str(have.key_algorithm), wanted.key_algorithm)]
    return []


def _time_reasons(actual: CertificateFacts, authority: CertificateFacts, now: float, policy: Policy) -> list[Reason]:
    if now < actual.not_before:
        return [Reason(LIFETIME, f"begins only on {iso_time(actual.not_before)}", "valid now")]
    if is_due(actual, authority, now, policy):
        days = (actual.not_after - now) / DAY
        left = f"{days:.0f} days left" if days >= 0 else f"ended {-days:.0f} days ago"
        return [Reason(LIFETIME, left, f"due since {iso_time(renewal_time(actual, authority, policy))}")]
    return []


def new_lifetime(actual: CertificateFacts | None, authority: CertificateFacts, policy: Policy, is_own: bool) -> float:
    """Seconds for which the next certificate is issued: the user's, else a year, or as long as an adopted one was.

    A year is less where kubeadm issues for less in this cluster.

    One that its authority cut short says nothing, nor when that authority has been issued anew since, with a later end:
    else each certificate after it would live as short.
    """
    if policy.lifetime is not None:
        return policy.lifetime
    year = min(LEAF_LIFETIME, policy.usual or LEAF_LIFETIME)
    if actual is None or is_own:
        return year
    if actual.not_after >= authority.not_after or actual.not_before < authority.not_before:
        return year
    return max(life(actual, authority, policy), MINIMUM_LIFETIME)


def authority_findings(authority: CertificateFacts, now: float, policy: Policy) -> list[str]:
    """What a person should know of an authority that still works; sentences for warnings."""
    left = authority.not_after - now
    lifetime = policy.lifetime or LEAF_LIFETIME
    found = []
    if left < lifetime:
        found.append(
            f"The authority '{authority.profile.subject}' ends on {iso_time(authority.not_after)}, in "
            f"{left / DAY:.0f} days; "
            "the certificates below it end with it. Plan its rotation, which Kubeharden does not do, well before."
        )
    if authority.subject_key_id is None or not authority.profile.key_usages:
        missing = "subject key identifier" if authority.subject_key_id is None else "key usage"
        found.append(
            f"The authority '{authority.profile.subject}' has no {missing}: Python clients from 3.13 on refuse it, "
            "Kubernetes does not."
        )
    if authority.profile.path_length == 0 and authority.is_self_issued:
        found.append(
            f"The authority '{authority.profile.subject}' has path length 0, so it can never cross-sign its successor."
        )
    return found


def exposure(actual: CertificateFacts, authority: CertificateFacts, now: float, policy: Policy) -> float:
    """Seconds for which a key that is stolen is of use: the life, and more where that is not what the dates say."""
    return max(life(actual, authority, policy), actual.not_after - now)


def lifetime_warning(lifetime: float) -> str:
    """A sentence for a leaf's lifetime of more than a year, else empty."""
    if lifetime <= LONGEST_QUIET_LIFETIME:
        return ""
    return (
        f"Certificates are issued for {lifetime / DAY:.0f} days; a stolen key stays usable as long, because Kubernetes "
        "knows no revocation. A year or less is advised."
    )


def found_warning(lives: Mapping[str, float], told: float) -> str:
    """A sentence for leaves that stay and live for more than a year, and longer than is told of new ones already."""
    # The dates are of whole seconds, and of one day more or less nobody need hear twice.
    long = {name: seconds for name, seconds in lives.items() if seconds > max(LONGEST_QUIET_LIFETIME, told + DAY)}
    if not long:
        return ""
    return (
        f"{', '.join(sorted(long))}: found with a life of up to {max(long.values()) / DAY:.0f} days, in which a stolen "
        "key stays usable. They stay as they are; with kubeharden_pki_lifetime_days the next ones live as long as that "
        "says, and kubeharden_pki_renew: all makes these at once. A year or less is advised."
    )
