# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reader of what lies on a host, or in kubeadm's ConfigMaps, with files as they are.

Each is given bytes. Text is made of them where the product does it (files.writer.read_text): what is no UTF-8 never
reaches a parser.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t
import zlib
from pathlib import Path

import yaml

from ansible_collections.kubeharden.core.plugins.module_utils import os_release, yaml_data
from ansible_collections.kubeharden.core.plugins.module_utils.components import (
    clusterconfig,
    flags,
    kubelet,
    kubeletconfig,
    oidc,
    proxyconfig,
    sysctl,
    yamledit,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.components.manifest import Manifest, trial_manifest
from ansible_collections.kubeharden.core.plugins.module_utils.controls import (
    admission,
    audit_policy,
    in_force,
    kube_proxy,
)
from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.plugins.module_utils.files import history, together
from ansible_collections.kubeharden.core.plugins.module_utils.files.host import STATE_DIRECTORY, Host, open_host
from ansible_collections.kubeharden.core.plugins.module_utils.files.journal import Journal
from ansible_collections.kubeharden.core.plugins.module_utils.files.lock import Lock
from ansible_collections.kubeharden.core.plugins.module_utils.files.record import RECORD, Backup
from ansible_collections.kubeharden.core.plugins.module_utils.pki import (
    bootstrap,
    bundle,
    der,
    keys,
    kubeconfig as kubeconfig_files,
    listing,
    pem,
    profile,
)
from ansible_collections.kubeharden.core.plugins.module_utils.pki.names import names
from ansible_collections.kubeharden.core.plugins.module_utils.probes import (
    kubeconfig as kubeconfig_probe,
    pod_logs,
    processes,
    redaction,
)
from ansible_collections.kubeharden.core.plugins.module_utils.probes.audit_log import AuditLog
from ansible_collections.kubeharden.core.plugins.module_utils.rollout import (
    evidence,
    evidence_view,
    exemptions,
    recovery,
)
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.authentication import find as find_authentication
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.discovery import Discovery
from ansible_collections.kubeharden.core.plugins.module_utils.rollout.pki_files import ISSUED, Store
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing.engine import Parser
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing.inputs import EVIL, YAML_WORDS
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.pki import makers

_ROOT = Path(__file__).parents[5]
_DEMO = _ROOT / "inventories" / "demo" / "hosts.orig" / "cp1"
_FIXTURES = _ROOT / "tests" / "unit" / "fixtures" / "kubeadm-1.37.1"


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise HardeningError("KH117", "no UTF-8 text, as files.writer.read_text says") from None


def _demo(path: str) -> bytes:
    return (_DEMO / path).read_bytes()


def _yaml(
    name: str, call: t.Callable[[str], object], *texts: str | bytes, words: t.Sequence[str] = (), **more: t.Any
) -> Parser:
    """A parser of YAML: its documents are exchanged field by field, its text is damaged, and it is given what is
    evil."""
    seeds = tuple(text.encode() if isinstance(text, str) else text for text in texts)
    documents = tuple(yaml.safe_load(text) for text in seeds)
    evil = tuple(f"{one}{_text(seeds[0])}".encode() for one in EVIL)
    tokens = (*YAML_WORDS, *words)
    return Parser(name, lambda data: call(_text(data)), (*seeds, *evil), tokens, documents, **more)


def _one_of(edits: t.Sequence[t.Callable[..., object]], text: str) -> None:
    """Make one of the edits, the same one for the same text: each costs another look at the whole document."""
    with contextlib.suppress(HardeningError):
        edits[_number(text, len(edits))]()


def _number(text: str, below: int) -> int:
    return zlib.crc32(text.encode("utf-8", "replace")) % below


# ---- manifests -------------------------------------------------------------------------------------------------------

_MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.1
    command:
    - kube-apiserver
    - --secure-port=6443   # ours
    - --audit-log-path
    - "/logs/audit.log"
    env: [{name: A, value: b}]
    volumeMounts:
    - {mountPath: /logs, name: logs, readOnly: true}
  volumes:
  - hostPath: {path: /var/log/kubernetes, type: DirectoryOrCreate}
    name: logs
"""


def _manifest(text: str) -> None:
    """All that is read of it, and every edit that a run makes."""
    manifest = Manifest.parse(text)
    for component in CONTROL_PLANE:
        if not manifest.has_component(component):
            continue
        manifest.arguments(component)
        manifest.mounts(component)
        manifest.host_path_of(component, "/logs/audit.log")
        edits: tuple[t.Callable[..., object], ...] = (
            lambda name=component: manifest.set_flag(name, "audit-log-path", "/logs/a.log"),
            lambda name=component: manifest.set_flag(name, "profiling", "false"),
            lambda name=component: manifest.set_flag(name, "service-account-issuer", ["a", "b"]),
            lambda name=component: manifest.ensure_mount(name, "extra", "/etc/extra", "/extra"),
            lambda name=component: manifest.ensure_mount(name, "logs", "/var/log/kubernetes", "/logs", read_only=False),
            lambda name=component: trial_manifest(manifest, name, "trial", 12345, {"/var/log": "/tmp/trial"}),
            lambda name=component: manifest.remove_flag(name, "secure-port"),
            lambda name=component: manifest.remove_mount(name, "logs"),
        )
        _one_of(edits, text)


# ---- flags, units, environment files ---------------------------------------------------------------------------------

_RULES: tuple[dict[str, t.Any], ...] = (
    {"exact": "false", "kind": "bool"},
    {"keep": "x"},
    {"at_least": 30, "unlimited": 0},
    {"at_most": "5m", "kind": "duration"},
    {"contains": ["NodeRestriction"], "without": ["AlwaysAdmit"]},
    {"contains": ["A=true"], "kind": "map"},
    {"narrowed": ["TLS_A", "TLS_B"], "also": ["TLS_C"]},
    {"ordered_minimum": "VersionTLS12"},
    {"absent": True},
)


def _arguments(data: bytes) -> None:
    """As they are read of /proc, and of a manifest: any words."""
    words = os.fsdecode(data).split("\0")
    found = flags.parse_arguments(words)
    rule = flags.rule_from_data(_RULES[zlib.crc32(data) % len(_RULES)])
    for argument in found[:4]:
        flags.decide(rule, flags.occurrences(found, argument.name))
    host = in_force.Host("h", {"components": {"kubelet": {"running": True, "arguments": words, "version": "1.37.1"}}})
    for flag in ("v", "feature-gates", "tls-cipher-suites"):
        host.flag("kubelet", flag)


_ENVIRONMENT = 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/a.sock --v=2"\n# a comment\nA=b\n'
_UNIT = """\
[Service]
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml" 'B=c d'
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=-/usr/bin/kubelet $KUBELET_CONFIG_ARGS \\
  ${KUBELET_KUBEADM_ARGS} --v=2
"""


def _environment(data: bytes) -> None:
    text = _text(data)
    kubelet.environment(text)
    changed = kubelet.set_flags(text, {"rotate-certificates": "true", "v": "4"})
    again = kubelet.set_flags(changed, {"rotate-certificates": "true", "v": "4"})
    assert again == changed, "a second run would change it again"


def _unit(data: bytes) -> None:
    flags.parse_arguments(kubelet.command_line([_text(data)], lambda _path: _ENVIRONMENT)[1:])


# ---- the kubelet, kubeadm, kube-proxy --------------------------------------------------------------------------------

_SETTINGS: dict[str, dict[str, t.Any]] = {
    "authentication.anonymous.enabled": {"exact": False, "default": False, "control": "a"},
    "authorization.mode": {"exact": "Webhook", "control": "b"},
    "eventRecordQPS": {"at_most": 5000, "unlimited": 0, "default": 50, "control": "c"},
    "tlsMinVersion": {"ordered_minimum": "VersionTLS12", "control": "d"},
    "tlsCipherSuites": {"narrowed": ["TLS_A", "TLS_B"], "control": "e"},
    "streamingConnectionIdleTimeout": {"at_least": "5m", "unlimited": "0s", "control": "f"},
}
_KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: true}
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization: {mode: AlwaysAllow}
eventRecordQPS: 9000
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
tlsCipherSuites: [TLS_A, TLS_C]
"""
_PROXY = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
metricsBindAddress: 0.0.0.0:10249
enableProfiling: true
clientConnection: {kubeconfig: /var/lib/kube-proxy/kubeconfig.conf}
"""
_CLUSTER = """\
apiServer:
  extraArgs:
  - name: authorization-mode
    value: Node,RBAC
  extraVolumes:
  - {hostPath: /a, mountPath: /b, name: c, readOnly: true}
apiVersion: kubeadm.k8s.io/v1beta4
controllerManager: {}
etcd:
  local: {dataDir: /var/lib/etcd}
kind: ClusterConfiguration
kubernetesVersion: v1.37.1
scheduler: {}
"""
_OLDER = """\
apiServer:
  extraArgs: {authorization-mode: "Node,RBAC"}
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
"""


def _kubelet_configuration(text: str) -> None:
    loaded = kubelet.load(text, "the file")
    kubelet.merge(loaded, kubelet.load(_KUBELET, "a drop-in"))
    kubelet.merge(kubelet.load(_KUBELET, "the file"), loaded)
    evidence.keys_of(text)
    for field, setting in _SETTINGS.items():
        kubeletconfig.good_enough(setting, kubeletconfig.at(loaded, field))
    # Each costs another look at the whole document.
    wanted = dict(list(_SETTINGS.items())[_number(text, len(_SETTINGS)) :][:2])
    changed, _controls = kubeletconfig.apply(text, wanted, "the file")
    assert kubeletconfig.apply(changed, wanted, "the file") == (changed, []), "a second run would change it again"


def _proxy_configuration(text: str) -> None:
    settings: dict[str, dict[str, t.Any]] = {
        "metricsBindAddress": {"loopback": "127.0.0.1:10249", "default": "127.0.0.1:10249", "control": "a"},
        "enableProfiling": {"exact": False, "default": False, "control": "b"},
    }
    proxyconfig.apply(text, settings, "the ConfigMap")


def _cluster_configuration(text: str) -> None:
    configuration = clusterconfig.ClusterConfiguration.parse(text)
    for component in CONTROL_PLANE:
        edits: tuple[t.Callable[..., object], ...] = (
            lambda name=component: configuration.extra_volumes(name),
            lambda name=component: configuration.set_extra_arg(name, "authorization-mode", "RBAC"),
            lambda name=component: configuration.set_extra_arg(name, "profiling", ["false", "true"]),
            lambda name=component: configuration.ensure_extra_volume(name, "v", "/etc/v", "/v"),
            lambda name=component: configuration.ensure_extra_volume(name, "c", "/a", "/b", read_only=False),
            lambda name=component: configuration.remove_extra_arg(name, "authorization-mode"),
            lambda name=component: configuration.remove_extra_volume(name, "c"),
        )
        _one_of(edits, component + text)


def _document(text: str) -> None:
    document = yamledit.Document(text)
    paths: tuple[list[t.Any], ...] = (["a"], ["a", 0], ["spec", "containers"])
    for path in paths:
        edits: tuple[t.Callable[..., object], ...] = (
            lambda at=path: document.replace(at, "x"),
            lambda at=path: document.append_item(at, "x"),
            lambda at=path: document.append_entry(at, "k", {"x": [1]}),
            lambda at=path: document.remove_entry(at[:-1], str(at[-1])),
            lambda at=path: document.remove_item(at, 0),
        )
        _one_of(edits, f"{path}{text}")


# ---- what the API server is told to read -----------------------------------------------------------------------------

_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [a]
  userGroups: [b]
  verbs: [get]
  namespaces: [c]
  resources: [{group: "", resources: [secrets, pods/*], resourceNames: [d]}]
- level: None
  nonResourceURLs: [/healthz*]
- level: RequestResponse
"""
_ADMISSION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, audit: restricted, warn: restricted}
    exemptions: {namespaces: [kube-system, a]}
