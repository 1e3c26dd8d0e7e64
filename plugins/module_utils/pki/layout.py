# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a cluster's PKI: every authority, leaf and kubeconfig, and what each host needs of them.

The rows are kubeadm's (cmd/kubeadm/app/phases/certs/certlist.go and phases/kubeconfig/kubeconfig.go, read at 1.37.1),
and beside them what kubeadm leaves to the components: serving certificates of controller-manager and scheduler,
certificates of kubelets. `host_pki` computes one host's share from the facts of the cluster; nothing here is computed
in Jinja.
"""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.pki import names as name_rules
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import NO_NAMES, Names
from ansible_collections.kubeharden.core.plugins.module_utils.pki.profile import (
    CLIENT,
    SERVER,
    Profile,
    wanted,
    wanted_authority,
)

CONTROL_PLANE = "control_plane"
ETCD = "etcd"
NODE = "node"

KUBERNETES = "kubernetes"
ETCD_AUTHORITY = "etcd"
FRONT_PROXY = "front-proxy"
SERVICE_ACCOUNT = "service-account"


@dataclass(frozen=True)
class HostFacts:
    """One host: its name as a Kubernetes node, and its addresses, the one that it advertises first."""

    node_name: str
    addresses: tuple[str, ...]
    # Further names and addresses that the user wants in this host's serving certificates.
    extra_names: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        if not self.addresses:
            raise HardeningError(
                "KH301",
                f"The host '{self.node_name}' has no address; nothing was changed. Give it one in the inventory.",
            )
        return name_rules.normalised_address(self.addresses[0])


@dataclass(frozen=True)
class ClusterFacts:
    """What the certificates of a cluster depend on. Empty `etcd` means that the control planes run it."""

    control_planes: tuple[HostFacts, ...]
    nodes: tuple[HostFacts, ...] = ()
    etcd: tuple[HostFacts, ...] = ()
    # Where clients find the API servers: host or host:port (kubeadm: controlPlaneEndpoint); empty: the first control
    # plane.
    load_balancer: str = ""
    # Whether the user said so, rather than that it was found: an adopted certificate must have its name too.
    endpoint_asked: bool = False
    service_network: str = "10.96.0.0/12"
    dns_domain: str = "cluster.local"
    # Further names and addresses of the API servers (kubeadm: apiServer.certSANs).
    extra_names: tuple[str, ...] = ()
    version: tuple[int, int, int] = (1, 37, 0)
    api_port: int = 6443

    @property
    def etcd_hosts(self) -> tuple[HostFacts, ...]:
        return self.etcd or self.control_planes

    def roles(self, node_name: str) -> frozenset[str]:
        """CONTROL_PLANE, ETCD, NODE: what the host is. A control plane is a node too: it runs a kubelet."""
        groups = {CONTROL_PLANE: self.control_planes, ETCD: self.etcd_hosts, NODE: self.control_planes + self.nodes}
        return frozenset(role for role, hosts in groups.items() if any(host.node_name == node_name for host in hosts))

    def host(self, node_name: str) -> HostFacts:
        for host in self.control_planes + self.nodes + self.etcd:
            if host.node_name == node_name:
                return host
        raise HardeningError(
            "KH301", f"The cluster has no host '{node_name}'; nothing was changed. Name one of its hosts."
        )

    def endpoint(self) -> str:
        """``host:port`` under which every host reaches an API server."""
        if self.load_balancer:
            return name_rules.host_and_port(*name_rules.endpoint(self.load_balancer, self.api_port))
        if not self.control_planes:
            raise HardeningError(
                "KH301", "The cluster has no control plane; nothing was changed. Name one in the inventory."
            )
        return name_rules.host_and_port(self.control_planes[0].address, self.api_port)


@dataclass(frozen=True)
class AuthorityRow:
    """`path` has no suffix: ``.crt`` and ``.key`` are added."""

    name: str
    common_name: str
    path: str
    # Hosts that need the certificate to verify others.
    hosts: frozenset[str]


@dataclass(frozen=True)
class LeafRow:
    """`common_name` may hold ``{node_name}``; `names` is a key of NAME_RULES; `switch` a switch of Layout, empty:
    always."""

    name: str
    authority: str
    path: str
    hosts: frozenset[str]
    common_name: str
    usages: tuple[str, ...]
    names: str = "none"
    organizations: str = "none"
    switch: str = ""


@dataclass(frozen=True)
class KubeconfigRow:
    """A client of the API server: `server` is ``endpoint`` (what every host dials) or ``local`` (this control
    plane)."""

    name: str
    path: str
    hosts: frozenset[str]
    common_name: str
    server: str
    organizations: str = "none"
    switch: str = ""


_CONTROL_PLANES = frozenset({CONTROL_PLANE})
_ETCD_HOSTS = frozenset({ETCD})
_ALL = frozenset({CONTROL_PLANE, NODE})

AUTHORITIES = (
    AuthorityRow(KUBERNETES, "kubernetes", "{pki}/ca", _ALL),
    AuthorityRow(ETCD_AUTHORITY, "etcd-ca", "{pki}/etcd/ca", frozenset({CONTROL_PLANE, ETCD})),
    AuthorityRow(FRONT_PROXY, "front-proxy-ca", "{pki}/front-proxy-ca", _CONTROL_PLANES),
)

LEAVES = (
    LeafRow(
        "apiserver", KUBERNETES, "{pki}/apiserver", _CONTROL_PLANES, "kube-apiserver", (SERVER,), names="apiserver"
    ),
    LeafRow(
        "apiserver-kubelet-client",
        KUBERNETES,
        "{pki}/apiserver-kubelet-client",
        _CONTROL_PLANES,
        "kube-apiserver-kubelet-client",
        (CLIENT,),
        organizations="kubelet-client",
    ),
    LeafRow(
        "apiserver-etcd-client",
        ETCD_AUTHORITY,
        "{pki}/apiserver-etcd-client",
        _CONTROL_PLANES,
        "kube-apiserver-etcd-client",
        (CLIENT,),
        organizations="etcd-client",
    ),
    LeafRow(
        "front-proxy-client", FRONT_PROXY, "{pki}/front-proxy-client", _CONTROL_PLANES, "front-proxy-client", (CLIENT,)
    ),
    # etcd's own gateway and every peer dial with the certificate that they serve: both usages or they are refused.
    LeafRow(
        "etcd-server", ETCD_AUTHORITY, "{pki}/etcd/server", _ETCD_HOSTS, "{node_name}", (SERVER, CLIENT), names="etcd"
    ),
    LeafRow("etcd-peer", ETCD_AUTHORITY, "{pki}/etcd/peer", _ETCD_HOSTS, "{node_name}", (SERVER, CLIENT), names="etcd"),
    LeafRow(
        "etcd-healthcheck-client",
        ETCD_AUTHORITY,
        "{pki}/etcd/healthcheck-client",
        _ETCD_HOSTS,
        "kube-etcd-healthcheck-client",
        (CLIENT,),
        organizations="etcd-client",
    ),
    # Each in a directory of its own, which is mounted alone: the scheduler gets no other key with it.
    LeafRow(
        "controller-manager-server",
        KUBERNETES,
        "{pki}/controller-manager/server",
        _CONTROL_PLANES,
        "kube-controller-manager",
        (SERVER,),
        names="local",
        switch="component_serving",
    ),
    LeafRow(
        "scheduler-server",
        KUBERNETES,
        "{pki}/scheduler/server",
        _CONTROL_PLANES,
        "kube-scheduler",
        (SERVER,),
        names="local",
        switch="component_serving",
    ),
    # The subject is the one that the signer kubernetes.io/kubelet-serving demands, and that KEP-4872 will demand of
    # all.
    LeafRow(
        "kubelet-server",
        KUBERNETES,
        "{kubelet}/kubelet",
        _ALL,
        "system:node:{node_name}",
        (SERVER,),
        names="node",
        organizations="nodes",
        switch="kubelet_serving",
    ),
    LeafRow(
        "kubelet-client",
        KUBERNETES,
        "{kubelet}/kubelet-client",
        _ALL,
        "system:node:{node_name}",
        (CLIENT,),
        organizations="nodes",
        switch="kubelet_client",
    ),
)

KUBECONFIGS = (
    KubeconfigRow("admin", "{configuration}/admin.conf", _CONTROL_PLANES, "kubernetes-admin", "endpoint", "admin"),
    KubeconfigRow(
        "super-admin",
        "{configuration}/super-admin.conf",
        _CONTROL_PLANES,
        "kubernetes-super-admin",
        "endpoint",
        "masters",
        switch="super_admin",
    ),
    KubeconfigRow(
        "controller-manager",
        "{configuration}/controller-manager.conf",
        _CONTROL_PLANES,
        "system:kube-controller-manager",
        "local",
    ),
    KubeconfigRow("scheduler", "{configuration}/scheduler.conf", _CONTROL_PLANES, "system:kube-scheduler", "local"),
    KubeconfigRow("kubelet", "{configuration}/kubelet.conf", _ALL, "system:node:{node_name}", "local", "nodes"),
)


def _no_names(_cluster: ClusterFacts, _host: HostFacts) -> Names:
    """For clients: Kubernetes knows them by subject."""
    return NO_NAMES


def _apiserver_names(cluster: ClusterFacts, host: HostFacts) -> Names:
    """kubeadm: GetAPIServerAltNames."""
    values = [host.node_name, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    if cluster.dns_domain:
        values.append(f"kubernetes.default.svc.{cluster.dns_domain}")
    values += [name_rules.first_service_address(cluster.service_network), host.address]
    if cluster.load_balancer:
        values.append(name_rules.endpoint(cluster.load_balancer, cluster.api_port)[0])
    return name_rules.names(values)


def _etcd_names(_cluster: ClusterFacts, host: HostFacts) -> Names:
    """kubeadm: GetEtcdAltNames, GetEtcdPeerAltNames. All addresses of the host: an etcd peer that is dialled compares
    the address that the connection comes from with the caller's certificate."""
    return name_rules.names([host.node_name, "localhost", host.address, *host.addresses, "127.0.0.1", "::1"])


