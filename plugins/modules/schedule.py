#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd that run playbooks on a schedule."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Lay, or remove, services and timers of systemd that run playbooks on a schedule
version_added: 0.1.0
description:
  - For each of O(calendars) a service and a timer, C(kubeharden-rotate) and C(kubeharden-verify); those of the others
    are removed, with what their runs left in the directory of the metrics.
  - Secrets are given to runs as credentials of systemd, files that only the run can read. Those that are called
    C(private-key), C(vault-password), C(become-password) and C(connection-password) are named to ansible-playbook.
  - What would keep a unit from working is said before anything is written.
extends_documentation_fragment:
  - kubeharden.core.on_host
options:
  root:
    description: A directory that stands for the host's C(/); systemd is then not told.
    type: path
    default: /
  state:
    description: Whether the units are there.
    type: str
    choices: [present, absent]
    default: present
  calendars:
    description: By what runs, V(rotate) or V(verify), when, as systemd's C(OnCalendar) has it.
    type: dict
    default: {}
  random_delay:
    description: How much later than the calendar says a run may begin, as systemd writes a span of time.
    type: str
    default: 1h
  timeout:
    description: How long a run may take, likewise.
    type: str
    default: 6h
  user:
    description: Who runs it.
    type: str
    default: root
  directory:
    description:
      - The working directory, where C(ansible.cfg) is read and below which reports go. On the controller, and likewise
        for the next two, what the present run has is taken where nothing is given.
    type: str
    default: ""
  ansible_playbook:
    description: The program.
    type: str
    default: ""
  inventory:
    description: Inventories.
    type: list
    elements: str
    default: []
  arguments:
    description: More words for ansible-playbook; C(${CREDENTIALS_DIRECTORY}) in them is where the credentials are.
    type: list
    elements: str
    default: []
  credentials:
    description: By name, a file on this host that holds a secret.
    type: dict
    default: {}
  on_failure:
    description:
      - A command, word by word, that is run after a failure; C(KUBEHARDEN_UNIT) in its environment is the unit.
    type: list
    elements: str
    default: []
  metrics_dir:
    description: A directory that node_exporter's textfile collector reads; empty for none.
    type: str
    default: ""
  protect:
    description: Whether a run is kept from writing where it has no business, such as C(/etc) and C(/usr).
    type: bool
    default: true
  hosts:
    description: The hosts of the cluster. The action plugin takes O(local_hosts) from them.
    type: list
    elements: str
    default: []
  local_hosts:
    description: Of these, those that this host itself is; filled in by the action plugin.
    type: list
    elements: str
    default: []
  checkout:
    description: Where playbooks are that O(directory) does not have; filled in by the action plugin.
    type: str
    default: ""
  recorder:
    description: The text of the program that says how a run ended; filled in by the action plugin.
    type: str
    default: ""
  run_id:
    description: The run, for C(changes.json).
    type: str
    required: true
  report_dir:
    description: Where the action plugin keeps C(changes.json) on the controller.
    type: path
requirements:
  - systemd 247 or newer
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Renew what is due, each night
  kubeharden.core.schedule:
    run_id: 20261124T101500Z-3f2a
    calendars: {rotate: "*-*-* 03:00:00"}
    directory: /opt/kubeharden
    ansible_playbook: /opt/kubeharden/.venv/bin/ansible-playbook
    inventory: [/opt/kubeharden/inventories/mine]
    credentials: {private-key: /etc/kubeharden/id_ed25519}
"""

RETURN = r"""
changes:
  description: What changed, or would change, as changes.json has it.
  returned: success
  type: list
  elements: dict
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
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils.entry import require_libraries, result_of, run, runner


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Judge, plan, and outside check mode apply."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.schedule import schedule_call

    changes, facts = schedule_call(module.params, module.check_mode, runner(module))
    return result_of(module, changes, **facts)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "calendars": {"type": "dict", "default": {}},
            "random_delay": {"type": "str", "default": "1h"},
            "timeout": {"type": "str", "default": "6h"},
            "user": {"type": "str", "default": "root"},
            "directory": {"type": "str", "default": ""},
            "ansible_playbook": {"type": "str", "default": ""},
            "inventory": {"type": "list", "elements": "str", "default": []},
            "arguments": {"type": "list", "elements": "str", "default": []},
            "credentials": {"type": "dict", "default": {}},
            "on_failure": {"type": "list", "elements": "str", "default": []},
            "metrics_dir": {"type": "str", "default": ""},
            "protect": {"type": "bool", "default": True},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "local_hosts": {"type": "list", "elements": "str", "default": []},
            "checkout": {"type": "str", "default": ""},
            "recorder": {"type": "str", "default": ""},
            "run_id": {"type": "str", "required": True},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    require_libraries(module)
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
