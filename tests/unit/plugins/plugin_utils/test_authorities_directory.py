# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on the controller that alone has the authorities' keys."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, keys, profile
from ansible_collections.kubeharden.core.plugins.plugin_utils import pki_cluster
from ansible_collections.kubeharden.core.plugins.plugin_utils.authorities_directory import (
    AuthoritiesDirectory,
    problems,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    assert_no_key_is_open,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.kills import each_kill
from ansible_collections.kubeharden.core.tests.unit.plugins.plugin_utils.test_pki_cluster import (
    FOUND,
    PKI,
    control_plane,
    worker,
)
from tools.lacking import lacking

NOW = 1_800_000_000.0
DAY = 86400.0
ALL = ["kubernetes", "etcd", "front-proxy"]
SUFFIXES = ("crt", "key")
EMPTY = {"cp1": control_plane(1, files={}), "cp2": control_plane(2, files={}), "w1": worker()}
CA_KEYS = [f"{PKI}/ca.key", f"{PKI}/etcd/ca.key", f"{PKI}/front-proxy-ca.key"]
LAID = {"pki_certificate": [f"{PKI}/ca.crt", f"{PKI}/etcd/ca.crt", f"{PKI}/front-proxy-ca.crt"]}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, ""),
        ({"kubeharden_pki_authorities_dir": "x", "kubeharden_pki_authorities_passphrase_file": "y"}, ""),
        ({"kubeharden_pki_authorities_passphrase_file": "y"}, "says nothing without kubeharden_pki_authorities_dir"),
        ({"kubeharden_pki_authorities_move": "false"}, ""),
        ({"kubeharden_pki_authorities_move": "true"}, "move says nothing without kubeharden_pki_authorities_dir"),
        ({"kubeharden_pki_authorities_move": True}, "move says nothing without kubeharden_pki_authorities_dir"),
        ({"kubeharden_pki_authorities_dir": "x", "kubeharden_pki_requests_dir": "y"}, "say two things"),
        ({"kubeharden_pki_authorities_dir": "x", "kubeharden_pki_authorities": {"etcd": {}}}, "say two things"),
    ],
)
def test_the_variables(variables: dict[str, Any], sentence: str) -> None:
    found = problems(variables)
    assert bool(found) == bool(sentence)
    assert sentence in " ".join(found)


def kept(tmp_path: Path, passphrase: bytes | None = None) -> AuthoritiesDirectory:
    """The directory, which is not there yet; its passphrase is in a file that only this user may read."""
    file = tmp_path / "passphrase"
    if passphrase is not None:
        file.write_bytes(passphrase)
        file.chmod(0o600)
    secret = "" if passphrase is None else str(file)
    return AuthoritiesDirectory(str(tmp_path / "kept"), secret, lambda path: Path(path).read_bytes(), NOW)


def modes(directory: str) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in Path(directory).iterdir()}


@pytest.mark.parametrize("passphrase", [None, b"open sesame\n"])
def test_what_is_made_is_private_and_signs(tmp_path: Path, passphrase: bytes | None) -> None:
    found = kept(tmp_path, passphrase)
    assert (found.names, found.authorities()) == ([], {})
    found.create(["kubernetes", "etcd"], "ECDSA-P256", 3650 * DAY)
    assert found.names == found.keyless == ["kubernetes", "etcd"]
    assert os.stat(found.directory).st_mode & 0o777 == 0o700
    assert modes(found.directory) == {
        "kubernetes.crt": 0o644,
        "kubernetes.key": 0o600,
        "etcd.crt": 0o644,
        "etcd.key": 0o600,
    }
    for name, one in found.authorities().items():
        assert one.key is not None
        assert one.facts.public_key == keys.public_bytes(one.key)
        assert one.facts.not_after == NOW + 3650 * DAY
        data = Path(found.path(name, "key")).read_bytes()
        assert (b"ENCRYPTED" in data) == (passphrase is not None)
        assert found.certificates([name])[name].encode() == Path(found.path(name, "crt")).read_bytes()
    assert found.judge(["kubernetes"]) == {}
    assert found.notes() == []


def test_a_run_that_died_before_the_certificate_is_finished_with_its_key(tmp_path: Path) -> None:
    found = kept(tmp_path)
    found.create(["kubernetes"], "ECDSA-P256", DAY)
    key = Path(found.path("kubernetes", "key")).read_bytes()
    Path(found.path("kubernetes", "crt")).unlink()
    assert found.names == []
    found.create(["kubernetes"], "RSA-2048", DAY)
    assert Path(found.path("kubernetes", "key")).read_bytes() == key
    assert list(found.authorities()) == ["kubernetes"]


