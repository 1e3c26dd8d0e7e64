# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on what an API server was seen to do."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files

CONTROLS = {control.id: control for control in catalogue_files.load()}
LOG = "--audit-log-path=/log"
BODIES = {
    "found": [], "count": 0, "records": 7, "files": 1, "size": 700, "read": 700, "hours": 0.1, "whole": True,
}  # fmt: skip
LONG = {**BODIES, "files": 4, "size": 40 << 30, "read": 4 << 30, "whole": False}
MARKER = {"provider": "aescbc", "key": "k1", "plain": False, "in_log": False, "removed": True, "namespace": "n"}
STORED = {"count": 9, "seen": 9, "plain": 0, "named": [], "encrypted": {"secretbox with key k2": 9}}


def host(server: t.Any, *flags: str) -> Host:
    process = {"running": True, "arguments": ["kube-apiserver", *flags], "version": "1.37.1", "manifest": ""}
    return Host("cp1", {"live": True, "components": {"kube-apiserver": process}, "probes": {"server": server}})


@pytest.mark.parametrize(
    ("control", "flags", "server", "status", "words"),
    [
        ("probe-audit-record", [], {}, "fail", "nothing is recorded"),
        ("probe-audit-record", ["--audit-log-path=-"], {}, "unknown", "process's output"),
        ("probe-audit-record", ["--audit-log-path=audit.log"], {}, "unknown", "a file in the process's own directory"),
        ("probe-audit-record", ["--audit-webhook-config-file=/w"], {}, "unknown", "to a service"),
        ("probe-audit-record", [LOG], {}, "unknown", "no kube-apiserver was asked"),
        ("probe-audit-record", [LOG], {"problem": "run with become"}, "unknown", "become"),
        ("probe-audit-record", [LOG], {"audit_record": {"problem": "refused"}}, "unknown", "refused"),
        ("probe-audit-record", [LOG], {"audit_record": {"found": True, "level": "Metadata", "status": 404}}, "pass",
         "level Metadata"),
        ("probe-audit-record", [LOG], {"audit_record": {"found": False, "status": 404}}, "fail", "not in /log"),
        ("probe-audit-record", [LOG], {"audit_record": {"found": False, "batches": True, "status": 404}}, "unknown",
         "batches"),
        ("probe-audit-bodies", [], {}, "not_applicable", "nothing is recorded"),
        ("probe-audit-bodies", ["--audit-log-path=-"], {}, "unknown", "output"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": BODIES}, "pass", "all 7 records of /log were read"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**BODIES, "files": 3}}, "pass", "2 rotated files were read"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**LONG, "hours": 25.04}}, "pass",
         "3 rotated files were read, 10 % of 40960 MiB, and all of the last 25.0 h"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**LONG, "hours": 23.9}}, "unknown", "24 h are wanted"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**LONG, "count": 1, "found": ["create of secrets a/b"]}},
         "fail", "1 hold the content"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**BODIES, "records": 0}}, "unknown", "no record was there"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": {**BODIES, "count": 2, "found": ["create of secrets a/b"]}},
         "fail", "2 hold the content"),
        ("probe-audit-bodies", [LOG], {"audit_bodies": BODIES, "marker": {**MARKER, "in_log": True}}, "fail", "probe"),
        ("probe-hsts", [], {"hsts": {"header": ""}}, "fail", "no Strict"),
        ("probe-hsts", [], {"hsts": {"header": "max-age=0"}}, "fail", "max-age=0"),
        ("probe-hsts", [], {"hsts": {"header": "max-age=31536000; includeSubDomains"}}, "pass", "includeSubDomains"),
        ("probe-stored-secrets", [], {"stored": {**STORED, "count": 0}}, "not_applicable", "no Secrets"),
        ("probe-stored-secrets", [], {"stored": STORED}, "pass", "secretbox with key k2; the first bytes of 9 of 9"),
        ("probe-stored-secrets", [], {"stored": {**STORED, "seen": 8}}, "unknown", "8 of 9 Secrets"),
        ("probe-stored-secrets", [], {"stored": {**STORED, "seen": 8, "plain": 3, "named": ["shop/a"]}}, "fail",
         "plain text: shop/a and 2 more; the first bytes of 8 of 9"),
        ("probe-marker", [], {}, "not_applicable", "kubeharden_probe_writes"),
        ("probe-marker", [], {"marker": MARKER}, "pass", "aescbc with key k1"),
        ("probe-marker", [], {"marker": {**MARKER, "provider": "", "plain": True}}, "fail", "plain text"),
        ("probe-marker", [], {"marker": {**MARKER, "removed": False}}, "unknown", "namespace n is not gone"),
    ],
)  # fmt: skip
def test_verdicts(control: str, flags: list[str], server: t.Any, status: str, words: str) -> None:
    said = judge_host(host(server, *flags), CONTROLS[control])
    assert (said.status, words in said.evidence) == (status, True), said


CONFIG_MAP = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
  - name: enable-admission-plugins
    value: {plugins}
"""


@pytest.mark.parametrize(
    ("flags", "kubeadm", "live", "status", "words"),
    [
        (["--enable-admission-plugins=NodeRestriction,AlwaysPullImages"], None, True, "pass", "names AlwaysPullImages"),
        ([], CONFIG_MAP.format(plugins="NodeRestriction,AlwaysPullImages"), True, "fail", "every node had pulled"),
        ([], CONFIG_MAP.format(plugins="NodeRestriction"), True, "explained", "no pod starts whose node cannot pull"),
        ([], "", True, "explained", "nor in kubeadm's ConfigMap"),
        ([], "apiServer: [", True, "unknown", "cannot be said"),
        ([], None, True, "unknown", "was not read"),
        ([], None, False, "explained", "without a running cluster"),
    ],
)
def test_pulling_always_is_owed_where_every_node_had_shown_that_it_can(
    flags: list[str], kubeadm: str | None, live: bool, status: str, words: str
) -> None:
    seen = {**host({}, *flags).evidence, "live": live}
    said = judge_host(Host("cp1", seen, kubeadm=kubeadm), CONTROLS["apiserver-always-pull-images"])
    assert (said.status, words in said.evidence) == (status, True), said


@pytest.mark.parametrize("control", ["probe-audit-record", "probe-audit-bodies", "probe-hsts", "probe-stored-secrets"])
def test_where_no_api_server_runs_and_where_nothing_was_seen(control: str) -> None:
    worker = Host("w1", {"live": True, "components": {"kubelet": {"running": True, "arguments": []}}})
    assert judge_host(worker, CONTROLS[control]).status == "not_applicable"
    assert judge_host(Host("cp1", None, "it is down"), CONTROLS[control]).status == "unknown"
    directory = Host("cp1", {"live": False, "components": {"kube-apiserver": {"running": False, "arguments": []}}})
    assert judge_host(directory, CONTROLS[control]).status == "unknown"
