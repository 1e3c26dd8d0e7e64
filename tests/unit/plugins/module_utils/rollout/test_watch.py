# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a proof, what is a failure, and what is neither."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import Answer
from ansible_collections.kubeharden.core.plugins.module_utils.probes.processes import Process
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import watch
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    PATIENCE,
    STEADY,
    STEADY_OLD,
    Failure,
    Watcher,
    local_client,
    local_server,
    matches,
    require_served,
    require_well,
)
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.rollout.world import (
    FOREVER,
    NEW,
    OLD,
    Box,
    Life,
    World,
)

LIMIT = 300.0


def watcher(world: World, wanted: list[str] | None = None, **options: t.Any) -> Watcher:
    return Watcher(world.sight(), "kube-apiserver", "kube-apiserver", wanted or NEW, **options)


def failure(waiting: Watcher, limit: float = LIMIT) -> Failure:
    with pytest.raises(Failure) as caught:
        waiting.wait(limit)
    return caught.value


# ---- success


def test_a_new_process_with_the_right_arguments_that_is_well_for_three_seconds_is_the_proof(world: World) -> None:
    """The times of a plain restart, as measured: 30 s of grace, 9 s of the kubelet, 3 s of start."""
    world.lives = [Life(1, OLD, end=30.0, unwell=0.5), Life(2, NEW, start=39.0, well=42.0)]
    assert watcher(world).wait(LIMIT).pid == 2
    assert 42.0 + STEADY <= world.time <= 42.0 + STEADY + 1.0


def test_the_old_process_that_answers_200_is_no_proof(world: World) -> None:
    world.lives = [Life(1, OLD)]
    assert "no new process was seen" in failure(watcher(world), 20).reason
    assert world.time >= 20


def test_the_old_process_is_no_proof_even_with_the_right_arguments(world: World) -> None:
    """A file only has changed: the arguments are the same before and after."""
    world.lives = [Life(1, NEW)]
    assert "no new process was seen" in failure(watcher(world), 20).reason


def test_a_process_with_other_arguments_is_no_proof(world: World) -> None:
    world.lives = [Life(1, OLD, end=1.0), Life(2, [*NEW, "--profiling=false"], start=2.0)]
    assert "no new process was seen" in failure(watcher(world), 20).reason


@pytest.mark.parametrize("wanted", [NEW[1:], ["/go-runner", "--log=x", *NEW]])
def test_a_manifest_that_leaves_the_start_to_something_else_is_recognised(world: World, wanted: list[str]) -> None:
    world.lives = [Life(1, OLD, end=30.0, unwell=0.5), Life(2, NEW, start=39.0, well=42.0)]
    assert watcher(world, wanted).wait(LIMIT).pid == 2


def test_the_same_pid_again_is_a_new_process(world: World) -> None:
    world.lives = [Life(1, OLD, end=1.0), Life(1, NEW, start=5.0)]
    assert watcher(world).wait(LIMIT).start_ticks == 500


def test_steady_begins_anew_with_every_interruption(world: World) -> None:
    world.lives = [Life(1, OLD, end=1.0), Life(2, NEW, start=2.0, unwell=4.0), Life(3, NEW, start=4.0, well=6.0)]
    assert watcher(world).wait(LIMIT).pid == 3
    assert world.time >= 6.0 + STEADY


def test_an_authorised_call_is_part_of_the_proof(world: World) -> None:
    """For some seconds after the port opens even cluster-admin gets 403."""
    world.lives = [Life(2, NEW, start=1.0)]
    world.answers = {"/api/v1/namespaces/kube-system": 403}
    world.events = [(20.0, world.answers.clear)]
    assert watcher(world).wait(LIMIT).pid == 2
    assert world.time >= 20.0 + STEADY


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/api/v1/namespaces/kube-system"])
def test_every_path_must_answer(world: World, path: str) -> None:
    waiting = watcher(world)
    world.lives = [Life(2, NEW, start=1.0)]
    world.answers = {path: 500}
    assert failure(waiting, 10).reason == f"it was not well within 10 s ({path} answered 500)"


def test_it_works_without_a_runtime(world: World) -> None:
    world.runtime = None
    world.lives = [Life(1, OLD, end=30.0), Life(2, NEW, start=39.0)]
    assert watcher(world).wait(LIMIT).pid == 2


