# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting the container of a static pod."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import Sight

#: Seconds of grace for a container that is stopped so that it reads a changed file: the pod's own.
GRACE = 30


#: Seconds within which the kubelet starts a container anew that somebody else has just ended: a failed probe, a crash.
PATIENCE = 30.0


def restart_container(sight: Sight, component: str) -> None:
    """Let the kubelet start the same pod's container again: a file that it reads at its start has changed.

    Raises:
        HardeningError: There is none, also not some seconds later.
    """
    for container in _running(sight, component):
        t.cast(cri.Runtime, sight.runtime).stop_container(container.id, GRACE)


def _running(sight: Sight, component: str) -> list[cri.Container]:
    labels = {cri.LABEL_POD_NAMESPACE: "kube-system", cri.LABEL_CONTAINER_NAME: component}
    until = sight.clock() + PATIENCE
    while sight.runtime is not None:
        if running := sight.runtime.containers(state=cri.RUNNING, labels=labels):
            return running
        if sight.clock() >= until:
            break
        sight.sleep(1)
    raise HardeningError(
        "KH218",
        f"The container of {component} was not found in the container runtime, so it could not be restarted.",
    )
