# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people, and programs with an account, keep kubeconfigs: their homes, and which of these are not looked at."""

from __future__ import annotations

import os
import posixpath
import re

from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, normal
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import LARGEST, View

_PASSWD = "/etc/passwd"  # noqa: S105  (a path)
_HOMES = "/home"
_ROOT = "/root"
#: Where kubectl looks; kubeadm tells people to copy the administrator's there.
_OF_HOME = ".kube/config"
#: File systems that answer at once. A server that is gone would keep a look at others waiting for ever.
_LOCAL = (
    "bcachefs", "btrfs", "devtmpfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "proc", "ramfs", "squashfs", "sysfs",
    "tmpfs", "vfat", "xfs", "zfs",
)  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LINKS = 8


def kubeconfigs(view: View) -> tuple[list[str], list[dict[str, str]]]:
    """Return where kubeconfigs may lie in homes, and of homes that are not looked at where and why."""
    problems: dict[str, str] = {}
    try:
        far = far_places(_text(f"{view.proc}/self/mounts")) if view.host.live else {}
    except HardeningError as error:
        return [], [{"path": _HOMES, "problem": view.explain(error)}]
    homes = [_ROOT]
    try:
        homes += in_passwd(_text(view.host.path(_PASSWD)))
    except HardeningError as error:
        problems[_PASSWD] = view.explain(error)
    place = _far_place(_HOMES, far, view)
    if place:
        problems[place] = _not_asked(far[place])
    else:
        try:
            homes += [f"{_HOMES}/{name}" for name in view.listing(_HOMES)]
        except HardeningError as error:
            problems[_HOMES] = view.explain(error)
    paths = []
    for path in dict.fromkeys(posixpath.join(home, _OF_HOME) for home in homes):
        place = _far_place(path, far, view)
        if place:
            problems[place] = _not_asked(far[place])
        else:
            paths.append(path)
    return paths, [{"path": path, "problem": words} for path, words in sorted(problems.items())]


def _text(path: str) -> str:
    """Return what lies there; a name in another encoding than UTF-8 is no reason not to see the others."""
    return (read_bytes(path, limit=LARGEST) or b"").decode("utf-8", "surrogateescape")


def in_passwd(text: str) -> list[str]:
    """Return the homes of the accounts in /etc/passwd, those of programs such as jenkins too."""
    fields = [line.split(":") for line in text.splitlines()]
    return list(dict.fromkeys(normal(one[5]) for one in fields if len(one) > 5 and one[5].startswith("/")))


def far_places(mounts: str) -> dict[str, str]:
    """Return the places that another machine serves, or may, with their kind of file system.

    Args:
        mounts: The text of /proc/self/mounts.
    """
    fields = [line.split() for line in mounts.splitlines()]
    # The last of a place counts.
    kinds = {_ESCAPED.sub(_character, one[1]): one[2] for one in fields if len(one) > 2}
    return {path: kind for path, kind in kinds.items() if path != "/" and kind not in _LOCAL}


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped.group(1), 8))


def _far_place(path: str, far: dict[str, str], view: View) -> str:
    """Return the place of another machine that a path leads through, links followed; empty where it stays here.

    Nothing of that place is looked at, not even whether there is something.
    """
    reached, ahead, links = "/", path.split("/"), 0
    while ahead and far:
        step = posixpath.join(reached, ahead.pop(0))
        place = next((one for one in far if holds(one, step)), "")
        if place:
            return place
        try:
            target = os.readlink(view.host.link_path(step))
        except (OSError, HardeningError):
            reached = step  # it is no link, or is not there
            continue
        links += 1
        if links > _LINKS:
            return ""
        reached, ahead = "/", normal(posixpath.join(reached, target)).split("/") + ahead
    return ""


def _not_asked(kind: str) -> str:
    return f"homes there may be another machine's ({kind}) and are not looked at, since it may not answer"
