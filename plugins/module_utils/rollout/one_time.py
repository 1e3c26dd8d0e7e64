# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one-time key to which others seal what a host is to get: it waits there from one call of a run to the next."""

from __future__ import annotations

import base64
import typing as t

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import sealed
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import Store

#: The name under which it waits.
_ONE_TIME = "one-time key"


def ask(store: Store) -> str:
    """Make a key pair that waits on this host, and return its public half in base64."""
    receiver = sealed.new_receiver()
    private = receiver.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    store.let_wait({_ONE_TIME: private.decode("ascii")})
    return base64.b64encode(receiver.public).decode("ascii")


def receiver(store: Store) -> sealed.Receiver:
    """Return the key pair that an earlier call of this run made.

    Raises:
        HardeningError: None waits here.
    """
    text = store.waiting().get(_ONE_TIME, "")
    if not text:
        raise HardeningError("KH309", "No one-time key waits on this host; nothing was written. Start the run again.")
    private = serialization.load_pem_private_key(text.encode("ascii"), None)
    return sealed.Receiver(t.cast(ec.EllipticCurvePrivateKey, private))


def decoded(text: str) -> bytes:
    """Return the bytes of what another host sent in base64.

    Raises:
        HardeningError: It is damaged.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise HardeningError(
            "KH309", "What another host sent is damaged; nothing was written. Start the run again."
        ) from None
