# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import random
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import (
    Manifest,
    Mount,
    trial_manifest,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
API = "kube-apiserver"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


def fixture(kind: str, component: str) -> str:
    return (FIXTURES / kind / f"{component}.yaml").read_text(encoding="utf-8")


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that only the one text has, and those that only the other has."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


# A cluster with a past: what an owner's hands leave in a manifest.
PAST = """\
# edited by hand, ask Ada before you touch this
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  namespace: kube-system
  labels: {component: kube-apiserver, tier: control-plane}
spec:
  containers:
    - name: log-shipper   # ours
      image: registry.example.net/shipper:1
      command: ["ship", "--secure-port=9"]
      volumeMounts: [{name: logs, mountPath: /logs}]
    - name: kube-apiserver
      image: registry.k8s.io/kube-apiserver:v1.37.1
      command:
        - /usr/local/bin/kube-apiserver
      args:
        # --- addresses
        - --advertise-address=192.0.2.11
        - "--secure-port=6443"   # do not move
        - --audit-log-maxage
        - "90"                   # the auditor wants 90
        - '--audit-log-path'
        - '/logs/audit.log'

        # --- authorisation
        - --authorization-mode=RBAC,Node,Webhook
        - --profiling
        - --service-account-issuer=https://a.example.net
        - --service-account-issuer=https://b.example.net
        # - --anonymous-auth=false   broke the probes in 2024
      volumeMounts:
        - mountPath: /etc/kubernetes/pki
          name: pki
          readOnly: true
        - {mountPath: /logs, name: logs}
      readinessProbe: {httpGet: {path: /readyz, port: 6443, scheme: HTTPS}}
  volumes:
    - name: pki
      hostPath: {path: /etc/kubernetes/pki, type: Directory}
    - name: logs
      hostPath:
        path: /var/log/kube
  hostNetwork: true
"""


# ---- reading


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_kubeadm_writes(component: str) -> None:
    manifest = Manifest.parse(fixture("plain", component))
    assert manifest.has_component(component)
    assert manifest.container(component)["name"] == component
    assert manifest.arguments(component) == yaml.safe_load(manifest.text)["spec"]["containers"][0]["command"]
    assert manifest.pod == yaml.safe_load(manifest.text)
    assert manifest.text == fixture("plain", component)


def test_what_hands_write() -> None:
    manifest = Manifest.parse(PAST)
    assert manifest.arguments(API)[:6] == [
        "/usr/local/bin/kube-apiserver",
        "--advertise-address=192.0.2.11",
        "--secure-port=6443",
        "--audit-log-maxage",
        "90",
        "--audit-log-path",
    ]
    assert manifest.flag_values(API, "audit-log-maxage") == ["90"]
    assert manifest.flag_values(API, "--audit_log_path") == ["/logs/audit.log"]
    assert manifest.flag_values(API, "profiling") == ["true"]
    assert manifest.flag_values(API, "service-account-issuer") == ["https://a.example.net", "https://b.example.net"]
    assert manifest.flag_values(API, "anonymous-auth") == []
    assert manifest.flag_values("log-shipper", "secure-port") == ["9"]


def pod(containers: list[dict[str, Any]], **spec: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": containers, **spec}})


@pytest.mark.parametrize(
    ("container", "argv", "values"),
    [
        ({"name": API, "args": ["--x=1"]}, ["--x=1"], ["1"]),
        ({"name": API, "command": [API, "--x"], "args": ["1", "--y"]}, [API, "--x", "1", "--y"], ["1"]),
        ({"name": "c1", "command": ["/bin/" + API, "--x=1"]}, ["/bin/" + API, "--x=1"], ["1"]),
        ({"name": API, "command": ["/go-runner", "--x=0", "/bin/" + API, "--x=1"]}, None, ["1"]),
        ({"name": API, "command": ["/hyperkube"], "args": [API, "--x=1"]}, None, ["1"]),
        ({"name": API, "command": ["/tini", "-g", "--", API, "--x=1"]}, None, ["1"]),
        ({"name": API, "args": ["--name", "sh", "--x=1"]}, None, ["1"]),
        ({"name": API, "args": ["--name", API, "--x=1"]}, None, ["1"]),
        ({"name": API, "args": ["--x=1", "--name", API]}, None, ["1"]),
        ({"name": API, "command": [API], "args": None}, [API], []),
        ({"name": API}, [], []),
        (
            {"name": API, "args": ["--x=$(A)-$(B)-$$(A)"], "env": [{"name": "A", "value": "a"}]},
            ["--x=a-$(B)-$(A)"],
            ["a-$(B)-$(A)"],
        ),
        ({"name": API, "args": ["--x=$(A)"], "env": [{"name": "A", "valueFrom": {}}]}, ["--x=$(A)"], ["$(A)"]),
    ],
)
def test_arguments(container: dict[str, Any], argv: list[str] | None, values: list[str]) -> None:
    manifest = Manifest.parse(pod([container]))
    assert argv is None or manifest.arguments(API) == argv
    assert manifest.flag_values(API, "x") == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "m.yaml is empty"),
        ("a: [", "m.yaml is no YAML: line 1:"),
        ("a: 1\n---\nb: 2\n", "m.yaml holds several YAML documents"),
        ("[]", "m.yaml is no manifest"),
        ("text", "m.yaml is no manifest"),
        ("a: 1", "m.yaml is no static pod manifest: it holds an object without a kind, not v1 Pod"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "it holds apps/v1 Deployment, not v1 Pod"),
        ("apiVersion: v2\nkind: Pod\n", "it holds v2 Pod, not v1 Pod"),
        ("apiVersion: v1\nkind: Pod\n", "m.yaml is a Pod without containers"),
        ("apiVersion: v1\nkind: Pod\nspec: []\n", "m.yaml is a Pod without containers"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: []}\n", "m.yaml is a Pod without containers"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: {a: b}}\n", "m.yaml is a Pod without containers"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: [a]}\n", "m.yaml has a container that is no mapping"),
        ("apiVersion: v1\nkind: Pod\nkind: Pod\n", "m.yaml has the key kind twice"),
    ],
)
def test_what_is_no_manifest(text: str, sentence: str) -> None:
    with pytest.raises(HardeningError) as raised:
        Manifest.parse(text, "m.yaml")
    assert sentence in str(raised.value)
    assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        ({"name": "x"}, "has no container that is called kube-apiserver or runs kube-apiserver"),
        ({"name": API, "command": [API, 90]}, "command of kube-apiserver must be a list of strings"),
        ({"name": API, "args": [True]}, "args of kube-apiserver must be a list of strings"),
        ({"name": API, "args": "--x=1"}, "args of kube-apiserver must be a list of strings"),
        ({"name": API, "command": ["/bin/sh", "-c", "exec kube-apiserver"]}, "starts kube-apiserver through a shell"),
        ({"name": API, "command": ["/tini", "--"], "args": ["sh", "-c", "x"]}, "starts kube-apiserver through a shell"),
        ({"name": API, "args": ["bash", "/a", API, "--x=1"]}, "starts kube-apiserver through a shell"),
    ],
)
def test_a_container_that_cannot_be_edited(container: dict[str, Any], sentence: str) -> None:
    manifest = Manifest.parse(pod([container]))
    for act in (
        lambda: manifest.arguments(API),
        lambda: manifest.flag_values(API, "x"),
        lambda: manifest.set_flag(API, "x", "1"),
        lambda: manifest.remove_flag(API, "x"),
    ):
        with pytest.raises(HardeningError) as raised:
            act()
        assert sentence in str(raised.value)
        assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")


