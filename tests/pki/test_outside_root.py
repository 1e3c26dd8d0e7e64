# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts below an outside root, and with an authority wholly outside, as the calls of the playbooks lay them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    brought,
    bundle,
    issue,
    keys,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.outside import Returned
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    Directory,
    assert_pairs_fit,
)

pytestmark = pytest.mark.pki

PKI = "/etc/kubernetes/pki"
SERVED = {"apiserver": ("server", "kubernetes"), "apiserver-kubelet-client": ("client", "")}


class Host:
    """A control plane with a brought authority for the API, and another authority beside it."""

    def __init__(self, directory: Path, algorithm: str) -> None:
        now = time.time()
        top = authority.create(profile.wanted_authority("Example root"), now, algorithm)
        middle = authority.create_below(profile.wanted_authority("Example issuing"), top, now, algorithm)
        own = authority.create_below(profile.wanted_authority("kubernetes", path_length=0), middle, now, algorithm)
        self.root = bundle.join([top.facts])
        self.directory = Directory(directory, "cp1")
        self.directory.authorities(create=True, now=now, brought={"kubernetes": own})
        self.directory.leaves(now=now)
        sibling = authority.create_below(profile.wanted_authority("sibling"), middle, now, algorithm)
        key = keys.generate("ECDSA-P256")
        admin = profile.wanted("kubernetes-admin", ["system:masters"], usages=[profile.CLIENT])
        facts = issue.issue(admin, keys.public_bytes(key), sibling, now)
        #: An administrator below the same root, who is none of this cluster's.
        self.stranger = issue.certificate_pem(facts, sibling.chain), keys.private_pem(key)

    def file(self, name: str) -> bytes:
        return self.directory.path(f"{PKI}/{name}").read_bytes()


