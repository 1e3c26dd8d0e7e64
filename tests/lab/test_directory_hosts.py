# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""harden.yml on directories that stand for hosts: what would harm a living kubelet, and what needs none.

Needs neither a cluster nor root.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
from ansible_collections.kubeharden.core.plugins.module_utils.pki import keys
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import secret_lines
from lab.product import messages_of
from tools.checkout import ROOT
from tools.runs import Run, ansible

SEEDS = ROOT / "inventories" / "demo" / "hosts.orig"
MANIFESTS = "etc/kubernetes/manifests"
APISERVER = f"{MANIFESTS}/kube-apiserver.yaml"

INVENTORY = """\
all:
  children:
    kube_control_plane:
      hosts:
        cp1:
        cp2:
    kube_node:
      hosts:
        w1:
  vars:
    ansible_connection: local
    ansible_python_interpreter: {python}
    kubeharden_root: "{roots}/{{{{ inventory_hostname }}}}"
"""


def _forms(line: str) -> list[str]:
    """A line as it is, and what of it stands in the base64 of any text that has it, wherever that begins."""
    return [line, *(base64.b64encode(line[begin : begin + 27].encode("ascii")).decode("ascii") for begin in range(3))]


class Hosts:
    """Three directories that begin as kubeadm's hosts, and runs of harden.yml on them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.roots = directory / "roots"
        self.names = ("cp1", "cp2", "w1")
        self.inventory = directory / "inventory.yml"
        self.inventory.write_text(INVENTORY.format(python=sys.executable, roots=self.roots), encoding="utf-8")
        self.home = directory / "home"
        self.home.mkdir()
        self.report = directory / "report"
        for name in self.names:
            open_host(str(self.roots / name), str(SEEDS / name), False, lambda: str(directory))
            (self.roots / name / "run").mkdir(exist_ok=True)

    def root(self, host: str) -> Path:
        return self.roots / host

    def harden(
        self,
        *arguments: str,
        before: tuple[str, ...] = (),
        strict: bool = True,
        verified: bool = False,
        **variables: object,
    ) -> Run:
        """Run harden.yml; parameters as for play.

        :param verified: whether the run verifies at its end, which takes some seconds.
        """
        words = arguments if verified else ("--skip-tags", "verify", *arguments)
        return self.play("harden.yml", *words, before=before, strict=strict, **variables)

    def play(
        self, playbook: str, *arguments: str, before: tuple[str, ...] = (), strict: bool = True, **variables: object
    ) -> Run:
        """Run a playbook.

        :param before: words before the command.
        :param strict: whether what looks like a template outside of a playbook is an error to Ansible.
        :param variables: of the playbook, without the prefix ``kubeharden_``.
        """
        shutil.rmtree(self.report, ignore_errors=True)
        named: dict[str, object] = {"kubeharden_report_dir": str(self.report)}
        named.update({f"kubeharden_{name}": value for name, value in variables.items()})
        words = [*before, "ansible-playbook", "-i", self.inventory, ROOT / playbook, "-e", json.dumps(named)]
        return ansible(
            Path(sys.executable).parent,
            [*words, *arguments],
            directory=self.directory,
            home=self.home,
            environment={} if strict else {"_ANSIBLE_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR": "ignore"},
        )

    @property
    def verdicts(self) -> dict[str, dict[str, str]] | None:
        """By host and control, the statuses of report.json; None where the run did not verify."""
        path = self.report / "report.json"
        if not path.exists():
            return None
        found: dict[str, dict[str, str]] = {}
        for one in json.loads(path.read_text(encoding="utf-8"))["results"]:
            found.setdefault(one["host"], {})[one["control"]] = one["status"]
        return found

    @property
    def changes(self) -> list[dict[str, Any]]:
        listed = json.loads((self.report / "changes.json").read_text(encoding="utf-8"))["changes"]
        assert isinstance(listed, list)
        return listed

    def keys(self) -> dict[str, list[str]]:
        """By file of a host, as in ``cp1/etc/kubernetes/pki/sa.key``, the lines of the private keys in it."""
        found: dict[str, list[str]] = {}
        for path in self.roots.rglob("*"):
            data = path.read_bytes() if path.is_file() else b""
            embedded = re.findall(rb"client-key-data: (\S+)", data)
            if lines := secret_lines(b"".join([data, *map(base64.b64decode, embedded)])):
                found[str(path.relative_to(self.roots))] = lines
        return found

    def keys_told(self, run: Run) -> list[str]:
        """The files of hosts of whose private keys a line can be read off the controller.

        That is from the run's output and all that it left beside the hosts; a line may be encoded once more.
        """
        left = (path for path in self.directory.rglob("*") if path.is_file() and self.roots not in path.parents)
        told = "".join([run.output, *(path.read_text(encoding="utf-8", errors="replace") for path in left)])
        return [
            name for name, lines in self.keys().items() if any(form in told for line in lines for form in _forms(line))
        ]

    def state(self) -> dict[str, tuple[int, ...]]:
        """Inode, times, size, mode and owner of everything on the hosts, but the lock below /run."""
        found: dict[str, tuple[int, ...]] = {}
        for folder, names, files in os.walk(self.roots):
            names[:] = [name for name in names if name != "run"]
            for name in (*names, *files):
                path = os.path.join(folder, name)
                status = os.lstat(path)
                found[path] = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid)
        return found


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_key_that_the_controller_is_told_is_seen(hosts: Hosts) -> None:
    """What is looked for after runs, in each form in which it may be there."""
    key, other = keys.generate("RSA-2048"), keys.generate("ECDSA-P256")
    pem = keys.private_pem(key).decode()
    (hosts.root("cp1") / "etc/a.key").write_text(pem, encoding="ascii")
    embedded = base64.b64encode(keys.private_pem(other)).decode()
    (hosts.root("cp1") / "etc/a.conf").write_text(f"    client-key-data: {embedded}\n", encoding="ascii")
    public = "".join(keys.public_pem(one).decode() for one in (key, other))
    assert hosts.keys_told(Run("", 0, public)) == []
    assert hosts.keys_told(Run("", 0, json.dumps({"msg": pem}))) == ["cp1/etc/a.key"]
    for begin in range(3):
        told = base64.b64encode(b"." * begin + pem.encode()).decode()
        assert hosts.keys_told(Run("", 0, told)) == ["cp1/etc/a.key"], begin
    assert hosts.keys_told(Run("", 0, embedded)) == ["cp1/etc/a.conf"]
    (hosts.directory / "left").write_text(pem, encoding="ascii")
    assert hosts.keys_told(Run("", 0, "quiet")) == ["cp1/etc/a.key"]


def refused(run: Run, host: str, *words: str) -> None:
    """The run ended with code 2 and one message, on one host, which has the words."""
    assert run.code == 2, str(run)
    messages = messages_of(run)
    assert set(messages) == {host}, str(run)
    for word in words:
        assert word in messages[host], messages[host]
    assert "Traceback" not in run.output


def test_a_run_hardens_and_a_second_one_has_nothing_to_do(hosts: Hosts) -> None:
    """So that the refusals below are not those of hosts that could never be hardened."""
    first = hosts.harden()
    assert first.code == 0, str(first)
    assert {change["host"] for change in hosts.changes} == set(hosts.names)
    state = hosts.state()
    second = hosts.harden()
    assert second.code == 0, str(second)
    assert second.changed == dict.fromkeys(hosts.names, 0), str(second)
    assert hosts.changes == []
    assert hosts.state() == state


@pytest.mark.parametrize("batch", [None, "100%"])
def test_a_node_that_fails_leaves_those_of_the_next_batch_untouched(hosts: Hosts, batch: str | None) -> None:
    """The kubelet of w1 would not read its new flags, which only its own task sees."""
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("        w1:\n", "        w1:\n        w2:\n"), encoding="utf-8")
    shutil.copytree(hosts.root("w1"), hosts.root("w2"), symlinks=True)
    for drop_in in hosts.root("w1").rglob("10-kubeadm.conf"):
        drop_in.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/kubelet\n", encoding="utf-8")

    def second() -> dict[str, tuple[int, ...]]:
        return {path: found for path, found in hosts.state().items() if path.startswith(str(hosts.root("w2")))}

    before = second()
    variables: dict[str, Any] = {} if batch is None else {"batch": batch}
    run = hosts.harden("--tags", "kubelet", extra_flags={"kubelet": {"v": "3"}}, **variables)
    refused(run, "w1", "KH122")
    assert ("w2" in {change["host"] for change in hosts.changes}) == (batch is not None)
    assert (second() == before) == (batch is None)


def test_each_batch_of_nodes_asks_the_control_plane_that_speaks_to_renew_the_lock(hosts: Hosts) -> None:
    """No lock of a cluster is taken on directories, so its age is said here; what renews a Lease stands by itself."""
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("        w1:\n", "        w1:\n        w2:\n"), encoding="utf-8")
    shutil.copytree(hosts.root("w1"), hosts.root("w2"), symlinks=True)
    run = hosts.harden("--tags", "discover", "-e", "__discover_lock_age=301")
    assert run.code == 0, str(run)
    renewed = re.findall(r"^TASK \[[^\n]*\| Renew the lock of the cluster[^\n]*\n(.*)$", run.output, re.MULTILINE)
    assert renewed == ["ok: [w1 -> cp1]", "ok: [w2 -> cp1]"], str(run)
    assert hosts.changes == []


def _with_flag(hosts: Hosts, host: str, flag: str) -> None:
    path = hosts.root(host) / APISERVER
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("    - kube-apiserver\n", f"    - kube-apiserver\n    - {flag}\n"), encoding="utf-8")


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_what_one_control_plane_could_not_become_ends_the_run_before_any_is_changed(
    hosts: Hosts, arguments: tuple[str, ...]
) -> None:
    """Of all of them at once, though nothing is tried."""
    for host in ("cp1", "cp2"):
        # The owner's own contradiction: neither list is the run's to decide.
        _with_flag(hosts, host, "--disable-admission-plugins=PodNodeSelector")
        manifest = hosts.root(host) / APISERVER
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("=NodeRestriction", "=NodeRestriction,PodNodeSelector"), encoding="utf-8")
    before = hosts.state()
    run = hosts.harden(*arguments, trial=False)
    assert run.code == 2, str(run)
    messages = messages_of(run)
    assert set(messages) == {"cp1", "cp2"}, str(run)
    for host, message in messages.items():
        assert message.startswith("KH008"), message
        assert "PodNodeSelector" in message
        assert f"Nothing was changed on {host}" in message
    assert hosts.state() == before
    assert hosts.changes == []
    assert not any((hosts.root(name) / "run/kubeharden/lock").exists() for name in hosts.names)


@pytest.mark.slow
def test_forks_1_changes_the_same(hosts: Hosts) -> None:
    foretold = hosts.harden("--check")
    assert foretold.code == 0, str(foretold)
    expected = hosts.changes
    # Nor is a lock taken to look.
    assert not any((hosts.root(name) / "run/kubeharden").exists() for name in hosts.names)
    done = hosts.harden("--forks", "1")
    assert done.code == 0, str(done)
    assert hosts.changes == expected != []


def _remove(manifest: Path) -> None:
    manifest.unlink()


def _without(component: str) -> Callable[[Path], None]:
    """What removes the manifest of another component."""
    return lambda manifest: manifest.with_name(f"{component}.yaml").unlink()


def _no_yaml(manifest: Path) -> None:
    manifest.write_text("apiVersion: v1\nkind: Pod\nspec: [unclosed\n", encoding="utf-8")


def _no_pod(manifest: Path) -> None:
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\n", encoding="utf-8")


def _a_list(manifest: Path) -> None:
    manifest.write_text("- a\n- b\n", encoding="utf-8")


def _no_container(manifest: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers: []\n"
    manifest.write_text(text, encoding="utf-8")


def _no_text(manifest: Path) -> None:
    manifest.write_bytes(b"\xff\xfe\x00kind: Pod\n")


def _a_copy_beside_it(manifest: Path) -> None:
    shutil.copy2(manifest, manifest.with_name("kube-apiserver.yaml.bak"))


def _a_fifo(manifest: Path) -> None:
    """No manifest: the kubelet does not read it either, and a run must not wait for its other end."""
    manifest.unlink()
    os.mkfifo(manifest)


SPOILT: tuple[tuple[Callable[[Path], None], str], ...] = (
    (_remove, "there is no kube-apiserver manifest in /etc/kubernetes/manifests"),
    (_no_yaml, "/etc/kubernetes/manifests/kube-apiserver.yaml is no YAML"),
    (_no_pod, "/etc/kubernetes/manifests/kube-apiserver.yaml is no Pod"),
    (_a_list, "/etc/kubernetes/manifests/kube-apiserver.yaml is no Pod"),
    (_no_container, "/etc/kubernetes/manifests/kube-apiserver.yaml is a Pod without containers"),
    (_no_text, "kube-apiserver.yaml is no UTF-8 text"),
    (_a_copy_beside_it, "kube-apiserver.yaml.bak both define kube-apiserver"),
    (_a_fifo, "there is no kube-apiserver manifest in /etc/kubernetes/manifests"),
    (_without("kube-controller-manager"), "there is no kube-controller-manager manifest in /etc/kubernetes/manifests"),
    (_without("kube-scheduler"), "there is no kube-scheduler manifest in /etc/kubernetes/manifests"),
    (_without("etcd"), "there is no etcd manifest in /etc/kubernetes/manifests"),
)


def test_a_manifest_that_cannot_be_understood_stops_the_run_before_the_first_write(hosts: Hosts) -> None:
    """Each way to be no manifest on a control plane of its own; the first one, which is well, stays as it is."""
    spoilt = {f"cp{number}": way for number, way in enumerate(SPOILT, start=11)}
    text = hosts.inventory.read_text(encoding="utf-8")
    named = "".join(f"        {name}:\n" for name in spoilt)
    hosts.inventory.write_text(text.replace("        cp2:\n", f"        cp2:\n{named}"), encoding="utf-8")
    for name, (spoil, _words) in spoilt.items():
        shutil.copytree(hosts.root("cp2"), hosts.root(name), symlinks=True)
        spoil(hosts.root(name) / APISERVER)
    state = hosts.state()
    run = hosts.harden("--forks", "10")
    assert run.code == 2, str(run)
    messages = messages_of(run)
    assert set(messages) == set(spoilt), str(run)
    for name, (_spoil, words) in spoilt.items():
        assert words in messages[name], messages[name]
        assert "othing was changed" in messages[name], messages[name]
    assert "Traceback" not in run.output
    assert hosts.state() == state


def test_unknown_variables_stop_the_run_and_the_nearest_names_are_shown(hosts: Hosts) -> None:
    """On the command line and of one host in the inventory."""
    text = hosts.inventory.read_text(encoding="utf-8").replace("        w1:\n", "        w1: {kubeharden_rot: /}\n")
    hosts.inventory.write_text(text, encoding="utf-8")
    state = hosts.state()
    run = hosts.harden("-e", "kubeharden_profle=cis", "-e", "kubeharden_gatetimeout=3")
    refused(
        run,
        "cp1",
        "There is no variable kubeharden_gatetimeout; the nearest is kubeharden_gate_timeout.",
        "There is no variable kubeharden_profle; the nearest is kubeharden_profile.",
        "There is no variable kubeharden_rot; the nearest is kubeharden_root.",
        "Nothing was changed",
    )
    assert hosts.state() == state
    assert not hosts.report.exists()


@pytest.mark.parametrize("playbook", ["harden.yml", "verify.yml"])
def test_a_group_that_the_inventory_has_not_stops_the_run(hosts: Hosts, playbook: str) -> None:
    before = hosts.state()
    run = hosts.play(playbook, control_plane_group="masters")
    assert run.code == 2, str(run)
    assert "KH013: kubeharden_control_plane_group: the inventory has no group masters." in run.output
    text = hosts.inventory.read_text(encoding="utf-8")
    renamed = text.replace("kube_control_plane:", "masters:").replace("kube_node:", "workers:")
    hosts.inventory.write_text(renamed, encoding="utf-8")
    run = hosts.play(playbook)
    assert run.code == 2, str(run)
    assert "KH013: No host is in one of the inventory's groups kube_control_plane, etcd, kube_node;" in run.output
    hosts.inventory.write_text(text.replace("kube_control_plane:", "kube_control_planes:"), encoding="utf-8")
    run = hosts.play(playbook)
    assert run.code == 2, str(run)
    assert "KH013: The inventory has no group kube_control_plane, and cp1, cp2 in none of the groups" in run.output
    assert hosts.state() == before


NODES_ALONE = "so that this run was about nodes alone. What is in the API was not touched: kube-proxy, and kubeadm's"


@pytest.mark.slow
def test_a_control_plane_that_somebody_else_keeps_is_not_applicable_and_that_is_said(hosts: Hosts) -> None:
    """Nodes alone are hardened; the API is asked where a kubeconfig on a node is named."""
    text = hosts.inventory.read_text(encoding="utf-8")
    planes = "    kube_control_plane:\n      hosts:\n        cp1:\n        cp2:\n"
    assert planes in text
    hosts.inventory.write_text(text.replace(planes, ""), encoding="utf-8")
    run = hosts.harden(verified=True, profile="cis")
    assert run.code == 0, str(run)
    assert {change["host"] for change in hosts.changes} == {"w1"}
    assert run.output.count(NODES_ALONE) == 1, str(run)
    assert hosts.verdicts is not None
    assert set(hosts.verdicts) == {"w1", "cluster"}
    # Only a process says its version, and a directory has none.
    unknown = {control for control, status in hosts.verdicts["cluster"].items() if status == "unknown"}
    assert unknown == {"versions-patched", "versions-supported"}
    assert hosts.verdicts["cluster"]["rbac-secrets"] == "not_applicable"
    asked = hosts.play("verify.yml", kubeconfig="/nowhere/admin.conf", fail_on="none")
    assert asked.code == 0, str(asked)
    assert hosts.verdicts["cluster"]["rbac-secrets"] == "unknown"
    through = hosts.harden("--check", profile="cis", kubeconfig="/nowhere/admin.conf")
    assert through.code == 0, str(through)
    assert "so that this run was about nodes, and about kube-proxy through w1 (kubeharden_kubeconfig)" in through.output
    assert "kube-system/kube-proxy and the DaemonSet were not touched, which takes a running" in through.output


@pytest.mark.parametrize(
    "there", [pytest.param(False, marks=pytest.mark.slow, id="none"), pytest.param(True, id="left away")]
)
def test_kubelets_ask_without_a_control_plane_where_somebody_else_approves(hosts: Hosts, there: bool) -> None:
    """Seen by a kubelet that serves what it asked for. Before, nobody is known to, and that is said.

    Where control planes are only left away it was perhaps Kubeharden that approved, which it cannot in this run.
    """
    told = "nobody is known to approve their requests"
    text = hosts.inventory.read_text(encoding="utf-8").replace("w1:", "w1:\n        w2:")
    if not there:
        for line in ("    kube_control_plane:\n      hosts:\n", "        cp1:\n", "        cp2:\n"):
            text = text.replace(line, "", 1)
    limit = ("--limit", "w1,w2") if there else ()
    hosts.inventory.write_text(text, encoding="utf-8")
    open_host(str(hosts.root("w2")), str(SEEDS / "w2"), False, lambda: str(hosts.directory))
    (hosts.root("w2") / "run").mkdir(exist_ok=True)

    def asking(run: Run) -> set[str]:
        assert run.code == 0, str(run)
        return {change["host"] for change in hosts.changes if "+serverTLSBootstrap" in change["diff"]}

    nobody = hosts.harden("--check", *limit, profile="cis")
    assert asking(nobody) == set()
    assert told in nobody.output
    pem = hosts.root("w1") / "var/lib/kubelet/pki/kubelet-server-current.pem"
    pem.parent.mkdir(parents=True, exist_ok=True)
    pem.write_text("x", encoding="utf-8")
    configuration = hosts.root("w1") / "var/lib/kubelet/config.yaml"
    with configuration.open("a", encoding="utf-8") as file:
        file.write("serverTLSBootstrap: true\n")
    somebody = hosts.harden("--check", *limit, profile="cis")
    assert asking(somebody) == (set() if there else {"w2"})
    assert (told in somebody.output) is there
    assert asking(hosts.harden("--check", *limit)) == (set() if there else {"w2"})


@pytest.mark.slow
def test_kubelets_ask_in_profile_baseline_where_an_approver_runs_already(hosts: Hosts) -> None:
    """Seen as above. What this run makes them ask for it approves itself, later runs their renewals by its record."""

    def asking(*words: str) -> set[str]:
        run = hosts.harden("--check", "--tags", "kubelet", *words)
        assert run.code == 0, str(run)
        return {change["host"] for change in hosts.changes if "+serverTLSBootstrap" in change["diff"]}

    assert asking() == set()
    pem = hosts.root("w1") / "var/lib/kubelet/pki/kubelet-server-current.pem"
    pem.parent.mkdir(parents=True, exist_ok=True)
    pem.write_text("x", encoding="utf-8")
    with (hosts.root("w1") / "var/lib/kubelet/config.yaml").open("a", encoding="utf-8") as file:
        file.write("serverTLSBootstrap: true\n")
    assert asking() == {"cp1", "cp2"}
    assert asking("--limit", "cp1,w1") == {"cp1"}
    # Nobody is known to approve there.
    assert asking("--limit", "cp1") == set()


@pytest.mark.slow
def test_hosts_in_a_group_that_is_misspelt_are_left_alone_and_named(hosts: Hosts) -> None:
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("kube_node:", "kube_nodes:"), encoding="utf-8")
    run = hosts.harden("--check")
    assert run.code == 0, str(run)
    assert "w1 of the inventory: in none of the groups kube_control_plane, etcd, kube_node" in run.output
    assert {change["host"] for change in hosts.changes} == {"cp1", "cp2"}


def test_the_settings_of_a_run_are_those_of_the_clusters_hosts_whoever_is_first_in_the_inventory(hosts: Hosts) -> None:
    """A bastion has no variables of the cluster's groups. Something in them that is refused shows who was asked."""
    text = hosts.inventory.read_text(encoding="utf-8")
    text = text.replace("all:\n", "all:\n  hosts: {a-bastion: }\n", 1).replace(
        "        cp2:\n", '        cp2:\n      vars: {kubeharden_newest_versions: {"1.37": newest}}\n', 1
    )
    hosts.inventory.write_text(text, encoding="utf-8")
    for playbook in ("harden.yml", "verify.yml"):
        run = hosts.play(playbook)
        assert run.code == 2, str(run)
        assert "KH006: kubeharden_newest_versions: 1.37: newest says no patch" in run.output, str(run)


