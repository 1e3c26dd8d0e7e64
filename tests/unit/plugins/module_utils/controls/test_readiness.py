# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a run from beginning: one table of what a host shows, and the sentence that it gets."""

from __future__ import annotations

import dataclasses
import re
import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.readiness import (
    CLOCKS,
    ROOM,
    Findings,
    Host,
    judge,
)

NOW = 1_800_000_000.0
PLACE = {"path": "/etc/kubernetes", "free": 10 * ROOM, "inodes": True, "read_only": False, "audit": False}
AUDIT = {**PLACE, "path": "/var/log/audit", "audit": True, "budget": 10 * ROOM, "endless": ""}
CERTIFICATE = {
    "path": "/etc/kubernetes/pki/apiserver.crt",
    "user": "kube-apiserver",
    "begins": NOW - 9,
    "ends": NOW + 9,
}
UNMOUNTED = {"component": "kube-apiserver", "flag": "audit-log-path", "path": "/a/b.log", "manifest": "/m.yaml"}


def host(node: str = "cp1", **evidence: t.Any) -> Host:
    return Host(node, {"now": NOW, **evidence}, NOW)


def problems(**evidence: t.Any) -> list[str]:
    found = judge({"cp1": host(**evidence)})
    assert found.notes == {"cp1": []}
    return found.problems["cp1"]


WELL: dict[str, t.Any] = {
    "api": {"unwell": ""},
    "etcd": {"alarms": [], "unwell": [], "unseen": ""},
    "nodes": [{"name": "cp1", "trouble": ""}, {"name": "w1", "trouble": ""}],
    "room": [PLACE],
    "certificates": [CERTIFICATE],
    "upgrade": [],
    "kernel": [],
    "unmounted": [],
    "served": "",
    "apart": 1.0,
}


def test_a_host_that_is_well_is_ready() -> None:
    assert problems(**WELL) == []


def test_a_directory_that_stands_for_a_host_shows_nothing_and_is_ready() -> None:
    assert judge({"cp1": Host("cp1", {}, 0.0), "w1": Host("", {}, 0.0)}) == Findings(
        {"cp1": [], "w1": []}, {"cp1": [], "w1": []}
    )


