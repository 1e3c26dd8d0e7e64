# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host, how it is deployed and where its files are: read, never changed."""

from __future__ import annotations

import os
import re
import socket
import typing as t

from cryptography import x509

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files, kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import occurrences, parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    ADMIN_KUBECONFIG,
    ADMIN_KUBECONFIGS,
    CNI_CONFIGURATION,
    CONTROL_PLANE,
    FOREIGN,
    KUBELET_CONFIGURATION,
    KUBELET_FLAGS,
    MANIFESTS,
    PKI,
    PKI_FLAGS,
    RUNTIME_SOCKETS,
    UNIT_DIRECTORIES,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest, program_at
from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import asks_loopback
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import (
    CONFIGURATION_DIRECTORY,
    PATCHES_DIRECTORY,
    Host,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes, read_text, sha256
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bundle, pem, profile
from ansible_collections.kubeharden.core.plugins.module_utils.probes import belonging, processes
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask_arguments, mask_fields
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import authentication, exemptions, flag_files
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.trial import is_trial
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.watch import matches

_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)")
_SNI_FLAG = "tls-sni-cert-key"
_NODE_SUBJECT = re.compile(r"^system:node:(.+)$")
#: Signers for which kube-controller-manager may have an authority of their own; with one of them it uses no other.
_SIGNERS = ("kubelet-serving", "kubelet-client", "kube-apiserver-client", "legacy-unknown")
#: The controller that signs, by both its names.
_SIGNING = ("certificatesigningrequest-signing-controller", "csrsigning")


