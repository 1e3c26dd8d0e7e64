# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The batch of one host: after planning and issuing everything holds, and a second plan is empty."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    decide,
    issue,
    keys,
    kubeconfig,
    layout,
    plan,
    profile,
    refuse,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import HostFacts, HostPki, Layout, host_pki
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import names
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    CLUSTER,
    DAY,
    NOW,
    bundles,
    key,
    root,
    three_roots,
)

SIGNING = three_roots()
BUNDLES = bundles(SIGNING)
HOST = host_pki(Layout(), CLUSTER, "cp1")
OWN = frozenset(leaf.name for leaf in HOST.leaves)
PLAIN = Policy()
PKI = "/etc/kubernetes/pki"
APISERVER = f"{PKI}/apiserver"


def planned(
    host: HostPki, files: dict[str, bytes], policy: Policy = PLAIN, own: frozenset[str] = frozenset(), now: float = NOW
) -> plan.HostPlan:
    return plan.plan(host, files, SIGNING, now, policy, own)


def run(
    host: HostPki, files: dict[str, bytes], policy: Policy = PLAIN, own: frozenset[str] = frozenset(), now: float = NOW
) -> dict[str, bytes]:
    """The files after a run."""
    return {**files, **plan.new_files(planned(host, files, policy, own, now), files, SIGNING, BUNDLES, now)}


def facts_of(host: HostPki, name: str, files: dict[str, bytes]) -> profile.CertificateFacts:
    """The certificate of a leaf, which is there."""
    actual, _key = plan.stored_pair(host.leaf(name), files)
    assert actual is not None
    return actual


@pytest.fixture(scope="module")
def fresh() -> dict[str, bytes]:
    return run(HOST, {})


def test_an_upgrade_alone_issues_no_certificate_of_a_component_anew() -> None:
    """The groups of the version of then come with the next renewal; a person's follow the version at once."""
    before = host_pki(Layout(), replace(CLUSTER, version=(1, 28, 9)), "cp1")
    files = run(before, {}, own=OWN)
    client = "apiserver-kubelet-client"
    assert facts_of(before, client, files).profile.subject.organizations == ("system:masters",)
    due = {item.leaf.name: [reason.name for reason in item.reasons] for item in planned(HOST, files, own=OWN).leaves}
    assert {name: why for name, why in due.items() if why} == {"admin.conf": ["subject"]}
    after = run(HOST, files, replace(PLAIN, renew_all=True), own=OWN)
    assert facts_of(HOST, client, after).profile.subject == HOST.leaf(client).profile.subject


def test_groups_of_no_version_do_not_stay() -> None:
    host = host_pki(Layout(), CLUSTER, "cp1")
    name = "apiserver-kubelet-client"
    subject = profile.distinguished_name("kube-apiserver-kubelet-client", ["x"])
    theirs = replace(host.leaf(name), profile=replace(host.leaf(name).profile, subject=subject))
    other = replace(host, leaves=tuple(theirs if one.name == name else one for one in host.leaves))
    due = {item.leaf.name: item.reasons for item in planned(HOST, run(other, {}, own=OWN), own=OWN).leaves}
    assert [reason.name for reason in due[name]] == ["subject"]


def assert_everything_holds(host: HostPki, files: dict[str, bytes], now: float = NOW, policy: Policy = PLAIN) -> None:
    """Chain, usages, pair, life left: for every leaf, whoever made it."""
    for leaf in host.leaves:
        actual, own_key = plan.stored_pair(leaf, files)
        assert actual is not None
        assert own_key is not None
        authority = SIGNING[leaf.authority].facts
        assert actual.profile.issuer == authority.profile.subject.raw
        assert actual.profile.authority_key_id == authority.subject_key_id
        assert issue.is_signed_by(actual, authority)
        assert actual.public_key == keys.public_bytes(own_key)
        assert actual.defects == ()
        assert not actual.profile.is_authority
        assert actual.profile.extended_usages >= leaf.profile.extended_usages
        assert profile.ANY not in actual.profile.extended_usages
        assert not leaf.asked_names - actual.profile.names
        assert not keys.weakness(str(actual.profile.key_algorithm))
        assert actual.not_before <= now
        assert actual.not_after <= authority.not_after
        assert not decide.is_due(actual, authority, now, policy)
        refuse.forbidden_by_authority([authority], actual.profile, "here")
    for item in host.kubeconfigs:
        facts = kubeconfig.parse(files[item.path], item.path)
        assert facts.authority == BUNDLES["kubernetes"]
        assert not facts.skips_verification


