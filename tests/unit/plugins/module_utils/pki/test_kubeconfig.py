# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import kubeconfig

SERVER = "https://lb.example.org:6443"

# As kubeadm 1.37.1 writes admin.conf, the data shortened.
KUBEADM = b"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://lb.example.org:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
"""


def test_what_is_rendered_is_byte_for_byte_what_kubeadm_writes() -> None:
    assert kubeconfig.render(SERVER, "kubernetes-admin", b"CA", b"CERT", b"KEY") == KUBEADM


def test_files_by_reference() -> None:
    data = kubeconfig.render(SERVER, "system:node:n1", "/pki/ca.crt", "/k/current.pem", "/k/current.pem")
    facts = kubeconfig.parse(data, "here")
    assert (facts.authority, facts.certificate, facts.key) == (None, None, None)
    assert (facts.authority_file, facts.certificate_file, facts.key_file) == (
        "/pki/ca.crt",
        "/k/current.pem",
        "/k/current.pem",
    )
    assert (facts.user, facts.context, facts.cluster) == ("system:node:n1", "system:node:n1@kubernetes", "kubernetes")


def test_a_relative_file_lies_beside_the_kubeconfig() -> None:
    data = kubeconfig.render(SERVER, "admin", "pki/ca.crt", "../kubernetes/pki/admin.crt", "admin.key")
    facts = kubeconfig.parse(data, "/etc/kubernetes/admin.conf")
    assert (facts.authority_file, facts.certificate_file, facts.key_file) == (
        "/etc/kubernetes/pki/ca.crt",
        "/etc/kubernetes/pki/admin.crt",
        "/etc/kubernetes/admin.key",
    )


def test_facts() -> None:
    facts = kubeconfig.parse(KUBEADM, "here")
    assert facts == kubeconfig.KubeconfigFacts(
        context="kubernetes-admin@kubernetes",
        cluster="kubernetes",
        user="kubernetes-admin",
        server=SERVER,
        authority=b"CA",
        certificate=b"CERT",
        key=b"KEY",
    )
    assert "KEY" not in repr(facts)


def test_long_data_stay_on_one_line() -> None:
    data = kubeconfig.render(SERVER, "admin", b"A" * 5000, b"B" * 5000, b"C" * 5000)
    assert len(data.splitlines()) == len(KUBEADM.splitlines())


def test_the_bytes_are_the_same_with_libyaml_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    data = yaml.safe_dump({**yaml.safe_load(KUBEADM), "preferences": {"ü": "1.20", "b": ["no", "", None, "a: b #"]}})
    made = []
    for dumper in (yaml.SafeDumper, getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
        monkeypatch.setattr(kubeconfig, "_Dumper", dumper)
        made.append(kubeconfig.render("https://h:6443", "a:b", b"x" * 3000, b"c", "/k"))
        made.append(kubeconfig.update(data.encode(), "here", certificate=b"new" * 500))
    assert made[:2] == made[2:]


def test_an_update_changes_the_current_context_and_nothing_else() -> None:
    document = yaml.safe_load(KUBEADM)
    document["clusters"].append({"name": "other", "cluster": {"server": "https://other", "tls-server-name": "x"}})
    document["users"].append({"name": "other", "user": {"token": "t"}})
    document["preferences"] = {"colors": True}
    before = yaml.safe_dump(document).encode()
    after = yaml.safe_load(kubeconfig.update(before, "here", authority=b"NEW", certificate=b"NEWCERT", key=b"NEWKEY"))
    facts = kubeconfig.parse(yaml.safe_dump(after).encode(), "here")
    assert (facts.authority, facts.certificate, facts.key) == (b"NEW", b"NEWCERT", b"NEWKEY")
    for part in ("clusters", "users"):
        assert after[part][1] == document[part][1]
    assert after["preferences"] == {"colors": True}
    assert facts.server == SERVER
    assert kubeconfig.update(KUBEADM, "here") == KUBEADM


@pytest.mark.parametrize("name", ["0815", "12e5", "y"])
@pytest.mark.parametrize("base", [yaml.SafeDumper, getattr(yaml, "CSafeDumper", yaml.SafeDumper)])
def test_a_cluster_whose_name_looks_like_a_number_to_go_keeps_it(
    monkeypatch: pytest.MonkeyPatch, base: Any, name: str
) -> None:
    """PyYAML takes it for a text without quotes too; kubectl and kubelets would read a number, and then nothing."""
    monkeypatch.setattr(kubeconfig, "_Dumper", yaml_data.for_go(base))
    named = KUBEADM.replace(b" kubernetes\n", f' "{name}"\n'.encode())
    changed = kubeconfig.update(named, "here", certificate=b"CERT", key=b"KEY")
    assert changed == named.replace(b'"', b"'")


def test_data_and_file_never_stand_beside_each_other() -> None:
    by_file = kubeconfig.update(KUBEADM, "here", certificate="/c", key="/k")
    assert b"client-certificate-data" not in by_file
    assert kubeconfig.update(by_file, "here", certificate=b"CERT", key=b"KEY") == KUBEADM


def test_other_credentials_and_unsafe_settings_are_seen() -> None:
    document = yaml.safe_load(KUBEADM)
    document["users"][0]["user"] = {"token": "t", "exec": {"command": "c"}}
    document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    facts = kubeconfig.parse(yaml.safe_dump(document).encode(), "here")
    assert facts.other_credentials == ("exec", "token")
    assert facts.skips_verification


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"a: [", "is not valid YAML", id="YAML"),
        pytest.param(b"\xff", "is not valid YAML", id="no text"),
        pytest.param(b"", "is not a kubeconfig", id="empty"),
        pytest.param(b"- a", "is not a kubeconfig", id="a list"),
        pytest.param(b"kind: Pod", "is not a kubeconfig", id="another kind"),
        pytest.param(b"kind: Config", "has no context named ''", id="no context"),
        pytest.param(
            KUBEADM.replace(b"current-context: k", b"current-context: x"), "has no context", id="wrong context"
        ),
        pytest.param(KUBEADM.replace(b"    cluster: k", b"    cluster: x"), "has no cluster", id="wrong cluster"),
        pytest.param(KUBEADM.replace(b"    user: k", b"    user: x"), "has no user", id="wrong user"),
        pytest.param(
            KUBEADM.replace(b"S0VZ", b"S0V?"), "client-key-data in /admin.conf is not valid base64", id="base64"
        ),
    ],
)
def test_files_that_are_left_alone(data: bytes, sentence: str) -> None:
    with pytest.raises(HardeningError, match="left as it was") as refusal:
        kubeconfig.parse(data, "/admin.conf")
    assert sentence in str(refusal.value)


def test_no_credential_reaches_a_message() -> None:
    with pytest.raises(HardeningError) as refusal:
        kubeconfig.parse(KUBEADM.replace(b"client-key-data: S0VZ", b"client-key-data: S0VZ: ["), "here")
    assert "S0VZ" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("users", ["word", [1], [{"name": "a", "user": "word"}], {"a": 1}])
def test_users_that_are_none_are_refused(users: Any) -> None:
    data = yaml.safe_dump({"kind": "Config", "users": users}).encode()
    with pytest.raises(HardeningError, match="has users that are none"):
        kubeconfig.users(data, "a.conf")


def test_everybody_in_a_kubeconfig_is_listed_and_no_credential_is_shown() -> None:
    entries = [
        {"name": "a", "user": {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5", "client-key": "k"}},
        {"name": "b", "user": {"client-certificate": "b.crt", "client-key": "b.key"}},
        {"name": "c"},
    ]
    found = kubeconfig.users(yaml.safe_dump({"kind": "Config", "users": entries}).encode(), "a.conf")
    assert [one.certificate() for one in found] == [b"cert", None, None]
    assert [(one.certificate_file, one.key_file) for one in found] == [("", ""), ("b.crt", "b.key"), ("", "")]
    assert "a2V5" not in repr(found)
    assert kubeconfig.users(b"kind: Config\nusers: null\n", "a.conf") == []
