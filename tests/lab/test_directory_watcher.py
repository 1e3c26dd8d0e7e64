# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What watches hosts while runs are killed there sees each thing that would be wrong, and nothing in what is right."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import watcher

MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
ADMIN = "etc/kubernetes/admin.conf"
KEY = "-----BEGIN RSA PRIVATE KEY-----\n"


def write(
    path: Path, text: str = "new\n", mode: int = 0o600, *, prefix: str = ".kubeharden-", above: bool = False
) -> None:
    """Replace a file as the product does: whole, under its final mode, by one rename."""
    temporary = (path.parent.parent if above else path.parent) / f"{prefix}{path.name}"
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(mode)
    temporary.rename(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that stands for a host."""
    for folder in ("etc/kubernetes/manifests", "etc/kubernetes/pki", "var/lib/kubelet"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/kubeharden").mkdir(mode=0o700)
    for path in (MANIFEST, ADMIN, "etc/kubernetes/pki/ca.key", "var/lib/kubelet/config.yaml"):
        (tmp_path / path).write_text("old\n", encoding="utf-8")
        (tmp_path / path).chmod(0o600)
    return tmp_path


@pytest.fixture
def seen(root: Path) -> Iterator[Callable[[], list[str]]]:
    """Lines of what was wrong since the watch began."""
    program = root / "watch.py"
    program.write_text(watcher.script(str(root)), encoding="utf-8")
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{watcher.BEGUN}\n"
        output = process.stdout

        def end() -> list[str]:
            (root / "etc/kubernetes" / watcher.END).touch()
            lines = iter(output.readline, "")
            found = []
            for line in lines:
                if line.rstrip("\n") == f"{watcher.GOOD}/etc/kubernetes/{watcher.END}":
                    break
                found.append(line.rstrip("\n"))
            assert found
            return [line for line in found if not line.startswith(watcher.GOOD)]

        yield end
        process.kill()


def test_what_a_run_does_is_right(root: Path, seen: Callable[[], list[str]]) -> None:
    ours = root / "var/lib/kubeharden"
    (ours / "backups").mkdir(mode=0o700)
    (ours / "backups/run").mkdir(mode=0o700)
    time.sleep(0.2)  # until that is watched too
    write(ours / "backups/run/0000")
    write(ours / "journal.json")
    write(root / MANIFEST, above=True)
    write(root / ADMIN, f"client-key-data: {KEY}")
    write(root / "etc/kubernetes/pki/ca.crt", "a certificate\n", 0o644)
    write(root / "var/lib/kubelet/config.yaml")
    # A trial, which copies directories with their modes, and a restart of etcd.
    (ours / "trial").mkdir(mode=0o700)
    (ours / "trial/flags.conf").write_text(KEY, encoding="utf-8")
    trial = root / "etc/kubernetes/manifests/kube-apiserver-kubeharden-trial.yaml"
    write(trial, above=True)
    trial.unlink()
    away = root / "etc/kubernetes/kube-apiserver.yaml.taken-away-by-kubeharden"
    (root / MANIFEST).rename(away)
    away.rename(root / MANIFEST)
    (ours / "journal.json").unlink()
    # The kubelet's own.
    (root / "var/lib/kubelet/cpu_manager_state").write_text("{}", encoding="utf-8")
    assert seen() == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda root: (root / MANIFEST).write_text("new\n"), f"/{MANIFEST} is written where it stands"),
        (lambda root: (root / MANIFEST).unlink(), f"/{MANIFEST} is missing"),
        (lambda root: (root / MANIFEST).rename(root / "gone.yaml"), f"/{MANIFEST} is missing"),
        (lambda root: (root / MANIFEST).rename(root / "etc/kubernetes/kept.yaml"), f"/{MANIFEST} is missing"),
        (lambda root: write(root / MANIFEST, ""), f"/{MANIFEST} is empty"),
        (lambda root: (root / ADMIN).chmod(0o644), f"/{ADMIN} can be read by others"),
        (
            lambda root: write(root / "etc/kubernetes/pki/ca.key", KEY, 0o640),
            "/etc/kubernetes/pki/ca.key can be read by others",
        ),
        (
            lambda root: (root / "var/lib/kubelet/config.yaml").write_text("new\n"),
            "/var/lib/kubelet/config.yaml is written where it stands",
        ),
        (
            lambda root: write(root / "var/lib/kubeharden/journal.json", mode=0o644),
            "/var/lib/kubeharden/journal.json can be read by others",
        ),
        (lambda root: (root / "var/lib/kubeharden").chmod(0o755), "/var/lib/kubeharden can be read by others"),
    ],
)
def test_what_is_wrong_at_a_moment_is_seen(
    root: Path, seen: Callable[[], list[str]], wrong: Callable[[Path], object], words: str
) -> None:
    wrong(root)
    assert words in seen()


def test_a_temporary_file_that_holds_a_secret_is_open_for_a_moment(root: Path, seen: Callable[[], list[str]]) -> None:
    temporary = root / "etc/kubernetes/pki/.kubeharden-x"
    temporary.touch(mode=0o644)
    temporary.write_text(KEY, encoding="utf-8")
    time.sleep(0.2)
    temporary.chmod(0o600)
    temporary.rename(root / "etc/kubernetes/pki/ca.key")
    assert set(seen()) == {"/etc/kubernetes/pki/.kubeharden-x can be read by others"}


def test_what_is_made_below_a_new_directory_is_seen(root: Path, seen: Callable[[], list[str]]) -> None:
    folder = root / "var/lib/kubeharden/backups/run"
    folder.mkdir(parents=True)
    (folder / "0000").write_text("bytes\n", encoding="utf-8")
    folder.chmod(0o700)
    assert "/var/lib/kubeharden/backups/run/0000 can be read by others" in seen()
