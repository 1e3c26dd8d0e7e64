# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue is whole: every automated check of the benchmark, every control that is enforced, nothing misspelt."""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.controls import (
    catalogue_judges,
    cluster_checks,
    host_checks,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import controls_from
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import CHECKS
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

ROOT = Path(__file__).parents[5]
#: CIS Kubernetes Benchmark 1.12: how many checks each section has, 1 to 4 whole, and of 5 what the API can answer.
SECTIONS = {
    "1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 14, "4.3": 1, "5.1": 13, "5.2": 12,
}  # fmt: skip
OF_THE_API = {"5.3.2", "5.4.1", "5.6.2", "5.6.3", "5.6.4"}
#: Settings that keep a cluster working rather than hard, or that only the owner's own word brings.
NOT_JUDGED = {
    "apiserver-graceful-stop",
    "apiserver-tls-curves",
    "apiserver-token-webhook",
    "controller-manager-serving",
    "controller-manager-signing",
    "scheduler-serving",
}

#: The rules of the STIG for Kubernetes that was published in June 2024, first and last number of each run of them.
STIG = (
    (242376, 242400), (242402, 242415), (242417, 242434), (242436, 242438), (242442, 242457), (242459, 242467),
    (245541, 245544), (254800, 254801),
)  # fmt: skip

GOOD: dict[str, t.Any] = {
    "id": "my-control",
    "title": "A title",
    "severity": "low",
    "level": 1,
    "component": "kubelet",
    "why": "Because.",
    "remedy": "Do it.",
    "judge": {"kind": "field", "field": "readOnlyPort", "flag": "read-only-port", "is": 0},
    "mappings": {"cis": ["4.2.4"]},
}


def test_every_check_of_cis_that_can_be_automated_is_mapped() -> None:
    mapped = {check for control in catalogue_files.load() for check in control.mappings.get("cis", ())}
    wanted = {f"{section}.{number + 1}" for section, most in SECTIONS.items() for number in range(most)}
    wanted |= {f"2.{number + 1}" for number in range(7)} | OF_THE_API
    assert wanted - mapped == set()


def test_a_namespaces_level_answers_only_for_what_the_level_baseline_forbids() -> None:
    """Escalation of privileges, root, NET_RAW and other capabilities (5.2.6 to 5.2.9) are let in by it."""
    mapped = next(one for one in catalogue_files.load() if one.id == "namespaces-pod-security").mappings["cis"]
    assert mapped == tuple(f"5.2.{number}" for number in (1, 2, 3, 4, 5, 10, 11, 12))


def test_who_asks_for_a_setting_is_said_alike_by_the_template_and_the_catalogue() -> None:
    """For the kubelet, whose settings and controls carry one name."""
    path = ROOT / "templates/kubelet/configuration.yaml.j2"
    asked: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.search(r"control: ([a-z-]+)  # ([^:]*)", line)
        if found:
            asked.setdefault(found[1], set()).update(re.findall(r"\b4\.2\.\d+", found[2]))
    said = {one.id: set(one.mappings.get("cis", ())) for one in catalogue_files.load()}
    assert {name: checks for name, checks in asked.items() if not checks <= said[name]} == {}


def test_every_rule_of_the_stig_is_mapped_or_stands_in_the_page_with_its_reason() -> None:
    mapped = {rule for control in catalogue_files.load() for rule in control.mappings.get("stig", ())}
    page = yaml.safe_load((ROOT / "docs" / "stig.yml").read_text(encoding="utf-8"))
    told = [rule for entry in page["left"] for rule in entry["rules"]]
    rules = {f"V-{number}" for first, last in STIG for number in range(first, last + 1)}
    assert len(rules) == 91
    assert rules == set(page["rules"])
    assert sorted(rules - mapped) == sorted(told)
    assert mapped - rules == set(page["later"])
    assert all(entry["why"].endswith(".") for entry in page["left"])