def test_a_file_that_is_missing_hides_nothing_else_that_keeps_the_run_from_beginning(hosts: Hosts) -> None:
    before = hosts.state()
    plugins = [{"name": "ImagePolicyWebhook", "path": "/etc/kubernetes/no.yaml"}]
    run = hosts.harden(admission_plugins_extra=plugins, extra_flags={"kube-apiserver": {"token-auth-file": "/no.csv"}})
    assert run.code == 2, str(run)
    for host in ("cp1", "cp2"):
        message = messages_of(run)[host]
        assert "KH011: kubeharden_admission_plugins_extra names /etc/kubernetes/no.yaml, which is not on" in message
        assert "--token-auth-file of kube-apiserver names /no.csv" in message
    assert hosts.state() == before


def test_extra_flags_that_cannot_be_done_stop_the_run(hosts: Hosts) -> None:
    flags = {
        "kube-apiservr": {"v": "2"},
        "kube-apiserver": {"--v": "2", "encryption_provider_config": "/x", "feature-gates": ["A=true"]},
        "kube-scheduler": ["v"],
    }
    state = hosts.state()
    run = hosts.harden(extra_flags=flags)
    refused(
        run,
        "cp1",
        "there is no component kube-apiservr; the nearest is kube-apiserver",
        "write v instead of --v",
        "encryption-provider-config is refused",
        "kube-apiserver feature-gates takes one value and no list",
        "kube-scheduler must be a mapping of flag to value",
        "Nothing was changed",
    )
    assert hosts.state() == state