def test_what_is_seen_of_others_meanwhile_counts_for_them(world: World) -> None:
    """Then their turn takes one look instead of two that lie three seconds apart."""
    first, second = watcher(world), watcher(world)
    world.lives = [Life(1, OLD, end=30.0), Life(2, NEW, start=39.0)]
    first.wait(LIMIT, [second])
    proven = world.time
    assert second.wait(LIMIT).pid == 2
    assert world.time <= proven + 0.5


def test_an_end_of_others_meanwhile_is_their_own_affair(world: World) -> None:
    first, second = watcher(world), watcher(world, once=True)
    world.boxes = [Box("new0", start=1.0, exited=2.0), Box("new1", start=3.0, attempt=1)]
    world.lives = [Life(2, NEW, start=3.0)]
    assert first.wait(LIMIT, [second]).pid == 2
    assert failure(second).reason == "it ended with exit code 1"


# ---- failure


def crash_loop(world: World, uid: str = "new") -> None:
    """Attempts of 0.3 s after 40, 41 and 53 s; the runtime keeps the newest one only."""
    world.lives = [Life(1, OLD, end=30.0, unwell=0.5)]
    world.boxes = [Box("old", exited=30.0, gone=31.0, code=137, uid="old")]
    for attempt, start in enumerate((40.0, 41.0, 53.0)):
        world.lives.append(Life(10 + attempt, NEW, start=start, end=start + 0.3, well=FOREVER))
        world.boxes.append(
            Box(f"new{attempt}", start=start, exited=start + 0.3, gone=start + 0.9, attempt=attempt, uid=uid)
        )


def test_a_crash_loop_is_found_by_its_second_exit_with_the_components_words(world: World) -> None:
    waiting = watcher(world)
    crash_loop(world)
    world.logs = {"new": ["I0101 starting", "Error: unknown flag: --no-such-flag"]}
    found = failure(waiting)
    assert found.reason == "it ended with exit code 1"
    assert found.last_word == "Error: unknown flag: --no-such-flag"
    assert world.time < 60


def test_etcds_usage_hides_no_reason(world: World) -> None:
    waiting = watcher(world)
    crash_loop(world)
    why = 'invalid value "10.0.0.11:2379" for flag -advertise-client-urls: parse "10.0.0.11:2379": first path segment'
    world.logs = {"new": [why, "Usage:", *["    Only supports debug, info, warn, error, panic, or fatal."] * 99]}
    assert failure(waiting).last_word == why


@pytest.mark.parametrize(("attempt", "word"), [(3, ""), (4, "Error: of this one")])
def test_the_words_of_a_pod_that_stays_are_those_of_its_new_container(world: World, attempt: int, word: str) -> None:
    """Where a file alone has changed the log has the old process's too."""
    world.boxes = [Box("old", exited=1.0, attempt=3, uid="stays")]
    waiting = watcher(world)
    world.boxes += [Box(f"new{n}", start=n, exited=n + 0.3, attempt=n, uid="stays") for n in (4, 5)]
    world.attempt, world.logs = attempt, {"stays": ["Error: of this one"]}
    assert failure(waiting).last_word == word


def test_the_old_containers_exit_is_no_failure(world: World) -> None:
    """137 of the old container after its grace is normal."""
    world.boxes = [
        Box("old0", exited=0.0, uid="old", code=137),
        Box("old1", exited=30.0, uid="old", code=137, attempt=1),
    ]
    waiting = watcher(world)
    world.lives = [Life(1, OLD, end=30.0), Life(2, NEW, start=39.0)]
    assert waiting.wait(LIMIT).pid == 2


def test_one_exit_is_not_yet_a_failure(world: World) -> None:
    """etcd may be away for a moment: the kubelet starts it once more."""
    waiting = watcher(world)
    world.boxes = [Box("new0", start=40.0, exited=45.0), Box("new1", start=46.0, attempt=1)]
    world.lives = [Life(2, NEW, start=40.0, end=45.0, well=1e9), Life(3, NEW, start=46.0)]
    assert waiting.wait(LIMIT).pid == 3


def test_of_a_trial_one_exit_is_final(world: World) -> None:
    waiting = watcher(world, once=True)
    world.boxes = [Box("new0", start=1.0, exited=2.0, code=2)]
    found = failure(waiting)
    assert found.reason == "it ended with exit code 2"
    assert world.time < 4


def test_exits_that_came_while_the_api_server_was_away_are_forgiven(world: World) -> None:
    waiting = watcher(world)
    world.boxes = [Box(f"new{number}", start=1.0, exited=2.0, attempt=number) for number in range(3)]
    world.time = 40.0
    waiting.forgive()
    world.boxes.append(Box("new3", start=41.0, attempt=3))
    world.lives = [Life(2, NEW, start=41.0)]
    assert waiting.wait(LIMIT).pid == 2


