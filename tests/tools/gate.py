# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of `make lint` and `make sanity`, one line each: name, verdict, how much was looked at, how long it took.

A gate that looked at nothing fails, and so does one that looked at less than git knows of.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tools.checkout import ROOT, copy_to, find_python, pythons, tracked, venv

T = TypeVar("T")

COLLECTION = "kubeharden.core"
SANITY = ROOT / "build" / "sanity"

# What a kubeadm wrote and what tests read is kept as it was found: it is evidence, not our YAML.
FOREIGN = ("inventories/demo/hosts.orig/", "tests/unit/fixtures/")

# Versions of cryptography between the oldest and the newest, each a group of pyproject.toml, and the Pythons of hosts.
BETWEEN = ("36", "38", "41", "43")
HOST_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


class GateError(Exception):
    """The gate is closed. The message is what the tool said."""


def run(command: Sequence[str | Path], **environment: str) -> str:
    """Run a command in the checkout and return what it printed. Raises GateError when it ends with an error."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=environment.pop("cwd", str(ROOT)),
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GateError(f"$ {' '.join(map(str, command))[:300]}\n{done.stdout}(ended with {done.returncode})")
    return done.stdout


def interpreter(path: str) -> str:
    """Name of the program in a file's first line (bash, sh, python3), or an empty string."""
    file = ROOT / path
    if file.is_symlink() or not file.is_file() or not os.access(file, os.X_OK):
        return ""
    with file.open("rb") as stream:
        first = stream.readline(200).decode("utf-8", "replace")
    return Path(first.split()[-1]).name if first.startswith("#!") and len(first.split()) > 0 else ""


def python_files() -> list[str]:
    """Every file of Python, also those without a suffix."""
    return [path for path in tracked() if path.endswith(".py") or interpreter(path).startswith("python")]


def yaml_files() -> list[str]:
    """Every file of YAML that is ours."""
    return [
        path
        for path in tracked()
        if (path.endswith((".yml", ".yaml")) or path in (".yamllint", ".ansible-lint"))
        and not path.startswith(FOREIGN)
        and not (ROOT / path).is_symlink()
    ]


def shell_files() -> list[str]:
    """Every shell script."""
    return [path for path in tracked() if path.endswith(".sh") or interpreter(path) in ("sh", "bash", "dash")]


def some(files: Sequence[T], what: str) -> Sequence[T]:
    """The files as they are; raises GateError when there is none."""
    if not files:
        raise GateError(f"no {what} was found, so nothing was checked")
    return files


def at_least(output: str, pattern: str, wanted: int) -> int:
    """The number in a tool's output of how many files it read; raises GateError when fewer than wanted."""
    match = re.search(pattern, output)
    if not match or int(match.group(1)) < wanted:
        raise GateError(f"{output}\n{wanted} files were to be read; the tool does not say that it read as many")
    return int(match.group(1))


def ruff() -> str:
    """Style, likely mistakes and format."""
    files = some(python_files(), "Python file")
    run(["ruff", "check", "--quiet", *files])
    run(["ruff", "format", "--check", "--quiet", *files])
    return f"{len(files)} files"


def mypy() -> str:
    """Types. Plugins are read under the names by which Ansible imports them."""
    files = python_files()
    plugins = some([path for path in files if path.startswith("plugins/")], "plugin")
    tests = some([path for path in files if not path.startswith("plugins/")], "test")
    success = r"no issues found in (\d+) source file"
    output = run(["mypy", "-p", f"ansible_collections.{COLLECTION}.plugins"], MYPYPATH=str(ROOT / "collections"))
    at_least(output, success, len(plugins))
    output = run(["mypy", "--scripts-are-modules", *tests])
    at_least(output, success, len(tests))
    return f"{len(plugins)} + {len(tests)} files"


def yamllint() -> str:
    """Form of YAML."""
    files = some(yaml_files(), "YAML file")
    run(["yamllint", "--strict", *files])
    return f"{len(files)} files"


def shellcheck() -> str:
    """Likely mistakes in shell scripts."""
    files = some(shell_files(), "shell script")
    run(["shellcheck", "--external-sources", *files])
    return f"{len(files)} files"


def ansible_lint() -> str:
    """Profile production, with no way round a rule: no skip list, no ignore file, no comment that silences one."""
    settings = (ROOT / ".ansible-lint").read_text(encoding="utf-8")
    excuses = [f".ansible-lint: {word}" for word in ("skip_list", "warn_list") if word in settings]
    excuses += [path for path in tracked() if Path(path).name in (".ansible-lint-ignore", "ansible-lint-ignore.txt")]
    for path in yaml_files():
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"#\s*noqa|skip_ansible_lint", line):
                excuses.append(f"{path}:{number}: {line.strip()}")
    if excuses:
        raise GateError("a rule is silenced:\n" + "\n".join(excuses))
    ours = [path for path in yaml_files() if path.startswith(("playbooks/", "roles/"))]
    some(ours, "playbook or role")
    # It links the collection into Ansible's home, which is not to be the user's.
    output = run(["ansible-lint", "--offline", "--nocolor"], ANSIBLE_HOME=str(ROOT / "build" / "ansible-home"))
    read = at_least(output, r"in (\d+) files processed", len(ours))
    return f"{read} files"


