# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit log is read with its rotated files, for a limited time, and never waited for."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import audit_log
from ansible_collections.kubeharden.core.plugins.module_utils.probes.audit_log import AuditLog, Bodies

SECRET = {"resource": "secrets", "namespace": "shop", "name": "password"}
TOKEN = {"resource": "serviceaccounts", "subresource": "token", "namespace": "shop", "name": "till"}


LEAK = {"kind": "Secret", "data": {"a": "b"}}


def record(reference: dict[str, str], **more: Any) -> str:
    return json.dumps({"verb": "create", "objectRef": reference, "stageTimestamp": "2026-11-24T10:00:00Z", **more})


def at(hour: int, **more: Any) -> str:
    """A record of some hour."""
    return record({**SECRET, "name": f"at-{hour}"}, stageTimestamp=f"2026-11-24T{hour:02}:00:00.123456Z", **more)


def write(path: Path, *lines: str) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def bodies(path: Path) -> Bodies:
    return AuditLog(str(path)).bodies(3.0, lambda: 0.0)


def over_after(looks: int) -> Any:
    """A clock by which the time is over after some looks at it, the first of which sets the end."""
    ticks = itertools.count()
    return lambda: 0.0 if next(ticks) <= looks else 10.0


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
    seen = bodies(tmp_path / "log")
    assert (seen.count, seen.records, seen.whole) == (int(found), 2, True)
    if found and "shop" in line:
        assert seen.found[0].startswith("create of ")
    assert not any("eA==" in words or "token t" in words for words in seen.found)


def test_files_that_were_rotated_away_are_read_too(tmp_path: Path) -> None:
    write(tmp_path / "audit.log", at(10))
    write(tmp_path / "audit-2026-11-24T09-30-00.000.log", at(8), at(9, requestObject=LEAK))
    write(tmp_path / "audit-2026-11-24T07-30-00.000.log.gz", at(6, responseObject=LEAK), at(7))
    for other in ("audit.log.bak", "audit-old.log", "other-2026-11-24T09-30-00.000.log"):
        write(tmp_path / other, at(1, requestObject=LEAK))
    seen = bodies(tmp_path / "audit.log")
    assert (seen.count, seen.records, seen.files, seen.whole, seen.hours) == (2, 5, 3, True, 4.0)
    assert [words.split()[3] for words in seen.found] == ["shop/at-9", "shop/at-6"]
    files = [tmp_path / "audit.log", *tmp_path.glob("audit-2026*")]
    assert seen.read == seen.size == sum(path.stat().st_size for path in files)


def test_what_is_called_like_a_rotated_file_takes_nothing_from_what_the_log_shows(tmp_path: Path) -> None:
    write(tmp_path / "audit.log", at(10, requestObject=LEAK))
    (tmp_path / "audit-2026-11-24T09-30-00.000.log").mkdir()
    os.mkfifo(tmp_path / "audit-2026-11-24T08-30-00.000.log.gz")
    seen = bodies(tmp_path / "audit.log")
    assert (seen.count, seen.files, seen.whole) == (1, 1, False)


@pytest.mark.parametrize("piece", [16, 100, 1000, 1 << 20])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_records_are_whole_wherever_a_piece_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, suffix: str
) -> None:
    monkeypatch.setattr(audit_log, "PIECE", piece)
    lines = [at(hour, **({"requestObject": LEAK} if hour % 3 == 0 else {})) for hour in range(10)]
    write(tmp_path / "log", at(11))
    write(tmp_path / f"log-2026-11-24T10-00-00.000{suffix}", *lines)
    seen = bodies(tmp_path / "log")
    assert (seen.count, seen.records, seen.whole, seen.hours) == (4, 11, True, 11.0)


def test_when_the_time_is_over_the_newest_part_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "PIECE", 1000)
    write(tmp_path / "log", at(0, requestObject=LEAK), *(at(hour) for hour in range(1, 24)))
    write(tmp_path / "log-2026-11-23T10-00-00.000", at(0, requestObject=LEAK))
    seen = AuditLog(str(tmp_path / "log")).bodies(3.0, over_after(3))
    assert (seen.count, seen.whole, seen.files) == (0, False, 2)
    assert 0 < seen.read < seen.size
    assert seen.hours == seen.records - 1 > 0
    assert AuditLog(str(tmp_path / "log")).bodies(3.0, over_after(0)) == Bodies(
        files=2, size=seen.size, whole=False
    )  # fmt: skip


def test_a_compressed_file_that_was_not_read_to_its_end_says_nothing_of_when_all_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "PIECE", 800)
    write(tmp_path / "log", at(22), at(23))
    rotated = tmp_path / "log-2026-11-24T10-00-00.000.gz"
    write(rotated, *(at(hour) for hour in range(20)))
    seen = AuditLog(str(tmp_path / "log")).bodies(3.0, over_after(5))
    assert (seen.whole, seen.hours) == (False, 1.0)
    assert 2 < seen.records < 22
    rotated.write_bytes(rotated.read_bytes()[:-40])
    assert (bodies(tmp_path / "log").whole, bodies(tmp_path / "log").hours) == (False, 1.0)
    rotated.write_bytes(b"no archive")
    assert bodies(tmp_path / "log").whole is False


def test_of_a_record_without_an_end_no_more_is_kept_than_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, at(1), "x" * (40 << 20), at(2))
    tracemalloc.start()
    seen = bodies(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (seen.whole, seen.hours, seen.read) == (False, 0.0, path.stat().st_size)
    assert most < 4 * audit_log.LONGEST


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
        bodies(tmp_path / "pipe")
    with pytest.raises(HardeningError, match="there is no audit log yet"):
        bodies(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HardeningError, match="could not be read"):
        AuditLog(str(tmp_path / "loop")).position()
