# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts that take the cluster as a whole."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.kubeadm_flags import OF_ITSELF
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Verdict
from ansible_collections.kubeharden.core.plugins.module_utils.controls.cluster_checks import NODES_ALONE, Cluster
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
SEEDS = Path(__file__).parents[5] / "inventories" / "demo" / "hosts.orig"
#: Of an etcd that joined others.
STATE = "--initial-cluster-state=existing"
CONTROLS = {control.id: control for control in catalogue_files.load() if control.for_cluster}

KUBEADM = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.1
apiServer:
  extraArgs:
  - {name: profiling, value: "false"}
"""
KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}}
seccompDefault: true
syncFrequency: 0s
staticPodPath: /etc/kubernetes/manifests
"""


def host(name: str, *flags: str, **versions: str) -> Host:
    components: dict[str, t.Any] = {
        component.replace("_", "-"): {
            "running": True,
            "arguments": [component, *(flags if component == "kube_apiserver" else ())],
            "version": version,
        }
        for component, version in versions.items()
    }
    return Host(name, {"live": True, "components": components})


def verdict(control: str, evidence: dict[str, t.Any] | None, *hosts: Host, waivers: t.Sequence[str] = ()) -> Verdict:
    return judge_cluster(Cluster(evidence, "nobody was asked", hosts, waivers), CONTROLS[control])


#: What the API says where every node is a host of the run, and each has told more of its kubelet.
ALONE = {"kubelets": {"a": "1.37.9"}}
OWN = {
    "certificates-authorities",
    "etcd-patched",
    "kubeadm-drift",
    "kubelet-drift",
    "versions-skew",
    "versions-patched",
    "versions-supported",
    "waiver-expired",
}


@pytest.mark.parametrize("control", sorted(set(CONTROLS) - OWN))
def test_findings_of_the_api(control: str) -> None:
    check = CONTROLS[control].judge["check"]
    assert verdict(control, None) == Verdict("unknown", "nobody was asked")
    assert verdict(control, {"findings": {}}).status == "unknown"
    forbidden = {"findings": {check: {"findings": [], "problem": "HTTP 403"}}}
    assert verdict(control, forbidden) == Verdict("unknown", "HTTP 403")
    found = {"findings": {check: {"findings": ["one"], "problem": "", "looked_at": 3}}}
    assert verdict(control, found) == Verdict("fail", "one")
    found = {"findings": {check: {"findings": [], "problem": "", "looked_at": 3}}}
    assert verdict(control, found).status == "pass"


def test_a_kube_proxy_that_kubeadm_does_not_run_has_no_kubeconfig_to_judge() -> None:
    found = {"kube_proxy_kubeconfig": {"findings": [], "problem": "there is none", "absent": True}}
    assert verdict("kube-proxy-kubeconfig", {"findings": found}) == Verdict("not_applicable", "there is none")


@pytest.mark.parametrize(
    ("text", "flags", "status", "words"),
    [
        (KUBEADM, ["--profiling=false"], "pass", "1 processes"),
        (KUBEADM, ["--profiling=F"], "pass", "1 processes"),
        (KUBEADM, [], "fail", "cp1: kube-apiserver has nothing for --profiling, kubeadm-config false"),
        ("", [], "not_applicable", "there is no ConfigMap"),
        ("kind: Secret", [], "unknown", ""),
    ],
)
def test_what_kubeadm_remembers_and_what_runs(text: str, flags: list[str], status: str, words: str) -> None:
    said = verdict("kubeadm-drift", {"kubeadm_config": text}, host("cp1", *flags, kube_apiserver="1.37.1"))
    assert (said.status, words in said.evidence) == (status, True), said


def remembering(**values: str) -> str:
    """kubeadm's ConfigMap with a flag that stands there several times, as v1beta4 can say it."""
    given = [{"name": name.replace("_", "-"), "value": value} for name, one in values.items() for value in one.split()]
    return yaml.safe_dump({**yaml.safe_load(KUBEADM), "apiServer": {"extraArgs": given}})


