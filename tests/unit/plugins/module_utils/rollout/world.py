# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in which only time passes: processes, containers and answers come and go as a test says, none of them real.

Times are seconds since the world began. The measured times of real clusters are in docs/measured.md.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import typing as t
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import occurrences, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, Peer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.pod_logs import telling
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Memory, Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, front_door, watch

OLD = ["kube-apiserver", "--advertise-address=192.0.2.11", "--v=1"]
NEW = ["kube-apiserver", "--advertise-address=192.0.2.11", "--v=2"]
FRONT_DOOR = "192.0.2.1"
FOREVER = 1e9
PORTS = {"kube-apiserver": "6443", "kube-controller-manager": "10257", "kube-scheduler": "10259", "etcd": "2379"}


@dataclasses.dataclass
class Life:
    """One process: there from ``start`` to ``end``, well from ``well`` to ``unwell``."""

    pid: int
    arguments: Sequence[str]
    start: float = 0.0
    end: float = FOREVER
    well: float = 0.0
    unwell: float = FOREVER

    @property
    def port(self) -> str:
        """Where it listens."""
        flags = occurrences(parse_arguments(self.arguments[1:]), "secure-port")
        return flags[-1] if flags else PORTS[self.arguments[0]]


@dataclasses.dataclass
class Box:
    """One container: listed from ``start``, ended at ``exited``, no longer listed from ``gone`` on."""

    id: str
    start: float = 0.0
    exited: float = FOREVER
    gone: float = FOREVER
    code: int = 1
    reason: str = "Error"
    message: str = ""
    attempt: int = 0
    uid: str = "new"
    pod: str = "kube-apiserver-cp1"
    component: str = "kube-apiserver"


class Runtime:
    """The container runtime of the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stopped: list[tuple[str, int]] = []
        self.store: list[cri.Image] = []
        self.name = "containerd"
        self.when_stopped: Callable[[str], None] = lambda _container: None

    def version(self) -> cri.Version:
        return cri.Version(self.name, "2.1.0", "v1")

    def containers(self, state: str | None = None, labels: Mapping[str, str] | None = None) -> list[cri.Container]:
        self._world.refuse_blindness()
        found = [self._container(box) for box in self._world.boxes if self._world.listed(box)]
        wanted = dict(labels or {})
        return [
            one
            for one in found
            if state in (None, one.state) and all(one.labels.get(key) == value for key, value in wanted.items())
        ]

    def container(self, container_id: str) -> t.Any:
        self._world.refuse_blindness()
        box = next((box for box in self._world.boxes if box.id == container_id and self._world.listed(box)), None)
        if box is None:
            return None
        listed = self._container(box)
        return cri.ContainerStatus(
            id=box.id,
            name=box.component,
            attempt=box.attempt,
            state=listed.state,
            created=box.start,
            started=box.start,
            finished=None,
            exit_code=box.code,
            image="",
            image_ref="",
            reason=box.reason if listed.state == cri.EXITED else "",
            message=box.message,
            log_path="",
            labels=listed.labels,
        )

    def stop_container(self, container_id: str, grace: int) -> None:
        self._world.refuse_blindness()
        self.stopped.append((container_id, grace))
        self.when_stopped(container_id)

    def image(self, reference: str) -> cri.Image | None:
        return next((one for one in self.store if reference in one.tags), None)

    def images(self) -> list[cri.Image]:
        return self.store

    def _container(self, box: Box) -> cri.Container:
        return cri.Container(
            id=box.id,
            sandbox_id="",
            name=box.component,
            attempt=box.attempt,
            image="",
            state=cri.EXITED if self._world.time >= box.exited else cri.RUNNING,
            created=box.start,
            labels={
                cri.LABEL_POD_NAMESPACE: "kube-system",
                cri.LABEL_CONTAINER_NAME: box.component,
                cri.LABEL_POD_NAME: box.pod,
                cri.LABEL_POD_UID: box.uid,
            },
            annotations={},
        )


def listed(name: str, trouble: str) -> dict[str, t.Any]:
    """A node as the API lists it."""
    ready = {"type": "Ready", "status": "False" if trouble else "True", "reason": trouble or "KubeletReady"}
    return {"metadata": {"name": name}, "status": {"conditions": [ready]}}


def control_plane(name: str, address: str) -> dict[str, t.Any]:
    """The node of a control plane as the API lists it."""
    node = listed(name, "")
    node["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
    node["status"]["addresses"] = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    return node


def ended(encoding: serialization.Encoding) -> bytes:
    """A certificate that ended before the world began."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    times = builder.not_valid_before(datetime.datetime(1960, 1, 1)).not_valid_after(datetime.datetime(1961, 1, 1))
    return times.serial_number(1).sign(key, hashes.SHA256()).public_bytes(encoding)


