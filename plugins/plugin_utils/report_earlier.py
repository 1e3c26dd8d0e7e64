# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report that a new one is compared with: the newest earlier one of the same hosts, in a directory beside it."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes

# Of 300 hosts a report has some 10 MB.
LIMIT = 256 * 1024 * 1024


def newest(report_dir: str, report: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any] | None, list[str]]:
    """Return the report to compare with, or None, and a sentence for each file that would have been nearer but is none.

    Args:
        report_dir: The directory of the new report; those of other runs are beside it.
        report: The new report. A report of which it knows no host is of another cluster and is passed over.
    """
    names = {host["name"] for host in report["hosts"]}
    problems: list[str] = []
    for path in _beside(report_dir):
        try:
            document = _read(path)
        except HardeningError as error:
            problems.append(str(error))
            continue
        if document is None or document["made_at"] >= report["made_at"]:
            continue
        if names & {host["name"] for host in document["hosts"]}:
            return document, problems
    return None, problems


def _beside(report_dir: str) -> list[str]:
    """Return the paths where reports of other runs would be, the last written first."""
    own = os.path.realpath(report_dir)
    found = []
    with os.scandir(os.path.dirname(own)) as entries:
        for entry in entries:
            path = os.path.join(entry.path, "report.json")
            if entry.is_dir() and os.path.realpath(entry.path) != own and os.path.exists(path):
                found.append((os.stat(path).st_mtime_ns, path))
    return [path for _time, path in sorted(found, reverse=True)]


def _read(path: str) -> dict[str, t.Any] | None:
    """Return a report, None where the file went meanwhile. Raises HardeningError where it is none."""
    data = read_bytes(path, LIMIT)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except ValueError as error:
        raise HardeningError("KH502", f"{path} is no report: {error}. It was not compared with.") from error
    if not _is_report(document):
        raise HardeningError(
            "KH502", f"{path} is no report: it lacks made_at, hosts or results. It was not compared with."
        )
    return t.cast("dict[str, t.Any]", document)


def _is_report(document: t.Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("made_at"), str)
        and isinstance(document.get("results"), list)
        and isinstance(document.get("hosts"), list)
        and all(isinstance(host, dict) and "name" in host for host in document["hosts"])
    )
