# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of the controller that cannot be read is told with the variable that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="read on the controller")

from ansible.parsing.dataloader import DataLoader

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils.keeping_action import KeepingAction


def test_a_passphrase_file_that_is_missing_is_told_with_its_own_variable(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    action = KeepingAction.__new__(KeepingAction)
    action._loader = DataLoader()
    variables = {
        "kubeharden_pki_authorities_dir": str(tmp_path / "keys"),
        "kubeharden_pki_authorities_passphrase_file": str(tmp_path / "phrase"),
    }
    kept = action.kept(variables, 0.0)
    assert kept is not None
    words = "phrase, which kubeharden_pki_authorities_passphrase_file names, could not be read"
    with pytest.raises(HardeningError, match=words):
        kept.authorities()
    (tmp_path / "phrase").write_text("secret", encoding="utf-8")
    (tmp_path / "phrase").chmod(0o600)
    (tmp_path / "keys" / "etcd.crt").symlink_to("nowhere")
    (tmp_path / "keys" / "etcd.key").write_text("none", encoding="utf-8")
    (tmp_path / "keys" / "etcd.key").chmod(0o600)
    with pytest.raises(HardeningError, match=r"etcd\.crt, which kubeharden_pki_authorities_dir names"):
        kept.authorities()
