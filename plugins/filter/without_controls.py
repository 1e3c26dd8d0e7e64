# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter without_controls."""

from __future__ import annotations

import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import selection

DOCUMENTATION = r"""
name: without_controls
short_description: Leave the settings of some controls out of what a template says
version_added: 0.1.0
description:
  - A setting is a mapping with the key C(control), however deep it lies. Everything else stays as it is.
options:
  _input:
    description: What a template says, as data.
    type: raw
    required: true
  left_out:
    description: Ids of the controls to leave out.
    type: list
    elements: str
    required: true
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: What is wanted but for profiling
  ansible.builtin.debug:
    msg: "{{ wanted | kubeharden.core.without_controls(['apiserver-profiling']) }}"
  vars:
    wanted:
      apiserver:
        profiling: {exact: "false", control: apiserver-profiling}
        request-timeout: {at_most: 5m, control: apiserver-request-timeout}
"""

RETURN = r"""
_value:
  description: The same without those settings.
  type: raw
"""


def without_controls(value: t.Any, left_out: t.Sequence[str]) -> t.Any:
    """Return what a template says without the settings of those controls."""
    return selection.without_controls(value, set(left_out))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"without_controls": without_controls}