def entries(kind: str) -> list[str]:
    """Full names of the collection's modules, filters or roles, from their files."""
    if kind == "role":
        return [f"{COLLECTION}.{path.parent.name}" for path in sorted(ROOT.glob("roles/*/meta"))]
    folder = {"module": "modules", "filter": "filter"}[kind]
    return [f"{COLLECTION}.{path.stem}" for path in sorted(ROOT.glob(f"plugins/{folder}/*.py")) if path.stem[0] != "_"]


def ansible_doc() -> str:
    """Everything that a user can name has documentation that ansible-doc can show."""
    counts = []
    for kind in ("module", "role", "filter"):
        names = entries(kind)
        if kind != "filter":
            some(names, kind)
        if not names:
            continue
        output = run(["ansible-doc", "--type", kind, "--json", *names])
        # ansible-core 2.21 warns that it finds no version of a collection of its own.
        output = "\n".join(line for line in output.splitlines() if "/ansible/_protomatter'" not in line)
        try:
            shown = json.loads(output)
        except ValueError as error:
            # It warns on the same stream and ends well.
            warnings = [line for line in output.splitlines() if line.startswith("[")]
            raise GateError("\n".join(warnings) or output[-2000:]) from error
        missing = [
            name for name in names if not (shown.get(name) or {}).get("entry_points" if kind == "role" else "doc")
        ]
        if missing:
            raise GateError(f"{kind}s without documentation: {', '.join(missing)}")
        run(["ansible-doc", "--type", kind, *names])
        counts.append(f"{len(names)} {kind}{'s' if len(names) != 1 else ''}")
    return ", ".join(counts)


def changelog() -> str:
    """Fragments that a release can be made from."""
    fragments = some([path for path in tracked() if path.startswith("changelogs/fragments/")], "changelog fragment")
    run(["antsibull-changelog", "lint"])
    return f"{len(fragments)} fragments"


def copy_for_ansible_test() -> tuple[Path, int]:
    """A copy of what git knows of, at a path that ansible-test accepts. Returns it and the number of its files."""
    base = ROOT / "build" / "ansible_collections"
    target = base / "kubeharden" / "core"
    shutil.rmtree(base, ignore_errors=True)
    files = copy_to(target, leave_out=("collections/",))
    # Without a repository of its own ansible-test would ask the one around it, which ignores build/.
    run(["git", "init", "--quiet"], cwd=str(target))
    return target, files


def prepare_ansible_test() -> dict[str, str]:
    """The environment in which ansible-test makes its virtual environments without leaving this machine.

    It looks for each Python by name, and fetches pip from a site of its own unless the script is in its cache: there
    the standard library's copy does the same.
    """
    names = SANITY / "bin"
    shutil.rmtree(names, ignore_errors=True)
    names.mkdir(parents=True)
    for version, path in pythons():
        name = names / ("python" + version.rpartition(".")[0])
        if not name.exists():
            name.symlink_to(path)
    home = SANITY / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    packaged = Path(run([sys.executable, "-c", "import ansible_test; print(ansible_test.__path__[0])"]).strip())
    pip = re.search(r"pip='([0-9.]+)'", (packaged / "_internal" / "python_requirements.py").read_text(encoding="utf-8"))
    if not pip:
        raise GateError("this ansible-test does not say which pip it wants: tests/tools/gate.py has to learn how")
    script = cache / f"get_pip_{pip.group(1).replace('.', '_')}.py"
    script.write_text("import ensurepip\n\nensurepip.bootstrap()\n", encoding="utf-8")
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{names}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": os.devnull,
    }


def target_venv(version: str) -> Path:
    """An environment with the libraries that a host has from its distribution: on Python 3.9 the oldest of them."""
    python = find_python(version)
    if not python:
        raise GateError(f"no Python {version} was found")
    group = "oldest-target" if version == "3.9" else "target"
    return venv(f"{group}-{version}", group, python)


def give_libraries(environment: Mapping[str, str]) -> None:
    """Put PyYAML and cryptography where the test "import" runs: a host has them from its distribution."""
    run(["ansible-test", "sanity", "--local", "--color", "no", "--test", "import", "--prime-venvs"], **environment)
    environments = Path(environment["HOME"]) / ".ansible" / "test" / "venv"
    # For modules, and for what runs on the controller.
    bare = sorted(
        [*environments.glob("sanity/3.*/*/bin/python"), *environments.glob("sanity.import*/3.*/*/bin/python")]
    )
    for python in some(bare, "environment of ansible-test"):
        version = python.parents[2].name
        libraries = target_venv(version)
        packages = f"lib/python{version}/site-packages"
        (python.parents[1] / packages / "libraries.pth").write_text(f"{libraries / packages}\n", encoding="utf-8")


