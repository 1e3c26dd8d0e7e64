# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good an audit policy is, whoever wrote it: judged by what it would record, never by what our own says."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data

_LEVELS = ("None", "Metadata", "Request", "RequestResponse")
#: What the API server may write of one request. Panic aside, a request that is answered at once has the first and the
#: last; one that lasts, such as exec, has all.
_STAGES = frozenset(("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"))
_LASTING = ("attach", "exec", "portforward", "proxy")
#: Who is a member of this group is one of every account's group of a namespace too.
_ACCOUNTS = "system:serviceaccounts"
#: A rule's conditions on who asks and where, as they are when there are none.
_ANYBODY: dict[str, list[str]] = {"users": [], "userGroups": [], "namespaces": []}


@dataclasses.dataclass(frozen=True)
class Question:
    """One request and the level at which it must, or must not, be recorded.

    Attributes:
        words: The request in words.
        user: Who asks.
        groups: The asker's groups.
        verb: The verb.
        group: The API group.
        resource: The resource, with its subresource.
        at_least: The lowest level that will do.
        at_most: The highest level that will do.
        namespaced: Whether it is asked within a namespace.
        of_all: Whether the lowest level holds for the members of each group and in each namespace, none of which a rule
            may pass over.
    """

    words: str
    verb: str
    group: str
    resource: str
    at_least: str
    at_most: str = "RequestResponse"
    user: str = "somebody"
    groups: tuple[str, ...] = ("system:authenticated",)
    namespaced: bool = True
    of_all: bool = False


