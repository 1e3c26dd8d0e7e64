# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html in a real Chromium: silent, without a request, readable, by keyboard, filtered, printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_html import render
from report import real, sample
from report.browser import Browser, sheets

pytestmark = pytest.mark.report

CODES = {"fail": "f", "unknown": "u", "waived": "w", "explained": "e", "pass": "p", "not_applicable": "n"}

# Of every text that can be seen, and of every sign before one: its contrast with what is behind it, where it is less
# than WCAG 2.2 level AA asks for.
CONTRAST = """
(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [red, green, blue] = channels(colour).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const alpha = channels(colour)[3] ?? 1;
      if (alpha === 1) return colour;
      if (alpha !== 0) throw new Error(`half transparent: ${at.outerHTML.slice(0, 80)}`);
    }
    throw new Error("no background");
  };
  const poor = [];
  let seen = 0;
  const judge = (element, style, text) => {
    seen += 1;
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(style.color, behind(element));
    if (found < (large ? 3 : 4.5)) poor.push(`${found.toFixed(2)} ${element.tagName}.${element.className}: ${text}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (!text || element.closest("script, option, svg") || !element.getClientRects().length) continue;
    if (parseFloat(getComputedStyle(element).fontSize) > 0) judge(element, getComputedStyle(element), text);
  }
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element, "::before");
    if (style.content !== "none" && style.content !== "normal" && element.getClientRects().length) {
      judge(element, style, style.content);
    }
  }
  for (const part of document.querySelectorAll(".bar rect")) {
    seen += 1;
    const found = ratio(getComputedStyle(part).fill, behind(document.body));
    if (found < 3) poor.push(`${found.toFixed(2)} bar ${part.className.baseVal}`);
  }
  return { poor, seen };
})()
"""

# What Tab has to reach, numbered in the order of the document.
NUMBER = """
(() => {
  const wanted = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const elements = Array.from(document.querySelectorAll(wanted))
    .filter((element) => element.checkVisibility() && !element.disabled);
  elements.forEach((element, number) => { element.dataset.number = number; });
  return elements.length;
})()
"""
FOCUSED = """
(() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  return [Number(at.dataset.number ?? -1), style.outlineStyle !== "none" ? parseFloat(style.outlineWidth) : 0];
})()
"""
OPEN_ALL = 'document.querySelectorAll("details").forEach((details) => { details.open = true; })'


@pytest.fixture(scope="module")
def document() -> sample.Report:
    return sample.report()


