# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller knows of itself and of the run."""

from __future__ import annotations

import os
import pathlib
import re
import secrets
import socket
import time
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.components.proxyconfig import FIELD_OF_FLAG
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import (
    flag_name,
    integer,
    takes_several,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.bootstrap import LONGEST, SHORTEST
from ansible_collections.kubeharden.core.plugins.plugin_utils.nearest import nearest

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
PREFIX = "kubeharden_"
#: Public names that a later version brings; until then they would be without effect, which nobody must find out late.
RESERVED = re.compile(r"kubeharden_rotation\w*$")
#: The default of kubeharden_batch: one node shows whether it comes back before a quarter of them is changed at a time.
BATCH = ("1", "25%")
_BATCH = re.compile(r"[1-9][0-9]{0,5}|(?:[1-9][0-9]?|100)%", re.ASCII)
_PATCH = re.compile(r"\d+\.\d+\.\d+")
_FLAG = re.compile(r"[a-z][a-z0-9_-]*")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Components that the user's flags may be given for.
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet", "kube-proxy")
#: Of etcd, what says which member of which cluster a host is: another value makes another etcd.
_MEMBER = re.compile(
    r"(name|data-dir|wal-dir|config-file|force-new-cluster|initial-.+|discovery.*|(listen|advertise)-(client|peer)-urls)$"
)
#: Components that serve nothing but on their secure port.
_SERVE_SECURELY = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
#: Flags of the kubelet that say where everything else of it is.
_KUBELET_REFUSED = ("bootstrap-kubeconfig", "config", "config-dir", "kubeconfig")
#: What an environment file of a unit passes on as it is written.
_PLAIN_VALUE = re.compile(r"[^\s\"'\\$`]*")


def new_run_id(now: float) -> str:
    """Return UTC time and four random hexadecimal digits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-" + secrets.token_hex(2)


def identity() -> tuple[str, str]:
    """Return name and boot of this controller, and the process of this run with its start time and its pid namespace.

    By these a controller recognises its own dead runs; where /proc is missing it never does.
    """
    boot = _first_line("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot}", f"{process_of(os.getppid())} {_pid_namespace()}".strip()


def _pid_namespace() -> str:
    """Return which numbers of processes this process sees: two containers of one machine may have its name and boot."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""  # no Linux, so no /proc either


def process_of(pid: int) -> str:
    """Return a process's number and start time, empty where it does not exist."""
    fields = _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return f"{pid} {fields[19]}" if len(fields) > 19 else ""


def is_dead(holder: t.Mapping[str, str], controller: str) -> bool:
    """Return whether a lock's holder was a run of this controller whose process has ended."""
    fields = holder.get("process", "").split()
    if holder.get("controller") != controller or len(fields) < 2 or fields[2:] not in ([], [_pid_namespace()]):
        return False
    return process_of(int(fields[0])) != " ".join(fields[:2])


def _first_line(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").split("\n", 1)[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_ours(playbooks: t.Sequence[str]) -> bool:
    """Return whether playbooks, as the command line names them, are ours; else one of the user's imports ours."""
    own = COLLECTION / "playbooks"
    places = (COLLECTION, own)
    return all(
        name.startswith("kubeharden.core.")
        or (pathlib.Path(name).resolve().parent in places and (own / os.path.basename(name)).exists())
        for name in playbooks
    )


def specification() -> dict[str, dict[str, t.Any]]:
    """Return the public variables with their types and choices, from the one place where they are specified.

    No entry point of the role has its name, so that Ansible leaves it to us to hold values against it.
    """
    text = (COLLECTION / "roles" / "kubeharden" / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, dict[str, t.Any]] = yaml.safe_load(text)["argument_specs"]["variables"]["options"]
    return options


def known_variables() -> list[str]:
    """Return the names of the public variables."""
    return sorted(specification())


def problems_with_names(names: t.Iterable[str], known: t.Sequence[str]) -> list[str]:
    """Return a sentence for each variable with our prefix that has no effect."""
    problems = []
    for name in sorted(set(names)):
        if not name.startswith(PREFIX) or name in known:
            continue
        if RESERVED.match(name):
            problems.append(f"{name} is reserved and has no effect in this version.")
            continue
        problems.append(f"There is no variable {name}; {nearest(name, known, 'docs/variables.md lists them')}.")
    return problems


def problems_with_run_id(run_id: str) -> list[str]:
    """Return a sentence where a run's name is none: directories are called after it."""
    if _RUN_ID.fullmatch(run_id):
        return []
    return [f"kubeharden_run_id: {run_id} is no name of a run; take letters, digits, dots, dashes and underscores."]


def problems_with_bootstrap_minutes(minutes: t.Any) -> list[str]:
    """Return a sentence where kubeharden_pki_bootstrap_minutes, which is a whole number, is none for a token."""
    if SHORTEST <= int(minutes) <= LONGEST:
        return []
    return [f"kubeharden_pki_bootstrap_minutes is {minutes}; it must be from {SHORTEST} to {LONGEST}."]


def problems_with_newest_versions(newest: t.Any) -> list[str]:
    """Return a sentence for each entry of kubeharden_newest_versions that says nothing."""
    if not isinstance(newest, dict):
        return ["kubeharden_newest_versions must be a mapping such as {'1.37': '1.37.2'}."]
    return [
        f"kubeharden_newest_versions: {minor}: {patch} says no patch of a minor version; write '1.37': '1.37.2'."
        for minor, patch in newest.items()
        if not isinstance(patch, str) or not _PATCH.fullmatch(patch) or patch.rpartition(".")[0] != str(minor)
    ]


def batch_of(given: t.Any) -> list[str]:
    """Return kubeharden_batch as a list of texts; one number, or a text with commas, is a list too, as to Ansible."""
    return [str(one).strip() for one in (given if isinstance(given, (list, tuple)) else str(given).split(","))]


def problems_with_batch(batch: t.Sequence[str]) -> list[str]:
    """Return a sentence where kubeharden_batch says no number of hosts: Ansible would take them all at once."""
    wrong = [one for one in batch if not _BATCH.fullmatch(one)]
    if batch and not wrong:
        return []
    named = ", ".join(wrong) or "an empty list"
    return [
        f"kubeharden_batch: {named} says no number of hosts; write numbers from 1 on, or percentages, such as [1, 25%]."
    ]


def batch_sizes(batch: t.Sequence[str], count: int) -> list[int]:
    """Return how many hosts are changed at a time, of so many in all, as Ansible counts them."""
    sizes: list[int] = []
    while sum(sizes) < count:
        text = batch[min(len(sizes), len(batch) - 1)]
        size = int(int(text[:-1]) / 100.0 * count) or 1 if text.endswith("%") else int(text)
        sizes.append(min(size, count - sum(sizes)))
    return sizes


def bounded(sizes: t.Iterable[int], most: int) -> list[int]:
    """Return batches of so many hosts as parts of at most so many each, in the same order."""
    return [min(most, size - start) for size in sizes for start in range(0, size, most)]


def _problems_with_list(component: str, flag: str, values: t.Sequence[t.Any]) -> list[str]:
    """Return what is wrong with a list of values, of which each is to be an occurrence of the flag."""
    if component not in CONTROL_PLANE or not takes_several(component, flag_name(flag)):
        return [f"kubeharden_extra_flags: {component} {flag} takes one value and no list; write it as one text."]
    if not values or any(isinstance(one, (dict, list)) or one is None for one in values):
        return [f"kubeharden_extra_flags: the list of {component} {flag} must have texts, and at least one."]
    return []


def problems_with_extra_flags(extra: t.Any) -> list[str]:
    """Return a sentence for each thing in kubeharden_extra_flags that cannot be done."""
    if not isinstance(extra, dict):
        return ["kubeharden_extra_flags must be a mapping of component to flags."]
    problems = []
    for component, flags in extra.items():
        if component not in COMPONENTS:
            hint = nearest(component, COMPONENTS)
            problems.append(f"kubeharden_extra_flags: there is no component {component}; {hint}.")
        if not isinstance(flags, dict):
            problems.append(f"kubeharden_extra_flags: {component} must be a mapping of flag to value.")
            continue
        for flag, value in flags.items():
            problems.extend(_problems_with_flag(component, str(flag), value))
    return problems


def _problems_with_flag(component: str, flag: str, value: t.Any) -> list[str]:
    if flag.startswith("-"):
        return [f"kubeharden_extra_flags: write {flag.lstrip('-')} instead of {flag} for {component}."]
    if not _FLAG.fullmatch(flag):
        return [f"kubeharden_extra_flags: {flag} is no name of a flag; give the value of {component} beside it."]
    if flag.replace("_", "-") == "encryption-provider-config":
        return ["kubeharden_extra_flags: encryption-provider-config is refused: it would make Secrets unreadable."]
    if component == "etcd" and _MEMBER.match(flag.replace("_", "-")):
        return [f"kubeharden_extra_flags: {flag} of etcd is refused: it says which member of which cluster a host is."]
    if component in _SERVE_SECURELY and flag.replace("_", "-") == "secure-port" and integer(str(value)) == 0:
        return [f"kubeharden_extra_flags: {flag} of {component} must not be 0, with which it would not serve."]
    if component == "kube-proxy" and flag.replace("_", "-") not in FIELD_OF_FLAG:
        return [f"kubeharden_extra_flags: kube-proxy reads its configuration only, which has no field for {flag}."]
    if component == "kubelet" and flag.replace("_", "-") in _KUBELET_REFUSED:
        return [f"kubeharden_extra_flags: {flag} of the kubelet is refused: it would start with another configuration."]
    if component == "kubelet" and isinstance(value, str) and not _PLAIN_VALUE.fullmatch(value):
        return [f"kubeharden_extra_flags: the value of kubelet {flag} must be without blanks, quotes, \\, $ and `."]
    if isinstance(value, list):
        return _problems_with_list(component, flag, value)
    if isinstance(value, dict) or value is None:
        return [f"kubeharden_extra_flags: the value of {component} {flag} must be a text, a number or true or false."]
    return []
