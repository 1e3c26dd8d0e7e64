# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components.yamledit import Document
from ansible_collections.kubeharden.core.plugins.module_utils.components.yamlread import same_value
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles

FIXTURES = sorted(Path(__file__).parents[3].joinpath("fixtures").glob("kubeadm-*/*/*.yaml"))


def paths_of(value: Any, kind: type, prefix: tuple[Any, ...] = ()) -> list[list[Any]]:
    """The paths of all lists (or mappings) of a value."""
    found = [list(prefix)] if isinstance(value, kind) else []
    if isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths_of(item, kind, (*prefix, step))
    return found


def at(value: Any, path: list[Any]) -> Any:
    for step in path:
        value = value[step]
    return value


def only_added(before: str, after: str) -> bool:
    """Whether the second text is the first with characters put in, and none taken away."""
    rest = iter(after)
    return all(character in rest for character in before)


def apply(text: str, edits: list[tuple[Any, ...]]) -> str:
    document = Document(text)
    for name, *arguments in edits:
        getattr(document, name)(*arguments)
    return document.text


# ---- reading


@settings(deadline=None)
@given(styles.documents, st.randoms(use_true_random=False))
def test_reads_what_is_written(value: Any, rng: random.Random) -> None:
    text = styles.write(value, rng)
    assert same_value(Document(text).value, value), text


@settings(deadline=None)
@given(styles.documents, styles.values, st.randoms(use_true_random=False))
def test_item_goes_in_and_out(value: Any, item: Any, rng: random.Random) -> None:
    places = paths_of(value, list)
    assume(places)
    path = rng.choice(places)
    text = styles.write(value, rng)
    document = Document(text)
    index = rng.randint(0, len(at(value, path)))
    expected = copy.deepcopy(value)
    at(expected, path).insert(index, item)
    filled = not at(value, path)

    document.insert_item(path, index, item)
    assert same_value(document.value, expected)
    assert filled or only_added(text, document.text)

    document.remove_item(path, index)
    assert same_value(document.value, value)
    if not filled:
        assert document.text == text


@settings(deadline=None)
@given(styles.documents, styles.values, st.randoms(use_true_random=False))
def test_entry_goes_in_and_out(value: Any, item: Any, rng: random.Random) -> None:
    places = paths_of(value, dict)
    assume(places)
    path = rng.choice(places)
    text = styles.write(value, rng)
    document = Document(text)
    mapping = at(value, path)
    index = rng.randint(0, len(mapping))
    expected = copy.deepcopy(value)
    entries = list(mapping.items())
    at(expected, path).clear()
    at(expected, path).update([*entries[:index], ("new", item), *entries[index:]])

    document.insert_entry(path, index, "new", item)
    assert same_value(document.value, expected)
    assert not mapping or only_added(text, document.text)

    document.remove_entry(path, "new")
    assert same_value(document.value, value)
    if mapping:
        assert document.text == text


@settings(deadline=None)
@given(styles.documents, styles.scalars, st.randoms(use_true_random=False))
def test_scalar_is_replaced(value: Any, new: Any, rng: random.Random) -> None:
    places = paths_of(value, (str, int, type(None)))  # type: ignore[arg-type]
    assume(places)
    path = rng.choice(places)
    text = styles.write(value, rng)
    document = Document(text)
    expected = copy.deepcopy(value)
    at(expected, path[:-1])[path[-1]] = new
    document.replace(path, new)
    assert same_value(document.value, expected)
    # All of the old text but the scalar is still there.
    before = Document(text)._find(path)[-1]
    assert document.text.startswith(text[: before.start])
    assert document.text.endswith(text[before.end :])


@settings(deadline=None)
@given(styles.documents, st.randoms(use_true_random=False))
def test_removed_items_leave_the_rest(value: Any, rng: random.Random) -> None:
    places = [path for path in paths_of(value, list) + paths_of(value, dict) if at(value, path)]
    assume(places)
    path = rng.choice(places)
    text = styles.write(value, rng)
    document = Document(text)
    expected = copy.deepcopy(value)
    container = at(expected, path)
    step = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
    del container[step]
    if isinstance(container, dict):
        document.remove_entry(path, step)
    else:
        document.remove_item(path, step)
    assert same_value(document.value, expected)
    if container:
        assert only_added(document.text, text)


