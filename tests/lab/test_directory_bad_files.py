# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of file that verify reads, with everything in its place that nobody should have there.

On a directory that stands for a control plane, seen as if its components had been started before the file was spoilt.
Each is a finding or unknown with its reason, at once, and nothing is a pass that was none before.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    authority,
    bundle,
    issue,
    keys,
    kubeconfig,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, names
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence import Collector
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View
from ansible_collections.kubeharden.core.tests.unit.plugins import templates
from lab.breaker import break_all
from lab.standing import KUBELET, evidence, seen, start_all
from lab.test_directory_hosts import SEEDS

OURS = "etc/kubernetes/kubeharden"
PKI = "etc/kubernetes/pki"
MANIFESTS = "etc/kubernetes/manifests"
DROP_IN = "etc/kubernetes/kubelet.conf.d/10-own.conf"
PROXY = "var/lib/kube-proxy/config.conf"
#: Seconds of work that a look at one host may take, whatever lies there; one at good files takes a fifth of a second.
WORK = 5.0
#: Seconds that it may take on a machine with other things to do: one that waits for a pipe never ends.
LIMIT = 120.0

#: What verify reads beside what kubeadm wrote.
MORE = {
    f"{OURS}/audit-policy.yaml": templates.render("audit/policy.yaml.j2"),
    f"{OURS}/admission.yaml": """\
plugins: [{name: PodSecurity, configuration: {defaults: {enforce: baseline, audit: restricted, warn: restricted}}}]
""",
    f"{OURS}/authentication.yaml": "anonymous: {enabled: true, conditions: [{path: /livez}]}\n",
    f"{OURS}/encryption.yaml": "resources: [{resources: [secrets], providers: [{secretbox: {keys: "
    "[{name: k, secret: do-not-show-encryption}]}}]}]\n",
    f"{OURS}/authorization.yaml": "authorizers: [{type: Node}, {type: RBAC}]\n",
    f"{OURS}/scheduler.yaml": "enableProfiling: false\n",
    DROP_IN: "kind: KubeletConfiguration\nreadOnlyPort: 0\n",
    PROXY: "metricsBindAddress: 127.0.0.1:10249\n",
}
FLAGS = {
    "kube-apiserver": {
        "audit-policy-file": f"/{OURS}/audit-policy.yaml",
        "admission-control-config-file": f"/{OURS}/admission.yaml",
        "authentication-config": f"/{OURS}/authentication.yaml",
        "encryption-provider-config": f"/{OURS}/encryption.yaml",
        "authorization-config": f"/{OURS}/authorization.yaml",
    },
    "kube-scheduler": {"config": f"/{OURS}/scheduler.yaml"},
}
YAML, PEM = "YAML", "PEM"
#: By file, of what kind it is, and the control that must see it.
FILES = {
    f"{MANIFESTS}/kube-apiserver.yaml": (YAML, "manifests-directory"),
    f"{MANIFESTS}/etcd.yaml": (YAML, "manifests-directory"),
    "var/lib/kubelet/config.yaml": (YAML, "kubelet-read-only-port"),
    DROP_IN: (YAML, "kubelet-read-only-port"),
    PROXY: (YAML, "kube-proxy-metrics"),
    f"{OURS}/audit-policy.yaml": (YAML, "apiserver-audit-policy-content"),
    f"{OURS}/admission.yaml": (YAML, "apiserver-admission-configuration"),
    f"{OURS}/authentication.yaml": (YAML, "apiserver-anonymous"),
    f"{OURS}/authorization.yaml": (YAML, "apiserver-authorization"),
    f"{OURS}/encryption.yaml": (YAML, "apiserver-encryption"),
    f"{OURS}/scheduler.yaml": (YAML, "scheduler-profiling"),
    "etc/kubernetes/admin.conf": (YAML, "certificates-keys"),
    "etc/kubernetes/scheduler.conf": (YAML, "certificates-keys"),
    "etc/kubernetes/controller-manager.conf": (YAML, "certificates-keys"),
    "etc/kubernetes/kubelet.conf": (YAML, "certificates-kubelet"),
    f"{PKI}/ca.crt": (PEM, "certificates-keys"),
    f"{PKI}/apiserver.crt": (PEM, "certificates-keys"),
    f"{PKI}/apiserver.key": (PEM, "certificates-keys"),
    f"{PKI}/sa.key": (PEM, "certificates-keys"),
    f"{PKI}/etcd/ca.crt": (PEM, "etcd-trusted-ca"),
    "var/lib/kubelet/pki/kubelet-client-current.pem": (PEM, "certificates-keys"),
}
#: Further controls that must see a file.
ALSO = {"etc/kubernetes/admin.conf": ("certificates-masters",)}


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """What is done within takes no longer than a look at a host may."""
    begun, worked = time.monotonic(), time.process_time()
    yield
    assert time.process_time() - worked < WORK
    assert time.monotonic() - begun < LIMIT


