# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that a process of the host names are not taken away; real processes of this machine are looked at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, layout as table
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import unused_keys
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import CLUSTER

#: A path that nothing else on the machine names.
KEY = "/etc/kubernetes/pki-of-a-test/ca.key"
PKI = table.host_pki(
    data.layout({"pairs": {"kubernetes": {"certificate": "/etc/kubernetes/pki-of-a-test/ca.crt", "key": KEY}}}),
    data.cluster(CLUSTER),
    "cp1",
)


@pytest.fixture(params=[[f"--cluster-signing-key-file={KEY}"], ["--cluster-signing-key-file", KEY]])
def started(request: pytest.FixtureRequest) -> Iterator[None]:
    """A process that was started with the key."""
    words = [sys.executable, "-c", "print(flush=True); input()", *request.param]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # For a moment after it was started a process has no arguments yet.
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@pytest.mark.usefixtures("started")
def test_one_that_names_the_key_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(HardeningError, match=f"was started with {KEY}, so the key was not removed"):
        unused_keys.require(Host("/"), PKI, ["kubernetes"])
    unused_keys.require(Host("/"), PKI, ["etcd"])
    unused_keys.require(Host(str(tmp_path)), PKI, ["kubernetes"])


def test_where_none_does_it_may_go() -> None:
    unused_keys.require(Host("/"), PKI, ["kubernetes"])