# ---- flags


@pytest.mark.parametrize(
    ("flag", "value", "gone", "new"),
    [
        (
            "secure-port",
            "7443",
            ['        - "--secure-port=6443"   # do not move'],
            ['        - "--secure-port=7443"   # do not move'],
        ),
        (
            "audit-log-maxage",
            "120",
            ['        - "90"                   # the auditor wants 90'],
            ['        - "120"                   # the auditor wants 90'],
        ),
        ("audit-log-path", "/x", ["        - '/logs/audit.log'"], ["        - '/x'"]),
        ("profiling", "false", ["        - --profiling"], ["        - --profiling=false"]),
        ("profiling", "true", [], []),
        ("audit-log-maxage", "90", [], []),
        ("anonymous-auth", "false", [], ["        - --anonymous-auth=false"]),
        ("request-timeout", "1m", [], ["        - --request-timeout=1m"]),
        (
            "service-account-issuer",
            ["https://a.example.net", "https://c"],
            ["        - --service-account-issuer=https://b.example.net"],
            ["        - --service-account-issuer=https://c"],
        ),
        (
            "service-account-issuer",
            "https://c",
            [
                "        - --service-account-issuer=https://a.example.net",
                "        - --service-account-issuer=https://b.example.net",
            ],
            ["        - --service-account-issuer=https://c"],
        ),
        ("x", ["1", "2"], [], ["        - --x=1", "        - --x=2"]),
        ("audit-log-path", [], ["        - '--audit-log-path'", "        - '/logs/audit.log'"], []),
        ("x", [], [], []),
    ],
)
def test_set_flag_touches_its_own_lines_only(
    flag: str, value: str | list[str], gone: list[str], new: list[str]
) -> None:
    manifest = Manifest.parse(PAST)
    manifest.set_flag(API, flag, value)
    assert changed_lines(PAST, manifest.text) == (gone, new)
    assert manifest.flag_values(API, flag) == ([value] if isinstance(value, str) else value)
    again = manifest.text
    manifest.set_flag(API, flag, value)
    assert manifest.text == again