def _node_names(_cluster: ClusterFacts, host: HostFacts) -> Names:
    """What a kubelet asks for in its own request: its name and its addresses."""
    return name_rules.names([host.node_name, host.address, *host.addresses])


def _local_names(_cluster: ClusterFacts, host: HostFacts) -> Names:
    """For controller-manager and scheduler, which are dialled on the host itself or by its address. Of a host that has
    not joined yet that may not be known; then the name is added when it is."""
    return name_rules.names([host.node_name, "localhost", *host.addresses[:1], "127.0.0.1", "::1"])


NAME_RULES: dict[str, Callable[[ClusterFacts, HostFacts], Names]] = {
    "none": _no_names,
    "apiserver": _apiserver_names,
    "etcd": _etcd_names,
    "node": _node_names,
    "local": _local_names,
}


#: The first version, and those from which on groups are others.
_REGROUPED = ((1, 0, 0), (1, 29, 0), (1, 36, 1))
#: By minor version, the patch from which on kubeadm gives the API server's kubelet client no group: what was changed
#: for 1.37 was brought to those that were maintained in May 2026.
_WITHOUT_GROUP = {33: 12, 34: 8, 35: 5, 36: 1}


def organizations(rule: str, version: tuple[int, int, int]) -> tuple[str, ...]:
    """The groups of a client, which changed over kubeadm's versions.

    Since 1.29 administrators are in ``kubeadm:cluster-admins``, a group that can be taken away, instead of
    ``system:masters``, which cannot. Since 1.37, and late patches of those before, the API server's kubelet client is
    in no group at all and has a binding of its own. Clients of etcd, which knows no groups, were in ``system:masters``
    before 1.29, and stay so where kubeadm has renewed them since.
    """
    if rule == "etcd-client" and version >= (1, 29, 0):
        return ()
    if rule == "none" or (rule == "kubelet-client" and _has_binding(version)):
        return ()
    if rule == "nodes":
        return ("system:nodes",)
    if rule == "masters" or version < (1, 29, 0):
        return ("system:masters",)
    return ("kubeadm:cluster-admins",)


