#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action preflight, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: End a run before its first write where a host is not ready for it
version_added: 1.0.0
description:
  - Judges on the controller what M(kubeharden.core.discover) saw on every host of the play, and reaches no host as long
    as all of them are ready.
  - Otherwise every host gives back the locks that the run took, and each host that is not ready says all its problems.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  results:
    description: Names of variables that hold what discovery returned on a host; the first that was not skipped counts.
    type: list
    elements: str
    default: [__discover_again, __discover_found]
  later_results:
    description: Names of variables that hold what later tasks of the run returned; their C(problems) end the run too.
    type: list
    elements: str
    default: []
  kubeconfig:
    description: The administrator's kubeconfig on the host, where it is not the one that kubeadm wrote.
    type: path
  readiness:
    description:
      - Whether the cluster must be ready. Otherwise only what kept a host from being discovered ends the run, such as
        another run's lock, and where no room is left to write; putting back asks for no more.
    type: bool
    default: true
  control_planes:
    description:
      - Every control plane of the inventory, where the run writes kubeadm's ConfigMaps in the end. What keeps it from
        that ends it now, unless a control plane takes no part, so that they are left as they are, or its tags leave
        out what they say.
    type: list
    elements: str
    default: []
  allow_expired:
    description:
      - Whether the run renews certificates, so that those that have ended are its work. What is wrong with nodes, or
        would be when something is restarted that a rotation leaves alone, is told then, and ends no run.
    type: bool
    default: false
  allow_unreachable:
    description:
      - Whether an API server that takes no part in the run and does not answer is told, and ends no run.
    type: bool
    default: false
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Stop before the first write where something is not ready
  kubeharden.core.preflight:
    run_id: 20261124T101500Z-3f2a
"""

RETURN = r"""
looked_at:
  description: Whether this host was seen to be ready; of a directory that stands for one nobody knows.
  returned: success
  type: bool
names_refused:
  description:
    - Why the request of this host's kubelet for a serving certificate would be refused, whatever it is told, as a
      clause; empty where nothing speaks against it, or nobody knows.
  returned: success
  type: str
notes:
  description: What a person should know, as sentences.
  returned: success
  type: list
  elements: str
not_done:
  description: What was not looked at because it takes a running host.
  returned: success
  type: list
  elements: str
"""