def test_an_empty_host_gets_everything(fresh: dict[str, bytes]) -> None:
    first = planned(HOST, {})
    assert {item.leaf.name for item in first.leaves if item.reasons} == OWN
    assert {reason.name for item in first.leaves for reason in item.reasons} == {"missing"}
    assert_everything_holds(HOST, fresh)
    for leaf in HOST.leaves:
        actual = facts_of(HOST, leaf.name, fresh)
        assert actual.profile.names == leaf.profile.names
        assert actual.profile.subject == leaf.profile.subject


@pytest.mark.parametrize("own", [frozenset(), OWN], ids=["adopted", "ours"])
def test_a_second_plan_is_empty(fresh: dict[str, bytes], own: frozenset[str]) -> None:
    again = planned(HOST, fresh, own=own)
    assert not again.changes
    assert again.warnings == ()
    assert run(HOST, fresh, own=own) == fresh


def test_a_name_that_the_user_adds_reissues_exactly_that_leaf(fresh: dict[str, bytes]) -> None:
    cluster = replace(CLUSTER, extra_names=(*CLUSTER.extra_names, "new.example.org"))
    host = host_pki(Layout(), cluster, "cp1")
    for own in (frozenset(), OWN):
        changed = planned(host, fresh, own=own)
        assert [item.leaf.name for item in changed.leaves if item.reasons] == ["apiserver"]
        assert not any(item.reasons for item in changed.kubeconfigs)
        after = run(host, fresh, own=own)
        assert {path for path in after if after[path] != fresh.get(path)} == {
            "/etc/kubernetes/pki/apiserver.crt",
            "/etc/kubernetes/pki/apiserver.key",
        }
        assert not planned(host, after, own=own).changes


@pytest.mark.parametrize("own", [frozenset(), OWN], ids=["adopted", "ours"])
@pytest.mark.parametrize("lost", [{"extra_names": ()}, {"load_balancer": ""}, {"load_balancer": "192.0.2.11:6443"}])
def test_no_name_goes_because_the_table_has_it_no_more(
    fresh: dict[str, bytes], own: frozenset[str], lost: dict[str, Any]
) -> None:
    host = host_pki(Layout(), replace(CLUSTER, **lost), "cp1")
    assert not planned(host, fresh, own=own).changes
    renewed = run(host, fresh, Policy(renew_all=True), own)
    before, after = (plan.stored_pair(host.leaf("apiserver"), files)[0] for files in (fresh, renewed))
    assert before is not None
    assert after is not None
    assert after.profile.names == before.profile.names


def test_a_name_goes_with_its_certificate(fresh: dict[str, bytes]) -> None:
    host = host_pki(Layout(), replace(CLUSTER, extra_names=()), "cp1")
    files = {path: data for path, data in fresh.items() if not path.startswith(APISERVER + ".")}
    after = plan.stored_pair(host.leaf("apiserver"), run(host, files, own=OWN))[0]
    assert after is not None
    assert after.profile.names == host.leaf("apiserver").profile.names


def test_a_workers_own_certificate_has_the_names_of_the_table_alone() -> None:
    own_layout = Layout(kubelet_serving=True)
    worker = host_pki(own_layout, CLUSTER, "worker1")
    moved = host_pki(own_layout, replace(CLUSTER, nodes=(HostFacts("worker1", ("192.0.2.22",)),)), "worker1")
    files = run(worker, {})
    found = planned(moved, files, own=frozenset({"kubelet-server"})).leaves[0]
    assert found.profile.names == moved.leaf("kubelet-server").profile.names
    assert not planned(moved, files).changes


