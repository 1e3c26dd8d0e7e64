# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of one host that need more than one value: files that components name, keys, what is served."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from ansible_collections.kubeharden.core.plugins.module_utils.components import kubelet as kubelet_files
from ansible_collections.kubeharden.core.plugins.module_utils.components.flags import (
    map_item,
    occurrences,
    parse_arguments,
    parse_bool,
)
from ansible_collections.kubeharden.core.plugins.module_utils.components.layout import CONTROL_PLANE
from ansible_collections.kubeharden.core.plugins.module_utils.components.versions import version_of
from ansible_collections.kubeharden.core.plugins.module_utils.controls.anonymous import OPEN_PATHS
from ansible_collections.kubeharden.core.plugins.module_utils.controls.catalogue import (
    EXPLAINED,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    UNKNOWN,
    Control,
    Verdict,
    listed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.conditions import is_loopback, unmet
from ansible_collections.kubeharden.core.plugins.module_utils.controls.in_force import (
    FILES_OF_FIELDS,
    Host,
    NotJudged,
    passed,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.kubelet_fields import (
    FLAGS,
    differing,
    is_set_by,
    unwritten,
)
from ansible_collections.kubeharden.core.plugins.module_utils.controls.port_checks import tls_ports

_APISERVER = "kube-apiserver"
#: Providers of an EncryptionConfiguration that encrypt; kms of version 1 is refused by supported versions.
_ENCRYPTING = ("secretbox", "kms", "aescbc", "aesgcm")
_STRONG = ("secretbox", "kms", "aescbc")
_SECRETS = ("secrets", "*.", "*.*")


def anonymous(host: Host, _control: Control) -> Verdict:
    """Anonymous requests are off, or kept to the health paths by an AuthenticationConfiguration."""
    flag = host.flag(_APISERVER, "anonymous-auth")
    path = host.flag(_APISERVER, "authentication-config").items
    if not path:
        allowed = parse_bool(flag.items[-1]) if flag.items else True
        words = f"{flag.words}; there is no AuthenticationConfiguration"
        return Verdict(FAIL if allowed is not False else PASS, words)
    found = host.document("authentication").get("anonymous")
    if not isinstance(found, dict):
        allowed = parse_bool(flag.items[-1]) if flag.items else True
        return Verdict(FAIL if allowed is not False else PASS, f"{path[-1]} has no section anonymous; {flag.words}")
    # Who comes with tokens is read anew while it runs; what is said of anonymous requests is not.
    document = host.read_at_start(_APISERVER, "authentication")
    if not found.get("enabled"):
        return passed(f"{path[-1]} switches anonymous requests off", document)
    paths = [str(one.get("path")) for one in found.get("conditions") or [] if isinstance(one, dict)]
    if not paths:
        return Verdict(FAIL, f"{path[-1]} allows anonymous requests on every path")
    others = sorted(set(paths) - OPEN_PATHS)
    if others:
        return Verdict(FAIL, f"{path[-1]} allows anonymous requests on {', '.join(others)}")
    return passed(f"{path[-1]} allows anonymous requests on {', '.join(paths)} only", document)


def user_authentication(host: Host, _control: Control) -> Verdict:
    """People can come with something that can be withdrawn: OpenID Connect, or what a token service knows."""
    for flag in ("oidc-issuer-url", "authentication-token-webhook-config-file"):
        value = host.flag(_APISERVER, flag)
        if value.items and value.items[-1]:
            return Verdict(PASS, value.words)
    path = host.flag(_APISERVER, "authentication-config")
    if path.items and host.document("authentication").get("issuers"):
        return Verdict(PASS, f"{path.items[-1]} names an issuer of tokens")
    return Verdict(FAIL, "neither OpenID Connect nor a token service is configured, so people come with certificates")


def request_headers(host: Host, _control: Control) -> Verdict:
    """Who may speak for others by headers is named: else every certificate of that authority may."""
    authority = host.flag(_APISERVER, "requestheader-client-ca-file")
    if not any(authority.items):
        return Verdict(PASS, f"{authority.words}, so that no such headers are believed")
    names = host.flag(_APISERVER, "requestheader-allowed-names")
    if not any(names.items):
        return Verdict(FAIL, f"{names.words}; should be set")
    if authority.items == host.flag(_APISERVER, "client-ca-file").items:
        return Verdict(FAIL, f"{authority.words}, and that is the authority of every client")
    return Verdict(PASS, names.words)


def authorizers(host: Host, control: Control) -> Verdict:
    """The authorizers, by flag or by AuthorizationConfiguration, are with some and without others."""
    configured = host.flag(_APISERVER, "authorization-config").items
    if configured:
        types = tuple(str(one) for one in host.document("authorization").get("types") or [])
        words = f"{configured[-1]} has {', '.join(types) or 'no authorizer'}"
    else:
        value = host.flag(_APISERVER, "authorization-mode")
        # Without any authorizer the server allows everything.
        types, words = value.items or ("AlwaysAllow",), value.words
    missing = [one for one in control.judge.get("with", ()) if one not in types]
    wrong = [one for one in control.judge.get("without", ()) if one in types]
    if missing or wrong:
        return Verdict(
            FAIL, f"{words}; should {'be with ' + ', '.join(missing) if missing else 'be without ' + wrong[0]}"
        )
    return Verdict(PASS, words)


def plugin(host: Host, control: Control) -> Verdict:
    """An admission plugin is on, or off, by the flags and the version's default."""
    name, wanted = str(control.judge["plugin"]), bool(control.judge["enabled"])
    on = host.flag(_APISERVER, "enable-admission-plugins")
    off = host.flag(_APISERVER, "disable-admission-plugins")
    default = host.table(_APISERVER).plugins().get(name, False)
    enabled = name in on.items or (default and name not in off.items)
    if name in on.items:
        words = f"--enable-admission-plugins names {name}"
    elif name in off.items:
        words = f"--disable-admission-plugins names {name}"
    else:
        words = f"{name} is named nowhere and is {'on' if default else 'off'} by default"
    return Verdict(PASS if enabled == wanted else FAIL, words)


def paths_mounted(host: Host, _control: Control) -> Verdict:
    """What flags of the API server name lies on the host, where its manifest mounts it."""
    manifest = host.component(_APISERVER).get("manifest")
    problem = (host.evidence.get("manifests") or {}).get("problem")
    if not manifest and not problem:
        return Verdict(NOT_APPLICABLE, f"{_APISERVER} does not run as a static pod")
    lost = host.evidence.get("unmounted")
    if lost is None:
        raise NotJudged(UNKNOWN, str(problem or f"{manifest} could not be read"))
    if lost:
        return Verdict(FAIL, f"under no mount of the manifest: {listed(lost)}")
    return Verdict(PASS, "every log, policy and configuration that flags name is under a mount")


def static_pod_probes(host: Host, _control: Control) -> Verdict:
    """Every probe of a static pod asks where its component listens."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    manifests = host.evidence.get("manifests") or {}
    if manifests.get("problem"):
        raise NotJudged(UNKNOWN, str(manifests["problem"]))
    if not any((one or {}).get("manifest") for one in (host.evidence.get("components") or {}).values()):
        return Verdict(NOT_APPLICABLE, "no component of the control plane runs as a static pod here")
    lost = host.evidence.get("unanswered") or []
    if lost:
        return Verdict(FAIL, listed(lost))
    return Verdict(PASS, "every probe asks where its component listens")


def admission_configuration(host: Host, _control: Control) -> Verdict:
    """An admission configuration says a level of Pod Security."""
    path = host.flag(_APISERVER, "admission-control-config-file")
    if not path.items:
        return Verdict(FAIL, path.words)
    plugins = host.document("admission").get("plugins") or {}
    found = plugins.get("PodSecurity")
    if not isinstance(found, dict):
        return Verdict(FAIL, f"{path.items[-1]} configures {', '.join(plugins) or 'nothing'}, but not PodSecurity")
    defaults = found.get("defaults") or {}
    levels = {name: str(defaults.get(name, "privileged")) for name in ("enforce", "audit", "warn")}
    words = f"{path.items[-1]}: " + ", ".join(f"{name} {level}" for name, level in levels.items())
    if all(level == "privileged" for level in levels.values()):
        return Verdict(FAIL, f"{words}; nothing is refused or reported")
    return passed(words, host.read_at_start(_APISERVER, "admission"))


def audit_log_size(host: Host, control: Control) -> Verdict:
    """Rotated files are large enough. 0 is 100 MB until 1.35, and no rotation from 1.36 on."""
    value = host.flag(_APISERVER, "audit-log-maxsize")
    if value.items and value.items[-1] == "0":
        if host.table(_APISERVER).version < (1, 36):
            return Verdict(PASS, f"{value.words}, which is 100 MB in this version")
        return Verdict(FAIL, f"{value.words}, which ends rotation in this version: the disk fills")
    words = unmet(value.items, control.judge)
    return Verdict(FAIL if words else PASS, f"{value.words}; {words}" if words else value.words)


def audit_policy(host: Host, _control: Control) -> Verdict:
    """The audit policy answers the questions of controls.audit_policy."""
    path = host.flag(_APISERVER, "audit-policy-file").items
    if not path:
        return Verdict(FAIL, "there is no audit policy")
    findings = host.document("audit_policy").get("findings") or []
    if findings:
        return Verdict(FAIL, f"{path[-1]}: " + listed([str(one) for one in findings]))
    words = f"{path[-1]} records what it should, and no bodies of Secrets"
    return passed(words, host.read_at_start(_APISERVER, "audit_policy"))


def encryption(host: Host, control: Control) -> Verdict:
    """The first provider for Secrets encrypts, and for the control of the provider: strongly."""
    path = host.flag(_APISERVER, "encryption-provider-config")
    if not path.items:
        return Verdict(FAIL, path.words)
    for entry in host.document("encryption").get("resources") or []:
        if not any(name in _SECRETS for name in entry.get("resources") or []):
            continue
        first = str((entry.get("providers") or ["identity"])[0])
        allowed = _STRONG if control.part_of else _ENCRYPTING
        words = f"{path.items[-1]}: Secrets are written by {first}"
        if first not in allowed:
            return Verdict(FAIL, words)
        reloads = host.flag(_APISERVER, "encryption-provider-config-automatic-reload").items
        read_anew = bool(reloads) and parse_bool(reloads[-1]) is True
        return passed(words, *([] if read_anew else [host.read_at_start(_APISERVER, "encryption")]))
    return Verdict(FAIL, f"{path.items[-1]} says nothing of Secrets")


def cipher_suites(host: Host, control: Control) -> Verdict:
    """The suites of TLS 1.2 are strong, or TLS 1.3 is the lowest version, whose suites cannot be chosen."""
    if control.component == "kubelet":
        lowest = host.field("kubelet", "tlsMinVersion", "tls-min-version")
        value = host.field("kubelet", "tlsCipherSuites", "tls-cipher-suites")
    else:
        lowest = host.flag(control.component, "tls-min-version")
        value = host.flag(control.component, "cipher-suites" if control.component == "etcd" else "tls-cipher-suites")
    if lowest.items in (("VersionTLS13",), ("TLS1.3",)):
        return passed(f"{lowest.words}, so no other suites are spoken", lowest)
    words = unmet(value.items, control.judge)
    return Verdict(FAIL, f"{value.words}; {words}") if words else passed(value.words, value)


#: By a gate's stage, the gate that stands for all of that stage which are not named.
_ALL_OF_STAGE = {"ALPHA": "AllAlpha", "BETA": "AllBeta"}


def gate(host: Host, control: Control) -> Verdict:
    """A feature gate has the wanted value: by its own name, else by that of its stage, else by default."""
    name, wanted = str(control.judge["gate"]), bool(control.judge["enabled"])
    component = control.component
    if component == "kubelet":
        value = host.field("kubelet", "featureGates", "feature-gates")
    else:
        value = host.flag(component, "feature-gates")
    settings = dict(map_item(item) for item in value.items)
    known = host.table(component).gates(component).get(name)
    for given in (name, _ALL_OF_STAGE.get(known.stage, "") if known else ""):
        if given in settings:
            enabled = parse_bool(settings[given])
            words = f"{given}={settings[given]} is set"
            return passed(words, value) if enabled is wanted else Verdict(FAIL, words)
    if known is None:
        return Verdict(NOT_APPLICABLE, f"this version has no gate {name}")
    words = f"{name} is not set and is {'on' if known.default else 'off'} by default"
    return passed(words, value) if known.default is wanted else Verdict(FAIL, words)


def scheduler_profiling(host: Host, _control: Control) -> Verdict:
    """Profiling is off; where there is a configuration file the flag is ignored."""
    path = host.flag("kube-scheduler", "config").items
    if not path:
        value = host.flag("kube-scheduler", "profiling")
        words = unmet(value.items, {"is": False})
        return Verdict(FAIL if words else PASS, f"{value.words}; {words}" if words else value.words)
    enabled = host.document("scheduler").get("enable_profiling")
    shown = "nothing, so it is on" if enabled is None else str(enabled).lower()
    words = f"--config is set, so the flag is ignored; {path[-1]} says {shown}"
    if enabled is not False:
        return Verdict(FAIL, words)
    return passed(words, host.read_at_start("kube-scheduler", "scheduler"))


def etcd_authority(host: Host, _control: Control) -> Verdict:
    """etcd's authority is another than the one of the cluster's clients."""
    path = host.flag("etcd", "trusted-ca-file")
    if not path.items:
        return Verdict(FAIL, path.words)
    found = host.evidence.get("authorities") or {}
    own, clients = found.get("etcd"), found.get("clients")
    if own is None:
        raise NotJudged(UNKNOWN, f"{path.items[-1]} could not be read")
    if clients is None:
        return Verdict(NOT_APPLICABLE, f"{path.items[-1]}; no API server runs here to compare it with")
    shared = sorted(set(own) & set(clients))
    if shared:
        return Verdict(FAIL, f"{path.items[-1]} holds the authority of the cluster's clients ({shared[0][:16]})")
    return Verdict(PASS, f"{path.items[-1]} is another authority than that of the cluster's clients")


def etcd_listeners(host: Host, _control: Control) -> Verdict:
    """Plain text is spoken on the host itself only."""
    plain = []
    for flag in ("listen-client-urls", "listen-peer-urls", "listen-metrics-urls", "listen-client-http-urls"):
        for url in ",".join(host.flag("etcd", flag).items).split(","):
            parts = urlsplit(url)
            if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                plain.append(f"--{flag} {url}")
    if plain:
        return Verdict(FAIL, "; ".join(plain))
    return Verdict(PASS, "every --listen flag is https:// or an address of the host itself")


def event_rate(host: Host, control: Control) -> Verdict:
    """eventRecordQPS is bounded. 0 was the default until 1.36 and is no limit from 1.37 on."""
    value = host.field("kubelet", "eventRecordQPS", "event-qps")
    if not value.items or value.items[-1] == "0":
        if host.table("kubelet").version < (1, 37):
            return passed(f"{value.words}, which is the default of 50 in this version", value)
        return Verdict(FAIL, f"{value.words}, which is no limit in this version")
    words = unmet(value.items, control.judge)
    return Verdict(FAIL, f"{value.words}; {words}") if words else passed(value.words, value)


def kernel_defaults(host: Host, _control: Control) -> Verdict:
    """The kubelet insists on the kernel's settings, and the kernel has them, now and after the next boot."""
    value = host.field("kubelet", "protectKernelDefaults", "protect-kernel-defaults")
    words = unmet(value.items, {"is": True})
    if words:
        return Verdict(FAIL, f"{value.words}; {words}")
    kernel = host.evidence.get("kernel") or {}
    if kernel.get("problem"):
        raise NotJudged(UNKNOWN, str(kernel["problem"]))
    if kernel.get("differing"):
        return Verdict(FAIL, f"{value.words}, with which the kubelet will not start: {listed(kernel['differing'])}")
    return passed(value.words, value)


def kubelet_serving(host: Host, _control: Control) -> Verdict:
    """What the kubelet serves was signed by the authority; where that was not seen it must ask for one or get one.

    It may also have been laid where the kubelet keeps the one that it signs itself.
    """
    bootstrap = host.field("kubelet", "serverTLSBootstrap", "rotate-server-certificates")
    given = [
        host.field("kubelet", "tlsCertFile", "tls-cert-file"),
        host.field("kubelet", "tlsPrivateKeyFile", "tls-private-key-file"),
    ]
    alone = unmet(bootstrap.items, {"is": True}) and not all(value.items and value.items[-1] for value in given)
    words = f"{bootstrap.words}; and no tlsCertFile is set" if alone else bootstrap.words
    # Of a directory that stands for a host the configuration is all that there is.
    ports = [] if alone and not host.live else tls_ports(host)
    served = next((one for one in ports if one.get("component") == "kubelet"), {})
    certificate = served.get("certificate")
    if certificate and certificate.get("chains"):
        return Verdict(PASS, f"{words}; it serves a certificate of {certificate['issuer']}")
    if alone:
        return Verdict(FAIL, f"{words}: it signs its certificate itself")
    if not certificate:
        raise NotJudged(UNKNOWN, f"{words}; what it serves was not seen: {served.get('problem') or 'no answer'}")
    return Verdict(FAIL, f"{words}; but it serves a certificate of {certificate['issuer']}")


def kubelet_restart(host: Host, _control: Control) -> Verdict:
    """The kubelet runs with what its file, drop-ins and unit would give it at its next start."""
    said = host.said_by_kubelet()
    found = host.evidence.get("kubelet") or {}
    if found.get("problem"):
        raise NotJudged(UNKNOWN, str(found["problem"]))
    flags = host.flags("kubelet")
    differ = _flags_of_next_start(host, found.get("next") or [])
    if found.get("file"):
        known = host.table("kubelet").fields(*FILES_OF_FIELDS["kubelet"]) or {}
        fields = found.get("fields") or {}
        names = {*differing(fields, said, known), *unwritten(fields, said, known, FLAGS)}
        differ += sorted(name for name in names if not is_set_by(name, flags))
    if differ:
        return Verdict(FAIL, f"from its next start on the kubelet would have something else for {listed(differ)}")
    if found.get("next_problem"):
        raise NotJudged(UNKNOWN, str(found["next_problem"]))
    return Verdict(PASS, f"the kubelet runs with what {found.get('file') or 'its unit'} says")


def _flags_of_next_start(host: Host, words: t.Sequence[str]) -> list[str]:
    """Return the flags that are judged, or say where the configuration is, and that a unit gives otherwise."""
    if not words or words[0].rpartition("/")[2] != "kubelet":
        return []  # no unit of systemd starts it, or one that starts something else
    given = parse_arguments(words[1:], host.table("kubelet").bare_flags("kubelet"))
    names = ["config", "config-dir", *(flag for flag in FLAGS.values() if flag)]
    found = ((name, occurrences(given, name)) for name in names)
    return [
        f"--{name}"
        for name, values in found
        # What systemd is going to put in for a specifier is not known: no reason to say that it is something else.
        if values != host.occurrences("kubelet", name) and not any(map(kubelet_files.has_specifier, values))
    ]


def kubelet_keys(host: Host, _control: Control) -> Verdict:
    """Every key of the kubelet's file and drop-ins is known to its version and stands once."""
    host.component("kubelet")
    found = host.evidence.get("kubelet") or {}
    if found.get("problem"):
        raise NotJudged(UNKNOWN, str(found["problem"]))
    known = host.table("kubelet").fields("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration") or {}
    problems = []
    for document in found.get("documents") or []:
        problems += [f"{document['path']}: {key} stands twice" for key in document.get("twice") or []]
        problems += [
            f"{document['path']}: {key} is not known" for key in document.get("keys") or [] if not _is_known(key, known)
        ]
    if problems:
        return Verdict(FAIL, listed(problems))
    return Verdict(PASS, f"{len(found.get('documents') or [])} files, every key is known and stands once")


def _is_known(key: str, known: t.Collection[str]) -> bool:
    """Return whether a path of keys is a field, or lies within one whose keys are free."""
    while key:
        if key in known:
            return True
        parent = key.rpartition(".")[0]
        # A field whose own fields the table has is no map of free keys.
        if parent in known and any(other.startswith(parent + ".") for other in known):
            return False
        key = parent
    return False


#: NET_ADMIN, of linux/capability.h: to lay the rules of Services is all that kube-proxy is for.
_NET_ADMIN = 1 << 12
#: From this version on kubeadm takes a patch for kube-proxy's DaemonSet.
_PATCHED_SINCE = (1, 37)


def kube_proxy_privileges(host: Host, _control: Control) -> Verdict:
    """kube-proxy's process has no capability but NET_ADMIN, and can get no other."""
    rights = _kube_proxy(host).get("rights") or {}
    if not rights or rights["bounding"] < 0:
        raise NotJudged(UNKNOWN, "the rights of kube-proxy's process could not be read")
    more = bin(rights["bounding"] & ~_NET_ADMIN).count("1")
    wrong = [f"{more} capabilities beside NET_ADMIN"] if more else []
    wrong += [] if rights["no_new"] else ["programs that it starts may have more rights"]
    if wrong:
        return _kept_by_upgrades(host, f"kube-proxy's process: {' and '.join(wrong)}")
    return Verdict(PASS, "kube-proxy's process has no capability but NET_ADMIN, and can get no other")


def kube_proxy_files(host: Host, _control: Control) -> Verdict:
    """What kube-proxy's process reads is readable to root alone."""
    found = _kube_proxy(host)
    if found.get("problem"):
        raise NotJudged(UNKNOWN, str(found["problem"]))
    files = found.get("files") or []
    unseen = [f"{one['path']}: {one['problem']}" for one in files if one.get("problem")]
    seen = [one for one in files if not one.get("problem")]
    wrong = [f"{one['path']} has mode {one['mode']}" for one in seen if int(one["mode"], 8) & 0o177]
    wrong += [f"{one['path']} belongs to {one['owner']}" for one in seen if one["owner"] != "root"]
    if wrong:
        return _kept_by_upgrades(host, f"within its volume {listed(wrong)}")
    if unseen:
        raise NotJudged(UNKNOWN, listed(unseen))
    return Verdict(PASS, ", ".join(f"{one['path']} {one['mode']} {one['owner']}" for one in seen) or "it reads no file")


def _kube_proxy(host: Host) -> t.Mapping[str, t.Any]:
    host.component("kube-proxy")
    return host.evidence.get("kube_proxy") or {}


def _kept_by_upgrades(host: Host, words: str) -> Verdict:
    """Return a failure; before kubeadm takes a patch nothing that mends it would stay."""
    kubelet = host.known_versions().get("kubelet")
    if kubelet and version_of(kubelet) < _PATCHED_SINCE:
        return Verdict(EXPLAINED, f"{words}. Before 1.37 every kubeadm upgrade would make it so again.")
    return Verdict(FAIL, words)


def manifests_directory(host: Host, _control: Control) -> Verdict:
    """Files of the manifests directory are pods, and each pod is there once."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    found = host.evidence.get("manifests") or {}
    if found.get("problem"):
        raise NotJudged(UNKNOWN, str(found["problem"]))
    if not found.get("directory"):
        return Verdict(NOT_APPLICABLE, "the kubelet has no manifests directory")
    pods: dict[str, list[str]] = {}
    problems = [f"{name} {words}" for name, words in sorted((found.get("wrong") or {}).items())]
    for name, pod in sorted((found.get("pods") or {}).items()):
        pods.setdefault(str(pod), []).append(str(name))
    problems += [f"{' and '.join(names)} both define {pod}" for pod, names in pods.items() if len(names) > 1]
    if problems:
        return Verdict(FAIL, f"{found['directory']}: {listed(problems)}")
    return Verdict(PASS, f"{found['directory']} holds {', '.join(pods) or 'nothing'}")


def _no_such_file(host: Host, component: str) -> Verdict:
    """Return what the absence of a file means: of a static pod that should be there and is not, nothing is known."""
    found = host.components.get(component)
    if component in CONTROL_PLANE and found is not None and not found.get("running") and not found.get("manifest"):
        return Verdict(UNKNOWN, f"{component} should be on this host, and has neither a process nor a manifest")
    return Verdict(NOT_APPLICABLE, "there is no such file on this host")


def judge_files(host: Host, control: Control) -> Verdict:
    """Owner and mode of every file that a word stands for."""
    if host.problem:
        raise NotJudged(UNKNOWN, host.problem)
    judge = control.judge
    wrong: list[str] = []
    unseen: list[str] = []
    seen = 0
    for word in judge["files"]:
        for entry in (host.evidence.get("files") or {}).get(word) or []:
            if entry.get("problem"):
                unseen.append(f"{entry['path']}: {entry['problem']}")
                continue
            seen += 1
            wrong.extend(_wrong_attributes(host, entry, judge))
    if wrong:
        return Verdict(FAIL, listed(wrong))
    if unseen:
        return Verdict(UNKNOWN, listed(unseen))
    if not seen:
        return _no_such_file(host, control.component)
    if "owner" in judge and not host.live:
        return Verdict(UNKNOWN, "a directory that stands for a host cannot say whom its files belong to")
    shown = [f"mode {judge['mode']} or stricter"] if "mode" in judge else []
    shown += [f"owner {judge['owner']}:{judge['group']}"] if "owner" in judge else []
    return Verdict(PASS, f"{seen} {'file' if seen == 1 else 'files'}, {' and '.join(shown)}")


def _wrong_attributes(host: Host, entry: t.Mapping[str, t.Any], judge: t.Mapping[str, t.Any]) -> list[str]:
    found = []
    if "mode" in judge and int(entry["mode"], 8) & 0o7777 & ~int(judge["mode"], 8):
        found.append(f"{entry['path']} has mode {entry['mode']}")
    if "owner" in judge and host.live and (entry["owner"], entry["group"]) != (judge["owner"], judge["group"]):
        found.append(f"{entry['path']} belongs to {entry['owner']}:{entry['group']}")
    return found


CHECKS: dict[str, t.Callable[[Host, Control], Verdict]] = {
    check.__name__: check
    for check in (
        admission_configuration,
        anonymous,
        audit_log_size,
        audit_policy,
        authorizers,
        cipher_suites,
        encryption,
        etcd_authority,
        etcd_listeners,
        event_rate,
        gate,
        kernel_defaults,
        kube_proxy_files,
        kube_proxy_privileges,
        kubelet_keys,
        kubelet_restart,
        kubelet_serving,
        manifests_directory,
        paths_mounted,
        request_headers,
        scheduler_profiling,
        static_pod_probes,
        user_authentication,
    )
}
