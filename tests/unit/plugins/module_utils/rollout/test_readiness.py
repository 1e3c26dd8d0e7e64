# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shows of being ready: read from its files, its processes and its API, with nothing changed."""

from __future__ import annotations

import base64
import datetime
import os
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import readiness
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.readiness import Readiness
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import (
    OLD,
    Life,
    World,
    control_plane,
)

SEEDS = Path(__file__).parents[5] / "inventories" / "demo" / "hosts.orig"
BEGIN = datetime.datetime(2026, 1, 1)
ENDS = datetime.datetime(2027, 1, 1)
MIB = 1024 * 1024


def nowhere() -> str:
    raise AssertionError("no temporary directory is wanted")


@pytest.fixture
def cp1(tmp_path: Path) -> Host:
    return open_host(str(tmp_path / "cp1"), str(SEEDS / "cp1"), check=False, scratch=nowhere)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    place = tmp_path / "proc"
    place.mkdir()
    (place / "stat").write_text("btime 1000\n")
    return place


def process(proc: Path, pid: int, *arguments: str) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes(b"\0".join(word.encode() for word in arguments) + b"\0")
    (proc / str(pid) / "stat").write_text(f"{pid} (x) S 1 " + "0 " * 17 + "500 0\n")


def seen(host: Host, proc: Path, world: World | None = None, audit: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
    found = Discovery(host, True).run()
    return Readiness(host, found, world.sight() if world else None, audit or {}, str(proc)).look()


@pytest.mark.parametrize(
    ("text", "reason"), [("", ""), ("kernel.panic = 60\n", "/etc/sysctl.conf would set kernel.panic to 60 at the next")]
)
def test_a_kubelet_that_insists_on_its_kernel(cp1: Host, proc: Path, text: str, reason: str) -> None:
    """What keeps a run from setting what it wants is seen before the first write."""
    assert (seen(cp1, proc)["kernel"], seen(cp1, proc)["kernel_stays"]) == ([], "")
    configuration = Path(cp1.root) / "var/lib/kubelet/config.yaml"
    os.chmod(configuration, 0o600)
    configuration.write_text(configuration.read_text() + "protectKernelDefaults: true\n")
    (Path(cp1.root) / "etc/sysctl.conf").write_text(text)
    evidence = seen(cp1, proc)
    assert evidence["kernel"]
    assert evidence["kernel_stays"].startswith(reason)
    assert bool(evidence["kernel_stays"]) == bool(reason)


def test_a_kubelet_that_insists_from_its_next_start_on(cp1: Host, proc: Path) -> None:
    """Its flags were changed, and nobody has restarted it since: the run would."""
    found = Discovery(cp1, True).run()
    found["kubelet"]["next_flags"] = {**found["kubelet"]["flags"], "protect-kernel-defaults": "true"}
    assert Readiness(cp1, found, None, {}, str(proc)).look()["kernel"]


def certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = builder.serial_number(1).not_valid_before(BEGIN).not_valid_after(ENDS).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_quiet_host_shows_room_and_nothing_else(cp1: Host, proc: Path) -> None:
    evidence = seen(cp1, proc)
    assert {place["path"] for place in evidence["room"]} == {
        "/etc/kubernetes",
        "/var/lib/kubelet",
        "/var/lib/kubeharden",
    }
    assert all(place["inodes"] and not place["read_only"] and not place["audit"] for place in evidence["room"])
    assert (evidence["upgrade"], evidence["kernel"], evidence["unmounted"]) == ([], [], [])
    assert "api" not in evidence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("/usr/bin/kubeadm", "upgrade", "apply", "v1.38.0", "--yes"), ["kubeadm upgrade apply"]),
        (("kubeadm", "join", "192.0.2.1:6443", "--token", "secret"), ["kubeadm join 192.0.2.1:6443"]),
        (("kubeadm", "join", "--token=secret", "192.0.2.1:6443"), ["kubeadm join"]),
        (("kubeadm", "--v=5", "upgrade", "apply", "v1.38.0"), ["kubeadm upgrade apply"]),
        (("kubeadm", "-v", "5", "upgrade"), ["kubeadm upgrade"]),
        (("kubeadm", "--v=5", "version"), []),
        (("kubeadm", "version"), []),
        (("kubeadm",), []),
        (("vi", "kubeadm"), []),
    ],
)
def test_a_run_of_kubeadm_that_changes_something(
    cp1: Host, proc: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    process(proc, 7, *arguments)
    assert [one["words"] for one in seen(cp1, proc)["upgrade"]] == words


AUDIT = {"path": "/var/log/kubernetes/audit/audit.log", "maxsize": "100", "maxbackup": "10"}


def of_audit(host: Host, proc: Path, audit: dict[str, t.Any] | None = None) -> tuple[str, float, str]:
    """Where the audit log is going to lie, the megabytes that it may still take, and what lets it grow without end."""
    place = seen(host, proc, audit=audit)["room"][-1]
    assert place["audit"]
    return place["path"], place["budget"] / MIB, place["endless"]


def lay(path: Path, megabytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(megabytes * MIB)


def with_flags(host: Host, *flags: str, version: str = "") -> None:
    """Give the API server flags, and the image of another version."""
    manifest = Path(host.root) / "etc/kubernetes/manifests/kube-apiserver.yaml"
    os.chmod(manifest, 0o600)
    port = "    - --secure-port=6443\n"
    text = manifest.read_text().replace(port, port + "".join(f"    - --audit-log-{flag}\n" for flag in flags))
    manifest.write_text(re.sub(r"(kube-apiserver:v)[0-9.]+", rf"\g<1>{version}", text) if version else text)


def test_the_audit_log_needs_what_its_rotation_may_still_take(cp1: Host, proc: Path) -> None:
    place = Path(cp1.root) / "var/log/kubernetes/audit"
    assert of_audit(cp1, proc, AUDIT) == ("/var/log/kubernetes/audit", 1100, "")
    lay(place / "audit.log", 40)
    lay(place / "audit-2026-11-29T10-00-00.000.log", 100)
    lay(place / "audit-2026-11-29T09-00-00.000.log.gz", 5)
    (place / "other").mkdir()
    assert of_audit(cp1, proc, AUDIT) == ("/var/log/kubernetes/audit", 955, "")


@pytest.mark.parametrize("name", ["messages", "audit.log.1", "audit.log.2.gz", "audit-old.log", "kube.log"])
def test_what_else_lies_beside_the_audit_log_is_none_of_it(cp1: Host, proc: Path, name: str) -> None:
    """Such as the logs of auditd, whose directory it may share."""
    lay(Path(cp1.root) / "var/log/audit" / name, 2000)
    assert of_audit(cp1, proc, {**AUDIT, "path": "/var/log/audit/audit.log"}) == ("/var/log/audit", 1100, "")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ("/var/log/old", 1100.0, "")),
        ({"path": "/var/log/new/a.log"}, ("/var/log/new", 1100.0, "")),
        ({"maxsize": "20"}, ("/var/log/old", 220.0, "")),
        ({"maxbackup": "2", "maxsize": "5"}, ("/var/log/old", 15.0, "")),
        ({"maxbackup": "0"}, ("/var/log/old", 100.0, "audit-log-maxbackup")),
    ],
)
def test_the_users_own_word_of_the_audit_log_takes_the_place_of_what_is_there(
    cp1: Host, proc: Path, own: dict[str, str], expected: tuple[str, float, str]
) -> None:
    with_flags(cp1, "path=/var/log/old/a.log", "maxsize=50", "maxbackup=3")
    assert of_audit(cp1, proc, {**AUDIT, **own, "own": list(own)}) == expected


