# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import PairPath
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import wanted_authority
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    DAY,
    NOW,
    Odd,
    key,
    leaf,
    root,
    server_profile,
)

PATH = PairPath("/pki/ca.crt", "/pki/ca.key")


def contents(one: Authority, passphrase: bytes | None = None) -> dict[str, bytes]:
    certificate, own_key = authority.files(one, passphrase)
    return {PATH.certificate: certificate, PATH.key: own_key}


def test_what_was_created_loads() -> None:
    made = authority.create(wanted_authority("kubernetes"), NOW)
    assert made.facts.not_after == NOW + 3650 * DAY
    loaded = authority.load(PATH, contents(made), NOW)
    assert loaded == made
    assert loaded.key is not None
    assert loaded.above == ()


def test_an_encrypted_key() -> None:
    files = contents(root(), b"secret")
    assert authority.load(PATH, files, NOW, b"secret") == root()
    with pytest.raises(HardeningError, match="passphrase does not open"):
        authority.load(PATH, files, NOW, b"wrong")


def test_an_intermediate_brings_its_chain() -> None:
    top = authority.create(wanted_authority("corporate"), NOW)
    middle = authority.create_below(wanted_authority("platform"), top, NOW)
    own = authority.create_below(wanted_authority("kubernetes"), middle, NOW)
    # Its file holds nothing above it: who trusted the root would trust every other intermediate as well.
    assert [facts.fingerprint for facts in bundle.parse(contents(own)[PATH.certificate], "here")] == [
        own.facts.fingerprint
    ]
    assert authority.load(PATH, contents(own), NOW).above == ()
    assert authority.load(PATH, contents(own), NOW, above=[top.facts, root("other").facts, middle.facts]) == own
    assert own.above == (middle.facts, top.facts)
    assert own.chain == (own.facts, middle.facts)
    # A file of the user's with the whole chain, in any order, is understood.
    mixed = bundle.join([root("other").facts, top.facts, own.facts, middle.facts])
    again = authority.load(PATH, {**contents(own), PATH.certificate: mixed}, NOW)
    assert again == own


def test_a_parent_that_allows_no_intermediate() -> None:
    top = authority.create(wanted_authority("corporate", path_length=0), NOW)
    with pytest.raises(HardeningError, match="its path length is 0"):
        authority.create_below(wanted_authority("kubernetes"), top, NOW)


def test_a_bundle_in_the_middle_of_a_rotation() -> None:
    old, new = root(), root("kubernetes-2", number=3)
    both = bundle.join([old.facts, new.facts])
    assert new.key is not None
    files = {PATH.certificate: both, PATH.key: keys.private_pem(new.key)}
    assert authority.load(PATH, files, NOW).facts == new.facts
    assert authority.load(PATH, {PATH.certificate: both}, NOW, need_key=False) == Authority(old.facts)


def test_a_renewed_authority_keeps_its_key_and_the_longer_one_signs() -> None:
    own = root()
    assert own.key is not None
    renewed = issue.self_signed_authority(wanted_authority("kubernetes"), own.key, NOW, 5000 * DAY)
    files = {PATH.certificate: bundle.join([own.facts, renewed]), PATH.key: keys.private_pem(own.key)}
    assert authority.load(PATH, files, NOW).facts == renewed


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({}, "/pki/ca.crt is missing", id="nothing"),
        pytest.param({PATH.certificate: contents(root())[PATH.certificate]}, "/pki/ca.key, the key", id="no key"),
        pytest.param(
            {**contents(root()), PATH.key: keys.private_pem(key(number=1))},
            "The key in /pki/ca.key does not belong to the certificate in /pki/ca.crt",
            id="another key",
        ),
        pytest.param(
            {**contents(root()), PATH.certificate: contents(root())[PATH.certificate][:-1] * 2},
            "joins two PEM blocks without a newline",
            id="joined",
        ),
        pytest.param({**contents(root()), PATH.key: contents(root())[PATH.key][:100]}, "truncated", id="truncated key"),
        pytest.param(
            {PATH.certificate: issue.certificate_pem(leaf(server_profile())), PATH.key: keys.private_pem(key())},
            "cannot sign: its certificate is not one of an authority",
            id="a leaf",
        ),
        pytest.param(
            {PATH.certificate: issue.certificate_pem(Odd().facts()), PATH.key: keys.private_pem(key())},
            "cannot sign",
            id="no extensions",
        ),
    ],
)
def test_authorities_that_are_not_built_upon(files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(HardeningError) as refusal:
        authority.load(PATH, files, NOW)
    assert sentence in str(refusal.value)


def test_an_expired_authority() -> None:
    with pytest.raises(HardeningError, match="it ended on"):
        authority.load(PATH, contents(root()), NOW + 3300 * DAY)


def test_without_a_key_there_is_nothing_to_write() -> None:
    with pytest.raises(HardeningError, match="is not here; nothing was written"):
        authority.files(Authority(root().facts))


def test_front_proxy_and_clients_are_apart() -> None:
    separate = {"kubernetes": [root().facts], "front-proxy": [root("front-proxy-ca", number=2).facts]}
    authority.check_separate(separate)
    authority.check_separate({})
    with pytest.raises(HardeningError, match="authority of its own"):
        authority.check_separate({**separate, "front-proxy": [root().facts]})


def test_one_authority_for_etcd_and_clients_is_a_finding() -> None:
    one, two = root().facts, root("etcd-ca", number=1).facts
    assert authority.shared_findings({"kubernetes": [one], "etcd": [two]}) == []
    (finding,) = authority.shared_findings({"kubernetes": [one], "etcd": [two, one]})
    assert "every client certificate of the cluster opens etcd" in finding


SERVICE_ACCOUNT = PairPath("/pki/sa.pub", "/pki/sa.key")


def test_the_service_account_pair() -> None:
    public, private = authority.service_account_pair()
    files = {SERVICE_ACCOUNT.certificate: public, SERVICE_ACCOUNT.key: private}
    assert authority.missing_service_account_public(SERVICE_ACCOUNT, files) is None
    assert authority.missing_service_account_public(SERVICE_ACCOUNT, {SERVICE_ACCOUNT.key: private}) == public
    # The keys of earlier tokens stay.
    older, _rest = authority.service_account_pair("RSA-2048")
    rotated = {**files, SERVICE_ACCOUNT.certificate: older}
    assert authority.missing_service_account_public(SERVICE_ACCOUNT, rotated) == public + older
    both = {**files, SERVICE_ACCOUNT.certificate: older + public}
    assert authority.missing_service_account_public(SERVICE_ACCOUNT, both) is None
    assert authority.missing_service_account_public(SERVICE_ACCOUNT, rotated, [older, public]) is None
    # kube-apiserver takes a certificate, or the private key itself, for the public half.
    own = keys.load_private(private, "sa.key")
    certificate = issue.certificate_pem(issue.self_signed_authority(root().facts.profile, own, NOW))
    for held in (certificate, private):
        files[SERVICE_ACCOUNT.certificate] = older + held
        assert authority.missing_service_account_public(SERVICE_ACCOUNT, files) is None


def test_a_lost_service_account_key_is_not_made_anew() -> None:
    public, _rest = authority.service_account_pair()
    with pytest.raises(HardeningError, match="makes every token of the cluster invalid"):
        authority.missing_service_account_public(SERVICE_ACCOUNT, {SERVICE_ACCOUNT.certificate: public})
