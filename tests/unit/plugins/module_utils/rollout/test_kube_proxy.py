# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy of a cluster: planned, rolled and proven; what does not come up goes back, also after a run that died."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.components.daemonset import CONFIGURATION_HASH
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kube_proxy, recovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kube_proxy import Api, KubeProxy
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.components.test_daemonset import (
    TEMPLATE,
    WANTED,
)

CONFIGURATION = "kind: KubeProxyConfiguration\nhealthzBindAddress: {health}\nmetricsBindAddress: {metrics}\n"
METRICS = {"loopback": "127.0.0.1:10249", "default": "127.0.0.1:10249", "control": "kube-proxy-metrics"}
SETTINGS = {"metricsBindAddress": METRICS}
KUBECONFIG = "clusters: [{cluster: {server: 'https://a', certificate-authority: /ca.crt}}]\n"
HEALTHY = json.dumps({"healthy": True, "status": {"IPv4": {"healthy": True}}})


class World:
    """Two nodes; a change of the pod template is rolled out after two looks, unless a word in it or its map is bad."""

    def __init__(self, metrics: str = "0.0.0.0:10249", health: str = '""') -> None:
        text = CONFIGURATION.format(metrics=metrics, health=health)
        self.map: dict[str, t.Any] | None = {"data": {"config.conf": text, "kubeconfig.conf": KUBECONFIG}}
        self.set: dict[str, t.Any] | None = {
            "metadata": {"generation": 1},
            "spec": {"template": copy.deepcopy(TEMPLATE)},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2},
        }
        self.set["status"]["numberAvailable"] = 2
        self.bad: tuple[str, ...] = ()
        self.conflicts = 0
        self.answer: str | None = HEALTHY
        #: What health ports say once the configuration was written.
        self.answer_then: str | None = HEALTHY
        #: By pod, how often its port gives no answer, and the seconds that this takes.
        self.silent: dict[str, int] = {}
        self.patience = 0.0
        self.bindings: list[dict[str, t.Any]] = []
        self.time = 0.0
        self.looks = 0
        self.asked: list[tuple[str, int]] = []
        self.writes: list[str] = []
        self.dies = False
        #: What the DaemonSet's status says of a bad change, by the time; empty for a rollout that stands still.
        self.course: t.Callable[[float], dict[str, int]] | None = None
        #: By what is read, how many reads the API refuses once the DaemonSet was written.
        self.refused: dict[str, int] = {}
        #: The same from the first look on at which the Service answers.
        self.refused_at_last: dict[str, int] = {}
        #: Whether the answer to the next write of the DaemonSet is lost, and what the API adds to its template.
        self.lost = False
        self.added: dict[str, t.Any] = {}

    def api(self) -> Api:
        return Api(
            config_map=self.config_map,
            daemon_set=self.daemon_set,
            pods=self.pods,
            bindings=lambda: self.bindings,
            write_config_map=self.write_map,
            write_daemon_set=self.write_set,
            health=self.health,
            log=lambda _pod, _container: "E no such mode\n",
            service=self.service,
            clock=lambda: self.time,
            sleep=self.sleep,
        )

    def read(self, name: str) -> None:
        if self.refused.get(name) and "set" in self.writes:
            self.refused[name] -= 1
            raise HardeningError("KH123", f"The {name} cannot be read: kubectl says 'EOF'.")

    def config_map(self) -> dict[str, t.Any] | None:
        self.read("config map")
        return copy.deepcopy(self.map)

    def pods(self) -> list[dict[str, t.Any]]:
        self.read("pods")
        waiting = {"containerStatuses": [{"name": "kube-proxy", "state": {"waiting": {}}}]}
        return [
            {"metadata": {"name": f"kube-proxy-{node}"}, "spec": {"nodeName": node}, "status": waiting}
            for node in ("a", "b")
        ]

    def service(self) -> bool:
        self.read("service")
        self.refused.update(self.refused_at_last)
        return True

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def health(self, pod: str, port: int) -> str | None:
        self.asked.append((pod, port))
        if self.silent.get(pod):
            self.silent[pod] -= 1
            self.time += self.patience
            return None
        return self.answer_then if self.writes else self.answer

    def is_bad(self) -> bool:
        assert self.map is not None
        assert self.set is not None
        text = self.map["data"]["config.conf"] + json.dumps(self.set["spec"])
        return any(word in text for word in self.bad)

    def daemon_set(self) -> dict[str, t.Any] | None:
        self.read("daemon set")
        if self.course and self.is_bad() and self.set is not None and "set" in self.writes:
            self.set["status"].update(observedGeneration=self.set["metadata"]["generation"], **self.course(self.time))
            return copy.deepcopy(self.set)
        if self.set is not None and self.set["status"]["updatedNumberScheduled"] < 2:
            self.looks += 1
            if self.looks > 2 and not self.is_bad():
                self.set["status"] = {
                    "observedGeneration": self.set["metadata"]["generation"],
                    **dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"), 2),
                }
        return copy.deepcopy(self.set)

    def write_map(self, document: dict[str, t.Any]) -> bool:
        self.writes.append("map")
        self.map = copy.deepcopy(document)
        return True

    def write_set(self, document: dict[str, t.Any]) -> bool:
        if self.dies:
            raise KeyboardInterrupt
        if self.conflicts:
            self.conflicts -= 1
            return False
        self.writes.append("set")
        self.set = copy.deepcopy(document)
        self.set["metadata"]["generation"] += 1
        self.set["status"]["updatedNumberScheduled"] = 0
        self.set["spec"]["template"]["spec"].update(self.added)
        self.looks = 0
        if self.lost:
            self.lost = False
            raise HardeningError("KH124", "The DaemonSet cannot be written and is as it was: it timed out.")
        return True


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(str(tmp_path))


