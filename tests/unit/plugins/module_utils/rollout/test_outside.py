# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports as the controller finds them, on real servers of the loopback, and how that is judged."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Judged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.probes import api_client, listeners
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import outside
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import shown_certificate
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes import sockets

CONTROLS = {control.id: control for control in catalogue_files.load()}
LIMIT = 2.0
REFUSAL = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
MODERN: dict[str, t.Any] = {"minimum_version": ssl.TLSVersion.TLSv1_3}
GIVES_ALL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def a_pair(directory: Path) -> Path:
    made = listeners.stranger(time.time())
    path = directory / "server.pem"
    path.write_bytes(t.cast(bytes, made.certificate) + t.cast(bytes, made.key))
    return path


@pytest.fixture(name="pair", scope="module")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_pair(tmp_path_factory.mktemp("pair"))


def seen_on_the_host(port: int, component: str = "kubelet", local: tuple[int, ...] = ()) -> dict[str, t.Any]:
    """What the host's own look at this port told, with ports that are for the host alone."""
    peer = api_client.tls_peer("127.0.0.1", port, LIMIT)
    assert peer.certificate
    shown = shown_certificate(peer.certificate, "here", time.time())
    refused = {"accepted": "", "problem": ""}
    where = {"component": component, "address": "127.0.0.1", "port": port}
    return {
        "tls": [{**where, "certificate": shown, "old": refused, "weak": refused}],
        "requests": [
            {**where, "path": "/pods", "credentials": kind, "status": 401, "reason": ""} for kind in ("none", "foreign")
        ],
        "local": {"ports": [{"component": component, "port": one, "addresses": ["127.0.0.1"]} for one in local]},
    }


def judged(probes: dict[str, t.Any], *controls: str) -> dict[str, tuple[str, str]]:
    host = Judged("cp1", {"live": True, "probes": probes, "components": {}})
    return {name: (one.status, one.evidence) for name in controls for one in [judge_host(host, CONTROLS[name])]}


def looked(probes: dict[str, t.Any]) -> dict[str, t.Any]:
    """The host's evidence with what is found from here, as the action puts it together."""
    found = outside.look("127.0.0.1", probes, time.time(), LIMIT)
    return {
        **probes,
        "tls": probes["tls"] + found.pop("tls", []),
        "requests": probes["requests"] + found.pop("requests", []),
        "outside": found,
    }


JUDGES = ("probe-old-tls", "probe-weak-suites", "probe-served-certificates", "probe-anonymous-kubelet", "probe-outside")


def test_a_port_that_refuses_here_too_is_well_and_one_that_is_closed_is_named(pair: Path) -> None:
    with sockets.serving(sockets.tls(pair, answer=REFUSAL, **MODERN)) as port:
        with sockets.serving(sockets.silent) as closed:
            pass
        verdicts = judged(looked(seen_on_the_host(port, local=(closed,))), *JUDGES)
    assert {status for status, _evidence in verdicts.values()} == {"pass"}, verdicts
    assert verdicts["probe-outside"][1] == f"at 127.0.0.1 the controller reaches {port}, and not {closed}"


def test_a_port_for_the_host_alone_that_is_reached_is_a_finding(pair: Path) -> None:
    with (
        sockets.serving(sockets.tls(pair, answer=REFUSAL, **MODERN)) as port,
        sockets.serving(sockets.silent) as metrics,
    ):
        verdicts = judged(looked(seen_on_the_host(port, local=(metrics,))), *JUDGES)
    status, evidence = verdicts.pop("probe-outside")
    assert (status, f"kubelet at 127.0.0.1:{metrics}, asked from the controller" in evidence) == ("fail", True), (
        evidence
    )
    assert {status for status, _evidence in verdicts.values()} == {"pass"}, verdicts


def test_who_answers_the_controller_otherwise_than_the_host_is_found(pair: Path) -> None:
    """The host was told 401; what stands before it gives everything to everybody."""
    with sockets.serving(sockets.tls(pair, answer=GIVES_ALL)) as port:
        found = judged(looked(seen_on_the_host(port)), "probe-anonymous-kubelet", "probe-foreign-certificate")
    for status, evidence in found.values():
        assert (status, "asked from the controller/pods answered 200" in evidence) == ("fail", True), evidence


def test_one_port_with_another_certificate_is_a_finding_and_all_are_another_machine(pair: Path, tmp_path: Path) -> None:
    with sockets.serving(sockets.tls(pair, answer=REFUSAL, **MODERN)) as port:
        probes = seen_on_the_host(port)
        with sockets.serving(sockets.tls(a_pair(tmp_path), answer=REFUSAL, **MODERN)) as other:
            changed = {**probes["tls"][0], "component": "etcd", "port": other}
            both = {**probes, "tls": [*probes["tls"], changed]}
            status, evidence = judged(looked(both), "probe-served-certificates")["probe-served-certificates"]
            alone = looked({**probes, "tls": [changed]})
    assert status == "fail"
    assert "asked from the controller serves another certificate than the host sees" in evidence
    assert alone["outside"]["problem"] == "what answers the controller at 127.0.0.1 is another machine"
    assert len(alone["tls"]) == 1
    assert judged(alone, "probe-outside")["probe-outside"][0] == "not_applicable"


