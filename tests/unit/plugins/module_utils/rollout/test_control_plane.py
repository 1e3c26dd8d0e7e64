# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One control plane: tried, written once, proven, or all as it was. The kubelet is a stand-in with real times."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import types
import typing as t
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import record
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.pki import authority, issue, keys, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import Names
from ansible_collections.kubeharden.core.plugins.module_utils.probes import cri
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Memory
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import cluster_health, control_plane, front_door
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.control_plane import (
    ControlPlane,
    Options,
    sandbox_image,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import ComponentPlan, Setting, plan_component
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import Kubelet, World

FIXTURES = Path(__file__).parents[3] / "fixtures" / "kubeadm-1.37.1" / "plain"
DIRECTORY = "/etc/kubernetes/manifests"
POLICY = "/etc/kubernetes/kubeharden/audit-policy.yaml"
RUN = "20260101T000000Z-abcd"
API = "kube-apiserver"
AUDIT: dict[str, dict[str, t.Any]] = {
    "audit-policy-file": {"keep": POLICY, "mount": "read_only", "control": "policy"},
    "audit-log-path": {"keep": "/var/log/kubernetes/audit/audit.log", "mount": "read_write", "control": "path"},
}
PROFILING: dict[str, dict[str, t.Any]] = {"profiling": {"exact": "false", "control": "profiling"}}


def image(name: str, pinned: bool = False) -> cri.Image:
    return cri.Image(id=name, tags=[name], digests=[], size=1, pinned=pinned)


def always(_arguments: Sequence[str]) -> bool:
    return True


def without(flag: str, trial_too: bool = True) -> Callable[[Sequence[str]], bool]:
    """A component that ends when it is started with a flag."""

    def good(arguments: Sequence[str]) -> bool:
        is_trial = "--endpoint-reconciler-type=none" in arguments
        return not any(word.startswith(f"--{flag}") for word in arguments) or (is_trial and not trial_too)

    return good


class Place:
    """One host with its kubelet."""

    def __init__(
        self,
        root: Path,
        world: World,
        good: Callable[[Sequence[str]], bool],
        components: Sequence[str] = (API, "kube-controller-manager", "kube-scheduler"),
    ) -> None:
        self.root = root
        self.world = world
        self.run = RUN
        self.api_servers: dict[str, str] = {}
        world.nodes = {"cp1": "", "cp2": "", "w1": "", "w9": "KubeletNotReady"}  # the last takes no part
        folder = root / DIRECTORY.lstrip("/")
        folder.mkdir(parents=True)
        for component in components:
            shutil.copy(FIXTURES / f"{component}.yaml", folder)
            os.chmod(folder / f"{component}.yaml", 0o600)
            os.utime(folder / f"{component}.yaml", ns=(1_600_000_000_000_000_001, 1_500_000_000_000_000_002))
        self.host = Host(str(root))
        self._lay_named_files(folder)
        self.kubelet = Kubelet(world, self.host, good)
        assert world.runtime is not None
        world.runtime.store = [image(str(one)) for one in self.images()] + [image("registry.k8s.io/pause:3.10.1")]
        self.before = self.state()
        world.sleep(1.0)

    def _lay_named_files(self, folder: Path) -> None:
        """Certificates, keys and kubeconfigs: a component of which one is missing is not tried before its turn."""
        for path in folder.iterdir():
            for named in re.findall(r"=(/etc/kubernetes/\S+)", path.read_text(encoding="utf-8")):
                file = Path(self.host.path(named))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()

    def images(self) -> list[str]:
        found = []
        for path in (self.root / DIRECTORY.lstrip("/")).iterdir():
            found += [line.split()[1] for line in path.read_text(encoding="utf-8").splitlines() if " image:" in line]
        return found

    def state(self) -> dict[str, t.Any]:
        """Bytes, modes and times of everything but our own state directory."""
        found: dict[str, t.Any] = {}
        for path in sorted((self.root / "etc").rglob("*")):
            status = path.stat()
            data = path.read_bytes() if path.is_file() else None
            found[str(path)] = (data, status.st_mode, status.st_mtime_ns if path.is_file() else None)
        return found

    def plan(
        self, component: str = API, flags: dict[str, dict[str, t.Any]] | None = None, text: str = "kind: Policy\n"
    ) -> ComponentPlan:
        contents = {"audit-policy-file": text} if component == API else {}
        return plan_component(self.host, component, f"{DIRECTORY}/{component}.yaml", flags or AUDIT, contents)

    def apply(self, *plans: ComponentPlan, trial: bool = True, limit: float = 300.0) -> dict[str, float]:
        return self.control_plane(trial, limit).apply(plans or [self.plan()])

    def control_plane(
        self, trial: bool = True, limit: float = 300.0, tried: Mapping[str, str] | None = None
    ) -> ControlPlane:
        options = Options(self.run, trial, limit, tried or {}, self.api_servers, ("cp1", "cp2", "w1"))
        return ControlPlane(self.host, options, self.world.sight(), "cp1")

    def refused(self, *plans: ComponentPlan, **options: t.Any) -> str:
        with pytest.raises(HardeningError) as caught:
            self.apply(*plans, **options)
        return str(caught.value)

    def started(self, component: str = API) -> int:
        """How often the live component was started since the begin."""
        live = [arguments for name, arguments in self.kubelet.starts if name == component]
        return len([one for one in live if "--endpoint-reconciler-type=none" not in one])

    def trials(self) -> list[Sequence[str]]:
        """With what the API server was tried since the begin."""
        every = [arguments for _name, arguments in self.kubelet.starts]
        return [one for one in every if "--endpoint-reconciler-type=none" in one]


@pytest.fixture
def make(tmp_path: Path, world: World) -> Callable[..., Place]:
    return lambda good=always: Place(tmp_path / "host", world, good)


# ---- well


def test_a_plan_is_tried_written_and_proven(make: Callable[..., Place]) -> None:
    place = make()
    plan = place.plan()
    seconds = place.apply(plan)
    assert list(seconds) == [API]
    assert 42 < seconds[API] < 48
    assert Path(place.host.path(plan.path)).read_text(encoding="utf-8") == plan.manifest.text
    assert Path(place.host.path(POLICY)).read_text(encoding="utf-8") == "kind: Policy\n"
    assert place.started() == 1
    assert Journal(place.host).read() == {}
    assert "kube-apiserver-kubeharden-trial.yaml" in place.kubelet.files
    assert sorted(os.listdir(place.root / DIRECTORY.lstrip("/"))) == [
        f"{name}.yaml" for name in (API, "kube-controller-manager", "kube-scheduler")
    ]


def test_no_file_but_manifests_and_the_trial_is_ever_seen_in_the_watched_directory(make: Callable[..., Place]) -> None:
    place = make()
    place.apply()
    assert {name for name in place.kubelet.files if not name.startswith("kube-")} == set()


def test_mode_and_owner_of_a_manifest_stay(make: Callable[..., Place]) -> None:
    place = make()
    path = Path(place.host.path(f"{DIRECTORY}/{API}.yaml"))
    path.chmod(0o640)
    place.apply()
    assert path.stat().st_mode & 0o7777 == 0o640


def test_our_directory_and_file_are_private(make: Callable[..., Place]) -> None:
    place = make()
    place.apply()
    assert Path(place.host.path(POLICY)).stat().st_mode & 0o7777 == 0o600
    assert Path(place.host.path(POLICY)).parent.stat().st_mode & 0o7777 == 0o700


def test_nothing_to_do_touches_nothing(make: Callable[..., Place]) -> None:
    place = make()
    plan = place.plan(flags={"allow-privileged": {"exact": "true"}}, text="")
    assert place.apply(plan) == {}
    assert place.state() == place.before
    assert not (place.root / "var").exists()


def test_several_components_are_written_together_and_each_is_proven(make: Callable[..., Place]) -> None:
    place = make()
    plans = [place.plan("kube-scheduler", PROFILING), place.plan(), place.plan("kube-controller-manager", PROFILING)]
    assert list(place.apply(*plans)) == [API, "kube-controller-manager", "kube-scheduler"]
    assert Journal(place.host).read() == {}


def test_a_changed_file_alone_restarts_that_container_alone(make: Callable[..., Place]) -> None:
    place = make()
    place.apply()
    assert place.world.runtime is not None
    place.kubelet.starts.clear()
    seconds = place.apply(place.plan(text="kind: Policy\nrules: []\n"), trial=False)
    assert seconds[API] < 10
    assert len(place.world.runtime.stopped) == 1
    assert place.started() == 1


def test_without_a_process_the_files_are_written_all_the_same(make: Callable[..., Place]) -> None:
    """kubeharden_root: a directory that stands for a host."""
    place = make()
    plan = place.plan()
    assert ControlPlane(place.host, Options(RUN, True, 1.0), None, "cp1").apply([plan]) == {}
    assert Path(place.host.path(plan.path)).read_text(encoding="utf-8") == plan.manifest.text
    assert Journal(place.host).read() == {}


# ---- the front door


def balance(world: World, sends: Callable[[], bool]) -> None:
    """Let a load balancer send clients to this host, as long as it does, and to another one in turn."""
    turns = [0]

    def front() -> bytes:
        turns[0] += 1
        return b"own" if turns[0] % 2 and sends() else b"other"

    world.front = front
    world.others[CP2] = 200


def test_a_host_is_proven_when_the_front_door_sends_clients_to_it_again(make: Callable[..., Place]) -> None:
    place = make()
    place.api_servers = {"cp2": CP2}
    begun = place.world.time
    balance(place.world, lambda: not place.started() or place.world.time > begun + 120.0)
    plan = place.plan()
    assert list(place.apply(plan)) == [API]
    assert begun + 120.0 < place.world.time < begun + 125.0
    assert plan.notes == []
    assert Journal(place.host).read() == {}


def test_a_host_that_gets_no_clients_any_more_goes_back_before_the_next_one_is_touched(
    make: Callable[..., Place],
) -> None:
    """Its load balancer takes a hardened API server's answer for a dead one: with the last of them the API is gone."""
    place = make()
    place.api_servers = {"cp2": CP2}
    balance(place.world, lambda: not place.started())
    with pytest.raises(HardeningError) as caught:
        place.apply(limit=60.0)
    assert caught.value.number == "KH222"
    said = str(caught.value)
    assert said.startswith(
        "The API's front door https://192.0.2.1:6443 sent no client to kube-apiserver of cp1 within 60 s after the "
        "change, as it did before, though it is well there."
    )
    assert "The old bytes, modes and owners are back and the old component is proven well" in said
    assert place.state() == place.before
    assert place.started() == 2
    assert Journal(place.host).read() == {}


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (b"own", "https://192.0.2.1:6443 shows its certificate alone"),
        (b"other", "https://192.0.2.1:6443 does not show its certificate"),
        (None, "https://192.0.2.1:6443 does not show its certificate"),
    ],
)
def test_where_it_cannot_be_seen_who_is_behind_the_front_door_that_is_said(
    make: Callable[..., Place], shown: bytes | None, why: str
) -> None:
    """An address that one host has at a time, a load balancer that ends TLS itself, or one that is no TLS at all."""
    place = make()
    place.api_servers = {"cp2": CP2}
    place.world.others[CP2] = 200
    place.world.front = lambda: shown if not place.started() else b"another"
    plan = place.plan()
    seconds = place.apply(plan)
    assert 42 < seconds[API] < 48
    assert plan.notes == [
        f"Whether the API's front door sends clients to kube-apiserver of cp1 again was not looked at: {why}."
    ]


