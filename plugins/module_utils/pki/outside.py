# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities whose keys are on no host: what waits for them, and what comes back from them.

A request is kept with its key on the host until its certificate comes, which may be days later.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import decide, issue, keys, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.plan import LeafPlan
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CertificateFacts

#: What becomes of a leaf whose authority is outside.
KEEP = "keep"  # it stays, and nothing waits
ASK = "ask"  # a new key and request are made
WAIT = "wait"  # its request waits to be signed
TAKE = "take"  # its certificate came
DROP = "drop"  # it stays, and what waits is of no use any more


@dataclass(frozen=True)
class Waiting:
    """A request and its key, as they wait on the host."""

    request: bytes
    key: keys.PrivateKey = field(repr=False)


@dataclass(frozen=True)
class Returned:
    """A file that came back, and where it is on the controller."""

    data: bytes
    where: str


@dataclass(frozen=True)
class Step:
    """What is done about one leaf; `plan` is the leaf's, with the reasons and the key that hold then."""

    what: str
    plan: LeafPlan
    waiting: Waiting | None = None
    # With TAKE: what came.
    certificate: CertificateFacts | None = None


def decide_step(
    item: LeafPlan,
    authority: Authority,
    waiting: Waiting | None,
    returned: Returned | None,
    now: float,
    is_selected: bool,
) -> Step:
    """What to do about a leaf. HardeningError when what came back does not answer the request that waits.

    `is_selected` says whether the call may change this leaf at all.
    """
    if returned is not None and item.before is not None and _is_installed(item.before, returned):
        return Step(DROP if waiting is not None else KEEP, item)
    if waiting is None:
        if returned is not None and item.reasons and is_selected:
            raise HardeningError(
                "KH308",
                f"The certificate in {returned.where} answers no request that waits on this host. It was not "
                "installed; remove it, and have the request that is made next signed.",
            )
        return Step(ASK if item.reasons and is_selected else KEEP, item)
    if not is_selected:
        return Step(WAIT, item, waiting)
    if not _still_asks(waiting, item):
        return Step(ASK if item.reasons else DROP, item, waiting)
    if returned is None:
        return Step(WAIT, item, waiting)
    facts = accepted(returned, waiting, authority, now)
    reasons = item.reasons or (Reason(decide.ASKED, "", "its request was signed"),)
    # A key that is there already is not written again.
    is_there = item.before is not None and item.before.public_key == facts.public_key
    return Step(TAKE, replace(item, reasons=reasons, key=waiting.key if is_there else item.key), waiting, facts)


def _is_installed(actual: CertificateFacts, returned: Returned) -> bool:
    """Whether a run took this certificate in already, and died before it said so."""
    return profile.from_pem(returned.data, returned.where).der == actual.der


def _still_asks(waiting: Waiting, item: LeafPlan) -> bool:
    """Whether a request asks for what is wanted now, by the key that is wanted now."""
    if item.key is not None and keys.public_bytes(item.key) != keys.public_bytes(waiting.key):
        return False
    wanted = issue.read_request(issue.signing_request(item.profile, waiting.key), "what is wanted")
    asked = issue.read_request(waiting.request, "the request that waits")
    return wanted.profile == asked.profile and keys.algorithm_name(waiting.key) == item.profile.key_algorithm


def accepted(returned: Returned, waiting: Waiting, authority: Authority, now: float) -> CertificateFacts:
    """The certificate that came back. HardeningError when it is not the one that was asked for, or could not serve."""
    facts = profile.from_pem(returned.data, returned.where)
    refuse.wrong_answer(facts, issue.read_request(waiting.request, "the request that waits"), returned.where)
    problem = _unfit(facts, authority.facts, now)
    if problem:
        raise HardeningError(
            "KH308",
            f"The certificate '{facts.profile.subject}' in {returned.where} cannot serve: {problem}. It was not "
            "installed; have the request signed again, by the right authority.",
        )
    refuse.forbidden_by_authority([authority.facts, *authority.above], facts.profile, returned.where)
    return facts


def _unfit(facts: CertificateFacts, authority: CertificateFacts, now: float) -> str:
    for reason in decide.authority_reasons(facts, authority):
        return f"{reason.before}, while the cluster's authority is {reason.after}"
    if now >= facts.not_after:
        return f"it ended on {profile.iso_time(facts.not_after)}"
    if now < facts.not_before:
        return f"it begins only on {profile.iso_time(facts.not_before)}, or the clock of this host is behind"
    return ""
