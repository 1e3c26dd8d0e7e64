# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people, and programs with an account, keep kubeconfigs: their homes, and which of these are not looked at."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import stat

from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, normal
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import LARGEST, View

_PASSWD = "/etc/passwd"  # noqa: S105  (a path)
_HOMES = "/home"
_ROOT = "/root"
#: Where kubectl looks; kubeadm tells people to copy the administrator's there. Those of other clusters lie beside it.
_FOLDER, _FIRST = ".kube", "config"
#: Names of a folder that are looked at: whoever owns it may fill it.
_MOST = 200
#: How a kubeconfig begins a certificate, or the name of its file, in YAML or JSON.
_CERTIFICATE = re.compile(rb"client-certificate(-data)?[\"']?\s*:")
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
    paths: list[str] = []
    for folder in dict.fromkeys(posixpath.join(home, _FOLDER) for home in homes):
        first = posixpath.join(folder, _FIRST)
        place = _far_place(first, far, view)
        if place:
            problems[place] = _not_asked(far[place])
            continue
        paths.append(first)
        others, problem = _others(folder, view)
        problems.update({folder: problem} if problem else {})
        for path in others:
            place = _far_place(path, far, view)
            if place:
                problems[place] = _not_asked(far[place])
            elif _may_hold_certificates(path, view):
                paths.append(path)
    return paths, [{"path": path, "problem": words} for path, words in sorted(problems.items())]


def _others(folder: str, view: View) -> tuple[list[str], str]:
    """Return what lies in a folder beside the first kubeconfig, and why that is not all."""
    try:
        place = view.host.path(folder)
        with os.scandir(place) as entries:
            names = [one.name for one in itertools.islice(entries, _MOST + 2) if one.name != _FIRST]
    except (FileNotFoundError, NotADirectoryError, HardeningError):
        return [], ""  # of a loop of links the first one tells, since no path in it leads anywhere
    except OSError as error:
        if not os.access(place, os.X_OK):
            return [], ""  # so it does here
        return [], f"it could not be listed: {error.strerror}" + (f" ({view.privilege})" if view.privilege else "")
    problem = f"it holds more than {_MOST} files, and not all were looked at" if len(names) > _MOST else ""
    return [posixpath.join(folder, name) for name in sorted(names[:_MOST])], problem


def _may_hold_certificates(path: str, view: View) -> bool:
    """Return whether something beside the first kubeconfig is one with a certificate, or cannot be looked at.

    Directories are not entered: kubectl keeps in them what APIs told it.
    """
    try:
        place = view.host.path(path)
        if not stat.S_ISREG(os.stat(place).st_mode):
            return False
        return bool(_CERTIFICATE.search(read_bytes(place, limit=LARGEST) or b""))
    except FileNotFoundError:
        return False
    except (OSError, HardeningError):
        return True  # which is said where it is looked at


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