class Discovery:
    """Reads one host.

    Args:
        host: The host's file system.
        control_plane: Whether the inventory says that it is a control plane.
        kubeconfig: The administrator's kubeconfig, None for the one that kubeadm wrote.
        proc: Where processes are seen.
        run: Runs a command of the host, None where nothing runs there.
        oidc: The user's own --oidc-* flags by name; empty for those that are found.
        etcd: Whether the inventory says that it is a member of etcd.
        complete: Whether a control plane must have the manifest of each component, and a node's name.
        asks: Whether the API is asked by that kubeconfig though this is no control plane.
    """

    def __init__(
        self,
        host: Host,
        control_plane: bool,
        kubeconfig: str | None = None,
        proc: str = "/proc",
        run: t.Callable[[list[str]], tuple[int, str, str]] | None = None,
        oidc: t.Mapping[str, t.Sequence[str]] | None = None,
        etcd: bool = False,
        complete: bool = True,
        asks: bool = False,
    ) -> None:
        self._asks = asks
        self._etcd = etcd
        self._complete = complete
        self._oidc = oidc or {}
        self._run = run
        self.host = host
        self.control_plane = control_plane
        self.admin_kubeconfig = kubeconfig or ADMIN_KUBECONFIG
        self._proc = proc

    def run(self) -> dict[str, t.Any]:
        """Return what is there, as data without secrets.

        Raises:
            HardeningError: A layout that is not kubeadm's, or a file that cannot be understood.
        """
        self._refuse_foreign_layout()
        kubelet = self._kubelet()
        manifests = self._manifests(kubelet["static_pod_path"])
        self._refuse_incomplete(kubelet, manifests)
        components = {name: self._component(name, path) for name, path in manifests.items()}
        used = self._certificates(components, kubelet)
        return {
            "layout": "kubeadm",
            "node_name": self._require_name(self._node_name(kubelet, components)),
            "kubelet": kubelet,
            "components": components,
            "certificates": used,
            "sni_certificates": self._sni_certificates(components),
            "signing_authority": self._signing_authority(used),
            "signs_kubelets": self._signs_kubelets(components, used),
            "authority_keys": self._authority_keys(used),
            "files": self._files(kubelet, components),
            "rootless": self._rootless(components, used),
            "runtime_socket": self.runtime_socket(),
            "admin_kubeconfig": self.admin_kubeconfig if self.control_plane or self._asks else None,
            "kubelet_authority": self._kubelet_authority(used),
            **self._admission(components),
            "authentication": self._authentication(components),
            "authorization": self._authorization(components),
            "patches": self._patches(),
        }

    def before_join(self) -> dict[str, t.Any]:
        """Return what there is of a kubelet on a host that is no node yet: ``kubelet``, ``node_name``, ``socket``."""
        self._refuse_foreign_layout()
        kubelet = self._kubelet()
        return {"kubelet": kubelet, "node_name": self._node_name(kubelet, {}), "socket": self.runtime_socket()}

    # Layout

    def _refuse_foreign_layout(self) -> None:
        for path, name in FOREIGN:
            if os.path.isdir(self.host.path(path)):
                raise HardeningError(
                    "KH108",
                    f"{name} runs Kubernetes here ({path} exists). So far Kubeharden changes kubeadm clusters only; "
                    "nothing was changed. Take the host out of the inventory or use --limit.",
                )
        for name in CONTROL_PLANE[1:]:
            unit = self._unit_of(f"{name}.service")
            if unit:
                raise HardeningError(
                    "KH108",
                    f"{name} is run by systemd here ({unit}). So far Kubeharden changes kubeadm clusters only; "
                    "nothing was changed. Take the host out of the inventory or use --limit.",
                )

    def _refuse_incomplete(self, kubelet: t.Mapping[str, t.Any], manifests: t.Mapping[str, str]) -> None:
        if not kubelet["configuration_file"]:
            raise HardeningError(
                "KH109",
                "No kubelet configuration was found, so this is no node of a kubeadm cluster yet. Nothing was changed; "
                "join it first (prepare_node.yml lays before what it needs) or use --limit.",
            )
        if not self.control_plane and "kube-apiserver" in manifests:
            raise HardeningError(
                "KH109",
                f"The inventory says that this is no control plane, but there is a kube-apiserver manifest in "
                f"{kubelet['static_pod_path']}. Nothing was changed; correct the inventory, or name the group of its "
                "control planes by kubeharden_control_plane_group.",
            )
        missing = [name for name in self._expected(manifests) if name not in manifests]
        if missing:
            raise HardeningError(
                "KH109",
                f"The inventory says that this is a control plane, but there is no {' and no '.join(missing)} manifest "
                f"in {kubelet['static_pod_path']}. Nothing was changed; put the manifest back or correct the "
                "inventory.",
            )

    def _expected(self, manifests: t.Mapping[str, str]) -> list[str]:
        """Return the components whose manifests must be here."""
        if not self.control_plane:
            return []
        if not self._complete:
            return ["kube-apiserver"]
        return [name for name in CONTROL_PLANE if name != "etcd" or self._expects_etcd(manifests)]

    def _expects_etcd(self, manifests: t.Mapping[str, str]) -> bool:
        """Return whether the inventory or kube-apiserver says that etcd is here, and nothing else runs it."""
        running = processes.find("etcd", self._proc) if self.host.live else []
        if self._unit_of("etcd.service") or not all(belonging.in_pod(process) for process in running):
            return False
        path = manifests.get("kube-apiserver")
        servers = self._manifest(path).flag_values("kube-apiserver", "etcd-servers") if path else []
        return self._etcd or asks_loopback(servers)

    def _require_name(self, name: str) -> str:
        if self.control_plane and self._complete and not name:
            raise HardeningError(
                "KH109",
                "The name of this control plane's node could not be told: /etc/hostname is empty or missing, and "
                "neither the kubelet's certificate, nor --hostname-override, nor etcd's --name says it. Nothing was "
                "changed; write the name into /etc/hostname.",
            )
        return name

    def _unit_of(self, unit: str) -> str | None:
        for directory in UNIT_DIRECTORIES:
            path = os.path.join(directory, unit)
            if os.path.isfile(self.host.path(path)):
                return path
        return None

    # Kubelet

    def _unit_files(self) -> list[str]:
        """Return the kubelet's unit and its drop-ins in the order in which systemd reads them."""
        return kubelet_files.unit_files(lambda path: os.path.isfile(self.host.path(path)), self._listing)

    def _kubelet(self) -> dict[str, t.Any]:
        units = self._unit_files()
        running = belonging.find("kubelet", self._proc) if self.host.live else []
        texts = [read_text(self.host.path(unit)) or "" for unit in units]
        hostname = socket.gethostname() if self.host.live else ""
        written = kubelet_files.command_line(texts, lambda path: read_text(self.host.path(path)), hostname)
        arguments = mask_arguments(running[0].arguments if running else written)
        flags = _flags(arguments)
        configuration_file = flags.get("config") or self._existing(KUBELET_CONFIGURATION)
        configuration = self._kubelet_configuration(configuration_file, flags.get("config-dir"))
        static_pods = flags.get("pod-manifest-path") or _within(configuration, "staticPodPath") or ""
        client_authority = flags.get("client-ca-file") or _within(
            configuration, "authentication", "x509", "clientCAFile"
        )
        return {
            "running": bool(running),
            "version": self._said_version(running),
            "arguments": arguments,
            "flags": flags,
            "next_flags": kubelet_files.next_flags(mask_arguments(written), flags),
            "kubeadm_flags": self._kubeadms_flags(arguments),
            "units": units,
            "configuration_file": configuration_file,
            "configuration": configuration,
            "static_pod_path": static_pods or (MANIFESTS if self.control_plane else ""),
            "kubeconfig": flags.get("kubeconfig") or self._existing("/etc/kubernetes/kubelet.conf"),
            "client_authority": client_authority,
            "asks": kubeletconfig.asks(configuration, flags),
            "serves_asked": self._serves_asked(configuration, flags),
            "own_certificate": self._own_certificate(configuration, flags, client_authority),
            **self._serving_gate(configuration, flags.get("config-dir"), written or arguments),
        }

    def _kubeadms_flags(self, arguments: t.Sequence[str]) -> list[str]:
        """Return the names of the kubelet's flags that kubeadm's own file gives it and nothing beside."""
        words = kubelet_files.arguments_in(read_text(self.host.path(KUBELET_FLAGS)) or "")
        names = [argument.name for argument in parse_arguments(words)]
        every = [argument.name for argument in parse_arguments(arguments[1:])]
        return sorted({name for name in names if names.count(name) == every.count(name)})

    def _serves_asked(self, configuration: t.Mapping[str, t.Any], flags: t.Mapping[str, str]) -> bool:
        """Return whether the kubelet asks for serving certificates, and one was approved and is in use."""
        path = self.host.path(kubeletconfig.current_certificate(flags))
        return kubeletconfig.asks(configuration, flags) and os.path.exists(path)

    def _own_certificate(
        self, configuration: t.Mapping[str, t.Any], flags: t.Mapping[str, str], authority: str | None
    ) -> str:
        """Return the kubelet's serving certificate where it is the owner's, else nothing.

        That is one that the kubelet was told to serve, and one that lies where it keeps the one that it makes itself,
        but neither made by it nor signed by the cluster's authority.
        """
        named = kubeletconfig.named_certificate(configuration, flags)
        if named or kubeletconfig.asks(configuration, flags):
            return named
        path = kubeletconfig.self_made_certificate(flags)
        believed = read_bytes(self.host.path(authority)) if authority else b""
        for certificate in self._certificates_in(path)[:1]:
            try:
                leaf = x509.load_der_x509_certificate(certificate)
                its_own = profile.is_from_start(serving_request.subject_of(leaf), leaf.issuer)
                ours = serving_request.is_signed_by(certificate, believed or b"")
            except serving_request.UNREADABLE:
                continue  # verify says so
            return "" if ours or its_own else path
        return ""

    def _serving_gate(
        self, configuration: t.Mapping[str, t.Any], drop_ins: str | None, arguments: t.Sequence[str]
    ) -> dict[str, t.Any]:
        """Return what keeps the gate for serving certificates off whatever the kubelet's file says (``gate_off``).

        And whether it is off only with all of its stage (``betas_off``), so that the file can switch it on.
        """
        values = occurrences(parse_arguments(arguments[1:]), kubeletconfig.GATES_FLAG)
        by_flag = kubeletconfig.gates({}, values).get(kubeletconfig.SERVING_GATE)
        place = f"--{kubeletconfig.GATES_FLAG}" if by_flag is False else ""
        for path in self.host.files_below(drop_ins, kubelet_files.DROP_INS) if by_flag is None else ():
            laid = kubeletconfig.gates(kubelet_files.load(read_text(self.host.path(path)) or "{}", path))
            if kubeletconfig.SERVING_GATE in laid:
                place = "" if laid[kubeletconfig.SERVING_GATE] else path
        betas = kubeletconfig.gates(configuration, values).get(kubeletconfig.BETAS)
        return {"gate_off": place, "betas_off": betas is False}

    def _kubelet_configuration(self, path: str | None, drop_ins: str | None) -> dict[str, t.Any]:
        """Return the file with its drop-ins merged over it: *.conf, walked in lexical order."""
        text = read_text(self.host.path(path)) if path else None
        merged = kubelet_files.load(text, str(path)) if text is not None else {}
        for file in self.host.files_below(drop_ins, kubelet_files.DROP_INS):
            merged = kubelet_files.merge(merged, kubelet_files.load(read_text(self.host.path(file)) or "{}", file))
        return mask_fields(merged, kubelet_files.SECRET_FIELDS)

    def _patches(self) -> dict[str, str | None]:
        """Return the SHA-256 of each patch that was laid for kubeadm, by the file's name."""
        paths = {name: self.host.path(f"{PATCHES_DIRECTORY}/{name}") for name in self._listing(PATCHES_DIRECTORY)}
        return {name: sha256(read_bytes(path)) for name, path in paths.items() if os.path.isfile(path)}

    def _existing(self, path: str) -> str | None:
        return path if os.path.exists(self.host.path(path)) else None

    # Static pods

    def _listing(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(self.host.path(directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            raise HardeningError(
                "KH104", f"{directory} may not be read by this user. Nothing was changed; run with become: true."
            ) from error

    def _manifests(self, directory: str) -> dict[str, str]:
        """Return the manifest of each component of a control plane.

        The kubelet reads every regular file of that directory that does not begin with a dot, and of two files that
        define one pod the last in lexical order wins: two for one component are refused.
        """
        found: dict[str, str] = {}
        for name in self._listing(directory) if directory else []:
            path = os.path.join(directory, name)
            # A trial that a run left when it died is taken away by recovery; it is nobody's component.
            if name.startswith(".") or is_trial(name) or not os.path.isfile(self.host.path(path)):
                continue
            for component in self._components_of(path):
                if component in found:
                    raise HardeningError(
                        "KH110",
                        f"{found[component]} and {path} both define {component}; the kubelet would run the last one. "
                        f"Nothing was changed; move the file that is not meant out of {directory}.",
                    )
                found[component] = path
        return found

    def _components_of(self, path: str) -> list[str]:
        text = read_text(self.host.path(path)) or ""
        try:
            document = yaml_data.load(text)
        except yaml_data.NoYamlError as error:
            raise HardeningError(
                "KH111",
                f"{path} is no YAML, and the kubelet stops the pod of a manifest that it cannot read. "
                "Nothing was changed; repair the file or move it out of the directory.",
            ) from error
        if not isinstance(document, dict) or document.get("kind") != "Pod":
            raise HardeningError(
                "KH111",
                f"{path} is no Pod, though it lies where the kubelet expects only Pods. Nothing was changed; "
                "move it out of the directory.",
            )
        metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
        containers = spec.get("containers") if isinstance(spec, dict) else None
        names = {entry.get("name") for entry in containers or [] if isinstance(entry, dict)}
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return [component for component in CONTROL_PLANE if component in names or component == name]

    def _manifest(self, path: str) -> Manifest:
        return Manifest.parse(read_text(self.host.path(path)) or "", path)

    def _component(self, name: str, path: str) -> dict[str, t.Any]:
        manifest = self._manifest(path)
        image = str(manifest.container(name).get("image", ""))
        running = belonging.find(name, self._proc) if self.host.live else []
        version = self._version(name, image, running)
        self._require_recognised(name, manifest, running)
        # The program is no flag and passed over; a manifest with args: alone does not name it.
        flags = parse_arguments(mask_arguments(manifest.arguments(name)))
        return {
            "deployment": "static_pod",
            "manifest": path,
            "image": image,
            "version": version,
            "minor": int(version.split(".")[1]),
            "flags": {argument.name: argument.effective for argument in flags},
            "arguments": mask_arguments(running[0].arguments) if running else [],
            "running": bool(running),
        }

    def _require_recognised(self, name: str, manifest: Manifest, running: t.Sequence[processes.Process]) -> None:
        """Refuse a manifest by which no process is known: the new one would not be, when it is waited for."""
        words = manifest.arguments(name)
        if not running or program_at(words, name) == 0 or any(matches(process, words) for process in running):
            return
        raise HardeningError(
            "KH111",
            f"{manifest.source} leaves the start of {name} to another program or to its image, and the flags that "
            f"stand there are not the last arguments of the {name} that runs, so that a restart could not be proven. "
            "Nothing was changed; write command: with the program and its flags as a list, and run again.",
        )

    def _version(self, name: str, image: str, running: t.Sequence[processes.Process]) -> str:
        """Return a component's version as its image's tag says it, else as its own program does."""
        tag = _VERSION.search(image.rsplit("@", 1)[0].rsplit("/", 1)[-1])
        if tag:
            return tag.group(1)
        said = self._said_version(running)
        if said:
            return said
        raise HardeningError(
            "KH112",
            f"The version of {name} could not be told from its image {image}. Nothing was changed; start it, or "
            "give the image a tag with its version.",
        )

    def _admission(self, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
        """Return what our admission configuration exempts from Pod Security, and the plugins that it configures."""
        path = None
        if "kube-apiserver" in components:
            path = self._configuration_of(components["kube-apiserver"]["manifest"], "admission-control-config-file")
        ours = path is not None and path.startswith(CONFIGURATION_DIRECTORY + "/")
        text = read_text(self.host.path(path)) if path and ours else None
        return {"exempt_namespaces": exemptions.in_force(text), "configured_plugins": exemptions.configured(text)}

    def _authentication(self, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any] | None:
        """Return whose tokens kube-apiserver accepts or is to accept, None where there is none."""
        if "kube-apiserver" not in components:
            return None
        return authentication.find(self.host, self._manifest(components["kube-apiserver"]["manifest"]), self._oidc)

    def _authorization(self, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any] | None:
        """Return how good the owner's AuthorizationConfiguration is, None where there is none."""
        if "kube-apiserver" not in components:
            return None
        return authentication.find_authorization(self.host, self._manifest(components["kube-apiserver"]["manifest"]))

    def _configuration_of(self, manifest: str, flag: str) -> str | None:
        """Return where a file that a flag of kube-apiserver names lies on the host."""
        parsed = self._manifest(manifest)
        values = parsed.flag_values("kube-apiserver", flag)
        return (parsed.host_path_of("kube-apiserver", values[-1]) or values[-1]) if values else None

    def _said_version(self, running: t.Sequence[processes.Process]) -> str:
        """Return the version that a running program says of itself, empty where none runs or it says none."""
        program = belonging.program(running[0]) if running else None
        if program is None or self._run is None:
            return ""
        said = _VERSION.search(self._run([program, "--version"])[1])
        return said.group(1) if said else ""

    # Files

    def _certificates(
        self, components: t.Mapping[str, t.Mapping[str, t.Any]], kubelet: t.Mapping[str, t.Any]
    ) -> list[dict[str, str]]:
        """Return the paths of certificates, keys and kubeconfigs really in use, with who uses them for what."""
        used = []
        for name, component in components.items():
            manifest = self._manifest(component["manifest"])
            for flag in PKI_FLAGS[name]:
                for value in manifest.flag_values(name, flag):
                    path = manifest.host_path_of(name, value) or value
                    used.append({"path": path, "component": name, "flag": flag})
        if kubelet["client_authority"]:
            used.append({"path": kubelet["client_authority"], "component": "kubelet", "flag": "client-ca-file"})
        if kubelet["kubeconfig"]:
            used.append({"path": kubelet["kubeconfig"], "component": "kubelet", "flag": "kubeconfig"})
        return used

    def _sni_certificates(self, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
        """Return the paths of certificates that components show to who asks for some names alone."""
        found = []
        for name, component in components.items():
            manifest = self._manifest(component["manifest"])
            for value in manifest.flag_values(name, _SNI_FLAG):
                found += [manifest.host_path_of(name, one) or one for one in flag_files.paths(_SNI_FLAG, value)[:1]]
        return found

    def _signing_authority(self, used: t.Sequence[t.Mapping[str, str]]) -> dict[str, str] | None:
        """Return the pair with which kube-controller-manager signs, None where its clients would not be believed.

        ``signer`` tells the authority in a file of several, such as the one by which a kubelet knows its clients.
        """
        certificates = _paths(used, "kube-controller-manager", "cluster-signing-cert-file")
        keys = _paths(used, "kube-controller-manager", "cluster-signing-key-file")
        trusted = _paths(used, "kube-apiserver", "client-ca-file")
        if not (certificates and keys and trusted and certificates[-1] and keys[-1] and trusted[-1]):
            return None
        signing, believed = (self._certificates_in(paths[-1]) for paths in (certificates, trusted))
        if not signing or signing[0] not in believed:
            return None
        return {"certificate": certificates[-1], "key": keys[-1], "signer": _signer(signing[0])}

    def _signs_kubelets(
        self, components: t.Mapping[str, t.Mapping[str, t.Any]], used: t.Sequence[t.Mapping[str, str]]
    ) -> bool:
        """Return whether kube-controller-manager signs what kubelets are to serve, by the cluster's authority.

        One that cannot be read here, as on a directory, is taken for the cluster's.
        """
        manager = components.get("kube-controller-manager")
        if manager is None or not _signs(manager["flags"].get("controllers", "*")):
            return False
        certificate, key = _kubelet_signing_pair(manager["flags"])
        if not certificate or not key:
            return False
        path = self._manifest(manager["manifest"]).host_path_of("kube-controller-manager", certificate) or certificate
        trusted = _paths(used, "kube-apiserver", "client-ca-file")[-1:]
        signing, believed = (
            self._certificates_in(path)[:1],
            [one for ca in trusted for one in self._certificates_in(ca)],
        )
        return not signing or not believed or signing[0] in believed

    def _rootless(
        self, components: t.Mapping[str, t.Mapping[str, t.Any]], used: t.Sequence[t.Mapping[str, str]]
    ) -> list[str]:
        """Return what static pods read that do not run as root, as with kubeadm's gate RootlessControlPlane.

        Such a file belongs to the component's own user or group; with root's alone it would not start again.
        """
        found = []
        for name, component in components.items():
            manifest = self._manifest(component["manifest"])
            # What the container says beats what its pod says.
            users = [_user(one) for one in (manifest.container(name), manifest.pod.get("spec"))]
            if next((user for user in users if user is not None), 0) != 0:
                found += [entry["path"] for entry in used if entry["component"] == name]
                found += self._etcd_data(components) if name == "etcd" else []
        return list(dict.fromkeys(found))

    def _authority_keys(self, used: t.Sequence[t.Mapping[str, str]]) -> list[str]:
        """Return the keys that lie beside the authorities by which kube-apiserver verifies, wherever that is."""
        flags = ("client-ca-file", "etcd-cafile", "requestheader-client-ca-file")
        paths = [path for flag in flags for path in _paths(used, "kube-apiserver", flag)]
        beside = dict.fromkeys(f"{os.path.splitext(path)[0]}.key" for path in paths)
        return [path for path in beside if os.path.isfile(self.host.path(path))]

    def _kubelet_authority(self, used: t.Sequence[t.Mapping[str, str]]) -> str:
        """Return the file by which kube-apiserver verifies kubelets, where the cluster's authority is not in it."""
        verified = _paths(used, "kube-apiserver", "kubelet-certificate-authority")
        trusted = _paths(used, "kube-apiserver", "client-ca-file")
        if not verified or not trusted:
            return ""
        ours, theirs = ({_signer(one) for one in self._certificates_in(paths[-1])} for paths in (trusted, verified))
        return "" if ours & theirs else verified[-1]

    def _certificates_in(self, path: str) -> list[bytes]:
        """Return each certificate of a file; none where it cannot be read, which is said where it is needed."""
        try:
            found = pem.blocks(read_bytes(self.host.path(path)) or b"", path)
        except HardeningError:
            return []
        return [block.der for block in found if block.label == "CERTIFICATE"]

    def _files(
        self, kubelet: t.Mapping[str, t.Any], components: t.Mapping[str, t.Mapping[str, t.Any]]
    ) -> dict[str, list[str]]:
        """Return the paths of what the benchmarks name, by what each file is."""
        used = self._certificates(components, kubelet)
        by_use = {
            "controller_manager_kubeconfig": _paths(used, "kube-controller-manager", "kubeconfig"),
            "scheduler_kubeconfig": _paths(used, "kube-scheduler", "kubeconfig"),
        }
        files = {
            **{f"{name.replace('-', '_')}_manifest": [component["manifest"]] for name, component in components.items()},
            **by_use,
            "admin_kubeconfig": list(dict.fromkeys([*ADMIN_KUBECONFIGS, self.admin_kubeconfig])),
            "kubelet_unit": kubelet["units"],
            "kubelet_configuration": [
                kubelet["configuration_file"],
                *self.host.files_below(kubelet["flags"].get("config-dir"), kubelet_files.DROP_INS),
            ],
            "kubelet_kubeconfig": [kubelet["kubeconfig"]],
            "kubelet_client_authority": [kubelet["client_authority"]],
            "kubelet_client_key": self._kubelet_keys(),
            "kube_proxy_kubeconfig": self._kube_proxy_kubeconfig(),
            "cni_configuration": self._cni_configuration(),
            "etcd_data_directory": self._etcd_data(components),
            **self._pki(used),
        }
        present = {
            role: [path for path in paths if path and os.path.exists(self.host.path(path))]
            for role, paths in files.items()
        }
        return {role: paths for role, paths in present.items() if paths}

    def _cni_configuration(self) -> list[str]:
        """Return the files of the network's configuration; a directory among them, such as multus.d, is no file."""
        paths = [os.path.join(CNI_CONFIGURATION, name) for name in self._listing(CNI_CONFIGURATION)]
        return [path for path in paths if os.path.isfile(self.host.path(path))]

    def _kubelet_keys(self) -> list[str]:
        directory = "/var/lib/kubelet/pki"
        names = [name for name in self._listing(directory) if name.endswith((".key", ".pem"))]
        return [
            os.path.join(directory, name)
            for name in names
            if not os.path.islink(self.host.link_path(f"{directory}/{name}"))
        ]

    def _kube_proxy_kubeconfig(self) -> list[str]:
        """Return the kubeconfig of a kube-proxy that is a process of the host; kubeadm keeps it in a ConfigMap."""
        return [
            path
            for path in ("/var/lib/kube-proxy/kubeconfig.conf", "/etc/kubernetes/kube-proxy.conf")
            if self._existing(path)
        ]

    def _etcd_data(self, components: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
        if "etcd" not in components:
            return []
        manifest = self._manifest(components["etcd"]["manifest"])
        directory = (manifest.flag_values("etcd", "data-dir") or ["/var/lib/etcd"])[-1]
        return [manifest.host_path_of("etcd", directory) or directory]

    def _pki(self, used: t.Sequence[t.Mapping[str, str]]) -> dict[str, list[str]]:
        """Return directories, certificates and keys: all of kubeadm's directory, and what else is in use."""
        directories, certificates, keys = [], [], []
        for directory, folders, names in os.walk(self.host.path(PKI)):
            folders.sort()
            directories.append(self.host.shown(directory))
            for name in sorted(names):
                path = self.host.shown(os.path.join(directory, name))
                if name.endswith((".crt", ".pub")):
                    certificates.append(path)
                elif name.endswith(".key"):
                    keys.append(path)
        for entry in used:
            if entry["flag"].endswith("kubeconfig") or entry["component"] == "kubelet":
                continue
            target = keys if "key" in entry["flag"] and not entry["path"].endswith((".pub", ".crt")) else certificates
            if entry["path"] not in directories + certificates + keys:
                target.append(entry["path"])
        return {"pki_directory": directories, "pki_certificate": certificates, "pki_key": keys}

    # Names

    def _node_name(self, kubelet: t.Mapping[str, t.Any], components: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
        """Return the node's name as the kubelet knows it: by its certificate, its flag, etcd's name or the host's."""
        subject = self._certificate_name("/var/lib/kubelet/pki/kubelet-client-current.pem")
        match = _NODE_SUBJECT.match(subject or "")
        if match:
            return match.group(1)
        override = _flags(kubelet["arguments"]).get("hostname-override")
        if override:
            return override
        if "etcd" in components:
            manifest = self._manifest(components["etcd"]["manifest"])
            names = manifest.flag_values("etcd", "name")
            if names:
                return names[-1]
        hostname = read_text(self.host.path("/etc/hostname"))
        return (hostname or (os.uname().nodename if self.host.live else "")).strip().lower()

    def _certificate_name(self, path: str) -> str | None:

        data = read_bytes(self.host.path(path))
        if not data:
            return None
        start = data.find(b"-----BEGIN CERTIFICATE-----")
        if start < 0:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(data[start:])
        except ValueError:
            return None  # verify reports an unreadable certificate; the name has other sources
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else None

    def runtime_socket(self) -> str | None:
        """Return the container runtime's socket as the kubelet has it, else where one usually is."""
        kubelet = self._kubelet()
        flags = _flags(kubelet["arguments"])
        endpoint = flags.get("container-runtime-endpoint") or kubelet["configuration"].get("containerRuntimeEndpoint")
        if endpoint:
            return str(endpoint).removeprefix("unix://")
        return next((path for path in RUNTIME_SOCKETS if self.host.live and os.path.exists(path)), None)


def _within(data: t.Any, *keys: str) -> str | None:
    """Return a text in a field of a field, None where one of them is missing or is something else."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, str) else None


def _user(data: t.Any) -> int | None:
    """Return as whom a pod or a container runs, None where it says nothing of that."""
    context = data.get("securityContext") if isinstance(data, dict) else None
    user = context.get("runAsUser") if isinstance(context, dict) else None
    return user if isinstance(user, int) else None


def _flags(arguments: t.Sequence[str]) -> dict[str, str]:
    return {argument.name: argument.effective for argument in parse_arguments(arguments[1:])}


def _signer(certificate: bytes) -> str:
    """Return what tells an authority among others, empty for one that cannot be read: who needs it says so."""
    try:
        return bundle.digest(profile.from_der(certificate, "").public_key)
    except HardeningError:
        return ""


def _signs(controllers: str) -> bool:
    """Return whether a kube-controller-manager of these controllers runs the one that signs; the first word counts."""
    words = [word.strip() for word in controllers.split(",")]
    said = next((word for word in words if word.lstrip("-") in _SIGNING), "")
    return not said.startswith("-") if said else "*" in words


def _kubelet_signing_pair(flags: t.Mapping[str, str]) -> tuple[str, str]:
    """Return certificate and key with which kube-controller-manager signs what kubelets serve, empty for none."""

    def pair(signer: str) -> tuple[str, str]:
        return flags.get(f"cluster-signing-{signer}cert-file", ""), flags.get(f"cluster-signing-{signer}key-file", "")

    own = [pair(f"{signer}-") for signer in _SIGNERS]
    return own[0] if any(map(any, own)) else pair("")


def _paths(used: t.Sequence[t.Mapping[str, str]], component: str, flag: str) -> list[str]:
    return [entry["path"] for entry in used if entry["component"] == component and entry["flag"] == flag]
