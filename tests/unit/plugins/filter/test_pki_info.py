# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

pytest.importorskip("ansible", reason="not on a host with the oldest libraries")

from ansible.errors import AnsibleFilterError

from ansible_collections.kubeharden.core.plugins.filter import pki_info as filter_file
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import wanted_authority

NOW = 1_800_000_000.0
CERTIFICATE, KEY = (data.decode() for data in authority.files(authority.create(wanted_authority("kubernetes"), NOW)))
pki_info = filter_file.FilterModule().filters()["pki_info"]


def test_a_certificate() -> None:
    (entry,) = pki_info(CERTIFICATE, NOW)
    assert (entry["subject"], entry["days_left"], entry["key_fits"]) == ("CN=kubernetes", 3650, None)


def test_a_key_in_the_same_text_is_compared_and_not_returned() -> None:
    (entry,) = pki_info(CERTIFICATE + KEY, NOW)
    assert entry["key_fits"] is True
    assert KEY.splitlines()[1] not in repr(entry)


def test_the_controllers_clock_is_the_default() -> None:
    assert pki_info(CERTIFICATE)[0]["days_left"] > 0


@pytest.mark.parametrize(
    ("value", "sentence"), [(CERTIFICATE.strip() + CERTIFICATE, "without a newline"), (7, "not a int")]
)
def test_mistakes_are_sentences(value: object, sentence: str) -> None:
    with pytest.raises(AnsibleFilterError, match=sentence):
        pki_info(value, NOW)


def test_a_controller_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_file, "MISSING", "cryptography")
    with pytest.raises(AnsibleFilterError, match="needs the Python library cryptography on the controller"):
        pki_info(CERTIFICATE)
