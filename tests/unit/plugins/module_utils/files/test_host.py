# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that stands for a host: no link leads out of it, and it begins as its seed says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host


def nowhere() -> str:
    raise AssertionError("no temporary directory is wanted")


@pytest.mark.parametrize(
    ("link", "target", "asked", "lies"),
    [
        ("etc/a", "b", "/etc/a", "etc/b"),
        ("etc/a", "/var/b", "/etc/a", "var/b"),
        ("etc/a", "../../../../etc/passwd", "/etc/a", "etc/passwd"),
        ("etc/a", "/", "/etc/a/x", "x"),
        ("etc/a", "/../../x", "/etc/a", "x"),
        ("lib", "usr/lib", "/lib/systemd/x", "usr/lib/systemd/x"),
        ("lib", "/usr/lib", "/lib/../x", "usr/x"),
        ("etc/a", "./b/.", "/etc//a/./c", "etc/b/c"),
    ],
)
def test_a_link_is_followed_inside_the_host(tmp_path: Path, link: str, target: str, asked: str, lies: str) -> None:
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    assert Host(str(tmp_path)).path(asked) == str(tmp_path / lies)


def test_a_link_as_the_last_part_can_be_meant_itself(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "a").symlink_to("b")
    (tmp_path / "lib").symlink_to("etc")
    host = Host(str(tmp_path))
    assert host.link_path("/lib/a") == str(tmp_path / "etc" / "a")
    assert host.path("/lib/a") == str(tmp_path / "etc" / "b")


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("b", "a"), ("/b", "/a")])
def test_a_loop_of_links_is_a_sentence(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "a").symlink_to(first)
    (tmp_path / "b").symlink_to(second)
    with pytest.raises(HardeningError, match="loop of symbolic links"):
        Host(str(tmp_path)).path("/a/x")


_PARTS = strategies.lists(strategies.sampled_from(["..", ".", "", "a", "b", "c"]), min_size=1, max_size=8)


