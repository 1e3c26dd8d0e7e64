# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""changes.json on the controller: what a run changes, written as it goes, so that one that ends early tells it too."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, write_atomic
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_directory import writing

SCHEMA = 1


def _key(change: t.Mapping[str, t.Any]) -> tuple[str, str, str]:
    return (str(change["host"]), str(change["kind"]), str(change["target"]))


def read(report_dir: str) -> dict[str, t.Any]:
    """Return the document, an empty one where nothing has been written yet."""
    data = read_bytes(os.path.join(report_dir, "changes.json"), limit=1024 * 1024 * 1024)
    return {"schema": SCHEMA, "run_id": "", "mode": "", "changes": []} if data is None else json.loads(data)


def begin(report_dir: str, run_id: str, mode: str) -> None:
    """Begin the account of a run: what an earlier one wrote into the same directory is no part of it.

    Raises:
        HardeningError: The directory takes none.
    """
    document = {"schema": SCHEMA, "run_id": run_id, "mode": mode, "changes": []}
    with writing(report_dir):
        write_atomic(os.path.join(report_dir, "changes.json"), (json.dumps(document, indent=1) + "\n").encode(), 0o600)


def add(report_dir: str, run_id: str, mode: str, host: str, changes: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Add one host's changes; hosts are worked on in processes of their own, so the file is locked meanwhile.

    Args:
        report_dir: The run's directory on the controller.
        run_id: The run.
        mode: check or run.
        host: The inventory's name of the host, empty for what belongs to the cluster.
        changes: As files.record.Change.as_record gives them.

    Raises:
        HardeningError: The directory takes none any more.
    """
    with writing(report_dir), _locked(report_dir):
        document = read(report_dir)
        document.update(run_id=run_id, mode=mode)
        document["changes"] = sorted(
            [*document["changes"], *({"host": host, **change} for change in changes)], key=_key
        )
        text = json.dumps(document, indent=1) + "\n"
        write_atomic(os.path.join(report_dir, "changes.json"), text.encode(), 0o600)


@contextlib.contextmanager
def _locked(directory: str) -> t.Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
