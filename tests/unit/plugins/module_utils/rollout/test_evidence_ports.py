# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports where something else listens than should: unknown with its reason, in bounded time, and never a pass."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import Host as Judged
from ansible_collections.kubeharden.core.plugins.module_utils.controls.judge import judge_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.probes import listeners
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import evidence_ports
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_ports import Ports
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_trust import Trust
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import View
from ansible_collections.kubeharden.core.plugins.plugin_utils import catalogue_files
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.probes import sockets

CONTROLS = {control.id: control for control in catalogue_files.load()}
#: How a component is told where to listen.
ARGUMENTS = {
    "kube-apiserver": ["--secure-port={port}", "--bind-address=127.0.0.1", "--strict-transport-security-directives=x"],
    "kube-controller-manager": ["--secure-port={port}", "--bind-address=127.0.0.1"],
    "kube-scheduler": ["--secure-port={port}", "--bind-address=127.0.0.1"],
    "kubelet": ["--port={port}", "--address=127.0.0.1"],
    "etcd": ["--listen-client-urls=https://127.0.0.1:{port}", "--listen-peer-urls=https://127.0.0.1:{port}"],
}
#: An etcd that answers everybody at one of its addresses. The last one tells of its defaults.
OPEN_ETCD = {
    "plain text": ["--listen-client-urls=http://0.0.0.0:{open}", "--listen-peer-urls=https://127.0.0.1:{shut}"],
    "the second address": [
        "--listen-client-urls=https://127.0.0.1:{shut},http://127.0.0.1:{open}",
        "--listen-peer-urls=https://127.0.0.1:{shut}",
    ],
    "members' plain text": ["--listen-client-urls=https://127.0.0.1:{shut}", "--listen-peer-urls=http://[::]:{open}"],
    "HTTP apart": [
        "--listen-client-urls=https://127.0.0.1:{shut}",
        "--listen-client-http-urls=http://127.0.0.1:{open}",
        "--listen-peer-urls=https://127.0.0.1:{shut}",
    ],
    "absent flags": [],
}
#: By component, what its port alone is judged by.
ANONYMOUS = {
    "kube-apiserver": "probe-anonymous-apiserver",
    "kube-controller-manager": "probe-anonymous-controllers",
    "kube-scheduler": "probe-anonymous-controllers",
    "kubelet": "probe-anonymous-kubelet",
    "etcd": "probe-anonymous-etcd",
}
OF_PORTS = ("probe-foreign-certificate", "probe-old-tls", "probe-weak-suites", "probe-served-certificates")
#: Seconds that a probe of these tests may take.
LIMIT = 0.8


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_ports, "PROBE_LIMIT", LIMIT)


@pytest.fixture(name="pair", scope="module")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = listeners.stranger(time.time())
    path = tmp_path_factory.mktemp("pair") / "server.pem"
    path.write_bytes(t.cast(bytes, made.certificate) + t.cast(bytes, made.key))
    return path


def probe(
    root: Path,
    component: str,
    port: int,
    clock: t.Callable[[], float] = time.monotonic,
    arguments: t.Sequence[str] = (),
    kubelet: t.Mapping[str, t.Any] | None = None,
) -> Judged:
    """What is seen of a host on which a component was started with this port."""
    view = View(Host(str(root)))
    words = [component, *(word.format(port=port) for word in (arguments or ARGUMENTS[component]))]
    view.processes[component] = Process(1, words, 0.0, 0, 0)
    seen = Ports(view, None, time.time(), clock, "nonce", time.sleep, False).probe(
        kubelet or {}, {}, Trust(view, None, {})
    )
    there = {"running": True, "arguments": words, "version": "1.37.1", "manifest": "", "problem": ""}
    return Judged("cp1", {"live": True, "probes": seen, "components": {component: there}})


def judged(host: Judged, *controls: str) -> dict[str, tuple[str, str]]:
    verdicts = {control: judge_host(host, CONTROLS[control]) for control in controls}
    return {control: (one.status, one.evidence) for control, one in verdicts.items()}


SOMETHING_ELSE = {
    "silent": (sockets.silent, "no answer came in time"),
    "ending": (sockets.ending, "it ended the connection without an answer"),
    "resetting": (sockets.resetting, "it ended the connection without an answer"),
    "SSH": (sockets.saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "what it speaks is not TLS"),
    "plain HTTP": (sockets.saying(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), "is not TLS"),
    "dripping": (sockets.dripping(b"."), "is not TLS"),
}


