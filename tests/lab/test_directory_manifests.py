# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that the kubelet's own decoder accepts: read as it reads them, edited as it sees it, and back to the byte.

Manifests are written in every style, and damaged. What Kubernetes' types and decoder make of each text is told by the
program in decoder/. Needs neither a cluster nor root.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components import styles
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing.inputs import YAML_WORDS, Mutator
from tools.checkout import ROOT
from tools.lacking import lacking

API = "kube-apiserver"
SEED = os.environ.get("KUBEHARDEN_SEED", "1")
FEW, MANY = 400, 20_000
REAL = sorted((ROOT / "inventories/demo/hosts.orig").glob("cp*/etc/kubernetes/manifests/kube-apiserver.yaml"))
VALUES = ("a", "/var/log/x", "1", "30", "VersionTLS13", "a,b", "true", "x: y", "# z", "$(A)", "$$", "it's", "\u00fc")
FLAGS = ("audit-log-maxage", "audit-log-path", "authorization-mode", "x")

Decode = Callable[[Sequence[str]], list[dict[str, Any]]]


@pytest.fixture(scope="module", name="decode")
def kubelets_decoder(tmp_path_factory: pytest.TempPathFactory) -> Decode:
    """What the kubelet makes of manifests, in one process for all of them."""
    if shutil.which("go") is None:
        lacking("go is not installed, so nobody says what the kubelet makes of a manifest")
    program = tmp_path_factory.mktemp("decoder") / "decoder"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=Path(__file__).parent / "decoder", check=True)

    def ask(texts: Sequence[str]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [str(program)], input=json.dumps(list(texts)).encode(), stdout=subprocess.PIPE, check=True
        )
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return ask