ISSUER = "--service-account-issuer=https://"


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        # Each is one of several: with the one that goes the tokens go which it made.
        (remembering(service_account_issuer="https://b"), [f"{ISSUER}b", f"{ISSUER}a"], "has https://b,https://a for"),
        (
            remembering(service_account_issuer="https://b https://a"),
            [f"{ISSUER}b"],
            "kubeadm-config https://b,https://a",
        ),
        (remembering(service_account_issuer="https://b https://a"), [f"{ISSUER}b", f"{ISSUER}a"], ""),
        # The first one makes them.
        (remembering(service_account_issuer="https://a https://b"), [f"{ISSUER}b", f"{ISSUER}a"], "has https://b"),
        # Of one that has one value the last counts.
        (remembering(profiling="false"), ["--profiling=false", "--profiling=true"], "has true for --profiling"),
        (remembering(profiling="false"), ["--profiling=true", "--profiling=false"], ""),
        (remembering(profiling="true false"), ["--profiling=false"], ""),
        (remembering(profiling="false true"), ["--profiling=false"], "kubeadm-config true"),
        # A list is one, however often it stands.
        (remembering(api_audiences="a b"), ["--api-audiences=a,b"], ""),
        (remembering(api_audiences="a"), ["--api-audiences=a", "--api-audiences=b"], "has a,b for --api-audiences"),
        (remembering(api_audiences="a"), ["--api_audiences=a"], ""),
    ],
)
def test_a_flag_that_stands_several_times_is_compared_as_a_whole(text: str, flags: list[str], words: str) -> None:
    said = verdict("kubeadm-drift", {"kubeadm_config": text}, host("cp1", *flags, kube_apiserver="1.37.1"))
    assert (said.status, words in said.evidence) == ("fail" if words else "pass", True), said


def test_flags_that_the_next_upgrade_would_take_away() -> None:
    good = host("cp1", "--profiling=false", "--advertise_address=192.0.2.1", kube_apiserver="1.37.1")
    more = host("cp2", "--profiling=false", "--token-auth-file=/t.csv", "-v=4", kube_apiserver="1.37.1")
    found = verdict("kubeadm-drift", {"kubeadm_config": KUBEADM}, good, more)
    assert found == Verdict(
        "fail",
        "cp2: kube-apiserver has --token-auth-file, which kubeadm-config does not have; "
        "cp2: kube-apiserver has --v, which kubeadm-config does not have",
    )


@pytest.mark.parametrize(
    ("names", "waived", "words"),
    [
        (("good", "more"), {"kube-apiserver": ["token-auth-file", "v"]}, ""),
        # What the waiver is not about is found all the same.
        (("good", "more"), {"kube-apiserver": ["v"]}, "--token-auth-file"),
        (("good", "more"), {"kube-scheduler": ["token-auth-file", "v"]}, "--token-auth-file"),
        # Somebody has it who has it waived: then no waiver is why the ConfigMap has it not.
        (("more",), {"kube-apiserver": ["token-auth-file", "v"]}, "--token-auth-file"),
    ],
)
def test_of_a_setting_that_one_host_has_waived_the_configmap_of_all_says_nothing(
    names: tuple[str, ...], waived: dict[str, list[str]], words: str
) -> None:
    hosts = {
        "good": host("cp1", "--profiling=false", kube_apiserver="1.37.1"),
        "more": host("cp2", "--profiling=false", "--token-auth-file=/t.csv", "-v=4", kube_apiserver="1.37.1"),
    }
    cluster = Cluster({"kubeadm_config": KUBEADM}, "", [hosts[name] for name in names], waived_in_part=waived)
    found = judge_cluster(cluster, CONTROLS["kubeadm-drift"])
    assert found.status == ("fail" if words else "pass")
    assert words in found.evidence


