# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities of a host: made once, never replaced, carried to others as ciphertext."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    DAY,
    NOW,
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    made,
    told,
)

PKI = "/etc/kubernetes/pki"
NAMES = ["kubernetes", "etcd", "front-proxy", "service-account"]


def test_a_second_call_has_nothing_to_do(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    foretold = host.authorities(check=True, create=True)
    assert list(tmp_path.iterdir()) == []
    done = host.authorities(create=True)
    assert told(done.changes) == told(foretold.changes)
    assert done.missing == NAMES
    state = host.state()
    assert host.authorities(create=True).changes == []
    assert host.state() == state
    assert_no_key_is_open(tmp_path)


def test_another_control_plane_takes_them_sealed(tmp_path: Path) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    cp2 = Directory(tmp_path / "cp2", "cp2")
    foretold = cp2.authorities(check=True, source=True)
    asked = cp2.authorities(source=True, run_id="run")
    assert (asked.changes, asked.missing) == ([], NAMES)
    assert not (tmp_path / "cp2/etc").exists()
    given = _given(cp1, asked.receiver)
    secret = cp1.path(f"{PKI}/ca.key").read_text(encoding="ascii").splitlines()[1]
    assert secret not in json.dumps(given)
    done = cp2.authorities(source=True, taken=given, run_id="run")
    assert told(done.changes) == told(foretold.changes)
    for name in ("ca.crt", "ca.key", "etcd/ca.key", "front-proxy-ca.key", "sa.key", "sa.pub"):
        assert cp2.path(f"{PKI}/{name}").read_bytes() == cp1.path(f"{PKI}/{name}").read_bytes()
    assert not cp2.path("/run/kubeharden/pki.json").exists()
    cp2.leaves()
    assert_pairs_fit(cp2)
    assert_no_key_is_open(tmp_path)


def _given(host: Directory, receiver: str, run_id: str = "run", node: str = "cp2") -> dict[str, dict[str, str]]:
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import (  # noqa: PLC0415
        Authorities,
        Making,
    )

    found = Authorities(host.store(run_id), host.pki, host.files(), NOW, Making())
    return found.give(NAMES, receiver, node)


@pytest.mark.parametrize(("run_id", "node"), [("another run", "cp2"), ("run", "cp3")])
def test_what_was_sealed_for_another_run_or_host_is_not_opened(tmp_path: Path, run_id: str, node: str) -> None:
    cp1 = made(Directory(tmp_path / "cp1", "cp1"))
    cp2 = Directory(tmp_path / "cp2", "cp2")
    asked = cp2.authorities(source=True, run_id="run")
    with pytest.raises(HardeningError, match="could not be opened"):
        cp2.authorities(source=True, taken=_given(cp1, asked.receiver, run_id, node), run_id="run")
    assert not (tmp_path / "cp2/etc").exists()


def test_one_that_is_missing_is_not_made_where_others_may_have_it(tmp_path: Path) -> None:
    outcome = Directory(tmp_path, "cp1").authorities()
    assert (outcome.changes, outcome.missing) == ([], [])
    assert "no control plane that has them takes part" in outcome.not_done[0]


def _without_certificate(host: Directory) -> None:
    host.path(f"{PKI}/ca.crt").unlink()


def _without_both(host: Directory) -> None:
    host.path(f"{PKI}/ca.crt").unlink()
    host.path(f"{PKI}/ca.key").unlink()


def _truncated_key(host: Directory) -> None:
    host.path(f"{PKI}/ca.key").write_bytes(host.path(f"{PKI}/ca.key").read_bytes()[:80])


def _joined_without_newline(host: Directory) -> None:
    text = host.path(f"{PKI}/ca.crt").read_bytes()
    host.path(f"{PKI}/ca.crt").write_bytes(text.rstrip() + text)


def _another_key(host: Directory) -> None:
    host.path(f"{PKI}/ca.key").write_bytes(host.path(f"{PKI}/etcd/ca.key").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_certificate, "never replaced"),
        (_without_both, "never replaced"),
        (_truncated_key, "truncated"),
        (_joined_without_newline, "without a newline"),
        (_another_key, "does not belong"),
    ],
)
def test_a_damaged_authority_is_refused_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Directory], None], words: str
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    spoil(host)
    state = host.state()
    with pytest.raises(HardeningError, match=words):
        host.authorities(create=True)
    assert host.state() == state


def test_an_authority_that_has_ended_is_refused(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    with pytest.raises(HardeningError, match="it ended on"):
        host.authorities(now=NOW + 3651 * DAY)


def test_an_open_key_is_closed_and_told(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    host.path(f"{PKI}/ca.key").chmod(0o644)
    outcome = host.authorities()
    assert [(change.kind, change.target, change.after) for change in outcome.changes] == [
        ("attributes", f"{PKI}/ca.key", f"{PKI}/ca.key mode 0600\n")
    ]
    assert_no_key_is_open(tmp_path)
    assert host.authorities().changes == []


def test_a_missing_public_half_is_written(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    before = host.path(f"{PKI}/sa.pub").read_bytes()
    host.path(f"{PKI}/sa.pub").unlink()
    outcome = host.authorities()
    assert [change.target for change in outcome.changes] == [f"{PKI}/sa.pub"]
    assert host.path(f"{PKI}/sa.pub").read_bytes() == before
