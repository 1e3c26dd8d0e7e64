# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before `kubeadm join`: the files and directories that the flags in kubeadm's ConfigMap name."""

from __future__ import annotations

import base64
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.kubeadm_flags import OF_ITSELF
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import PKI
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.controls import admission
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import (
    Backup,
    Change,
    directory_change,
    file_change,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_text,
    require_room,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import flag_files

_ADMISSION = "admission-control-config-file"
#: Flags whose file holds no secret, so that it may travel from one control plane to another.
_TRAVELS = (_ADMISSION, "audit-policy-file", "authentication-config")
#: What kubeadm join makes: certificates and keys below its directory, kubeconfigs beside it.
_PAIRS = (
    "ca", "apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client",
    "etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client",
)  # fmt: skip
_MADE = frozenset(
    (
        *(f"{PKI}/{name}{suffix}" for name in _PAIRS for suffix in (".crt", ".key")),
        f"{PKI}/sa.key",
        f"{PKI}/sa.pub",
        "/etc/kubernetes/controller-manager.conf",
        "/etc/kubernetes/scheduler.conf",
    )
)
_MADE_NAMES = frozenset(os.path.basename(path) for path in _MADE)


def named_by_flags(host: Host, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return what the flags of a control plane's static pods name on the host, but for what kubeadm join makes.

    Args:
        host: The host's file system.
        components: As discovery found them.

    Returns:
        Of each file ``component``, ``flag``, ``path`` on the host and ``content`` in base64, None where it may hold a
        secret or is not there; of a directory that is written to, ``folder`` in the place of the last two. In base64,
        since nothing that looks like a template may be in what a play hands on.
    """
    found: list[dict[str, t.Any]] = []
    for component, seen in components.items():
        manifest = Manifest.parse(read_text(host.path(seen["manifest"])) or "", seen["manifest"])
        for flag in seen["flags"]:
            for value in manifest.flag_values(component, flag):
                found += [
                    {"component": component, "flag": flag, **_encoded(one)}
                    for one in _named(host, manifest, component, flag, value)
                ]
    return found


def _encoded(one: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if "folder" in one:
        return dict(one)
    content = None if one["text"] is None else base64.b64encode(one["text"].encode()).decode()
    return {"path": one["path"], "content": content}


def _named(host: Host, manifest: Manifest, component: str, flag: str, value: str) -> list[dict[str, t.Any]]:
    paths = flag_files.paths(flag, value)
    if flag == flag_files.AUDIT_LOG:
        places = [manifest.host_path_of(component, path) for path in paths]
        return [{"folder": os.path.dirname(place)} for place in places if place]
    found: list[dict[str, t.Any]] = []
    for path in paths if flag_files.names_a_file(flag) else []:
        if not _is_made_by_kubeadm(component, flag, path):
            found += _file(host, manifest, component, path, flag in _TRAVELS)
        if flag == _ADMISSION and found and found[-1]["text"]:
            found += _beside(host, manifest, component, path, found[-1]["text"])
    return found


def _is_made_by_kubeadm(component: str, flag: str, path: str) -> bool:
    """Return whether kubeadm join makes a file, also where ClusterConfiguration names another directory."""
    return path in _MADE or (flag in OF_ITSELF[component] and os.path.basename(path) in _MADE_NAMES)


def _file(host: Host, manifest: Manifest, component: str, path: str, travels: bool) -> list[dict[str, t.Any]]:
    place = manifest.host_path_of(component, path)
    if place is None:
        return []
    return [{"path": place, "text": read_text(host.path(place)) if travels else None}]


def _beside(host: Host, manifest: Manifest, component: str, path: str, text: str) -> list[dict[str, t.Any]]:
    """Return what an admission configuration names: its plugins' own, which are none but that, and kubeconfigs."""
    found: list[dict[str, t.Any]] = []
    plugins, kubeconfigs = admission.files_named(text)
    for name in plugins:
        own = os.path.join(os.path.dirname(path), name)
        found += _file(host, manifest, component, own, True)
        more = admission.files_named((found[-1]["text"] if found else None) or "")[1]
        kubeconfigs += [os.path.join(os.path.dirname(own), one) for one in more]
    for name in kubeconfigs:
        found += _file(host, manifest, component, os.path.join(os.path.dirname(path), name), False)
    return found


def plan(
    host: Host, files: t.Mapping[str, str], directories: t.Sequence[str], owners: t.Mapping[str, str] | None = None
) -> list[Change]:
    """Return the directories to make and the files to write, without doing it.

    Args:
        host: The host's file system.
        files: By path, the text of files of ours.
        directories: What components write to.
        owners: By path, the text of files of the owner's; one that is there stays.
    """
    files = {**{path: text for path, text in (owners or {}).items() if not _exists(host, path)}, **files}
    wanted = sorted({*directories, *(os.path.dirname(path) for path in files)})
    changes = [directory_change(host, path) for path in wanted if not os.path.isdir(host.path(path))]
    for path, text in sorted(files.items()):
        before = read_text(host.path(path))
        if before != text:
            changes.append(file_change("file", path, before, text, []))
    return changes


def node_name(host: Host) -> str:
    """Return the host's name as kubeadm makes a node's name of it; empty where a directory does not say it."""
    name = os.uname().nodename if host.live else read_text(host.path("/etc/hostname")) or ""
    return name.strip().lower()


def _exists(host: Host, path: str) -> bool:
    return os.path.exists(host.path(path))


def apply(host: Host, changes: t.Sequence[Change], backup: Backup) -> None:
    """Make the planned changes; if one fails, those before it go back."""
    owner = (0, 0) if host.can_own else None
    for change in changes:
        require_room(host.path(os.path.dirname(change.target)), len((change.after or "").encode()))
    saved = []
    try:
        for change in changes:
            saved += backup.save_changes([change])
            if change.kind == "directory":
                make_directory(host.path(change.target), 0o700, owner)
            else:
                write_atomic(host.path(change.target), (change.after or "").encode(), 0o600, owner)
    except HardeningError as error:
        raise HardeningError(error.number, " ".join([str(error), *backup.put_back(saved)])) from error
