# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gives anonymous requests more than Kubernetes itself does."""

from __future__ import annotations

import typing as t

#: Bindings of Kubernetes and of kubeadm that name anonymous requests: the health paths and the version, and the
#: authority that a joining node reads.
_KNOWN = ("system:public-info-viewer", "kubeadm:bootstrap-signer-clusterinfo")
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