#: CIS 3.2.1 and 3.2.2, NSA/CISA "Audit logging": what must be there, and what must never be written down.
QUESTIONS: tuple[Question, ...] = (
    *(
        Question(
            f"{verb} of {resource}", verb, group, resource, "Metadata", "Metadata",
            namespaced=not group, of_all=resource == "secrets",
        )
        for verb, group, resource in (
            ("get", "", "secrets"),
            ("create", "", "secrets"),
            ("update", "", "configmaps"),
            ("create", "", "serviceaccounts/token"),
            ("create", "authentication.k8s.io", "tokenreviews"),
        )
    ),
    *(
        Question(
            f"{verb} of {resource}", verb, group, resource, "Request", namespaced=resource == "roles", of_all=True
        )
        for verb, group, resource in (
            ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
            ("update", "rbac.authorization.k8s.io", "roles"),
            ("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
            ("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
        )
    ),
    *(
        Question(f"{verb} of {resource}", verb, "", resource, "Metadata")
        for verb, resource in (
            ("get", "pods/exec"),
            ("create", "pods/exec"),
            ("create", "pods/attach"),
            ("create", "pods/portforward"),
            ("create", "services/proxy"),
            ("create", "pods"),
            ("delete", "pods"),
        )
    ),
    Question(
        "update of deployments by a member of system:masters", "update", "apps", "deployments", "Metadata",
        user="admin", groups=("system:masters", "system:authenticated"),
    ),
)  # fmt: skip


def judge(text: str) -> list[str]:
    """Return what is wrong with an audit policy, one clause each; empty where nothing is."""
    try:
        policy = yaml_data.load(text)
    except yaml_data.NoYamlError:
        return ["it is no YAML"]
    if not isinstance(policy, dict) or policy.get("kind") != "Policy" or not isinstance(policy.get("rules"), list):
        return ["it is no audit Policy with rules"]
    stages = _names(policy.get("omitStages"))
    rules = [
        {**rule, "omitStages": sorted(stages | _names(rule.get("omitStages")))}
        for rule in policy["rules"]
        if isinstance(rule, dict)
    ]
    findings = []
    for question in QUESTIONS:
        level, loudest = level_for(rules, question), loudest_for(rules, question)
        quietest = quietest_for(rules, question) if question.of_all else level
        if _LEVELS.index(quietest) < _LEVELS.index(question.at_least):
            who = "" if level == quietest else " for some groups or namespaces"
            findings.append(f"{question.words} is recorded at {quietest}{who} and should be at {question.at_least}")
        if _LEVELS.index(loudest) > _LEVELS.index(question.at_most):
            who = "" if level == loudest else " for some users, namespaces or names"
            findings.append(f"{question.words} is recorded at {loudest}{who}, which writes its body to the log")
    return findings


def quietest_for(rules: t.Sequence[t.Any], question: Question) -> str:
    """Return the lowest level at which the members of a group, or all in a namespace, may be recorded.

    Rules for users by name are passed over: components have names, and what one of them does all day may be left out.
    """
    quietest = _LEVELS[-1]
    earlier: list[tuple[set[str], set[str]]] = []
    for rule in rules:
        if not isinstance(rule, dict) or rule.get("users"):
            continue
        if _rule_matches(rule, question):
            return min(quietest, _recorded(rule, question), key=_LEVELS.index)  # no later rule is reached
        some = _some(rule, question)
        if some is None or not _rule_matches({**rule, **_ANYBODY}, question):
            continue
        if not any(_holds(one[0], some[0]) and _holds(one[1], some[1]) for one in earlier):
            quietest = min(quietest, _recorded(rule, question), key=_LEVELS.index)
        earlier.append(some)
    return "None"


def _some(rule: t.Mapping[str, t.Any], question: Question) -> tuple[set[str], set[str]] | None:
    """Return the groups and namespaces that a rule is for, empty for all; None where no request can fit it."""
    groups, namespaces = _names(rule.get("userGroups")), _names(rule.get("namespaces"))
    fitting = namespaces - {""} if question.namespaced else namespaces & {""}
    if (rule.get("userGroups") and not groups) or (rule.get("namespaces") and not fitting):
        return None
    return groups, fitting if question.namespaced else set()


def _holds(condition: set[str], names: set[str]) -> bool:
    """Return whether a condition of a rule holds for each of these names, or for anything where it has none."""
    if not condition:
        return True
    accounts = _ACCOUNTS in condition
    return bool(names) and all(one in condition or (accounts and one.startswith(f"{_ACCOUNTS}:")) for one in names)


def loudest_for(rules: t.Sequence[t.Any], question: Question) -> str:
    """Return the highest level at which anybody's request of this kind may be recorded, in any namespace."""
    loudest = "None"
    for rule in rules:
        if not isinstance(rule, dict) or not _rule_matches({**rule, **_ANYBODY}, question, any_name=True):
            continue
        loudest = max(loudest, _level_of(rule), key=_LEVELS.index)
        if not any(rule.get(key) for key in _ANYBODY) and _rule_matches(rule, question):
            break  # it decides for everybody; no later rule is reached
    return loudest


def level_for(rules: t.Sequence[t.Any], question: Question) -> str:
    """Return the level of the first rule that matches, as the API server decides it; None where no rule does."""
    for rule in rules:
        if isinstance(rule, dict) and _rule_matches(rule, question):
            return _recorded(rule, question)
    return "None"


def _level_of(rule: t.Mapping[str, t.Any]) -> str:
    level = str(rule.get("level"))
    return level if level in _LEVELS and _STAGES - _names(rule.get("omitStages")) else "None"


def _recorded(rule: t.Mapping[str, t.Any], question: Question) -> str:
    """Return what a rule records of a request by the stages that it leaves: the first ones have no body yet."""
    left = _STAGES - _names(rule.get("omitStages"))
    if "ResponseComplete" in left:
        return _level_of(rule)
    lasts = question.resource.partition("/")[2] in _LASTING
    early = left & {"RequestReceived", *(("ResponseStarted",) if lasts else ())}
    return min(_level_of(rule), "Metadata" if early else "None", key=_LEVELS.index)


def _rule_matches(rule: t.Mapping[str, t.Any], question: Question, any_name: bool = False) -> bool:
    if rule.get("users") and question.user not in _names(rule["users"]):
        return False
    if rule.get("userGroups") and not _names(rule["userGroups"]).intersection(question.groups):
        return False
    if rule.get("verbs") and question.verb not in _names(rule["verbs"]):
        return False
    if rule.get("namespaces") and (question.namespaced or "" not in _names(rule["namespaces"])):
        return False  # asked of any namespace; what is in none is asked of the empty one
    if rule.get("nonResourceURLs"):
        return False
    resources = rule.get("resources")
    if not resources:
        return True
    entries = [entry for entry in resources if isinstance(entry, dict)] if isinstance(resources, list) else []
    return any(_resource_matches(entry, question, any_name) for entry in entries)


def _names(value: t.Any) -> set[str]:
    """Return the words of a list; what is none of a word matches nothing, and the API server refuses the policy."""
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


def _resource_matches(entry: t.Mapping[str, t.Any], question: Question, any_name: bool) -> bool:
    if entry.get("group", "") not in (question.group, "*") or (entry.get("resourceNames") and not any_name):
        return False
    names = entry.get("resources")
    if not names:
        return True
    resource, _dummy, subresource = question.resource.partition("/")
    wanted = {question.resource, "*"}
    if subresource:
        wanted |= {f"{resource}/*", f"*/{subresource}"}
    return bool(wanted & _names(names))