@pytest.mark.parametrize("component", sorted(ARGUMENTS))
@pytest.mark.parametrize("what", sorted(SOMETHING_ELSE))
def test_a_port_that_is_silent_or_speaks_no_tls_is_unknown_with_its_reason(
    tmp_path: Path, component: str, what: str
) -> None:
    handle, reason = SOMETHING_ELSE[what]
    begun = time.monotonic()
    with sockets.serving(handle) as port:
        host = probe(tmp_path, component, port)
    assert time.monotonic() - begun < 20 * LIMIT
    for control, (status, evidence) in judged(host, ANONYMOUS[component], *OF_PORTS).items():
        assert (status, reason in evidence, str(port) in evidence) == ("unknown", True, True), (control, evidence)


#: Where a kubelet keeps a certificate that it signed itself, and one that the authority signed.
SELF_SIGNED, SIGNED = (f"var/lib/kubelet/pki/{name}" for name in ("kubelet.crt", "kubelet-server-current.pem"))


def lay(root: Path, path: str, pair: Path) -> None:
    """Lay a certificate and its key where a host has it."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(pair.read_bytes())


@pytest.mark.parametrize(
    ("fields", "flags", "path"),
    [
        ({}, [], SELF_SIGNED),
        ({"serverTLSBootstrap": True}, [], SIGNED),
        ({}, ["--rotate-server-certificates"], SIGNED),
        ({"tlsCertFile": "/etc/own.crt"}, [], "etc/own.crt"),
        ({"tlsCertFile": "/etc/other.crt"}, ["--tls-cert-file=/etc/own.crt"], "etc/own.crt"),
    ],
)
def test_what_a_kubelet_serves_is_compared_with_the_file_that_it_is_from(
    tmp_path: Path, pair: Path, fields: dict[str, t.Any], flags: list[str], path: str
) -> None:
    """One that was renewed on disk, and is not served, was never seen."""
    other = tmp_path / "other.pem"
    made = listeners.stranger(time.time())
    other.write_bytes(t.cast(bytes, made.certificate) + t.cast(bytes, made.key))
    name, found = "probe-served-certificates", []
    with sockets.serving(sockets.tls(pair, answer=b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")) as port:
        for lies in (None, other, pair):
            if lies:
                lay(tmp_path, path, lies)
            host = probe(
                tmp_path, "kubelet", port, arguments=[*ARGUMENTS["kubelet"], *flags], kubelet={"fields": fields}
            )
            found.append(judged(host, name)[name])
    assert [status for status, _words in found] == ["unknown", "fail", "pass"], found
    assert f"/{path} does not exist" in found[0][1]
    assert f"serves another certificate than /{path} holds" in found[1][1]


IN_TLS = {
    "silent": (sockets.silent, "no answer came in time"),
    "ending": (sockets.ending, "it ended the connection without an answer"),
    "no HTTP": (sockets.saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "malformed"),
    "dripping headers": (sockets.dripping(b"X-A: b\r\n"), ""),
    "endless": (sockets.saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20)), "too large"),
    "half": (
        sockets.saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
        "it ended the connection without an answer",
    ),
}


@pytest.mark.parametrize("component", ["kube-apiserver", "kubelet"])
@pytest.mark.parametrize("what", sorted(IN_TLS))
def test_a_port_that_shakes_hands_and_then_speaks_something_else_is_no_refusal(
    tmp_path: Path, pair: Path, component: str, what: str
) -> None:
    handle, reason = IN_TLS[what]
    lay(tmp_path, SELF_SIGNED, pair)
    begun = time.monotonic()
    with sockets.serving(sockets.tls(pair, then=handle)) as port:
        host = probe(tmp_path, component, port)
    assert time.monotonic() - begun < 40 * LIMIT
    for control, (status, evidence) in judged(host, ANONYMOUS[component], "probe-foreign-certificate").items():
        assert (status, reason in evidence) == ("unknown", True), (control, evidence)
    assert judged(host, "probe-served-certificates")["probe-served-certificates"][0] == "pass"


def test_what_ports_do_agree_to_is_in_the_evidence(tmp_path: Path, pair: Path) -> None:
    with sockets.serving(
        sockets.tls(pair, "ECDHE-ECDSA-AES128-GCM-SHA256", answer=b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    ) as port:
        host = probe(tmp_path, "kube-scheduler", port)
    said = judged(host, "probe-old-tls", "probe-weak-suites")
    where = f"; agreed to on ports {port}: "
    assert said["probe-old-tls"] == ("pass", f"refused on ports {port}: TLS 1.0 and 1.1{where}TLSv1.3 and TLSv1.2")
    status, evidence = said["probe-weak-suites"]
    assert status == "pass"
    assert evidence.partition(where)[2].startswith("TLSv1.3 (TLS_")
    assert evidence.endswith(" and TLSv1.2 (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)")


def test_one_that_knows_no_stranger_refuses_by_its_alert(tmp_path: Path, pair: Path) -> None:
    """So what is said above of others is not said of everybody."""
    with sockets.serving(sockets.tls(pair, authority=pair)) as port:
        host = probe(tmp_path, "etcd", port)
    for control, (status, evidence) in judged(host, "probe-anonymous-etcd", "probe-foreign-certificate").items():
        assert (status, "etcd ended the handshake" in evidence) == ("pass", True), (control, evidence)


def test_when_the_time_is_over_what_was_not_asked_is_said(tmp_path: Path, pair: Path) -> None:
    """A clock that goes on by 15 s with each look at it: nothing is begun after the end, and nothing is passed."""
    seconds = iter(range(0, 10_000, 15))
    with sockets.serving(sockets.tls(pair, answer=b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")) as port:
        host = probe(tmp_path, "kube-apiserver", port, lambda: float(next(seconds)))
    for control, (status, evidence) in judged(host, "probe-anonymous-apiserver", "probe-foreign-certificate").items():
        assert (status, "there was no time left to ask" in evidence) == ("unknown", True), (control, evidence)


@pytest.mark.parametrize(
    ("said", "status"),
    [("closed", "pass"), ("other", "pass"), ("silent", "unknown"), ("late", "unknown"), ("kubernetes", "fail")],
)
def test_plain_ports(said: str, status: str) -> None:
    ports = [{"port": 8080, "address": "127.0.0.1", "said": said, "words": evidence_ports.WORDS[said]}]
    host = Judged("cp1", {"live": True, "probes": {"ports": ports}})
    found = judged(host, "probe-plain-ports")["probe-plain-ports"]
    assert (found[0], evidence_ports.WORDS[said] in found[1]) == (status, True)


@pytest.mark.parametrize("where", sorted(OPEN_ETCD))
def test_every_address_of_etcd_is_asked_also_in_plain_text(
    tmp_path: Path, pair: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with (
        sockets.serving(sockets.saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as open_port,
        sockets.serving(sockets.tls(pair, authority=pair)) as shut,
    ):
        urls = tuple((flag, open_port if port else 0, file) for flag, port, file in evidence_ports._ETCD_URLS)
        monkeypatch.setattr(evidence_ports, "_ETCD_URLS", urls)
        flags = [one.format(open=open_port, shut=shut) for one in OPEN_ETCD[where]]
        host = probe(tmp_path, "etcd", 0, arguments=["--client-cert-auth", *flags])
    for control, (status, evidence) in judged(host, "probe-anonymous-etcd", "probe-foreign-certificate").items():
        assert (status, f":{open_port}/version answered 200" in evidence) == ("fail", True), (control, evidence)
    status, evidence = judged(host, "probe-old-tls")["probe-old-tls"]
    assert (status, "a flag says http" in evidence) == ("unknown", True), evidence


@pytest.mark.parametrize("urls", ["unix://etcd.sock", "https://127.0.0.1:99999"])
def test_an_etcd_of_which_no_port_is_known_proves_nothing(tmp_path: Path, urls: str) -> None:
    host = probe(tmp_path, "etcd", 0, arguments=[f"--listen-client-urls={urls}", f"--listen-peer-urls={urls}"])
    for control, found in judged(host, "probe-anonymous-etcd", *OF_PORTS).items():
        assert found == ("unknown", "no port of etcd was asked"), control


def test_of_an_etcd_whose_environment_is_not_seen_no_default_is_asked(tmp_path: Path) -> None:
    """Its addresses may be in there; at the default's something else may answer."""
    view = View(Host(str(tmp_path)))
    view.processes["etcd"] = Process(1, ["etcd"], 0.0, 0, 0)
    assert view.etcd_has_its_default("listen-client-urls")
    view.processes["etcd"] = Process(2**22 + 1, ["etcd"], 0.0, 0, 0)  # one that has ended
    assert view.see_environment()["problem"]
    assert not view.etcd_has_its_default("listen-client-urls")
    seen = Ports(view, None, time.time(), time.monotonic, "nonce", time.sleep, False).probe(
        {}, {}, Trust(view, None, {})
    )
    assert (seen["tls"], seen["requests"]) == ([], [])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])  # noqa: S104
