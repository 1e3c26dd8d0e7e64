#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs a host can put back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_runs
short_description: List the runs of which a host has the record
version_added: 1.0.0
description:
  - Reads C(/var/lib/kubeharden/backups) and changes nothing.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: See what can be put back
  kubeharden.core.rollback_runs:
    run_id: 20261124T101500Z-3f2a
"""

RETURN = r"""
runs:
  description: >-
    The runs, the oldest first, each with C(run_id), C(began) (seconds since the epoch), C(undone_by), C(undoes) and
    C(finished) of a rollback, and C(count), the number of its entries.
  returned: success
  type: list
  elements: dict
problem:
  description: Why they cannot be read; M(kubeharden.core.rollback_choose) ends the run for all hosts at once.
  returned: when they cannot
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Read the records."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import past_runs
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host

    host = open_host(module.params["root"], module.params["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    return {"changed": False, "runs": [past.summary() for past in past_runs(host)]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=dict(HOST_OPTIONS), supports_check_mode=True)
    require_libraries(module)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
