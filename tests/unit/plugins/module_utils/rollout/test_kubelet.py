# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet and what it needs of its node: written together, proven together, or all of it goes back."""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import os
import threading
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import sysctl
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import record
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import kubelet, recovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubelet import Kubelet, Service
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

CONFIGURATION = "/var/lib/kubelet/config.yaml"
INSTANCE = "/var/lib/kubelet/instance-config.yaml"
FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
OWN = "/etc/default/kubelet"
SYSCTLS = "/etc/sysctl.d/90-kubeharden.conf"
UNIT = "/usr/lib/systemd/system/kubelet.service"
TEXTS = {
    CONFIGURATION: "kind: KubeletConfiguration\nmaxPods: 5  # theirs\n",
    INSTANCE: 'containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock"\n',
    FLAGS: 'KUBELET_KUBEADM_ARGS="--v=2"\n',
    UNIT: f"EnvironmentFile=-{FLAGS}\nExecStart=/usr/bin/kubelet $KUBELET_KUBEADM_ARGS\n",
}
DROP_INS = "/etc/kubernetes/kubelet.conf.d"
SETTINGS: dict[str, dict[str, t.Any]] = {
    "protectKernelDefaults": {"exact": True, "needs": "sysctls", "control": "kernel"},
    "podPidsLimit": {"keep": 4096, "control": "pids"},
}
WANTED = {"kernel.panic": {"exact": 10, "control": "kernel"}}
FOUND: dict[str, t.Any] = {
    "configuration_file": CONFIGURATION,
    "configuration": {},
    "flags": {"v": "2"},
    "units": [UNIT],
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    for path, text in TEXTS.items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Host(str(tmp_path))


def texts(host: Host) -> dict[str, str]:
    return {path: Path(host.path(path)).read_text(encoding="utf-8") for path in TEXTS}


def lay(host: Host, path: str, text: str) -> None:
    Path(host.path(path)).parent.mkdir(parents=True, exist_ok=True)
    Path(host.path(path)).write_text(text, encoding="utf-8")


def start_with(host: Host, flags: t.Mapping[str, str]) -> None:
    """Let the unit give the kubelet these flags before those of kubeadm's file and of the owner's."""
    own = " ".join(f"--{name}={value}" for name, value in flags.items())
    files = f"EnvironmentFile=-{FLAGS}\nEnvironmentFile=-/etc/default/kubelet\n"
    lay(host, UNIT, f"{files}ExecStart=/usr/bin/kubelet {own} $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n")


def made(host: Host, **flags: str) -> Kubelet:
    return Kubelet(host, FOUND, SETTINGS, "w1", Sysctls(host, WANTED), flags)


def service(*states: str) -> Service:
    """A service whose process has these states at each start, the last one for ever."""
    clock = [0.0]
    starts = list(states)

    def run(words: list[str]) -> tuple[int, str, str]:
        if words[:2] == ["systemctl", "restart"] and len(starts) > 1:
            starts.pop(0)
        if words[:2] == ["systemctl", "show"]:
            return 0, f"MainPID=7\nSubState={starts[0]}\nExecMainStatus={int(starts[0] != 'running')}\n", ""
        return 0, "E invalid kernel flag\n" if words[0] == "journalctl" else "", ""

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    return Service(run, lambda: True, lambda: clock[0], sleep)


@pytest.mark.parametrize(
    ("invocation", "journal", "asked", "words"),
    [
        ("ab12", {"_SYSTEMD_INVOCATION_ID=ab12": "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n"}, 1, "panic: x"),
        ("ab12", {"--unit=kubelet --since=@1800000000": "E0101 Failed to run\n"}, 2, "E0101 Failed to run"),
        ("", {"--unit=kubelet --since=@1800000000": "Error: unknown flag: --x\n"}, 1, "Error: unknown flag: --x"),
        ("ab12", {}, 2, "none"),
    ],
)
def test_the_last_words_are_those_of_the_kubelet_that_was_started(
    invocation: str, journal: dict[str, str], asked: int, words: str
) -> None:
    """The one before may have said why it had trouble, and ends with words of its own."""
    calls: list[list[str]] = []

    def run(arguments: list[str]) -> tuple[int, str, str]:
        if arguments[:2] == ["systemctl", "show"]:
            return 0, f"MainPID=0\nSubState=auto-restart\nExecMainStatus=1\nInvocationID={invocation}\n", ""
        if arguments[0] != "journalctl":
            return 0, "", ""
        calls.append(arguments)
        found = [text for chosen, text in journal.items() if set(chosen.split()) <= set(arguments)]
        return 0, "".join(found), ""

    service = Service(run, lambda: False, lambda: 0.0, lambda _seconds: None, now=lambda: 1.8e9 + 0.7)
    assert kubelet.restart(service, 60.0) == f'it ended with exit code 1. Its last words: "{words}".'
    assert len(calls) == asked


class Healthy(http.server.BaseHTTPRequestHandler):
    """A health port."""

    def do_GET(self) -> None:  # the name is http.server's
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def health_port() -> t.Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


CLOSED = 9  # discard, which nobody serves


@pytest.mark.parametrize(
    ("configuration", "flags", "healthy"),
    [
        ({"healthzPort": "PORT"}, [], True),
        ({"healthzPort": CLOSED}, [], False),
        ({"healthzPort": CLOSED}, ["--healthz-port=PORT"], True),
        ({"healthzPort": "PORT"}, ["--healthz-port", str(CLOSED)], False),
        ({"healthzPort": "PORT", "healthzBindAddress": "127.0.0.2"}, [], False),
        ({"healthzPort": "PORT", "healthzBindAddress": "127.0.0.2"}, ["--healthz-bind-address=127.0.0.1"], True),
        ({"healthzPort": 0}, [], True),
        ({"healthzPort": CLOSED}, ["--healthz-port=0"], True),
        ({"healthzPort": 0}, ["--healthz-port=PORT"], True),
    ],
)
def test_the_health_port_is_where_flags_put_it_else_the_configuration(
    health_port: int, configuration: dict[str, t.Any], flags: list[str], healthy: bool
) -> None:
    """At 0 there is none, which is legal: that the process stays is the proof then."""
    given = {field: health_port if value == "PORT" else value for field, value in configuration.items()}
    words = [word.replace("PORT", str(health_port)) for word in flags]
    assert kubelet.health_probe(given, lambda: ["/usr/bin/kubelet", *words])() is healthy


@pytest.mark.parametrize("given", [None, True, "none", -1, 65536, "1" * 5000])
def test_what_is_no_port_is_the_default(given: t.Any) -> None:
    """It was written behind the back of a kubelet that runs, or nobody wrote any."""
    asked: list[tuple[str, int]] = []

    class Connection(http.client.HTTPConnection):
        def __init__(self, host: str, port: int, timeout: float) -> None:
            asked.append((host, port))
            super().__init__("127.0.0.1", CLOSED, timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http.client, "HTTPConnection", Connection)
        assert not kubelet.health_probe({"healthzPort": given}, list)()
    assert asked == [("127.0.0.1", 10248)]


def test_without_a_health_port_a_kubelet_that_does_not_run_is_not_well() -> None:
    assert not kubelet.health_probe({"healthzPort": 0}, list)()


def test_the_flags_are_those_of_the_process_that_systemd_names() -> None:
    """This test's own process stands in for it; it has no flag that moves the port."""

    def run(pid: int) -> kubelet.Run:
        return lambda _words: (0, f"MainPID={pid}\nSubState=running\n", "")

    assert kubelet.service({"healthzPort": 0}, run(os.getpid())).healthy()
    assert not kubelet.service({"healthzPort": 0}, run(0)).healthy()


def test_a_unit_without_a_process_is_never_steady() -> None:
    """One that ended with exit code 0, say, where no health port is there to be silent."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    gone = Service(
        lambda _words: (0, "MainPID=0\nSubState=dead\nExecMainStatus=0\n", ""), lambda: True, lambda: clock[0], sleep
    )
    assert "it was not well within 60 s" in str(kubelet.restart(gone, 60.0))


@pytest.mark.parametrize(
    ("before", "after", "limit", "seconds"),
    [
        (True, [True], 60.0, 12.0),
        (True, [False, False, True], 60.0, 13.0),
        (True, [False], 60.0, "it is well, but its node was not Ready within 60 s"),
        # The API was there and is not: its silence says nothing against the kubelet.
        (True, [None], 60.0, 42.0),
        (True, [None, False], 60.0, "it is well, but its node was not Ready within 60 s"),
        # Not by this restart, or nobody knows: then there is the kubelet's own health.
        (False, [False], 60.0, 12.0),
        (None, [None], 60.0, 12.0),
    ],
)
def test_a_node_that_was_ready_must_be_so_again(
    before: bool | None, after: list[bool | None], limit: float, seconds: float | str
) -> None:
    answers = list(after)
    asked: list[float] = []

    def ready(since: float) -> bool | None:
        asked.append(since)
        if since == 0.0:
            return before
        return answers.pop(0) if len(answers) > 1 else answers[0]

    seen = dataclasses.replace(service("running"), ready=ready, now=lambda: 1_800_000_000.0)
    found = kubelet.restart(seen, limit)
    if isinstance(seconds, str):
        assert seconds in str(found)
    else:
        assert found == pytest.approx(seconds, abs=1.0)
    assert asked[0] == 0.0
    assert set(asked[1:]) <= {1_800_000_000.0}


def test_a_node_that_must_be_ready_is_waited_for_though_it_was_not() -> None:
    answers = {0.0: [False], 1_800_000_000.0: [False, True]}
    seen = dataclasses.replace(
        service("running"), ready=lambda since: answers[since].pop(0), now=lambda: 1_800_000_000.0, must_be_ready=True
    )
    assert kubelet.restart(seen, 60.0) == pytest.approx(12.5, abs=1.0)
    assert answers == {0.0: [], 1_800_000_000.0: []}


def test_kernel_configuration_and_flags_are_one_change_with_one_restart(host: Host) -> None:
    planned = made(host, v="4")
    changes = planned.plan()
    assert [change.target for change in changes] == [SYSCTLS, CONFIGURATION, INSTANCE, FLAGS]
    assert [change.restart for change in changes] == [(), ("kubelet",), (), ("kubelet",)]
    assert texts(host) == TEXTS
    assert planned.apply(Backup(host, "run-1"), service("", "running"), 60.0) is not None
    after = texts(host)
    assert after[CONFIGURATION] == TEXTS[CONFIGURATION] + "podPidsLimit: 4096\nprotectKernelDefaults: true\n"
    assert after[INSTANCE] == TEXTS[INSTANCE] + "protectKernelDefaults: true\n"
    assert after[FLAGS] == 'KUBELET_KUBEADM_ARGS="--v=4"\n'
    assert Journal(host).read() == {}
    assert made(host, v="4").plan() == []


def test_all_of_it_goes_back_when_the_kubelet_does_not_come_up(host: Host) -> None:
    planned = made(host, v="4")
    planned.plan()
    with pytest.raises(HardeningError) as caught:
        planned.apply(Backup(host, "run-1"), service("", "auto-restart", "running"), 60.0)
    assert f"changed {CONFIGURATION} and {FLAGS}" in str(caught.value)
    assert "the old kubelet is proven well" in str(caught.value)
    assert texts(host) == TEXTS
    assert not Path(host.path(SYSCTLS)).exists()
    assert Journal(host).read() == {}


def test_where_kubeadm_keeps_nothing_of_one_node_alone_a_run_after_its_upgrade_is_asked_for(host: Host) -> None:
    """As in Kubernetes 1.33, whose kubeadm writes no such file."""
    Path(host.path(INSTANCE)).unlink()
    planned = made(host)
    assert INSTANCE not in [change.target for change in planned.plan()]
    (note,) = planned.notes
    assert f"has no {INSTANCE} in which to keep protectKernelDefaults, so kubeadm upgrade takes it away: run" in note
    shared = Kubelet(host, FOUND, {"podPidsLimit": SETTINGS["podPidsLimit"]}, "w1", Sysctls(host, WANTED), {})
    shared.plan()
    assert shared.notes == []


def test_with_that_file_nothing_is_asked_for(host: Host) -> None:
    planned = made(host)
    assert INSTANCE in [change.target for change in planned.plan()]
    assert planned.notes == []


def test_without_its_kernel_settings_the_rest_is_done(host: Host) -> None:
    Path(host.path("/etc/sysctl.conf")).write_text("kernel.panic = 60\n", encoding="utf-8")
    planned = made(host)
    (change,) = planned.plan()
    assert str(change.after).endswith("podPidsLimit: 4096\n")
    assert "protectKernelDefaults was left out: /etc/sysctl.conf would set kernel.panic to 60" in planned.notes[0]


class Live(Host):
    """A directory that counts as a host on which something runs."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.live = True

    def path(self, path: str) -> str:
        return self.root + path

    def shown(self, path: str) -> str:
        return path.removeprefix(self.root)


KERNEL = {name: {"exact": value, "control": "kernel"} for name, value in sysctl.KUBELET.items()}


def insisting(
    host: Host, directory: Path, kernel: dict[str, str], configuration: str, effective: dict[str, t.Any], **flags: str
) -> Kubelet:
    """A kubelet of which another field changes, on a host whose kernel has some settings otherwise."""
    for name, value in {**sysctl.KUBELET, **kernel}.items():
        (directory / name).write_text(f"{value}\n", encoding="utf-8")
    Path(host.path(CONFIGURATION)).write_text(configuration, encoding="utf-8")
    lay(host, f"{DROP_INS}/10.conf", yaml.safe_dump(effective))
    start_with(host, {"config-dir": DROP_INS, **flags})
    live = Live(host.root)
    wanted = Sysctls(live, KERNEL, lambda name: str(directory / name))
    return Kubelet(live, {**FOUND, "configuration": effective, "flags": flags}, SETTINGS, "w1", wanted)


INSISTS = "kind: KubeletConfiguration\nprotectKernelDefaults: true\n"


@pytest.mark.parametrize(
    ("text", "effective", "flags", "refused"),
    [
        (INSISTS, {"protectKernelDefaults": True}, {}, True),
        (TEXTS[CONFIGURATION], {}, {}, False),
        (TEXTS[CONFIGURATION], {"protectKernelDefaults": True}, {}, True),  # a drop-in
        (INSISTS, {"protectKernelDefaults": False}, {}, False),
        (TEXTS[CONFIGURATION], {}, {"protect-kernel-defaults": "true"}, True),
        (INSISTS, {"protectKernelDefaults": True}, {"protect-kernel-defaults": "false"}, False),
    ],
)
def test_a_kubelet_that_insists_is_not_restarted_where_its_kernel_differs(
    host: Host, tmp_path: Path, text: str, effective: dict[str, t.Any], flags: dict[str, str], refused: bool
) -> None:
    """It would end, and its old bytes insist too: the node would be lost."""
    Path(host.path("/etc/sysctl.conf")).write_text("vm.overcommit_memory = 0\n", encoding="utf-8")
    (tmp_path / "kernel").mkdir()
    planned = insisting(host, tmp_path / "kernel", {"vm.overcommit_memory": "0"}, text, effective, **flags)
    (change,) = planned.plan()
    assert "podPidsLimit: 4096" in str(change.after)
    if not refused:
        assert planned.apply(Backup(host, "run-1"), service("", "running"), 60.0) is not None
        return
    with pytest.raises(HardeningError, match=r"again: vm.overcommit_memory is 0, not 1\. Nothing") as it:
        planned.apply(Backup(host, "run-1"), service("running"), 60.0)
    assert it.value.number == "KH139"
    assert Path(host.path(CONFIGURATION)).read_text(encoding="utf-8") == text
    assert Journal(host).read() == {}


def test_what_the_run_sets_itself_keeps_no_kubelet_from_its_restart(host: Host, tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    planned = insisting(host, tmp_path / "kernel", {"kernel.panic": "0"}, TEXTS[CONFIGURATION], {})
    planned.plan()
    assert planned.apply(Backup(host, "run-1"), service("", "running"), 60.0) is not None
    assert (tmp_path / "kernel/kernel.panic").read_text(encoding="utf-8") == "10\n"
    assert "protectKernelDefaults: true" in texts(host)[CONFIGURATION]


def test_a_node_that_kubeadm_gave_no_file_of_its_own_gets_none(host: Host) -> None:
    Path(host.path(INSTANCE)).unlink()
    assert INSTANCE not in [change.target for change in made(host).plan()]


def test_flags_of_a_kubelet_that_reads_no_file_of_kubeadms_are_refused(host: Host) -> None:
    Path(host.path(UNIT)).write_text("ExecStart=/usr/bin/kubelet\n", encoding="utf-8")
    with pytest.raises(HardeningError, match="does not read /var/lib/kubelet/kubeadm-flags"):
        made(host, v="4").plan()
    assert made(host).plan()


def test_a_flag_of_the_owners_that_beats_it_is_named(host: Host) -> None:
    Path(host.path("/etc/default")).mkdir()
    Path(host.path("/etc/default/kubelet")).write_text("KUBELET_EXTRA_ARGS=--v=9\n", encoding="utf-8")
    planned = made(host, v="4")
    planned.plan()
    assert any("--v=9 in /etc/default/kubelet beats it" in note for note in planned.notes)


def test_a_header_that_beats_it_is_masked(host: Host) -> None:
    Path(host.path("/etc/default")).mkdir()
    text = "KUBELET_EXTRA_ARGS=--manifest-url-header=X-Key:hidden\n"
    Path(host.path("/etc/default/kubelet")).write_text(text, encoding="utf-8")
    planned = made(host, **{"manifest-url-header": "X-Key:other"})
    planned.plan()
    assert any("--manifest-url-header=[masked] in /etc/default/kubelet beats it" in note for note in planned.notes)
    assert not any("hidden" in note for note in planned.notes)


CURRENT = "/var/lib/kubelet/pki/kubelet-server-current.pem"
SERVING: dict[str, dict[str, t.Any]] = {
    "serverTLSBootstrap": {"exact": True, "control": "serving"},
    "tlsCertFile": {"keep": CURRENT, "control": "serving"},
    "tlsPrivateKeyFile": {"keep": CURRENT, "control": "serving"},
}


def planned_serving(
    host: Host, configuration: dict[str, t.Any] | None = None, flags: dict[str, str] | None = None, **own: str
) -> Kubelet:
    """What is planned of the serving certificate where that is found."""
    start_with(host, {"config-dir": DROP_INS, **(flags or {})})
    found = {**FOUND, "configuration": configuration or {}, "flags": {"config-dir": DROP_INS, **(flags or {})}}
    planned = Kubelet(host, found, SERVING, "w1", None, own)
    planned.plan()
    return planned


def test_a_kubelet_that_is_told_to_ask_is_waited_for(host: Host) -> None:
    assert planned_serving(host).asks


@pytest.mark.parametrize(("has", "asks"), [(False, True), (True, False)])
def test_one_that_asks_already_is_waited_for_as_long_as_it_has_nothing(host: Host, has: bool, asks: bool) -> None:
    """A run that failed between its restart and the approval left it so."""
    lay(host, CONFIGURATION, f"kind: KubeletConfiguration\nserverTLSBootstrap: true\ntlsCertFile: {CURRENT}\n")
    if has:
        lay(host, CURRENT, "x")
    planned = planned_serving(host, {"serverTLSBootstrap": True})
    assert planned.asks is asks
    assert Kubelet(host, FOUND, SETTINGS, "w1").asks is False


def test_where_it_is_not_to_ask_nobody_waits(host: Host) -> None:
    """As where its control is waived, and its owner has an approver of his own."""
    lay(host, CONFIGURATION, "kind: KubeletConfiguration\nserverTLSBootstrap: true\n")
    planned = made(host)
    planned.plan()
    assert not planned.asks


def test_a_drop_in_that_cannot_be_edited_is_named_and_nobody_waits(host: Host) -> None:
    lay(host, f"{DROP_INS}/10-a.conf", "serverTLSBootstrap: true\n")
    lay(host, f"{DROP_INS}/20-b.conf", "x: &no false\nserverTLSBootstrap: *no\n")
    planned = planned_serving(host)
    assert not planned.asks
    (told,) = planned.not_done
    assert told == (
        f"serverTLSBootstrap: false in {DROP_INS}/20-b.conf beats {CONFIGURATION}, so that ours is not in force; take "
        "it out there."
    )


def test_what_nobody_asks_for_is_not_named_either(host: Host) -> None:
    """The kubelet would not start without the file."""
    start_with(host, {"rotate-server-certificates": "false"})
    found = {**FOUND, "flags": {"rotate-server-certificates": "false"}}
    (change,) = Kubelet(host, found, SERVING, "w1").plan()
    assert "serverTLSBootstrap: true" in str(change.after)
    assert CURRENT not in str(change.after)


def test_a_flag_that_beats_the_configuration_in_the_unit_is_named(host: Host) -> None:
    planned = planned_serving(host, flags={"rotate-server-certificates": "false"})
    assert not planned.asks
    (told,) = planned.not_done
    assert told == (
        "The kubelet's flag --rotate-server-certificates=false in its unit beats serverTLSBootstrap in "
        f"{CONFIGURATION}, so that it is not in force; take the flag out there."
    )


GATE = "RotateKubeletServerCertificate"


@pytest.mark.parametrize(
    ("text", "betas_off", "after"),
    [
        ("", False, None),
        (f"featureGates:\n  Other: true\n  {GATE}: false  # theirs\n", False, {"Other": True, GATE: True}),
        (f"featureGates: {{{GATE}: false}}\n", False, {GATE: True}),
        ("featureGates:\n  AllBeta: true\n", False, {"AllBeta": True}),
        # Off with all of its stage: in this file, or in what beats it.
        ("featureGates:\n  AllBeta: false\n", False, {"AllBeta": False, GATE: True}),
        ("", True, {GATE: True}),
    ],
)
def test_a_kubelet_that_is_told_to_ask_has_the_gate_without_which_it_does_not_start(
    host: Host, text: str, betas_off: bool, after: dict[str, bool] | None
) -> None:
    wanted = yaml.safe_load(
        templates.render("kubelet/configuration.yaml.j2", kubeharden_profile="cis", approver=True, betas_off=betas_off)
    )["kubelet"]
    lay(host, CONFIGURATION, f"kind: KubeletConfiguration\n{text}")
    planned = Kubelet(host, FOUND, {name: data for name, data in wanted.items() if "needs" not in data}, "w1")
    change = next(one for one in planned.plan() if one.target == CONFIGURATION)
    assert yaml.safe_load(str(change.after)).get("featureGates") == after
    assert "# theirs" in str(change.after) or "# theirs" not in text
    lay(host, CONFIGURATION, str(change.after))
    assert Kubelet(host, FOUND, {f"featureGates.{GATE}": wanted[f"featureGates.{GATE}"]}, "w1").plan() == []
    # Where it is not told to ask, its owner's gates are no business of the run.
    idle = yaml.safe_load(templates.render("kubelet/configuration.yaml.j2", kubeharden_profile="cis", approver=False))
    assert not [name for name in idle["kubelet"] if name.startswith("featureGates")]


def restarted(host: Host, settings: dict[str, dict[str, t.Any]], running: dict[str, str], flags: str) -> Kubelet:
    """What is planned for a kubelet that runs with flags, and whose owner has written others since."""
    start_with(host, {})
    lay(host, FLAGS, "")
    lay(host, OWN, f"KUBELET_EXTRA_ARGS={flags}\n")
    planned = Kubelet(host, {**FOUND, "flags": running}, settings, "w1")
    planned.plan()
    return planned


def test_what_a_restart_brings_that_was_written_before_is_told(host: Host) -> None:
    """And nothing where the kubelet is not restarted, or runs with what is written."""
    settings = {"podPidsLimit": SETTINGS["podPidsLimit"]}
    (told,) = restarted(host, settings, {"v": "2", "node-ip": "192.0.2.1"}, "--v=4 --max-pods=9").notes
    assert told == (
        "The kubelet of w1 was not restarted when its flags were changed: its restart now puts --max-pods=9 and --v=4 "
        "in force and takes --node-ip away."
    )
    assert restarted(host, settings, {"v": "4"}, "--v=4").notes == []
    assert restarted(host, settings, {"hostname-override": "w1"}, "--hostname-override=%l").notes == []
    assert restarted(host, {}, {"v": "2"}, "--v=4").notes == []
    secret = "--manifest-url-header=X:hidden"
    assert "hidden" not in str(restarted(host, settings, {}, secret).notes)


def test_a_flag_that_only_the_next_start_brings_counts(host: Host) -> None:
    """Of one that was taken out since the kubelet started nothing is to be waited for."""
    asks = {"rotate-server-certificates": "false"}
    assert restarted(host, SERVING, asks, "").asks
    start_with(host, asks)
    planned = Kubelet(host, FOUND, SERVING, "w1")
    planned.plan()
    assert not planned.asks


def test_a_flag_that_falls_short_and_only_the_running_kubelet_has_is_told(host: Host) -> None:
    lay(host, CONFIGURATION, "kind: KubeletConfiguration\nreadOnlyPort: 0\n")
    settings = {"readOnlyPort": IDLE["readOnlyPort"]}
    planned = restarted(host, settings, {"read-only-port": "10255"}, "")
    (told,) = planned.not_done
    assert told.startswith("The kubelet of w1 still runs with --read-only-port=10255, which is not among the flags of")
    assert restarted(host, settings, {"read-only-port": "0"}, "").not_done == []


@pytest.mark.parametrize(("written", "refused"), [("true", True), ("false", False)])
def test_what_a_kubelet_insists_on_from_its_next_start_counts(
    host: Host, tmp_path: Path, written: str, refused: bool
) -> None:
    """It does not insist yet; its restart by this run would be its end."""
    Path(host.path("/etc/sysctl.conf")).write_text("vm.overcommit_memory = 0\n", encoding="utf-8")
    (tmp_path / "kernel").mkdir()
    planned = insisting(host, tmp_path / "kernel", {"vm.overcommit_memory": "0"}, TEXTS[CONFIGURATION], {})
    lay(host, OWN, f"KUBELET_EXTRA_ARGS=--protect-kernel-defaults={written}\n")
    planned.plan()
    if not refused:
        assert planned.apply(Backup(host, "run-1"), service("", "running"), 60.0) is not None
        return
    with pytest.raises(HardeningError, match="insists on its kernel's settings"):
        planned.apply(Backup(host, "run-1"), service("running"), 60.0)
    assert texts(host)[CONFIGURATION] == TEXTS[CONFIGURATION]


IDLE = yaml.safe_load(templates.render("kubelet/configuration.yaml.j2", approver=True))["kubelet"]


@pytest.mark.parametrize(
    ("field", "flag", "written"),
    [
        ("0s", None, []),  # as kubeadm writes it: the default
        ("30m", None, []),
        ("-1s", None, [CONFIGURATION]),
        ("0s", "30m", []),
        ("0s", "0", ["/etc/default/kubelet"]),
    ],
)
def test_streams_that_never_end_are_ended(host: Host, field: str, flag: str | None, written: list[str]) -> None:
    """A flag's 0 is no limit, while the file's is the default."""
    name = "streamingConnectionIdleTimeout"
    configuration = {"kind": "KubeletConfiguration", name: field}
    lay(host, CONFIGURATION, yaml.safe_dump(configuration))
    flags = {} if flag is None else {"streaming-connection-idle-timeout": flag}
    start_with(host, {})
    lay(host, "/etc/default/kubelet", "".join(f"KUBELET_EXTRA_ARGS=--{key}={flag}\n" for key in flags))
    found = {**FOUND, "configuration": configuration, "flags": flags}
    planned = Kubelet(host, found, {name: IDLE[name]}, "w1")
    changes = planned.plan()
    assert [change.target for change in changes] == written
    assert [("4h0m0s" if one.target == CONFIGURATION else '=""') in str(one.after) for one in changes] == [True] * len(
        changes
    )
    assert planned.not_done == []


ENFORCED = yaml.safe_load(
    templates.render("kubelet/configuration.yaml.j2", kubeharden_profile="cis", approver=True, client_authority=True)
)["kubelet"]
ENFORCED = {field: data for field, data in ENFORCED.items() if "needs" not in data}
SUITE = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"


@pytest.mark.parametrize(
    ("before", "after", "control"),
    [
        ("--v=2 --read-only-port=10255", "--v=2", "kubelet-read-only-port"),
        ("--read-only-port 10255 --v=2", "--v=2", "kubelet-read-only-port"),
        ("--anonymous-auth --v=2", "--v=2", "kubelet-anonymous"),
        ("--authorization-mode=AlwaysAllow", "", "kubelet-authorization"),
        ("--event-qps=0", "", "kubelet-event-rate"),
        ("--rotate-server-certificates=false", "", "kubelet-serving-certificate"),
        # Of a list what is good of it stays: the owner allows less than the file does.
        (
            f"--tls-cipher-suites={SUITE},TLS_RSA_WITH_AES_128_CBC_SHA",
            f"--tls-cipher-suites={SUITE}",
            "kubelet-tls-cipher-suites",
        ),
        ("--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA", "", "kubelet-tls-cipher-suites"),
    ],
)
@pytest.mark.parametrize("path", [FLAGS, OWN])
def test_a_flag_that_falls_short_is_taken_out_of_its_file(
    host: Host, path: str, before: str, after: str, control: str
) -> None:
    """And the configuration counts: nothing is left to do, and nothing is told."""
    variable = "KUBELET_KUBEADM_ARGS" if path == FLAGS else "KUBELET_EXTRA_ARGS"
    start_with(host, {})
    lay(host, FLAGS, "KUBELET_KUBEADM_ARGS=\n")
    lay(host, path, f"# ours\n{variable}={before}\nOTHER=1\n")
    running = {one.name: one.effective for one in parse_arguments(before.split())}
    found = {**FOUND, "flags": running}
    planned = Kubelet(host, found, ENFORCED, "w1")
    changes = {change.target: change for change in planned.plan()}
    assert set(changes) == {CONFIGURATION, path}
    assert changes[path].after == f'# ours\n{variable}="{after}"\nOTHER=1\n'
    assert changes[path].controls == (control,)
    assert changes[path].restart == ("kubelet",)
    assert (planned.notes, planned.not_done) == ([], [])
    assert planned.asks
    was = {one: Path(host.path(one)).read_bytes() for one in (CONFIGURATION, path)}
    with pytest.raises(HardeningError, match="The old bytes are back"):
        planned.apply(Backup(host, "run-1"), service("", "auto-restart", "running"), 60.0)
    assert {one: Path(host.path(one)).read_bytes() for one in was} == was
    assert planned.apply(Backup(host, "run-2"), service("", "running"), 60.0) is not None
    again = Kubelet(host, {**found, "flags": {}}, ENFORCED, "w1")
    assert again.plan() == []


@pytest.mark.parametrize(
    "flags",
    [
        "--pod-max-pids=1024",
        "--tls-min-version=VersionTLS13",
        "--event-qps=10",
        "--client-ca-file=/srv/ca.crt",
        f"--tls-cipher-suites={SUITE}",
        "--read-only-port=0",
        "--max-pods=9",
    ],
)
def test_a_flag_that_is_as_good_or_stricter_stays(host: Host, flags: str) -> None:
    start_with(host, {})
    lay(host, OWN, f"KUBELET_EXTRA_ARGS={flags}\n")
    planned = Kubelet(host, FOUND, ENFORCED, "w1")
    assert [change.target for change in planned.plan()] == [CONFIGURATION]
    assert planned.not_done == []


def test_of_two_files_the_flag_goes_out_of_both(host: Host) -> None:
    start_with(host, {})
    lay(host, FLAGS, 'KUBELET_KUBEADM_ARGS="--read-only-port=10255"\n')
    lay(host, OWN, 'KUBELET_EXTRA_ARGS="--read-only-port=10256"\n')
    changes = Kubelet(host, FOUND, {"readOnlyPort": ENFORCED["readOnlyPort"]}, "w1").plan()
    assert {change.target for change in changes} == {FLAGS, OWN}
    # What does not count, since something as good beats it, is left.
    lay(host, OWN, 'KUBELET_EXTRA_ARGS="--read-only-port=0"\n')
    assert Kubelet(host, FOUND, {"readOnlyPort": ENFORCED["readOnlyPort"]}, "w1").plan() == []


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ('KUBELET_EXTRA_ARGS="--v=2 --read-only-port=10255 \\\n --max-pods=9"\n', True),
        ("KUBELET_EXTRA_ARGS=--read-only-port=10255 --node-labels='a\n", True),
        ("KUBELET_EXTRA_ARGS=--read-only-port=10255\n", False),
    ],
)
def test_a_file_that_is_not_understood_whole_or_not_read_is_left_and_told(host: Host, text: str, unit: bool) -> None:
    start_with(host, {} if unit else {"read-only-port": "10255"})
    if not unit:
        words = Path(host.path(UNIT)).read_text(encoding="utf-8").replace(" $KUBELET_EXTRA_ARGS", "")
        lay(host, UNIT, words)
    lay(host, OWN, text)
    planned = Kubelet(host, FOUND, {"readOnlyPort": ENFORCED["readOnlyPort"]}, "w1")
    assert planned.plan() == []
    (told,) = planned.not_done
    assert "--read-only-port=10255" in told
    assert "take the flag out there" in told


