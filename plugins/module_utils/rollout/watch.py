# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a component is seen to be well, and how it is seen to have failed."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import occurrences, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER, PKI
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import program_at
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, ApiClient, tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubeconfig import Kubeconfig
from ansible_collections.kubeharden.core.plugins.module_utils.probes.pod_logs import telling
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Memory, Process
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

#: Both readings of a component's health must be good, this many seconds apart: the port answers before all is loaded.
STEADY = 3.0
#: In a trial there are no clients: what a component refuses ends it before it is ready.
STEADY_TRIAL = 1.0
#: Seconds between two looks.
INTERVAL = 0.5
#: Seconds between two requests to the front door: it is their number that shows what is lost.
PAUSE = 0.05
#: On the way back the kubelet may have seen nothing, so that the old process runs on; one that is being stopped answers
#: 500 at once, so this many seconds without trouble prove the old one too.
STEADY_OLD = 10.0
#: Seconds that the members of etcd may take to be well, all of them at one look, and that a component may before it is
#: believed not to be.
SETTLED = 30.0
#: A container that was never made although the kubelet complains about its image or its mounts is given up after this.
PATIENCE = 45.0
#: What was left as it was where a host is about to be changed: others, and other parts of this one, may have been.
THIS_STEP = "Nothing was changed by this step, and what the run did before it stays"
#: Reasons by which the runtime says that a container can never start.
_HOPELESS = ("StartError", "ContainerCannotRun", "CreateContainerError")
#: How the kubelet calls the time in which it does not start a container that has ended again and again.
_WAITS_OUT = "CrashLoopBackOff"
_VARIABLE = re.compile(r"\\\$\\\(([A-Za-z_][A-Za-z0-9_]*)\\\)")

_HEALTH: dict[str, tuple[str, tuple[str, ...]]] = {
    API_SERVER: ("6443", ("/livez", "/readyz")),
    "kube-controller-manager": ("10257", ("/healthz",)),
    "kube-scheduler": ("10259", ("/healthz",)),
}
#: What only an authorised client may read; for some seconds after a start even cluster-admin gets 403.
_AUTHORISED = "/api/v1/namespaces/kube-system"
#: What an API server answers that is there and does not let a stranger ask; what it lets him, it answers as to others.
_REFUSALS = (401, 403)


@dataclasses.dataclass(frozen=True)
class Sight:
    """Everything through which a host is looked at; tests give their own.

    Attributes:
        find: The processes of a component.
        same: Whether a process still is that process.
        runtime: The container runtime, None where its socket is not known.
        kubeconfig: The administrator's, for the API server's own health paths and one authorised call.
        last_words: The log line of a container that most likely says why it ended, by its pod's uid, its name and its
            first attempt that counts; empty where there is none.
        complaints: What the kubelet said since a time that matters, newest last.
        usage: What the program of a process prints of its flags, empty where it says nothing.
        memory: What memory there is beside a process, None where that is not known.
        close: Lets a process take no new connections, and returns whether it could be done.
        reopen: Lets it take them again.
        listens: Whether it listens at all.
        clock: Seconds, monotonic.
        now: Seconds since the epoch.
        sleep: Waits that many seconds.
        allow_expired: Whether the run goes on where a certificate between the administrator and the API has ended: its
            renewal is what the run is for, or no matter of it.
    """

    find: t.Callable[[str], list[Process]]
    same: t.Callable[[Process], bool]
    runtime: cri.Runtime | None
    kubeconfig: Kubeconfig
    last_words: t.Callable[[str, str, int], str]
    complaints: t.Callable[[float], list[str]]
    usage: t.Callable[[Process], str]
    memory: t.Callable[[Process], Memory | None]
    close: t.Callable[[Process], bool]
    reopen: t.Callable[[Process], None]
    listens: t.Callable[[Process], bool]
    clock: t.Callable[[], float]
    now: t.Callable[[], float]
    sleep: t.Callable[[float], None]
    allow_expired: bool = False


