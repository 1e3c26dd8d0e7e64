# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are right only together: all old, all new, or finished by the next run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import together
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import recovery

PAIR = (
    together.NewFile("/pki/one.crt", b"new certificate", 0o644),
    together.NewFile("/pki/one.key", b"new key", 0o600),
)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/one.crt").write_bytes(b"old certificate")
    (tmp_path / "pki/one.key").write_bytes(b"old key")
    (tmp_path / "pki/one.key").chmod(0o600)
    return Host(str(tmp_path))


def contents(host: Host) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(host.root, "pki").iterdir()}


def test_both_are_replaced_and_nothing_is_left(host: Host) -> None:
    together.replace_together(host, PAIR)
    assert contents(host) == {"one.crt": b"new certificate", "one.key": b"new key"}
    assert stat.S_IMODE(os.stat(host.path("/pki/one.key")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(host.path("/pki/one.crt")).st_mode) == 0o644
    assert Journal(host).read() == {}
    assert together.finish(host) == together.Unfinished()


class Killed(BaseException):
    """Nothing of ours catches it, as nothing catches SIGKILL."""


def die(host: Host, monkeypatch: pytest.MonkeyPatch, renamed: int) -> None:
    """Replace the pair in a run that dies after so many renames, or, after both, before the journal says so."""
    real = os.replace
    done: list[str] = []

    def replace(source: str, target: str) -> None:
        if "/pki/" in target:
            if len(done) == renamed:
                raise Killed
            done.append(target)
        real(source, target)

    def strike(*_args: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        patched.setattr(Journal, "strike", strike)
        with pytest.raises(Killed):
            together.replace_together(host, PAIR)


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_run_that_dies_between_the_renames_is_finished(
    host: Host, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    die(host, monkeypatch, renamed)
    paths = ("/pki/one.crt", "/pki/one.key")
    assert together.unfinished(host) == together.Unfinished(paths, (), paths[renamed:])
    assert together.finish(host).paths == paths
    assert contents(host) == {"one.crt": b"new certificate", "one.key": b"new key"}
    assert together.finish(host) == together.Unfinished()


RENEWED = {"one.crt": b"another certificate", "one.key": b"another key"}
OLD = {"one.crt": b"old certificate", "one.key": b"old key"}


@pytest.mark.parametrize(
    ("renamed", "mended", "changed"),
    [
        pytest.param(0, RENEWED, ["one.crt", "one.key"], id="renewed before the first rename"),
        pytest.param(1, RENEWED, ["one.crt", "one.key"], id="renewed between the renames"),
        pytest.param(2, RENEWED, ["one.crt", "one.key"], id="renewed after the last rename"),
        pytest.param(1, {"one.crt": b"another certificate"}, ["one.crt"], id="another certificate of the old key"),
        pytest.param(1, OLD, ["one.crt"], id="put back between the renames"),
        pytest.param(1, {"one.crt": None, "one.key": None}, ["one.crt", "one.key"], id="removed"),
    ],
)
def test_what_somebody_has_mended_since_a_run_died_is_not_finished(
    host: Host, monkeypatch: pytest.MonkeyPatch, renamed: int, mended: dict[str, bytes | None], changed: list[str]
) -> None:
    die(host, monkeypatch, renamed)
    for name, content in mended.items():
        path = Path(host.root, "pki", name)
        path.unlink() if content is None else path.write_bytes(content)
    before = {name: data for name, data in contents(host).items() if not name.startswith(".")}
    foretold = recovery.foretell(host)
    found = together.finish(host)
    assert found.changed == tuple(f"/pki/{name}" for name in changed)
    assert contents(host) == before
    assert Journal(host).read() == {}
    assert [f"changed {', '.join(found.changed)} since: what is there stays" in told for told in foretold] == [True]
    assert recovery.foretell(host) == []


def test_what_cannot_be_laid_leaves_everything_as_it_was(host: Host) -> None:
    before = contents(host)
    with pytest.raises(HardeningError, match=r"/elsewhere/two.key could not be written: the directory does not exist"):
        together.replace_together(host, [*PAIR, together.NewFile("/elsewhere/two.key", b"x", 0o600)])
    assert contents(host) == before
    assert Journal(host).read() == {}


def test_what_a_run_left_before_its_first_rename_is_removed(host: Host) -> None:
    Path(host.root, "pki/.kubeharden-abc").write_bytes(b"a key that nobody uses")
    together.remove_leftovers(host, ["/pki/one.crt", "/missing/two.crt"])
    assert set(contents(host)) == {"one.crt", "one.key"}


def test_a_link_stays_a_link(host: Host) -> None:
    Path(host.root, "etc").mkdir()
    Path(host.root, "etc/one.crt").symlink_to("/pki/one.crt")
    together.replace_together(host, [together.NewFile("/etc/one.crt", b"new certificate", 0o644)])
    assert Path(host.root, "etc/one.crt").is_symlink()
    assert contents(host)["one.crt"] == b"new certificate"