def test_after_forgiveness_two_more_exits_are_a_failure(world: World) -> None:
    waiting = watcher(world)
    world.boxes = [Box("new0", start=1.0, exited=2.0), Box("new1", start=3.0, exited=4.0, attempt=1)]
    world.time = 40.0
    waiting.forgive()
    world.boxes += [Box("new2", start=41.0, exited=42.0, attempt=2), Box("new3", start=43.0, exited=44.0, attempt=3)]
    assert failure(waiting).reason == "it ended with exit code 1"
    assert world.time < 50


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun", "CreateContainerError"])
def test_a_container_that_can_never_start_is_given_up_at_once(world: World, reason: str) -> None:
    waiting = watcher(world)
    message = 'exec: "kube-apiserver": executable file not found in $PATH'
    world.boxes = [Box("new0", start=40.0, exited=40.2, code=128, reason=reason, message=message)]
    found = failure(waiting)
    assert found.reason == f"its container could not be started ({reason})"
    assert found.last_word == message
    assert world.time < 42


def test_what_the_runtime_says_of_a_container_is_masked(world: World) -> None:
    """It may quote the arguments."""
    waiting = watcher(world)
    message = "exec failed: --token=abcdef.0123456789abcdef is no option"
    world.boxes = [Box("new0", start=40.0, exited=40.2, code=128, reason="StartError", message=message)]
    assert "0123456789abcdef" not in failure(waiting).last_word


def test_what_the_kubelet_complains_of_is_believed_after_a_while(world: World) -> None:
    """No container is ever made: an image is missing, or a hostPath."""
    waiting = watcher(world)
    line = (
        'E0101 pod_workers.go: "Error syncing pod" err="MountVolume.SetUp failed" pod="kube-system/kube-apiserver-cp1"'
    )
    world.journal = [(-5.0, "kube-apiserver of long ago"), (20.0, line), (21.0, "coredns: ErrImagePull")]
    found = failure(waiting)
    assert (found.reason, found.lines) == ("the kubelet could not start it", [line])
    assert PATIENCE <= world.time < PATIENCE + 2


def test_a_component_that_had_ended_again_and_again_before_waits_its_time_out(world: World) -> None:
    """The kubelet says so at each look, and starts it when that time is over."""
    waiting = watcher(world)
    line = (
        'E0101 pod_workers.go: "Error syncing pod" err="failed to \\"StartContainer\\" for \\"kube-apiserver\\" '
        'with CrashLoopBackOff: \\"back-off 1m20s restarting failed container=kube-apiserver"'
    )
    world.journal = [(float(second), line) for second in range(0, 80, 10)]
    world.lives = [Life(2, NEW, start=80.0, well=85.0)]
    assert waiting.wait(LIMIT).pid == 2


def test_complaints_do_not_count_against_a_process_that_is_there(world: World) -> None:
    waiting = watcher(world)
    world.journal = [(20.0, "Failed to admit pod kube-apiserver-cp1")]
    world.lives = [Life(2, NEW, start=40.0, well=60.0)]
    assert waiting.wait(LIMIT).pid == 2


def test_slow_is_no_failure_until_the_limit(world: World) -> None:
    waiting = watcher(world)
    world.lives = [Life(2, NEW, start=40.0, well=1e9)]
    world.boxes = [Box("new0", start=40.0)]
    world.logs = {"new": ["I0101 waiting for etcd"]}
    found = failure(waiting, 120)
    assert found.reason == "it was not well within 120 s (/livez answered refused)"
    assert found.last_word == "I0101 waiting for etcd"
    assert 120 <= world.time < 122


def test_the_last_words_are_those_of_an_error() -> None:
    lines = ["I0101 starting", 'E0101 run.go:72] "command failed" err="tls: x"', "I0101 bye"]
    assert Failure("r", lines).last_word == lines[1]
    assert Failure("r", lines[2:]).last_word == "I0101 bye"
    assert Failure("r").last_word == ""


# ---- a runtime that cannot be asked


def test_a_runtime_that_does_not_answer_for_a_while_is_no_failure(world: World) -> None:
    world.lives = [Life(1, OLD, end=30.0, unwell=0.5)]
    world.boxes = [Box("old", exited=30.0, code=137)]
    waiting = watcher(world)
    world.lives.append(Life(2, NEW, start=39.0, well=42.0))
    world.blind = [(1.0, 500.0)]
    world.journal = [(20.0, "kube-apiserver: CreatePodSandbox failed: context deadline exceeded")]
    assert waiting.wait(LIMIT).pid == 2


