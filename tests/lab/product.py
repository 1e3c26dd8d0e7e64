# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The product on a cluster of the lab: its runs, and what a host and the API are before and after one."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from lab.kubelab.base import HERE
from lab.kubelab.harness import CHECKOUT, Cluster
from tools.runs import STRICT, Run

#: kube-bench's reports and the poller's figures, for whoever looks at a run of the tests.
ARTEFACTS = CHECKOUT / "build" / "artefacts"

#: A value that is legal for every check but the component's own start.
BAD_CIPHERS = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"

#: The lock of a host, and in kubectl's words that of the cluster.
LOCK = "/run/kubeharden/lock"
LEASE = ("lease", "kubeharden", "-n", "kube-system")

COMPONENTS = {
    "containerd": "containerd",
    "etcd": "etcd",
    "kube-apiserver": "kube-apiserver",
    "kube-controller": "kube-controller-manager",
    "kube-proxy": "kube-proxy",
    "kube-scheduler": "kube-scheduler",
    "kubelet": "kubelet",
}
"""by the first 15 letters of its name, which is all that the kernel keeps"""

# Names like .123456789 are the kubelet's own: it writes its state to such a file and renames it at once.
_FIND = r"""
find /etc /usr/lib/systemd /var/lib/etcd /var/lib/kubeharden -maxdepth 0 -printf '%p %m %u %g\n' 2>/dev/null
find /etc /usr/lib/systemd /var/lib/kubelet/pki /var/lib/kubeharden -mindepth 1 \
  -printf '%p %y %i %T@ %s %m %u %g\n' 2>/dev/null
find /var/lib/kubelet -maxdepth 1 -type f -not -name '*_state' -not -name '.[0-9]*' -printf '%p %y %i %T@ %s %m %u %g\n'
find /var/lib/dpkg/statoverride -printf '%p %y %i %T@ %s %m %u %g\n'
"""

# What a run may write, and is to be what it was when it is put back. Drop-ins of the kubelet's lie where its flags say.
_WRITTEN = (
    "/etc/kubernetes /usr/lib/systemd/system/kubelet.service* /etc/systemd/system /etc/sysctl.d /etc/tmpfiles.d "
    "/etc/cni /etc/default/kubelet /etc/sysconfig/kubelet /var/lib/kubelet/config.yaml "
    "/var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env $drop_ins"
)
_DROP_INS = r"""
drop_ins=$(grep -rhos -e '--config-dir[= ][^" ]*' /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet \
  /etc/sysconfig/kubelet /etc/systemd/system /usr/lib/systemd/system/kubelet.service* | cut -c14- | sort -u)
"""

_CONTENT = rf"""
{_DROP_INS}
find /var/lib/etcd -maxdepth 0 -printf '%p %y %m %u %g\n' 2>/dev/null
find {_WRITTEN} /var/lib/kubelet/pki /var/lib/dpkg/statoverride -printf '%p %y %m %u %g %l\n'
find {_WRITTEN} /var/lib/dpkg/statoverride -type f -exec sha256sum {{}} +
for key in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  echo "$key $(cat /proc/sys/$key)"
done
"""

# dpkg writes its own file anew each time; directories have the time of the last rename in them.
_TIMES = rf"""
{_DROP_INS}
find {_WRITTEN} -type f -printf '%p %T@\n' 2>/dev/null
true
"""

_SETTLED_KINDS = (
    "configmaps,secrets,serviceaccounts,services,daemonsets,deployments,roles,rolebindings,clusterroles,"
    "clusterrolebindings,validatingadmissionpolicies,validatingwebhookconfigurations,mutatingwebhookconfigurations,"
    "priorityclasses,apiservices,networkpolicies,certificatesigningrequests"
)


