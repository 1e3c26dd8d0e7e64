# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners and modes: at most, never wider, all or nothing, and told to whoever would undo them."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import attributes as module
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.attributes import (
    Attributes,
    Wanted,
    wanted_from_data,
)

RUN = "20260101T000000Z-abcd"
UNIT = "/usr/lib/systemd/system/kubelet.service"
ME = (pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root: files are given away")


class Shell:
    """Commands of the host, of which some are refused."""

    def __init__(self, refuse: str = "", packaged: t.Sequence[str] = ()) -> None:
        self.refuse, self.packaged = refuse, packaged
        self.calls: list[list[str]] = []

    def __call__(self, args: list[str]) -> tuple[int, str, str]:
        self.calls.append(args)
        if args[0] == "dpkg-query":
            return (0 if args[-1] in self.packaged else 1), "", ""
        if self.refuse and self.refuse in " ".join(args):
            return 2, "", "dpkg: error: no\n"
        return 0, "", ""

    @property
    def changes(self) -> list[list[str]]:
        return [call for call in self.calls if call[0] != "dpkg-query"]


def test_what_a_static_pod_reads_that_does_not_run_as_root_stays_and_is_told(tmp_path: Path) -> None:
    """kubeadm with RootlessControlPlane gives sa.key to a group of the components."""
    theirs, ours = "/etc/kubernetes/pki/sa.key", "/etc/kubernetes/pki/apiserver.key"
    for path in (theirs, ours):
        make(tmp_path, path, 0o640)
    asked = [wanted(path, 0o600) for path in (theirs, ours, "/etc/missing.key")]
    one = Attributes(Host(str(tmp_path)), asked, Shell(), [theirs, "/etc/missing.key"])
    assert [change.target for change in one.plan()] == [ours]
    (sentence,) = one.not_done
    assert sentence.startswith(f"Owner and mode of {theirs} stayed: static pods read them that do not run as root")
    # Where all is as wanted there is nothing to tell.
    (tmp_path / theirs.lstrip("/")).chmod(0o600)
    again = Attributes(Host(str(tmp_path)), asked[:1], Shell(), [theirs])
    assert (again.plan(), again.not_done) == ([], [])


def wanted(path: str, mode: int, owner: str | None = None, group: str | None = None, persist: bool = False) -> Wanted:
    return Wanted(path, mode, owner, group, persist, "control")


def make(root: Path, path: str, mode: int) -> Path:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"bytes")
    place.chmod(mode)
    return place


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Live(Host):
    """A directory that is taken for a host that runs."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.live = True

    def path(self, path: str) -> str:
        return self._resolve(path, follow_last=True) if not os.path.isabs(path) else self._below(path)

    def _below(self, path: str) -> str:
        return path if path.startswith(self.root) else self.root + path


# ---- directory hosts: the table


@pytest.mark.parametrize(
    ("found", "most", "becomes"),
    [
        (0o644, 0o600, 0o600),
        (0o600, 0o600, 0o600),
        (0o400, 0o600, 0o400),
        (0o755, 0o700, 0o700),
        (0o777, 0o644, 0o644),
        (0o640, 0o604, 0o600),
        (0o4755, 0o755, 0o755),
        (0o000, 0o600, 0o000),
    ],
)
def test_a_mode_is_at_most_what_is_wanted(tmp_path: Path, found: int, most: int, becomes: int) -> None:
    place = make(tmp_path, "/etc/file", found)
    made = Attributes(Host(str(tmp_path)), [wanted("/etc/file", most)], Shell())
    changes = made.plan()
    assert mode_of(place) == found
    if found == becomes:
        assert changes == []
        return
    assert [(change.kind, change.action, change.target, change.controls) for change in changes] == [
        ("attributes", "set", "/etc/file", ("control",))
    ]
    assert changes[0].before == f"/etc/file {found:04o} {ME[0]} {ME[1]}\n"
    assert changes[0].after == f"/etc/file {becomes:04o} {ME[0]} {ME[1]}\n"
    if found:
        made.apply(Backup(Host(str(tmp_path)), RUN))
        assert mode_of(place) == becomes
        assert Attributes(Host(str(tmp_path)), [wanted("/etc/file", most)], Shell()).plan() == []


def test_what_does_not_exist_is_nobodys_fault(tmp_path: Path) -> None:
    assert Attributes(Host(str(tmp_path)), [wanted("/etc/missing", 0o600)], Shell()).plan() == []


def test_a_directory_has_a_mode_too(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o755)
    made = Attributes(Host(str(tmp_path)), [wanted("/var", 0o700)], Shell())
    made.plan()
    made.apply(Backup(Host(str(tmp_path)), RUN))
    assert mode_of(tmp_path / "var") == 0o700


def test_a_link_is_followed_inside_the_host_only(tmp_path: Path) -> None:
    outside = make(tmp_path, "/outside", 0o644)
    root = tmp_path / "root"
    inside = make(root, "/outside", 0o644)
    (root / "etc").mkdir()
    (root / "etc" / "link").symlink_to("../../outside")
    made = Attributes(Host(str(root)), [wanted("/etc/link", 0o600)], Shell())
    made.plan()
    made.apply(Backup(Host(str(root)), RUN))
    assert (mode_of(outside), mode_of(inside)) == (0o644, 0o600)


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "becomes"),
    [("root", "root", (0, 0)), ("root", None, (0, 54321)), (None, None, (12345, 54321)), ("daemon", "root", (1, 0))],
)
def test_an_owner_is_set_where_one_is_wanted(
    tmp_path: Path, owner: str | None, group: str | None, becomes: tuple[int, int]
) -> None:
    place = make(tmp_path, "/etc/file", 0o600)
    os.chown(place, 12345, 54321)
    host = Host(str(tmp_path))
    made = Attributes(host, [wanted("/etc/file", 0o600, owner, group)], Shell())
    changes = made.plan()
    assert bool(changes) is (becomes != (12345, 54321))
    made.apply(Backup(host, RUN))
    status = place.stat()
    assert (status.st_uid, status.st_gid) == becomes


def test_without_root_an_owner_is_left_and_told(tmp_path: Path) -> None:
    place = make(tmp_path, "/etc/file", 0o644)
    host = Host(str(tmp_path))
    host.can_own = False
    made = Attributes(host, [wanted("/etc/file", 0o600, "nobody", "root")], Shell())
    assert [change.after for change in made.plan()] == [f"/etc/file 0600 {ME[0]} {ME[1]}\n"]
    assert made.not_done == ["Owners were not set, which takes root."]
    made.apply(Backup(host, RUN))
    assert mode_of(place) == 0o600


def test_a_user_that_nobody_knows_is_a_sentence(tmp_path: Path) -> None:
    make(tmp_path, "/etc/file", 0o600)
    with pytest.raises(
        HardeningError, match=r"There is no user or group kubeadmin-x on this host\. Nothing was changed"
    ):
        Attributes(Host(str(tmp_path)), [wanted("/etc/file", 0o600, "kubeadmin-x")], Shell()).plan()


def test_a_directory_that_stands_for_a_host_gets_no_user_and_no_exceptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "/var/lib/etcd", 0o700)
    make(tmp_path, UNIT, 0o644)
    monkeypatch.setattr(module, "_uid_of", lambda _name: None)
    monkeypatch.setattr(module, "_gid_of", lambda _name: None)
    shell = Shell()
    asked = [wanted("/var/lib/etcd", 0o700, "etcd", "etcd"), wanted(UNIT, 0o600, persist=True)]
    made = Attributes(Host(str(tmp_path)), asked, shell)
    assert [change.target for change in made.plan()] == [UNIT]
    assert shell.calls == []
    assert any("system user etcd was not made" in note for note in made.not_done)
    assert any(UNIT in note and "which takes a running host" in note for note in made.not_done)


# ---- all or nothing


def test_one_that_is_refused_takes_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [make(tmp_path, f"/etc/{name}", 0o644) for name in ("a", "b", "c")]
    host = Host(str(tmp_path))
    made = Attributes(host, [wanted(f"/etc/{place.name}", 0o600) for place in places], Shell())
    made.plan()
    real = os.fchmod

    def fchmod(descriptor: int, mode: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/c"):
            raise PermissionError(1, "Operation not permitted")
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    with pytest.raises(HardeningError, match=r"Owner and mode of /etc/c could not be set.*went back"):
        made.apply(Backup(host, RUN))
    assert [mode_of(place) for place in places] == [0o644, 0o644, 0o644]


def test_going_back_never_brings_old_bytes_of_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane's step of this run saved the manifest and proved a new one: only its mode may go back."""
    place = make(tmp_path, "/etc/manifest.yaml", 0o644)
    host = Host(str(tmp_path))
    Backup(host, RUN).save("/etc/manifest.yaml")
    place.write_bytes(b"proven")

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "fchmod", refuse)
    made = Attributes(host, [wanted("/etc/manifest.yaml", 0o600)], Shell())
    made.plan()
    with pytest.raises(HardeningError):
        made.apply(Backup(host, RUN))
    assert (place.read_bytes(), mode_of(place)) == (b"proven", 0o644)


