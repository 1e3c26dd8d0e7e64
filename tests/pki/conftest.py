# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifiers that are not ours: Go's crypto/x509 and crypto/tls, OpenSSL's command, Python's ssl."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.lacking import lacking

HERE = Path(__file__).parent

GoVerdicts = Callable[[list[dict[str, str]]], dict[str, str]]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pki: certificates before real verifiers; needs go and openssl")


@pytest.fixture(scope="session")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in verifier/, built."""
    if shutil.which("go") is None:
        lacking("go is not installed")
    program = tmp_path_factory.mktemp("verifier") / "verifier"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=HERE / "verifier", check=True)
    return program


@pytest.fixture(scope="session")
def go_verdicts(verifier: Path) -> GoVerdicts:
    """For a list of cases the answers by id: empty when Go accepts, else its error. See verifier/main.go."""

    def ask(cases: list[dict[str, str]]) -> dict[str, str]:
        done = subprocess.run(
            [str(verifier), "check"], input=json.dumps(cases).encode(), stdout=subprocess.PIPE, check=True
        )
        answers: dict[str, str] = json.loads(done.stdout)
        return answers

    return ask


@pytest.fixture(scope="session")
def openssl_verdict() -> Callable[..., str]:
    """Empty when `openssl verify -x509_strict` accepts, else what it says."""
    if shutil.which("openssl") is None:
        lacking("openssl is not installed")

    def ask(directory: Path, certificate: bytes, roots: bytes, presented_by: str, name: str = "") -> str:
        leaf, trusted = directory / "openssl-leaf.pem", directory / "openssl-roots.pem"
        leaf.write_bytes(certificate)
        trusted.write_bytes(roots)
        command = ["openssl", "verify", "-x509_strict", "-purpose", f"ssl{presented_by}", "-CAfile", str(trusted)]
        # Go, and Python from 3.13 on, take an intermediate for an anchor without being asked.
        command += ["-partial_chain"]
        # What the other side sends along after its own certificate.
        command += ["-untrusted", str(leaf)]
        if name:
            command += ["-verify_hostname", name]
        done = subprocess.run([*command, str(leaf)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return "" if done.returncode == 0 else done.stdout.decode()

    return ask


@pytest.fixture(scope="session")
def python_verdict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Empty when a handshake with Python's ssl succeeds, else the error of the side that verifies."""
    directory = tmp_path_factory.mktemp("ssl")

    def ask(
        certificate: bytes, key: bytes, roots: bytes, presented_by: str, name: str, throwaway: tuple[bytes, bytes]
    ) -> str:
        pair = _written(directory, "leaf", certificate, key)
        other = _written(directory, "throwaway", *throwaway)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The defaults of Python 3.13's create_default_context, so that every Python asks the same.
        for context in (server, client):
            context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VerifyFlags(0x80000)
        try:
            if presented_by == "server":
                server.load_cert_chain(*pair)
                client.load_verify_locations(cadata=roots.decode())
            else:
                server.load_cert_chain(*other)
                server.verify_mode = ssl.CERT_REQUIRED
                server.load_verify_locations(cadata=roots.decode())
                client.load_cert_chain(*pair)
                client.check_hostname = False
                client.verify_mode = ssl.CERT_NONE
            _handshake(server, client, name or "localhost")
        except ssl.SSLError as error:
            return str(error)
        return ""

    yield ask
    shutil.rmtree(directory)


def _written(directory: Path, name: str, certificate: bytes, key: bytes) -> tuple[str, str]:
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    for path, content in zip(paths, (certificate, key)):
        path.touch(0o600)
        path.write_bytes(content)
    return str(paths[0]), str(paths[1])


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    two = client.wrap_bio(to_client, to_server, server_hostname=name)
    sides: list[Any] = [two, one]
    for _turn in range(20):
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not sides:
            return
    raise ssl.SSLError("the handshake does not end")
