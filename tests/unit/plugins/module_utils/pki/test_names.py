# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names


@pytest.mark.parametrize(
    ("given_names", "dns", "addresses"),
    [
        pytest.param(["Node-1.Example.org."], {"node-1.example.org"}, set(), id="case and trailing dot"),
        pytest.param(["node_1.example.org"], {"node_1.example.org"}, set(), id="underscore"),
        pytest.param(["*.example.org"], {"*.example.org"}, set(), id="wildcard"),
        pytest.param(["localhost"], {"localhost"}, set(), id="single label"),
        pytest.param(["a" * 63 + ".org"], {"a" * 63 + ".org"}, set(), id="longest label"),
        pytest.param(["xn--bcher-kva.example"], {"xn--bcher-kva.example"}, set(), id="international name, encoded"),
        pytest.param(["192.0.2.10"], set(), {"192.0.2.10"}, id="IPv4"),
        pytest.param(["2001:0DB8::0010"], set(), {"2001:db8::10"}, id="IPv6 in its short form"),
        pytest.param(["[2001:db8::10]"], set(), {"2001:db8::10"}, id="IPv6 in brackets"),
        pytest.param(["::ffff:192.0.2.10"], set(), {"192.0.2.10"}, id="mapped IPv4"),
        pytest.param([" cp1 ", "cp1", "CP1"], {"cp1"}, set(), id="duplicates"),
    ],
)
def test_names_are_normalised(given_names: list[str], dns: set[str], addresses: set[str]) -> None:
    assert names.names(given_names) == Names(frozenset(dns), frozenset(addresses))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "it is empty"),
        (".", "it is empty"),
        ("https://lb.example.org", "it is a URL"),
        ("lb.example.org:6443", "ends with a port"),
        ("bücher.example", "xn-- form"),
        ("a..b", "empty label"),
        ("-a.example.org", "the label '-a'"),
        ("a-.example.org", "the label 'a-'"),
        ("a b.example.org", "the label 'a b'"),
        ("a" * 64 + ".org", "the label"),
        (".".join(["a" * 60] * 5), "longer than 253"),
        ("*", "a wildcard needs"),
        ("*.org", "a wildcard needs"),
        ("a.*.example.org", "the label '*'"),
        ("w*.example.org", "the label 'w*'"),
        ("10.0.0", "its last label is a number"),
        ("300.1.2.3", "its last label is a number"),
        ("0.0.0.0", "no client dials it"),  # noqa: S104
        ("::", "no client dials it"),
        ("224.0.0.1", "no client dials it"),
        ("fe80::1%eth0", "no client dials it"),
    ],
)
def test_names_that_no_client_would_match_are_refused(value: str, sentence: str) -> None:
    with pytest.raises(HardeningError, match="Nothing was changed") as refusal:
        names.names([value])
    assert sentence in str(refusal.value)


def test_an_address_is_no_dns_name_and_a_name_is_no_address() -> None:
    with pytest.raises(HardeningError, match="among the IP addresses"):
        names.normalised_dns_name("192.0.2.10")
    with pytest.raises(HardeningError, match="is not an IP address"):
        names.normalised_address("localhost")


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.96.0.0/12", "10.96.0.1"),
        ("10.100.7.9/16", "10.100.0.1"),
        ("192.168.0.252/30", "192.168.0.253"),
        ("fd00:10:96::/112", "fd00:10:96::1"),
        ("10.96.0.0/12,fd00:10:96::/112", "10.96.0.1"),
        ("fd00:10:96::/112,10.96.0.0/12", "fd00:10:96::1"),
    ],
)
def test_first_service_address(network: str, address: str) -> None:
    assert names.first_service_address(network) == address


@pytest.mark.parametrize("network", ["", "10.96.0.0/31", "10.96.0.1/32", "fd00::/127", "cluster", "10.96.0.0/33"])
def test_no_service_network(network: str) -> None:
    with pytest.raises(HardeningError, match="is not a network with room for Services"):
        names.first_service_address(network)


@pytest.mark.parametrize(
    ("value", "host", "port", "text"),
    [
        ("lb.example.org", "lb.example.org", 6443, "lb.example.org:6443"),
        ("LB.example.org.:8443", "lb.example.org", 8443, "lb.example.org:8443"),
        ("192.0.2.1:443", "192.0.2.1", 443, "192.0.2.1:443"),
        ("[2001:db8::1]:443", "2001:db8::1", 443, "[2001:db8::1]:443"),
        ("2001:db8::1", "2001:db8::1", 6443, "[2001:db8::1]:6443"),
    ],
)
def test_endpoints(value: str, host: str, port: int, text: str) -> None:
    assert names.endpoint(value, 6443) == (host, port)
    assert names.host_and_port(host, port) == text


@pytest.mark.parametrize("value", ["lb:0", "lb:65536", "lb:port", "https://lb", ""])
def test_no_endpoint(value: str) -> None:
    with pytest.raises(HardeningError):
        names.endpoint(value, 6443)


@given(
    st.one_of(st.ip_addresses().map(str), st.from_regex(r"\A[A-Za-z]([A-Za-z0-9-]{0,10}[a-z])?(\.[a-z]{2,5}){0,3}\Z"))
)
def test_normalising_twice_is_normalising_once(value: str) -> None:
    try:
        once = names.names([value])
    except HardeningError:
        return
    assert names.names([*once.dns, *once.addresses]) == once


def test_set_operations_and_text() -> None:
    one, two = Names(frozenset({"a"}), frozenset({"192.0.2.1"})), Names(frozenset({"b"}))
    assert (one | two) - one == two
    assert str(one | two) == "a, b, 192.0.2.1"
    assert str(Names()) == "none"
    assert not Names()