def test_a_key_that_lies_open_beside_a_passphrase_is_told(tmp_path: Path) -> None:
    kept(tmp_path).create(["etcd"], "ECDSA-P256", DAY)
    found = kept(tmp_path, b"open sesame")
    assert list(found.authorities()) == ["etcd"]
    assert "etcd.key is not encrypted" in found.notes()[0]


def test_a_passphrase_that_ansible_vault_encrypted_may_be_read_by_others(tmp_path: Path) -> None:
    found = kept(tmp_path, b"$ANSIBLE_VAULT;1.1;AES256\n")
    found.create(["etcd"], "ECDSA-P256", DAY)
    (tmp_path / "passphrase").chmod(0o644)
    assert list(found.authorities()) == ["etcd"]


def test_a_credential_of_systemd_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(tmp_path, b"open sesame")
    found.create(["etcd"], "ECDSA-P256", DAY)
    (tmp_path / "passphrase").chmod(0o440)  # so it shows the list of who may read it
    with pytest.raises(HardeningError, match="passphrase has mode 0440"):
        found.authorities()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert list(found.authorities()) == ["etcd"]


def _directory_open(directory: Path) -> None:
    directory.chmod(0o701)


def _key_open(directory: Path) -> None:
    (directory / "etcd.key").chmod(0o604)


def _passphrase_open(directory: Path) -> None:
    (directory.parent / "passphrase").chmod(0o640)


def _passphrase_wrong(directory: Path) -> None:
    (directory.parent / "passphrase").write_bytes(b"open barley")


def _passphrase_empty(directory: Path) -> None:
    (directory.parent / "passphrase").write_bytes(b"\n")


def _key_lost(directory: Path) -> None:
    (directory / "etcd.key").unlink()


def _key_damaged(directory: Path) -> None:
    path = directory / "etcd.key"
    path.write_bytes(path.read_bytes()[:100])


def _key_of_another(directory: Path) -> None:
    (directory / "etcd.key").write_bytes((directory / "kubernetes.key").read_bytes())


def _key_dangling(directory: Path) -> None:
    _key_lost(directory)
    (directory / "etcd.key").symlink_to("nowhere")


def _no_directory(directory: Path) -> None:
    directory.rename(directory.parent / "elsewhere")
    directory.write_bytes(b"")


def _certificate_of_none(directory: Path) -> None:
    (directory / "etcd.crt").write_bytes(b"no certificate")


@pytest.mark.parametrize(
    ("spoil", "number", "sentence"),
    [
        (_directory_open, "KH312", r"kept has mode 0701.*give it mode 0700"),
        (_key_open, "KH312", r"etcd\.key has mode 0604.*give it mode 0600"),
        (_passphrase_open, "KH312", r"passphrase has mode 0640"),
        (_passphrase_wrong, "KH303", r"passphrase does not open the key in .*kubernetes\.key"),
        (_passphrase_empty, "KH303", r"is empty instead of holding the passphrase of the keys in"),
        (_key_lost, "KH302", r"etcd\.key, the key of the authority in .*etcd\.crt, is missing"),
        (_key_damaged, "KH303", r"etcd\.key"),
        (_key_of_another, "KH304", r"etcd\.key"),
        (_key_dangling, "KH312", r"etcd\.key could not be looked at"),
        (_no_directory, "KH312", r"is no directory"),
        (_certificate_of_none, "KH303", r"etcd\.crt"),
    ],
)
def test_what_is_refused(tmp_path: Path, spoil: Callable[[Path], None], number: str, sentence: str) -> None:
    found = kept(tmp_path, b"open sesame")
    found.create(["kubernetes", "etcd"], "ECDSA-P256", DAY)
    spoil(tmp_path / "kept")
    for use in (found.authorities, lambda: found.require(EMPTY), lambda: found.judge([])):
        with pytest.raises(HardeningError, match=sentence) as caught:
            use()
        assert caught.value.number == number
        assert "barley" not in str(caught.value)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacking("only root can give a file to somebody else")
    found = kept(tmp_path)
    found.create(["etcd"], "ECDSA-P256", DAY)
    os.chown(found.directory, 65534, 65534)
    with pytest.raises(HardeningError, match="belongs to the user with the number 65534"):
        found.authorities()


