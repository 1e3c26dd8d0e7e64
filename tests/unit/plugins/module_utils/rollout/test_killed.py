# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at every system call that writes: the next run ends right, and meanwhile no key is open and no file cut."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.history import remove_leftovers
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import unfinished
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    issue,
    keys,
    pem,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import PairPath
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import Authorities, Making, proof_of
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import REQUESTS
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.recovery import finish_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    NOW,
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    made,
    secret_lines,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.kills import each_kill
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_bootstrap import (
    CA,
    TOKEN,
    finish,
    killed,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.test_pki_directories import (
    assert_good,
    settle,
    state,
)

# Each write and each fchmod is followed by an fsync before the next rename: those two alone take little time.
WRITES = ("rename", "fsync", "write", "fchmod")
CALLS = (*WRITES[:2], *(pytest.param(call, marks=pytest.mark.slow) for call in WRITES[2:]))
#: For what is written as something else is of which each fsync is tried.
RENAMES = (CALLS[0], *(pytest.param(call, marks=pytest.mark.slow) for call in WRITES[1:]))
PKI = "etc/kubernetes/pki"
AUTHORITY_KEYS = ("ca.key", "etcd/ca.key", "front-proxy-ca.key")
SHARED = {*AUTHORITY_KEYS, "sa.key", "ca.crt", "etcd/ca.crt", "front-proxy-ca.crt", "sa.pub"}
ONLY = ("apiserver", "admin.conf")


def _laid(root: Path) -> dict[str, bytes]:
    """By path below the directory of certificates, the bytes of what is there; each is whole."""
    found = {}
    for path in (root / PKI).rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert len(pem.blocks(path.read_bytes(), str(path))) == 1, path
            found[str(path.relative_to(root / PKI))] = path.read_bytes()
    return found


def _discover(host: Directory) -> None:
    """What the next run begins with, of what one that died left in files."""
    finish_files(host.host)
    remove_leftovers(host.host)


def _renew(root: Path) -> None:
    Directory(root, "cp1").leaves(policy=Policy(renew_all=True), only=ONLY, run_id="killed")


def _put_back(root: Path, template: Path) -> bool:
    """Lay the old files in their places, as somebody with a copy of them does; return whether any was replaced."""
    replaced = False
    for old in (template / "etc").rglob("*"):
        new = root / old.relative_to(template)
        if old.is_file() and new.read_bytes() != old.read_bytes():
            new.write_bytes(old.read_bytes())
            replaced = True
    return replaced


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_write(tmp_path: Path, call: str) -> None:
    _kill_at_each(tmp_path, call, is_mended=False)


def test_killed_between_renames_and_put_back_by_hand(tmp_path: Path) -> None:
    _kill_at_each(tmp_path, "rename", is_mended=True)


def _kill_at_each(tmp_path: Path, call: str, is_mended: bool) -> None:
    template = tmp_path / "template"
    made(Directory(template, "cp1"))
    cut = 0
    for root, _died in each_kill(_renew, call, tmp_path, template):
        assert_no_key_is_open(root)
        _laid(root)
        host = Directory(root, "cp1")
        if not unfinished(host.host).paths:
            assert_pairs_fit(host)
        put_back = is_mended and bool(unfinished(host.host).paths) and _put_back(root, template)
        host.leaves()
        assert_pairs_fit(host)
        assert_no_key_is_open(root)
        assert not list(root.rglob("etc/**/.kubeharden-*"))
        assert host.leaves(check=True)[0] == []
        if put_back:
            assert host.files() == Directory(template, "cp1").files()
            cut += 1
    # After each of the renames but the last of them, at which nothing is left to be done: certificate, key, kubeconfig.
    assert cut >= 2 * is_mended


def _bootstrap(root: Path) -> None:
    killed(str(root))


@pytest.mark.parametrize("call", RENAMES)
def test_a_node_that_is_to_join_is_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """A token is in its file or in none, and the next run ends as if nothing had happened."""
    (tmp_path / "ca.crt").write_bytes(CA)
    for root, _died in each_kill(_bootstrap, call, tmp_path):
        with_token = [path for path in root.rglob("*") if path.is_file() and TOKEN in path.read_bytes()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in with_token)
        assert len(with_token) < 2
        finish(root)
        assert not list(root.rglob(".kubeharden-*"))
        assert finish(root) == []


def _directories(root: Path) -> None:
    settle(root)


@pytest.mark.parametrize(
    "call", ["syncfs", "rename", *(pytest.param(call, marks=pytest.mark.slow) for call in ("write", "fchmod", "mkdir"))]
)
def test_directories_of_a_new_cluster_are_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """Each is there as a whole or not at all, also between the first name and the last."""
    for root, died in each_kill(_directories, call, tmp_path):
        assert_no_key_is_open(root)
        whole = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        assert whole == [] or call == "rename" or not died
        kept = {name: state(root / name) for name in whole}
        settle(root, run_id="second")
        assert_good(root)
        assert {name: state(root / name) for name in whole} == kept


# Authorities


def _make(root: Path) -> None:
    Directory(root, "cp1").authorities(create=True, run_id="killed")


@pytest.mark.parametrize("call", CALLS)
def test_authorities_are_made_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """What was laid stays, and what belongs to it is laid beside it: nothing can be issued below another one."""
    for root, _died in each_kill(_make, call, tmp_path):
        assert_no_key_is_open(root)
        before = _laid(root)
        host = Directory(root, "cp1")
        _discover(host)
        host.authorities(create=True)
        after = _laid(root)
        assert set(after) == SHARED
        assert before.items() <= after.items()
        signers = host.signers()
        assert {name: one.key is not None for name, one in signers.items()} == dict.fromkeys(signers, True)
        assert host.authorities(create=True, check=True).changes == []
        assert_no_key_is_open(root)
        assert not list(root.rglob(".kubeharden-*"))


def _take(root: Path, run_id: str = "killed") -> None:
    """What a second control plane lacks of the first one's, sealed to a one-time key that it makes before."""
    first, second = Directory(root / "cp1", "cp1"), Directory(root / "cp2", "cp2")
    asked = second.authorities(source=True, run_id=run_id)
    if asked.receiver:
        giving = Authorities(first.store(run_id), first.pki, first.files(), NOW, Making())
        given = giving.give(asked.missing, asked.receiver, "cp2")
        second.authorities(source=True, taken=given, run_id=run_id)


@pytest.mark.parametrize("call", RENAMES)
def test_authorities_are_taken_sealed_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    template = tmp_path / "template"
    Directory(template / "cp1", "cp1").authorities(create=True)
    secrets = _secrets(template / "cp1", *AUTHORITY_KEYS, "sa.key")
    for root, _died in each_kill(_take, call, tmp_path, template):
        assert_no_key_is_open(root)
        assert _laid(root / "cp2").items() <= _laid(root / "cp1").items()
        _discover(Directory(root / "cp2", "cp2"))
        _take(root, "next")
        assert _laid(root / "cp2") == _laid(root / "cp1") == _laid(template / "cp1")
        second = Directory(root / "cp2", "cp2")
        assert second.authorities(source=True, check=True).changes == []
        assert_no_key_is_open(root)
        # Neither the one-time key is left nor a copy of what it opened.
        assert not [path for path in (root / "cp2/run").rglob("*") if path.is_file()]
        others = [path for path in (root / "cp2").rglob("*") if path.is_file() and path.suffix != ".key"]
        assert not [path for path in others if any(line in path.read_bytes() for line in secrets)]
        assert not list(root.rglob(".kubeharden-*"))


def _secrets(root: Path, *names: str) -> list[bytes]:
    return [line.encode("ascii") for name in names for line in secret_lines((root / PKI / name).read_bytes())]


# What an authority outside signs


def _outside(root: Path, with_key: bool = False) -> dict[str, Authority]:
    """The authority whose key no host has; it lies beside the host's directory."""
    files = {path: (root / path).read_bytes() for path in ("outside.crt", "outside.key")}
    one = authority.load(PairPath("outside.crt", "outside.key"), files, NOW)
    return {"kubernetes": one if with_key else dataclasses.replace(one, key=None)}


def _call(root: Path, returned: Mapping[str, Returned], **given: Any) -> list[dict[str, str]]:
    """One call of a host below that authority, and what waits after it."""
    host = Directory(root / "cp1", "cp1")
    given.update(outside=frozenset({"kubernetes"}), brought=_outside(root), only=ONLY, returned=returned)
    _changes, planned = host.leaves(**given)
    return planned.unsigned()


def _ask(root: Path) -> None:
    _call(root, {}, run_id="killed")


def _take_in(root: Path) -> None:
    _call(root, _returned(root), run_id="killed")


def _returned(root: Path) -> dict[str, Returned]:
    return {path.stem: Returned(path.read_bytes(), str(path)) for path in (root / "returned").iterdir()}


def _sign(root: Path, asked: list[dict[str, str]]) -> None:
    """Lay what comes back for requests beside the host's directory."""
    signer = _outside(root, with_key=True)["kubernetes"]
    for one in asked:
        found = issue.read_request(one["request"].encode(), one["name"])
        facts = issue.issue(found.profile, found.public_key, signer, NOW, 24 * 3600.0)
        (root / "returned" / f"{one['name']}.crt").write_bytes(issue.certificate_pem(facts, signer.chain))


def _below_an_outside_one(root: Path) -> Path:
    """A host with authorities, of which that of the cluster has its key elsewhere."""
    (root / "returned").mkdir(parents=True)
    outside = authority.create(profile.wanted_authority("outside"), NOW - 3600)
    for suffix, data in zip(("crt", "key"), authority.files(outside)):
        (root / f"outside.{suffix}").write_bytes(data)
    (root / "outside.key").chmod(0o600)
    Directory(root / "cp1", "cp1").authorities(create=True, brought=_outside(root))
    return root


def _waiting(root: Path) -> dict[str, bytes]:
    """By name, the requests that wait; each with its key, without which it is none."""
    found = {}
    for path in (root / "cp1" / REQUESTS[1:]).glob("[!.]*.csr"):
        if path.with_suffix(".key").exists():
            key = keys.load_private(path.with_suffix(".key").read_bytes(), path.stem)
            assert issue.read_request(path.read_bytes(), path.stem).public_key == keys.public_bytes(key)
            found[path.stem] = path.read_bytes()
    return found


def _assert_taken_in(root: Path) -> None:
    """What came back is in its place with its key, and of the requests nothing is left."""
    host = Directory(root / "cp1", "cp1")
    _discover(host)
    assert _call(root, _returned(root)) == []
    assert_pairs_fit(_narrowed(host))
    served = profile.from_pem((root / "cp1" / PKI / "apiserver.crt").read_bytes(), "apiserver.crt")
    assert served == profile.from_pem(_returned(root)["apiserver"].data, "what came back")
    assert list((root / "cp1" / REQUESTS[1:]).iterdir()) == []
    assert_no_key_is_open(root)
    assert not list(root.rglob(".kubeharden-*"))


def _narrowed(host: Directory) -> Directory:
    host.pki = dataclasses.replace(host.pki, leaves=tuple(leaf for leaf in host.pki.leaves if leaf.name in ONLY))
    return host


@pytest.mark.parametrize("call", ["unlink", *CALLS])
def test_requests_for_outside_are_kept_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """One is there with its key or not at all; one that somebody may be signing by now is not made anew."""
    template = _below_an_outside_one(tmp_path / "template")
    for root, _died in each_kill(_ask, call, tmp_path, template):
        assert_no_key_is_open(root)
        before = _waiting(root)
        _discover(Directory(root / "cp1", "cp1"))
        asked = _call(root, {})
        assert {one["name"] for one in asked} == set(ONLY)
        assert before.items() <= _waiting(root).items()
        assert {one["name"]: one["request"].encode() for one in asked} == _waiting(root)
        assert not list(root.rglob(".kubeharden-*"))
        _sign(root, asked)
        _assert_taken_in(root)


@pytest.mark.parametrize("call", ["unlink", *CALLS])
def test_what_came_back_is_taken_in_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    template = _below_an_outside_one(tmp_path / "template")
    _sign(template, _call(template, {}))
    for root, _died in each_kill(_take_in, call, tmp_path, template):
        assert_no_key_is_open(root)
        _laid(root / "cp1")
        _waiting(root)
        _assert_taken_in(root)


# Keys that the controller has by now


def _take_away(root: Path, run_id: str = "killed") -> None:
    host = Directory(root, "cp1")
    kept = json.loads((root / "controller").read_text(encoding="ascii"))
    signers = {name: keys.load_private(text.encode("ascii"), name) for name, text in kept.items()}
    proofs = {name: proof_of(key, run_id, "cp1", name) for name, key in signers.items()}
    Authorities(host.store(run_id), host.pki, host.files(), NOW, Making()).take_away(proofs, "cp1", check=False)


@pytest.mark.parametrize("call", ["unlink", *CALLS])
def test_keys_that_the_controller_has_are_removed_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    """None goes of which no record says that it does not come back, and none is left in the end."""
    template = tmp_path / "template"
    host = Directory(template, "cp1")
    host.authorities(create=True)
    secrets = _secrets(template, *AUTHORITY_KEYS)
    kept = {name: keys.private_pem(one.key).decode() for name, one in host.signers().items() if one.key is not None}
    (template / "controller").write_text(json.dumps(kept), encoding="ascii")
    (template / "controller").chmod(0o600)
    whole = _laid(template)
    for root, _died in each_kill(_take_away, call, tmp_path, template):
        left = _laid(root)
        assert left.items() <= whole.items()
        gone = {f"/{PKI}/{name}" for name in whole.keys() - left.keys()}
        assert gone <= {f"/{PKI}/{name}" for name in AUTHORITY_KEYS} & _noted(root)
        _discover(Directory(root, "cp1"))
        _take_away(root, "next")
        assert _laid(root) == {name: data for name, data in whole.items() if name not in AUTHORITY_KEYS}
        (root / "controller").unlink()
        others = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
        assert not any(line in data for line in secrets for data in others)


def _noted(root: Path) -> set[str]:
    """What the records say does not come back."""
    records = (root / "var/lib/kubeharden/backups").glob("*/[!.]*.json")
    entries = [entry for path in records for entry in json.loads(path.read_text(encoding="utf-8"))["entries"]]
    return {entry["target"] for entry in entries if entry["kind"] == "one_way"}
