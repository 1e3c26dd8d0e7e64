# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""preflight.yml foretells what harden.yml does: the same plays but its last, which verifies; each is in check mode."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools.checkout import ROOT

pytestmark = pytest.mark.frame

# What preflight.yml has besides: its own word at the end.
OWN = ("check_mode", "vars")


def plays(name: str) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def test_preflight_has_the_plays_of_harden() -> None:
    bare = [
        [{key: play[key] for key in play if key not in OWN} for play in plays(name)] for name in ("preflight", "harden")
    ]
    assert bare[0] == bare[1][:-1]
    assert bare[1][-1]["name"] == "Verify what is in force now"


def test_every_play_of_preflight_is_in_check_mode() -> None:
    assert all(play["check_mode"] is True for play in plays("preflight"))
    assert len(plays("preflight")) > 5


def test_harden_stops_at_the_first_host_that_fails() -> None:
    assert all(play["any_errors_fatal"] is True for play in plays("harden")[:-2])
