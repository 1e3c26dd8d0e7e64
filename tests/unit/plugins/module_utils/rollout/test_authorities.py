# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities of a host: made once, never replaced, carried to others as ciphertext."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    data,
    issue,
    profile,
    sealed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import (
    Authorities,
    Brought,
    Making,
    Outcome,
    open_pair,
    proof_of,
    seal_pair,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.leaves import SCOPE_DUE, Leaves, Options
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import answer_all
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    AUTHORITY_EXTENSIONS,
    Odd,
    key,
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
NAMES = ["kubernetes", "etcd", "front-proxy", "service-account"]


def test_a_second_call_has_nothing_to_do(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    foretold = host.authorities(check=True, create=True)
    assert list(tmp_path.iterdir()) == []
    done = host.authorities(create=True)
    assert told(done.changes) == told(foretold.changes)
    assert done.missing == NAMES
    state = host.state()
    assert host.authorities(create=True).changes == []
    assert host.state() == state
    assert_no_key_is_open(tmp_path)


def test_another_control_plane_takes_them_sealed(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    cp2 = Directory(tmp_path / "cp2", "cp2")
    foretold = cp2.authorities(check=True, source=True)
    shown = {change.target: change.after for change in foretold.changes}
    assert shown[f"{PKI}/sa.key"] == (
        "private key: that signs tokens of service accounts, from the control plane that has it\n"
    )
    asked = cp2.authorities(source=True, run_id="run")
    assert (asked.changes, asked.missing) == ([], NAMES)
    assert not (tmp_path / "cp2/etc").exists()
    given = _given(cp1, asked.receiver)
    secret = cp1.path(f"{PKI}/ca.key").read_text(encoding="ascii").splitlines()[1]
    assert secret not in json.dumps(given)
    done = cp2.authorities(source=True, taken=given, run_id="run")
    assert told(done.changes) == told(foretold.changes)
    for name in ("ca.crt", "ca.key", "etcd/ca.key", "front-proxy-ca.key", "sa.key", "sa.pub"):
        assert cp2.path(f"{PKI}/{name}").read_bytes() == cp1.path(f"{PKI}/{name}").read_bytes()
    assert not cp2.path("/run/kubeharden/pki.json").exists()
    cp2.leaves()
    assert_pairs_fit(cp2)
    assert_no_key_is_open(tmp_path)


def _given(host: Directory, receiver: str, run_id: str = "run", node: str = "cp2") -> dict[str, dict[str, str]]:
    found = Authorities(host.store(run_id), host.pki, host.files(), NOW, Making())
    return found.give(NAMES, receiver, node)


@pytest.mark.parametrize(("run_id", "node"), [("another run", "cp2"), ("run", "cp3")])
def test_what_was_sealed_for_another_run_or_host_is_not_opened(tmp_path: Path, run_id: str, node: str) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    cp2 = Directory(tmp_path / "cp2", "cp2")
    asked = cp2.authorities(source=True, run_id="run")
    with pytest.raises(HardeningError, match="could not be opened"):
        cp2.authorities(source=True, taken=_given(cp1, asked.receiver, run_id, node), run_id="run")
    assert not (tmp_path / "cp2/etc").exists()


def test_one_that_is_missing_is_not_made_where_others_may_have_it(tmp_path: Path) -> None:
    outcome = Directory(tmp_path, "cp1").authorities()
    assert (outcome.changes, outcome.missing) == ([], [])
    assert "no control plane that has them takes part" in outcome.not_done[0]


def _without_certificate(host: Directory) -> None:
    host.path(f"{PKI}/ca.crt").unlink()


def _without_both(host: Directory) -> None:
    host.path(f"{PKI}/ca.crt").unlink()
    host.path(f"{PKI}/ca.key").unlink()


def _truncated_key(host: Directory) -> None:
    host.path(f"{PKI}/ca.key").write_bytes(host.path(f"{PKI}/ca.key").read_bytes()[:80])


def _joined_without_newline(host: Directory) -> None:
    text = host.path(f"{PKI}/ca.crt").read_bytes()
    host.path(f"{PKI}/ca.crt").write_bytes(text.rstrip() + text)


def _another_key(host: Directory) -> None:
    host.path(f"{PKI}/ca.key").write_bytes(host.path(f"{PKI}/etcd/ca.key").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_certificate, "never replaced"),
        (_without_both, "never replaced"),
        (_truncated_key, "truncated"),
        (_joined_without_newline, "without a newline"),
        (_another_key, "does not belong"),
    ],
)
def test_a_damaged_authority_is_refused_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Directory], None], words: str
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    spoil(host)
    state = host.state()
    with pytest.raises(HardeningError, match=words):
        host.authorities(create=True)
    assert host.state() == state