def test_a_flag_of_the_users_own_variable_stays_and_what_falls_short_behind_it_goes(host: Host) -> None:
    start_with(host, {})
    lay(host, OWN, "KUBELET_EXTRA_ARGS=--read-only-port=10256\n")
    settings = {"readOnlyPort": ENFORCED["readOnlyPort"]}
    planned = Kubelet(host, FOUND, settings, "w1", None, {"read-only-port": "10255"})
    changes = {change.target: str(change.after) for change in planned.plan()}
    assert changes == {FLAGS: 'KUBELET_KUBEADM_ARGS="--v=2 --read-only-port=10255"\n', OWN: 'KUBELET_EXTRA_ARGS=""\n'}
    (told,) = planned.not_done
    assert f"--read-only-port=10255 in {FLAGS} beats readOnlyPort" in told


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (
            "readOnlyPort: 10255  # the old monitoring\nmaxPods: 9\n",
            "readOnlyPort: 0\nmaxPods: 9\n",
        ),
        ("{readOnlyPort: 10255, maxPods: 9}\n", "{readOnlyPort: 0, maxPods: 9}\n"),
        ("authentication:\n  anonymous: {enabled: true}\n", "authentication:\n  anonymous: {enabled: false}\n"),
        ("tlsMinVersion: VersionTLS10\n", "tlsMinVersion: VersionTLS12\n"),
        (f"tlsCipherSuites: [{SUITE}, TLS_RSA_WITH_AES_128_CBC_SHA]\n", f"tlsCipherSuites:\n- {SUITE}\n"),
        ("serverTLSBootstrap: false\n", "serverTLSBootstrap: true\n"),
        ("tlsMinVersion: VersionTLS13\neventRecordQPS: 5\npodPidsLimit: 100\n", None),
    ],
)
def test_a_field_of_a_drop_in_that_falls_short_is_written_there(host: Host, text: str, after: str | None) -> None:
    """The last one that has it; what is stricter, or nobody's business, stays byte for byte."""
    first, last = f"{DROP_INS}/10.conf", f"{DROP_INS}/20.conf"
    lay(host, first, "readOnlyPort: 10256\nmaxPods: 3\n" if "readOnlyPort" in text else "maxPods: 3\n")
    lay(host, last, text)
    start_with(host, {"config-dir": DROP_INS})
    found = {**FOUND, "flags": {"config-dir": DROP_INS, "v": "2"}}
    planned = Kubelet(host, found, ENFORCED, "w1")
    changes = {change.target: change for change in planned.plan()}
    assert set(changes) == {CONFIGURATION, *([last] if after else [])}
    assert (planned.notes, planned.not_done, planned.asks) == ([], [], True)
    if after:
        assert yaml.safe_load(str(changes[last].after)) == yaml.safe_load(after)
        assert "# the old monitoring" in str(changes[last].after) or "# the" not in text
        assert changes[last].restart == ("kubelet",)
    planned.apply(Backup(host, "run-1"), service("", "running"), 60.0)
    assert Kubelet(host, found, ENFORCED, "w1").plan() == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"own_certificate": "/srv/corp.crt"}, "serving certificate /srv/corp.crt is the owner's and was kept"),
        ({"kubelet_authority": "/srv/ca.crt"}, "kube-apiserver verifies them by /srv/ca.crt"),
        ({"own_certificate": "/srv/corp.crt", "kubelet_authority": "/srv/ca.crt"}, "verifies them by /srv/ca.crt"),
        ({"names_refused": "it would ask for x, which is y"}, "would be refused: it would ask for x, which is y. Give"),
        ({"signer": False}, "nobody is known to sign them"),
        ({"gate_off": "--feature-gates"}, "RotateKubeletServerCertificate is switched off in --feature-gates"),
    ],
)
def test_what_the_owner_has_kubelets_serve_is_not_taken_over(given: dict[str, str], words: str) -> None:
    """An API server that goes by another authority would refuse logs and exec for good."""

    def rendered(**variables: t.Any) -> tuple[set[str], str]:
        known: dict[str, t.Any] = {"approver": True, **given, **variables}
        text = templates.render("kubelet/configuration.yaml.j2", **known)
        found = yaml.safe_load(text)
        return set(SERVING) & set(found["kubelet"]), " ".join(found.get("not_done", []))

    asks, told = rendered(kubeharden_profile="cis")
    assert asks == (set() if words else set(SERVING))
    assert words in told
    assert bool(words) == bool(told)
    # Where they are not to ask anyhow there is nothing to tell; in baseline they are where somebody approves already.
    assert rendered(kubeharden_profile="baseline") == (set(), "")
    assert rendered(kubeharden_profile="baseline", approved_before=True) == (asks, told)
    assert rendered(kubeharden_profile="cis", left_out=["kubelet-serving-certificate"])[1] == ""


