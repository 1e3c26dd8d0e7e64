# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All leaves and kubeconfigs of a host in one call: foretold, done, and nothing left to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    data,
    issue,
    keys,
    kubeconfig,
    plan,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import PairPath
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import names
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_files, pki_view
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    Odd,
    from_start,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    CLUSTER,
    DAY,
    NOW,
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    made,
    told,
)

PKI = "/etc/kubernetes/pki"
#: The names of all files with leaves of a control plane.
ALL_FILES = (
    *(
        f"{name}{suffix}"
        for name in (
            "apiserver",
            "apiserver-kubelet-client",
            "apiserver-etcd-client",
            "front-proxy-client",
            "server",
            "peer",
            "healthcheck-client",
        )
        for suffix in (".crt", ".key")
    ),
    *(f"{name}.conf" for name in ("admin", "controller-manager", "scheduler")),
)
WITH_NAME = {**CLUSTER, "extra_names": ["api.example.org"]}


def _nothing(_host: Directory) -> None:
    """Everything is there."""


def _empty(host: Directory) -> None:
    for leaf in host.pki.leaves:
        for name in (leaf.path.certificate, leaf.path.key) if leaf.path else (leaf.kubeconfig,):
            host.path(name).unlink()
    host.path("/etc/kubernetes/kubelet.conf").unlink()


def _one_pair_gone(host: Directory) -> None:
    host.path(f"{PKI}/front-proxy-client.crt").unlink()
    host.path(f"{PKI}/front-proxy-client.key").unlink()


def _certificate_gone(host: Directory) -> None:
    host.path(f"{PKI}/apiserver.crt").unlink()


def _kubeconfig_gone(host: Directory) -> None:
    host.path("/etc/kubernetes/scheduler.conf").unlink()


def _short_lived(host: Directory) -> None:
    leaf = host.pki.leaf("apiserver")
    assert leaf.path is not None
    key = keys.load_private(host.path(leaf.path.key).read_bytes(), "the test's")
    signer = host.signers()[leaf.authority]
    wanted = dataclasses.replace(leaf.profile, names=leaf.profile.names | names(["kept.example.org"]))
    facts = issue.issue(wanted, keys.public_bytes(key), signer, NOW - 20 * DAY, 30 * DAY)
    host.path(leaf.path.certificate).write_bytes(issue.certificate_pem(facts))


def _foreign(host: Directory) -> None:
    """Signed by itself."""
    leaf = host.pki.leaf("apiserver")
    assert leaf.path is not None
    key = keys.generate("ECDSA-P256")
    itself = profile.wanted_authority("apiserver@1700000000")
    host.path(leaf.path.certificate).write_bytes(
        issue.certificate_pem(issue.self_signed_authority(itself, key, NOW - DAY))
    )
    host.path(leaf.path.key).write_bytes(keys.private_pem(key))


def _from_start(host: Directory) -> None:
    """As a component makes its own serving certificate before anybody else does."""
    path = host.pki.leaf("apiserver").path
    assert path is not None
    key = keys.generate("ECDSA-P256")
    host.path(path.certificate).write_bytes(issue.certificate_pem(from_start("cp1", key, NOW - DAY)))
    host.path(path.key).write_bytes(keys.private_pem(key))


def _open_key(host: Directory) -> None:
    host.path(f"{PKI}/apiserver.key").chmod(0o644)
    host.path("/etc/kubernetes/admin.conf").chmod(0o640)


STATES: tuple[tuple[Callable[[Directory], None], set[str]], ...] = (
    (_nothing, set()),
    (_one_pair_gone, {"front-proxy-client.crt", "front-proxy-client.key"}),
    (_certificate_gone, {"apiserver.crt"}),
    (_kubeconfig_gone, {"scheduler.conf"}),
    (_short_lived, {"apiserver.crt", "apiserver.key"}),
    (_foreign, {"apiserver.crt", "apiserver.key"}),
    (_from_start, {"apiserver.crt", "apiserver.key"}),
    (_open_key, {"apiserver.key", "admin.conf"}),
)


@pytest.mark.parametrize(("spoil", "changed"), STATES, ids=[spoil.__name__ for spoil, _changed in STATES])
def test_check_run_check_run(tmp_path: Path, spoil: Callable[[Directory], None], changed: set[str]) -> None:
    host = made(Directory(tmp_path, "cp1"))
    spoil(host)
    before = host.state()
    foretold, _planned = host.leaves(check=True)
    assert host.state() == before
    done, _planned = host.leaves()
    assert told(done) == told(foretold)
    assert {change.target.rpartition("/")[2] for change in done} == changed
    after = host.state()
    assert host.leaves(check=True)[0] == []
    assert host.leaves()[0] == []
    assert host.state() == after
    assert_pairs_fit(host)
    assert_no_key_is_open(tmp_path)