def test_what_the_running_version_does_not_know_stops_the_run_all_problems_at_once(hosts: Hosts) -> None:
    flags = {
        "kube-apiserver": {
            "audit-log-maxagee": "30",
            "request-timeout": "30",
            "enable-admission-plugins": "NodeRestriction,PodSecurityPolicy",
            "feature-gates": "NoSuchGate=true",
        },
        "kube-scheduler": {"no-such-flag": True},
    }
    state = hosts.state()
    run = hosts.harden(extra_flags=flags)
    assert run.code == 2, str(run)
    for host, message in messages_of(run).items():
        for words in (
            "has no flag --audit-log-maxagee; the nearest that it has is --audit-log-maxage.",
            "--request-timeout=30 is not a duration such as 1h30m or 45s.",
            "has no admission plugin PodSecurityPolicy (--enable-admission-plugins); the nearest that it has is",
            "has no feature gate NoSuchGate",
            "has no flag --no-such-flag",
            f"Nothing was changed on {host}",
        ):
            assert words in message, str(run)
    assert set(messages_of(run)) == {"cp1", "cp2"}
    assert hosts.state() == state


@pytest.mark.parametrize("playbook", ["harden.yml", "verify.yml", "rollback.yml"])
def test_a_value_outside_of_the_specification_stops_the_run(hosts: Hosts, playbook: str) -> None:
    """Said once for all hosts, and of a host's own with its name."""
    text = hosts.inventory.read_text(encoding="utf-8")
    own = "        w1: {kubeharden_gate_timeout: 5m}\n"
    hosts.inventory.write_text(text.replace("        w1:\n", own), encoding="utf-8")
    state = hosts.state()
    run = hosts.play(playbook, profile="strict", extra_flags="foo")
    refused(
        run,
        "cp1",
        "KH016: ",
        "kubeharden_profile is strict; it must be one of baseline, cis.",
        "kubeharden_extra_flags is none; it must be a mapping.",
        "kubeharden_gate_timeout of w1 is 5m; it must be a whole number from 1 on.",
        "Nothing was",
    )
    assert "argument_errors" not in run.output
    assert len(run.output) < 8192, str(run)
    assert hosts.state() == state


