# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user says of who may ask the API server, and of what it admits, checked before any host is asked."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

_OIDC = "kubeharden_oidc_"
_ISSUER, _CLIENT = f"{_OIDC}issuer_url", f"{_OIDC}client_id"
_CLAIMS = f"{_OIDC}required_claims"
PLUGINS = "kubeharden_admission_plugins_extra"
_KEYS = ("name", "configuration", "path", "files")
#: The field by which configurations of webhooks name a kubeconfig.
_KUBECONFIG = "kubeConfigFile"


def problems(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return a sentence for each thing in a host's variables that cannot be done."""
    found = problems_with_oidc({name: value for name, value in variables.items() if name.startswith(_OIDC)})
    if PLUGINS in variables:
        found += problems_with_plugins(variables[PLUGINS])
    webhook = variables.get("kubeharden_token_webhook_config_file")
    if webhook and not str(webhook).startswith("/"):
        found.append(f"kubeharden_token_webhook_config_file: {webhook} is no absolute path.")
    return found


def problems_with_oidc(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is wrong with kubeharden_oidc_*; of these, those that the user set."""
    issuer = variables.get(_ISSUER)
    if not issuer:
        useless = sorted(name for name, value in variables.items() if value and name != _ISSUER)
        return [f"{', '.join(useless)}: without effect without {_ISSUER}."] if useless else []
    found = []
    if not variables.get(_CLIENT):
        found.append(f"{_ISSUER} needs {_CLIENT}: the audience that a token must be for.")
    if not _is_issuer(str(issuer)):
        found.append(f"{_ISSUER}: {issuer} is no https:// address without a user, a query and a fragment.")
    if variables.get(f"{_OIDC}groups_prefix") and not variables.get(f"{_OIDC}groups_claim"):
        found.append(f"{_OIDC}groups_prefix: without effect without {_OIDC}groups_claim.")
    authority = str(variables.get(f"{_OIDC}ca_file") or "/")
    if not authority.startswith("/"):
        found.append(f"{_OIDC}ca_file: {authority} is no absolute path.")
    claims = variables.get(_CLAIMS) or {}
    if not isinstance(claims, dict) or not all(isinstance(value, str) for value in claims.values()):
        found.append(f"{_CLAIMS} must be a mapping of a claim's name to its value, a text.")
    return found


def _is_issuer(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    plain = not (address.query or address.fragment or "@" in address.netloc)
    return address.scheme == "https" and bool(address.hostname) and plain


def problems_with_plugins(extra: t.Any) -> list[str]:
    """Return what is wrong with the form of kubeharden_admission_plugins_extra."""
    if not isinstance(extra, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in extra):
        return [f"{PLUGINS} must be a list of mappings, each with the name of an admission plugin."]
    names = [str(entry["name"]) for entry in extra]
    found = [f"{PLUGINS}: {name} stands there twice." for name in dict.fromkeys(names) if names.count(name) > 1]
    for entry in extra:
        found.extend(f"{PLUGINS}: {entry['name']}: {clause}." for clause in _clauses(entry))
    return found


def _clauses(entry: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for key in sorted(set(entry) - set(_KEYS)):
        yield f"there is no key {key}; there are {', '.join(_KEYS)}"
    configuration, path, files = entry.get("configuration"), entry.get("path"), entry.get("files") or []
    if configuration and path:
        yield "either configuration or path, not both"
    if configuration is not None and not isinstance(configuration, dict):
        yield "configuration must be a mapping"
    if not isinstance(files, list):
        yield "files must be a list of paths"
        return
    for file in [*files, *([path] if path else [])]:
        if not str(file).startswith("/"):
            yield f"{file} is no absolute path"
    for kubeconfig in _kubeconfigs(configuration):
        if kubeconfig not in files:
            yield f"its {_KUBECONFIG} {kubeconfig} must stand among its files, so that it is mounted"


def _kubeconfigs(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == _KUBECONFIG:
                yield str(inner)
            else:
                yield from _kubeconfigs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _kubeconfigs(inner)