def test_a_due_kubeconfig_is_renewed_and_keeps_its_server(fresh: dict[str, bytes]) -> None:
    late = NOW + 300 * DAY
    path = "/etc/kubernetes/scheduler.conf"
    moved = fresh[path].replace(b"192.0.2.11:6443", b"127.0.0.1:7443")
    files = {**fresh, path: moved}
    after = run(HOST, files, now=late)
    facts = kubeconfig.parse(after[path], path)
    assert facts.server == "https://127.0.0.1:7443"
    assert facts.certificate != kubeconfig.parse(moved, path).certificate
    assert_everything_holds(HOST, after, late)
    # The kubelet's kubeconfig points at a file that rotates by itself: nothing to do.
    assert after["/etc/kubernetes/kubelet.conf"] == fresh["/etc/kubernetes/kubelet.conf"]


def test_what_an_ending_authority_cut_short_lives_long_again_below_the_next() -> None:
    old = replace(SIGNING["kubernetes"].facts, not_after=int(NOW + 40 * DAY))
    short = {**SIGNING, "kubernetes": replace(SIGNING["kubernetes"], facts=old)}
    cut = plan.new_files(plan.plan(HOST, {}, short, NOW, PLAIN), {}, short, BUNDLES, NOW)
    late = NOW + 30 * DAY
    found = next(item for item in planned(HOST, cut, own=OWN, now=late).leaves if item.leaf.name == "apiserver")
    assert [reason.name for reason in found.reasons] == ["lifetime"]
    assert found.lifetime == 365 * DAY


@pytest.mark.parametrize("keep", [False, True])
def test_a_renewal_makes_a_new_key_unless_told_to_keep_it(fresh: dict[str, bytes], keep: bool) -> None:
    after = run(HOST, fresh, Policy(renew_all=True, keep_key=keep))
    for leaf in HOST.leaves:
        before_key, after_key = (keys.public_bytes(plan.stored_pair(leaf, files)[1]) for files in (fresh, after))
        assert (before_key == after_key) is keep
        assert fresh[leaf.certificate_file] != after[leaf.certificate_file]


def test_a_kept_key_of_the_wrong_algorithm_is_not_kept(fresh: dict[str, bytes]) -> None:
    after = run(HOST, fresh, Policy(keep_key=True, key_algorithm="ECDSA-P384"))
    actual, _rest = plan.stored_pair(HOST.leaf("apiserver"), after)
    assert actual is not None
    assert actual.profile.key_algorithm == "ECDSA-P384"


def test_a_key_that_waits_for_its_certificate_gets_one(fresh: dict[str, bytes]) -> None:
    files = dict(fresh)
    del files["/etc/kubernetes/pki/apiserver.crt"]
    after = run(HOST, files)
    assert after["/etc/kubernetes/pki/apiserver.key"] == fresh["/etc/kubernetes/pki/apiserver.key"]
    assert_everything_holds(HOST, after)


def test_a_key_that_waits_decides_the_algorithm() -> None:
    files = {APISERVER + ".key": keys.private_pem(key("RSA-2048"))}
    actual, own_key = plan.stored_pair(HOST.leaf("apiserver"), run(HOST, files))
    assert actual is not None
    assert own_key is not None
    assert keys.public_bytes(own_key) == keys.public_bytes(key("RSA-2048"))
    assert actual.profile.key_usages == {"digitalSignature", "keyEncipherment"}
    # Unless the user set another: that is a decision too.
    actual, _rest = plan.stored_pair(HOST.leaf("apiserver"), run(HOST, files, Policy(key_algorithm="ECDSA-P256")))
    assert actual is not None
    assert actual.profile.key_algorithm == "ECDSA-P256"