@pytest.mark.parametrize(
    ("profile", "approver", "before", "asks", "told"),
    [
        ("baseline", True, False, False, False),
        ("baseline", True, True, True, False),
        ("baseline", False, True, True, False),
        ("baseline", False, False, False, False),
        ("cis", True, False, True, False),
        ("cis", False, True, True, False),
        ("cis", False, False, False, True),
    ],
)
def test_a_kubelet_is_told_to_ask_where_somebody_approves(
    profile: str, approver: bool, before: bool, asks: bool, told: bool
) -> None:
    given: dict[str, t.Any] = {"kubeharden_profile": profile, "approver": approver, "approved_before": before}
    found = yaml.safe_load(templates.render("kubelet/configuration.yaml.j2", **given))
    assert (set(SERVING) <= set(found["kubelet"])) == asks
    assert bool(set(SERVING) & set(found["kubelet"])) == asks
    sentences = found.get("not_done", [])
    assert ["nobody is known to approve their requests" in one for one in sentences] == ([True] if told else [])
    given["left_out"] = ["kubelet-serving-certificate"]
    found = yaml.safe_load(templates.render("kubelet/configuration.yaml.j2", **given))
    assert "not_done" not in found
    assert not set(SERVING) & set(found["kubelet"])


def test_a_flag_of_the_users_own_makes_it_ask(host: Host) -> None:
    lay(host, CONFIGURATION, "kind: KubeletConfiguration\n")
    assert planned_serving(host, {}, {}, **{"rotate-server-certificates": "true"}).asks
    assert not planned_serving(host, {}, {}, **{"rotate-server-certificates": "false"}).asks


