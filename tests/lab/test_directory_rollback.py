# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rollback.yml on directories that stand for hosts: bytes, modes and owners as before, killed in between or not.

Needs neither a cluster nor root.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.product import messages_of, wait_until
from lab.test_directory_hosts import APISERVER, Hosts
from tools.checkout import ROOT
from tools.runs import STRICT, Run

POLICY = "etc/kubernetes/kubeharden/audit-policy.yaml"
KUBELET = "var/lib/kubelet/config.yaml"
BACKUPS = "var/lib/kubeharden/backups"
OURS = ("run", "var/lib/kubeharden")
#: What a run makes where a directory that stands for a host has none; it never goes back.
KEYS = (".crt", ".key", ".pub", "admin.conf", "controller-manager.conf", "scheduler.conf")


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def content(hosts: Hosts) -> dict[str, tuple[Any, ...]]:
    """Bytes, mode, owner and, of files, times of all that is on the hosts, but keys and what Kubeharden keeps."""
    found: dict[str, tuple[Any, ...]] = {}
    for name in hosts.names:
        root = hosts.root(name)
        for folder, names, files in os.walk(root):
            names[:] = [one for one in names if os.path.relpath(os.path.join(folder, one), root) not in OURS]
            for one in (*names, *files):
                path = os.path.join(folder, one)
                if one.endswith(KEYS):
                    continue
                status = os.lstat(path)
                kept = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
                if stat.S_ISREG(status.st_mode):
                    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
                    found[path] = (*kept, status.st_mtime_ns, digest)
                else:
                    found[path] = kept
    return found


def well(run: Run) -> Run:
    assert run.code == 0, str(run)
    assert not run.complaints, str(run)
    return run


def rollback(hosts: Hosts, *arguments: str, run_id: str = "") -> Run:
    return hosts.play("rollback.yml", *arguments, run_id=run_id)


def refused(run: Run, words: str) -> None:
    """The run ended with code 2 and one message that has the words; whichever host spoke for all of them."""
    assert run.code == 2, str(run)
    (message,) = messages_of(run).values()
    assert words in message


