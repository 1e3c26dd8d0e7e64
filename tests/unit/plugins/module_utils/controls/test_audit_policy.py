# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit policy is judged by what it would record, whoever wrote it; ours too."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.controls.audit_policy import (
    QUESTIONS,
    Question,
    judge,
    level_for,
)
from ansible_collections.kubeharden.core.tests.unit.plugins import templates


def policy(*rules: dict[str, t.Any]) -> str:
    return yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules)})


BEARERS = {
    "level": "Metadata",
    "resources": [
        {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
        {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
    ],
}
GOOD = (BEARERS, {"level": "Request"})


# ---- ours


def test_our_own_policy_is_clean() -> None:
    assert judge(templates.render("audit/policy.yaml.j2")) == []


OURS: tuple[tuple[str, Question, str], ...] = tuple(
    (
        f"{verb} {group}/{resource} by {user}",
        Question("", verb, group, resource, "None", user=user, groups=groups),
        level,
    )
    for verb, group, resource, user, groups, level in (
        # Before any rule that drops noise: kube-proxy under both names that it has.
        ("watch", "discovery.k8s.io", "endpointslices", "system:kube-proxy", ("system:authenticated",), "Metadata"),
        (
            "watch",
            "discovery.k8s.io",
            "endpointslices",
            "system:serviceaccount:kube-system:kube-proxy",
            ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
            "Metadata",
        ),
        ("get", "", "secrets", "system:apiserver", ("system:masters",), "Metadata"),
        ("get", "", "secrets", "system:node:w1", ("system:nodes", "system:authenticated"), "Metadata"),
        ("list", "", "configmaps", "system:kube-controller-manager", ("system:authenticated",), "Metadata"),
        ("patch", "rbac.authorization.k8s.io", "roles", "somebody", ("system:authenticated",), "RequestResponse"),
        ("get", "rbac.authorization.k8s.io", "roles", "system:apiserver", ("system:masters",), "None"),
        ("deletecollection", "certificates.k8s.io", "certificatesigningrequests", "x", (), "RequestResponse"),
        ("get", "", "pods/exec", "system:node:w1", ("system:nodes",), "Metadata"),
        ("get", "", "pods", "system:node:w1", ("system:nodes", "system:authenticated"), "None"),
        ("update", "", "nodes/status", "system:node:w1", ("system:nodes", "system:authenticated"), "Request"),
        ("create", "", "events", "system:node:w1", ("system:nodes",), "None"),
        ("create", "apps", "deployments", "somebody", ("system:authenticated",), "Request"),
        ("get", "apps", "deployments", "somebody", ("system:authenticated",), "Metadata"),
        ("create", "example.net", "things", "somebody", ("system:authenticated",), "Metadata"),
    )
)


@pytest.mark.parametrize(("question", "level"), [row[1:] for row in OURS], ids=[row[0] for row in OURS])
def test_what_our_policy_records(question: Question, level: str) -> None:
    rules = yaml.safe_load(templates.render("audit/policy.yaml.j2"))["rules"]
    assert level_for(rules, question) == level


# ---- each question both ways


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.words for question in QUESTIONS])
def test_each_question_is_answered_well_by_a_good_policy_and_missed_where_nothing_is_recorded(
    question: Question,
) -> None:
    assert judge(policy(*GOOD)) == []
    silent = {"level": "None", "resources": [{"group": question.group, "resources": [question.resource]}]}
    findings = judge(policy(silent, *GOOD))
    assert f"{question.words} is recorded at None and should be at {question.at_least}" in findings


@pytest.mark.parametrize(
    "question",
    [question for question in QUESTIONS if question.at_most == "Metadata"],
    ids=[question.words for question in QUESTIONS if question.at_most == "Metadata"],
)
@pytest.mark.parametrize("level", ["Request", "RequestResponse"])
def test_a_body_that_holds_a_secret_is_found(question: Question, level: str) -> None:
    loud = {"level": level, "resources": [{"group": question.group, "resources": [question.resource]}]}
    assert f"{question.words} is recorded at {level}, which writes its body to the log" in judge(policy(loud, *GOOD))


@pytest.mark.parametrize(
    "condition",
    [
        {"users": ["jane"]},
        {"userGroups": ["dev"]},
        {"namespaces": ["kube-system"]},
        {"verbs": ["get"], "namespaces": ["prod"]},
    ],
)
def test_a_body_is_found_that_only_some_requests_bring_to_the_log(condition: dict[str, t.Any]) -> None:
    loud = {"level": "RequestResponse", **condition}
    finding = (
        "get of secrets is recorded at RequestResponse for some users, namespaces or names, which writes its body to "
        "the log"
    )
    assert finding in judge(policy(loud, *GOOD))
    assert judge(policy(BEARERS, loud, GOOD[1])) == []  # never reached


