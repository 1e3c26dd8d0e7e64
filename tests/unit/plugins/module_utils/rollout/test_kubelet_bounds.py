# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubelets have stricter than the template asks for is told to kubeadm, or kept on the node that has it."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubelet_bounds import (
    bounded,
    remembered,
    unremembered,
)
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

AES = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
CHACHA = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"
HEADER = "kind: KubeletConfiguration\n"
HAD = f"{HEADER}streamingConnectionIdleTimeout: 0s\n"


def settings() -> dict[str, dict[str, t.Any]]:
    """Those of the template, but for what ConfigMap kubelet-config never has."""
    text = templates.render("kubelet/configuration.yaml.j2", kubeharden_profile="cis", approver=True)
    found: dict[str, dict[str, t.Any]] = yaml.safe_load(text)["kubelet"]
    return {field: data for field, data in found.items() if "needs" not in data}


def kubelet(configuration: dict[str, t.Any], **flags: str) -> dict[str, t.Any]:
    named = {name.replace("_", "-"): value for name, value in flags.items()}
    return {"configuration": configuration, "flags": named, "next_flags": named, "kubeadm_flags": []}


def told(kubelets: list[dict[str, t.Any]], text: str = HAD) -> dict[str, t.Any]:
    """What the ConfigMap says afterwards."""
    after, _controls = kubeletconfig.apply(text, bounded(settings(), kubelets), "it")
    again, _controls = kubeletconfig.apply(after, bounded(settings(), kubelets), "it")
    assert again == after
    return kubeletconfig.fields(after, "it")


OWNERS: dict[str, t.Any] = {
    "tlsMinVersion": "VersionTLS13",
    "podPidsLimit": 1024,
    "eventRecordQPS": 5,
    "streamingConnectionIdleTimeout": "30m0s",
    "tlsCipherSuites": [AES, CHACHA],
}


def test_what_all_have_stricter_is_told() -> None:
    said = told([kubelet(OWNERS)] * 3)
    assert {field: said[field] for field in OWNERS} == OWNERS


def test_what_an_earlier_run_told_follows_what_all_have_since() -> None:
    before = f"{HEADER}tlsMinVersion: VersionTLS12\npodPidsLimit: 4096\neventRecordQPS: 50\n"
    said = told([kubelet(OWNERS)] * 2, before)
    assert {field: said[field] for field in OWNERS} == OWNERS


def test_what_the_configmap_has_stricter_stays() -> None:
    said = told([kubelet(OWNERS)], f"{HEADER}podPidsLimit: 512\neventRecordQPS: 1\ntlsCipherSuites: [{AES}]\n")
    assert (said["podPidsLimit"], said["eventRecordQPS"], said["tlsCipherSuites"]) == (512, 1, [AES])


@pytest.mark.parametrize("unlimited", [-1, 0])
def test_a_limit_that_is_none_is_replaced_by_that_of_all(unlimited: int) -> None:
    assert told([kubelet(OWNERS)], f"{HEADER}podPidsLimit: {unlimited}\n")["podPidsLimit"] == 1024


def test_of_several_the_strictest_is_told_that_each_of_them_has() -> None:
    others = {**OWNERS, "podPidsLimit": 2048, "tlsMinVersion": "VersionTLS12", "tlsCipherSuites": [AES]}
    said = told([kubelet(OWNERS), kubelet(others)])
    assert (said["podPidsLimit"], said["tlsMinVersion"]) == (2048, "VersionTLS12")
    assert said["tlsCipherSuites"] == [AES, CHACHA]


def test_what_one_has_alone_is_told_to_nobody() -> None:
    assert told([kubelet(OWNERS), kubelet({})]) == told([kubelet({})]) == told([])
    assert told([kubelet({"podPidsLimit": 8192}), kubelet({})])["podPidsLimit"] == 4096


