# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.components import flags
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    Absent,
    Argument,
    AtLeast,
    AtMost,
    Contains,
    Exact,
    Keep,
    Narrowed,
    OrderedMinimum,
    decide,
    parse_arguments,
    rule_from_data,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

# ---- argument vectors


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], []),
        (["kube-apiserver"], []),
        (["kube-apiserver", "--a=b"], [Argument("a", "b", "equals", (1,))]),
        (["kube-apiserver", "--a", "b"], [Argument("a", "b", "words", (1, 2))]),
        (["--a=b=c"], [Argument("a", "b=c", "equals", (0,))]),
        (["--a="], [Argument("a", "", "equals", (0,))]),
        (["--profiling"], [Argument("profiling", None, "bare", (0,))]),
        # A boolean never takes the next word, which then is no flag's.
        (
            ["--profiling", "false", "--a=b"],
            [Argument("profiling", None, "bare", (0,)), Argument("a", "b", "equals", (2,))],
        ),
        (["--profiling=false"], [Argument("profiling", "false", "equals", (0,))]),
        # A boolean that nobody knows does not swallow the flag behind it.
        (["--new-switch", "--a=b"], [Argument("new-switch", None, "bare", (0,)), Argument("a", "b", "equals", (1,))]),
        (["--a", "-1"], [Argument("a", "-1", "words", (0, 1))]),
        (["--a", ""], [Argument("a", "", "words", (0, 1))]),
        (["--a"], [Argument("a", None, "bare", (0,))]),
        (["--a=b", "--", "--c=d"], [Argument("a", "b", "equals", (0,))]),
        (["--audit_log_path=/x"], [Argument("audit-log-path", "/x", "equals", (0,))]),
        (
            ["etcd", "-name=cp1", "-data-dir", "/x"],
            [Argument("name", "cp1", "equals", (1,)), Argument("data-dir", "/x", "words", (2, 3))],
        ),
        (
            ["-client-cert-auth", "-name", "x"],
            [Argument("client-cert-auth", None, "bare", (0,)), Argument("name", "x", "words", (1, 2))],
        ),
        (["-v2"], [Argument("v", "2", "equals", (0,))]),
        (["-v=2"], [Argument("v", "2", "equals", (0,))]),
        (["-v", "2"], [Argument("v", "2", "words", (0, 1))]),
        (["--v=2"], [Argument("v", "2", "equals", (0,))]),
        (["-"], []),
        (["--=x", "---", "-=y"], []),
        (["--version", "x", "-h", "y"], [Argument("version", None, "bare", (0,)), Argument("h", None, "bare", (2,))]),
    ],
)
def test_parse_arguments(argv: list[str], expected: list[Argument]) -> None:
    assert parse_arguments(argv) == expected


def test_the_boolean_flags_can_be_given() -> None:
    assert parse_arguments(["--x", "y"], {"x"}) == [Argument("x", None, "bare", (0,))]
    assert parse_arguments(["--x", "y"], ()) == [Argument("x", "y", "words", (0, 1))]


@settings(deadline=None)
@given(st.lists(st.text(max_size=8) | st.sampled_from(["--a", "--a=b", "-x", "--", "--profiling", "="])))
def test_any_words_are_parsed_and_positions_are_distinct(argv: list[str]) -> None:
    positions = [position for argument in parse_arguments(argv) for position in argument.positions]
    assert positions == sorted(set(positions))
    assert all(position < len(argv) for position in positions)


@pytest.mark.parametrize(
    ("current", "kind", "expected"),
    [
        ([], "string", None),
        ([], "slice", None),
        ([], "array", None),
        (["a", "b"], "string", ["b"]),
        (["true", "false"], "bool", ["false"]),
        (["a,b", "c"], "slice", ["a", "b", "c"]),
        ([""], "slice", []),
        (["a,b", "c"], "array", ["a,b", "c"]),
        (["A=true,B=false", "C=1"], "map", ["A=true", "B=false", "C=1"]),
        (['"a,b",c'], "slice", ["a,b", "c"]),
        (['"a'], "slice", ["a"]),
        (['"' + "a" * 200_000], "slice", ['"' + "a" * 200_000]),
        ([""], "string", [""]),
    ],
)
def test_effective_values(current: list[str], kind: str, expected: list[str] | None) -> None:
    assert flags.effective_values(current, kind) == expected


