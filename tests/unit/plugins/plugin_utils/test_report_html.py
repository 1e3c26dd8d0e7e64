# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page says what the report says, whatever hosts wrote into it. What a browser makes of it: tests/report."""

from __future__ import annotations

import base64
import copy
import hashlib
import html.parser
import json
import re
import time
import typing as t

import pytest

pytest.importorskip("jinja2", reason="reports are made on the controller")

from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.plugin_utils import report_view
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_html import render
from ansible_collections.kubeharden.core.plugins.plugin_utils.report_names import seen
from report import sample

HOSTILE = (
    "\"'></code></pre><script>window.taken = 1</script><img src=x onerror=taken()>{{ 7 * 7 }}{% raw %}&lt;\u202e\x00"
)


# As long, since a sheet of paper has room for so many lines.
SAME = "x" * len(seen(HOSTILE))


class Page(html.parser.HTMLParser):
    """The elements of a page in order, each with its attributes and the text that follows its tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}, []))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1][2].append(data)

    @property
    def shape(self) -> list[str]:
        """The names of the elements in order."""
        return [tag for tag, _attributes, _text in self.elements]

    def each(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        """Return attributes and text of the elements of a name that have these attributes."""
        return [
            (attributes, "".join(text).strip())
            for name, attributes, text in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


def everywhere(value: t.Any, text: str) -> t.Any:
    """Return a document with text appended to every string that is no word of the schema."""
    if isinstance(value, dict):
        words = ("status", "severity", "mode", "component")
        return {key: item if key in words else everywhere(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item, text) for item in value]
    return value + text if isinstance(value, str) else value


def on(text: str) -> list[int]:
    """Return the numbers that ranges say."""
    runs = [run.partition("-") for run in text.split(",") if run]
    return [number for first, _dash, last in runs for number in range(int(first), int(last or first) + 1)]


SMALL = sample.report()


@pytest.fixture(scope="module")
def large() -> sample.Report:
    return sample.report(3, 297)


# ---- escaping


def test_what_hosts_write_makes_no_element() -> None:
    document = everywhere(SMALL, HOSTILE)
    text = render(document, everywhere(sample.earlier(SMALL), HOSTILE))
    page, harmless = Page(text), Page(render(everywhere(SMALL, SAME), everywhere(sample.earlier(SMALL), SAME)))
    assert page.shape == harmless.shape
    assert len(page.each("script")) == 1
    assert "{{ 7 * 7 }}{% raw %}&amp;lt;\\u202e\\x00" in text
    assert not re.search("[\x00\u202e]", text)


def bare(document: sample.Report) -> sample.Report:
    """Return a document with one control, so that many examples take little time."""
    kept = document["controls"][17]["id"]
    small = {**document, "controls": document["controls"][17:18], "certificates": document["certificates"][:1]}
    small["results"] = [copy.deepcopy(result) for result in document["results"] if result["control"] == kept]
    return small


@given(st.text(st.characters(exclude_categories=()), min_size=1), st.sampled_from(["evidence", "remedy", "host"]))
@settings(max_examples=40)
def test_any_text_leaves_the_page_as_it_is(text: str, field: str) -> None:
    document = bare(SMALL)
    shape = []
    for word in ("x", text + "x"):
        document["results"][0][field] = word
        shape.append(Page(render(document)).shape)
    assert shape[0] == shape[1]


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    text = render(SMALL)
    page = Page(text)
    (policy,) = [attributes["content"] for attributes, _text in page.each("meta", http_equiv="")] or [
        attributes["content"] for attributes, _text in page.each("meta") if "http-equiv" in attributes
    ]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert directives.pop(directive) == f"'sha256-{digest}'"
    assert directives == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_nothing_points_outside() -> None:
    page = Page(render(SMALL, sample.earlier(SMALL)))
    ids = [attributes["id"] for _tag, attributes, _text in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes, _text in page.elements:
        assert not {"src", "srcset", "action", "style"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        if "href" in attributes:
            assert attributes["href"] == "data:," or attributes["href"][1:] in ids
        for name in ("aria-labelledby", "aria-describedby", "for", "list"):
            assert attributes.get(name, ids[0]) in ids


# ---- the same page


def test_the_same_report_makes_the_same_bytes() -> None:
    before = copy.deepcopy(SMALL)
    first = render(SMALL, sample.earlier(SMALL))
    assert render(json.loads(json.dumps(SMALL)), sample.earlier(SMALL)) == first
    assert before == SMALL


def test_the_order_of_hosts_and_results_does_not_matter() -> None:
    other = {**SMALL, "results": SMALL["results"][::-1], "hosts": SMALL["hosts"][::-1]}
    assert render(other) == render(SMALL)


# ---- what is said


def test_every_verdict_is_in_the_matrix() -> None:
    for document in (SMALL, sample.report(3, 30)):
        view = report_view.view(document, None)
        indexes = {host.name: host.index for host in view["hosts"]}
        wanted = {
            (control["id"], indexes[result["host"]], result["status"])
            for control in document["controls"]
            for result in document["results"]
            if result["control"] == control["id"]
        }
        shown = {
            (row["control"].id, index, cell.word)
            for rows in view["matrix"]["sections"].values()
            for row in rows
            for column, cell in zip(view["matrix"]["columns"], row["cells"])
            if cell
            for index in on(column.on)
        }
        assert shown == wanted


def test_the_page_has_what_its_filters_read() -> None:
    page = Page(render(SMALL))
    view = report_view.view(SMALL, None)
    names = [attributes["data-name"] for attributes, _text in page.each("tr") if "data-name" in attributes]
    assert names == [host.name for host in view["hosts"]]
    rows = [attributes for attributes, _text in page.each("tr") if "data-severity" in attributes]
    assert [(row["data-severity"], row["data-frameworks"].split()) for row in rows] == [
        (row["control"].severity, list(row["control"].mappings))
        for section in view["matrix"]["sections"].values()
        for row in section
    ]
    groups = [attributes for attributes, _text in page.each("div", class_="group")]
    told = {(names[index], group["data-status"]) for group in groups for index in on(group["data-on"])}
    codes = {status.word: status.code for status in view["statuses"]}
    assert told == {(result["host"], codes[result["status"]]) for result in SMALL["results"]}
    assert {attributes["value"] for attributes, _text in page.each("input", name="status")} == set(codes.values())


def test_the_summary_counts() -> None:
    view = report_view.view(SMALL, None)
    assert {status.word: count for status, count in view["counts"] if count} == SMALL["summary"]
    failing = {result["control"] for result in SMALL["results"] if result["status"] == "fail"}
    hosts = {result["host"] for result in SMALL["results"] if result["status"] == "fail"} - {"cluster"}
    assert view["headline"] == f"{len(failing)} controls fail on {len(hosts)} of 5 hosts"
    assert sum(float(part["width"][:-1]) for part in view["bar"]) == pytest.approx(100, abs=0.1)
    severities = [item["control"].severity for item in view["first"]]
    assert severities == sorted(severities, key=["high", "medium", "low"].index)


@pytest.mark.parametrize(
    ("words", "headline"),
    [
        (["pass", "explained"], "No control fails"),
        (["pass", "unknown"], "No control fails, but not all could be judged"),
        (["fail", "pass"], "1 control fails on 1 of 2 hosts"),
        (["fail", "fail"], "1 control fails on 2 of 2 hosts"),
        ([], "Nothing was judged"),
    ],
)
def test_the_headline(words: list[str], headline: str) -> None:
    document = sample.report(1, 1, failing=0)
    one = document["controls"][0]["id"]
    document["results"] = [
        {"control": one, "host": host, "status": word, "severity": "high", "evidence": "", "remedy": "", "mappings": {}}
        for host, word in zip(("cp1", "worker-1"), words)
    ]
    assert report_view.view(document, None)["headline"] == headline


def test_the_worst_of_several_results_counts_and_all_are_told() -> None:
    document = bare(SMALL)
    other = {**document["results"][0], "status": "fail", "evidence": "the second look"}
    document["results"] = [{**document["results"][0], "status": "pass"}, other]
    (control,) = report_view.view(document, None)["controls"]
    assert list(control.cells.values()) == ["fail"]
    assert [group.status.word for group in control.groups] == ["fail", "pass"]


def test_a_control_that_the_catalogue_lacks_is_shown() -> None:
    document = bare(SMALL)
    document["controls"] = []
    (control,) = report_view.view(document, None)["controls"]
    assert control.id == control.title == document["results"][0]["control"]


def test_certificates_are_sorted_and_counted() -> None:
    document = copy.deepcopy(SMALL)
    days = [-3, 0, 7, 8, 30, 31, 90, 91, None]
    document["certificates"] = [{**document["certificates"][0], "days_left": number} for number in days[::-1]]
    found = report_view.view(document, None)["certificates"]
    assert [row["days"] for row in found["soonest"]] == [None, *days[:-1]]
    assert [band["count"] for band in found["bands"]] == [1, 2, 2, 2, 1, 1]


def test_what_changed_is_told() -> None:
    before, after = copy.deepcopy(bare(SMALL)), copy.deepcopy(bare(SMALL))
    name = after["controls"][0]["id"]
    for document, words in ((before, ("pass", "fail", "explained")), (after, ("fail", "pass", "pass"))):
        document["results"] = [
            {**after["results"][0], "host": f"cp{number}", "status": word} for number, word in enumerate(words, 1)
        ]
    before["hosts"], after["hosts"] = before["hosts"][:4], [*after["hosts"][:3], after["hosts"][4]]
    before["hosts"][0]["versions"]["etcd"] = "3.6.4"
    before["controls"].append({**before["controls"][0], "id": "old"})
    after["controls"].append({**before["controls"][0], "id": "new"})
    changed = report_view.view(after, before)["compared"]
    assert [(row["before"].word, row["after"].word, row["hosts"], row["control"].id) for row in changed["rows"]] == [
        ("pass", "fail", "cp1", name),
        ("fail", "pass", "cp2", name),
        ("explained", "pass", "cp3", name),
    ]
    assert (changed["worse"], changed["solved"], changed["other"]) == (1, 1, 1)
    assert (changed["hosts_new"], changed["hosts_gone"]) == ("worker-2", "worker-1")
    assert [control.id for control in changed["controls_new"]] == ["new"]
    assert changed["controls_gone"] == ["old"]
    assert changed["versions"] == [
        {"component": "etcd", "before": "3.6.4", "after": "3.6.5", "hosts": "cp1", "count": 1}
    ]


def test_a_report_is_the_same_as_itself() -> None:
    changed = report_view.view(SMALL, SMALL)["compared"]
    assert not any(changed[key] for key in changed if key not in ("made_at", "run_id"))


def test_an_earlier_report_of_another_schema_is_named_and_not_read() -> None:
    view = report_view.view(SMALL, {"schema": 2, "results": "elsewhere"})
    assert (view["compared"], view["earlier_schema"]) == (None, "2")
    assert "schema 2" in render(SMALL, {"schema": 2, "results": "elsewhere"})


def test_a_sheet_names_the_edition_whose_numbers_it_has() -> None:
    """Each edition of the benchmark numbers its checks anew, so the numbers alone tell an auditor nothing."""
    assert "CIS Kubernetes Benchmark 1.12" in render(SMALL)


def test_every_requirement_is_on_its_sheet() -> None:
    for document in (SMALL, sample.report(3, 20, failing=1.0), sample.report(1, 0, failing=0.0)):
        for page in report_view.view(document, None)["pages"]:
            wanted = {number for control in document["controls"] for number in control["mappings"].get(page["key"], ())}
            told = {number for row in page["told"] for number in row["requirements"]}
            named = {number for _status, numbers in page["named"] for number in numbers}
            assert told | named | set(page["unjudged"]) == wanted
            assert sum(count for _status, count in page["counts"]) + len(page["unjudged"]) == page["total"]
            ranks = [row["status"].rank for row in page["told"]]
            assert ranks == sorted(ranks)


def test_a_waiver_says_who_answers_for_it() -> None:
    page = Page(render(SMALL))
    text = " ".join(" ".join(parts) for _tag, _attributes, parts in page.elements)
    for words in sample.WAIVER.values():
        assert words in text


# ---- 300 hosts


def test_hosts_that_agree_share_a_column(large: sample.Report) -> None:
    view = report_view.view(large, None)
    columns = view["matrix"]["columns"]
    assert len(columns) < 60
    assert sorted(index for column in columns for index in on(column.on)) == list(range(301))
    assert columns[-1].label == "cluster"


def test_300_hosts_are_no_larger_than_what_they_say(large: sample.Report) -> None:
    """What many say alike is told once; where each says something else the page has it all and is still no larger."""
    size = len(json.dumps(large))
    assert len(render(large)) < size / 10
    results = [
        {**result, "evidence": f"{result['evidence']} (process {number})"}
        for number, result in enumerate(large["results"])
    ]
    assert len(render({**large, "results": results})) < size


def test_time_grows_with_the_results() -> None:
    """Ten times the hosts take at most twenty times as long, whatever the machine does meanwhile."""

    def seconds(document: sample.Report) -> float:
        best = float("inf")
        for _turn in range(2):
            start = time.process_time()
            render(document)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(sample.report(3, 297)) < 20 * seconds(sample.report(3, 27))
