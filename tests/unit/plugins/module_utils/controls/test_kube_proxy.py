# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's trust in the API server and its rights, judged."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.kube_proxy import (
    foreign_bindings,
    kubeconfig_problems,
)

GOOD = """\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://10.0.0.1:6443
  name: default
"""


NO_CLUSTER = ["its server is not spoken to by https", "no authority is named, so the system's own are trusted"]


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("", "", []),
        ("certificate-authority:", "certificate-authority-data:", []),
        ("https://", "http://", ["its server is not spoken to by https"]),
        ("certificate-authority:", "other:", ["no authority is named, so the system's own are trusted"]),
        ("  name:", "  n:", []),
        (
            "certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
            "insecure-skip-tls-verify: true",
            ["insecure-skip-tls-verify takes any server for the cluster's"],
        ),
        ("clusters:", "others:", ["it names no cluster"]),
        ("kind: Config", "kind: [", ["it is no YAML"]),
        ("kind: Config", "kind: !!bool x", ["it is no YAML"]),
        ("- cluster:", "- c:", NO_CLUSTER),
        ("clusters:\n", "clusters: [{cluster: x}]\nothers:\n", NO_CLUSTER),
    ],
)
def test_a_kubeconfig(old: str, new: str, problems: list[str]) -> None:
    assert kubeconfig_problems(GOOD.replace(old, new)) == problems


ACCOUNT = {"kind": "ServiceAccount", "namespace": "kube-system", "name": "kube-proxy"}


def binding(name: str, role: str, *subjects: dict[str, t.Any], **metadata: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name, **metadata}, "roleRef": {"name": role}, "subjects": list(subjects)}


def test_only_bindings_that_give_more_are_named() -> None:
    bindings = [
        binding("kubeadm:node-proxier", "system:node-proxier", ACCOUNT),
        binding("system:node-proxier", "system:node-proxier", {"kind": "User", "name": "system:kube-proxy"}),
        binding("others", "cluster-admin", {**ACCOUNT, "namespace": "other"}, {"kind": "User", "name": "kube-proxy"}),
        binding("empty", "cluster-admin"),
        binding("more", "cluster-admin", ACCOUNT),
        binding("read", "view", {"kind": "User", "name": "system:kube-proxy"}, namespace="shop"),
        binding("long", "edit", {"kind": "User", "name": "system:serviceaccount:kube-system:kube-proxy"}),
    ]
    assert foreign_bindings(bindings) == ["long (edit)", "more (cluster-admin)", "shop/read (view)"]
