# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that a bundle still trusts, through a rotation and after it, from certificates as hosts have them."""

from __future__ import annotations

import base64
import dataclasses
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Verdict
from ansible_collections.kubeharden.core.plugins.module_utils.controls.cluster_checks import Cluster
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Judged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_cluster
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, kubeconfig, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import Collector
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import certificate_entry
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import (
    DAY,
    NOW,
    client_profile,
    leaf,
)

CONTROL = next(one for one in catalogue_files.load() if one.id == "certificates-authorities")
PKI = "etc/kubernetes/pki"
YEAR = 365 * DAY


@dataclasses.dataclass(frozen=True)
class Authorities:
    """Two of one name, as kubeadm calls each of them, made a year and some days before NOW, and one that ended."""

    old: Authority
    new: Authority
    ended: Authority


@pytest.fixture(name="all_of_them", scope="module")
def some_authorities() -> Authorities:
    wanted = profile.wanted_authority("kubernetes")
    return Authorities(
        authority.create(wanted, NOW - YEAR),
        authority.create(wanted, NOW - 3 * DAY),
        authority.create(wanted, NOW - 20 * YEAR),
    )


class Two:
    """A control plane and a worker, as directories: a bundle on both, and what their certificates were signed by."""

    def __init__(self, directory: Path) -> None:
        self.roots = {name: directory / name for name in ("cp1", "w1")}
        for root in self.roots.values():
            (root / PKI).mkdir(parents=True)

    def trust(self, *trusted: Authority, on: t.Sequence[str] = ("cp1", "w1"), signing: Authority | None = None) -> None:
        for name in on:
            path = self.roots[name] / PKI / "ca.crt"
            path.write_bytes(bundle.join([one.facts for one in trusted]))
        if signing is not None:
            (self.roots["cp1"] / PKI / "ca.key").write_bytes(authority.files(signing)[1])

    def sign(self, by: Authority, host: str, name: str = "apiserver") -> None:
        (self.roots[host] / PKI / f"{name}.crt").write_bytes(issue.certificate_pem(leaf(client_profile(), by)))

    def seen(self, name: str, now: float = NOW) -> Judged:
        def run(command: list[str]) -> tuple[int, str, str]:
            raise AssertionError(command)

        evidence = Collector(View(Host(str(self.roots[name]))), False, None, run, now, lambda: 0.0).collect()
        return Judged(name, evidence)

    def verdict(self, now: float = NOW, grace: int = 30, without: str = "") -> Verdict:
        hosts = [
            Judged(name, None, "it could not be reached") if name == without else self.seen(name, now)
            for name in self.roots
        ]
        return judge_cluster(Cluster(None, "", hosts, rotation_grace=grace), CONTROL)


@pytest.fixture(name="cluster")
def a_cluster(tmp_path: Path) -> Two:
    return Two(tmp_path)


def test_one_authority_alone_is_no_finding(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.old, signing=all_of_them.old)
    assert cluster.verdict() == Verdict("pass", "2 files of authorities, 0 of which trust several")


def test_what_a_rotation_left_is_named_with_its_file_and_hosts(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.new, all_of_them.old, signing=all_of_them.new)
    for host in cluster.roots:
        cluster.sign(all_of_them.new, host)
    old = all_of_them.old.facts.fingerprint[:16]
    words = f"cp1, w1: /{PKI}/ca.crt trusts CN=kubernetes ({old}), which signed nothing that is in use"
    assert cluster.verdict(grace=2) == Verdict("fail", words)
    # On the worker alone it is left too.
    cluster.trust(all_of_them.new, on=["cp1"])
    assert cluster.verdict(grace=2) == Verdict("fail", words.replace("cp1, w1", "w1"))


@pytest.mark.parametrize("phase", ["the new one is trusted", "it signs", "every certificate is renewed"])
def test_in_the_middle_of_a_rotation_there_is_no_finding(cluster: Two, all_of_them: Authorities, phase: str) -> None:
    """The new authority has signed nothing, then something, then all, and is younger than the grace in each phase."""
    old, new = all_of_them.old, all_of_them.new
    signing = old if phase == "the new one is trusted" else new
    first, second = (signing, signing) if phase != "it signs" else (new, old)
    cluster.trust(*((old, new) if signing is old else (new, old)), signing=signing)
    cluster.sign(first, "cp1")
    cluster.sign(second, "w1")
    found = cluster.verdict()
    assert found.status == "pass"
    # While both are in use nothing needs an excuse.
    assert ("a rotation may be under way" in found.evidence) == (phase != "it signs")
    assert cluster.verdict(grace=2).status == ("pass" if phase == "it signs" else "fail")


