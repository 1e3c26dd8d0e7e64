# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings among objects of the API: rights, accounts, namespaces, tokens. What Kubernetes and kubeadm make is none."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.kubeharden.core.plugins.module_utils.controls import own_rights, pod_findings
from ansible_collections.kubeharden.core.plugins.module_utils.controls.pod_findings import SYSTEM_NAMESPACES

Object = t.Mapping[str, t.Any]

_ADMIN = "cluster-admin"
#: Components' own ClusterRoles of Kubernetes 1.33 to 1.37 that have wildcards, and where. A name is not enough: an API
#: server adds what its own roles lack when it starts, and takes nothing away that somebody gave them.
_WILDCARDS: dict[str, frozenset[str]] = dict.fromkeys(
    (
        "system:kube-controller-manager",
        "system:controller:generic-garbage-collector",
        "system:controller:horizontal-pod-autoscaler",
        "system:controller:namespace-controller",
        "system:controller:resourcequota-controller",
        "system:controller:storage-version-migrator-controller",
    ),
    frozenset({"resources"}),
)
_ACCOUNTS = "system:serviceaccounts"
_EVERYBODY = ("system:anonymous", "system:unauthenticated", "system:authenticated", _ACCOUNTS)
_MASTERS = "system:masters"
_ADMINISTRATORS = "kubeadm:cluster-admins"
#: Holders of bootstrap tokens, and the groups below that a token may name.
_BOOTSTRAPPERS = ("system:bootstrappers", "system:bootstrap:")
#: Users that are components of a control plane; others whose names begin with system: are whoever somebody bound.
#: Nodes and kube-proxy are none: who takes over one node has what they have, and what Kubernetes itself binds for them
#: gives none of the rights that are looked for here.
_COMPONENTS = ("system:kube-controller-manager", "system:kube-scheduler", "system:apiserver")
#: Accounts of kube-system that are Kubernetes' own in 1.33 to 1.37, one a controller, which the controller manager has.
#: Whatever else has an account there somebody put there, and should know what it may do; so it is with what kubeadm's
#: addons (CoreDNS, kube-proxy) have beyond their own roles, since their pods run on nodes.
_ACCOUNTS_MADE = frozenset(
    """
    attachdetach-controller bootstrap-signer certificate-controller cloud-provider clusterrole-aggregation-controller
    cronjob-controller daemon-set-controller deployment-controller device-taint-eviction-controller
    disruption-controller endpoint-controller endpointslice-controller endpointslicemirroring-controller
    ephemeral-volume-controller expand-controller generic-garbage-collector horizontal-pod-autoscaler job-controller
    kube-apiserver-serving-clustertrustbundle-publisher kube-controller-manager kube-scheduler
    legacy-service-account-token-cleaner namespace-controller node-controller persistent-volume-binder
    pod-garbage-collector podcertificaterequestcleaner pv-protection-controller pvc-protection-controller
    replicaset-controller replication-controller resource-claim-controller resourcequota-controller
    root-ca-cert-publisher route-controller selinux-warning-controller service-account-controller
    service-cidrs-controller service-controller statefulset-controller storage-version-migrator-controller token-cleaner
    ttl-after-finished-controller ttl-controller validatingadmissionpolicy-status-controller
    volumeattributesclass-protection-controller
    """.split()
)
#: How a service account is called where it is bound as a user.
_ACCOUNT_PREFIX = "system:serviceaccount:"
_LEVEL_LABEL = "pod-security.kubernetes.io/enforce"
_RBAC = "rbac.authorization.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
#: What a rule that names objects does not give: to read one object is not to read all, and one that is made has no name
#: yet when it is asked who may. To bind, impersonate, change or get a token, one name may be all that is wanted.
_OF_ALL = {"get", "list", "watch", "create"}


@dataclasses.dataclass(frozen=True)
class Right:
    """Something that only a few should be able to do: any of the verbs on any of the resources of a group.

    A resource that ends in ``/*`` has subresources that the user names, each of which counts.
    """

    verbs: tuple[str, ...]
    group: str
    resources: tuple[str, ...]
    cluster_wide: bool = True