def _version(item: Mapping[str, Any]) -> str:
    """What differs when somebody has changed an object."""
    metadata = item["metadata"]
    if item["kind"] == "Node":
        return json.dumps([metadata.get("labels"), metadata.get("annotations")], sort_keys=True)
    if "generation" not in metadata:
        return str(metadata["resourceVersion"])
    said = {key: value for key, value in metadata.items() if key not in ("resourceVersion", "managedFields")}
    return json.dumps([said, {key: item[key] for key in item.keys() - {"metadata", "status"}}], sort_keys=True)


# What etcd agrees to, asked with each protocol and suite alone.
_ETCD_TLS = """
import socket, ssl
pki = "/etc/kubernetes/pki/etcd"
for protocol, suite in (
    (ssl.TLSVersion.TLSv1_3, None),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256"),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-CHACHA20-POLY1305"),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA"),
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(f"{pki}/ca.crt")
    context.load_cert_chain(f"{pki}/server.crt", f"{pki}/server.key")
    context.minimum_version = context.maximum_version = protocol
    if suite:
        context.set_ciphers(suite)
    with socket.create_connection(("127.0.0.1", 2379), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as done:
                print(suite or "any", done.version())
        except ssl.SSLError:
            print(suite or "any", "refused")
"""

#: Ports at which a control plane shows certificates of the cluster's authorities: kube-apiserver, etcd, etcd's peers.
SERVERS = (6443, 2379, 2380)
_FATAL = re.compile(r"^fatal: \[(?P<host>\S+)\]: \w+! => (?P<result>\{.*\})$", re.MULTILINE)
#: Ansible may put a word of its own before a sentence of ours.
_NUMBER = re.compile(r"\bKH\d{3}: ")


def messages_of(run: Run) -> dict[str, str]:
    """By host, the message of the task that ended a run there; each has its number."""
    messages = {match["host"]: str(json.loads(match["result"])["msg"]) for match in _FATAL.finditer(run.output)}
    assert all(_NUMBER.search(message) for message in messages.values()), str(run)
    return messages


def shape_of(cluster: Cluster) -> str:
    """A cluster's hosts and version, such as ``3+2-1.37``, for names of what is kept of it."""
    return f"{len(cluster.control_planes)}+{len(cluster.workers)}-{cluster.lab.minor}"


def keep_figures(kind: str, cluster: Cluster, name: str, figures: Mapping[str, Any]) -> None:
    """Keep figures of a cluster below build/artefacts, for whoever looks at a run of the tests."""
    folder = ARTEFACTS / kind / shape_of(cluster)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def lines(text: str) -> list[str]:
    """The lines of a text, sorted."""
    return sorted(text.splitlines())


@dataclasses.dataclass(frozen=True)
class VerifyRun(Run):
    """A run of verify.yml, and the document of its report.json."""

    report: dict[str, Any]

    def statuses(self, host: str) -> dict[str, str]:
        """By control, its status on a host."""
        return {one["control"]: one["status"] for one in self.report["results"] if one["host"] == host}

    def evidence(self, host: str, control: str) -> str:
        """What was seen of a control on a host."""
        (found,) = [one for one in self.report["results"] if (one["host"], one["control"]) == (host, control)]
        return str(found["evidence"])

    def by_check(self, host: str) -> dict[str, str]:
        """By check of the CIS benchmark, the worst status of the controls that stand for it on a host."""
        worst: dict[str, str] = {}
        order = ["not_applicable", "pass", "waived", "explained", "unknown", "fail"]
        for one in self.report["results"]:
            if one["host"] != host:
                continue
            for check in one["mappings"]["cis"]:
                worst[check] = max(worst.get(check, "not_applicable"), one["status"], key=order.index)
        return worst


