# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that the user brings, as files on the controller."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, profile, sealed
from ansible_collections.kubeharden.core.plugins.plugin_utils import brought_authorities, pki_cluster
from ansible_collections.kubeharden.core.tests.unit.plugins.plugin_utils.test_pki_cluster import FOUND, control_plane

NOW = 1_800_000_000.0
PAIR = {"certificate": "ca.crt", "key": "ca.key"}


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({}, ""),
        ({"kubernetes": PAIR, "etcd": {**PAIR, "passphrase_file": "secret"}}, ""),
        ([], "must be a mapping of authority to files"),
        ({"kubernets": PAIR}, "there is no authority kubernets; the nearest is kubernetes"),
        ({"etcd": "ca.crt"}, "etcd must be a mapping of certificate, key, passphrase_file to paths"),
        ({"etcd": {**PAIR, "key": ""}}, "etcd must be a mapping"),
        ({"etcd": {**PAIR, "passphrase": "x"}}, "etcd has no passphrase; the nearest is passphrase_file"),
        ({"etcd": {"certificate": "ca.crt"}}, ""),
        ({"etcd": {"certificate": "ca.crt", "passphrase_file": "x"}}, "etcd has a passphrase_file without key"),
        ({"etcd": {"key": "ca.key"}}, "etcd lacks certificate"),
    ],
)
def test_the_variable(declared: Any, sentence: str) -> None:
    found = brought_authorities.problems(declared)
    assert bool(found) == bool(sentence)
    assert sentence in " ".join(found)


@pytest.fixture
def brings(tmp_path: Path) -> Callable[..., brought_authorities.BroughtAuthorities]:
    """An authority in files, its key encrypted."""
    made = authority.create(profile.wanted_authority("ours"), NOW)
    certificate, key = authority.files(made, b"open sesame")
    (tmp_path / "ca.crt").write_bytes(certificate)
    (tmp_path / "ca.key").write_bytes(key)
    (tmp_path / "right").write_bytes(b"open sesame\n")
    (tmp_path / "wrong").write_bytes(b"open barley\n")
    (tmp_path / "empty").write_bytes(b"\n")

    def declared(**parts: str) -> brought_authorities.BroughtAuthorities:
        entry = {part: str(tmp_path / name) for part, name in {**PAIR, **parts}.items()}
        return brought_authorities.BroughtAuthorities({"kubernetes": entry}, lambda path: Path(path).read_bytes(), NOW)

    return declared


def test_certificate_and_key_are_sealed_for_the_host_that_asks(
    brings: Callable[..., brought_authorities.BroughtAuthorities], tmp_path: Path
) -> None:
    found = brings(passphrase_file="right")
    assert found.certificates(found.names) == {"kubernetes": (tmp_path / "ca.crt").read_text(encoding="ascii")}
    judged = found.judge(["kubernetes", "etcd"])
    assert list(judged) == ["kubernetes"]
    receiver = sealed.new_receiver()
    given = brought_authorities.seal(judged, base64.b64encode(receiver.public).decode(), "run", "cp1")
    context = b"run\ncp1\nkubernetes\nkey"
    assert (
        receiver.open(base64.b64decode(given["kubernetes"]["key"]), context) == authority.files(judged["kubernetes"])[1]
    )


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "no passphrase was given"),
        ({"passphrase_file": "wrong"}, "passphrase does not open the key"),
        ({"passphrase_file": "empty"}, "is empty instead of holding the passphrase"),
        ({"key": "ca.crt", "passphrase_file": "right"}, "no private key"),
        ({"certificate": "ca.key", "passphrase_file": "right"}, "holds a 'ENCRYPTED PRIVATE KEY'"),
    ],
)
def test_what_is_refused(
    brings: Callable[..., brought_authorities.BroughtAuthorities], parts: dict[str, str], sentence: str
) -> None:
    with pytest.raises(HardeningError, match=sentence):
        brings(**parts).judge(["kubernetes"])


def test_one_without_key_is_kept_elsewhere() -> None:
    declared = {"kubernetes": PAIR, "etcd": {"certificate": "ca.crt"}}
    assert brought_authorities.keyless(declared) == ["etcd"]
    assert brought_authorities.keyless("no mapping") == []
    assert brought_authorities.BroughtAuthorities(declared, lambda _path: b"", NOW).judge(["etcd"]) == {}


def test_it_is_laid_where_every_control_plane_was_asked_and_none_has_it() -> None:
    none = {"cp1": control_plane(1, files={}), "cp2": control_plane(2, files={})}
    names = ["kubernetes", "etcd"]
    assert pki_cluster.are_brought(none, ["cp1", "cp2"], names) == names
    assert pki_cluster.are_brought(none, ["cp1", "cp2", "cp3"], names) == []
    assert pki_cluster.are_brought(none, [], names) == []
    assert pki_cluster.are_brought(FOUND, ["cp1", "cp2"], names) == ["etcd"]