def test_an_audit_log_that_is_not_to_be_a_file_needs_no_room(cp1: Host, proc: Path) -> None:
    with_flags(cp1, "path=/var/log/old/a.log")
    assert not any(place["audit"] for place in seen(cp1, proc, audit={**AUDIT, "path": "-", "own": ["path"]})["room"])


@pytest.mark.parametrize(
    ("flags", "audit", "version", "expected"),
    [
        # All are kept: of a file that the run leaves so, ten are no bound.
        (("maxbackup=0",), AUDIT, "1.37.1", (60.0, "audit-log-maxbackup")),
        (("maxsize=200", "maxbackup=20"), AUDIT, "1.37.1", (4160.0, "")),
        # Left as it is: by itself, and by the version's own defaults.
        (("maxsize=200", "maxbackup=1"), {}, "1.37.1", (360.0, "")),
        ((), {}, "1.37.1", (10060.0, "")),
        ((), {}, "1.35.4", (60.0, "audit-log-maxbackup")),
        (("maxbackup=1",), {}, "1.35.4", (160.0, "")),
        (("maxsize=0", "maxbackup=1"), {}, "1.35.4", (160.0, "")),
        (("maxsize=0", "maxbackup=1"), {}, "1.36.0", (0.0, "audit-log-maxsize")),
        (("maxsize=0", "maxbackup=1"), AUDIT, "1.36.0", (1060.0, "")),
    ],
)
def test_how_large_the_audit_log_may_become(
    cp1: Host, proc: Path, flags: tuple[str, ...], audit: dict[str, t.Any], version: str, expected: tuple[float, str]
) -> None:
    with_flags(cp1, "path=/var/log/old/a.log", *flags, version=version)
    lay(Path(cp1.root) / "var/log/old/a.log", 40)
    assert of_audit(cp1, proc, audit)[1:] == expected


