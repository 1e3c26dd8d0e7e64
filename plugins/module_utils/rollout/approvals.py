# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether renewals of kubelets' serving certificates are ours to approve, where a run is not asked to approve any."""

from __future__ import annotations

import calendar
import json
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.document import read_object
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    remove_file,
    write_atomic,
)

#: The runs that approved one and were not put back. Their records do not stand for it, since those are pruned.
APPROVALS = f"{STATE_DIRECTORY}/approvals.json"
#: Seconds that a kubelet waits for an answer.
PATIENCE = 900.0
_LEFT = (
    "requests of kubelets for serving certificates that nothing speaks against were left to whoever approves them in "
    "this cluster"
)
_WAY_OUT = (
    "Without an approver these kubelets' certificates end, and with them logs and exec where API servers verify "
    "kubelets: set kubeharden_pki_approve to always, or see to your approver."
)


def _runs(host: Host) -> list[str]:
    way_out = "remove the file, and run again with kubeharden_profile cis where kubelets' requests are to be approved"
    what = "list of runs that approved kubelets' requests"
    found = read_object(host.path(APPROVALS), {"runs": [str]}, what, way_out)
    return list(found["runs"]) if found else []


def _keep(host: Host, runs: t.Sequence[str]) -> None:
    if not runs:
        remove_file(host.path(APPROVALS))
        return
    make_directory(host.path(STATE_DIRECTORY), 0o700)
    write_atomic(host.path(APPROVALS), (json.dumps({"runs": list(runs)}) + "\n").encode(), 0o600)


def note(host: Host, run_id: str) -> None:
    """Note that a run is going to approve a request for a serving certificate, or to lay one that was approved."""
    runs = _runs(host)
    if run_id not in runs:
        _keep(host, [*runs, run_id])


def strike(host: Host, run_ids: t.Collection[str]) -> None:
    """Strike runs that are put back."""
    runs = _runs(host)
    left_over = [run for run in runs if run not in run_ids]
    if left_over != runs:
        _keep(host, left_over)


def are_ours(host: Host) -> bool:
    """Return whether a run approved one through this host, and was not put back.

    Only who set up kubelets that ask approves them.

    Args:
        host: The control plane through which requests are approved.

    Raises:
        HardeningError: What is known of that cannot be read.
    """
    return bool(_runs(host))


def left(requests: t.Sequence[t.Mapping[str, t.Any]], now: float) -> tuple[list[str], list[str]]:
    """Return what is said of requests that might be approved and are left: a note, and what is left undone.

    A kubelet waits a quarter of an hour and asks anew: one that has waited for as long is approved by nobody, and its
    kubelet serves no certificate one day.

    Args:
        requests: Those that nothing speaks against.
        now: Seconds since 1970.
    """
    late = [request for request in requests if now - _made(request) > PATIENCE]
    new = [request for request in requests if request not in late]
    notes = [f"{_names(new)}: {_LEFT}; somebody may be about to."] if new else []
    not_done = [f"{_names(late)}: {_LEFT}, and nobody has for a quarter of an hour or more. {_WAY_OUT}"] if late else []
    return notes, not_done


def _names(requests: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    return ", ".join(sorted(str(request["metadata"]["name"]) for request in requests))


def _made(request: t.Mapping[str, t.Any]) -> float:
    """Return when a request was made, in seconds since 1970; one that does not say it waits since ever."""
    try:
        return calendar.timegm(time.strptime(str(request["metadata"].get("creationTimestamp")), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return 0.0
