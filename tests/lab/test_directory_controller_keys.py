# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities whose keys the controller alone has: made, used and renewed on directories that stand for hosts.

Needs neither a cluster nor root.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, keys, profile
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import secret_lines
from lab.test_directory_hosts import Hosts, refused

PKI = "etc/kubernetes/pki"
NAMES = ("kubernetes", "etcd", "front-proxy")
FILES = {"kubernetes": "ca", "etcd": "etcd/ca", "front-proxy": "front-proxy-ca"}
PASSPHRASE = b"open sesame"
TAGS = ("--tags", "pki")


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


class Kept:
    """The controller's directory, with a passphrase or without."""

    def __init__(self, directory: Path, passphrase: bytes | None = None) -> None:
        self.directory = directory / "authorities"
        self.file = directory / "passphrase"
        self.passphrase = passphrase
        self.variables: dict[str, Any] = {"pki_authorities_dir": str(self.directory)}
        if passphrase is not None:
            self.file.write_bytes(passphrase + b"\n")
            self.file.chmod(0o600)
            self.variables["pki_authorities_passphrase_file"] = str(self.file)

    def key(self, name: str) -> keys.PrivateKey:
        return keys.load_private((self.directory / f"{name}.key").read_bytes(), name, self.passphrase)

    def secrets(self) -> list[str]:
        """Lines that nobody may see: of the keys, open and as they lie there, and the passphrase."""
        open_keys = [keys.private_pem(self.key(name)) for name in NAMES]
        found = secret_lines(b"".join([*open_keys, *(path.read_bytes() for path in self.directory.glob("*.key"))]))
        return found if self.passphrase is None else [*found, self.passphrase.decode()]

    def state(self) -> dict[str, tuple[int, int]]:
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.directory.iterdir()}


def lines_on(hosts: Hosts, lines: list[str]) -> list[str]:
    """The files of the hosts in which one of the lines stands."""
    found = []
    for path in hosts.roots.rglob("*"):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found += [str(path) for line in lines if line in text]
    return found


def certificate(hosts: Hosts, host: str, name: str) -> profile.CertificateFacts:
    return bundle.parse((hosts.root(host) / PKI / name).read_bytes(), name)[0]


@pytest.mark.parametrize("passphrase", [pytest.param(None, marks=pytest.mark.slow), PASSPHRASE])
def test_what_is_missing_is_made_and_signed_on_the_controller(
    hosts: Hosts, tmp_path: Path, passphrase: bytes | None
) -> None:
    kept = Kept(tmp_path, passphrase)
    before = hosts.state()
    foretold = hosts.harden("--check", *TAGS, **kept.variables)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == before
    assert not kept.directory.exists()
    expected = hosts.changes
    done = hosts.harden(*TAGS, "-vvvv", **kept.variables)
    assert done.code == 0, str(done)
    assert hosts.changes == expected
    for run in (foretold, done):
        assert f"are made in {kept.directory} on the controller and are nowhere else" in " ".join(run.output.split())

    told = done.output + (hosts.report / "changes.json").read_text(encoding="utf-8")
    assert not [line for line in kept.secrets() if line in told]
    assert lines_on(hosts, kept.secrets()) == []
    assert hosts.keys_told(done) == []
    assert stat.S_IMODE(kept.directory.stat().st_mode) == 0o700
    for name in NAMES:
        key = kept.directory / f"{name}.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert (b"ENCRYPTED" in key.read_bytes()) == (passphrase is not None)
        own = bundle.parse((kept.directory / f"{name}.crt").read_bytes(), name)[0]
        assert own.public_key == keys.public_bytes(kept.key(name))
        for host in ("cp1", "cp2"):
            assert certificate(hosts, host, f"{FILES[name]}.crt").der == own.der
            assert not (hosts.root(host) / PKI / f"{FILES[name]}.key").exists()
    below = {
        "apiserver.crt": "ca.crt",
        "etcd/server.crt": "etcd/ca.crt",
        "front-proxy-client.crt": "front-proxy-ca.crt",
    }
    for host in ("cp1", "cp2"):
        for leaf, signer in below.items():
            assert issue.is_signed_by(certificate(hosts, host, leaf), certificate(hosts, host, signer))
        assert (hosts.root(host) / "etc/kubernetes/admin.conf").exists()
    assert (hosts.root("w1") / PKI / "ca.crt").read_bytes() == (hosts.root("cp1") / PKI / "ca.crt").read_bytes()
    # What signs tokens is no authority: the control planes need it and share it.
    assert len({(hosts.root(host) / PKI / "sa.key").read_bytes() for host in ("cp1", "cp2")}) == 1

    state, on_controller = hosts.state(), kept.state()
    second = hosts.harden(*TAGS, **kept.variables)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)
    assert (hosts.state(), kept.state()) == (state, on_controller)


