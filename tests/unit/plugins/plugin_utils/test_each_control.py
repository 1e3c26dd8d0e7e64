# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each control alone off, and alone on: what is planned then is that control's settings and no other.

On a control plane of the demo that has every setting wrong, so that each control has something to do. What a flag needs
goes with it: its file, its mount, its line in kubeadm's ConfigMap.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.kubeharden.core.plugins.module_utils.components import daemonset, kubeletconfig, proxyconfig
from ansible_collections.kubeharden.core.plugins.module_utils.components.clusterconfig import ClusterConfiguration
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.attributes import Attributes, wanted_from_data
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.kubeadm import plan_cluster_configuration
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.plan import plan_component
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.sysctl import Sysctls
from ansible_collections.kubeharden.core.plugins.plugin_utils import selection
from ansible_collections.kubeharden.core.tests.unit.plugins import templates

DEMO = templates.TEMPLATES.parent / "inventories" / "demo" / "hosts.orig" / "cp1"
MANIFESTS = "/etc/kubernetes/manifests"
KUBELET = "/var/lib/kubelet/config.yaml"
CLUSTER = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
API = "kube-apiserver"
COMPONENTS = tuple(path.parent.name for path in sorted(templates.TEMPLATES.glob("*/flags.yaml.j2")))

#: What the owner has wrong where kubeadm's own value, or none, would be good enough.
WEAK: dict[str, dict[str, str]] = {
    API: {
        "authorization-mode": "AlwaysAllow",
        "enable-admission-plugins": "AlwaysAdmit",
        "disable-admission-plugins": "PodSecurity",
        "anonymous-auth": "true",
        "token-auth-file": "/etc/kubernetes/pki/tokens.csv",
        "feature-gates": "AllAlpha=true",
        "debug-socket-path": "/run/debug.sock",
        "service-account-lookup": "false",
        "max-requests-inflight": "0",
        "max-mutating-requests-inflight": "0",
        "request-timeout": "0",
        "secure-port": "0",
    },
    "kube-controller-manager": {
        "bind-address": "0.0.0.0",  # noqa: S104
        "use-service-account-credentials": "false",
        "feature-gates": "RotateKubeletServerCertificate=false",
    },
    "kube-scheduler": {"bind-address": "0.0.0.0"},  # noqa: S104
    "etcd": {
        "client-cert-auth": "false",
        "peer-client-cert-auth": "false",
        "auto-tls": "true",
        "peer-auto-tls": "true",
        "enable-pprof": "true",
    },
}
#: What is missing, since what is found would stay.
MISSING = {
    API: (
        "tls-cert-file",
        "tls-private-key-file",
        "client-ca-file",
        "kubelet-client-certificate",
        "kubelet-client-key",
        "etcd-cafile",
        "etcd-certfile",
        "etcd-keyfile",
        "service-account-key-file",
        "requestheader-client-ca-file",
        "requestheader-allowed-names",
        "requestheader-username-headers",
        "requestheader-group-headers",
        "requestheader-extra-headers-prefix",
        "proxy-client-cert-file",
        "proxy-client-key-file",
    ),
    "kube-controller-manager": ("root-ca-file", "service-account-private-key-file"),
    "etcd": (
        "cert-file",
        "key-file",
        "trusted-ca-file",
        "peer-cert-file",
        "peer-key-file",
        "peer-trusted-ca-file",
        "listen-metrics-urls",
    ),
}
WEAK_KUBELET = {
    "authentication": {
        "anonymous": {"enabled": True},
        "webhook": {"enabled": False},
        "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
    },
    "streamingConnectionIdleTimeout": "-1s",
    "authorization": {"mode": "AlwaysAllow"},
    "readOnlyPort": 10255,
    "makeIPTablesUtilChains": False,
    "eventRecordQPS": 0,
    "rotateCertificates": False,
    "featureGates": {"RotateKubeletServerCertificate": False},
}
WEAK_KUBE_PROXY = "kind: KubeProxyConfiguration\nenableProfiling: true\nmetricsBindAddress: 0.0.0.0:10249\n"
#: kube-proxy's pods as kubeadm makes them, as far as they are changed.
POD: dict[str, t.Any] = {
    "spec": {
        "containers": [
            {
                "name": "kube-proxy",
                "command": ["kube-proxy"],
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "kube-proxy"}],
            }
        ],
        "volumes": [{"name": "kube-proxy", "configMap": {"name": "kube-proxy"}}],
    }
}
#: What a kubeadm host has beside the demo's files, which are without secrets.
MORE_FILES = (
    *(path.lstrip("/") for path in templates.THERE),
    "var/lib/kubelet/pki/kubelet.key",
    "var/lib/etcd/member/wal",
    "var/lib/kube-proxy/kubeconfig.conf",
)
#: What templates ask of the controls that are left out.
ASKED = ("apiserver-admission-configuration", "apiserver-admission-plugins", "apiserver-admission-plugins-on")
Effects = dict[tuple[str, ...], t.Any]


