# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of one host: one write, one restart, one proof, or the way back. Its pods run on all the while."""

from __future__ import annotations

import dataclasses
import http.client
import os
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, Saved, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text, require_room, write_atomic
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

Run = t.Callable[[list[str]], "tuple[int, str, str]"]

#: A kubelet that is refused ends within a second or two and is started again every ten: it must outlive one such round.
STEADY = 12.0
INTERVAL = 0.5
_LINES = 20


@dataclasses.dataclass(frozen=True)
class Service:
    """How the kubelet is restarted and seen; tests give their own.

    Attributes:
        run: Runs a command of the host.
        healthy: Whether its health port answers 200.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
    """

    run: Run
    healthy: t.Callable[[], bool]
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]


def health_probe(configuration: t.Mapping[str, t.Any]) -> t.Callable[[], bool]:
    """Return a probe of the kubelet's health port, where its configuration puts it."""
    address = str(configuration.get("healthzBindAddress") or "127.0.0.1")
    port = int(configuration.get("healthzPort") or 10248)

    def healthy() -> bool:
        connection = http.client.HTTPConnection(address, port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # not up yet, which is what is asked
        finally:
            connection.close()

    return healthy


def service(configuration: t.Mapping[str, t.Any], run: Run) -> Service:
    """Return the real ways to restart and see a kubelet of this configuration."""
    return Service(run, health_probe(configuration), time.monotonic, time.sleep)


class Kubelet:
    """Plans and applies the configuration of one host's kubelet.

    Args:
        host: The host's file system.
        found: What discovery says of the kubelet.
        settings: By field, the setting.
        node: The node's name, for sentences.
    """

    def __init__(
        self, host: Host, found: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Mapping[str, t.Any]], node: str
    ) -> None:
        self._host = host
        self._found = found
        self._settings = settings
        self._node = node
        self._path = str(found["configuration_file"])
        self._change: Change | None = None
        #: What a person should know, as sentences.
        self.notes: list[str] = []

    def plan(self) -> list[Change]:
        """Return what would change, without changing it."""
        before = read_text(self._host.path(self._path))
        if before is None:
            raise HardeningError(f"The kubelet's configuration {self._path} is missing. Nothing was changed.")
        after, controls = kubeletconfig.apply(before, self._settings, self._path)
        self.notes = self._overridden()
        if after == before:
            return []
        self._change = file_change("file", self._path, before, after, controls, ["kubelet"])
        return [self._change]

    def _overridden(self) -> list[str]:
        """Say which settings a drop-in or a flag of the owner's takes back: those beat the file."""
        flags = self._found.get("flags", {})
        effective = self._found["configuration"]
        file = kubeletconfig.fields(read_text(self._host.path(self._path)) or "", self._path)
        notes = []
        for field, data in self._settings.items():
            flag = kubeletconfig.OVERRIDING_FLAGS.get(field)
            value, in_file = kubeletconfig.at(effective, field), kubeletconfig.at(file, field)
            if flag in flags and not kubeletconfig.good_enough(data, kubeletconfig.from_flag(data, flags[flag])):
                notes.append(
                    f"The kubelet's flag --{flag}={flags[flag]} beats {field} in {self._path}; take it out there."
                )
            elif value != in_file and not kubeletconfig.good_enough(data, value):
                notes.append(f"A drop-in of the kubelet's beats {field} in {self._path}; take it out there.")
        return notes

    def apply(self, backup: Backup, service: Service | None, limit: float) -> float | None:
        """Write, restart and prove; returns seconds until it was proven well, None where nothing was restarted.

        Raises:
            HardeningError: What stopped it; the old bytes are back then.
        """
        change = self._change
        if change is None:
            return None
        real = self._host.path(self._path)
        require_room(os.path.dirname(real), len((change.after or "").encode()))
        journal = Journal(self._host)
        saved = backup.save_step(self._path)
        journal.note(kubelet={"run_id": os.path.basename(backup.directory), "saved": dataclasses.asdict(saved)})
        status = os.stat(real)
        owner = (status.st_uid, status.st_gid) if self._host.can_own else None
        write_atomic(real, (change.after or "").encode(), status.st_mode & 0o7777, owner)
        seconds = None
        if service is not None:
            trouble = restart(service, limit)
            if isinstance(trouble, str):
                backup.restore(saved)
                journal.strike("kubelet")
                again = restart(service, limit)
                state = f"is not well either: {again}" if isinstance(again, str) else "is proven well"
                raise HardeningError(
                    f"The kubelet of {self._node} did not come up with the changed {self._path}: {trouble} The old "
                    f"bytes are back and the old kubelet {state}; its pods ran on."
                )
            seconds = trouble
        journal.strike("kubelet")
        return seconds


def restart(service: Service, limit: float) -> float | str:
    """Restart the kubelet; return the seconds until it was proven well, or what is wrong with it."""
    begun = service.clock()
    code, _out, error = service.run(["systemctl", "restart", "kubelet"])
    if code != 0:
        return f"systemctl restart kubelet: {error.strip()}."
    pid, since = "", begun
    while service.clock() - begun < limit:
        state = _state(service.run)
        if state.get("ExecMainStatus", "0") != "0" and state.get("SubState") == "auto-restart":
            return f"it ended with exit code {state['ExecMainStatus']}. Its last words: {_last_words(service.run)}"
        if state.get("MainPID") != pid or not service.healthy():
            pid, since = state.get("MainPID", ""), service.clock()
        elif service.clock() - since >= STEADY:
            return service.clock() - begun
        service.sleep(INTERVAL)
    return f"it was not well within {limit:.0f} s. Its last words: {_last_words(service.run)}"


def _state(run: Run) -> dict[str, str]:
    _code, out, _error = run(["systemctl", "show", "kubelet", "--property=MainPID,SubState,ExecMainStatus"])
    return dict(line.partition("=")[::2] for line in out.splitlines() if "=" in line)


def _last_words(run: Run) -> str:
    _code, out, _error = run(["journalctl", "--unit=kubelet", "--no-pager", "--output=cat", f"--lines={_LINES}"])
    lines = [mask(line.strip()) for line in out.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "failed" in line or "panic" in line]
    return f'"{(telling or lines or ["none"])[-1]}".'


def recover(host: Host, service: Service | None, limit: float) -> list[str]:
    """Put back a kubelet's configuration that a run which died had not proven; returns what was done, as sentences."""
    journal = Journal(host)
    pending = journal.read().get("kubelet")
    if pending is None:
        return []
    saved = Saved(**pending["saved"])
    Backup(host, pending["run_id"]).restore(saved)
    if service is not None:
        trouble = restart(service, limit)
        if isinstance(trouble, str):
            raise HardeningError(f"A run died here and {saved.path} went back, but the kubelet is not well: {trouble}")
    journal.strike("kubelet")
    return [f"Run {pending['run_id']} died before its kubelet was proven: {saved.path} went back to what it was."]
