# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes 1.33 to 1.37 and kubeadm bind for others than components, and with what rules they made these roles.

A name says who made a binding, not what its role gives by now: an API server adds what its own roles lack when it
starts, and takes nothing away that somebody gave them; kubeadm writes its own seldom.
So what is in a role beyond these rules is somebody's.
"""

from __future__ import annotations

import re
import typing as t

Rule = t.Mapping[str, t.Any]

_ADMIN = "cluster-admin"
_ACCOUNTS = "system:serviceaccounts"
_JOINING = "Group system:bootstrappers:kubeadm:default-node-token"
#: By binding and role, to whom. A label or the beginning of a name says nothing of that: anybody can give them to a
#: binding.
_BOUND: dict[tuple[str, str], tuple[str, ...]] = {
    (_ADMIN, _ADMIN): ("Group system:masters",),
    ("system:basic-user", "system:basic-user"): ("Group system:authenticated",),
    ("system:discovery", "system:discovery"): ("Group system:authenticated",),
    ("system:public-info-viewer", "system:public-info-viewer"): (
        "Group system:authenticated",
        "Group system:unauthenticated",
    ),
    ("system:service-account-issuer-discovery", "system:service-account-issuer-discovery"): (f"Group {_ACCOUNTS}",),
    # Where ClusterTrustBundle is on, as it is in 1.37.
    ("system:cluster-trust-bundle-discovery", "system:cluster-trust-bundle-discovery"): (f"Group {_ACCOUNTS}",),
    ("kubeadm:cluster-admins", _ADMIN): ("Group kubeadm:cluster-admins",),
    # By this the API server reaches kubelets.
    ("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin"): ("User kube-apiserver-kubelet-client",),
    ("kube-public/kubeadm:bootstrap-signer-clusterinfo", "kubeadm:bootstrap-signer-clusterinfo"): (
        "User system:anonymous",
    ),
    # What a node needs that joins.
    ("kubeadm:get-nodes", "kubeadm:get-nodes"): (_JOINING,),
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper"): (_JOINING,),
    (
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    ): (_JOINING,),
    ("kube-system/kubeadm:kubelet-config", "kubeadm:kubelet-config"): (_JOINING,),
    ("kube-system/kubeadm:nodes-kubeadm-config", "kubeadm:nodes-kubeadm-config"): (_JOINING,),
    ("kube-system/kube-proxy", "kube-proxy"): (_JOINING,),
    # What a control plane needs that joins: authorities and keys, encrypted by who made them, for two hours.
    ("kube-system/kubeadm:kubeadm-certs", "kubeadm:kubeadm-certs"): (_JOINING,),
}
#: Before 1.24 kubeadm made a ConfigMap for kubelets of each minor version, a role and a binding; upgrades leave them.
_OF_A_MINOR = re.compile(r"(?<=kubelet-config)-1\.\d+$")


def _rule(verbs: str, group: str, resources: str, name: str = "") -> Rule:
    return {
        "verbs": verbs.split(),
        "apiGroups": [group],
        "resources": resources.split(),
        "resourceNames": [name] if name else [],
    }


def _urls(*paths: str) -> Rule:
    return {"verbs": ["get"], "nonResourceURLs": paths}


_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_CERTIFICATES = "certificates.k8s.io"
#: By role, its rules, those of older versions that upgrades leave among them (``/swagger*`` and ``nodes/spec``).
_RULES: dict[str, tuple[Rule, ...]] = {
    _ADMIN: (_rule("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}),
    "system:basic-user": (
        _rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        _rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:discovery": (
        _urls(*_HEALTH, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"),
        _urls("/swagger-2.0.0.pb-v1", "/swagger.json", "/swaggerapi", "/swaggerapi/*"),
    ),
    "system:public-info-viewer": (_urls(*_HEALTH),),
    "system:service-account-issuer-discovery": (
        _urls(
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ),
    ),
    "system:cluster-trust-bundle-discovery": (_rule("get list watch", _CERTIFICATES, "clustertrustbundles"),),
    "system:kubelet-api-admin": (
        _rule("get list watch proxy", "", "nodes"),
        _rule(
            "*",
            "",
            "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec nodes/stats",
        ),
    ),
    "system:node-bootstrapper": (_rule("create get list watch", _CERTIFICATES, "certificatesigningrequests"),),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        _rule("create", _CERTIFICATES, "certificatesigningrequests/nodeclient"),
    ),
    "kubeadm:get-nodes": (_rule("get", "", "nodes"),),
    "kubeadm:bootstrap-signer-clusterinfo": (_rule("get", "", "configmaps", "cluster-info"),),
    "kubeadm:kubelet-config": (_rule("get", "", "configmaps", "kubelet-config"),),
    "kubeadm:nodes-kubeadm-config": (_rule("get", "", "configmaps", "kubeadm-config"),),
    "kube-proxy": (_rule("get", "", "configmaps", "kube-proxy"),),
    "kubeadm:kubeadm-certs": (_rule("get", "", "secrets", "kubeadm-certs"),),
}
#: Who edits a namespace gets these of Kubernetes (system:aggregate-to-edit): the roles that people are meant to have.
EDITORS = ("admin", "edit")
_OF_EDITORS = (
    _rule("impersonate", "", "serviceaccounts"),
    _rule("create", "", "serviceaccounts/token"),
    _rule("get list watch create update patch delete deletecollection", "", "pods/proxy services/proxy"),
)


def is_made(binding: str, role: str, subject: str) -> bool:
    """Return whether it is Kubernetes or kubeadm that binds somebody so, whatever the role gives by now.

    Args:
        binding: Its name, a namespace and a slash before it.
        role: The role's name.
        subject: Kind and name.
    """
    return subject in _BOUND.get((_OF_A_MINOR.sub("", binding), _OF_A_MINOR.sub("", role)), ())


def beyond(role: str, rules: t.Iterable[t.Any]) -> list[Rule]:
    """Return what a role's rules give beyond those that Kubernetes or kubeadm gave it, each right as a rule; all of the
    rules for every other role."""
    own = _RULES.get(_OF_A_MINOR.sub("", role))
    return _without(rules, own) if own else [rule for rule in rules if isinstance(rule, dict)]


def beyond_editing(rules: t.Iterable[t.Any]) -> list[Rule]:
    """Return what a role's rules give beyond what is of note in Kubernetes' roles for who edits a namespace."""
    return _without(rules, _OF_EDITORS)


def _without(rules: t.Iterable[t.Any], known: t.Sequence[Rule]) -> list[Rule]:
    own = [right for rule in known for right in _rights(rule)]
    rights = dict.fromkeys(right for rule in rules if isinstance(rule, dict) for right in _rights(rule))
    return [right.as_rule() for right in rights if not any(right.is_within(one) for one in own)]


class _Right(t.NamedTuple):
    """One thing that a rule allows: a verb on a resource, or on a path where there is one."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""

    def is_within(self, other: _Right) -> bool:
        """Return whether the other one gives this, too."""
        if other.verb not in ("*", self.verb) or bool(other.path) != bool(self.path):
            return False
        if self.path:
            return other.path == self.path or (other.path[-1] == "*" and self.path.startswith(other.path[:-1]))
        return (
            other.group in ("*", self.group)
            and other.resource in ("*", self.resource)
            and other.name in ("", _OF_A_MINOR.sub("", self.name))
        )

    def as_rule(self) -> Rule:
        """Return a rule that gives this and nothing else."""
        if self.path:
            return {"verbs": [self.verb], "nonResourceURLs": [self.path]}
        names = [self.name] if self.name else []
        return {"verbs": [self.verb], "apiGroups": [self.group], "resources": [self.resource], "resourceNames": names}


def _rights(rule: Rule) -> t.Iterator[_Right]:
    """Yield each single right of a rule."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            if path:
                yield _Right(verb, path=path)
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or ("",):
                    yield _Right(verb, group, resource, name)


def shown(rules: t.Sequence[Rule]) -> str:
    """Return in a few words what rules of `beyond` give."""
    verbs: dict[str, list[str]] = {}
    for rule in rules:
        for right in _rights(rule):
            verbs.setdefault(right.path or f"{right.resource} {right.name}".strip(), []).append(right.verb)
    return ", ".join(f"{' and '.join(dict.fromkeys(of))} {what}" for what, of in verbs.items())
