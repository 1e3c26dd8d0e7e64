# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs: rendering, reading what matters, and replacing credentials with everything else left as it is."""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass, field
from typing import Any, Union

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

CLUSTER_NAME = "kubernetes"

# By content (bytes of PEM) or by path (text).
Material = Union[bytes, str]

_AUTHORITY = "certificate-authority"
_CERTIFICATE = "client-certificate"
_KEY = "client-key"
# libyaml where the library has it: several times faster, and the same bytes.
_Dumper: Any = yaml_data.for_go(getattr(yaml, "CSafeDumper", yaml.SafeDumper))
_LINE_WIDTH = 1 << 30  # Base64 stays on one line, as kubectl and kubeadm write it.


@dataclass(frozen=True)
class KubeconfigFacts:
    """What the current context of a kubeconfig says. Contents are PEM; a file wins over nothing, content over a
    file. Files are by their paths on the host, relative ones from where the kubeconfig lies."""

    context: str
    cluster: str
    user: str
    server: str
    authority: bytes | None = None
    authority_file: str = ""
    certificate: bytes | None = None
    certificate_file: str = ""
    key: bytes | None = field(default=None, repr=False)
    key_file: str = ""
    skips_verification: bool = False
    # Names of other credentials that the user entry has: token, exec, auth-provider, username ...
    other_credentials: tuple[str, ...] = ()


def render(server: str, user: str, authority: Material, certificate: Material, key: Material) -> bytes:
    """A kubeconfig as kubeadm writes it: one cluster ``kubernetes``, one user, one context."""
    credentials: dict[str, Any] = {}
    _set_material(credentials, _CERTIFICATE, certificate)
    _set_material(credentials, _KEY, key)
    return _rendered(server, user, authority, credentials)


def render_with_token(server: str, user: str, authority: Material, token: str) -> bytes:
    """The same for a user who has a token instead of a certificate."""
    return _rendered(server, user, authority, {"token": token})


def _rendered(server: str, user: str, authority: Material, credentials: dict[str, Any]) -> bytes:
    context = f"{user}@{CLUSTER_NAME}"
    cluster: dict[str, Any] = {"server": server}
    _set_material(cluster, _AUTHORITY, authority)
    return _dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CLUSTER_NAME, "cluster": cluster}],
            "contexts": [{"name": context, "context": {"cluster": CLUSTER_NAME, "user": user}}],
            "current-context": context,
            "users": [{"name": user, "user": credentials}],
        }
    )


def update(
    data: bytes,
    where: str,
    authority: Material | None = None,
    certificate: Material | None = None,
    key: Material | None = None,
) -> bytes:
    """`data` with other credentials for its current context. The server and every other entry stay as they are."""
    document = _load(data, where)
    context = _entry(document, "contexts", "context", str(document.get("current-context", "")), where)
    if authority is not None:
        _set_material(
            _entry(document, "clusters", "cluster", str(context.get("cluster")), where), _AUTHORITY, authority
        )
    credentials = _entry(document, "users", "user", str(context.get("user")), where)
    for name, material in ((_CERTIFICATE, certificate), (_KEY, key)):
        if material is not None:
            _set_material(credentials, name, material)
    return _dump(document)


def parse(data: bytes, where: str) -> KubeconfigFacts:
    """HardeningError when `data` is no kubeconfig with a current context. No message holds a byte of a credential."""
    document = _load(data, where)
    name = str(document.get("current-context") or "")
    context = _entry(document, "contexts", "context", name, where)
    cluster = _entry(document, "clusters", "cluster", str(context.get("cluster")), where)
    credentials = _entry(document, "users", "user", str(context.get("user")), where)
    known = {_CERTIFICATE, _CERTIFICATE + "-data", _KEY, _KEY + "-data"}
    return KubeconfigFacts(
        context=name,
        cluster=str(context.get("cluster")),
        user=str(context.get("user")),
        server=str(cluster.get("server") or ""),
        authority=_content(cluster, _AUTHORITY, where),
        authority_file=_file(cluster, _AUTHORITY, where),
        certificate=_content(credentials, _CERTIFICATE, where),
        certificate_file=_file(credentials, _CERTIFICATE, where),
        key=_content(credentials, _KEY, where),
        key_file=_file(credentials, _KEY, where),
        skips_verification=bool(cluster.get("insecure-skip-tls-verify")),
        other_credentials=tuple(sorted(str(key) for key in credentials if key not in known)),
    )