def test_a_new_occurrence_comes_behind_the_last_one() -> None:
    manifest = Manifest.parse(pod([{"name": API, "command": [API, "--x=1", "--y=1", "--x=2", "--z=1"]}]))
    manifest.set_flag(API, "x", ["1", "2", "3"])
    assert manifest.arguments(API) == [API, "--x=1", "--y=1", "--x=2", "--x=3", "--z=1"]


@pytest.mark.parametrize(
    ("container", "flag", "value", "expected"),
    [
        # in two words, where most of the others are
        ({"command": [API, "--a", "1"]}, "x", "2", {"command": [API, "--a", "1", "--x", "2"]}),
        ({"command": [API, "--a", "1"]}, "profiling", "false", {"command": [API, "--a", "1", "--profiling=false"]}),
        ({"command": [API, "--a", "1", "--b=2"]}, "x", "2", {"command": [API, "--a", "1", "--b=2", "--x=2"]}),
        # in the list in which the flags are
        ({"command": [API], "args": ["--a=1"]}, "x", "2", {"command": [API], "args": ["--a=1", "--x=2"]}),
        ({"command": [API, "--a=1"], "args": []}, "x", "2", {"command": [API, "--a=1", "--x=2"], "args": []}),
        ({"command": [API], "args": []}, "x", "2", {"command": [API], "args": ["--x=2"]}),
        ({"command": [API], "args": None}, "x", "2", {"command": [API], "args": ["--x=2"]}),
        ({"command": [API]}, "x", "2", {"command": [API, "--x=2"]}),
        ({}, "x", "2", {"args": ["--x=2"]}),
        # split over both
        ({"command": [API, "--a"], "args": ["1"]}, "a", "2", {"command": [API, "--a"], "args": ["2"]}),
        ({"command": [API, "--a"], "args": ["1"]}, "x", "2", {"command": [API, "--a"], "args": ["1", "--x", "2"]}),
        ({"command": [API, "--a=1"], "args": ["--b=1"]}, "a", [], {"command": [API], "args": ["--b=1"]}),
        ({"command": [API, "--x"], "args": ["1"]}, "x", [], {"command": [API], "args": []}),
        # what follows -- is no flag
        ({"command": [API, "--a=1", "--", "--x=1"]}, "x", "2", {"command": [API, "--a=1", "--x=2", "--", "--x=1"]}),
        # as etcd also takes them, and klog
        ({"command": [API, "-a=1"]}, "a", "2", {"command": [API, "-a=2"]}),
        ({"command": [API, "-a", "1"]}, "a", "2", {"command": [API, "-a", "2"]}),
        ({"command": [API, "-v2"]}, "v", "4", {"command": [API, "-v=4"]}),
        ({"command": [API, "--audit_log_path=/a"]}, "audit-log-path", "/b", {"command": [API, "--audit_log_path=/b"]}),
        # before the program stand a wrapper's own
        (
            {"command": ["/go-runner", "--x=0", API, "--x=1"]},
            "x",
            "2",
            {"command": ["/go-runner", "--x=0", API, "--x=2"]},
        ),
        # a value is missing
        ({"command": [API, "--x"]}, "x", "2", {"command": [API, "--x=2"]}),
        # $(...) is written so that the kubelet leaves it alone
        ({"command": [API, "--x=1"]}, "x", "$(A)$$", {"command": [API, "--x=$$(A)$$$$"]}),
    ],
)
def test_set_flag_in_the_form_of_the_others(
    container: dict[str, Any], flag: str, value: str | list[str], expected: dict[str, Any]
) -> None:
    manifest = Manifest.parse(pod([{"name": API, **container}]))
    manifest.set_flag(API, flag, value)
    assert manifest.container(API) == {"name": API, **expected}
    assert manifest.flag_values(API, flag) == ([value] if isinstance(value, str) else value)
    assert json.loads(manifest.text)


def test_remove_flag_takes_every_occurrence() -> None:
    manifest = Manifest.parse(PAST)
    manifest.remove_flag(API, "service-account-issuer")
    manifest.remove_flag(API, "audit-log-path")
    manifest.remove_flag(API, "no-such-flag")
    gone, new = changed_lines(PAST, manifest.text)
    assert [line.strip() for line in gone] == [
        "- '--audit-log-path'",
        "- '/logs/audit.log'",
        "- --service-account-issuer=https://a.example.net",
        "- --service-account-issuer=https://b.example.net",
    ]
    assert new == []


