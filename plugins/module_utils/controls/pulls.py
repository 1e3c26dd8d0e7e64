# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that pods run, whose credentials pull them, and what a pod that only pulls them shows."""

from __future__ import annotations

import dataclasses
import re
import typing as t

#: The label of the pods that only pull.
PROBE = "kubeharden.core/probe"
#: What a static pod's mirror has.
_MIRROR = "kubernetes.io/config.mirror"

#: Reasons of a container that waits since its image was not pulled, and of one that waits for something later.
_NOT_PULLED = (
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_PULLED = ("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")

#: Of a registry that will refuse the next pulls too.
LIMITED = "the registry limits how often it is asked"

# What a registry or the container runtime says, and what it means. Its own words are not shown: the address of a pull
# may have a signature in it, which is as good as a password.
_MEANINGS = (
    (r"\b429\b|too ?many ?requests|(pull )?rate (limit|exceeded)", LIMITED),
    (r"\b40[13]\b|unauthorized|forbidden|denied|no basic auth|authorization failed", "the registry refuses it"),
    (r"not found|\b404\b|(manifest|name|repository)[ _]unknown", "there is no such image"),
    (r"no match for platform", "there is none for the node's platform"),
    (
        r"no such host|refused|time(d )?out|deadline|unreachable|no route|reset by|\bEOF\b|\b50[234]\b",
        "the registry cannot be reached",
    ),
    (r"x509|tls:", "the registry's certificate is not trusted"),
)


@dataclasses.dataclass(frozen=True)
class Need:
    """What pods with the same credentials run.

    Attributes:
        namespace: Theirs.
        account: Their service account, by whose token a kubelet's credential provider may ask.
        secrets: Names of their pull secrets.
        images: As the pods name them.
    """

    namespace: str
    account: str
    secrets: tuple[str, ...]
    images: tuple[str, ...]


_Key = tuple[str, str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Unpulled:
    """An image that a node did not pull, and why, as a clause."""

    image: str
    namespace: str
    node: str
    words: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        pulled: Whether it was.
        words: Why it was not, empty as long as nothing is said.
        final: Whether it stays so; a pull that failed is tried again by the kubelet.
    """

    pulled: bool
    words: str = ""
    final: bool = False


def needs(pods: t.Iterable[t.Mapping[str, t.Any]]) -> list[Need]:
    """Return what must be pulled for every pod that runs to come up once more, static pods excepted."""
    found: dict[_Key, set[str]] = {}
    for pod in pods:
        if _runs(pod):
            found.setdefault(_key(pod), set()).update(_images(pod["spec"]))
    return _as_needs(found)


def on_one_node_each(pods: t.Collection[t.Mapping[str, t.Any]], nodes: t.Collection[str]) -> dict[str, list[Need]]:
    """Return by node what it pulls first, so that each image is pulled by one node: one that runs it, by its platform.

    Args:
        pods: Every pod.
        nodes: Names of all nodes; at least one.
    """
    homes: dict[tuple[_Key, str], set[str]] = {}
    for pod in pods:
        if _runs(pod):
            for image in _images(pod["spec"]):
                homes.setdefault((_key(pod), image), set()).add(str(pod["spec"].get("nodeName") or ""))
    load = dict.fromkeys(sorted(nodes), 0)
    found: dict[str, dict[_Key, set[str]]] = {node: {} for node in load}
    for (key, image), running in sorted(homes.items()):
        node = min(running.intersection(load) or load, key=lambda name: (load[name], name))
        load[node] += 1
        found[node].setdefault(key, set()).add(image)
    return {node: _as_needs(own) for node, own in found.items()}


def on_the_others(
    pods: t.Iterable[t.Mapping[str, t.Any]], first: t.Mapping[str, t.Sequence[Need]]
) -> dict[str, list[Need]]:
    """Return by node what it pulls when every image was pulled by one node, which need not pull it again.

    Args:
        pods: Every pod.
        first: By node, what it has pulled.
    """
    every = needs(pods)
    found = {}
    for node, done in first.items():
        pulled = {(need.namespace, need.account, need.secrets): need.images for need in done}
        found[node] = [
            dataclasses.replace(need, images=left)
            for need in every
            for left in [_without(need.images, pulled.get((need.namespace, need.account, need.secrets), ()))]
            if left
        ]
    return found


def _without(images: t.Iterable[str], pulled: t.Collection[str]) -> tuple[str, ...]:
    return tuple(image for image in images if image not in pulled)


def _key(pod: t.Mapping[str, t.Any]) -> _Key:
    """Return what a pod's images are pulled with: its namespace, its service account and its pull secrets."""
    spec = pod["spec"]
    secrets = sorted({str(one["name"]) for one in spec.get("imagePullSecrets") or [] if one.get("name")})
    return str(pod["metadata"]["namespace"]), str(spec.get("serviceAccountName") or "default"), tuple(secrets)


def _as_needs(found: t.Mapping[_Key, t.Collection[str]]) -> list[Need]:
    return [Need(*key, tuple(sorted(images))) for key, images in sorted(found.items())]


def unready(nodes: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the nodes that cannot pull now, each with why in parentheses.

    Each node pulls what all of them run. On a disk that is nearly full it would make the kubelet evict the pods of
    others; one that gets so meanwhile takes no further pod.
    """
    found = {str(node["metadata"]["name"]): _trouble(node) for node in nodes}
    return [f"{name} ({words})" for name, words in sorted(found.items()) if words]


def _trouble(node: t.Mapping[str, t.Any]) -> str:
    conditions = (node.get("status") or {}).get("conditions") or []
    true = {condition.get("type") for condition in conditions if condition.get("status") == "True"}
    if "Ready" not in true:
        return "not ready"
    return "its disk is nearly full: DiskPressure" if "DiskPressure" in true else ""


def outcome(pod: t.Mapping[str, t.Any], container: str) -> Outcome:
    """Return what became of the image of a container whose pull policy is Always."""
    status = pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    one: t.Mapping[str, t.Any] = next((each for each in statuses if each.get("name") == container), {})
    state = one.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    # A container is made only of an image that has been pulled.
    begun = bool(one.get("imageID")) and ("running" in state or "terminated" in state)
    if begun or reason in _PULLED or (one.get("lastState") or {}).get("terminated"):
        return Outcome(True, final=True)
    if status.get("phase") in ("Failed", "Succeeded"):
        said = str(status.get("reason") or "it ended")
        return Outcome(False, f"the node did not try it ({said})", final=True)
    if reason in _NOT_PULLED:
        return Outcome(False, meaning(reason, str(waiting.get("message") or "")))
    return Outcome(False)


def meaning(reason: str, message: str) -> str:
    """Return why an image was not pulled, as a clause without the runtime's own words."""
    for pattern, words in _MEANINGS:
        if re.search(pattern, message, re.IGNORECASE):
            return words
    return reason


def sentence(unpulled: t.Collection[Unpulled], nodes: t.Collection[str]) -> str:
    """Return which images keep the plugin off.

    Args:
        unpulled: What was not pulled; at least one.
        nodes: Names of all nodes.
    """
    where: dict[tuple[str, str, str], list[str]] = {}
    for one in unpulled:
        where.setdefault((one.image, one.namespace, one.words), []).append(one.node)
    told = [
        f"{image} of namespace {namespace} on "
        f"{'every node' if set(found) == set(nodes) else ', '.join(sorted(set(found)))} ({words})"
        for (image, namespace, words), found in sorted(where.items())
    ]
    return (
        "AlwaysPullImages was not switched on, since pods would not come up again: these images could not be pulled "
        f"afresh with their pods' credentials: {'; '.join(told)}. {_left_out(unpulled)}Let their registries serve them "
        "to every node, or take away the pods that run them, and run again."
    )


def _left_out(unpulled: t.Iterable[Unpulled]) -> str:
    """Say what was not tried any more."""
    if any(one.words == LIMITED for one in unpulled):
        return "Nothing more was pulled then, so that there may be others. "
    return "Each image is pulled by one node first, and by the others only when every one came. "


def _runs(pod: t.Mapping[str, t.Any]) -> bool:
    """Whether a pod runs and would be made anew through the API: it is nobody's mirror, no probe, and not leaving."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    if _MIRROR in (metadata.get("annotations") or {}) or PROBE in (metadata.get("labels") or {}):
        return False
    if metadata.get("deletionTimestamp"):
        return False
    if status.get("phase") == "Running":
        return True
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return status.get("phase") == "Pending" and any(one.get("imageID") for one in statuses)


def _images(spec: t.Mapping[str, t.Any]) -> set[str]:
    """Return the images of a pod's containers, and those that it mounts."""
    containers = [
        one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind) or []
    ]
    mounted = [(volume.get("image") or {}).get("reference") for volume in spec.get("volumes") or []]
    return {str(image) for image in [*(one.get("image") for one in containers), *mounted] if image}