@pytest.mark.parametrize("made", ["plain", "past"])
def test_what_kubeadm_itself_writes_is_no_drift(made: str) -> None:
    text = (FIXTURES / made / "cluster-configuration.yaml").read_text(encoding="utf-8")
    components = {}
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        pod = yaml.safe_load((FIXTURES / made / f"{component}.yaml").read_text(encoding="utf-8"))
        version = "3.7.0" if component == "etcd" else "1.37.1"
        arguments = pod["spec"]["containers"][0]["command"]
        components[component] = {"running": True, "arguments": arguments, "version": version}
    joined = {**components, "etcd": {**components["etcd"], "arguments": [*components["etcd"]["arguments"], STATE]}}
    hosts = [Host(name, {"live": True, "components": one}) for name, one in (("cp1", components), ("cp2", joined))]
    assert verdict("kubeadm-drift", {"kubeadm_config": text}, *hosts) == Verdict(
        "pass", "8 processes have the flags of kubeadm-config"
    )


def test_an_etcd_that_is_not_kubeadms_is_no_drift() -> None:
    """On a host of its own, whatever kubeadm remembers of its own ones, or beside an API server where it has none."""
    plane = host("cp1", "--profiling=false", kube_apiserver="1.37.1")
    own = Host("e1", {"live": True, "components": {"etcd": {**plane.components["kube-apiserver"], "version": "3.6.5"}}})
    assert verdict("kubeadm-drift", {"kubeadm_config": KUBEADM}, plane, own).status == "pass"
    beside = {**plane.components, "etcd": {"running": True, "arguments": ["etcd", "--x=y"], "version": "3.6.5"}}
    external = f"{KUBEADM}etcd: {{external: {{endpoints: [https://192.0.2.9:2379]}}}}\n"
    both = Host("cp1", {"live": True, "components": beside})
    assert verdict("kubeadm-drift", {"kubeadm_config": external}, both).status == "pass"
    assert verdict("kubeadm-drift", {"kubeadm_config": KUBEADM}, both).status == "fail"


@pytest.mark.parametrize("name", ["cp1", "cp2", "cp3"])
def test_what_kubeadm_wrote_on_the_hosts_of_the_demo_is_known(name: str) -> None:
    for component, known in OF_ITSELF.items():
        pod = yaml.safe_load((SEEDS / name / f"etc/kubernetes/manifests/{component}.yaml").read_text(encoding="utf-8"))
        words = pod["spec"]["containers"][0]["command"][1:]
        assert {word[2:].partition("=")[0] for word in words} <= known


def test_what_kubeadm_remembers_is_unknown_without_a_process() -> None:
    assert verdict("kubeadm-drift", {"kubeadm_config": KUBEADM}).status == "unknown"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seccompDefault": True, "syncFrequency": "1m0s", "staticPodPath": "/etc/kubernetes/manifests"}, ""),
        ({"staticPodPath": "/etc/kubernetes/manifests"}, "w1: seccompDefault"),
        (
            {"seccompDefault": True, "staticPodPath": "/else", "authentication": {"anonymous": {"enabled": True}}},
            "w1: authentication.anonymous.enabled, staticPodPath",
        ),
    ],
)
def test_what_kubelets_run_and_what_kubeadm_remembers(fields: dict[str, t.Any], words: str) -> None:
    said = verdict("kubelet-drift", {"kubelet_config": KUBELET, "configz": {"w1": {"configuration": fields}}})
    assert said.status == ("fail" if words else "pass"), said
    assert words in said.evidence
    assert verdict("kubelet-drift", {"kubelet_config": KUBELET, "configz": {}}).status == "unknown"
    silent = {"w1": {"configuration": fields}, "w2": {"problem": "HTTP 503"}}
    said = verdict("kubelet-drift", {"kubelet_config": KUBELET, "configz": silent})
    assert said.status == ("fail" if words else "unknown"), said


