# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How properties are tried: in CI always with the same examples, so that what lands does not hang on luck.

Elsewhere they are new at each run, and a failure prints how to have it again. There are no time limits, since machines
that run this are shared.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("work", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("work"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "work")