def test_hosts_need_only_the_authorities_that_they_use() -> None:
    cluster = replace(CLUSTER, etcd=(HostFacts("etcd1", ("192.0.2.31",)),))
    only_etcd = {"etcd": SIGNING["etcd"]}
    assert plan.plan(host_pki(Layout(), cluster, "etcd1"), {}, only_etcd, NOW, PLAIN).changes
    worker = host_pki(Layout(), CLUSTER, "worker1")
    with pytest.raises(HardeningError, match="The authority 'kubernetes' is missing"):
        plan.plan(worker, {}, only_etcd, NOW, PLAIN)
    files = plan.new_files(plan.plan(worker, {}, SIGNING, NOW, PLAIN), {}, SIGNING, BUNDLES, NOW)
    assert list(files) == ["/etc/kubernetes/kubelet.conf"]
    assert not plan.plan(worker, files, SIGNING, NOW, PLAIN).changes


def test_a_kubeconfig_with_a_login_of_its_own_stays(fresh: dict[str, bytes]) -> None:
    path = "/etc/kubernetes/admin.conf"
    document = yaml.safe_load(fresh[path])
    document["users"][0]["user"] = {"exec": {"command": "login"}}
    files = {**fresh, path: yaml.safe_dump(document).encode()}
    found = planned(HOST, files, Policy(renew_all=True))
    assert "admin.conf" not in [item.leaf.name for item in found.leaves]
    assert found.warnings == (f"{path} identifies its user by exec, not by a certificate; it stays as it is.",)
    assert run(HOST, files, Policy(renew_all=True))[path] == files[path]


def test_authorities_are_kept_apart() -> None:
    with pytest.raises(HardeningError, match="authority of its own"):
        plan.plan(HOST, {}, {**SIGNING, "front-proxy": SIGNING["kubernetes"]}, NOW, PLAIN)
    (warning,) = plan.plan(HOST, {}, {**SIGNING, "etcd": SIGNING["kubernetes"]}, NOW, PLAIN).warnings
    assert "Give etcd an authority of its own" in warning


def test_kubeconfigs_trust_another_authority_too_when_they_get_its_certificates(fresh: dict[str, bytes]) -> None:
    signing = {**SIGNING, "kubernetes": root("kubernetes-2", number=4)}
    found = plan.plan(HOST, fresh, signing, NOW, PLAIN)
    assert {item.kubeconfig.name: [reason.name for reason in item.reasons] for item in found.kubeconfigs} == {
        "admin": ["leaf", "authority"],
        "controller-manager": ["leaf", "authority"],
        "scheduler": ["leaf", "authority"],
        "kubelet": [],
    }
    assert {item.distrusts for item in found.kubeconfigs} == {"'CN=kubernetes'"}
    after = {**fresh, **plan.new_files(found, fresh, signing, bundles(signing), NOW)}
    assert not plan.plan(HOST, after, signing, NOW, PLAIN).changes
    both = [SIGNING["kubernetes"].facts, signing["kubernetes"].facts]
    assert trust_of(after, "/etc/kubernetes/admin.conf") == both
    assert trust_of(after, "/etc/kubernetes/kubelet.conf") == both[:1]


def trust_of(files: dict[str, bytes], path: str) -> list[profile.CertificateFacts]:
    facts = kubeconfig.parse(files[path], path)
    assert facts.authority is not None
    return bundle.parse(facts.authority, path)


OUTSIDE_ROOT = root("outside", number=5)
INTERMEDIATE = authority.create_below(profile.wanted_authority("kubernetes"), OUTSIDE_ROOT, NOW - 365 * DAY)
LATER, ENDED = (
    issue.issue(INTERMEDIATE.facts.profile, INTERMEDIATE.facts.public_key, OUTSIDE_ROOT, NOW - 300 * DAY, days * DAY)
    for days in (1000, 100)
)


