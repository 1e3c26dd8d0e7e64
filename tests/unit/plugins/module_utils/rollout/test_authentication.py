# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose tokens a control plane accepts: by its flags, by its file, or as the user wants it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import authentication

FIXTURE = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1" / "plain" / "kube-apiserver.yaml"
OURS = "/etc/kubernetes/kubeharden/authentication.yaml"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FLAGS = ("--oidc-issuer-url=https://a", "--oidc-client-id=k", "--oidc-ca-file=/etc/kubernetes/pki/oidc.crt")
WANTED = {"oidc-issuer-url": ["https://b"], "oidc-client-id": ["k"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(str(tmp_path))


def lay(host: Host, path: str, text: str) -> None:
    place = Path(host.root) / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def find(host: Host, *flags: str, wanted: dict[str, list[str]] | None = None) -> dict[str, t.Any]:
    words = "".join(f"    - {flag}\n" for flag in flags)
    text = FIXTURE.read_text(encoding="utf-8").replace("    - kube-apiserver\n", "    - kube-apiserver\n" + words)
    return authentication.find(host, Manifest.parse(text, "kube-apiserver.yaml"), wanted or {})


def issuers(found: dict[str, t.Any]) -> list[str]:
    return [one["issuer"]["url"] for one in (yaml.safe_load(found["jwt"]) or {"jwt": []})["jwt"]]


def test_a_fresh_control_plane_accepts_nobodys(host: Host) -> None:
    assert find(host) == {"jwt": "", "obstacles": [], "restricted": False, "anonymous": []}


def test_flags_with_the_authority_that_they_name(host: Host) -> None:
    lay(host, "/etc/kubernetes/pki/oidc.crt", CERTIFICATE)
    found = find(host, *FLAGS)
    assert found["obstacles"] == []
    assert yaml.safe_load(found["jwt"])["jwt"][0]["issuer"]["certificateAuthority"] == CERTIFICATE


def test_flags_whose_authority_is_not_there_cannot_be_moved(host: Host) -> None:
    found = find(host, *FLAGS)
    assert found["jwt"] == ""
    assert found["obstacles"] == [
        "--oidc-ca-file=/etc/kubernetes/pki/oidc.crt, in which no certificate can be read on this host"
    ]


@pytest.mark.parametrize(("path", "restricted"), [(OURS, True), ("/etc/kubernetes/pki/own.yaml", False)])
def test_what_a_file_says_is_kept(host: Host, path: str, restricted: bool) -> None:
    lay(host, path, "anonymous: {enabled: true}\njwt: [{issuer: {url: 'https://c'}}]\n")
    found = find(host, f"--authentication-config={path}")
    assert issuers(found) == ["https://c"]
    assert found["restricted"] == restricted


def test_what_the_user_wants_takes_the_place_of_all_that(host: Host) -> None:
    lay(host, OURS, "jwt: [{issuer: {url: 'https://c'}}]\n")
    assert issuers(find(host, f"--authentication-config={OURS}", wanted=WANTED)) == ["https://b"]
    assert issuers(find(host, *FLAGS, wanted=WANTED)) == ["https://b"]


def test_an_authority_of_the_users_that_is_not_there_is_one_sentence(host: Host) -> None:
    with pytest.raises(HardeningError, match="kubeharden_oidc_ca_file: /x is not on this host"):
        find(host, wanted={**WANTED, "oidc-ca-file": ["/x"]})
    lay(host, "/x", CERTIFICATE)
    assert "certificateAuthority" in find(host, wanted={**WANTED, "oidc-ca-file": ["/x"]})["jwt"]


@pytest.mark.parametrize("text", ["a: b: c", "[]", "", "jwt: 7", "jwt: [7]"])
def test_a_file_that_cannot_be_understood_stops_the_run(host: Host, text: str) -> None:
    lay(host, OURS, text)
    with pytest.raises(HardeningError, match="whose tokens it accepts cannot be kept"):
        find(host, f"--authentication-config={OURS}")
