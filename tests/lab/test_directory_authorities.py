# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""harden.yml and rotate_certificates.yml with authorities that are not Kubeharden's own, on directories.

Needs neither a cluster nor root.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, bundle, issue, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import secret_lines
from lab.test_directory_hosts import Hosts, refused
from tools.checkout import ROOT
from tools.runs import ansible

PKI = "etc/kubernetes/pki"
PASSPHRASE = b"open sesame"


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


class Brought:
    """Authorities in files of the controller, those above them too, one key with a passphrase."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        now = time.time() - 3600
        top = authority.create(profile.wanted_authority("Example root"), now)
        middle = authority.create_below(profile.wanted_authority("Example issuing"), top, now)
        self.kubernetes = authority.create_below(profile.wanted_authority("Example kubernetes"), middle, now)
        self.etcd = authority.create(profile.wanted_authority("Example etcd"), now, "RSA-2048")
        self.variable = {
            "kubernetes": self._entry("kubernetes", self.kubernetes, PASSPHRASE),
            "etcd": self._entry("etcd", self.etcd, None),
        }

    def _entry(self, name: str, one: Authority, passphrase: bytes | None) -> dict[str, str]:
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        certificate.write_bytes(bundle.join([one.facts, *one.above]))
        key.write_bytes(authority.files(one, passphrase)[1])
        entry = {"certificate": str(certificate), "key": str(key)}
        if passphrase is not None:
            file = self.directory / f"{name}.passphrase"
            file.write_bytes(passphrase + b"\n")
            entry["passphrase_file"] = str(file)
        return entry

    def secrets(self) -> list[str]:
        """Lines that nobody may see: of the keys, open and encrypted, and the passphrase."""
        found = [authority.files(one)[1] for one in (self.kubernetes, self.etcd)]
        found += [path.read_bytes() for path in self.directory.glob("*.key")]
        return [PASSPHRASE.decode(), *secret_lines(b"".join(found))]


class Outside:
    """An authority of which the hosts have the certificate alone; openssl signs for it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.requests = directory / "requests"
        made = authority.create(profile.wanted_authority("Example outside"), time.time() - 3600)
        certificate, key = authority.files(made)
        (directory / "ca.crt").write_bytes(certificate)
        (directory / "ca.key").write_bytes(key)
        self.variables: dict[str, Any] = {
            "pki_authorities": {"kubernetes": {"certificate": str(directory / "ca.crt")}},
            "pki_requests_dir": str(self.requests),
        }

    def waiting(self) -> set[str]:
        return {str(path.relative_to(self.requests)) for path in self.requests.rglob("*") if path.is_file()}

    def sign(self) -> None:
        """Every request that waits, for a day."""
        for request in self.requests.rglob("*.csr"):
            words = ["openssl", "x509", "-req", "-in", str(request), "-out", str(request.with_suffix(".crt"))]
            words += ["-CA", str(self.directory / "ca.crt"), "-CAkey", str(self.directory / "ca.key"), "-days", "1"]
            subprocess.run([*words, "-copy_extensions", "copyall"], check=True, stderr=subprocess.DEVNULL)


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "outside")


@pytest.fixture
def brought(tmp_path: Path) -> Brought:
    return Brought(tmp_path / "brought")


@pytest.mark.slow
def test_brought_authorities_are_foretold_laid_and_then_left(hosts: Hosts, brought: Brought) -> None:
    before = hosts.state()
    foretold = hosts.harden("--check", "--tags", "pki", pki_authorities=brought.variable)
    assert foretold.code == 0, str(foretold)
    assert hosts.state() == before
    expected = hosts.changes
    done = hosts.harden("--tags", "pki", "-vvvv", pki_authorities=brought.variable)
    assert done.code == 0, str(done)
    assert hosts.changes == expected
    told = done.output + (hosts.report / "changes.json").read_text(encoding="utf-8")
    assert not [line for line in brought.secrets() if line in told]
    # What the user brings lies on the controller; what was made went from cp1 to cp2.
    made = {f"{host}/{PKI}/{name}.key" for host in ("cp1", "cp2") for name in ("front-proxy-ca", "sa", "apiserver")}
    assert made <= hosts.keys().keys()
    assert not [name for name in hosts.keys_told(done) if not name.endswith(("/pki/ca.key", "/etcd/ca.key"))]
    state = hosts.state()
    second = hosts.harden("--tags", "pki", pki_authorities=brought.variable)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)
    assert hosts.state() == state
    for host in ("cp1", "cp2"):
        pki = hosts.root(host) / PKI
        for path, one in (("ca", brought.kubernetes), ("etcd/ca", brought.etcd)):
            pair = (pki / f"{path}.crt").read_bytes(), (pki / f"{path}.key").read_bytes()
            assert pair == authority.files(one)
        served = bundle.parse((pki / "apiserver.crt").read_bytes(), "apiserver.crt")
        assert issue.is_signed_by(served[0], brought.kubernetes.facts)
        above = [brought.kubernetes.facts, brought.kubernetes.above[0]]
        assert [one.fingerprint for one in served[1:]] == [one.fingerprint for one in above]
        assert (pki / "ca-chain.crt").read_bytes() == bundle.join([*above, brought.kubernetes.above[1]])
        assert not (pki / "etcd/ca-chain.crt").exists()
    # The one that was not brought was made on the first, and is the same on both.
    keys = {(hosts.root(host) / PKI / "front-proxy-ca.key").read_bytes() for host in ("cp1", "cp2")}
    assert len(keys) == 1
    trusted = (hosts.root("w1") / PKI / "ca.crt").read_bytes()
    assert trusted == bundle.join([brought.kubernetes.facts])


