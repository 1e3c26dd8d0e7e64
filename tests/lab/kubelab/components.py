# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of a cluster, compiled from the Go modules that ``modules/`` pins.

``modules/kubernetes-<minor>/go.mod`` is the one place that says which patch release a minor version means. etcd and
CoreDNS have a module per minor version too, since each kubeadm asks for its own; whether they agree is checked when
the images are made. kube-bench, the pause program and the test pod's program serve every version.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.kubelab.base import MODULES, LabError, cache_dir, run, say
from lab.kubelab.cache import GIB, entry, key_of, require_free

KUBERNETES = "kubeadm kubectl kube-apiserver kubelet kube-controller-manager kube-scheduler kube-proxy".split()
KUBE_BENCH = "github.com/aquasecurity/kube-bench"

PACKAGES = {
    "kubernetes": {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES},
    "etcd": {
        "etcd": "go.etcd.io/etcd/server/v3",
        "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
        "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
    },
    "coredns": {"coredns": "github.com/coredns/coredns"},
}
"""module kind -> program -> Go package"""

TOOLS = {"kube-bench": KUBE_BENCH, "pause": ".", "probe": "."}
"""module -> Go package; the program has the module's name"""

BUILD_SPACE = 16 * GIB
"""Go's caches grow to 5 GiB for one version and 9 GiB for two; the programs of one version take 0.7 GiB."""


def minors() -> list[str]:
    """The minor versions that the lab can make, the newest first."""
    found = [path.name.split("-")[1] for path in MODULES.glob("kubernetes-*")]
    return sorted(found, key=lambda minor: int(minor.split(".")[1]), reverse=True)


def version_of(minor: str) -> str:
    """The patch release of a minor version, such as v1.37.1 for 1.37.

    :raises LabError: the lab has no such version.
    """
    return required("kubernetes", minor, "k8s.io/kubernetes")


def required(kind: str, minor: str, module: str) -> str:
    """The version of a module that ``modules/<kind>-<minor>/go.mod`` requires."""
    path = MODULES / f"{kind}-{minor}" / "go.mod"
    if not path.exists():
        raise LabError(f"Kubernetes {minor}: the lab has {', '.join(minors())}")
    match = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise LabError(f"{path}: no {module}")
    return match.group(1)


def programs(minor: str) -> Path:
    """The directory with this version's programs, compiled when the cache doesn't have them."""
    version_of(minor)
    return entry("programs", minor, _key(minor), BUILD_SPACE, lambda target: _build(minor, target))


def tools() -> Path:
    """The directory with the programs that serve every version, and kube-bench's checks in ``kube-bench-cfg``."""
    return entry("programs", "tools", _key("tools"), BUILD_SPACE, _build_tools)


def _key(name: str) -> str:
    names = TOOLS if name == "tools" else [f"{kind}-{name}" for kind in PACKAGES]
    return key_of(*(MODULES / module for module in names))


def cached(name: str) -> bool:
    """Are the programs of a minor version, or ``tools``, compiled already?"""
    return (cache_dir() / "programs" / f"{name}-{_key(name)}").is_dir()


def build(wanted: list[str]) -> None:
    """Compile what is missing of these versions with one pair of Go caches, removed afterwards."""
    with go_caches():
        for minor in wanted:
            programs(minor)
        tools()


@contextlib.contextmanager
def go_caches() -> Iterator[None]:
    """Go's caches, below the lab's own and gone afterwards, unless KUBEHARDEN_GO_CACHE says otherwise.

    ``keep`` stands for the user's own; a directory is used and left, so that several builds can share it.
    The module cache is read-only by design; Go itself takes it away.
    """
    chosen = os.environ.get("KUBEHARDEN_GO_CACHE")
    if chosen == "keep" or "GOMODCACHE" in _GO:
        yield
        return
    with contextlib.ExitStack() as stack:
        folder = chosen and os.path.abspath(chosen)
        if not folder:
            cache_dir().mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(prefix=".go-", dir=cache_dir(), ignore_cleanup_errors=True)
            folder = stack.enter_context(temporary)
        _GO.update(GOMODCACHE=f"{folder}/mod", GOCACHE=f"{folder}/build")
        try:
            yield
        finally:
            if not chosen and shutil.which("go"):
                run(["go", "clean", "-modcache"], check=False, env=_environment())
            _GO.clear()


_GO: dict[str, str] = {}


def _environment() -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -trimpath -mod=readonly", "GOWORK": "off"}
    return {**os.environ, **fixed, "GOTOOLCHAIN": "local", **_GO}


