# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PKI of a whole cluster in directories: foretold, done, and nothing left to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
from ansible_collections.kubeharden.core.plugins.module_utils.pki import data, kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import pki_directories
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_directories import (
    Directories,
    Result,
    Wanted,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    CLUSTER,
    DAY,
    NOW,
    Directory,
    assert_no_key_is_open,
    assert_pairs_fit,
    told,
)

LAYOUT: dict[str, Any] = {"kubelet_serving": True, "kubelet_client": True}
HOSTS = ("cp1", "cp2", "w1")
#: Two control planes with 7 + 3 + 2 certificates, and a worker with two.
LEAVES = 26


def settle(parent: Path, check: bool = False, now: float = NOW, run_id: str = "run", **given: Any) -> Result:
    cluster = given.pop("cluster", CLUSTER)
    wanted = Wanted(data.cluster(cluster), data.layout(given.pop("layout", LAYOUT)), **given)
    return Directories(str(parent), run_id, wanted, now, check).settle()


def state(parent: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in parent.rglob("*") if path.is_file()}


def assert_good(parent: Path) -> None:
    for node in HOSTS:
        host = Directory(parent / node, node, **LAYOUT)
        if node != "w1":
            assert_pairs_fit(host)
        assert (parent / node).stat().st_mode & 0o777 == 0o700
    assert_no_key_is_open(parent)
    assert sorted(path.name for path in parent.iterdir()) == sorted(HOSTS)
    for name in ("ca.crt", "ca.key", "etcd/ca.key", "front-proxy-ca.key", "sa.key", "sa.pub"):
        first, second = (parent / node / "etc/kubernetes/pki" / name for node in HOSTS[:2])
        assert first.read_bytes() == second.read_bytes()
    assert not list((parent / "w1").rglob("ca.key"))


def test_check_run_check_run(tmp_path: Path) -> None:
    foretold = settle(tmp_path, check=True)
    assert not list(tmp_path.iterdir())
    done = settle(tmp_path)
    assert told(done.changes) == told(foretold.changes)
    assert len({change.target for change in done.changes}) == len(done.changes)
    assert len(done.issued) == LEAVES
    assert {one["node_name"] for one in done.issued} == set(HOSTS)
    assert all(Path(one["path"]).is_file() for one in done.issued)
    for change in done.changes:
        assert os.path.exists(change.target), change
        assert "PRIVATE" not in json.dumps(change.as_record())
    assert_good(tmp_path)
    before = state(tmp_path)
    for check in (True, False):
        assert settle(tmp_path, check=check, now=NOW + DAY).changes == []
        assert state(tmp_path) == before


def test_every_file_is_what_the_calls_on_a_host_know_as_theirs(tmp_path: Path) -> None:
    settle(tmp_path)
    host = Directory(tmp_path / "cp2", "cp2", **LAYOUT)
    assert set(host.store().issued()) == {leaf.name for leaf in host.pki.leaves}
    changes, _planned = host.leaves(check=True)
    assert changes == []


def test_what_is_missing_or_due_is_made_and_the_rest_stays(tmp_path: Path) -> None:
    settle(tmp_path)
    before = state(tmp_path)
    gone = tmp_path / "w1/var/lib/kubelet/pki/kubelet.crt"
    gone.unlink()
    open_key = tmp_path / "cp1/etc/kubernetes/pki/apiserver.key"
    open_key.chmod(0o644)
    foretold = settle(tmp_path, check=True, run_id="second")
    done = settle(tmp_path, run_id="second")
    assert told(done.changes) == told(foretold.changes)
    assert {change.target for change in done.changes} >= {str(gone), str(open_key)}
    assert [one["name"] for one in done.issued] == ["kubelet-server"]
    assert_good(tmp_path)
    after = state(tmp_path)
    changed = {path for path in before if after[path] != before[path]}
    known = str(tmp_path / "w1/var/lib/kubeharden/certificates.json")
    assert changed <= {str(gone), str(gone.with_suffix(".key")), known}
    assert (tmp_path / "w1/var/lib/kubeharden/backups/second/record.json").is_file()


def test_a_host_that_is_new_or_gone_gets_what_the_authorities_of_the_others_issue(tmp_path: Path) -> None:
    smaller = {**CLUSTER, "control_planes": CLUSTER["control_planes"][:1], "nodes": []}
    settle(tmp_path, cluster=smaller)
    authority = (tmp_path / "cp1/etc/kubernetes/pki/ca.crt").read_bytes()
    done = settle(tmp_path)
    assert {one["node_name"] for one in done.issued} == {"cp2", "w1"}
    assert (tmp_path / "w1/etc/kubernetes/pki/ca.crt").read_bytes() == authority
    assert_good(tmp_path)


def test_all_anew_keeps_the_authorities(tmp_path: Path) -> None:
    settle(tmp_path)
    before = state(tmp_path)
    done = settle(tmp_path, run_id="anew", policy=Policy(renew_all=True))
    assert len(done.issued) == LEAVES
    assert_good(tmp_path)
    after = state(tmp_path)
    kept = [path for path in before if after[path] == before[path]]
    assert str(tmp_path / "cp1/etc/kubernetes/pki/ca.key") in kept
    assert str(tmp_path / "cp1/etc/kubernetes/pki/apiserver.crt") not in kept


