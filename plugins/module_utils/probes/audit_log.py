# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server's audit log, as far as it must be read to judge it: its newest part, and what came since a moment."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: Bytes that are looked at, of the newest part and of what came while a probe waited.
NEWEST = 4 << 20
_OBJECTS = ("requestObject", "responseObject")
#: Records with such a body that are named.
_MOST = 3


@dataclass(frozen=True)
class Position:
    """Where a log ended at a moment."""

    inode: int
    size: int


@dataclass
class Bodies:
    """What the newest part of a log shows of Secrets.

    ``found`` names records that hold the content of a Secret or a token; ``count`` is how many do, ``records`` how many
    were read, and ``whole`` whether that is all of the file.
    """

    found: list[str] = field(default_factory=list)
    count: int = 0
    records: int = 0
    whole: bool = True


class AuditLog:
    """A log file.

    :param path: where this process can open it
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def position(self) -> Position:
        """Where it ends now; a log that is not there yet ends at its beginning.

        :raises HardeningError: it is no regular file, or may not be read
        """
        try:
            descriptor = self._open()
        except FileNotFoundError:
            return Position(0, 0)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return Position(status.st_ino, status.st_size)

    def since(self, position: Position) -> list[bytes]:
        """The lines that came since then; of a file that was rotated meanwhile the new one's.

        :raises HardeningError: as above
        """
        now = self.position()
        begin = position.size if now.inode == position.inode and now.size >= position.size else 0
        return self._read(begin)[0]

    def bodies(self) -> Bodies:
        """Records of the newest part that hold the content of a Secret, or a token.

        :raises HardeningError: as above, or there is no log
        """
        size = self.position().size
        begin = max(0, size - NEWEST)
        lines, there = self._read(begin)
        if not there:
            raise HardeningError("KH502", "there is no audit log yet")
        lines = lines[1:] if begin else lines  # the first is a part of one
        seen = Bodies(records=len(lines), whole=not begin)
        for line in lines:
            if b"Object" not in line:
                continue
            words = _body(line)
            if words:
                seen.count += 1
                seen.found = [*seen.found, words][-_MOST:]
        return seen

    def _open(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise HardeningError("KH502", f"the audit log could not be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise HardeningError("KH502", "the audit log is no regular file")
        return descriptor

    def _read(self, begin: int) -> tuple[list[bytes], bool]:
        try:
            descriptor = self._open()
        except FileNotFoundError:
            return [], False
        with os.fdopen(descriptor, "rb") as handle:
            handle.seek(begin)
            data = handle.read(NEWEST)
        return [line for line in data.split(b"\n") if line], True


def _body(line: bytes) -> str:
    """The name of a record that holds the content of a Secret or a token; empty where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    record = _mapping(record)
    reference = _mapping(record.get("objectRef"))
    if not any(_reveals(reference, record.get(name)) for name in _OBJECTS):
        return ""
    place = "/".join(str(reference[key]) for key in ("namespace", "name") if reference.get(key))
    what = "/".join(str(reference[key]) for key in ("resource", "subresource") if reference.get(key))
    return f"{record.get('verb')} of {what} {place}".strip() + f" at {record.get('stageTimestamp')}"


def _reveals(reference: dict[str, Any], body: Any) -> bool:
    of_secrets = reference.get("resource") == "secrets"
    if isinstance(body, list):  # a patch, step by step
        return of_secrets
    if not isinstance(body, dict):
        return False
    kind = body.get("kind")
    if kind == "TokenRequest":
        return bool(_mapping(body.get("status")).get("token"))
    if kind == "TokenReview":
        return bool(_mapping(body.get("spec")).get("token"))
    if kind in ("Secret", "SecretList") or of_secrets:
        return any(body.get(name) for name in ("data", "stringData", "items"))
    return False


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
