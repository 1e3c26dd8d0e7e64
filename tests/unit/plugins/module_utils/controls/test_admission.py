# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission configurations of the owner's, judged by what they do."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.controls.admission import judge
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
LIMITS = "- name: EventRateLimit\n  path: limits.yaml\n"
SECURITY = "- {name: PodSecurity, configuration: {defaults: %s, exemptions: {namespaces: %s}}}\n"
FILES = {"limits.yaml": "limits: [{type: Server, qps: 1, burst: 1}]\n"}
NO_LIMITS = "nothing limits events (EventRateLimit)"
NO_LEVEL = "Pod Security has no level for a namespace that says none (PodSecurity)"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("", ["it is no AdmissionConfiguration"]),
        ("a: b: c", ["it is no AdmissionConfiguration"]),
        ("kind: Policy\n", ["it is no AdmissionConfiguration"]),
        (HEAD, [NO_LIMITS, NO_LEVEL]),
        (HEAD + LIMITS + SECURITY % ("{warn: baseline}", "[]"), []),
        (HEAD + LIMITS.replace("limits.", "gone."), [NO_LIMITS, NO_LEVEL]),
        (HEAD + LIMITS + SECURITY % ("{enforce: baseline}", "[kube-system]"), []),
        (
            HEAD + LIMITS + SECURITY % ("{enforce: baseline}", "[default]"),
            ["Pod Security refuses the pods of kube-system, which is not exempt"],
        ),
        (
            HEAD + LIMITS + SECURITY.replace("PodSecurity", "PodSecuritie") % ("{enforce: baseline}", "[kube-system]"),
            ["PodSecuritie is no admission plugin and counts for nothing", NO_LEVEL],
        ),
        (HEAD.replace("plugins:", "plugins: 7"), [NO_LIMITS, NO_LEVEL]),
        (HEAD + LIMITS + SECURITY % ("7", "7"), [NO_LEVEL]),
        (HEAD + LIMITS + "- {name: PodSecurity, configuration: 7}\n", [NO_LEVEL]),
    ],
)
def test_findings(text: str, findings: list[str]) -> None:
    assert judge(text, FILES.get) == findings


@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_nothing_is_wrong_with_ours(profile: str) -> None:
    exempt = ["hot"] if profile == "cis" else None
    text = templates.render("admission/admission.yaml.j2", kubeharden_profile=profile, exempt_namespaces=exempt)
    assert judge(text, FILES.get) == []
    security = yaml.safe_load(text)["plugins"][-1]["configuration"]
    namespaces = ["kube-system", "hot"] if profile == "cis" else ["kube-system"]
    assert security["exemptions"]["namespaces"] == namespaces