@pytest.fixture(scope="module")
def small(document: sample.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(document, sample.earlier(document)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def own_document(tmp_path_factory: pytest.TempPathFactory) -> sample.Report:
    """What the product makes of its whole catalogue."""
    return real.report(tmp_path_factory.mktemp("hosts"))


@pytest.fixture(scope="module")
def own(own_document: sample.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(own_document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(sample.report(3, 297)), encoding="utf-8")
    return path


def visible(browser: Browser, selector: str) -> int:
    """Return how many elements can be seen."""
    count: int = browser.run(
        f"Array.from(document.querySelectorAll({selector!r})).filter((item) => item.checkVisibility()).length"
    )
    return count


#: A report of invented controls, which is well filled, and one of the product's own.
BOTH = pytest.mark.parametrize("name", ["small", "own"])


def test_the_own_report_has_the_whole_catalogue(own_document: sample.Report) -> None:
    assert [one["id"] for one in own_document["controls"]] == [one.id for one in catalogue_files.load()]
    said = {one["status"] for one in own_document["results"]}
    assert said == set(CODES)
    assert {one["host"] for one in own_document["certificates"]} == {*real.CONTROL_PLANES, *real.WORKERS}


@pytest.mark.parametrize("size", ["small", "large", "own"])
def test_it_is_silent_and_asks_for_nothing(chromium: Browser, request: pytest.FixtureRequest, size: str) -> None:
    path = request.getfixturevalue(size)
    chromium.look()
    chromium.open(path)
    chromium.run(OPEN_ALL)
    assert chromium.complaints() == []
    assert chromium.requests() == [path.as_uri()]
    assert chromium.run("document.querySelector('#shown').textContent.length") > 0


def test_what_hosts_write_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    bad = "</pre></script><script>window.taken = 1</script><img src=/x onerror='window.taken = 1'>"
    document = sample.report(1, 1)
    for result in document["results"]:
        result["evidence"] += bad
    document["hosts"][1]["note"] = document["controls"][0]["title"] = document["certificates"][0]["subject"] = bad
    path = tmp_path / "report.html"
    path.write_text(render(document), encoding="utf-8")
    chromium.look()
    chromium.open(path)
    chromium.run(OPEN_ALL)
    assert chromium.run("window.taken ?? null") is None
    assert chromium.run("document.querySelectorAll('img').length") == 0
    assert chromium.complaints() == []
    assert chromium.requests() == [path.as_uri()]


def test_a_script_that_came_in_all_the_same_would_not_run(chromium: Browser, small: Path, tmp_path: Path) -> None:
    """The second wall: should escaping ever fail, the policy holds."""
    path = tmp_path / "report.html"
    evil = "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'></main>"
    path.write_text(small.read_text(encoding="utf-8").replace("</main>", evil, 1), encoding="utf-8")
    chromium.open(path)
    assert chromium.run("window.taken ?? null") is None
    assert len([line for line in chromium.complaints() if "Content Security Policy" in line]) >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(chromium: Browser, small: Path, large: Path, own: Path, scheme: str) -> None:
    chromium.look(scheme=scheme)
    for path in (small, large, own):
        chromium.open(path)
        chromium.run(OPEN_ALL)
        found = chromium.run(CONTRAST)
        assert found["seen"] > 1000
        assert sorted(set(found["poor"])) == []


def test_the_switch_turns_the_scheme(chromium: Browser, small: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    pressed = "document.querySelector('#scheme').getAttribute('aria-pressed')"
    chromium.look(scheme="dark")
    chromium.open(small)
    dark = chromium.run(paper)
    assert chromium.run(pressed) == "true"
    chromium.run("document.querySelector('#scheme').click()")
    assert (chromium.run(paper) != dark, chromium.run(pressed)) == (True, "false")
    chromium.look()
    chromium.open(small)
    chromium.run("document.querySelector('#scheme').click()")
    assert (chromium.run(paper), chromium.run(pressed)) == (dark, "true")
    assert chromium.run(CONTRAST)["poor"] == []


@BOTH
def test_every_control_is_reached_by_tab_and_shows_it(
    chromium: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    chromium.look()
    chromium.open(request.getfixturevalue(name))
    wanted = chromium.run(NUMBER)
    reached, unseen = [], []
    for _turn in range(wanted + 5):
        chromium.press("Tab")
        focused = chromium.run(FOCUSED)
        if focused is None or focused[0] in reached:
            break
        reached.append(focused[0])
        if focused[1] < 2:
            unseen.append(focused[0])
    assert reached == list(range(wanted))
    assert unseen == []


@BOTH
def test_every_control_has_a_name(chromium: Browser, request: pytest.FixtureRequest, name: str) -> None:
    chromium.look()
    chromium.open(request.getfixturevalue(name))
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "checkbox", "combobox", "searchbox", "DisclosureTriangle", "region", "navigation"}
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert {node["role"]["value"] for node in found} >= {"button", "link", "checkbox", "DisclosureTriangle", "region"}
    nameless = [node["role"]["value"] for node in found if not node.get("name", {}).get("value", "").strip()]
    assert nameless == []
    # A placeholder is a name for Chromium, and gone as soon as somebody writes.
    labels = chromium.run("Array.from(document.querySelectorAll('input, select'), (field) => field.labels.length)")
    assert set(labels) == {1}
    headings = chromium.run("Array.from(document.querySelectorAll('h1, h2, h3'), (item) => Number(item.tagName[1]))")
    assert headings[0] == 1
    assert headings.count(1) == 1


@BOTH
def test_by_keyboard_alone_to_the_evidence(chromium: Browser, request: pytest.FixtureRequest, name: str) -> None:
    chromium.look()
    chromium.open(request.getfixturevalue(name))
    chromium.press("Tab")
    chromium.press("Enter")
    assert chromium.run("location.hash") == "#main"
    chromium.run("document.querySelector('.first a').focus()")
    chromium.press("Enter")
    chromium.run("new Promise((done) => setTimeout(done, 50))")
    assert chromium.run("document.activeElement.parentElement.open") is True
    assert chromium.run("'#' + document.activeElement.parentElement.id === location.hash") is True
    chromium.press("Enter")
    assert chromium.run("document.activeElement.parentElement.open") is False


def test_a_link_from_elsewhere_opens_the_evidence(chromium: Browser, small: Path) -> None:
    chromium.look()
    chromium.open(small, "#control-3")
    assert chromium.run("document.querySelector('#control-3').open") is True


def pick(browser: Browser, **choice: str | list[str]) -> None:
    """Set the filters as a reader does: status, severity (what stays checked), framework, host."""
    browser.run("document.querySelector('#reset').click()")
    for name in ("status", "severity"):
        if name in choice:
            browser.run(
                f"document.querySelectorAll('input[name={name}]').forEach((box) => "
                f"{{ if (!{list(choice[name])!r}.includes(box.value)) box.click(); }})"
            )
    for name, event in (("framework", "change"), ("host", "input")):
        if name in choice:
            browser.run(
                f"(() => {{ const field = document.querySelector('#{name}'); field.value = {choice[name]!r}; "
                f"field.dispatchEvent(new Event('{event}')); }})()"
            )


def expected(document: sample.Report, **choice: str | list[str]) -> set[str]:
    """Return the ids of the controls that a filter leaves, from the document itself."""
    mappings = {control["id"]: control["mappings"] for control in document["controls"]}
    roles = {host["name"]: " ".join(host["roles"]) for host in document["hosts"]}
    text = str(choice.get("host", ""))
    return {
        result["control"]
        for result in document["results"]
        if CODES[result["status"]] in choice.get("status", CODES.values())
        and result["severity"] in choice.get("severity", ("high", "medium", "low"))
        and (not choice.get("framework") or mappings[result["control"]][str(choice["framework"])])
        and text in f"{result['host']} {roles.get(result['host'], '')}"
    }


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"status": ["f"]},
        {"status": ["w", "e"]},
        {"status": []},
        {"severity": ["high"]},
        {"framework": "stig"},
        {"host": "worker"},
        {"host": "cp2"},
        {"host": "nobody"},
        {"status": ["f"], "severity": ["high", "low"], "framework": "cis", "host": "cp1"},
    ],
)
def test_filters(chromium: Browser, small: Path, document: sample.Report, choice: dict[str, str | list[str]]) -> None:
    chromium.look()
    chromium.open(small)
    pick(chromium, **choice)
    wanted = expected(document, **choice)
    shown = chromium.run(
        "Array.from(document.querySelectorAll('.control:not([hidden]) .id code'), (item) => item.textContent)"
    )
    assert set(shown) == wanted
    assert len(shown) == len(wanted)
    assert visible(chromium, ".matrix tr[data-severity]") == len(wanted)
    assert chromium.run("document.querySelector('#shown').textContent").startswith(f"{len(wanted)} of ")
    groups = chromium.run(
        "Array.from(document.querySelectorAll('.control:not([hidden]) .group:not([hidden])'), (i) => i.dataset.status)"
    )
    assert set(groups) <= set(choice.get("status", CODES.values()))
    if choice.get("host") == "cp2":
        assert visible(chromium, ".matrix thead th[data-on]") == 1
        assert visible(chromium, "#hosts tbody tr") == 1
    chromium.run("document.querySelector('#reset').click()")
    assert visible(chromium, ".control") == len(document["controls"])


def test_a_filter_by_keyboard(chromium: Browser, small: Path) -> None:
    chromium.look()
    chromium.open(small)
    before = visible(chromium, ".control")
    chromium.run("document.querySelector('input[value=p]').focus()")
    chromium.press("Space")
    assert 0 < visible(chromium, ".control") < before


def test_without_scripts_everything_is_there(chromium: Browser, small: Path, document: sample.Report) -> None:
    chromium.look()
    chromium.without_scripts()
    try:
        chromium.open(small)
        assert visible(chromium, ".matrix tr[data-severity]") == len(document["controls"])
        assert visible(chromium, "summary") >= len(document["controls"])
        assert visible(chromium, "#filters, .buttons, #scheme") == 0
        assert visible(chromium, ".group") == 0
        chromium.run("document.querySelector('.control summary').focus()")
        chromium.press("Enter")
        assert visible(chromium, ".group") > 0
        assert chromium.complaints() == []
    finally:
        chromium.without_scripts(False)


@pytest.mark.parametrize("width", [320, 768, 1280, 1920])
def test_the_page_is_never_wider_than_the_window(
    chromium: Browser, small: Path, large: Path, own: Path, width: int
) -> None:
    chromium.look(width=width)
    for path in (small, large, own):
        chromium.open(path)
        chromium.run(OPEN_ALL)
        assert chromium.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("name", "of"), [("small", "document"), ("own", "own_document")])
