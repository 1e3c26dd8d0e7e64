# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose authorities are outside: requests wait on it, answers are taken in, and each run can be foretold."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys, plan, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    CLUSTER,
    DAY,
    NOW,
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    told,
)

PKI = "/etc/kubernetes/pki"
REQUESTS = "/var/lib/kubeharden/requests"
HOUR = 3600.0
OUTSIDE = ("kubernetes", "front-proxy")
BELOW = {
    "apiserver",
    "apiserver-kubelet-client",
    "front-proxy-client",
    "admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
}


class Outsiders:
    """Authorities whose keys no host has, and what they sign."""

    def __init__(self) -> None:
        top = authority.create(profile.wanted_authority("top"), NOW - DAY)
        self.keys = {
            "kubernetes": authority.create_below(profile.wanted_authority("issuing"), top, NOW - DAY),
            "front-proxy": authority.create(profile.wanted_authority("proxies"), NOW - DAY),
        }
        self.brought = {name: dataclasses.replace(one, key=None) for name, one in self.keys.items()}

    def sign(
        self, asked: dict[str, str], now: float = NOW, lifetime: float = 24 * HOUR, usages: frozenset[str] = frozenset()
    ) -> Returned:
        """What the request asks for, or other usages."""
        found = issue.read_request(asked["request"].encode(), "the request")
        signer: Authority = next(
            one for one in self.keys.values() if str(one.facts.profile.subject) == asked["authority"]
        )
        wanted = dataclasses.replace(found.profile, extended_usages=usages or found.profile.extended_usages)
        facts = issue.issue(wanted, found.public_key, signer, now, lifetime)
        return Returned(issue.certificate_pem(facts, signer.chain), f"/requests/cp1/{asked['name']}.crt")


class Host(Directory):
    """A control plane of which the authorities for the API and for front proxies are outside."""

    def __init__(self, root: Path, outsiders: Outsiders, cluster: object = CLUSTER) -> None:
        super().__init__(root, "cp1", cluster)  # type: ignore[arg-type]
        self.outsiders = outsiders
        self.returned: dict[str, Returned] = {}
        self.authorities(create=True, brought=outsiders.brought)

    def call(self, check: bool = False, now: float = NOW, **options: Any) -> tuple[list[Change], leaves.Leaves]:
        """One call as a playbook makes it: what is in the directory of requests comes along."""
        return self.leaves(
            check,
            now,
            outside=frozenset(OUTSIDE),
            brought=self.outsiders.brought,
            returned=dict(self.returned),
            **options,
        )

    def come_back(self, names: Collection[str] = (), now: float = NOW, lifetime: float = 24 * HOUR) -> None:
        """Sign what waits."""
        _changes, planned = self.call(check=True, now=now)
        for one in planned.unsigned():
            if not names or one["name"] in names:
                self.returned[one["name"]] = self.outsiders.sign(one, now, lifetime)


def complete(host: Host, now: float = NOW, lifetime: float = 24 * HOUR) -> Host:
    host.call(now=now)
    host.come_back(now=now, lifetime=lifetime)
    host.call(now=now)
    host.returned.clear()
    return host


def _empty(_host: Host) -> None:
    """Authorities alone."""


def _asked(host: Host) -> None:
    host.call()


def _some_came_back(host: Host) -> None:
    host.call()
    host.come_back(["apiserver", "scheduler.conf"])


def _all_came_back(host: Host) -> None:
    host.call()
    host.come_back()


def _complete(host: Host) -> None:
    complete(host)


def _one_is_gone(host: Host) -> None:
    complete(host)
    host.path(f"{PKI}/apiserver.crt").unlink()


def _died_before_it_tidied(host: Host) -> None:
    host.call()
    host.come_back()
    kept = {path: path.read_bytes() for path in host.path(REQUESTS).iterdir()}
    host.call()
    for path, data in kept.items():
        path.write_bytes(data)


def _a_request_without_its_key(host: Host) -> None:
    host.call()
    host.path(f"{REQUESTS}/apiserver.key").unlink()


def _csr(*names: str) -> set[str]:
    return {f"{REQUESTS}/{name}.csr" for name in names}


def _pair(name: str) -> set[str]:
    return {f"{PKI}/{name}.crt", f"{PKI}/{name}.key"}


ETCD = _pair("apiserver-etcd-client") | _pair("etcd/server") | _pair("etcd/peer") | _pair("etcd/healthcheck-client")
CONFIGURATIONS = {f"/etc/kubernetes/{name}.conf" for name in ("admin", "controller-manager", "scheduler")}
FIRST = ETCD | _csr(*BELOW) | {"/etc/kubernetes/kubelet.conf"}
ALL = _pair("apiserver") | _pair("apiserver-kubelet-client") | _pair("front-proxy-client") | CONFIGURATIONS

