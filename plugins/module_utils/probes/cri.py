# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container runtime interface (runtime.v1) over the runtime's unix socket: what runs, how it ended, and stop.

Field numbers: https://github.com/kubernetes/cri-api, pkg/apis/runtime/v1/api.proto. containerd since 1.6 and CRI-O
since 1.20 speak it. Times are seconds since the epoch, None where the runtime says 0.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import grpc
from ansible_collections.kubeharden.core.plugins.module_utils.probes.protobuf import (
    BOOLEAN,
    INTEGER,
    MESSAGE,
    STRING,
    TEXTS,
    Field,
    MalformedMessageError,
    Schema,
    decode,
    encode,
)

# Labels that the kubelet gives to every container and sandbox.
LABEL_CONTAINER_NAME = "io.kubernetes.container.name"
LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"

CREATED, RUNNING, EXITED, UNKNOWN = "created", "running", "exited", "unknown"
READY, NOT_READY = "ready", "not ready"

_CONTAINER_STATES = [CREATED, RUNNING, EXITED, UNKNOWN]
_SANDBOX_STATES = [READY, NOT_READY]


@dataclass(frozen=True)
class Version:
    """Name and versions of the runtime."""

    runtime_name: str
    runtime_version: str
    api_version: str


@dataclass(frozen=True)
class Image:
    """One image in the runtime's store; ``size`` in bytes; a pinned one is never collected by the kubelet."""

    id: str
    tags: list[str]
    digests: list[str]
    size: int
    pinned: bool


@dataclass(frozen=True)
class Container:
    """One container of a list. ``attempt`` counts the starts in this sandbox from 0; ``state`` is a word from above."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    image: str
    state: str
    created: float | None
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def pod_uid(self) -> str:
        """The pod's uid: of a static pod its config.hash. It ends the name of the pod's folder in /var/log/pods."""
        return self.labels.get(LABEL_POD_UID, "")


@dataclass(frozen=True)
class ContainerStatus:
    """One container in full. ``reason`` is one word ("Completed", "Error", "StartError"), ``message`` the runtime's
    own.
    """

    id: str
    name: str
    attempt: int
    state: str
    created: float | None
    started: float | None
    finished: float | None
    exit_code: int
    image: str
    image_ref: str
    reason: str
    message: str
    log_path: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Sandbox:
    """One pod sandbox."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    state: str
    created: float | None
    labels: dict[str, str]


