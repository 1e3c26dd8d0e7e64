# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PKI of a cluster in directories, on the controller: no module is started, which costs more than certificates."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, each_numbered
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, keys
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import DAY
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import Making
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_directories import Directories, Wanted
from ansible_collections.kubeharden.core.plugins.plugin_utils import controller

OPTIONS: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path", "required": True},
    "cluster": {"type": "dict", "required": True},
    "layout": {"type": "dict", "default": {}},
    "policy": {"type": "dict", "default": {}},
    "authority_key_algorithm": {
        "type": "str",
        "choices": list(keys.ALGORITHMS),
        "default": keys.DEFAULT_ALGORITHM,
    },
    "authority_lifetime_days": {"type": "int", "default": 3650},
    "run_id": {"type": "str"},
}


class ActionModule(ActionBase):
    """Documented in plugins/modules/pki_directories.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Plan, and outside check mode apply."""
        super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=OPTIONS)
        now = time.time()
        run_id = arguments["run_id"] or controller.new_run_id(now)
        problems = each_numbered("KH005", controller.problems_with_run_id(run_id))
        if problems:
            return {"failed": True, "msg": " ".join(problems)}
        lifetime = float(arguments["authority_lifetime_days"]) * DAY
        try:
            wanted = Wanted(
                data.cluster(arguments["cluster"]),
                data.layout(arguments["layout"]),
                Making(arguments["authority_key_algorithm"], lifetime),
                data.policy(arguments["policy"]),
            )
            found = Directories(arguments["path"], run_id, wanted, now, self._task.check_mode).settle()
        except HardeningError as error:
            return {"failed": True, "msg": error.numbered, "refused": True}
        result = {
            "changed": bool(found.changes),
            "changes": [change.as_record() for change in found.changes],
            "issued": found.issued,
            "notes": found.notes,
        }
        if self._task.diff:
            result["diff"] = [change.as_diff() for change in found.changes]
        return result
