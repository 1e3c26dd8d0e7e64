# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""--oidc-* flags as an AuthenticationConfiguration says them, with the defaults that the flags have."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import oidc

ISSUER = "https://issuer.example"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
LEAST = {"oidc-issuer-url": [ISSUER], "oidc-client-id": ["kubernetes"]}


def made(**flags: str | list[str]) -> dict[str, t.Any]:
    given = {
        f"oidc-{name.replace('_', '-')}": value if isinstance(value, list) else [value] for name, value in flags.items()
    }
    return oidc.authenticator({**LEAST, **given}, f"{KEY}\n# ours\n{CERTIFICATE}\n")


def test_the_least() -> None:
    assert made() == {
        "issuer": {"url": ISSUER, "audiences": ["kubernetes"]},
        "claimMappings": {"username": {"claim": "sub", "prefix": f"{ISSUER}#"}},
    }


@pytest.mark.parametrize(
    ("flags", "claim", "prefix"),
    [
        ({}, "sub", f"{ISSUER}#"),
        ({"username_claim": "name"}, "name", f"{ISSUER}#"),
        ({"username_claim": "email"}, "email", ""),
        ({"username_claim": "email", "username_prefix": "x:"}, "email", "x:"),
        ({"username_prefix": "-"}, "sub", ""),
        ({"username_prefix": "-", "username_claim": "email"}, "email", ""),
        ({"username_prefix": "oidc:"}, "sub", "oidc:"),
        ({"username_prefix": ""}, "sub", f"{ISSUER}#"),
        ({"username_claim": ["name", "sub"]}, "sub", f"{ISSUER}#"),
    ],
)
def test_the_users_name(flags: dict[str, t.Any], claim: str, prefix: str) -> None:
    assert made(**flags)["claimMappings"]["username"] == {"claim": claim, "prefix": prefix}


def test_groups() -> None:
    assert made(groups_claim="groups")["claimMappings"]["groups"] == {"claim": "groups", "prefix": ""}
    assert made(groups_claim="g", groups_prefix="oidc:")["claimMappings"]["groups"] == {"claim": "g", "prefix": "oidc:"}
    assert "groups" not in made(groups_prefix="oidc:")["claimMappings"]


def test_required_claims_are_not_split_at_commas_and_the_last_of_a_name_counts() -> None:
    rules = made(required_claim=["team=a,b", "x = y=z ", "team=c,d"])["claimValidationRules"]
    assert rules == [{"claim": "team", "requiredValue": "c,d"}, {"claim": "x", "requiredValue": "y=z"}]


def test_of_the_authoritys_file_only_certificates_are_taken() -> None:
    assert made(ca_file="/x")["issuer"]["certificateAuthority"] == f"{CERTIFICATE}\n"
    assert oidc.certificates(f"{CERTIFICATE}\r\n".replace("\n", "\r\n") + KEY) == [CERTIFICATE]


@pytest.mark.parametrize(
    ("flags", "authority", "words"),
    [
        ({}, None, ""),
        ({"oidc-signing-algs": [",".join(oidc.ALGORITHMS)]}, None, ""),
        ({"oidc-signing-algs": ["RS256"]}, None, "--oidc-signing-algs=RS256, which no field stands for"),
        ({"oidc-signing-algs": ["RS256", "ES256"]}, None, "--oidc-signing-algs=ES256,RS256, which no field stands for"),
        ({"oidc-ca-file": ["/x"]}, CERTIFICATE, ""),
        ({"oidc-ca-file": ["/x"]}, None, "--oidc-ca-file=/x, in which no certificate can be read on this host"),
        ({"oidc-ca-file": ["/x"]}, KEY, "--oidc-ca-file=/x, in which no certificate can be read on this host"),
        ({"oidc-client-id": [""]}, None, "an issuer without a client, or a client without an issuer"),
        ({"oidc-later": ["1"]}, None, "--oidc-later, which no field stands for"),
    ],
)
def test_obstacles(flags: dict[str, list[str]], authority: str | None, words: str) -> None:
    assert oidc.obstacles({**LEAST, **flags}, authority) == ([words] if words else [])


def test_the_document_is_the_same_when_it_is_read_and_written_again() -> None:
    jwt = [made(ca_file="/x", groups_claim="groups", required_claim="on=no"), {"issuer": {"url": "https://b"}}]
    text = oidc.document(jwt)
    assert text.startswith(f"jwt:\n  - issuer:\n      url: {ISSUER}\n")
    assert "      certificateAuthority: |\n        -----BEGIN CERTIFICATE-----\n" in text
    assert yaml.safe_load(text) == {"jwt": jwt}
    assert oidc.document(yaml.safe_load(text)["jwt"]) == text


@pytest.mark.parametrize(
    "value", ["0815", "12e5", "123e4567", "1.", ".5e3", "0o17", "0X1F", "y", "N", "1_0e2", "on", "7"]
)
def test_no_text_is_read_as_a_number_or_a_truth_by_the_api_server(value: str) -> None:
    """It would not start: Go's parsers take more words for numbers and truths than PyYAML."""
    text = oidc.document([made(client_id=value, groups_claim=value, required_claim=f"a={value}")])
    for line in (f"- '{value}'", f"claim: '{value}'", f"requiredValue: '{value}'"):
        assert line in text
    assert yaml.safe_load(text)["jwt"][0]["issuer"]["audiences"] == [value]


@pytest.mark.parametrize("value", ["1.2.3.4", "abc", "e5", "0x", "a.b", "yes-men", "1e3x"])
def test_other_texts_are_not_quoted(value: str) -> None:
    assert f"        - {value}\n" in oidc.document([made(client_id=value)])
