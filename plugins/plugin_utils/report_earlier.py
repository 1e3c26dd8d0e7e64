# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report that a new one is compared with: the newest earlier one of the same hosts, in a directory beside it."""

from __future__ import annotations

import json
import os
import re
import stat
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_view import SCHEMA
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_words import STATUSES

# Of 300 hosts a report has some 10 MB.
LIMIT = 256 * 1024 * 1024
#: How ours begin: there may be hundreds of them, and only few are read to their end.
_HEAD = 4096
_BEGINS = re.compile(rb'\{\s*"schema": \d+,\s*"run_id": "[^"\\]*",\s*"made_at": "([0-9A-Z:.+-]+)"')
_NOT_COMPARED = "It was not compared with."


def newest(report_dir: str, report: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any] | None, list[str]]:
    """Return what is compared of the newest earlier report, or None, and a sentence for each file that is none.

    Which one is newest is what reports say of themselves: one that was put back from a copy is written late. Of files
    that do not say it those are told which were written after the one that is returned.

    Args:
        report_dir: The directory of the new report; those of other runs are beside it.
        report: The new report. A report of which it knows no host is of another cluster and is passed over.
    """
    names = {host["name"] for host in report["hosts"]}
    problems: list[str] = []
    strange: list[tuple[int, str]] = []
    earlier: list[tuple[str, int, str]] = []
    for written, path in _beside(report_dir):
        try:
            made_at = _made_at(path)
        except HardeningError as error:
            strange.append((written, str(error)))
            continue
        if "" < made_at < report["made_at"]:
            earlier.append((made_at, written, path))
    for _made, written, path in sorted(earlier, reverse=True):
        try:
            document = _read(path)
        except HardeningError as error:
            problems.append(str(error))
            continue
        if document is not None and names & {host["name"] for host in document["hosts"]}:
            return document, problems + [words for when, words in strange if when > written]
    return None, problems + [words for _when, words in strange]


def _beside(report_dir: str) -> list[tuple[int, str]]:
    """Return when the reports of other runs were written, and where they are, the last written first."""
    own = os.path.realpath(report_dir)
    found = []
    with os.scandir(os.path.dirname(own)) as entries:
        for entry in entries:
            path = os.path.join(entry.path, "report.json")
            if entry.is_dir() and os.path.realpath(entry.path) != own and os.path.exists(path):
                found.append((os.stat(path).st_mtime_ns, path))
    return sorted(found, reverse=True)


def _made_at(path: str) -> str:
    """Return when a report was made, empty where the file went meanwhile. Raises HardeningError where it is none."""
    begins = _BEGINS.match(_head(path))
    if begins:
        return begins.group(1).decode("ascii")
    document = _read(path)
    return str(document["made_at"]) if document else ""


def _head(path: str) -> bytes:
    """Return a regular file's first bytes, none of what cannot be read: who reads it whole says why."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as handle:
            return handle.read(_HEAD) if stat.S_ISREG(os.fstat(handle.fileno()).st_mode) else b""
    except OSError:
        return b""


def _read(path: str) -> dict[str, t.Any] | None:
    """Return what is compared of a report, None where the file went meanwhile. Raises HardeningError where it is none.

    Nothing else of it is returned, so that nothing else can be in the way.
    """
    data = read_bytes(path, LIMIT)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HardeningError("KH502", f"{path} is no report: {error}. {_NOT_COMPARED}") from error
    if not _is_report(document):
        raise HardeningError("KH502", f"{path} is no report: it lacks made_at, hosts or results. {_NOT_COMPARED}")
    shown: dict[str, t.Any] = {key: document.get(key) for key in ("schema", "run_id", "made_at")}
    if document.get("schema") != SCHEMA:
        return {**shown, "hosts": [{"name": host["name"]} for host in document["hosts"]]}
    if not _can_be_compared(document):
        words = "a host, control or result in it lacks its name, or has a status that there is not"
        raise HardeningError("KH502", f"{path} is no report: {words}. {_NOT_COMPARED}")
    return {
        **shown,
        "hosts": [{"name": host["name"], "versions": host.get("versions") or {}} for host in document["hosts"]],
        "controls": [{"id": control["id"]} for control in document.get("controls") or []],
        "results": [{key: one.get(key) for key in ("control", "host", "status")} for one in document["results"]],
    }


def _is_report(document: t.Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("made_at"), str)
        and isinstance(document.get("results"), list)
        and isinstance(document.get("hosts"), list)
        and all(isinstance(host, dict) and isinstance(host.get("name"), str) for host in document["hosts"])
    )


def _can_be_compared(document: t.Mapping[str, t.Any]) -> bool:
    """Return whether a report of this version has what a comparison looks at."""
    controls = document.get("controls") or []
    return (
        all(isinstance(host.get("versions") or {}, dict) for host in document["hosts"])
        and isinstance(controls, list)
        and all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in controls)
        and all(isinstance(one, dict) and _is_result(one) for one in document["results"])
    )


def _is_result(one: t.Mapping[str, t.Any]) -> bool:
    named = isinstance(one.get("control"), str) and isinstance(one.get("host", ""), str)
    return named and isinstance(one.get("status"), str) and one["status"] in STATUSES
