# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the flags of a control plane become on a new one: files of ours or of the owner, and what must be there."""

from __future__ import annotations

import base64
import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.prepare_node import ActionModule

API = "kube-apiserver"
OURS = "/etc/kubernetes/kubeharden/audit-policy.yaml"
FLAGS = {
    API: {
        "audit": {
            "audit-policy-file": {"keep": OURS, "mount": "read_only"},
            "audit-log-path": {"keep": "/var/log/kubernetes/audit/audit.log", "mount": "read_write"},
        }
    }
}


def prepared(found: dict[str, str], *named: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
    action = ActionModule.__new__(ActionModule)
    discovery = {"components": {API: {"flags": found}}, "flag_files": list(named)}
    given = {"flags": FLAGS, "discovery": discovery, "contents": {API: {"audit-policy-file": "ours"}}, **arguments}
    result: dict[str, t.Any] = action.prepare(given, {})
    return {key: result[key] for key in ("files", "owners_files", "named_files", "directories")}


def one(flag: str, path: str, text: str | None = None) -> dict[str, t.Any]:
    content = None if text is None else base64.b64encode(text.encode()).decode()
    return {"component": API, "flag": flag, "path": path, "content": content}


def test_our_file_is_laid_as_this_version_writes_it() -> None:
    found = {"audit-policy-file": OURS, "audit-log-path": "/var/log/kubernetes/audit/audit.log"}
    folder = {"component": API, "flag": "audit-log-path", "folder": "/var/log/kubernetes/audit"}
    assert prepared(found, one("audit-policy-file", OURS, "an older one"), folder) == {
        "files": {OURS: "ours"},
        "owners_files": {},
        "named_files": {},
        "directories": ["/var/log/kubernetes/audit"],
    }


def test_the_owners_own_is_laid_or_must_be_there() -> None:
    """Else kubeadm join writes a kube-apiserver that does not start, and etcd has a member more by then."""
    found = {"audit-policy-file": "/own/policy.yaml", "audit-log-path": "/own/log/a.log"}
    assert prepared(
        found,
        one("audit-policy-file", "/own/policy.yaml", "theirs"),
        {"component": API, "flag": "audit-log-path", "folder": "/own/log"},
        one("encryption-provider-config", "/own/encryption.yaml"),
        one("authentication-token-webhook-config-file", "/own/webhook"),
        named_files={"/own/webhook": "kubeharden_token_webhook_config_file"},
    ) == {
        "files": {},
        "owners_files": {"/own/policy.yaml": "theirs"},
        "named_files": {
            "/own/encryption.yaml": f"--encryption-provider-config of {API}",
            "/own/webhook": "kubeharden_token_webhook_config_file",
        },
        "directories": ["/own/log"],
    }


def test_a_policy_that_is_not_even_there_must_be_laid_by_its_owner() -> None:
    result = prepared({"audit-policy-file": "/own/p.yaml"}, one("audit-policy-file", "/own/p.yaml"))
    assert result["named_files"] == {"/own/p.yaml": f"--audit-policy-file of {API}"}


def test_without_a_pattern_nothing_is_laid() -> None:
    assert prepared({}) == {"files": {}, "owners_files": {}, "named_files": {}, "directories": []}


SCHEDULER = [
    {"component": "kube-scheduler", "flag": flag, "path": f"/etc/kubernetes/pki/scheduler/server.{suffix}"}
    for flag, suffix in (("tls-cert-file", "crt"), ("tls-private-key-file", "key"))
]


@pytest.mark.parametrize(
    ("keys", "run_tags", "made"),
    [
        (["/etc/kubernetes/pki/ca.key"], ["all"], True),
        ([], ["all"], False),
        # Who leaves certificates out lays them.
        (["/etc/kubernetes/pki/ca.key"], ["audit"], False),
    ],
)
def test_what_is_made_here_need_not_be_there(keys: list[str], run_tags: list[str], made: bool) -> None:
    action = ActionModule.__new__(ActionModule)
    authority = {"component": API, "flag": "client-ca-file", "path": "/etc/kubernetes/pki/ca.crt"}
    discovery = {
        "components": {API: {"flags": {}}},
        "certificates": [authority, *SCHEDULER],
        "files": {"pki_key": keys},
        "flag_files": [{**one, "content": None} for one in SCHEDULER],
    }
    given = {"discovery": discovery, "pattern": "cp1"}
    task_vars = {"hostvars": {"cp1": {}}, "ansible_run_tags": run_tags, "ansible_skip_tags": []}
    result = action.prepare(given, task_vars)
    assert "pattern" not in result
    named = {} if made else {one["path"]: f"--{one['flag']} of kube-scheduler" for one in SCHEDULER}
    assert result["named_files"] == named
