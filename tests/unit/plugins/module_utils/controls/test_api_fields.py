# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of objects: all that checks look at, and little else."""

from __future__ import annotations

import sys
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_findings
from ansible_collections.kubeharden.core.plugins.module_utils.controls.api_fields import FIELDS, kept

CONTAINER = {
    "name": "app",
    "image": "registry/app:1.2.3",
    "command": ["app"],
    "env": [
        {"name": "A", "value": "do-not-keep"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
    "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
    "resources": {"limits": {"cpu": "1"}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
    "securityContext": {"runAsNonRoot": True},
}
POD: dict[str, t.Any] = {
    "metadata": {
        "name": "app-1",
        "namespace": "team",
        "labels": {"app": "app", "k8s-app": "kube-proxy"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "do-not-keep"},
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {f"f:{number}": {} for number in range(60)}}}],
    },
    "spec": {
        "nodeName": "w1",
        "serviceAccountName": "default",
        "automountServiceAccountToken": True,
        "securityContext": {"runAsUser": 1},
        "containers": [CONTAINER],
        "initContainers": [{**CONTAINER, "name": "before"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    },
    "status": {"phase": "Running", "containerStatuses": [{"name": "app", "imageID": "sha256:0" * 9}]},
}


class Looked(dict[str, t.Any]):
    """An object that remembers which of its fields were looked at, by their paths."""

    def __init__(self, fields: t.Mapping[str, t.Any], paths: set[str], path: str = "") -> None:
        self._paths, self._path = paths, path
        super().__init__({key: self._within(value, f"{path}{key}") for key, value in fields.items()})

    def _within(self, value: t.Any, path: str) -> t.Any:
        if isinstance(value, dict):
            return Looked(value, self._paths, f"{path}.")
        return [self._within(one, path) for one in value] if isinstance(value, list) else value

    def __getitem__(self, key: str) -> t.Any:
        self._paths.add(f"{self._path}{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: t.Any = None) -> t.Any:
        self._paths.add(f"{self._path}{key}")
        return super().get(key, default)


def has(name: str, path: str) -> bool:
    fields: t.Any = FIELDS[name]
    for key in path.split("."):
        if fields is None:
            return True
        if key not in fields:
            return False
        fields = fields[key]
    return True


@pytest.mark.parametrize("check", [check for check, needs in api_findings.NEEDS.items() if "pods" in needs])
def test_a_check_looks_at_nothing_of_a_pod_that_is_not_kept(check: str) -> None:
    paths: set[str] = set()
    account = {"metadata": {"name": "default", "namespace": "other"}}
    read = {key: [account] for key in api_findings.NEEDS[check]}
    full = api_findings.find(check, {**read, "pods": [Looked(POD, paths)]})
    assert paths
    assert [path for path in paths if not has("pods", path)] == []
    assert api_findings.find(check, {**read, "pods": [kept("pods", POD)]}) == full


def weight(value: t.Any) -> int:
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sys.getsizeof(value) + sum(map(weight, parts))


def test_of_a_pod_little_is_kept_and_no_value_of_a_variable() -> None:
    found = kept("pods", POD)
    assert "do-not-keep" not in str(found)
    assert weight(found) < weight(POD) / 2
    assert found["metadata"] == {"name": "app-1", "namespace": "team", "labels": {"k8s-app": "kube-proxy"}}


def test_of_other_objects_all_is_kept_but_what_writers_leave() -> None:
    role: dict[str, t.Any] = {
        "metadata": {**POD["metadata"], "name": "r"},
        "rules": [{"verbs": ["*"]}],
        "aggregationRule": {},
    }
    assert kept("clusterroles", role) == {
        **role,
        "metadata": {key: role["metadata"][key] for key in ("name", "namespace", "labels")},
    }


def test_of_a_node_it_is_kept_how_it_is_and_where_and_what_runs_there() -> None:
    status: dict[str, t.Any] = {
        "nodeInfo": {"kubeletVersion": "v1.37.1", "osImage": "Debian"},
        "images": [{"names": ["a"]}],
        "conditions": [{"type": "Ready"}],
        "addresses": [{"address": "192.0.2.1"}],
    }
    found = kept("nodes", {"metadata": {"name": "w1", "annotations": {}}, "status": status, "spec": {}})
    whole = {key: status[key] for key in ("conditions", "addresses")}
    assert found == {
        "metadata": {"name": "w1"},
        "status": {**whole, "nodeInfo": {"kubeletVersion": "v1.37.1"}},
    }


@pytest.mark.parametrize("odd", [{"metadata": {"name": "a"}, "spec": "word"}, {"metadata": None, "spec": [3]}, {}])
def test_what_is_no_pod_stays_what_it_is(odd: dict[str, t.Any]) -> None:
    assert kept("pods", odd) == odd