def test_authorities_within_kubeconfigs_are_files_of_them_too(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.new, signing=all_of_them.new)
    cluster.sign(all_of_them.new, "cp1")
    several = bundle.join([all_of_them.new.facts, all_of_them.old.facts])
    client = issue.certificate_pem(leaf(client_profile(), all_of_them.new))
    text = kubeconfig.render("https://192.0.2.1:6443", "scheduler", several, client, "/etc/kubernetes/scheduler.key")
    (cluster.roots["cp1"] / "etc/kubernetes/scheduler.conf").write_bytes(text)
    old = all_of_them.old.facts.fingerprint[:16]
    where = "certificate-authority-data of /etc/kubernetes/scheduler.conf"
    words = f"cp1: {where} trusts CN=kubernetes ({old}), which signed nothing that is in use"
    assert cluster.verdict(grace=2) == Verdict("fail", words)
    # What is in their place and no certificate may hide one.
    (cluster.roots["cp1"] / "etc/kubernetes/scheduler.conf").write_bytes(
        text.replace(base64.b64encode(several), base64.b64encode(several.replace(b"MII", b"MIJ")))
    )
    assert cluster.verdict(grace=2).status == "unknown"


def test_one_that_ended_is_a_finding_whatever_else_is_so(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.new, all_of_them.ended, signing=all_of_them.new)
    cluster.sign(all_of_them.new, "cp1")
    found = cluster.verdict()
    assert found.status == "fail"
    assert f"({all_of_them.ended.facts.fingerprint[:16]}), which ended " in found.evidence


def test_what_was_not_seen_may_need_it(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.new, all_of_them.old, signing=all_of_them.new)
    for host in cluster.roots:
        cluster.sign(all_of_them.new, host)
    found = cluster.verdict(grace=2, without="w1")
    assert (found.status, "not all certificates were seen on w1" in found.evidence) == ("unknown", True)
    # A file that could not be read may be one that it signed.
    (cluster.roots["w1"] / PKI / "more.crt").symlink_to("more.crt")
    assert cluster.verdict(grace=2).status == "unknown"
    # And so may its own file of authorities, where nothing else is wrong.
    cluster.trust(all_of_them.new)
    assert cluster.verdict().status == "unknown"


def test_nodes_that_the_api_knows_and_the_run_leaves_out_may_need_it(cluster: Two, all_of_them: Authorities) -> None:
    cluster.trust(all_of_them.new, all_of_them.old, signing=all_of_them.new)
    live = [Judged(name, {**cluster.seen(name).evidence, "live": True}) for name in cluster.roots]

    def said(answer: t.Any) -> Verdict:
        return judge_cluster(Cluster(answer, "nobody was asked", live, rotation_grace=2), CONTROL)

    assert said({"configz": {"cp1": {}, "w1": {}}}).status == "fail"
    assert said({"configz": {"cp1": {}, "w1": {}, "w2": {}}}).evidence.endswith(
        "as far as was seen; not all certificates were seen on w2"
    )
    assert said({"configz": {}, "problems": {"nodes": "HTTP 403"}}) == Verdict("unknown", "HTTP 403")
    assert said(None) == Verdict("unknown", "nobody was asked")


def test_what_the_api_hands_out_is_trusted_too(cluster: Two, all_of_them: Authorities) -> None:
    """The hosts' files are right, and the ConfigMap that every pod mounts still has the old authority."""
    old, new = all_of_them.old.facts, all_of_them.new.facts
    cluster.trust(all_of_them.new, signing=all_of_them.new)
    cluster.sign(all_of_them.new, "w1")
    live = [Judged(name, {**cluster.seen(name).evidence, "live": True}) for name in cluster.roots]
    where = "ConfigMap kube-system/kube-root-ca.crt"
    nodes: dict[str, t.Any] = {"configz": {"cp1": {}, "w1": {}}}

    def said(answer: dict[str, t.Any]) -> Verdict:
        return judge_cluster(Cluster({**nodes, **answer}, "", live, rotation_grace=2), CONTROL)

    both = [certificate_entry(one, where, "bundle", NOW) for one in (new, old)]
    assert said({"trusted": both}) == Verdict(
        "fail", f"cluster: {where} trusts CN=kubernetes ({old.fingerprint[:16]}), which signed nothing that is in use"
    )
    assert said({"trusted": both[:1]}) == Verdict("pass", "3 files of authorities, 0 of which trust several")
    assert said({"trusted": [], "problems": {"trusted": "HTTP 403"}}) == Verdict("unknown", "HTTP 403")


def test_authorities_above_the_signing_one_are_in_use(cluster: Two) -> None:
    top = authority.create(profile.wanted_authority("root"), NOW - 3 * YEAR)
    below = authority.create_below(profile.wanted_authority("kubernetes"), top, NOW - 2 * YEAR)
    cluster.trust(below, top, signing=below)
    cluster.sign(below, "w1")
    assert cluster.verdict().status == "pass"


def test_where_there_are_no_authorities_nothing_is_said(cluster: Two) -> None:
    assert cluster.verdict() == Verdict("not_applicable", "there is no file of authorities")
