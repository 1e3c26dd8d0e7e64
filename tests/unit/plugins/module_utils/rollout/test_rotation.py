# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New certificates under a server: it is seen to show them, or the old files are back."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Change
from ansible_collections.kubeharden.core.plugins.module_utils.pki.decide import Policy
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import leaves, recovery, rotation
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.directories import (
    CLUSTER,
    DAY,
    NOW,
    Directory,
    assert_pairs_fit,
    made,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Box, Life, World

CERTIFICATE, KEY = "/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/server.key"


@contextlib.contextmanager
def server(host: Directory, reads_anew: bool) -> Iterator[int]:
    """A TLS server with the host's certificate, which it reads at every handshake as etcd does, or only once."""

    def context() -> ssl.SSLContext:
        made_anew = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made_anew.load_cert_chain(host.path(CERTIFICATE), host.path(KEY))
        return made_anew

    first = context()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _address = listening.accept()
                except OSError:
                    return  # closed: the test is over
                with contextlib.suppress(OSError), connection:
                    (context() if reads_anew else first).wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def discovery(port: int) -> dict[str, Any]:
    return {
        "components": {"etcd": {"flags": {"listen-client-urls": f"https://127.0.0.1:{port},http://192.0.2.9:1"}}},
        "kubelet": {"configuration": {}},
    }


def renew(host: Directory, port: int) -> leaves.Leaves:
    store = host.store()
    options = leaves.Options(Policy(renew_all=True), leaves.SCOPE_DUE, only=("etcd-server",))
    planned = leaves.Leaves(store, host.pki, host.files(), NOW, options)

    def no_command(args: list[str]) -> tuple[int, str, str]:
        raise AssertionError(args)

    rotation.Gate(host.host, store, discovery(port), 2.0, no_command).apply(planned, {}, {})
    return planned


def test_a_server_that_reads_its_files_anew_is_seen_to_show_the_new_one(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    before = host.path(CERTIFICATE).read_bytes()
    with server(host, reads_anew=True) as port:
        planned = renew(host, port)
    assert [one.name for one in planned.issued] == ["etcd-server"]
    assert host.path(CERTIFICATE).read_bytes() != before
    assert Journal(host.host).read() == {}
    assert_pairs_fit(host)


def test_a_server_that_goes_on_with_the_old_one_brings_the_old_files_back(tmp_path: Path) -> None:
    host = made(Directory(tmp_path, "cp1"))
    before = [host.path(name).read_bytes() for name in (CERTIFICATE, KEY)]
    words = r"instead of the new 'etcd-server'.*The old files are back"
    with server(host, reads_anew=False) as port, pytest.raises(HardeningError, match=words):
        renew(host, port)
    assert [host.path(name).read_bytes() for name in (CERTIFICATE, KEY)] == before
    assert Journal(host.host).read() == {}
    assert_pairs_fit(host)
    # What is back is still our own: it gets what the table has meanwhile, as no adopted one would.
    nodes = [{"node_name": "cp1", "addresses": ["192.0.2.11", "192.0.2.13"]}, CLUSTER["control_planes"][1]]
    moved = Directory(tmp_path, "cp1", {**CLUSTER, "control_planes": nodes})
    assert CERTIFICATE in [change.target for change in moved.leaves(check=True)[0]]


@pytest.mark.parametrize(
    ("configuration", "flags", "place"),
    [
        ({}, {}, ("127.0.0.1", 10250)),
        ({"address": "0.0.0.0"}, {}, ("127.0.0.1", 10250)),  # noqa: S104
        ({"address": "192.0.2.11", "port": 10251}, {}, ("192.0.2.11", 10251)),
        ({"address": "192.0.2.11"}, {"address": "2001:db8::11", "port": "10252"}, ("2001:db8::11", 10252)),
    ],
)
def test_a_kubelet_is_asked_where_it_listens(
    configuration: dict[str, Any], flags: dict[str, str], place: tuple[str, int]
) -> None:
    kubelet = {"configuration": configuration, "flags": flags}
    assert rotation.endpoints({"components": {}, "kubelet": kubelet})["kubelet-server"] == [place]


def test_where_each_certificate_is_shown() -> None:
    found = rotation.endpoints(
        {
            "components": {
                "kube-apiserver": {"flags": {"advertise-address": "192.0.2.11", "bind-address": "0.0.0.0"}},  # noqa: S104
                "etcd": {
                    "flags": {
                        "listen-client-urls": "https://127.0.0.1:2379,https://192.0.2.11:2379",
                        "listen-peer-urls": "https://0.0.0.0:2380",
                    }
                },
            },
            "kubelet": {"configuration": {"port": 10251}},
        }
    )
    assert found == {
        "apiserver": [("192.0.2.11", 6443)],
        "etcd-server": [("127.0.0.1", 2379), ("192.0.2.11", 2379)],
        "etcd-peer": [("127.0.0.1", 2380)],
        "kubelet-server": [("127.0.0.1", 10251)],
    }


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        ({"tls-cert-file": "/x.crt"}, [("127.0.0.1", 10259)]),
        ({"tls-cert-file": "/x.crt", "bind-address": "192.0.2.11", "secure-port": "7"}, [("192.0.2.11", 7)]),
        # One of its own making is no proof of anything.
        ({"bind-address": "127.0.0.1"}, None),
        ({"tls-cert-file": "/x.crt", "secure-port": "0"}, None),
    ],
)
def test_a_scheduler_is_asked_for_what_its_flag_names(
    flags: dict[str, str], places: list[tuple[str, int]] | None
) -> None:
    found = {"components": {"kube-scheduler": {"flags": flags}}, "kubelet": {"configuration": {}}}
    assert rotation.endpoints(found).get("scheduler-server") == places