@pytest.fixture(params=["ECDSA-P256", "RSA-2048"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", request.param)


def test_go_follows_the_chain_to_the_root_and_to_the_intermediate(
    host: Host, go_verdicts: Callable[..., dict[str, str]]
) -> None:
    cases = []
    for trusted, roots in (("root", host.root), ("ca.crt", host.file("ca.crt"))):
        shown = {name: (host.file(f"{name}.crt"), host.file(f"{name}.key"), *how) for name, how in SERVED.items()}
        shown["stranger"] = (*host.stranger, "client", "")
        cases += [
            {
                "id": f"{name} by {trusted}",
                "kind": kind,
                "certificate": certificate.decode(),
                "key": key.decode(),
                "roots": roots.decode(),
                "name": dialled,
            }
            for name, (certificate, key, kind, dialled) in shown.items()
        ]
    answers = go_verdicts(cases)
    refused = {case["id"] for case in cases if answers[case["id"]]}
    # Why ca.crt holds the intermediate alone.
    assert refused == {"stranger by ca.crt"}


@pytest.mark.parametrize("name", SERVED)
def test_openssl_needs_the_root_which_the_chain_file_has(host: Host, name: str, tmp_path: Path) -> None:
    (tmp_path / "root.crt").write_bytes(host.root)
    shown = host.directory.path(f"{PKI}/{name}.crt")
    command = ["openssl", "verify", "-x509_strict", "-purpose", f"ssl{SERVED[name][0]}", "-untrusted", str(shown)]

    def accepted(trusted: Path, *more: str) -> bool:
        done = subprocess.run(
            [*command, *more, "-CAfile", str(trusted), str(shown)], stdout=subprocess.DEVNULL, check=False
        )
        return done.returncode == 0

    assert accepted(tmp_path / "root.crt")
    assert accepted(host.directory.path(f"{PKI}/ca-chain.crt"))
    assert not accepted(host.directory.path(f"{PKI}/ca.crt"))
    assert accepted(host.directory.path(f"{PKI}/ca.crt"), "-partial_chain")


class OpensslAuthority:
    """A root and an intermediate that openssl made, and what openssl signs below them."""

    CONFIGURATION = """
[req]
distinguished_name = subject
prompt = no
[subject]
O = Example
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE{path_length}
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

    def __init__(self, directory: Path, algorithm: list[str]) -> None:
        directory.mkdir()
        self._directory = directory
        self._algorithm = algorithm
        self._make("root", "", [])
        self._make("issuing", ", pathlen:0", ["-CA", "root.crt", "-CAkey", "root.key"])
        chain = self.path("issuing.crt").read_bytes() + self.path("root.crt").read_bytes()
        self.brought = brought.read(chain, "issuing.crt", time.time())

    def path(self, name: str) -> Path:
        return self._directory / name

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._directory, check=True, stderr=subprocess.DEVNULL)

    def _make(self, name: str, path_length: str, below: list[str]) -> None:
        text = self.CONFIGURATION.format(name=f"Example {name}", path_length=path_length)
        self.path(f"{name}.cnf").write_text(text, encoding="ascii")
        options = ["-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "3650", *below]
        self._openssl(
            "req", "-x509", "-newkey", *self._algorithm, *options, "-config", f"{name}.cnf", "-extensions", "authority"
        )

    def sign(self, request: str) -> bytes:
        """A certificate for one day, as short-lived as step-ca has them by default."""
        self.path("asked.csr").write_text(request, encoding="ascii")
        options = ["-CA", "issuing.crt", "-CAkey", "issuing.key", "-days", "1", "-copy_extensions", "copyall"]
        self._openssl("x509", "-req", "-in", "asked.csr", *options, "-out", "signed.crt")
        return self.path("signed.crt").read_bytes()


OPENSSL = {"ECDSA": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA": ["rsa:2048"]}


@pytest.mark.parametrize("algorithm", OPENSSL)
def test_what_openssl_signs_is_taken_in_accepted_and_renewed_in_time(
    algorithm: str, go_verdicts: Callable[..., dict[str, str]], openssl_verdict: Callable[..., str], tmp_path: Path
) -> None:
    """An authority wholly outside: no key of it, and no answer but openssl's, ever reaches the host."""
    outside = OpensslAuthority(tmp_path / "outside", OPENSSL[algorithm])
    host = Directory(tmp_path / "host", "cp1")
    host.authorities(create=True, now=time.time(), brought={"kubernetes": outside.brought})
    options: dict[str, Any] = {"outside": frozenset({"kubernetes"}), "brought": {"kubernetes": outside.brought}}
    _changes, planned = host.leaves(now=time.time(), **options)
    asked = planned.unsigned()
    assert {one["authority"] for one in asked} == {"O=Example, CN=Example issuing"}
    returned = {one["name"]: Returned(outside.sign(one["request"]), one["name"]) for one in asked}
    _changes, planned = host.leaves(now=time.time(), returned=returned, **options)
    assert {one.name for one in planned.issued} == set(returned)
    assert_pairs_fit(host)
    assert host.leaves(check=True, now=time.time() + 7 * 3600, **options)[0] == []
    due, planned = host.leaves(check=True, now=time.time() + 9 * 3600, **options)
    assert len(due) == len(planned.unsigned()) == len(asked)
    cases = []
    for name, (kind, dialled) in SERVED.items():
        pair = host.path(f"{PKI}/{name}.crt").read_bytes(), host.path(f"{PKI}/{name}.key").read_bytes()
        for trusted, roots in (("root", outside.path("root.crt")), ("ca.crt", host.path(f"{PKI}/ca.crt"))):
            case = {"kind": kind, "certificate": pair[0].decode(), "key": pair[1].decode(), "name": dialled}
            cases.append({"id": f"{name} by {trusted}", "roots": roots.read_text(encoding="ascii"), **case})
            assert openssl_verdict(tmp_path, pair[0], roots.read_bytes(), kind, dialled) == ""
    answers = go_verdicts(cases)
    assert {case["id"]: answers[case["id"]] for case in cases} == {case["id"]: "" for case in cases}
