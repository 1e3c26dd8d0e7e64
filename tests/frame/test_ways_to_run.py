# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which people start harden.yml ends well on the demo, under every supported ansible-core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tools.checkout import copy_to
from tools.runs import CORES, Run, ansible

pytestmark = pytest.mark.frame

NEWEST = "2.21"
HOSTS = frozenset({"cp1", "cp2", "cp3", "w1", "w2"})

Programs = Callable[[str], Path]

# How pip reaches its index is the machine's business, and not what is tested.
PIP = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}


#: One of each kind, where it is the way to the hosts that matters and not each of them.
ONE_OF_EACH = ("cp1", "w1")


def ends_well(run: Run, hosts: Iterable[str] = HOSTS) -> Run:
    """The run, of which the recap names every host and no line is a complaint."""
    assert run.code == 0, str(run)
    assert set(run.changed) >= set(hosts), str(run)
    assert not run.complaints, str(run)
    return run


def hardens(
    programs: Path,
    words: Sequence[object],
    directory: Path,
    home: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """A command hardens a control plane and a worker, and ends before it verifies.

    That a run hardens every host, and a second one has nothing to do, is shown under each ansible-core.
    """
    words = [*words, "--limit", ",".join(ONE_OF_EACH), "--skip-tags", "verify"]
    run = ends_well(ansible(programs, words, directory=directory, home=home, environment=environment), ONE_OF_EACH)
    assert all(run.changed[host] > 0 for host in ONE_OF_EACH), str(run)


def test_in_the_checkout(programs: Programs, project: Path, home: Path) -> None:
    """Without -i the inventory is the demo, which ansible.cfg says, so that the bare command is harmless."""
    hardens(programs(NEWEST), ["ansible-playbook", "harden.yml"], project, home)


def test_from_another_directory_without_ansible_cfg(
    programs: Programs, project: Path, home: Path, tmp_path: Path
) -> None:
    """Everything is found from the playbook's own place; reports lie where the command was given."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ["ansible-playbook", "-i", project / "inventories" / "demo", project / "harden.yml"]
    hardens(programs(NEWEST), words, elsewhere, home)
    assert [path.name for path in elsewhere.iterdir()] == ["reports"]


def test_ordinary_user_with_a_fresh_clone(home: Path) -> None:
    """`make demo` needs nobody's privileges, and brings everything that it needs.

    As root another user is taken, who may use the system's Python only: an older one, perhaps, than root's.
    """
    user = 65534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="kubeharden-clone-") as parent:
        clone = Path(parent) / "kubeharden"
        copy_to(clone)
        if user is not None:
            home = Path(parent) / "home"
            home.mkdir()
            subprocess.run(["chown", "--recursive", "--no-dereference", f"{user}:{user}", parent], check=True)
        # The account that stands for the ordinary user has no home in the user database, where Ansible looks.
        environment = {**PIP, "ANSIBLE_REMOTE_TMP": str(home / ".ansible" / "tmp")}

        def run(*words: str) -> Run:
            programs = clone / ".venv" / "bin"
            return ends_well(ansible(programs, words, directory=clone, home=home, user=user, environment=environment))

        demo = run("make", "demo")
        assert all(demo.changed[host] > 0 for host in HOSTS), str(demo)
        again = run("ansible-playbook", "harden.yml", "--skip-tags", "verify")
        assert all(again.changed[host] == 0 for host in HOSTS), str(again)


OWN_PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Judge as verify.yml does
      ansible.builtin.include_role: {name: kubeharden.core.verify}
"""


def test_the_role_that_verifies_from_a_play_of_ones_own(
    programs: Programs, project: Path, home: Path, tmp_path: Path
) -> None:
    """By include_role, beside other playbooks, it says the same as verify.yml, and changes nothing either."""
    own = project / "own.yml"
    own.write_text(OWN_PLAY, encoding="utf-8")
    said = {}
    for playbook in ("verify.yml", "own.yml"):
        report = tmp_path / playbook
        variables = {"kubeharden_report_dir": str(report), "kubeharden_fail_on": "none"}
        words = ["ansible-playbook", project / playbook, "-e", json.dumps(variables)]
        run = ends_well(ansible(programs(NEWEST), words, directory=project, home=home))
        assert set(run.changed.values()) == {0}, str(run)
        results = json.loads((report / "report.json").read_text(encoding="utf-8"))["results"]
        said[playbook] = {(one["host"], one["control"]): one["status"] for one in results}
    assert said["own.yml"] == said["verify.yml"]
    assert {host for host, _control in said["own.yml"]} == {*HOSTS, "cluster"}


@pytest.mark.slow
def test_as_awx_runs_it(programs: Programs, project: Path, home: Path, tmp_path: Path) -> None:
    """A job of AWX, put together as AWX's own source does it (awx/main/tasks/jobs.py, development branch, 2026).

    - `make_local_copy` copies the project without .git into the job's private directory as `project`; symbolic links
      stay links. ansible-runner starts ansible-playbook in it, so the project's ansible.cfg counts.
    - `RunJob.build_env` sets ANSIBLE_COLLECTIONS_PATH, ANSIBLE_ROLES_PATH: the job's requirements_* directory first,
      then what the project's ansible.cfg says, word by word, then the defaults; and a directory for ssh's sockets.
    - `build_args`: `-u root`, `-i` a file of the job's own, `-e @` a file; the playbook's path is relative.
    - The inventory is a script that prints JSON. Its place is not the project's, so the demo's directories are named
      by an extra variable, in which a job template may use a template (ALLOW_JINJA_IN_EXTRA_VARS=template).
    - Before, a project update runs ansible-galaxy over requirements.yml: `test_requirements` below.
    """
    runner = tmp_path / "runner"
    shutil.copytree(project, runner / "project", ignore=shutil.ignore_patterns(".git"), symlinks=True)
    (runner / "cp").mkdir(mode=0o700)
    (runner / "env").mkdir()
    (runner / "inventory").mkdir()
    listed = ansible(
        programs(NEWEST),
        ["ansible-inventory", "-i", "inventories/demo", "--list", "--export"],
        directory=runner / "project",
        home=home,
    )
    assert listed.code == 0, str(listed)
    script = runner / "inventory" / "hosts"
    script.write_text(f"#!/usr/bin/env python3\nprint({json.dumps(json.loads(listed.output))!r})\n", encoding="utf-8")
    script.chmod(0o700)
    variables = {
        "kubeharden_root": f"{runner}/project/build/demo/{{{{ inventory_hostname }}}}",
        "kubeharden_root_seed": f"{runner}/project/inventories/demo/hosts.orig/{{{{ inventory_hostname }}}}",
    }
    (runner / "env" / "extravars").write_text(json.dumps(variables), encoding="utf-8")
    defaults = ("~/.ansible/collections", "/usr/share/ansible/collections")
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": ":".join([str(runner / "requirements_collections"), "collections", *defaults]),
        "ANSIBLE_ROLES_PATH": f"{runner}/requirements_roles:~/.ansible/roles:/usr/share/ansible/roles",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(runner / "cp"),
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_FORCE_COLOR": "False",
        "JOB_ID": "1",
    }
    words = ["ansible-playbook", "-u", "root", "-i", script, "-e", f"@{runner}/env/extravars"]
    hardens(programs(NEWEST), [*words, "harden.yml"], runner / "project", home, environment)
    # The job of docs/schedule.md, with a directory for reports that stays, on hosts that have certificates.
    reports = tmp_path / "reports"
    rotation = ["-e", f"kubeharden_report_dir={reports}", "rotate_certificates.yml"]
    for job, is_changed in ((["harden.yml", "--tags", "pki"], True), (rotation, False)):
        run = ansible(
            programs(NEWEST), [*words, *job], directory=runner / "project", home=home, environment=environment
        )
        ends_well(run)
        assert (run.changed["cp1"] > 0) == is_changed, str(run)
    shown = (reports / "metrics.prom").read_text(encoding="utf-8")
    assert 'kubeharden_certificate_not_after_timestamp_seconds{host="cp1"' in shown