def test_a_plain_port_is_asked_wherever_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The kubelet's read-only port at the node's address was never asked."""
    pods = sockets.saying(b'HTTP/1.0 200 OK\r\n\r\n{"kind":"PodList","apiVersion":"v1"}')
    with sockets.serving(pods, address) as port:
        monkeypatch.setattr(listeners, "WITHOUT_CREDENTIALS", {port: "/pods"})
        status, evidence = judged(probe(tmp_path, "etcd", 1), "probe-plain-ports")["probe-plain-ports"]
    assert (status, f"port {port} at 127." in evidence) == ("fail", True), evidence
    status, evidence = judged(probe(tmp_path, "etcd", 1), "probe-plain-ports")["probe-plain-ports"]
    assert (status, "is closed" in evidence) == ("pass", True), evidence


def test_each_plain_port_is_asked_for_what_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server, or kubectl proxy before it, knows no /pods, and a kubelet no /api."""
    asked = []

    def plain_port(_address: str, port: int, path: str, _timeout: float) -> str:
        asked.append((port, path))
        return "closed"

    monkeypatch.setattr(listeners, "plain_port", plain_port)
    judged(probe(tmp_path, "etcd", 1), "probe-plain-ports")
    assert asked == [(8080, "/api"), (10255, "/pods")]