def planned(world: World, **pod: t.Any) -> KubeProxy:
    return KubeProxy(world.api(), SETTINGS, pod)


def apply(host: Host, made: KubeProxy, limit: float = 30.0) -> float:
    return made.apply(host, Backup(host, "run-1"), limit)


def test_a_change_is_written_rolled_and_proven(host: Host) -> None:
    world = World()
    made = planned(world, **WANTED)
    changes = made.plan()
    assert world.writes == []
    assert [change.target for change in changes] == [kube_proxy.CONFIG_MAP, kube_proxy.DAEMON_SET]
    assert changes[0].controls == ("kube-proxy-metrics",)
    assert changes[1].controls == ("files", "privileges")
    assert all(change.restart == ("kube-proxy",) and not change.random for change in changes)
    assert apply(host, made) > 0
    assert world.writes == ["map", "set"]
    assert world.map is not None
    assert world.set is not None
    assert world.map["data"]["config.conf"] == changes[0].after
    assert world.map["data"]["kubeconfig.conf"] == KUBECONFIG
    assert CONFIGURATION_HASH in world.set["spec"]["template"]["metadata"]["annotations"]
    assert world.asked[-2:] == [("kube-proxy-a", 10256), ("kube-proxy-b", 10256)]
    assert Journal(host).read() == {}
    assert planned(world, **WANTED).plan() == []


def test_the_foretold_change_does_not_hang_on_time_or_chance() -> None:
    assert planned(World()).plan() == planned(World()).plan()


def test_a_daemon_set_that_kubeadm_wrote_anew_is_no_change(host: Host) -> None:
    """It lacks our annotation then, but kubeadm itself has rolled its pods with the ConfigMap as it is."""
    world = World()
    made = planned(world)
    made.plan()
    apply(host, made)
    assert world.set is not None
    world.set["spec"]["template"] = copy.deepcopy(TEMPLATE)
    assert planned(world).plan() == []


@pytest.mark.parametrize("bad", ["127.0.0.1:10249", "NET_ADMIN"])
def test_what_does_not_come_up_goes_back(host: Host, bad: str) -> None:
    world = World()
    before = copy.deepcopy((world.map, world.set))
    world.bad = (bad,)
    made = planned(world, **WANTED)
    made.plan()
    with pytest.raises(HardeningError) as caught:
        apply(host, made)
    assert "went back to what they were, and its pods are proven well" in str(caught.value)
    assert "kube-proxy on a said last: 'E no such mode'" in str(caught.value)
    assert world.map == (before[0])
    assert world.set is not None
    assert before[1] is not None
    assert world.set["spec"] == before[1]["spec"]
    assert Journal(host).read() == {}


