# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that the modules share which run on the controller and reach no host."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.on_controller."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: N/A
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
"""