def made(hosts: Hosts, kept: Kept) -> None:
    run = hosts.harden(*TAGS, **kept.variables)
    assert run.code == 0, str(run)


@pytest.mark.slow
def test_all_are_renewed_by_the_controller(hosts: Hosts, tmp_path: Path) -> None:
    kept = Kept(tmp_path, PASSPHRASE)
    made(hosts, kept)
    before = certificate(hosts, "cp2", "apiserver.crt")
    foretold = hosts.play("rotate_certificates.yml", "--check", pki_renew="all", **kept.variables)
    assert foretold.code == 0, str(foretold)
    expected = hosts.changes
    run = hosts.play("rotate_certificates.yml", pki_renew="all", **kept.variables)
    assert run.code == 0, str(run)
    assert hosts.changes == expected != []
    after = certificate(hosts, "cp2", "apiserver.crt")
    assert (after.profile.names, after.profile.subject) == (before.profile.names, before.profile.subject)
    assert after.serial_number != before.serial_number
    assert issue.is_signed_by(after, certificate(hosts, "cp2", "ca.crt"))
    assert lines_on(hosts, kept.secrets()) == []


def _open_directory(kept: Kept) -> None:
    kept.directory.chmod(0o750)


def _open_key(kept: Kept) -> None:
    (kept.directory / "etcd.key").chmod(0o640)


def _wrong_passphrase(kept: Kept) -> None:
    kept.file.write_bytes(b"open barley\n")


def _another(kept: Kept) -> None:
    other = authority.create(profile.wanted_authority("another"), time.time())
    certificate_file, key_file = authority.files(other)
    (kept.directory / "etcd.crt").write_bytes(certificate_file)
    (kept.directory / "etcd.key").write_bytes(key_file)


# All that is refused is in the unit tests of authorities_directory.py; here is how it reaches a person.
REFUSED: list[tuple[Callable[[Kept], None], tuple[str, ...], tuple[str, ...]]] = [
    (_open_directory, ("--check",), ("KH312", "authorities has mode 0750", "give it mode 0700")),
    (_open_key, (), ("KH312", "etcd.key has mode 0640", "give it mode 0600")),
    (_wrong_passphrase, (), ("KH303", "The passphrase does not open the key in")),
    (_another, ("--check",), ("KH305", "The authority 'etcd' in /etc/kubernetes/pki/etcd/ca.crt is another", "never")),
]


@pytest.mark.slow
def test_what_could_not_be_relied_on_is_refused_in_one_sentence(hosts: Hosts, tmp_path: Path) -> None:
    kept = Kept(tmp_path, PASSPHRASE)
    made(hosts, kept)
    state = hosts.state()
    for spoil, arguments, words in REFUSED:
        there = {path: (path.read_bytes(), path.stat().st_mode) for path in [*kept.directory.iterdir(), kept.file]}
        spoil(kept)
        run = hosts.harden(*arguments, *TAGS, **kept.variables)
        refused(run, "cp1", *words)
        assert "open barley" not in run.output
        assert hosts.state() == state
        kept.directory.chmod(0o700)
        for path, (data, permissions) in there.items():
            path.write_bytes(data)
            os.chmod(path, permissions)
    again = hosts.harden(*TAGS, **kept.variables)
    assert again.changed == dict.fromkeys(hosts.names, 0), str(again)


def on_hosts(hosts: Hosts) -> list[Path]:
    """The keys of authorities that control planes have."""
    paths = [hosts.root(host) / PKI / f"{name}.key" for host in ("cp1", "cp2") for name in FILES.values()]
    return [path for path in paths if path.exists()]


@pytest.mark.slow
def test_a_key_that_a_control_plane_has_is_not_taken_away_unasked(hosts: Hosts, tmp_path: Path) -> None:
    assert hosts.harden(*TAGS).code == 0
    kept = Kept(tmp_path)
    state = hosts.state()
    for playbook in ("harden.yml", "rotate_certificates.yml"):
        run = hosts.play(playbook, *TAGS, **kept.variables)
        refused(run, "cp1", "KH305", "cp1 has the key of the authority 'kubernetes'", "leave the variable away")
    run = hosts.play("rotate_certificates.yml", *TAGS, **kept.variables, pki_authorities_move=True)
    refused(run, "cp1", "KH305", "is not in", "run harden.yml first, which brings it there")
    assert hosts.state() == state
    assert not kept.directory.exists()


