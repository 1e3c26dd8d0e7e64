# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the certificates of a cluster depend on, from what was discovered on its hosts and what the user set."""

from __future__ import annotations

import ipaddress
import os
import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_quantity
from ansible_collections.kubeharden.core.plugins.module_utils.pki import issue, layout as table
from ansible_collections.kubeharden.core.plugins.plugin_utils.per_host import words

#: Whether kubelets have a serving certificate of the cluster's authority.
SERVING = "kubeharden_pki_kubelet_serving"
#: Whether controller-manager and scheduler serve certificates of the cluster's authority.
COMPONENT_SERVING = "kubeharden_pki_component_serving"
#: Whether certificates keep names that the table does not have (``keep``), or lose them (``table``).
NAMES = "kubeharden_pki_names"
TABLE = "table"
#: The user's own flags, among them perhaps those of a certificate of his.
EXTRA_FLAGS = "kubeharden_extra_flags"
#: By row of the table, the component and the flags that name certificate and key.
LEAF_FLAGS = {
    "apiserver": ("kube-apiserver", "tls-cert-file", "tls-private-key-file"),
    "apiserver-kubelet-client": ("kube-apiserver", "kubelet-client-certificate", "kubelet-client-key"),
    "apiserver-etcd-client": ("kube-apiserver", "etcd-certfile", "etcd-keyfile"),
    "front-proxy-client": ("kube-apiserver", "proxy-client-cert-file", "proxy-client-key-file"),
    "etcd-server": ("etcd", "cert-file", "key-file"),
    "etcd-peer": ("etcd", "peer-cert-file", "peer-key-file"),
}
#: The same for what serves a certificate of its own making where no flag names one. The owner's own is left to him.
SERVING_FLAGS = {
    "controller-manager-server": ("kube-controller-manager", "tls-cert-file", "tls-private-key-file"),
    "scheduler-server": ("kube-scheduler", "tls-cert-file", "tls-private-key-file"),
}
AUTHORITY_FLAGS = {
    "kubernetes": ("kube-apiserver", "client-ca-file"),
    "etcd": ("kube-apiserver", "etcd-cafile"),
    "front-proxy": ("kube-apiserver", "requestheader-client-ca-file"),
}
BELIEVED_FLAGS = {
    "kubernetes": AUTHORITY_FLAGS["kubernetes"],
    "service-account": ("kube-apiserver", "service-account-key-file"),
}
KUBECONFIG_FLAGS = {
    "controller-manager": ("kube-controller-manager", "kubeconfig"),
    "scheduler": ("kube-scheduler", "kubeconfig"),
}
_SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"
_ADMIN = "/etc/kubernetes/admin.conf"

Discovery = t.Mapping[str, t.Any]


def discoveries(task_vars: t.Mapping[str, t.Any]) -> dict[str, Discovery]:
    """Return what was discovered, by the inventory's name of each host that takes part, in the order of the plays.

    A host that the inventory does not call a control plane is none, whatever it says: whoever has taken over a worker
    would get an API server's certificates.
    """
    groups = task_vars["groups"]
    named = {"kubeharden_control_planes", str(task_vars.get("kubeharden_control_plane_group"))}
    control_planes = {host for name in named for host in groups.get(name) or []}
    found = {}
    for host in sorted(groups.get("kubeharden_candidates") or []):
        # Raw: what looks like a template in a host's file is text here too.
        results = task_vars["hostvars"].raw_get(host)
        for name in ("__discover_again", "__discover_found"):
            discovery = (results.get(name) or {}).get("discovery")
            if discovery:
                is_believed = not control_planes or host in control_planes
                found[host] = discovery if is_believed else _without_server(discovery)
                break
    return found


def _without_server(discovery: Discovery) -> Discovery:
    components = {name: one for name, one in discovery["components"].items() if name != "kube-apiserver"}
    return {**discovery, "components": components}


def is_control_plane(discovery: Discovery) -> bool:
    """Return whether an API server runs there."""
    return "kube-apiserver" in discovery["components"]


