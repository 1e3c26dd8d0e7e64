# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which distribution's package brings a library."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.os_release import family


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\n", "debian"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "redhat"),
        ("ID=fedora\n", "redhat"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse"),
        ("ID='sles'\n", "suse"),
        ("ID=arch\n", "arch"),
        ("# nothing\n\n", ""),
    ],
)
def test_a_family_by_its_own_name_or_by_what_it_is_like(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "os-release"
    path.write_text(text, encoding="utf-8")
    assert family(str(path)) == name


def test_bytes_that_are_no_text_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_bytes(b"NAME=\xff\xfe\nID=debian\n")
    assert family(str(path)) == "debian"


def test_a_host_without_the_file_belongs_to_none(tmp_path: Path) -> None:
    assert family(str(tmp_path / "missing")) == ""
