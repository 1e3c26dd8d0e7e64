# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a port of a component agrees to: TLS versions and suites, the certificate it shows, answers to strangers.

Nothing is sent but a handshake or one GET, and each ends within its time. A failure is an answer too.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import time
import typing as t
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.probes import api_client
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

#: What nobody may have without credentials, by component.
GUARDED = {
    "kube-apiserver": ("/api", "/api/v1/namespaces", "/metrics", "/debug/pprof/", "/logs/"),
    "kubelet": ("/pods", "/metrics", "/configz", "/debug/pprof/", "/logs/"),
    "kube-controller-manager": ("/metrics", "/configz", "/debug/pprof/"),
    "kube-scheduler": ("/metrics", "/configz", "/debug/pprof/"),
    "etcd": ("/version",),
}
#: Suites of TLS 1.2 and older without forward secrecy or without authenticated encryption, as OpenSSL names them.
_WEAK = "ALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:!DHE+AESGCM:!DHE+CHACHA20:!aNULL:!PSK:!SRP:@SECLEVEL=0"
#: How each record of TLS begins with which a server answers a greeting: an alert or a handshake, of any version.
_RECORDS = (b"\x15\x03", b"\x16\x03")
#: What a server says that had agreed to version and suite before it asked for a certificate.
_AGREED = ("bad certificate", "certificate required", "unknown ca")
#: What OpenSSL says where this host itself cannot speak like that.
_UNABLE = ("no protocols available", "no ciphers available", "no cipher match", "unsupported protocol version")


@dataclass(frozen=True)
class Tried:
    """Whether a handshake of a kind that should be refused was agreed to.

    ``accepted`` says what was agreed to, empty for a refusal; ``problem`` why nothing can be said.
    """

    accepted: str = ""
    problem: str = ""


def try_old(address: str, port: int, timeout: float) -> Tried:
    """A handshake that offers TLS 1.0 and 1.1 only."""
    return _try(address, port, timeout, "ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def try_weak(address: str, port: int, timeout: float) -> Tried:
    """A handshake of TLS 1.2 that offers weak suites only."""
    return _try(address, port, timeout, _WEAK, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)


def _try(
    address: str, port: int, timeout: float, ciphers: str, lowest: ssl.TLSVersion, highest: ssl.TLSVersion
) -> Tried:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old versions, which is what is asked for here
            context.set_ciphers(ciphers)
            context.minimum_version = lowest
            context.maximum_version = highest
    except (ssl.SSLError, ValueError) as error:
        return Tried(problem=f"this host's OpenSSL cannot offer it ({error})")
    try:
        with socket.create_connection((address, port), timeout) as plain:
            plain.settimeout(timeout)
            with context.wrap_socket(plain, server_hostname=address) as connection:
                name = (connection.cipher() or ("",))[0]
                return Tried(accepted=f"{connection.version()} {name}".strip())
    except OSError as error:
        return _refusal(api_client.reason_of(error), str(lowest.name if lowest != highest else "TLSv1_2"))


def _refusal(reason: str, offered: str) -> Tried:
    if any(words in reason for words in _AGREED):
        return Tried(accepted=f"{offered.replace('_', '.')} before it asked for a certificate")
    if any(words in reason for words in _UNABLE):
        return Tried(problem=f"this host's OpenSSL cannot offer it ({reason})")
    if reason.startswith("tls") or reason == "eof":
        return Tried()
    return Tried(problem=reason)


def no_tls(address: str, port: int, timeout: float, clock: t.Callable[[], float] = time.monotonic) -> str:
    """Why a port cannot be said to speak TLS, empty where it does: the first bytes of its answer to a greeting say it.

    An alert is TLS too. So this tells a server that refuses from one that never was what is looked for.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=address).do_handshake()
    end = clock() + timeout
    data = b""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.sendall(outgoing.read())
            while len(data) < len(_RECORDS[0]):
                connection.settimeout(max(0.05, end - clock()))
                piece = connection.recv(64)
                if not piece:
                    break
                data += piece
    except OSError as error:
        if not data:
            return api_client.reason_of(error)
    if data.startswith(_RECORDS):
        return ""
    return "what it speaks is not TLS" if data else "eof"


def stranger(now: float) -> Kubeconfig:
    """Credentials that nobody signed: a certificate of its own making, as an administrator's would look like."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubeharden-probe"),
        ]
    )
    begin = datetime.datetime.fromtimestamp(now - 60, datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(minutes=10))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Kubeconfig(
        path="a certificate that nobody signed",
        context="",
        user="kubeharden-probe",
        server="",
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=private,
    )


def ask(address: str, port: int, path: str, timeout: float, credentials: Kubeconfig | None = None) -> api_client.Answer:
    """GET of a path, whoever answers, without credentials or with those of a stranger."""
    host = f"[{address}]" if _is_v6(address) else address
    client = api_client.ApiClient(None, f"https://{host}:{port}", timeout, stranger=credentials)
    return client.get(path)


def key_problem(certificate: bytes, key: bytes) -> str:
    """What is wrong with the key of a certificate, both PEM; empty where it is its own. No key reaches a disk."""
    try:
        descriptor = os.memfd_create("kubeharden", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        return "its key could not be compared, since this system has no files in memory"
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(certificate + b"\n" + key)
        stream.flush()
        try:
            # The empty password keeps OpenSSL from asking at a terminal for that of an encrypted key.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                return "the key beside it is another certificate's"
            return "the key beside it cannot be read"
    return ""


def _is_v6(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def plain_port(address: str, port: int, timeout: float, clock: t.Callable[[], float] = time.monotonic) -> str:
    """What a plain HTTP port says: ``closed``, ``kubernetes`` where it talks as a component does, ``silent`` where it
    takes a request and says nothing to it, else ``other``.
    """
    end = clock() + timeout
    data = b""
    said = "other"
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.sendall(b"GET /pods HTTP/1.0\r\nHost: localhost\r\nUser-Agent: kubeharden\r\n\r\n")
            while len(data) < 4096 and clock() < end:
                connection.settimeout(max(0.05, end - clock()))
                piece = connection.recv(4096)
                if not piece:
                    break
                data += piece
    except (socket.timeout, TimeoutError):
        said = "other" if data else "silent"
    except ConnectionRefusedError:
        said = "closed"
    except ConnectionError:
        pass  # it was taken, and ended without an answer
    except OSError:
        said = "closed"  # nothing leads there
    return "kubernetes" if b'"kind"' in data and b'"apiVersion"' in data else said
