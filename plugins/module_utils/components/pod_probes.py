# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a static pod's probes ask, and where its component listens.

The kubelet ends what does not answer its probes. kubeadm renders their address from a flag, so that where the flag
changes they have to follow it: to where the next ``kubeadm upgrade`` would let them ask too.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components import flags
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import program_at

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

_PORTS = {"kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259}
#: Whose probes kubeadm lets ask where --bind-address says. Those of kube-apiserver ask the advertised address.
_BOUND = ("kube-controller-manager", "kube-scheduler")
_LOOPBACK = "127.0.0.1"
_ETCD_CLIENT_URLS = ("listen-client-urls", "listen-client-http-urls")
_ETCD_URLS = ("listen-metrics-urls", *_ETCD_CLIENT_URLS)
#: Where etcd serves clients that is not told where to.
_ETCD_DEFAULT = "http://localhost:2379"
_ETCD_METRICS_PORT = 2381


@dataclass(frozen=True)
class Address:
    """Where something listens, or is asked.

    :param host: empty where none is said: for who listens every address, for a probe that of the node
    :param port: 0 where it cannot be told
    :param scheme: HTTP or HTTPS, empty where it does not matter
    """

    host: str
    port: int
    scheme: str = ""

    @property
    def shown(self) -> str:
        host = self.host or "the node's address"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class _Given:
    """The flags of an argument vector."""

    def __init__(self, component: str, arguments: t.Sequence[str]) -> None:
        program = program_at(arguments, component)
        #: Whether it is the component, or its image's entry point, that gets them: of others no default is known.
        self.is_started = program is not None or (bool(arguments) and arguments[0].startswith("-"))
        self._parsed = flags.parse_arguments(list(arguments)[0 if program is None else program + 1 :])

    def last(self, flag: str) -> str:
        given = flags.occurrences(self._parsed, flag)
        return given[-1] if given else ""

    def items(self, flag: str) -> list[str]:
        value = self.last(flag)
        return value.split(",") if value else []


@dataclass(frozen=True)
class Probe:
    """One probe of a container that asks over the network.

    :param name: ``livenessProbe`` and so on
    :param kind: ``httpGet``, ``tcpSocket`` or ``grpc``
    :param port: as it is written: a number, or the name of one of the container's ports
    """

    name: str
    kind: str
    address: Address
    port: int | str


def probes(container: t.Mapping[str, t.Any]) -> list[Probe]:
    """The probes of a container that ask over the network."""
    found = []
    for name in PROBES:
        probe = _mapping(container.get(name))
        for kind in ("httpGet", "tcpSocket", "grpc"):
            asked = probe.get(kind)
            if not isinstance(asked, dict):
                continue
            port = asked.get("port")
            scheme = str(asked.get("scheme") or "HTTP").upper() if kind == "httpGet" else ""
            host = "" if kind == "grpc" else str(asked.get("host") or "")
            written = port if isinstance(port, int) else str(port)
            found.append(Probe(name, kind, Address(host, _number(container, written), scheme), written))
    return found


def own_programs(container: t.Mapping[str, t.Any]) -> list[str]:
    """The probes of a container that run a program, of which nobody can tell whom it asks."""
    return [name for name in PROBES if "exec" in _mapping(container.get(name))]


def listens(component: str, arguments: t.Sequence[str]) -> list[Address]:
    """Where a component of such arguments listens; nothing where a file says it."""
    given = _Given(component, arguments)
    if component == "etcd":
        return [_address_of(_split(url)) for url in _urls_of_etcd(given)]
    port = given.last("secure-port") or str(_PORTS[component])
    return [Address(given.last("bind-address"), int(port) if port.isdigit() else 0)]


def _urls_of_etcd(given: _Given) -> list[str]:
    if given.last("config-file"):
        return []
    urls = [url for flag in _ETCD_URLS for url in given.items(flag)]
    if given.is_started and not any(map(given.items, _ETCD_CLIENT_URLS)):
        urls.append(_ETCD_DEFAULT)  # it is not closed because there is a port for metrics beside it
    return urls


def rendered(component: str, arguments: t.Sequence[str]) -> Address | None:
    """Where kubeadm lets the probes of such arguments ask; port 0 where it has nothing to do with flags.

    None for what no flag decides.
    """
    given = _Given(component, arguments)
    if component in _BOUND:
        host = given.last("bind-address") or _LOOPBACK
        return Address("" if host in ("0.0.0.0", "::") else host, 0)  # noqa: S104  (it is compared, not bound)
    if component != "etcd":
        return None
    urls = given.items("listen-metrics-urls")
    if not urls:
        return Address(_LOOPBACK, _ETCD_METRICS_PORT, "HTTP")
    found = _address_of(_split(urls[0]))
    return Address(found.host or _LOOPBACK, found.port or _ETCD_METRICS_PORT, found.scheme or "HTTP")


def is_rendered(probe: Probe, by: Address) -> bool:
    """Whether a probe asks where kubeadm lets it ask."""
    asked = probe.address
    port = by.port in (0, asked.port)
    return probe.kind == "httpGet" and asked.host == by.host and port and by.scheme in ("", asked.scheme)


def answered(asked: Address, listening: t.Sequence[Address]) -> bool:
    """Whether somebody listens where a probe asks; also where that cannot be told."""
    if not listening or not asked.port:
        return True
    return any(one.port in (0, asked.port) and _reaches(asked.host, one.host) for one in listening)


def unanswered(component: str, container: t.Mapping[str, t.Any], arguments: t.Sequence[str]) -> list[Probe]:
    """The probes that ask where the component does not listen; none where its flags do not say where."""
    if component == "etcd" and (container.get("envFrom") or any(map(_says_where, _list(container.get("env"))))):
        return []
    listening = listens(component, arguments)
    return [probe for probe in probes(container) if not answered(probe.address, listening)]


def _says_where(variable: t.Any) -> bool:
    """Whether a variable of etcd says where it listens, which each of its flags has one for."""
    name = str(_mapping(variable).get("name"))
    return name == "ETCD_CONFIG_FILE" or name.startswith("ETCD_LISTEN_")


def _reaches(asked: str, listening: str) -> bool:
    """Whether a connection to one host arrives where another is listened on. A name may be any address."""
    ends, place = _ip(asked), _ip(listening)
    if not listening or (place is not None and place.is_unspecified):
        return True  # a wildcard of either family takes both, as Go's net.Listen has it
    if (asked and ends is None) or place is None:
        return True
    if ends is None:
        return not place.is_loopback  # the node's own address
    if ends.is_unspecified:
        return place.is_loopback  # who connects to no address in particular arrives at the host itself
    return ends == place


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _number(container: t.Mapping[str, t.Any], port: int | str) -> int:
    if isinstance(port, int):
        return port
    named = [one for one in map(_mapping, _list(container.get("ports"))) if one.get("name") == port]
    number = named[0].get("containerPort") if named else None
    if isinstance(number, int):
        return number
    return int(port) if port.isdigit() else 0


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        # A port that is none shows here.
        return parts if (parts.port or 0) >= 0 else urlsplit("")
    except ValueError:
        return urlsplit("")


def _address_of(url: SplitResult) -> Address:
    return Address(url.hostname or "", url.port or 0, url.scheme.upper())


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    return value if isinstance(value, dict) else {}