def test_an_audit_log_below_no_mount(cp1: Host, proc: Path) -> None:
    with_flags(cp1, "path=/a/b.log")
    (one,) = seen(cp1, proc)["unmounted"]
    assert (one["flag"], one["path"]) == ("audit-log-path", "/a/b.log")


def test_what_etcd_writes_below_no_mount(cp1: Host, proc: Path) -> None:
    manifest = Path(cp1.root) / "etc/kubernetes/manifests/etcd.yaml"
    text = manifest.read_text()
    os.chmod(manifest, 0o600)
    assert "    - --data-dir=/var/lib/etcd\n" in text
    logs = "    - --log-outputs=stderr,/var/lib/etcd/x.log,/var/log/etcd.log\n"
    manifest.write_text(text.replace("    - --data-dir=/var/lib/etcd\n", f"    - --data-dir=/data\n{logs}"))
    found = seen(cp1, proc)["unmounted"]
    assert [(one["component"], one["flag"], one["path"]) for one in found] == [
        ("etcd", "data-dir", "/data"),
        ("etcd", "log-outputs", "/var/log/etcd.log"),
    ]


def test_certificates_in_use_and_when_they_end(cp1: Host, proc: Path) -> None:
    """What cannot be read has other sentences; here it is left out."""
    (Path(cp1.root) / "etc/kubernetes/pki/apiserver.crt").write_bytes(b"text before\n" + certificate())
    (one,) = seen(cp1, proc)["certificates"]
    assert one["path"] == "/etc/kubernetes/pki/apiserver.crt"
    assert one["user"] == "kube-apiserver"
    assert one["ends"] == ENDS.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert one["begins"] == BEGIN.replace(tzinfo=datetime.timezone.utc).timestamp()


@pytest.mark.parametrize(("lives", "unwell"), [([], "it does not run"), ([Life(1, OLD)], "")])
def test_the_hosts_own_api_server(cp1: Host, proc: Path, world: World, lives: list[Life], unwell: str) -> None:
    world.lives = lives
    assert seen(cp1, proc, world)["api"]["unwell"] == unwell


def test_an_api_server_that_has_just_started_is_given_a_while(cp1: Host, proc: Path, world: World) -> None:
    world.lives = [Life(1, OLD, well=20.0)]
    assert seen(cp1, proc, world)["api"]["unwell"] == ""
    world.lives = [Life(1, OLD, well=200.0)]
    assert seen(cp1, proc, world)["api"]["unwell"] == "/livez answered refused"


