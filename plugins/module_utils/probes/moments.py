# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments as Kubernetes writes them (RFC 3339), in seconds since the epoch."""

from __future__ import annotations

import datetime
import typing as t


def seconds_of(text: t.Any) -> float:
    """Return the moment that a Time or MicroTime says, to a second; one that is missing or unreadable is long past."""
    try:
        plain = str(text or "").partition(".")[0].rstrip("Z")
        moment = datetime.datetime.strptime(plain + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return 0.0
    return moment.timestamp()


def micro_time(seconds: float) -> str:
    """Return a moment as a MicroTime."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
