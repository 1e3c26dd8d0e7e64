#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before it joins."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prepare_node
short_description: Lay on a new control plane the files and directories that its static pods will name, before it joins
version_added: 0.1.0
description:
  - C(kubeadm join --control-plane) writes manifests with the flags of kubeadm's ConfigMap. Without the files that these
    name, kube-apiserver would not start there.
  - A file of ours that is there with other bytes is another version's, and is replaced with its old bytes kept. One of
    the owner's that is there stays.
  - What may hold a secret is never laid. Where such a file is missing, nothing is, and its path is named.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  flags:
    description:
      - By component, by concern, by flag, the settings of a control plane. The action plugin takes O(files) and
        O(directories) from them, of the flags that O(discovery) has, and O(owners_files) from what else these name.
    type: dict
    default: {}
  discovery:
    description: What M(kubeharden.core.discover) returned for a control plane that is there.
    type: dict
    default: {}
  pattern:
    description:
      - The inventory's name of the control plane that O(discovery) is of; by it the action plugin returns C(serving).
    type: str
  contents:
    description: By component, by the flag that names it, the text of a configuration file.
    type: dict
    default: {}
  files:
    description: By path, the text of a configuration file; filled in by the action plugin.
    type: dict
    default: {}
  owners_files:
    description: By path, the text of a file of the owner's that holds no secret; filled in by the action plugin.
    type: dict
    default: {}
  directories:
    description: Directories that components write to; filled in by the action plugin.
    type: list
    elements: path
    default: []
  named_files:
    description:
      - By path, the variable of the user's that names a file which a control plane must have; the action plugin adds
        the files that flags of O(discovery) name and that are not laid.
    type: dict
    default: {}
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Lay what the static pods will name
  kubeharden.core.prepare_node:
    run_id: 20261124T101500Z-3f2a
    flags:
      kube-apiserver:
        audit:
          audit-log-path: {keep: /var/log/kubernetes/audit/audit.log, mount: read_write}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
node_name:
  description: The host's name as kubeadm makes a node's name of it, empty where a directory does not say it.
  returned: success
  type: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
serving:
  description:
    - By the action plugin, where controller-manager and scheduler serve certificates of the cluster's authority, what
      M(kubeharden.core.pki_leaves) needs to make them on this host, C(node_name), C(cluster) and C(layout), and as
      C(source) what M(kubeharden.core.pki_sign) needs on O(pattern). Empty where there are none.
  returned: success
  type: dict
backup:
  description: Where the old bytes are on this host, empty where nothing was written.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import (
    HOST_OPTIONS,
    require_libraries,
    result_of,
    run,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.history import remove_leftovers
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import named_files, preparation, recovery

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    named_files.require(host, parameters["named_files"])
    told: list[str] = []
    if not module.check_mode:
        told = recovery.finish_files(host)
        remove_leftovers(host)
    changes = preparation.plan(host, parameters["files"], parameters["directories"], parameters["owners_files"])
    if changes and not module.check_mode:
        preparation.apply(host, changes, Backup(host, parameters["run_id"]))
    return result_of(
        module,
        changes,
        node_name=preparation.node_name(host),
        notes=told,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes and not module.check_mode else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "flags": {"type": "dict", "default": {}},
            "discovery": {"type": "dict", "default": {}},
            "pattern": {"type": "str"},
            "contents": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "owners_files": {"type": "dict", "default": {}},
            "directories": {"type": "list", "elements": "path", "default": []},
            "named_files": {"type": "dict", "default": {}},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
