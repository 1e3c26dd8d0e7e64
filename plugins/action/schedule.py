# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A schedule, with what the controller knows of itself where it is the host that gets it."""

from __future__ import annotations

import os
import shutil
import sys
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import COLLECTION
from ansible_collections.kubeharden.core.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Documented in plugins/modules/schedule.py."""

    MODULE = "schedule"
    RELEASES = False  # no lock of a cluster's host is taken

    def prepare(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """On the controller, take what the user did not say from this run: it is how runs are started here."""
        recorder = COLLECTION / "roles" / "schedule" / "files" / "record-run.sh"
        arguments["recorder"] = recorder.read_text(encoding="utf-8")
        arguments["local_hosts"] = self._local_hosts(arguments.pop("hosts", None) or [], task_vars)
        if self._connection.transport == "local":
            arguments["checkout"] = str(COLLECTION) if (COLLECTION / "ansible.cfg").exists() else ""
            for name, found in (
                ("directory", os.getcwd()),
                ("ansible_playbook", _ansible_playbook()),
                ("inventory", [*task_vars.get("ansible_inventory_sources", [])]),
            ):
                arguments[name] = arguments.get(name) or found
        return arguments

    def _local_hosts(self, hosts: t.Sequence[str], task_vars: dict[str, t.Any]) -> list[str]:
        """Return the hosts of the cluster that the run reaches without ssh and that are no directory."""
        known = task_vars["hostvars"]
        return [
            host
            for host in hosts
            if known[host].get("ansible_connection") == "local" and known[host].get("kubeharden_root", "/") == "/"
        ]


def _ansible_playbook() -> str:
    """Return the program that belongs to this interpreter, else what is on the path."""
    beside = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    return beside if os.access(beside, os.X_OK) else shutil.which("ansible-playbook") or ""
