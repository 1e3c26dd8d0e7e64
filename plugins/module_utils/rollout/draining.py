# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last connections of an API server that is about to end.

Under kubeadm's own flags an API server that is told to end closes its port at once and answers 503 to a request on a
connection that it took a moment before. So it takes no new ones for a moment first, in which those that it has taken
get their answers; clients and load balancers go to the others, as they do when it is gone. One with
``--shutdown-delay-duration`` does better by itself and is left alone.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    occurrences,
    parse_arguments,
    parse_quantity,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import Sight, matches

#: Seconds for the handshake and the request of a connection that was just taken.
LAST = 0.3
#: Seconds that the kubelet may take from a changed manifest to telling the process, after which it is open again.
LATEST = 5.0
_LOOK = 0.1


@contextlib.contextmanager
def drained(sight: Sight | None, arguments: t.Sequence[str]) -> t.Iterator[None]:
    """Do what ends the API server with these arguments while no new connection reaches it.

    Nothing is waited for where none runs, it delays its end itself, or it cannot be closed (kernels before 5.6).
    Afterwards it has closed its port itself, or is open again.
    """
    closed = [process for process in _ending(sight, arguments) if t.cast(Sight, sight).close(process)]
    if not closed or sight is None:
        yield
        return
    try:
        sight.sleep(LAST)
        yield
        end = sight.clock() + LATEST
        while any(sight.listens(process) for process in closed) and sight.clock() < end:
            sight.sleep(_LOOK)
    finally:
        for process in closed:
            sight.reopen(process)


def _ending(sight: Sight | None, arguments: t.Sequence[str]) -> list[Process]:
    if sight is None or _delays(arguments):
        return []
    return [process for process in sight.find(API_SERVER) if matches(process, arguments)]


def _delays(arguments: t.Sequence[str]) -> bool:
    """Whether an API server takes connections for a while after it was told to end."""
    delay = occurrences(parse_arguments(arguments), "shutdown-delay-duration")
    return bool(parse_quantity(delay[-1])) if delay else False
