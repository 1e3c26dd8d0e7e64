# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make bench` compares is the same set of certificates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import data
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_directories import Directories, Wanted
from bench import pki


@pytest.mark.parametrize(("nodes", "wanted"), [(1, 16), (10, 34), (50, 114)])
def test_the_set_is_the_one_that_is_told(nodes: int, wanted: int) -> None:
    assert pki.certificates(nodes) == wanted
    assert len(pki.leaves(nodes)) == wanted - 3
    assert len({leaf["file"] for leaf in pki.leaves(nodes)}) == wanted - 3


def test_ours_issues_it_and_the_other_play_asks_for_each(tmp_path: Path) -> None:
    wanted = Wanted(data.cluster(pki.cluster(3)), data.layout(pki.LAYOUT))
    found = Directories(str(tmp_path), "run", wanted, 1_800_000_000.0, False).settle()
    issued = sorted(f"{one['node_name']}-{one['name']}" for one in found.issued)
    assert issued == sorted(leaf["file"] for leaf in pki.leaves(3))
    (play,) = pki.peer_play(tmp_path, 3)
    asked = json.dumps(play["tasks"])
    assert [next(iter(task)).rpartition(".")[2] for task in play["tasks"]] == [
        "openssl_privatekey",
        "openssl_csr_pipe",
        "x509_certificate",
    ] * 2
    assert all(f'"{name}"' in asked for name in issued)


def test_the_median_of_the_ratios_of_each_turn_counts() -> None:
    assert pki.ratio("n", [2.0, 8.0, 3.0], [1.0, 2.0, 1.0])["value"] == 3.0


def _figures(empty: float, peer: float) -> list[pki.Figure]:
    names = {"vs_empty_play": empty, "community_crypto_vs_ours": peer}
    return [
        {"name": f"pki_{nodes}_{state}_cpu_{name}", "value": value, "unit": "ratio"}
        for nodes in pki.SIZES
        for state in pki.STATES
        for name, value in names.items()
    ]


@pytest.mark.parametrize(
    ("empty", "peer", "words"), [(1.25, 100.0, ""), (1.26, 100.0, "at most 1.25"), (0.9, 99.9, "at least 100")]
)
def test_what_was_asked_for_is_held_of_each_state_of_the_whole_set(empty: float, peer: float, words: str) -> None:
    told = pki.missed(_figures(empty, peer))
    assert len(told) == (len(pki.STATES) if words else 0)
    assert all(words in sentence and f"pki_{pki.NODES}_" in sentence for sentence in told)
