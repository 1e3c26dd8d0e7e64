# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the lab shares: errors, commands, and where things lie."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent.parent
"""tests/lab"""

MODULES = HERE / "modules"

DEFAULT_CACHE = "/var/cache/kubeharden-lab"


class LabError(Exception):
    """Something that whoever runs the lab must act upon; the message is for that person."""


class Missing(LabError):
    """The machine can't run a lab; the message says what it lacks."""


def cache_dir() -> Path:
    """Where components and root file systems are kept: the environment's KUBEHARDEN_CACHE or the default."""
    return Path(os.environ.get("KUBEHARDEN_CACHE") or DEFAULT_CACHE).resolve()


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, flush=True)


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: str | bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed.

    :raises LabError: it ended with another code than 0 (unless ``check`` is false); the end of its output is shown.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [str(argument) for argument in arguments],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
        timeout=timeout,
        cwd=cwd,
        env=env,
    )
    text = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if check and text.returncode != 0:
        shown = "\n".join((text.stdout + text.stderr).splitlines()[-30:])
        command = " ".join(str(argument) for argument in arguments)
        raise LabError(f"{command[:200]}: exit code {text.returncode}\n{shown}")
    return text


def wait_for(what: str, seconds: float, ready: Callable[[], bool], pause: float = 0.2) -> None:
    """Ask ``ready`` until it says yes.

    :raises LabError: it did not within ``seconds``; ``what`` names what was awaited.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


class Stopwatch:
    """Tells how long each step took, one line each: ``lab: <step> <seconds> s``."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        say(f"lab: {step} {now - self._start:.1f} s")
        self._start = now


def main(command: Callable[[], int]) -> None:
    """Run a command line: a LabError becomes its sentence and code 1, a lack of the machine code 77."""
    try:
        sys.exit(command())
    except Missing as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(77)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