class Failure(Exception):
    """A component that did not come up.

    Attributes:
        reason: What was seen, half a sentence.
        lines: The component's own last words, or the kubelet's; masked.
    """

    def __init__(self, reason: str, lines: t.Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lines = list(lines)

    @property
    def last_word(self) -> str:
        """The line that most likely says why."""
        return _without_frame(telling(self.lines).strip())


def _without_frame(line: str) -> str:
    """Return what a line of etcd's log says, which is JSON with a whole stack in it; other lines as they are."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "msg" not in entry:
        return line
    return ": ".join(str(entry[key]) for key in ("msg", "error") if key in entry)


def local_server(component: str, arguments: t.Sequence[str]) -> str:
    """Return the address (https://host:port) of this host's own instance, wherever its flags bind it."""
    flags = parse_arguments(arguments)
    port = (occurrences(flags, "secure-port") or [_HEALTH[component][0]])[-1]
    address = (occurrences(flags, "bind-address") or [""])[-1]
    if address in ("", "0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        address = (occurrences(flags, "advertise-address") or ["127.0.0.1"])[-1]
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}:{port}"


def local_client(sight: Sight, component: str, arguments: t.Sequence[str]) -> ApiClient:
    """Return a client of this host's own instance."""
    server = local_server(component, arguments)
    if component == "kube-apiserver":
        return ApiClient(sight.kubeconfig, server=server, verify_hostname="kubernetes")
    # Both serve a certificate that they make at each start, on loopback; their health paths need no credentials.
    return ApiClient(None, server=server)


def etcd_client(process: Process) -> EtcdClient:
    """Return a client of the etcd that runs as a process, with the process's own certificate.

    That of its server is a client's too, since etcd is a client of itself. The files are read as the process sees
    them, so that its mounts do not matter.

    Raises:
        HardeningError: It serves its clients in a way in which it cannot be asked.
    """
    flags = parse_arguments(process.arguments[1:])
    if occurrences(flags, "listen-client-http-urls"):
        raise HardeningError(
            "KH128",
            "etcd answers HTTP apart from its clients (--listen-client-http-urls), where its members cannot be asked. "
            "Nothing was changed; leave etcd out with --skip-tags etcd.",
        )
    # One that trusts no authority of its own, which a run mends, has what kubeadm gives it all the same.
    authority = occurrences(flags, "trusted-ca-file") or occurrences(flags, "peer-trusted-ca-file")
    ca, certificate, key = (
        f"{process.proc}/{process.pid}/root{(found or [''])[-1]}"
        for found in (
            authority or [f"{PKI}/etcd/ca.crt"],
            occurrences(flags, "cert-file"),
            occurrences(flags, "key-file"),
        )
    )
    # Loopback first, as kubeadm writes it.
    for flag in ("listen-client-urls", "advertise-client-urls"):
        for url in (occurrences(flags, flag) or [""])[-1].split(","):
            parts = urlsplit(url.strip())
            if parts.scheme == "https" and parts.hostname not in (None, "0.0.0.0", "::"):  # noqa: S104  (compared)
                return EtcdClient(url.strip(), ca, certificate, key)
    raise HardeningError(
        "KH128",
        "etcd serves its clients without TLS (--listen-client-urls). Nothing was changed; give it https:// addresses, "
        "or leave it out with --skip-tags etcd.",
    )


def unwell(client: ApiClient, component: str) -> str:
    """Return what is wrong with an instance, empty where nothing is: its health paths and one authorised call."""
    paths = list(_HEALTH[component][1])
    if component == "kube-apiserver":
        paths.append(_AUTHORISED)
    for path in paths:
        answer = client.get(path)
        if answer.status != 200:
            return f"{path} answered {answer.status or answer.reason}"
    return ""


def stranger_client(component: str, arguments: t.Sequence[str]) -> ApiClient:
    """Return a client of this host's own instance that takes any certificate and has none to show."""
    return ApiClient(None, server=local_server(component, arguments))


def silent(client: ApiClient) -> str:
    """Return what is wrong with an API server, empty where it answers, if only to refuse a stranger."""
    for path in _HEALTH[API_SERVER][1]:
        answer = client.get(path)
        if answer.status not in (200, *_REFUSALS):
            return f"{path} answered {answer.status or answer.reason}"
    return ""


def is_closed(sight: Sight, server: str = "") -> bool:
    """Return whether the administrator and the API refuse one another by a certificate that has ended.

    To a run that does not go on then it is an API that is not well.

    Args:
        sight: How the host is seen.
        server: The address (https://host:port) of an API server whose own certificate counts too.
    """
    if not sight.allow_expired:
        return False
    if sight.kubeconfig.expired(sight.now()):
        return True
    place = urlsplit(server)
    shown = tls_peer(place.hostname, place.port or 443).certificate if place.hostname else None
    return shown is not None and profile.from_der(shown, server).not_after <= sight.now()


def unwell_here(sight: Sight, process: Process) -> str:
    """Return what is wrong with this host's own instance of a component, empty where nothing is."""
    if process.name == "etcd":
        return etcd_client(process).unwell()
    trouble = unwell(local_client(sight, process.name, process.arguments), process.name)
    if trouble and process.name == API_SERVER and is_closed(sight, local_server(API_SERVER, process.arguments)):
        return silent(stranger_client(API_SERVER, process.arguments))
    return trouble


def readyz(sight: Sight, server: str) -> Answer:
    """Return what an API server, of this host or another one, answers who asks whether it is well: 200 where it is."""
    answer = ApiClient(sight.kubeconfig, server=server, verify_hostname="kubernetes").get("/readyz")
    if answer.status != 200 and is_closed(sight, server):
        answer = ApiClient(None, server=server).get("/readyz")
        if answer.status in _REFUSALS:
            return dataclasses.replace(answer, status=200)
    return answer


def unready(answer: Answer) -> str:
    """Return what is wrong with an API server that answers so, empty where nothing is."""
    return "" if answer.status == 200 else f"/readyz answered {answer.status or answer.reason}"


def matches(process: Process, wanted: t.Sequence[str]) -> bool:
    """Return whether a process has a manifest's arguments; $(VARIABLE) stands for whatever the kubelet put there.

    What starts the program by its name is gone, or another process, when it runs. Where its name is not there
    (``args:`` alone, or a program of another name), the flags are the end of its arguments: the image or that program
    may give it more before them.
    """
    actual = process.arguments[1:]
    named = program_at(wanted, process.name)
    if named is not None:
        flags = wanted[named + 1 :]
        if len(actual) != len(flags):
            return False
    else:
        flags = wanted[next((index for index, word in enumerate(wanted) if word.startswith("-")), len(wanted)) :]
        if len(actual) < len(flags):
            return False
    return all(_matches_word(*pair) for pair in zip(actual[len(actual) - len(flags) :], flags))


def _matches_word(actual: str, wanted: str) -> bool:
    if actual == wanted:
        return True
    pattern = _VARIABLE.sub(".*", re.escape(wanted))
    return "$(" in wanted and re.fullmatch(pattern, actual, re.DOTALL) is not None


class Watcher:
    """Waits for one component's new process to be well.

    Args:
        sight: How the host is seen.
        component: The component.
        pod: Beginning of the pod's name, which is followed by the node's.
        wanted: The argument vector that the new process must have.
        once: Whether one exit is final (a trial) rather than the first of several.
        back: Whether this is the way back, on which there is nothing else to do but to wait: exits are no end, and an
            old process that is well all the time is one too.
    """

    def __init__(
        self,
        sight: Sight,
        component: str,
        pod: str,
        wanted: t.Sequence[str],
        once: bool = False,
        back: bool = False,
    ) -> None:
        self._sight = sight
        self._component = component
        self._pod = pod
        self._wanted = list(wanted)
        self._once = once
        self._back = back
        #: Why the container runtime could not be asked, empty while it can.
        self._blind = ""
        self._since = sight.now()
        self._begun = sight.clock()
        self._old = {(process.pid, process.start_ticks) for process in sight.find(component)}
        self._known = {container.id for container in self._containers()}
        if self._blind and not back:
            raise HardeningError(  # what ended before could not be told from what ends now
                "KH120", f"{self._blind} Look at the container runtime, and run again."
            )
        self._forgiven: dict[str, int] = {}
        #: The process that was seen last, and since when it has been well without a break.
        self._seen: tuple[int, int] | None = None
        self._well_since: float | None = None
        self._trouble = "no new process was seen"

    def forgive(self) -> None:
        """Let exits up to now be no failure: they came while the API server was away."""
        for container in self._new_containers():
            if container.state == cri.EXITED:
                self._known.add(container.id)
                self._forgiven[container.pod_uid] = container.attempt + 1
        self.begin()

    def begin(self) -> None:
        """Count the time that it may take from now on: something else was waited for until now."""
        self._begun = self._sight.clock()

    def wait(self, limit: float, meanwhile: t.Sequence[Watcher] = ()) -> Process:
        """Return the new process once it is proven well.

        Args:
            limit: Seconds that this may take.
            meanwhile: Who is waited for next: what is seen of their components in the meantime counts.

        Raises:
            Failure: It ended, cannot be started, or was not well within the limit.
        """
        while self._sight.clock() - self._begun < limit:
            if not self._back:
                self._raise_if_failed()
            process = self._look()
            if process is not None:
                return process
            for other in meanwhile:
                other._look()
            self._sight.sleep(INTERVAL)
        blind = f"; {self._blind}" if self._blind else ""
        raise Failure(f"it was not well within {limit:.0f} s ({self._trouble}{blind})", self._words())

    def _look(self) -> Process | None:
        """Look once; return the new process when it has been well for long enough."""
        process = self._new_process()
        if process is None:
            self._seen, self._well_since = None, None
            return None
        this = (process.pid, process.start_ticks)
        if this != self._seen:
            self._seen, self._well_since = this, None
        self._trouble = unwell_here(self._sight, process)
        if self._trouble or not self._sight.same(process):
            self._well_since = None
        elif self._well_since is None:
            self._well_since = self._sight.clock()
        elif self._sight.clock() - self._well_since >= self._steady(process):
            return process
        return None

    def _steady(self, process: Process) -> float:
        if (process.pid, process.start_ticks) in self._old:
            return STEADY_OLD
        return STEADY_TRIAL if self._once else STEADY

    def _new_process(self) -> Process | None:
        """Return the newest process that may be the one waited for."""
        for process in reversed(self._sight.find(self._component)):
            known = (process.pid, process.start_ticks) in self._old
            if (self._back or not known) and matches(process, self._wanted):
                return process
        return None

    def _containers(self) -> list[cri.Container]:
        """Return the pod's containers; none while the runtime cannot be asked, which only shows failures sooner."""
        if self._sight.runtime is None:
            return []
        labels = {cri.LABEL_POD_NAMESPACE: "kube-system", cri.LABEL_CONTAINER_NAME: self._component}
        try:
            containers = self._sight.runtime.containers(labels=labels)
        except HardeningError as error:
            self._blind = str(error)
            return []
        self._blind = ""
        return [entry for entry in containers if entry.labels.get(cri.LABEL_POD_NAME, "").startswith(self._pod + "-")]

    def _new_containers(self) -> list[cri.Container]:
        return [container for container in self._containers() if container.id not in self._known]

    def _raise_if_failed(self) -> None:
        containers = self._new_containers()
        ended = [container for container in containers if container.state == cri.EXITED]
        for container in ended:
            status = self._status(container)
            if status is not None and status.reason in _HOPELESS:
                words = [mask(status.message)] if status.message else []
                raise Failure(f"its container could not be started ({status.reason})", words)
        # The runtime keeps the newest one or two of a crash loop, so the attempt counts as well.
        attempts = [entry.attempt + 1 - self._forgiven.get(entry.pod_uid, 0) for entry in ended]
        enough = 1 if self._once else 2
        if ended and (len(ended) >= enough or max(attempts) >= enough):
            code = self._exit_code(ended[-1])
            raise Failure(f"it ended with exit code {code}" if code is not None else "it ended", self._words())
        if not containers and not self._blind and self._sight.clock() - self._begun > PATIENCE:
            # One that has ended again and again before waits its time out: that is no word on what was changed.
            complaints = [line for line in self._complaints() if _WAITS_OUT not in line]
            if complaints and self._new_process() is None:
                raise Failure("the kubelet could not start it", complaints)

    def _status(self, container: cri.Container) -> cri.ContainerStatus | None:
        try:
            return self._sight.runtime.container(container.id) if self._sight.runtime else None
        except HardeningError as error:
            self._blind = str(error)
            return None

    def _exit_code(self, container: cri.Container) -> int | None:
        status = self._status(container)
        return None if status is None else status.exit_code

    def _complaints(self) -> list[str]:
        return [line for line in self._sight.complaints(self._since) if self._component in line]

    def _words(self) -> list[str]:
        """Return the new process's own last words, else the kubelet's; a pod that stays has a log of the old one's."""
        new = self._new_containers()
        for uid in dict.fromkeys(container.pod_uid for container in reversed(new)):
            first = min(container.attempt for container in new if container.pod_uid == uid)
            words = self._sight.last_words(uid, self._component, first)
            if words:
                return [words]
        return self._complaints()


def require_well(
    sight: Sight, component: str, wanted: t.Sequence[str] = (), left: str = "Nothing was changed"
) -> Process:
    """Return the running process of a component that is about to be changed.

    Args:
        sight: How the host is seen.
        component: The component.
        wanted: Its manifest's argument vector, by which it is told from another program of that name; the newest of
            them is taken where nothing is said.
        left: What was left as it was, for the sentence.

    Raises:
        HardeningError: It does not run or is not well, so that a change could not be told from the trouble before.
    """
    running = sight.find(component)
    if not running:
        raise HardeningError("KH127", f"{component} does not run on this host. {left}; get it running first.")
    process = next((one for one in reversed(running) if matches(one, wanted)), running[-1])
    trouble = unwell_here(sight, process)
    if trouble:
        raise HardeningError(
            "KH127",
            f"{component} on this host is not well before any change: {trouble}. {left}; mend that first.",
        )
    return process


def require_members_well(sight: Sight, etcd: Process, left: str = "Nothing was changed") -> int:
    """Return the number of members of the cluster of an etcd, each of which is well.

    They are given a while: a leader that has just changed, or a busy machine, is no trouble.

    Args:
        sight: How the host is seen.
        etcd: The process of this host's member.
        left: What was left as it was, for the sentence.

    Raises:
        HardeningError: Whose trouble another restart would make worse.
    """
    client = etcd_client(etcd)
    members = client.members()
    end = sight.clock() + SETTLED
    while True:
        troubles = client.unwell_members(members)
        if not troubles or sight.clock() >= end:
            break
        sight.sleep(INTERVAL)
    if troubles:
        raise HardeningError(
            "KH133",
            f"etcd has members that are not well: {'; '.join(troubles)}. Its restart on this host could take the "
            f"majority away. {left}; mend them first.",
        )
    return len(members)


def refuses(sight: Sight) -> bool:
    """Return whether the API's front door answers by refusing the administrator: then it loses nothing."""
    return ApiClient(sight.kubeconfig).get("/readyz").status in _REFUSALS


def _front_door(sight: Sight) -> tuple[ApiClient, tuple[int, ...]]:
    """Return by what the API's front door is asked, and which answers are those of one that loses nothing."""
    if is_closed(sight):
        return ApiClient(None, server=sight.kubeconfig.server), (200, *_REFUSALS)
    return ApiClient(sight.kubeconfig), (200,)


def serves(sight: Sight, count: int = 10) -> bool:
    """Return whether the API's front door loses none of so many requests; the first one that is lost says it."""
    client, good = _front_door(sight)
    for number in range(count):
        if number:
            sight.sleep(PAUSE)
        if client.get("/readyz").status not in good:
            return False
    return True


def require_served(sight: Sight, left: str = "Nothing was changed", count: int = 10) -> list[float]:
    """Refuse to begin while the API's clients lose requests without any change, by new connections to its front door.

    Returns:
        Seconds by which the clock of each API server that answered, as far as it says its date, is ahead of this
        host's. Behind the front door there may be some of hosts that nobody looks at.

    Args:
        sight: How the host is seen.
        left: What was left as it was, for the sentence.
        count: How many requests are made.

    Raises:
        HardeningError: How many of the requests failed, and how.
    """
    client, good = _front_door(sight)
    failures, ahead = [], []
    for number in range(count):
        if number:
            sight.sleep(PAUSE)
        answer = client.get("/readyz")
        if answer.status not in good:
            failures.append(str(answer.status or answer.reason))
        if answer.date is not None:
            ahead.append(answer.date - sight.now())
    if failures:
        raise HardeningError(
            "KH140",
            f"{len(failures)} of {count} requests to {sight.kubeconfig.server} failed without any change "
            f"({failures[-1]}). {left}; mend the API's front door (load balancer, certificate, network) "
            "first.",
        )
    return ahead
