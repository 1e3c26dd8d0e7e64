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
  - Runs on the controller, for every host of the play, and reaches no host as long as there is something to choose.
  - Without O(asked) it is the last run, or what a rollback that did not come to its end was to put back. With it, it is
    every run from the newest back to that one.
  - Fails where no host has the record of the run that is asked for, where that run is a rollback itself, or where the
    records of a host cannot be read. Then every host gives back the locks that the run took.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  seen:
    description: Name of the variable that holds what M(kubeharden.core.rollback_runs) returned on a host.
    type: str
    default: __rollback_seen
  asked:
    description: The run that is asked for; the last where there is none.
    type: str
  kubeconfig:
    description: The administrator's kubeconfig on the host, where it is not the one that kubeadm wrote.
    type: path
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Choose what is put back
  kubeharden.core.rollback_choose:
    run_id: 20261125T101500Z-3f2a
    asked: 20261124T101500Z-3f2a
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
