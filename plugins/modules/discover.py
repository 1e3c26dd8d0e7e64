#!/usr/bin/python
# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: discover
short_description: Say which Kubernetes components run on a host, how, and where their files are
version_added: 0.1.0
description:
  - Reads the kubelet's arguments and effective configuration, the static pods, the processes, the certificates in use
    and kubeadm's ConfigMaps, in one call. Changes nothing on the cluster.
  - Outside check mode it takes the host's lock for the run, so that two runs never change one host, and undoes what a
    run that died left under way.
  - Layouts other than kubeadm's are recognised and refused with one sentence.
extends_documentation_fragment:
  - kubeharden.core.host
  - kubeharden.core.on_host
options:
  control_plane:
    description: Whether the inventory says that this host is a control plane.
    type: bool
    default: false
  etcd:
    description:
      - Whether the inventory says that this host is a member of etcd. On a control plane its manifest must then be
        there, as it must where kube-apiserver asks an etcd of its own host, unless etcd is run by something else.
    type: bool
    default: false
  etcd_alone:
    description:
      - Whether the inventory says that this host is a member of etcd and neither a control plane nor a node. Where it
        has nothing of Kubernetes it is left alone then.
    type: bool
    default: false
  complete:
    description:
      - Whether a control plane must have the manifest of each of its components, and a name of its node. That of
        kube-apiserver it must have in any case.
    type: bool
    default: true
  read_api:
    description:
      - Whether to read kubeadm's ConfigMaps; one control plane is enough for that. With O(asks_api), whether to see
        which version the API server has, and whether kube-proxy may be changed through this node.
    type: bool
    default: false
  asks_api:
    description:
      - Whether the inventory has no control plane, and O(kubeconfig) is on this node for the API to be asked by. What a
        run that died left under way there is then put back through this node.
    type: bool
    default: false
  pod_security_level:
    description:
      - The level of Pod Security that is going to be enforced where a namespace says nothing; with O(read_api), the
        namespaces whose pods it refuses are found by a dry run. Nothing is asked for C(privileged).
    type: str
    default: privileged
  pod_security_begins:
    description: Whether that level is enforced also where our configuration enforces none so far.
    type: bool
    default: true
  oidc:
    description:
      - By the name of a C(--oidc-*) flag, without dashes, its values as the user wants them. They take the place of
        the flags and of the AuthenticationConfiguration that are found.
    type: dict
    default: {}
  named_files:
    description: By path, the variable of the user's that names a file which a control plane must have.
    type: dict
    default: {}
  flag_files:
    description: Whether to say what the flags of static pods name on the host, for a control plane that is to join.
    type: bool
    default: false
  kubeconfig:
    description: The administrator's kubeconfig on the host, where it is not the one that kubeadm wrote.
    type: path
  kubectl:
    description: The kubectl on the host, where it is in none of the usual places.
    type: path
  controller:
    description: Name and boot of the controller, filled in by the action plugin.
    type: str
    default: ""
  process:
    description: Process and start time on the controller, filled in by the action plugin.
    type: str
    default: ""
  gate_timeout:
    description: Seconds that a component may take to be well with its old bytes, where a dead run left it with others.
    type: int
    default: 300
  extra_flags:
    description: By component, by flag, the user's own values as texts; the files that they name are looked for.
    type: dict
    default: {}
  left_out:
    description: Controls that this host is not to fulfil; the action plugin makes O(mounted_flags) of them.
    type: list
    elements: str
    default: []
  mounted_flags:
    description: By component, the flags whose file this run mounts.
    type: dict
    default: {}
  in_turn:
    description: >-
      Whether a static pod's change that a run which died left unproven is only told of (RV(recovers)): control planes
      prove it or put it back one after the other, for which the action plugin calls once more.
    type: bool
    default: false
  dead_run:
    description: A run whose process on this controller has ended, so that its lock is taken over.
    type: str
  installed:
    description: Packages that were installed for this run's sake, which the record names since they stay.
    type: list
    elements: str
    default: []
  cluster_lock:
    description:
      - Whether the run asks for the lock of the cluster, the Lease C(kube-system/kubeharden); the host with
        O(takes_cluster_lock) takes it. Where the API does not answer there are the hosts' locks alone.
    type: bool
    default: false
  takes_cluster_lock:
    description: Whether this host takes the lock of the cluster for the run; one control plane does.
    type: bool
    default: false
  holds_cluster:
    description: >-
      Whether the run holds that lock, so that a host's lock of another run which asks for it too is one that has ended.
    type: bool
    default: false
  audit:
    description: >-
      What the run gives the audit log, C(path), C(maxsize) in megabytes and C(maxbackup), and C(own), which of them are
      the user's; filled in by the action plugin.
    type: dict
    default: {}
  allow_expired:
    description: Whether certificates that have ended are what the run is for, or no matter of it, as for a rollback.
    type: bool
    default: false
  without_api:
    description:
      - Whether the run goes on where the API does not answer, as a rollback does. What a run that died left under way
        there waits then, which RV(notes) say.
    type: bool
    default: false
  allow_unreachable:
    description:
      - Whether a host that cannot be reached is left out of the run, which RV(notes) then says. Else the run ends
        before its first write. Looked at by the action plugin.
    type: bool
    default: false
  install_packages:
    description:
      - Whether libraries that no Python of the host has are going to be installed. Else that is a problem which ends
        the run. Looked at by the action plugin.
    type: bool
    default: true
  before_init:
    description:
      - C(file), on the controller the configuration with which C(kubeadm init) will be run, and C(first), whether it
        runs on this host. With it a control plane is looked at that is in no cluster yet, and returned is what there
        will be. The action plugin replaces C(file) by what certificates depend on.
    type: dict
    default: {}
  before_join:
    description:
      - Whether this host is to join a cluster that is there. It is locked, and the renames that a run which died had
        begun are finished; nothing else is looked at, and RV(discovery) is empty.
    type: bool
    default: false
  checks_user:
    description:
      - Whether flags and admission plugins of the user's own are checked. Where nothing of them is written, as by a
        rollback, they are not read at all. Looked at by the action plugin.
    type: bool
    default: true
