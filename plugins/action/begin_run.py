# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The begin of a run, on the controller: its name, its report directory, and variables that make sense."""

from __future__ import annotations

import os
import time
import typing as t

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, each_numbered
from ansible_collections.kubeharden.core.plugins.plugin_utils import (
    api_access,
    authorities_directory,
    brought_authorities,
    catalogue_files,
    certificate_names,
    changes_file,
    concerns,
    controller,
    inventory,
    per_host,
    requests_directory,
    selection,
    values,
    version_check,
)

EXTRA_FLAGS = "kubeharden_extra_flags"
BOOTSTRAP_MINUTES = "kubeharden_pki_bootstrap_minutes"
_LEFT = " Nothing was changed; correct the inventory or the command line."


class ActionModule(ActionBase):
    """Documented in plugins/modules/begin_run.py."""

    _requires_connection = False
    BYPASS_HOST_LOOP = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Check what the user set and return the run's name."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        hosts = list(self._task.args["hosts"])
        # The task was filled in for the first host of all, which may be one beside the cluster (a bastion).
        first = variables["hostvars"][hosts[0]] if hosts else {}
        arguments = {name: first.get(controller.PREFIX + name, given) for name, given in self._task.args.items()}
        specified = controller.specification()
        # With a value of another kind nothing below could be asked.
        asked = dict.fromkeys([*variables["ansible_play_hosts_all"], *hosts[:1]])
        wrong = values.problems(values.of_hosts(variables, asked, self._templar.template), specified)
        if wrong:
            return {"failed": True, "msg": " ".join(each_numbered("KH016", wrong)) + _LEFT}
        names: set[str] = set()
        extra = [arguments.get("extra_flags") or {}]
        access: list[str] = []
        lives: list[str] = []
        named: list[str] = []
        checks_user = boolean(self._task.args.get("checks_user", True))
        for host in variables["ansible_play_hosts_all"]:
            known = variables["hostvars"][host]
            names.update(known)
            if not checks_user:
                continue
            if BOOTSTRAP_MINUTES in known:
                lives += controller.problems_with_bootstrap_minutes(known[BOOTSTRAP_MINUTES])
            if EXTRA_FLAGS in known:  # a group or a host may have its own
                extra.append(known[EXTRA_FLAGS])
            declared = known.get(brought_authorities.VARIABLE) or {}
            access += brought_authorities.problems(declared)
            access += authorities_directory.problems(known)
            access += requests_directory.problems(known, brought_authorities.keyless(declared))
            named += certificate_names.problems(known)
            access += api_access.problems({name: known[name] for name in known if name.startswith(controller.PREFIX)})
        now = time.time()
        run_id = str(arguments.get("run_id") or controller.new_run_id(now))
        tags = (variables["ansible_run_tags"], variables["ansible_skip_tags"])
        problems = each_numbered("KH001", controller.problems_with_names(names, sorted(specified)))
        flags = [problem for one in extra for problem in controller.problems_with_extra_flags(one)]
        problems += each_numbered("KH002", flags)
        try:
            chosen = self._selection(arguments, variables, now) if checks_user else selection.Selection()
            of_controls = each_numbered("KH004", chosen.problems)
        except HardeningError as error:  # a catalogue of the user's
            chosen, of_controls = selection.Selection(), [error.numbered]
        problems += each_numbered("KH003", access)
        problems += each_numbered("KH016", lives)
        problems += each_numbered("KH301", named)
        newest = controller.problems_with_newest_versions(arguments.get("newest_versions") or {})
        problems += each_numbered("KH006", newest)
        batch = controller.batch_of(arguments.get("batch", controller.BATCH))
        problems += each_numbered("KH015", controller.problems_with_batch(batch))
        of_run = each_numbered("KH005", controller.problems_with_run_id(run_id))
        left_alone = inventory.notes(variables, variables["groups"], hosts, variables["ansible_play_hosts_all"])
        of_groups = each_numbered("KH013", inventory.problems_with_groups(variables, variables["groups"], hosts))
        ours = controller.is_ours(context.CLIARGS.get("args") or ())
        of_tags = each_numbered("KH017", concerns.problems(*tags, ours))
        problems = [*dict.fromkeys(problems), *of_tags, *of_controls, *of_run, *of_groups]
        if problems:
            # Alone they are refused by the versions of the hosts; beside others they are told with them.
            unknown = [problem for one in extra for problem in version_check.of_no_version(one)]
            problems += dict.fromkeys(each_numbered("KH002", unknown))
            return {"failed": True, "msg": " ".join(problems) + _LEFT}
        report_dir = os.path.abspath(arguments.get("report_dir") or os.path.join("reports", run_id))
        try:
            changes_file.begin(report_dir, run_id, "check" if self._task.check_mode else "run")
        except HardeningError as error:
            return {"failed": True, "msg": f"{error.numbered} Nothing was changed."}
        return {
            "changed": False,
            "run_id": run_id,
            "report_dir": report_dir,
            "batch": batch,
            "left_out": chosen.left_out(),
            "notes": [*chosen.warnings, *chosen.notes, *left_alone],
            "asking_nodes": inventory.asking_nodes(variables, variables["groups"], variables["hostvars"]),
            "warnings": chosen.warnings,
        }

    def _selection(
        self, arguments: t.Mapping[str, t.Any], variables: dict[str, t.Any], now: float
    ) -> selection.Selection:
        """Return what the run leaves out. All hosts of the inventory count, since kubeadm's ConfigMaps are for all."""
        known = {host: variables["hostvars"][host] for host in sorted(variables["groups"]["all"])}
        only, waivers = (
            per_host.of_each(known, controller.PREFIX + name, arguments.get(name) or []) for name in ("only", "waivers")
        )
        matching = inventory.matcher(self._loader, variables["groups"])
        # One list of waivers serves the run and the look at its end, which judges more.
        catalogue = catalogue_files.load(per_host.words(arguments.get("controls_files")))
        judged = {control.id: control.part_of for control in catalogue}
        profile = arguments.get("profile") or "cis"
        profiles = {str(found.get(selection.PROFILE) or profile) for found in known.values()}
        return selection.select(
            only,
            waivers,
            selection.known_controls(),
            matching,
            now,
            judged,
            profiles,
            selection.of_widest_profile(),
        )
