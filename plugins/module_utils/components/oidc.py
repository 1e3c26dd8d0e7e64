# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The --oidc-* flags of kube-apiserver, and the same said by an AuthenticationConfiguration.

The API server makes the one of the other itself (pkg/kubeapiserver/options/authentication.go, 1.33 to 1.37), with
defaults that a configuration file does not have; the same is made here.
"""

from __future__ import annotations

import re
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data

Flags = t.Mapping[str, t.Sequence[str]]

_ISSUER, _CLIENT, AUTHORITY = "oidc-issuer-url", "oidc-client-id", "oidc-ca-file"
_ALGORITHMS, _REQUIRED = "oidc-signing-algs", "oidc-required-claim"
FLAGS = (
    _ISSUER,
    _CLIENT,
    AUTHORITY,
    "oidc-username-claim",
    "oidc-username-prefix",
    "oidc-groups-claim",
    "oidc-groups-prefix",
    _ALGORITHMS,
    _REQUIRED,
)
#: What a configuration file accepts; the flag's default is RS256 alone.
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----", re.DOTALL)


def _last(flags: Flags, name: str, default: str = "") -> str:
    values = flags.get(name) or [default]
    return values[-1]


def certificates(text: str) -> list[str]:
    """Return the certificates of a PEM file, and nothing else that it may hold."""
    return _CERTIFICATE.findall(text.replace("\r\n", "\n"))


def obstacles(flags: Flags, authority: str | None) -> list[str]:
    """Return what an AuthenticationConfiguration cannot say, one clause each.

    Args:
        flags: The occurrences of each flag, by its name.
        authority: The text of the file that oidc-ca-file names, None where it cannot be read.
    """
    found = [f"--{name}, which no field stands for" for name in sorted(flags) if name not in FLAGS]
    if not (_last(flags, _ISSUER) and _last(flags, _CLIENT)):
        found.append("an issuer without a client, or a client without an issuer")
    algorithms = {item.strip() for value in flags.get(_ALGORITHMS, []) for item in value.split(",")}
    if algorithms and not algorithms >= set(ALGORITHMS):
        found.append(f"--{_ALGORITHMS}={','.join(sorted(algorithms))}, which no field stands for")
    if _last(flags, AUTHORITY) and not certificates(authority or ""):
        found.append(f"--{AUTHORITY}={_last(flags, AUTHORITY)}, in which no certificate can be read on this host")
    return found


def authenticator(flags: Flags, authority: str | None) -> dict[str, t.Any]:
    """Return the entry of ``jwt`` that accepts the tokens that the flags accept, under the same names.

    Arguments are those of obstacles, of which there must be none.
    """
    issuer = _last(flags, _ISSUER)
    claim = _last(flags, "oidc-username-claim", "sub")
    prefix = _last(flags, "oidc-username-prefix")
    if prefix == "-":
        prefix = ""
    elif not prefix and claim != "email":
        prefix = f"{issuer}#"
    made: dict[str, t.Any] = {
        "issuer": {"url": issuer, "audiences": [_last(flags, _CLIENT)]},
        "claimMappings": {"username": {"claim": claim, "prefix": prefix}},
    }
    if _last(flags, AUTHORITY):
        made["issuer"]["certificateAuthority"] = "\n".join(certificates(authority or "")) + "\n"
    if _last(flags, "oidc-groups-claim"):
        made["claimMappings"]["groups"] = {
            "claim": _last(flags, "oidc-groups-claim"),
            "prefix": _last(flags, "oidc-groups-prefix"),
        }
    # Of a claim that is named twice the last value counts; a value may hold commas and further equals signs.
    required = dict(_pair(value) for value in flags.get(_REQUIRED, []))
    if required:
        made["claimValidationRules"] = [
            {"claim": name, "requiredValue": value} for name, value in sorted(required.items())
        ]
    return made


def _pair(text: str) -> tuple[str, str]:
    name, _equals, value = text.partition("=")
    return name.strip(), value.strip()


class _Dumper(yaml.SafeDumper):
    """Writes certificates as the lines that they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Lists are indented below their key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
_GoDumper = yaml_data.for_go(_Dumper)


def document(jwt: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Return the part ``jwt`` of an AuthenticationConfiguration as YAML, without a last line break."""
    text = yaml.dump({"jwt": list(jwt)}, Dumper=_GoDumper, sort_keys=False, default_flow_style=False, width=10**6)
    return str(text).rstrip("\n")
