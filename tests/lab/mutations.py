# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each control that harden.yml enforces is broken behind its back, and what verify must then name: data.

The controls are those of profile ``cis``. ``lab.breaker`` breaks; what is broken through the API is an object's patch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from lab.breaker import MANIFESTS

API = "kube-apiserver"
MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
ETCD = "etcd"
KUBELET = "kubelet"
PROXY = "kube-proxy"
FILES = "files"
#: Broken together, a component at a time, in this order.
SETS = (API, MANAGER, SCHEDULER, ETCD, KUBELET, PROXY, FILES)

KUBERNETES = "/etc/kubernetes"
OURS = f"{KUBERNETES}/kubeharden"
SYSCTLS = "/etc/sysctl.d/90-kubeharden.conf"
PKI = f"{KUBERNETES}/pki"
#: Where kube-proxy's kubeconfig lies on a host that starts it by itself.
PROXY_KUBECONFIG = "/var/lib/kube-proxy/kubeconfig.conf"
#: What a kubeadm host has no need of, and some control is about.
_PROXY = """\
apiVersion: v1
kind: Config
clusters:
- name: default
  cluster: {server: "https://127.0.0.1:6443", certificate-authority: /etc/kubernetes/pki/ca.crt}
users:
- name: default
  user: {tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}
contexts:
- name: default
  context: {cluster: default, user: default}
current-context: default
"""
SET_UP: tuple[dict[str, Any], ...] = ({"path": PROXY_KUBECONFIG, "text": _PROXY},)
KUBELET_CONFIGURATION = "/var/lib/kubelet/config.yaml"
WEAK_SUITE = "TLS_RSA_WITH_AES_128_CBC_SHA"
#: All that a run leaves. Fewer would be the owner's choice, which it leaves too, and ConfigMap kubelet-config differs.
STRONG_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
)
DRIFT = "kubeadm-drift"
#: What a weak suite opens, and what it opens beside a weak version.
WEAK = "probe-weak-suites"
OLD = (WEAK, "probe-old-tls")
#: What a port that is there for the host alone, and listens elsewhere, is seen by.
BEYOND = ("probe-local-ports", "probe-outside")


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One way to break a control.

    ``also`` names the controls that depend on it and must fail with it on the host; ``live`` those that take a port or
    the API to see it, beside what was broken before it in this list. ``where`` says where it can be shown: on
    ``directories`` that stand for hosts, on ``live`` ones. ``refused`` is what the component says where it does not
    start so broken; such a one is not broken on a live host, nor is one with ``spared``, which says why though the
    component starts with it. ``apart`` is the reason why it is not broken with all others of its component.
    ``everywhere`` says that workers have it too.
    """

    control: str
    component: str
    changes: tuple[dict[str, Any], ...] = ()
    patch: tuple[str, str, Any] | None = None
    also: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    where: tuple[str, ...] = ("directories", "live")
    refused: str = ""
    spared: str = ""
    apart: str = ""
    everywhere: bool = False

    @property
    def fails(self) -> frozenset[str]:
        """What fails on a host without a process beside it: the control and those that depend on it."""
        return frozenset((self.control, *self.also))

    @property
    def fails_live(self) -> frozenset[str]:
        """What fails on a live host."""
        return self.fails | frozenset(self.live)


def _flag(component: str, control: str, name: str, value: str | None, **more: Any) -> Mutation:
    """A flag has a weak value, or none; kubeadm's ConfigMap still says the good one, so that is drift too."""
    change = {"edit": "flag", "path": f"{MANIFESTS}/{component}.yaml", "flag": name, "value": value}
    return Mutation(control, component, (change,), **{"live": (DRIFT,), **more})


def _items(component: str, control: str, name: str, **more: Any) -> Mutation:
    """A flag that is a list lacks an item or has one too many."""
    change = {"edit": "items", "path": f"{MANIFESTS}/{component}.yaml", "flag": name}
    change.update({key: more.pop(key) for key in ("with", "without") if key in more})
    return Mutation(control, component, (change,), **{"live": (DRIFT,), **more})


def _field(component: str, control: str, path: str, name: str, value: Any, **more: Any) -> Mutation:
    change = {"edit": "field", "path": path, "field": name, "value": value}
    return Mutation(control, component, (change,), **more)


def _kubelet(control: str, name: str, value: Any, **more: Any) -> Mutation:
    more.setdefault("live", ())
    # What is of one node alone is not in the ConfigMap, nor is a rate that has a limit and no only good value.
    if control not in ("kubelet-kernel-defaults", "kubelet-event-rate"):
        more["live"] += ("kubelet-drift",)
    return _field(KUBELET, control, KUBELET_CONFIGURATION, name, value, everywhere=True, **more)