def test_a_body_is_found_that_only_one_name_brings_to_the_log() -> None:
    one = {"group": "", "resources": ["secrets"], "resourceNames": ["one"]}
    findings = judge(policy({"level": "Request", "resources": [one]}, *GOOD))
    assert len(findings) == 2  # get and create
    assert all("for some users, namespaces or names" in finding for finding in findings)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "it is no audit Policy with rules"),
        ("{", "it is no YAML"),
        ("[]", "it is no audit Policy with rules"),
        ("kind: Pod\nrules: []\n", "it is no audit Policy with rules"),
        ("kind: Policy\n", "it is no audit Policy with rules"),
        ("kind: Policy\nrules: {}\n", "it is no audit Policy with rules"),
    ],
)
def test_what_is_no_policy_is_one_finding(text: str, finding: str) -> None:
    assert judge(text) == [finding]


def test_an_empty_policy_records_nothing_at_all() -> None:
    assert len(judge(policy())) == len(QUESTIONS)


# ---- what is passed over

BUT_THE_LAST = ["RequestReceived", "ResponseStarted", "Panic"]
ALL_STAGES = [*BUT_THE_LAST, "ResponseComplete"]


@pytest.mark.parametrize("omitted", [ALL_STAGES, ["RequestReceived", "ResponseStarted", "ResponseComplete"]])
@pytest.mark.parametrize("where", ["policy", "rules", "both"])
def test_a_policy_that_omits_every_stage_records_nothing(omitted: list[str], where: str) -> None:
    parts = {"policy": (omitted, []), "rules": ([], omitted), "both": (omitted[:2], omitted[2:])}[where]
    document = yaml.safe_load(policy(*({**rule, "omitStages": parts[1]} for rule in GOOD)))
    findings = judge(yaml.safe_dump({**document, "omitStages": parts[0]}))
    assert len(findings) == len(QUESTIONS)
    assert all("is recorded at None and should be at" in finding for finding in findings)


def test_the_usual_stages_may_be_left_out() -> None:
    document = yaml.safe_load(policy(*GOOD))
    assert judge(yaml.safe_dump({**document, "omitStages": BUT_THE_LAST})) == []


def test_without_the_last_stage_there_is_no_body() -> None:
    findings = judge(policy(*({**rule, "omitStages": ["ResponseComplete"]} for rule in GOOD)))
    assert len(findings) == 4
    assert all("is recorded at Metadata and should be at Request" in finding for finding in findings)
    # What lasts says that it begins.
    findings = judge(policy(*({**rule, "omitStages": ["ResponseComplete", "RequestReceived"]} for rule in GOOD)))
    assert not any("pods/exec" in finding or "services/proxy" in finding for finding in findings)
    assert "get of secrets is recorded at None and should be at Metadata" in findings


@pytest.mark.parametrize(
    ("silent", "asked"),
    [
        ({"userGroups": ["system:serviceaccounts"]}, ("get of secrets", "create of clusterrolebindings")),
        ({"userGroups": ["system:masters"], "verbs": ["get"]}, ("get of secrets",)),
        ({"namespaces": ["kube-system", "prod"]}, ("get of secrets", "update of roles")),
        ({"namespaces": ["prod"], "userGroups": ["dev"]}, ("get of secrets", "update of roles")),
        (
            {"userGroups": ["dev"], "resources": [{"group": "rbac.authorization.k8s.io"}]},
            ("update of roles", "create of clusterrolebindings"),
        ),
    ],
)
def test_a_group_or_a_namespace_of_which_nothing_is_recorded_is_found(
    silent: dict[str, t.Any], asked: tuple[str, ...]
) -> None:
    findings = judge(policy({"level": "None", **silent}, *GOOD))
    for words in asked:
        assert any(
            finding.startswith(f"{words} is recorded at None for some groups or namespaces") for finding in findings
        ), findings
    assert judge(policy(*GOOD, {"level": "None", **silent})) == []  # never reached


def test_what_is_in_no_namespace_is_asked_of_the_empty_one() -> None:
    assert not any(
        "clusterrolebindings" in finding for finding in judge(policy({"level": "None", "namespaces": ["a"]}, *GOOD))
    )
    findings = judge(policy({"level": "None", "namespaces": [""]}, *GOOD))
    assert "create of clusterrolebindings is recorded at None and should be at Request" in findings
    assert not any("secrets" in finding for finding in findings)
    findings = judge(policy({"level": "None", "namespaces": [""], "userGroups": ["dev"]}, *GOOD))
    assert "create of clusterrolebindings is recorded at None for some groups" in str(findings)


