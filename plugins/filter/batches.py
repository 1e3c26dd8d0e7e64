# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter batches."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import controller

DOCUMENTATION = r"""
name: batches
short_description: Make batches of hosts no larger than what is worked on at the same time
version_added: 0.1.0
description:
  - Between a kubelet's restart and the approval of what it asks for, logs and exec of its pods are refused, and what a
    batch asks for is approved at its end. So that nobody waits for other hosts, no batch is larger than C(--forks).
options:
  _input:
    description: How many hosts are changed at a time, each a number or a percentage; the last holds for all further.
    type: list
    elements: str
    required: true
  count:
    description: Of how many hosts in all.
    type: int
    required: true
  most:
    description: How many hosts a batch may have; 0 for any number, when the batches stay as they are written.
    type: int
    required: true
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Restart kubelets that are going to ask for certificates
  hosts: kubeharden_workers
  serial: "{{ ['1', '25%'] | kubeharden.core.batches(300, ansible_forks) }}"
"""

RETURN = r"""
_value:
  description: The batches, in the form of Ansible's C(serial).
  type: list
  elements: str
"""


def batches(batch: t.Sequence[str], count: int, most: int) -> list[str]:
    """Return the batches, none of which is larger than that."""
    if most <= 0 or count <= 0:
        return list(batch)
    return [str(size) for size in controller.bounded(controller.batch_sizes(batch, int(count)), int(most))]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"batches": batches}
