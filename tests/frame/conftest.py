# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fresh copy of the project for each test, and every supported ansible-core to run it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.checkout import copy_to, find_python, venv
from tools.lacking import lacking
from tools.runs import CORES


@pytest.fixture(scope="session")
def programs() -> Callable[[str], Path]:
    """Gives the directory of Ansible's programs for a minor version of ansible-core."""

    def of(core: str) -> Path:
        python = find_python(*CORES[core])
        if python is None:
            lacking(f"no Python for ansible-core {core} was found ({', '.join(CORES[core])})")
            raise AssertionError
        return venv(f"core-{core}", "runtime", python, core) / "bin"

    return of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a fresh clone holds."""
    directory = tmp_path / "project"
    copy_to(directory)
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a user who has set nothing."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory
