# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that the modules share which work on a host."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.on_host."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say truthfully what would change, without changing it.
    support: full
  diff_mode:
    description: Returns what changes, or would change in check mode.
    support: full
  platform:
    description: The systems on which it runs.
    platforms: posix
    support: full
"""
