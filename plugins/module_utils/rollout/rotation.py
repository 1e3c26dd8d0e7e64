# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New certificates under running components: one write, restarts where they are needed, the proof, or the way back."""

from __future__ import annotations

import time
import types
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import API_SERVER
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change, Saved
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
from ansible_collections.kubeharden.core.plugins.module_utils.pki import profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import pod_logs
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer, tls_peer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import sight as sights
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_health import require_cluster_well
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.containers import restart_container
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.leaves import Issued, Leaves
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import Store
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    THIS_STEP,
    Failure,
    Sight,
    Watcher,
    local_client,
    require_served,
    require_well,
)

#: The name of the step in the journal: components that must be restarted because their kubeconfig changed.
STEP = "restarts"
#: Seconds after which the kubelet starts a container again at the latest that ends all the while.
BACKOFF = 300.0
#: Seconds between two looks at a server.
INTERVAL = 1.0
#: By certificate that a component serves once a flag names it, the component and its port.
_SERVED_BY = {
    "controller-manager-server": ("kube-controller-manager", 10257),
    "scheduler-server": ("kube-scheduler", 10259),
}
#: With what an API server shows kubelets who it is.
KUBELET_CLIENT = "apiserver-kubelet-client"
#: Seconds for which client-go keeps what it read of a certificate's file (1, transport.go), and a little more.
_CERTIFICATE_KEPT = 1.5
#: How often the way to a kubelet is tried; the first try is the one that fails.
_REACHES = 3
_ANY = ("", "0.0.0.0", "::")  # noqa: S104  (compared, not bound)
ALONE: t.Mapping[str, str] = types.MappingProxyType({})


def _is_served(answer: Answer) -> bool:
    """Whether the kubelet did what it was asked. It does not change the protocol for that, which is what the API server
    then says instead (apimachinery/pkg/util/proxy/upgradeaware.go)."""
    return answer.status == 200 or b"invalid upgrade response: status code 200" in answer.body


def _refusal(answer: Answer) -> str:
    """The kubelet's own refusal, as its server words it (pkg/kubelet/server/server.go); the API server's is JSON."""
    words = answer.body.decode("utf-8", "replace").strip()
    return f"'{words}'" if answer.status == 403 and words.startswith("Forbidden (user=") else ""


def owed(host: Host) -> list[str]:
    """Return the components whose restart a run that died did not come to."""
    return list(Journal(host).read().get(STEP) or [])


def owed_changes(components: t.Sequence[str], planned: t.Sequence[Change]) -> list[Change]:
    """Return the restarts that are owed as changes, but those that come with a change of this run.

    Args:
        components: What `owed` gave.
        planned: The changes of this run.
    """
    coming = {component for change in planned for component in change.restart}
    return [
        Change(
            "container",
            component,
            "restart",
            "may run with its old kubeconfig, since a run died before the restart\n",
            "runs with its new kubeconfig\n",
            restart=(component,),
        )
        for component in components
        if component not in coming
    ]


def endpoints(discovery: t.Mapping[str, t.Any]) -> dict[str, list[tuple[str, int]]]:
    """Return where each certificate of a control plane is shown, by its name, as the flags of its server say."""
    components = discovery["components"]
    found: dict[str, list[tuple[str, int]]] = {}
    if API_SERVER in components:
        flags = components[API_SERVER]["flags"]
        address = flags.get("bind-address", "")
        address = flags.get("advertise-address", "127.0.0.1") if address in _ANY else address
        found["apiserver"] = [(address, int(flags.get("secure-port") or 6443))]
    if "etcd" in components:
        flags = components["etcd"]["flags"]
        for name, flag in (("etcd-server", "listen-client-urls"), ("etcd-peer", "listen-peer-urls")):
            found[name] = [place for place in map(_place, (flags.get(flag) or "").split(",")) if place]
    for name, (component, port) in _SERVED_BY.items():
        flags = components.get(component, {}).get("flags", {})
        if flags.get("tls-cert-file") and flags.get("secure-port") != "0":
            address = flags.get("bind-address", "")
            found[name] = [("127.0.0.1" if address in _ANY else address, int(flags.get("secure-port") or port))]
    # As discovery has them: flags beat the configuration.
    kubelet = {**discovery["kubelet"]["configuration"], **discovery["kubelet"].get("flags", {})}
    address = str(kubelet.get("address") or "")
    found["kubelet-server"] = [("127.0.0.1" if address in _ANY else address, int(kubelet.get("port") or 10250))]
    return found