@pytest.mark.parametrize(
    ("playbook", "option", "words"),
    [
        ("harden.yml", ("--tags", "audits"), "KH017: --tags: there is no tag audits; the nearest is audit."),
        ("harden.yml", ("--skip-tags", "discover"), "KH017: --skip-tags: discover is part of every run"),
        ("rollback.yml", ("--skip-tags", "discover"), "KH017: --skip-tags: discover is part of every run"),
        ("verify.yml", ("--skip-tags", "verfy"), "KH017: --skip-tags: there is no tag verfy; the nearest is verify."),
    ],
)
def test_a_tag_with_which_nothing_would_be_done_stops_the_run(
    hosts: Hosts, playbook: str, option: tuple[str, str], words: str
) -> None:
    state = hosts.state()
    refused(hosts.play(playbook, *option), "cp1", words, "Nothing was")
    assert hosts.state() == state


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        ({"profle": "cis"}, "KH001"),
        ({"profile": "strict"}, "KH016"),
        ({"waivers": [{"control": "no-such", "reason": "x", "owner": "x", "expires": "2999-01-01"}]}, "KH004"),
        ({"run_id": "../x"}, "KH005"),
    ],
)
def test_no_host_is_looked_at_where_the_check_before_it_fails(
    hosts: Hosts, variables: dict[str, Any], number: str
) -> None:
    """Nor is any other than the first host of a group, whose API server would get the marker."""
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("        cp1:\n        cp2:\n", "        cp2:\n        cp1:\n"), "utf-8")
    run = hosts.play("verify.yml", probe_writes=True, **variables)
    refused(run, "cp2", number, "Nothing was looked at")
    assert "Name the run and check" in run.output
    assert "Look at each host" not in run.output, str(run)


def _in_a_mount_namespace(script: str) -> tuple[str, ...]:
    """Words that run a command after a shell script, whose mounts nobody else sees and which end with it."""
    mapping = () if os.geteuid() == 0 else ("--map-root-user",)
    return ("unshare", "--mount", *mapping, "sh", "-euc", f'{script}\nexec "$@"', "sh")


