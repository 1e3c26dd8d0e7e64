# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings among objects of the API: rights, accounts, namespaces, tokens. What Kubernetes and kubeadm make is none."""

from __future__ import annotations

import dataclasses
import typing as t

Object = t.Mapping[str, t.Any]

#: Roles and namespaces of the system's own.
_SYSTEM_PREFIXES = ("system:", "kubeadm:")
_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
#: Roles that Kubernetes ships for people; who is bound to them is judged, not what they hold.
_SHIPPED_ROLES = ("cluster-admin", "admin", "edit", "view")
_EVERYBODY = ("system:anonymous", "system:unauthenticated", "system:authenticated")
_KNOWN_FOR_EVERYBODY = (
    "system:basic-user", "system:discovery", "system:public-info-viewer", "system:service-account-issuer-discovery",
    "kubeadm:bootstrap-signer-clusterinfo",
)  # fmt: skip
_MASTERS = "system:masters"
#: Holders of bootstrap tokens, and the groups below that a token may name.
_BOOTSTRAPPERS = ("system:bootstrappers", "system:bootstrap:")
#: kubeadm's own: a node that joins reads kube-proxy's ConfigMap.
_FOR_JOINING = "kube-system/kube-proxy"
#: kubeadm's own: by this the API server reaches kubelets.
_KUBELET_CLIENT = ("kubeadm:apiserver-kubelet-client", "kube-apiserver-kubelet-client")
_LEVEL_LABEL = "pod-security.kubernetes.io/enforce"
_RBAC = "rbac.authorization.k8s.io"


@dataclasses.dataclass(frozen=True)
class Right:
    """Something that only a few should be able to do: any of the verbs on any of the resources of a group."""

    verbs: tuple[str, ...]
    group: str
    resources: tuple[str, ...]
    cluster_wide: bool = True


#: By check, the rights that it looks for.
RIGHTS: dict[str, tuple[Right, ...]] = {
    "rbac_secrets": (Right(("get", "list", "watch"), "", ("secrets",)),),
    "rbac_create_pods": (
        Right(("create",), "", ("pods", "replicationcontrollers")),
        Right(("create",), "apps", ("deployments", "daemonsets", "statefulsets", "replicasets")),
        Right(("create",), "batch", ("jobs", "cronjobs")),
    ),
    "rbac_escalation": (
        Right(("bind", "escalate"), _RBAC, ("roles", "clusterroles"), cluster_wide=False),
        Right(("impersonate",), "", ("users", "groups", "serviceaccounts"), cluster_wide=False),
        Right(("impersonate",), "authentication.k8s.io", ("userextras", "uids")),
    ),
    "rbac_persistent_volumes": (Right(("create",), "", ("persistentvolumes",)),),
    "rbac_proxy": (
        Right(("get", "create", "*"), "", ("nodes/proxy",)),
        Right(("get", "create", "*"), "", ("services/proxy", "pods/proxy")),
    ),
    "rbac_approval": (
        Right(("update", "patch"), "certificates.k8s.io", ("certificatesigningrequests/approval",)),
        Right(("approve",), "certificates.k8s.io", ("signers",)),
    ),
    "rbac_webhooks": (
        Right(
            ("create", "update", "patch", "delete"),
            "admissionregistration.k8s.io",
            ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        ),
    ),
    "rbac_tokens": (Right(("create",), "", ("serviceaccounts/token",), cluster_wide=False),),
}

#: What each check reads, by the name under which the module read it.
NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(RIGHTS, ("clusterroles", "roles", "clusterrolebindings", "rolebindings")),
    "cluster_admin": ("clusterrolebindings", "rolebindings"),
    "rbac_wildcards": ("clusterroles", "roles"),
    "default_account_bindings": ("clusterrolebindings", "rolebindings"),
    "default_account_tokens": ("serviceaccounts", "pods"),
    "rbac_masters": ("clusterrolebindings", "rolebindings"),
    "rbac_anonymous": ("clusterrolebindings", "rolebindings"),
    "bootstrap_rights": ("clusterrolebindings", "rolebindings"),
    "bootstrap_tokens": ("tokens",),
    "account_token_secrets": ("account_tokens",),
    "namespaces_pod_security": ("namespaces",),
    "namespaces_network_policy": ("namespaces", "networkpolicies"),
    "namespaces_default_unused": ("pods",),
    "secrets_in_environment": ("pods",),
    "privileged_host_ports": ("pods",),
}
NAMES = tuple(NEEDS)


def find(check: str, read: t.Mapping[str, t.Sequence[Object]]) -> list[str]:
    """Return the findings of a check among what it needs."""
    objects = [read[name] for name in NEEDS[check]]
    if check in RIGHTS:
        return _holders(RIGHTS[check], *objects)
    return _FINDERS[check](*objects)


def name_of(thing: Object) -> str:
    """Return an object's name, its namespace before it."""
    metadata = thing.get("metadata") or {}
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata.get('name')}" if namespace else str(metadata.get("name"))


