# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shows of being ready for a change: read, never changed, and judged elsewhere (controls.readiness)."""

from __future__ import annotations

import datetime
import os
import typing as t
from types import MappingProxyType

from cryptography import x509

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig, sysctl
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError, Met
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text
from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig, processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.audit_log import rotated_away
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.cluster_health import (
    others_away,
    others_unwell,
    state_of,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.flag_files import WRITES, unmounted
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import (
    INTERVAL,
    SETTLED,
    Sight,
    etcd_client,
    local_client,
    refuses,
    require_served,
    silent,
    stranger_client,
    unwell,
)

#: Seconds since it changed within which a node that is not Ready is given a while: it may be starting.
_FRESH = 120.0
#: Commands of kubeadm that change a host or the cluster.
_CHANGING = ("upgrade", "join", "init", "reset", "certs")
_BEGIN = b"-----BEGIN CERTIFICATE-----"
#: From which minor version on kube-apiserver's audit log has bounds of its own, which are as many megabytes and files.
#: Before, no flag is as good as 0, for which its files have that size all the same.
_AUDIT_LOG_SINCE, _AUDIT_LOG_DEFAULT = 36, 100


#: What is known of a host of which discovery could tell nothing.
UNKNOWN: t.Mapping[str, t.Any] = MappingProxyType(
    {
        "components": {},
        "certificates": [],
        "kubelet": {"configuration": {}, "next_flags": {}},
        "node_name": "",
    }
)


class Readiness:
    """Looks at one host.

    Args:
        host: The host itself; where files belong to no process there is nothing to look at.
        found: What discovery says of it.
        view: How it is seen, None on a worker, unless it speaks with the API.
        audit: What the run gives the audit log, ``path``, ``maxsize`` (megabytes) and ``maxbackup`` (files), and as
            ``own`` which of them are the user's; empty where it has nothing to do with it.
        proc: Where processes are seen.
        allow_expired: Whether certificates that have ended are what the run is for.
    """

    def __init__(
        self,
        host: Host,
        found: t.Mapping[str, t.Any],
        view: Sight | None,
        audit: t.Mapping[str, t.Any],
        proc: str = "/proc",
        allow_expired: bool = False,
    ) -> None:
        self._host = host
        self._found = found
        self._view = view
        self._audit = audit
        self._proc = proc
        self._allow_expired = allow_expired

    def is_closed(self) -> bool:
        """Return whether the API may refuse the administrator or be refused, by a certificate whose end is the work."""
        if self._view is None or not self._allow_expired:
            return False
        ended = [one for one in self._certificates() if one["ends"] <= self._view.now()]
        admin = self._found["admin_kubeconfig"]
        return any(one["user"] == "kube-apiserver" or one["path"] == admin for one in ended)

    def look(self) -> dict[str, t.Any]:
        """Return what every host shows."""
        return {
            "upgrade": self._upgrade(),
            "room": self._room(),
            "certificates": self._certificates(),
            **self._kernel(),
            "unmounted": self._unmounted(),
            **self._api(),
        }

    def look_at_front_door(self) -> dict[str, t.Any]:
        """Return how the API's clients are served: asked before anything is read, since what is lost is no answer.

        ``served`` is how requests are lost, by number and sentence, empty where none is; of one that is refused, who
        reads the API says more. ``apart`` is the number of seconds by which the clock of the API server that differs
        most is ahead of this host's.
        """
        view = t.cast(Sight, self._view)
        seen: dict[str, t.Any] = {"served": "", "apart": 0.0}
        if self.is_closed():
            return seen
        try:
            seen["apart"] = max(require_served(view), key=abs, default=0.0)
        except HardeningError as error:
            seen["served"] = "" if refuses(view) else error.numbered
        return seen

    def look_at_cluster(
        self, nodes: t.Callable[[], t.Sequence[t.Mapping[str, t.Any]]], front_door: t.Mapping[str, t.Any]
    ) -> dict[str, t.Any]:
        """Return what one control plane sees of all: etcd's members, nodes, and how the API's clients are served.

        A node sees nodes alone, since what it has of the control plane is the API's front door. ``unlisted`` is why
        they could not be listed, by number and sentence; ``others_unwell`` are the other API servers that are not well,
        and ``others_away`` the nodes of the other control planes where none of theirs is.

        Args:
            nodes: Lists the API's nodes.
            front_door: What look_at_front_door returned; where requests are lost the API is not asked.
        """
        view = t.cast(Sight, self._view)
        answers = not front_door["served"] and not self.is_closed()
        met = Met()
        listed = (met.trying(nodes) if answers else None) or []
        seen = met.trying(lambda: self._nodes(view, listed, nodes)) or []
        found = {"nodes": seen, **({"unlisted": " ".join(met.told)} if met.told else {}), **front_door}
        if not self._is_control_plane:
            return found
        return {"etcd": self._etcd(view), **self._others(view, listed), **found}

    @property
    def _is_control_plane(self) -> bool:
        return "kube-apiserver" in self._found["components"]

    def _api(self) -> dict[str, t.Any]:
        """Return what is wrong with this host's own API server."""
        if self._view is None or not self._is_control_plane:
            return {}
        running = self._view.find("kube-apiserver")
        if not running:
            return {"api": {"unwell": "it does not run"}}
        closed, arguments = self.is_closed(), running[-1].arguments
        if closed:
            stranger = stranger_client("kube-apiserver", arguments)
            trouble = self._settle(self._view, lambda: silent(stranger))
        else:
            client = local_client(self._view, "kube-apiserver", arguments)
            trouble = self._settle(self._view, lambda: unwell(client, "kube-apiserver"))
        return {"api": {"unwell": trouble, "closed": closed}}

    def _settle(self, view: Sight, look: t.Callable[[], t.Any]) -> t.Any:
        """Look until nothing is wrong, or for a while: a busy machine is no trouble."""
        end = view.clock() + SETTLED
        trouble = look()
        while trouble and view.clock() < end:
            view.sleep(INTERVAL)
            trouble = look()
        return trouble

    def _etcd(self, view: Sight) -> dict[str, t.Any]:
        """Return alarms and members that are not well, or why etcd could not be asked."""
        running = view.find("etcd")
        if "etcd" not in self._found["components"]:
            return {"alarms": [], "unwell": [], "unseen": "it is no static pod of this host"}
        if not running:
            return {"alarms": [], "unwell": ["it does not run on this host"], "unseen": ""}
        try:
            client = etcd_client(running[-1])
        except HardeningError as error:
            return {"alarms": [], "unwell": [], "unseen": error.trouble}
        try:
            alarms = client.alarms()
            # An alarm makes every member unwell, which would say the same again.
            return {"alarms": alarms, "unwell": [] if alarms else self._members(view, client), "unseen": ""}
        except HardeningError as error:
            # Where it answers only what its clients need it cannot be asked; without a majority it answers nothing.
            trouble = self._settle(view, client.unwell)
            unseen = "" if trouble else error.trouble
            return {"alarms": [], "unwell": [trouble] if trouble else [], "unseen": unseen}

    def _members(self, view: Sight, client: EtcdClient) -> list[str]:
        members = client.members()
        return list(self._settle(view, lambda: client.unwell_members(members)))

    def _nodes(
        self,
        view: Sight,
        listed: t.Sequence[t.Mapping[str, t.Any]],
        nodes: t.Callable[[], t.Sequence[t.Mapping[str, t.Any]]],
    ) -> list[dict[str, t.Any]]:
        """Return each node with why it is not Ready; one that has just become so is given a while."""
        seen = [state_of(node) for node in listed]
        end = view.clock() + SETTLED
        while view.clock() < end and any(node["trouble"] and view.now() - node["since"] < _FRESH for node in seen):
            view.sleep(INTERVAL)
            seen = [state_of(node) for node in nodes()]
        return [{"name": node["name"], "trouble": node["trouble"]} for node in seen]

    def _others(self, view: Sight, listed: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
        """Return the other API servers that are not well, which are given a while, and whether that is all of them."""
        node = str(self._found["node_name"])
        unwell_ones = self._settle(view, lambda: others_unwell(view, node, listed)) if listed else []
        return {"others_unwell": unwell_ones, "others_away": others_away(view, node, listed) if unwell_ones else []}

    def _upgrade(self) -> list[dict[str, t.Any]]:
        """Return runs of kubeadm that change something; those that have ended leave /etc/kubernetes/tmp too."""
        running = {process.pid: process.arguments[1:] for process in processes.find("kubeadm", self._proc)}
        return [
            {"pid": pid, "words": " ".join(["kubeadm", *_command(words)])}
            for pid, words in running.items()
            if _command(words)
        ]

    def _room(self) -> list[dict[str, t.Any]]:
        """Return the room where a run writes, by directory, and that of the audit log, which kube-apiserver writes."""
        directories = ["/etc/kubernetes", "/var/lib/kubelet", STATE_DIRECTORY]
        found = [{**self._space(directory), "audit": False} for directory in directories]
        log = self._audit_log()
        return found + ([log] if log else [])

    def _space(self, directory: str) -> dict[str, t.Any]:
        existing = self._host.path(directory)
        while not os.path.isdir(existing):
            existing = os.path.dirname(existing)
        status = os.statvfs(existing)
        return {
            "path": directory,
            "free": status.f_bavail * status.f_frsize,
            "inodes": not status.f_files or status.f_favail > 0,
            "read_only": bool(status.f_flag & os.ST_RDONLY),
        }

    def _audit_log(self) -> dict[str, t.Any] | None:
        """Return the room where the audit log is going to lie, with the bytes that its rotation may still take there.

        ``endless`` is the flag by which it grows without a bound, empty where it has one: then as many are those of the
        file that is written, or none.
        """
        component = self._found["components"].get("kube-apiserver")
        if component is None:
            return None
        path = str(self._of_audit_log("path") or "")
        if not path.startswith("/"):
            return None
        manifest = Manifest.parse(read_text(self._host.path(component["manifest"])) or "", component["manifest"])
        log = manifest.host_path_of("kube-apiserver", path) or path
        real = self._host.path(log)
        default = _AUDIT_LOG_DEFAULT if component["minor"] >= _AUDIT_LOG_SINCE else 0
        size = _number(self._of_audit_log("maxsize", default))
        if not size and component["minor"] < _AUDIT_LOG_SINCE:
            size = _AUDIT_LOG_DEFAULT
        files = _number(self._of_audit_log("maxbackup", default))
        there = [real, *(rotated_away(real) if files else [])]
        # The file that is written and those that were rotated away.
        whole = size * 1024 * 1024 * (files + 1)
        used = sum(os.stat(one).st_size for one in there if os.path.isfile(one))
        endless = "" if size and files else "audit-log-maxbackup" if size else "audit-log-maxsize"
        room = self._space(os.path.dirname(log))
        return {**room, "audit": True, "budget": max(0, whole - used), "endless": endless}

    def _of_audit_log(self, key: str, default: int = 0) -> t.Any:
        """Return what a flag of the audit log (``--audit-log-…``) comes to in this run.

        The user's own value takes the place of what is found. Of the run's own a path gives way to one that is there,
        and of two numbers the larger one holds, where 0 of ``maxbackup`` is the largest.
        """
        ours, found = self._audit.get(key), self._found["components"]["kube-apiserver"]["flags"].get(f"audit-log-{key}")
        if found is None or key in self._audit.get("own", ()):
            return default if ours is None else ours
        if key == "path" or (key == "maxbackup" and not _number(found)):
            return found
        return max(_number(found), _number(ours))

    def _certificates(self) -> list[dict[str, t.Any]]:
        """Return when each certificate in use begins and ends, those in kubeconfigs included."""
        found = []
        named = {entry["path"]: entry["component"] for entry in self._found["certificates"] if _is_leaf(entry["flag"])}
        if self._found["admin_kubeconfig"]:
            named.setdefault(self._found["admin_kubeconfig"], "the administrator")
        for path, user in named.items():
            times = self._times(path)
            if times is not None:
                found.append({"path": path, "user": user, "begins": times[0], "ends": times[1]})
        return found

    def _times(self, path: str) -> tuple[float, float] | None:
        """Return begin and end of the first certificate of a file; None where none can be read, which others say."""
        try:
            data = read_bytes(self._host.path(path)) or b""
            if _BEGIN not in data:
                data = kubeconfig.parse(data.decode("utf-8"), path).certificate or b""
            certificate = x509.load_pem_x509_certificate(data[data.index(_BEGIN) :])
        except (HardeningError, ValueError):
            return None
        return _moment(certificate, "not_valid_before"), _moment(certificate, "not_valid_after")

    def _kernel(self) -> dict[str, t.Any]:
        """Return what the kernel has otherwise than a kubelet asks that insists on it (protectKernelDefaults).

        And why a run that wants to set it could not, empty where it could.
        """
        kubelet = self._found["kubelet"]
        if not kubeletconfig.insists(kubelet["configuration"], kubelet["next_flags"]):
            return {"kernel": [], "kernel_stays": ""}
        planned = Sysctls(self._host, {name: {"exact": value, "control": ""} for name, value in sysctl.KUBELET.items()})
        planned.plan()
        return {"kernel": planned.differing(sysctl.KUBELET), "kernel_stays": planned.reason}

    def _unmounted(self) -> list[dict[str, str]]:
        """Return the flags that name a file or directory to write below no mount."""
        found = []
        for name, component in self._found["components"].items():
            path = component["manifest"]
            manifest = Manifest.parse(read_text(self._host.path(path)) or "", path)
            for flag in WRITES.get(name, ()):
                found += [
                    {"component": name, "flag": flag, "path": one, "manifest": path}
                    for value in manifest.flag_values(name, flag)[-1:]
                    for one in unmounted(name, manifest, flag, value)
                ]
        return found


def _command(words: t.Sequence[str]) -> list[str]:
    """Return the command of kubeadm that changes something and the word after it, empty for another command.

    Flags may stand before it, some of them with a value of their own. None is shown, since its value may be a token.
    """
    at = next((index for index, word in enumerate(words) if word in _CHANGING), len(words))
    return [word for word in words[at : at + 2] if not word.startswith("-")]


def _number(value: t.Any) -> int:
    text = str(value or 0)
    return int(text) if text.isdecimal() else 0


def _is_leaf(flag: str) -> bool:
    """Return whether a flag names a certificate that is shown to somebody, or a kubeconfig with one."""
    return flag.endswith(("cert-file", "certfile", "client-certificate", "kubeconfig"))


def _moment(certificate: x509.Certificate, name: str) -> float:
    """Return a time of a certificate; cryptography before 42 has it without a time zone only."""
    if hasattr(certificate, f"{name}_utc"):
        return float(getattr(certificate, f"{name}_utc").timestamp())
    return float(getattr(certificate, name).replace(tzinfo=datetime.timezone.utc).timestamp())