def test_on_paper(chromium: Browser, request: pytest.FixtureRequest, name: str, of: str) -> None:
    document = request.getfixturevalue(of)
    chromium.look(scheme="dark", media="print")
    chromium.open(request.getfixturevalue(name))
    assert visible(chromium, "#filters, button, nav, .skip") == 0
    assert chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    by_status = {
        status: {result["control"] for result in document["results"] if result["status"] == status}
        for status in ("fail", "unknown")
    }
    assert visible(chromium, ".control") == len(by_status["fail"] | by_status["unknown"])
    for status, found in by_status.items():
        assert visible(chromium, f".control .group[data-status={CODES[status]}] pre") >= len(found)
    found = chromium.run(CONTRAST)
    assert found["poor"] == []


@pytest.mark.parametrize("failing", [0.1, 1.0, None])
@pytest.mark.parametrize("font", ["DejaVu Sans", "sans-serif"])
def test_each_framework_has_one_sheet(
    chromium: Browser, own_document: sample.Report, tmp_path: Path, failing: float | None, font: str
) -> None:
    """However much is open; in the widest of the usual fonts too; and of the product's own report."""
    path = tmp_path / "report.html"
    document = own_document if failing is None else sample.report(3, 40, failing=failing)
    path.write_text(render(document), encoding="utf-8")
    chromium.look()
    chromium.open(path)
    chromium.run(f"document.documentElement.style.setProperty('--text', {font!r})")
    # The button prints what its classes leave; the dialogue itself is the browser's.
    count = chromium.run(
        "window.print = () => { window.printed = document.querySelectorAll('.this').length; }, "
        "document.querySelectorAll('button.print').length"
    )
    assert count == 5
    chromium.run("document.querySelectorAll('button.print')[3].click()")
    assert chromium.run("[window.printed, document.querySelectorAll('.this, .one-sheet').length]") == [1, 0]
    chromium.run("document.documentElement.classList.add('one-sheet')")
    chromium.run("document.querySelectorAll('.sheet')[3].classList.add('this')")
    assert sheets(chromium.pdf()) == 1
    chromium.run("document.querySelectorAll('.sheet').forEach((sheet) => sheet.classList.add('this'))")
    assert sheets(chromium.pdf()) == count
