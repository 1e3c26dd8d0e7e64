# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet's way to its first certificate: the bootstrap token, what its holder may do, and the kubeconfig with it.

Group and bindings have kubeadm's names: kubeadm makes the same at each upgrade, and so there is one of each.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import kubeconfig

#: The user in the kubeconfigs that are ours, by which a later run knows them.
USER = "kubeharden-bootstrap"
#: In which group of the API's the holder of a token is; whoever holds any token is in the one above it.
GROUP = "system:bootstrappers:kubeadm:default-node-token"
_ALL = "system:bootstrappers"
NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
#: Minutes for which a token may be made.
SHORTEST, LONGEST = 5, 24 * 60
_LETTERS = string.ascii_lowercase + string.digits
_TOKEN = re.compile(r"([a-z0-9]{6})\.[a-z0-9]{16}")
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Token:
    """A bootstrap token; only `id` may be shown."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What the API server is shown: a secret."""
        return f"{self.id}.{self.secret}"


def new_token() -> Token:
    """A token that nobody has had yet."""
    return Token(_random(6), _random(16))


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _position in range(length))


def id_of(token: str) -> str:
    """The half of a token that is no secret, empty where the text is no token."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else ""


# Its Secret


def secret(token: Token, node: str, ends: float) -> dict[str, Any]:
    """The Secret by which the API server knows a token until it ends (seconds since 1970), to a whole second."""
    texts = {
        "description": description(node),
        "token-id": token.id,
        "token-secret": token.secret,
        "expiration": time_of(ends),
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": GROUP,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token.id}", "namespace": NAMESPACE},
        "type": TYPE,
        "data": {name: base64.b64encode(text.encode("utf-8")).decode("ascii") for name, text in texts.items()},
    }


def description(node: str) -> str:
    """What the Secret of a token says that was made for one node."""
    return f"Kubeharden: {node} joins with it"


def time_of(seconds: float) -> str:
    """A moment as the API writes one."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class KnownToken:
    """What the API says of a token; its secret half is let go of.

    Attributes:
        id: Its public half.
        description: What its Secret says of it.
        joins: Whether its holder may authenticate.
        ends: Seconds since 1970, None for never; 0 where what it says is no moment, which is past to the API server.
        name: Of the Secret.
        uid: Of the Secret.
    """

    id: str
    description: str
    joins: bool
    ends: float | None
    name: str
    uid: str

    def is_valid(self, now: float) -> bool:
        """Whether a kubelet may come with it at a moment."""
        return self.joins and (self.ends is None or self.ends > now)


def known(document: Mapping[str, Any]) -> KnownToken:
    """What a Secret of that type says."""
    data = document.get("data")
    data = data if isinstance(data, dict) else {}
    texts = {name: _text(value) for name, value in data.items()}
    metadata = document.get("metadata") or {}
    return KnownToken(
        id=texts.get("token-id", ""),
        description=texts.get("description", ""),
        joins=texts.get("usage-bootstrap-authentication") == "true",
        ends=_moment(texts["expiration"]) if data.get("expiration") else None,
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
    )


def _text(value: Any) -> str:
    try:
        return base64.b64decode(str(value or ""), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


def _moment(text: str) -> float:
    try:
        return datetime.datetime.strptime(text.replace("Z", "+0000"), "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return 0.0


# What its holder, and a node, may do


@dataclass(frozen=True)
class Binding:
    """A ClusterRoleBinding that a node needs which joins.

    Attributes:
        name: As kubeadm has it.
        role: The ClusterRole, which every cluster has.
        group: Who gets it.
        enough: Groups that do as well.
        why: What it is for.
    """

    name: str
    role: str
    group: str
    enough: tuple[str, ...]
    why: str

    def document(self) -> dict[str, Any]:
        """The object."""
        return {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": self.name},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": self.role},
            "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": self.group}],
        }

    def is_equal(self, document: Mapping[str, Any]) -> bool:
        """Whether a ClusterRoleBinding, of whatever name, does the same."""
        role = document.get("roleRef") or {}
        if (role.get("kind"), role.get("name")) != ("ClusterRole", self.role):
            return False
        subjects = [one for one in document.get("subjects") or () if isinstance(one, dict)]
        return any(one.get("kind") == "Group" and one.get("name") in self.enough for one in subjects)


_SIGNING = "system:certificates.k8s.io:certificatesigningrequests"
BINDINGS = (
    Binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", GROUP, (GROUP, _ALL), "asks for a certificate"),
    Binding(
        "kubeadm:node-autoapprove-bootstrap",
        f"{_SIGNING}:nodeclient",
        GROUP,
        (GROUP, _ALL),
        "is approved by kube-controller-manager",
    ),
    Binding(
        "kubeadm:node-autoapprove-certificate-rotation",
        f"{_SIGNING}:selfnodeclient",
        "system:nodes",
        ("system:nodes",),
        "is approved when it renews its own",
    ),
)


def missing_bindings(present: Sequence[Mapping[str, Any]]) -> list[Binding]:
    """The bindings that a cluster lacks.

    Args:
        present: Its ClusterRoleBindings.

    Raises:
        HardeningError: One of that name binds something else, and would have to be replaced.
    """
    names = {str((document.get("metadata") or {}).get("name")) for document in present}
    missing = [one for one in BINDINGS if not any(map(one.is_equal, present))]
    taken = [one for one in missing if one.name in names]
    if taken:
        raise HardeningError(
            "KH313",
            f"ClusterRoleBinding {taken[0].name} does not give {taken[0].role} to the group {taken[0].group}, so that "
            "no node can join by TLS bootstrap. Nothing was changed; remove the binding, and run again, which makes it "
            "as kubeadm has it.",
        )
    return missing


# The kubelet's files


def kubeconfig_with(server: str, authority: bytes, token: str) -> bytes:
    """The kubeconfig with which a kubelet asks for its first certificate: with a secret in it."""
    return kubeconfig.render_with_token(server, USER, authority, token)


@dataclass(frozen=True)
class Waiting:
    """What a kubelet's bootstrap kubeconfig says: the id of its token, and whether it is one of ours."""

    id: str
    ours: bool


def waiting(data: bytes, where: str) -> Waiting:
    """What a bootstrap kubeconfig says. HardeningError when it is no kubeconfig."""
    facts = kubeconfig.parse(data, where)
    return Waiting(id_of(kubeconfig.token_of(data, where)), facts.user == USER)
