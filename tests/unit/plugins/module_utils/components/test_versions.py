# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    BOOLEAN_FLAGS,
    FLAG_KINDS,
    KINDS,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import Table
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

KUBERNETES = [versions.shown(one) for one in versions.known_versions("kubernetes")]
ETCD = [versions.shown(one) for one in versions.known_versions("etcd")]
COMPONENTS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"]
EVERY = [("kubernetes", minor) for minor in KUBERNETES] + [("etcd", minor) for minor in ETCD]
LATEST = Table.load("1.37")


# ---- the committed tables


def test_every_supported_version_has_a_table() -> None:
    assert KUBERNETES == ["1.33", "1.34", "1.35", "1.36", "1.37"]
    assert ETCD == ["3.5", "3.6", "3.7"]


@pytest.mark.parametrize(("product", "minor"), EVERY)
def test_a_table_is_whole(product: str, minor: str) -> None:
    table = Table.load(minor, product)
    assert table.minor == minor
    assert table.components == (["etcd"] if product == "etcd" else sorted(COMPONENTS))
    for component in table.components:
        known = table.flags(component)
        assert len(known) > 50
        assert {flag.type for flag in known.values()} <= set(versions.KIND_OF_TYPE)
        assert set(table.kinds(component).values()) <= set(KINDS)
        assert all(flag.bare for flag in known.values() if flag.type == "bool")
        assert {flag.repeat for flag in known.values()} <= {"", "all"}
    if product == "kubernetes":
        assert len(table.plugins()) > 30
        assert table.plugins()["NodeRestriction"] is False
        assert table.plugins()["PodSecurity"] is True
        assert {gate.stage for gate in table.gates("kubelet").values()} <= {"ALPHA", "BETA", "GA", "DEPRECATED"}
        assert table.fields("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration") is not None


@pytest.mark.parametrize(("product", "minor"), EVERY)
def test_a_table_has_one_sorted_line_for_each_entry(product: str, minor: str) -> None:
    lines = (Path(versions.DIRECTORY) / f"{product}-{minor}.json").read_text(encoding="utf-8").splitlines()
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.endswith("{") or line in ("}", "},"):
            sections.append([])
        elif not line.startswith(('"version"', '"etcd":')):
            assert isinstance(json.loads("{" + line.rstrip(",") + "}"), dict)
            sections[-1].append(line.partition('": ')[0])
    assert max(len(section) for section in sections) > 100
    assert all(section == sorted(section) for section in sections)


@pytest.mark.parametrize("minor", KUBERNETES)
def test_the_etcd_of_each_kubeadm_has_a_table(minor: str) -> None:
    data = json.loads((Path(versions.DIRECTORY) / f"kubernetes-{minor}.json").read_text(encoding="utf-8"))
    assert versions.version_of(data["etcd"]) in versions.known_versions("etcd")


# Where flags.py, which must do without a version, has another kind than the table, and why that does no harm.
OTHER_KINDS = {
    ("kubelet", "authorization-mode"),  # one word, where kube-apiserver has a list
    ("etcd", "v"),  # ignored by etcd
}
# Booleans that flags.py does not have: deprecated, of etcd's experiments, or of cloud providers; none stands before a
# word that is no flag.
OTHER_BOOLEANS = ("experimental-", "allow-untagged-cloud", "enable-v2", "register-schedulable")


@pytest.mark.parametrize(("product", "minor"), EVERY)
def test_the_kinds_that_are_known_without_a_table_agree(product: str, minor: str) -> None:
    """An argument vector is read before its version is known, so flags.py has kinds for all versions together."""
    table = Table.load(minor, product)
    for component in table.components:
        for name, flag in table.flags(component).items():
            if (component, name) not in OTHER_KINDS:
                agree = FLAG_KINDS.get(name, flag.kind) == flag.kind or flag.type == "ignored"
                assert agree, (component, name)
            if flag.type == "bool" and name != "help" and not name.startswith(OTHER_BOOLEANS):
                assert name in BOOLEAN_FLAGS or (component, name) == ("etcd", "version"), (component, name)


# ---- looking up


def test_lookup_reads_names_as_components_do() -> None:
    flag = LATEST.lookup("kube-apiserver", "--audit_log-maxage")
    assert flag is not None
    assert (flag.type, flag.kind, flag.default, flag.repeat) == ("int", "int", "366", "")
    assert LATEST.lookup("kube-apiserver", "insecure-port") is None
    assert LATEST.lookup("no-such-component", "v") is None


