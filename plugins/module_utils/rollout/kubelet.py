# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelet of one host: one write, one restart, one proof, or the way back. Its pods run on all the while."""

from __future__ import annotations

import dataclasses
import http.client
import os
import re
import socket
import time
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files, kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import Argument, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    KUBELET_CONFIGURATION,
    KUBELET_FLAGS,
    KUBELET_INSTANCE,
    KUBELET_OVERRIDES,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.sysctl import FILE as SYSCTLS, KUBELET
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, Saved, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    explain,
    read_text,
    require_room,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes import processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.pod_logs import LINES, telling
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask, mask_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kubelet_bounds
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.unproven import Unproven, outcomes, sort
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import SETTLED, THIS_STEP

Run = t.Callable[[list[str]], "tuple[int, str, str]"]

#: A kubelet that is refused ends within a second or two and is started again every ten: it must outlive one such round.
STEADY = 12.0
#: The field that makes a kubelet ask for a serving certificate.
ASKS = "serverTLSBootstrap"
INTERVAL = 0.5
#: What systemd calls the process of a unit that has none.
_NO_PROCESS = ("", "0")
#: Environment files that give a kubelet flags, and the variable that holds them; a later one beats an earlier one.
_PLACES = (
    (KUBELET_FLAGS, kubelet_files.KUBEADM_ARGUMENTS),
    *((path, kubelet_files.OWN_ARGUMENTS) for path in KUBELET_OVERRIDES),
)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Service:
    """How the kubelet is restarted and seen; tests give their own.

    Attributes:
        run: Runs a command of the host.
        healthy: Whether its health port answers 200; where it has none, whether it runs.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
        ready: Whether its node is Ready by the word of a kubelet that was there since a moment (seconds since the
            epoch); None where nobody knows.
        now: Seconds since the epoch.
        must_be_ready: Whether its node must be Ready after a restart even where it is not before.
    """

    run: Run
    healthy: t.Callable[[], bool]
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]
    ready: t.Callable[[float], bool | None] = lambda _since: None
    now: t.Callable[[], float] = time.time
    must_be_ready: bool = False