class World:
    """Time, and what is there at each time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.lives: list[Life] = []
        self.boxes: list[Box] = []
        #: From when to when the runtime's socket does not answer.
        self.blind: list[tuple[float, float]] = []
        #: By pod, the lines of the container's attempt that has written last.
        self.logs: dict[str, list[str]] = {}
        self.attempt = 9
        self.journal: list[tuple[float, str]] = []
        self.usage: dict[str, str] = {}
        #: What the kernel says of memory, None where it says nothing.
        self.memory: Memory | None = None
        self.runtime: Runtime | None = Runtime(self)
        #: What every path answers while a process is well; others answer 200.
        self.answers: dict[str, int] = {}
        #: Whether the kernel lets new connections be kept from a process; from which they are kept; when that began.
        self.can_close = True
        self.closed: set[int] = set()
        self.closings: list[tuple[float, int]] = []
        #: The members of etcd's cluster, and what is wrong with each.
        self.members: dict[str, str] = {"cp1": ""}
        #: What was asked of kubelets through the API server, and what is answered first.
        self.reached: list[str] = []
        self.kubelets: list[Answer] = []
        #: The cluster's nodes, and why each is not Ready.
        self.nodes: dict[str, str] = {}
        #: API servers of other hosts, by their addresses, and what each answers.
        self.others: dict[str, int] = {}
        #: Nodes of control planes, with their addresses.
        self.control_planes: dict[str, str] = {}
        #: What the front door shows at the next connection, where this host's own API server shows b"own".
        self.front: Callable[[], bytes | None] = lambda: b"own"
        #: Addresses of the API servers that the API lists.
        self.servers = ["192.0.2.11"]
        #: The administrator's kubeconfig; whether the run goes on when its certificate has ended, or that of a server;
        #: and the certificate that an API server shows, None where nobody looks.
        self.admin = Kubeconfig("/etc/kubernetes/admin.conf", "kubernetes", "admin", f"https://{FRONT_DOOR}:6443")
        self.allow_expired = False
        self.shown: bytes | None = None
        #: Called when their time has come, so that a test can let something happen.
        self.events: list[tuple[float, Callable[[], None]]] = []
        #: Called whenever time has passed.
        self.always: list[Callable[[], None]] = []

    def refuse_blindness(self) -> None:
        """Raise what a runtime's socket raises that does not answer."""
        if any(start <= self.time < end for start, end in self.blind):
            raise HardeningError("KH120", "/run/containerd/containerd.sock did not answer within 10 s.")

    def listed(self, box: Box) -> bool:
        return box.start <= self.time < box.gone

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        due = [event for event in self.events if event[0] <= self.time]
        self.events = [event for event in self.events if event[0] > self.time]
        for _time, act in due:
            act()
        for act in self.always:
            act()

    def find(self, component: str) -> list[Process]:
        there = [life for life in self.lives if life.start <= self.time < life.end]
        found = [Process(life.pid, list(life.arguments), life.start, int(life.start * 100), 1) for life in there]
        return sorted((one for one in found if one.name == component), key=lambda one: (one.start_ticks, one.pid))

    def same(self, process: Process) -> bool:
        return any(one.pid == process.pid for one in self.find(process.name))

    def close(self, process: Process) -> bool:
        """Keep new connections from a process, where this world's kernel can."""
        if self.can_close:
            self.closed.add(process.pid)
            self.closings.append((self.time, process.pid))
        return self.can_close

    def listens(self, process: Process) -> bool:
        """Whether a process has not been told to end yet."""
        return any(life.pid == process.pid and self.time < min(life.end, life.unwell) for life in self.lives)

    def answer(self, path: str, server: str | None = None) -> Answer:
        """What a server's port answers, by default the front door's: whoever is well has it, else nobody."""
        if server in self.others:
            return Answer(self.others[server], self.listed_at(path))
        port = server.rpartition(":")[2] if server else PORTS["kube-apiserver"]
        serving = [
            life
            for life in self.lives
            if life.start <= self.time < life.end and life.well <= self.time < life.unwell and life.port == port
        ]
        if not serving:
            return Answer(0, b"", "refused")
        return Answer(self.answers.get(path, 200), self.listed_at(path))

    def listed_at(self, path: str) -> bytes:
        """The nodes, one to a page; those of control planes at once; and where the API servers live."""
        if path.endswith("/endpointslices/kubernetes"):
            endpoints = [{"addresses": [address]} for address in self.servers]
            return json.dumps({"endpoints": endpoints, "ports": [{"name": "https", "port": 6443}]}).encode()
        if path.startswith("/api/v1/nodes?labelSelector"):
            return json.dumps({"items": [control_plane(*one) for one in self.control_planes.items()]}).encode()
        if not path.startswith("/api/v1/nodes?"):
            return b""
        names = list(self.nodes)
        number = int(path.partition("&continue=")[2] or 0)
        items = [listed(name, self.nodes[name]) for name in names[number : number + 1]]
        more = {"continue": str(number + 1)} if number + 1 < len(names) else {}
        return json.dumps({"metadata": more, "items": items}).encode()

    def peer(self, host: str, _port: int) -> Peer:
        """The certificate that a server shows."""
        return Peer(self.front() if host == FRONT_DOOR else b"own")

    def sight(self) -> watch.Sight:
        """How the product sees this world."""
        return watch.Sight(
            find=self.find,
            same=self.same,
            runtime=t.cast(t.Any, self.runtime),
            kubeconfig=self.admin,
            last_words=lambda uid, _component, first: telling(self.logs.get(uid, []) if self.attempt >= first else []),
            complaints=lambda since: [line for time, line in self.journal if since <= time <= self.time],
            usage=lambda process: self.usage.get(process.arguments[0], ""),
            memory=lambda _process: self.memory,
            close=self.close,
            reopen=lambda process: self.closed.discard(process.pid),
            listens=self.listens,
            clock=lambda: self.time,
            now=lambda: self.time,
            sleep=self.sleep,
            allow_expired=self.allow_expired,
        )

    def end_the_administrator(self) -> None:
        """Let the administrator's certificate have ended before the world began, so that API servers refuse it."""
        self.admin = dataclasses.replace(self.admin, certificate=ended(serialization.Encoding.PEM))

    def end_the_servers(self) -> None:
        """Let API servers show a certificate that has ended, so that whoever verifies it gets no answer."""
        self.shown = ended(serialization.Encoding.DER)

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Let the product's client ask this world instead of a port."""
        world = self

        class Client:
            def __init__(self, kubeconfig: Kubeconfig | None, server: str | None = None, **_options: object) -> None:
                self._server, self._kubeconfig = server, kubeconfig

            def get(self, path: str) -> Answer:
                if self._kubeconfig is not None and world.shown is not None:
                    return Answer(0, b"", "certificate has expired")
                if self._kubeconfig is not None and self._kubeconfig.expired(world.time):
                    return Answer(401)
                return world.answer(path, self._server)

            def get_anew(self, path: str) -> Answer:
                world.reached.append(path)
                return world.kubelets.pop(0) if world.kubelets else world.answer(path, self._server)

        class Etcd:
            def __init__(self, address: str, *_paths: str) -> None:
                self._address = address

            def unwell(self) -> str:
                answer = world.answer("/health", self._address)
                return "" if answer.status == 200 else f"/health answered {answer.status or answer.reason}"

            def members(self) -> list[str]:
                return list(world.members)

            def unwell_members(self, members: Sequence[str]) -> list[str]:
                return [f"{name}: {world.members[name]}" for name in members if world.members[name]]

        patch.setattr(watch, "ApiClient", Client)
        patch.setattr(cluster_health, "ApiClient", Client)
        patch.setattr(watch, "EtcdClient", Etcd)
        patch.setattr(front_door, "tls_peer", world.peer)
        patch.setattr(watch, "tls_peer", lambda *_place: Peer(world.shown))


