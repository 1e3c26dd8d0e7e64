# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on their way from host to host, readable by the receiver alone.

The service-account key, and kubeadm's authorities, must be the same on several hosts. The receiver makes a one-time key
pair and hands out the public half; the sender seals the secret to it; controller, results and logs see ciphertext.
P-256 ECDH, HKDF-SHA-256 and AES-256-GCM, because these three also work on hosts in FIPS mode.

What is sealed is bound to a context, such as the run, the receiving host and the path: opened under another one it
fails. It does not say who sent it: that the public key came from the receiver and the answer from the sender is what
the connections of Ansible prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

_MAGIC = b"kubeharden-sealed-1\n"
_POINT_LENGTH = 65
_KEY_LENGTH = 32
_NONCE_LENGTH = 12


@dataclass(frozen=True)
class Receiver:
    """One side's one-time key pair; only `public` may leave the host."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> bytes:
        return _point(self.private.public_key())

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The secret. HardeningError when `sealed` was made for another key or context, or was changed on the way."""
        head = len(_MAGIC)
        point = sealed[head : head + _POINT_LENGTH]
        try:
            if sealed[:head] != _MAGIC:
                raise ValueError("another format")
            sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            key, nonce = _secrets(self.private.exchange(ec.ECDH(), sender), point, self.public, context)
            return AESGCM(key).decrypt(nonce, sealed[head + _POINT_LENGTH :], _MAGIC + context)
        except (ValueError, InvalidTag):
            raise HardeningError(
                "KH309",
                "A sealed secret could not be opened: it was made for another host, run or file, or was changed on "
                "its way. "
                "Nothing was written; start the run again.",
            ) from None


def new_receiver() -> Receiver:
    """A key pair for one transfer; never write it to disk, never use it twice."""
    return Receiver(ec.generate_private_key(ec.SECP256R1()))


def seal(secret: bytes, receiver_public: bytes, context: bytes) -> bytes:
    """`secret` for the holder of `receiver_public`, under `context`."""
    try:
        receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver_public)
    except ValueError:
        raise HardeningError(
            "KH309", "The public key of the receiving host is damaged; nothing was sent. Start the run again."
        ) from None
    own = ec.generate_private_key(ec.SECP256R1())
    point = _point(own.public_key())
    key, nonce = _secrets(own.exchange(ec.ECDH(), receiver), point, receiver_public, context)
    return _MAGIC + point + AESGCM(key).encrypt(nonce, secret, _MAGIC + context)


def _point(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _secrets(shared: bytes, sender: bytes, receiver: bytes, context: bytes) -> tuple[bytes, bytes]:
    """Key and nonce; both used once, because the sender's key pair is new each time."""
    info = _MAGIC + sender + receiver + context
    derived = HKDF(algorithm=hashes.SHA256(), length=_KEY_LENGTH + _NONCE_LENGTH, salt=None, info=info).derive(shared)
    return derived[:_KEY_LENGTH], derived[_KEY_LENGTH:]
