# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's memory says what runs: of one control plane or several, without taking back what the owner set stricter."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import plan_cluster_configuration

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
API = "kube-apiserver"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"


def text(name: str) -> str:
    return (FIXTURES / name / "cluster-configuration.yaml").read_text(encoding="utf-8")


def setting(flag: str, values: t.Sequence[str], **data: t.Any) -> dict[str, t.Any]:
    return {"flag": flag, "data": {"control": f"control-of-{flag}", **data}, "values": list(values)}


def state(*settings: dict[str, t.Any], mounts: t.Sequence[dict[str, t.Any]] = (), component: str = API) -> t.Any:
    return {component: {"settings": list(settings), "mounts": list(mounts)}}


def arguments(document: str, component: str = "apiServer") -> dict[str, str]:
    content = yaml.safe_load(document)
    return {one["name"]: one["value"] for one in content[component].get("extraArgs", [])}


MOUNT = {"name": "ours", "path": "/etc/kubernetes/kubeharden", "read_only": True, "path_type": "Directory"}
FRESH = state(
    setting("audit-policy-file", [POLICY], keep=POLICY, mount="read_only"),
    setting("audit-log-maxage", ["30"], at_least=30, unlimited=0),
    mounts=[MOUNT],
)


@pytest.mark.parametrize("version", ["v1beta3", "v1beta4"])
def test_etcds_arguments_are_said_but_for_those_that_kubeadm_gives_it_of_itself(version: str) -> None:
    document = text("plain").replace("kubeadm.k8s.io/v1beta4", f"kubeadm.k8s.io/{version}")
    etcd = state(
        setting("client-cert-auth", ["true"], exact="true", kubeadm="true"),
        setting("cert-file", ["/own.crt"], keep="/etc/kubernetes/pki/etcd/server.crt", kubeadm="/etc/server.crt"),
        setting("tls-min-version", ["TLS1.3"], ordered_minimum="TLS1.2"),
        setting("auto-tls", [], exact="false", default="false"),
        component="etcd",
    )
    after, controls = plan_cluster_configuration(document, [etcd])
    local = yaml.safe_load(after)["etcd"]["local"]
    said = local["extraArgs"]
    pairs = {one["name"]: one["value"] for one in said} if version == "v1beta4" else said
    assert pairs == {"cert-file": "/own.crt", "tls-min-version": "TLS1.3"}
    assert local["dataDir"] == "/var/lib/etcd"
    assert controls == ["control-of-cert-file", "control-of-tls-min-version"]
    assert plan_cluster_configuration(after, [etcd]) == (after, [])


def test_what_the_config_map_says_of_etcd_is_corrected() -> None:
    document = text("plain").replace(
        "    dataDir: /var/lib/etcd",
        '    dataDir: /var/lib/etcd\n    extraArgs:\n    - name: client-cert-auth\n      value: "false"',
    )
    etcd = state(setting("client-cert-auth", ["true"], exact="true", kubeadm="true"), component="etcd")
    after, _controls = plan_cluster_configuration(document, [etcd])
    assert after == document.replace('value: "false"', 'value: "true"')


def test_a_fresh_cluster_gets_arguments_and_volumes() -> None:
    after, controls = plan_cluster_configuration(text("plain"), [FRESH])
    assert arguments(after) == {"audit-policy-file": POLICY, "audit-log-maxage": "30"}
    assert yaml.safe_load(after)["apiServer"]["extraVolumes"] == [
        {
            "hostPath": "/etc/kubernetes/kubeharden",
            "mountPath": "/etc/kubernetes/kubeharden",
            "name": "ours",
            "pathType": "Directory",
            "readOnly": True,
        }
    ]
    assert controls == ["control-of-audit-log-maxage", "control-of-audit-policy-file"]


@pytest.mark.parametrize("count", [1, 3])
def test_control_planes_that_are_alike_say_it_once(count: int) -> None:
    once, _controls = plan_cluster_configuration(text("plain"), [FRESH])
    assert plan_cluster_configuration(text("plain"), [FRESH] * count)[0] == once
    assert plan_cluster_configuration(once, [FRESH] * count) == (once, [])


@pytest.mark.parametrize(("first", "second"), [("30", "90"), ("90", "30"), ("90", "90")])
def test_of_several_control_planes_the_strictest_bound_holds(first: str, second: str) -> None:
    """What one owner set stricter on one host survives an upgrade there, and is no weaker elsewhere."""
    states = [state(setting("audit-log-maxage", [value], at_least=30, unlimited=0)) for value in (first, second)]
    after, _controls = plan_cluster_configuration(text("plain"), states)
    assert arguments(after) == {"audit-log-maxage": "90"}
    assert plan_cluster_configuration(after, states)[0] == after


def test_a_stricter_value_of_kubeadms_own_memory_stays() -> None:
    found = state(
        setting("audit-log-maxage", ["90"], at_least=30),
        setting("tls-min-version", ["VersionTLS13"], ordered_minimum="VersionTLS12"),
    )
    assert plan_cluster_configuration(text("past"), [found]) == (text("past"), [])


def test_lists_of_several_control_planes_are_joined() -> None:
    states = [
        state(setting("enable-admission-plugins", [value], contains=["NodeRestriction"]))
        for value in ("NodeRestriction,AlwaysPullImages", "NodeRestriction,EventRateLimit")
    ]
    after, _controls = plan_cluster_configuration(text("plain"), states)
    assert sorted(arguments(after)["enable-admission-plugins"].split(",")) == [
        "AlwaysPullImages",
        "EventRateLimit",
        "NodeRestriction",
    ]
    assert plan_cluster_configuration(after, states)[0] == after


def test_what_is_absent_on_the_hosts_goes_and_what_was_never_there_is_not_written() -> None:
    gone = state(setting("audit-log-path", [], absent=True), setting("request-timeout", [], at_most="5m", default="1m"))
    after, controls = plan_cluster_configuration(text("past"), [gone])
    assert "audit-log-path" not in arguments(after)
    assert "request-timeout" not in arguments(after)
    assert controls == ["control-of-audit-log-path"]


def test_other_components_have_their_own_place() -> None:
    found = state(setting("profiling", ["false"], exact="false"), component="kube-scheduler")
    after, _controls = plan_cluster_configuration(text("plain"), [found])
    assert arguments(after, "scheduler") == {"profiling": "false"}


def test_other_lines_stay_byte_for_byte() -> None:
    found = state(setting("profiling", ["false"], exact="false"))
    after, _controls = plan_cluster_configuration(text("past"), [found])
    lines = text("past").splitlines()
    assert [line for line in after.splitlines() if line not in lines] == ["  - name: profiling", '    value: "false"']
    assert len(after.splitlines()) == len(lines) + 2


def test_without_a_control_plane_nothing_is_said() -> None:
    assert plan_cluster_configuration(text("past"), []) == (text("past"), [])