def test_at_the_limit_it_is_said_that_the_runtime_was_silent(world: World) -> None:
    waiting = watcher(world)
    world.blind = [(0.0, 500.0)]
    assert "containerd.sock did not answer" in failure(waiting, 10).reason


def test_without_the_runtime_nothing_is_begun(world: World) -> None:
    """What had ended before could not be told from what ends then."""
    world.blind = [(0.0, 1.0)]
    with pytest.raises(HardeningError, match=r"containerd\.sock"):
        watcher(world)


# ---- the way back


def test_the_way_back_begins_without_the_runtime_too(world: World) -> None:
    world.blind = [(0.0, 1e9)]
    world.lives = [Life(5, NEW, end=30.0, unwell=0.5), Life(6, OLD, start=45.0)]
    assert watcher(world, OLD, back=True).wait(LIMIT).pid == 6


def test_on_the_way_back_exits_are_no_end(world: World) -> None:
    waiting = watcher(world, OLD, back=True)
    world.boxes = [Box(f"b{number}", start=1.0, exited=2.0, attempt=number) for number in range(4)]
    world.lives = [Life(6, OLD, start=60.0)]
    assert waiting.wait(LIMIT).pid == 6


def test_an_old_process_that_runs_on_is_a_proof_after_a_while(world: World) -> None:
    """The bytes went back before the kubelet had seen the new ones: no new process will ever come."""
    world.lives = [Life(1, OLD)]
    assert watcher(world, OLD, back=True).wait(LIMIT).pid == 1
    assert STEADY_OLD <= world.time < STEADY_OLD + 2


def test_an_old_process_that_is_being_stopped_is_none(world: World) -> None:
    world.lives = [Life(1, OLD, end=30.0, unwell=1.0), Life(2, OLD, start=40.0)]
    assert watcher(world, OLD, back=True).wait(LIMIT).pid == 2


# ---- arguments


@pytest.mark.parametrize(
    ("running", "wanted", "same"),
    [
        (["a", "--b=c"], ["a", "--b=c"], True),
        (["a", "--b=c"], ["a", "--b=d"], False),
        (["a", "--b=c", "--d"], ["a", "--b=c"], False),
        (["a"], ["a", "--b=c"], False),
        (["a", "--node=cp1"], ["a", "--node=$(NODE)"], True),
        (["a", "--node=cp1/x\ny"], ["a", "--node=$(NODE)/$(OTHER)"], True),
        (["a", "--node=cp1"], ["a", "--nodes=$(NODE)"], False),
        (["a", "--re=a.c"], ["a", "--re=a.c"], True),
        (["a", "--re=abc"], ["a", "--re=a.c"], False),
        (["a", "--x=$5"], ["a", "--x=$5"], True),
        (["a"], [], True),
        # The program's name may be written as another path than it has.
        (["/bin/a", "--b=c"], ["a", "--b=c"], True),
        # What starts it is gone, or is another process.
        (["a", "--b=c"], ["/go-runner", "--log=x", "/bin/a", "--b=c"], True),
        (["a", "--b=c"], ["tini", "--", "a", "--b=c"], True),
        (["a", "--d", "--b=c"], ["tini", "--", "a", "--b=c"], False),
        # Where the program is not named the image, or what starts it, may give it more.
        (["a", "--b=c"], ["--b=c"], True),
        (["a", "--d", "--b=c"], ["--b=c"], True),
        (["a", "--d", "--b=c"], ["/start", "--b=c"], True),
        (["a", "--node=cp1"], ["--node=$(NODE)"], True),
        (["a", "--b=c", "--d"], ["--b=c"], False),
        (["a", "--b=c"], ["--d", "--b=c"], False),
        (["a", "--b=c"], ["--name", "a", "--b=c"], False),
    ],
)
def test_arguments_are_compared_word_by_word(running: list[str], wanted: list[str], same: bool) -> None:
    assert matches(Process(1, running, 0.0, 0, 1), wanted) is same


