# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A name that no certificate could carry is told with the variable that has it."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="variables are looked at on the controller")

from ansible_collections.kubeharden.core.plugins.plugin_utils import certificate_names


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "endpoint",
            "https://api:6443",
            "'https://api:6443' is not a DNS name that a certificate can carry: it is a URL",
        ),
        ("endpoint", "api:99999", "The port in 'api:99999' is not between 1 and 65535. Correct it."),
        ("endpoint", "api,other", "the label 'api,other' is not made of letters"),
        ("addresses", ["300.1.1.1", "192.0.2.1"], "'300.1.1.1' is not an IP address. Write it as in 192.0.2.10"),
        ("addresses", "cp1, 192.0.2.1", "'cp1' is not an IP address."),
        ("addresses", ["224.0.0.1"], "The address '224.0.0.1' cannot stand in a certificate: no client dials it."),
        ("extra_names", ["a.example.org", "bad name!"], "the label 'bad name!' is not made of letters"),
        ("host_names", [""], "it is empty."),
        ("host_names", [5], "its last label is a number"),
    ],
)
def test_what_no_certificate_can_carry(name: str, value: t.Any, words: str) -> None:
    (sentence,) = certificate_names.problems({f"kubeharden_pki_{name}": value})
    assert sentence.startswith(f"kubeharden_pki_{name}: ")
    assert words in sentence
    assert "othing was changed" not in sentence


def test_what_a_certificate_can_carry() -> None:
    good = {
        "kubeharden_pki_endpoint": "[2001:db8::1]:6443",
        "kubeharden_pki_extra_names": ["*.a.example.org", "192.0.2.9"],
        "kubeharden_pki_host_names": "a,b",
        "kubeharden_pki_addresses": ["192.0.2.1", "cp1.example.org"],
    }
    assert certificate_names.problems(good) == []
    assert certificate_names.problems({"kubeharden_pki_endpoint": ""}) == []
    assert certificate_names.problems({}) == []