def token_of(data: bytes, where: str) -> str:
    """The token of the current context's user, empty where it has none. HardeningError as for `parse`."""
    document = _load(data, where)
    context = _entry(document, "contexts", "context", str(document.get("current-context") or ""), where)
    return str(_entry(document, "users", "user", str(context.get("user")), where).get("token") or "")


@dataclass(frozen=True)
class User:
    """One entry of `users`, whether a context names it or not: whoever has the file may use any of them."""

    where: str
    entry: dict[str, Any] = field(repr=False)

    def certificate(self) -> bytes | None:
        """PEM, None where it is in a file or there is none. HardeningError when it is damaged."""
        return _content(self.entry, _CERTIFICATE, self.where)

    @property
    def certificate_file(self) -> str:
        return str(self.entry.get(_CERTIFICATE) or "")

    @property
    def key_file(self) -> str:
        """Empty where the key is within, which wins over a file."""
        return "" if self.entry.get(_KEY + "-data") else str(self.entry.get(_KEY) or "")


def users(data: bytes, where: str) -> list[User]:
    """Everybody whose credentials are in `data`. HardeningError when it is no kubeconfig."""
    entries = _load(data, where).get("users") or []
    found = (
        [entry.get("user") or {} for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    if not isinstance(entries, list) or len(found) < len(entries) or not all(isinstance(one, dict) for one in found):
        raise HardeningError(
            "KH310", f"The kubeconfig {where} has users that are none; it was left as it was. Correct it."
        )
    return [User(where, one) for one in found]


def _set_material(target: dict[str, Any], name: str, material: Material) -> None:
    for key in (name, name + "-data"):
        target.pop(key, None)
    if isinstance(material, bytes):
        target[name + "-data"] = base64.b64encode(material).decode("ascii")
    else:
        target[name] = material


def _dump(document: dict[str, Any]) -> bytes:
    # Sorted keys, as Go writes them.
    return yaml.dump(document, Dumper=_Dumper, default_flow_style=False, width=_LINE_WIDTH, allow_unicode=True).encode(
        "utf-8"
    )


def _load(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = yaml_data.load(data.decode("utf-8"))
    except ValueError:
        # Without the parser's message: it would quote the file, which holds a key.
        raise HardeningError(
            "KH310", f"{where} is not valid YAML; it was left as it was. Bring it back from a backup."
        ) from None
    if not isinstance(document, dict) or document.get("kind") != "Config":
        raise HardeningError(
            "KH310", f"{where} is not a kubeconfig (kind: Config); it was left as it was. Bring it back from a backup."
        )
    return document


def _entry(document: dict[str, Any], listing: str, kind: str, name: str, where: str) -> dict[str, Any]:
    entries: list[Any] = document.get(listing) or []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            found: dict[str, Any] = entry[kind]
            return found
    raise HardeningError(
        "KH310", f"The kubeconfig {where} has no {kind} named '{name}'; it was left as it was. Correct it."
    )


def _file(entry: dict[str, Any], name: str, where: str) -> str:
    """A relative path is one from the kubeconfig's own directory, as client-go has it."""
    path = str(entry.get(name) or "")
    return posixpath.normpath(posixpath.join(posixpath.dirname(where), path)) if path else ""


def _content(entry: dict[str, Any], name: str, where: str) -> bytes | None:
    value = entry.get(name + "-data")
    if not value:
        return None
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise HardeningError(
            "KH310",
            f"The {name}-data in {where} is not valid base64: the file is damaged. It was left as it was; bring it "
            "back "
            "from a backup.",
        ) from None
