# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which namespaces are exempt from Pod Security, over several runs."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.rollout import exemptions
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

REFUSED = [
    'existing pods in namespace "hot" violate the new PodSecurity enforce level "baseline:v1.37"',
    "p: privileged",
]
SPARED = ['namespace "hot" is exempt from Pod Security, and the policy (enforce=baseline:v1.37) will be ignored']
LEVEL = "pod-security.kubernetes.io/enforce"


def namespace(name: str, **labels: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name, "labels": {key.replace("_", "."): value for key, value in labels.items()}}}


def labelled(name: str, level: str) -> dict[str, t.Any]:
    return {"metadata": {"name": name, "labels": {LEVEL: level}}}


class Server:
    """Answers for each namespace, and notes who was asked about."""

    def __init__(self, **answers: list[str] | None) -> None:
        self.answers = answers
        self.asked: dict[str, t.Mapping[str, str]] = {}

    def __call__(self, one: t.Mapping[str, t.Any], labels: t.Mapping[str, str]) -> list[str] | None:
        self.asked[one["metadata"]["name"]] = labels
        return self.answers.get(one["metadata"]["name"], [])


def find(
    namespaces: list[dict[str, t.Any]], server: Server, before: t.Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = exemptions.find(namespaces, before, "baseline", 37, server)
    return found.namespaces, found.notes


def test_those_whose_pods_are_refused_are_exempt_and_named_with_the_reason() -> None:
    server = Server(hot=REFUSED)
    names, notes = find([namespace("kube-system"), namespace("hot"), namespace("cold")], server)
    assert names == ("hot",)
    (note,) = notes
    assert note.startswith("Namespace hot becomes exempt from Pod Security, since level baseline refuses pods")
    assert note.endswith(": p: privileged.")
    labels = {LEVEL: "baseline", f"{LEVEL}-version": "v1.37"}
    assert server.asked == {"hot": labels, "cold": labels}  # kube-system is always exempt


def test_an_exemption_stays_though_its_pods_are_gone_and_nobody_asks() -> None:
    server = Server()
    names, notes = find([namespace("hot"), namespace("cold")], server, before=["hot"])
    assert names == ("hot",)
    assert notes[0].startswith("Exempt from Pod Security since an earlier run: hot.")
    assert set(server.asked) == {"cold"}


def test_an_exemption_of_another_control_plane_stays_too() -> None:
    assert find([namespace("hot")], Server(hot=SPARED))[0] == ("hot",)


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
def test_a_namespace_with_a_level_of_its_own_is_governed_by_that(level: str) -> None:
    """An exemption would make its level count for nothing."""
    server = Server(hot=REFUSED)
    assert find([labelled("hot", level)], server, before=["hot"]) == ((), ())
    assert server.asked == {}


def test_an_exemption_ends_with_its_namespace() -> None:
    assert find([namespace("cold")], Server(), before=["hot"])[0] == ()
    assert find([namespace("hot")], Server(hot=None))[0] == ()


def test_the_next_run_finds_what_this_one_wrote() -> None:
    text = templates.render("admission/admission.yaml.j2", kubeharden_profile="cis", exempt_namespaces=["123", "hot"])
    assert exemptions.in_force(text) == ["123", "hot"]
    assert exemptions.configured(text) == ["EventRateLimit", "PodSecurity"]


NOTHING = (
    *(None, "", "a: b: c", "[]", "plugins: 7", "plugins: [7]", "plugins: [{name: PodSecurity}]"),
    "plugins: [{name: PodSecurity, configuration: 7}]",
    "plugins: [{name: PodSecurity, configuration: {defaults: 7}}]",
)


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_is_in_force_where_no_level_is(text: str | None) -> None:
    assert exemptions.in_force(text) is None


@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_nothing_is_enforced_where_it_is_not_known_whom_to_spare(profile: str) -> None:
    text = templates.render("admission/admission.yaml.j2", kubeharden_profile=profile, exempt_namespaces=None)
    assert exemptions.in_force(text) is None


def test_what_a_run_in_cis_enforced_is_the_same_text_in_baseline() -> None:
    texts = {
        templates.render("admission/admission.yaml.j2", kubeharden_profile=profile, exempt_namespaces=["hot"])
        for profile in ("baseline", "cis")
    }
    assert [exemptions.in_force(text) for text in texts] == [["hot"]]
