# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster, the layout and the user's decisions from the plain data in which modules take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import NAMES, Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import DAY
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import (
    ClusterFacts,
    HostFacts,
    Layout,
    PairPath,
)

_SWITCHES = (
    "component_serving",
    "kubelet_serving",
    "kubelet_client",
    "kubelet_first",
    "super_admin",
    "file_references",
    "authority_keys_on_hosts",
)
_PLACES = ("pki", "configuration", "kubelet")
_TEXTS = ("load_balancer", "service_network", "dns_domain")


def cluster(data: Mapping[str, Any]) -> ClusterFacts:
    """`data` has the names of ClusterFacts; hosts are mappings of HostFacts, the version is a text as in 1.37.1."""
    hosts: dict[str, Any] = {name: _hosts(data.get(name) or ()) for name in ("control_planes", "nodes", "etcd")}
    texts: dict[str, Any] = {name: str(data[name]) for name in _TEXTS if data.get(name)}
    return ClusterFacts(
        **hosts,
        **texts,
        endpoint_asked=bool(data.get("endpoint_asked")),
        extra_names=tuple(data.get("extra_names") or ()),
        version=_version(str(data.get("version") or "1.37.0")),
        api_port=int(data.get("api_port") or 6443),
    )


def _hosts(entries: Sequence[Mapping[str, Any]]) -> tuple[HostFacts, ...]:
    return tuple(
        HostFacts(str(entry["node_name"]), tuple(entry.get("addresses") or ()), tuple(entry.get("extra_names") or ()))
        for entry in entries
    )


def _version(text: str) -> tuple[int, int, int]:
    parts = text.lstrip("v").split(".")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise HardeningError(
            "KH301", f"'{text}' is no version of Kubernetes; nothing was changed. Write it as in 1.37.1."
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def layout(data: Mapping[str, Any]) -> Layout:
    """`data` has the names of Layout; a pair is a mapping of ``certificate`` and ``key``, and may have ``signer``."""
    pairs = {
        name: PairPath(str(pair["certificate"]), str(pair["key"]), str(pair.get("signer") or ""))
        for name, pair in _mapping(data, "pairs")
    }
    switches: dict[str, Any] = {name: bool(data[name]) for name in _SWITCHES if name in data}
    places: dict[str, Any] = {name: str(data[name]) for name in _PLACES if data.get(name)}
    return Layout(
        **places,
        **switches,
        pairs=pairs,
        kubeconfigs={name: str(path) for name, path in _mapping(data, "kubeconfigs")},
        absent=frozenset(data.get("absent") or ()),
        believed={name: tuple(map(str, paths)) for name, paths in _mapping(data, "believed")},
    )


def _mapping(data: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    return list((data.get(name) or {}).items())


def policy(data: Mapping[str, Any]) -> Policy:
    """`data` may have ``lifetime_days``, ``usual_days``, ``key_algorithm``, ``keep_key``, ``renew_all`` and ``names``.

    With ``names`` ``table`` a leaf loses the names that the table does not have.
    """
    algorithm = data.get("key_algorithm") or None
    if algorithm is not None and algorithm not in keys.ALGORITHMS:
        raise HardeningError(
            "KH301",
            f"'{algorithm}' is no key algorithm that Kubernetes can use everywhere; nothing was changed. Choose one of "
            f"{', '.join(keys.ALGORITHMS)}.",
        )
    days, usual = (float(data.get(name) or 0) for name in ("lifetime_days", "usual_days"))
    return Policy(
        lifetime=days * DAY if days else None,
        key_algorithm=algorithm,
        keep_key=bool(data.get("keep_key")),
        renew_all=bool(data.get("renew_all")),
        usual=usual * DAY if usual > 0 else None,
        user_set=frozenset({NAMES} if data.get("names") == "table" else ()),
    )