@dataclasses.dataclass(frozen=True)
class World:
    """A host with everything wrong, and what is known of it."""

    host: Host
    found: dict[str, t.Any]
    flags: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("each") / "cp1"
    open_host(str(root), str(DEMO), False, lambda: str(root.parent))
    for name in MORE_FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x", encoding="utf-8")
    for component, flags in WEAK.items():
        path = root / MANIFESTS.lstrip("/") / f"{component}.yaml"
        manifest = Manifest.parse(path.read_text(encoding="utf-8"))
        for flag, value in flags.items():
            manifest.set_flag(component, flag, value)
        for flag in MISSING.get(component, ()):
            manifest.remove_flag(component, flag)
        path.write_text(manifest.text, encoding="utf-8")
    kubelet = root / KUBELET.lstrip("/")
    configuration = {**yaml.safe_load(kubelet.read_text(encoding="utf-8")), **WEAK_KUBELET}
    kubelet.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    for folder, _folders, names in os.walk(root):
        Path(folder).chmod(0o777)
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o666)
    host = Host(str(root))
    found = Discovery(host, control_plane=True).run()
    # Only now: which file it is, of whose mode there is a control too, is seen by the field.
    configuration["authentication"]["x509"]["clientCAFile"] = ""
    kubelet.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    kubelet.chmod(0o666)
    return World(host, found, found["components"][API]["flags"])


