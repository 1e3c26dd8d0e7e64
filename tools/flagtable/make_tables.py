# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the version tables from the components' own Go code: docs/version_table.md says when and how.

    python3 make_tables.py                     every minor version that is pinned, etcd's too
    python3 make_tables.py 1.37 etcd-3.7       these
    python3 make_tables.py --check             the same, written nowhere; ends with 1 where a committed table differs
    python3 make_tables.py --pin 1.37.1        pin a patch release of Kubernetes, and the etcd that its kubeadm asks for

Needs Go and modules from the Go module proxy. One minor version is compiled in minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TABLES = HERE.parents[1] / "plugins" / "module_utils" / "components" / "tables"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
#: Go files that are added to a copy of etcd's package etcdmain, whose flag set is out of reach otherwise.
ADDED = HERE / "etcd" / "added"

Data = dict[str, Any]


class ToolError(Exception):
    """Something that the person at the terminal must read."""


def go(words: list[str], folder: Path, mode: str = "readonly") -> str:
    """Run the go command in a folder and return what it printed."""
    settings = {
        "CGO_ENABLED": "0",
        "GOFLAGS": f"-buildvcs=false -trimpath -mod={mode} {os.environ.get('GOFLAGS', '')}".strip(),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    done = subprocess.run(
        ["go", *words], cwd=folder, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise ToolError(f"go {' '.join(words)} ended with {done.returncode}")
    return done.stdout


def required(pinned: Path, module: str) -> str:
    """The version of a module, without v, that a .mod file requires."""
    match = re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", pinned.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ToolError(f"{pinned} requires no {module}")
    return match.group(1)


def module_folder(module: str, version: str) -> Path:
    """Where Go keeps the source of a module; it is downloaded when need be."""
    found = json.loads(go(["mod", "download", "-json", f"{module}@v{version}"], Path("/"), "mod"))
    return Path(found["Dir"])


# ---- pinning ---------------------------------------------------------------------------------------------------------


def pin(release: str) -> None:
    """Write the .mod files of a patch release of Kubernetes and of its etcd.

    k8s.io/kubernetes requires its staging modules at v0.0.0 and replaces them by its own folders; who requires it from
    outside must name their real versions.
    """
    minor, patch = release.rsplit(".", 1)[0], release.split(".", 1)[1]
    source = module_folder("k8s.io/kubernetes", release)
    original = (source / "go.mod").read_text(encoding="utf-8")
    staging = sorted(set(re.findall(r"^\s+(k8s\.io/[a-z0-9-]+) v0\.0\.0(?:\s|$)", original, re.MULTILINE)))
    language = re.search(r"^go (\S+)", original, re.MULTILINE)
    if not staging or language is None:
        raise ToolError(f"k8s.io/kubernetes v{release} has a go.mod of another form")
    _pin(
        "kubernetes",
        minor,
        language.group(1),
        {"k8s.io/kubernetes": release},
        [f"{module} => {module} v0.{patch}" for module in staging],
    )
    _pin_etcd(etcd_of(source))


def _pin_etcd(release: str) -> None:
    """Several minor versions of Kubernetes share one of etcd; its newest patch release stands for all."""
    minor = release.rsplit(".", 1)[0]
    pinned_file = HERE / "etcd" / "versions" / f"{minor}.mod"
    modules = ("go.etcd.io/etcd/pkg/v3", "go.etcd.io/etcd/server/v3")
    if pinned_file.exists():
        release = max(release, required(pinned_file, modules[1]), key=lambda one: int(one.rpartition(".")[2]))
    _pin("etcd", minor, "1.24.0", dict.fromkeys(modules, release), [])


def etcd_of(kubernetes: Path) -> str:
    """The etcd that kubeadm of this source installs."""
    constants = kubernetes / "cmd" / "kubeadm" / "app" / "constants" / "constants.go"
    match = re.search(r'^\s*DefaultEtcdVersion = "([0-9.]+)-', constants.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ToolError(f"{constants} names no etcd")
    return match.group(1)


def _pin(product: str, minor: str, language: str, requirements: Mapping[str, str], replaced: list[str]) -> None:
    folder = HERE / product
    lines = [f"module kubeharden.invalid/flagtable/{product}", "", f"go {language}", "", "require ("]
    lines += [f"\t{module} v{version}" for module, version in requirements.items()] + [")", ""]
    if replaced:
        lines += ["replace (", *(f"\t{line}" for line in replaced), ")", ""]
    (folder / "versions" / f"{minor}.mod").write_text("\n".join(lines), encoding="utf-8")
    go(["mod", "tidy", f"-modfile=versions/{minor}.mod"], folder, "mod")


# ---- making ----------------------------------------------------------------------------------------------------------


def pinned() -> list[str]:
    """What can be made: minor versions of Kubernetes, and etcd-3.5 and the like."""
    found = [
        (product, path) for product in ("kubernetes", "etcd") for path in (HERE / product / "versions").glob("*.mod")
    ]
    names = [path.stem if product == "kubernetes" else f"etcd-{path.stem}" for product, path in found]
    return sorted(names, key=lambda name: (name.startswith("etcd"), int(name.rpartition(".")[2])))


def make(name: str) -> tuple[Path, str]:
    """The file of a table, and its text."""
    with tempfile.TemporaryDirectory(prefix="flagtable-") as scratch:
        if name.startswith("etcd-"):
            return TABLES / f"{name}.json", text_of(_etcd(name.split("-")[1], Path(scratch)))
        return TABLES / f"kubernetes-{name}.json", text_of(_kubernetes(name, Path(scratch)))


def _kubernetes(minor: str, scratch: Path) -> Data:
    folder = HERE / "kubernetes"
    modfile = folder / "versions" / f"{minor}.mod"
    tags = [f"-tags=minor{minor.split('.')[1]}"]
    go(["build", f"-modfile={modfile}", *tags, "-ldflags=-s -w", "-o", f"{scratch}/", "./..."], folder)
    known = {component: _said(scratch / component) for component in COMPONENTS}
    release = required(modfile, "k8s.io/kubernetes")
    return {
        "version": release,
        "etcd": etcd_of(module_folder("k8s.io/kubernetes", release)),
        "flags": {component: one["flags"] for component, one in known.items()},
        "gates": gates({component: one["gates"] for component, one in known.items()}),
        "plugins": known["kube-apiserver"]["plugins"],
        "fields": {kind: fields for one in known.values() for kind, fields in one.get("fields", {}).items()},
    }


def _etcd(minor: str, scratch: Path) -> Data:
    """etcd keeps its flag set to itself, so its module is copied, two files are added, and the copy is compiled."""
    folder = HERE / "etcd"
    modfile = folder / "versions" / f"{minor}.mod"
    release = required(modfile, "go.etcd.io/etcd/server/v3")
    source = scratch / "server"
    shutil.copytree(module_folder("go.etcd.io/etcd/server/v3", release), source)
    for path in [source, *source.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    for name, added in (("flagtable", "flagtable"), ("gates", "no_gates" if minor == "3.5" else "gates")):
        shutil.copyfile(ADDED / f"{added}.go.txt", source / "etcdmain" / f"added_{name}.go")
    replaced = f"\nreplace go.etcd.io/etcd/server/v3 => {source}\n"
    (scratch / "go.mod").write_text(modfile.read_text(encoding="utf-8") + replaced, encoding="utf-8")
    shutil.copyfile(modfile.with_suffix(".sum"), scratch / "go.sum")
    words = ["build", f"-modfile={scratch / 'go.mod'}", "-ldflags=-s -w", "-o", str(scratch / "etcd"), "."]
    go(words, folder, "mod")
    known = _said(scratch / "etcd")
    return {"version": release, "flags": {"etcd": known["flags"]}, "gates": known["gates"]}


def _said(program: Path) -> Data:
    """What one of the programs writes; a program that panics says why on standard error."""
    done = subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{program.name} ended with {done.returncode}")
    answer: Data = json.loads(done.stdout)
    if answer["component"] != program.name:
        raise ToolError(f"{program.name} calls itself {answer['component']}")
    return answer


def gates(known: Mapping[str, Mapping[str, Data]]) -> Data:
    """The gates of all components, which share their code.

    ``without`` names the components that lack a gate, ``inverted`` those whose default is the other one.
    """
    merged: Data = {}
    for name in sorted({name for gates_of in known.values() for name in gates_of}):
        has = {component: gates_of[name] for component, gates_of in known.items() if name in gates_of}
        if len({(gate["stage"], gate.get("locked", False)) for gate in has.values()}) > 1:
            raise ToolError(f"the feature gate {name} is not the same everywhere: {has}")
        defaults = [gate["default"] for gate in has.values()]
        usual = max(defaults, key=defaults.count)
        merged[name] = {**next(iter(has.values())), "default": usual}
        without = [component for component in known if component not in has]
        inverted = [component for component, gate in has.items() if gate["default"] != usual]
        merged[name].update({key: names for key, names in (("without", without), ("inverted", inverted)) if names})
    return merged


# ---- writing ---------------------------------------------------------------------------------------------------------


def text_of(table: Data) -> str:
    """A table as JSON with one line for each entry, sorted, so that a change of version is read as a diff."""
    return "{\n" + ",\n".join(_section(name, value) for name, value in table.items()) + "\n}\n"


def _section(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"{json.dumps(name)}: {json.dumps(value)}"
    return f"{json.dumps(name)}: {{\n" + ",\n".join(_entries(value)) + "\n}"


def _entries(values: Data) -> Iterator[str]:
    for name, value in sorted(values.items()):
        if any(isinstance(one, dict) for one in value.values()):
            yield _section(name, value)
        else:
            yield f"{json.dumps(name)}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the version tables from the components' own Go code.")
    parser.add_argument("tables", nargs="*", metavar="MINOR", help="such as 1.37 or etcd-3.7; all that are pinned")
    parser.add_argument("--check", action="store_true", help="write nothing, end with 1 where a table differs")
    parser.add_argument("--pin", metavar="RELEASE", help="pin a patch release of Kubernetes, such as 1.37.1")
    options = parser.parse_args()
    try:
        if options.pin:
            pin(options.pin)
            return 0
        return _make_all(options.tables or pinned(), options.check)
    except ToolError as error:
        print(f"make_tables: {error}", file=sys.stderr)
        return 1


def _make_all(names: list[str], check: bool) -> int:
    differing = 0
    for name in names:
        path, text = make(name)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        same = before == text
        differing += not same
        print(f"{path.name}: {'as committed' if same else 'differs' if check else 'written'}", flush=True)
        if not check and not same:
            path.write_text(text, encoding="utf-8")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
