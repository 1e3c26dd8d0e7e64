# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import (
    ClusterConfiguration,
    ExtraVolume,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
PLAIN = (FIXTURES / "plain" / "cluster-configuration.yaml").read_text(encoding="utf-8")
PAST = (FIXTURES / "past" / "cluster-configuration.yaml").read_text(encoding="utf-8")
API = "kube-apiserver"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")

# As kubeadm up to 1.30 wrote it.
OLD = """\
apiServer:
  extraArgs:
    authorization-mode: Node,RBAC
  timeoutForControlPlane: 4m0s
apiVersion: kubeadm.k8s.io/v1beta3
certificatesDir: /etc/kubernetes/pki
clusterName: kubernetes
controllerManager: {}
dns: {}
etcd:
  local:
    dataDir: /var/lib/etcd
imageRepository: registry.k8s.io
kind: ClusterConfiguration
kubernetesVersion: v1.34.4
networking:
  dnsDomain: cluster.local
  serviceSubnet: 10.96.0.0/12
scheduler: {}
"""


def configuration(**content: Any) -> str:
    return yaml.safe_dump({"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", **content})


# ---- reading


def test_what_kubeadm_writes() -> None:
    plain, past = ClusterConfiguration.parse(PLAIN), ClusterConfiguration.parse(PAST)
    assert plain.api_version == "kubeadm.k8s.io/v1beta4"
    assert plain.content == yaml.safe_load(PLAIN)
    assert all(plain.extra_args(component) == [] for component in COMPONENTS)
    assert all(plain.extra_volumes(component) == [] for component in COMPONENTS)
    assert past.extra_args(API) == [
        ("audit-log-maxage", "90"),
        ("audit-log-path", "/var/log/audit/kube.log"),
        ("audit-policy-file", "/etc/kubernetes/audit/policy.yaml"),
        ("enable-admission-plugins", "NodeRestriction,AlwaysPullImages"),
        ("tls-min-version", "VersionTLS13"),
    ]
    assert past.extra_args("kube-controller-manager") == [("terminated-pod-gc-threshold", "500")]
    assert past.extra_args("etcd") == [("quota-backend-bytes", "4294967296")]
    assert past.extra_volumes(API) == [
        ExtraVolume("audit", "/etc/kubernetes/audit", "/etc/kubernetes/audit", True, "DirectoryOrCreate"),
        ExtraVolume("audit-log", "/var/log/audit", "/var/log/audit", False, "DirectoryOrCreate"),
    ]
    assert ClusterConfiguration.parse(OLD).extra_args(API) == [("authorization-mode", "Node,RBAC")]


def test_extra_arg_values() -> None:
    text = configuration(
        apiServer={"extraArgs": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}, {"name": "b"}]}
    )
    parsed = ClusterConfiguration.parse(text)
    assert parsed.extra_arg_values(API, "--a") == ["1", "2"]
    assert parsed.extra_arg_values(API, "b") == [""]
    assert parsed.extra_arg_values(API, "c") == []


def test_values_that_are_no_strings() -> None:
    values = {"a": 30, "b": True, "c": [1], "d": None}
    listed = [{"name": name, "value": value} for name, value in values.items()]
    parsed = ClusterConfiguration.parse(configuration(apiServer={"extraArgs": listed}))
    assert parsed.extra_args(API) == [("a", "30"), ("b", "true"), ("c", "[1]"), ("d", "")]
    # kubeadm would refuse the number, so it is written anew.
    parsed.set_extra_arg(API, "a", "30")
    assert parsed.content["apiServer"]["extraArgs"][0]["value"] == "30"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "kubeadm-config is empty"),
        ("{", "kubeadm-config is no YAML"),
        ("[]", "does not hold a ClusterConfiguration"),
        ("kind: InitConfiguration\n", "does not hold a ClusterConfiguration"),
        (PLAIN + "---\n" + PLAIN, "holds several YAML documents"),
        ("kind: ClusterConfiguration\n", "is written in None, and only"),
        (
            "kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta5\n",
            "v1beta5, and only kubeadm.k8s.io/v1beta3 and kubeadm.k8s.io/v1beta4 are known",
        ),
        ("kind: ClusterConfiguration\napiVersion: []\n", "is written in [], and only"),
    ],
)
def test_what_is_no_configuration(text: str, sentence: str) -> None:
    with pytest.raises(HardeningError) as raised:
        ClusterConfiguration.parse(text)
    assert sentence in str(raised.value)
    assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")