class Planner:
    """What is planned for settings; the same settings of a unit are planned once."""

    def __init__(self, world: World, profile: str) -> None:
        self._world = world
        self._profile = profile
        self.contents = templates.contents(kubeharden_profile=profile, found_flags=world.flags)
        self._rendered: dict[tuple[str, ...], t.Any] = {}
        self._planned: dict[str, Effects] = {}

    def _render(self, name: str, left_out: t.Container[str]) -> dict[str, t.Any]:
        """What a template says, rendered once for each answer to what templates ask of the controls."""
        asked = [control for control in ASKED if control in left_out]
        key = (name, *asked)
        if key not in self._rendered:
            text = templates.render(
                name,
                kubeharden_profile=self._profile,
                control_planes=3,
                approver=True,
                there=templates.THERE,
                client_authority=True,
                found_flags=self._world.flags,
                left_out=asked,
            )
            self._rendered[key] = yaml.safe_load(text)
        return dict(selection.without_controls(self._rendered[key], left_out))

    def wanted(self, left_out: t.Container[str]) -> dict[str, dict[str, t.Any]]:
        """The settings by unit (a component, the kubelet, files) and name, as the roles hand them to the modules."""
        concerns = {component: self._render(f"{component}/flags.yaml.j2", left_out) for component in COMPONENTS}
        concerns[API]["trust"] = self._render(f"{API}/trust.yaml.j2", left_out)["apiserver"]
        concerns["pulls"] = self._render(f"{API}/pulls.yaml.j2", left_out)
        concerns["kubelet"] = self._render("kubelet/configuration.yaml.j2", left_out)
        concerns["sysctls"] = self._render("kubelet/sysctls.yaml.j2", left_out)
        concerns["kube-proxy"] = self._render("kube-proxy/configuration.yaml.j2", left_out)
        concerns["kube-proxy-pod"] = self._render("kube-proxy/daemonset.yaml.j2", left_out)
        flat = {
            unit: {
                name: data
                for key, settings in found.items()
                if key not in ("notes", "not_done")
                for name, data in (settings or {}).items()
            }
            for unit, found in concerns.items()
        }
        return {**flat, "files": self._render("files/attributes.yaml.j2", left_out)}

    def effects(self, left_out: t.Iterable[str] = ()) -> Effects:
        found: Effects = {}
        for unit, settings in self.wanted(set(left_out)).items():
            key = repr((unit, settings))
            if key not in self._planned:
                self._planned[key] = self._plan(unit, settings)
            found.update(self._planned[key])
        return found

    def _plan(self, unit: str, settings: dict[str, t.Any]) -> Effects:
        if unit == "files":
            return self._files(settings)
        plans = {
            "kubelet": self._kubelet,
            "sysctls": self._sysctls,
            "kube-proxy": self._kube_proxy,
            "kube-proxy-pod": self._kube_proxy_pod,
            "pulls": self._pulls,
        }
        return plans[unit](settings) if unit in plans else self._component(unit, settings)

    def _pulls(self, settings: dict[str, t.Any]) -> Effects:
        """What comes behind all else has flags that others have too."""
        return {("pulls", *effect): value for effect, value in self._component(API, settings).items()}

    def _sysctls(self, settings: dict[str, t.Any]) -> Effects:
        changes = Sysctls(self._world.host, settings).plan()
        return {(change.kind, change.target): change.after for change in changes}

    def _kube_proxy(self, settings: dict[str, t.Any]) -> Effects:
        after = yaml.safe_load(proxyconfig.apply(WEAK_KUBE_PROXY, settings, "kube-proxy")[0])
        before = yaml.safe_load(WEAK_KUBE_PROXY)
        return {("kube-proxy", field): after[field] for field in after if after[field] != before[field]}

    def _kube_proxy_pod(self, settings: dict[str, t.Any]) -> Effects:
        before, after = leaves(POD["spec"]), leaves(daemonset.harden(POD, settings)[0]["spec"])
        parts = {"containers": "security_context", "initContainers": "security_context", "volumes": "volume_mode"}
        return {("kube-proxy-pod", parts[key]): "less" for key in after if before.get(key) != after[key]}

    def _component(self, component: str, settings: dict[str, t.Any]) -> Effects:
        contents = self.contents if component == API else {}
        plan = plan_component(self._world.host, component, f"{MANIFESTS}/{component}.yaml", settings, contents)
        found: Effects = {
            ("flag", component, setting.flag): tuple(setting.values) for setting in plan.settings if setting.changed
        }
        before = {mount.mount_path for mount in Manifest.parse(plan.before).mounts(component)}
        for mount in plan.manifest.mounts(component):
            if mount.mount_path not in before:
                found["mount", component, mount.mount_path] = mount.read_only
        for change in (*plan.files, *plan.directories):
            found[change.kind, change.target] = change.after
        text, _controls = plan_cluster_configuration(CLUSTER, [{component: plan.state()}])
        configuration = ClusterConfiguration.parse(text)
        for setting in plan.settings:
            values = configuration.extra_arg_values(component, setting.flag)
            if values:
                found["kubeadm", component, setting.flag] = tuple(values)
        return found

    def _kubelet(self, settings: dict[str, t.Any]) -> Effects:
        before = Path(self._world.host.path(KUBELET)).read_text(encoding="utf-8")
        after, _controls = kubeletconfig.apply(before, settings, KUBELET)
        documents = [leaves(yaml.safe_load(text)) for text in (before, after)]
        return {
            ("kubelet", field): documents[1].get(field)
            for field in {*documents[0], *documents[1]}
            if documents[0].get(field) != documents[1].get(field)
        }

    def _files(self, settings: dict[str, t.Any]) -> Effects:
        paths = self._world.found["files"]
        attributes = Attributes(self._world.host, wanted_from_data(paths, settings), lambda _words: (1, "", ""))
        return {("attributes", change.target): change.after for change in attributes.plan()}

    @functools.cached_property
    def belongs(self) -> dict[str, set[tuple[str, ...]]]:
        """By control, what its settings may change: themselves, and what a flag needs."""
        found: dict[str, set[tuple[str, ...]]] = {}
        for unit, settings in self.wanted(()).items():
            for name, data in settings.items():
                if unit == "kube-proxy" and "keep" in data:
                    continue  # good by itself, and the owner's where there is one
                mine = found.setdefault(data["control"], set())
                if unit == "files":
                    mine |= {("attributes", path) for path in self._world.found["files"].get(name, [])}
                elif unit == "sysctls":
                    mine |= {("directory", "/etc/sysctl.d"), ("file", "/etc/sysctl.d/90-kubeharden.conf")}
                elif unit in ("kubelet", "kube-proxy", "kube-proxy-pod"):
                    mine.add((unit, name))
                elif unit == "pulls":
                    mine |= {(unit, "flag", API, name), (unit, "kubeadm", API, name)}
                else:
                    mine |= {("flag", unit, name), ("kubeadm", unit, name)} | self._needs(unit, name, data)
        return found

    def _needs(self, unit: str, name: str, data: dict[str, t.Any]) -> set[tuple[str, ...]]:
        if "mount" not in data:
            return set()
        path = str(data.get("keep") or data.get("exact"))
        folder = os.path.dirname(path)
        needs: set[tuple[str, ...]] = {("mount", unit, folder), ("directory", folder)}
        return needs | {("file", path)} if name in self.contents else needs