def _plain_name(thing: Object) -> str:
    return str((thing.get("metadata") or {}).get("name"))


def _namespace(thing: Object) -> str:
    return str((thing.get("metadata") or {}).get("namespace") or "")


def is_system(thing: Object) -> bool:
    """Return whether a role or binding is one that Kubernetes or kubeadm makes."""
    labels = (thing.get("metadata") or {}).get("labels") or {}
    return _plain_name(thing).startswith(_SYSTEM_PREFIXES) or "kubernetes.io/bootstrapping" in labels


def _subjects(binding: Object) -> list[tuple[str, str, str]]:
    """Return kind, name and namespace of each subject."""
    return [
        (str(one.get("kind")), str(one.get("name")), str(one.get("namespace") or ""))
        for one in binding.get("subjects") or []
    ]


def _shown(subject: tuple[str, str, str]) -> str:
    kind, name, namespace = subject
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _is_system_subject(subject: tuple[str, str, str]) -> bool:
    """Return whether a subject is a component: of the system's names, or an account in kube-system."""
    kind, name, namespace = subject
    if kind == "ServiceAccount":
        return namespace in _SYSTEM_NAMESPACES and name != "default"
    return name.startswith(_SYSTEM_PREFIXES) and name not in _EVERYBODY


# Rights


def allows(rules: t.Iterable[t.Any], right: Right) -> bool:
    """Return whether one of a role's rules gives a right, wildcards included; one that names objects does not."""
    for rule in rules:
        if not isinstance(rule, dict) or rule.get("resourceNames"):
            continue
        verbs, groups, resources = (set(rule.get(key) or ()) for key in ("verbs", "apiGroups", "resources"))
        if not ({"*", *right.verbs} & verbs and {"*", right.group} & groups):
            continue
        wanted = {"*", *right.resources}
        wanted |= {"*/" + name.partition("/")[2] for name in right.resources if "/" in name}
        if wanted & resources:
            return True
    return False


def _holders(
    rights: t.Sequence[Right],
    cluster_roles: t.Sequence[Object],
    roles: t.Sequence[Object],
    cluster_bindings: t.Sequence[Object],
    bindings: t.Sequence[Object],
) -> list[str]:
    """Return who beside the system has one of the rights, and through which binding."""
    by_role = {("ClusterRole", "", _plain_name(role)): role.get("rules") or [] for role in cluster_roles}
    by_role.update({("Role", _namespace(role), _plain_name(role)): role.get("rules") or [] for role in roles})
    found = []
    for binding in (*cluster_bindings, *bindings):
        reference = binding.get("roleRef") or {}
        if reference.get("name") == "cluster-admin":
            continue  # judged by cluster_admin
        namespace = _namespace(binding)
        place = namespace if reference.get("kind") == "Role" else ""
        rules = by_role.get((str(reference.get("kind")), place, str(reference.get("name"))), [])
        wanted = [right for right in rights if not (namespace and right.cluster_wide)]
        if not any(allows(rules, right) for right in wanted):
            continue
        others = [one for one in _subjects(binding) if not _is_system_subject(one)]
        who = [_shown(one) for one in others if (_plain_name(binding), one[1]) != _KUBELET_CLIENT]
        if who:
            found.append(f"{', '.join(who)} by binding {name_of(binding)} to {reference.get('name')}")
    return sorted(found)