def test_hosts_that_it_does_not_fit_are_refused(tmp_path: Path) -> None:
    found = kept(tmp_path)
    found.require(EMPTY)
    with pytest.raises(HardeningError, match="cp1 has the key of the authority 'kubernetes'"):
        found.require(FOUND)
    # Keys that are moved: those that this run brings, and no others.
    found.require(FOUND, move=True, awaited=True)
    with pytest.raises(HardeningError, match=r"run harden\.yml first"):
        found.require(FOUND, move=True)
    laid = {"cp1": control_plane(1, files=LAID), "w1": worker()}
    with pytest.raises(HardeningError, match="cp1 has the certificate of the authority 'kubernetes', whose key"):
        found.require(laid)
    with pytest.raises(HardeningError, match="cp1 has the certificate of the authority 'kubernetes', whose key"):
        found.require(laid, move=True, awaited=True)
    found.require({**laid, "cp2": control_plane(2, files={**LAID, "pki_key": CA_KEYS})}, move=True, awaited=True)
    found.create(ALL, "ECDSA-P256", DAY)
    found.require(laid)
    found.require(FOUND, move=True)
    with pytest.raises(HardeningError, match="set kubeharden_pki_authorities_move"):
        found.require(FOUND)


def test_the_authority_of_an_etcd_that_runs_elsewhere_is_not_asked_for(tmp_path: Path) -> None:
    found = kept(tmp_path)
    found.create(["kubernetes", "front-proxy"], "ECDSA-P256", DAY)
    one = control_plane(1, files=LAID)
    del one["components"]["etcd"]
    found.require({"cp1": one})


def test_an_intermediate_comes_with_those_above_it(tmp_path: Path) -> None:
    top = authority.create(profile.wanted_authority("root"), NOW)
    own = authority.create_below(profile.wanted_authority("own"), top, NOW)
    found = kept(tmp_path)
    found.create(["etcd"], "ECDSA-P256", DAY)
    certificate, key = authority.files(own)
    Path(found.path("etcd", "crt")).write_bytes(certificate + authority.files(top)[0])
    Path(found.path("etcd", "key")).write_bytes(key)
    assert found.certificates(["etcd"])["etcd"].count("BEGIN CERTIFICATE") == 2
    assert found.authorities()["etcd"].chain == (own.facts,)


@pytest.mark.parametrize(
    ("found", "group", "present", "names"),
    [
        pytest.param(EMPTY, ["cp1", "cp2"], [], ALL, id="none anywhere"),
        pytest.param(EMPTY, ["cp1", "cp2"], ["etcd"], ["kubernetes", "front-proxy"], id="one is kept already"),
        pytest.param(EMPTY, ["cp1", "cp2", "cp3"], [], [], id="one that was not asked may have them"),
        pytest.param(EMPTY, [], [], [], id="no control plane in the inventory"),
        pytest.param(FOUND, ["cp1", "cp2"], [], ["etcd", "front-proxy"], id="a control plane has one"),
        pytest.param(
            {**EMPTY, "cp2": control_plane(2, files=LAID)}, ["cp1", "cp2"], [], [], id="certificates are there"
        ),
    ],
)
def test_what_the_controller_makes(
    found: dict[str, dict[str, Any]], group: list[str], present: list[str], names: list[str]
) -> None:
    assert pki_cluster.are_kept(found, group, "cp1", present) == names


def test_the_key_of_tokens_is_taken_from_the_control_plane_that_has_it() -> None:
    """No control plane has an authority's key then, by which it was known before who has what."""
    second = {**EMPTY, "cp2": control_plane(2, files={"pki_key": [f"{PKI}/sa.key"]})}
    assert pki_cluster.authority_host(second) == "cp2"
    assert pki_cluster.authority_host(EMPTY) == "cp1"
    assert pki_cluster.authority_host({**second, "cp1": FOUND["cp1"]}) == "cp1"
    assert pki_cluster.can_sign(second, ["cp1", "cp2"])


# From control planes to the controller


def pairs(*names: str) -> dict[str, tuple[bytes, bytes]]:
    made = {name: authority.create(profile.wanted_authority(name), NOW, "RSA-2048") for name in names}
    return {name: authority.files(one) for name, one in made.items()}


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_what_is_brought_is_kept_as_what_is_made_and_proves_itself(tmp_path: Path, passphrase: bytes | None) -> None:
    found = kept(tmp_path, passphrase)
    given = pairs("kubernetes", "etcd")
    found.bring(given, "cp1")
    assert modes(found.directory)["etcd.key"] == 0o600
    assert (b"ENCRYPTED" in Path(found.path("etcd", "key")).read_bytes()) == (passphrase is not None)
    for name, one in found.authorities().items():
        assert authority.files(one) == given[name]
        proof = base64.b64decode(found.prove([name], "run", "cp1")[name])
        message = b"kubeharden: this key is on the controller\nrun\ncp1\n" + name.encode() + b"\nkey"
        assert keys.verifies(one.facts.public_key, message, proof)
        assert not keys.verifies(one.facts.public_key, message + b"x", proof)