@pytest.mark.parametrize("known", [False, True])
def test_of_one_that_is_alone_nothing_is_told(make: Callable[..., Place], known: bool) -> None:
    place = make()
    address = re.search(r"--advertise-address=(\S+)", Path(place.host.path(f"{DIRECTORY}/{API}.yaml")).read_text())
    assert address is not None
    own = f"https://{address.group(1)}:6443"
    place.api_servers = {"cp1": own} if known else {}
    plan = place.plan()
    assert list(place.apply(plan)) == [API]
    assert plan.notes == []


def test_with_limit_to_one_its_clients_are_looked_for_all_the_same(make: Callable[..., Place]) -> None:
    place = make()
    balance(place.world, lambda: not place.started())
    assert "sent no client to kube-apiserver of cp1 within 60 s" in place.refused(limit=60.0)


def test_who_does_not_restart_an_api_server_asks_for_no_certificate(make: Callable[..., Place]) -> None:
    place = make()
    place.world.front = lambda: pytest.fail("the front door was asked")
    place.api_servers = {"cp2": CP2}
    place.world.others[CP2] = 200
    assert list(place.apply(place.plan("kube-scheduler", PROFILING))) == ["kube-scheduler"]


def test_an_address_of_its_own_is_no_front_door(world: World) -> None:
    world.front = lambda: pytest.fail("the front door was asked")
    assert front_door.why_unseen(world.sight(), "https://192.0.2.1:6443").endswith("is its own address")