def etcd_elsewhere(discovery: t.Mapping[str, t.Any]) -> list[tuple[str, int]]:
    """Return where an API server finds an etcd whose certificates are on none of the cluster's hosts."""
    components = discovery["components"]
    if API_SERVER not in components or "etcd" in components:
        return []
    urls = (components[API_SERVER]["flags"].get("etcd-servers") or "").split(",")
    return [place for place in map(_place, urls) if place]


def _place(url: str) -> tuple[str, int] | None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not parts.port:
        return None
    return ("127.0.0.1" if parts.hostname in _ANY else parts.hostname), parts.port


class Gate:
    """Applies leaves on a host, with proof where something runs there.

    Args:
        host: The host's file system.
        store: Where the files lie.
        discovery: What runs there, None where nothing does or nothing is to be looked at.
        limit: Seconds that a component may take.
        run: Runs a command of the host.
        sight: How it is seen; by default as it is.
        beside: By host, the address of each API server that must be well before; none where a certificate somewhere
            has ended.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        discovery: t.Mapping[str, t.Any] | None,
        limit: float,
        run: pod_logs.Run,
        sight: Sight | None = None,
        beside: t.Mapping[str, str] = ALONE,
    ) -> None:
        self._host = host
        self._store = store
        self._discovery = discovery
        self._limit = limit
        self._journal = Journal(host)
        self._beside = beside
        self._sight = sight
        if sight is None and discovery is not None and API_SERVER in discovery["components"]:
            admin, socket = discovery["admin_kubeconfig"], discovery["runtime_socket"]
            self._sight = sights.build(host, admin, socket, run, allow_expired=True)

    def apply(self, planned: Leaves, answers: t.Mapping[str, str], bundles: t.Mapping[str, str]) -> dict[str, float]:
        """Write, restart and prove; return seconds by component that was restarted.

        Raises:
            HardeningError: What stopped it; the old files are back then.
        """
        asked = [component for change in planned.changes() for component in change.restart]
        components = list(dict.fromkeys([*owed(self._host), *asked]))
        if self._discovery is None:
            planned.apply(answers, bundles)
            return {}
        # With a certificate that has ended nothing can be well, nor are all served before the last host is through.
        ended = planned.replaces_ended
        if components:
            sight = t.cast(Sight, self._sight)
            for component in [] if ended else components:
                require_well(sight, component, left=THIS_STEP)
            if not ended:
                require_served(sight, THIS_STEP)
        if self._sight is not None and not ended:
            # Hosts before this one got new certificates since discovery looked at all of them. An authority or a name
            # that only others miss does not show on the host itself. Nodes have no say: a rotation that ends half-way
            # is worse than one that goes on while a node is not Ready.
            require_cluster_well(self._sight, self._beside, (), self._limit)
        if components:
            self._journal.note(**{STEP: components})
        was_permitted = self._sight is not None and planned.replaces(KUBELET_CLIENT) and self._is_permitted(self._sight)
        saved = planned.apply(answers, bundles)
        try:
            # Servers first: who is restarted has to believe its API server. But what is restarted may serve nothing
            # before.
            later = [one for one in planned.issued if _SERVED_BY.get(one.name, ("",))[0] in components]
            self._prove([one for one in planned.issued if one not in later])
            seconds = {component: self._restart(component, may_be_down=ended) for component in components}
            self._prove(later)
            if self._sight is not None and any(one.name == KUBELET_CLIENT for one in planned.issued):
                self._reach_a_kubelet(self._sight, was_permitted)
        except (Failure, HardeningError) as problem:
            raise HardeningError("KH217", self._go_back(saved, components, str(problem))) from problem
        self._journal.strike(STEP)
        return seconds

    def _restart(self, component: str, back: bool = False, may_be_down: bool = False) -> float:
        sight = t.cast(Sight, self._sight)
        path = t.cast(t.Mapping[str, t.Any], self._discovery)["components"][component]["manifest"]
        manifest = Manifest.parse(read_text(self._host.path(path)) or "", path)
        name = str(manifest.pod["metadata"]["name"])
        watcher = Watcher(sight, component, name, manifest.arguments(component), back=back)
        begun = sight.clock()
        try:
            restart_container(sight, component)
        except HardeningError:
            if not may_be_down:
                raise
        watcher.wait(self._limit + (BACKOFF if may_be_down else 0.0))
        return sight.clock() - begun

    def _prove(self, issued: t.Sequence[Issued]) -> None:
        """Every server of a new certificate shows it.

        Raises:
            Failure: One shows another, or none, all the while.
        """
        places = endpoints(t.cast(t.Mapping[str, t.Any], self._discovery))
        for one in issued:
            for place in places.get(one.name, []):
                self._await_served(one, place)

    def _reach_a_kubelet(self, sight: Sight, was_permitted: bool) -> None:
        """Let this host's API server meet its new certificate for kubelets before somebody's exec does.

        client-go closes its connections where it finds another certificate in the file, and the one among them for
        which it looked (transport/cert_rotation.go): the first exec, or the first reading of a log, would fail. Of what
        is answered only a refusal speaks of the certificate, since the kubelet of this host may be down, and only where
        its predecessor was permitted: to go back to one that is refused or has ended would help nobody.

        Raises:
            Failure: The kubelet knows the new certificate's user and permits it nothing.
        """
        answer = self._of_the_kubelet(sight)
        refusal = _refusal(answer) if answer is not None else ""
        if refusal and was_permitted:
            raise Failure(
                f"with the new '{KUBELET_CLIENT}' the kubelet of this host answers {refusal}, so that logs and exec "
                "would fail. ClusterRoleBinding kubeadm:apiserver-kubelet-client, which `kubeadm upgrade apply` makes, "
                "permits it: make it with ClusterRole system:kubelet-api-admin for that user"
            )

    def _is_permitted(self, sight: Sight) -> bool:
        """Whether the kubelet of this host serves the API server now."""
        answer = self._of_the_kubelet(sight)
        return answer is not None and _is_served(answer)

    def _of_the_kubelet(self, sight: Sight) -> Answer | None:
        """What the kubelet answers this host's API server over a new connection, at the last try; None where none
        runs."""
        node = t.cast(t.Mapping[str, t.Any], self._discovery)["node_name"]
        answer: Answer | None = None
        for process in sight.find(API_SERVER)[-1:]:
            client = local_client(sight, API_SERVER, process.arguments)
            for _attempt in range(_REACHES):
                sight.sleep(_CERTIFICATE_KEPT)
                answer = client.get_anew(f"/api/v1/nodes/{node}/proxy/healthz")
                if _is_served(answer):
                    break
        return answer

    def _await_served(self, one: Issued, place: tuple[str, int]) -> None:
        end = time.monotonic() + self._limit
        while True:
            peer = tls_peer(*place)
            if peer.certificate is not None:
                shown = profile.from_der(peer.certificate, f"{place[0]}:{place[1]}").serial_number
                if shown == one.serial:
                    return
                trouble = f"the certificate with the serial number {shown:x}"
            else:
                trouble = f"none ({peer.reason})"
            if time.monotonic() > end:
                raise Failure(
                    f"{place[0]}:{place[1]} shows {trouble} instead of the new '{one.name}' ({one.serial:x}) after "
                    f"{self._limit:.0f} s"
                )
            time.sleep(INTERVAL)

    def _go_back(self, saved: t.Sequence[Saved], components: t.Sequence[str], problem: str) -> str:
        """Put the old files back and prove the old components; return the sentence that says so."""
        told = f"The new certificates were not taken: {problem.rstrip('.')}."
        try:
            self._store.put_back(saved)
            for component in components:
                self._restart(component, back=True)
        except (Failure, HardeningError) as failure:
            return f"{told} On the way back: {str(failure).rstrip('.')}. Look at this host before anything else."
        self._journal.strike(STEP)
        return (
            f"{told} The old files are back and the components are proven well; hosts that come after were not touched."
        )
