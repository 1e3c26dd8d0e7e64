# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities outside: what is asked, what is waited for, what is taken in, and each answer that is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import decide, issue, keys, outside, plan, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy, Reason
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import Leaf
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned, Waiting
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import CLIENT, SERVER, CertificateFacts
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    DAY,
    NOW,
    Odd,
    root,
    server_profile,
)

WHERE = "/requests/cp1/apiserver.crt"
MISSING = (Reason(decide.MISSING, "", "it"),)
KEY, OTHER = keys.generate("ECDSA-P256"), keys.generate("ECDSA-P256")
WANTED = replace(server_profile(), key_algorithm="ECDSA-P256")
HOUR = 3600.0


def outsider(name: str = "kubernetes", number: int = 0) -> Authority:
    return replace(root(name, number=number), key=None)


def item(
    reasons: tuple[Reason, ...] = MISSING,
    before: CertificateFacts | None = None,
    key: keys.PrivateKey | None = None,
    wanted: profile.Profile = WANTED,
) -> plan.LeafPlan:
    return plan.LeafPlan(Leaf("apiserver", "kubernetes", WANTED), wanted, reasons, 365 * DAY, before, key)


def waiting(key: keys.PrivateKey = KEY, wanted: profile.Profile = WANTED) -> Waiting:
    return Waiting(issue.signing_request(wanted, key), key)


def signed(
    wanted: profile.Profile = WANTED,
    key: keys.PrivateKey = KEY,
    signer: Authority | None = None,
    at: float = NOW,
    lifetime: float = 24 * HOUR,
) -> CertificateFacts:
    return issue.issue(wanted, keys.public_bytes(key), signer or root(), at, lifetime)


def back(facts: CertificateFacts) -> Returned:
    return Returned(issue.certificate_pem(facts), WHERE)


SIGNED = signed()
EARLIER = signed(key=OTHER, at=NOW - 300 * DAY, lifetime=365 * DAY)
MORE = replace(WANTED, names=WANTED.names | Names(frozenset({"more.example.org"})))


@pytest.mark.parametrize(
    ("leaf", "kept", "came", "what"),
    [
        pytest.param(item(), None, None, outside.ASK, id="missing"),
        pytest.param(item((), SIGNED), None, None, outside.KEEP, id="nothing to do"),
        pytest.param(item(), waiting(), None, outside.WAIT, id="asked before"),
        pytest.param(item(), waiting(), back(SIGNED), outside.TAKE, id="signed"),
        pytest.param(item((), EARLIER), waiting(), None, outside.WAIT, id="asked for once, without a reason now"),
        pytest.param(item((), EARLIER), waiting(), back(SIGNED), outside.TAKE, id="and signed"),
        pytest.param(item(wanted=MORE), waiting(), None, outside.ASK, id="more is wanted since"),
        pytest.param(item(wanted=MORE), waiting(), back(SIGNED), outside.ASK, id="more is wanted since it was signed"),
        pytest.param(item((), EARLIER, wanted=MORE), waiting(), None, outside.DROP, id="less is wanted since"),
        pytest.param(item(key=OTHER), waiting(), None, outside.ASK, id="another key lies there since"),
        pytest.param(item(key=KEY), waiting(), back(SIGNED), outside.TAKE, id="the key lies there"),
        pytest.param(item((), SIGNED), waiting(), back(SIGNED), outside.DROP, id="died after it was laid"),
        pytest.param(item((), SIGNED), None, back(SIGNED), outside.KEEP, id="the answer was left there"),
        pytest.param(item((), SIGNED), waiting(), None, outside.WAIT, id="its key is asked for again"),
        pytest.param(item((), SIGNED, KEY), waiting(), None, outside.WAIT, id="and is kept now"),
    ],
)
def test_steps(leaf: plan.LeafPlan, kept: Waiting | None, came: Returned | None, what: str) -> None:
    step = outside.decide_step(leaf, outsider(), kept, came, NOW, True)
    assert step.what == what
    if what == outside.TAKE:
        assert step.plan.reasons
        assert step.certificate is not None
        assert step.certificate.der == SIGNED.der


@pytest.mark.parametrize(
    ("kept", "came", "what"),
    [
        (None, None, outside.KEEP),
        (waiting(), None, outside.WAIT),
        (waiting(), back(SIGNED), outside.WAIT),
        (None, back(SIGNED), outside.KEEP),
    ],
)
def test_a_call_that_is_not_about_a_leaf_leaves_it(kept: Waiting | None, came: Returned | None, what: str) -> None:
    assert outside.decide_step(item(), outsider(), kept, came, NOW, False).what == what


