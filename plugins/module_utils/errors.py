# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that reaches a user as a sentence."""

from __future__ import annotations

import typing as t
from types import MappingProxyType


class HardeningError(Exception):
    """Something that a person must act on.

    The message is written for that person: what was wrong, where, what was left as it was, and what to do next.
    Modules turn it into ``fail_json(msg=...)`` as it stands; anything else that is raised is a defect. ``facts`` are
    returned beside it, for the controller.
    """

    facts: t.Mapping[str, t.Any] = MappingProxyType({})