def test_where_nothing_is_reached_nothing_is_judged_and_nothing_passes(pair: Path) -> None:
    with sockets.serving(sockets.tls(pair, answer=REFUSAL, **MODERN)) as port:
        probes = seen_on_the_host(port, local=(port,))
    found = judged(looked(probes), "probe-outside", "probe-anonymous-kubelet")
    assert found["probe-outside"][0] == "not_applicable"
    assert "reaches no port of a component at 127.0.0.1: nothing listens there" in found["probe-outside"][1]
    assert found["probe-anonymous-kubelet"][0] == "pass"  # as the host itself saw it


def test_what_the_controller_could_not_find_out_is_not_unknown(pair: Path) -> None:
    """It is reached, shakes hands with the host's own certificate, and then says nothing: the host was told."""
    with sockets.serving(sockets.tls(pair, answer=REFUSAL, **MODERN)) as port:
        probes = seen_on_the_host(port)
    with sockets.serving(sockets.tls(pair, then=sockets.ending, **MODERN)) as mute:
        probes["tls"][0]["port"] = mute
        verdicts = judged(looked(probes), *JUDGES)
    assert {status for status, _evidence in verdicts.values()} == {"pass"}, verdicts


def plain_verdict(plain: list[dict[str, t.Any]]) -> tuple[str, str]:
    here = {"port": 8080, "address": "127.0.0.1", "said": "closed", "words": "is closed"}
    return judged({"ports": [here], "outside": {"plain": plain}}, "probe-plain-ports")["probe-plain-ports"]


@pytest.mark.parametrize(
    ("handle", "said", "status", "words"),
    [
        (sockets.saying(b'HTTP/1.0 200 OK\r\n\r\n{"kind": "APIVersions"}'), "kubernetes", "fail", "answers without"),
        (sockets.saying(b"HTTP/1.0 404 No\r\n\r\nno"), "other", "pass", "is something else's"),
        (sockets.silent, "silent", "unknown", "takes a request and says nothing"),
    ],
)
def test_a_port_of_old_that_is_no_socket_of_the_host_is_asked_from_here(
    monkeypatch: pytest.MonkeyPatch, handle: sockets.Handle, said: str, status: str, words: str
) -> None:
    """A pod has it by hostPort: the host finds it closed, and whoever is outside does not."""
    with sockets.serving(handle) as port:
        monkeypatch.setattr(listeners, "WITHOUT_CREDENTIALS", {port: "/api"})
        (found,) = outside.look("127.0.0.1", {}, time.time(), 0.5)["plain"]
    assert found["said"] == said
    verdict = plain_verdict([found])
    assert (verdict[0], f"{port}" in verdict[1], words in verdict[1]) == (status, True, True), verdict
    assert ", asked from the controller" in verdict[1]


def test_ports_of_old_that_a_firewall_drops_are_no_finding_and_cost_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, both = [], threading.Barrier(2)

    def dropped(_where: tuple[str, int], limit: float) -> t.NoReturn:
        limits.append(limit)
        both.wait(60)  # an error where one is asked after the other
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", dropped)
    found = outside.look("192.0.2.1", {}, time.time(), 3.0)
    assert limits == [outside.PLAIN_LIMIT, outside.PLAIN_LIMIT]
    assert {one["port"]: one["said"] for one in found["plain"]} == {8080: "unreached", 10255: "unreached"}
    assert plain_verdict(found["plain"])[0] == "pass"


@pytest.mark.parametrize(
    ("local", "status", "words"),
    [
        ({"problem": "the kernel's list of sockets could not be read: Permission denied"}, "unknown", "Permission"),
        ({}, "unknown", "no socket was looked for"),
        ({"ports": [{"component": "etcd", "port": 2381, "addresses": ["127.0.0.1"]}]}, "pass", "2381 127.0.0.1"),
        ({"ports": [{"component": "etcd", "port": 2381, "addresses": ["::1"]}]}, "pass", "2381 ::1"),
        ({"ports": [{"component": "etcd", "port": 2381, "addresses": []}]}, "pass", "2381 closed"),
        (
            {"ports": [{"component": "etcd", "port": 2381, "addresses": ["127.0.0.1", "::"]}]},
            "fail",
            "etcd listens on port 2381 at ::",
        ),
        (
            {"ports": [{"component": "kube-proxy", "port": 10249, "addresses": ["10.0.0.1"]}]},
            "fail",
            "kube-proxy listens on port 10249 at 10.0.0.1",
        ),
    ],
)
def test_ports_for_the_host_alone(local: dict[str, t.Any], status: str, words: str) -> None:
    found = judged({"local": local}, "probe-local-ports")["probe-local-ports"]
    assert (found[0], words in found[1]) == (status, True), found
