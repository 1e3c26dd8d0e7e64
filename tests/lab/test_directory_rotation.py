# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rotate_certificates.yml starts on hosts does not depend on how many certificates it issues.

On directories that stand for hosts; over ssh Ansible starts the same modules.
"""

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest

from lab.test_directory_hosts import Hosts
from tools.runs import Run

#: What Ansible says of each module that it starts on a host, from -vvv on.
STARTED = re.compile(r"Using module file \S+/(\w+)\.py")


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def started(run: Run) -> dict[str, int]:
    """By module, how often it was started."""
    assert run.code == 0, str(run)
    return dict(collections.Counter(STARTED.findall(run.output)))


def test_one_certificate_and_all_of_them_are_as_many_modules(hosts: Hosts) -> None:
    assert hosts.harden().code == 0
    one = hosts.play("rotate_certificates.yml", "-vvv", pki_renew="all", pki_only=["apiserver"])
    issued = len(hosts.changes)
    every = hosts.play("rotate_certificates.yml", "-vvv", pki_renew="all")
    assert len(hosts.changes) > 4 * issued
    assert started(one)["pki_leaves"] == len(hosts.names)
    assert started(every) == started(one)