def test_flags_count_where_they_beat_the_file() -> None:
    flags = {"tls_min_version": "VersionTLS13", "pod_max_pids": "1024"}
    said = told([kubelet(OWNERS), kubelet({}, **flags)])
    assert (said["tlsMinVersion"], said["podPidsLimit"]) == ("VersionTLS13", 1024)
    # One that the run takes out does not: what the file says is in force then.
    assert told([kubelet(OWNERS, pod_max_pids="0", tls_cipher_suites=f"{AES},TLS_X")])["podPidsLimit"] == 1024
    assert told([kubelet(OWNERS, tls_cipher_suites=f"{AES},TLS_X")])["tlsCipherSuites"] == [AES]
    # What the run writes into kubeadm's own file is found there the next time, which must not change anything.
    of_kubeadm = {**kubelet({}, pod_max_pids="512"), "kubeadm_flags": ["pod-max-pids"]}
    assert told([of_kubeadm])["podPidsLimit"] == 4096


def test_what_falls_short_counts_as_what_the_run_makes_of_it() -> None:
    short = {"podPidsLimit": -1, "tlsMinVersion": "VersionTLS10", "tlsCipherSuites": [AES, "TLS_X"]}
    said = told([kubelet(short)])
    assert (said["podPidsLimit"], said["tlsMinVersion"], said["tlsCipherSuites"]) == (4096, "VersionTLS12", [AES])


def test_what_is_no_number_is_no_bound() -> None:
    assert told([kubelet({"podPidsLimit": "many", "eventRecordQPS": "1.5"})])["podPidsLimit"] == 4096


def kept(configuration: dict[str, t.Any], kubelets: list[dict[str, t.Any]], text: str = HAD) -> dict[str, t.Any]:
    """What stands in a node's own part afterwards."""
    said = remembered(text, bounded(settings(), kubelets), settings(), "it")
    own = unremembered(settings(), configuration, said)
    after, _controls = kubeletconfig.apply("a: b\n", own, "it", None)
    found = kubeletconfig.fields(after, "it")
    del found["a"]
    return found


def test_what_a_node_has_alone_is_kept_there() -> None:
    assert kept(OWNERS, [kubelet(OWNERS), kubelet({})]) == OWNERS


def test_what_the_configmap_says_is_kept_nowhere_else() -> None:
    assert kept(OWNERS, [kubelet(OWNERS)] * 2) == {}
    assert kept(OWNERS, [], f"{HEADER}{yaml.safe_dump(OWNERS)}") == {}
    assert kept({}, [kubelet({})]) == {}


def test_what_the_run_writes_itself_is_kept_nowhere_else() -> None:
    """Not where the ConfigMap is left without it either, as for a waiver of one host."""
    after, _controls = kubeletconfig.apply(HEADER, settings(), "it")
    said = remembered(HEADER, {}, settings(), "it")
    assert unremembered(settings(), kubeletconfig.fields(after, "it"), said) == {}


class OfAnsible(str):
    """As the controller has each text: of a kind of its own."""


class NumberOfAnsible(int):
    """The same of a number."""


def of_ansible(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {OfAnsible(key): of_ansible(one) for key, one in value.items()}
    if isinstance(value, list):
        return [of_ansible(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    return NumberOfAnsible(value) if isinstance(value, int) else OfAnsible(value)


def test_values_may_be_of_the_controllers_kinds() -> None:
    asked = bounded(settings(), [kubelet({})])
    said = remembered(HAD, asked, settings(), "it")
    tagged = bounded(of_ansible(settings()), [kubelet({})])
    assert remembered(OfAnsible(HAD), tagged, of_ansible(settings()), "it") == said


def test_the_other_name_of_a_suite_is_the_same() -> None:
    mine = [AES, f"{CHACHA}_SHA256"]
    assert kept({"tlsCipherSuites": mine}, [], f"{HEADER}tlsCipherSuites: [{AES}, {CHACHA}]\n") == {}
