# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions, by what they let pass and what they say of the rest."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import (
    asks_loopback,
    is_loopback,
    text_of,
    unmet,
)


@pytest.mark.parametrize(
    ("values", "judge", "met"),
    [
        (["false"], {"is": "false"}, True),
        (["F"], {"is": False}, True),
        (["true"], {"is": "false"}, False),
        ([], {"is": False}, True),
        ([], {"is": 0}, True),
        ([], {"is": "Webhook"}, False),
        (["0"], {"is": 0}, True),
        (["a"], {"set": True}, True),
        ([""], {"set": True}, False),
        ([], {"unset": True}, True),
        (["/tokens"], {"unset": True}, False),
        (["Node", "RBAC"], {"has": ["RBAC"]}, True),
        (["Node"], {"has": ["RBAC"]}, False),
        (["AllAlpha=TRUE"], {"has_not": ["AllAlpha=true"]}, False),
        (["kube:AllAlpha=true"], {"has_not": ["AllAlpha=true"]}, False),
        (["AllAlpha = 1"], {"has_not": ["AllAlpha=true"]}, False),
        (["AllAlpha=false"], {"has_not": ["AllAlpha=true"]}, True),
        (["30"], {"at_least": 30}, True),
        (["29"], {"at_least": 30}, False),
        (["0"], {"at_least": 30, "unlimited": 0}, True),
        (["0"], {"at_most": 30, "unlimited": 0}, False),
        (["1m0s"], {"at_least": "1s", "at_most": "300s"}, True),
        (["6m"], {"at_least": "1s", "at_most": "300s"}, False),
        (["soon"], {"at_most": "300s"}, False),
        (["-1"], {"at_least": 1}, False),
        (["A"], {"only": ["A", "B"]}, True),
        (["A", "C"], {"only": ["A", "B"]}, False),
        ([], {"only": ["A", "B"]}, False),
        (["VersionTLS13"], {"minimum": "VersionTLS12"}, True),
        (["VersionTLS11"], {"minimum": "VersionTLS12"}, False),
        (["TLS1.3"], {"minimum": "TLS1.2"}, True),
        ([""], {"minimum": "VersionTLS12", "empty": "VersionTLS12"}, True),
        (["127.0.0.1:10249"], {"loopback": True}, True),
        (["10.0.0.1"], {"loopback": True}, False),
        ([], {"loopback": True, "empty": "127.0.0.1:10249"}, True),
    ],
)
def test_a_condition_is_met_or_says_what_should_be(values: list[str], judge: dict[str, t.Any], met: bool) -> None:
    words = unmet(values, judge)
    assert (words == "") is met
    assert met or words.startswith("should")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost", True),
        ("::1", True),
        ("[::1]:10249", True),
        ("127.0.0.2", True),
        ("10.0.0.1:80", False),
        ("", False),
    ],
)
def test_an_address_of_the_host_itself_is_known(address: str, local: bool) -> None:
    assert is_loopback(address) is local
    assert asks_loopback(["https://192.0.2.9:2379", f"http://192.0.2.9,https://{address}"]) is local


def test_a_value_of_a_file_reads_as_a_flags_does() -> None:
    assert [text_of(value) for value in (True, False, 3, "a", None)] == ["true", "false", "3", "a", ""]
