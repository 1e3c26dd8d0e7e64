# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that say what the code says, and the one place where a variable stands."""

from __future__ import annotations

import re

import pytest
import yaml

pytest.importorskip("jinja2", reason="templates are rendered on the controller")

from ansible_collections.kubeharden.core.plugins.plugin_utils import selection
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


def test_every_control_has_a_title_and_its_line() -> None:
    known = selection.known_controls()
    assert sorted(reference.page_data()["titles"]) == known, "give each control its title in docs/controls.yml"
    listed = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| `", reference.controls(), re.MULTILINE)
    # A control of several settings stands beside each template that has one.
    assert sorted(set(listed)) == known


def test_a_check_that_kube_bench_leaves_has_one_reason() -> None:
    entries = reference.page_data()["kube_bench"]
    named = [
        (check, profile, host)
        for entry in entries
        for check in entry["checks"]
        for profile in entry["profiles"]
        for host in entry["hosts"]
    ]
    assert len(named) == len(set(named))
    assert {(profile, host) for _check, profile, host in named} == {
        (profile, host) for profile in reference.PROFILES for host in ("control_plane", "worker")
    }
    assert {entry["result"] for entry in entries} == {"FAIL", "WARN"}
    assert all(entry["about"] and entry["why"].endswith(".") for entry in entries)
