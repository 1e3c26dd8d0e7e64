#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is at work on hosts without an API server says so."""

from __future__ import annotations

DOCUMENTATION = r"""
module: renew_lock
short_description: Renew the lock of the cluster while a run is at work on hosts that have no API server
version_added: 0.1.0
description:
  - Each call on a control plane that is given what M(kubeharden.core.discover) returned renews the Lease
    C(kube-system/kubeharden) when it begins. This one does nothing else.
  - Fails where the run does not hold the lock any more, so that it does not go on beside another one.
  - Nothing of the host itself is touched, so the task is never changed.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this control plane.
    type: dict
    required: true
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Renew the lock of the cluster
  kubeharden.core.renew_lock:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ hostvars['cp1'].found.discovery }}"
  delegate_to: cp1
  run_once: true
"""

RETURN = r"""#"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, require_libraries, run


def work(_module: AnsibleModule) -> dict[str, t.Any]:
    """Nothing: what comes around every call renews it."""
    return {"changed": False}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**HOST_OPTIONS, "discovery": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