def _used(discovery: Discovery) -> dict[tuple[str, str], str]:
    return {(entry["component"], entry["flag"]): entry["path"] for entry in discovery["certificates"]}


def has_key(discovery: Discovery, name: str) -> bool:
    """Return whether the key of the named authority is on a control plane."""
    pair = _authority(discovery, name)
    if pair is None:
        return False
    return pair["key"] in [*discovery["files"].get("pki_key", []), *discovery.get("authority_keys", [])]


def has_service_account(discovery: Discovery) -> bool:
    """Return whether the key that signs service-account tokens is on a control plane."""
    path = _used(discovery).get(("kube-apiserver", "service-account-signing-key-file"), "")
    return bool(path) and path in discovery["files"].get("pki_key", [])


def is_issued_here(discovery: Discovery, name: str) -> bool:
    """Return whether a control plane has the certificate of the named authority, and components below it.

    An etcd that runs elsewhere has an authority of its own, which is nothing that this cluster keeps.
    """
    pair = _authority(discovery, name)
    is_here = name != "etcd" or "etcd" in discovery["components"]
    return is_here and pair is not None and pair["certificate"] in discovery["files"].get("pki_certificate", [])


def has_authority(discovery: Discovery) -> bool:
    """Return whether the key of the cluster's authority is on a control plane."""
    return has_key(discovery, "kubernetes")


def _authority(discovery: Discovery, name: str) -> dict[str, str] | None:
    """Return certificate and key of an authority on a control plane, None where no component uses it.

    The file by which clients are believed may be a bundle, beside which no key lies; then the authority is the one of
    it with which kube-controller-manager signs.
    """
    path = _used(discovery).get(AUTHORITY_FLAGS[name])
    if not path:
        return None
    key = _key_beside(path)
    signing = discovery.get("signing_authority") if name == "kubernetes" else None
    if signing and key not in discovery["files"].get("pki_key", []):
        return {"certificate": signing["certificate"], "key": signing["key"]}
    return {"certificate": path, "key": key}


def _key_beside(path: str) -> str:
    return os.path.splitext(path)[0] + ".key"


def authority_host(found: t.Mapping[str, Discovery]) -> str:
    """Return the host that signs: the first control plane that has the authority's key, else the first one.

    Where none has it, that of service-account tokens counts, which may be the only one that others take from there.
    """
    control_planes = [host for host, discovery in found.items() if is_control_plane(discovery)]
    having = [host for host in control_planes if has_authority(found[host])]
    having += [host for host in control_planes if has_service_account(found[host])]
    return (having or control_planes or [""])[0]


def source_host(found: t.Mapping[str, Discovery], target: str) -> str:
    """Return the host that is asked for what another lacks: the one that signs.

    For a control plane that lacks nothing but the key of service-account tokens it is the first one that has it.
    """
    source = authority_host(found)
    if not lacks_service_account(found, target):
        return source
    having = [host for host, one in found.items() if is_control_plane(one) and has_service_account(one)]
    return having[0] if having else target


def lacks_service_account(found: t.Mapping[str, Discovery], target: str) -> bool:
    """Return whether a control plane lacks the key of service-account tokens, but not the authorities."""
    one = found.get(target)
    return one is not None and is_issued_here(one, "kubernetes") and not has_service_account(one)


def signer(found: t.Mapping[str, Discovery]) -> str:
    """Return what tells the certificate with which the cluster signs, empty where no control plane says it."""
    source = authority_host(found)
    signing = found[source].get("signing_authority") if source else None
    return str((signing or {}).get("signer") or "")


def are_brought(found: t.Mapping[str, Discovery], group: t.Sequence[str], names: t.Iterable[str]) -> list[str]:
    """Return those of the user's authorities that no control plane has the key of, when every one was asked.

    Where one has it, the others take it from there, and it is compared with what the user brings.

    Args:
        found: What was discovered, by host.
        group: The control planes of the inventory.
        names: The authorities that the user brings.
    """
    if not group or not set(group) <= set(found):
        return []
    control_planes = [discovery for discovery in found.values() if is_control_plane(discovery)]
    return [name for name in names if not any(has_key(discovery, name) for discovery in control_planes)]


