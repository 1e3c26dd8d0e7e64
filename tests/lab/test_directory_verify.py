# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""harden.yml ends with what verify.yml does, and verify.yml on files that nobody should have, on directories."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from pathlib import Path

import pytest
import yaml

from lab.standing import start_all
from lab.test_directory_hosts import Hosts
from tools.checkout import ROOT
from tools.runs import ansible


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_run_verifies_at_its_end_and_check_mode_judges_what_is_there_now(hosts: Hosts) -> None:
    state = hosts.state()
    foretold = hosts.harden("--check", verified=True)
    assert foretold.code == 0, str(foretold)
    assert not foretold.complaints, str(foretold)
    assert hosts.state() == state
    expected = hosts.changes
    assert hosts.verdicts is not None
    # Modes of files are judged on a directory too; the package lays this one open, and a run closes it.
    assert hosts.verdicts["w1"]["files-kubelet-unit"] == "fail"
    # The run will mend it, so the console only counts it.
    assert "Judged as it is now, before what check mode foretells" in foretold.output
    assert "Failed, severity" not in foretold.output

    done = hosts.harden(verified=True)
    assert done.code == 0, str(done)
    assert not done.complaints, str(done)
    assert hosts.changes == expected
    assert set(hosts.verdicts) == {*hosts.names, "cluster"}
    assert hosts.verdicts["w1"]["files-kubelet-unit"] == "pass"
    assert done.output.index("changes.json") < done.output.index("report.html")

    state = hosts.state()
    again = hosts.harden("--limit", "w1", verified=True)
    assert again.code == 0, str(again)
    assert set(hosts.verdicts) == {"w1", "cluster"}
    assert hosts.state() == state


def test_it_verifies_where_the_tag_is_wanted(hosts: Hosts) -> None:
    other = hosts.harden("--tags", "audit", "--limit", "w1", verified=True)
    assert other.code == 0, str(other)
    assert hosts.verdicts is None
    alone = hosts.harden("--tags", "verify", "--limit", "w1", verified=True)
    assert alone.code == 0, str(alone)
    assert hosts.changes == []
    assert hosts.verdicts is not None


def test_findings_end_it_with_an_error_where_the_user_says_so_and_waivers_hold_by_ansibles_patterns(
    hosts: Hosts,
) -> None:
    """What a directory cannot show is unknown, which counts; the work is done all the same."""
    waiver = {
        "control": "files-kubelet-unit",
        "hosts": "all:!cp1",
        "reason": "until the package is rebuilt",
        "owner": "ops",
        "expires": "2099-12-31",
    }
    run = hosts.harden(verified=True, fail_on="high", waivers=[waiver])
    assert run.code == 2, str(run)
    assert "results of severity high or above failed or could not be judged" in run.output
    assert {change["host"] for change in hosts.changes} == set(hosts.names)
    assert hosts.verdicts is not None
    found = {host: hosts.verdicts[host]["files-kubelet-unit"] for host in hosts.names}
    assert found == {"cp1": "pass", "cp2": "waived", "w1": "waived"}


def test_a_catalogue_that_is_none_stops_the_run_before_its_first_write(hosts: Hosts) -> None:
    catalogue = hosts.directory / "mine.yml"
    catalogue.write_text("controls: [{id: x}]\n", encoding="utf-8")
    state = hosts.state()
    run = hosts.harden(verified=True, controls_files=[str(catalogue)])
    assert run.code == 2, str(run)
    assert "mine.yml" in run.output
    assert "Nothing was changed" in run.output
    assert hosts.state() == state


LARGE = 2 << 30
NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def spoil(hosts: Hosts) -> None:
    """A pipe, a loop, a file of 2 GiB, text that is no UTF-8, a certificate that is none: where files are read."""
    cp1, cp2, w1 = (hosts.root(name) for name in hosts.names)
    for path in (cp1 / "var/lib/kubelet/config.yaml", cp1 / "etc/kubernetes/manifests/kube-scheduler.yaml"):
        path.unlink()
        os.mkfifo(path)
    (cp1 / "etc/kubernetes/pki").mkdir(exist_ok=True)
    os.mkfifo(cp1 / "etc/kubernetes/pki/pipe.crt")
    with (cp2 / "var/lib/kubelet/config.yaml").open("r+b") as handle:
        handle.truncate(LARGE)
    with (cp2 / "etc/kubernetes/manifests/etcd.yaml").open("r+b") as handle:
        handle.truncate(LARGE)
    (cp2 / "etc/kubernetes/manifests/kube-scheduler.yaml").write_bytes(b"kind: Pod # caf\xe9\n")
    (w1 / "etc/kubernetes/pki").mkdir(exist_ok=True)
    (w1 / "etc/kubernetes/pki/none.crt").write_text(NO_CERTIFICATE, encoding="utf-8")
    (w1 / "var/lib/kubelet/config.yaml").unlink()
    (w1 / "var/lib/kubelet/config.yaml").symlink_to("config.yaml")


class Verified:
    """A run of verify.yml on directories, with the directory of its reports."""

    def __init__(self, hosts: Hosts, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.report = hosts.directory / "verified"
        variables = {"kubeharden_report_dir": str(self.report), "kubeharden_fail_on": "none"}
        words = ["ansible-playbook", "-i", hosts.inventory, ROOT / "verify.yml", "-e", json.dumps(variables)]
        self.run = ansible(
            Path(sys.executable).parent,
            [*words, *arguments],
            directory=hosts.directory,
            home=hosts.home,
            environment=environment,
        )

    @property
    def results(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads((self.report / "report.json").read_text(encoding="utf-8"))["results"]
        return found


def test_what_nobody_should_have_is_a_finding_or_unknown_and_never_waited_for(hosts: Hosts) -> None:
    spoil(hosts)
    state = hosts.state()
    verified = Verified(hosts)
    assert verified.run.code == 0, str(verified.run)
    assert "Traceback" not in verified.run.output
    results = verified.results
    said = {(one["host"], one["control"]): (one["status"], one["evidence"]) for one in results}
    for (host, control), status, reason in (
        (("cp1", "manifests-directory"), "fail", "no regular file"),
        (("cp1", "certificates-keys"), "unknown", "no regular file"),
        (("cp2", "manifests-directory"), "fail", "no UTF-8 text"),
        (("cp2", "manifests-directory"), "fail", "larger than"),
        (("w1", "certificates-keys"), "fail", "none.crt"),
    ):
        assert (said[host, control][0], reason in said[host, control][1]) == (status, True), said[host, control]
    # What the kubelet would read cannot be read, so nothing of it is a pass.
    kubelet = [one for one in results if one["control"].startswith("kubelet-") and one["host"] in hosts.names]
    assert {one["status"] for one in kubelet} <= {"unknown", "not_applicable"}
    assert hosts.state() == state


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: ""}}]
users: [{name: u, user: {token: do-not-show-token, password: do-not-show-password}}]
"""
ENCRYPTION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: [{resources: [secrets], providers: [{aescbc: {keys: [{name: k, secret: do-not-show-encryption}]}}]}]
"""


def plant(root: Path) -> None:
    """Secrets where a control plane has them, and one where somebody put it by mistake."""
    pki = root / "etc/kubernetes/pki"
    pki.mkdir(exist_ok=True)
    for name in ("ca.key", "sa.key", "apiserver.key"):
        (pki / name).write_text(f"-----BEGIN PRIVATE KEY-----\ndo-not-show-{name}\n-----END PRIVATE KEY-----\n")
    for name in ("admin.conf", "scheduler.conf"):
        (root / "etc/kubernetes" / name).write_text(KUBECONFIG)
    (root / "etc/kubernetes/encryption.yaml").write_text(ENCRYPTION)
    (root / "etc/kubernetes/tokens.csv").write_text("do-not-show-static,user,1\n")
    manifests = root / "etc/kubernetes/manifests"
    (manifests / "notes.txt").write_text("password: do-not-show-note\n")
    manifest = yaml.safe_load((manifests / "kube-apiserver.yaml").read_text(encoding="utf-8"))
    manifest["spec"]["containers"][0]["command"] += [
        "--encryption-provider-config=/etc/kubernetes/encryption.yaml",
        "--token-auth-file=/etc/kubernetes/tokens.csv",
    ]
    (manifests / "kube-apiserver.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")


#: What a file says that a component was given is looked at where the component runs. So the module is started by an
#: interpreter in which the directory has processes, from a tree of the form of /proc (lab.standing).
WITH_PROCESSES = """\
import importlib.abc, importlib.util, sys

NAME = "ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view"


def see_processes(self):
    module = sys.modules[NAME]
    if self.host.path("/").rstrip("/") == {root!r}:
        self.proc = {proc!r}
        self.processes = {{one.name: one for one in module.processes.all_processes(self.proc)}}
    return ""


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            if module.__name__ == NAME:  # an archive has one loader for all of its modules
                module.View.see_processes = see_processes

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
"""


def interpreter(directory: Path, root: Path, pause: int = 0) -> Path:
    """Make a Python that sees the processes of a directory that stands for a host, after a pause.

    :param pause: in seconds; a module may be over between two looks at the machine's processes.
    """
    proc, hooks = directory / "proc", directory / "hooks"
    start_all(root, proc)
    hooks.mkdir()
    text = WITH_PROCESSES.format(root=str(root), proc=str(proc))
    (hooks / "sitecustomize.py").write_text(text, encoding="utf-8")
    program = directory / "python-with-processes"
    words = f'#!/bin/sh\nsleep {pause}\nPYTHONPATH={hooks} exec {sys.executable} "$@"\n'
    program.write_text(words, encoding="utf-8")
    program.chmod(0o755)
    return program


def reads_what_was_planted(verified: Verified) -> None:
    """The files were opened, or what they hold would be hidden by nobody's doing."""
    said = {one["control"]: one["evidence"] for one in verified.results if one["host"] == "cp1"}
    assert said["apiserver-encryption"] == "/etc/kubernetes/encryption.yaml: Secrets are written by aescbc"
    assert "--token-auth-file=/etc/kubernetes/tokens.csv" in said["apiserver-static-tokens"]


class Sampler(threading.Thread):
    """Looks at the arguments and environments of all processes of this machine, over and over.

    ``seen`` are the names of the modules that were among them, ``shown`` what of a secret was.
    """

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret
        self._done = threading.Event()
        self.seen: set[str] = set()
        self.shown: list[str] = []

    def run(self) -> None:
        while not self._done.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self._look((process / name).read_bytes())

    def _look(self, data: bytes) -> None:
        self.seen.update(word.decode() for word in re.findall(rb"AnsiballZ_(\w+)", data))
        if self._secret in data:
            self.shown.append(data.decode("utf-8", "replace")[:300])

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_arguments: object) -> None:
        self._done.set()
        self.join()


def lacks(said: str) -> None:
    """What was planted is not in a text; where it is, the text around it is shown."""
    assert "do-not-show" not in said, said[max(0, said.index("do-not-show") - 300) :][:600]


def test_no_secret_is_shown_at_any_verbosity(hosts: Hosts) -> None:
    """In what is printed, with Ansible's own debugging too, in the reports, in what modules leave, and in processes."""
    plant(hosts.root("cp1"))
    remote = hosts.directory / "remote"
    environment = {"ANSIBLE_DEBUG": "1", "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TMP": str(remote)}
    python = interpreter(hosts.directory, hosts.root("cp1"), pause=1)
    with Sampler(b"do-not-show") as sampler:
        verified = Verified(
            hosts, "-vvvv", "--check", "--diff", "-e", f"ansible_python_interpreter={python}", environment=environment
        )
    assert verified.run.code == 0, verified.run.output[-4000:]
    reads_what_was_planted(verified)
    assert "verify_host" in sampler.seen
    assert sampler.shown == []
    lacks(verified.run.output)
    for path in verified.report.iterdir():
        lacks(path.read_text(encoding="utf-8"))
    left = [path for path in remote.rglob("*") if path.is_file()]
    assert left
    for path in left:
        lacks(path.read_bytes().decode("latin-1"))


def test_no_secret_is_in_the_cache_of_facts(hosts: Hosts) -> None:
    """Nothing of what is seen becomes a fact; that facts would be kept is shown by one that is gathered."""
    plant(hosts.root("cp1"))
    cache = hosts.directory / "facts"
    environment = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache)}
    gathered = ansible(
        Path(sys.executable).parent,
        ["ansible", "-i", hosts.inventory, "w1", "-m", "ansible.builtin.setup", "-a", "gather_subset=!all,!min"],
        directory=hosts.directory,
        home=hosts.home,
        environment=environment,
    )
    assert gathered.code == 0, str(gathered)
    assert len(list(cache.rglob("*w1"))) == 1
    python = interpreter(hosts.directory, hosts.root("cp1"))
    verified = Verified(hosts, "-e", f"ansible_python_interpreter={python}", environment=environment)
    assert verified.run.code == 0, verified.run.output[-4000:]
    reads_what_was_planted(verified)
    for path in cache.rglob("*"):
        text = path.read_text(encoding="utf-8")
        lacks(text)
        assert "verify_host" not in text
        assert "evidence" not in text