@pytest.mark.parametrize(
    ("remembered", "fields", "words"),
    [
        # A zero that means itself.
        ({"readOnlyPort": 0}, {"readOnlyPort": 10255}, "readOnlyPort"),
        ({"readOnlyPort": 0}, {"maxPods": 110}, ""),
        ({"podPidsLimit": 0}, {"podPidsLimit": 4096}, "podPidsLimit"),
        ({"systemReserved": {"cpu": "0"}}, {"systemReserved": {"cpu": "1"}}, "systemReserved.cpu"),
        # One that is not written at all, though the kubelet has it: the next upgrade would take it away.
        ({"maxPods": 110}, {"maxPods": 110, "readOnlyPort": 10255}, "readOnlyPort"),
        ({"maxPods": 110}, {"maxPods": 110, "authorization": {"mode": "AlwaysAllow"}}, "authorization.mode"),
        # Who is stricter than what is written may be so alone, by a waiver of others.
        ({"maxPods": 110}, {"maxPods": 110, "podPidsLimit": 4096, "readOnlyPort": 0}, ""),
        # One that means the default, which the kubelet says it has.
        ({"maxPods": 0}, {"maxPods": 110}, ""),
        ({"maxPods": 0}, {"maxPods": 500}, "maxPods"),
        ({"syncFrequency": "0s"}, {"syncFrequency": "1m0s"}, ""),
        # This one follows nodeStatusUpdateFrequency.
        ({"nodeStatusReportFrequency": "0s"}, {"nodeStatusReportFrequency": "20s"}, ""),
        # No time at all is its default.
        ({"shutdownGracePeriod": "0s"}, {"shutdownGracePeriod": "30s"}, "shutdownGracePeriod"),
        # What is not read of the answer is not compared.
        ({"logging": {"verbosity": 2}}, {"maxPods": 110}, ""),
        ({"seccompDefault": False}, {"seccompDefault": True}, "seccompDefault"),
    ],
)
def test_a_zero_in_the_configmap_hides_nothing_but_a_default(
    remembered: dict[str, t.Any], fields: dict[str, t.Any], words: str
) -> None:
    answers = {"w1": {"configuration": fields}}
    said = verdict("kubelet-drift", {"kubelet_config": yaml.safe_dump(remembered), "configz": answers})
    assert (said.status, words in said.evidence) == ("fail" if words else "pass", True), said


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ([host("a", kube_apiserver="1.37.1", kubelet="1.34.0"), host("b", kube_apiserver="1.36.0")], "pass"),
        ([host("a", kube_apiserver="1.37.1"), host("b", kube_apiserver="1.35.0")], "fail"),
        ([host("a", kube_apiserver="1.36.1", kubelet="1.37.0")], "fail"),
        ([host("a", kube_apiserver="1.37.1", kubelet="1.33.0")], "fail"),
        ([host("a", kube_apiserver="1.37.1", kube_scheduler="1.35.0")], "fail"),
        ([host("w", kubelet="1.37.1")], "unknown"),
    ],
)
def test_version_skew(hosts: list[Host], status: str) -> None:
    assert verdict("versions-skew", ALONE, *hosts).status == status


VERSIONS = ("versions-patched", "versions-skew", "versions-supported")


@pytest.mark.parametrize("control", VERSIONS)
def test_a_node_that_is_no_host_of_the_run_is_judged_by_what_the_api_knows_of_it(control: str) -> None:
    plane = host("a", kube_apiserver="1.37.9", kubelet="1.37.9")

    def said(**kubelets: str) -> Verdict:
        return verdict(control, {"kubelets": {"a": "1.30.0", **kubelets}}, plane)

    assert said().status == "pass"  # what the host itself says counts
    assert said(w="1.37.9").status == "pass"
    old = said(w="1.33.0" if control == "versions-skew" else "1.34.0" if control == "versions-supported" else "1.37.0")
    assert (old.status, "w: kubelet 1.3" in old.evidence) == ("fail", True), old
    assert said(w="") == Verdict("unknown", "not every version was seen: w (kubelet)")


@pytest.mark.parametrize("control", VERSIONS)
def test_versions_are_no_pass_where_nobody_says_which_nodes_there_are(control: str) -> None:
    seen = [host("a", kube_apiserver="1.37.9", kubelet="1.37.9")]
    words = "not every version was seen: of nodes that are no host of this run"
    refused = {"kubelets": {}, "problems": {"nodes": "HTTP 403"}}
    assert verdict(control, refused, *seen) == Verdict("unknown", f"{words} (HTTP 403)")
    assert verdict(control, {}, *seen) == Verdict("unknown", f"{words} (the API server named no node)")
    assert verdict(control, None, *seen) == Verdict("unknown", f"{words} (nobody was asked)")
    # Where somebody else keeps the control plane and nobody is to be asked, the hosts are all that is judged.
    alone = judge_cluster(Cluster(None, NODES_ALONE, seen, nodes_alone=True), CONTROLS[control])
    assert alone.status == "pass"
    directory = Host("a", {**seen[0].evidence, "live": False})
    assert verdict(control, None, directory).status == "pass"


