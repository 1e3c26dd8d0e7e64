# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ansible_collections.kubeharden.core.plugins.module_utils.pki import decide, issue, keys, profile, refuse
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, Names, names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    CLIENT,
    SERVER,
    CertificateFacts,
    Profile,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    DAY,
    NOW,
    Odd,
    alternative,
    client_profile,
    common_name,
    key,
    leaf,
    root,
    server_profile,
    usage,
)

PLAIN = Policy()
OWN_SERVER = server_profile()


def named(actual: CertificateFacts | None, wanted: Profile, **options: Any) -> list[str]:
    """The names of the reasons for a leaf of our own."""
    policy = options.pop("policy", PLAIN)
    authority = options.pop("authority", root().facts)
    settled = decide.settled(wanted, actual, policy)
    found = decide.reasons(actual, settled, authority, options.pop("now", NOW), policy, **options)
    assert all(str(reason) for reason in found)
    return [reason.name for reason in found]


def test_what_was_just_issued_stays() -> None:
    for wanted in (OWN_SERVER, client_profile()):
        assert named(leaf(wanted), wanted) == []


def printable(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _type=x509.name._ASN1Type.PrintableString)])


@pytest.mark.parametrize(
    ("actual", "wanted", "expected"),
    [
        pytest.param(None, OWN_SERVER, ["missing"], id="nothing there"),
        pytest.param(leaf(OWN_SERVER), replace(OWN_SERVER, names=names(["a", "b"])), ["names"], id="other names"),
        pytest.param(
            leaf(OWN_SERVER), replace(OWN_SERVER, names=OWN_SERVER.names | names(["b"])), ["names"], id="a name added"
        ),
        pytest.param(
            leaf(replace(OWN_SERVER, names=OWN_SERVER.names | names(["192.0.2.1"]))),
            OWN_SERVER,
            ["names"],
            id="an address too many",
        ),
        pytest.param(
            leaf(replace(OWN_SERVER, other_names=frozenset({"RFC822Name:a@b.example"}))),
            OWN_SERVER,
            ["names"],
            id="a mail address",
        ),
        pytest.param(
            leaf(OWN_SERVER), replace(OWN_SERVER, subject=profile.distinguished_name("x")), ["subject"], id="subject"
        ),
        pytest.param(
            leaf(client_profile()),
            replace(client_profile(), subject=profile.distinguished_name("client", ["group", "more"])),
            ["subject"],
            id="a group added",
        ),
        pytest.param(
            leaf(OWN_SERVER),
            replace(OWN_SERVER, extended_usages=frozenset({SERVER, CLIENT})),
            ["usages"],
            id="usage added",
        ),
        pytest.param(
            leaf(replace(OWN_SERVER, extended_usages=frozenset())), OWN_SERVER, ["usages"], id="no extended usage"
        ),
        pytest.param(leaf(replace(OWN_SERVER, is_authority=True)), OWN_SERVER, ["usages"], id="an authority"),
        pytest.param(leaf(OWN_SERVER, root("other")), OWN_SERVER, ["authority"], id="another authority"),
        pytest.param(
            leaf(OWN_SERVER, root(number=7)), OWN_SERVER, ["authority"], id="an authority of the same name, another key"
        ),
        pytest.param(leaf(OWN_SERVER, age=300 * DAY), OWN_SERVER, ["lifetime"], id="due"),
        pytest.param(leaf(OWN_SERVER, age=366 * DAY), OWN_SERVER, ["lifetime"], id="expired"),
        pytest.param(leaf(OWN_SERVER, age=-DAY), OWN_SERVER, ["lifetime"], id="not begun"),
        pytest.param(
            leaf(OWN_SERVER, root("other"), age=300 * DAY),
            replace(OWN_SERVER, names=names(["a"]), subject=profile.distinguished_name("x")),
            ["subject", "names", "authority", "lifetime"],
            id="several at once",
        ),
    ],
)
def test_reasons(actual: CertificateFacts | None, wanted: Profile, expected: list[str]) -> None:
    assert named(actual, wanted) == expected


