# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at every system call that writes: the next run ends right, and meanwhile no key is open and no file cut."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.together import unfinished
from ansible_collections.kubeharden.core.plugins.module_utils.pki import pem
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    made,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_bootstrap import (
    CA,
    TOKEN,
    finish,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_pki_directories import (
    assert_good,
    settle,
    state,
)
from tools.checkout import ROOT
from tools.lacking import lacking

STRACE = shutil.which("strace")
# Each write and each fchmod is followed by an fsync before the next rename: those two alone take little time.
WRITES = ("rename", "fsync", "write", "fchmod")
CALLS = (*WRITES[:2], *(pytest.param(call, marks=pytest.mark.slow) for call in WRITES[2:]))
ONLY = ("apiserver", "admin.conf")
#: No run of these two makes as many of one call; reaching it would mean that the end was never seen.
MOST = 200

_BOOTSTRAP = """
import sys
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_bootstrap import killed
killed(sys.argv[1])
"""
_DIRECTORIES = """
import sys
from pathlib import Path
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_pki_directories import settle
settle(Path(sys.argv[1]))
"""
_RENEW = f"""
import sys
from pathlib import Path
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import Directory
Directory(Path(sys.argv[1]), "cp1").leaves(policy=Policy(renew_all=True), only={ONLY!r}, run_id="killed")
"""


def _killed(program: str, root: Path, call: str, number: int) -> int:
    """Run a program on a directory in a process that is killed at its `number`-th `call`; returns how it ended."""
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    command = [str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", program, str(root)],
        env={"PYTHONPATH": f"{ROOT / 'collections'}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode


def _put_back(root: Path, template: Path) -> bool:
    """Lay the old files in their places, as somebody with a copy of them does; return whether any was replaced."""
    replaced = False
    for old in (template / "etc").rglob("*"):
        new = root / old.relative_to(template)
        if old.is_file() and new.read_bytes() != old.read_bytes():
            new.write_bytes(old.read_bytes())
            replaced = True
    return replaced


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_write(tmp_path: Path, call: str) -> None:
    _kill_at_each(tmp_path, call, is_mended=False)


def test_killed_between_renames_and_put_back_by_hand(tmp_path: Path) -> None:
    _kill_at_each(tmp_path, "rename", is_mended=True)


def _kill_at_each(tmp_path: Path, call: str, is_mended: bool) -> None:
    if STRACE is None:
        lacking("strace is not installed, so no run is killed at its system calls")
    template = tmp_path / "template"
    made(Directory(template, "cp1"))
    number = cut = 0
    ended = -9
    while ended != 0:
        number += 1
        assert number < MOST
        root = tmp_path / f"{call}-{number}"
        shutil.copytree(template, root)
        ended = _killed(_RENEW, root, call, number)
        assert_no_key_is_open(root)
        for path in (root / "etc").rglob("*"):
            if path.suffix in (".crt", ".key") and not path.name.startswith("."):
                assert len(pem.blocks(path.read_bytes(), str(path))) == 1, path
        host = Directory(root, "cp1")
        if not unfinished(host.host).paths:
            assert_pairs_fit(host)
        put_back = is_mended and bool(unfinished(host.host).paths) and _put_back(root, template)
        host.leaves()
        assert_pairs_fit(host)
        assert_no_key_is_open(root)
        assert not list(root.rglob("etc/**/.kubeharden-*"))
        assert host.leaves(check=True)[0] == []
        if put_back:
            assert host.files() == Directory(template, "cp1").files()
            cut += 1
        shutil.rmtree(root)
    assert number > 2
    # After each of the renames but the last of them, at which nothing is left to be done: certificate, key, kubeconfig.
    assert cut >= 2 * is_mended


@pytest.mark.parametrize("call", [CALLS[0], *(pytest.param(call, marks=pytest.mark.slow) for call in WRITES[1:])])
def test_a_node_that_is_to_join_is_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """A token is in its file or in none, and the next run ends as if nothing had happened."""
    if STRACE is None:
        lacking("strace is not installed, so no run is killed at its system calls")
    (tmp_path / "ca.crt").write_bytes(CA)
    number, ended = 0, -9
    while ended != 0:
        number += 1
        assert number < MOST
        root = tmp_path / f"{call}-{number}"
        root.mkdir()
        ended = _killed(_BOOTSTRAP, root, call, number)
        with_token = [path for path in root.rglob("*") if path.is_file() and TOKEN in path.read_bytes()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in with_token)
        assert len(with_token) < 2
        finish(root)
        assert not list(root.rglob(".kubeharden-*"))
        assert finish(root) == []
        shutil.rmtree(root)
    assert number > 2


@pytest.mark.parametrize(
    "call", ["syncfs", "rename", *(pytest.param(call, marks=pytest.mark.slow) for call in ("write", "fchmod", "mkdir"))]
)
def test_directories_of_a_new_cluster_are_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """Each is there as a whole or not at all, also between the first name and the last."""
    if STRACE is None:
        lacking("strace is not installed, so no run is killed at its system calls")
    number, ended = 0, -9
    while ended != 0:
        number += 1
        assert number < MOST
        root = tmp_path / f"{call}-{number}"
        root.mkdir()
        ended = _killed(_DIRECTORIES, root, call, number)
        assert_no_key_is_open(root)
        whole = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        assert whole == [] or call == "rename" or ended == 0
        kept = {name: state(root / name) for name in whole}
        settle(root, run_id="second")
        assert_good(root)
        assert {name: state(root / name) for name in whole} == kept
        shutil.rmtree(root)
    assert number > 1
