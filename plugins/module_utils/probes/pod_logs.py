# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last words of a component: its container's log file, and the kubelet's journal, neither of which needs the API.

Lines are for people and reports: secrets in them are masked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Protocol

from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

ROOT = "/var/log/pods"

_TAIL = 64 * 1024  # bytes read from the end of a log
_LONGEST_LINE = 2000  # characters shown of one line

# TIME stream tags text; the first tag is P for a part of a line and F for its end (the kubelet's CRI log format).
_CRI_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])\S*(?: (.*))?")

# How components say why they end: cobra, klog's "command failed" and fatal lines, Go's flags and panics, etcd's log.
_REASON = re.compile(
    r'Error: |panic: |fatal error: |error: |F\d{4} |E\d{4} .*"command failed"|\{"level":"(?:fatal|panic)"'
    r'|flag provided but not defined|flag needs an argument: |bad flag syntax: |invalid (?:boolean )?value ".*" for '
)
# etcd's log says with what it panics, of which the panic itself has the half.
_LOGGED_PANIC = '{"level":"panic"'
# What else a line of trouble has in it, where none has such a form; of the last lines only, which are near the end.
_TROUBLE = re.compile(r"rror|failed|panic")
_NEAR = 20
#: How many lines are looked at: a stack of Go's, or a usage text, may come after what says why.
LINES = 500

_KUBELET_MATTERS = re.compile(
    r"CrashLoopBackOff|ErrImage|ImagePullBackOff|StartError|RunContainerError|CreateContainerError"
    r"|CreateContainerConfigError|CreatePodSandbox|MountVolume|couldn't parse as pod|[Cc]ould not process manifest"
    r"|didn't have free ports|Failed to .*ports|Failed to admit pod"
)
_KUBELET_NOISE = re.compile(r"Failed to get status for pod|Unable to write event|Failed deleting a mirror pod")
# What differs when the kubelet says the same thing again: klog's header, times, and the growing pauses.
_KUBELET_REPEATS = re.compile(
    r"^[IWEF]\d{4} [\d:.]+\s+\d+ |until \d{4}-.*? m=\+\S+|durationBeforeRetry [^)]*|back-off \S+"
)


class Run(Protocol):
    """Runs a command; gives return code, standard output and standard error, as AnsibleModule.run_command does."""

    def __call__(self, args: list[str]) -> tuple[int, str, str]: ...


def last_lines(pod_uid: str, component: str, root: str = ROOT, count: int = 5, first: int = 0) -> list[str]:
    """The last ``count`` lines of the newest attempt of container ``component``; of the one before when it has none.

    ``pod_uid`` ends the name of the pod's folder (of a static pod: config.hash), and of attempts before the ``first``
    nothing is read. Empty when there is no log: the container never started, or the kubelet has removed it.
    """
    for path in _attempts(pod_uid, component, root, first):
        lines = _lines(path)
        if lines:
            return [mask(line)[:_LONGEST_LINE] for line in lines[-count:]]
    return []


def last_words(pod_uid: str, component: str, root: str = ROOT, first: int = 0) -> str:
    """The one line that most likely says why the component ended, empty without a log; ``first`` is as above."""
    return telling(last_lines(pod_uid, component, root, LINES, first))


def telling(lines: Sequence[str]) -> str:
    """The one line that most likely says why its writer ended, empty where there is none.

    It is the last line that has the form of a reason, since a usage text or a stack trace may follow; else the last one
    near the end that is about trouble, else the last line.
    """
    reasons = [line for line in lines if _REASON.match(line)]
    logged = [line for line in reasons if line.startswith(_LOGGED_PANIC)]
    trouble = [line for line in lines[-_NEAR:] if _TROUBLE.search(line)]
    return (logged or reasons or trouble or list(lines) or [""])[-1]


def kubelet_journal(
    run: Run, since: float, about: str | None = None, count: int = 20, unit: str = "kubelet"
) -> list[str]:
    """What the kubelet said since ``since`` (seconds since the epoch) about pods that do not come up.

    The newest ``count`` lines; ``about`` keeps those that hold it: a pod's name, uid or manifest path. Of what it says
    again and again the newest line stays. This is asked to explain a failure, which another one must not hide: a
    journal that cannot be read is one line that says so.
    """
    arguments = ["journalctl", "--unit", unit, "--since", f"@{int(since)}", "--output", "cat", "--no-pager", "--quiet"]
    try:
        code, output, error = run([*arguments, "--lines", "5000"])
    except OSError as failure:
        code, output, error = 127, "", f"journalctl: {failure.strerror}"
    if code != 0:
        reason = mask(error.strip().splitlines()[-1]) if error.strip() else f"journalctl ended with {code}"
        return [f"(the journal of {unit} cannot be read: {reason})"]
    kept: dict[str, str] = {}
    for line in output.splitlines():
        if _KUBELET_MATTERS.search(line) and not _KUBELET_NOISE.search(line) and (about is None or about in line):
            said = _KUBELET_REPEATS.sub("", line)
            kept.pop(said, None)  # the newest stays, at the end
            kept[said] = mask(line)[:_LONGEST_LINE]
    return list(kept.values())[-count:]


def _attempts(pod_uid: str, component: str, root: str, first: int) -> list[str]:
    """The container's log files, newest attempt first. Rotated ones have a date after ``.log`` and are left out."""
    found: list[tuple[int, str]] = []
    for pod in _list(root):
        if pod_uid and pod.rpartition("_")[2] == pod_uid:
            folder = os.path.join(root, pod, component)
            for name in _list(folder):
                attempt, extension = os.path.splitext(name)
                if extension == ".log" and attempt.isdigit() and int(attempt) >= first:
                    found.append((int(attempt), os.path.join(folder, name)))
    return [path for _dummy, path in sorted(found, reverse=True)]


def _lines(path: str) -> list[str]:
    """The lines at the end of a CRI log, parts joined. A line of another form is kept as it is."""
    lines: list[str] = []
    parts: dict[str, str] = {}
    for raw in _tail(path).splitlines():
        match = _CRI_LINE.fullmatch(raw)
        if match is None:
            lines.append(raw)
            continue
        stream, tag, text = match.groups(default="")
        parts[stream] = parts.get(stream, "") + text
        if tag == "F":
            lines.append(parts.pop(stream))
    lines.extend(parts.values())  # a line that its writer did not finish
    return [line for line in lines if line.strip()]


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            data = stream.read(_TAIL)
    except FileNotFoundError:  # the kubelet removed it after it was listed
        return ""
    if size > _TAIL:
        data = data.partition(b"\n")[2]  # the first line is cut
    return data.decode("utf-8", "replace")


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