def test_reasons_are_sentences_to_read() -> None:
    wanted = replace(OWN_SERVER, names=names(["a.example.org"]))
    actual = leaf(OWN_SERVER, age=300 * DAY)
    found = decide.reasons(actual, decide.settled(wanted, actual, PLAIN), root().facts, NOW, PLAIN)
    assert [str(reason) for reason in found] == [
        "names: without a.example.org, with server.example.org -> a.example.org",
        "lifetime: 65 days left -> due since 2026-11-19T16:00:00Z",
    ]
    assert str(decide.reasons(None, OWN_SERVER, root().facts, NOW, PLAIN)[0]) == "missing: CN=server"


def test_the_key_must_be_the_one_that_is_given() -> None:
    assert named(leaf(OWN_SERVER), OWN_SERVER, public_key=keys.public_bytes(key())) == []
    assert named(leaf(OWN_SERVER), OWN_SERVER, public_key=keys.public_bytes(key(number=1))) == ["key"]


@pytest.mark.parametrize("algorithm", ["RSA-1024", "Ed25519", "ECDSA-secp256k1"])
def test_a_weak_key_is_replaced(algorithm: str) -> None:
    actual = leaf(OWN_SERVER)
    actual = replace(actual, profile=replace(actual.profile, key_algorithm=algorithm))
    settled = decide.settled(OWN_SERVER, actual, PLAIN)
    assert settled.key_algorithm == "ECDSA-P256"
    assert [reason.name for reason in decide.reasons(actual, settled, root().facts, NOW, PLAIN)] == ["key"]


@pytest.mark.parametrize(
    ("algorithm", "policy", "expected"),
    [
        ("RSA-2048", PLAIN, []),
        ("ECDSA-P384", PLAIN, []),
        ("RSA-2048", Policy(key_algorithm="RSA-2048"), []),
        ("RSA-2048", Policy(key_algorithm="ECDSA-P256"), ["algorithm"]),
        ("ECDSA-P256", Policy(key_algorithm="RSA-2048"), ["usages", "algorithm"]),
    ],
)
def test_the_algorithm_stays_unless_the_user_set_one(algorithm: str, policy: Policy, expected: list[str]) -> None:
    actual = leaf(OWN_SERVER, algorithm=algorithm)
    assert named(actual, OWN_SERVER, policy=policy) == expected


def test_a_digest_that_go_refuses() -> None:
    assert named(replace(leaf(OWN_SERVER), signature_hash="sha1"), OWN_SERVER) == ["authority"]


def test_an_issuer_in_another_encoding_is_another_issuer() -> None:
    signer = Authority(Odd(subject=printable("kubernetes"), extensions=AUTHORITY_EXTENSIONS).facts(), key())
    actual = leaf(OWN_SERVER, signer)
    rebuilt = Odd(subject="kubernetes", extensions=AUTHORITY_EXTENSIONS).facts()
    assert named(actual, OWN_SERVER, authority=signer.facts) == []
    (reason,) = decide.reasons(actual, decide.settled(OWN_SERVER, actual, PLAIN), rebuilt, NOW, PLAIN)
    assert (
        str(reason) == "authority: issued by 'CN=kubernetes' in another encoding, which Go refuses -> 'CN=kubernetes'"
    )


def test_a_key_identifier_that_openssl_refuses() -> None:
    key_id = (x509.SubjectKeyIdentifier(b"another id, 20 bytes"), False)
    renewed = Odd(subject="ca", extensions=[*AUTHORITY_EXTENSIONS, key_id]).facts()
    actual = leaf(OWN_SERVER, Authority(Odd(subject="ca", extensions=AUTHORITY_EXTENSIONS).facts(), key()))
    assert named(actual, OWN_SERVER, authority=renewed) == ["authority"]


