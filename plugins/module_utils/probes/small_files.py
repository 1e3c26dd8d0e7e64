# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that credentials are read from: whatever lies in their place, reading it ends at once and fills no memory."""

from __future__ import annotations

import errno
import os
import stat

#: Bytes that are still read. A kubeconfig has some thousand, a bundle of authorities some hundred thousand.
LARGEST = 4 << 20


def read(path: str) -> bytes:
    """A regular file's bytes.

    :raises OSError: with the reason as its ``strerror``, also for what is no regular file (a FIFO, a device) or too
        large
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST} bytes")
    return data