@pytest.mark.parametrize(
    ("component", "flag", "kind", "repeat"),
    [
        ("kube-apiserver", "enable-admission-plugins", "slice", "all"),
        ("kube-apiserver", "service-account-issuer", "array", "all"),
        ("kube-apiserver", "tls-sni-cert-key", "array", "all"),
        ("kube-apiserver", "feature-gates", "map", "all"),
        ("kubelet", "register-with-taints", "slice", ""),
        ("kube-scheduler", "profiling", "bool", ""),
        ("etcd", "cipher-suites", "slice", ""),
    ],
)
def test_repeatability(component: str, flag: str, kind: str, repeat: str) -> None:
    table = Table.load("3.7", "etcd") if component == "etcd" else LATEST
    found = table.lookup(component, flag)
    assert found is not None
    assert (found.kind, found.repeat) == (kind, repeat)


def test_kinds_come_by_version() -> None:
    assert versions.kinds("kube-apiserver", "1.37.1")["tls-curve-preferences"] == "slice"
    assert "tls-curve-preferences" not in versions.kinds("kube-apiserver", "v1.35.4")
    assert versions.kinds("etcd", "3.7.0")["client-cert-auth"] == "bool"


def test_bare_flags() -> None:
    bare = LATEST.bare_flags("kube-apiserver")
    assert {"profiling", "help", "version"} <= bare
    assert "request-timeout" not in bare


def test_a_component_without_a_table_is_a_sentence() -> None:
    with pytest.raises(HardeningError, match=r"^The table of version 1\.37\.1 has no component etcd\.$"):
        LATEST.flags("etcd")


