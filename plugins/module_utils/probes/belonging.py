# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process is the cluster's component, or only called like one.

Anybody may call a program etcd, in a pod or on the host. What the kernel says of a process is not its own to choose:

- a static pod's processes are in the control group of a pod whose uid is a hash of the manifest. The API server gives
  every other pod a UUID;
- kube-proxy is in that of a pod for which the kubelet keeps logs in the name of kube-system's kube-proxy;
- a service of the host is in no pod, has the host's process ids and root directory, and is root's, or is in the control
  group of the system's unit of that name.

All of it but the root directory may be seen by everybody.
"""

from __future__ import annotations

import os
import re

from ansible_collections.kubeharden.core.plugins.module_utils.probes import processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process

LOGS = "/var/log"

#: A pod's control group below the host's own, as the kubelet's drivers (cgroupfs, systemd) name it; kubeadm's kinds of
#: cgroupRoot. Nobody but root can make a group there: what is given to users and containers lies in a service or scope.
_POD = re.compile(
    r"(?:/kubelet)?/kubepods(?:/burstable|/besteffort)?/pod([0-9a-f-]+)(?:/|\Z)"
    r"|(?:/[^/]+\.slice)*?/(?:[^/]+-)?kubepods(?:-burstable|-besteffort)?-pod([0-9a-f_]+)\.slice(?:/|\Z)"
)
_STATIC = re.compile(r"[0-9a-f]{32}\Z")
_KUBE_PROXY = "kube-system_kube-proxy-"


def find(component: str, proc: str = "/proc", logs: str = LOGS) -> list[Process]:
    """The living processes of a component, oldest first, and none that is only called like it."""
    return [process for process in processes.find(component, proc) if belongs(process, logs)]


def belongs(process: Process, logs: str = LOGS) -> bool:
    """Whether a process is the component that it is called after."""
    pods = _pods(process)
    if not pods:
        return _is_service(process)
    if process.name == "kubelet":
        return False
    return _is_static(pods) or (process.name == "kube-proxy" and _is_kube_proxys(pods, logs))


def in_pod(process: Process) -> bool:
    """Whether a process is a pod's, and so none that the host itself runs."""
    return bool(_pods(process))


def program(process: Process) -> str | None:
    """The program of a component where root may start it, since nobody else had a say in what it is; else None.

    That of a container is started from outside it: the components are static binaries.
    """
    pods = _pods(process)
    trusted = _is_static(pods) if pods else _is_roots(process) and _is_service(process)
    return f"{process.proc}/{process.pid}/exe" if trusted else None


def _is_static(pods: set[str]) -> bool:
    return len(pods) == 1 and all(_STATIC.match(pod) for pod in pods)


def _is_kube_proxys(pods: set[str], logs: str) -> bool:
    """Whether the kubelet keeps a pod's logs as kube-proxy's; who may not list them reads where their links lead."""
    try:
        folders = os.listdir(f"{logs}/pods")
    except OSError:
        folders = _linked(f"{logs}/containers")
    return any(name.startswith(_KUBE_PROXY) and {name.rpartition("_")[2]} == pods for name in folders)


def _linked(directory: str) -> list[str]:
    try:
        links = [os.readlink(f"{directory}/{name}") for name in os.listdir(directory)]
    except OSError:
        return []
    return [link.split("/")[-3] for link in links if link.count("/") > 2]


def _is_service(process: Process) -> bool:
    status = processes.status(process)
    # One number for each namespace of process ids, from the one of this /proc down.
    if status.get("NSpid", "").split() != [str(process.pid)]:
        return False
    return (_is_roots(process) or _has_unit(process)) and _has_root_directory(process)


def _is_roots(process: Process) -> bool:
    """Whether a process is root's alone: real, effective, saved and for files."""
    return processes.status(process).get("Uid", "").split() == ["0"] * 4


def _has_unit(process: Process) -> bool:
    """Whether a process is in the group of the system's unit of its name; a user's own units lie within a service."""
    unit = re.compile(rf"(?:/[^/]+\.slice)+/{re.escape(process.name)}\.service(?:/|\Z)")
    return any(unit.match(group) for group in _groups(process))


def _has_root_directory(process: Process) -> bool:
    """Whether a process has the host's root directory; who may not look at it cannot say that it has another one."""
    try:
        own, first = (os.stat(f"{process.proc}/{pid}/root") for pid in (process.pid, 1))
    except PermissionError:
        return True
    except OSError:
        return False
    return (own.st_dev, own.st_ino) == (first.st_dev, first.st_ino)


def _pods(process: Process) -> set[str]:
    """The uids of the pods whose control groups a process is in, empty text for what is of a pod's form only."""
    found = set()
    for group in _groups(process):
        match = _POD.match(group)
        if match:
            found.add((match.group(1) or match.group(2)).replace("_", "-"))
        elif "kubepods" in group:
            found.add("")
    return found


def _groups(process: Process) -> list[str]:
    """The control groups of a process, one in each hierarchy, below that of the host's first process."""
    own, first = _hierarchies(process.proc, process.pid), _hierarchies(process.proc, 1)
    found = []
    for name, path in own.items():
        top = first.get(name, "/").removesuffix("/init.scope").rstrip("/")
        found.append(path[len(top) :] if path.startswith(f"{top}/") else path)
    return found


def _hierarchies(proc: str, pid: int) -> dict[str, str]:
    """By hierarchy (of version 2 there is one, without a name), the control group of a process."""
    lines = processes.text(f"{proc}/{pid}/cgroup").splitlines()
    return {parts[1]: parts[2] for parts in (line.split(":", 2) for line in lines) if len(parts) == 3}