def test_every_control_that_is_enforced_is_judged() -> None:
    """The templates and the catalogue are two statements that meet only here."""
    control = re.compile(r"^\s*control: ([a-z][a-z0-9-]*)\b", re.MULTILINE)
    enforced = {
        name
        for path in (ROOT / "templates").rglob("*.j2")
        for name in control.findall(path.read_text(encoding="utf-8"))
    }
    controls = catalogue_files.load()
    judged = {name for one in controls for name in (one.id, one.part_of)}
    assert enforced - judged - NOT_JUDGED == set()
    assert {one.part_of for one in controls} - {one.id for one in controls} - enforced - {""} == set()


@pytest.mark.parametrize(
    "template",
    [
        "kube-apiserver/flags.yaml.j2",
        "kube-controller-manager/flags.yaml.j2",
        "kube-scheduler/flags.yaml.j2",
        "kubelet/configuration.yaml.j2",
    ],
)
def test_the_profile_of_a_control_is_the_one_that_enforces_it(template: str) -> None:
    """Else a failure would be explained away that a run mends, or held against a profile that does not touch it."""
    control = re.compile(r"^\s*control: ([a-z][a-z0-9-]*)\b", re.MULTILINE)
    baseline, cis = (
        set(control.findall(templates.render(template, kubeharden_profile=profile, approver=True)))
        for profile in ("baseline", "cis")
    )
    said = {one.id: one.profile for one in catalogue_files.load()}
    assert {name: said[name] for name in baseline if name in said} == dict.fromkeys(baseline & set(said), "baseline")
    assert {said[name] for name in cis - baseline if name in said} <= {"cis"}


def test_every_check_is_used_and_none_has_two_meanings() -> None:
    used = {str(one.judge["check"]) for one in catalogue_files.load() if one.judge["kind"] == "check"}
    assert used == set(CHECKS)
    assert not set(host_checks.CHECKS) & set(cluster_checks.CHECKS)


def test_every_control_has_a_norm_beside_cis() -> None:
    for control in catalogue_files.load():
        assert control.mappings.get("nsa"), control.id
        assert control.mappings.get("bsi"), control.id
        assert control.mappings.get("nis2"), control.id


def test_a_catalogue_of_the_users_own_is_added(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("controls:\n  - " + str({**GOOD, "profile": "none", "explanation": "Ours."}), encoding="utf-8")
    assert catalogue_files.load([str(path)])[-1].id == "my-control"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "My Control"}, "its id must be small letters"),
        ({"severity": "awful"}, "its severity must be one of low, medium, high"),
        ({"component": "kubelets"}, "its component must be one of"),
        ({"level": 3}, "its level must be 1 or 2"),
        ({"mappings": {"iso": ["1"]}}, "there is no framework iso"),
        ({"profile": "cis"}, "it needs an explanation"),
        ({"judge": {"kind": "magic"}}, "its judge must be of a kind among"),
        ({"judge": {"kind": "flag"}}, "a judge of the kind flag needs flag"),
        ({"judge": {"kind": "flag", "flag": "profiling"}}, "its judge needs one of is, set"),
        ({"judge": {"kind": "check", "check": "nothing"}}, "there is no check nothing"),
        ({"serverity": "low"}, "unknown or missing keys: serverity"),
        ({"title": None}, "its title must be text"),
        ({"explanation": ["x"]}, "its explanation must be text"),
        ({"mappings": ["1.1.1"]}, "its mappings must be lists by framework"),
        ({"mappings": {"cis": "1.1.1"}}, "its mapping to cis must be a list"),
        ({"level": True}, "its level must be 1 or 2"),
    ],
)
def test_what_is_no_control_is_refused_with_its_place(change: dict[str, t.Any], words: str) -> None:
    with pytest.raises(HardeningError, match=r"mine\.yml, control 1") as caught:
        controls_from({"mine.yml": {"controls": [{**copy.deepcopy(GOOD), **change}]}}, CHECKS)
    assert words in str(caught.value)