def any_pod(rng: random.Random) -> dict[str, Any]:
    argv = [API]
    for flag in rng.sample(FLAGS, rng.randint(0, len(FLAGS))):
        value = rng.choice(VALUES)
        argv += rng.choice(([f"--{flag}={value}"], [f"--{flag}={value}"], [f"--{flag}", value]))
    split = rng.choice((len(argv), len(argv), 1, 0, rng.randint(0, len(argv))))
    container: dict[str, Any] = {"name": API, "image": "registry.example.net/a:v1.37.1"}
    if argv[:split]:
        container["command"] = argv[:split]
    if argv[split:]:
        container["args"] = argv[split:]
    if rng.random() < 0.3:
        container["env"] = [{"name": "A", "value": rng.choice(VALUES)}]
    names = rng.sample(("a", "b", "certs", "logs"), rng.randint(0, 3))
    if names:
        container["volumeMounts"] = [{"mountPath": f"/m/{name}", "name": name, "readOnly": True} for name in names]
    containers = [container, {"name": "sidecar", "command": ["s", "--x=1"]}][: rng.choice((1, 1, 2))]
    rng.shuffle(containers)
    spec: dict[str, Any] = {"containers": containers, "hostNetwork": True}
    if names:
        spec["volumes"] = [{"hostPath": {"path": f"/h/{name}", "type": "Directory"}, "name": name} for name in names]
    metadata = {"name": API, "annotations": {"a": rng.choice(styles.STRANGE), "b": rng.choice(styles.QUOTED)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def manifests(count: int) -> Iterator[str]:
    """Texts, some of which are manifests: kubeadm's, pods in any style, and both of these damaged."""
    rng = random.Random(SEED)
    yield from (path.read_text(encoding="utf-8") for path in REAL)
    for _number in range(count // 2):
        yield styles.write(any_pod(rng), rng)
    corpus = [path.read_bytes() for path in REAL]
    corpus += [styles.write(any_pod(rng), rng).encode() for _number in range(20)]
    mutator = Mutator(SEED, YAML_WORDS, [any_pod(rng) for _number in range(20)])
    for _number in range(count - count // 2):
        try:
            yield mutator.choose(corpus).decode("utf-8")
        except UnicodeDecodeError:
            continue


@dataclasses.dataclass(frozen=True)
class Edit:
    """An edit with its reverse.

    :param exact: whether the reverse gives back the same bytes (the documentation of components.manifest says when)
    :param spelled: whether it gives back the same Pod: a ``$(A)`` that means itself comes back as ``$$(A)``
    """

    name: str
    make: Callable[[Manifest], object]
    undo: Callable[[Manifest], object]
    exact: bool
    spelled: bool = True


def ours(pod: dict[str, Any]) -> dict[str, Any]:
    """The component's container, empty where none has its name."""
    return next((one for one in pod["spec"].get("containers") or [] if one.get("name") == API), {})


def edits(manifest: Manifest, pod: dict[str, Any], text: str) -> Iterator[Edit]:
    container = ours(pod)
    has_words = bool(container.get("args") or container.get("command"))
    for flag in FLAGS:
        old = manifest.flag_values(API, flag)
        if not old:
            yield Edit(
                f"set the absent --{flag}",
                lambda one, flag=flag: one.set_flag(API, flag, "n e w"),  # type: ignore[misc]
                lambda one, flag=flag: one.remove_flag(API, flag),  # type: ignore[misc]
                has_words,
            )
        elif len(old) == 1:
            yield Edit(
                f"change --{flag}",
                lambda one, flag=flag: one.set_flag(API, flag, "/n/e/w"),  # type: ignore[misc]
                lambda one, flag=flag, value=old[0]: one.set_flag(API, flag, value),  # type: ignore[misc]
                text.count(f"--{flag}={old[0]}") == 1 and re.fullmatch(r"[\w/.]+", old[0]) is not None,
                not any("$" in word for word in words(pod)),
            )
    spec_lists = (pod["spec"].get("volumes"), container.get("volumeMounts"))
    yield Edit(
        "mount a directory",
        lambda one: one.ensure_mount(API, "n-e-w", "/n/e/w", "/n/e/w"),
        lambda one: one.remove_mount(API, "n-e-w"),
        all(spec_lists) or not any(spec_lists),
    )


def words(pod: dict[str, Any]) -> list[str]:
    container = ours(pod)
    return [*(container.get("command") or []), *(container.get("args") or [])]


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_what_the_kubelet_accepts_is_edited_and_goes_back(decode: Decode, count: int) -> None:
    texts = list(manifests(count))
    accepted = [(text, one["pod"]) for text, one in zip(texts, decode(texts)) if one["pod"] is not None]
    steps: list[tuple[str, dict[str, Any], Edit, str, str]] = []
    refused = 0
    for text, pod in accepted:
        try:
            manifest = Manifest.parse(text)
            if not manifest.has_component(API) or not ours(pod):
                continue
            arguments = manifest.arguments(API)
        except HardeningError:
            refused += 1
            continue
        if not any("$" in word for word in words(pod)):
            assert arguments == words(pod), text
        for edit in edits(manifest, pod, text):
            one = Manifest.parse(text)
            try:
                edit.make(one)
                edited = one.text
                edit.undo(one)
            except HardeningError:
                continue
            assert not edit.exact or one.text == text, f"{edit.name} and back:\n{text}\nbecame\n{one.text}"
            steps.append((text, pod, edit, edited, one.text))
    after = decode([edited for _text, _pod, _edit, edited, _back in steps])
    back = decode([back for _text, _pod, _edit, _edited, back in steps])
    for (text, pod, edit, edited, undone), made, gone_back in zip(steps, after, back):
        assert made["pod"] is not None, f"{edit.name}: {made['refused']}:\n{text}\nbecame\n{edited}"
        assert made["pod"] != pod, f"{edit.name} did nothing:\n{text}"
        assert not edit.spelled or gone_back["pod"] == pod, f"{edit.name} and back:\n{text}\nbecame\n{undone}"
        assert Manifest.parse(undone).arguments(API) == Manifest.parse(text).arguments(API)
    kinds = {edit.name for _text, _pod, edit, _edited, _back in steps}
    assert len(kinds) == 2 * len(FLAGS) + 1, f"only {sorted(kinds)} were made"
    print(f"{len(texts)} texts, {len(accepted)} accepted, {refused} of these refused here, {len(steps)} edits")
    assert len(accepted) >= count // 2
    assert len(steps) >= count
    assert refused <= len(accepted) // 10