@settings(deadline=None)
@given(st.text() | st.text(alphabet="ab:-#[]{},&*!|>'\"%@`\\ \n\r\t?<~.01"))
def test_any_text_is_a_document_or_a_sentence(text: str) -> None:
    try:
        document = Document(text)
    except HardeningError as error:
        message = str(error)
    else:
        document.value  # noqa: B018
        return
    assert message.startswith("the YAML text")
    assert message.endswith("Nothing was changed; correct it, and run again.")


@settings(deadline=None)
@given(
    st.sampled_from(FIXTURES),
    st.integers(0, 5000),
    st.integers(0, 30),
    st.text(alphabet="ab:-#[]{},&*!|>'\"\n\t ?\0", max_size=6),
)
def test_damaged_manifests_are_documents_or_sentences(path: Path, start: int, length: int, junk: str) -> None:
    text = path.read_text(encoding="utf-8")
    damaged = text[:start] + junk + text[start + length :]
    try:
        Document(damaged)
    except HardeningError as error:
        message = str(error)
    else:
        return
    assert message.endswith("Nothing was changed; correct it, and run again.")


@settings(deadline=None)
@given(st.text(alphabet='ab:-#[]{},&*!|>\'" \n?"', max_size=30), st.sampled_from(["a", "b", 0, 1]), styles.scalars)
def test_an_edit_of_any_document_is_right_or_refused(text: str, step: Any, value: Any) -> None:
    try:
        document = Document(text)
    except HardeningError:
        return
    for edit in (
        lambda: document.replace([step], value),
        lambda: document.append_item([], value),
        lambda: document.append_item([step], value),
        lambda: document.append_entry([], "new", value),
        lambda: document.append_entry([step], "new", value),
        lambda: document.remove_item([], 0),
        lambda: document.remove_entry([], "a"),
    ):
        before = document.text
        try:
            edit()
        except HardeningError:
            assert document.text == before
        assert same_value(Document(document.text).value, document.value)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_reads_what_pyyaml_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert Document(text).value == yaml.safe_load(text)
    assert Document(json.dumps(yaml.safe_load(text), indent=2)).value == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: 0644", {"a": 420}),
        ("a: 0o17", {"a": 15}),
        ("a: 0x1F", {"a": 31}),
        ("a: -0b11", {"a": -3}),
        ("a: 1_000", {"a": 1000}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: -.inf", {"a": float("-inf")}),
        ("a: .nan", {"a": float("nan")}),
        ("a: yes", {"a": True}),
        ("a: off", {"a": False}),
        ("a: y", {"a": True}),
        ("a:", {"a": None}),
        ("a: ~", {"a": None}),
        # Kubernetes reads what YAML 1.1 takes for a date or a base-60 number as a string.
        ("a: 2026-11-24", {"a": "2026-11-24"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: =", {"a": "="}),
        ("a: 08", {"a": 8.0}),
        ("a: '1'", {"a": "1"}),
        ('a: "1"', {"a": "1"}),
        ("a: !!str 1", {"a": "1"}),
        ("a: ! 1", {"a": "1"}),
        ("a: 1\t# tab", {"a": 1}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}", {"a": {"b": 1, "c": 1}, "d": {"c": 2, "b": 1}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ("\ufeffa: 1", {"a": 1}),
        ("--- # x\na: 1\n...\n", {"a": 1}),
        ("[]", []),
        ("x", "x"),
        ("a: " + "9" * 5000, {"a": "9" * 5000}),
    ],
)
def test_values_are_those_that_kubernetes_reads(text: str, value: Any) -> None:
    assert same_value(Document(text).value, value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("# comment\n", "is empty"),
        ("---\na: 1\n---\nb: 1\n", "holds several YAML documents"),
        ("a: 1\n---\n", "holds several YAML documents"),
        ("a: 1\nb: 2\na: 3\n", "has the key a twice (again in line 3)"),
        ("{a: 1, 'a': 2}", "has the key a twice (again in line 1)"),
        ("? a\n: 1\n", "has a key in line 1 that does not begin its line"),
        ("a: 1\x85b: 2\n", "has a key in line 2 that does not begin its line"),
        ("[a]: 1\n", "has a key in line 1 that is no plain word"),
        ("{{a: 1}: 2}", "has a key in line 1 that is no plain word"),
        ("a: !x 1", "uses a YAML tag in line 1"),
        ("a: !!int 1", "uses a YAML tag in line 1"),
        ("a: *x", "line 1 refers to an anchor that does not exist"),
        ("a: &x [*x]", "the alias in line 1 refers to what contains it"),
        ("a: {<<: 1}", "has a merge key (<<) that does not name a mapping"),
        ("a: [1", "is no YAML: line 1:"),
        ("a: 1\n\tb: 2", "is no YAML: line 2:"),
        ("a: '", "is no YAML: line 1:"),
        ("a: b: c", "is no YAML: line 1: mapping values are not allowed here"),
        ("a: \x01", "has a character that YAML does not allow"),
        ("a: \ud800", "has a character that YAML does not allow"),
        ('a: "\\UFFFFFFFF"', "is no YAML: a number in it cannot be read"),
        ("%YAML 3.0\n--- a", "is no YAML: line 1:"),
        ("[" * 5000, "is nested deeper than 60 levels"),
        ("- " * 100 + "a", "is nested deeper than 60 levels"),
        (
            "a: &a [1,2,3,4,5,6,7,8,9,0]\n"
            + "".join(f"{n}: &{n} [{', '.join(['*' + p] * 10)}]\n" for p, n in zip("abcde", "bcdef")),
            "expands to more than 100000 values",
        ),
        ("a" * (1024 * 1024 + 1), "has more than 1048576 characters"),
    ],
)
def test_what_cannot_be_edited_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(HardeningError) as raised:
        Document(text, "/etc/kubernetes/manifests/x.yaml")
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("/etc/kubernetes/manifests/x.yaml ")
    assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")


