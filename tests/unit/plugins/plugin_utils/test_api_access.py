# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user says of issuers, webhooks and admission plugins: each mistake is one sentence."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils.api_access import PLUGINS, problems

ISSUER = {"kubeharden_oidc_issuer_url": "https://issuer.example/path", "kubeharden_oidc_client_id": "kubernetes"}
WEBHOOK = {"webhooks": [{"imagePolicy": {"kubeConfigFile": "/etc/kubernetes/policy/config"}}]}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, None),
        ({"kubeharden_profile": "cis"}, None),
        (ISSUER, None),
        ({**ISSUER, "kubeharden_oidc_required_claims": {"team": "core"}}, None),
        ({"kubeharden_oidc_issuer_url": "", "kubeharden_oidc_client_id": ""}, None),
        (
            {"kubeharden_oidc_client_id": "x"},
            "kubeharden_oidc_client_id: without effect without kubeharden_oidc_issuer_url",
        ),
        ({"kubeharden_oidc_issuer_url": "https://a"}, "needs kubeharden_oidc_client_id"),
        *(
            ({**ISSUER, "kubeharden_oidc_issuer_url": url}, f"{url} is no https:// address")
            for url in (
                "http://a",
                "a.example",
                "https://",
                "https://u:p@a",
                "https://a?b",
                "https://a#b",
                "https://[a",
            )
        ),
        ({**ISSUER, "kubeharden_oidc_groups_prefix": "x"}, "groups_prefix: without effect"),
        ({**ISSUER, "kubeharden_oidc_ca_file": "ca.crt"}, "ca.crt is no absolute path"),
        ({**ISSUER, "kubeharden_oidc_required_claims": ["a=b"]}, "must be a mapping"),
        ({**ISSUER, "kubeharden_oidc_required_claims": {"a": 1}}, "must be a mapping"),
        ({"kubeharden_token_webhook_config_file": "x"}, "kubeharden_token_webhook_config_file: x is no absolute path"),
        ({PLUGINS: []}, None),
        ({PLUGINS: [{"name": "PodNodeSelector"}]}, None),
        ({PLUGINS: [{"name": "A", "configuration": WEBHOOK, "files": ["/etc/kubernetes/policy/config"]}]}, None),
        ({PLUGINS: "PodNodeSelector"}, "must be a list of mappings"),
        ({PLUGINS: ["PodNodeSelector"]}, "must be a list of mappings"),
        ({PLUGINS: [{"configuration": {}}]}, "must be a list of mappings"),
        ({PLUGINS: [{"name": "A"}, {"name": "A"}]}, "A stands there twice"),
        (
            {PLUGINS: [{"name": "A", "config": {}}]},
            "A: there is no key config; there are name, configuration, path, files",
        ),
        ({PLUGINS: [{"name": "A", "configuration": {"a": 1}, "path": "/b"}]}, "either configuration or path"),
        ({PLUGINS: [{"name": "A", "configuration": "x"}]}, "configuration must be a mapping"),
        ({PLUGINS: [{"name": "A", "path": "b"}]}, "b is no absolute path"),
        ({PLUGINS: [{"name": "A", "files": "/b"}]}, "files must be a list"),
        ({PLUGINS: [{"name": "A", "configuration": WEBHOOK}]}, "must stand among its files"),
    ],
)
def test_problems(variables: dict[str, t.Any], words: str | None) -> None:
    found = problems(variables)
    assert len(found) == (0 if words is None else 1), found
    assert words is None or words in found[0]