# ---- before


CP2 = "https://192.0.2.12:6443"
CP3 = "https://192.0.2.13:6443"


@pytest.mark.parametrize(
    ("server", "node", "number", "words"),
    [
        (
            500,
            "",
            "KH131",
            "kube-apiserver of cp2 is not well: /readyz answered 500, for 60 s. Nothing was",
        ),
        (200, "KubeletNotReady", "KH134", "Node w1 is not Ready (KubeletNotReady), for 60 s. Nothing was"),
    ],
)
def test_no_control_plane_is_taken_away_from_a_cluster_that_is_not_well(
    make: Callable[..., Place], server: int, node: str, number: str, words: str
) -> None:
    """Hosts before it were changed since all of them were looked at."""
    place = make()
    place.api_servers = {"cp2": CP2}
    place.world.others[CP2] = server
    place.world.nodes["w1"] = node
    with pytest.raises(HardeningError) as caught:
        place.apply(limit=60.0)
    assert caught.value.number == number
    assert words in str(caught.value)
    assert place.state() == place.before
    assert place.kubelet.starts == []


@pytest.mark.parametrize(
    ("name", "trouble", "refused"),
    [
        ("cp1", "NodeStatusUnknown", False),
        ("cp1", "KubeletNotReady", True),
        ("w1", "NodeStatusUnknown", True),
    ],
)
def test_a_node_that_is_not_heard_of_is_not_waited_for_where_its_own_kubelet_restarts(
    name: str, trouble: str, refused: bool, make: Callable[..., Place]
) -> None:
    world = make().world
    world.nodes = {"cp1": "", "w1": "", name: trouble}
    said = pytest.raises(HardeningError, match=f"^Node {name} is not Ready") if refused else contextlib.nullcontext()
    with said:
        cluster_health.require_cluster_well(world.sight(), {}, ["cp1", "w1"], 60.0, unheard="cp1")


THREE = {"cp1": "192.0.2.11", "cp2": "192.0.2.12", "cp3": "192.0.2.13"}


def test_the_last_api_server_is_not_taken_away(make: Callable[..., Place]) -> None:
    """Those of hosts that take no part were not looked at: --limit cp1."""
    place = make()
    place.api_servers = {"cp1": "https://192.0.2.11:6443"}
    place.world.control_planes = THREE
    place.world.servers = ["192.0.2.11", "192.0.2.12"]
    place.world.others = {CP2: 500, CP3: 0}
    said = place.refused(limit=60.0)
    assert said.startswith("Of the kube-apiservers of cp1, cp2, cp3 only that of cp1 is well, for 60 s. Nothing was")
    assert place.state() == place.before
    assert place.kubelet.starts == []