# What is there, what the run writes, and what waits to be signed after it.
STATES: tuple[tuple[Callable[[Host], None], set[str], set[str]], ...] = (
    (_empty, FIRST, BELOW),
    (_asked, set(), BELOW),
    (
        _some_came_back,
        _pair("apiserver") | {"/etc/kubernetes/scheduler.conf"},
        BELOW - {"apiserver", "scheduler.conf"},
    ),
    (_all_came_back, ALL, set()),
    (_complete, set(), set()),
    (_one_is_gone, _csr("apiserver"), {"apiserver"}),
    (_died_before_it_tidied, set(), set()),
    (_a_request_without_its_key, _csr("apiserver"), BELOW),
)


@pytest.fixture(scope="module")
def outsiders() -> Outsiders:
    return Outsiders()


@pytest.mark.parametrize(("begin", "written", "waits"), STATES, ids=[state[0].__name__ for state in STATES])
def test_check_run_check_run(
    tmp_path: Path, outsiders: Outsiders, begin: Callable[[Host], None], written: set[str], waits: set[str]
) -> None:
    host = Host(tmp_path, outsiders)
    begin(host)
    before = host.state()
    foretold, planned = host.call(check=True)
    assert host.state() == before
    assert {one["name"] for one in planned.unsigned()} == waits
    done, planned = host.call()
    assert told(done) == told(foretold)
    assert {change.target for change in done if change.kind == "file"} == written
    unsigned = planned.unsigned()
    assert {one["name"] for one in unsigned} == waits
    assert all(one["request"].startswith("-----BEGIN CERTIFICATE REQUEST-----") for one in unsigned)
    assert {path.stem for path in host.path(REQUESTS).glob("*.key")} == waits
    for name in set(host.returned) - waits:
        del host.returned[name]  # as the controller does
    after = host.state()
    assert host.call(check=True)[0] == []
    again, planned = host.call()
    assert again == []
    assert planned.unsigned() == unsigned
    assert host.state() == after
    assert_no_key_is_open(tmp_path)


def test_what_came_back_is_laid_with_its_chain_and_nothing_of_a_key_was_told(
    tmp_path: Path, outsiders: Outsiders
) -> None:
    host = Host(tmp_path, outsiders)
    changes, planned = host.call()
    texts = "".join(line for *_rest, line in told(changes)) + repr(planned.unsigned())
    assert not [path for path in host.path(REQUESTS).glob("*.key") if path.read_text().splitlines()[1] in texts]
    assert {stat.S_IMODE(path.stat().st_mode) for path in host.path(REQUESTS).iterdir()} == {0o600}
    host.come_back()
    _changes, planned = host.call()
    assert {one.name for one in planned.issued} == BELOW
    assert_pairs_fit(host)
    issuing = outsiders.brought["kubernetes"].facts
    first, *above = bundle.parse(host.path(f"{PKI}/apiserver.crt").read_bytes(), "apiserver.crt")
    assert issue.is_signed_by(first, issuing)
    assert [one.fingerprint for one in above] == [issuing.fingerprint]
    assert host.path(f"{PKI}/ca.crt").read_bytes() == bundle.join([issuing])
    assert not host.path(f"{PKI}/ca.key").exists()
    assert host.path(f"{PKI}/etcd/ca.key").exists()


def test_a_short_life_is_renewed_when_two_thirds_of_it_are_left(tmp_path: Path, outsiders: Outsiders) -> None:
    host = complete(Host(tmp_path, outsiders))
    assert host.call(check=True, now=NOW + 7 * HOUR)[0] == []
    before = host.path(f"{PKI}/apiserver.key").read_bytes()
    changes, _planned = host.call(now=NOW + 9 * HOUR)
    assert {change.target for change in changes} == _csr(*BELOW)
    # What is there stays, with its key, until the answer comes.
    assert host.path(f"{PKI}/apiserver.key").read_bytes() == before
    host.come_back(now=NOW + 10 * HOUR)
    changes, _planned = host.call(now=NOW + 11 * HOUR)
    assert {change.target for change in changes} == ALL
    host.returned.clear()
    assert host.path(f"{PKI}/apiserver.key").read_bytes() != before
    assert host.call(now=NOW + 12 * HOUR)[0] == []
    assert_pairs_fit(host)


