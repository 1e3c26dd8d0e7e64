# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of the API's objects until they are judged: a large cluster has tens of thousands of pods."""

from __future__ import annotations

import typing as t

#: Fields by name, with those of theirs that are kept; None where all are. Items of a list are each taken so.
Fields = t.Mapping[str, t.Optional[t.Mapping[str, t.Any]]]

_CONTAINER: Fields = {
    "name": None,
    "image": None,
    # Where a variable comes from, and not its value, which may be a secret.
    "env": {"name": None, "valueFrom": None},
    "envFrom": None,
    "ports": None,
    "securityContext": None,
}
#: By the name under which objects are read. Of others everything is kept but what nobody reads.
FIELDS: t.Mapping[str, Fields] = {
    "pods": {
        "metadata": {
            "name": None,
            "namespace": None,
            "labels": {"k8s-app": None},
            "ownerReferences": {"kind": None, "name": None},
        },
        "spec": {
            "nodeName": None,
            "os": None,
            "serviceAccountName": None,
            "automountServiceAccountToken": None,
            "securityContext": None,
            "containers": _CONTAINER,
            "initContainers": _CONTAINER,
            "ephemeralContainers": _CONTAINER,
        },
        "status": {"phase": None},
    },
    # A node lists every image that it holds.
    "nodes": {
        "metadata": {"name": None},
        "status": {"addresses": None, "conditions": None, "nodeInfo": {"kubeletVersion": None}},
    },
}
#: Of an object's metadata, what is for those who write it; kubectl keeps a copy of the object among the annotations.
_OF_WRITERS = ("managedFields", "annotations")


def kept(name: str, thing: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Return an object without what no check looks at."""
    fields = FIELDS.get(name)
    if fields is not None:
        return t.cast("t.Mapping[str, t.Any]", _kept(thing, fields))
    metadata = {key: value for key, value in (thing.get("metadata") or {}).items() if key not in _OF_WRITERS}
    return {**thing, "metadata": metadata}


def _kept(value: t.Any, fields: Fields | None) -> t.Any:
    if fields is None:
        return value
    if isinstance(value, list):
        return [_kept(item, fields) for item in value]
    if isinstance(value, dict):
        return {key: _kept(value[key], inner) for key, inner in fields.items() if key in value}
    return value