def test_fields() -> None:
    fields = LATEST.fields("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
    assert fields is not None
    assert fields["authentication.anonymous.enabled"] == versions.Field("bool", False)
    assert fields["readOnlyPort"].type == "int32"
    assert fields["featureGates"].type == "{}bool"
    assert fields["streamingConnectionIdleTimeout"].type == "duration"
    authentication = LATEST.fields("apiserver.config.k8s.io/v1", "AuthenticationConfiguration")
    assert authentication is not None
    assert authentication["anonymous.conditions[].path"].type == "string"
    assert LATEST.fields("apiserver.config.k8s.io/v2", "AuthenticationConfiguration") is None


@pytest.mark.parametrize("minor", KUBERNETES)
def test_the_stable_api_of_authentication_came_with_1_34(minor: str) -> None:
    fields = Table.load(minor).fields("apiserver.config.k8s.io/v1", "AuthenticationConfiguration")
    assert (fields is not None) is (versions.version_of(minor) >= (1, 34))


def test_fields_that_came_later() -> None:
    kind = ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
    assert "tlsCurvePreferences" in (Table.load("1.36").fields(*kind) or {})
    assert "tlsCurvePreferences" not in (Table.load("1.35").fields(*kind) or {})


# ---- versions


@pytest.mark.parametrize(
    ("text", "version"), [("1.37", (1, 37)), ("v1.37.1", (1, 37)), ("1.36.0-rc.1", (1, 36)), ("3.6.8+x", (3, 6))]
)
def test_version_of(text: str, version: versions.Version) -> None:
    assert versions.version_of(text) == version


@pytest.mark.parametrize("text", ["", "1", "latest", "1.x", "a1.37", "1.37x", "1.\u0663"])
def test_version_of_refuses(text: str) -> None:
    with pytest.raises(HardeningError, match="is no version"):
        versions.version_of(text)


@pytest.mark.parametrize(
    ("component", "version", "nearest"),
    [("kube-apiserver", "1.38.0", "1.37"), ("kubelet", "2.0.0", "1.37"), ("etcd", "3.8.1", "3.7")],
)
def test_an_unknown_newer_version_gets_the_nearest_table(component: str, version: str, nearest: str) -> None:
    table, warning = versions.choose(component, version)
    assert table.minor == nearest
    assert warning == (
        f"{component} {version} is not known yet; what it accepts was looked up for {nearest}, the nearest version "
        "that is."
    )


def test_a_known_version_has_no_warning() -> None:
    assert versions.choose("kubelet", "1.36.9")[1] is None


@pytest.mark.parametrize(("component", "version"), [("kubelet", "1.32.14"), ("etcd", "3.4.30"), ("kubelet", "0.9.0")])
def test_an_older_version_is_refused(component: str, version: str) -> None:
    with pytest.raises(HardeningError, match=rf"^{component} is {version}, and .* changes: upgrade"):
        versions.choose(component, version)


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(HardeningError, match=r"^There is no table of etcd 3\.9; there are 3\.5, "):
        Table.load("3.9", "etcd")


def test_following() -> None:
    later = versions.following(Table.load("1.36"), "kubelet")
    assert later is not None
    assert later.minor == "1.37"
    assert versions.following(LATEST, "kubelet") is None


# ---- judging


def problems(component: str, version: str, **flags: Sequence[str] | str) -> list[str]:
    given = {name.replace("_", "-"): [values] if isinstance(values, str) else values for name, values in flags.items()}
    return versions.problems(component, version, given).problems


@pytest.mark.parametrize(
    ("version", "flag", "sentence"),
    [
        ("1.37.1", "insecure-port", "kube-apiserver 1.37.1 has no flag --insecure-port"),
        ("1.35.4", "tls-curve-preferences", "has no flag --tls-curve-preferences: it exists from 1.36 on."),
        ("1.37.1", "xyzzy", "kube-apiserver 1.37.1 has no flag --xyzzy."),
        ("1.37.1", "audit_log_maxagee", "no flag --audit-log-maxagee; the nearest that it has is --audit-log-maxage."),
    ],
)
def test_unknown_flags(version: str, flag: str, sentence: str) -> None:
    (problem,) = versions.problems("kube-apiserver", version, {flag: ["0"]}).problems
    assert sentence in problem


@pytest.mark.parametrize("version", ["1.33.1", "1.34.4", "1.35.4", "1.36.3", "1.37.1"])
@pytest.mark.parametrize("component", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
@pytest.mark.parametrize(
    "flag",
    [
        "insecure-port",
        "insecure-bind-address",
        "address",
        "port",
        "basic-auth-file",
        "kubelet-https",
        "repair-malformed-updates",
    ],
)
def test_flags_of_old_versions_that_must_be_absent_are_in_none(component: str, flag: str, version: str) -> None:
    (problem,) = versions.problems(component, version, {flag: ["0"]}).problems
    assert f"{component} {version} has no flag --{flag}" in problem


def test_a_flag_that_went() -> None:
    (problem,) = problems("kubelet", "1.37.1", boot_id_file="/proc/sys/kernel/random/boot_id")
    assert problem == "kubelet 1.37.1 has no flag --boot-id-file: 1.36 was the last version with it."
    assert problems("kubelet", "1.36.3", boot_id_file="/proc/sys/kernel/random/boot_id") == []


@pytest.mark.parametrize(
    ("component", "version", "flag", "value"),
    [
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "30"),
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "0x1e"),
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "-1"),
        ("kube-apiserver", "1.37.1", "request-timeout", "1h30m"),
        ("kube-apiserver", "1.37.1", "request-timeout", "0"),
        ("kube-apiserver", "1.37.1", "request-timeout", "1.5s"),
        ("kube-apiserver", "1.37.1", "profiling", "F"),
        ("kube-apiserver", "1.37.1", "goaway-chance", ".001"),
        ("kube-apiserver", "1.37.1", "bind-address", "::"),
        ("kube-apiserver", "1.37.1", "bind-address", "010.0.0.1"),
        ("kube-apiserver", "1.37.1", "tls-min-version", "VersionTLS13"),
        ("kube-apiserver", "1.37.1", "tls-cipher-suites", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("kube-apiserver", "1.37.1", "tls-curve-preferences", "4588,29,23,24"),
        ("kube-apiserver", "1.37.1", "audit-log-path", ""),
        ("kube-apiserver", "1.37.1", "feature-gates", "AllAlpha=false,kube:AllBeta=true"),
        ("kube-apiserver", "1.37.1", "feature-gates", ""),
        ("kube-apiserver", "1.37.1", "v", "2"),
        ("kubelet", "1.37.1", "feature-gates", "RotateKubeletServerCertificate=true"),
        ("etcd", "3.7.0", "feature-gates", "InitialCorruptCheck=true"),
        ("etcd", "3.7.0", "max-concurrent-streams", "4294967295"),
        ("etcd", "3.7.0", "initial-cluster-state", "existing"),
        ("etcd", "3.6.8", "experimental-initial-corrupt-check", "true"),
    ],
)
def test_values_that_are_taken(component: str, version: str, flag: str, value: str) -> None:
    assert versions.problems(component, version, {flag: [value]}).problems == []