def test_installed_from_a_tarball(programs: Programs, project: Path, home: Path, tmp_path: Path) -> None:
    """Built, installed where nothing else is, run by its full name from an empty directory."""
    built = ansible(
        programs(NEWEST),
        ["ansible-galaxy", "collection", "build", "--output-path", tmp_path / "dist"],
        directory=project,
        home=home,
    )
    assert built.code == 0, str(built)
    assert not built.complaints, str(built)
    (tarball,) = (tmp_path / "dist").iterdir()
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    top = {name.split("/")[0] for name in names}
    assert top >= {"plugins", "roles", "playbooks", "templates", "meta", "MANIFEST.json", "LICENSE", "README.md"}
    assert not top & {
        "tests",
        "tools",
        "build",
        "collections",
        "molecule",
        ".venv",
        ".git",
        "ansible.cfg",
        "Makefile",
    }, top

    collections = tmp_path / "collections"
    installed = ansible(
        programs(NEWEST),
        ["ansible-galaxy", "collection", "install", "--offline", "--collections-path", collections, tarball],
        directory=tmp_path,
        home=home,
        environment={"ANSIBLE_COLLECTIONS_PATH": str(collections)},
    )
    assert installed.code == 0, str(installed)
    assert not installed.complaints, str(installed)

    shutil.copytree(project / "inventories", tmp_path / "mine" / "inventories")
    work = tmp_path / "work"
    work.mkdir()
    words = ["ansible-playbook", "-i", tmp_path / "mine" / "inventories" / "demo", "kubeharden.core.harden"]
    hardens(programs(NEWEST), words, work, home, {"ANSIBLE_COLLECTIONS_PATH": str(collections)})


