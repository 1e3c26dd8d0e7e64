# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components import paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/b", "/a/b"), ("/a/b/", "/a/b"), ("//a//b", "/a/b"), ("/a/./b/../c", "/a/c"), ("/", "/"), ("//", "/")],
)
def test_normal(path: str, expected: str) -> None:
    assert paths.normal(path) == expected


@pytest.mark.parametrize(
    ("directory", "path", "expected"),
    [
        ("/a", "/a", True),
        ("/a/", "/a/b", True),
        ("/a", "/ab", False),
        ("/", "/a", True),
        ("/", "/", True),
        ("/a/b", "/a", False),
        ("/a", "/a/../b", False),
    ],
)
def test_holds(directory: str, path: str, expected: bool) -> None:
    assert paths.holds(directory, path) is expected


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("/a/b/c", "/a", "/x", "/x/b/c"),
        ("/a", "/a/", "/x/", "/x"),
        ("/a/b", "/", "/x", "/x/a/b"),
        ("/a/b", "/a", "/", "/b"),
        ("/a", "/a", "/", "/"),
    ],
)
def test_moved(path: str, old: str, new: str, expected: str) -> None:
    assert paths.moved(path, old, new) == expected
