# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server's audit log with the files that were rotated away: what bodies it holds, and what came since a moment.

It is read from its newest record back, in pieces of bounded size, until all was seen or the time is over.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: Bytes that are looked at of what came while a probe waited.
NEWEST = 4 << 20
#: Bytes that are read at once, and those of a record above which it is passed over.
PIECE = 1 << 20
LONGEST = 8 << 20
_OBJECTS = ("requestObject", "responseObject")
#: What a record with a body says that is looked into. Most say none of it, and are not parsed.
_BODY = b'Object":'
_KINDS = (b"ecret", b"Token")
#: What the API server puts between the name of a log and its ending when it rotates it, and what it compresses.
_ROTATED = re.compile(r"-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}")
_COMPRESSED = ".gz"
_TIME = re.compile(rb'"stageTimestamp":\s*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)')
#: Records with such a body that are named, the newest.
_MOST = 3


@dataclass(frozen=True)
class Position:
    """Where a log ended at a moment."""

    inode: int
    size: int


@dataclass
class Bodies:
    """What a log shows of Secrets.

    ``found`` names records that hold the content of a Secret or a token; ``count`` is how many do, ``records`` how many
    were read. ``files`` are those of the log, of ``size`` bytes as they lie, of which ``read`` were read, and ``whole``
    says whether that is all. ``hours`` lie between the newest record and the oldest after which none was passed over.
    """

    found: list[str] = field(default_factory=list)
    count: int = 0
    records: int = 0
    files: int = 0
    size: int = 0
    read: int = 0
    hours: float = 0.0
    whole: bool = True


def rotated_away(path: str) -> list[str]:
    """The files that were rotated away of a log, the newest first; none where its directory is not there yet.

    :param path: the log, where this process can open it
    :raises OSError: its directory cannot be read
    """
    directory, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    rotated = re.compile(re.escape(stem) + _ROTATED.pattern + re.escape(ending) + f"({re.escape(_COMPRESSED)})?")
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [os.path.join(directory, one) for one in sorted(filter(rotated.fullmatch, names), reverse=True)]


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

    def bodies(self, seconds: float, clock: Callable[[], float]) -> Bodies:
        """Records that hold the content of a Secret, or a token, in the log and in the files that were rotated away.

        :param seconds: after which no more is read
        :raises HardeningError: as above, or there is no log
        """
        end = clock() + seconds
        sizes, whole = self._sizes()
        if not sizes:
            raise HardeningError("KH502", "there is no audit log yet")
        look = _Look(Bodies(files=len(sizes), size=sum(sizes.values()), whole=whole), lambda: clock() >= end)
        for path, size in sizes.items():
            look.file(path, size)
        return look.seen

    def _sizes(self) -> tuple[dict[str, int], bool]:
        """The bytes of each file of the log, the newest first, and whether none was left out that cannot be read."""
        try:
            rotated = rotated_away(self._path)
        except OSError as error:
            raise HardeningError("KH502", f"the audit log's directory could not be read: {error.strerror}") from None
        found, whole = {}, True
        for path in (self._path, *rotated):
            try:
                descriptor = _opened(path)
            except FileNotFoundError:
                continue
            except HardeningError:
                # Whatever else is called like a rotated file takes nothing from what the log itself shows.
                if path == self._path:
                    raise
                whole = False
                continue
            try:
                found[path] = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        return found, whole

    def _open(self) -> int:
        return _opened(self._path)

    def _read(self, begin: int) -> tuple[list[bytes], bool]:
        try:
            descriptor = self._open()
        except FileNotFoundError:
            return [], False
        with os.fdopen(descriptor, "rb") as handle:
            handle.seek(begin)
            data = handle.read(NEWEST)
        return [line for line in data.split(b"\n") if line], True


