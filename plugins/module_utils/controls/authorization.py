# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good an AuthorizationConfiguration is, whoever wrote it."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data

#: Authorizers that there must be, and what it is when one is missing.
_WANTED = {"Node": "kubelets are not kept to their own nodes (Node)", "RBAC": "roles do not count (RBAC)"}


def judge(text: str) -> list[str]:
    """Return what is wrong with an AuthorizationConfiguration, one clause each; empty where nothing is."""
    try:
        document: t.Any = yaml_data.load(text)
    except yaml_data.NoYamlError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != "AuthorizationConfiguration":
        return ["it is no AuthorizationConfiguration"]
    entries = document.get("authorizers")
    types = [entry.get("type") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    found = ["everybody may do everything (AlwaysAllow)"] if "AlwaysAllow" in types else []
    return [*found, *(words for name, words in _WANTED.items() if name not in types)]
