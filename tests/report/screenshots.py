# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of report.html for the documentation: light, dark, on paper, of 300 hosts.

The page's first choice of font is Inter (Debian: fonts-inter); where it is missing the pictures have another.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ansible_collections.kubeharden.core.plugins.plugin_utils.report_html import render
from report import sample
from report.browser import Browser, program, started

# A sheet of A4 at 96 dots an inch, without its margins.
PAPER = (703, 1032)


def shoot(browser: Browser, page: Path, picture: Path, **how: str | int) -> None:
    """Write one picture: `at` is the element at its top, `script` is run before, the rest is for Browser.look."""
    at, script = how.pop("at", "body"), how.pop("script", "0")
    browser.look(**how)  # type: ignore[arg-type]
    browser.open(page)
    browser.run(str(script))
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run(f"document.querySelector({at!r}).scrollIntoView()")
    picture.write_bytes(browser.screenshot())
    print(f"{picture} {picture.stat().st_size // 1024} KiB")


def main() -> int:
    """Write the pictures into the directory named; ends with 1 when there is no Chromium."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    path = program()
    if path is None:
        print("chromium is not installed", file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started(path) as browser:
        small, large = Path(folder) / "small.html", Path(folder) / "large.html"
        document = sample.report()
        small.write_text(render(document, sample.earlier(document)), encoding="utf-8")
        document = sample.report(3, 297)
        large.write_text(render(document, sample.earlier(document)), encoding="utf-8")
        shoot(browser, small, directory / "report-light.png", height=1400)
        opened = "document.querySelectorAll('.control')[1].open = true"
        shoot(browser, small, directory / "report-dark.png", scheme="dark", height=1000, at="#evidence", script=opened)
        shoot(browser, large, directory / "report-300-hosts.png", at="#matrix", width=1500, height=1100)
        sheet = (
            "document.documentElement.classList.add('one-sheet');"
            "document.querySelector('.sheet').classList.add('this');"
            "document.body.style.padding = '40px'"
        )
        width, height = PAPER
        shoot(
            browser,
            small,
            directory / "report-print.png",
            media="print",
            width=width + 80,
            height=height,
            script=sheet,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
