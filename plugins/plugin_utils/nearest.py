# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a name that does not exist may have been meant to be."""

from __future__ import annotations

import difflib
import typing as t


def nearest(name: t.Any, known: t.Sequence[str], otherwise: str = "") -> str:
    """Return the half of a sentence that names what is like it, else where the known names stand, or all of them."""
    found = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"the nearest is {found[0]}" if found else otherwise or f"there are {', '.join(known)}"