def test_occurrences() -> None:
    arguments = parse_arguments(["x", "--a=1", "--b", "0", "-a", "2", "--profiling"])
    assert flags.occurrences(arguments, "--a") == ["1", "2"]
    assert flags.occurrences(arguments, "profiling") == ["true"]
    assert flags.occurrences(arguments, "c") == []


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("profiling", "bool"),
        ("--client-cert-auth", "bool"),
        ("service-account-issuer", "array"),
        ("tls-cipher-suites", "slice"),
        ("feature_gates", "map"),
        ("audit-log-maxage", "int"),
        ("request-timeout", "duration"),
        ("goaway-chance", "float"),
        ("audit-log-path", "string"),
        ("no-such-flag", "string"),
    ],
)
def test_kind_of(flag: str, kind: str) -> None:
    assert flags.kind_of(flag) == kind


def test_no_flag_has_two_kinds() -> None:
    # What would be listed twice would silently take the later kind.
    assert sum(list(flags.FLAG_KINDS.values()).count(kind) for kind in flags.KINDS) == len(flags.FLAG_KINDS)
    listed = [
        word
        for words in (flags._BOOL, flags._SLICE, flags._MAP, flags._ARRAY, flags._INT, flags._DURATION)
        for word in words.split()
    ]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Fraction(0)),
        ("30", Fraction(30)),
        ("-1", Fraction(-1)),
        ("+1", Fraction(1)),
        ("0.02", Fraction(1, 50)),
        (".5", Fraction(1, 2)),
        ("5m", Fraction(300)),
        ("5m0s", Fraction(300)),
        ("1h30m", Fraction(5400)),
        ("1.5h", Fraction(5400)),
        ("300ms", Fraction(3, 10)),
        ("1\u00b5s", Fraction(1, 10**6)),
        ("1us", Fraction(1, 10**6)),
        ("1ns", Fraction(1, 10**9)),
        ("-1h", Fraction(-3600)),
        ("", None),
        ("-", None),
        ("m", None),
        ("5", Fraction(5)),
        ("5 m", None),
        ("1h30", None),
        ("1d", None),
        ("five", None),
        ("1e3", None),
        ("0x10", None),
        ("\u0661", None),
        ("9" * 100, None),
    ],
)
def test_parse_quantity(text: str, expected: Fraction | None) -> None:
    assert flags.parse_quantity(text) == expected


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_quantity_or_not(text: str) -> None:
    assert flags.parse_quantity(text) is None or isinstance(flags.parse_quantity(text), Fraction)
    assert isinstance(flags.split_list(text), list)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_durations_as_go_prints_them(hours: int, minutes: int, seconds: int) -> None:
    assert flags.parse_quantity(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


# ---- rules

TLS = flags.TLS_VERSIONS
SUITES = ("TLS_AES", "TLS_GCM", "TLS_CHACHA")


@pytest.mark.parametrize(
    ("rule", "current", "value", "reason"),
    [
        # exact: a value by its meaning
        (Exact("false", kind="bool"), [], "false", "the flag is not set"),
        (Exact("false", kind="bool"), ["true"], "false", "true is not false"),
        (Exact("false", kind="bool"), ["false"], None, "it is false"),
        (Exact("false", kind="bool"), ["F"], None, "it is F"),
        (Exact("false", kind="bool"), ["0"], None, "it is 0"),
        (Exact("false", kind="bool"), ["no"], "false", "no is not false"),
        (Exact("false", kind="bool"), ["true", "false"], None, "it is false"),
        (Exact("false", kind="bool"), ["false", "true"], "false", "true is not false"),
        (Exact("F"), ["false"], "F", "false is not F"),
        (Exact("60s", kind="duration"), ["1m"], None, "it is 1m"),
        (Exact("60s", kind="duration"), ["61s"], "60s", "61s is not 60s"),
        (Exact("60s", kind="duration"), ["soon"], "60s", "soon is not 60s"),
        (Exact("60", kind="string"), ["060"], "60", "060 is not 60"),
        (Exact("a,b", kind="slice"), ["b", "a"], None, "it is b,a"),
        (Exact("a,b", kind="slice"), ["a"], "a,b", "a is not a,b"),
        (Exact("", kind="slice"), ["a"], "", "a is not "),
        (Exact(""), [""], None, "it is ''"),
        # keep: only for where there is none
        (Keep("/var/log/audit"), [], "/var/log/audit", "the flag is not set"),
        (Keep("/var/log/audit"), ["/data/log"], None, "the owner's value stays"),
        (Keep("/var/log/audit"), [""], None, "the owner's value stays"),
        (Keep("4096", positive=True), [], "4096", "the flag is not set"),
        (Keep("4096", positive=True), ["10000"], None, "the owner's value stays"),
        (Keep("4096", positive=True), ["0"], "4096", "0 means without limit"),
        (Keep("4096", positive=True), ["-1"], "4096", "-1 means without limit"),
        # at least
        (AtLeast("30"), [], "30", "the flag is not set"),
        (AtLeast("30"), ["29"], "30", "29 is not at least 30"),
        (AtLeast("30"), ["30"], None, "30 is at least 30"),
        (AtLeast("30"), ["90"], None, "90 is at least 30"),
        (AtLeast("30"), ["90", "7"], "30", "7 is not at least 30"),
        (AtLeast("30", unlimited="0"), ["0"], None, "0 means without limit"),
        (AtLeast("30", unlimited="0"), ["00"], None, "00 means without limit"),
        (AtLeast("30"), ["0"], "30", "0 is not at least 30"),
        (AtLeast("30"), ["many"], "30", "many is no number or duration"),
        (AtLeast("30"), [""], "30", "'' is no number or duration"),
        (AtLeast("10s", kind="duration"), ["1m"], None, "1m is at least 10s"),
        (AtLeast("10s", kind="duration"), ["9s"], "10s", "9s is not at least 10s"),
        # at most
        (AtMost("5m", kind="duration"), [], "5m", "the flag is not set"),
        (AtMost("5m", kind="duration"), ["1m"], None, "1m is at most 5m"),
        (AtMost("5m", kind="duration"), ["1h30m"], "5m", "1h30m is not at most 5m"),
        (AtMost("4h", unlimited="0", kind="duration"), ["0"], "4h", "0 means without limit"),
        (AtMost("4h", unlimited="0", kind="duration"), ["0s"], "4h", "0s means without limit"),
        (AtMost("4h", kind="duration"), ["0"], None, "0 is at most 4h"),
        (AtMost("0.02", kind="float"), [".001"], None, ".001 is at most 0.02"),
        # contains: united, the owner's order first
        (Contains(("Node", "RBAC")), [], "Node,RBAC", "Node, RBAC missing"),
        (Contains(("Node", "RBAC")), ["RBAC,Webhook"], "RBAC,Webhook,Node", "Node missing"),
        (Contains(("Node", "RBAC")), ["RBAC,Webhook,Node"], None, "all items are there"),
        (Contains(("Node", "RBAC")), ["RBAC", "Node"], None, "all items are there"),
        (Contains(("A",)), ["B", "C"], "B,C,A", "A missing"),
        (Contains(("RBAC",), ("AlwaysAllow",)), ["AlwaysAllow"], "RBAC", "RBAC missing and AlwaysAllow not allowed"),
        (Contains((), ("AlwaysAdmit",)), ["AlwaysAdmit,X"], "X", "AlwaysAdmit not allowed"),
        (Contains((), ("AlwaysAdmit",)), [], None, "no unwanted item is there"),
        (Contains((), ("AlwaysAdmit",)), ["X"], None, "no unwanted item is there"),
        (Contains(("B=true",), kind="map"), ["A=true,B=false"], "A=true,B=true", "B=true missing"),
        (Contains(("B=true",), kind="map"), ["B=True"], None, "all items are there"),
        (Contains(("B=true",), kind="map"), ["B=false", "B=true"], None, "all items are there"),
        (Contains((), ("AllAlpha",), kind="map"), ["AllAlpha=true,X=1"], "X=1", "AllAlpha=true not allowed"),
        (Contains((), ("AllAlpha=true",), kind="map"), ["X=1,AllAlpha=T"], "X=1", "AllAlpha=T not allowed"),
        # as their component reads it: kube: is what it is without, and space is nothing
        (Contains((), ("AllAlpha=true",), kind="map"), ["kube:AllAlpha=1,X=1"], "X=1", "kube:AllAlpha=1 not allowed"),
        (Contains((), ("AllAlpha=true",), kind="map"), ["AllAlpha = True,X=1"], "X=1", "AllAlpha = True not allowed"),
        (Contains((), ("AllAlpha",), kind="map"), ["X=1, kube : AllAlpha=1"], "X=1", " kube : AllAlpha=1 not allowed"),
        (Contains((), ("AllAlpha=true",), kind="map"), ["else:AllAlpha=true"], None, "no unwanted item is there"),
        (Contains(("X=true",), kind="map"), ["kube:X=1"], None, "all items are there"),
        (Contains(("X=true",), kind="map"), ["kube:X=false,Y=1"], "Y=1,X=true", "X=true missing"),
        (Contains((), ("AllAlpha=true",), kind="map"), ["AllAlpha=false,X=1"], None, "no unwanted item is there"),
        (Contains((), ("AllAlpha=true",), kind="map"), ["X=true"], None, "no unwanted item is there"),
        # narrowed: the owner's list without what is not allowed
        (Narrowed(SUITES), [], "TLS_AES,TLS_GCM,TLS_CHACHA", "the flag is not set"),
        (Narrowed(SUITES), [""], "TLS_AES,TLS_GCM,TLS_CHACHA", "the list is empty"),
        (Narrowed(SUITES), ["TLS_GCM"], None, "nothing but allowed items"),
        (Narrowed(SUITES), ["TLS_GCM,TLS_CBC,TLS_AES"], "TLS_GCM,TLS_AES", "TLS_CBC not allowed"),
        (Narrowed(SUITES), ["TLS_GCM", "TLS_CBC"], "TLS_GCM", "TLS_CBC not allowed"),
        (Narrowed(SUITES), ["TLS_CBC"], "TLS_AES,TLS_GCM,TLS_CHACHA", "TLS_CBC not allowed"),
        # what is as good stays, and is never written
        (Narrowed(SUITES, also=("TLS_13",)), ["TLS_13,TLS_GCM"], None, "nothing but allowed items"),
        (Narrowed(SUITES, also=("TLS_13",)), ["TLS_13,TLS_CBC"], "TLS_13", "TLS_CBC not allowed"),
        (Narrowed(SUITES, also=("TLS_13",)), ["TLS_CBC"], "TLS_AES,TLS_GCM,TLS_CHACHA", "TLS_CBC not allowed"),
        # an order from weak to strict
        (OrderedMinimum("VersionTLS12", TLS), [], "VersionTLS12", "the flag is not set"),
        (
            OrderedMinimum("VersionTLS12", TLS),
            ["VersionTLS10"],
            "VersionTLS12",
            "VersionTLS10 is weaker than VersionTLS12",
        ),
        (
            OrderedMinimum("VersionTLS12", TLS),
            ["VersionTLS12"],
            None,
            "VersionTLS12 is at least as strict as VersionTLS12",
        ),
        (
            OrderedMinimum("VersionTLS12", TLS),
            ["VersionTLS13"],
            None,
            "VersionTLS13 is at least as strict as VersionTLS12",
        ),
        (OrderedMinimum("TLS1.2", flags.ETCD_TLS_VERSIONS), ["TLS1.3"], None, "TLS1.3 is at least as strict as TLS1.2"),
        (OrderedMinimum("b", ("a", "b")), ["z"], "b", "z is none of a, b"),
        # absent
        (Absent(), [], None, "the flag is not set"),
    ],
)
def test_decide(rule: flags.Rule, current: list[str], value: str | None, reason: str) -> None:
    decision = decide(rule, current)
    assert (decision.value, decision.reason, decision.satisfied) == (value, reason, value is None)


@pytest.mark.parametrize(
    ("rule", "current"),
    [
        (Absent(), ["x"]),
        (Absent(), [""]),
        (Contains((), ("AlwaysAdmit",)), ["AlwaysAdmit"]),
        (Contains((), ("AllAlpha=true",), kind="map"), ["AllAlpha=true"]),
    ],
)
def test_a_flag_that_has_to_go(rule: flags.Rule, current: list[str]) -> None:
    decision = decide(rule, current)
    assert (decision.satisfied, decision.values) == (False, ())


def test_an_array_has_one_value_an_occurrence() -> None:
    rule = Contains(("https://new",), kind="array")
    assert decide(rule, ["https://old"]).values == ("https://old", "https://new")
    assert decide(rule, ["https://new", "https://old"]).satisfied


words = st.sampled_from(
    ["1", "90", "0", "5m", "1h", "true", "false", "VersionTLS13", "A", "B", "A,B", "A=true", "", "x y"]
)
items = st.lists(st.sampled_from(["A", "B", "C", "A=true", "B=false"]), min_size=1, max_size=3, unique=True).map(tuple)
rules = st.one_of(
    st.builds(Exact, words, kind=st.sampled_from(["string", "bool", "duration"])),
    st.builds(Keep, words),
    st.builds(AtLeast, st.sampled_from(["30", "5m"]), st.sampled_from([None, "0"])),
    st.builds(AtMost, st.sampled_from(["30", "5m"]), st.sampled_from([None, "0"])),
    st.builds(Contains, items, st.just(("D",)), kind=st.sampled_from(["slice", "array", "map"])),
    st.builds(Narrowed, items, kind=st.sampled_from(["slice", "array"]), also=st.sampled_from([(), ("D",)])),
    st.builds(OrderedMinimum, st.sampled_from(TLS), st.just(TLS)),
    st.just(Absent()),
)


@settings(deadline=None)
@given(rules, st.lists(words, max_size=3))
def test_what_is_written_satisfies_the_rule(rule: flags.Rule, current: list[str]) -> None:
    decision = decide(rule, current)
    assert decision.reason
    if decision.satisfied:
        assert decision.values == ()
    else:
        assert decide(rule, list(decision.values)).satisfied


# ---- rules as data


@pytest.mark.parametrize(
    ("data", "flag", "rule"),
    [
        ({"exact": False}, "profiling", Exact("false", kind="bool")),
        ({"exact": "false"}, "profiling", Exact("false", kind="bool")),
        ({"exact": True}, "unknown", Exact("true", kind="bool")),
        ({"exact": 3}, "", Exact("3")),
        ({"exact": ["Node", "RBAC"]}, "authorization-mode", Exact("Node,RBAC", kind="slice")),
        ({"keep": "/a"}, "audit-log-path", Keep("/a")),
        ({"keep": 4096, "positive": True}, "pod-max-pids", Keep("4096", kind="int", positive=True)),
        (
            {"at_least": 30, "unlimited": 0, "control": "CIS-1.2.17"},
            "audit-log-maxage",
            AtLeast("30", "0", ("CIS-1.2.17",)),
        ),
        ({"at_least": "10s"}, "shutdown-delay-duration", AtLeast("10s", kind="duration")),
        (
            {"at_most": "1h30m", "kind": "duration", "control": ["a", "b"]},
            "x",
            AtMost("1h30m", None, ("a", "b"), "duration"),
        ),
        ({"at_most": 0.02}, "goaway-chance", AtMost("0.02", kind="float")),
        ({"contains": ["A", "B"], "without": "C"}, "enable-admission-plugins", Contains(("A", "B"), ("C",))),
        ({"contains": []}, "feature-gates", Contains((), kind="map")),
        ({"contains": "a"}, "service-account-issuer", Contains(("a",), kind="array")),
        ({"narrowed": ["A"]}, "tls-cipher-suites", Narrowed(("A",))),
        ({"narrowed": ["A"], "also": ["B", "C"]}, "tls-cipher-suites", Narrowed(("A",), also=("B", "C"))),
        ({"ordered_minimum": "VersionTLS12"}, "tls-min-version", OrderedMinimum("VersionTLS12", TLS)),
        ({"ordered_minimum": "TLS1.3"}, "tls-min-version", OrderedMinimum("TLS1.3", flags.ETCD_TLS_VERSIONS)),
        ({"ordered_minimum": "b", "order": ["a", "b"]}, "x", OrderedMinimum("b", ("a", "b"))),
        ({"absent": True}, "insecure-port", Absent()),
    ],
)
def test_rule_from_data(data: Any, flag: str, rule: flags.Rule) -> None:
    assert rule_from_data(data, flag) == rule


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "The rule of flag x must be a mapping such as 'at_least: 30', and is empty."),
        ("exact", "The rule of flag x must be a mapping such as 'at_least: 30', and is a string."),
        ([], "The rule of flag x must be a mapping such as 'at_least: 30', and is a list."),
        ({}, "it has 0 of them"),
        ({"control": "a"}, "it has 0 of them"),
        ({"exact": 1, "absent": True}, "it has 2 of them"),
        ({"exact": 1, "unlimited": 0}, "(exact) has what is not known for it: unlimited"),
        ({"contains": ["a"], "also": ["b"]}, "(contains) has what is not known for it: also"),
        ({"exact": 1, "Exact": 0, 3: 4}, "has what is not known for it: 3, Exact"),
        ({"exact": None}, "exact must be a single value, and is empty"),
        ({"exact": {"a": 1}}, "exact must be a single value, and is a mapping"),
        ({"keep": [[]]}, "keep must be a single value, and is a list"),
        ({"at_least": "lots"}, "at_least must be a number or a duration such as 1h30m, and is lots"),
        ({"at_least": True}, "at_least must be a number or a duration"),
        ({"at_least": [1]}, "at_least must be a single value, and is a list"),
        ({"at_most": 3, "unlimited": "all"}, "unlimited must be a number or a duration"),
        ({"contains": ["a"], "without": ["a"]}, "wants an item that its 'without' forbids: a"),
        ({"contains": ["a"], "kind": "bool"}, "(contains) is for lists, and the flag's kind is bool"),
        ({"narrowed": []}, "narrowed needs at least one allowed item"),
        ({"ordered_minimum": "x"}, "ordered_minimum is x, which its order does not have"),
        ({"ordered_minimum": "x", "order": ["y"]}, "which its order does not have"),
        ({"absent": False}, "absent can only be true"),
        ({"absent": "yes"}, "absent can only be true"),
        ({"exact": 1, "kind": "complex"}, "kind must be one of bool, string"),
        ({"exact": 1, "kind": []}, "kind must be one of bool, string"),
        ({"exact": 1, "control": None}, "control must be a single value, and is empty"),
        ({"exact": float("nan"), "control": {}}, "control must be a single value, and is a mapping"),
    ],
)
def test_a_bad_rule_is_one_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(HardeningError) as raised:
        rule_from_data(data, "x")
    assert sentence in str(raised.value)
    assert str(raised.value).endswith(".")


def test_a_list_rule_of_a_scalar_flag_is_refused() -> None:
    with pytest.raises(HardeningError, match=r"\(contains\) is for lists, and the flag's kind is bool"):
        rule_from_data({"contains": ["a"]}, "profiling")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["5m", "VersionTLS12"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
rule_keys = st.sampled_from([*flags._NAMES, "control", "kind", "unlimited", "without", "order", "x"])


@settings(deadline=None)
@given(anything | st.dictionaries(rule_keys, anything, max_size=4))
def test_any_data_is_a_rule_or_a_sentence(data: Any) -> None:
    try:
        rule = rule_from_data(data, "some-flag")
    except HardeningError:
        return
    assert isinstance(decide(rule, []), flags.Decision)


def test_occurrences_of_an_array_are_given_as_a_list() -> None:
    rule = rule_from_data({"exact": ["b", "a,c"]}, "tls-sni-cert-key")
    assert decide(rule, []).values == ("b", "a,c")
    assert decide(rule, ["b", "a,c"]).satisfied
    assert decide(rule, ["a,c", "b"]).values == ("b", "a,c")
    assert decide(rule_from_data({"exact": "b"}, "tls-sni-cert-key"), ["b", "a,c"]).values == ("b",)