- name: EventRateLimit
  path: limits.yaml
"""
_AUTHENTICATION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous: {enabled: true, conditions: [{path: /livez}]}
jwt:
- issuer: {url: https://a.example.net, audiences: [b], certificateAuthority: "c\\nd\\n"}
  claimMappings: {username: {claim: sub, prefix: ""}}
"""


def _admission(text: str) -> None:
    admission.judge(text, lambda _path: text)
    exemptions.in_force(text)
    exemptions.configured(text)


# ---- PEM, certificates, kubeconfigs ----------------------------------------------------------------------------------


def _certificates() -> tuple[bytes, ...]:
    root = makers.root()
    leaf = makers.leaf(makers.server_profile(names(["a.example.net", "192.0.2.1", "2001:db8::1"])), root)
    return tuple(pem.encode("CERTIFICATE", one.der) for one in (root.facts, leaf))


def _pem_files() -> tuple[bytes, ...]:
    certificates = _certificates()
    elliptic, rsa = keys.private_pem(makers.key()), keys.private_pem(makers.key("RSA-2048"))
    return (*certificates, elliptic, rsa, keys.public_pem(makers.key()), b"".join(certificates), certificates[0] + rsa)


def _pem(data: bytes) -> None:
    for read in (
        lambda: pem.blocks(data, "the file"),
        lambda: bundle.join(bundle.parse(data, "the file")),
        lambda: keys.load_private(data, "the file", validate=False),
        lambda: profile.from_pem(data, "the file").public_facts(),
    ):
        with contextlib.suppress(HardeningError):
            read()
    json.dumps(listing.describe({"/a.crt": data, "/a.key": data}, makers.NOW))
    oidc.certificates(data.decode("latin-1"))


