# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new node needs so that its kubelet joins by TLS bootstrap: seen, laid, and taken away when it has joined.

The kubelet's private key is made by the kubelet. What is laid is how it finds the cluster, and a token with which it
may ask for a certificate once.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files, kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments, parse_bool
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    KUBELET_BOOTSTRAP,
    KUBELET_CONFIGURATION,
    KUBELET_DROP_IN,
    KUBELET_FLAGS,
    KUBELET_INSTANCE,
    KUBELET_KUBECONFIG,
    KUBELET_OVERRIDES,
    PKI,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import history
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.files.together import (
    NewFile,
    remove_leftovers,
    replace_together,
)
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import (
    make_directory,
    read_bytes,
    read_text,
    remove_file,
    require_room,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    bootstrap,
    bundle,
    keys,
    kubeconfig,
    profile,
    texts,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import one_time
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import DIRECTORY_MODE, Store
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.recovery import finish_files

#: What a node is: it has a kubeconfig that is valid, or it has none yet.
JOINED, NEW = "joined", "new"
#: What becomes of a node's token.
KEEP, MAKE, REMOVE = "keep", "make", "remove"
#: How what is sealed for a node is bound to what it is.
_TOKEN = "bootstrap token"  # noqa: S105  (what it is called)
_ROTATES = "rotateCertificates"
_RUNTIME = "containerRuntimeEndpoint"
_RESOLVER = "resolvConf"
#: The flags that beat the two.
_RUNTIME_FLAG, _RESOLVER_FLAG = "container-runtime-endpoint", "resolv-conf"
#: Where systemd-resolved names the servers; in /etc/resolv.conf it names itself, at an address that no pod reaches.
_RESOLVED = "/run/systemd/resolve/resolv.conf"
#: Why none of this goes back.
_STAYS = "a node that joined with it would be lost. A node leaves by `kubectl delete node` and `kubeadm reset`."
#: How the owner starts the kubelet.
_START = "systemctl daemon-reload && systemctl enable --now kubelet"
_RESTART = "systemctl daemon-reload && systemctl restart kubelet"
_SPENT = "the node has joined, and the token is removed."


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What a control plane says to a node that joins.

    Attributes:
        server: Where the API is, as a URL.
        authority: By what the kubelet knows it (PEM).
        clients: By what the kubelet knows who asks it, as kube-apiserver knows its clients (PEM).
        configuration: Of kubelets, a KubeletConfiguration as text.
    """

    server: str
    authority: bytes
    clients: bytes
    configuration: str

    @classmethod
    def from_data(cls, data: t.Mapping[str, str]) -> Cluster:
        """Return it as `as_data` made it."""
        return cls(
            data["server"],
            base64.b64decode(data["authority"]),
            base64.b64decode(data["clients"]),
            base64.b64decode(data["configuration"]).decode("utf-8"),
        )

    def as_data(self) -> dict[str, str]:
        """Return it for a play, in base64, since nothing that looks like a template may be in what it hands on."""
        parts = {
            "authority": self.authority,
            "clients": self.clients,
            "configuration": self.configuration.encode("utf-8"),
        }
        return {"server": self.server, **{name: base64.b64encode(data).decode("ascii") for name, data in parts.items()}}


def context(run_id: str, node: str) -> bytes:
    """Return what a sealed token is bound to."""
    return "\n".join((run_id, node, _TOKEN)).encode("utf-8")


class Bootstrap:
    """Plans and applies what one node needs.

    Args:
        store: The host's files.
        found: What discovery says of a host before it joins.
        now: Seconds since 1970.
    """

    def __init__(self, store: Store, found: t.Mapping[str, t.Any], now: float) -> None:
        self._store = store
        self._host = host = store.host
        self._now = now
        self.node = str(found["node_name"])
        self._kubelet = found["kubelet"]
        self._socket = str(found["socket"] or "")
        self._units = [read_text(host.path(unit)) or "" for unit in self._kubelet["units"]]
        # Of its files, not of a kubelet that may still run with others.
        self._command = kubelet_files.command_line(self._units, lambda path: read_text(host.path(path)))
        self._flags = {one.name: one.effective for one in parse_arguments(self._command[1:])}
        self._bootstrap = self._flags.get("bootstrap-kubeconfig") or KUBELET_BOOTSTRAP
        self._kubeconfig = self._flags.get("kubeconfig") or KUBELET_KUBECONFIG
        self._configuration = self._flags.get("config") or KUBELET_CONFIGURATION
        data = read_bytes(host.path(self._bootstrap))
        self._waiting = None if data is None else bootstrap.waiting(data, self._bootstrap)
        self.state = JOINED if self._has_joined() else NEW
        self._files: list[NewFile] = []
        self._removed: list[str] = []
        #: What a person should know, as sentences.
        self.notes: list[str] = []
        #: What is not in force though it is written, as sentences.
        self.not_done: list[str] = []

    def _has_joined(self) -> bool:
        """Return whether the kubelet has a kubeconfig that it would use: else it asks for a certificate."""
        data = read_bytes(self._host.path(self._kubeconfig))
        if data is None:
            return False
        facts = kubeconfig.parse(data, self._kubeconfig)
        if facts.other_credentials:
            return True  # the owner's own way
        certificate, key = (
            content or (read_bytes(self._host.path(path)) if path else None)
            for content, path in ((facts.certificate, facts.certificate_file), (facts.key, facts.key_file))
        )
        if certificate is None or key is None:
            return False
        shown = profile.from_pem(certificate, facts.certificate_file or self._kubeconfig)
        own = keys.load_private(key, facts.key_file or self._kubeconfig)
        return keys.public_bytes(own) == shown.public_key and shown.not_before <= self._now < shown.not_after

    def recover(self) -> list[str]:
        """Finish what a run that died had begun, and remove what it left; returns it as sentences.

        What is there may be something else then than what was seen.
        """
        finished = finish_files(self._host)
        history.remove_leftovers(self._host)
        places = [self._bootstrap, self._configuration, KUBELET_INSTANCE, KUBELET_FLAGS, KUBELET_DROP_IN]
        remove_leftovers(self._host, [*places, *KUBELET_OVERRIDES, f"{PKI}/ca.crt"])
        return finished

    def look(self) -> dict[str, t.Any]:
        """Return what a control plane must know of this node: nothing of it is a secret.

        What is in the way of a node that is to join is met here, before there is a token for it.

        Raises:
            HardeningError: What it is.
        """
        waits = self._waiting or bootstrap.Waiting("", True)
        if self.state == NEW and not (waits.id or waits.ours):
            raise HardeningError(
                "KH313",
                f"{self._bootstrap} on this host is somebody else's and holds no bootstrap token. Nothing was changed; "
                "let the kubelet join with it, or remove it and run again.",
            )
        known: list[str] | None = None
        if self.state == NEW:
            self._plan_flags()
            text = read_text(self._host.path(self._configuration))
            if text is not None:
                kubeletconfig.apply(text, {}, self._configuration)
            known = self._authorities(self._authority_path(text))
        return {
            "node_name": self.node,
            "state": self.state,
            "token_id": waits.id,
            "spent": self.state == JOINED and self._waiting is not None and waits.ours,
            "authorities": known,
        }

    # What would change

    def plan(self, given: str, cluster: Cluster | None, token: str, rotates: t.Mapping[str, t.Any]) -> list[Change]:
        """Return what would change, without changing it.

        Args:
            given: What becomes of the node's token.
            cluster: What a control plane says, None where no node is to join.
            token: The new token; empty in check mode, where there is none yet.
            rotates: The setting by which the kubelet renews its certificate.
        """
        self._files, self._removed, self.notes, self.not_done = [], [], [], []
        if given == REMOVE or cluster is None:
            return self._plan_removal() if given == REMOVE else []
        changes = [
            *self._plan_authority(cluster),
            *(self._plan_token(cluster, token) if given == MAKE else []),
            *self._plan_flags(),
            *self._plan_configuration(cluster.configuration, rotates),
        ]
        self._tell()
        return [*self._store.missing_directories(change.target for change in changes), *changes]

    def _plan_removal(self) -> list[Change]:
        if self._waiting is None:
            return []
        self._removed = [self._bootstrap]
        return [Change("file", self._bootstrap, "remove", f"credentials: bootstrap token {self._waiting.id}\n")]

    def _lay(self, path: str, before: str | None, after: str, secret: bool = False) -> list[Change]:
        """Return the change of a text file, none where it is right."""
        if before == after:
            return []
        self._files.append(self._store.new_file(path, after.encode("utf-8"), secret))
        return [file_change("file", path, before, after, [])]

    def _authority_path(self, configuration: str | None) -> str:
        """Return by which file the kubelet knows who asks it, when its configuration has this text."""
        fields = kubelet_files.load(configuration or "{}", self._configuration)
        named = kubeletconfig.at(fields, "authentication.x509.clientCAFile")
        return self._flags.get("client-ca-file") or str(named or f"{PKI}/ca.crt")

    def _authorities(self, path: str) -> list[str] | None:
        """Return the fingerprints of the certificates in a file, None where there is none."""
        data = read_bytes(self._host.path(path))
        return None if data is None else [one.fingerprint for one in bundle.parse(data, path)]

    def _plan_authority(self, cluster: Cluster) -> list[Change]:
        path = self._authority_path(read_text(self._host.path(self._configuration)) or cluster.configuration)
        wanted = bundle.parse(cluster.clients, "what kube-apiserver knows its clients by")
        known = self._authorities(path)
        if known is not None:
            require_authority(known, cluster, self.node)
            return []
        self._files.append(self._store.new_file(path, bundle.join(wanted), secret=False))
        return [Change("file", path, "create", None, texts.chain(wanted))]

    def _plan_token(self, cluster: Cluster, token: str) -> list[Change]:
        """Lay the kubeconfig with the token, of which a difference shows all but that."""
        authorities = bundle.parse(cluster.authority, "what the API servers are known by")
        told = f"server: {cluster.server}\nuser: {bootstrap.USER}\ncredentials: a bootstrap token of this node alone\n"
        told += "".join(f"authority: {one.profile.subject}, {one.fingerprint}\n" for one in authorities)
        before = (
            None if self._waiting is None else f"credentials: bootstrap token {self._waiting.id}, which is not valid\n"
        )
        data = bootstrap.kubeconfig_with(cluster.server, cluster.authority, token)
        self._files.append(self._store.new_file(self._bootstrap, data, secret=True))
        return [Change("file", self._bootstrap, "create" if before is None else "update", before, told)]

    def _plan_flags(self) -> list[Change]:
        """Give the kubelet the flags that it lacks, in the place from which this host's kubelet reads its own."""
        paths = {
            "bootstrap-kubeconfig": self._bootstrap,
            "kubeconfig": self._kubeconfig,
            "config": self._configuration,
        }
        missing = {name: path for name, path in paths.items() if name not in self._flags}
        if not missing:
            return []
        places = [(KUBELET_FLAGS, kubelet_files.KUBEADM_ARGUMENTS)]
        places += [(path, kubelet_files.OWN_ARGUMENTS) for path in KUBELET_OVERRIDES]
        for path, variable in places:
            if any(kubelet_files.reads(unit, path, variable) for unit in self._units):
                before = read_text(self._host.path(path))
                return self._lay(path, before, kubelet_files.set_flags(before or "", missing, variable))
        if len(self._command) > 1:
            raise HardeningError(
                "KH122",
                f"The unit of this host's kubelet reads neither {KUBELET_FLAGS} nor {KUBELET_OVERRIDES[0]}, where "
                f"{' and '.join(f'--{name}={path}' for name, path in missing.items())} would be written. Nothing was "
                "changed; write these flags into the unit, and run again.",
            )
        program = self._command[0] if self._command else "/usr/bin/kubelet"
        before = read_text(self._host.path(KUBELET_DROP_IN))
        return self._lay(KUBELET_DROP_IN, before, kubelet_files.drop_in(program, missing, dict(places)))

    def _plan_configuration(self, configuration: str, rotates: t.Mapping[str, t.Any]) -> list[Change]:
        """Let the kubelet renew its certificate; one without a configuration gets that of the cluster's kubelets."""
        before = read_text(self._host.path(self._configuration))
        base = configuration if before is None else before
        settings = {_ROTATES: rotates, **(self._resolver(base) if before is None else {})}
        changes = []
        endpoint = self._endpoint(base, is_new=before is None)
        if endpoint:
            # kubeadm join writes both, and lays the second over its ConfigMap at each upgrade.
            settings[_RUNTIME] = {"exact": endpoint}
            own = read_text(self._host.path(KUBELET_INSTANCE))
            changes += [] if own else self._lay(KUBELET_INSTANCE, own, f"{_RUNTIME}: {endpoint}\n", secret=True)
        after, _controls = kubeletconfig.apply(base, settings, self._configuration)
        changes += self._lay(self._configuration, before, after, secret=before is None)
        flag = self._flags.get(kubeletconfig.OVERRIDING_FLAGS[_ROTATES])
        if flag is not None and parse_bool(flag) is not True:
            self.not_done.append(
                f"The kubelet's flag --rotate-certificates={flag} beats {_ROTATES} in {self._configuration}, so that "
                f"{self.node} is lost when its first certificate ends; take the flag out."
            )
        return changes

    def _endpoint(self, configuration: str, is_new: bool) -> str:
        """Return where the container runtime is, empty where nobody knows, or the host's own files say it already.

        It is where the others have theirs if this host has it there too.
        """
        named = str(kubelet_files.load(configuration, self._configuration).get(_RUNTIME) or "")
        if self._flags.get(_RUNTIME_FLAG) or (named and not is_new):
            return ""
        if named and os.path.exists(self._host.path(named.removeprefix("unix://"))):
            return named
        if self._host.live and not self._socket:
            todo = f"at {named}, where the others have theirs" if named else "and run again, which says where it is"
            self.not_done.append(
                f"No container runtime was found on {self.node}, without which its kubelet does not start: start one, "
                f"{todo}."
            )
        return f"unix://{self._socket}" if self._socket else ""

    def _resolver(self, configuration: str) -> dict[str, dict[str, str]]:
        """Return the setting of the file that names DNS servers, none where what there is does.

        kubeadm keeps it out of its ConfigMap, and sets it on each node that has systemd-resolved.
        """
        if _RESOLVER_FLAG in self._flags:
            return {}
        named = kubelet_files.load(configuration, self._configuration).get(_RESOLVER)
        if named is None and os.path.exists(self._host.path(_RESOLVED)):
            return {_RESOLVER: {"exact": _RESOLVED}}
        if named and not os.path.exists(self._host.path(str(named))):
            self.notes.append(
                f"{_RESOLVER} in {self._configuration} is {named}, as ConfigMap kubelet-config has it, and there is no "
                f"such file on {self.node}: pods do not start there without it. Name another in {self._configuration}."
            )
        return {}

    def _tell(self) -> None:
        """Say how the kubelet is started, which is nobody's but the owner's to do."""
        if not self._host.live:
            return
        if not any(unit.endswith("/kubelet.service") for unit in self._kubelet["units"]):
            self.notes.append(
                f"There is no kubelet on {self.node} yet: install it, not newer than the API servers, and start it: "
                f"`{_START}`."
            )
        elif not self._kubelet["running"]:
            self.notes.append(f"{self.node} joins when its kubelet is started: `{_START}`.")
        elif self._files:
            self.notes.append(f"{self.node} joins when its kubelet is started anew: `{_RESTART}`.")

    # The change

    def apply(self, backup: Backup) -> None:
        """Write all of it together, or remove what is spent.

        Nothing of it goes back with a rollback, which the record says; the bytes of what was there are kept, but for
        tokens.

        Raises:
            HardeningError: What was refused; every file is then what it was.
        """
        owner = (0, 0) if self._host.can_own else None
        for directory in sorted({os.path.dirname(file.path) for file in self._files}):
            require_room(self._host.path(directory), sum(len(file.data) for file in self._files))
            make_directory(self._host.path(directory), DIRECTORY_MODE, owner)
        for file in self._files:
            if file.path == self._bootstrap:
                backup.note("one_way", file.path, why=_STAYS)
            else:
                backup.keep(file.path, _STAYS)
        if self._files:
            replace_together(self._host, self._files)
        for path in self._removed:
            backup.note("one_way", path, why=_SPENT)
            remove_file(self._host.path(path))


def require_authority(known: t.Iterable[str], cluster: Cluster, node: str) -> None:
    """Refuse a node that knows others than the cluster by the file that is there.

    Args:
        known: The fingerprints in its file.
        cluster: What a control plane says.
        node: Its name.

    Raises:
        HardeningError: The cluster's authority is not among them.
    """
    wanted = bundle.parse(cluster.clients, "what kube-apiserver knows its clients by")
    if not {one.fingerprint for one in wanted}.issubset(known):
        raise HardeningError(
            "KH313",
            f"The file by which the kubelet of {node} knows who asks it (clientCAFile, else {PKI}/ca.crt) is there "
            "without the cluster's authority, so that it would answer nobody. No file was changed; remove it where it "
            "is another cluster's or an old one, and run again.",
        )


def opened(store: Store, sealed: str, node: str) -> str:
    """Return the token that was sealed for this node, with the one-time key that an earlier call made.

    Raises:
        HardeningError: It was sealed for another node or run, or changed on its way.
    """
    return one_time.receiver(store).open(one_time.decoded(sealed), context(store.run_id, node)).decode("ascii")
