# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good files of the owner's are that say who may come, and who may do what."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls import anonymous, authorization

EVERYWHERE = "it allows anonymous requests on every path"


@pytest.mark.parametrize(
    ("said", "findings"),
    [
        ({"enabled": False}, []),
        ({"enabled": True, "conditions": [{"path": "/livez"}]}, []),
        ({"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/b"}, {"path": "/a"}]}, [" on /a, /b"]),
        ({"enabled": True}, [EVERYWHERE]),
        ({"enabled": True, "conditions": []}, [EVERYWHERE]),
        ({"enabled": True, "conditions": "/livez"}, [EVERYWHERE]),
        (None, ["it has no section anonymous"]),
        ([], ["it has no section anonymous"]),
    ],
)
def test_what_is_allowed_without_credentials(said: t.Any, findings: list[str]) -> None:
    found = anonymous.judge({"anonymous": said})
    assert len(found) == len(findings)
    assert all(one.endswith(words) for one, words in zip(found, findings))


KIND = "kind: AuthorizationConfiguration\n"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        (f"{KIND}authorizers: [{{type: Node}}, {{type: RBAC}}, {{type: Webhook}}]\n", []),
        (f"{KIND}authorizers: [{{type: Node}}, {{type: RBAC}}, {{type: AlwaysAllow}}]\n", ["AlwaysAllow"]),
        (f"{KIND}authorizers: [{{type: Node}}]\n", ["RBAC"]),
        (f"{KIND}authorizers: x\n", ["Node", "RBAC"]),
        ("kind: Policy\n", ["no AuthorizationConfiguration"]),
        ("", ["no AuthorizationConfiguration"]),
        (":\n: [", ["no AuthorizationConfiguration"]),
    ],
)
def test_who_may_do_what(text: str, findings: list[str]) -> None:
    found = authorization.judge(text)
    assert len(found) == len(findings)
    assert all(words in one for one, words in zip(found, findings))
