# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control of a catalogue may say of how it is judged: keys, values, and the component that they fit."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_quantity
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import TLS_ORDERS, text_of

#: How a control may be judged, and the keys that each way needs.
KINDS: t.Mapping[str, tuple[str, ...]] = {
    "flag": ("flag",),
    "plugin": ("plugin", "enabled"),
    "field": ("field", "flag"),
    "files": ("files",),
    "check": ("check",),
}
#: Conditions that a flag's or a field's value may have to meet (controls.conditions).
CONDITIONS = ("is", "set", "unset", "has", "has_not", "at_least", "at_most", "only", "minimum", "loopback")
#: What stands beside conditions, and says what a value means.
_MEANINGS = ("unlimited", "empty")
#: Keys that a kind may have beside those that it needs.
_MORE: t.Mapping[str, tuple[str, ...]] = {
    "flag": (*CONDITIONS, *_MEANINGS, "or_set"),
    "field": (*CONDITIONS, *_MEANINGS),
    "files": ("mode", "owner", "group"),
}
#: Keys that a check needs, and those of which it needs one, by its name; others take none.
_OF_CHECKS: t.Mapping[str, tuple[str, ...]] = {
    "audit_log_size": ("at_least",),
    "certificates_expiry": ("days",),
    "cipher_suites": ("only",),
    "etcd_patched": ("newest", "dated"),
    "event_rate": ("at_most",),
    "gate": ("gate", "enabled"),
    "probe_anonymous": ("target",),
    "versions_patched": ("newest", "dated"),
    "versions_supported": ("newest", "dated"),
}
_ONE_OF: t.Mapping[str, tuple[str, ...]] = {"authorizers": ("with", "without")}
#: What a file's word stands for is said by rollout.evidence_files.
FILES = (
    "admin_kubeconfig", "cni_configuration", "controller_manager_kubeconfig", "etcd_data_directory", "etcd_manifest",
    "kube_apiserver_manifest", "kube_controller_manager_manifest", "kube_proxy_kubeconfig", "kube_scheduler_manifest",
    "kubelet_client_authority", "kubelet_client_key", "kubelet_configuration", "kubelet_kubeconfig", "kubelet_unit",
    "manifests_directory", "pki_certificate", "pki_directory", "pki_key", "scheduler_kubeconfig",
)  # fmt: skip

_WITH_GATES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
#: Of which components each kind, and each check that asks the control for its component, can say something.
_COMPONENTS: t.Mapping[str, tuple[str, ...]] = {
    "flag": (*_WITH_GATES, "etcd", "kube-proxy"),
    "field": ("kubelet", "kube-proxy"),
    "plugin": ("kube-apiserver",),
    "cipher_suites": (*_WITH_GATES, "etcd"),
    "gate": _WITH_GATES,
}
_TARGETS = ("kube-apiserver", "kubelet", "controllers", "etcd")

_MODE = re.compile(r"0?[0-7]{3,4}")
_MINOR = re.compile(r"[0-9]+\.[0-9]+")


def problem_of(judge: t.Mapping[str, t.Any], component: str, checks: t.Mapping[str, bool]) -> str:
    """Return what is wrong with a judge, one sentence; empty where nothing is.

    Args:
        judge: ``kind`` and what that kind needs.
        component: The control's.
        checks: By the name that a judge of the kind ``check`` may have, whether it is one of the cluster.
    """
    kind = judge.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return f"its judge must be of a kind among {', '.join(KINDS)}."
    missing = [key for key in KINDS[kind] if key not in judge]
    if missing:
        return f"a judge of the kind {kind} needs {', '.join(missing)}."
    check = judge.get("check") if kind == "check" else None
    if kind == "check" and (not isinstance(check, str) or check not in checks):
        return f"there is no check {check}."
    return (
        _problem_of_keys(judge, kind, str(check or ""))
        or _problem_of_values(judge, kind)
        or _problem_of_component(component, kind, str(check or ""), checks)
    )


def _problem_of_keys(judge: t.Mapping[str, t.Any], kind: str, check: str) -> str:
    who = f"the check {check}" if check else f"a judge of the kind {kind}"
    needed, one_of = _OF_CHECKS.get(check, ()), _ONE_OF.get(check, ())
    allowed = {"kind", *KINDS[kind], *_MORE.get(kind, ()), *needed, *one_of}
    unknown = sorted(str(key) for key in set(judge) - allowed)
    if unknown:
        return f"{who} has no {', '.join(unknown)}; it may have {', '.join(sorted(allowed - {'kind'}))}."
    missing = [key for key in needed if key not in judge]
    if missing:
        return f"{who} needs {', '.join(missing)}."
    if kind in ("flag", "field"):
        one_of = CONDITIONS
    elif kind == "files":
        one_of = ("mode", "owner")
    if one_of and not any(key in judge for key in one_of):
        return f"its judge needs one of {', '.join(one_of)}."
    if ("owner" in judge) != ("group" in judge):
        return "its judge needs owner and group, or neither."
    if "unlimited" in judge and not ("at_least" in judge or "at_most" in judge):
        return "its judge has unlimited, which says something beside at_least or at_most only."
    return ""