def _der(data: bytes) -> None:
    """A certificate as a server sends it."""
    with contextlib.suppress(der.DerError):
        der.raw_certificate(data)
    facts = profile.from_der(data, "the file")
    json.dumps(listing.entry(facts, "/a.crt", "certificate", makers.NOW, listing.KeyState()))


_KUBECONFIG = """\
apiVersion: v1
clusters:
- cluster: {certificate-authority-data: QQ==, server: "https://192.0.2.1:6443"}
  name: kubernetes
contexts:
- context: {cluster: kubernetes, user: admin}
  name: admin@kubernetes
current-context: admin@kubernetes
kind: Config
users:
- name: admin
  user: {client-certificate-data: QQ==, client-key-data: QQ==, token: x}
"""


def _kubeconfig(data: bytes) -> None:
    for read in (
        lambda: json.dumps(listing.describe({"/a.conf": data}, makers.NOW)),
        lambda: kubeconfig_files.parse(data, "/a.conf"),
        lambda: bootstrap.waiting(data, "/a.conf"),
        lambda: [user.certificate() for user in kubeconfig_files.users(data, "/a.conf")],
        lambda: kubeconfig_files.update(data, "/a.conf", certificate=b"x", key=b"y"),
        lambda: kube_proxy.kubeconfig_problems(_text(data)),
        lambda: kubeconfig_probe.parse(_text(data), "/nonexistent/a.conf").certificate_expires(),
    ):
        with contextlib.suppress(HardeningError):
            read()


