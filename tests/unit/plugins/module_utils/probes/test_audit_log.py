# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit log is read in part, found again after its rotation, and never waited for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import audit_log
from ansible_collections.kubeharden.core.plugins.module_utils.probes.audit_log import AuditLog

SECRET = {"resource": "secrets", "namespace": "shop", "name": "password"}
TOKEN = {"resource": "serviceaccounts", "subresource": "token", "namespace": "shop", "name": "till"}


def record(reference: dict[str, str], **more: Any) -> str:
    return json.dumps({"verb": "create", "objectRef": reference, "stageTimestamp": "2026-11-24T10:00:00Z", **more})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (record(SECRET), False),
        (record(SECRET, requestObject={"kind": "Secret", "metadata": {"name": "password"}}), False),
        (record(SECRET, requestObject={"kind": "DeleteOptions"}), False),
        (record(SECRET, responseObject={"kind": "Status", "message": "no data"}), False),
        (record(SECRET, requestObject={"kind": "Secret", "data": {"a": "eA=="}}), True),
        (record(SECRET, requestObject={"kind": "Secret", "stringData": {"a": "x"}}), True),
        (record(SECRET, responseObject={"kind": "SecretList", "items": [{}]}), True),
        (record(SECRET, requestObject={"data": {"a": "eA=="}}), True),
        (record(SECRET, requestObject=[{"op": "replace", "path": "/data/a", "value": "eA=="}]), True),
        (record({"resource": "configmaps"}, requestObject={"kind": "ConfigMap", "data": {"a": "b"}}), False),
        (record(TOKEN, responseObject={"kind": "TokenRequest", "status": {"token": "t"}}), True),
        (record(TOKEN, requestObject={"kind": "TokenRequest", "spec": {}}), False),
        (record({"resource": "tokenreviews"}, requestObject={"kind": "TokenReview", "spec": {"token": "t"}}), True),
        ("requestObject no JSON", False),
        (json.dumps(["requestObject"]), False),
        (record({}, requestObject="text"), False),
    ],
)
def test_bodies_of_secrets_are_found_and_not_shown(tmp_path: Path, line: str, found: bool) -> None:
    (tmp_path / "log").write_text(record(SECRET) + "\n" + line + "\n", encoding="utf-8")
    seen = AuditLog(str(tmp_path / "log")).bodies()
    assert (seen.count, seen.records, seen.whole) == (int(found), 2, True)
    if found and "shop" in line:
        assert seen.found[0].startswith("create of ")
    assert not any("eA==" in words or "token t" in words for words in seen.found)


def test_of_a_long_log_the_newest_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "NEWEST", 1000)
    old = record(SECRET, requestObject={"kind": "Secret", "data": {"a": "b"}})
    lines = [old, *(record(SECRET) for _number in range(40))]
    (tmp_path / "log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    seen = AuditLog(str(tmp_path / "log")).bodies()
    assert (seen.count, seen.whole) == (0, False)
    assert 0 < seen.records < 40


def test_what_came_since_a_moment_is_found_in_a_log_that_was_rotated_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog(str(path))
    assert log.since(log.position()) == []
    path.write_text("one\n", encoding="utf-8")
    position = log.position()
    with path.open("a", encoding="utf-8") as handle:
        handle.write("two\n")
    assert log.since(position) == [b"two"]
    path.rename(tmp_path / "log-1")
    path.write_text("three\n", encoding="utf-8")
    assert log.since(position) == [b"three"]
    path.write_text("", encoding="utf-8")
    assert log.since(position) == []


def test_what_is_no_file_is_said_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HardeningError, match="no regular file"):
        AuditLog(str(tmp_path / "pipe")).bodies()
    with pytest.raises(HardeningError, match="there is no audit log yet"):
        AuditLog(str(tmp_path / "nothing")).bodies()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HardeningError, match="could not be read"):
        AuditLog(str(tmp_path / "loop")).position()
