# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of Ansible's programs as a test starts them: a bare environment, strict templating, and the recap as numbers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Each of these turns a habit that ansible-core tolerates today into an error.
STRICT = {
    "ANSIBLE_ALLOW_EMBEDDED_TEMPLATES": "false",
    "_ANSIBLE_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR": "error",
    "ANSIBLE_INJECT_FACT_VARS": "false",
}

# Each supported ansible-core with the Pythons that it supports on a controller, those to be tested with first.
CORES = {
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.14", "3.13"),
    "2.21": ("3.14", "3.13", "3.12"),
}

RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Run:
    """What a program did."""

    command: str
    code: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Number of changed tasks by host, from the recap; from all of them where several playbooks ran."""
        found: dict[str, int] = {}
        for match in RECAP.finditer(self.output):
            found[match["host"]] = found.get(match["host"], 0) + int(match["changed"])
        return found

    @property
    def complaints(self) -> list[str]:
        """Lines in which Ansible warns, or says that something will go away."""
        return [line for line in self.output.splitlines() if line.startswith(("[WARNING", "[DEPRECATION"))]

    def __str__(self) -> str:
        """As a failed test shows it."""
        return f"$ {self.command}\n{self.output}\n(ended with {self.code})"


def ansible(
    programs: Path,
    words: Sequence[object],
    *,
    directory: Path,
    home: Path,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Run:
    """Run one of Ansible's programs; standard output and error come back as one text.

    Args:
        programs: The bin directory of a virtual environment.
        words: The program's name and its arguments, each as str() gives it.
        directory: The working directory.
        home: The user's home, so that nothing of the machine's user has a say.
        environment: More environment variables. No others of this process reach the program.
        user: Run as this user id, in a group of the same number.
    """
    bare = {
        "HOME": str(home),
        "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
        # A long line stays one line, or a warning could hide in the second half of another.
        "COLUMNS": "1000",
    }
    passed_on = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    command = [str(word) for word in words]
    done = subprocess.run(
        command if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command],
        cwd=directory,
        env={**bare, **passed_on, **STRICT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(" ".join(command), done.returncode, done.stdout)
