# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubeharden_only and kubeharden_waivers leave out, and what is said of it."""

from __future__ import annotations

import datetime
import fnmatch
import re
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils import selection
from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import COLLECTION
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

KNOWN = ["a-hsts", "a-profiling", "s-profiling", "k-profiling"]
HOSTS = ["cp1", "cp2", "w1"]
GROUPS = {"planes": ["cp1", "cp2"]}
#: 2026-11-24 12:00 UTC.
NOON = 1_795_521_600.0
DAY = 86_400.0


def matching(patterns: t.Sequence[str]) -> list[str]:
    """Names, groups and fnmatch; Ansible's own matching is tested with ansible-playbook."""
    found: list[str] = []
    for pattern in patterns:
        found += GROUPS.get(pattern, [host for host in HOSTS if fnmatch.fnmatch(host, pattern)])
    return found


def waiver(control: str = "a-hsts", **more: t.Any) -> dict[str, t.Any]:
    return {"control": control, "reason": "an old client", "owner": "platform", "expires": "2026-11-30", **more}


def select(only: t.Any = (), waivers: t.Any = (), now: float = NOON) -> selection.Selection:
    """The same variables for every host."""
    lists = [list(value) if isinstance(value, tuple) else value for value in (only, waivers)]
    return selection.select(dict.fromkeys(HOSTS, lists[0]), dict.fromkeys(HOSTS, lists[1]), KNOWN, matching, now)


def test_without_a_word_nothing_is_left_out() -> None:
    chosen = select()
    assert chosen == selection.Selection()
    assert chosen.left_out() == {"everywhere": [], "on_hosts": {}}


def test_a_waiver_of_a_control_that_is_only_judged_leaves_nothing_out() -> None:
    lists = [waiver("rbac-proxy", hosts="cluster"), waiver("rbac-prox")]
    chosen = selection.select(
        {host: [] for host in HOSTS}, dict.fromkeys(HOSTS, lists), KNOWN, matching, NOON, {"rbac-proxy": ""}
    )
    assert (chosen.everywhere, chosen.on_hosts) == ([], {})
    assert chosen.problems == ["kubeharden_waivers: there is no control rbac-prox; the nearest is rbac-proxy."]


def test_only_leaves_out_all_others() -> None:
    chosen = select(only=["a-profiling", "k-profiling", "a-profiling"])
    assert chosen.everywhere == ["a-hsts", "s-profiling"]
    assert chosen.notes == ["Nothing but a-profiling, k-profiling was looked at (kubeharden_only)."]
    assert chosen.problems == []


def only_of(only: list[str], *profiles: str, widest: t.Collection[str] = ("a-hsts", "k-profiling")) -> list[str]:
    """The problems of a run on hosts with these profiles, two of whose controls are of the wider one."""
    lists: dict[str, t.Any] = dict.fromkeys(HOSTS, only)
    judged = {"a-plugin": "a-hsts", "rbac-proxy": "", "a-hsts": ""}
    none: dict[str, t.Any] = {host: [] for host in HOSTS}
    return selection.select(lists, none, KNOWN, matching, NOON, judged, profiles, widest).problems


def test_a_control_that_no_hosts_profile_has_is_refused_since_nothing_would_be_done() -> None:
    said = "and with kubeharden_profile baseline nothing would be done; set kubeharden_profile to cis as well, or take"
    assert only_of(["a-hsts", "s-profiling", "k-profiling"], "baseline") == [
        f"kubeharden_only: a-hsts, k-profiling are controls of profile cis, {said} them out."
    ]
    assert only_of(["a-hsts"], "baseline") == [f"kubeharden_only: a-hsts is a control of profile cis, {said} it out."]
    assert only_of(["s-profiling"], "baseline") == []
    assert only_of(["a-hsts"], "cis") == []
    # Of two groups of hosts one has it.
    assert only_of(["a-hsts"], "baseline", "cis") == []


def test_a_control_that_is_only_judged_is_refused_with_what_to_name_instead() -> None:
    assert only_of(["a-plugin", "rbac-proxy"], "cis") == [
        "kubeharden_only: a-plugin is a part of a-hsts, which is set as a whole; name that one.",
        "kubeharden_only: rbac-proxy is judged by verify.yml, and nothing is written for it; take it out.",
    ]


