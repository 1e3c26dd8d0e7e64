# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules which work on a host share."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.host."""

    DOCUMENTATION = r"""
options:
  root:
    description:
      - A directory that stands for the host's C(/), for demos, images and tests.
      - What needs a running process or root is then told (C(not_done) of the result) instead of done.
    type: path
    default: /
  root_seed:
    description:
      - A directory that O(root) begins as a copy of where O(root) does not exist yet.
      - In check mode the copy is made in Ansible's own temporary directory.
    type: path
  run_id:
    description: The run, which names the backups.
    type: str
    required: true
  locks:
    description:
      - The locks that the run has taken; the module does nothing where the run does not have them any more. V(alone)
        says that it went on without the lock of the cluster, since the API was away. Filled in by the action plugin.
    type: list
    elements: str
    choices: [host, cluster, alone]
    default: []
requirements:
  - Python 3.9 or newer, PyYAML and cryptography of the distribution on the target
"""
