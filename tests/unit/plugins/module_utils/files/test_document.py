# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms that our own files on a host must have."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files import document


@pytest.mark.parametrize(
    ("value", "form", "does"),
    [
        ({"a": "x"}, {"*": str}, True),
        ({"a": ["x"]}, {"*": str}, False),
        ({"": [[]]}, {"*": str}, False),
        ({"a": 1, "b": "x"}, {"a": int, "*": str}, True),
        ({"a": 1, "b": 2}, {"a": int, "*": str}, False),
        ({"a": 1}, {"a": int, "b?": str}, True),
        ({"a": 1, "b": 2}, {"a": int, "b?": str}, False),
        ({"a": 1, "c": 2}, {"a": int, "b?": str}, False),
        ({}, {"a": int}, False),
        ({"a": object()}, {"*": document.ANYTHING}, True),
        ([1, 2], [int], True),
        ([1, "x"], [int], False),
        (True, int, False),
    ],
)
def test_a_value_has_a_form_in_every_part(value: t.Any, form: document.Form, does: bool) -> None:
    assert document.fits(value, form) is does
