# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the flags of a control plane name is laid on a new one, or asked for, and a secret never leaves its host."""

from __future__ import annotations

import base64
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import preparation

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1"
DIRECTORY = "/etc/kubernetes/manifests"
API = "kube-apiserver"
COMPONENTS = ("etcd", API, "kube-controller-manager", "kube-scheduler")
POLICY = "kind: Policy\nrules: [{level: Metadata}]\n"


class Pattern:
    """A control plane that is there."""

    def __init__(self, root: Path, made: str = "plain") -> None:
        self.host = Host(str(root))
        for component in COMPONENTS:
            self.lay(f"{DIRECTORY}/{component}.yaml", (FIXTURES / made / f"{component}.yaml").read_text("utf-8"))

    def lay(self, path: str, text: str) -> None:
        real = Path(self.host.path(path))
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="utf-8")

    def manifest(self, component: str) -> Manifest:
        text = Path(self.host.path(f"{DIRECTORY}/{component}.yaml")).read_text(encoding="utf-8")
        return Manifest.parse(text)

    def give(self, component: str, flag: str, value: str | list[str], host_path: str, path: str) -> None:
        """Give a component a flag and the mount of its file."""
        manifest = self.manifest(component)
        manifest.set_flag(component, flag, value)
        manifest.ensure_mount(component, "own", host_path, path, True, "")
        self.lay(f"{DIRECTORY}/{component}.yaml", manifest.text)

    def named(self) -> dict[tuple[str, str], t.Any]:
        """By component and flag, what is named: folders, and paths with their text."""
        found: dict[tuple[str, str], t.Any] = {}
        components = {
            component: {
                "manifest": f"{DIRECTORY}/{component}.yaml",
                "flags": {word.split("=")[0].lstrip("-") for word in self.manifest(component).arguments(component)[1:]},
            }
            for component in COMPONENTS
        }
        for one in preparation.named_by_flags(self.host, components):
            content = one.get("content")
            text = None if content is None else base64.b64decode(content).decode()
            what = one["folder"] if "folder" in one else (one["path"], text)
            found.setdefault((one["component"], one["flag"]), []).append(what)
        return found


@pytest.fixture
def pattern(tmp_path: Path) -> Pattern:
    return Pattern(tmp_path)


def test_what_kubeadm_join_makes_is_not_named(pattern: Pattern) -> None:
    assert pattern.named() == {}


def test_nor_is_it_in_another_directory_of_certificates(pattern: Pattern) -> None:
    for component in COMPONENTS:
        path = f"{DIRECTORY}/{component}.yaml"
        pattern.lay(path, Path(pattern.host.path(path)).read_text("utf-8").replace("/etc/kubernetes/pki", "/srv/pki"))
    assert pattern.named() == {}


def test_an_owners_policy_is_read_where_it_lies_and_its_log_has_a_folder(tmp_path: Path) -> None:
    past = Pattern(tmp_path, "past")
    past.lay("/etc/kubernetes/audit/policy.yaml", POLICY)
    assert past.named() == {
        (API, "audit-policy-file"): [("/etc/kubernetes/audit/policy.yaml", POLICY)],
        (API, "audit-log-path"): ["/var/log/audit"],
    }


def test_a_file_that_is_mounted_elsewhere_is_named_as_the_host_has_it(pattern: Pattern) -> None:
    pattern.give(API, "audit-policy-file", "/etc/kubernetes/p.yaml", "/srv/policy.yaml", "/etc/kubernetes/p.yaml")
    pattern.lay("/srv/policy.yaml", POLICY)
    assert pattern.named() == {(API, "audit-policy-file"): [("/srv/policy.yaml", POLICY)]}


@pytest.mark.parametrize(
    ("component", "flag", "name"),
    [
        (API, "encryption-provider-config", "encryption.yaml"),
        (API, "token-auth-file", "tokens.csv"),
        (API, "authentication-token-webhook-config-file", "config"),
        (API, "service-account-key-file", "older.pub"),
        (API, "oidc-ca-file", "ca.pem"),
        ("kube-scheduler", "config", "scheduler.yaml"),
        ("kube-controller-manager", "tls-private-key-file", "serving.key"),
    ],
)
def test_what_may_hold_a_secret_is_named_and_not_read(pattern: Pattern, component: str, flag: str, name: str) -> None:
    pattern.give(component, flag, f"/own/{name}", "/own", "/own")
    pattern.lay(f"/own/{name}", "a secret")
    assert pattern.named() == {(component, flag): [(f"/own/{name}", None)]}


def test_a_certificate_and_its_key_are_two_files_and_a_flag_may_stand_twice(pattern: Pattern) -> None:
    pairs = ["/own/a.crt,/own/a.key:a.example", "/own/b.crt,/own/b.key"]
    pattern.give(API, "tls-sni-cert-key", pairs, "/own", "/own")
    named = pattern.named()[API, "tls-sni-cert-key"]
    assert named == [(f"/own/{name}", None) for name in ("a.crt", "a.key", "b.crt", "b.key")]


def test_an_admission_configuration_brings_its_plugins_and_names_their_kubeconfigs(pattern: Pattern) -> None:
    flag = "admission-control-config-file"
    pattern.give(API, flag, "/admission/all.yaml", "/srv/admission", "/admission")
    plugins = (
        "plugins:\n- {name: EventRateLimit, path: limits.yaml}\n"
        "- {name: ImagePolicyWebhook, path: /admission/image.yaml}\n"
        "- name: ValidatingAdmissionWebhook\n  configuration: {kubeConfigFile: /admission/webhook.conf}\n"
    )
    texts = {
        "all.yaml": f"kind: AdmissionConfiguration\n{plugins}",
        "limits.yaml": "limits: []\n",
        "image.yaml": "imagePolicy: {kubeConfigFile: image.conf}\n",
        "webhook.conf": "a secret",
        "image.conf": "a secret",
    }
    for name, text in texts.items():
        pattern.lay(f"/srv/admission/{name}", text)
    told = dict(pattern.named()[API, flag])
    assert {name: told[f"/srv/admission/{name}"] for name in texts} == {
        **texts,
        "webhook.conf": None,
        "image.conf": None,
    }


def test_what_is_no_yaml_names_nothing_more(pattern: Pattern) -> None:
    flag = "admission-control-config-file"
    pattern.give(API, flag, "/admission/all.yaml", "/admission", "/admission")
    pattern.lay("/admission/all.yaml", "{")
    assert pattern.named() == {(API, flag): [("/admission/all.yaml", "{")]}


def test_a_file_of_the_owners_is_laid_where_none_is_and_one_that_is_there_stays(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    host.can_own = True
    (tmp_path / "own").mkdir()
    (tmp_path / "own/there").write_text("another", encoding="utf-8")
    changes = preparation.plan(host, {"/ours": "1"}, [], {"/own/there": "x", "/own/gone": "y", "/new/z": "z"})
    assert [(change.kind, change.target, change.after) for change in changes] == [
        ("directory", "/new", "/new 0700 root root\n"),
        ("file", "/new/z", "z"),
        ("file", "/ours", "1"),
        ("file", "/own/gone", "y"),
    ]


def test_a_directory_is_roots_only_where_the_run_is(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    host.can_own = False
    (change, _file) = preparation.plan(host, {"/new/ours": "1"}, [])
    assert change.after == "/new 0700\n"
