# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial start: the kubelet runs the future manifest once, beside the running component, before any change."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest, trial_manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    explain,
    make_directory,
    read_text,
    remove_file,
    write_atomic,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    INTERVAL,
    Failure,
    Sight,
    Watcher,
    matches,
)

#: A good API server was ready after 4 s on a quiet machine and after 110 s on one that was overloaded. Those of all
#: control planes start at once, and hosts may share a machine.
LIMIT = 180.0
#: Seconds that the kubelet may take to end the trial's pod: its grace of 30 s and its own rounds.
_END = 90.0
_SUFFIX = "-kubeharden-trial"


def trial_name(component: str) -> str:
    """Return the name of the trial's pod."""
    return component + _SUFFIX


def is_trial(file: str) -> bool:
    """Return whether the name of a file in the manifests directory is that of a trial."""
    return file.endswith(f"{_SUFFIX}.yaml")


def _free_ports(count: int) -> list[int]:
    """Return as many ports that nobody listens on, each another."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _number in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What one component is tried with.

    Attributes:
        component: kube-apiserver, kube-controller-manager or kube-scheduler.
        manifest: What it is going to be started with.
        files: The future text of configuration files that this run changes, by path on the host.
        created: Directories on the host that this run is going to make and mount.
        log_file: The future audit log; two processes must not rotate one file.
    """

    component: str
    manifest: Manifest
    files: t.Mapping[str, str]
    created: t.Sequence[str]
    log_file: str | None

    @property
    def log(self) -> str | None:
        """The audit log of the trial, as its process names it."""
        return f"{os.path.dirname(self.log_file)}/{trial_name(self.component)}.log" if self.log_file else None

    @property
    def log_on_host(self) -> str | None:
        """The same, where it lies on the host."""
        return self.manifest.host_path_of(self.component, self.log) if self.log else None


class TrialFailure(Failure):
    """A component that did not come up in its trial.

    Attributes:
        component: Its name.
        others: Those that were tried at the same time and did not come up either.
    """

    def __init__(self, component: str, failure: Failure, others: t.Sequence[TrialFailure] = ()) -> None:
        super().__init__(failure.reason, failure.lines)
        self.component = component
        self.others = list(others)


class Trial:
    """Tries future manifests on one host, and takes away what a dead run left of its trial.

    Args:
        host: The host's file system.
        journal: Names the trial before it is laid down.
        sight: How the host is seen; None where only leftovers are to be removed.
    """

    def __init__(self, host: Host, journal: Journal, sight: Sight | None = None) -> None:
        self._host = host
        self._journal = journal
        self._sight = sight

    def clean(self) -> list[str]:
        """Remove what a run that died left of its trial, and return the paths of its manifests.

        Raises:
            TrialFailure: A process of it does not end.
        """
        left = self._journal.read().get("trial")
        if left is None:
            return []
        texts = {path: read_text(self._host.path(path)) for path in left["manifests"]}
        self._remove(left)
        for path, text in texts.items():
            if text is not None and self._sight is not None:
                # Else the dying trial would be taken for the component.
                component = os.path.basename(path)[: -len(f"{_SUFFIX}.yaml")]
                self._await_end(component, Manifest.parse(text, path).arguments(component))
        self._remove_logs(left["logs"])
        self._journal.strike("trial")
        return list(left["manifests"])

    def _remove(self, trial: t.Mapping[str, t.Any]) -> None:
        for path in trial["manifests"]:
            remove_file(self._host.path(path))
        try:
            shutil.rmtree(self._host.path(trial["directory"]))
        except FileNotFoundError:
            return
        except OSError as error:
            raise HardeningError(
                "KH215",
                f"{trial['directory']}, which holds what a trial read, could not be removed: {explain(error)}. "
                "No component was changed; remove it and run again.",
            ) from error

    def run(self, attempts: t.Sequence[Attempt], directory: str) -> None:
        """Start future manifests under other names, all at once, and wait until each was well.

        Args:
            attempts: What is tried.
            directory: The manifests directory.

        Raises:
            TrialFailure: A component's own words, with those of all others that failed, or its process does not end;
                nothing was changed.
        """
        trial: dict[str, t.Any] = {
            "manifests": [os.path.join(directory, f"{trial_name(one.component)}.yaml") for one in attempts],
            "directory": f"{STATE_DIRECTORY}/trial",
            "logs": [one.log_on_host for one in attempts if one.log_on_host],
        }
        self._journal.note(trial=trial)
        wanted: dict[str, list[str]] = {}
        try:
            texts = [self._text(one, port) for one, port in zip(attempts, _free_ports(len(attempts)))]
            wanted = {
                one.component: Manifest.parse(text).arguments(one.component) for one, text in zip(attempts, texts)
            }
            watchers = {
                name: Watcher(t.cast(Sight, self._sight), name, trial_name(name), words, once=True)
                for name, words in wanted.items()
            }
            unwatched = self._host.path(os.path.dirname(directory))
            for path, text in zip(trial["manifests"], texts):
                write_atomic(self._host.path(path), text.encode(), 0o600, staging=unwatched)
            self._wait(watchers)
        finally:
            self._remove(trial)
            for component, words in wanted.items():
                self._await_end(component, words)
            self._remove_logs(trial["logs"])
            self._journal.strike("trial")

    def _text(self, attempt: Attempt, port: int) -> str:
        return trial_manifest(
            attempt.manifest,
            attempt.component,
            name=trial_name(attempt.component),
            port=port,
            host_paths=self._stage(f"{STATE_DIRECTORY}/trial/{attempt.component}", attempt.files, attempt.created),
            flag_values={"audit-log-path": attempt.log} if attempt.log else {},
        )

    def _wait(self, watchers: t.Mapping[str, Watcher]) -> None:
        names = list(watchers)
        failed: list[TrialFailure] = []
        for number, name in enumerate(names):
            try:
                watchers[name].wait(LIMIT, [watchers[other] for other in names[number + 1 :]])
            except Failure as failure:
                failed.append(TrialFailure(name, failure))
        if failed:
            raise TrialFailure(failed[0].component, failed[0], failed[1:])

    def _stage(self, state: str, files: t.Mapping[str, str], created: t.Sequence[str]) -> dict[str, str]:
        """Lay the future configuration beside the live one; return the host path that stands for each directory."""
        substitutes: dict[str, str] = {}
        for directory in dict.fromkeys([*(os.path.dirname(path) for path in files), *created]):
            copy = os.path.join(state, directory.strip("/").replace("/", "-"))
            make_directory(self._host.path(copy), 0o700)
            live = self._host.path(directory)
            if os.path.isdir(live) and directory not in created:
                shutil.copytree(live, self._host.path(copy), dirs_exist_ok=True)
            substitutes[directory] = copy
        for path, text in files.items():
            target = os.path.join(substitutes[os.path.dirname(path)], os.path.basename(path))
            write_atomic(self._host.path(target), text.encode(), 0o600)
        return substitutes

    def _await_end(self, component: str, wanted: t.Sequence[str]) -> None:
        sight = t.cast(Sight, self._sight)
        end = sight.clock() + _END
        while any(matches(process, wanted) for process in sight.find(component)):
            if sight.clock() > end:
                reason = f"the process of its trial did not end within {_END:.0f} s, so the kubelet seems to hang"
                raise TrialFailure(component, Failure(reason))
            sight.sleep(INTERVAL)

    def _remove_logs(self, paths: t.Sequence[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._host.path(path))