@dataclasses.dataclass(frozen=True)
class HardenRun(Run):
    """A run of harden.yml or rollback.yml.

    ``report`` is the directory of changes.json, and of report.json where it verified; ``seconds`` how long it took;
    ``log`` what Ansible wrote of it with the time of each line; ``load`` is the machine's, of the minute before the run
    and of its last one.
    """

    report: Path
    seconds: float
    log: str = ""
    load: tuple[float, float] = (0.0, 0.0)

    @property
    def tasks(self) -> list[tuple[float, str]]:
        """Seconds that each play and task took until the next began, and its name, in the order of the run."""
        found = [
            (datetime.datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f"), name)
            for when, name in re.findall(
                r"^(\S+ \S+) p=\d+ u=\S+ n=ansible INFO\| (?:TASK|PLAY) (.+?) \**$", self.log, re.MULTILINE
            )
        ]
        return [
            (round((end - begin).total_seconds(), 1), name.removeprefix("[").removesuffix("]"))
            for (begin, name), (end, _next) in itertools.pairwise(found)
        ]

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The list in changes.json."""
        listed = json.loads((self.report / "changes.json").read_text(encoding="utf-8"))["changes"]
        assert isinstance(listed, list)
        return listed

    @property
    def verified(self) -> VerifyRun:
        """The report that it ended with."""
        document = json.loads((self.report / "report.json").read_text(encoding="utf-8"))
        return VerifyRun(self.command, self.code, self.output, document)

    @property
    def messages(self) -> dict[str, str]:
        """By host, the message of the task that ended the run there."""
        return messages_of(self)

    def restart_seconds(self, host: str) -> int:
        """The seconds that the run's table gives for a host's restarts: of its components the one that took longest."""
        (seconds,) = re.findall(rf"^{re.escape(host)} +\d+ +\S.*\S +(\d+)$", self.output, re.MULTILINE)
        return int(seconds)

    def well(self, *expected: str) -> HardenRun:
        """The run, which ended well and without a line of complaint but the expected ones."""
        assert self.code == 0, str(self)
        unexpected = [line for line in self.complaints if not any(words in line for words in expected)]
        assert not unexpected, str(self)
        return self


class Product:
    """Runs harden.yml against a cluster and looks at the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # Labs have the same addresses, and ssh's kept connections are found by address.
        self._sockets = cluster.directory / "ssh"
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        self._reports = Path(tempfile.mkdtemp(prefix="reports-", dir=cluster.directory))

    @property
    def sockets(self) -> Path:
        """The directory of ssh's kept connections, by which the processes of its runs are known."""
        return self._sockets

    # Runs

    def _command(
        self, arguments: tuple[str, ...], variables: Mapping[str, Any], playbook: str = "harden.yml"
    ) -> tuple[list[str], Path]:
        report = self._reports / f"{len(list(self._reports.iterdir())):03d}"
        report.mkdir()
        extra = {"kubeharden_report_dir": str(report), **variables}
        return [playbook, *arguments, "-e", json.dumps(extra)], report

    def environment(self) -> dict[str, str]:
        """What ansible-playbook is started with: every habit that will be an error one day is one."""
        return {
            **STRICT,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
            "LANG": "C.UTF-8",
        }

    def harden(
        self, *arguments: str, inventory: Path | None = None, verified: bool = False, **variables: Any
    ) -> HardenRun:
        """Run harden.yml and return what it did, well or not.

        :param inventory: one more inventory beside the cluster's.
        :param verified: whether the run verifies at its end, which takes some seconds.
        :param variables: of the playbook, without the prefix ``kubeharden_``.
        """
        words = arguments if verified else ("--skip-tags", "verify", *arguments)
        return self.play("harden.yml", *words, inventory=inventory, **variables)

    def rollback(self, *arguments: str, **variables: Any) -> HardenRun:
        """Run rollback.yml and return what it did, well or not; parameters as for harden."""
        return self.play("rollback.yml", *arguments, **variables)

    def play(self, playbook: str, *arguments: str, inventory: Path | None = None, **variables: Any) -> HardenRun:
        """Run a playbook that changes hosts; parameters as for harden."""
        named = {f"kubeharden_{name}": value for name, value in variables.items()}
        words, report = self._command(arguments, named, playbook)
        if inventory:
            words += ["-i", str(inventory)]
        return self._run(words, report)

    def rotate(self, *arguments: str, **variables: Any) -> HardenRun:
        """Run rotate_certificates.yml and return what it did, well or not; parameters as for harden."""
        return self.play("rotate_certificates.yml", *arguments, **variables)

    def _run(self, words: list[str], report: Path) -> HardenRun:
        log = report.with_suffix(".log")
        environment = {**self.environment(), "ANSIBLE_LOG_PATH": str(log)}  # says when each task began
        begun, load = time.monotonic(), os.getloadavg()[0]
        done = self.cluster.playbook(words[0], *words[1:], check=False, env=environment)
        seconds, loads = time.monotonic() - begun, (load, os.getloadavg()[0])
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return HardenRun(" ".join(words), done.returncode, done.stdout + done.stderr, report, seconds, text, loads)

    def start(self, log: Path, *arguments: str, controller: str = "", **variables: Any) -> subprocess.Popen[bytes]:
        """Start harden.yml in a process group of its own, so that it can be killed; its output goes to a file.

        :param controller: the name of another controller than this machine, on which the run is to be.
        """
        words, _report = self._command(arguments, {f"kubeharden_{name}": value for name, value in variables.items()})
        programs = Path(sys.executable).parent
        command = [str(HERE / "lab"), "in", str(self.cluster.directory)]
        if controller:
            command += ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', controller]
        command.append(str(programs / "ansible-playbook"))
        with log.open("wb") as output:
            return subprocess.Popen(
                [*command, "-i", str(self.cluster.inventory), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **self.environment()},
                start_new_session=True,
            )

    # What a run does on a host

    def journal_end(self, host: str) -> str:
        """The place at which a host's journal ends now."""
        said = self.cluster.ssh(host, "journalctl --quiet --no-pager --lines=0 --show-cursor").stdout
        return said.rpartition("-- cursor: ")[2].strip()

    def module_starts(self, host: str, since: str) -> int:
        """The modules that Ansible started on a host since that place: each writes a line into the journal."""
        command = f"journalctl --sync; journalctl --quiet --no-pager --output=cat --after-cursor={shlex.quote(since)}"
        return sum("Invoked with " in line for line in lines(self.cluster.ssh(host, command).stdout))

    # What a host is

    def attributes(self, host: str) -> list[str]:
        """Inode, times, size, mode and owner of everything that a run might touch on a host."""
        return lines(self.cluster.ssh(host, _FIND, check=False).stdout)

    def content(self, host: str) -> list[str]:
        """Bytes, modes and owners of what a run may write, the mode of etcd's directory, and the kernel's settings."""
        return lines(self.cluster.ssh(host, _CONTENT).stdout)

    def times(self, host: str) -> list[str]:
        """When each of those files was last changed: what is put back has its old time again."""
        return lines(self.cluster.ssh(host, _TIMES).stdout)

    def processes(self, host: str) -> dict[str, str]:
        """Start and process id of each component that runs on a host, by name: one that was restarted has others."""
        listed = self.cluster.ssh(host, "ps -eo comm=,pid=,lstart=").stdout
        found: dict[str, str] = {}
        for line in listed.splitlines():
            name, _dummy, rest = line.partition(" ")
            if name in COMPONENTS:
                component = COMPONENTS[name]
                found[component] = found.get(component, "") + " ".join(rest.split())
        return found

    def etcd_suites(self, host: str) -> dict[str, str]:
        """The protocol that a host's etcd agrees to, by suite; ``any`` is TLS 1.3, whose suites cannot be chosen."""
        said = self.cluster.ssh(host, "python3 -", stdin=_ETCD_TLS).stdout
        return dict(line.split(" ", 1) for line in said.splitlines())

    def containers(self, host: str) -> list[str]:
        """The identifiers of the running containers of kube-system on a host: the kubelet removes dead ones late."""
        command = """
            comm -12 <(ctr -n k8s.io containers ls -q 'labels."io.kubernetes.pod.namespace"==kube-system' | sort) \\
              <(ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" {print $1}' | sort)
        """
        found = lines(self.cluster.ssh(host, command).stdout)
        assert found, host
        return found

    def exists(self, host: str, path: str) -> bool:
        return self.cluster.ssh(host, f"test -e {path}", check=False).returncode == 0

    def lease(self) -> str:
        """The run that holds the lock of the cluster, empty where nobody does."""
        found = self.cluster.kubectl("get", *LEASE, "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}")
        return found.stdout

    def locked(self) -> list[str]:
        """What a run has locked: the cluster, and hosts by name."""
        cluster = ["cluster"] if self.lease() else []
        return cluster + [host for host in self.cluster.hosts if self.exists(host, LOCK)]

    def on_each(self, look: Callable[[str], Any]) -> dict[str, Any]:
        """What a look at each host gives, by host."""
        return {host: look(host) for host in self.cluster.hosts}

    def served_serials(self) -> dict[str, str]:
        """By host and port, the serial number of what each API server and etcd of the cluster shows."""
        found = {}
        for host in self.cluster.control_planes:
            address = self.cluster.lab.host(host).address
            for port in SERVERS:
                # etcd's peers ask for a certificate and end the connection without one, but show their own before that.
                show = (
                    f"openssl s_client -connect {address}:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"
                )
                found[f"{host}:{port}"] = self.cluster.ssh(host, show).stdout.strip()
        return found

    # What the API is

    def versions(self) -> dict[str, str]:
        """The version of everything that changes only when somebody changes it.

        Of what has a status of its own, that is all but the status, which still settles on a fresh cluster; of nodes,
        labels and annotations. A namespace of the poller's goes away by itself once that has ended.
        """
        items = self.cluster.objects(_SETTLED_KINDS, "--all-namespaces")["items"]
        items += self.cluster.objects("nodes")["items"]
        return {
            f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}": _version(item)
            for item in items
            if not item["metadata"].get("namespace", "").startswith("kubeharden-poller-")
        }

    def config_maps(self) -> dict[str, dict[str, str]]:
        """The contents of kubeadm's ConfigMaps, by name."""
        names = ("kubeadm-config", "kubelet-config", "kube-proxy")
        found = {name: self.cluster.objects("configmap", name, "-n", "kube-system") for name in names}
        return {name: item["data"] for name, item in found.items()}

    def verify(self, *arguments: str, **variables: Any) -> VerifyRun:
        """Run verify.yml and return what it did, well or not.

        It runs within the lab's network, so that ssh needs no proxy, and the controller asks the hosts' ports itself.

        :param variables: of the playbook, without the prefix ``kubeharden_``.
        """
        report = self._reports / f"{len(list(self._reports.iterdir())):03d}"
        named = {f"kubeharden_{name}": value for name, value in variables.items()}
        report.mkdir()
        direct = {"ansible_ssh_common_args": self.cluster.direct_ssh_arguments}
        extra = json.dumps({"kubeharden_report_dir": str(report), "kubeharden_fail_on": "none", **direct, **named})
        words = ["verify.yml", *arguments, "-e", extra]
        done = self.cluster.playbook(words[0], *words[1:], check=False, env=self.environment())
        path = report / "report.json"
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"results": []}
        return VerifyRun(" ".join(words), done.returncode, done.stdout + done.stderr, document)

    # kube-bench

    def bench(self, name: str) -> dict[str, set[str]]:
        """The numbers of the checks that kube-bench fails, by host; its reports are kept below build/artefacts.

        :param name: of the moment, for the kept report.
        """
        shape = shape_of(self.cluster)
        folder = ARTEFACTS / "kube-bench" / shape
        folder.mkdir(parents=True, exist_ok=True)
        failed: dict[str, set[str]] = {}
        for host in self.cluster.hosts:
            found = self.cluster.kube_bench(host, keep=folder / f"{name}-{host}.json")
            (folder / f"{name}-{host}.txt").write_text("\n".join(found) + "\n", encoding="utf-8")
            failed[host] = {line.split()[1] for line in found if line.startswith("FAIL ")}
        print(f"kube-bench {shape} {name}: " + ", ".join(f"{host} FAIL {len(failed[host])}" for host in failed))
        return failed

    def left_by_bench(self, name: str) -> dict[str, set[tuple[str, str]]]:
        """What kube-bench fails and warns of, as result and check, by host, from the reports that ``bench`` kept."""
        shape = shape_of(self.cluster)
        found: dict[str, set[tuple[str, str]]] = {}
        for host in self.cluster.hosts:
            text = (ARTEFACTS / "kube-bench" / shape / f"{name}-{host}.txt").read_text(encoding="utf-8")
            rows = [line.split() for line in text.splitlines()]
            found[host] = {(words[0], words[1]) for words in rows}
        return found


