# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as lines for the console, and as junit.xml."""

from __future__ import annotations

import textwrap
import typing as t
from xml.etree import ElementTree

from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    FAIL,
    LISTED,
    SEVERITIES,
    UNKNOWN,
)
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_names import evidence, few, seen
from ansible_collections.kubeharden.core.plugins.plugin_utils.verdicts import CLUSTER

Report = t.Mapping[str, t.Any]
Result = t.Mapping[str, t.Any]

_WIDTH = 118
#: Findings that the console names where one control has many.
_MOST_FINDINGS = 8
_COLUMNS = ("fail", "unknown", "explained", "waived", "pass", "not_applicable")
_HEADS = ("host", "fail", "unknown", "explained", "waived", "pass", "n/a")
#: Characters that XML 1.0 has no place for.
_NOT_IN_XML = {code: " " for code in (*range(32), 0xFFFE, 0xFFFF) if code not in (9, 10, 13)}


def render(report: Report, where: str, in_brief: bool = False) -> list[str]:
    """Return the lines: a row a host, then each failure with what to do, then where the reports are.

    In brief, that is before a run that may mend them, failures are only counted. What a host said is no word to the
    terminal: characters that cannot be seen are written out.
    """
    return [seen(line) for line in _lines(report, where, in_brief)]


def _lines(report: Report, where: str, in_brief: bool) -> list[str]:
    names = [*(host["name"] for host in report["hosts"]), CLUSTER]
    counts = {name: dict.fromkeys(_COLUMNS, 0) for name in names}
    for result in report["results"]:
        counts[result["host"]][result["status"]] += 1
    table = [_HEADS, *((name, *(str(count) for count in counts[name].values())) for name in names)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADS))]
    lines = ["", *(_row(row, widths) for row in table), ""]
    notes: dict[str, list[str]] = {}
    for host in report["hosts"]:
        notes.setdefault(host["note"], []).append(host["name"])
    lines += [f"{few(hosts)}: {note}" for note, hosts in notes.items() if note]
    reports = f"{where}/report.html, report.json, junit.xml"
    if in_brief:
        return [*lines, f"Judged as it is now, before what check mode foretells: {reports}"]
    for severity in reversed(SEVERITIES):
        lines += _failures(report, severity)
    unknown = _by_evidence([one for one in report["results"] if one["status"] == UNKNOWN])
    if unknown:
        lines += ["", "Not judged:"]
        lines += [line for words, ones in unknown.items() for line in _said(_where(ones), words, "  ")]
    lines += ["", f"Profile {report['profile']}, run {report['run_id']}: {reports}"]
    return lines


def _row(cells: t.Sequence[str], widths: t.Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))])


def _failures(report: Report, severity: str) -> list[str]:
    titles = {control["id"]: control["title"] for control in report["controls"]}
    by_control: dict[str, list[Result]] = {}
    for result in report["results"]:
        if result["status"] == FAIL and result["severity"] == severity:
            by_control.setdefault(result["control"], []).append(result)
    if not by_control:
        return []
    lines = ["", f"Failed, severity {severity}:"]
    for control, results in by_control.items():
        lines += _wrapped(f"{control}: {titles[control]}", "  ")
        for words, ones in _by_evidence(results).items():
            lines += _said(_hosts(ones), words, "    ")
        lines += _wrapped(f"What to do: {results[0]['remedy']}", "    ")
    return lines


def _by_evidence(results: t.Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(str(result["evidence"]), []).append(result)
    return found


def _said(where: str, words: str, indent: str) -> list[str]:
    """Return lines of evidence, with the first few of many findings."""
    findings = words.split(LISTED)
    more = len(findings) - _MOST_FINDINGS
    shown = LISTED.join([*findings[:_MOST_FINDINGS], f"and {more} more, see report.json"]) if more > 0 else words
    return _wrapped(f"{where}: {shown}", indent)


def _hosts(results: t.Sequence[Result]) -> str:
    return few(str(one["host"]) for one in results)


def _where(results: t.Sequence[Result]) -> str:
    controls = list(dict.fromkeys(str(one["control"]) for one in results))
    shown = controls[0] if len(controls) == 1 else f"{len(controls)} controls"
    return f"{shown} on {_hosts(results)}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        seen(text), _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False
    )


def junit(report: Report) -> bytes:
    """Return the report as JUnit's XML: a suite a host, a case a control.

    ``unknown`` is an error, ``explained``, ``waived`` and ``not_applicable`` are skipped, with the reason.
    """
    titles = {control["id"]: control["title"] for control in report["controls"]}
    by_host: dict[str, list[Result]] = {}
    for result in report["results"]:
        by_host.setdefault(result["host"], []).append(result)
    root = ElementTree.Element("testsuites", {"name": "kubeharden", **_totals(report["results"])})
    for host, results in by_host.items():
        about = {"name": _text(host), "timestamp": str(report["made_at"])[:19], **_totals(results)}
        suite = ElementTree.SubElement(root, "testsuite", about)
        for result in results:
            name = f"{result['control']}: {titles[result['control']]}"
            case = ElementTree.SubElement(suite, "testcase", classname=_text(host), name=_text(name))
            kind = {"fail": "failure", "unknown": "error", "pass": ""}.get(result["status"], "skipped")
            if kind:
                message = _text(f"{result['status']}: {evidence(result['evidence'])}")
                element = ElementTree.SubElement(case, kind, message=message)
                element.text = _text(str(result["remedy"])) if kind != "skipped" else None
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _totals(results: t.Sequence[Result]) -> dict[str, str]:
    statuses = [one["status"] for one in results]
    failed, errors = statuses.count("fail"), statuses.count("unknown")
    skipped = len(statuses) - failed - errors - statuses.count("pass")
    return {"tests": str(len(statuses)), "failures": str(failed), "errors": str(errors), "skipped": str(skipped)}


def _text(text: str) -> str:
    """Return a text without what XML cannot hold."""
    return text.translate(_NOT_IN_XML).encode("utf-8", "replace").decode("utf-8")
