#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action end_run, which runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: end_run
short_description: Tell what a run changed, restarted and left undone, and where the way back is
version_added: 0.1.0
description:
  - Runs on the controller and reaches no host. Completes C(changes.json), which is there from every run, check or not.
options:
  run_id:
    description: The run.
    type: str
    required: true
  report_dir:
    description: Where C(changes.json) is.
    type: path
    required: true
  results:
    description: Names of the registered variables that hold what the run's tasks returned.
    type: list
    elements: str
    required: true
  batch:
    description: How many nodes were changed at a time, as M(kubeharden.core.begin_run) returned it.
    type: list
    elements: str
    default: ["1", 25%]
  notes:
    description: Sentences about the run as a whole.
    type: list
    elements: str
    default: []
  ready:
    description: Whether this was preflight alone, which says that nothing keeps a run from beginning.
    type: bool
    default: false
  root:
    description: kubeharden_root of one of the hosts; of another than C(/) the account says that paths are below it.
    type: path
    default: /
  way_back:
    description: Whether the account names C(rollback.yml) for this run, as it does where something can go back.
    type: bool
    default: true
  certificates:
    description:
      - Whether the account lists every certificate of each host with its end. Outside check mode C(metrics.prom) beside
        C(changes.json) then says the same for Prometheus.
    type: bool
    default: false
  metrics_dir:
    description:
      - A directory on the controller in which C(kubeharden-rotate.prom) gets the same, as node_exporter's textfile
        collector reads it. With a directory that is missing the task fails, when everything else is done.
    type: path
  hosts:
    description:
      - Hosts of the inventory that belong to the cluster. Where it has no control plane the account says what was left.
        Without the certificates of one of them the file in O(metrics_dir) is left as it is.
    type: list
    elements: str
    default: []
  asking_nodes:
    description: What M(kubeharden.core.begin_run) returned as RV(kubeharden.core.begin_run#module:asking_nodes).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - kubeharden.core.on_controller
attributes:
  check_mode:
    description: Can run in check mode; the report is written there as well.
    support: full
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Tell what was done
  kubeharden.core.end_run:
    run_id: 20261124T101500Z-3f2a
    report_dir: /srv/reports/20261124T101500Z-3f2a
    results: [__harden_files]
  run_once: true
"""

RETURN = r"""#"""
