# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ways to see and change kube-proxy: through kubectl, as an administrator."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import Kubectl, Run, on_host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kube_proxy import CONFIG_MAP, DAEMON_SET, Api

_SYSTEM = "/api/v1/namespaces/kube-system"
_CONFIG_MAP = f"{_SYSTEM}/configmaps/kube-proxy"
_DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
#: Seconds for the answer of a health port, which takes milliseconds; one behind a firewall takes all of them.
_HEALTH_TIMEOUT = 5
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1"


def build(run: Run, admin_kubeconfig: str, program: str | None, sleep: t.Callable[[float], None] = time.sleep) -> Api:
    """Return how the cluster is seen and changed.

    Args:
        run: Runs a command of the host.
        admin_kubeconfig: The administrator's kubeconfig on the host.
        program: The kubectl, None for the usual places.
        sleep: Waits that many seconds.
    """
    kubectl = on_host(program, admin_kubeconfig, run)
    hurried = Kubectl(kubectl.path, admin_kubeconfig, run, _HEALTH_TIMEOUT)

    def service() -> bool:
        found = kubectl.get_object("/api/v1/namespaces/default/services/kubernetes", "Service default/kubernetes") or {}
        spec: dict[str, t.Any] = found.get("spec") or {}
        port = next((one["port"] for one in spec.get("ports") or []), 443)
        return tls_peer(str(spec.get("clusterIP", "")), int(port)).certificate is not None

    return Api(
        config_map=lambda: kubectl.get_object(_CONFIG_MAP, CONFIG_MAP),
        daemon_set=lambda: kubectl.get_object(_DAEMON_SET, DAEMON_SET),
        pods=lambda: kubectl.list_objects(f"{_SYSTEM}/pods?labelSelector=k8s-app%3Dkube-proxy"),
        bindings=lambda: [
            *kubectl.list_objects(f"{_BINDINGS}/clusterrolebindings"),
            *kubectl.list_objects(f"{_BINDINGS}/rolebindings"),
        ],
        write_config_map=lambda document: kubectl.replace_object(_CONFIG_MAP, CONFIG_MAP, document),
        write_daemon_set=lambda document: kubectl.replace_object(_DAEMON_SET, DAEMON_SET, document),
        health=lambda pod, port: hurried.try_get(f"{_SYSTEM}/pods/{pod}:{port}/proxy/livez"),
        log=lambda pod, container: kubectl.try_get(f"{_SYSTEM}/pods/{pod}/log?container={container}&tailLines=1") or "",
        service=service,
        clock=time.monotonic,
        sleep=sleep,
    )