def closed(cp1: Host, proc: Path, world: World, allow_expired: bool, kubeconfig: bool = False) -> Readiness:
    """A control plane that shows a certificate which has ended, or whose administrator does."""
    world.time = (ENDS + datetime.timedelta(days=9)).replace(tzinfo=datetime.timezone.utc).timestamp()
    world.lives = [Life(1, OLD, end=2 * world.time, unwell=2 * world.time)]
    world.answers = {"/livez": 401, "/readyz": 403, "/api/v1/namespaces/kube-system": 401}
    name, content = "etc/kubernetes/pki/apiserver.crt", certificate()
    if kubeconfig:
        name = "etc/kubernetes/admin.conf"
        data = base64.b64encode(content).decode("ascii")
        user = {"client-certificate-data": data, "client-key-data": data}
        document = {
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}],
            "users": [{"name": "u", "user": user}],
        }
        content = yaml.safe_dump(document).encode("ascii")
    (Path(cp1.root) / name).unlink(missing_ok=True)
    (Path(cp1.root) / name).write_bytes(content)
    found = Discovery(cp1, True).run()
    assert found["admin_kubeconfig"] == "/etc/kubernetes/admin.conf"
    return Readiness(cp1, found, world.sight(), {}, str(proc), allow_expired)


@pytest.mark.parametrize("kubeconfig", [False, True])
def test_an_api_server_that_refuses_a_certificate_that_has_ended_is_there(
    cp1: Host, proc: Path, world: World, kubeconfig: bool
) -> None:
    readiness_there = closed(cp1, proc, world, True, kubeconfig)
    assert readiness_there.is_closed()
    api = readiness_there.look()["api"]
    assert (api["unwell"], api["closed"]) == ("", True)
    # Nothing that takes the administrator's certificate is asked.
    front_door = readiness_there.look_at_front_door()
    assert front_door == {"served": "", "apart": 0.0}
    assert readiness_there.look_at_cluster(nowhere, front_door)["served"] == ""  # type: ignore[arg-type]
    strict = closed(cp1, proc, world, False, kubeconfig)
    api = strict.look()["api"]
    assert (api["unwell"], api["closed"]) == ("/livez answered 401", False)
    world.answers["/readyz"] = 500
    broken = Readiness(cp1, Discovery(cp1, True).run(), world.sight(), {}, str(proc), allow_expired=True)
    assert broken.look()["api"]["unwell"] == "/readyz answered 500"


def test_an_api_server_with_certificates_that_hold_is_asked_as_ever(cp1: Host, proc: Path, world: World) -> None:
    world.lives, world.answers = [Life(1, OLD)], {"/livez": 401}
    looked = Readiness(cp1, Discovery(cp1, True).run(), world.sight(), {}, str(proc), allow_expired=True).look()
    assert (looked["api"]["unwell"], looked["api"]["closed"]) == ("/livez answered 401", False)


class Etcd:
    """An etcd that answers as a test says."""

    def __init__(self, alarms: list[str] | None, unwell: str = "", members: list[str] | None = None) -> None:
        self._alarms, self._unwell, self._members = alarms, unwell, members or []

    def alarms(self) -> list[str]:
        if self._alarms is None:
            raise HardeningError("KH128", "etcd could not be asked for its alarms: answered 404.")
        return self._alarms

    def unwell(self) -> str:
        return self._unwell

    def members(self) -> list[str]:
        return self._members

    def unwell_members(self, members: list[str]) -> list[str]:
        return members