@pytest.mark.parametrize(
    ("mount", "place", "words"),
    [
        ("bind,ro", "etc/kubernetes", "is on a read-only file system"),
        ("full", "etc/kubernetes", "bytes left"),
        pytest.param("inodes", "etc/kubernetes", "has no inode left", marks=pytest.mark.slow),
    ],
)
def test_a_target_directory_that_cannot_take_the_change_stops_the_run(
    hosts: Hosts, mount: str, place: str, words: str
) -> None:
    """Read-only, without a free block, without a free inode: seen before the first write, not in the middle of it."""
    target = hosts.root("cp1") / place
    target.mkdir(parents=True, exist_ok=True)
    if mount == "bind,ro":
        script = f"mount --bind {target} {target}\nmount -o remount,bind,ro {target}"
    else:
        # tmpfs has room for what is there and, by blocks or by inodes, for nothing more.
        limit = "size=400k" if mount == "full" else "nr_inodes=$count"
        script = f"""
            count=$(( $(find {target} | wc -l) ))
            mount -t tmpfs -o mode=755,{limit} tmpfs {hosts.directory}/full
            cp -a {target}/. {hosts.directory}/full/
            mount --move {hosts.directory}/full {target}
        """
        (hosts.directory / "full").mkdir()
        if mount == "full":
            script += f"head -c 1M /dev/zero >{target}/.filler 2>/dev/null || true"
    state = hosts.state()
    run = hosts.harden(before=_in_a_mount_namespace(script))
    refused(run, "cp1", words, "Nothing was written")
    assert hosts.state() == state


def test_a_host_that_is_no_kubeadm_cluster_stops_the_run(hosts: Hosts) -> None:
    (hosts.root("w1") / "etc/rancher/k3s").mkdir(parents=True)
    state = hosts.state()
    refused(hosts.harden(), "w1", "k3s runs Kubernetes here", "nothing was changed")
    assert hosts.state() == state


def test_a_control_plane_that_is_silent_is_gone_without_and_the_next_one_speaks(hosts: Hosts) -> None:
    """It would have spoken with the API and taken the cluster's lock for all. Port 1 takes no connection."""
    silent = "        cp1: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}\n"
    text = hosts.inventory.read_text(encoding="utf-8")
    hosts.inventory.write_text(text.replace("        cp1:\n", silent), encoding="utf-8")
    run = hosts.harden(allow_unreachable=True)
    assert run.code == 0, str(run)
    assert "KH101: cp1 could not be reached" in run.output
    assert {change["host"] for change in hosts.changes} == {"cp2", "w1"}
    spoke = run.output.partition("in the place of a host]")[2].partition("TASK")[0]
    assert ("ok: [cp2]" in spoke, "ok: [w1]" in spoke) == (True, False), str(run)


def test_a_new_control_plane_takes_one_that_is_there_to_go_by(hosts: Hosts) -> None:
    before = hosts.state()
    run = hosts.play("prepare_node.yml")
    assert run.code == 2, str(run)
    assert "KH014: Every control plane of the inventory takes part" in run.output
    assert hosts.state() == before


def test_a_new_control_plane_gets_what_the_owners_flags_name_but_no_secret(hosts: Hosts) -> None:
    """kubeadm join would write these flags there, and kube-apiserver would not start."""
    manifest = hosts.root("cp1") / APISERVER.lstrip("/")
    flags = ("--audit-policy-file=/etc/kubernetes/pki/policy.yaml", "--token-auth-file=/etc/kubernetes/pki/t.csv")
    lines = "".join(f"    - {flag}\n" for flag in flags)
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("    image:", f"{lines}    image:", 1), "utf-8")
    for host in ("cp1", "cp2"):
        (hosts.root(host) / "etc/kubernetes/pki").mkdir(exist_ok=True)
    policy = "etc/kubernetes/pki/policy.yaml"
    (hosts.root("cp1") / policy).write_text("kind: Policy  # {{ marker }}\n", encoding="utf-8")
    (hosts.root("cp1") / "etc/kubernetes/pki/t.csv").write_text("a-secret-token,u,1\n", encoding="utf-8")
    before = hosts.state()
    run = hosts.play("prepare_node.yml", "--limit", "cp2")
    assert run.code == 2, str(run)
    named = "KH011: --token-auth-file of kube-apiserver names /etc/kubernetes/pki/t.csv, which is not on this host."
    assert named in messages_of(run)["cp2"], str(run)
    assert hosts.state() == before
    (hosts.root("cp2") / "etc/kubernetes/pki/t.csv").write_text("by hand\n", encoding="utf-8")
    run = hosts.play("prepare_node.yml", "--limit", "cp2", "--diff", "-vvv")
    assert run.code == 0, str(run)
    assert (hosts.root("cp2") / policy).read_text(encoding="utf-8") == "kind: Policy  # {{ marker }}\n"
    assert [change["target"] for change in hosts.changes] == [f"/{policy}"]
    assert "a-secret-token" not in run.output
    assert hosts.play("prepare_node.yml", "--limit", "cp2").changed["cp2"] == 0
    assert hosts.changes == []


def test_a_node_that_is_a_directory_gets_no_token(hosts: Hosts) -> None:
    """A token takes a cluster that knows it; that none was made is said, and nothing else is laid."""
    (hosts.root("w1") / "etc/kubernetes/kubelet.conf").unlink()
    before = hosts.state()
    run = hosts.play("prepare_node.yml", "--limit", "w1", pki_bootstrap=True)
    assert run.code == 0, str(run)
    assert "Not done on w1: No bootstrap token was made, which takes a running cluster." in run.output
    assert hosts.changes == []
    assert hosts.state() == before


def test_a_token_that_would_live_too_long_is_refused(hosts: Hosts) -> None:
    run = hosts.play("prepare_node.yml", "--limit", "w1", pki_bootstrap=True, pki_bootstrap_minutes=1441)
    refused(run, "w1", "KH016: kubeharden_pki_bootstrap_minutes is 1441; it must be from 5 to 1440.")


def test_a_root_that_does_not_exist_stops_the_run(hosts: Hosts) -> None:
    run = hosts.harden(root=str(hosts.directory / "nowhere"))
    assert run.code == 2, str(run)
    assert all("is no directory. Nothing was written" in message for message in messages_of(run).values()), str(run)
    assert not (hosts.directory / "nowhere").exists()


