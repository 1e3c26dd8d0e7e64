# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that died left on a host that is to join, seen by the call that lays what its static pods will name."""

from __future__ import annotations

import os
import types
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible_collections.kubeharden.core.plugins.module_utils.files import together
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.modules import prepare_node

CERTIFICATE, KEY = "/etc/kubernetes/pki/scheduler.crt", "/etc/kubernetes/pki/scheduler.key"


class DiedError(Exception):
    pass


def prepared(host: Host, check: bool) -> dict[str, t.Any]:
    given: dict[str, t.Any] = {
        "root": host.root,
        "root_seed": None,
        "run_id": "next",
        "files": {},
        "owners_files": {},
        "directories": [],
        "named_files": {},
    }
    module = types.SimpleNamespace(params=given, check_mode=check, tmpdir=host.root, _diff=False)
    return prepare_node.work(t.cast(t.Any, module))


@pytest.mark.parametrize("check", [False, True])
def test_a_pair_that_a_dead_run_renamed_half_of_is_finished_and_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    """The new key is in its place, and its certificate waits beside: without it nothing of the two would fit."""
    host = Host(str(tmp_path))
    pki = tmp_path / "etc/kubernetes/pki"
    pki.mkdir(parents=True)
    for path in (CERTIFICATE, KEY):
        Path(host.path(path)).write_bytes(b"old")
    backup = Backup(host, "dead")
    for path in (KEY, CERTIFICATE):
        backup.save(path)
    rename = os.replace

    def dies_at_the_certificate(source: str, target: str) -> None:
        if target == host.path(CERTIFICATE):
            raise DiedError
        rename(source, target)

    pair = [together.NewFile(KEY, b"new key", 0o600), together.NewFile(CERTIFICATE, b"new certificate", 0o644)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies_at_the_certificate)
        with pytest.raises(DiedError):
            together.replace_together(host, pair)
    result = prepared(host, check)
    assert Path(host.path(KEY)).read_bytes() == b"new key"
    finished = [f"A run died while it replaced files that belong together: {KEY}, {CERTIFICATE} are finished now."]
    if check:
        assert Path(host.path(CERTIFICATE)).read_bytes() == b"old"
        assert together.unfinished(host).left == (CERTIFICATE,)
        return
    assert Path(host.path(CERTIFICATE)).read_bytes() == b"new certificate"
    assert result["notes"] == finished
    assert sorted(os.listdir(pki)) == ["scheduler.crt", "scheduler.key"]
    assert Journal(host).read() == {}