@pytest.mark.parametrize("control", VERSIONS)
def test_a_host_that_was_not_seen_is_found_by_its_node_but_never_passes_by_it(control: str) -> None:
    plane, lost = host("a", kube_apiserver="1.37.9"), Host("w", None, "it hangs")
    assert verdict(control, {"kubelets": {"w": "1.37.9"}}, plane, lost).status == "unknown"
    assert verdict(control, {"kubelets": {"w": "1.33.0"}}, plane, lost).evidence.startswith("w: kubelet 1.33.0") is (
        control != "versions-patched"
    )


@pytest.mark.parametrize("control", VERSIONS)
def test_versions_that_were_seen_in_part_are_no_pass(control: str) -> None:
    seen = host("a", kube_apiserver="1.37.9")
    assert verdict(control, ALONE, seen, host("w", kubelet="1.37.9")).status == "pass"
    assert verdict(control, ALONE, seen, host("w", kubelet="")) == Verdict(
        "unknown", "not every version was seen: w (kubelet)"
    )
    assert verdict(control, ALONE, seen, Host("w", None, "it hangs")) == Verdict(
        "unknown", "not every version was seen: w"
    )


def test_the_version_of_kube_proxy_is_what_its_pods_say() -> None:
    one = host("a", kube_apiserver="1.37.1", kubelet="1.37.1", kube_proxy="")
    assert verdict("versions-skew", ALONE, one).status == "unknown"
    assert verdict("versions-skew", {**ALONE, "kube_proxy": {"a": ""}}, one).status == "unknown"
    assert verdict("versions-skew", {**ALONE, "kube_proxy": {"a": "1.36.2"}}, one).status == "pass"
    assert verdict("versions-skew", {**ALONE, "kube_proxy": {"a": "1.33.2"}}, one).status == "fail"
    assert verdict("versions-supported", {**ALONE, "kube_proxy": {"a": "1.33.2"}}, one).status == "fail"


def test_versions_out_of_support_are_named() -> None:
    said = verdict(
        "versions-supported", ALONE, host("a", kube_apiserver="1.37.1"), host("w", kubelet="1.34.4", etcd="3.5.1")
    )
    mended = "1.35 to 1.37, and of etcd 3.6 to 3.7, are mended as of 2026-11-24"
    assert said == Verdict("fail", f"w: kubelet 1.34.4; w: etcd 3.5.1; {mended}")
    assert verdict("versions-supported", ALONE, host("a", kube_apiserver="1.37.1", etcd="3.6.5-0")) == Verdict(
        "pass", mended
    )  # fmt: skip
    assert verdict("versions-supported", {}).status == "unknown"


def test_an_etcd_that_does_not_say_its_version_is_no_pass() -> None:
    silent = host("a", kube_apiserver="1.37.9", etcd="")
    assert verdict("versions-supported", ALONE, silent) == Verdict("unknown", "not every version was seen: a (etcd)")
    assert verdict("versions-skew", ALONE, silent).status == verdict("versions-patched", ALONE, silent).status == "pass"
    assert verdict("etcd-patched", {}, silent) == Verdict("unknown", "no component's version was seen")
    other = host("b", etcd="3.7.3-0")
    assert verdict("etcd-patched", {}, other, silent) == Verdict("unknown", "not every version was seen: a")
    lost = Host("w", None, "it hangs")
    assert verdict("etcd-patched", {}, other, lost) == Verdict("unknown", "not every version was seen: w")
    assert verdict("etcd-patched", {}, lost).status == "unknown"
    assert verdict("etcd-patched", {}, host("w", kubelet="1.37.9")).status == "not_applicable"