def health_probe(
    configuration: t.Mapping[str, t.Any], arguments: t.Callable[[], t.Sequence[str]]
) -> t.Callable[[], bool]:
    """Return a probe of the kubelet's health port, where its flags put it, else its configuration.

    Args:
        configuration: The kubelet's.
        arguments: The argument vector of the kubelet that runs, empty for none. It is asked each time: a change may
            be one of flags.
    """

    def healthy() -> bool:
        running = arguments()
        address, port = _health_place(configuration, running)
        if not port:
            return bool(running)  # whoever proves it looks that it stays the same process
        connection = http.client.HTTPConnection(address, port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # not up yet, which is what is asked
        finally:
            connection.close()

    return healthy


def _health_place(configuration: t.Mapping[str, t.Any], arguments: t.Sequence[str]) -> tuple[str, int]:
    """Return address and port of a kubelet's health port; the port is 0 where it has none."""
    flags = {argument.name: argument.effective for argument in parse_arguments(arguments[1:])}
    address = flags.get("healthz-bind-address") or configuration.get("healthzBindAddress") or "127.0.0.1"
    given = str(flags.get("healthz-port", configuration.get("healthzPort")))
    # What is no port was written behind the back of a kubelet that runs.
    port = int(given) if _PORT.fullmatch(given) else 10248
    return str(address), port if port < 65536 else 10248


def service(
    configuration: t.Mapping[str, t.Any], run: Run, ready: t.Callable[[float], bool | None] = lambda _since: None
) -> Service:
    """Return the real ways to restart and see a kubelet of this configuration, and whether its node is Ready."""

    def arguments() -> list[str]:
        pid = _state(run).get("MainPID", "")
        return processes.arguments_of(int(pid)) if pid.isdigit() and pid not in _NO_PROCESS else []

    return Service(run, health_probe(configuration, arguments), time.monotonic, time.sleep, ready)


class Kubelet:
    """Plans and applies the configuration of one host's kubelet.

    Args:
        host: The host's file system.
        found: What discovery says of the kubelet.
        settings: By field, the setting. One with ``needs: sysctls`` is of this node alone, once its kernel has what the
            kubelet asks of it: a new node would not start with it, so kubeadm's ConfigMap never has it.
        node: The node's name, for sentences.
        sysctls: The kernel's settings.
        flags: The user's own flags, by name.
        remembered: By field, what kubeadm's ConfigMap will say (`kubelet_bounds.remembered`); empty where nobody knows.
    """

    def __init__(
        self,
        host: Host,
        found: t.Mapping[str, t.Any],
        settings: t.Mapping[str, t.Mapping[str, t.Any]],
        node: str,
        sysctls: Sysctls | None = None,
        flags: t.Mapping[str, str] | None = None,
        remembered: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self._host = host
        self._found = found
        self._settings = settings
        self._node = node
        self._sysctls = sysctls or Sysctls(host, {})
        self._flags = flags or {}
        self._remembered = remembered or {}
        self._path = str(found["configuration_file"])
        self._kernel: list[Change] = []
        self._files: list[Change] = []
        #: What files will say that the run changes and of which what else is decided depends, by path.
        self._texts: dict[str, str] = {}
        #: For which controls the run takes something out of what beats the configuration, by path.
        self._mended: dict[str, set[str]] = {}
        #: Whether the kubelet asks for a serving certificate, by the change or since a run that approved none.
        self.asks = False
        #: What a person should know, as sentences.
        self.notes: list[str] = []
        #: What is not in force though it is written, as sentences.
        self.not_done: list[str] = []

    def plan(self) -> list[Change]:
        """Return what would change, without changing it."""
        before = read_text(self._host.path(self._path))
        if before is None:
            raise HardeningError(
                "KH109",
                f"The kubelet's configuration {self._path} is missing. Nothing was changed; put it back and run again.",
            )
        self._kernel, self._texts, self._mended = self._sysctls.plan(), {}, {}
        self._set_flags()
        if self._sysctls.trouble:
            self._settings = {field: data for field, data in self._settings.items() if "needs" not in data}
        after, controls = kubeletconfig.apply(before, self._settings, self._path)
        self._mend(after)
        if ASKS in self._settings and not kubeletconfig.asks(self._effective(after), self._flags_then()):
            # Overridden: a certificate that it does not ask for must not be named, or it would not start.
            self._settings = {field: one for field, one in self._settings.items() if field not in kubeletconfig.NAMED}
            after, controls = kubeletconfig.apply(before, self._settings, self._path)
        self.notes = [self._sysctls.trouble] if self._sysctls.trouble else []
        self._texts[self._path] = after
        self.not_done = self._overridden(after)
        self.asks = ASKS in self._settings and self._will_ask(after)
        self._files = []
        if after != before:
            self._files.append(file_change("file", self._path, before, after, controls, ["kubelet"]))
        self._plan_instance(after)
        self._plan_flags()
        self._plan_mended()
        self._tell_of_old_flags()
        return [*self._kernel, *self._files]

    def _plan_instance(self, text: str) -> None:
        """Let kubeadm lay over its ConfigMap what is of this node alone, at each upgrade.

        That is what needs something of the node, and what the owner has stricter than the ConfigMap says in the
        kubelet's file, which will have this text.
        """
        before = read_text(self._host.path(KUBELET_INSTANCE))
        ours = {field: data for field, data in self._settings.items() if "needs" in data}
        owners: dict[str, t.Mapping[str, t.Any]] = {}
        if self._path == KUBELET_CONFIGURATION:  # kubeadm writes no other
            configuration = kubeletconfig.fields(text, self._path)
            owners = kubelet_bounds.unremembered(self._settings, configuration, self._remembered)
        if before is None:
            for own, then in ((ours, "run harden.yml again"), (owners, "put yours back")):
                if own:
                    self.notes.append(
                        f"The kubeadm of {self._node} has no {KUBELET_INSTANCE} in which to keep {' and '.join(own)}, "
                        f"so kubeadm upgrade takes it away: {then} afterwards."
                    )
            return
        after, controls = kubeletconfig.apply(before, {**ours, **owners}, KUBELET_INSTANCE, None)
        if after != before:
            self._files.append(file_change("file", KUBELET_INSTANCE, before, after, controls))

    def _set_flags(self) -> None:
        """Give the kubelet the user's flags where kubeadm has its own, which every upgrade keeps."""
        if not self._flags:
            return
        if not self._reads(KUBELET_FLAGS, kubelet_files.KUBEADM_ARGUMENTS):
            raise HardeningError(
                "KH122",
                f"kubeharden_extra_flags: the unit of the kubelet of {self._node} does not read {KUBELET_FLAGS}, where "
                "its flags would be written. Nothing was changed; leave them away, or start it as kubeadm does.",
            )
        self._texts[KUBELET_FLAGS] = kubelet_files.set_flags(self._text(KUBELET_FLAGS) or "", self._flags)

    def _plan_flags(self) -> None:
        """Plan the file of kubeadm's flags, and say what beats a flag of the user's."""
        before, after = self._on_disk(KUBELET_FLAGS), self._texts.get(KUBELET_FLAGS)
        if after is not None and after != before:
            controls = sorted(self._mended.get(KUBELET_FLAGS, ()))
            self._files.append(file_change("file", KUBELET_FLAGS, before, after, controls, ["kubelet"]))
        for path in KUBELET_OVERRIDES:
            for argument in self._arguments(path, kubelet_files.OWN_ARGUMENTS):
                if argument.name in self._flags and argument.effective != self._flags[argument.name]:
                    shown = mask(f"--{argument.name}={argument.effective}")
                    self.notes.append(
                        f"kubeharden_extra_flags: {shown} in {path} beats it for the kubelet; take it out there."
                    )

    def _plan_mended(self) -> None:
        """Plan the files of the owner's out of which something is taken."""
        for path, controls in self._mended.items():
            before, after = self._on_disk(path), self._text(path)
            if path != KUBELET_FLAGS and after is not None and after != before:
                self._files.append(file_change("file", path, before, after, sorted(controls), ["kubelet"]))

    def _mend(self, text: str) -> None:
        """Take what falls short out of what beats the configuration file, which will have this text.

        As in a static pod's manifest: what is as good, or stricter, is the owner's and stays.
        """
        for field, data in self._settings.items():
            flag = kubeletconfig.OVERRIDING_FLAGS.get(field)
            if flag is not None:
                self._mend_flag(flag, data)
            if flag not in self._flags_then():
                self._mend_drop_in(field, data, text)

    def _mend_flag(self, flag: str, data: t.Mapping[str, t.Any]) -> None:
        """Take a flag out of the environment files, the one that counts first, until what is left is good enough."""
        for path, variable in reversed(_PLACES):
            value = self._flags_then().get(flag)
            if value is None or kubeletconfig.flag_good_enough(data, value):
                return
            own = [one.effective for one in self._arguments(path, variable) if one.name == flag]
            wanted = path == KUBELET_FLAGS and flag in self._flags  # kubeharden_extra_flags says so
            text = self._text(path) or ""
            if (
                wanted
                or not own
                or kubeletconfig.flag_good_enough(data, own[-1])
                or not self._reads(path, variable)
                or not kubelet_files.is_plain(text, variable)
            ):
                continue
            instead = kubeletconfig.flag_instead(data, own[-1])
            self._take(path, kubelet_files.set_flags(text, {flag: instead}, variable), data)

    def _mend_drop_in(self, field: str, data: t.Mapping[str, t.Any], text: str) -> None:
        """Write a setting into the drop-in that takes it back, the last one that has it."""
        value = kubeletconfig.at(self._effective(text), field)
        paths = [path for path, one in self._drop_ins() if kubeletconfig.at(one, field) is not None]
        if not paths or kubeletconfig.good_enough(data, value):
            return
        try:
            after, _controls = kubeletconfig.apply(self._text(paths[-1]) or "", {field: data}, paths[-1], None)
        except HardeningError:
            return  # what is written in another way than it can be edited in is told
        self._take(paths[-1], after, data)

    def _take(self, path: str, text: str, data: t.Mapping[str, t.Any]) -> None:
        self._texts[path] = text
        self._mended.setdefault(path, set()).add(str(data.get("control", "")))

    def _tell_of_old_flags(self) -> None:
        """Say how the kubelet that runs and its next start differ, as its flags were changed and it not restarted."""
        now, written, then = self._found.get("flags", {}), self._next_flags(self._on_disk), self._flags_then()
        differing = sorted(name for name in {*now, *written} if now.get(name) != written.get(name))
        if any(change.restart for change in self._files):
            coming = [f"--{name}={then[name]}" for name in differing if name in then and then[name] != now.get(name)]
            going = [f"--{name}" for name in differing if name in now and name not in then]
            words = [f"puts {' and '.join(coming)} in force"] if coming else []
            words += [f"takes {' and '.join(going)} away"] if going else []
            if words:
                self.notes.append(
                    f"The kubelet of {self._node} was not restarted when its flags were changed: its restart now "
                    f"{mask(' and '.join(words))}."
                )
            return
        for field, data in self._settings.items():
            flag = kubeletconfig.OVERRIDING_FLAGS.get(field)
            if flag in differing and flag in now and not kubeletconfig.flag_good_enough(data, now[flag]):
                self.not_done.append(
                    f"The kubelet of {self._node} still runs with --{flag}={now[flag]}, which is not among the flags "
                    "of its next start any more; restart it (systemctl restart kubelet)."
                )

    def _on_disk(self, path: str) -> str | None:
        return read_text(self._host.path(path))

    def _text(self, path: str) -> str | None:
        """Return what a file will say, None where there is none."""
        return self._texts[path] if path in self._texts else self._on_disk(path)

    def _units(self) -> list[str]:
        return [self._on_disk(unit) or "" for unit in self._found["units"]]

    def _reads(self, path: str, variable: str) -> bool:
        """Return whether the kubelet's unit gives it what a variable of an environment file holds."""
        return any(kubelet_files.reads(unit, path, variable) for unit in self._units())

    def _drop_ins(self) -> list[tuple[str, dict[str, t.Any]]]:
        """Return path and content of each drop-in, in the order in which they are laid over the file."""
        paths = self._host.files_below(self._flags_then().get("config-dir"), kubelet_files.DROP_INS)
        return [(path, kubelet_files.load(self._text(path) or "{}", path)) for path in paths]

    def _effective(self, text: str) -> dict[str, t.Any]:
        """Return what the kubelet is configured with, but for its flags, when its file has this text."""
        merged = kubeletconfig.fields(text, self._path)
        for _path, drop_in in self._drop_ins():
            merged = kubelet_files.merge(merged, drop_in)
        return merged

    def _flags_then(self) -> dict[str, str]:
        """Return the kubelet's flags when it is started again, with what the run changes of them."""
        return self._next_flags(self._text)

    def _next_flags(self, read: t.Callable[[str], str | None]) -> dict[str, str]:
        """Return the kubelet's flags at a start where files say what that returns.

        They need not be those that it runs with: a restart brings whatever was written since its last start.
        """
        hostname = socket.gethostname() if self._host.live else ""
        words = kubelet_files.command_line(self._units(), read, hostname)
        return kubelet_files.next_flags(mask_arguments(words), self._found.get("flags", {}))

    def _arguments(self, path: str, variable: str) -> list[Argument]:
        """Return the flags that a variable of an environment file gives the kubelet."""
        return parse_arguments(kubelet_files.arguments_in(self._text(path) or "", variable))

    def _place_of(self, flag: str) -> str:
        """Return the file that gives the kubelet a flag, the one that counts where there are several."""
        for path, variable in reversed(_PLACES):
            if any(argument.name == flag for argument in self._arguments(path, variable)):
                return path
        return "its unit"

    def _will_ask(self, text: str) -> bool:
        """Return whether the kubelet waits for a serving certificate when its file has this text.

        One that asked before waits as long as it has got none: a run that failed may not have come to its approval.
        """
        now, then = self._found.get("flags", {}), self._flags_then()
        has = os.path.exists(self._host.path(kubeletconfig.current_certificate(then)))
        asked = kubeletconfig.asks(self._found["configuration"], now)
        return kubeletconfig.asks(self._effective(text), then) and not (asked and has)

    def _overridden(self, text: str) -> list[str]:
        """Say which settings a drop-in or a flag of the owner's takes back: those beat the file, of this text."""
        flags, effective, file = self._flags_then(), self._effective(text), kubeletconfig.fields(text, self._path)
        told = []
        for field, data in self._settings.items():
            flag = kubeletconfig.OVERRIDING_FLAGS.get(field)
            value = kubeletconfig.at(effective, field)
            if flag in flags:
                if not kubeletconfig.flag_good_enough(data, flags[flag]):
                    told.append(
                        f"The kubelet's flag --{flag}={flags[flag]} in {self._place_of(flag)} beats {field} in "
                        f"{self._path}, so that it is not in force; take the flag out there."
                    )
            elif value != kubeletconfig.at(file, field) and not kubeletconfig.good_enough(data, value):
                paths = [path for path, one in self._drop_ins() if kubeletconfig.at(one, field) is not None]
                place = paths[-1] if paths else "a drop-in"
                told.append(
                    f"{field}: {kubeletconfig.as_text(value)} in {place} beats {self._path}, so that ours is not in "
                    "force; take it out there."
                )
        return told

    def apply(self, backup: Backup, service: Service | None, limit: float) -> float | None:
        """Write, restart and prove; returns seconds until it was proven well, None where nothing was restarted.

        Raises:
            HardeningError: What stopped it; the old bytes are back then.
        """
        changes = [change for change in (*self._kernel, *self._files) if change.kind != "sysctl"]
        if not changes and not self._kernel:
            return None
        self._require_kernel()
        for change in self._files:
            require_room(os.path.dirname(self._host.path(change.target)), len((change.after or "").encode()))
        journal = Journal(self._host)
        for change in self._kernel:
            if change.kind == "sysctl":
                backup.note(
                    "sysctl", change.target, before=(change.before or "").strip(), after=(change.after or "").strip()
                )
        saved = backup.save_changes(changes)
        pending = {
            "run_id": os.path.basename(backup.directory),
            "saved": [dataclasses.asdict(one) for one in saved],
            "after": outcomes(changes, saved),
            "sysctls": self._sysctls.before,
            "sysctls_after": self._sysctls.after,
        }
        journal.note(kubelet=pending)
        try:
            self._sysctls.apply()
            for change in self._files:
                self._write(change)
        except HardeningError as error:
            state = _not_back(self._go_back(backup, saved)) or "The old bytes are back."
            raise HardeningError(
                error.number, f"{error} The kubelet of {self._node} was not restarted. {state} Mend that and run again."
            ) from error
        seconds = None
        if service is not None and any(change.restart for change in self._files):
            trouble = restart(service, limit)
            if isinstance(trouble, str):
                left = _not_back(self._go_back(backup, saved))
                again = restart(service, limit)
                state = (
                    f"{left} The kubelet with what is there now"
                    if left
                    else "The old bytes are back and the old kubelet"
                )
                well = f"is not well either: {again}" if isinstance(again, str) else "is proven well"
                raise HardeningError(
                    "KH207",
                    f"The kubelet of {self._node} did not come up with the changed {_listed(self._files)}: {trouble} "
                    f"{state} {well}; its pods ran on.",
                )
            seconds = trouble
        journal.strike("kubelet")
        return seconds

    def _require_kernel(self) -> None:
        """Refuse a restart at which a kubelet that insists on its kernel's settings would end, and the old one too."""
        if not self._host.live or not any(change.restart for change in self._files) or not self._will_insist():
            return
        lacking = self._sysctls.lacking(KUBELET)
        if lacking:
            raise HardeningError(
                "KH139",
                f"The kubelet of {self._node} insists on its kernel's settings (protectKernelDefaults) and would not "
                f"start again: {'; '.join(lacking)}. {THIS_STEP}; set them in /etc/sysctl.d and with sysctl --system, "
                "and run again.",
            )

    def _will_insist(self) -> bool:
        """Return whether the kubelet insists after the change. A drop-in or a flag that beats the file still does."""
        return kubeletconfig.insists(self._effective(self._text(self._path) or ""), self._flags_then())

    def _go_back(self, backup: Backup, saved: t.Sequence[Saved]) -> list[str]:
        """Put everything back; returns a sentence for each that did not go back, for which the journal stays."""
        problems = _put_back(self._host, backup, saved, self._sysctls.before)
        if not problems:
            Journal(self._host).strike("kubelet")
        return problems

    def _write(self, change: Change) -> None:
        real = self._host.path(change.target)
        mode, uid, gid = 0o644, 0, 0
        if change.before is not None:
            try:
                status = os.stat(real)
            except OSError as error:
                raise HardeningError(
                    "KH201", f"{change.target} could not be written: {explain(error)}. It was left as it was."
                ) from error
            mode, uid, gid = status.st_mode & 0o7777, status.st_uid, status.st_gid
        write_atomic(real, (change.after or "").encode(), mode, (uid, gid) if self._host.can_own else None)


def _listed(changes: t.Sequence[Change]) -> str:
    return " and ".join(change.target for change in changes if change.restart)


def _not_back(problems: t.Sequence[str]) -> str:
    return f"Not all of the old bytes are back: {' '.join(problems)} The next run tries once more." if problems else ""


def _put_back(host: Host, backup: Backup, saved: t.Sequence[Saved], sysctls: t.Mapping[str, str]) -> list[str]:
    """Put back files and the kernel's settings; return a sentence for each that did not go back."""
    problems = backup.put_back(saved)
    kernel = Sysctls(host, {})
    for name, value in sysctls.items():
        if kernel.value(name) == value:
            continue
        try:
            kernel.write(name, value)
        except HardeningError as error:
            problems.append(f"{name} did not go back to {value}: {error}")
    return problems


def restart(service: Service, limit: float) -> float | str:
    """Restart the kubelet; return the seconds until it was proven well, or what is wrong with it.

    A node that is Ready before must be so after, and so must one that is only not heard of since this run took its API
    server away. For others that are not, or where the API does not say, the kubelet's own health is the proof.
    """
    begun = service.clock()
    was_ready = service.ready(0.0) or service.must_be_ready
    code, _out, error = service.run(["systemctl", "restart", "kubelet"])
    if code != 0:
        return f"systemctl restart kubelet: {error.strip()}."
    pid, since, moment, trouble = "", begun, service.now(), "it was not well"
    while service.clock() - begun < limit:
        state = _state(service.run)
        if state.get("ExecMainStatus", "0") != "0" and state.get("SubState") == "auto-restart":
            words = _last_words(service.run, moment)
            return f"it ended with exit code {state['ExecMainStatus']}. Its last words: {words}"
        now = state.get("MainPID", "")
        if now != pid or now in _NO_PROCESS or not service.healthy():
            pid, since = now, service.clock()
        elif service.clock() - since >= STEADY:
            ready = service.ready(moment) if was_ready else True
            if ready or (ready is None and service.clock() - since >= STEADY + SETTLED):
                return service.clock() - begun
            trouble = "it is well, but its node was not Ready"
        service.sleep(INTERVAL)
    return f"{trouble} within {limit:.0f} s. Its last words: {_last_words(service.run, moment)}"


def _state(run: Run) -> dict[str, str]:
    properties = "MainPID,SubState,ExecMainStatus,InvocationID"
    _code, out, _error = run(["systemctl", "show", "kubelet", f"--property={properties}"])
    return dict(line.partition("=")[::2] for line in out.splitlines() if "=" in line)


def _last_words(run: Run, since: float) -> str:
    """Return the line of the kubelet that was started last which most likely says what is wrong with it, quoted.

    Lines of one that ended at once may have no invocation in the journal: of those the time decides.
    """
    invocation = _state(run).get("InvocationID", "")
    of_it = [[f"_SYSTEMD_INVOCATION_ID={invocation}"]] if invocation else []
    for chosen in (*of_it, ["--unit=kubelet", f"--since=@{int(since)}"]):
        _code, out, _error = run(["journalctl", *chosen, "--no-pager", "--output=cat", f"--lines={LINES}"])
        lines = [mask(line.strip()) for line in out.splitlines() if line.strip()]
        if lines:
            return f'"{telling(lines)}".'
    return '"none".'


def recover(host: Host, service: Service | None, limit: float) -> list[str]:
    """Put back a kubelet's configuration that a run which died had not proven; returns what was done, as sentences."""
    journal = Journal(host)
    pending = journal.read().get("kubelet")
    if pending is None:
        return []
    found, sysctls = unproven(host, pending)
    problems = _put_back(host, Backup(host, pending["run_id"]), found.back, sysctls)
    if problems:
        raise HardeningError(
            "KH406", f"Run {pending['run_id']} died before its kubelet was proven. {' '.join(problems)}"
        )
    # Struck out before the proof: what a person mends by hand after this must not be put back once more.
    journal.strike("kubelet")
    paths = ", ".join(one.path for one in found.back)
    done = f"{paths} went back to what it was" if paths else "there was nothing to put back"
    # A kubelet whose files are all somebody else's by now is not this run's to restart.
    if service is not None and (found.back or not found.left):
        trouble = restart(service, limit)
        if isinstance(trouble, str):
            raise HardeningError(
                "KH406",
                f"A run died here before its kubelet was proven: {done}, but the kubelet is not well: {trouble} Mend "
                "that and run again." + "".join(f" {sentence}" for sentence in found.told()),
            )
    return [f"Run {pending['run_id']} died before its kubelet was proven: {done}.", *found.told()]


def unproven(host: Host, pending: t.Mapping[str, t.Any]) -> tuple[Unproven, dict[str, str]]:
    """Return what of the journal's step ``kubelet`` goes back: files, and by name the kernel's settings.

    Where a file of the kubelet's is somebody else's by now, the kernel's settings stay: it may insist on them.
    """
    found, kernel = sort(host, pending), Sysctls(host, {})
    if any(path != SYSCTLS for path in found.left):
        return found.keep([SYSCTLS]), {}
    made = pending.get("sysctls_after", {})
    sysctls = pending["sysctls"]
    ours = {name: value for name, value in sysctls.items() if name not in made or kernel.value(name) == made[name]}
    return found, ours
