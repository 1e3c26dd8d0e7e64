# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private and public keys: making, reading, writing them, and what they are called.

Algorithms have kubeadm's names (``encryptionAlgorithm``). Only RSA and ECDSA are made: kubeadm, the service-account
tokens and client-go refuse Ed25519, and Kubernetes up to 1.37 cannot read ML-DSA.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Union

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import pem

PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]
PublicKey = Union[rsa.RSAPublicKey, ec.EllipticCurvePublicKey]

DEFAULT_ALGORITHM = "ECDSA-P256"
#: What a user may choose. A renewal keeps what an adopted certificate has: P-521, and any size of RSA that is not weak.
ALGORITHMS = ("ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096")

_CURVES: dict[str, Any] = {"ECDSA-P256": ec.SECP256R1, "ECDSA-P384": ec.SECP384R1, "ECDSA-P521": ec.SECP521R1}
_CURVE_NAMES = {"secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521"}
_MINIMUM_RSA_BITS = 2048
_MAXIMUM_RSA_BITS = 8192  # Go's TLS refuses more (GODEBUG tlsmaxrsasize)
_PRIVATE_LABELS = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY")

# Proving that the factors of an RSA key are prime takes 30 ms for 2048 bits and 200 ms for 4096. Whoever compares the
# public key with a certificate's needs no such proof. Libraries before cryptography 39 cannot skip it.
_CAN_SKIP_VALIDATION = (
    "unsafe_skip_rsa_key_validation" in inspect.signature(serialization.load_pem_private_key).parameters
)


def generate(algorithm: str) -> PrivateKey:
    """A new key. HardeningError for an algorithm that is weak or unknown."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if re.fullmatch(r"RSA-[0-9]+", algorithm) and not weakness(algorithm):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.split("-")[1]))
    raise HardeningError(
        "KH301",
        f"'{algorithm}' is not a key algorithm that Kubernetes can use everywhere; nothing was changed. "
        f"Choose one of {', '.join(ALGORITHMS)}.",
    )


def algorithm_name(key: Any) -> str:
    """What a private or public key is, as in ALGORITHMS; other kinds get a name of the same pattern."""
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        return f"RSA-{key.key_size}"
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return "ECDSA-" + _CURVE_NAMES.get(key.curve.name, key.curve.name)
    if isinstance(key, (dsa.DSAPrivateKey, dsa.DSAPublicKey)):
        return f"DSA-{key.key_size}"
    return type(key).__name__.lstrip("_").replace("PublicKey", "").replace("PrivateKey", "")


def weakness(algorithm: str) -> str:
    """Why a key of this kind cannot be relied on, in half a sentence; empty when it can."""
    kind, _dummy, size = algorithm.partition("-")
    if kind == "RSA":
        bits = int(size)
        if bits < _MINIMUM_RSA_BITS:
            return f"an RSA key of {bits} bits is weak"
        return f"Go refuses RSA keys of more than {_MAXIMUM_RSA_BITS} bits" if bits > _MAXIMUM_RSA_BITS else ""
    if kind == "ECDSA":
        return "" if size in _CURVE_NAMES.values() else f"Go does not use the curve {size} in TLS"
    return f"Kubernetes does not accept {algorithm} keys everywhere"


def signature_hash(key: Any) -> hashes.SHA256 | hashes.SHA384:
    """The digest that fits the key's strength."""
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)) and key.curve.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def public_bytes(key: Any) -> bytes:
    """The SubjectPublicKeyInfo of a private or public key: two keys are a pair when these bytes are equal."""
    public = key.public_key() if hasattr(key, "private_bytes") else key
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def public_pem(key: Any) -> bytes:
    """As kubeadm writes ``sa.pub``."""
    return pem.encode("PUBLIC KEY", public_bytes(key))


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """As kubeadm writes keys (SEC 1 or PKCS#1); with a passphrase encrypted PKCS#8, which only this collection
    reads."""
    if passphrase is None:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def load_private(data: bytes, where: str, passphrase: bytes | None = None, validate: bool = True) -> PrivateKey:
    """The private key in `data`, which may hold certificates beside it (etcd's and the kubelet's combined files).

    `validate=False` spares the proof that an RSA key's factors are prime; for keys whose certificate lies beside them.
    HardeningError, without a byte of the key in it: no key, several, truncated, encrypted, of an unusable kind.
    """
    found = [block for block in pem.blocks(data, where) if block.label.endswith("PRIVATE KEY")]
    if len(found) != 1:
        number = "no private key" if not found else f"{len(found)} private keys"
        raise HardeningError(
            "KH303", f"{where} holds {number} instead of one; it was left as it was. Put the right key there."
        )
    block = found[0]
    if block.label not in _PRIVATE_LABELS:
        raise HardeningError(
            "KH303",
            f"{where} holds a '{block.label}', which Kubernetes does not read; it was left as it was. Put an RSA or "
            "ECDSA key there.",
        )
    encrypted = block.label == "ENCRYPTED PRIVATE KEY" or block.has_headers
    if encrypted and not passphrase:
        raise HardeningError(
            "KH303",
            f"The key in {where} is encrypted and no passphrase was given; nothing was changed. Give its passphrase.",
        )
    options: dict[str, Any] = {"unsafe_skip_rsa_key_validation": True} if _CAN_SKIP_VALIDATION and not validate else {}
    try:
        key = serialization.load_pem_private_key(block.text, passphrase if encrypted else None, **options)
    except UnsupportedAlgorithm:
        raise HardeningError(
            "KH303",
            f"The key in {where} is of a kind that this host's cryptography library cannot read; it was left as it "
            "was. "
            f"Use one of {', '.join(ALGORITHMS)}.",
        ) from None
    except (ValueError, TypeError):
        raise HardeningError("KH303", _unreadable(where, encrypted)) from None
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise HardeningError(
            "KH303",
            f"The key in {where} is {algorithm_name(key)}, which kubeadm and service-account tokens refuse; it was "
            "left as "
            f"it was. Use one of {', '.join(ALGORITHMS)}.",
        )
    return key


def public_algorithms(data: bytes, where: str) -> list[str]:
    """What each public key in `data` is. HardeningError: one of them is none."""
    found = []
    for block in pem.blocks(data, where):
        if not block.label.endswith("PUBLIC KEY"):
            continue
        try:
            found.append(algorithm_name(serialization.load_pem_public_key(block.text)))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise HardeningError("KH303", f"{where} holds a public key that cannot be read.") from None
    return found


def _unreadable(where: str, encrypted: bool) -> str:
    if encrypted:
        return (
            f"The passphrase does not open the key in {where}; nothing was changed. Give the one it was encrypted with."
        )
    return (
        f"The key in {where} is damaged or truncated. It was left as it was, because a lost key cannot be made again; "
        "bring it back from a backup, or decide that it may be replaced."
    )


def sign(key: PrivateKey, message: bytes) -> bytes:
    """A signature that `verifies`."""
    digest = signature_hash(key)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), digest)
    return key.sign(message, ec.ECDSA(digest))


def verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key that belongs to `public_key` (SubjectPublicKeyInfo) made `signature` of this message."""
    public: Any = serialization.load_der_public_key(public_key)
    digest = signature_hash(public)
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, padding.PKCS1v15(), digest)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, message, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True
