# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests do with a cluster of the lab: the class behind the fixture ``cluster``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lab.kubelab import bring, components, state
from lab.kubelab.base import HERE, LabError

CHECKOUT = HERE.parent.parent
Completed = subprocess.CompletedProcess[str]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What cluster a test asks for.

    ``version`` is a minor version, by default the newest. ``without`` holds ``HOST:PACKAGE``. Tests that give the same
    ``name`` share a cluster which no other test touches; with an empty name they share with everybody. ``bare`` hosts
    have no cluster yet: their tests make it. ``algorithm`` is that of kubeadm's keys.
    """

    control_planes: int
    workers: int
    version: str
    without: tuple[str, ...] = ()
    name: str = ""
    bare: bool = False
    algorithm: str = state.ALGORITHM

    def __str__(self) -> str:
        extras = "".join(f" {extra}" for extra in (*self.without, self.name, self.algorithm) if extra)
        return f"{self.control_planes}+{self.workers} of {self.version}{extras}"


def shape(
    hosts: str,
    version: str | None = None,
    without: tuple[str, ...] = (),
    name: str = "",
    bare: bool = False,
    algorithm: str = state.ALGORITHM,
) -> Shape:
    """``3+2`` is three control planes and two workers."""
    control_planes, workers = (int(number) for number in hosts.split("+"))
    minor = version or components.minors()[0]
    return Shape(control_planes, workers, minor, tuple(without), name, bare, algorithm)


@dataclasses.dataclass
class Served:
    """What the poller found: F, K, the number of requests, and the longest of those that count for F (seconds)."""

    requests: int = 0
    failed: int = 0
    kept: int = 0
    longest: float = 0.0
    failures: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    output: str = ""


class Cluster:
    """A cluster of the lab that is up."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lab = state.load(directory)
        self.inventory = directory / "inventory.yml"

    @property
    def control_planes(self) -> list[str]:
        return [host.name for host in self.lab.control_planes]

    @property
    def workers(self) -> list[str]:
        return [host.name for host in self.lab.workers]

    @property
    def hosts(self) -> list[str]:
        return [host.name for host in self.lab.hosts]

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        timeout: float = 1800,
        stdin: str | None = None,
        cwd: Path = CHECKOUT,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command inside the lab's network, with KUBECONFIG set.

        :param env: added to this process' environment.
        :raises AssertionError: another exit code than 0, unless ``check`` is false; its output is shown.
        """
        done = subprocess.run(
            [HERE / "lab", "in", self.directory, *command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode != 0:
            shown = " ".join(str(word) for word in command)
            raise AssertionError(f"{shown}: exit code {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}")
        return done

    def ssh(self, host: str, command: str, *, check: bool = True, stdin: str | None = None) -> Completed:
        """Run a shell command on a host as root."""
        return self._tool("ssh", host, command, check=check, stdin=stdin)

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> Completed:
        """This version's kubectl as cluster administrator."""
        program = Path(self.lab.lower[0]) / "usr/bin/kubectl"
        return self.run(program, *arguments, check=check, stdin=stdin)

    def objects(self, *arguments: str) -> Any:
        """What ``kubectl get ARGUMENTS`` says, as data."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    @property
    def direct_ssh_arguments(self) -> str:
        """What the inventory tells ssh, but for the proxy by which it comes into the lab from outside."""
        arguments = yaml.safe_load(self.inventory.read_text(encoding="utf-8"))["all"]["vars"]["ansible_ssh_common_args"]
        return str(arguments).partition(" -o ProxyUseFdpass")[0]

    def playbook(
        self,
        name: str | Path,
        *arguments: str,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        timeout: float = 1800,
    ) -> Completed:
        """Run ansible-playbook, of the Python that runs the tests, with this cluster's inventory.

        :param name: a playbook of the checkout, such as ``harden.yml``, or a collection's, such as
            ``kubeharden.core.harden``.
        """
        programs = Path(sys.executable).parent
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", **(env or {})}
        command = [str(programs / "ansible-playbook"), "-i", str(self.inventory), str(name), *arguments]
        return self.run(*command, check=check, env=environment, cwd=cwd, timeout=timeout)

    @contextlib.contextmanager
    def poller(self) -> Iterator[Served]:
        """Poll the cluster for as long as the ``with`` block lasts; what it found is filled in at its end."""
        served = Served()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            log = Path(folder) / "log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    [HERE / "poller", self.directory, "--json", report],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            try:
                _wait_for_line(process, log, "poller: started")
                yield served
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(120)
                served.output = log.read_text(encoding="utf-8")
                print(served.output)
            for name, value in json.loads(report.read_text(encoding="utf-8")).items():
                setattr(served, name, value)

    @contextlib.contextmanager
    def losing(self) -> Iterator[None]:
        """Within the block the load balancer loses every third new connection of whoever asks; kept ones stay."""
        unlucky = self.directory / state.UNLUCKY
        self._tell_balancer(f"add acl {unlucky} 0.0.0.0/0")
        try:
            yield
        finally:
            self._tell_balancer(f"clear acl {unlucky}")

    @contextlib.contextmanager
    def passed_over(self, host: str) -> Iterator[None]:
        """Within the block the load balancer sends nobody to a host, as if its probe were not answered there."""
        self._tell_balancer(f"set server api/{host} state maint")
        try:
            yield
        finally:
            self._tell_balancer(f"set server api/{host} state ready")

    def _tell_balancer(self, command: str) -> None:
        """Give the load balancer a command; it says nothing when it has done so."""
        server = "/dev/tcp/" + state.BALANCER_CONTROL.replace(":", "/")
        said = self.run("bash", "-c", f'exec 3<>{server} && echo "$0" >&3 && cat <&3', command).stdout.strip()
        assert said == "", said

    def kube_bench(self, host: str, keep: Path | None = None) -> list[str]:
        """The FAIL and WARN lines of kube-bench on a host, such as ``FAIL 1.1.12 Ensure ...``.

        :param keep: where kube-bench's own report is kept, as JSON.
        """
        arguments = ["--json", str(keep)] if keep else []
        done = subprocess.run(
            [HERE / "kube-bench-on", self.directory, host, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[:-1]

    def power(self, action: str, host: str) -> None:
        """``cut`` a host's power and switch it on again, or only switch it ``off`` or ``on``."""
        self._tool(f"power-{action}", host)

    def renew(self, host: str) -> None:
        """Put a new machine in a host's place, which knows nothing of a cluster; the host has left it before."""
        self._tool("renew", host)

    def bring(self, version: str) -> str:
        """Let the registry serve another version's images, and lay its programs on every host; return where there."""
        self._tool("bring", version)
        return bring.place(version)

    def wait_quiet(self) -> None:
        """Wait until every node and every pod of kube-system is Ready."""
        self._tool("wait")

    def _tool(self, action: str, *arguments: str, check: bool = True, stdin: str | None = None) -> Completed:
        done = subprocess.run(
            [HERE / "lab", action, self.directory, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def _wait_for_line(process: subprocess.Popen[bytes], log: Path, line: str) -> None:
    while line not in log.read_text(encoding="utf-8").splitlines():
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the poller ended: {log.read_text(encoding='utf-8')}")


class Clusters:
    """Makes clusters for tests: one at a time, since two cores hold no more, kept for as long as tests ask for it."""

    def __init__(self) -> None:
        self._shape: Shape | None = None
        self._directory: Path | None = None

    def get(self, wanted: Shape) -> Cluster:
        given = self._given(wanted)
        if given is not None:
            return given
        if wanted != self._shape:
            self.end()
            self._directory = Path(tempfile.mkdtemp(prefix="kubeharden-lab.", dir="/var/tmp"))
            command = [str(HERE / "lab"), "up", "--version", wanted.version]
            command += ["--control-planes", str(wanted.control_planes), "--workers", str(wanted.workers)]
            command += ["--bare"] if wanted.bare else []
            command += ["--algorithm", wanted.algorithm]
            command += [word for item in wanted.without for word in ("--without", item)]
            done = subprocess.run(
                [*command, str(self._directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            print(done.stdout)
            if done.returncode != 0:
                self.end()
                raise LabError(f"no cluster {wanted}:\n{done.stdout[-4000:]}")
            self._shape = wanted
        assert self._directory is not None
        return Cluster(self._directory)

    def _given(self, wanted: Shape) -> Cluster | None:
        """The lab that the environment's KUBEHARDEN_LAB_DIR names, when it is what the test asks for."""
        place = os.environ.get("KUBEHARDEN_LAB_DIR")
        if not place or wanted.name or wanted.without or wanted.bare:
            return None
        given = Cluster(Path(place).resolve())
        asked = (wanted.control_planes, wanted.workers, wanted.version, wanted.algorithm)
        has = (len(given.control_planes), len(given.workers), given.lab.minor, given.lab.algorithm)
        return given if has == asked else None

    def end(self) -> None:
        """Take the cluster down."""
        if self._directory is not None:
            done = subprocess.run([HERE / "lab", "down", self._directory], capture_output=True, text=True, check=False)
            shutil.rmtree(self._directory, ignore_errors=True)
            directory, self._directory, self._shape = self._directory, None, None
            assert done.returncode == 0, f"{directory}: {done.stderr}"
