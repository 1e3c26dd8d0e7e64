# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.kubeharden.core.plugins.filter import batches as filter_file

batches = filter_file.FilterModule().filters()["batches"]


@pytest.mark.parametrize(
    ("batch", "count", "most", "sizes"),
    [
        (["1", "25%"], 300, 0, ["1", "25%"]),
        (["1", "25%"], 0, 5, ["1", "25%"]),
        (["1", "25%"], 9, 5, ["1", "2", "2", "2", "2"]),
        (["1", "25%"], 29, 5, ["1", *["5", "2"] * 4]),
        (["3"], 7, 2, ["2", "1", "2", "1", "1"]),
        (["100%"], 4, 1, ["1"] * 4),
    ],
)
def test_no_batch_is_larger_than_what_is_worked_on_at_the_same_time(
    batch: list[str], count: int, most: int, sizes: list[str]
) -> None:
    found = batches(batch, count, most)
    assert found == sizes
    assert not most or not count or sum(map(int, found)) == count
