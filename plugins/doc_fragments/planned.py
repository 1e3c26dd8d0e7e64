# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of authorities and leaves share: one task looks, on all hosts at once, another does."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment kubeharden.core.planned."""

    DOCUMENTATION = r"""
options:
  write:
    description:
      - Whether what is due is done. Otherwise it is only looked, which all hosts may do at once, and what it would be
        stopped by is in RV(problems), so that the run can be ended on every host. What a run that died left is removed
        in any case.
    type: bool
    default: true
  planned:
    description:
      - What an earlier task of the run returned here with O(write=false). Where nothing was due and nothing else is
        asked for now, that is the result, and the module is not started.
    type: dict
    default: {}
"""
