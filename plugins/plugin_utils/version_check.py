# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags that a run would write, held against what each component's version knows, before anything is written."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import decide, rule_from_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.plugin_utils import controller

#: Keys of a setting that are no rule's.
_OWN_KEYS = ("after", "default", "files", "kubeadm", "mount")
#: Components of every node whose flags the user may give; kube-proxy has the version of kubeadm's cluster.
ON_NODES = ("kubelet", "kube-proxy")

#: Flags that kubeadm writes into kubeadm-flags.env, and takes out of it when it upgrades to a version without them.
_KUBEADM_TAKES_OUT = ("pod-infra-container-image",)

Settings = t.Mapping[str, t.Mapping[str, t.Any]]
Values = dict[str, tuple[str, ...]]


def check(components: t.Mapping[str, t.Mapping[str, t.Any]], settings: t.Mapping[str, Settings]) -> versions.Findings:
    """Return what keeps the components of a host from starting with these settings, and what the next minor drops.

    Args:
        components: What discovery found, by component.
        settings: The wanted settings by component and flag, as the templates and the user have them.

    A setting that is no rule is a problem like the others.
    """
    found = versions.Findings([], [])
    for component in (name for name in (*CONTROL_PLANE, *ON_NODES) if name in components):
        try:
            one = _component(component, components[component], settings.get(component, {}))
        except HardeningError as error:
            one = versions.Findings([str(error)], [])
        found.problems.extend(one.problems)
        found.warnings.extend(one.warnings)
    return found