def _has_binding(version: tuple[int, int, int]) -> bool:
    """Whether kubeadm of that version binds the API server's kubelet client by its name."""
    major, minor, patch = version
    return version >= (1, 37, 0) or (major == 1 and minor in _WITHOUT_GROUP and patch >= _WITHOUT_GROUP[minor])


def known_organizations(name: str) -> frozenset[frozenset[str]]:
    """Every set of groups that a leaf may have by the table of some version: an adopted one keeps those of its own."""
    rules = {row.name: row.organizations for row in LEAVES}
    rules.update({f"{row.name}.conf": row.organizations for row in KUBECONFIGS})
    return frozenset(frozenset(organizations(rules[name], version)) for version in _REGROUPED)


def kept_organizations(name: str) -> frozenset[frozenset[str]]:
    """The sets of groups of other versions with which a leaf stays until it is due.

    They are a component's. The API server's kubelet client had a group up to late patches, and without it kubelets
    refuse it until `kubeadm upgrade` has made its binding. A kubeconfig's are a person's, and follow the version.
    """
    return known_organizations(name) if any(row.name == name for row in LEAVES) else frozenset()


@dataclass(frozen=True)
class PairPath:
    certificate: str
    key: str
    # Of an authority whose key is elsewhere, what tells it among others in the file: bundle.digest of its public key.
    signer: str = ""


