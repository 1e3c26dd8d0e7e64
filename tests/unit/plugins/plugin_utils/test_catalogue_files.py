# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalogue of the user's own that is none is a sentence with its file, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="read on the controller")

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"controls: [\n", "is no YAML: it cannot be parsed"),
        (b"controls:\n  - {a: b: c}\n", r"is no YAML: it cannot be parsed \(line 2\)"),
        (b"controls:\n  - id: !!bool x\n", "is no YAML: a value in it cannot be read"),
        (b"controls: !!timestamp x\n", "it has no list `controls`"),
        (b"[" * 3000, "is no YAML"),
        (b"controls: &a [*a]\n", "is no YAML: an alias in it refers to what contains it"),
        (b"controls: \xff\n", "is no UTF-8 text"),
        (b"", "it has no list `controls`"),
        (b"controls: [null]\n", "control 1 is no mapping"),
    ],
)
def test_what_is_no_catalogue(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "own.yml").write_bytes(content)
    with pytest.raises(HardeningError, match=rf"own\.yml.*{words}"):
        catalogue_files.load([str(tmp_path / "own.yml")])


def test_a_catalogue_that_is_not_there() -> None:
    with pytest.raises(HardeningError, match=r"kubeharden_controls_files: /absent could not be read: No such file"):
        catalogue_files.load(["/absent"])
