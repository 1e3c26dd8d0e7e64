# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod template of kubeadm's DaemonSet kube-proxy: what may be taken from its container, and kubeadm's patch."""

from __future__ import annotations

import copy
import typing as t

CONTAINER = "kube-proxy"
INIT_CONTAINER = "kube-proxy-init"
INIT_FLAG = "--init-only"
#: The annotation that says which configuration the pods were started with: a change of it rolls them.
CONFIGURATION_HASH = "kubeharden.core/configuration-sha256"
#: What is of a container that goes on, and of none that ends: the API refuses it there, or the pod would never be up.
_OF_ONE_THAT_GOES_ON = (
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "startupProbe",
)


def harden(
    template: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Mapping[str, t.Any]]
) -> tuple[dict[str, t.Any], list[str]]:
    """Return the pod template with less rights, everything else as it was, and the controls of what changed.

    What the owner took away already stays away: a container that is not privileged and a stricter mode are kept.

    Args:
        template: ``spec.template`` of the DaemonSet.
        wanted: ``security_context`` (value and control) of the container, once a container that ends before it has
            done what takes root, and ``volume_mode`` (octal text and control) of what the ConfigMap's volume shows.
    """
    result = copy.deepcopy(dict(template))
    controls = []
    context = wanted.get("security_context")
    if context and _take_rights(result["spec"], context["exact"]):
        controls.append(str(context["control"]))
    mode = wanted.get("volume_mode")
    if mode and _narrow_mode(result["spec"], int(str(mode["at_most"]), 8)):
        controls.append(str(mode["control"]))
    return result, sorted(controls)


def container(template: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """Return kube-proxy's own container, None where there is none of that name."""
    return _named(template["spec"].get("containers") or [], CONTAINER)


def _named(entries: t.Sequence[dict[str, t.Any]], name: str) -> dict[str, t.Any] | None:
    return next((entry for entry in entries if entry.get("name") == name), None)


def _take_rights(spec: dict[str, t.Any], context: t.Mapping[str, t.Any]) -> bool:
    main = _named(spec["containers"], CONTAINER)
    if main is None or not (main.get("securityContext") or {}).get("privileged"):
        return False
    if _named(spec.get("initContainers") or [], INIT_CONTAINER) is None:
        first = {key: copy.deepcopy(value) for key, value in main.items() if key not in _OF_ONE_THAT_GOES_ON}
        first["name"] = INIT_CONTAINER
        first["command"] = [*first.get("command", []), INIT_FLAG]
        spec["initContainers"] = [first, *(spec.get("initContainers") or [])]
    main["securityContext"] = dict(context)
    return True


def _narrow_mode(spec: dict[str, t.Any], mode: int) -> bool:
    main = _named(spec["containers"], CONTAINER) or {}
    mounted = {mount["name"] for mount in main.get("volumeMounts") or []}
    changed = False
    for volume in spec.get("volumes") or []:
        source = volume.get("configMap")
        if not isinstance(source, dict) or volume["name"] not in mounted:
            continue
        found = source.get("defaultMode", 0o644)
        if found & ~mode:
            source["defaultMode"] = found & mode
            changed = True
    return changed


def kubeadm_patch(wanted: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the same as a JSON patch (RFC 6902) for the DaemonSet as kubeadm itself writes it, of whatever version.

    kubeadm applies it to its own template before each write (target kubeproxydaemonset, from 1.37 on). The container
    is copied by the patch, so that its image is always that of the version which is being written.
    """
    pod = "/spec/template/spec"
    patch: list[dict[str, t.Any]] = []
    if "security_context" in wanted:
        first = f"{pod}/initContainers/0"
        patch += [
            {"op": "add", "path": f"{pod}/initContainers", "value": []},
            {"op": "copy", "from": f"{pod}/containers/0", "path": first},
            {"op": "replace", "path": f"{first}/name", "value": INIT_CONTAINER},
            {"op": "add", "path": f"{first}/command/-", "value": INIT_FLAG},
            {
                "op": "replace",
                "path": f"{pod}/containers/0/securityContext",
                "value": dict(wanted["security_context"]["exact"]),
            },
        ]
    if "volume_mode" in wanted:
        value = int(str(wanted["volume_mode"]["at_most"]), 8)
        patch.append({"op": "add", "path": f"{pod}/volumes/0/configMap/defaultMode", "value": value})
    return patch
