# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is under way stands on the disk before it is begun, and goes when it is finished."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import journal as module
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal

TRIAL = {"manifests": ["/etc/x"], "directory": "/var/lib/x", "logs": []}
APPLY = {"run_id": "r", "saved": [], "manifests": "/etc/kubernetes/manifests", "components": {}}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Host(str(tmp_path)))


def test_nothing_is_under_way_and_looking_makes_no_directory(journal: Journal, tmp_path: Path) -> None:
    assert journal.read() == {}
    journal.strike("apply")
    assert os.listdir(tmp_path) == []


def test_what_was_noted_is_seen_by_another_process_and_is_private(journal: Journal, tmp_path: Path) -> None:
    journal.note(trial=TRIAL)
    journal.note(apply=APPLY)
    assert Journal(Host(str(tmp_path))).read() == {"trial": TRIAL, "apply": APPLY}
    directory = tmp_path / "var/lib/kubeharden"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "journal.json").stat().st_mode) == 0o600


def test_what_is_finished_goes_and_the_last_takes_the_file(journal: Journal, tmp_path: Path) -> None:
    journal.note(run_id="r", trial=TRIAL, apply=APPLY)
    journal.strike("trial")
    assert journal.read() == {"run_id": "r", "apply": APPLY}
    journal.strike("apply")
    assert not (tmp_path / "var/lib/kubeharden/journal.json").exists()


def test_a_second_note_replaces_the_first_of_its_name(journal: Journal) -> None:
    journal.note(trial=TRIAL)
    journal.note(trial={**TRIAL, "manifests": ["/two"]})
    assert journal.read() == {"trial": {**TRIAL, "manifests": ["/two"]}}


def test_striking_out_survives_a_power_cut(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that came back would undo on the next run what this one has proven."""
    removed: list[str] = []
    journal.note(apply=APPLY)
    monkeypatch.setattr(module, "remove_file", removed.append)
    journal.strike("apply")
    assert [os.path.basename(path) for path in removed] == ["journal.json"]


def test_it_can_be_read_by_a_person(journal: Journal, tmp_path: Path) -> None:
    journal.note(apply={"run_id": "r", "saved": []})
    text = (tmp_path / "var/lib/kubeharden/journal.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"apply": {"run_id": "r", "saved": []}}
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"apply": {"run_id": "r", "saved"',
        b"[]",
        b"\0\0\0\0",
        b'{"image_pulls": {}}',
        b'{"image_pulls": []}',
        b"\xff",
        b'{"together": [["/a"]]}',
        b'{"trial": {}}',
        b'{"trial": {"manifests": "/a", "directory": "/b", "logs": []}}',
        b'{"apply": {"run_id": "r", "saved": [{}], "manifests": "/m", "components": {}}}',
        b'{"kubelet": null}',
        b"[" * 100_000,
    ],
)
def test_half_of_a_journal_is_not_acted_upon(journal: Journal, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "var/lib/kubeharden/journal.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with pytest.raises(HardeningError, match=r"is damaged: it is no journal of what is under way\. Nothing"):
        journal.read()
    assert path.read_bytes() == text
