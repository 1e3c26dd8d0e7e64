# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import wanted_authority
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import evidence
from ansible_collections.kubeharden.core.plugins.modules import pki_info


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory that stands for a host, with an authority and what the kubelet's link points at."""
    made = authority.create(wanted_authority("kubernetes"), time.time())
    certificate, key = authority.files(made)
    for path, content in (
        ("etc/kubernetes/pki/ca.crt", certificate),
        ("etc/kubernetes/pki/ca.key", key),
        ("etc/kubernetes/pki/large.crt", b"x" * (pki_info.LARGEST + 1)),
        ("etc/kubernetes/notes.txt", certificate),
        ("var/lib/kubelet/pki/kubelet-client-2026-11-24.pem", certificate + key),
        ("elsewhere/ca.crt", certificate),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    link = tmp_path / "var/lib/kubelet/pki/kubelet-client-current.pem"
    # As on a host: the target is a path of the host, not of this file system.
    os.symlink("/var/lib/kubelet/pki/kubelet-client-2026-11-24.pem", link)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        pki_info.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("check", [False, True])
def test_it_lists_and_changes_nothing(host: Path, check: bool, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.lstat().st_mtime_ns for path in host.rglob("*")}
    result = run(capsys, root=str(host), _ansible_check_mode=check)
    assert result["changed"] is False
    assert [(entry["path"], entry["name"], entry["key_fits"]) for entry in result["certificates"]] == [
        ("/etc/kubernetes/pki/ca.crt", "kubernetes", True),
        ("/var/lib/kubelet/pki/kubelet-client-2026-11-24.pem", "", True),
        ("/var/lib/kubelet/pki/kubelet-client-current.pem", "kubelet-client", True),
    ]
    assert [entry["used_by"] for entry in result["certificates"]] == [[], [], ["kubelet --kubeconfig"]]
    assert {path: path.lstat().st_mtime_ns for path in host.rglob("*")} == before


def test_who_uses_them_is_told(host: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"/etc/kubernetes/pki/ca.crt": ["etcd --trusted-ca-file", "kube-apiserver --client-ca-file"]}
    monkeypatch.setattr(evidence.Collector, "users_of_files", lambda _self: users)
    first, *others = run(capsys, root=str(host))["certificates"]
    assert first["used_by"] == users[first["path"]]
    assert [entry["used_by"] for entry in others] == [[], []]


def test_what_components_use_elsewhere_is_listed_whatever_its_name(
    host: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = (host / f"etc/kubernetes/pki/ca.{suffix}" for suffix in ("crt", "key"))
    for name, source in (("server.crt", certificate), ("server.key", key), ("shown-by-name", certificate)):
        (host / "srv/pki").mkdir(parents=True, exist_ok=True)
        (host / "srv/pki" / name).write_bytes(source.read_bytes())
    (host / "srv/pki/unused.crt").write_bytes(certificate.read_bytes())
    users = {
        "": ["kubelet --kubeconfig"],
        "/etc/kubernetes/pki/ca.crt": ["kube-apiserver --client-ca-file"],
        "/srv/pki/gone.crt": ["etcd --cert-file"],
        "/srv/pki/server.crt": ["kube-apiserver --tls-cert-file"],
        "/srv/pki/server.key": ["kube-apiserver --tls-private-key-file"],
        "/srv/pki/shown-by-name": ["kube-apiserver --tls-sni-cert-key"],
    }
    monkeypatch.setattr(evidence.Collector, "users_of_files", lambda _self: users)
    found = [entry for entry in run(capsys, root=str(host))["certificates"] if entry["used_by"]]
    assert [(entry["path"], entry["key_fits"]) for entry in found] == [
        ("/etc/kubernetes/pki/ca.crt", True),
        ("/srv/pki/server.crt", True),
        ("/srv/pki/shown-by-name", None),
    ]
    assert all(entry["used_by"] == users[entry["path"]] for entry in found)
    # Who says where to look wants no more than that.
    listed = run(capsys, root=str(host), directories=["/elsewhere"])["certificates"]
    assert [entry["path"] for entry in listed] == ["/elsewhere/ca.crt"]


def test_other_directories(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, root=str(host), directories=["/elsewhere", "/missing"])
    assert [entry["path"] for entry in result["certificates"]] == ["/elsewhere/ca.crt"]


def test_no_key_reaches_the_result(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(run(capsys, root=str(host)))
    for line in (host / "etc/kubernetes/pki/ca.key").read_text().splitlines()[1:-1]:
        assert line not in text