def test_one_that_comes_up_is_waited_for(make: Callable[..., Place]) -> None:
    place = make()
    place.world.control_planes = THREE
    place.world.others = {CP2: 500, CP3: 0}
    now = place.world.time
    place.world.events.append((now + 20.0, lambda: place.world.others.update({CP3: 200})))
    assert list(place.apply(limit=60.0)) == [API]
    assert place.world.time > now + 20.0


@pytest.mark.parametrize(
    ("planes", "servers", "others"),
    [
        ({}, [], {}),
        ({"cp1": "192.0.2.11"}, ["192.0.2.11"], {}),
        # What the API knows may have another address than the node.
        ({"cp1": "192.0.2.11", "cp2": "203.0.113.2"}, ["192.0.2.11", "192.0.2.12"], {CP2: 200}),
        # Who brings its endpoints there himself.
        ({"cp1": "192.0.2.11", "cp2": "192.0.2.12"}, [], {CP2: 200}),
    ],
)
def test_beside_another_one_and_where_it_is_the_only_one_it_is_changed(
    make: Callable[..., Place], planes: dict[str, str], servers: list[str], others: dict[str, int]
) -> None:
    place = make()
    place.world.control_planes, place.world.servers, place.world.others = planes, servers, others
    assert list(place.apply(limit=60.0)) == [API]


def test_who_leaves_the_api_server_alone_does_not_ask_for_others(make: Callable[..., Place]) -> None:
    place = make()
    place.world.control_planes = THREE
    place.world.others = {CP2: 500, CP3: 500}
    scheduler = place.plan("kube-scheduler", {"profiling": {"exact": "false"}})
    assert list(place.apply(scheduler, limit=60.0)) == ["kube-scheduler"]


def test_a_cluster_that_becomes_well_is_waited_for(make: Callable[..., Place]) -> None:
    """A node is not Ready for some seconds after its only API server was away."""
    place = make()
    place.api_servers = {"cp2": CP2}
    place.world.others[CP2] = 500
    place.world.nodes["w1"] = "NodeStatusUnknown"
    now = place.world.time
    place.world.events.append((now + 20.0, lambda: place.world.others.update({CP2: 200})))
    place.world.events.append((now + 40.0, lambda: place.world.nodes.update({"w1": ""})))
    assert list(place.apply()) == [API]
    assert place.world.time > now + 40.0


def test_who_restarts_nothing_asks_nobody(make: Callable[..., Place]) -> None:
    place = make()
    place.api_servers = {"cp2": CP2}
    place.world.others[CP2] = 500
    assert place.apply(place.plan(flags={"allow-privileged": {"exact": "true"}}, text="")) == {}


def test_an_api_that_lists_no_nodes_is_not_well(make: Callable[..., Place]) -> None:
    place = make()
    place.world.answers["/api/v1/nodes?limit=30"] = 503
    assert "the API does not list its nodes: it answered 503, for 60 s" in place.refused(limit=60.0)


@pytest.mark.parametrize("gone", ["registry.k8s.io/pause:3.10.1", "kube-apiserver"])
def test_an_image_that_was_collected_is_named_before_anything_is_touched(make: Callable[..., Place], gone: str) -> None:
    place = make()
    assert place.world.runtime is not None
    place.world.runtime.store = [one for one in place.world.runtime.store if gone not in one.tags[0]]
    said = place.refused()
    assert "is not on cp1. Nothing was changed" in said
    assert "kube-apiserver" in said
    assert place.state() == place.before


@pytest.mark.parametrize(
    ("configuration", "store", "missing"),
    [
        ("", image("registry.k8s.io/pause:3.10.1"), ""),
        ("", image("example.net/sandbox:1", pinned=True), ""),
        ("", image("example.net/sandbox:1"), "the pause image"),
        ("  sandbox_image = 'example.net/sandbox:1'\n", image("example.net/sandbox:1"), ""),
        ("  sandbox_image = 'example.net/sandbox:2'\n", image("example.net/pause:1"), "example.net/sandbox:2"),
    ],
)
def test_the_sandbox_image_is_known_by_the_name_that_the_runtime_gives_it(
    make: Callable[..., Place], configuration: str, store: cri.Image, missing: str
) -> None:
    place = make()
    assert place.world.runtime is not None
    place.world.runtime.store[-1] = store
    (place.root / "etc/containerd").mkdir()
    (place.root / "etc/containerd/config.toml").write_text(configuration, encoding="utf-8")
    if missing:
        assert place.refused().startswith(missing + ",")
    else:
        assert place.apply(trial=False)


