# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function that is killed at each of its system calls of a kind, each time on a fresh copy of a directory.

One process for all of them reads the modules and divides for each time: to start Python anew takes far longer than
what is killed. strace counts the calls of each process by itself and kills at the same number, so the n-th of the
function's is made that one by calls before it which do nothing.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.checkout import ROOT
from tools.lacking import lacking

STRACE = shutil.which("strace")
#: No function here makes as many of one call; reaching it would mean that the end was never seen.
MOST = 200

_DIVIDE = f"""
import contextlib, ctypes, importlib, os, sys
from pathlib import Path

module, name, call = sys.argv[1:]
function = getattr(importlib.import_module(module), name)
nobody = 10**6
idle = {{
    "fchmod": lambda: os.fchmod(nobody, 0),
    "fsync": lambda: os.fsync(nobody),
    "mkdir": lambda: os.mkdir(""),
    "rename": lambda: os.rename("", ""),
    "syncfs": lambda: ctypes.CDLL(None).syncfs(nobody),
    "unlink": lambda: os.unlink(""),
    "write": lambda: os.write(nobody, b""),
}}[call]
for line in sys.stdin:
    number, root = line.rstrip("\\n").split(" ", 1)
    process = os.fork()
    if process == 0:
        for _ in range({MOST} - int(number)):
            with contextlib.suppress(OSError):
                idle()
        function(Path(root))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def each_kill(
    function: Callable[[Path], object], call: str, directory: Path, template: Path | None = None
) -> Iterator[tuple[Path, bool]]:
    """Give a directory that the function was killed on, and whether it was, until it is not.

    Args:
        function: What is killed, of a module of the tests.
        call: The system call.
        directory: Where the directories are made; each is removed again.
        template: What they are a copy of; None for an empty one.
    """
    if STRACE is None:
        lacking("strace is not installed, so no run is killed at its system calls")
    command = [str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:signal=SIGKILL:when={MOST}", sys.executable, "-B", "-c", _DIVIDE]
    module = Path(inspect.getfile(function)).resolve().relative_to(ROOT).with_suffix("")
    command += [".".join(("ansible_collections.kubeharden.core", *module.parts)), function.__name__, call]
    with subprocess.Popen(
        command,
        env={"PYTHONPATH": f"{ROOT / 'collections'}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as divided:
        assert divided.stdin is not None
        assert divided.stdout is not None
        number, code = 0, -9
        while code != 0:
            number += 1
            assert number < MOST
            root = directory / f"{call}-{number}"
            root.mkdir() if template is None else shutil.copytree(template, root, symlinks=True)
            divided.stdin.write(f"{number} {root}\n")
            divided.stdin.flush()
            code = int(divided.stdout.readline())
            assert code in (0, -9), "see what it wrote on its standard error"
            yield root, code != 0
            shutil.rmtree(root)
        assert number > 1, f"it makes no {call} at all"
