# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that a control plane must have before it joins, from one that is there.

kubeadm join makes those of its own table. What its ConfigMap names beside them must be there when it writes manifests.
"""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import layout as table
from ansible_collections.kubeharden.core.plugins.plugin_utils import authorities_directory, pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.per_host import words
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_cluster import Discovery

Variables = t.Mapping[str, t.Any]


def rows(pattern: Discovery, variables: Variables) -> list[str]:
    """Return the rows of the table that a new control plane is given, if somebody signs.

    It is those that are served there, and those that kubeadm will name, whatever this run asks for.

    Args:
        pattern: What was discovered on a control plane that is there.
        variables: Of that host.
    """
    signs = pki_cluster.has_authority(pattern) or bool(variables.get(authorities_directory.VARIABLE))
    served = set(pki_cluster.SERVING_FLAGS) - set(pki_cluster.without_serving(pattern, {}))
    return sorted(served | _named_by_kubeadm(pattern)) if signs else []


def _named_by_kubeadm(pattern: Discovery) -> set[str]:
    """Return the rows whose pair kubeadm's ConfigMap names, which is what kubeadm join writes."""
    text = (pattern.get("config_maps") or {}).get("kubeadm-config", {}).get("ClusterConfiguration")
    try:
        configuration = ClusterConfiguration.parse(text or "")
        return {
            name
            for name, (component, *flags) in pki_cluster.SERVING_FLAGS.items()
            if [configuration.extra_arg_values(component, flag) for flag in flags] == _pair_of(name)
        }
    except HardeningError:
        return set()  # who edits the ConfigMap refuses it, and so does kubeadm


def _pair_of(name: str) -> list[list[str]]:
    pair = pki_cluster.default_pair(name)
    return [[pair.certificate], [pair.key]]


def paths(names: t.Iterable[str]) -> set[str]:
    """Return the files of these rows."""
    pairs = [pki_cluster.default_pair(name) for name in names]
    return {path for pair in pairs for path in (pair.certificate, pair.key)}


def facts(
    names: t.Collection[str], pattern: tuple[str, Discovery, Variables], node_name: str, variables: Variables
) -> dict[str, t.Any]:
    """Return what the modules of certificates need: of the new host, and as ``source`` of the one that is there.

    Args:
        names: What `rows` gave.
        pattern: The inventory's name of the control plane that is there, what was discovered there, and its variables.
        node_name: Of the new host.
        variables: Of the new host.
    """
    name, discovery, known = pattern
    cluster = pki_cluster.cluster({name: discovery}, {name: known})
    new = {
        "node_name": node_name,
        "addresses": pki_cluster.addresses_set(variables),
        "extra_names": words(variables.get("kubeharden_pki_host_names")),
    }
    layout = pki_cluster.layout(discovery, known, False, pki_cluster.signer({name: discovery}))
    return {
        "node_name": node_name,
        "cluster": {**cluster, "control_planes": [*cluster["control_planes"], new]},
        "layout": {
            "pairs": {table.KUBERNETES: layout["pairs"][table.KUBERNETES]},
            "absent": sorted(_every_row() - {table.KUBERNETES, *names}),
            "component_serving": True,
            "authority_keys_on_hosts": layout["authority_keys_on_hosts"],
        },
        "source": {"node_name": discovery["node_name"], "layout": layout},
    }


def _every_row() -> set[str]:
    every = (*table.AUTHORITIES, *table.LEAVES, *table.KUBECONFIGS)
    return {row.name for row in every} | {table.SERVICE_ACCOUNT}