# ---- our own files, logs, the system's -------------------------------------------------------------------------------

_RECORD = {
    "schema": 2,
    "began": 1.5,
    "entries": [
        {"kind": "file", "target": "/a", "path": "/a", "mode": 420, "uid": 0, "gid": 0, "atime_ns": 1, "mtime_ns": 1,
         "sha256": "x", "stored": "0", "after": "y"},
        {"kind": "sysctl", "target": "vm.a", "before": "1", "after": "2"},
    ],
    "undone_by": "",
    "undoes": ["r0"],
    "finished": True,
}  # fmt: skip
_SAVED = [
    {"path": "/etc/kubernetes/a.yaml", "kind": "file", "mode": 384, "uid": 0, "gid": 0, "atime_ns": 1, "mtime_ns": 1,
     "sha256": "x", "stored": "0000"},
    {"path": "/etc/kubernetes/manifests/b.yaml", "kind": "absent", "mode": 0, "uid": 0, "gid": 0, "atime_ns": 0,
     "mtime_ns": 0, "sha256": None, "stored": None},
]  # fmt: skip
_AFTER = {"/etc/kubernetes/a.yaml": "y", "/etc/kubernetes/manifests/b.yaml": None, "/var/lib": "directory"}
#: Every step in every part of it, as the rooms that note them do.
_JOURNAL = {
    "run_id": "r1",
    "together": [["/a/.kubeharden-x", "/a/b", None, "y"]],
    "trial": {"manifests": ["/etc/kubernetes/manifests/t.yaml"], "directory": "/d", "logs": ["/l"]},
    "apply": {
        "run_id": "r1",
        "saved": _SAVED,
        "after": _AFTER,
        "manifests": "/etc/kubernetes/manifests",
        "components": {"etcd": "/etc/kubernetes/manifests/b.yaml"},
        "away": {"manifest": "/m/a.yaml", "moved_to": "/a.taken-away", "etcd": "/m/b.yaml", "apart": True},
    },
    "kubelet": {
        "run_id": "r1",
        "saved": _SAVED,
        "after": _AFTER,
        "sysctls": {"vm.a": "1", "vm/b": "0"},
        "sysctls_after": {"vm.a": "2"},
    },
    "kube_proxy": {
        "run_id": "r1",
        "configuration": "a: b",
        "template": {"spec": {}},
        "unheard": ["cp1"],
        "after": {"configuration": "a: c", "templates": [{"spec": {}}]},
    },
    "image_pulls": {"run_id": "r1"},
    "restarts": ["kube-scheduler"],
}
_HOLDER = {"run_id": "r1", "controller": "a b", "process": "1 2", "since": 1.5, "cluster": False}
_AUDIT = (
    '{"verb":"get","objectRef":{"resource":"secrets","namespace":"a","name":"b"},"stageTimestamp":"x",'
    '"responseObject":{"kind":"Secret","data":{"a":"b"}}}\n{"requestObject":{"kind":"TokenReview","spec":{"token":"x"}}}\n'
)


