#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_lock
short_description: Give a host's lock back at the end of a run, and remove backups that are too many or too old
version_added: 0.1.0
description:
  - Another run's lock is left alone, and so is what something unfinished may go back to. Nothing of the host itself is
    touched, so the task is never changed.
extends_documentation_fragment:
  - kubeharden.core.host
options:
  backup_count:
    description: How many runs' backups stay at most, the newest; V(0) for any number.
    type: int
    default: 0
  backup_days:
    description: How many days old a backup may be; V(0) for any age. The newest stays however old it is.
    type: int
    default: 0
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Give the lock back
  kubeharden.core.release_lock:
    run_id: 20261124T101500Z-3f2a
"""

RETURN = r"""
released:
  description: Whether this run held the lock.
  returned: success
  type: bool
notes:
  description: Which backups were removed, as a sentence.
  returned: success
  type: list
  elements: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Release; check mode took no lock."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import prune
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock

    if module.check_mode:
        return {"changed": False, "released": False, "notes": []}
    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    pruned: list[str] = []
    try:
        if parameters["backup_count"] or parameters["backup_days"]:
            run_id, now = parameters["run_id"], time.time()
            pruned = prune(host, parameters["backup_count"], parameters["backup_days"], now, run_id)
    finally:
        released = Lock(host).release(parameters["run_id"])
    notes = [f"Backups of {', '.join(pruned)} were removed: these runs cannot be put back any more."] if pruned else []
    return {"changed": False, "released": released, "notes": notes}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "backup_count": {"type": "int", "default": 0},
            "backup_days": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
