#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether nodes can pull what pods run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pulls
short_description: Let every node pull afresh each image that pods run, and say what could not be pulled
version_added: 0.1.0
description:
  - Runs on a control plane. With the admission plugin AlwaysPullImages a pod comes up only where its node can pull its
    images, so it may be switched on only when every node has done so.
  - Makes short-lived pods on every node with the pull secrets and the service accounts of the pods that run, static
    pods excepted. They pull and start nothing, and are removed before the module ends; what a run that died left is
    removed by the next one.
  - Nothing is pulled while a node is not ready, or says that its disk is nearly full (C(DiskPressure)).
  - In check mode nothing is pulled; it counts as done where every node is ready to.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  discovery:
    description: What M(kubeharden.core.discover) returned for this control plane.
    type: dict
    required: true
  limit:
    description: Seconds without a step forward after which what is left counts as not pulled.
    type: int
    default: 300
  kubectl:
    description: The kubectl on the host, where it is in none of the usual places.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: See whether every node can pull what pods run
  kubeharden.core.image_pulls:
    run_id: 20261124T101500Z-3f2a
    discovery: "{{ found.discovery }}"
"""

RETURN = r"""
proven:
  description: Whether every node has pulled every image, or in check mode, is ready to.
  returned: success
  type: bool
unpulled:
  description: What was not pulled, each with C(image), C(namespace), C(node) and C(words), which says why.
  returned: success
  type: list
  elements: dict
notes:
  description: What could not be pulled, as a sentence.
  returned: success
  type: list
  elements: str
not_done:
  description: What was left undone because it takes a running cluster.
  returned: success
  type: list
  elements: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    result_of,
    run,
    runner,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Let nodes pull, outside check mode."""
    from ansible_collections.kubeharden.core.plugins.module_utils.controls import pulls as judge
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import pulls, pulls_api
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.lease import Keeping, lease_of

    parameters = module.params
    host = Host(parameters["root"])
    if not host.live:
        words = "AlwaysPullImages was not switched on, since without a running cluster no node can pull an image."
        return result_of(module, [], proven=False, unpulled=[], notes=[], not_done=[words])
    admin = parameters["discovery"]["admin_kubeconfig"]
    # Pulls of many images may take longer than the lock of the cluster lasts.
    sleep = Keeping(lease_of(admin), parameters["run_id"])
    cluster = pulls_api.build(runner(module), admin, parameters["kubectl"], sleep)
    nodes = cluster.nodes()
    unready = judge.unready(nodes)
    if unready:
        words = (
            f"AlwaysPullImages was not switched on, since nodes cannot show now that each image that pods run can be "
            f"pulled there: {', '.join(unready)}. Mend or remove them, and run again."
        )
        return result_of(module, [], proven=False, unpulled=[], notes=[words], not_done=[])
    unpulled: list[judge.Unpulled] = []
    if not module.check_mode:
        journal = Journal(host)
        journal.note(**{pulls.STEP: {"run_id": parameters["run_id"]}})
        unpulled = pulls.prove(cluster, parameters["run_id"], float(parameters["limit"]))
        journal.strike(pulls.STEP)
    names = [str(node["metadata"]["name"]) for node in nodes]
    return result_of(
        module,
        [],
        proven=not unpulled,
        unpulled=[dataclasses.asdict(one) for one in unpulled],
        notes=[judge.sentence(unpulled, names)] if unpulled else [],
        not_done=[],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "discovery": {"type": "dict", "required": True},
            "limit": {"type": "int", "default": 300},
            "kubectl": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