def _problem_of_values(judge: t.Mapping[str, t.Any], kind: str) -> str:
    for key, value in judge.items():
        words, is_right = _VALUES.get(key, _ANY)
        if key == "flag" and kind == "field":
            words, is_right = "a flag, or empty for none", _is_text_or_empty
        if key == "newest" and judge.get("check") in ("etcd_patched", "versions_patched"):
            words, is_right = 'the newest patch of each minor version, such as {"1.37": "1.37.2"}', _is_patches
        if not is_right(value):
            return f"{key} of its judge is {_shown(value)} and must be {words}."
    return ""


def _problem_of_component(component: str, kind: str, check: str, checks: t.Mapping[str, bool]) -> str:
    who = f"the check {check}" if check else f"a judge of the kind {kind}"
    if checks.get(check, False) != (component == "cluster"):
        return f"{who} is about {'the cluster' if checks.get(check) else 'hosts'}, and its component is {component}."
    known = _COMPONENTS.get(check or kind)
    if known and component not in known:
        return f"{who} is about {', '.join(known)}, and its component is {component}."
    return ""


def _shown(value: t.Any) -> str:
    return text_of(value) or "empty"


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_text_or_empty(value: t.Any) -> bool:
    return isinstance(value, str)


def _is_scalar(value: t.Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_list(value: t.Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(one) for one in value)


def _is_list_of_items(value: t.Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(one) or type(one) in (int, float) for one in value)


def _is_quantity(value: t.Any) -> bool:
    return isinstance(value, (str, int, float)) and parse_quantity(str(value)) is not None


def _is_patches(value: t.Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(minor, str) and isinstance(patch, str) and _MINOR.fullmatch(minor) and patch.startswith(f"{minor}.")
        for minor, patch in value.items()
    )


_Test = t.Callable[[t.Any], bool]
_ANY: tuple[str, _Test] = ("", lambda _value: True)
_TEXT: tuple[str, _Test] = ("text", _is_text)
_LIST: tuple[str, _Test] = ("a list of texts", _is_list)
_ITEMS: tuple[str, _Test] = ("a list of texts or numbers", _is_list_of_items)
_TRUE: tuple[str, _Test] = ("true", lambda value: value is True)
_SCALAR: tuple[str, _Test] = ("one value", _is_scalar)
_QUANTITY: tuple[str, _Test] = ("a number, or a duration such as 5m", _is_quantity)
#: What the value of each key must be, in words and as a test.
_VALUES: t.Mapping[str, tuple[str, _Test]] = {
    "flag": ("a flag, or a list of flags", lambda value: _is_text(value) or _is_list(value)),
    "field": _TEXT,
    "or_set": _TEXT,
    "plugin": _TEXT,
    "gate": _TEXT,
    "enabled": ("true or false", lambda value: isinstance(value, bool)),
    "files": (
        f"a list of {', '.join(FILES)}",
        lambda value: _is_list(value) and all(one in FILES for one in value),
    ),
    "mode": (
        'the octal digits of a mode in quotes, such as "0600"',
        lambda value: isinstance(value, str) and _MODE.fullmatch(value) is not None,
    ),
    "owner": _TEXT,
    "group": _TEXT,
    "is": _SCALAR,
    "set": _TRUE,
    "unset": _TRUE,
    "loopback": _TRUE,
    "has": _ITEMS,
    "has_not": _ITEMS,
    "only": _ITEMS,
    "at_least": _QUANTITY,
    "at_most": _QUANTITY,
    "unlimited": _SCALAR,
    "empty": _SCALAR,
    "minimum": (
        f"one of {', '.join(name for order in TLS_ORDERS for name in order)}",
        lambda value: isinstance(value, str) and any(value in order for order in TLS_ORDERS),
    ),
    "with": _LIST,
    "without": _LIST,
    "days": ("a number of days", lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0),
    "target": (f"one of {', '.join(_TARGETS)}", lambda value: isinstance(value, str) and value in _TARGETS),
    "newest": (
        'a minor version in quotes, such as "1.37"',
        lambda value: isinstance(value, str) and _MINOR.fullmatch(value) is not None,
    ),
    "dated": ("a date in quotes", _is_text),
}