def _twisted(**changes: Any) -> Callable[[], CertificateFacts]:
    return lambda: signed(replace(WANTED, **changes))


def _by_another_of_the_name() -> CertificateFacts:
    return signed(signer=root(number=7))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        pytest.param(lambda: signed(key=OTHER), "it is for another key", id="key"),
        pytest.param(_twisted(subject=profile.distinguished_name("x")), "the subject asked for is", id="subject"),
        pytest.param(_twisted(names=Names(frozenset({"x"}))), "it lacks the names server.example.org", id="names"),
        pytest.param(lambda: signed(MORE), "names beyond those asked for: more.example.org", id="more names"),
        pytest.param(
            _twisted(other_names=frozenset({"RFC822Name:a@example.org"})), "RFC822Name:a@example.org", id="a mailbox"
        ),
        pytest.param(_twisted(extended_usages=frozenset({CLIENT})), "it lacks the usages serverAuth", id="usages"),
        pytest.param(
            _twisted(extended_usages=frozenset({SERVER, "1.3.6.1.5.5.7.3.3"})),
            "usages beyond those asked for",
            id="more usages",
        ),
        pytest.param(_twisted(key_usages=frozenset({"keyEncipherment"})), "lacks digitalSignature", id="key usage"),
        pytest.param(
            _twisted(is_authority=True, key_usages=profile.AUTHORITY_USAGES),
            "it is one of an authority",
            id="authority",
        ),
        pytest.param(lambda: signed(at=NOW - 2 * DAY), "it ended on", id="ended"),
        pytest.param(lambda: signed(at=NOW + DAY), "it begins only on", id="not begun"),
        pytest.param(lambda: signed(signer=root("other", number=4)), "issued by 'CN=other'", id="another authority"),
        pytest.param(_by_another_of_the_name, "names another key identifier", id="another of the same name"),
    ],
)
def test_answers_that_are_refused(facts: Callable[[], CertificateFacts], sentence: str) -> None:
    with pytest.raises(HardeningError) as refusal:
        outside.decide_step(item(), outsider(), waiting(), back(facts()), NOW, True)
    assert sentence in str(refusal.value)
    assert WHERE in str(refusal.value)
    assert "not installed" in str(refusal.value)


def test_an_answer_that_an_authority_above_forbids_is_refused() -> None:
    only = x509.NameConstraints([x509.DNSName("example.net")], None), True
    narrow = Odd(extensions=[*AUTHORITY_EXTENSIONS, only]).facts()
    with pytest.raises(HardeningError, match="name constraints do not permit"):
        outside.decide_step(item(), replace(outsider(), above=(narrow,)), waiting(), back(SIGNED), NOW, True)


def test_an_answer_to_nothing_is_refused_where_one_is_needed() -> None:
    with pytest.raises(HardeningError, match="answers no request that waits on this host"):
        outside.decide_step(item(), outsider(), None, back(SIGNED), NOW, True)


def test_being_a_client_beside_a_server_is_taken_as_step_ca_has_it() -> None:
    both = signed(replace(WANTED, extended_usages=frozenset({SERVER, CLIENT})))
    assert outside.decide_step(item(), outsider(), waiting(), back(both), NOW, True).what == outside.TAKE
    # It is adopted with both, and the next run has nothing to do.
    adopted = decide.settled(decide.adopt(WANTED, both, Names(), Policy()), both, Policy())
    assert decide.reasons(both, adopted, root().facts, NOW, Policy()) == []


@pytest.mark.parametrize(
    ("lifetime", "left"),
    [
        (24 * HOUR, 16 * HOUR),
        (6 * HOUR, 4 * HOUR),
        (30 * DAY, 20 * DAY),
        (45 * DAY, 30 * DAY),
        (90 * DAY, 30 * DAY),
        (365 * DAY, 365 * DAY / 3),
    ],
)
def test_when_a_short_life_is_due(lifetime: float, left: float) -> None:
    """max(life/3, 30 days) before its end, never more than two thirds of its life."""
    facts = signed(lifetime=lifetime)
    due = decide.renewal_time(facts, root().facts, Policy())
    assert facts.not_after - due == pytest.approx(left)
    assert not decide.is_due(facts, root().facts, due - 1, Policy())
    assert decide.is_due(facts, root().facts, due, Policy())
