# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another version's programs and images in a lab that is up, so that a cluster can be upgraded. Runs inside the lab."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.kubelab import components, hosts, prepare, state
from lab.kubelab.base import Stopwatch

PROGRAMS = ("kubeadm", "kubectl", "kubelet")


def place(minor: str) -> str:
    """Where on each host the programs of a version lie: in nobody's search path, for whoever upgrades to install."""
    return f"/opt/kubernetes/{minor}"


def bring(directory: Path, minor: str) -> None:
    """Let the registry serve a version's images, and lay its programs on every host.

    No host gets an image: an upgrade has to pull it, as elsewhere. Nothing that runs is touched.

    :raises LabError: the lab has no such version, or a host does not answer.
    """
    lab, watch = state.load(directory), Stopwatch()
    shutil.copytree(
        prepare.node(minor) / "registry",
        directory / "registry/storage",
        dirs_exist_ok=True,
        copy_function=_copy_unless_there,
    )
    watch.lap(f"images of {minor}")
    with tempfile.TemporaryFile() as packed:
        command = ["tar", "-C", str(components.programs(minor)), "-cf", "-", *PROGRAMS]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=packed, check=True)
        for host in lab.hosts:
            packed.seek(0)
            unpack = f"mkdir -p {place(minor)} && tar -C {place(minor)} --no-same-owner -xf -"
            hosts.run_with_file(["ssh", *hosts.ssh_options(lab), f"root@{host.address}", unpack], packed)
    watch.lap(f"programs of {minor} on {len(lab.hosts)} hosts")


def _copy_unless_there(source: str, target: str) -> None:
    """Every file of a registry lies below its digest or its tag: one that is there has these bytes."""
    if not Path(target).exists():
        shutil.copy(source, target)