@pytest.mark.parametrize("name", ["daemon set", "config map", "pods", "service"])
def test_a_look_that_the_api_refuses_is_followed_by_another(host: Host, name: str) -> None:
    world = World()
    world.refused = {name: 3}
    made = planned(world)
    made.plan()
    apply(host, made)
    assert world.refused == {name: 0}
    assert world.writes == ["map", "set"]
    assert Journal(host).read() == {}


def _crash_looping(time: float) -> dict[str, int]:
    """Both pods are new, and come up and end again each few seconds, never both at once."""
    return {"updatedNumberScheduled": 2, "numberAvailable": 1 if time % 5 > 2 else 0}


def _ever_slower(time: float) -> dict[str, int]:
    """Always a step forward before the limit, and never an end."""
    return {"desiredNumberScheduled": 3, "updatedNumberScheduled": 0, "numberAvailable": int(time / 25)}


@pytest.mark.parametrize(("course", "seconds"), [(_crash_looping, 33), (_ever_slower, 90)])
def test_the_proof_of_what_does_not_come_up_has_an_end(
    host: Host, course: t.Callable[[float], dict[str, int]], seconds: float
) -> None:
    """Pods that crash are now of one trouble and now of another, which is no step forward."""
    world = World()
    world.bad, world.course = ("127.0.0.1:10249",), course
    made = planned(world)
    made.plan()
    with pytest.raises(HardeningError) as caught:
        apply(host, made)
    assert f"{seconds} s after the change" in str(caught.value)
    assert "went back to what they were, and its pods are proven well" in str(caught.value)


def test_a_rollout_of_many_nodes_is_given_the_limit_for_each_step(host: Host) -> None:
    """Slower than the limit in all, which no step alone is."""
    world = World()
    assert world.set is not None
    world.set["status"].update(desiredNumberScheduled=4, updatedNumberScheduled=4, numberAvailable=4)
    world.bad = ("127.0.0.1:10249",)
    world.course = lambda time: {"updatedNumberScheduled": min(4, int(time / 20)), "numberAvailable": 4}
    made = planned(world)
    made.plan()
    assert apply(host, made) == 80


def test_after_the_proof_nothing_is_asked_that_could_fail(host: Host) -> None:
    """What the API has made of the template is known from the look that proved it."""
    world = World()
    world.added = {"dnsPolicy": "ClusterFirst"}
    made = planned(world)
    made.plan()
    backup = Backup(host, "run-1")
    world.refused_at_last = {"daemon set": 99}
    made.apply(host, backup, 30.0)
    record = json.loads(Path(backup.directory, "record.json").read_text(encoding="utf-8"))
    (entry,) = [one for one in record["entries"] if one["target"] == kube_proxy.DAEMON_SET]
    assert json.loads(entry["after"])["spec"]["dnsPolicy"] == "ClusterFirst"


def test_an_api_that_is_away_for_a_while_on_the_way_back_is_waited_for(host: Host) -> None:
    world = World()
    before = copy.deepcopy(world.map)
    world.refused = {"daemon set": 40}  # as many seconds, of which the proof takes 30
    made = planned(world)
    made.plan()
    with pytest.raises(HardeningError) as caught:
        apply(host, made)
    assert "it could not be looked at (The daemon set cannot be read: kubectl says 'EOF'), 30 s after" in str(
        caught.value
    )
    assert "went back to what they were, and its pods are proven well" in str(caught.value)
    assert world.map == before
    assert Journal(host).read() == {}


def test_what_cannot_be_put_back_is_left_to_the_next_run(host: Host) -> None:
    world = World()
    before = copy.deepcopy(world.map)
    world.refused = {"daemon set": 999}
    made = planned(world)
    made.plan()
    with pytest.raises(HardeningError, match=r"could not be put back within 30 s: .* puts them back first\."):
        apply(host, made)
    assert "kube_proxy" in Journal(host).read()
    world.refused = {}
    kube_proxy.recover(host, world.api, 30.0)
    assert world.map == before