@pytest.mark.parametrize(
    ("trusted", "above", "verifies"),
    [
        pytest.param([INTERMEDIATE.facts], (), True, id="the authority"),
        pytest.param([LATER], (), True, id="another certificate of its key"),
        pytest.param([OUTSIDE_ROOT.facts], (OUTSIDE_ROOT.facts,), True, id="the root above it"),
        pytest.param([OUTSIDE_ROOT.facts], (), True, id="the root above it, which the host does not have"),
        pytest.param([root("lb", number=6).facts, OUTSIDE_ROOT.facts], (), True, id="with another"),
        pytest.param([root("lb", number=6).facts], (OUTSIDE_ROOT.facts,), False, id="a load balancer's"),
        pytest.param([root("outside", number=6).facts], (), False, id="another key of the root's name"),
        pytest.param([ENDED], (), False, id="one that has ended"),
    ],
)
def test_a_kubeconfig_keeps_whom_it_trusts(
    trusted: list[profile.CertificateFacts], above: tuple[profile.CertificateFacts, ...], verifies: bool
) -> None:
    signing = {**SIGNING, "kubernetes": replace(INTERMEDIATE, above=above)}
    # A file that names authorities of clients too.
    pem = {**bundles(signing), "kubernetes": bundle.join([INTERMEDIATE.facts, root("clients", number=7).facts])}
    files = plan.new_files(plan.plan(HOST, {}, signing, NOW, PLAIN), {}, signing, pem, NOW)
    path = "/etc/kubernetes/admin.conf"
    files[path] = kubeconfig.update(files[path], path, b"".join(issue.certificate_pem(one) for one in trusted))
    quiet = plan.plan(HOST, files, signing, NOW, PLAIN)
    assert not quiet.changes
    assert [bool(item.distrusts) for item in quiet.kubeconfigs if item.kubeconfig.path == path] == [not verifies]
    renewed = plan.plan(HOST, files, signing, NOW, Policy(renew_all=True))
    files.update(plan.new_files(renewed, files, signing, pem, NOW))
    ders = [one.der for one in trusted]
    if INTERMEDIATE.facts.der not in ders and not verifies:
        ders.append(INTERMEDIATE.facts.der)
    assert [one.der for one in trust_of(files, path)] == ders
    assert not plan.plan(HOST, files, signing, NOW, PLAIN).changes


@pytest.mark.parametrize("file", ["", "/etc/lb/ca.crt", "/etc/kubernetes/pki/ca.crt"])
def test_a_kubeconfig_that_holds_no_authority_keeps_its_file_unless_it_is_ours(
    fresh: dict[str, bytes], file: str
) -> None:
    path = "/etc/kubernetes/admin.conf"
    document = yaml.safe_load(fresh[path])
    cluster = document["clusters"][0]["cluster"]
    del cluster["certificate-authority-data"]
    if file:
        cluster["certificate-authority"] = file
    files = {**fresh, path: yaml.safe_dump(document).encode()}
    assert not planned(HOST, files).changes
    facts = kubeconfig.parse(run(HOST, files, Policy(renew_all=True))[path], path)
    ours = file.startswith("/etc/kubernetes")
    assert (facts.authority, facts.authority_file) == ((BUNDLES["kubernetes"], "") if ours else (None, file))


def test_kubeconfigs_by_reference() -> None:
    host = host_pki(Layout(file_references=True, kubelet_client=True), CLUSTER, "cp1")
    files = run(host, {})
    facts = kubeconfig.parse(files["/etc/kubernetes/admin.conf"], "here")
    assert (facts.authority_file, facts.authority, facts.key) == ("/etc/kubernetes/pki/ca.crt", None, None)
    assert facts.certificate_file in files
    assert not planned(host, files).changes
    # A renewal replaces the files only.
    assert not any(item.reasons for item in planned(host, files, Policy(renew_all=True)).kubeconfigs)
    renewed = run(host, files, Policy(renew_all=True))
    assert renewed["/etc/kubernetes/admin.conf"] == files["/etc/kubernetes/admin.conf"]
    assert renewed[facts.certificate_file] != files[facts.certificate_file]