def test_a_signature_of_another_key() -> None:
    # Same name, and no key identifier that would give it away.
    actual = leaf(OWN_SERVER, Authority(Odd(subject="ca", extensions=AUTHORITY_EXTENSIONS).facts(), key()))
    impostor = Odd(subject="ca", extensions=AUTHORITY_EXTENSIONS, algorithm="RSA-2048").facts()
    (reason,) = decide.reasons(actual, decide.settled(OWN_SERVER, actual, PLAIN), impostor, NOW, PLAIN)
    assert str(reason) == "authority: signed by another key of the name 'CN=ca' -> 'CN=ca'"


def test_a_certificate_that_go_cannot_read() -> None:
    signer = root()
    extensions = [alternative("::ffff:192.0.2.1"), usage("digitalSignature")]
    subject = signer.facts.profile.subject.parsed
    actual = Odd(subject="server", issuer=subject, extensions=extensions, signer=signer.key).facts()
    wanted = replace(OWN_SERVER, names=names(["::ffff:192.0.2.1"]), extended_usages=frozenset())
    assert named(actual, wanted) == ["unreadable", "names"]
    # And an adopted one does not keep such a name.
    kept = decide.adopt(OWN_SERVER, actual, NO_NAMES, PLAIN)
    assert kept.names == names(["192.0.2.1"])


def test_key_usages_of_kubeadms_renewal_are_no_reason() -> None:
    actual = leaf(OWN_SERVER)
    both = frozenset({"digitalSignature", "keyEncipherment"})
    assert named(replace(actual, profile=replace(actual.profile, key_usages=both)), OWN_SERVER) == []
    assert named(replace(actual, profile=replace(actual.profile, key_usages=frozenset())), OWN_SERVER) == []
    signs = replace(actual.profile, key_usages=both | {"keyCertSign"})
    assert named(replace(actual, profile=signs), OWN_SERVER) == ["usages"]
    lacks = replace(actual.profile, key_usages=frozenset({"keyEncipherment"}))
    assert named(replace(actual, profile=lacks), OWN_SERVER) == ["usages"]


def test_renewal_of_all() -> None:
    assert named(leaf(OWN_SERVER), OWN_SERVER, policy=Policy(renew_all=True)) == ["asked"]


@pytest.mark.parametrize(
    ("lifetime", "policy", "days_before_end"),
    [
        (365, PLAIN, 365 / 3),
        (90, PLAIN, 30),
        (60, PLAIN, 30),
        (45, PLAIN, 30),
        (44, PLAIN, 44 * 2 / 3),
        (30, PLAIN, 20),
        (1, PLAIN, 2 / 3),
        (3000, PLAIN, 1000),
        (365, Policy(renew_before=10 * DAY), 10),
        (365, Policy(renew_before=400 * DAY), 365 * 2 / 3),
    ],
)
def test_when_a_leaf_is_due(lifetime: float, policy: Policy, days_before_end: float) -> None:
    actual = leaf(OWN_SERVER, lifetime=lifetime * DAY)
    due = decide.renewal_time(actual, root().facts, policy)
    assert due == pytest.approx(NOW + (lifetime - days_before_end) * DAY)
    assert not decide.is_due(actual, root().facts, due - 1, policy)
    assert decide.is_due(actual, root().facts, due, policy)
    assert named(actual, OWN_SERVER, now=due, policy=policy) == ["lifetime"]


def test_a_leaf_that_ends_with_its_authority_is_not_due_and_the_authority_is_the_finding() -> None:
    authority = root().facts
    actual = leaf(OWN_SERVER, lifetime=100 * 365 * DAY)
    late = authority.not_after - 20 * DAY
    assert named(actual, OWN_SERVER, now=late) == []
    (finding,) = decide.authority_findings(authority, late, PLAIN)
    assert "ends on" in finding
    assert "in 20 days" in finding
    assert "Plan its rotation" in finding


