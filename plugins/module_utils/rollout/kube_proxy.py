# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy of the whole cluster: configuration and DaemonSet written once, rolled node by node, proven, or back."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import typing as t

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import (
    daemonset,
    kubeletconfig,
    proxyconfig,
    yamlwrite,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import parse_arguments
from ansible_collections.kubeharden.core.plugins.module_utils.controls import kube_proxy as judge
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import Backup, Change, file_change
from ansible_collections.kubeharden.core.plugins.module_utils.probes.redaction import mask

CONFIG_MAP = "ConfigMap kube-system/kube-proxy"
DAEMON_SET = "DaemonSet kube-system/kube-proxy"
CONFIGURATION = "config.conf"
KUBECONFIG = "kubeconfig.conf"
INTERVAL = 1.0
#: Seconds that a rollout of somebody else, as after kubeadm upgrade, may take to end before this one begins.
SETTLE = 60.0
#: Writes of others to the same object that are taken for its own status, which settles while pods start.
_ATTEMPTS = 5

Document = dict[str, t.Any]
_T = t.TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Api:
    """How the cluster is seen and changed; tests give their own.

    Attributes:
        config_map: ConfigMap kube-system/kube-proxy, None where there is none.
        daemon_set: DaemonSet kube-system/kube-proxy, None where there is none.
        pods: The pods of the DaemonSet.
        bindings: Every ClusterRoleBinding and RoleBinding.
        write_config_map: Writes it at the resourceVersion that it has; False where it has changed since.
        write_daemon_set: The same for the DaemonSet.
        health: What a pod's health port answers under /livez, by the pod's name and the port; None for no good answer.
        log: The last line that a container of a pod wrote, by their names; empty for none.
        service: Whether the Service default/kubernetes answers a TLS handshake at its own address from this host.
        clock: Seconds, monotonic.
        sleep: Waits that many seconds.
    """

    config_map: t.Callable[[], Document | None]
    daemon_set: t.Callable[[], Document | None]
    pods: t.Callable[[], list[Document]]
    bindings: t.Callable[[], list[Document]]
    write_config_map: t.Callable[[Document], bool]
    write_daemon_set: t.Callable[[Document], bool]
    health: t.Callable[[str, int], str | None]
    log: t.Callable[[str, str], str]
    service: t.Callable[[], bool]
    clock: t.Callable[[], float]
    sleep: t.Callable[[float], None]


class KubeProxy:
    """Plans and applies what kube-proxy is started with.

    Args:
        api: The cluster.
        settings: By field of its configuration, the setting.
        pod: What its pods must become, as components.daemonset has it; empty where nothing is wanted of them.
    """

    def __init__(
        self, api: Api, settings: t.Mapping[str, t.Mapping[str, t.Any]], pod: t.Mapping[str, t.Mapping[str, t.Any]]
    ) -> None:
        self._api = api
        self._settings = settings
        self._pod = pod
        self._config_map: Document | None = None
        self._daemon_set: Document | None = None
        self._configuration = ""
        self._template: Document = {}
        self._found = False
        #: What a person should know, as sentences.
        self.notes: list[str] = []
        #: What was left undone and why, as sentences.
        self.not_done: list[str] = []
        #: What its container is started with by flag, and its configuration as data; empty where it is not kubeadm's.
        self.found: Document = {}

    def plan(self) -> list[Change]:
        """Return what would change, without changing it."""
        config_map, daemon_set = self._api.config_map(), self._api.daemon_set()
        if config_map is None or daemon_set is None or CONFIGURATION not in (config_map.get("data") or {}):
            missing = f"{CONFIG_MAP} is missing"
            if config_map is not None:
                missing = f"{DAEMON_SET} is missing" if daemon_set is None else f"{CONFIG_MAP} has no {CONFIGURATION}"
            self.notes.append(f"kube-proxy is not run as kubeadm runs it ({missing}), so it was left alone.")
            return []
        before = config_map["data"][CONFIGURATION]
        self._judge(config_map["data"], before)
        self.found = _found(before, daemon_set["spec"]["template"])
        after, controls = proxyconfig.apply(before, self._settings, CONFIG_MAP)
        template, pod_controls = self._planned_pod(daemon_set["spec"]["template"])
        if after == before and template == daemon_set["spec"]["template"]:
            return []
        trouble = self._await_rest(daemon_set)
        if trouble:
            self.not_done.append(
                f"{CONFIG_MAP} and the DaemonSet were left as they are, since {trouble} before anything was changed. "
                "Mend that, and run again."
            )
            return []
        self._config_map, self._daemon_set = config_map, daemon_set
        self._configuration = after
        by_hand = _updates(daemon_set) == "OnDelete"
        restarts = [] if by_hand else ["kube-proxy"]
        changes = []
        if after != before:
            changes.append(file_change("api_object", CONFIG_MAP, before, after, controls, restarts))
            annotations = {**(template["metadata"].get("annotations") or {})}
            annotations[daemonset.CONFIGURATION_HASH] = hashlib.sha256(after.encode()).hexdigest()
            template["metadata"]["annotations"] = annotations
        self._template = template
        old, new = _shown(daemon_set["spec"]["template"]), _shown(template)
        changes.append(file_change("api_object", DAEMON_SET, old, new, pod_controls or controls, restarts))
        if by_hand:
            self.notes.append(f"{DAEMON_SET} updates OnDelete: each pod takes up what changed when it is deleted.")
        return changes

    def plan_back(self, configuration: str, template: Document) -> list[Change]:
        """Return what it would change to give both objects what they had, without changing it.

        Raises:
            HardeningError: A rollout of somebody else does not come to its end.
        """
        config_map, daemon_set = self._api.config_map(), self._api.daemon_set()
        if config_map is None or daemon_set is None:
            return []
        before = config_map["data"][CONFIGURATION]
        if (before, daemon_set["spec"]["template"]) == (configuration, template):
            return []
        trouble = self._await_rest(daemon_set)
        if trouble:
            raise HardeningError(
                "KH208",
                f"{CONFIG_MAP} and the DaemonSet were left as they are, since {trouble}. Mend that, and run again.",
            )
        self._config_map, self._daemon_set = config_map, daemon_set
        self._configuration, self._template = configuration, template
        restarts = [] if _updates(daemon_set) == "OnDelete" else ["kube-proxy"]
        changes = []
        if configuration != before:
            changes.append(file_change("api_object", CONFIG_MAP, before, configuration, [], restarts))
        old, new = _shown(daemon_set["spec"]["template"]), _shown(template)
        if new != old:
            changes.append(file_change("api_object", DAEMON_SET, old, new, [], restarts))
        return changes

    def _await_rest(self, daemon_set: t.Mapping[str, t.Any]) -> str:
        """Return in a clause what keeps a rollout of somebody else from its end, empty once it is finished."""
        begun, trouble = self._api.clock(), _unwell(daemon_set)
        while trouble and self._api.clock() - begun < SETTLE:
            self._api.sleep(INTERVAL)
            trouble = _unwell(self._api.daemon_set() or daemon_set)
        return trouble

    def _planned_pod(self, template: t.Mapping[str, t.Any]) -> tuple[Document, list[str]]:
        main = daemonset.container(template)
        if main is None:
            if self._pod:
                self.notes.append(f"{DAEMON_SET} has no container {daemonset.CONTAINER}, so its pods were left alone.")
            return copy.deepcopy(dict(template)), []
        self._found = True
        return daemonset.harden(template, self._pod)

    def patch(self) -> str:
        """Return what was planned of the pods as a patch of kubeadm's; empty where they are none of ours to change."""
        if not self._pod or not self._found or self.not_done:
            return ""
        return yamlwrite.dump(daemonset.kubeadm_patch(self._pod))

    def _judge(self, data: t.Mapping[str, str], configuration: str) -> None:
        """Say what is not changed here, and would be weaker than it should be."""
        problems = judge.kubeconfig_problems(data.get(KUBECONFIG, ""))
        if problems:
            self.notes.append(
                f"The kubeconfig in {CONFIG_MAP} was left as it is, but {'; '.join(problems)}. kubeadm init phase "
                "addon kube-proxy writes it anew."
            )
        foreign = judge.foreign_bindings(self._api.bindings())
        if foreign:
            self.notes.append(
                f"kube-proxy needs no more than ClusterRole {judge.ROLE}, but is also given: {', '.join(foreign)}. "
                "Nothing was taken away; see who made these."
            )
        address = str(kubeletconfig.at(kubeletconfig.fields(configuration, CONFIG_MAP), "metricsBindAddress") or "")
        rule = self._settings.get("metricsBindAddress", {})
        if address and "keep" in rule and not proxyconfig.is_loopback(address):
            self.notes.append(
                f"kube-proxy shows its metrics at {address}, to everybody who reaches the node, and was left so; "
                "profile cis takes them to the loopback."
            )

    def apply(self, host: Host, backup: Backup, limit: float) -> float:
        """Write, roll and prove; returns the seconds until every node was proven.

        Args:
            host: The host through which the API is spoken to; its journal has what is under way.
            backup: Where the old objects are kept.
            limit: Seconds without a step forward after which the old objects go back; in any case they do after as many
                for each node, and for two at least.

        Raises:
            HardeningError: What stopped it; the old objects are back then.
        """
        if self._config_map is None or self._daemon_set is None:
            return 0.0
        begun = self._api.clock()
        journal = Journal(host)
        before = self._config_map["data"][CONFIGURATION]
        old = {
            "run_id": os.path.basename(backup.directory),
            "configuration": before,
            "template": self._daemon_set["spec"]["template"],
            "unheard": self._unheard(before, limit),
        }
        backup.note("api_object", CONFIG_MAP, before=old["configuration"], after=self._configuration)
        backup.note("api_object", DAEMON_SET, before=json.dumps(old["template"]), after=json.dumps(self._template))
        # Before it is written, so that a change of somebody else's is known as one when this run has died.
        noted = {**old, "after": {"configuration": self._configuration, "templates": [self._template]}}
        journal.note(kube_proxy=noted)
        try:
            if self._configuration != old["configuration"]:
                _write_configuration(self._api, self._configuration, old["configuration"])
            _write_template(self._api, self._template, old["template"])
        except HardeningError as error:
            raise self._unwritten(journal, old, limit, error) from error
        look = _prove(self._api, limit, old["unheard"])
        if look.trouble:
            raise HardeningError(
                "KH208",
                f"kube-proxy did not come up with what was changed: {look.trouble}. "
                + _go_back(self._api, journal, old, limit),
            )
        journal.strike("kube_proxy")
        # As the API has it: it fills in what was left to its defaults.
        backup.note_outcome("api_object", DAEMON_SET, json.dumps(look.daemon_set["spec"]["template"]))
        return self._api.clock() - begun

    def _unheard(self, configuration: str, limit: float) -> list[str]:
        """Return the nodes whose health port says nothing before anything is changed, as behind a firewall; note them.

        Where many are silent, each of which takes its time, those that were not asked within the limit (seconds that
        silent ones took) count as silent too.
        """
        port = _health_port(configuration)
        unheard, spent = [], 0.0
        for pod in self._api.pods() if port else []:
            begun = self._api.clock()
            if spent >= limit or not any(_answers(self._api, pod, port) for _attempt in range(2)):
                unheard.append(_node(pod))
                spent += self._api.clock() - begun
        if unheard:
            self.notes.append(
                f"kube-proxy's health port {port} gave the API server no answer on {', '.join(sorted(unheard))} "
                "before anything was changed, as where a firewall closes it. It was not asked there; the rollout and "
                "the Service are the proof."
            )
        return sorted(unheard)

    def _unwritten(
        self, journal: Journal, old: t.Mapping[str, t.Any], limit: float, error: HardeningError
    ) -> HardeningError:
        """Return the error of a write that failed, with what was done then: it may have arrived all the same."""
        try:
            arrived = _insist(self._api, limit, lambda: self._arrived(old))
        except HardeningError as refusal:
            return HardeningError("KH208", f"kube-proxy could not be changed: {error} {_not_back(limit, refusal)}")
        if arrived:
            told = _go_back(self._api, journal, old, limit)
            return HardeningError(
                "KH208", f"kube-proxy could not be changed: {error} It had arrived all the same. {told}"
            )
        journal.strike("kube_proxy")
        return HardeningError(error.number, f"kube-proxy was left as it was: {error}")

    def _arrived(self, old: t.Mapping[str, t.Any]) -> bool:
        """Return whether the new pod template is there; where it is not, the ConfigMap gets back what it had.

        What somebody else has made of either is left.
        """
        daemon_set = self._api.daemon_set()
        found = old["template"] if daemon_set is None else daemon_set["spec"]["template"]
        if found != old["template"] and _has(found, self._template):
            return True
        config_map = self._api.config_map() or {}
        if (config_map.get("data") or {}).get(CONFIGURATION) == self._configuration != old["configuration"]:
            _write_configuration(self._api, old["configuration"], self._configuration)
        return False


def _found(configuration: str, template: t.Mapping[str, t.Any]) -> Document:
    """Return the flags of kube-proxy's container, and its configuration as data."""
    main = daemonset.container(template) or {}
    words = [str(word) for word in (*(main.get("command") or ()), *(main.get("args") or ()))]
    flags = {argument.name: argument.effective for argument in parse_arguments(words)}
    return {"flags": flags, "configuration": kubeletconfig.fields(configuration, CONFIG_MAP)}


def recover(host: Host, api: t.Callable[[], Api], limit: float) -> list[str]:
    """Put back what a run which died had not proven; returns what was done, as sentences.

    Both objects go back or none: where somebody else has changed one since, both stay.
    """
    journal = Journal(host)
    pending = journal.read().get("kube_proxy")
    if pending is None:
        return []
    cluster = api()
    changed = _strange(cluster, pending)
    if changed:
        journal.strike("kube_proxy")
        place = f"{STATE_DIRECTORY}/backups/{pending['run_id']} on this host"
        sentence = (
            f"{changed} has been changed by someone else since run {pending['run_id']} died before kube-proxy was "
            f"proven, so nothing of kube-proxy was put back; what it was before is in {place}."
        )
        return [sentence]
    _put_back(cluster, pending)
    journal.strike("kube_proxy")
    trouble = _prove(cluster, limit, pending.get("unheard") or []).trouble
    if trouble:
        raise HardeningError(
            "KH406",
            f"Run {pending['run_id']} died before kube-proxy was proven, and what it changed went back, but {trouble}.",
        )
    return [f"Run {pending['run_id']} died before kube-proxy was proven: its ConfigMap and DaemonSet went back."]


def _shown(template: t.Mapping[str, t.Any]) -> str:
    return yaml.safe_dump(dict(template), default_flow_style=False)


def _updates(daemon_set: t.Mapping[str, t.Any]) -> str:
    return str((daemon_set["spec"].get("updateStrategy") or {}).get("type") or "RollingUpdate")


def _unwell(daemon_set: t.Mapping[str, t.Any]) -> str:
    """Return in a clause why a rollout is not finished, empty where it is."""
    status = daemon_set.get("status") or {}
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    if status.get("observedGeneration") != daemon_set["metadata"].get("generation"):
        return "its rollout has not begun"
    if _updates(daemon_set) != "OnDelete" and status.get("updatedNumberScheduled", 0) < wanted:
        return f"it was rolled out on {status.get('updatedNumberScheduled', 0)} of {wanted} nodes"
    return "" if available >= wanted else f"it is available on {available} of {wanted} nodes"


def _rolled(daemon_set: t.Mapping[str, t.Any]) -> int:
    """Return how many pods are new and how many available, in one sum; 0 while it is told of the template before."""
    status = daemon_set.get("status") or {}
    if status.get("observedGeneration") != daemon_set["metadata"].get("generation"):
        return 0
    return int(status.get("updatedNumberScheduled", 0)) + int(status.get("numberAvailable", 0))


def _write_configuration(api: Api, text: str, expected: str) -> None:
    for _attempt in range(_ATTEMPTS):
        found = api.config_map()
        if found is None or (found.get("data") or {}).get(CONFIGURATION) != expected:
            break
        if api.write_config_map({**found, "data": {**found["data"], CONFIGURATION: text}}):
            return
    raise HardeningError(
        "KH125",
        f"{CONFIG_MAP} was changed by someone else since this run read it; it was left as it is now. Run again.",
    )


def _write_template(api: Api, template: Document, expected: Document) -> None:
    for _attempt in range(_ATTEMPTS):
        found = api.daemon_set()
        if found is None or found["spec"]["template"] != expected:
            break
        if api.write_daemon_set({**found, "spec": {**found["spec"], "template": template}}):
            return
    raise HardeningError(
        "KH125",
        f"{DAEMON_SET} was changed by someone else since this run read it; it was left as it is now. Run again.",
    )


def _has(found: t.Any, written: t.Any) -> bool:
    """Return whether the API has what was written, to which it adds what was left to its defaults."""
    if isinstance(written, dict):
        return isinstance(found, dict) and all(_has(found.get(key), value) for key, value in written.items())
    if isinstance(written, list):
        return isinstance(found, list) and len(found) == len(written) and all(map(_has, found, written))
    return bool(found == written)


def _insist(api: Api, limit: float, step: t.Callable[[], _T]) -> _T:
    """Return what a step gives, which is done again for that many seconds while the API refuses it.

    Raises:
        HardeningError: The refusal after the last second.
    """
    begun = api.clock()
    while True:
        try:
            return step()
        except HardeningError:
            if api.clock() - begun >= limit:
                raise
            api.sleep(INTERVAL)


def _go_back(api: Api, journal: Journal, old: t.Mapping[str, t.Any], limit: float) -> str:
    """Give both objects what they had and prove them; return the sentence that says so."""
    try:
        _insist(api, limit, lambda: _put_back(api, old))
    except HardeningError as refusal:
        return _not_back(limit, refusal)
    journal.strike("kube_proxy")
    again = _prove(api, limit, old["unheard"]).trouble
    state = f"are not well either: {again}" if again else "are proven well"
    return f"{CONFIG_MAP} and the DaemonSet went back to what they were, and its pods {state}."


def _not_back(limit: float, refusal: HardeningError) -> str:
    return (
        f"{CONFIG_MAP} and the DaemonSet could not be put back within {limit:.0f} s: {refusal} The next start of any "
        "playbook puts them back first."
    )


def _strange(api: Api, pending: t.Mapping[str, t.Any]) -> str:
    """Return which object is neither what it was nor what the dead run made of it, empty where none is."""
    after = pending.get("after")
    config_map, daemon_set = api.config_map(), api.daemon_set()
    if after is None or config_map is None or daemon_set is None:
        return ""  # an older journal does not say it, and what is gone is not written
    known = (pending["configuration"], after["configuration"])
    if (config_map.get("data") or {}).get(CONFIGURATION) not in known:
        return CONFIG_MAP
    found = daemon_set["spec"]["template"]
    if found == pending["template"] or any(_has(found, one) for one in after["templates"]):
        return ""
    return DAEMON_SET


def _put_back(api: Api, old: t.Mapping[str, t.Any]) -> None:
    """Give both objects what they had; where one is as it was nothing is written."""
    _configuration_back(api, old["configuration"])
    daemon_set = api.daemon_set()
    if daemon_set is not None and daemon_set["spec"]["template"] != old["template"]:
        _write_template(api, old["template"], daemon_set["spec"]["template"])


def _configuration_back(api: Api, text: str) -> None:
    config_map = api.config_map()
    if config_map is not None and config_map["data"].get(CONFIGURATION) != text:
        _write_configuration(api, text, config_map["data"][CONFIGURATION])


@dataclasses.dataclass(frozen=True)
class _Look:
    """One look at kube-proxy.

    Attributes:
        trouble: In a clause why it is not proven well, empty where it is.
        daemon_set: As the API has it, empty where it was not seen.
        steps: How far it has come: pods that are new, that are available and that have laid their rules, in one sum.
    """

    trouble: str
    daemon_set: Document = dataclasses.field(default_factory=dict)
    steps: int = 0

    @property
    def nodes(self) -> int:
        """On how many nodes it should run; 0 where that was not seen."""
        return int((self.daemon_set.get("status") or {}).get("desiredNumberScheduled", 0))


def _prove(api: Api, limit: float, unheard: t.Collection[str]) -> _Look:
    """Return the look at which all was well, else the last one, after no step forward for that many seconds.

    Well is: the rollout is finished, every pod says that it has laid its rules since it was started, and a Service
    answers at its own address. A look that the API refuses is followed by another. The port of nodes that were unheard
    before the change is not asked.

    A step forward is a sum of pods (see _Look) that is larger than every one before: pods that come up and end again
    go to and fro, and would be waited for without an end. However many the steps, it ends after the limit for each
    node, of which there are taken to be two at least.
    """
    begun = since = api.clock()
    most = nodes = 0
    while True:
        look = _look(api, unheard)
        if not look.trouble:
            return look
        now = api.clock()
        if look.steps > most:
            most, since = look.steps, now
        nodes = max(nodes, look.nodes)
        if now - since >= limit or now - begun >= limit * max(2, nodes):
            return _Look(
                f"{look.trouble}, {now - begun:.0f} s after the change and {now - since:.0f} s after the last step "
                f"forward{_last_words(api)}"
            )
        api.sleep(INTERVAL)


def _look(api: Api, unheard: t.Collection[str]) -> _Look:
    try:
        daemon_set = api.daemon_set()
        if daemon_set is None:
            return _Look("its DaemonSet is gone")
        trouble, laid = _unwell(daemon_set), 0
        if not trouble:
            laid, trouble = _laid(api, unheard)
        if not trouble and not api.service():
            trouble = "the Service default/kubernetes does not answer"
        return _Look(trouble, daemon_set, _rolled(daemon_set) + laid)
    except HardeningError as refusal:
        # One request that fails, as where an API server restarts, is no reason to leave what is rolling to itself.
        return _Look(f"it could not be looked at ({str(refusal).rstrip('.')})")


def _last_words(api: Api) -> str:
    """Return what the first container that does not run said last, as the end of a sentence; empty for none."""
    try:
        pods = api.pods()
    except HardeningError:
        return ""  # the sentence says already why nothing can be seen
    for pod in pods:
        status = pod.get("status") or {}
        for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            state = container.get("state") or {}
            ended_well = (state.get("terminated") or {}).get("exitCode") == 0
            if "running" in state or ended_well:
                continue
            words = api.log(str(pod["metadata"]["name"]), str(container["name"])).strip()
            if words:
                return f"; {container['name']} on {_node(pod)} said last: {mask(words)!r}"
    return ""


def _laid(api: Api, unheard: t.Collection[str]) -> tuple[int, str]:
    """Return how many pods in a row say that their rules are laid, and in a clause whose does not, empty for none.

    One that nobody may ask is left out, and so are those of nodes that were unheard before.
    """
    port = _health_port(((api.config_map() or {}).get("data") or {}).get(CONFIGURATION, ""))
    count = 0
    for pod in api.pods() if port else []:
        if _node(pod) in unheard:
            continue
        answer = api.health(str(pod["metadata"]["name"]), port)
        if not _has_synced(answer):
            return count, f"kube-proxy on {_node(pod)} does not say that it has laid its rules"
        count += 1
    return count, ""


def _answers(api: Api, pod: t.Mapping[str, t.Any], port: int) -> bool:
    return api.health(str(pod["metadata"]["name"]), port) is not None


def _health_port(configuration: str) -> int:
    """Return the port at which each pod may be asked from other hosts, 0 where there is none."""
    document = kubeletconfig.fields(configuration, CONFIG_MAP)
    address = str(document.get("healthzBindAddress") or proxyconfig.HEALTH)
    port = address.rpartition(":")[2]
    return 0 if not port.isdigit() or proxyconfig.is_loopback(address) else int(port)


def _node(pod: t.Mapping[str, t.Any]) -> str:
    return str(pod["spec"].get("nodeName") or "no node")


def _has_synced(answer: str | None) -> bool:
    """Return whether a health port says that every address family's rules have been laid since the process started.

    The answer names a family only from its first success on; the word healthy alone is true from the start.
    """
    try:
        families = json.loads(answer or "{}").get("status") or {}
    except (ValueError, AttributeError):
        return False
    return bool(families) and all(isinstance(one, dict) and one.get("healthy") for one in families.values())