@dataclass(frozen=True)
class Layout:
    """Where things lie, and which of the optional rows the cluster has. The default is kubeadm's."""

    pki: str = "/etc/kubernetes/pki"
    configuration: str = "/etc/kubernetes"
    kubelet: str = "/var/lib/kubelet/pki"
    # Other places of single authorities and leaves, and of kubeconfigs, by the name of their row.
    pairs: Mapping[str, PairPath] = field(default_factory=dict)
    kubeconfigs: Mapping[str, str] = field(default_factory=dict)
    # Serving certificates of controller-manager and scheduler, which otherwise sign one for themselves at each start.
    component_serving: bool = False
    # Certificates of kubelets made here instead of by the kubelets' own requests.
    kubelet_serving: bool = False
    kubelet_client: bool = False
    # Whether kubelet.conf holds the kubelet's first certificate, as kubeadm init wants it where the authority's key is
    # elsewhere. It lets it name the rotating file when the kubelet has made one of it.
    kubelet_first: bool = False
    # Whether this host has super-admin.conf: since 1.29 kubeadm makes it where it was initialised.
    super_admin: bool = False
    # Kubeconfigs that name files instead of holding data. kubeadm's renewal refuses those.
    file_references: bool = False
    # False: the keys of the authorities stay on the controller, no host has them.
    authority_keys_on_hosts: bool = True
    # Names of rows that this host does not have: nothing that runs there reads them.
    absent: frozenset[str] = frozenset()
    # By the name of a row, files beside its own whose keys are believed as those of the row are.
    believed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def pair(self, name: str, path: str) -> PairPath:
        base = path.format(pki=self.pki, configuration=self.configuration, kubelet=self.kubelet)
        return self.pairs.get(name) or PairPath(base + ".crt", base + ".key")

    def client_pair(self, name: str) -> PairPath:
        """Where certificate and key of a kubeconfig lie that names files."""
        return self.pair(f"{name}.conf", "{pki}/" + name + "-client")

    def check(self) -> None:
        """HardeningError for a path given to a row that the table does not have."""
        known_pairs = [row.name for row in (*AUTHORITIES, *LEAVES)] + [SERVICE_ACCOUNT]
        known_kubeconfigs = [row.name for row in KUBECONFIGS]
        known_pairs += [f"{name}.conf" for name in known_kubeconfigs]
        for given, known in ((self.pairs, known_pairs), (self.kubeconfigs, known_kubeconfigs)):
            for name in given:
                if name not in known:
                    nearest = difflib.get_close_matches(name, known, 1)
                    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(known)}."
                    raise HardeningError(
                        "KH301",
                        f"The PKI has nothing named '{name}' that a path could be set for; {hint} Nothing was changed.",
                    )

    @property
    def rotating_kubelet_client(self) -> str:
        """The file that the kubelet replaces with each certificate it gets, key and certificate together."""
        return f"{self.kubelet}/kubelet-client-current.pem"