def test_what_containerd_was_told_says_nothing_of_another_runtime(make: Callable[..., Place]) -> None:
    """A host that went over to CRI-O may still have its file."""
    place = make()
    runtime = place.world.runtime
    assert runtime is not None
    (place.root / "etc/containerd").mkdir()
    (place.root / "etc/containerd/config.toml").write_text("sandbox_image = 'a.example/pause:3.6'\n", encoding="utf-8")
    assert place.refused().startswith("a.example/pause:3.6, ")
    runtime.name = "cri-o"
    assert place.apply(trial=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "a/b:1"\n', ["a/b:1"]),
        ("[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox = 'a/b:2'\n", ["a/b:2"]),
        ("# sandbox_image = 'no'\nsandboxer = 'podsandbox'\n", []),
    ],
)
def test_containerds_configuration_names_the_sandbox_image(text: str, found: list[str]) -> None:
    assert sandbox_image(text) == found


def test_a_component_that_is_not_well_is_left_alone(make: Callable[..., Place]) -> None:
    place = make()
    place.world.answers = {"/readyz": 500}
    assert "is not well before any change: /readyz answered 500. Nothing was changed" in place.refused()
    assert place.state() == place.before
    assert not (place.root / "var").exists()


def test_what_the_run_made_on_this_host_before_is_none_of_what_was_left_as_it_was(make: Callable[..., Place]) -> None:
    """Certificates that were missing are made before the trial, and stay when it fails."""
    place = make(without("audit-policy-file"))
    record.Backup(place.host, RUN).note("one_way", "/etc/kubernetes/pki/new.crt", why="is new")
    stays = "Nothing was changed by this step, and what the run did before it stays; "
    assert place.refused().endswith(f"{stays}nothing was restarted.")
    place.world.answers = {"/readyz": 500}
    assert place.refused().endswith(f"{stays}mend that first.")