def test_aliased_arguments_are_refused() -> None:
    text = PAST.replace("      args:\n", "      args: &args\n") + "  x: *args\n"
    manifest = Manifest.parse(text)
    with pytest.raises(HardeningError, match=r"spec\.containers\.1\.args is shared by a YAML anchor and alias"):
        manifest.set_flag(API, "profiling", "false")
    assert manifest.text == text


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_same_edits_as_kubeadm_makes_give_kubeadms_bytes(component: str) -> None:
    manifest = Manifest.parse(fixture("plain", component))
    wanted = Manifest.parse(fixture("past", component))
    for argument in wanted.arguments(component)[1:]:
        flag, _dummy, value = argument.partition("=")
        if component == API and flag == "--enable-admission-plugins":
            # kubeadm puts what overrides a default of its own behind the defaults.
            manifest.remove_flag(component, flag)
        manifest.set_flag(component, flag, value)
    for mount in wanted.mounts(component):
        assert mount.host_path is not None
        manifest.ensure_mount(
            component, mount.name, mount.host_path, mount.mount_path, mount.read_only, mount.host_path_type
        )
    assert manifest.text == fixture("past", component)


# ---- mounts


def test_mounts() -> None:
    manifest = Manifest.parse(PAST)
    assert manifest.mounts(API) == [
        Mount("pki", "/etc/kubernetes/pki", "/etc/kubernetes/pki", True, "Directory"),
        Mount("logs", "/logs", "/var/log/kube", False, ""),
    ]
    assert manifest.mount_for(API, "/logs/audit.log") == manifest.mounts(API)[1]
    assert manifest.mount_for(API, "/logs-of-others") is None
    assert manifest.host_path_of(API, "/logs/a/b") == "/var/log/kube/a/b"
    assert manifest.host_path_of(API, "/logs/") == "/var/log/kube"
    assert manifest.host_path_of(API, "/etc/ssl/x") is None


@pytest.mark.parametrize(
    ("mounts", "volumes", "path", "expected"),
    [
        # the longest mountPath counts
        ([("a", "/x"), ("b", "/x/y")], {"a": "/host/a", "b": "/host/b"}, "/x/y/z", "/host/b/z"),
        ([("b", "/x/y"), ("a", "/x")], {"a": "/host/a", "b": "/host/b"}, "/x/y/z", "/host/b/z"),
        ([("a", "/")], {"a": "/host"}, "/x", "/host/x"),
        ([("a", "/x/")], {"a": "/host/"}, "/x/y", "/host/y"),
        ([("a", "/x")], {"a": None}, "/x/y", None),
        ([("a", "/x")], {}, "/x/y", None),
        ([("a", "/x")], {"a": "/host"}, "/y", None),
        ([], {}, "/y", None),
    ],
)
def test_host_path_of(
    mounts: list[tuple[str, str]], volumes: dict[str, str | None], path: str, expected: str | None
) -> None:
    container = {"name": API, "volumeMounts": [{"name": name, "mountPath": place} for name, place in mounts]}
    listed = [
        {"name": name, "hostPath": {"path": place}} if place else {"name": name, "emptyDir": {}}
        for name, place in volumes.items()
    ]
    assert Manifest.parse(pod([container], volumes=listed)).host_path_of(API, path) == expected


def test_sub_paths() -> None:
    volumes = [{"name": "a", "hostPath": {"path": "/host", "type": "Directory"}}]
    mount = {"name": "a", "mountPath": "/x"}
    manifest = Manifest.parse(pod([{"name": API, "volumeMounts": [{**mount, "subPath": "s"}]}], volumes=volumes))
    assert manifest.host_path_of(API, "/x/y") == "/host/s/y"
    manifest = Manifest.parse(pod([{"name": API, "volumeMounts": [{**mount, "subPathExpr": "$(S)"}]}], volumes=volumes))
    assert manifest.host_path_of(API, "/x/y") is None


def test_a_mount_that_serves_stays() -> None:
    manifest = Manifest.parse(PAST)
    assert manifest.ensure_mount(API, "n", "/etc/kubernetes/pki", "/etc/kubernetes/pki").name == "pki"
    assert manifest.ensure_mount(API, "n", "/etc/kubernetes/pki/etcd/", "/etc/kubernetes/pki/etcd").name == "pki"
    assert manifest.ensure_mount(API, "n", "/var/log/kube", "/logs", read_only=True).name == "logs"
    assert manifest.text == PAST


def test_a_new_mount() -> None:
    manifest = Manifest.parse(PAST)
    mount = manifest.ensure_mount(API, "kubeharden", "/etc/kubernetes/kubeharden", "/etc/kubernetes/kubeharden")
    assert mount == Mount(
        "kubeharden", "/etc/kubernetes/kubeharden", "/etc/kubernetes/kubeharden", True, "DirectoryOrCreate"
    )
    assert changed_lines(PAST, manifest.text) == (
        [],
        [
            "        - mountPath: /etc/kubernetes/kubeharden",
            "          name: kubeharden",
            "    - hostPath:",
            "        path: /etc/kubernetes/kubeharden",
            "        type: DirectoryOrCreate",
            "      name: kubeharden",
        ],
    )
    manifest.remove_mount(API, "kubeharden")
    assert manifest.text == PAST


