# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks settings on a host, or on a directory that stands for one, as a careless hand would.

Nothing of the product is in it. Its text is also what a host's own Python is given (``script``), so it needs nothing
but PyYAML.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = "/etc/kubernetes/manifests"


def break_all(root: str, changes: list[dict[str, Any]]) -> None:
    """Break everything, each file that is named with one rename, so that a component restarts once.

    :param root: ``/``, or the directory that stands for the host.
    """
    texts: dict[str, str] = {}
    for change in changes:
        if "text" in change:
            texts[change["path"]] = change["text"]
        elif "edit" in change:
            path = change["path"]
            before = texts.get(path) or _at(root, path).read_text(encoding="utf-8")
            texts[path] = EDITS[change["edit"]](before, change)
    for path, text in texts.items():
        _replace(root, path, text)
    for change in changes:
        if "mode" in change:
            for path in _matching(root, change["path"]):
                path.chmod(int(change["mode"], 8))
        if "owner" in change:
            for path in _matching(root, change["path"]):
                shutil.chown(path, *change["owner"].split(":"))


def _at(root: str, path: str) -> Path:
    """A path within the root, also where it is a link to an absolute one."""
    found = Path(root, path.lstrip("/"))
    return _at(root, os.readlink(found)) if found.is_symlink() and os.readlink(found).startswith("/") else found


def _matching(root: str, pattern: str) -> list[Path]:
    found = sorted(Path(root).glob(pattern.lstrip("/")))
    assert found, f"nothing is called {pattern}"
    return [_at(root, "/" + str(path.relative_to(root))) for path in found]


def _replace(root: str, path: str, text: str) -> None:
    """Rename a whole file into place. Of a manifest's directory the kubelet reads no name that begins with a dot."""
    target = _at(root, path)
    aside = target.with_name(f".{target.name}")
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(text, encoding="utf-8")
    aside.chmod(0o600)
    aside.rename(target)


def flag(text: str, change: dict[str, Any]) -> str:
    """A flag of a manifest gets another value, or is taken away (None)."""
    name, value = change["flag"], change["value"]
    line = re.compile(rf"^(    - )--{re.escape(name)}=.*\n", re.MULTILINE)
    if value is None:
        after, count = line.subn("", text)
        assert count == 1, f"--{name} stands {count} times"
        return after
    wanted = rf"\g<1>--{name}={value}" + "\n"
    if line.search(text):
        return line.sub(wanted, text)
    last = list(re.finditer(r"^    - --.*\n", text, re.MULTILINE))[-1]
    return f"{text[: last.end()]}    - --{name}={value}\n{text[last.end() :]}"


def items(text: str, change: dict[str, Any]) -> str:
    """A flag of a manifest that is a list loses and gains items."""
    found = re.search(rf"^    - --{re.escape(change['flag'])}=(.*)\n", text, re.MULTILINE)
    have = found.group(1).split(",") if found else []
    kept = [item for item in have if item not in change.get("without", ())]
    assert len(have) - len(kept) == len(change.get("without", ())), have
    return flag(text, {"flag": change["flag"], "value": ",".join([*kept, *change.get("with", ())]) or None})


def field(text: str, change: dict[str, Any]) -> str:
    """A field of a YAML file gets another value, or is taken away (None) where it is."""
    document = yaml.safe_load(text)
    *parents, last = [int(key) if key.isdigit() else key for key in change["field"].split(".")]
    place = document
    for key in parents:
        place = place[key]
    if change["value"] is None:
        place.pop(last, None)
    else:
        place[last] = change["value"]
    return str(yaml.safe_dump(document, sort_keys=False))


def cut(text: str, change: dict[str, Any]) -> str:
    """Lines are taken out of a text."""
    assert text.count(change["lines"]) == 1, change["lines"]
    return text.replace(change["lines"], "")


EDITS = {"flag": flag, "items": items, "field": field, "cut": cut}


def script(changes: list[dict[str, Any]]) -> str:
    """A program for a host's Python that breaks everything there."""
    source = Path(__file__).read_text(encoding="utf-8")
    return f"{source}\nbreak_all('/', json.loads({json.dumps(changes)!r}))\n"