@pytest.mark.parametrize(
    ("etcd", "seen_of_it"),
    [
        (Etcd([]), {"alarms": [], "unwell": [], "unseen": ""}),
        (Etcd(["NOSPACE"], members=["cp2: away"]), {"alarms": ["NOSPACE"], "unwell": [], "unseen": ""}),
        (Etcd([], members=["cp2: away"]), {"alarms": [], "unwell": ["cp2: away"], "unseen": ""}),
        # Without its gateway it cannot be asked; without a majority it is not well.
        (
            Etcd(None),
            {"alarms": [], "unwell": [], "unseen": "etcd could not be asked for its alarms: answered 404."},
        ),
        (Etcd(None, "/health answered 503"), {"alarms": [], "unwell": ["/health answered 503"], "unseen": ""}),
    ],
)
def test_etcd(
    cp1: Host, proc: Path, world: World, etcd: Etcd, seen_of_it: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.lives = [Life(1, OLD), Life(2, ["etcd"])]
    monkeypatch.setattr(readiness, "etcd_client", lambda _process: etcd)
    monkeypatch.setattr(readiness, "require_served", lambda _view: [1.0, -600.0])
    look = Readiness(cp1, Discovery(cp1, True).run(), world.sight(), {}, str(proc))
    looked = look.look_at_cluster(list, look.look_at_front_door())
    others: dict[str, t.Any] = {"others_unwell": [], "others_away": []}
    assert looked == {"etcd": seen_of_it, "nodes": [], **others, "served": "", "apart": -600.0}


def node(name: str, status: str, since: str = "2020-01-01T00:00:00Z") -> dict[str, t.Any]:
    condition = {"type": "Ready", "status": status, "reason": "KubeletNotReady", "lastTransitionTime": since}
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Other", "status": "True"}, condition]}}


def test_nodes(cp1: Host, proc: Path, world: World) -> None:
    """One that is not Ready for long is not waited for; one that has just become so is."""
    found = Discovery(cp1, True).run()
    found["components"].pop("etcd")
    world.time = 1_800_000_000.0
    fresh = datetime.datetime.fromtimestamp(world.time - 5, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked: list[float] = []

    def nodes() -> list[dict[str, t.Any]]:
        asked.append(world.time)
        return [
            node("old", "Unknown"),
            node("new", "False" if len(asked) < 4 else "True", fresh),
            {"metadata": {"name": "x"}},
        ]

    look = Readiness(cp1, found, world.sight(), {}, str(proc))
    looked = look.look_at_cluster(nodes, {"served": "", "apart": 2.0})
    assert looked["nodes"] == [
        {"name": "old", "trouble": "KubeletNotReady"},
        {"name": "new", "trouble": ""},
        {"name": "x", "trouble": "it says nothing of itself"},
    ]
    assert len(asked) == 4
    assert looked["etcd"]["unseen"] == "it is no static pod of this host"
    assert (looked["served"], looked["apart"]) == ("", 2.0)


@pytest.mark.parametrize(("other", "away"), [(200, []), (500, ["cp2"])])
def test_whether_another_api_server_is_well(cp1: Host, proc: Path, world: World, other: int, away: list[str]) -> None:
    found = Discovery(cp1, True).run()
    found["components"] = {"kube-apiserver": found["components"]["kube-apiserver"]}
    world.lives = [Life(1, OLD)]
    world.others = {"https://192.0.2.12:6443": other}
    listed = [control_plane(found["node_name"], "192.0.2.11"), control_plane("cp2", "192.0.2.12"), node("w1", "True")]
    begun = world.time
    looked = Readiness(cp1, found, world.sight(), {}, str(proc)).look_at_cluster(lambda: listed, {"served": ""})
    assert looked["others_away"] == away
    assert (world.time > begun) is bool(away)  # one that has just started is given a while


CP2, CP3 = "https://192.0.2.12:6443", "https://192.0.2.13:6443"
DOWN = {"node": "cp2", "server": CP2, "trouble": "/readyz answered 0", "silent": True}
ILL = {"node": "cp3", "server": CP3, "trouble": "/readyz answered 500", "silent": False}


@pytest.mark.parametrize(
    ("listed", "answers", "unwell"),
    [
        ([], {CP2: 200, CP3: 200}, []),
        # One that is away is struck off the list of the API servers soon, and known by its node.
        (["192.0.2.13"], {CP2: 0, CP3: 200}, [DOWN]),
        (["192.0.2.12", "192.0.2.13"], {CP2: 0, CP3: 200}, [DOWN]),
        ([], {CP2: 0, CP3: 500}, [DOWN, ILL]),
        # Under an address that is none of its node's.
        (
            ["192.0.2.13", "203.0.113.2"],
            {CP3: 200, "https://203.0.113.2:6443": 500},
            [{**ILL, "node": "", "server": "https://203.0.113.2:6443"}],
        ),
        # All are on the list, so that nobody asks at a node's address, where none need listen.
        (["203.0.113.2", "203.0.113.3"], {CP2: 0, CP3: 0}, []),
    ],
)
def test_each_other_api_server_is_asked(
    cp1: Host, proc: Path, world: World, listed: list[str], answers: dict[str, int], unwell: list[dict[str, t.Any]]
) -> None:
    """Those of hosts that take no part too: the one that is well may be all that is left then."""
    found = Discovery(cp1, True).run()
    found["components"] = {"kube-apiserver": found["components"]["kube-apiserver"]}
    world.lives = [Life(1, OLD)]
    world.servers = ["192.0.2.11", *listed]
    world.others = {**dict.fromkeys(("https://203.0.113.2:6443", "https://203.0.113.3:6443"), 200), **answers}
    nodes = [control_plane(found["node_name"], "192.0.2.11"), node("w1", "True")]
    nodes += [control_plane("cp2", "192.0.2.12"), control_plane("cp3", "192.0.2.13")]
    looked = Readiness(cp1, found, world.sight(), {}, str(proc)).look_at_cluster(lambda: nodes, {"served": ""})
    assert [{**one, "trouble": one["trouble"].replace("None", "0")} for one in looked["others_unwell"]] == unwell
    assert looked["others_away"] == (["cp2", "cp3"] if len(unwell) == 2 else [])


def test_another_api_server_that_has_just_started_is_given_a_while(cp1: Host, proc: Path, world: World) -> None:
    found = Discovery(cp1, True).run()
    found["components"] = {"kube-apiserver": found["components"]["kube-apiserver"]}
    world.lives, world.others = [Life(1, OLD)], {CP2: 500}
    world.events.append((20.0, lambda: world.others.update({CP2: 200})))
    nodes = [control_plane(found["node_name"], "192.0.2.11"), control_plane("cp2", "192.0.2.12")]
    looked = Readiness(cp1, found, world.sight(), {}, str(proc)).look_at_cluster(lambda: nodes, {"served": ""})
    assert (looked["others_unwell"], looked["others_away"]) == ([], [])


def test_of_a_front_door_that_loses_requests_nothing_else_is_asked(cp1: Host, proc: Path, world: World) -> None:
    def nodes() -> list[dict[str, t.Any]]:
        raise AssertionError("it was asked")

    look = Readiness(cp1, {**Discovery(cp1, True).run(), "components": {}}, world.sight(), {}, str(proc))
    front_door = look.look_at_front_door()
    assert front_door["served"].startswith("KH140: 10 of 10 requests to https://192.0.2.1:6443 failed")
    looked = look.look_at_cluster(nodes, front_door)
    assert (looked["nodes"], looked["served"]) == ([], front_door["served"])


def test_a_front_door_that_refuses_us_loses_nothing(cp1: Host, proc: Path, world: World) -> None:
    """Who reads the API says which credentials it takes no more."""
    world.lives = [Life(1, OLD)]
    world.answers["/readyz"] = 401
    look = Readiness(cp1, Discovery(cp1, True).run(), world.sight(), {}, str(proc))
    assert look.look_at_front_door() == {"served": "", "apart": 0.0}


def test_a_node_that_speaks_with_the_api_sees_nodes_and_the_front_door_and_nothing_of_a_control_plane(
    tmp_path: Path, proc: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w1 = open_host(str(tmp_path / "w1"), str(SEEDS / "w1"), check=False, scratch=nowhere)
    found = Discovery(w1, False, "/root/api.conf", asks=True).run()
    assert found["admin_kubeconfig"] == "/root/api.conf"
    look = Readiness(w1, found, world.sight(), {}, str(proc))
    assert "api" not in look.look()
    monkeypatch.setattr(readiness, "require_served", lambda _view: [2.0])
    looked = look.look_at_cluster(lambda: [node("w1", "Unknown")], look.look_at_front_door())
    assert looked == {"nodes": [{"name": "w1", "trouble": "KubeletNotReady"}], "served": "", "apart": 2.0}