@pytest.mark.slow
def test_keys_are_moved_in_two_runs_and_removed_in_the_second(hosts: Hosts, tmp_path: Path) -> None:
    moved = ("--tags", "pki,controller_manager")
    assert hosts.harden(*moved).code == 0
    keys_before = {path: path.read_bytes() for path in on_hosts(hosts)}
    assert len(keys_before) == 6
    kept = Kept(tmp_path, PASSPHRASE)
    moving = {**kept.variables, "pki_authorities_move": True}
    state = hosts.state()
    foretold = hosts.harden("--check", *moved, **moving)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == state
    assert not kept.directory.exists()
    expected = hosts.changes
    first = hosts.harden("-vvvv", *moved, **moving)
    assert first.code == 0, str(first)
    assert hosts.changes == expected
    # They are in both places until kube-controller-manager was seen to run without them.
    assert {path: path.read_bytes() for path in on_hosts(hosts)} == keys_before
    for name, file in FILES.items():
        assert keys.private_pem(kept.key(name)) == keys_before[hosts.root("cp1") / PKI / f"{file}.key"]
    manager = "etc/kubernetes/manifests/kube-controller-manager.yaml"
    for host in ("cp1", "cp2"):
        assert "- --cluster-signing-key-file=\n" in (hosts.root(host) / manager).read_text(encoding="utf-8")
    told = first.output + (hosts.report / "changes.json").read_text(encoding="utf-8")
    assert not [line for line in kept.secrets() if line in told]
    assert hosts.keys_told(first) == []

    state = hosts.state()
    foretold = hosts.harden("--check", *moved, **moving)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == state
    expected = hosts.changes
    second = hosts.harden(*moved, **moving)
    assert second.code == 0, str(second)
    assert hosts.changes == expected
    assert {(change["action"], change["target"]) for change in expected} == {
        ("remove", f"/{PKI}/{file}.key") for file in FILES.values()
    }
    assert on_hosts(hosts) == []
    assert lines_on(hosts, kept.secrets()) == []
    state = hosts.state()
    third = hosts.harden(*moved, **moving)
    assert third.changed == dict.fromkeys(hosts.names, 0), str(third)
    assert hosts.state() == state

    before = certificate(hosts, "cp2", "apiserver.crt")
    renewed = hosts.play("rotate_certificates.yml", pki_renew="all", **kept.variables)
    assert renewed.code == 0, str(renewed)
    after = certificate(hosts, "cp2", "apiserver.crt")
    assert after.serial_number != before.serial_number
    assert issue.is_signed_by(after, certificate(hosts, "cp2", "ca.crt"))


@pytest.mark.slow
def test_an_authority_of_ones_own_is_laid_there(hosts: Hosts, tmp_path: Path) -> None:
    kept = Kept(tmp_path, PASSPHRASE)
    kept.directory.mkdir(mode=0o700)
    now = time.time() - 3600
    top = authority.create(profile.wanted_authority("Example root"), now)
    own = authority.create_below(profile.wanted_authority("Example kubernetes"), top, now, "RSA-2048")
    _open, encrypted = authority.files(own, PASSPHRASE)
    (kept.directory / "kubernetes.crt").write_bytes(bundle.join([own.facts, top.facts]))
    (kept.directory / "kubernetes.key").write_bytes(encrypted)
    (kept.directory / "kubernetes.key").chmod(0o600)
    foretold = hosts.harden("--check", *TAGS, **kept.variables)
    assert foretold.code == 0, str(foretold)
    expected = hosts.changes
    made(hosts, kept)
    assert hosts.changes == expected
    for host in ("cp1", "cp2"):
        served = bundle.parse((hosts.root(host) / PKI / "apiserver.crt").read_bytes(), "apiserver.crt")
        assert issue.is_signed_by(served[0], own.facts)
        assert [one.fingerprint for one in served[1:]] == [own.facts.fingerprint]
        assert not (hosts.root(host) / PKI / "ca.key").exists()
    assert (kept.directory / "kubernetes.key").read_bytes() == encrypted
    assert (kept.directory / "etcd.key").exists()


@pytest.mark.slow
def test_the_controller_manager_is_told_to_sign_nothing(hosts: Hosts, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    run = hosts.harden(**kept.variables)
    assert run.code == 0, str(run)
    for host in ("cp1", "cp2"):
        manifest = (hosts.root(host) / "etc/kubernetes/manifests/kube-controller-manager.yaml").read_text("utf-8")
        for flag in ("cluster-signing-cert-file", "cluster-signing-key-file"):
            assert [line.strip() for line in manifest.splitlines() if flag in line] == [f"- --{flag}="]
    second = hosts.harden(**kept.variables)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)


def test_what_the_variables_may_not_say_is_told_before_any_host_is_asked(hosts: Hosts, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    run = hosts.harden(**kept.variables, pki_requests_dir=str(tmp_path / "requests"))
    assert run.code == 2, str(run)
    assert "kubeharden_pki_authorities_dir and kubeharden_pki_requests_dir say two things" in run.output
    run = hosts.harden(pki_authorities_passphrase_file=str(tmp_path / "x"))
    assert (
        "kubeharden_pki_authorities_passphrase_file says nothing without kubeharden_pki_authorities_dir" in run.output
    )
