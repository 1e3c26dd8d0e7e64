# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS requests to an API server, each on a TLS connection of its own, and never again by themselves.

What a gate asks is whether the server answers now: so there is no retry, no kept connection, and a failure is an
answer too.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig

LARGEST_ANSWER = 1024 * 1024  # bytes
#: The reason of an answer with more than that.
TOO_LARGE = "too large"
#: As for Go, an authority that is believed need not have signed itself: X509_V_FLAG_PARTIAL_CHAIN, which has a name in
#: Python 3.10 and newer.
_ANY_IS_AN_END = 0x80000
#: What OpenSSL calls a certificate that no authority which is believed has signed (x509_vfy.h): no issuer, a signature
#: that is wrong, one that signed itself, no first certificate.
_SIGNED_BY_OTHERS = (2, 7, 18, 19, 20, 21)


@dataclass(frozen=True)
class Answer:
    """What came back. ``status`` is the HTTP status, or 0 when there was no whole answer; then ``reason`` says why:

    ``refused``, ``timeout``, ``eof`` (closed before the answer's end), ``tls: ...``, ``too large``, ``malformed:
    ...``, or the system's own words (``No route to host``). ``headers`` have small letters.
    """

    status: int
    body: bytes = b""
    reason: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def date(self) -> float | None:
        """When the server says that it answered, in seconds since the epoch, to a second; None where it does not."""
        text = self.headers.get("date")
        try:
            return parsedate_to_datetime(text).timestamp() if text else None
        except (TypeError, ValueError):  # TypeError up to Python 3.9
            return None


@dataclass(frozen=True)
class Peer:
    """The leaf certificate (DER) that a server shows, or None and the reason, in the words of ``Answer``."""

    certificate: bytes | None
    reason: str | None = None


class ApiClient:
    """A client with the credentials of ``kubeconfig``.

    ``server`` (``https://host:port``) asks another server than the kubeconfig's: this host's own, say.
    ``verify_hostname`` is the name or address that its certificate must have; the default is the kubeconfig's
    tls-server-name, else the server's host. A kubeadm certificate has the name ``kubernetes`` on every control plane.
    ``timeout`` in seconds bounds each request as a whole: connect, handshake, and a server that drips its answer.
    Without a kubeconfig nothing is sent to prove who asks, and any certificate is taken: for the loopback ports of
    components that make a certificate of their own at each start. ``stranger`` then has a certificate to show all the
    same, one that nobody signed: what a server makes of it is what one wants to know. By ``user_agent`` a server's log
    says who asked.
    """

    def __init__(
        self,
        kubeconfig: Kubeconfig | None,
        server: str | None = None,
        timeout: float = 5.0,
        verify_hostname: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        stranger: Kubeconfig | None = None,
        user_agent: str = "kubeharden",
    ) -> None:
        url = server or (kubeconfig.server if kubeconfig else "")
        try:
            address = urlsplit(url)
            host, self._port = address.hostname, address.port or 443
        except ValueError:
            raise HardeningError("KH118", f"{url!r} is no https:// address of an API server.") from None
        if address.scheme != "https" or not host:
            raise HardeningError("KH118", f"{url!r} is no https:// address of an API server.")
        self._host = host
        self._authority = address.netloc
        self._prefix = address.path.rstrip("/")
        self._timeout = timeout
        self._name = verify_hostname or (kubeconfig and kubeconfig.tls_server_name) or host
        self._token = kubeconfig.token if kubeconfig else None
        self._context = _context(kubeconfig) if kubeconfig else _trusting_context()
        if stranger is not None and stranger.certificate is not None and stranger.key is not None:
            _load_client_certificate(self._context, stranger, stranger.certificate + b"\n" + stranger.key)
        self._clock = clock
        self._user_agent = user_agent

    def get(self, path: str, accept: str = "application/json, */*") -> Answer:
        """GET of ``path`` ("/readyz"), once, in one of the forms that are accepted."""
        return self._ask("GET", path, accept=accept)

    def get_anew(self, path: str) -> Answer:
        """GET of ``path`` that a proxy sends on over a new connection, as it does for exec: it asks for an upgrade."""
        return self._ask("GET", path, hop=("Connection: Upgrade", "Upgrade: SPDY/3.1"))

    def post(self, path: str, body: str) -> Answer:
        """POST of JSON to ``path``, once: for servers that are asked a question in this way."""
        return self._ask("POST", path, body)

    def put(self, path: str, body: str) -> Answer:
        """PUT of JSON to ``path``, once."""
        return self._ask("PUT", path, body)

    def delete(self, path: str, body: str = "") -> Answer:
        """DELETE of ``path``, once; ``body`` is JSON and may say under which conditions."""
        return self._ask("DELETE", path, body)

    def _ask(
        self,
        method: str,
        path: str,
        body: str = "",
        accept: str = "application/json, */*",
        hop: Sequence[str] = ("Connection: close",),
    ) -> Answer:
        request = f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {self._authority}\r\n"
        request += f"Accept: {accept}\r\nUser-Agent: {self._user_agent}\r\n"
        request += "".join(f"{header}\r\n" for header in hop)
        if self._token:
            request += f"Authorization: Bearer {self._token}\r\n"
        if body:
            request += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        deadline = _Deadline(self._timeout, self._clock)
        try:
            with _shake_hands(self._context, self._host, self._port, self._name, deadline) as connection:
                deadline.apply(connection)
                # Who refuses the client's certificate says so and ends the connection, often before the request is
                # sent; what was said is still there to be read.
                with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                    connection.sendall(f"{request}\r\n{body}".encode("ascii"))
                return _read_answer(connection, deadline, method)
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            return Answer(0, reason=reason_of(error))


