# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that say what the code says, and the one place where a variable stands."""

from __future__ import annotations

import re

import pytest
import yaml

pytest.importorskip("jinja2", reason="templates are rendered on the controller")

from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, selection
from tools import catalogue_page, reference


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_page_says_what_the_code_says(name: str) -> None:
    page = (reference.ROOT / name).read_text(encoding="utf-8")
    assert page == reference.PAGES[name](), f"run tests/tools/reference.py and commit {name}"


def test_every_default_has_its_specification() -> None:
    role = reference.ROOT / "roles" / "kubeharden"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["variables"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults


def test_every_control_has_a_title_and_its_line() -> None:
    known = selection.known_controls()
    assert sorted(reference.page_data()["titles"]) == known, "give each control its title in docs/controls.yml"
    listed = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| `", reference.controls(), re.MULTILINE)
    # A control of several settings stands beside each template that has one.
    assert sorted(set(listed)) == known


#: The controls of kubescape's frameworks that are of no cloud provider, August 2026: first and last of each run of ids.
KUBESCAPE = (
    (2, 2), (5, 5), (7, 7), (12, 18), (20, 21), (26, 26), (30, 31), (34, 39), (41, 42), (44, 46), (48, 49), (52, 59),
    (61, 63), (65, 70), (73, 79), (81, 81), (87, 89), (91, 114), (116, 123), (125, 127), (129, 142), (144, 176),
    (178, 193), (197, 212), (236, 237), (246, 246), (253, 253), (255, 284), (286, 296), (298, 300), (302, 302),
    (305, 307),
)  # fmt: skip


def test_every_control_of_kubescape_is_answered_or_left_with_its_reason() -> None:
    data = catalogue_page.kubescape()
    published = [f"C-{number:04}" for first, last in KUBESCAPE for number in range(first, last + 1)]
    assert len(published) == 222
    assert sorted(name for entries in data.values() for entry in entries for name in entry["ids"]) == published
    judged = {control.id for control in catalogue_files.load()}
    for entry in data["answered"]:
        assert set(entry["ours"]) <= judged, entry
        assert entry["ours"], entry
    assert all(entry["why"].endswith(".") for entry in data["left"])
    # What a reason points to is there.
    named = re.findall(r"\b((?:namespaces|rbac|cluster|apiserver)-[a-z-]+)", str([one["why"] for one in data["left"]]))
    assert set(named) <= judged
    assert "namespaces-pod-security" in named


def test_every_control_that_is_judged_stands_in_the_page_with_its_rule() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (?:low|medium|high), [12] \| ([^|]+) \| ([^|]+) \| (baseline|cis|none) \|",
        reference.controls(),
        re.MULTILINE,
    )
    controls = {one.id: one for one in catalogue_files.load()}
    assert sorted(name for name, *_others in rows) == sorted(controls)
    for name, title, rule, profile in rows:
        assert (title, profile) == (controls[name].title, controls[name].profile)
        assert rule.strip(), name


def test_every_check_of_cis_is_answered_or_left_with_its_reason_and_compared() -> None:
    data = catalogue_page.cis()
    sizes = {"1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "2": 7, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 14, "4.3": 1,
             "5.1": 13, "5.2": 12, "5.3": 2, "5.4": 2, "5.5": 1, "5.6": 4}  # fmt: skip
    assert list(data["checks"]) == [f"{part}.{number + 1}" for part, most in sizes.items() for number in range(most)]
    left = [check for entry in data["left"] for check in entry["checks"]]
    answered = set(catalogue_page.by_check())
    assert answered | set(left) == set(data["checks"])
    assert not answered & set(left)
    assert len(left) == len(set(left))
    assert all(entry["why"].endswith(".") for entry in (*data["left"], *data["seen"]["different"]))
    # What a reason points to is there.
    named = re.findall(r"\((\w+-[a-z-]+)\)", str(data["left"]))
    assert set(named) <= {one.id for one in catalogue_files.load()}


def test_what_was_seen_beside_kube_bench_goes_with_what_it_still_says() -> None:
    """What it fails or warns of after a run it did before, and what verify explains no profile baseline enforces."""
    data = catalogue_page.cis()
    seen = catalogue_page.seen(data)
    named = [*data["seen"]["both_fail"], *(check for one in data["seen"]["different"] for check in one["checks"])]
    assert len(named) == len(set(named))
    assert [len([pair for pair in seen.values() if pair == same]) for same in (("PASS", "pass"), ("FAIL", "fail"))] == [
        64,
        6,
    ]
    for profile in reference.PROFILES:
        for result, check in reference.left_by_kube_bench(profile, "control_plane"):
            assert check.startswith("5.") or seen[check][0] == result, (profile, check)
    profiles = {one.id: one.profile for one in catalogue_files.load()}
    ours = catalogue_page.by_check()
    for check, (_bench, verify) in seen.items():
        enforced = {profiles[name] for name in ours[check]}
        assert verify != "explained" or enforced - {"baseline"}, check
        assert verify != "fail" or "baseline" in enforced, check


def test_a_check_that_kube_bench_leaves_has_one_reason() -> None:
    entries = reference.page_data()["kube_bench"]
    named = [
        (check, profile, host)
        for entry in entries
        for check in entry["checks"]
        for profile in entry["profiles"]
        for host in entry["hosts"]
    ]
    assert len(named) == len(set(named))
    assert {(profile, host) for _check, profile, host in named} == {
        (profile, host) for profile in reference.PROFILES for host in ("control_plane", "worker")
    }
    assert {entry["result"] for entry in entries} == {"FAIL", "WARN"}
    assert all(entry["about"] and entry["why"].endswith(".") for entry in entries)


def test_no_more_is_left_than_is_promised() -> None:
    """Of profile cis, from Kubernetes 1.36 on; below there is one more, 4.2.9 (tests/lab/story.py)."""
    left = {host: sorted(reference.left_by_kube_bench("cis", host)) for host in ("control_plane", "worker")}
    assert [found for host in left for found in left[host] if found[0] == "FAIL"] == []
    assert (len(left["control_plane"]) <= 40, len(left["worker"]) <= 2) == (True, True), left


def test_what_is_explained_after_a_run_is_what_its_profile_does_not_enforce() -> None:
    data, controls = catalogue_page.cis(), {one.id: one for one in catalogue_files.load()}
    for profile, checks in data["explained_after"].items():
        after = catalogue_page.seen_after(data, profile)
        assert {check for check, status in after.items() if status == "explained"} == set(checks)
        assert set(after) == set(catalogue_page.seen(data))
        for check in checks:
            owed = [name for name in catalogue_page.by_check()[check] if not controls[name].is_enforced_by(profile)]
            assert owed, (profile, check)
    # Whatever failed before and no profile enforces can be no pass afterwards, and baseline mends nothing of cis.
    before = {check for check, (_bench, ours) in catalogue_page.seen(data).items() if ours == "explained"}
    assert set(data["explained_after"]["cis"]) < set(data["explained_after"]["baseline"]) == before


def test_what_was_seen_of_controls_goes_with_what_was_seen_of_their_checks_and_stands_in_the_page() -> None:
    controls = {one.id: one for one in catalogue_files.load()}
    data = catalogue_page.seen_data()
    named = {moment: [one for found in data[moment].values() for one in found] for moment in catalogue_page.MOMENTS}
    told = {control for ours in catalogue_page.rows().values() for control in ours}
    for moment, listed in named.items():
        assert len(listed) == len(set(listed)), moment
        assert set(listed) <= told, moment
    cis = catalogue_page.cis()
    checks = {"before": {check: ours for check, (_bench, ours) in catalogue_page.seen(cis).items()}}
    checks.update({profile: catalogue_page.seen_after(cis, profile) for profile in reference.PROFILES})
    by_check = catalogue_page.by_check()
    for moment, seen in checks.items():
        assert {check: catalogue_page.row(by_check[check], moment) for check in seen} == seen, moment
    for profile in reference.PROFILES:
        assert {one for one in told if controls[one].is_enforced_by(profile)} & set(named[profile]) == set()
    _before, _found, page = reference.controls().partition("## Beside kubescape")
    lines = [[one.strip() for one in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    shown = {cells[0]: cells[4:7] if cells[0].startswith("V-") else cells[3:6] for cells in lines if len(cells) == 7}
    del shown["kubescape"], shown["rule"], shown["---"]
    assert shown == {
        name: [catalogue_page.row(ours, moment) or "-" for moment in catalogue_page.MOMENTS]
        for name, ours in catalogue_page.rows().items()
    }
    assert {"pass", "fail", "explained", "-"} == {one for found in shown.values() for one in found}


def test_every_rule_of_the_stig_stands_in_the_page_with_who_answers_it_or_why_nobody_does() -> None:
    data = catalogue_page.stig_data()
    _before, _found, page = reference.controls().partition("## Beside the STIG")
    rows = re.findall(r"^\| (V-\d{6}) \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE)
    assert sorted(rule for rule, _ours in rows) == sorted([*data["rules"], *data["later"]])
    judged = {one.id for one in catalogue_files.load()}
    left = {rule for entry in data["left"] for rule in entry["rules"]}
    assert all(set(re.findall(r"`([a-z-]+)`", ours)) <= judged for rule, ours in rows if rule not in left)