def record(hosts: Hosts, host: str, run_id: str) -> dict[str, Any]:
    text = (hosts.root(host) / BACKUPS / run_id / "record.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


@pytest.mark.slow
def test_hardened_and_put_back_a_host_is_what_it_was(hosts: Hosts) -> None:
    """And it can be hardened once more; check mode says what the run does; a second rollback has nothing to do."""
    before = content(hosts)
    well(hosts.harden(run_id="first"))
    hardened = content(hosts)
    assert hardened != before
    foretold = well(rollback(hosts, "--check", "--diff"))
    expected = hosts.changes
    assert expected
    assert content(hosts) == hardened
    assert (
        "+++ after: manifest /etc/kubernetes/manifests/kube-apiserver.yaml (restarts kube-apiserver)" in foretold.output
    )
    done = well(rollback(hosts))
    assert hosts.changes == expected
    assert all(done.changed[name] > 0 for name in hosts.names), str(done)
    assert content(hosts) == before
    assert "Put back, the newest first: first." in done.output
    assert "Keys and certificates never come back: /etc/kubernetes/pki/ca.crt" in done.output
    assert all(record(hosts, name, "first")["undone_by"] for name in hosts.names)
    state = hosts.state()
    again = well(rollback(hosts))
    assert again.changed == dict.fromkeys(hosts.names, 0), str(again)
    assert "Run first was put back by" in again.output
    assert hosts.changes == []
    assert hosts.state() == state
    well(hosts.harden(run_id="once-more"))
    # Times are those of the run that wrote.
    assert {path: what[-1] for path, what in content(hosts).items()} == {
        path: what[-1] for path, what in hardened.items()
    }


def test_a_rollback_that_is_refused_keeps_no_lock_on_any_host(hosts: Hosts) -> None:
    """A name that is mistyped, and a record that is damaged on one host."""
    well(hosts.harden("--limit", "w1", "--tags", "files", run_id="first"))
    locks = [hosts.root(name) / "run/kubeharden/lock" for name in hosts.names]
    refused(rollback(hosts, run_id="frist"), "has the record of frist; there are first. Nothing was changed.")
    assert all(lock.parent.is_dir() for lock in locks)
    assert [lock for lock in locks if lock.exists()] == []
    (hosts.root("w1") / BACKUPS / "first" / "record.json").write_text("{", encoding="utf-8")
    run = rollback(hosts)
    refused(run, "first/record.json is damaged: it is no ")
    assert set(messages_of(run)) == {"w1"}
    assert [lock for lock in locks if lock.exists()] == []


@pytest.mark.slow
def test_back_to_before_the_first_of_two_runs_one_host_first(hosts: Hosts) -> None:
    """The second run had the other profile; what was left of a host is not asked for by name any more."""
    before = content(hosts)
    well(hosts.harden(run_id="first"))
    first = content(hosts)
    well(hosts.harden(run_id="second", profile="cis"))
    refused(rollback(hosts, run_id="frist"), "has the record of frist; there are first, second. Nothing was changed.")
    alone = well(rollback(hosts, "--limit", "w1", run_id="first"))
    assert "Put back, the newest first: second, first." in alone.output
    kubelet = str(hosts.root("w1") / KUBELET)
    # Nobody knows of the API servers, which may verify what w1's kubelet serves.
    assert f"Not done on w1: /{KUBELET} stays as it is, since cp1, cp2 took no part in this rollback" in alone.output
    both = content(hosts)
    changed = {path for path in both if both[path] != before.get(path)}
    assert any("/cp1/" in path for path in changed)
    assert kubelet in changed
    assert all("sysctl" in path for path in changed if "/w1/" in path and path != kubelet), changed
    # The last run, of which w1 has put back all but that.
    well(rollback(hosts))
    assert content(hosts) == {path: what for path, what in first.items() if "/w1/" not in path or path == kubelet} | {
        path: what for path, what in before.items() if "/w1/" in path and path != kubelet
    }
    well(rollback(hosts, run_id="first"))
    assert content(hosts) == before


def test_a_rollback_that_dies_is_gone_on_with(hosts: Hosts) -> None:
    """It dies when one control plane is back and another is not."""
    before = content(hosts)
    well(hosts.harden(run_id="first"))
    well(hosts.harden(run_id="second", profile="cis"))
    programs = Path(sys.executable).parent
    original = {name: before[str(hosts.root(name) / APISERVER)] for name in ("cp1", "cp2")}
    process = subprocess.Popen(
        [programs / "ansible-playbook", "-i", hosts.inventory, ROOT / "rollback.yml", "-e", "kubeharden_run_id=first"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=hosts.directory,
        env={"HOME": str(hosts.home), "PATH": f"{programs}:{os.environ['PATH']}", "LANG": "C.UTF-8", **STRICT},
        start_new_session=True,
    )
    try:
        path = hosts.root("cp2") / APISERVER
        wait_until("cp2", 300, lambda: path.lstat().st_mtime_ns == original["cp2"][4], 0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert content(hosts)[str(hosts.root("cp1") / APISERVER)] != original["cp1"]
    run = well(rollback(hosts))
    assert "did not come to its end; it is gone on with, back to before first" in run.output
    assert content(hosts) == before
    assert "was put back by" in well(rollback(hosts)).output


@pytest.mark.slow
def test_what_somebody_else_changed_since_is_left_and_named(hosts: Hosts) -> None:
    """And so is what this needs: the policy that a manifest still names."""
    before = content(hosts)
    well(hosts.harden(run_id="first"))
    manifest = hosts.root("cp1") / APISERVER
    manifest.write_bytes(manifest.read_bytes() + b"# by hand\n")
    policy = hosts.root("cp2") / POLICY
    policy.write_bytes(b"kind: Policy\n")
    theirs = content(hosts)
    foretold = well(rollback(hosts, "--check"))
    expected = hosts.changes
    run = well(rollback(hosts))
    assert hosts.changes == expected
    for one in (foretold, run):
        assert f"Not done on cp1: /{APISERVER} has been changed by someone else since run first" in one.output
        assert f"Not done on cp2: /{POLICY} has been changed by someone else since run first" in one.output
        assert f"Not done on cp1: /{POLICY} stays, since /{APISERVER} names it." in one.output
    after = content(hosts)
    for path in (manifest, policy, hosts.root("cp1") / POLICY):
        assert after[str(path)] == theirs[str(path)]
    assert after[str(hosts.root("cp2") / APISERVER)] == before[str(hosts.root("cp2") / APISERVER)]
    again = well(rollback(hosts))
    assert set(again.changed.values()) == {0}, str(again)


@pytest.mark.slow
def test_old_backups_are_removed_but_never_the_last(hosts: Hosts) -> None:
    kept = hosts.root("cp1") / BACKUPS
    for number in range(1, 4):
        flags = {"kube-apiserver": {"request-timeout": f"6{number}s"}}
        run = well(hosts.harden("--limit", "cp1", run_id=f"run-{number}", extra_flags=flags, backup_count=2))
    assert sorted(one.name for one in kept.iterdir()) == ["run-2", "run-3"]
    assert "Backups of run-1 were removed: these runs cannot be put back any more." in run.output
    refused(rollback(hosts, run_id="run-1"), "has the record of run-1; there are run-2, run-3. Nothing was changed.")


@pytest.mark.slow
def test_a_host_that_is_silent_is_gone_without_by_a_rollback_too(hosts: Hosts) -> None:
    """Its record is not marked, so that the next rollback puts it back. Port 1 takes no connection."""
    well(hosts.harden("--limit", "w1,cp2", "--tags", "files", run_id="first"))
    silent = "        cp1: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}\n"
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("        cp1:\n", silent), encoding="utf-8")
    run = hosts.play("rollback.yml", allow_unreachable=True)
    assert run.code == 0, str(run)
    assert "KH101: cp1 could not be reached" in run.output
    assert {change["host"] for change in hosts.changes} == {"cp2", "w1"}
