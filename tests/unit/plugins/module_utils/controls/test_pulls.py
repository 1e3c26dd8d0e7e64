# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images pods run, with whose credentials, and what a pod that only pulls them shows."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import pulls
from ansible_collections.kubeharden.core.plugins.module_utils.controls.pulls import Need, Unpulled


def pod(
    *images: str,
    namespace: str = "shop",
    phase: str = "Running",
    metadata: dict[str, t.Any] | None = None,
    status: dict[str, t.Any] | None = None,
    **spec: t.Any,
) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "p", "namespace": namespace, **(metadata or {})},
        "spec": {"serviceAccountName": "default", "containers": [{"image": image} for image in images], **spec},
        "status": {"phase": phase, **(status or {})},
    }


def test_pods_with_the_same_credentials_are_one_need() -> None:
    secrets = [{"name": "b"}, {"name": "a"}, {"name": "a"}]
    found = pulls.needs(
        [
            pod("web:2", "log:1"),
            pod("web:1"),
            pod("web:1", imagePullSecrets=secrets),
            pod("web:1", serviceAccountName="till"),
            pod("web:1", namespace="bank"),
        ]
    )
    assert found == [
        Need("bank", "default", (), ("web:1",)),
        Need("shop", "default", (), ("log:1", "web:1", "web:2")),
        Need("shop", "default", ("a", "b"), ("web:1",)),
        Need("shop", "till", (), ("web:1",)),
    ]


def test_each_image_is_pulled_by_one_node_first_that_runs_it_and_then_by_the_others() -> None:
    pods = [
        pod("web:1", "log:1", nodeName="w2"),
        pod("web:1", nodeName="w3"),
        pod("web:1", nodeName="w3", namespace="bank"),
        pod("web:1", nodeName="w9", imagePullSecrets=[{"name": "a"}]),
    ]
    first = pulls.on_one_node_each(pods, ["w3", "w2", "w1"])
    assert first == {
        "w1": [Need("shop", "default", ("a",), ("web:1",))],  # its node is gone: who has least to do
        "w2": [Need("shop", "default", (), ("log:1", "web:1"))],
        "w3": [Need("bank", "default", (), ("web:1",))],
    }
    others = pulls.on_the_others(pods, first)
    assert others["w2"] == [
        Need("bank", "default", (), ("web:1",)), Need("shop", "default", ("a",), ("web:1",))
    ]  # fmt: skip
    for node, own in first.items():
        count = sum(len(need.images) for need in [*own, *others[node]])
        assert count == sum(len(need.images) for need in pulls.needs(pods))


def test_every_image_that_a_pod_takes_to_come_up_counts() -> None:
    one = pod(
        "web:1",
        initContainers=[{"image": "init:1"}],
        ephemeralContainers=[{"image": "debug:1"}],
        volumes=[{"name": "c", "configMap": {}}, {"name": "m", "image": {"reference": "model:1"}}],
    )
    assert pulls.needs([one])[0].images == ("debug:1", "init:1", "model:1", "web:1")


@pytest.mark.parametrize(
    ("one", "runs"),
    [
        (pod("a"), True),
        (pod("a", phase="Succeeded"), False),
        (pod("a", phase="Failed"), False),
        (pod("a", phase="Pending"), False),
        (pod("a", phase="Pending", status={"initContainerStatuses": [{"imageID": "sha256:1"}]}), True),
        (pod("a", phase="Pending", status={"containerStatuses": [{"imageID": ""}]}), False),
        (pod("a", metadata={"deletionTimestamp": "2026-11-24T10:00:00Z"}), False),
        (pod("a", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}), False),
        (pod("a", metadata={"annotations": {"other": "x"}, "labels": {"app": "a"}}), True),
        (pod("a", metadata={"labels": {pulls.PROBE: "image-pull"}}), False),
    ],
)
def test_which_pods_run_and_would_be_made_anew(one: dict[str, t.Any], runs: bool) -> None:
    assert bool(pulls.needs([one])) is runs


def node(name: str, *conditions: tuple[str, str]) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions]},
    }


def test_a_node_that_is_not_ready_or_has_a_full_disk_cannot_pull_now() -> None:
    nodes = [
        node("w3", ("Ready", "Unknown")),
        node("w1", ("DiskPressure", "False"), ("Ready", "True")),
        node("w2", ("DiskPressure", "True"), ("Ready", "False")),
        node("w5", ("DiskPressure", "True"), ("Ready", "True")),
        node("w6", ("DiskPressure", "Unknown"), ("Ready", "True")),
        {"metadata": {"name": "w4"}},
    ]
    full = "w5 (its disk is nearly full: DiskPressure)"
    assert pulls.unready(nodes) == ["w2 (not ready)", "w3 (not ready)", "w4 (not ready)", full]


