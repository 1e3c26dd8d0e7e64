# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's directory: which hosts it has, with what it was made, and the processes that hold it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from lab.kubelab.base import LabError

NETWORK = "10.213.0"
"""Each lab has a network namespace of its own, so that all of them can use the same addresses."""

GATEWAY = f"{NETWORK}.1"
REGISTRY = f"{GATEWAY}:5000"
STATE_FILE = "lab.json"
BALANCER_CONTROL = "127.0.0.1:6444"
"""Where the load balancer takes commands, within the lab's network."""
ALGORITHM = "RSA-2048"
"""Of kubeadm's keys, where nobody says another."""
UNLUCKY = "unlucky"
"""The list of addresses of which the load balancer loses every third connection."""


@dataclasses.dataclass
class Host:
    """A host of a lab.

    ``pod_network`` is its part of the pods' addresses, as CIDR.
    """

    name: str
    address: str
    pod_network: str
    control_plane: bool


@dataclasses.dataclass
class Lab:
    """What a lab's directory says about it.

    ``identity`` is unique on the machine and names its cgroups; ``lower`` are the read-only layers of every host's
    root file system, the topmost first; ``node`` is the cache's entry with images and registry; ``algorithm`` is that
    of the keys which kubeadm makes.
    """

    directory: Path
    identity: str
    minor: str
    version: str
    lower: list[str]
    node: str
    hosts: list[Host]
    algorithm: str = ALGORITHM

    @property
    def control_planes(self) -> list[Host]:
        return [host for host in self.hosts if host.control_plane]

    @property
    def workers(self) -> list[Host]:
        return [host for host in self.hosts if not host.control_plane]

    @property
    def endpoint(self) -> str:
        """Where clients find the API: the load balancer, or the only control plane itself."""
        return f"{GATEWAY if len(self.control_planes) > 1 else self.hosts[0].address}:6443"

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"{self.directory}: no host {name}; it has {', '.join(host.name for host in self.hosts)}")

    def save(self) -> None:
        data = dataclasses.asdict(self)
        del data["directory"]
        (self.directory / STATE_FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def plan_hosts(control_planes: int, workers: int) -> list[Host]:
    """cp1... at .11..., w1... at .51..., each with a /24 of pod addresses of its own."""
    if not 1 <= control_planes <= 9 or not 0 <= workers <= 99:
        raise LabError("a lab has 1 to 9 control planes and 0 to 99 workers")
    planned = [(f"cp{i}", 10 + i, True) for i in range(1, control_planes + 1)]
    planned += [(f"w{i}", 50 + i, False) for i in range(1, workers + 1)]
    return [Host(name, f"{NETWORK}.{last}", f"10.244.{last}.0/24", plane) for name, last, plane in planned]


def load(directory: Path) -> Lab:
    """Read a lab's directory.

    :raises LabError: there is no lab in it.
    """
    try:
        data = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise LabError(f"{directory}: no lab here; make one with `lab up {directory}`") from None
    data["hosts"] = [Host(**host) for host in data["hosts"]]
    return Lab(directory=directory, **data)


def holder_pid(directory: Path) -> int | None:
    """The process that is pid 1 of the lab's namespaces, as seen from outside; None when the lab is not running."""
    try:
        unshare, net = (directory / "holder").read_text(encoding="utf-8").split()
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    for child in children:
        try:
            if os.readlink(f"/proc/{child}/ns/net") == net:
                return int(child)
        except OSError:
            continue
    return None


def inside(directory: Path) -> bool:
    """Is this process in the lab's own network namespace already?"""
    try:
        net = (directory / "holder").read_text(encoding="utf-8").split()[1]
    except (OSError, IndexError):
        return False
    return os.readlink("/proc/self/ns/net") == net