FLAG = {"kind": "flag", "flag": "profiling"}
FIELD = {"kind": "field", "field": "readOnlyPort", "flag": ""}
FILES = {"kind": "files", "files": ["pki_key"]}
CHECK = {"kind": "check"}
OWNED = {"owner": "root", "group": "root"}


@pytest.mark.parametrize(
    ("component", "judge", "words"),
    [
        ("node", {**FILES, "mode": 0o600}, "mode of its judge is 384 and must be the octal digits of a mode in quotes"),
        ("node", {**FILES, "mode": "u=rw"}, "mode of its judge is u=rw and must be"),
        ("node", FILES, "its judge needs one of mode, owner"),
        ("node", {**FILES, "owner": "root"}, "its judge needs owner and group, or neither"),
        ("node", {**FILES, "mode": "0600", "group": "root"}, "its judge needs owner and group, or neither"),
        ("node", {**FILES, "owner": 0, "group": 0}, "owner of its judge is 0 and must be text"),
        ("node", {**FILES, **OWNED, "files": ["pki_keys"]}, "files of its judge is ['pki_keys'] and must be a list of"),
        ("node", {**FILES, **OWNED, "files": "pki_key"}, "files of its judge is pki_key and must be a list of"),
        ("node", {**FILES, **OWNED, "files": []}, "files of its judge is [] and must be a list of"),
        ("node", {**FILES, **OWNED, "is": "x"}, "a judge of the kind files has no is; it may have files, group, mode"),
        ("cluster", {**FILES, **OWNED}, "a judge of the kind files is about hosts, and its component is cluster"),
        ("kubelet", {**FLAG, "at_most": "5 minutes"}, "at_most of its judge is 5 minutes and must be a number, or a"),
        ("kubelet", {**FLAG, "at_least": ["1"]}, "at_least of its judge is ['1'] and must be a number, or a duration"),
        ("kubelet", {**FLAG, "is": 1, "at_mots": 5}, "a judge of the kind flag has no at_mots; it may have at_least,"),
        ("kubelet", {**FLAG, "is": ["a"]}, "is of its judge is ['a'] and must be one value"),
        ("kubelet", {**FLAG, "is": None}, "is of its judge is empty and must be one value"),
        ("kubelet", {**FLAG, "set": False}, "set of its judge is false and must be true"),
        ("kubelet", {**FLAG, "has": "abc"}, "has of its judge is abc and must be a list of texts or numbers"),
        ("kubelet", {**FLAG, "only": [True]}, "only of its judge is [True] and must be a list of texts or numbers"),
        ("kubelet", {**FLAG, "minimum": "1.2"}, "minimum of its judge is 1.2 and must be one of VersionTLS10"),
        ("kubelet", {**FLAG, "is": 1, "unlimited": 0}, "its judge has unlimited, which says something beside at_least"),
        (
            "kubelet",
            {**FLAG, "flag": {}, "set": True},
            "flag of its judge is {} and must be a flag, or a list of flags",
        ),
        ("kubelet", {**FLAG, "flag": "", "set": True}, "flag of its judge is empty and must be a flag, or a list"),
        ("cluster", {**FLAG, "is": False}, "a judge of the kind flag is about hosts, and its component is cluster"),
        ("node", {**FLAG, "is": False}, "a judge of the kind flag is about kube-apiserver, kube-controller-manager"),
        ("etcd", {**FIELD, "is": 0}, "a judge of the kind field is about kubelet, kube-proxy, and its component is"),
        ("kubelet", {**FIELD, "is": 0, "flag": None}, "flag of its judge is empty and must be a flag, or empty"),
        ("kubelet", {**FIELD, "is": 0, "or_set": "x"}, "a judge of the kind field has no or_set"),
        ("kubelet", {"kind": "plugin", "plugin": "X", "enabled": True}, "is about kube-apiserver, and its component"),
        (
            "kube-apiserver",
            {"kind": "plugin", "plugin": "X", "enabled": "no"},
            "enabled of its judge is no and must be",
        ),
        ("kubelet", {**CHECK, "check": ["gate"]}, "there is no check ['gate']"),
        ("kubelet", {**CHECK, "check": "gate"}, "the check gate needs gate, enabled"),
        ("node", {**CHECK, "check": "gate", "gate": "X", "enabled": True}, "the check gate is about kube-apiserver,"),
        (
            "kube-proxy",
            {**CHECK, "check": "cipher_suites", "only": ["X"]},
            "the check cipher_suites is about kube-apiserver,",
        ),
        ("kubelet", {**CHECK, "check": "cipher_suites"}, "the check cipher_suites needs only"),
        ("kubelet", {**CHECK, "check": "waivers"}, "the check waivers is about the cluster, and its component is"),
        ("cluster", {**CHECK, "check": "anonymous"}, "the check anonymous is about hosts, and its component is"),
        (
            "kube-apiserver",
            {**CHECK, "check": "anonymous", "is": 1},
            "the check anonymous has no is; it may have check",
        ),
        ("kube-apiserver", {**CHECK, "check": "authorizers"}, "its judge needs one of with, without"),
        (
            "kube-apiserver",
            {**CHECK, "check": "authorizers", "with": "Node"},
            "with of its judge is Node and must be a",
        ),
        (
            "node",
            {**CHECK, "check": "probe_anonymous", "target": "api"},
            "target of its judge is api and must be one of",
        ),
        ("node", {**CHECK, "check": "certificates_expiry", "days": "30d"}, "days of its judge is 30d and must be a"),
        ("cluster", {**CHECK, "check": "versions_supported", "newest": 1.37, "dated": "x"}, "must be a minor version"),
        ("cluster", {**CHECK, "check": "versions_patched", "newest": "1.37", "dated": "x"}, "the newest patch of"),
    ],
)
def test_a_judge_that_could_not_judge_is_refused_in_one_sentence(
    component: str, judge: dict[str, t.Any], words: str
) -> None:
    """Each of these ended verify in a traceback, or passed though it said nothing."""
    entry = {**GOOD, "component": component, "judge": judge}
    with pytest.raises(HardeningError, match=r"^mine\.yml, control 1 \(my-control\): ") as caught:
        controls_from({"mine.yml": {"controls": [entry]}}, CHECKS)
    assert words in str(caught.value)
    assert str(caught.value).endswith(". Correct the file.")