FAULTS: dict[str, tuple[dict[str, t.Any], str]] = {
    "api": (
        {"api": {"unwell": "/readyz answered 500"}},
        "kube-apiserver of cp1 is not well: /readyz answ",
    ),
    "alarm": ({"etcd": {"alarms": ["NOSPACE"]}}, "etcd has raised the alarm NOSPACE, seen on cp1"),
    "member": ({"etcd": {"unwell": ["cp2: it is away"]}}, "members that are not well, seen on cp1: cp2: it is away;"),
    "node": ({"nodes": [{"name": "cp1", "trouble": "KubeletNotReady"}]}, "Node cp1 is not Ready (KubeletNotReady)"),
    "full": ({"room": [{**PLACE, "free": ROOM - 1}]}, "on cp1 has 3 MiB left, and a run may write 4 MiB there"),
    "inodes": ({"room": [{**PLACE, "inodes": False}]}, "of /etc/kubernetes on cp1 has no inode left"),
    "read-only": ({"room": [{**PLACE, "read_only": True}]}, "/etc/kubernetes of cp1 is on a read-only file system"),
    "budget": (
        {"room": [AUDIT]},
        "has 40 MiB left, and the audit log's rotation may still take 44 MiB there; make room, or lower audit-log-max",
    ),
    "ended": (
        {"certificates": [{**CERTIFICATE, "ends": NOW}]},
        "apiserver.crt of kube-apiserver on cp1 ended 2027-01-15",
    ),
    "early": ({"certificates": [{**CERTIFICATE, "begins": NOW + 1}]}, "on cp1 holds from 2027-01-15"),
    "upgrade": (
        {"upgrade": [{"pid": 7, "words": "kubeadm upgrade apply"}]},
        "`kubeadm upgrade apply` is at work on cp1",
    ),
    "unmounted": ({"unmounted": [UNMOUNTED]}, "on cp1 names /a/b.log, which /m.yaml does not mount"),
    "kernel": ({"kernel": ["vm.panic_on_oom is 1, not 0"]}, "would not start again: vm.panic_on_oom is 1, not 0;"),
    "unlisted": ({"unlisted": "KH123: they could not be listed."}, "KH123: they could not be listed."),
    "served": ({"served": "KH140: 3 of 10 requests failed."}, "3 of 10 requests failed."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_sentence(fault: str) -> None:
    evidence, words = FAULTS[fault]
    (problem,) = problems(**{**WELL, **evidence})
    assert words in problem
    assert re.fullmatch(r"KH1[234]\d: .*\.", problem)


def test_of_an_audit_log_that_may_become_of_any_size_it_is_told() -> None:
    endless = {**AUDIT, "budget": 0, "endless": "audit-log-maxbackup"}
    found = judge({"cp1": host(**{**WELL, "room": [endless]})})
    (note,) = found.notes["cp1"]
    assert note.startswith(
        "The audit log in /var/log/audit of cp1 may become of any size (audit-log-maxbackup is 0), so"
    )
    assert found.problems["cp1"] == []
    (problem,) = judge({"cp1": host(**{**WELL, "room": [{**endless, "free": ROOM - 1}]})}).problems["cp1"]
    assert problem.endswith("the audit log's rotation may still take 4 MiB there; make room.")


@pytest.mark.parametrize(("node", "words"), [("", "may take no part"), ("two", "takes no part")])
def test_of_a_host_that_could_not_be_read_nobody_knows_which_node_is_its_own(node: str, words: str) -> None:
    seen = host("one", nodes=[{"name": "w9", "trouble": "KubeletNotReady"}])
    found = judge({"cp1": seen, "cp2": Host(node, {"now": NOW}, NOW)})
    assert found.notes["cp1"] == [f"Node w9, which {words} in this run, is not Ready."]


AWAY = {"api": {"unwell": ""}, "others_away": ["two", "three"]}


def test_a_run_on_one_control_plane_does_not_begin_where_its_api_server_is_the_last() -> None:
    (problem,) = judge({"cp1": host("one", **AWAY), "w1": host("w1")}).problems["cp1"]
    assert problem.startswith("KH131: Of the kube-apiservers of one, two, three only that of one is well; mend another")


def test_where_more_take_part_each_speaks_for_itself() -> None:
    both = {"cp1": host("one", **AWAY), "cp2": host("two", api={"unwell": "it does not run"})}
    found = judge(both).problems
    assert (found["cp1"], len(found["cp2"])) == ([], 1)


CP2 = "https://192.0.2.12:6443"
SILENT = {"node": "two", "server": CP2, "trouble": "/readyz answered refused", "silent": True}
ILL = {**SILENT, "trouble": "/readyz answered 500", "silent": False}
STRANGE = {**SILENT, "node": ""}


@pytest.mark.parametrize(
    ("one", "allowed", "said"),
    [
        (
            SILENT,
            False,
            (
                "KH131: kube-apiserver of two, which takes no part in this run, is not well: /readyz answered refused; "
                "mend it first, remove its node where it is gone (kubectl delete node two), or go on without it "
                "(kubeharden_allow_unreachable)."
            ),
        ),
        (
            STRANGE,
            False,
            (
                f"KH131: The API server {CP2}, which takes no part in this run, is not well: /readyz answered refused; "
                "mend it first, or go on without it (kubeharden_allow_unreachable)."
            ),
        ),
        (
            ILL,
            True,
            (
                "KH131: kube-apiserver of two, which takes no part in this run, is not well: /readyz answered 500; "
                "mend it first."
            ),
        ),
        (
            SILENT,
            True,
            (
                "kube-apiserver of two, which takes no part in this run, is not well: /readyz answered refused. The "
                "run goes on without it (kubeharden_allow_unreachable)."
            ),
        ),
    ],
)
def test_an_api_server_that_takes_no_part_counts_unless_it_is_left_away_on_purpose(
    one: dict[str, t.Any], allowed: bool, said: str
) -> None:
    """Though a third one is well: whoever takes another away leaves the API on that alone."""
    found = judge({"cp1": host("one", api={"unwell": ""}, others_unwell=[one])}, allow_unreachable=allowed)
    told = found.problems["cp1"] if said.startswith("KH") else found.notes["cp1"]
    assert (told, len(found.problems["cp1"]) + len(found.notes["cp1"])) == ([said], 1)


def test_one_that_is_the_last_is_told_once_and_no_leave_is_given_for_that() -> None:
    alone = {"cp1": host("one", **AWAY, others_unwell=[SILENT])}
    (problem,) = judge(alone, allow_unreachable=True).problems["cp1"]
    assert "only that of one is well" in problem


@pytest.mark.parametrize("known", [{"node": "two"}, {"node": "another", "server": CP2}])
def test_of_those_that_take_part_their_own_hosts_speak(known: dict[str, str]) -> None:
    other = host(known["node"], api={"unwell": "it does not run"})
    other = dataclasses.replace(other, server=known.get("server", ""))
    found = judge({"cp1": host("one", api={"unwell": ""}, others_unwell=[SILENT]), "cp2": other})
    assert (found.problems["cp1"], len(found.problems["cp2"])) == ([], 1)


def test_a_rotation_goes_on_beside_one_that_takes_no_part() -> None:
    found = judge({"cp1": host("one", api={"unwell": ""}, others_unwell=[ILL])}, allow_expired=True)
    assert found.problems == {"cp1": []}
    (note,) = found.notes["cp1"]
    assert note.endswith("/readyz answered 500. The rotation goes on all the same.")


def test_a_rotation_takes_no_api_server_away() -> None:
    """And it may be what brings the others back, whose certificates have ended."""
    assert judge({"cp1": host("one", **AWAY)}, allow_expired=True).problems == {"cp1": []}


def test_all_faults_of_all_hosts_are_told_at_once() -> None:
    both: dict[str, t.Any] = {}
    for evidence, _words in FAULTS.values():
        for key, value in evidence.items():
            both[key] = both[key] + value if isinstance(both.get(key), list) else value
    found = judge({"cp1": host(**both), "w1": host("w1", **FAULTS["upgrade"][0])})
    assert len(found.problems["cp1"]) == len(FAULTS) - 1  # the later of two keys of etcd
    assert len(found.problems["w1"]) == 1


def test_what_the_run_mends_itself_is_no_problem() -> None:
    one = host(unmounted=[UNMOUNTED], kernel=["x"])
    mended = dataclasses.replace(one, mounts=["audit-log-path"], sets_kernel=True)
    assert judge({"cp1": mended}).problems == {"cp1": []}


@pytest.mark.parametrize(("flag", "offers"), [("audit-log-path", True), ("data-dir", False)])
def test_what_a_run_mounts_is_offered_and_nothing_else(flag: str, offers: bool) -> None:
    (problem,) = judge({"cp1": host(unmounted=[{**UNMOUNTED, "flag": flag}])}).problems["cp1"]
    assert problem.startswith(f"KH138: --{flag} of kube-apiserver on cp1 names /a/b.log, which /m.yaml does not mount")
    assert ("or let the run do it" in problem) is offers


def test_what_the_run_would_mend_and_cannot_keeps_it_from_beginning() -> None:
    """Else the next restart would end a kubelet that runs, and its old bytes insist too."""
    one = dataclasses.replace(host(kernel=["kernel.panic is 60, not 10"]), sets_kernel=True)
    one = dataclasses.replace(one, evidence={**one.evidence, "kernel_stays": "/etc/sysctl.conf would set it to 60"})
    (problem,) = judge({"cp1": one}).problems["cp1"]
    assert problem.startswith("KH139: The kubelet of cp1 insists on its kernel's settings")
    assert "kernel.panic is 60, not 10; this run cannot set them, since /etc/sysctl.conf would set it to 60;" in problem


def test_expired_certificates_may_be_the_work() -> None:
    assert judge({"cp1": host(certificates=[{**CERTIFICATE, "ends": 0.0}])}, allow_expired=True).problems == {"cp1": []}


#: What keeps a rotation from beginning too, on a control plane. On a node nothing does.
END_A_ROTATION = {"api", "alarm", "member", "full", "inodes", "read-only", "upgrade", "unlisted", "served"}


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"ended", "early"}))
def test_a_rotation_begins_though_something_is_wrong_that_it_does_not_need(fault: str) -> None:
    evidence, words = FAULTS[fault]
    found = judge({"cp1": host(**{**WELL, **evidence})}, allow_expired=True)
    ends = fault in END_A_ROTATION
    told = found.problems["cp1"] if ends else found.notes["cp1"]
    assert (len(found.problems["cp1"]), len(found.notes["cp1"])) == ((1, 0) if ends else (0, 1))
    assert words.partition("; ")[0] in told[0]
    assert told[0].endswith("The rotation goes on all the same.") != ends


