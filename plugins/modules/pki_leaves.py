#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates and kubeconfigs of one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki_leaves
short_description: See to all certificates and kubeconfigs of a host in one call
version_added: 0.1.0
description:
  - Content decides. A certificate is issued anew when subject, names, usages, authority, key or algorithm are not what
    is wanted, or when its end is near. One that others issued keeps what it has.
  - Keys are made on the host and stay there. Where the authority's key is elsewhere, the call returns requests
    and writes nothing; M(kubeharden.core.pki_sign) answers them, and a second call takes the answers in.
  - Certificate and key are replaced together. A run that dies in between is finished by the next one.
  - With O(discovery) of a running host, components that read their kubeconfig only once are restarted and proven, and
    servers are seen to show the new certificate; if not, the old files are back when the module returns.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
  - kubeharden.core.pki
  - kubeharden.core.pki_leaves
  - kubeharden.core.planned
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Renew what is due on this host
  kubeharden.core.pki_leaves:
    run_id: 20261124T101500Z-3f2a
    node_name: cp1
    scope: due
    cluster:
      control_planes: [{node_name: cp1, addresses: [192.0.2.11]}]
"""

RETURN = r"""
changes:
  description: >-
    What changed, or would change, as changes.json has it; none where answers are still to come, and none with
    O(write=false).
  returned: success
  type: list
  elements: dict
requests:
  description: Requests for certificates that another host must sign, each with C(leaf), C(request), C(current), C(own).
  returned: success
  type: list
  elements: dict
bundles:
  description: Names of the authorities whose certificates must come from another host.
  returned: success
  type: list
  elements: str
unsigned:
  description:
    - What authorities outside are to sign, each with C(name), C(request), C(subject), C(names), C(authority), and, by
      the action plugin, C(path) on the controller. Not known where answers of other hosts are still to come.
  returned: success
  type: list
  elements: dict
issued:
  description: What was issued, each with C(name), C(path), C(not_after) and C(serial).
  returned: success
  type: list
  elements: dict
certificates:
  description:
    - When each certificate of the host ends, authorities' and kubeconfigs' among them, those that the kubelet replaces
      itself, those of their owner that flags name, and those that an etcd elsewhere shows. Each with C(name) (empty
      where the table has none), C(path), C(kind) (V(certificate), V(kubeconfig), V(authority), V(owner) or V(served)),
      C(subject), C(not_after), and C(new), whether this call issued it, or would.
  returned: when O(scope=due)
  type: list
  elements: dict
endpoint:
  description: Where clients find the API servers, as the user set it or as the host's own kubeconfigs say.
  returned: success
  type: str
restarted:
  description: Seconds until it was proven well, by component that was restarted.
  returned: success
  type: dict
due:
  description: Whether there is something to do.
  returned: with O(write=false)
  type: bool
asked:
  description: A digest of what was asked for.
  returned: with O(write=false)
  type: str
problems:
  description: What it would be stopped by, as sentences.
  returned: with O(write=false), where there is something
  type: list
  elements: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What was left undone, as sentences.
  returned: success
  type: list
  elements: str
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    LEAF_OPTIONS,
    PKI_OPTIONS,
    PLANNED_OPTIONS,
    require_libraries,
    result_of,
    run,
    runner,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_call import leaves_call

    changes, facts = leaves_call(module.params, module.check_mode, lambda: str(module.tmpdir), runner(module))
    return result_of(module, changes, **facts)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            **PKI_OPTIONS,
            **LEAF_OPTIONS,
            **PLANNED_OPTIONS,
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
