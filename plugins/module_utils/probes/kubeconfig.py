# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig as clientcmd reads it: the server, the authorities and the credentials of the current context."""

from __future__ import annotations

import base64
import binascii
import os
import time
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes import small_files


@dataclass(frozen=True)
class Kubeconfig:
    """What one client needs to talk to one cluster. Certificates, key and token are left out of every printed form.

    ``path`` is where it was read, for sentences. ``ca``, ``certificate`` and ``key`` are PEM; ``ca`` is None where the
    system's authorities are meant, the others are None where that kind of credential is not used.
    ``tls_server_name`` is the name that the server's certificate must have when it is not the server's host.
    """

    path: str
    context: str
    user: str
    server: str
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None

    def certificate_expires(self) -> float | None:
        """When the client certificate ends, in seconds since the epoch.

        None without a client certificate, and where the cryptography library is not installed to read it.
        """
        if self.certificate is None:
            return None
        try:
            from cryptography import x509  # noqa: PLC0415  (a host may lack it; nothing else here needs it)
        except ImportError:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
        except ValueError as error:
            raise HardeningError(
                "KH118", f"{self.path}: the client certificate of user {self.user} is unreadable: {error}"
            ) from None
        return _timestamp(certificate)

    def expired(self, now: float) -> str | None:
        """One sentence when the client certificate has ended by ``now`` (seconds since the epoch), else None."""
        ends = self.certificate_expires()
        if ends is None or ends > now:
            return None
        return (
            f"The client certificate in {self.path} ended {_utc(ends)}, so the API server refuses it; renew it "
            "(kubeadm: `kubeadm certs renew admin.conf` and the like) and run again."
        )