def test_a_name_that_is_taken_gets_a_number() -> None:
    manifest = Manifest.parse(PAST)
    assert manifest.ensure_mount(API, "logs", "/a", "/a", path_type="").name == "logs-2"
    assert manifest.ensure_mount(API, "logs", "/b", "/b").name == "logs-3"
    assert manifest.pod["spec"]["volumes"][2] == {"hostPath": {"path": "/a"}, "name": "logs-2"}


def test_a_volume_of_the_same_host_path_is_used_again() -> None:
    manifest = Manifest.parse(PAST)
    mount = manifest.ensure_mount("log-shipper", "n", "/etc/kubernetes/pki", "/pki")
    assert (mount.name, mount.read_only) == ("pki", True)
    assert len(manifest.pod["spec"]["volumes"]) == 2
    manifest.remove_mount("log-shipper", "pki")
    assert manifest.text == PAST


def test_only_what_must_be_becomes_writable() -> None:
    manifest = Manifest.parse(PAST)
    below = manifest.ensure_mount(API, "n", "/etc/kubernetes/pki/log", "/etc/kubernetes/pki/log", read_only=False)
    assert (below.name, below.read_only) == ("n", False)
    assert manifest.mounts(API)[0].read_only
    manifest = Manifest.parse(PAST)
    exact = manifest.ensure_mount(API, "n", "/etc/kubernetes/pki", "/etc/kubernetes/pki", read_only=False)
    assert exact == Mount("pki", "/etc/kubernetes/pki", "/etc/kubernetes/pki", False, "Directory")
    assert changed_lines(PAST, manifest.text) == (["          readOnly: true"], [])


def test_another_host_path_at_the_same_place_is_refused() -> None:
    manifest = Manifest.parse(PAST)
    with pytest.raises(HardeningError, match="mounts /var/log/kube at /logs of kube-apiserver, where /other is needed"):
        manifest.ensure_mount(API, "n", "/other", "/logs")
    with pytest.raises(HardeningError, match="Folder is no type of a hostPath volume"):
        manifest.ensure_mount(API, "n", "/other", "/x", path_type="Folder")
    assert manifest.text == PAST


def test_a_mount_below_another_one() -> None:
    manifest = Manifest.parse(PAST)
    assert manifest.ensure_mount(API, "n", "/other", "/logs/other").name == "n"
    assert manifest.host_path_of(API, "/logs/other/x") == "/other/x"


@pytest.mark.parametrize(
    ("container", "spec"),
    [({}, {}), ({"volumeMounts": []}, {"volumes": []}), ({"volumeMounts": None}, {"volumes": None})],
)
def test_the_first_mount(container: dict[str, Any], spec: dict[str, Any]) -> None:
    text = yaml.safe_dump(yaml.safe_load(pod([{"name": API, **container}], **spec)))
    manifest = Manifest.parse(text)
    manifest.ensure_mount(API, "n", "/a", "/b", False)
    assert manifest.mounts(API) == [Mount("n", "/b", "/a", False, "DirectoryOrCreate")]
    manifest.remove_mount(API, "n")
    assert manifest.mounts(API) == []
    assert "volumes" not in manifest.pod["spec"]
    assert container or manifest.text == text


def test_remove_mount() -> None:
    manifest = Manifest.parse(PAST)
    manifest.remove_mount(API, "no-such-volume")
    assert manifest.text == PAST
    # The sidecar still mounts it.
    manifest.remove_mount(API, "logs")
    assert changed_lines(PAST, manifest.text) == (["        - {mountPath: /logs, name: logs}"], [])
    manifest.remove_mount("log-shipper", "logs")
    assert [volume["name"] for volume in manifest.pod["spec"]["volumes"]] == ["pki"]


def test_remove_one_of_two_mounts() -> None:
    manifest = Manifest.parse(PAST)
    manifest.ensure_mount(API, "n", "/etc/kubernetes/pki", "/pki")
    manifest.remove_mount(API, "pki", "/pki")
    assert manifest.text == PAST


def test_a_flag_that_stands_there_countless_times_is_not_changed() -> None:
    """Each occurrence costs another proof of the whole text."""
    text = PAST.replace("        - --profiling\n", "        - --profiling\n" * 101)
    manifest = Manifest.parse(text)
    for edit in (lambda: manifest.remove_flag(API, "profiling"), lambda: manifest.set_flag(API, "profiling", "false")):
        with pytest.raises(HardeningError, match="kube-apiserver the flag --profiling 101 times"):
            edit()
    assert manifest.text == text


# ---- manifests in every style


