# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes that another machine serves are not waited for, and are named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import homes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View

MOUNTS = """/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
systemd-1 /proc/sys/fs/binfmt_misc autofs rw 0 0
udev /dev devtmpfs rw 0 0
server:/x /home/far nfs4 rw 0 0
server:/y /homework nfs4 rw 0 0
server:/z /srv/with\\040space nfs rw 0 0
"""
PASSWD = """root:x:0:0:root:/root:/bin/bash
tty:x:5:5::/dev/null:
a:x:1000:1000::/home/a:
b:x:1001:1001::/home/b:
c:x:1002:1002::/srv/with space/c:
sys:x:3:3::/proc:
"""


class Live(Host):
    """A directory that is taken for the host itself."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.live = True

    def path(self, path: str) -> str:
        return self.link_path(path)

    def link_path(self, path: str) -> str:
        return f"{self.root}{path}"


def seen(tmp_path: Path, mounts: str, passwd: str = PASSWD) -> tuple[list[str], dict[str, str]]:
    root = tmp_path / "host"
    for name in ("a", "b", "far"):
        (root / "home" / name).mkdir(parents=True, exist_ok=True)
    for path, text in (("etc/passwd", passwd), ("proc/self/mounts", mounts)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    view = View(Live(root), proc=str(root / "proc"))
    paths, problems = homes.kubeconfigs(view)
    return paths, {one["path"]: one["problem"] for one in problems}


def configs(*names: str) -> list[str]:
    return [f"{name}/.kube/config" for name in names]


OWN = ("/root", "/dev/null", "/home/a", "/home/b")


@pytest.mark.parametrize(
    ("more", "looked_at", "far"),
    [
        ("", (*OWN, "/proc"), {"/home/far": "nfs4", "/srv/with space": "nfs"}),
        ("/dev/sdb1 /home xfs rw 0 0\n", (*OWN, "/proc"), {"/home/far": "nfs4", "/srv/with space": "nfs"}),
        (
            "server:/h /home nfs4 rw 0 0\n",
            ("/root", "/dev/null", "/proc"),
            {"/home": "nfs4", "/srv/with space": "nfs"},
        ),
        (
            "auto.home /home autofs rw 0 0\n",
            ("/root", "/dev/null", "/proc"),
            {"/home": "autofs", "/srv/with space": "nfs"},
        ),
        ("/dev/sdc1 /home/far ext4 rw 0 0\nodd\n", (*OWN, "/proc", "/home/far"), {"/srv/with space": "nfs"}),
    ],
)
def test_homes_on_another_machine_are_not_waited_for_and_are_named(
    tmp_path: Path, more: str, looked_at: tuple[str, ...], far: dict[str, str]
) -> None:
    paths, problems = seen(tmp_path, MOUNTS + more)
    assert paths == configs(*looked_at)
    assert set(problems) == set(far)
    for place, kind in far.items():
        assert f"({kind})" in problems[place]


def test_a_link_to_another_machine_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "host/home").mkdir(parents=True)
    os.symlink("../homework/d", tmp_path / "host/home/d")
    os.symlink("a", tmp_path / "host/home/e")
    os.symlink("loop", tmp_path / "host/home/loop")
    (tmp_path / "host/home/f").mkdir()
    os.symlink("/homework/f", tmp_path / "host/home/f/.kube")
    paths, problems = seen(tmp_path, MOUNTS, "")
    assert not {*configs("/home/d", "/home/f")} & set(paths)
    assert set(problems) == {"/home/far", "/homework"}
    assert {*configs("/home/e", "/home/loop")} <= set(paths)


def test_of_all_homes_on_another_machine_none_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "host/homework/a").mkdir(parents=True)
    root = tmp_path / "host/home"
    paths, problems = seen(tmp_path, MOUNTS.replace("/home/far", "/elsewhere"))
    assert set(problems) == {"/srv/with space"}
    for name in ("a", "b", "far"):
        (root / name).rmdir()
    root.rmdir()
    os.symlink("homework", root)
    (tmp_path / "host/homework/b").mkdir()
    (tmp_path / "host/homework/far").mkdir()
    paths, problems = seen(tmp_path, MOUNTS.replace("/home/far", "/elsewhere"))
    assert paths == configs("/root", "/dev/null", "/proc")
    assert set(problems) == {"/homework", "/srv/with space"}


def test_kubeconfigs_have_any_name_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "host/home/a/.kube"
    (folder / "cache/discovery").mkdir(parents=True)
    held = "kind: Config\nusers:\n- user:\n    client-certificate-data: eA==\n"
    for name in ("prod.yaml", "config", "config.bak", "cache/x.yaml"):
        (folder / name).write_text(held, encoding="utf-8")
    (folder / "stage.json").write_text('{"users": [{"user": {"client-certificate": "a.crt"}}]}', encoding="utf-8")
    (folder / "tokens.yaml").write_text("kind: Config\nusers:\n- user: {token: x}\n", encoding="utf-8")
    (folder / "make.sh").write_text("kubectl config set-credentials a --client-certificate=a.crt\n", encoding="utf-8")
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "far.yaml").symlink_to("/homework/prod.yaml")
    with (folder / "large").open("wb") as file:
        file.truncate(2 << 30)
    os.mkfifo(folder / "pipe")
    begun = time.monotonic()
    paths, problems = seen(tmp_path, MOUNTS, "")
    assert time.monotonic() - begun < 20
    found = [path.rpartition("/")[2] for path in paths if path.startswith("/home/a/")]
    # Of the large one is said where it is read that it is too large.
    assert found == ["config", "config.bak", "large", "prod.yaml", "stage.json"]
    assert "/homework" in problems


def test_a_folder_with_more_files_than_are_looked_at_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "host/home/a/.kube"
    folder.mkdir(parents=True)
    for number in range(200):
        (folder / str(number)).touch()
    (folder / "config").touch()
    assert "/home/a/.kube" not in seen(tmp_path, MOUNTS, "")[1]
    (folder / "more").touch()
    paths, problems = seen(tmp_path, MOUNTS, "")
    assert "more than 200 files" in problems["/home/a/.kube"]
    assert "/home/a/.kube/config" in paths


def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may be read by who knows their names."""
    (tmp_path / "host/home/a/.kube").mkdir(parents=True)

    def denied(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    problems = seen(tmp_path, MOUNTS, "")[1]
    assert "could not be listed: Permission denied" in problems["/home/a/.kube"]
    assert "/home/b/.kube" not in problems


def test_an_ordinary_host_has_no_homes_elsewhere(tmp_path: Path) -> None:
    ordinary = "/dev/sda1 / ext4 rw 0 0\nautofs /boot/efi autofs rw 0 0\n/dev/loop1 /snap/a/1 squashfs ro 0 0\n"
    assert seen(tmp_path, ordinary, "")[1] == {}
