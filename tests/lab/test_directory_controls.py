# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Just some controls (kubeharden_only), and all but some (kubeharden_waivers), through ansible-playbook.

On directories that stand for hosts. What each control alone changes is a property that
tests/unit/plugins/plugin_utils/test_each_control.py holds for all of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab.product import messages_of
from lab.test_directory_hosts import Hosts, refused

APISERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
KUBELET = "/var/lib/kubelet/config.yaml"
_FLAG = re.compile(r"^\+    - --([a-z-]+)=", re.MULTILINE)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def waiver(control: str, **more: object) -> dict[str, object]:
    return {"control": control, "reason": "a client is old", "owner": "platform", "expires": "9999-12-31", **more}


def targets(changes: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(change["host"], change["target"]) for change in changes}


def flags(changes: list[dict[str, Any]], host: str, target: str) -> set[str]:
    """The flags that a run adds to a manifest."""
    diffs = [change["diff"] for change in changes if (change["host"], change["target"]) == (host, target)]
    return {flag for diff in diffs for flag in _FLAG.findall(diff)}


@pytest.mark.slow
def test_only_some_controls_and_then_all_but_them(hosts: Hosts) -> None:
    only = ["apiserver-audit-policy", "scheduler-profiling", "kubelet-profiling"]
    # No control, and so no part of such a run.
    mine = {"kube-apiserver": {"request-timeout": "59s"}}
    alone = hosts.harden("--check", only=only, extra_flags=mine)
    assert alone.code == 0, str(alone)
    first = hosts.changes
    of_control_planes = {APISERVER, SCHEDULER, POLICY, "/etc/kubernetes/kubeharden", KUBELET}
    expected = {(host, target) for host in ("cp1", "cp2") for target in of_control_planes} | {("w1", KUBELET)}
    assert targets(first) == expected, str(alone)
    assert flags(first, "cp1", APISERVER) == {"audit-policy-file"}
    assert flags(first, "cp1", SCHEDULER) == {"profiling"}
    assert all(set(change["controls"]) <= set(only) for change in first)
    assert f"Nothing but {', '.join(only)} was looked at (kubeharden_only)." in alone.output

    everything = hosts.harden("--check")
    assert everything.code == 0, str(everything)
    whole = hosts.changes
    waivers = [waiver("apiserver-audit-policy", hosts="cp*:!cp2"), waiver("kubelet-profiling", hosts=["kube_node"])]
    waivers.append(waiver("scheduler-profiling", expires="2001-01-01"))
    held = hosts.harden("--check", waivers=waivers)
    assert held.code == 0, str(held)
    rest = hosts.changes
    assert targets(whole) - targets(rest) == {("cp1", POLICY)}
    for host, target, left in (
        ("cp1", APISERVER, {"audit-policy-file"}),
        ("cp2", APISERVER, set()),
        ("cp1", SCHEDULER, set()),
    ):
        assert flags(whole, host, target) - flags(rest, host, target) == left, (host, target)
    with_profiling = {change["host"] for change in rest if "enableProfilingHandler" in change["diff"]}
    assert with_profiling == {"cp1", "cp2"}
    said = "The waiver of scheduler-profiling everywhere (owner: platform, reason: a client is old) ended with 2001"
    assert held.output.count(said) == 2, held.output
    assert "[WARNING]: The waiver of scheduler-profiling" in held.output.replace("\n", " ")
    assert "The waiver of apiserver-audit-policy on cp*:!cp2 (owner: platform" in held.output
    # The trees of inventories/demo have other controls than those above; none of their settings is touched twice.
    assert {change["target"] for change in first} <= {change["target"] for change in whole}


