# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates depend on in the file that ``kubeadm init --config`` will get, before there is a cluster.

It may hold tokens and keys of kubeadm's. So it is read on the controller, and hosts are sent what is named here alone.
"""

from __future__ import annotations

import posixpath
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import PKI
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils.pki_cluster import SERVING_FLAGS

VARIABLE = "kubeharden_pki_init"

_BETWEEN_DOCUMENTS = re.compile(r"^---[ \t\r]*(?:#.*)?$", re.MULTILINE)
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)(?:[-+].*)?")
_CLUSTER, _INIT = "ClusterConfiguration", "InitConfiguration"
#: What kubeadm takes where the file says nothing.
_SERVICES, _DOMAIN, _PORT = "10.96.0.0/12", "cluster.local", 6443


def read(text: str, where: str) -> dict[str, t.Any]:
    """Return what certificates depend on.

    Args:
        text: Of the file.
        where: The file's name, for sentences.

    Returns:
        Of the cluster ``version``, ``directory`` (of certificates), ``service_network``, ``dns_domain``, ``endpoint``,
        ``names`` (of the API servers), ``etcd_names``, ``etcd`` (whether kubeadm runs it) and ``serving`` (by
        component, the flags that name what it serves). Of the host on which kubeadm init runs ``node_name``,
        ``address`` and ``port``, empty where the file does not say it.

    Raises:
        HardeningError: A file that is no such configuration.
    """
    found = _documents(text, where)
    if _CLUSTER not in found:
        raise _refused(where, f"it has no {_CLUSTER}")
    source, cluster = found[_CLUSTER]
    version = _VERSION.fullmatch(str(cluster.get("kubernetesVersion") or ""))
    if version is None:
        raise _refused(where, "its kubernetesVersion is no version such as v1.37.1, by which certificates differ")
    networking, etcd = _mapping(cluster, "networking"), _mapping(cluster, "etcd")
    init = found.get(_INIT, ("", {}))[1]
    local, node = _mapping(init, "localAPIEndpoint"), _mapping(init, "nodeRegistration")
    own_etcd, port = _mapping(etcd, "local"), local.get("bindPort") or _PORT
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise _refused(where, "its bindPort is no port")
    directory = cluster.get("certificatesDir") or PKI
    if not isinstance(directory, str) or not directory.startswith("/"):
        raise _refused(where, "its certificatesDir is no absolute path")
    return {
        "version": version.group(1),
        "directory": posixpath.normpath(directory),
        "service_network": str(networking.get("serviceSubnet") or _SERVICES),
        "dns_domain": str(networking.get("dnsDomain") or _DOMAIN),
        "endpoint": str(cluster.get("controlPlaneEndpoint") or ""),
        "names": _texts(_mapping(cluster, "apiServer").get("certSANs")),
        "etcd_names": [*_texts(own_etcd.get("serverCertSANs")), *_texts(own_etcd.get("peerCertSANs"))],
        "etcd": not etcd.get("external"),
        "serving": _serving(ClusterConfiguration.parse(source, where)),
        "node_name": str(node.get("name") or ""),
        "address": str(local.get("advertiseAddress") or ""),
        "port": port,
    }


def _documents(text: str, where: str) -> dict[str, tuple[str, dict[str, t.Any]]]:
    """Return text and data of each document of kubeadm's, by its kind."""
    found: dict[str, tuple[str, dict[str, t.Any]]] = {}
    for source in _BETWEEN_DOCUMENTS.split(text):
        try:
            data = yaml_data.load(source)
        except yaml_data.NoYamlError as error:
            raise _refused(where, "it is no YAML") from error
        if isinstance(data, dict) and str(data.get("apiVersion", "")).startswith("kubeadm.k8s.io/"):
            kind = str(data.get("kind") or "")
            if kind in found:
                raise _refused(where, f"it has more than one {kind}")
            found[kind] = source, data
    return found


def _serving(configuration: ClusterConfiguration) -> dict[str, dict[str, str]]:
    """Return, by component, the flags by which controller-manager and scheduler will serve a certificate."""
    found: dict[str, dict[str, str]] = {}
    for component, *flags in SERVING_FLAGS.values():
        values = {flag: configuration.extra_arg_values(component, flag) for flag in flags}
        found[component] = {flag: value[-1] for flag, value in values.items() if value}
    return found


def _mapping(data: t.Mapping[str, t.Any], key: str) -> t.Mapping[str, t.Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: t.Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _refused(where: str, why: str) -> HardeningError:
    return HardeningError(
        "KH018",
        f"{where}, which {VARIABLE} names, is no configuration that certificates can be made for: {why}. Nothing was "
        "changed; correct the file with which kubeadm init will be run.",
    )
