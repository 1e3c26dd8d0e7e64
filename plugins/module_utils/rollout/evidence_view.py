# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How verify looks at a host: its processes, the arguments that they run with, and files as they see them."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    effective_values,
    kind_of,
    occurrences,
    parse_arguments,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, moved, normal
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text
from ansible_collections.kubeharden.core.plugins.module_utils.probes import belonging, processes

#: Bytes of a file with certificates that are still read.
LARGEST = 1 << 20
KUBELET_PKI = "/var/lib/kubelet/pki"
#: Names a certificate, its key and, behind a colon, the names to which it is shown.
SNI_FLAG = "tls-sni-cert-key"

#: How etcd's variables begin: each flag has one, which counts where the flag is absent.
ETCD_PREFIX = "ETCD_"
#: The flags of etcd that are judged or say where to look: the only ones whose variables' values are collected.
ETCD_FLAGS = frozenset({
    "advertise-client-urls", "auto-tls", "cert-file", "cipher-suites", "client-cert-auth", "config-file", "data-dir",
    "enable-pprof", "initial-advertise-peer-urls", "key-file", "listen-client-http-urls", "listen-client-urls",
    "listen-metrics-urls", "listen-peer-urls", "peer-auto-tls", "peer-cert-file", "peer-client-cert-auth",
    "peer-key-file", "peer-trusted-ca-file", "tls-min-version", "trusted-ca-file",
})  # fmt: skip

_NOT_LIVE = "no process belongs to a directory that stands for a host"


