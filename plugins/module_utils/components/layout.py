# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the ways of running Kubernetes keep things, and how they are told apart."""

from __future__ import annotations

import os

#: The components of a control plane in the order in which they start.
API_SERVER = "kube-apiserver"
CONTROL_PLANE: tuple[str, ...] = ("etcd", API_SERVER, "kube-controller-manager", "kube-scheduler")

#: Components whose manifest may be tried beside the running one. Never etcd: two processes cannot share its data.
TRIABLE: tuple[str, ...] = (API_SERVER, "kube-controller-manager", "kube-scheduler")

#: What restarts together with a component: an API server uses only the etcd of its own host.
TOGETHER: dict[str, tuple[str, ...]] = {"etcd": ("kube-apiserver",)}

#: The tag of each component's concern.
CONCERN: dict[str, str] = {
    "kube-apiserver": "apiserver",
    "kube-controller-manager": "controller_manager",
    "kube-scheduler": "scheduler",
    "etcd": "etcd",
    "kubelet": "kubelet",
    "kube-proxy": "kube_proxy",
}

#: Directories that only one other way of running Kubernetes makes.
FOREIGN: tuple[tuple[str, str], ...] = (
    ("/etc/rancher/rke2", "RKE2"),
    ("/var/lib/rancher/rke2", "RKE2"),
    ("/etc/rancher/k3s", "k3s"),
    ("/var/lib/rancher/k3s", "k3s"),
    ("/var/snap/microk8s", "MicroK8s"),
    ("/var/lib/k0s", "k0s"),
    ("/etc/origin/node", "OpenShift"),
)

#: Directories in which systemd looks for units, the strongest first.
UNIT_DIRECTORIES: tuple[str, ...] = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)

KUBELET_CONFIGURATION = "/var/lib/kubelet/config.yaml"
#: What kubeadm lays over its ConfigMap kubelet-config on this node alone.
KUBELET_INSTANCE = "/var/lib/kubelet/instance-config.yaml"
KUBELET_FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
KUBELET_OVERRIDES = ("/etc/default/kubelet", "/etc/sysconfig/kubelet")
#: Of ours, for a kubelet whose unit gives it no flags: behind that of kubeadm, which a package may bring later.
KUBELET_DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeharden.conf"
KUBELET_KUBECONFIG = "/etc/kubernetes/kubelet.conf"
#: With what a kubelet asks for its first certificate, where it has no kubeconfig that is valid.
KUBELET_BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
MANIFESTS = "/etc/kubernetes/manifests"
PKI = "/etc/kubernetes/pki"
ADMIN_KUBECONFIG = "/etc/kubernetes/admin.conf"
#: Kubeconfigs of an administrator that kubeadm writes.
ADMIN_KUBECONFIGS = (ADMIN_KUBECONFIG, "/etc/kubernetes/super-admin.conf")
CNI_CONFIGURATION = "/etc/cni/net.d"
RUNTIME_SOCKETS = (
    "/run/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
)

#: Flags that name a certificate, a key, an authority or a kubeconfig, by the component that reads it.
PKI_FLAGS: dict[str, tuple[str, ...]] = {
    "etcd": (
        "cert-file",
        "key-file",
        "trusted-ca-file",
        "peer-cert-file",
        "peer-key-file",
        "peer-trusted-ca-file",
    ),
    "kube-apiserver": (
        "client-ca-file",
        "tls-cert-file",
        "tls-private-key-file",
        "etcd-cafile",
        "etcd-certfile",
        "etcd-keyfile",
        "kubelet-client-certificate",
        "kubelet-client-key",
        "kubelet-certificate-authority",
        "proxy-client-cert-file",
        "proxy-client-key-file",
        "requestheader-client-ca-file",
        "service-account-key-file",
        "service-account-signing-key-file",
    ),
    "kube-controller-manager": (
        "client-ca-file",
        "cluster-signing-cert-file",
        "cluster-signing-key-file",
        "requestheader-client-ca-file",
        "root-ca-file",
        "service-account-private-key-file",
        "tls-cert-file",
        "tls-private-key-file",
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ),
    "kube-scheduler": (
        "client-ca-file",
        "requestheader-client-ca-file",
        "tls-cert-file",
        "tls-private-key-file",
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ),
}


def is_of_kubernetes(root: str) -> bool:
    """Return whether anything on a host says that it is, or was to be, a node of Kubernetes.

    Without a library that the host may lack: nothing is to be installed on one that is none.

    Args:
        root: Where the host's files are.
    """
    there = [KUBELET_CONFIGURATION, KUBELET_KUBECONFIG, KUBELET_BOOTSTRAP, *(path for path, _name in FOREIGN)]
    if any(os.path.lexists(root.rstrip("/") + path) for path in there):
        return True
    try:
        return bool(os.listdir(root.rstrip("/") + MANIFESTS))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there is something, which will be said where it is looked at