@dataclass(frozen=True)
class HostAuthority:
    """An authority on one host: the certificate always, the key where it is needed to sign."""

    name: str
    path: PairPath
    has_key: bool
    profile: Profile

    @property
    def chain_file(self) -> str:
        """Where an intermediate's own certificate lies with those above it: ``ca-chain.crt`` beside ``ca.crt``.

        ``ca.crt`` itself holds one certificate. Whoever trusted those above would trust all else below them too, and
        kube-controller-manager takes no file with two for ``--cluster-signing-cert-file``.
        """
        base, suffix = posixpath.splitext(self.path.certificate)
        return f"{base}-chain{suffix}"


@dataclass(frozen=True)
class Leaf:
    """A leaf on one host. `kubeconfig` is the file that holds certificate and key when they have no files of their
    own."""

    name: str
    authority: str
    profile: Profile
    path: PairPath | None = None
    kubeconfig: str = ""
    # Of the names, those that the user asked for by a variable: an adopted certificate must have these too.
    asked_names: Names = NO_NAMES

    @property
    def certificate_file(self) -> str:
        return self.path.certificate if self.path else self.kubeconfig


@dataclass(frozen=True)
class HostKubeconfig:
    """A kubeconfig on one host; `leaf` is the name of its leaf, empty when it points at a certificate that rotates."""

    name: str
    path: str
    server: str
    user: str
    authority: PairPath
    leaf: str = ""
    # Certificate and key by path instead of by content; None: by content.
    client_files: PairPath | None = None
    authority_by_file: bool = False


@dataclass(frozen=True)
class HostPki:
    """Everything that one host has of the cluster's PKI."""

    node_name: str
    authorities: tuple[HostAuthority, ...]
    leaves: tuple[Leaf, ...]
    kubeconfigs: tuple[HostKubeconfig, ...]
    # Private and public half of the service-account pair; None on hosts that have none.
    service_account: PairPath | None
    # Whether it runs pods alone, so that it is trusted with no name but its own.
    is_worker: bool = False
    # As in the layout.
    believed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def leaf(self, name: str) -> Leaf:
        return next(leaf for leaf in self.leaves if leaf.name == name)


def host_pki(layout: Layout, cluster: ClusterFacts, node_name: str) -> HostPki:
    """One host's share of the table. HardeningError for names that no certificate can carry."""
    layout.check()
    host = cluster.host(node_name)
    roles = cluster.roles(node_name)
    kubeconfigs = []
    leaves = [_leaf(layout, row, cluster, host) for row in LEAVES if _applies(layout, row, roles)]
    for row in KUBECONFIGS:
        if row.name in layout.absent or f"{row.name}.conf" in layout.absent:
            continue
        if row.hosts & roles and (not row.switch or _has_super_admin(layout, cluster)):
            kubeconfig, leaf = _kubeconfig(layout, row, cluster, host)
            kubeconfigs.append(kubeconfig)
            if leaf is not None:
                leaves.append(leaf)
    service_account = layout.pairs.get(SERVICE_ACCOUNT) or PairPath(f"{layout.pki}/sa.pub", f"{layout.pki}/sa.key")
    return HostPki(
        node_name=host.node_name,
        authorities=tuple(_authorities(layout, roles)),
        leaves=tuple(leaves),
        kubeconfigs=tuple(kubeconfigs),
        service_account=service_account if CONTROL_PLANE in roles and SERVICE_ACCOUNT not in layout.absent else None,
        is_worker=roles == {NODE},
        believed=layout.believed,
    )


