# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container logs and the kubelet's journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeharden.core.plugins.module_utils.probes.pod_logs import (
    kubelet_journal,
    last_lines,
    last_words,
)

UID = "0635d2bde46a90f18f2c155962ac96e2"


def line(text: str, tag: str = "F", stream: str = "stderr") -> str:
    return f"2026-11-24T10:00:00.123456789Z {stream} {tag} {text}\n"


def lay(root: Path, content: str, attempt: str = "0.log", uid: str = UID, component: str = "kube-apiserver") -> None:
    folder = root / f"kube-system_kube-apiserver-cp1_{uid}" / component
    folder.mkdir(parents=True, exist_ok=True)
    (folder / attempt).write_text(content)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", []),
        (line("a") + line("b"), ["a", "b"]),
        (line("a", "P") + line("b", "P") + line("c"), ["abc"]),
        (line("a", "P", "stdout") + line("x") + line("b", "F", "stdout"), ["x", "ab"]),
        (line("cut", "P"), ["cut"]),
        (line("") + line("  ") + line("a"), ["a"]),
        (line("tags", "F:more"), ["tags"]),
        ("2026-11-24T10:00:00.123456789Z stderr F\n" + line("a"), ["a"]),
        ("failed to try resolving symlinks\n", ["failed to try resolving symlinks"]),
        (line("  indented \tE1124 x"), ["  indented \tE1124 x"]),
        (line("password=hunter22"), ["password=[masked]"]),
        (line("1") + line("2") + line("3") + line("4") + line("5") + line("6"), ["2", "3", "4", "5", "6"]),
    ],
)
def test_lines(tmp_path: Path, content: str, lines: list[str]) -> None:
    lay(tmp_path, content)
    assert last_lines(UID, "kube-apiserver", str(tmp_path)) == lines


def test_the_newest_attempt_of_this_pod_that_says_anything(tmp_path: Path) -> None:
    lay(tmp_path, line("two"), "2.log")
    lay(tmp_path, line("ten"), "10.log")
    lay(tmp_path, "", "11.log")
    lay(tmp_path, line("rotated"), "12.log.20261124-100000")
    lay(tmp_path, line("zipped"), "13.log.20261124-100000.gz")
    lay(tmp_path, line("other pod"), "99.log", uid="1" + UID[1:])
    lay(tmp_path, line("other container"), "99.log", component="sidecar")
    assert last_lines(UID, "kube-apiserver", str(tmp_path)) == ["ten"]


@pytest.mark.parametrize("uid", ["", "2", UID[:-1], "nope"])
def test_no_log(tmp_path: Path, uid: str) -> None:
    lay(tmp_path, line("a"))
    assert last_lines(uid, "kube-apiserver", str(tmp_path)) == []
    assert last_lines(UID, "kube-apiserver", str(tmp_path / "absent")) == []
    assert last_words(uid, "kube-apiserver", str(tmp_path)) == ""


def test_a_large_log_is_read_from_its_end_only(tmp_path: Path) -> None:
    lay(tmp_path, line("x" * 1000) * 5000 + line("end"))
    lines = last_lines(UID, "kube-apiserver", str(tmp_path), count=1000)
    assert 50 < len(lines) < 70
    assert lines[0] == "x" * 1000
    assert lines[-1] == "end"


def test_bytes_that_are_no_text_and_a_very_long_line(tmp_path: Path) -> None:
    lay(tmp_path, "")
    path = next(tmp_path.rglob("0.log"))
    path.write_bytes(line("y" * 5000).encode() + b"2026-11-24T10:00:00Z stdout F \xff\xfe\n")
    assert last_lines(UID, "kube-apiserver", str(tmp_path)) == ["y" * 2000, "\ufffd\ufffd"]


NO_URL = 'invalid value "10.0.0.11:2379" for flag -advertise-client-urls: parse "10.0.0.11:2379": first path segment'


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["I1124 10:00:00.1 1 a.go:1] hello", "Error: unknown flag: --no-such-flag"],
            "Error: unknown flag: --no-such-flag",
        ),
        (
            ["flag provided but not defined: -no-such-flag", "Usage:", "  etcd [flags]"],
            "flag provided but not defined: -no-such-flag",
        ),
        (
            [
                NO_URL,
                "Usage:",
                *["  --log-level 'info'", "    Only supports debug, info, warn, error, panic, or fatal."] * 100,
            ],
            NO_URL,
        ),
        (
            ['invalid boolean value "maybe" for -client-cert-auth: parse error', "Usage:", "  etcd [flags]"],
            'invalid boolean value "maybe" for -client-cert-auth: parse error',
        ),
        (["flag needs an argument: -max-snapshots", "Usage:", "x"], "flag needs an argument: -max-snapshots"),
        (["panic: feature gate", "", "goroutine 1 [running]:", "main.main()"], "panic: feature gate"),
        (
            [
                "F1124 10:00:00.1 1 a.go:1] cannot",
                *["goroutine 1 [running]:", "k8s.io/a.b(0x1)", "\t/a/error.go:1"] * 100,
            ],
            "F1124 10:00:00.1 1 a.go:1] cannot",
        ),
        # The panic that comes of it does not say which.
        (
            ['{"level":"panic","msg":"no such","error":"x"}', "panic: no such", "", "goroutine 1 [running]:"],
            '{"level":"panic","msg":"no such","error":"x"}',
        ),
        (
            ['{"level":"info","msg":"Running"}', '{"level":"warn","msg":"failed to verify flags","error":"x"}', "bye"],
            '{"level":"warn","msg":"failed to verify flags","error":"x"}',
        ),
        (["an error of long ago", *["words"] * 20], "words"),
        (
            ['E1124 10:00:00.000000       1 run.go:72] "command failed" err="x"', "I1124 trailing"],
            'E1124 10:00:00.000000       1 run.go:72] "command failed" err="x"',
        ),
        (['{"level":"fatal","msg":"a"}', '{"level":"info","msg":"b"}'], '{"level":"fatal","msg":"a"}'),
        (["just", "words"], "words"),
    ],
)
def test_last_words(tmp_path: Path, lines: list[str], words: str) -> None:
    lay(tmp_path, "".join(line(text) for text in lines))
    assert last_words(UID, "kube-apiserver", str(tmp_path)) == words


