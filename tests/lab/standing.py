# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify's eye and judgement on a directory, as if its components had been started.

To ``verify.yml`` what needs a process is unknown on a directory. Here every component has one, in a tree of the form of
/proc, with the arguments of its manifest. Nothing listens, and nobody asks the API.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.probes import processes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import Collector
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, verdicts

KUBELET = ["/usr/bin/kubelet", "--kubeconfig=/etc/kubernetes/kubelet.conf", "--config=/var/lib/kubelet/config.yaml"]
VERSION = "1.37.1"
#: The fields of proc_pid_stat(5) behind the name: state, parent, and what nobody here asks for.
_STAT = "S 1 " + "0 " * 20


class _View(View):
    """Sees the processes of the tree, though its host is a directory."""

    def see_processes(self) -> str:
        self.processes = {process.name: process for process in processes.all_processes(self.proc)}
        return ""


def _start(proc: Path, root: Path, number: int, arguments: list[str]) -> None:
    process = proc / str(number)
    process.mkdir()
    (process / "cmdline").write_text("\0".join(arguments) + "\0", encoding="utf-8")
    (process / "stat").write_text(f"{number} ({arguments[0]}) {_STAT}", encoding="utf-8")
    (process / "status").write_text(f"Uid:\t0\t0\t0\t0\nNSpid:\t{number}\n", encoding="utf-8")
    for name in ("exe", "environ"):
        (process / name).touch()
    (process / "root").symlink_to(root)


def start_all(root: Path, proc: Path, kubelet: list[str] | None = None, *others: list[str]) -> None:
    """Make the tree of a directory's processes: a kubelet, what its manifests say, and what else was started.

    They began after all that is in the directory was written, and is by the end of the test.
    """
    proc.mkdir()
    (proc / "stat").write_text(f"btime {int(time.time()) + 86400}\n", encoding="utf-8")
    manifests = [
        path.read_text(encoding="utf-8") for path in sorted((root / "etc/kubernetes/manifests").glob("*.yaml"))
    ]
    commands = [yaml.safe_load(text)["spec"]["containers"][0]["command"] for text in manifests]
    for number, arguments in enumerate((kubelet or KUBELET, *commands, *others), start=1):
        _start(proc, root, number, arguments)


def verified(root: Path, proc: Path, profile: str) -> dict[str, tuple[str, str]]:
    """By control, status and evidence of a directory that stands for a control plane.

    :param proc: where the tree of its processes is made.
    """
    start_all(root, proc)
    return seen(root, proc, profile)


def evidence(root: Path, proc: Path, control_plane: bool = True) -> dict[str, Any]:
    """What is collected of a directory whose processes were started before, whatever its files are now."""
    said = (0, f"Kubernetes v{VERSION}", "")
    view = _View(Host(str(root)), str(proc))
    return Collector(view, control_plane, None, lambda _words: said, time.time(), time.monotonic).collect()


def seen(root: Path, proc: Path, profile: str) -> dict[str, tuple[str, str]]:
    """By control, status and evidence of such a one."""
    result = {"evidence": evidence(root, proc), "problem": ""}
    settings = verdicts.Settings("mutations", profile, "0", time.time())
    report = verdicts.build(verdicts.Seen({"cp1": result}, None, ["cp1"]), catalogue_files.load(), settings)
    return {
        one["control"]: (one["status"], one["evidence"]) for one in report["results"] if one["host"] != verdicts.CLUSTER
    }
