# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts do one after the other within a task that all of them do at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

from ansible import constants


@contextlib.contextmanager
def host_by_host() -> t.Iterator[None]:
    """Wait until no other host of this run is within such a block, and keep them from it.

    Hosts are worked on in processes of their own, which share the temporary directory of their ansible-playbook.
    """
    descriptor = os.open(constants.DEFAULT_LOCAL_TMP, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
