# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When every certificate ends, as Prometheus reads it (text format 0.0.4, as node_exporter's textfile collector)."""

from __future__ import annotations

import calendar
import time
import typing as t

#: The name of the file, in the report directory.
NAME = "metrics.prom"
#: Its name in the collector's directory, where others have files too.
SHARED_NAME = "kubeharden-rotate.prom"
ENDS = "kubeharden_certificate_not_after_timestamp_seconds"
SUCCESS = "kubeharden_rotate_last_success_timestamp_seconds"
_LABELS = ("host", "path", "name", "kind", "subject")


def seconds(moment: str) -> int:
    """Return seconds since 1970 of a time as certificates are listed with."""
    return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))


def render(certificates: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]], now: float) -> str:
    """Return the text.

    Args:
        certificates: By host, what pki_leaves returned.
        now: When the run ended well.
    """
    ends: dict[tuple[str, ...], int] = {}
    for host, found in certificates.items():
        for one in found:
            labels = tuple(str({"host": host, **one}[label]) for label in _LABELS)
            # Two authorities of one name in a file, as in a rotation: the one that ends first counts.
            ends[labels] = min(seconds(one["not_after"]), ends.get(labels, seconds(one["not_after"])))
    lines = [
        f"# HELP {ENDS} When a certificate ends, in seconds since 1970.",
        f"# TYPE {ENDS} gauge",
        *(f"{ENDS}{{{_shown(labels)}}} {end}" for labels, end in sorted(ends.items())),
        f"# HELP {SUCCESS} When rotate_certificates.yml last ended well for all hosts, in seconds since 1970.",
        f"# TYPE {SUCCESS} gauge",
        f"{SUCCESS} {int(now)}",
    ]
    return "\n".join(lines) + "\n"


def _shown(values: t.Sequence[str]) -> str:
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(_LABELS, values))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