def test_a_front_door_that_loses_requests_leaves_this_host_alone_and_says_no_more_than_that(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts before it have been changed by then."""
    place = make()
    answer = place.world.answer
    lost = Answer(0, b"", "eof")
    monkeypatch.setattr(place.world, "answer", lambda path, server=None: answer(path, server) if server else lost)
    said = place.refused()
    assert "10 of 10 requests to https://192.0.2.1:6443 failed" in said
    assert "Nothing was changed by this step, and what the run did before it stays; mend" in said
    assert place.state() == place.before


def test_without_a_runtime_it_works_by_processes_alone(make: Callable[..., Place]) -> None:
    place = make()
    place.world.runtime = None
    assert API in place.apply()


def test_without_a_runtime_a_file_alone_cannot_be_changed(make: Callable[..., Place]) -> None:
    place = make()
    place.apply()
    before = place.state()
    place.world.runtime = None
    said = place.refused(place.plan(text="other"), trial=False)
    assert "was not found in the container runtime" in said
    assert "The old bytes" in said
    assert place.state() == before


# ---- a trial that fails


def test_a_failed_trial_changes_nothing_and_speaks_the_components_words(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file"))
    said = place.refused()
    assert said.startswith("kube-apiserver on cp1: its trial beside the running one failed: it ended with exit code 1.")
    assert "This run changed --audit-policy-file, --audit-log-path." in said
    assert 'Its last words: "Error: unknown flag: --no-such-flag". ' in said
    assert said.endswith("Nothing was changed on this host; nothing was restarted.")
    assert place.state() == place.before
    assert place.started() == 0
    assert Journal(place.host).read() == {}
    assert os.listdir(place.root / "var/lib/kubeharden") == []


def test_the_suspect_is_the_flag_of_which_the_words_speak(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file"))
    place.world.always.append(
        lambda: place.world.logs.update({uid: ["Error: loading audit-log-path: no"] for uid in place.world.logs})
    )
    assert "; most likely --audit-log-path is to blame." in place.refused()


@pytest.mark.parametrize(
    ("last", "flag"),
    [
        ("Error: loading audit-log-path: no", "audit-log-path"),
        ("tls: TLSConfig.CipherSuites is missing one", "tls-cipher-suites"),
        ('Error: invalid value "/etc/kubernetes/kubeharden/audit-policy.yaml"', "audit-policy-file"),
        ('Error: invalid audit log format xml, allowed formats are "legacy,json"', "audit-log-format"),
        ('invalid value "a" for flag -advertise-client-urls: parse "a": no', "advertise-client-urls"),
        ("invalid value of another, profiling-rate", ""),
        ("Error: strict xmlns decoding: false", ""),
        ("Error: 3000 is too much", ""),
        ("panic", ""),
    ],
)
def test_no_flag_is_blamed_by_chance(last: str, flag: str) -> None:
    changed = {
        "v": "4",
        "profiling": "false",
        "max-requests-inflight": "3000",
        "audit-policy-file": POLICY,
        "audit-log-path": "/var/log/a.log",
        "audit-log-format": "xml",
        "tls-cipher-suites": "TLS_A",
        "advertise-client-urls": "10.0.0.11:2379",
    }
    settings = [Setting(name, {}, (value,), True) for name, value in changed.items()]
    plan = t.cast(t.Any, types.SimpleNamespace(settings=settings))
    assert control_plane._suspect(plan, last) == (f"; most likely --{flag} is to blame" if flag else "")


def test_all_components_are_tried_at_once(make: Callable[..., Place]) -> None:
    place = make()
    at_once: list[int] = []
    place.world.always.append(lambda: at_once.append(sum("trial" in name for name in place.kubelet.files)))
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    place.apply(*(place.plan(name, PROFILING) for name in names))
    assert max(at_once) == len(names)


def test_what_a_later_task_makes_of_it_is_tried_with_it_and_not_again(make: Callable[..., Place]) -> None:
    """So each control plane has one trial, though its manifest is written twice."""
    place = make()
    first = place.plan()
    first.ahead = plan_component(place.host, API, first.path, PROFILING, {}, AUDIT)
    done = place.control_plane()
    done.apply([first])
    (tried,) = place.trials()
    assert {f"--audit-policy-file={POLICY}", "--profiling=false"} <= set(tried)
    live = Path(place.host.path(first.path)).read_text(encoding="utf-8")
    assert POLICY in live
    assert "--profiling" not in live
    place.control_plane(tried=done.tried).apply([place.plan(flags=PROFILING)])
    assert len(place.trials()) == 1
    place.control_plane(tried=done.tried).apply([place.plan(flags={"request-timeout": {"exact": "61s"}})])
    assert len(place.trials()) == 2


# ---- tried before a host's turn comes


ANOTHER = "kind: Policy\nrules: []\n"


def test_what_was_tried_before_its_turn_is_not_tried_again(make: Callable[..., Place]) -> None:
    place = make()
    first = place.control_plane()
    first.try_out([place.plan(), place.plan("kube-scheduler", PROFILING)])
    assert place.state() == place.before
    assert Journal(place.host).read() == {}
    assert (len(place.trials()), place.started()) == (1, 0)
    assert sorted(first.tried) == [API, "kube-scheduler"]
    done = place.control_plane(tried=first.tried)
    assert list(done.apply([place.plan(), place.plan("kube-scheduler", PROFILING)])) == [API, "kube-scheduler"]
    assert (len(place.trials()), place.started()) == (1, 1)
    assert done.tried == first.tried  # for a later task, which writes what was tried with it


def test_nothing_to_do_tries_nothing(make: Callable[..., Place]) -> None:
    place = make()
    place.control_plane().try_out([place.plan(flags={"allow-privileged": {"exact": "true"}}, text="")])
    assert place.kubelet.starts == []
    assert not (place.root / "var").exists()


def replace_key(place: Place) -> None:
    path = Path(place.host.path("/etc/kubernetes/pki/apiserver.key"))
    path.with_suffix(".new").write_bytes(path.read_bytes())
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize(
    ("text", "since"), [(ANOTHER, lambda _place: None), ("kind: Policy\n", replace_key)], ids=["our file", "a key"]
)
def test_what_has_changed_since_it_was_tried_is_tried_again(
    make: Callable[..., Place], text: str, since: Callable[[Place], None]
) -> None:
    """The text of a file of ours, and another file in the place of one that a flag names."""
    place = make()
    first = place.control_plane()
    first.try_out([place.plan()])
    since(place)
    place.control_plane(tried=first.tried).apply([place.plan(text=text)])
    assert len(place.trials()) == 2


def test_a_file_that_is_changed_alone_is_tried_once_too(make: Callable[..., Place]) -> None:
    place = make()
    place.apply(trial=False)
    first = place.control_plane()
    first.try_out([place.plan(text=ANOTHER)])
    place.control_plane(tried=first.tried).apply([place.plan(text=ANOTHER)])
    assert len(place.trials()) == 1


def test_what_awaits_a_certificate_is_tried_when_that_is_there(make: Callable[..., Place]) -> None:
    """A step of the run makes it when the host's turn comes; the others are tried all the same."""
    place = make()
    path = Path(place.host.path("/etc/kubernetes/pki/apiserver-kubelet-client.crt"))
    kept = path.read_bytes()
    path.unlink()
    first = place.control_plane()
    first.try_out([place.plan(), place.plan("kube-scheduler", PROFILING)])
    assert list(first.tried) == ["kube-scheduler"]
    path.write_bytes(kept)
    place.control_plane(tried=first.tried).apply([place.plan(), place.plan("kube-scheduler", PROFILING)])
    assert len(place.trials()) == 1
    assert [name for name, _arguments in place.kubelet.starts].count("kube-scheduler") == 2


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, ""),
        (2, "The key in /etc/kubernetes/pki/apiserver.key does not belong to the certificate in "),
        (None, ""),  # for the component to say
    ],
)
def test_a_key_that_does_not_belong_to_its_certificate_is_to_blame_and_no_flag(
    make: Callable[..., Place], number: int | None, said: str
) -> None:
    """Certificates are looked at when a host's turn comes, which is after this."""
    place = make()
    pki = Path(place.host.path("/etc/kubernetes/pki"))
    pairs = {one: ec.derive_private_key(one, ec.SECP256R1()) for one in (1, 2)}
    signer = authority.create(profile.wanted_authority("kubernetes"), 1_800_000_000.0)
    wanted = profile.wanted("kube-apiserver", [], Names(frozenset({"cp1"}), frozenset()), [profile.SERVER])
    issued = issue.issue(wanted, keys.public_bytes(pairs[1]), signer, 1_800_000_000.0, 86400)
    (pki / "apiserver.crt").write_bytes(pem.encode("CERTIFICATE", issued.der))
    (pki / "apiserver.key").write_bytes(keys.private_pem(pairs[number]) if number else b"none")
    if said:
        with pytest.raises(HardeningError) as caught:
            place.control_plane().try_out([place.plan()])
        assert (caught.value.number, str(caught.value)[: len(said)]) == ("KH304", said)
    else:
        place.control_plane().try_out([place.plan()])
    assert len(place.trials()) == (0 if said else 1)


