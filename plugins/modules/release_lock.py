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
  - On a control plane that is named, the lock of the cluster is given back too, the Lease C(kube-system/kubeharden).
  - A module call goes on when its connection is lost. While one of the run still works on the host, no lock is given
    back.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  backup_count:
    description: How many runs' backups stay at most, the newest; V(0) for any number.
    type: int
    default: 0
  backup_days:
    description:
      - How many days old a backup may be; V(0) for any age. The newest stays however old it is, but for the bytes of
        keys.
    type: int
    default: 0
  kubeconfig:
    description: The administrator's kubeconfig on this host, with which the lock of the cluster is given back.
    type: path
  joined:
    description: >-
      Whether the API was away when the run began, so that it has the lock of the cluster only if it took it later; an
      API that is still away is then nothing to tell.
    type: bool
    default: false
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
  description: Whether the lock was given back.
  returned: success
  type: bool
in_use:
  description: Whether a module of this run still works on the host, so that no lock was given back.
  returned: success
  type: bool
notes:
  description: Which backups were removed, and what became of the locks, as sentences.
  returned: success
  type: list
  elements: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run

#: What ends a run may be a front door that loses requests, which must not lose this one too.
ATTEMPTS = 5
#: Seconds between two attempts.
PAUSE = 1.0


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Release."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import prune
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    run_id, notes = parameters["run_id"], []
    try:
        if parameters["backup_count"] or parameters["backup_days"]:
            pruned = prune(host, parameters["backup_count"], parameters["backup_days"], time.time(), run_id)
            if pruned.removed:
                removed = ", ".join(pruned.removed)
                notes.append(f"Backups of {removed} were removed: these runs cannot be put back any more.")
            notes += [
                f"The record in {STATE_DIRECTORY}/backups/{name} is damaged, or of a newer Kubeharden: no run can be "
                "put back on this host, and that backup was not looked at. Restore the record, or move the directory "
                "away."
                for name in pruned.damaged
            ]
    finally:
        lock = Lock(host)
        in_use = lock.is_used_by(run_id)
        if in_use:
            notes.append(
                f"A module of run {run_id} still works on this host, though nobody hears it any more: the locks that "
                "the run holds from here were kept, and the next run waits for its end."
            )
        elif parameters["kubeconfig"] and host.live:
            kept = release_cluster(parameters["kubeconfig"], run_id)
            notes += [] if parameters["joined"] else kept
        released = not in_use and lock.release(run_id)
    return {"changed": False, "released": released, "in_use": in_use, "notes": notes}


def release_cluster(kubeconfig: str, run_id: str) -> list[str]:
    """Give the lock of the cluster back; a sentence where that is not possible."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import DURATION
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import UnknownError, lease_of

    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        try:
            lease_of(kubeconfig).release(run_id)
        except UnknownError as error:
            why = str(error)
        except HardeningError as error:
            why = str(error)
            break
        else:
            return []
    sentence = (
        f"The lock of the cluster was not given back ({why}); it ends by itself {DURATION // 60} minutes "
        "after its last renewal, or with kubectl -n kube-system delete lease kubeharden."
    )
    return [sentence]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "backup_count": {"type": "int", "default": 0},
            "backup_days": {"type": "int", "default": 0},
            "kubeconfig": {"type": "path"},
            "joined": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.check_mode:  # which took no lock, and installed no library that a host may lack
        module.exit_json(changed=False, released=False, notes=[])
    require_libraries(module)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
