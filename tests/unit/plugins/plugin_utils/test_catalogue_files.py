# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalogue of the user's own that is none is a sentence with its file, whatever is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="read on the controller")

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files, selection
from ansible_collections.kubeharden.core.plugins.plugin_utils.controller import COLLECTION

#: Where a flag's setting begins in a template, and its control.
FLAG_OR_CONTROL = re.compile(r"^  ([a-z-]+):|^    control: ([a-z-]+)", re.MULTILINE)
#: No version that is supported has such a flag, so that there is none to write.
NEVER_WRITTEN = {"apiserver-basic-authentication"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"controls: [\n", "is no YAML: it cannot be parsed"),
        (b"controls:\n  - {a: b: c}\n", r"is no YAML: it cannot be parsed \(line 2\)"),
        (b"controls:\n  - id: !!bool x\n", "is no YAML: a value in it cannot be read"),
        (b"controls: !!timestamp x\n", "it has no list `controls`"),
        (b"[" * 3000, "is no YAML"),
        (b"controls: &a [*a]\n", "is no YAML: an alias in it refers to what contains it"),
        (b"controls: \xff\n", "is no UTF-8 text"),
        (b"", "it has no list `controls`"),
        (b"controls: [null]\n", "control 1 is no mapping"),
    ],
)
def test_what_is_no_catalogue(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "own.yml").write_bytes(content)
    with pytest.raises(HardeningError, match=rf"own\.yml.*{words}"):
        catalogue_files.load([str(tmp_path / "own.yml")])


def test_a_catalogue_that_is_not_there() -> None:
    with pytest.raises(HardeningError, match=r"kubeharden_controls_files: /absent could not be read: No such file"):
        catalogue_files.load(["/absent"])


def of_templates(component: str) -> dict[str, set[str]]:
    """By control, the flags that the templates of a component set."""
    found: dict[str, set[str]] = {}
    for path in (COLLECTION / "templates" / component).glob("*.j2"):
        last = ""
        for flag, control in FLAG_OR_CONTROL.findall(path.read_text(encoding="utf-8")):
            last = flag or last
            if control:
                found.setdefault(control, set()).add(last)
    return found


@pytest.mark.parametrize("component", ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"])
def test_the_catalogue_and_the_templates_say_the_same_of_each_controls_flags(component: str) -> None:
    """Each says it for itself, so that a wrong control in a template is seen here and hides no drift."""
    said = catalogue_files.flags_by_control()[component]
    assert {name: flags for name, flags in said.items() if name not in NEVER_WRITTEN} == of_templates(component)


def test_every_control_that_harden_writes_is_one_of_the_catalogue() -> None:
    judged = {name for control in catalogue_files.load() for name in (control.id, control.part_of) if name}
    written = {name for controls in catalogue_files.written().values() for name in controls}
    assert set(selection.known_controls()) <= judged | written
    assert written <= set(selection.known_controls())


def test_the_flags_of_several_controls_are_put_together() -> None:
    controls = ["scheduler-profiling", "apiserver-graceful-stop", "apiserver-kubelet-authority", "kubelet-hostname"]
    assert catalogue_files.flags_of(controls) == {
        "kube-apiserver": {
            "kubelet-certificate-authority",
            "shutdown-delay-duration",
            "shutdown-watch-termination-grace-period",
        },
        "kube-controller-manager": set(),
        "kube-scheduler": {"profiling"},
        "etcd": set(),
    }
    assert catalogue_files.flags_of([]) == {}
