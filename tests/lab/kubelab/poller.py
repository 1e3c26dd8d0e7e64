# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say whether a lab's cluster serves all the while.

Counted as failed (F), without any retry:

- a GET of an object every 100 ms on a new TLS connection through the load balancer with a client certificate,
- a write of a ConfigMap every 500 ms, likewise on a new connection,
- a watch of that ConfigMap: it may end, but must be taken up again at once and show every write that was accepted.

Counted apart (K), since a server that stops under kubeadm's own flags may cut them: GETs on two connections that are
kept open, and those of a pod that goes through the Service with its mounted token.

Each failure is printed when it happens (the pod's at the end) with its time, and last
`requests N failed F kept K longest S seconds`: N counts every request, S is the longest of those that count for F.
The exit code is 1 when F is not 0.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import http.client
import json
import re
import select
import signal
import ssl
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from lab.kubelab import cluster, hosts, session, state
from lab.kubelab.base import HERE, LabError, main, wait_for
from lab.kubelab.prepare import TEST_IMAGE

INTERVAL = 0.1
WRITE_INTERVAL = 0.5
LIMIT = 5.0
KEPT_CONNECTIONS = 2
FAILED, KEPT = "failed", "kept"

OBJECTS = """\
apiVersion: v1
kind: Namespace
metadata:
  name: {name}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: beat
  namespace: {name}
data:
  beat: "0"
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: beat
  namespace: {name}
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [beat]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: beat
  namespace: {name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: beat
subjects:
- kind: ServiceAccount
  name: default
  namespace: {name}
"""

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: through-service
  namespace: {name}
spec:
  nodeName: {node}
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsNonRoot: true
    runAsUser: 65534
    seccompProfile:
      type: RuntimeDefault
  containers:
  - name: probe
    image: {image}
    args: [poll, api/v1/namespaces/{name}/configmaps/beat]
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop: [ALL]
"""


@dataclasses.dataclass
class Failure:
    """One failure: when it began (Unix time), whether it counts for F or K, what was tried, and why it failed."""

    time: float
    counts: str
    what: str
    reason: str

    def __str__(self) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(self.time)) + f"{self.time % 1:.3f}"[1:]
        return f"{moment} {self.counts} {self.what}: {self.reason}"


class Tally:
    """What happened so far; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.longest = 0.0
        self.failures: list[Failure] = []

    def answered(self, counts: str, seconds: float) -> None:
        with self._lock:
            self.requests += 1
            if counts == FAILED:
                self.longest = max(self.longest, seconds)

    def failed(self, counts: str, what: str, reason: str, began: float) -> None:
        failure = Failure(began, counts, what, " ".join(reason.split()))
        with self._lock:
            self.failures.append(failure)
        print(failure, flush=True)

    def count(self, counts: str) -> int:
        return sum(failure.counts == counts for failure in self.failures)

    def summary(self) -> str:
        return (
            f"requests {self.requests} failed {self.count(FAILED)} kept {self.count(KEPT)} "
            f"longest {self.longest:.2f} seconds"
        )


class Api:
    """The API of a cluster as its administrator's kubeconfig names it."""

    def __init__(self, kubeconfig: Path) -> None:
        text = kubeconfig.read_text(encoding="utf-8")

        def field(name: str) -> str:
            match = re.search(rf"^\s*{name}: (\S+)$", text, re.MULTILINE)
            if match is None:
                raise LabError(f"{kubeconfig}: no {name}")
            return match.group(1)

        def data(name: str) -> bytes:
            return base64.b64decode(field(name))

        address = urlsplit(field("server"))
        self._host, self._port = str(address.hostname), address.port or 443
        self._context = ssl.create_default_context(cadata=data("certificate-authority-data").decode())
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "client.pem"
            pair.touch(0o600)
            pair.write_bytes(data("client-certificate-data") + b"\n" + data("client-key-data"))
            self._context.load_cert_chain(pair)

    def connect(self) -> http.client.HTTPConnection:
        """A connection that opens with its first request; no step of it may take longer than LIMIT."""
        return http.client.HTTPSConnection(self._host, self._port, timeout=LIMIT, context=self._context)


def ask(connection: http.client.HTTPConnection, path: str, patch: str | None = None) -> bytes:
    """Send one request and return the body.

    :raises RefusedError: the status was not 200.
    """
    if patch is None:
        connection.request("GET", path)
    else:
        connection.request("PATCH", path, patch, {"Content-Type": "application/merge-patch+json"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RefusedError(f"status {response.status} {body[:200].decode(errors='replace')}")
    return body


def is_over(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed a connection on which nothing is under way.

    Clients look before they send, as RFC 9112, 9.5 asks of them; Python's does not. What a server closes as a request
    is on its way to it is not seen here, and costs that request.
    """
    if connection.sock is None:
        return False
    look = select.poll()
    # Nothing is expected but the end: each answer was read as a whole.
    look.register(connection.sock, select.POLLIN)
    return bool(look.poll(0))


class RefusedError(Exception):
    """The API answered with another status than 200."""


TROUBLE = (OSError, http.client.HTTPException, RefusedError, ValueError)
"""All that a request can end with; ssl.SSLError and time-outs are OSErrors."""


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, RefusedError) else str(error)


class Poller:
    """All that asks the cluster, in threads, until ``stop``."""

    def __init__(self, api: Api, namespace: str, tally: Tally) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._tally = tally
        self._end = threading.Event()
        self._written: dict[int, float] = {}
        self._seen: set[int] = set()
        self._version = ""
        self._threads = [
            threading.Thread(target=self._get_all, name="get"),
            threading.Thread(target=self._write_all, name="write"),
            threading.Thread(target=self._watch, name="watch"),
            *(threading.Thread(target=self._keep, name=f"kept {i}") for i in range(KEPT_CONNECTIONS)),
        ]
        self._watch_ends = threading.Event()

    def start(self) -> None:
        """Begin. The watch's first version is read before the first write, so that it must show every one."""
        connection = self._api.connect()
        try:
            self._version = str(json.loads(ask(connection, f"{self._path}/beat"))["metadata"]["resourceVersion"])
        finally:
            connection.close()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all requests, let the watch catch up, and count what it never showed."""
        self._end.set()
        for thread in self._threads:
            if thread.name != "watch":
                thread.join()
        until = time.monotonic() + 2 * LIMIT
        while self._unseen(0) and time.monotonic() < until:
            time.sleep(INTERVAL)
        self._watch_ends.set()
        for thread in self._threads:
            thread.join()
        for beat in self._unseen(0):
            self._tally.failed(FAILED, "watch", f"event {beat} was lost", self._written[beat])

    def _unseen(self, age: float) -> list[int]:
        now = time.time()
        return [beat for beat, when in sorted(self._written.items()) if beat not in self._seen and now - when >= age]

    def _get_all(self) -> None:
        self._steadily(INTERVAL, lambda _dummy: self._once("get", f"{self._path}/beat", None))

    def _write_all(self) -> None:
        self._steadily(WRITE_INTERVAL, self._write)

    def _steadily(self, interval: float, task: Callable[[int], object]) -> None:
        """Start the task at every tick, whether or not earlier ones have ended."""
        with ThreadPoolExecutor(int(LIMIT / interval) * 2) as pool:
            start = time.monotonic()
            number = 0
            while not self._end.wait(max(0.0, start + number * interval - time.monotonic())):
                number += 1
                pool.submit(task, number)

    def _once(self, what: str, path: str, patch: str | None) -> bool:
        """One request on a connection of its own; says whether it was well."""
        began, clock = time.time(), time.monotonic()
        connection = self._api.connect()
        try:
            ask(connection, path, patch)
        except TROUBLE as error:
            self._tally.failed(FAILED, what, reason_of(error), began)
            return False
        finally:
            connection.close()
            seconds = time.monotonic() - clock
            self._tally.answered(FAILED, seconds)
        if seconds > LIMIT:
            self._tally.failed(FAILED, what, f"took {seconds:.1f} s", began)
        return True

    def _write(self, beat: int) -> None:
        patch = json.dumps({"data": {"beat": str(beat)}})
        if self._once("write", f"{self._path}/beat", patch):
            self._written[beat] = time.time()

    def _keep(self) -> None:
        """GETs on one connection. A new one is opened when the server said so or closed it, or after a failure."""
        connection = self._api.connect()
        while not self._end.wait(INTERVAL):
            began, clock = time.time(), time.monotonic()
            if is_over(connection):
                connection.close()
            try:
                ask(connection, f"{self._path}/beat")
            except TROUBLE as error:
                self._tally.failed(KEPT, threading.current_thread().name, reason_of(error), began)
                connection.close()
                connection = self._api.connect()
            self._tally.answered(KEPT, time.monotonic() - clock)
        connection.close()

    def _watch(self) -> None:
        version = self._version
        while not self._watch_ends.is_set():
            connection = self._api.connect()
            began = time.time()
            try:
                version = self._follow(connection, version)
                pause = INTERVAL
            except TROUBLE as error:
                self._tally.failed(FAILED, "watch", reason_of(error), began)
                pause = 1.0
            finally:
                connection.close()
            self._watch_ends.wait(pause)

    def _follow(self, connection: http.client.HTTPConnection, version: str) -> str:
        """Read events until the connection ends; return the version to go on from."""
        query = f"?watch=1&fieldSelector=metadata.name%3Dbeat&resourceVersion={version}"
        connection.request("GET", self._path + query)
        with connection.getresponse() as response:
            if response.status != 200:
                raise RefusedError(f"status {response.status}, resuming at {version}")
            while not self._watch_ends.is_set():
                try:
                    line = response.readline()
                except (OSError, http.client.HTTPException):
                    # The server went away or was long silent: to be taken up again. Lost events show at the end.
                    break
                if not line:
                    break
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RefusedError(f"watch ended with {json.dumps(event['object'])[:200]}")
                version = event["object"]["metadata"]["resourceVersion"]
                self._seen.add(int(event["object"]["data"]["beat"]))
        return version


class PodProbe:
    """A pod that asks through the Service; its words are read from its host's disk, since the API may be down."""

    def __init__(self, lab: state.Lab, namespace: str) -> None:
        self._lab = lab
        self._host = (lab.workers or lab.control_planes)[0]
        self._namespace = namespace

    def start(self) -> None:
        pod = POD.format(name=self._namespace, node=self._host.name, image=TEST_IMAGE)
        account = ("get", "serviceaccount", "default", "--namespace", self._namespace)
        # kube-controller-manager makes it, which may just look for a new leader.
        wait_for(
            "the namespace's account",
            60,
            lambda: cluster.kubectl(self._lab, *account, check=False).returncode == 0,
        )
        cluster.kubectl(self._lab, "apply", "-f", "-", stdin=pod)
        wait_for("the poller's pod", 120, lambda: any(word == "ok" for _dummy, _dummy, word in self._lines()), 0.5)

    def _lines(self) -> list[tuple[float, float, str]]:
        """Start, seconds and word (`ok` or `failed REASON`) of each request so far."""
        pattern = f"/var/log/pods/{self._namespace}_through-service_*/probe/*.log*"
        done = hosts.ssh(self._lab, self._host, [f"cat {pattern} 2>/dev/null || true"])
        found = []
        for line in done.stdout.splitlines():
            # The container runtime's format: time, stream, tag, text.
            words = line.split(" ", 5)
            if len(words) == 6 and words[1] == "stdout":
                found.append((float(words[3]), float(words[4]), words[5]))
        return found

    def count(self, tally: Tally, first: float, last: float) -> None:
        """Add the requests that began between two moments (Unix time)."""
        for began, seconds, word in self._lines():
            if first <= began <= last:
                tally.answered(KEPT, seconds)
                if word != "ok":
                    tally.failed(KEPT, "pod", word.removeprefix("failed "), began)


def poll(lab: state.Lab, seconds: float | None, report: Path | None) -> int:
    """Poll until SIGTERM, SIGINT or for ``seconds``; return 1 when something failed."""
    namespace = f"kubeharden-poller-{uuid.uuid4().hex[:6]}"
    cluster.kubectl(lab, "apply", "-f", "-", stdin=OBJECTS.format(name=namespace))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_dummy: ended.set())
    tally = Tally()
    try:
        pod = PodProbe(lab, namespace)
        pod.start()
        poller = Poller(Api(lab.directory / "admin.conf"), namespace, tally)
        print("poller: started", flush=True)
        first = time.time()
        try:
            poller.start()
        except TROUBLE as error:
            raise LabError(f"{lab.directory}: the API does not answer: {reason_of(error)}") from error
        ended.wait(seconds)
        last = time.time()
        poller.stop()
        pod.count(tally, first, last)
    finally:
        # It may be that nobody answers any more; then there is nothing to clean.
        cluster.kubectl(lab, "delete", "namespace", namespace, "--wait=false", "--request-timeout=5s", check=False)
    if report:
        data = {
            "requests": tally.requests,
            "failed": tally.count(FAILED),
            "kept": tally.count(KEPT),
            "longest": round(tally.longest, 3),
            "failures": [dataclasses.asdict(failure) for failure in tally.failures],
        }
        report.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(tally.summary(), flush=True)
    return 1 if tally.count(FAILED) else 0


def command() -> int:
    parser = argparse.ArgumentParser(
        prog="poller", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a lab that is up")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long; default: until SIGTERM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts and failures there")
    options = parser.parse_args()
    directory = options.directory.resolve()
    if not state.inside(directory):
        session.enter(directory, [str(HERE / "poller"), *sys.argv[1:]])
    return poll(state.load(directory), options.seconds, options.json)


if __name__ == "__main__":
    main(command)
