# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's memory says what runs: of one control plane or several, without taking back what the owner set stricter."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import (
    plan_cluster_configuration,
    unsaid,
    unusable,
)

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


def mount(flag: str, host_path: str | None, path: str | None = None, **more: t.Any) -> dict[str, t.Any]:
    found = {"flag": flag, "name": "own", "host_path": host_path, "path": path or host_path, "read_only": True}
    return {**found, "path_type": "Directory", **more}


MOUNT = mount("audit-policy-file", "/etc/kubernetes/kubeharden", name="ours")
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


# ---- what one configuration cannot say for all control planes


POLICY_FLAG = "audit-policy-file"


def with_policy(host_path: str | None, path: str, **more: t.Any) -> t.Any:
    """An owner's policy, mounted so."""
    file = path if path.endswith(".yaml") else f"{path}/policy.yaml"
    kept = setting(POLICY_FLAG, [file], keep=POLICY, mount="read_only")
    return state(kept, mounts=[mount(POLICY_FLAG, host_path, path, **more)])


def volumes(document: str, component: str = "apiServer") -> list[dict[str, t.Any]]:
    found: list[dict[str, t.Any]] = yaml.safe_load(document)[component].get("extraVolumes", [])
    return found


def is_said_as_it_was(document: str, states: list[t.Any], words: str) -> bool:
    """Nothing of it is written, and one sentence says why."""
    assert plan_cluster_configuration(document, states) == (document, [])
    (note,) = unsaid(document, states)
    return words in note and "kubeadm upgrade and join write what stands there" in note


@pytest.mark.parametrize("version", ["v1beta3", "v1beta4"])
@pytest.mark.parametrize(
    ("host_path", "path", "path_type"),
    [
        ("/etc/kubernetes/audit-policy.yaml", "/etc/kubernetes/audit-policy.yaml", "File"),
        ("/srv/policies", "/etc/kubernetes/policies", ""),
        ("/etc/kubernetes", "/etc/kubernetes", "DirectoryOrCreate"),
    ],
)
def test_an_owners_flag_comes_with_the_volume_that_its_file_is_seen_by(
    version: str, host_path: str, path: str, path_type: str
) -> None:
    document = text("plain").replace("kubeadm.k8s.io/v1beta4", f"kubeadm.k8s.io/{version}")
    states = [with_policy(host_path, path, path_type=path_type)] * 3
    after, _controls = plan_cluster_configuration(document, states)
    assert POLICY_FLAG in str(yaml.safe_load(after)["apiServer"]["extraArgs"])
    expected = {"hostPath": host_path, "mountPath": path, "name": "own", "pathType": path_type, "readOnly": True}
    assert volumes(after) == [{key: value for key, value in expected.items() if value != ""}]
    assert unsaid(document, states) == []
    assert plan_cluster_configuration(after, states) == (after, [])


@pytest.mark.parametrize(
    ("host_path", "path", "words"),
    [
        (None, "/var/policies", "its file is in volume own, which is none of the host's"),
        ("/srv/pki", "/etc/kubernetes/pki", "/srv/pki is mounted at /etc/kubernetes/pki, where kubeadm mounts"),
    ],
)
def test_a_flag_whose_file_kubeadm_would_not_mount_is_left_out_and_told(
    host_path: str | None, path: str, words: str
) -> None:
    assert is_said_as_it_was(text("plain"), [with_policy(host_path, path)], words)


def test_a_certificate_that_one_control_plane_lacks_is_named_for_none() -> None:
    """As where an authority outside has signed for one of them: the other would not start after an upgrade."""
    scheduler, flag = "kube-scheduler", "tls-cert-file"
    other = setting("profiling", ["false"], exact="false")
    having = state(
        setting(flag, ["/pki/s/server.crt"], exact="/pki/s/server.crt", mount="laid"), other, component=scheduler
    )
    lacking = state(other, component=scheduler)
    assert flag in arguments(plan_cluster_configuration(text("plain"), [having, having])[0], "scheduler")
    after, _controls = plan_cluster_configuration(text("plain"), [having, lacking])
    assert arguments(after, "scheduler") == {"profiling": "false"}
    (note,) = unsaid(text("plain"), [having, lacking])
    assert "since not every control plane has its file yet" in note


def test_one_place_of_the_container_is_one_place_of_every_host() -> None:
    states = [with_policy("/srv/a", "/policies"), with_policy("/srv/b", "/policies")]
    assert is_said_as_it_was(text("plain"), states, "/srv/a is mounted at /policies, and elsewhere /srv/b is")
    after, _controls = plan_cluster_configuration(text("plain"), states[:1])
    other = [state(setting(POLICY_FLAG, ["/policies/q.yaml"], keep=POLICY), mounts=states[1][API]["mounts"])]
    assert is_said_as_it_was(after, other, "/srv/b is mounted at /policies, and elsewhere /srv/a is")