def _mode(control: str, path: str, mode: str, **more: Any) -> Mutation:
    return Mutation(control, FILES, ({"path": path, "mode": mode},), **more)


def _owner(control: str, path: str, owner: str = "nobody:nogroup", **more: Any) -> Mutation:
    """Who owns a file is not judged on a directory, where it would take root to change."""
    return Mutation(control, FILES, ({"path": path, "owner": owner},), where=("live",), **more)


_ENABLE, _DISABLE = "enable-admission-plugins", "disable-admission-plugins"
_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources: [{group: "", resources: [pods]}]
"""
_LOG_MOUNT = """\
    - mountPath: /var/log/kubernetes/audit
      name: var-log-kubernetes-audit
"""
_NO_KEY_PAIR = "KeyFile and CertFile must both be present"
#: It waits for etcd, whose certificate it cannot verify, and ends.
_NO_ETCD = "etcd grpc connection not ready"
_PRIVILEGED = {"enforce": "privileged", "audit": "privileged", "warn": "privileged"}

APISERVER = (
    _field(API, "apiserver-anonymous", f"{OURS}/authentication.yaml", "anonymous.conditions", None),
    Mutation(
        "apiserver-static-tokens",
        API,
        (
            {"path": f"{PKI}/tokens.csv", "text": ""},
            {
                "edit": "flag",
                "path": f"{MANIFESTS}/{API}.yaml",
                "flag": "token-auth-file",
                "value": f"{PKI}/tokens.csv",
            },
        ),
        live=(DRIFT,),
    ),
    # Of 1.37: some of them want others that are in beta and off. Which there are is another matter in each version.
    _items(
        API,
        "apiserver-alpha-features",
        "feature-gates",
        **{"with": ["AllAlpha=true"]},
        where=("directories",),
        refused="is enabled, but depends on features that are disabled",
    ),
    _flag(API, "apiserver-debug-socket", "debug-socket-path", "/debug.sock"),
    _items(API, "apiserver-external-addresses", _ENABLE, without=["DenyServiceExternalIPs"]),
    _flag(
        API,
        "apiserver-kubelet-client-certificate",
        "kubelet-client-certificate",
        None,
        where=("directories",),
        spared="no kubelet knows the server any more, so that none is heard and nothing of theirs could be judged",
    ),
    _flag(API, "apiserver-etcd-authority", "etcd-cafile", None, where=("directories",), refused=_NO_ETCD),
    _flag(API, "apiserver-etcd-client-certificate", "etcd-keyfile", None, where=("directories",), refused=_NO_KEY_PAIR),
    _flag(
        API,
        "apiserver-serving-certificate",
        "tls-cert-file",
        None,
        where=("directories",),
        refused="missing filename for serving cert",
    ),
    _flag(
        API,
        "apiserver-client-authority",
        "client-ca-file",
        None,
        where=("directories",),
        spared="nobody who comes with a certificate is known any more: administrators, controllers, kubelets",
    ),
    _flag(
        API,
        "apiserver-service-account-key",
        "service-account-key-file",
        None,
        where=("directories",),
        refused="either `--service-account-key-file` or `--service-account-signing-endpoint` must be set",
    ),
    _flag(
        API,
        "apiserver-secure-port",
        "secure-port",
        "0",
        where=("directories",),
        refused="--secure-port 0 must be between 1 and 65535",
    ),
    # kubeadm has it of itself, and would write it again.
    _flag(API, "apiserver-request-headers", "requestheader-allowed-names", None, live=()),
    _flag(API, "apiserver-kubelet-authority", "kubelet-certificate-authority", None, where=("live",)),
    _items(
        API,
        "apiserver-authorization",
        "authorization-mode",
        **{"with": ["AlwaysAllow"]},
        live=("probe-anonymous-apiserver", "probe-anonymous-controllers"),
    ),
    _items(API, "apiserver-authorization-node", "authorization-mode", without=["Node"], live=()),
    _items(API, "apiserver-authorization-rbac", "authorization-mode", without=["RBAC"], live=()),
    _items(API, "apiserver-event-rate", _ENABLE, without=["EventRateLimit"]),
    # On a directory no node can show that it pulls images, so no run has switched it on.
    _items(API, "apiserver-always-pull-images", _ENABLE, without=["AlwaysPullImages"], where=("live",)),
    _items(API, "apiserver-always-admit", _ENABLE, **{"with": ["AlwaysAdmit"]}),
    _items(API, "apiserver-node-restriction", _ENABLE, without=["NodeRestriction"]),
    _items(API, "apiserver-service-account-plugin", _DISABLE, **{"with": ["ServiceAccount"]}),
    _items(API, "apiserver-namespace-lifecycle", _DISABLE, **{"with": ["NamespaceLifecycle"]}),
    _items(API, "apiserver-admission-plugins-on", _DISABLE, **{"with": ["ValidatingAdmissionWebhook"]}),
    _items(API, "apiserver-pod-security", _DISABLE, **{"with": ["PodSecurity"]}),
    _field(
        API,
        "apiserver-admission-configuration",
        f"{OURS}/admission.yaml",
        "plugins.1.configuration.defaults",
        _PRIVILEGED,
    ),
    _flag(API, "apiserver-profiling", "profiling", "true"),
    _flag(API, "apiserver-audit-log-path", "audit-log-path", None, live=(DRIFT, "probe-audit-record")),
    _flag(API, "apiserver-audit-log-maxage", "audit-log-maxage", "1"),
    _flag(API, "apiserver-audit-log-maxbackup", "audit-log-maxbackup", "1"),
    _flag(API, "apiserver-audit-log-maxsize", "audit-log-maxsize", "1"),
    _flag(API, "apiserver-request-timeout", "request-timeout", "1h"),
    _flag(API, "apiserver-service-account-lookup", "service-account-lookup", "false"),
    _flag(API, "apiserver-tls-version", "tls-min-version", "VersionTLS10"),
    _items(API, "apiserver-tls-cipher-suites", "tls-cipher-suites", **{"with": [WEAK_SUITE]}, live=(DRIFT, *OLD)),
    _flag(API, "apiserver-token-expiration", "service-account-extend-token-expiration", "true"),
    _flag(API, "apiserver-hsts", "strict-transport-security-directives", None, live=(DRIFT, "probe-hsts")),
    _flag(API, "apiserver-requests-in-flight", "max-requests-inflight", "0"),
    _flag(
        API,
        "apiserver-mutating-requests-in-flight",
        "max-mutating-requests-inflight",
        "0",
        apart="beside max-requests-inflight=0 the server does not start",
    ),
    _flag(
        API,
        "apiserver-audit-policy",
        "audit-policy-file",
        None,
        also=("apiserver-audit-policy-content",),
        live=(DRIFT, "probe-audit-record"),
    ),
    Mutation(
        "apiserver-audit-policy-content",
        API,
        ({"path": f"{OURS}/audit-policy.yaml", "text": _POLICY},),
        live=("probe-audit-record",),
    ),
    Mutation(
        "apiserver-paths-mounted",
        API,
        ({"edit": "cut", "path": f"{MANIFESTS}/{API}.yaml", "lines": _LOG_MOUNT},),
        apart="without --audit-log-path there is nothing to mount",
    ),
)

CONTROLLERS = (
    _flag(MANAGER, "controller-manager-profiling", "profiling", "true"),
    _flag(MANAGER, "controller-manager-bind-address", "bind-address", "0.0.0.0", live=BEYOND),  # noqa: S104
    _flag(MANAGER, "controller-manager-credentials", "use-service-account-credentials", "false", live=()),
    _flag(MANAGER, "controller-manager-service-account-key", "service-account-private-key-file", None, live=()),
    _flag(MANAGER, "controller-manager-root-authority", "root-ca-file", None, live=()),
    _items(
        MANAGER,
        "controller-manager-kubelet-rotation",
        "feature-gates",
        **{"with": ["RotateKubeletServerCertificate=false"]},
    ),
    _flag(MANAGER, "controller-manager-terminated-pods", "terminated-pod-gc-threshold", "0"),
    _flag(MANAGER, "controller-manager-tls-version", "tls-min-version", "VersionTLS10"),
    _items(
        MANAGER,
        "controller-manager-tls-cipher-suites",
        "tls-cipher-suites",
        **{"with": [WEAK_SUITE]},
        live=(DRIFT, *OLD),
    ),
    _flag(SCHEDULER, "scheduler-profiling", "profiling", "true"),
    _flag(SCHEDULER, "scheduler-bind-address", "bind-address", "0.0.0.0", live=BEYOND),  # noqa: S104
    _flag(SCHEDULER, "scheduler-tls-version", "tls-min-version", "VersionTLS10"),
    _items(SCHEDULER, "scheduler-tls-cipher-suites", "tls-cipher-suites", **{"with": [WEAK_SUITE]}, live=(DRIFT, *OLD)),
)

STORE = (
    _flag(ETCD, "etcd-cert-file", "cert-file", None, refused=_NO_KEY_PAIR),
    _flag(ETCD, "etcd-key-file", "key-file", None, refused=_NO_KEY_PAIR),
    _flag(ETCD, "etcd-client-cert-auth", "client-cert-auth", "false", live=()),
    _flag(ETCD, "etcd-trusted-ca", "trusted-ca-file", None, live=("probe-anonymous-etcd", "probe-foreign-certificate")),
    _flag(ETCD, "etcd-auto-tls", "auto-tls", "true"),
    _flag(ETCD, "etcd-peer-cert-file", "peer-cert-file", None, refused=_NO_KEY_PAIR),
    _flag(ETCD, "etcd-peer-key-file", "peer-key-file", None, refused=_NO_KEY_PAIR),
    _flag(ETCD, "etcd-peer-client-cert-auth", "peer-client-cert-auth", "false", live=()),
    _flag(ETCD, "etcd-peer-trusted-ca", "peer-trusted-ca-file", None, live=()),
    _flag(ETCD, "etcd-peer-auto-tls", "peer-auto-tls", "true"),
    _flag(ETCD, "etcd-tls-version", "tls-min-version", "TLS1.1", refused="unexpected TLS version"),
    _items(ETCD, "etcd-cipher-suites", "cipher-suites", **{"with": [WEAK_SUITE]}, live=(DRIFT, WEAK)),
    _flag(ETCD, "etcd-plain-listeners", "listen-metrics-urls", "http://0.0.0.0:2381", live=BEYOND),
    _flag(ETCD, "etcd-profiling", "enable-pprof", "true"),
)

#: What is taken from what a kubelet itself says, and not broken on live hosts.
UNHEARD = ("kubelet-client-authority", "kubelet-idle-streams", "kubelet-restart", "kubelet-serving-rotation")

NODE = (
    _kubelet("kubelet-anonymous", "authentication.anonymous.enabled", True),
    _kubelet("kubelet-token-authentication", "authentication.webhook.enabled", False),
    _kubelet(
        "kubelet-authorization",
        "authorization.mode",
        "AlwaysAllow",
        live=("probe-anonymous-kubelet",),
    ),
    _kubelet(
        "kubelet-client-authority",
        "authentication.x509.clientCAFile",
        None,
        where=("directories",),
        spared="the kubelet knows the API server no more, so that it is not heard",
        apart="it names the file whose mode is broken too",
    ),
    # Where the ConfigMap says 0s, as kubeadm writes it, whatever a kubelet has passes for its default: no drift.
    _field(
        KUBELET,
        "kubelet-idle-streams",
        KUBELET_CONFIGURATION,
        "streamingConnectionIdleTimeout",
        "-1s",
        where=("directories",),
        spared="it has no effect any more from 1.34 on, and what a live kubelet makes of it was not seen",
        everywhere=True,
    ),
    # A kubelet that asks for a certificate ends with it; one that does not starts.
    _field(
        KUBELET,
        "kubelet-serving-rotation",
        KUBELET_CONFIGURATION,
        "featureGates",
        {"RotateKubeletServerCertificate": False},
        where=("directories",),
        refused="serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate",
        everywhere=True,
    ),
    _kubelet("kubelet-read-only-port", "readOnlyPort", 10255, live=("probe-plain-ports", *BEYOND)),
    _kubelet("kubelet-iptables", "makeIPTablesUtilChains", False),
    _kubelet("kubelet-event-rate", "eventRecordQPS", 100000),
    _kubelet("kubelet-rotate-certificates", "rotateCertificates", False),
    _kubelet("kubelet-tls-version", "tlsMinVersion", "VersionTLS10"),
    _kubelet("kubelet-tls-cipher-suites", "tlsCipherSuites", [*STRONG_SUITES, WEAK_SUITE]),
    _kubelet("kubelet-pod-pids", "podPidsLimit", -1),
    _kubelet("kubelet-seccomp", "seccompDefault", False),
    _kubelet("kubelet-profiling", "enableProfilingHandler", True),
    _kubelet("kubelet-debug-flags", "enableDebugFlagsHandler", True),
    # The kernel itself is one for all hosts of the lab, so what is broken is what the next boot would make of it.
    Mutation(
        "kubelet-kernel-defaults",
        KUBELET,
        ({"path": SYSCTLS, "text": "kernel.panic = 60\n"},),
        where=("live",),
        everywhere=True,
    ),
    _kubelet("kubelet-kernel-defaults", "protectKernelDefaults", False),
    # The last, since such a kubelet is not heard: of what is not broken by then only its file is known.
    Mutation(
        "kubelet-serving-certificate",
        KUBELET,
        tuple(
            {"edit": "field", "path": KUBELET_CONFIGURATION, "field": name, "value": None}
            for name in ("serverTLSBootstrap", "tlsCertFile", "tlsPrivateKeyFile")
        ),
        live=("kubelet-drift", *OLD, *UNHEARD),
        everywhere=True,
    ),
)

CONFIG_MAP = "configmap/kube-proxy"
DAEMON_SET = "daemonset/kube-proxy"
EVERY_NODE = (
    Mutation(
        "kube-proxy-metrics",
        PROXY,
        patch=(CONFIG_MAP, "metricsBindAddress", "0.0.0.0:10249"),
        live=(*BEYOND, "probe-kube-proxy"),
        where=("live",),
        everywhere=True,
    ),
    Mutation(
        "kube-proxy-profiling",
        PROXY,
        patch=(CONFIG_MAP, "enableProfiling", True),
        live=("probe-kube-proxy",),
        where=("live",),
        everywhere=True,
    ),
    Mutation(
        "kube-proxy-privileges",
        PROXY,
        patch=(DAEMON_SET, "securityContext", {"privileged": True}),
        where=("live",),
        everywhere=True,
    ),
    Mutation("kube-proxy-files", PROXY, patch=(DAEMON_SET, "defaultMode", 0o644), where=("live",), everywhere=True),
)

_OF_CONTROL_PLANES = {
    "apiserver-manifest": f"{MANIFESTS}/{API}.yaml",
    "controller-manager-manifest": f"{MANIFESTS}/{MANAGER}.yaml",
    "scheduler-manifest": f"{MANIFESTS}/{SCHEDULER}.yaml",
    "etcd-manifest": f"{MANIFESTS}/{ETCD}.yaml",
    "admin-kubeconfig": f"{KUBERNETES}/admin.conf",
    "scheduler-kubeconfig": f"{KUBERNETES}/scheduler.conf",
    "controller-manager-kubeconfig": f"{KUBERNETES}/controller-manager.conf",
}
_OF_NODES = {
    "cni-configuration": "/etc/cni/net.d/*.conflist",
    "kubelet-unit": "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "kubelet-kubeconfig": f"{KUBERNETES}/kubelet.conf",
    "kubelet-client-authority": f"{PKI}/ca.crt",
    "kubelet-configuration": KUBELET_CONFIGURATION,
    "kubelet-client-key": "/var/lib/kubelet/pki/kubelet.key",
    "kube-proxy-kubeconfig": PROXY_KUBECONFIG,
}
#: ca.crt is one of the certificates too.
_MODES = {"kubelet-client-authority": ("files-pki-certificate",)}
_OWNERS = {"kubelet-client-authority": ("files-pki-directory",)}
ATTRIBUTES = (
    # Among the files, since what is broken there starts nothing anew: the kubelet still runs with what was there.
    _field(FILES, "kubelet-restart", KUBELET_CONFIGURATION, "seccompDefault", False, where=("live",)),
    *(_mode(f"files-{name}", path, "0644") for name, path in _OF_CONTROL_PLANES.items()),
    *(_owner(f"files-{name}-owner", path) for name, path in _OF_CONTROL_PLANES.items()),
    *(
        _mode(f"files-{name}", path, "0666", also=_MODES.get(name, ()), everywhere=True)
        for name, path in _OF_NODES.items()
    ),
    *(
        _owner(f"files-{name}-owner", path, also=_OWNERS.get(name, ()), everywhere=True)
        for name, path in _OF_NODES.items()
    ),
    _mode("files-etcd-data-directory", "/var/lib/etcd", "0755"),
    _owner("files-etcd-data-directory-owner", "/var/lib/etcd", "root:root"),
    _owner("files-pki-directory", PKI),
    _mode("files-pki-directory-mode", f"{PKI}/etcd", "0777"),
    _mode("files-pki-certificate", f"{PKI}/apiserver.crt", "0666"),
    _mode("files-pki-key", f"{PKI}/apiserver.key", "0644"),
)

MUTATIONS: tuple[Mutation, ...] = (*APISERVER, *CONTROLLERS, *STORE, *NODE, *EVERY_NODE, *ATTRIBUTES)


def of(component: str, where: str) -> list[Mutation]:
    """The mutations of a set that are shown on directories, or on live hosts."""
    return [one for one in MUTATIONS if one.component == component and where in one.where]