@pytest.mark.parametrize(
    ("content", "component", "sentence"),
    [
        ({}, "kubelet", "has no place for kubelet"),
        ({"apiServer": []}, API, "apiServer must be a mapping"),
        ({"etcd": "x"}, "etcd", "etcd must be a mapping"),
        ({"etcd": {"local": 1}}, "etcd", "etcd.local must be a mapping"),
        ({"etcd": {"external": {"endpoints": []}}}, "etcd", "etcd is external"),
        ({"apiServer": {"extraArgs": {"a": "b"}}}, API, "apiServer.extraArgs must be a list of names and values in"),
        ({"apiServer": {"extraArgs": "x"}}, API, "apiServer.extraArgs must be a list of names and values in"),
        ({"apiServer": {"extraArgs": ["x"]}}, API, "an item of extraArgs of kube-apiserver has no name"),
        ({"apiServer": {"extraArgs": [{"name": 1}]}}, API, "an item of extraArgs of kube-apiserver has no name"),
    ],
)
def test_a_place_that_cannot_be_used(content: dict[str, Any], component: str, sentence: str) -> None:
    text = configuration(**content)
    parsed = ClusterConfiguration.parse(text)
    for act in (
        lambda: parsed.extra_args(component),
        lambda: parsed.set_extra_arg(component, "x", "1"),
        lambda: parsed.remove_extra_arg(component, "x"),
    ):
        with pytest.raises(HardeningError) as raised:
            act()
        assert sentence in str(raised.value)
        assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")
    assert parsed.text == text


def test_a_list_in_the_old_version_is_refused() -> None:
    text = OLD.replace("    authorization-mode: Node,RBAC\n", "  - name: a\n")
    with pytest.raises(HardeningError, match=r"must be a mapping in kubeadm\.k8s\.io/v1beta3, and is not"):
        ClusterConfiguration.parse(text).extra_args(API)


# ---- arguments


def test_the_first_argument_of_each_component() -> None:
    parsed = ClusterConfiguration.parse(PLAIN)
    for component in COMPONENTS:
        parsed.set_extra_arg(component, "--profiling", "false")
    assert parsed.text == PLAIN.replace(
        "apiServer: {}\n", 'apiServer:\n  extraArgs:\n  - name: profiling\n    value: "false"\n'
    ).replace(
        "controllerManager: {}\n", 'controllerManager:\n  extraArgs:\n  - name: profiling\n    value: "false"\n'
    ).replace("scheduler: {}\n", 'scheduler:\n  extraArgs:\n  - name: profiling\n    value: "false"\n').replace(
        "    dataDir: /var/lib/etcd\n",
        '    dataDir: /var/lib/etcd\n    extraArgs:\n    - name: profiling\n      value: "false"\n',
    )
    for component in COMPONENTS:
        parsed.remove_extra_arg(component, "profiling")
    assert parsed.text == PLAIN