def check_extra(
    components: t.Mapping[str, t.Mapping[str, t.Any]], extra: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[str]:
    """Return what is wrong with the user's own flags (kubeharden_extra_flags) on a host, before any host is written."""
    settings = {
        component: {flag: {"exact": text} for flag, text in flags.items()}
        for component, flags in texts_of(extra).items()
    }
    known = dict(components)
    if "kube-apiserver" in known:
        known["kube-proxy"] = {"version": known["kube-apiserver"]["version"], "flags": {}}
    return check(known, settings).problems


def of_no_version(extra: t.Any) -> list[str]:
    """Return a sentence for each of the user's own flags that is in no version which is known, whatever a host has.

    What is wrong with a component or the form of a flag is told elsewhere.
    """
    found = []
    for component, flags in extra.items() if isinstance(extra, dict) else ():
        for flag in flags if isinstance(flags, dict) else ():
            own = {component: {flag: flags[flag]}}
            if controller.problems_with_extra_flags(own) or versions.lifetime(component, flag) is not None:
                continue
            known = versions.known_versions(versions.product_of(component))
            newest, _warning = versions.choose(component, versions.shown(known[-1]))
            nearest = versions.nearest_flag(newest, component, versions.flag_name(flag))
            found.append(
                f"kubeharden_extra_flags: no version of {component} from {versions.shown(known[0])} to "
                f"{versions.shown(known[-1])} has a flag --{versions.flag_name(flag)}{nearest}."
            )
    return found


def with_kubelet(discovery: t.Mapping[str, t.Any]) -> dict[str, t.Mapping[str, t.Any]]:
    """Return the components of a host, and its kubelet where its version is known.

    On a node that speaks with the API kube-proxy too, as on a control plane.
    """
    kubelet = discovery["kubelet"]
    known = {"kubelet": {"version": kubelet["version"], "flags": {}}} if kubelet.get("version") else {}
    server = api_version(discovery)
    if server and "kube-apiserver" not in discovery["components"]:
        known["kube-proxy"] = {"version": server, "flags": {}}
    return {**discovery["components"], **known}


def api_version(discovery: t.Mapping[str, t.Any]) -> str:
    """Return the version of the API server, of this host or that with which it speaks; empty where it is not known."""
    found = discovery["components"].get("kube-apiserver") or discovery.get("api") or {}
    return str(found.get("version") or "")


def check_kubelet(discovery: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is written in a kubelet's configuration, file and drop-ins, that keeps it from starting once more."""
    kubelet = discovery["kubelet"]
    if not kubelet.get("version") or not kubelet.get("configuration"):
        return []
    table, _warning = versions.choose("kubelet", str(kubelet["version"]))
    return versions.values_of_no_use(table, kubelet["configuration"], _where(kubelet))


def unknown_to_kubelet(discovery: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is written in a kubelet's configuration that it passes over; nothing where its version has no table.

    It starts all the same, and what was meant is not in force.
    """
    kubelet = discovery["kubelet"]
    if not kubelet.get("version") or not kubelet.get("configuration"):
        return []
    table, warning = versions.choose("kubelet", str(kubelet["version"]))
    found = [] if warning else versions.fields_passed_over(table, kubelet["configuration"], _where(kubelet))
    return [f"{sentence} The kubelet passes over it; correct or remove it." for sentence in found]


def _where(kubelet: t.Mapping[str, t.Any]) -> str:
    return f"The kubelet's configuration ({kubelet['configuration_file']} and its drop-ins)"


def warnings_of_kubelet(kubelet: t.Mapping[str, t.Any], extra: t.Mapping[str, str]) -> list[str]:
    """Return what the next minor version of a kubelet does not take any more of its flags and feature gates.

    Args:
        kubelet: What discovery found of it.
        extra: The user's own flags, as texts.
    """
    by_kubeadm = [name for name in _KUBEADM_TAKES_OUT if name in kubelet.get("kubeadm_flags", [])]
    flags = {name: value for name, value in {**kubelet["flags"], **extra}.items() if name not in by_kubeadm}
    return warnings_of("kubelet", kubelet.get("version"), flags, kubelet.get("configuration") or {})


def warnings_of(
    component: str, version: str | None, flags: t.Mapping[str, t.Any], configuration: t.Mapping[str, t.Any]
) -> list[str]:
    """Return what the next minor version of a component with a configuration file does not take any more.

    Args:
        component: kubelet or kube-proxy.
        version: Its version, None or empty where nobody knows.
        flags: By flag, its value.
        configuration: Its configuration as data, of which the feature gates count.
    """
    if not version:
        return []
    values = {versions.flag_name(name): [text_of(value)] for name, value in flags.items()}
    gates = configuration.get("featureGates")
    for gate, value in gates.items() if isinstance(gates, dict) else ():
        values.setdefault("feature-gates", []).append(f"{gate}={text_of(value)}")
    table, warning = versions.choose(component, str(version))
    if warning:
        return [warning]
    later = versions.following(table, component)
    return versions.dropped(table, later, component, values) if later else []


def texts_of(extra: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, dict[str, str | list[str]]]:
    """Return the user's own flags with their values as a command line has them; a list is one of occurrences."""
    return {
        component: {str(flag): occurrences_of(value) for flag, value in flags.items()}
        for component, flags in extra.items()
    }


def occurrences_of(value: t.Any) -> str | list[str]:
    """Return a value of the user's as a command line has it, or each of a list's."""
    return [text_of(one) for one in value] if isinstance(value, list) else text_of(value)


def check_plugins(
    components: t.Mapping[str, t.Mapping[str, t.Any]], extra: t.Sequence[t.Mapping[str, t.Any]]
) -> list[str]:
    """Return what kube-apiserver's version does not know of kubeharden_admission_plugins_extra.

    It passes over the misspelt name of a plugin in its configuration without a word.
    """
    if not extra or "kube-apiserver" not in components:
        return []
    table, _warning = versions.choose("kube-apiserver", str(components["kube-apiserver"]["version"]))
    plugins = [{key: entry[key] for key in ("name", "configuration", "path") if entry.get(key)} for entry in extra]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    return versions.judge_document(table, document, "kubeharden_admission_plugins_extra")


def text_of(value: t.Any) -> str:
    """Return a value of the user's as a command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusal(number: str, problems: t.Sequence[str], host: str) -> dict[str, t.Any]:
    """Return a task's result that says all problems, which are of one kind."""
    return {
        "failed": True,
        "msg": numbered(
            number,
            f"{' '.join(problems)} Nothing was changed on {host}; correct the variable or what is found there, and run "
            "again.",
        ),
    }


def _component(component: str, seen: t.Mapping[str, t.Any], settings: Settings) -> versions.Findings:
    version = str(seen["version"])
    table, warning = versions.choose(component, version)
    current: Values = {versions.flag_name(name): (str(value),) for name, value in seen["flags"].items()}
    written, future = _outcome(current, settings)
    problems = versions.judge(table, component, version, written)
    if written:
        problems += versions.contradictions(component, version, future)
    later = versions.following(table, component) if warning is None else None
    warnings = versions.dropped(table, later, component, future) if later else []
    return versions.Findings(problems, [*([warning] if warning else []), *warnings])


def _outcome(current: Values, settings: Settings) -> tuple[Values, Values]:
    """Return the flags that would be written, and all flags as they would be."""
    written: Values = {}
    future = dict(current)
    for name, data in settings.items():
        flag = versions.flag_name(name)
        rule = rule_from_data({key: value for key, value in data.items() if key not in _OWN_KEYS}, flag)
        present = current.get(flag, ())
        if not present and "default" in data and decide(rule, [str(data["default"])]).satisfied:
            continue
        decision = decide(rule, present)
        if decision.satisfied:
            continue
        future.pop(flag, None)
        if decision.values:
            written[flag] = future[flag] = decision.values
    return written, future
