# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that stand for hosts of a cluster, and calls on them as the modules make them."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, data, keys, layout as table, plan
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.pki.issue import Authority
from ansible_collections.kubeharden.core.plugins.module_utils.pki.layout import HostPki
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, pki_files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authorities import (
    Authorities,
    Brought,
    Making,
    Outcome,
    seal_pair,
)

NOW = 1_800_000_000.0
DAY = 86400.0
CLUSTER: Mapping[str, Any] = MappingProxyType(
    {
        "control_planes": [
            {"node_name": "cp1", "addresses": ["192.0.2.11"]},
            {"node_name": "cp2", "addresses": ["192.0.2.12"]},
        ],
        "nodes": [{"node_name": "w1", "addresses": ["192.0.2.21"]}],
        "load_balancer": "192.0.2.1:6443",
    }
)
EMPTY: Mapping[str, Any] = MappingProxyType({})


class Directory:
    """One host of the cluster."""

    def __init__(self, root: Path, node: str, cluster: Mapping[str, Any] = CLUSTER, **layout: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.host = Host(str(root))
        self.root = root
        self.node = node
        self.pki: HostPki = table.host_pki(data.layout(layout), data.cluster(cluster), node)
        self._runs = 0

    def store(self, run_id: str = "") -> pki_files.Store:
        self._runs += 1
        return pki_files.Store(self.host, run_id or f"run-{self._runs}")

    def files(self) -> dict[str, bytes]:
        return pki_files.read(self.host, self.pki)

    def authorities(
        self, check: bool = False, now: float = NOW, brought: Mapping[str, Authority] = EMPTY, **given: Any
    ) -> Outcome:
        """One call for the authorities, and the second one where the first asks for what is brought."""
        store = self.store(given.pop("run_id", ""))
        if not check:
            store.recover(self.pki)
        settings: dict[str, Any] = {"create": False, "source": False, "taken": None, "repair": True, **given}
        public = {name: dataclasses.replace(one, key=None) for name, one in brought.items()}
        keyless = [name for name, one in brought.items() if one.key is None]
        whole = Brought(public, list(brought), keyless)
        found = Authorities(store, self.pki, self.files(), now, Making(), whole)
        outcome = found.settle(node=self.node, check=check, **settings)
        if not (brought and outcome.receiver):
            return outcome
        settings["taken"] = {
            name: seal_pair(authority.files(one), outcome.receiver, store.run_id, self.node, name)
            for name, one in brought.items()
            if one.key is not None
        }
        return found.settle(node=self.node, check=check, **settings)

    def leaves(
        self, check: bool = False, now: float = NOW, run_id: str = "", **options: Any
    ) -> tuple[list[Change], leaves.Leaves]:
        """One call for leaves and kubeconfigs on a host that has its authorities' keys."""
        store = self.store(run_id)
        if not check:
            store.recover(self.pki)
        settings: dict[str, Any] = {"scope": leaves.SCOPE_DUE, "policy": Policy(), **options}
        found = leaves.Leaves(store, self.pki, self.files(), now, leaves.Options(**settings))
        changes = [*store.open_secrets(pki_files.leaf_paths(self.pki)), *found.changes()]
        if not check:
            store.close_secrets(store.open_secrets(pki_files.leaf_paths(self.pki)))
            if found.changes():
                found.apply({}, {})
            found.tidy()
        return changes, found

    def signers(self, now: float = NOW) -> dict[str, Authority]:
        return pki_files.load_authorities(self.pki, self.files(), now)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def state(self) -> dict[str, tuple[int, int, int]]:
        """Inode, size and mode of every file."""
        found = {}
        for folder, _names, files in os.walk(self.root):
            for name in files:
                status = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (status.st_ino, status.st_size, status.st_mode)
        return found


def made(directory: Directory, now: float = NOW) -> Directory:
    """The host with authorities of its own and everything below them."""
    directory.authorities(create=True, now=now)
    directory.leaves(now=now)
    return directory


def assert_no_key_is_open(root: Path) -> None:
    """No file that holds a private key may be read by others, temporary ones and backups included."""
    for folder, _names, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            data_there = path.read_bytes()
            if b"PRIVATE KEY" in data_there or b"client-key-data" in data_there:
                assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def assert_pairs_fit(directory: Directory) -> None:
    """Every leaf is there with its key and signed by its authority."""
    files = directory.files()
    signers = directory.signers()
    for leaf in directory.pki.leaves:
        actual, key = plan.stored_pair(leaf, files)
        assert actual is not None, leaf.name
        assert key is not None, leaf.name
        assert actual.public_key == keys.public_bytes(key), leaf.name
        assert actual.profile.issuer == signers[leaf.authority].facts.profile.subject.raw, leaf.name


def secret_lines(data: bytes) -> list[str]:
    """The lines of the private keys in a file's bytes, but those that hold nothing but of their public halves."""
    found = []
    for block in re.finditer(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n([^-]+)-----END [A-Z ]*PRIVATE KEY-----\n", data):
        is_open = b"ENCRYPTED" not in block[0]
        public = keys.public_bytes(keys.load_private(block[0], "a key", validate=False)) if is_open else b""
        lines = [line for line in block[1].split() if len(line) > 30 and base64.b64decode(line) not in public]
        assert lines
        found += [line.decode("ascii") for line in lines]
    return found


def told(changes: list[Change]) -> list[tuple[str, str, str, str]]:
    """What two runs must say alike."""
    return [(change.kind, change.target, change.action, json.dumps(change.as_record())) for change in changes]
