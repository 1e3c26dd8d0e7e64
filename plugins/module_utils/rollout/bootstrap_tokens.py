# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap tokens of nodes, made and removed through the API, and what a control plane says to a node that joins."""

from __future__ import annotations

import base64
import dataclasses
import typing as t
from urllib.parse import quote

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import kubeletconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_bool
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change
from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_bytes
from ansible_collections.kubeharden.core.plugins.module_utils.pki import bootstrap, kubeconfig, names, sealed
from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import Kubectl
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask_named
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import bootstrap as node_side, one_time
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.bootstrap import JOINED, KEEP, MAKE, NEW, REMOVE

_SECRETS = f"/api/v1/namespaces/{bootstrap.NAMESPACE}/secrets"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
#: The port of API servers where an endpoint names none.
_PORT = 6443
_MINUTE = 60.0
#: Why neither goes back.
_ENDS = "it ends by itself, and the next run removes it when the node has joined."
_KUBEADMS = "kubeadm makes it too, at each upgrade."


@dataclasses.dataclass(frozen=True)
class Node:
    """A node that is to join, or has.

    Attributes:
        name: As a node.
        state: `NEW` or `JOINED`.
        token_id: Of the token in its bootstrap kubeconfig, empty for none.
        receiver: Its one-time key, empty in check mode.
        authorities: The fingerprints in the file by which it knows who asks its kubelet, None where there is none.
    """

    name: str
    state: str
    token_id: str
    receiver: str = ""
    authorities: tuple[str, ...] | None = None

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> Node:
        """Return it from what the node's own call returned."""
        known = data.get("authorities")
        return cls(
            str(data["node_name"]),
            data["state"],
            str(data["token_id"]),
            str(data.get("receiver") or ""),
            None if known is None else tuple(known),
        )


