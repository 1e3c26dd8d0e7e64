#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action rollback_choose, which runs on the controller only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_choose
short_description: Choose the runs that are put back
version_added: 1.0.0
description:
  - Runs on the controller and reaches no host.
  - Without O(asked) it is the last run, or what a rollback that did not come to its end was to put back. With it, it is
    every run from the newest back to that one.
  - Fails where no host has the record of the run that is asked for, or where that run is a rollback itself.
options:
  seen:
    description: By host, the runs as M(kubeharden.core.rollback_runs) returned them.
    type: dict
    required: true
  asked:
    description: The run that is asked for; the last where there is none.
    type: str
extends_documentation_fragment:
  - kubeharden.core.on_controller
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Choose what is put back
  kubeharden.core.rollback_choose:
    seen: {cp1: [{run_id: 20261124T101500Z-3f2a, began: 1.0, undone_by: "", undoes: [], finished: false, count: 3}]}
  run_once: true
"""

RETURN = r"""
runs:
  description: The runs, the newest first; none where there is nothing to do.
  returned: success
  type: list
  elements: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
"""
