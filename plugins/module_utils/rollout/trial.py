# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial start: the kubelet runs the future manifest once, beside the running component, before any change."""

from __future__ import annotations

import contextlib
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

#: A good API server was ready after 4 s on a quiet machine and after 110 s on one that was overloaded.
LIMIT = 120.0
#: Seconds that the kubelet may take to end the trial's pod: its grace of 30 s and its own rounds.
_END = 90.0
_SUFFIX = "-kubeharden-trial"


def trial_name(component: str) -> str:
    """Return the name of the trial's pod."""
    return component + _SUFFIX


def is_trial(file: str) -> bool:
    """Return whether the name of a file in the manifests directory is that of a trial."""
    return file.endswith(f"{_SUFFIX}.yaml")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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

    def clean(self) -> str | None:
        """Remove what a run that died left of its trial; returns the manifest's path, None where there was nothing.

        Raises:
            Failure: Its process does not end.
        """
        left = self._journal.read().get("trial")
        if left is None:
            return None
        path = str(left["manifest"])
        text = read_text(self._host.path(path))
        self._remove(left)
        if text is not None and self._sight is not None:
            # Else the dying trial would be taken for the component.
            component = os.path.basename(path)[: -len(f"{_SUFFIX}.yaml")]
            self._await_end(component, Manifest.parse(text, path).arguments(component))
        self._remove_log(left.get("log"))
        self._journal.strike("trial")
        return path

    def _remove(self, trial: t.Mapping[str, t.Any]) -> None:
        remove_file(self._host.path(trial["manifest"]))
        try:
            shutil.rmtree(self._host.path(trial["directory"]))
        except FileNotFoundError:
            return
        except OSError as error:
            raise HardeningError(
                f"{trial['directory']}, which holds what a trial read, could not be removed: {explain(error)}. "
                "No component was changed; remove it and run again."
            ) from error

    def run(
        self,
        component: str,
        manifest: Manifest,
        directory: str,
        files: t.Mapping[str, str],
        created: t.Sequence[str],
        log_file: str | None,
    ) -> float:
        """Start the future manifest under another name and return the seconds until it was well.

        Args:
            component: kube-apiserver, kube-controller-manager or kube-scheduler.
            manifest: What the component is going to be started with.
            directory: The manifests directory.
            files: The future text of configuration files that this run changes, by path on the host.
            created: Directories on the host that this run is going to make and mount.
            log_file: The future audit log; two processes must not rotate one file.

        Raises:
            Failure: The component's own words; nothing was changed.
        """
        sight = t.cast(Sight, self._sight)
        name = trial_name(component)
        state = f"{STATE_DIRECTORY}/trial/{component}"
        log = f"{os.path.dirname(log_file)}/{name}.log" if log_file else None
        trial: dict[str, t.Any] = {
            "manifest": os.path.join(directory, f"{name}.yaml"),
            "directory": os.path.dirname(state),
            "log": manifest.host_path_of(component, log) if log else None,
        }
        self._journal.note(trial=trial)
        wanted: list[str] = []
        try:
            text = trial_manifest(
                manifest,
                component,
                name=name,
                port=_free_port(),
                host_paths=self._stage(state, files, created),
                flag_values={"audit-log-path": log} if log else {},
            )
            wanted = Manifest.parse(text).arguments(component)
            watcher = Watcher(sight, component, name, wanted, once=True)
            begun = sight.clock()
            unwatched = self._host.path(os.path.dirname(directory))
            write_atomic(self._host.path(trial["manifest"]), text.encode(), 0o600, staging=unwatched)
            watcher.wait(LIMIT)
            return sight.clock() - begun
        finally:
            self._remove(trial)
            self._await_end(component, wanted)
            self._remove_log(trial["log"])
            self._journal.strike("trial")

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
                raise Failure(f"the process of its trial did not end within {_END:.0f} s, so the kubelet seems to hang")
            sight.sleep(INTERVAL)

    def _remove_log(self, path: str | None) -> None:
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._host.path(path))
