# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether renewals of kubelets' serving certificates are ours to approve, where a run is not asked to approve any."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host

_KUBELETS = "The serving certificate of "


def are_ours(host: Host) -> bool:
    """Return whether a run that this host has the record of approved one, and was not put back.

    Only who set up kubelets that ask approves them; each approval is recorded, so that the newest is never older than
    a certificate's life.

    Args:
        host: The control plane through which requests are approved.

    Raises:
        HardeningError: A record that cannot be read.
    """
    return any(
        entry["kind"] == "one_way" and str(entry["target"]).startswith(_KUBELETS)
        for run in past_runs(host)
        if not run.undone_by
        for entry in run.entries
    )


def left(requests: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the sentence on requests that might be approved and are left."""
    if not requests:
        return []
    names = ", ".join(sorted(str(request["metadata"]["name"]) for request in requests))
    sentence = (
        f"{names}: requests of kubelets for serving certificates that nothing speaks against, and that were left to "
        "whoever approves them in this cluster, since this control plane has no record that Kubeharden does. Where "
        "nobody does, run again with kubeharden_profile cis and no waiver of kubelet-serving-certificate."
    )
    return [sentence]