@pytest.mark.parametrize(
    ("hosts", "out"),
    [
        ("cp1", ["cp1"]),
        (["planes"], ["cp1", "cp2"]),
        (["cp?", "w1"], ["cp1", "cp2", "w1"]),
        ("*", HOSTS),
    ],
)
def test_a_waiver_holds_on_its_hosts(hosts: t.Any, out: list[str]) -> None:
    chosen = select(waivers=[waiver(hosts=hosts)])
    assert chosen.on_hosts == {"a-hsts": out}
    assert chosen.everywhere == (["a-hsts"] if out == HOSTS else [])
    assert chosen.problems == []


def test_without_hosts_a_waiver_holds_everywhere() -> None:
    chosen = select(waivers=[waiver()])
    assert chosen.left_out() == {"everywhere": ["a-hsts"], "on_hosts": {"a-hsts": HOSTS}}
    said = "The waiver of a-hsts everywhere (owner: platform, reason: an old client) holds until the end of 2026-11-30"
    assert chosen.notes == [f"{said}, UTC."]


def test_waivers_of_one_control_add_up() -> None:
    chosen = select(waivers=[waiver(hosts="w1"), waiver(hosts="cp1"), waiver("k-profiling", hosts="cp1")])
    assert chosen.on_hosts == {"a-hsts": ["cp1", "w1"], "k-profiling": ["cp1"]}


def test_a_waiver_in_a_groups_variables_holds_for_that_group() -> None:
    """Each host has the variable of its own group."""
    waivers = {"cp1": [], "cp2": [], "w1": [waiver()]}
    chosen = selection.select({host: [] for host in HOSTS}, waivers, KNOWN, matching, NOON)
    assert chosen.left_out() == {"everywhere": [], "on_hosts": {"a-hsts": ["w1"]}}


@pytest.mark.parametrize("expires", ["2026-11-24", datetime.date(2026, 11, 24)])
@pytest.mark.parametrize(
    ("now", "holds"), [(NOON - DAY, True), (NOON, True), (NOON + DAY / 2 - 1, True), (NOON + DAY / 2, False)]
)
def test_a_waiver_holds_to_the_end_of_its_day_in_utc(expires: t.Any, now: float, holds: bool) -> None:
    chosen = select(waivers=[waiver(expires=expires)], now=now)
    assert chosen.on_hosts == ({"a-hsts": HOSTS} if holds else {})
    assert chosen.problems == []
    ended = ["The waiver of a-hsts everywhere (owner: platform, reason: an old client) ended with 2026-11-24"]
    assert [warning.partition(":")[0] for warning in chosen.warnings] == ([] if holds else [ended[0].partition(":")[0]])


def test_an_expired_waiver_contradicts_nothing() -> None:
    chosen = select(only=["a-hsts"], waivers=[waiver(expires="2026-11-23")])
    assert chosen.problems == []
    assert len(chosen.warnings) == 1