def test_a_kubeconfig_that_holds_its_data_is_made_to_name_files_where_it_is_to() -> None:
    """Else its certificate would end one day: what is renewed is in the files."""
    path = "/etc/kubernetes/admin.conf"
    before = run(HOST, {})
    host = host_pki(Layout(file_references=True), CLUSTER, "cp1")
    reasons = {item.kubeconfig.name: [str(one) for one in item.reasons] for item in planned(host, before).kubeconfigs}
    words = ["references: holds certificate and key -> names their files"]
    assert reasons == {"admin": words, "controller-manager": words, "scheduler": words, "kubelet": []}
    files = run(host, before)
    facts = kubeconfig.parse(files[path], path)
    assert (facts.authority, facts.certificate, facts.key) == (None, None, None)
    assert (facts.authority_file, facts.certificate_file) == (f"{PKI}/ca.crt", f"{PKI}/admin-client.crt")
    assert facts.server == kubeconfig.parse(before[path], path).server
    assert not planned(host, files).changes
    # And back: with its next certificate it holds its data.
    back = kubeconfig.parse(run(HOST, files, Policy(renew_all=True))[path], path)
    assert None not in (back.authority, back.certificate, back.key)


def test_a_kubeconfig_that_is_to_name_files_keeps_whom_it_trusts_and_how_its_user_logs_in() -> None:
    path = "/etc/kubernetes/admin.conf"
    host = host_pki(Layout(file_references=True), CLUSTER, "cp1")
    before = run(HOST, {})
    document = yaml.safe_load(before[path])
    (entry,) = document["users"]
    entry["user"] = {"exec": {"command": "login"}}
    login = yaml.safe_dump(document).encode()
    assert run(host, {**before, path: login})[path] == login
    other = BUNDLES["etcd"]
    document = yaml.safe_load(before[path])
    document["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(other).decode()
    facts = kubeconfig.parse(run(host, {**before, path: yaml.safe_dump(document).encode()})[path], path)
    assert facts.certificate_file == f"{PKI}/admin-client.crt"
    assert facts.authority is not None
    assert other.strip() in facts.authority


def test_warnings_are_given_once() -> None:
    found = planned(HOST, {}, Policy(lifetime=1000 * DAY), now=NOW)
    assert len(found.warnings) == 1
    assert "for 1000 days" in found.warnings[0]


def test_a_life_of_more_than_a_year_is_told_though_nothing_is_due(fresh: dict[str, bytes]) -> None:
    found = planned(HOST, fresh, Policy(lifetime=730 * DAY), OWN)
    assert not found.changes
    (told,) = found.warnings
    assert "for 730 days" in told
    # What was issued for as long is no news then; without the variable somebody may have forgotten it.
    long = run(HOST, fresh, Policy(lifetime=730 * DAY, renew_all=True), OWN)
    assert planned(HOST, long, Policy(lifetime=730 * DAY), OWN).warnings == found.warnings
    (told,) = planned(HOST, long, own=OWN).warnings
    assert "life of up to 730 days" in told
    assert planned(HOST, fresh, Policy(lifetime=365 * DAY), OWN).warnings == ()


def test_adopted_leaves_that_live_for_years_are_told_in_one_sentence_and_stay(fresh: dict[str, bytes]) -> None:
    files = dict(fresh)
    for name in ("apiserver", "etcd-peer"):
        files.update(in_state(HOST.leaf(name), State("as wanted", 0, 3000 * DAY, "ECDSA-P256"), ""))
    found = planned(HOST, files)
    assert not found.changes
    (told,) = found.warnings
    assert told.startswith("apiserver, etcd-peer: found with a life of up to 3000 days")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            {APISERVER + ".key": keys.private_pem(key(number=8))}, "does not belong to the certificate", id="pair"
        ),
        pytest.param({APISERVER + ".key": None}, "a lost key cannot be made again", id="lost key"),
        pytest.param({APISERVER + ".key": b"-----BEGIN EC PRIVATE KEY-----\nMHc"}, "truncated", id="truncated key"),
        pytest.param({APISERVER + ".crt": b"x"}, "holds no certificate", id="no certificate"),
        pytest.param({"/etc/kubernetes/admin.conf": b"x"}, "is not a kubeconfig", id="no kubeconfig"),
    ],
)
def test_refusals(fresh: dict[str, bytes], change: dict[str, bytes | None], sentence: str) -> None:
    files = {path: data for path, data in {**fresh, **change}.items() if data is not None}
    with pytest.raises(HardeningError, match=sentence):
        planned(HOST, files)


