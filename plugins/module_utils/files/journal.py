# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is under way on a host, on its disk, so that a run that died is finished or undone by the next one."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.document import (
    ANYTHING,
    TEXT_OR_NOTHING,
    read_object,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import SAVED_FORM
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    remove_file,
    write_atomic,
)

#: By path, what the run makes of it: a file's SHA-256, ``directory``, None for nothing.
_AFTER = {"*": TEXT_OR_NOTHING}
_AWAY = {"manifest": str, "moved_to": str, "etcd": str, "apart": bool}
#: The steps that a run notes, as the rooms that note them need them again.
_STEPS = {
    "run_id?": str,
    "together?": [(str, str, TEXT_OR_NOTHING, str)],
    "trial?": {"manifests": [str], "directory": str, "logs": [str]},
    "apply?": {
        "run_id": str,
        "saved": [SAVED_FORM],
        "after?": _AFTER,
        "manifests": str,
        "components": {"*": str},
        "running?": {"*": [str]},
        "away?": _AWAY,
    },
    "kubelet?": {
        "run_id": str,
        "saved": [SAVED_FORM],
        "after?": _AFTER,
        "sysctls": {"*": str},
        "sysctls_after?": {"*": str},
    },
    "kube_proxy?": {
        "run_id": str,
        "configuration": str,
        "template": {"*": ANYTHING},
        "unheard?": [str],
        "after?": {"configuration": str, "templates": [{"*": ANYTHING}]},
    },
    "image_pulls?": {"run_id": str},
    "restarts?": [str],
    "*": ANYTHING,
}


class Journal:
    """One JSON document, /var/lib/kubeharden/journal.json; it does not exist while nothing is under way."""

    def __init__(self, host: Host) -> None:
        self._path = host.path(f"{STATE_DIRECTORY}/journal.json")

    def read(self) -> dict[str, t.Any]:
        """Return what a run noted and did not strike out, empty where nothing is under way.

        Raises:
            HardeningError: The file is damaged.
        """
        found: dict[str, t.Any] | None = read_object(
            self._path,
            _STEPS,
            "journal of what is under way",
            "look in the newest backup beside it what a run that died may have left, remove the journal, and run again",
        )
        return found or {}

    def note(self, **steps: t.Any) -> None:
        """Note steps before they are begun."""
        make_directory(os.path.dirname(self._path), 0o700)
        document = {**self.read(), **steps}
        write_atomic(self._path, (json.dumps(document, indent=1) + "\n").encode(), 0o600)

    def strike(self, *steps: str) -> None:
        """Strike out steps that are finished or undone."""
        document = {name: value for name, value in self.read().items() if name not in steps}
        if set(document) - {"run_id"}:
            write_atomic(self._path, (json.dumps(document, indent=1) + "\n").encode(), 0o600)
        else:
            # Synced: a journal that came back after a power cut would undo what has been proven.
            remove_file(self._path)
