# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Chromium for the tests of report.html."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from report.browser import Browser, program, started
from tools.lacking import lacking


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "report: report.html in a real Chromium")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each loads its own page."""
    path = program()
    if path is None:
        lacking("chromium is not installed")
    with started(path) as browser:
        yield browser
