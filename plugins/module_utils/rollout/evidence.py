# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify sees on a host: processes, files, certificates, ports. Read, never changed; what cannot be seen is said.

Nothing in it is secret: of files with keys only owner and mode, of certificates their public facts, of configuration
what is judged. Every part stands alone: one that fails leaves a sentence in its place.
"""

from __future__ import annotations

import dataclasses
import getpass
import grp
import os
import pwd
import re
import stat
import typing as t
from urllib.parse import urlsplit

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    effective_values,
    kind_of,
    occurrences,
    parse_arguments,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    ADMIN_KUBECONFIGS,
    CNI_CONFIGURATION,
    CONTROL_PLANE,
    KUBELET_CONFIGURATION,
    MANIFESTS,
    PKI,
    PKI_FLAGS,
    UNIT_DIRECTORIES,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.paths import holds, moved, normal
from ansible_collections.kubeharden.core.plugins.module_utils.controls import audit_policy
from ansible_collections.kubeharden.core.plugins.module_utils.controls.serving_request import is_signed_by
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    kubeconfig as kubeconfig_files,
    listing,
    pem,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes import (
    api_client,
    kubeconfig,
    listeners,
    processes,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes.etcd import EtcdClient
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.server_probes import Server, ServerProbes

SCHEMA = 1
#: Seconds that one probe may take, and all of them together.
PROBE_LIMIT = 3.0
PROBES_LIMIT = 45.0

_NOT_LIVE = "no process belongs to a directory that stands for a host"
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)")
#: libyaml where the library has it: several times faster.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PROXY_KUBECONFIGS = ("/var/lib/kube-proxy/kubeconfig.conf", "/etc/kubernetes/kube-proxy.conf")
_KUBELET_PKI = "/var/lib/kubelet/pki"
_LARGEST = 1 << 20
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  (compared, not listened on)
#: What nobody may have without credentials, by component.
_GUARDED = {
    "kube-apiserver": ("/api", "/api/v1/namespaces", "/metrics", "/debug/pprof/", "/logs/"),
    "kubelet": ("/pods", "/metrics", "/configz", "/debug/pprof/", "/logs/"),
    "kube-controller-manager": ("/metrics", "/configz", "/debug/pprof/"),
    "kube-scheduler": ("/metrics", "/configz", "/debug/pprof/"),
    "etcd": ("/version",),
}
#: Flags of the API server that name a file which must be the host's.
_FILES_OF_FLAGS = (
    "audit-log-path", "audit-policy-file", "audit-webhook-config-file", "admission-control-config-file",
    "authentication-config", "authorization-config", "encryption-provider-config",
    "authentication-token-webhook-config-file", "tracing-config-file", "egress-selector-config-file",
)  # fmt: skip
_PORTS = {"kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259}

Run = t.Callable[[list[str]], tuple[int, str, str]]


@dataclasses.dataclass(frozen=True)
class Listener:
    """A port at which a component speaks TLS, and the file of the certificate that it should show."""

    component: str
    address: str
    port: int
    file: str = ""


def image_version(image: str) -> str:
    """Return the version that an image's tag says, empty where it says none."""
    tag = _VERSION.search(image.rsplit("@", 1)[0].rsplit("/", 1)[-1])
    return tag.group(1) if tag else ""