def test_the_date_of_kubeadms_first_certificates_says_nothing_about_their_life() -> None:
    # A control plane that joins a cluster of six years: the kubeconfigs begin when the authority began.
    authority = root().facts
    actual = replace(leaf(OWN_SERVER), not_before=authority.not_before)
    in_five_years = NOW + 5 * 365 * DAY
    young = replace(actual, not_after=int(in_five_years + 365 * DAY))
    assert decide.life(young, authority, PLAIN) == issue.LEAF_LIFETIME
    assert not decide.is_due(young, authority, in_five_years, PLAIN)
    assert decide.is_due(young, authority, in_five_years + 250 * DAY, PLAIN)
    assert decide.life(young, authority, Policy(lifetime=90 * DAY)) == 90 * DAY
    # kubeadm's ConfigMap says for how long it issues them, and so does the next one live.
    for days, whole in ((90, 90), (730, 730)):
        made = replace(actual, not_after=int(in_five_years + days * DAY))
        usual = Policy(usual=days * DAY)
        assert decide.life(made, authority, usual) == whole * DAY
        assert not decide.is_due(made, authority, in_five_years, usual)
        assert decide.new_lifetime(made, authority, usual, is_own=False) == whole * DAY
    assert decide.life(young, authority, Policy(lifetime=30 * DAY, usual=90 * DAY)) == 30 * DAY
    # One that truly began with its authority, an hour long, keeps its own life.
    short = replace(actual, not_after=authority.not_before + 3900)
    assert decide.life(short, authority, PLAIN) == 3600


def test_a_leaf_older_than_its_renewed_authority_says_nothing_about_its_life_either() -> None:
    # The authority was issued anew with the same key after a control plane had joined, in its sixth year.
    joined = NOW + 5 * 365 * DAY
    renewed = replace(root().facts, not_before=int(joined + 30 * DAY), not_after=int(joined + 3650 * DAY))
    actual = replace(leaf(OWN_SERVER), not_before=root().facts.not_before, not_after=int(joined + 365 * DAY))
    assert not decide.is_due(actual, renewed, joined + 60 * DAY, PLAIN)
    assert decide.is_due(actual, renewed, joined + 250 * DAY, PLAIN)
    assert decide.new_lifetime(actual, renewed, PLAIN, is_own=False) == issue.LEAF_LIFETIME
    # The authority was at its end when the leaf was issued, and cut it short.
    cut = replace(leaf(OWN_SERVER, lifetime=20 * DAY), not_after=root().facts.not_after)
    renewed = replace(root().facts, not_before=cut.not_before + int(DAY), not_after=cut.not_after + int(3650 * DAY))
    assert decide.new_lifetime(cut, renewed, PLAIN, is_own=False) == issue.LEAF_LIFETIME


@pytest.mark.parametrize("own", [False, True])
def test_new_lifetimes(own: bool) -> None:
    authority = root().facts

    def found(actual: CertificateFacts | None, policy: Policy = PLAIN) -> float:
        return decide.new_lifetime(actual, authority, policy, own)

    assert found(None) == issue.LEAF_LIFETIME
    assert found(None, Policy(lifetime=DAY)) == DAY
    # Where the owner has kubeadm issue for less than a year, nothing is made for longer.
    assert found(None, Policy(usual=90 * DAY)) == 90 * DAY
    assert found(None, Policy(usual=730 * DAY)) == issue.LEAF_LIFETIME
    # An adopted leaf keeps its own, and does not grow by the backdate with each renewal; one of ours follows the rule.
    assert found(leaf(OWN_SERVER, lifetime=90 * DAY)) == (issue.LEAF_LIFETIME if own else 90 * DAY)
    assert found(leaf(OWN_SERVER, lifetime=90 * DAY), Policy(lifetime=DAY)) == DAY
    # One that was cut short by its authority's end is no measure.
    cut = leaf(OWN_SERVER, lifetime=100 * 365 * DAY, age=-8.9 * 365 * DAY)
    assert found(cut) == issue.LEAF_LIFETIME
    tiny = replace(leaf(OWN_SERVER), not_before=int(NOW - 300), not_after=int(NOW + 60))
    assert found(tiny) == (issue.LEAF_LIFETIME if own else issue.MINIMUM_LIFETIME)