@pytest.mark.parametrize(
    ("version", "status", "words"),
    [
        ("3.7.3-0", "pass", ""),
        ("3.7.0-0", "fail", "a: etcd 3.7.0-0, the newest is 3.7.3"),
        ("3.5.35", "unknown", "no patch of a: etcd 3.5.35"),
    ],
)
def test_patches_of_etcd(version: str, status: str, words: str) -> None:
    seen = host("a", kube_apiserver="1.37.9", etcd=version)
    said = verdict("etcd-patched", {}, seen)
    assert (said.status, words in said.evidence) == (status, True), said
    # kubeadm chooses it: of Kubernetes' own patches it says nothing.
    assert verdict("versions-patched", ALONE, seen) == Verdict(
        "pass", "none is behind 1.37.2; by the list of 2026-11-24"
    )


@pytest.mark.parametrize(
    ("newest", "kubernetes", "etcd"),
    [
        ({"3.7": "3.7.4"}, "the list of 2026-11-24", "kubeharden_newest_versions"),
        ({"1.37": "1.37.1"}, "kubeharden_newest_versions", "the list of 2026-11-24"),
    ],
)
def test_a_list_of_ones_own_counts_for_what_it_names(newest: dict[str, str], kubernetes: str, etcd: str) -> None:
    cluster = Cluster(ALONE, "", [host("a", kube_apiserver="1.37.9", etcd="3.7.4-0")], (), newest)
    for control, source in (("versions-patched", kubernetes), ("etcd-patched", etcd)):
        said = judge_cluster(cluster, CONTROLS[control])
        assert (said.status, said.evidence.rpartition("; ")[2]) == ("pass", f"by {source}")
    older = Cluster(ALONE, "", [host("a", etcd="3.7.3-0")], (), newest)
    assert judge_cluster(older, CONTROLS["etcd-patched"]).status == ("fail" if "3.7" in newest else "pass")


def test_what_kubeadm_chose_is_explained_and_its_remedy_does_not_last_beyond_the_next_upgrade() -> None:
    control = CONTROLS["etcd-patched"]
    assert not control.is_enforced_by("baseline")
    assert not control.is_enforced_by("cis")
    assert "must take that out again before the next kubeadm upgrade" in control.remedy


@pytest.mark.parametrize(
    ("version", "newest", "status", "words"),
    [
        ("1.37.2", {}, "pass", "by the list of 2026-11-24"),
        ("1.37.1", {}, "fail", "a: kube-apiserver 1.37.1, the newest is 1.37.2"),
        ("1.37.10", {}, "pass", ""),
        ("1.37.2", {"1.37": "1.37.4"}, "fail", "by kubeharden_newest_versions"),
        ("1.37.1-vendor.3", {"1.37": "1.37.1"}, "pass", ""),
        ("1.34.1", {}, "unknown", "a: kube-apiserver 1.34.1; kubeharden_newest_versions may say"),
        (
            "1.38.0",
            {"1.37": "1.37.4"},
            "unknown",
            "kubeharden_newest_versions has no patch of a: kube-apiserver 1.38.0",
        ),
        ("1.38.0", {"1.38": "1.38.0"}, "pass", "none is behind 1.37.2, 1.38.0"),
    ],
)
def test_patches(version: str, newest: dict[str, str], status: str, words: str) -> None:
    cluster = Cluster(ALONE, "", [host("a", kube_apiserver=version)], (), newest)
    said = judge_cluster(cluster, CONTROLS["versions-patched"])
    assert (said.status, words in said.evidence) == (status, True), said
    assert verdict("versions-patched", {}).status == "unknown"


def test_the_list_that_ships_has_every_minor_version_that_is_mended() -> None:
    newest = versions.version_of(str(CONTROLS["versions-supported"].judge["newest"]))
    supported = {f"{newest[0]}.{newest[1] - older}" for older in range(3)}
    assert supported == set(CONTROLS["versions-patched"].judge["newest"])
    of_etcd = {versions.shown(minor) for minor in versions.known_versions("etcd")[-2:]}
    assert of_etcd == set(CONTROLS["etcd-patched"].judge["newest"])
    assert versions.shown(newest) == versions.shown(versions.known_versions("kubernetes")[-1])


def test_an_expired_waiver_is_a_finding() -> None:
    assert verdict("waiver-expired", None).status == "pass"
    assert verdict("waiver-expired", None, waivers=["the waiver of a ended"]).status == "fail"