@pytest.mark.slow
def test_a_tag_alone_changes_its_own_concern(hosts: Hosts) -> None:
    """docs/behaviour.md has this as a table."""
    extra = {
        "kube-apiserver": {"request-timeout": "61s"},
        "kube-controller-manager": {"terminated-pod-gc-threshold": "100"},
        "kube-scheduler": {"kube-api-qps": "51"},
        "etcd": {"heartbeat-interval": "150"},
    }
    manifest = {
        "audit": "kube-apiserver.yaml",
        "apiserver": "kube-apiserver.yaml",
        "controller_manager": "kube-controller-manager.yaml",
        "scheduler": "kube-scheduler.yaml",
        "etcd": "etcd.yaml",
    }
    for tag in (*manifest, "files", "kubelet", "kubeadm", "pki", "discover"):
        run = hosts.harden("--check", "--tags", tag, "--limit", "cp1", extra_flags=extra)
        assert run.code == 0, str(run)
        diffs = "\n".join(change["diff"] for change in hosts.changes)
        changed = {(change["kind"], os.path.basename(change["target"])) for change in hosts.changes}
        kinds = {kind for kind, _dummy in changed}
        assert {name for kind, name in changed if kind == "manifest"} == ({manifest[tag]} if tag in manifest else set())
        assert ("audit-policy.yaml" in {name for _dummy, name in changed}) == (tag == "audit")
        assert ("--audit-log-path" in diffs) == (tag == "audit")
        assert ("--request-timeout=61s" in diffs) == (tag == "apiserver")
        assert ("--terminated-pod-gc-threshold=100" in diffs) == (tag == "controller_manager")
        assert ("--kube-api-qps=51" in diffs) == (tag == "scheduler")
        assert ("--heartbeat-interval=150" in diffs) == (tag == "etcd")
        assert (("file", "config.yaml") in changed) == (tag == "kubelet")
        assert ("attributes" in kinds) == (tag == "files")
        # What is missing here is authorities, which are made only where every control plane takes part.
        assert (changed == set()) == (tag in ("kubeadm", "pki", "discover"))


@pytest.mark.slow
def test_limit_to_a_worker_touches_that_worker_alone(hosts: Hosts) -> None:
    run = hosts.harden("--limit", "w1")
    assert run.code == 0, str(run)
    assert {change["host"] for change in hosts.changes} == {"w1"}
    assert not any((hosts.root(name) / "var/lib/kubeharden").exists() for name in ("cp1", "cp2"))


def hold(hosts: Hosts, host: str, process: str) -> Path:
    """Lay the lock of a run of this controller, of that process on it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    place = hosts.root(host) / "run/kubeharden"
    place.mkdir(parents=True)
    lock = {
        "run_id": "20260101T000000Z-abcd",
        "controller": f"{os.uname().nodename} {boot}",
        "process": process,
        "since": 1767225600.0,
    }
    (place / "lock").write_text(json.dumps(lock), encoding="utf-8")
    return place / "lock"


def this_process() -> str:
    stat = Path(f"/proc/{os.getpid()}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return f"{os.getpid()} {stat[19]}"


AT_WORK = f"KH105: Run 20260101T000000Z-abcd from {os.uname().nodename} has been at work on this host since 2026-01-01"


def test_two_runs_at_once(hosts: Hosts) -> None:
    """The second is told who is at work, and changes nothing. The first is a process that lives: this one."""
    for name in hosts.names:
        hold(hosts, name, this_process())
    state = hosts.state()
    run = hosts.harden()
    assert run.code == 2, str(run)
    assert set(messages_of(run)) == set(hosts.names)
    assert all(message.startswith(AT_WORK) for message in messages_of(run).values()), str(run)
    assert hosts.state() == state


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_new_host_is_prepared_by_one_run_at_a_time(hosts: Hosts, arguments: tuple[str, ...]) -> None:
    """What the other one has waiting for its rename is not taken for a dead run's, and the lock stays its own."""
    lock = hold(hosts, "cp2", this_process())
    held = lock.read_bytes()
    state = hosts.state()
    refused(hosts.play("prepare_node.yml", "--limit", "cp2", *arguments), "cp2", AT_WORK)
    assert (hosts.state(), lock.read_bytes()) == (state, held)


def test_who_prepares_a_new_host_takes_a_dead_runs_lock_over_and_gives_it_back(hosts: Hosts) -> None:
    lock = hold(hosts, "cp2", "1 1")
    run = hosts.play("prepare_node.yml", "--limit", "cp2")
    assert run.code == 0, str(run)
    assert "Run 20260101T000000Z-abcd ended early without giving its lock back; it was taken over." in run.output
    assert not lock.exists()
    assert not (hosts.root("cp1") / "run/kubeharden").exists()


def test_the_lock_of_a_dead_run_of_this_controller_is_taken_over(hosts: Hosts) -> None:
    lock = hold(hosts, "cp1", "1 1")
    run = hosts.harden("--limit", "cp1")
    assert run.code == 0, str(run)
    assert "Run 20260101T000000Z-abcd ended early without giving its lock back; it was taken over." in run.output
    assert not lock.exists()


