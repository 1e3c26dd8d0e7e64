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
extends_documentation_fragment:
  - kubeharden.core.host
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
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Release; check mode took no lock."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock

    if module.check_mode:
        return {"changed": False, "released": False}
    host = open_host(module.params["root"], module.params["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    return {"changed": False, "released": Lock(host).release(module.params["run_id"])}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=dict(HOST_OPTIONS), supports_check_mode=True)
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