@dataclasses.dataclass(frozen=True)
class Given:
    """What becomes of a node's token: `KEEP`, `MAKE` or `REMOVE`, the new one sealed, and when it ends.

    Empty are `sealed` but for a new one, and `ends` for one that never ends, or is still to be made or removed.
    """

    action: str
    sealed: str = ""
    ends: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the API's objects become.

    Attributes:
        bindings: Those that are missing.
        removed: Tokens of ours that nobody will come with, with their nodes.
        given: By node, what becomes of its token.
    """

    bindings: tuple[bootstrap.Binding, ...]
    removed: tuple[tuple[bootstrap.KnownToken, str], ...]
    given: t.Mapping[str, Given]


def require_fit(nodes: t.Sequence[Node], cluster: node_side.Cluster) -> None:
    """Refuse a node that is to join and knows another cluster, before there is a token for it.

    Raises:
        HardeningError: Which, and by what.
    """
    for node in nodes:
        if node.state == NEW and node.authorities is not None:
            node_side.require_authority(node.authorities, cluster, node.name)


def plan(
    nodes: t.Sequence[Node],
    tokens: t.Sequence[bootstrap.KnownToken],
    bindings: t.Sequence[t.Mapping[str, t.Any]],
    now: float,
) -> Plan:
    """Return what is to be done, without doing it.

    A node keeps a token with which it can still come, whoever made it, and a person has the time to start its kubelet.
    What we made for it beside is removed: its secret half is nowhere any more.

    Args:
        nodes: Of the run.
        tokens: That there are.
        bindings: The cluster's ClusterRoleBindings.
        now: Seconds since 1970.

    Raises:
        HardeningError: Two hosts that say they are one node, or a binding in the way.
    """
    given: dict[str, Given] = {}
    removed = []
    for node in nodes:
        if node.name in given:
            raise HardeningError(
                "KH313",
                f"Two hosts of this run say that they are the node {node.name or 'without a name'}, so no token was "
                "made. Give each its own name in /etc/hostname.",
            )
        kept = [one for one in tokens if one.id == node.token_id and one.is_valid(now + bootstrap.SHORTEST * _MINUTE)]
        if node.state == NEW and kept:
            ends = kept[0].ends
            given[node.name] = Given(KEEP, ends="" if ends is None else bootstrap.time_of(ends))
        else:
            kept, given[node.name] = [], Given(REMOVE if node.state == JOINED else MAKE)
        own = [one for one in tokens if one.description == bootstrap.description(node.name)]
        removed += [(one, node.name) for one in own if one not in kept]
    joining = any(node.state == NEW for node in nodes)
    missing = bootstrap.missing_bindings(bindings) if joining else []
    return Plan(tuple(missing), tuple(removed), given)


def changes(wanted: Plan, minutes: int) -> list[Change]:
    """Return the plan as changes; which id a token gets is left to chance, and so is not told.

    Args:
        wanted: The plan.
        minutes: For which tokens are made.
    """
    found = [
        Change(
            "api_object",
            f"ClusterRoleBinding {one.name}",
            "create",
            None,
            f"role: ClusterRole {one.role}\nsubject: Group {one.group}\nwhy: it {one.why}\n",
        )
        for one in wanted.bindings
    ]
    for _token, node in wanted.removed:
        found.append(Change("api_object", _secret_of(node), "remove", f"{bootstrap.description(node)}\n", None))
    for node, one in wanted.given.items():
        if one.action == MAKE:
            told = f"{bootstrap.description(node)}\nusage: authentication\ngroup: {bootstrap.GROUP}\n"
            found.append(
                Change("api_object", _secret_of(node), "create", None, f"{told}ends: after {minutes} minutes\n")
            )
    return found


def _secret_of(node: str) -> str:
    return f"Secret in {bootstrap.NAMESPACE} with a bootstrap token of {node}"


def apply(
    kubectl: Kubectl, wanted: Plan, nodes: t.Sequence[Node], minutes: int, backup: Backup, now: float
) -> dict[str, Given]:
    """Make the plan true; return by node what it is given, new tokens sealed to its one-time key.

    Args:
        kubectl: With the administrator's rights.
        wanted: The plan.
        nodes: Of the run.
        minutes: For which tokens are made.
        backup: Of the run, on this host.
        now: Seconds since 1970.
    """
    for binding in wanted.bindings:
        what = f"ClusterRoleBinding {binding.name}"
        backup.note("one_way", what, why=_KUBEADMS)
        kubectl.create_object(_BINDINGS, what, binding.document())
    for old, node_name in wanted.removed:
        kubectl.remove_object(f"{_SECRETS}/{quote(old.name, safe='')}", _secret_of(node_name), old.uid)
    receivers = {node.name: node.receiver for node in nodes}
    given = dict(wanted.given)
    for node_name, one in wanted.given.items():
        if one.action != MAKE:
            continue
        token, ends = bootstrap.new_token(), now + minutes * _MINUTE
        public = one_time.decoded(receivers[node_name])
        # Sealed before it is made: one that nobody could open would be of no use to anybody but a thief.
        closed = sealed.seal(token.text.encode("ascii"), public, node_side.context(backup.run_id, node_name))
        backup.note("one_way", _secret_of(node_name), why=_ENDS)
        kubectl.create_object(_SECRETS, _secret_of(node_name), bootstrap.secret(token, node_name, ends))
        text = base64.b64encode(closed).decode("ascii")
        given[node_name] = Given(MAKE, text, bootstrap.time_of(ends))
    return given


def known_tokens(kubectl: Kubectl) -> list[bootstrap.KnownToken]:
    """Return every bootstrap token of the cluster, without its secret half."""
    address = f"{_SECRETS}?fieldSelector={quote(f'type={bootstrap.TYPE}', safe='')}"
    return [bootstrap.known(document) for document in kubectl.list_objects(address)]


def cluster_bindings(kubectl: Kubectl) -> list[dict[str, t.Any]]:
    """Return the cluster's ClusterRoleBindings."""
    return kubectl.list_objects(_BINDINGS)


# What a control plane says


def require_acceptance(discovery: t.Mapping[str, t.Any]) -> None:
    """Refuse a cluster that knows no bootstrap tokens.

    Raises:
        HardeningError: kube-apiserver is not told to accept them.
    """
    flag = "enable-bootstrap-token-auth"
    flags = discovery["components"]["kube-apiserver"]["flags"]
    if parse_bool(flags.get(flag, "false")) is not True:
        raise HardeningError(
            "KH313",
            f"kube-apiserver of {discovery['node_name']} accepts no bootstrap tokens (--{flag}), so that no node can "
            f"join by TLS bootstrap. Nothing was changed; set {flag} to true in kubeharden_extra_flags of "
            "kube-apiserver, run harden.yml, and run again.",
        )