FLAGS = ["audit-log-maxage", "audit-log-path", "authorization-mode", "profiling", "x"]
VALUES = ["a", "/var/log/x", "1", "30", "VersionTLS13"]


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    argv = [API]
    two_words = draw(st.booleans())
    for flag in draw(st.lists(st.sampled_from(FLAGS), max_size=5, unique=draw(st.booleans()))):
        value = draw(st.sampled_from(VALUES))
        if flag == "profiling":
            argv.append(draw(st.sampled_from(["--profiling", "--profiling=false"])))
        else:
            argv += [f"--{flag}", value] if two_words or draw(st.integers(0, 5)) == 0 else [f"--{flag}={value}"]
    split = draw(st.sampled_from([len(argv), len(argv), 1, 0, draw(st.integers(0, len(argv)))]))
    container: dict[str, Any] = {"name": API, "image": "registry.k8s.io/kube-apiserver:v1.37.1"}
    if split:
        container["command"] = argv[:split]
    if split < len(argv):
        container["args"] = argv[split:]
    names = draw(st.lists(st.sampled_from(["a", "b", "certs", "logs"]), max_size=3, unique=True))
    if names:
        container["volumeMounts"] = [{"mountPath": f"/m/{name}", "name": name, "readOnly": True} for name in names]
    spec: dict[str, Any] = {"containers": [container], "hostNetwork": True}
    if draw(st.booleans()):
        spec["containers"].insert(draw(st.integers(0, 1)), {"name": "sidecar", "command": ["s", "--x=1"]})
    if names:
        spec["volumes"] = [{"hostPath": {"path": f"/h/{name}", "type": "Directory"}, "name": name} for name in names]
    metadata = {"name": API, "labels": {"component": API}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


@settings(deadline=None)
@given(pods(), st.sampled_from(FLAGS), st.sampled_from(VALUES), st.randoms(use_true_random=False))
def test_set_flag_and_its_reverse(value: dict[str, Any], flag: str, new: str, rng: random.Random) -> None:
    text = styles.write(value, rng)
    manifest = Manifest.parse(text)
    old = manifest.flag_values(API, flag)
    others = {other: manifest.flag_values(API, other) for other in FLAGS if other != flag}
    form = [one for one in manifest.arguments(API) if one == f"--{flag}"]

    manifest.set_flag(API, flag, new)
    assert manifest.flag_values(API, flag) == [new]
    assert {other: manifest.flag_values(API, other) for other in others} == others
    once = manifest.text
    manifest.set_flag(API, flag, new)
    assert manifest.text == once

    if not old:
        manifest.remove_flag(API, flag)
        assert manifest.text == text
    elif len(old) == 1 and (flag != "profiling" or not form):
        manifest.set_flag(API, flag, old[0])
        assert manifest.pod == value
        # A number in a word of its own needs the quotes that a path does not need.
        if not form:
            assert manifest.text == text


@settings(deadline=None)
@given(pods(), st.booleans(), st.sampled_from(["", "File"]), st.randoms(use_true_random=False))
def test_ensure_mount_and_its_reverse(value: dict[str, Any], read_only: bool, kind: str, rng: random.Random) -> None:
    text = styles.write(value, rng)
    manifest = Manifest.parse(text)
    before = manifest.mounts(API)
    mount = manifest.ensure_mount(API, "certs", "/etc/kubernetes/kubeharden", "/etc/k", read_only, kind)
    assert mount.read_only is read_only
    assert manifest.host_path_of(API, "/etc/k/policy.yaml") == "/etc/kubernetes/kubeharden/policy.yaml"
    assert [one for one in manifest.mounts(API) if one != mount] == before
    once = manifest.text
    assert manifest.ensure_mount(API, "certs", "/etc/kubernetes/kubeharden", "/etc/k", read_only, kind) == mount
    assert manifest.text == once
    manifest.remove_mount(API, mount.name)
    assert manifest.text == text


@settings(deadline=None)
@given(
    pods(),
    st.lists(st.tuples(st.sampled_from(FLAGS), st.sampled_from(VALUES)), max_size=5),
    st.randoms(use_true_random=False),
)
def test_other_lines_stay(value: dict[str, Any], edits: list[tuple[str, str]], rng: random.Random) -> None:
    text = styles.write(value, rng, styles.any_style(rng, flow=0))
    manifest = Manifest.parse(text)
    for flag, new in edits:
        manifest.set_flag(API, flag, new)
    wanted = dict(edits)
    assert {flag: manifest.flag_values(API, flag) for flag in wanted} == {flag: [new] for flag, new in wanted.items()}
    # Values in words of their own are the only other lines that may change.
    words = re.compile(rf"\s*- *[\"']?({'|'.join(VALUES)})[\"']?(\s+#.*)?")
    kept = [
        line for line in text.splitlines() if not words.fullmatch(line) and not any(flag in line for flag in wanted)
    ]
    # A list that lost its last word is said to be empty, on the line of its key.
    rest = iter(manifest.text.replace(" []", "").splitlines())
    assert all(line.replace(" []", "") in rest for line in kept)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", API, "--x=1", "/a", "Pod", "v1"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "command",
                        "args",
                        "env",
                        "volumeMounts",
                        "volumes",
                        "mountPath",
                        "hostPath",
                        "path",
                        "type",
                        "readOnly",
                        "value",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["container", "volumeMounts", "volumes", "env", "args", "metadata"]),
)
def test_any_pod_is_edited_or_refused(junk: Any, place: str) -> None:
    container: dict[str, Any] = {"name": API, "command": [API]}
    spec: dict[str, Any] = {"containers": [container]}
    document: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": API}, "spec": spec}
    {"container": spec, "volumes": spec, "metadata": document}.get(place, container)[
        {"container": "containers"}.get(place, place)
    ] = junk
    for act in (
        lambda m: m.mounts(API),
        lambda m: m.set_flag(API, "x", "2"),
        lambda m: m.remove_flag(API, "x"),
        lambda m: m.ensure_mount(API, "x", "/a", "/b"),
        lambda m: m.remove_mount(API, "x"),
        lambda m: trial_manifest(m, API, "trial", 7443),
    ):
        try:
            act(Manifest.parse(yaml.safe_dump(copy.deepcopy(document))))
        except HardeningError as error:
            message = str(error)
        else:
            continue
        assert "Nothing was changed; " in message