@pytest.mark.parametrize(
    ("component", "path"),
    [
        (API, "/etc/kubernetes/pki"),
        (API, "/etc/ssl/certs"),
        (API, "/etc/pki/ca-trust"),
        (API, "/usr/local/share/ca-certificates"),
        ("kube-controller-manager", "/etc/kubernetes/pki"),
        ("kube-controller-manager", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"),
        ("kube-controller-manager", "/etc/kubernetes/controller-manager.conf"),
        ("kube-scheduler", "/etc/kubernetes/scheduler.conf"),
        ("etcd", "/etc/kubernetes/pki/etcd"),
        ("etcd", "/var/lib/etcd"),
    ],
)
def test_what_kubeadm_mounts_of_itself_is_not_said_again(component: str, path: str) -> None:
    """It would come under another name, and of two with one mountPath the kubelet refuses the pod."""
    found = state(setting("a-file", [f"{path}/x"], keep="/x"), mounts=[mount("a-file", path)], component=component)
    after, _controls = plan_cluster_configuration(text("plain"), [found])
    assert "a-file" in after
    assert "extraVolumes" not in after
    assert unsaid(text("plain"), [found]) == []


def test_the_places_that_the_configuration_names_are_kubeadms_own() -> None:
    document = text("plain").replace("certificatesDir: /etc/kubernetes/pki", "certificatesDir: /srv/pki/")
    for component, path in ((API, "/srv/pki"), ("etcd", "/srv/pki/etcd")):
        found = state(setting("a-file", [f"{path}/x"], keep="/x"), mounts=[mount("a-file", path)], component=component)
        assert "extraVolumes" not in plan_cluster_configuration(document, [found])[0]
    flexible = setting("flex-volume-plugin-dir", ["/srv/flex"], keep="/x")
    manager = state(
        flexible, mounts=[mount("flex-volume-plugin-dir", "/srv/flex")], component="kube-controller-manager"
    )
    assert "extraVolumes" not in plan_cluster_configuration(text("plain"), [manager])[0]


def test_a_volume_never_takes_the_place_of_one_of_kubeadms() -> None:
    after, _controls = plan_cluster_configuration(text("plain"), [with_policy("/srv/p", "/policies", name="k8s-certs")])
    assert [one["name"] for one in volumes(after)] == ["k8s-certs-2"]


def test_etcd_has_no_volumes_but_kubeadms() -> None:
    flag = "cert-file"
    found = state(setting(flag, ["/own/a.crt"], keep="/x"), mounts=[mount(flag, "/own")], component="etcd")
    assert is_said_as_it_was(text("plain"), [found], "kubeadm knows no extra volumes for etcd")


METRICS = "listen-metrics-urls"
LOOPBACK = "http://127.0.0.1:2381"


def etcds(*values: str, rule: str = "keep") -> list[t.Any]:
    data = {"keep": {"keep": LOOPBACK}, "exact": {"exact": LOOPBACK}}[rule]
    return [state(setting(METRICS, [value], **data, kubeadm=LOOPBACK), component="etcd") for value in values]


def test_the_address_of_one_host_reaches_no_other() -> None:
    """kubeadm would give it to every etcd, which cannot listen on it."""
    own = [f"{LOOPBACK},https://192.0.2.1{number}:2381" for number in range(3)]
    assert is_said_as_it_was(text("plain"), etcds(*own), "the control planes have different values of it (http://127")
    # A second control plane may join at any time.
    assert is_said_as_it_was(text("plain"), etcds(own[0]), f"{own[0]} is an address of one host")
    for value in ("192.0.2.11", "2001:db8::1", "https://[2001:db8::1]:2381"):
        manager = [state(setting("bind-address", [value], keep="127.0.0.1"), component="kube-controller-manager")]
        assert is_said_as_it_was(text("plain"), manager, f"{value} is an address of one host")


@pytest.mark.parametrize("value", ["http://127.0.0.1:2382", "http://[::1]:2381", "http://localhost:2381"])
def test_a_kept_value_that_all_of_them_have_is_said(value: str) -> None:
    after, _controls = plan_cluster_configuration(text("plain"), etcds(value, value))
    assert value in after
    assert unsaid(text("plain"), etcds(value, value)) == []


def test_what_some_keep_and_others_get_is_one_value() -> None:
    states = [*etcds(LOOPBACK), *etcds(LOOPBACK, rule="exact")]
    assert plan_cluster_configuration(text("plain"), states) == (text("plain"), [])
    assert unsaid(text("plain"), states) == []
    # The user's own flag may be another one on each host.
    wide = [state(setting("bind-address", [one], exact=one), component="kube-scheduler") for one in ("::", "0.0.0.0")]  # noqa: S104
    assert is_said_as_it_was(text("plain"), wide, "different values of it (0.0.0.0; ::)")


def test_what_would_not_start_without_a_flag_that_is_left_out_is_left_out_with_it() -> None:
    """EventRateLimit without its configuration ends kube-apiserver; so do --oidc-* flags that went to a file."""

    def one(name: str) -> t.Any:
        files = {"admission-control-config-file": f"/own/{name}.yaml", "authentication-config": f"/own/{name}.jwt"}
        settings = [setting(flag, [file], keep="/x") for flag, file in files.items()]
        gone = {"flag": "oidc-issuer-url", "data": settings[1]["data"] | {"absent": True}, "values": []}
        del gone["data"]["keep"]
        plugins = setting("enable-admission-plugins", ["NodeRestriction,EventRateLimit"], contains=["NodeRestriction"])
        return state(*settings, gone, plugins, setting("profiling", ["false"], exact="false"))

    document = text("past").replace(
        "  - name: tls-min", "  - name: oidc-issuer-url\n    value: https://a\n  - name: tls-min"
    )
    after, controls = plan_cluster_configuration(document, [one("a"), one("b")])
    assert controls == ["control-of-profiling"]
    assert arguments(after) == {**arguments(document), "profiling": "false"}
    # A later task of the run knows of plugins alone.
    later = [state(setting("enable-admission-plugins", ["EventRateLimit,AlwaysPullImages"], contains=["X"]))]
    assert plan_cluster_configuration(document, later, [one("a"), one("b")]) == (document, [])
    # It has been said, and what is said once is enough.
    assert len(unsaid(document, [one("a"), one("b")])) == 2
    assert unsaid(document, later, [one("a"), one("b")]) == []


KUBELET = {"kubelet-config": {"kubelet": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"}}


def kubeadms(document: str) -> dict[str, dict[str, str]]:
    return {"kubeadm-config": {"ClusterConfiguration": document}, **KUBELET}


def test_what_can_be_written_later_is_known_before_the_first_write() -> None:
    components = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    for folder in ("plain", "past"):
        assert unusable(kubeadms(text(folder)), components) == []
    # Of an etcd elsewhere kubeadm has no arguments, and nobody asks for them.
    external = re.sub(
        r"(?m)^etcd:\n(?:  .*\n)+", "etcd:\n  external:\n    endpoints: [https://192.0.2.9:2379]\n", text("plain")
    )
    assert "external" in external
    assert unusable(kubeadms(external), components[1:]) == []


@pytest.mark.parametrize(
    ("texts", "number", "words"),
    [
        (KUBELET, "KH126", "ConfigMap kube-system/kubeadm-config is missing"),
        ({"kubeadm-config": {"other": "x"}, **KUBELET}, "KH126", "kubeadm-config is missing"),
        (kubeadms("kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta5\n"), "KH116", "v1beta5"),
        (kubeadms("kind: [\n"), "KH113", "kubeadm-config"),
        (
            kubeadms(
                "kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\napiServer: {extraArgs: {a: b}}\n"
            ),
            "KH116",
            "extraArgs",
        ),
        (
            kubeadms("kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\napiServer: {extraVolumes: 1}\n"),
            "KH116",
            "extraVolumes",
        ),
    ],
)
def test_what_could_not_be_written_is_said_before(texts: dict[str, dict[str, str]], number: str, words: str) -> None:
    (said,) = unusable(texts, ["kube-apiserver"])
    assert said.startswith(f"{number}: ")
    assert words in said
    assert "Nothing was changed" in said


def test_both_config_maps_are_told() -> None:
    said = unusable({"kubelet-config": {"kubelet": "kind: Other\n"}}, ["kube-apiserver"])
    assert [one[:5] for one in said] == ["KH126", "KH115"]


@pytest.mark.parametrize("version", ["v1beta3", "v1beta4"])
def test_a_flag_that_is_given_several_times_is_said_so_where_that_can_be_said(version: str) -> None:
    document = text("plain").replace("kubeadm.k8s.io/v1beta4", f"kubeadm.k8s.io/{version}")
    given = ["https://b", "https://a"]
    states = [state(setting("service-account-issuer", given, exact=given))]
    after, _controls = plan_cluster_configuration(document, states)
    if version == "v1beta3":
        assert after == document
        (said,) = unsaid(document, states)
        assert "says a flag once, and it is given several times" in said
        return
    said_of_it = yaml.safe_load(after)["apiServer"]["extraArgs"]
    assert [one["value"] for one in said_of_it if one["name"] == "service-account-issuer"] == given
    assert plan_cluster_configuration(after, states)[0] == after
