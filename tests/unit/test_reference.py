# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that say what the code says, and the one place where a variable stands."""

from __future__ import annotations

import pytest
import yaml

from tools import reference


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_page_says_what_the_code_says(name: str) -> None:
    page = (reference.ROOT / name).read_text(encoding="utf-8")
    assert page == reference.PAGES[name](), f"run tests/tools/reference.py and commit {name}"


def test_every_default_has_its_specification() -> None:
    role = reference.ROOT / "roles" / "kubeharden"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