def _applies(layout: Layout, row: LeafRow, roles: frozenset[str]) -> bool:
    if row.name in layout.absent:
        return False
    return bool(row.hosts & roles) and (not row.switch or bool(getattr(layout, row.switch)))


def _has_super_admin(layout: Layout, cluster: ClusterFacts) -> bool:
    return layout.super_admin and cluster.version >= (1, 29, 0)


def _authorities(layout: Layout, roles: frozenset[str]) -> list[HostAuthority]:
    found = []
    for row in AUTHORITIES:
        if row.hosts & roles and row.name not in layout.absent:
            # kubeadm's etcd hosts are control planes; on etcd hosts of their own nothing signs.
            has_key = layout.authority_keys_on_hosts and CONTROL_PLANE in roles
            profile = wanted_authority(row.common_name)
            found.append(HostAuthority(row.name, layout.pair(row.name, row.path), has_key, profile))
    return found


def _leaf(layout: Layout, row: LeafRow, cluster: ClusterFacts, host: HostFacts) -> Leaf:
    names = NAME_RULES[row.names](cluster, host)
    asked = NO_NAMES
    if names:
        asked = name_rules.names(host.extra_names + (_asked_of_servers(cluster) if row.names == "apiserver" else ()))
    profile = wanted(
        row.common_name.format(node_name=host.node_name),
        organizations(row.organizations, cluster.version),
        names | asked,
        row.usages,
    )
    return Leaf(row.name, row.authority, profile, path=layout.pair(row.name, row.path), asked_names=asked)


def _asked_of_servers(cluster: ClusterFacts) -> tuple[str, ...]:
    """The names that the user wants every API server to have."""
    if not (cluster.endpoint_asked and cluster.load_balancer):
        return cluster.extra_names
    return (*cluster.extra_names, name_rules.endpoint(cluster.load_balancer, cluster.api_port)[0])


def _kubeconfig(
    layout: Layout, row: KubeconfigRow, cluster: ClusterFacts, host: HostFacts
) -> tuple[HostKubeconfig, Leaf | None]:
    user = row.common_name.format(node_name=host.node_name)
    path = layout.kubeconfigs.get(row.name) or row.path.format(configuration=layout.configuration)
    is_local = row.server == "local" and CONTROL_PLANE in cluster.roles(host.node_name)
    server = name_rules.host_and_port(host.address, cluster.api_port) if is_local else cluster.endpoint()
    authority = layout.pair(KUBERNETES, AUTHORITIES[0].path)
    leaf: Leaf | None = None
    files: PairPath | None = None
    leaf_name = f"{row.name}.conf"
    if row.name == "kubelet" and not layout.kubelet_first:
        files = PairPath(layout.rotating_kubelet_client, layout.rotating_kubelet_client)
        leaf_name = ""
        if layout.kubelet_client:
            leaf_name = "kubelet-client"
            files = layout.pair(leaf_name, "{kubelet}/kubelet-client")
    else:
        profile = wanted(user, organizations(row.organizations, cluster.version), NO_NAMES, (CLIENT,))
        files = layout.client_pair(row.name) if layout.file_references else None
        leaf = Leaf(leaf_name, KUBERNETES, profile, path=files, kubeconfig="" if files else path)
    by_file = layout.file_references
    return HostKubeconfig(row.name, path, f"https://{server}", user, authority, leaf_name, files, by_file), leaf
