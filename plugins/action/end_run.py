# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run, on the controller: one table, and where the way back is."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, numbered
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import write_atomic
from ansible_collections.kubeharden.core.plugins.plugin_utils import changes_file, estimate, inventory, metrics
from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import BATCH
from ansible_collections.kubeharden.core.plugins.plugin_utils.summary import Row, readiness, render

#: What the task that hardens kube-proxy returned.
KUBE_PROXY = "__harden_kube_proxy_done"
#: And the one that tries what control planes become. A run says of it what it says when it has changed them.
TRIED = "__harden_control_plane_planned"


class ActionModule(ActionBase):
    """Documented in plugins/modules/end_run.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Print the account of the run."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = self._task.args
        mode = "check" if self._task.check_mode else "run"
        try:
            changes_file.add(arguments["report_dir"], arguments["run_id"], mode, "", [])
            changes = changes_file.read(arguments["report_dir"])["changes"]
        except HardeningError as error:
            return {"failed": True, "msg": f"{error.numbered} Everything else of this run is done."}
        rows = []
        silent = ready = tried = 0
        names = [*arguments["results"], *([TRIED] if arguments.get("ready") else [])]
        for host in sorted(variables["ansible_play_hosts_all"]):
            # Raw: what looks like a template in a host's file is text here too.
            known = variables["hostvars"].raw_get(host)
            results = [known.get(name) for name in names]
            silent += _says(results, "silent")
            ready += _says(results, "looked_at")
            tried += _says(results, "tries")
            rows.append(Row.from_results(host, results, changes, mode))
        notes = list(arguments.get("notes") or [])
        puts_back = not boolean(arguments.get("way_back", True))
        if not puts_back:
            notes += self._note_of_nodes_alone(variables)
        if mode == "check":
            groups = variables["groups"]
            control_planes, nodes = (groups.get(f"kubeharden_{kind}", []) for kind in ("control_planes", "workers"))
            # What is put back is tried when each host's turn comes.
            batch = arguments.get("batch") or BATCH
            seconds = estimate.of_run(changes, control_planes, nodes, batch, at_once=not puts_back)
            if arguments.get("ready"):
                notes.insert(0, readiness(ready, len(rows) - silent - ready, bool(tried)))
            if seconds:
                notes.insert(
                    0,
                    f"The restarts would take about {seconds} s: control planes one after the other, then nodes in "
                    "batches (kubeharden_batch); batches of more hosts than --forks take longer.",
                )
        problem = ""
        every_end = bool(arguments.get("certificates"))
        if every_end and mode == "run":
            try:
                notes += self._write_metrics(rows)
            except HardeningError as error:
                problem = str(error)
        # What a rotation made stays, and a rollback is put back by the next run.
        way_back = not puts_back and not every_end
        where = (arguments["run_id"], arguments["report_dir"])
        for line in render(rows, mode, *where, notes, every_end, arguments.get("root") or "/", way_back):
            self._display.display(line)
        if problem:
            return {"failed": True, "msg": numbered("KH201", f"Everything else of this run is done. {problem}")}
        return {"changed": False}

    def _note_of_nodes_alone(self, variables: t.Mapping[str, t.Any]) -> list[str]:
        """Return what to say where the inventory has no control plane."""
        speaker = next(iter(self._task.args.get("asking_nodes") or []), "")
        groups = variables["groups"]
        known = variables["hostvars"].raw_get(speaker) if speaker else {}
        return inventory.note_of_nodes_alone(
            variables,
            groups,
            self._task.args.get("hosts") or [],
            speaker,
            missing=speaker not in groups.get("kubeharden_workers", []),
            hardened=not (known.get(KUBE_PROXY) or {"skipped": True}).get("skipped"),
        )

    def _write_metrics(self, rows: t.Sequence[Row]) -> list[str]:
        """Write when every certificate ends, for Prometheus, and return what a person should know of that.

        Raises:
            HardeningError: What was refused and why.
        """
        found = {row.host: row.certificates for row in rows}
        text = metrics.render(found, time.time()).encode()
        write_atomic(os.path.join(self._task.args["report_dir"], metrics.NAME), text, 0o644)
        directory = self._task.args.get("metrics_dir")
        if not directory:
            return []
        missing = sorted(host for host in self._task.args.get("hosts") or [] if not found.get(host))
        path = os.path.join(directory, metrics.SHARED_NAME)
        if missing:
            return [f"{path} was left as it was, since this run did not see the certificates of {', '.join(missing)}."]
        write_atomic(path, text, 0o644)
        return []


def _says(results: t.Sequence[t.Any], key: str) -> bool:
    return any(isinstance(result, dict) and bool(result.get(key)) for result in results)