def tls_peer(host: str, port: int, timeout: float = 5.0, clock: Callable[[], float] = time.monotonic) -> Peer:
    """Shakes hands with ``host:port`` and returns the certificate it shows, whoever signed it; nothing is sent."""
    context = _trusting_context()  # to look at a certificate is the purpose, also at one that is wrong
    deadline = _Deadline(timeout, clock)
    try:
        with _shake_hands(context, host, port, host, deadline) as connection:
            return Peer(connection.getpeercert(binary_form=True))
    except (OSError, UnicodeError) as error:
        return Peer(None, reason_of(error))


def untrusted(
    host: str, port: int, authorities: bytes, timeout: float, clock: Callable[[], float] = time.monotonic
) -> str:
    """Why who believes these authorities (PEM) does not believe what ``host:port`` shows, in OpenSSL's words.

    Empty where he does, where nothing was shown, and where it is for another reason than who signed it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= _ANY_IS_AN_END
    deadline = _Deadline(timeout, clock)
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
        with _shake_hands(context, host, port, host, deadline):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message if error.verify_code in _SIGNED_BY_OTHERS else ""
    except (OSError, ValueError):
        return ""


def plain_get(host: str, port: int, path: str, timeout: float, clock: Callable[[], float] = time.monotonic) -> Answer:
    """GET of a path without TLS. Status and headers are read, the body is left: it is known by its path."""
    deadline = _Deadline(timeout, clock)
    named = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.1\r\nHost: {named}:{port}\r\nUser-Agent: kubeharden\r\nConnection: close\r\n\r\n"
    try:
        with _connect(host, port, deadline) as connection:
            connection.sendall(request.encode("ascii"))
            return _read_answer(connection, deadline, "HEAD")
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        return Answer(0, reason=reason_of(error))


class _Deadline:
    """One limit for many waits: each may take what the others have left."""

    def __init__(self, timeout: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + timeout

    def apply(self, connection: socket.socket) -> None:
        remaining = self._end - self._clock()
        if remaining <= 0:
            raise TimeoutError
        connection.settimeout(remaining)


class _Stream(io.RawIOBase):
    """A socket's bytes for http.client, with the deadline laid on every single read."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._deadline.apply(self._connection)
        size = self._connection.recv_into(buffer)
        self.ended = size == 0
        return size

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The only thing that HTTPResponse asks of a socket."""
        return io.BufferedReader(self)


def _connect(host: str, port: int, deadline: _Deadline) -> socket.socket:
    """A connection to the first address that takes it. The resolver's own limits hold for a host that is a name."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _canonical, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            deadline.apply(connection)
            connection.connect(address)
            deadline.apply(connection)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _shake_hands(context: ssl.SSLContext, host: str, port: int, name: str, deadline: _Deadline) -> ssl.SSLSocket:
    with _connect(host, port, deadline) as plain:  # after the handshake the plain socket is an empty shell
        return context.wrap_socket(plain, server_hostname=name)


def _read_answer(connection: socket.socket, deadline: _Deadline, method: str) -> Answer:
    stream = _Stream(connection, deadline)
    with http.client.HTTPResponse(stream, method=method) as response:  # type: ignore[arg-type]
        response.begin()
        if stream.ended:  # within the headers, where http.client takes the end for an empty line
            return Answer(0, reason="eof")
        body = response.read(LARGEST_ANSWER + 1)
        if len(body) > LARGEST_ANSWER:
            return Answer(0, reason=TOO_LARGE)
        if response.length:  # read(n) gives back what there is when the server closes early
            return Answer(0, reason="eof")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, body, headers=headers)


def reason_of(error: Exception) -> str:
    """Why there was no whole answer, in the words of ``Answer``."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: {error.verify_message}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, http.client.IncompleteRead)):
        return "eof"  # ConnectionError is a reset here: the refusal is named above
    if isinstance(error, ssl.SSLError):
        return f"tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, http.client.HTTPException):
        return f"malformed: {type(error).__name__}"
    return str(getattr(error, "strerror", None) or error)


def _trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(kubeconfig: Kubeconfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if kubeconfig.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=kubeconfig.ca.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise HardeningError(
            "KH118", f"{kubeconfig.path}: the certificate-authority is not PEM that can be read."
        ) from None
    if kubeconfig.certificate is not None and kubeconfig.key is not None:
        _load_client_certificate(context, kubeconfig, kubeconfig.certificate + b"\n" + kubeconfig.key)
    return context


def _load_client_certificate(context: ssl.SSLContext, kubeconfig: Kubeconfig, pem: bytes) -> None:
    """OpenSSL takes a chain from a file name only: an anonymous file in memory keeps the key off every disk."""
    try:
        descriptor = os.memfd_create("kubeharden", os.MFD_CLOEXEC)
    except (AttributeError, OSError) as error:
        raise HardeningError(
            "KH118",
            f"{kubeconfig.path}: the client key cannot be used without writing it to a disk, since this system has no "
            f"files in memory (memfd_create: {error}). Nothing was changed; give a kubeconfig with a token.",
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            # The empty password keeps OpenSSL from asking at a terminal for that of an encrypted key.
            context.load_cert_chain(f"/proc/self/fd/{stream.fileno()}", password="")
    except ssl.SSLError:
        raise HardeningError(
            "KH118",
            f"{kubeconfig.path}: the client certificate and key of user {kubeconfig.user} cannot be used: they must be "
            "PEM, belong together and have no passphrase.",
        ) from None