def test_editing_takes_milliseconds() -> None:
    manifest = Manifest.parse(fixture("plain", API))
    start = time.process_time()
    for number in range(20):
        manifest.set_flag(API, f"flag-{number}", "x")
    # About 10 ms each where this was written; the limit is for machines that are much slower.
    assert (time.process_time() - start) / 20 < 0.2


# ---- trial


def trial(text: str, component: str = API, **options: Any) -> dict[str, Any]:
    result = trial_manifest(Manifest.parse(text), component, "kubeharden-trial", 7443, **options)
    value: dict[str, Any] = yaml.safe_load(result)
    return value


def flag_lines(manifest: dict[str, Any], flags: Iterable[str]) -> list[str]:
    argv = manifest["spec"]["containers"][0]["command"] + manifest["spec"]["containers"][0].get("args", [])
    return [word for word in argv if word.startswith(tuple(f"--{flag}=" for flag in flags))]


def test_trial_of_the_api_server() -> None:
    live = yaml.safe_load(fixture("past", API))
    value = trial(fixture("past", API), host_paths={"/var/log/audit": "/var/log/kubernetes/audit/trial"})
    assert value["metadata"] == {
        "labels": {"component": "kubeharden-trial", "tier": "control-plane"},
        "name": "kubeharden-trial",
        "namespace": "kube-system",
    }
    spec, container = value["spec"], value["spec"]["containers"][0]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Never", 1)
    assert spec["activeDeadlineSeconds"] == 300
    assert {key: spec[key] for key in ("hostNetwork", "priorityClassName", "securityContext")} == {
        key: live["spec"][key] for key in ("hostNetwork", "priorityClassName", "securityContext")
    }
    assert sorted(container) == ["command", "image", "imagePullPolicy", "name", "volumeMounts"]
    assert container["volumeMounts"] == live["spec"]["containers"][0]["volumeMounts"]
    own = ("secure-port", "bind-address", "endpoint-reconciler-type")
    assert flag_lines(value, own) == [
        "--secure-port=7443",
        "--endpoint-reconciler-type=none",
        "--bind-address=127.0.0.1",
    ]
    rest = [word for word in container["command"] if word not in flag_lines(value, own)]
    assert rest == [word for word in live["spec"]["containers"][0]["command"] if word != "--secure-port=6443"]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
    assert paths.pop("audit-log") == "/var/log/kubernetes/audit/trial"
    assert all(path.startswith(("/etc/", "/usr/")) for path in paths.values())
    assert "status" not in value


@pytest.mark.parametrize("component", ["kube-controller-manager", "kube-scheduler"])
def test_trial_of_those_that_elect_a_leader(component: str) -> None:
    live = yaml.safe_load(fixture("plain", component))["spec"]["containers"][0]["command"]
    value = trial(fixture("plain", component), component)
    assert value["spec"]["containers"][0]["command"] == [*live, "--secure-port=7443"]
    assert "--leader-elect=true" in live