def test_a_run_that_died_while_it_brought_keys_is_finished(tmp_path: Path) -> None:
    found = kept(tmp_path, b"open sesame")
    given = pairs("etcd")
    found.bring(given, "cp1")
    key = Path(found.path("etcd", "key")).read_bytes()
    Path(found.path("etcd", "crt")).unlink()
    found.bring(given, "cp1")
    assert Path(found.path("etcd", "key")).read_bytes() == key
    Path(found.path("etcd", "crt")).unlink()
    with pytest.raises(HardeningError) as caught:
        found.bring(pairs("etcd"), "cp1")
    assert caught.value.number == "KH304"
    assert Path(found.path("etcd", "key")).read_bytes() == key


def test_a_key_that_is_not_the_certificates_is_not_kept(tmp_path: Path) -> None:
    found = kept(tmp_path)
    one, other = pairs("etcd")["etcd"], pairs("etcd")["etcd"]
    with pytest.raises(HardeningError):
        found.bring({"etcd": (one[0], other[1])}, "cp1")
    assert found.names == []
    assert not os.path.exists(found.path("etcd", "key"))


# Killed at every system call that writes

PHRASE = b"open sesame"
CALLS = ("rename", "fsync", *(pytest.param(call, marks=pytest.mark.slow) for call in ("write", "fchmod")))
NAMES = ("kubernetes", "etcd")


def _create(root: Path) -> None:
    found = kept(root, PHRASE)
    found.create([name for name in NAMES if name not in found.names], "ECDSA-P256", DAY)


def _bring(root: Path) -> None:
    found = kept(root, PHRASE)
    found.bring({name: pair for name, pair in _given(root).items() if name not in found.names}, "cp1")


def _given(root: Path) -> dict[str, tuple[bytes, bytes]]:
    return {name: ((root / f"{name}.crt").read_bytes(), (root / f"{name}.key").read_bytes()) for name in NAMES}


def _whole(root: Path) -> dict[str, bytes]:
    """The directory's files by name; each key is opened by the passphrase, and each certificate has its key."""
    found = kept(root, PHRASE)
    there = {path.name: path.read_bytes() for path in root.glob("kept/[!.]*")}
    for name, data in there.items():
        if name.endswith(".key"):
            keys.load_private(data, name, PHRASE)
    for name, one in found.authorities().items():
        assert one.key is not None, name
        assert one.facts.public_key == keys.public_bytes(one.key), name
    assert_no_key_is_open(root)
    return there


def _assert_finished(root: Path, before: dict[str, bytes]) -> None:
    """Nothing but the pairs is there, and what was there before is as it was."""
    after = _whole(root)
    assert before.items() <= after.items()
    assert {path.name for path in root.glob("kept/*")} == {f"{name}.{suffix}" for name in NAMES for suffix in SUFFIXES}


@pytest.mark.parametrize("call", CALLS)
def test_authorities_are_made_here_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    for root, _died in each_kill(_create, call, tmp_path):
        before = _whole(root)
        _create(root)
        _assert_finished(root, before)


@pytest.mark.parametrize("call", CALLS)
def test_authorities_are_brought_here_and_killed_at_every_write(tmp_path: Path, call: str) -> None:
    template = tmp_path / "template"
    template.mkdir()
    for name in NAMES:
        for suffix, data in zip(SUFFIXES, authority.files(authority.create(profile.wanted_authority(name), NOW))):
            (template / f"{name}.{suffix}").write_bytes(data)
            (template / f"{name}.{suffix}").chmod(0o600)
    for root, _died in each_kill(_bring, call, tmp_path, template):
        before = _whole(root)
        _bring(root)
        _assert_finished(root, before)
        assert {name: authority.files(one) for name, one in kept(root, PHRASE).authorities().items()} == _given(root)


SIGNING = f"{PKI}/ca.key"


def manager(flag: str = "", argument: str = "", running: bool = True, live: bool = True) -> dict[str, Any]:
    """A control plane whose controller-manager names a file by its manifest and by how it was started."""
    one = control_plane(1, live=live)
    for component in one["components"].values():
        component["arguments"] = []
    one["components"]["kube-controller-manager"] = {
        "flags": {"cluster-signing-key-file": flag},
        "arguments": ["kube-controller-manager", f"--cluster-signing-key-file={argument}"],
        "running": running,
    }
    return one


@pytest.mark.parametrize(
    ("one", "unused"),
    [
        (manager(), True),
        (manager(flag=SIGNING), False),
        (manager(argument=SIGNING), False),
        (manager(flag=f"{PKI}/front-proxy-ca.key"), False),
        (manager(running=False), False),
        (manager(running=False, live=False), True),
    ],
)
def test_when_no_component_uses_a_key(one: dict[str, Any], unused: bool) -> None:
    assert pki_cluster.are_unused({"cp1": one, "w1": worker()}, ["cp1"]) == unused
    assert not pki_cluster.are_unused({"cp1": one}, ["cp1", "cp2"])
    assert not pki_cluster.are_unused({"cp1": one}, [])
