# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.plugin_utils.version_check import (
    check,
    check_extra,
    check_kubelet,
    check_plugins,
    refusal,
    unknown_to_kubelet,
    warnings_of,
    warnings_of_kubelet,
    with_kubelet,
)
from ansible_collections.kubeharden.core.tests.unit.plugins import templates
from tools.checkout import ROOT

MINORS = [versions.shown(one) for one in versions.known_versions("kubernetes")]


def host(version: str = "1.37.1", etcd: str = "3.7.0", **flags: str) -> dict[str, Any]:
    """What discovery says of a control plane with these flags of kube-apiserver."""
    found = {name.replace("_", "-"): value for name, value in flags.items()}
    return {
        "etcd": {"version": etcd, "flags": {"data-dir": "/var/lib/etcd"}},
        "kube-apiserver": {"version": version, "flags": {"authorization-mode": "Node,RBAC", **found}},
    }


def apiserver(**settings: Any) -> dict[str, Any]:
    return {"kube-apiserver": {name.replace("_", "-"): value for name, value in settings.items()}}


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("profile", ["baseline", "cis"])
@pytest.mark.parametrize("component", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_every_version_knows_what_the_templates_write(component: str, profile: str, minor: str) -> None:
    wanted = templates.flags(component, kubeharden_profile=profile, minor=int(minor.split(".")[1]), control_planes=3)
    seen = {component: {"version": f"{minor}.0", "flags": {}}}
    assert wanted
    assert check(seen, {component: wanted}).problems == []


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_every_version_knows_the_fields_of_what_the_templates_write(profile: str, minor: str) -> None:
    written = templates.contents(kubeharden_profile=profile, minor=int(minor.split(".")[1]))
    for flag in ("admission-control-config-file", "authentication-config"):
        document = yaml.safe_load(written[flag])
        assert versions.judge_document(versions.Table.load(minor), document, flag) == []


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("profile", ["baseline", "cis"])
def test_every_version_knows_the_fields_of_the_kubelet_that_the_template_writes(profile: str, minor: str) -> None:
    text = templates.render(
        "kubelet/configuration.yaml.j2",
        kubeharden_profile=profile,
        minor=int(minor.split(".")[1]),
        approver=True,
        oldest_kubelet=int(minor.split(".")[1]),
        kubelet_pki="/var/lib/kubelet/pki",
    )
    paths = [path for name, concern in yaml.safe_load(text).items() if name != "notes" for path in concern]
    table = versions.Table.load(minor)
    fields = table.fields("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
    assert fields is not None
    gates = {f"featureGates.{name}" for name in table.gates("kubelet")}
    assert set(paths) <= {*fields, *gates}


def test_nothing_wanted_and_nothing_wrong() -> None:
    found = check(host(), {})
    assert found.problems == []
    assert found.warnings == []


def test_all_problems_come_at_once() -> None:
    wanted = apiserver(
        audit_log_maxagee={"exact": "30"},
        request_timeout={"exact": "30"},
        enable_admission_plugins={"exact": "NodeRestriction,PodSecurityPolicy"},
    )
    assert check(host(), wanted).problems == [
        "kube-apiserver 1.37.1 has no flag --audit-log-maxagee; the nearest that it has is --audit-log-maxage.",
        "kube-apiserver 1.37.1: --request-timeout=30 is not a duration such as 1h30m or 45s.",
        (
            "kube-apiserver 1.37.1 has no admission plugin PodSecurityPolicy (--enable-admission-plugins); "
            "the nearest that it has is PodSecurity."
        ),
    ]


def test_a_cipher_suite_that_only_the_component_refuses_passes() -> None:
    wanted = apiserver(tls_cipher_suites={"exact": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"})
    assert check(host(), wanted).problems == []


@pytest.mark.parametrize(
    "setting",
    [
        {"absent": True},
        {"keep": "x", "default": "x"},
        {"exact": "false", "default": "false", "kind": "bool"},
    ],
)
def test_what_is_not_written_is_not_judged(setting: dict[str, Any]) -> None:
    assert check(host(), apiserver(no_such_flag=setting)).problems == []


def test_what_the_owner_has_already_is_not_judged() -> None:
    assert check(host(no_such_flag="x"), apiserver(no_such_flag={"keep": "y"})).problems == []


def test_contradictions_are_looked_for_in_what_will_be() -> None:
    wanted = apiserver(authentication_config={"keep": "/etc/kubernetes/kubeharden/authentication.yaml"})
    assert check(host(oidc_issuer_url="https://issuer.example"), wanted).problems == [
        "kube-apiserver 1.37.1 does not start with --authentication-config beside --oidc-issuer-url."
    ]


def test_a_flag_that_is_removed_contradicts_nothing() -> None:
    wanted = apiserver(
        authorization_config={"keep": "/etc/kubernetes/authorization.yaml"}, authorization_mode={"absent": True}
    )
    assert check(host(), wanted).problems == []


def test_flags_that_the_next_minor_drops_are_warned_of() -> None:
    found = check(host("1.36.3", "3.6.8", feature_gates="AnyVolumeDataSource=true"), {})
    assert found.problems == []
    assert found.warnings == [
        (
            "kube-apiserver 1.37 has no feature gate AnyVolumeDataSource any more; take it out before the upgrade, or "
            "it will not start."
        )
    ]


def test_a_newer_version_is_looked_up_in_the_nearest_table_with_a_warning() -> None:
    found = check(host("1.38.0"), apiserver(profiling={"exact": "false"}))
    assert found.problems == []
    assert found.warnings == [
        "kube-apiserver 1.38.0 is not known yet; what it accepts was looked up for 1.37, the nearest version that is."
    ]


def test_an_older_version_than_every_one_is_refused() -> None:
    (problem,) = check(host("1.32.9", "3.5.24"), {}).problems
    assert problem.startswith("kube-apiserver is 1.32.9, and 1.33 is the oldest version that Kubeharden changes: ")


def test_the_users_own_flags() -> None:
    extra = {"kube-apiserver": {"audit_log_maxagee": 30, "profiling": False, "v": 2}, "kube-scheduler": {"x": 1}}
    assert check_extra(host(), extra) == [
        "kube-apiserver 1.37.1 has no flag --audit-log-maxagee; the nearest that it has is --audit-log-maxage."
    ]
    assert check_extra(host(), {}) == []


@pytest.mark.parametrize(
    ("version", "fields", "found"),
    [
        ("1.37.1", {"maxPods": 110}, []),
        ("1.37.1", {"maxPods": "many"}, ['maxPods must be a whole number, and is "many".']),
        # A kubelet that does not run says no version, and is a trouble of its own.
        ("", {"maxPods": "many"}, []),
    ],
)
def test_a_kubelets_configuration_at_which_it_would_end(version: str, fields: dict[str, Any], found: list[str]) -> None:
    kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    path = "/var/lib/kubelet/config.yaml"
    kubelet = {"version": version, "configuration": {**kind, **fields}, "configuration_file": path}
    where = f"The kubelet's configuration ({path} and its drop-ins): "
    assert check_kubelet({"kubelet": kubelet}) == [where + sentence for sentence in found]


@pytest.mark.parametrize(
    ("version", "fields", "found"),
    [
        ("1.37.1", {"maxPods": 110, "shutdownGracePeriod": "30s"}, []),
        (
            "1.37.1",
            {"protectKernelDefault": True, "maxPods": "many", "authentication": {"anonymus": {}}},
            [
                "has no field protectKernelDefault; the nearest that it has is protectKernelDefaults.",
                "has no field authentication.anonymus; the nearest that it has is anonymous.",
            ],
        ),
        # A newer one may know it.
        ("1.38.0", {"protectKernelDefault": True}, []),
        ("", {"protectKernelDefault": True}, []),
    ],
)
def test_a_field_that_the_kubelet_passes_over(version: str, fields: dict[str, Any], found: list[str]) -> None:
    kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    path = "/var/lib/kubelet/config.yaml"
    kubelet = {"version": version, "configuration": {**kind, **fields}, "configuration_file": path}
    where = f"The kubelet's configuration ({path} and its drop-ins): "
    where += f"version {versions.choose('kubelet', '1.37.1')[0].release} "
    end = " The kubelet passes over it; correct or remove it."
    assert unknown_to_kubelet({"kubelet": kubelet}) == [where + sentence + end for sentence in found]


IMAGE = "pod-infra-container-image"
GONE = "any more; take it out before the upgrade, or it will not start."


@pytest.mark.parametrize(
    ("version", "flags", "kubeadms", "gates", "found"),
    [
        ("1.36.3", {"boot-id-file": "/x", "v": "2"}, [], {}, [f"kubelet 1.37 has no flag --boot-id-file {GONE}"]),
        ("1.37.1", {"v": "2"}, [], {}, []),
        # kubeadm writes it, and takes it out itself; what somebody else says stays where it is.
        ("1.34.4", {IMAGE: "pause"}, [IMAGE], {}, []),
        ("1.34.4", {IMAGE: "pause"}, [], {}, [f"kubelet 1.35 has no flag --{IMAGE} {GONE}"]),
        (
            "1.36.3",
            {},
            [],
            {"AnyVolumeDataSource": True},
            [f"kubelet 1.37 has no feature gate AnyVolumeDataSource {GONE}"],
        ),
        (
            "1.36.3",
            {"feature-gates": "AnyVolumeDataSource=true"},
            [],
            {},
            [f"kubelet 1.37 has no feature gate AnyVolumeDataSource {GONE}"],
        ),
        (
            "1.38.0",
            {},
            [],
            {},
            ["kubelet 1.38.0 is not known yet; what it accepts was looked up for 1.37, the nearest version that is."],
        ),
        (None, {"boot-id-file": "/x"}, [], {}, []),
    ],
)
def test_what_the_next_minor_of_a_kubelet_drops_is_warned_of(
    version: str | None, flags: dict[str, str], kubeadms: list[str], gates: dict[str, bool], found: list[str]
) -> None:
    kubelet = {
        "version": version,
        "flags": flags,
        "kubeadm_flags": kubeadms,
        "configuration": {"featureGates": gates} if gates else {},
    }
    assert warnings_of_kubelet(kubelet, {}) == found


def test_what_the_user_is_about_to_give_a_kubelet_is_warned_of_too() -> None:
    kubelet = {"version": "1.36.3", "flags": {}, "kubeadm_flags": [], "configuration": {}}
    assert warnings_of_kubelet(kubelet, {"boot-id-file": "/x"}) == [f"kubelet 1.37 has no flag --boot-id-file {GONE}"]


def test_what_the_next_minor_of_kube_proxy_drops_is_warned_of() -> None:
    found = warnings_of(
        "kube-proxy", "1.36.3", {"machine-id-file": "/x"}, {"featureGates": {"AnyVolumeDataSource": False}}
    )
    assert found == [
        f"kube-proxy 1.37 has no flag --machine-id-file {GONE}",
        f"kube-proxy 1.37 has no feature gate AnyVolumeDataSource {GONE}",
    ]


@pytest.mark.parametrize("minor", MINORS)
def test_what_kubeadm_writes_is_no_reason_to_refuse(minor: str) -> None:
    """The demo's configurations are those of a real cluster."""
    paths = sorted((ROOT / "inventories/demo/hosts.orig").glob("*/var/lib/kubelet/config.yaml"))
    assert len(paths) == 5
    for path in paths:
        configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
        kubelet = {"version": f"{minor}.0", "configuration": configuration, "configuration_file": str(path)}
        assert check_kubelet({"kubelet": kubelet}) == []
        assert unknown_to_kubelet({"kubelet": kubelet}) == []


def test_a_refusal_says_everything_and_that_nothing_was_changed() -> None:
    result = refusal("KH008", ["One.", "Two."], "cp1")
    assert result["failed"] is True
    assert result["msg"].startswith("KH008: One. Two. Nothing was changed on cp1; correct the variable")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "PodNodeSelector", "files": ["/x"]}, None),
        ({"name": "PodNodeSelector", "configuration": {"anything": 1}}, None),
        (
            {"name": "PodNodeSelektor"},
            "has no admission plugin PodNodeSelektor; the nearest that it has is PodNodeSelector",
        ),
        (
            {
                "name": "EventRateLimit",
                "configuration": {
                    "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                    "kind": "Configuration",
                    "limit": [],
                },
            },
            "has no field limit",
        ),
    ],
)
def test_the_users_own_plugins(entry: dict[str, Any], words: str | None) -> None:
    found = check_plugins(host(), [entry])
    assert len(found) == (words is not None), found
    assert words is None or words in found[0]
    assert check_plugins({}, [entry]) == []
    assert check_plugins(host(), []) == []


@pytest.mark.parametrize(("api", "problems"), [({"version": "1.37.1"}, 1), ({"version": ""}, 0), (None, 0)])
def test_flags_of_kube_proxy_are_checked_on_a_node_that_speaks_with_the_api(api: Any, problems: int) -> None:
    discovery = {"kubelet": {"version": "1.37.1"}, "components": {}, "api": api}
    found = check_extra(with_kubelet(discovery), {"kube-proxy": {"conntrack-min": "x"}})
    assert len(found) == problems
