# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an unproven change is still its own: weeks may lie between a run that died and the next one.

Whoever has changed a path meanwhile, as ``kubeadm upgrade`` does, meant it: only what a dead run wrote goes back.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, sha256

#: What a path is where it is no file; None stands for nothing at all.
DIRECTORY, OTHER = "directory", "other"


@dataclasses.dataclass(frozen=True)
class Unproven:
    """The paths of a dead run's change.

    Attributes:
        run_id: The run.
        back: What goes back, in the order in which it was changed.
        left: Paths that somebody else has changed since, which stay as they are.
        beside: Paths that the run wrote and that stay, since what somebody else laid there may name them.
    """

    run_id: str
    back: t.Sequence[Saved]
    left: t.Sequence[str] = ()
    beside: t.Sequence[str] = ()

    def keep(self, paths: t.Collection[str]) -> Unproven:
        """Return the same where, of what would go back, these paths stay."""
        back = [entry for entry in self.back if entry.path not in paths]
        return dataclasses.replace(self, back=back, beside=[one.path for one in self.back if one.path in paths])

    def told(self) -> list[str]:
        """Return a sentence for each path that stays because of somebody else's change."""
        place = f"{STATE_DIRECTORY}/backups/{self.run_id}"
        sentences = [
            f"{path} has been changed by someone else since run {self.run_id} died there, so nothing of it was put "
            f"back; what it was before is in {place} on this host."
            for path in self.left
        ]
        if self.beside:
            sentences.append(f"What run {self.run_id} wrote to {', '.join(self.beside)} stays with it.")
        return sentences


def outcomes(changes: t.Iterable[Change], saved: t.Iterable[Saved]) -> dict[str, str | None]:
    """Return by path what a run makes of it, as its journal has it before the first write.

    Args:
        changes: What the run does.
        saved: Everything that it saved; what is only moved comes to what it was.
    """
    return {**{one.path: saved_state(one) for one in saved}, **{one.target: one.outcome for one in changes}}


def saved_state(saved: Saved) -> str | None:
    """Return what a path was when it was saved."""
    return {"file": saved.sha256, "absent": None}.get(saved.kind, DIRECTORY)


def sort(host: Host, pending: t.Mapping[str, t.Any]) -> Unproven:
    """Return what of a step of the journal goes back and what stays; what is as it was saved is neither.

    Args:
        host: The host's file system.
        pending: The step: ``run_id``, ``saved``, and in ``after`` what the run makes of each path. An older journal
            does not say that, so that all of it goes back.
    """
    saved = [Saved(**entry) for entry in pending["saved"]]
    if "after" not in pending:
        return Unproven(pending["run_id"], saved)
    away = pending.get("away") or {"manifest": "", "moved_to": ""}
    back, left = [], []
    for entry in saved:
        state = _state(host, entry.path)
        taken = entry.path == away["manifest"] and state is None and _state(host, away["moved_to"]) is not None
        if state == saved_state(entry):
            continue
        if taken or state == pending["after"].get(entry.path, state):
            back.append(entry)
        else:
            left.append(entry.path)
    return Unproven(pending["run_id"], back, left)


def is_whole(host: Host, pending: t.Mapping[str, t.Any]) -> bool:
    """Return whether each path is what the run makes of it, so that nothing but the proof was left; as for sort."""
    away = pending.get("away")
    if "after" not in pending or (away is not None and _state(host, away["moved_to"]) is not None):
        return False
    return all(_state(host, path) == state for path, state in pending["after"].items())


def _state(host: Host, path: str) -> str | None:
    real = host.path(path)
    if os.path.isdir(real):
        return DIRECTORY
    return OTHER if os.path.lexists(real) and not os.path.isfile(real) else sha256(read_bytes(real))
