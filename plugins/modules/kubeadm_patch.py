#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A patch that kubeadm applies to what it writes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_patch
short_description: Lay a patch on a control plane that kubeadm upgrade applies to what it writes
version_added: 0.1.0
description:
  - Writes one file below C(/etc/kubernetes/kubeharden/patches), for what neither ClusterConfiguration nor another
    ConfigMap of kubeadm's can say. C(kubeadm upgrade) reads it only when it is told to, with C(--patches).
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  name:
    description: The file's name, which tells kubeadm what it is for, for example C(kubeproxydaemonset0+json.yaml).
    type: str
    required: true
  content:
    description: The patch; empty leaves what is there as it is.
    type: str
    default: ""
  controls:
    description: Identifiers of the controls that it keeps.
    type: list
    elements: str
    default: []
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Keep kube-proxy's pods hardened through an upgrade
  kubeharden.core.kubeadm_patch:
    run_id: 20261124T101500Z-3f2a
    name: kubeproxydaemonset0+json.yaml
    content: "{{ hardened.patch }}"
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
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
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import (
        CONFIGURATION_DIRECTORY,
        PATCHES_DIRECTORY,
        STATE_DIRECTORY,
        open_host,
    )
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, file_change
    from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
        make_directory,
        read_text,
        write_atomic,
    )

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    path, content = f"{PATCHES_DIRECTORY}/{parameters['name']}", parameters["content"]
    if not content:
        return result_of(module, [], backup="")
    before = read_text(host.path(path))
    changes = [] if before == content else [file_change("file", path, before, content, parameters["controls"])]
    if changes and not module.check_mode:
        backup = Backup(host, parameters["run_id"])
        backup.save_changes(changes)
        for directory in (CONFIGURATION_DIRECTORY, PATCHES_DIRECTORY):
            make_directory(host.path(directory), 0o700)
        write_atomic(host.path(path), content.encode(), 0o600)
    written = bool(changes) and not module.check_mode
    return result_of(
        module,
        changes,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if written else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "name": {"type": "str", "required": True},
            "content": {"type": "str", "default": ""},
            "controls": {"type": "list", "elements": "str", "default": []},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
