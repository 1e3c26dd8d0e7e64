# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version tables say of the lab's real programs what these say of themselves.

Only programs that the lab's cache has already are asked; nothing is compiled for it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import Table
from lab.kubelab import components
from lab.kubelab.base import cache_dir
from tools.lacking import lacking

pytestmark = pytest.mark.lab

PARSED_BY_PFLAG = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"]
#: What `make lab-parts lab-parts-rest` compiles for CI; every other version of the lab is asked in `make test-all`.
IN_CI = ("1.37", "1.36")


def of_version(minor: str, *values: str) -> ParameterSet:
    """A case of one version, slow where CI does not compile it."""
    return pytest.param(minor, *values, marks=[] if minor in IN_CI else pytest.mark.slow)


MINORS = [of_version(minor) for minor in components.minors()]
EVERY = [of_version(minor, component) for minor in components.minors() for component in PARSED_BY_PFLAG]


def program(minor: str, name: str) -> Path:
    """A program of the lab, the newest that the cache has of this minor version."""
    found = sorted((cache_dir() / "programs").glob(f"{minor}-*/{name}"), key=lambda path: path.stat().st_mtime)
    if not found:
        lacking(f"the lab's cache has no {name} of {minor}; make lab-parts-rest compiles it")
    return found[-1]


def said(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [path, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("minor", "component"), EVERY)
def test_help_lists_exactly_the_flags_of_the_table(minor: str, component: str) -> None:
    listed = re.findall(r"^ +(?:-\w, )?--([A-Za-z0-9-]+)", said(program(minor, component), "--help"), re.MULTILINE)
    known = Table.load(minor).flags(component)
    assert len(listed) > 50
    assert sorted(listed) == sorted(name for name, flag in known.items() if not flag.hidden)


@pytest.mark.parametrize(("minor", "component"), EVERY)
def test_help_names_the_defaults_of_the_table(minor: str, component: str) -> None:
    """Help names a default behind a flag's description where it is not the type's zero."""
    text_of_help = said(program(minor, component), "--help")
    known = Table.load(minor).flags(component)
    seen = 0
    for chunk in re.split(r"\n +(?:-\w, )?--", text_of_help)[1:]:
        name = re.split(r"[ \[=]", chunk)[0]
        text = re.sub(r"\s+", " ", re.split(r"\n\n", chunk)[0]).strip()
        default = re.search(r'\(default ("?)([^()]*)\1\)(?: \(DEPRECATED: .*\))?\Z', text)
        if default is not None and not known[name].default.startswith(("<", "[")):
            assert known[name].default == default.group(2), name
            seen += 1
    assert seen > 10


@pytest.mark.parametrize(("minor", "component"), EVERY)
def test_hidden_flags_are_taken_too(minor: str, component: str) -> None:
    """``--version`` ends the program once it has read its whole command line."""
    path = program(minor, component)
    hidden = {name: flag for name, flag in Table.load(minor).flags(component).items() if flag.hidden}
    given = [f"--{name}={flag.default}" for name, flag in hidden.items() if flag.type != "ip"]
    assert re.search(r"^Kubernetes v", said(path, *given, "--version"), re.MULTILINE)
    assert "unknown flag: --no-such-flag" in said(path, "--no-such-flag", "--version")


@pytest.mark.parametrize(("minor", "component"), EVERY)
def test_help_lists_exactly_the_feature_gates_of_the_table(minor: str, component: str) -> None:
    """Help shows those of stages alpha and beta, with stage and default; some with another default on a condition."""
    text = re.sub(r"\s+", " ", said(program(minor, component), "--help"))
    listed = re.findall(r"\b([A-Z]\w+)=true\|false \((ALPHA|BETA) - default=(true|false)\)(?! if )", text)
    known = Table.load(minor).gates(component)
    assert len(listed) > 50
    assert sorted(listed) == sorted(
        (name, gate.stage, str(gate.default).lower()) for name, gate in known.items() if gate.stage in ("ALPHA", "BETA")
    )


@pytest.mark.parametrize("minor", MINORS)
def test_help_lists_exactly_the_admission_plugins_of_the_table(minor: str) -> None:
    text = re.sub(r"\s+", " ", said(program(minor, "kube-apiserver"), "--help"))
    match = re.search(
        r"--enable-admission-plugins strings .*? default enabled ones \((.*?)\)\. .*?plugins: (.*?)\. ", text
    )
    assert match is not None
    known = Table.load(minor).plugins()
    assert sorted(match.group(2).split(", ")) == sorted(known)
    assert sorted(match.group(1).split(", ")) == sorted(name for name, default in known.items() if default)


@pytest.mark.parametrize("minor", MINORS)
def test_etcd_takes_every_flag_of_the_table_and_no_other_of_its_help(minor: str) -> None:
    """etcd's help is a text of its own, that names flags which are gone and leaves out others: so each is tried."""
    path = program(minor, "etcd")
    table = Table.load(".".join(re.findall(r"[0-9]+", said(path, "--version"))[:2]), "etcd")
    known = table.flags("etcd")
    given = [f"--{name}={flag.default}" for name, flag in known.items() if flag.default and name != "version"]
    assert said(path, *given, "--version").startswith("etcd Version: ")
    listed = re.findall(r"^ +--([a-z0-9-]+)", said(path, "--help"), re.MULTILINE)
    assert len(listed) > 80
    for name in sorted(set(listed) - set(known)):
        assert f"flag provided but not defined: -{name}" in said(path, f"--{name}=x", "--version")
    assert {name for name, flag in known.items() if flag.type != "ignored"} - set(listed) <= {"config-file", "version"}