@pytest.mark.parametrize("added", [{}, {"dnsPolicy": "ClusterFirst"}])
def test_a_write_that_arrived_though_its_answer_was_lost_goes_back(host: Host, added: dict[str, str]) -> None:
    world = World()
    before = copy.deepcopy((world.map, world.set))
    world.lost, world.added = True, added
    made = planned(world, **WANTED)
    made.plan()
    with pytest.raises(HardeningError) as caught:
        apply(host, made)
    assert caught.value.number == "KH208"
    assert "it timed out. It had arrived all the same." in str(caught.value)
    assert "went back to what they were, and its pods are proven well" in str(caught.value)
    assert world.map == before[0]
    assert world.set is not None
    assert before[1] is not None
    assert CONFIGURATION_HASH not in json.dumps(world.set)
    assert world.writes == ["map", "set", "map", "set"]
    assert Journal(host).read() == {}


def test_a_configuration_that_someone_else_wrote_meanwhile_stays(host: Host) -> None:
    world = World()
    made = planned(world)
    made.plan()
    assert world.map is not None
    world.map["data"]["config.conf"] = "theirs\n"
    with pytest.raises(HardeningError, match="changed by someone else"):
        apply(host, made)
    assert world.map["data"]["config.conf"] == "theirs\n"
    assert world.writes == []
    assert Journal(host).read() == {}


@pytest.mark.parametrize(
    "answer", [None, "", "no JSON", "[]", '{"healthy": true}', '{"status": {"IPv4": {"healthy": false}}}']
)
def test_a_kube_proxy_that_never_laid_its_rules_goes_back(host: Host, answer: str | None) -> None:
    """The word healthy alone is said by one that has not done anything yet."""
    world = World()
    world.answer_then = answer
    made = planned(world)
    made.plan()
    with pytest.raises(HardeningError, match="kube-proxy on a does not say that it has laid its rules"):
        apply(host, made)


def test_a_node_that_was_silent_before_the_change_is_proven_without_its_port(host: Host) -> None:
    """A firewall may close the port to control planes."""
    world = World()
    world.silent = {"kube-proxy-b": 99}
    made = planned(world)
    made.plan()
    apply(host, made)
    assert [note for note in made.notes if "health port 10256 gave the API server no answer on b " in note]
    asked = [pod for pod, _port in world.asked]
    assert asked == ["kube-proxy-a", "kube-proxy-b", "kube-proxy-b", "kube-proxy-a"]
    assert world.writes == ["map", "set"]


def test_one_answer_that_is_missing_leaves_no_node_out(host: Host) -> None:
    world = World()
    world.silent = {"kube-proxy-b": 1}
    made = planned(world)
    made.plan()
    apply(host, made)
    assert made.notes == []
    assert world.asked[-1] == ("kube-proxy-b", 10256)


def test_silent_nodes_do_not_take_more_than_the_limit_before_the_change(host: Host) -> None:
    world = World()
    world.silent, world.patience = {"kube-proxy-a": 99, "kube-proxy-b": 99}, 20.0
    made = planned(world)
    made.plan()
    apply(host, made)
    assert [pod for pod, _port in world.asked] == ["kube-proxy-a", "kube-proxy-a"]
    assert " on a, b before" in made.notes[0]


def test_what_was_silent_before_a_run_died_is_not_asked_by_the_next(host: Host) -> None:
    world = World()
    world.silent = {"kube-proxy-a": 99}
    made = planned(world)
    made.plan()
    world.dies = True
    with pytest.raises(KeyboardInterrupt):
        apply(host, made)
    world.dies, world.asked = False, []
    kube_proxy.recover(host, world.api, 30.0)
    assert world.asked == [("kube-proxy-b", 10256)]


def test_a_health_port_that_nobody_may_ask_is_not_asked(host: Host) -> None:
    world = World(health="127.0.0.1:10256")
    world.answer = None
    made = planned(world)
    made.plan()
    apply(host, made)
    assert world.asked == []


def test_another_health_port_is_asked(host: Host) -> None:
    world = World(health="0.0.0.0:7777")
    made = planned(world)
    made.plan()
    apply(host, made)
    assert world.asked[0] == ("kube-proxy-a", 7777)


