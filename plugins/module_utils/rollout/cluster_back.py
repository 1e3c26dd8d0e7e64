# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting back what runs changed in the API: kubeadm's ConfigMaps, and kube-proxy's ConfigMap and DaemonSet."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.history import PastRun
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import ConfigMap, Kubectl
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kube_proxy import (
    CONFIG_MAP,
    CONFIGURATION,
    DAEMON_SET,
    Api,
    KubeProxy,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.undo import (
    UNKNOWN,
    Link,
    Unwound,
    strangers,
    unwind,
)

API_OBJECT = "api_object"
#: By what a record calls a ConfigMap, its name and the key that holds kubeadm's document.
CONFIG_MAPS = {
    "ConfigMap kube-system/kubeadm-config": ("kubeadm-config", "ClusterConfiguration"),
    "ConfigMap kube-system/kubelet-config": ("kubelet-config", "kubelet"),
}


def names(runs: t.Sequence[PastRun]) -> list[str]:
    """Return what runs changed in the API through this host, as their records call it."""
    return list(
        dict.fromkeys(str(entry["target"]) for run in runs for entry in run.entries if entry["kind"] == API_OBJECT)
    )


class ClusterBack:
    """Plans and applies the way back of the API's objects that a host's records name.

    Args:
        runs: The runs to put back, the oldest first.
        kubectl: The way to kubeadm's ConfigMaps.
        api: The way to kube-proxy.
    """

    def __init__(self, runs: t.Sequence[PastRun], kubectl: Kubectl, api: t.Callable[[], Api]) -> None:
        self._chains: dict[str, list[Link]] = {}
        for run in runs:
            for entry in run.entries:
                if entry["kind"] == API_OBJECT:
                    target = str(entry["target"])
                    before, after = (_state(target, entry.get(key, UNKNOWN)) for key in ("before", "after"))
                    self._chains.setdefault(target, []).append(Link(run.run_id, before, after, entry))
        self._kubectl = kubectl
        self._api = api
        self._writes: list[tuple[Change, ConfigMap]] = []
        self._proxy: KubeProxy | None = None
        #: What a person should know, as sentences.
        self.notes: list[str] = []
        #: What does not go back and why, as sentences.
        self.not_done: list[str] = []

    def plan(self) -> list[Change]:
        """Return what would change, without changing it.

        Raises:
            HardeningError: The API cannot be asked.
        """
        changes = self._plan_kube_proxy() if CONFIG_MAP in self._chains or DAEMON_SET in self._chains else []
        for target, (name, key) in CONFIG_MAPS.items():
            if target not in self._chains:
                continue
            found = self._kubectl.get_config_map("kube-system", name)
            if found is None or key not in found.data:
                self.not_done.append(f"{target} is gone, so it was left so.")
                continue
            back = self._unwound(target, found.data[key])
            if back.link is not None:
                change = file_change(API_OBJECT, target, found.data[key], back.state, [])
                self._writes.append((change, dataclasses.replace(found, data={**found.data, key: back.state})))
                changes.append(change)
        return changes

    def _unwound(self, target: str, current: str) -> Unwound:
        back = unwind(current, self._chains.get(target, []) or [Link("", current, current)])
        place = f"{STATE_DIRECTORY}/backups/{back.stranger}/record.json"
        self.not_done += strangers(back, target, place)
        return back

    def _plan_kube_proxy(self) -> list[Change]:
        api = self._api()
        config_map, daemon_set = api.config_map(), api.daemon_set()
        if config_map is None or daemon_set is None or CONFIGURATION not in (config_map.get("data") or {}):
            self.not_done.append("kube-proxy is not run as kubeadm runs it any more, so it was left alone.")
            return []
        map_back = self._unwound(CONFIG_MAP, config_map["data"][CONFIGURATION])
        set_back = self._unwound(DAEMON_SET, _state(DAEMON_SET, json.dumps(daemon_set["spec"]["template"])))
        if any(back.stranger and back.link is None for back in (map_back, set_back)):
            return []  # each is right only with the other
        self._proxy = KubeProxy(api, {}, {})
        return self._proxy.plan_back(map_back.state, json.loads(set_back.state))

    def apply(self, host: Host, backup: Backup, limit: float) -> dict[str, float]:
        """Write what was planned and return seconds by what was restarted.

        Raises:
            HardeningError: What stopped it; what was written before is back, or stays proven.
        """
        restarted = {}
        if self._proxy is not None:
            seconds = self._proxy.apply(host, backup, limit)
            self.notes += self._proxy.notes
            restarted = {"kube-proxy": seconds} if seconds else {}
        for change, config_map in self._writes:
            backup.note(API_OBJECT, change.target, before=change.before, after=change.after)
            self._kubectl.replace_config_map(config_map)
        return restarted


def _state(target: str, text: t.Any) -> t.Any:
    """Return a document so that two of the same meaning are equal: the DaemonSet's is kept as JSON."""
    if target != DAEMON_SET or text is UNKNOWN:
        return text
    return json.dumps(json.loads(text), sort_keys=True)