@pytest.mark.parametrize("fail_at", range(4))
def test_a_directory_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, fail_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a run that was killed left.
    leftover = tmp_path / ".kubeharden-cp1/etc/kubernetes/pki"
    leftover.mkdir(parents=True)
    (leftover / "ca.key").write_text("half")
    with monkeypatch.context() as patch:
        calls = iter(range(100))
        real = os.rename

        def rename(source: str, target: str) -> None:
            if next(calls) == fail_at:
                raise OSError(28, "full", target)
            real(source, target)

        patch.setattr(pki_directories.os, "rename", rename)
        if fail_at < len(HOSTS):
            with pytest.raises(HardeningError, match="no space is left"):
                settle(tmp_path)
            assert sorted(path.name for path in tmp_path.iterdir()) == sorted(HOSTS[:fail_at])
        else:
            settle(tmp_path)
    settle(tmp_path, run_id="second")
    assert_good(tmp_path)
    assert settle(tmp_path, check=True).changes == []


def test_all_of_it_is_on_the_disk_before_the_first_directory_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], dict[str, tuple[int, bytes]]]] = []

    def sync_trees(descriptor: int, roots: list[str]) -> None:
        assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        seen.append((roots, state(tmp_path)))

    monkeypatch.setattr(pki_directories, "sync_trees", sync_trees)
    settle(tmp_path)
    ((roots, synced),) = seen
    assert roots == [str(tmp_path / f".kubeharden-{name}") for name in HOSTS]
    assert {path.replace("/.kubeharden-", "/"): file for path, file in synced.items()} == state(tmp_path)
    settle(tmp_path, run_id="second")
    assert len(seen) == 1


def test_a_disk_that_did_not_take_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync_trees(_descriptor: int, _roots: list[str]) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pki_directories, "sync_trees", sync_trees)
    with pytest.raises(HardeningError, match="could not be written: input/output error"):
        settle(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "needs a control plane"),
        (["cp1", "cp1"], "a name of its own"),
        (["../cp1"], "cannot be the name of a node"),
        ([".."], "cannot be the name of a node"),
        ([""], "cannot be the name of a node"),
    ],
)
def test_names_that_are_no_directories_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    cluster = {"control_planes": [{"node_name": name, "addresses": ["192.0.2.11"]} for name in names]}
    with pytest.raises(HardeningError, match=said):
        settle(tmp_path, cluster=cluster)
    assert not list(tmp_path.iterdir())


def test_the_parent_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(HardeningError, match="make that directory"):
        settle(tmp_path / "none")


def test_a_directory_that_another_run_has_is_left_alone(tmp_path: Path) -> None:
    settle(tmp_path)
    Lock(Host(str(tmp_path / "w1"))).acquire(Holder("other", "controller boot", "1 2", NOW))
    (tmp_path / "cp1/etc/kubernetes/admin.conf").unlink()
    before = state(tmp_path)
    with pytest.raises(HardeningError, match="Run other from controller holds"):
        settle(tmp_path, run_id="second")
    assert state(tmp_path) == before


def test_a_refusal_writes_nothing(tmp_path: Path) -> None:
    settle(tmp_path)
    (tmp_path / "cp2/etc/kubernetes/pki/apiserver.key").write_text("cut")
    (tmp_path / "cp1/etc/kubernetes/pki/apiserver.crt").unlink()
    before = state(tmp_path)
    with pytest.raises(HardeningError):
        settle(tmp_path, run_id="second")
    assert state(tmp_path) == before


def test_etcd_hosts_of_their_own_get_no_authority_key(tmp_path: Path) -> None:
    cluster = {
        "control_planes": [{"node_name": "cp1", "addresses": ["192.0.2.11"]}],
        "etcd": [{"node_name": "e1", "addresses": ["192.0.2.31"]}],
    }
    foretold = settle(tmp_path, check=True, cluster=cluster)
    done = settle(tmp_path, cluster=cluster)
    assert told(done.changes) == told(foretold.changes)
    names = [one["name"] for one in done.issued if one["node_name"] == "e1"]
    assert "etcd-server" in names
    assert not list((tmp_path / "e1").rglob("ca.key"))
    assert settle(tmp_path, cluster=cluster).changes == []


def test_kubeconfigs_name_files_where_that_is_asked_for_and_kubeadm_did_not_make_the_host(tmp_path: Path) -> None:
    layout: dict[str, Any] = {"file_references": True}
    settle(tmp_path, layout={})
    asked = settle(tmp_path, check=True, layout=layout)
    done = settle(tmp_path, layout=layout)
    assert told(asked.changes) == told(done.changes)
    for node in ("cp1", "cp2"):
        place = tmp_path / node / "etc/kubernetes"
        for name in ("admin", "controller-manager", "scheduler"):
            facts = kubeconfig.parse((place / f"{name}.conf").read_bytes(), name)
            assert (facts.authority, facts.certificate, facts.key) == (None, None, None)
            pki = "/etc/kubernetes/pki"
            named = (facts.authority_file, facts.certificate_file, facts.key_file)
            assert named == (f"{pki}/ca.crt", f"{pki}/{name}-client.crt", f"{pki}/{name}-client.key")
        assert_pairs_fit(Directory(tmp_path / node, node, **layout))
    assert settle(tmp_path, layout=layout).changes == []
    (tmp_path / "cp2/var/lib/kubelet").mkdir(parents=True)
    (tmp_path / "cp2/var/lib/kubelet/kubeadm-flags.env").touch()
    before = state(tmp_path)
    with pytest.raises(HardeningError, match="leave file_references out here") as refusal:
        settle(tmp_path, layout=layout, policy=Policy(renew_all=True))
    assert refusal.value.number == "KH314"
    assert state(tmp_path) == before
    assert settle(tmp_path, layout={}).changes == []