def probe(status: dict[str, t.Any], **pod_status: t.Any) -> dict[str, t.Any]:
    others = [{"name": "image-0", "imageID": "sha256:2", "state": {"running": {}}}]
    return {"status": {"containerStatuses": [*others, {"name": "image-1", **status}], **pod_status}}


def waits(reason: str, message: str = "") -> dict[str, t.Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    ("seen", "pulled", "words", "final"),
    [
        # What a kubelet says of a program that is not in the image.
        (probe({"imageID": "sha256:1", "state": {"terminated": {"reason": "StartError"}}}), True, "", True),
        (probe({"imageID": "sha256:1", "state": {"running": {}}}), True, "", True),
        (probe(waits("CreateContainerConfigError")), True, "", True),
        (probe(waits("RunContainerError")), True, "", True),
        (probe(waits("ContainerCreating")), False, "", False),
        (probe(waits("PodInitializing")), False, "", False),
        (probe(waits("SomethingNew")), False, "", False),
        (probe(waits("ErrImagePull", "repo: not found")), False, "there is no such image", False),
        (probe(waits("ImagePullBackOff", "Back-off")), False, "ImagePullBackOff", False),
        (probe(waits("InvalidImageName")), False, "InvalidImageName", False),
        # So does a kubelet whose disk has become full.
        (probe({}, phase="Failed", reason="Evicted"), False, "the node did not try it (Evicted)", True),
        (probe({}, phase="Failed", reason="OutOfpods"), False, "the node did not try it (OutOfpods)", True),
        # A container that was never made, of a pod that a kubelet ended: no proof of a pull.
        (
            probe({"imageID": "", "state": {"terminated": {"reason": "ContainerStatusUnknown"}}}, phase="Failed"),
            False,
            "the node did not try it (it ended)",
            True,
        ),
        ({"status": {}}, False, "", False),
        ({}, False, "", False),
    ],
)
def test_what_became_of_an_image(seen: dict[str, t.Any], pulled: bool, words: str, final: bool) -> None:
    assert pulls.outcome(seen, "image-1") == pulls.Outcome(pulled, words, final)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'failed to resolve reference "r.example/a:1": r.example/a:1: not found',
            "there is no such image",
        ),
        ("unexpected status from HEAD request to https://r.example/v2/a: 401 Unauthorized", "the registry refuses it"),
        (
            "pull access denied, repository does not exist or may require authorization: no basic auth credentials",
            "the registry refuses it",
        ),
        ("denied: 429 Too Many Requests - Server message: toomanyrequests: slow down", pulls.LIMITED),
        ("unexpected status code from https://r.example: toomanyrequests: Rate exceeded", pulls.LIMITED),
        ("You have reached your unauthenticated pull rate limit. https://r.example/limit", pulls.LIMITED),
        ("dial tcp: lookup r.example: no such host", "the registry cannot be reached"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "the registry cannot be reached"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "is not trusted"),
        ("no match for platform in manifest: not found", "there is no such image"),
        ("https://s3.example/blob?X-Amz-Signature=c2VjcmV0: something new", "ErrImagePull"),
    ],
)
def test_a_refusal_is_told_without_the_words_of_the_runtime(message: str, words: str) -> None:
    said = pulls.meaning("ErrImagePull", message)
    assert words in said
    assert "example" not in said


def test_the_sentence_names_images_nodes_and_reasons() -> None:
    unpulled = [
        Unpulled("own:1", "shop", "w2", "there is no such image"),
        Unpulled("own:1", "shop", "cp1", "there is no such image"),
        Unpulled("own:1", "shop", "w1", "there is no such image"),
        Unpulled("web:1", "bank", "w1", "the registry refuses it"),
    ]
    said = pulls.sentence(unpulled, ["cp1", "w1", "w2"])
    assert "own:1 of namespace shop on every node (there is no such image)" in said
    assert "web:1 of namespace bank on w1 (the registry refuses it)" in said
    assert said.startswith("AlwaysPullImages was not switched on, since")
    assert "by the others only when every one came" in said
    limited = pulls.sentence([Unpulled("own:1", "shop", "w2", pulls.LIMITED)], ["cp1", "w1", "w2"])
    assert "Nothing more was pulled then" in limited
    assert "by the others only" not in limited