@pytest.mark.parametrize("core", CORES)
def test_demo_under_every_supported_core(core: str, programs: Programs, project: Path, home: Path) -> None:
    """Each hardens all hosts of the demo and verifies them, without a complaint."""
    run = ends_well(ansible(programs(core), ["ansible-playbook", "harden.yml"], directory=project, home=home))
    assert all(run.changed[host] > 0 for host in HOSTS), str(run)
    assert list((project / "reports").glob("*/report.html")), str(run)


@pytest.mark.parametrize(
    ("core", "hosts"),
    [
        pytest.param(NEWEST, sorted(ONE_OF_EACH), id=f"{NEWEST}-one-of-each"),
        *(pytest.param(core, sorted(HOSTS), id=core, marks=pytest.mark.slow) for core in CORES),
    ],
)
def test_check_run_and_second_run(
    core: str, hosts: list[str], programs: Programs, project: Path, home: Path, tmp_path: Path
) -> None:
    """Check mode foretells what the run does; the run does it; the second run has nothing to do."""
    harden = ["ansible-playbook", "harden.yml", "--diff", "--limit", ",".join(hosts)]

    def changes(name: str, *options: str) -> list[dict[str, object]]:
        report = tmp_path / name
        words = [*harden, *options, "--skip-tags", "verify", "-e", f"kubeharden_report_dir={report}"]
        ends_well(ansible(programs(core), words, directory=project, home=home), hosts)
        listed = json.loads((report / "changes.json").read_text(encoding="utf-8"))["changes"]
        assert isinstance(listed, list)
        return listed

    foretold = changes("check", "--check")
    done = changes("run")
    assert foretold
    assert foretold == done
    assert changes("again") == []


def test_templates_in_a_hosts_file_are_never_evaluated(
    programs: Programs, project: Path, home: Path, tmp_path: Path
) -> None:
    """A manifest is text: what looks like Jinja in it reaches neither the templating nor a shell."""
    proof = tmp_path / "evaluated"
    marker = "# {{ lookup('ansible.builtin.pipe', 'touch " + str(proof) + "') }} {{ marker }} {% raw %}"
    manifests = sorted((project / "inventories" / "demo").glob("**/cp1/**/manifests/kube-apiserver.yaml"))
    assert len(manifests) == 1, manifests
    manifests[0].write_text(f"{marker}\n" + manifests[0].read_text(encoding="utf-8"), encoding="utf-8")
    hardens(programs(NEWEST), ["ansible-playbook", "harden.yml", "--diff", "-vvv"], project, home)
    hardened = sorted((project / "build").glob("**/cp1/**/manifests/kube-apiserver.yaml"))
    assert len(hardened) == 1, hardened
    assert hardened[0].read_text(encoding="utf-8").startswith(f"{marker}\n")
    assert not proof.exists()


@pytest.mark.parametrize("kind", ["collection", "role"])
def test_requirements(kind: str, programs: Programs, project: Path, home: Path) -> None:
    """requirements.yml is valid and needs nothing, so it works without a network."""
    words = ["ansible-galaxy", kind, "install", "-r", "requirements.yml"]
    run = ansible(
        programs(NEWEST),
        words,
        directory=project,
        home=home,
        environment={"ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9"},
    )
    assert run.code == 0, str(run)
    assert not run.complaints, str(run)


def test_entry_playbooks_are_one_line(project: Path) -> None:
    """Each playbook at the root imports the collection's playbook of the same name, and each of those has one."""
    named = {path.stem for path in (project / "playbooks").glob("*.yml")}
    found = {}
    for path in project.glob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, list) and content and "ansible.builtin.import_playbook" in content[0]:
            assert len(content) == 1, path
            found[path.stem] = content[0]["ansible.builtin.import_playbook"]
    assert found == {name: f"kubeharden.core.{name}" for name in named}
    assert "harden" in found