author:
  - The Kubeharden Authors (@kubeharden)
"""

EXAMPLES = r"""
- name: Discover what runs here
  kubeharden.core.discover:
    run_id: 20261124T101500Z-3f2a
    control_plane: true
    read_api: "{{ inventory_hostname == ansible_play_hosts_all[0] }}"
  register: found
"""

RETURN = r"""
discovery:
  description: What was found; without any secret.
  returned: when the libraries are there
  type: dict
  contains:
    layout: {description: kubeadm., type: str}
    node_name: {description: The node's name as the kubelet knows it., type: str}
    kubelet: {description: "Arguments, units, effective configuration and paths of the kubelet.", type: dict}
    components:
      description: By static pod, its manifest, image, version and running argument vector.
      type: dict
    certificates:
      description: Paths of certificates, keys and kubeconfigs in use, with who uses them.
      type: list
      elements: dict
    signing_authority:
      description:
        - Certificate and key with which kube-controller-manager signs, and the SHA-256 of its public key (C(signer)),
          where that certificate is one that kube-apiserver believes clients by; null where it is not.
      type: dict
    signs_kubelets:
      description: Whether kube-controller-manager signs what kubelets are to serve, by the cluster's authority.
      type: bool
    files: {description: "Paths of what the benchmarks name, by what each file is.", type: dict}
    oldest_kubelet: {description: "The minor version of the cluster's oldest kubelet.", type: int}
    config_maps: {description: kubeadm's ConfigMaps by name., type: dict}
    anonymous_grants:
      description: Role bindings that an owner made for anonymous requests.
      type: list
      elements: str
    authentication:
      description:
        - What an AuthenticationConfiguration must say of tokens (C(jwt), as YAML), why the flags that were found cannot
          be said by one (C(obstacles)), and whether ours limits anonymous requests already (C(restricted)).
      type: dict
    exempt_namespaces:
      description:
        - Namespaces that must be exempt from Pod Security beside kube-system. Without the API, those that our
          configuration exempts; null where it enforces nothing.
      type: list
      elements: str
    configured_plugins:
      description: Admission plugins that our configuration names.
      type: list
      elements: str
    patches: {description: "Patches of kubeadm's that were laid, by name, the SHA-256 of each.", type: dict}
    flag_files:
      description:
        - With O(flag_files), of each file that a flag names and kubeadm join does not make, C(component), C(flag),
          C(path) on the host and C(content) in base64, null where it may hold a secret; of a directory that is written
          to, C(folder).
      type: list
      elements: dict
    api:
      description:
        - With O(asks_api) and O(read_api), C(version) and C(minor) of the API server, and what keeps kube-proxy from
          being changed (C(obstacle)), a clause; empty where nothing does.
      type: dict
    live: {description: Whether processes belong to these files., type: bool}
flag_problems:
  description: What is wrong with the files that O(extra_flags) name, as sentences.
  returned: when the libraries are there
  type: list
  elements: str
config_map_problems:
  description:
    - What of kubeadm's ConfigMaps is missing or could not be written, as sentences. M(kubeharden.core.preflight) ends
      the run for it where the run is to write them.
  returned: when the libraries are there
  type: list
  elements: str
serving_names:
  description:
    - Where the API is read, by what M(kubeharden.core.preflight) judges the names that kubelets will ask for, C(server)
      (this node), C(names) in the certificate of its API server and C(nodes), every Node with its addresses.
  returned: when the libraries are there
  type: dict
libraries_missing:
  description: Libraries that no Python of the host has.
  returned: always
  type: list
  elements: str
packages:
  description: The distribution's packages that bring them.
  returned: always
  type: list
  elements: str
recovers:
  description: That what a run which died left here is proven or put back when this host's turn comes.
  returned: with O(in_turn), when something is left
  type: bool
silent:
  description: That the host is left out, since it could not be reached, or is one of O(etcd_alone) without a kubelet.
  returned: when it is
  type: bool
notes:
  description: What a person should know, as sentences.
  returned: when the libraries are there
  type: list
  elements: str
evidence:
  description: What the host shows of being ready for a change; nothing where no process belongs to its files.
  returned: when the libraries are there
  type: dict
problems:
  description: What keeps the run from beginning; M(kubeharden.core.preflight) ends it for all hosts at once.
  returned: when there are some
  type: list
  elements: str
cluster_lock:
  description: C(held) by this run, C(free) or C(unknown); empty where this host was not to take it.
  returned: always
  type: str
locked_by:
  description: The run that holds the lock of the host or of the cluster.
  returned: when another run holds it
  type: dict
"""

import contextlib
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeharden.core.plugins.module_utils import os_release
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import (
    ADMIN_KUBECONFIG,
    is_of_kubernetes,
)
from ansible_collections.kubeharden.core.plugins.module_utils.entry import HOST_OPTIONS, find_libraries, run, runner
from ansible_collections.kubeharden.core.plugins.module_utils.errors import Met

CONFIG_MAPS = ("kubeadm-config", "kubelet-config", "kube-proxy")


CLOSED = (
    "A certificate between the administrator and the API has ended: this host's API server is taken for well while it "
    "answers its health paths, if only to refuse who asks, and what is in the API waits; kubeadm certs renew renews it."
)
LEFT_ALONE = "etcd on a host of its own, without a kubelet: left alone."


def require_root(host: t.Any) -> None:
    """Refuse a user who could neither read nor change what belongs to the host."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

    if host.live and not host.can_own:
        raise HardeningError(
            "KH104",
            "The user of this connection is not root. Nothing was changed; run with --become, or set "
            "ansible_become: true in the inventory.",
        )


def look_at_readiness(
    module: AnsibleModule, host: t.Any, found: t.Mapping[str, t.Any], view: t.Any, front_door: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Return what this host shows of being ready, and where the API is read, what the cluster does."""
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.readiness import Readiness

    if not host.live:
        return {}
    readiness = Readiness(host, found, view, module.params["audit"], allow_expired=module.params["allow_expired"])
    evidence = readiness.look()
    if module.params["read_api"] and view is not None:

        def nodes() -> t.Any:
            if (found.get("api") or {}).get("obstacle"):
                return []  # it may be just this
            kubectl = on_host(module.params["kubectl"], found["admin_kubeconfig"], runner(module))
            return kubectl.list_objects("/api/v1/nodes")

        evidence.update(readiness.look_at_cluster(nodes, front_door))
    # The last of all, since it is held against the controller's clock when the answer has come.
    return {**evidence, "now": time.time()}


def look_at_front_door(
    module: AnsibleModule, host: t.Any, found: t.Mapping[str, t.Any], view: t.Any
) -> dict[str, t.Any]:
    """Return how the API's clients are served."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.readiness import Readiness

    return Readiness(host, found, view, {}, allow_expired=module.params["allow_expired"]).look_at_front_door()


def read_api(
    module: AnsibleModule, host: t.Any, found: t.Mapping[str, t.Any], view: t.Any
) -> tuple[dict[str, t.Any], list[str]]:
    """Return what only the API knows, and sentences about it; without it where certificates that ended keep it away."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.readiness import Readiness

    if module.params["asks_api"]:
        return {"api": look_at_api(module, found, view)}, []
    try:
        return ask_api(module, found)
    except HardeningError as error:
        if not Readiness(host, found, view, {}, allow_expired=module.params["allow_expired"]).is_closed():
            raise
        return {}, [f"What the API says of the cluster was not read: {str(error).rstrip('.')}."]


def look_at_api(module: AnsibleModule, found: t.Mapping[str, t.Any], view: t.Any) -> dict[str, t.Any]:
    """Return what a node that speaks with the API knows of it."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.api_client import ApiClient
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import api_rights

    try:
        on_host(module.params["kubectl"], found["admin_kubeconfig"], runner(module))
    except HardeningError as error:
        return {**api_rights.UNSEEN, "obstacle": api_rights.clause(str(error))}
    return api_rights.look(ApiClient(view.kubeconfig), found["admin_kubeconfig"])


def ask_api(module: AnsibleModule, found: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], list[str]]:
    """Return what only the API knows, and sentences about it.

    kubeadm's ConfigMaps, bindings of the owner's for anonymous requests, and namespaces that Pod Security must spare.
    """
    from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
    from ansible_collections.kubeharden.core.plugins.module_utils.controls import anonymous
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask_named
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import exemptions, kubeadm

    kubectl = on_host(module.params["kubectl"], found["admin_kubeconfig"], runner(module))
    config_maps = {name: kubectl.get_config_map("kube-system", name) for name in CONFIG_MAPS}
    texts = {name: config_map.data for name, config_map in config_maps.items() if config_map is not None}
    bindings = [
        binding
        for kind in ("clusterrolebindings", "rolebindings")
        for binding in kubectl.list_objects(f"/apis/rbac.authorization.k8s.io/v1/{kind}")
    ]
    nodes = kubectl.list_objects("/api/v1/nodes")
    infos = [(node.get("status") or {}).get("nodeInfo") or {} for node in nodes]
    kubelets = [info["kubeletVersion"] for info in infos if info.get("kubeletVersion")]
    facts = {
        "serving_names": serving_names(found, nodes),
        "oldest_kubelet": min((versions.version_of(version)[1] for version in kubelets), default=0),
        "config_maps": {name: {key: mask_named(text) for key, text in data.items()} for name, data in texts.items()},
        "anonymous_grants": anonymous.grants(bindings),
        "config_map_problems": kubeadm.unusable(texts, found["components"]),
    }
    level = module.params["pod_security_level"]
    if level == "privileged" or (found["exempt_namespaces"] is None and not module.params["pod_security_begins"]):
        return facts, []
    exempt = exemptions.find(
        kubectl.list_objects("/api/v1/namespaces"),
        found["exempt_namespaces"] or [],
        level,
        found["components"]["kube-apiserver"]["minor"],
        kubectl.warnings_of_labels,
    )
    return {**facts, "exempt_namespaces": list(exempt.namespaces)}, list(exempt.notes)


def serving_names(found: t.Mapping[str, t.Any], nodes: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return by what the names are judged that kubelets will ask for, before one is told to ask."""
    from ansible_collections.kubeharden.core.plugins.module_utils.controls import serving_request
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import serving

    try:
        names = serving.api_server_names(found)
    except HardeningError:
        names = []  # who approves says so; here it is no reason to end a run that approves nothing
    shown = [serving_request.shown_node(node) for node in nodes]
    return {"server": found["node_name"], "names": names, "nodes": shown}


def flag_problems(module: AnsibleModule, host: t.Any, discovery: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is wrong with the files that the user's own flags name."""
    from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
    from ansible_collections.kubeharden.core.plugins.module_utils.files.writer import read_text
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import flag_files

    components = discovery["components"]
    extra = module.params["extra_flags"]
    found = flag_files.problems_of_kubelet(host, discovery["kubelet"]["flags"], extra.get("kubelet", {}))
    for name, flags in extra.items():
        if name in components:
            path = components[name]["manifest"]
            manifest = Manifest.parse(read_text(host.path(path)) or "", path)
            mounted = module.params["mounted_flags"].get(name, [])
            found += flag_files.problems(host, name, manifest, flags, mounted)
    return found


def api_answers(run_program: t.Any, admin_kubeconfig: str, program: str | None) -> bool:
    """Return whether the API can be asked."""
    from ansible_collections.kubeharden.core.plugins.module_utils.probes.kubectl import on_host

    return on_host(program, admin_kubeconfig, run_program).try_get("/readyz") is not None


def asks(module: AnsibleModule, host: t.Any) -> bool:
    """Return whether the API is asked by a kubeconfig on this node.

    The node that speaks for the run refuses one that cannot be used; others may have something to put back by it.
    """
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.probes import kubeconfig

    parameters = module.params
    if not host.live or not parameters["asks_api"] or not parameters["kubeconfig"]:
        return False
    if parameters["read_api"]:
        return True
    try:
        return not kubeconfig.load(parameters["kubeconfig"]).expired(time.time())
    except HardeningError:
        return False


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Lock the host, and where it is this host's part the cluster, and discover."""
    from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
    from ansible_collections.kubeharden.core.plugins.module_utils.files.host import open_host
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Holder, Lock
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import locking
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery

    parameters = module.params
    host = open_host(parameters["root"], parameters["root_seed"], module.check_mode, lambda: str(module.tmpdir))
    require_root(host)
    discovery = Discovery(
        host,
        parameters["control_plane"],
        parameters["kubeconfig"],
        run=runner(module),
        oidc=parameters["oidc"],
        etcd=parameters["etcd"],
        complete=parameters["complete"],
        asks=asks(module, host),
    )
    asking = locking.Asking(
        Holder(
            parameters["run_id"],
            parameters["controller"],
            parameters["process"],
            time.time(),
            parameters["cluster_lock"],
        ),
        parameters["dead_run"],
        module.check_mode,
    )
    wanted = host.live and parameters["takes_cluster_lock"] and parameters["cluster_lock"]
    wanted = wanted and not parameters["before_init"]  # there is nobody to ask
    cluster = locking.ClusterLock(asking, discovery.admin_kubeconfig if wanted else None)
    cluster.take()
    told: list[str] = []
    try:
        leads = cluster.leads or parameters["holds_cluster"]
        told += locking.take(host, asking, leads, cluster.state, 2.0 * parameters["gate_timeout"])
        found = look(module, host, discovery, cluster, told)
    except HardeningError as error:
        # Whatever it is, the run gives back what it holds by now. And what was done for a run that died is told, though
        # another may have to be waited for.
        error.facts = {"cluster_lock": cluster.state, **error.facts, "notes": [*told, *cluster.notes]}
        raise
    if cluster.state == "unknown" and not module.check_mode:
        Lock(host).note_alone(parameters["run_id"])
    return {
        "changed": False,
        **found,
        "notes": [*told, *cluster.notes],
        "cluster_lock": cluster.state,
        "libraries_missing": [],
        "packages": [],
    }


def look_before(module: AnsibleModule, host: t.Any, told: list[str]) -> dict[str, t.Any]:
    """Finish what a run that died had begun to rename, and return what is known without more; empty where more is.

    What a person should know is added to ``told``.
    """
    from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
    from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import before_init, recovery

    parameters, check = module.params, module.check_mode
    # Before anything is read: an administrator's kubeconfig may be among them.
    told += [] if check else recovery.finish_files(host)
    in_turn = parameters["in_turn"] and not parameters["before_join"]
    if in_turn and not check and "apply" in Journal(host).read():
        return {"recovers": True}
    for package in [] if check else parameters["installed"]:
        Backup(host, parameters["run_id"]).note("package", package)
    nothing: dict[str, t.Any] = {"evidence": {}, "flag_problems": []}
    if parameters["before_join"]:
        told += recovery.foretell(host) if check else []
        return {"discovery": {}, **nothing}
    if parameters["before_init"]:
        return {"discovery": before_init.look(host, parameters["before_init"]), **nothing}
    return {}


def look(module: AnsibleModule, host: t.Any, discovery: t.Any, cluster: t.Any, told: list[str]) -> dict[str, t.Any]:
    """Undo what a run that died left, and return what is found then; what a person should know is added to ``told``."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files import history
    from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import named_files, preparation, sight

    parameters = module.params
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            # From here on this process writes, where a run that died left something under way.
            stack.enter_context(Lock(host).in_use(parameters["run_id"]))
        known = look_before(module, host, told)
        if known:
            return known
        # What is refused from here on is told with all else that this host shows.
        met, view = Met(), None
        if parameters["control_plane"] or (parameters["asks_api"] and parameters["read_api"]):
            # Refuses an administrator's kubeconfig that cannot be used before anything is written anywhere.
            view = met.trying(
                lambda: sight.build(
                    host,
                    discovery.admin_kubeconfig,
                    discovery.runtime_socket(),
                    runner(module),
                    parameters["allow_expired"],
                )
            )
        found = recovered(module, host, discovery, view, told, met)
        if not met.told:
            cluster.take(last=True)
        # All of them: a damaged one would be met in the middle of the run, or when it is to be put back.
        met.trying(lambda: history.past_runs(host))
        if parameters["control_plane"]:
            # Only now: an API server that a run which died left away comes back in any case.
            met.trying(lambda: named_files.require(host, parameters["named_files"]))
        if found and parameters["flag_files"]:
            found["flag_files"] = preparation.named_by_flags(host, found["components"])
        return shown(module, host, found, view, told, met)


def recovered(
    module: AnsibleModule, host: t.Any, discovery: t.Any, view: t.Any, told: list[str], met: Met
) -> dict[str, t.Any]:
    """Undo what a run that died left, and return what is found then, empty where that cannot be told."""
    from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
        kube_proxy_api,
        kubelet,
        pulls_api,
        recovery,
    )

    def found() -> dict[str, t.Any]:
        return {**discovery.run(), "live": host.live}

    parameters = module.params
    if met.told:
        return met.trying(found) or {}  # without the API nothing that is under way could be proven
    if module.check_mode:
        recovery.require_presence(host, Journal(host))
        told += recovery.foretell(host)
        return met.trying(found) or {}
    limit = float(parameters["gate_timeout"])
    # First of all: a run that died may have left this host without its API server.
    before = len(told)
    told += recovery.recover(host, view, limit)
    seen = met.trying(found)
    if seen is None:
        return {}
    service = kubelet.service(seen["kubelet"]["configuration"], runner(module)) if host.live else None
    told += kubelet.recover(host, service, limit)
    if host.live and seen["admin_kubeconfig"]:
        given = (runner(module), seen["admin_kubeconfig"], parameters["kubectl"])
        told += recovery.recover_cluster(
            host,
            lambda: kube_proxy_api.build(*given),
            lambda: pulls_api.build(*given),
            limit,
            (lambda: api_answers(*given)) if parameters["without_api"] else None,
        )
    elif host.live:
        told += recovery.left_in_the_cluster(host)
    return found() if len(told) > before else seen


def shown(
    module: AnsibleModule, host: t.Any, found: dict[str, t.Any], view: t.Any, told: list[str], met: Met
) -> dict[str, t.Any]:
    """Return what was found with what the host shows of being ready, as far as it shows that without what was not."""
    from ansible_collections.kubeharden.core.plugins.module_utils.rollout.readiness import UNKNOWN

    seen = found or {**UNKNOWN, "admin_kubeconfig": module.params["kubeconfig"] or ADMIN_KUBECONFIG}
    front_door: dict[str, t.Any] = {}
    if view is None:
        seen = {**seen, "admin_kubeconfig": None}  # one that was refused is told of already
    elif host.live and module.params["read_api"]:
        front_door = look_at_front_door(module, host, seen, view)
        # Where it loses requests nothing that is read would be sure; the run ends with all other problems.
        if found and not front_door["served"]:
            facts, sentences = met.trying(lambda: read_api(module, host, seen, view)) or ({}, [])
            found = seen = {**found, **facts}
            told += sentences
    evidence = look_at_readiness(module, host, seen, view, front_door)
    told += [CLOSED] if module.params["without_api"] and (evidence.get("api") or {}).get("closed") else []
    return {
        "evidence": evidence,
        "flag_problems": flag_problems(module, host, found) if found else [],
        "config_map_problems": found.pop("config_map_problems", []),
        "serving_names": found.pop("serving_names", {}),
        "problems": met.told,
        **({"discovery": found} if found else {}),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **HOST_OPTIONS,
            "control_plane": {"type": "bool", "default": False},
            "etcd": {"type": "bool", "default": False},
            "etcd_alone": {"type": "bool", "default": False},
            "complete": {"type": "bool", "default": True},
            "read_api": {"type": "bool", "default": False},
            "asks_api": {"type": "bool", "default": False},
            "pod_security_level": {"type": "str", "default": "privileged"},
            "pod_security_begins": {"type": "bool", "default": True},
            "oidc": {"type": "dict", "default": {}},
            "named_files": {"type": "dict", "default": {}},
            "flag_files": {"type": "bool", "default": False},
            "kubeconfig": {"type": "path"},
            "kubectl": {"type": "path"},
            "controller": {"type": "str", "default": ""},
            "process": {"type": "str", "default": ""},
            "gate_timeout": {"type": "int", "default": 300},
            "extra_flags": {"type": "dict", "default": {}},
            "left_out": {"type": "list", "elements": "str", "default": []},
            "mounted_flags": {"type": "dict", "default": {}},
            "in_turn": {"type": "bool", "default": False},
            "dead_run": {"type": "str"},
            "installed": {"type": "list", "elements": "str", "default": []},
            "cluster_lock": {"type": "bool", "default": False},
            "takes_cluster_lock": {"type": "bool", "default": False},
            "holds_cluster": {"type": "bool", "default": False},
            "audit": {"type": "dict", "default": {}},
            "allow_expired": {"type": "bool", "default": False},
            "without_api": {"type": "bool", "default": False},
            "allow_unreachable": {"type": "bool", "default": False},
            "install_packages": {"type": "bool", "default": True},
            "before_init": {"type": "dict", "default": {}},
            "before_join": {"type": "bool", "default": False},
            "checks_user": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    root = module.params["root"]
    if module.params["etcd_alone"] and os.path.isdir(root) and not is_of_kubernetes(root):
        module.exit_json(changed=False, silent=True, notes=[LEFT_ALONE])
    missing = find_libraries()
    if missing:
        module.exit_json(changed=False, libraries_missing=missing, packages=os_release.packages_for(missing))
    run(module, work, under_lock=False)


if __name__ == "__main__":
    main()
