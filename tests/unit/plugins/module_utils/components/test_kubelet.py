# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a kubelet is started and configured, as systemd and the kubelet read it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

UNIT = "[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n"
# kubeadm's own drop-in, in short.
DROP_IN = """\
# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf --v=1"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""


def command(units: t.Sequence[str], files: dict[str, str] | None = None) -> list[str]:
    return kubelet.command_line(units, (files or {}).get)


def test_kubeadms_unit_with_its_drop_in() -> None:
    files = {
        "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1 --pod-infra=x"\n',
        "/etc/default/kubelet": "# nothing\nKUBELET_EXTRA_ARGS='--v=2'\n",
    }
    assert command([UNIT, DROP_IN], files) == [
        "/usr/bin/kubelet",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--v=1",
        "--config=/var/lib/kubelet/config.yaml",
        "--node-ip=192.0.2.1",
        "--pod-infra=x",
        "--v=2",
    ]


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("ExecStart=/usr/bin/kubelet --a=b", ["/usr/bin/kubelet", "--a=b"]),
        ("ExecStart=-/usr/bin/kubelet", ["/usr/bin/kubelet"]),
        ("ExecStart=/usr/bin/kubelet \\\n  --a=b \\\n  --c", ["/usr/bin/kubelet", "--a=b", "--c"]),
        ("Environment=A=1 B=2\nExecStart=/k --a=${A} --b=${B}x", ["/k", "--a=1", "--b=2x"]),
        # Without braces a variable is one only where it is the whole word, and only then it is taken apart.
        ("Environment=A=1\nExecStart=/k --a=$A", ["/k", "--a=$A"]),
        ("Environment='A=1 2'\nExecStart=/k $A ${A} --a=${A}", ["/k", "1", "2", "1 2", "--a=1 2"]),
        ("Environment=A=1\nExecStart=/k $$A --a=$${A}", ["/k", "$A", "--a=${A}"]),
        ("Environment=A=1\nEnvironment=B=2 A=3 C\nExecStart=/k ${A}${B}${C}", ["/k", "32"]),
        ("Environment=A=1 B=2\nEnvironment=\nEnvironment=B=3\nExecStart=/k ${A}-${B}", ["/k", "-3"]),
        ("ExecStart=/k $MISSING --a", ["/k", "--a"]),
        ("ExecStart=/k '--a=b c'", ["/k", "--a=b c"]),
        ('ExecStart=/k "--a', ["/k", '"--a']),
        ("; ExecStart=/no\nExecStart=/k", ["/k"]),
        ("[Unit]\nDescription=x", []),
    ],
)
def test_a_command_line_as_systemd_reads_it(unit: str, words: list[str]) -> None:
    assert command([unit]) == words


FILES = {"/a": "A=file\n", "/b": "A=other\nB=b\n"}


@pytest.mark.parametrize(
    ("units", "word"),
    [
        # Whatever comes later: a file beats what the unit itself says.
        (["EnvironmentFile=/a\nEnvironment=A=own\nExecStart=/k ${A}"], "file"),
        (["Environment=A=own\nEnvironmentFile=/a\nExecStart=/k ${A}"], "file"),
        (["EnvironmentFile=/a\nExecStart=/k ${A}", "Environment=A=own"], "file"),
        (["Environment=A=own\nEnvironmentFile=-/missing\nExecStart=/k ${A}"], "own"),
        # Of files the later one wins.
        (["EnvironmentFile=/a\nEnvironmentFile=-/b\nExecStart=/k ${A}"], "other"),
        (["EnvironmentFile=/b\nEnvironmentFile=/a\nExecStart=/k ${A}${B}"], "fileb"),
        # An empty one takes back those before it, and nothing else.
        (["EnvironmentFile=/b\nEnvironment=A=own\nExecStart=/k ${A}${B}", "EnvironmentFile="], "own"),
        (["EnvironmentFile=/b\nExecStart=/k ${A}", "EnvironmentFile=\nEnvironmentFile=/a"], "file"),
        (["EnvironmentFile=/a\nEnvironment=B=own\nExecStart=/k ${A}${B}", "Environment="], "file"),
        # It is no path.
        (["Environment=A=own\nEnvironmentFile=-\nExecStart=/k ${A}"], "own"),
    ],
)
def test_an_environment_file_beats_what_the_unit_says_itself(units: list[str], word: str) -> None:
    assert command(units, FILES) == ["/k", word]


def test_specifiers_stand_for_what_systemd_puts_there() -> None:
    unit = "Environment=A=%H B=100%%\nEnvironmentFile=/%p\nExecStart=/k --a=%n --b=%N ${A} ${B} --c=%m ${C}"
    files = {"/kubelet": "C=%n%%"}  # files have none
    words = kubelet.command_line([unit], files.get, "node-1")
    assert words == ["/k", "--a=kubelet.service", "--b=kubelet", "node-1", "100%", "--c=%m", "%n%%"]
    assert [word for word in words[:-1] if kubelet.has_specifier(word)] == ["--c=%m"]
    assert kubelet.command_line([unit], files.get)[3] == "%H"


def test_drop_ins_come_by_their_names_whatever_directory_they_lie_in() -> None:
    folders = {
        "/etc/systemd/system/kubelet.service.d": ["10-a.conf", "20-b.conf", "note.txt"],
        "/run/systemd/system/kubelet.service.d": ["20-b.conf", "30-c.conf"],
        "/usr/lib/systemd/system/kubelet.service.d": ["10-a.conf", "30-c.conf", "99-d.conf", "15-e.conf"],
    }
    units = {"/usr/lib/systemd/system/kubelet.service", "/lib/systemd/system/kubelet.service"}
    assert kubelet.unit_files(units.__contains__, lambda folder: folders.get(folder, [])) == [
        "/usr/lib/systemd/system/kubelet.service",
        "/etc/systemd/system/kubelet.service.d/10-a.conf",
        "/usr/lib/systemd/system/kubelet.service.d/15-e.conf",
        "/etc/systemd/system/kubelet.service.d/20-b.conf",
        "/run/systemd/system/kubelet.service.d/30-c.conf",
        "/usr/lib/systemd/system/kubelet.service.d/99-d.conf",
    ]
    units.add("/etc/systemd/system/kubelet.service")
    assert kubelet.unit_files(units.__contains__, lambda _folder: []) == ["/etc/systemd/system/kubelet.service"]


def test_a_later_drop_in_wins_and_a_missing_file_is_none() -> None:
    assert command([DROP_IN, "ExecStart=\nExecStart=/opt/kubelet $KUBELET_EXTRA_ARGS"]) == ["/opt/kubelet"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\nB='2 3'\n", {"A": "1", "B": "2 3"}),
        ('A="x"y\n', {"A": '"x"y'}),
        ("# A=1\n\n  B = 2\n", {}),
        ("export A=1\n", {"A": "1"}),
        ("A=1\x0bB=2\r\n", {"A": "1\x0bB=2"}),
        ("A=\n", {"A": ""}),
    ],
)
def test_an_environment_file(text: str, values: dict[str, str]) -> None:
    assert kubelet.environment(text) == values


@pytest.mark.parametrize("text", ["{", "[]", "x", "", "a: b: c"])
def test_a_configuration_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(HardeningError, match=r"The kubelet's configuration /a is no .* Nothing was changed"):
        kubelet.load(text, "/a")


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1}, {"a": {"b": None, "c": 2}}, {"a": {"c": 2}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_a_drop_in_is_a_merge_patch(base: dict[str, t.Any], patch: dict[str, t.Any], merged: dict[str, t.Any]) -> None:
    before = repr(base)
    assert kubelet.merge(base, patch) == merged
    assert repr(base) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'KUBELET_KUBEADM_ARGS="--v=4"\n'),
        ('KUBELET_KUBEADM_ARGS=""\n', 'KUBELET_KUBEADM_ARGS="--v=4"\n'),
        ('KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1"\n', 'KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1 --v=4"\n'),
        ('KUBELET_KUBEADM_ARGS="--v=2 --node-ip=::1"\n', 'KUBELET_KUBEADM_ARGS="--node-ip=::1 --v=4"\n'),
        ("KUBELET_KUBEADM_ARGS=--v=2", 'KUBELET_KUBEADM_ARGS="--v=4"'),
        ('# theirs\nKUBELET_KUBEADM_ARGS="--v 2"\nX=1\n', '# theirs\nKUBELET_KUBEADM_ARGS="--v=4"\nX=1\n'),
        ('KUBELET_KUBEADM_ARGS="--v=4 --node-ip=::1"\n', 'KUBELET_KUBEADM_ARGS="--v=4 --node-ip=::1"\n'),
        # What stands behind -- is no flag to the kubelet.
        ('KUBELET_KUBEADM_ARGS="--a=b -- c"\n', 'KUBELET_KUBEADM_ARGS="--a=b --v=4 -- c"\n'),
        # To systemd these end no line.
        ('X=a\u2028b\nKUBELET_KUBEADM_ARGS=""\n', 'X=a\u2028b\nKUBELET_KUBEADM_ARGS="--v=4"\n'),
    ],
)
def test_flags_are_set_in_kubeadms_file(before: str, after: str) -> None:
    assert kubelet.set_flags(before, {"v": "4"}) == after
    assert kubelet.set_flags(after, {"v": "4"}) == after
    assert "--v=4" in kubelet.arguments_in(after)