# ---- a package's own modes


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of dpkg's: the unit, and the list of exceptions."""
    make(tmp_path, UNIT, 0o644)
    override = make(tmp_path, "/var/lib/dpkg/statoverride", 0o644)
    override.write_text("root root 4755 /usr/bin/other\n", encoding="utf-8")
    monkeypatch.setattr(module, "_STATOVERRIDE", str(override))
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/usr/bin/dpkg-statoverride" or exists(path))
    return override


def unit(tmp_path: Path, shell: Shell, mode: int = 0o600) -> Attributes:
    return Attributes(Live(str(tmp_path)), [wanted(UNIT, mode, "root", "root", persist=True)], shell)


@needs_root
@pytest.mark.usefixtures("debian")
def test_dpkg_is_told_of_the_mode_under_the_name_that_the_package_has(tmp_path: Path) -> None:
    alias = UNIT[len("/usr") :]
    shell = Shell(packaged=[alias])
    made = unit(tmp_path, shell)
    assert [(change.kind, change.target, change.before, change.after) for change in made.plan()][1:] == [
        ("override", alias, None, f"{alias} 0600 root root\n")
    ]
    assert shell.changes == []
    made.apply(Backup(Live(str(tmp_path)), RUN))
    assert shell.changes == [["dpkg-statoverride", "--force-statoverride-add", "--add", "root", "root", "600", alias]]


