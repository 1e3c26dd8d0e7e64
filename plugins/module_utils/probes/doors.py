# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets at which a process takes new connections, closed and opened from outside; what is open is not touched.

Each listening socket is bound to a network interface that does not exist: the kernel refuses whoever asks for a
connection, as where nobody listens. This belongs to the socket: it is gone with the process, whatever becomes of us,
and nothing of the host's packet filter changes. A filter on the socket would do the same, but MPTCP, with which
programs of Go listen, does not take one. The socket is reached by pidfd_getfd(2), from Linux 5.6 on. Our copy is given
back at once, since one that we kept would hold the port when the process has closed it.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket

from ansible_collections.kubeharden.core.plugins.module_utils.probes.listening import inodes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process, same

#: The numbers of pidfd_open(2) and pidfd_getfd(2), the same on every architecture that Kubernetes runs on.
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
#: asm-generic/socket.h
_SO_BINDTOIFINDEX = 62
#: The largest number that an interface can have; the kernel counts them from 1.
_NOWHERE, _ANYWHERE = 2**31 - 1, 0
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def close(process: Process) -> bool:
    """Let a process take no new connection: whoever asks for one is refused.

    Returns:
        Whether it takes none; False where the kernel does not permit it, or the process listens nowhere.
    """
    try:
        return _bind_each(process, _ANYWHERE, _NOWHERE) > 0
    except OSError:
        reopen(process)
        return False


def reopen(process: Process) -> None:
    """Let a process take new connections again; nothing is done where it listens no more, or was never closed."""
    try:
        _bind_each(process, _NOWHERE, _ANYWHERE)
    except OSError:
        return  # what could not be reached was not closed either, or has ended since


def listens(process: Process) -> bool:
    """Whether a process has a TCP socket that listens; False also where the process is gone."""
    try:
        return bool(_listening(process))
    except OSError:
        return False


def _listening(process: Process) -> list[int]:
    """The numbers of a process's file descriptors that are TCP sockets which listen, one for each socket."""
    directory = os.path.join(process.proc, str(process.pid))
    wanted = inodes(directory)
    found: dict[int, int] = {}
    for entry in os.listdir(os.path.join(directory, "fd")):
        try:
            target = _SOCKET.fullmatch(os.readlink(os.path.join(directory, "fd", entry)))
        except FileNotFoundError:
            continue  # closed since the listing
        if target and int(target.group(1)) in wanted:
            found[int(target.group(1))] = int(entry)
    return sorted(found.values())


def _bind_each(process: Process, before: int, after: int) -> int:
    """Bind each listening socket of a process that is bound to one interface to another; return how many there were."""
    numbers = _listening(process)
    if not numbers:
        return 0
    done = 0
    pidfd = _call(_PIDFD_OPEN, process.pid, 0)
    try:
        if not same(process):  # its number is somebody else's by now
            return 0
        for number in numbers:
            with socket.socket(fileno=_call(_PIDFD_GETFD, pidfd, number, 0)) as one:
                options = [
                    one.getsockopt(socket.SOL_SOCKET, name) for name in (socket.SO_ACCEPTCONN, _SO_BINDTOIFINDEX)
                ]
                if options == [1, before]:
                    one.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, after)
                    done += 1
    finally:
        os.close(pidfd)
    return done


def _call(*words: int) -> int:
    """A system call that returns a file descriptor, which closes when a program is started."""
    result = int(ctypes.CDLL(None, use_errno=True).syscall(*words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