def pipe(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def large(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2 << 30)


def directory(path: Path) -> None:
    path.mkdir()


def no_text(path: Path) -> None:
    path.write_bytes(b"kind: Pod # caf\xe9\n")


def a_word(path: Path) -> None:
    path.write_text("word\n", encoding="utf-8")


def a_list(path: Path) -> None:
    path.write_text("[1, {a: [2]}]\n", encoding="utf-8")


def broken(path: Path) -> None:
    path.write_text("a: [\n", encoding="utf-8")


def no_certificate(path: Path) -> None:
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="utf-8")


def cut_off(path: Path) -> None:
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n", encoding="utf-8")


#: By what is put there, the kinds of files that it is a mistake in.
SPOILT: dict[Callable[[Path], None], tuple[str, ...]] = {
    pipe: (YAML, PEM),
    loop: (YAML, PEM),
    large: (YAML, PEM),
    directory: (YAML, PEM),
    no_text: (YAML, PEM),
    a_word: (YAML, PEM),
    a_list: (YAML,),
    broken: (YAML,),
    no_certificate: (PEM,),
    cut_off: (PEM,),
}
#: The kubelet passes over a directory among manifests and drop-ins, and so does verify.
PASSED_OVER = {(f"{MANIFESTS}/kube-apiserver.yaml", directory), (f"{MANIFESTS}/etcd.yaml", directory),
               (DROP_IN, directory)}  # fmt: skip
CASES = [
    (path, spoil)
    for path, (kind, _control) in FILES.items()
    for spoil, kinds in SPOILT.items()
    if kind in kinds and (path, spoil) not in PASSED_OVER
]


