# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every node can pull afresh each image that pods run: seen by short-lived pods that only pull.

The kubelet itself pulls, as it would for the pods: with their pull secrets, its own credential providers and its
runtime's mirrors. The program that these pods are to start does not exist, so nothing of an image is run.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import pulls
from ansible_collections.kubeharden.core.plugins.module_utils.controls.pulls import Need, Unpulled
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal

#: The journal's step while there are such pods.
STEP = "image_pulls"
#: Pods on one node at a time, and of how many that it has room for these may be one: it takes a certain number only.
PER_NODE = 8
_SHARE = 2
#: How many pods a kubelet takes by itself.
_USUAL_ROOM = 110
#: Images of one pod; a kubelet by itself pulls one after the other.
PER_POD = 20
#: Seconds that a pull which failed may still succeed; the kubelet tries again after ten.
PATIENCE = 20.0
INTERVAL = 1.0
_ATTEMPTS = 5
#: Seconds after which a kubelet ends such a pod by itself, should nobody remove it.
_DEADLINE = 3600


_T = t.TypeVar("_T")
_R = t.TypeVar("_R")


class AtOnce(t.Protocol):
    """Asks the API for several things at a time, and returns the answers in their order."""

    def __call__(self, ask: t.Callable[[_T], _R], items: t.Sequence[_T]) -> list[_R]: ...


