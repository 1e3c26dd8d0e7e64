# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An error's sentence and its number."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import (
    HardeningError,
    do_all,
    each_numbered,
    numbered,
)


def test_the_number_is_shown_once_at_the_beginning() -> None:
    error = HardeningError("KH201", "/x could not be written.")
    assert error.numbered == "KH201: /x could not be written."
    assert str(error) == "/x could not be written."


def test_who_says_more_of_an_error_passes_its_number_on() -> None:
    error = HardeningError("KH201", "/x could not be written.")
    more = HardeningError(error.number, f"{error} The old bytes are back.")
    assert more.numbered == "KH201: /x could not be written. The old bytes are back."


def test_sentences_that_are_told_together_have_a_number_each() -> None:
    assert each_numbered("KH001", ["One.", "Two.", "One."]) == ["KH001: One.", "Two."]
    assert each_numbered("KH001", []) == []
    assert numbered("KH002", "Three.") == "KH002: Three."


def test_all_that_is_met_is_one_error_under_the_number_of_the_first() -> None:
    done = []

    def act(number: str, sentence: str) -> None:
        done.append(sentence)
        if number:
            raise HardeningError(number, sentence)

    def of(*pairs: tuple[str, str]) -> str:
        with pytest.raises(HardeningError) as caught:
            do_all(functools.partial(act, *pair) for pair in pairs)
        return caught.value.numbered

    assert of(("", "0."), ("KH201", "One."), ("", "2.")) == "KH201: One."
    several = [("KH201", "One."), ("KH202", "Two."), ("KH201", "Three."), ("KH201", "One.")]
    assert of(*several) == "KH201: One. KH202: Two. Three."
    assert done == ["0.", "One.", "2.", "One.", "Two.", "Three.", "One."]
