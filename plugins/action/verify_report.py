# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement, on the controller: every control of every host, the console's table and the reports."""

from __future__ import annotations

import json
import os
import time
import typing as t

import yaml
from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import Control
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, each_numbered, numbered
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import write_atomic
from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    catalogue_files,
    concerns,
    controller,
    inventory,
    per_host,
    report_directory,
    report_earlier,
    report_html,
    report_waivers,
    values,
    verdict_texts,
    verdicts,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.summary import last_words

#: Controls that the sentence at the end names.
_MOST_NAMES = 10
_LEFT = " Nothing was looked at; correct the inventory or the command line."


class ActionModule(ActionBase):
    """Documented in plugins/modules/verify_report.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Check what the user said, or judge and tell."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = self._task.args
        now = time.time()
        if arguments.get("only_check"):
            asked = values.of_hosts(variables, variables["ansible_play_hosts_all"], self._templar.template)
            wrong = values.problems(asked, controller.specification())
            if wrong:
                return {"failed": True, "msg": " ".join(each_numbered("KH016", wrong)) + _LEFT}
        try:
            controls = catalogue_files.load(per_host.words(arguments.get("controls_files")))
            waivers = self._waivers(controls, variables)
        except HardeningError as error:
            return {"failed": True, "msg": f"{error.numbered} Nothing was looked at."}
        if arguments.get("only_check"):
            return self._begin(variables, now)
        run_id, report_dir = str(arguments["run_id"]), str(arguments["report_dir"])
        newest = {str(minor): patch for minor, patch in (arguments.get("newest_versions") or {}).items()}
        grace = int(arguments.get("rotation_grace") or 0)
        settings = verdicts.Settings(run_id, str(arguments["profile"]), _version(), now, waivers, newest, grace)
        report = verdicts.build(self._seen(variables), controls, settings)
        path = os.path.join(report_dir, "report.json")
        try:
            notes = _write(report_dir, path, report)
        except HardeningError as error:
            return {"failed": True, "msg": f"{error.numbered} Looking changed nothing."}
        # What check mode foretells has not come yet: each failure that the run would mend is no news.
        in_brief = self._task.check_mode and bool(arguments.get("after_run"))
        groups, among = variables["groups"], variables["ansible_play_hosts_all"]
        notes += inventory.notes(variables, groups, arguments["hosts"], among)
        notes += last_words(self._of_run(variables))
        for line in [*verdict_texts.render(report, report_dir, in_brief), *notes]:
            self._display.display(line)
        result = {"changed": False, "summary": report["summary"], "report": path}
        found = verdicts.failures(report, str(arguments["fail_on"]))
        if not found:
            return result
        names = list(dict.fromkeys(str(one["control"]) for one in found))
        shown = ", ".join(names[:_MOST_NAMES]) + (
            f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else ""
        )
        return {
            **result,
            "failed": True,
            "msg": numbered(
                "KH501",
                f"{len(found)} results of severity {arguments['fail_on']} or above failed or could not be judged: "
                f"{shown}. {path} has the evidence and what to do; kubeharden_fail_on says what counts.",
            ),
        }

    def _begin(self, variables: t.Mapping[str, t.Any], now: float) -> dict[str, t.Any]:
        """Return name and directory of the run, unless something that the user said would be without effect."""
        names: set[str] = set()
        for host in variables["ansible_play_hosts_all"]:
            names.update(variables["hostvars"][host])
        run_id = str(self._task.args.get("run_id") or controller.new_run_id(now))
        newest = controller.problems_with_newest_versions(self._task.args.get("newest_versions") or {})
        problems = each_numbered("KH001", controller.problems_with_names(names, controller.known_variables()))
        tags = (variables["ansible_run_tags"], variables["ansible_skip_tags"])
        ours = controller.is_ours(context.CLIARGS.get("args") or ())
        problems += each_numbered("KH017", concerns.problems(*tags, ours))
        problems += each_numbered("KH005", controller.problems_with_run_id(run_id))
        problems += each_numbered("KH006", newest)
        hosts = self._task.args.get("hosts") or []
        problems += each_numbered("KH013", inventory.problems_with_groups(variables, variables["groups"], hosts))
        if problems:
            return {"failed": True, "msg": " ".join(problems) + _LEFT}
        report_dir = os.path.abspath(self._task.args.get("report_dir") or os.path.join("reports", run_id))
        try:
            report_directory.probe(report_dir)
        except HardeningError as error:
            return {"failed": True, "msg": f"{error.numbered} Nothing was looked at."}
        return {"changed": False, "run_id": run_id, "report_dir": report_dir}

    def _waivers(
        self, controls: t.Sequence[Control], variables: t.Mapping[str, t.Any]
    ) -> list[report_waivers.ReportWaiver]:
        """Return the waivers of all hosts: one in a group's variables holds for that group, as in harden.yml."""
        known = {host: variables["hostvars"][host] for host in sorted(variables["groups"]["all"])}
        each = per_host.of_each(known, f"{controller.PREFIX}waivers", self._task.args.get("waivers") or [])
        matching = inventory.matcher(self._loader, variables["groups"])
        enforced = [name for controls in catalogue_files.written().values() for name in controls]
        found = []
        for raw, hosts in per_host.alike(each):
            among = None if len(hosts) == len(known) else hosts
            found += report_waivers.parse(raw, controls, matching, verdicts.CLUSTER, enforced, among)
        return found

    def _seen(self, variables: t.Mapping[str, t.Any]) -> verdicts.Seen:
        """Return what the tasks before this one registered; raw, since what looks like a template in it is text."""
        hosts: dict[str, t.Mapping[str, t.Any]] = {}
        cluster = None
        for host in self._task.args["hosts"]:
            known = variables["hostvars"].raw_get(host)
            hosts[host] = known.get("__verify_host_seen") or {"problem": "the host was not looked at"}
            asked = known.get("__verify_cluster_seen") or {}
            if "problem" in asked:
                cluster = asked
        alone = inventory.nodes_alone(variables, variables["groups"])
        return verdicts.Seen(hosts, cluster, self._task.args.get("control_planes") or [], alone)

    def _of_run(self, variables: t.Mapping[str, t.Any]) -> list[t.Any]:
        """Return what tasks of the run before this look returned, of those that have something to say at its end."""
        known = [variables["hostvars"].raw_get(host) for host in variables["ansible_play_hosts_all"]]
        return [one.get(name) for one in known for name in self._task.args.get("results") or []]


def _write(report_dir: str, path: str, report: t.Mapping[str, t.Any]) -> list[str]:
    """Write the reports, and return what is to be said of earlier ones."""
    with report_directory.writing(report_dir):
        write_atomic(path, (json.dumps(report, indent=1) + "\n").encode(), 0o600)
        write_atomic(os.path.join(report_dir, "junit.xml"), verdict_texts.junit(report), 0o600)
        earlier, notes = report_earlier.newest(report_dir, report)
        write_atomic(os.path.join(report_dir, "report.html"), report_html.render(report, earlier).encode(), 0o600)
    return notes


def _version() -> str:
    installed = controller.COLLECTION / "MANIFEST.json"  # which ansible-galaxy makes of galaxy.yml
    if installed.exists():
        return str(json.loads(installed.read_text(encoding="utf-8"))["collection_info"]["version"])
    text = (controller.COLLECTION / "galaxy.yml").read_text(encoding="utf-8")
    return str(yaml.safe_load(text)["version"])
