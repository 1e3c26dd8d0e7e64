# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of sysctl.d: what they say, and whose word is the last."""

from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components import sysctl

TEXT = """\
# a comment
; another
kernel.panic = 10
vm/overcommit_memory=1
-kernel.panic_on_oops   =   1

no assignment
"""


def test_a_file_is_read_as_systemd_reads_it() -> None:
    assert sysctl.assignments(TEXT) == [
        ("kernel.panic", "10"),
        ("vm.overcommit_memory", "1"),
        ("kernel.panic_on_oops", "1"),
    ]


def test_our_file_says_what_is_wanted() -> None:
    wanted = {"kernel.panic": "10", "vm.panic_on_oom": "0"}
    assert dict(sysctl.assignments(sysctl.render(wanted, ["a-control"]))) == wanted


def test_a_setting_is_found_where_the_kernel_shows_it() -> None:
    assert sysctl.path_of("kernel.keys.root_maxkeys") == "/proc/sys/kernel/keys/root_maxkeys"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], []),
        ([("a", "kernel.panic = 10")], []),
        ([("a", "kernel.panic = 30")], [("a", "kernel.panic", "30")]),
        ([("a", "kernel.panic = 30"), ("b", "kernel.panic=10")], []),
        ([("a", "kernel.panic = 10"), ("b", "kernel/panic=5")], [("b", "kernel.panic", "5")]),
        ([("a", "kernel.pan* = 5")], [("a", "kernel.panic", "5")]),
        ([("a", "vm.swappiness = 5")], []),
    ],
)
def test_the_last_word_counts(files: list[tuple[str, str]], found: list[tuple[str, str, str]]) -> None:
    assert sysctl.overriding(files, {"kernel.panic": "10"}) == found