class _Look:
    """One look at files, the newest first.

    :param seen: what it comes to
    :param over: whether the time is
    """

    def __init__(self, seen: Bodies, over: Callable[[], bool]) -> None:
        self.seen = seen
        self._over = over
        self._newest = 0
        self._oldest = 0

    def file(self, path: str, size: int) -> None:
        """Look at a file, and at no more when the time is over."""
        if self._over():
            self.seen.whole = False
            return
        try:
            descriptor = _opened(path)
        except (FileNotFoundError, HardeningError):  # it was rotated, removed or replaced since it was listed
            self.seen.whole = False
            return
        with os.fdopen(descriptor, "rb", buffering=0) as handle:
            if path.endswith(_COMPRESSED):
                self._compressed(handle)
            else:
                self._backwards(handle, size)
        self.seen.hours = max(0, self._newest - self._oldest) / 3600

    def _backwards(self, handle: Any, size: int) -> None:
        """Look at whole lines, from the last one to the first."""
        begin, rest = size, b""
        while begin:
            if self._over():
                self.seen.whole = False
                return
            length = min(PIECE, begin)
            begin -= length
            handle.seek(begin)
            data = handle.read(length) + rest
            self.seen.read += length
            # Before the first end of a line is a part of a record, whose beginning is read next.
            first = (data.find(b"\n") + 1 or len(data)) if begin else 0
            rest = self._kept(data[:first])
            self._records(data[first:])

    def _compressed(self, handle: Any) -> None:
        """Look at a file that can be read from its beginning alone; only all of it says since when all was seen."""
        oldest, whole = self._oldest, self.seen.whole
        rest = b""
        try:
            for piece in self._pieces(handle):
                data = rest + piece
                last = data.rfind(b"\n") + 1
                rest = data[last:] if last else self._kept(data)
                self._records(data[:last])
        except zlib.error:
            self.seen.whole = False
        self._records(rest)
        if whole and not self.seen.whole:
            self._oldest = oldest

    def _pieces(self, handle: Any) -> Iterator[bytes]:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            data = handle.read(PIECE >> 3)
            self.seen.read += len(data)
            if not data or self._over():
                self.seen.whole = False
                return
            while data and not stream.eof:
                yield stream.decompress(data, PIECE)
                data = stream.unconsumed_tail
                if data and self._over():
                    self.seen.whole = False
                    return

    def _kept(self, data: bytes) -> bytes:
        """What is kept of a record whose other end was not read yet: nothing of one that is too long."""
        if len(data) <= LONGEST:
            return data
        self.seen.whole = False
        return b""

    def _records(self, data: bytes) -> None:
        """Look at whole records."""
        data = data.strip(b"\n")
        if not data:
            return
        self.seen.records += data.count(b"\n") + 1
        self._see_time(data)
        found = []
        place = data.find(_BODY)
        while place >= 0:
            begin = data.rfind(b"\n", 0, place) + 1
            end = data.find(b"\n", place)
            end = len(data) if end < 0 else end
            line = data[begin:end]
            words = _body(line) if any(kind in line for kind in _KINDS) else ""
            if words:
                found.append(words)
            place = data.find(_BODY, end)
        self.seen.count += len(found)
        self.seen.found = [*self.seen.found, *reversed(found)][:_MOST]

    def _see_time(self, data: bytes) -> None:
        """Remember when these records were made, as long as none was passed over."""
        last = data[data.rfind(b"\n") + 1 :]
        self._newest = max(self._newest, _seconds(last))
        first = _seconds(data[: data.find(b"\n")] if b"\n" in data else data)
        if first and self.seen.whole:
            self._oldest = min(self._oldest or first, first)


def _seconds(record: bytes) -> int:
    """When a record was made, in seconds since 1970; 0 where it does not say."""
    # Behind the bodies, in which there may be another one.
    said = _TIME.findall(record)
    try:
        return calendar.timegm(time.strptime(said[-1].decode("ascii"), "%Y-%m-%dT%H:%M:%S")) if said else 0
    except ValueError:
        return 0


def _opened(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise HardeningError("KH502", f"the audit log could not be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HardeningError("KH502", "the audit log is no regular file")
    return descriptor


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