def _issued(host: Directory, name: str, key: Any, signer: Authority | None = None, **changes: Any) -> None:
    """Lay a pair for a key, otherwise than the table has it where something is changed."""
    leaf = host.pki.leaf(name)
    assert leaf.path is not None
    times = {"now": changes.pop("now", NOW), "lifetime": changes.pop("lifetime", 365 * DAY)}
    wanted = dataclasses.replace(leaf.profile, key_usages=profile.leaf_key_usages("ECDSA-P256"), **changes)
    signer = signer or host.signers()[leaf.authority]
    facts = issue.issue(wanted, keys.public_bytes(key), signer, **times)
    host.path(leaf.path.certificate).write_bytes(issue.certificate_pem(facts))
    host.path(leaf.path.key).write_bytes(keys.private_pem(key))


def _expired(host: Directory) -> None:
    _issued(host, "apiserver", keys.generate("ECDSA-P256"), now=NOW - 60 * DAY, lifetime=30 * DAY)


def _weak(host: Directory) -> None:
    _issued(host, "front-proxy-client", ec.generate_private_key(ec.SECP224R1()))


def _other_usages(host: Directory) -> None:
    _issued(host, "front-proxy-client", keys.generate("ECDSA-P256"), extended_usages=frozenset({profile.SERVER}))


def _kubeconfig_of_another(host: Directory) -> None:
    """As after a restore from another cluster: neither what it trusts nor its certificate are of this one."""
    leaf, theirs = host.pki.leaf("scheduler.conf"), authority.create(profile.wanted_authority("theirs"), NOW - DAY)
    key = keys.generate("ECDSA-P256")
    wanted = dataclasses.replace(leaf.profile, key_usages=profile.leaf_key_usages("ECDSA-P256"))
    facts = issue.issue(wanted, keys.public_bytes(key), theirs, NOW)
    pair = issue.certificate_pem(facts), keys.private_pem(key)
    row = next(one for one in host.pki.kubeconfigs if one.name == "scheduler")
    trusted = bundle.join([theirs.facts])
    host.path(row.path).write_bytes(kubeconfig.render(row.server, row.user, trusted, *pair))


def _without_etcds_key(host: Directory) -> None:
    """Its leaves have ended, and nobody can issue them."""
    _issued(host, "etcd-server", keys.generate("ECDSA-P256"), now=NOW - 60 * DAY, lifetime=30 * DAY)
    host.path(f"{PKI}/etcd/ca.key").unlink()


MORE_STATES: tuple[tuple[Callable[[Directory], None], dict[str, Any], set[str]], ...] = (
    (_expired, {}, {"apiserver.crt", "apiserver.key"}),
    (_weak, {}, {"front-proxy-client.crt", "front-proxy-client.key"}),
    (_other_usages, {}, {"front-proxy-client.crt", "front-proxy-client.key"}),
    (_kubeconfig_of_another, {}, {"scheduler.conf"}),
    (_without_etcds_key, {"without_key": frozenset({"etcd"})}, set()),
    (_nothing, {"policy": Policy(key_algorithm="ECDSA-P384")}, set(ALL_FILES)),
    (_empty, {}, {*ALL_FILES, "kubelet.conf"}),
)