def test_authorities_are_checked_first() -> None:
    with pytest.raises(HardeningError, match="The authority 'etcd' is missing"):
        plan.plan(HOST, {}, {"kubernetes": SIGNING["kubernetes"], "front-proxy": SIGNING["front-proxy"]}, NOW, PLAIN)
    with pytest.raises(HardeningError, match="cannot sign: it ended on"):
        planned(HOST, {}, now=NOW + 4000 * DAY)


def test_a_request_is_signed_for_what_the_table_has_and_for_nothing_else() -> None:
    leaves = {item.leaf.name: item for item in planned(HOST, {}).leaves}
    admin, apiserver = leaves["admin.conf"], leaves["apiserver"]
    request = plan.prepare(admin).request
    with pytest.raises(HardeningError, match="was not signed: its subject and names and extended key usages"):
        plan.sign(request, apiserver.profile, SIGNING["kubernetes"], NOW, DAY, "cp1")


def test_an_answer_for_another_key_is_not_written() -> None:
    one, two = planned(HOST, {}).leaves[:2]
    first, second = plan.prepare(one), plan.prepare(two)
    facts = plan.sign(first.request, one.profile, SIGNING[one.leaf.authority], NOW, DAY, "cp1")
    with pytest.raises(HardeningError, match="does not belong to the certificate"):
        plan.complete(second, facts)
    assert "EllipticCurve" not in repr(first)


# Random clusters and random states of their files.

LABEL = st.from_regex(r"\A[a-z]([a-z0-9-]{0,8}[a-z0-9])?\Z")
ADDRESS = st.integers(1, 254).map("192.0.2.{}".format) | st.integers(1, 65535).map("2001:db8::{:x}".format)
HOSTS = st.lists(st.tuples(LABEL, ADDRESS), min_size=2, max_size=4, unique_by=lambda pair: pair[0])


@st.composite
def clusters(draw: st.DrawFn) -> layout.ClusterFacts:
    hosts = [HostFacts(name, (address,), tuple(draw(st.lists(LABEL, max_size=1)))) for name, address in draw(HOSTS)]
    return layout.ClusterFacts(
        control_planes=tuple(hosts[:-1]),
        nodes=tuple(hosts[-1:]),
        load_balancer=draw(st.sampled_from(["", "lb.example.org", "192.0.2.1:8443", "[2001:db8::1]:6443"])),
        service_network=draw(st.sampled_from(["10.96.0.0/12", "fd00:10:96::/112", "10.0.0.0/24,fd00::/112"])),
        dns_domain=draw(st.sampled_from(["cluster.local", "k8s.example.org", ""])),
        extra_names=tuple(draw(st.lists(LABEL | ADDRESS, max_size=3))),
        version=draw(st.sampled_from([(1, 28, 0), (1, 33, 4), (1, 37, 1)])),
    )


@dataclass(frozen=True)
class State:
    """What somebody did to one leaf before us."""

    kind: str
    age: float
    lifetime: float
    algorithm: str