def test_a_trial_that_fails_before_its_turn_speaks_as_one_in_its_turn(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file"))
    with pytest.raises(HardeningError) as caught:
        place.control_plane().try_out([place.plan()])
    assert caught.value.number == "KH205"
    assert str(caught.value) == place.refused()
    assert (place.state(), place.started()) == (place.before, 0)


@pytest.mark.parametrize(("gone", "number"), [("registry.k8s.io/kube-scheduler", "KH209"), ("nothing", "")])
def test_where_nothing_is_tried_it_is_looked_whether_it_could_be(
    make: Callable[..., Place], gone: str, number: str
) -> None:
    """By preflight.yml, --check, and on a control plane that is alone."""
    place = make()
    assert place.world.runtime is not None
    place.world.runtime.store = [one for one in place.world.runtime.store if gone not in one.tags[0]]
    plans = [place.plan(), place.plan("kube-scheduler", PROFILING)]
    if number:
        with pytest.raises(HardeningError) as caught:
            place.control_plane().look(plans)
        assert caught.value.number == number
    else:
        place.control_plane().look(plans)
    assert place.state() == place.before
    assert place.kubelet.starts == []


def test_of_several_that_fail_their_trial_each_speaks(make: Callable[..., Place]) -> None:
    place = make(
        lambda arguments: not {"--audit-policy-file", "--profiling"} & {one.split("=")[0] for one in arguments}
    )
    begun = place.world.time
    said = place.refused(place.plan(), place.plan("kube-scheduler", PROFILING))
    assert said.count("its trial beside the running one failed: it ended with exit code 1.") == 2
    assert said.startswith("kube-apiserver on cp1: its trial")
    assert "This run changed --audit-policy-file, --audit-log-path." in said
    assert 'Its last words: "Error: unknown flag: --no-such-flag". kube-scheduler on cp1: its trial' in said
    assert "This run changed --profiling." in said
    assert said.count("nothing was restarted.") == 1
    assert place.world.time - begun < 20
    assert place.state() == place.before
    assert Journal(place.host).read() == {}


def test_what_keeps_each_of_several_from_a_trial_is_told_at_once(make: Callable[..., Place]) -> None:
    place = make()
    assert place.world.runtime is not None
    place.world.runtime.store = [one for one in place.world.runtime.store if "scheduler" not in one.tags[0]]
    for life in place.world.lives:
        if life.arguments[0] == API:
            life.unwell = place.world.time
    with pytest.raises(HardeningError) as caught:
        place.control_plane().try_out([place.plan(), place.plan("kube-scheduler", PROFILING)])
    said = caught.value.numbered
    assert said.startswith("KH127: kube-apiserver on this host is not well before any change")
    assert " KH209: registry.k8s.io/kube-scheduler" in said
    assert place.trials() == []


@pytest.mark.parametrize("gone", ["registry.k8s.io/pause:3.10.1", "kube-apiserver"])
def test_what_could_not_start_again_is_said_before_its_turn(make: Callable[..., Place], gone: str) -> None:
    place = make()
    assert place.world.runtime is not None
    place.world.runtime.store = [one for one in place.world.runtime.store if gone not in one.tags[0]]
    with pytest.raises(HardeningError, match=r"is not on cp1\. Nothing was changed on this host"):
        place.control_plane().try_out([place.plan()])
    assert place.trials() == []


def test_of_a_trial_that_fails_the_flag_of_a_later_task_is_blamed_too(make: Callable[..., Place]) -> None:
    place = make(without("profiling"))
    plan = place.plan()
    plan.ahead = plan_component(place.host, API, plan.path, PROFILING, {}, AUDIT)
    place.world.always.append(
        lambda: place.world.logs.update({uid: ["Error: unknown flag: --profiling"] for uid in place.world.logs})
    )
    assert "; most likely --profiling is to blame." in place.refused(plan)
    assert place.started() == 0


def test_where_there_is_no_election_there_is_no_trial_and_it_is_said(make: Callable[..., Place]) -> None:
    place = make()
    path = Path(place.host.path(f"{DIRECTORY}/kube-scheduler.yaml"))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("--leader-elect=true", "--leader-elect=F"), encoding="utf-8")
    place.world.sleep(60.0)
    plan = place.plan("kube-scheduler", PROFILING)
    place.apply(plan)
    assert plan.notes == ["kube-scheduler was not tried beside the running one: it takes part in no leader election."]
    assert not [name for name in place.kubelet.files if "trial" in name]


@pytest.mark.parametrize(("available", "tried"), [(755, False), (756, True), (None, True)])
def test_where_a_second_api_server_would_take_the_hosts_memory_there_is_no_trial_and_it_is_said(
    make: Callable[..., Place], available: int | None, tried: bool
) -> None:
    place = make()
    place.world.memory = Memory(available, 500) if available is not None else None
    plans = [place.plan(), place.plan("kube-scheduler", PROFILING)]
    place.apply(*plans)
    assert bool(place.trials()) == tried
    assert "kube-scheduler-kubeharden-trial.yaml" in place.kubelet.files
    words = (
        "kube-apiserver was not tried beside the running one: a second one of its 500 MiB would leave less than 256 "
        "MiB of the 755 MiB of memory that can be had."
    )
    assert plans[0].notes == ([] if tried else [words])
    assert place.started() == 1