def test_get_and_has() -> None:
    document = Document("a: [{b: null}]\n")
    assert document.get(["a", 0]) == {"b": None}
    assert document.get(["a", 1], "none") == "none"
    assert document.get(["a", "b"], "none") == "none"
    assert document.get(["a", 0, "b"], "none") is None
    assert document.has([])
    assert document.has(["a", 0, "b"])
    assert not document.has(["a", -1])
    assert not document.has(["x"])


def test_what_is_handed_out_is_a_copy() -> None:
    document = Document("a: [1]\n")
    document.value["a"].append(2)
    document.get(["a"]).append(2)
    assert document.value == {"a": [1]}


# ---- edits, one by one: how the new text looks

EDITS: list[tuple[str, str, list[tuple[Any, ...]], str]] = [
    (
        "an item comes behind the trailing comment, before the comments of what follows",
        "a:\n- x # one\n# two\n- y # three\n# four\n\nb: 1\n",
        [("append_item", ["a"], "z"), ("insert_item", ["a"], 1, "w"), ("insert_item", ["a"], 0, "v")],
        "a:\n- v\n- x # one\n- w\n# two\n- y # three\n- z\n# four\n\nb: 1\n",
    ),
    ("quotes as the neighbours have", "- '--x'\n- '5'\n", [("append_item", [], "--y")], "- '--x'\n- '5'\n- '--y'\n"),
    (
        "quotes that were needed count for nothing",
        '- --x\n- "5"\n',
        [("append_item", [], "--y")],
        '- --x\n- "5"\n- --y\n',
    ),
    ("quotes in flow", "['--x', 'y z']\n", [("append_item", [], "w")], "['--x', 'y z', 'w']\n"),
    ("a quote in single quotes", "- 'a'\n", [("append_item", [], "it's")], "- 'a'\n- 'it''s'\n"),
    ("line breaks need double quotes", "- 'a'\n", [("append_item", [], "a\nb")], "- 'a'\n- \"a\\nb\"\n"),
    ("CRLF", "a:\r\n- x\r\n", [("append_item", ["a"], {"k": ["v"]})], "a:\r\n- x\r\n- k:\r\n  - v\r\n"),
    ("no final line break", "a:\n- x", [("append_item", ["a"], "z")], "a:\n- x\n- z"),
    ("no final line break, removed", "a:\n- x\n- y", [("remove_item", ["a"], 1)], "a:\n- x"),
    ("no final line break, CRLF", "a:\r\n- x\r\n- y", [("remove_item", ["a"], 1)], "a:\r\n- x"),
    (
        "a byte order mark",
        "\ufeffa: 1\n",
        [("insert_entry", [], 0, "b", {"c": "d"}), ("append_entry", [], "e", 2)],
        "\ufeffb:\n  c: d\na: 1\ne: 2\n",
    ),
    ("document marks", "---\na: 1\n...\n", [("append_entry", [], "b", 2)], "---\na: 1\nb: 2\n...\n"),
    (
        "indented sequences",
        "a:\n    - x:\n          y: 1\nb: 1\n",
        [("append_entry", [], "c", [{"d": ["e"]}])],
        "a:\n    - x:\n          y: 1\nb: 1\nc:\n    - d:\n          - e\n",
    ),
    ("an empty mapping", "a: {} # x\nb: 1\n", [("append_entry", ["a"], "c", ["d"])], "a: # x\n  c:\n  - d\nb: 1\n"),
    ("an empty list", "a: []\n", [("append_item", ["a"], {"c": 1, "d": {}})], "a:\n- c: 1\n  d: {}\n"),
    (
        "nothing at all",
        "a:  # x\nb:\n",
        [("append_item", ["a"], "c"), ("append_entry", ["b"], "d", "1")],
        'a:  # x\n- c\nb:\n  d: "1"\n',
    ),
    (
        "null",
        "a: null\nb: ~ # x\n",
        [("append_item", ["a"], "c"), ("append_entry", ["b"], "d", [])],
        "a:\n- c\nb: # x\n  d: []\n",
    ),
    (
        "an empty item",
        "- {}\n-\n- x\n",
        [("append_entry", [0], "a", 1), ("append_item", [1], "b")],
        "- a: 1\n- - b\n- x\n",
    ),
    ("an empty document", "{}\n", [("append_entry", [], "a", {"b": 1})], "a:\n  b: 1\n"),
    (
        "flow",
        "a: [1, 2] # x\n",
        [("append_item", ["a"], "y: z"), ("insert_item", ["a"], 0, "b")],
        'a: [b, 1, 2, "y: z"] # x\n',
    ),
    (
        "an empty flow collection in flow",
        "{a: [], b: {}, c: , d: }\n",
        [
            ("append_item", ["a"], 1),
            ("append_entry", ["b"], "x", [2]),
            ("append_item", ["c"], 3),
            ("append_entry", ["d"], "x", "w"),
        ],
        "{a: [1], b: {x: [2]}, c: [3], d: {x: w}}\n",
    ),
    (
        "JSON",
        '{"a":["b"],"c":"d"}',
        [("append_item", ["a"], "e"), ("append_entry", [], "f", {"g": ["h"]})],
        '{"a":["b", "e"],"c":"d","f": {"g": ["h"]}}',
    ),
    (
        "JSON over several lines",
        '{\n  "a": [\n    "b"\n  ],\n  "c": {}\n}\n',
        [
            ("append_item", ["a"], "d"),
            ("insert_item", ["a"], 0, "z"),
            ("append_entry", ["c"], "k", True),
            ("append_entry", [], "e", None),
        ],
        '{\n  "a": [\n    "z",\n    "b",\n    "d"\n  ],\n  "c": {"k": true},\n  "e": null\n}\n',
    ),
    ("a comma at the end", "[a, b,]\n", [("append_item", [], "c"), ("remove_item", [], 0)], "[b, c,]\n"),
    ("the only item before a comma", "[a, ]\n", [("remove_item", [], 0)], "[ ]\n"),
    (
        "replace keeps quotes and comment",
        "a: 'x' # y\nb: \"1\"\nc: z\n",
        [("replace", ["a"], "it's"), ("replace", ["b"], "2"), ("replace", ["c"], "3")],
        "a: 'it''s' # y\nb: \"2\"\nc: \"3\"\n",
    ),
    ("replace nothing", "a: # y\nb:\n- \n", [("replace", ["a"], "x"), ("replace", ["b", 0], 1)], "a: x # y\nb:\n- 1\n"),
    (
        "replace a block scalar",
        "a: |\n  x\n\n  y\n\nb: >-\n  z\n",
        [("replace", ["a"], "n1"), ("replace", ["b"], "v w")],
        "a: n1\n\nb: v w\n",
    ),
    (
        "replace a scalar of several lines",
        "a: x\n  y\nb: 'x\n\n  y'\n",
        [("replace", ["a"], "z"), ("replace", ["b"], "z")],
        "a: z\nb: 'z'\n",
    ),
    (
        "mappings indented by four",
        "a:\n    b: 1\n",
        [("append_entry", [], "c", {"d": {"e": 1}})],
        "a:\n    b: 1\nc:\n    d:\n        e: 1\n",
    ),
    (
        "a plus sign in a block scalar is not its header's",
        "a: |\n  x + z\n\nb: 1\n",
        [("insert_entry", [], 1, "c", 2)],
        "a: |\n  x + z\nc: 2\n\nb: 1\n",
    ),
    (
        "a plus sign in the comment of a block scalar",
        "a: | # +\n  x\n\nb: 1\n",
        [("insert_entry", [], 1, "c", 2)],
        "a: | # +\n  x\nc: 2\n\nb: 1\n",
    ),
    ("replace the document", "x # y\n", [("replace", [], "z")], "z # y\n"),
    (
        "replace by the same",
        'a: 0x10\nb: "\\x41"\n',
        [("replace", ["a"], 16), ("replace", ["b"], "A")],
        'a: 0x10\nb: "\\x41"\n',
    ),
    (
        "behind a block scalar",
        "a: |\n  x\n\n# c\nb: 1\n",
        [("insert_entry", [], 1, "n1", 1)],
        "a: |\n  x\nn1: 1\n\n# c\nb: 1\n",
    ),
    (
        "behind a block scalar that keeps its blank lines",
        "a: |+\n  x\n\nb: 1\n",
        [("insert_entry", [], 1, "n1", 1)],
        "a: |+\n  x\n\nn1: 1\nb: 1\n",
    ),
    ("a block scalar goes", "a: 1\nb: |\n  x\n  y\n# c\nd: 1\n", [("remove_entry", [], "b")], "a: 1\n# c\nd: 1\n"),
    ("the first entry of an item", "- name: x # y\n  image: z\n", [("remove_entry", [0], "name")], "- image: z\n"),
    (
        "the first entry of an item with a comment behind it",
        "- name: x\n  # y\n  image: z\n",
        [("remove_entry", [0], "name")],
        "-\n  # y\n  image: z\n",
    ),
    (
        "before the first entry of an item",
        "- name: x\n",
        [("insert_entry", [0], 0, "env", [{"name": "a"}])],
        "- env:\n  - name: a\n  name: x\n",
    ),
    (
        "a list in a list",
        "- - a\n  - b\n",
        [("remove_item", [0], 0), ("insert_item", [0], 0, "c"), ("append_item", [0], ["d"])],
        "- - c\n  - b\n  - - d\n",
    ),
    (
        "the last one leaves an empty list",
        "a:\n# b\n- x # c\n# d\ne:\n  f: 1\n",
        [("remove_item", ["a"], 0), ("remove_entry", ["e"], "f")],
        "a: []\n# b\n# d\ne: {}\n",
    ),
    (
        "the last of an inner list",
        "- - a\n- b: c\n",
        [("remove_item", [0], 0), ("remove_entry", [1], "b")],
        "- []\n- {}\n",
    ),
    (
        "a wide dash",
        "-   a: 1\n    b: 2\n",
        [("append_item", [], {"a": 3, "b": 4}), ("append_entry", [0], "c", 5)],
        "-   a: 1\n    b: 2\n    c: 5\n-   a: 3\n    b: 4\n",
    ),
    (
        "what is aliased elsewhere does not matter",
        "a: &x [1]\nb: *x\nc: 1\n",
        [("append_entry", [], "d", 1), ("remove_entry", [], "b"), ("replace", ["c"], 2)],
        "a: &x [1]\nc: 2\nd: 1\n",
    ),
    ("an alias as the last item", "a: &x 1\nb:\n- *x\n", [("append_item", ["b"], 2)], "a: &x 1\nb:\n- *x\n- 2\n"),
    (
        "a key of its own beside a merge key",
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n",
        [("replace", ["c", "d"], 3)],
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 3\n",
    ),
    (
        "a sorted mapping stays sorted",
        "a: 1\nc: 2\n",
        [("add_entry", [], "b", 3), ("add_entry", [], "d", 4)],
        "a: 1\nb: 3\nc: 2\nd: 4\n",
    ),
    ("an unsorted one gets the key at its end", "c: 1\na: 2\n", [("add_entry", [], "b", 3)], "c: 1\na: 2\nb: 3\n"),
    (
        "a tab before a comment",
        "a: 1\t# x\nb: 1\n",
        [("insert_entry", [], 1, "c", 2), ("replace", ["a"], 3)],
        "a: 3\t# x\nc: 2\nb: 1\n",
    ),
    (
        "what is not ASCII",
        "a: \u00fc # \U0001f600\nb: 1\n",
        [("replace", ["a"], "\u4e16"), ("append_entry", [], "c", "x\u00e9")],
        'a: "\u4e16" # \U0001f600\nb: 1\nc: x\u00e9\n',
    ),
]