@pytest.mark.parametrize(
    ("component", "arguments", "server"),
    [
        ("kube-apiserver", ["--advertise-address=192.0.2.11"], "https://192.0.2.11:6443"),
        ("kube-apiserver", ["--advertise-address=192.0.2.11", "--secure-port=7443"], "https://192.0.2.11:7443"),
        ("kube-apiserver", ["--bind-address=127.0.0.1", "--advertise-address=192.0.2.11"], "https://127.0.0.1:6443"),
        ("kube-apiserver", ["--bind-address=0.0.0.0", "--advertise-address=2001:db8::1"], "https://[2001:db8::1]:6443"),
        ("kube-apiserver", ["--bind-address", "::"], "https://127.0.0.1:6443"),
        ("kube-controller-manager", ["--bind-address=127.0.0.1"], "https://127.0.0.1:10257"),
        ("kube-scheduler", ["--secure_port=12345"], "https://127.0.0.1:12345"),
        ("kube-scheduler", [], "https://127.0.0.1:10259"),
    ],
)
def test_a_component_is_asked_where_its_flags_bind_it(
    world: World, monkeypatch: pytest.MonkeyPatch, component: str, arguments: list[str], server: str
) -> None:
    asked: list[tuple[bool, dict[str, str]]] = []

    def client(kubeconfig: object, **options: str) -> None:
        asked.append((kubeconfig is not None, options))

    monkeypatch.setattr(watch, "ApiClient", client)
    local_client(world.sight(), component, [component, *arguments])
    name = {"verify_hostname": "kubernetes"} if component == "kube-apiserver" else {}
    assert asked == [(component == "kube-apiserver", {"server": server, **name})]


# ---- before


def test_a_component_that_is_well_is_returned(world: World) -> None:
    world.lives = [Life(1, OLD)]
    assert require_well(world.sight(), "kube-apiserver", OLD).pid == 1


@pytest.mark.parametrize(
    ("lives", "words"),
    [([], "does not run on this host"), ([Life(1, OLD, well=1e9)], "is not well before any change: /livez answered")],
)
def test_nothing_is_begun_on_a_component_that_is_not_well(world: World, lives: list[Life], words: str) -> None:
    world.lives = lives
    with pytest.raises(HardeningError, match=words):
        require_well(world.sight(), "kube-apiserver", OLD)


def test_nothing_is_begun_while_clients_lose_requests_anyway(world: World) -> None:
    world.lives = [Life(1, OLD, unwell=4.5 * watch.PAUSE)]
    with pytest.raises(HardeningError, match=r"5 of 10 requests to https://192\.0\.2\.1:6443 failed .*\(refused\)"):
        require_served(world.sight())