#: What kube-bench fails on hosts as kubeadm makes them, beside 1.1.11, which depends on the host.
FRESH_CONTROL_PLANE = {
    *("1.1.12", "1.2.5", "1.2.15", "1.2.16", "1.2.17", "1.2.18", "1.2.19", "1.2.30", "1.3.2", "1.4.1"),
    *("4.1.1", "4.1.9"),
}
FRESH_WORKER = {"4.1.1", "4.1.9"}
_OF_THE_HOST = {"1.1.11"}


def fails_as_kubeadm_made_it(failed: Mapping[str, set[str]], control_planes: Collection[str]) -> None:
    """Hold what kube-bench fails before a run to what it is known to: 12 or 13 on a control plane, 2 on a worker."""
    wanted = {host: FRESH_CONTROL_PLANE if host in control_planes else FRESH_WORKER for host in failed}
    found = {host: checks - (_OF_THE_HOST if host in control_planes else set()) for host, checks in failed.items()}
    assert found == wanted


def warns_of_no_more_than_is_promised(
    left: Mapping[str, set[tuple[str, str]]], control_planes: Collection[str], minor: str
) -> None:
    """Hold the number of kube-bench's warnings after profile cis to the promise, whatever the page says."""
    older = int(int(minor.split(".")[1]) < 36)
    for host, found in left.items():
        warned = sorted(check for result, check in found if result == "WARN")
        assert len(warned) <= (40 if host in control_planes else 2) + older, (host, warned)