@pytest.mark.parametrize(
    ("component", "version", "flag", "value", "sentence"),
    [
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "thirty", "--audit-log-maxage=thirty is not a whole number."),
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "3.5", "--audit-log-maxage=3.5 is not a whole number."),
        ("kube-apiserver", "1.37.1", "audit-log-maxage", "", "--audit-log-maxage='' is not a whole number."),
        ("kube-apiserver", "1.37.1", "request-timeout", "30", "is not a duration such as 1h30m or 45s."),
        ("kube-apiserver", "1.37.1", "request-timeout", "30 s", "--request-timeout='30 s' is not a duration"),
        ("kube-apiserver", "1.37.1", "profiling", "no", "--profiling=no is not true or false."),
        ("kube-apiserver", "1.37.1", "kubelet-port", "-1", "is not a whole number of 0 or more."),
        ("kube-apiserver", "1.37.1", "goaway-chance", "1%", "--goaway-chance=1% is not a number."),
        ("kube-apiserver", "1.37.1", "bind-address", "localhost", "--bind-address=localhost is not an IP address."),
        (
            "kube-apiserver",
            "1.37.1",
            "tls-min-version",
            "TLS1.2",
            "--tls-min-version does not take TLS1.2.",
        ),
        (
            "kube-apiserver",
            "1.37.1",
            "tls-cipher-suites",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA256",
            "--tls-cipher-suites does not take TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA256; the nearest",
        ),
        ("kube-apiserver", "1.37.1", "tls-curve-preferences", "X25519", "is not a list of whole numbers."),
        (
            "kube-apiserver",
            "1.37.1",
            "disable-admission-plugins",
            "podsecurity",
            (
                "has no admission plugin podsecurity (--disable-admission-plugins); the nearest that it has is "
                "PodSecurity."
            ),
        ),
        (
            "kube-apiserver",
            "1.37.1",
            "feature-gates",
            "AnyVolumeDataSource=true",
            "no feature gate AnyVolumeDataSource",
        ),
        (
            "kube-apiserver",
            "1.37.1",
            "feature-gates",
            "AllAlpha",
            "takes AllAlpha=true or AllAlpha=false, not AllAlpha.",
        ),
        ("kube-apiserver", "1.37.1", "feature-gates", "AllAlpha=on", "takes AllAlpha=true or AllAlpha=false, not"),
        ("kube-apiserver", "1.36.3", "feature-gates", "KubeletFineGrainedAuthz=false", "is locked to true."),
        ("etcd", "3.7.0", "initial-cluster-state", "old", "--initial-cluster-state does not take old."),
        ("etcd", "3.7.0", "experimental-initial-corrupt-check", "true", "3.6 was the last version with it."),
        ("etcd", "3.7.0", "discovery", "https://x", "etcd 3.7.0 has no flag --discovery: 3.6 was the last version"),
    ],
)
def test_values_that_are_refused(component: str, version: str, flag: str, value: str, sentence: str) -> None:
    (problem,) = versions.problems(component, version, {flag: [value]}).problems
    assert problem.startswith(f"{component} {version}")
    assert sentence in problem


def test_a_locked_gate_may_be_what_it_is() -> None:
    assert problems("kube-apiserver", "1.36.3", feature_gates="KubeletFineGrainedAuthz=true") == []


def test_a_gate_of_another_component() -> None:
    gate = "ControllerManagerReleaseLeaderElectionLockOnExit=true"
    assert problems("kube-controller-manager", "1.37.1", feature_gates=gate) == []
    assert len(problems("kube-scheduler", "1.37.1", feature_gates=gate)) == 1


def test_a_gate_whose_default_is_not_the_same_everywhere() -> None:
    table = Table.load("1.34")
    assert table.gates("kube-controller-manager")["WatchListClient"].default is True
    assert table.gates("kubelet")["WatchListClient"].default is False