OF_NODES = ("full", "inodes", "read-only", "upgrade", "kernel")


@pytest.mark.parametrize("fault", OF_NODES)
def test_nothing_that_a_node_shows_keeps_a_rotation_from_beginning(fault: str) -> None:
    found = judge({"cp1": host(**WELL), "w1": host("w1", **FAULTS[fault][0])}, allow_expired=True)
    assert found.problems == {"cp1": [], "w1": []}
    assert len(found.notes["w1"]) == 1


def test_the_clock_of_a_node_keeps_no_rotation_from_beginning_and_that_of_a_control_plane_does() -> None:
    late = {name: Host(name, {"now": NOW - 2 * CLOCKS, **shown}, NOW) for name, shown in (("cp3", WELL), ("w1", {}))}
    well = {name: host(name, **WELL) for name in ("cp1", "cp2", "cp4")}
    found = judge({**well, **late}, allow_expired=True)
    assert [name for name, told in found.problems.items() if told] == ["cp3"]
    assert [name for name, told in found.notes.items() if told] == ["w1"]


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"cp1": "1.37.1", "cp2": "1.37.1", "w1": ""}, []),
        ({"cp1": "1.37.2", "cp2": "1.37.1", "cp3": "1.37.1"}, ["cp2", "cp3"]),
        ({"cp1": "1.9.0", "cp2": "1.10.0"}, ["cp1"]),
        ({"w1": "", "w2": ""}, []),
    ],
)
def test_control_planes_of_two_versions_are_an_upgrade_that_is_half_done(
    versions: dict[str, str], told: list[str]
) -> None:
    hosts = {name: dataclasses.replace(host(name), version=version) for name, version in versions.items()}
    problems = {name: sentences for name, sentences in judge(hosts).problems.items() if sentences}
    assert list(problems) == told
    for name, (sentence,) in problems.items():
        assert sentence.startswith(f"KH137: kube-apiserver of {name} is {versions[name]} and that of c")


