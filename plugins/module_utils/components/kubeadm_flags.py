# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags that kubeadm writes into static pods by itself, whatever its ConfigMap says.

From cmd/kubeadm/app/phases/controlplane/manifests.go and etcd/local.go of Kubernetes 1.33 to 1.37; what 1.37.1 wrote
lies in tests/unit/fixtures. Names alone: values are what kubeadm computes on each host.
"""

from __future__ import annotations

_OF_BOTH_CONTROLLERS = (
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "bind-address",
    "kubeconfig",
    "leader-elect",
)
OF_ITSELF: dict[str, frozenset[str]] = {
    "kube-apiserver": frozenset(
        (
            "advertise-address",
            "allow-privileged",
            "authorization-mode",
            "client-ca-file",
            "enable-admission-plugins",
            "enable-bootstrap-token-auth",
            "etcd-cafile",
            "etcd-certfile",
            "etcd-keyfile",
            "etcd-servers",
            "kubelet-client-certificate",
            "kubelet-client-key",
            "kubelet-preferred-address-types",
            "proxy-client-cert-file",
            "proxy-client-key-file",
            "requestheader-allowed-names",
            "requestheader-client-ca-file",
            "requestheader-extra-headers-prefix",
            "requestheader-group-headers",
            "requestheader-username-headers",
            "secure-port",
            "service-account-issuer",
            "service-account-key-file",
            "service-account-signing-key-file",
            "service-cluster-ip-range",
            "tls-cert-file",
            "tls-private-key-file",
        )
    ),
    "kube-controller-manager": frozenset(
        (
            *_OF_BOTH_CONTROLLERS,
            # These three where there is a podSubnet.
            "allocate-node-cidrs",
            "cluster-cidr",
            "service-cluster-ip-range",
            "client-ca-file",
            "cluster-name",
            "cluster-signing-cert-file",
            "cluster-signing-key-file",
            "controllers",
            "requestheader-client-ca-file",
            "root-ca-file",
            "service-account-private-key-file",
            "use-service-account-credentials",
        )
    ),
    "kube-scheduler": frozenset(_OF_BOTH_CONTROLLERS),
    "etcd": frozenset(
        (
            "advertise-client-urls",
            "cert-file",
            "client-cert-auth",
            "data-dir",
            # With etcd 3.5, and with 3.6 and newer.
            "experimental-initial-corrupt-check",
            "experimental-watch-progress-notify-interval",
            "feature-gates",
            "watch-progress-notify-interval",
            "initial-advertise-peer-urls",
            "initial-cluster",
            "initial-cluster-state",
            "key-file",
            "listen-client-urls",
            "listen-metrics-urls",
            "listen-peer-urls",
            "name",
            "peer-cert-file",
            "peer-client-cert-auth",
            "peer-key-file",
            "peer-trusted-ca-file",
            "snapshot-count",
            "trusted-ca-file",
        )
    ),
}
