# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting the container of a static pod."""

from __future__ import annotations

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import Sight

#: Seconds of grace for a container that is stopped so that it reads a changed file: the pod's own.
GRACE = 30


def restart_container(sight: Sight, component: str) -> None:
    """Let the kubelet start the same pod's container again: a file that it reads at its start has changed."""
    labels = {cri.LABEL_POD_NAMESPACE: "kube-system", cri.LABEL_CONTAINER_NAME: component}
    running = sight.runtime.containers(state=cri.RUNNING, labels=labels) if sight.runtime else []
    if not running or sight.runtime is None:
        raise HardeningError(
            "KH218",
            f"The container of {component} was not found in the container runtime, so it could not be restarted.",
        )
    for container in running:
        sight.runtime.stop_container(container.id, GRACE)
