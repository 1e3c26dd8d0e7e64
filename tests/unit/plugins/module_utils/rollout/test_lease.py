# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the cluster, against an API that keeps one object and its versions."""

from __future__ import annotations

import json
import typing as t
from email.utils import formatdate

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION, Holder
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import lease
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import (
    RENEW_AFTER,
    RENEW_WITHIN,
    Keeping,
    Lease,
)

FIRST = Holder("first", "one boot", "100 5000", 0.0, True)
SECOND = Holder("second", "two boot", "200 6000", 0.0, True)
BEGIN = 1_800_000_000.0


class Api:
    """What an API server does with the object."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.version = 0
        self.object: dict[str, t.Any] | None = None
        self.away = False
        #: Called before each write, so that another one may come first.
        self.before_write: t.Callable[[], None] = lambda: None
        self.writes = 0
        #: Called while somebody waits.
        self.while_waiting: t.Callable[[], None] = lambda: None

    def _answer(self, status: int, document: t.Any = None) -> Answer:
        date = formatdate(self.now, usegmt=True)
        return Answer(status, json.dumps(document).encode(), headers={"date": date})

    def get(self, path: str) -> Answer:
        assert path == "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kubeharden"
        if self.away:
            return Answer(0, reason="refused")
        return self._answer(200, self.object) if self.object else self._answer(404)

    def post(self, path: str, body: str) -> Answer:
        assert path.endswith("/leases")
        self._hurry()
        if self.object:
            return self._answer(409)
        return self._store(json.loads(body), 201)

    def put(self, _path: str, body: str) -> Answer:
        self._hurry()
        document = json.loads(body)
        if not self.object or document["metadata"]["resourceVersion"] != str(self.version):
            return self._answer(409)
        return self._store(document, 200)

    def delete(self, _path: str, body: str) -> Answer:
        self._hurry()
        conditions = json.loads(body)["preconditions"]
        if not self.object:
            return self._answer(404)
        if conditions["resourceVersion"] != str(self.version) or conditions["uid"] != "u":
            return self._answer(409)
        self.object = None
        return self._answer(200)

    def _hurry(self) -> None:
        act, self.before_write = self.before_write, lambda: None
        act()

    def _store(self, document: dict[str, t.Any], status: int) -> Answer:
        self.version += 1
        self.writes += 1
        self.object = document
        document["metadata"] = {**document["metadata"], "uid": "u", "resourceVersion": str(self.version)}
        return self._answer(status, document)


@pytest.fixture
def api() -> Api:
    return Api()


def lock(api: Api) -> Lease:
    return Lease(t.cast(t.Any, api))


def test_one_has_it_and_the_other_is_told(api: Api) -> None:
    assert lock(api).acquire(FIRST) is None
    assert api.object is not None
    assert api.object["spec"]["holderIdentity"] == "first"
    held = lock(api).acquire(SECOND)
    assert held == Holder("first", "one boot", "100 5000", BEGIN, True)
    assert lock(api).blocking(SECOND) == held
    assert lock(api).blocking(FIRST) is None
    assert lock(api).release("second") is False
    assert lock(api).release("first") is True
    assert lock(api).blocking(SECOND) is None
    assert lock(api).release("first") is False


def test_looking_writes_nothing(api: Api) -> None:
    assert lock(api).blocking(FIRST) is None
    assert (api.object, api.writes) == (None, 0)


@pytest.mark.parametrize("there", [False, True])
def test_of_two_that_see_it_free_one_gets_it(api: Api, there: bool) -> None:
    if there:
        lock(api).acquire(Holder("old", "one boot", "1 1", 0.0, True))
        api.now += DURATION + 1
    second = lock(api)
    api.before_write = lambda: t.cast(None, lock(api).acquire(FIRST))
    held = second.acquire(SECOND)
    assert held is not None
    assert held.run_id == "first"
    assert second.taken_over == ""


def test_it_ends_by_itself_after_its_last_renewal(api: Api) -> None:
    lock(api).acquire(FIRST)
    api.now += DURATION
    lock(api).renew("first")
    api.now += DURATION
    assert lock(api).acquire(SECOND) is not None
    api.now += 1
    second = lock(api)
    assert second.acquire(SECOND) is None
    assert second.taken_over == "first"
    with pytest.raises(HardeningError, match="Run second from two has taken the lock of the cluster"):
        lock(api).renew("first")


def test_a_run_whose_lock_was_taken_over_does_nothing_more_when_the_other_has_ended(api: Api) -> None:
    """Nobody holds it by then, which is what a run finds as well that began while the API was away."""
    lock(api).acquire(FIRST)
    api.now += DURATION + 1
    assert lock(api).acquire(SECOND) is None
    lock(api).release("second")
    with pytest.raises(HardeningError, match="Run first does not have the lock of the cluster"):
        lock(api).renew("first")
    lock(api).renew("first", taken=False)
    lock(api).acquire(SECOND)
    with pytest.raises(HardeningError, match="Run second from two has taken the lock of the cluster"):
        lock(api).renew("first", taken=False)


def test_a_run_that_is_known_to_be_dead_is_taken_over_at_once(api: Api) -> None:
    lock(api).acquire(FIRST)
    second = lock(api)
    assert second.acquire(SECOND, dead="first") is None
    assert second.taken_over == "first"


def test_it_is_renewed_seldom_and_keeps_its_begin(api: Api) -> None:
    lock(api).acquire(FIRST)
    lock(api).renew("first")
    lock(api).acquire(FIRST)
    assert api.writes == 1
    api.now += RENEW_AFTER
    lock(api).renew("first")
    assert api.writes == 2
    assert api.object is not None
    assert api.object["spec"]["acquireTime"] < api.object["spec"]["renewTime"]
    assert api.object["metadata"]["annotations"] == {
        "kubeharden.core/controller": "one boot",
        "kubeharden.core/process": "100 5000",
    }


def test_an_api_that_is_away_is_no_answer_and_a_renewal_needs_none(api: Api) -> None:
    lock(api).acquire(FIRST)
    api.away = True
    for ask in (lock(api).acquire, lock(api).blocking):
        with pytest.raises(lease.UnknownError, match="it answered refused"):
            ask(SECOND)
    with pytest.raises(lease.UnknownError):
        lock(api).release("first")
    lock(api).renew("first")


def test_what_somebody_emptied_or_broke_is_free(api: Api) -> None:
    api.post("/leases", json.dumps({"metadata": {}, "spec": {"holderIdentity": "x", "renewTime": "soon"}}))
    assert lock(api).acquire(FIRST) is None
    api.object = {"metadata": {"resourceVersion": str(api.version)}, "spec": {}}
    with pytest.raises(HardeningError, match="Run first does not have the lock of the cluster"):
        lock(api).renew("first")
    assert lock(api).acquire(SECOND) is None


def joining(api: Api, run: Holder) -> float:
    """Let a run join that began while the API was away; returns how long that took."""
    begun = api.now

    def sleep(seconds: float) -> None:
        api.now += seconds
        api.while_waiting()

    lock(api).join(run, lambda: api.now, sleep)
    return api.now - begun


def test_a_run_that_began_without_the_api_takes_it_as_soon_as_the_api_answers(api: Api) -> None:
    api.away = True
    joining(api, FIRST)
    api.away = False
    assert api.object is None
    assert joining(api, FIRST) == 0
    assert lock(api).acquire(SECOND) is not None
    assert joining(api, FIRST) == 0


def test_a_run_that_is_refused_by_a_hosts_lock_gives_it_back_to_the_one_that_began_without_the_api(api: Api) -> None:
    lock(api).acquire(SECOND)
    api.while_waiting = lambda: t.cast(None, api.now > BEGIN + 20 and lock(api).release("second"))
    assert 20 < joining(api, FIRST) < 30
    assert lock(api).blocking(SECOND) is not None


def test_a_run_that_began_without_the_api_ends_where_another_one_keeps_it(api: Api) -> None:
    lock(api).acquire(SECOND)
    with pytest.raises(HardeningError, match="Run second from two has taken the lock of the cluster") as caught:
        joining(api, FIRST)
    assert caught.value.number == "KH106"
    assert api.now < BEGIN + 70


def keeping(api: Api) -> Keeping:
    """What a long call of the first run waits with."""

    def sleep(seconds: float) -> None:
        api.now += seconds

    return Keeping(lock(api), "first", lambda: api.now, sleep)


def test_a_call_that_takes_longer_than_the_lock_lasts_keeps_it(api: Api) -> None:
    """As one that rolls kube-proxy on hundreds of nodes, one by one."""
    lock(api).acquire(FIRST)
    sleep = keeping(api)
    for _second in range(2 * DURATION):
        sleep(1.0)
        assert lock(api).blocking(SECOND) is not None
    assert api.now == BEGIN + 2 * DURATION
    assert api.writes == 1 + 2 * DURATION // RENEW_WITHIN


def test_an_api_that_is_away_for_a_while_costs_no_call_its_lock(api: Api) -> None:
    lock(api).acquire(FIRST)
    sleep = keeping(api)
    for second in range(2 * DURATION):
        api.away = RENEW_WITHIN <= second < 4 * RENEW_WITHIN
        sleep(1.0)
    api.away = False
    assert lock(api).blocking(SECOND) is not None


def test_a_call_whose_lock_is_another_runs_by_now_goes_on_to_its_end(api: Api) -> None:
    """It neither takes it back nor stops between a change and its proof; the next call of the run refuses."""
    lock(api).acquire(FIRST)
    sleep = keeping(api)
    api.now += DURATION + 1
    lock(api).acquire(SECOND)
    for _second in range(int(RENEW_WITHIN)):
        sleep(1.0)
    assert api.object is not None
    assert api.object["spec"]["holderIdentity"] == "second"
    with pytest.raises(HardeningError, match="Run second from two has taken the lock of the cluster"):
        lock(api).renew("first")