def test_trial_leaves_out_what_would_disturb() -> None:
    text = PAST.replace(
        "  namespace: kube-system\n",
        "  namespace: kube-system\n  uid: abc\n  annotations: {kubeadm.kubernetes.io/x: y, mine: z}\n",
    ).replace(
        "  hostNetwork: true\n",
        "  hostNetwork: true\n  restartPolicy: Always\n  resources: {requests: {cpu: 1}}\n"
        "  initContainers: [{name: i, volumeMounts: [{name: pki, mountPath: /p}]}]\n",
    )
    text = text.replace(
        "      readinessProbe:",
        "      lifecycle: {preStop: {exec: {command: [rm]}}}\n      resources: {requests: {cpu: 1}}\n"
        "      ports: [{containerPort: 6443, hostPort: 6443}]\n      readinessProbe:",
    )
    value = trial(text, host_paths={"/var/log/kube/": "/var/log/trial"}, flag_values={"profiling": None, "--x": "1"})
    assert value["metadata"]["annotations"] == {"mine": "z"}
    assert "uid" not in value["metadata"]
    assert sorted(value["spec"]) == [
        "activeDeadlineSeconds",
        "containers",
        "hostNetwork",
        "restartPolicy",
        "terminationGracePeriodSeconds",
        "volumes",
    ]
    assert sorted(value["spec"]["containers"][0]) == ["args", "command", "image", "name", "volumeMounts"]
    assert [container["name"] for container in value["spec"]["containers"]] == [API]
    assert value["spec"]["volumes"] == [
        {"name": "pki", "hostPath": {"path": "/etc/kubernetes/pki", "type": "Directory"}},
        {"name": "logs", "hostPath": {"path": "/var/log/trial"}},
    ]
    assert "--profiling" not in value["spec"]["containers"][0]["args"]
    assert value["spec"]["containers"][0]["args"][-1] == "--x=1"
    # The quoted number is still a string.
    assert value["spec"]["containers"][0]["args"][3] == "90"


def test_trial_keeps_volumes_that_are_not_of_the_host() -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("a", "b")]
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/b"}}, {"name": "c", "emptyDir": {}}]
    value = trial(
        pod([{"name": API, "args": ["--x=1"], "volumeMounts": mounts}], volumes=volumes), host_paths={"/": "/r"}
    )
    assert value["spec"]["volumes"] == [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/r/b"}}]


@pytest.mark.parametrize(
    "host_paths",
    [{"/var": "/v", "/var/log/kube": "/t"}, {"/var/log/kube": "/t", "/var": "/v"}, {"/var/log/": "/t", "/x": "/y"}],
)
def test_the_nearest_substitute_counts(host_paths: dict[str, str]) -> None:
    paths = [volume["hostPath"]["path"] for volume in trial(PAST, host_paths=host_paths)["spec"]["volumes"]]
    assert paths == ["/etc/kubernetes/pki", "/t" if "/var/log/kube" in host_paths else "/t/kube"]


def test_trial_leaves_the_manifest_alone() -> None:
    manifest = Manifest.parse(fixture("plain", API))
    trial_manifest(manifest, API, "t", 7443)
    assert manifest.text == fixture("plain", API)


def test_trial_with_its_own_audit_log() -> None:
    allowed: list[dict[str, Any]] = [
        {"flag_values": {"audit-log-path": "/logs/trial.log"}},
        {"flag_values": {"audit-log-path": "-"}},
        {"flag_values": {"audit-log-path": None}},
        {"host_paths": {"/var/log/kube": "/tmp/x"}},
        {"host_paths": {"/var/log": "/tmp/x"}},
    ]
    for options in allowed:
        assert trial(PAST, **options)
    refused: list[dict[str, Any]] = [
        {},
        {"host_paths": {"/var": "/var"}},
        {"flag_values": {"audit-log-path": "/logs/./audit.log"}},
    ]
    for options in refused:
        with pytest.raises(HardeningError, match=r"would write the live audit log /var/log/kube/audit\.log"):
            trial(PAST, **options)


def test_no_trial_of_etcd() -> None:
    with pytest.raises(HardeningError, match="There is no trial of etcd"):
        trial(fixture("plain", "etcd"), "etcd")


@pytest.mark.parametrize(
    ("flags", "known", "allowed"),
    [
        (["--leader-elect=true"], None, True),
        (["--leader-elect"], None, True),
        (["--leader-elect=true"], False, True),
        (["--leader-elect=false"], None, False),
        (["--leader-elect=0"], True, False),
        (["--leader-elect=maybe"], None, False),
        ([], None, True),
        ([], False, False),
        (["--config=/etc/x"], None, False),
        (["--config=/etc/x"], True, True),
        (["--config=/etc/x"], False, False),
        (["--config=/etc/x", "--leader-elect=true"], None, True),
    ],
)
def test_no_trial_without_leader_election(flags: list[str], known: bool | None, allowed: bool) -> None:
    text = pod([{"name": "kube-scheduler", "command": ["kube-scheduler", *flags]}])
    if allowed:
        assert trial(text, "kube-scheduler", leader_election=known)
        return
    with pytest.raises(HardeningError, match="There is no trial of kube-scheduler: without leader election"):
        trial(text, "kube-scheduler", leader_election=known)