def test_what_an_earlier_rule_records_of_a_group_is_not_passed_over() -> None:
    groups = ["system:serviceaccounts", "dev"]
    first = tuple({**rule, "userGroups": groups} for rule in GOOD)

    def passed_over(**condition: list[str]) -> bool:
        findings = judge(policy(*first, {"level": "None", **condition}, *GOOD))
        return any("at None for some groups or namespaces" in finding for finding in findings)

    for silent in (["dev"], ["system:serviceaccounts:kube-system"], groups):
        assert not passed_over(userGroups=silent)
        assert not passed_over(userGroups=silent, namespaces=["prod"])
    assert passed_over(userGroups=[*groups, "ops"])
    assert passed_over(namespaces=["prod"])


def test_conditions_that_nothing_fits_pass_over_nothing() -> None:
    for never in ({"userGroups": [1]}, {"namespaces": [1]}, {"userGroups": "dev"}):
        assert judge(policy({"level": "None", **never}, *GOOD)) == []


#: As people write them, after the example of Kubernetes' documentation and that of its scripts for GCE.
SANE = (
    {"level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"],
     "resources": [{"group": "", "resources": ["endpoints", "services"]}]},
    {"level": "None", "userGroups": ["system:nodes"], "verbs": ["get"],
     "resources": [{"group": "", "resources": ["nodes", "nodes/status"]}]},
    {"level": "None", "users": ["system:kube-controller-manager", "system:kube-scheduler"],
     "verbs": ["get", "update"], "namespaces": ["kube-system"],
     "resources": [{"group": "", "resources": ["endpoints"]}]},
    {"level": "None", "userGroups": ["system:authenticated"], "nonResourceURLs": ["/api*", "/version"]},
    {"level": "None", "namespaces": ["kube-system", "kube-node-lease"], "verbs": ["get", "update"],
     "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
    {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
    {"level": "Request", "userGroups": ["system:nodes"], "verbs": ["update", "patch"],
     "resources": [{"group": "", "resources": ["nodes/status", "pods/status"]}]},
    BEARERS,
    {"level": "None", "userGroups": ["system:nodes"], "verbs": ["get", "list", "watch"]},
    {"level": "Request", "verbs": ["get", "list", "watch"]},
    {"level": "RequestResponse", "resources": [{"group": "rbac.authorization.k8s.io"}, {"group": "apps"}]},
    {"level": "Request"},
)  # fmt: skip


def test_a_sane_policy_that_leaves_noise_out_is_clean() -> None:
    assert judge(policy(*SANE)) == []


# ---- how a rule is matched

ASKED = Question("", "get", "", "pods/exec", "None", user="jane", groups=("dev", "system:authenticated"))


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"users": ["jane"]}, True),
        ({"users": ["joe"]}, False),
        ({"users": []}, True),
        ({"userGroups": ["dev"]}, True),
        ({"userGroups": ["ops"]}, False),
        ({"verbs": ["get"]}, True),
        ({"verbs": ["list"]}, False),
        ({"namespaces": ["kube-system"]}, False),
        ({"nonResourceURLs": ["/healthz"]}, False),
        ({"resources": [{"group": ""}]}, True),
        ({"resources": [{}]}, True),
        ({"resources": [{"group": "*"}]}, True),
        ({"resources": [{"group": "apps"}]}, False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, False),
        ({"resources": [{"group": "", "resources": ["pods/exec"]}]}, True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, True),
        ({"resources": [{"group": "", "resources": ["*/exec"]}]}, True),
        ({"resources": [{"group": "", "resources": ["*"]}]}, True),
        ({"resources": [{"group": "", "resources": ["pods/exec"], "resourceNames": ["one"]}]}, False),
        ({"resources": [{"group": "apps"}, {"group": ""}]}, True),
        ({"resources": ["pods"]}, False),
        ({"users": ["jane"], "verbs": ["list"]}, False),
    ],
)
def test_a_rule_matches_as_the_api_server_matches_it(rule: dict[str, t.Any], matches: bool) -> None:
    assert level_for([{"level": "Request", **rule}], ASKED) == ("Request" if matches else "None")


def test_the_first_rule_that_matches_decides() -> None:
    assert level_for([{"level": "Metadata"}, {"level": "RequestResponse"}], ASKED) == "Metadata"


@pytest.mark.parametrize("rule", [{}, {"level": "Metdata"}, {"level": None}, "level: Metadata", None])
def test_a_rule_that_is_none_records_nothing(rule: t.Any) -> None:
    assert level_for([rule], ASKED) == "None"