def of_this_slice(checks: set[str]) -> set[str]:
    """Those checks that concern files and audit."""
    audit = {"1.2.16", "1.2.17", "1.2.18", "1.2.19", "3.2.1"}
    return {number for number in checks if number.startswith(("1.1.", "4.1.")) or number in audit}


def restarted(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """The components of a host that were restarted between two looks at its processes."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def started(processes: Mapping[str, str], component: str) -> float:
    """When a component of a host was started, in seconds, from a look at its processes."""
    return time.mktime(time.strptime(processes[component].partition(" ")[2], "%a %b %d %H:%M:%S %Y"))


def announced(changes: list[dict[str, Any]], host: str) -> set[str]:
    """The components of a host that its changes say they restart."""
    return {component for change in changes if change["host"] == host for component in change["restart"]}


def kill_run(process: subprocess.Popen[bytes]) -> None:
    """Kill a run and everything that it started on the controller, as if its machine had lost power."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(what: str, seconds: float, ready: Callable[[], bool], pause: float = 0.3) -> None:
    """Ask until the answer is yes.

    :raises AssertionError: it was not within ``seconds``.
    """
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(pause)


def without_random(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Changes without the fields that each of them marks as random."""
    return [{name: value for name, value in change.items() if name not in change["random"]} for change in changes]
