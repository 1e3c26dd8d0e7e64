# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose tokens a control plane accepts, as it was found or as the user wants it, and what its files allow."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import oidc
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.controls import anonymous, authorization
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import CONFIGURATION_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text

COMPONENT = "kube-apiserver"
FLAG = "authentication-config"
AUTHORIZATION = "authorization-config"


def find(host: Host, manifest: Manifest, wanted: oidc.Flags) -> dict[str, t.Any]:
    """Return what an AuthenticationConfiguration must say of tokens.

    Args:
        host: The host's file system.
        manifest: kube-apiserver's.
        wanted: The user's own (kubeharden_oidc_*), by the flag's name; empty where the user says nothing.

    Returns:
        ``jwt``: its part jwt as YAML, empty where there is none. ``obstacles``: why the flags that were found cannot be
        said by one. ``restricted``: whether ours limits anonymous requests already. ``anonymous``: what a file of the
        owner's allows anonymous requests beyond the health paths, as clauses.

    Raises:
        HardeningError: What the user wants cannot be had, or the file that is there cannot be understood.
    """
    configuration, ours = _configuration(host, manifest)
    theirs = manifest.flag_values(COMPONENT, FLAG) and not ours
    judged = anonymous.judge(configuration) if theirs else []
    return {"anonymous": judged, **_tokens(host, manifest, wanted, configuration, ours)}


def find_authorization(host: Host, manifest: Manifest) -> dict[str, t.Any] | None:
    """Return the AuthorizationConfiguration of the owner's (``path``) and what is wrong with it (``findings``)."""
    values = manifest.flag_values(COMPONENT, AUTHORIZATION)
    if not values:
        return None
    path = manifest.host_path_of(COMPONENT, values[-1]) or values[-1]
    return {"path": path, "findings": authorization.judge(read_text(host.path(path)) or "")}


def _tokens(
    host: Host, manifest: Manifest, wanted: oidc.Flags, configuration: t.Mapping[str, t.Any], ours: bool
) -> dict[str, t.Any]:
    """Return ``jwt``, ``obstacles`` and ``restricted``, as `find` explains them."""
    restricted = ours and "anonymous" in configuration
    if wanted:
        authority = _wanted_authority(host, wanted)
        return {
            "jwt": oidc.document([oidc.authenticator(wanted, authority)]),
            "obstacles": [],
            "restricted": restricted,
        }
    names = {argument.name for argument in parse_arguments(manifest.arguments(COMPONENT))}
    flags = {name: manifest.flag_values(COMPONENT, name) for name in names if name.startswith("oidc-")}
    if flags:
        authority = _found_authority(host, manifest, flags)
        obstacles = oidc.obstacles(flags, authority)
        jwt = "" if obstacles else oidc.document([oidc.authenticator(flags, authority)])
        return {"jwt": jwt, "obstacles": obstacles, "restricted": restricted}
    entries = configuration.get("jwt") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _unreadable(f"jwt of the file that --{FLAG} names")
    return {"jwt": oidc.document(entries) if entries else "", "obstacles": [], "restricted": restricted}


def _configuration(host: Host, manifest: Manifest) -> tuple[dict[str, t.Any], bool]:
    """Return the AuthenticationConfiguration that is named, empty where there is none, and whether it is ours."""
    values = manifest.flag_values(COMPONENT, FLAG)
    if not values:
        return {}, False
    path = manifest.host_path_of(COMPONENT, values[-1]) or values[-1]
    text = read_text(host.path(path))
    if text is None:
        return {}, False
    try:
        document = yaml_data.load(text)
    except yaml_data.NoYamlError:
        document = None
    if not isinstance(document, dict):
        raise _unreadable(path)
    return document, path.startswith(CONFIGURATION_DIRECTORY + "/")


def _unreadable(what: str) -> HardeningError:
    return HardeningError(
        "KH121",
        f"{what} is no AuthenticationConfiguration, so whose tokens it accepts cannot be kept. Nothing was changed; "
        "repair the file, and run again.",
    )


def _found_authority(host: Host, manifest: Manifest, flags: oidc.Flags) -> str | None:
    values = flags.get(oidc.AUTHORITY) or [""]
    path = manifest.host_path_of(COMPONENT, values[-1]) if values[-1] else None
    return read_text(host.path(path)) if path else None


def _wanted_authority(host: Host, wanted: oidc.Flags) -> str | None:
    values = wanted.get(oidc.AUTHORITY) or [""]
    if not values[-1]:
        return None
    text = read_text(host.path(values[-1]))
    if not oidc.certificates(text or ""):
        raise HardeningError(
            "KH011",
            f"kubeharden_oidc_ca_file: {values[-1]} is not on this host, or holds no certificate (PEM). Nothing was "
            "changed; lay it on every control plane, or leave the variable empty for the host's own authorities.",
        )
    return text