def test_the_first_argument_of_each_component_in_the_old_version() -> None:
    parsed = ClusterConfiguration.parse(OLD)
    for component in COMPONENTS:
        parsed.set_extra_arg(component, "v", "4")
        parsed.set_extra_arg(component, "audit-log-path", "/var/log/x")
    arguments = '  extraArgs:\n    v: "4"\n    audit-log-path: /var/log/x\n'
    expected = OLD.replace(
        "    authorization-mode: Node,RBAC\n",
        # Sorted, as kubeadm writes a mapping.
        '    audit-log-path: /var/log/x\n    authorization-mode: Node,RBAC\n    v: "4"\n',
    )
    expected = expected.replace("controllerManager: {}\n", "controllerManager:\n" + arguments)
    expected = expected.replace("scheduler: {}\n", "scheduler:\n" + arguments)
    etcd = '    extraArgs:\n      v: "4"\n      audit-log-path: /var/log/x\n'
    assert parsed.text == expected.replace("    dataDir: /var/lib/etcd\n", "    dataDir: /var/lib/etcd\n" + etcd)
    for component in COMPONENTS:
        parsed.remove_extra_arg(component, "v")
        parsed.remove_extra_arg(component, "audit_log_path")
    assert parsed.text == OLD


def test_values_are_changed_where_they_stand() -> None:
    parsed = ClusterConfiguration.parse(PAST)
    parsed.set_extra_arg(API, "audit-log-maxage", "120")
    parsed.set_extra_arg(API, "tls-min-version", "VersionTLS12")
    parsed.set_extra_arg("etcd", "quota-backend-bytes", "4294967296")
    assert parsed.text == PAST.replace('"90"', '"120"').replace("VersionTLS13", "VersionTLS12")
    old = ClusterConfiguration.parse(OLD)
    old.set_extra_arg(API, "authorization-mode", "Node,RBAC,Webhook")
    assert old.text == OLD.replace("Node,RBAC", "Node,RBAC,Webhook")


def test_several_values() -> None:
    parsed = ClusterConfiguration.parse(PLAIN)
    parsed.set_extra_arg(API, "a", ["1", "2", "3"])
    parsed.set_extra_arg(API, "b", "x")
    parsed.set_extra_arg(API, "a", ["1", "4"])
    assert parsed.extra_args(API) == [("a", "1"), ("a", "4"), ("b", "x")]
    parsed.set_extra_arg(API, "a", ["1", "4", "5"])
    assert parsed.extra_args(API) == [("a", "1"), ("a", "4"), ("a", "5"), ("b", "x")]
    parsed.set_extra_arg(API, "a", "6")
    assert parsed.extra_args(API) == [("a", "6"), ("b", "x")]
    parsed.set_extra_arg(API, "a", [])
    parsed.remove_extra_arg(API, "b")
    assert parsed.text == PLAIN
    old = ClusterConfiguration.parse(OLD)
    with pytest.raises(
        HardeningError, match=r"a of kube-apiserver needs 2 values, which kubeadm\.k8s\.io/v1beta3 cannot"
    ):
        old.set_extra_arg(API, "a", ["1", "2"])
    assert old.text == OLD


def test_an_argument_without_a_value() -> None:
    parsed = ClusterConfiguration.parse(configuration(apiServer={"extraArgs": [{"name": "a"}]}))
    parsed.set_extra_arg(API, "a", "1")
    assert parsed.extra_args(API) == [("a", "1")]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"apiServer": None},
        {"apiServer": {}},
        {"apiServer": {"extraArgs": None}},
        {"apiServer": {"extraArgs": []}},
        {"apiServer": {"extraArgs": {}}},
    ],
)
@pytest.mark.parametrize("version", ["v1beta3", "v1beta4"])
def test_every_kind_of_nothing(content: dict[str, Any], version: str) -> None:
    empty: Any = {} if version == "v1beta3" else []
    if content.get("apiServer") and content["apiServer"]["extraArgs"] is not None:
        content = {"apiServer": {"extraArgs": empty}}
    parsed = ClusterConfiguration.parse(configuration(**content).replace("v1beta4", version))
    assert parsed.extra_args(API) == []
    parsed.set_extra_arg(API, "a", "1")
    assert parsed.extra_args(API) == [("a", "1")]
    parsed.remove_extra_arg(API, "a")
    assert parsed.extra_args(API) == []


