# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ways to look at a host."""

from __future__ import annotations

import time

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.probes import (
    belonging,
    cri,
    doors,
    kubeconfig,
    pod_logs,
    processes,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import Sight


def build(
    host: Host,
    admin_kubeconfig: str | None,
    runtime_socket: str | None,
    run: pod_logs.Run,
    allow_expired: bool = False,
) -> Sight | None:
    """Return how this host is looked at, None where its files belong to no running host.

    With ``allow_expired`` the administrator's certificate may have ended: its renewal is what the run is for, or no
    matter of it.

    Raises:
        HardeningError: The administrator's kubeconfig cannot be used.
    """
    if not host.live:
        return None
    if not admin_kubeconfig:
        raise HardeningError(
            "KH118",
            "No administrator's kubeconfig is known on this host. Nothing was changed; set kubeharden_kubeconfig.",
        )
    try:
        admin = kubeconfig.load(admin_kubeconfig)
    except HardeningError as error:
        sentence = f"{str(error).rstrip('.')}. Nothing was changed; mend it, or set kubeharden_kubeconfig."
        raise HardeningError(error.number, sentence) from error
    expired = admin.expired(time.time())
    if expired and not allow_expired:
        raise HardeningError("KH136", f"{expired} Nothing was changed.")
    return Sight(
        find=belonging.find,
        same=processes.same,
        runtime=cri.Runtime(runtime_socket) if runtime_socket else None,
        kubeconfig=admin,
        last_words=lambda uid, component, first: pod_logs.last_words(uid, component, first=first),
        complaints=lambda since: pod_logs.kubelet_journal(run, since),
        usage=lambda process: _usage(process, run),
        memory=processes.memory,
        close=doors.close,
        reopen=doors.reopen,
        listens=doors.listens,
        clock=time.monotonic,
        now=time.time,
        sleep=time.sleep,
        allow_expired=allow_expired,
    )


def _usage(process: processes.Process, run: pod_logs.Run) -> str:
    program = belonging.program(process)
    return run([program, "--help"])[1] if program else ""