class Kubelet:
    """A kubelet that runs what lies in the manifests directory, with the times of a real one.

    Args:
        world: Where it runs.
        host: The files.
        good: Whether a component with these arguments comes up.
    """

    DIRECTORY = "/etc/kubernetes/manifests"
    #: Seconds from a change to: the old port is closed, the old process is gone, the new one starts, it is well.
    CLOSED, GONE, STARTED, WELL = 0.5, 30.0, 39.0, 42.0
    #: Of etcd, which ends by itself.
    ETCD_GONE = 9.0

    def __init__(self, world: World, host: Host, good: Callable[[Sequence[str]], bool]) -> None:
        self._world, self._host, self._good = world, host, good
        self._seen: dict[str, str] = {}
        self._pids = 100
        #: Names of files that it has seen at any time.
        self.files: set[str] = set()
        #: Component and arguments of each start that was meant to stay.
        self.starts: list[tuple[str, list[str]]] = []
        self._owner: dict[str, tuple[Life, Box]] = {}
        #: When the old process of a manifest is gone.
        self._gone: dict[str, float] = {}
        for name, text in self._listing().items():
            self._seen[name] = text
            self._start(name, text, 0.0, 0.0)
        self.starts.clear()
        world.always.append(self.look)
        if world.runtime is not None:
            world.runtime.when_stopped = self._stopped

    def _listing(self) -> dict[str, str]:
        folder = self._host.path(self.DIRECTORY)
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        self.files.update(names)
        return {name: Path(folder, name).read_text(encoding="utf-8") for name in names}

    def look(self) -> None:
        """See what has changed."""
        found = self._listing()
        for name in sorted({*found, *self._seen}):
            if found.get(name) == self._seen.get(name):
                continue
            trial = "trial" in name
            gone = self.ETCD_GONE if name.startswith("etcd") else self.GONE
            self._end(name, self.CLOSED, 1.0 if trial else gone)
            if name in found:
                # After the end of the old process the kubelet looks again at a static pod some seconds later.
                start = (
                    0.7 if trial else max(1.0, self._gone.get(name, 0.0) - self._world.time + self.STARTED - self.GONE)
                )
                well = start + (3.3 if trial else self.WELL - self.STARTED)
                self._start(name, found[name], self._world.time + start, self._world.time + well)
        self._seen = found

    def _start(self, name: str, text: str, start: float, well: float) -> None:
        manifest = Manifest.parse(text)
        component = name.partition(".")[0].replace("-kubeharden-trial", "")
        arguments = manifest.arguments(component)
        pod = f"{manifest.pod['metadata']['name']}-cp1"
        uid = f"{name}-{hash(text)}"
        if not self._good(arguments):
            for attempt in (0, 1):
                self._pids += 1
                begun = start + attempt
                exited = begun + 0.3
                self._world.boxes.append(
                    Box(f"box{self._pids}", begun, exited, attempt=attempt, uid=uid, pod=pod, component=component)
                )
                self._world.lives.append(Life(self._pids, arguments, begun, exited, well=FOREVER))
            self._world.logs[uid] = ["Error: unknown flag: --no-such-flag"]
            return
        self._pids += 1
        self.starts.append((component, arguments))
        life = Life(self._pids, arguments, start, well=well)
        self._world.lives.append(life)
        box = Box(f"box{self._pids}", start, uid=uid, pod=pod, component=component)
        self._world.boxes.append(box)
        self._owner[name] = (life, box)

    def _end(self, name: str, closed: float, gone: float) -> None:
        if name not in self._owner:
            return
        life, box = self._owner.pop(name)
        life.unwell = min(life.unwell, self._world.time + closed)
        life.end = box.exited = min(life.end, self._world.time + gone)
        box.code, box.gone = 137, box.exited + 1.0
        self._gone[name] = life.end

    def _stopped(self, container: str) -> None:
        """The same pod's container starts again at once."""
        name = next(name for name, (_life, box) in self._owner.items() if box.id == container)
        self._end(name, 0.0, 0.0)
        self._start(name, self._seen[name], self._world.time + 1.3, self._world.time + 3.0)