def test_the_words_of_an_attempt_before_those_that_count_are_not_the_new_ones(tmp_path: Path) -> None:
    """A pod stays where only a file has changed: until the new process says something, its log is the old one's."""
    lay(tmp_path, line("Error: of the old one"), "3.log")
    lay(tmp_path, "", "4.log")
    assert last_words(UID, "kube-apiserver", str(tmp_path)) == "Error: of the old one"
    assert last_words(UID, "kube-apiserver", str(tmp_path), first=4) == ""
    lay(tmp_path, line("Error: of the new one"), "4.log")
    assert last_words(UID, "kube-apiserver", str(tmp_path), first=4) == "Error: of the new one"


def klog(seconds: int, text: str) -> str:
    return f"E1124 10:32:{seconds:02}.235967     219 pod_workers.go:1338] {text}"


def back_off(seconds: int, pause: str, pod: str = "kube-apiserver-cp1") -> str:
    return klog(
        seconds,
        f'"Error syncing pod, skipping" err="failed to \\"StartContainer\\" with CrashLoopBackOff: \\"back-off {pause} '
        f'restarting failed container" pod="kube-system/{pod}"',
    )


def mount(seconds: int, pause: str) -> str:
    return klog(
        seconds,
        'Operation for "{volumeName:kubernetes.io/host-path/x}" failed. No retries permitted until '
        f"2026-11-24 10:32:{seconds}.528414 +0000 UTC m=+60.{seconds} (durationBeforeRetry {pause}). Error: "
        'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /does/not/exist is not a directory',
    )


NOISE = [
    klog(1, '"Failed to get status for pod" err="CrashLoopBackOff"'),
    klog(1, '"Unable to write event (may retry after sleeping)" err="ErrImagePull"'),
    klog(1, '"Failed deleting a mirror pod" err="MountVolume"'),
    klog(1, '"SyncLoop ADD" source="file" pods=["kube-system/kube-apiserver-cp1"]'),
]
GARBAGE = klog(
    3, '"Could not process manifest file" err="/etc/kubernetes/manifests/x.yaml: couldn\'t parse as pod(...)"'
)


def test_journal_keeps_what_matters_and_the_newest_of_repetitions() -> None:
    output = [*NOISE, back_off(2, "10s"), GARBAGE, mount(10, "500ms"), mount(12, "1s"), back_off(40, "20s"), *NOISE]
    calls: list[list[str]] = []

    def run(args: list[str]) -> tuple[int, str, str]:
        calls.append(args)
        return 0, "\n".join(output), ""

    assert kubelet_journal(run, 1795516340.9) == [GARBAGE, mount(12, "1s"), back_off(40, "20s")]
    assert kubelet_journal(run, 0, count=1) == [back_off(40, "20s")]
    assert kubelet_journal(run, 0, about="x.yaml") == [GARBAGE]
    assert kubelet_journal(run, 0, about="absent") == []
    assert calls[0][:5] == ["journalctl", "--unit", "kubelet", "--since", "@1795516340"]


@pytest.mark.parametrize(
    "text",
    [
        '"Failed to admit pod" reason="NodePorts" message="Pod was rejected: node(s) didn\'t have free ports"',
        '"Failed to create sandbox for pod" err="CreatePodSandboxError"',
        'container start failed in pod: RunContainerError: exec: "nonsense": executable file not found in $PATH',
        'err="failed to \\"StartContainer\\" with ImagePullBackOff"',
    ],
)
def test_what_matters(text: str) -> None:
    assert kubelet_journal(lambda _args: (0, klog(1, text) + "\n", ""), 0) == [klog(1, text)]


def no_journalctl(args: list[str]) -> tuple[int, str, str]:
    raise FileNotFoundError(2, "No such file or directory", args[0])


def test_a_journal_that_cannot_be_read_says_so() -> None:
    begin = "(the journal of kubelet cannot be read: "
    assert kubelet_journal(lambda _args: (1, "", "No journal files were found.\n"), 0) == [
        begin + "No journal files were found.)"
    ]
    assert kubelet_journal(lambda _args: (3, "", ""), 0) == [begin + "journalctl ended with 3)"]
    assert kubelet_journal(no_journalctl, 0) == [begin + "journalctl: No such file or directory)"]