def test_the_items_of_all_occurrences_are_judged() -> None:
    assert len(problems("kube-apiserver", "1.37.1", enable_admission_plugins=["NodeRestriction,A", "B"])) == 2
    # etcd's lists replace one another.
    assert problems("etcd", "3.7.0", auto_tls=["x", "true"]) == []


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            {"authentication-config": ["/a"], "oidc-issuer-url": ["https://a"], "oidc-client-id": ["b"]},
            "does not start with --authentication-config beside --oidc-client-id, --oidc-issuer-url.",
        ),
        (
            {"authorization-config": ["/a"], "authorization-mode": ["RBAC"]},
            "does not start with --authorization-config beside --authorization-mode.",
        ),
        (
            {"service-account-signing-endpoint": ["/a"], "service-account-key-file": ["/b"]},
            "does not start with --service-account-signing-endpoint beside --service-account-key-file.",
        ),
        (
            {
                "enable-admission-plugins": ["NodeRestriction,EventRateLimit"],
                "disable-admission-plugins": ["NodeRestriction"],
            },
            "does not start with the same admission plugin enabled and disabled: NodeRestriction.",
        ),
    ],
)
def test_contradictions(flags: dict[str, list[str]], sentence: str) -> None:
    assert versions.problems("kube-apiserver", "1.37.1", flags).problems == [f"kube-apiserver 1.37.1 {sentence}"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ({"tls-min-version": ["TLS1.3"], "cipher-suites": ["TLS_A"]}, True),
        ({"tls-min-version": ["TLS1.2"], "cipher-suites": ["TLS_A"]}, False),
        ({"tls-min-version": ["TLS1.3"]}, False),
        ({"cipher-suites": ["TLS_A"]}, False),
    ],
)
def test_etcd_takes_no_suites_beside_tls_1_3_alone(flags: dict[str, list[str]], found: bool) -> None:
    sentence = "etcd 3.7.0 does not start with --cipher-suites beside --tls-min-version=TLS1.3."
    assert versions.problems("etcd", "3.7.0", flags).problems == ([sentence] if found else [])


def warnings(component: str, version: str, **flags: str) -> list[str]:
    return versions.problems(
        component, version, {name.replace("_", "-"): [value] for name, value in flags.items()}
    ).warnings


ADVICE = "take it out before the upgrade, or it will not start."


def test_what_the_next_minor_drops() -> None:
    assert warnings("kubelet", "1.36.3", boot_id_file="/x", v="2") == [
        f"kubelet 1.37 has no flag --boot-id-file any more; {ADVICE}"
    ]
    assert warnings("etcd", "3.6.8", experimental_compact_hash_check_enabled="true") == [
        f"etcd 3.7 has no flag --experimental-compact-hash-check-enabled any more; {ADVICE}"
    ]
    assert warnings("kube-apiserver", "1.36.3", feature_gates="AnyVolumeDataSource=true") == [
        f"kube-apiserver 1.37 has no feature gate AnyVolumeDataSource any more; {ADVICE}"
    ]
    gates = {"feature-gates": ["KubeletFineGrainedAuthz=false"]}
    (locked,) = versions.dropped(Table.load("1.34"), Table.load("1.36"), "kubelet", gates)
    assert locked == f"kubelet 1.36 locks the feature gate KubeletFineGrainedAuthz to true; {ADVICE}"
    assert warnings("kube-apiserver", "1.37.1", profiling="false") == []


def test_the_next_minor_is_not_always_asked() -> None:
    assert versions.problems("kubelet", "1.36.3", {"boot-id-file": ["/x"]}, next_minor=False).warnings == []


# ---- configuration files

KUBELET = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
ADMISSION = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
EVENTS = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}


@pytest.mark.parametrize(
    "document",
    [
        KUBELET,
        {**KUBELET, "authentication": {"anonymous": {"enabled": False}, "x509": None}},
        {**KUBELET, "evictionHard": {"memory.available": "100Mi"}, "featureGates": {"A": True}},
        {**KUBELET, "clusterDNS": ["10.96.0.10"], "streamingConnectionIdleTimeout": "5m", "readOnlyPort": 0},
        {**KUBELET, "kubeAPIQPS": 50, "registerWithTaints": [{"key": "a", "effect": "NoSchedule"}]},
        {
            **ADMISSION,
            "plugins": [
                {"name": "EventRateLimit", "configuration": {**EVENTS, "limits": [{"type": "Server", "qps": 5000}]}},
                {"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": {"anything": 1}}},
                {"name": "PodSecurity", "path": "/etc/pod-security.yaml"},
            ],
        },
    ],
)
def test_documents_that_are_well(document: dict[str, object]) -> None:
    assert versions.judge_document(LATEST, document, "x") == []


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "x is no mapping."),
        (
            {**KUBELET, "apiVersion": "kubelet.config.k8s.io/v1"},
            (
                "x is kubelet.config.k8s.io/v1 KubeletConfiguration, which version 1.37.1 does not read; it reads "
                "kubelet.config.k8s.io/v1beta1 KubeletConfiguration."
            ),
        ),
        ({"apiVersion": "v1", "kind": "Pod"}, "x is v1 Pod, which version 1.37.1 does not read."),
        (
            {**KUBELET, "authentication": {"anonymous": {"enable": False}}},
            "x: version 1.37.1 has no field authentication.anonymous.enable; the nearest that it has is enabled.",
        ),
        ({**KUBELET, "readOnlyPort": "0"}, 'x: readOnlyPort must be a whole number, and is "0".'),
        ({**KUBELET, "seccompDefault": 1}, "x: seccompDefault must be true or false, and is 1."),
        ({**KUBELET, "clusterDNS": "10.96.0.10"}, 'x: clusterDNS must be a list, and is "10.96.0.10".'),
        ({**KUBELET, "authentication": True}, "x: authentication must be a mapping, and is true."),
        ({**KUBELET, "syncFrequency": 60}, "x: syncFrequency must be a duration such as 1h30m, and is 60."),
        ({**KUBELET, "evictionHard": {"a": 1}}, "x: evictionHard{} must be a text, and is 1."),
        (
            {**ADMISSION, "plugins": [{"name": "PodSecurty"}]},
            "x: version 1.37.1 has no admission plugin PodSecurty; the nearest that it has is PodSecurity.",
        ),
        (
            {**ADMISSION, "plugins": [{"name": "EventRateLimit", "configuration": {**EVENTS, "limit": []}}]},
            "x: plugins[].configuration: version 1.37.1 has no field limit; the nearest that it has is limits.",
        ),
    ],
)
def test_documents_that_are_not(document: object, sentence: str) -> None:
    assert versions.judge_document(LATEST, document, "x") == [sentence]