def test_etcd_from_nothing() -> None:
    parsed = ClusterConfiguration.parse(configuration())
    parsed.set_extra_arg("etcd", "a", "1")
    assert parsed.content["etcd"] == {"local": {"extraArgs": [{"name": "a", "value": "1"}]}}
    assert parsed.extra_volumes("etcd") == []


# ---- volumes


def test_extra_volumes_as_kubeadm_writes_them() -> None:
    parsed = ClusterConfiguration.parse(PLAIN)
    volume = parsed.ensure_extra_volume(API, "k", "/etc/kubernetes/k", "/etc/kubernetes/k")
    assert volume == ExtraVolume("k", "/etc/kubernetes/k", "/etc/kubernetes/k", True, "DirectoryOrCreate")
    parsed.ensure_extra_volume(API, "log", "/var/log/a", "/var/log/a", read_only=False, path_type="")
    assert parsed.text == PLAIN.replace(
        "apiServer: {}\n",
        "apiServer:\n  extraVolumes:\n"
        "  - hostPath: /etc/kubernetes/k\n    mountPath: /etc/kubernetes/k\n    name: k\n"
        "    pathType: DirectoryOrCreate\n    readOnly: true\n"
        "  - hostPath: /var/log/a\n    mountPath: /var/log/a\n    name: log\n",
    )
    once = parsed.text
    assert parsed.ensure_extra_volume(API, "k", "/etc/kubernetes/k", "/etc/kubernetes/k") == volume
    assert parsed.ensure_extra_volume(API, "q", "/var/log/a/b", "/var/log/a/b", read_only=False).name == "log"
    assert parsed.text == once
    parsed.remove_extra_volume(API, "k")
    parsed.remove_extra_volume(API, "no-such-volume")
    parsed.remove_extra_volume(API, "log")
    assert parsed.text == PLAIN


def test_extra_volumes_beside_the_owners() -> None:
    parsed = ClusterConfiguration.parse(PAST)
    assert parsed.ensure_extra_volume(API, "audit", "/a", "/a").name == "audit-2"
    assert parsed.ensure_extra_volume(API, "audit", "/b", "/b").name == "audit-3"
    assert [volume.name for volume in parsed.extra_volumes(API)] == ["audit", "audit-log", "audit-2", "audit-3"]
    parsed.remove_extra_volume(API, "audit-3")
    parsed.remove_extra_volume(API, "audit-2")
    assert parsed.text == PAST


def test_an_extra_volume_becomes_writable() -> None:
    parsed = ClusterConfiguration.parse(PAST)
    volume = parsed.ensure_extra_volume(API, "n", "/etc/kubernetes/audit", "/etc/kubernetes/audit", read_only=False)
    assert volume == ExtraVolume("audit", "/etc/kubernetes/audit", "/etc/kubernetes/audit", False, "DirectoryOrCreate")
    assert parsed.text == PAST.replace("    readOnly: true\n", "")
    parsed = ClusterConfiguration.parse(PAST)
    below = parsed.ensure_extra_volume(API, "n", "/etc/kubernetes/audit/x", "/etc/kubernetes/audit/x", read_only=False)
    assert (below.name, below.read_only) == ("n", False)
    assert parsed.extra_volumes(API)[0].read_only


def test_extra_volumes_that_cannot_be() -> None:
    parsed = ClusterConfiguration.parse(PAST)
    with pytest.raises(
        HardeningError, match="has /var/log/audit mounted at /var/log/audit of kube-apiserver, where /x is"
    ):
        parsed.ensure_extra_volume(API, "n", "/x", "/var/log/audit")
    with pytest.raises(HardeningError, match="kubeadm knows no extra volumes for etcd"):
        parsed.ensure_extra_volume("etcd", "n", "/x", "/x")
    assert parsed.text == PAST
    for volumes in ("x", ["x"], {"a": "b"}):
        bad = ClusterConfiguration.parse(configuration(apiServer={"extraVolumes": volumes}))
        with pytest.raises(HardeningError, match="extraVolumes of kube-apiserver must be a list of mappings"):
            bad.ensure_extra_volume(API, "n", "/x", "/x")