ENDED: dict[str, t.Any] = {"certificates": [{**CERTIFICATE, "ends": NOW - 1}]}
ENDED_OF_ETCD: dict[str, t.Any] = {"certificates": [{**CERTIFICATE, "user": "etcd", "ends": NOW - 1}]}


def test_what_a_certificate_that_has_ended_keeps_from_being_seen_is_a_note_where_that_is_the_work() -> None:
    closed = host("cp2", api={"unwell": "", "closed": True}, **ENDED)
    served = host(served="KH140: 3 of 10 requests failed.")
    found = judge({"cp1": served, "cp2": closed}, allow_expired=True)
    assert found.problems == {"cp1": [], "cp2": []}
    assert [note.partition(" has ended")[0] for note in found.notes["cp2"]] == [
        "A certificate between the administrator and the API of cp2"
    ]
    assert judge({"cp1": served}, allow_expired=True).problems["cp1"] == ["KH140: 3 of 10 requests failed."]
    silent = host(api={"unwell": "/livez answered refused", "closed": True}, **ENDED)
    assert "is not well" in judge({"cp1": silent}, allow_expired=True).problems["cp1"][0]


@pytest.mark.parametrize(("certificates", "allowed"), [(ENDED_OF_ETCD, True), (ENDED_OF_ETCD, False), (ENDED, True)])
def test_members_of_etcd_whose_certificates_have_ended_are_not_well_until_they_are_renewed(
    certificates: dict[str, t.Any], allowed: bool
) -> None:
    unwell = {"alarms": [], "unwell": ["cp2: away"], "unseen": ""}
    found = judge({"cp1": host(etcd=unwell), "cp2": host("cp2", **certificates)}, allow_expired=allowed)
    is_work = allowed and certificates == ENDED_OF_ETCD
    assert ["KH133" in problem for problem in found.problems["cp1"]] == ([] if is_work else [True])
    assert len(found.notes["cp1"]) == is_work


