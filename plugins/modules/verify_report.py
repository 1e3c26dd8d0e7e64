#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action verify_report, which runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_report
short_description: Judge every control of every host, and write the reports
version_added: 0.1.0
description:
  - Runs on the controller and reaches no host. Judges what M(kubeharden.core.verify_host) and
    M(kubeharden.core.verify_cluster) saw by the catalogue in C(controls/), prints a table, and writes C(report.html),
    C(report.json) (C(docs/report.schema.json)) and C(junit.xml).
  - Ends with an error where a control of the chosen severity or above failed or could not be judged.
options:
  report_dir:
    description: Where reports go; C(reports/<run id>) below the working directory where it is empty.
    type: str
    default: ""
  run_id:
    description: The run's name; UTC time and four random hexadecimal digits where it is empty.
    type: str
    default: ""
  profile:
    description:
      - What harden.yml is run with; a control that it does not enforce is explained instead of failed.
      - That which M(kubeharden.core.verify_host) returned of a host counts before it; controls of the cluster are
        judged by that of the first control plane.
    type: str
    choices: [baseline, cis]
    default: baseline
  fail_on:
    description: From which severity on a failed control ends the play with an error.
    type: str
    choices: [none, low, medium, high]
    default: high
  waivers:
    description: Controls that need not hold, each with C(control), C(hosts), C(reason), C(owner) and C(expires).
    type: list
    elements: dict
    default: []
  controls_files:
    description: Catalogues of your own on the controller, of the same form as those in C(controls/).
    type: list
    elements: path
    default: []
  control_planes:
    description: Which hosts are control planes.
    type: list
    elements: str
    default: []
  hosts:
    description: Which hosts are judged.
    type: list
    elements: str
    required: true
  after_run:
    description:
      - Whether this is the end of a run that changes things. In check mode failures are then only counted on the
        console, since what is foretold has not come yet.
    type: bool
    default: false
  results:
    description:
      - Variables in which tasks of the run before this look registered what they returned. What they say a person does
        after the run (C(at_last)) is said once more as the last lines, below the table.
    type: list
    elements: str
    default: []
  only_check:
    description:
      - Only whether variables, tags, waivers and catalogues are well-formed, and whether reports can be written, before
        any host is looked at.
    type: bool
    default: false
  rotation_grace:
    description:
      - Days for which a rotation of authorities may be under way after one was made. In them another authority beside
        it that signs nothing is no finding.
    type: int
    default: 0
  newest_versions:
    description: By minor version its newest patch, where another list is to count than the catalogue's.
    type: dict
    default: {}
extends_documentation_fragment:
  - kubeharden.core.on_controller
attributes:
  check_mode:
    description: Can run in check mode; the reports are written there as well.
    support: full
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Judge and tell
  kubeharden.core.verify_report:
    hosts: "{{ ansible_play_hosts_all }}"
    control_planes: "{{ groups['kube_control_plane'] }}"
  run_once: true
"""

RETURN = r"""
summary:
  description: How many results there are of each status.
  returned: when hosts were judged
  type: dict
report:
  description: Where C(report.json) is.
  returned: when hosts were judged
  type: str
"""