def test_kubeadm_would_render_the_manifest_that_we_write() -> None:
    """The past fixture's manifest is what kubeadm rendered from the past fixture's configuration."""
    parsed, manifest = ClusterConfiguration.parse(PAST), Manifest.parse((FIXTURES / "past" / f"{API}.yaml").read_text())
    for flag, value in parsed.extra_args(API):
        assert manifest.flag_values(API, flag) == [value]
    for volume in parsed.extra_volumes(API):
        mount = manifest.mount_for(API, volume.mount_path)
        assert mount is not None
        assert (mount.name, mount.host_path, mount.read_only) == (volume.name, volume.host_path, volume.read_only)


# ---- in every style

names = st.sampled_from(["audit-log-maxage", "profiling", "v", "tls-min-version"])
texts = st.sampled_from(["90", "false", "4", "VersionTLS13", "a b", "x: y", ""])


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    value: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/v1beta{draw(st.integers(3, 4))}",
        "kind": "ClusterConfiguration",
    }
    for place in ("apiServer", "controllerManager", "scheduler"):
        arguments = draw(st.dictionaries(names, texts, max_size=3))
        component: dict[str, Any] = {"certSANs": ["a.example.net"]} if draw(st.booleans()) else {}
        if arguments:
            listed = [{"name": name, "value": text} for name, text in arguments.items()]
            component["extraArgs"] = listed if value["apiVersion"].endswith("4") else arguments
        value[place] = component
    value["etcd"] = {"local": {"dataDir": "/var/lib/etcd"}}
    return value


@settings(deadline=None)
@given(configurations(), st.sampled_from(COMPONENTS), names, texts, st.randoms(use_true_random=False))
def test_set_extra_arg_and_its_reverse(
    value: dict[str, Any], component: str, name: str, new: str, rng: random.Random
) -> None:
    text = styles.write(value, rng)
    parsed = ClusterConfiguration.parse(text)
    before = {one: parsed.extra_args(one) for one in COMPONENTS}
    old = parsed.extra_arg_values(component, name)
    parsed.set_extra_arg(component, name, new)
    assert parsed.extra_arg_values(component, name) == [new]
    assert {one: parsed.extra_args(one) for one in COMPONENTS if one != component} == {
        one: before[one] for one in COMPONENTS if one != component
    }
    once = parsed.text
    parsed.set_extra_arg(component, name, new)
    assert parsed.text == once
    if old:
        parsed.set_extra_arg(component, name, old[0])
        assert parsed.content == value
    else:
        parsed.remove_extra_arg(component, name)
        assert parsed.text == text


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "a", "/a", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "local",
                        "external",
                        "extraArgs",
                        "extraVolumes",
                        "name",
                        "value",
                        "hostPath",
                        "mountPath",
                        "readOnly",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    ),
    st.sampled_from(["apiServer", "etcd"]),
    st.sampled_from(["v1beta3", "v1beta4"]),
)
def test_any_configuration_is_edited_or_refused(junk: Any, place: str, version: str) -> None:
    text = configuration(**{place: junk}).replace("v1beta4", version)
    component = API if place == "apiServer" else "etcd"
    for act in (
        lambda c: c.extra_args(component),
        lambda c: c.set_extra_arg(component, "name", "1"),
        lambda c: c.remove_extra_arg(component, "name"),
        lambda c: c.extra_volumes(component),
        lambda c: c.ensure_extra_volume(component, "x", "/a", "/a/b"),
        lambda c: c.remove_extra_volume(component, "x"),
    ):
        try:
            act(ClusterConfiguration.parse(text))
        except HardeningError as error:
            message = str(error)
        else:
            continue
        assert message.endswith("Nothing was changed; correct it, and run again.")
