# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of a run that a person reads at its end."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.plugin_utils import estimate
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_names import few, seen


@dataclasses.dataclass(frozen=True)
class Row:
    """One host's part.

    Attributes:
        host: The inventory's name.
        changed: Number of changes.
        restarted: Seconds until it was proven well, by component; without a number in check mode.
        seconds: Those of all restarts of the host.
        notes: Sentences for a person.
        not_done: What was left undone.
        backup: Where the old bytes are on the host.
        about: Seconds that the foretold restarts take, in check mode.
    """

    host: str
    changed: int
    restarted: dict[str, float | None]
    notes: tuple[str, ...]
    not_done: tuple[str, ...]
    backup: str
    seconds: float = 0
    # What was issued: name, path and end of each certificate.
    issued: tuple[t.Mapping[str, str], ...] = ()
    # What an authority outside is to sign: path, authority, subject and names of each request.
    unsigned: tuple[t.Mapping[str, str], ...] = ()
    about: int = 0
    # Every certificate with its end, where the run is about that.
    certificates: tuple[t.Mapping[str, t.Any], ...] = ()
    # What a person does after the run.
    at_last: tuple[str, ...] = ()

    @classmethod
    def from_results(
        cls, host: str, results: t.Sequence[t.Any], changes: t.Sequence[t.Mapping[str, t.Any]], mode: str
    ) -> Row:
        """Return the row of a host from what its tasks returned and what the run changed, or would in mode check."""
        found = [result for result in results if isinstance(result, dict)]
        own = [change for change in changes if change["host"] == host]
        restarted: dict[str, float | None] = {}
        if mode == "check":
            restarted = {component: None for change in own for component in change["restart"]}
        for result in found:
            restarted.update(result.get("restarted") or {})
        return cls(
            host=host,
            changed=len(own),
            restarted=restarted,
            # Components of one task restart together, tasks come one after the other.
            seconds=sum(max(result["restarted"].values()) for result in found if result.get("restarted")),
            notes=tuple(note for result in found for note in result.get("notes") or []),
            not_done=tuple(note for result in found for note in result.get("not_done") or []),
            backup=next((result["backup"] for result in found if result.get("backup")), ""),
            issued=tuple(one for result in found for one in result.get("issued") or []),
            unsigned=tuple(one for result in found for one in result.get("unsigned") or []),
            about=estimate.of_host(own) if mode == "check" else 0,
            # A host that asked another one for a signature was called twice.
            certificates=tuple(
                next((result["certificates"] for result in reversed(found) if result.get("certificates")), [])
            ),
            at_last=tuple(last_words(found)),
        )


def last_words(results: t.Iterable[t.Any]) -> list[str]:
    """Return what results say of what a person does after the run, each sentence once, fit for the terminal."""
    found = [one for result in results if isinstance(result, dict) for one in result.get("at_last") or []]
    return [seen(str(one)) for one in dict.fromkeys(found)]


def _restarts(row: Row) -> str:
    return ", ".join(row.restarted) or "-"


def _seconds(row: Row) -> str:
    if row.about:
        return f"about {row.about}"
    return f"{row.seconds:.0f}" if row.seconds else "-"


def readiness(ready: int, others: int, tried: bool) -> str:
    """Return what preflight found, of the hosts that were looked at and the others.

    Args:
        ready: How many were looked at.
        others: How many were not.
        tried: Whether what control planes become was tried beside what runs.
    """
    if not ready:
        return "Whether a run can begin was not looked at on any host. Nothing was changed."
    beside = f"; hosts that were not looked at: {others}" if others else ""
    trial = (
        "What changes of control planes was tried beside what runs; etcd is only looked at."
        if tried
        else "No component was tried beside the running one; preflight.yml without --check does that, and a run does "
        "it first (kubeharden_trial)."
    )
    return f"Ready: nothing keeps a run from beginning on {ready} hosts{beside}. Nothing was changed. {trial}"


def render(
    rows: t.Sequence[Row],
    mode: str,
    run_id: str,
    report_dir: str,
    run_notes: t.Sequence[str] = (),
    every_end: bool = False,
    root: str = "/",
    way_back: bool = True,
) -> list[str]:
    """Return the lines: a table, what a person should know, where everything is, and what a person does next.

    What a host said is no word to the terminal: characters that cannot be seen are written out.

    Args:
        rows: Of the hosts.
        mode: check or run.
        run_id: The run.
        report_dir: Where its reports are.
        run_notes: Sentences about the run as a whole.
        every_end: Whether every certificate is listed, rather than those that were issued.
        root: kubeharden_root of one of the hosts.
        way_back: Whether rollback.yml puts this run back.
    """
    lines = _lines(rows, mode, run_notes, every_end)
    backups = {row.backup for row in rows if row.backup}
    if backups:
        where = "on each changed host" if root == "/" else "below kubeharden_root of each changed host"
        lines.append(
            f"Old bytes, owners and modes: {', '.join(sorted(backups))} {where}; "
            "record.json there says how each goes back."
        )
        if way_back:
            lines.append(f"To put them back: rollback.yml -e kubeharden_run_id={run_id}")
    lines.append(f"Run {run_id}: {report_dir}/changes.json")
    lines += dict.fromkeys(one for row in rows for one in row.at_last)
    return [seen(line) for line in lines]


def _lines(rows: t.Sequence[Row], mode: str, run_notes: t.Sequence[str], every_end: bool) -> list[str]:
    would = "would change" if mode == "check" else "changed"
    header = ("host", would, "would restart" if mode == "check" else "restarted", "seconds")
    lines = _table([header, *((row.host, str(row.changed), _restarts(row), _seconds(row)) for row in rows)])
    issued = [(row.host, one["name"], one["path"], one["not_after"]) for row in rows for one in row.issued]
    if every_end:
        lines += _every_end(rows, mode)
    elif issued:
        lines += _table([("host", "certificate", "in", "ends on"), *issued])[1:]
    unsigned = [(one["path"], one["authority"], one["subject"], one["names"]) for row in rows for one in row.unsigned]
    if unsigned:
        lines += _table([("to be signed", "by", "subject", "names"), *unsigned])[1:]
        lines.append("Lay each certificate beside its request, as .crt instead of .csr, and run again.")
    lines.extend(run_notes)
    lines += [f"{few(hosts)}: {note}" for note, hosts in _together((row.host, row.notes) for row in rows)]
    left = _together((row.host, row.not_done) for row in rows)
    lines += [f"Not done on {few(hosts)}: {sentence}" for sentence, hosts in left]
    return lines


def _every_end(rows: t.Sequence[Row], mode: str) -> list[str]:
    """Return the table of every certificate, host by host, those that end first before the others."""
    cells = [
        (row.host, one["name"] or "-", one["path"], one["not_after"], "yes" if one["new"] else "")
        for row in rows
        for one in sorted(row.certificates, key=lambda one: (one["not_after"], one["path"]))
    ]
    header = ("host", "certificate", "in", "ends on", "would be issued" if mode == "check" else "issued now")
    return _table([header, *cells])[1:] if cells else []


def _table(table: t.Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table), ""]


def _together(said: t.Iterable[tuple[str, t.Sequence[str]]]) -> t.Iterable[tuple[str, list[str]]]:
    """Return sentences that hosts said, each once with the hosts that it is true of."""
    hosts: dict[str, list[str]] = {}
    for host, sentences in said:
        for sentence in dict.fromkeys(sentences):
            hosts.setdefault(sentence, []).append(host)
    return hosts.items()
