# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports as verify sees them: what they show and agree to, what strangers get, and what the API server records."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import ADMIN_KUBECONFIGS
from ansible_collections.kubeharden.core.plugins.module_utils.controls.serving_request import is_signed_by
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import (
    api_client,
    kubeconfig,
    listeners,
    listening,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import (
    serving_certificate,
    shown_certificate,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_trust import (
    Believer,
    Trust,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import LARGEST, View
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.server_probes import (
    NO_TIME,
    Server,
    ServerProbes,
)

#: Seconds that one probe may take, and after which none is begun.
PROBE_LIMIT = 3.0
PROBES_LIMIT = 45.0

#: What a plain port may say, in words.
WORDS = {
    "closed": "is closed",
    "kubernetes": "answers without credentials",
    "silent": "takes a request and says nothing",
    "other": "is something else's",
    "late": NO_TIME,
    "unreached": "is not reached",
}
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  (compared, not listened on)
_PORTS = {"kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259}


@dataclasses.dataclass(frozen=True)
class Listener:
    """A port at which a component speaks TLS, and the file of the certificate that it should show.

    ``use`` is what it shows there, in the words of those who verify it. Without ``tls`` it speaks in plain text, though
    it should not.
    """

    component: str
    address: str
    port: int
    file: str = ""
    tls: bool = True
    use: str = ""


#: etcd's flags that say where it listens, the port of their default (kubeadm sets both), and the certificate's flag.
_ETCD_URLS = (
    ("listen-client-urls", 2379, "cert-file"),
    ("listen-client-http-urls", 0, "cert-file"),
    ("listen-peer-urls", 2380, "peer-cert-file"),
)
_PLAIN = "what it speaks is not TLS: a flag says http"


class Ports:
    """Asks the ports of one host.

    Args:
        view: How the host is seen.
        kubeconfig: The administrator's kubeconfig, None for those that kubeadm wrote.
        now: Seconds since 1970.
        clock: Seconds that only go forward.
        nonce: Random letters and digits, by which requests of the probes are known.
        sleep: Waits some seconds.
        writes: Whether a marker may be made, and removed at once.
    """

    def __init__(
        self,
        view: View,
        kubeconfig: str | None,
        now: float,
        clock: t.Callable[[], float],
        nonce: str,
        sleep: t.Callable[[float], None],
        writes: bool,
    ) -> None:
        self._view = view
        self._kubeconfig = kubeconfig
        self._now = now
        self._clock = clock
        self._nonce = nonce
        self._sleep = sleep
        self._writes = writes

    def probe(
        self, kubelet: t.Mapping[str, t.Any], kube_proxy: t.Mapping[str, t.Any], trust: Trust
    ) -> dict[str, t.Any]:
        """Ask every port; what is not done when the time is over is said to be.

        Args:
            kubelet: The kubelet's evidence.
            kube_proxy: That of kube-proxy.
            trust: Who believes what is shown.
        """
        end = self._clock() + PROBES_LIMIT
        foreign = listeners.stranger(self._now)
        tls, requests = [], []
        try:
            open_ports, unseen = listening.ports(self._view.proc), ""
        except OSError as error:
            open_ports, unseen = {}, f"the kernel's list of sockets could not be read: {error.strerror}"
        for one in self._listeners(kubelet):
            where = {"component": one.component, "address": one.address, "port": one.port}
            if not one.tls:
                tls.append({**where, "problem": _PLAIN})
                requests += self._plain_requests(where, end)
                continue
            seen = self._handshakes(one, kubelet, trust.believers(one.use), end)
            tls.append({**where, **seen})
            if "old" not in seen:  # nothing speaks TLS there
                requests += [{**where, "path": "/", "credentials": kind, "status": 0, "reason": seen["problem"]}
                             for kind in ("none", "foreign")]  # fmt: skip
                continue
            asked = [(path, None) for path in listeners.GUARDED[one.component]] + [
                (listeners.GUARDED[one.component][0], foreign)
            ]
            for path, credentials in asked:
                answer = api_client.Answer(0, reason=NO_TIME)
                if self._clock() < end:
                    answer = listeners.ask(one.address, one.port, path, PROBE_LIMIT, credentials)
                kind = "foreign" if credentials else "none"
                requests.append(
                    {**where, "path": path, "credentials": kind, "status": answer.status, "reason": answer.reason or ""}
                )
        requests += self._requests_to_kube_proxy(kube_proxy, open_ports, end)
        return {
            "tls": tls,
            "requests": requests,
            "ports": self._plain_ports(open_ports, end),
            "ports_problem": unseen,
            "local": {"problem": unseen} if unseen else self._local_ports(kubelet, kube_proxy, open_ports),
            "server": self._server_probes(end),
        }

    def _plain_requests(self, where: t.Mapping[str, t.Any], end: float) -> list[dict[str, t.Any]]:
        """Ask where no credentials can be shown: what anybody gets there, any stranger gets."""
        path = listeners.GUARDED[where["component"]][0]
        answer = api_client.Answer(0, reason=NO_TIME)
        if self._clock() < end:
            answer = api_client.plain_get(where["address"], where["port"], path, PROBE_LIMIT)
        return [
            {**where, "path": path, "credentials": kind, "status": answer.status, "reason": answer.reason or ""}
            for kind in ("none", "foreign")
        ]

    def _plain_ports(self, open_ports: t.Mapping[int, t.Sequence[str]], end: float) -> list[dict[str, t.Any]]:
        """Ask the ports of old without credentials, wherever something listens there."""
        found = []
        for port, path in listeners.WITHOUT_CREDENTIALS.items():
            for address in _to_ask(open_ports.get(port) or ["127.0.0.1"]):
                left = self._clock() < end
                said = listeners.plain_port(address, port, path, PROBE_LIMIT) if left else "late"
                found.append({"port": port, "address": address, "said": said, "words": WORDS[said]})
        return found

    def _requests_to_kube_proxy(
        self, kube_proxy: t.Mapping[str, t.Any], open_ports: t.Mapping[int, t.Sequence[str]], end: float
    ) -> list[dict[str, t.Any]]:
        """Ask kube-proxy, which knows no credentials, for what its ports may hand out; ``at`` is where it listens."""
        found: list[dict[str, t.Any]] = []
        if "kube-proxy" not in self._view.processes:
            return found
        for port in dict.fromkeys(self._ports_of_kube_proxy(kube_proxy)):
            for at in open_ports.get(port, []):
                for address, path in itertools.product(_to_ask([at])[:1], listeners.PATHS_OF_KUBE_PROXY):
                    answer = api_client.Answer(0, reason=NO_TIME)
                    if self._clock() < end:
                        answer = api_client.plain_get(address, port, path, PROBE_LIMIT)
                    found.append(
                        {
                            "component": "kube-proxy", "address": address, "port": port, "at": at, "path": path,
                            "credentials": "none", "status": answer.status, "reason": answer.reason or "",
                        }
                    )  # fmt: skip
        return found

    def _ports_of_kube_proxy(self, kube_proxy: t.Mapping[str, t.Any]) -> tuple[int, int]:
        """Return the ports of its metrics and of its health, by its file or, where it has none, its flags."""
        fields = kube_proxy.get("fields") or {}
        ports = []
        for flag, field, default in (
            ("metrics-bind-address", "metricsBindAddress", 10249),
            ("healthz-bind-address", "healthzBindAddress", 10256),
        ):
            given = fields.get(field) if kube_proxy.get("file") else self._view.value("kube-proxy", flag)
            ports.append(_port(str(given or "").rpartition(":")[2], default))
        return ports[0], ports[1]

    def _local_ports(
        self,
        kubelet: t.Mapping[str, t.Any],
        kube_proxy: t.Mapping[str, t.Any],
        open_ports: t.Mapping[int, t.Sequence[str]],
    ) -> dict[str, t.Any]:
        """Return at which addresses those ports listen that are there for the host alone, as the kernel has it."""
        return {
            "ports": [
                {"component": component, "port": port, "addresses": open_ports.get(port, [])}
                for component, port in self._meant_for_the_host(kubelet, kube_proxy)
            ]
        }

    def _meant_for_the_host(
        self, kubelet: t.Mapping[str, t.Any], kube_proxy: t.Mapping[str, t.Any]
    ) -> list[tuple[str, int]]:
        running = self._view.processes
        found: list[tuple[str, int]] = [
            (component, _port(self._view.value(component, "secure-port"), _PORTS[component]))
            for component in ("kube-controller-manager", "kube-scheduler")
            if component in running
        ]
        for url in self._view.value("etcd", "listen-metrics-urls").split(","):
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.port:
                found.append(("etcd", parts.port))
        if "kubelet" in running:
            fields = kubelet.get("fields") or {}
            for flag, field, default in (("healthz-port", "healthzPort", 10248), ("read-only-port", "readOnlyPort", 0)):
                given = self._view.value("kubelet", flag) or str(fields.get(field))
                found.append(("kubelet", _port(given, default)))
        if "kube-proxy" in running:
            found.append(("kube-proxy", self._ports_of_kube_proxy(kube_proxy)[0]))
        return [(component, port) for component, port in found if port]  # 0 is closed

    def _listeners(self, kubelet: t.Mapping[str, t.Any]) -> list[Listener]:
        found = []
        for component, port in _PORTS.items():
            if component in self._view.processes:
                file = self._view.value(component, "tls-cert-file")
                use = f"{component} --tls-cert-file"
                found.append(Listener(component, *_secure(self._view, component, port), file, use=use))
        if "kubelet" in self._view.processes:
            fields = kubelet.get("fields") or {}
            address = self._view.value("kubelet", "address") or str(fields.get("address") or "")
            number = self._view.value("kubelet", "port") or str(fields.get("port") or "")
            file = serving_certificate(self._view, kubelet)
            found.append(Listener("kubelet", _reachable(address), _port(number, 10250), file))
        return found + self._listeners_of_etcd()

    def _listeners_of_etcd(self) -> list[Listener]:
        """Return every address at which etcd speaks to clients or members; those by default where a flag is absent."""
        found: list[Listener] = []
        for flag, port, file in _ETCD_URLS:
            default = port and self._view.etcd_has_its_default(flag)
            given = [f"http://localhost:{port}"] if default else self._view.values("etcd", flag)
            for url in ",".join(given).split(","):
                try:
                    parts = urlsplit(url)
                    number = parts.port or port
                except ValueError:
                    continue  # no etcd starts with it
                if parts.scheme in ("https", "http") and parts.hostname and number:
                    certificate = self._view.value("etcd", file)
                    address, tls = _reachable(parts.hostname), parts.scheme == "https"
                    found.append(Listener("etcd", address, number, certificate if tls else "", tls, f"etcd --{file}"))
        return found

    def _server_probes(self, end: float) -> dict[str, t.Any]:
        """Look at what this host's API server records, tells and stores."""
        name = "kube-apiserver"
        if name not in self._view.processes:
            return {}
        if not self._view.host.can_own:
            return {"problem": f"its log and its client certificate may not be read: {self._view.privilege}"}
        log = self._view.value(name, "audit-log-path")
        server = Server(
            url=own_server(self._view),
            credentials=self._credentials(),
            audit_log=self._view.path_as(name, log) if log.startswith("/") else "",
            batches=self._view.value(name, "audit-log-mode") == "batch",
            etcd=self._etcd_client(),
            prefix=self._view.value(name, "etcd-prefix") or "/registry",
        )
        probes = ServerProbes(server, PROBE_LIMIT, end, self._nonce, self._clock, self._sleep)
        marker = {"marker": probes.mark()} if self._writes else {}
        return {"log": log, **probes.look(), **marker}

    def _credentials(self) -> kubeconfig.Kubeconfig | None:
        for path in (self._kubeconfig, *ADMIN_KUBECONFIGS):
            if path and self._view.exists(path):
                try:
                    return kubeconfig.load(self._view.host.path(path))
                except HardeningError:
                    continue  # it is said among the certificates; a request without credentials is recorded too
        return None

    def _etcd_client(self) -> EtcdClient | None:
        """Return a client with what the API server itself shows etcd."""
        name = "kube-apiserver"
        address = next((url for url in self._view.values(name, "etcd-servers") if url.startswith("https://")), "")
        paths = [self._view.value(name, flag) for flag in ("etcd-cafile", "etcd-certfile", "etcd-keyfile")]
        if not address or not all(paths):
            return None
        ca, certificate, key = (self._view.path_as(name, path) for path in paths)
        return EtcdClient(address, ca, certificate, key, PROBE_LIMIT)

    def _handshakes(
        self, one: Listener, kubelet: t.Mapping[str, t.Any], believers: t.Sequence[Believer], end: float
    ) -> dict[str, t.Any]:
        """Return the certificate that is shown, what weak handshakes came to, and what is agreed to of what is strong.

        All but the first only where TLS is spoken, the last where the server has answered those before it.
        """
        if self._clock() >= end:
            return {"problem": NO_TIME}
        peer = api_client.tls_peer(one.address, one.port, PROBE_LIMIT)
        found: dict[str, t.Any] = {}
        if peer.certificate is None:
            found["problem"] = peer.reason
            if not str(peer.reason).startswith("tls") and peer.reason != "eof":
                return found  # nobody listens, or says a word
            lacking = listeners.no_tls(one.address, one.port, PROBE_LIMIT)
            if lacking:
                return {"problem": lacking}
        else:
            found.update(self._served(one, peer.certificate, str(kubelet.get("client_authority") or "")))
            found["disbelieved"] = self._disbelieved(one, believers, end)
        for name, attempt in (("old", listeners.try_old), ("weak", listeners.try_weak)):
            left = self._clock() < end
            tried = attempt(one.address, one.port, PROBE_LIMIT) if left else listeners.Tried(problem=NO_TIME)
            found[name] = dataclasses.asdict(tried)
        if not any(found[name]["problem"] for name in ("old", "weak")) and self._clock() < end:
            found["strong"] = listeners.try_strong(one.address, one.port, PROBE_LIMIT)
        return found

    def _disbelieved(self, one: Listener, believers: t.Sequence[Believer], end: float) -> list[str]:
        """Return who does not believe the chain that is shown, and why."""
        found = []
        for believer in believers:
            if self._clock() < end:
                why = api_client.untrusted(one.address, one.port, believer.data, PROBE_LIMIT)
                found += [f"{believer.words}: {why}"] if why else []
        return found

    def _served(self, one: Listener, certificate: bytes, authority: str) -> dict[str, t.Any]:
        where = f"{one.address}:{one.port}"
        try:
            found: dict[str, t.Any] = {"certificate": shown_certificate(certificate, where, self._now)}
        except HardeningError as error:
            return {"problem": self._view.explain(error)}
        if one.component == "kubelet":
            trusted = self._view.bytes_or_none(authority) if authority else None
            found["certificate"]["chains"] = bool(trusted and is_signed_by(certificate, trusted))
        if one.file:
            found["file"] = one.file
            try:
                data = read_bytes(self._view.path_as(one.component, one.file), limit=LARGEST)
                if data is None:
                    found["file_problem"] = f"{one.file} does not exist"
                else:
                    found["file_sha256"] = profile.from_pem(data, one.file).fingerprint
            except HardeningError as error:
                found["file_problem"] = self._view.explain(error)
        return found


def own_server(view: View) -> str:
    """Return where the API server of this host is reached, empty where none is seen to run."""
    name = "kube-apiserver"
    if name not in view.processes:
        return ""
    address, port = _secure(view, name, _PORTS[name])
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


def _secure(view: View, component: str, default: int) -> tuple[str, int]:
    """Return address and port at which a component of the control plane speaks TLS."""
    return _reachable(view.value(component, "bind-address")), _port(view.value(component, "secure-port"), default)


def _to_ask(addresses: t.Sequence[str]) -> list[str]:
    """Return where this host reaches what listens at some addresses."""
    found = []
    for address in addresses:
        # One that listens at every address of IPv6 most often takes those of IPv4 as well.
        found += {"0.0.0.0": ["127.0.0.1"], "::": ["127.0.0.1", "::1"]}.get(address, [address])  # noqa: S104
    return list(dict.fromkeys(found))


def _port(text: str, default: int) -> int:
    """Return a port as a running component has it: what is none was written behind its back."""
    return int(text) if text.isdecimal() and len(text) <= 5 else default


def _reachable(address: str) -> str:
    """Return the address at which this host reaches what listens there."""
    return "127.0.0.1" if address in _ANY_ADDRESS else address