def one_by_one(ask: t.Callable[[_T], _R], items: t.Sequence[_T]) -> list[_R]:
    """Ask for one thing after the other."""
    return [ask(item) for item in items]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the cluster is seen and asked; tests give their own.

    Attributes:
        pods: Every pod.
        nodes: Every node.
        probes: The pods that only pull.
        create: Makes a pod: empty where it was made, None where the API is to be asked again, else why it refused.
        remove: Removes a pod by its namespace and name, at once, and says why it could not; one that is gone is no
            matter.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
        at_once: How several pods are made or removed.
    """

    pods: t.Callable[[], list[dict[str, t.Any]]]
    nodes: t.Callable[[], list[dict[str, t.Any]]]
    probes: t.Callable[[], list[dict[str, t.Any]]]
    create: t.Callable[[dict[str, t.Any]], str | None]
    remove: t.Callable[[str, str], str]
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]
    at_once: AtOnce = one_by_one


@dataclasses.dataclass
class Probe:
    """One pod that pulls some images on one node.

    Attributes:
        name: Its own.
        node: Where it is.
        need: Whose credentials it has; its images are those that this pod pulls.
        left: Of them those of which it is not known yet whether they were pulled.
        failing: By image, since when its pull fails.
        limited: Whether a registry limits how often it is asked for one of them.
    """

    name: str
    node: str
    need: Need
    left: set[str]
    failing: dict[str, float] = dataclasses.field(default_factory=dict)
    limited: bool = False

    def document(self) -> dict[str, t.Any]:
        """Return the pod; every level of Pod Security admits it."""
        own = {
            "imagePullPolicy": "Always",
            "command": ["/kubeharden-only-pulls"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": self.need.namespace,
                "labels": {"app.kubernetes.io/managed-by": "kubeharden", pulls.PROBE: "image-pull"},
            },
            "spec": {
                "nodeName": self.node,
                "restartPolicy": "Never",
                "serviceAccountName": self.need.account,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "imagePullSecrets": [{"name": name} for name in self.need.secrets],
                "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 0,
                "activeDeadlineSeconds": _DEADLINE,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65534,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {"name": container, "image": image, **own} for container, image in self._containers().items()
                ],
            },
        }

    def look(self, pod: t.Mapping[str, t.Any] | None, now: float) -> dict[str, str]:
        """Return by image what is certain now, and was not before: empty where it was pulled, else why it was not."""
        found = {}
        self.limited = False
        for container, image in self._containers().items():
            if image not in self.left:
                continue
            if pod is None:
                found[image] = "somebody else removed the pod that was to pull it"
                continue
            outcome = pulls.outcome(pod, container)
            self.limited = self.limited or outcome.words == pulls.LIMITED
            if outcome.words:
                since = self.failing.setdefault(image, now)
                if outcome.final or now - since >= PATIENCE:
                    found[image] = outcome.words
            elif outcome.pulled:
                found[image] = ""
        self.left -= set(found)
        return found

    def _containers(self) -> dict[str, str]:
        return {f"image-{number}": image for number, image in enumerate(self.need.images)}


class _Work:
    """The pods that are to be made on each node, those that are there, and what was found."""

    def __init__(
        self, cluster: Cluster, name: str, needs: t.Mapping[str, t.Sequence[Need]], rooms: t.Mapping[str, int]
    ) -> None:
        self._cluster = cluster
        self._rooms = rooms
        self._waiting = {node: collections.deque(_probes(name, node, _parts(own))) for node, own in needs.items()}
        self._there: dict[str, Probe] = {}
        self.unpulled: list[Unpulled] = []

    def finish(self, limit: float) -> list[Unpulled]:
        """Let all of it be pulled, and return what was not; a registry that limits its pulls ends it."""
        last = self._cluster.clock()
        while not self.done:
            if self.step():
                last = self._cluster.clock()
            elif self._cluster.clock() - last > limit:
                self.give_up(limit)
                break
            if any(one.words == pulls.LIMITED for one in self.unpulled):
                break
            if not self.done:
                self._cluster.sleep(INTERVAL)
        return self.unpulled

    @property
    def done(self) -> bool:
        return not self._there and not any(self._waiting.values())

    def step(self) -> bool:
        """Make what there is room for, and look at what is there; returns whether anything came of it."""
        moved = self._make()
        if not self._there:
            return moved
        seen = {str(pod["metadata"]["name"]): pod for pod in self._cluster.probes()}
        now = self._cluster.clock()
        for probe in self._there.values():
            found = probe.look(seen.get(probe.name), now)
            for image, words in found.items():
                self._tell(probe, image, words)
            moved = moved or bool(found)
        done = [probe for probe in self._there.values() if not probe.left]
        # At once, for the room that they take; what is not removed now is at the end.
        self._cluster.at_once(lambda probe: self._cluster.remove(probe.need.namespace, probe.name), done)
        for probe in done:
            del self._there[probe.name]
        return moved

    def give_up(self, limit: float) -> None:
        """Count as not pulled what no word came of."""
        for probe in [*self._there.values(), *(one for queue in self._waiting.values() for one in queue)]:
            for image in sorted(probe.left):
                self._tell(probe, image, f"nothing was heard of it for {limit:.0f} s")

    def _make(self) -> bool:
        """Make what there is room for; returns whether anything came of it. What is to be asked again stays first."""
        if any(probe.limited for probe in self._there.values()):
            return False  # it may pass; until then nobody else asks
        chosen = []
        for node, queue in self._waiting.items():
            room = self._rooms[node] - sum(1 for probe in self._there.values() if probe.node == node)
            chosen += [queue.popleft() for _number in range(min(room, len(queue)))]
        problems = self._cluster.at_once(lambda probe: self._cluster.create(probe.document()), chosen)
        for probe, problem in zip(chosen, problems):
            if problem == "":
                self._there[probe.name] = probe
            for image in sorted(probe.left) if problem else []:
                self._tell(probe, image, str(problem))
        for probe in [probe for probe, problem in zip(chosen, problems) if problem is None][::-1]:
            self._waiting[probe.node].appendleft(probe)
        return any(problem is not None for problem in problems)

    def _tell(self, probe: Probe, image: str, words: str) -> None:
        if words:
            self.unpulled.append(Unpulled(image, probe.need.namespace, probe.node, words))


def prove(cluster: Cluster, run_id: str, limit: float) -> list[Unpulled]:
    """Let every node pull each image that pods run, and return what was not pulled; no pod of this is left.

    Each image is pulled by one node first, and by the others only when every one came.

    Args:
        cluster: How the cluster is seen and asked.
        run_id: The run, from which the pods have their names.
        limit: Seconds without a step forward after which what is left counts as not pulled.
    """
    clean(cluster)
    nodes = sorted(cluster.nodes(), key=lambda node: str(node["metadata"]["name"]))
    pods = cluster.pods()
    rooms = {str(node["metadata"]["name"]): _room(node, pods) for node in nodes}
    first = pulls.on_one_node_each(pods, rooms) if rooms else {}
    try:
        unpulled = _Work(cluster, f"{run_id} first", first, rooms).finish(limit)
        # An image that nobody has cannot be pulled anywhere: no registry is asked for all the others once a node.
        return unpulled or _Work(cluster, run_id, pulls.on_the_others(pods, first), rooms).finish(limit)
    finally:
        clean(cluster)


def _room(node: t.Mapping[str, t.Any], pods: t.Iterable[t.Mapping[str, t.Any]]) -> int:
    """Return how many pods that only pull are on a node at a time."""
    name = node["metadata"]["name"]
    there = [pod for pod in pods if pod["spec"].get("nodeName") == name]
    left = [pod for pod in there if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]
    text = str(((node.get("status") or {}).get("allocatable") or {}).get("pods"))
    # A quantity: 1000 comes as 1k, of which no node needs more than is usual.
    most = int(text) if text.isdecimal() else _USUAL_ROOM
    return max(1, min(PER_NODE, (most - len(left)) // _SHARE))


def clean(cluster: Cluster) -> list[str]:
    """Remove every pod that only pulls, and return what was removed, as namespace and name.

    Raises:
        HardeningError: The API does not remove one.
    """
    found = {(str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"])) for pod in cluster.probes()}
    left = found
    for _attempt in range(_ATTEMPTS):
        pods = sorted(left)
        problems = dict(zip(pods, cluster.at_once(lambda pod: cluster.remove(*pod), pods)))
        left = {pod for pod, words in problems.items() if words}
        if not left:
            return [f"{namespace}/{name}" for namespace, name in sorted(found)]
        cluster.sleep(INTERVAL)
    told = "; ".join(f"{namespace}/{name}: {problems[namespace, name]}" for namespace, name in sorted(left))
    raise HardeningError(
        "KH221", f"Pods that only pull images were not removed ({told}). The next run removes them; they run nothing."
    )


def recover(host: Host, cluster: t.Callable[[], Cluster]) -> list[str]:
    """Remove the pods that a run which died left; returns what was done, as sentences."""
    journal = Journal(host)
    pending = journal.read().get(STEP)
    if pending is None:
        return []
    removed = clean(cluster())
    journal.strike(STEP)
    if not removed:
        return []
    return [f"Run {pending['run_id']} died while nodes pulled images: {', '.join(removed)} were removed."]


def _parts(needs: t.Iterable[Need]) -> list[Need]:
    """Return needs of which each fits in one pod."""
    return [
        dataclasses.replace(need, images=need.images[start : start + PER_POD])
        for need in needs
        for start in range(0, len(need.images), PER_POD)
    ]


def _probes(work: str, node: str, parts: t.Sequence[Need]) -> list[Probe]:
    return [Probe(_name(work, node, number), node, part, set(part.images)) for number, part in enumerate(parts)]


def _name(work: str, node: str, number: int) -> str:
    """Return a name that no other pod has, short enough whatever the node is called."""
    return f"kubeharden-pull-{hashlib.sha256(f'{work} {node} {number}'.encode()).hexdigest()[:12]}"
