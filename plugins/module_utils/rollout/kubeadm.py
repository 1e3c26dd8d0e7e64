# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's memory of the static pods: what `kubeadm upgrade` and `kubeadm join` would write must be what runs."""

from __future__ import annotations

import ipaddress
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import decide, rule_from_data, split_list
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import normal
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import plan

#: The ConfigMaps that kubeadm reads, and the key of each that holds the document.
KUBEADM = ("kubeadm-config", "ClusterConfiguration")
KUBELET = ("kubelet-config", "kubelet")
#: Rules whose bound is what the hosts have, which may be stricter than what the template asks for.
_BOUNDS = ("at_least", "at_most", "ordered_minimum", "keep")
#: A flag whose value needs another one: kube-apiserver starts with no plugin that misses its configuration.
_NEEDS = {"enable-admission-plugins": "admission-control-config-file"}

State = t.Mapping[str, t.Mapping[str, t.Any]]


def address(name: str) -> str:
    """Return what a sentence calls a ConfigMap."""
    return f"ConfigMap kube-system/{name}"


def missing(name: str, left: str) -> HardeningError:
    """Return what is said of a ConfigMap that is not there.

    Args:
        name: Its name.
        left: What has been done, a sentence.
    """
    return HardeningError(
        "KH126",
        f"{address(name)} is missing, so kubeadm does not know this cluster. {left}; write it with kubeadm init phase "
        "upload-config all, and run again.",
    )


def unusable(texts: t.Mapping[str, t.Mapping[str, str]], components: t.Iterable[str]) -> list[str]:
    """Return a sentence, with its number, for each ConfigMap that a run could not write when the hosts are hardened.

    Args:
        texts: By ConfigMap, its data.
        components: Static pods whose settings it must be able to say.
    """
    found = []
    for name, key in (KUBEADM, KUBELET):
        text = texts.get(name, {}).get(key)
        try:
            if text is None:
                raise missing(name, "Nothing was changed")
            if name == KUBEADM[0]:
                configuration = ClusterConfiguration.parse(text, address(name))
                for component in components:
                    configuration.extra_args(component)
                    configuration.extra_volumes(component)
            else:
                kubeletconfig.apply(text, {}, address(name))
        except HardeningError as error:
            found.append(numbered(error.number, str(error)))
    return found


def plan_cluster_configuration(
    text: str, states: t.Sequence[State], others: t.Sequence[State] = ()
) -> tuple[str, list[str]]:
    """Return the ClusterConfiguration that says the same as the control planes, and the controls that this fulfils.

    What is of one control plane alone would reach every other one, and a flag without the volume of its file keeps the
    component from starting: such a flag stays as it is found there, with those that go with it.

    Args:
        text: The inner document of ConfigMap kubeadm-config, key ClusterConfiguration.
        states: Of each control plane, by component: ``settings`` (flag, data, values) and ``mounts``
            (ComponentPlan.state).
        others: What other tasks of the run have written, or are to write.
    """
    configuration = ClusterConfiguration.parse(text)
    controls: list[str] = []
    out = {
        component: _with_companions(_contents(component, [*states, *others]), reasons)
        for component, reasons in _reasons(configuration, [*states, *others]).items()
    }
    for state in states:
        for component, content in state.items():
            settings = [setting for setting in content["settings"] if setting["flag"] not in out[component]]
            changed = [setting for setting in settings if _set(configuration, component, setting)]
            controls.extend(str(setting["data"].get("control", "")) for setting in changed)
            own = configuration.own_mounts(component)
            for mount in content["mounts"]:
                if mount["flag"] not in out[component] and not _is_own(mount, own):
                    configuration.ensure_extra_volume(
                        component,
                        mount["name"],
                        mount["host_path"],
                        mount["path"],
                        mount["read_only"],
                        mount["path_type"],
                    )
    return configuration.text, sorted({control for control in controls if control})


def unsaid(text: str, states: t.Sequence[State], others: t.Sequence[State] = ()) -> list[str]:
    """Return a sentence for each flag of these states that the configuration cannot say for all control planes."""
    return [
        f"ConfigMap kube-system/kubeadm-config was left as it is for --{flag} of {component}, since {reason}. kubeadm "
        "upgrade and join write what stands there: keep yours by a patch (--patches), or put it back afterwards."
        for component, reasons in _reasons(ClusterConfiguration.parse(text), [*states, *others]).items()
        for flag, reason in reasons.items()
        if any(setting["flag"] == flag for content in _contents(component, states) for setting in content["settings"])
    ]


def _reasons(configuration: ClusterConfiguration, states: t.Sequence[State]) -> dict[str, dict[str, str]]:
    """Return by component the flags that the configuration cannot say, each with its reason as a clause."""
    components = dict.fromkeys(component for state in states for component in state)
    return {name: _unsayable(configuration, name, _contents(name, states)) for name in components}


def _contents(component: str, states: t.Sequence[State]) -> list[t.Mapping[str, t.Any]]:
    return [state[component] for state in states if component in state]


def waits(states: t.Sequence[State], controls: t.Collection[str]) -> str:
    """Return the states that must come before what fulfils these controls, empty where there is none."""
    settings = (setting["data"] for state in states for content in state.values() for setting in content["settings"])
    return plan.waits(data for data in settings if data.get("control") in controls)