@pytest.mark.parametrize(("before", "edits", "after"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_edits(before: str, edits: list[tuple[Any, ...]], after: str) -> None:
    assert apply(before, edits) == after


@pytest.mark.parametrize(
    ("text", "edit", "sentence"),
    [
        ("a: &x [1]\nb: *x\n", ("append_item", ["a"], 1), "a is shared by a YAML anchor and alias"),
        ("a: &x [1]\nb: *x\n", ("append_item", ["b"], 1), "b is shared by a YAML anchor and alias"),
        ("a: &x {c: {d: 1}}\nb: *x\n", ("replace", ["a", "c", "d"], 2), "a is shared by a YAML anchor and alias"),
        ("a: &x 1\n", ("replace", ["a"], 2), "a carries a YAML anchor or tag"),
        ("a: &x [1]\n", ("append_item", ["a"], 2), "a carries a YAML anchor or tag"),
        ("a: !!map {b: 1}\n", ("remove_entry", ["a"], "b"), "a carries a YAML anchor or tag"),
        ("a: {<<: {b: 1}}\n", ("replace", ["a", "b"], 2), "a.b comes from another mapping by a merge key"),
        ("a: {<<: {b: 1}}\n", ("append_entry", ["a"], "c", 2), "a takes keys from another mapping by a merge key"),
        (
            "a: &x 1\nb: *x\n",
            ("remove_entry", [], "a"),
            "the document is written in a way in which an edit could change more than is meant",
        ),
        # A line break of Unicode's, which is no end of a line to anybody else.
        ("- a\x85- b\n", ("insert_item", [], 1, "c"), "in which an edit could change more than is meant"),
        ("a: 1\n", ("replace", ["b"], 2), "b does not exist"),
        ("a: [1]\n", ("replace", ["a", 1], 2), "a.1 does not exist"),
        ("a: [1]\n", ("replace", ["a"], 2), "a is a list or a mapping, not a single value"),
        ("a: 1\n", ("append_item", ["a"], 2), "a is not a list"),
        ("a: {}\n", ("append_item", ["a"], 2), "a is not a list"),
        ("a: [1]\n", ("insert_item", ["a"], 2, 2), "a has 1 items, so that there is no place 2"),
        ("a: [1]\n", ("remove_item", ["a"], 1), "a has no item 1"),
        ("a: 1\n", ("remove_item", ["a"], 0), "a has no item 0"),
        ("a: 1\n", ("append_entry", ["a"], "b", 2), "a is not a mapping"),
        ("a: 1\n", ("append_entry", [], "a", 2), "the document has the key a already"),
        ("a: 1\n", ("insert_entry", [], 2, "b", 2), "the document has 1 keys, so that there is no place 2"),
        ("a: 1\n", ("remove_entry", [], "b"), "the document has no key b"),
        ("a: [1, # c\n 2]\n", ("remove_item", ["a"], 0), "a has a comment between its items that would be lost"),
    ],
)
def test_what_is_refused_changes_nothing(text: str, edit: tuple[Any, ...], sentence: str) -> None:
    document = Document(text)
    with pytest.raises(HardeningError) as raised:
        getattr(document, edit[0])(*edit[1:])
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("the YAML text: ")
    assert str(raised.value).endswith("Nothing was changed; correct it, and run again.")
    assert document.text == text


def test_edits_that_belong_together_are_all_made_or_none() -> None:
    document = Document("a: 1\n")
    with pytest.raises(HardeningError, match="has the key b already"), document.all_or_nothing():  # noqa: PT012
        document.append_entry([], "b", 2)
        document.append_entry([], "b", 3)
    assert document.text == "a: 1\n"
    assert document.value == {"a": 1}
    with document.all_or_nothing():
        document.append_entry([], "b", 2)
    assert document.text == "a: 1\nb: 2\n"