def notes(discovery: t.Mapping[str, t.Any]) -> list[str]:
    """Return what a person should know of who signs what a kubelet asks for."""
    flags = discovery["components"].get("kube-controller-manager", {}).get("flags", {})
    if flags.get("cluster-signing-cert-file") and flags.get("cluster-signing-key-file"):
        return []
    sentence = (
        "kube-controller-manager signs nothing here, so a node that joins waits until its request is signed: where the "
        "controller has the authority's key, run rotate_certificates.yml when its kubelet has started."
    )
    return [sentence]


def cluster_of(
    kubectl: Kubectl,
    discovery: t.Mapping[str, t.Any],
    endpoint: str,
    read: t.Callable[[str], bytes | None] = read_bytes,
) -> node_side.Cluster:
    """Return what this control plane says to a node that joins.

    Args:
        kubectl: With the administrator's kubeconfig, by whose authorities and, where nothing else says it, at whose
            server the API is found.
        discovery: Of this host.
        endpoint: Where the user says that the API is, empty where he does not.
        read: Reads a file of this host.

    Raises:
        HardeningError: Something of it is missing here, or may not be shown.
    """
    path = kubectl.kubeconfig_path
    admin = kubeconfig.parse(_bytes(read, path), path)
    authority = admin.authority or (_bytes(read, admin.authority_file) if admin.authority_file else b"")
    if not authority:
        raise HardeningError(
            "KH302",
            f"{path} names no authority, so that a kubelet could not tell the API server from another. Nothing was "
            "changed; write the cluster's certificate-authority into it.",
        )
    said = endpoint or _endpoint(_text(kubectl, "kubeadm-config", "ClusterConfiguration"))
    server = f"https://{names.host_and_port(*names.endpoint(said, _PORT))}" if said else admin.server
    return node_side.Cluster(server, authority, _clients(read, discovery), _configuration(kubectl))


def _bytes(read: t.Callable[[str], bytes | None], path: str) -> bytes:
    data = read(path)
    if data is None:
        raise HardeningError(
            "KH302", f"{path} is missing on this host. Nothing was changed; bring it back from another control plane."
        )
    return data


def _clients(read: t.Callable[[str], bytes | None], discovery: t.Mapping[str, t.Any]) -> bytes:
    """Return by what kube-apiserver knows its clients, of which it is one itself where it asks a kubelet."""
    use = ("kube-apiserver", "client-ca-file")
    paths = [one["path"] for one in discovery["certificates"] if (one["component"], one["flag"]) == use]
    if not paths:
        raise HardeningError(
            "KH302",
            "kube-apiserver of this host names no --client-ca-file, by which a node would know it. Nothing was "
            "changed; name one in its manifest.",
        )
    return _bytes(read, paths[-1])


def _text(kubectl: Kubectl, name: str, key: str) -> str:
    found = kubectl.get_config_map(bootstrap.NAMESPACE, name)
    return found.data.get(key, "") if found is not None else ""


def _endpoint(text: str) -> str:
    try:
        configuration = yaml_data.load(text)
    except yaml_data.NoYamlError:
        return ""  # who edits the ConfigMap refuses it; the administrator's kubeconfig says it too
    return str(configuration.get("controlPlaneEndpoint") or "") if isinstance(configuration, dict) else ""


def _configuration(kubectl: Kubectl) -> str:
    """Return what a kubelet is configured with that joins by kubeadm."""
    text = _text(kubectl, "kubelet-config", "kubelet")
    if not text:
        raise HardeningError(
            "KH313",
            "ConfigMap kubelet-config in kube-system is missing or empty, so that a new kubelet could not be "
            "configured as the others are. Nothing was changed; make it with `kubeadm init phase upload-config "
            "kubelet`, and run again.",
        )
    kubeletconfig.apply(text, {}, "The configuration in ConfigMap kubelet-config of kube-system")
    if mask_named(text) != text:
        raise HardeningError(
            "KH313",
            "ConfigMap kubelet-config in kube-system has a header with a secret for requests of static pods, which is "
            "not carried through a play. Nothing was changed; join the node with `kubeadm join`.",
        )
    return text