@needs_root
@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"root root 600 {UNIT}", False),
        (f"root root 0400 {UNIT}", False),
        (f"root root 600 {UNIT[4:]}", False),
        (f"root root 644 {UNIT}", True),
        (f"daemon root 600 {UNIT}", True),
        (f"root root 600 {UNIT}.d", True),
    ],
)
def test_dpkg_is_told_once_and_a_stricter_exception_stays(tmp_path: Path, debian: Path, line: str, told: bool) -> None:
    debian.write_text(line + "\n", encoding="utf-8")
    made = unit(tmp_path, Shell(packaged=[UNIT]))
    assert bool([change for change in made.plan() if change.kind == "override"]) is told


@needs_root
@pytest.mark.parametrize("before", ["", f"daemon root 644 {UNIT}.d/10-kubeadm.conf\n"])
def test_a_refusal_of_dpkg_takes_everything_back(tmp_path: Path, debian: Path, before: str) -> None:
    debian.write_text(before, encoding="utf-8")
    drop_in = make(tmp_path, f"{UNIT}.d/10-kubeadm.conf", 0o644)
    shell = Shell(refuse=f" {UNIT}", packaged=[UNIT, f"{UNIT}.d/10-kubeadm.conf"])
    shell.refuse = f"--add root root 600 {UNIT}"
    asked = [
        wanted(f"{UNIT}.d/10-kubeadm.conf", 0o640, "root", "root", persist=True),
        wanted(UNIT, 0o600, "root", "root", persist=True),
    ]
    made = Attributes(Live(str(tmp_path)), asked, shell)
    made.plan()
    with pytest.raises(HardeningError, match=r"dpkg-statoverride refused .*kubelet\.service: dpkg: error: no\."):
        made.apply(Backup(Live(str(tmp_path)), RUN))
    back = ["--force-statoverride-add", "--add", "daemon", "root", "644"] if before else ["--remove"]
    assert shell.changes[-1] == ["dpkg-statoverride", *back, f"{UNIT}.d/10-kubeadm.conf"]
    assert mode_of(drop_in) == 0o644
    assert mode_of(tmp_path / UNIT.lstrip("/")) == 0o644


@needs_root
def test_without_dpkg_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, UNIT, 0o644)
    rules = tmp_path / "tmpfiles.conf"
    monkeypatch.setattr(module, "_TMPFILES", str(rules))
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path != "/usr/bin/dpkg-statoverride" and exists(path))
    made = unit(tmp_path, Shell())
    assert [change.target for change in made.plan()] == [UNIT, str(rules)]
    made.apply(Backup(Live(str(tmp_path)), RUN))
    assert rules.read_text(encoding="utf-8").splitlines()[1:] == [f"z {UNIT} 0600 root root -"]
    assert unit(tmp_path, Shell()).plan() == []


# ---- a user for a file's sake


