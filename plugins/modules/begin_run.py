#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action begin_run, which runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: begin_run
short_description: Name a run, and stop it where a variable would be without effect
version_added: 0.1.0
description:
  - Runs on the controller and reaches no host.
  - Fails where a host has a variable that begins with C(kubeharden_) and is not known, and names the nearest known one;
    where such a variable has a value that it may not have; and where C(--tags) or C(--skip-tags) names no tag.
options:
  run_id:
    description: The run's name; UTC time and four random hexadecimal digits where it is not given.
    type: str
  report_dir:
    description: Where reports go; C(reports/<run id>) below the working directory where it is not given.
    type: path
  batch:
    description:
      - How many hosts that are no control planes are changed at a time, each a number or a percentage; the last one
        holds for all further batches.
    type: list
    elements: str
    default: ["1", 25%]
  extra_flags:
    description: The user's own flags, which are checked for what can never be done.
    type: dict
    default: {}
  only:
    description: Ids of the controls that the run is about; all where there is none.
    type: list
    elements: str
    default: []
  profile:
    description: The profile of hosts that have none of their own; O(only) may name nothing that no host's profile has.
    type: str
    choices: [baseline, cis]
    default: cis
  waivers:
    description: Controls that are left out on some hosts until some day; C(docs/variables.md) has their form.
    type: list
    elements: dict
    default: []
  controls_files:
    description: Catalogues of the user's own, whose controls a waiver may name.
    type: list
    elements: path
    default: []
  newest_versions:
    description: By minor version its newest patch, where another list is to count than the catalogue's.
    type: dict
    default: {}
  hosts:
    description:
      - Hosts of the inventory that belong to the cluster; a run without any is refused. The first one's variables are
        those of the run, since another host of the inventory has none of the cluster's groups.
    type: list
    elements: str
    required: true
  checks_user:
    description:
      - Whether all that the user set is checked. Where nothing of it is written, as by a rollback, only names of
        variables, the kinds of their values, tags and the run's name are.
    type: bool
    default: true
extends_documentation_fragment:
  - kubeharden.core.on_controller
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Name the run
  kubeharden.core.begin_run:
    hosts: "{{ groups['kube_control_plane'] + groups['kube_node'] }}"
  run_once: true
  register: begun
"""

RETURN = r"""
run_id:
  description: The run's name.
  returned: success
  type: str
report_dir:
  description: Where its reports go, absolute.
  returned: success
  type: str
batch:
  description: How many hosts are changed at a time, in the form of Ansible's C(serial).
  returned: success
  type: list
  elements: str
left_out:
  description: Controls that are left out, C(everywhere) and, by control, C(on_hosts).
  returned: success
  type: dict
asking_nodes:
  description:
    - Where the inventory has no control plane, the nodes for which C(kubeharden_kubeconfig) names a kubeconfig, in
      their order. Through the first one a run speaks with the API.
  returned: success
  type: list
  elements: str
notes:
  description: What is left out, and what is not any more, as sentences.
  returned: success
  type: list
  elements: str
"""