@pytest.mark.slow
def test_templates_in_a_hosts_file_are_never_evaluated(hosts: Hosts, tmp_path: Path) -> None:
    """In a comment, in a value that is kept, in the kubelet's configuration and in a unit.

    With Ansible's own defaults: its strict mode stops where a result of a module holds such a value.
    """
    proof = tmp_path / "evaluated"
    marker = "{{ lookup('ansible.builtin.pipe', 'touch " + str(proof) + "') }}{{ marker }}{% raw %}"
    root = hosts.root("cp1")
    for path in (APISERVER, "var/lib/kubelet/config.yaml", "usr/lib/systemd/system/kubelet.service"):
        file = root / path
        file.write_text(f"# {marker}\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    manifest = root / APISERVER
    flag = "    - \"--audit-log-format={{ lookup('ansible.builtin.pipe', 'touch " + str(proof) + "') }}\"\n"
    text = manifest.read_text(encoding="utf-8")
    assert "    - --authorization-mode" in text
    manifest.write_text(text.replace("    - --authorization-mode", f"{flag}    - --authorization-mode"))
    run = hosts.harden("--limit", "cp1", "--diff", "-vvv", strict=False)
    assert run.code == 0, str(run)
    hardened = manifest.read_text(encoding="utf-8")
    assert hardened.startswith(f"# {marker}\n")
    assert flag in hardened
    assert "--audit-policy-file" in hardened
    assert not proof.exists()


def test_a_stricter_mode_and_a_stricter_value_stay(hosts: Hosts) -> None:
    root = hosts.root("cp1")
    manifest = root / APISERVER
    text = manifest.read_text(encoding="utf-8")
    text = text.replace("    - --authorization-mode", "    - --audit-log-maxage=90\n    - --authorization-mode")
    manifest.write_text(text, encoding="utf-8")
    manifest.chmod(0o400)
    run = hosts.harden("--limit", "cp1")
    assert run.code == 0, str(run)
    hardened = manifest.read_text(encoding="utf-8")
    assert hardened.count("--audit-log-maxage") == 1
    assert "--audit-log-maxage=90" in hardened
    assert manifest.stat().st_mode & 0o777 == 0o400


def test_a_policy_of_the_users_own_is_kept_judged_and_replaced_only_on_demand(hosts: Hosts) -> None:
    root = hosts.root("cp1")
    policy = root / "etc/kubernetes/mine/policy.yaml"
    policy.parent.mkdir()
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: RequestResponse\n", encoding="utf-8")
    manifest = root / APISERVER
    text = manifest.read_text(encoding="utf-8")
    flag = "--audit-policy-file=/etc/kubernetes/mine/policy.yaml"
    manifest.write_text(text.replace("    - --authorization-mode", f"    - {flag}\n    - --authorization-mode"))
    kept = hosts.harden("--limit", "cp1")
    assert kept.code == 0, str(kept)
    assert flag in manifest.read_text(encoding="utf-8")
    assert "The audit policy /etc/kubernetes/mine/policy.yaml is the owner's and was kept" in kept.output
    replaced = hosts.harden("--limit", "cp1", replace=["audit_policy"])
    assert replaced.code == 0, str(replaced)
    assert "--audit-policy-file=/etc/kubernetes/kubeharden/audit-policy.yaml" in manifest.read_text(encoding="utf-8")
    assert policy.exists()


OIDC = {
    "oidc-issuer-url": "https://issuer.example",
    "oidc-client-id": "kubernetes",
    "oidc-ca-file": "/etc/kubernetes/pki/issuer.crt",
}


def _set_flags(hosts: Hosts, **flags: str) -> None:
    words = "".join(f"    - --{name.replace('_', '-')}={value}\n" for name, value in flags.items())
    for host in ("cp1", "cp2"):
        manifest = hosts.root(host) / APISERVER
        text = manifest.read_text(encoding="utf-8").replace(
            "    - --allow-privileged", f"{words}    - --allow-privileged"
        )
        manifest.write_text(text, encoding="utf-8")
        authority = hosts.root(host) / "etc/kubernetes/pki/issuer.crt"
        authority.parent.mkdir(exist_ok=True)
        authority.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", encoding="utf-8")


def test_flags_of_an_issuer_move_and_plugins_of_the_users_are_merged(hosts: Hosts) -> None:
    _set_flags(hosts, **OIDC)
    selector = "/etc/kubernetes/policy/selector.yaml"
    for host in ("cp1", "cp2"):
        place = hosts.root(host) / selector.lstrip("/")
        place.parent.mkdir()
        place.write_text("podNodeSelectorPluginConfig: {}\n", encoding="utf-8")
    wanted: dict[str, Any] = {
        "profile": "cis",
        "admission_plugins_extra": [{"name": "PodNodeSelector", "path": selector}],
    }
    done = hosts.harden(**wanted)
    assert done.code == 0, str(done)
    for host in ("cp1", "cp2"):
        manifest = (hosts.root(host) / APISERVER).read_text(encoding="utf-8")
        assert "--oidc-" not in manifest
        assert ",PodNodeSelector" in manifest
        assert "mountPath: /etc/kubernetes/policy\n" in manifest
        text = (hosts.root(host) / "etc/kubernetes/kubeharden/authentication.yaml").read_text(encoding="utf-8")
        assert "jwt:\n  - issuer:\n      url: https://issuer.example\n" in text
        assert "prefix: https://issuer.example#" in text
        text = (hosts.root(host) / "etc/kubernetes/kubeharden/admission.yaml").read_text(encoding="utf-8")
        assert f"path: {selector}\n" in text
        assert "enforce: privileged\n" in text
    assert "Not done on cp1, cp2: Pod Security enforces no level" in done.output
    again = hosts.harden(**wanted)
    assert again.code == 0, str(again)
    assert hosts.changes == []


def test_flags_that_no_field_stands_for_leave_everything_as_it_is_and_that_is_said(hosts: Hosts) -> None:
    _set_flags(hosts, **OIDC, oidc_signing_algs="RS256")
    run = hosts.harden("--check", "--limit", "cp1")
    assert run.code == 0, str(run)
    assert "cannot be carried over" in run.output
    assert "--oidc-signing-algs=RS256, which no field stands for" in run.output
    assert not any("authentication" in change["target"] for change in hosts.changes)


@pytest.mark.parametrize(
    ("variables", "host", "words"),
    [
        (
            {"token_webhook_config_file": "/etc/kubernetes/webhook/config"},
            "cp1",
            "kubeharden_token_webhook_config_file names /etc/kubernetes/webhook/config, which is not on this host",
        ),
        (
            {"admission_plugins_extra": [{"name": "PodNodeSelektor"}]},
            "cp1",
            "the nearest that it has is PodNodeSelector",
        ),
        ({"oidc_issuer_url": "http://a", "oidc_client_id": "b"}, "cp1", "http://a is no https:// address"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    hosts: Hosts, variables: dict[str, Any], host: str, words: str
) -> None:
    before = hosts.state()
    run = hosts.harden("--limit", host, **variables)
    refused(run, host, words, "Nothing was changed")
    assert hosts.state() == before


@pytest.mark.slow
def test_a_level_of_pod_security_that_is_in_force_stays_in_profile_baseline(hosts: Hosts) -> None:
    """As after a run in cis: what is stricter stays, with the namespaces that must be spared; no other host begins."""
    wanted = ("--tags", "apiserver", "--limit", "cp1,cp2")
    run = hosts.harden(*wanted)
    assert run.code == 0, str(run)
    ours = hosts.root("cp2") / "etc/kubernetes/kubeharden/admission.yaml"
    text = ours.read_text(encoding="utf-8")
    (said,) = (line for line in text.splitlines() if "nothing is refused" in line)
    text = text.replace(
        said, "  # What a namespace without labels of its own gets: new pods that fall short are refused."
    )
    text = text.replace("enforce: privileged", "enforce: baseline")
    ours.write_text(f'{text}          - "hot"  # had pods that the level refuses\n', encoding="utf-8")
    run = hosts.harden(*wanted)
    assert run.code == 0, str(run)
    assert hosts.changes == []


@pytest.mark.slow
def test_a_kubelets_serving_certificate_of_the_owners_is_left_in_profile_cis(hosts: Hosts) -> None:
    theirs, ours = (hosts.root(name) / "var/lib/kubelet/config.yaml" for name in ("w1", "cp1"))
    named = "tlsCertFile: /srv/corp.crt\ntlsPrivateKeyFile: /srv/corp.key\n"
    theirs.write_text(theirs.read_text(encoding="utf-8") + named, encoding="utf-8")
    run = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1", profile="cis")
    assert run.code == 0, str(run)
    assert "Not done on w1: The kubelet's serving certificate /srv/corp.crt is the owner's" in run.output
    text = theirs.read_text(encoding="utf-8")
    assert named in text
    assert "serverTLSBootstrap" not in text
    assert "serverTLSBootstrap: true" in ours.read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_kubelet_is_told_to_ask_where_nobody_signs(hosts: Hosts) -> None:
    """As in kubeadm's external-CA mode: what is approved would never come, and logs and exec would stay refused."""
    manifest = hosts.root("cp1") / MANIFESTS / "kube-controller-manager.yaml"
    text = manifest.read_text(encoding="utf-8")
    outside = re.sub(r"(--cluster-signing-(?:cert|key)-file=)\S+", r"\1", text)
    assert outside != text
    manifest.write_text(outside, encoding="utf-8")
    run = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1", profile="cis")
    assert run.code == 0, str(run)
    assert "since nobody is known to sign them" in run.output
    asked = [hosts.root(name) / "var/lib/kubelet/config.yaml" for name in ("cp1", "w1")]
    assert not [path for path in asked if "serverTLSBootstrap" in path.read_text(encoding="utf-8")]
    (hosts.directory / "authorities").mkdir(mode=0o700)
    kept = str(hosts.directory / "authorities")
    signed = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1", profile="cis", pki_authorities_dir=kept)
    assert signed.code == 0, str(signed)
    assert all("serverTLSBootstrap: true" in path.read_text(encoding="utf-8") for path in asked)


@pytest.mark.slow
def test_what_kubelets_ask_for_is_looked_at_in_every_profile(hosts: Hosts) -> None:
    """Who hardened in cis and goes on in baseline has kubelets that ask, and each new node does."""
    words = "No request of a kubelet for a serving certificate was looked at, which takes a running cluster"
    fresh = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1")
    assert fresh.code == 0, str(fresh)
    assert words not in fresh.output
    # What a new node is brought by kubeadm's ConfigMap.
    new = hosts.root("w1") / "var/lib/kubelet/config.yaml"
    new.write_text(f"{new.read_text(encoding='utf-8')}serverTLSBootstrap: true\n", encoding="utf-8")
    run = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1")
    assert run.code == 0, str(run)
    assert words in run.output
    assert hosts.changes == []


GATE = "RotateKubeletServerCertificate"


@pytest.mark.slow
def test_a_kubelet_whose_flags_keep_the_gate_off_is_not_told_to_ask(hosts: Hosts) -> None:
    """It would end at its start. Where its file alone has the gate off, it is switched on with what needs it."""
    mended = hosts.root("cp1") / "var/lib/kubelet/config.yaml"
    mended.write_text(f"{mended.read_text(encoding='utf-8')}featureGates:\n  {GATE}: false\n", encoding="utf-8")
    defaults = hosts.root("w1") / "etc/default/kubelet"
    defaults.parent.mkdir(parents=True, exist_ok=True)
    defaults.write_text(f"KUBELET_EXTRA_ARGS=--feature-gates={GATE}=false\n", encoding="utf-8")
    run = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1", profile="cis")
    assert run.code == 0, str(run)
    assert f"{GATE} is switched off in --feature-gates" in run.output
    assert "serverTLSBootstrap" not in (hosts.root("w1") / "var/lib/kubelet/config.yaml").read_text(encoding="utf-8")
    text = mended.read_text(encoding="utf-8")
    assert "serverTLSBootstrap: true" in text
    assert f"  {GATE}: true" in text
    again = hosts.harden("--tags", "kubelet", "--limit", "cp1,w1", profile="cis")
    assert (again.code, hosts.changes) == (0, []), str(again)


_MEMORY = """\
- hosts: localhost
  gather_facts: false
  vars:
    role_path: {role}
    kubeharden_profile: cis
    kubeharden_control_plane_group: kube_control_plane
    kubeharden_pki_authorities_dir: ""
    __kubeharden_run: {{left_out: {{everywhere: [], on_hosts: {{}}}}}}
    __kubeharden_speaker_found: {{oldest_kubelet: 36, kubelet_authority: ""}}
  tasks:
    - ansible.builtin.group_by: {{key: kubeharden_candidates}}
    - ansible.builtin.group_by: {{key: kubeharden_control_planes}}
    - ansible.builtin.set_fact:
        __discover_found:
          discovery:
            files: {{}}
            signs_kubelets: true
            kubelet: {{flags: {flags}, own_certificate: "{own}", gate_off: "{off}", betas_off: {betas}}}
        __discover_ready: {{names_refused: "{refused}"}}
    - ansible.builtin.include_vars: {{file: "{{{{ role_path }}}}/../kubeharden/vars/main.yml"}}
    - ansible.builtin.set_fact: {{__kubeharden_speaker_found: {{oldest_kubelet: 36, kubelet_authority: ""}}}}
    - ansible.builtin.include_vars: {{file: "{{{{ role_path }}}}/vars/main.yml"}}
    - ansible.builtin.copy: {{content: "{{{{ __harden_kubeadm_kubelet | to_json }}}}", dest: {found}}}
"""


def remembered(directory: Path, **words: Any) -> dict[str, Any]:
    """What kubeadm's ConfigMap is to say of kubelets, of a cluster of one host."""
    found, play = directory / "found.json", directory / "play.yml"
    given = {"own": "", "off": "", "betas": False, "refused": "", "flags": {}, **words}
    play.write_text(_MEMORY.format(role=ROOT / "roles/harden_kubeadm", found=found, **given), encoding="utf-8")
    path = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    words_of_run = ["ansible-playbook", "-i", "localhost,", "-c", "local", play]
    run = ansible(Path(sys.executable).parent, words_of_run, directory=directory, home=directory, environment=path)
    assert run.code == 0, str(run)
    return dict(json.loads(found.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("own", "off", "betas", "refused", "asks"),
    [
        ("", "", False, "", True),
        ("", "", True, "", True),
        ("/srv/corp.crt", "", False, "", False),
        ("", "--feature-gates", False, "", False),
        ("", "", False, "it would ask for 203.0.113.1, which is an address of node w2", False),
    ],
)
def test_kubeadms_memory_makes_no_kubelet_ask_that_could_not_start_or_serve_then(
    tmp_path: Path, own: str, off: str, betas: bool, refused: str, asks: bool
) -> None:
    """kubeadm upgrade would bring it to every node."""
    settings = remembered(tmp_path, own=own, off=off, betas=betas, refused=refused)["kubelet"]
    assert ("serverTLSBootstrap" in settings) is asks
    gate = settings.get(f"featureGates.{GATE}")
    assert (gate is not None) is asks
    assert not asks or ("default" in gate) is not betas


@pytest.mark.parametrize(
    ("directory", "named"), [("/srv/pki", False), ("/var/lib/kubelet/pki", True), ("", True), (None, True)]
)
def test_kubeadms_memory_names_no_certificate_in_a_place_of_one_host(
    tmp_path: Path, directory: str | None, named: bool
) -> None:
    """A node without that flag would wait for a file that never comes, and serve nothing."""
    found = remembered(tmp_path, flags={} if directory is None else {"cert-dir": directory})
    path = {"keep": "/var/lib/kubelet/pki/kubelet-server-current.pem", "control": "kubelet-serving-certificate"}
    names = {name: found["kubelet"].get(name) for name in ("tlsCertFile", "tlsPrivateKeyFile")}
    assert names == dict.fromkeys(names, path if named else None)
    assert "serverTLSBootstrap" in found["kubelet"]
    assert ["does not name kubelet-server-current.pem" in note for note in found.get("notes", [])] == [True] * (
        not named
    )


def test_a_tag_that_is_skipped_leaves_out_its_own_concern_and_no_other(hosts: Hosts) -> None:
    """Ansible skips a task for any of its tags, and one task does what five of them ask for."""

    def told(*skipped: str) -> set[tuple[str, str]]:
        run = hosts.harden("--check", "--limit", "cp1", "--skip-tags", ",".join(("verify,pki", *skipped)), strict=True)
        assert run.code == 0, str(run)
        return {(Path(change["target"]).name, control) for change in hosts.changes for control in change["controls"]}

    every = told()
    five = ("audit", "apiserver", "controller_manager", "scheduler", "etcd")
    without = told("etcd")
    assert {target for target, _control in every - without} == {"etcd.yaml"}
    assert not any(control.startswith("etcd") for _target, control in without)
    assert without < every
    assert {target for target, _control in told("audit", "scheduler")} >= {"kube-apiserver.yaml", "etcd.yaml"}
    assert not any(target.endswith(".yaml") and "kube-" in target for target, _control in told(*five))