def test_the_clocks_of_the_api_servers_behind_the_front_door_are_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that say what time it is: one of them is ten minutes behind."""
    dates = iter(["Thu, 01 Jan 1970 00:10:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "nonsense"])
    world.time = 600.0
    monkeypatch.setattr(world, "answer", lambda *_asked: Answer(200, headers={"date": next(dates)}))
    assert require_served(world.sight(), count=3) == [pytest.approx(0.0), pytest.approx(-600.05)]


def test_a_front_door_that_answers_is_enough(world: World) -> None:
    world.lives = [Life(1, OLD)]
    require_served(world.sight())
    assert world.time == pytest.approx(9 * watch.PAUSE)


@pytest.mark.parametrize("end", [World.end_the_administrator, World.end_the_servers])
def test_where_a_certificate_has_ended_the_health_paths_are_the_proof(
    world: World, end: t.Callable[[World], None]
) -> None:
    """For a run that goes on all the same; to every other one it is an API server that is not well."""
    world.lives = [Life(1, OLD)]
    server = local_server("kube-apiserver", OLD)
    end(world)
    with pytest.raises(HardeningError, match="is not well before any change: /livez answered"):
        require_well(world.sight(), "kube-apiserver", OLD)
    assert watch.unready(watch.readyz(world.sight(), server))
    world.allow_expired = True
    for refusal in (200, 401, 403):
        world.answers = {"/livez": refusal, "/readyz": refusal, "/api/v1/namespaces/kube-system": 401}
        assert require_well(world.sight(), "kube-apiserver", OLD).pid == 1
        assert watch.unready(watch.readyz(world.sight(), server)) == ""
    world.answers["/readyz"] = 500
    with pytest.raises(HardeningError, match="is not well before any change: /readyz answered 500"):
        require_well(world.sight(), "kube-apiserver", OLD)
    assert watch.unready(watch.readyz(world.sight(), server)) == "/readyz answered 500"


def test_a_certificate_that_holds_is_no_excuse(world: World) -> None:
    world.lives, world.allow_expired = [Life(1, OLD)], True
    world.answers = {"/livez": 401, "/readyz": 401}
    with pytest.raises(HardeningError, match="is not well before any change: /livez answered 401"):
        require_well(world.sight(), "kube-apiserver", OLD)
    assert watch.unready(watch.readyz(world.sight(), local_server("kube-apiserver", OLD))) == "/readyz answered 401"
    assert not watch.serves(world.sight())


def test_a_front_door_that_refuses_an_administrator_whose_certificate_has_ended_loses_nothing(world: World) -> None:
    world.lives = [Life(1, OLD)]
    world.end_the_administrator()
    assert not watch.serves(world.sight())
    world.allow_expired = True
    assert watch.serves(world.sight())
    require_served(world.sight())
    world.lives = []
    assert not watch.serves(world.sight())


# ---- etcd

ETCD = ["etcd", "--trusted-ca-file=/pki/ca.crt", "--cert-file=/pki/server.crt", "--key-file=/pki/server.key"]


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["--listen-client-urls=https://127.0.0.1:2379,https://192.0.2.11:2379"], "https://127.0.0.1:2379"),
        (["--listen-client-urls=http://127.0.0.1:2379,https://192.0.2.11:2379"], "https://192.0.2.11:2379"),
        (
            ["--listen-client-urls=https://0.0.0.0:2379", "--advertise-client-urls=https://cp1.example.net:2379"],
            "https://cp1.example.net:2379",
        ),
        (
            ["--listen-client-urls=https://[::]:2379", "--advertise-client-urls=https://[2001:db8::1]:2379"],
            "https://[2001:db8::1]:2379",
        ),
    ],
)
def test_etcd_is_asked_where_it_serves_with_the_files_that_it_sees(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], address: str
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(watch, "EtcdClient", lambda *given: asked.append(given))
    watch.etcd_client(Process(7, [*ETCD, *arguments], 0.0, 0, 1))
    root = "/proc/7/root/pki"
    assert asked == [(address, f"{root}/ca.crt", f"{root}/server.crt", f"{root}/server.key")]


@pytest.mark.parametrize(
    ("arguments", "authority"),
    [
        ([], "/etc/kubernetes/pki/etcd/ca.crt"),
        (["--peer-trusted-ca-file=/pki/peers.crt"], "/pki/peers.crt"),
        (["--peer-trusted-ca-file=/pki/peers.crt", "--trusted-ca-file=/pki/clients.crt"], "/pki/clients.crt"),
    ],
)
def test_an_etcd_without_an_authority_for_its_clients_is_asked_all_the_same(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], authority: str
) -> None:
    """Else no run could give it one."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(watch, "EtcdClient", lambda *given: asked.append(given))
    files = ["--cert-file=/pki/server.crt", "--key-file=/pki/server.key", "--listen-client-urls=https://127.0.0.1:2379"]
    watch.etcd_client(Process(7, ["etcd", *files, *arguments], 0.0, 0, 1))
    assert asked[0][1] == f"/proc/7/root{authority}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "without TLS"),
        (["--listen-client-urls=http://127.0.0.1:2379"], "without TLS"),
        (
            ["--listen-client-urls=https://127.0.0.1:2379", "--listen-client-http-urls=https://127.0.0.1:2378"],
            "answers HTTP apart from its clients",
        ),
    ],
)
def test_an_etcd_that_cannot_be_asked_is_told_how_to_be_left_out(arguments: list[str], words: str) -> None:
    with pytest.raises(HardeningError, match=rf"{words}.* Nothing was changed; .*--skip-tags etcd"):
        watch.etcd_client(Process(7, [*ETCD, *arguments], 0.0, 0, 1))


def test_the_process_of_the_manifest_is_looked_at_and_no_other_of_its_name(world: World) -> None:
    """An etcd of an application may run on the same host."""
    mine = [*ETCD, "--listen-client-urls=https://127.0.0.1:2379"]
    world.lives = [Life(1, mine), Life(2, ["etcd", "--data-dir=/of/somebody"], start=1.0)]
    world.time = 2.0
    assert require_well(world.sight(), "etcd", mine).pid == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"level":"fatal","msg":"listener failed","error":"no suite","stacktrace":"x"}', "listener failed: no suite"),
        ('{"level":"error","msg":"an error"}', "an error"),
        ('{"error": 1}', '{"error": 1}'),
        ('["error"]', '["error"]'),
        ("Error: unknown flag", "Error: unknown flag"),
    ],
)
def test_etcds_last_words_are_taken_out_of_their_frame(line: str, words: str) -> None:
    assert Failure("it ended", [line]).last_word == words
