# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's memory of the static pods: what `kubeadm upgrade` and `kubeadm join` would write must be what runs."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import decide, rule_from_data, split_list
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import plan

#: Rules whose bound is what the hosts have, which may be stricter than what the template asks for.
_BOUNDS = ("at_least", "at_most", "ordered_minimum", "keep")


def plan_cluster_configuration(text: str, states: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[str, list[str]]:
    """Return the ClusterConfiguration that says the same as the control planes, and the controls that this fulfils.

    Args:
        text: The inner document of ConfigMap kubeadm-config, key ClusterConfiguration.
        states: Of each control plane, by component: ``settings`` (flag, data, values) and ``mounts``.
    """
    configuration = ClusterConfiguration.parse(text)
    controls: list[str] = []
    for state in states:
        for component, content in state.items():
            changed = [setting for setting in content["settings"] if _set(configuration, component, setting)]
            controls.extend(str(setting["data"].get("control", "")) for setting in changed)
            for mount in content["mounts"]:
                configuration.ensure_extra_volume(
                    component, mount["name"], mount["path"], mount["path"], mount["read_only"], mount["path_type"]
                )
    return configuration.text, sorted({control for control in controls if control})


def waits(states: t.Sequence[t.Mapping[str, t.Any]], controls: t.Collection[str]) -> str:
    """Return the states that must come before what fulfils these controls, empty where there is none."""
    settings = (setting["data"] for state in states for content in state.values() for setting in content["settings"])
    return plan.waits(data for data in settings if data.get("control") in controls)


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
    rule = {key: value for key, value in data.items() if key not in plan.OWN_KEYS}
    for bound in _BOUNDS:
        if bound in rule and values:
            rule[bound] = values[-1]
    for listing in ("contains", "narrowed"):
        if listing in rule and values:
            rule[listing] = split_list(",".join(values))
    return rule
