# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts from evidence: what is in force counts, and what cannot be seen is never a pass."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Control, Verdict
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host, default_items
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.controls.kubelet_fields import FLAGS
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import keys_of
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files

CONTROLS = {control.id: control for control in catalogue_files.load()}


def running(name: str, *flags: str, version: str = "1.37.1") -> dict[str, t.Any]:
    """A component's part of the evidence."""
    return {"running": True, "arguments": [f"/usr/bin/{name}", *flags], "version": version, "manifest": ""}


def host(*, configz: dict[str, t.Any] | None = None, live: bool = True, **evidence: t.Any) -> Host:
    return Host("cp1", {"schema": 1, "live": live, "privileged": True, **evidence}, configz=configz)


def apiserver(*flags: str, version: str = "1.37.1", **evidence: t.Any) -> Host:
    return host(components={"kube-apiserver": running("kube-apiserver", *flags, version=version)}, **evidence)


def verdict(control: str, seen: Host) -> Verdict:
    return judge_host(seen, CONTROLS[control])


@pytest.mark.parametrize(
    ("control", "flags", "version", "status", "words"),
    [
        ("apiserver-profiling", [], "1.37.1", "fail", "is absent, so it is true, the default of 1.37.1"),
        ("apiserver-profiling", ["--profiling=false"], "1.37.1", "pass", "the process has --profiling=false"),
        ("apiserver-profiling", ["--profiling=false", "--profiling"], "1.37.1", "fail", "should be false"),
        # The default of this very version counts.
        ("apiserver-audit-log-maxage", [], "1.37.1", "pass", "so it is 366"),
        ("apiserver-audit-log-maxage", ["--audit-log-maxage=7"], "1.37.1", "fail", "at least 30"),
        ("apiserver-audit-log-maxsize", [], "1.34.4", "pass", "which is 100 MB"),
        ("apiserver-audit-log-maxsize", ["--audit-log-maxsize=0"], "1.36.2", "fail", "ends rotation"),
        ("apiserver-static-tokens", ["--token-auth-file=/t.csv"], "1.37.1", "fail", "should not be set"),
        ("apiserver-basic-authentication", [], "1.37.1", "pass", "has no flag --basic-auth-file"),
        ("apiserver-authorization", [], "1.37.1", "fail", "be without AlwaysAllow"),
        ("apiserver-authorization-node", ["--authorization-mode=Node,RBAC"], "1.37.1", "pass", "Node,RBAC"),
        ("apiserver-authorization-rbac", ["--authorization-mode=Node"], "1.37.1", "fail", "be with RBAC"),
        ("apiserver-node-restriction", ["--enable-admission-plugins=NodeRestriction"], "1.37.1", "pass", "names"),
        ("apiserver-node-restriction", [], "1.37.1", "fail", "off by default"),
        ("apiserver-pod-security", [], "1.37.1", "pass", "on by default"),
        ("apiserver-pod-security", ["--disable-admission-plugins=PodSecurity"], "1.37.1", "fail", "disable"),
        ("apiserver-anonymous", [], "1.37.1", "fail", "there is no AuthenticationConfiguration"),
        ("apiserver-anonymous", ["--anonymous-auth=false"], "1.37.1", "pass", "the process has"),
        ("apiserver-encryption", [], "1.37.1", "fail", "is absent"),
        ("apiserver-user-authentication", [], "1.37.1", "fail", "certificates"),
        ("apiserver-user-authentication", ["--oidc-issuer-url=https://i"], "1.37.1", "pass", "https://i"),
        ("apiserver-tls-version", [], "1.37.1", "pass", "so it is empty"),
        ("apiserver-tls-cipher-suites", [], "1.37.1", "fail", "should be set"),
        ("apiserver-tls-cipher-suites", ["--tls-min-version=VersionTLS13"], "1.37.1", "pass", "no other suites"),
        ("apiserver-etcd-client-certificate", ["--etcd-certfile=/a"], "1.37.1", "fail", "--etcd-keyfile is absent"),
        ("apiserver-service-account-key", ["--service-account-signing-endpoint=/s"], "1.37.1", "pass", "stands in"),
        ("apiserver-request-headers", [], "1.37.1", "pass", "no such headers are believed"),
        ("apiserver-request-headers", ["--requestheader-client-ca-file=/f"], "1.37.1", "fail", "should be set"),
        (
            "apiserver-request-headers",
            ["--requestheader-client-ca-file=/f", "--requestheader-allowed-names=", "--client-ca-file=/c"],
            "1.37.1",
            "fail",
            "should be set",
        ),
        (
            "apiserver-request-headers",
            ["--requestheader-client-ca-file=/c", "--requestheader-allowed-names=a", "--client-ca-file=/c"],
            "1.37.1",
            "fail",
            "the authority of every client",
        ),
        (
            "apiserver-request-headers",
            ["--requestheader-client-ca-file=/f", "--requestheader-allowed-names=a", "--client-ca-file=/c"],
            "1.37.1",
            "pass",
            "=a",
        ),
        ("apiserver-alpha-features", ["--feature-gates=AllAlpha=true"], "1.37.1", "fail", "should not hold"),
        ("apiserver-alpha-features", ["--feature-gates=X=1,kube:AllAlpha=1"], "1.37.1", "fail", "should not hold"),
    ],
)
def test_the_api_servers_flags(control: str, flags: list[str], version: str, status: str, words: str) -> None:
    said = verdict(control, apiserver(*flags, version=version))
    assert (said.status, words in said.evidence) == (status, True), said


