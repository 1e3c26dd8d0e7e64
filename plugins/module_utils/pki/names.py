# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a certificate may carry: DNS names and IP addresses in the one form in which they are compared.

Users write ``Node-1.Example.org.``, ``[2001:DB8::1]`` or ``::ffff:192.0.2.10``; Go, OpenSSL and Python compare bytes.
Every name passes through here once, before it is compared with a certificate or written into one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# RFC 1123 labels and the underscore, which hosts of real clusters have and which Go, OpenSSL and Python accept.
_LABEL = re.compile(r"^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$")
_MAXIMUM_DNS_LENGTH = 253


@dataclass(frozen=True)
class Names:
    """The subject alternative names of a certificate, each normalised; two sets, because their order means nothing."""

    dns: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def __or__(self, other: Names) -> Names:
        return Names(self.dns | other.dns, self.addresses | other.addresses)

    def __sub__(self, other: Names) -> Names:
        return Names(self.dns - other.dns, self.addresses - other.addresses)

    def __bool__(self) -> bool:
        return bool(self.dns or self.addresses)

    def __str__(self) -> str:
        return ", ".join(sorted(self.dns) + sorted(self.addresses)) or "none"


NO_NAMES = Names()


def address_or_none(value: str) -> Address | None:
    """The address that `value` is, brackets of a URL taken off; None when it is no address.

    An IPv4 address mapped into IPv6 becomes the IPv4 address: Go 1.27 refuses to read a certificate with a mapped one.
    """
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def normalised_address(value: str) -> str:
    """`value` as the text of an address. HardeningError when it is no address that another host can dial."""
    address = address_or_none(value)
    if address is None:
        raise HardeningError(
            "KH301", f"'{value}' is not an IP address; nothing was changed. Write it as in 192.0.2.10 or 2001:db8::10."
        )
    if address.is_unspecified or address.is_multicast or "%" in str(address):
        raise HardeningError(
            "KH301",
            f"The address '{value}' cannot stand in a certificate: no client dials it. Nothing was changed; "
            "name the address by which the host is reached.",
        )
    return str(address)


def normalised_dns_name(value: str) -> str:
    """`value` in lower case and without the trailing dot, which Go's verifier does not accept.

    A wildcard must be the whole first label and needs two labels after it. HardeningError for everything that one of
    Go, OpenSSL and Python would not match: a URL, a port, an address, characters outside ASCII.
    """
    name = value.strip().lower()
    name = name.removesuffix(".")
    problem = _dns_problem(name)
    if problem:
        raise HardeningError(
            "KH301",
            f"'{value}' is not a DNS name that a certificate can carry: {problem}. Nothing was changed; correct it.",
        )
    return name


def _dns_problem(name: str) -> str:
    if not name:
        return "it is empty"
    if "://" in name:
        return "it is a URL; write the host alone"
    if address_or_none(name) is not None:
        return "it is an address, which clients look for among the IP addresses"
    if re.search(r":\d+$", name):
        return "it ends with a port; write the host alone"
    if not all(character.isprintable() and ord(character) < 128 for character in name):
        return "it has characters outside ASCII; write the name in its xn-- form"
    if len(name) > _MAXIMUM_DNS_LENGTH:
        return f"it is longer than {_MAXIMUM_DNS_LENGTH} characters"
    labels = name.split(".")
    if labels[0] == "*":
        labels = labels[1:]
        if len(labels) < 2:
            return "a wildcard needs at least two labels after it"
    for label in labels:
        if not _LABEL.match(label):
            return (
                f"the label '{label}' is not made of letters, digits, '-' and '_'" if label else "it has an empty label"
            )
    if labels[-1].isdigit():
        return "its last label is a number, so clients take it for an address"
    return ""


def names(values: Iterable[str]) -> Names:
    """The names in `values`, each sorted by what it is: an address if it reads as one, else a DNS name."""
    dns = set()
    addresses = set()
    for value in values:
        if address_or_none(value) is not None:
            addresses.add(normalised_address(value))
        else:
            dns.add(normalised_dns_name(value))
    return Names(frozenset(dns), frozenset(addresses))


def endpoint(value: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``address``, ``[address]:port``; the host normalised."""
    text = value.strip()
    match = re.match(r"^(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<port>\d+))?$", text)
    host, port = (match.group("host"), match.group("port")) if match else (text, None)
    number = int(port) if port else default_port
    if not 0 < number < 65536:
        raise HardeningError(
            "KH301", f"The port in '{value}' is not between 1 and 65535; nothing was changed. Correct it."
        )
    if address_or_none(host) is not None:
        return normalised_address(host), number
    return normalised_dns_name(host), number


def host_and_port(host: str, port: int) -> str:
    """``host:port`` as in a URL, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def first_service_address(networks: str) -> str:
    """The address of the Service ``kubernetes``: the first one after the network's own, of the first network named.

    `networks` is the value of ``--service-cluster-ip-range``: one network or, dual-stack, two with a comma between. The
    Service ``kubernetes`` has an address of the first family only (kubeadm: GetAPIServerVirtualIP).
    """
    first = networks.partition(",")[0].strip()
    try:
        network = ipaddress.ip_network(first, strict=False)
        if network.num_addresses < 4:
            raise ValueError("no room for a Service")
    except ValueError:
        raise HardeningError(
            "KH301",
            f"The service network '{first}' is not a network with room for Services; nothing was changed. "
            "Write it as in 10.96.0.0/12.",
        ) from None
    return str(network[1])