def _unsayable(
    configuration: ClusterConfiguration, component: str, contents: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, str]:
    """Return the flags of one component that the configuration cannot say, each with its reason as a clause."""
    reasons: dict[str, str] = {}
    settings = [setting for content in contents for setting in content["settings"]]
    mounts = [mount for content in contents for mount in content["mounts"]]
    for flag in dict.fromkeys(setting["flag"] for setting in settings):
        having = [setting for setting in settings if setting["flag"] == flag]
        reason = _of_one_host(having)
        several = any("exact" in setting["data"] and len(setting["values"]) > 1 for setting in having)
        if several and not configuration.says_several:
            reason = f"{configuration.api_version} says a flag once, and it is given several times"
        if len(having) < len(contents) and any(setting["data"].get("mount") == "laid" for setting in having):
            reason = "not every control plane has its file yet"
        for mount in (one for one in mounts if one["flag"] == flag):
            reason = reason or _unmountable(configuration, component, mount, mounts)
        if reason:
            reasons[flag] = reason
    return reasons


def _of_one_host(settings: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Return why a flag's value is not that of all control planes, empty where it is."""
    values = [value for value in map(_one_value, settings) if value is not None]
    if len(set(values)) > 1:
        return f"the control planes have different values of it ({'; '.join(sorted(set(values)))})"
    kept = [value for setting in settings if "keep" in setting["data"] for value in setting["values"]]
    named = next((value for value in kept if any(map(_is_of_a_host, value.split(",")))), "")
    return f"{named} is an address of one host" if named else ""


def _one_value(setting: t.Mapping[str, t.Any]) -> str | None:
    """Return what a setting would have the configuration say; None for bounds and lists, which can be put together."""
    data = setting["data"]
    if "keep" in data:
        return ";".join(setting["values"])
    if "exact" not in data:
        return None
    return ",".join(map(str, data["exact"])) if isinstance(data["exact"], list) else str(data["exact"])


def _is_of_a_host(text: str) -> bool:
    """Return whether a text is an address, or a URL with one, that only one host can have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        try:
            address = ipaddress.ip_address(urlsplit(text).hostname or "")
        except ValueError:
            return False
    return not (address.is_loopback or address.is_unspecified)


def _unmountable(
    configuration: ClusterConfiguration,
    component: str,
    mount: t.Mapping[str, t.Any],
    mounts: t.Sequence[t.Mapping[str, t.Any]],
) -> str:
    """Return why kubeadm would not mount this as it is mounted, empty where it would."""
    host_path, path = mount["host_path"], normal(mount["path"])
    if host_path is None:
        return f"its file is in volume {mount['name']}, which is none of the host's"
    own = configuration.own_mounts(component)
    if _is_own(mount, own):
        return ""
    if path in own:
        return f"{host_path} is mounted at {path}, where kubeadm mounts {path}"
    if component == "etcd":
        return f"its file is mounted at {path}, and kubeadm knows no extra volumes for etcd"
    there = [one.host_path for one in configuration.extra_volumes(component) if normal(one.mount_path) == path]
    there += [one["host_path"] or "" for one in mounts if normal(one["path"]) == path]
    others = sorted({one for one in there if normal(one) != normal(host_path)})
    return f"{host_path} is mounted at {path}, and elsewhere {', '.join(others)} is" if others else ""


def _is_own(mount: t.Mapping[str, t.Any], own: t.Container[str]) -> bool:
    path = normal(mount["path"])
    return path in own and mount["host_path"] is not None and normal(mount["host_path"]) == path


def _with_companions(contents: t.Sequence[t.Mapping[str, t.Any]], flags: t.Collection[str]) -> set[str]:
    """Return flags with those that go with them: of the same control, or without use beside what is left."""
    settings = [setting for content in contents for setting in content["settings"]]
    controls = {setting["data"].get("control") for setting in settings if setting["flag"] in flags} - {None}
    found = {*flags, *(setting["flag"] for setting in settings if setting["data"].get("control") in controls)}
    return found | {flag for flag, needed in _NEEDS.items() if needed in found}


def _set(configuration: ClusterConfiguration, component: str, setting: t.Mapping[str, t.Any]) -> bool:
    flag, values = str(setting["flag"]), list(setting["values"])
    current = configuration.extra_arg_values(component, flag)
    rule = rule_from_data(_as_found(setting["data"], values), flag)
    if not current and (not values or values == [str(setting["data"].get("kubeadm"))]):
        return False  # kubeadm writes it of itself
    decision = decide(rule, current)
    if decision.satisfied:
        return False
    if decision.value is None:
        configuration.remove_extra_arg(component, flag)
    else:
        configuration.set_extra_arg(component, flag, list(decision.values))
    return True


def _as_found(data: t.Mapping[str, t.Any], values: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the rule with the host's own value for its bound: what the owner set stricter survives an upgrade too."""
    rule = {key: value for key, value in data.items() if key not in (*plan.OWN_KEYS, "also")}
    for bound in _BOUNDS:
        if bound in rule and values:
            rule[bound] = values[-1]
    for listing in ("contains", "narrowed"):
        if listing in rule and values:
            rule[listing] = split_list(",".join(values))
    return rule
