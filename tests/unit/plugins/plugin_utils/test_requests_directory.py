# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory in which requests wait for an authority outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.requests_directory import RequestsDirectory, problems
from ansible_collections.kubeharden.core.tests.unit.plugins.plugin_utils.test_pki_cluster import (
    FOUND,
    control_plane,
    worker,
)


def asked(name: str, request: str = "a request") -> dict[str, str]:
    return {"name": name, "request": request}


def listed(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_requests_come_wait_and_go_with_their_answers(tmp_path: Path) -> None:
    directory = RequestsDirectory(str(tmp_path / "requests"), "cp1")
    directory.update([], {})
    assert listed(tmp_path) == []
    directory.update([asked("apiserver"), asked("admin.conf")], {})
    assert listed(tmp_path) == ["requests/cp1/admin.conf.csr", "requests/cp1/apiserver.csr"]
    written = (tmp_path / "requests/cp1/apiserver.csr").stat()
    directory.update([asked("apiserver"), asked("admin.conf")], {})
    assert (tmp_path / "requests/cp1/apiserver.csr").stat() == written
    (tmp_path / "requests/cp1/apiserver.crt").write_text("an answer", encoding="ascii")
    # Somebody moved the request away when it was signed.
    (tmp_path / "requests/cp1/admin.conf.csr").unlink()
    (tmp_path / "requests/cp1/admin.conf.crt").write_text("another", encoding="ascii")
    (tmp_path / "requests/cp1/notes.txt").write_text("mine", encoding="ascii")
    returned = directory.returned()
    assert {name: one["certificate"] for name, one in returned.items()} == {
        "admin.conf": "another",
        "apiserver": "an answer",
    }
    assert returned["apiserver"]["path"] == str(tmp_path / "requests/cp1/apiserver.crt")
    directory.update([asked("scheduler.conf")], returned)
    assert listed(tmp_path) == ["requests/cp1/notes.txt", "requests/cp1/scheduler.conf.csr"]


def test_an_answer_stays_for_as_long_as_its_request_waits(tmp_path: Path) -> None:
    directory = RequestsDirectory(str(tmp_path), "cp1")
    directory.update([asked("apiserver")], {})
    (tmp_path / "cp1/apiserver.crt").write_text("an answer", encoding="ascii")
    directory.update([asked("apiserver")], directory.returned())
    assert listed(tmp_path) == ["cp1/apiserver.crt", "cp1/apiserver.csr"]


def test_a_host_can_name_nothing_but_what_the_table_has(tmp_path: Path) -> None:
    RequestsDirectory(str(tmp_path / "requests"), "../cp1").update([asked("../../x"), asked("apiserver")], {})
    assert listed(tmp_path) == ["requests/.._cp1/apiserver.csr"]


def test_what_cannot_be_laid_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "requests").write_text("no directory", encoding="ascii")
    with pytest.raises(HardeningError, match="could not be made"):
        RequestsDirectory(str(tmp_path / "requests"), "cp1").update([asked("apiserver")], {})


def test_without_a_directory_nothing_is_read() -> None:
    assert RequestsDirectory("", "cp1").returned() == {}


def test_an_authority_without_key_needs_one() -> None:
    assert problems({}, []) == []
    assert problems({"kubeharden_pki_requests_dir": "requests"}, ["etcd"]) == []
    assert "etcd has no key here, so kubeharden_pki_requests_dir must say" in problems({}, ["etcd"])[0]


NONE = {"cp1": control_plane(1, files={}), "cp2": control_plane(2, files={}), "w1": worker()}
ALL = ["kubernetes", "etcd", "front-proxy"]


@pytest.mark.parametrize(
    ("found", "group", "keyless", "made", "names"),
    [
        pytest.param(NONE, ["cp1", "cp2"], [], [], ALL, id="no key anywhere"),
        pytest.param(NONE, ["cp1", "cp2"], ["kubernetes"], ["etcd", "front-proxy"], ["kubernetes"], id="others made"),
        pytest.param(FOUND, ["cp1", "cp2"], [], [], ["etcd", "front-proxy"], id="one key is there"),
        pytest.param(NONE, ["cp1", "cp2", "cp3"], [], [], [], id="one that was not asked may have them"),
        pytest.param(NONE, ["cp1", "cp2", "cp3"], ["etcd"], [], ["etcd"], id="but the user says that none has"),
        pytest.param(FOUND, ["cp1", "cp2"], ["kubernetes"], [], ["etcd", "front-proxy"], id="what is there wins"),
        pytest.param({"w1": worker()}, [], [], [], [], id="workers alone"),
    ],
)
def test_authorities_outside(
    found: dict[str, dict[str, object]], group: list[str], keyless: list[str], made: list[str], names: list[str]
) -> None:
    assert pki_cluster.are_outside(found, group, keyless, made) == names
