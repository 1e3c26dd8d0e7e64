# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's settings of one host: set and kept, or left out with one sentence."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls

WANTED: dict[str, dict[str, t.Any]] = {
    "kernel.panic": {"exact": 10, "control": "kernel"},
    "vm.panic_on_oom": {"exact": 0, "control": "kernel"},
}
FILE = "etc/sysctl.d/90-kubeharden.conf"


class Live(Host):
    """A directory that counts as a host on which something runs."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.live = True

    def path(self, path: str) -> str:
        return self.root + path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/kernel.panic").write_text("0\n")
    (tmp_path / "kernel/vm.panic_on_oom").write_text("0\n")
    return tmp_path


def made(root: Path, live: bool = True) -> Sysctls:
    host = Live(root) if live else Host(str(root))
    return Sysctls(host, WANTED, lambda name: str(root / "kernel" / name))


def test_what_differs_is_set_and_everything_is_kept_for_the_next_boot(root: Path) -> None:
    sysctls = made(root)
    changes = sysctls.plan()
    assert [(one.kind, one.target) for one in changes] == [("sysctl", "kernel.panic"), ("file", f"/{FILE}")]
    assert sysctls.before == {"kernel.panic": "0"}
    assert (root / "kernel/kernel.panic").read_text() == "0\n"
    sysctls.apply()
    assert (root / "kernel/kernel.panic").read_text() == "10\n"
    assert "kernel.panic = 10\nvm.panic_on_oom = 0\n" in (root / FILE).read_text()
    assert (root / FILE).stat().st_mode & 0o777 == 0o644
    assert made(root).plan() == []


def test_a_directory_has_no_kernel_but_a_next_boot(root: Path) -> None:
    (root / "etc/sysctl.d").rmdir()
    sysctls = made(root, live=False)
    assert [one.kind for one in sysctls.plan()] == ["directory", "file"]
    sysctls.apply()
    assert (root / FILE).exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("99-theirs.conf", "kernel.panic = 60\n"), ("99-sysctl.conf", "kernel.pani? = 60\n")],
)
def test_a_file_of_the_owners_that_would_have_the_last_word_is_named(root: Path, name: str, text: str) -> None:
    (root / "etc/sysctl.d" / name).write_text(text)
    sysctls = made(root)
    assert sysctls.plan() == []
    assert f"/etc/sysctl.d/{name} would set kernel.panic to 60 at the next boot" in sysctls.trouble


def test_an_earlier_file_and_one_that_is_masked_have_not_the_last_word(root: Path) -> None:
    (root / "etc/sysctl.d/10-theirs.conf").write_text("kernel.panic = 60\n")
    (root / "usr/lib/sysctl.d").mkdir(parents=True)
    (root / "usr/lib/sysctl.d/99-x.conf").write_text("kernel.panic = 60\n")
    (root / "etc/sysctl.d/99-x.conf").write_text("")
    sysctls = made(root)
    assert len(sysctls.plan()) == 2
    assert sysctls.trouble == ""


def test_the_old_file_of_procps_has_the_last_word(root: Path) -> None:
    (root / "etc/sysctl.conf").write_text("vm.panic_on_oom=2\n")
    sysctls = made(root)
    assert sysctls.plan() == []
    assert "/etc/sysctl.conf would set vm.panic_on_oom to 2" in sysctls.trouble


def test_a_setting_that_the_kernel_lacks_is_left_out(root: Path) -> None:
    (root / "kernel/kernel.panic").unlink()
    sysctls = made(root)
    assert sysctls.plan() == []
    assert "kernel.panic must be 10, but is not there on this host" in sysctls.trouble


def test_a_setting_that_cannot_be_written_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    sysctls = made(root)
    assert sysctls.plan() == []
    assert "kernel.panic must be 10, but is 0 and cannot be written on this host" in sysctls.trouble
    assert "protectKernelDefaults was left out" in sysctls.trouble


def test_one_that_is_right_need_not_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "kernel/kernel.panic").write_text("10\n")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert [one.kind for one in made(root).plan()] == ["file"]


def test_a_kernel_that_refuses_is_told(root: Path) -> None:
    sysctls = made(root)
    sysctls.plan()
    (root / "kernel/kernel.panic").unlink()
    (root / "kernel/kernel.panic").mkdir()
    with pytest.raises(HardeningError, match=r"The kernel did not take kernel\.panic = 10"):
        sysctls.apply()


def test_nothing_wanted_is_nothing_done(root: Path) -> None:
    assert Sysctls(Live(root), {}).plan() == []


@pytest.mark.parametrize(
    ("file", "now", "said"),
    [
        ("kernel.panic = 10\n", "10", []),
        # The kernel begins with 0 and needs no file for it.
        ("", "10", ["no file sets kernel.panic to 10 at the next boot"]),
        ("kernel.panic = 5\n", "10", ["/etc/sysctl.d/50-own.conf sets kernel.panic to 5 at the next boot, not 10"]),
        ("kernel.panic = 10\n", "0", ["kernel.panic is 0, not 10"]),
        (
            "kernel.panic = 10\nvm.panic* = 1\n",
            "10",
            ["/etc/sysctl.d/50-own.conf sets vm.panic_on_oom to 1 at the next boot, not 0"],
        ),
    ],
)
def test_what_is_otherwise_now_or_after_the_next_boot_is_said(root: Path, file: str, now: str, said: list[str]) -> None:
    (root / "etc/sysctl.d/50-own.conf").write_text(file)
    (root / "kernel/kernel.panic").write_text(f"{now}\n")
    sysctls = Sysctls(Live(root), {}, lambda name: str(root / "kernel" / name))
    assert sysctls.differing({"kernel.panic": "10", "vm.panic_on_oom": "0"}) == said


def test_a_setting_that_the_kernel_does_not_have_is_said(root: Path) -> None:
    sysctls = Sysctls(Live(root), {}, lambda name: str(root / "kernel" / name))
    assert sysctls.differing({"kernel.none": "1"}) == ["kernel.none is missing, not 1"]
