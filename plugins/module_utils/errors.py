# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that reaches a user as a sentence with a number, and how the two are shown.

What each number stands for is in docs/errors.yml, which hosts need not be sent; a test holds the two together.
"""

from __future__ import annotations

import typing as t
from types import MappingProxyType

T = t.TypeVar("T")


def numbered(number: str, sentence: str) -> str:
    """Return an error as a user sees it: the number, by which docs/errors.md has it, and the sentence."""
    return f"{number}: {sentence}"


def each_numbered(number: str, sentences: t.Iterable[str]) -> list[str]:
    """Return errors of one kind, which are told beside others, as a user sees them: each once after one number."""
    first, *others = dict.fromkeys(sentences) or [""]
    return [numbered(number, first), *others] if first else []


class HardeningError(Exception):
    """Something that a person must act on.

    The sentence is written for that person: what was wrong, where, what was left as it was, and what to do next. As
    text the exception is that sentence, which may stand within another; its number is shown once, at the beginning, by
    who ends a task with it: modules (``entry.run``) do with ``fail_json(msg=error.numbered)``. Anything else that is
    raised is a defect. ``facts`` are returned beside it, for the controller.

    Args:
        number: Of the kind of error (docs/errors.yml). Who says more of an error passes its number on.
        sentence: What is told.
    """

    facts: t.Mapping[str, t.Any] = MappingProxyType({})

    def __init__(self, number: str, sentence: str) -> None:
        super().__init__(sentence)
        self.number = number

    @property
    def numbered(self) -> str:
        """The error as a user sees it."""
        return numbered(self.number, str(self))

    @property
    def trouble(self) -> str:
        """What was wrong and where: for who says once, of several, what was left as it was."""
        return str(self).partition(" Nothing was changed")[0].replace("; nothing was changed", "")


class Met:
    """Errors that are told beside others: what does not depend on what was refused is done all the same."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}

    @property
    def told(self) -> list[str]:
        """The errors as a user sees them, each once."""
        return list(self._told)

    def trying(self, act: t.Callable[[], T]) -> T | None:
        """Return what comes of an act, None where it is refused."""
        try:
            return act()
        except HardeningError as error:
            self._told[error.numbered] = None
            return None


def do_all(acts: t.Iterable[t.Callable[[], object]]) -> None:
    """Do all of it, whatever is met, so that a person sees all at once.

    Raises:
        HardeningError: All that was met, under the number of the first; others show theirs where it is another.
    """
    met: list[HardeningError] = []
    for act in acts:
        try:
            act()
        except HardeningError as error:
            met.append(error)
    if len(met) == 1:
        raise met[0]
    if met:
        number = met[0].number
        told = dict.fromkeys(str(one) if one.number == number else one.numbered for one in met)
        raise HardeningError(number, " ".join(told))
