# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told where a host is asked twice, since the first answer was that a dead run has the cluster's lock."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("ansible", reason="action plugins run on the controller")

from ansible_collections.kubeharden.core.plugins.action.discover import with_notes_of


@pytest.mark.parametrize(
    ("first", "second", "notes"),
    [
        ({"notes": ["went back"]}, {"notes": ["taken over"]}, ["went back", "taken over"]),
        ({}, {"notes": ["taken over"]}, ["taken over"]),
        ({"notes": ["went back"]}, {"refused": True, "msg": "another"}, ["went back"]),
        ({"notes": ["same"]}, {"notes": ["same"]}, ["same"]),
    ],
)
def test_what_was_put_back_is_told(first: dict[str, t.Any], second: dict[str, t.Any], notes: list[str]) -> None:
    found = with_notes_of(first, second)
    assert found == {**second, "notes": notes}
