# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to the project, virtual environments to run it in, and copies of it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENVS = ROOT / "build" / "venvs"
FIND_PYTHONS = ROOT / "tests" / "tools" / "find_pythons"
MAKE_VENV = ROOT / "tests" / "tools" / "make_venv"


def tracked() -> list[str]:
    """Paths, relative to ROOT and sorted, of all files that git knows of, or would after `git add .`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted({path for path in listed.split("\0") if path and os.path.lexists(ROOT / path)})


def copy_to(target: Path, leave_out: tuple[str, ...] = ()) -> int:
    """Copy what git knows of, symbolic links as such. Returns the number of files.

    Args:
        target: Directory, made when it is missing.
        leave_out: Beginnings of paths that are not copied.
    """
    files = [path for path in tracked() if not path.startswith(leave_out)]
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path, follow_symlinks=False)
    return len(files)


@functools.cache
def pythons() -> tuple[tuple[str, Path], ...]:
    """Versions and paths of all interpreters found, the newest first."""
    lines = subprocess.run([FIND_PYTHONS], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return tuple((version, Path(path)) for version, path in (line.split("\t") for line in lines))


def find_python(*minors: str) -> Path | None:
    """The interpreter of the first of these minor versions ("3.13") that is found and runs, None without one."""
    for minor in minors:
        for version, path in pythons():
            if version.rpartition(".")[0] == minor:
                return path
    return None


def venv(name: str, group: str, python: Path, core: str = "") -> Path:
    """A virtual environment below build/, made once, and brought up to date when pyproject.toml asks for more.

    Args:
        name: Its directory's name.
        group: Which group of pyproject.toml is installed.
        python: Interpreter that it is made from.
        core: Minor version of ansible-core; without it the newest that the interpreter supports.
    """
    path = VENVS / name
    options = ["--group", group, "--python", str(python)] + (["--core", core] if core else [])
    subprocess.run([MAKE_VENV, *options, path], check=True)
    return path
