# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates as Ansible renders them: what is written on hosts, for tests."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.pki import layout

TEMPLATES = Path(__file__).parents[3] / "templates"

#: Certificates of a host on which every certificate of the table lies.
LAID = [layout.Layout().pair(row.name, row.path).certificate for row in layout.LEAVES]

#: Certificates and keys of kubeadm's by which its components know others, as they lie on a control plane.
THERE = [
    f"/etc/kubernetes/pki/{name}"
    for name in (
        "apiserver.crt", "apiserver.key", "ca.crt", "ca.key", "apiserver-kubelet-client.crt",
        "apiserver-kubelet-client.key", "etcd/ca.crt", "apiserver-etcd-client.crt", "apiserver-etcd-client.key",
        "sa.pub", "sa.key", "front-proxy-ca.crt", "front-proxy-client.crt", "front-proxy-client.key",
    )
]  # fmt: skip

#: What a kubeadm cluster of one control plane with nothing of the owner's looks like to a template.
FRESH: dict[str, t.Any] = {
    "kubeharden_profile": "baseline",
    "kubeharden_replace": [],
    "kubeharden_token_join": True,
    "kubeharden_extra_flags": {},
    "etcd_version": "3.7.0",
    "control_planes": 1,
    "anonymous_grants": [],
    "left_out": [],
    "configured_plugins": [],
    "authentication": {"jwt": "", "obstacles": [], "restricted": False, "anonymous": []},
    "authorization": None,
    "kubeharden_admission_plugins_extra": [],
    "kubeharden_pki_authorities_dir": "",
    "signing_key": False,
    "kubeharden_pki_component_serving": False,
    "laid": [],
    "there": [],
    "signs_elsewhere": False,
    "kubeharden_oidc_issuer_url": "",
    "kubeharden_token_webhook_config_file": "",
    "minor": 37,
    "found_flags": {},
    "oldest_kubelet": 37,
    "kubelet_pki": "/var/lib/kubelet/pki",
    "own_certificate": "",
    "kubelet_authority": "",
    "gate_off": "",
    "names_refused": "",
    "betas_off": False,
    "client_authority": False,
    "approved_before": False,
    "signer": True,
}


def render(name: str, templates: Path = TEMPLATES, **variables: t.Any) -> str:
    """The text of one template, for example ``audit/policy.yaml.j2``. Skips where there is no Jinja2, as on a host."""
    jinja2 = pytest.importorskip("jinja2", reason="templates are rendered on the controller")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.tests["match"] = lambda value, pattern: re.match(pattern, value) is not None
    environment.filters["to_json"] = json.dumps
    environment.filters["bool"] = lambda value: str(value).lower() in ("true", "yes", "on", "1")
    environment.filters["to_nice_yaml"] = lambda value, **form: yaml.safe_dump(value, default_flow_style=False, **form)
    text = (templates / name).read_text(encoding="utf-8")
    given = {**FRESH, **variables}
    given.setdefault("exempt_namespaces", [] if given["kubeharden_profile"] == "cis" else None)
    return str(environment.from_string(text).render(given))


def flags(component: str, templates: Path = TEMPLATES, **variables: t.Any) -> dict[str, dict[str, t.Any]]:
    """The wanted settings of a component, of every concern, as the action plugin hands them to the module."""
    concerns = yaml.safe_load(render(f"{component}/flags.yaml.j2", templates, **variables))
    told = ("notes", "not_done")
    return {flag: data for concern, found in concerns.items() if concern not in told for flag, data in found.items()}


def contents(templates: Path = TEMPLATES, **variables: t.Any) -> dict[str, str]:
    """The configuration files of the API server by the flag that names them."""
    names = {
        "audit-policy-file": "audit/policy.yaml.j2",
        "admission-control-config-file": "admission/admission.yaml.j2",
        "authentication-config": "authentication/authentication.yaml.j2",
    }
    return {flag: render(name, templates, **variables) for flag, name in names.items()}