@pytest.mark.parametrize("check", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_wrong_passphrase_is_refused_before_anything_is_written(
    hosts: Hosts,
    brought: Brought,
    check: bool,
) -> None:
    (brought.directory / "kubernetes.passphrase").write_bytes(b"open barley\n")
    before = hosts.state()
    run = hosts.harden(*(["--check"] if check else []), "--tags", "pki", pki_authorities=brought.variable)
    refused(run, "cp1", "The passphrase does not open the key in", "kubernetes.key", "nothing was changed")
    assert "open barley" not in run.output
    assert hosts.state() == before


@pytest.mark.slow
def test_another_authority_is_refused_where_one_is(hosts: Hosts, brought: Brought) -> None:
    assert hosts.harden("--tags", "pki").code == 0
    before = hosts.state()
    run = hosts.harden("--tags", "pki", pki_authorities=brought.variable)
    refused(run, "cp1", "The authority 'kubernetes' in /etc/kubernetes/pki/ca.crt is another", "never replaced")
    assert hosts.state() == before


def test_what_the_variable_may_not_say_is_told_before_any_host_is_asked(
    hosts: Hosts,
    brought: Brought,
) -> None:
    run = hosts.harden(pki_authorities={"kubernetes": {**brought.variable["kubernetes"], "passphrase": "x"}})
    assert run.code == 2, str(run)
    assert "kubernetes has no passphrase; the nearest is passphrase_file" in run.output
    missing = {"etcd": {**brought.variable["etcd"], "key": str(brought.directory / "none.key")}}
    refused(hosts.harden("--tags", "pki", pki_authorities=missing), "cp1", "none.key", "could not be read")


BELOW = ("apiserver", "apiserver-kubelet-client", "admin.conf", "controller-manager.conf", "scheduler.conf")


def test_requests_are_laid_signed_outside_and_taken_in(hosts: Hosts, outside: Outside) -> None:
    tags = ("--tags", "pki")
    foretold = hosts.harden("--check", *tags, **outside.variables)
    assert foretold.code == 0, str(foretold)
    assert not outside.requests.exists()
    expected = hosts.changes
    first = hosts.harden(*tags, **outside.variables)
    assert first.code == 0, str(first)
    assert hosts.changes == expected
    csr = {f"{host}/{name}.csr" for host in ("cp1", "cp2") for name in BELOW} | {"cp1/super-admin.conf.csr"}
    assert outside.waiting() == csr
    for name in csr:
        assert f"{outside.requests}/{name}" in first.output
    assert "Lay each certificate beside its request" in first.output
    state = hosts.state()
    second = hosts.harden(*tags, **outside.variables)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)
    assert hosts.state() == state
    assert f"{outside.requests}/cp1/apiserver.csr" in second.output

    outside.sign()
    good = (outside.requests / "cp1/apiserver.crt").read_bytes()
    (outside.requests / "cp1/apiserver.crt").write_bytes((outside.requests / "cp2/apiserver.crt").read_bytes())
    wrong = hosts.harden(*tags, **outside.variables)
    refused(wrong, "cp1", "requests/cp1/apiserver.crt does not answer its request: it is for another key")
    assert hosts.state() == state

    (outside.requests / "cp1/apiserver.crt").write_bytes(good)
    third = hosts.harden(*tags, **outside.variables)
    assert third.code == 0, str(third)
    assert outside.waiting() == set()
    for host in ("cp1", "cp2"):
        pki = hosts.root(host) / PKI
        assert issue.is_signed_by(
            bundle.parse((pki / "apiserver.crt").read_bytes(), "apiserver.crt")[0],
            bundle.parse((pki / "ca.crt").read_bytes(), "ca.crt")[0],
        )
        assert not (pki / "ca.key").exists()
        assert (pki / "etcd/ca.key").exists()
        assert (hosts.root(host) / "etc/kubernetes/admin.conf").exists()
    state = hosts.state()
    last = hosts.harden(*tags, **outside.variables)
    assert last.changed == dict.fromkeys(hosts.names, 0), str(last)
    assert hosts.state() == state
    without = hosts.harden(*tags, pki_authorities=outside.variables["pki_authorities"])
    assert without.code == 2, str(without)
    assert "kubernetes has no key here, so kubeharden_pki_requests_dir must say where" in without.output


USERS = """\
- hosts: localhost
  gather_facts: false
  vars:
    where: &where
      root: {root}
      run_id: mine
      node_name: cp1
      cluster: {{control_planes: [{{node_name: cp1, addresses: [192.0.2.11]}}]}}
      brought: {{kubernetes: "{{{{ lookup('ansible.builtin.file', '{authority}') }}}}"}}
  tasks:
    - kubeharden.core.pki_authority: {{<<: *where, create: true, offered: [kubernetes], keyless: [kubernetes]}}
    - kubeharden.core.pki_leaves: {{<<: *where, only: [apiserver], outside: [kubernetes]}}
      register: asked
    - ansible.builtin.copy:
        content: "{{{{ asked.unsigned[0].request }}}}"
        dest: {root}/asked.csr
        mode: "0600"
"""


@pytest.mark.slow
def test_a_play_of_the_users_may_carry_requests_itself(outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    text = USERS.format(root=tmp_path / "root", authority=outside.directory / "ca.crt")
    (tmp_path / "play.yml").write_text(text, encoding="utf-8")
    programs, playbook = Path(sys.executable).parent, tmp_path / "play.yml"
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    words = ["ansible-playbook", "-c", "local", "-i", "localhost,"]
    words += ["-e", f"ansible_python_interpreter={sys.executable}"]
    run = ansible(programs, [*words, playbook], directory=tmp_path, home=tmp_path, environment=environment)
    assert run.code == 0, str(run)
    request = (tmp_path / "root/asked.csr").read_bytes()
    assert str(issue.read_request(request, "asked").profile.subject) == "CN=kube-apiserver"