@pytest.mark.parametrize(
    ("fields", "sentences"),
    [
        ({"maxPods": 110}, []),
        ({"maxPods": 110.0}, []),  # JSON has one kind of number
        ({"maxPodz": 110}, []),  # the kubelet starts, and verify tells of it
        ({"maxPods": "110"}, ['x: maxPods must be a whole number, and is "110".']),
        ({"maxPods": True}, ["x: maxPods must be a whole number, and is true."]),
        (
            {"authentication": {"anonymous": {"enabled": "no"}, "x509": []}},
            [
                'x: authentication.anonymous.enabled must be true or false, and is "no".',
                "x: authentication.x509 must be a mapping, and is [].",
            ],
        ),
        ({"evictionHard": {"memory.available": 100}}, ["x: evictionHard{} must be a text, and is 100."]),
        ({"maxPods": None}, []),
        ({"logging": {"flushFrequency": 0}}, []),  # as kubeadm writes it
        ({"logging": {"flushFrequency": "5s"}}, []),
        ({"syncFrequency": 0}, ["x: syncFrequency must be a duration such as 1h30m, and is 0."]),
    ],
)
def test_values_at_which_a_kubelet_ends(fields: dict[str, object], sentences: list[str]) -> None:
    assert versions.values_of_no_use(LATEST, {**KUBELET, **fields}, "x") == sentences


# ---- on a host, without the files


def test_a_part_travels_as_a_parameter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = json.loads(json.dumps(LATEST.part(["kubelet"])))
    monkeypatch.setattr(versions, "DIRECTORY", str(tmp_path / "not there"))
    table = Table.from_data(part)
    assert table.components == ["kubelet"]
    assert versions.judge(table, "kubelet", "1.37.1", {"max-pods": ["110"]}) == []
    assert versions.judge(table, "kubelet", "1.37.1", {"max-podz": ["many"]}) == [
        "kubelet 1.37.1 has no flag --max-podz; the nearest that it has is --max-pods."
    ]


# ---- numbers, as Go reads them


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("-5", -5), ("+7", 7), ("010", 8), ("0o10", 8), ("0b11", 3), ("0xFF", 255), ("1_000", 1000)],
)
def test_integers(text: str, number: int) -> None:
    assert versions.integer(text) == number


@pytest.mark.parametrize("text", ["", "-", "1e3", "08", "1__0", "_1", "0x", " 1", "1 ", "\u0661", "9" * 100])
def test_no_integers(text: str) -> None:
    assert versions.integer(text) is None


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_integer_of_64_bits_is_one(number: int) -> None:
    assert versions.problems("kube-apiserver", "1.37.1", {"max-requests-inflight": [str(number)]}).problems == []


@given(st.text(max_size=80), st.sampled_from(["audit-log-maxage", "request-timeout", "bind-address", "feature-gates"]))
def test_no_value_is_too_strange(value: str, flag: str) -> None:
    for problem in versions.problems("kube-apiserver", "1.37.1", {flag: [value]}).problems:
        assert problem.isprintable()
        assert len(problem) < 400
