# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html from the document of report.json: one file, no network, no clock, the same bytes for the same report.

The page is a template beside this file, with its style sheet and its script written into it. The policy in its head
allows these two by their hashes and nothing else, so that no text of a host can become code even if it were not
escaped.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import typing as t

import jinja2

from ansible_collections.kubeharden.core.plugins.plugin_utils import report_view

_PARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report")


def _part(name: str) -> str:
    with open(os.path.join(_PARTS, name), encoding="utf-8") as stream:
        return stream.read()


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style sheet and this script, and no request."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {source(style)}",
            f"script-src {source(script)}",
            # The empty icon, without which a browser asks a web server for one.
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


@functools.lru_cache(maxsize=1)
def _page() -> tuple[jinja2.Template, dict[str, str]]:
    """Return the template, and what is the same in every page."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = _part("style.css"), _part("script.js")
    return environment.from_string(_part("page.html.j2")), {
        "style": style,
        "script": script,
        "policy": _policy(style, script),
    }


def render(report: t.Mapping[str, t.Any], earlier: t.Mapping[str, t.Any] | None = None) -> str:
    """Return the page.

    Args:
        report: The document of report.json, schema 1.
        earlier: The document that this one is compared with, if there is one.
    """
    template, same = _page()
    return template.render(**same, **report_view.view(report, earlier))
