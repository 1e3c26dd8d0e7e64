# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of report.json as a run could write them: for tests of the report and for its screenshots.

The controls are like those of the product, not the same: what a report looks like hangs on how many there are, how long
their titles are, and how the verdicts spread. A report of the product's own is in report.real.
"""

from __future__ import annotations

import copy
import random
import typing as t

Report = dict[str, t.Any]

SECTIONS = {
    # component: (who has it, BSI, NIS2, NSA/CISA)
    "files": ("all", "APP.4.4.A9", "21(2)(i)", "Kubernetes Pod security"),
    "kube-apiserver": ("control_plane", "APP.4.4.A3", "21(2)(i)", "Authentication and authorization"),
    "audit": ("control_plane", "APP.4.4.A11", "21(2)(b)", "Audit logging and threat detection"),
    "kube-controller-manager": ("control_plane", "APP.4.4.A3", "21(2)(e)", "Network separation and hardening"),
    "kube-scheduler": ("control_plane", "APP.4.4.A3", "21(2)(e)", "Network separation and hardening"),
    "etcd": ("control_plane", "APP.4.4.A15", "21(2)(h)", "Network separation and hardening"),
    "kubelet": ("all", "APP.4.4.A10", "21(2)(e)", "Authentication and authorization"),
    "kube-proxy": ("all", "APP.4.4.A7", "21(2)(e)", "Network separation and hardening"),
    "certificates": ("all", "APP.4.4.A17", "21(2)(h)", "Authentication and authorization"),
    "cluster": ("cluster", "APP.4.4.A4", "21(2)(i)", "Kubernetes Pod security"),
    "versions": ("all", "APP.4.4.A21", "21(2)(e)", "Upgrading and application security practices"),
}

FILES = (
    ("apiserver-manifest", "1.1.1 1.1.2", "/etc/kubernetes/manifests/kube-apiserver.yaml"),
    ("controller-manager-manifest", "1.1.3 1.1.4", "/etc/kubernetes/manifests/kube-controller-manager.yaml"),
    ("scheduler-manifest", "1.1.5 1.1.6", "/etc/kubernetes/manifests/kube-scheduler.yaml"),
    ("etcd-manifest", "1.1.7 1.1.8", "/etc/kubernetes/manifests/etcd.yaml"),
    ("cni-configuration", "1.1.9 1.1.10", "/etc/cni/net.d"),
    ("etcd-data-directory", "1.1.11 1.1.12", "/var/lib/etcd"),
    ("admin-kubeconfig", "1.1.13 1.1.14", "/etc/kubernetes/admin.conf"),
    ("scheduler-kubeconfig", "1.1.15 1.1.16", "/etc/kubernetes/scheduler.conf"),
    ("controller-manager-kubeconfig", "1.1.17 1.1.18", "/etc/kubernetes/controller-manager.conf"),
    ("pki-directory", "1.1.19", "/etc/kubernetes/pki"),
    ("pki-certificate", "1.1.20", "/etc/kubernetes/pki/apiserver.crt"),
    ("pki-key", "1.1.21", "/etc/kubernetes/pki/apiserver.key"),
    ("kubelet-unit", "4.1.1 4.1.2", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"),
    ("kube-proxy-kubeconfig", "4.1.3 4.1.4", "/var/lib/kube-proxy/kubeconfig.conf"),
    ("kubelet-kubeconfig", "4.1.5 4.1.6", "/etc/kubernetes/kubelet.conf"),
    ("kubelet-client-authority", "4.1.7 4.1.8", "/etc/kubernetes/pki/ca.crt"),
    ("kubelet-configuration", "4.1.9 4.1.10", "/var/lib/kubelet/config.yaml"),
)

# component, id, severity, CIS, STIG, title, what was seen where it is well, where it is not
ROWS = """
kube-apiserver | apiserver-anonymous | high | 1.2.1 | V-242390 | Anonymous requests reach the health paths and nothing else | GET /api without credentials: 401; /livez: 200 | GET /api without credentials: 403 as system:anonymous, so the request was authenticated
kube-apiserver | apiserver-static-tokens | high | 1.2.2 | V-245543 | No static token authenticates | --token-auth-file absent | --token-auth-file=/etc/kubernetes/tokens.csv
kube-apiserver | apiserver-external-ips | medium | 1.2.3 | | Services cannot claim external addresses | DenyServiceExternalIPs in --enable-admission-plugins | DenyServiceExternalIPs not among the admission plugins in force
kube-apiserver | apiserver-kubelet-client | high | 1.2.4 | V-242398 | The API server shows the kubelet a client certificate | --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt | --kubelet-client-certificate absent
kube-apiserver | apiserver-verifies-kubelets | high | 1.2.5 | V-242399 | The API server verifies the certificate of the kubelet that it talks to | --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt | --kubelet-certificate-authority absent: any certificate on port 10250 is believed
kube-apiserver | apiserver-authorization | high | 1.2.6 1.2.7 1.2.8 | V-242382 | Every request is authorised by Node and RBAC | --authorization-mode=Node,RBAC | --authorization-mode=AlwaysAllow
kube-apiserver | apiserver-event-rate | low | 1.2.9 | | Events are limited per source | EventRateLimit with its configuration | EventRateLimit not among the admission plugins in force
kube-apiserver | apiserver-always-admit | high | 1.2.10 | V-242436 | No admission plugin admits everything | AlwaysAdmit absent | AlwaysAdmit in --enable-admission-plugins
kube-apiserver | apiserver-always-pull | medium | 1.2.11 | | Images are pulled with the credentials of the pod that uses them | AlwaysPullImages in --enable-admission-plugins | AlwaysPullImages not among the admission plugins in force
kube-apiserver | apiserver-service-account-admission | medium | 1.2.12 | | Service accounts are put into pods by admission | ServiceAccount is on by default and not switched off | ServiceAccount in --disable-admission-plugins
kube-apiserver | apiserver-namespace-lifecycle | medium | 1.2.13 | | Namespaces that end take no new objects | NamespaceLifecycle is on by default and not switched off | NamespaceLifecycle in --disable-admission-plugins
kube-apiserver | apiserver-node-restriction | high | 1.2.14 | V-242434 | A node changes its own objects only | NodeRestriction in --enable-admission-plugins | NodeRestriction not among the admission plugins in force
kube-apiserver | apiserver-profiling | low | 1.2.15 | V-242409 | Profiles of the API server are not served | GET /debug/pprof/: 404 with admin's credentials | --profiling absent, default true; GET /debug/pprof/: 200 with admin's credentials
audit | apiserver-audit-log | high | 1.2.16 | V-242402 V-242465 | Requests are recorded in a file under a mount | --audit-log-path=/var/log/kubernetes/audit/audit.log, under hostPath audit-log; the probe's record was found after 0.4 s | --audit-log-path absent
audit | apiserver-audit-age | medium | 1.2.17 | V-242464 | Audit records are kept for at least 30 days | --audit-log-maxage=30 | --audit-log-maxage absent, default 0
audit | apiserver-audit-backups | medium | 1.2.18 | V-242463 | At least ten rotated audit files are kept | --audit-log-maxbackup=10 | --audit-log-maxbackup absent, default 0
audit | apiserver-audit-size | low | 1.2.19 | V-242462 | Audit files are rotated at 100 MB | --audit-log-maxsize=100 | --audit-log-maxsize absent, default 0
audit | apiserver-audit-policy | high | 3.2.1 3.2.2 | V-242461 | A policy says what is recorded, and it covers what matters | 14 rules; secrets at Metadata, rbac at RequestResponse | --audit-policy-file absent, so no event is recorded
audit | apiserver-audit-no-secrets | high | 3.2.2 | V-242403 | No Secret's body is in the audit log | 0 of 2,114 records of Secrets carry a body | 12 of 2,114 records of Secrets carry a body
kube-apiserver | apiserver-request-timeout | low | 1.2.20 | V-242438 | Requests end after a minute | --request-timeout absent, default 1m0s | --request-timeout=600s
kube-apiserver | apiserver-service-account-lookup | medium | 1.2.21 | | A deleted token is no token | --service-account-lookup absent, default true | --service-account-lookup=false
kube-apiserver | apiserver-service-account-key | medium | 1.2.22 | V-242418 | Tokens are signed by a key of their own | --service-account-key-file=/etc/kubernetes/pki/sa.pub | the service accounts' key is the serving key
kube-apiserver | apiserver-etcd-client | high | 1.2.23 1.2.24 1.2.25 1.2.26 | V-242429 V-242430 | The API server and etcd authenticate each other | handshake with --etcd-certfile accepted, chain of etcd-ca verified | --etcd-cafile absent
kube-apiserver | apiserver-encryption | high | 1.2.27 1.2.28 | | Secrets are stored in etcd as ciphertext | first bytes of kube-system/kubeharden-probe: k8s:enc:aesgcm:v1:key-2026-11 | first bytes of kube-system/bootstrap-token: k8s\\x00, so plain protobuf
kube-apiserver | apiserver-tls-cipher-suites | medium | 1.2.29 | V-242418 | TLS offers authenticated encryption with forward secrecy only | accepted: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 | accepted in TLS 1.2: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
kube-apiserver | apiserver-tls-version | high | | V-242378 | TLS older than 1.2 is refused | TLS 1.0 and 1.1: protocol_version alert | TLS 1.1: handshake completed
kube-apiserver | apiserver-token-expiration | medium | 1.2.30 | | Tokens of pods live for an hour | --service-account-extend-token-expiration=false | --service-account-extend-token-expiration absent, default true: a token lives for a year
kube-apiserver | apiserver-insecure-port | high | | V-242386 | Port 8080 is closed | connect to 127.0.0.1:8080: refused | connect to 127.0.0.1:8080: open, answers HTTP
kube-apiserver | apiserver-hsts | low | | | Browsers are told to use TLS only | Strict-Transport-Security: max-age=31536000 | no Strict-Transport-Security header in the answer of /livez
kube-controller-manager | controller-manager-gc | low | 1.3.1 | | Terminated pods are collected below the default of 12500 | --terminated-pod-gc-threshold=1000 | --terminated-pod-gc-threshold absent, default 12500
kube-controller-manager | controller-manager-profiling | low | 1.3.2 | V-242409 | Profiles of the controller manager are not served | --profiling=false | --profiling absent, default true
kube-controller-manager | controller-manager-credentials | high | 1.3.3 | V-242381 | Each controller uses an account of its own | --use-service-account-credentials=true | --use-service-account-credentials absent, default false
kube-controller-manager | controller-manager-account-key | high | 1.3.4 | | Tokens are signed by the controller manager with the key that the API server knows | public parts agree: SHA256:9dF0... | the public parts do not agree
kube-controller-manager | controller-manager-root-ca | high | 1.3.5 | V-242421 | Pods learn the cluster's authority | --root-ca-file=/etc/kubernetes/pki/ca.crt | --root-ca-file absent
kube-controller-manager | controller-manager-rotation | medium | 1.3.6 | | Kubelets' serving certificates can be rotated | feature gate RotateKubeletServerCertificate: true by default | RotateKubeletServerCertificate=false
kube-controller-manager | controller-manager-address | high | 1.3.7 | V-242385 | The controller manager listens on the loopback address | listens on 127.0.0.1:10257 | --bind-address absent, default 0.0.0.0; listens on *:10257
kube-scheduler | scheduler-profiling | low | 1.4.1 | V-242409 | Profiles of the scheduler are not served | --profiling=false | --profiling absent, default true
kube-scheduler | scheduler-address | high | 1.4.2 | V-242384 | The scheduler listens on the loopback address | listens on 127.0.0.1:10259 | --bind-address absent, default 0.0.0.0; listens on *:10259
etcd | etcd-serving | high | 2.1 | V-242428 | etcd serves TLS with a certificate of its own authority | served: CN=cp, issuer CN=etcd-ca | plain HTTP on 2379
etcd | etcd-client-auth | high | 2.2 | V-242423 | etcd asks its clients for a certificate | handshake without a certificate: certificate required | GET /version without a certificate: 200
etcd | etcd-auto-tls | high | 2.3 | V-242379 | etcd does not sign for itself | --auto-tls absent, default false | --auto-tls=true
etcd | etcd-peer-serving | high | 2.4 2.5 | V-242426 V-242432 | Members of etcd authenticate each other | handshake on 2380 without a certificate: certificate required | --peer-client-cert-auth absent, default false
etcd | etcd-peer-auto-tls | high | 2.6 | V-242380 | Members of etcd do not sign for themselves | --peer-auto-tls absent, default false | --peer-auto-tls=true
etcd | etcd-own-authority | medium | 2.7 | | etcd's authority is not the cluster's | SHA256 of the keys differ | etcd/ca.crt and ca.crt have the same key
kubelet | kubelet-anonymous | high | 4.2.1 | V-242391 | The kubelet answers no anonymous request | GET /pods without credentials: 401 | GET /pods without credentials: 200
kubelet | kubelet-authorization | high | 4.2.2 | V-242392 | The kubelet asks the API server who may do what | authorization.mode: Webhook in /configz | authorization.mode: AlwaysAllow in /configz
kubelet | kubelet-client-ca | high | 4.2.3 | V-242420 | The kubelet knows the authority of its clients | authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt | authentication.x509.clientCAFile is empty
kubelet | kubelet-read-only-port | high | 4.2.4 | V-242387 | Port 10255 is closed | connect to 10255: refused; readOnlyPort: 0 in /configz | connect to 10255: open, GET /pods: 200
kubelet | kubelet-streaming-idle | low | 4.2.5 | V-245541 | Idle connections of exec and logs end | streamingConnectionIdleTimeout: 4h0m0s in /configz | streamingConnectionIdleTimeout: 0s in /configz
kubelet | kubelet-iptables | low | 4.2.6 | | The kubelet keeps its own chains of iptables | makeIPTablesUtilChains: true in /configz | makeIPTablesUtilChains: false in the drop-in 20-site.conf
kubelet | kubelet-hostname | low | 4.2.7 | V-242404 | The node's name is not overridden | --hostname-override absent | --hostname-override=node-a
kubelet | kubelet-events | low | 4.2.8 | | Events of a kubelet are limited | eventRecordQPS: 5 in /configz | eventRecordQPS: 0 in /configz, so without a limit
kubelet | kubelet-serving | high | 4.2.9 | V-242424 V-242425 | The kubelet serves a certificate of the cluster's authority | served on 10250: CN=system:node, issuer CN=kubernetes, 340 days left | served on 10250: issuer CN=worker-ca@1763, self-signed
kubelet | kubelet-rotation | medium | 4.2.10 4.2.11 | | The kubelet renews its certificates | rotateCertificates: true, serverTLSBootstrap: true in /configz | serverTLSBootstrap: false in /configz
kubelet | kubelet-tls-cipher-suites | medium | 4.2.12 | V-245544 | The kubelet's TLS offers authenticated encryption only | accepted: 3 suites, all AEAD | accepted in TLS 1.2: TLS_RSA_WITH_AES_256_CBC_SHA
kubelet | kubelet-pids | medium | 4.2.13 | | A pod has a limit of processes | podPidsLimit: 4096 in /configz | podPidsLimit: -1 in /configz
kubelet | kubelet-seccomp | medium | 4.2.14 | | Pods run under the runtime's seccomp profile | seccompDefault: true in /configz | seccompDefault: false in /configz
kubelet | kubelet-kernel-defaults | low | | V-242434 | The kubelet does not change kernel settings by itself | protectKernelDefaults: true in /configz | protectKernelDefaults: false in /configz
kubelet | kubelet-unknown-keys | medium | | | The kubelet's configuration has no key that it does not know | every key of 2 files is known to v1beta1 | config.yaml line 31: "protectKernelDefault" is no key of v1beta1; the kubelet started and said nothing
kube-proxy | kube-proxy-metrics | medium | 4.3.1 | | kube-proxy's metrics are on the loopback address | listens on 127.0.0.1:10249 | listens on *:10249
certificates | certificates-days-left | high | | V-242443 | No certificate ends within 30 days | the first ends in 214 days | /etc/kubernetes/pki/front-proxy-client.crt ends in 12 days
certificates | certificates-keys | medium | | | Keys of certificates are strong enough | RSA 2048 or ECDSA P-256 and up | /etc/kubernetes/pki/etcd/peer.crt: RSA 1024
certificates | certificates-names | medium | | | Serving certificates name the host's addresses | all of 3 names and 2 addresses are named | 10.0.4.7 is missing in /etc/kubernetes/pki/apiserver.crt
certificates | certificates-super-admin | medium | | | No kubeconfig of system:masters is outside root's reach | admin.conf: kubeadm:cluster-admins, 0600 root | /home/ops/.kube/config: O=system:masters, 0644 ops
cluster | rbac-cluster-admin | high | 5.1.1 | V-242383 | cluster-admin is bound to those who need it | 1 subject: group kubeadm:cluster-admins | 3 subjects: group kubeadm:cluster-admins, user ci, serviceaccount default/deployer
cluster | rbac-secrets | high | 5.1.2 | | Few may read Secrets | 7 roles, all of the system | ClusterRole view-all (serviceaccount monitoring/agent) lists secrets in every namespace
cluster | rbac-wildcards | medium | 5.1.3 | | Roles name what they allow | no wildcard outside cluster-admin | ClusterRole operator: verbs ["*"], resources ["*"]
cluster | rbac-default-accounts | medium | 5.1.5 5.1.6 | | Default service accounts have no rights and no token | 12 of 12 | shop/default is bound to edit; 3 namespaces mount its token
cluster | rbac-impersonate | high | 5.1.8 5.1.10 | | Nobody may escalate, bind, impersonate or proxy to nodes | none beyond the system's own | ClusterRole debug: nodes/proxy get
cluster | pod-security | high | 5.2.1 5.2.2 5.2.3 5.2.4 5.2.5 5.2.6 | V-254800 | Every namespace has a level of Pod Security | 12 of 12 namespaces | 3 of 12 namespaces have none: shop, monitoring, build
cluster | network-policies | medium | 5.3.2 | | Every namespace has a NetworkPolicy | 12 of 12 namespaces | 5 of 12 namespaces have none
cluster | kubeadm-drift | medium | | | kubeadm's ConfigMaps say the same as the hosts | no difference | kubeadm-config lacks profiling=false, so the next upgrade undoes it
versions | versions-supported | high | | V-242443 | Components are of a version that is still maintained | 1.37.1, maintained until 2027-10 | kubelet 1.33.4, out of support since 2026-06-28
versions | versions-skew | medium | | | Components are within the version skew policy | all of 1.37 | kubelet 1.33 before API server 1.37: more than three minor versions
"""  # noqa: E501

WHY = {
    "files": "Whoever may write this file runs code as root; whoever may read it holds its keys.",
    "kube-apiserver": "Everything in the cluster goes through this server, so a gap here is a gap everywhere.",
    "audit": "Without a record an intrusion can be neither noticed nor followed back.",
    "etcd": "Who reads etcd reads every Secret; who writes it is the cluster's administrator.",
    "kubelet": "The kubelet starts processes as root on its host and hands out shells in pods.",
}


def catalogue() -> list[Report]:
    """Return the controls."""
    found = [
        _control(
            "files",
            f"files-{name}",
            "high" if "key" in name or "kubeconfig" in name else "medium",
            cis,
            "",
            f"{path.rpartition('/')[2] or path} belongs to root and nobody else may write it",
            (f"{path}: 0600 root:root", f"{path}: 0644 root:root; at most 0600 is asked for"),
        )
        for name, cis, path in FILES
    ]
    for line in ROWS.strip().splitlines():
        component, name, severity, cis, stig, title, good, bad = (part.strip() for part in line.split("|"))
        found.append(_control(component, name, severity, cis, stig, title, (good, bad)))
    return found


def _control(
    component: str, name: str, severity: str, cis: str, stig: str, title: str, seen: tuple[str, str]
) -> Report:
    _who, bsi, nis2, nsa = SECTIONS[component]
    mappings = {"cis": cis.split(), "nsa": [nsa], "stig": stig.split(), "bsi": [bsi], "nis2": [nis2]}
    return {
        "id": name,
        "title": title,
        "severity": severity,
        "level": 2 if severity == "low" else 1,
        "component": component,
        "why": WHY.get(component, "What is open to more than need it is found by those who look for it."),
        "remedy": f"harden.yml sets it: tag {component.replace('kube-', '').replace('-', '_')}, control {name}.",
        "mappings": mappings,
        "_seen": seen,
    }


def hosts(control_planes: int, workers: int, choice: random.Random) -> list[Report]:
    """Return hosts; beyond ten workers some cannot be reached and some are of an older version."""
    digits = len(str(workers))
    found = []
    for number in range(control_planes + workers):
        first = number < control_planes
        name = f"cp{number + 1}" if first else f"worker-{number - control_planes + 1:0{digits}d}"
        away = not first and workers > 10 and choice.random() < 0.01
        kubelet = "1.36.4" if not first and workers > 10 and choice.random() < 0.1 else "1.37.1"
        versions = {"kubelet": kubelet, "containerd": "2.2.1"}
        if first:
            versions |= {"kube-apiserver": "1.37.1", "etcd": "3.6.5"}
        found.append(
            {
                "name": name,
                "roles": ["control_plane"] if first else ["worker"],
                "versions": {} if away else versions,
                "reachable": not away,
                "note": "ssh: connect to host port 22: No route to host" if away else "",
            }
        )
    return found


def _statuses(controls: list[Report], choice: random.Random, failing: float) -> dict[str, str]:
    """Return what most hosts say of each control."""
    words = {}
    for control in controls:
        draw = choice.random()
        words[control["id"]] = "fail" if draw < failing else "explained" if draw > 0.95 else "pass"
    words["apiserver-always-pull"] = "explained"
    words["rbac-cluster-admin"] = "fail" if failing else "pass"
    words["pod-security"] = "waived"
    return words


WAIVER = {
    "reason": "build runs privileged until the move to rootless builders",
    "owner": "platform@example.org",
    "expires": "2027-01-31",
}


def _result(control: Report, host: Report, word: str) -> Report:
    good, bad = control["_seen"]
    result: Report = {
        "control": control["id"],
        "host": host["name"],
        "status": word,
        "severity": control["severity"],
        "evidence": {
            "pass": good,
            "unknown": "not judged: the host could not be reached",
            "explained": f"{bad}\nprofile baseline does not enforce this; profile cis does",
            "not_applicable": "this component does not run on this host",
        }.get(word, bad),
        "remedy": control["remedy"],
        "mappings": control["mappings"],
    }
    if word == "waived":
        result["waiver"] = dict(WAIVER)
    return result


def _results(controls: list[Report], machines: list[Report], words: dict[str, str], choice: random.Random) -> Report:
    """Return results, and let a few hosts differ, as hosts do."""
    odd = {host["name"]: {choice.choice(controls)["id"] for _turn in range(2)} for host in machines[3::4]}
    results = []
    for control in controls:
        who = SECTIONS[control["component"]][0]
        if who == "cluster":
            results.append(_result(control, {"name": "cluster"}, words[control["id"]]))
            continue
        for host in machines:
            word = words[control["id"]]
            only_control_planes = who == "control_plane" or control["id"].startswith(
                ("files-api", "files-con", "files-sch", "files-etcd", "files-adm", "files-pki")
            )
            if only_control_planes and host["roles"] == ["worker"]:
                word = "not_applicable"
            elif not host["reachable"]:
                word = "unknown"
            elif control["id"] in odd.get(host["name"], ()) and word == "pass":
                word = "fail"
            results.append(_result(control, host, word))
    return {"results": results}


def certificates(machines: list[Report], choice: random.Random) -> list[Report]:
    """Return what kubeadm and kubelets make."""
    found = []
    for host in machines:
        pairs = [("/var/lib/kubelet/pki/kubelet-client-current.pem", f"O=system:nodes, CN=system:node:{host['name']}")]
        if host["roles"] == ["control_plane"]:
            pairs += [
                ("/etc/kubernetes/pki/apiserver.crt", "CN=kube-apiserver"),
                ("/etc/kubernetes/pki/apiserver-kubelet-client.crt", "CN=kube-apiserver-kubelet-client"),
                ("/etc/kubernetes/pki/front-proxy-client.crt", "CN=front-proxy-client"),
                ("/etc/kubernetes/pki/etcd/server.crt", f"CN={host['name']}"),
                ("/etc/kubernetes/admin.conf", "O=kubeadm:cluster-admins, CN=kubernetes-admin"),
                ("/etc/kubernetes/pki/ca.crt", "CN=kubernetes"),
            ]
        for path, subject in pairs:
            days = 3400 if path.endswith("/ca.crt") else choice.choice((12, 64, 214, 214, 299, 340))
            found.append(
                {
                    "host": host["name"],
                    "path": path,
                    "subject": subject,
                    "issuer": "CN=etcd-ca" if "/etcd/" in path else "CN=kubernetes",
                    "names": [host["name"], "kubernetes.default.svc", "10.96.0.1"] if "apiserver.crt" in path else [],
                    "not_after": f"202{7 if days < 400 else 9}-0{1 + days % 9}-1{days % 10}T09:12:44Z",
                    "days_left": days,
                    "used_by": ["kubelet" if "kubelet-client-current" in path else "kube-apiserver"],
                }
            )
    return found


def report(control_planes: int = 3, workers: int = 2, seed: int = 1, failing: float = 0.14) -> Report:
    """Return a document.

    Args:
        control_planes: How many.
        workers: How many.
        seed: The same seed makes the same document.
        failing: Share of the controls that fail on most hosts.
    """
    choice = random.Random(seed)
    controls = catalogue()
    machines = hosts(control_planes, workers, choice)
    document: Report = {
        "schema": 1,
        "run_id": "20261124T134005Z-7f3a",
        "made_at": "2026-11-24T13:40:05Z",
        "mode": "verify",
        "profile": "baseline",
        "version": "1.0.0",
        "hosts": machines,
        **_results(controls, machines, _statuses(controls, choice, failing), choice),
        "certificates": certificates(machines, choice),
    }
    document["controls"] = [{key: value for key, value in control.items() if key != "_seen"} for control in controls]
    words = [result["status"] for result in document["results"]]
    document["summary"] = {word: words.count(word) for word in sorted(set(words))}
    return document


def earlier(document: Report, seed: int = 2) -> Report:
    """Return what a run some days before could have found: fewer hosts, more failures, one thing that was well."""
    choice = random.Random(seed)
    before = copy.deepcopy(document)
    before.update(run_id="20261117T081500Z-11c0", made_at="2026-11-17T08:15:00Z")
    gone = before["hosts"].pop()["name"]
    failing = sorted({result["control"] for result in document["results"] if result["status"] == "fail"})
    passing = sorted({control["id"] for control in document["controls"]} - set(failing))
    turned = dict.fromkeys(choice.sample(failing, min(2, len(failing))), "pass")
    turned |= dict.fromkeys(choice.sample(passing, 5), "fail")
    results = []
    for result in before["results"]:
        if result["host"] == gone:
            continue
        if result["control"] in turned and result["status"] in ("pass", "fail"):
            result["status"] = turned[result["control"]]
        results.append(result)
    before["results"] = results
    before["hosts"][0]["versions"]["kubelet"] = "1.37.0"
    return before