def are_kept(
    found: t.Mapping[str, Discovery], group: t.Sequence[str], host: str, present: t.Collection[str]
) -> list[str]:
    """Return the authorities that the controller makes and keeps: those that a control plane uses and none has.

    Args:
        found: What was discovered, by host.
        group: The control planes of the inventory.
        host: The control plane.
        present: What the controller has already.
    """
    if not group or not set(group) <= set(found):
        return []
    used = _used(found[host])
    control_planes = [discovery for discovery in found.values() if is_control_plane(discovery)]
    return [
        name
        for name, use in AUTHORITY_FLAGS.items()
        if name not in present
        and use in used
        and not any(has_key(one, name) or is_issued_here(one, name) for one in control_planes)
    ]


def are_unused(found: t.Mapping[str, Discovery], group: t.Sequence[str]) -> bool:
    """Return whether no component of any control plane names the key of an authority, as it runs and as it will start.

    On a directory, where nothing runs, the manifest alone says it.

    Args:
        found: What was discovered, by host.
        group: The control planes of the inventory.
    """
    control_planes = [discovery for discovery in found.values() if is_control_plane(discovery)]
    return bool(group) and set(group) <= set(found) and not any(map(_names_a_key, control_planes))


def _names_a_key(discovery: Discovery) -> bool:
    pairs = [_authority(discovery, name) for name in AUTHORITY_FLAGS]
    paths = [pair["key"] for pair in pairs if pair is not None]
    for component in discovery["components"].values():
        words = [*component["flags"].values(), *component["arguments"]]
        if any(word == path or word.endswith(f"={path}") for word in words for path in paths):
            return True
    manager = discovery["components"].get("kube-controller-manager")
    # One that does not run has not been seen to run without it.
    return discovery["live"] and (manager is None or not manager["running"])


def are_outside(
    found: t.Mapping[str, Discovery], group: t.Sequence[str], keyless: t.Collection[str], made: t.Collection[str]
) -> list[str]:
    """Return the authorities whose keys are on no control plane, nor will be in this run.

    Args:
        found: What was discovered, by host.
        group: The control planes of the inventory.
        keyless: Those of which the user brings the certificate alone.
        made: Those whose keys this run lays.
    """
    asked = bool(group) and set(group) <= set(found)
    control_planes = [discovery for discovery in found.values() if is_control_plane(discovery)]
    return [
        name
        for name in AUTHORITY_FLAGS
        if (asked or name in keyless)
        and name not in made
        and not any(has_key(discovery, name) for discovery in control_planes)
    ]


def are_made(found: t.Mapping[str, Discovery], group: t.Sequence[str]) -> bool:
    """Return whether missing authorities may be made: every control plane of the inventory was asked, and none has any.

    Args:
        found: What was discovered, by host.
        group: The control planes of the inventory.
    """
    return bool(group) and set(group) <= set(found) and not any(map(has_authority, found.values()))


def can_sign(found: t.Mapping[str, Discovery], group: t.Sequence[str]) -> bool:
    """Return whether a control plane with the authorities' keys takes part, or will have them; arguments as above."""
    source = authority_host(found)
    return bool(source) and (has_authority(found[source]) or are_made(found, group))


def without_key(found: t.Mapping[str, Discovery], signing: t.Iterable[str], elsewhere: t.Collection[str]) -> list[str]:
    """Return the authorities whose keys nobody has who is asked to sign, such as that of an etcd elsewhere.

    Args:
        found: What was discovered, by host.
        signing: The hosts that are asked.
        elsewhere: Authorities whose keys the controller has, or this run makes.
    """
    asked = [found[host] for host in signing if host in found]
    return [name for name in AUTHORITY_FLAGS if name not in elsewhere and not any(has_key(one, name) for one in asked)]


