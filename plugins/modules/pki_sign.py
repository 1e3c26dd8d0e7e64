#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority's answers to the requests of other hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_sign
short_description: Sign the requests of any number of hosts in one call
version_added: 0.1.0
description:
  - Runs where the authorities' keys are. What a certificate holds comes from the cluster's table, and from what the
    authority signed for that host before; of a request only the key is taken. One that asks for more is refused.
  - Changes nothing on this host.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
  - kubeharden.core.pki
options:
  hosts:
    description:
      - The hosts that ask, each with C(node_name), its C(layout), and the C(requests) and C(bundles) that
        M(kubeharden.core.pki_leaves) returned there.
    type: list
    elements: dict
    required: true
  policy:
    description: As for M(kubeharden.core.pki_leaves).
    type: dict
    default: {}
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Sign what a worker asks for
  kubeharden.core.pki_sign:
    run_id: 20261124T101500Z-3f2a
    node_name: cp1
    cluster:
      control_planes: [{node_name: cp1, addresses: [192.0.2.11]}]
      nodes: [{node_name: w1, addresses: [192.0.2.21]}]
    hosts:
      - node_name: w1
        layout: {kubelet_serving: true}
        requests: "{{ asked.requests }}"
        bundles: "{{ asked.bundles }}"
"""

RETURN = r"""
answers:
  description: By node, by name, the certificate with its chain.
  returned: success
  type: dict
bundles:
  description: By node, by name, the authority's certificates.
  returned: success
  type: dict
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    PKI_OPTIONS,
    require_libraries,
    run,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Sign every request, or none."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_view import sign_all

    return {"changed": False, **sign_all(Host(module.params["root"]), module.params, time.time())}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            **PKI_OPTIONS,
            "hosts": {"type": "list", "elements": "dict", "required": True},
            "policy": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
