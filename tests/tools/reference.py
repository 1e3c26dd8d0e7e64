# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the pages of docs/ that say what the code says: docs/variables.md and docs/settings.md.

A unit test holds the pages to the code; run this file after a change of the one or the other.
"""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
_MARKUP = re.compile(r"\b[VCOM]\(([^)]*)\)")
_CONTROL = re.compile(r"^\s*control: (?P<control>[\w-]+)(?:\s+# (?P<why>.*))?$")
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):\s*$")


def _plain(text: str) -> str:
    return _MARKUP.sub(r"`\1`", " ".join(text.split())).replace("|", "\\|")


def variables() -> str:
    """Return docs/variables.md."""
    specs = yaml.safe_load((ROOT / "roles/kubeharden/meta/argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, dict[str, Any]] = specs["argument_specs"]["main"]["options"]
    lines = [
        "# Variables",
        "",
        (
            "Set them in the inventory or with `-e`. Each has the prefix `kubeharden_`; a name with the prefix that "
            "is not here"
        ),
        "stops the run and names the nearest one. Made by `tests/tools/reference.py` from `roles/kubeharden`.",
        "",
        "| variable | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        if "choices" in option:
            kind += ": " + ", ".join(f"`{choice}`" for choice in option["choices"])
        lines.append(f"| `{name}` | {kind} | `{json.dumps(option['default'])}` | {_plain(option['description'])} |")
    return "\n".join(lines) + "\n"


def _settings_of(path: pathlib.Path) -> list[tuple[str, str, str]]:
    """Return setting, control and reason of each line of a template that names a control."""
    found = []
    key = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        header = _KEY.match(line)
        if header:
            key = header["key"]
        control = _CONTROL.match(line)
        if control:
            found.append((key, control["control"], _plain(control["why"] or "")))
    return found


def settings() -> str:
    """Return docs/settings.md."""
    lines = [
        "# What is written",
        "",
        (
            "Every setting, its control, and who else asks for it. Made by `tests/tools/reference.py` from "
            "`templates/`, which is the"
        ),
        "only place where a value stands.",
    ]
    for path in sorted((ROOT / "templates").rglob("*.yaml.j2")):
        entries = _settings_of(path)
        if entries:
            lines += [
                "",
                f"## {path.relative_to(ROOT)}",
                "",
                "| setting | control | asked for by, and why |",
                "| --- | --- | --- |",
            ]
            lines += [f"| `{key}` | `{control}` | {why} |" for key, control, why in entries]
    return "\n".join(lines) + "\n"


PAGES = {"docs/variables.md": variables, "docs/settings.md": settings}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