def making_etcd(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> t.Callable[[list[str]], tuple[int, str, str]]:
    """A host that knows nobody, until a command has made the user etcd."""
    known: dict[str, int] = {}
    monkeypatch.setattr(module, "_uid_of", known.get)
    monkeypatch.setattr(module, "_gid_of", known.get)

    def run(args: list[str]) -> tuple[int, str, str]:
        known["etcd"] = 23456
        return shell(args)

    return run


@needs_root
def test_a_user_is_made_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var/lib/etcd").mkdir(parents=True, mode=0o700)
    shell = Shell()
    run = making_etcd(monkeypatch, shell)
    host = Live(str(tmp_path))
    made = Attributes(host, [wanted("/var/lib/etcd", 0o700, "etcd", "etcd")], run)
    assert [(change.kind, change.target) for change in made.plan()] == [
        ("user", "etcd"),
        ("attributes", "/var/lib/etcd"),
    ]
    made.apply(Backup(host, RUN))
    assert shell.calls[0][:2] == ["useradd", "--system"]
    status = (tmp_path / "var/lib/etcd").stat()
    assert (status.st_uid, status.st_gid) == (23456, 23456)


@needs_root
def test_a_user_that_cannot_be_made_leaves_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var/lib/etcd").mkdir(parents=True, mode=0o755)
    monkeypatch.setattr(module, "_uid_of", lambda _name: None)
    monkeypatch.setattr(module, "_gid_of", lambda _name: None)
    host = Live(str(tmp_path))
    made = Attributes(host, [wanted("/var/lib/etcd", 0o700, "etcd", "etcd")], Shell(refuse="useradd"))
    made.plan()
    with pytest.raises(HardeningError, match="The system user etcd could not be made"):
        made.apply(Backup(host, RUN))
    assert mode_of(tmp_path / "var/lib/etcd") == 0o755


def refuse(monkeypatch: pytest.MonkeyPatch, place: Path, *names: str) -> None:
    """Let the system refuse some of its calls for one file."""

    def refusing(real: t.Callable[..., None]) -> t.Callable[..., None]:
        def call(target: t.Any, *arguments: t.Any, **more: t.Any) -> None:
            if os.path.samestat(os.stat(target), place.stat()):
                raise PermissionError(1, "Operation not permitted")
            real(target, *arguments, **more)

        return call

    for name in names:
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@needs_root
@pytest.mark.parametrize("refused", ["fchown", "fchmod"])
@pytest.mark.parametrize("removable", [True, False])
def test_a_user_goes_back_with_the_files_for_whose_sake_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, removable: bool
) -> None:
    """Such as where the data directory is immutable, so that nothing of it could be put back either."""
    place = tmp_path / "var/lib/etcd"
    place.mkdir(parents=True, mode=0o755)
    shell = Shell(refuse="" if removable else "userdel")
    run = making_etcd(monkeypatch, shell)
    refuse(monkeypatch, place, *([refused] if refused == "fchmod" else ["fchown", "chown", "chmod", "utime"]))
    host = Live(str(tmp_path))
    made = Attributes(host, [wanted("/var/lib/etcd", 0o700, "etcd", "etcd")], run)
    made.plan()
    with pytest.raises(HardeningError) as caught:
        made.apply(Backup(host, RUN))
    said = str(caught.value)
    assert said.startswith("Owner and mode of /var/lib/etcd could not be set: the operation is not permitted")
    assert said.endswith("mend that and run again." if removable else "end what runs as it, and run again.")
    assert [call[0] for call in shell.changes] == ["useradd", "userdel"]
    assert (place.stat().st_uid, mode_of(place)) == (os.geteuid(), 0o755)


@needs_root
def test_a_user_stays_while_a_file_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var/lib/etcd").mkdir(parents=True, mode=0o755)
    shell = Shell()
    run = making_etcd(monkeypatch, shell)
    refuse(monkeypatch, tmp_path / "var/lib/etcd", "fchmod", "chown")
    host = Live(str(tmp_path))
    made = Attributes(host, [wanted("/var/lib/etcd", 0o700, "etcd", "etcd")], run)
    made.plan()
    with pytest.raises(HardeningError, match="The system user etcd stays, since /var/lib/etcd did not go back"):
        made.apply(Backup(host, RUN))
    assert [call[0] for call in shell.changes] == ["useradd"]


# ---- what is wanted


def test_what_a_file_may_be_comes_from_its_role_and_of_two_roles_the_stricter_holds() -> None:
    data: dict[str, dict[str, t.Any]] = {
        "certificate": {"mode": "0644", "owner": "root", "control": "one"},
        "key": {"mode": "0600", "control": "two", "persist": True},
        "unused": {"mode": "0600", "control": "three"},
    }
    found = wanted_from_data({"certificate": ["/a", "/both"], "key": ["/both", "/b"], "unknown": ["/c"]}, data)
    assert [(one.path, oct(one.mode), one.owner, one.persist, one.control) for one in found] == [
        ("/a", "0o644", "root", False, "one"),
        ("/both", "0o600", None, True, "two"),
        ("/b", "0o600", None, True, "two"),
    ]
