# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify sees on a host: processes, files, certificates, ports. Read, never changed; what cannot be seen is said.

Nothing in it is secret: of files with keys only owner and mode, of certificates their public facts, of configuration
what is judged. Every part stands alone: one that fails leaves a sentence in its place.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import stat
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import (
    kubelet as kubelet_files,
    pod_probes,
    sysctl,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    CONTROL_PLANE,
    KUBELET_CONFIGURATION,
    MANIFESTS,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import asks_loopback
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text
from ansible_collections.kubeharden.core.plugins.module_utils.pki import profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import belonging, processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask_arguments, mask_fields
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_documents import Documents
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_files import Files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_ports import Ports
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_trust import Trust
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.evidence_view import (
    ETCD_PREFIX,
    KUBELET_PKI,
    View,
    group_name,
    load,
    user_name,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls

SCHEMA = 1

_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)")

Run = t.Callable[[list[str]], tuple[int, str, str]]

#: Seconds after the start of its API server in which a static pod may come up again: controllers end with that server,
#: and a kubelet waits 10 before it starts them, 20 the next time, then 40, then 80.
STARTS_AGAIN = 120


def image_version(image: str) -> str:
    """Return the version that an image's tag says, empty where it says none."""
    return version_in(image.rsplit("@", 1)[0].rsplit("/", 1)[-1])


def version_in(text: str) -> str:
    """Return the version that a text says, without what a vendor puts behind it; empty where it says none."""
    found = _VERSION.search(text)
    return found.group(1) if found else ""


class Collector:
    """Looks at one host.

    Args:
        view: How the host is seen.
        control_plane: Whether the inventory says that it is a control plane.
        kubeconfig: The administrator's kubeconfig, None for those that kubeadm wrote.
        run: Runs a command of the host.
        now: Seconds since 1970.
        clock: Seconds that only go forward.
        nonce: Random letters and digits, by which requests of the probes are known.
        sleep: Waits some seconds.
        writes: Whether a marker may be made, and removed at once.
        etcd: Whether the inventory says that it is a member of etcd.
    """

    def __init__(
        self,
        view: View,
        control_plane: bool,
        kubeconfig: str | None,
        run: Run,
        now: float,
        clock: t.Callable[[], float],
        nonce: str = "",
        sleep: t.Callable[[float], None] = lambda _seconds: None,
        writes: bool = False,
        etcd: bool = False,
    ) -> None:
        self._etcd = etcd
        self._view = view
        self._control_plane = control_plane
        self._kubeconfig = kubeconfig
        self._run = run
        self._sleep = sleep
        self._now = now
        self._file_evidence = Files(view, kubeconfig, now)
        self._document_evidence = Documents(view)
        self._port_evidence = Ports(view, kubeconfig, now, clock, nonce, sleep, writes)

    def collect(self) -> dict[str, t.Any]:
        """Return everything."""
        seen_problem = self._view.see_processes()
        kubelet = self._kubelet()
        manifests = self._manifests(str(kubelet.pop("static_pod_path")))
        paths = manifests.pop("components")
        if not seen_problem:
            self._await_processes(paths)
        components = self._components(paths, seen_problem)
        files = self._file_evidence.attributes(components, kubelet, str(manifests["directory"]))
        kube_proxy = self._kube_proxy()
        trust = Trust(self._view, self._kubeconfig, kubelet)
        return {
            "schema": SCHEMA,
            "live": self._view.host.live,
            "privileged": self._view.host.can_own,
            "node_name": self._node_name(kubelet),
            "components": components,
            "kubelet": kubelet,
            "kernel": self._kernel() if self._view.host.live else {},
            "kube_proxy": kube_proxy,
            "manifests": manifests,
            "files": files,
            "documents": self._document_evidence.read(),
            "unmounted": self._document_evidence.unmounted(),
            "unanswered": [words for pod in self._view.pods.values() for words in pod["unanswered"]],
            "authorities": self._file_evidence.authorities(),
            "credentials": self._file_evidence.credentials(files),
            **self._file_evidence.certificates(files, kubelet),
            "believed": trust.seen(),
            "probes": self._port_evidence.probe(kubelet, kube_proxy, trust) if self._view.host.live else {},
        }

    def users_of_files(self) -> dict[str, list[str]]:
        """Return by path what uses a certificate or kubeconfig, each as component and flag, and nothing else."""
        self._view.see_processes()
        kubelet = self._kubelet()
        self._manifests(str(kubelet["static_pod_path"]))
        self._view.see_environment()
        return {path: sorted(uses) for path, uses in self._file_evidence.users_of_files(kubelet).items()}

    def _await_processes(self, expected: t.Collection[str]) -> None:
        """Give static pods that do not run a while where their API server was just started: they ended with it."""
        server = self._view.processes.get("kube-apiserver")
        age = self._now - server.started if server is not None else STARTS_AGAIN
        for _second in range(int(STARTS_AGAIN - age)):
            if "kubelet" not in self._view.processes or all(one in self._view.processes for one in expected):
                return
            self._sleep(1.0)
            self._view.see_processes()

    def _components(self, manifests: t.Mapping[str, str], problem: str) -> dict[str, dict[str, t.Any]]:
        expected = {*manifests, *self._view.processes}
        if self._control_plane:
            expected |= {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
        if self._etcd or self._asks_itself(manifests.get("kube-apiserver")):
            expected.add("etcd")
        if self._view.exists(KUBELET_CONFIGURATION):
            expected.add("kubelet")
        found = {}
        for name in sorted(expected):
            process = self._view.processes.get(name)
            found[name] = {
                "running": process is not None,
                "arguments": mask_arguments(process.arguments) if process else [],
                "manifest": manifests.get(name, ""),
                "version": self._version(name, process),
                "problem": "" if process else self._why_no_process(name, problem, manifests),
            }
        if "etcd" in self._view.processes:
            found["etcd"]["environment"] = self._view.see_environment()
        return found

    def _asks_itself(self, manifest: str | None) -> bool:
        """Return whether kube-apiserver asks an etcd of its own host, as it runs or else by its manifest."""
        servers = self._view.values("kube-apiserver", "etcd-servers")
        try:
            if manifest and not servers:
                text = read_text(self._view.host.path(manifest)) or ""
                servers = Manifest.parse(text, manifest).flag_values("kube-apiserver", "etcd-servers")
        except HardeningError:
            pass  # a manifest that cannot be understood is said among the manifests
        return asks_loopback(servers)

    def _why_no_process(self, name: str, problem: str, manifests: t.Mapping[str, str]) -> str:
        if problem:
            return problem
        aside = f", though {manifests[name]} is there" if name in manifests else ""
        strangers = self._view.strangers.get(name)
        aside += f"; processes that are only called so: {strangers}" if strangers else ""
        return f"{name} has no process on this host{aside}" + (
            f" ({self._view.privilege})" if self._view.privilege else ""
        )

    def _version(self, name: str, process: processes.Process | None) -> str:
        """Return what the image's tag says, else the program itself."""
        tag = image_version(str(self._view.pods.get(name, {}).get("image", "")))
        # kube-proxy's pod is the API's to know (verify_cluster).
        program = belonging.program(process) if process is not None and not tag else None
        if program is None or process is None:
            return tag
        if not self._view.host.can_own:
            # Only root may start a process's own program; the path of a container's is none of the host's.
            program = process.arguments[0] if name == "kubelet" else ""
        if not (os.path.isabs(program) and os.path.isfile(program)):
            return ""
        return version_in(self._run([program, "--version"])[1])

    def _kubelet_arguments(self) -> list[str]:
        process = self._view.processes.get("kubelet")
        return process.arguments if process is not None else self._kubelet_command()

    def _kubelet_command(self) -> list[str]:
        """Return how the unit would start a kubelet now, empty where there is none."""
        texts = [read_text(self._view.host.path(unit)) or "" for unit in self._view.units()]
        hostname = socket.gethostname() if self._view.host.live else ""
        return kubelet_files.command_line(texts, lambda path: read_text(self._view.host.path(path)), hostname)

    def _next_start(self) -> dict[str, t.Any]:
        """Return with which arguments a kubelet that runs would be started now."""
        if "kubelet" not in self._view.processes:
            return {}
        try:
            return {"next": mask_arguments(self._kubelet_command())}
        except (HardeningError, OSError) as error:
            return {"next_problem": self._view.explain(error)}

    def _kubelet(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"file": "", "fields": {}, "documents": [], "problem": "", "static_pod_path": ""}
        found.update(self._next_start())
        if self._control_plane:
            found["static_pod_path"] = MANIFESTS
        try:
            arguments = {one.name: one.effective for one in parse_arguments(self._kubelet_arguments()[1:])}
            found["kubeconfig"] = arguments.get("kubeconfig") or "/etc/kubernetes/kubelet.conf"
            file = arguments.get("config") or (
                KUBELET_CONFIGURATION if self._view.exists(KUBELET_CONFIGURATION) else ""
            )
            found["file"] = file
            found["static_pod_path"] = arguments.get("pod-manifest-path") or found["static_pod_path"]
            drop_ins = self._view.host.files_below(arguments.get("config-dir"), kubelet_files.DROP_INS)
            paths = ([file] if file else []) + drop_ins
            found["documents"] = [{"path": path} for path in paths]
            for document in found["documents"]:
                text = read_text(self._view.host.path(document["path"]))
                document.update(keys_of(text or ""))
                content = load(text, document["path"])
                if not isinstance(content, (dict, type(None))):
                    raise HardeningError("KH502", f"{document['path']} is no configuration of a kubelet")
                merged = kubelet_files.merge(found["fields"], content or {})
                found["fields"] = mask_fields(merged, kubelet_files.SECRET_FIELDS)
            found["static_pod_path"] = str(found["fields"].get("staticPodPath") or found["static_pod_path"])
            x509 = _mapping(_mapping(found["fields"].get("authentication")).get("x509"))
            found["client_authority"] = arguments.get("client-ca-file") or str(x509.get("clientCAFile") or "")
        except (HardeningError, OSError) as error:
            found["problem"] = self._view.explain(error)
        return found

    def _kernel(self) -> dict[str, t.Any]:
        """Return half a sentence for each setting of the kernel that is not what the kubelet compares it with."""
        try:
            return {"differing": Sysctls(self._view.host, {}).differing(sysctl.KUBELET)}
        except (HardeningError, OSError) as error:
            return {"problem": self._view.explain(error)}

    def _kube_proxy(self) -> dict[str, t.Any]:
        process = self._view.processes.get("kube-proxy")
        if process is None:
            return {}
        path = self._view.value("kube-proxy", "config")
        rights = processes.rights(process)
        seen = {"rights": dataclasses.asdict(rights) if rights else {}}
        if not path:
            return {**seen, "file": "", "fields": {}, "files": [], "problem": ""}
        # Its configuration is a ConfigMap that only its own mount namespace sees.
        try:
            fields = load(read_text(f"{self._view.proc}/{process.pid}/root{path}"), path)
        except HardeningError as error:
            return {**seen, "file": path, "fields": {}, "files": [], "problem": self._view.explain(error)}
        if not isinstance(fields, dict):
            words = f"{path} of kube-proxy could not be found"
            return {**seen, "file": path, "fields": {}, "files": [], "problem": words}
        kept = ("metricsBindAddress", "healthzBindAddress", "enableProfiling", "mode", "bindAddress")
        credentials = str(_mapping(fields.get("clientConnection")).get("kubeconfig") or "")
        shown = {key: fields[key] for key in kept if key in fields}
        files = [{"path": one, **self._within(process, one)} for one in (path, credentials) if one]
        return {**seen, "file": path, "fields": shown, "files": files, "problem": ""}

    def _within(self, process: processes.Process, path: str) -> dict[str, str]:
        """Return mode and owner of a file that only a process sees."""
        try:
            status = os.stat(f"{self._view.proc}/{process.pid}/root{path}")
        except OSError as error:
            return {"problem": str(error.strerror)}
        return {
            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
            "owner": user_name(status.st_uid),
            "group": group_name(status.st_gid),
        }

    def _node_name(self, kubelet: t.Mapping[str, t.Any]) -> str:
        """Return the node's name: by the kubelet's certificate, its flag, or the host's own."""
        try:
            data = read_bytes(self._view.host.path(f"{KUBELET_PKI}/kubelet-client-current.pem"))
            name = str(profile.from_pem(data or b"", "kubelet").profile.subject.common_name)
            if name.startswith("system:node:"):
                return name[len("system:node:") :]
        except HardeningError:
            pass  # it is said among the certificates; the name has other sources
        override = self._view.value("kubelet", "hostname-override")
        if override or not kubelet.get("file"):
            return override
        try:
            hostname = read_text(self._view.host.path("/etc/hostname"))
        except HardeningError:
            hostname = None
        return (hostname or (os.uname().nodename if self._view.host.live else "")).strip().lower()

    def _manifests(self, directory: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"directory": "", "pods": {}, "wrong": {}, "problem": "", "components": {}}
        if not directory or not self._view.exists(directory):
            return found
        found["directory"] = directory
        try:
            names = [name for name in self._view.listing(directory) if not name.startswith(".")]
        except HardeningError as error:
            return {**found, "problem": self._view.explain(error)}
        for name in names:
            path = f"{directory}/{name}"
            try:
                if os.path.isdir(self._view.host.path(path)):
                    continue
                document = load(read_text(self._view.host.path(path)), path)
            except HardeningError as error:
                reason = self._view.explain(error)
                if "ermission" in reason:
                    found["problem"] = reason
                    found["components"].update(_by_name(name, path))
                else:
                    found["wrong"][name] = f"is nothing that the kubelet can read: {reason}"
                continue
            if not isinstance(document, dict) or document.get("kind") != "Pod":
                found["wrong"][name] = "is no Pod"
                continue
            metadata = _mapping(document.get("metadata"))
            found["pods"][name] = f"{metadata.get('namespace') or 'default'}/{metadata.get('name')}"
            for component, pod in _components_of(document).items():
                self._view.pods[component] = pod
                found["components"][component] = path
        return found


def keys_of(text: str) -> dict[str, list[str]]:
    """Return the paths of all keys of a YAML mapping, and of those that stand twice; empty for what is no YAML.

    Items of a list have its path with ``[]`` behind it; whether a key stands twice is asked of each by itself.
    """
    try:
        node = yaml_data.compose(text)
    except yaml_data.NoYamlError:
        return {"keys": [], "twice": []}
    keys: list[str] = []
    twice: list[str] = []

    def walk(value: t.Any, path: str) -> None:
        if isinstance(value, yaml.SequenceNode):
            for item in value.value:
                walk(item, f"{path}[]")
        elif isinstance(value, yaml.MappingNode):
            seen = set()
            for key, inner in value.value:
                name = f"{path}.{key.value}" if path else str(key.value)
                (twice if name in seen else keys).append(name)
                seen.add(name)
                walk(inner, name)

    if isinstance(node, yaml.MappingNode):
        walk(node, "")
    return {"keys": list(dict.fromkeys(keys)), "twice": list(dict.fromkeys(twice))}


def _components_of(pod: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return what is known of each component that a static pod runs: image, mounts, variables, probes in vain."""
    spec = _mapping(pod.get("spec"))
    volumes = {
        str(one.get("name")): _mapping(one.get("hostPath")).get("path") for one in _mappings(spec.get("volumes"))
    }
    found = {}
    for container in _mappings(spec.get("containers")):
        given = container.get("command")
        command = [str(word) for word in given] if isinstance(given, list) else []
        name = str(container.get("name"))
        component = name if name in CONTROL_PLANE else os.path.basename(command[0]) if command else ""
        if component not in CONTROL_PLANE:
            continue
        mounts = {
            str(one["mountPath"]): str(volumes[str(one.get("name"))])
            for one in _mappings(container.get("volumeMounts"))
            if one.get("mountPath") and volumes.get(str(one.get("name")))
        }
        found[component] = {
            "image": container.get("image"),
            "mounts": mounts,
            "variables": _variables_of(container),
            "unanswered": _unanswered(component, container),
        }
    return found


def _unanswered(component: str, container: t.Mapping[str, t.Any]) -> list[str]:
    """Return half a sentence for each probe that asks where the component does not listen."""
    words = [str(word) for key in ("command", "args") for word in _list(container.get(key))]
    return [
        f"the {probe.name} of {component} asks {probe.address.shown}, where it does not listen"
        for probe in pod_probes.unanswered(component, container, words)
    ]


def _variables_of(container: t.Mapping[str, t.Any]) -> dict[str, str | None] | None:
    """Return etcd's variables as a manifest has them; None for a value, or all, that only the kubelet can know."""
    if container.get("envFrom"):
        return None
    found: dict[str, str | None] = {}
    for one in _mappings(container.get("env")):
        name, value = str(one.get("name")), str(one.get("value") or "")
        if name.startswith(ETCD_PREFIX):
            found[name] = None if "valueFrom" in one or "$(" in value else value
    return found


def _mapping(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _mappings(value: t.Any) -> list[dict[str, t.Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _by_name(name: str, path: str) -> dict[str, str]:
    """Return the component that a manifest which may not be read is likely to be of."""
    stem = name.rpartition(".")[0]
    return {stem: path} if stem in CONTROL_PLANE else {}
