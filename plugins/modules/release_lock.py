#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_lock
short_description: Give a host's lock back at the end of a run
version_added: 0.1.0
description:
  - Another run's lock is left alone. Nothing else is touched, so the task is never changed.
  - On a control plane that is named, the lock of the cluster is given back too, the Lease C(kube-system/kubeharden).
extends_documentation_fragment:
  - kubeharden.core.host
options:
  kubeconfig:
    description: The administrator's kubeconfig on this host, with which the lock of the cluster is given back.
    type: path
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
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Release; check mode took no lock."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import (
        DURATION,
        UnknownError,
        lease_of,
    )

    if module.check_mode:
        return {"changed": False, "released": False, "notes": []}
    host = open_host(module.params["root"], module.params["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    notes = []
    if module.params["kubeconfig"] and host.live:
        try:
            lease_of(module.params["kubeconfig"]).release(module.params["run_id"])
        except (UnknownError, HardeningError) as error:
            notes.append(
                f"The lock of the cluster was not given back ({error}); it ends by itself {DURATION // 60} minutes "
                "after its last renewal, or with kubectl -n kube-system delete lease kubeharden."
            )
    return {"changed": False, "released": Lock(host).release(module.params["run_id"]), "notes": notes}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**HOST_OPTIONS, "kubeconfig": {"type": "path"}}, supports_check_mode=True)
    require_libraries(module)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
