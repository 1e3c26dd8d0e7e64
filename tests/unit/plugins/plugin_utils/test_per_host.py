# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable is each host's own."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils import per_host


def test_a_variable_is_each_hosts_own_or_the_playbooks() -> None:
    known = {"cp1": {}, "w1": {"kubeharden_waivers": [1]}, "w2": {"kubeharden_waivers": [1]}}
    each = per_host.of_each(known, "kubeharden_waivers", [2])
    assert each == {"cp1": [], "w1": [1], "w2": [1]}
    assert list(per_host.alike(each)) == [([], ["cp1"]), ([1], ["w1", "w2"])]
    assert per_host.of_each({"cp1": {}, "w1": {}}, "kubeharden_waivers", [2]) == {"cp1": [2], "w1": [2]}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lb.example.org", ["lb.example.org"]),
        ("a.example.org, b.example.org,", ["a.example.org", "b.example.org"]),
        ("", []),
        (None, []),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_a_list_may_be_text_with_commas(written: t.Any, meant: list[str]) -> None:
    assert per_host.words(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [(True, True), ("true", True), ("Yes", True), (1, True), ("false", False), (None, False)]
)
def test_yes_and_no_may_be_text(written: t.Any, meant: bool) -> None:
    assert per_host.yes(written) is meant