class View:
    """What can be seen of one host.

    Args:
        host: The host's file system.
        proc: Where processes are seen.

    Attributes:
        processes: By component, its oldest process.
        strangers: By component, how many processes are called like it and are none of the cluster's.
        pods: By component that a static pod runs, its image, mounts and variables; filled in by who reads manifests.
        privilege: Why something may not be seen, empty where everything may.
    """

    def __init__(self, host: Host, proc: str = "/proc") -> None:
        self.host = host
        self.proc = proc
        self.processes: dict[str, processes.Process] = {}
        self.strangers: dict[str, int] = {}
        self.pods: dict[str, dict[str, t.Any]] = {}
        self._of_etcd: dict[str, str] = {}
        self._unseen_of_etcd: frozenset[str] = frozenset()
        self.privilege = "" if host.can_own else lacking_privilege()

    def explain(self, error: Exception) -> str:
        """Return a reason without what a run that writes would add."""
        return explained(error, self.privilege)

    def path_as(self, component: str, path: str) -> str:
        """Return where a path that a component was given lies for this process."""
        process = self.processes.get(component)
        if process is not None and self.host.can_own and component in self.pods:
            return f"{self.proc}/{process.pid}/root{path}"
        return self.host.path(self.host_path(component, path))

    def host_path(self, component: str, path: str) -> str:
        """Return where a path that a component was given lies on the host, by the mounts of its manifest."""
        mounts = self.pods.get(component, {}).get("mounts", {})
        best = max((one for one in mounts if holds(one, path)), key=lambda one: len(normal(one)), default=None)
        return moved(path, best, mounts[best]) if best is not None else path

    def yaml_as(self, component: str, path: str) -> t.Any:
        """Return what a YAML file says that a component was given, None where there is none."""
        return load(read_text(self.path_as(component, path)), path)

    def listing(self, directory: str) -> list[str]:
        """Return the names in a directory, none where there is none."""
        try:
            return sorted(os.listdir(self.host.path(directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HardeningError("KH502", f"{directory} could not be listed: {error.strerror}") from error

    def exists(self, path: str) -> bool:
        """Return whether there is something, also where it may not be looked at."""
        try:
            os.stat(self.host.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, HardeningError):
            return True  # there is something, which will be said where it is looked at
        return True

    def see_processes(self) -> str:
        """Remember the oldest process of each component; return why they cannot be seen."""
        if not self.host.live:
            return _NOT_LIVE
        names = {*CONTROL_PLANE, "kubelet", "kube-proxy"}
        self.strangers = {}
        try:
            for process in processes.all_processes(self.proc):
                if process.name not in names:
                    continue
                if belonging.belongs(process):
                    self.processes.setdefault(process.name, process)
                else:
                    self.strangers[process.name] = self.strangers.get(process.name, 0) + 1
        except PermissionError:
            return f"other users' processes may not be seen: {self.privilege}"
        return ""

    def see_environment(self) -> dict[str, t.Any]:
        """Remember what etcd takes from its environment; return it: values of what is judged, of the rest the flags."""
        process = self.processes.get("etcd")
        seen: t.Mapping[str, str | None] | None = None
        problem = "etcd has ended"
        try:
            seen = processes.environment(process, ETCD_PREFIX) if process is not None else None
        except OSError as error:
            problem = f"the environment of etcd's process could not be read: {error.strerror}"
            problem += f" ({self.privilege})" if self.privilege else ""
            seen = self.pods.get("etcd", {}).get("variables")
        if seen is None:
            self._unseen_of_etcd = ETCD_FLAGS
            return {"flags": {}, "others": [], "problem": problem}
        # It passes over a variable that is empty.
        given = {
            name[len(ETCD_PREFIX) :].lower().replace("_", "-"): value for name, value in seen.items() if value != ""
        }
        self._of_etcd = {flag: value for flag, value in given.items() if flag in ETCD_FLAGS and value is not None}
        self._unseen_of_etcd = frozenset(set(given) - set(self._of_etcd))
        return {"flags": self._of_etcd, "others": sorted(self._unseen_of_etcd), "problem": ""}

    def etcd_has_its_default(self, flag: str) -> bool:
        """Return whether etcd runs with what a flag is by default: nothing that was not seen may say otherwise."""
        if "etcd" not in self.processes or self.value("etcd", "config-file"):
            return False
        return not self.values("etcd", flag) and flag not in self._unseen_of_etcd

    def values(self, component: str, flag: str) -> list[str]:
        """Return the values of a flag that a component was started with."""
        process = self.processes.get(component)
        if process is None:
            return []
        arguments = parse_arguments(process.arguments[1:])
        given = occurrences(arguments, flag)
        if component == "etcd":
            # With a file it passes over everything else.
            if flag != "config-file" and self.value(component, "config-file"):
                return []
            if not given and flag in self._of_etcd:
                given = [self._of_etcd[flag]]
        return effective_values(given, kind_of(flag)) or []

    def sni_files(self) -> list[tuple[str, str]]:
        """Return where the pairs of certificate and key lie on the host that the API server shows to some names."""
        process = self.processes.get("kube-apiserver")
        given = occurrences(parse_arguments(process.arguments[1:]), SNI_FLAG) if process is not None else []
        # What is no pair ends the program.
        pairs = [value.partition(":")[0].split(",") for value in given]
        return [
            (self.host_path("kube-apiserver", pair[0]), self.host_path("kube-apiserver", pair[1]))
            for pair in pairs
            if len(pair) == 2
        ]

    def value(self, component: str, flag: str) -> str:
        """Return the last of them, empty where there is none."""
        values = self.values(component, flag)
        return values[-1] if values else ""

    def used(self, component: str, flag: str) -> list[str]:
        """Return where the files that a flag names lie on the host."""
        return [self.host_path(component, value) for value in self.values(component, flag)]

    def bytes_or_none(self, path: str, component: str = "") -> bytes | None:
        """Return what a file holds, None where there is none or it may not be read."""
        try:
            return read_bytes(self.path_as(component, path) if component else self.host.path(path), limit=LARGEST)
        except HardeningError:
            return None

    def units(self) -> list[str]:
        """Return the kubelet's unit and its drop-ins in the order in which systemd reads them."""
        return kubelet_files.unit_files(self.exists, self.listing)


def explained(error: Exception, privilege: str) -> str:
    """Return a reason without what a run that writes would add, with the privilege that is missing where it is one."""
    text = re.sub(r"\s*Nothing was changed[^.]*\.", "", str(error)).strip().rstrip(".")
    return f"{text} ({privilege})" if privilege and "ermission" in text else text


def lacking_privilege() -> str:
    """Return what somebody who is not root is told of that."""
    return f"the user {_user()} may not; run with become: true"


def load(text: str | None, path: str) -> t.Any:
    """Return what a YAML text says, None where there is no text. Raises HardeningError for what is none."""
    if text is None:
        return None
    try:
        return yaml_data.load(text)
    except yaml_data.NoYamlError:
        raise HardeningError("KH502", f"{path} is no YAML") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def user_name(uid: int) -> str:
    """Return a user's name, the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return a group's name, the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
