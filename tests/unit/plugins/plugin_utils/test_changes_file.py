# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""changes.json: of one run, in one order, whole at every moment, also when many hosts write at once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.plugin_utils import changes_file, report_directory

WRITER = """
import sys
from ansible_collections.kubeharden.core.plugins.plugin_utils import changes_file
folder, host = sys.argv[1:]
for number in range(5):
    changes_file.add(folder, "run", "run", host, [{"kind": "file", "target": f"/{number}"}])
"""


def change(target: str, kind: str = "file") -> dict[str, object]:
    return Change(kind, target, "update", before="a\n", after="b\n").as_record()


def test_a_run_begins_empty_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "run"
    changes_file.begin(str(folder), "run", "check")
    assert changes_file.read(str(folder)) == {"schema": 1, "run_id": "run", "mode": "check", "changes": []}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "changes.json").stat().st_mode) == 0o600


def test_what_an_earlier_run_wrote_there_is_no_part_of_this_one(tmp_path: Path) -> None:
    changes_file.begin(str(tmp_path), "first", "check")
    changes_file.add(str(tmp_path), "first", "check", "cp1", [change("/a")])
    changes_file.begin(str(tmp_path), "second", "run")
    assert changes_file.read(str(tmp_path))["changes"] == []


@pytest.mark.parametrize("folder", ["file", "file/below", "run"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: changes_file.begin(path, "run", "run"),
        lambda path: changes_file.add(path, "run", "run", "cp1", []),
    ],
    ids=["begin", "add"],
)
def test_a_directory_that_takes_no_file_is_one_sentence(
    tmp_path: Path, folder: str, write: Callable[[str], None]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "run" / "changes.json").mkdir(parents=True)
    with pytest.raises(HardeningError, match=r"^The reports of the run cannot be written to .* on the contr") as seen:
        write(str(tmp_path / folder))
    assert seen.value.number == "KH201"


def test_a_probe_leaves_an_empty_directory(tmp_path: Path) -> None:
    report_directory.probe(str(tmp_path / "reports" / "run"))
    assert os.listdir(tmp_path / "reports" / "run") == []


def test_without_a_begin_there_is_a_document_all_the_same(tmp_path: Path) -> None:
    changes_file.add(str(tmp_path), "run", "run", "cp1", [])
    assert changes_file.read(str(tmp_path)) == {"schema": 1, "run_id": "run", "mode": "run", "changes": []}


def test_changes_stand_in_one_order_whoever_came_first(tmp_path: Path) -> None:
    for host in ("w1", "cp2", "cp1"):
        changes_file.add(str(tmp_path), "run", "run", host, [change("/b"), change("/a"), change("/a", "directory")])
    found = changes_file.read(str(tmp_path))["changes"]
    assert [(one["host"], one["kind"], one["target"]) for one in found] == [
        (host, kind, target)
        for host in ("cp1", "cp2", "w1")
        for kind, target in (("directory", "/a"), ("file", "/a"), ("file", "/b"))
    ]
    assert found[0]["diff"] == "--- before\n+++ after\n@@ -1 +1 @@\n-a\n+b"


def test_hosts_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    hosts = [f"w{number}" for number in range(4)]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), host], env=environment) for host in hosts]
    deadline = time.monotonic() + 60
    while any(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
        changes_file.read(str(tmp_path))  # never half a document
        time.sleep(0.01)
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    found = changes_file.read(str(tmp_path))["changes"]
    assert [(one["host"], one["target"]) for one in found] == [(host, f"/{n}") for host in hosts for n in range(5)]
    assert os.listdir(tmp_path) == ["changes.json"]


@pytest.mark.slow
def test_three_hundred_nodes_take_seconds(tmp_path: Path) -> None:
    changes_file.begin(str(tmp_path), "run", "run")
    own = [change(f"/etc/kubernetes/file{number}") for number in range(12)]
    begun = time.process_time()
    for number in range(300):
        changes_file.add(str(tmp_path), "run", "run", f"w{number:03d}", own)
    assert time.process_time() - begun < 60
    assert len(changes_file.read(str(tmp_path))["changes"]) == 3600


def test_it_can_be_read_by_other_programs(tmp_path: Path) -> None:
    changes_file.add(str(tmp_path), "run", "run", "cp1", [change("/a")])
    document = json.loads((tmp_path / "changes.json").read_text(encoding="utf-8"))
    assert set(document["changes"][0]) == {
        *("host", "kind", "target", "action", "before_sha256", "after_sha256"),
        *("diff", "controls", "restart", "after", "random"),
    }