@pytest.mark.parametrize(
    ("component", "control", "flags", "status"),
    [
        # The benchmark's scanner passes an absent flag, whose default is every address.
        ("kube-controller-manager", "controller-manager-bind-address", [], "fail"),
        ("kube-controller-manager", "controller-manager-bind-address", ["--bind-address=127.0.0.1"], "pass"),
        ("kube-controller-manager", "controller-manager-kubelet-rotation", [], "pass"),
        (
            "kube-controller-manager", "controller-manager-kubelet-rotation",
            ["--feature-gates=RotateKubeletServerCertificate=false"], "fail",
        ),
        # One that is not named is as all of its stage are.
        (
            "kube-controller-manager", "controller-manager-kubelet-rotation",
            ["--feature-gates=AllBeta=false"], "fail",
        ),
        (
            "kube-controller-manager", "controller-manager-kubelet-rotation",
            ["--feature-gates=RotateKubeletServerCertificate=true,AllBeta=false"], "pass",
        ),
        (
            "kube-controller-manager", "controller-manager-kubelet-rotation",
            ["--feature-gates=kube:RotateKubeletServerCertificate=false,AllBeta=true"], "fail",
        ),
        (
            "kube-controller-manager", "controller-manager-kubelet-rotation",
            ["--feature-gates=AllAlpha=false"], "pass",
        ),
        ("kube-scheduler", "scheduler-bind-address", [], "fail"),
        ("kube-scheduler", "scheduler-profiling", ["--profiling=false"], "pass"),
        ("etcd", "etcd-client-cert-auth", [], "fail"),
        ("etcd", "etcd-client-cert-auth", ["-client-cert-auth"], "pass"),
        ("etcd", "etcd-auto-tls", [], "pass"),
        ("etcd", "etcd-cipher-suites", [], "fail"),
        ("etcd", "etcd-cipher-suites", ["--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"], "fail"),
        ("etcd", "etcd-cipher-suites", ["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], "pass"),
        # What harden.yml makes of it: etcd would not start with a list beside that version.
        ("etcd", "etcd-cipher-suites", ["--tls-min-version=TLS1.3"], "pass"),
        ("etcd", "etcd-plain-listeners", ["--listen-metrics-urls=http://127.0.0.1:2381"], "pass"),
        ("etcd", "etcd-plain-listeners", ["--listen-client-urls=https://10.0.0.1:2379,http://10.0.0.1:23790"], "fail"),
    ],
)  # fmt: skip
def test_other_components_flags(component: str, control: str, flags: list[str], status: str) -> None:
    version = "3.6.5" if component == "etcd" else "1.37.1"
    seen = host(components={component: running(component, *flags, version=version)})
    assert verdict(control, seen).status == status


@pytest.mark.parametrize(
    ("control", "flags", "environment", "status", "words"),
    [
        ("etcd-profiling", [], {"flags": {"enable-pprof": "true"}}, "fail", "the process has ETCD_ENABLE_PPROF=true"),
        ("etcd-profiling", ["--enable-pprof=0"], {"flags": {"enable-pprof": "true"}}, "pass", "has --enable-pprof=0"),
        ("etcd-profiling", [], {"flags": {}}, "pass", "is absent, so it is false"),
        ("etcd-profiling", [], {"others": ["enable-pprof"]}, "unknown", "ETCD_ENABLE_PPROF is set"),
        ("etcd-profiling", [], {"problem": "run with become: true"}, "unknown", "is absent, and run with become: true"),
        ("etcd-profiling", ["--enable-pprof=false"], {"problem": "no right"}, "pass", "has --enable-pprof=false"),
        ("etcd-cert-file", [], {"flags": {"cert-file": "/a"}}, "pass", "the process has ETCD_CERT_FILE=/a"),
        # With a file everything else is passed over.
        ("etcd-profiling", ["--enable-pprof=0", "--config-file=/e.yaml"], {}, "unknown", "--config-file /e.yaml"),
        ("etcd-profiling", ["--enable-pprof=0"], {"flags": {"config-file": "/e"}}, "unknown", "--config-file /e,"),
        ("etcd-plain-listeners", ["--config-file=/e.yaml"], {}, "unknown", "--config-file /e.yaml"),
        (
            "etcd-plain-listeners", [], {"flags": {"listen-client-urls": "http://10.0.0.1:2379"}},
            "fail", "--listen-client-urls http://10.0.0.1:2379",
        ),
    ],
)  # fmt: skip
def test_what_etcd_takes_from_elsewhere_than_its_flags(
    control: str, flags: list[str], environment: dict[str, t.Any], status: str, words: str
) -> None:
    component = {**running("etcd", *flags, version="3.6.5"), "environment": environment}
    said = verdict(control, host(components={"etcd": component}))
    assert (said.status, words in said.evidence) == (status, True), said


@pytest.mark.parametrize(
    ("gates", "status"),
    [({"AllBeta": False}, "fail"), ({"AllBeta": False, "RotateKubeletServerCertificate": True}, "pass"), ({}, "pass")],
)
def test_a_kubelets_gate_is_as_all_of_its_stage_are(gates: dict[str, bool], status: str) -> None:
    assert verdict("kubelet-serving-rotation", kubelet({"featureGates": gates})).status == status
    assert verdict("kubelet-serving-rotation", kubelet({}, configz={"featureGates": gates})).status == status


def test_a_scheduler_with_a_configuration_file_ignores_the_flag() -> None:
    component = running("kube-scheduler", "--profiling=false", "--config=/s.yaml")
    seen = host(components={"kube-scheduler": component}, documents={"scheduler": {"enable_profiling": None}})
    assert verdict("scheduler-profiling", seen).status == "fail"
    seen = host(components={"kube-scheduler": component}, documents={"scheduler": {"enable_profiling": False}})
    assert verdict("scheduler-profiling", seen).status == "pass"
    document = {"path": "/s.yaml", "enable_profiling": False, "written_since": ["/s.yaml"]}
    seen = host(components={"kube-scheduler": component}, documents={"scheduler": document})
    assert verdict("scheduler-profiling", seen).status == "unknown"


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"anonymous": None}, "fail"),
        ({"anonymous": {"enabled": False}}, "pass"),
        ({"anonymous": {"enabled": True}}, "fail"),
        ({"anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]}}, "pass"),
        ({"anonymous": {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/api"}]}}, "fail"),
        ({"problem": "/a.yaml is no YAML"}, "unknown"),
    ],
)
def test_anonymous_requests_by_configuration(found: dict[str, t.Any], status: str) -> None:
    seen = apiserver("--authentication-config=/a.yaml", documents={"authentication": found})
    assert verdict("apiserver-anonymous", seen).status == status


@pytest.mark.parametrize(
    ("providers", "encrypted", "strong"),
    [
        (["secretbox", "identity"], "pass", "pass"),
        (["aesgcm", "identity"], "pass", "fail"),
        (["identity", "secretbox"], "fail", "fail"),
    ],
)
def test_the_first_provider_writes(providers: list[str], encrypted: str, strong: str) -> None:
    # A later entry for something else must not hide it: scanners look at the last one.
    entries = [{"resources": ["secrets"], "providers": providers}, {"resources": ["events"], "providers": ["identity"]}]
    seen = apiserver("--encryption-provider-config=/e.yaml", documents={"encryption": {"resources": entries}})
    assert verdict("apiserver-encryption", seen).status == encrypted
    assert verdict("apiserver-encryption-provider", seen).status == strong


_POLICY: dict[str, t.Any] = {"findings": []}
_LEVELS = ["--admission-control-config-file=/f"]
_ADMISSION = {"plugins": {"PodSecurity": {"defaults": {"enforce": "baseline"}}}}
_ENCRYPTION = {"resources": [{"resources": ["secrets"], "providers": ["secretbox"]}]}
_RELOADED = "--encryption-provider-config-automatic-reload=true"


@pytest.mark.parametrize(
    ("control", "flags", "name", "document", "status"),
    [
        ("apiserver-audit-policy-content", ["--audit-policy-file=/f"], "audit_policy", _POLICY, "unknown"),
        ("apiserver-admission-configuration", _LEVELS, "admission", _ADMISSION, "unknown"),
        ("apiserver-encryption", ["--encryption-provider-config=/f"], "encryption", _ENCRYPTION, "unknown"),
        ("apiserver-encryption", ["--encryption-provider-config=/f", _RELOADED], "encryption", _ENCRYPTION, "pass"),
        ("apiserver-anonymous", ["--authentication-config=/f"], "authentication", {"anonymous": {"a": 1}}, "unknown"),
        (
            "apiserver-anonymous",
            ["--authentication-config=/f"],
            "authentication",
            {"anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]}},
            "unknown",
        ),
        # Who comes with tokens, and who authorizes, is read anew while the server runs.
        ("apiserver-user-authentication", ["--authentication-config=/f"], "authentication", {"issuers": 1}, "pass"),
        (
            "apiserver-authorization-rbac",
            ["--authorization-config=/f"],
            "authorization",
            {"types": ["Node", "RBAC"]},
            "pass",
        ),
    ],
)
def test_what_was_written_after_the_start_of_who_reads_it_then_is_not_what_runs(
    control: str, flags: list[str], name: str, document: dict[str, t.Any], status: str
) -> None:
    read = {"path": "/f", **document}
    assert verdict(control, apiserver(*flags, documents={name: {**read, "written_since": []}})).status == "pass"
    said = verdict(control, apiserver(*flags, documents={name: {**read, "written_since": ["/f"]}}))
    assert said.status == status
    if status == "unknown":
        assert said.evidence.endswith("/f was written after kube-apiserver had started, which read it then: restart it")


def test_a_weak_file_fails_whenever_it_was_written() -> None:
    document = {"path": "/f", "findings": ["nothing is recorded"], "written_since": ["/f"]}
    seen = apiserver("--audit-policy-file=/f", documents={"audit_policy": document})
    assert verdict("apiserver-audit-policy-content", seen).status == "fail"


def kubelet(
    fields: dict[str, t.Any] | None, *flags: str, configz: dict[str, t.Any] | None = None, version: str = "1.37.1"
) -> Host:
    part = {"file": "/var/lib/kubelet/config.yaml" if fields is not None else "", "fields": fields or {}, "problem": ""}
    return host(components={"kubelet": running("kubelet", *flags, version=version)}, kubelet=part, configz=configz)


@pytest.mark.parametrize(
    ("control", "seen", "status", "words"),
    [
        ("kubelet-anonymous", kubelet({}), "pass", "has no authentication.anonymous.enabled, so it is false"),
        # Without a file the flags' defaults hold, which let everybody in.
        ("kubelet-anonymous", kubelet(None), "fail", "--anonymous-auth is absent, so it is true"),
        ("kubelet-authorization", kubelet(None), "fail", "AlwaysAllow"),
        # A flag beats the file, and the kubelet's own word beats both.
        ("kubelet-read-only-port", kubelet({"readOnlyPort": 0}, "--read-only-port=10255"), "fail", "10255"),
        ("kubelet-read-only-port", kubelet({"readOnlyPort": 10255}, configz={}), "pass", "the kubelet itself reports"),
        ("kubelet-seccomp", kubelet({"seccompDefault": True}, configz={}), "fail", "the kubelet itself reports"),
        ("kubelet-rotate-certificates", kubelet({}), "fail", "should be true"),
        ("kubelet-pod-pids", kubelet({}), "fail", "so it is -1"),
        ("kubelet-pod-pids", kubelet({"podPidsLimit": 4096}), "pass", "4096"),
        ("kubelet-event-rate", kubelet({"eventRecordQPS": 0}), "fail", "no limit"),
        ("kubelet-event-rate", kubelet({"eventRecordQPS": 0}, version="1.36.1"), "pass", "default of 50"),
        ("kubelet-tls-cipher-suites", kubelet({"tlsCipherSuites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]}), "fail", "CBC"),
        # What kubeadm writes for a duration that is the default.
        ("kubelet-idle-streams", kubelet({"streamingConnectionIdleTimeout": "0s"}), "pass", "so it is 4h0m0s"),
        ("kubelet-hostname", kubelet({}, "--hostname-override=other"), "fail", "other"),
        ("kubelet-serving-certificate", kubelet({}), "fail", "it signs its certificate itself"),
        ("kubelet-serving-certificate", kubelet({"serverTLSBootstrap": True}), "unknown", "was not seen"),
    ],
)
def test_the_kubelets_configuration(control: str, seen: Host, status: str, words: str) -> None:
    said = verdict(control, seen)
    assert (said.status, words in said.evidence) == (status, True), said


@pytest.mark.parametrize(
    ("fields", "chains", "status", "words"),
    [
        ({}, True, "pass", "it serves a certificate of CN=kubernetes"),
        ({}, False, "fail", "it signs its certificate itself"),
        ({"serverTLSBootstrap": True}, True, "pass", "it serves a certificate of CN=kubernetes"),
        ({"serverTLSBootstrap": True}, False, "fail", "but it serves a certificate of CN=kubernetes"),
    ],
)
def test_what_a_kubelet_serves_counts_before_its_configuration(
    fields: dict[str, t.Any], chains: bool, status: str, words: str
) -> None:
    served = {"component": "kubelet", "port": 10250, "certificate": {"issuer": "CN=kubernetes", "chains": chains}}
    part = {"file": "/var/lib/kubelet/config.yaml", "fields": fields, "problem": ""}
    seen = host(components={"kubelet": running("kubelet")}, kubelet=part, probes={"tls": [served]})
    said = verdict("kubelet-serving-certificate", seen)
    assert (said.status, words in said.evidence) == (status, True), said
    directory = host(components={"kubelet": running("kubelet")}, kubelet=part, live=False)
    assert verdict("kubelet-serving-certificate", directory).status == ("unknown" if fields else "fail")


def test_keys_that_the_kubelet_does_not_know_or_that_stand_twice_are_named() -> None:
    good = ["apiVersion", "kind", "authentication", "authentication.anonymous", "evictionHard", "evictionHard.a.b"]
    part = {"file": "/c", "problem": "", "documents": [{"path": "/c", "keys": good, "twice": []}]}
    seen = host(components={"kubelet": running("kubelet")}, kubelet=part)
    assert verdict("kubelet-configuration-keys", seen).status == "pass"
    part["documents"] = [{"path": "/c", "keys": [*good, "readOnlyport", "authentication.x"], "twice": ["readOnlyPort"]}]
    said = verdict("kubelet-configuration-keys", seen)
    assert said.status == "fail"
    for words in ("readOnlyPort stands twice", "readOnlyport is not known", "authentication.x is not known"):
        assert words in said.evidence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("registerWithTaints: [{key: a, effect: NoSchedule}, {key: b, value: c}]", ""),
        ("reservedMemory: [{numaNode: 0, limits: {memory: 1Gi, hugepages-2Mi: 2Mi}}]", ""),
        ("shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 10}]", ""),
        ("logging: {vmodule: [{filePattern: a, verbosity: 5}]}", ""),
        ("registerWithTaints: [{key: a}, {key: b, efect: NoSchedule}]", "registerWithTaints[].efect is not known"),
        ("reservedMemory: [{limits: {a: 1}, limit: {a: 1}}]", "reservedMemory[].limit is not known"),
        ("registerWithTaints: [{key: a, key: b}]", "registerWithTaints[].key stands twice"),
        ("reservedMemory: [{limits: {a: 1, a: 2}}]", "reservedMemory[].limits.a stands twice"),
        ("clusterDNS: [{ip: 192.0.2.1}]", "clusterDNS[].ip is not known"),
    ],
)
def test_keys_within_lists_of_the_kubelets_file_are_judged(text: str, words: str) -> None:
    documents = [{"path": "/c", **keys_of(text)}]
    part = {"file": "/c", "problem": "", "documents": documents}
    said = verdict("kubelet-configuration-keys", host(components={"kubelet": running("kubelet")}, kubelet=part))
    assert (said.status, words in said.evidence) == ("fail" if words else "pass", True), said


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"directory": "/m", "pods": {"a.yaml": "kube-system/a"}}, "pass"),
        ({"directory": "/m", "pods": {"a.yaml": "kube-system/a", "a.yaml.bak": "kube-system/a"}}, "fail"),
        ({"directory": "/m", "wrong": {"notes.txt": "is no Pod"}}, "fail"),
        ({"directory": "/m", "problem": "permission denied"}, "unknown"),
        ({}, "not_applicable"),
    ],
)
def test_the_manifests_directory(found: dict[str, t.Any], status: str) -> None:
    assert verdict("manifests-directory", host(manifests=found)).status == status


def entry(mode: str = "0600", owner: str = "root", **more: str) -> dict[str, str]:
    return {"path": "/f", "mode": mode, "owner": owner, "group": owner, **more}


@pytest.mark.parametrize(
    ("entries", "live", "mode", "owner"),
    [
        ([entry()], True, "pass", "pass"),
        ([entry("0400")], True, "pass", "pass"),
        ([entry("0640")], True, "fail", "pass"),
        ([entry("0600", "etcd")], True, "pass", "fail"),
        ([entry("0600", "etcd")], False, "pass", "unknown"),
        ([], True, "not_applicable", "not_applicable"),
        ([entry(), {"path": "/g", "problem": "Permission denied"}], True, "unknown", "unknown"),
    ],
)
def test_owners_and_modes(entries: list[dict[str, str]], live: bool, mode: str, owner: str) -> None:
    seen = host(live=live, files={"kube_apiserver_manifest": entries})
    assert verdict("files-apiserver-manifest", seen).status == mode
    assert verdict("files-apiserver-manifest-owner", seen).status == owner


@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_of_the_files_of_a_static_pod_that_should_be_there_nothing_is_known(component: str) -> None:
    name = f"files-{component.replace('kube-', '')}-manifest"
    missed = host(components={component: {"running": False, "manifest": "", "problem": "no process"}})
    assert verdict(name, missed).status == "unknown"
    assert "neither a process nor a manifest" in verdict(name, missed).evidence
    # Run by systemd, it has none.
    assert verdict(name, host(components={component: {"running": True, "manifest": ""}})).status == "not_applicable"
    assert verdict(name, host(components={})).status == "not_applicable"


@pytest.mark.parametrize("control", sorted(name for name, one in CONTROLS.items() if not one.for_cluster))
def test_a_host_that_was_not_reached_passes_nothing(control: str) -> None:
    assert verdict(control, Host("cp2", None, "cp2 could not be reached")) == Verdict(
        "unknown", "cp2 could not be reached"
    )


def test_a_default_is_not_taken_for_granted_where_the_version_is_not_known() -> None:
    seen = apiserver(version="")
    assert verdict("apiserver-audit-log-maxage", seen).status == "unknown"  # 0 until 1.35, 366 from 1.36 on
    assert verdict("apiserver-profiling", seen).status == "fail"  # true in every version
    assert verdict("apiserver-audit-log-maxage", apiserver("--audit-log-maxage=30", version="")).status == "pass"


def test_a_component_that_has_no_process_is_unknown_and_one_that_is_not_there_does_not_apply() -> None:
    stopped = {"running": False, "arguments": [], "version": "", "problem": "kube-apiserver has no process"}
    seen = host(components={"kube-apiserver": stopped})
    assert verdict("apiserver-profiling", seen) == Verdict("unknown", "kube-apiserver has no process")
    assert verdict("scheduler-profiling", seen).status == "not_applicable"


@pytest.mark.parametrize(
    ("one", "control", "status"),
    [
        ({"old": {"accepted": "TLSv1.1 X"}}, "probe-old-tls", "fail"),
        ({"old": {"accepted": "", "problem": ""}}, "probe-old-tls", "pass"),
        ({"problem": "timeout"}, "probe-old-tls", "unknown"),
        ({"old": {"accepted": "", "problem": "timeout"}}, "probe-old-tls", "unknown"),
        # It wants a certificate of us, so shows none of its own, and refused the old handshake for itself.
        ({"problem": "tls: alert", "old": {"accepted": "", "problem": ""}}, "probe-old-tls", "pass"),
        ({"problem": "tls: alert", "old": {"accepted": "", "problem": ""}}, "probe-served-certificates", "unknown"),
        ({"weak": {"accepted": "TLSv1.2 AES128-SHA"}}, "probe-weak-suites", "fail"),
        ({"certificate": {"days_left": 3, "sha256": "a", "subject": "s"}}, "probe-served-certificates", "pass"),
        ({"certificate": {"days_left": -1, "sha256": "a", "subject": "s"}}, "probe-served-certificates", "fail"),
        (
            {"certificate": {"days_left": 3, "sha256": "a", "subject": "s"}, "file": "/f", "file_sha256": "b"},
            "probe-served-certificates", "fail",
        ),
    ],
)  # fmt: skip
def test_handshakes(one: dict[str, t.Any], control: str, status: str) -> None:
    seen = host(probes={"tls": [{"component": "kubelet", "address": "127.0.0.1", "port": 10250, **one}]})
    assert verdict(control, seen).status == status
    # No profile lets it be.
    assert CONTROLS[control].is_enforced_by("baseline")


DOWN = {"running": False, "arguments": [], "version": "", "problem": "it has no process"}
REFUSED = {"address": "127.0.0.1", "port": 1, "path": "/", "status": 401, "reason": ""}
SHUT = {"address": "127.0.0.1", "port": 1, "old": {"accepted": ""}, "weak": {"accepted": ""},
        "certificate": {"days_left": 3, "sha256": "a", "subject": "s"}}  # fmt: skip


@pytest.mark.parametrize(
    ("control", "down", "status"),
    [
        ("probe-old-tls", "kube-scheduler", "unknown"),
        ("probe-weak-suites", "etcd", "unknown"),
        ("probe-served-certificates", "kube-apiserver", "unknown"),
        ("probe-anonymous-controllers", "kube-scheduler", "unknown"),
        ("probe-anonymous-controllers", "kube-apiserver", "pass"),
        ("probe-anonymous-etcd", "etcd", "unknown"),
        ("probe-anonymous-etcd", "kube-apiserver", "not_applicable"),
        ("probe-foreign-certificate", "etcd", "unknown"),
        ("probe-local-ports", "kube-scheduler", "unknown"),
        ("probe-local-ports", "kube-apiserver", "pass"),
        ("probe-plain-ports", "kubelet", "unknown"),
        ("probe-plain-ports", "etcd", "pass"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_a_component_that_is_down_proves_nothing_of_its_ports(
    control: str, down: str, status: str, alone: bool
) -> None:
    there = [] if alone else [{"component": "kube-controller-manager"}]
    requests = [{**one, **REFUSED, "credentials": kind} for one in there for kind in ("none", "foreign")]
    probes = {
        "tls": [{**one, **SHUT} for one in there],
        "requests": requests,
        "local": {"ports": [{"component": "kube-controller-manager", "port": 10257, "addresses": ["127.0.0.1"]}]},
        "ports": [{"port": 10255, "address": "127.0.0.1", "said": "closed", "words": "is closed"}],
    }
    components = {down: DOWN, **{one["component"]: running(one["component"]) for one in there}}
    said = verdict(control, host(components=components, probes=probes))
    if alone and control == "probe-anonymous-controllers" and status == "pass":
        status = "not_applicable"
    assert (said.status, "it has no process" in said.evidence) == (status, status == "unknown"), said


def test_the_ports_of_an_etcd_that_a_file_configures_are_not_known() -> None:
    seen = host(components={"etcd": running("etcd", "--config-file=/e.yaml")}, probes={"tls": [], "requests": []})
    for control in ("probe-old-tls", "probe-anonymous-etcd", "probe-foreign-certificate"):
        said = verdict(control, seen)
        assert (said.status, "--config-file /e.yaml" in said.evidence) == ("unknown", True), said


@pytest.mark.parametrize(
    ("status", "reason", "wanted"),
    [
        (401, "", "pass"),
        (403, "", "pass"),
        (200, "", "fail"),
        (500, "", "unknown"),
        (0, "tls: sslv3 alert bad certificate", "pass"),
        (0, "tls: wrong version number", "unknown"),
        (0, "what it speaks is not TLS", "unknown"),
        (0, "eof", "unknown"),
        (0, "refused", "unknown"),
        (0, "timeout", "unknown"),
    ],
)
def test_answers_to_strangers(status: int, reason: str, wanted: str) -> None:
    request = {
        "component": "kubelet", "address": "127.0.0.1", "port": 10250, "path": "/pods", "credentials": "none",
        "status": status, "reason": reason,
    }  # fmt: skip
    assert verdict("probe-anonymous-kubelet", host(probes={"requests": [request]})).status == wanted


def test_certificates_that_end_are_named_the_first_to_end_first() -> None:
    listed: list[dict[str, t.Any]] = [
        {
            "path": f"/{days}.crt", "subject": "CN=a", "days_left": days, "seconds_left": days * 86400,
            "seconds_valid": 500 * 86400, "key_algorithm": "ECDSA-P256",
        }
        for days in (400, 12, -2)
    ]  # fmt: skip
    said = verdict("certificates-expiry", host(certificates=listed))
    assert said == Verdict("fail", "/-2.crt (CN=a) ended 2 days ago; /12.crt (CN=a) in 12 days")
    assert verdict("certificates-expiry", host(certificates=listed[:1])).status == "pass"
    listed[0]["key_algorithm"] = "RSA-1024"
    assert verdict("certificates-strength", host(certificates=listed)).status == "fail"
    assert verdict("certificates-keys", host(certificates=[{"path": "/a", "problem": "no PEM"}])).status == "fail"


def test_a_default_that_a_program_prints_is_read_by_its_kind() -> None:
    assert default_items("[a,b]", "slice") == ["a", "b"]
    assert [default_items(text, "slice") for text in ("[]", "", "<nil>", "map[]")] == [[], [], [], []]
    assert default_items("1m0s", "duration") == ["1m0s"]


def test_a_controls_title_and_remedy_are_sentences_of_their_own() -> None:
    def broken(control: Control) -> bool:
        return control.title.endswith(".") or not control.remedy.endswith(".") or not control.why.endswith(".")

    assert [name for name, control in CONTROLS.items() if broken(control)] == []


FILE = {"path": "/var/lib/kube-proxy/config.conf", "mode": "0600", "owner": "root", "group": "root"}


@pytest.mark.parametrize(
    ("control", "found", "version", "status", "words"),
    [
        ("kube-proxy-privileges", {"rights": {"bounding": 1 << 12, "no_new": True}}, "1.37.1", "pass", "NET_ADMIN"),
        ("kube-proxy-privileges", {"rights": {"bounding": 0x1FF, "no_new": False}}, "1.37.1", "fail", "9 capabilities"),
        ("kube-proxy-privileges", {"rights": {"bounding": 1 << 12, "no_new": False}}, "1.37.1", "fail", "programs"),
        ("kube-proxy-privileges", {"rights": {"bounding": 0x1FF, "no_new": False}}, "1.36.2", "explained", "upgrade"),
        ("kube-proxy-privileges", {"rights": {"bounding": -1, "no_new": False}}, "1.37.1", "unknown", "not be read"),
        ("kube-proxy-privileges", {"rights": {}}, "1.37.1", "unknown", "not be read"),
        ("kube-proxy-files", {"files": [FILE]}, "1.37.1", "pass", "config.conf 0600 root"),
        ("kube-proxy-files", {"files": [{**FILE, "mode": "0644"}]}, "1.37.1", "fail", "mode 0644"),
        ("kube-proxy-files", {"files": [{**FILE, "owner": "nobody"}]}, "1.37.1", "fail", "belongs to nobody"),
        ("kube-proxy-files", {"files": [{**FILE, "mode": "0644"}]}, "1.36.2", "explained", "upgrade"),
        ("kube-proxy-files", {"files": [{"path": "/k", "problem": "no"}]}, "1.37.1", "unknown", "/k: no"),
        ("kube-proxy-files", {"problem": "Permission denied"}, "1.37.1", "unknown", "Permission denied"),
    ],
)
def test_kube_proxys_process(control: str, found: dict[str, t.Any], version: str, status: str, words: str) -> None:
    components = {"kube-proxy": running("kube-proxy"), "kubelet": running("kubelet", version=version)}
    said = verdict(control, host(components=components, kube_proxy=found))
    assert (said.status, words in said.evidence) == (status, True), said
    assert verdict(control, host(components={})).status == "not_applicable"


@pytest.mark.parametrize(("issuers", "status"), [(0, "fail"), (1, "pass")])
def test_an_issuer_in_the_authentication_configuration(issuers: int, status: str) -> None:
    documents = {"authentication": {"path": "/a", "anonymous": None, "issuers": issuers}}
    seen = apiserver("--authentication-config=/a", documents=documents)
    assert verdict("apiserver-user-authentication", seen).status == status


def test_a_probe_that_nobody_answers() -> None:
    def seen(manifest: str, unanswered: list[str], problem: str = "") -> Host:
        components = {"kube-scheduler": {**running("kube-scheduler"), "manifest": manifest}}
        return host(components=components, unanswered=unanswered, manifests={"problem": problem})

    assert verdict("static-pod-probes", seen("/m.yaml", [])).status == "pass"
    assert verdict("static-pod-probes", seen("/m.yaml", ["this one"])) == Verdict("fail", "this one")
    assert verdict("static-pod-probes", seen("", [])).status == "not_applicable"
    assert verdict("static-pod-probes", seen("", [], "not to be read")) == Verdict("unknown", "not to be read")


def test_what_lies_in_the_container_alone() -> None:
    def seen(manifest: str, unmounted: list[str] | None, problem: str = "") -> Host:
        components = {"kube-apiserver": {**running("kube-apiserver"), "manifest": manifest}}
        return host(components=components, unmounted=unmounted, manifests={"problem": problem})

    assert verdict("apiserver-paths-mounted", seen("/m.yaml", [])).status == "pass"
    assert verdict("apiserver-paths-mounted", seen("", [])).status == "not_applicable"
    said = verdict("apiserver-paths-mounted", seen("/m.yaml", ["--audit-log-path /log"]))
    assert said == Verdict("fail", "under no mount of the manifest: --audit-log-path /log")
    # Whoever may read neither manifest nor directory cannot say.
    for manifest in ("/m.yaml", ""):
        said = verdict("apiserver-paths-mounted", seen(manifest, None, "run with become: true"))
        assert said == Verdict("unknown", "run with become: true")
    assert verdict("apiserver-paths-mounted", seen("/m.yaml", None)) == Verdict("unknown", "/m.yaml could not be read")
    assert verdict("apiserver-paths-mounted", seen("", None)).status == "not_applicable"


@pytest.mark.parametrize(
    ("flags", "fields", "status", "words"),
    [
        (
            ["--config=/c", "--metrics-bind-address=0.0.0.0:10249"],
            {"metricsBindAddress": "127.0.0.1:10249"},
            "pass",
            "/c",
        ),
        (
            ["--config=/c", "--metrics-bind-address=127.0.0.1:10249"],
            {"metricsBindAddress": "0.0.0.0:10249"},
            "fail",
            "/c",
        ),
        (["--metrics-bind-address=0.0.0.0:10249"], {}, "fail", "the process has --metrics-bind-address"),
        (["--metrics-bind-address=127.0.0.1:10249"], {}, "pass", "the process has --metrics-bind-address"),
    ],
)
def test_kube_proxys_flags_count_where_it_has_no_file(
    flags: list[str], fields: dict[str, str], status: str, words: str
) -> None:
    part = {"file": "/c" if fields else "", "fields": fields, "problem": ""}
    said = verdict(
        "kube-proxy-metrics", host(components={"kube-proxy": running("kube-proxy", *flags)}, kube_proxy=part)
    )
    assert (said.status, words in said.evidence) == (status, True), said


@pytest.mark.parametrize("control", ["certificates-expiry", "certificates-strength"])
def test_certificates_of_which_none_can_be_read_are_no_pass(control: str) -> None:
    seen = host(certificates=[{"path": "/c", "kind": "unreadable", "problem": "no certificate"}])
    assert verdict(control, seen) == Verdict("unknown", "no certificate of this host could be read")
    assert verdict("certificates-keys", seen).status == "fail"


@pytest.mark.parametrize(
    ("insists", "kernel", "status", "words"),
    [
        (True, {"differing": []}, "pass", "protectKernelDefaults true"),
        (True, {"differing": ["kernel.panic is 0, not 10"]}, "fail", "will not start: kernel.panic is 0"),
        (True, {"problem": "/etc/sysctl.d could not be read"}, "unknown", "could not be read"),
        (False, {"differing": ["kernel.panic is 0, not 10"]}, "fail", "should be true"),
    ],
)
def test_a_kubelet_that_insists_on_its_kernel_is_judged_with_it(
    insists: bool, kernel: dict[str, t.Any], status: str, words: str
) -> None:
    seen = host(
        components={"kubelet": running("kubelet")},
        kubelet={"file": "/var/lib/kubelet/config.yaml", "fields": {"protectKernelDefaults": insists}},
        kernel=kernel,
    )
    said = verdict("kubelet-kernel-defaults", seen)
    assert (said.status, words in said.evidence) == (status, True), said


#: By control of the kubelet's configuration, fields that are as they should be; others are right by default.
RIGHT: dict[str, dict[str, t.Any]] = {
    "kubelet-client-authority": {"authentication": {"x509": {"clientCAFile": "/ca.crt"}}},
    "kubelet-debug-flags": {"enableDebugFlagsHandler": False},
    "kubelet-kernel-defaults": {"protectKernelDefaults": True},
    "kubelet-pod-pids": {"podPidsLimit": 4096},
    "kubelet-profiling": {"enableProfilingHandler": False},
    "kubelet-rotate-certificates": {"rotateCertificates": True},
    "kubelet-seccomp": {"seccompDefault": True},
    "kubelet-tls-cipher-suites": {"tlsCipherSuites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]},
}
OF_FIELDS = sorted(
    {name for name, one in CONTROLS.items() if one.component == "kubelet" and one.judge["kind"] == "field"}
    | {"kubelet-event-rate", "kubelet-kernel-defaults", "kubelet-serving-rotation", "kubelet-tls-cipher-suites"}
)


@pytest.mark.parametrize("control", OF_FIELDS)
def test_what_a_kubelet_that_was_not_heard_has_in_its_file_is_no_pass(control: str) -> None:
    """It may run with something else: it read the file when it started."""
    part = {"file": "/c", "fields": RIGHT.get(control, {}), "problem": ""}
    evidence = {"live": True, "components": {"kubelet": running("kubelet")}, "kubelet": part}
    assert verdict(control, Host("w1", evidence, configz_problem="")).status == "pass"
    said = verdict(control, Host("w1", evidence, configz_problem="HTTP 403"))
    assert (said.status, "the kubelet was not heard: HTTP 403" in said.evidence) == ("unknown", True), said
    # Of a directory that stands for a host the file is all that there is.
    assert verdict(control, Host("w1", {**evidence, "live": False}, configz_problem="HTTP 403")).status == "pass"


def test_a_file_that_is_open_fails_and_a_flag_of_the_process_passes_without_the_kubelets_word() -> None:
    part = {"file": "/c", "fields": {"readOnlyPort": 10255}, "problem": ""}
    evidence = {"live": True, "components": {"kubelet": running("kubelet")}, "kubelet": part}
    assert verdict("kubelet-read-only-port", Host("w1", evidence, configz_problem="HTTP 403")).status == "fail"
    evidence["components"] = {"kubelet": running("kubelet", "--read-only-port=0")}
    assert verdict("kubelet-read-only-port", Host("w1", evidence, configz_problem="HTTP 403")).status == "pass"


SAID = {"readOnlyPort": 0, "seccompDefault": True, "authorization": {"mode": "Webhook"}, "rotateCertificates": True,
        "syncFrequency": "1m0s", "maxPods": 110, "tlsCertFile": "/var/lib/kubelet/pki/kubelet.crt"}  # fmt: skip
WRITTEN = {"seccompDefault": True, "rotateCertificates": True, "syncFrequency": "0s", "logging": {"verbosity": 3}}


@pytest.mark.parametrize(
    ("written", "said", "flags", "unit", "words"),
    [
        ({}, {}, [], [], ""),
        # It runs strict, and its file is open.
        ({"readOnlyPort": 10255}, {}, [], [], "readOnlyPort"),
        ({"seccompDefault": False}, {}, [], [], "seccompDefault"),
        ({"authorization": {"mode": "AlwaysAllow"}}, {}, [], [], "authorization.mode"),
        ({"maxPods": 250}, {}, [], [], "maxPods"),
        # What is no more in the file.
        ({"rotateCertificates": None}, {}, [], [], "rotateCertificates"),
        # It runs open, and its file is strict, or has nothing, which is strict.
        ({}, {"seccompDefault": False}, [], [], "seccompDefault"),
        ({}, {"authorization": {"mode": "AlwaysAllow"}}, [], [], "authorization.mode"),
        # A flag beats the file now and then.
        ({"readOnlyPort": 10255}, {}, ["--read-only-port=0"], ["kubelet", "--read-only-port=0"], ""),
        ({"maxPods": 250}, {}, ["--max-pods=110"], ["/usr/bin/kubelet", "--max-pods=110"], ""),
        ({}, {"featureGates": {"A": True}}, ["--feature-gates=A=true"], ["kubelet", "--feature-gates=A=true"], ""),
        # The unit has other flags by now.
        ({}, {}, ["--read-only-port=0"], ["kubelet"], "--read-only-port"),
        ({}, {}, [], ["kubelet", "--anonymous-auth"], "--anonymous-auth"),
        ({}, {}, ["--config=/c"], ["kubelet", "--config=/d"], "--config"),
        ({}, {}, ["--v=2"], ["kubelet"], ""),
        # What systemd is going to put there is not known.
        ({}, {}, ["--config=/c/cp1"], ["kubelet", "--config=/c/%m"], ""),
        # No unit, or one that starts something else.
        ({}, {}, ["--read-only-port=0"], ["/opt/start"], ""),
    ],
)
def test_a_kubelet_whose_next_start_would_change_something_is_named(
    written: dict[str, t.Any], said: dict[str, t.Any], flags: list[str], unit: list[str], words: str
) -> None:
    """What it says of itself was never compared with file, drop-ins and flags: the next start opened it."""
    fields = {name: value for name, value in {**WRITTEN, **written}.items() if value is not None}
    part = {"file": "/c", "fields": fields, "problem": "", "next": unit}
    evidence = {"live": True, "components": {"kubelet": running("kubelet", *flags)}, "kubelet": part}
    found = verdict("kubelet-restart", Host("w1", evidence, configz={**SAID, **said}))
    if words:
        assert found == Verdict("fail", f"from its next start on the kubelet would have something else for {words}")
    else:
        assert found == Verdict("pass", "the kubelet runs with what /c says")


def test_of_a_kubelet_that_was_not_heard_or_whose_files_are_not_read_no_start_is_known() -> None:
    there = {"live": True, "components": {"kubelet": running("kubelet")}}
    said = verdict("kubelet-restart", Host("w1", there, configz_problem="HTTP 403"))
    assert said == Verdict("unknown", "the kubelet was not heard: HTTP 403")
    shut = {**there, "kubelet": {"file": "/c", "fields": {}, "problem": "/c: Permission denied"}}
    assert verdict("kubelet-restart", Host("w1", shut, configz=SAID)) == Verdict("unknown", "/c: Permission denied")
    unit = {**there, "kubelet": {"file": "/c", "fields": WRITTEN, "next_problem": "/u: Permission denied"}}
    assert verdict("kubelet-restart", Host("w1", unit, configz=SAID)) == Verdict("unknown", "/u: Permission denied")
    assert verdict("kubelet-restart", host(components={})).status == "not_applicable"


def test_every_field_of_the_kubelet_that_is_judged_is_looked_for_in_its_next_start() -> None:
    judged = {one.judge["field"]: one.judge["flag"] for one in CONTROLS.values()
              if one.component == "kubelet" and one.judge["kind"] == "field"}  # fmt: skip
    assert judged.items() <= FLAGS.items()