def test_a_restart_that_a_dead_run_did_not_come_to_is_owed(tmp_path: Path) -> None:
    host = Directory(tmp_path, "cp1")
    assert rotation.owed(host.host) == []
    Journal(host.host).note(restarts=["kube-scheduler"])
    assert rotation.owed(host.host) == ["kube-scheduler"]
    (told,) = recovery.foretell(host.host)
    assert told.startswith("A run that died did not come to restart kube-scheduler")


def test_an_owed_restart_is_a_change_but_where_another_change_brings_it() -> None:
    (change,) = rotation.owed_changes(["kube-scheduler"], [])
    assert (change.kind, change.target, change.action) == ("container", "kube-scheduler", "restart")
    assert change.restart == ("kube-scheduler",)
    coming = Change("file", "/etc/kubernetes/scheduler.conf", "update", restart=("kube-scheduler",))
    assert rotation.owed_changes(["kube-scheduler"], [coming]) == []


MANIFEST = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
WORDS = ["kube-controller-manager", "--bind-address=127.0.0.1"]
POD = f"""apiVersion: v1
kind: Pod
metadata: {{name: kube-controller-manager, namespace: kube-system}}
spec:
  containers:
  - name: kube-controller-manager
    image: registry.k8s.io/kube-controller-manager:v1.37.1
    command: [{", ".join(WORDS)}]
"""
FOUND = {
    "components": {"kube-controller-manager": {"manifest": MANIFEST}},
    "kubelet": {"configuration": {}},
}


def rotate_manager(
    host: Directory,
    world: World,
    now: float,
    limit: float,
    *names: str,
    found: dict[str, Any] | None = None,
    beside: Mapping[str, str] = rotation.ALONE,
) -> dict[str, float]:
    """Renew the kubeconfig of a controller-manager, which is read when it starts, and what else is named."""
    path = host.path(MANIFEST)
    path.parent.mkdir(parents=True)
    path.write_text(POD, encoding="utf-8")
    store = host.store()
    only = ("controller-manager.conf", *names)
    options = leaves.Options(Policy(), leaves.SCOPE_DUE, only=only, restarts=True)
    planned = leaves.Leaves(store, host.pki, host.files(), now, options)

    def no_command(args: list[str]) -> tuple[int, str, str]:
        raise AssertionError(args)

    gate = rotation.Gate(host.host, store, found or FOUND, limit, no_command, world.sight(), beside)
    return gate.apply(planned, {}, {})


@pytest.fixture
def manager() -> World:
    """A controller-manager that ended, and that the kubelet starts again when its longest pause is over."""
    world = World()
    world.boxes = [Box("old", exited=0.0, attempt=70), Box("new", start=290.0, attempt=71)]
    for box in world.boxes:
        box.pod, box.component = "kube-controller-manager-cp1", "kube-controller-manager"
    world.lives = [Life(9, WORDS, start=290.0, well=295.0)]
    return world