def sanity() -> str:
    """Every test of ansible-test sanity that runs without a container; the others are named."""
    target, files = copy_for_ansible_test()
    environment = {**prepare_ansible_test(), "cwd": str(target)}
    give_libraries(environment)
    listed = run(["ansible-test", "sanity", "--list-tests", "--allow-disabled"], **environment)
    known = re.findall(r"^[a-z0-9-]+$", listed, re.MULTILINE)
    output = run(["ansible-test", "sanity", "--local", "--color", "no"], **environment)
    ran = set(re.findall(r'Running sanity test "([a-z0-9-]+)"', output))
    some(sorted(ran), "sanity test")
    left_out = [f"{name} (needs a container or is off by default)" for name in known if name not in ran]
    left_out += sorted(set(re.findall(r'^WARNING: Skipping sanity test (".*)$', output, re.MULTILINE)))
    for reason in left_out:
        print(f"                left out: {reason}")
    return f"{len(ran)} tests, {files} files"


def pytest_unit(python: str | Path, files: Sequence[str] = ("tests/unit",), wanted: str = "") -> str:
    """Run the unit tests that are wanted, in pytest's words: by default the environment's WANTED, or all but slow ones.

    pytest's own lines are shown: they say what was skipped and why.
    """
    wanted = wanted or os.environ.get("WANTED", "not slow")
    command = [str(python), "-m", "pytest", *files, "-m", wanted]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise GateError("see above")
    return f"{len([path for path in python_files() if path.startswith('tests/unit/')])} files"


def unit() -> str:
    """Tests of pure logic."""
    return pytest_unit(sys.executable)


def unit_oldest() -> str:
    """The same on the oldest Python, PyYAML and cryptography that a host may have."""
    if not find_python("3.9") and os.environ.get("CI") != "true":
        return "left out: no Python 3.9"
    return pytest_unit(target_venv("3.9") / "bin" / "python")


def certificate_tests() -> list[str]:
    """The unit tests in which cryptography is at work, but the kills: those are about the file system."""
    words = ("cryptography", "module_utils.pki", "rollout.directories")
    found = [path for path in tracked() if re.fullmatch(r"tests/unit/.*/test_\w+\.py", path)]
    found = [path for path in found if not path.endswith("/test_killed.py")]
    return [path for path in found if any(word in (ROOT / path).read_text(encoding="utf-8") for word in words)]


def unit_libraries() -> str:
    """The tests of certificates on the cryptography of distributions in between, under every Python of a host.

    All pairs are tried, and those that fail are named together.
    """
    tests = some(certificate_tests(), "test of certificates")
    found = [(version, python) for version in HOST_PYTHONS if (python := find_python(version)) is not None]
    if os.environ.get("CI") == "true" and len(found) < len(HOST_PYTHONS):
        raise GateError(f"of Python {', '.join(HOST_PYTHONS)} only {', '.join(name for name, _path in found)} is here")
    failed = []
    for version, python in found:
        for library in BETWEEN:
            print(f"===> Python {version}, cryptography {library}", flush=True)
            try:
                environment = venv(f"target-{library}-{version}", f"target-{library}", python)
                pytest_unit(environment / "bin" / "python", tests, "not slow")
            except (GateError, subprocess.CalledProcessError):
                failed.append(f"Python {version} with cryptography {library}")
    if failed:
        raise GateError(f"see above: {', '.join(failed)}")
    return f"{len(tests)} files, {len(found) * len(BETWEEN)} pairs"


GATES: dict[str, Callable[[], str]] = {
    "ruff": ruff,
    "mypy": mypy,
    "yamllint": yamllint,
    "shellcheck": shellcheck,
    "ansible-lint": ansible_lint,
    "ansible-doc": ansible_doc,
    "changelog": changelog,
    "sanity": sanity,
    "unit": unit,
    "unit-oldest": unit_oldest,
    "unit-libraries": unit_libraries,
}


def main() -> int:
    """Run the gates named; all of them, in order, without a name. Ends with 1 when one is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gates", nargs="*", metavar="GATE", help=f"one of: {', '.join(GATES)}")
    names = parser.parse_args().gates or list(GATES)
    unknown = [name for name in names if name not in GATES]
    if unknown:
        parser.error(f"no such gate: {', '.join(unknown)}")
    closed = 0
    for name in names:
        start = time.monotonic()
        try:
            verdict, looked_at = "ok", GATES[name]()
        except GateError as error:
            print(error)
            verdict, looked_at = "FAILED", ""
            closed += 1
        print(f"{name:15} {verdict:7} {looked_at:24} {time.monotonic() - start:6.1f} s", flush=True)
    return 1 if closed else 0


if __name__ == "__main__":
    sys.exit(main())