def cluster(found: t.Mapping[str, Discovery], set_by_user: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return the data of pki.data.cluster.

    Args:
        found: What was discovered, by host.
        set_by_user: By host, its variables.
    """
    control_planes = [host for host, discovery in found.items() if is_control_plane(discovery)]
    hosts = {host: _host(discovery, set_by_user.get(host) or {}) for host, discovery in found.items()}
    data: dict[str, t.Any] = {
        "control_planes": [hosts[host] for host in control_planes],
        "nodes": [hosts[host] for host in found if host not in control_planes],
        "etcd": [],
    }
    if not control_planes:
        return data
    first = found[control_planes[0]]
    variables = set_by_user.get(control_planes[0]) or {}
    server = first["components"]["kube-apiserver"]
    asked = variables.get("kubeharden_pki_endpoint")
    data["load_balancer"] = asked or _endpoint(found)
    data["endpoint_asked"] = bool(asked)
    data["service_network"] = server["flags"].get("service-cluster-ip-range") or ""
    data["dns_domain"] = first["kubelet"]["configuration"].get("clusterDomain") or ""
    # Before there is a cluster kubeadm's configuration says some of them.
    data["extra_names"] = [*words(variables.get("kubeharden_pki_extra_names")), *(first.get("names") or [])]
    if variables.get(NAMES) == TABLE:
        server_of = _kubeadms(found).get("apiServer")
        data["extra_names"] += (server_of.get("certSANs") or []) if isinstance(server_of, dict) else []
    data["version"] = server["version"]
    data["api_port"] = int(server["flags"].get("secure-port") or 6443)
    return data


def _endpoint(found: t.Mapping[str, Discovery]) -> str:
    """Return where clients find the API servers as kubeadm's ConfigMap says it; empty where none was read."""
    for discovery in found.values():
        if discovery.get("before_init"):
            return str(discovery["endpoint"])
    return str(_kubeadms(found).get("controlPlaneEndpoint") or "")


def _kubeadms(found: t.Mapping[str, Discovery]) -> dict[str, t.Any]:
    """Return kubeadm's ClusterConfiguration as its ConfigMap has it; empty where none was read."""
    for discovery in found.values():
        text = (discovery.get("config_maps") or {}).get("kubeadm-config", {}).get("ClusterConfiguration")
        try:
            configuration = yaml_data.load(text or "")
        except yaml_data.NoYamlError:
            continue  # who edits the ConfigMap refuses it; the host's own kubeconfig says it too
        if is_control_plane(discovery) and isinstance(configuration, dict):
            return configuration
    return {}


def is_table_known(discovery: Discovery, found: t.Mapping[str, Discovery]) -> bool:
    """Return whether the table has all names that the cluster asks for: kubeadm's ConfigMap was read, if there is one.

    Args:
        discovery: Of the host.
        found: What was discovered, by host.
    """
    return bool(_kubeadms(found)) or not discovery["live"]


def usual_days(found: t.Mapping[str, Discovery]) -> float:
    """Return for how many days kubeadm issues certificates, as its ConfigMap says; 0 where that says nothing."""
    told = parse_quantity(str(_kubeadms(found).get("certificateValidityPeriod") or ""))
    return float(told) / issue.DAY if told is not None and told > 0 else 0.0


def _host(discovery: Discovery, variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    addresses = (
        words(variables.get("kubeharden_pki_addresses")) or _told_addresses(discovery) or addresses_set(variables)
    )
    return {
        "node_name": discovery["node_name"],
        "addresses": addresses,
        "extra_names": [*words(variables.get("kubeharden_pki_host_names")), *(discovery.get("host_names") or [])],
    }


def addresses_set(variables: t.Mapping[str, t.Any]) -> list[t.Any]:
    """Return the addresses of a host as its variables say them.

    Without a word of the user's it is the one by which this controller reaches the host, which is another's from
    elsewhere.
    """
    reached = str(variables.get("ansible_host") or "")
    return words(variables.get("kubeharden_pki_addresses")) or ([reached] if _is_address(reached) else [])


def _told_addresses(discovery: Discovery) -> list[str]:
    """Return the host's addresses as its components were told them, the one that it advertises first."""
    components = discovery["components"]
    told = [components.get("kube-apiserver", {}).get("flags", {}).get("advertise-address")]
    etcd = components.get("etcd", {}).get("flags", {})
    for flag in ("advertise-client-urls", "initial-advertise-peer-urls"):
        told += [urlsplit(url).hostname for url in (etcd.get(flag) or "").split(",")]
    told += (discovery["kubelet"]["flags"].get("node-ip") or "").split(",")
    return list(dict.fromkeys(address for address in told if address and _is_address(str(address))))


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback)


def layout(discovery: Discovery, variables: t.Mapping[str, t.Any], fresh: bool, signs: str = "") -> dict[str, t.Any]:
    """Return the data of pki.data.layout for one host: the files that its components really read.

    Args:
        discovery: Of the host.
        variables: Of the host.
        fresh: Whether the host's authorities are made in this run, so that an administrator's kubeconfig is too.
        signs: What tells the cluster's authority in a file that holds others beside it; empty where nobody knows.
    """
    pairs: dict[str, dict[str, str]] = {}
    kubeconfigs: dict[str, str] = {}
    absent: list[str] = []
    used = _used(discovery)
    if is_control_plane(discovery):
        for name, (component, certificate, key) in LEAF_FLAGS.items():
            paths = used.get((component, certificate)), used.get((component, key))
            if paths[0] and paths[1]:
                pairs[name] = {"certificate": paths[0], "key": paths[1]}
            else:
                absent.append(name)
        _healthcheck_client(discovery, pairs, absent)
        _authorities(discovery, pairs, absent)
        absent += without_serving(discovery, variables)
        for name, use in KUBECONFIG_FLAGS.items():
            _place(name, used.get(use), kubeconfigs, absent)
    else:
        _worker_authority(discovery, pairs, absent)
    if signs and "kubernetes" in pairs:
        pairs["kubernetes"]["signer"] = signs
    # kubeadm makes the kubelet's where it finds the authority's key.
    is_first = bool(discovery.get("before_init")) and is_signed_elsewhere(discovery, variables)
    is_kubeadms = bool(discovery.get("before_init")) and not is_first
    _place("kubelet", None if is_kubeadms else discovery["kubelet"]["kubeconfig"], kubeconfigs, absent)
    present = discovery["files"].get("admin_kubeconfig", [])
    absent += ["admin"] if _ADMIN not in present and not fresh else []
    configuration = discovery["kubelet"]["configuration"]
    own_serving = bool(configuration.get("serverTLSBootstrap") or configuration.get("tlsCertFile"))
    return {
        "pairs": pairs,
        "kubeconfigs": kubeconfigs,
        "absent": absent,
        "believed": _believed(discovery, pairs),
        "super_admin": _SUPER_ADMIN in present,
        "kubelet_first": is_first,
        # Which of the two there are, `absent` says.
        "component_serving": True,
        "authority_keys_on_hosts": not variables.get("kubeharden_pki_authorities_dir"),
        "kubelet_serving": bool(variables.get(SERVING)) and not own_serving,
    }


def is_signed_elsewhere(discovery: Discovery, variables: t.Mapping[str, t.Any]) -> bool:
    """Return whether no control plane has, or will have, the key of the cluster's authority."""
    if variables.get("kubeharden_pki_authorities_dir"):
        return True
    brought = (variables.get("kubeharden_pki_authorities") or {}).get("kubernetes")
    if brought:
        return "key" not in brought
    return is_issued_here(discovery, "kubernetes") and not has_authority(discovery)


def without_serving(discovery: Discovery, variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return the rows of SERVING_FLAGS that a control plane does not have: not asked for, nor served, or the owner's.

    What is served stays in the table when nobody asks for it any more: it would end one day.
    """
    used = _used(discovery)
    absent = []
    for name, (component, *flags) in SERVING_FLAGS.items():
        ours = default_pair(name)
        found = [used.get((component, flag)) for flag in flags]
        wanted = (variables.get(EXTRA_FLAGS) or {}).get(component) or {}
        is_owners = any(found) or any(str(flag).replace("_", "-") in flags for flag in wanted)
        is_ours = found == [ours.certificate, ours.key]
        if not is_ours and (is_owners or not variables.get(COMPONENT_SERVING)):
            absent.append(name)
    return absent


def default_pair(name: str) -> table.PairPath:
    """Return where the pair of a row lies where nobody says otherwise: of SERVING_FLAGS the templates name the same."""
    row = next(row for row in table.LEAVES if row.name == name)
    return table.Layout().pair(row.name, row.path)


def _healthcheck_client(discovery: Discovery, pairs: dict[str, dict[str, str]], absent: list[str]) -> None:
    """Say where the certificate is by which kubeadm and people ask etcd: no flag names it.

    kubeadm has it beside what etcd serves, below its directory of certificates. An owner may have let etcd serve
    another since; then the one in kubeadm's usual directory is still the one.
    """
    name = "etcd-healthcheck-client"
    if "etcd-server" in absent:
        absent.append(name)
    elif default_pair(name).certificate not in discovery["files"].get("pki_certificate", []):
        base = os.path.join(os.path.dirname(pairs["etcd-server"]["certificate"]), "healthcheck-client")
        pairs[name] = {"certificate": f"{base}.crt", "key": f"{base}.key"}


def _place(name: str, path: str | None, kubeconfigs: dict[str, str], absent: list[str]) -> None:
    if path:
        kubeconfigs[name] = path
    else:
        absent.append(name)


def _authorities(discovery: Discovery, pairs: dict[str, dict[str, str]], absent: list[str]) -> None:
    for name in AUTHORITY_FLAGS:
        pair = _authority(discovery, name)
        if pair is not None:
            pairs[name] = pair
        else:
            absent.append(name)
            absent += [leaf for leaf in _BELOW[name] if leaf not in absent]
    used = _used(discovery)
    public = used.get(("kube-apiserver", "service-account-key-file"))
    private = used.get(("kube-apiserver", "service-account-signing-key-file"))
    if public and private and public != private:
        pairs["service-account"] = {"certificate": public, "key": private}
    else:
        absent.append("service-account")


def _believed(discovery: Discovery, pairs: t.Mapping[str, t.Mapping[str, str]]) -> dict[str, list[str]]:
    """Return, by name, the files beside the pair's by which kube-apiserver believes what the pair's key signed."""
    found: dict[str, list[str]] = {}
    for name, (component, flag) in BELIEVED_FLAGS.items():
        paths = [
            one["path"] for one in discovery["certificates"] if (one["component"], one["flag"]) == (component, flag)
        ]
        others = [path for path in dict.fromkeys(paths) if path != pairs.get(name, {}).get("certificate")]
        if name in pairs and others:
            found[name] = others
    return found


#: What cannot be issued where an authority is not used.
_BELOW = {
    "kubernetes": (
        "apiserver",
        "apiserver-kubelet-client",
        "admin",
        "super-admin",
        "controller-manager",
        "scheduler",
        "kubelet",
        "kubelet-server",
        *SERVING_FLAGS,
    ),
    "etcd": ("apiserver-etcd-client", "etcd-server", "etcd-peer", "etcd-healthcheck-client"),
    "front-proxy": ("front-proxy-client",),
}


def _worker_authority(discovery: Discovery, pairs: dict[str, dict[str, str]], absent: list[str]) -> None:
    path = discovery["kubelet"]["client_authority"]
    if path:
        pairs["kubernetes"] = {"certificate": path, "key": _key_beside(path)}
    else:
        absent += ["kubernetes", *_BELOW["kubernetes"]]