class Runtime:
    """The runtime behind one socket: a path, or a ``unix://`` address as the kubelet's configuration has it.

    ``timeout`` in seconds is for each call as a whole; a new connection is made for each. Every method raises
    HardeningError with the socket and what failed.
    """

    def __init__(self, socket: str, timeout: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        socket = socket.removeprefix("unix://")
        if not socket.startswith("/"):
            raise HardeningError(
                "KH120", f"The container runtime's address {socket!r} is no unix socket; give it as unix:///path."
            )
        self.socket = socket
        self._timeout = timeout
        self._clock = clock

    def version(self) -> Version:
        answer = self._call("RuntimeService/Version", _VERSION_REQUEST, {"version": "v1"}, _VERSION_RESPONSE)
        return Version(answer["runtime_name"], answer["runtime_version"], answer["runtime_api_version"])

    def images(self) -> list[Image]:
        """Every image of the runtime's Kubernetes store."""
        answer = self._call("ImageService/ListImages", {}, {}, _LIST_IMAGES_RESPONSE)
        return [_image(values) for values in answer["images"]]

    def image(self, reference: str) -> Image | None:
        """The image that ``reference`` (name:tag, digest or id) means here; None when it is not in the store."""
        request = {"image": {"image": reference}}
        answer = self._call("ImageService/ImageStatus", _IMAGE_STATUS_REQUEST, request, _IMAGE_STATUS_RESPONSE)
        return _image(answer["image"]) if answer["image"] else None

    def containers(
        self, state: str | None = None, labels: Mapping[str, str] | None = None, sandbox_id: str | None = None
    ) -> list[Container]:
        """The containers that fit every given condition, oldest first (the runtime's own order is random)."""
        wanted: dict[str, Any] = {"pod_sandbox_id": sandbox_id, "label_selector": labels}
        if state is not None:
            wanted["state"] = {"state": _CONTAINER_STATES.index(state)}
        request = {"filter": wanted}
        answer = self._call(
            "RuntimeService/ListContainers", _LIST_CONTAINERS_REQUEST, request, _LIST_CONTAINERS_RESPONSE
        )
        return sorted((_container(values) for values in answer["containers"]), key=lambda c: (c.created or 0, c.id))

    def container(self, container_id: str) -> ContainerStatus | None:
        """The container's state; None when the runtime no longer has it (the kubelet keeps the newest one or two)."""
        request = {"container_id": container_id}
        try:
            answer = self._call(
                "RuntimeService/ContainerStatus", _CONTAINER_STATUS_REQUEST, request, _CONTAINER_STATUS_RESPONSE
            )
        except grpc.GrpcError as error:
            if error.code == grpc.NOT_FOUND:
                return None
            raise
        return _container_status(answer["status"]) if answer["status"] else None

    def sandboxes(self, state: str | None = None, labels: Mapping[str, str] | None = None) -> list[Sandbox]:
        """The pod sandboxes that fit every given condition, oldest first."""
        wanted: dict[str, Any] = {"label_selector": labels}
        if state is not None:
            wanted["state"] = {"state": _SANDBOX_STATES.index(state)}
        answer = self._call(
            "RuntimeService/ListPodSandbox", _LIST_SANDBOXES_REQUEST, {"filter": wanted}, _LIST_SANDBOXES_RESPONSE
        )
        return sorted((_sandbox(values) for values in answer["items"]), key=lambda s: (s.created or 0, s.id))

    def stop_container(self, container_id: str, grace: int) -> None:
        """Ends a container: SIGTERM, after ``grace`` seconds SIGKILL. Returns when it has ended, well also when it had
        before.

        The kubelet then starts it anew. This is the one call here that changes something.
        """
        request = {"container_id": container_id, "timeout": grace}
        try:
            self._call("RuntimeService/StopContainer", _STOP_CONTAINER_REQUEST, request, {}, self._timeout + grace)
        except grpc.GrpcError as error:
            # containerd says so of one that was removed meanwhile: it has ended.
            if error.code != grpc.NOT_FOUND:
                raise

    def _call(
        self,
        method: str,
        request_schema: Schema,
        request: Mapping[str, Any],
        answer_schema: Schema,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        data = grpc.call(
            self.socket, "/runtime.v1." + method, encode(request_schema, request), timeout or self._timeout, self._clock
        )
        try:
            return decode(answer_schema, data)
        except MalformedMessageError as error:
            raise HardeningError("KH120", f"{self.socket} gave no usable answer to {method}: {error}.") from None


def _image(values: dict[str, Any]) -> Image:
    return Image(values["id"], values["repo_tags"], values["repo_digests"], values["size"], values["pinned"])


def _container(values: dict[str, Any]) -> Container:
    metadata = values["metadata"] or {}
    return Container(
        id=values["id"],
        sandbox_id=values["pod_sandbox_id"],
        name=metadata.get("name", ""),
        attempt=metadata.get("attempt", 0),
        image=(values["image"] or {}).get("image", ""),
        state=_word(_CONTAINER_STATES, values["state"]),
        created=_seconds(values["created_at"]),
        labels=values["labels"],
        annotations=values["annotations"],
    )


def _container_status(values: dict[str, Any]) -> ContainerStatus:
    metadata = values["metadata"] or {}
    return ContainerStatus(
        id=values["id"],
        name=metadata.get("name", ""),
        attempt=metadata.get("attempt", 0),
        state=_word(_CONTAINER_STATES, values["state"]),
        created=_seconds(values["created_at"]),
        started=_seconds(values["started_at"]),
        finished=_seconds(values["finished_at"]),
        exit_code=values["exit_code"],
        image=(values["image"] or {}).get("image", ""),
        image_ref=values["image_ref"],
        reason=values["reason"],
        message=values["message"],
        log_path=values["log_path"],
        labels=values["labels"],
    )


def _sandbox(values: dict[str, Any]) -> Sandbox:
    metadata = values["metadata"] or {}
    return Sandbox(
        id=values["id"],
        name=metadata.get("name", ""),
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        attempt=metadata.get("attempt", 0),
        state=_word(_SANDBOX_STATES, values["state"]),
        created=_seconds(values["created_at"]),
        labels=values["labels"],
    )


def _word(words: list[str], number: int) -> str:
    return words[number] if 0 <= number < len(words) else UNKNOWN


def _seconds(nanoseconds: int) -> float | None:
    return nanoseconds / 1e9 if nanoseconds else None


_VERSION_REQUEST: Schema = {1: Field("version", STRING)}
_VERSION_RESPONSE: Schema = {
    2: Field("runtime_name", STRING),
    3: Field("runtime_version", STRING),
    4: Field("runtime_api_version", STRING),
}

_IMAGE_SPEC: Schema = {1: Field("image", STRING)}
_IMAGE: Schema = {
    1: Field("id", STRING),
    2: Field("repo_tags", STRING, repeated=True),
    3: Field("repo_digests", STRING, repeated=True),
    4: Field("size", INTEGER),
    8: Field("pinned", BOOLEAN),
}
_LIST_IMAGES_RESPONSE: Schema = {1: Field("images", MESSAGE, _IMAGE, repeated=True)}
_IMAGE_STATUS_REQUEST: Schema = {1: Field("image", MESSAGE, _IMAGE_SPEC)}
_IMAGE_STATUS_RESPONSE: Schema = {1: Field("image", MESSAGE, _IMAGE)}

_STATE_VALUE: Schema = {1: Field("state", INTEGER)}
_CONTAINER_METADATA: Schema = {1: Field("name", STRING), 2: Field("attempt", INTEGER)}
_CONTAINER_FILTER: Schema = {
    2: Field("state", MESSAGE, _STATE_VALUE),
    3: Field("pod_sandbox_id", STRING),
    4: Field("label_selector", TEXTS),
}
_CONTAINER: Schema = {
    1: Field("id", STRING),
    2: Field("pod_sandbox_id", STRING),
    3: Field("metadata", MESSAGE, _CONTAINER_METADATA),
    4: Field("image", MESSAGE, _IMAGE_SPEC),
    6: Field("state", INTEGER),
    7: Field("created_at", INTEGER),
    8: Field("labels", TEXTS),
    9: Field("annotations", TEXTS),
}
_LIST_CONTAINERS_REQUEST: Schema = {1: Field("filter", MESSAGE, _CONTAINER_FILTER)}
_LIST_CONTAINERS_RESPONSE: Schema = {1: Field("containers", MESSAGE, _CONTAINER, repeated=True)}

_CONTAINER_STATUS: Schema = {
    1: Field("id", STRING),
    2: Field("metadata", MESSAGE, _CONTAINER_METADATA),
    3: Field("state", INTEGER),
    4: Field("created_at", INTEGER),
    5: Field("started_at", INTEGER),
    6: Field("finished_at", INTEGER),
    7: Field("exit_code", INTEGER),
    8: Field("image", MESSAGE, _IMAGE_SPEC),
    9: Field("image_ref", STRING),
    10: Field("reason", STRING),
    11: Field("message", STRING),
    12: Field("labels", TEXTS),
    15: Field("log_path", STRING),
}
_CONTAINER_STATUS_REQUEST: Schema = {1: Field("container_id", STRING)}
_CONTAINER_STATUS_RESPONSE: Schema = {1: Field("status", MESSAGE, _CONTAINER_STATUS)}

_SANDBOX_METADATA: Schema = {
    1: Field("name", STRING),
    2: Field("uid", STRING),
    3: Field("namespace", STRING),
    4: Field("attempt", INTEGER),
}
_SANDBOX_FILTER: Schema = {2: Field("state", MESSAGE, _STATE_VALUE), 3: Field("label_selector", TEXTS)}
_SANDBOX: Schema = {
    1: Field("id", STRING),
    2: Field("metadata", MESSAGE, _SANDBOX_METADATA),
    3: Field("state", INTEGER),
    4: Field("created_at", INTEGER),
    5: Field("labels", TEXTS),
}
_LIST_SANDBOXES_REQUEST: Schema = {1: Field("filter", MESSAGE, _SANDBOX_FILTER)}
_LIST_SANDBOXES_RESPONSE: Schema = {1: Field("items", MESSAGE, _SANDBOX, repeated=True)}

_STOP_CONTAINER_REQUEST: Schema = {1: Field("container_id", STRING), 2: Field("timeout", INTEGER)}