def leaves(data: t.Any, path: str = "") -> dict[str, t.Any]:
    """Every field of a document by its path."""
    if not isinstance(data, dict):
        return {path: data}
    found: dict[str, t.Any] = {}
    for key, item in data.items():
        found.update(leaves(item, f"{path}.{key}" if path else str(key)))
    return found


@pytest.fixture(scope="module", params=["baseline", "cis"])
def planned(request: pytest.FixtureRequest, world: World) -> tuple[str, Planner]:
    return request.param, Planner(world, request.param)


CONTROLS = selection.known_controls()
#: A plugin that keeps the server from starting where its configuration is left out goes with that.
PLUGINS = ("apiserver-admission-plugins", "apiserver-admission-configuration")


def without_plugin(effects: Effects) -> Effects:
    """The same, with EventRateLimit taken out of what is switched on."""
    found = dict(effects)
    for kind in ("flag", "kubeadm"):
        key = (kind, API, "enable-admission-plugins")
        if key in found:
            found[key] = tuple(value.replace(",EventRateLimit", "") for value in found[key])
    return found


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_alone_on_changes_its_own_settings(planned: tuple[str, Planner], control: str) -> None:
    _profile, plans = planned
    full = plans.effects()
    own = {key for key in plans.belongs.get(control, set()) if key in full}
    alone = plans.effects(set(CONTROLS) - {control})
    expected = {key: full[key] for key in own}
    assert alone == (without_plugin(expected) if control in PLUGINS else expected)
    assert bool(alone) == (control in plans.belongs), control


@pytest.mark.parametrize("control", CONTROLS)
def test_all_but_one_control_change_all_but_its_own_settings(planned: tuple[str, Planner], control: str) -> None:
    _profile, plans = planned
    full = plans.effects()
    others = {key for other, keys in plans.belongs.items() if other != control for key in keys}
    rest = plans.effects({control})
    expected = {key: value for key, value in full.items() if key in others}
    assert rest == (without_plugin(expected) if control == "apiserver-admission-configuration" else expected)


def test_no_control_on_changes_nothing(planned: tuple[str, Planner]) -> None:
    assert planned[1].effects(CONTROLS) == {}


def test_every_change_belongs_to_a_control(planned: tuple[str, Planner]) -> None:
    full = planned[1].effects()
    assert len(full) > 80
    assert set(full) <= {key for keys in planned[1].belongs.values() for key in keys}
