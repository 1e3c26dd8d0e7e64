# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings among pods: what their containers may do on the node beyond what Pod Security's level restricted lets in.

Pods that have ended, those of the system's namespaces and, where Linux is meant, those of Windows are passed over. Pods
of one ReplicaSet, DaemonSet, StatefulSet or Job are one finding.
"""

from __future__ import annotations

import typing as t

Object = t.Mapping[str, t.Any]

#: Namespaces of the system's own.
SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
_ENDED = ("Succeeded", "Failed")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
#: Who makes pods from a template: the finding names them instead of each pod.
_MAKERS = ("DaemonSet", "Job", "ReplicaSet", "ReplicationController", "StatefulSet")
_HARMLESS_CAPABILITY = "NET_BIND_SERVICE"
_PACKETS = {"ALL", "NET_RAW"}
_SECCOMP = ("RuntimeDefault", "Localhost")


def privilege_escalation(pods: t.Sequence[Object]) -> list[str]:
    """Return containers whose processes may get more rights than they were started with."""
    return _containers(pods, lambda own, _pod: own.get("allowPrivilegeEscalation") is not False)


def root(pods: t.Sequence[Object]) -> list[str]:
    """Return containers that run as root, or may: the container's word counts before the pod's."""

    def may_be_root(own: Object, pod: Object) -> bool:
        user = _first("runAsUser", own, pod)
        return user == 0 if user is not None else _first("runAsNonRoot", own, pod) is not True

    return _containers(pods, may_be_root)


def net_raw(pods: t.Sequence[Object]) -> list[str]:
    """Return containers that may make packets of any kind."""
    return _containers(pods, lambda own, _pod: bool(_PACKETS & _added(own)) or not _PACKETS & _dropped(own))


def capabilities(pods: t.Sequence[Object]) -> list[str]:
    """Return containers that keep capabilities, or get more, but for the one to take ports below 1024."""
    return _containers(pods, lambda own, _pod: bool(_added(own) - {_HARMLESS_CAPABILITY}) or "ALL" not in _dropped(own))


def seccomp(pods: t.Sequence[Object]) -> list[str]:
    """Return containers for which neither they nor their pod say a profile of seccomp."""
    return _containers(pods, lambda own, pod: (_first("seccompProfile", own, pod) or {}).get("type") not in _SECCOMP)


def security_context(pods: t.Sequence[Object]) -> list[str]:
    """Return containers of which neither they nor their pod say anything."""
    return _containers(pods, lambda own, pod: not own and not pod, windows=True)


def _containers(
    pods: t.Sequence[Object], is_wrong: t.Callable[[Object, Object], bool], windows: bool = False
) -> list[str]:
    """Return by whom they were made the containers whose own and whose pod's security context are wrong."""
    found: dict[str, dict[str, None]] = {}
    for pod in pods:
        spec = pod.get("spec") or {}
        if _passed_over(pod, spec) or (not windows and (spec.get("os") or {}).get("name") == "windows"):
            continue
        for container in (one for key in _CONTAINERS for one in spec.get(key) or ()):
            if is_wrong(container.get("securityContext") or {}, spec.get("securityContext") or {}):
                found.setdefault(_maker(pod), {})[str(container.get("name"))] = None
    return sorted(f"{maker}: {', '.join(names)}" for maker, names in found.items())


def _passed_over(pod: Object, spec: Object) -> bool:
    metadata = pod.get("metadata") or {}
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    return ended or metadata.get("namespace") in SYSTEM_NAMESPACES or not spec


def _maker(pod: Object) -> str:
    """Return what made a pod from a template, else the pod."""
    metadata = pod.get("metadata") or {}
    owners = [one for one in metadata.get("ownerReferences") or () if one.get("kind") in _MAKERS]
    kind, name = (owners[0]["kind"], owners[0].get("name")) if owners else ("pod", metadata.get("name"))
    return f"{kind} {metadata.get('namespace')}/{name}"


def _first(key: str, own: Object, pod: Object) -> t.Any:
    """Return what a container says, else its pod."""
    return own[key] if own.get(key) is not None else pod.get(key)


def _added(own: Object) -> set[str]:
    return _named(own, "add")


def _dropped(own: Object) -> set[str]:
    return _named(own, "drop")


def _named(own: Object, key: str) -> set[str]:
    """Return capabilities by their names; a privileged container has all of them."""
    listed = {str(one).upper().removeprefix("CAP_") for one in (own.get("capabilities") or {}).get(key) or ()}
    if own.get("privileged") is True:
        return {"ALL"} if key == "add" else set()
    return listed
