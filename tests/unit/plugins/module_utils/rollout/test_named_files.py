# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the user's that a flag names must be there before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import named_files


def test_all_that_are_missing_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("", encoding="utf-8")
    named = {"/there": "kubeharden_a", "/gone": "kubeharden_b", "/": "kubeharden_c", "": "kubeharden_d"}
    with pytest.raises(HardeningError) as caught:
        named_files.require(Host(str(tmp_path)), named)
    assert str(caught.value) == (
        "kubeharden_b names /gone and kubeharden_c names /, which is not on this host. Nothing was changed; lay it on "
        "every control plane, or correct what names it."
    )
    named_files.require(Host(str(tmp_path)), {"/there": "kubeharden_a", "": "kubeharden_d"})