def test_a_node_that_takes_no_part_is_a_note() -> None:
    found = judge({"cp1": host(nodes=[{"name": "w9", "trouble": "NodeStatusUnknown"}])})
    assert found.problems == {"cp1": []}
    assert found.notes == {"cp1": ["Node w9, which takes no part in this run, is not Ready."]}


def test_a_node_of_another_host_is_told_where_it_was_seen() -> None:
    found = judge({"cp1": host(nodes=[{"name": "worker", "trouble": "x"}]), "w1": host("worker")})
    assert len(found.problems["cp1"]) == 1
    assert found.problems["w1"] == []


def test_an_etcd_that_cannot_be_asked_is_a_note() -> None:
    found = judge({"cp1": host(etcd={"alarms": [], "unwell": [], "unseen": "it is no static pod of this host"})})
    assert found.problems == {"cp1": []}
    assert found.notes["cp1"] == ["etcd's members and alarms were not looked at: it is no static pod of this host."]


@pytest.mark.parametrize(
    ("offsets", "told", "noted"),
    [
        ({"a": 0, "b": CLOCKS, "c": -CLOCKS}, {}, False),
        ({"a": 0, "b": 1, "c": CLOCKS + 2}, {"c": "31 s ahead of that of the others"}, False),
        ({"a": 0, "b": 1, "c": -CLOCKS - 2}, {"c": "32 s behind that of the others"}, False),
        # All agree: it is the controller that is off.
        ({"a": 500, "b": 501, "c": 502}, {}, True),
        ({"a": 500, "b": 501}, {}, True),
        # Nobody can say which of the two.
        ({"a": -500}, {}, True),
        # Of an even number the controller decides.
        ({"a": 0, "b": -600}, {"b": "600 s behind"}, False),
        ({"a": 600, "b": 0}, {"a": "600 s ahead of"}, False),
        ({"a": 600, "b": 601, "c": 0, "d": 1}, {"a": "ahead of", "b": "ahead of"}, False),
        # No two agree.
        ({"a": 600, "b": -600}, {"a": "agrees with no other", "b": "600 s behind that of the controller"}, False),
        ({"a": 100, "b": 700}, {"a": "agrees with no other", "b": "agrees with no other"}, False),
    ],
)
def test_clocks_are_held_against_one_another(offsets: dict[str, float], told: dict[str, str], noted: bool) -> None:
    found = judge({name: Host(name, {"now": NOW + offset}, NOW) for name, offset in offsets.items()})
    problems = {name: sentences for name, sentences in found.problems.items() if sentences}
    assert set(problems) == set(told)
    for name, words in told.items():
        (sentence,) = problems[name]
        assert words in sentence
    notes = [note for some in found.notes.values() for note in some]
    assert any(re.match("The clocks? of this controller ", note) for note in notes) == noted


@pytest.mark.parametrize(("apart", "told"), [(CLOCKS, False), (-600.0, True), (600.0, True)])
def test_a_host_alone_is_held_against_the_api_servers_behind_the_front_door(apart: float, told: bool) -> None:
    sentences = problems(**{**WELL, "apart": apart})
    words = "600 s ahead of that of cp1" if apart > 0 else "600 s behind that of cp1"
    assert [words in sentence for sentence in sentences] == ([True] if told else [])


def test_a_clock_that_is_told_already_is_not_told_again() -> None:
    off = Host("cp1", {"now": NOW + 600, "apart": -600.0}, NOW)
    assert [len(one) for one in judge({"cp1": off, "b": host("b"), "c": host("c")}).problems.values()] == [1, 0, 0]