# ---- the way back


def test_a_component_that_does_not_come_up_goes_back_to_the_last_bit(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file", trial_too=False))
    said = place.refused()
    assert said.startswith("kube-apiserver on cp1: it did not come up: it ended with exit code 1.")
    assert said.endswith(
        "The old bytes, modes and owners are back and the old component is proven well; hosts that come after were not "
        "touched."
    )
    assert place.state() == place.before
    assert place.started() == 1
    assert Journal(place.host).read() == {}


def test_one_of_several_that_does_not_come_up_takes_all_back(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file"))
    said = place.refused(place.plan(), place.plan("kube-scheduler", PROFILING), trial=False)
    assert "kube-apiserver on cp1: it did not come up" in said
    assert place.state() == place.before


def test_a_runtime_that_falls_silent_on_the_way_back_keeps_nothing_from_going_back(make: Callable[..., Place]) -> None:
    place = make(without("audit-policy-file"))
    place.world.always.append(lambda: place.world.blind.append((60.0, 1e9)) if place.world.time > 44 else None)
    said = place.refused(trial=False)
    assert "are back" in said
    assert place.state() == place.before
    assert Journal(place.host).read() == {}


def test_a_write_that_fails_in_the_middle_takes_back_what_was_written(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet may never have seen the first manifest: the old process that runs on is the proof."""
    place = make()
    real = control_plane.write_atomic

    def write(path: str, *arguments: t.Any, **options: t.Any) -> None:
        if path.endswith("kube-scheduler.yaml"):
            raise HardeningError("KH201", f"{path} could not be written: no space is left on the file system.")
        real(path, *arguments, **options)

    monkeypatch.setattr(control_plane, "write_atomic", write)
    said = place.refused(place.plan(), place.plan("kube-scheduler", PROFILING), trial=False)
    assert "no space is left" in said
    assert said.endswith("the old component is proven well; hosts that come after were not touched.")
    assert place.state() == place.before
    assert place.started() == 0
    assert place.world.time < 30


def test_a_file_that_cannot_go_back_is_named_and_stays_in_the_journal(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make(without("audit-policy-file"))
    real = record.write_atomic

    def write(path: str, *arguments: t.Any, **options: t.Any) -> None:
        if path.endswith(f"manifests/{API}.yaml"):
            raise HardeningError("KH201", f"{path} could not be written: the file system is read-only.")
        real(path, *arguments, **options)

    monkeypatch.setattr(record, "write_atomic", write)
    said = place.refused(trial=False)
    assert f"{DIRECTORY}/{API}.yaml did not go back:" in said
    assert f"The old bytes are in {place.host.path('/var/lib/kubeharden/backups')}/{RUN}" in said
    assert not Path(place.host.path(POLICY)).exists()  # the others went back all the same
    left = Journal(place.host).read()["apply"]
    assert left["components"] == {API: f"{DIRECTORY}/{API}.yaml"}


def test_an_old_component_that_does_not_come_up_either_is_said(make: Callable[..., Place]) -> None:
    comes_up: list[bool] = [True]
    place = make(lambda _arguments: comes_up[0])
    comes_up.clear()
    comes_up.append(False)
    said = place.refused(trial=False, limit=120.0)
    assert "but kube-apiserver is not well yet: it was not well within 120 s" in said
    assert said.endswith("Look at its log on this host before anything else.")
    assert place.state() == place.before
    assert Journal(place.host).read() == {}  # what a person mends now is not put back by the next run


def test_a_second_step_of_one_run_goes_back_to_the_first_and_not_to_the_begin(make: Callable[..., Place]) -> None:
    place = make(without("profiling"))
    place.apply(trial=False)
    proven = place.state()
    said = place.refused(place.plan(flags={**AUDIT, **PROFILING}), trial=False)
    assert "the old component is proven well" in said
    assert place.state() == proven
    entries = record.Backup(place.host, RUN)._load()
    manifests = [entry for entry in entries if entry["path"].endswith(f"{API}.yaml")]
    assert len({entry["sha256"] for entry in manifests}) == 2


def test_what_is_under_way_stands_in_the_journal_before_the_first_live_byte(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    seen: list[dict[str, t.Any]] = []
    real = control_plane.write_atomic

    def write(path: str, *arguments: t.Any, **options: t.Any) -> None:
        seen.append(Journal(place.host).read())
        real(path, *arguments, **options)

    monkeypatch.setattr(control_plane, "write_atomic", write)
    plan = place.plan()
    place.apply(plan, trial=False)
    assert len(seen) == 2
    for left in seen:
        assert left["apply"]["run_id"] == RUN
        assert [entry["path"] for entry in left["apply"]["saved"]] == [change.target for change in plan.changes()]
    names = {field.name for field in dataclasses.fields(record.Saved)}
    assert set(seen[0]["apply"]["saved"][0]) == names