def test_where_the_kernels_list_cannot_be_read_one_address_proves_nothing(tmp_path: Path) -> None:
    view = View(Host(str(tmp_path)), str(tmp_path / "none"))
    seen = Ports(view, None, time.time(), time.monotonic, "nonce", time.sleep, False).probe(
        {}, {}, Trust(view, None, {})
    )
    found = judged(Judged("cp1", {"live": True, "probes": seen}), "probe-plain-ports", "probe-local-ports")
    for status, evidence in found.values():
        assert (status, "list of sockets could not be read" in evidence) == ("unknown", True), evidence


def answering(paths: t.Mapping[str, int]) -> sockets.Handle:
    """A server that knows some paths, each with its status."""

    def handle(connection: t.Any) -> None:
        path = connection.recv(4096).split()[1].decode()
        connection.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 3\r\n\r\nabc" % paths.get(path, 404))

    return handle


METRICS, HEALTH = {"/metrics": 200, "/healthz": 200}, {"/healthz": 503}
PROFILES = {"/debug/pprof/": 200}


@pytest.mark.parametrize(
    ("address", "metrics", "health", "status", "words"),
    [
        ("127.0.0.1", METRICS, HEALTH, "pass", "/metrics 200"),
        ("127.0.0.1", {**METRICS, **PROFILES}, HEALTH, "fail", "/debug/pprof/ answered 200"),
        ("0.0.0.0", METRICS, HEALTH, "fail", "kube-proxy at 0.0.0.0:"),  # noqa: S104
        ("127.0.0.1", METRICS, {**HEALTH, **METRICS}, "fail", "/metrics answered 200"),
        ("127.0.0.1", METRICS, {**HEALTH, **PROFILES}, "fail", "/debug/pprof/ answered 200"),
        ("127.0.0.1", None, HEALTH, "unknown", "it ended the connection without an answer"),
    ],
)
@pytest.mark.parametrize("file", [True, False])
def test_what_kube_proxys_ports_hand_out(
    tmp_path: Path,
    address: str,
    metrics: dict[str, int] | None,
    health: dict[str, int],
    status: str,
    words: str,
    file: bool,
) -> None:
    name, view = "probe-kube-proxy", View(Host(str(tmp_path)))
    one = sockets.ending if metrics is None else answering(metrics)
    with sockets.serving(one, address) as first, sockets.serving(answering(health), "0.0.0.0") as second:  # noqa: S104
        addresses = {"metricsBindAddress": f"{address}:{first}", "healthzBindAddress": f"0.0.0.0:{second}"}
        flags = [f"--metrics-bind-address={address}:{first}", f"--healthz-bind-address=0.0.0.0:{second}"]
        view.processes["kube-proxy"] = Process(1, ["kube-proxy", *([] if file else flags)], 0.0, 0, 0)
        part = {"file": "/c", "fields": addresses} if file else {"file": "", "fields": {}}
        seen = Ports(view, None, time.time(), time.monotonic, "nonce", time.sleep, False).probe(
            {}, part, Trust(view, None, {})
        )
    there = {"kube-proxy": {"running": True, "arguments": [], "version": "1.37.1"}}
    found = judged(Judged("w1", {"live": True, "probes": seen, "components": there}), name)[name]
    assert (found[0], words in found[1]) == (status, True), found
    assert [one["port"] for one in seen["local"]["ports"]] == [first]


def test_a_kube_proxy_that_listens_nowhere_proves_nothing() -> None:
    name, there = "probe-kube-proxy", {"kube-proxy": {"running": True, "arguments": [], "version": "1.37.1"}}
    found = judged(Judged("w1", {"live": True, "probes": {"requests": []}, "components": there}), name)[name]
    assert found == ("unknown", "no port was found at which kube-proxy listens")
    assert judged(Judged("w1", {"live": True, "probes": {}, "components": {}}), name)[name][0] == "not_applicable"
