# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys, pem
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki.makers import key

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


@pytest.mark.parametrize("algorithm", [*keys.ALGORITHMS[:3], "ECDSA-P521", "RSA-2560"])
def test_a_key_is_what_it_is_called_and_reads_back(algorithm: str) -> None:
    own = key(algorithm)
    assert keys.algorithm_name(own) == keys.algorithm_name(own.public_key()) == algorithm
    assert keys.weakness(algorithm) == ""
    again = keys.load_private(keys.private_pem(own), "here")
    assert keys.public_bytes(again) == keys.public_bytes(own) == keys.public_bytes(own.public_key())


@pytest.mark.parametrize("algorithm", ["Ed25519", "ECDSA-secp256k1", "RSA-1024", "RSA-16384", "RSA-many"])
def test_an_unknown_or_weak_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(HardeningError, match="Choose one of ECDSA-P256"):
        keys.generate(algorithm)


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [
        ("RSA-1024", "an RSA key of 1024 bits is weak"),
        ("RSA-16384", "Go refuses RSA keys of more than 8192 bits"),
        ("ECDSA-P521", ""),
        ("ECDSA-secp256k1", "Go does not use the curve secp256k1"),
        ("Ed25519", "does not accept Ed25519"),
        ("DSA-2048", "does not accept DSA-2048"),
    ],
)
def test_weakness(algorithm: str, problem: str) -> None:
    assert (problem in keys.weakness(algorithm)) if problem else keys.weakness(algorithm) == ""


def test_kubeadm_can_read_the_form_in_which_keys_are_written() -> None:
    assert keys.private_pem(key()).startswith(b"-----BEGIN EC PRIVATE KEY-----\n")
    assert keys.private_pem(key("RSA-2048")).startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert keys.public_pem(key()).startswith(b"-----BEGIN PUBLIC KEY-----\n")


def test_a_key_may_stand_beside_its_parameters_and_certificates() -> None:
    # What `openssl ecparam -genkey` writes, and the kubelet's combined file.
    data = pem.encode("EC PARAMETERS", b"\x06\x08*\x86H\xce=\x03\x01\x07") + keys.private_pem(key())
    assert keys.public_bytes(keys.load_private(data, "here")) == keys.public_bytes(key())


def test_pkcs8_reads_like_the_traditional_form() -> None:
    data = key().private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN)
    assert keys.public_bytes(keys.load_private(data, "here")) == keys.public_bytes(key())


@pytest.mark.parametrize("traditional", [False, True], ids=["PKCS#8", "with Proc-Type headers"])
def test_passphrases(traditional: bool) -> None:
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    data = key().private_bytes(PEM, form, serialization.BestAvailableEncryption(b"right"))
    assert keys.public_bytes(keys.load_private(data, "here", b"right")) == keys.public_bytes(key())
    with pytest.raises(HardeningError, match="passphrase does not open the key in here; nothing was changed"):
        keys.load_private(data, "here", b"wrong")
    with pytest.raises(HardeningError, match="encrypted and no passphrase was given"):
        keys.load_private(data, "here")
    # A passphrase that is not needed does no harm.
    keys.load_private(keys.private_pem(key()), "here", b"right")


def test_what_the_product_encrypts_it_opens() -> None:
    data = keys.private_pem(key(), b"secret")
    assert data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert keys.public_bytes(keys.load_private(data, "here", b"secret")) == keys.public_bytes(key())


def _damaged() -> bytes:
    lines = keys.private_pem(key()).splitlines(keepends=True)
    return b"".join(lines[:2] + lines[3:])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "holds no private key", id="empty"),
        pytest.param(keys.private_pem(key())[:-40], "truncated", id="cut at the end"),
        pytest.param(_damaged(), "damaged or truncated", id="a line missing"),
        pytest.param(keys.private_pem(key()) * 2, "holds 2 private keys", id="two keys"),
        pytest.param(keys.public_pem(key()), "holds no private key", id="the public half"),
        pytest.param(
            ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN),
            "is Ed25519, which kubeadm",
            id="Ed25519",
        ),
        pytest.param(pem.encode("OPENSSH PRIVATE KEY", b"x"), "which Kubernetes does not read", id="OpenSSH"),
        pytest.param(b"-----BEGIN EC PRIVATE KEY-----\n????\n-----END EC PRIVATE KEY-----\n", "base64", id="no base64"),
    ],
)
def test_keys_that_are_left_alone(data: bytes, sentence: str) -> None:
    with pytest.raises(HardeningError, match="left as it was") as refusal:
        keys.load_private(data, "/pki/ca.key")
    assert sentence in str(refusal.value)
    assert "/pki/ca.key" in str(refusal.value)


def test_no_byte_of_a_key_reaches_a_message() -> None:
    data = _damaged()
    with pytest.raises(HardeningError) as refusal:
        keys.load_private(data, "here")
    assert all(line.decode() not in str(refusal.value) for line in data.splitlines()[1:-1])
    assert refusal.value.__cause__ is None


def test_digests_fit_the_curve() -> None:
    assert keys.signature_hash(key()).name == "sha256"
    assert keys.signature_hash(key("ECDSA-P384")).name == "sha384"
    assert keys.signature_hash(key("RSA-2048")).name == "sha256"


def test_types() -> None:
    assert isinstance(key(), ec.EllipticCurvePrivateKey)
    assert isinstance(key("RSA-2048"), rsa.RSAPrivateKey)


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS[:3])
def test_a_signature_is_of_one_key_and_one_message(algorithm: str) -> None:
    own, other = key(algorithm), keys.generate("ECDSA-P256")
    signature = keys.sign(own, b"message")
    assert keys.verifies(keys.public_bytes(own), b"message", signature)
    assert not keys.verifies(keys.public_bytes(own), b"another message", signature)
    assert not keys.verifies(keys.public_bytes(other), b"message", signature)
    assert not keys.verifies(keys.public_bytes(own), b"message", b"")