@settings(max_examples=100)
@given(asked=_PARTS, targets=strategies.lists(_PARTS, min_size=3, max_size=3), absolute=strategies.booleans())
def test_no_path_leads_out_of_the_root(
    asked: list[str], targets: list[list[str]], absolute: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    for name, target in zip("abc", targets):
        words = ("/" if absolute else "") + "/".join(target)
        (root / name).symlink_to(words or ".")
    try:
        found = Host(str(root)).path("/" + "/".join(asked))
    except HardeningError:
        return  # a loop
    assert found == str(root) or found.startswith(f"{root}/")
    assert ".." not in found.split("/")


def test_a_path_of_this_process_is_shown_as_the_host_has_it(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    assert host.shown(str(tmp_path / "etc" / "x")) == "/etc/x"
    assert host.shown("/elsewhere") == "/elsewhere"
    assert Host("/").shown("/etc/x") == "/etc/x"


def test_only_the_real_root_is_live(tmp_path: Path) -> None:
    assert (Host("/").live, Host(str(tmp_path)).live) == (True, False)
    assert Host("/").can_own == (os.geteuid() == 0)


# ---- seeds


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    directory = tmp_path / "seeds" / "cp1"
    (directory / "etc").mkdir(parents=True)
    (directory / "etc" / "file").write_text("text\n", encoding="utf-8")
    (directory / "etc" / "link").symlink_to("file")
    (tmp_path / "seeds" / "cp1.attributes.yml").write_text(
        """
/etc/file: {mode: "0640"}
/etc/empty: {mode: "0600"}
/etc/said: {mode: "0644", content: "said\\n"}
/etc/closed: {type: directory, mode: "0500"}
/etc/closed/inside: {mode: "0400"}
/var/lib/current.pem: {type: link, target: first.pem}
""",
        encoding="utf-8",
    )
    return directory


def test_a_root_begins_as_its_seed_with_what_version_control_does_not_keep(tmp_path: Path, seed: Path) -> None:
    root = tmp_path / "build" / "cp1"
    host = open_host(str(root), str(seed), check=False, scratch=nowhere)
    assert host.root == str(root)
    modes = {
        name: oct(stat.S_IMODE((root / "etc" / name).stat().st_mode))
        for name in ("file", "empty", "said", "closed", "closed/inside")
    }
    assert modes == {"file": "0o640", "empty": "0o600", "said": "0o644", "closed": "0o500", "closed/inside": "0o400"}
    assert (root / "etc" / "said").read_text(encoding="utf-8") == "said\n"
    assert (root / "etc" / "empty").read_bytes() == b""
    assert os.readlink(root / "etc" / "link") == "file"
    assert os.readlink(root / "var" / "lib" / "current.pem") == "first.pem"
    assert sorted(os.listdir(tmp_path / "build")) == ["cp1"]


def test_a_root_that_exists_is_taken_as_it_is(tmp_path: Path, seed: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    open_host(str(root), str(seed), check=False, scratch=nowhere)
    assert os.listdir(root) == []


def test_check_mode_makes_the_copy_elsewhere(tmp_path: Path, seed: Path) -> None:
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    scratch.mkdir()
    host = open_host(str(root), str(seed), check=True, scratch=lambda: str(scratch))
    assert not root.exists()
    assert host.root == str(scratch / "root")
    assert (scratch / "root" / "etc" / "file").exists()


def test_half_a_copy_of_a_run_that_died_is_not_taken_for_a_root(tmp_path: Path, seed: Path) -> None:
    root = tmp_path / "root"
    partial = tmp_path / "root.partial"
    partial.mkdir()
    (partial / "rubbish").write_bytes(b"")
    open_host(str(root), str(seed), check=False, scratch=nowhere)
    assert not (root / "rubbish").exists()
    assert not partial.exists()


@pytest.mark.parametrize("path", ["/etc/\0", "\0", "/a\ud800", "/" + "a" * 256, "/a" * 2048])
def test_what_no_file_can_be_called_is_a_sentence(tmp_path: Path, path: str) -> None:
    """A configuration file may name any text as a path."""
    for root in ("/", str(tmp_path)):
        for resolve in (Host(root).path, Host(root).link_path):
            with pytest.raises(HardeningError, match="no file can be called so") as caught:
                resolve(path)
            assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("given_seed", "words"), [(None, "set kubeharden_root_seed"), ("/missing", "correct the path")]
)
def test_without_root_and_seed_there_is_a_sentence(tmp_path: Path, given_seed: str | None, words: str) -> None:
    with pytest.raises(HardeningError, match=words):
        open_host(str(tmp_path / "root"), given_seed, check=False, scratch=nowhere)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("check", [True, False])
def test_a_root_that_is_a_file_is_a_sentence_with_a_seed_too(tmp_path: Path, seed: Path, check: bool) -> None:
    (tmp_path / "root").write_text("mine", encoding="utf-8")
    with pytest.raises(HardeningError, match=r"root is no directory\. Nothing was written; correct the path"):
        open_host(str(tmp_path / "root"), str(seed), check=check, scratch=nowhere)
    assert (tmp_path / "root").read_text(encoding="utf-8") == "mine"


def test_a_root_that_cannot_be_made_is_a_sentence(tmp_path: Path, seed: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(HardeningError, match=r"as a copy of .*cp1: a file of that name is in the way"):
        open_host(str(tmp_path / "file" / "root"), str(seed), check=False, scratch=nowhere)


def test_a_seed_that_cannot_be_copied_is_a_sentence_and_leaves_nothing(tmp_path: Path, seed: Path) -> None:
    os.mkfifo(seed / "etc" / "fifo")
    with pytest.raises(HardeningError, match=r"could not be made as a copy of .*fifo` is a named pipe\. Nothing of it"):
        open_host(str(tmp_path / "root"), str(seed), check=False, scratch=nowhere)
    assert os.listdir(tmp_path) == ["seeds"]