def load(path: str) -> Kubeconfig:
    """Reads and parses the file ``path``."""
    try:
        text = small_files.read(path).decode("utf-8")
    except OSError as error:
        raise HardeningError("KH118", f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise HardeningError("KH118", f"{path} is no kubeconfig: it is not UTF-8 text.") from None
    return parse(text, path)


def parse(text: str, path: str) -> Kubeconfig:
    """The current context of a kubeconfig. Files that it names are read; relative ones are beside ``path``.

    Raises HardeningError for what is no kubeconfig, and for what cannot be used without running another program (exec,
    auth-provider), without a password, or only by trusting any server (insecure-skip-tls-verify).
    """
    document = _document(text, path)
    name = str(document.get("current-context") or "")
    context = _named(document, "contexts", "context", name, path)
    cluster = _named(document, "clusters", "cluster", context.get("cluster", ""), path)
    user_name = context.get("user", "")
    user = _named(document, "users", "user", user_name, path) if user_name else {}
    _refuse_what_is_not_supported(cluster, user, user_name, path)
    certificate = _data_or_file(user, "client-certificate", path)
    key = _data_or_file(user, "client-key", path)
    if (certificate is None) != (key is None):
        raise HardeningError("KH118", f"{path}: user {user_name} has only one of client-certificate and client-key.")
    return Kubeconfig(
        path=path,
        context=name,
        user=user_name,
        server=_server(cluster, path),
        ca=_data_or_file(cluster, "certificate-authority", path),
        certificate=certificate,
        key=key,
        token=_token(user, path),
        tls_server_name=_name_of_server(cluster, path),
    )


def _document(text: str, path: str) -> dict[str, Any]:
    try:
        document = yaml_data.load(text)
    except yaml_data.NoYamlError as error:
        # What the parser says quotes the text, which may be a key: only the place is said.
        place = f" (line {error.line})" if error.line else ""
        raise HardeningError("KH118", f"{path} is no kubeconfig: it is not valid YAML{place}.") from None
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise HardeningError("KH118", f"{path} is no kubeconfig: there is no `kind: Config` in it.")
    return document


def _named(document: dict[str, Any], entries: str, kind: str, name: str, path: str) -> dict[str, Any]:
    """The entry ``name`` of a list such as ``contexts: [{name: ..., context: {...}}]``."""
    if not name:
        raise HardeningError("KH118", f"{path} does not say which {kind} is in use (current-context); set it.")
    listed = document.get(entries)
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name:
            content = entry.get(kind) or {}
            if isinstance(content, dict):
                return content
    raise HardeningError("KH118", f"{path} has no {kind} named {name!r}.")


def _refuse_what_is_not_supported(cluster: dict[str, Any], user: dict[str, Any], user_name: str, path: str) -> None:
    if "exec" in user:
        command = _mapping(user["exec"]).get("command", "")
        raise HardeningError(
            "KH118",
            f"{path}: user {user_name} gets its credentials from a program (exec: {command}), which is not run here; "
            "give a kubeconfig with a client certificate or a token.",
        )
    if "auth-provider" in user:
        provider = _mapping(user["auth-provider"]).get("name", "")
        raise HardeningError(
            "KH118",
            f"{path}: user {user_name} uses the auth-provider {provider}, which is not supported; "
            "give a kubeconfig with a client certificate or a token.",
        )
    if "username" in user or "password" in user:
        raise HardeningError(
            "KH118",
            f"{path}: user {user_name} has a password, which no supported API server accepts; "
            "give a kubeconfig with a client certificate or a token.",
        )
    if cluster.get("insecure-skip-tls-verify"):
        raise HardeningError(
            "KH118",
            f"{path} says insecure-skip-tls-verify, so it would give its credentials to any server; "
            "put the cluster's certificate-authority there instead.",
        )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _server(cluster: dict[str, Any], path: str) -> str:
    server = str(cluster.get("server") or "")
    try:
        address = urlsplit(server)
        valid = address.scheme == "https" and bool(address.hostname) and address.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise HardeningError("KH118", f"{path}: the server {server!r} is no https:// address.")
    return server


def _name_of_server(cluster: dict[str, Any], path: str) -> str | None:
    name = cluster.get("tls-server-name") or None
    if name is not None and not isinstance(name, str):
        raise HardeningError("KH118", f"{path}: the tls-server-name {name!r} is no text; put it in quotes.")
    return name


def _data_or_file(entry: dict[str, Any], name: str, path: str) -> bytes | None:
    """``NAME-data`` in base64, which wins, or the content of the file ``NAME``."""
    data = entry.get(name + "-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise HardeningError("KH118", f"{path}: {name}-data is not base64.") from None
    return _file(entry[name], name, path) if entry.get(name) else None


def _token(user: dict[str, Any], path: str) -> str | None:
    """The token; the content of ``tokenFile`` wins, as in clientcmd."""
    if user.get("tokenFile"):
        content = _file(user["tokenFile"], "tokenFile", path)
        try:
            token = content.decode("ascii").strip()
        except UnicodeDecodeError:
            raise HardeningError(
                "KH118", f"{path}: the file of tokenFile, {user['tokenFile']}, holds no token."
            ) from None
    else:
        token = str(user.get("token") or "")
    if any(c.isspace() or not c.isprintable() for c in token):
        raise HardeningError("KH118", f"{path}: the token has white space or control characters in it.")
    return token or None


def _file(name: Any, what: str, path: str) -> bytes:
    target = os.path.join(os.path.dirname(os.path.abspath(path)), str(name))
    try:
        return small_files.read(target)
    except OSError as error:
        raise HardeningError("KH118", f"{path}: {what} is {target}, which cannot be read: {error.strerror}.") from None


def _timestamp(certificate: Any) -> float:
    """notAfter; cryptography before 42 has it without a time zone only, and later ones warn about that."""
    if hasattr(certificate, "not_valid_after_utc"):
        return float(certificate.not_valid_after_utc.timestamp())
    return float(certificate.not_valid_after.replace(tzinfo=timezone.utc).timestamp())


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