@pytest.mark.parametrize(
    ("only", "waivers", "problem"),
    [
        (["a-hst"], [], "kubeharden_only: there is no control a-hst; the nearest is a-hsts."),
        ([7], [], "kubeharden_only: there is no control 7; docs/controls.md lists them."),
        ("a-hsts", [], "kubeharden_only must be a list of controls."),
        ([], {"control": "a-hsts"}, "kubeharden_waivers must be a list of waivers."),
        ([], ["a-hsts"], "waiver 1 must be a mapping with control, reason, owner, expires."),
        ([], [waiver("a-hst")], "kubeharden_waivers: there is no control a-hst; the nearest is a-hsts."),
        ([], [waiver("")], "kubeharden_waivers: waiver 1 lacks control."),
        ([], [waiver(reason="")], "the waiver of a-hsts lacks reason."),
        ([], [waiver(owner=" ")], "the waiver of a-hsts lacks owner."),
        ([], [waiver(expires=None)], "the waiver of a-hsts lacks expires."),
        ([], [{"control": "a-hsts"}], "the waiver of a-hsts lacks reason, owner, expires."),
        ([], [waiver(expires="30.11.2026")], "expires on 30.11.2026, which is no day; write one such as 2027-01-31."),
        ([], [waiver(expires="2026-02-30")], "expires on 2026-02-30, which is no day"),
        ([], [waiver(expires="20261130")], "expires on 20261130, which is no day"),
        ([], [waiver(expires=20261130)], "expires on 20261130, which is no day"),
        ([], [waiver(expires=datetime.datetime(2026, 11, 30, 12))], "expires on 2026-11-30 12:00:00, which is no day"),
        ([], [waiver(host="cp1")], "the waiver of a-hsts has no key host; the nearest is hosts."),
        ([], [waiver(hosts=[])], "the hosts of the waiver of a-hsts must be a pattern or a list of them"),
        ([], [waiver(hosts=None)], "the hosts of the waiver of a-hsts must be a pattern or a list of them"),
        ([], [waiver(hosts=[7])], "the hosts of the waiver of a-hsts must be a pattern or a list of them"),
        ([], [waiver(hosts=["cp1", "w9"])], "names w9, which no host and no group of the inventory is called."),
        (["a-hsts"], [waiver(hosts="w1")], "a-hsts is in kubeharden_only and waived (kubeharden_waivers)"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(only: t.Any, waivers: t.Any, problem: str) -> None:
    chosen = select(only, waivers)
    assert len(chosen.problems) == 1, chosen.problems
    assert problem in chosen.problems[0]


def test_problems_come_all_at_once() -> None:
    wrong = [waiver("x"), waiver(owner="", expires="soon", until=1), waiver("s-profiling")]
    assert len(select(only=["y", "s-profiling"], waivers=wrong).problems) == 6


def test_only_is_the_same_for_every_host() -> None:
    only = {"cp1": ["a-hsts"], "cp2": ["a-hsts"], "w1": []}
    chosen = selection.select(only, {host: [] for host in HOSTS}, KNOWN, matching, NOON)
    assert chosen.problems == ["kubeharden_only must be the same for every host; set it with -e or for the group all."]


# ---- settings


SETTINGS = {
    "api": {
        "audit": {"maxage": {"at_least": 30, "control": "a"}, "path": {"keep": "/x", "control": "b"}},
        "notes": ["a sentence"],
    },
    "file": {"mode": "0600", "control": "a"},
}


def test_a_setting_goes_however_deep_it_lies() -> None:
    assert selection.without_controls(SETTINGS, {"a"}) == {
        "api": {"audit": {"path": {"keep": "/x", "control": "b"}}, "notes": ["a sentence"]},
    }
    assert selection.without_controls(SETTINGS, set()) == SETTINGS
    assert selection.without_controls(None, {"a"}) is None


def test_every_control_of_a_template_is_known() -> None:
    known = selection.known_controls()
    assert known == sorted(set(known))
    assert {"apiserver-audit-policy", "apiserver-kubelet-authority", "files-pki-key", "kubelet-profiling"} <= set(known)


def test_what_every_template_says_is_filtered_where_it_becomes_a_setting() -> None:
    """What a new template brings must be able to be waived too."""
    lookup = re.compile(r"lookup\('ansible\.builtin\.template'.*?\}\}", re.DOTALL)
    found, filtered = [], []
    for path in sorted((COLLECTION / "roles").glob("*/vars/main.yml")):
        text = path.read_text(encoding="utf-8")
        for match in lookup.finditer(text):
            words = " ".join(match.group().split())
            if "from_yaml" not in words or path.parent.parent.name == "prepare_node":
                continue  # the text of a file goes with the flag that names it; prepare_node lays what is named already
            if path.parent.parent.name == "discover":
                continue  # asks the template for its level of Pod Security, and sets nothing
            found.append(words)
            if "without_controls(" in words:
                filtered.append(words)
    unfiltered = [words for words in found if words not in filtered]
    # The kubelet's settings are a host's own, or those of kubeadm's ConfigMap; both are filtered below it.
    assert [words for words in unfiltered if "/kubelet/configuration.yaml.j2" not in words] == []
    assert len(filtered) >= 5


def test_the_flags_whose_files_a_run_mounts_are_those_of_the_templates() -> None:
    flags = ["audit-policy-file", "audit-log-path", "admission-control-config-file", "authentication-config"]
    flags += ["authentication-token-webhook-config-file"]
    assert selection.mounted_flags([])["kube-apiserver"] == flags
    assert selection.mounted_flags(["apiserver-audit-policy"])["kube-apiserver"] == flags[1:]
    assert selection.mounted_flags([])["kube-scheduler"] == []


def test_how_large_the_audit_log_may_become_is_what_the_templates_say() -> None:
    assert selection.audit_log([]) == {
        "path": "/var/log/kubernetes/audit/audit.log",
        "maxbackup": "10",
        "maxsize": "100",
    }
    assert set(selection.audit_log(["apiserver-audit-log-path"])) == {"maxbackup", "maxsize"}


# ---- what several hosts share


def setting(flag: str, control: str, value: str = "v", **more: str) -> dict[str, t.Any]:
    return {"flag": flag, "data": {"exact": value, "control": control, **more}, "values": [value]}


def mount(flag: str, path: str) -> dict[str, t.Any]:
    return {"flag": flag, "name": "m", "host_path": path, "path": path, "read_only": True, "path_type": ""}


STATE = {
    "api": {
        "settings": [
            setting("hsts", "a-hsts"),
            setting("policy", "a-policy", "/policy/p.yaml", mount="read_only"),
            setting("log", "a-log", "/log/l", mount="read_write"),
        ],
        "mounts": [mount("policy", "/policy"), mount("log", "/log")],
    }
}


def test_what_one_control_plane_has_waived_stays_out_of_what_all_share_with_its_mount() -> None:
    shared = selection.Shared("the ConfigMap", {"a-policy": ["cp2", "w1"]}, ["cp1", "cp2"])
    state = shared.states([STATE])[0]["api"]
    assert [one["flag"] for one in state["settings"]] == ["hsts", "log"]
    assert [one["path"] for one in state["mounts"]] == ["/log"]
    said = "a-policy is waived on cp2, so the ConfigMap, which all hosts share, was left without it: "
    assert shared.notes() == [f"{said}run harden.yml again after kubeadm upgrade."]


def test_what_a_host_has_waived_that_has_no_part_in_it_stays_in() -> None:
    shared = selection.Shared("the ConfigMap", {"a-policy": ["w1"]}, ["cp1", "cp2"])
    assert shared.states([STATE]) == [STATE]
    assert shared.notes() == []


def test_what_is_left_out_of_a_list_is_left_out_of_it_wherever_it_stands() -> None:
    """Two controls have items in one list: what one of them is without must not come back by the other."""
    values = ["NodeRestriction,EventRateLimit,AlwaysPullImages"]
    plugins = {"flag": "plugins", "data": {"contains": ["NodeRestriction", "EventRateLimit"], "control": "plugins"}}
    own = {"contains": ["AlwaysPullImages"], "kubeadm": "NodeRestriction", "control": "pulls"}
    pulls = {"flag": "plugins", "data": own}
    states = [{"api": {"settings": [{**one, "values": values}], "mounts": []}} for one in (plugins, pulls)]
    assert selection.without(states, []) == states
    without_pulls = [one["api"]["settings"] for one in selection.without(states, ["pulls"])]
    assert without_pulls == [[{**plugins, "values": ["NodeRestriction,EventRateLimit"]}], []]
    # What kubeadm has of itself would be lost beside the list that its ConfigMap then has.
    without_plugins = [one["api"]["settings"] for one in selection.without(states, ["plugins"])]
    assert without_plugins == [[], [{**pulls, "values": ["NodeRestriction,AlwaysPullImages"]}]]


def test_what_every_host_has_waived_needs_no_word() -> None:
    shared = selection.Shared("the ConfigMap", {"k": ["w1", "cp1"]}, ["cp1", "w1"])
    assert shared.settings({"f": {"exact": 1, "control": "k"}, "g": {"exact": 1, "control": "l"}}) == {
        "g": {"exact": 1, "control": "l"}
    }
    assert shared.notes() == []


def test_controls_of_the_wider_profile_are_those_that_no_template_has_without_it() -> None:
    """By rendering, for every version, what is otherwise read from the conditions of the templates."""
    found: dict[str, set[str]] = {}
    for profile in ("baseline", "cis"):
        for path in sorted(templates.TEMPLATES.rglob("*.j2")):
            for minor in (33, 35, 36, 37):
                text = templates.render(
                    str(path.relative_to(templates.TEMPLATES)),
                    kubeharden_profile=profile,
                    minor=minor,
                    oldest_kubelet=minor,
                    approver=True,
                    control_planes=3,
                    kubeharden_token_webhook_config_file="/webhook.yaml",
                    kubeharden_pki_authorities_dir="/keys",
                    signing_key=False,
                    kubeharden_pki_component_serving=True,
                    laid=templates.LAID,
                    there=templates.THERE,
                    client_authority=True,
                )
                found.setdefault(profile, set()).update(selection._CONTROL.findall(text))
    assert found["baseline"] <= found["cis"] == set(selection.known_controls())
    assert selection.of_widest_profile() == sorted(found["cis"] - found["baseline"])
    assert "kubelet-pod-pids" in selection.of_widest_profile()
