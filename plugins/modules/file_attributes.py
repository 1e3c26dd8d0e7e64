#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners and modes of one host's files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_attributes
short_description: Set owner and mode of every file that the benchmarks name, in one call
version_added: 0.1.0
description:
  - A stricter mode that is found stays. Links are not followed out of the host.
  - A mode that a package upgrade would put back is told to the package manager (C(dpkg-statoverride)), or to
    systemd-tmpfiles.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  paths:
    description: By what a file is, its paths on this host, as M(kubeharden.core.discover) returned them.
    type: dict
    required: true
  attributes:
    description: By what a file is, its owner and mode at most, as C(templates/files/attributes.yaml.j2) renders it.
    type: dict
    required: true
  rootless:
    description: Paths of files that static pods read which do not run as root; they stay, and RV(not_done) says so.
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
- name: Set owners and modes
  kubeharden.core.file_attributes:
    run_id: 20261124T101500Z-3f2a
    paths:
      kubelet_configuration: [/var/lib/kubelet/config.yaml]
    attributes:
      kubelet_configuration: {mode: "0600", owner: root, group: root, control: files-kubelet-configuration}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
not_done:
  description: What was left undone because it takes root or a running process.
  returned: success
  type: list
  elements: str
backup:
  description: Where the record of the old attributes is on this host, empty where nothing was written.
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
    runner,
)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.attributes import Attributes, wanted_from_data

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    wanted = wanted_from_data(parameters["paths"], parameters["attributes"])
    attributes = Attributes(host, wanted, runner(module), parameters["rootless"])
    changes = attributes.plan()
    if changes and not module.check_mode:
        attributes.apply(Backup(host, parameters["run_id"]))
    return result_of(
        module,
        changes,
        not_done=attributes.not_done,
        backup=f"{STATE_DIRECTORY}/backups/{parameters['run_id']}" if changes and not module.check_mode else "",
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "paths": {"type": "dict", "required": True},
            "attributes": {"type": "dict", "required": True},
            "rootless": {"type": "list", "elements": "str", "default": []},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work)


if __name__ == "__main__":
    main()