class _OnDisk:
    """A directory that stands for a host, with places for files of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = Host(str(root))

    def place(self, path: str, data: bytes | None = None) -> Path:
        found = self.root / path.lstrip("/")
        found.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            found.write_bytes(data)
        return found


def _json_words(value: t.Any) -> dict[str, t.Any]:
    text = json.dumps(value)
    tokens = (*'{}[]":,', "null", "true", "1e999", "NaN", "-", '"a":', "\\u0000", "[" * 2000, "9" * 5000)
    return {"seeds": (text.encode(), b"", b"{}", b"null", b"[]"), "words": tokens, "documents": (value,)}


#: Of all of them, in their order: tests are counted before a directory is there.
NAMES = (
    "yaml data",
    "yaml edited",
    "manifest",
    "kubelet configuration",
    "kubeadm cluster configuration",
    "kube-proxy configuration",
    "audit policy",
    "admission configuration",
    "authentication configuration",
    "kubeconfig",
    "argument vector",
    "environment file",
    "unit",
    "sysctl.d",
    "PEM",
    "DER",
    "record",
    "record of a run",
    "journal",
    "lock",
    "what was issued",
    "os-release",
    "audit log",
    "container log",
    "command line of a process",
    "masked text",
    "host with its etc/kubernetes/manifests/kube-apiserver.yaml",
    "host with its etc/kubernetes/manifests/etcd.yaml",
    "host with its var/lib/kubelet/config.yaml",
    "host with its etc/kubernetes/kubelet.conf",
    "host with its usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "host with its var/lib/kubelet/kubeadm-flags.env",
)


def parsers(root: Path) -> list[Parser]:
    """All of them. Those that open files find them below a directory that is given."""
    host = _OnDisk(root)
    return [
        _yaml("yaml data", yaml_data.load, _MANIFEST, _KUBELET, allowed=(yaml_data.NoYamlError,)),
        _yaml("yaml edited", _document, _MANIFEST, "a: [1, {b: c}] # d\nspec:\n  containers:\n    - x\n"),
        _yaml("manifest", _manifest, _MANIFEST, _MANIFEST.replace("command:", "args:"), words=("--", "$(A)", "$$")),
        _yaml("kubelet configuration", _kubelet_configuration, _KUBELET),
        _yaml("kubeadm cluster configuration", _cluster_configuration, _CLUSTER, _OLDER),
        _yaml("kube-proxy configuration", _proxy_configuration, _PROXY),
        _yaml("audit policy", audit_policy.judge, _POLICY),
        _yaml("admission configuration", _admission, _ADMISSION),
        _authentication_of(host),
        _yaml("kubeconfig", lambda text: _kubeconfig(text.encode()), _KUBECONFIG, _demo("etc/kubernetes/admin.conf")),
        Parser("argument vector", _arguments, (b"a\0--b=c\0-d\0e\0--f\0--v=2", b"kubelet\0--feature-gates=A=true,B"),
               ("--", "-", "=", "\0", ",", '"', "true", "5m", "1e3", "--v", "--feature-gates=", "--tls-cipher-suites")),
        Parser("environment file", _environment, (_ENVIRONMENT.encode(), _demo("etc/default/kubelet")),
               ("KUBELET_KUBEADM_ARGS=", '"', "'", "\\", "$A", "${A}", "export ", "--v=4", "=", "#", "\x1c", "\\\n")),
        Parser("unit", _unit, (_UNIT.encode(), _demo("usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")),
               ("ExecStart=", "Environment=", "EnvironmentFile=", '"', "'", "\\", "\\\n", "$A", "${A}", "=", ";", "@")),
        Parser("sysctl.d", lambda data: sysctl.overriding([("/a", _text(data))], sysctl.KUBELET),
               (b"vm.overcommit_memory = 1\n-kernel.*=5\n# c\n", b"; x\nkernel/panic=10"), ("*", "[", "]", "?", "=")),
        Parser("PEM", _pem, _pem_files(), ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----",
               "-----BEGIN RSA PRIVATE KEY-----\n", "Proc-Type: 4,ENCRYPTED\n", "AAAA", "=", "M")),
        Parser("DER", _der, tuple(pem.blocks(one, "")[0].der for one in _certificates()), ("0\x80", "\x02\x01")),
        *_of_ours(host),
        *_of_the_system(host),
        *_of_a_whole_host(root / "whole"),
    ]  # fmt: skip


def _authentication_of(host: _OnDisk) -> Parser:
    path = "/etc/kubernetes/kubeharden/authentication.yaml"
    manifest = Manifest.parse(_MANIFEST.replace("--secure-port=6443", f"--authentication-config={path}"))
    parser = _yaml("authentication configuration", lambda _text: None, _AUTHENTICATION)
    return dataclasses.replace(
        parser, call=lambda _data: find_authentication(host.host, manifest, {}), path=host.place(path)
    )


def _of_ours(host: _OnDisk) -> list[Parser]:
    """Records, journal and locks: written in one step, but a disk may give back what nobody wrote."""

    def on(name: str, path: str, value: t.Any, read: t.Callable[[], object]) -> Parser:
        text = json.dumps(value)
        words = (*'{}[]":,', "null", "true", "1e999", "NaN", "-", '"a":', "\\u0000", "[" * 2000, "9" * 5000)
        seeds = (text.encode(), b"", b"{}", b"null", b"[]")
        return Parser(name, lambda _data: read(), seeds, words, (value,), path=host.place(path))

    def journal() -> None:
        found = Journal(host.host)
        together.unfinished(host.host)
        with contextlib.suppress(HardeningError):
            recovery.require_presence(host.host, found)
        recovery.foretell(host.host)

    def past_runs() -> None:
        for run in history.past_runs(host.host):
            run.summary()

    backups = f"{STATE_DIRECTORY}/backups"
    return [
        on(
            "record", f"{backups}/r1/{RECORD}", _RECORD, lambda: [one.summary() for one in history.past_runs(host.host)]
        ),
        on("record of a run", f"{backups}/r2/{RECORD}", _RECORD, lambda: Backup(host.host, "r2").document()),
        on("journal", f"{STATE_DIRECTORY}/journal.json", _JOURNAL, journal),
        on("lock", "/run/kubeharden/lock", _HOLDER, Lock(host.host).holder),
        on("what was issued", ISSUED, {"apiserver": "00ff"}, Store(host.host, "r").issued),
    ]


def _of_the_system(host: _OnDisk) -> list[Parser]:
    release, audit = host.place("/etc/os-release"), host.place("/var/log/audit.log")
    log = host.place("/var/log/pods/kube-system_a_u1/etcd/0.log")
    logs, proc = str(host.root / "var/log/pods"), str(host.root / "proc")
    host.place("/proc/stat", b"btime 1\n")
    host.place("/proc/7/stat", b"7 (a) S 1 " + b"1 " * 30)

    def seen(_data: bytes) -> None:
        for process in processes.all_processes(proc):
            flags.parse_arguments(process.arguments[1:])

    def last_words(_data: bytes) -> None:
        pod_logs.last_words("u1", "etcd", logs)

    return [
        Parser("os-release", lambda _data: os_release.family(str(release)),
               (b'ID=debian\nID_LIKE="ubuntu x"\n',), ("=", '"', "ID=", "ID_LIKE="), path=release),
        Parser("audit log", lambda _data: AuditLog(str(audit)).bodies(2.0, lambda: 0.0), (_AUDIT.encode(),),
               ('"kind":"Secret"', '"kind":"TokenReview"', '"data":', "null", "[", "{", "}", "[" * 5000), path=audit),
        Parser("container log", last_words,
               (b"2026-11-28T00:00:00.1Z stderr F Error: x\n2026-11-28T00:00:00.1Z stdout P y\n",),
               ("Error: ", "stderr P ", "panic: ", '{"level":"fatal"', "token=", "-----BEGIN ", "A1"),
               path=log),
        Parser("command line of a process", seen, (b"etcd\0--name=a\0",), ("\0", "--", "\xff"),
               path=host.place("/proc/7/cmdline")),
        Parser("masked text", lambda data: redaction.mask(data.decode("utf-8", "replace")),
               (b"name: MY_TOKEN\n  value: x\n", b"Authorization: Bearer a.b.c\nhttps://u:p@h password=x",
                b"abcdef.0123456789abcdef"),
               ("Bearer ", "eyJ", "password", "=", ":", "://", "@", "value: ", "name: ", "A1b2" * 20, "a" * 300, ".")),
    ]  # fmt: skip


def _of_a_whole_host(root: Path) -> list[Parser]:
    """What reads many files: discovery and the evidence of verify, with one of the files of a control plane damaged."""
    open_host(str(root), str(_DEMO), check=False, scratch=str)

    def look(_data: bytes) -> None:
        with contextlib.suppress(HardeningError):
            json.dumps(Discovery(Host(str(root)), control_plane=True).run())
        view = evidence_view.View(Host(str(root)))
        collector = evidence.Collector(view, True, None, lambda _command: (1, "", ""), makers.NOW, lambda: 0.0)
        json.dumps(collector.collect())

    def with_its(path: str, *words: str) -> Parser:
        data = _demo(path)
        documents = () if words else (yaml.safe_load(data),)
        evil = () if words else tuple(one.encode() + data for one in EVIL)
        return Parser(
            f"host with its {path}", look, (data, *evil), words or YAML_WORDS, documents, path=root / path, share=0.002
        )

    return [
        with_its("etc/kubernetes/manifests/kube-apiserver.yaml"),
        with_its("etc/kubernetes/manifests/etcd.yaml"),
        with_its("var/lib/kubelet/config.yaml"),
        with_its("etc/kubernetes/kubelet.conf"),
        with_its(
            "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "ExecStart=", "--config=", "--", "\\", "'"
        ),
        with_its(
            "var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=", "--config=/", "--config-dir=/", '"', "'"
        ),
    ]


def behind_each_other(data: bytes) -> None:
    """For the test of the engine: a defect that only what was reached before leads to."""
    if b"alpha" in data:
        found = data.partition(b"alpha")[2]
        if found.startswith(b"beta"):
            found = found[4:]
            if found.startswith(b"gamma"):
                found = found[5:]
                if found.startswith(b"delta"):
                    raise KeyError("found")