@pytest.mark.parametrize("algorithm", ["ECDSA-P521", "RSA-2560"])
def test_a_key_of_a_kind_that_nobody_may_choose_is_asked_for_once_and_taken_in(
    tmp_path: Path, outsiders: Outsiders, algorithm: str
) -> None:
    host = complete(Host(tmp_path, outsiders), lifetime=365 * DAY)
    leaf = host.pki.leaf("apiserver")
    key, signer = keys.generate(algorithm), outsiders.keys["kubernetes"]
    wanted = dataclasses.replace(leaf.profile, key_usages=profile.leaf_key_usages(algorithm))
    due = issue.issue(wanted, keys.public_bytes(key), signer, NOW - 20 * HOUR, 24 * HOUR)
    host.path(f"{PKI}/apiserver.crt").write_bytes(issue.certificate_pem(due, signer.chain))
    host.path(f"{PKI}/apiserver.key").write_bytes(keys.private_pem(key))
    assert {change.target for change in host.call()[0]} == _csr("apiserver")
    assert host.call()[0] == []
    host.come_back(lifetime=365 * DAY)
    assert {change.target for change in host.call()[0]} == _pair("apiserver")
    actual = plan.stored_pair(leaf, host.files())[0]
    assert actual is not None
    assert actual.profile.key_algorithm == algorithm


def test_all_that_was_asked_for_once_is_taken_in_without_asking_again(tmp_path: Path, outsiders: Outsiders) -> None:
    host = complete(Host(tmp_path, outsiders), lifetime=365 * DAY)
    changes, _planned = host.call(policy=Policy(renew_all=True), only=("apiserver", "admin.conf"))
    assert {change.target for change in changes} == _csr("apiserver", "admin.conf")
    host.come_back(["apiserver", "admin.conf"], lifetime=365 * DAY)
    before = host.path("/etc/kubernetes/admin.conf").read_bytes()
    changes, _planned = host.call()
    assert {change.target for change in changes} == _pair("apiserver") | {"/etc/kubernetes/admin.conf"}
    assert host.path("/etc/kubernetes/admin.conf").read_bytes() != before
    host.returned.clear()
    assert host.call()[0] == []


def test_a_key_that_is_kept_is_asked_for_again(tmp_path: Path, outsiders: Outsiders) -> None:
    host = complete(Host(tmp_path, outsiders), lifetime=365 * DAY)
    key = host.path(f"{PKI}/apiserver.key").read_bytes()
    policy = Policy(renew_all=True, keep_key=True)
    host.call(policy=policy, only=("apiserver",))
    host.come_back(["apiserver"], lifetime=365 * DAY)
    changes, _planned = host.call()
    assert {change.target for change in changes} == {f"{PKI}/apiserver.crt"}
    assert host.path(f"{PKI}/apiserver.key").read_bytes() == key
    assert_pairs_fit(host)


def test_on_a_running_host_what_came_back_waits_for_its_playbook(tmp_path: Path, outsiders: Outsiders) -> None:
    host = complete(Host(tmp_path, outsiders), lifetime=365 * DAY)
    host.call(policy=Policy(renew_all=True), only=("apiserver",))
    host.come_back(["apiserver"], lifetime=365 * DAY)
    changes, planned = host.call(scope=leaves.SCOPE_MISSING)
    assert changes == []
    assert [one["name"] for one in planned.unsigned()] == ["apiserver"]
    assert "The certificate 'apiserver' came back; rotate_certificates.yml takes it in." in planned.notes


def test_a_name_that_is_added_meanwhile_makes_a_new_request(tmp_path: Path, outsiders: Outsiders) -> None:
    host = Host(tmp_path, outsiders)
    host.call()
    host.come_back()
    wider = Host(tmp_path, outsiders, {**CLUSTER, "extra_names": ["api.example.org"]})
    wider.returned = dict(host.returned)
    changes, planned = wider.call()
    assert _csr("apiserver") <= {change.target for change in changes}
    assert [one["name"] for one in planned.unsigned()] == ["apiserver"]
    assert "api.example.org" in planned.unsigned()[0]["names"]
    # The old answer is not for the new key.
    with pytest.raises(HardeningError, match="it is for another key"):
        wider.call()


@pytest.mark.parametrize("check", [True, False])
def test_one_wrong_answer_keeps_all_from_being_written(tmp_path: Path, outsiders: Outsiders, check: bool) -> None:
    host = Host(tmp_path, outsiders)
    host.call()
    host.come_back()
    host.returned["apiserver"] = dataclasses.replace(
        host.returned["front-proxy-client"], where=host.returned["apiserver"].where
    )
    before = host.state()
    with pytest.raises(HardeningError, match=r"in /requests/cp1/apiserver.crt does not answer its request"):
        host.call(check=check)
    assert host.state() == before


def test_an_answer_with_both_usages_is_adopted_as_it_is(tmp_path: Path, outsiders: Outsiders) -> None:
    host = Host(tmp_path, outsiders)
    _changes, planned = host.call()
    both = frozenset({profile.SERVER, profile.CLIENT})
    for one in planned.unsigned():
        host.returned[one["name"]] = outsiders.sign(one, lifetime=365 * DAY, usages=both)
    host.call()
    host.returned.clear()
    assert host.call()[0] == []
    found = plan.stored_pair(host.pki.leaf("apiserver"), host.files())[0]
    assert found is not None
    assert found.profile.extended_usages == both