@pytest.mark.parametrize(
    ("spoil", "options", "changed"), MORE_STATES, ids=[spoil.__name__ for spoil, _options, _changed in MORE_STATES]
)
def test_check_run_check_run_of_what_is_wrong(
    tmp_path: Path, spoil: Callable[[Directory], None], options: dict[str, Any], changed: set[str]
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    spoil(host)
    before = host.state()
    foretold, _planned = host.leaves(check=True, **options)
    assert host.state() == before
    done, _planned = host.leaves(**options)
    assert told(done) == told(foretold)
    assert {change.target.rpartition("/")[2] for change in done} == changed
    after = host.state()
    assert host.leaves(check=True, **options)[0] == []
    assert host.leaves(**options)[0] == []
    assert host.state() == after
    if host.path(f"{PKI}/etcd/ca.key").exists():
        assert_pairs_fit(host)
    assert_no_key_is_open(tmp_path)


def test_an_empty_host_is_foretold_file_by_file(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    authorities = host.authorities(check=True, create=True)
    foretold, _planned = host.leaves(check=True, expected=frozenset(authorities.missing))
    assert list(tmp_path.iterdir()) == []
    assert told(host.authorities(create=True).changes) == told(authorities.changes)
    done, _planned = host.leaves()
    assert told(done) == told(foretold)
    written = {change.target for change in [*authorities.changes, *done]}
    there = {f"/{path.relative_to(tmp_path)}" for path in (tmp_path / "etc").rglob("*")}
    assert there <= written
    assert_pairs_fit(host)


def test_an_adopted_certificate_keeps_its_names(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    _short_lived(host)
    host.leaves()
    renewed = plan.stored_pair(host.pki.leaf("apiserver"), host.files())[0]
    assert renewed is not None
    assert "kept.example.org" in renewed.profile.names.dns
    assert host.leaves(check=True)[0] == []


def test_what_a_kubelet_made_for_itself_is_nothing_to_adopt(tmp_path: Path) -> None:
    """Neither its name alone nor its subject, by which Kubernetes does not know a kubelet."""
    host = made(Directory(tmp_path, "cp1", kubelet_serving=True))
    leaf = host.pki.leaf("kubelet-server")
    assert leaf.path is not None
    key = keys.generate("RSA-2048")
    host.path(leaf.path.certificate).write_bytes(issue.certificate_pem(from_start("cp1", key, NOW - DAY)))
    host.path(leaf.path.key).write_bytes(keys.private_pem(key))
    host.leaves()
    actual, _key = plan.stored_pair(leaf, host.files())
    assert actual is not None
    assert actual.profile.subject == leaf.profile.subject
    assert actual.profile.names == leaf.profile.names
    assert host.leaves()[0] == []


def test_one_of_ours_keeps_a_name_that_the_table_has_no_more_and_stays_ours(tmp_path: Path) -> None:
    made(Directory(tmp_path, "cp1", {**CLUSTER, "load_balancer": "lb.example.org"}))
    later = Directory(tmp_path, "cp1", {**CLUSTER, "load_balancer": ""})
    assert later.leaves(check=True)[0] == []
    later.leaves(policy=Policy(renew_all=True))
    # Another load balancer's name is added to what is ours; what is adopted gets it only where the user said it.
    moved = Directory(tmp_path, "cp1", {**CLUSTER, "load_balancer": "new.example.org"})
    moved.leaves()
    actual = plan.stored_pair(moved.pki.leaf("apiserver"), moved.files())[0]
    assert actual is not None
    assert {"lb.example.org", "new.example.org"} <= actual.profile.names.dns
    assert moved.leaves(check=True)[0] == []


@pytest.mark.parametrize("asked", [True, False])
def test_an_adopted_certificate_gets_the_load_balancers_name_where_the_user_said_it(
    tmp_path: Path, asked: bool
) -> None:
    host = made(Directory(tmp_path, "cp1", {**CLUSTER, "load_balancer": ""}))
    lay(host, "apiserver", host.signers()["kubernetes"], host.pki.leaf("apiserver").profile)
    later = Directory(tmp_path, "cp1", {**CLUSTER, "load_balancer": "lb.example.org:6443", "endpoint_asked": asked})
    later.leaves()
    actual = plan.stored_pair(later.pki.leaf("apiserver"), later.files())[0]
    assert actual is not None
    assert ("lb.example.org" in actual.profile.names.dns) is asked
    assert later.leaves(check=True)[0] == []


@pytest.mark.parametrize("adopted", [True, False])
def test_a_name_that_the_table_has_no_more_goes_where_the_user_says_so(tmp_path: Path, adopted: bool) -> None:
    host = made(Directory(tmp_path, "cp1", {**CLUSTER, "extra_names": ["tpyo.example.org"]}))
    if adopted:
        lay(host, "apiserver", host.signers()["kubernetes"], host.pki.leaf("apiserver").profile)
    later = Directory(tmp_path, "cp1", CLUSTER)
    policy = data.policy({"names": "table"})
    foretold, _planned = later.leaves(check=True, policy=policy)
    assert [change.target for change in foretold] == [f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"]
    assert "with tpyo.example.org" in (foretold[0].after or "")
    assert later.leaves(check=True)[0] == []
    later.leaves(policy=policy)
    actual = plan.stored_pair(later.pki.leaf("apiserver"), later.files())[0]
    assert actual is not None
    assert actual.profile.names == later.pki.leaf("apiserver").profile.names
    assert later.leaves(policy=policy)[0] == []
    assert later.leaves()[0] == []


def test_where_the_user_says_so_a_worker_is_signed_what_the_table_has_and_no_name_beside(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    table = w1.pki.leaf("kubelet-server").profile
    had = dataclasses.replace(table, names=table.names | names(["old.example.org"]))
    asked = like(w1, "kubelet-server", cp1, table, False)
    asked = dataclasses.replace(asked, current=like(w1, "kubelet-server", cp1, had, False).current)
    with pytest.raises(HardeningError, match=r"old.example.org is not among them"):
        leaves.sign(w1.pki, [asked], cp1.signers(), NOW, Policy())
    answers = leaves.sign(w1.pki, [asked], cp1.signers(), NOW, data.policy({"names": "table"}))
    assert profile.from_pem(answers["kubelet-server"].encode(), "here").profile.names == table.names


def test_a_name_that_is_added_is_a_reason(tmp_path: Path) -> None:
    made(Directory(tmp_path, "cp1"))
    changes, _planned = Directory(tmp_path, "cp1", WITH_NAME).leaves()
    assert [change.target for change in changes] == [f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"]
    assert "why: names:" in (changes[0].after or "")
    assert "api.example.org" in (changes[0].after or "")


def test_a_kubeconfig_of_a_load_balancer_that_ends_tls_is_told_and_stays(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    path = "/etc/kubernetes/admin.conf"
    balancer = authority.create(profile.wanted_authority("lb-ca"), NOW - DAY).facts
    theirs = issue.certificate_pem(balancer)
    host.path(path).write_bytes(kubeconfig.update(host.path(path).read_bytes(), path, theirs))
    for scope in (leaves.SCOPE_MISSING, leaves.SCOPE_DUE):
        changes, planned = host.leaves(scope=scope)
        assert changes == []
        (note,) = planned.notes
        assert note.startswith(f"{path} trusts 'CN=lb-ca', and by that nothing")
    changes, planned = host.leaves(policy=Policy(renew_all=True), only=("admin.conf",))
    assert [change.target for change in changes] == [path]
    assert "authority: trusts 'CN=lb-ca' -> 'CN=kubernetes' too" in (changes[0].after or "")
    assert planned.notes == []
    facts = kubeconfig.parse(host.path(path).read_bytes(), path)
    assert facts.authority == theirs + issue.certificate_pem(host.signers()["kubernetes"].facts)
    assert host.leaves()[0] == []


def test_what_is_due_on_a_running_host_is_told_and_left(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    _short_lived(host)
    changes, planned = host.leaves(scope=leaves.SCOPE_MISSING)
    assert changes == []
    assert any(
        "'apiserver' is to be issued anew" in note and "rotate_certificates.yml" in note for note in planned.notes
    )


def test_only_the_named_ones_are_renewed(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    changes, planned = host.leaves(policy=Policy(renew_all=True), only=("admin.conf", "etcd-peer"))
    assert {change.target for change in changes} == {
        "/etc/kubernetes/admin.conf",
        f"{PKI}/etcd/peer.crt",
        f"{PKI}/etcd/peer.key",
    }
    assert {one.name for one in planned.issued} == {"admin.conf", "etcd-peer"}
    with pytest.raises(HardeningError, match=r"no certificate named 'etcd-pear'; the nearest is 'etcd-peer'"):
        host.leaves(only=("etcd-pear",))


def test_a_kubeconfig_that_is_missing_and_not_named_is_left(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    for name in ("scheduler", "kubelet"):
        host.path(f"/etc/kubernetes/{name}.conf").unlink()
    renewal: dict[str, Any] = {"policy": Policy(renew_all=True), "only": ("apiserver",)}
    foretold, _planned = host.leaves(check=True, **renewal)
    done, _planned = host.leaves(**renewal)
    assert told(done) == told(foretold)
    assert [change.target for change in done] == [f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"]
    for name in ("scheduler", "kubelet"):
        path = f"/etc/kubernetes/{name}.conf"
        assert [change.target for change in host.leaves(only=(f"{name}.conf",))[0]] == [path]
    assert_pairs_fit(host)


def test_a_kubeconfig_with_relative_files_has_its_certificate(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    path = "/etc/kubernetes/admin.conf"
    data_there = host.path(path).read_bytes()
    facts = kubeconfig.parse(data_there, path)
    for name, content in (("admin.crt", facts.certificate), ("admin.key", facts.key)):
        host.path(f"{PKI}/{name}").write_bytes(content or b"")
        host.path(f"{PKI}/{name}").chmod(0o600)
    host.path(path).write_bytes(kubeconfig.update(data_there, path, None, "pki/admin.crt", "./pki/admin.key"))
    for scope in (leaves.SCOPE_MISSING, leaves.SCOPE_DUE):
        assert host.leaves(scope=scope)[0] == []
    # What a kubelet's names is seen to end.
    kubelet = "/etc/kubernetes/kubelet.conf"
    mine = "../../var/lib/kubelet/pki/mine.pem"
    host.path(kubelet).write_bytes(kubeconfig.update(host.path(kubelet).read_bytes(), kubelet, None, mine, mine))
    host.path("/var/lib/kubelet/pki").mkdir(parents=True)
    host.path("/var/lib/kubelet/pki/mine.pem").write_bytes(facts.certificate or b"")
    found = pki_files.read_kubelets(host.host, host.pki, host.files(), {}, "/var/lib/kubelet/pki")
    assert list(found) == ["/var/lib/kubelet/pki/mine.pem"]


def test_a_renewal_makes_a_new_key_unless_told_to_keep_it(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    key = host.path(f"{PKI}/apiserver.key").read_bytes()
    changes, _planned = host.leaves(policy=Policy(renew_all=True, keep_key=True), only=("apiserver",))
    assert [change.target for change in changes] == [f"{PKI}/apiserver.crt"]
    assert host.path(f"{PKI}/apiserver.key").read_bytes() == key
    host.leaves(policy=Policy(renew_all=True), only=("apiserver",))
    assert host.path(f"{PKI}/apiserver.key").read_bytes() != key


def test_nothing_secret_is_told(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    outcome = host.authorities(create=True)
    changes, planned = host.leaves()
    text = "".join(line for *_rest, line in told([*outcome.changes, *changes])) + repr(planned.issued)
    for path in (tmp_path / "etc").rglob("*"):
        if path.suffix == ".key":
            body = path.read_text(encoding="ascii").splitlines()[1]
            assert body not in text
    assert "PRIVATE" not in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "truncated"),
        (lambda path: path.write_bytes(b""), "no private key"),
        (lambda path: path.write_bytes(keys.private_pem(keys.generate("ECDSA-P256"))), "does not belong"),
        (lambda path: path.unlink(), "lost key"),
    ],
)
def test_a_key_that_is_damaged_lost_or_another_is_refused_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    spoil(host.path(f"{PKI}/apiserver.key"))
    before = host.state()
    with pytest.raises(HardeningError, match=words):
        host.leaves()
    assert host.state() == before


# From host to host


def test_a_worker_asks_and_its_key_stays_on_it(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    foretold, _planned = w1.leaves(check=True)
    store = w1.store("run")
    planned = leaves.Leaves(store, w1.pki, w1.files(), NOW, leaves.Options(scope=leaves.SCOPE_DUE))
    assert planned.asks
    asked = planned.ask()
    assert planned.wanted_bundles() == ["kubernetes"]
    assert not (tmp_path / "w1/var").exists()
    assert "PRIVATE" not in repr(asked)
    signers = cp1.signers()
    answers = leaves.sign(w1.pki, asked, signers, NOW, Policy())
    ours = cp1.path(f"{PKI}/ca.crt").read_text(encoding="ascii")
    again = leaves.Leaves(w1.store("run"), w1.pki, w1.files(), NOW, leaves.Options(scope=leaves.SCOPE_DUE))
    changes = again.changes()
    again.apply(answers, {"kubernetes": ours})
    assert told(changes) == told(foretold)
    assert_pairs_fit(w1)
    assert not (tmp_path / "w1/run/kubeharden/pki.json").exists()
    assert w1.leaves(check=True)[0] == []


@pytest.mark.parametrize("said", [True, False])
def test_a_worker_knows_the_clusters_authority_among_those_of_its_kubelets_clients(tmp_path: Path, said: bool) -> None:
    """A control plane says which it is; where none takes part, the kubelet's own kubeconfig does."""
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    own = cp1.signers()["kubernetes"].facts
    ended = authority.create(profile.wanted_authority("monitoring"), NOW - 4000 * DAY).facts
    pair = {"certificate": f"{PKI}/clients.crt", "key": f"{PKI}/clients.key"}
    signer = {"signer": bundle.digest(own.public_key)} if said else {}
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True, pairs={"kubernetes": {**pair, **signer}})

    def renew(policy: Policy) -> None:
        options = leaves.Options(scope=leaves.SCOPE_DUE, policy=policy)
        planned = leaves.Leaves(w1.store("run"), w1.pki, w1.files(), NOW, options)
        answers = leaves.sign(w1.pki, planned.ask(), cp1.signers(), NOW, policy)
        again = leaves.Leaves(w1.store("run"), w1.pki, w1.files(), NOW, options)
        again.apply(answers, {"kubernetes": cp1.path(f"{PKI}/ca.crt").read_text(encoding="ascii")})

    renew(Policy())
    clients = w1.path(pair["certificate"])
    clients.write_bytes(bundle.join([ended, own]))
    kubeconfig = w1.path("/etc/kubernetes/kubelet.conf").read_bytes()
    assert w1.authorities(check=True).changes == []
    assert w1.leaves(check=True)[0] == []
    before = plan.stored_pair(w1.pki.leaf("kubelet-server"), w1.files())[0]
    renew(Policy(renew_all=True))
    after = plan.stored_pair(w1.pki.leaf("kubelet-server"), w1.files())[0]
    assert before is not None
    assert after is not None
    assert after.serial_number != before.serial_number
    assert issue.is_signed_by(after, own)
    # What the kubelet believes of the API server is nobody else's.
    assert w1.path("/etc/kubernetes/kubelet.conf").read_bytes() == kubeconfig


def test_the_authority_that_signs_now_counts_before_the_one_that_a_kubeconfig_trusts(tmp_path: Path) -> None:
    """While an authority is rotated a file holds both."""
    old, new = (authority.create(profile.wanted_authority("kubernetes"), NOW) for _number in range(2))
    pair = {"certificate": f"{PKI}/ca.crt", "key": f"{PKI}/ca.key"}
    for signer, found in ((bundle.digest(new.facts.public_key), new), ("", old)):
        w1 = Directory(tmp_path / (signer or "w1"), "w1", pairs={"kubernetes": {**pair, "signer": signer}})
        row = w1.pki.kubeconfigs[0]
        for path, content in (
            (pair["certificate"], bundle.join([new.facts, old.facts])),
            (row.path, kubeconfig.render(row.server, row.user, bundle.join([old.facts]), b"c", b"k")),
        ):
            w1.path(path).parent.mkdir(parents=True, exist_ok=True)
            w1.path(path).write_bytes(content)
        assert w1.signers()["kubernetes"].facts == found.facts
        brought = {"kubernetes": dataclasses.replace(new, key=None)}
        assert pki_files.load_authorities(w1.pki, w1.files(), NOW, brought)["kubernetes"].facts == new.facts


@pytest.mark.parametrize("age", [4000 * DAY, 300 * DAY], ids=["the old one has ended", "the old one is valid"])
def test_what_a_rotation_left_in_front_is_not_the_authority(tmp_path: Path, age: float) -> None:
    """Without its keys a host tells it by what it has signed, and a worker by what its kubelet trusts."""
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1")
    row = w1.pki.kubeconfigs[0]
    kubernetes = cp1.path(f"{PKI}/ca.crt").read_bytes()
    for name in ("ca", "etcd/ca", "front-proxy-ca"):
        old = authority.create(profile.wanted_authority(name.replace("/", "-")), NOW - age).facts
        present = cp1.path(f"{PKI}/{name}.crt")
        present.write_bytes(bundle.join([old]) + present.read_bytes())
        cp1.path(f"{PKI}/{name}.key").unlink()
    assert cp1.authorities(check=True).changes == []
    assert cp1.leaves(check=True)[0] == []
    trusted = cp1.path(f"{PKI}/ca.crt").read_bytes() if age > 3650 * DAY else kubernetes
    for path, content in (
        (f"{PKI}/ca.crt", cp1.path(f"{PKI}/ca.crt").read_bytes()),
        (row.path, kubeconfig.render(row.server, row.user, trusted, "/c", "/k")),
    ):
        w1.path(path).parent.mkdir(parents=True, exist_ok=True)
        w1.path(path).write_bytes(content)
    assert w1.signers()["kubernetes"].facts == bundle.parse(kubernetes, "ca.crt")[0]
    assert w1.authorities(check=True).changes == []


def test_what_a_host_may_not_have_is_not_signed(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    leaf = w1.pki.leaf("kubelet-server")
    key = keys.generate("ECDSA-P256")
    more = dataclasses.replace(leaf.profile, names=leaf.profile.names | names(["kubernetes"]))
    admin = profile.wanted("admin", ["system:masters"], usages=[profile.CLIENT])
    for wanted in (more, admin):
        request = leaves.Request("kubelet-server", issue.signing_request(wanted, key).decode("ascii"))
        with pytest.raises(HardeningError, match="was not signed"):
            leaves.sign(w1.pki, [request], cp1.signers(), NOW, Policy())
    unknown = leaves.Request("apiserver", issue.signing_request(leaf.profile, key).decode("ascii"))
    with pytest.raises(HardeningError, match="does not have for it"):
        leaves.sign(w1.pki, [unknown], cp1.signers(), NOW, Policy())


def like(host: Directory, name: str, signer: Directory, what: profile.Profile, own: bool) -> leaves.Request:
    """A request for a leaf, with a key of the asking host's own, and with a certificate of the authority's as its."""
    key = keys.generate("ECDSA-P256")
    wanted = dataclasses.replace(what, key_usages=profile.leaf_key_usages("ECDSA-P256"))
    authority = signer.signers()[host.pki.leaf(name).authority]
    current = issue.issue(wanted, keys.public_bytes(keys.generate("ECDSA-P256")), authority, NOW)
    request = issue.signing_request(wanted, key)
    return leaves.Request(name, request.decode("ascii"), issue.certificate_pem(current).decode("ascii"), own)


@pytest.mark.parametrize("own", [False, True])
def test_nobody_gets_what_the_authority_signed_for_another(tmp_path: Path, own: bool) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    leaf = w1.pki.leaf("kubelet-server")
    nodes = ["system:nodes"]
    for what, words in (
        (cp1.pki.leaf("apiserver").profile, "its common name is not 'system:node:w1'"),
        (cp1.pki.leaf("admin.conf").profile, "its common name is not 'system:node:w1'"),
        (profile.wanted("system:node:w2", nodes, leaf.profile.names, [profile.SERVER]), "its common name is not"),
        (
            profile.wanted("system:node:w1", [*nodes, "system:masters"], leaf.profile.names, [profile.SERVER]),
            "its organizations are none",
        ),
        (
            dataclasses.replace(leaf.profile, names=leaf.profile.names | names(["kubernetes", "192.0.2.1"])),
            "was not signed: its names are not" if own else "kubernetes, 192.0.2.1 is not among them",
        ),
        (
            dataclasses.replace(leaf.profile, other_names=frozenset({"RFC822Name:a@b.example"})),
            "other names are|example is",
        ),
    ):
        with pytest.raises(HardeningError, match=words):
            leaves.sign(w1.pki, [like(w1, "kubelet-server", cp1, what, own)], cp1.signers(), NOW, Policy())


def test_a_node_whose_address_is_another_now_gets_a_certificate_with_that(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    table = w1.pki.leaf("kubelet-server").profile
    before = like(w1, "kubelet-server", cp1, dataclasses.replace(table, names=names(["w1", "192.0.2.99"])), True)
    asked = dataclasses.replace(like(w1, "kubelet-server", cp1, table, True), current=before.current)
    answers = leaves.sign(w1.pki, [asked], cp1.signers(), NOW, Policy())
    assert profile.from_pem(answers["kubelet-server"].encode(), "here").profile.names == table.names


def test_a_host_gets_again_what_was_made_for_it(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    cp2 = Directory(tmp_path / "cp2", "cp2")
    fewer = dataclasses.replace(w1.pki.leaf("kubelet-server").profile, names=names(["w1"]))
    answers = leaves.sign(w1.pki, [like(w1, "kubelet-server", cp1, fewer, False)], cp1.signers(), NOW, Policy())
    assert profile.from_pem(answers["kubelet-server"].encode(), "here").profile.names == fewer.names
    # The groups of an earlier version, and a control plane's names that the table does not have.
    apiserver = cp2.pki.leaf("apiserver").profile
    more = dataclasses.replace(apiserver, names=apiserver.names | names(["old.example.org"]))
    masters = profile.wanted("kube-apiserver-kubelet-client", ["system:masters"], usages=[profile.CLIENT])
    # As kubeadm 1.28 made them, and as its renewal keeps them.
    etcds = {
        name: profile.wanted(
            cp2.pki.leaf(name).profile.subject.common_name, ["system:masters"], usages=[profile.CLIENT]
        )
        for name in ("apiserver-etcd-client", "etcd-healthcheck-client")
    }
    for name, what, own in (
        ("apiserver", more, False),
        ("apiserver", more, True),
        ("apiserver-kubelet-client", masters, False),
        *((name, what, False) for name, what in etcds.items()),
    ):
        answers = leaves.sign(cp2.pki, [like(cp2, name, cp1, what, own)], cp1.signers(), NOW, Policy())
        issued = profile.from_pem(answers[name].encode(), "here").profile
        assert (issued.subject, issued.names) == (what.subject, what.names)


def keys_elsewhere(host: Directory) -> Mapping[str, Authority]:
    """Take the authorities' keys away, as where the controller alone has them; what signs there."""
    signers = host.signers()
    for item in host.pki.authorities:
        host.path(item.path.key).unlink()
    return signers


def lay(host: Directory, name: str, signer: Authority, what: profile.Profile) -> None:
    """Lay a pair as somebody else made it."""
    key = keys.generate("ECDSA-P256")
    what = dataclasses.replace(what, key_usages=profile.leaf_key_usages("ECDSA-P256"))
    facts = issue.issue(what, keys.public_bytes(key), signer, NOW)
    path = host.pki.leaf(name).path
    assert path is not None
    host.path(path.certificate).write_bytes(issue.certificate_pem(facts))
    host.path(path.key).write_bytes(keys.private_pem(key))


def test_a_certificate_of_another_authority_is_asked_for_as_the_table_has_it(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    table = host.pki.leaf("apiserver").profile
    more = dataclasses.replace(table, names=table.names | names(["theirs.example.org"]))
    lay(host, "apiserver", authority.create(profile.wanted_authority("theirs"), NOW - DAY), more)
    signers = keys_elsewhere(host)
    for only in (("apiserver",), ()):
        planned = leaves.Leaves(
            host.store("run"), host.pki, host.files(), NOW, leaves.Options(scope=leaves.SCOPE_DUE, only=only)
        )
        planned.refuse_foreign()
        asked = planned.ask()
        assert [one.leaf for one in asked] == (["apiserver"] if only else [])
        if asked:
            planned.apply(leaves.sign(host.pki, asked, signers, NOW, Policy()), {})
    actual = plan.stored_pair(host.pki.leaf("apiserver"), host.files())[0]
    assert actual is not None
    assert actual.profile.names == table.names


def test_where_the_key_is_here_a_certificate_of_another_authority_loses_no_name(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    table = host.pki.leaf("apiserver").profile
    more = dataclasses.replace(table, names=table.names | names(["theirs.example.org"]))
    lay(host, "apiserver", authority.create(profile.wanted_authority("theirs"), NOW - DAY), more)
    host.leaves()
    actual = plan.stored_pair(host.pki.leaf("apiserver"), host.files())[0]
    assert actual is not None
    assert actual.profile.names == more.names


def test_nothing_is_signed_for_a_node_that_two_hosts_say_they_are() -> None:
    cluster = data.cluster({**CLUSTER, "nodes": [{"node_name": "cp1", "addresses": ["192.0.2.21"]}]})
    entry = {"node_name": "cp1", "layout": {}, "requests": [], "bundles": []}
    with pytest.raises(HardeningError, match="More than one host of the inventory says that it is the node 'cp1'"):
        pki_view.answer_all([(entry, cluster)], {}, {}, NOW, {})


def test_without_the_key_nothing_is_signed_and_the_way_out_is_named(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    leaf = w1.pki.leaf("kubelet-server")
    request = issue.signing_request(leaf.profile, keys.generate("ECDSA-P256")).decode("ascii")
    signers = {"kubernetes": dataclasses.replace(cp1.signers()["kubernetes"], key=None)}
    with pytest.raises(HardeningError, match="or set kubeharden_pki_requests_dir"):
        leaves.sign(w1.pki, [leaves.Request(leaf.name, request)], signers, NOW, Policy())


def test_what_the_authority_or_one_above_it_forbids_is_not_signed(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    w1 = Directory(tmp_path / "w1", "w1", kubelet_serving=True)
    leaf = w1.pki.leaf("kubelet-server")
    request = issue.signing_request(leaf.profile, keys.generate("ECDSA-P256")).decode("ascii")
    only = x509.NameConstraints([x509.DNSName("example.net")], None), True
    narrow = Odd(extensions=[*AUTHORITY_EXTENSIONS, only]).facts()
    signer = cp1.signers()["kubernetes"]
    for signers in (dataclasses.replace(signer, facts=narrow), dataclasses.replace(signer, above=(narrow,))):
        with pytest.raises(HardeningError, match="name constraints do not permit the name 'w1'"):
            leaves.sign(w1.pki, [leaves.Request(leaf.name, request)], {"kubernetes": signers}, NOW, Policy())


def test_without_a_signer_in_the_run_nothing_is_done_and_that_is_told(tmp_path: Path) -> None:
    w1 = Directory(tmp_path, "w1", kubelet_serving=True)
    changes, planned = w1.leaves(signer=False)
    assert changes == []
    assert not planned.asks
    assert any("takes no part in this run" in line for line in planned.not_done)
    assert list(tmp_path.iterdir()) == []


ETCD_LEAVES = ("apiserver-etcd-client", "etcd-server", "etcd-peer", "etcd-healthcheck-client")


@pytest.mark.parametrize("check", [True, False])
def test_what_an_authority_signs_whose_key_is_nowhere_stays_and_the_rest_is_renewed(
    tmp_path: Path, check: bool
) -> None:
    cp1 = made(Directory(tmp_path, "cp1"))
    cp1.path(f"{PKI}/etcd/ca.key").unlink()
    given: dict[str, Any] = {"without_key": frozenset({"etcd"}), "policy": Policy(renew_all=True)}
    etcds = {name: cp1.path(path.certificate).read_bytes() for name, path in _paths(cp1, *ETCD_LEAVES).items()}
    _changes, planned = cp1.leaves(check=check, **given)
    assert not planned.asks
    assert planned.new_in >= {path.certificate for path in _paths(cp1, "apiserver", "front-proxy-client").values()}
    assert {name: cp1.path(path.certificate).read_bytes() for name, path in _paths(cp1, *ETCD_LEAVES).items()} == etcds
    (sentence,) = planned.not_done
    assert sentence.startswith(f"{', '.join(ETCD_LEAVES)}: not issued anew, since the key of the authority 'etcd' is ")


def test_what_nobody_can_sign_is_no_work_of_a_later_playbook(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path, "cp1"), now=NOW - 300 * DAY)
    cp1.path(f"{PKI}/etcd/ca.key").unlink()
    changes, planned = cp1.leaves(scope="missing", without_key=frozenset({"etcd"}))
    assert changes == []
    assert len(planned.not_done) == 1
    told_later = [note for note in planned.notes if "rotate_certificates.yml does it" in note]
    assert told_later
    assert not [note for note in told_later if "etcd" in note]
    assert cp1.leaves(without_key=frozenset({"etcd"}), only=("apiserver",))[1].not_done == []


def test_where_nobody_has_the_authority_that_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    cp1 = Directory(tmp_path, "cp1")
    planned = leaves.Leaves(
        cp1.store("run"), cp1.pki, {}, NOW, leaves.Options(scope="due", without_key=frozenset({"kubernetes"}))
    )
    assert "kubernetes" in planned.wanted_bundles()
    with pytest.raises(HardeningError, match="authority 'kubernetes' is neither on this host nor on the one that was"):
        planned.apply({}, {"kubernetes": ""})
    assert not (tmp_path / "etc").exists()


def test_a_key_on_the_host_itself_signs_whatever_others_have(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path, "cp1"))
    _changes, planned = cp1.leaves(without_key=frozenset({"etcd", "kubernetes"}), policy=Policy(renew_all=True))
    assert planned.not_done == []
    assert {item.name for item in planned.issued} == {leaf.name for leaf in cp1.pki.leaves}


def _paths(host: Directory, *names_: str) -> dict[str, PairPath]:
    found = {leaf.name: leaf.path for leaf in host.pki.leaves if leaf.path is not None}
    return {name: found[name] for name in names_}


# Properties


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    role=st.sampled_from(["cp1", "cp2"]),
    spoilt=st.lists(st.sampled_from([spoil for spoil, _changed in STATES]), max_size=3),
    extra=st.lists(st.sampled_from(["api.example.org", "198.51.100.7", "2001:db8::7"]), unique=True),
    switches=st.fixed_dictionaries({"component_serving": st.booleans(), "kubelet_serving": st.booleans()}),
    policy=st.sampled_from([{}, {"key_algorithm": "ECDSA-P384"}, {"lifetime_days": 90}, {"keep_key": True}]),
)
def test_whatever_was_there_a_run_makes_it_right_and_the_next_has_nothing_to_do(
    tmp_path_factory: pytest.TempPathFactory,
    role: str,
    spoilt: list[Callable[[Directory], None]],
    extra: list[str],
    switches: dict[str, bool],
    policy: dict[str, Any],
) -> None:
    root = tmp_path_factory.mktemp("host")
    first = made(Directory(root, role))
    for spoil in dict.fromkeys(spoilt):
        if not (spoil in (_certificate_gone, _short_lived) and first.path(f"{PKI}/apiserver.crt").exists() is False):
            spoil(first)
    host = Directory(root, role, {**CLUSTER, "extra_names": extra}, **switches)
    chosen = data.policy(policy)
    foretold, _planned = host.leaves(check=True, policy=chosen)
    done, _planned = host.leaves(policy=chosen)
    assert told(done) == told(foretold)
    assert host.leaves(check=True, policy=chosen)[0] == []
    assert_pairs_fit(host)
    assert_no_key_is_open(root)
