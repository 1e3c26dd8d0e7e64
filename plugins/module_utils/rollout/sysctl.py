# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that the kubelet wants: set now, kept for the next boot, or left out with one sentence."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import sysctl
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, directory_change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    explain,
    make_directory,
    read_text,
    write_atomic,
)


class Sysctls:
    """Plans and sets the kernel settings of one host.

    Args:
        host: The host's file system; what the kernel has now is looked at where it is the host itself.
        wanted: By name, the setting: ``exact`` and ``control``.
        kernel: Where the kernel shows a setting, by its name; tests give their own.
    """

    def __init__(
        self,
        host: Host,
        wanted: t.Mapping[str, t.Mapping[str, t.Any]],
        kernel: t.Callable[[str], str] = sysctl.path_of,
    ) -> None:
        self._host = host
        self._values = {name: str(data["exact"]) for name, data in wanted.items()}
        self._controls = sorted({str(data["control"]) for data in wanted.values()})
        self._kernel = kernel
        self._changes: list[Change] = []
        #: What keeps them from being set, as half a sentence; empty where nothing does.
        self.reason = ""

    @property
    def trouble(self) -> str:
        """What keeps them from being set, as one sentence; empty where nothing does."""
        if not self.reason:
            return ""
        return (
            f"The kubelet's protectKernelDefaults was left out: {self.reason}. Nothing was changed of it; correct that "
            "and run again."
        )

    def plan(self) -> list[Change]:
        """Return what would change, without changing it; nothing where one of them cannot be had."""
        if not self._values:
            return []
        changes = self._now() if self._host.live else []
        self._later()
        if self.reason:
            return []
        before = read_text(self._host.path(sysctl.FILE))
        text = sysctl.render(self._values, self._controls)
        directory = os.path.dirname(sysctl.FILE)
        if not os.path.isdir(self._host.path(directory)):
            changes.insert(0, directory_change(self._host, directory, self._controls, 0o755))
        if before != text:
            changes.append(file_change("file", sysctl.FILE, before, text, self._controls))
        self._changes = changes
        return changes

    def _now(self) -> list[Change]:
        changes = []
        for name, value in self._values.items():
            path = self._kernel(name)
            found = self.value(name)
            if found == value:
                continue
            if found is None or not os.access(path, os.W_OK):
                state = "is not there" if found is None else f"is {found} and cannot be written"
                self._leave_out(f"{name} must be {value}, but {state} on this host")
                continue
            changes.append(Change("sysctl", name, "set", f"{found}\n", f"{value}\n", controls=tuple(self._controls)))
        return changes

    def _later(self) -> None:
        """See what a file behind ours would set at boot: the kubelet would not start after it."""
        behind = self._files(lambda name: name > os.path.basename(sysctl.FILE))
        for path, name, value in sysctl.overriding(behind, self._values):
            self._leave_out(f"{path} would set {name} to {value} at the next boot, and it must be {self._values[name]}")

    def _leave_out(self, reason: str) -> None:
        self.reason = self.reason or reason

    def _files(self, chosen: t.Callable[[str], bool]) -> list[tuple[str, str]]:
        """Return path and text of the files that are read at boot, those of sysctl.d by their names, in that order."""
        names: dict[str, str] = {}
        for directory in reversed(sysctl.DIRECTORIES):
            real = self._host.path(directory)
            for name in os.listdir(real) if os.path.isdir(real) else []:
                if name.endswith(".conf"):
                    names[name] = os.path.join(directory, name)
        paths = [names[name] for name in sorted(names) if chosen(name)]
        return [(path, read_text(self._host.path(path)) or "") for path in (*paths, sysctl.LAST)]

    def differing(self, wanted: t.Mapping[str, str]) -> list[str]:
        """Return half a sentence for each setting that is another now, or will be after the next boot."""
        found = []
        last = sysctl.last_words(self._files(lambda _name: True), wanted)
        for name, value in wanted.items():
            path = self._kernel(name)
            now = (read_text(path) or "").strip() if os.path.exists(path) else "missing"
            if now != value:
                found.append(f"{name} is {now}, not {value}")
            elif name not in last and value != "0":
                found.append(f"no file sets {name} to {value} at the next boot")
            elif name in last and last[name][1] != value:
                found.append(f"{last[name][0]} sets {name} to {last[name][1]} at the next boot, not {value}")
        return found

    def lacking(self, wanted: t.Mapping[str, str]) -> list[str]:
        """Return half a sentence for each setting that the kernel has otherwise and that was not planned to be set."""
        found = ((name, value, self.value(name)) for name, value in wanted.items() if name not in self.after)
        return [f"{name} is {now or 'missing'}, not {value}" for name, value, now in found if now != value]

    def value(self, name: str) -> str | None:
        """Return what the kernel has now, None where it knows no such setting."""
        path = self._kernel(name)
        return (read_text(path) or "").strip() if os.path.exists(path) else None

    @property
    def before(self) -> dict[str, str]:
        """By name, what the kernel has where it is given something else."""
        return {change.target: (change.before or "").strip() for change in self._changes if change.kind == "sysctl"}

    @property
    def after(self) -> dict[str, str]:
        """By the same names, what it is given."""
        return {change.target: (change.after or "").strip() for change in self._changes if change.kind == "sysctl"}

    def apply(self) -> None:
        """Set what was planned.

        Raises:
            HardeningError: What was refused, and why.
        """
        for change in self._changes:
            real, text = self._host.path(change.target), change.after or ""
            if change.kind == "sysctl":
                self.write(change.target, text.strip())
            elif change.kind == "directory":
                make_directory(real, 0o755)
            else:
                write_atomic(real, text.encode(), 0o644, (0, 0) if self._host.can_own else None)

    def write(self, name: str, value: str) -> None:
        """Give the kernel a value; what it does not keep is refused."""
        path = self._kernel(name)
        try:
            with open(path, "w", encoding="ascii") as stream:
                stream.write(f"{value}\n")
        except OSError as error:
            raise HardeningError("KH214", f"The kernel did not take {name} = {value}: {explain(error)}.") from error
        if (read_text(path) or "").strip() != value:
            raise HardeningError("KH214", f"The kernel did not keep {name} = {value}.")