def test_who_has_a_certificate_that_has_ended_may_be_down_before(
    tmp_path: Path, manager: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.stand_in(monkeypatch)
    host = made(Directory(tmp_path, "cp1"))
    seconds = rotate_manager(host, manager, NOW + 400 * DAY, 30.0)
    assert 290.0 < seconds["kube-controller-manager"] < 310.0
    assert Journal(host.host).read() == {}
    assert_pairs_fit(host)


def test_what_is_down_until_its_restart_shows_its_new_certificate_after_that(
    tmp_path: Path, manager: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, nothing listens there, and the old files would come back for nothing."""
    manager.stand_in(monkeypatch)
    host = made(Directory(tmp_path, "cp1", component_serving=True))
    order: list[str] = []
    restart = rotation.Gate._restart

    def restarted(gate: rotation.Gate, component: str, **how: bool) -> float:
        order.append("restarted")
        return restart(gate, component, **how)

    monkeypatch.setattr(rotation.Gate, "_restart", restarted)
    monkeypatch.setattr(rotation.Gate, "_await_served", lambda _gate, one, _place: order.append(one.name))
    component = {"manifest": MANIFEST, "flags": {"tls-cert-file": "/etc/kubernetes/pki/controller-manager/server.crt"}}
    found = {**FOUND, "components": {"kube-controller-manager": component}}
    rotate_manager(host, manager, NOW + 400 * DAY, 30.0, "controller-manager-server", found=found)
    assert order == ["restarted", "controller-manager-server"]


def test_who_has_one_that_holds_must_be_well_before(
    tmp_path: Path, manager: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.stand_in(monkeypatch)
    host = made(Directory(tmp_path, "cp1"))
    before = host.state()
    with pytest.raises(HardeningError, match="kube-controller-manager does not run on this host"):
        rotate_manager(host, manager, NOW + 300 * DAY, 30.0)
    assert {path: state for path, state in host.state().items() if path in before} == before


def test_an_administrator_whose_certificate_has_ended_is_no_reason_to_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(rotation.sights, "build", lambda *given, **named: asked.append((given[1:3], named)))
    found = {"components": {"kube-apiserver": {}}, "admin_kubeconfig": "/a.conf", "runtime_socket": "/r.sock"}
    host = Directory(tmp_path, "cp1")
    rotation.Gate(host.host, host.store(), found, 1.0, lambda _args: (0, "", ""))
    assert asked == [(("/a.conf", "/r.sock"), {"allow_expired": True})]


# ---- the cluster around it

CP2 = "https://192.0.2.12:6443"
BESIDE = {"cp2": CP2}
#: A server of the cluster's, with a certificate that nothing reads in these tests.
SERVER = "front-proxy-client"


@pytest.fixture
def cluster(world: World) -> World:
    """Well, but for what a test does to it."""
    world.lives = [Life(9, ["kube-apiserver"])]
    world.nodes = {"cp1": "", "w1": ""}
    world.others[CP2] = 200
    return world


def rotate_server(host: Directory, world: World, now: float = NOW, name: str = SERVER) -> list[str]:
    """Renew a certificate that its component reads anew by itself; nothing restarts."""
    store = host.store()
    options = leaves.Options(Policy(renew_all=True), leaves.SCOPE_DUE, only=(name,), restarts=True)
    planned = leaves.Leaves(store, host.pki, host.files(), now, options)

    def no_command(args: list[str]) -> tuple[int, str, str]:
        raise AssertionError(args)

    found = {**FOUND, "node_name": "cp1"}
    rotation.Gate(host.host, store, found, 60.0, no_command, world.sight(), BESIDE).apply(planned, {}, {})
    return [one.name for one in planned.issued]


# What an API server of 1.37.1 said: a kubelet that serves it does not change the protocol, and what refuses a user
# whom no binding permits it is passed on, while its own refusals are JSON.
SERVED = Answer(500, b'{"status": "Failure", "message": "invalid upgrade response: status code 200", "code": 500}')
CLOSED = Answer(500, b'{"status": "Failure", "message": "use of closed network connection", "code": 500}')
REFUSED = Answer(
    403, b"Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource(s)=[healthz proxy])"
)
FORBIDDEN = Answer(403, b'{"kind": "Status", "reason": "Forbidden"}')
UNKNOWN, DOWN = Answer(401, b"Unauthorized"), Answer(502)


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        # The first connection is closed with those before it.
        (rotation.KUBELET_CLIENT, [SERVED, CLOSED, SERVED]),
        (rotation.KUBELET_CLIENT, [SERVED, SERVED]),
        (rotation.KUBELET_CLIENT, [Answer(200), Answer(200)]),
        # A kubelet that is down says nothing against the certificate, nor does one that refused its predecessor too, or
        # did not know it any more since it had ended.
        (rotation.KUBELET_CLIENT, [SERVED, DOWN, DOWN, DOWN]),
        (rotation.KUBELET_CLIENT, [REFUSED] * 6),
        (rotation.KUBELET_CLIENT, [*[UNKNOWN] * 3, *[REFUSED] * 3]),
        (rotation.KUBELET_CLIENT, [SERVED, *[FORBIDDEN] * 3]),
        (rotation.KUBELET_CLIENT, [SERVED, REFUSED, SERVED]),
        (SERVER, []),
    ],
)
def test_an_api_server_meets_its_new_certificate_for_kubelets_before_anybody_else_does(
    name: str, answers: list[Answer], tmp_path: Path, cluster: World
) -> None:
    cluster.kubelets = list(answers)
    assert rotate_server(made(Directory(tmp_path, "cp1")), cluster, name=name) == [name]
    assert cluster.reached == ["/api/v1/nodes/cp1/proxy/healthz"] * len(answers)


# The predecessor may have been laid a moment ago, so that its first connection is closed too.
@pytest.mark.parametrize("before", [[SERVED], [CLOSED, SERVED]], ids=["kept", "closed"])
def test_a_certificate_that_kubelets_know_and_permit_nothing_goes_back(
    before: list[Answer], tmp_path: Path, cluster: World
) -> None:
    host = made(Directory(tmp_path, "cp1"))
    laid = host.files()
    cluster.kubelets = [*before, *[REFUSED] * 3]
    with pytest.raises(HardeningError) as caught:
        rotate_server(host, cluster, name=rotation.KUBELET_CLIENT)
    assert caught.value.number == "KH217"
    assert "answers 'Forbidden (user=kube-apiserver-kubelet-client" in str(caught.value)
    assert "ClusterRoleBinding kubeadm:apiserver-kubelet-client" in str(caught.value)
    assert host.files() == laid


def test_nothing_is_renewed_while_another_api_server_is_not_well(tmp_path: Path, cluster: World) -> None:
    """What was renewed on the host before may be what the others do not believe."""
    host = made(Directory(tmp_path, "cp1"))
    before = host.state()
    cluster.others[CP2] = 500
    with pytest.raises(HardeningError) as caught:
        rotate_server(host, cluster)
    assert caught.value.number == "KH131"
    assert "kube-apiserver of cp2 is not well: /readyz answered 500, for 60 s. Nothing was" in str(caught.value)
    assert host.state() == before
    assert Journal(host.host).read() == {}


def test_a_node_that_is_not_ready_does_not_end_a_rotation(tmp_path: Path, cluster: World) -> None:
    """Half a rotation is worse, and the node may wait for what comes of it."""
    host = made(Directory(tmp_path, "cp1"))
    cluster.nodes["w1"] = "KubeletNotReady"
    assert rotate_server(host, cluster) == [SERVER]
    assert cluster.time == 0.0


def test_a_cluster_that_becomes_well_is_waited_for(tmp_path: Path, cluster: World) -> None:
    host = made(Directory(tmp_path, "cp1"))
    cluster.others[CP2] = 500
    cluster.events.append((20.0, lambda: cluster.others.update({CP2: 200})))
    assert rotate_server(host, cluster) == [SERVER]
    assert 20.0 <= cluster.time < 30.0


def test_where_one_has_ended_on_this_host_nobody_need_be_well(tmp_path: Path, cluster: World) -> None:
    host = made(Directory(tmp_path, "cp1"))
    cluster.others[CP2] = 500
    assert rotate_server(host, cluster, NOW + 400 * DAY) == [SERVER]
    assert cluster.time == 0.0


def test_a_component_that_restarts_asks_too(tmp_path: Path, cluster: World) -> None:
    """And owes no restart that never came about."""
    host = made(Directory(tmp_path, "cp1"))
    cluster.lives.append(Life(10, WORDS))
    cluster.others[CP2] = 500
    with pytest.raises(HardeningError, match="kube-apiserver of cp2 is not well"):
        rotate_manager(host, cluster, NOW + 300 * DAY, 60.0, beside=BESIDE)
    assert Journal(host.host).read() == {}