KINDS = [
    "absent",
    "as wanted",
    "other subject",
    "other names",
    "fewer names",
    "no extended usage",
    "more extended usages",
    "an authority",
    "other authority",
    "key only",
]
STATES = st.builds(
    State,
    st.sampled_from(KINDS),
    # Authorities began 365 days ago.
    st.floats(0, 364 * DAY),
    st.sampled_from([3600.0, DAY, 30 * DAY, 90 * DAY, 365 * DAY, 3000 * DAY, 9000 * DAY]),
    # RSA keys take long to make: one in eight.
    st.sampled_from([*["ECDSA-P256"] * 6, "ECDSA-P384", "RSA-2048"]),
)


def in_state(leaf: layout.Leaf, state: State, server: str) -> dict[str, bytes]:
    """The files of one leaf in that state."""
    own_key = key(state.algorithm)
    what = replace(leaf.profile, key_usages=profile.leaf_key_usages(state.algorithm))
    changes: dict[str, dict[str, Any]] = {
        "other subject": {"subject": profile.distinguished_name("theirs", ["some-group"])},
        "other names": {"names": names(["theirs.example.org", "203.0.113.9"])},
        "fewer names": {"names": names([])},
        "no extended usage": {"extended_usages": frozenset()},
        "more extended usages": {"extended_usages": frozenset({profile.SERVER, profile.CLIENT})},
        "an authority": {"is_authority": True, "key_usages": profile.AUTHORITY_USAGES},
    }
    what = replace(what, **changes.get(state.kind, {}))
    signer = root("foreign", number=6) if state.kind == "other authority" else SIGNING[leaf.authority]
    if state.kind == "absent" or (state.kind == "key only" and leaf.path is None):
        return {}
    if leaf.path is not None and state.kind == "key only":
        return {leaf.path.key: keys.private_pem(own_key)}
    facts = issue.issue(what, keys.public_bytes(own_key), signer, NOW - state.age, state.lifetime)
    pair = issue.certificate_pem(facts), keys.private_pem(own_key)
    if leaf.path is not None:
        return {leaf.path.certificate: pair[0], leaf.path.key: pair[1]}
    return {leaf.kubeconfig: kubeconfig.render(server, "user", BUNDLES["kubernetes"], *pair)}


POLICIES = st.builds(
    Policy,
    lifetime=st.sampled_from([None, 3600.0, 90 * DAY, 365 * DAY]),
    key_algorithm=st.sampled_from([None, None, "ECDSA-P384"]),
    keep_key=st.booleans(),
    user_set=st.sets(st.sampled_from(["subject", "names", "usages"])).map(frozenset),
    renew_before=st.sampled_from([None, None, 10 * DAY]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), POLICIES, st.data())
def test_after_a_run_everything_holds_and_the_next_is_empty(
    cluster: layout.ClusterFacts, policy: Policy, data: st.DataObject
) -> None:
    own_layout = Layout(
        component_serving=data.draw(st.booleans()), kubelet_serving=data.draw(st.booleans()), super_admin=True
    )
    node_name = data.draw(st.sampled_from([host.node_name for host in cluster.control_planes + cluster.nodes]))
    host = host_pki(own_layout, cluster, node_name)
    files: dict[str, bytes] = {}
    for leaf in host.leaves:
        files.update(in_state(leaf, data.draw(STATES), "https://theirs.example.org:6443"))
    own = data.draw(st.sets(st.sampled_from(sorted(OWN)))) & {leaf.name for leaf in host.leaves}
    first = planned(host, files, policy, frozenset(own))
    after = run(host, files, policy, frozenset(own))
    assert_everything_holds(host, after, NOW, policy)
    second = planned(host, after, policy, frozenset(own))
    assert [(item.leaf.name, item.reasons) for item in second.leaves if item.reasons] == []
    assert not second.changes
    # What had no reason was not touched.
    for item in first.leaves:
        if not item.reasons:
            assert after[item.leaf.certificate_file] == files[item.leaf.certificate_file]
    # Nor does an hour later bring anything, unless leaves live that short.
    if policy.lifetime != 3600.0 and all(item.lifetime >= DAY for item in second.leaves):
        assert not planned(host, after, policy, frozenset(own), NOW + 60).changes