#: A request through the API server's proxy takes the verb of its HTTP method.
_THROUGH = ("get", "create", "update", "patch", "delete")
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
        Right(("impersonate",), _AUTHENTICATION, ("userextras/*", "uids")),
        # ConstrainedImpersonation, on by default from 1.36. These verbs say as whom; the right that says what for
        # (impersonate-on:...) is worth nothing without them.
        Right(("impersonate:user-info",), _AUTHENTICATION, ("users", "groups", "userextras/*", "uids")),
        Right(("impersonate:arbitrary-node", "impersonate:associated-node"), _AUTHENTICATION, ("nodes",)),
        Right(("impersonate:serviceaccount",), _AUTHENTICATION, ("serviceaccounts",), cluster_wide=False),
    ),
    "rbac_persistent_volumes": (Right(("create",), "", ("persistentvolumes",)),),
    "rbac_proxy": (
        Right(_THROUGH, "", ("nodes/proxy",)),
        # What answers there is one namespace's, and trusts who comes from the API server all the same.
        Right(_THROUGH, "", ("services/proxy", "pods/proxy"), cluster_wide=False),
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

_ROLES_AND_BINDINGS = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")
#: What each check reads, by the name under which the module read it.
NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(RIGHTS, _ROLES_AND_BINDINGS),
    "cluster_admin": ("clusterrolebindings", "rolebindings"),
    "namespace_editors": ("rolebindings",),
    "rbac_wildcards": ("clusterroles", "roles"),
    "default_account_bindings": _ROLES_AND_BINDINGS,
    "default_account_tokens": ("serviceaccounts", "pods"),
    "rbac_masters": ("clusterrolebindings", "rolebindings"),
    "rbac_anonymous": _ROLES_AND_BINDINGS,
    "bootstrap_rights": _ROLES_AND_BINDINGS,
    "bootstrap_tokens": ("tokens",),
    "account_token_secrets": ("account_tokens",),
    "namespaces_pod_security": ("namespaces",),
    "namespaces_network_policy": ("namespaces", "networkpolicies"),
    "namespaces_default_unused": ("pods",),
    "secrets_in_environment": ("pods",),
    "privileged_host_ports": ("pods",),
    "pods_privilege_escalation": ("pods",),
    "pods_root": ("pods",),
    "pods_net_raw": ("pods",),
    "pods_capabilities": ("pods",),
    "pods_seccomp": ("pods",),
    "pods_security_context": ("pods",),
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


def _role_of(binding: Object) -> str:
    return str((binding.get("roleRef") or {}).get("name"))


def _gives_all(binding: Object) -> bool:
    """Return whether a binding is to the ClusterRole that has every right; a namespace's role may have that name."""
    return _role_of(binding) == _ADMIN and (binding.get("roleRef") or {}).get("kind") != "Role"


def _subjects(binding: Object) -> list[tuple[str, str, str]]:
    """Return kind, name and namespace of each subject; a user that is a service account is that account."""
    found = []
    for one in binding.get("subjects") or []:
        kind, name, namespace = (str(one.get(key) or "") for key in ("kind", "name", "namespace"))
        if kind == "User" and name.startswith(_ACCOUNT_PREFIX):
            account_of, _colon, account = name[len(_ACCOUNT_PREFIX) :].partition(":")
            kind, name, namespace = "ServiceAccount", account, account_of
        found.append((kind, name, namespace))
    return found


def _shown(subject: tuple[str, str, str]) -> str:
    kind, name, namespace = subject
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _is_made(binding: Object, subject: tuple[str, str, str]) -> bool:
    """Return whether it is Kubernetes or kubeadm that binds this subject so, whatever the role gives by now."""
    return own_rights.is_made(name_of(binding), _role_of(binding), _shown(subject))


def _is_component(subject: tuple[str, str, str]) -> bool:
    """Return whether a subject is a control plane's component or controller, or has every right anyway."""
    kind, name, namespace = subject
    if kind == "ServiceAccount":
        return namespace == "kube-system" and name in _ACCOUNTS_MADE
    if kind == "User":
        return name in _COMPONENTS
    return name in (_MASTERS, _ADMINISTRATORS)


# Rights


def allows(rules: t.Iterable[t.Any], right: Right) -> bool:
    """Return whether one of a role's rules gives a right, wildcards included."""
    for rule in rules:
        if not isinstance(rule, dict):
            continue
        verbs, groups, resources = (set(rule.get(key) or ()) for key in ("verbs", "apiGroups", "resources"))
        if not {"*", right.group} & groups:
            continue
        for resource in right.resources:
            subresource = resource.partition("/")[2]
            if not _names(resources, resource):
                continue
            counted = set(right.verbs)
            if rule.get("resourceNames") and not subresource:
                counted -= _OF_ALL
            if counted and {"*", *counted} & verbs:
                return True
    return False


def _names(resources: t.Collection[str], wanted: str) -> bool:
    """Return whether a resource is among those that a rule names."""
    kind, _slash, subresource = wanted.partition("/")
    if subresource == "*":
        return any(one == "*" or one.startswith((f"{kind}/", "*/")) for one in resources)
    return any(one in resources for one in ("*", wanted, f"*/{subresource}" if subresource else wanted))


class _Roles:
    """The rules of all roles."""

    def __init__(self, cluster_roles: t.Sequence[Object], roles: t.Sequence[Object]) -> None:
        self._rules = {("ClusterRole", "", _plain_name(role)): role.get("rules") or [] for role in cluster_roles}
        self._rules.update({("Role", _namespace(role), _plain_name(role)): role.get("rules") or [] for role in roles})

    def rules_of(self, binding: Object) -> t.Sequence[t.Any]:
        """Return the rules of the role that a binding is to; none where there is no such role."""
        kind, name = str((binding.get("roleRef") or {}).get("kind")), _role_of(binding)
        return self._rules.get((kind, _namespace(binding) if kind == "Role" else "", name), [])

    def beyond(self, binding: Object) -> list[own_rights.Rule]:
        """Return what somebody added to the rules of Kubernetes' or kubeadm's own role that a binding is to."""
        return own_rights.beyond(_role_of(binding), self.rules_of(binding))


def _holders(
    rights: t.Sequence[Right],
    cluster_roles: t.Sequence[Object],
    roles: t.Sequence[Object],
    cluster_bindings: t.Sequence[Object],
    bindings: t.Sequence[Object],
) -> list[str]:
    """Return who beside the system has one of the rights, and through which binding; those of the whole cluster first.

    What Kubernetes' roles for who edits a namespace give within one is judged by namespace_editors.
    """
    known = _Roles(cluster_roles, roles)
    found = []
    for binding in (*cluster_bindings, *bindings):
        if _gives_all(binding):
            continue  # judged by cluster_admin
        wanted = [right for right in rights if not (_namespace(binding) and right.cluster_wide)]
        rules = known.rules_of(binding)
        if not _gives_any(own_rights.beyond_editing(rules) if _lets_edit(binding) else rules, wanted):
            continue
        own = not _gives_any(known.beyond(binding), wanted)
        who = [_shown(one) for one in _others(binding) if not (own and _is_made(binding, one))]
        if who:
            found.append((bool(_namespace(binding)), f"{', '.join(who)} by {_as_words(binding)}"))
    return [words for _inside, words in sorted(found)]


def _others(binding: Object) -> list[tuple[str, str, str]]:
    """Return the subjects that are no components."""
    return [one for one in _subjects(binding) if not _is_component(one)]


def _as_words(binding: Object) -> str:
    return f"binding {name_of(binding)} to {_role_of(binding)}"


def _lets_edit(binding: Object) -> bool:
    """Return whether a binding gives one of Kubernetes' roles for who edits a namespace, in one of the owner's.

    In those of the system there are accounts that may do everything.
    """
    kind = (binding.get("roleRef") or {}).get("kind")
    inside = _namespace(binding) not in ("", *SYSTEM_NAMESPACES)
    return inside and kind == "ClusterRole" and _role_of(binding) in own_rights.EDITORS


def _namespace_editors(bindings: t.Sequence[Object]) -> list[str]:
    """Return who has Kubernetes' roles for who edits a namespace."""
    return sorted(
        f"{_shown(subject)} by {_as_words(binding)}"
        for binding in bindings
        for subject in _others(binding)
        if _lets_edit(binding)
    )


def _gives_any(rules: t.Sequence[t.Any], rights: t.Sequence[Right]) -> bool:
    return any(allows(rules, right) for right in rights)


def _bound(
    who: t.Callable[[tuple[str, str, str]], str],
    cluster_roles: t.Sequence[Object],
    roles: t.Sequence[Object],
    cluster_bindings: t.Sequence[Object],
    bindings: t.Sequence[Object],
) -> list[str]:
    """Return what some subjects are given beyond what Kubernetes and kubeadm give them: by bindings of others, and by
    theirs where somebody added to the role.

    Args:
        who: Returns how a subject is called in the findings, empty for those that do not count.
        cluster_roles: ClusterRoles.
        roles: Roles.
        cluster_bindings: ClusterRoleBindings.
        bindings: RoleBindings.
    """
    known = _Roles(cluster_roles, roles)
    found = []
    for binding in (*cluster_bindings, *bindings):
        for subject in _subjects(binding):
            name = who(subject)
            added = known.beyond(binding) if name and _is_made(binding, subject) else []
            if name and (added or not _is_made(binding, subject)):
                more = f", to which somebody added {own_rights.shown(added)}" if added else ""
                found.append(f"{name} by {_as_words(binding)}{more}")
    return sorted(found)


def _cluster_admin(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    return sorted(
        f"{_shown(subject)} by binding {name_of(binding)}"
        for binding in (*cluster_bindings, *bindings)
        for subject in _subjects(binding)
        if _gives_all(binding) and not _is_made(binding, subject)
    )


def _wildcards(cluster_roles: t.Sequence[Object], roles: t.Sequence[Object]) -> list[str]:
    found = []
    for role in (*cluster_roles, *roles):
        if role.get("aggregationRule"):
            continue  # a controller copies its rules from others, which are named themselves
        name, rules = _plain_name(role), role.get("rules") or []
        fields = {
            key
            for rule in (rules if _namespace(role) else own_rights.beyond(name, rules))
            for key in ("verbs", "resources", "apiGroups")
            if "*" in (rule.get(key) or ())
        }
        known = frozenset() if _namespace(role) else _WILDCARDS.get(name, frozenset())
        if fields & {"verbs", "resources"} - known:
            found.append(f"{name_of(role)} has * in {' and '.join(sorted(fields))}")
    return sorted(found)


def _default_account_bindings(*read: t.Sequence[Object]) -> list[str]:
    """Return what default accounts have, be it as members of a group of all accounts."""

    def who(subject: tuple[str, str, str]) -> str:
        counts = subject[:2] == ("ServiceAccount", "default") or f"{subject[1]}:".startswith(f"{_ACCOUNTS}:")
        return _shown(subject) if counts else ""

    return _bound(who, *read)


def _masters(cluster_bindings: t.Sequence[Object], bindings: t.Sequence[Object]) -> list[str]:
    return sorted(
        f"binding {name_of(binding)}"
        for binding in (*cluster_bindings, *bindings)
        if any(subject[1] == _MASTERS and not _is_made(binding, subject) for subject in _subjects(binding))
    )


def _anonymous(*read: t.Sequence[Object]) -> list[str]:
    return _bound(lambda subject: subject[1] if subject[1] in _EVERYBODY else "", *read)


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
        if _plain_name(namespace) not in SYSTEM_NAMESPACES and labels.get(_LEVEL_LABEL, "privileged") == "privileged":
            found.append(f"{_plain_name(namespace)} has {labels.get(_LEVEL_LABEL, 'no level')}")
    return sorted(found)


def _network_policy(namespaces: t.Sequence[Object], policies: t.Sequence[Object]) -> list[str]:
    having = {_namespace(policy) for policy in policies}
    names = {_plain_name(namespace) for namespace in namespaces} - having - set(SYSTEM_NAMESPACES)
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
            if taken and _namespace(pod) not in SYSTEM_NAMESPACES:
                found.add(f"pod {name_of(pod)} takes {', '.join(map(str, taken))}")
    return sorted(found)


def _bootstrap_tokens(tokens: t.Sequence[Object]) -> list[str]:
    """Return tokens without an end; only their public half is known here."""
    return sorted(str(token.get("id")) for token in tokens if not token.get("expires"))


def _bootstrap_rights(*read: t.Sequence[Object]) -> list[str]:
    """Return what holders of bootstrap tokens may do beyond joining a node."""
    return _bound(lambda subject: subject[1] if subject[1].startswith(_BOOTSTRAPPERS) else "", *read)


def _account_token_secrets(secrets: t.Sequence[Object]) -> list[str]:
    """Return Secrets that hold a token of a service account without an end."""
    return sorted(f"Secret {name_of(secret)}" for secret in secrets)


_FINDERS: dict[str, t.Callable[..., list[str]]] = {
    "cluster_admin": _cluster_admin,
    "namespace_editors": _namespace_editors,
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
    "pods_privilege_escalation": pod_findings.privilege_escalation,
    "pods_root": pod_findings.root,
    "pods_net_raw": pod_findings.net_raw,
    "pods_capabilities": pod_findings.capabilities,
    "pods_seccomp": pod_findings.seccomp,
    "pods_security_context": pod_findings.security_context,
}
