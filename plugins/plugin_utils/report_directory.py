# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a run's reports on the controller, and what is told where it takes none."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import TEMPORARY_PREFIX, explain


@contextlib.contextmanager
def writing(report_dir: str) -> t.Iterator[None]:
    """Make the directory where it is missing, for what is written within.

    Raises:
        HardeningError: What was refused and why, in words of reports: nothing of a host is concerned.
    """
    try:
        os.makedirs(report_dir, mode=0o700, exist_ok=True)
        yield
    except (OSError, HardeningError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        why = explain(cause) if isinstance(cause, OSError) else str(error).rstrip(".")
        raise HardeningError(
            "KH201",
            f"The reports of the run cannot be written to {report_dir} on the controller: {why}; mend that, or name "
            "another directory by kubeharden_report_dir.",
        ) from error


def probe(report_dir: str) -> None:
    """Refuse a directory that takes no file, before any host is asked.

    Raises:
        HardeningError: What was refused and why.
    """
    with writing(report_dir), tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=report_dir):
        pass