class Collector:
    """Looks at one host.

    Args:
        host: The host's file system.
        control_plane: Whether the inventory says that it is a control plane.
        kubeconfig: The administrator's kubeconfig, None for those that kubeadm wrote.
        run: Runs a command of the host.
        now: Seconds since 1970.
        clock: Seconds that only go forward.
        proc: Where processes are seen.
        nonce: Random letters and digits, by which requests of the probes are known.
        sleep: Waits some seconds.
        writes: Whether a marker may be made, and removed at once.
    """

    def __init__(
        self,
        host: Host,
        control_plane: bool,
        kubeconfig: str | None,
        run: Run,
        now: float,
        clock: t.Callable[[], float],
        proc: str = "/proc",
        nonce: str = "",
        sleep: t.Callable[[float], None] = lambda _seconds: None,
        writes: bool = False,
    ) -> None:
        self._host = host
        self._nonce = nonce
        self._sleep = sleep
        self._writes = writes
        self._control_plane = control_plane
        self._kubeconfig = kubeconfig
        self._run = run
        self._now = now
        self._clock = clock
        self._proc = proc
        self._processes: dict[str, processes.Process] = {}
        self._pods: dict[str, dict[str, t.Any]] = {}
        self._privilege = "" if host.can_own else f"the user {_user()} may not; run with become: true"

    def collect(self) -> dict[str, t.Any]:
        """Return everything."""
        seen_problem = self._see_processes()
        kubelet = self._kubelet()
        manifests = self._manifests(str(kubelet.pop("static_pod_path")))
        components = self._components(manifests.pop("components"), seen_problem)
        files = self._files(components, kubelet)
        return {
            "schema": SCHEMA,
            "live": self._host.live,
            "privileged": self._host.can_own,
            "node_name": self._node_name(kubelet),
            "components": components,
            "kubelet": kubelet,
            "kube_proxy": self._kube_proxy(),
            "manifests": manifests,
            "files": files,
            "documents": self._documents(),
            "unmounted": self._unmounted(),
            "authorities": self._authorities(),
            **self._certificates(files),
            "probes": self._probe(kubelet) if self._host.live else {},
        }

    # Reading

    def _explain(self, error: Exception) -> str:
        """Return a reason without what a run that writes would add."""
        text = re.sub(r"\s*Nothing was changed[^.]*\.", "", str(error)).strip().rstrip(".")
        return f"{text} ({self._privilege})" if self._privilege and "ermission" in text else text

    def _path_as(self, component: str, path: str) -> str:
        """Return where a path that a component was given lies for this process."""
        process = self._processes.get(component)
        if process is not None and self._host.can_own and component in self._pods:
            return f"{self._proc}/{process.pid}/root{path}"
        return self._host.path(self._host_path(component, path))

    def _host_path(self, component: str, path: str) -> str:
        """Return where a path that a component was given lies on the host, by the mounts of its manifest."""
        mounts = self._pods.get(component, {}).get("mounts", {})
        best = max((one for one in mounts if holds(one, path)), key=lambda one: len(normal(one)), default=None)
        return moved(path, best, mounts[best]) if best is not None else path

    def _yaml_as(self, component: str, path: str) -> t.Any:
        return _load(read_text(self._path_as(component, path)), path)

    def _listing(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(self._host.path(directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HardeningError(f"{directory} could not be listed: {error.strerror}") from error

    def _exists(self, path: str) -> bool:
        try:
            os.stat(self._host.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, HardeningError):
            return True  # there is something, which will be said where it is looked at
        return True

    # Processes

    def _see_processes(self) -> str:
        """Remember the oldest process of each component; return why they cannot be seen."""
        if not self._host.live:
            return _NOT_LIVE
        names = {*CONTROL_PLANE, "kubelet", "kube-proxy"}
        try:
            for process in processes.all_processes(self._proc):
                if process.name in names:
                    self._processes.setdefault(process.name, process)
        except PermissionError:
            return f"other users' processes may not be seen: {self._privilege}"
        return ""

    def _values(self, component: str, flag: str) -> list[str]:
        process = self._processes.get(component)
        if process is None:
            return []
        return effective_values(occurrences(parse_arguments(process.arguments[1:]), flag), kind_of(flag)) or []

    def _value(self, component: str, flag: str) -> str:
        values = self._values(component, flag)
        return values[-1] if values else ""

    def _components(self, manifests: t.Mapping[str, str], problem: str) -> dict[str, dict[str, t.Any]]:
        expected = {*manifests, *self._processes}
        if self._control_plane:
            expected |= {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
        if self._exists(KUBELET_CONFIGURATION):
            expected.add("kubelet")
        found = {}
        for name in sorted(expected):
            process = self._processes.get(name)
            found[name] = {
                "running": process is not None,
                "arguments": process.arguments if process else [],
                "manifest": manifests.get(name, ""),
                "version": self._version(name, process),
                "problem": "" if process else self._why_no_process(name, problem, manifests),
            }
        return found

    def _why_no_process(self, name: str, problem: str, manifests: t.Mapping[str, str]) -> str:
        if problem:
            return problem
        aside = f", though {manifests[name]} is there" if name in manifests else ""
        return f"{name} has no process on this host{aside}" + (f" ({self._privilege})" if self._privilege else "")

    def _version(self, name: str, process: processes.Process | None) -> str:
        """Return what the image's tag says, else the program itself."""
        tag = image_version(str(self._pods.get(name, {}).get("image", "")))
        # kube-proxy's pod is the API's to know (verify_cluster); its program, out of a container, is not started here.
        if tag or process is None or name == "kube-proxy":
            return tag
        program = f"{self._proc}/{process.pid}/exe" if self._host.can_own else process.arguments[0]
        if not os.path.isfile(program):
            return ""
        said = _VERSION.search(self._run([program, "--version"])[1])
        return said.group(1) if said else ""

    # The kubelet and kube-proxy

    def _units(self) -> list[str]:
        units: dict[str, str] = {}
        for directory in reversed(UNIT_DIRECTORIES):
            if self._exists(f"{directory}/kubelet.service"):
                units["kubelet.service"] = f"{directory}/kubelet.service"
            folder = f"{directory}/kubelet.service.d"
            units.update((name, f"{folder}/{name}") for name in self._listing(folder) if name.endswith(".conf"))
        return list(units.values())

    def _kubelet_arguments(self) -> list[str]:
        process = self._processes.get("kubelet")
        if process is not None:
            return process.arguments
        texts = [read_text(self._host.path(unit)) or "" for unit in self._units()]
        return kubelet_files.command_line(texts, lambda path: read_text(self._host.path(path)))

    def _kubelet(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"file": "", "fields": {}, "documents": [], "problem": "", "static_pod_path": ""}
        if self._control_plane:
            found["static_pod_path"] = MANIFESTS
        try:
            arguments = {one.name: one.effective for one in parse_arguments(self._kubelet_arguments()[1:])}
            found["kubeconfig"] = arguments.get("kubeconfig") or "/etc/kubernetes/kubelet.conf"
            file = arguments.get("config") or (KUBELET_CONFIGURATION if self._exists(KUBELET_CONFIGURATION) else "")
            found["file"] = file
            found["static_pod_path"] = arguments.get("pod-manifest-path") or found["static_pod_path"]
            paths = ([file] if file else []) + self._drop_ins(arguments.get("config-dir", ""))
            found["documents"] = [{"path": path} for path in paths]
            for document in found["documents"]:
                text = read_text(self._host.path(document["path"]))
                document.update(keys_of(text or ""))
                content = _load(text, document["path"])
                found["fields"] = kubelet_files.merge(found["fields"], content if isinstance(content, dict) else {})
            found["static_pod_path"] = str(found["fields"].get("staticPodPath") or found["static_pod_path"])
            authority = ((found["fields"].get("authentication") or {}).get("x509") or {}).get("clientCAFile")
            found["client_authority"] = arguments.get("client-ca-file") or authority or ""
        except (HardeningError, OSError, AttributeError) as error:
            found["problem"] = self._explain(error)
        return found

    def _drop_ins(self, directory: str) -> list[str]:
        found = []
        for folder, below, names in os.walk(self._host.path(directory)) if directory else ():
            below.sort()
            found += [self._host.shown(os.path.join(folder, name)) for name in sorted(names) if name.endswith(".conf")]
        return found

    def _kube_proxy(self) -> dict[str, t.Any]:
        process = self._processes.get("kube-proxy")
        if process is None:
            return {}
        path = self._value("kube-proxy", "config")
        rights = processes.rights(process)
        seen = {"rights": dataclasses.asdict(rights) if rights else {}}
        if not path:
            return {**seen, "file": "", "fields": {}, "files": [], "problem": ""}
        # Its configuration is a ConfigMap that only its own mount namespace sees.
        try:
            fields = _load(read_text(f"{self._proc}/{process.pid}/root{path}"), path)
        except HardeningError as error:
            return {**seen, "file": path, "fields": {}, "files": [], "problem": self._explain(error)}
        if not isinstance(fields, dict):
            words = f"{path} of kube-proxy could not be found"
            return {**seen, "file": path, "fields": {}, "files": [], "problem": words}
        kept = ("metricsBindAddress", "healthzBindAddress", "enableProfiling", "mode", "bindAddress")
        credentials = str((fields.get("clientConnection") or {}).get("kubeconfig") or "")
        shown = {key: fields[key] for key in kept if key in fields}
        files = [{"path": one, **self._within(process, one)} for one in (path, credentials) if one]
        return {**seen, "file": path, "fields": shown, "files": files, "problem": ""}

    def _within(self, process: processes.Process, path: str) -> dict[str, str]:
        """Return mode and owner of a file that only a process sees."""
        try:
            status = os.stat(f"{self._proc}/{process.pid}/root{path}")
        except OSError as error:
            return {"problem": str(error.strerror)}
        return {
            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
            "owner": _user_name(status.st_uid),
            "group": _group_name(status.st_gid),
        }

    def _node_name(self, kubelet: t.Mapping[str, t.Any]) -> str:
        """Return the node's name: by the kubelet's certificate, its flag, or the host's own."""
        try:
            data = read_bytes(self._host.path(f"{_KUBELET_PKI}/kubelet-client-current.pem"))
            name = str(profile.from_pem(data or b"", "kubelet").profile.subject.common_name)
            if name.startswith("system:node:"):
                return name[len("system:node:") :]
        except HardeningError:
            pass  # it is said among the certificates; the name has other sources
        override = self._value("kubelet", "hostname-override")
        if override or not kubelet.get("file"):
            return override
        hostname = read_text(self._host.path("/etc/hostname"))
        return (hostname or (os.uname().nodename if self._host.live else "")).strip().lower()

    # Manifests

    def _manifests(self, directory: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"directory": "", "pods": {}, "wrong": {}, "problem": "", "components": {}}
        if not directory or not self._exists(directory):
            return found
        found["directory"] = directory
        try:
            names = [name for name in self._listing(directory) if not name.startswith(".")]
        except HardeningError as error:
            return {**found, "problem": self._explain(error)}
        for name in names:
            path = f"{directory}/{name}"
            try:
                if os.path.isdir(self._host.path(path)):
                    continue
                document = _load(read_text(self._host.path(path)), path)
            except HardeningError as error:
                reason = self._explain(error)
                if "ermission" in reason:
                    found["problem"] = reason
                    found["components"].update(_by_name(name, path))
                else:
                    found["wrong"][name] = f"is nothing that the kubelet can read: {reason}"
                continue
            if not isinstance(document, dict) or document.get("kind") != "Pod":
                found["wrong"][name] = "is no Pod"
                continue
            metadata = document.get("metadata") or {}
            found["pods"][name] = f"{metadata.get('namespace') or 'default'}/{metadata.get('name')}"
            for component, pod in _components_of(document).items():
                self._pods[component] = pod
                found["components"][component] = path
        return found

    # Files

    def _files(
        self, components: t.Mapping[str, t.Mapping[str, t.Any]], kubelet: t.Mapping[str, t.Any]
    ) -> dict[str, list[dict[str, str]]]:
        paths: dict[str, list[str]] = {
            f"{name.replace('-', '_')}_manifest": [one["manifest"]]
            for name, one in components.items()
            if one["manifest"]
        }
        paths["kubelet_unit"] = self._units()
        paths["kubelet_configuration"] = [one["path"] for one in kubelet["documents"]]
        paths["kubelet_kubeconfig"] = [str(kubelet.get("kubeconfig") or "")]
        paths["kubelet_client_authority"] = [str(kubelet.get("client_authority") or "")]
        paths["kube_proxy_kubeconfig"] = list(_PROXY_KUBECONFIGS)
        paths["admin_kubeconfig"] = list(dict.fromkeys([*ADMIN_KUBECONFIGS, self._kubeconfig or ADMIN_KUBECONFIGS[0]]))
        paths["scheduler_kubeconfig"] = self._used("kube-scheduler", "kubeconfig") or ["/etc/kubernetes/scheduler.conf"]
        paths["controller_manager_kubeconfig"] = self._used("kube-controller-manager", "kubeconfig") or [
            "/etc/kubernetes/controller-manager.conf"
        ]
        paths["manifests_directory"] = [MANIFESTS]
        if "etcd" in components:
            paths["etcd_data_directory"] = self._used("etcd", "data-dir") or ["/var/lib/etcd"]
        found = {word: self._attributes(listed) for word, listed in paths.items()}
        found["cni_configuration"] = self._below(CNI_CONFIGURATION)
        found["kubelet_client_key"] = [
            one for one in self._below(_KUBELET_PKI) if one["path"].endswith((".key", ".pem")) and not one.get("link")
        ]
        found.update(self._pki())
        return {word: entries for word, entries in found.items() if entries}

    def _used(self, component: str, flag: str) -> list[str]:
        return [self._host_path(component, value) for value in self._values(component, flag)]

    def _attributes(self, paths: t.Iterable[str]) -> list[dict[str, str]]:
        return [entry for path in dict.fromkeys(paths) if path for entry in self._attributes_of(path)]

    def _attributes_of(self, path: str) -> list[dict[str, str]]:
        try:
            status = os.stat(self._host.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, HardeningError) as error:
            reason = getattr(error, "strerror", None) or self._explain(error)
            aside = f"; {self._privilege}" if self._privilege else ""
            return [{"path": path, "problem": f"{reason}{aside}"}]
        return [
            {
                "path": path,
                "mode": f"{stat.S_IMODE(status.st_mode):04o}",
                "owner": _user_name(status.st_uid),
                "group": _group_name(status.st_gid),
                **({"link": "yes"} if os.path.islink(self._host.link_path(path)) else {}),
            }
        ]

    def _below(self, directory: str) -> list[dict[str, str]]:
        """Return what lies in a directory."""
        try:
            names = self._listing(directory)
        except HardeningError as error:
            return [{"path": directory, "problem": self._explain(error)}]
        return self._attributes(f"{directory}/{name}" for name in names)

    def _pki(self) -> dict[str, list[dict[str, str]]]:
        """Return directories, certificates and keys: all of kubeadm's directory, and what else is in use."""
        directories, certificates, keys = [], [], []
        problems: list[dict[str, str]] = []

        def note(error: OSError) -> None:
            where = self._host.shown(str(error.filename))
            problems.append({"path": where, "problem": f"{error.strerror}; {self._privilege}".rstrip("; ")})

        for directory, below, names in os.walk(self._host.path(PKI), onerror=note):
            below.sort()
            directories.append(self._host.shown(directory))
            for name in sorted(names):
                path = self._host.shown(os.path.join(directory, name))
                if name.endswith((".crt", ".pub")):
                    certificates.append(path)
                elif name.endswith(".key"):
                    keys.append(path)
        for component, flags in PKI_FLAGS.items():
            for flag in flags:
                if flag.endswith("kubeconfig"):
                    continue
                for path in self._used(component, flag):
                    is_key = "key" in flag and not path.endswith((".pub", ".crt"))
                    (keys if is_key else certificates).append(path)
        return {
            "pki_directory": self._attributes(directories) + [one for one in problems if self._exists(one["path"])],
            "pki_certificate": self._attributes(certificates),
            "pki_key": self._attributes(keys),
        }

    # What components were told to read

    def _documents(self) -> dict[str, dict[str, t.Any]]:
        wanted: tuple[tuple[str, str, str, t.Callable[[str, str], dict[str, t.Any]]], ...] = (
            ("authentication", "kube-apiserver", "authentication-config", self._authentication),
            ("authorization", "kube-apiserver", "authorization-config", self._authorization),
            ("admission", "kube-apiserver", "admission-control-config-file", self._admission),
            ("encryption", "kube-apiserver", "encryption-provider-config", self._encryption),
            ("audit_policy", "kube-apiserver", "audit-policy-file", self._audit_policy),
            ("scheduler", "kube-scheduler", "config", self._scheduler),
        )
        found = {}
        for name, component, flag, read in wanted:
            path = self._value(component, flag)
            if not path:
                continue
            try:
                found[name] = {"path": path, **read(component, path)}
            except (HardeningError, AttributeError, TypeError) as error:
                words = (
                    self._explain(error) if isinstance(error, HardeningError) else f"{path} is not what it should be"
                )
                found[name] = {"path": path, "problem": words}
        return found

    def _unmounted(self) -> list[str]:
        """Return what the API server's container was given a path for that lies in the container alone."""
        component = "kube-apiserver"
        if component not in self._pods or component not in self._processes:
            return []
        mounts = self._pods[component]["mounts"]
        given = [(flag, self._value(component, flag)) for flag in _FILES_OF_FLAGS]
        return [
            f"--{flag} {path}"
            for flag, path in given
            if path.startswith("/") and not any(holds(mount, path) for mount in mounts)
        ]

    def _required(self, component: str, path: str) -> dict[str, t.Any]:
        document = self._yaml_as(component, path)
        if not isinstance(document, dict):
            raise HardeningError(f"{path} of {component} is not there or no mapping")
        return document

    def _authentication(self, component: str, path: str) -> dict[str, t.Any]:
        document = self._required(component, path)
        return {"anonymous": document.get("anonymous"), "issuers": len(document.get("jwt") or [])}

    def _authorization(self, component: str, path: str) -> dict[str, t.Any]:
        return {"types": [one.get("type") for one in self._required(component, path).get("authorizers") or []]}

    def _admission(self, component: str, path: str) -> dict[str, t.Any]:
        plugins: dict[str, t.Any] = {}
        for one in self._required(component, path).get("plugins") or []:
            configuration = one.get("configuration")
            if configuration is None and one.get("path"):
                configuration = self._required(component, os.path.join(os.path.dirname(path), str(one["path"])))
            # Others may hold credentials of a webhook.
            known = one.get("name") == "PodSecurity"
            plugins[str(one.get("name"))] = (
                {"defaults": configuration.get("defaults")} if known and configuration else {}
            )
        return {"plugins": plugins}

    def _encryption(self, component: str, path: str) -> dict[str, t.Any]:
        """Return which providers stand where, and nothing of their keys."""
        return {
            "resources": [
                {
                    "resources": [str(name) for name in one.get("resources") or []],
                    "providers": [next(iter(provider), "") for provider in one.get("providers") or []],
                }
                for one in self._required(component, path).get("resources") or []
            ]
        }

    def _audit_policy(self, component: str, path: str) -> dict[str, t.Any]:
        text = read_text(self._path_as(component, path))
        if text is None:
            raise HardeningError(f"{path} of {component} is not there")
        return {"findings": audit_policy.judge(text)}

    def _scheduler(self, component: str, path: str) -> dict[str, t.Any]:
        return {"enable_profiling": self._required(component, path).get("enableProfiling")}

    # Certificates

    def _authorities(self) -> dict[str, list[str] | None]:
        """Return the fingerprints of the authorities that etcd and the API server believe."""
        found: dict[str, list[str] | None] = {}
        for name, component, flag in (
            ("etcd", "etcd", "trusted-ca-file"),
            ("clients", "kube-apiserver", "client-ca-file"),
        ):
            path = self._value(component, flag)
            if not path:
                continue
            try:
                data = read_bytes(self._path_as(component, path)) or b""
                blocks = [block.der for block in pem.blocks(data, path) if block.label == "CERTIFICATE"]
                found[name] = [profile.from_der(der, path).fingerprint for der in blocks]
            except HardeningError:
                found[name] = None
        return found

    def _certificates(self, files: t.Mapping[str, t.Sequence[t.Mapping[str, str]]]) -> dict[str, t.Any]:
        words = (
            "pki_certificate", "pki_key", "admin_kubeconfig", "scheduler_kubeconfig", "controller_manager_kubeconfig",
            "kubelet_kubeconfig", "kubelet_client_authority", "kubelet_client_key",
        )  # fmt: skip
        paths = [one["path"] for word in words for one in files.get(word, []) if not one.get("problem")]
        paths.append(f"{_KUBELET_PKI}/kubelet-client-current.pem")
        read, problem = {}, ""
        for path in listing.relevant(dict.fromkeys(paths)):
            try:
                data = read_bytes(self._host.path(path), limit=_LARGEST)
            except HardeningError as error:
                # A key that may not be read is no reason to be silent on certificates.
                problem = problem if path.endswith(".key") else self._explain(error)
                continue
            if data:
                read[path] = data
        users = self._users_of_files()
        shown = [
            {**_facts(one), "used_by": sorted(users.get(path, ()))}
            for path, data in sorted(read.items())
            if not path.endswith(".key")
            for one in self._entries(path, data, read)
        ]
        return {"certificates": shown, "certificates_problem": problem}

    def _entries(self, path: str, data: bytes, read: t.Mapping[str, bytes]) -> list[dict[str, t.Any]]:
        """Return what a file's certificates say, and whether the key beside or within it is the first one's.

        The library would compute a key's primes anew, which takes longer than all the rest: OpenSSL compares.
        """
        try:
            key = data if b"PRIVATE KEY-----" in data else read.get(f"{path.rpartition('.')[0]}.key")
            if b"-----BEGIN CERTIFICATE-----" not in data:
                if b"kind: Config" not in data:
                    return []
                facts = kubeconfig_files.parse(data, path)
                if facts.certificate is None:
                    return []  # it names a file, which is looked at for itself
                data, key = facts.certificate, facts.key
            entries = listing.describe_pem(data, path, self._now)
            if entries and key is not None:
                entries[0]["problem"] = entries[0]["problem"] or listeners.key_problem(data, key)
        except HardeningError as error:
            return [{"path": path, "problem": self._explain(error)}]
        return entries

    def _users_of_files(self) -> dict[str, set[str]]:
        users: dict[str, set[str]] = {}
        for component, flags in PKI_FLAGS.items():
            for flag in flags:
                for path in self._used(component, flag):
                    users.setdefault(path, set()).add(component)
        for path in (f"{_KUBELET_PKI}/kubelet-client-current.pem", self._value("kubelet", "kubeconfig")):
            users.setdefault(path, set()).add("kubelet")
        return users

    # Probes

    def _listeners(self, kubelet: t.Mapping[str, t.Any]) -> list[Listener]:
        found = []
        for component, port in _PORTS.items():
            if component in self._processes:
                address = self._value(component, "bind-address")
                number = self._value(component, "secure-port") or str(port)
                file = self._value(component, "tls-cert-file")
                found.append(Listener(component, _reachable(address), int(number), file))
        if "kubelet" in self._processes:
            fields = kubelet.get("fields") or {}
            address = self._value("kubelet", "address") or str(fields.get("address") or "")
            number = self._value("kubelet", "port") or str(fields.get("port") or 10250)
            file = str(fields.get("tlsCertFile") or "")
            found.append(Listener("kubelet", _reachable(address), int(number), file))
        for flag, file in (("listen-client-urls", "cert-file"), ("listen-peer-urls", "peer-cert-file")):
            for url in self._value("etcd", flag).split(",")[:1]:
                parts = urlsplit(url)
                if parts.scheme == "https" and parts.hostname:
                    number = str(parts.port or 2379)
                    found.append(Listener("etcd", _reachable(parts.hostname), int(number), self._value("etcd", file)))
        return found

    def _probe(self, kubelet: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Ask every port; what is not done when the time is over is said to be."""
        end = self._clock() + PROBES_LIMIT
        foreign = listeners.stranger(self._now)
        tls, requests = [], []
        for one in self._listeners(kubelet):
            where = {"component": one.component, "address": one.address, "port": one.port}
            seen = self._handshakes(one, kubelet, end)
            tls.append({**where, **seen})
            if seen.get("problem"):
                requests += [{**where, "path": "/", "credentials": kind, "status": 0, "reason": seen["problem"]}
                             for kind in ("none", "foreign")]  # fmt: skip
                continue
            asked = [(path, None) for path in _GUARDED[one.component]] + [(_GUARDED[one.component][0], foreign)]
            for path, credentials in asked:
                answer = api_client.Answer(0, reason="there was no time left to ask")
                if self._clock() < end:
                    answer = listeners.ask(one.address, one.port, path, PROBE_LIMIT, credentials)
                kind = "foreign" if credentials else "none"
                requests.append(
                    {**where, "path": path, "credentials": kind, "status": answer.status, "reason": answer.reason or ""}
                )
        return {"tls": tls, "requests": requests, "ports": _plain_ports(), "server": self._server_probes(end)}

    def _server_probes(self, end: float) -> dict[str, t.Any]:
        """Look at what this host's API server records, tells and stores."""
        name = "kube-apiserver"
        if name not in self._processes:
            return {}
        if not self._host.can_own:
            return {"problem": f"its log and its client certificate may not be read: {self._privilege}"}
        if self._clock() >= end:
            return {"problem": "there was no time left to ask"}
        listener = next(one for one in self._listeners({}) if one.component == name)
        host = f"[{listener.address}]" if ":" in listener.address else listener.address
        log = self._value(name, "audit-log-path")
        server = Server(
            url=f"https://{host}:{listener.port}",
            credentials=self._credentials(),
            audit_log=self._path_as(name, log) if log.startswith("/") else "",
            batches=self._value(name, "audit-log-mode") == "batch",
            etcd=self._etcd_client(),
            prefix=self._value(name, "etcd-prefix") or "/registry",
        )
        probes = ServerProbes(server, PROBE_LIMIT, self._nonce, self._clock, self._sleep)
        marker = {"marker": probes.mark()} if self._writes else {}
        return {"log": log, **probes.look(), **marker}

    def _credentials(self) -> kubeconfig.Kubeconfig | None:
        for path in (self._kubeconfig, *ADMIN_KUBECONFIGS):
            if path and self._exists(path):
                try:
                    return kubeconfig.load(self._host.path(path))
                except HardeningError:
                    continue  # it is said among the certificates; a request without credentials is recorded too
        return None

    def _etcd_client(self) -> EtcdClient | None:
        """Return a client with what the API server itself shows etcd."""
        name = "kube-apiserver"
        address = next((url for url in self._values(name, "etcd-servers") if url.startswith("https://")), "")
        paths = [self._value(name, flag) for flag in ("etcd-cafile", "etcd-certfile", "etcd-keyfile")]
        if not address or not all(paths):
            return None
        return EtcdClient(address, *(self._path_as(name, path) for path in paths))

    def _handshakes(self, one: Listener, kubelet: t.Mapping[str, t.Any], end: float) -> dict[str, t.Any]:
        if self._clock() >= end:
            return {"problem": "there was no time left to ask"}
        peer = api_client.tls_peer(one.address, one.port, PROBE_LIMIT)
        found: dict[str, t.Any] = {}
        if peer.certificate is None:
            found["problem"] = peer.reason
            if not str(peer.reason).startswith("tls") and peer.reason != "eof":
                return found  # nobody listens, so other handshakes tell nothing
        else:
            found.update(self._served(one, peer.certificate, str(kubelet.get("client_authority") or "")))
        found["old"] = dataclasses.asdict(listeners.try_old(one.address, one.port, PROBE_LIMIT))
        found["weak"] = dataclasses.asdict(listeners.try_weak(one.address, one.port, PROBE_LIMIT))
        return found

    def _served(self, one: Listener, certificate: bytes, authority: str) -> dict[str, t.Any]:
        where = f"{one.address}:{one.port}"
        try:
            facts = profile.from_der(certificate, where)
        except HardeningError as error:
            return {"problem": self._explain(error)}
        entry = listing.entry(facts, where, "certificate", self._now, listing.KeyState())
        served = {key: entry[key] for key in ("subject", "issuer", "names", "not_after", "days_left")}
        found: dict[str, t.Any] = {"certificate": {**served, "sha256": facts.fingerprint}}
        if one.component == "kubelet":
            trusted = self._bytes_or_none(authority) if authority else None
            found["certificate"]["chains"] = bool(trusted and is_signed_by(certificate, trusted))
        data = self._bytes_or_none(one.file, one.component) if one.file else None
        if data:
            try:
                found["file"], found["file_sha256"] = one.file, profile.from_pem(data, one.file).fingerprint
            except HardeningError:
                found["file"] = one.file  # it is said among the certificates
        return found

    def _bytes_or_none(self, path: str, component: str = "") -> bytes | None:
        try:
            return read_bytes(self._path_as(component, path) if component else self._host.path(path), limit=_LARGEST)
        except HardeningError:
            return None


def _plain_ports() -> list[dict[str, t.Any]]:
    found = []
    for port in (8080, 10255):
        said = listeners.plain_port("127.0.0.1", port, PROBE_LIMIT)
        words = {"closed": "is closed", "kubernetes": "answers without credentials"}.get(said, "is something else's")
        found.append({"port": port, "address": "127.0.0.1", "kubernetes": said == "kubernetes", "words": words})
    return found


def _reachable(address: str) -> str:
    """Return the address at which this host reaches what listens there."""
    return "127.0.0.1" if address in _ANY_ADDRESS else address


def _facts(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    kept = (
        "path", "kind", "subject", "issuer", "names", "not_after", "days_left", "key_algorithm", "problem",
    )  # fmt: skip
    return {key: entry[key] for key in kept if key in entry}


def _load(text: str | None, path: str) -> t.Any:
    if text is None:
        return None
    try:
        # A safe loader, either of the two.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        raise HardeningError(f"{path} is no YAML") from None


def keys_of(text: str) -> dict[str, list[str]]:
    """Return the paths of all keys of a YAML mapping, and of those that stand twice; empty for what is no YAML."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {"keys": [], "twice": []}
    keys: list[str] = []
    twice: list[str] = []

    def walk(mapping: t.Any, path: str) -> None:
        seen = set()
        for key, value in mapping.value:
            name = f"{path}.{key.value}" if path else str(key.value)
            (twice if name in seen else keys).append(name)
            seen.add(name)
            if isinstance(value, yaml.MappingNode):
                walk(value, name)

    if isinstance(node, yaml.MappingNode):
        walk(node, "")
    return {"keys": keys, "twice": twice}


def _components_of(pod: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return image and mounts of each component that a static pod runs."""
    spec = pod.get("spec") or {}
    volumes = {
        one.get("name"): (one.get("hostPath") or {}).get("path")
        for one in spec.get("volumes") or []
        if isinstance(one, dict)
    }
    found = {}
    for container in spec.get("containers") or []:
        if not isinstance(container, dict):
            continue
        command = [str(word) for word in container.get("command") or []]
        name = str(container.get("name"))
        component = name if name in CONTROL_PLANE else os.path.basename(command[0]) if command else ""
        if component not in CONTROL_PLANE:
            continue
        mounts = {
            str(one["mountPath"]): str(volumes[one.get("name")])
            for one in container.get("volumeMounts") or []
            if isinstance(one, dict) and one.get("mountPath") and volumes.get(one.get("name"))
        }
        found[component] = {"image": container.get("image"), "mounts": mounts}
    return found


def _by_name(name: str, path: str) -> dict[str, str]:
    """Return the component that a manifest which may not be read is likely to be of."""
    stem = name.rpartition(".")[0]
    return {stem: path} if stem in CONTROL_PLANE else {}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
