# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the user's own flags name: a component that cannot read one ends at its start."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import CONFIGURATION_DIRECTORY, Host

#: Flags of kube-apiserver, kube-controller-manager and kube-scheduler that name a file which must be there.
_NAMES_A_FILE = re.compile(
    r"(.*-file|etcd-(ca|cert|key)file|(.*-)?kubeconfig|config|.*-config"
    r"|kubelet-(certificate-authority|client-certificate|client-key)|tls-sni-cert-key)"
)

#: Of a kubelet, flags that name a file, or a directory, beside those.
_KUBELETS_FILES = ("resolv-conf",)
_NAMES_A_DIRECTORY = ("config-dir", "image-credential-provider-bin-dir")
#: Read only as long as the node has no kubeconfig of its own.
_MAY_BE_MISSING = ("bootstrap-kubeconfig",)

#: The flag by which kube-apiserver writes its audit log.
AUDIT_LOG = "audit-log-path"
#: By component, flags that name a file or directory to write: below no mount it ends with its container.
WRITES: t.Mapping[str, t.Sequence[str]] = {
    "kube-apiserver": (AUDIT_LOG,),
    "etcd": ("data-dir", "wal-dir", "log-outputs"),
}
#: Devices, such as a standard output by its name, are no files.
_DEVICES = "/dev/"


def names_a_file(flag: str) -> bool:
    """Return whether a flag names a file that must be there."""
    return _NAMES_A_FILE.fullmatch(flag) is not None


def unmounted(component: str, manifest: Manifest, flag: str, value: str) -> list[str]:
    """Return the paths that a flag has its component write below no mount of the host's.

    Args:
        component: The component.
        manifest: Its manifest.
        flag: One of WRITES, with a path or, as etcd's log-outputs, several beside words of another kind.
        value: Its value.
    """
    words = value.split(",") if flag == "log-outputs" else [value]
    written = [word for word in words if word.startswith("/") and not word.startswith(_DEVICES)]
    return [path for path in written if manifest.host_path_of(component, path) is None]


def problems(
    host: Host,
    component: str,
    manifest: Manifest,
    flags: t.Mapping[str, str | list[str]],
    mounted: t.Container[str] = (),
) -> list[str]:
    """Return a sentence for each file that a flag names and that the component will not find.

    Args:
        host: The host's file system.
        component: The component.
        manifest: Its manifest as it is.
        flags: The user's flags with their values, or a list of each occurrence's; those that the manifest has already
            are the owner's business.
        mounted: Flags whose directory the run mounts, and whose file it writes where it lies in our own directory.
    """
    found = []
    given = ((name, one) for name, value in flags.items() for one in (value if isinstance(value, list) else [value]))
    for name, value in given:
        flag = name.replace("_", "-")
        if value in manifest.flag_values(component, flag):
            continue
        if flag in WRITES.get(component, ()):
            found += [
                f"--{flag} of {component} names {path} to write to, which {manifest.source} does not mount, so that it "
                "would end with its container: name a path below a mount."
                for path in unmounted(component, manifest, flag, value)
                if flag not in mounted
            ]
            continue
        if not names_a_file(flag):
            continue
        for path in paths(flag, value):
            trouble = _trouble(host, component, manifest, path, flag in mounted)
            if trouble:
                found.append(f"--{flag} of {component} names {path}, {trouble}")
    return found


def problems_of_kubelet(host: Host, found: t.Mapping[str, str], flags: t.Mapping[str, str]) -> list[str]:
    """Return a sentence for each file or directory that a flag names and that a kubelet, in no container, lacks.

    Args:
        host: The host's file system.
        found: The kubelet's flags as they are: what has that value already is the owner's business.
        flags: The user's flags with their values.
    """
    lacking = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if not value.startswith("/") or found.get(flag) == value or flag in _MAY_BE_MISSING:
            continue
        path = host.path(value)
        if flag in _NAMES_A_DIRECTORY and not os.path.isdir(path):
            lacking.append(f"--{flag} of kubelet names {value}, but there is no directory {value} on this host.")
        elif (flag in _KUBELETS_FILES or names_a_file(flag)) and not os.path.isfile(path):
            lacking.append(f"--{flag} of kubelet names {value}, but there is no file {value} on this host.")
    return lacking


def paths(flag: str, value: str) -> list[str]:
    """Return the absolute paths in a flag's value; --tls-sni-cert-key has two, and perhaps names after them."""
    words = value.partition(":")[0].split(",") if flag == "tls-sni-cert-key" else [value]
    return [word for word in words if word.startswith("/")]


def _trouble(host: Host, component: str, manifest: Manifest, path: str, mounted: bool) -> str:
    """Return what keeps a component from reading a file, empty where nothing does."""
    if mounted and path.startswith(CONFIGURATION_DIRECTORY + "/"):
        return ""
    on_host = manifest.host_path_of(component, path)
    if on_host is None and not mounted:
        return (
            f"which {manifest.source} does not mount: add the directory to extraVolumes of {component} in ConfigMap "
            "kube-system/kubeadm-config and to the manifest, or name a file below a mount."
        )
    if os.path.isfile(host.path(on_host or path)):
        return ""
    return f"but there is no file {on_host or path} on this host."
