# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubeadm is told of kubelets, and what its memory will say of them, for whoever tells it and for each node."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import KUBELET, address
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubelet_bounds import bounded, remembered
from ansible_collections.kubeharden.core.plugins.plugin_utils.around import Found, kubelet_config_map, kubelets


@dataclasses.dataclass(frozen=True)
class KubeletMemory:
    """What ConfigMap kubelet-config is asked for, by field, and what it will say; nothing where it was not read."""

    asked: dict[str, t.Mapping[str, t.Any]]
    said: dict[str, t.Any]


def kubelet_memory(
    found: Found,
    settings: t.Mapping[str, t.Mapping[str, t.Any]],
    shared: t.Mapping[str, t.Mapping[str, t.Any]],
    unseen: t.Collection[str],
) -> KubeletMemory:
    """Work out what kubeadm is told.

    Args:
        found: By host of the run, what discovery returned.
        settings: By field, what this run is about.
        shared: Those of them that no host has waived, which alone are asked for.
        unseen: Hosts of the cluster that take no part; while there is one, nothing stricter than the template is asked.
    """
    seen = [] if unseen else kubelets(found)
    asked = bounded(shared, seen) if seen else dict(shared)
    text = kubelet_config_map(found)
    return KubeletMemory(asked, remembered(text, asked, settings, address(KUBELET[0])) if text else {})