def _build(minor: str, target: Path) -> None:
    version = version_of(minor)
    stamps = ["-X k8s.io/component-base/version.gitTreeState=clean"]
    # Without these the programs call themselves v0.0.0-master, and kubeadm and kubectl refuse each other.
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in (("Version", version), ("Major", "1"), ("Minor", minor.split(".")[1])):
            stamps.append(f"-X {package}.git{name}={value}")
    with go_caches():
        # One call for all seven: while one is linked on a single core, the next is compiled.
        _compile(MODULES / f"kubernetes-{minor}", list(PACKAGES["kubernetes"].values()), f"{target}/", stamps)
        for kind in ("etcd", "coredns"):
            for program, package in PACKAGES[kind].items():
                _compile(MODULES / f"{kind}-{minor}", [package], target / program, [])


def _build_tools(target: Path) -> None:
    with go_caches():
        for module, package in TOOLS.items():
            _compile(MODULES / module, [package], target / module, [])
        listed = run(["go", "list", "-m", "-f", "{{.Dir}}", KUBE_BENCH], cwd=MODULES / "kube-bench", env=_environment())
        shutil.copytree(Path(listed.stdout.strip()) / "cfg", target / "kube-bench-cfg")
    for path in (target / "kube-bench-cfg").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (target / "kube-bench-cfg").chmod(0o755)


def compile_alone(module: Path, output: Path) -> None:
    """Compile the one program of a module that is none of the lab's, with the lab's caches of Go."""
    with go_caches():
        _compile(module, ["."], output, [])


def _compile(module: Path, packages: list[str], output: Path | str, stamps: list[str]) -> None:
    """Compile packages of a module into ``output``: a program, or a directory when it ends in a slash."""
    if shutil.which("go") is None:
        raise LabError("go is not on PATH: the lab compiles its components once")
    started = time.monotonic()
    # What is stripped in the end need not be made: a seventh of the work. Without inlining a quarter less again.
    command = ["go", "build", "-gcflags=all=-dwarf=false -l", "-ldflags", " ".join(["-s -w", *stamps])]
    command += ["-o", str(output), *packages]
    run(command, cwd=module, env=_environment())
    what = Path(output).name if len(packages) == 1 else f"{len(packages)} programs"
    say(f"lab: compiled {module.name}: {what} in {time.monotonic() - started:.0f} s")


def pin(version: str) -> None:
    """Write the modules of a Kubernetes version such as 1.37.1: for whoever moves the lab to another patch release.

    k8s.io/kubernetes requires its staging modules at v0.0.0 and replaces them by its own folders; who requires it from
    outside must name their real versions. etcd's and CoreDNS's versions are those that its kubeadm asks for.
    """
    minor = version.rsplit(".", 1)[0]
    with go_caches():
        require_free(cache_dir() if cache_dir().exists() else Path("/"), 8 * GIB)
        environment = {**_environment(), "GOFLAGS": "-buildvcs=false -trimpath -mod=mod"}
        downloaded = run(
            ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"], env=environment, cwd=Path("/")
        )
        found = json.loads(downloaded.stdout)
        original = Path(found["GoMod"]).read_text(encoding="utf-8")
        staging = sorted(set(re.findall(r"^\s+(k8s\.io/[a-z0-9-]+) v0\.0\.0(?:\s|$)", original, re.MULTILINE)))
        replaced = [f"{module} => {module} v0.{version.split('.', 1)[1]}" for module in staging]
        packages = list(PACKAGES["kubernetes"].values())
        _write_module(f"kubernetes-{minor}", {"k8s.io/kubernetes": f"v{version}"}, packages, replaced, environment)
        constants = (Path(found["Dir"]) / "cmd/kubeadm/app/constants/constants.go").read_text(encoding="utf-8")
        for kind, pattern in (
            ("etcd", r'DefaultEtcdVersion = "([0-9.]+)'),
            ("coredns", r'CoreDNSVersion = "v([0-9.]+)'),
        ):
            match = re.search(pattern, constants)
            if match is None:
                raise LabError(f"kubeadm {version} names no version of {kind}")
            packages = list(PACKAGES[kind].values())
            _write_module(f"{kind}-{minor}", dict.fromkeys(packages, f"v{match.group(1)}"), packages, [], environment)


def _write_module(
    name: str, requirements: dict[str, str], packages: list[str], replaced: list[str], environment: dict[str, str]
) -> None:
    folder = MODULES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = [f"module kubeharden.invalid/lab/{name}", "", "go 1.24.0", "", "require ("]
    lines += [f"\t{module} {version}" for module, version in requirements.items()] + [")"]
    if replaced:
        lines += ["", "replace ("] + [f"\t{line}" for line in replaced] + [")"]
    lines += ["", "tool ("] + [f"\t{package}" for package in packages] + [")", ""]
    (folder / "go.mod").write_text("\n".join(lines), encoding="utf-8")
    run(["go", "mod", "tidy"], cwd=folder, env=environment)
