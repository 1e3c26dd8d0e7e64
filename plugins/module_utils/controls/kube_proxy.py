# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy judged: how it trusts the API server, what it may do there, and where it shows its metrics."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data

#: The one role that kube-proxy needs.
ROLE = "system:node-proxier"
_SUBJECTS = (
    ("ServiceAccount", "kube-system", "kube-proxy"),
    ("User", None, "system:serviceaccount:kube-system:kube-proxy"),
    ("User", None, "system:kube-proxy"),
)


def kubeconfig_problems(text: str) -> list[str]:
    """Return what is wrong with the way in which kube-proxy's kubeconfig trusts its server, as clauses.

    Args:
        text: ``kubeconfig.conf`` of the ConfigMap.
    """
    try:
        document = yaml_data.load(text)
    except yaml_data.NoYamlError:
        return ["it is no YAML"]
    clusters = document.get("clusters") if isinstance(document, dict) else None
    if not isinstance(clusters, list) or not clusters:
        return ["it names no cluster"]
    found = []
    for entry in clusters:
        cluster = entry.get("cluster") if isinstance(entry, dict) else None
        if not isinstance(cluster, dict):
            cluster = {}
        if not str(cluster.get("server", "")).startswith("https://"):
            found.append("its server is not spoken to by https")
        if cluster.get("insecure-skip-tls-verify"):
            found.append("insecure-skip-tls-verify takes any server for the cluster's")
        elif not cluster.get("certificate-authority") and not cluster.get("certificate-authority-data"):
            found.append("no authority is named, so the system's own are trusted")
    return found


def foreign_bindings(bindings: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the bindings that give kube-proxy more than its own role, ``name (role)``, namespace before the name."""
    found = []
    for binding in bindings:
        role = (binding.get("roleRef") or {}).get("name")
        metadata = binding.get("metadata") or {}
        namespace = metadata.get("namespace")
        if role == ROLE and not namespace:
            continue
        if any(_is_kube_proxy(subject) for subject in binding.get("subjects") or []):
            name = f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
            found.append(f"{name} ({role})")
    return sorted(found)


def _is_kube_proxy(subject: t.Mapping[str, t.Any]) -> bool:
    return any(
        subject.get("kind") == kind and subject.get("name") == name and namespace in (None, subject.get("namespace"))
        for kind, namespace, name in _SUBJECTS
    )