def _cluster_admin(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    found = []
    for binding in (*cluster_bindings, *bindings):
        if (binding.get("roleRef") or {}).get("name") != "cluster-admin":
            continue
        known = _plain_name(binding) in ("cluster-admin", "kubeadm:cluster-admins")
        who = [one for one in _subjects(binding) if not (known and one[1] in (_MASTERS, "kubeadm:cluster-admins"))]
        found += [f"{_shown(one)} by binding {name_of(binding)}" for one in who]
    return sorted(found)


def _wildcards(cluster_roles: t.Sequence[Object], roles: t.Sequence[Object]) -> list[str]:
    found = []
    for role in (*cluster_roles, *roles):
        if is_system(role) or _plain_name(role) in _SHIPPED_ROLES:
            continue
        fields = {
            key
            for rule in role.get("rules") or []
            for key in ("verbs", "resources", "apiGroups")
            if "*" in (rule.get(key) or ())
        }
        if fields & {"verbs", "resources"}:
            found.append(f"{name_of(role)} has * in {' and '.join(sorted(fields))}")
    return sorted(found)


def _default_account_bindings(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    return sorted(
        f"{_shown(subject)} by binding {name_of(binding)} to {(binding.get('roleRef') or {}).get('name')}"
        for binding in (*cluster_bindings, *bindings)
        for subject in _subjects(binding)
        if subject[:2] == ("ServiceAccount", "default")
    )


def _masters(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    return sorted(
        f"binding {name_of(binding)}"
        for binding in (*cluster_bindings, *bindings)
        if any(subject[1] == _MASTERS for subject in _subjects(binding)) and _plain_name(binding) != "cluster-admin"
    )


def _anonymous(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    return sorted(
        f"{subject[1]} by binding {name_of(binding)} to {(binding.get('roleRef') or {}).get('name')}"
        for binding in (*cluster_bindings, *bindings)
        for subject in _subjects(binding)
        if subject[1] in _EVERYBODY and _plain_name(binding) not in _KNOWN_FOR_EVERYBODY
    )


# Accounts, pods, namespaces


def _default_account_tokens(accounts: t.Sequence[Object], pods: t.Sequence[Object]) -> list[str]:
    """Return pods that get the token of an account `default`, though nobody asked for it."""
    quiet = {
        _namespace(account)
        for account in accounts
        if _plain_name(account) == "default" and account.get("automountServiceAccountToken") is False
    }
    found = []
    for pod in pods:
        spec = pod.get("spec") or {}
        wanted = spec.get("automountServiceAccountToken")
        mounted = wanted is True or (wanted is None and _namespace(pod) not in quiet)
        if str(spec.get("serviceAccountName") or "") == "default" and mounted:
            found.append(f"pod {name_of(pod)}")
    return sorted(found)


def _pod_security(namespaces: t.Sequence[Object]) -> list[str]:
    found = []
    for namespace in namespaces:
        labels = (namespace.get("metadata") or {}).get("labels") or {}
        if _plain_name(namespace) not in _SYSTEM_NAMESPACES and labels.get(_LEVEL_LABEL, "privileged") == "privileged":
            found.append(f"{_plain_name(namespace)} has {labels.get(_LEVEL_LABEL, 'no level')}")
    return sorted(found)


def _network_policy(namespaces: t.Sequence[Object], policies: t.Sequence[Object]) -> list[str]:
    having = {_namespace(policy) for policy in policies}
    names = {_plain_name(namespace) for namespace in namespaces} - having - set(_SYSTEM_NAMESPACES)
    return sorted(names)


def _default_unused(pods: t.Sequence[Object]) -> list[str]:
    return sorted(f"pod {name_of(pod)}" for pod in pods if _namespace(pod) == "default")


def _secrets_in_environment(pods: t.Sequence[Object]) -> list[str]:
    found = set()
    for pod in pods:
        spec = pod.get("spec") or {}
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            named = [one for one in container.get("env") or () if (one.get("valueFrom") or {}).get("secretKeyRef")]
            whole = [one for one in container.get("envFrom") or () if one.get("secretRef")]
            if named or whole:
                found.add(f"pod {name_of(pod)}")
    return sorted(found)


def _privileged_host_ports(pods: t.Sequence[Object]) -> list[str]:
    """Return pods beside the system's that take a port of the host which only root may take otherwise."""
    found = set()
    for pod in pods:
        spec = pod.get("spec") or {}
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            taken = [port for one in container.get("ports") or () if 0 < (port := int(one.get("hostPort") or 0)) < 1024]
            if taken and _namespace(pod) not in _SYSTEM_NAMESPACES:
                found.add(f"pod {name_of(pod)} takes {', '.join(map(str, taken))}")
    return sorted(found)


def _bootstrap_tokens(tokens: t.Sequence[Object]) -> list[str]:
    """Return tokens without an end; only their public half is known here."""
    return sorted(str(token.get("id")) for token in tokens if not token.get("expires"))


def _bootstrap_rights(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    """Return what holders of bootstrap tokens may do beyond joining a node."""
    return sorted(
        f"{subject[1]} by binding {name_of(binding)} to {(binding.get('roleRef') or {}).get('name')}"
        for binding in (*cluster_bindings, *bindings)
        for subject in _subjects(binding)
        if subject[1].startswith(_BOOTSTRAPPERS) and not is_system(binding) and name_of(binding) != _FOR_JOINING
    )


def _account_token_secrets(secrets: t.Sequence[Object]) -> list[str]:
    """Return Secrets that hold a token of a service account without an end."""
    return sorted(f"Secret {name_of(secret)}" for secret in secrets)


_FINDERS: dict[str, t.Callable[..., list[str]]] = {
    "cluster_admin": _cluster_admin,
    "rbac_wildcards": _wildcards,
    "default_account_bindings": _default_account_bindings,
    "default_account_tokens": _default_account_tokens,
    "rbac_masters": _masters,
    "rbac_anonymous": _anonymous,
    "account_token_secrets": _account_token_secrets,
    "bootstrap_rights": _bootstrap_rights,
    "bootstrap_tokens": _bootstrap_tokens,
    "namespaces_pod_security": _pod_security,
    "namespaces_network_policy": _network_policy,
    "namespaces_default_unused": _default_unused,
    "secrets_in_environment": _secrets_in_environment,
    "privileged_host_ports": _privileged_host_ports,
}
