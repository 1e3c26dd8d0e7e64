# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import sealed

CONTEXT = b"run 1, host cp2, /etc/kubernetes/pki/sa.key"
RECEIVER = sealed.new_receiver()
SECRET = b"-----BEGIN EC PRIVATE KEY-----"
MESSAGE = sealed.seal(SECRET, RECEIVER.public, CONTEXT)


@settings(max_examples=25)
@given(st.binary(max_size=5000), st.binary(max_size=100))
def test_the_receiver_reads_what_was_sealed(secret: bytes, context: bytes) -> None:
    message = sealed.seal(secret, RECEIVER.public, context)
    assert RECEIVER.open(message, context) == secret
    assert len(secret) < 16 or secret not in message[20:]


def test_nobody_else_reads_it() -> None:
    with pytest.raises(HardeningError, match="could not be opened"):
        sealed.new_receiver().open(MESSAGE, CONTEXT)


@pytest.mark.parametrize("context", [b"", b"run 2", CONTEXT + b"x"])
def test_it_opens_in_its_own_context_only(context: bytes) -> None:
    with pytest.raises(HardeningError, match="made for another host, run or file"):
        RECEIVER.open(MESSAGE, context)


@settings(max_examples=60)
@given(st.integers(0, len(MESSAGE) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, change: int) -> None:
    changed = bytearray(MESSAGE)
    changed[position] ^= change
    with pytest.raises(HardeningError, match="could not be opened"):
        RECEIVER.open(bytes(changed), CONTEXT)


@given(st.integers(0, len(MESSAGE) - 1))
def test_every_cut_is_noticed(length: int) -> None:
    with pytest.raises(HardeningError, match="could not be opened"):
        RECEIVER.open(MESSAGE[:length], CONTEXT)


def test_the_same_secret_never_looks_the_same() -> None:
    assert sealed.seal(SECRET, RECEIVER.public, CONTEXT) != MESSAGE


@pytest.mark.parametrize("public", [b"", b"\x04" + b"\x00" * 64, RECEIVER.public[:-1]])
def test_a_damaged_public_key_is_refused(public: bytes) -> None:
    with pytest.raises(HardeningError, match="public key of the receiving host is damaged"):
        sealed.seal(SECRET, public, CONTEXT)


def test_the_private_half_does_not_show() -> None:
    assert "private" not in repr(RECEIVER)