def refuse(patch: pytest.MonkeyPatch, module: t.Any, path: str) -> None:
    """Let a file be one that cannot be written."""
    real = module.write_atomic

    def write(target: str, *arguments: t.Any, **options: t.Any) -> None:
        if target.endswith(path):
            raise HardeningError("KH201", f"{path} could not be written: the operation is not permitted.")
        real(target, *arguments, **options)

    patch.setattr(module, "write_atomic", write)


def test_a_file_that_cannot_be_written_takes_the_others_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = made(host, v="4")
    planned.plan()
    refuse(monkeypatch, kubelet, FLAGS)
    with pytest.raises(
        HardeningError, match=r"kubeadm-flags.env could not be .* was not restarted\. The old bytes are"
    ):
        planned.apply(Backup(host, "run-1"), service("running"), 60.0)
    assert texts(host) == TEXTS
    assert not Path(host.path(SYSCTLS)).exists()
    assert Journal(host).read() == {}


def test_a_file_that_does_not_go_back_is_named_and_the_next_run_tries_once_more(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = made(host, v="4")
    planned.plan()
    with monkeypatch.context() as patch:
        refuse(patch, record, CONFIGURATION)
        with pytest.raises(HardeningError) as caught:
            planned.apply(Backup(host, "run-1"), service("", "auto-restart", "running"), 60.0)
    assert f"Not all of the old bytes are back: {CONFIGURATION} did not go back" in str(caught.value)
    assert "The old bytes are back" not in str(caught.value)
    assert texts(host)[FLAGS] == TEXTS[FLAGS]
    (said,) = kubelet.recover(host, service("", "running"), 60.0)
    assert f"{CONFIGURATION} went back" in said
    assert FLAGS not in said
    assert texts(host) == TEXTS
    assert Journal(host).read() == {}


def died(host: Host, patch: pytest.MonkeyPatch) -> None:
    """Leave what a run leaves that dies before its proof."""

    def die(_service: Service, _limit: float) -> float:
        raise KeyboardInterrupt

    planned = made(host, v="4")
    planned.plan()
    with patch.context() as dying:
        dying.setattr(kubelet, "restart", die)
        with pytest.raises(KeyboardInterrupt):
            planned.apply(Backup(host, "run-1"), service("running"), 60.0)


def test_what_a_person_mends_after_the_old_kubelet_did_not_come_up_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    died(host, monkeypatch)
    with pytest.raises(HardeningError, match=r"went back to what it was, but the kubelet is not well"):
        kubelet.recover(host, service("", "auto-restart"), 60.0)
    Path(host.path(CONFIGURATION)).write_text("mended: true\n", encoding="utf-8")
    assert kubelet.recover(host, service("running"), 60.0) == []
    assert texts(host)[CONFIGURATION] == "mended: true\n"


def test_a_configuration_that_somebody_else_wrote_since_keeps_the_kernels_settings(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may insist on them: kubeadm upgrade lays instance-config.yaml over what it writes."""
    died(host, monkeypatch)
    upgraded = "kind: KubeletConfiguration\nprotectKernelDefaults: true\n"
    Path(host.path(CONFIGURATION)).write_text(upgraded, encoding="utf-8")
    foretold = recovery.foretell(host)
    assert f"the next run puts {INSTANCE}, {FLAGS} back first" in foretold[0]
    said = kubelet.recover(host, service("", "running"), 60.0)
    assert said[1:] == foretold[1:]
    assert said[1].startswith(f"{CONFIGURATION} has been changed by someone else since run run-1 died there")
    assert f"{SYSCTLS} stays with it" in said[2]
    assert texts(host) == {**TEXTS, CONFIGURATION: upgraded}
    assert Path(host.path(SYSCTLS)).exists()
    assert kubelet.recover(host, service("running"), 60.0) == []


@pytest.mark.parametrize(("now", "back"), [("10", {"kernel.panic": "0"}), ("60", {}), ("0", {})])
def test_a_setting_of_the_kernel_that_somebody_else_changed_since_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch, now: str, back: dict[str, str]
) -> None:
    monkeypatch.setattr(Sysctls, "value", lambda _sysctls, _name: now)
    pending = {"run_id": "r", "saved": [], "after": {}, "sysctls": {"kernel.panic": "0"}}
    assert kubelet.unproven(host, {**pending, "sysctls_after": {"kernel.panic": "10"}})[1] == back
    assert kubelet.unproven(host, pending)[1] == {"kernel.panic": "0"}  # an older journal


def test_a_kubelet_whose_files_are_all_somebody_elses_is_not_restarted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    died(host, monkeypatch)
    for path in (CONFIGURATION, INSTANCE, FLAGS):
        Path(host.path(path)).write_text("# theirs\n", encoding="utf-8")
    said = kubelet.recover(host, service("", "auto-restart"), 60.0)
    assert said[0] == "Run run-1 died before its kubelet was proven: there was nothing to put back."
    assert Journal(host).read() == {}


def test_a_journal_that_does_not_say_what_the_run_wrote_goes_back_whole(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    died(host, monkeypatch)
    pending = Journal(host).read()["kubelet"]
    Journal(host).note(kubelet={key: value for key, value in pending.items() if "after" not in key})
    Path(host.path(CONFIGURATION)).write_text("# theirs\n", encoding="utf-8")
    assert kubelet.recover(host, service("", "running"), 60.0)
    assert texts(host) == TEXTS


def test_a_run_that_died_is_undone_by_the_next(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    died(host, monkeypatch)
    assert texts(host) != TEXTS
    (foretold,) = recovery.foretell(host)
    assert CONFIGURATION in foretold
    (told,) = kubelet.recover(host, service("", "running"), 60.0)
    assert FLAGS in told
    assert texts(host) == TEXTS
    assert not Path(host.path(SYSCTLS)).exists()
    assert kubelet.recover(host, service("running"), 60.0) == []


def remembering(host: Host, said: int | None, found: t.Mapping[str, t.Any] | None = None) -> Kubelet:
    """A kubelet whose owner allows less processes than the ConfigMap will say."""
    lay(host, CONFIGURATION, "kind: KubeletConfiguration\npodPidsLimit: 1024\n")
    settings = {"podPidsLimit": {"keep": 4096, "positive": True, "control": "pids"}}
    return Kubelet(host, found or FOUND, settings, "w1", None, None, {"podPidsLimit": said})


def test_what_the_owner_has_stricter_on_one_node_stays_through_an_upgrade(host: Host) -> None:
    (change,) = remembering(host, 4096).plan()
    assert (change.target, change.controls, change.restart) == (INSTANCE, ("pids",), ())
    expected = TEXTS[INSTANCE] + "podPidsLimit: 1024\n"
    assert change.after == expected
    lay(host, INSTANCE, expected)
    assert remembering(host, 4096).plan() == []


def test_what_the_configmap_says_too_needs_no_place_of_its_own(host: Host) -> None:
    assert remembering(host, 1024).plan() == []


def test_a_configuration_that_kubeadm_does_not_write_is_not_taken_away(host: Host) -> None:
    lay(host, "/srv/config.yaml", "kind: KubeletConfiguration\npodPidsLimit: 1024\n")
    assert remembering(host, 4096, {**FOUND, "configuration_file": "/srv/config.yaml"}).plan() == []


def test_a_kubeadm_without_that_place_takes_the_owners_away_which_is_told(host: Host) -> None:
    Path(host.path(INSTANCE)).unlink()
    planned = remembering(host, None)
    assert planned.plan() == []
    (said,) = planned.notes
    assert said.startswith(f"The kubeadm of w1 has no {INSTANCE} in which to keep podPidsLimit")
    assert said.endswith("so kubeadm upgrade takes it away: put yours back afterwards.")
