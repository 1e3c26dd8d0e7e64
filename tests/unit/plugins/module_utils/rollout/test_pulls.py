# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that only pull: on every node, with the credentials of those that run, and none of them is left."""

from __future__ import annotations

import dataclasses
import json
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.pulls import PROBE
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import pulls, pulls_api

PULLED = {"imageID": "sha256:1", "state": {"terminated": {"reason": "StartError"}}}
REFUSED = {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
LIMITED = {"state": {"waiting": {"reason": "ErrImagePull", "message": "429 Too Many Requests - toomanyrequests: x"}}}
SILENT = {"state": {"waiting": {"reason": "ContainerCreating"}}}


def running(namespace: str, *images: str, **spec: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"containers": [{"image": image} for image in images], "serviceAccountName": "till", **spec},
        "status": {"phase": "Running"},
    }


class World:
    """A cluster whose kubelets do with an image what ``status`` says, from the second look on."""

    def __init__(self, *pods: dict[str, t.Any], nodes: t.Sequence[str] = ("cp1", "w1")) -> None:
        self.pods = list(pods)
        self.nodes = nodes
        self.status: dict[str, dict[str, t.Any]] = {}
        self.there: dict[tuple[str, str], dict[str, t.Any]] = {}
        self.made: list[dict[str, t.Any]] = []
        self.most = 0
        self.now = 0.0
        self.answers: list[str | None] = []
        self.stuck = 0

    def create(self, document: dict[str, t.Any]) -> str | None:
        answer = self.answers.pop(0) if self.answers else ""
        if answer == "":
            json.dumps(document)
            self.made.append(document)
            self.there[document["metadata"]["namespace"], document["metadata"]["name"]] = document
            of_node = [one for one in self.there.values() if one["spec"]["nodeName"] == document["spec"]["nodeName"]]
            self.most = max(self.most, len(of_node))
        return answer

    def probes(self) -> list[dict[str, t.Any]]:
        return [{**one, "status": self._status(one)} for one in self.there.values()]

    def _status(self, document: dict[str, t.Any]) -> dict[str, t.Any]:
        return {
            "phase": "Pending",
            "containerStatuses": [
                {"name": one["name"], **self.status.get(one["image"], PULLED)} for one in document["spec"]["containers"]
            ],
        }

    def remove(self, namespace: str, name: str) -> str:
        if self.stuck:
            self.stuck -= 1
            return "it answered timeout"
        self.there.pop((namespace, name), None)
        return ""

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def cluster(self) -> pulls.Cluster:
        return pulls.Cluster(
            pods=lambda: [*self.pods, *self.probes()],
            nodes=lambda: [{"metadata": {"name": name}} for name in self.nodes],
            probes=self.probes,
            create=self.create,
            remove=self.remove,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    def pulls(self) -> list[tuple[str, str, str]]:
        """By node and namespace, each image that a pod was made for; twice if two were."""
        return sorted(
            (one["spec"]["nodeName"], one["metadata"]["namespace"], container["image"])
            for one in self.made
            for container in one["spec"]["containers"]
        )

    def prove(self, limit: float = 60.0) -> list[tuple[str, str, str, str]]:
        return [dataclasses.astuple(one) for one in pulls.prove(self.cluster(), "run-1", limit)]


def test_every_node_pulls_every_image_with_the_pods_credentials() -> None:
    world = World(running("shop", "web:1", "log:1", imagePullSecrets=[{"name": "s"}]), running("bank", "till:1"))
    assert world.prove() == []
    assert world.there == {}
    every = [("bank", "till:1"), ("shop", "log:1"), ("shop", "web:1")]
    assert world.pulls() == sorted((node, *one) for node in ("cp1", "w1") for one in every)
    spec = next(one["spec"] for one in world.made if one["metadata"]["namespace"] == "shop")
    assert {one["imagePullPolicy"] for one in spec["containers"]} == {"Always"}
    assert (spec["imagePullSecrets"], spec["serviceAccountName"]) == ([{"name": "s"}], "till")
    assert spec["automountServiceAccountToken"] is False
    other = next(one["spec"] for one in world.made if one["metadata"]["namespace"] == "bank")
    assert other["imagePullSecrets"] == []
    names = [one["metadata"]["name"] for one in world.made]
    assert len(set(names)) == len(names)
    assert all(PROBE in one["metadata"]["labels"] for one in world.made)
    assert world.now == 0.0  # a cluster where all is there at once is not waited for


def test_nothing_to_pull_makes_no_pod() -> None:
    world = World()
    assert world.prove() == []
    assert world.made == []


def test_a_pull_that_fails_has_some_time_to_succeed() -> None:
    world = World(running("shop", "web:1"), nodes=["w1"])
    world.status = {"web:1": REFUSED}

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        if world.now > pulls.PATIENCE - 5:
            world.status = {}

    assert pulls.prove(dataclasses.replace(world.cluster(), sleep=sleep), "run-1", 60.0) == []
    assert world.now > pulls.PATIENCE - 5


def test_what_cannot_be_pulled_is_named_and_every_image_is_asked_for_once_only() -> None:
    """The plugin stays off, so no registry is asked for the rest once a node, at every run."""
    nodes = [f"w{number}" for number in range(1, 10)]
    shop, bank = running("shop", "own:1", "web:1", nodeName="w7"), running("bank", "till:1", "own:2", nodeName="w4")
    world = World(shop, bank, nodes=nodes)
    world.status = {"own:1": REFUSED, "own:2": REFUSED}
    missing = "there is no such image"
    assert sorted(world.prove()) == [("own:1", "shop", "w7", missing), ("own:2", "bank", "w4", missing)]
    assert world.there == {}
    assert world.now == pulls.PATIENCE
    # By a node that runs it: no other may have its platform.
    assert world.pulls() == [
        ("w4", "bank", "own:2"), ("w4", "bank", "till:1"), ("w7", "shop", "own:1"), ("w7", "shop", "web:1")
    ]  # fmt: skip


def test_what_one_node_cannot_pull_is_named_with_that_node() -> None:
    world = World(running("shop", "web:1", nodeName="cp1"), running("bank", "till:1", nodeName="gone"))
    whole = World._status

    def status(document: dict[str, t.Any]) -> dict[str, t.Any]:
        world.status = {"web:1": REFUSED} if document["spec"]["nodeName"] == "w1" else {}
        return whole(world, document)

    world._status = status  # type: ignore[method-assign]
    assert world.prove() == [("web:1", "shop", "w1", "there is no such image")]
    assert world.pulls() == sorted(
        (node, *one) for node in ("cp1", "w1") for one in (("shop", "web:1"), ("bank", "till:1"))
    )


def test_a_registry_that_limits_its_pulls_is_asked_for_nothing_more() -> None:
    """What was to come is not made, also while it is not known yet whether the limit passes."""
    world = World(*(running(f"ns{number:02}", "web:1") for number in range(pulls.PER_NODE + 4)), nodes=["w1"])
    world.status = {"web:1": LIMITED}
    found = world.prove()
    assert {one[3] for one in found} == {"the registry limits how often it is asked"}
    assert len(world.made) == pulls.PER_NODE
    assert world.now == pulls.PATIENCE
    assert world.there == {}


def test_a_limit_that_passes_is_waited_for() -> None:
    world = World(*(running(f"ns{number:02}", "web:1") for number in range(pulls.PER_NODE + 4)), nodes=["w1"])
    world.status = {"web:1": LIMITED}

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        if world.now > 5:
            world.status = {}

    assert pulls.prove(dataclasses.replace(world.cluster(), sleep=sleep), "run-1", 60.0) == []
    assert len(world.made) == pulls.PER_NODE + 4


def test_a_node_that_says_nothing_is_given_up_and_its_pods_are_removed() -> None:
    world = World(*(running(f"ns{number}", "web:1") for number in range(pulls.PER_NODE + 2)), nodes=["w1"])
    world.status = {"web:1": SILENT}
    found = world.prove(limit=30.0)
    # Those that were never made count too.
    assert [one[1] for one in found] == [f"ns{number}" for number in range(pulls.PER_NODE + 2)]
    assert {one[3] for one in found} == {"nothing was heard of it for 30 s"}
    assert world.there == {}
    assert len(world.made) == pulls.PER_NODE


def test_a_node_has_few_of_them_at_a_time_and_a_pod_few_images() -> None:
    many = [f"web:{number}" for number in range(2 * pulls.PER_POD + 1)]
    world = World(*(running(f"ns{number}", *many) for number in range(3)), nodes=["w1"])
    assert world.prove() == []
    assert len(world.made) == 9
    assert world.most == pulls.PER_NODE
    assert max(len(one["spec"]["containers"]) for one in world.made) == pulls.PER_POD
    assert {one["image"] for made in world.made for one in made["spec"]["containers"]} == set(many)


@pytest.mark.parametrize(
    ("allocatable", "most"),
    [("100", pulls.PER_NODE), ("14", 5), ("7", 1), ("4", 1), (None, pulls.PER_NODE), ("1k", pulls.PER_NODE)],
)
def test_at_most_half_of_what_a_node_has_room_for_is_taken(allocatable: str | None, most: int) -> None:
    """Ended pods take no room, and neither do those of other nodes. The number is a quantity: 1000 comes as 1k."""
    there = {"w1": ["Running", "Pending", "Running", "Running", "Failed", "Succeeded"], "w2": ["Running"] * 9}
    pods = [running("shop", "web:1", nodeName=name) for name, phases in there.items() for _phase in phases]
    for pod, phase in zip(pods, [phase for phases in there.values() for phase in phases]):
        pod["status"]["phase"] = phase
    status = {} if allocatable is None else {"allocatable": {"pods": allocatable}}
    assert pulls._room({"metadata": {"name": "w1"}, "status": status}, pods) == most


def test_several_requests_at_a_time_give_their_answers_in_order() -> None:
    begun = threading.Barrier(2, timeout=10)  # each waits for the other

    def ask(number: int) -> int:
        begun.wait()
        return 2 * number

    assert pulls_api.several(ask, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert pulls_api.several(ask, []) == []
    world = World(*(running(f"ns{number}", "web:1") for number in range(20)))
    assert pulls.prove(dataclasses.replace(world.cluster(), at_once=pulls_api.several), "run-1", 60.0) == []
    assert (len(world.made), world.there) == (40, {})


def test_what_the_api_refuses_is_told_and_what_it_cannot_do_now_is_asked_again() -> None:
    world = World(running("shop", "web:1"), running("bank", "till:1"), nodes=["w1"])
    world.answers = [None, None, "the API refuses a pod for it: exceeded quota"]
    assert world.prove() == [("till:1", "bank", "w1", "the API refuses a pod for it: exceeded quota")]
    assert [one["metadata"]["namespace"] for one in world.made] == ["shop"]


def test_a_pod_that_somebody_removed_proves_nothing() -> None:
    world = World(running("shop", "web:1"), nodes=["w1"])
    world.status = {"web:1": SILENT}
    cluster = dataclasses.replace(world.cluster(), sleep=lambda _seconds: world.there.clear())
    found = pulls.prove(cluster, "run-1", 60.0)
    assert [one.words for one in found] == ["somebody else removed the pod that was to pull it"]


def test_what_an_earlier_run_left_is_removed_and_pulls_nothing() -> None:
    world = World(running("shop", "web:1"), nodes=["w1"])
    left = pulls.Probe("old", "w1", pulls.Need("gone", "default", (), ("old:1",)), {"old:1"}).document()
    world.there["gone", "old"] = left
    assert world.prove() == []
    assert world.there == {}
    assert [one["metadata"]["namespace"] for one in world.made] == ["shop"]


def test_an_api_that_goes_away_meanwhile_leaves_none_behind() -> None:
    world = World(running("shop", "web:1"), nodes=["w1"])
    looks = iter([False, True, False, False])

    def probes() -> list[dict[str, t.Any]]:
        if next(looks):
            raise HardeningError("KH123", "/api/v1/pods cannot be read")
        return world.probes()

    with pytest.raises(HardeningError, match="cannot be read"):
        pulls.prove(dataclasses.replace(world.cluster(), probes=probes), "run-1", 60.0)
    assert world.there == {}


@pytest.mark.parametrize(("stuck", "left"), [(2, 0), (1000, 1)])
def test_what_is_not_removed_is_tried_again_and_then_told(stuck: int, left: int) -> None:
    world = World(running("shop", "web:1"), nodes=["w1"])
    world.stuck = stuck
    if left:
        with pytest.raises(HardeningError, match=r"were not removed \(shop/kubeharden-pull-\w+: it answered timeout\)"):
            world.prove()
    else:
        assert world.prove() == []
    assert len(world.there) == left


def test_what_a_dead_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    world = World()
    assert pulls.recover(host, world.cluster) == []
    Journal(host).note(**{pulls.STEP: {"run_id": "run-0"}})
    world.there["gone", "old"] = pulls.Probe(
        "old", "w1", pulls.Need("gone", "default", (), ("old:1",)), {"old:1"}
    ).document()
    assert pulls.recover(host, world.cluster) == ["Run run-0 died while nodes pulled images: gone/old were removed."]
    assert world.there == {}
    assert Journal(host).read() == {}
    # A run that died before its first pod has nothing to tell of.
    Journal(host).note(**{pulls.STEP: {"run_id": "run-0"}})
    assert pulls.recover(host, world.cluster) == []
    assert Journal(host).read() == {}


def status(reason: str, message: str) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(201, b"{}"), ""),
        # The answer to the first request was lost.
        (Answer(409, status("AlreadyExists", 'pods "a" already exists')), ""),
        (Answer(409, status("Conflict", "the object has been modified")), None),
        (Answer(0, reason="timeout"), None),
        (Answer(429, status("TooManyRequests", "slow down")), None),
        (Answer(503, b"no JSON"), None),
        (
            Answer(403, status("Forbidden", 'pods "a" is forbidden: exceeded quota: small.')),
            'the API refuses a pod for it: pods "a" is forbidden: exceeded quota: small',
        ),
        (Answer(403, b"[]"), "the API refuses a pod for it: it answered 403"),
    ],
)
def test_what_the_api_says_of_a_pod(answer: Answer, words: str | None) -> None:
    assert pulls_api.of_creation(answer) == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"{}"), ""),
        (Answer(404, status("NotFound", "gone")), ""),
        (Answer(0, reason="refused"), "it answered refused"),
        (Answer(403, status("Forbidden", "not yours")), "not yours"),
    ],
)
def test_what_the_api_says_of_a_removal(answer: Answer, words: str) -> None:
    assert pulls_api.of_removal(answer) == words
