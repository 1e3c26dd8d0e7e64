# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane before ``kubeadm init``: what discovery would find there if its static pods ran already.

By this everything that sees to the certificates of clusters sees to those of one that is not there yet.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import MANIFESTS
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import preparation

_CONFIGURATION = "/etc/kubernetes"
#: By component, by flag, the file that kubeadm's manifests name, below its directory of certificates.
_FILES: dict[str, dict[str, str]] = {
    "kube-apiserver": {
        "client-ca-file": "ca.crt",
        "tls-cert-file": "apiserver.crt",
        "tls-private-key-file": "apiserver.key",
        "kubelet-client-certificate": "apiserver-kubelet-client.crt",
        "kubelet-client-key": "apiserver-kubelet-client.key",
        "requestheader-client-ca-file": "front-proxy-ca.crt",
        "proxy-client-cert-file": "front-proxy-client.crt",
        "proxy-client-key-file": "front-proxy-client.key",
        "service-account-key-file": "sa.pub",
        "service-account-signing-key-file": "sa.key",
    },
    "kube-controller-manager": {},
    "kube-scheduler": {},
}
#: What there is beside these where kubeadm runs etcd.
_ETCD_FILES: dict[str, dict[str, str]] = {
    "kube-apiserver": {
        "etcd-cafile": "etcd/ca.crt",
        "etcd-certfile": "apiserver-etcd-client.crt",
        "etcd-keyfile": "apiserver-etcd-client.key",
    },
    "etcd": {
        "cert-file": "etcd/server.crt",
        "key-file": "etcd/server.key",
        "peer-cert-file": "etcd/peer.crt",
        "peer-key-file": "etcd/peer.key",
    },
}
_KUBECONFIGS = {"kube-controller-manager": "controller-manager.conf", "kube-scheduler": "scheduler.conf"}


def look(host: Host, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what discovery would find, as far as certificates depend on it.

    Args:
        host: The host's file system.
        wanted: What the controller read in kubeadm's configuration (plugin_utils/kubeadm_file.py), with ``first``,
            whether kubeadm init runs here, and ``host``, the inventory's name.

    Raises:
        HardeningError: There is a cluster already.
    """
    manifest = f"{MANIFESTS}/kube-apiserver.yaml"
    if os.path.exists(host.path(manifest)):
        raise HardeningError(
            "KH018",
            f"{manifest} is there, so this host belongs to a cluster already. Nothing was changed; leave "
            "kubeharden_pki_init away, and run harden.yml or rotate_certificates.yml.",
        )
    first = bool(wanted["first"])
    name = (wanted["node_name"] if first else "") or preparation.node_name(host) or str(wanted["host"])
    files = _files(wanted)
    used = [
        {"path": path, "component": component, "flag": flag}
        for component, paths in files.items()
        for flag, path in paths.items()
    ]
    # Where an administrator's kubeconfig is wanted: super-admin.conf where kubeadm init binds his group with it.
    administrators = [f"{_CONFIGURATION}/{one}.conf" for one in ("admin", *(("super-admin",) if first else ()))]
    return {
        "layout": "kubeadm",
        "live": False,  # nothing runs: what is due is made anew at once, and nothing is restarted
        "before_init": True,
        "node_name": name,
        "kubelet": {
            "running": False,
            "version": "",
            "arguments": [],
            "flags": {},
            "next_flags": {},
            "units": [],
            "configuration": {"clusterDomain": wanted["dns_domain"]},
            "configuration_file": None,
            "static_pod_path": MANIFESTS,
            "kubeconfig": f"{_CONFIGURATION}/kubelet.conf" if first else None,
            "client_authority": f"{wanted['directory']}/ca.crt",
            "own_certificate": "",
            "gate_off": "",
            "betas_off": False,
        },
        "components": {component: _component(component, wanted) for component in files},
        "certificates": used,
        "sni_certificates": [],
        "signing_authority": None,
        "signs_kubelets": False,
        "authority_keys": [],
        "rootless": [],
        "files": {**_present(host, used, str(wanted["directory"])), "admin_kubeconfig": administrators},
        "names": list(wanted["names"]),
        "host_names": list(wanted["etcd_names"]),
        "endpoint": str(wanted["endpoint"]),
        "runtime_socket": None,
        "admin_kubeconfig": None,
        "kubelet_authority": "",
        "exempt_namespaces": None,
        "configured_plugins": [],
        "authentication": None,
        "authorization": None,
        "patches": {},
    }


def _files(wanted: t.Mapping[str, t.Any]) -> dict[str, dict[str, str]]:
    """Return, by component, by flag, the certificates, keys and kubeconfigs that kubeadm's manifests will name."""
    parts = [_FILES, _ETCD_FILES] if wanted["etcd"] else [_FILES]
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for component, names in part.items():
            paths = {flag: f"{wanted['directory']}/{name}" for flag, name in names.items()}
            found.setdefault(component, {}).update(paths)
    for component, name in _KUBECONFIGS.items():
        found[component]["kubeconfig"] = f"{_CONFIGURATION}/{name}"
        found[component].update(wanted["serving"].get(component) or {})
    return found


def _component(name: str, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    flags: dict[str, str] = {}
    if name == "kube-apiserver":
        flags = {"service-cluster-ip-range": wanted["service_network"], "secure-port": str(wanted["port"])}
        if wanted["first"] and wanted["address"]:
            flags["advertise-address"] = wanted["address"]
    version = str(wanted["version"])
    return {
        "deployment": "static_pod",
        "manifest": f"{MANIFESTS}/{name}.yaml",
        "image": "",
        "version": version,
        "minor": int(version.split(".")[1]),
        "flags": flags,
        "arguments": [],
        "running": False,
    }


def _present(host: Host, used: t.Sequence[t.Mapping[str, str]], directory: str) -> dict[str, list[str]]:
    """Return those files of the cluster's PKI that are there already."""
    paths = {entry["path"] for entry in used if entry["path"].startswith(f"{directory}/")}
    authorities = ("ca.key", "front-proxy-ca.key", "etcd/ca.key")
    there = sorted(
        path for path in paths | {f"{directory}/{name}" for name in authorities} if os.path.exists(host.path(path))
    )
    return {
        "pki_certificate": [path for path in there if not path.endswith(".key")],
        "pki_key": [path for path in there if path.endswith(".key")],
    }
