# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value that cannot be is one sentence for all hosts that have it, and shows no secret."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.plugin_utils import controller, values

KNOWN = controller.specification()


def said(**of_all: t.Any) -> list[str]:
    found = {f"kubeharden_{name}": value for name, value in of_all.items()}
    return values.problems({"cp1": found, "w1": found}, KNOWN)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("profile", "CIS", "is CIS; it must be one of baseline, cis."),
        ("fail_on", "High", "is High; it must be one of empty, none, low, medium, high."),
        ("gate_timeout", "5m", "is 5m; it must be a whole number from 1 on."),
        ("gate_timeout", None, "is empty; it must be a whole number from 1 on."),
        ("gate_timeout", 0, "is 0; it must be a whole number from 1 on."),
        ("gate_timeout", "-5", "is -5; it must be a whole number from 1 on."),
        ("backup_count", -1, "is -1; it must be a whole number from 0 on."),
        ("backup_days", "-3", "is -3; it must be a whole number from 0 on."),
        ("pki_lifetime_days", -4, "is -4; it must be a whole number from 0 on."),
        ("rotation_grace", -1, "is -1; it must be a whole number from 0 on."),
        ("pki_bootstrap_minutes", "x", "is x; it must be a whole number."),
        ("trial", "perhaps", "is perhaps; it must be true or false."),
        ("extra_flags", "foo", "is none; it must be a mapping."),
        ("extra_flags", ["foo"], "is a list; it must be a mapping."),
        ("only", {"a": 1}, "is a mapping; it must be a list."),
        ("replace", ["audit_policy", "foo"], "is audit_policy, foo; it must be a list of some of audit_policy, "),
        ("waivers", ["foo"], "is a list of something else; it must be a list of mappings."),
        ("admission_plugins_extra", [{"path": "/x"}], "each with name and, where it is needed, configuration, path, "),
        ("pki_authorities", "-----BEGIN PRIVATE KEY-----", "is none; it must be a mapping."),
        ("profile", "token: abcdef.0123456789abcdef", "is token: "),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(name: str, value: t.Any, words: str) -> None:
    (sentence,) = said(**{name: value})
    assert sentence.startswith(f"kubeharden_{name} is ")
    assert words in sentence
    assert "PRIVATE" not in sentence
    assert "0123456789abcdef" not in sentence


def test_every_default_and_what_is_text_on_the_command_line_is_taken() -> None:
    defaults = {name: option["default"] for name, option in KNOWN.items()}
    assert values.problems({"cp1": defaults}, KNOWN) == []
    assert (
        said(trial="no", gate_timeout="60", only="a,b", oidc_required_claims="a=b", unknown="x", backup_days="0") == []
    )


def test_whose_value_it_is_is_said_where_it_is_not_everybodys() -> None:
    found: dict[str, dict[str, t.Any]] = {f"w{number}": {"kubeharden_trial": "x"} for number in range(7)}
    found["cp1"] = {"kubeharden_trial": "never"}
    assert [sentence.partition(";")[0] for sentence in values.problems(found, KNOWN)] == [
        "kubeharden_trial of cp1 is never",
        "kubeharden_trial of w0, w1, w2, w3, w4 and 2 more is x",
    ]


def test_what_a_play_or_a_role_says_counts_for_the_tasks_own_host() -> None:
    variables = {
        "inventory_hostname": "cp1",
        "kubeharden_profile": "{{ mine }}",
        "other": "{{ other }}",
        "hostvars": {"cp1": {"kubeharden_trial": True, "ansible_host": "x"}, "w1": {"kubeharden_trial": False}},
    }
    assert values.of_hosts(variables, ["cp1", "w1"], lambda text: f"filled in {text}") == {
        "cp1": {"kubeharden_trial": True, "kubeharden_profile": "filled in {{ mine }}"},
        "w1": {"kubeharden_trial": False},
    }