def test_a_write_that_met_the_objects_own_status_is_tried_again(host: Host) -> None:
    world = World()
    world.conflicts = 2
    made = planned(world)
    made.plan()
    apply(host, made)
    assert world.writes == ["map", "set"]


def test_what_someone_else_changed_meanwhile_stays(host: Host) -> None:
    world = World()
    made = planned(world)
    made.plan()
    assert world.set is not None
    world.set["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs"
    with pytest.raises(HardeningError, match="changed by someone else"):
        apply(host, made)
    assert world.set["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs"
    assert world.writes == ["map", "map"]
    assert Journal(host).read() == {}


def test_a_rollout_that_never_ended_is_left_alone_and_told() -> None:
    world = World()
    assert world.set is not None
    world.set["status"]["numberAvailable"] = 1
    made = planned(world, **WANTED)
    assert made.plan() == []
    assert "available on 1 of 2 nodes before anything was changed" in made.not_done[0]
    assert made.patch() == ""
    assert world.time >= kube_proxy.SETTLE


def test_a_rollout_that_ends_meanwhile_is_waited_for() -> None:
    world = World()
    assert world.set is not None
    world.set["status"]["updatedNumberScheduled"] = 1
    assert len(planned(world).plan()) == 2


@pytest.mark.parametrize(
    ("gone", "value", "words"),
    [
        ("map", None, "ConfigMap kube-system/kube-proxy is missing"),
        ("set", None, "DaemonSet kube-system/kube-proxy is missing"),
        # As where a cloud runs it: EKS has only its kubeconfig there.
        ("map", {"data": {"kubeconfig": ""}}, "ConfigMap kube-system/kube-proxy has no config.conf"),
    ],
)
def test_a_cluster_without_kube_proxy_is_left_alone(gone: str, value: t.Any, words: str) -> None:
    world = World()
    setattr(world, gone, value)
    made = planned(world, **WANTED)
    assert made.plan() == []
    assert f"({words}), so it was left alone" in made.notes[0]
    # A patch would keep nothing, and kubeadm would be told of one for no reason.
    assert made.patch() == ""


def test_a_patch_for_kubeadm_says_what_pods_become_and_there_is_none_where_none_are_found() -> None:
    world = World()
    assert planned(world, **WANTED).patch() == ""  # nothing is planned yet
    made = planned(world, **WANTED)
    made.plan()
    assert "NET_ADMIN" in made.patch()
    nothing = planned(world)
    nothing.plan()
    assert nothing.patch() == ""
    assert world.set is not None
    world.set["spec"]["template"]["spec"]["containers"][0]["name"] = "other"
    made = planned(world, **WANTED)
    made.plan()
    assert "has no container kube-proxy" in made.notes[0]
    assert made.patch() == ""


def test_what_is_judged_is_told_and_not_changed() -> None:
    world = World()
    assert world.map is not None
    world.map["data"]["kubeconfig.conf"] = KUBECONFIG.replace("https", "http")
    account = {"kind": "ServiceAccount", "namespace": "kube-system", "name": "kube-proxy"}
    world.bindings = [{"metadata": {"name": "more"}, "roleRef": {"name": "admin"}, "subjects": [account]}]
    keep = {"metricsBindAddress": {"keep": "127.0.0.1:10249", "default": "127.0.0.1:10249", "control": "metrics"}}
    made = KubeProxy(world.api(), keep, {})
    assert made.plan() == []
    assert [words in note for words, note in zip(("https", "more (admin)", "0.0.0.0:10249"), made.notes)] == [True] * 3


def test_on_delete_nothing_restarts_and_it_is_said() -> None:
    world = World()
    assert world.set is not None
    world.set["spec"]["updateStrategy"] = {"type": "OnDelete"}
    made = planned(world)
    assert {change.restart for change in made.plan()} == {()}
    assert "OnDelete" in made.notes[0]


def dead(host: Host, defaults: bool = False) -> World:
    """A cluster whose run died while it rolled."""
    world = World()
    made = planned(world, **WANTED)
    made.plan()
    real = world.write_set

    def write(document: dict[str, t.Any]) -> bool:
        filled = copy.deepcopy(document)
        if defaults:
            filled["spec"]["template"]["spec"]["schedulerName"] = "default-scheduler"
        return real(filled)

    def die(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "write_set", write)
        patch.setattr(world, "sleep", die)
        made._api = world.api()
        with pytest.raises(KeyboardInterrupt):
            apply(host, made)
    return world


@pytest.mark.parametrize("which", ["map", "set"])
def test_what_somebody_else_changed_since_a_run_died_stays(host: Host, which: str) -> None:
    """Weeks later kubeadm upgrade has written both: neither is to go back to the old version."""
    world = dead(host)
    assert world.map is not None
    assert world.set is not None
    if which == "map":
        world.map["data"]["config.conf"] += "mode: nftables\n"
    else:
        world.set["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.k8s.io/kube-proxy:v9"
    before = copy.deepcopy((world.map, world.set["spec"]))
    (told,) = kube_proxy.recover(host, world.api, 30.0)
    name = kube_proxy.CONFIG_MAP if which == "map" else kube_proxy.DAEMON_SET
    assert told.startswith(f"{name} has been changed by someone else since run run-1 died")
    assert (world.map, world.set["spec"]) == before
    assert Journal(host).read() == {}


@pytest.mark.parametrize("defaults", [False, True])
def test_what_the_dead_run_wrote_goes_back_as_the_api_filled_it_in(host: Host, defaults: bool) -> None:
    world = dead(host, defaults)
    (told,) = kube_proxy.recover(host, world.api, 30.0)
    assert "its ConfigMap and DaemonSet went back" in told
    assert world.set is not None
    assert world.set["spec"]["template"] == TEMPLATE


def test_a_journal_that_does_not_say_what_the_run_wrote_goes_back_whole(host: Host) -> None:
    world = dead(host)
    pending = Journal(host).read()["kube_proxy"]
    del pending["after"]
    Journal(host).note(kube_proxy=pending)
    assert world.set is not None
    world.set["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.k8s.io/kube-proxy:v9"
    assert "went back" in kube_proxy.recover(host, world.api, 30.0)[0]
    assert world.set["spec"]["template"] == TEMPLATE


def test_without_an_api_what_a_dead_run_left_there_waits(host: Host) -> None:
    """The hosts of a rollback go back all the same."""
    world = dead(host)

    def nobody() -> t.Any:
        raise HardeningError("KH123", "the API server refuses connections.")

    noted = Journal(host).read()
    (told,) = recovery.recover_cluster(host, nobody, nobody, 30.0, lambda: False)
    assert told == "What run run-1 left under way in the API when it died waits until the API answers; run again then."
    assert Journal(host).read() == noted
    with pytest.raises(HardeningError, match="refuses connections"):  # a run that needs it
        recovery.recover_cluster(host, nobody, nobody, 30.0)
    (told,) = recovery.recover_cluster(host, world.api, nobody, 30.0, lambda: True)
    assert "went back" in told
    assert Journal(host).read() == {}
    assert recovery.recover_cluster(host, nobody, nobody, 30.0, nobody) == []


def test_a_run_that_died_is_undone_by_the_next(host: Host) -> None:
    world = World()
    before = copy.deepcopy((world.map, world.set))
    made = planned(world, **WANTED)
    made.plan()
    world.dies = True
    with pytest.raises(KeyboardInterrupt):
        apply(host, made)
    assert "puts its ConfigMap and DaemonSet back first" in recovery.foretell(host)[0]
    world.dies = False
    (told,) = kube_proxy.recover(host, world.api, 30.0)
    assert "Run run-1 died before kube-proxy was proven" in told
    assert world.map == before[0]
    assert world.set == before[1]
    assert kube_proxy.recover(host, world.api, 30.0) == []


def test_what_it_is_started_with_is_told() -> None:
    world = World()
    assert world.map is not None
    assert world.set is not None
    world.map["data"]["config.conf"] += "featureGates: {A: true}\n"
    world.set["spec"]["template"]["spec"]["containers"][0].update(command=["kube-proxy", "--v=2"], args=["--x=1"])
    planned = KubeProxy(world.api(), SETTINGS, {})
    assert planned.found == {}
    planned.plan()
    assert planned.found["flags"] == {"v": "2", "x": "1"}
    assert planned.found["configuration"]["featureGates"] == {"A": True}
