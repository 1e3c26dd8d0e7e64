# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer: a file is either as it was or as it should be, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: Temporary files begin with a dot: the kubelet takes every other file of its manifests directory for a pod.
TEMPORARY_PREFIX = ".kubeharden-"
#: A label that a file keeps when its bytes are replaced: SELinux would give it that of the staging directory.
_LABEL = "security.selinux"
_PIECE = 64 * 1024

_MEANING = {
    errno.ENOSPC: "no space is left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EXDEV: "the directory for the temporary file lies on another file system",
    errno.EACCES: "permission is denied",
    errno.EPERM: "the operation is not permitted (an immutable file, or not root)",
    errno.EBUSY: "the file is a mount point",
    errno.ENOENT: "the directory does not exist",
    errno.ENOTDIR: "a part of the path is no directory",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "the path is a directory",
}


def explain(error: OSError) -> str:
    """Say in words why the operating system refused."""
    return _MEANING.get(error.errno or 0, (error.strerror or str(error)).lower())


def sha256(data: bytes | None) -> str | None:
    """Return the hexadecimal SHA-256 of the bytes, None for a file that does not exist."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def fsync_directory(path: str) -> None:
    """Make a rename in this directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _label_of(path: str) -> bytes | None:
    try:
        return os.getxattr(path, _LABEL)
    except OSError:
        return None  # no such file, or a file system or kernel without labels: nothing to keep


def _fill(descriptor: int, data: bytes, mode: int, owner: tuple[int, int] | None, label: bytes | None) -> None:
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        if label is not None:
            os.setxattr(descriptor, _LABEL, label)
        os.fsync(descriptor)


def write_atomic(
    path: str,
    data: bytes,
    mode: int,
    owner: tuple[int, int] | None = None,
    staging: str | None = None,
    times: tuple[int, int] | None = None,
) -> None:
    """Replace or create a file in one step.

    The bytes go to a temporary file of mode 0600 that gets its final owner and mode, is synced, and is renamed: nobody
    ever sees a part of them, or the right bytes with a wrong mode.

    Args:
        path: The file.
        data: Its new bytes.
        mode: Its final permission bits, for example 0o600.
        owner: Numeric user and group, None to keep those of the writing process.
        staging: The directory of the temporary file where the file's own is watched by somebody; same file system.
        times: Access and modification time in nanoseconds (for bytes that are put back), None for now.

    Raises:
        HardeningError: What was refused and why; the file is then what it was.
    """
    temporary: str | None = None
    try:
        temporary = _staged(path, data, mode, owner, staging)
        if times is not None:
            os.utime(temporary, ns=times)
        os.replace(temporary, path)
        temporary = None
        fsync_directory(os.path.dirname(path))
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        if temporary is not None:
            os.unlink(temporary)


def stage_file(path: str, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> str:
    """Lay a file's new bytes beside it, synced and with owner and mode, and return the temporary file to rename.

    For files that must change together: first all are laid, then all are renamed.

    Raises:
        HardeningError: What was refused and why; nothing is left behind then.
    """
    try:
        return _staged(path, data, mode, owner, None)
    except OSError as error:
        raise _not_written(path, error) from error


def _staged(path: str, data: bytes, mode: int, owner: tuple[int, int] | None, staging: str | None) -> str:
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=staging or os.path.dirname(path))
    try:
        _fill(descriptor, data, mode, owner, _label_of(path))
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def _not_written(path: str, error: OSError) -> HardeningError:
    return HardeningError(
        "KH201", f"{path} could not be written: {explain(error)}. It was left as it was; mend that and run again."
    )