ADOPTED = replace(
    OWN_SERVER,
    subject=profile.distinguished_name("theirs", ["system:masters"]),
    names=names(["theirs.example.org", "192.0.2.99"]),
    extended_usages=frozenset({SERVER, CLIENT}),
    other_names=frozenset({"UniformResourceIdentifier:spiffe://x"}),
)


def test_an_adopted_leaf_keeps_what_it_has() -> None:
    actual = leaf(ADOPTED, algorithm="RSA-2048")
    adopted = decide.adopt(OWN_SERVER, actual, NO_NAMES, PLAIN)
    assert adopted == replace(ADOPTED, key_usages=OWN_SERVER.key_usages)
    assert named(actual, adopted) == []


OTHER_KINDS = [
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
    x509.DirectoryName(common_name("theirs")),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
]


@pytest.mark.parametrize("kind", OTHER_KINDS, ids=[type(kind).__name__ for kind in OTHER_KINDS])
def test_a_name_that_cannot_be_written_is_no_reason_and_in_no_ones_way(kind: x509.GeneralName) -> None:
    own = root()
    entries = [x509.DNSName("theirs.example.org"), x509.RFC822Name("a@b.example"), kind]
    odd = Odd(
        subject="theirs",
        issuer=own.facts.certificate.subject,
        signer=own.key,
        extensions=[
            (x509.SubjectAlternativeName(entries), False),
            (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.BasicConstraints(False, None), True),
        ],
    ).facts()
    adopted = decide.settled(decide.adopt(OWN_SERVER, odd, NO_NAMES, PLAIN), odd, PLAIN)
    assert decide.reasons(odd, adopted, own.facts, NOW, PLAIN) == []
    assert adopted.other_names == {"RFC822Name:a@b.example"}
    request = issue.read_request(issue.signing_request(adopted, key()), "here")
    refuse.excessive_request(request, adopted, "here")


@pytest.mark.parametrize(
    ("asked", "policy", "expected"),
    [
        (names(["new.example.org"]), PLAIN, ["names"]),
        (names(["theirs.example.org"]), PLAIN, []),
        (NO_NAMES, Policy(user_set=frozenset({"names"})), ["names"]),
        (NO_NAMES, Policy(user_set=frozenset({"subject"})), ["subject"]),
        (NO_NAMES, Policy(user_set=frozenset({"usages"})), ["usages"]),
        (NO_NAMES, Policy(lifetime=90 * DAY), []),
        (NO_NAMES, Policy(key_algorithm="ECDSA-P384"), ["algorithm"]),
    ],
)
def test_what_the_user_set_overrules_an_adopted_leaf(asked: Names, policy: Policy, expected: list[str]) -> None:
    actual = leaf(ADOPTED, algorithm="RSA-2048")
    adopted = decide.adopt(OWN_SERVER, actual, asked, policy)
    assert named(actual, adopted, policy=policy) == expected
    assert bool(adopted.other_names) == ("names" not in policy.user_set)


@pytest.mark.parametrize(
    "change",
    [
        {"is_authority": True},
        {"extended_usages": frozenset({CLIENT})},
        {"extended_usages": frozenset()},
        {"extended_usages": frozenset({SERVER, profile.ANY})},
    ],
)
def test_what_an_adopted_leaf_does_not_keep(change: dict[str, Any]) -> None:
    actual = leaf(replace(ADOPTED, **change))
    assert named(actual, decide.adopt(OWN_SERVER, actual, NO_NAMES, PLAIN)) == ["usages"]


def test_findings_about_authorities() -> None:
    assert decide.authority_findings(root().facts, NOW, PLAIN) == []
    bare = Odd(subject="old", extensions=[(x509.BasicConstraints(True, 0), True)], end=NOW + 3000 * DAY).facts()
    first, second = decide.authority_findings(bare, NOW, PLAIN)
    assert "no subject key identifier" in first
    assert "never cross-sign" in second


def test_long_lifetimes_are_warned_of() -> None:
    assert decide.lifetime_warning(365 * DAY) == ""
    assert "for 730 days" in decide.lifetime_warning(730 * DAY)