class Pki:
    """What kubeadm's directory holds, as far as it is read here."""

    def __init__(self, root: Path) -> None:
        self._root = root
        now = time.time() - 3600
        self._kubernetes = authority.create(profile.wanted_authority("kubernetes"), now)
        etcd = authority.create(profile.wanted_authority("etcd-ca"), now)
        san = names(["kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1", "192.0.2.11"])
        self._now = now
        self.lay(f"{PKI}/ca.crt", bundle.join([self._kubernetes.facts]))
        self.lay(f"{PKI}/ca.key", authority.files(self._kubernetes)[1])
        self.lay(f"{PKI}/etcd/ca.crt", bundle.join([etcd.facts]))
        for path, data in zip((f"{PKI}/sa.pub", f"{PKI}/sa.key"), authority.service_account_pair(), strict=True):
            self.lay(path, data)
        serving = self.leaf(profile.wanted("kube-apiserver", (), san, (profile.SERVER,)))
        for path, data in zip((f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"), serving, strict=True):
            self.lay(path, data)
        client = self.leaf(profile.wanted("system:node:cp1", ("system:nodes",), NO_NAMES, (profile.CLIENT,)))
        self.lay("var/lib/kubelet/pki/kubelet-client-current.pem", b"".join(client))
        for name in ("admin", "scheduler", "controller-manager"):
            held = self.leaf(profile.wanted(name, (), NO_NAMES, (profile.CLIENT,)))
            conf = kubeconfig.render("https://192.0.2.11:6443", name, bundle.join([self._kubernetes.facts]), *held)
            self.lay(f"etc/kubernetes/{name}.conf", conf)

    def leaf(self, wanted: profile.Profile) -> tuple[bytes, bytes]:
        key = keys.generate(keys.DEFAULT_ALGORITHM)
        facts = issue.issue(wanted, keys.public_bytes(key), self._kubernetes, self._now)
        return issue.certificate_pem(facts), keys.private_pem(key)

    def lay(self, path: str, data: bytes) -> None:
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        for link in (place, *place.parent.glob("kubelet-client-2*.pem")):
            link.unlink(missing_ok=True)
        place.write_bytes(data)


class Standing:
    """A control plane whose components have been started, and what verify says of it."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        open_host(str(self.root), str(SEEDS / "cp1"), False, lambda: str(directory))
        Pki(self.root)
        for path, text in MORE.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, encoding="utf-8")
        for component, flags in FLAGS.items():
            for flag, value in flags.items():
                change = {"path": f"/{MANIFESTS}/{component}.yaml", "edit": "flag", "flag": flag, "value": value}
                break_all(str(self.root), [change])
        self._proc = directory / "proc"
        start_all(
            self.root, self._proc, [*KUBELET, f"--config-dir=/{DROP_IN.rpartition('/')[0]}"],
            ["kube-proxy", f"--config=/{PROXY}"],
        )  # fmt: skip
        self.before = self.seen()

    def seen(self) -> dict[str, tuple[str, str]]:
        with at_once():
            return seen(self.root, self._proc, "cis")

    def evidence(self) -> dict[str, Any]:
        return evidence(self.root, self._proc)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    return Standing(tmp_path_factory.mktemp("bad-files"))


@pytest.fixture
def spoilt(standing: Standing, request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """A file with something else in its place for as long as a test takes, and what verify then says."""
    path, spoil = request.param
    place, kept = standing.root / path, standing.root / "kept"
    shutil.copy2(place, kept)
    place.unlink()
    spoil(place)
    try:
        yield path, standing.seen()
    finally:
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        else:
            place.unlink()
        shutil.move(kept, place)


def test_each_control_passes_while_its_file_is_as_it_should_be(standing: Standing) -> None:
    wanted = {control for _kind, control in FILES.values()}.union(*ALSO.values())
    assert {control: standing.before[control] for control in wanted if standing.before[control][0] != "pass"} == {}


@pytest.mark.parametrize("spoilt", CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}", indirect=True)
def test_what_lies_in_place_of_a_file_is_said_and_passes_nothing(
    standing: Standing, spoilt: tuple[str, dict[str, tuple[str, str]]]
) -> None:
    path, now = spoilt
    for control in (FILES[path][1], *ALSO.get(path, ())):
        status, evidence = now[control]
        assert status in ("fail", "unknown"), evidence
        assert path.rpartition("/")[2] in evidence
    # What is known of a host does not become more by a file that is worth nothing.
    passed = {control for control, (status, _evidence) in now.items() if status == "pass"}
    assert passed <= {control for control, (status, _evidence) in standing.before.items() if status == "pass"}
    assert standing.before.keys() == now.keys()


def test_nothing_secret_is_in_what_is_collected(standing: Standing) -> None:
    """Of keys, of kubeconfigs, of the encryption configuration and of what somebody laid there by mistake."""
    root = standing.root
    (root / "etc/kubernetes/tokens.csv").write_text("do-not-show-static,user,1\n", encoding="utf-8")
    held = (root / "etc/kubernetes/admin.conf").read_text(encoding="utf-8")
    (root / "etc/kubernetes/super-admin.conf").write_text(
        held.replace("  user:\n", "  user:\n    token: do-not-show-token\n"), encoding="utf-8"
    )
    said = json.dumps(standing.evidence())
    assert "super-admin.conf" in said
    assert "secretbox" in said
    assert "do-not-show" not in said
    keys = [*(root / PKI).rglob("*.key"), root / "var/lib/kubelet/pki/kubelet-client-current.pem"]
    secrets = {
        line for path in keys for line in path.read_text(encoding="ascii").partition("PRIVATE KEY-----")[2].split()
    }
    secrets |= {str(one) for one in re.findall(r"client-key-data: (\S+)", held)}
    assert len(secrets) > 10
    assert [secret for secret in secrets if len(secret) > 20 and secret in said] == []


#: Directories and files that are looked at before a component is known to run.
LOOKED_AT = (
    MANIFESTS, PKI, f"{PKI}/etcd", "etc/cni/net.d", "var/lib/kubelet/pki", "var/lib/kubelet/config.yaml",
    "var/lib/kubelet/kubeadm-flags.env", "etc/default/kubelet", "usr/lib/systemd/system/kubelet.service",
    "usr/lib/systemd/system/kubelet.service.d", "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "etc/hostname", "etc/kubernetes",
)  # fmt: skip


@pytest.mark.parametrize("spoil", [pipe, loop, large, no_text, a_word], ids=lambda one: one.__name__)
@pytest.mark.parametrize("path", LOOKED_AT)
def test_a_host_is_looked_at_whatever_lies_where_its_files_should_be(
    standing: Standing, tmp_path: Path, path: str, spoil: Callable[[Path], None]
) -> None:
    """Nothing of it runs: what a unit and its files say stands in for the process."""
    root = tmp_path / "root"
    shutil.copytree(standing.root, root, symlinks=True)
    place = root / path
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    spoil(place)

    def run(command: list[str]) -> tuple[int, str, str]:
        raise AssertionError(command)

    with at_once():
        found = Collector(View(Host(str(root))), True, None, run, time.time(), time.monotonic).collect()
    assert set(found["components"]) >= {"kube-apiserver", "kube-scheduler"}