def remove_file(path: str) -> None:
    """Remove a file, so that it stays away after a power cut too; well where there is none.

    Raises:
        HardeningError: What was refused and why; the file is then still there.
    """
    try:
        os.unlink(path)
        fsync_directory(os.path.dirname(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise HardeningError(
            "KH201", f"{path} could not be removed: {explain(error)}. It was left as it was; mend that and run again."
        ) from error


def move_file(source: str, target: str) -> None:
    """Rename a file within its file system, so that it stays there after a power cut too; what was there is replaced.

    Raises:
        HardeningError: What was refused and why; the file is then where it was.
    """
    try:
        os.replace(source, target)
        for directory in dict.fromkeys((os.path.dirname(target), os.path.dirname(source))):
            fsync_directory(directory)
    except OSError as error:
        raise HardeningError(
            "KH201",
            f"{source} could not be moved to {target}: {explain(error)}. It stayed where it was; mend that and run "
            "again.",
        ) from error


def make_directory(path: str, mode: int, owner: tuple[int, int] | None = None) -> list[str]:
    """Create a directory and the parents it lacks, each with the same mode, and return those that were made."""
    made: list[str] = []
    missing = []
    current = path
    while not os.path.isdir(current):
        missing.append(current)
        current = os.path.dirname(current)
    for directory in reversed(missing):
        try:
            os.mkdir(directory, mode)
            os.chmod(directory, mode)
            if owner is not None:
                os.chown(directory, *owner)
            fsync_directory(os.path.dirname(directory))
        except OSError as error:
            if isinstance(error, FileExistsError) and os.path.isdir(directory):
                continue  # another call made it in the meantime
            for done in reversed(made):
                with contextlib.suppress(OSError):  # somebody may have put something into it
                    os.rmdir(done)
            raise HardeningError(
                "KH201",
                f"The directory {directory} could not be made: {explain(error)}. "
                "Nothing was written; mend that and run again.",
            ) from error
        made.append(directory)
    return made


def require_room(path: str, size: int) -> None:
    """Refuse before the first write what would fail in the middle: a full or read-only target.

    Args:
        path: A directory that exists, or will be made below one that does.
        size: Bytes that are going to be written there.
    """
    existing = path
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    status = os.statvfs(existing)
    if status.f_flag & os.ST_RDONLY:
        raise HardeningError(
            "KH202",
            f"{existing} is on a read-only file system. Nothing was written; mount it read-write and run again.",
        )
    reason = None
    if status.f_bavail * status.f_frsize < size + 65536:
        reason = f"has {status.f_bavail * status.f_frsize} bytes left and {size + 65536} are needed"
    elif status.f_files and not status.f_favail:
        reason = "has no inode left"
    if reason:
        raise HardeningError(
            "KH202", f"The file system of {existing} {reason}. Nothing was written; make room and run again."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise HardeningError(
            "KH104", f"{existing} may not be written by this user. Nothing was written; run with become: true."
        )


def read_bytes(path: str, limit: int = 4 * 1024 * 1024) -> bytes | None:
    """Return a regular file's bytes, None where there is no file.

    Anything that is no regular file (a FIFO, a device, a directory) and anything above the limit is refused rather than
    read, so that no file of a host can hang the run or fill its memory.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HardeningError(
            "KH117", f"{path} could not be read: {explain(error)}. Nothing was changed; mend that and run again."
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HardeningError("KH117", f"{path} is no regular file. Nothing was changed; look what it is and remove it.")
    data = b""
    with os.fdopen(descriptor, "rb") as handle:
        # In pieces: the kernel refuses (ENOMEM) who asks for 4 MiB of one of its settings (/proc/sys) at once.
        while len(data) <= limit:
            piece = handle.read(_PIECE)
            if not piece:
                break
            data += piece
    if len(data) > limit:
        raise HardeningError(
            "KH117", f"{path} is larger than {limit} bytes. Nothing was changed; this is no configuration file."
        )
    return data


def read_text(path: str) -> str | None:
    """Return a configuration file's text, None where there is none."""
    data = read_bytes(path)
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HardeningError(
            "KH117", f"{path} is no UTF-8 text (byte {error.start}). Nothing was changed; repair the file."
        ) from error