@pytest.mark.parametrize(
    ("component", "judge"),
    [
        ("node", {**FILES, "mode": "600"}),
        ("etcd", {**FILES, **OWNED}),
        ("kube-proxy", {**FLAG, "has": ["a", 2], "at_most": "5m", "at_least": 1.5, "unlimited": 0}),
        ("kubelet", {**FIELD, "is": "", "empty": "x"}),
        ("kubelet", {**CHECK, "check": "gate", "gate": "X", "enabled": False}),
    ],
)
def test_what_can_be_judged_is_taken(component: str, judge: dict[str, t.Any]) -> None:
    controls_from({"mine.yml": {"controls": [{**GOOD, "component": component, "judge": judge}]}}, CHECKS)


def test_the_words_for_files_are_those_that_are_looked_for() -> None:
    used = {word for one in catalogue_files.load() if one.judge["kind"] == "files" for word in one.judge["files"]}
    assert used == set(catalogue_judges.FILES)


@pytest.mark.parametrize("document", [None, [], {"control": []}, {"controls": "all"}])
def test_what_is_no_catalogue_is_refused(document: t.Any) -> None:
    with pytest.raises(HardeningError, match=r"mine\.yml is no catalogue"):
        controls_from({"mine.yml": document}, CHECKS)


def test_two_controls_of_one_name_are_refused() -> None:
    with pytest.raises(HardeningError, match="there are two controls my-control"):
        controls_from({"mine.yml": {"controls": [GOOD, GOOD]}}, CHECKS)
