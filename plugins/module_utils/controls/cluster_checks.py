# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what only the API knows, and what takes all hosts together."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils import yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import versions
from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import flag_name
from ansible_collections.kubeharden.core.plugins.module_utils.components.kubeadm_flags import OF_ITSELF
from ansible_collections.kubeharden.core.plugins.module_utils.controls import api_findings, authorities
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Control,
    Verdict,
    listed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import same
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import (
    FILES_OF_FIELDS,
    Host,
    NotJudged,
    table_for,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.kubelet_fields import (
    HARD_BY_DEFAULT,
    differing,
    unwritten,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError

#: Why an API is not asked that somebody else keeps.
NODES_ALONE = "the inventory has no control plane, and kubeharden_kubeconfig names no kubeconfig on a node to ask by"
#: Minor versions that get mended, the newest included: of Kubernetes, and of etcd.
_SUPPORTED = 3
_SUPPORTED_ETCD = 2
_ETCD = "etcd"
_NUMBERS = re.compile(r"\d+")


class Cluster:
    """What was collected of the cluster and its hosts.

    Args:
        evidence: As the module ``verify_cluster`` returned it; None where nothing was collected.
        problem: Why nothing was.
        hosts: Every host of the inventory.
        waivers: Sentences on waivers that have expired.
        newest: By minor version the newest patch that the user knows of, instead of what the catalogue says.
        rotation_grace: Days for which a rotation of authorities may be under way after one was made.
        waived_in_part: By component, flags that a waiver leaves out on some control planes alone, and that kubeadm's
            ConfigMap therefore has not.
        nodes_alone: Whether the inventory has no control plane: somebody else keeps it.
    """

    def __init__(
        self,
        evidence: t.Mapping[str, t.Any] | None,
        problem: str,
        hosts: t.Sequence[Host],
        waivers: t.Sequence[str] = (),
        newest: t.Mapping[str, str] | None = None,
        rotation_grace: int = 30,
        waived_in_part: t.Mapping[str, t.Collection[str]] | None = None,
        nodes_alone: bool = False,
    ) -> None:
        self._evidence = evidence
        self._problem = problem or "no control plane was asked"
        self.hosts = hosts
        self.waivers = waivers
        self.newest = newest or {}
        self.rotation_grace = rotation_grace
        self.waived_in_part = waived_in_part or {}
        self._nodes_alone = nodes_alone

    @property
    def evidence(self) -> t.Mapping[str, t.Any]:
        """What the API said.

        Raises:
            NotJudged: It was not asked.
        """
        if self._evidence is None:
            raise NotJudged(UNKNOWN if self._asked else NOT_APPLICABLE, self._problem)
        return self._evidence

    @property
    def _asked(self) -> bool:
        """Whether the API was to be asked: without a control plane it is where the user gives credentials."""
        return not self._nodes_alone or self._problem != NODES_ALONE

    def unseen(self, words: str) -> NotJudged:
        """Return why nothing is judged where no process of a control plane was seen."""
        return NotJudged(NOT_APPLICABLE if self._nodes_alone else UNKNOWN, words)

    def other_nodes(self) -> list[str]:
        """Return the nodes that the API knows and that are not among the hosts.

        Raises:
            NotJudged: Nobody can say which nodes there are.
        """
        if not any(host.live for host in self.hosts):
            return []  # directories that stand for hosts are all that there is
        nodes = self.evidence.get("configz") or {}
        if not nodes:
            raise NotJudged(UNKNOWN, str(self.read("nodes") or "the API server named no node"))
        return sorted(set(nodes) - {self._node_of(host) for host in self.hosts})

    def kubelets_elsewhere(self) -> dict[str, str]:
        """Return by node the version that its kubelet told the API, of those of which no host of the run told it."""
        if not any(host.live for host in self.hosts):
            return {}  # directories that stand for hosts are all that there is
        told = {self._node_of(host) for host in self.hosts if host.known_versions().get("kubelet")}
        kubelets: t.Mapping[str, str] = (self._evidence or {}).get("kubelets") or {}
        return {node: version for node, version in sorted(kubelets.items()) if node not in told}

    def nodes_unread(self) -> str:
        """Return why it is not known which nodes there are; empty where it is, or where nobody was to be asked."""
        if not self._asked or not any(host.live for host in self.hosts):
            return ""
        try:
            return "" if self.evidence.get("kubelets") else str(self.read("nodes") or "the API server named no node")
        except NotJudged as reason:
            return reason.verdict.evidence

    @staticmethod
    def _node_of(host: Host) -> str:
        return str(host.evidence.get("node_name") or host.name)

    def published_authorities(self) -> tuple[list[t.Mapping[str, t.Any]], str]:
        """Return the authorities that the API hands out to pods and joining nodes, and why they were not seen."""
        if not self._asked or not any(host.live for host in self.hosts):
            return [], ""  # directories that stand for hosts have no API
        try:
            return self.read("trusted") or [], ""
        except NotJudged as reason:
            return [], reason.verdict.evidence

    def kube_proxy_versions(self) -> t.Mapping[str, str]:
        """Return by node what its pod's image says; nothing where the API did not show the pods."""
        return (self._evidence or {}).get("kube_proxy") or {}

    def read(self, name: str) -> t.Any:
        """Return something that was read of the API.

        Raises:
            NotJudged: It was not given.
        """
        problem = (self.evidence.get("problems") or {}).get(name)
        if problem:
            raise NotJudged(UNKNOWN, str(problem))
        return self.evidence.get(name)


def _of_api(cluster: Cluster, control: Control) -> Verdict:
    """Judge by the findings that the module made of the API's objects."""
    name = str(control.judge["check"])
    found = (cluster.evidence.get("findings") or {}).get(name)
    if found is None or found.get("problem"):
        raise NotJudged(UNKNOWN, str((found or {}).get("problem") or "the API was not asked for it"))
    findings = [str(one) for one in found["findings"]]
    if findings:
        return Verdict(FAIL, listed(findings))
    return Verdict(PASS, f"nothing found in {found['looked_at']} objects")


def kube_proxy_kubeconfig(cluster: Cluster, control: Control) -> Verdict:
    """How kube-proxy trusts the API server, where kubeadm's ConfigMap says it."""
    found = (cluster.evidence.get("findings") or {}).get(str(control.judge["check"])) or {}
    if found.get("absent"):
        raise NotJudged(NOT_APPLICABLE, str(found["problem"]))
    return _of_api(cluster, control)


def kubeadm_drift(cluster: Cluster, _control: Control) -> Verdict:
    """Flags of the control planes' processes that the next upgrade would take away or change."""
    text = cluster.read("kubeadm_config")
    if not text:
        return Verdict(NOT_APPLICABLE, "there is no ConfigMap kube-system/kubeadm-config")
    try:
        configuration = ClusterConfiguration.parse(str(text))
        components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        components += [] if configuration.etcd_is_external else [_ETCD]
        remembered = {component: _arguments(configuration, component) for component in components}
    except HardeningError as error:
        raise NotJudged(UNKNOWN, str(error)) from None
    drift, seen = [], 0
    for host in cluster.hosts:
        for component, arguments in remembered.items():
            if not _is_kubeadms(host, component):
                continue
            seen += 1
            drift += [f"{host.name}: {words}" for words in _flags_that_differ(host, component, arguments)]
    for component, arguments in remembered.items():
        drift += _flags_not_remembered(cluster, component, arguments)
    if not seen:
        raise cluster.unseen("no process of a control plane was seen")
    return (
        Verdict(FAIL, listed(drift)) if drift else Verdict(PASS, f"{seen} processes have the flags of kubeadm-config")
    )


def _arguments(configuration: ClusterConfiguration, component: str) -> dict[str, list[str]]:
    """Return by flag the values that kubeadm would write, in their order: one may stand there several times."""
    found: dict[str, list[str]] = {}
    for name, value in configuration.extra_args(component):
        found.setdefault(flag_name(name), []).append(value)
    return found


def _is_kubeadms(host: Host, component: str) -> bool:
    """Return whether a component runs where kubeadm lays it: an etcd on a host of its own is somebody else's."""
    running = host.components.get(component, {}).get("running")
    return bool(running) and (component != _ETCD or "kube-apiserver" in host.components)


def _flags_that_differ(host: Host, component: str, arguments: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    found = []
    for name, values in arguments.items():
        present = host.occurrences(component, name)
        have, wanted = (host.items(component, name, given) for given in (present, values))
        if not present or len(have) != len(wanted) or not all(map(same, have, wanted)):
            shown = ",".join(have) if present else "nothing"
            found.append(f"{component} has {shown} for --{name}, kubeadm-config {','.join(wanted)}")
    return found


def _flags_not_remembered(cluster: Cluster, component: str, arguments: t.Collection[str]) -> list[str]:
    """Return what the processes of a component have that kubeadm would not write, but for what they do without it too.

    Where a waiver leaves a setting out on some hosts alone, the ConfigMap of all does not have it, though other hosts
    do: such a flag is found only where all of them have it.
    """
    known = OF_ITSELF[component] | set(arguments)
    running = [host for host in cluster.hosts if _is_kubeadms(host, component)]
    more = {
        host.name: [
            name for name in host.flags(component) if name not in known and not host.is_default(component, name)
        ]
        for host in running
    }
    common = set.intersection(*map(set, more.values())) if more else set()
    waived = set(cluster.waived_in_part.get(component, ())) - common
    return [
        f"{host}: {component} has --{name}, which kubeadm-config does not have"
        for host, names in more.items()
        for name in names
        if name not in waived
    ]


def kubelet_drift(cluster: Cluster, _control: Control) -> Verdict:
    """Fields in which a kubelet differs from the ConfigMap kubelet-config."""
    text = cluster.read("kubelet_config")
    if not text:
        return Verdict(NOT_APPLICABLE, "there is no ConfigMap kube-system/kubelet-config")
    try:
        remembered = yaml_data.load(str(text))
    except yaml_data.NoYamlError:
        return Verdict(FAIL, "the ConfigMap kube-system/kubelet-config is no YAML")
    configz = cluster.evidence.get("configz") or {}
    answers = {node: one["configuration"] for node, one in configz.items() if one.get("configuration")}
    if not answers:
        raise NotJudged(UNKNOWN, "no kubelet could be asked for its configuration")
    drift = []
    for node, fields in sorted(answers.items()):
        known = _fields_known(cluster, node)
        different = sorted(
            {*differing(remembered, fields, known), *unwritten(remembered, fields, known, HARD_BY_DEFAULT)}
        )
        if different:
            drift.append(f"{node}: {', '.join(different)}")
    if drift:
        return Verdict(FAIL, listed(drift))
    silent = sorted(set(configz) - set(answers))
    if silent:
        raise NotJudged(
            UNKNOWN, f"the kubelet was not heard on {listed(silent)}; the others run what kubelet-config says"
        )
    return Verdict(PASS, f"{len(answers)} kubelets run what kubelet-config says")


def _fields_known(cluster: Cluster, node: str) -> t.Mapping[str, versions.Field]:
    """Return the fields of the kubelet's configuration in the version of a node's; of the newest for one not seen."""
    found = next((host for host in cluster.hosts if host.evidence.get("node_name") == node), None)
    table = found.table("kubelet") if found else table_for("kubelet", "")
    return table.fields(*FILES_OF_FIELDS["kubelet"]) or {}


def version_skew(cluster: Cluster, _control: Control) -> Verdict:
    """The policy of Kubernetes: API servers within one minor, kubelets up to three older and never newer."""
    servers = {host.name: _minor(host.known_versions().get("kube-apiserver")) for host in cluster.hosts}
    known = {name: minor for name, minor in servers.items() if minor}
    if not known:
        raise cluster.unseen("no API server's version was seen")
    oldest, newest = min(known.values()), max(known.values())
    wrong = [f"API servers of {oldest[0]}.{oldest[1]} and {newest[0]}.{newest[1]}"] if newest[1] - oldest[1] > 1 else []
    for place, component, version, minor in _versions(cluster):
        behind = 3 if component in ("kubelet", "kube-proxy") else 1
        if component != "kube-apiserver" and (minor > oldest or newest[1] - minor[1] > behind):
            wrong.append(f"{place}: {component} {version} with API servers of {oldest[0]}.{oldest[1]}")
    if wrong:
        return Verdict(FAIL, listed(wrong))
    _require_versions(cluster)
    return Verdict(PASS, f"API servers of {newest[0]}.{newest[1]}, all else fits")


def versions_supported(cluster: Cluster, control: Control) -> Verdict:
    """Every minor version is among those that get mended, by the catalogue's dated word."""
    newest = versions.version_of(str(control.judge["newest"]))
    oldest = (newest[0], newest[1] - _SUPPORTED + 1)
    newest_etcd = versions.known_versions("etcd")[-1]
    oldest_etcd = (newest_etcd[0], newest_etcd[1] - _SUPPORTED_ETCD + 1)
    seen, old = 0, []
    for place, component, version, minor in (*_versions(cluster), *_versions_of_etcd(cluster)):
        seen += 1
        if minor < (oldest_etcd if component == _ETCD else oldest):
            old.append(f"{place}: {component} {version}")
    words = (
        f"{versions.shown(oldest)} to {versions.shown(newest)}, and of etcd {versions.shown(oldest_etcd)} to "
        f"{versions.shown(newest_etcd)}, are mended as of {control.judge['dated']}"
    )
    if old:
        return Verdict(FAIL, f"{listed(old)}; {words}")
    if not seen:
        raise NotJudged(UNKNOWN, "no component's version was seen")
    _require_versions(cluster, with_etcd=True)
    return Verdict(PASS, words)


def versions_patched(cluster: Cluster, control: Control) -> Verdict:
    """Every component has the newest patch of its minor version, by the user's list or the catalogue's dated one."""
    said = _behind(cluster, control, _versions(cluster))
    if said.status == PASS:
        _require_versions(cluster)
    return said


def etcd_patched(cluster: Cluster, control: Control) -> Verdict:
    """Every etcd has the newest patch of its minor version, by the user's list or the catalogue's dated one."""
    unseen = [host.name for host in cluster.hosts if host.problem]
    with_etcd = [host for host in cluster.hosts if _ETCD in host.components]
    if not with_etcd and not unseen:
        raise NotJudged(NOT_APPLICABLE, "no host of the inventory has an etcd")
    said = _behind(cluster, control, _versions_of_etcd(cluster))
    unseen += [host.name for host in with_etcd if _ETCD not in host.known_versions()]
    if said.status == PASS and unseen:
        raise NotJudged(UNKNOWN, f"not every version was seen: {listed(unseen)}")
    return said


def _behind(cluster: Cluster, control: Control, found: t.Iterable[tuple[str, str, str, versions.Version]]) -> Verdict:
    """Judge patches by the newest ones of their minor versions.

    Raises:
        NotJudged: There is nothing to judge, or nothing to judge it by.
    """
    dated = control.judge["newest"]
    majors = {minor.partition(".")[0] for minor in dated}
    own = {minor: patch for minor, patch in cluster.newest.items() if minor.partition(".")[0] in majors}
    known = {**dated, **own}
    behind: list[str] = []
    seen: set[str] = set()
    unlisted: list[str] = []
    for place, component, version, minor in found:
        newest = str(known.get(versions.shown(minor)) or "")
        seen.add(newest)
        if not newest:
            unlisted.append(f"{place}: {component} {version}")
        elif _numbers(version) < _numbers(newest):
            behind.append(f"{place}: {component} {version}, the newest is {newest}")
    source = "kubeharden_newest_versions" if own else f"the list of {control.judge['dated']}"
    if behind:
        return Verdict(FAIL, f"{listed(behind)}; by {source}")
    if not seen:
        raise NotJudged(UNKNOWN, "no component's version was seen")
    if unlisted:
        words = f"{source} has no patch of {listed(unlisted)}; kubeharden_newest_versions may say the newest"
        raise NotJudged(UNKNOWN, words)
    return Verdict(PASS, f"none is behind {', '.join(sorted(seen))}; by {source}")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's three numbers, without what a vendor puts behind them."""
    return tuple(int(piece) for piece in _NUMBERS.findall(version)[:3])


def _versions(cluster: Cluster) -> t.Iterator[tuple[str, str, str, versions.Version]]:
    """Yield place, component, version and minor of all that Kubernetes releases together, as far as it was seen.

    Nodes that are no host of the run are judged by what the API knows of them.
    """
    said = [(host.name, *one) for host in cluster.hosts for one in sorted(host.known_versions().items())]
    said += [(node, "kubelet", version) for node, version in cluster.kubelets_elsewhere().items()]
    said += [(node, "kube-proxy", version) for node, version in sorted(cluster.kube_proxy_versions().items())]
    for place, component, version in said:
        minor = _minor(version)
        if minor is not None and component != _ETCD:
            yield place, component, version, minor


def _versions_of_etcd(cluster: Cluster) -> t.Iterator[tuple[str, str, str, versions.Version]]:
    """Yield the same of etcd, which has versions of its own."""
    for host in cluster.hosts:
        version = host.known_versions().get(_ETCD)
        minor = _minor(version)
        if version and minor is not None:
            yield host.name, _ETCD, version, minor


def _require_versions(cluster: Cluster, with_etcd: bool = False) -> None:
    """Refuse to pass what was seen in part.

    Raises:
        NotJudged: A host was not seen, or a component of it did not say its version, or nobody knows all nodes.
    """
    proxies = cluster.kube_proxy_versions()
    unseen = [f"{node} (kube-proxy)" for node, version in sorted(proxies.items()) if not version]
    elsewhere = ({"kube-proxy"} if proxies else set()) | (set() if with_etcd else {_ETCD})
    for host in cluster.hosts:
        lacking = sorted(set(host.components) - set(host.known_versions()) - elsewhere)
        if host.problem:
            unseen.append(host.name)
        elif lacking:
            unseen.append(f"{host.name} ({', '.join(lacking)})")
    unseen += [f"{node} (kubelet)" for node, version in cluster.kubelets_elsewhere().items() if not version]
    reason = cluster.nodes_unread()
    if reason:
        unseen.append(f"of nodes that are no host of this run ({reason})")
    if unseen:
        raise NotJudged(UNKNOWN, f"not every version was seen: {listed(list(dict.fromkeys(unseen)))}")


def stale_authorities(cluster: Cluster, _control: Control) -> Verdict:
    """No file of authorities trusts one that ended, or that signs nothing and signed nothing which is in use."""
    certificates, trusted = (
        {host.name: host.evidence.get(key) or [] for host in cluster.hosts} for key in ("certificates", "trusted")
    )
    published, unread = cluster.published_authorities()
    trust = authorities.judge(certificates, {**trusted, "cluster": published}, cluster.rotation_grace)
    if trust.ended:
        return Verdict(FAIL, listed([*trust.ended, *trust.unused]))
    unseen = [host.name for host in cluster.hosts if host.problem or host.evidence.get("certificates_problem")]
    if trust.unused:
        unseen += cluster.other_nodes()  # one of them may have what such an authority signed
    if unseen:
        shown = f"{listed(trust.unused)}, as far as was seen; " if trust.unused else ""
        raise NotJudged(UNKNOWN, f"{shown}not all certificates were seen on {', '.join(unseen)}")
    if trust.unused:
        return Verdict(FAIL, listed(trust.unused))
    if unread:
        raise NotJudged(UNKNOWN, unread)
    if not trust.files[0]:
        raise NotJudged(NOT_APPLICABLE, "there is no file of authorities")
    words = f"{trust.files[0]} files of authorities, {trust.files[1]} of which trust several"
    if trust.changing:
        return Verdict(PASS, f"{words}; a rotation may be under way: {listed(trust.changing)}")
    return Verdict(PASS, words)


def waivers(cluster: Cluster, _control: Control) -> Verdict:
    """No waiver has expired."""
    if cluster.waivers:
        return Verdict(FAIL, listed(list(cluster.waivers)))
    return Verdict(PASS, "every waiver is in force")


def _minor(version: str | None) -> versions.Version | None:
    return versions.version_of(version) if version else None


CHECKS: dict[str, t.Callable[[Cluster, Control], Verdict]] = {
    **dict.fromkeys((*api_findings.NAMES, "kube_proxy_rights"), _of_api),
    **{
        check.__name__: check
        for check in (
            etcd_patched,
            kube_proxy_kubeconfig,
            kubeadm_drift,
            kubelet_drift,
            stale_authorities,
            version_skew,
            versions_patched,
            versions_supported,
            waivers,
        )
    },
}
