# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gives anonymous requests more than Kubernetes itself does, and how far a file of the owner's lets them."""

from __future__ import annotations

import typing as t

#: Bindings of Kubernetes and of kubeadm that name anonymous requests: the health paths and the version, and the
#: authority that a joining node reads.
_KNOWN = ("system:public-info-viewer", "kubeadm:bootstrap-signer-clusterinfo")
#: What a request without credentials may reach: the health paths, and the authority that a joining node reads.
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/api/v1/namespaces/kube-public/configmaps/cluster-info"})
_ANONYMOUS = (("User", "system:anonymous"), ("Group", "system:unauthenticated"))


def grants(bindings: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the names of role bindings that an owner made for anonymous requests, namespace before the name."""
    found = []
    for binding in bindings:
        metadata = binding.get("metadata") or {}
        subjects = {(subject.get("kind"), subject.get("name")) for subject in binding.get("subjects") or []}
        if metadata.get("name") not in _KNOWN and subjects.intersection(_ANONYMOUS):
            namespace = metadata.get("namespace")
            found.append(f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"]))
    return sorted(found)


def judge(document: t.Mapping[str, t.Any]) -> list[str]:
    """Return what an AuthenticationConfiguration allows anonymous requests beyond the health paths, one clause each.

    Args:
        document: The file's content; of one without the part ``anonymous`` the flag --anonymous-auth decides.
    """
    said = document.get("anonymous")
    if not isinstance(said, dict):
        return ["it has no section anonymous"]
    if not said.get("enabled"):
        return []
    conditions = said.get("conditions")
    entries = conditions if isinstance(conditions, list) else []
    paths = [str(one.get("path")) for one in entries if isinstance(one, dict)]
    if not paths:
        return ["it allows anonymous requests on every path"]
    others = sorted(set(paths) - OPEN_PATHS)
    return [f"it allows anonymous requests on {', '.join(others)}"] if others else []