def test_all_that_is_wrong_with_the_variables_is_said_at_once(hosts: Hosts) -> None:
    """The names of controls, of hosts, a day, a missing owner, a contradiction, and what else begin_run checks."""
    waivers = [
        waiver("apiserver-profilling"),
        waiver("apiserver-profiling", expires="2027-02-30"),
        waiver("apiserver-hsts", owner=" ", reason=None),
        waiver("scheduler-profiling", hosts=["cp1", "w9"]),
        waiver("kubelet-profiling", host="w1"),
        waiver("apiserver-tls-version"),
    ]
    state = hosts.state()
    run = hosts.harden(
        waivers=waivers,
        only=[
            "apiserver-tls-version",
            "apiserver-hsst",
            "kubelet-pod-pids",
            "rbac-proxy",
            "apiserver-node-restriction",
        ],
        extra_flags={"kube-apiservr": {"v": "2"}},
        profil="cis",
    )
    refused(
        run,
        "cp1",
        "There is no variable kubeharden_profil; the nearest is kubeharden_profile.",
        "there is no component kube-apiservr; the nearest is kube-apiserver.",
        "kubeharden_only: there is no control apiserver-hsst; the nearest is apiserver-hsts.",
        "kubeharden_only: kubelet-pod-pids is a control of profile cis, and with kubeharden_profile baseline nothing",
        "kubeharden_only: rbac-proxy is judged by verify.yml, and nothing is written for it; take it out.",
        "kubeharden_only: apiserver-node-restriction is a part of apiserver-admission-plugins, which is set as a",
        "kubeharden_waivers: there is no control apiserver-profilling; the nearest is apiserver-profiling.",
        "the waiver of apiserver-profiling expires on 2027-02-30, which is no day; write one such as 2027-01-31.",
        "the waiver of apiserver-hsts lacks reason, owner.",
        "the waiver of scheduler-profiling names w9, which no host and no group of the inventory is called.",
        "the waiver of kubelet-profiling has no key host; the nearest is hosts.",
        "apiserver-tls-version is in kubeharden_only and waived (kubeharden_waivers); take it out of one of them.",
        "Nothing was changed; correct the inventory or the command line.",
    )
    assert hosts.state() == state


def test_a_file_that_a_flag_names_and_that_is_not_there_stops_the_run_beside_all_else(hosts: Hosts) -> None:
    """What the version does not know and what is missing on a host, in one message; no host is written."""
    (hosts.root("cp2") / "etc/kubernetes/pki/mine.crt").write_text("x", encoding="utf-8")
    flags = {
        "kube-apiserver": {"oidc-ca-file": "/etc/kubernetes/pki/mine.crt", "feature-gates": "NoSuchGate=true"},
        "kube-scheduler": {"config": "/etc/scheduler/config.yaml"},
    }
    state = hosts.state()
    run = hosts.harden(extra_flags=flags)
    assert run.code == 2, str(run)
    messages = messages_of(run)
    assert set(messages) == {"cp1", "cp2"}, str(run)
    for host, message in messages.items():
        assert "has no feature gate NoSuchGate" in message
        assert (
            f"--config of kube-scheduler names /etc/scheduler/config.yaml, which {SCHEDULER} does not mount" in message
        )
        assert f"Nothing was changed on {host}" in message
    missing = "--oidc-ca-file of kube-apiserver names /etc/kubernetes/pki/mine.crt, but there is no file "
    assert (missing in messages["cp1"], missing in messages["cp2"]) == (True, False)
    assert hosts.state() == state


PULLS = "AlwaysPullImages was not switched on, since without a running cluster no node can pull an image."


@pytest.mark.slow
def test_images_are_not_forced_to_be_pulled_where_no_node_can_show_that_it_can(hosts: Hosts) -> None:
    """Asked for, it is told; waived, already on or spoken for by a flag of the owner's, nobody looks."""
    asked = hosts.harden("--check", profile="cis", only=["apiserver-always-pull-images"])
    assert asked.code == 0, str(asked)
    assert hosts.changes == []
    assert f"Not done on cp1: {PULLS}" in asked.output

    waived = hosts.harden("--check", profile="cis", waivers=[waiver("apiserver-always-pull-images")])
    assert waived.code == 0, str(waived)
    assert PULLS not in waived.output
    assert hosts.harden("--check").output.count(PULLS) == 0  # profile baseline

    mine = {"kube-apiserver": {"enable-admission-plugins": "NodeRestriction,DenyServiceExternalIPs"}}
    own = hosts.harden(profile="cis", extra_flags=mine)
    assert own.code == 0, str(own)
    assert PULLS not in own.output
    again = hosts.harden(profile="cis", extra_flags=mine)
    assert again.code == 0, str(again)
    assert hosts.changes == [], str(again)

    for name in ("cp1", "cp2"):
        path = hosts.root(name) / APISERVER.lstrip("/")
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("=NodeRestriction,Deny", "=NodeRestriction,AlwaysPullImages,Deny"), "utf-8")
    on = hosts.harden("--check", profile="cis", only=["apiserver-always-pull-images"])
    assert on.code == 0, str(on)
    assert hosts.changes == []
    assert PULLS not in on.output