def test_an_authority_that_has_ended_is_refused(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    with pytest.raises(HardeningError, match="it ended on"):
        host.authorities(now=NOW + 3651 * DAY)


CLIENTS = f"{PKI}/clients.crt"


@pytest.mark.parametrize(
    ("spoilt", "names"),
    [
        pytest.param(f"{PKI}/ca.crt", ("ca", "front-proxy-ca"), id="beside the clients' authority"),
        pytest.param(CLIENTS, ("ca", "front-proxy-ca"), id="in a bundle by which clients are believed"),
        pytest.param(f"{PKI}/front-proxy-ca.crt", ("front-proxy-ca", "ca"), id="the clients' beside the front proxy's"),
    ],
)
@pytest.mark.parametrize("renews", [False, True])
def test_no_authority_among_several_is_the_front_proxys_and_the_clients(
    tmp_path: Path, spoilt: str, names: tuple[str, ...], renews: bool
) -> None:
    host = made(Directory(tmp_path, "cp1", believed={"kubernetes": [CLIENTS]}))
    apart = host.path(f"{PKI}/ca.crt").read_bytes() + authority.files(_own("clients"))[0]
    host.path(CLIENTS).write_bytes(apart)
    assert host.authorities().changes == []
    assert host.leaves(check=True)[0] == []
    host.path(spoilt).write_bytes(b"".join(host.path(f"{PKI}/{name}.crt").read_bytes() for name in names))
    state = host.state()
    with pytest.raises(HardeningError, match="any client certificate could speak for any user"):
        host.leaves() if renews else host.authorities()
    assert host.state() == state


def test_an_open_key_is_closed_and_told(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    host.path(f"{PKI}/ca.key").chmod(0o644)
    outcome = host.authorities()
    assert [(change.kind, change.target, change.after) for change in outcome.changes] == [
        ("attributes", f"{PKI}/ca.key", f"{PKI}/ca.key mode 0600\n")
    ]
    assert_no_key_is_open(tmp_path)
    assert host.authorities().changes == []


def test_a_key_that_a_static_pod_reads_as_another_user_is_left_open_to_it(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    key = host.path("/etc/kubernetes/pki/sa.key")
    key.chmod(0o640)
    assert host.authorities(rootless=["/etc/kubernetes/pki/sa.key"]).changes == []
    assert key.stat().st_mode & 0o777 == 0o640


def test_a_missing_public_half_is_written(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    before = host.path(f"{PKI}/sa.pub").read_bytes()
    host.path(f"{PKI}/sa.pub").unlink()
    outcome = host.authorities()
    assert [change.target for change in outcome.changes] == [f"{PKI}/sa.pub"]
    assert host.path(f"{PKI}/sa.pub").read_bytes() == before


# The key of service accounts


def _damage(host: Directory, name: str, content: bytes | None) -> None:
    path = host.path(f"{PKI}/{name}")
    mode = path.stat().st_mode if path.exists() else 0o600
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)


@pytest.mark.parametrize(
    ("length", "words"), [(None, "is missing; nothing was changed"), (0, "no private key"), (80, "truncated")]
)
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("create", [True, False])
def test_a_lost_or_damaged_service_account_key_is_the_users_decision(
    tmp_path: Path, length: int | None, words: str, check: bool, create: bool
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    whole = host.path(f"{PKI}/sa.key").read_bytes()
    _damage(host, "sa.key", None if length is None else whole[:length])
    state = host.state()
    with pytest.raises(HardeningError, match=words):
        host.authorities(check=check, create=create)
    assert host.state() == state


def test_a_lost_service_account_key_comes_from_another_control_plane(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    cp2 = Directory(tmp_path / "cp2", "cp2")
    asked = cp2.authorities(source=True, run_id="run")
    cp2.authorities(source=True, taken=_given(cp1, asked.receiver), run_id="run")
    older = authority.service_account_pair()[0]
    public = cp2.path(f"{PKI}/sa.pub").read_bytes() + older
    _damage(cp2, "sa.pub", public)
    _damage(cp2, "sa.key", None)
    foretold = cp2.authorities(check=True, source=True)
    asked = cp2.authorities(source=True, run_id="again")
    assert asked.missing == ["service-account"]
    done = cp2.authorities(source=True, taken=_given(cp1, asked.receiver, "again"), run_id="again")
    assert told(done.changes) == told(foretold.changes)
    assert [change.target for change in done.changes] == [f"{PKI}/sa.key"]
    assert cp2.path(f"{PKI}/sa.key").read_bytes() == cp1.path(f"{PKI}/sa.key").read_bytes()
    assert cp2.path(f"{PKI}/sa.pub").read_bytes() == public
    assert cp2.authorities(source=True).changes == []
    # One that signs with another key cannot help.
    _damage(cp2, "sa.pub", older)
    _damage(cp2, "sa.key", None)
    asked = cp2.authorities(source=True, run_id="third")
    state = cp2.state()
    with pytest.raises(HardeningError, match="does not belong to /etc/kubernetes/pki/sa"):
        cp2.authorities(source=True, taken=_given(cp1, asked.receiver, "third"), run_id="third")
    assert cp2.state() == state


def test_a_public_half_that_no_file_has_is_put_in_front(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1", believed={"service-account": [f"{PKI}/sa-new.pub"]}))
    other, secret = authority.service_account_pair()
    _damage(host, "sa.key", secret)
    before = host.path(f"{PKI}/sa.pub").read_bytes()
    # While keys are rotated it stands in a file of its own, which another flag names.
    host.path(f"{PKI}/sa-new.pub").write_bytes(other)
    assert host.authorities().changes == []
    host.path(f"{PKI}/sa-new.pub").unlink()
    foretold = host.authorities(check=True)
    assert told(host.authorities().changes) == told(foretold.changes)
    assert [(change.action, change.target) for change in foretold.changes] == [("update", f"{PKI}/sa.pub")]
    assert host.path(f"{PKI}/sa.pub").read_bytes() == other + before
    assert host.authorities().changes == []


# Brought by the user


def _own(common_name: str = "ours", **changes: Any) -> Authority:
    return authority.create(profile.wanted_authority(common_name, ["Example"]), NOW - DAY, **changes)


def _below(common_name: str = "below", above: Authority | None = None) -> Authority:
    return authority.create_below(profile.wanted_authority(common_name), above or _own("top"), NOW - DAY)


@dataclasses.dataclass(frozen=True)
class State:
    """What is there, what is brought, and which files the run then writes."""

    brought: dict[str, Authority]
    written: set[str]
    there: dict[str, Authority] = dataclasses.field(default_factory=dict)


def _pairs(*paths: str) -> set[str]:
    return {f"{PKI}/{path}{suffix}" for path in paths for suffix in (".crt", ".key")}


OURS, BELOW = _own(), _below()
RSA = _own("rsa", algorithm="RSA-2048")
SERVICE_ACCOUNTS = {f"{PKI}/sa.key", f"{PKI}/sa.pub"}
STATES = {
    "one, and the others are made": State(
        {"kubernetes": OURS}, _pairs("ca", "etcd/ca", "front-proxy-ca") | SERVICE_ACCOUNTS
    ),
    "all": State(
        {"kubernetes": OURS, "etcd": RSA, "front-proxy": _own("proxies")},
        _pairs("ca", "etcd/ca", "front-proxy-ca") | SERVICE_ACCOUNTS,
    ),
    "an intermediate with what is above it": State(
        {"etcd": BELOW}, _pairs("ca", "etcd/ca", "front-proxy-ca") | SERVICE_ACCOUNTS | {f"{PKI}/etcd/ca-chain.crt"}
    ),
    "one without its key": State(
        {"kubernetes": dataclasses.replace(BELOW, key=None)},
        {f"{PKI}/ca.crt", f"{PKI}/ca-chain.crt"} | _pairs("etcd/ca", "front-proxy-ca") | SERVICE_ACCOUNTS,
    ),
    "the same is there": State({"kubernetes": OURS}, set(), {"kubernetes": OURS}),
    "an intermediate is there, and what is above it is brought later": State(
        {"kubernetes": BELOW}, {f"{PKI}/ca-chain.crt"}, {"kubernetes": dataclasses.replace(BELOW, above=())}
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_brought_check_run_check_run(tmp_path: Path, name: str) -> None:
    state = STATES[name]
    host = Directory(tmp_path, "cp1")
    if state.there:
        host.authorities(create=True, brought=state.there)
        host.leaves()
    before = host.state()
    foretold = host.authorities(check=True, create=True, brought=state.brought)
    assert host.state() == before
    done = host.authorities(create=True, brought=state.brought)
    assert told(done.changes) == told(foretold.changes)
    assert {change.target for change in done.changes if change.kind == "file"} == state.written
    after = host.state()
    assert host.authorities(check=True, create=True, brought=state.brought).changes == []
    assert host.authorities(create=True, brought=state.brought).changes == []
    assert host.state() == after
    files, paths = host.files(), {item.name: item.path for item in host.pki.authorities}
    for one, brought in state.brought.items():
        if brought.key is None:
            assert paths[one].key not in files
            continue
        assert (files[paths[one].certificate], files[paths[one].key]) == authority.files(brought)
    if all(brought.key is not None for brought in state.brought.values()):
        host.leaves()
        assert_pairs_fit(host)
    assert_no_key_is_open(tmp_path)


def test_what_is_below_a_brought_intermediate_is_served_with_it(tmp_path: Path) -> None:
    middle = _below("middle")
    own = _below("own", middle)
    host = Directory(tmp_path, "cp1")
    host.authorities(create=True, brought={"kubernetes": own})
    host.leaves()
    expected = [own.facts, middle.facts]
    for path in (f"{PKI}/apiserver.crt", f"{PKI}/apiserver-kubelet-client.crt"):
        first, *above = bundle.parse(host.path(path).read_bytes(), path)
        assert issue.is_signed_by(first, own.facts)
        assert [one.fingerprint for one in above] == [one.fingerprint for one in expected]
    # kube-controller-manager signs with a file of one certificate only.
    assert host.path(f"{PKI}/ca.crt").read_bytes() == bundle.join([own.facts])
    assert len(bundle.parse(host.path(f"{PKI}/etcd/server.crt").read_bytes(), "etcd")) == 1


def test_a_brought_authority_is_given_to_the_next_control_plane_like_any_other(tmp_path: Path) -> None:
    cp1 = Directory(tmp_path / "cp1", "cp1")
    cp1.authorities(create=True, brought={"kubernetes": BELOW})
    cp2 = Directory(tmp_path / "cp2", "cp2")
    asked = cp2.authorities(source=True, run_id="run")
    cp2.authorities(source=True, taken=_given(cp1, asked.receiver), run_id="run")
    assert cp2.path(f"{PKI}/ca.key").read_bytes() == cp1.path(f"{PKI}/ca.key").read_bytes()


def _narrow() -> Authority:
    only = x509.NameConstraints([x509.DNSName("example.net")], None), True
    return Authority(Odd(extensions=[*AUTHORITY_EXTENSIONS, only]).facts(), key())


def _empty(_host: Directory) -> None:
    """Nothing is there."""


def _with_leaves(host: Directory) -> None:
    made(host)


def _leaves_alone(host: Directory) -> None:
    made(host)
    _without_both(host)


@pytest.mark.parametrize(
    ("begin", "brought", "words"),
    [
        pytest.param(_with_leaves, {"kubernetes": OURS}, "never replaced", id="another is there"),
        pytest.param(_leaves_alone, {"kubernetes": OURS}, "was not issued by", id="another issued what is there"),
        pytest.param(_empty, {"kubernetes": _narrow()}, "name constraints do not permit", id="name constraints"),
        pytest.param(_empty, {"kubernetes": OURS, "front-proxy": OURS}, "for any user", id="one for front proxies too"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_may_not_be_brought_is_refused_and_nothing_is_written(
    tmp_path: Path, begin: Callable[[Directory], None], brought: dict[str, Authority], words: str, check: bool
) -> None:
    host = Directory(tmp_path, "cp1")
    begin(host)
    state = host.state()
    with pytest.raises(HardeningError, match=words):
        host.authorities(check=check, create=True, brought=brought)
    assert host.state() == state


def test_the_one_that_issued_what_is_there_comes_back(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    lost = host.signers()["kubernetes"]
    _without_both(host)
    done = host.authorities(create=True, brought={"kubernetes": lost})
    assert {change.target for change in done.changes} == _pairs("ca")
    assert host.leaves(check=True)[0] == []


def test_what_was_sealed_as_brought_must_be_what_is_declared(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    store = host.store("run")
    public = {"kubernetes": dataclasses.replace(OURS, key=None)}
    found = Authorities(store, host.pki, host.files(), NOW, Making(), Brought(public, ["kubernetes"]))
    settings: dict[str, Any] = {"create": True, "source": False, "node": "cp1", "repair": True, "check": False}
    asked = found.settle(taken=None, **settings)
    given = {"kubernetes": seal_pair(authority.files(_own("other")), asked.receiver, "run", "cp1", "kubernetes")}
    with pytest.raises(HardeningError, match="never replaced"):
        found.settle(taken=given, **settings)
    assert not (tmp_path / "etc").exists()


# Keys that the controller alone has

KEPT = {"kubernetes": _own("kubernetes"), "etcd": _own("etcd-ca"), "front-proxy": _own("front-proxy-ca")}
ALL_OF_THEM = tuple(KEPT)


def _kept(
    host: Directory, check: bool = False, certificates: bool = True, made: Iterable[str] = ALL_OF_THEM
) -> Outcome:
    """A call as it is made where the controller makes authorities and keeps their keys."""
    store = host.store()
    public = {name: dataclasses.replace(one, key=None) for name, one in KEPT.items()} if certificates else {}
    brought = Brought(public, list(public), list(public), list(made))
    found = Authorities(store, host.pki, host.files(), NOW, Making(), brought)
    return found.settle(create=True, source=False, taken=None, node=host.node, repair=True, check=check)


def test_a_host_is_looked_at_before_the_controller_makes_what_it_keeps(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1", authority_keys_on_hosts=False)
    foretold = _kept(host, check=True, certificates=False)
    looked = _kept(host, certificates=False)
    assert (looked.changes, looked.missing, looked.receiver) == ([], NAMES, "")
    assert list(tmp_path.iterdir()) == []
    done = _kept(host)
    assert told(done.changes) == told(foretold.changes)
    written = {f"{PKI}/{name}" for name in ("ca.crt", "etcd/ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub")}
    assert {change.target for change in done.changes if change.kind == "file"} == written
    files = host.files()
    assert {path for path in files if path.startswith(PKI)} == written
    for item in host.pki.authorities:
        assert files[item.path.certificate] == authority.files(KEPT[item.name])[0]
    assert _kept(host, made=()).changes == []


def test_the_controller_makes_nothing_where_its_certificate_alone_is_lost(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    _without_both(host)
    state = host.state()
    with pytest.raises(HardeningError, match="was issued by one"):
        _kept(host, certificates=False)
    assert host.state() == state


def test_what_the_controller_keeps_signs_for_every_host(tmp_path: Path) -> None:
    """Requests of a control plane and of a node, answered without a file of either."""
    bundles = {name: authority.files(one)[0] for name, one in KEPT.items()}
    for node in ("cp1", "w1"):
        host = Directory(tmp_path / node, node, authority_keys_on_hosts=False)
        if node == "cp1":
            _kept(host)
        store = host.store("run")
        found = Leaves(store, host.pki, host.files(), NOW, Options(scope=SCOPE_DUE))
        entry: dict[str, Any] = {
            "node_name": node,
            "layout": {},
            "requests": [dataclasses.asdict(request) for request in found.ask()],
            "bundles": found.wanted_bundles(),
        }
        answered = answer_all([(entry, data.cluster(CLUSTER))], KEPT, bundles, NOW, {})
        found.apply(answered["answers"][node], answered["bundles"][node])
        assert_pairs_fit(host)
        assert host.path(f"{PKI}/ca.crt").read_bytes() == bundles["kubernetes"]
        assert not host.path(f"{PKI}/ca.key").exists()
        again = Leaves(host.store(), host.pki, host.files(), NOW, Options(scope=SCOPE_DUE))
        assert (again.changes(), again.asks) == ([], False)


def test_one_that_the_controller_does_not_keep_signs_nothing(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1", authority_keys_on_hosts=False)
    _kept(host)
    found = Leaves(host.store("run"), host.pki, host.files(), NOW, Options(scope=SCOPE_DUE))
    requests = [dataclasses.asdict(request) for request in found.ask()]
    entry = {"node_name": "cp1", "layout": {}, "requests": requests, "bundles": []}
    some = {"kubernetes": KEPT["kubernetes"]}
    with pytest.raises(HardeningError, match="lay it in kubeharden_pki_authorities_dir"):
        answer_all([(entry, data.cluster(CLUSTER))], some, {}, NOW, {})


# Keys that are taken away

CA_KEYS = {f"{PKI}/{name}" for name in ("ca.key", "etcd/ca.key", "front-proxy-ca.key")}


def _take_away(host: Directory, proofs: dict[str, str], check: bool = False, node: str = "cp1") -> list[Change]:
    found = Authorities(host.store("run"), host.pki, host.files(), NOW, Making())
    return found.take_away(proofs, node, check)


def _proofs(host: Directory, run_id: str = "run") -> dict[str, str]:
    signers = host.signers()
    return {name: proof_of(one.key, run_id, "cp1", name) for name, one in signers.items() if one.key is not None}


def test_keys_that_the_controller_proves_to_have_are_removed_for_good(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    secrets = [host.path(path).read_bytes() for path in CA_KEYS]
    proofs = _proofs(host)
    state = host.state()
    foretold = _take_away(host, proofs, check=True)
    assert host.state() == state
    done = _take_away(host, proofs)
    assert told(done) == told(foretold)
    assert {(change.action, change.target) for change in done} == {("remove", path) for path in CA_KEYS}
    assert not any(host.path(path).exists() for path in CA_KEYS)
    assert host.path(f"{PKI}/sa.key").exists()
    # Nor is a copy left, and whoever puts the run back is told.
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(secret in data for secret in secrets for data in left)
    record = (tmp_path / "var/lib/kubeharden/backups/run").rglob("*.json")
    noted = [entry for path in record for entry in json.loads(path.read_text("utf-8"))["entries"]]
    assert {entry["target"] for entry in noted if entry["kind"] == "one_way"} == CA_KEYS
    assert _take_away(host, proofs) == []


def _another_run(host: Directory) -> dict[str, str]:
    return _proofs(host, "another")


def _of_another_key(host: Directory) -> dict[str, str]:
    proofs = _proofs(host)
    return {**proofs, "etcd": proofs["kubernetes"]}


def _no_signature(host: Directory) -> dict[str, str]:
    return {**_proofs(host), "front-proxy": ""}


@pytest.mark.parametrize("spoil", [_another_run, _of_another_key, _no_signature])
@pytest.mark.parametrize("check", [True, False])
def test_without_a_proof_that_holds_no_key_is_removed(
    tmp_path: Path, spoil: Callable[[Directory], dict[str, str]], check: bool
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    proofs = spoil(host)
    with pytest.raises(HardeningError, match="so no key was removed"):
        _take_away(host, proofs, check)
    assert all(host.path(path).exists() for path in CA_KEYS)


def test_what_is_sealed_for_the_controller_comes_with_those_above_it(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    host.authorities(create=True, brought={"kubernetes": BELOW})
    receiver = sealed.new_receiver()
    public = base64.b64encode(receiver.public).decode("ascii")
    found = Authorities(host.store("run"), host.pki, host.files(), NOW, Making())
    given = found.give(["kubernetes"], public, "the controller", chain=True)
    certificate, secret = open_pair(given["kubernetes"], receiver, "run", "the controller", "kubernetes")
    assert certificate == bundle.join([BELOW.facts, *BELOW.above])
    assert secret == host.path(f"{PKI}/ca.key").read_bytes()
    assert secret.decode().splitlines()[1] not in json.dumps(given)
